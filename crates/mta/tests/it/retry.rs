//! When to try again: RFC 5321, 4.5.4.1.

use std::time::Duration;

use postrider_core::Instant;
use postrider_mta::RetrySchedule;
use proptest::prelude::*;

fn schedules() -> impl Strategy<Value = RetrySchedule> {
    let duration = || {
        prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::MAX),
            (0..100_u64).prop_map(Duration::from_nanos),
            (0..1_000_000_u64).prop_map(Duration::from_secs),
        ]
    };
    (duration(), any::<u32>(), duration(), any::<u32>(), 0..600_000_u64, any::<u32>()).prop_map(
        |(first, growth, cap, jitter, expiry, owed)| {
            let mut schedule = RetrySchedule::default();
            schedule.first = first;
            schedule.growth_percent = growth;
            schedule.cap = cap;
            schedule.jitter_percent = jitter;
            schedule.expiry = Duration::from_secs(expiry);
            schedule.owed_attempts = owed;
            schedule
        },
    )
}

proptest! {
    /// Each attempt is at least a second after the one before, and there is a last one, for any configuration.
    //= 5321-4.5.4.1-2
    #[test]
    fn attempts_go_forward_and_end(schedule in schedules(), rolls in prop::collection::vec(any::<u64>(), 1..20)) {
        let arrived = Instant::after_origin(Duration::from_secs(1_700_000_000));
        let mut rolls = rolls.into_iter().cycle();
        let mut now = arrived;
        let mut attempts = 0_u32;
        // No schedule can ask for more: one attempt a second until it expires, and the owed ones.
        let most = schedule.expiry.as_secs() + u64::from(RetrySchedule::MOST_OWED) + 2;
        loop {
            attempts += 1;
            prop_assert!(u64::from(attempts) <= most);
            let roll = rolls.next().unwrap();
            prop_assert!(schedule.wait(attempts, roll) <= schedule.longest_wait());
            let Some(next) = schedule.next(arrived, attempts, now, roll) else { break };
            prop_assert!(now.until(next) >= RetrySchedule::SHORTEST || next == Instant::after_origin(Duration::MAX));
            now = next;
            // Enough to see; the bound above is for the rest.
            if attempts > 3000 { break }
        }
    }

    /// Later waits are not shorter, for the same roll, until the cap.
    //= 5321-4.5.4.1-5
    #[test]
    fn waits_do_not_shrink(schedule in schedules(), roll in any::<u64>(), attempts in 1..200_u32) {
        prop_assert!(schedule.wait(attempts, roll) <= schedule.wait(attempts + 1, roll));
    }
}

//= 5321-4.5.4.1-4
#[test]
fn defaults_make_two_attempts_in_the_first_hour_and_give_up_after_five_days() {
    let schedule = RetrySchedule::default();
    let mut at = vec![Instant::ORIGIN];
    while let Some(next) = schedule.next(Instant::ORIGIN, at.len() as u32, *at.last().unwrap(), 0) {
        at.push(next);
    }
    assert!(at[1] <= Instant::after_origin(Duration::from_secs(3600)));
    assert_eq!(*at.last().unwrap(), Instant::after_origin(Duration::from_secs(5 * 24 * 3600)));
    assert_eq!(at.len(), 35);
}

#[test]
fn a_message_that_slept_past_its_expiry_still_gets_the_attempts_it_is_owed() {
    let schedule = RetrySchedule::default();
    let late = Instant::after_origin(schedule.expiry * 10);
    assert!(schedule.next(Instant::ORIGIN, 1, late, 0).is_some());
    assert!(schedule.next(Instant::ORIGIN, 2, late, 0).is_some());
    assert_eq!(schedule.next(Instant::ORIGIN, 3, late, 0), None);
}
