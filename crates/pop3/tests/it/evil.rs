//! Servers and clients that mean harm, all of them, against our client and our server.

use bytes::Bytes;
use postrider_core::{Closed, Pending, ProtocolError, Secret};
use postrider_pop3::client::{self, Client, CommandId};
use postrider_pop3::server::{self, Server, ask};
use postrider_pop3::{MessageMeta, UniqueId};
use postrider_sasl::{Attempt, Denied, MechanismName, Plain};
use postrider_testkit::evil::{Act, Application, Duel, Pace, Report, Script, pop3};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The most memory this process had, where the system tells. Whoever holds a flood of a gibioctet is found out by it.
fn assert_memory_is_bounded() {
    const MOST: u64 = 256 << 10;
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < MOST, "the process held {kib} KiB");
}

// ── our client ──

/// Logs in, asks for everything there is, deletes a message and says goodbye.
#[derive(Default)]
struct Reader {
    wants_tls: bool,
    begun: bool,
    quits: bool,
    commands: BTreeMap<CommandId, &'static str>,
    /// Those that were answered yes.
    done: Vec<&'static str>,
    body: Vec<u8>,
    octets: u64,
    lines: u64,
    closed: Vec<Closed>,
}

impl Reader {
    fn begin(&mut self, client: &mut Client) {
        if self.wants_tls && !client.security().is_tls() {
            match client.start_tls() {
                Ok(id) => drop(self.commands.insert(id, "STLS")),
                Err(_) => self.quit(client),
            }
            return;
        }
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let offers_auth = client.capabilities().is_some_and(|offered| offered.sasl.contains(&MechanismName::Plain));
        let password = Secret::new("wonderland".to_owned());
        let login = if offers_auth {
            client.authenticate(Box::new(Plain::new("alice", &password).expect("it can be sent")))
        } else {
            client.login("alice", password)
        };
        match login {
            Ok(id) => drop(self.commands.insert(id, "login")),
            Err(_) => self.quit(client),
        }
    }

    fn work(&mut self, client: &mut Client) {
        for name in pop3::COMMANDS {
            let id = match name {
                "STAT" => client.status(),
                "LIST" => client.list(None),
                "UIDL" => client.unique_ids(None),
                "RETR 1" => client.retrieve(1),
                "TOP 1 0" => client.top(1, 0),
                "DELE 1" => client.delete(1),
                _ => {
                    self.quits = true;
                    client.quit()
                }
            };
            self.commands.insert(id.expect("somebody has logged in"), name);
        }
    }

    fn quit(&mut self, client: &mut Client) {
        if let Ok(id) = client.quit() {
            self.commands.insert(id, "QUIT");
        }
    }

    /// What every client must hold to, whatever the server does.
    fn check(&self, script: &Script, report: &Report) {
        let name = script.name();
        assert_eq!(self.closed.len(), 1, "{name}: the end is reported once");
        let heard = String::from_utf8_lossy(&report.heard);
        assert!(heard.matches("QUIT\r\n").count() <= 1, "{name}: {heard}");
        if self.wants_tls {
            let in_the_clear = heard.split("STLS\r\n").next().unwrap_or_default();
            assert!(!in_the_clear.contains("PASS") && !in_the_clear.contains("USER"), "{name}: {heard}");
        }
        assert!(report.most_window <= client::Limits::default().link.input, "{name}: {report:?}");
        assert!(report.after <= Duration::from_secs(3600), "{name}: it lived for {:?}", report.after);
        assert!(self.octets <= MOST_MESSAGE + (64 << 10) && self.lines <= 2 * MOST_LINES, "{name}");
        assert!(report.taken <= 2 * MOST_MESSAGE + (4 << 20), "{name}: {} octets were taken", report.taken);
    }
}

/// Less than by default, for the tests' time.
const MOST_MESSAGE: u64 = 8 << 20;
const MOST_LINES: u64 = 10_000;

impl Application<Client> for Reader {
    fn on(&mut self, client: &mut Client, event: client::Event) {
        use client::Event;
        assert!(self.closed.is_empty(), "{event:?} comes after the last event");
        match event {
            Event::Ready => self.begin(client),
            Event::Completed { of, result } => {
                let name = self.commands[&of];
                match (name, result.is_ok()) {
                    ("login", true) => self.work(client),
                    ("login", false) | ("STLS", false) => self.quit(client),
                    (_, _) => {}
                }
                if result.is_ok() {
                    self.done.push(name);
                }
            }
            Event::Body { of, bytes } => {
                self.octets += bytes.len() as u64;
                if self.commands[&of] == "RETR 1" && self.body.len() < 1000 {
                    self.body.extend_from_slice(&bytes);
                }
            }
            Event::Listing { sizes, .. } => self.lines += sizes.len() as u64,
            Event::UniqueIds { ids, .. } => self.lines += ids.len() as u64,
            Event::Closed(why) => self.closed.push(why),
            _ => {}
        }
    }
}

fn read_from(script: &Script) -> (Reader, Report) {
    read(script, script.name().contains("STLS"))
}

fn read(script: &Script, wants_tls: bool) -> (Reader, Report) {
    let mut config = client::Config::default();
    config.dangerous_plaintext_login = !wants_tls;
    config.limits.message = MOST_MESSAGE;
    config.limits.listing = MOST_LINES;
    let mut reader = Reader { wants_tls, ..Reader::default() };
    let report =
        Duel::new(Client::new(Arc::new(config), 1), script).run(&mut reader).unwrap_or_else(|why| panic!("{why}"));
    (reader, report)
}

#[test]
fn the_client_survives_every_evil_server() {
    let scripts = pop3::evil_servers();
    let (mut done, mut quit) = (0, 0);
    for script in &scripts {
        let (reader, report) = read_from(script);
        reader.check(script, &report);
        done += usize::from(reader.done.contains(&"RETR 1"));
        quit += usize::from(reader.done.contains(&"QUIT"));
    }
    println!("{} evil servers; {done} gave the message, {quit} said goodbye", scripts.len());
    assert!(scripts.len() > 1000 && done > 100 && quit > 20);
    assert_memory_is_bounded();
}

#[test]
fn honest_servers_give_the_message_at_any_pace() {
    let honest = [pop3::server(&["UIDL"]), pop3::server(&["UIDL", "PIPELINING"]), pop3::server_with_tls()];
    for script in honest.iter().flat_map(|honest| [honest.clone(), honest.paced(Pace::Octets)]) {
        let (reader, report) = read_from(&script);
        assert_eq!(reader.done.last(), Some(&"QUIT"), "{}: {:?}", script.name(), reader.done);
        assert_eq!(reader.body, b"A: b\r\n\r\n.c\r\n", "{}", script.name());
        assert_eq!((reader.closed, report.after), (vec![Closed::ByUs], Duration::ZERO), "{}", script.name());
    }
}

/// A message whose end has not come is not complete, wherever the connection is lost.
#[test]
fn cut_at_every_octet_nothing_is_complete_that_is_not() {
    for honest in [pop3::server(&["UIDL"]), pop3::server(&["UIDL", "PIPELINING"])] {
        let mut complete = 0;
        for script in honest.cuts() {
            let (reader, report) = read_from(&script);
            reader.check(&script, &report);
            let whole: &[u8] = b"A: b\r\n\r\n.c\r\n";
            let is_complete = reader.done.contains(&"RETR 1");
            assert!(whole.starts_with(&reader.body), "{}: {}", script.name(), reader.body.escape_ascii());
            assert!(!is_complete || reader.body == whole, "{}", script.name());
            complete += u32::from(is_complete);
        }
        // With the last octet of the message, and all those after it: TOP, DELE, QUIT.
        let after = "+OK\r\nA: b\r\n\r\n.\r\n+OK\r\n+OK goodbye\r\n".len() as u32;
        assert_eq!(complete, after + 1);
    }
}

/// A client that was lost before it said QUIT has deleted nothing.
#[test]
fn lost_after_every_octet_it_says_quit_is_said_last_or_not_at_all() {
    let honest = pop3::server(&["UIDL"]);
    let (_, whole) = read_from(&honest);
    for script in honest.cuts_hearing(whole.said) {
        let (reader, report) = read_from(&script);
        reader.check(&script, &report);
        let heard = String::from_utf8_lossy(&report.heard);
        let after = heard.split_once("QUIT").map_or("", |(_, after)| after);
        assert!("\r\n".starts_with(after), "{}: {heard}", script.name());
        assert!(!reader.done.contains(&"QUIT"), "{}: nobody said yes to it", script.name());
    }
}

#[test]
fn nothing_said_before_tls_is_believed_over_it() {
    for script in pop3::injections() {
        for script in [script.clone(), script.paced(Pace::Octets)] {
            let (reader, report) = read(&script, true);
            reader.check(&script, &report);
            let heard = String::from_utf8_lossy(&report.heard);
            assert!(!reader.begun && !heard.contains("USER") && !heard.contains("AUTH"), "{}: {heard}", script.name());
            let right = match &reader.closed[0] {
                Closed::Tls(_) | Closed::TimedOut | Closed::Eof => true,
                Closed::Protocol(why) => *why == ProtocolError::PlaintextBeforeTls,
                // It says goodbye when TLS is refused.
                Closed::ByUs => script.name().contains("refuses"),
                _ => false,
            };
            assert!(right, "{}: {:?}", script.name(), reader.closed);
        }
    }
}

/// For each turn of a server, what the client does when nothing more comes: it gives up after its time.
#[test]
fn each_phase_of_the_client_has_its_time() {
    let reply = client::Limits::default().reply;
    for honest in [pop3::server(&["UIDL"]), pop3::server(&["UIDL", "PIPELINING"]), pop3::server_with_tls()] {
        for script in honest.stalls() {
            let (reader, report) = read_from(&script);
            assert_eq!((reader.closed, report.after), (vec![Closed::TimedOut], reply), "{}", script.name());
        }
    }
    let honest = pop3::server(&["UIDL"]);
    let halves = [
        honest.instead("greeting", "half", [Act::Say(Bytes::from_static(b"+OK rea"))]),
        honest.instead("CAPA", "half", [Act::line("+OK\r\nUIDL")]),
        honest.instead("LIST", "half", [Act::line("+OK\r\n1 12")]),
        honest.instead("RETR", "half", [Act::line("+OK\r\nhalf a message")]),
        honest.instead("RETR", "half its end", [Act::Say(Bytes::from_static(b"+OK\r\nhalf a message\r\n.\r"))]),
        pop3::server_with_tls().instead("STLS", "no handshake", [Act::line("+OK")]),
    ];
    for script in halves {
        let (reader, report) = read_from(&script);
        assert_eq!((reader.closed, report.after), (vec![Closed::TimedOut], reply), "{}", script.name());
        assert!(!reader.done.contains(&"RETR 1"), "{}", script.name());
    }
    // Each octet in time, and yet for hours: a limit for the whole is the application's to set.
    let script = honest.paced(Pace::Slow(Duration::from_secs(50)));
    let (reader, report) = read_from(&script);
    assert_eq!(reader.closed, [Closed::TimedOut], "a line has its time, however it comes");
    assert!(report.after <= Duration::from_secs(3600), "{:?}", report.after);
}

// ── our server ──

/// A maildrop of two messages, of alice's.
#[derive(Default)]
struct Maildrop {
    sending: Option<(Pending<ask::Retrieve>, Bytes)>,
    opened: u32,
    in_the_clear: u32,
    deleted: Vec<Vec<u32>>,
    closed: Vec<Closed>,
}

const MESSAGES: [&[u8]; 2] = [b"A: b\r\n\r\n.c\r\n", b"\r\n"];

impl Maildrop {
    /// What every server must hold to, whatever the client does.
    fn check(&self, script: &Script, report: &Report) {
        let name = script.name();
        assert_eq!(self.closed.len(), 1, "{name}: the end is reported once");
        assert!(self.deleted.len() <= 1 && self.opened <= 1, "{name}");
        assert!(report.most_window <= server::Limits::default().link.input, "{name}: {report:?}");
        assert!(report.taken <= 4 << 20, "{name}: {} octets were taken", report.taken);
        for line in report.heard.split_inclusive(|&octet| octet == b'\n').filter(|line| line.ends_with(b"\n")) {
            assert!(line.ends_with(b"\r\n") && line.len() <= 512, "{name}: {}", line.escape_ascii());
        }
    }
}

impl Application<Server> for Maildrop {
    fn on(&mut self, server: &mut Server, event: server::Event) {
        use server::Event;
        assert!(self.closed.is_empty(), "{event:?} comes after the last event");
        match event {
            Event::Open { answer, attempt: Attempt::Password { user, password, .. }, .. } => {
                self.in_the_clear += u32::from(!server.security().is_tls());
                let right = user == "alice" && password.matches("wonderland");
                self.opened += u32::from(right);
                let meta = |(n, message): (usize, &&[u8])| {
                    let id = UniqueId::new(&format!("id{n}")).expect("it is printable");
                    MessageMeta::new(message.len() as u64, id)
                };
                let maildrop = MESSAGES.iter().enumerate().map(meta).collect();
                let answered =
                    server.answer(answer, if right { Ok(maildrop) } else { Err(Denied::Credentials.into()) });
                answered.expect("it was just asked");
            }
            Event::Retrieve { answer, message, .. } => {
                self.sending = Some((answer, Bytes::from_static(MESSAGES[message as usize - 1])));
            }
            Event::Commit { answer, delete } => {
                self.deleted.push(delete);
                server.accept(answer).expect("it was just asked");
            }
            Event::Closed(why) => self.closed.push(why),
            other => server.decline(other),
        }
    }

    fn between(&mut self, server: &mut Server) -> bool {
        let Some((question, octets)) = &mut self.sending else { return false };
        let taken = server.write(question, octets);
        let _ = octets.split_to(taken);
        if octets.is_empty() {
            let (question, _) = self.sending.take().expect("it was just seen to be there");
            // Too late is no harm: the session is over then.
            let _ = server.accept(question);
            return true;
        }
        taken > 0
    }
}

fn server_for(plaintext: bool) -> server::Config {
    let mut config = server::Config::default();
    config.stls = true;
    config.dangerous_plaintext_login = plaintext;
    config
}

fn serve(script: &Script, config: server::Config) -> (Maildrop, Report) {
    let mut maildrop = Maildrop::default();
    let server = Server::new(Arc::new(config), 1);
    let report = Duel::new(server, script).run(&mut maildrop).unwrap_or_else(|why| panic!("{why}"));
    (maildrop, report)
}

#[test]
fn the_server_survives_every_evil_client() {
    let scripts = pop3::evil_clients();
    let (mut opened, mut deleted) = (0, 0);
    for script in &scripts {
        for plaintext in [true, false] {
            let (maildrop, report) = serve(script, server_for(plaintext));
            maildrop.check(script, &report);
            assert!(plaintext || maildrop.in_the_clear == 0, "{}: a login in the clear", script.name());
            opened += maildrop.opened;
            deleted += maildrop.deleted.len();
        }
    }
    println!("{} evil clients; {opened} opened the maildrop, {deleted} deleted from it", scripts.len());
    assert!(scripts.len() > 700 && opened > 200 && deleted > 50);
    assert_memory_is_bounded();
}

/// What was deleted is gone if and only if QUIT was read.
#[test]
fn cut_at_every_octet_only_quit_deletes() {
    for honest in [pop3::client(), pop3::pipelining_client()] {
        for pace in [Pace::Whole, Pace::Octets] {
            for (octets, script) in honest.paced(pace).cuts().iter().enumerate() {
                let (maildrop, report) = serve(script, server_for(true));
                maildrop.check(script, &report);
                let whole = octets as u64 == honest.octets();
                let expected = if whole { vec![vec![1]] } else { vec![] };
                assert_eq!(maildrop.deleted, expected, "{}", script.name());
                let closed = if whole { Closed::ByPeer } else { Closed::Eof };
                assert_eq!(maildrop.closed, [closed], "{}", script.name());
            }
        }
    }
}

#[test]
fn nothing_said_before_tls_is_obeyed_over_it() {
    for script in pop3::before_tls() {
        for script in [script.clone(), script.paced(Pace::Octets)] {
            let (maildrop, report) = serve(&script, server_for(false));
            maildrop.check(&script, &report);
            assert!(maildrop.opened == 0 && maildrop.deleted.is_empty(), "{}", script.name());
            let heard = String::from_utf8_lossy(&report.heard);
            let last = heard.trim_end().rsplit("\r\n").next();
            assert!(matches!(last, Some("+OK begin TLS" | "+OK POP3 server ready")), "{}: {heard}", script.name());
        }
    }
}

#[test]
fn each_phase_of_the_server_has_its_time() {
    let idle = server::Limits::default().idle;
    for honest in [pop3::client(), pop3::client_with_tls()] {
        for script in honest.stalls() {
            let (maildrop, report) = serve(&script, server_for(true));
            assert_eq!((maildrop.closed, report.after), (vec![Closed::TimedOut], idle), "{}", script.name());
            assert!(maildrop.deleted.is_empty(), "{}", script.name());
        }
    }
}

/// A client that asks for message after message and reads nothing stops the server, which holds a bounded output.
#[test]
fn a_client_that_reads_nothing_stops_the_server() {
    let honest = pop3::client();
    for what in [&b"RETR 1\r\n"[..], b"LIST\r\n", b"CAPA\r\n", b"NOOP\r\n", b"TOP 1 0\r\n"] {
        let script = honest.instead("STAT", "reads nothing", [Act::GoDeaf, Act::flood(what, 100_000)]);
        let config = || {
            let mut config = server_for(true);
            config.limits.link.output = 4096;
            Arc::new(config)
        };
        let limits = config().limits.clone();
        let duel = || Duel::new(Server::new(config(), 1), &script);
        let queued = duel().queued_at_rest(&mut Maildrop::default()).expect("it rests");
        assert!((4096..4096 + 1024).contains(&queued), "{queued} octets wait");
        let mut maildrop = Maildrop::default();
        let report = duel().run(&mut maildrop).expect("it ends");
        assert_eq!(maildrop.closed, [Closed::TimedOut]);
        assert_eq!(report.after, limits.idle + limits.link.linger);
        assert!(report.taken < limits.link.input as u64 + 8192, "{} octets were taken", report.taken);
    }
}
