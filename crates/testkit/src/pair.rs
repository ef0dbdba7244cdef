//! Two sessions face to face, over a network that a seed has made.

use crate::{Rng, escape};
use postrider_core::{Handshake, Instant, Machine, Pending, Session, Step, TlsFailed, TlsInfo};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// One of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// A direction of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From A to B.
    ToB,
    /// From B to A.
    ToA,
}

/// The applications on both sides. Each method may draw from the same seed.
pub trait Applications<A: Session, B: Session> {
    /// A reports or asks.
    fn on_a(&mut self, a: &mut A, event: A::Event, rng: &mut Rng);
    /// B reports or asks.
    fn on_b(&mut self, b: &mut B, event: B::Event, rng: &mut Rng);
    /// Between two steps of the network: late answers, data that did not fit, a change of mind. True if it has left
    /// undone what it could do at once: time does not pass then.
    fn between(&mut self, a: &mut A, b: &mut B, rng: &mut Rng) -> bool {
        let _ = (a, b, rng);
        false
    }
}

/// What the network does besides cutting the stream into pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// After so many octets in this direction the connection is lost, for both.
    pub cut: Option<(Way, u64)>,
    /// After so many octets in this direction nothing more comes but the end of the stream.
    pub half_close: Option<(Way, u64)>,
    /// After so many octets nothing moves in this direction for so long.
    pub stall: Option<(Way, u64, Duration)>,
    /// The TLS handshake fails, on both sides.
    pub tls_fails: bool,
    /// The most that a piece is under way. Default: no time at all.
    pub delay: Duration,
}

impl Faults {
    /// None at all.
    pub const NONE: Faults =
        Faults { cut: None, half_close: None, stall: None, tls_fails: false, delay: Duration::ZERO };

    /// Draws at most one fault, within the first `octets` of either direction, and some delay.
    pub fn draw(rng: &mut Rng, octets: u64) -> Self {
        let way = if rng.one_in(2) { Way::ToB } else { Way::ToA };
        let at = rng.next_u64() % octets.max(1);
        let mut faults = Self { delay: Duration::from_millis(rng.below(300) as u64), ..Self::NONE };
        match rng.below(6) {
            0 => faults.cut = Some((way, at)),
            1 => faults.half_close = Some((way, at)),
            2 => faults.stall = Some((way, at, Duration::from_secs(rng.between(1, 7200) as u64))),
            3 => faults.tls_fails = true,
            _ => {}
        }
        faults
    }

    /// Whether everything that the two sides want can happen: there is delay at most.
    pub fn are_harmless(&self) -> bool {
        self.cut.is_none() && self.half_close.is_none() && self.stall.is_none() && !self.tls_fails
    }
}

/// Two sessions, and the network between them. The same seed gives the same run.
///
/// "TLS" is a hello in each direction and then scrambled octets: what crosses the gate in the clear is garbage to the
/// other side.
///
/// If a test panics while a pair lives, its seed and the last of what happened are printed.
pub struct Pair<A: Session, B: Session> {
    /// The first session.
    pub a: A,
    /// The second session.
    pub b: B,
    seed: u64,
    rng: Rng,
    now: Instant,
    faults: Faults,
    to_b: Pipe,
    to_a: Pipe,
    shim_a: Shim,
    shim_b: Shim,
    trace: VecDeque<String>,
}

/// What the last lines of a trace are kept of.
const TRACE: usize = 200;
/// Octets that a direction of the network holds before the sender must wait.
const PIPE: usize = 32 * 1024;
/// Steps after which a run is certainly going round in circles.
const RUNAWAY: usize = 2_000_000;
/// How "TLS" begins.
const HELLO: &[u8; 8] = b"\x16\x03\x01HELLO";

/// One direction of the network.
#[derive(Default)]
struct Pipe {
    /// Pieces under way, with the time at which they arrive.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    held: usize,
    carried: u64,
    stalled_until: Option<Instant>,
    /// The sender will send no more.
    ended: bool,
    /// The receiver knows.
    end_told: bool,
    /// Swallows everything.
    broken: bool,
}

/// The transport at one end: in the clear, in the handshake, or scrambled.
#[derive(Default)]
enum Shim {
    #[default]
    Clear,
    Shaking {
        pending: Option<Pending<Handshake>>,
        heard: Vec<u8>,
    },
    Scrambled {
        sent: u8,
        heard: u8,
    },
}

/// A run that did not end.
#[derive(Debug)]
pub struct SimFailure {
    /// Why, as a sentence.
    pub why: String,
    /// The seed to repeat it with.
    pub seed: u64,
    /// The last of what happened.
    pub trace: Vec<String>,
}

impl fmt::Display for SimFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.why)?;
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for SimFailure {}

impl<A: Session, B: Session> Pair<A, B> {
    /// Puts `a` and `b` face to face.
    pub fn new(seed: u64, faults: Faults, a: A, b: B) -> Self {
        Self {
            a,
            b,
            seed,
            rng: Rng::new(seed),
            now: Instant::ORIGIN,
            faults,
            to_b: Pipe::default(),
            to_a: Pipe::default(),
            shim_a: Shim::Clear,
            shim_b: Shim::Clear,
            trace: VecDeque::new(),
        }
    }

    /// The simulated time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Notes something in the trace.
    pub fn note(&mut self, what: impl Into<String>) {
        note(&mut self.trace, self.now, what.into());
    }

    /// Runs until both sessions are finished.
    ///
    /// # Errors
    /// [`SimFailure`] if nothing more can happen before that, or if it never ends.
    pub fn run(&mut self, applications: &mut impl Applications<A, B>) -> Result<(), SimFailure> {
        for _ in 0..RUNAWAY {
            let (moved, deadline) = self.step(applications);
            if self.a.is_finished() && self.b.is_finished() {
                return Ok(());
            }
            if moved {
                continue;
            }
            let wake = [deadline, self.to_a.wake(self.now), self.to_b.wake(self.now)].into_iter().flatten().min();
            match wake {
                Some(wake) if wake > self.now => self.now = wake,
                Some(_) => return Err(self.failure("a session is idle until a time that has passed")),
                None => return Err(self.failure("nothing more will happen, and the sessions are not finished")),
            }
        }
        Err(self.failure("it never ends"))
    }

    /// One round. Says whether anything happened, and the earliest deadline.
    fn step(&mut self, applications: &mut impl Applications<A, B>) -> (bool, Option<Instant>) {
        let queued = (self.a.output().len(), self.b.output().len());
        let undone = applications.between(&mut self.a, &mut self.b, &mut self.rng);
        let written = queued != (self.a.output().len(), self.b.output().len());
        // What the applications did of their own accord is seen at once: it may have ended a session, which says so.
        let (polled_a, deadline_a) = poll(&mut self.a, self.now, |a, event| applications.on_a(a, event, &mut self.rng));
        let (polled_b, deadline_b) = poll(&mut self.b, self.now, |b, event| applications.on_b(b, event, &mut self.rng));

        let mut moved = polled_a || polled_b || written || undone;
        let tls_fails = self.faults.tls_fails;
        let order = if self.rng.one_in(2) { [Side::A, Side::B] } else { [Side::B, Side::A] };
        for side in order {
            let trace = &mut self.trace;
            moved |= match side {
                Side::A => {
                    send("A", &mut self.a, &mut self.shim_a, &mut self.to_b, self.now, self.faults.delay, &mut self.rng)
                        | deliver(
                            "A",
                            &mut self.a,
                            &mut self.shim_a,
                            &mut self.to_a,
                            self.now,
                            tls_fails,
                            &mut self.rng,
                            trace,
                        )
                }
                Side::B => {
                    send("B", &mut self.b, &mut self.shim_b, &mut self.to_a, self.now, self.faults.delay, &mut self.rng)
                        | deliver(
                            "B",
                            &mut self.b,
                            &mut self.shim_b,
                            &mut self.to_b,
                            self.now,
                            tls_fails,
                            &mut self.rng,
                            trace,
                        )
                }
            };
        }
        moved |= self.fail();
        (moved, [deadline_a, deadline_b].into_iter().flatten().min())
    }

    /// Lets the faults happen whose time has come.
    fn fail(&mut self) -> bool {
        let now = self.now;
        if let Some((way, at)) = self.faults.cut
            && self.pipe(way).carried >= at
        {
            self.faults.cut = None;
            self.to_a.lose();
            self.to_b.lose();
            self.note("the connection is lost");
            return true;
        }
        if let Some((way, at)) = self.faults.half_close
            && self.pipe(way).carried >= at
        {
            self.faults.half_close = None;
            self.pipe(way).lose();
            self.note(format!("nothing more goes {way:?}"));
            return true;
        }
        if let Some((way, at, wait)) = self.faults.stall
            && self.pipe(way).carried >= at
        {
            self.faults.stall = None;
            self.pipe(way).stalled_until = Some(now.plus(wait));
            self.note(format!("{way:?} stalls for {wait:?}"));
            return true;
        }
        false
    }

    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::ToB => &mut self.to_b,
            Way::ToA => &mut self.to_a,
        }
    }

    fn failure(&mut self, why: &str) -> SimFailure {
        SimFailure { why: why.to_owned(), seed: self.seed, trace: self.trace.drain(..).collect() }
    }
}

impl<A: Session, B: Session> Drop for Pair<A, B> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}:", self.seed);
            self.trace.iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}

impl Pipe {
    fn lose(&mut self) {
        self.pieces.clear();
        self.held = 0;
        self.ended = true;
        self.broken = true;
    }

    /// When something arrives that is not here yet.
    fn wake(&self, now: Instant) -> Option<Instant> {
        let arrives = match self.pieces.front() {
            Some((at, _)) => *at,
            None if self.ended && !self.end_told => now,
            None => return None,
        };
        let at = self.stalled_until.map_or(arrives, |until| until.max(arrives));
        (at > now).then_some(at)
    }

    fn push(&mut self, at: Instant, octets: Vec<u8>) {
        if self.broken {
            return;
        }
        // TCP keeps the order.
        let at = self.pieces.back().map_or(at, |(last, _)| at.max(*last));
        self.held += octets.len();
        self.pieces.push_back((at, octets));
    }
}

/// Polls to idleness.
fn poll<S: Session>(
    session: &mut S,
    now: Instant,
    mut on: impl FnMut(&mut S, <S as Machine>::Event),
) -> (bool, Option<Instant>) {
    let mut happened = false;
    loop {
        match session.poll(now) {
            Step::Event(event) => {
                happened = true;
                on(session, event);
            }
            Step::Idle { deadline } => return (happened, deadline),
        }
    }
}

/// Moves a piece of the session's output into the network.
fn send<S: Session>(
    who: &str,
    session: &mut S,
    shim: &mut Shim,
    pipe: &mut Pipe,
    now: Instant,
    delay: Duration,
    rng: &mut Rng,
) -> bool {
    let at = now.plus(delay.mul_f64(rng.below(1000) as f64 / 1000.0));
    if let Shim::Clear = shim
        && let Some(pending) = session.upgrade()
    {
        pipe.push(at, HELLO.to_vec());
        *shim = Shim::Shaking { pending: Some(pending), heard: vec![] };
        return true;
    }
    let waiting = session.output();
    if waiting.is_empty() {
        if session.is_finished() && !pipe.ended {
            pipe.ended = true;
            return true;
        }
        return false;
    }
    if pipe.held >= PIPE && !pipe.broken {
        return false;
    }
    let n = rng.piece(waiting.len());
    let mut piece = waiting[..n].to_vec();
    match shim {
        Shim::Clear => {}
        Shim::Shaking { .. } => panic!("{who} has output while it waits for the handshake: {}", escape(&piece)),
        Shim::Scrambled { sent, .. } => scramble(&mut piece, sent),
    }
    session.sent(n);
    pipe.push(at, piece);
    true
}

/// Hands the session a piece of what has arrived.
#[expect(clippy::too_many_arguments, reason = "the parts of a pair, borrowed one by one")]
fn deliver<S: Session>(
    who: &str,
    session: &mut S,
    shim: &mut Shim,
    pipe: &mut Pipe,
    now: Instant,
    tls_fails: bool,
    rng: &mut Rng,
    trace: &mut VecDeque<String>,
) -> bool {
    if pipe.stalled_until.is_some_and(|until| now < until) {
        return false;
    }
    let Some((at, piece)) = pipe.pieces.front_mut() else {
        if pipe.ended && !pipe.end_told {
            pipe.end_told = true;
            if let Shim::Shaking { pending: waiting @ Some(_), .. } = shim {
                let pending = waiting.take().expect("it was just seen to be there");
                let _ = session.tls(pending, Err(TlsFailed::from("the connection was lost in the handshake")));
            }
            session.receive_eof();
            note(trace, now, format!("{who} is told that the stream has ended"));
            return true;
        }
        return false;
    };
    if *at > now {
        return false;
    }
    let room = match shim {
        // Who has ended reads no more.
        _ if session.is_finished() => piece.len(),
        Shim::Shaking { heard, .. } => HELLO.len() - heard.len(),
        Shim::Clear | Shim::Scrambled { .. } => session.window(),
    };
    let n = rng.piece(piece.len()).min(room);
    if n == 0 {
        return false;
    }
    let mut octets: Vec<u8> = piece.drain(..n).collect();
    if piece.is_empty() {
        pipe.pieces.pop_front();
    }
    pipe.held -= n;
    pipe.carried += n as u64;
    match shim {
        _ if session.is_finished() => {}
        Shim::Clear | Shim::Scrambled { .. } => {
            if let Shim::Scrambled { heard, .. } = shim {
                scramble(&mut octets, heard);
            }
            let (shown, rest) = octets.split_at(octets.len().min(60));
            let more = if rest.is_empty() { String::new() } else { format!(" and {} octets", rest.len()) };
            note(trace, now, format!("{who} reads {}{more}", escape(shown)));
            let taken = session.receive(&octets);
            assert_eq!(taken, n, "{who} has a window of {room} and does not take it");
        }
        Shim::Shaking { pending, heard } => {
            heard.extend_from_slice(&octets);
            let wrong = !HELLO.starts_with(heard.as_slice());
            if wrong || heard.len() == HELLO.len() {
                let pending = pending.take().expect("the handshake ends once");
                let result = if wrong {
                    Err(TlsFailed::from("what came is not TLS"))
                } else if tls_fails {
                    Err(TlsFailed::from("the simulation wants it so"))
                } else {
                    let mut info = TlsInfo::default();
                    info.version = "TLSv1.3".into();
                    info.verified = true;
                    // The same on both ends, as of one connection, so that logins can be bound to it.
                    info.exporter = Some([0x2a; 32].to_vec());
                    Ok(info)
                };
                note(trace, now, format!("{who} has TLS: {}", result.is_ok()));
                *shim = Shim::Scrambled { sent: 0, heard: 0 };
                session.tls(pending, result).expect("the session asked for TLS and is told how it went, once");
            }
        }
    }
    true
}

/// Scrambles, and unscrambles.
fn scramble(octets: &mut [u8], position: &mut u8) {
    for octet in octets {
        *octet ^= position.wrapping_mul(31) ^ 0xa5;
        *position = position.wrapping_add(1);
    }
}

fn note(trace: &mut VecDeque<String>, now: Instant, what: String) {
    if trace.len() == TRACE {
        trace.pop_front();
    }
    trace.push_back(format!("{:>12?} {what}", now.elapsed()));
}
