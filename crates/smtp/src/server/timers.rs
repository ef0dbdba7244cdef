//! The times that a session keeps, and what happens when they are over.

use super::answers::About;
use super::event::Verdict;
use super::{Limits, Server, Stage};
use crate::outcome::{Refusal, no};
use postrider_core::{Closed, Instant, Timer};
use postrider_sasl::Denied;

#[derive(Debug, Default)]
pub(super) struct Timers {
    /// The client's time for a command.
    pub(super) command: Timer,
    /// The client's time for part of a message.
    pub(super) block: Timer,
    /// When the rate of the message is looked at next.
    pub(super) rate: Timer,
    /// Octets of it since then, on the wire.
    pub(super) recent: u64,
    /// When the session speaks without being asked: its greeting after the delay, or its refusal of a line that holds LF
    /// and does not end.
    pub(super) unasked: Timer,
    /// The delay after errors.
    pub(super) pause: Timer,
    pub(super) pausing: bool,
    pub(super) session: Timer,
}

impl Timers {
    /// No message is on its way in, or the client need not send of it now.
    pub(super) fn rate_over(&mut self) {
        self.rate.disarm();
        self.recent = 0;
    }

    /// Whether less of a message has come than must in one window.
    fn is_slow(&mut self, now: Instant, limits: &Limits) -> bool {
        self.rate.arm_if_off(limits.window());
        let slow = self.rate.tick(now) && core::mem::take(&mut self.recent) < limits.rate;
        self.rate.arm_if_off(limits.window());
        // So that its deadline is known.
        let _ = self.rate.tick(now);
        slow
    }
}

impl Server {
    /// Looks at the time. True if something was due.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let mut due = false;
        for slot in self.slots.iter_mut().filter(|slot| slot.verdict.is_none()) {
            if slot.timer.tick(now) {
                let no = Refusal::undecided();
                slot.verdict = Some(match slot.about {
                    About::Auth { .. } => Verdict::Auth(Err(Denied::Temporary.into())),
                    About::Scram { .. } => Verdict::Scram(Err(Denied::Temporary.into())),
                    About::Challenge { .. } => Verdict::Challenge(Err(Denied::Temporary.into())),
                    About::Message => Verdict::Message(Err(no)),
                    About::Burl { .. } => Verdict::Fetched(Err(no)),
                    About::Hello { .. } | About::Mail { .. } | About::Rcpt { .. } | About::Data => {
                        Verdict::Plain(Err(no))
                    }
                    About::Chunks | About::Etrn => Verdict::Plain(Err(no)),
                    About::Verify { .. } | About::Expand { .. } | About::Said { .. } => Verdict::Plain(Err(no)),
                });
                slot.timed_out = true;
                due = true;
            }
        }
        let timers = &mut self.timers;
        if timers.session.tick(now) {
            self.overdue = true;
            due = true;
        }
        if timers.pause.tick(now) {
            timers.pausing = false;
            due = true;
        }
        if timers.unasked.tick(now) {
            if matches!(self.stage, Stage::Greeting) {
                self.say_greeting();
            } else if self.link.has_lf_within() && self.slots.is_empty() {
                self.run_unended();
            }
            return true;
        }
        // While the application thinks, the client has no duty.
        if !self.slots.is_empty() {
            self.timers.command.disarm();
            self.timers.rate_over();
            return due;
        }
        let limits = &self.config.limits;
        let timers = &mut self.timers;
        let mut late = self.message.is_some() && timers.is_slow(now, limits);
        let mut overdue = self.overdue;
        match &self.stage {
            Stage::Greeting => overdue = false,
            Stage::Proxy { .. } | Stage::Handshake { .. } | Stage::Command => {
                // Between two commands, the session looks at that itself.
                overdue = false;
                timers.command.arm_if_off(limits.command);
                late |= timers.command.tick(now);
            }
            Stage::Exchange { .. } | Stage::Refused { .. } => {
                timers.command.arm_if_off(limits.command);
                late |= timers.command.tick(now);
            }
            Stage::Body(_) | Stage::Chunk(_) => {
                timers.block.arm_if_off(limits.block);
                late |= timers.block.tick(now) || (self.message.is_none() && timers.is_slow(now, limits));
            }
        }
        if matches!(self.stage, Stage::Command) && !timers.pausing && self.link.has_lf_within() {
            timers.unasked.arm_if_off(limits.newline);
            // So that its deadline is known.
            if timers.unasked.tick(now) {
                self.run_unended();
                return true;
            }
        }
        if late || overdue {
            if !self.link.is_gated() && !matches!(self.stage, Stage::Proxy { .. }) {
                self.put(&no(421, 4, 2, if late { "Timed out" } else { "The session has lasted too long" }));
            }
            self.end(Closed::TimedOut);
            return true;
        }
        due
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let t = &self.timers;
        let timers = Timer::earliest([&t.command, &t.block, &t.rate, &t.unasked, &t.pause, &t.session]);
        let slots = self.slots.iter().filter(|slot| slot.verdict.is_none()).filter_map(|slot| slot.timer.deadline());
        timers.into_iter().chain(slots).min()
    }

    pub(super) fn pause(&mut self) {
        if !self.config.limits.error_delay.is_zero() {
            self.timers.pausing = true;
            self.timers.pause.arm(self.config.limits.error_delay);
        }
    }
}
