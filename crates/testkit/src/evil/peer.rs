//! A script on its way: what the peer does next, without I/O.

use super::script::{Act, Pace, Script, Until};
use bytes::Bytes;
use postrider_core::Instant;

/// What a [`Peer`] does now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Doing {
    /// Says these octets, as far as there is room; [`Peer::said`] tells it how far.
    Say(Bytes),
    /// Nothing before it hears something, or before this time.
    Listen(Option<Instant>),
    /// Does the handshake; [`Peer::shook_hands`] tells it when that is done.
    Tls,
    /// Ends its half of the stream. Once.
    HalfClose,
    /// Loses the connection. From here on, always.
    Cut,
}

/// A peer that follows a [`Script`]. Without I/O: see [`Duel`](super::Duel) and [`Listening`](super::Listening) for what
/// moves its octets.
#[derive(Clone, Debug)]
pub struct Peer {
    script: Script,
    turn: usize,
    repeated: u64,
    /// Whether what this turn waits for has come.
    turned: bool,
    act: usize,
    /// Octets of this act that were said.
    of_act: u64,
    /// What is said now, as often as fits a piece.
    block: Bytes,
    until: Option<Instant>,
    heard: Vec<u8>,
    searched: usize,
    said_in_all: u64,
    heard_in_all: u64,
    deaf: bool,
    cut: bool,
}

/// Floods come in pieces of about this size.
const PIECE: usize = 64 * 1024;

impl Peer {
    /// At the beginning of its script.
    pub fn new(script: &Script) -> Self {
        Self {
            script: script.clone(),
            turn: 0,
            repeated: 0,
            turned: false,
            act: 0,
            of_act: 0,
            block: Bytes::new(),
            until: None,
            heard: vec![],
            searched: 0,
            said_in_all: 0,
            heard_in_all: 0,
            deaf: false,
            cut: false,
        }
    }

    /// What it does at `now`. The same until something changes.
    pub fn next(&mut self, now: Instant) -> Doing {
        loop {
            let over = self.script.cut_after.is_some_and(|octets| self.said_in_all >= octets)
                || self.script.cut_after_hearing.is_some_and(|octets| self.heard_in_all >= octets);
            if over || self.cut {
                self.cut = true;
                return Doing::Cut;
            }
            let Some(turn) = self.script.turns.get(self.turn) else { return Doing::Listen(None) };
            if !self.turned {
                let until = turn.until.clone();
                if !self.has_come(&until) {
                    return Doing::Listen(None);
                }
                self.turned = true;
            }
            let Some(act) = self.script.turns[self.turn].acts.get(self.act).cloned() else {
                self.turned = false;
                self.act = 0;
                self.repeated += 1;
                if self.repeated >= self.script.turns[self.turn].times {
                    self.repeated = 0;
                    self.turn += 1;
                }
                continue;
            };
            match act {
                Act::Say(octets) if octets.is_empty() => self.done(),
                Act::Say(unit) => return self.say(&unit, 1, now),
                Act::Flood { unit, times } => return self.say(&unit, times, now),
                Act::Wait(wait) => {
                    let until = *self.until.get_or_insert(now.plus(wait));
                    if now < until {
                        return Doing::Listen(Some(until));
                    }
                    self.until = None;
                    self.done();
                }
                Act::GoDeaf => {
                    self.deaf = true;
                    self.done();
                }
                Act::Tls => return Doing::Tls,
                Act::HalfClose => {
                    self.done();
                    return Doing::HalfClose;
                }
                Act::Cut => self.cut = true,
            }
        }
    }

    fn say(&mut self, unit: &Bytes, times: u64, now: Instant) -> Doing {
        if self.block.is_empty() {
            let repeats = (PIECE / unit.len()).clamp(1, usize::try_from(times).unwrap_or(usize::MAX));
            self.block = if repeats == 1 { unit.clone() } else { unit.repeat(repeats).into() };
        }
        let left = (unit.len() as u64).saturating_mul(times) - self.of_act;
        let from = (self.of_act % self.block.len() as u64) as usize;
        let mut most = usize::try_from(left).unwrap_or(usize::MAX).min(self.block.len() - from);
        if let Some(cut) = self.script.cut_after {
            most = most.min(usize::try_from(cut - self.said_in_all).unwrap_or(usize::MAX));
        }
        if self.script.pace != Pace::Whole {
            most = 1;
        }
        if let Pace::Slow(wait) = self.script.pace
            && self.until.is_none()
        {
            // Each octet is waited for, the first too.
            self.until = Some(now.plus(wait));
        }
        if let Some(until) = self.until
            && now < until
        {
            return Doing::Listen(Some(until));
        }
        Doing::Say(self.block.slice(from..from + most))
    }

    fn done(&mut self) {
        self.act += 1;
        self.of_act = 0;
        self.block = Bytes::new();
        self.until = None;
        // At once, or it would hear the answer to what it has just said.
        let next = self.script.turns.get(self.turn).and_then(|turn| turn.acts.get(self.act));
        self.deaf |= matches!(next, Some(Act::GoDeaf));
    }

    /// The first `octets` of what it says were taken.
    pub fn said(&mut self, octets: usize) {
        if octets == 0 {
            return;
        }
        self.of_act += octets as u64;
        self.said_in_all += octets as u64;
        self.until = None;
        let act = self.script.turns.get(self.turn).and_then(|turn| turn.acts.get(self.act));
        let over = match act {
            Some(Act::Say(unit)) => self.of_act >= unit.len() as u64,
            Some(Act::Flood { unit, times }) => self.of_act >= (unit.len() as u64).saturating_mul(*times),
            _ => false,
        };
        if over {
            self.done();
        }
    }

    /// The handshake is done.
    pub fn shook_hands(&mut self) {
        // What was heard before has nothing to do with what comes after.
        self.heard.clear();
        self.searched = 0;
        self.done();
    }

    /// How many octets it would hear now; 0 if it reads nothing.
    pub fn wants(&self) -> usize {
        if self.deaf || self.cut {
            return 0;
        }
        let left = self.script.cut_after_hearing.map(|octets| octets - self.heard_in_all.min(octets));
        left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// The other side said this.
    pub fn hear(&mut self, octets: &[u8]) {
        self.heard_in_all += octets.len() as u64;
        // When the script is through, nobody looks at it any more.
        if self.turn < self.script.turns.len() {
            self.heard.extend_from_slice(octets);
        }
    }

    /// What the script is called.
    pub fn name(&self) -> &str {
        &self.script.name
    }

    /// The turn it is at; `None` when it is through.
    pub fn at(&self) -> Option<&str> {
        self.script.turns.get(self.turn).map(|turn| turn.name.as_str())
    }

    /// Octets it said.
    pub fn octets_said(&self) -> u64 {
        self.said_in_all
    }

    fn has_come(&mut self, what: &Until) -> bool {
        let end = match what {
            Until::Now => Some(0),
            Until::Line => self.heard.iter().position(|&octet| octet == b'\n').map(|at| at + 1),
            Until::Reply => self.reply(),
            Until::Octets(octets) => {
                let from = self.searched.saturating_sub(octets.len());
                let found = self.heard[from..].windows(octets.len().max(1)).position(|window| window == octets);
                self.searched = self.heard.len();
                found.map(|at| from + at + octets.len())
            }
        };
        let Some(end) = end else { return false };
        self.heard.drain(..end);
        self.searched = 0;
        true
    }

    /// Where the first SMTP reply ends, if it is there: after the first line without `-` in the fourth place.
    fn reply(&self) -> Option<usize> {
        let mut start = 0;
        while let Some(lf) = self.heard[start..].iter().position(|&octet| octet == b'\n') {
            let line = &self.heard[start..start + lf];
            start += lf + 1;
            if line.get(3) != Some(&b'-') {
                return Some(start);
            }
        }
        None
    }
}
