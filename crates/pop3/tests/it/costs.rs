//! What is counted and not timed: allocations, and the memory of a session that waits.

use allocation_counter::measure;
use postrider_core::{Instant, Machine, Session, Step};
use postrider_pop3::wire::{Command, scan_listing, unique_id_listing};
use postrider_pop3::{client, server};
use std::sync::Arc;

#[test]
fn a_listing_allocates_nothing() {
    let counted = measure(|| {
        assert_eq!(scan_listing(b"17 123456"), Ok((17, 123_456)));
        let (message, id) = unique_id_listing(b"17 0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!((message, id.unwrap().as_str()), (17, "0123456789abcdef0123456789abcdef"));
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn commands_with_numbers_allocate_nothing() {
    for line in ["STAT", "LIST", "LIST 3", "UIDL 3", "RETR 3", "TOP 3 10", "DELE 3", "QUIT", "STAT 3", "NONE", ""] {
        let counted = measure(|| drop(Command::parse(line.as_bytes())));
        assert_eq!(counted.count_total, 0, "{line}");
    }
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<server::Server>() <= 1024, "{} octets without buffers", size_of::<server::Server>());
    let config = Arc::new(server::Config::default());
    let mut server = None;
    let counted = measure(|| {
        let mut session = server::Server::new(config, 1);
        for said in ["", "CAPA\r\n", "USER ann\r\n"] {
            assert_eq!(session.receive(said.as_bytes()), said.len());
            while let Step::Event(_) = session.poll(Instant::ORIGIN) {}
            session.sent(session.output().len());
            while let Step::Event(_) = session.poll(Instant::ORIGIN) {}
        }
        server = Some(session);
    });
    let held = counted.bytes_current + size_of::<server::Server>() as i64;
    assert!(held <= 8 << 10, "{held} octets");
    drop(server);
}

#[test]
fn an_idle_client_is_small() {
    assert!(size_of::<client::Client>() <= 1024, "{} octets without buffers", size_of::<client::Client>());
    let config = Arc::new(client::Config::default());
    let mut client = None;
    let counted = measure(|| {
        let mut session = client::Client::new(config, 1);
        for said in ["+OK hello\r\n", "+OK\r\nUSER\r\nUIDL\r\nTOP\r\n.\r\n"] {
            assert_eq!(session.receive(said.as_bytes()), said.len());
            while let Step::Event(_) = session.poll(Instant::ORIGIN) {}
            session.sent(session.output().len());
            while let Step::Event(_) = session.poll(Instant::ORIGIN) {}
        }
        client = Some(session);
    });
    let held = counted.bytes_current + size_of::<client::Client>() as i64;
    assert!(held <= 8 << 10, "{held} octets");
    drop(client);
}
