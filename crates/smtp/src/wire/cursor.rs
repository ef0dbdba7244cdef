//! A position in a complete unit, and what octets and words look like.

use postrider_core::ParseError;

/// Walks over the octets of one line.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What was walked over since the position was `start`. It must end before an ASCII character, and begin at one.
    pub(crate) fn since(&self, start: usize) -> Result<&'a str, ParseError> {
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

    /// Takes octets of this class.
    #[inline]
    pub(crate) fn take_class(&mut self, wanted: u8) -> &'a [u8] {
        let class = |octet: u8| CLASS[usize::from(octet)];
        let rest = self.rest();
        let mut run = 0;
        while let Some(&[a, b, c, d]) = rest[run..].first_chunk()
            && class(a) & class(b) & class(c) & class(d) & wanted != 0
        {
            run += 4;
        }
        while let Some(&octet) = rest.get(run)
            && class(octet) & wanted != 0
        {
            run += 1;
        }
        self.at += run;
        &rest[..run]
    }

    /// Takes octets of this class and dots, in one go. `None`, with nothing taken, if a dot or hyphen stands at an end or
    /// beside another, or if there are more octets than fit in a label: then it takes a closer look to tell what is wrong,
    /// if anything is. True if all of them are ASCII.
    #[inline]
    pub(crate) fn take_dotted(&mut self, wanted: u8) -> Option<bool> {
        let rest = self.rest();
        // As if an edge stood before the first.
        let (mut before, mut edges, mut all) = (EDGE, 0, 0);
        let end = rest.iter().position(|&octet| {
            let class = CLASS[usize::from(octet)];
            let ends = class & (wanted | DOT) == 0;
            if !ends {
                edges |= class & before;
                all |= class;
                before = class;
            }
            ends
        });
        let run = end.unwrap_or(rest.len());
        // An empty run ends with that edge too.
        if (edges | before) & EDGE != 0 || run > SHORT {
            return None;
        }
        self.at += run;
        Some(all & WIDE == 0)
    }

    pub(crate) fn end(&self, expected: &'static str) -> Result<(), ParseError> {
        if self.rest().is_empty() { Ok(()) } else { self.fail(expected) }
    }

    pub(crate) fn fail<T>(&self, expected: &'static str) -> Result<T, ParseError> {
        Err(ParseError { at: self.at, expected })
    }
}

/// RFC 5321, 4.1.2: `atext`; RFC 6531, 3.3: and UTF-8.
pub(crate) const ATEXT: u8 = 1;
/// RFC 5321, 4.1.2: what a `sub-domain` is made of; RFC 6531, 3.3: and UTF-8.
pub(crate) const LABEL: u8 = 2;
/// RFC 5321, 4.1.2: what an `esmtp-keyword` is made of.
pub(crate) const KEYWORD: u8 = 4;
/// RFC 5321, 4.1.2: what an `esmtp-value` is made of; RFC 6531, 3.3: and UTF-8.
pub(crate) const VALUE: u8 = 8;

/// As [`LABEL`], and an underscore: see [`HelloName`](crate::HelloName).
pub(crate) const HELLO: u8 = 16;

/// A dot.
const DOT: u8 = 32;
/// A dot or hyphen, which labels neither begin nor end with.
const EDGE: u8 = 64;
/// Not ASCII.
const WIDE: u8 = 128;
/// So many octets fit in a label and in a local part.
const SHORT: usize = 63;

/// What each octet may be part of. Whether octets above 127 are UTF-8 is not said here.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let octet = b as u8;
        if octet.is_ascii_alphanumeric() || octet == b'-' {
            table[b] |= ATEXT | LABEL | HELLO | KEYWORD;
        }
        if octet >= 128 {
            table[b] |= ATEXT | LABEL | HELLO | VALUE | WIDE;
        }
        if octet.is_ascii_graphic() && octet != b'=' {
            table[b] |= VALUE;
        }
        b += 1;
    }
    table[b'_' as usize] |= HELLO;
    table[b'.' as usize] |= DOT | EDGE;
    table[b'-' as usize] |= EDGE;
    let atext = b"!#$%&'*+/=?^_`{|}~";
    let mut i = 0;
    while i < atext.len() {
        table[atext[i] as usize] |= ATEXT;
        i += 1;
    }
    table
};

/// Whether `text` is `word` in any case. `word` is in upper case and known where this is called, so that its octets are
/// compared at once.
#[inline(always)]
pub(crate) fn is<const N: usize>(text: &[u8], word: &[u8; N]) -> bool {
    text.len() == N && begins(text, word)
}

/// Whether `text` begins with `word` in any case, as [`is`].
#[inline(always)]
pub(crate) fn begins<const N: usize>(text: &[u8], word: &[u8; N]) -> bool {
    let Some(text) = text.first_chunk::<N>() else { return false };
    let mut differences = 0;
    for (octet, wanted) in text.iter().zip(word) {
        // A letter's case is one bit.
        let case = if wanted.is_ascii_uppercase() { 0x20 } else { 0 };
        differences |= (octet ^ wanted) & !case;
    }
    differences == 0
}

/// Where the first LF is. Lines are short: what prepares a longer search would cost more than this one.
#[inline]
pub(crate) fn find_lf(octets: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = octets.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        // The lowest octet that becomes zero here is the first to borrow into its highest bit.
        let zero = u64::from_le_bytes(*word) ^ (ONES * 0x0a);
        let found = zero.wrapping_sub(ONES) & !zero & (ONES << 7);
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|&b| b == b'\n')?;
    Some(words.len() * 8 + at)
}
