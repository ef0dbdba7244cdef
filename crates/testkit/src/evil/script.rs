//! What a peer does, written down.

use bytes::Bytes;
use std::time::Duration;

/// What a peer waits for before a turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Until {
    /// Nothing.
    Now,
    /// A line.
    Line,
    /// An SMTP reply with all its lines.
    Reply,
    /// Everything up to these octets, and them.
    Octets(Bytes),
}

/// One thing that a peer does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Says this.
    Say(Bytes),
    /// Says this so many times, without holding it all.
    Flood {
        /// What is said.
        unit: Bytes,
        /// How often.
        times: u64,
    },
    /// Does nothing for so long.
    Wait(Duration),
    /// Reads no more, from here on.
    GoDeaf,
    /// Does the TLS handshake, once the other side begins it. Over a socket, this is where the script ends.
    Tls,
    /// Ends its half of the stream, and reads on.
    HalfClose,
    /// Loses the connection. The script ends here.
    Cut,
}

impl Act {
    /// Says `text` and CR LF.
    pub fn line(text: &str) -> Self {
        Self::Say(format!("{text}\r\n").into())
    }

    /// Says `unit` so many times.
    pub fn flood(unit: &[u8], times: u64) -> Self {
        Self::Flood { unit: Bytes::copy_from_slice(unit), times }
    }

    /// Octets it says.
    fn octets(&self) -> u64 {
        match self {
            Self::Say(octets) => octets.len() as u64,
            Self::Flood { unit, times } => (unit.len() as u64).saturating_mul(*times),
            Self::Wait(_) | Self::GoDeaf | Self::Tls | Self::HalfClose | Self::Cut => 0,
        }
    }
}

/// A wait, and what is done after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turn {
    /// What it is called.
    pub name: String,
    /// What it waits for.
    pub until: Until,
    /// What it does then.
    pub acts: Vec<Act>,
    /// How often it comes, one after the other.
    pub times: u64,
}

/// In which pieces a peer speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pace {
    /// As much at once as there is room for.
    #[default]
    Whole,
    /// Octet by octet.
    Octets,
    /// Octet by octet, and each only so long after the one before.
    Slow(Duration),
}

/// All that a peer does. When it is through, it listens and says nothing more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    pub(super) name: String,
    pub(super) turns: Vec<Turn>,
    pub(super) pace: Pace,
    pub(super) cut_after: Option<u64>,
    pub(super) cut_after_hearing: Option<u64>,
}

impl Script {
    /// A script of no turns.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), turns: vec![], pace: Pace::Whole, cut_after: None, cut_after_hearing: None }
    }

    /// Adds a turn.
    #[must_use]
    pub fn turn(mut self, name: &str, until: Until, acts: impl Into<Vec<Act>>) -> Self {
        self.turns.push(Turn { name: name.to_owned(), until, acts: acts.into(), times: 1 });
        self
    }

    /// Adds a turn that waits for a line and says one.
    #[must_use]
    pub fn answer(self, name: &str, line: &str) -> Self {
        self.turn(name, Until::Line, [Act::line(line)])
    }

    /// Lets the last turn come so many times.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.turns.last_mut().expect("there is a turn to be repeated").times = times;
        self
    }

    /// Calls it something else.
    #[must_use]
    pub fn called(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its turns are called, in order.
    pub fn turns(&self) -> impl Iterator<Item = &str> {
        self.turns.iter().map(|turn| turn.name.as_str())
    }

    /// Octets it says, if it comes to its end.
    pub fn octets(&self) -> u64 {
        let turn = |turn: &Turn| turn.acts.iter().map(Act::octets).sum::<u64>().saturating_mul(turn.times);
        self.turns.iter().map(turn).fold(0, u64::saturating_add)
    }

    /// Where the turn of this name is.
    fn place(&self, turn: &str) -> usize {
        let found = self.turns.iter().position(|this| this.name == turn);
        found.unwrap_or_else(|| panic!("{} has no turn {turn}", self.name))
    }

    // ── one misdeed ──

    /// Does nothing more instead of this turn.
    ///
    /// # Panics
    /// If there is no turn of this name; so do the others that take one.
    #[must_use]
    pub fn stall_before(&self, turn: &str) -> Self {
        let mut script = self.clone().called(format!("{}, stalls before {turn}", self.name));
        script.turns.truncate(self.place(turn));
        script
    }

    /// Does something else in this turn, and is through then.
    #[must_use]
    pub fn instead(&self, turn: &str, what: &str, acts: impl Into<Vec<Act>>) -> Self {
        let place = self.place(turn);
        let mut script = self.clone().called(format!("{}, at {turn}: {what}", self.name));
        script.turns.truncate(place + 1);
        script.turns[place].acts = acts.into();
        script
    }

    /// Says another line in this turn, and goes on as if nothing was.
    #[must_use]
    pub fn replying(&self, turn: &str, line: &str) -> Self {
        let mut script =
            self.clone().called(format!("{}, at {turn} says {}", self.name, crate::escape(line.as_bytes())));
        script.turns[self.place(turn)].acts = vec![Act::line(line)];
        script
    }

    /// Does something more at the end of this turn, and goes on.
    #[must_use]
    pub fn adding(&self, turn: &str, what: &str, acts: impl IntoIterator<Item = Act>) -> Self {
        let mut script = self.clone().called(format!("{}, after {turn}: {what}", self.name));
        script.turns[self.place(turn)].acts.extend(acts);
        script
    }

    /// Loses the connection after it has said so many octets.
    #[must_use]
    pub fn cut_after(&self, octets: u64) -> Self {
        let mut script = self.clone().called(format!("{}, cuts after saying {octets} octets", self.name));
        script.cut_after = Some(octets);
        script
    }

    /// Loses the connection after it has heard so many octets.
    #[must_use]
    pub fn cut_after_hearing(&self, octets: u64) -> Self {
        let mut script = self.clone().called(format!("{}, cuts after hearing {octets} octets", self.name));
        script.cut_after_hearing = Some(octets);
        script
    }

    /// Speaks at this pace.
    #[must_use]
    pub fn paced(&self, pace: Pace) -> Self {
        let mut script = self.clone().called(match pace {
            Pace::Whole => self.name.clone(),
            Pace::Octets => format!("{}, octet by octet", self.name),
            Pace::Slow(wait) => format!("{}, an octet each {wait:?}", self.name),
        });
        script.pace = pace;
        script
    }

    /// Says everything at once, without waiting for anything but TLS.
    #[must_use]
    pub fn unasked(&self) -> Self {
        let mut script = self.clone().called(format!("{}, all at once", self.name));
        script.turns.iter_mut().for_each(|turn| turn.until = Until::Now);
        script
    }

    /// Says everything twice.
    #[must_use]
    pub fn doubled(&self) -> Self {
        let mut script = self.clone().called(format!("{}, everything twice", self.name));
        for turn in &mut script.turns {
            let twice = |act: Act| {
                let again = matches!(act, Act::Say(_)).then(|| act.clone());
                std::iter::once(act).chain(again)
            };
            turn.acts = std::mem::take(&mut turn.acts).into_iter().flat_map(twice).collect();
        }
        script
    }

    // ── all ways to do a misdeed ──

    /// Does nothing more, from each turn on.
    pub fn stalls(&self) -> Vec<Self> {
        (0..self.turns.len())
            .map(|place| {
                let mut script =
                    self.clone().called(format!("{}, stalls before {}", self.name, self.turns[place].name));
                script.turns.truncate(place);
                script
            })
            .collect()
    }

    /// Loses the connection after each octet that it says, and before the first.
    pub fn cuts(&self) -> Vec<Self> {
        (0..=self.octets()).map(|octets| self.cut_after(octets)).collect()
    }

    /// Loses the connection after each of so many octets that it hears.
    pub fn cuts_hearing(&self, octets: u64) -> Vec<Self> {
        (1..=octets).map(|octets| self.cut_after_hearing(octets)).collect()
    }

    /// Does this at the end of each turn, and goes on.
    fn at_each(&self, what: &str, act: &Act) -> Vec<Self> {
        (0..self.turns.len())
            .map(|place| {
                let name = format!("{}, {what} after {}", self.name, self.turns[place].name);
                let mut script = self.clone().called(name);
                script.turns[place].acts.push(act.clone());
                script
            })
            .collect()
    }

    /// Ends its half of the stream after each turn, and reads on.
    pub fn half_closes(&self) -> Vec<Self> {
        self.at_each("closes its half", &Act::HalfClose)
    }

    /// Reads nothing from each turn on.
    pub fn deafs(&self) -> Vec<Self> {
        self.at_each("reads nothing", &Act::GoDeaf)
    }

    /// Says each of these in each turn, and goes on as if nothing was.
    pub fn lies(&self, lines: &[&str]) -> Vec<Self> {
        let mut scripts = vec![];
        for (place, turn) in self.turns.iter().enumerate() {
            for line in lines {
                let name = format!("{}, at {} says {}", self.name, turn.name, crate::escape(line.as_bytes()));
                let mut script = self.clone().called(name);
                script.turns[place].acts = vec![Act::line(line)];
                scripts.push(script);
            }
        }
        scripts
    }

    /// Says each of these floods, by its name, in each turn instead of what it should, and nothing after it.
    pub fn floods(&self, floods: &[(&str, Act)]) -> Vec<Self> {
        let mut scripts = vec![];
        for (place, turn) in self.turns.iter().enumerate() {
            for (what, act) in floods {
                let mut script = self.clone().called(format!("{}, at {}: {what}", self.name, turn.name));
                script.turns.truncate(place + 1);
                script.turns[place].acts = vec![act.clone()];
                scripts.push(script);
            }
        }
        scripts
    }

    /// All of these that need to know nothing of the protocol: stalls, half closes, deafness, cuts at every octet, octet
    /// by octet, slowly, all at once and everything twice.
    pub fn misdeeds(&self) -> Vec<Self> {
        let mut scripts = self.stalls();
        scripts.extend(self.half_closes());
        scripts.extend(self.deafs());
        scripts.extend(self.cuts());
        scripts.push(self.paced(Pace::Octets));
        scripts.push(self.paced(Pace::Slow(Duration::from_secs(50))));
        scripts.push(self.unasked());
        scripts.push(self.unasked().paced(Pace::Octets));
        scripts.push(self.doubled());
        scripts
    }
}
