//! Our client with other people's servers: it submits to Postfix and reads from Dovecot.

use postrider_interop::messages::Message;
use postrider_interop::{
    Authority, Dovecot, Endpoint, Finished, PASSWORD, Place, Postfix, PostfixOptions, Security, maildir, postrider,
};

use crate::{LIMIT, LONG, assert_sentence};

const ALICE: &str = "alice@postfix.test";
const BOB: &str = "bob@postfix.test";

// The codes of sysexits.h.
const UNAVAILABLE: i32 = 69;
const NO_PERMISSION: i32 = 77;

/// Postfix, which asks Dovecot for passwords and hands mail to it.
struct World {
    postfix: Postfix,
    dovecot: Dovecot,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new();
        let dovecot = Dovecot::start(&authority, &[ALICE, BOB]);
        let options = PostfixOptions {
            auth: Some(dovecot.auth()),
            lmtp: Some(dovecot.lmtp()),
            mailboxes: vec![ALICE.into(), BOB.into()],
            relay_for_loopback: false,
            ..PostfixOptions::default()
        };
        Self { postfix: Postfix::start(&authority, &options), dovecot }
    }

    /// Has our client send each message, and waits until Dovecot has them.
    #[track_caller]
    fn send(&self, security: Security, messages: &[Message]) {
        let before = maildir::files(&self.dovecot.maildir(BOB)).len();
        for message in messages {
            send(&self.postfix.smtp(security, Some((ALICE, PASSWORD))), &[BOB], message).ok();
        }
        maildir::wait_for(&self.dovecot.maildir(BOB), before + messages.len(), LONG);
    }
}

/// `scheme://USER@HOST:PORT`, as the client's options take it.
fn url(scheme: &str, at: &Endpoint) -> String {
    let tls = if at.security == Security::Tls { "s" } else { "" };
    let user = at.login.as_ref().map(|(user, _)| user.replace('@', "%40") + "@").unwrap_or_default();
    format!("{scheme}{tls}://{user}{}:{}", at.host, at.port)
}

/// Runs the client against an endpoint.
pub(crate) fn call(scheme: &str, at: &Endpoint, command: &[&str], input: &[u8]) -> Finished {
    // The option for POP3 is that for IMAP: the scheme tells.
    let option = if scheme == "smtp" { "--smtp" } else { "--imap" };
    let (url, ca) = (url(scheme, at), at.ca.display().to_string());
    let mut arguments = command.to_vec();
    arguments.extend([option, &url, "--ca", &ca]);
    if at.security == Security::StartTls {
        arguments.push("--starttls");
    }
    postrider(&arguments, at.login.as_ref().map_or("", |(_, password)| password), input)
}

fn send(at: &Endpoint, to: &[&str], message: &Message) -> Finished {
    let mut command = vec!["send", "--from", ALICE];
    for to in to {
        command.extend(["--to", to]);
    }
    call("smtp", at, &command, &message.bytes)
}

#[test]
fn our_client_submits_to_postfix_and_reads_from_dovecot() {
    let world = World::new();
    for security in [Security::StartTls, Security::Tls] {
        let sent = Message::small_sizes(ALICE, BOB, &format!("ours.{security:?}"));
        world.send(security, &sent);
        let at = world.dovecot.imap(BOB, security);
        let listed = call("imap", &at, &["list", "INBOX", "--json"], b"").ok().text();
        for message in &sent {
            let uid = uid_of(&listed, &message.id);
            let read = call("imap", &at, &["read", "INBOX", &uid, "--raw"], b"").ok();
            message.assert_is(&read.stdout);
        }
    }
}

#[test]
fn our_client_takes_mail_from_dovecot_by_pop3() {
    let world = World::new();
    let sent = Message::small_sizes(ALICE, BOB, "pop");
    world.send(Security::Tls, &sent);
    for security in [Security::StartTls, Security::Tls] {
        let place = Place::new("pop");
        let target = place.path("Maildir");
        let target = target.to_str().expect("our own name");
        call("pop3", &world.dovecot.pop3(BOB, security), &["pop", "--keep", target], b"").ok();
        Message::assert_all_unix(&sent, &maildir::wait_for(&place.path("Maildir"), sent.len(), LIMIT));
    }
}

#[test]
fn our_client_carries_150_megabytes_both_ways() {
    let world = World::new();
    let sent = Message::large(ALICE, BOB, "ours.150m@client.test");
    world.send(Security::StartTls, std::slice::from_ref(&sent));
    let at = world.dovecot.imap(BOB, Security::Tls);
    let listed = call("imap", &at, &["list", "INBOX", "--json"], b"").ok().text();
    let read = call("imap", &at, &["read", "INBOX", &uid_of(&listed, &sent.id), "--raw"], b"").ok();
    sent.assert_is(&read.stdout);
}

#[test]
fn our_client_lists_and_searches_what_dovecot_has() {
    let world = World::new();
    let sent = Message::small_sizes(ALICE, BOB, "search");
    world.send(Security::Tls, &sent);
    let at = world.dovecot.imap(BOB, Security::StartTls);
    let mailboxes = call("imap", &at, &["mailboxes"], b"").ok().text();
    assert!(mailboxes.contains("INBOX"), "{mailboxes}");
    let listed = call("imap", &at, &["list", "INBOX"], b"").ok().text();
    assert!(listed.contains("Small and plain") && listed.contains("Grüße aus Köln 📨"), "{listed}");
    let found = call("imap", &at, &["search", "INBOX", "subject", "plain", "--json"], b"").ok().text();
    let listed = call("imap", &at, &["list", "INBOX", "--json"], b"").ok().text();
    assert!(found.contains(&uid_of(&listed, &sent[0].id)), "{found}");
    assert!(!found.contains(&uid_of(&listed, &sent[1].id)), "{found}");
}

#[test]
fn our_client_watches_a_mailbox_of_dovecots() {
    let world = World::new();
    let at = world.dovecot.imap(BOB, Security::Tls);
    let watching = std::thread::spawn(move || {
        call("imap", &at, &["watch", "INBOX", "--count", "1", "--json", "--timeout", "30"], b"").ok().text()
    });
    // Whether the message comes before it watches or after: one that came before is not new, so another follows.
    let mut sent = 0;
    while !watching.is_finished() {
        sent += 1;
        world.send(Security::Tls, &[Message::small(ALICE, BOB, &format!("watched.{sent}@client.test"))]);
        assert!(sent < 200, "it does not see any of {sent} messages");
    }
    let seen = watching.join().expect("it ends well");
    assert!(seen.contains("\"event\":\"new\"") && seen.contains("Small and plain"), "{seen}");

    let at = world.dovecot.imap(BOB, Security::StartTls);
    let counted = call("imap", &at, &["mailboxes", "--status", "--json"], b"").ok().text();
    assert!(counted.contains(&format!("\"messages\":{sent},\"unseen\":{sent}")), "{counted}");
    let read = call("imap", &at, &["read", "INBOX", "1", "--seen"], b"").ok().text();
    assert!(read.contains("Subject: Small and plain") && read.contains("\n.leading dot\n"), "{read}");
    let found = call("imap", &at, &["search", "INBOX", "seen", "--json"], b"").ok().text();
    assert_eq!(found, "{\"uid\":1}\n");
}

//= 4954-14-2, 2595-2.4-1, 2595-2.4-2, 5034-4-19
#[test]
fn our_client_says_what_is_wrong() {
    let world = World::new();
    let message = Message::small(ALICE, BOB, "wrong@client.test");
    let at = world.postfix.smtp(Security::StartTls, Some((ALICE, "wrong")));
    assert_sentence(&send(&at, &[BOB], &message), NO_PERMISSION, &["password"]);

    let mut at = world.dovecot.imap(BOB, Security::Tls);
    at.login = Some((BOB.into(), "wrong".into()));
    assert_sentence(&call("imap", &at, &["list", "INBOX"], b""), NO_PERMISSION, &["password"]);

    // Signed by an authority that the client was not told of.
    let stranger = Authority::new();
    let mut at = world.dovecot.imap(BOB, Security::Tls);
    at.ca = stranger.certificate();
    let done = call("imap", &at, &["list", "INBOX"], b"");
    assert!(!done.status.success() && done.stderr.contains("certificate"), "{done}");

    // Nobody listens there.
    let place = Place::new("nobody");
    let mut at = world.dovecot.imap(BOB, Security::Tls);
    (at.host, at.port) = (place.ip().to_string(), place.free_port());
    let port = at.port.to_string();
    assert_sentence(&call("imap", &at, &["list", "INBOX"], b""), UNAVAILABLE, &[&port]);

    // A refused recipient is named, with what the server said.
    let at = world.postfix.smtp(Security::StartTls, Some((ALICE, PASSWORD)));
    let done = send(&at, &["nobody@postfix.test"], &message);
    assert!(!done.status.success(), "{done}");
    let said = done.text() + &done.stderr;
    assert!(said.contains("nobody@postfix.test") && said.contains("550"), "{done}");
}

/// The UID of the message with this Message-ID, in what `list --json` printed: one object a line.
#[track_caller]
fn uid_of(listed: &str, id: &str) -> String {
    let found = listed
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|message| message.to_string().contains(id));
    let uid = found.and_then(|message| message["uid"].as_u64());
    uid.unwrap_or_else(|| panic!("no message {id} with a uid in what list printed:\n{listed}")).to_string()
}
