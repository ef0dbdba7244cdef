//! A session and an evil peer, in simulated time.

use super::{Doing, Peer, Script};
use crate::escape;
use postrider_core::{Handshake, Instant, Pending, Session, Step, TlsFailed, TlsInfo};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// The application of the session. Every `FnMut(&mut S, S::Event)` is one.
pub trait Application<S: Session> {
    /// Deals with an event.
    fn on(&mut self, session: &mut S, event: S::Event);

    /// Does something of its own accord between two moves; true if it did.
    fn between(&mut self, session: &mut S) -> bool {
        let _ = session;
        false
    }
}

impl<S: Session, F: FnMut(&mut S, S::Event)> Application<S> for F {
    fn on(&mut self, session: &mut S, event: S::Event) {
        self(session, event);
    }
}

/// A session face to face with a [`Peer`]. Time passes only when nothing else happens.
pub struct Duel<S: Session> {
    /// The session.
    pub session: S,
    peer: Peer,
    now: Instant,
    most: Duration,
    shaking: Option<Pending<Handshake>>,
    cut: bool,
    ended: bool,
    report: Report,
    trace: VecDeque<String>,
}

/// How a session fared.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// How long it lived.
    pub after: Duration,
    /// Octets it took from the peer.
    pub taken: u64,
    /// Octets it said that the peer read.
    pub said: u64,
    /// The most octets that it offered to hold at once, by its window.
    pub most_window: usize,
    /// Events it reported.
    pub events: u64,
    /// What the peer read, as far as the first 64 KiB.
    pub heard: Vec<u8>,
}

/// A session that does not end, though its peer is evil.
#[derive(Clone, Debug)]
pub struct Unending {
    /// Why, as a sentence.
    pub why: String,
    /// The last of what happened.
    pub trace: Vec<String>,
}

impl fmt::Display for Unending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.why)?;
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Unending {}

/// What is kept of the trace.
const TRACE: usize = 60;
/// What is kept of what the peer heard.
const HEARD: usize = 64 * 1024;
/// Rounds in which nothing but the application moves, after which it will do so for ever.
const IDLE_ROUNDS: usize = 1_000_000;

impl<S: Session> Duel<S> {
    /// Puts them face to face.
    pub fn new(session: S, script: &Script) -> Self {
        Self {
            session,
            peer: Peer::new(script),
            now: Instant::ORIGIN,
            most: Duration::from_secs(7 * 86_400),
            shaking: None,
            cut: false,
            ended: false,
            report: Report::default(),
            trace: VecDeque::new(),
        }
    }

    /// How long the session may live. Default: a week.
    #[must_use]
    pub fn at_most(mut self, most: Duration) -> Self {
        self.most = most;
        self
    }

    /// Runs until the session is finished.
    ///
    /// # Errors
    /// [`Unending`] if it waits for ever, or longer than it may.
    ///
    /// # Panics
    /// If the session breaks its word: it does not take what its window promised, or wants to be woken in the past.
    pub fn run(mut self, application: &mut impl Application<S>) -> Result<Report, Unending> {
        loop {
            let deadline = self.rest(application)?;
            if self.session.is_finished() {
                self.report.after = self.now.elapsed();
                return Ok(std::mem::take(&mut self.report));
            }
            let Some(deadline) = deadline else {
                return Err(self.unending("nothing will wake it, and it has not ended"));
            };
            assert!(deadline > self.now, "{}: a driver would spin until {deadline:?}", self.peer.name());
            if deadline.elapsed() > self.most {
                return Err(self.unending("it outlives what it may"));
            }
            self.now = deadline;
        }
    }

    /// Runs until nothing more happens unless time passes, and counts the octets that wait in the session to be sent.
    ///
    /// # Errors
    /// As [`Duel::run`].
    pub fn queued_at_rest(mut self, application: &mut impl Application<S>) -> Result<u64, Unending> {
        self.rest(application)?;
        let mut queued = 0;
        while !self.session.output().is_empty() {
            let octets = self.session.output().len();
            self.session.sent(octets);
            queued += octets as u64;
        }
        Ok(queued)
    }

    /// Moves what can be moved now, and says when something more will happen.
    fn rest(&mut self, application: &mut impl Application<S>) -> Result<Option<Instant>, Unending> {
        let mut idle_rounds = 0;
        loop {
            let mut deadline = loop {
                match self.session.poll(self.now) {
                    Step::Event(event) => {
                        assert!(!self.ended, "{}: an event comes after the session was finished", self.peer.name());
                        self.report.events += 1;
                        application.on(&mut self.session, event);
                    }
                    Step::Idle { deadline } => break deadline,
                }
            };
            if self.session.is_finished() {
                self.ended = true;
                return Ok(None);
            }
            let did = application.between(&mut self.session);
            if self.shaking.is_none() {
                self.shaking = self.session.upgrade();
            }
            let heard = self.peer_hears();
            let acted = match self.peer.next(self.now) {
                Doing::Listen(wake) => {
                    deadline = [deadline, wake].into_iter().flatten().min();
                    false
                }
                doing => self.peer_does(doing),
            };
            if !(did || heard || acted) {
                return Ok(deadline);
            }
            idle_rounds = if heard || acted { 0 } else { idle_rounds + 1 };
            if idle_rounds > IDLE_ROUNDS {
                return Err(self.unending("the application goes round in circles"));
            }
        }
    }

    fn peer_hears(&mut self) -> bool {
        let waiting = self.session.output();
        let n = if self.cut { waiting.len() } else { waiting.len().min(self.peer.wants()) };
        if n == 0 {
            return false;
        }
        let octets = waiting[..n].to_vec();
        self.session.sent(n);
        if !self.cut {
            self.note("hears", &octets);
            let room = HEARD.saturating_sub(self.report.heard.len());
            self.report.heard.extend_from_slice(&octets[..n.min(room)]);
            self.report.said += n as u64;
            self.peer.hear(&octets);
        }
        true
    }

    fn peer_does(&mut self, doing: Doing) -> bool {
        match doing {
            Doing::Listen(_) => false,
            Doing::Say(octets) => {
                if let Some(pending) = self.shaking.take() {
                    // It does not know that it is heard by a TLS library.
                    self.note("says in the handshake", &octets);
                    self.peer.said(octets.len());
                    self.tell(pending, Err(TlsFailed::from("what came is not TLS")));
                    return true;
                }
                let window = self.session.window();
                self.report.most_window = self.report.most_window.max(window);
                let n = window.min(octets.len());
                if n == 0 {
                    return false;
                }
                self.note("says", &octets[..n]);
                let taken = self.session.receive(&octets[..n]);
                assert_eq!(taken, n, "{}: the window was {window}", self.peer.name());
                self.report.taken += n as u64;
                self.peer.said(n);
                true
            }
            Doing::Tls => {
                let Some(pending) = self.shaking.take() else { return false };
                self.note("shakes hands", b"");
                self.peer.shook_hands();
                let mut info = TlsInfo::default();
                info.version = "TLSv1.3".into();
                info.verified = true;
                self.tell(pending, Ok(info));
                true
            }
            Doing::HalfClose => {
                self.end("closes its half");
                true
            }
            Doing::Cut if self.cut => false,
            Doing::Cut => {
                self.cut = true;
                self.end("cuts");
                true
            }
        }
    }

    fn end(&mut self, what: &str) {
        self.note(what, b"");
        if let Some(pending) = self.shaking.take() {
            self.tell(pending, Err(TlsFailed::from("the connection was lost in the handshake")));
        }
        self.session.receive_eof();
    }

    /// Tells the session how the handshake went; it may have ended meanwhile.
    fn tell(&mut self, pending: Pending<Handshake>, result: Result<TlsInfo, TlsFailed>) {
        let _ = self.session.tls(pending, result);
    }

    fn note(&mut self, what: &str, octets: &[u8]) {
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        let shown = escape(&octets[..octets.len().min(80)]);
        let more = if octets.len() > 80 { format!(" and {} octets", octets.len() - 80) } else { String::new() };
        self.trace.push_back(format!("{:>12?} the peer {what} {shown}{more}", self.now.elapsed()));
    }

    fn unending(&mut self, why: &str) -> Unending {
        let at = self.peer.at().map_or("through".to_owned(), |turn| format!("at {turn}"));
        let after = self.now.elapsed();
        let why = format!("{}: {why}; after {after:?}, the peer is {at}", self.peer.name());
        Unending { why, trace: self.trace.drain(..).collect() }
    }
}

impl<S: Session> Drop for Duel<S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}:", self.peer.name());
            self.trace.iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}
