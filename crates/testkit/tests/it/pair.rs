//! The simulated network: the same seed gives the same run, TLS hides, faults come.

use crate::echo::{Agree, Echo, Event};
use postrider_core::{Closed, Pending};
use postrider_testkit::{Applications, Faults, Pair, Rng, Way};
use std::time::Duration;

/// Two echoes: what A says first goes to and fro until one has had enough.
#[derive(Default)]
struct Both {
    lines: usize,
    late: Option<Pending<Agree>>,
    ends: Vec<String>,
}

impl Both {
    fn on(&mut self, echo: &mut Echo, event: Event) -> Option<Pending<Agree>> {
        match event {
            Event::Line(_, pending) => {
                self.lines += 1;
                if self.lines == 20 {
                    echo.say("bye");
                }
                return Some(pending);
            }
            Event::Rest(_) => panic!("nobody asked for raw octets"),
            Event::Closed(why) => self.ends.push(format!("{why:?}")),
        }
        None
    }
}

impl Applications<Echo, Echo> for Both {
    fn on_a(&mut self, a: &mut Echo, event: Event, _: &mut Rng) {
        if let Some(pending) = self.on(a, event) {
            a.agree(pending, true).expect("it was asked just now");
        }
    }
    fn on_b(&mut self, b: &mut Echo, event: Event, _: &mut Rng) {
        self.late = self.on(b, event);
    }
    fn between(&mut self, _: &mut Echo, b: &mut Echo, rng: &mut Rng) -> bool {
        if self.late.is_some() && rng.one_in(3) {
            let _ = b.agree(self.late.take().expect("it was just seen"), true);
        }
        self.late.is_some()
    }
}

fn run(seed: u64, faults: Faults, first: &str) -> (Both, Duration) {
    let mut both = Both::default();
    let mut pair = Pair::new(seed, faults, Echo::new(first), Echo::new("b"));
    pair.run(&mut both).unwrap_or_else(|failure| panic!("{failure}"));
    (both, pair.now().elapsed())
}

#[test]
fn every_seed_ends_and_gives_the_same_run_twice() {
    for seed in 0..200 {
        let faults = Faults::draw(&mut Rng::new(seed), 40);
        let once = run(seed, faults, "a");
        let twice = run(seed, faults, "a");
        assert_eq!(once.0.ends.len(), 2, "seed {seed}: both report their end");
        assert_eq!((once.0.lines, once.0.ends, once.1), (twice.0.lines, twice.0.ends, twice.1));
    }
}

#[test]
fn a_lost_connection_is_told_to_both() {
    let (both, _) = run(1, Faults { cut: Some((Way::ToB, 0)), ..Faults::NONE }, "a");
    assert_eq!(both.ends, [format!("{:?}", Closed::Eof), format!("{:?}", Closed::Eof)]);
}

#[test]
fn what_crosses_the_gate_in_the_clear_is_garbage() {
    // B is told to begin TLS; A knows nothing of it and goes on in the clear.
    for seed in 0..50 {
        let (both, _) = run(seed, Faults::NONE, "tls");
        assert!(
            both.ends.iter().any(|end| end.contains("not TLS") || end.contains("PlaintextBeforeTls")),
            "{:?}",
            both.ends
        );
    }
}
