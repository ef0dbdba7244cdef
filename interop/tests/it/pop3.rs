//! POP3: other people's clients with our server; who may delete what, and when; a gigabyte in flat memory.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use postrider_interop::messages::Message;
use postrider_interop::pop3_clients::{self, Pop3Client, Then, mpop_with, peak_memory, poplib_file, poplib_script};
use postrider_interop::wire::Wire;
use postrider_interop::{
    Authority, Dovecot, Endpoint, Options, PASSWORD, Place, Postriderd, Process, Security, clients, maildir, postrider,
    postrider_running, until,
};

use crate::{ALICE, BOB, CAROL, LIMIT, LONG, SECRET, ours};

/// Where mail comes in by LMTP, and where it is fetched.
enum Server {
    Ours(Box<Postriderd>),
    Dovecot(Dovecot),
}

impl Server {
    /// Ours, with these lines of configuration; passwords in the clear are allowed.
    fn ours(configuration: &str) -> Self {
        let options = Options { plaintext_auth: true, configuration: configuration.to_owned(), ..ours() };
        Self::Ours(Box::new(Postriderd::start(&Authority::new(), &options)))
    }

    fn dovecot() -> Self {
        Self::Dovecot(Dovecot::start(&Authority::new(), &[BOB]))
    }

    fn both() -> [Self; 2] {
        assert_eq!(SECRET, PASSWORD, "Bob has one password");
        [Self::ours(""), Self::dovecot()]
    }

    fn lmtp(&self) -> SocketAddr {
        match self {
            Self::Ours(server) => server.at("lmtp"),
            Self::Dovecot(server) => server.lmtp(),
        }
    }

    fn pop3(&self, user: &str, security: Security) -> Endpoint {
        match self {
            Self::Ours(server) => server.pop3(user, security),
            Self::Dovecot(server) => server.pop3(user, security),
        }
    }

    /// Puts these messages into Bob's mailbox.
    #[track_caller]
    fn deliver(&self, messages: &[Message]) {
        let mut wire = Wire::connect(self.lmtp()).expect("a connection");
        wire.smtp_reply().expect("a greeting");
        wire.smtp("LHLO client.test").expect("an answer");
        for message in messages {
            let (code, text) = wire.smtp_message(CAROL, BOB, message).expect("an answer");
            assert_eq!(code, 250, "{text}");
        }
    }
}

/// Plain, multipart with 8-bit text, and UTF-8 in the header.
fn three(name: &str) -> Vec<Message> {
    let id = |size| format!("{name}.{size}@client.test");
    vec![
        Message::small(CAROL, BOB, &id("2k")),
        Message::medium(CAROL, BOB, &id("50k")),
        Message::international(CAROL, BOB, &id("utf8")),
    ]
}

/// Arguments of `postrider pop` for this endpoint.
fn pop_arguments(at: &Endpoint, target: &Path, more: &[&str]) -> Vec<String> {
    let tls = if at.security == Security::Tls { "s" } else { "" };
    let url = format!("pop3{tls}://{}@{}:{}", at.credentials().0.replace('@', "%40"), at.host, at.port);
    let mut arguments = vec!["pop".to_owned(), target.display().to_string(), "--pop3".to_owned(), url];
    arguments.extend(["--ca".to_owned(), at.ca.display().to_string()]);
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    arguments.extend((at.security == Security::StartTls).then(|| "--starttls".to_owned()));
    arguments.extend((at.security == Security::Clear).then(|| "--plaintext-login".to_owned()));
    arguments
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[track_caller]
fn every_client(security: Security) {
    let server = Server::ours("");
    let at = server.pop3(BOB, security);
    for client in Pop3Client::ALL.iter().filter(|client| client.stls || security != Security::StartTls) {
        // Shown when the test fails.
        eprintln!("{}, {security:?}", client.name);
        let sent = three(&format!("{}.{security:?}", client.name));
        server.deliver(&sent);
        let home = client.home();
        client.fetch(&home, &at, Then::Keep).assert_are(&sent);
        let again = client.fetch(&home, &at, Then::Keep);
        again.assert_are(if client.remembers { &[] } else { &sent });
        assert_eq!(pop3_clients::count(&at), 3, "{} keeps what is there", client.name);
        client.fetch(&client.home(), &at, Then::Delete).assert_are(&sent);
        assert_eq!(pop3_clients::count(&at), 0, "{} deletes what it fetched", client.name);
    }
}

#[test]
fn every_client_keeps_and_deletes_in_the_clear() {
    every_client(Security::Clear);
}

#[test]
fn every_client_keeps_and_deletes_after_stls() {
    every_client(Security::StartTls);
}

#[test]
fn every_client_keeps_and_deletes_with_implicit_tls() {
    every_client(Security::Tls);
}

#[test]
fn mpop_logs_in_by_every_method_that_is_offered() {
    let server = Server::ours("");
    for security in [Security::StartTls, Security::Tls] {
        let at = server.pop3(BOB, security);
        let script = "print('SASL', *p.capa().get('SASL', []))\n";
        let said = poplib_script(&Place::new("capa"), &at, script, &[]).ok().text();
        let offered: Vec<&str> = said.split_whitespace().collect();
        for (mechanism, method) in [
            ("SASL", "user"),
            ("PLAIN", "plain"),
            ("LOGIN", "login"),
            ("SCRAM-SHA-1", "scram-sha-1"),
            ("SCRAM-SHA-256", "scram-sha-256"),
        ] {
            assert!(offered.contains(&mechanism), "{mechanism} is offered over TLS: {said}");
            server.deliver(&three(&format!("{method}.{security:?}"))[..1]);
            mpop_with(&Place::new("mpop"), &at, Then::Delete, method).ok();
            assert_eq!(pop3_clients::count(&at), 0, "{method}, {security:?}");
            let mut wrong = at.clone();
            wrong.login = Some((BOB.into(), "wrong".into()));
            let refused = mpop_with(&Place::new("mpop"), &wrong, Then::Delete, method);
            assert!(!refused.status.success(), "{method}, {security:?}");
        }
        // Some of mutt's libraries choose these and cannot do them, so they are only offered where that is asked for.
        assert!(!said.contains("-PLUS"), "{said}");
    }
}

/// Marks 1 and 3 of three messages as deleted, says so, and waits until it is told to go on.
const MARK: &str = "
p.user(USER)
p.pass_(PASSWORD)
assert p.stat()[0] == 3
p.retr(1)
p.dele(1)
p.dele(3)
print('marked', flush=True)
sys.stdin.readline()
";

#[test]
fn a_client_killed_before_quit_deletes_nothing_and_quit_exactly_what_was_asked() {
    for server in Server::both() {
        for security in [Security::Clear, Security::Tls] {
            let sent = three(&format!("killed.{security:?}"));
            server.deliver(&sent);
            let at = server.pop3(BOB, security);
            let place = Place::new("killed");
            // Its standard input never says anything.
            let script = poplib_file(&place, &at, MARK);
            let (silence, _mouth) = silent_pipe();
            let mut client = Process::start("killed", place.dir(), "python3", |command| {
                command.arg(script).stdin(silence);
            });
            until("the client to mark messages", LIMIT, || client.log().contains("marked").then_some(()));
            client.kill();
            assert_eq!(pop3_clients::count(&at), 3, "nothing is deleted");

            let asked = poplib_script(&place, &at, &format!("{MARK}p.quit()\n"), &[]);
            asked.ok();
            let left = Pop3Client::ALL[3].fetch(&place, &at, Then::Delete);
            left.assert_are(&sent[1..2]);
            assert_eq!(pop3_clients::count(&at), 0);
        }
    }
}

fn silent_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    std::io::pipe().expect("a pipe")
}

#[test]
fn our_client_killed_in_a_message_goes_on_where_it_was_and_deletes_only_what_it_has() {
    for server in Server::both() {
        let mut sent = three("resumed");
        sent.insert(1, Message::large(CAROL, BOB, "resumed.150m@client.test"));
        server.deliver(&sent);
        let at = server.pop3(BOB, Security::Tls);
        let place = Place::new("resumed");
        let target = place.path("Maildir");
        let arguments = pop_arguments(&at, &target, &[]);
        let mut client = postrider_running(&place, &strs(&arguments), PASSWORD);
        until("a part of the large message to be there", LONG, || {
            let parts = fs::read_dir(target.join("tmp")).into_iter().flatten().flatten();
            let large = |part: &fs::DirEntry| part.metadata().is_ok_and(|meta| meta.len() > 1 << 20);
            parts.into_iter().any(|part| large(&part)).then_some(())
        });
        client.kill();
        assert_eq!(maildir::files(&target).len(), 1, "the first is complete, and nothing else");
        assert_eq!(pop3_clients::count(&at), 4, "nothing is deleted");
        postrider(&strs(&arguments), PASSWORD, b"").ok();
        Message::assert_all_unix(&sent, &maildir::wait_for(&target, 4, LIMIT));
        assert_eq!(pop3_clients::count(&at), 0, "all are safe here, so they are deleted there");
    }
}

#[test]
fn our_client_keeps_and_deletes_with_dovecot_and_with_our_server() {
    for server in Server::both() {
        for security in [Security::Clear, Security::StartTls, Security::Tls] {
            let at = server.pop3(BOB, security);
            let place = Place::new("ours");
            let target = place.path("Maildir");
            let first = three(&format!("first.{security:?}"));
            server.deliver(&first);
            for _ in 0..2 {
                postrider(&strs(&pop_arguments(&at, &target, &["--keep"])), PASSWORD, b"").ok();
                Message::assert_all_unix(&first, &maildir::wait_for(&target, 3, LIMIT));
            }
            let second = three(&format!("second.{security:?}"));
            server.deliver(&second);
            let done = postrider(&strs(&pop_arguments(&at, &target, &["--json"])), PASSWORD, b"").ok().text();
            assert!(done.contains("\"fetched\":3,\"known\":3,\"deleted\":6,\"failed\":0"), "{done}");
            Message::assert_all_unix(&[first, second].concat(), &maildir::wait_for(&target, 6, LIMIT));
            assert_eq!(pop3_clients::count(&at), 0);
        }
    }
}

#[test]
fn policy_is_announced_and_enforced() {
    let server = Server::ours("[pop3]\nlogin_delay_seconds = 3600\nexpire_days = 0\nexclusive = true\n");
    let sent = three("policy");
    server.deliver(&sent);
    let Server::Ours(ours) = &server else { unreachable!("it was just started") };
    let script = "
capa = p.capa()
assert capa['LOGIN-DELAY'] == ['3600'] and capa['EXPIRE'] == ['0'] and 'LANG' in capa and 'UTF8' in capa, capa
def refused(code):
    q = poplib.POP3_SSL(HOST, PORT, context=CONTEXT, timeout=200)
    q.user(USER)
    try:
        q.pass_(PASSWORD)
    except poplib.error_proto as error:
        assert code in str(error), error
        return
    raise AssertionError('it was let in')
p.user(USER)
p.pass_(PASSWORD)
refused('[IN-USE]')
p.retr(1)
p.top(2, 0)
p.quit()
refused('[LOGIN-DELAY]')
";
    poplib_script(&Place::new("policy"), &ours.pop3(BOB, Security::Tls), script, &[]).ok();
    // EXPIRE 0: what was retrieved is gone, and nothing else.
    clients::curl_imap(&ours.imap(BOB, Security::Tls)).assert_are(&sent[1..]);
    // Another user is another matter.
    assert_eq!(pop3_clients::count(&ours.pop3(ALICE, Security::Tls)), 0);
}

/// Octets of the message that both processes carry.
const GIBIBYTE: u64 = 1 << 30;
/// What each process may use for it.
const FLAT: u64 = 64 << 20;

/// The n-th MiB of a message: lines that begin with dots now and then, and lines of 8-bit text.
fn mebibyte(n: u64, out: &mut Vec<u8>) {
    out.clear();
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while out.len() < 1 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let left = (1 << 20) - out.len();
        let length = (state % 200) as usize + 3;
        // No rest that is too short for a line.
        let length = if left < length + 3 { left } else { length };
        let end = out.len() + length;
        if state.is_multiple_of(7) {
            out.push(b'.');
        }
        let letter = 0x21 + (state >> 32) as u8 % 0x5e;
        out.resize(end - 2, if state.is_multiple_of(5) { letter | 0x80 } else { letter });
        out.extend_from_slice(b"\r\n");
    }
    assert_eq!(out.len(), 1 << 20, "a MiB is one");
}

#[test]
fn a_gibibyte_goes_through_server_and_client_in_flat_memory() {
    let server = Server::ours("[limits]\nmessage_size = 2000000000\n");
    let Server::Ours(ours) = &server else { unreachable!("it was just started") };
    let header = b"From: carol@far.test\r\nSubject: a gibibyte\r\nDate: Sat, 21 Nov 2026 08:30:00 +0100\r\n\r\n";
    let mebibytes = GIBIBYTE >> 20;

    // In by LMTP, which takes as little memory.
    let mut wire = Wire::connect(server.lmtp()).expect("a connection");
    wire.smtp_reply().expect("a greeting");
    for command in ["LHLO client.test", "MAIL FROM:<carol@far.test>", &format!("RCPT TO:<{BOB}>"), "DATA"] {
        let (code, text) = wire.smtp(command).expect("an answer");
        assert!(code < 400, "{command}: {code} {text}");
    }
    wire.send_raw(header).expect("sent");
    let (mut octets, mut stuffed) = (Vec::new(), Vec::new());
    for n in 0..mebibytes {
        mebibyte(n, &mut octets);
        stuffed.clear();
        for line in octets.split_inclusive(|b| *b == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        wire.send_raw(&stuffed).expect("sent");
    }
    wire.send_raw(b".\r\n").expect("sent");
    let (code, text) = wire.smtp_reply().expect("an answer");
    assert_eq!(code, 250, "{text}");

    let at = server.pop3(BOB, Security::Tls);
    let place = Place::new("gibibyte");
    let target = place.path("Maildir");
    let mut client = postrider_running(&place, &strs(&pop_arguments(&at, &target, &[])), PASSWORD);
    let mut client_peak = 0;
    let status = until("the client to have fetched it", Duration::from_secs(300), || {
        client_peak = peak_memory(client.id()).unwrap_or(0).max(client_peak);
        client.ended()
    });
    assert!(status.success(), "{}", client.log());
    let server_peak = peak_memory(ours.process_id()).expect("it runs");
    eprintln!("peak memory: postriderd {} KiB, postrider {} KiB", server_peak >> 10, client_peak >> 10);
    assert!(server_peak < FLAT && client_peak < FLAT, "postriderd {server_peak}, postrider {client_peak} octets");
    assert!(server_peak > 1 << 20 && client_peak > 1 << 20, "nothing was measured");
    assert_eq!(pop3_clients::count(&at), 0, "it is safe here, so it is gone there");

    // Octet for octet, after the trace fields that the server put on top.
    let files = maildir::files(&target);
    assert_eq!(files.len(), 1);
    let mut file = BufReader::with_capacity(1 << 20, File::open(&files[0]).expect("a message"));
    let mut line = Vec::new();
    while !line.starts_with(b"From: ") {
        line.clear();
        assert!(file.read_until(b'\n', &mut line).expect("a header") > 0, "there is no From");
    }
    let unix = |octets: &[u8], out: &mut Vec<u8>| {
        out.clear();
        octets.split_inclusive(|b| *b == b'\n').for_each(|line| {
            out.extend_from_slice(&line[..line.len() - 2]);
            out.push(b'\n');
        });
    };
    let (mut want, mut found) = (Vec::new(), Vec::new());
    unix(header, &mut want);
    found.resize(want.len() - line.len(), 0);
    file.read_exact(&mut found).expect("the header");
    assert_eq!([line, found.clone()].concat(), want);
    for n in 0..mebibytes {
        mebibyte(n, &mut octets);
        unix(&octets, &mut want);
        found.resize(want.len(), 0);
        file.read_exact(&mut found).expect("as many octets");
        assert!(found == want, "MiB {n} is another one");
    }
    assert_eq!(file.read(&mut [0]).expect("the end"), 0, "nothing follows");
    std::io::stderr().flush().expect("standard error");
}
