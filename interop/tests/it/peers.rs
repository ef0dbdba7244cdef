//! The peers alone: what the other tests rely on when they blame us.

use postrider_interop::clients::{self, Reading};
use postrider_interop::messages::Message;
use postrider_interop::{Authority, Dns, Dovecot, PASSWORD, Postfix, PostfixOptions, Security};

use crate::{LIMIT, SUBMITTERS};

const ALICE: &str = "alice@postfix.test";
const BOB: &str = "bob@postfix.test";

#[test]
fn every_submitter_reaches_a_maildir_of_postfix_unchanged() {
    let authority = Authority::new();
    let dovecot = Dovecot::start(&authority, &[ALICE]);
    let options = PostfixOptions {
        auth: Some(dovecot.auth()),
        relay_for_loopback: false,
        mailboxes: SUBMITTERS.map(|(name, _)| format!("{name}@postfix.test")).to_vec(),
        ..Default::default()
    };
    let postfix = Postfix::start(&authority, &options);
    for (name, submit) in SUBMITTERS {
        let mut sent = Vec::new();
        for security in [Security::StartTls, Security::Tls] {
            let to = format!("{name}@postfix.test");
            let at = postfix.smtp(security, Some((ALICE, PASSWORD)));
            for message in Message::small_sizes(ALICE, &to, &format!("{name}.{security:?}")) {
                submit(&at, ALICE, &[&to], &message).ok();
                sent.push(message);
            }
        }
        let got = postfix.delivered(&format!("{name}@postfix.test"), sent.len(), LIMIT);
        Message::assert_all_unix(&sent, &got);
    }
}

#[test]
fn every_reader_gets_from_dovecot_what_postfix_handed_over() {
    let authority = Authority::new();
    let dovecot = Dovecot::start(&authority, &[BOB]);
    let options = PostfixOptions { lmtp: Some(dovecot.lmtp()), mailboxes: vec![BOB.into()], ..Default::default() };
    let postfix = Postfix::start(&authority, &options);
    let sent = Message::small_sizes(ALICE, BOB, "readers");
    for message in &sent {
        clients::curl_submit(&postfix.smtp(Security::Clear, None), ALICE, &[BOB], message).ok();
    }
    postrider_interop::maildir::wait_for(&dovecot.maildir(BOB), sent.len(), LIMIT);
    for security in [Security::Clear, Security::StartTls, Security::Tls] {
        let (imap, pop3) = (dovecot.imap(BOB, security), dovecot.pop3(BOB, security));
        clients::curl_imap(&imap).assert_are(&sent);
        clients::curl_pop3(&pop3).assert_are(&sent);
        clients::imaplib(&imap).assert_are(&sent);
        clients::poplib(&pop3).assert_are(&sent);
        clients::mbsync(&imap).assert_are(&sent);
        clients::fetchmail(&imap, Reading::Imap).assert_are(&sent);
        clients::fetchmail(&pop3, Reading::Pop3).assert_are(&sent);
        clients::mutt(&imap, Reading::Imap).assert_are(&sent);
        clients::mutt(&pop3, Reading::Pop3).assert_are(&sent);
    }
}

#[test]
fn postfix_finds_another_postfix_by_mx() {
    let authority = Authority::new();
    let far = Postfix::start(
        &authority,
        &PostfixOptions {
            hostname: "mx.far.test".into(),
            mailboxes: vec!["carol@far.test".into()],
            ..Default::default()
        },
    );
    let dns = Dns::start(&Dns::mail_for("far.test", "mx.far.test", far.ip()));
    let near = Postfix::start(
        &authority,
        &PostfixOptions { dns: Some(dns.addr()), mx_port: far.port(), require_tls: true, ..Default::default() },
    );
    let sent = Message::small_sizes(ALICE, "carol@far.test", "mx");
    for message in &sent {
        clients::smtplib(&near.smtp(Security::Clear, None), ALICE, &["carol@far.test"], message).ok();
    }
    Message::assert_all_unix(&sent, &far.delivered("carol@far.test", sent.len(), LIMIT));
    assert!(dns.questions().contains("far.test. MX"), "the resolver was not asked for the MX");
    assert!(far.log().contains("TLSv1."), "the transfer was not encrypted");
}

#[test]
fn postfix_refuses_whom_it_does_not_know() {
    let authority = Authority::new();
    let postfix = Postfix::start(&authority, &PostfixOptions::default());
    let message = Message::small(ALICE, BOB, "refused@client.test");
    let done = clients::curl_submit(&postfix.smtp(Security::Clear, None), ALICE, &[BOB], &message);
    assert_eq!(done.code(), 55, "{done}");
    assert!(done.stderr.contains("< 550 5.1.1"), "{done}");
}

#[test]
fn peers_carry_150_megabytes() {
    let authority = Authority::new();
    let dovecot = Dovecot::start(&authority, &[BOB]);
    let options = PostfixOptions { lmtp: Some(dovecot.lmtp()), mailboxes: vec![BOB.into()], ..Default::default() };
    let postfix = Postfix::start(&authority, &options);
    let sent = [Message::large(ALICE, BOB, "large@client.test")];
    clients::curl_submit(&postfix.smtp(Security::StartTls, None), ALICE, &[BOB], &sent[0]).ok();
    postrider_interop::maildir::wait_for(&dovecot.maildir(BOB), 1, LIMIT);
    clients::curl_imap(&dovecot.imap(BOB, Security::Tls)).assert_are(&sent);
    clients::poplib(&dovecot.pop3(BOB, Security::StartTls)).assert_are(&sent);
}
