//! Strings that stay where they arrived.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use bytes::{BufMut, BytesMut};

/// Where a string lies in the octets of its owner. NIL, or a place; quoted strings with backslashes keep them, and
/// lose them only when somebody looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    start: u32,
    /// Length, with [`ESCAPED`] set if backslashes must go; [`NIL`] alone for NIL.
    len: u32,
}

const ESCAPED: u32 = 1 << 31;
const NIL: u32 = u32::MAX;

impl Span {
    pub(crate) const NIL: Self = Self { start: 0, len: NIL };

    /// Units are limited to less than 2 GiB by the framer, long before these casts lose anything.
    pub(crate) fn new(start: usize, end: usize, escaped: bool) -> Self {
        Self { start: start as u32, len: (end - start) as u32 | if escaped { ESCAPED } else { 0 } }
    }

    /// Start, end, and whether backslashes must go; `None` for NIL.
    pub(crate) fn place(self) -> Option<(usize, usize, bool)> {
        let start = self.start as usize;
        let end = || start + (self.len & !ESCAPED) as usize;
        (self.len != NIL).then(|| (start, end(), self.len & ESCAPED != 0))
    }

    /// The string, or `None` for NIL.
    pub(crate) fn of(self, bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
        let (start, end, escaped) = self.place()?;
        let raw = &bytes[start..end];
        Some(if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) })
    }

    /// Keeps a copy of `text` at the end of `store`.
    pub(crate) fn keep(text: Option<&[u8]>, store: &mut BytesMut) -> Self {
        let Some(text) = text else { return Self::NIL };
        let start = store.len();
        store.put_slice(text);
        Self::new(start, store.len(), false)
    }
}

/// Takes the backslashes out of the inside of a quoted string.
pub(crate) fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(if byte == b'\\' { *bytes.next().unwrap_or(&byte) } else { byte });
    }
    plain
}
