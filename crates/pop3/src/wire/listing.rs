//! What LIST, UIDL and STAT say of messages (RFC 1939, 5 and 7).

use super::number::{message, number};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use core::fmt;
use postrider_core::ParseError;

/// What a maildrop's snapshot knows of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageMeta {
    /// Octets as they are sent, line ends counted as CR LF, added dots not counted.
    pub size: u64,
    /// The same for this message in every session, and never used for another one.
    pub unique_id: UniqueId,
}

/// Identifies a message in its maildrop for ever: 1 to 70 octets from `!` to `~` (RFC 1939, 7).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UniqueId(Box<str>);

/// This cannot be a unique id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a unique id has 1 to 70 octets, from ! to ~")]
pub struct UniqueIdError;

impl UniqueId {
    /// Checks `id`.
    ///
    /// # Errors
    /// [`UniqueIdError`] if it is too long, empty, or holds something else than printable ASCII.
    pub fn new(id: &str) -> Result<Self, UniqueIdError> {
        let fits = (1..=70).contains(&id.len()) && id.bytes().all(|b| (b'!'..=b'~').contains(&b));
        if fits { Ok(Self(id.to_owned().into_boxed_str())) } else { Err(UniqueIdError) }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// Reads `message size`; what follows is ignored, as RFC 1939, 5 allows.
///
/// # Errors
/// [`ParseError`] if there are not two numbers.
pub fn scan_listing(line: &[u8]) -> Result<(u32, u64), ParseError> {
    let mut words = words(line);
    let message = words.next().and_then(message).ok_or(ParseError { at: 0, expected: "a message number" })?;
    let size = words.next().and_then(number).ok_or(ParseError { at: line.len(), expected: "a size in octets" })?;
    Ok((message, size))
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
    let mut words = words(line);
    let message = words.next().and_then(message).ok_or(ParseError { at: 0, expected: "a message number" })?;
    let id = words.next().and_then(|word| core::str::from_utf8(word).ok()).and_then(|word| UniqueId::new(word).ok());
    Ok((message, id))
}
