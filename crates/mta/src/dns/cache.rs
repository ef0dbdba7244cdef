//! What was learnt, for as long as it holds.

use alloc::collections::{BTreeMap, BTreeSet};

use postrider_core::Instant;

use super::{Answer, DnsFailure, RecordType};
use crate::Name;

type Key = (Name, RecordType);

/// Answers by question, at most so many. When it is full, what would expire next goes first.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Key, (Instant, Result<Answer, DnsFailure>)>,
    by_expiry: BTreeSet<(Instant, Key)>,
}

impl Cache {
    /// What is known, with the rest of its time.
    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<Result<Answer, DnsFailure>> {
        let (expires, result) = self.entries.get(key)?;
        if *expires <= now {
            return None;
        }
        let mut result = result.clone();
        if let Ok(answer) = &mut result {
            answer.ttl = now.until(*expires);
        }
        Some(result)
    }

    pub(super) fn keep(&mut self, key: Key, expires: Instant, result: Result<Answer, DnsFailure>, limit: usize) {
        if limit == 0 {
            return;
        }
        if let Some((before, _)) = self.entries.insert(key.clone(), (expires, result)) {
            self.by_expiry.remove(&(before, key.clone()));
        }
        self.by_expiry.insert((expires, key));
        while self.entries.len() > limit {
            let (_, first) = self.by_expiry.pop_first().expect("every entry has its expiry");
            self.entries.remove(&first);
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.by_expiry.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
