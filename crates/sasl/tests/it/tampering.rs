//! Whatever bytes come, nobody panics; and where a mechanism vouches for its messages, no changed octet goes through.

use super::converse::*;
use postrider_sasl::*;
use proptest::prelude::*;

/// Changes every octet of every message, one at a time.
fn change_each(which: usize) {
    let app = App::new();
    let mut lengths = Vec::new();
    let (mut client, channel) = mechanism(which);
    assert!(matches!(run(&mut *client, &app, &channel, |_, message| lengths.push(message.len())), Outcome::Both(_)));
    let mut tried = 0;
    for (number, &length) in lengths.iter().enumerate() {
        for at in 0..length {
            // Another letter of base64, and something that is none.
            let change = if at % 2 == 0 { 0x01 } else { 0x80 };
            let (mut client, channel) = mechanism(which);
            let outcome = run(&mut *client, &app, &channel, |now, message| {
                if now == number {
                    message[at] ^= change;
                }
            });
            if let Outcome::Both(attempt) = outcome {
                panic!("{}: octet {at} of message {number} was changed: {attempt:?}", client.name());
            }
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried} octets");
}

//= 5802-5-2, 5802-6-7
#[test]
fn no_changed_octet_of_scram_goes_through() {
    change_each(8);
}

#[test]
fn no_changed_octet_of_bound_scram_goes_through() {
    change_each(10);
}

#[test]
fn messages_cut_short_or_made_longer_do_not_go_through() {
    let app = App::new();
    for number in 0..4 {
        for cut in [true, false] {
            let (mut client, channel) = mechanism(8);
            let outcome = run(&mut *client, &app, &channel, |now, message| {
                if now == number && cut {
                    message.pop();
                } else if now == number {
                    message.push(b'A');
                }
            });
            assert!(!matches!(outcome, Outcome::Both(_)), "message {number}, cut: {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(
        which in 0..MECHANISMS,
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..5),
    ) {
        let app = App { sha1: credentials(ScramHash::Sha1), ..App::new() };
        let (mut client, channel) = mechanism(which);
        let name = client.name();
        let mut step = ServerExchange::start(&name, Some(&messages[0]), &channel);
        for message in &messages {
            let Ok(next) = step else { break };
            let Ok(ServerStep::Challenge(_, exchange)) = app.supply(next) else { break };
            step = exchange.respond(message);
        }
        let _ = client.initial();
        for message in &messages {
            let _ = client.respond(message);
            let _ = client.succeeded();
        }
    }

    #[test]
    fn anything_like_scram_is_answered(
        flag in "[nyp](=tls-exporter)?", name in "[a-c=2CD,é]{0,6}", extra in "(,[a-z]=[a-z]{0,3}){0,2}",
    ) {
        let message = format!("{flag},,n={name},r=abc{extra}");
        for which in [8, 10] {
            let (client, channel) = mechanism(which);
            let step = ServerExchange::start(&client.name(), Some(message.as_bytes()), &channel);
            if let Ok(ServerStep::Scram(query)) = step {
                prop_assert!(!query.user().is_empty() && !query.user().contains('\0'));
            }
        }
        let _ = App::new;
    }
}
