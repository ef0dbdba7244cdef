//! Drives one session with arbitrary input, and sees to what holds for every session.

use super::split;
use crate::Rng;
use postrider_core::{Instant, Session, Step, TlsFailed, TlsInfo};
use std::time::Duration;

/// The application of the session under test.
pub(super) trait Actor<S: Session> {
    /// Deals with an event: at once, later, or never. Says whether it was the last.
    fn on(&mut self, session: &mut S, event: S::Event, rng: &mut Rng) -> bool;

    /// Does something of its own accord, or what it left undone.
    fn between(&mut self, session: &mut S, rng: &mut Rng) {
        let _ = (session, rng);
    }
}

/// No session may hold more output than this, whatever comes: its own limit and one large reply.
const MOST_OUTPUT: usize = 8 << 20;

/// Feeds what follows the seed in `data` to the session that `start` makes.
///
/// # Panics
/// If the session breaks what it promises: it takes what its window allows, its deadlines lie ahead, it reports its end
/// once and last, and it does end when the stream has ended and time passes.
pub(super) fn drive<S: Session, A: Actor<S>>(data: &[u8], start: impl FnOnce(&mut Rng) -> (S, A)) {
    let (mut rng, mut rest) = split(data);
    let (mut session, mut actor) = start(&mut rng);
    let mut now = Instant::ORIGIN;
    let (mut over, mut eof) = (false, false);
    // A polite peer says one line at a time and waits a while for an answer.
    let polite = rng.one_in(2);
    let mut patience = 30;
    // Each round moves octets, or time, or is one of the few that only answer.
    let rounds = 40 * data.len() + 20_000;
    for round in 0..rounds {
        let mut deadline = None;
        for events in 0.. {
            assert!(events < 1_000_000, "the session never falls idle");
            match session.poll(now) {
                Step::Event(event) => {
                    assert!(!over, "an event came after the last one");
                    over = actor.on(&mut session, event, &mut rng);
                }
                Step::Idle { deadline: next } => {
                    assert!(next.is_none_or(|next| next > now), "a driver would spin: {next:?} at {now:?}");
                    deadline = next;
                    break;
                }
            }
        }
        if session.is_finished() {
            assert!(over, "the session is finished and has not said so");
            return;
        }
        if let Some(pending) = session.upgrade() {
            let result = if rng.one_in(8) { Err(TlsFailed::from("refused")) } else { Ok(TlsInfo::default()) };
            session.tls(pending, result).expect("the session asked for TLS just now");
        }
        if rng.one_in(16) {
            // All of it, since it is shown in pieces.
            let mut held = 0;
            while !session.output().is_empty() {
                let piece = session.output().len();
                held += piece;
                session.sent(piece);
            }
            assert!(held <= MOST_OUTPUT, "too much output is held: {held}");
        }
        let waiting = session.output().len();
        if waiting > 0 && (!rng.one_in(4) || over) {
            session.sent(rng.piece(waiting));
            patience = patience.min(2);
        }
        let room = session.window().min(rest.len());
        if polite && patience > 0 {
            patience -= 1;
        } else if room > 0 {
            let mut n = rng.piece(room);
            if polite {
                let line = rest.iter().position(|&octet| octet == b'\n').map_or(rest.len(), |at| at + 1);
                n = line.min(room);
                patience = 30;
            }
            assert_eq!(session.receive(&rest[..n]), n, "the window was {room}");
            rest = &rest[n..];
        }
        actor.between(&mut session, &mut rng);
        assert!(over || !session.is_finished(), "the session is finished before its last event was taken");
        let starved = room == 0 && session.output().is_empty();
        if rest.is_empty() && !eof && rng.one_in(8) {
            eof = true;
            session.receive_eof();
        } else if polite && patience > 0 && deadline.is_some_and(|at| now.until(at) < Duration::from_secs(10)) {
            // It is about to speak, or pauses on purpose.
            now = deadline.unwrap_or(now);
        } else if (starved && rng.one_in(20)) || rng.one_in(2000) {
            now = match deadline {
                Some(deadline) if !rng.one_in(4) => deadline,
                Some(_) | None => now.plus(Duration::from_millis(rng.below(100_000) as u64)),
            };
        }
        // Faults stop: whoever still holds something back must be let go by time alone.
        if round > rounds / 2 && starved {
            if !eof {
                eof = true;
                session.receive_eof();
            }
            now = deadline.unwrap_or(now.plus(Duration::from_secs(86_400)));
        }
    }
    panic!("the session does not end, though its stream has ended and time passes");
}
