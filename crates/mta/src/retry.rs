//! When to try again, and when to give up.

use core::time::Duration;

use postrider_core::Instant;

/// Exponential waits with jitter, a cap, and an end (RFC 5321, 4.5.4.1).
///
/// Whatever the fields say, each next attempt is later than now and there are finitely many: values that would break
/// that are bent as each field says.
//= 5321-4.5.4.1-5
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RetrySchedule {
    /// The wait after the first failed attempt. Default 15 minutes: two attempts in the first hour (RFC 5321, 4.5.4.1).
    /// At least [`RetrySchedule::SHORTEST`].
    pub first: Duration,
    /// Each wait is this many percent of the one before. Default 200; below 100 means 100.
    pub growth_percent: u32,
    /// The longest wait, jitter aside. Default 4 hours. At least `first`.
    pub cap: Duration,
    /// Up to this many percent of a wait are added to it at random, so that what failed together does not come back
    /// together. Default 20; above 100 means 100.
    pub jitter_percent: u32,
    /// How long after the message came it is given up. Default 5 days; RFC 5321, 4.5.4.1 asks for 4 to 5.
    pub expiry: Duration,
    /// Attempts made before giving up, however late it is: a queue that slept for a week does not bounce all it holds.
    /// Default 3; at most [`RetrySchedule::MOST_OWED`].
    pub owed_attempts: u32,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(15 * 60),
            growth_percent: 200,
            cap: Duration::from_secs(4 * 3600),
            jitter_percent: 20,
            expiry: Duration::from_secs(5 * 24 * 3600),
            owed_attempts: 3,
        }
    }
}

impl RetrySchedule {
    /// The shortest wait there is.
    pub const SHORTEST: Duration = Duration::from_secs(1);
    /// The most attempts that may be owed.
    pub const MOST_OWED: u32 = 100;

    /// The wait after the `attempts`th attempt failed; `roll` is any number, drawn anew for each wait.
    pub fn wait(&self, attempts: u32, roll: u64) -> Duration {
        let cap = self.cap.max(self.first).max(Self::SHORTEST);
        let mut wait = self.first.max(Self::SHORTEST);
        let growth = self.growth_percent.max(100);
        // Ends early at the cap; a growth of 100 % never gets there and needs no steps.
        for _ in 1..if growth == 100 { 1 } else { attempts } {
            if wait >= cap {
                break;
            }
            wait = scaled(wait, u64::from(growth), 100);
        }
        let wait = wait.min(cap);
        let most = scaled(wait, u64::from(self.jitter_percent.min(100)), 100);
        wait.saturating_add(scaled(most, roll >> 32, 1 << 32))
    }

    /// The longest that [`RetrySchedule::wait`] may return.
    pub fn longest_wait(&self) -> Duration {
        let cap = self.cap.max(self.first).max(Self::SHORTEST);
        cap.saturating_add(scaled(cap, u64::from(self.jitter_percent.min(100)), 100))
    }

    /// When a message that came at `arrived` is too old.
    //= 5321-4.5.4.1-4
    pub fn expires(&self, arrived: Instant) -> Instant {
        arrived.plus(self.expiry)
    }

    /// When to try again after the `attempts`th attempt failed at `now`; `None` if it is time to give up.
    ///
    /// The last attempt is made when the message expires.
    //= 5321-4.5.4.1-1, 5321-4.5.4.1-2
    pub fn next(&self, arrived: Instant, attempts: u32, now: Instant, roll: u64) -> Option<Instant> {
        let due = now.plus(self.wait(attempts, roll));
        let expires = self.expires(arrived);
        if attempts < self.owed_attempts.min(Self::MOST_OWED) {
            return (due > now).then_some(due);
        }
        let due = due.min(expires);
        // Within a second of the end, the attempt just made was the last.
        (now.until(due) >= Self::SHORTEST).then_some(due)
    }
}

/// `wait * by / of`, saturating. `by` fits 33 bits.
fn scaled(wait: Duration, by: u64, of: u64) -> Duration {
    let nanos = wait.as_nanos().saturating_mul(u128::from(by)) / u128::from(of);
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % 1_000_000_000) as u32)
}
