//! STATUS (RFC 9051, 6.3.11 and 7.3.4).

use alloc::vec::Vec;

use bytes::Bytes;

use super::atom::Atom;
use super::mailbox::Mailbox;

/// One thing to know about a mailbox without selecting it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StatusItem {
    /// MESSAGES: how many there are.
    Messages,
    /// RECENT (IMAP4rev1).
    Recent,
    /// UIDNEXT.
    UidNext,
    /// UIDVALIDITY.
    UidValidity,
    /// UNSEEN: how many are not `\Seen`.
    Unseen,
    /// DELETED: how many are `\Deleted` (RFC 9051).
    Deleted,
    /// SIZE: octets of all messages (RFC 8438).
    Size,
    /// HIGHESTMODSEQ (RFC 7162).
    HighestModSeq,
    /// APPENDLIMIT (RFC 7889).
    AppendLimit,
    /// MAILBOXID (RFC 8474).
    MailboxId,
}

impl StatusItem {
    pub(crate) const ALL: [Self; 10] = [
        Self::Messages,
        Self::Recent,
        Self::UidNext,
        Self::UidValidity,
        Self::Unseen,
        Self::Deleted,
        Self::Size,
        Self::HighestModSeq,
        Self::AppendLimit,
        Self::MailboxId,
    ];

    /// Its word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::Recent => "RECENT",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::Deleted => "DELETED",
            Self::Size => "SIZE",
            Self::HighestModSeq => "HIGHESTMODSEQ",
            Self::AppendLimit => "APPENDLIMIT",
            Self::MailboxId => "MAILBOXID",
        }
    }
}

/// A set of [`StatusItem`]s.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StatusItems(u16);

impl StatusItems {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// Adds an item.
    #[must_use]
    pub fn with(self, item: StatusItem) -> Self {
        Self(self.0 | 1 << item as u16)
    }

    /// Whether the item is asked for.
    pub fn contains(self, item: StatusItem) -> bool {
        self.0 & 1 << item as u16 != 0
    }

    /// Whether nothing is asked for.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The items, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = StatusItem> {
        StatusItem::ALL.into_iter().filter(move |item| self.contains(*item))
    }
}

impl FromIterator<StatusItem> for StatusItems {
    fn from_iter<I: IntoIterator<Item = StatusItem>>(items: I) -> Self {
        items.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// What a STATUS response says. Fields the server did not send are `None`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MailboxStatus {
    /// Which mailbox.
    pub mailbox: Mailbox,
    /// How many messages there are.
    pub messages: Option<u32>,
    /// How many are `\Recent` (IMAP4rev1).
    pub recent: Option<u32>,
    /// The next UID, or one below it.
    pub uid_next: Option<u32>,
    /// The validity of its UIDs.
    pub uid_validity: Option<u32>,
    /// How many are not `\Seen`.
    pub unseen: Option<u32>,
    /// How many are `\Deleted`.
    pub deleted: Option<u32>,
    /// Octets of all messages.
    pub size: Option<u64>,
    /// The highest mod-sequence; 0 if the mailbox has none.
    pub highest_modseq: Option<u64>,
    /// The largest message it takes; `Some(None)` is NIL, no limit.
    pub append_limit: Option<Option<u64>>,
    /// The mailbox's identity.
    pub mailbox_id: Option<Bytes>,
    /// Items we do not know, with their values as written.
    pub others: Vec<(Atom, Bytes)>,
}

impl MailboxStatus {
    /// Nothing known of `mailbox` yet.
    pub fn new(mailbox: Mailbox) -> Self {
        Self {
            mailbox,
            messages: None,
            recent: None,
            uid_next: None,
            uid_validity: None,
            unseen: None,
            deleted: None,
            size: None,
            highest_modseq: None,
            append_limit: None,
            mailbox_id: None,
            others: Vec::new(),
        }
    }
}
