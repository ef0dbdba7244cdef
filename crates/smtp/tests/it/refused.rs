//! What comes behind a line that was refused: the rest of it, a message, a password, the rest of a pipelined group. None
//! of it is what it would have been.

use crate::converse::{Heard, both, converse, whole};
use postrider_core::{Closed, Direction, Instant, Machine, Pending, ProtocolError, Session, Step, Tap, Text};
use postrider_sasl::MechanismName;
use postrider_smtp::Server;
use postrider_smtp::server::{Config, Event, Tls, ask};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn config() -> Config {
    let mut config = Config::new("mx.example".parse().expect("a name"));
    config.chunking = true;
    config
}

const ENVELOPE: &str = "EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<x@mx.example>\r\n";

/// A message that looks like commands.
const EVIL: &str = "RSET\r\nMAIL FROM:<evil@c.example>\r\nQUIT\r\n";

/// Nothing of what was sent behind the envelope was run.
fn is_not_run(heard: &Heard, what: &str) {
    assert_eq!(heard.senders, ["a@c.example"], "{what}");
    assert!(!heard.codes().contains(&221), "{what}: {}", heard.said);
}

// ── lines ──

//= 5321-2.3.8-1
#[test]
fn case_17_a_line_ends_at_crlf_and_is_refused_as_a_whole() {
    for odd in ["\n", "\r", "\0", "\n\n", "\r\r", "\n\r"] {
        for line in [
            format!("NOOP{odd}QUIT"),
            format!("NOOP {odd}QUIT"),
            format!("{odd}QUIT"),
            format!("RCPT TO:<y@mx.example>{odd}MAIL FROM:<evil@c.example>{odd}QUIT"),
            format!("FOO{odd}AUTH PLAIN{odd}QUIT"),
        ] {
            let heard = both(&config(), format!("{ENVELOPE}{line}\r\nNOOP\r\n").as_bytes());
            is_not_run(&heard, &line);
            assert_eq!(heard.codes(), [250, 250, 250, 500, 250], "{line:?}");
        }
    }
    // The CR that ends a chunk belongs to no line.
    let heard = both(&config(), format!("{ENVELOPE}BDAT 3\r\na\r\r\nQUIT\r\nNOOP\r\n").as_bytes());
    assert_eq!(heard.codes(), [250, 250, 250, 554, 500, 250]);
}

//= 5321-2.3.8-1
#[test]
fn case_17_a_response_ends_at_crlf_and_is_refused_as_a_whole() {
    let mut config = config().dangerous_allow_plaintext_auth();
    config.auth = vec![MechanismName::Plain];
    let heard = both(&config, b"EHLO c.example\r\nAUTH PLAIN\r\nAGFsaWNlAHNlY3JldA==\nQUIT\r\nNOOP\r\n");
    assert_eq!(heard.codes(), [250, 334, 501, 250]);
}

//= 5321-2.3.8-1
#[test]
fn case_19_a_long_line_ends_at_crlf_only() {
    for size in [3000, 20_000, 100_000] {
        let long = "x".repeat(size);
        for odd in ["\n", "\r", "\n\r", "\0"] {
            let heard = both(&config(), format!("EHLO c.example\r\nNOOP {long}{odd}{EVIL}NOOP\r\n").as_bytes());
            assert_eq!(heard.codes(), [250, 500, 250, 221], "{size} {odd:?}");
            let line = format!("NOOP {long}{odd}MAIL FROM:<evil@c.example>{odd}QUIT\r\n");
            let heard = both(&config(), format!("{ENVELOPE}{line}NOOP\r\n").as_bytes());
            is_not_run(&heard, &odd.escape_debug().to_string());
            assert_eq!(heard.codes(), [250, 250, 250, 500, 250], "{size} {odd:?}");
        }
    }
}

// ── messages ──

/// DATA and BDAT that cannot be obeyed.
fn bad_data() -> Vec<String> {
    let mut bad: Vec<String> = [
        "DATA x",
        "DATA\r",
        "DATA\r ",
        "DATA\0",
        "DATA\nx",
        "BDAT 40  LAST",
        "BDAT",
        "BDAT x",
        "BDAT 5\r",
        "BDAT\n5",
        "BDAT 99999999999999999999 LAST",
    ]
    .map(str::to_owned)
    .into();
    for spaces in [3000, 20_000, 100_000].map(|n| " ".repeat(n)) {
        bad.extend([format!("DATA{spaces}"), format!("BDAT 5{spaces}")]);
    }
    bad
}

fn named(line: &str) -> String {
    format!("{} octets: {}", line.len(), line[..line.len().min(20)].escape_debug())
}

#[test]
fn case_13_what_came_with_a_bad_data_is_no_command() {
    for bad in bad_data() {
        let input = format!("{ENVELOPE}{bad}\r\n{EVIL}");
        let heard = whole(config(), input.as_bytes());
        is_not_run(&heard, &named(&bad));
        let codes = heard.codes();
        assert!(matches!(codes[..], [250, 250, 250, 500 | 501, 421]), "{}: {codes:?}", named(&bad));
        assert!(matches!(heard.closed, Some(Closed::Protocol(ProtocolError::Unexpected { .. }))), "{}", named(&bad));
    }
}

#[test]
fn case_13_a_bad_data_whose_client_waits_is_a_mistake_like_others() {
    for bad in bad_data() {
        let mut client = Waiting::new(config());
        client.say(ENVELOPE);
        let said = client.say(&format!("{bad}\r\n"));
        assert!(said.starts_with("50"), "{}: {said}", named(&bad));
        assert_eq!(said.lines().count(), 1, "{}: {said}", named(&bad));
        assert!(client.say("NOOP\r\n").starts_with("250"), "{}", named(&bad));
        assert_eq!(client.closed, None);
    }
}

#[test]
fn case_13_the_first_line_of_a_message_that_is_no_command_ends_the_session() {
    let first = [
        "Subject: hello".to_owned(),
        format!("X-Long: {}", "x".repeat(20_000)),
        format!("NOOP {}", "x".repeat(20_000)),
        format!("X-Not-So-Long: {}", "x".repeat(3000)),
        "MAIL me".to_owned(),
        "NOOP\rx".to_owned(),
        "Subject: hello\nNOOP".to_owned(),
    ];
    let data = ["DATA", "DATA x", "BDAT x"];
    for (data, first) in data.iter().flat_map(|data| first.iter().map(move |first| (data, first))) {
        let mut client = Waiting::new(config());
        // Nobody is a recipient, so even the good one is refused.
        client.say("EHLO c.example\r\nMAIL FROM:<a@c.example>\r\n");
        assert!(client.say(&format!("{data}\r\n")).starts_with("50"));
        let said = client.say(&format!("{first}\r\n{EVIL}"));
        assert!(said.starts_with("421 4.5.1"), "{data}, {}: {said}", named(first));
        assert_eq!(client.senders, 1);
        assert!(client.closed.is_some());
    }
}

#[test]
fn case_13_a_command_after_a_refused_data_is_run() {
    let mut client = Waiting::new(config());
    client.say("EHLO c.example\r\nMAIL FROM:<a@c.example>\r\n");
    assert!(client.say("DATA\r\n").starts_with("503"));
    assert!(client.say("RCPT TO:<x@mx.example>\r\n").starts_with("250"));
    assert!(client.say("FOO\r\n").starts_with("500"), "the guard is down again");
}

// ── passwords ──

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<String>>);

impl Tap for Seen {
    fn line(&mut self, direction: Direction, line: &[u8], _: bool) {
        if direction == Direction::In {
            *self.0.lock().expect("no test panics with it") += &format!("{}\n", line.escape_ascii());
        }
    }

    fn octets(&mut self, _: Direction, _: u64) {}
}

#[test]
fn a_trace_shows_no_secrets_of_a_login_that_was_refused() {
    let secret = "AGFsaWNlAHNlY3JldA==";
    for (auth, shown) in [
        ("AUTH PLAIN", "AUTH PLAIN"),
        ("AUTH PLAIN {}", "AUTH PLAIN ***"),
        ("AUTH SCRAM-SHA-256 {}", "AUTH SCRAM-SHA-256 ***"),
        ("AUTH FOO {}", "AUTH ***"),
        ("AUTH {}", "AUTH ***"),
        ("auth  plain {}", "auth ***"),
        (" auth plain {}", " auth ***"),
        ("\tAUTH LOGIN {}", "\\tAUTH ***"),
        ("AUTH PLAIN\t{}", "AUTH ***"),
        ("AUTH\x01PLAIN {}", "AUTH\\x01***"),
        ("AUTH PLAIN {}\n{}", "AUTH PLAIN ***"),
        ("AUTH\nPLAIN {}", "AUTH\\n***"),
        (" burl imap://a@mx.example/;urlauth=submit+a:internal:{}", " burl ***"),
    ] {
        let mut config = Config::submission("mx.example".parse().expect("a name"), Tls::Offered);
        config.auth = vec![MechanismName::Plain];
        let mut server = Server::new(Arc::new(config), 1);
        let seen = Seen::default();
        server.set_tap(Some(Box::new(seen.clone())));
        let auth = auth.replace("{}", secret);
        let login = auth.trim_start().starts_with(['a', 'A']);
        // A client that did not wait; LOGIN has two responses.
        let responses = if login { format!("{secret}\r\n{secret}\r\n") } else { String::new() };
        let input = format!("EHLO c.example\r\n{auth}\r\n{responses}NOOP\r\nFOO\r\n");
        let _ = server.receive(input.as_bytes());
        while let Step::Event(event) = server.poll(Instant::ORIGIN) {
            server.decline(event);
        }
        let masked = if login { "***\n***\n" } else { "" };
        let expected = format!("EHLO c.example\n{shown}\n{masked}NOOP\nFOO\n");
        assert_eq!(*seen.0.lock().expect("no test panics with it"), expected, "{}", auth.escape_debug());
    }
}

// ── groups ──

/// The whole group was sent before its client could know of the first refusal.
#[test]
fn what_follows_from_one_refusal_is_not_many_mistakes() {
    let mut config = config();
    config.limits.message = 1000;
    let recipients: String = (0..100).map(|n| format!("RCPT TO:<r{n}@mx.example>\r\n")).collect();
    for (mail, code) in
        [("MAIL FROM:<a@c.example> SIZE=2000", 552), ("MAIL FROM:<a@c.example> FOO=1", 555), ("MAIL FROM:a@c", 501)]
    {
        let heard = both(&config, format!("EHLO c.example\r\n{mail}\r\n{recipients}RSET\r\n").as_bytes());
        let codes = heard.codes();
        assert_eq!((codes[1], codes.len()), (code, 103), "{mail}: {codes:?}");
        assert!(codes[2..102].iter().all(|&code| code == 503) && codes[102] == 250, "{codes:?}");
    }
    let chunk = format!("BDAT 600\r\n{}", "0123456789\r\n".repeat(50));
    let heard = both(&config, format!("{ENVELOPE}{}RSET\r\n", chunk.repeat(100)).as_bytes());
    let codes = heard.codes();
    assert_eq!((codes[..5].to_vec(), codes.len()), (vec![250, 250, 250, 250, 552], 104));
    assert!(codes[5..103].iter().all(|&code| code == 503) && codes[103] == 250, "{codes:?}");
}

/// DATA for recipients who were all refused is no mistake either, however many messages are for nobody.
#[test]
fn messages_for_nobody_are_not_mistakes() {
    let mut client = Waiting::new(config());
    client.knows = false;
    client.say("EHLO c.example\r\n");
    for _ in 0..50 {
        let said = client.say("MAIL FROM:<a@c.example>\r\nRCPT TO:<x@mx.example>\r\nDATA\r\n");
        assert!(said.ends_with("554 5.5.1 No valid recipients\r\n"), "{said}");
        assert!(client.say("RSET\r\n").starts_with("250"));
    }
}

/// It is counted, though: who goes on without end is sent away.
#[test]
fn case_30_what_follows_from_refusals_has_an_end() {
    let count = |codes: &[u16], code| codes.iter().filter(|&&c| c == code).count();
    let mut small = config();
    small.limits.message = 1000;
    let mail = "EHLO c.example\r\nMAIL FROM:<a@c.example> SIZE=2000\r\n";
    let heard = whole(small, format!("{mail}{}", "RCPT TO:<x@mx.example>\r\n".repeat(100_000)).as_bytes());
    assert_eq!((count(&heard.codes(), 503), heard.codes().last()), (999, Some(&421)));
    assert!(matches!(heard.closed, Some(Closed::Protocol(ProtocolError::TooMuch { limit: 1000, .. }))));
    let heard = whole(config(), format!("{ENVELOPE}{}", "BDAT 3\r\na\nb".repeat(100_000)).as_bytes());
    assert_eq!((count(&heard.codes(), 503), heard.codes().last()), (1000, Some(&421)));
    // What no refusal came before is a mistake, as is what comes when the group is over.
    for input in ["RCPT TO:<x@mx.example>\r\n", "MAIL FROM:<>\r\nRSET\r\nRCPT TO:<x@mx.example>\r\n"] {
        let heard = whole(config(), format!("EHLO c.example\r\n{input}{}", "BDAT 0\r\n".repeat(100)).as_bytes());
        assert_eq!(heard.codes().last(), Some(&421), "{input}");
        assert_eq!(heard.closed, Some(Closed::Protocol(ProtocolError::TooManyErrors { limit: 20 })), "{input}");
    }
}

// ── the end ──

//= 5321-3.8-2
#[test]
fn shut_down_while_the_greeting_waits_takes_its_place() {
    let mut config = config();
    config.limits.greeting_delay = Duration::from_secs(5);
    let mut server = Server::new(Arc::new(config), 1);
    assert!(matches!(server.poll(Instant::ORIGIN), Step::Idle { deadline: Some(_) }));
    server.shut_down(Text::literal("Bye"));
    let second = Instant::ORIGIN.plus(Duration::from_secs(1));
    assert!(matches!(server.poll(second), Step::Event(Event::Closed(Closed::ByUs))));
    assert_eq!(server.output(), b"421 4.3.2 Bye\r\n");
    assert!(matches!(server.poll(second.plus(Duration::from_secs(5))), Step::Idle { .. }));
    assert_eq!(server.output(), b"421 4.3.2 Bye\r\n", "and that is all");
}

/// Answers yes to all but a message, which is left open. Gives what was said, and how the session ended each time it did.
fn hear(server: &mut Server, now: Instant) -> (String, Vec<Closed>, Option<Pending<ask::Message>>) {
    let (mut closed, mut open) = (vec![], None);
    while let Step::Event(event) = server.poll(now) {
        match event {
            Event::Mail { answer, .. } => server.accept(answer).expect("just asked"),
            Event::Rcpt { answer, .. } => server.accept(answer).expect("just asked"),
            Event::Data { answer } => server.accept(answer).expect("just asked"),
            Event::Message { answer, .. } => open = Some(answer),
            Event::Closed(why) => closed.push(why),
            Event::Body(_) | Event::Reset => {}
            other => panic!("{other:?}"),
        }
    }
    let said = String::from_utf8(server.output().to_vec()).expect("ASCII");
    server.sent(said.len());
    (said, closed, open)
}

/// QUIT, and what makes the server hang up, at the same time: one of the two goodbyes is said, and nothing after it.
//= 5321-4.1.1.10-1, 5321-3.8-2
#[test]
fn case_29_quit_and_421_meet_and_one_of_them_is_said() {
    let late = Instant::ORIGIN.plus(config().limits.command);
    let mail = &ENVELOPE[16..];
    for (within, stop, quit_first, expected, end) in [
        ("", true, false, "421 4.3.2 Bye\r\n", Closed::ByUs),
        ("", true, true, "221 2.0.0 Goodbye\r\n", Closed::ByPeer),
        // A transaction is let finish, which QUIT does.
        (mail, true, false, "221 2.0.0 Goodbye\r\n", Closed::ByPeer),
        (mail, true, true, "221 2.0.0 Goodbye\r\n", Closed::ByPeer),
        // It came in time, though nobody looked.
        ("", false, true, "221 2.0.0 Goodbye\r\n", Closed::ByPeer),
        ("", false, false, "421 4.4.2 Timed out\r\n", Closed::TimedOut),
        (mail, false, false, "421 4.4.2 Timed out\r\n", Closed::TimedOut),
    ] {
        let mut server = Server::new(Arc::new(config()), 1);
        let hello = format!("EHLO c.example\r\n{within}");
        assert_eq!(server.receive(hello.as_bytes()), hello.len());
        hear(&mut server, Instant::ORIGIN);
        let (mut said, mut ends) = (String::new(), vec![]);
        let mut at = |server: &mut Server, now| {
            let (more, closed, _) = hear(server, now);
            said += &more;
            ends.extend(closed);
        };
        if quit_first {
            let _ = server.receive(b"QUIT\r\n");
        }
        if stop {
            if quit_first {
                at(&mut server, Instant::ORIGIN);
            }
            server.shut_down(Text::literal("Bye"));
        } else {
            at(&mut server, late);
        }
        let _ = server.receive(b"QUIT\r\nNOOP\r\n");
        at(&mut server, late);
        server.receive_eof();
        at(&mut server, late.plus(Duration::from_secs(3600)));
        assert_eq!((said.as_str(), &ends[..]), (expected, &[end][..]), "{within:?} {stop} {quit_first}");
        assert!(server.is_finished());
    }
}

/// A client that says goodbye behind its message, and closes its half, waits for the reply to the message and hears it.
//= 5321-4.1.1.5-3, 5321-4.1.1.10-1
#[test]
fn case_29_quit_behind_a_message_waits_for_its_reply() {
    for stop in [false, true] {
        let mut server = Server::new(Arc::new(config()), 1);
        let input = format!("{ENVELOPE}DATA\r\nHi\r\n.\r\nQUIT\r\n");
        assert_eq!(server.receive(input.as_bytes()), input.len());
        server.receive_eof();
        let (said, closed, message) = hear(&mut server, Instant::ORIGIN);
        assert!(said.ends_with("354 End the message with a dot alone in a line\r\n") && closed.is_empty(), "{said}");
        if stop {
            server.shut_down(Text::literal("Bye"));
        }
        let (said, closed, _) = hear(&mut server, Instant::ORIGIN);
        assert_eq!((said.as_str(), closed), ("", vec![]), "the message is not decided");
        server.accept(message.expect("it was asked about")).expect("it waits");
        let (said, closed, _) = hear(&mut server, Instant::ORIGIN);
        let (goodbye, end) = if stop { ("421 4.3.2 Bye", Closed::ByUs) } else { ("221 2.0.0 Goodbye", Closed::ByPeer) };
        assert_eq!((said, closed), (format!("250 2.0.0 Taken\r\n{goodbye}\r\n"), vec![end]));
    }
}

// ── a client that waits ──

/// Says one thing, and hears all that there is to hear before the next.
struct Waiting {
    server: Server,
    knows: bool,
    senders: usize,
    closed: Option<Closed>,
}

impl Waiting {
    fn new(config: Config) -> Self {
        let mut client = Self { server: Server::new(Arc::new(config), 1), knows: true, senders: 0, closed: None };
        assert!(client.say("").starts_with("220"));
        client
    }

    fn say(&mut self, what: &str) -> String {
        let (mut at, mut said) = (0, String::new());
        let server = &mut self.server;
        loop {
            at += server.receive(&what.as_bytes()[at..]);
            while let Step::Event(event) = server.poll(Instant::ORIGIN) {
                match event {
                    Event::Mail { answer, .. } => {
                        self.senders += 1;
                        server.accept(answer).expect("just asked");
                    }
                    Event::Rcpt { answer, .. } if self.knows => server.accept(answer).expect("just asked"),
                    Event::Closed(why) => self.closed = Some(why),
                    other => server.decline(other),
                }
            }
            said += std::str::from_utf8(server.output()).expect("ASCII");
            server.sent(server.output().len());
            if at == what.len() || server.is_finished() {
                return said;
            }
        }
    }
}

/// As [`whole`], in pieces as they come from a socket.
#[test]
fn case_13_what_comes_with_a_bad_data_in_pieces_is_no_command_either() {
    for bad in bad_data() {
        let input = format!("{ENVELOPE}{bad}\r\nSubject: hello\r\n{EVIL}");
        for size in [1, 7, 1000, 4096, 16_384] {
            let heard = converse(config(), input.as_bytes(), || size);
            is_not_run(&heard, &named(&bad));
            assert_eq!(heard.codes().last(), Some(&421), "{}", named(&bad));
        }
    }
}
