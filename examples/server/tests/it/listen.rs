//! Who may connect, and for whom.

use crate::{Server, Talk, serve, user};

/// A server whose neighbours on loopback are trusted, and which takes few connections from one address.
fn trusting(more: &str) -> (tempfile::TempDir, Server) {
    serve(&format!("{more}{}", user("ada@ours.test", "secret")))
}

const SERVICES: [(&str, &str, &str); 5] = [
    ("smtp", "220 ", "421 4.3.2 "),
    ("submission", "220 ", "421 4.3.2 "),
    ("lmtp", "220 ", "421 4.3.2 "),
    ("imap", "* OK ", "* BYE "),
    ("pop3", "+OK ", "-ERR "),
];

#[test]
fn too_many_connections_from_an_address_are_told_so_in_each_protocol() {
    let (_place, server) = trusting("[limits]\nconnections_per_address = 2\n");
    for (service, welcome, farewell) in SERVICES {
        // Until those of the service before have left.
        let connect = || loop {
            let mut talk = server.talk(service);
            if talk.line().starts_with(welcome) {
                return talk;
            }
        };
        let mut open = [connect(), connect()];
        let mut third = server.talk(service);
        let said = third.line();
        assert!(said.starts_with(farewell) && said.contains("2 connections from this address"), "{service}: {said}");
        assert_eq!(third.line(), "", "and that is all");
        drop(third);
        for talk in &mut open {
            let quit = if service == "imap" { "a LOGOUT" } else { "QUIT" };
            talk.send(quit);
            while !talk.line().is_empty() {}
        }
    }
}

/// Delivers a message to Ada, and gives its newest `Received` field.
fn received(server: &Server, mut smtp: Talk) -> String {
    assert!(smtp.reply().starts_with("220 "));
    deliver(server, &mut smtp)
}

fn deliver(server: &Server, smtp: &mut Talk) -> String {
    assert!(smtp.ask("EHLO client.test").starts_with("250 "));
    assert_eq!(&smtp.ask("MAIL FROM:<x@client.test>")[..3], "250");
    assert_eq!(&smtp.ask("RCPT TO:<ada@ours.test>")[..3], "250");
    assert_eq!(&smtp.ask("DATA")[..3], "354");
    smtp.send("Subject: x\r\n\r\nbody");
    assert_eq!(&smtp.ask(".")[..3], "250");
    let last = server.pop3("ada@ours.test").pop().expect("it is there");
    last.lines().find(|line| line.starts_with("Received:")).expect("a field").to_owned()
}

#[test]
fn case_35_a_trusted_proxy_says_who_the_client_is() {
    let (_place, server) = trusting("[proxies]\nsmtp = [\"127.0.0.0/8\"]\nimap = [\"127.0.0.1\"]\n");
    let mut smtp = server.talk("smtp");
    smtp.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 25");
    assert!(received(&server, smtp).contains("([192.0.2.7])"));
    let mut imap = server.talk("imap");
    imap.send("PROXY TCP6 2001:db8::1 2001:db8::2 4711 143");
    assert!(imap.line().starts_with("* OK "));
    // Whoever is trusted and sends none is no client, and where nobody is trusted it is no header.
    let mut smtp = server.talk("smtp");
    smtp.send("EHLO client.t");
    assert_eq!(smtp.line(), "");
    let mut lmtp = server.talk("lmtp");
    assert!(lmtp.line().starts_with("220 "));
    assert_eq!(&lmtp.ask("PROXY TCP4 192.0.2.7 198.51.100.1 4711 25")[..3], "421");
}

/// The proxy's own rights are not those of a client that it does not know.
#[test]
fn case_35_who_a_proxy_does_not_know_has_not_its_rights() {
    let (_place, server) = trusting("[proxies]\nsmtp = [\"127.0.0.1\"]\n[xclient]\nsmtp = [\"127.0.0.1\"]\n");
    for header in ["PROXY UNKNOWN", "PROXY TCP4 192.0.2.7 198.51.100.1 4711 25"] {
        let mut smtp = server.talk("smtp");
        smtp.send(header);
        assert!(smtp.line().starts_with("220 "), "{header}");
        smtp.send("EHLO client.test");
        assert!(!smtp.lines().iter().any(|line| line.contains("XCLIENT")), "{header}");
        assert_eq!(&smtp.ask("XCLIENT ADDR=192.0.2.9")[..3], "550", "{header}");
    }
}

#[test]
fn clients_behind_a_proxy_are_counted_by_their_own_addresses() {
    let (_place, server) = trusting("[limits]\nconnections_per_address = 1\n[proxies]\nsmtp = [\"127.0.0.1\"]\n");
    let connect = |client: &str| {
        let mut smtp = server.talk("smtp");
        smtp.send(&format!("PROXY TCP4 {client} 198.51.100.1 4711 25"));
        let said = smtp.line();
        (smtp, said)
    };
    let (_open, first) = connect("192.0.2.7");
    assert!(first.starts_with("220 ") && connect("192.0.2.8").1.starts_with("220 "));
    assert!(connect("192.0.2.7").1.starts_with("421 "));
}

#[test]
fn case_36_xclient_is_for_those_who_are_trusted() {
    let (_place, server) = trusting("[xclient]\nsmtp = [\"127.0.0.1\"]\n");
    let mut smtp = server.talk("smtp");
    smtp.line();
    smtp.send("EHLO proxy.test");
    let offered = smtp.lines();
    assert!(offered.iter().any(|line| line[4..].starts_with("XCLIENT ")), "{offered:?}");
    assert_eq!(&smtp.ask("XCLIENT ADDR=192.0.2.9 NAME=client.test")[..3], "220");
    assert!(deliver(&server, &mut smtp).contains("([192.0.2.9])"));
    let mut other = server.talk("submission");
    other.line();
    other.send("EHLO client.test");
    assert!(!other.lines().iter().any(|line| line.contains("XCLIENT")));
    assert_eq!(&other.ask("XCLIENT ADDR=192.0.2.9")[..3], "550");
}
