//! Numbers and sets the rest of the interface is made of.

use std::ops::RangeInclusive;

/// A point in time: milliseconds since 1970-01-01 00:00 UTC. Always the caller's; the store has no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

/// Names an account for ever; never used again after the account is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u64);

/// Names a mailbox inside its account, through renames; never used again after the mailbox is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub u32);

impl MailboxId {
    /// INBOX: made with the account, cannot be deleted.
    pub const INBOX: MailboxId = MailboxId(1);
}

/// Names a stored body. Messages that are copies of each other share it. (Usable as EMAILID, RFC 8474.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyId(pub u64);

/// Names a queue entry; ascending in the order of entry, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u64);

/// Who holds leases: a number the caller draws once per run of its delivery agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseOwner(pub u64);

/// A set of UIDs, kept as ascending, disjoint, non-adjacent ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// No UID.
    pub const fn new() -> Self {
        UidSet(Vec::new())
    }

    /// Every UID there can be.
    pub fn all() -> Self {
        UidSet(vec![(1, u32::MAX)])
    }

    /// One UID. 0 is no UID and gives the empty set.
    pub fn one(uid: u32) -> Self {
        UidSet::range(uid..=uid)
    }

    /// The UIDs from `start` to `end`, in either order (RFC 9051, 9, `seq-range`); 0 is left out.
    pub fn range(range: RangeInclusive<u32>) -> Self {
        UidSet::from_ranges([range])
    }

    /// The union of any ranges in any order.
    pub fn from_ranges(ranges: impl IntoIterator<Item = RangeInclusive<u32>>) -> Self {
        let mut all: Vec<(u32, u32)> = ranges
            .into_iter()
            .map(|r| (*r.start().min(r.end()), *r.start().max(r.end())))
            .filter(|&(_, hi)| hi > 0)
            .map(|(lo, hi)| (lo.max(1), hi))
            .collect();
        all.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(all.len());
        for (lo, hi) in all {
            match merged.last_mut() {
                Some(last) if lo <= last.1.saturating_add(1) => last.1 = last.1.max(hi),
                _ => merged.push((lo, hi)),
            }
        }
        UidSet(merged)
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = RangeInclusive<u32>> + DoubleEndedIterator + Clone + '_ {
        self.0.iter().map(|&(lo, hi)| lo..=hi)
    }

    /// Every UID, ascending. `all()` has 4 billion.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges().flatten()
    }

    /// Whether `uid` is in the set.
    pub fn contains(&self, uid: u32) -> bool {
        let after = self.0.partition_point(|&(lo, _)| lo <= uid);
        after > 0 && self.0[after - 1].1 >= uid
    }

    /// Whether the set has no UID.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many UIDs the set has.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|&(lo, hi)| u64::from(hi - lo) + 1).sum()
    }

    /// Adds a UID; cheap when it is above all others.
    pub fn insert(&mut self, uid: u32) {
        match self.0.last_mut() {
            Some(last) if uid >= last.0 && uid <= last.1 => {}
            Some(last) if uid > last.1 && uid - last.1 == 1 => last.1 = uid,
            Some(last) if uid < last.0 => {
                *self = UidSet::from_ranges(self.ranges().chain([uid..=uid]));
            }
            _ if uid > 0 => self.0.push((uid, uid)),
            _ => {}
        }
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<T: IntoIterator<Item = u32>>(uids: T) -> Self {
        UidSet::from_ranges(uids.into_iter().map(|uid| uid..=uid))
    }
}
