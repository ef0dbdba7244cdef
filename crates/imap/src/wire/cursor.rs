//! A place in a unit, and the words that commands and responses have in common (RFC 9051, 9).

use alloc::borrow::Cow;
use alloc::vec::Vec;

use bytes::Bytes;
use postrider_core::ParseError;

use super::atom::{Atom, is_atom_char};
use super::date::{Date, DateTime};
use super::fetch::{Section, SectionText};
use super::flag::{Flag, Flags};
use super::frame;
use super::mailbox::Mailbox;
use super::set::{SequenceSet, UidSet};
use super::strings::{Span, unescape};

pub(crate) type Parsed<T> = Result<T, ParseError>;

/// The deepest nesting of parentheses that is read.
pub(crate) const MAX_DEPTH: usize = 64;

/// A place in a unit. Every method reads what it names and moves behind it, or fails and has moved anywhere.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    unit: &'a Bytes,
    pub(crate) at: usize,
    /// Mailbox names are UTF-8.
    pub(crate) utf8: bool,
    /// Be lenient about what servers do wrong: see [`Cursor::quoted`].
    pub(crate) lenient: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(unit: &'a Bytes, utf8: bool, lenient: bool) -> Self {
        Self { unit, at: 0, utf8, lenient }
    }

    pub(crate) fn fail<T>(&self, expected: &'static str) -> Parsed<T> {
        Err(ParseError { at: self.at, expected })
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.unit.get(self.at).copied()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.unit[self.at..]
    }

    pub(crate) fn unit(&self) -> &'a Bytes {
        self.unit
    }

    pub(crate) fn share(&self, start: usize, end: usize) -> Bytes {
        self.unit.slice(start..end)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.unit.len()
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Parsed<()> {
        if self.eat(byte) { Ok(()) } else { self.fail(expected) }
    }

    pub(crate) fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "a space")
    }

    pub(crate) fn open(&mut self) -> Parsed<()> {
        self.expect(b'(', "\"(\"")
    }

    pub(crate) fn close(&mut self) -> Parsed<()> {
        self.expect(b')', "\")\"")
    }

    /// Any number of spaces.
    pub(crate) fn spaces(&mut self) {
        while self.eat(b' ') {}
    }

    pub(crate) fn end(&self) -> Parsed<()> {
        if self.is_at_end() { Ok(()) } else { self.fail("the end of the line") }
    }

    /// The octets for which `fits` holds; may be none.
    pub(crate) fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|b| !fits(*b)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// That word, without regard to case; nothing if it is another.
    pub(crate) fn word(&mut self, word: &str) -> bool {
        let word = word.as_bytes();
        // Most words are told apart by their first letter.
        if self.peek().map(|b| b | 0x20) != word.first().map(|b| b | 0x20) {
            return false;
        }
        let there = self.rest().get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let ends = self.unit.get(self.at + word.len()).is_none_or(|next| !is_atom_char(*next) || *next == b'[');
        if there && ends {
            self.at += word.len();
        }
        there && ends
    }

    /// The octets of an atom, at least one.
    pub(crate) fn atom_bytes(&mut self) -> Parsed<&'a [u8]> {
        let atom = self.take_while(is_atom_char);
        if atom.is_empty() { self.fail("an atom") } else { Ok(atom) }
    }

    pub(crate) fn atom(&mut self) -> Parsed<Atom> {
        let at = self.at;
        Atom::from_bytes(self.atom_bytes()?).ok_or(ParseError { at, expected: "an atom" })
    }

    // ── numbers ──

    pub(crate) fn number64(&mut self) -> Parsed<u64> {
        let start = self.at;
        let digits = self.take_while(|b| b.is_ascii_digit());
        frame::number(digits).filter(|n| *n < 1 << 63).ok_or(ParseError { at: start, expected: "a number" })
    }

    pub(crate) fn number(&mut self) -> Parsed<u32> {
        let start = self.at;
        let mut value = 0u64;
        for &byte in self.rest() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value * 10 + u64::from(digit);
            self.at += 1;
            if value > u64::from(u32::MAX) {
                return Err(ParseError { at: start, expected: "a number below 2^32" });
            }
        }
        if self.at == start { self.fail("a number") } else { Ok(value as u32) }
    }

    pub(crate) fn nz_number(&mut self) -> Parsed<u32> {
        let start = self.at;
        match self.number()? {
            0 => Err(ParseError { at: start, expected: "a number above zero" }),
            number => Ok(number),
        }
    }

    fn seq_number(&mut self) -> Parsed<Option<u32>> {
        if self.eat(b'*') { Ok(None) } else { self.nz_number().map(Some) }
    }

    /// sequence-set.
    pub(crate) fn sequence_set(&mut self) -> Parsed<SequenceSet> {
        let mut set = SequenceSet::SAVED;
        if self.eat(b'$') {
            return Ok(set);
        }
        loop {
            let first = self.seq_number()?;
            let last = if self.eat(b':') { self.seq_number()? } else { first };
            set.add(first, last);
            if !self.eat(b',') {
                return Ok(set);
            }
        }
    }

    /// uid-set: without `*`.
    pub(crate) fn uid_set(&mut self) -> Parsed<UidSet> {
        let mut set = UidSet::EMPTY;
        loop {
            let low = self.nz_number()?;
            let high = if self.eat(b':') { self.nz_number()? } else { low };
            set.push_range(low, high);
            if !self.eat(b',') {
                return Ok(set);
            }
        }
    }

    // ── strings ──

    /// A quoted string, the cursor being at its quote.
    ///
    /// From servers that forget to escape quotes inside (iCloud's Message-IDs), a quote only ends the string if
    /// something follows that may follow a string.
    fn quoted(&mut self) -> Parsed<Span> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            let Some(found) = memchr::memchr2(b'"', b'\\', self.rest()) else {
                return self.fail("the end of a quoted string");
            };
            self.at += found;
            if self.peek() == Some(b'\\') {
                escaped = true;
                self.at += 2;
                if self.at > self.unit.len() {
                    self.at = self.unit.len();
                    return self.fail("the end of a quoted string");
                }
                continue;
            }
            let end = self.at;
            self.at += 1;
            if !self.lenient || matches!(self.peek(), None | Some(b' ' | b')' | b'(' | b']' | b'\r' | b'\n')) {
                return Ok(Span::new(start, end, escaped));
            }
        }
    }

    /// The announcement of a literal, `{n}` and its line end, and its octets if they are in the unit.
    fn literal(&mut self) -> Parsed<Span> {
        let size = self.literal_head()?;
        let start = self.at;
        match usize::try_from(size).ok().and_then(|size| start.checked_add(size)) {
            Some(end) if end <= self.unit.len() => {
                self.at = end;
                Ok(Span::new(start, end, false))
            }
            _ => self.fail("a literal"),
        }
    }

    /// `{n}`, `{n+}` or `~{n}` and the line end.
    pub(crate) fn literal_head(&mut self) -> Parsed<u64> {
        self.eat(b'~');
        self.expect(b'{', "a literal")?;
        let size = self.number64()?;
        self.eat(b'+');
        self.expect(b'}', "\"}\"")?;
        self.eat(b'\r');
        self.expect(b'\n', "the end of a line after a literal's size")?;
        Ok(size)
    }

    /// string: quoted or literal.
    pub(crate) fn string_span(&mut self) -> Parsed<Span> {
        match self.peek() {
            Some(b'"') => {
                let start = self.at;
                let span = self.quoted()?;
                if !self.lenient && memchr::memchr3(0, b'\r', b'\n', &self.unit[start..self.at]).is_some() {
                    self.at = start;
                    return self.fail("a quoted string without CR, LF and NUL");
                }
                Ok(span)
            }
            Some(b'{' | b'~') => self.literal(),
            _ => self.fail("a string"),
        }
    }

    /// nstring: a string or NIL. Leniently also an atom.
    pub(crate) fn nstring_span(&mut self) -> Parsed<Span> {
        match self.peek() {
            Some(b'"' | b'{' | b'~') => self.string_span(),
            Some(b'N' | b'n') if self.word("NIL") => Ok(Span::NIL),
            _ if self.lenient => {
                let start = self.at;
                self.atom_bytes()?;
                Ok(Span::new(start, self.at, false))
            }
            _ => self.fail("a string or NIL"),
        }
    }

    /// astring: a string, or an atom that may have `]`.
    pub(crate) fn astring_span(&mut self) -> Parsed<Span> {
        match self.peek() {
            Some(b'"' | b'{') => self.string_span(),
            _ => {
                let start = self.at;
                let atom = self.take_while(|b| is_atom_char(b) || b == b']');
                if atom.is_empty() { self.fail("a string or an atom") } else { Ok(Span::new(start, self.at, false)) }
            }
        }
    }

    pub(crate) fn text_of(&self, span: Span) -> Cow<'a, [u8]> {
        span.of(self.unit).unwrap_or_default()
    }

    /// The string as shared octets; `None` for NIL.
    pub(crate) fn bytes_of(&self, span: Span) -> Option<Bytes> {
        let (start, end, escaped) = span.place()?;
        Some(if escaped { Bytes::from(unescape(&self.unit[start..end])) } else { self.share(start, end) })
    }

    pub(crate) fn string(&mut self) -> Parsed<Bytes> {
        let span = self.string_span()?;
        Ok(self.bytes_of(span).unwrap_or_default())
    }

    pub(crate) fn nstring(&mut self) -> Parsed<Option<Bytes>> {
        let span = self.nstring_span()?;
        Ok(self.bytes_of(span))
    }

    pub(crate) fn astring(&mut self) -> Parsed<Bytes> {
        let span = self.astring_span()?;
        Ok(self.bytes_of(span).unwrap_or_default())
    }

    pub(crate) fn mailbox(&mut self) -> Parsed<Mailbox> {
        let start = self.at;
        let span = self.astring_span()?;
        let name = self.text_of(span);
        if name.is_empty() {
            self.at = start;
            return self.fail("the name of a mailbox");
        }
        Ok(Mailbox::decode(&name, self.utf8))
    }

    // ── flags ──

    /// One flag, or a keyword.
    pub(crate) fn flag(&mut self) -> Parsed<Flag> {
        let start = self.at;
        self.eat(b'\\');
        if self.eat(b'*') {
            if self.at - start == 2 {
                return Ok(Flag::Any);
            }
            self.at = start;
            return self.fail("a flag");
        }
        let lenient = self.lenient;
        self.take_while(|b| is_atom_char(b) || lenient && b == b']');
        let flag = Flag::from_bytes(&self.unit[start..self.at]);
        flag.ok_or(ParseError { at: start, expected: "a flag" })
    }

    /// Flags in parentheses. Leniently, with any spaces, and without what is no flag.
    pub(crate) fn flags(&mut self) -> Parsed<Flags> {
        self.open()?;
        let mut flags = Flags::EMPTY;
        if self.eat(b')') {
            return Ok(flags);
        }
        loop {
            if self.lenient {
                self.spaces();
                if self.eat(b')') {
                    return Ok(flags);
                }
            }
            let start = self.at;
            match self.flag() {
                Ok(flag) => {
                    flags.insert(flag);
                }
                Err(error) if self.lenient => {
                    self.at = start;
                    let bad = self.take_while(|b| !matches!(b, b' ' | b')' | b'(' | b'\r' | b'\n'));
                    if bad.is_empty() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
            if self.eat(b')') {
                return Ok(flags);
            }
            self.space()?;
        }
    }

    // ── dates ──

    fn digits(&mut self, count: usize) -> Parsed<u16> {
        let digits = self.rest().get(..count).unwrap_or_default();
        let number = frame::number(digits).and_then(|n| u16::try_from(n).ok());
        self.at += digits.len();
        number.ok_or(ParseError { at: self.at, expected: "digits of a date" })
    }

    /// `1-Feb-1994` from where the day ends.
    fn after_day(&mut self, day: u16) -> Parsed<Date> {
        let start = self.at;
        self.expect(b'-', "\"-\" in a date")?;
        let month = self.rest().get(..3).and_then(Date::month_of);
        let month = month.ok_or(ParseError { at: self.at, expected: "the name of a month" })?;
        self.at += 3;
        self.expect(b'-', "\"-\" in a date")?;
        let year = self.digits(4)?;
        Date::new(year, month, day as u8).map_err(|_| ParseError { at: start, expected: "a day of the calendar" })
    }

    /// date: what SEARCH has, quoted or not.
    pub(crate) fn date(&mut self) -> Parsed<Date> {
        let quoted = self.eat(b'"');
        let count = self.rest().iter().take_while(|b| b.is_ascii_digit()).count().clamp(1, 2);
        let day = self.digits(count)?;
        let date = self.after_day(day)?;
        if quoted {
            self.expect(b'"', "the end of a quoted date")?;
        }
        Ok(date)
    }

    /// date-time: what INTERNALDATE has.
    pub(crate) fn date_time(&mut self) -> Parsed<DateTime> {
        let start = self.at;
        self.expect(b'"', "a quoted date and time")?;
        let one = self.eat(b' ') || self.rest().get(1) == Some(&b'-');
        let day = self.digits(if one { 1 } else { 2 })?;
        let date = self.after_day(day)?;
        self.space()?;
        let hour = self.digits(2)?;
        self.expect(b':', "\":\" in a time")?;
        let minute = self.digits(2)?;
        self.expect(b':', "\":\" in a time")?;
        let second = self.digits(2)?;
        self.space()?;
        let west = match self.peek() {
            Some(b'+') => false,
            Some(b'-') => true,
            _ => return self.fail("a time zone"),
        };
        self.at += 1;
        let (hours, minutes) = (self.digits(2)? as i16, self.digits(2)? as i16);
        self.expect(b'"', "the end of a quoted date and time")?;
        let east = hours * 60 + minutes;
        let time = DateTime::new(date, hour as u8, minute as u8, second as u8, if west { -east } else { east });
        match time {
            Ok(time) if minutes < 60 => Ok(time),
            Ok(_) | Err(_) => Err(ParseError { at: start, expected: "a time of day and zone" }),
        }
    }

    // ── sections ──

    /// `[...]` after BODY.
    pub(crate) fn section(&mut self) -> Parsed<Section> {
        self.expect(b'[', "\"[\"")?;
        let mut section = Section::default();
        if self.eat(b']') {
            return Ok(section);
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            if section.part.len() == MAX_DEPTH {
                return self.fail("fewer part numbers");
            }
            section.part.push(self.nz_number()?);
            if !self.eat(b'.') {
                self.expect(b']', "\"]\"")?;
                return Ok(section);
            }
        }
        section.text = Some(if self.word("HEADER.FIELDS.NOT") {
            self.space()?;
            SectionText::HeaderFieldsNot(self.header_list()?)
        } else if self.word("HEADER.FIELDS") {
            self.space()?;
            SectionText::HeaderFields(self.header_list()?)
        } else if self.word("HEADER") {
            SectionText::Header
        } else if self.word("TEXT") {
            SectionText::Text
        } else if !section.part.is_empty() && self.word("MIME") {
            SectionText::Mime
        } else {
            return self.fail("a section");
        });
        self.expect(b']', "\"]\"")?;
        Ok(section)
    }

    /// `[1.2]` after BINARY.
    pub(crate) fn section_part(&mut self) -> Parsed<Vec<u32>> {
        let start = self.at;
        let section = self.section()?;
        match section.text {
            None => Ok(section.part),
            Some(_) => Err(ParseError { at: start, expected: "only part numbers" }),
        }
    }

    fn header_list(&mut self) -> Parsed<Vec<Bytes>> {
        self.open()?;
        let mut fields = Vec::new();
        loop {
            fields.push(self.astring()?);
            if self.eat(b')') {
                return Ok(fields);
            }
            self.space()?;
        }
    }

    // ── what is not understood ──

    /// Skips one value, whatever it is: an atom with its section, a string, or a list of any depth up to a
    /// hundred thousand. Never recurses.
    pub(crate) fn skip_value(&mut self) -> Parsed<()> {
        const TOO_DEEP: usize = 100_000;
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Some(b'(') => {
                    depth += 1;
                    self.at += 1;
                    if depth > TOO_DEEP {
                        return self.fail("fewer parentheses");
                    }
                }
                Some(b')') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b'"') => {
                    self.quoted()?;
                }
                Some(b'{') => {
                    let start = self.at;
                    if self.literal().is_err() {
                        self.at = start + 1;
                    }
                }
                Some(b' ') if depth > 0 => self.at += 1,
                Some(b'[') => {
                    // A section may have spaces and parentheses of its own.
                    let Some(close) = memchr::memchr(b']', self.rest()) else { return self.fail("\"]\"") };
                    self.at += close + 1;
                }
                Some(b' ' | b')') | None => {
                    return if depth > 0 { self.fail("\")\"") } else { Ok(()) };
                }
                Some(_) => {
                    self.at += 1;
                }
            }
            if depth == 0 && matches!(self.peek(), None | Some(b' ' | b')')) {
                return Ok(());
            }
        }
    }
}
