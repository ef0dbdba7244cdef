//! Where a session stands between its commands and inside them.

use super::event::ListRequest;
use super::fetch::FetchOut;
use crate::dialogue::Verb;
use crate::wire::{Condition, Mailbox, SearchReturn, Status, StatusItems, Tag};
use alloc::boxed::Box;
use alloc::vec::Vec;
use postrider_sasl::{CramQuery, Denied, ScramQuery, ServerExchange};

/// What the session does next.
pub(super) enum Stage {
    /// The greeting is to be said.
    Greeting,
    /// TLS is to begin; then comes the greeting, or the next command.
    Tls { greet: bool },
    /// A command is to be read.
    Command,
    /// The rest of a refused command is thrown away, so many octets at most; then it is answered.
    Discarding { left: u64, done: Done },
    /// A base64 line of AUTHENTICATE is to be read.
    Sasl { tag: Tag, exchange: ServerExchange },
    /// Whatever the client answers to the last words, its login is refused.
    Refused { tag: Tag, denied: Denied },
    /// The message of APPEND is coming.
    Appending { tag: Tag },
    /// IDLE.
    Idle { tag: Tag },
    /// The application was asked.
    Asked { number: u64, tag: Tag, verb: Verb, question: Question },
    /// Flags that could not be kept were asked for; then that stage goes on.
    Refreshing { number: u64, then: Box<Stage>, out: FetchOut },
    /// Changes are told, and then the command is answered.
    Completing(Done),
    /// It is over.
    Closed,
}

/// What the application was asked, and what its answer needs.
pub(super) enum Question {
    /// The octets are sent before the login is refused.
    Auth(Option<Vec<u8>>),
    Scram(ScramQuery),
    Challenge(CramQuery),
    Select {
        mailbox: Mailbox,
        read_only: bool,
    },
    List {
        lsub: bool,
        request: ListRequest,
    },
    Status {
        mailbox: Mailbox,
        items: StatusItems,
    },
    Manage,
    Append {
        waits: bool,
        size: u64,
    },
    Appended,
    Fetch(FetchOut),
    Store {
        uid: bool,
        silent: bool,
        expunged: bool,
    },
    Search {
        uid: bool,
        returns: Option<SearchReturn>,
        expunged: bool,
    },
    Copy,
    Expunge,
}

/// How a command is answered.
pub(super) struct Done {
    /// `None`: it had no tag that could be read.
    pub(super) tag: Option<Tag>,
    pub(super) verb: Option<Verb>,
    pub(super) status: Status,
}

impl Done {
    pub(super) fn is_bad(&self) -> bool {
        self.status.condition == Condition::Bad
    }
}
