//! What the application answers with.

use crate::wire::{Code, Condition, FetchItem, Flag, Flags, ListEntry, MailboxStatus, Section, Status, UidSet};
use alloc::vec::Vec;
use bytes::Bytes;
use postrider_core::{ParseError, Text};

/// NO, with a reason for machines and one for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// For machines (RFC 5530).
    pub code: Option<Code>,
    /// For people.
    pub text: Text,
}

impl Refusal {
    /// A refusal without a code.
    pub fn new(text: Text) -> Self {
        Self { code: None, text }
    }

    /// A refusal with a code.
    pub fn with(code: Code, text: &'static str) -> Self {
        Self { code: Some(code), text: Text::literal(text) }
    }

    /// It cannot be done now, and may be later.
    pub fn unavailable() -> Self {
        Self::with(Code::Unavailable, "Try again later")
    }

    /// There is no such mailbox.
    pub fn no_such_mailbox() -> Self {
        Self::with(Code::NonExistent, "No such mailbox")
    }

    /// There is no such target of APPEND, COPY or MOVE, but it could be created.
    pub fn try_create() -> Self {
        Self::with(Code::TryCreate, "No such mailbox")
    }

    /// There is one of that name already.
    pub fn already_exists() -> Self {
        Self::with(Code::AlreadyExists, "Mailbox already exists")
    }

    /// The user has no room left.
    pub fn over_quota() -> Self {
        Self::with(Code::OverQuota, "Quota exceeded")
    }

    /// The user may not.
    pub fn forbidden() -> Self {
        Self::with(Code::NoPerm, "Permission denied")
    }

    /// It can never be done.
    pub fn cannot(text: &'static str) -> Self {
        Self::with(Code::Cannot, text)
    }

    pub(super) fn into_status(self) -> Status {
        Status { condition: Condition::No, code: self.code, text: self.text }
    }
}

/// A mailbox that was selected.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Selected {
    /// UIDVALIDITY. Not zero.
    pub uid_validity: u32,
    /// UIDNEXT. Not zero.
    pub uid_next: u32,
    /// The UIDs of all messages. Ascending is fastest.
    pub uids: Vec<u32>,
    /// The flags in use in the mailbox.
    pub flags: Flags,
    /// The flags that can be changed for good, [`Flag::Any`] among them if keywords can be made.
    pub permanent_flags: Flags,
    /// The UID of the first message without `\Seen`, if it is at hand; only IMAP4rev1 clients are told.
    pub first_unseen: Option<u32>,
    /// HIGHESTMODSEQ, if the mailbox keeps mod-sequences.
    pub highest_modseq: Option<u64>,
    /// The user may not change anything here.
    pub read_only: bool,
    /// The mailbox's identity, sent if OBJECTID is on.
    pub mailbox_id: Option<Bytes>,
}

impl Selected {
    /// The five system flags and new keywords can all be changed for good.
    pub fn new(uid_validity: u32, uid_next: u32, uids: Vec<u32>) -> Self {
        let system = [Flag::Answered, Flag::Flagged, Flag::Deleted, Flag::Seen, Flag::Draft];
        Self {
            uid_validity,
            uid_next,
            uids,
            flags: system.iter().cloned().collect(),
            permanent_flags: system.into_iter().chain([Flag::Any]).collect(),
            first_unseen: None,
            highest_modseq: None,
            read_only: false,
            mailbox_id: None,
        }
    }
}

/// A part of the answer to LIST.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Listed {
    /// One name. For LSUB, too: the session makes of it what that wants.
    Entry(ListEntry),
    /// The figures of the name before, if the request's `returns.status` asks for any and it can be selected.
    Status(MailboxStatus),
}

/// Where an appended message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppendedAt {
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// The message's UID.
    pub uid: u32,
}

/// A part of the answer to FETCH.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FetchPart {
    /// What follows is of the message with this UID. Ends the one before.
    Message(u32),
    /// An item. Large octets are better off as a [`FetchPart::Literal`].
    Item(FetchItem),
    /// An item as it was encoded before, at delivery.
    Encoded(Encoded),
    /// Octets that follow by [`Server::write`](super::Server::write), exactly `size` of them. If they do not, the
    /// session ends with the answer, since nothing else would be understood.
    Literal {
        /// Of what.
        of: LiteralOf,
        /// How many.
        size: u64,
    },
    /// The message ends. [`FetchPart::Message`] and the answer end it too, but only what has ended is sent: say it before you
    /// wait.
    End,
}

/// What a literal in FETCH is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LiteralOf {
    /// `BODY[...]`.
    Body {
        /// Which part of the message.
        section: Section,
        /// Where the window begins, if only a part was asked for ([`Partial`](crate::wire::Partial)).
        origin: Option<u64>,
    },
    /// `BINARY[...]`.
    Binary {
        /// The part's number.
        part: Vec<u32>,
        /// Where the window begins, if only a part was asked for.
        origin: Option<u64>,
    },
    /// RFC822, RFC822.HEADER or RFC822.TEXT.
    Rfc822(crate::wire::Rfc822Part),
}

/// An ENVELOPE or BODYSTRUCTURE as octets, made once and kept. Its form was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded {
    pub(crate) name: &'static str,
    pub(crate) value: Bytes,
}

impl Encoded {
    /// An ENVELOPE.
    ///
    /// # Errors
    /// [`ParseError`] if `value` is not one parenthesised list of words, strings, NILs and such lists.
    pub fn envelope(value: Bytes) -> Result<Self, ParseError> {
        check(&value).map(|()| Self { name: "ENVELOPE", value })
    }

    /// A BODYSTRUCTURE.
    ///
    /// # Errors
    /// As in [`Encoded::envelope`].
    pub fn body_structure(value: Bytes) -> Result<Self, ParseError> {
        check(&value).map(|()| Self { name: "BODYSTRUCTURE", value })
    }

    /// A BODY without a section.
    ///
    /// # Errors
    /// As in [`Encoded::envelope`].
    pub fn body(value: Bytes) -> Result<Self, ParseError> {
        check(&value).map(|()| Self { name: "BODY", value })
    }
}

/// One parenthesised list: parentheses pair, quoted strings end, literals have the length they say.
fn check(value: &[u8]) -> Result<(), ParseError> {
    let bad = |at, expected| Err(ParseError { at, expected });
    let (mut at, mut depth) = (0, 0u32);
    while let Some(&byte) = value.get(at) {
        if depth == 0 && byte != b'(' {
            return bad(at, "one list in parentheses");
        }
        at += 1;
        match byte {
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 && at < value.len() {
                    return bad(at, "nothing after the list");
                }
            }
            b'"' => loop {
                match value.get(at) {
                    Some(b'"') => {
                        at += 1;
                        break;
                    }
                    Some(b'\\') if matches!(value.get(at + 1), Some(b'"' | b'\\')) => at += 2,
                    Some(b'\\' | b'\r' | b'\n' | 0) | None => return bad(at, "the end of a quoted string"),
                    Some(_) => at += 1,
                }
            },
            b'{' => {
                let (size, header) = literal_header(&value[at..]).ok_or(ParseError { at, expected: "a literal" })?;
                at += header;
                match at.checked_add(size) {
                    Some(end) if end <= value.len() => at = end,
                    _ => return bad(at, "as many octets as the literal says"),
                }
            }
            b' '..=b'~' => {}
            _ => return bad(at - 1, "printable ASCII"),
        }
    }
    if depth == 0 && at > 0 { Ok(()) } else { bad(at, "the end of the list") }
}

/// After `{`: the size, and how many octets say it, `}` and CRLF included.
pub(crate) fn literal_header(after: &[u8]) -> Option<(usize, usize)> {
    let digits = after.iter().take(10).take_while(|b| b.is_ascii_digit()).count();
    let size = core::str::from_utf8(&after[..digits]).ok()?.parse().ok()?;
    after[digits..].starts_with(b"}\r\n").then_some((size, digits + 3))
}

/// A message whose flags a STORE changed, or would have if they had not been so already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its UID.
    pub uid: u32,
    /// All its flags now.
    pub flags: Flags,
    /// Its mod-sequence now, if it has one.
    pub modseq: Option<u64>,
}

/// How a STORE ended.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StoreDone {
    /// The UIDs that UNCHANGEDSINCE left alone. They are not among the [`Stored`].
    pub modified: UidSet,
}

/// What a SEARCH found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// The UIDs, in any order.
    pub uids: UidSet,
    /// The highest mod-sequence among them, if the search asked for MODSEQ (RFC 7162, 3.1.5).
    pub modseq: Option<u64>,
}

/// What a COPY or MOVE did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Copied {
    /// UIDVALIDITY of the target; 0 if the user may not know where the copies are.
    pub uid_validity: u32,
    /// The UIDs that were copied.
    pub from: UidSet,
    /// The UIDs of the copies, in the same order.
    pub to: UidSet,
}

/// What an EXPUNGE did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Expunged {
    /// The UIDs that went.
    pub uids: UidSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_list_is_encoded() {
        let ok = |text: &'static str| Encoded::envelope(Bytes::from_static(text.as_bytes())).is_ok();
        assert!(ok("(\"a\" NIL ((\"x\\\"y\" NIL \"b\" \"c\")) {3}\r\n)\r\n NIL 12)"));
        assert!(ok("()"));
        for bad in
            ["", "a", "(", ")", "())", "() ", "(\"a)", "(\"a\r\n\")", "({4}\r\nabc)", "({9999999999}\r\n)", "(a\r\nb)"]
        {
            assert!(!ok(bad), "{bad:?}");
        }
        assert!(!ok("(\0)") && !ok("(\"\\n\")") && !ok("({3}abc)"));
    }
}
