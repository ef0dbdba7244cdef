//! Header blocks: which fields they have, and the text of a field's body.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

/// One header field as it stands in the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// The field's name, without the colon and space before it.
    pub name: &'a [u8],
    /// What follows the colon, folded as it came, without the last line end.
    pub value: &'a [u8],
    /// All of it: name, colon, value, line end.
    pub octets: &'a [u8],
}

impl Field<'_> {
    /// Whether it has that name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of a header block, in order; ends at the blank line or the end. Lines that belong to no field are
/// passed over. Lines may end in CRLF or LF.
pub fn fields(block: &[u8]) -> Fields<'_> {
    Fields { rest: block }
}

/// A set of octets, to be looked up rather than compared.
pub(crate) const fn set_of(octets: &[u8]) -> [bool; 256] {
    let mut set = [false; 256];
    let mut at = 0;
    while at < octets.len() {
        set[octets[at] as usize] = true;
        at += 1;
    }
    set
}

/// Iterator over the fields of a header block, see [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let mut end = line_end(self.rest, 0);
            if end == 0 || is_blank(&self.rest[..end]) {
                self.rest = &[];
                return None;
            }
            while matches!(self.rest.get(end), Some(b' ' | b'\t')) {
                end = line_end(self.rest, end);
            }
            let (octets, rest) = self.rest.split_at(end);
            self.rest = rest;
            if let Some((name, colon)) = field_name(octets) {
                let value = without_line_end(&octets[colon + 1..]);
                return Some(Field { name: &octets[..name], value, octets });
            }
        }
    }
}

/// Where the line that begins at `start` ends, its LF included.
fn line_end(bytes: &[u8], start: usize) -> usize {
    memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |lf| start + lf + 1)
}

/// Whether a line with its end (or a piece of one) is CRLF or LF alone.
pub(crate) fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// The line without CRLF or LF at its end.
pub(crate) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The length of the field name a line begins with, and where its colon is. Space before the colon is obsolete but
/// legal (RFC 5322, 4.5.3).
pub(crate) fn field_name(line: &[u8]) -> Option<(usize, usize)> {
    let name = line.iter().take_while(|&&b| b.is_ascii_graphic() && b != b':').count();
    let space = line[name..].iter().take_while(|&&b| b == b' ' || b == b'\t').count();
    (name > 0 && line.get(name + space) == Some(&b':')).then_some((name, name + space))
}

/// A field's value on one line: folding undone (RFC 5322, 2.2.3), space at both ends gone. Octets that no IMAP string
/// may have are replaced: a lone CR by a space, NUL by `?`. RFC 2047 words and 8-bit octets stay as they are.
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr3(b'\r', b'\n', 0, value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut line = Vec::with_capacity(value.len());
    let mut octets = value.iter().peekable();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\r' if octets.peek() == Some(&&b'\n') => {}
            b'\n' => {}
            b'\r' => line.push(b' '),
            0 => line.push(b'?'),
            other => line.push(other),
        }
    }
    Cow::Owned(line)
}
