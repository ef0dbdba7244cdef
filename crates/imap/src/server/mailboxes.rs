//! Commands about mailboxes as a whole: LIST, LSUB, STATUS, CREATE, DELETE, RENAME and subscriptions.

use super::answer::{Listed, Refusal};
use super::event::{ListRequest, MailboxOp};
use super::stage::{Question, Stage};
use super::{Event, RespondError, Server, ask};
use crate::dialogue::Verb;
use crate::wire::{
    Atom, Capability, Code, Data, List, ListEntry, ListPattern, ListReturn, ListSelect, Mailbox, MailboxAttribute,
    MailboxStatus, StatusItem, StatusItems, Tag,
};
use alloc::vec::Vec;
use postrider_core::Stale;

impl Server {
    // ── LIST, LSUB ──

    pub(super) fn list(&mut self, tag: Tag, list: List) {
        let verb = Verb::List;
        let List { mut select, reference, patterns, mut returns, extended } = list;
        if extended && !(self.offers(&Capability::ListExtended) || self.offers(&Capability::Imap4Rev2)) {
            return self.complete_bad(tag, verb, "extended LIST is not on offer");
        }
        if (select.special_use || returns.special_use) && !self.offers(&Capability::SpecialUse) {
            return self.complete_bad(tag, verb, "SPECIAL-USE is not on offer");
        }
        if !returns.status.is_empty() && !self.offers(&Capability::ListStatus) {
            return self.complete_bad(tag, verb, "STATUS in LIST is not on offer");
        }
        if !extended && patterns.iter().all(ListPattern::is_empty) {
            // RFC 9051, 6.3.9: an empty name asks for the delimiter and the root.
            let root = ListEntry {
                attributes: [MailboxAttribute::NoSelect].into(),
                delimiter: self.config.delimiter,
                mailbox: None,
                child_info: Vec::new(),
                old_name: None,
            };
            self.data(&Data::List(root));
            return self.complete_ok(tag, verb);
        }
        // RFC 9051, 6.3.9.1: what was selected for being subscribed is said to be. There are no remote mailboxes.
        returns.subscribed |= select.subscribed;
        select.remote = false;
        let patterns = patterns.iter().filter_map(|pattern| under(&reference, pattern)).collect();
        self.ask_list(tag, verb, ListRequest { patterns, select, returns });
    }

    /// RFC 3501, 6.3.9: subscribed names, and with `%` those above subscribed ones: what RFC 5258 calls
    /// RECURSIVEMATCH.
    pub(super) fn lsub(&mut self, tag: Tag, reference: &ListPattern, pattern: &ListPattern) {
        let select = ListSelect { subscribed: true, recursive_match: true, ..ListSelect::default() };
        let returns = ListReturn { subscribed: true, ..ListReturn::default() };
        let patterns = under(reference, pattern).into_iter().collect();
        self.ask_list(tag, Verb::Lsub, ListRequest { patterns, select, returns });
    }

    fn ask_list(&mut self, tag: Tag, verb: Verb, request: ListRequest) {
        if request.patterns.is_empty() {
            return self.complete_ok(tag, verb);
        }
        let question = Question::List { lsub: verb == Verb::Lsub, request: request.clone() };
        let answer = self.ask::<ask::List>(tag, verb, question);
        self.events.push_back(Event::List { answer, request });
    }

    pub(super) fn add_listed(&mut self, number: u64, part: Listed) -> Result<(), RespondError> {
        let Stage::Asked { number: open, question: Question::List { lsub, request }, .. } = &self.stage else {
            return Err(Stale.into());
        };
        if *open != number {
            return Err(Stale.into());
        }
        match part {
            Listed::Entry(entry) if *lsub => {
                // RFC 3501, 6.3.9: names above subscribed ones are for `%`, which does not reach these.
                let subscribed = entry.attributes.contains(&MailboxAttribute::Subscribed);
                let above = request.patterns.iter().any(|pattern| pattern.as_str().is_some_and(|p| p.contains('%')));
                if subscribed || above {
                    self.data(&Data::Lsub(as_lsub(entry)));
                }
            }
            Listed::Entry(mut entry) => {
                if !request.returns.subscribed {
                    entry.attributes.retain(|attribute| *attribute != MailboxAttribute::Subscribed);
                }
                self.data(&Data::List(entry));
            }
            Listed::Status(status) => {
                let items = request.returns.status;
                if items.is_empty() {
                    return Err(RespondError::misuse("the request asks for no figures"));
                }
                self.data(&Data::MailboxStatus(only(status, items)));
            }
        }
        Ok(())
    }

    // ── STATUS ──

    pub(super) fn status(&mut self, tag: Tag, mailbox: Mailbox, items: StatusItems) {
        let verb = Verb::Status;
        let unknown = items.iter().find(|item| match item {
            StatusItem::Messages | StatusItem::Recent | StatusItem::UidNext | StatusItem::UidValidity => false,
            StatusItem::Unseen | StatusItem::AppendLimit => false,
            StatusItem::Deleted => !self.offers(&Capability::Imap4Rev2),
            StatusItem::Size => !(self.offers(&Capability::StatusSize) || self.offers(&Capability::Imap4Rev2)),
            StatusItem::HighestModSeq => !self.offers(&Capability::CondStore),
            StatusItem::MailboxId => !self.offers(&Capability::ObjectId),
        });
        if let Some(unknown) = unknown {
            return self.complete_bad(tag, verb, &alloc::format!("{} is not on offer", unknown.name()));
        }
        if mailbox.is_odd() {
            return self.complete_no(tag, verb, Some(Code::NonExistent), "No such mailbox");
        }
        // RFC 7162, 3.1: asking for it switches CONDSTORE on.
        self.enabled.condstore |= items.contains(StatusItem::HighestModSeq);
        let question = Question::Status { mailbox: mailbox.clone(), items };
        let answer = self.ask::<ask::Status>(tag, verb, question);
        self.events.push_back(Event::Status { answer, mailbox, items });
    }

    pub(super) fn settle_status(&mut self, number: u64, answer: Result<MailboxStatus, Refusal>) -> Result<(), Stale> {
        let (tag, verb, question) = self.redeemed(number)?;
        let Question::Status { mailbox, items } = question else {
            unreachable!("the number was given to another kind of question")
        };
        match answer {
            Ok(mut status) => {
                status.mailbox = mailbox;
                // No message is ever \Recent, and the limit is the server's.
                status.recent = Some(0);
                status.append_limit = Some(Some(self.config.append_limit));
                self.data(&Data::MailboxStatus(only(status, items)));
                self.complete_ok(tag, verb);
            }
            Err(refusal) => self.complete(tag, verb, refusal.into_status()),
        }
        Ok(())
    }

    // ── CREATE and its like ──

    pub(super) fn create(&mut self, tag: Tag, mailbox: Mailbox, special_use: Vec<MailboxAttribute>) {
        let verb = Verb::Create;
        if !special_use.is_empty() && !self.offers(&Capability::CreateSpecialUse) {
            return self.complete_bad(tag, verb, "USE is not on offer");
        }
        match self.new_name(&mailbox) {
            Ok(mailbox) => self.manage(tag, verb, MailboxOp::Create { mailbox, special_use }),
            Err(refusal) => self.complete(tag, verb, refusal.into_status()),
        }
    }

    pub(super) fn delete(&mut self, tag: Tag, mailbox: &Mailbox) {
        let verb = Verb::Delete;
        match self.plain_name(mailbox) {
            Some(mailbox) if mailbox.is_inbox() => {
                self.complete_no(tag, verb, Some(Code::Cannot), "INBOX cannot be deleted");
            }
            Some(mailbox) => self.manage(tag, verb, MailboxOp::Delete(mailbox)),
            None => self.complete_no(tag, verb, Some(Code::NonExistent), "No such mailbox"),
        }
    }

    pub(super) fn rename(&mut self, tag: Tag, from: &Mailbox, to: &Mailbox) {
        let verb = Verb::Rename;
        let Some(from) = self.plain_name(from) else {
            return self.complete_no(tag, verb, Some(Code::NonExistent), "No such mailbox");
        };
        match self.new_name(to) {
            Ok(to) => self.manage(tag, verb, MailboxOp::Rename { from, to }),
            Err(refusal) => self.complete(tag, verb, refusal.into_status()),
        }
    }

    pub(super) fn subscribe(&mut self, tag: Tag, verb: Verb, mailbox: &Mailbox) {
        let Some(mailbox) = self.plain_name(mailbox) else {
            return self.complete_no(tag, verb, Some(Code::NonExistent), "No such mailbox");
        };
        let op = match verb {
            Verb::Unsubscribe => MailboxOp::Unsubscribe(mailbox),
            _ => MailboxOp::Subscribe(mailbox),
        };
        self.manage(tag, verb, op);
    }

    fn manage(&mut self, tag: Tag, verb: Verb, op: MailboxOp) {
        let answer = self.ask::<ask::Manage>(tag, verb, Question::Manage);
        self.events.push_back(Event::Manage { answer, op });
    }

    /// The name without a delimiter at its end, which some clients leave there. `None` if it is odd.
    fn plain_name(&self, mailbox: &Mailbox) -> Option<Mailbox> {
        if mailbox.is_odd() {
            return None;
        }
        let name = mailbox.name();
        let Some(delimiter) = self.config.delimiter else { return Some(mailbox.clone()) };
        Mailbox::new(name.strip_suffix(delimiter).unwrap_or(&name)).ok()
    }

    /// A name that a mailbox may be given.
    fn new_name(&self, mailbox: &Mailbox) -> Result<Mailbox, Refusal> {
        let limits = &self.config.limits;
        let Some(mailbox) = self.plain_name(mailbox) else {
            return Err(Refusal::cannot("That cannot be the name of a mailbox"));
        };
        if mailbox.is_inbox() {
            return Err(Refusal::already_exists());
        }
        let name = mailbox.name();
        if name.len() > limits.name {
            return Err(Refusal::cannot("The name is too long"));
        }
        let levels = name.split(|c| Some(c) == self.config.delimiter);
        if levels.clone().count() > limits.levels {
            return Err(Refusal::cannot("The name has too many levels"));
        }
        // Names are never paths here, but somebody may make them that.
        if levels.clone().any(|level| matches!(level, "" | "." | "..")) {
            return Err(Refusal::cannot("A level of the name is empty or made of dots"));
        }
        Ok(mailbox)
    }
}

/// A pattern relative to a reference. `None` if it cannot match anything.
fn under(reference: &ListPattern, pattern: &ListPattern) -> Option<ListPattern> {
    ListPattern::new(alloc::format!("{}{}", reference.as_str()?, pattern.as_str()?))
}

/// LSUB knows of no attributes but `\Noselect`, for a name that is above subscribed ones and not subscribed
/// (RFC 3501, 6.3.9).
fn as_lsub(mut entry: ListEntry) -> ListEntry {
    if !entry.attributes.contains(&MailboxAttribute::Subscribed) {
        entry.attributes = [MailboxAttribute::NoSelect].into();
    }
    entry.attributes.retain(|attribute| match attribute {
        MailboxAttribute::NoSelect | MailboxAttribute::NoInferiors => true,
        MailboxAttribute::Marked | MailboxAttribute::Unmarked => true,
        MailboxAttribute::NonExistent | MailboxAttribute::HasChildren | MailboxAttribute::HasNoChildren => false,
        MailboxAttribute::Subscribed | MailboxAttribute::Remote | MailboxAttribute::All => false,
        MailboxAttribute::Archive | MailboxAttribute::Drafts | MailboxAttribute::Flagged => false,
        MailboxAttribute::Junk | MailboxAttribute::Sent | MailboxAttribute::Trash => false,
        MailboxAttribute::Important | MailboxAttribute::Other(_) => false,
    });
    entry.child_info = Vec::<Atom>::new();
    entry.old_name = None;
    entry
}

/// Only the figures that were asked for.
fn only(status: MailboxStatus, items: StatusItems) -> MailboxStatus {
    let mut some = MailboxStatus::new(status.mailbox);
    for item in items.iter() {
        match item {
            StatusItem::Messages => some.messages = status.messages,
            StatusItem::Recent => some.recent = Some(0),
            StatusItem::UidNext => some.uid_next = status.uid_next,
            StatusItem::UidValidity => some.uid_validity = status.uid_validity,
            StatusItem::Unseen => some.unseen = status.unseen,
            StatusItem::Deleted => some.deleted = status.deleted,
            StatusItem::Size => some.size = status.size,
            StatusItem::HighestModSeq => some.highest_modseq = status.highest_modseq,
            StatusItem::AppendLimit => some.append_limit = status.append_limit,
            StatusItem::MailboxId => some.mailbox_id = status.mailbox_id.clone(),
        }
    }
    some
}
