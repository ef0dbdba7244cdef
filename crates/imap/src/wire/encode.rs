//! Types to octets: the parts that commands and responses have in common.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use bytes::Bytes;
use postrider_core::Link;

use super::atom::{Atom, is_atom_char};
use super::fetch::{Section, SectionText};
use super::flag::Flags;
use super::list::ListPattern;
use super::mailbox::Mailbox;

/// What both sides have agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Dialect {
    /// Mailbox names and quoted strings are UTF-8: after ENABLE IMAP4rev2 or UTF8=ACCEPT. Else names are modified
    /// UTF-7 and quoted strings ASCII.
    pub utf8: bool,
    /// Which literals a client may send without waiting. Means nothing to a server's responses.
    pub literals: Literals,
}

impl Dialect {
    /// IMAP4rev1: modified UTF-7, literals that wait.
    pub const REV1: Self = Self { utf8: false, literals: Literals::Wait };
    /// UTF-8, literals that wait.
    pub const UTF8: Self = Self { utf8: true, literals: Literals::Wait };

    /// The same with these literals.
    #[must_use]
    pub fn with_literals(self, literals: Literals) -> Self {
        Self { literals, ..self }
    }
}

/// Which literals a client sends without waiting to be invited (RFC 7888).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Literals {
    /// None.
    #[default]
    Wait,
    /// LITERAL-: those of at most 4,096 octets.
    Minus,
    /// LITERAL+: all.
    Plus,
}

impl Literals {
    /// Whether one of that size must wait.
    pub fn wait_for(self, size: u64) -> bool {
        match self {
            Self::Wait => true,
            Self::Minus => size > 4096,
            Self::Plus => false,
        }
    }
}

/// Where commands and responses are written. It chooses between atom, quoted string and literal, and takes only
/// checked values, so that what is in it is always well formed.
#[derive(Debug)]
pub struct Encoder {
    dialect: Dialect,
    client: bool,
    out: Vec<u8>,
    /// The lines that have ended.
    ends: Vec<End>,
    /// Where something secret begins; the rest of its command is secret too.
    secret: Option<usize>,
    /// An item of the FETCH response being written is there already.
    pub(crate) fetch_goes_on: bool,
}

#[derive(Clone, Copy, Debug)]
struct End {
    /// Where in `out` the line ends.
    at: usize,
    /// Octets of the literal after it.
    literal: usize,
    waits: bool,
}

/// A piece of what was encoded, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// Part of a line. CRLF follows if `ends`.
    Line {
        /// Its octets.
        octets: &'a [u8],
        /// From which of its octets on it is secret.
        secret_from: Option<usize>,
        /// Whether the line ends here.
        ends: bool,
        /// The line announces a literal that waits to be invited.
        waits: bool,
    },
    /// The octets of a literal.
    Literal(&'a [u8]),
}

impl Encoder {
    /// For commands.
    pub fn commands(dialect: Dialect) -> Self {
        Self { dialect, client: true, out: Vec::new(), ends: Vec::new(), secret: None, fetch_goes_on: false }
    }

    /// For responses, whose literals never wait.
    pub fn responses(dialect: Dialect) -> Self {
        Self { client: false, ..Self::commands(dialect) }
    }

    /// What both sides have agreed on.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Both sides have agreed on something else.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// Throws away what is in it and keeps the memory.
    pub fn clear(&mut self) {
        self.out.clear();
        self.ends.clear();
        self.secret = None;
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty() && self.ends.is_empty()
    }

    /// Octets in it, line ends aside.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether a literal in it must be invited before it is sent.
    pub fn waits(&self) -> bool {
        self.ends.iter().any(|end| end.waits)
    }

    /// What was encoded.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut ends = self.ends.iter();
        let mut at = 0;
        let mut literal = 0;
        let mut tail = true;
        core::iter::from_fn(move || {
            if literal > 0 {
                let octets = &self.out[at..at + literal];
                at += literal;
                literal = 0;
                return Some(Piece::Literal(octets));
            }
            let start = at;
            let secret_from = |end: usize| self.secret.filter(|secret| *secret < end).map(|s| s.saturating_sub(start));
            if let Some(end) = ends.next() {
                at = end.at;
                literal = end.literal;
                let octets = &self.out[start..end.at];
                return Some(Piece::Line { octets, secret_from: secret_from(end.at), ends: true, waits: end.waits });
            }
            let octets = &self.out[start..];
            let more = core::mem::replace(&mut tail, false) && !octets.is_empty();
            more.then(|| Piece::Line { octets, secret_from: secret_from(self.out.len()), ends: false, waits: false })
        })
    }

    /// All of it as octets, without waiting for anything. For tests and tools.
    pub fn to_bytes(&self) -> Bytes {
        let mut all = Vec::with_capacity(self.out.len() + 2 * self.ends.len());
        for piece in self.pieces() {
            match piece {
                Piece::Line { octets, ends, .. } => {
                    all.extend_from_slice(octets);
                    all.extend_from_slice(if ends { b"\r\n" } else { b"" });
                }
                Piece::Literal(octets) => all.extend_from_slice(octets),
            }
        }
        all.into()
    }

    /// Queues all of it, and is empty then. For servers, who need not wait.
    pub fn send(&mut self, link: &mut Link) {
        for piece in self.pieces() {
            match piece {
                Piece::Line { octets, secret_from, ends, .. } => {
                    let (plain, secret) = octets.split_at(secret_from.unwrap_or(octets.len()));
                    link.put(plain);
                    if !secret.is_empty() {
                        link.put_secret(secret);
                    }
                    if ends {
                        link.end_line();
                    }
                }
                Piece::Literal(octets) => link.put_body(octets),
            }
        }
        self.clear();
    }

    // ── for the encoders of commands and responses ──

    pub(crate) fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn put_bytes(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    pub(crate) fn display(&mut self, value: impl core::fmt::Display) {
        // Through a String: Vec is no fmt::Write without std.
        let mut text = String::new();
        write!(text, "{value}").expect("a String takes everything");
        self.put(&text);
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    pub(crate) fn end_line(&mut self) {
        self.ends.push(End { at: self.out.len(), literal: 0, waits: false });
    }

    /// From here on it is secret.
    pub(crate) fn secret(&mut self) {
        self.secret.get_or_insert(self.out.len());
    }

    pub(crate) fn atom(&mut self, atom: &Atom) {
        self.put_bytes(atom.as_bytes());
    }

    /// Announces a literal whose octets do not go through the encoder.
    pub(crate) fn announce(&mut self, size: u64, binary: bool) {
        if binary {
            self.put("~");
        }
        let waits = self.client && self.dialect.literals.wait_for(size);
        self.put("{");
        self.number(size);
        self.put(if self.client && !waits { "+}" } else { "}" });
        self.ends.push(End { at: self.out.len(), literal: 0, waits });
    }

    pub(crate) fn literal(&mut self, octets: &[u8]) {
        self.announce(octets.len() as u64, false);
        if let Some(end) = self.ends.last_mut() {
            end.literal = octets.len();
        }
        self.put_bytes(octets);
    }

    /// string: quoted, or a literal.
    pub(crate) fn string(&mut self, octets: &[u8]) {
        // A quoted string is as good as unlimited by RFC 9051, but lines are not: RFC 7162, 4 has 8,192.
        const LONGEST_QUOTED: usize = 1024;
        let fits = |b: &u8| !matches!(b, 0 | b'\r' | b'\n') && (b.is_ascii() || self.dialect.utf8);
        let quotable = octets.len() <= LONGEST_QUOTED
            && octets.iter().all(fits)
            && (octets.is_ascii() || core::str::from_utf8(octets).is_ok());
        if !quotable {
            return self.literal(octets);
        }
        self.put("\"");
        let mut rest = octets;
        while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
            self.put_bytes(&rest[..at]);
            self.put("\\");
            self.put_bytes(&rest[at..=at]);
            rest = &rest[at + 1..];
        }
        self.put_bytes(rest);
        self.put("\"");
    }

    /// nstring: NIL for `None`.
    pub(crate) fn nstring(&mut self, octets: Option<&[u8]>) {
        match octets {
            Some(octets) => self.string(octets),
            None => self.put("NIL"),
        }
    }

    /// astring: bare if it can be.
    pub(crate) fn astring(&mut self, octets: &[u8]) {
        let bare = !octets.is_empty()
            && octets.iter().all(|b| is_atom_char(*b) || *b == b']')
            && !octets.eq_ignore_ascii_case(b"NIL");
        if bare { self.put_bytes(octets) } else { self.string(octets) }
    }

    pub(crate) fn mailbox(&mut self, mailbox: &Mailbox) {
        let name = mailbox.encode(self.dialect.utf8);
        self.astring(&name);
    }

    pub(crate) fn list_pattern(&mut self, pattern: &ListPattern) {
        let octets = pattern.encode(self.dialect.utf8);
        let bare = !octets.is_empty() && octets.iter().all(|b| is_atom_char(*b) || matches!(b, b'%' | b'*' | b']'));
        if bare { self.put_bytes(&octets) } else { self.string(&octets) }
    }

    pub(crate) fn flags(&mut self, flags: &Flags) {
        self.put("(");
        for (i, flag) in flags.iter().enumerate() {
            if i > 0 {
                self.put(" ");
            }
            flag.encode(self);
        }
        self.put(")");
    }

    pub(crate) fn section(&mut self, section: &Section) {
        self.put("[");
        self.part_numbers(&section.part);
        if let Some(text) = &section.text {
            if !section.part.is_empty() {
                self.put(".");
            }
            match text {
                SectionText::Header => self.put("HEADER"),
                SectionText::Text => self.put("TEXT"),
                SectionText::Mime => self.put("MIME"),
                SectionText::HeaderFields(fields) => self.header_fields("HEADER.FIELDS (", fields),
                SectionText::HeaderFieldsNot(fields) => self.header_fields("HEADER.FIELDS.NOT (", fields),
            }
        }
        self.put("]");
    }

    fn header_fields(&mut self, start: &str, fields: &[Bytes]) {
        self.put(start);
        for (i, field) in fields.iter().enumerate() {
            if i > 0 {
                self.put(" ");
            }
            self.astring(field);
        }
        self.put(")");
    }

    pub(crate) fn part_numbers(&mut self, part: &[u32]) {
        for (i, number) in part.iter().enumerate() {
            if i > 0 {
                self.put(".");
            }
            self.number(u64::from(*number));
        }
    }
}
