//! What FETCH asks for and what it gives (RFC 9051, 6.4.5 and 7.5.2).

use alloc::vec::Vec;

use bytes::Bytes;
use postrider_core::ParseError;

use super::body::BodyStructure;
use super::date::DateTime;
use super::envelope::Envelope;
use super::flag::Flags;

/// One item that a FETCH command asks for. ALL, FAST and FULL are read as what they stand for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Attribute {
    /// UID.
    Uid,
    /// FLAGS.
    Flags,
    /// INTERNALDATE.
    InternalDate,
    /// RFC822.SIZE.
    Size,
    /// ENVELOPE.
    Envelope,
    /// BODYSTRUCTURE.
    BodyStructure,
    /// BODY without a section: the structure without its optional fields.
    BodyBasic,
    /// `BODY[...]` or `BODY.PEEK[...]`.
    Body(BodyPeek),
    /// `BINARY[...]` or `BINARY.PEEK[...]` (RFC 3516): the part without its transfer encoding. Only part numbers.
    Binary(BodyPeek),
    /// `BINARY.SIZE[...]`, with the part's number.
    BinarySize(Vec<u32>),
    /// RFC822, RFC822.HEADER or RFC822.TEXT (IMAP4rev1).
    Rfc822(Rfc822Part),
    /// MODSEQ (RFC 7162).
    ModSeq,
    /// EMAILID (RFC 8474).
    EmailId,
    /// THREADID (RFC 8474).
    ThreadId,
    /// SAVEDATE (RFC 8514).
    SaveDate,
    /// PREVIEW (RFC 8970); with LAZY only if it is cheap.
    Preview {
        /// Only if the server has it at hand.
        lazy: bool,
    },
}

/// A section to fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BodyPeek {
    /// Which octets of the message.
    pub section: Section,
    /// Only some of them.
    pub partial: Option<Partial>,
    /// PEEK: do not set `\Seen`.
    pub peek: bool,
}

/// `<origin.length>`: a window on a section's octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partial {
    /// The first octet, counted from 0.
    pub origin: u64,
    /// How many at most. Never zero.
    pub length: u64,
}

/// Which part of a message (RFC 9051, 6.4.5.1). The default is all of it, `BODY[]`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Section {
    /// Part numbers, outermost first; empty for the message itself. Never zero.
    pub part: Vec<u32>,
    /// Which text of that part; `None` for its contents.
    pub text: Option<SectionText>,
}

/// The text of a section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SectionText {
    /// HEADER: the header of the message, or of a message/rfc822 part.
    Header,
    /// HEADER.FIELDS: only these fields. Never empty.
    HeaderFields(Vec<Bytes>),
    /// HEADER.FIELDS.NOT: all but these fields. Never empty.
    HeaderFieldsNot(Vec<Bytes>),
    /// TEXT: without the header.
    Text,
    /// MIME: the MIME header of the part; only with part numbers.
    Mime,
}

/// Which of the three old items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rfc822Part {
    /// RFC822: the same as `BODY[]`.
    Whole,
    /// RFC822.HEADER: the same as `BODY.PEEK[HEADER]`.
    Header,
    /// RFC822.TEXT: the same as `BODY[TEXT]`.
    Text,
}

/// One item of a FETCH response.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FetchItem {
    /// UID. Never zero.
    Uid(u32),
    /// FLAGS.
    Flags(Flags),
    /// INTERNALDATE.
    InternalDate(DateTime),
    /// RFC822.SIZE.
    Size(u64),
    /// ENVELOPE.
    Envelope(Envelope),
    /// BODYSTRUCTURE or BODY: [`BodyStructure::is_extended`].
    BodyStructure(BodyStructure),
    /// `BODY[...]`.
    Body {
        /// Which part.
        section: Section,
        /// Where the window begins, if only some of it was asked for.
        origin: Option<u64>,
        /// The octets; `None` if there is no such part.
        data: Option<Bytes>,
    },
    /// `BINARY[...]`.
    Binary {
        /// The part's number.
        part: Vec<u32>,
        /// Where the window begins, if only some of it was asked for.
        origin: Option<u64>,
        /// The octets; `None` if there is no such part.
        data: Option<Bytes>,
    },
    /// `BINARY.SIZE[...]`.
    BinarySize {
        /// The part's number.
        part: Vec<u32>,
        /// Octets without the transfer encoding.
        size: u64,
    },
    /// RFC822, RFC822.HEADER or RFC822.TEXT (IMAP4rev1).
    Rfc822 {
        /// Which of the three.
        part: Rfc822Part,
        /// The octets.
        data: Option<Bytes>,
    },
    /// MODSEQ (RFC 7162).
    ModSeq(u64),
    /// EMAILID (RFC 8474).
    EmailId(Bytes),
    /// THREADID (RFC 8474); may be NIL.
    ThreadId(Option<Bytes>),
    /// SAVEDATE (RFC 8514); may be NIL.
    SaveDate(Option<DateTime>),
    /// PREVIEW (RFC 8970); NIL if it is not at hand.
    Preview(Option<Bytes>),
    /// An item that we do not know, or that is not well formed; the others of its message are not harmed.
    Raw(Raw),
}

/// Something a peer sent that could not be read, kept as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Raw {
    /// The octets, name and value.
    pub bytes: Bytes,
    /// What was wrong with them. The offset is in the response.
    pub why: ParseError,
}
