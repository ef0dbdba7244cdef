//! What EHLO lists works.

use crate::{Server, Talk, postriderd, serve, start, started, user};
use postrider_smtp::client::Tls;
use postrider_smtp::{Envelope, Mailbox, Remote};
use std::io::Write;
use std::net::TcpListener;

/// What EHLO or LHLO says a service can do.
fn offered(server: &Server, service: &str) -> (Talk, Vec<String>) {
    let mut talk = server.talk(service);
    assert!(talk.reply().starts_with("220 "));
    talk.send(if service == "lmtp" { "LHLO client.test" } else { "EHLO client.test" });
    let lines = talk.lines();
    (talk, lines.iter().skip(1).map(|line| line[4..].to_owned()).collect())
}

#[test]
fn messages_come_in_chunks() {
    let (_place, server) = serve(&user("ada@ours.test", "secret"));
    for service in ["smtp", "submission", "lmtp"] {
        let (mut talk, offered) = offered(&server, service);
        assert!(offered.contains(&"CHUNKING".to_owned()) && !offered.contains(&"BINARYMIME".to_owned()), "{offered:?}");
        if service == "submission" {
            assert_eq!(&talk.ask("AUTH PLAIN AGFkYUBvdXJzLnRlc3QAc2VjcmV0")[..3], "235");
        }
        assert_eq!(&talk.ask("MAIL FROM:<ada@ours.test>")[..3], "250");
        assert_eq!(&talk.ask("RCPT TO:<ada@ours.test>")[..3], "250");
        let message = format!("Subject: {service}\r\n\r\n.\r\n..dots\r\n");
        let (first, last) = message.split_at(12);
        talk.octets(format!("BDAT {}\r\n{first}BDAT {} LAST\r\n{last}", first.len(), last.len()).as_bytes());
        assert_eq!(&talk.reply()[..9], "250 2.0.0");
        assert!(talk.reply().starts_with("250 2.0.0 OK queued as "));
        let got = server.pop3("ada@ours.test").pop().expect("it is there");
        assert!(got.contains(&format!("Subject: {service}\n")), "{got}");
        assert!(got.ends_with("\n\n..\n...dots\n"), "dots of POP3's own, and no others: {got}");
    }
}

/// A talk with submission, logged in as Ada.
fn submitting(server: &Server) -> (Talk, Vec<String>) {
    let (mut talk, offered) = offered(server, "submission");
    assert_eq!(&talk.ask("AUTH PLAIN AGFkYUBvdXJzLnRlc3QAc2VjcmV0")[..3], "235");
    (talk, offered)
}

/// Sends a message from Ada; what MAIL says comes last.
fn send(talk: &mut Talk, to: &str, parameters: &str) {
    let mail = talk.ask(&format!("MAIL FROM:<ada@ours.test>{parameters}"));
    assert_eq!(&mail[..3], "250", "{mail}");
    assert_eq!(&talk.ask(&format!("RCPT TO:<{to}>"))[..3], "250");
    assert_eq!(&talk.ask("DATA")[..3], "354");
    talk.send("Subject: x\r\n\r\nbody");
    assert_eq!(&talk.ask(".")[..3], "250");
}

/// An IMAP client that waits for mail to come to an empty INBOX.
fn waiting(server: &Server, user: &str) -> Talk {
    let mut imap = server.talk("imap");
    imap.line();
    for command in [&format!("a LOGIN {user} secret"), "b SELECT INBOX", "c IDLE"] {
        imap.send(command);
        while !imap.line().starts_with(if command.starts_with('c') { "+" } else { &command[..2] }) {}
    }
    imap
}

fn mail_came(imap: &mut Talk) {
    loop {
        let line = imap.line();
        assert!(!line.is_empty(), "the connection is there");
        if line.ends_with("EXISTS") {
            return;
        }
    }
}

#[test]
fn a_message_is_held_until_its_time_has_come() {
    let (place, server) = serve(&user("ada@ours.test", "secret"));
    let (mut talk, offered) = submitting(&server);
    assert!(offered.iter().any(|line| line.starts_with("FUTURERELEASE 2592000 20")), "{offered:?}");
    assert_eq!(&talk.ask("MAIL FROM:<ada@ours.test> HOLDFOR=2592001")[..1], "5");
    assert_eq!(&talk.ask("RSET")[..3], "250");
    send(&mut talk, "ada@ours.test", " HOLDFOR=3600");
    drop(talk);
    let server = server.restart(&place);
    let mut imap = waiting(&server, "ada@ours.test");
    let (mut talk, _) = submitting(&server);
    send(&mut talk, "ada@ours.test", " HOLDUNTIL=2000-01-01T00:00:00Z");
    mail_came(&mut imap);
    let before = std::time::Instant::now();
    send(&mut talk, "ada@ours.test", " HOLDFOR=2");
    mail_came(&mut imap);
    assert!(before.elapsed().as_millis() >= 1900);
    assert_eq!(server.pop3("ada@ours.test").len(), 2, "and the first one waits");
}

#[test]
fn what_waits_for_a_host_is_sent_when_it_asks() {
    // A neighbour that has no time, whenever it is called on.
    let neighbour = TcpListener::bind("127.0.0.1:0").expect("bound");
    let calls = || {
        let (mut stream, _) = neighbour.accept().expect("a call");
        stream.write_all(b"421 4.3.2 later\r\n").expect("said");
    };
    let smarthost = neighbour.local_addr().expect("bound").to_string();
    let server =
        start(&["localserve", "--plaintext-auth", "--user", "ada@ours.test:secret", "--smarthost", &smarthost]);
    let (mut talk, offered_to_users) = submitting(&server);
    assert!(!offered_to_users.contains(&"ETRN".to_owned()));
    send(&mut talk, "bob@sub.else.test", "");
    calls();
    let (mut smtp, offered) = offered(&server, "smtp");
    assert!(offered.contains(&"ETRN".to_owned()), "{offered:?}");
    assert_eq!(&smtp.ask("ETRN nobody.test")[..4], "251 ");
    assert_eq!(&smtp.ask("ETRN #queue")[..4], "458 ");
    let started = smtp.ask("ETRN sub.ELSE.test");
    assert_eq!(started, "253 2.0.0 1 pending messages for sub.ELSE.test started");
    // Minutes before its time.
    calls();
    assert_eq!(&smtp.ask("ETRN sub.else.test")[..4], "458 ", "not so soon again");
    assert_eq!(&smtp.ask("ETRN @else.test")[..4], "253 ");
    calls();
}

/// Submits a message that may go only over TLS, to Bob at `there`, through a server that trusts `trusted`.
async fn require_tls(there: &Server, trusted: &str) -> Server {
    let smarthost = format!("127.0.0.1:{}", there.port("smtp"));
    let options = ["localserve", "--plaintext-auth", "--user", "ada@ours.test:secret", "--smarthost", &smarthost];
    let mut command = postriderd(&options);
    command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
    let here = started(command);
    let remote = Remote::plaintext("127.0.0.1", here.port("submissions")).unwrap();
    let remote = remote.with_tls(Tls::Implicit, here.roots()).login("ada@ours.test", "secret".to_owned());
    let mut envelope = Envelope::new(Mailbox::parse("ada@ours.test").unwrap());
    envelope = envelope.and_to(Mailbox::parse("bob@there.test").unwrap());
    envelope.params.require_tls = true;
    let outcomes = postrider_smtp::tokio::send(&remote, envelope, "Subject: secret\r\n\r\nbody\r\n").await.unwrap();
    assert!(outcomes[0].is_delivered());
    here
}

//= 8689-2-4
#[tokio::test]
async fn a_message_that_requires_tls_goes_over_verified_tls_or_comes_back() {
    let there = start(&["localserve", "--plaintext-auth", "--user", "bob@there.test:secret"]);
    for service in ["smtp", "submission"] {
        let (_, offered) = offered(&there, service);
        assert!(!offered.contains(&"REQUIRETLS".to_owned()), "not without TLS");
    }
    let mut bob = waiting(&there, "bob@there.test");
    let _here = require_tls(&there, &there.2).await;
    mail_came(&mut bob);
    let message = there.pop3("bob@there.test").pop().expect("it came");
    assert!(message.contains("with ESMTPS id"), "{message}");

    // A certificate that nobody vouches for will not do, and what does not go on is returned.
    let here = require_tls(&there, "/dev/null").await;
    let mut ada = here.talk("imap");
    ada.line();
    ada.send("a LOGIN ada@ours.test secret");
    while !ada.line().starts_with("a OK") {}
    ada.send("b SELECT INBOX");
    let mut came = false;
    loop {
        let line = ada.line();
        came |= line == "* 1 EXISTS";
        if line.starts_with("b OK") {
            break;
        }
    }
    if !came {
        ada.send("c IDLE");
        mail_came(&mut ada);
    }
    let report = here.pop3("ada@ours.test").pop().expect("a report");
    assert!(report.contains("Status: 5.7.10"), "{report}");
    assert_eq!(there.pop3("bob@there.test").len(), 1);
}
