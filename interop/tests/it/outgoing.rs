//! Mail leaves us: submitted by other people's clients, routed by a real resolver, taken by a real Postfix.

use postrider_interop::clients;
use postrider_interop::messages::Message;
use postrider_interop::{Authority, Dns, Options, Place, Postfix, PostfixOptions, Postriderd, Security, until};

use crate::{ALICE, CAROL, LIMIT, LONG, SUBMITTERS, ours};

/// A Postfix for far.test, a resolver that leads there, and a server of ours that asks it.
struct World {
    server: Postriderd,
    dns: Dns,
    far: Postfix,
}

impl World {
    fn new(mailboxes: &[&str]) -> Self {
        let authority = Authority::new();
        let far = Postfix::start(&authority, &far_options(mailboxes));
        let dns = Dns::start(&Dns::mail_for("far.test", "mx.far.test", far.ip()));
        let options = Options { dns: Some(dns.addr()), mx_port: Some(far.port()), ..ours() };
        Self { server: Postriderd::start(&authority, &options), dns, far }
    }

    /// Waits for the one message in Alice's inbox.
    #[track_caller]
    fn report(&self) -> String {
        let report = until("a report in Alice's inbox", LIMIT, || {
            clients::imaplib(&self.server.imap(ALICE, Security::Tls)).messages.pop()
        });
        String::from_utf8(report).expect("a report is text")
    }
}

fn far_options(mailboxes: &[&str]) -> PostfixOptions {
    PostfixOptions {
        hostname: "mx.far.test".into(),
        mailboxes: mailboxes.iter().map(|address| (*address).to_owned()).collect(),
        relay_for_loopback: false,
        ..PostfixOptions::default()
    }
}

//= 5321-2.4-4, 5321-3.6.3-5, 5321-6.4-1, 5321-4.5.4.1-1
#[test]
fn submitted_mail_arrives_at_postfix_by_mx() {
    let World { server, dns, far } = World::new(&[CAROL]);
    let mut sent = Vec::new();
    for (name, submit) in SUBMITTERS {
        for security in [Security::StartTls, Security::Tls] {
            let at = server.submission(ALICE, security);
            for message in Message::small_sizes(ALICE, CAROL, &format!("{name}.{security:?}")) {
                submit(&at, ALICE, &[CAROL], &message).ok();
                sent.push(message);
            }
        }
    }
    Message::assert_all_unix(&sent, &far.delivered(CAROL, sent.len(), LIMIT));
    assert!(dns.questions().contains("far.test. MX"), "the resolver was not asked for the MX");
    // Postfix offers TLS, so it is used.
    assert!(far.log().contains("TLS connection established from"), "the transfer was not encrypted");
}

#[test]
fn every_submitter_sends_150_megabytes_to_postfix() {
    let mailboxes = SUBMITTERS.map(|(name, _)| format!("{name}@far.test"));
    let World { server, dns: _dns, far } = World::new(&mailboxes.each_ref().map(String::as_str));
    for ((name, submit), to) in SUBMITTERS.into_iter().zip(&mailboxes) {
        let message = Message::large(ALICE, to, &format!("{name}.150m@client.test"));
        submit(&server.submission(ALICE, Security::StartTls), ALICE, &[to], &message).ok();
        Message::assert_all_unix(&[message], &far.delivered(to, 1, LONG));
    }
}

#[test]
fn one_message_goes_to_each_of_its_domains() {
    let authority = Authority::new();
    let far = Postfix::start(&authority, &far_options(&[CAROL, "erin@far.test"]));
    let other = PostfixOptions {
        hostname: "other.test".into(),
        mailboxes: vec!["dave@other.test".into()],
        relay_for_loopback: false,
        ..PostfixOptions::default()
    };
    let other = Postfix::start_in(Place::new("other"), far.port(), &authority, &other);
    let mut records = Dns::mail_for("far.test", "mx.far.test", far.ip());
    // No MX: the name itself is the mail server's (RFC 5321, 5.1).
    records.push(format!("other.test. 60 IN A {}", other.ip()));
    let dns = Dns::start(&records);
    let options = Options { dns: Some(dns.addr()), mx_port: Some(far.port()), ..ours() };
    let server = Postriderd::start(&authority, &options);
    let message = [Message::medium(ALICE, CAROL, "domains@client.test")];
    let to = [CAROL, "erin@far.test", "dave@other.test", ALICE];
    clients::smtplib(&server.submission(ALICE, Security::Tls), ALICE, &to, &message[0]).ok();
    Message::assert_all_unix(&message, &far.delivered(CAROL, 1, LIMIT));
    Message::assert_all_unix(&message, &far.delivered("erin@far.test", 1, LIMIT));
    Message::assert_all_unix(&message, &other.delivered("dave@other.test", 1, LIMIT));
    clients::imaplib(&server.imap(ALICE, Security::Tls)).assert_are(&message);
}

//= 5321-3.3-6, 5321-3.6.3-1, 5321-4.1.1.4-5, 5321-4.4-11
#[test]
fn a_refused_recipient_comes_back_as_a_report_and_the_other_is_served() {
    let world = World::new(&[CAROL]);
    let message = Message::small(ALICE, CAROL, "refused@client.test");
    let to = [CAROL, "nobody@far.test"];
    clients::smtplib(&world.server.submission(ALICE, Security::StartTls), ALICE, &to, &message).ok();
    Message::assert_all_unix(&[message], &world.far.delivered(CAROL, 1, LIMIT));
    let report = world.report();
    for part in [
        "Return-Path: <>\r\n",
        "multipart/report",
        "report-type=delivery-status",
        "message/delivery-status",
        "Final-Recipient: rfc822; nobody@far.test\r\n",
        "Action: failed\r\n",
        "Status: 5.1.1\r\n",
        "Diagnostic-Code: smtp; 550",
        "refused@client.test",
    ] {
        assert!(report.contains(part), "{part:?} is not in the report:\n{report}");
    }
    assert!(!report.contains(&format!("Final-Recipient: rfc822; {CAROL}")), "{report}");
}

#[test]
fn a_domain_that_does_not_exist_comes_back_as_a_report() {
    let world = World::new(&[CAROL]);
    let message = Message::small(ALICE, "x@nowhere.test", "nowhere@client.test");
    let at = world.server.submission(ALICE, Security::StartTls);
    clients::curl_submit(&at, ALICE, &["x@nowhere.test"], &message).ok();
    let report = world.report();
    assert!(report.contains("x@nowhere.test") && report.contains("Action: failed\r\n"), "{report}");
}

#[test]
fn a_dead_resolver_delays_mail_and_loses_none() {
    let authority = Authority::new();
    let far = Postfix::start(&authority, &far_options(&[CAROL]));
    let resolver = Place::new("dns");
    let options = Options { dns: Some(resolver.at(53)), mx_port: Some(far.port()), retry_seconds: Some(1), ..ours() };
    let server = Postriderd::start(&authority, &options);
    let sent = Message::small_sizes(ALICE, CAROL, "dead-dns");
    for message in &sent {
        clients::curl_submit(&server.submission(ALICE, Security::StartTls), ALICE, &[CAROL], message).ok();
    }
    // It was answered 250 though nobody could say where to send it; once somebody can, it leaves.
    let _dns = Dns::start_in(resolver, &Dns::mail_for("far.test", "mx.far.test", far.ip()));
    Message::assert_all_unix(&sent, &far.delivered(CAROL, sent.len(), LONG));
    clients::imaplib(&server.imap(ALICE, Security::Tls)).assert_are(&[]);
}

#[test]
fn a_destination_that_is_down_gets_its_mail_when_it_is_up() {
    let authority = Authority::new();
    let place = Place::new("far");
    let (ip, port) = (place.ip(), place.free_port());
    let dns = Dns::start(&Dns::mail_for("far.test", "mx.far.test", ip));
    let options = Options { dns: Some(dns.addr()), mx_port: Some(port), retry_seconds: Some(1), ..ours() };
    let server = Postriderd::start(&authority, &options);
    let sent = Message::small_sizes(ALICE, CAROL, "down");
    for message in &sent {
        clients::curl_submit(&server.submission(ALICE, Security::StartTls), ALICE, &[CAROL], message).ok();
    }
    until("a question for the MX", LIMIT, || dns.questions().contains("far.test. MX").then_some(()));
    let far = Postfix::start_in(place, port, &authority, &far_options(&[CAROL]));
    Message::assert_all_unix(&sent, &far.delivered(CAROL, sent.len(), LONG));
    clients::imaplib(&server.imap(ALICE, Security::Tls)).assert_are(&[]);
}
