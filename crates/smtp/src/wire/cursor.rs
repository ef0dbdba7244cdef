//! A position in a complete unit.

use postrider_core::ParseError;

/// Walks over the octets of one line.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    octets: &'a [u8],
    /// The octets as text, if all of them are UTF-8: so that this is found out once.
    text: Option<&'a str>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { octets, text: core::str::from_utf8(octets).ok(), at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What was walked over since the position was `start`. It must end before an ASCII character, and begin at one.
    pub(crate) fn since(&self, start: usize) -> Result<&'a str, ParseError> {
        if let Some(text) = self.text.and_then(|text| text.get(start..self.at)) {
            return Ok(text);
        }
        core::str::from_utf8(&self.octets[start..self.at])
            .map_err(|wrong| ParseError { at: start + wrong.valid_up_to(), expected: "valid UTF-8" })
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.octets[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    pub(crate) fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at += 1;
        Some(octet)
    }

    pub(crate) fn skip(&mut self, n: usize) {
        self.at += n;
        debug_assert!(self.at <= self.octets.len(), "only what was looked at is skipped");
    }

    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let there = self.peek() == Some(octet);
        self.at += usize::from(there);
        there
    }

    pub(crate) fn expect(&mut self, octet: u8, expected: &'static str) -> Result<(), ParseError> {
        if self.eat(octet) { Ok(()) } else { self.fail(expected) }
    }

    /// Takes octets as long as `wanted` holds.
    #[inline]
    pub(crate) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let run = rest.iter().position(|&b| !wanted(b)).unwrap_or(rest.len());
        self.at += run;
        &rest[..run]
    }

    pub(crate) fn end(&self, expected: &'static str) -> Result<(), ParseError> {
        if self.rest().is_empty() { Ok(()) } else { self.fail(expected) }
    }

    pub(crate) fn fail<T>(&self, expected: &'static str) -> Result<T, ParseError> {
        Err(ParseError { at: self.at, expected })
    }
}
