//! LMTP, where each recipient has the last word on a message: our client hands over to Dovecot, and Postfix hands over
//! to our server.

use bytes::Bytes;
use postrider_core::Text;
use postrider_interop::clients;
use postrider_interop::messages::Message;
use postrider_interop::{Authority, Dovecot, Endpoint, Postfix, PostfixOptions, Postriderd, Security, maildir, until};
use postrider_smtp::client::{self, Outcome, RefusedAt};
use postrider_smtp::{HelloName, Refusal, server};

use crate::library::{Client, Moment, OurServer, envelope};
use crate::{ALICE, BOB, CAROL, LIMIT, ours};

fn name(text: &str) -> HelloName {
    text.parse().expect("a name")
}

/// Two recipients get the message, one does not exist, and one has a mailbox that cannot be opened now.
#[tokio::test]
async fn our_library_hands_over_to_dovecot() {
    let authority = Authority::new();
    let dovecot = Dovecot::start(&authority, &[ALICE, BOB, CAROL]);
    // A file where Carol's home should be.
    std::fs::write(dovecot.home(CAROL), b"").expect("own directory");
    let at = Endpoint {
        host: dovecot.ip().to_string(),
        name: "dovecot.test".into(),
        port: dovecot.lmtp().port(),
        security: Security::Clear,
        login: None,
        ca: authority.certificate(),
    };
    let mut client = Client::try_open(&at, client::Config::lmtp(name("client.test"))).await.expect("a greeting");
    let mut sent = Vec::new();
    for message in [
        Message::small(ALICE, BOB, "small@client.test"),
        Message::medium(ALICE, BOB, "8bit@client.test"),
        Message::odd(ALICE, BOB, "odd@client.test"),
        Message::of_size(ALICE, BOB, "large@client.test", 5_000_000),
    ] {
        let envelope = envelope(ALICE, &[ALICE, "nobody@ours.test", CAROL, BOB], &message);
        let outcomes = client.connection.send(envelope, Bytes::copy_from_slice(&message.bytes)).await;
        let outcomes = outcomes.expect("it can be sent");
        assert!(outcomes[0].is_delivered() && outcomes[3].is_delivered(), "{outcomes:?}");
        assert!(
            matches!(&outcomes[1], Outcome::Refused { at: RefusedAt::Rcpt, reply } if reply.code().number() == 550),
            "{outcomes:?}"
        );
        assert!(
            matches!(&outcomes[2], Outcome::Refused { at: RefusedAt::Message, reply } if reply.is_transient()),
            "{outcomes:?}"
        );
        sent.push(message);
    }
    client.connection.quit().await.expect("an orderly end");
    for user in [ALICE, BOB] {
        Message::assert_all_unix(&sent, &maildir::wait_for(&dovecot.maildir(user), sent.len(), LIMIT));
    }
}

/// `full` is refused for good, `later` the first time, both only once the message is there.
fn verdicts(to: &str, when: Moment) -> Result<(), Refusal> {
    let local_part = to.split('@').next().unwrap_or_default();
    match (local_part, when) {
        ("gone", Moment::Rcpt) => Err(Refusal::permanent(550, (1, 6), Text::literal("Moved away"))),
        ("full", Moment::Message(_)) => Err(Refusal::permanent(552, (2, 2), Text::literal("Mailbox full"))),
        ("later", Moment::Message(0)) => Err(Refusal::transient(450, (2, 1), Text::literal("Mailbox is busy"))),
        _ => Ok(()),
    }
}

#[test]
fn postfix_hands_over_to_our_library_and_each_recipient_has_its_own_verdict() {
    let authority = Authority::new();
    let mut config = server::Config::lmtp(name("ours.test"));
    config.undecided = 4;
    let server = OurServer::start(&authority, config, verdicts);
    let to = [BOB, "full@ours.test", "later@ours.test", "gone@ours.test"];
    let postfix = Postfix::start(
        &authority,
        &PostfixOptions {
            lmtp: Some(server.at()),
            mailboxes: to.iter().chain(&[ALICE]).map(|name| (*name).to_owned()).collect(),
            // One transaction for all of them.
            more: "virtual_destination_recipient_limit = 50\nlmtp_destination_recipient_limit = 50\n".into(),
            ..PostfixOptions::default()
        },
    );
    let message = Message::medium(ALICE, BOB, "verdicts@client.test");
    clients::curl_submit(&postfix.smtp(Security::Clear, None), ALICE, &to, &message).ok();

    let one = std::slice::from_ref(&message);
    let bob = until("Bob's message", LIMIT, || Some(server.delivered(BOB)).filter(|got| !got.is_empty()));
    Message::assert_all(one, &bob);
    let later =
        until("the second attempt", LIMIT, || Some(server.delivered("later@ours.test")).filter(|got| !got.is_empty()));
    Message::assert_all(one, &later);
    let report = until("the report", LIMIT, || server.delivered(ALICE).pop());
    let report = String::from_utf8(report).expect("a report is text");
    for part in ["full@ours.test", "552 5.2.2 Mailbox full", "gone@ours.test", "550 5.1.6 Moved away"] {
        assert!(report.contains(part), "{part:?} is not in the report:\n{report}");
    }
    assert!(!report.contains("Mailbox is busy"), "{report}");
    until("an empty queue", LIMIT, || postfix.queue().contains("Mail queue is empty").then_some(()));

    let taken = server.taken();
    let first = &taken[0];
    let accepted: Vec<_> = first.to.iter().map(|(name, yes)| (name.as_str(), *yes)).collect();
    assert_eq!(accepted, [(BOB, true), ("full@ours.test", false), ("later@ours.test", false)]);
    assert_eq!(first.params.body, Some(postrider_smtp::wire::BodyType::EightBitMime));
    // Nobody got it twice: the second attempt was for the one who was busy.
    assert_eq!(taken.iter().filter(|taken| taken.from == format!("<{ALICE}>")).count(), 2, "{taken:?}");
}

#[test]
fn postfix_hands_over_to_our_server() {
    let authority = Authority::new();
    let server = Postriderd::start(&authority, &ours());
    let postfix = Postfix::start(
        &authority,
        &PostfixOptions {
            lmtp: Some(server.at("lmtp")),
            mailboxes: vec![ALICE.into(), BOB.into(), "nobody@ours.test".into()],
            ..PostfixOptions::default()
        },
    );
    let mut sent = Message::small_sizes(CAROL, BOB, "lmtp").to_vec();
    sent.push(Message::odd(CAROL, BOB, "odd@client.test"));
    for message in &sent {
        clients::curl_submit(&postfix.smtp(Security::StartTls, None), CAROL, &[ALICE, BOB], message).ok();
    }
    until("an empty queue", LIMIT, || postfix.queue().contains("Mail queue is empty").then_some(()));
    for user in [ALICE, BOB] {
        clients::imaplib(&server.imap(user, Security::Tls)).assert_are(&sent);
    }

    // One who does not exist there comes back to the sender, and the other is served.
    let message = Message::small(ALICE, BOB, "nobody@client.test");
    clients::curl_submit(&postfix.smtp(Security::Clear, None), ALICE, &["nobody@ours.test", BOB], &message).ok();
    until("an empty queue", LIMIT, || postfix.queue().contains("Mail queue is empty").then_some(()));
    let mut all = sent.clone();
    all.push(message);
    clients::poplib(&server.pop3(BOB, Security::Tls)).assert_are(&all);
    let inbox = clients::imaplib(&server.imap(ALICE, Security::Tls)).messages;
    let report = String::from_utf8_lossy(inbox.last().expect("a report"));
    assert!(inbox.len() == sent.len() + 1 && report.contains("nobody@ours.test"), "{report}");
}

/// Many sessions and recipients at once, from a client that does nothing else.
#[test]
fn smtp_source_speaks_lmtp_with_our_library() {
    let mut config = server::Config::lmtp(name("ours.test"));
    config.undecided = 8;
    let server = OurServer::start(&Authority::new(), config, |_, _| Ok(()));
    let message = Message::odd(ALICE, BOB, "source@client.test");
    let options = ["-L", "-s", "8", "-m", "80", "-r", "5", "-d", "-f", ALICE, "-t", BOB];
    clients::smtp_source(server.at(), &message, &options).ok();
    let taken = server.taken();
    assert_eq!(taken.len(), 80);
    for taken in &taken {
        message.assert_is(&taken.octets);
        assert_eq!((taken.from.as_str(), taken.to.len()), (&*format!("<{ALICE}>"), 5), "{taken:?}");
    }
}
