//! SEARCH (RFC 9051, 6.4.4) and ESEARCH (RFC 4731).

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::atom::Atom;
use super::date::Date;
use super::flag::Flag;
use super::set::{SequenceSet, UidSet};

/// A SEARCH or UID SEARCH command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// UID SEARCH: answer with UIDs.
    pub uid: bool,
    /// What to answer; `None` without RETURN: a SEARCH response in IMAP4rev1, ALL in IMAP4rev2.
    pub returns: Option<SearchReturn>,
    /// The charset of the strings; `None` if not said.
    pub charset: Option<Bytes>,
    /// What to look for; several keys at the top are a [`SearchKey::And`].
    pub key: SearchKey,
}

/// RETURN options of SEARCH. None set means ALL.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct SearchReturn {
    /// MIN: the lowest number found.
    pub min: bool,
    /// MAX: the highest number found.
    pub max: bool,
    /// ALL: everything found.
    pub all: bool,
    /// COUNT: how many were found.
    pub count: bool,
    /// SAVE: keep it as `$` (RFC 5182).
    pub save: bool,
    /// PARTIAL: some of what was found (RFC 9394).
    pub partial: Option<SearchPartial>,
}

/// `first:last` of the results, counted from 1; negative counts from the end. Neither is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SearchPartial {
    /// The first position.
    pub first: i64,
    /// The last position, included.
    pub last: i64,
}

/// What SEARCH looks for. Strings are matched as substrings, without case (RFC 9051, 6.4.4).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SearchKey {
    /// ALL messages.
    All,
    /// Those with this flag: SEEN, ANSWERED, FLAGGED, DELETED, DRAFT, RECENT and KEYWORD.
    Has(Flag),
    /// Those without it: UNSEEN, UNANSWERED, UNFLAGGED, UNDELETED, UNDRAFT, OLD and UNKEYWORD.
    HasNot(Flag),
    /// NEW (IMAP4rev1): `\Recent` and not `\Seen`.
    New,
    /// INTERNALDATE before that day.
    Before(Date),
    /// INTERNALDATE on that day.
    On(Date),
    /// INTERNALDATE on that day or after.
    Since(Date),
    /// Date field before that day.
    SentBefore(Date),
    /// Date field on that day.
    SentOn(Date),
    /// Date field on that day or after.
    SentSince(Date),
    /// SAVEDATE before that day (RFC 8514).
    SavedBefore(Date),
    /// SAVEDATE on that day.
    SavedOn(Date),
    /// SAVEDATE on that day or after.
    SavedSince(Date),
    /// INTERNALDATE more than that many seconds ago (RFC 5032). Never zero.
    Older(u32),
    /// INTERNALDATE at most that many seconds ago (RFC 5032). Never zero.
    Younger(u32),
    /// In the From field of the envelope.
    From(Bytes),
    /// In the To field.
    To(Bytes),
    /// In the Cc field.
    Cc(Bytes),
    /// In the Bcc field.
    Bcc(Bytes),
    /// In the Subject field.
    Subject(Bytes),
    /// In the body.
    Body(Bytes),
    /// In the header or the body.
    Text(Bytes),
    /// In that field of the header; an empty string asks whether there is such a field.
    Header {
        /// The name of the field.
        field: Bytes,
        /// What to look for in it.
        value: Bytes,
    },
    /// More octets than that.
    Larger(u64),
    /// Fewer octets than that.
    Smaller(u64),
    /// Sequence numbers.
    Messages(SequenceSet),
    /// UIDs.
    Uid(SequenceSet),
    /// Mod-sequence at least that (RFC 7162). The optional entry name is read and has no meaning left.
    ModSeq(u64),
    /// EMAILID (RFC 8474).
    EmailId(Bytes),
    /// THREADID (RFC 8474).
    ThreadId(Bytes),
    /// None of it.
    Not(Box<SearchKey>),
    /// One of the two, or both.
    Or(Box<(SearchKey, SearchKey)>),
    /// All of them. Never empty.
    And(Vec<SearchKey>),
}

/// An ESEARCH response: what SEARCH with RETURN found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Esearch {
    /// The tag of the command it answers.
    pub tag: Option<Bytes>,
    /// Numbers are UIDs.
    pub uid: bool,
    /// The lowest number.
    pub min: Option<u32>,
    /// The highest number.
    pub max: Option<u32>,
    /// Everything found. `None` also if nothing was.
    pub all: Option<UidSet>,
    /// How many were found.
    pub count: Option<u32>,
    /// The highest mod-sequence among those found (RFC 7162).
    pub modseq: Option<u64>,
    /// The window asked for, and what is in it (RFC 9394).
    pub partial: Option<(SearchPartial, UidSet)>,
    /// Items we do not know, with their values as written.
    pub others: Vec<(Atom, Bytes)>,
}
