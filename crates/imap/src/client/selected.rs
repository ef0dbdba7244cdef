//! What the server has said of the selected mailbox.

use crate::wire::{Code, Data, Flags, Mailbox, Status};

/// What the server has said of the selected mailbox so far.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Selected {
    /// Its name.
    pub mailbox: Mailbox,
    /// It cannot be changed.
    pub read_only: bool,
    /// How many messages there are: EXISTS, less what was expunged since.
    pub exists: u32,
    /// How many are `\Recent` (IMAP4rev1).
    pub recent: u32,
    /// The flags in use.
    pub flags: Flags,
    /// The flags that can be changed for good; `None` means all (RFC 9051, 7.1).
    pub permanent_flags: Option<Flags>,
    /// The validity of its UIDs.
    pub uid_validity: Option<u32>,
    /// The next UID, when it was selected.
    pub uid_next: Option<u32>,
    /// The first message without `\Seen`, when it was selected (IMAP4rev1).
    pub unseen: Option<u32>,
    /// The highest mod-sequence; `Some(0)` if the mailbox has none (RFC 7162).
    pub highest_modseq: Option<u64>,
}

impl Selected {
    pub(super) fn new(mailbox: Mailbox, read_only: bool) -> Self {
        Self {
            mailbox,
            read_only,
            exists: 0,
            recent: 0,
            flags: Flags::EMPTY,
            permanent_flags: None,
            uid_validity: None,
            uid_next: None,
            unseen: None,
            highest_modseq: None,
        }
    }

    pub(super) fn learn(&mut self, data: &Data) {
        match data {
            Data::Exists(messages) => self.exists = *messages,
            Data::Recent(messages) => self.recent = *messages,
            Data::Expunge(_) => self.exists = self.exists.saturating_sub(1),
            Data::Vanished { earlier: false, uids } => {
                let gone = u32::try_from(uids.count()).unwrap_or(u32::MAX);
                self.exists = self.exists.saturating_sub(gone);
            }
            Data::Flags(flags) => self.flags = flags.clone(),
            Data::Status(status) => self.learn_status(status),
            Data::Vanished { .. } | Data::Fetch { .. } | Data::Capability(_) | Data::Enabled(_) | Data::Id(_) => {}
            Data::List(_) | Data::Lsub(_) | Data::Namespace(_) | Data::MailboxStatus(_) => {}
            Data::Search { .. } | Data::Esearch(_) | Data::Raw(_) => {}
        }
    }

    pub(super) fn learn_status(&mut self, status: &Status) {
        match &status.code {
            Some(Code::PermanentFlags(flags)) => self.permanent_flags = Some(flags.clone()),
            Some(Code::UidValidity(validity)) => self.uid_validity = Some(*validity),
            Some(Code::UidNext(uid)) => self.uid_next = Some(*uid),
            Some(Code::Unseen(message)) => self.unseen = Some(*message),
            Some(Code::HighestModSeq(modseq)) => self.highest_modseq = Some(*modseq),
            Some(Code::NoModSeq) => self.highest_modseq = Some(0),
            Some(Code::ReadOnly) => self.read_only = true,
            Some(Code::ReadWrite) => self.read_only = false,
            Some(_) | None => {}
        }
    }
}
