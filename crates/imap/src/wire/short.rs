//! A string that is kept in place while it is short.

use alloc::boxed::Box;
use core::hash::{Hash, Hasher};

const INLINE: usize = 22;

/// UTF-8 text; up to 22 octets need no allocation. Names, tags and keywords are nearly always that short.
#[derive(Clone)]
pub(crate) enum Short {
    Inline(u8, [u8; INLINE]),
    Heap(Box<str>),
}

impl Short {
    pub(crate) fn new(text: &str) -> Self {
        if text.len() <= INLINE {
            let mut place = [0; INLINE];
            place[..text.len()].copy_from_slice(text.as_bytes());
            Self::Inline(text.len() as u8, place)
        } else {
            Self::Heap(text.into())
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline(len, place) => &place[..usize::from(*len)],
            Self::Heap(text) => text.as_bytes(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Inline(len, place) => {
                core::str::from_utf8(&place[..usize::from(*len)]).expect("Short::new copied it from a str")
            }
            Self::Heap(text) => text,
        }
    }
}

impl PartialEq for Short {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Short {}

impl Hash for Short {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl PartialOrd for Short {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Short {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
