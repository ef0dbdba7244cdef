//! What a server session asks and reports.

use super::ask;
use crate::wire::{
    Append, Attribute, FlagChange, Flags, ListPattern, ListReturn, ListSelect, Mailbox, MailboxAttribute, SearchKey,
    SelectParams, StatusItems, UidSet,
};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use postrider_core::{Closed, Pending};
use postrider_sasl::{Attempt, ScramHash};

/// What a [`Server`](super::Server) asks and reports.
///
/// Questions come one at a time; each carries the `answer` it wants. New kinds of questions come only from what is
/// switched on in the configuration. For those you do not know there is [`Server::decline`](super::Server::decline).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Somebody claims to be somebody (LOGIN, AUTHENTICATE).
    Auth {
        /// Yes: whom the session acts for from now on.
        answer: Pending<ask::Auth>,
        /// The claim.
        attempt: Attempt,
    },
    /// A user logs in with SCRAM: what is kept of their password? Only if SCRAM is among the
    /// [mechanisms](super::Config::mechanisms). If the client proves that it knows the password, [`Event::Auth`] follows.
    Scram {
        /// Yes brings the credentials, for a user there is not
        /// [`ScramCredentials::for_nobody`](postrider_sasl::ScramCredentials::for_nobody).
        answer: Pending<ask::Scram>,
        /// Who it claims to be. Not empty, no NUL.
        user: String,
        /// The hash function that the credentials must be for.
        hash: ScramHash,
    },
    /// A user logs in with CRAM-MD5. Only if that is among the [mechanisms](super::Config::mechanisms).
    Challenge {
        /// Yes brings a timestamp that was never used before.
        answer: Pending<ask::Challenge>,
    },
    /// A mailbox is to be selected. If one was, [`Event::Deselected`] came before.
    ///
    /// Right after the answer, [`notify`](super::Server::notify) of whatever has changed since its UIDs were taken; what
    /// is notified before the answer means nothing.
    Select {
        /// Yes: what there is, [`Selected`](super::Selected).
        answer: Pending<ask::Select>,
        /// Which mailbox. It is never [odd](Mailbox::is_odd).
        mailbox: Mailbox,
        /// EXAMINE: nothing may change. The session keeps the client from changing anything.
        read_only: bool,
        /// Parameters of extensions; empty unless these are switched on.
        params: SelectParams,
    },
    /// Mailboxes are to be listed (LIST, LSUB).
    ///
    /// Give each name that matches with [`Server::respond`](super::Server::respond), then answer.
    List {
        /// Wants [`Listed`](super::Listed) parts.
        answer: Pending<ask::List>,
        /// Which names, and what of each.
        request: ListRequest,
    },
    /// The figures of a mailbox that need not be selected.
    Status {
        /// Yes: the figures asked for; others are not sent.
        answer: Pending<ask::Status>,
        /// Which mailbox.
        mailbox: Mailbox,
        /// Which figures.
        items: StatusItems,
    },
    /// Mailboxes or subscriptions are to be changed.
    Manage {
        /// Yes: done, and durable.
        answer: Pending<ask::Manage>,
        /// How.
        op: MailboxOp,
    },
    /// A message is to be stored. Asked before it is sent where the client waits to be invited, so that a refusal costs nothing.
    /// After Yes come [`Event::AppendBody`]s and then [`Event::Appended`], or [`Event::AppendAborted`].
    Append {
        /// Yes: go on. No: with [`Code::TryCreate`](crate::wire::Code::TryCreate) if the mailbox does not exist but
        /// could.
        answer: Pending<ask::Append>,
        /// Where to, its flags, its date, its size.
        message: Append,
    },
    /// More of the message. All parts together have the size announced.
    AppendBody(Bytes),
    /// All of the message has been reported.
    Appended {
        /// Yes: it is stored and durable. If its mailbox is the selected one, notify of it first, so that EXISTS comes
        /// before the completion (RFC 9051, 6.3.12).
        answer: Pending<ask::Appended>,
    },
    /// The message does not come to its end (a syntax error after it, a lost connection, or a timeout): throw away what came of it.
    AppendAborted,
    /// Messages are to be read.
    ///
    /// For each message that is still there, in ascending order of UIDs: [`FetchPart::Message`](super::FetchPart),
    /// its items, its literals; then answer. UIDs without a message are passed over. Between messages, wait while
    /// [`Server::is_congested`](super::Server::is_congested).
    Fetch {
        /// Wants [`FetchPart`](super::FetchPart)s.
        answer: Pending<ask::Fetch>,
        /// Which messages: ranges in which every message is meant.
        messages: UidSet,
        /// What of each, in the order asked for. UID is written by the session.
        items: Vec<Attribute>,
        /// Reading these items makes a message `\Seen` (RFC 9051, 6.4.5): it is for the application to set the flag, and, where
        /// it was not set, to report the new flags, by an item or by [`Change::Flags`](super::Change). Never in a
        /// mailbox that is selected read-only.
        mark_seen: bool,
        /// CHANGEDSINCE: only messages with a higher mod-sequence (RFC 7162, 3.1.4). Only if CONDSTORE is on.
        changed_since: Option<u64>,
    },
    /// Flags are to be changed.
    ///
    /// For each message that is still there give its new flags with [`Server::respond`](super::Server::respond), then answer.
    Store {
        /// Wants [`Stored`](super::Stored) parts. The session sends them only if the client wants to see them.
        answer: Pending<ask::Store>,
        /// Which messages: ranges in which every message is meant.
        messages: UidSet,
        /// How.
        change: FlagChange,
        /// UNCHANGEDSINCE: leave messages with a higher mod-sequence alone, and name them in the answer
        /// (RFC 7162, 3.1.3). Only if CONDSTORE is on.
        unchanged_since: Option<u64>,
    },
    /// Messages are to be found.
    Search {
        /// Yes: which.
        answer: Pending<ask::Search>,
        /// Among which messages: those the client knows of.
        among: UidSet,
        /// What to look for. Numbers and `$` have become [`SearchKey::Uid`] with plain ranges; strings are UTF-8.
        key: SearchKey,
    },
    /// Messages are to be copied, all or none (RFC 9051, 6.4.7).
    Copy {
        /// Yes: which copies were made of which.
        answer: Pending<ask::Copy>,
        /// Which messages: ranges in which every message is meant.
        messages: UidSet,
        /// Where to.
        to: Mailbox,
        /// MOVE: the originals go, in the same step.
        remove: bool,
    },
    /// Messages with `\Deleted` are to be removed (EXPUNGE, UID EXPUNGE, CLOSE).
    Expunge {
        /// Yes: which went.
        answer: Pending<ask::Expunge>,
        /// Only those among these.
        only: Option<UidSet>,
    },
    /// IDLE began (true) or ended (false): between the two, each [`Server::notify`](super::Server::notify) goes out at once.
    Listening(bool),
    /// No mailbox is selected any more: changes are not wanted.
    Deselected,
    /// The session is over. The last event.
    Closed(Closed),
}

/// Which mailboxes to list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListRequest {
    /// A name must match one of these. The reference is already part of them.
    pub patterns: Vec<ListPattern>,
    /// Which of those that match.
    pub select: ListSelect,
    /// What to say of each. LSUB and what the configuration promises are taken into account.
    pub returns: ListReturn,
}

impl ListRequest {
    /// Whether a name matches a pattern. INBOX does in any case (RFC 9051, 6.3.9).
    pub fn matches(&self, mailbox: &Mailbox, delimiter: Option<char>) -> bool {
        let name = mailbox.name();
        self.patterns.iter().any(|pattern| {
            if pattern.matches(&name, delimiter) {
                return true;
            }
            let upper = || pattern.as_str().and_then(|text| ListPattern::new(text.to_ascii_uppercase()));
            mailbox.is_inbox() && upper().is_some_and(|pattern| pattern.matches(&name, delimiter))
        })
    }
}

/// A change of mailboxes or subscriptions.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MailboxOp {
    /// CREATE. What is missing above it in the hierarchy is made too.
    Create {
        /// Its name, without a trailing delimiter.
        mailbox: Mailbox,
        /// What it is for (RFC 6154, 3). Refuse with `[USEATTR]` what cannot be.
        special_use: Vec<MailboxAttribute>,
    },
    /// DELETE. Not what is below it. Never INBOX.
    Delete(Mailbox),
    /// RENAME, and what is below it. Of INBOX the messages are moved and it stays (RFC 9051, 6.3.6). Never to INBOX.
    Rename {
        /// The old name.
        from: Mailbox,
        /// The new name.
        to: Mailbox,
    },
    /// SUBSCRIBE.
    Subscribe(Mailbox),
    /// UNSUBSCRIBE.
    Unsubscribe(Mailbox),
}

/// The selected mailbox changed. Saying a thing twice does no harm.
///
/// What the session's own answers have said (EXPUNGE, MOVE, the flags given to STORE) need not be said again.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Messages came: exactly these UIDs, in the order in which they came. Those not above all that the session knows
    /// are passed over.
    Added(UidSet),
    /// Messages went. UIDs that do not exist are passed over.
    Expunged(UidSet),
    /// A message's flags changed.
    Flags {
        /// Which message.
        uid: u32,
        /// All its flags now.
        flags: Flags,
        /// The message's mod-sequence now, if it has one.
        modseq: Option<u64>,
    },
}
