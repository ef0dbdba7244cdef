//! Pieces of work: ours and the peers', each with the same input. Every one is run by the clock ([`clock`]) and can be
//! counted in instructions by `count.rs`.

#![allow(dead_code, reason = "each bench uses its own part")]

pub mod peer;
pub mod pop3;
pub mod pop3_clients;
pub mod smtp;

use std::time::Duration;

use criterion::{Criterion, Throughput};

/// Something to be done over and over.
pub struct Work {
    /// What is done, the same for ours and the peers.
    pub group: &'static str,
    /// Who does it.
    pub who: &'static str,
    /// How much there is in one run.
    pub amount: Amount,
    /// Does it. What it returns is the same for all of the group.
    pub run: Box<dyn Fn() -> usize>,
}

/// How much there is in one run.
#[derive(Clone, Copy)]
pub enum Amount {
    /// Commands, replies or lines, and the octets of all of them.
    Items(u64, u64),
    /// Octets.
    Octets(u64),
}

impl Work {
    pub fn new(group: &'static str, who: &'static str, amount: Amount, run: impl Fn() -> usize + 'static) -> Self {
        Self { group, who, amount, run: Box::new(run) }
    }

    /// What the figures are divided by, and what that is.
    pub fn unit(&self) -> (u64, &'static str) {
        match self.amount {
            Amount::Items(items, _) => (items, "item"),
            Amount::Octets(octets) => (octets, "octet"),
        }
    }
}

/// All of a group's work must come to the same.
fn check(work: &[Work]) {
    for pair in work.windows(2) {
        assert_eq!((pair[0].run)(), (pair[1].run)(), "{}: {} and {}", pair[0].group, pair[0].who, pair[1].who);
    }
}

/// Measures times.
pub fn clock(groups: &[fn() -> Vec<Work>]) {
    clock_samples(groups, 20);
}

/// As [`clock`], each piece of work at least that many times.
pub fn clock_samples(groups: &[fn() -> Vec<Work>], samples: usize) {
    let mut criterion = Criterion::default()
        .sample_size(samples)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for group in groups.iter().map(|group| group()) {
        check(&group);
        let mut bench = criterion.benchmark_group(group[0].group);
        for work in &group {
            bench.throughput(match work.amount {
                Amount::Items(_, octets) => Throughput::Bytes(octets),
                Amount::Octets(octets) => Throughput::Bytes(octets),
            });
            bench.bench_function(work.who, |b| b.iter(&work.run));
        }
        bench.finish();
    }
    criterion.final_summary();
}
