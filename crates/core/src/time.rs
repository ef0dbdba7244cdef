//! Time as a number the caller hands in.

use core::time::Duration;

/// A point on the caller's monotonic clock: time since an origin that the caller chose.
///
/// Sessions only compare instants and add to them, so any origin will do; a durable queue takes the Unix epoch so
/// that its deadlines survive a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The origin itself.
    pub const ORIGIN: Instant = Instant(Duration::ZERO);

    /// The instant `elapsed` after the origin.
    pub const fn after_origin(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the origin this is.
    pub const fn elapsed(self) -> Duration {
        self.0
    }

    /// The instant `by` later; the latest one there is if that would overflow.
    pub const fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// How long until `later`; zero if that has passed.
    pub const fn until(self, later: Instant) -> Duration {
        later.0.saturating_sub(self.0)
    }
}

/// A wait, armed as "so long from the next poll", so that only `poll` needs to know the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer(State);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Off,
    Armed(Duration),
    Due(Instant),
}

impl Timer {
    /// A timer that is not running.
    pub const OFF: Timer = Timer(State::Off);

    /// Starts it, or starts it again, to end `wait` after the next [`Timer::tick`].
    pub fn arm(&mut self, wait: Duration) {
        self.0 = State::Armed(wait);
    }

    /// Starts it unless it is running.
    pub fn arm_if_off(&mut self, wait: Duration) {
        if let State::Off = self.0 {
            self.arm(wait);
        }
    }

    /// Stops it.
    pub fn disarm(&mut self) {
        self.0 = State::Off;
    }

    /// Tells it the time. True, once, when the wait is over; it is off then.
    #[must_use]
    pub fn tick(&mut self, now: Instant) -> bool {
        match self.0 {
            State::Off => false,
            State::Armed(wait) => {
                self.0 = State::Due(now.plus(wait));
                self.tick(now)
            }
            State::Due(at) if now >= at => {
                self.0 = State::Off;
                true
            }
            State::Due(_) => false,
        }
    }

    /// When it ends: `None` if it is off or has not been ticked since it was armed.
    pub fn deadline(&self) -> Option<Instant> {
        match self.0 {
            State::Due(at) => Some(at),
            State::Off | State::Armed(_) => None,
        }
    }

    /// The earliest deadline of several timers.
    pub fn earliest<const N: usize>(timers: [&Timer; N]) -> Option<Instant> {
        timers.iter().filter_map(|timer| timer.deadline()).min()
    }
}
