//! The least time between logins (RFC 2449, 6.5 and 8.1.1).

use crate::wire::Refusal;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;
use postrider_core::Instant;

/// When each user last logged in: what all sessions of a server share to enforce LOGIN-DELAY.
///
/// Ask [`Logins::admit`] when the credentials are found to be right, and before the maildrop is opened: who does not
/// know the password then does not learn whether the user exists.
#[derive(Debug)]
pub struct Logins {
    delay: Duration,
    limit: usize,
    last: BTreeMap<Box<str>, Instant>,
    /// The same, oldest first.
    order: VecDeque<(Instant, Box<str>)>,
}

impl Logins {
    /// Users remembered, by default: 100,000.
    pub const LIMIT: usize = 100_000;

    /// Wants `delay` between two logins of one user. Remembers at most `limit` users, and above that forgets who logged
    /// in first.
    pub fn new(delay: Duration, limit: usize) -> Self {
        Self { delay, limit, last: BTreeMap::new(), order: VecDeque::new() }
    }

    /// Notes that `user` logs in now.
    ///
    /// # Errors
    /// The refusal with `[LOGIN-DELAY]` if the last login was too short a time ago. That time does not begin anew.
    //= 2449-6.5-2
    pub fn admit(&mut self, user: &str, now: Instant) -> Result<(), Refusal> {
        while self.order.front().is_some_and(|(at, _)| at.plus(self.delay) <= now) {
            self.forget_first();
        }
        if self.last.contains_key(user) {
            return Err(Refusal::login_delay(self.delay));
        }
        if self.delay.is_zero() || self.limit == 0 {
            return Ok(());
        }
        if self.order.len() >= self.limit {
            self.forget_first();
        }
        self.last.insert(user.to_owned().into_boxed_str(), now);
        self.order.push_back((now, user.to_owned().into_boxed_str()));
        Ok(())
    }

    fn forget_first(&mut self) {
        if let Some((_, user)) = self.order.pop_front() {
            self.last.remove(&user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ResponseCode;
    use alloc::string::ToString;

    fn at(seconds: u64) -> Instant {
        Instant::after_origin(Duration::from_secs(seconds))
    }

    //= 2449-6.5-2
    #[test]
    fn a_login_that_comes_too_soon_is_refused() {
        let mut logins = Logins::new(Duration::from_secs(60), Logins::LIMIT);
        logins.admit("ada", at(0)).expect("the first");
        logins.admit("bob", at(1)).expect("another user");
        let refusal = logins.admit("ada", at(59)).expect_err("too soon");
        assert_eq!(refusal.code, Some(ResponseCode::LoginDelay));
        assert_eq!(refusal.to_string(), "[LOGIN-DELAY] log in again no sooner than 60 seconds after the last time");
        logins.admit("ada", at(60)).expect("what was refused does not count");
        logins.admit("ada", at(61)).expect_err("too soon again");
    }

    #[test]
    fn memory_stays_within_its_limit() {
        let mut logins = Logins::new(Duration::from_secs(60), 2);
        for user in ["a", "b", "c"] {
            logins.admit(user, at(0)).expect("the first");
        }
        assert_eq!((logins.last.len(), logins.order.len()), (2, 2));
        logins.admit("a", at(1)).expect("it was forgotten");
        logins.admit("c", at(1)).expect_err("it was not");
        logins.admit("d", at(100)).expect("long after");
        assert_eq!(logins.last.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn no_delay_is_no_delay() {
        let mut logins = Logins::new(Duration::ZERO, Logins::LIMIT);
        for _ in 0..3 {
            logins.admit("ada", at(0)).expect("always");
        }
    }
}
