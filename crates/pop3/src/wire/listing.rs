//! What LIST, UIDL and STAT say of messages (RFC 1939, 5 and 7).

use super::number::{leading_number, saturated};
use core::fmt;
use postrider_core::ParseError;

/// What a maildrop's snapshot knows of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MessageMeta {
    /// Octets as they are sent, line ends counted as CR LF, added dots not counted.
    //= 1939-11-1
    pub size: u64,
    /// The same for this message in every session, and never used for another one.
    pub unique_id: UniqueId,
    /// Whether its header holds UTF-8 (RFC 6532): only a client that said UTF8 may be sent it, and others are told
    /// `-ERR [UTF8]` (RFC 6856, 2.1). Who gives those others a message of ASCII in its place leaves it false.
    pub utf8: bool,
}

impl MessageMeta {
    /// A message that every client may be sent.
    pub fn new(size: u64, unique_id: UniqueId) -> Self {
        Self { size, unique_id, utf8: false }
    }
}

/// Identifies a message in its maildrop for ever: 1 to 70 octets from `!` to `~` (RFC 1939, 7).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UniqueId {
    // In place, since a maildrop may have 100,000. Zeros after the id keep the order that of strings.
    octets: [u8; LONGEST],
    length: u8,
}

/// Octets of the longest unique id.
const LONGEST: usize = 70;

/// This cannot be a unique id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a unique id has 1 to 70 octets, from ! to ~")]
pub struct UniqueIdError;

impl UniqueId {
    /// Checks `id`.
    ///
    /// # Errors
    /// [`UniqueIdError`] if it is too long, empty, or holds something else than printable ASCII.
    //= 1939-7-2
    pub fn new(id: &str) -> Result<Self, UniqueIdError> {
        match id.as_bytes() {
            id if visible(id) == id.len() => Self::of_visible(id).ok_or(UniqueIdError),
            _ => Err(UniqueIdError),
        }
    }

    /// `id` is known to be printable ASCII.
    fn of_visible(id: &[u8]) -> Option<Self> {
        if id.is_empty() || id.len() > LONGEST {
            return None;
        }
        let mut octets = [0; LONGEST];
        octets[..id.len()].copy_from_slice(id);
        Some(Self { octets, length: id.len() as u8 })
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.octets[..usize::from(self.length)]).expect("it is ASCII, as was checked")
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// How many octets from `!` to `~` the line begins with.
fn visible(line: &[u8]) -> usize {
    let is_visible = |b: u8| b.wrapping_sub(b'!') < 94;
    // Mostly all are: to look at them together takes no branch for each.
    if line.iter().fold(true, |all, b| all & is_visible(*b)) {
        return line.len();
    }
    line.iter().position(|b| !is_visible(*b)).unwrap_or(line.len())
}

/// Reads a number that is a word, with the blanks around it. Also gives what follows.
#[inline]
fn word(line: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = leading_number(skip_blanks(line))?;
    match rest {
        [] => Some((number, rest)),
        [b' ' | b'\t', rest @ ..] => Some((number, skip_blanks(rest))),
        _ => None,
    }
}

#[inline]
fn skip_blanks(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = line {
        line = rest;
    }
    line
}

/// Reads `message size`; what follows is ignored, as RFC 1939, 5 allows.
///
/// # Errors
/// [`ParseError`] if there are not two numbers.
//= 1939-5-6
pub fn scan_listing(line: &[u8]) -> Result<(u32, u64), ParseError> {
    let (message, rest) = word(line).ok_or(ParseError { at: 0, expected: "a message number" })?;
    let at = line.len() - rest.len();
    let (size, _) = word(rest).ok_or(ParseError { at, expected: "a size in octets" })?;
    Ok((saturated(message), size))
}

/// Reads the answer to STAT, `count size`, in the same way.
///
/// # Errors
/// [`ParseError`] if there are not two numbers.
pub fn drop_listing(line: &[u8]) -> Result<(u32, u64), ParseError> {
    scan_listing(line).map_err(|error| ParseError { expected: "the count of messages and their size", ..error })
}

/// Reads `message id`. The id is `None` if there is none or it is not one: some servers have messages without.
///
/// # Errors
/// [`ParseError`] if there is no number.
pub fn unique_id_listing(line: &[u8]) -> Result<(u32, Option<UniqueId>), ParseError> {
    let (message, rest) = word(line).ok_or(ParseError { at: 0, expected: "a message number" })?;
    let (id, after) = rest.split_at(visible(rest));
    let is_word = matches!(after, [] | [b' ' | b'\t', ..]);
    Ok((saturated(message), if is_word { UniqueId::of_visible(id) } else { None }))
}
