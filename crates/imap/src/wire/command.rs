//! Commands (RFC 9051, 6).

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use postrider_core::Secret;

use super::atom::{Atom, Tag};
use super::capability::Capabilities;
use super::date::DateTime;
use super::fetch::Attribute;
use super::flag::Flags;
use super::list::{List, ListPattern, MailboxAttribute};
use super::mailbox::Mailbox;
use super::response::Id;
use super::search::Search;
use super::set::{SequenceSet, UidSet};
use super::status::StatusItems;

/// A command as it is sent, with its tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaggedCommand {
    /// Repeated in the response that completes the command.
    pub tag: Tag,
    /// What to do.
    pub command: Command,
}

/// A command, without its tag.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// CAPABILITY.
    Capability,
    /// NOOP.
    Noop,
    /// LOGOUT.
    Logout,
    /// STARTTLS.
    StartTls,
    /// AUTHENTICATE; what follows are base64 lines, not commands.
    Authenticate(Authenticate),
    /// LOGIN.
    Login {
        /// The user's name.
        user: Bytes,
        /// The password.
        password: Password,
    },
    /// ENABLE (RFC 5161).
    Enable(Capabilities),
    /// ID (RFC 2971); `None` is NIL.
    Id(Option<Id>),
    /// SELECT, or EXAMINE with `read_only`.
    Select {
        /// Which mailbox.
        mailbox: Mailbox,
        /// EXAMINE.
        read_only: bool,
        /// CONDSTORE and QRESYNC.
        params: SelectParams,
    },
    /// CREATE.
    Create {
        /// Which mailbox. A trailing delimiter says that children will follow.
        mailbox: Mailbox,
        /// What it is to be used for (RFC 6154, 3).
        special_use: Vec<MailboxAttribute>,
    },
    /// DELETE.
    Delete(Mailbox),
    /// RENAME.
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
    /// LIST.
    List(List),
    /// LSUB (IMAP4rev1).
    Lsub {
        /// What the pattern is relative to.
        reference: ListPattern,
        /// Which names.
        pattern: ListPattern,
    },
    /// NAMESPACE (RFC 2342).
    Namespace,
    /// STATUS.
    Status {
        /// Which mailbox.
        mailbox: Mailbox,
        /// What to know. Not empty.
        items: StatusItems,
    },
    /// APPEND, up to and without the message; that follows as a literal of `size` octets.
    Append(Append),
    /// IDLE (RFC 2177), until the line DONE.
    Idle,
    /// CHECK (IMAP4rev1).
    Check,
    /// CLOSE.
    Close,
    /// UNSELECT (RFC 3691).
    Unselect,
    /// EXPUNGE; with a set it is UID EXPUNGE (RFC 4315).
    Expunge(Option<SequenceSet>),
    /// SEARCH or UID SEARCH.
    Search(Search),
    /// FETCH or UID FETCH.
    Fetch(Fetch),
    /// STORE or UID STORE.
    Store(Store),
    /// COPY or UID COPY.
    Copy {
        /// The set is of UIDs.
        uid: bool,
        /// Which messages.
        messages: SequenceSet,
        /// Where to.
        to: Mailbox,
    },
    /// MOVE or UID MOVE (RFC 6851).
    Move {
        /// The set is of UIDs.
        uid: bool,
        /// Which messages.
        messages: SequenceSet,
        /// Where to.
        to: Mailbox,
    },
    /// Any other command, from parts. The parser does not make these.
    Other {
        /// The command's word.
        verb: Atom,
        /// Its arguments.
        arguments: Vec<Argument>,
    },
}

/// What AUTHENTICATE says (RFC 9051, 6.2.2; RFC 4959).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authenticate {
    /// The SASL mechanism.
    pub mechanism: Atom,
    /// The initial response, decoded; `Some` of nothing is written `=`.
    pub initial: Option<Password>,
}

/// Octets that must not be shown: `Debug` hides them, comparison takes constant time.
#[derive(Clone)]
pub struct Password(Secret<Bytes>);

impl Password {
    /// Wraps the octets.
    pub fn new(octets: impl Into<Bytes>) -> Self {
        Self(Secret::new(octets.into()))
    }

    /// The octets.
    pub fn reveal(&self) -> &Bytes {
        self.0.reveal()
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.matches(other.0.reveal())
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Parameters of SELECT and EXAMINE (RFC 7162).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct SelectParams {
    /// CONDSTORE.
    pub condstore: bool,
    /// QRESYNC.
    pub qresync: Option<Qresync>,
}

/// What a client remembers of a mailbox (RFC 7162, 3.2.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Qresync {
    /// The validity of the UIDs it knows.
    pub uid_validity: u32,
    /// The highest mod-sequence it knows.
    pub modseq: u64,
    /// The UIDs it knows; `None` for all.
    pub known: Option<UidSet>,
    /// Some sequence numbers and the UIDs they had.
    pub matching: Option<(UidSet, UidSet)>,
}

/// APPEND, without the message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// Where to.
    pub mailbox: Mailbox,
    /// The flags it gets.
    pub flags: Flags,
    /// The INTERNALDATE it gets; `None` is now.
    pub date: Option<DateTime>,
    /// Octets of the message.
    pub size: u64,
    /// The literal is a `literal8`: it may hold NUL (RFC 3516).
    pub binary: bool,
    /// The literal is inside `UTF8 (...)` (RFC 6855, 4).
    pub utf8: bool,
}

/// FETCH or UID FETCH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// The set is of UIDs.
    pub uid: bool,
    /// Which messages.
    pub messages: SequenceSet,
    /// What of them. Never empty.
    pub attributes: Vec<Attribute>,
    /// CHANGEDSINCE: only those with a higher mod-sequence (RFC 7162, 3.1.4.1).
    pub changed_since: Option<u64>,
    /// VANISHED: say also which UIDs are gone since then (RFC 7162, 3.2.6).
    pub vanished: bool,
}

/// STORE or UID STORE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// The set is of UIDs.
    pub uid: bool,
    /// Which messages.
    pub messages: SequenceSet,
    /// What to do with their flags.
    pub change: FlagChange,
    /// SILENT: do not say the new flags.
    pub silent: bool,
    /// UNCHANGEDSINCE: leave those with a higher mod-sequence alone (RFC 7162, 3.1.3).
    pub unchanged_since: Option<u64>,
}

/// A change of flags.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlagChange {
    /// How.
    pub mode: StoreMode,
    /// Which.
    pub flags: Flags,
}

/// How STORE changes flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreMode {
    /// FLAGS: these and no others (but `\Recent`).
    Replace,
    /// +FLAGS.
    Add,
    /// -FLAGS.
    Remove,
}

/// One argument of a [`Command::Other`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Argument {
    /// A word.
    Atom(Atom),
    /// A number.
    Number(u64),
    /// Octets, written as an atom, a quoted string or a literal.
    String(Bytes),
    /// The name of a mailbox.
    Mailbox(Mailbox),
    /// Messages.
    Messages(SequenceSet),
    /// Arguments in parentheses.
    List(Vec<Argument>),
}
