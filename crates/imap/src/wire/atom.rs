//! Words that need no quoting.

use core::fmt;

use super::short::Short;

/// What an `atom` may hold (RFC 9051, 9: ATOM-CHAR).
pub(crate) const fn is_atom_char(byte: u8) -> bool {
    ATOM_CHARS[byte as usize]
}

static ATOM_CHARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte as usize] = !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']');
        byte += 1;
    }
    table
};

/// An atom: one or more printable ASCII characters without those that mean something in IMAP. Compared without case.
#[derive(Clone)]
pub struct Atom(Short);

/// The text is not an atom: it is empty, too long, or has a character that atoms may not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an atom: byte {at} is not allowed there")]
pub struct BadAtom {
    /// Where the first such character is.
    pub at: usize,
}

impl Atom {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`BadAtom`] if it is empty or has a character other than ATOM-CHAR.
    pub fn new(text: &str) -> Result<Self, BadAtom> {
        match text.bytes().position(|b| !is_atom_char(b)) {
            Some(at) => Err(BadAtom { at }),
            None if text.is_empty() => Err(BadAtom { at: 0 }),
            None => Ok(Self(Short::new(text))),
        }
    }

    /// The same for octets from the wire.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::new(core::str::from_utf8(bytes).ok()?).ok()
    }

    /// The atom as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether it is this word, without regard to case.
    pub fn is(&self, word: &str) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(word.as_bytes())
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(other.0.as_bytes())
    }
}

impl Eq for Atom {}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What ties a tagged response to its command (RFC 9051, 2.2.1). Compared exactly.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(Short);

impl Tag {
    /// The longest tag we accept, in octets. Clients use fewer than ten.
    pub const LIMIT: usize = 64;

    /// Checks `text`: an astring-char sequence without `+`, of at most [`Tag::LIMIT`] octets.
    ///
    /// # Errors
    /// [`BadAtom`] if it is not.
    pub fn new(text: &str) -> Result<Self, BadAtom> {
        match text.bytes().position(|b| b == b'+' || !(is_atom_char(b) || b == b']')) {
            Some(at) => Err(BadAtom { at }),
            None if text.is_empty() || text.len() > Self::LIMIT => Err(BadAtom { at: text.len().min(Self::LIMIT) }),
            None => Ok(Self(Short::new(text))),
        }
    }

    /// The same for octets from the wire.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::new(core::str::from_utf8(bytes).ok()?).ok()
    }

    /// The tag as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
