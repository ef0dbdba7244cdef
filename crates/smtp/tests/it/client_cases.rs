//! Cases against the client that no transcript can show: round trips, small buffers, limits, slow networks, the tap.

use bytes::{Buf, Bytes};
use postrider_core::{Closed, Direction, Instant, Machine, Pending, Secret, Session, Step, Tap};
use postrider_sasl::Plain;
use postrider_smtp::client::{Chunking, Config, Event, NotSent, Outcome, Plan, RefusedAt, SendError, ask};
use postrider_smtp::{Capabilities, Client, Envelope, Mailbox, Reply};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("an address")
}

fn envelope(recipients: usize) -> Envelope {
    let from = Envelope::new(mailbox("a@client.example"));
    (0..recipients).fold(from, |envelope, n| envelope.and_to(mailbox(&format!("user{n}@mx.example"))))
}

fn config() -> Config {
    Config::new("client.example".parse().expect("a name"))
}

/// With DATA, and with chunks.
const OFFERS: [&[&str]; 2] = [&["PIPELINING"], &["PIPELINING", "CHUNKING"]];

/// A server that answers all that it was sent, each time it is asked to.
struct Peer {
    offers: &'static [&'static str],
    input: Vec<u8>,
    in_data: bool,
    message: Vec<u8>,
    taken: Vec<Vec<u8>>,
    chunks: usize,
    /// Which chunk is refused, and with what.
    refuse: Option<(usize, &'static str)>,
    /// The recipients that are too many.
    most: usize,
    recipients: usize,
    verbs: Vec<String>,
}

impl Peer {
    fn new(offers: &'static [&'static str]) -> Self {
        Self {
            offers,
            input: vec![],
            in_data: false,
            message: vec![],
            taken: vec![],
            chunks: 0,
            refuse: None,
            most: usize::MAX,
            recipients: 0,
            verbs: vec![],
        }
    }

    /// The next reply, if there is all it answers.
    fn reply(&mut self) -> Option<String> {
        if self.in_data {
            let end = self.input.windows(5).position(|octets| octets == b"\r\n.\r\n")?;
            let message: Vec<u8> = self.input.drain(..end + 5).collect();
            self.in_data = false;
            self.taken.push(message[..end + 2].to_vec());
            return Some("250 2.0.0 Taken".into());
        }
        let end = self.input.windows(2).position(|octets| octets == b"\r\n")?;
        let line = String::from_utf8(self.input[..end].to_vec()).expect("ASCII");
        let words: Vec<&str> = line.split(' ').collect();
        let reply = match words[0] {
            "EHLO" => {
                let lines: Vec<String> = self.offers.iter().map(|offer| format!("250-{offer}\r\n")).collect();
                format!("250-mx.example\r\n{}250 HELP", lines.concat())
            }
            "RCPT" => {
                self.recipients += 1;
                if self.recipients > self.most { "452 4.5.3 Too many".into() } else { "250 OK".into() }
            }
            "DATA" => {
                self.in_data = true;
                "354 Go on".into()
            }
            "BDAT" => {
                let size: usize = words[1].parse().expect("a size");
                if self.input.len() < end + 2 + size {
                    return None;
                }
                self.message.extend_from_slice(&self.input[end + 2..end + 2 + size]);
                self.input.drain(..end + 2 + size);
                self.chunks += 1;
                self.verbs.push(line.clone());
                if let Some((which, refusal)) = self.refuse
                    && self.chunks >= which
                {
                    return Some(if self.chunks == which { refusal.into() } else { "503 5.5.1 No".into() });
                }
                if words.get(2) == Some(&"LAST") {
                    self.taken.push(std::mem::take(&mut self.message));
                }
                return Some("250 OK".into());
            }
            "QUIT" => "221 Bye".into(),
            "MAIL" | "RSET" => {
                self.recipients = 0;
                self.message.clear();
                "250 OK".into()
            }
            other => panic!("{other} is not expected"),
        };
        self.verbs.push(words[0].into());
        self.input.drain(..end + 2);
        Some(reply)
    }
}

/// A client session, the message it is to send, and what it has reported.
struct Run {
    client: Client,
    now: Instant,
    rest: Bytes,
    body: Option<Pending<ask::Body>>,
    ready: bool,
    finished: Vec<Vec<Outcome>>,
    closed: Option<Closed>,
}

impl Run {
    fn new(config: Config) -> Self {
        Self {
            client: Client::new(Arc::new(config), 1),
            now: Instant::ORIGIN,
            rest: Bytes::new(),
            body: None,
            ready: false,
            finished: vec![],
            closed: None,
        }
    }

    /// Polls until there is nothing left. Says when to poll again.
    fn poll(&mut self) -> Option<Instant> {
        loop {
            match self.client.poll(self.now) {
                Step::Idle { deadline } => return deadline,
                Step::Event(Event::Ready) => self.ready = true,
                Step::Event(Event::BodyWanted { body, .. }) => {
                    self.body = Some(body);
                    self.write();
                }
                Step::Event(Event::BodyRoom { .. }) => self.write(),
                Step::Event(Event::Finished { outcomes, .. }) => self.finished.push(outcomes),
                Step::Event(Event::Closed(why)) => self.closed = Some(why),
                Step::Event(_) => {}
            }
        }
    }

    fn write(&mut self) {
        let Some(body) = self.body.take() else { return };
        let taken = self.client.write_shared(&body, &self.rest);
        self.rest.advance(taken);
        if self.rest.is_empty() {
            let _ = self.client.finish(body);
        } else {
            self.body = Some(body);
        }
    }

    fn hear(&mut self, text: &str) {
        assert_eq!(self.client.receive(text.as_bytes()), text.len(), "there is room");
        self.poll();
    }

    /// All output.
    fn output(&mut self) -> Vec<u8> {
        let mut all = vec![];
        while !self.client.output().is_empty() {
            let part = self.client.output().to_vec();
            self.client.sent(part.len());
            all.extend(part);
            self.poll();
        }
        all
    }

    /// All that the client can say without an answer goes to the peer, and all its answers back: a round trip. False if
    /// the client had nothing to say.
    fn round(&mut self, peer: &mut Peer) -> bool {
        self.poll();
        let said = self.output();
        if said.is_empty() {
            return false;
        }
        peer.input.extend(said);
        let replies: String = std::iter::from_fn(|| peer.reply()).map(|reply| reply + "\r\n").collect();
        self.hear(&replies);
        true
    }

    fn greeted(config: Config, peer: &mut Peer) -> Self {
        let mut run = Self::new(config);
        run.hear("220 mx.example\r\n");
        assert!(run.round(peer) && run.ready);
        run
    }

    /// Sends a message; says in how many round trips.
    fn send(&mut self, peer: &mut Peer, envelope: Envelope, message: &[u8]) -> usize {
        self.rest = Bytes::copy_from_slice(message);
        let before = self.finished.len();
        self.client.send(envelope).expect("the server offers what it needs");
        let mut rounds = 0;
        while self.finished.len() == before {
            assert!(self.round(peer), "the client waits for nothing");
            rounds += 1;
        }
        rounds
    }
}

#[test]
fn a_message_takes_two_round_trips_whatever_its_size() {
    for offers in OFFERS {
        for size in [10, 60_000, 500_000] {
            let message = b"0123456789abcdef\r\n".repeat(size / 18 + 1);
            let mut peer = Peer::new(offers);
            let mut run = Run::greeted(config(), &mut peer);
            assert_eq!(run.send(&mut peer, envelope(3), &message), 2, "{offers:?}, {size} octets");
            assert!(run.finished[0].iter().all(Outcome::is_delivered));
            assert!(peer.taken == [message], "octet for octet");
        }
    }
}

#[test]
fn chunks_hold_what_was_configured_and_wait_when_there_are_too_many() {
    let mut peer = Peer::new(&["PIPELINING", "CHUNKING"]);
    let mut config = config();
    config.limits.chunk = 1000;
    config.limits.chunks = 3;
    config.limits.link.output = 1500;
    let mut run = Run::greeted(config, &mut peer);
    run.rest = Bytes::from(b"0123456789abcdef\r\n".repeat(1000));
    let message = run.rest.clone();
    run.client.send(envelope(1)).expect("nothing is needed");
    assert!(run.round(&mut peer));
    let first = run.output();
    let text = String::from_utf8_lossy(&first);
    assert_eq!(text.matches("BDAT ").count(), 3, "no more without an answer");
    assert!(first.len() <= 3 * (1500 + "BDAT 1500\r\n".len()), "{}", first.len());
    peer.input.extend(first);
    while run.finished.is_empty() {
        let replies: String = std::iter::from_fn(|| peer.reply()).map(|reply| reply + "\r\n").collect();
        run.hear(&replies);
        let said = run.output();
        peer.input.extend(said);
    }
    assert!(run.finished[0][0].is_delivered());
    assert!(peer.taken == [message.to_vec()]);
    assert!(peer.chunks >= 12, "{}", peer.chunks);
}

/// Chunk 2 is refused while others are under way: nothing more is sent, RSET follows, and no DATA: the first was taken.
#[test]
fn case_54_second_chunk_refused() {
    let mut peer = Peer::new(&["PIPELINING", "CHUNKING"]);
    peer.refuse = Some((2, "451 4.3.0 Disk"));
    let mut config = config();
    config.limits.chunk = 1000;
    config.limits.chunks = 4;
    config.limits.link.output = 1000;
    let mut run = Run::greeted(config, &mut peer);
    run.send(&mut peer, envelope(2), &b"0123456789abcdef\r\n".repeat(10_000));
    for outcome in &run.finished[0] {
        let Outcome::Refused { at: RefusedAt::Message, reply } = outcome else { panic!("{outcome:?}") };
        assert_eq!(reply.code().number(), 451, "the first refusal, not those of the chunks after it");
    }
    assert!(peer.taken.is_empty() && peer.chunks <= 5, "{} chunks", peer.chunks);
    run.round(&mut peer);
    assert_eq!(peer.verbs.last().map(String::as_str), Some("RSET"));
    assert!(!peer.verbs.iter().any(|verb| verb == "DATA"));
    // The session is of use still.
    peer.refuse = None;
    run.send(&mut peer, envelope(1), b"Hi\r\n");
    assert!(run.finished[1][0].is_delivered());
}

/// What the last chunk is answered counts for nothing if one before it was refused.
#[test]
fn case_54_a_later_chunk_claims_success() {
    let mut run = Run::new(config());
    run.hear("220 mx.example\r\n");
    run.output();
    run.hear("250-mx.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
    run.rest = Bytes::from(vec![b'x'; 100_000]);
    run.client.send(envelope(1)).expect("nothing is needed");
    run.poll();
    run.output();
    run.hear("250 OK\r\n250 OK\r\n");
    let said = run.output();
    assert!(said.len() > 100_000, "all of it is on its way");
    run.hear("452 4.3.1 Disk\r\n250 2.0.0 Taken\r\n");
    assert_eq!(run.finished.len(), 1);
    let Outcome::Refused { at: RefusedAt::Message, reply } = &run.finished[0][0] else { panic!("{:?}", run.finished) };
    assert!(reply.is_transient());
}

/// Ten thousand recipients over a network that holds four KiB each way, to a server that reads a line only when the
/// network took its last reply.
#[test]
fn case_51_ten_thousand_recipients_and_small_buffers() {
    const PIPE: usize = 4096;
    for offers in OFFERS {
        let mut peer = Peer::new(offers);
        let mut run = Run::greeted(config(), &mut peer);
        run.rest = Bytes::from(b"0123456789abcdef\r\n".repeat(20_000));
        run.client.send(envelope(10_000)).expect("nothing is needed");
        let (mut there, mut back): (Vec<u8>, Vec<u8>) = (vec![], vec![]);
        let mut most = 0;
        while run.finished.is_empty() {
            run.poll();
            let mut moved = false;
            let output = run.client.output();
            most = most.max(output.len());
            let n = output.len().min(PIPE - there.len());
            there.extend_from_slice(&output[..n]);
            run.client.sent(n);
            moved |= n > 0;
            if back.is_empty() {
                // It reads what there is, a little at a time.
                let n = there.len().min(512);
                peer.input.extend(there.drain(..n));
                moved |= n > 0;
                if let Some(reply) = peer.reply() {
                    back.extend_from_slice(reply.as_bytes());
                    back.extend_from_slice(b"\r\n");
                    moved = true;
                }
            }
            let n = run.client.receive(&back);
            back.drain(..n);
            moved |= n > 0;
            assert!(moved || !run.finished.is_empty(), "nobody moves: a deadlock");
        }
        assert_eq!(run.finished[0].len(), 10_000);
        assert!(run.finished[0].iter().all(Outcome::is_delivered));
        assert!(most <= 200 * 1024, "the queue stays bounded: {most}");
    }
}

/// The server stops reading for good: the client's time for the next reply ends it.
#[test]
fn case_51_a_server_that_stops_reading() {
    let mut peer = Peer::new(&["PIPELINING"]);
    let mut run = Run::greeted(config(), &mut peer);
    run.client.send(envelope(10_000)).expect("nothing is needed");
    let deadline = run.poll().expect("MAIL has a limit");
    assert_eq!(deadline, Instant::after_origin(Duration::from_secs(300)));
    assert!(run.client.output().len() < 70 * 1024, "the rest waits for room");
    run.now = deadline;
    run.poll();
    assert_eq!(run.closed, Some(Closed::TimedOut));
    assert!(run.finished[0].iter().all(|outcome| *outcome == Outcome::NotSent(NotSent::Ended)));
}

#[test]
fn case_55_limits_divide_a_message() {
    let mut offered = Capabilities::default();
    offered.recipients_max = Some(3);
    let mut plan = Plan::new(envelope(10));
    let mut seen = vec![];
    while let Some(part) = plan.next(&offered) {
        assert!(part.recipients.len() <= 3);
        seen.extend(part.recipients.iter().map(|recipient| recipient.to.as_str().to_owned()));
        plan.finished(vec![Outcome::Unknown; part.recipients.len()]);
    }
    let all: Vec<String> = (0..10).map(|n| format!("user{n}@mx.example")).collect();
    assert_eq!(seen, all, "each once, in order");
    assert_eq!(plan.into_outcomes(), vec![Outcome::Unknown; 10]);
}

/// RFC 5321, 4.5.3.1.10: a server without LIMITS says 452 to those that are too many.
#[test]
fn case_55_too_many_recipients_go_into_another_transaction() {
    let mut peer = Peer::new(&["PIPELINING", "CHUNKING"]);
    peer.most = 4;
    let mut run = Run::greeted(config(), &mut peer);
    let mut plan = Plan::new(envelope(10));
    while let Some(part) = plan.next(run.client.capabilities().expect("it is ready")) {
        run.send(&mut peer, part, b"Hi\r\n");
        plan.finished(run.finished.pop().expect("one message"));
    }
    assert!(plan.into_outcomes().iter().all(Outcome::is_delivered));
    assert_eq!(peer.taken.len(), 3);
    // One who is always too many is not tried for ever.
    let mut plan = Plan::new(envelope(2));
    let too_many =
        || Outcome::Refused { at: RefusedAt::Rcpt, reply: Reply::parse(b"452 4.5.3 No\r\n").expect("a reply") };
    assert!(plan.next(&Capabilities::default()).is_some());
    plan.finished(vec![too_many(), too_many()]);
    assert!(plan.next(&Capabilities::default()).is_none());
    assert_eq!(plan.into_outcomes(), [too_many(), too_many()]);
    // Nor does what was said of one get lost who is not tried again.
    let mut plan = Plan::new(envelope(2));
    assert!(plan.next(&Capabilities::default()).is_some());
    plan.finished(vec![Outcome::Unknown, too_many()]);
    assert_eq!(plan.open(), 1);
    assert_eq!(plan.into_outcomes(), [Outcome::Unknown, too_many()]);
}

#[test]
fn case_55_a_session_takes_so_many_messages() {
    let mut peer = Peer::new(&["LIMITS MAILMAX=1"]);
    let mut run = Run::greeted(config(), &mut peer);
    run.send(&mut peer, envelope(1), b"Hi\r\n");
    let refused = run.client.send(envelope(1));
    assert_eq!(refused, Err(SendError::TooManyTransactions { limit: 1 }));
    assert_eq!(refused.expect_err("just seen").status(), None, "another session will do");
}

#[test]
fn case_52_and_53_have_a_status_for_the_report() {
    let status = |error: SendError| error.status().expect("it is for good").to_string();
    assert_eq!(status(SendError::TooLarge { limit: 1000 }), "5.3.4");
    assert_eq!(status(SendError::NeedsEightBitMime), "5.6.3");
    assert_eq!(status(SendError::NeedsSmtpUtf8), "5.6.7");
    assert_eq!(status(SendError::NeedsRequireTls), "5.7.30");
}

/// The message goes out a little at a time: slow is not dead. Then nothing moves for three minutes.
#[test]
fn case_59_body_block() {
    for offers in OFFERS {
        let mut peer = Peer::new(offers);
        let mut run = Run::greeted(config(), &mut peer);
        run.rest = Bytes::from(b"0123456789abcdef\r\n".repeat(100_000));
        run.client.send(envelope(1)).expect("nothing is needed");
        assert!(run.round(&mut peer), "the envelope");
        assert!(run.body.is_some(), "the message waits for room");
        run.poll();
        for _ in 0..20 {
            run.now = run.now.plus(Duration::from_secs(170));
            let n = run.client.output().len().min(100);
            run.client.sent(n);
            run.poll();
            assert_eq!(run.closed, None, "{offers:?}: it moves");
        }
        run.now = run.now.plus(Duration::from_secs(180));
        run.poll();
        assert_eq!(run.closed, Some(Closed::TimedOut), "{offers:?}");
        assert_eq!(run.finished[0], [Outcome::NotSent(NotSent::Ended)]);
    }
}

/// Ten minutes, and ten seconds for each MiB, from when the last octet went out.
#[test]
fn case_59_the_time_for_the_final_reply_grows_with_the_message() {
    for (mib, seconds) in [(0, 600), (1, 610), (30, 900)] {
        let mut config = config();
        config.chunking = Chunking::WhenNeeded;
        let mut peer = Peer::new(&["PIPELINING"]);
        let mut run = Run::greeted(config, &mut peer);
        run.rest = Bytes::from(vec![b'x'; mib << 20]);
        run.client.send(envelope(1)).expect("nothing is needed");
        assert!(run.round(&mut peer));
        run.poll();
        // It goes out slowly; that does not count.
        while !run.client.output().is_empty() {
            let n = run.client.output().len();
            run.client.sent(n);
            run.now = run.now.plus(Duration::from_secs(10));
            run.poll();
        }
        assert!(run.rest.is_empty());
        let wait = |seconds| Duration::from_secs(seconds);
        let sent = run.now;
        run.now = sent.plus(wait(seconds - 11));
        run.poll();
        assert_eq!(run.closed, None, "{mib} MiB");
        run.now = sent.plus(wait(seconds));
        run.poll();
        assert_eq!(run.closed, Some(Closed::TimedOut), "{mib} MiB");
        assert_eq!(run.finished[0], [Outcome::Unknown]);
    }
}

#[test]
fn case_59_handshake() {
    let mut config = config();
    config.tls = postrider_smtp::client::Tls::Implicit;
    let mut run = Run::new(config);
    assert!(run.client.upgrade().is_some());
    let deadline = run.poll().expect("a handshake has a limit");
    assert_eq!(deadline, Instant::after_origin(Duration::from_secs(300)));
    run.now = deadline;
    run.poll();
    assert_eq!(run.closed, Some(Closed::TimedOut));
}

/// The application's own limit, for everything together.
#[test]
fn case_59_a_deadline_of_the_application_ends_it_whatever_goes_on() {
    let mut peer = Peer::new(&["PIPELINING"]);
    let mut run = Run::greeted(config(), &mut peer);
    run.client.set_deadline(Some(Duration::from_secs(60)));
    run.rest = Bytes::from_static(b"Hi\r\n");
    run.client.send(envelope(1)).expect("nothing is needed");
    assert!(run.round(&mut peer));
    run.poll();
    run.output();
    run.now = run.now.plus(Duration::from_secs(60));
    run.poll();
    assert_eq!(run.closed, Some(Closed::TimedOut));
    assert_eq!(run.finished[0], [Outcome::Unknown], "its end was sent");
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Tap for Seen {
    fn line(&mut self, direction: Direction, line: &[u8], masked: bool) {
        let arrow = if direction == Direction::Out { '>' } else { '<' };
        let mark = if masked { " (masked)" } else { "" };
        let line = format!("{arrow} {}{mark}", line.escape_ascii());
        self.0.lock().expect("no test panics with it").push(line);
    }

    fn octets(&mut self, direction: Direction, count: u64) {
        let arrow = if direction == Direction::Out { '>' } else { '<' };
        self.0.lock().expect("no test panics with it").push(format!("{arrow} {count} octets"));
    }
}

/// A trace can be attached to a session that is going on, and it shows no secrets.
#[test]
fn a_trace_of_a_live_session_shows_no_secrets() {
    let mut run = Run::new(config().dangerous_allow_plaintext_auth());
    run.hear("220 mx.example\r\n");
    run.output();
    run.hear("250-mx.example\r\n250-CHUNKING\r\n250 AUTH PLAIN\r\n");
    let seen = Seen::default();
    run.client.set_tap(Some(Box::new(seen.clone())));
    let plain = Plain::new("alice", &Secret::new("wonderland".into())).expect("sendable");
    run.client.authenticate(Box::new(plain)).expect("it is offered");
    run.output();
    run.hear("235 2.7.0 Hello\x1b[1m\r\n");
    run.rest = Bytes::from_static(b"Hi\r\n");
    run.client.send(envelope(1)).expect("nothing is needed");
    for reply in ["250 OK\r\n", "250 OK\r\n", "250 OK\r\n"] {
        run.poll();
        run.output();
        run.hear(reply);
    }
    assert!(run.finished[0][0].is_delivered());
    let expected = [
        "> AUTH PLAIN *** (masked)",
        "< 235 2.7.0 Hello\\x1b[1m",
        "> MAIL FROM:<a@client.example>",
        "< 250 OK",
        "> RCPT TO:<user0@mx.example>",
        "< 250 OK",
        "> BDAT 4 LAST",
        "> 4 octets",
        "< 250 OK",
    ];
    assert_eq!(*seen.0.lock().expect("no test panics with it"), expected);
}

/// A driver stops at [`Session::is_finished`]: not before the last event was taken.
#[test]
fn a_session_is_not_finished_before_it_has_said_so() {
    let (mut client, body) = invited();
    client.abandon(body);
    while !client.output().is_empty() {
        let octets = client.output().len();
        client.sent(octets);
    }
    assert!(!client.is_finished(), "the end was not reported yet");
    let mut last = None;
    while let Step::Event(event) = client.poll(Instant::ORIGIN) {
        assert!(!client.is_finished() || matches!(event, Event::Closed(_)), "{event:?} is not the last event");
        last = Some(event);
    }
    assert!(matches!(last, Some(Event::Closed(Closed::ByUs))), "{last:?}");
    assert!(client.is_finished());
}

/// A client whose message is invited, by DATA.
fn invited() -> (Client, Pending<ask::Body>) {
    let mut client = Client::new(Arc::new(config()), 1);
    let mut peer = Peer::new(OFFERS[0]);
    let _ = client.receive(b"220 mx.example\r\n");
    loop {
        match client.poll(Instant::ORIGIN) {
            Step::Event(Event::Ready) => {
                client.send(envelope(1)).expect("nothing special is needed");
            }
            Step::Event(Event::BodyWanted { body, .. }) => return (client, body),
            Step::Event(Event::Closed(why)) => panic!("{why:?}"),
            Step::Event(_) => {}
            Step::Idle { .. } => {
                let octets = client.output().len();
                peer.input.extend_from_slice(client.output());
                client.sent(octets);
                while let Some(reply) = peer.reply() {
                    let _ = client.receive(format!("{reply}\r\n").as_bytes());
                }
            }
        }
    }
}
