//! Other people's clients submit to us, for our own users.

use postrider_interop::clients;
use postrider_interop::messages::Message;
use postrider_interop::{Authority, Options, Postriderd, Security};

use crate::{ALICE, BOB, SUBMITTERS, ours};

//= 4954-7-1
#[test]
fn every_submitter_reaches_a_mailbox() {
    let server = Postriderd::start(&Authority::new(), &ours());
    let mut sent = Vec::new();
    for (name, submit) in SUBMITTERS {
        for security in [Security::StartTls, Security::Tls] {
            let at = server.submission(ALICE, security);
            for message in Message::small_sizes(ALICE, BOB, &format!("{name}.{security:?}")) {
                submit(&at, ALICE, &[BOB], &message).ok();
                sent.push(message);
            }
        }
    }
    clients::imaplib(&server.imap(BOB, Security::Tls)).assert_are(&sent);
    clients::poplib(&server.pop3(BOB, Security::StartTls)).assert_are(&sent);
}

#[test]
fn one_message_for_two_users_is_in_both_mailboxes() {
    let server = Postriderd::start(&Authority::new(), &ours());
    let message = Message::medium(ALICE, BOB, "both@client.test");
    clients::smtplib(&server.submission(ALICE, Security::StartTls), ALICE, &[ALICE, BOB], &message).ok();
    for user in [ALICE, BOB] {
        clients::imaplib(&server.imap(user, Security::StartTls)).assert_are(std::slice::from_ref(&message));
    }
}

#[test]
fn without_users_any_name_and_password_do_and_the_server_makes_its_certificate() {
    let options = Options {
        domains: vec!["localhost".into()],
        own_certificate: true,
        // Such a certificate covers 127.0.0.1, but not the other loopback addresses.
        listen: Some(std::net::Ipv4Addr::LOCALHOST.into()),
        ..Options::default()
    };
    let server = Postriderd::start(&Authority::new(), &options);
    let message = Message::small("dave@localhost", "erin@localhost", "any@client.test");
    let at = server.submission("dave@localhost", Security::StartTls);
    clients::curl_submit(&at, "dave@localhost", &["erin@localhost"], &message).ok();
    clients::imaplib(&server.imap("erin@localhost", Security::Tls)).assert_are(&[message]);
}

#[test]
fn a_sender_that_is_not_the_user_is_refused() {
    let server = Postriderd::start(&Authority::new(), &ours());
    let message = Message::small(BOB, ALICE, "forged@client.test");
    let done = clients::curl_submit(&server.submission(ALICE, Security::StartTls), BOB, &[ALICE], &message);
    assert!(!done.status.success(), "{done}");
    assert!(done.stderr.contains("\n< 5"), "{done}");
    clients::imaplib(&server.imap(ALICE, Security::Tls)).assert_are(&[]);
}

#[test]
fn without_tls_no_password_is_taken() {
    let server = Postriderd::start(&Authority::new(), &ours());
    let message = Message::small(ALICE, BOB, "clear@client.test");
    let done = clients::smtplib(&server.submission(ALICE, Security::Clear), ALICE, &[BOB], &message);
    assert!(!done.status.success(), "{done}");
    clients::imaplib(&server.imap(BOB, Security::Tls)).assert_are(&[]);
}
