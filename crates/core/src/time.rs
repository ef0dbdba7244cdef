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
///
/// A session has many, so the time is kept in its parts: 16 octets and not 24.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer {
    seconds: u64,
    nanoseconds: u32,
    state: State,
}

/// What the time of a timer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Off,
    /// How long the wait will be.
    Armed,
    /// When it ends.
    Due,
}

impl Timer {
    /// A timer that is not running.
    pub const OFF: Timer = Timer { seconds: 0, nanoseconds: 0, state: State::Off };

    const fn new(state: State, time: Duration) -> Self {
        Self { seconds: time.as_secs(), nanoseconds: time.subsec_nanos(), state }
    }

    const fn time(&self) -> Duration {
        Duration::new(self.seconds, self.nanoseconds)
    }

    /// Starts it, or starts it again, to end `wait` after the next [`Timer::tick`].
    pub fn arm(&mut self, wait: Duration) {
        *self = Self::new(State::Armed, wait);
    }

    /// Starts it unless it is running.
    pub fn arm_if_off(&mut self, wait: Duration) {
        if self.state == State::Off {
            self.arm(wait);
        }
    }

    /// Stops it.
    pub fn disarm(&mut self) {
        *self = Self::OFF;
    }

    /// Tells it the time. True, once, when the wait is over; it is off then.
    #[must_use]
    pub fn tick(&mut self, now: Instant) -> bool {
        if self.state == State::Armed {
            *self = Self::new(State::Due, now.plus(self.time()).elapsed());
        }
        let over = self.deadline().is_some_and(|due| now >= due);
        if over {
            self.disarm();
        }
        over
    }

    /// When it ends: `None` if it is off or has not been ticked since it was armed.
    pub fn deadline(&self) -> Option<Instant> {
        (self.state == State::Due).then(|| Instant::after_origin(self.time()))
    }

    /// The earliest deadline of several timers.
    pub fn earliest<const N: usize>(timers: [&Timer; N]) -> Option<Instant> {
        timers.iter().filter_map(|timer| timer.deadline()).min()
    }
}
