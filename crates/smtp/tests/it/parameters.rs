//! Parameters of MAIL and RCPT: what is sent to whom, and how long they may be.

use postrider_core::{Instant, Machine, Session, Step};
use postrider_smtp::client::{Config, Event};
use postrider_smtp::wire::{Command, EnvelopeId, OriginalRecipient, Quirks};
use postrider_smtp::{Client, Envelope, Mailbox, ReversePath};
use std::sync::Arc;

/// What a client says of an envelope to a server that offers this.
fn said(envelope: Envelope, offered: &str) -> String {
    let mut client = Client::new(Arc::new(Config::new("client.example".parse().expect("a name"))), 1);
    let replies = format!("220 mx.example\r\n250-mx.example\r\n250-PIPELINING\r\n250 {offered}\r\n");
    assert_eq!(client.receive(replies.as_bytes()), replies.len());
    while let Step::Event(event) = client.poll(Instant::ORIGIN) {
        if let Event::Ready = event {
            client.send(envelope.clone()).expect("it is ready");
        }
    }
    String::from_utf8(client.output().to_vec()).expect("ASCII")
}

//= 3461-5.2.2-1
#[test]
fn reports_are_asked_for_only_where_they_are_offered() {
    let mailbox = |text| Mailbox::parse(text).expect("an address");
    let mut envelope = Envelope::new(ReversePath::Mailbox(mailbox("a@client.example"))).and_to(mailbox("x@mx.example"));
    envelope.params = " RET=HDRS ENVID=QQ314159".parse().expect("parameters");
    envelope.recipients[0].params = " NOTIFY=SUCCESS ORCPT=rfc822;Bob@mx.example".parse().expect("parameters");
    let with = said(envelope.clone(), "DSN");
    assert!(with.contains("MAIL FROM:<a@client.example> RET=HDRS ENVID=QQ314159\r\n"), "{with}");
    assert!(with.contains("RCPT TO:<x@mx.example> NOTIFY=SUCCESS ORCPT=rfc822;Bob@mx.example\r\n"), "{with}");
    let without = said(envelope, "SMTPUTF8");
    assert!(without.ends_with("MAIL FROM:<a@client.example>\r\nRCPT TO:<x@mx.example>\r\nDATA\r\n"), "{without}");
}

/// RFC 3461, 4.2: an atom, so that what nobody has registered may be said too.
#[test]
fn the_type_of_an_original_recipient_is_an_atom() {
    for (kind, good) in [
        ("rfc822", true),
        ("X-400", true),
        ("x_400", true),
        ("x400!", true),
        ("a/b", true),
        ("x.400", false),
        ("x=400", false),
        ("x+400", false),
        ("", false),
        ("x(y)", false),
        ("\u{fc}", false),
        ("x@y", false),
        ("\"x\"", false),
    ] {
        let line = format!("RCPT TO:<a@c.example> ORCPT={kind};a@b");
        match Command::parse(line.as_bytes(), Quirks::NONE) {
            Ok(command @ Command::Rcpt { .. }) => {
                assert!(good, "{kind}");
                assert_eq!(command.encode(), line);
            }
            other => assert!(!good, "{kind}: {other:?}"),
        }
        assert_eq!(OriginalRecipient::new(kind, "a@b").is_ok(), good, "{kind}");
    }
}

//= 3461-5.4-1
#[test]
fn the_longest_values_are_taken() {
    let id = "i".repeat(100);
    let line = format!("MAIL FROM:<a@c.example> ENVID={id}");
    match Command::parse(line.as_bytes(), Quirks::NONE) {
        Ok(Command::Mail { params, .. }) => assert_eq!(params.envelope_id.as_ref().map(EnvelopeId::as_str), Some(&*id)),
        other => panic!("{other:?}"),
    }
    let address = "o".repeat(500 - "rfc822;".len());
    let line = format!("RCPT TO:<a@c.example> ORCPT=rfc822;{address}");
    match Command::parse(line.as_bytes(), Quirks::NONE) {
        Ok(Command::Rcpt { params, .. }) => {
            assert_eq!(params.original.as_ref().map(OriginalRecipient::address), Some(&*address));
        }
        other => panic!("{other:?}"),
    }
}
