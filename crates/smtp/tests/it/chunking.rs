//! BDAT: sizes, order, octets, cuts.

use crate::converse::{Heard, both, converse, whole};
use postrider_core::{Closed, Instant, Machine, ProtocolError, Session, Step};
use postrider_smtp::server::{Config, Event, Role};
use postrider_smtp::wire::{BareNewlines, Body, ChunkReader};
use postrider_smtp::{Refusal, Server};
use postrider_testkit::Rng;
use std::sync::Arc;

fn config() -> Config {
    let mut config = Config::new("mx.example".parse().expect("a name"));
    config.chunking = true;
    config
}

fn binary() -> Config {
    let mut config = config();
    config.binary_mime = true;
    config
}

const ENVELOPE: &[u8] = b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<x@mx.example>\r\n";

fn bdat(octets: &[u8], last: bool) -> Vec<u8> {
    [format!("BDAT {}{}\r\n", octets.len(), if last { " LAST" } else { "" }).as_bytes(), octets].concat()
}

fn hears(config: &Config, parts: &[&[u8]]) -> Heard {
    let input = parts.concat();
    let heard = both(config, &input);
    for seed in 1..20 {
        let mut rng = Rng::new(seed);
        let cut = converse(config.clone(), &input, || rng.between(1, 30));
        assert_eq!((&heard.said, &heard.taken), (&cut.said, &cut.taken), "seed {seed}");
    }
    heard
}

//= 3030-2-4
#[test]
fn chunks_come_as_one_message_and_many_may_be_in_flight() {
    let parts = [&b"Subject: a\r\n\r\nfirst\r"[..], b"", b"\n.\r\n..second\r\n"];
    let heard = hears(
        &config(),
        &[ENVELOPE, &bdat(parts[0], false), &bdat(parts[1], false), &bdat(parts[2], false), b"BDAT 0 LAST\r\nQUIT\r\n"],
    );
    assert_eq!(heard.codes(), [250, 250, 250, 250, 250, 250, 250, 221]);
    assert_eq!(heard.taken, [parts.concat()], "dots are text");
    assert!(heard.said.contains("250 2.0.0 20 octets received"), "{}", heard.said);
}

//= 3030-2-2
#[test]
fn a_second_message_follows_the_first() {
    let next = b"MAIL FROM:<b@c.example>\r\nRCPT TO:<y@mx.example>\r\n";
    let heard = hears(&config(), &[ENVELOPE, &bdat(b"one\r\n", true), next, &bdat(b"two\r\n", true), b"QUIT\r\n"]);
    assert_eq!(heard.codes(), [250, 250, 250, 250, 250, 250, 250, 221]);
    assert_eq!(heard.taken, [b"one\r\n".to_vec(), b"two\r\n".to_vec()]);
}

#[test]
fn case_25_bad_sizes_are_refused_and_what_follows_is_no_command() {
    for bad in ["-1", "+1", "18446744073709551616", " 5  LAST", "5 LAST x", "5LAST", "", "x"] {
        let input = [ENVELOPE, format!("BDAT {bad}\r\n").as_bytes()].concat();
        assert_eq!(both(&config(), &input).codes(), [250, 250, 250, 501], "{bad}");
        let input = [&input[..], b"NOOP\r\nQUIT\r\n"].concat();
        assert_eq!(
            whole(config(), &input).codes(),
            [250, 250, 250, 501, 421],
            "{bad}: what came with it may be its chunk"
        );
        assert_eq!(converse(config(), &input, || 1).codes(), [250, 250, 250, 501, 250, 221], "{bad}: its client waits");
        let input = [ENVELOPE, format!("BDAT {bad}\r\n").as_bytes(), b"Subject: a\r\n\r\nQUIT\r\n"].concat();
        let heard = both(&config(), &input);
        assert_eq!(heard.codes(), [250, 250, 250, 501, 421], "{bad}: a message is not run as commands");
    }
}

//= 3030-2-5, 3030-2-7
#[test]
fn case_25_the_octets_of_a_refused_chunk_are_consumed() {
    let evil = bdat(b"MAIL FROM:<evil@c.example>\r\n", true);
    let hello = &b"EHLO c.example\r\n"[..];
    let mail = &b"MAIL FROM:<a@c.example>\r\n"[..];
    let off = Config::new("mx.example".parse().expect("a name"));
    for (config, before, codes) in [
        (&config(), vec![&b""[..]], vec![503, 221]),
        (&config(), vec![hello], vec![250, 503, 221]),
        (&config(), vec![hello, mail], vec![250, 250, 503, 221]),
        (
            &config(),
            vec![&b"HELO c.example\r\n"[..], mail, b"RCPT TO:<x@mx.example>\r\n"],
            vec![250, 250, 250, 503, 221],
        ),
        (&off, vec![ENVELOPE], vec![250, 250, 250, 502, 221]),
    ] {
        let heard = hears(config, &[&before.concat(), &evil, b"QUIT\r\n"]);
        assert_eq!(heard.codes(), codes);
        assert!(!heard.senders.contains(&"evil@c.example".to_owned()) && heard.taken.is_empty());
    }
}

#[test]
fn case_25_a_refused_chunk_beyond_all_limits_ends_the_session() {
    let heard = whole(config(), b"EHLO c.example\r\nBDAT 18446744073709551615\r\nNOOP\r\n");
    assert_eq!(heard.codes(), [250, 503]);
    assert!(matches!(heard.closed, Some(Closed::Protocol(ProtocolError::TooMuch { .. }))));
}

//= 3030-2-8, 3030-2-1
#[test]
fn case_26_data_and_chunks_do_not_mix() {
    let chunk = bdat(b"one\r\n", false);
    let heard = hears(
        &config(),
        &[
            ENVELOPE,
            &chunk,
            b"MAIL FROM:<b@c.example>\r\nRCPT TO:<y@mx.example>\r\n",
            &bdat(b"two\r\n", true),
            b"QUIT\r\n",
        ],
    );
    assert_eq!(heard.codes(), [250, 250, 250, 250, 503, 503, 250, 221]);
    assert_eq!(heard.taken, [b"one\r\ntwo\r\n".to_vec()], "the state is as it was");
    // DATA after BDAT; nothing came with it, so the session goes on.
    let mut server = Server::new(Arc::new(config()), 1);
    let mut say = |input: &[u8]| {
        assert_eq!(server.receive(input), input.len());
        while let Step::Event(event) = server.poll(Instant::ORIGIN) {
            match event {
                Event::Mail { answer, .. } => server.accept(answer).unwrap(),
                Event::Rcpt { answer, .. } => server.accept(answer).unwrap(),
                Event::Data { answer } => server.accept(answer).unwrap(),
                Event::Body(_) | Event::Reset => {}
                other => panic!("{other:?}"),
            }
        }
        let said = String::from_utf8(server.output().to_vec()).unwrap();
        server.sent(said.len());
        said
    };
    say(&[ENVELOPE, &chunk].concat());
    assert!(say(b"DATA\r\n").starts_with("503 5.5.1"));
    assert!(say(b"RSET\r\n").starts_with("250"));
    assert!(say(b"BDAT 0 LAST\r\n").starts_with("503 5.5.1"), "the transaction is gone");
}

#[test]
fn case_26_rset_between_chunks_forgets_them() {
    let again = b"RSET\r\nMAIL FROM:<b@c.example>\r\nRCPT TO:<y@mx.example>\r\n";
    let heard = hears(&config(), &[ENVELOPE, &bdat(b"one\r\n", false), again, &bdat(b"two\r\n", true), b"QUIT\r\n"]);
    assert_eq!(heard.codes(), [250, 250, 250, 250, 250, 250, 250, 250, 221]);
    assert_eq!((heard.taken, heard.resets), (vec![b"two\r\n".to_vec()], 1));
}

//= 3030-2-2
#[test]
fn case_26_without_recipients_there_is_no_chunk() {
    let mut server = Server::new(Arc::new(config()), 1);
    let input =
        [&b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<x@mx.example>\r\n"[..], &bdat(b"one\r\n", true)]
            .concat();
    assert_eq!(server.receive(&input), input.len());
    let mut said = String::new();
    while let Step::Event(event) = server.poll(Instant::ORIGIN) {
        match event {
            Event::Mail { answer, .. } => server.accept(answer).unwrap(),
            Event::Rcpt { answer, .. } => {
                server.refuse(answer, Refusal::permanent(550, (1, 1), "No such mailbox".try_into().unwrap())).unwrap();
            }
            Event::Reset => {}
            other => panic!("{other:?}"),
        }
    }
    said.push_str(&String::from_utf8_lossy(server.output()));
    assert!(said.ends_with("550 5.1.1 No such mailbox\r\n554 5.5.1 No valid recipients\r\n"), "{said}");
}

//= 3030-3-1
#[test]
fn case_27_chunks_hold_lines_unless_they_are_binary() {
    let dots = b"a\r\n.\r\nMAIL FROM:<evil@c.example>\r\n";
    let heard = hears(&config(), &[ENVELOPE, &bdat(dots, true), b"QUIT\r\n"]);
    assert_eq!((heard.codes(), heard.taken), (vec![250, 250, 250, 250, 221], vec![dots.to_vec()]));
    for bad in [&b"a\nb\r\n"[..], b"a\rb\r\n", b"a\0b\r\n", b"a\r", b"\n", b"a\r\r\n"] {
        let heard = hears(&config(), &[ENVELOPE, &bdat(bad, true), b"QUIT\r\n"]);
        assert_eq!(heard.codes(), [250, 250, 250, 554, 221], "{}", bad.escape_ascii());
        assert!(heard.taken.is_empty() && heard.resets == 1);
        let binary_envelope =
            b"EHLO c.example\r\nMAIL FROM:<a@c.example> BODY=BINARYMIME\r\nRCPT TO:<x@mx.example>\r\n";
        let heard = hears(&binary(), &[binary_envelope, &bdat(bad, true), b"QUIT\r\n"]);
        assert_eq!((heard.codes(), heard.taken), (vec![250, 250, 250, 250, 221], vec![bad.to_vec()]), "opaque octets");
    }
    // The second chunk is refused since the first spoilt the message; its octets are no commands.
    let heard = hears(
        &config(),
        &[ENVELOPE, &bdat(b"a\nb", false), &bdat(b"MAIL FROM:<evil@c.example>\r\n", true), b"QUIT\r\n"],
    );
    assert_eq!(heard.codes(), [250, 250, 250, 554, 503, 221]);
    assert_eq!(heard.senders, ["a@c.example"]);
}

//= 3030-3-2
#[test]
fn case_27_binary_messages_come_in_chunks_only() {
    let envelope = b"EHLO c.example\r\nMAIL FROM:<a@c.example> BODY=BINARYMIME\r\nRCPT TO:<x@mx.example>\r\n";
    assert_eq!(whole(config(), envelope).codes(), [250, 504, 503]);
    let heard = whole(binary(), &[&envelope[..], b"DATA\r\n"].concat());
    assert_eq!(heard.codes(), [250, 250, 250, 503]);
    assert!(heard.said.contains("BINARYMIME\r\n250-CHUNKING"));
}

#[test]
fn case_27_newlines_are_normalised_where_that_is_wanted() {
    let mut config = config();
    config.bare_newlines = BareNewlines::Normalise;
    let heard = hears(&config, &[ENVELOPE, &bdat(b"a\nb\rc\0d\r", false), &bdat(b"\ne\r", true), b"QUIT\r\n"]);
    assert_eq!(heard.taken, [b"a\r\nb\r\ncd\r\ne\r\n".to_vec()]);
}

/// All strings over the octets that matter, at all cuts, against what the whole string says.
#[test]
fn case_27_chunk_verdicts_do_not_depend_on_cuts() {
    const OCTETS: &[u8; 4] = b"\r\n\0a";
    for length in 0..=7u32 {
        for n in 0..4usize.pow(length) {
            let text: Vec<u8> = (0..length).map(|i| OCTETS[n / 4usize.pow(i) % 4]).collect();
            let good = !text.contains(&0) && !String::from_utf8_lossy(&text).replace("\r\n", "").contains(['\r', '\n']);
            for cut in 0..=text.len() {
                for policy in [BareNewlines::Refuse, BareNewlines::Normalise] {
                    let mut reader = ChunkReader::lines(policy, 1000);
                    let mut out = vec![];
                    for piece in [&text[..cut], &text[cut..]] {
                        match reader.read(piece) {
                            Body::Prefix(length) => out.extend_from_slice(&piece[..length]),
                            Body::Rewritten(octets) => out.extend_from_slice(&octets),
                        }
                    }
                    out.extend_from_slice(reader.finish());
                    let shown = text.escape_ascii();
                    if policy == BareNewlines::Refuse {
                        assert_eq!(reader.bad().is_none(), good, "{shown} cut at {cut}");
                        assert!(!good || out == text, "{shown} cut at {cut}");
                    } else {
                        let plain = String::from_utf8(text.clone()).unwrap().replace('\0', "");
                        let expected = plain_lines(&text);
                        assert!(reader.bad().is_none());
                        assert_eq!(
                            out.escape_ascii().to_string(),
                            expected.escape_ascii().to_string(),
                            "{shown} ({plain:?}) cut at {cut}"
                        );
                    }
                }
            }
        }
    }
}

/// CR, LF and CRLF become CRLF; NUL is left out.
fn plain_lines(text: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    for (at, &octet) in text.iter().enumerate() {
        match octet {
            0 => {}
            b'\n' if at > 0 && text[at - 1] == b'\r' => {}
            b'\r' | b'\n' => out.extend_from_slice(b"\r\n"),
            other => out.push(other),
        }
    }
    out
}

#[test]
fn case_28_chunks_without_the_last_deliver_nothing() {
    let chunk = bdat(b"0123456789\r\n", false);
    for cut in 0..=chunk.len() {
        let heard = whole(config(), &[ENVELOPE, &chunk[..cut]].concat());
        assert!(heard.taken.is_empty());
        assert_eq!((heard.closed, heard.resets), (Some(Closed::Eof), 1), "cut at {cut}");
    }
}

//= 2033-4.3-1
#[test]
fn lmtp_answers_for_each_recipient_after_the_last_chunk() {
    let mut config = Config::lmtp("mx.example".parse().expect("a name"));
    assert_eq!(config.role, Role::Lmtp);
    config.chunking = true;
    let envelope = b"LHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<x@mx.example>\r\nRCPT TO:<y@mx.example>\r\n";
    let heard = hears(&config, &[envelope, &bdat(b"a\r\n", false), &bdat(b"b\r\n", true), b"QUIT\r\n"]);
    assert_eq!(heard.codes(), [250, 250, 250, 250, 250, 250, 250, 221], "one for the chunk, two for the message");
    let heard = hears(&config, &[envelope, &bdat(b"a\nb\r\n", true), b"QUIT\r\n"]);
    assert_eq!(heard.codes(), [250, 250, 250, 250, 554, 554, 221]);
}

/// RFC 2033, 4.3: after a chunk that was refused too, a client that has sent the last one behind it reads a reply for each
/// recipient; and none, if no recipient was accepted.
//= 2033-4.3-1
#[test]
fn lmtp_answers_for_each_recipient_after_a_chunk_that_was_refused() {
    let mut config = Config::lmtp("mx.example".parse().expect("a name"));
    config.chunking = true;
    let envelope = b"LHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<x@mx.example>\r\nRCPT TO:<y@mx.example>\r\n";
    let (bad, good, last) = (bdat(b"a\nb\r\n", false), bdat(b"c\r\n", false), bdat(b"d\r\n", true));
    let cases: [(&[&[u8]], &[u16]); 7] = [
        (&[envelope, &bad, &last], &[250, 250, 250, 250, 554, 503, 503]),
        (&[envelope, &bad, &good, &last], &[250, 250, 250, 250, 554, 503, 503, 503]),
        // Nothing is owed any more.
        (&[envelope, &bad, &last, &last], &[250, 250, 250, 250, 554, 503, 503, 503]),
        (&[envelope, &bad, b"RSET\r\n", &last], &[250, 250, 250, 250, 554, 250, 503]),
        (&[envelope, &bad, envelope, &last], &[250, 250, 250, 250, 554, 250, 250, 250, 250, 250, 250]),
        // Without a recipient there is nobody to answer for.
        (&[b"LHLO c.example\r\nMAIL FROM:<>\r\n", &last, b"NOOP\r\n"], &[250, 250, 250]),
        (&[b"LHLO c.example\r\n", &last], &[250, 503]),
    ];
    for (parts, codes) in cases {
        let heard = hears(&config, &[parts, &[b"QUIT\r\n"]].concat());
        assert_eq!(heard.codes(), [&[220], codes, &[221]].concat()[1..], "{:?}", heard.said);
    }
    // Over SMTP it is always one.
    let heard = hears(&self::config(), &[ENVELOPE, b"RCPT TO:<y@mx.example>\r\n", &bad, &last, b"QUIT\r\n"]);
    assert_eq!(heard.codes()[heard.codes().len() - 3..], [554, 503, 221], "{:?}", heard.said);
}

#[test]
fn chunks_obey_the_limits_of_messages() {
    let mut small = config();
    small.limits.message = 10;
    let heard = hears(&small, &[ENVELOPE, &bdat(b"01234567\r\n", false), &bdat(b"x\r\n", true), b"QUIT\r\n"]);
    assert_eq!(heard.codes(), [250, 250, 250, 250, 552, 221]);
    small.limits.message_excess = 10;
    let heard = whole(small, &[ENVELOPE, &bdat(&b"0123456\r\n".repeat(10), true)].concat());
    assert_eq!(heard.codes(), [250, 250, 250, 552]);
    assert!(matches!(heard.closed, Some(Closed::Protocol(ProtocolError::TooMuch { .. }))));
    let mut few = config();
    few.limits.chunks = 3;
    let heard = whole(few, &[ENVELOPE, &b"BDAT 0\r\n".repeat(100_000)[..]].concat());
    assert_eq!(heard.codes(), [250, 250, 250, 250, 250, 250, 421]);
    let mut short = config();
    short.limits.text_line = 3;
    let heard = hears(&short, &[ENVELOPE, &bdat(b"abc\r\nabcd\r\n", true), b"QUIT\r\n"]);
    assert_eq!(heard.codes(), [250, 250, 250, 554, 221]);
}

#[test]
fn case_31_a_slow_chunk_is_given_up() {
    let mut config = config();
    config.limits.rate = 64;
    let mut server = Server::new(Arc::new(config), 1);
    let input = [ENVELOPE, b"BDAT 1000\r\n"].concat();
    assert_eq!(server.receive(&input), input.len());
    let mut now = Instant::ORIGIN;
    let mut closed = None;
    for _ in 0..1000 {
        let deadline = loop {
            match server.poll(now) {
                Step::Event(Event::Closed(why)) => closed = Some(why),
                Step::Event(Event::Mail { answer, .. }) => server.accept(answer).unwrap(),
                Step::Event(Event::Rcpt { answer, .. }) => server.accept(answer).unwrap(),
                Step::Event(Event::Data { answer }) => server.accept(answer).unwrap(),
                Step::Event(_) => {}
                Step::Idle { deadline } => break deadline,
            }
        };
        if closed.is_some() {
            break;
        }
        // An octet every ten seconds is never late, and always too slow.
        now = now.plus(std::time::Duration::from_secs(10));
        assert!(deadline.is_some());
        assert_eq!(server.receive(b"a"), 1);
    }
    assert_eq!(closed, Some(Closed::TimedOut));
    assert!(now <= Instant::ORIGIN.plus(std::time::Duration::from_secs(310)), "{now:?}");
}

#[test]
fn a_message_may_be_refused_at_its_first_chunk() {
    let mut server = Server::new(Arc::new(config()), 1);
    let input = [ENVELOPE, &bdat(b"RSET\r\n", false), &bdat(b"RSET\r\n", true), b"NOOP\r\n"].concat();
    assert_eq!(server.receive(&input), input.len());
    let mut asked = None;
    let mut resets = 0;
    loop {
        match server.poll(Instant::ORIGIN) {
            Step::Event(Event::Mail { answer, .. }) => server.accept(answer).unwrap(),
            Step::Event(Event::Rcpt { answer, .. }) => server.accept(answer).unwrap(),
            Step::Event(Event::Data { answer }) => asked = Some(answer),
            Step::Event(Event::Reset) => resets += 1,
            Step::Event(other) => panic!("{other:?}"),
            Step::Idle { .. } => match asked.take() {
                // Nothing of the chunk is read while the application thinks.
                Some(answer) => {
                    server.refuse(answer, Refusal::transient(452, (3, 1), "Full".try_into().unwrap())).unwrap();
                }
                None => break,
            },
        }
    }
    let said = String::from_utf8(server.output().to_vec()).unwrap();
    assert!(said.ends_with("452 4.3.1 Full\r\n503 5.5.1 MAIL comes first\r\n250 2.0.0 OK\r\n"), "{said}");
    assert_eq!(resets, 1);
}

/// Whatever the client has sent after it already, a message that lacks a part is not taken.
//= 3030-2-5
#[test]
fn a_message_is_not_taken_without_a_part_that_was_refused() {
    let long = format!("BURL imap://imap.example/{}\r\n", "a".repeat(3000));
    let longer = format!("BURL imap://imap.example/{}\r\n", "a".repeat(20_000));
    let parts = [
        (&b"BURL http://www.example/part\r\n"[..], 554),
        (b"BURL\r\n", 501),
        (b"BURL imap://imap.example/a\n\r\n", 500),
        (long.as_bytes(), 500),
        (longer.as_bytes(), 500),
        (b"BDAT x\r\n", 501),
        (b"BDAT 5\n\r\n", 500),
        (b"BDAT\r5\r\n", 500),
    ];
    for burl in [Some("imap".parse().unwrap()), None] {
        let mut config = config();
        config.burl = burl;
        for (part, mut code) in parts {
            if config.burl.is_none() && code == 554 {
                code = 502;
            }
            let shown = part[..part.len().min(40)].escape_ascii();
            let (first, last) = (bdat(b"one\r\n", false), bdat(b"three\r\n", true));
            // What comes with a bad BDAT is its chunk; what comes later is commands.
            let bdat = part.starts_with(b"BDAT");
            let hears = |parts: &[&[u8]]| {
                if bdat { converse(config.clone(), &parts.concat(), || 1) } else { hears(&config, parts) }
            };
            let heard = hears(&[ENVELOPE, &first, part, &last, b"QUIT\r\n"]);
            assert_eq!(heard.codes(), [250, 250, 250, 250, code, 503, 221], "{shown} within");
            assert_eq!((heard.taken.len(), heard.resets), (0, 1), "{shown}");
            let heard = hears(&[ENVELOPE, part, &last, b"QUIT\r\n"]);
            assert_eq!(heard.codes(), [250, 250, 250, code, 503, 221], "{shown} first");
            assert_eq!((heard.taken.len(), heard.resets), (0, 1), "{shown}");
        }
    }
}

//= 3030-2-10
#[test]
fn case_25_what_follows_a_bdat_with_a_bad_end_is_no_command() {
    for bad in [&b"BDAT 20\n"[..], b"BDAT 20\r \r\n", b"BDAT\r20\r\n"] {
        let heard = both(&config(), &[ENVELOPE, bad, b"Subject: a\r\n\r\nMAIL FROM:<evil@c.example>\r\n"].concat());
        assert_eq!(heard.codes(), [250, 250, 250, 500, 421], "{}", bad.escape_ascii());
        assert_eq!(heard.senders, ["a@c.example"]);
    }
}

//= 2033-4.3-1
#[test]
fn lmtp_answers_for_each_recipient_if_the_message_is_refused_at_its_only_chunk() {
    let mut config = Config::lmtp("mx.example".parse().expect("a name"));
    config.chunking = true;
    let envelope = b"LHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<x@mx.example>\r\nRCPT TO:<y@mx.example>\r\n";
    let mut server = Server::new(Arc::new(config), 1);
    let input = [&envelope[..], &bdat(b"RSET\r\n", true), b"NOOP\r\n"].concat();
    assert_eq!(server.receive(&input), input.len());
    while let Step::Event(event) = server.poll(Instant::ORIGIN) {
        match event {
            Event::Mail { answer, .. } => server.accept(answer).unwrap(),
            Event::Rcpt { answer, .. } => server.accept(answer).unwrap(),
            Event::Data { answer } => {
                server.refuse(answer, Refusal::transient(452, (3, 1), "Full".try_into().unwrap())).unwrap();
            }
            Event::Reset => {}
            other => panic!("{other:?}"),
        }
    }
    let said = String::from_utf8(server.output().to_vec()).unwrap();
    assert!(said.ends_with("Recipient OK\r\n452 4.3.1 Full\r\n452 4.3.1 Full\r\n250 2.0.0 OK\r\n"), "{said}");
}
