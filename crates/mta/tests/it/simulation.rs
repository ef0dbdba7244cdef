//! A week of queue time, from a seed: servers that fail in all ways, restarts in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use postrider_core::{Instant, Machine, Step, Text};
use postrider_mta::classify::Stage;
use postrider_mta::delivery::Event;
use postrider_mta::{
    Delivery, DeliveryConfig, Destination, Dice, Disposition, HopFailure, Name, NotSent, Outcome, RefusedAt,
};

use crate::delivery::{NOON, reply};
use crate::mx::Zone;

const ZONE: &str = "d.example MX 10 a.example\n d.example MX 10 b.example\n d.example MX 20 c.example\n \
                    a.example A 192.0.2.1\n b.example A 192.0.2.2\n c.example A 192.0.2.3\n c.example AAAA 2001:db8::3";

/// What a run left behind.
#[derive(PartialEq, Debug)]
struct Ran {
    log: Vec<String>,
    /// For each recipient: copies that arrived, and how it was settled.
    fates: BTreeMap<usize, (u32, Option<Disposition>)>,
    ended: Instant,
}

/// `trouble` percent of all that can go wrong goes wrong; with `restarts`, the program dies now and then.
fn run(seed: u8, recipients: usize, trouble: usize, restarts: bool) -> Ran {
    let config = Arc::new(DeliveryConfig::default());
    let mut world = Dice::new([seed; 16]);
    let zone = Zone::new(ZONE);
    let to = Destination::Domain(Name::new("d.example").unwrap());
    let mut delivery = Delivery::new(Arc::clone(&config), 1, to, recipients, NOON, [seed; 16]);
    let mut now = NOON;
    let mut fates: BTreeMap<usize, (u32, Option<Disposition>)> = (0..recipients).map(|n| (n, (0, None))).collect();
    let mut log = Vec::new();
    let mut saved = delivery.snapshot();
    for _ in 0..1_000_000 {
        let step = delivery.poll(now);
        log.push(format!("{now:?} {step:?}"));
        match step {
            Step::Event(Event::Round { .. }) => {
                saved = delivery.snapshot();
                // Dies before it has done anything.
                if restarts && world.below(10) == 0 {
                    delivery = Delivery::restore(Arc::clone(&config), 1, &saved).unwrap();
                }
            }
            Step::Event(Event::Resolve { answer, name, record, .. }) => {
                let found = if world.below(100) < trouble / 4 {
                    Err(postrider_mta::dns::DnsFailure::ServerFailure)
                } else {
                    zone.ask(&name, record)
                };
                delivery.answer(answer, found).unwrap();
            }
            Step::Event(Event::Attempt { answer, recipients, .. }) => {
                let result = attempt(&mut world, trouble, &recipients, &mut fates);
                delivery.answer(answer, result).unwrap();
            }
            Step::Event(Event::Settled { recipient, how }) => {
                let (_, settled) = fates.get_mut(&recipient).unwrap();
                assert!(settled.is_none(), "seed {seed}: recipient {recipient} settled twice");
                *settled = Some(how);
                if restarts {
                    saved = delivery.snapshot();
                }
            }
            Step::Event(Event::Deferred { until, .. }) => {
                assert!(until > now);
                saved = delivery.snapshot();
            }
            Step::Event(Event::Finished) => return Ran { log, fates, ended: now },
            Step::Event(Event::Delayed { .. }) => {}
            Step::Event(other) => panic!("unexpected {other:?}"),
            Step::Idle { deadline } => {
                if restarts && world.below(4) == 0 {
                    delivery = Delivery::restore(Arc::clone(&config), 1, &saved).unwrap();
                }
                let deadline = deadline.expect("it is not finished");
                assert!(deadline > now, "seed {seed}: no progress");
                now = deadline;
            }
        }
    }
    panic!("seed {seed}: no end");
}

fn attempt(
    world: &mut Dice,
    trouble: usize,
    recipients: &[usize],
    fates: &mut BTreeMap<usize, (u32, Option<Disposition>)>,
) -> Result<Vec<Outcome>, HopFailure> {
    if world.below(100) < trouble {
        return Err(match world.below(4) {
            0 => HopFailure::Unreachable(Text::literal("timed out")),
            1 => HopFailure::Refused { stage: Stage::Greeting, reply: reply("554 no") },
            2 => HopFailure::Tls(Text::literal("handshake failure")),
            _ => HopFailure::Busy,
        });
    }
    let mut outcomes = Vec::new();
    for recipient in recipients {
        let (copies, _) = fates.get_mut(recipient).unwrap();
        let refused = |at, text| Outcome::Refused { at, reply: reply(text) };
        outcomes.push(if world.below(100) >= trouble {
            *copies += 1;
            Outcome::Delivered(reply("250 ok"))
        } else {
            match world.below(7) {
                0 => refused(RefusedAt::Rcpt, "550 5.1.1 nobody"),
                1 => refused(RefusedAt::Rcpt, "451 4.7.1 greylisted for 300 seconds"),
                2 => refused(RefusedAt::Rcpt, "452 too many"),
                3 => refused(RefusedAt::Message, "451 4.3.0 later"),
                4 => {
                    // It may have arrived.
                    *copies += world.below(2) as u32;
                    Outcome::Unknown
                }
                5 => Outcome::NotSent(NotSent::Ended),
                _ => refused(RefusedAt::Rcpt, "450 4.2.1 busy"),
            }
        });
    }
    Ok(outcomes)
}

#[test]
fn a_week_of_trouble_ends_with_one_outcome_for_each_recipient() {
    for seed in 0..60 {
        for restarts in [false, true] {
            let ran = run(seed, 150, 10 + usize::from(seed), restarts);
            for (recipient, (copies, settled)) in &ran.fates {
                let settled = settled.as_ref().unwrap_or_else(|| panic!("seed {seed}: {recipient} is not settled"));
                // A delivered message arrived; one more copy only where an outcome was unknown.
                if settled.is_delivered() {
                    assert!((1..=2).contains(copies), "seed {seed}: {copies} copies for {recipient}");
                } else {
                    assert!(*copies <= 2, "seed {seed}: {copies} copies for {recipient}");
                }
            }
            let schedule = DeliveryConfig::default().schedule;
            let latest = schedule.expires(NOON).plus(schedule.longest_wait() * 3);
            assert!(ran.ended <= latest, "seed {seed}");
        }
    }
}

#[test]
fn a_dead_domain_expires_after_five_days_and_is_announced_once() {
    let ran = run(1, 3, 100, false);
    let schedule = DeliveryConfig::default().schedule;
    assert_eq!(ran.ended, schedule.expires(NOON));
    assert!(ran.fates.values().all(|(copies, how)| *copies == 0 && matches!(how, Some(Disposition::Expired(_)))));
    assert_eq!(ran.log.iter().filter(|line| line.contains("Delayed")).count(), 1);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(run(42, 40, 40, true), run(42, 40, 40, true));
}

#[test]
fn ten_thousand_recipients_are_settled_one_by_one() {
    let ran = run(7, 10_000, 30, false);
    assert!(ran.fates.values().all(|(_, how)| how.is_some()));
    let delivered = ran.fates.values().filter(|(_, how)| how.as_ref().is_some_and(Disposition::is_delivered)).count();
    // A permanent refusal is one of seven kinds of trouble; all other trouble ends in time.
    assert!(delivered > 9_000, "{delivered}");
}
