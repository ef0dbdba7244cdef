//! What LIST, UIDL and STAT say of messages (RFC 1939, 5 and 7).

use super::number::{leading_number, saturated, short_number};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use postrider_core::ParseError;

/// What a maildrop's snapshot knows of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MessageMeta {
    /// Octets as they are sent, line ends counted as CR LF, added dots not counted: see [`MessageMeta::size_as_sent`].
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

    /// The octets that RETR sends of a message of `stored` octets, the last of which are `end`, two if there are as many: it
    /// sends CRLF after a message that does not end with it, since the dot after it must stand alone. Nothing else is
    /// added or changed, a bare LF or CR neither.
    //= 1939-11-1
    pub fn size_as_sent(stored: u64, end: &[u8]) -> u64 {
        if stored == 0 || end.ends_with(b"\r\n") { stored } else { stored + 2 }
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
        ascii(&self.octets[..usize::from(self.length)])
    }
}

/// A [`UniqueId`] where it stands in what was received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UniqueIdRef<'a>(&'a [u8]);

impl<'a> UniqueIdRef<'a> {
    /// The id.
    pub fn as_str(self) -> &'a str {
        ascii(self.0)
    }

    /// The id, as octets from `!` to `~`.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The id to be kept.
    pub fn to_owned(self) -> UniqueId {
        UniqueId::of_visible(self.0).expect("it is one, as was checked")
    }
}

fn ascii(id: &[u8]) -> &str {
    core::str::from_utf8(id).expect("it is ASCII, as was checked")
}

impl fmt::Display for UniqueIdRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UniqueIdRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Messages and their ids, out of an answer to UIDL. The ids stand in the buffer they were received in, which is freed
/// with this.
#[derive(Clone)]
pub struct UniqueIds {
    octets: Bytes,
    entries: Vec<IdEntry>,
}

/// A message, and where its id is. The length is 0 if it has none.
#[derive(Clone, Copy)]
pub(crate) struct IdEntry {
    message: u32,
    at: u32,
    length: u32,
}

impl UniqueIds {
    pub(crate) fn new(octets: Bytes, entries: Vec<IdEntry>) -> Self {
        Self { octets, entries }
    }

    /// Of one message.
    pub(crate) fn one(message: u32, id: Option<UniqueId>) -> Self {
        let octets = id.as_ref().map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_str().as_bytes()));
        let entry = IdEntry { message, at: 0, length: octets.len() as u32 };
        Self { octets, entries: Vec::from([entry]) }
    }

    /// The messages in the server's order, each with its id: `None` if the server gives it none, or one that cannot be.
    /// Such a message has to be known by its contents.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, Option<UniqueIdRef<'_>>)> {
        self.entries.iter().map(|entry| {
            let at = entry.at as usize;
            let id = (entry.length > 0).then(|| UniqueIdRef(&self.octets[at..at + entry.length as usize]));
            (entry.message, id)
        })
    }

    /// How many messages these are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none, which no client reports.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for UniqueIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
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

/// How many octets from `!` to `~` the line begins with. Eight are looked at together, as a word whose lowest octet is the
/// first.
#[inline]
fn visible(line: &[u8]) -> usize {
    let (words, rest) = line.as_chunks();
    let mut at = 0;
    for word in words {
        let octets = u64::from_le_bytes(*word);
        // The highest bit of an octet that is less than `!`, that is DEL, that is not ASCII. What is borrowed and carried
        // only spoils octets after one of those.
        let (blank, del) = (octets.wrapping_sub(0x2121_2121_2121_2121), octets.wrapping_add(0x0101_0101_0101_0101));
        let others = (blank | del | octets) & 0x8080_8080_8080_8080;
        if others != 0 {
            return at + (others.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + rest.iter().position(|b| !(b'!'..=b'~').contains(b)).unwrap_or(rest.len())
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

/// No line that is read at once is longer: a short number, a blank and the longest id.
const USUAL: usize = 7 + 1 + LONGEST;

/// Reads lines of an answer to LIST from where `octets` begin, as [`scan_listing`] reads each, until `most` are read or
/// one is not complete, longer than `limit`, or none of a listing. Says how many octets were read.
pub(crate) fn scan_listings(octets: &[u8], limit: usize, most: usize, sizes: &mut Vec<(u32, u64)>) -> usize {
    let mut rest = octets;
    for _ in 0..most {
        // How nearly all lines are: digits, a blank, digits, CRLF.
        if let Some((message, [b' ', size @ ..])) = short_number(rest)
            && let Some((size, [b'\r', b'\n', after @ ..])) = short_number(size)
            && limit >= USUAL
        {
            sizes.push((message, size.into()));
            rest = after;
            continue;
        }
        let Some((line, after)) = line_within(rest, limit) else { break };
        let Ok(size) = scan_listing(line) else { break };
        sizes.push(size);
        rest = after;
    }
    octets.len() - rest.len()
}

/// As [`scan_listings`], for UIDL and [`unique_id_listing`].
pub(crate) fn scan_unique_ids(octets: &[u8], limit: usize, most: usize, ids: &mut Vec<IdEntry>) -> usize {
    let mut rest = octets;
    for _ in 0..most {
        if let Some((message, [b' ', id @ ..])) = short_number(rest)
            && let at = octets.len() - id.len()
            && let length = visible(id)
            && let [b'\r', b'\n', after @ ..] = &id[length..]
            && (1..=LONGEST).contains(&length)
            && limit >= USUAL
        {
            ids.push(IdEntry { message, at: at as u32, length: length as u32 });
            rest = after;
            continue;
        }
        let Some((line, after)) = line_within(rest, limit) else { break };
        let Some((message, id)) = word(line) else { break };
        let at = octets.len() - rest.len() + line.len() - id.len();
        let length = visible(id);
        let is_id = length <= LONGEST && matches!(id[length..], [] | [b' ' | b'\t', ..]);
        ids.push(IdEntry { message: saturated(message), at: at as u32, length: if is_id { length as u32 } else { 0 } });
        rest = after;
    }
    octets.len() - rest.len()
}

/// The first line, without its end, and what follows it.
#[cold]
fn line_within(octets: &[u8], limit: usize) -> Option<(&[u8], &[u8])> {
    let lf = memchr::memchr(b'\n', &octets[..octets.len().min(limit.saturating_add(2))])?;
    let line = octets[..lf].strip_suffix(b"\r").unwrap_or(&octets[..lf]);
    (line.len() <= limit).then_some((line, &octets[lf + 1..]))
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_is_visible_ends_with_the_first_octet_that_is_not() {
        for length in 0..20 {
            for at in 0..length {
                for octet in 0..=u8::MAX {
                    for usual in [b'!', b'~', b'm'] {
                        let mut line = [usual; 20];
                        line[at] = octet;
                        // What is borrowed or carried from it must not reach what is before it.
                        line[at + 1..].fill(if octet == 0xff { 0x7e } else { 0x20 });
                        let want = line[..length].iter().position(|b| !(b'!'..=b'~').contains(b)).unwrap_or(length);
                        assert_eq!(visible(&line[..length]), want, "{:?}", &line[..length]);
                    }
                }
            }
        }
    }
}
