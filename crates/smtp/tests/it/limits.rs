//! Every limit by its name: the last that is allowed, and the first that is not.

use postrider_core::{Closed, Instant, Machine, ProtocolError, Session, Step};
use postrider_sasl::{Denied, Identity, MechanismName};
use postrider_smtp::server::{self, Config, ConnectionLimits, Connections, Event, Tls, TooManyConnections};
use postrider_smtp::{Client, Server, client};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(1);

fn config() -> Config {
    Config::new("mx.example".parse().expect("a name"))
}

fn limits() -> server::Limits {
    server::Limits::default()
}

/// A server, and a client that says what it is told to.
struct Rig {
    server: Server,
    now: Instant,
    /// Whether logins succeed.
    knows: bool,
    /// Whether questions are answered at all.
    answers: bool,
    taken: usize,
    closed: Option<Closed>,
}

impl Rig {
    /// Connected, and greeted if that is not delayed.
    fn new(config: Config) -> Self {
        let server = Server::new(Arc::new(config), 1);
        let mut rig = Self { server, now: Instant::ORIGIN, knows: false, answers: true, taken: 0, closed: None };
        rig.run();
        rig
    }

    fn greeted(config: Config) -> Self {
        let mut rig = Self::new(config);
        assert!(rig.say("EHLO c.example\r\n").starts_with("250-"));
        rig
    }

    /// With a message invited.
    fn invited(config: Config) -> Self {
        let mut rig = Self::greeted(config);
        assert_eq!(codes(&rig.say(&[ENVELOPE, "DATA\r\n"].concat())), [250, 250, 354]);
        rig
    }

    fn run(&mut self) -> String {
        let mut said = vec![];
        loop {
            let step = self.server.poll(self.now);
            let server = &mut self.server;
            let octets = server.output().len();
            said.extend_from_slice(server.output());
            server.sent(octets);
            let answered = match step {
                Step::Idle { .. } if octets == 0 => break,
                Step::Idle { .. } => Ok(()),
                Step::Event(event) if !self.answers => {
                    drop(event);
                    Ok(())
                }
                Step::Event(Event::Mail { answer, .. }) => server.accept(answer),
                Step::Event(Event::Rcpt { answer, .. }) => server.accept(answer),
                Step::Event(Event::Data { answer }) => server.accept(answer),
                Step::Event(Event::Message { answer, .. }) => {
                    self.taken += 1;
                    server.accept(answer)
                }
                Step::Event(Event::Auth { answer, .. }) if self.knows => server.answer(answer, Ok(Identity::new("a"))),
                Step::Event(Event::Auth { answer, .. }) => server.refuse(answer, Denied::Credentials.into()),
                Step::Event(Event::Body(_) | Event::Reset) => Ok(()),
                Step::Event(Event::Closed(why)) => {
                    self.closed = Some(why);
                    Ok(())
                }
                Step::Event(other) => panic!("{other:?}"),
            };
            answered.expect("it was just asked");
        }
        String::from_utf8(said).expect("ASCII")
    }

    fn say(&mut self, text: &str) -> String {
        let (mut rest, mut said) = (text.as_bytes(), String::new());
        while !rest.is_empty() && self.closed.is_none() {
            let taken = self.server.receive(rest);
            rest = &rest[taken..];
            said += &self.run();
        }
        said
    }

    fn wait(&mut self, time: Duration) -> String {
        self.now = self.now.plus(time);
        self.run()
    }

    fn is_over_too_much(&self) -> bool {
        matches!(self.closed, Some(Closed::Protocol(ProtocolError::TooMuch { .. })))
    }
}

const ENVELOPE: &str = "MAIL FROM:<a@c.example>\r\nRCPT TO:<x@mx.example>\r\n";

fn codes(said: &str) -> Vec<u16> {
    let last = |line: &&str| line.as_bytes().get(3) != Some(&b'-');
    said.lines().filter(last).map(|line| line[..3].parse().expect("a reply code")).collect()
}

#[test]
fn limits_have_the_defaults_that_are_documented() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let server = limits();
    assert_eq!((server.command_line, server.auth_line, server.line_excess), (2048, 12_288, 1 << 20));
    assert_eq!((server.text_line_policy + 2, server.text_line), (1000, 64 << 10));
    assert_eq!((server.recipients, server.recipients_excess, server.recipient_domains), (1000, 1000, None));
    assert_eq!((server.transactions, server.message, server.message_excess), (100, 50 << 20, 64 << 20));
    assert_eq!((server.chunks, server.header, server.hops, server.proxy_header), (65_536, 256 << 10, 50, 4096));
    assert_eq!((server.errors_soft, server.errors_hard, server.error_delay), (10, 20, Duration::from_secs(1)));
    assert_eq!((server.idle_commands, server.hellos), (20, 5));
    assert_eq!((server.auth_failures, server.auth_rounds), (3, 10));
    assert_eq!((server.greeting_delay, server.command, server.block), (Duration::ZERO, minutes(5), minutes(3)));
    assert_eq!((server.rate, server.rate_window, server.refused), (64, minutes(5), 1000));
    assert_eq!(server.newline, Duration::from_secs(1));
    assert_eq!((server.decision, server.session), (minutes(5), minutes(60)));
    assert_eq!((server.link.input, server.link.output), (64 << 10, 64 << 10));
    assert_eq!(server.link.linger, Duration::from_secs(30));
    let connections = ConnectionLimits::default();
    assert_eq!((connections.total, connections.per_address), (1000, 20));
    let client = client::Limits::default();
    assert_eq!((client.reply_line, client.reply_lines, client.reply_octets), (2048, 128, 64 << 10));
    assert_eq!((client.auth_rounds, client.auth_line, client.chunk, client.chunks), (10, 510, 64 << 10, 32));
    assert_eq!((client.greeting, client.command, client.handshake), (minutes(5), minutes(5), minutes(5)));
    assert_eq!((client.mail, client.rcpt, client.data), (minutes(5), minutes(5), minutes(2)));
    assert_eq!((client.block, client.message, client.quit), (minutes(3), minutes(10), Duration::from_secs(30)));
    assert_eq!(client.message_per_mib, Duration::from_secs(10));
}

// ── lines ──

//= 5321-4.5.3.1.4-1
#[test]
fn limit_command_line() {
    let mut rig = Rig::greeted(config());
    let line = |octets: usize| format!("NOOP {}\r\n", "a".repeat(octets - 5));
    assert_eq!(codes(&rig.say(&line(2048))), [250]);
    assert!(rig.say(&line(2049)).starts_with("500 5.5.2 "));
    assert_eq!(codes(&rig.say("NOOP\r\n")), [250], "the session goes on");
}

//= 4954-4-13
#[test]
fn limit_auth_line() {
    let mut config = config().dangerous_allow_plaintext_auth();
    config.auth = vec![MechanismName::XOAuth2, MechanismName::Plain];
    let login = |octets: usize, config: &Config| {
        let mut rig = Rig::greeted(config.clone());
        rig.knows = true;
        let line = format!("AUTH PLAIN {}", "A".repeat((octets - 11) / 4 * 4));
        rig.say(&format!("{line}{}\r\n", " ".repeat(octets - line.len())))
    };
    // What is said is no login, but that is found out only once it is read.
    assert!(!login(12_288, &config).starts_with("500"), "{}", login(12_288, &config));
    assert!(login(12_289, &config).starts_with("500 5.5."), "{}", login(12_289, &config));
    let respond = |octets: usize| {
        let mut rig = Rig::greeted(config.clone());
        assert_eq!(codes(&rig.say("AUTH PLAIN\r\n")), [334]);
        rig.say(&format!("{}\r\n", "A".repeat(octets)))
    };
    assert!(!respond(12_288).starts_with("500"), "{}", respond(12_288));
    assert!(respond(12_289).starts_with("500 5.5.6 "), "{}", respond(12_289));
}

#[test]
fn limit_line_excess() {
    let mut rig = Rig::greeted(config());
    assert_eq!(codes(&rig.say(&"a".repeat(1 << 20))), [500]);
    assert_eq!(codes(&rig.say("\r\nNOOP\r\n")), [250], "the next line is found");
    assert_eq!(codes(&rig.say(&"a".repeat((1 << 20) + 1))), [500, 421]);
    assert!(rig.is_over_too_much());
}

fn lines_of(octets: usize, config: &Config) -> [Vec<u16>; 2] {
    let text = format!("A: b\r\n\r\n{}\r\n", "a".repeat(octets));
    let data = Rig::invited(config.clone()).say(&format!("{text}.\r\n"));
    let mut rig = Rig::greeted(config.clone());
    let chunk = rig.say(&format!("{ENVELOPE}BDAT {} LAST\r\n{text}", text.len()));
    [codes(&data), codes(&chunk)[2..].to_vec()]
}

//= 5321-4.5.3.1.6-1
#[test]
fn limit_text_line() {
    let mut config = config();
    config.chunking = true;
    assert_eq!(lines_of(64 << 10, &config), [[250], [250]]);
    assert_eq!(lines_of((64 << 10) + 1, &config), [[554], [554]]);
}

//= 5321-4.5.3.1.6-1
#[test]
fn limit_text_line_policy() {
    let mut config = config();
    config.chunking = true;
    assert_eq!(lines_of(999, &config), [[250], [250]], "long lines are taken by default");
    config.long_lines = false;
    assert_eq!(lines_of(998, &config), [[250], [250]], "1,000 octets with CRLF");
    assert_eq!(lines_of(999, &config), [[554], [554]]);
}

// ── counts ──

//= 5321-4.5.3.1.8-1, 5321-4.5.3.1.8-2, 5321-4.5.3.1.10-1
#[test]
fn limit_recipients() {
    let mut rig = Rig::greeted(config());
    rig.say("MAIL FROM:<a@c.example>\r\n");
    let rcpt = "RCPT TO:<x@mx.example>\r\n";
    assert_eq!(codes(&rig.say(&rcpt.repeat(1000))), [250; 1000]);
    assert!(rig.say(rcpt).starts_with("452 4.5.3 "));
    assert_eq!(codes(&rig.say(&rcpt.repeat(999))), [452; 999], "the last that is excused");
    assert_eq!(codes(&rig.say(rcpt)), [421]);
    assert!(rig.is_over_too_much());
}

#[test]
fn limit_recipient_domains() {
    let mut config = config();
    config.undecided = 4;
    config.limits.recipient_domains = Some(2);
    let mut rig = Rig::new(config);
    assert!(rig.say("EHLO c.example\r\n").contains("LIMITS RCPTMAX=1000 MAILMAX=100 RCPTDOMAINMAX=2\r\n"));
    let rcpt = |to: &str| format!("RCPT TO:<{to}>\r\n");
    let group = ["MAIL FROM:<>\r\n", &rcpt("x@a.example"), &rcpt("x@B.example"), &rcpt("y@b.example")].concat();
    assert_eq!(codes(&rig.say(&group)), [250, 250, 250, 250]);
    assert!(rig.say(&rcpt("x@c.example")).starts_with("452 4.5.3 Too many domains"));
    assert!(rig.say(&rcpt("x@[192.0.2.1]")).starts_with("452 4.5.3 "));
    assert_eq!(codes(&rig.say(&[rcpt("z@A.EXAMPLE"), rcpt("postmaster")].concat())), [250, 250]);
    // RFC 9422, 4.3: within a session.
    let next = ["RSET\r\nMAIL FROM:<>\r\n", &rcpt("x@c.example"), &rcpt("x@b.example")].concat();
    assert_eq!(codes(&rig.say(&next)), [250, 250, 452, 250]);
}

#[test]
fn limits_that_have_no_syntax_are_not_announced() {
    let mut config = config();
    (config.limits.recipients, config.limits.transactions) = (1_000_000, 999_999);
    config.limits.recipient_domains = Some(0);
    let mut rig = Rig::new(config);
    assert!(rig.say("EHLO c.example\r\n").contains("LIMITS MAILMAX=999999\r\n"));
}

#[test]
fn limit_transactions() {
    let mut rig = Rig::greeted(config());
    for _ in 0..100 {
        assert_eq!(codes(&rig.say("MAIL FROM:<>\r\nRSET\r\n")), [250, 250]);
    }
    assert_eq!(codes(&rig.say("MAIL FROM:<>\r\n")), [421]);
    assert!(rig.is_over_too_much());
}

#[test]
fn limit_errors_soft() {
    let mut rig = Rig::greeted(config());
    for _ in 0..10 {
        assert_eq!(codes(&rig.say("FOO\r\nNOOP\r\n")), [500, 250], "at once");
    }
    assert_eq!(codes(&rig.say("FOO\r\nNOOP\r\n")), [500], "the eleventh has a price");
    assert_eq!(rig.wait(Duration::from_secs(1) - MOMENT), "");
    assert_eq!(codes(&rig.wait(MOMENT)), [250]);
}

#[test]
fn limit_errors_hard() {
    let mut config = config();
    config.limits.error_delay = Duration::ZERO;
    let mut rig = Rig::greeted(config);
    assert_eq!(codes(&rig.say(&"FOO\r\n".repeat(20))), [500; 20]);
    assert_eq!((codes(&rig.say("NOOP\r\n")), &rig.closed), (vec![250], &None));
    assert_eq!(codes(&rig.say("FOO\r\n")), [500, 421]);
    assert_eq!(rig.closed, Some(Closed::Protocol(ProtocolError::TooManyErrors { limit: 20 })));
}

#[test]
fn limit_idle_commands() {
    for (command, code) in
        [("NOOP\r\n", 250), ("RSET\r\n", 250), ("VRFY a\r\n", 252), ("EXPN a\r\n", 502), ("HELP\r\n", 214)]
    {
        let mut rig = Rig::greeted(config());
        assert_eq!(codes(&rig.say(&command.repeat(20))), [code; 20], "{command}");
        assert_eq!(codes(&rig.say("MAIL FROM:<>\r\n")), [250]);
        assert_eq!(codes(&rig.say(&command.repeat(20))), [code; 20], "a transaction counts anew");
        assert_eq!(codes(&rig.say(command)), [421], "{command}");
        assert!(rig.is_over_too_much());
    }
}

//= 4954-9-1
#[test]
fn limit_auth_failures() {
    let mut config = config().dangerous_allow_plaintext_auth();
    config.auth = vec![MechanismName::Plain];
    config.limits.error_delay = Duration::ZERO;
    let login = "AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\r\n";
    let mut rig = Rig::greeted(config.clone());
    assert_eq!(codes(&rig.say(&login.repeat(2))), [535, 535]);
    rig.knows = true;
    assert_eq!(codes(&rig.say(login)), [235], "the third is still looked at");
    let mut rig = Rig::greeted(config);
    assert_eq!(codes(&rig.say(&login.repeat(4))), [535, 535, 535, 421], "there is no fourth");
    assert!(rig.is_over_too_much());
}

#[test]
fn limit_auth_rounds() {
    let mut config = config().dangerous_allow_plaintext_auth();
    config.auth = vec![MechanismName::Login];
    let mut login = |rounds: u32| {
        config.limits.auth_rounds = rounds;
        let mut rig = Rig::greeted(config.clone());
        rig.knows = true;
        codes(&[rig.say("AUTH LOGIN\r\n"), rig.say("YWxpY2U=\r\n"), rig.say("YQ==\r\n")].concat())
    };
    assert_eq!(login(2), [334, 334, 235]);
    assert_eq!(login(1)[..2], [334, 500]);
}

#[test]
fn limit_hellos() {
    let mut rig = Rig::new(config());
    for verb in ["EHLO", "HELO", "EHLO", "EHLO", "EHLO"] {
        assert_eq!(codes(&rig.say(&format!("{verb} c.example\r\n"))), [250]);
    }
    assert_eq!(codes(&rig.say("EHLO c.example\r\n")), [421]);
    assert!(rig.is_over_too_much());
}

// ── messages ──

//= 5321-4.5.3.1.7-1, 5321-4.5.3.1.7-2
#[test]
fn limit_message() {
    let mut config = config();
    config.chunking = true;
    config.limits.message = 100;
    let send = |octets: usize| {
        let text = format!("A: b\r\n\r\n{}\r\n", "a".repeat(octets - 10));
        let data = Rig::invited(config.clone()).say(&format!("{text}.\r\n"));
        let mut rig = Rig::greeted(config.clone());
        let (one, two) = text.split_at(50);
        let chunks = rig.say(&format!("{ENVELOPE}BDAT 50\r\n{one}BDAT {} LAST\r\n{two}", two.len()));
        let announced = Rig::greeted(config.clone()).say(&format!("MAIL FROM:<a@c.example> SIZE={octets}\r\n"));
        [codes(&data), codes(&chunks)[3..].to_vec(), codes(&announced)]
    };
    assert_eq!(send(100), [[250], [250], [250]]);
    assert_eq!(send(101), [[552], [552], [552]]);
}

#[test]
fn limit_message_excess() {
    let mut config = config();
    (config.limits.message, config.limits.message_excess) = (100, 100);
    let mut rig = Rig::invited(config.clone());
    assert_eq!(rig.say(&format!("{}\r\n", "a".repeat(198))), "");
    assert_eq!(codes(&rig.say(".\r\nNOOP\r\n")), [552, 250], "read to its end");
    let mut rig = Rig::invited(config);
    assert_eq!(codes(&rig.say(&format!("{}\r\n", "a".repeat(199)))), [552], "not waited for");
    assert!(rig.is_over_too_much());
}

#[test]
fn limit_chunks() {
    let mut config = config();
    config.chunking = true;
    let mut rig = Rig::greeted(config);
    rig.say(ENVELOPE);
    let said = rig.say(&"BDAT 0\r\n".repeat(65_536));
    assert!(codes(&said).len() == 65_536 && codes(&said).iter().all(|&code| code == 250));
    assert_eq!(codes(&rig.say("BDAT 0 LAST\r\n")), [421]);
    assert!(rig.is_over_too_much());
}

#[test]
fn limit_header() {
    // All its lines, and the empty one after it.
    let header = |octets: usize| {
        let text = format!("{}{}\r\n\r\nbody\r\n.\r\n", "A: b\r\n".repeat(43_000), "a".repeat(octets - 258_004));
        codes(&Rig::invited(config()).say(&text))
    };
    assert_eq!(header(256 << 10), [250]);
    assert_eq!(header((256 << 10) + 1), [552]);
}

//= 5321-6.3-2
#[test]
fn limit_hops() {
    let hops = |n: usize| Rig::invited(config()).say(&format!("{}\r\nbody\r\n.\r\n", "Received: by x\r\n".repeat(n)));
    assert_eq!(codes(&hops(50)), [250]);
    assert!(hops(51).starts_with("554 5.4.6 "));
}

// ── times ──

#[test]
fn limit_greeting_delay() {
    assert_eq!(Rig::new(config()).say("NOOP\r\n"), "250 2.0.0 OK\r\n", "no delay by default");
    let mut config = config();
    config.limits.greeting_delay = Duration::from_secs(5);
    let mut early = Rig::new(config.clone());
    assert_eq!(early.wait(Duration::from_secs(5) - MOMENT), "");
    assert!(early.say("EHLO c.example\r\n").starts_with("554 5.5.1 "));
    let mut patient = Rig::new(config);
    assert!(patient.wait(Duration::from_secs(5)).starts_with("220 "));
    assert_eq!(codes(&patient.say("EHLO c.example\r\n")), [250]);
}

//= 5321-4.5.3.2.7-1
#[test]
fn limit_command() {
    let time = limits().command;
    let mut rig = Rig::greeted(config());
    assert_eq!(rig.say("NO"), "");
    assert_eq!(rig.wait(time - MOMENT), "");
    assert_eq!(codes(&rig.say("OP\r\n")), [250]);
    assert_eq!(rig.say("NO"), "");
    assert!(rig.wait(time).starts_with("421 4.4.2 "));
    assert_eq!(rig.closed, Some(Closed::TimedOut));
}

#[test]
fn limit_newline() {
    let time = limits().newline;
    let mut rig = Rig::greeted(config());
    assert_eq!(rig.say("NOOP\n"), "");
    assert_eq!(rig.wait(time - MOMENT), "");
    assert_eq!(codes(&rig.wait(MOMENT)), [500]);
    assert_eq!(rig.wait(time * 2), "", "once");
    assert_eq!(codes(&rig.say("NOOP\r\n")), [250], "the next line is another one");
    // The rest came in time: one line, one reply, and no time is left over from it.
    assert_eq!(rig.say("NO\nOP"), "");
    assert_eq!(rig.wait(time - MOMENT), "");
    assert_eq!(codes(&rig.say("\r\nNO")), [500]);
    assert_eq!(rig.wait(time * 2), "");
    assert_eq!(codes(&rig.say("OP\r\n")), [250]);
}

#[test]
fn limit_command_is_for_the_handshake_too() {
    let mut config = config();
    config.tls = Tls::Implicit;
    let time = config.limits.command;
    let mut rig = Rig::new(config);
    assert!(rig.server.upgrade().is_some());
    rig.wait(time - MOMENT);
    assert_eq!(rig.closed, None);
    rig.wait(MOMENT);
    assert_eq!(rig.closed, Some(Closed::TimedOut));
}

#[test]
fn limit_block() {
    let mut config = config();
    config.chunking = true;
    config.limits.rate = 0;
    let time = config.limits.block;
    let mut chunked = Rig::greeted(config.clone());
    chunked.say(&format!("{ENVELOPE}BDAT 1000\r\n"));
    for mut rig in [Rig::invited(config), chunked] {
        assert_eq!(rig.wait(time - MOMENT), "");
        assert_eq!(rig.say("a"), "");
        assert_eq!(rig.wait(time - MOMENT), "");
        assert!(rig.wait(MOMENT).starts_with("421 4.4.2 "));
        assert_eq!(rig.closed, Some(Closed::TimedOut));
    }
}

#[test]
fn limit_rate() {
    let mut config = config();
    config.chunking = true;
    let window = config.limits.rate_window;
    let one_chunk = |config: &Config| {
        let mut rig = Rig::greeted(config.clone());
        rig.say(&format!("{ENVELOPE}BDAT 1000\r\n"));
        rig
    };
    let many = |config: &Config| {
        let mut rig = Rig::greeted(config.clone());
        rig.say(&format!("{ENVELOPE}BDAT 0\r\n"));
        rig
    };
    // Octet by octet: within DATA, within a chunk, and in as many chunks.
    for (how, mut rig, unit) in [
        ("DATA", Rig::invited(config.clone()), "a"),
        ("a chunk", one_chunk(&config), "a"),
        ("chunks", many(&config), "BDAT 1\r\na"),
    ] {
        for _ in 0..64 {
            rig.say(unit);
        }
        // Silence alone is not too slow, as long as others allow it.
        rig.wait(window / 2);
        rig.say(unit);
        rig.wait(window / 2);
        assert_eq!(rig.closed, None, "{how}: that was just enough");
        let started = rig.now;
        for sixtieth in 1..=60 {
            // 60 in a window.
            rig.wait(window / 60);
            assert!(rig.closed.is_none() || sixtieth == 60, "{how}: {sixtieth}");
            rig.say(unit);
        }
        assert_eq!((rig.closed, rig.now), (Some(Closed::TimedOut), started.plus(window)), "{how}");
        assert_eq!(rig.taken, 0);
    }
}

/// While the application thinks, nothing is asked of the client; and what it does between messages has no rate.
#[test]
fn limit_rate_is_for_messages_alone() {
    let mut config = config();
    config.chunking = true;
    let mut rig = Rig::greeted(config);
    assert_eq!(codes(&rig.say(&format!("{ENVELOPE}BDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\n"))), [250, 250, 250, 250]);
    rig.wait(Duration::from_secs(120));
    assert_eq!(codes(&rig.say(&format!("{ENVELOPE}BDAT 3\r\na\r\nRSET\r\n"))), [250, 250, 250, 250]);
    rig.wait(Duration::from_secs(120));
    assert_eq!((codes(&rig.say("NOOP\r\n")), rig.closed, rig.taken), (vec![250], None, 1));
}

#[test]
fn limit_decision() {
    let time = limits().decision;
    let mut rig = Rig::greeted(config());
    rig.answers = false;
    assert_eq!(rig.say("MAIL FROM:<a@c.example>\r\n"), "");
    assert_eq!(rig.wait(time - MOMENT), "");
    assert_eq!(codes(&rig.wait(MOMENT)), [451]);
}

#[test]
fn limit_session() {
    let hour = limits().session;
    let mut config = config();
    config.limits.rate = 0;
    // In the midst of a message nothing is taken any more; between two commands as well.
    let mut within = Rig::invited(config.clone());
    let mut between = Rig::greeted(config);
    for _ in 0..29 {
        within.wait(Duration::from_secs(120));
        assert_eq!(within.say("a"), "");
    }
    for _ in 0..14 {
        between.wait(Duration::from_secs(240));
        assert_eq!(codes(&between.say("NOOP\r\n")), [250]);
    }
    for rig in [&mut within, &mut between] {
        let left = hour - rig.now.elapsed();
        assert_eq!(rig.wait(left - MOMENT), "");
        assert_eq!(rig.closed, None);
        assert!(rig.wait(MOMENT).starts_with("421 4.4.2 The session has lasted too long"));
        assert_eq!((&rig.closed, rig.taken), (&Some(Closed::TimedOut), 0));
    }
}

// ── connections and buffers ──

#[test]
fn limit_connections_per_address() {
    let mut connections = Connections::default();
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    for _ in 0..20 {
        connections.open(address).expect("one of 20");
    }
    assert_eq!(connections.open(address), Err(TooManyConnections::FromAddress { limit: 20 }));
    connections.open(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))).expect("another address");
    connections.close(address);
    connections.open(address).expect("one of 20");
}

#[test]
fn limit_connections() {
    let mut connections = Connections::default();
    let address = |n: u32| IpAddr::V4(Ipv4Addr::from(0xC000_0200 + n));
    for n in 0..1000 {
        connections.open(address(n)).expect("one of 1,000");
    }
    assert_eq!(connections.open(address(1000)), Err(TooManyConnections::InAll { limit: 1000 }));
}

#[test]
fn limit_input() {
    let mut server = Server::new(Arc::new(config()), 1);
    assert_eq!(server.receive(&[b'a'; 70_000]), 64 << 10);
    assert_eq!((server.window(), server.receive(b"a")), (0, 0));
}

/// Replies that nobody reads: a command is run as long as they are below the limit, and none after.
//= 2920-3.2-9
#[test]
fn limit_output() {
    let mut config = config();
    config.limits.errors_hard = u32::MAX;
    config.limits.error_delay = Duration::ZERO;
    let mut server = Server::new(Arc::new(config), 1);
    let most = limits().link.output;
    let mut before = 0;
    loop {
        let _ = server.receive(b"FOO\r\n");
        assert!(matches!(server.poll(Instant::ORIGIN), Step::Idle { .. }), "nothing is asked");
        let queued = server.output().len();
        if queued == before {
            break;
        }
        assert!(before < most, "no command is run above the limit");
        before = queued;
    }
    assert!((most..most + 512).contains(&before), "{before} octets wait");
    server.sent(before - most + 1);
    assert!(matches!(server.poll(Instant::ORIGIN), Step::Idle { .. }));
    assert!(server.output().len() > most - 1, "one octet below, the next command is run");
}

#[test]
fn limit_linger() {
    let mut server = Server::new(Arc::new(config()), 1);
    let _ = server.receive(b"QUIT\r\n");
    while let Step::Event(_) = server.poll(Instant::ORIGIN) {}
    let end = Instant::ORIGIN.plus(limits().link.linger);
    for now in [Instant::ORIGIN, Instant::after_origin(limits().link.linger - MOMENT)] {
        assert!(matches!(server.poll(now), Step::Idle { deadline } if deadline == Some(end)));
        assert!(!server.is_finished() && !server.output().is_empty(), "its goodbye may still be read");
    }
    assert!(matches!(server.poll(end), Step::Idle { deadline: None }));
    assert!(server.is_finished());
}

// ── the client ──

/// How a session ends in which the server says this.
fn client_hears(said: &[u8]) -> Option<Closed> {
    let config = client::Config::new("client.example".parse().expect("a name"));
    let mut client = Client::new(Arc::new(config), 1);
    let (mut rest, mut closed) = (said, None);
    loop {
        while let Step::Event(event) = client.poll(Instant::ORIGIN) {
            if let client::Event::Closed(why) = event {
                closed = Some(why);
            }
        }
        client.sent(client.output().len());
        let taken = client.receive(rest);
        rest = &rest[taken..];
        if taken == 0 {
            return closed;
        }
    }
}

//= 5321-4.5.3.1.5-1
#[test]
fn limit_reply_line() {
    let line = |octets: usize| format!("220 {}\r\n", "a".repeat(octets - 4));
    assert_eq!(client_hears(line(2048).as_bytes()), None);
    assert!(matches!(client_hears(line(2049).as_bytes()), Some(Closed::Protocol(_))));
    let endless = "220 ".to_owned() + &"a".repeat(2046);
    assert_eq!(client_hears(&endless.as_bytes()[..2049]), None, "its last octet may be CR");
    assert!(matches!(client_hears(endless.as_bytes()), Some(Closed::Protocol(_))), "found out before its end");
}

#[test]
fn limit_reply_lines() {
    let reply = |lines: usize| format!("220 mx.example\r\n{}250 X\r\n", "250-X\r\n".repeat(lines - 1));
    assert_eq!(client_hears(reply(128).as_bytes()), None);
    assert!(matches!(client_hears(reply(129).as_bytes()), Some(Closed::Protocol(_))));
    let endless = format!("220 mx.example\r\n{}", "250-X\r\n".repeat(129));
    assert!(matches!(client_hears(endless.as_bytes()), Some(Closed::Protocol(_))), "found out before its end");
}

#[test]
fn limit_reply_octets() {
    // What counts is what is kept: the text of all lines, and a sign between two.
    let reply = |octets: usize| {
        let line = format!("250-{}\r\n", "a".repeat(1023));
        format!("220 mx.example\r\n{}250 {}\r\n", line.repeat(63), "a".repeat(octets - 63 * 1024))
    };
    assert_eq!(client_hears(reply(64 << 10).as_bytes()), None);
    assert!(matches!(client_hears(reply((64 << 10) + 1).as_bytes()), Some(Closed::Protocol(_))));
}
