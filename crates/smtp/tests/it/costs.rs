//! What is counted and not timed: allocations, and the memory of a session that waits.

use allocation_counter::measure;
use bytes::BytesMut;
use postrider_core::{Instant, Machine, Session, Step};
use postrider_smtp::server::{self, Event, Server};
use postrider_smtp::wire::{BareNewlines, Body, Capabilities, Command, DataReader, DataWriter, Quirks, ReplyReader};
use std::sync::Arc;

/// Octets that come at once.
const READ: usize = 16 << 10;

#[test]
fn a_command_allocates_for_what_it_keeps() {
    for (line, most) in [
        ("NOOP", 0),
        ("RSET", 0),
        ("DATA", 0),
        ("QUIT", 0),
        ("BDAT 1000 LAST", 0),
        ("EHLO client.example.org", 1),
        ("MAIL FROM:<>", 0),
        ("MAIL FROM:<> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS", 0),
        ("MAIL FROM:<ann@example.org> SIZE=1000 BODY=8BITMIME", 1),
        ("MAIL FROM:<ann@example.org> ENVID=QQ314159", 2),
        ("RCPT TO:<postmaster>", 0),
        ("RCPT TO:<bob@example.org>", 1),
        ("RCPT TO:<\"bob smith\"@[IPv6:2001:db8::1]> NOTIFY=FAILURE,DELAY", 1),
        ("RCPT TO:<bob@example.org> ORCPT=rfc822;bob@example.org", 3),
        ("AUTH PLAIN AGFubgBzZWNyZXQ=", 1),
    ] {
        let mut command = None;
        let counted = measure(|| command = Some(Command::parse(line.as_bytes(), Quirks::NONE)));
        assert!(matches!(command, Some(Ok(_))), "{line}");
        assert!(counted.count_total <= most, "{line}: {} allocations", counted.count_total);
    }
}

#[test]
fn a_line_that_is_no_command_allocates_nothing() {
    for line in ["", "HELLO", "MAIL FROM:<ann@@example.org>", "RCPT TO:bob@example.org", "NOOPS", "BDAT x"] {
        let counted = measure(|| assert!(Command::parse(line.as_bytes(), Quirks::NONE).is_err(), "{line}"));
        assert_eq!(counted.count_total, 0, "{line}");
    }
}

#[test]
fn a_reply_allocates_once() {
    let ehlo =
        "250-mx.example.org\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-PIPELINING\r\n250-AUTH PLAIN LOGIN\r\n250 DSN";
    for reply in ["250 2.1.0 OK", "354 Go ahead", "550-5.1.1 No\r\n550-5.1.1 such\r\n550 5.1.1 user", ehlo] {
        let mut reader = ReplyReader::new(100, 1 << 16);
        let mut read = None;
        let counted = measure(|| {
            for line in reply.split("\r\n") {
                read = reader.line(line.as_bytes()).unwrap();
            }
        });
        assert_eq!(counted.count_total, 1, "{reply}");
        let counted = measure(|| {
            Capabilities::from_reply(read.as_ref().unwrap());
        });
        assert!(counted.count_total <= 1, "{reply}: for the mechanisms");
    }
}

#[test]
fn data_allocates_nothing_unless_dots_go() {
    let line = b"Nothing but text, and a line of it like all of the others.\r\n";
    let text = line.repeat(READ / line.len());
    let mut reader = DataReader::new(BareNewlines::Refuse, 998);
    let counted = measure(|| {
        for _ in 0..100 {
            assert_eq!(reader.read(&text).body, Body::Prefix(text.len()));
        }
    });
    assert_eq!(counted.count_total, 0);
    let dotted = [&b"."[..], line].concat().repeat(READ / line.len());
    let counted = measure(|| {
        for _ in 0..100 {
            assert!(matches!(reader.read(&dotted).body, Body::Rewritten(_)));
        }
    });
    assert_eq!(counted.count_total, 100, "one for the octets without the dots");
    let mut out = BytesMut::with_capacity(200 * READ);
    let mut writer = DataWriter::new(BareNewlines::Refuse);
    let counted = measure(|| (0..50).for_each(|_| writer.write(&dotted, &mut out).unwrap()));
    assert_eq!(counted.count_total, 0);
}

/// Runs the server until it has nothing to do, accepts all it asks for, and takes what it says.
fn run(server: &mut Server) {
    loop {
        match server.poll(Instant::ORIGIN) {
            Step::Event(Event::Mail { answer, .. }) => server.accept(answer).unwrap(),
            Step::Event(Event::Rcpt { answer, .. }) => server.accept(answer).unwrap(),
            Step::Event(Event::Data { answer }) => server.accept(answer).unwrap(),
            Step::Event(Event::Message { answer, .. }) => server.accept(answer).unwrap(),
            Step::Event(_) => {}
            Step::Idle { .. } if server.output().is_empty() => return,
            Step::Idle { .. } => server.sent(server.output().len()),
        }
    }
}

fn say(server: &mut Server, octets: &[u8]) {
    assert_eq!(server.receive(octets), octets.len());
    run(server);
}

const ENVELOPE: &[u8] = b"EHLO a.example\r\nMAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n";

#[test]
fn a_message_is_not_copied_on_its_way_through_the_server() {
    let config = Arc::new(server::Config::new("mx.example.org".parse().unwrap()));
    let mut server = Server::new(config, 1);
    say(&mut server, ENVELOPE);
    say(&mut server, b"Subject: long\r\n\r\n");
    let text = b"Nothing but text, and a line of it like all of the others.\r\n".repeat(270);
    let counted = measure(|| (0..100).for_each(|_| say(&mut server, &text)));
    assert!(counted.count_total <= 200, "the octets and what shares them, not {} in all", counted.count_total);
    assert!(counted.bytes_total < 110 * text.len() as u64, "{} octets", counted.bytes_total);
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Server>() <= 1024, "{} octets without buffers", size_of::<Server>());
    let config = Arc::new(server::Config::new("mx.example.org".parse().unwrap()));
    let mut server = None;
    let counted = measure(|| {
        let mut session = Server::new(config, 1);
        run(&mut session);
        server = Some(session);
    });
    let held = counted.bytes_current + size_of::<Server>() as i64;
    assert!(held <= 8 << 10, "greeted: {held} octets");

    let mut server = server.unwrap();
    let counted = measure(|| {
        say(&mut server, ENVELOPE);
        say(&mut server, &b"Subject: hi\r\n\r\nHello.\r\n.\r\n"[..]);
    });
    let held = held + counted.bytes_current;
    assert!(held <= 8 << 10, "after a message: {held} octets");
}

#[test]
fn an_idle_client_is_small() {
    use postrider_smtp::client::{Client, Config};
    assert!(size_of::<Client>() <= 1024, "{} octets without buffers", size_of::<Client>());
    let config = Arc::new(Config::new("client.example.org".parse().unwrap()));
    let mut client = None;
    let counted = measure(|| {
        let mut session = Client::new(config, 1);
        for said in ["220 mx.example.org ESMTP\r\n", "250-mx.example.org\r\n250-SIZE 1000\r\n250 DSN\r\n"] {
            assert_eq!(session.receive(said.as_bytes()), said.len());
            while let Step::Event(_) = session.poll(Instant::ORIGIN) {}
            session.sent(session.output().len());
            while let Step::Event(_) = session.poll(Instant::ORIGIN) {}
        }
        client = Some(session);
    });
    assert!(client.unwrap().capabilities().is_some_and(|offered| offered.dsn));
    let held = counted.bytes_current + size_of::<Client>() as i64;
    assert!(held <= 8 << 10, "{held} octets");
}
