//! Sets of messages: by sequence number or UID, as the client names them, and as UIDs that exist.

use alloc::vec::Vec;
use core::fmt;

/// Ranges, the first four in place.
#[derive(Clone)]
enum Ranges {
    Inline(u8, [(u32, u32); 4]),
    Heap(Vec<(u32, u32)>),
}

impl Ranges {
    const EMPTY: Self = Self::Inline(0, [(0, 0); 4]);

    fn as_slice(&self) -> &[(u32, u32)] {
        match self {
            Self::Inline(len, place) => &place[..usize::from(*len)],
            Self::Heap(ranges) => ranges,
        }
    }

    fn push(&mut self, range: (u32, u32)) {
        match self {
            Self::Inline(len, place) if usize::from(*len) < place.len() => {
                place[usize::from(*len)] = range;
                *len += 1;
            }
            Self::Inline(_, place) => {
                let mut ranges = Vec::with_capacity(16);
                ranges.extend_from_slice(place);
                ranges.push(range);
                *self = Self::Heap(ranges);
            }
            Self::Heap(ranges) => ranges.push(range),
        }
    }

    fn last_mut(&mut self) -> Option<&mut (u32, u32)> {
        match self {
            Self::Inline(len, place) => place[..usize::from(*len)].last_mut(),
            Self::Heap(ranges) => ranges.last_mut(),
        }
    }
}

/// One element of a [`SequenceSet`]: both ends included, in the order written, `None` for `*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SequenceRange {
    /// One end; `None` is `*`.
    pub first: Option<u32>,
    /// The other end, the same for a single number; `None` is `*`.
    pub last: Option<u32>,
}

impl SequenceRange {
    /// The numbers it covers, lowest first, if `*` stands for `highest`. With `highest` 0 (empty mailbox) a range
    /// with `*` covers nothing that exists.
    pub fn resolve(self, highest: u32) -> (u32, u32) {
        let (a, b) = (self.first.unwrap_or(highest), self.last.unwrap_or(highest));
        (a.min(b), a.max(b))
    }
}

/// The messages a command is about: numbers, ranges, `*`, or `$` (RFC 9051, 4.1.1 and 9: sequence-set).
///
/// Ranges stay ranges, in the order written. Whether the numbers are UIDs depends on the command.
#[derive(Clone)]
pub struct SequenceSet {
    /// Zero is `*`. Empty is `$`.
    ranges: Ranges,
}

impl SequenceSet {
    /// `$`: what the last SEARCH with SAVE found (RFC 5182; RFC 9051, 6.4.4.1).
    pub const SAVED: Self = Self { ranges: Ranges::EMPTY };
    /// `1:*`.
    pub const ALL: Self = Self { ranges: Ranges::Inline(1, [(1, 0), (0, 0), (0, 0), (0, 0)]) };

    /// One message. `None` is `*`.
    ///
    /// # Panics
    /// If the number is zero: no message has it.
    pub fn one(number: impl Into<Option<u32>>) -> Self {
        let number = number.into();
        Self::range(number, number)
    }

    /// From one message to another, both included; `None` is `*`.
    ///
    /// # Panics
    /// If a number is zero: no message has it.
    pub fn range(first: impl Into<Option<u32>>, last: impl Into<Option<u32>>) -> Self {
        let mut set = Self::SAVED;
        set.add(first, last);
        set
    }

    /// Adds a range at the end; what was `$` becomes that range alone.
    ///
    /// # Panics
    /// If a number is zero: no message has it.
    pub fn add(&mut self, first: impl Into<Option<u32>>, last: impl Into<Option<u32>>) {
        let (first, last) = (first.into(), last.into());
        assert!(first != Some(0) && last != Some(0), "no message has the number zero");
        self.ranges.push((first.unwrap_or(0), last.unwrap_or(0)));
    }

    /// Whether it is `$`.
    pub fn is_saved(&self) -> bool {
        self.ranges.as_slice().is_empty()
    }

    /// The elements as written. None for `$`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SequenceRange> + '_ {
        let end = |n: u32| if n == 0 { None } else { Some(n) };
        self.ranges.as_slice().iter().map(move |&(a, b)| SequenceRange { first: end(a), last: end(b) })
    }

    /// Whether `number` is meant, if `*` stands for `highest`. Always false for `$`.
    pub fn contains(&self, number: u32, highest: u32) -> bool {
        self.iter().any(|range| {
            let (low, high) = range.resolve(highest);
            (low..=high).contains(&number)
        })
    }
}

impl From<&UidSet> for SequenceSet {
    /// An empty set of UIDs has no form on the wire; it becomes `$`, so do not send it.
    fn from(uids: &UidSet) -> Self {
        Self { ranges: uids.ranges.clone() }
    }
}

impl PartialEq for SequenceSet {
    fn eq(&self, other: &Self) -> bool {
        self.ranges.as_slice() == other.ranges.as_slice()
    }
}

impl Eq for SequenceSet {}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_saved() {
            return f.write_str("$");
        }
        write_ranges(self.ranges.as_slice(), f)
    }
}

impl fmt::Debug for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn write_ranges(ranges: &[(u32, u32)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, &(first, last)) in ranges.iter().enumerate() {
        if i > 0 {
            f.write_str(",")?;
        }
        match first {
            0 => f.write_str("*")?,
            number => write!(f, "{number}")?,
        }
        match last {
            same if same == first => {}
            0 => f.write_str(":*")?,
            number => write!(f, ":{number}")?,
        }
    }
    Ok(())
}

/// UIDs (or message numbers) that are known: ranges without `*`, in the order given, which matters for COPYUID
/// (RFC 4315, 3). May be empty.
#[derive(Clone)]
pub struct UidSet {
    /// Low to high in each; never zero.
    ranges: Ranges,
}

impl Default for UidSet {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl UidSet {
    /// No UIDs.
    pub const EMPTY: Self = Self { ranges: Ranges::EMPTY };

    /// Adds one UID at the end, lengthening the last range if it follows it.
    ///
    /// # Panics
    /// If `uid` is zero: no message has it.
    pub fn push(&mut self, uid: u32) {
        self.push_range(uid, uid);
    }

    /// Adds `low..=high` at the end (turned round if need be), lengthening the last range if it follows it.
    ///
    /// # Panics
    /// If one of them is zero: no message has it.
    pub fn push_range(&mut self, low: u32, high: u32) {
        let (low, high) = (low.min(high), low.max(high));
        assert!(low != 0, "no message has the UID zero");
        match self.ranges.last_mut() {
            Some(last) if last.1.checked_add(1) == Some(low) => last.1 = high,
            _ => self.ranges.push((low, high)),
        }
    }

    /// The ranges, both ends included, in the order given.
    pub fn ranges(&self) -> &[(u32, u32)] {
        self.ranges.as_slice()
    }

    /// Each UID, in the order given. There may be four thousand million of them in a peer's set: bound the loop.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges().iter().flat_map(|&(low, high)| low..=high)
    }

    /// How many UIDs there are, counting what is in two ranges twice.
    pub fn count(&self) -> u64 {
        self.ranges().iter().map(|&(low, high)| u64::from(high - low) + 1).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges().is_empty()
    }

    /// Whether `uid` is in it. Looks at each range.
    pub fn contains(&self, uid: u32) -> bool {
        self.ranges().iter().any(|&(low, high)| (low..=high).contains(&uid))
    }
}

impl PartialEq for UidSet {
    fn eq(&self, other: &Self) -> bool {
        self.ranges() == other.ranges()
    }
}

impl Eq for UidSet {}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        let mut set = Self::EMPTY;
        for uid in uids {
            set.push(uid);
        }
        set
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ranges(self.ranges(), f)
    }
}

impl fmt::Debug for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
