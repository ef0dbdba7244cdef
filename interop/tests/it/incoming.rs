//! Mail comes to us: a real Postfix finds us by MX, other people's clients read it.

use postrider_interop::clients::{self, Fetched, Reading};
use postrider_interop::messages::Message;
use postrider_interop::{Authority, Dns, Options, Postfix, PostfixOptions, Postriderd, Security, until};

use crate::{BOB, CAROL, LIMIT, LONG, ours};

/// A server of ours, and a Postfix that finds it by MX and insists on verified TLS.
struct World {
    server: Postriderd,
    near: Postfix,
    _dns: Dns,
}

impl World {
    fn new(options: &Options) -> Self {
        let authority = Authority::new();
        let server = Postriderd::start(&authority, options);
        let dns = Dns::start(&Dns::mail_for("ours.test", "mx.ours.test", server.ip()));
        let near = PostfixOptions {
            hostname: "mx.far.test".into(),
            mailboxes: vec![CAROL.into()],
            dns: Some(dns.addr()),
            mx_port: server.ready().port("smtp"),
            require_tls: true,
            ..PostfixOptions::default()
        };
        Self { server, near: Postfix::start(&authority, &near), _dns: dns }
    }

    /// Hands the messages to Postfix and waits until Postfix has handed them to us.
    #[track_caller]
    fn deliver(&self, messages: &[Message]) {
        for message in messages {
            clients::curl_submit(&self.near.smtp(Security::Clear, None), CAROL, &[BOB], message).ok();
        }
        until("Postfix to have delivered", LONG, || {
            (self.near.log().matches("status=sent").count() >= messages.len()).then_some(())
        });
    }
}

/// A way to read Bob's mail.
type Reader = fn(&Postriderd, Security) -> Fetched;

const READERS: [(&str, Reader); 9] = [
    ("mbsync", |server, security| clients::mbsync(&server.imap(BOB, security))),
    ("fetchmail, IMAP", |server, security| clients::fetchmail(&server.imap(BOB, security), Reading::Imap)),
    ("fetchmail, POP3", |server, security| clients::fetchmail(&server.pop3(BOB, security), Reading::Pop3)),
    ("curl, IMAP", |server, security| clients::curl_imap(&server.imap(BOB, security))),
    ("curl, POP3", |server, security| clients::curl_pop3(&server.pop3(BOB, security))),
    ("mutt, IMAP", |server, security| clients::mutt(&server.imap(BOB, security), Reading::Imap)),
    ("mutt, POP3", |server, security| clients::mutt(&server.pop3(BOB, security), Reading::Pop3)),
    ("imaplib", |server, security| clients::imaplib(&server.imap(BOB, security))),
    ("poplib", |server, security| clients::poplib(&server.pop3(BOB, security))),
];

fn everybody_reads(server: &Postriderd, security: Security, sent: &[Message]) {
    for (name, read) in READERS {
        // Shown when the test fails.
        eprintln!("{name}, {security:?}");
        read(server, security).assert_are(sent);
    }
}

#[test]
fn postfix_delivers_by_mx_and_everybody_reads_it() {
    let world = World::new(&ours());
    let sent = Message::small_sizes(CAROL, BOB, "mx");
    world.deliver(&sent);
    everybody_reads(&world.server, Security::StartTls, &sent);
    everybody_reads(&world.server, Security::Tls, &sent);
    assert!(world.near.log().contains("Verified TLS connection established to"), "{}", world.near.log());
}

#[test]
fn everybody_reads_without_tls_where_that_is_allowed() {
    let world = World::new(&Options { plaintext_auth: true, ..ours() });
    let sent = Message::small_sizes(CAROL, BOB, "clear");
    world.deliver(&sent);
    everybody_reads(&world.server, Security::Clear, &sent);
}

#[test]
fn postfix_delivers_150_megabytes_and_everybody_reads_them() {
    let world = World::new(&ours());
    let sent = [Message::large(CAROL, BOB, "mx.150m@client.test")];
    world.deliver(&sent);
    everybody_reads(&world.server, Security::Tls, &sent);
}

#[test]
fn an_unknown_recipient_is_refused_while_the_sender_is_there_to_hear_it() {
    let world = World::new(&ours());
    let message = Message::small(CAROL, "nobody@ours.test", "unknown@client.test");
    clients::curl_submit(&world.near.smtp(Security::Clear, None), CAROL, &["nobody@ours.test"], &message).ok();
    // Postfix reports to its own Carol.
    let report = world.near.delivered(CAROL, 1, LIMIT).remove(0);
    let report = String::from_utf8_lossy(&report);
    assert!(report.contains("550 5.1.1") && report.contains("in reply to RCPT TO command"), "{report}");
}

//= 5321-7.9-1
#[test]
fn nobody_relays_through_us() {
    let server = Postriderd::start(&Authority::new(), &ours());
    let message = Message::small(CAROL, "x@elsewhere.test", "relay@client.test");
    let done = clients::curl_submit(&server.smtp(), CAROL, &["x@elsewhere.test"], &message);
    assert_eq!(done.code(), 55, "{done}");
    assert!(done.stderr.contains("\n< 55"), "{done}");
}
