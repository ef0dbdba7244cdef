//! Cases whose input is made by rule, against a server whose application says yes to everything.

use crate::converse::{Heard, both, converse, whole};
use postrider_core::{Closed, Instant, Machine, ProtocolError, Session, Step};
use postrider_sasl::MechanismName;
use postrider_smtp::server::{Config, Event};
use postrider_smtp::wire::BareNewlines;
use postrider_smtp::{Refusal, Server};
use postrider_testkit::Rng;
use std::sync::Arc;

fn config() -> Config {
    Config::new("mx.example".parse().expect("a name"))
}

const UP_TO_DATA: &[u8] = b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<x@mx.example>\r\nDATA\r\n";

/// What is not the end of a message, and somebody takes for it.
const ILLEGAL_ENDS: [&[u8]; 15] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r.\n",
    b"\r\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\n.\0\r\n",
    b"\r\n\0.\r\n",
    b"\n\0.\r\n",
    b"\n.\r.\n",
    b"\n\r.\n\r",
    // This one does hold an end, but its first CR is bare. What follows it is commands.
    b"\r\r\n.\r\n",
];

fn smuggled(end: &[u8]) -> Vec<u8> {
    let evil = b"MAIL FROM:<evil@c.example>\r\nRCPT TO:<x@mx.example>\r\nDATA\r\nevil";
    [UP_TO_DATA, b"Subject: a\r\n\r\ntext", end, evil, b"\r\n.\r\nQUIT\r\n"].concat()
}

//= 5321-4.1.1.4-3
#[test]
fn case_01_illegal_ends_never_end_a_message_and_it_is_refused() {
    for end in &ILLEGAL_ENDS[..14] {
        let input = smuggled(end);
        let mut runs: Vec<Heard> = vec![both(&config(), &input)];
        for seed in 1..20 {
            let mut rng = Rng::new(seed);
            runs.push(converse(config(), &input, || rng.between(1, 30)));
        }
        for heard in runs {
            let shown = end.escape_ascii();
            assert_eq!(heard.senders, ["a@c.example"], "after {shown}");
            assert!(heard.taken.is_empty(), "after {shown}");
            assert_eq!(heard.codes(), [250, 250, 250, 354, 554, 221], "after {shown}");
            assert_eq!(heard.resets, 1, "after {shown}");
        }
    }
}

#[test]
fn case_01_illegal_ends_are_text_where_newlines_are_normalised() {
    for end in &ILLEGAL_ENDS[..14] {
        let mut config = config();
        config.bare_newlines = BareNewlines::Normalise;
        let heard = both(&config, &smuggled(end));
        assert_eq!(heard.senders, ["a@c.example"], "after {}", end.escape_ascii());
        assert_eq!(heard.codes(), [250, 250, 250, 354, 250, 221], "after {}", end.escape_ascii());
        let [message] = &heard.taken[..] else { panic!("one message") };
        assert!(message.ends_with(b"evil\r\n"), "{}", message.escape_ascii());
        let clean = String::from_utf8(message.clone()).unwrap().replace("\r\n", "");
        assert!(!clean.contains(['\r', '\n', '\0']), "{clean:?}");
    }
}

#[test]
fn case_01_a_legal_end_after_a_bare_cr_refuses_the_message_before_it() {
    let input = [UP_TO_DATA, b"text", ILLEGAL_ENDS[14], b"QUIT\r\n"].concat();
    let heard = both(&config(), &input);
    assert_eq!(heard.codes(), [250, 250, 250, 354, 554, 221]);
    assert!(heard.taken.is_empty());
}

/// What a client calls itself goes into `Received`: whatever octet it hides in its name, a name that is taken is a word
/// there, which ends nothing and begins nothing.
//= 5321-4.1.1.1-1
#[test]
fn case_38_what_goes_into_received_is_a_name() {
    let word = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_');
    // RFC 5322, 3.4.1: within brackets, what is neither space nor bracket has no meaning of its own.
    let literal = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'[' | b']' | b'\\');
    let mut taken = 0;
    for octet in 0..=255 {
        for (before, after) in
            [("", "c.example"), ("c", ".example"), ("c.example", ""), ("[192.0.2", "1]"), ("[tag:a", "b]")]
        {
            for verb in ["EHLO", "HELO"] {
                let mut server = Server::new(Arc::new(config()), 1);
                let name = [before.as_bytes(), &[octet], after.as_bytes()].concat();
                let _ = server.receive(&[verb.as_bytes(), b" ", &name, b"\r\nMAIL FROM:<>\r\n"].concat());
                let mut received = None;
                while let Step::Event(event) = server.poll(Instant::ORIGIN) {
                    if let Event::Mail { answer, .. } = event {
                        let (name, _) = server.hello().expect("MAIL comes after it");
                        received = Some(format!("Received: from {name} ([192.0.2.1])"));
                        server.accept(answer).expect("just asked");
                    }
                }
                let shown = name.escape_ascii();
                let Some(received) = received else {
                    let said = String::from_utf8(server.output().to_vec()).expect("ASCII");
                    assert!(said.contains("\r\n50") && said.contains("\r\n503 5.5.1"), "{shown}: {said}");
                    continue;
                };
                taken += 1;
                let inside =
                    received.strip_prefix("Received: from ").and_then(|rest| rest.strip_suffix(" ([192.0.2.1])"));
                let inside = inside.expect("it is there").as_bytes();
                // A space at the end of a line is nothing.
                assert_eq!(inside, name.trim_ascii_end(), "as it was written");
                match inside {
                    [b'[', inside @ .., b']'] => assert!(inside.iter().all(|&b| literal(b)), "{shown}"),
                    inside => assert!(inside.iter().all(|&b| word(b)), "{shown}"),
                }
            }
        }
    }
    assert!(taken > 300, "names are taken: {taken}");
}

//= 4954-4-13, 4954-4-14, 4616-2-1
#[test]
fn case_10_an_auth_response_of_a_mebibyte_is_refused_in_bounded_memory() {
    let mut config = config().dangerous_allow_plaintext_auth();
    config.auth = vec![MechanismName::Plain];
    let long = vec![b'A'; 1 << 20];
    let first = [b"EHLO c.example\r\nAUTH PLAIN ", &long[..], b"\r\nNOOP\r\nQUIT\r\n"].concat();
    assert_eq!(whole(config.clone(), &first).codes(), [250, 500, 250, 221]);
    let second = [b"EHLO c.example\r\nAUTH PLAIN\r\n", &long[..], b"\r\nNOOP\r\nQUIT\r\n"].concat();
    let heard = whole(config, &second);
    assert_eq!(heard.codes(), [250, 334, 500, 250, 221]);
    assert!(heard.said.contains("500 5.5.6"));
}

#[test]
fn case_19_long_lines_are_refused_and_the_next_is_found() {
    let ten = [b"EHLO c.example\r\nNOOP ", &vec![b'a'; 10_000][..], b"\r\nNOOP\r\nQUIT\r\n"].concat();
    assert_eq!(both(&config(), &ten).codes(), [250, 500, 250, 221]);
    let endless = [b"EHLO c.example\r\n", &vec![b'a'; 1_000_000][..], b"\r\nNOOP\r\nQUIT\r\n"].concat();
    assert_eq!(whole(config(), &endless).codes(), [250, 500, 250, 221]);
    let never = [b"EHLO c.example\r\n", &vec![b'a'; 1_000_000][..]].concat();
    let heard = whole(config(), &never);
    assert_eq!((heard.codes(), heard.closed), (vec![250, 500], Some(Closed::Eof)));
    let many = [b"EHLO c.example\r\n".to_vec(), [&vec![b'a'; 3000][..], b"\r\n"].concat().repeat(30)].concat();
    let heard = whole(config(), &many);
    assert_eq!(heard.codes().last(), Some(&421));
    assert_eq!(heard.closed, Some(Closed::Protocol(ProtocolError::TooManyErrors { limit: 20 })));
}

//= 5321-4.5.3.1.8-1, 5321-4.5.3.1.8-2, 5321-4.5.3.1.10-1
#[test]
fn case_30_floods_end_with_421() {
    let floods = [
        (&b"NOOP\r\n"[..], 20, 250),
        (b"RSET\r\n", 20, 250),
        (b"VRFY a\r\n", 20, 252),
        (b"EHLO c.example\r\n", 4, 250),
        (b"FOO\r\n", 21, 500),
    ];
    for (command, allowed, code) in floods {
        let input = [b"EHLO c.example\r\n".to_vec(), command.repeat(100_000)].concat();
        let heard = whole(config(), &input);
        let codes = heard.codes();
        assert_eq!(codes.len(), 1 + allowed + 1, "{}", command.escape_ascii());
        assert!(codes[1..=allowed].iter().all(|&c| c == code), "{codes:?}");
        assert_eq!(codes[allowed + 1], 421);
        assert!(matches!(heard.closed, Some(Closed::Protocol(_))));
    }
    let rcpt = b"RCPT TO:<x@mx.example>\r\n".repeat(100_000);
    let input = [b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\n", &rcpt[..]].concat();
    let heard = whole(config(), &input);
    let count = |code| heard.codes().iter().filter(|&&c| c == code).count();
    assert_eq!((count(250), count(452), count(421)), (1002, 1000, 1));
    assert!(heard.said.contains("452 4.5.3"));
}

/// Guessing at recipients, and senders that are refused one after the other.
#[test]
fn case_30_refusals_without_end_end_with_421() {
    let count = |codes: &[u16], code| codes.iter().filter(|&&c| c == code).count();
    let many = |line: fn(usize) -> String| (0..100_000).map(line).collect::<String>();
    let large = many(|_| "MAIL FROM:<a@c.example> SIZE=99999999999\r\n".into());
    let heard = whole(config(), &[b"EHLO c.example\r\n", large.as_bytes()].concat());
    assert_eq!((count(&heard.codes(), 552), heard.codes().last()), (1000, Some(&421)));
    let mut one = config();
    one.limits.recipient_domains = Some(1);
    let domains = many(|n| format!("RCPT TO:<x@mx{n}.example>\r\n"));
    let heard = whole(one, &[b"EHLO c.example\r\nMAIL FROM:<>\r\n", domains.as_bytes()].concat());
    assert_eq!((count(&heard.codes(), 452), heard.codes().last()), (1000, Some(&421)));
    let guesses = many(|n| format!("RCPT TO:<user{n}@mx.example>\r\n"));
    for undecided in [1, 8] {
        let mut config = config();
        config.undecided = undecided;
        config.limits.refused = 50;
        let mut server = Server::new(Arc::new(config), 1);
        let input = [b"EHLO c.example\r\nMAIL FROM:<>\r\n", guesses.as_bytes()].concat();
        let taken = server.receive(&input);
        assert!(taken > 10_000);
        let (mut said, mut closed) = (vec![], None);
        while let Step::Event(event) = server.poll(Instant::ORIGIN) {
            match event {
                Event::Mail { answer, .. } => server.accept(answer).unwrap(),
                Event::Rcpt { answer, .. } => {
                    let why = Refusal::permanent(550, (1, 1), "No such mailbox".try_into().unwrap());
                    server.refuse(answer, why).unwrap();
                }
                Event::Reset => {}
                Event::Closed(why) => closed = Some(why),
                other => panic!("{other:?}"),
            }
            said.extend_from_slice(server.output());
            server.sent(server.output().len());
        }
        said.extend_from_slice(server.output());
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said.matches("550 5.1.1").count(), 50);
        assert!(said.ends_with("421 4.7.0 Too much in one session\r\n"), "{said}");
        assert!(matches!(closed, Some(Closed::Protocol(ProtocolError::TooMuch { limit: 50, .. }))), "{closed:?}");
    }
}

//= 2920-3.2-9
#[test]
fn case_32_a_client_that_does_not_read_gets_no_more() {
    let mut config = config();
    config.limits.idle_commands = u32::MAX;
    let limit = config.limits.link;
    let mut server = Server::new(Arc::new(config), 1);
    let mut taken = 0;
    for _ in 0..1000 {
        while let Step::Event(_) = server.poll(Instant::ORIGIN) {}
        taken += server.receive(&b"NOOP\r\n".repeat(1000));
    }
    assert!(server.output().len() <= limit.output + 512, "{}", server.output().len());
    assert!(taken <= limit.input + limit.output, "{taken} octets of commands were taken");
    assert_eq!(server.window(), 0);
}

#[test]
fn case_33_a_message_without_end_ends_the_session() {
    let mut config = config();
    config.limits.message = 1000;
    config.limits.message_excess = 10_000;
    let input = [UP_TO_DATA, &b"0123456789\r\n".repeat(100_000)[..]].concat();
    let heard = whole(config, &input);
    assert_eq!(heard.codes(), [250, 250, 250, 354, 552]);
    assert!(matches!(heard.closed, Some(Closed::Protocol(ProtocolError::TooMuch { .. }))));
    assert_eq!(heard.resets, 1);
}

#[test]
fn header_has_a_limit() {
    let mut config = config();
    config.limits.header = 100;
    let long = [UP_TO_DATA, b"A: ", &[b'a'; 100], b"\r\n\r\n.\r\nQUIT\r\n"].concat();
    assert_eq!(both(&config, &long).codes(), [250, 250, 250, 354, 552, 221]);
    let body = [UP_TO_DATA, b"A: b\r\n\r\n", &[b'a'; 100], b"\r\n.\r\nQUIT\r\n"].concat();
    assert_eq!(both(&config, &body).codes(), [250, 250, 250, 354, 250, 221]);
}

//= 2920-3.2-1, 2920-3.2-2, 5321-4.2-1
#[test]
fn answers_in_any_order_give_the_same_wire() {
    let input = b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<1@x>\r\nRCPT TO:<2@x>\r\nRCPT TO:<3@x>\r\nRCPT TO:<4@x>\r\nNOOP\r\n";
    let mut wires = vec![];
    for seed in 0..24 {
        let mut config = config();
        config.undecided = 4;
        let mut server = Server::new(Arc::new(config), 1);
        assert_eq!(server.receive(input), input.len());
        let (mut open, mut wire, mut rng) = (vec![], vec![], Rng::new(seed));
        loop {
            while let Step::Event(event) = server.poll(Instant::ORIGIN) {
                match event {
                    Event::Mail { answer, .. } => server.accept(answer).unwrap(),
                    Event::Rcpt { answer, to, .. } => open.push((answer, to)),
                    other => panic!("{other:?}"),
                }
            }
            wire.extend_from_slice(server.output());
            server.sent(server.output().len());
            if open.is_empty() {
                break;
            }
            let (answer, to) = open.swap_remove(rng.below(open.len()));
            let refusal = Refusal::permanent(550, (1, 1), "No such mailbox".try_into().unwrap());
            let verdict = if to.as_str().starts_with('3') { Err(refusal) } else { Ok(Default::default()) };
            server.answer(answer, verdict).unwrap();
        }
        wires.push(String::from_utf8(wire).unwrap());
    }
    assert!(wires.iter().all(|wire| *wire == wires[0]));
    assert!(wires[0].ends_with(
        "250 2.1.5 Recipient OK\r\n250 2.1.5 Recipient OK\r\n550 5.1.1 No such mailbox\r\n250 2.1.5 Recipient OK\r\n250 2.0.0 OK\r\n"
    ));
}

//= 5321-4.2.1-3, 6531-3.7.4.1-1
#[test]
fn long_and_foreign_reply_texts_fit_the_wire() {
    let mut server = Server::new(Arc::new(config()), 1);
    assert_eq!(server.receive(b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\n"), 41);
    let text = "å".repeat(1000).try_into().unwrap();
    loop {
        match server.poll(Instant::ORIGIN) {
            Step::Event(Event::Mail { answer, .. }) => {
                server.refuse(answer, Refusal::transient(450, (2, 0), text)).unwrap();
                break;
            }
            Step::Event(_) => {}
            Step::Idle { .. } => panic!("MAIL is asked about"),
        }
    }
    assert!(matches!(server.poll(Instant::ORIGIN), Step::Idle { .. }));
    let out = String::from_utf8(server.output().to_vec()).unwrap();
    assert!(out.lines().all(|line| line.len() <= 510 && line.is_ascii()), "{out}");
    assert_eq!(out.lines().filter(|line| line.starts_with("450")).count(), 3);
}

//= 3030-2-10
#[test]
fn random_garbage_never_panics_and_cuts_do_not_matter() {
    const WORDS: [&[u8]; 22] = [
        b"EHLO a\r\n",
        b"HELO a\r\n",
        b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<a@b>\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
        b"AUTH PLAIN\r\n",
        b"AUTH LOGIN\r\n",
        b"YQ==\r\n",
        b"*\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b".",
        b"\0",
        b"\xff",
        b"MAIL ",
        b"VRFY a\r\n",
        b"a",
        b"FROM:<",
        b"BDAT 3 LAST\r\n",
    ];
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut input = vec![];
        for _ in 0..rng.between(1, 40) {
            input.extend_from_slice(WORDS[rng.below(WORDS.len())]);
            if rng.one_in(8) {
                input.extend_from_slice(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\n");
            }
        }
        let mut config = config().dangerous_allow_plaintext_auth();
        config.auth = vec![MechanismName::Plain, MechanismName::Login];
        let first = whole(config.clone(), &input);
        if first.said.contains("not invited") {
            // What had come when DATA was refused is the one thing that must depend on when it came.
            continue;
        }
        assert_eq!(first, both(&config, &input), "seed {seed}");
        let cut = converse(config, &input, || rng.between(1, 7));
        assert_eq!((first.said, first.taken, first.closed), (cut.said, cut.taken, cut.closed), "seed {seed}");
    }
}
