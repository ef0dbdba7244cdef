//! The frame every stored octet sits in.
//!
//! ```text
//! magic u32 · len u32 · kind u8 · flags u8 · codec u8 · 0 u8 · number u64 · crc32c u32 · payload (len octets)
//! ```
//! Little-endian. The checksum covers the header before it and the payload.

use super::disk::ReadFile;

/// Octets before the payload.
pub(super) const HEADER: usize = 24;
/// No record is longer; a longer one is damage.
const MAX_PAYLOAD: u32 = 1 << 30;
const MAGIC: u32 = u32::from_le_bytes(*b"PRS1");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// First in each segment: format, and the segment where a rebuild begins.
    Start = 1,
    /// A body, or a piece of one in a file of its own. `number` is the body's, or the piece's index.
    Body = 2,
    /// The effects of one group of batches. `number` is the log sequence number, without gaps.
    Ops = 3,
}

/// Set on all but the last record of a group that is too long for one: none of it counts without the last.
pub(super) const CONTINUES: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) number: u64,
    pub(super) len: u32,
    pub(super) crc: u32,
}

/// Appends one record to `out`.
pub(super) fn write(out: &mut Vec<u8>, kind: Kind, flags: u8, number: u64, payload: &[u8]) -> u32 {
    let len = u32::try_from(payload.len()).ok().filter(|&n| n <= MAX_PAYLOAD).expect("records are kept below 1 GiB");
    let start = out.len();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[kind as u8, flags, 0, 0]);
    out.extend_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), payload);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
    crc
}

/// Reads a header; `None` if it is none.
pub(super) fn header(bytes: &[u8; HEADER]) -> Option<Header> {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four octets"));
    let kind = match bytes[8] {
        1 => Kind::Start,
        2 => Kind::Body,
        3 => Kind::Ops,
        _ => return None,
    };
    let len = u32_at(4);
    let number = u64::from_le_bytes(bytes[12..20].try_into().expect("eight octets"));
    (u32_at(0) == MAGIC && len <= MAX_PAYLOAD && bytes[10..12] == [0, 0]).then_some(Header {
        kind,
        flags: bytes[9],
        number,
        len,
        crc: u32_at(20),
    })
}

/// Reads the record at `at` into `payload` and checks it. `Ok(None)`: there is no whole, sound record.
pub(super) fn read(file: &dyn ReadFile, at: u64, payload: &mut Vec<u8>) -> std::io::Result<Option<Header>> {
    let mut head = [0; HEADER];
    if !read_or_eof(file, &mut head, at)? {
        return Ok(None);
    }
    let Some(header) = header(&head) else { return Ok(None) };
    // Grown as the file proves to have the octets: a damaged length must not become an allocation.
    payload.clear();
    let mut crc = crc32c::crc32c(&head[..20]);
    let mut left = header.len as usize;
    while left > 0 {
        let step = left.min(1 << 20);
        let start = payload.len();
        payload.resize(start + step, 0);
        if !read_or_eof(file, &mut payload[start..], at + (HEADER + start) as u64)? {
            return Ok(None);
        }
        crc = crc32c::crc32c_append(crc, &payload[start..]);
        left -= step;
    }
    Ok((crc == header.crc).then_some(header))
}

fn read_or_eof(file: &dyn ReadFile, into: &mut [u8], at: u64) -> std::io::Result<bool> {
    match file.read_exact_at(into, at) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
