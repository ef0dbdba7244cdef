//! What a client knows of the selected mailbox: which UID has which sequence number.
//!
//! A server session keeps one so that the store need not know of numbers, a client keeps one so that its user need
//! not. Four octets a message.

use crate::wire::{SequenceSet, UidSet};
use alloc::vec::Vec;

/// The messages of a mailbox in the order of their UIDs; a message's number is its place, counted from 1.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct View {
    /// Strictly ascending, never zero.
    uids: Vec<u32>,
}

impl View {
    /// The messages with these UIDs. Order and repetitions do not matter; zeros are dropped.
    pub fn new(mut uids: Vec<u32>) -> Self {
        if !uids.is_sorted_by(|a, b| a < b) {
            uids.sort_unstable();
            uids.dedup();
        }
        let zeros = uids.partition_point(|&uid| uid == 0);
        uids.drain(..zeros);
        Self { uids }
    }

    /// How many messages there are: what EXISTS says.
    pub fn len(&self) -> u32 {
        u32::try_from(self.uids.len()).expect("UIDs are 32 bit and differ")
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }

    /// The UID of that number, counted from 1.
    pub fn uid(&self, number: u32) -> Option<u32> {
        self.uids.get((number as usize).checked_sub(1)?).copied()
    }

    /// The number of that UID, counted from 1.
    pub fn number(&self, uid: u32) -> Option<u32> {
        Some(self.uids.binary_search(&uid).ok()? as u32 + 1)
    }

    /// The highest UID.
    pub fn last_uid(&self) -> Option<u32> {
        self.uids.last().copied()
    }

    /// All UIDs, ascending.
    pub fn uids(&self) -> &[u32] {
        &self.uids
    }

    /// Messages came. UIDs that are not above all others are known already, and are passed over: UIDs ascend
    /// (RFC 9051, 2.3.1.1). Says how many were new.
    pub fn add(&mut self, uids: &UidSet) -> u32 {
        let before = self.len();
        for &(low, high) in uids.ranges() {
            let low = low.max(self.last_uid().map_or(1, |last| last.saturating_add(1)));
            if self.last_uid() != Some(u32::MAX) {
                self.uids.extend(low..=high);
            }
        }
        self.len() - before
    }

    /// Messages went; those that are not there are passed over.
    pub fn remove(&mut self, uids: &UidSet) {
        match uids.ranges() {
            [] => {}
            // One range is cut out where it is.
            &[(low, high)] => {
                let (from, to) = self.places(low, high);
                self.uids.drain(from..to);
            }
            ranges => {
                let ranges = sorted(ranges);
                let mut next = 0;
                self.uids.retain(|&uid| {
                    while next < ranges.len() && ranges[next].1 < uid {
                        next += 1;
                    }
                    !(next < ranges.len() && ranges[next].0 <= uid)
                });
            }
        }
    }

    /// The UIDs of the messages with numbers from `low` to `high`, both included and both there.
    fn range_of(&self, low: u32, high: u32) -> (u32, u32) {
        (self.uids[low as usize - 1], self.uids[high as usize - 1])
    }

    /// Where the UIDs from `low` to `high` stand: from, and to (not included).
    pub(crate) fn places(&self, low: u32, high: u32) -> (usize, usize) {
        let from = self.uids.partition_point(|&uid| uid < low);
        (from, from + self.uids[from..].partition_point(|&uid| uid <= high))
    }

    /// Sequence numbers to UIDs. Ranges stay ranges: between the ends of each are only UIDs of messages meant, or of none
    /// at all. Ascending, without overlap. `*` is the last message; the set must not be `$`.
    ///
    /// # Errors
    /// [`NoSuchNumber`] if a number is above that of the last message, which a client must not send
    /// (RFC 9051, 9: seq-number). Numbers in a range with `*` are exempt, since nobody is harmed.
    pub fn resolve_numbers(&self, set: &SequenceSet) -> Result<UidSet, NoSuchNumber> {
        let highest = self.len();
        for range in set.iter() {
            let open = range.first.is_none() || range.last.is_none();
            let (_, high) = range.resolve(highest);
            if high > highest && !open {
                return Err(NoSuchNumber(high));
            }
        }
        Ok(self.clip_numbers(set))
    }

    /// As [`View::resolve_numbers`], without a word about numbers that are too high.
    pub(crate) fn clip_numbers(&self, set: &SequenceSet) -> UidSet {
        let highest = self.len();
        let mut found = Vec::new();
        for range in set.iter() {
            let open = range.first.is_none() || range.last.is_none();
            let (low, high) = range.resolve(highest);
            if highest > 0 && (low <= highest || open) {
                found.push(self.range_of(low.clamp(1, highest), high.min(highest)));
            }
        }
        union(found)
    }

    /// UIDs as the client wrote them to UIDs of messages that are there, cut to the ends of the view. `*` is the last message, and
    /// a UID without a message is no mistake (RFC 9051, 6.4.9). Ascending, without overlap. The set must not be `$`.
    pub fn resolve_uids(&self, set: &SequenceSet) -> UidSet {
        let Some(last) = self.last_uid() else { return UidSet::EMPTY };
        let mut found = Vec::new();
        for range in set.iter() {
            let (low, high) = range.resolve(last);
            found.extend(self.clip(low, high));
        }
        union(found)
    }

    /// Those of `uids` that are there, cut to the ends of the ranges that have messages. Ascending, without overlap.
    pub fn intersect(&self, uids: &UidSet) -> UidSet {
        union(uids.ranges().iter().filter_map(|&(low, high)| self.clip(low, high)).collect())
    }

    fn clip(&self, low: u32, high: u32) -> Option<(u32, u32)> {
        let (from, to) = self.places(low, high);
        (from < to).then(|| (self.uids[from], self.uids[to - 1]))
    }

    /// The numbers of those of `uids` that are there, ascending.
    pub fn numbers(&self, uids: &UidSet) -> UidSet {
        let mut numbers = UidSet::EMPTY;
        for (low, high) in sorted(uids.ranges()) {
            let (from, to) = self.places(low, high);
            if from < to {
                push_after(&mut numbers, from as u32 + 1, to as u32);
            }
        }
        numbers
    }

    /// Those of `uids` that are there, each one by name: nothing between the ends of a range is missing from the mailbox.
    /// Ascending.
    pub fn exact(&self, uids: &UidSet) -> UidSet {
        let mut exact = UidSet::EMPTY;
        let mut last = 0;
        for (low, high) in sorted(uids.ranges()) {
            let (from, to) = self.places(low.max(last + u32::from(last > 0)), high);
            for &uid in &self.uids[from..to.max(from)] {
                exact.push(uid);
                last = uid;
            }
        }
        exact
    }
}

/// There is no message of that number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no message {0}")]
pub struct NoSuchNumber(pub u32);

/// A set of UIDs that grows by union and stays ascending.
pub(crate) fn unite(into: &mut UidSet, more: &UidSet) {
    let mut all = into.ranges().to_vec();
    all.extend_from_slice(more.ranges());
    *into = union(all);
}

/// Those of `from` that are not in `what`.
pub(crate) fn subtract(from: &UidSet, what: &UidSet) -> UidSet {
    let what = sorted(what.ranges());
    let mut left = UidSet::EMPTY;
    for (mut low, high) in sorted(from.ranges()) {
        let mut used_up = false;
        for &(cut_low, cut_high) in &what[what.partition_point(|&(_, end)| end < low)..] {
            if cut_low > high {
                break;
            }
            if cut_low > low {
                push_after(&mut left, low, cut_low - 1);
            }
            match cut_high.checked_add(1) {
                Some(next) if next <= high => low = next,
                _ => {
                    used_up = true;
                    break;
                }
            }
        }
        if !used_up {
            push_after(&mut left, low, high);
        }
    }
    left
}

fn sorted(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    ranges
}

fn union(mut ranges: Vec<(u32, u32)>) -> UidSet {
    ranges.sort_unstable();
    let mut united = UidSet::EMPTY;
    let mut open: Option<(u32, u32)> = None;
    for (low, high) in ranges {
        open = match open {
            Some((start, end)) if low <= end.saturating_add(1) => Some((start, end.max(high))),
            Some((start, end)) => {
                united.push_range(start, end);
                Some((low, high))
            }
            None => Some((low, high)),
        };
    }
    if let Some((start, end)) = open {
        united.push_range(start, end);
    }
    united
}

/// Adds `low..=high`, which begins at or after the end of `set` or overlaps it there.
fn push_after(set: &mut UidSet, low: u32, high: u32) {
    match set.ranges().last() {
        Some(&(_, end)) if high <= end => {}
        Some(&(_, end)) if low <= end => set.push_range(end + 1, high),
        Some(_) | None => set.push_range(low, high),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u32, u32)]) -> UidSet {
        let mut set = UidSet::EMPTY;
        for &(low, high) in ranges {
            set.push_range(low, high);
        }
        set
    }

    #[test]
    fn numbers_become_ranges_of_uids() {
        let view = View::new(alloc::vec![2, 4, 5, 9]);
        assert_eq!(view.resolve_numbers(&SequenceSet::ALL).unwrap().ranges(), [(2, 9)]);
        assert_eq!(view.resolve_numbers(&SequenceSet::one(2)).unwrap().ranges(), [(4, 4)]);
        assert_eq!(view.resolve_numbers(&SequenceSet::one(None)).unwrap().ranges(), [(9, 9)]);
        assert_eq!(view.resolve_numbers(&SequenceSet::range(3, 1)).unwrap().ranges(), [(2, 5)]);
        assert_eq!(view.resolve_numbers(&SequenceSet::range(7, None)).unwrap().ranges(), [(9, 9)]);
        assert_eq!(view.resolve_numbers(&SequenceSet::one(5)), Err(NoSuchNumber(5)));
        assert_eq!(view.resolve_numbers(&SequenceSet::range(1, u32::MAX)), Err(NoSuchNumber(u32::MAX)));
        assert!(View::default().resolve_numbers(&SequenceSet::ALL).unwrap().is_empty());
        assert_eq!(View::default().resolve_numbers(&SequenceSet::one(1)), Err(NoSuchNumber(1)));
        let mut overlapping = SequenceSet::range(2, 3);
        overlapping.add(3, 1);
        assert_eq!(view.resolve_numbers(&overlapping).unwrap().ranges(), [(2, 5)]);
    }

    #[test]
    fn uids_need_not_exist() {
        let view = View::new(alloc::vec![2, 4, 5, 9]);
        assert_eq!(view.resolve_uids(&SequenceSet::range(3, u32::MAX)).ranges(), [(4, 9)]);
        assert_eq!(view.resolve_uids(&SequenceSet::range(100, None)).ranges(), [(9, 9)]);
        assert!(view.resolve_uids(&SequenceSet::range(6, 8)).is_empty());
        assert!(view.resolve_uids(&SequenceSet::one(3)).is_empty());
        assert!(View::default().resolve_uids(&SequenceSet::ALL).is_empty());
        assert_eq!(view.numbers(&set(&[(4, 9), (1, 2)])).ranges(), [(1, 4)]);
        assert_eq!(view.exact(&set(&[(1, 5), (5, 100)])).ranges(), [(2, 2), (4, 5), (9, 9)]);
    }

    #[test]
    fn messages_come_and_go() {
        let mut view = View::new(alloc::vec![9, 2, 4, 4, 0]);
        assert_eq!(view.uids(), [2, 4, 9]);
        assert_eq!(view.add(&set(&[(8, 11), (20, 20)])), 3);
        assert_eq!(view.add(&set(&[(8, 11), (20, 20)])), 0);
        assert_eq!(view.uids(), [2, 4, 9, 10, 11, 20]);
        assert_eq!(view.number(20), Some(6));
        assert_eq!((view.uid(6), view.uid(0), view.uid(7)), (Some(20), None, None));
        view.remove(&set(&[(10, 15)]));
        assert_eq!(view.uids(), [2, 4, 9, 20]);
        view.remove(&set(&[(20, 30), (1, 2), (5, 6)]));
        assert_eq!(view.uids(), [4, 9]);
        view.add(&set(&[(u32::MAX, u32::MAX)]));
        assert_eq!(view.add(&set(&[(u32::MAX, u32::MAX)])), 0);
    }

    #[test]
    fn sets_subtract() {
        assert_eq!(subtract(&set(&[(1, 10)]), &set(&[(3, 4), (10, 12)])).ranges(), [(1, 2), (5, 9)]);
        assert!(subtract(&set(&[(3, 4)]), &set(&[(1, u32::MAX)])).is_empty());
        assert_eq!(subtract(&set(&[(3, u32::MAX)]), &UidSet::EMPTY).ranges(), [(3, u32::MAX)]);
    }
}
