//! Responses (RFC 9051, 7).

use alloc::vec::Vec;

use bytes::Bytes;
use postrider_core::Text;

use super::atom::{Atom, Tag};
use super::capability::Capabilities;
use super::fetch::{FetchItem, Raw};
use super::flag::Flags;
use super::list::{ListEntry, Namespaces};
use super::search::Esearch;
use super::set::{SequenceSet, UidSet};
use super::status::MailboxStatus;

/// One response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response {
    /// `tag OK ...`: a command is done.
    Tagged {
        /// The command's tag.
        tag: Tag,
        /// How it went.
        status: Status,
    },
    /// `+ ...`: the server wants more.
    Continue(Continue),
    /// `* ...`: data, asked for or not.
    Data(Data),
}

/// A continuation request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Continue {
    /// What it says: text for people, or base64 during AUTHENTICATE.
    pub text: Bytes,
}

/// OK, NO, BAD and their like, with what they say (RFC 9051, 7.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Which of them.
    pub condition: Condition,
    /// The machine's part, in brackets.
    pub code: Option<Code>,
    /// The people's part. May be empty, from some servers.
    pub text: Text,
}

/// How a thing went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Done, or for information.
    Ok,
    /// Not done, or a warning.
    No,
    /// Not understood.
    Bad,
    /// The greeting of a server that knows who we are already. Never tagged.
    PreAuth,
    /// The server closes the connection. Never tagged.
    Bye,
}

/// A response code (RFC 9051, 7.1; RFC 5530; RFC 4315; RFC 7162). One that is not well formed is an
/// [`Code::Other`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Code {
    /// ALERT: the text must be shown.
    Alert,
    /// ALREADYEXISTS.
    AlreadyExists,
    /// APPENDUID: where the appended messages are.
    AppendUid {
        /// The mailbox's UIDVALIDITY.
        uid_validity: u32,
        /// Their UIDs, in order.
        uids: UidSet,
    },
    /// AUTHENTICATIONFAILED.
    AuthenticationFailed,
    /// AUTHORIZATIONFAILED.
    AuthorizationFailed,
    /// BADCHARSET, with those that would do.
    BadCharset(Vec<Bytes>),
    /// CANNOT: never possible.
    Cannot,
    /// CAPABILITY.
    Capability(Capabilities),
    /// CLIENTBUG.
    ClientBug,
    /// CLOSED: what follows is about the newly selected mailbox.
    Closed,
    /// CONTACTADMIN.
    ContactAdmin,
    /// COPYUID: where the copies are.
    CopyUid {
        /// The target's UIDVALIDITY.
        uid_validity: u32,
        /// The UIDs copied, in order.
        from: UidSet,
        /// The UIDs of the copies, in the same order.
        to: UidSet,
    },
    /// CORRUPTION.
    Corruption,
    /// EXPIRED.
    Expired,
    /// EXPUNGEISSUED.
    ExpungeIssued,
    /// HASCHILDREN.
    HasChildren,
    /// HIGHESTMODSEQ (RFC 7162).
    HighestModSeq(u64),
    /// INUSE.
    InUse,
    /// LIMIT.
    Limit,
    /// MAILBOXID (RFC 8474).
    MailboxId(Bytes),
    /// MODIFIED: those that STORE left alone (RFC 7162).
    Modified(SequenceSet),
    /// NOMODSEQ (RFC 7162).
    NoModSeq,
    /// NONEXISTENT.
    NonExistent,
    /// NOPERM.
    NoPerm,
    /// NOTSAVED (RFC 5182).
    NotSaved,
    /// OVERQUOTA.
    OverQuota,
    /// PARSE: a message could not be parsed.
    Parse,
    /// PERMANENTFLAGS: those that can be changed for good.
    PermanentFlags(Flags),
    /// PRIVACYREQUIRED: not without TLS.
    PrivacyRequired,
    /// READ-ONLY.
    ReadOnly,
    /// READ-WRITE.
    ReadWrite,
    /// SERVERBUG.
    ServerBug,
    /// TOOBIG (RFC 4469): larger than the server takes.
    TooBig,
    /// TRYCREATE: the target does not exist but could.
    TryCreate,
    /// UIDNEXT. Never zero.
    UidNext(u32),
    /// UIDNOTSTICKY: UIDs do not last.
    UidNotSticky,
    /// UIDVALIDITY. Never zero.
    UidValidity(u32),
    /// UNAVAILABLE: try later.
    Unavailable,
    /// UNKNOWN-CTE (RFC 3516): cannot decode the part.
    UnknownCte,
    /// UNSEEN (IMAP4rev1): the first message without `\Seen`. Never zero.
    Unseen(u32),
    /// Any other, or one of the above with nonsense in it.
    Other {
        /// Its first word.
        name: Atom,
        /// What follows it, without CR, LF and `]`.
        arguments: Option<Text>,
    },
}

/// What ID says (RFC 2971): pairs of a name and a value.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Id(pub Vec<(Bytes, Option<Bytes>)>);

impl Id {
    /// At most so many pairs (RFC 2971, 3.3).
    pub const LIMIT: usize = 30;

    /// The value of that name, in any case.
    pub fn value(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes())).and_then(|(_, value)| value.as_ref())
    }
}

/// An untagged response.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Data {
    /// OK, NO, BAD, PREAUTH or BYE.
    Status(Status),
    /// CAPABILITY.
    Capability(Capabilities),
    /// ENABLED.
    Enabled(Capabilities),
    /// ID; `None` is NIL.
    Id(Option<Id>),
    /// LIST.
    List(ListEntry),
    /// LSUB (IMAP4rev1).
    Lsub(ListEntry),
    /// NAMESPACE.
    Namespace(Namespaces),
    /// STATUS.
    MailboxStatus(MailboxStatus),
    /// FLAGS: those in use in the mailbox.
    Flags(Flags),
    /// SEARCH (IMAP4rev1): numbers found, as ranges in the order sent, and with MODSEQ the highest of them
    /// (RFC 7162).
    Search {
        /// What was found.
        found: UidSet,
        /// The highest mod-sequence among them.
        modseq: Option<u64>,
    },
    /// ESEARCH.
    Esearch(Esearch),
    /// EXISTS: how many messages there are.
    Exists(u32),
    /// RECENT (IMAP4rev1): how many have `\Recent`.
    Recent(u32),
    /// EXPUNGE: this one is gone, and those after it move down. Never zero.
    Expunge(u32),
    /// VANISHED: these UIDs are gone (RFC 7162).
    Vanished {
        /// They were gone before: sequence numbers do not change.
        earlier: bool,
        /// Which.
        uids: UidSet,
    },
    /// FETCH: items of one message.
    Fetch {
        /// The sequence number. Zero from some servers, and then it is no message.
        number: u32,
        /// The items.
        items: Vec<FetchItem>,
    },
    /// A response that we do not know, or that is not well formed: all of it after `* `.
    Raw(Raw),
}
