//! `postriderd` as it is started from a shell. What it does with other people's software is in the `interop` package.

mod extensions;
mod listen;
mod logins;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A server that ends with the test, its ports, and its certificate.
struct Server(Child, Vec<(String, u16)>, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn postriderd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postriderd"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(arguments: &[&str]) -> Server {
    started(postriderd(arguments))
}

fn started(mut command: Command) -> Server {
    let mut child = command.spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let ready: serde_json::Value = serde_json::from_str(line.strip_prefix("ready ").expect("ready")).expect("JSON");
    let port = |(name, value): (&String, &serde_json::Value)| Some((name.clone(), value.as_u64()? as u16));
    let certificate = ready["cert"].as_str().expect("a path").to_owned();
    Server(child, ready.as_object().expect("an object").iter().filter_map(port).collect(), certificate)
}

/// A `[[user]]` with a password.
fn user(address: &str, password: &str) -> String {
    format!("[[user]]\naddress = {address:?}\npassword_hash = {:?}\n", hash(password))
}

/// A server with a configuration of its own: these tables, besides what lets a test reach it.
fn serve(tables: &str) -> (tempfile::TempDir, Server) {
    let place = tempfile::tempdir().expect("a directory");
    let listen = ["smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s"]
        .map(|name| format!("{name} = \"127.0.0.1:0\"\n"));
    let text = format!(
        "domains = [\"ours.test\"]\ndata = {:?}\n[listen]\nplaintext_auth = true\n{}{tables}",
        place.path().join("data"),
        listen.concat()
    );
    std::fs::write(place.path().join("postrider.toml"), text).expect("written");
    let server = start(&["serve", "--config", place.path().join("postrider.toml").to_str().expect("a path")]);
    (place, server)
}

impl Server {
    fn port(&self, service: &str) -> u16 {
        self.1.iter().find(|(name, _)| name == service).expect("a service").1
    }

    fn talk(&self, service: &str) -> Talk {
        Talk(BufReader::new(TcpStream::connect(("127.0.0.1", self.port(service))).expect("connected")))
    }

    /// What a client must trust to trust this server.
    fn roots(&self) -> rustls::RootCertStore {
        postrider_io::tls::roots(&std::fs::read(&self.2).expect("readable")).expect("a certificate")
    }

    /// Ends it and starts it anew with the configuration at `place`.
    fn restart(self, place: &tempfile::TempDir) -> Self {
        drop(self);
        start(&["serve", "--config", place.path().join("postrider.toml").to_str().expect("a path")])
    }
}

impl Server {
    /// The messages in a user's inbox.
    fn pop3(&self, user: &str) -> Vec<String> {
        let mut pop3 = self.talk("pop3");
        assert!(pop3.line().starts_with("+OK"));
        for login in [format!("USER {user}"), "PASS secret".to_owned()] {
            pop3.send(&login);
            assert!(pop3.line().starts_with("+OK"));
        }
        pop3.send("STAT");
        let status = pop3.line();
        let count: u32 = status.split(' ').nth(1).and_then(|count| count.parse().ok()).expect("a count");
        let mut retrieve = |number: u32| {
            pop3.send(&format!("RETR {number}"));
            assert!(pop3.line().starts_with("+OK"));
            let mut message = String::new();
            loop {
                match pop3.line() {
                    line if line == "." => return message,
                    line => message += &format!("{line}\n"),
                }
            }
        };
        (1..=count).map(&mut retrieve).collect()
    }
}

/// What `hash-password` makes of a password.
fn hash(password: &str) -> String {
    let mut child = postriderd(&["hash-password"]).stdin(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(format!("{password}\n").as_bytes()).expect("written");
    let mut hash = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut hash).expect("read");
    assert!(child.wait().expect("ended").success());
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    hash.trim_end().to_owned()
}

struct Talk(BufReader<TcpStream>);

impl Talk {
    fn send(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("sent");
    }

    fn octets(&mut self, octets: &[u8]) {
        self.0.get_mut().write_all(octets).expect("sent");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// The lines of a reply.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// The last line of a reply.
    fn reply(&mut self) -> String {
        self.lines().pop().expect("a reply has a line")
    }

    fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.reply()
    }
}

//= 5321-4.5.4.2-1
#[test]
fn the_demonstration_takes_a_message_through_every_step() {
    let done = postriderd(&["demo", "--once"]).output().expect("it runs");
    let shown = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{shown}{}", String::from_utf8_lossy(&done.stderr));
    for step in ["watch", "submit", "queue", "dns", "smtp", "deliver", "push", "read", "pop3", "gone"] {
        assert!(shown.lines().any(|line| line.contains(&format!(" ms  {step} "))), "{step} is missing in:\n{shown}");
    }
    assert!(shown.contains("octet for octet"));
}

//= 5321-3.6.2-1, 5321-7.9-2
#[test]
fn a_message_above_the_limit_is_refused_once_at_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("postrider.toml");
    let data = dir.path().join("data");
    let off = ["submission", "submissions", "imap", "imaps", "pop3", "pop3s"]
        .map(|name| format!("{name} = \"127.0.0.1:0\"\n"));
    let text = format!(
        "domains = [\"ours.test\"]\ndata = {data:?}\n[aliases]\n[listen]\nsmtp = \"127.0.0.1:0\"\n{}[limits]\nmessage_size = 1000\n\
         [[user]]\naddress = \"ada@ours.test\"\npassword_hash = {hash:?}\n",
        off.concat(),
        hash = hash("secret")
    );
    std::fs::write(&config, text).expect("written");
    let server = start(&["serve", "--config", config.to_str().expect("a path")]);
    let mut smtp = server.talk("smtp");
    assert!(smtp.reply().starts_with("220 "));
    assert!(smtp.ask("EHLO client.test").starts_with("250 "));
    assert_eq!(&smtp.ask("MAIL FROM:<x@client.test> SIZE=1001")[..9], "552 5.3.4");
    assert_eq!(&smtp.ask("MAIL FROM:<x@client.test>")[..3], "250");
    assert_eq!(&smtp.ask("RCPT TO:<nobody@ours.test>")[..9], "550 5.1.1");
    assert_eq!(&smtp.ask("RCPT TO:<ada@elsewhere.test>")[..9], "550 5.7.1");
    assert_eq!(&smtp.ask("RCPT TO:<Ada+folder@OURS.test>")[..3], "250");
    assert_eq!(&smtp.ask("DATA")[..3], "354");
    for _ in 0..30 {
        smtp.send(&"x".repeat(70));
    }
    assert_eq!(&smtp.ask(".")[..9], "552 5.3.4");
    assert_eq!(&smtp.ask("NOOP")[..3], "250", "one reply, and the session goes on");
}

//= 3461-5.2.3-1, 3461-5.2.3-2, 3461-5.2.8-1, 8689-5-2
#[test]
fn a_sender_who_asks_for_it_is_told_of_a_delivery_and_nobody_else_is() {
    let server = start(&[
        "localserve",
        "--plaintext-auth",
        "--domain",
        "ours.test",
        "--user",
        "ada@ours.test:secret",
        "--user",
        "bob@ours.test:secret",
    ]);
    let mut smtp = server.talk("smtp");
    assert!(smtp.reply().starts_with("220 "));
    smtp.send("EHLO client.test");
    assert!(smtp.lines().contains(&"250-DSN".to_owned()));
    for (envelope_id, notify) in [("told", "SUCCESS,FAILURE"), ("untold", "FAILURE"), ("never", "NEVER")] {
        assert_eq!(&smtp.ask(&format!("MAIL FROM:<ada@ours.test> RET=HDRS ENVID={envelope_id}"))[..3], "250");
        let to = format!("RCPT TO:<bob@ours.test> NOTIFY={notify} ORCPT=rfc822;robert@ours.test");
        assert_eq!(&smtp.ask(&to)[..3], "250");
        assert_eq!(&smtp.ask("DATA")[..3], "354");
        smtp.send(&format!("Subject: {envelope_id}\r\n\r\nbody"));
        assert_eq!(&smtp.ask(".")[..3], "250");
    }

    // Delivery and report are one: no waiting.
    assert_eq!(server.pop3("bob@ours.test").len(), 3);
    let reports = server.pop3("ada@ours.test");
    let [report] = &reports[..] else { panic!("{} reports: {reports:?}", reports.len()) };
    for line in [
        "Return-Path: <>",
        "Original-Envelope-Id: told",
        "Original-Recipient: rfc822; robert@ours.test",
        "Final-Recipient: rfc822; bob@ours.test",
        "Action: delivered",
        "Status: 2.0.0",
        "Subject: told",
    ] {
        assert!(report.lines().any(|it| it == line), "{line} is missing in:\n{report}");
    }
}

//= 5321-4.4-1, 5321-4.4-2, 5321-4.4-3, 5321-4.4-4, 5321-4.4-5, 5321-4.4-7, 5321-4.4-9
//= 5321-4.5.1-2, 5321-7.2-1, 5321-C-2, 3207-4-1
#[test]
fn a_message_bears_one_received_field_of_ours_and_one_return_path() {
    let server = start(&["localserve", "--plaintext-auth", "--domain", "ours.test", "--user", "ada@ours.test:secret"]);
    let mut smtp = server.talk("smtp");
    assert!(smtp.reply().starts_with("220 "));
    assert!(smtp.ask("EHLO client.test").starts_with("250 "));
    let old = "Received: from a.test by b.test; Thu, 1 Jan 1970 00:00:00 +0000\r\nReceived: older still";
    // RFC 5321, 4.5.1: postmaster without a domain, and with one; whatever its case. Ada is the only user.
    for recipients in [&["PostMaster"][..], &["ada@ours.test", "POSTMASTER@ours.test"]] {
        assert_eq!(&smtp.ask("MAIL FROM:<x@client.test>")[..3], "250");
        for to in recipients {
            assert_eq!(&smtp.ask(&format!("RCPT TO:<{to}>"))[..3], "250");
        }
        assert_eq!(&smtp.ask("DATA")[..3], "354");
        smtp.send(&format!("Return-Path: <old@client.test>\r\n{old}\r\nTo: somebody@else.test\r\n\r\nbody"));
        assert_eq!(&smtp.ask(".")[..3], "250");
    }
    let delivered = server.pop3("ada@ours.test");
    assert_eq!(delivered.len(), 2, "one copy each for Ada, whatever the header says: {delivered:?}");
    for (index, message) in delivered.iter().enumerate() {
        let unfolded = message.replace("\r\n\t", " ").replace("\n\t", " ");
        let lines: Vec<&str> = unfolded.lines().collect();
        let count = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
        assert_eq!((count("Return-Path:"), count("Received:")), (1, 3), "{message}");
        assert_eq!(lines[0], "Return-Path: <x@client.test>");
        let ours = lines.iter().position(|line| line.starts_with("Received:")).expect("it is there");
        let trace = lines[ours];
        assert!(trace.starts_with("Received: from client.test ([127.0.0.1]) by "), "{trace}");
        assert!(trace.contains(" with ESMTP id "), "{trace}");
        assert!(trace.ends_with(" +0000"), "{trace}");
        assert_eq!(trace.contains(" for <"), index == 0, "one recipient may be named, several not: {trace}");
        assert_eq!(lines[ours + 1..ours + 3], old.split("\r\n").collect::<Vec<_>>()[..], "{message}");
    }
}

//= 1939-7-3, 1939-7-4
#[test]
fn unique_ids_stay_with_their_messages_and_are_not_given_again() {
    let server = start(&["localserve", "--plaintext-auth", "--domain", "ours.test", "--user", "ada@ours.test:secret"]);
    let mut smtp = server.talk("smtp");
    assert!(smtp.reply().starts_with("220 "));
    assert!(smtp.ask("EHLO client.test").starts_with("250 "));
    let mut deliver = |subject: &str| {
        assert_eq!(&smtp.ask("MAIL FROM:<x@client.test>")[..3], "250");
        assert_eq!(&smtp.ask("RCPT TO:<ada@ours.test>")[..3], "250");
        assert_eq!(&smtp.ask("DATA")[..3], "354");
        smtp.send(&format!("Subject: {subject}\r\n\r\nbody"));
        assert_eq!(&smtp.ask(".")[..3], "250");
    };
    // The ids after the login, and then this command.
    let session = |last: &str| {
        let mut pop3 = server.talk("pop3");
        assert!(pop3.line().starts_with("+OK"));
        for command in ["USER ada@ours.test", "PASS secret", "UIDL"] {
            pop3.send(command);
            assert!(pop3.line().starts_with("+OK"));
        }
        let mut ids = vec![];
        loop {
            match pop3.line() {
                line if line == "." => break,
                line => ids.push(line.split_once(' ').expect("a number and an id").1.to_owned()),
            }
        }
        for command in [last, "QUIT"] {
            pop3.send(command);
            assert!(pop3.line().starts_with("+OK"));
        }
        ids
    };
    deliver("one");
    deliver("two");
    let first = session("NOOP");
    assert_eq!(first.len(), 2);
    assert_eq!(session("DELE 2"), first);
    deliver("three");
    let second = session("NOOP");
    assert_eq!((second.len(), &second[0]), (2, &first[0]));
    assert!(!first.contains(&second[1]), "{second:?}");
}

//= 1939-11-1
#[test]
fn pop3_sizes_are_the_octets_sent_however_a_message_ends() {
    let server = start(&["localserve", "--plaintext-auth", "--domain", "ours.test", "--user", "ada@ours.test:secret"]);
    let messages: [&[u8]; 8] = [
        b"Subject: one\r\n\r\nwhole\r\n",
        b"Subject: two\r\n\r\nno line end",
        b"Subject: three\n\nbare\n.\n..\nfeeds\n",
        b"Subject: four\r\n\r\nbare CR at the end\r",
        b"Subject: five\r\n\r\n\r\n.\r\nbare LF at the end\n",
        b"Subject: six\r\n\r\n.",
        b"\n",
        b"x",
    ];
    let append = |messages: &[&[u8]]| {
        let mut imap = server.talk("imap");
        imap.line();
        imap.send("a LOGIN ada@ours.test secret");
        while !imap.line().starts_with("a OK") {}
        for message in messages {
            imap.send(&format!("b APPEND INBOX {{{}}}", message.len()));
            assert!(imap.line().starts_with('+'));
            imap.octets(message);
            imap.send("");
            let mut line = imap.line();
            while line.starts_with('*') {
                line = imap.line();
            }
            assert!(line.starts_with("b OK"), "{line}");
        }
    };
    let check = |messages: &[&[u8]]| {
        let mut pop3 = server.talk("pop3");
        assert!(pop3.line().starts_with("+OK"));
        let mut ask = |command: &str| {
            pop3.send(command);
            let line = pop3.line();
            assert!(line.starts_with("+OK"), "{command}: {line}");
            line
        };
        ask("USER ada@ours.test");
        ask("PASS secret");
        let mut sum = 0;
        let mut sizes = vec![];
        for number in 1..=messages.len() {
            let listed = ask(&format!("LIST {number}"));
            sizes.push(listed.split(' ').nth(2).expect("a size").parse::<usize>().expect("a number"));
            sum += sizes[number - 1];
        }
        assert_eq!(ask("STAT"), format!("+OK {} {sum}", messages.len()));
        for (number, (message, size)) in (1..).zip(messages.iter().zip(sizes)) {
            pop3.send(&format!("RETR {number}"));
            assert_eq!(pop3.line(), format!("+OK {size} octets"));
            let (mut wire, mut dots) = (vec![], 0);
            loop {
                let from = wire.len();
                pop3.0.read_until(b'\n', &mut wire).expect("a line");
                let begins = from == 0 || wire[..from].ends_with(b"\n");
                // The lone dot stands after CRLF, as clients by the RFC look for it.
                if begins && &wire[from..] == b".\r\n" && (from == 0 || wire[..from].ends_with(b"\r\n")) {
                    wire.truncate(from);
                    break;
                }
                dots += usize::from(begins && wire[from] == b'.');
            }
            assert_eq!(wire.len() - dots, size, "message {number} is as long as was said: {wire:?}");
            assert!(size == message.len() || size == message.len() + 2, "only its line end was added");
        }
        pop3.send("QUIT");
        assert!(pop3.line().starts_with("+OK"));
    };
    append(&messages[..5]);
    check(&messages[..5]);
    append(&messages[5..]);
    // What the first session found out is remembered, and the rest is looked at.
    check(&messages);
    check(&messages);
}
