//! Servers and clients that mean harm, all of them, against our client and our server.

use bytes::Bytes;
use postrider_core::{Closed, Pending, ProtocolError, Secret};
use postrider_sasl::{Attempt, Denied, Identity, MechanismName, Plain};
use postrider_smtp::client::{self, Outcome, RefusedAt};
use postrider_smtp::server::{self, Tls};
use postrider_smtp::{Client, Envelope, HelloName, Mailbox, Server};
use postrider_testkit::evil::{Act, Application, Duel, Pace, Report, Script, Until, smtp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn name(text: &str) -> HelloName {
    HelloName::parse(text).expect("a name")
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("an address")
}

/// The most memory this process had, where the system tells. Whoever holds a flood of a gibioctet is found out by it.
fn assert_memory_is_bounded() {
    const MOST: u64 = 256 << 10;
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < MOST, "the process held {kib} KiB");
}

// ── our client ──

const MESSAGE: &[u8] = b"Subject: tea\r\n\r\n.one\r\n";

/// Sends one message to two recipients, and notes what the client says of it.
#[derive(Default)]
struct Sender {
    message: Bytes,
    /// How much of it is written at once.
    piece: usize,
    body: Option<(Pending<client::ask::Body>, Bytes)>,
    sent: u32,
    /// The end of the message was given to the client, which took it.
    ended: bool,
    outcomes: Vec<Vec<Outcome>>,
    closed: Vec<Closed>,
}

impl Sender {
    fn new(message: &[u8]) -> Self {
        Self { message: Bytes::copy_from_slice(message), piece: usize::MAX, ..Self::default() }
    }

    fn send(&mut self, client: &mut Client) {
        let envelope = Envelope::new(mailbox("a@client.example"))
            .and_to(mailbox("r1@evil.example"))
            .and_to(mailbox("r2@evil.example"));
        match client.send(envelope) {
            Ok(_) => self.sent += 1,
            Err(_) => client.quit(),
        }
    }

    /// What every client must hold to, whatever the server does.
    fn check(&self, script: &Script, report: &Report) {
        let name = script.name();
        assert_eq!(self.closed.len(), 1, "{name}: the end is reported once");
        assert!(self.sent <= 1 && self.outcomes.len() == self.sent as usize, "{name}: a message is finished once");
        for outcome in self.outcomes.iter().flatten() {
            match outcome {
                Outcome::Delivered(reply) => assert!(self.ended && reply.is_done(), "{name}: {outcome:?}"),
                Outcome::Unknown => assert!(self.ended, "{name}: nothing was sent that could be unknown"),
                Outcome::Refused { at: RefusedAt::Message, .. } | Outcome::Refused { .. } => {}
                Outcome::NotSent(_) => assert!(!self.ended, "{name}: its end may have been read"),
            }
        }
        let heard = String::from_utf8_lossy(&report.heard);
        assert!(heard.matches("DATA\r\n").count() <= 1, "{name}: the message went out twice");
        assert!(heard.matches("\r\n.\r\n").count() <= 1, "{name}: the message ended twice");
        if name.contains("STARTTLS") && !name.contains("over TLS") && heard.contains("MAIL") {
            let before = heard.split("MAIL").next().unwrap_or_default();
            assert!(before.contains("STARTTLS\r\nEHLO"), "{name}: mail was sent before TLS: {heard}");
        }
        assert!(report.most_window <= client::Limits::default().link.input, "{name}: {report:?}");
        assert!(report.events < 20_000, "{name}: {} events", report.events);
        // All of its waits one after the other, and the message's.
        assert!(report.after <= Duration::from_secs(3 * 3600), "{name}: it lived for {:?}", report.after);
    }
}

impl Application<Client> for Sender {
    fn on(&mut self, client: &mut Client, event: client::Event) {
        use client::Event;
        assert!(self.closed.is_empty(), "{event:?} comes after the last event");
        match event {
            Event::Ready => {
                let offered = client.capabilities().is_some_and(|offered| offered.auth.contains(&MechanismName::Plain));
                if offered && self.sent == 0 {
                    let plain = Plain::new("alice", &Secret::new("wonderland".into())).expect("sendable");
                    client.authenticate(Box::new(plain)).expect("it is offered");
                } else {
                    self.send(client);
                }
            }
            Event::Authenticated(Ok(())) => self.send(client),
            Event::Authenticated(Err(_)) | Event::TlsRefused(_) => client.quit(),
            Event::BodyWanted { body, .. } => {
                // It may be wanted again, by DATA: then nothing of it was read before.
                self.body = Some((body, self.message.clone()));
                self.ended = false;
            }
            Event::Finished { outcomes, .. } => {
                self.outcomes.push(outcomes);
                client.quit();
            }
            Event::Closed(why) => self.closed.push(why),
            _ => {}
        }
    }

    fn between(&mut self, client: &mut Client) -> bool {
        let Some((body, mut rest)) = self.body.take() else { return false };
        let taken = client.write_shared(&body, &rest.slice(..rest.len().min(self.piece)));
        let _ = rest.split_to(taken);
        if rest.is_empty() {
            self.ended |= client.finish(body).is_ok();
        } else {
            self.body = Some((body, rest));
        }
        taken > 0
    }
}

fn client_for(script: &Script) -> client::Config {
    let mut config = client::Config::new(name("client.example")).dangerous_allow_plaintext_auth();
    if script.name().contains("LMTP") {
        config = client::Config::lmtp(name("client.example"));
    }
    if script.name().contains("STARTTLS") {
        config.tls = client::Tls::Required;
    }
    if script.name().contains("CHUNKING") {
        // The message is three of them.
        config.limits.chunk = MESSAGE.len().div_ceil(3);
    }
    config
}

fn send_to(script: &Script, config: client::Config, message: &[u8]) -> (Sender, Report) {
    let mut sender = Sender::new(message);
    if script.name().contains("CHUNKING") {
        sender.piece = config.limits.chunk;
    }
    let report =
        Duel::new(Client::new(Arc::new(config), 1), script).run(&mut sender).unwrap_or_else(|why| panic!("{why}"));
    (sender, report)
}

#[test]
fn the_client_survives_every_evil_server() {
    let scripts = smtp::evil_servers();
    let mut kinds = BTreeMap::<&str, u32>::new();
    for script in &scripts {
        let (sender, report) = send_to(script, client_for(script), MESSAGE);
        sender.check(script, &report);
        // Whatever is a flood for others is more than a client takes.
        assert!(report.taken < 16 << 20, "{}: {} octets were taken", script.name(), report.taken);
        let kind = match sender.outcomes.first().map(|outcomes| &outcomes[0]) {
            None => "nothing sent",
            Some(Outcome::Delivered(_)) => "delivered",
            Some(Outcome::Refused { .. }) => "refused",
            Some(Outcome::Unknown) => "unknown",
            Some(Outcome::NotSent(_)) => "not sent",
        };
        *kinds.entry(kind).or_default() += 1;
    }
    println!("{} evil servers: {kinds:?}", scripts.len());
    assert!(scripts.len() > 2000 && kinds.len() == 5 && kinds.values().all(|&count| count > 10), "{kinds:?}");
    assert_memory_is_bounded();
}

#[test]
fn the_client_survives_every_evil_server_that_takes_chunks() {
    for script in smtp::evil_chunking_servers() {
        let (sender, report) = send_to(&script, client_for(&script), MESSAGE);
        sender.check(&script, &report);
        assert!(report.taken < 16 << 20, "{}: {} octets were taken", script.name(), report.taken);
        let heard = String::from_utf8_lossy(&report.heard);
        assert!(heard.matches(" LAST\r\n").count() <= 1, "{}: the message ended twice", script.name());
    }
    assert_memory_is_bounded();
}

/// Case 54 and case 45 with chunks: what was taken before does not make a message delivered.
#[test]
fn case_54_a_server_may_change_its_mind_at_any_chunk() {
    let honest = smtp::chunking_server();
    let (sender, _) = send_to(&honest, client_for(&honest), MESSAGE);
    assert!(sender.outcomes[0].iter().all(Outcome::is_delivered), "{:?}", sender.outcomes);
    for chunk in ["chunk 1", "chunk 2", "chunk 3"] {
        for reply in ["452 4.3.1 Full", "554 5.6.0 No"] {
            let script = honest.replying(chunk, reply);
            let (sender, report) = send_to(&script, client_for(&script), MESSAGE);
            let refused =
                |outcome: &Outcome| matches!(outcome, Outcome::Refused { reply: said, .. } if !said.is_done());
            assert!(sender.outcomes[0].iter().all(refused), "{}: {:?}", script.name(), sender.outcomes);
            assert!(!String::from_utf8_lossy(&report.heard).contains("DATA"), "{}: not again", script.name());
        }
        let script = honest.stall_before(chunk);
        let (sender, report) = send_to(&script, client_for(&script), MESSAGE);
        assert_eq!(sender.closed, [Closed::TimedOut], "{}", script.name());
        // With PIPELINING all of it went out: whether it was taken, nobody knows.
        let ended = String::from_utf8_lossy(&report.heard).contains(" LAST\r\n");
        for outcome in &sender.outcomes[0] {
            let right = if ended { *outcome == Outcome::Unknown } else { matches!(outcome, Outcome::NotSent(_)) };
            assert!(right, "{}: {outcome:?}", script.name());
        }
    }
}

#[test]
fn honest_servers_get_the_message_at_any_pace() {
    let honest =
        [smtp::server(&[], 2), smtp::server(&["PIPELINING"], 2), smtp::server_with_tls(2), smtp::server_with_auth(2)];
    for script in honest.iter().flat_map(|honest| [honest.clone(), honest.paced(Pace::Octets)]) {
        let (sender, report) = send_to(&script, client_for(&script), MESSAGE);
        assert!(sender.outcomes[0].iter().all(Outcome::is_delivered), "{}: {:?}", script.name(), sender.outcomes);
        assert_eq!(sender.closed, [Closed::ByUs], "{}", script.name());
        assert_eq!(report.after, Duration::ZERO, "{}", script.name());
    }
}

/// Case 45 at every octet: what the client says of the message is what it can know, not more and not less.
#[test]
fn case_45_cut_at_every_octet_the_outcome_is_what_can_be_known() {
    for honest in [smtp::server(&[], 2), smtp::server(&["PIPELINING"], 2), smtp::lmtp_server(2)] {
        let text: u64 = honest.octets();
        let goodbye = "221 2.0.0 Goodbye\r\n".len() as u64;
        let taken = "250 2.0.0 Taken\r\n".len() as u64;
        let replies = if honest.name().contains("LMTP") { 2 } else { 1 };
        for (octets, script) in honest.cuts().iter().enumerate() {
            let octets = octets as u64;
            let (sender, report) = send_to(script, client_for(script), MESSAGE);
            sender.check(script, &report);
            let Some(outcomes) = sender.outcomes.first() else {
                assert!(octets < text - goodbye - replies * taken, "{}", script.name());
                continue;
            };
            for (index, outcome) in outcomes.iter().enumerate() {
                let word_at = text - goodbye - (replies - 1).saturating_sub(index as u64) * taken;
                let invited = text - goodbye - replies * taken;
                let expected = if octets >= word_at {
                    "delivered"
                } else if octets >= invited {
                    "unknown"
                } else {
                    "not sent"
                };
                let got = match outcome {
                    Outcome::Delivered(_) => "delivered",
                    Outcome::Unknown => "unknown",
                    Outcome::NotSent(_) => "not sent",
                    Outcome::Refused { .. } => "refused",
                };
                assert_eq!(got, expected, "{}, recipient {index}: {outcome:?}", script.name());
            }
        }
    }
}

/// The connection is lost after each octet that the server has read, the message's among them.
#[test]
fn case_45_cut_while_the_message_goes_out_it_is_unknown_or_not_sent() {
    let honest = smtp::server(&["PIPELINING"], 2);
    let (_, whole) = send_to(&honest, client_for(&honest), MESSAGE);
    let mut unknown = 0;
    for script in honest.cuts_hearing(whole.said) {
        let (sender, report) = send_to(&script, client_for(&script), MESSAGE);
        sender.check(&script, &report);
        let end_read = String::from_utf8_lossy(&report.heard).contains("\r\n.\r\n");
        let claims = sender.outcomes.first().map(|outcomes| outcomes[0].clone());
        // If the server may have seen the end, the client never says that the message was not sent.
        assert!(!end_read || !matches!(claims, Some(Outcome::NotSent(_)) | None), "{}: {claims:?}", script.name());
        unknown += u32::from(claims == Some(Outcome::Unknown));
    }
    assert!(unknown > 0);
}

#[test]
fn case_41_nothing_said_before_tls_is_believed_over_it() {
    for script in smtp::injections() {
        let mut config = client_for(&script);
        config.tls = client::Tls::Required;
        for script in [script.clone(), script.paced(Pace::Octets)] {
            let (sender, report) = send_to(&script, config.clone(), MESSAGE);
            sender.check(&script, &report);
            assert_eq!(sender.sent, 0, "{}", script.name());
            assert!(!String::from_utf8_lossy(&report.heard).contains("MAIL"), "{}", script.name());
            let right = match &sender.closed[0] {
                Closed::Tls(_) | Closed::TimedOut | Closed::Eof => true,
                Closed::Protocol(why) => *why == ProtocolError::PlaintextBeforeTls,
                _ => false,
            };
            assert!(right, "{}: {:?}", script.name(), sender.closed);
        }
    }
}

/// Case 59: for each phase a server that stalls in it, and the limit that must end it.
#[test]
fn case_59_each_phase_of_the_client_has_its_own_time() {
    let seconds = Duration::from_secs;
    let limits = || {
        let mut limits = client::Limits::default();
        limits.greeting = seconds(101);
        limits.command = seconds(103);
        limits.handshake = seconds(107);
        limits.mail = seconds(109);
        limits.rcpt = seconds(113);
        limits.data = seconds(127);
        limits.block = seconds(131);
        limits.message = seconds(137);
        limits.message_per_mib = seconds(10);
        limits.quit = seconds(139);
        limits.link.linger = seconds(7);
        limits
    };
    let (plain, piped) = (smtp::server(&[], 2), smtp::server(&["PIPELINING"], 2));
    let (tls, auth, lmtp) = (smtp::server_with_tls(2), smtp::server_with_auth(2), smtp::lmtp_server(2));
    let refused = plain.replying("RCPT 1", "550 5.1.1 No").replying("RCPT 2", "550 5.1.1 No");
    let large = vec![b'a'; 3 << 20].chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect::<Vec<u8>>();
    let unread = plain.adding("DATA", "reads nothing", [Act::GoDeaf]);
    let none: Option<Outcome> = None;
    let phases: Vec<(&str, Script, u64, &[u8])> = vec![
        ("greeting", plain.stall_before("greeting"), 101, MESSAGE),
        ("greeting's second line", plain.instead("greeting", "half", [Act::line("220-evil.example")]), 101, MESSAGE),
        ("EHLO", plain.stall_before("EHLO"), 103, MESSAGE),
        ("LHLO", lmtp.stall_before("LHLO"), 103, MESSAGE),
        ("STARTTLS", tls.stall_before("STARTTLS"), 103, MESSAGE),
        ("handshake", tls.instead("STARTTLS", "no handshake", [Act::line("220 Go on")]), 107, MESSAGE),
        ("EHLO over TLS", tls.stall_before("EHLO over TLS"), 103, MESSAGE),
        ("AUTH", auth.stall_before("AUTH"), 103, MESSAGE),
        ("MAIL", plain.stall_before("MAIL"), 109, MESSAGE),
        ("RCPT, the first", plain.stall_before("RCPT 1"), 113, MESSAGE),
        ("RCPT, the second", piped.stall_before("RCPT 2"), 113, MESSAGE),
        ("RSET", refused.stall_before("DATA"), 103, MESSAGE),
        ("DATA", plain.stall_before("DATA"), 127, MESSAGE),
        ("body", unread, 131 + 7, &large),
        ("final dot", plain.stall_before("message"), 137, MESSAGE),
        ("final dot of 3 MiB", plain.stall_before("message"), 137 + 30, &large),
        ("final dot, over LMTP the second", lmtp.instead("message", "one reply", [Act::line("250 OK")]), 137, MESSAGE),
        ("QUIT", plain.stall_before("QUIT"), 139, MESSAGE),
    ];
    for (phase, script, expected, message) in phases {
        let mut config = client_for(&script);
        config.limits = limits();
        let (sender, report) = send_to(&script, config, message);
        assert_eq!(report.after, seconds(expected), "{phase}");
        let closed = if phase == "QUIT" { Closed::ByUs } else { Closed::TimedOut };
        assert_eq!(sender.closed, [closed], "{phase}");
        let outcome = sender.outcomes.first().map(|outcomes| outcomes.last().expect("two recipients").clone());
        match phase {
            "QUIT" => assert!(outcome.is_some_and(|outcome| outcome.is_delivered()), "{phase}"),
            "RSET" => assert!(matches!(outcome, Some(Outcome::Refused { .. })), "{phase}"),
            _ if phase.starts_with("final dot") => assert_eq!(outcome, Some(Outcome::Unknown), "{phase}"),
            "MAIL" | "RCPT, the first" | "RCPT, the second" | "DATA" | "body" => {
                assert!(matches!(outcome, Some(Outcome::NotSent(_))), "{phase}: {outcome:?}");
            }
            _ => assert_eq!(outcome, none, "{phase}"),
        }
    }
}

/// Case 51: what waits in the client is bounded, and it gives up in the end.
#[test]
fn case_51_a_server_that_reads_nothing_is_not_waited_for() {
    let script = smtp::server(&["PIPELINING"], 1).adding("EHLO", "reads nothing", [Act::GoDeaf]);
    let envelope = || {
        let many = (0..10_000).map(|n| mailbox(&format!("recipient{n}@evil.example")));
        many.fold(Envelope::new(mailbox("a@client.example")), Envelope::and_to)
    };
    let mut closed = None;
    let mut on = |client: &mut Client, event| match event {
        client::Event::Ready => drop(client.send(envelope()).expect("it is ready")),
        client::Event::Closed(why) => closed = Some(why),
        _ => {}
    };
    let config = Arc::new(client::Config::new(name("client.example")));
    let limits = config.limits.clone();
    let queued = Duel::new(Client::new(config.clone(), 1), &script).queued_at_rest(&mut on).expect("it rests");
    assert!((1000..limits.link.output as u64 + 512).contains(&queued), "{queued} octets wait");
    let report = Duel::new(Client::new(config, 1), &script).run(&mut on).expect("it ends");
    assert_eq!((closed, report.after), (Some(Closed::TimedOut), limits.mail + limits.link.linger));
}

// ── our server ──

/// Takes everything, and lets alice log in.
#[derive(Default)]
struct Mx {
    body: Vec<u8>,
    recipients: usize,
    stored: Vec<(Vec<u8>, usize)>,
    in_the_clear: u32,
    closed: Vec<Closed>,
}

impl Mx {
    /// What every server must hold to, whatever the client does.
    fn check(&self, script: &Script, report: &Report) {
        let name = script.name();
        assert_eq!(self.closed.len(), 1, "{name}: the end is reported once");
        assert!(report.most_window <= server::Limits::default().link.input, "{name}: {report:?}");
        let most = server::Limits::default().session + Duration::from_secs(15 * 60);
        assert!(report.after <= most, "{name}: it lived for {:?}", report.after);
        // Added dots do not count as the message's, so half of what comes may be more.
        assert!(
            report.taken <= 2 * (MOST_MESSAGE + MOST_EXCESS) + (1 << 20),
            "{name}: {} octets were taken",
            report.taken
        );
        for line in report.heard.split_inclusive(|&octet| octet == b'\n').filter(|line| line.ends_with(b"\n")) {
            assert!(line.ends_with(b"\r\n") && line.len() <= 514, "{name}: {}", line.escape_ascii());
            assert!(line.len() >= 6 && matches!(line[3], b' ' | b'-'), "{name}: {}", line.escape_ascii());
        }
    }
}

impl Application<Server> for Mx {
    fn on(&mut self, server: &mut Server, event: server::Event) {
        use server::Event;
        assert!(self.closed.is_empty(), "{event:?} comes after the last event");
        let answered = match event {
            Event::Auth { answer, attempt: Attempt::Password { user, password, .. } } => {
                let right = user == "alice" && password.matches("wonderland");
                server.answer(answer, if right { Ok(Identity::new(user)) } else { Err(Denied::Credentials.into()) })
            }
            Event::Mail { answer, .. } => {
                self.in_the_clear += u32::from(!server.security().is_tls());
                server.accept(answer)
            }
            Event::Rcpt { answer, .. } => {
                self.recipients += 1;
                server.accept(answer)
            }
            Event::Data { answer } => server.accept(answer),
            Event::Body(octets) => {
                // What floods is looked at, not kept.
                if self.body.len() < 1 << 20 {
                    self.body.extend_from_slice(&octets);
                }
                Ok(())
            }
            Event::Message { answer, .. } => {
                self.stored.push((std::mem::take(&mut self.body), std::mem::take(&mut self.recipients)));
                server.accept(answer)
            }
            Event::Reset => {
                self.body.clear();
                self.recipients = 0;
                Ok(())
            }
            Event::Closed(why) => {
                self.closed.push(why);
                Ok(())
            }
            other => {
                server.decline(other);
                Ok(())
            }
        };
        answered.expect("the question was just asked");
    }
}

/// Less than by default, for the tests' time.
const MOST_MESSAGE: u64 = 1 << 20;
const MOST_EXCESS: u64 = 2 << 20;

fn server_for(script: &Script) -> server::Config {
    let mut config = server::Config::new(name("mx.example")).dangerous_allow_plaintext_auth();
    config.auth = vec![MechanismName::Plain, MechanismName::Login];
    config.limits.message = MOST_MESSAGE;
    config.limits.message_excess = MOST_EXCESS;
    config.chunking = script.name().contains("chunks");
    config.tls = if script.name().contains("STARTTLS") { Tls::Required } else { Tls::Offered };
    config
}

fn serve(script: &Script, config: server::Config) -> (Mx, Report) {
    let mut mx = Mx::default();
    let report = Duel::new(Server::new(Arc::new(config), 1), script).run(&mut mx).unwrap_or_else(|why| panic!("{why}"));
    (mx, report)
}

/// What the honest clients send, without the dots that were added.
const RECEIVED: &[u8] = b"Subject: tea\r\n\r\n.one\r\ntwo\r\n";

#[test]
fn the_server_survives_every_evil_client() {
    let scripts = smtp::evil_clients();
    let mut stored = 0;
    for script in &scripts {
        for tls in [Tls::Offered, Tls::Required] {
            let mut config = server_for(script);
            config.tls = tls;
            let (mx, report) = serve(script, config);
            mx.check(script, &report);
            assert!(tls != Tls::Required || mx.in_the_clear == 0, "{}: mail in the clear", script.name());
            stored += mx.stored.len();
        }
    }
    println!("{} evil clients, {stored} messages taken", scripts.len());
    assert!(scripts.len() > 1500 && stored > 100);
    assert_memory_is_bounded();
}

#[test]
fn the_server_survives_every_evil_client_that_sends_chunks() {
    for script in smtp::evil_chunking_clients() {
        let (mx, report) = serve(&script, server_for(&script));
        mx.check(&script, &report);
        for (message, _) in &mx.stored {
            // Nothing but what was said to be the message's: no command, and no part of another chunk.
            assert!(!message.starts_with(b"BDAT"), "{}: {}", script.name(), message.escape_ascii());
        }
    }
    assert_memory_is_bounded();
}

/// Case 28 with chunks at every octet: a message is taken if and only if its last chunk was read whole.
#[test]
fn case_28_cut_at_every_octet_of_its_chunks_a_message_is_taken_only_whole() {
    let honest = smtp::chunking_client();
    let end = honest.octets() - "QUIT\r\n".len() as u64;
    for pace in [Pace::Whole, Pace::Octets] {
        for (octets, script) in honest.paced(pace).cuts().iter().enumerate() {
            let (mx, report) = serve(script, server_for(script));
            mx.check(script, &report);
            let expected = if octets as u64 >= end { vec![(RECEIVED.to_vec(), 1)] } else { vec![] };
            assert_eq!(mx.stored, expected, "{}", script.name());
        }
    }
}

/// What each of them comes to: messages taken, and how the session ends.
#[test]
fn evil_chunks_end_as_they_should() {
    let scripts = smtp::evil_chunking_clients();
    let fare = |what: &str| {
        let named = |script: &&Script| script.name().ends_with(&format!("at chunk 1: {what}"));
        let script = scripts.iter().find(named).unwrap_or_else(|| panic!("there is {what}"));
        let (mx, report) = serve(script, server_for(script));
        (mx.stored.len(), mx.closed[0].clone(), report.after)
    };
    let limits = server::Limits::default();
    for (what, after) in [("a chunk that stalls", limits.block), ("an octet each 50 s", limits.rate_window)] {
        assert_eq!(fare(what), (0, Closed::TimedOut, after), "{what}");
    }
    for what in ["a chunk of an octet each 50 s", "an empty chunk each 50 s"] {
        let after = Duration::from_secs(50) + limits.rate_window;
        assert_eq!(fare(what), (0, Closed::TimedOut, after), "{what}");
    }
    for what in ["a chunk that is cut", "a chunk that ends its half"] {
        assert_eq!(fare(what), (0, Closed::Eof, Duration::ZERO), "{what}");
    }
    for what in
        ["a chunk of all there is", "a chunk of a gibioctet", "empty chunks for ever", "chunks of an octet for ever"]
    {
        let (stored, closed, after) = fare(what);
        assert_eq!((stored, after), (0, Duration::ZERO), "{what}");
        assert!(matches!(closed, Closed::Protocol(ProtocolError::TooMuch { .. })), "{what}: {closed:?}");
    }
    let (stored, closed, _) = fare("last chunks for ever");
    assert!(stored == 1 && matches!(closed, Closed::Protocol(_)), "{stored}: {closed:?}");
    assert_eq!(fare("the last chunk twice").0, 1, "the second belongs to no message");
}

#[test]
fn lmtp_survives_every_evil_client_too() {
    let lmtp = || {
        let mut config = server_for(&smtp::client(1));
        config.role = server::Role::Lmtp;
        config
    };
    let honest = smtp::lmtp_client(2);
    let mut scripts = honest.misdeeds();
    scripts.extend(honest.lies(&smtp::NONSENSE));
    scripts.extend(honest.floods(&smtp::client_floods()));
    for script in &scripts {
        let (mx, report) = serve(script, lmtp());
        mx.check(script, &report);
    }
    let (mx, _) = serve(&honest, lmtp());
    assert_eq!((mx.stored, mx.closed), (vec![(RECEIVED.to_vec(), 2)], vec![Closed::ByPeer]));
}

/// Case 28 at every octet: a message is taken if and only if its end was read.
#[test]
fn case_28_cut_at_every_octet_a_message_is_taken_only_whole() {
    for honest in [smtp::client(2), smtp::pipelining_client(2)] {
        let end = honest.octets() - "QUIT\r\n".len() as u64;
        for pace in [Pace::Whole, Pace::Octets] {
            for (octets, script) in honest.paced(pace).cuts().iter().enumerate() {
                let (mx, report) = serve(script, server_for(script));
                mx.check(script, &report);
                let expected = if octets as u64 >= end { vec![(RECEIVED.to_vec(), 2)] } else { vec![] };
                assert_eq!(mx.stored, expected, "{}", script.name());
                let whole = octets as u64 == honest.octets();
                assert_eq!(mx.closed, [if whole { Closed::ByPeer } else { Closed::Eof }], "{}", script.name());
            }
        }
    }
}

/// Case 29: whoever closes its half after the message still deserves its reply.
#[test]
fn case_29_a_half_closed_client_gets_its_replies() {
    for script in smtp::client(1).half_closes() {
        let (mx, report) = serve(&script, server_for(&script));
        mx.check(&script, &report);
        assert_eq!(report.after, Duration::ZERO, "{}: nobody is waited for", script.name());
    }
    let script = smtp::client(1).adding("message", "closes its half", [Act::HalfClose]);
    let (mx, report) = serve(&script, server_for(&script));
    assert_eq!(mx.stored.len(), 1);
    assert!(String::from_utf8_lossy(&report.heard).contains("\r\n354 "));
    assert!(String::from_utf8_lossy(&report.heard).contains("\r\n250 2.0.0 Taken\r\n"), "{report:?}");
}

#[test]
fn case_06_nothing_said_before_tls_is_obeyed_over_it() {
    for script in smtp::before_tls() {
        for script in [script.clone(), script.paced(Pace::Octets)] {
            let mut config = server_for(&script);
            config.tls = Tls::Offered;
            let (mx, report) = serve(&script, config);
            mx.check(&script, &report);
            assert!(mx.stored.is_empty() && mx.in_the_clear == 0, "{}", script.name());
            let heard = String::from_utf8_lossy(&report.heard);
            assert!(heard.ends_with("220 2.0.0 Ready for TLS\r\n"), "{}: {heard}", script.name());
        }
    }
}

#[test]
fn case_30_floods_end_after_their_limits() {
    let honest = smtp::client(1);
    let flood = |turn: &str, line: &'static [u8]| {
        honest.instead(turn, "floods", [Act::flood(line, 100_000)]).called(String::from_utf8_lossy(line))
    };
    let limits = server::Limits::default();
    let (idle, hellos) = (limits.idle_commands as usize, limits.hellos as usize);
    // What floods, the reply to what is too much, and how many of them are told yes before.
    let cases = [
        (flood("MAIL", b"NOOP\r\n"), "421 4.7.0 Too much", idle, "250 2.0.0 OK"),
        (flood("MAIL", b"RSET\r\n"), "421 4.7.0 Too much", idle, "250 2.0.0 Forgotten"),
        (flood("MAIL", b"VRFY a\r\n"), "421 4.7.0 Too much", idle, "252 2.5.0"),
        (flood("EHLO", b"EHLO a\r\n"), "421 4.7.0 Too much", hellos, "250-mx.example"),
        (flood("RCPT 1", b"RCPT TO:<a@b>\r\n"), "421 4.7.0 Too much", limits.recipients, "250 2.1.5"),
        (flood("MAIL", b"what?\r\n"), "421 4.7.0 Too many errors", limits.errors_hard as usize + 1, "500 5.5.1"),
    ];
    for (script, last, times, told) in cases {
        let (mx, report) = serve(&script, server_for(&script));
        let heard = String::from_utf8_lossy(&report.heard);
        assert!(heard.contains(last) || report.said > 64 << 10, "{}: {heard}", script.name());
        assert_eq!(heard.matches(told).count(), times, "{}", script.name());
        assert!(matches!(mx.closed[0], Closed::Protocol(_)), "{}: {:?}", script.name(), mx.closed);
    }
    // RFC 5321, 4.5.3.1.10: 452 to each that is one too many, and 421 in the end.
    let script = flood("RCPT 1", b"RCPT TO:<a@b>\r\n");
    let (_, report) = serve(&script, server_for(&script));
    let heard = String::from_utf8_lossy(&report.heard);
    assert!(heard.contains("250 2.1.5 Recipient OK\r\n452 4.5.3 Too many recipients\r\n452 "), "{heard}");
}

#[test]
fn case_31_slow_clients_are_not_waited_for() {
    let limits = server::Limits::default();
    let slow = Duration::from_secs(50);
    // In commands: the client says a whole command within the time for one, so the session's own time ends it.
    let (mx, report) = serve(&smtp::client(1).paced(Pace::Slow(slow)), server_for(&smtp::client(1)));
    assert_eq!(mx.closed, [Closed::TimedOut]);
    assert!(report.after <= limits.session + limits.command, "{:?}", report.after);
    // In a message: 64 octets in 5 min are asked for.
    let drip: Vec<Act> = (0..1000).flat_map(|_| [Act::Wait(slow), Act::Say(Bytes::from_static(b"a"))]).collect();
    let script = smtp::client(1).instead("message", "an octet each 50 s", drip);
    let (mx, report) = serve(&script, server_for(&script));
    assert_eq!((mx.closed, report.after), (vec![Closed::TimedOut], limits.rate_window));
}

/// Case 32: a client that says NOOP after NOOP and reads nothing stops the server, which holds a bounded output.
#[test]
fn case_32_a_client_that_reads_nothing_stops_the_server() {
    let help = Act::flood(b"RCPT TO:<a@b>\r\n", 100_000);
    let script = smtp::client(1).instead("RCPT 1", "reads nothing", [Act::GoDeaf, help]);
    let mut config = server_for(&script);
    config.limits.recipients = 1_000_000;
    config.limits.link.output = 4096;
    let config = Arc::new(config);
    let queued =
        Duel::new(Server::new(config.clone(), 1), &script).queued_at_rest(&mut Mx::default()).expect("it rests");
    assert!((4096..4096 + 512).contains(&queued), "{queued} octets wait");
    let mut mx = Mx::default();
    let report = Duel::new(Server::new(config.clone(), 1), &script).run(&mut mx).expect("it ends");
    assert_eq!(mx.closed, [Closed::TimedOut]);
    assert_eq!(report.after, config.limits.command + config.limits.link.linger);
    let most = config.limits.link.input + 4096;
    assert!(report.taken < most as u64 + 4096, "{} octets were taken", report.taken);
}

#[test]
fn case_39_strangers_are_shown_the_door() {
    for script in postrider_testkit::evil::strangers::clients() {
        let (mx, report) = serve(&script, server_for(&script));
        mx.check(&script, &report);
        assert!(mx.stored.is_empty(), "{}", script.name());
        if ["HTTP", "TLS", "SSH"].iter().any(|name| script.name().starts_with(&format!("a client that speaks {name}")))
        {
            assert_eq!((report.after, mx.in_the_clear), (Duration::ZERO, 0), "{}", script.name());
            assert!(matches!(mx.closed[0], Closed::Protocol(_)), "{}: {:?}", script.name(), mx.closed);
        }
    }
}

#[test]
fn each_phase_of_the_server_has_its_own_time() {
    let seconds = Duration::from_secs;
    let (plain, tls, auth) = (smtp::client(1), smtp::client_with_tls(), smtp::client_with_auth());
    let busy = Script::new("begins transactions")
        .turn("EHLO", Until::Reply, [Act::line("EHLO evil.example")])
        .turn("MAIL", Until::Reply, [Act::Wait(seconds(50)), Act::line("MAIL FROM:<>"), Act::line("RSET")])
        .times(1000);
    let phases = [
        ("EHLO", plain.stall_before("EHLO"), 101),
        ("half a command", plain.instead("EHLO", "half", [Act::Say(Bytes::from_static(b"EHLO evil"))]), 101),
        ("MAIL", plain.stall_before("MAIL"), 101),
        ("RCPT", plain.stall_before("RCPT 1"), 101),
        ("DATA", plain.stall_before("DATA"), 101),
        ("next transaction", plain.stall_before("QUIT"), 101),
        ("handshake", tls.stall_before("TLS"), 101),
        ("EHLO over TLS", tls.stall_before("EHLO over TLS"), 101),
        ("AUTH's user", auth.stall_before("user"), 101),
        ("AUTH's password", auth.stall_before("password"), 101),
        ("message", plain.stall_before("message"), 103),
        ("half a message", plain.instead("message", "half", [Act::Say(Bytes::from_static(b"A: b\r\n."))]), 103),
        ("session", busy, 1009),
    ];
    for (phase, script, expected) in phases {
        let mut config = server_for(&script);
        config.limits.command = seconds(101);
        config.limits.block = seconds(103);
        config.limits.rate = 0;
        config.limits.session = seconds(1009);
        let (mx, report) = serve(&script, config);
        assert_eq!((mx.closed, report.after), (vec![Closed::TimedOut], seconds(expected)), "{phase}");
        if phase != "handshake" {
            assert!(String::from_utf8_lossy(&report.heard).contains("421 4.4.2 "), "{phase}");
        }
    }
}

// ── over sockets ──

#[tokio::test]
async fn over_a_socket_evil_servers_are_as_evil() {
    use postrider_testkit::evil::Listening;
    let honest = smtp::server(&["PIPELINING"], 1);
    let scripts = [
        honest.cut_after(40),
        honest.replying("EHLO", "421 4.3.2 Going down"),
        honest.instead("EHLO", "a flood", [Act::flood(b"250-X\r\n", 1 << 40)]),
        honest.instead("greeting", "a long line", [Act::flood(b"220 text ", 1 << 40)]),
        honest.adding("EHLO", "closes its half", [Act::HalfClose]),
    ];
    for script in scripts {
        let listening = Listening::new(script.clone()).expect("a port");
        let stream = tokio::net::TcpStream::connect(listening.address()).await.expect("it listens");
        let config = Arc::new(client::Config::new(name("client.example")));
        let mut driver = postrider_io::tokio::Driver::new(Client::new(config, 1), stream, postrider_io::Tls::None);
        let mut sender = Sender::new(MESSAGE);
        while let Some(event) = driver.next().await {
            sender.on(driver.session(), event);
            sender.between(driver.session());
        }
        assert_eq!(sender.closed.len(), 1, "{}", script.name());
        assert!(!sender.ended, "{}", script.name());
    }
}
