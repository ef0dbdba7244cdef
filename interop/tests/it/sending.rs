//! Our client library with other people's servers: what it says for each recipient, what it says over the wire, and
//! that messages arrive octet for octet.

use postrider_core::Secret;
use postrider_interop::messages::Message;
use postrider_interop::{
    Aiosmtpd, Authority, Dovecot, Endpoint, Exim, OpenSmtpd, PASSWORD, Postfix, PostfixOptions, Security, maildir,
};
use postrider_sasl::{Channel, CramMd5, Login, Mechanism, MechanismName, Nonce, Plain, Scram, ScramHash};
use postrider_smtp::client::{Outcome, RefusedAt, SendError};
use postrider_smtp::tokio::ConnectionError;
use postrider_smtp::wire::{EnvelopeId, Notify, OriginalRecipient, Ret};

use crate::library::{Client, config, envelope};
use crate::{ALICE, CAROL, LIMIT};

const EACH: [Security; 3] = [Security::Clear, Security::StartTls, Security::Tls];
/// What Exim, OpenSMTPD and aiosmtpd take at most.
const MIB: u64 = 1 << 20;

/// Sends messages of every kind to Carol, each kind of connection carrying all of them one after the other.
async fn send_each_kind(peer: &str, large: usize, at: impl Fn(Security) -> Endpoint) -> Vec<Message> {
    let mut sent = Vec::new();
    for security in EACH {
        let mut client = Client::open(&at(security)).await;
        let id = |kind: &str| format!("{peer}.{security:?}.{kind}@client.test");
        let messages = [
            Message::small(ALICE, CAROL, &id("small")),
            Message::medium(ALICE, CAROL, &id("8bit")),
            Message::odd(ALICE, CAROL, &id("odd")),
            Message::of_size(ALICE, CAROL, &id("large"), large),
        ];
        for message in messages {
            client.take_talk();
            client.deliver(ALICE, &[CAROL], &message).await;
            assert_envelope(&mut client, &message);
            sent.push(message);
        }
        client.connection.quit().await.expect("an orderly end");
    }
    sent
}

/// What the client said of a message that it sent to Carol alone, and when.
#[track_caller]
fn assert_envelope(client: &mut Client, message: &Message) {
    let talk = client.take_talk();
    let offered = client.connection.capabilities().expect("it was greeted");
    let first_reply = talk.iter().position(|line| line.starts_with("S: ")).expect("replies");
    // With PIPELINING the commands go out together, without it one by one.
    // What goes out in chunks waits for the recipients.
    let chunks = talk.iter().any(|line| line.starts_with("C: BDAT "));
    let together = match (offered.pipelining, chunks) {
        (false, _) => 1,
        (true, true) => 2,
        (true, false) => 3,
    };
    assert_eq!(first_reply, together, "{talk:#?}");
    let size = format!(" SIZE={}", message.bytes.len());
    assert_eq!(talk[0].contains(&size), offered.size.is_some(), "{talk:#?}");
    assert_eq!(talk[0].contains(" BODY=8BITMIME"), !message.bytes.is_ascii(), "{talk:#?}");
    assert_eq!(chunks, offered.chunking, "{talk:#?}");
    assert_eq!(talk.iter().any(|line| line == "C: DATA"), !chunks, "{talk:#?}");
}

/// The verdicts: 250, or the code with which the recipient was refused at RCPT.
#[track_caller]
fn codes(outcomes: &[Outcome]) -> Vec<u16> {
    let code = |outcome: &Outcome| match outcome {
        Outcome::Delivered(reply) => reply.code().number(),
        Outcome::Refused { at: RefusedAt::Rcpt, reply } => {
            assert!(reply.is_permanent() != reply.is_transient(), "{reply}");
            reply.code().number()
        }
        other => panic!("{other:?}"),
    };
    outcomes.iter().map(code).collect()
}

/// Sends one message to `count` mailboxes, `m0@` and so on, with one nobody has before each.
async fn send_to_many(client: &mut Client, count: usize) -> (Message, Vec<u16>) {
    let message = Message::small(ALICE, CAROL, "many@client.test");
    let to: Vec<_> = (0..count).flat_map(|n| [format!("nobody{n}@far.test"), format!("m{n}@far.test")]).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let outcomes = client.send(ALICE, &to, &message).await.expect("it can be sent");
    let got = codes(&outcomes);
    assert_eq!(got.len(), 2 * count);
    (message, got)
}

/// The mailboxes for [`send_to_many`], and Carol's.
fn mailboxes(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("m{n}")).chain(["carol".into()]).collect()
}

/// Larger than the server takes: no command is sent, and the session goes on.
async fn assert_too_large(client: &mut Client, limit: u64) {
    client.take_talk();
    let message = Message::of_size(ALICE, CAROL, "too-large@client.test", limit as usize + 1);
    let failed = client.send(ALICE, &[CAROL], &message).await.expect_err("it is too large");
    assert!(
        matches!(failed, ConnectionError::Send(SendError::TooLarge { limit: said }) if said == limit),
        "{failed:?}"
    );
    assert_eq!(client.take_talk(), [""; 0]);
    assert!(client.connection.session().is_ready());
}

/// Each mechanism of `expected`, which are all that the server offers and we know; a wrong password is refused by each.
async fn log_in_each_way(at: &Endpoint, expected: &[MechanismName]) {
    let (user, password) = at.credentials();
    let offered = Client::try_open(at, config(at)).await.expect("a greeting").connection.capabilities();
    let offered = offered.expect("it was greeted").auth;
    for name in expected {
        assert!(offered.contains(name), "{name} is not among {offered:?}");
        let mut client = Client::try_open(at, config(at)).await.expect("a greeting");
        let channel = Channel::new(client.connection.session().security(), &offered);
        let refused = client.log_in(mechanism(name, &channel, user, "wrong")).await;
        assert!(matches!(refused, Err(ConnectionError::Auth(_))), "{name}: {refused:?}");
        // The session goes on, and logs in with the right one.
        client.log_in(mechanism(name, &channel, user, password)).await.unwrap_or_else(|why| panic!("{name}: {why}"));
        let talk = client.talk().join("\n");
        assert!(!talk.contains(password), "the record shows the password: {talk}");
        client.connection.quit().await.expect("an orderly end");
    }
}

fn mechanism(name: &MechanismName, channel: &Channel, user: &str, password: &str) -> Box<dyn Mechanism> {
    let password = Secret::new(password.to_owned());
    match name {
        MechanismName::Plain => Box::new(Plain::new(user, &password).expect("sendable")),
        MechanismName::Login => Box::new(Login::new(user, &password).expect("sendable")),
        MechanismName::CramMd5 => Box::new(CramMd5::new(user, &password).expect("sendable")),
        MechanismName::ScramSha1 => Box::new(scram(ScramHash::Sha1, channel, user, &password)),
        MechanismName::ScramSha256 => Box::new(scram(ScramHash::Sha256, channel, user, &password)),
        other => panic!("{other} is not tried"),
    }
}

fn scram(hash: ScramHash, channel: &Channel, user: &str, password: &Secret<String>) -> Scram {
    // The server's nonce is as random as it should be, and ours is used with one server.
    let nonce = Nonce::new(*b"of eighteen octets");
    Scram::new(hash, user, password, nonce).expect("sendable").over(channel)
}

/// Postfix for far.test, which asks Dovecot for passwords.
struct World {
    postfix: Postfix,
    _dovecot: Dovecot,
}

impl World {
    fn new(mailboxes: &[String], more: &str) -> Self {
        let authority = Authority::new();
        let dovecot = Dovecot::start_offering(&authority, &[CAROL], "plain login cram-md5 scram-sha-1 scram-sha-256");
        let options = PostfixOptions {
            hostname: "mx.far.test".into(),
            mailboxes: mailboxes.iter().map(|name| format!("{name}@far.test")).collect(),
            auth: Some(dovecot.auth()),
            relay_for_loopback: false,
            more: more.to_owned(),
            ..PostfixOptions::default()
        };
        Self { postfix: Postfix::start(&authority, &options), _dovecot: dovecot }
    }

    fn at(&self, security: Security) -> Endpoint {
        // It takes passwords over TLS only.
        let login = (security != Security::Clear).then_some((CAROL, PASSWORD));
        self.postfix.smtp(security, login)
    }
}

#[tokio::test]
async fn our_library_sends_to_postfix() {
    let boxes = mailboxes(40);
    // As large as it takes by default; refusals cost no time.
    let world =
        World::new(&boxes, "message_size_limit = 10240000\nsmtpd_error_sleep_time = 0\nsmtpd_hard_error_limit = 100\n");
    let mut sent = send_each_kind("postfix", 5_000_000, |security| world.at(security)).await;

    let mut client = Client::open(&world.at(Security::StartTls)).await;
    let (message, verdicts) = send_to_many(&mut client, 40).await;
    assert_eq!(verdicts, [550, 250].repeat(40));
    for name in &boxes[..40] {
        Message::assert_all_unix(
            std::slice::from_ref(&message),
            &world.postfix.delivered(&format!("{name}@far.test"), 1, LIMIT),
        );
    }
    assert_too_large(&mut client, 10_240_000).await;

    // An address that needs SMTPUTF8.
    let message = Message::medium("jürgen@bücher.test", CAROL, "utf8@client.test");
    client.deliver("jürgen@bücher.test", &[CAROL], &message).await;
    sent.push(message);
    Message::assert_all_unix(&sent, &world.postfix.delivered(CAROL, sent.len(), LIMIT));

    // Nobody else's mail.
    let outcomes = client.send("carol@far.test", &["x@elsewhere.test"], &sent[0]).await.expect("it can be sent");
    assert!(outcomes[0].is_delivered(), "who logged in may send anywhere: {outcomes:?}");
    let mut stranger = Client::open(&world.at(Security::Clear)).await;
    let outcomes = stranger.send(ALICE, &["x@elsewhere.test"], &sent[0]).await.expect("it can be sent");
    // Its word for mail that it would have to relay.
    assert_eq!(codes(&outcomes), [454]);
}

#[tokio::test]
async fn our_library_logs_in_to_postfix_each_way() {
    let world = World::new(&mailboxes(0), "");
    let all = [
        MechanismName::Plain,
        MechanismName::Login,
        MechanismName::CramMd5,
        MechanismName::ScramSha1,
        MechanismName::ScramSha256,
    ];
    log_in_each_way(&world.at(Security::StartTls), &all).await;
}

/// Too many errors: Postfix says 421 and closes, in the middle of the recipients.
#[tokio::test]
async fn postfix_gives_up_on_us_and_each_recipient_is_told_apart() {
    let world = World::new(&mailboxes(1), "smtpd_error_sleep_time = 0\nsmtpd_hard_error_limit = 3\n");
    let mut client = Client::open(&world.at(Security::Clear)).await;
    let to = ["m0@far.test", "a@far.test", "b@far.test", "c@far.test", "d@far.test", "m0@far.test"];
    let message = Message::small(ALICE, CAROL, "given-up@client.test");
    let outcomes = client.send(ALICE, &to, &message).await.expect("it can be sent");
    // The first was accepted, but nothing came of it.
    assert_eq!(codes(&outcomes), [421, 550, 550, 550, 421, 421], "{outcomes:?}");
    assert!(client.talk().iter().any(|line| line.starts_with("S: 421 4.7.0 ")), "{:#?}", client.talk());
    assert!(maildir::files(&world.postfix.maildir("m0@far.test")).is_empty());
}

/// The whole way of a delivery status notification: what we ask for in the envelope comes back in the report.
#[tokio::test]
async fn postfix_reports_what_our_library_asks_for() {
    let world = World::new(&["carol", "dave", "erin"].map(str::to_owned), "");
    let mut client = Client::open(&world.at(Security::StartTls)).await;
    let (to, message) = (["dave@far.test", "erin@far.test"], Message::small(CAROL, CAROL, "dsn@client.test"));
    send_with_dsn(&mut client, &to, &message).await;
    for name in to {
        Message::assert_all_unix(std::slice::from_ref(&message), &world.postfix.delivered(name, 1, LIMIT));
    }
    let reports = world.postfix.delivered(CAROL, 1, LIMIT);
    assert_report(&String::from_utf8_lossy(&reports[0]), "QQ+314=159", "Dave+x@old.test");
}

/// Asks for a report of success for the first recipient, and for none at all for the second.
async fn send_with_dsn(client: &mut Client, to: &[&str; 2], message: &Message) {
    assert!(client.connection.capabilities().expect("it was greeted").dsn);
    let mut envelope = envelope(CAROL, to, message);
    envelope.params.envelope_id = Some(EnvelopeId::new("QQ+314=159").expect("printable"));
    envelope.params.ret = Some(Ret::Headers);
    let mut notify = Notify::NEVER;
    notify.success = true;
    envelope.recipients[0].params.notify = Some(notify);
    envelope.recipients[0].params.original =
        Some(OriginalRecipient::new("rfc822", "Dave+x@old.test").expect("printable"));
    envelope.recipients[1].params.notify = Some(Notify::NEVER);
    let outcomes = client.connection.send(envelope, bytes::Bytes::copy_from_slice(&message.bytes)).await;
    let outcomes = outcomes.expect("it can be sent");
    assert!(outcomes.iter().all(Outcome::is_delivered), "{outcomes:?}");
}

#[track_caller]
fn assert_report(report: &str, envelope: &str, original: &str) {
    let lower = report.to_ascii_lowercase();
    for part in [
        "multipart/report".to_owned(),
        format!("original-envelope-id: {envelope}"),
        "original-recipient: rfc822;".to_owned(),
        original.to_owned(),
        "final-recipient: rfc822;".to_owned(),
        "action: delivered".to_owned(),
        "dave@far.test".to_owned(),
    ] {
        assert!(lower.contains(&part.to_ascii_lowercase()), "{part:?} is not in the report:\n{report}");
    }
    assert!(!lower.contains("erin@far.test"), "nobody asked about Erin:\n{report}");
    // RET=HDRS.
    assert!(report.contains("dsn@client.test") && !report.contains("From the start of a line"), "{report}");
}

#[tokio::test]
async fn our_library_sends_to_exim() {
    let authority = Authority::new();
    let boxes = mailboxes(30);
    let boxes: Vec<_> = boxes.iter().map(String::as_str).collect();
    let exim = Exim::start(&authority, "far.test", &boxes);
    let at = |security| exim.smtp(security, (security != Security::Clear).then_some(CAROL));
    let mut sent = send_each_kind("exim", 1_000_000, at).await;

    let mut client = Client::open(&at(Security::StartTls)).await;
    let to = ["nobody@far.test", CAROL, "later@far.test", "x@elsewhere.test"];
    let message = Message::small(ALICE, CAROL, "mixed@client.test");
    let outcomes = client.send(ALICE, &to, &message).await.expect("it can be sent");
    assert_eq!(codes(&outcomes), [550, 250, 450, 550], "{outcomes:?}");
    sent.push(message);
    assert_too_large(&mut client, MIB).await;

    let message = Message::medium("jürgen@bücher.test", CAROL, "utf8@client.test");
    client.deliver("jürgen@bücher.test", &[CAROL], &message).await;
    sent.push(message);
    Message::assert_all_unix(&sent, &exim.delivered("carol", sent.len(), LIMIT));

    let all: Vec<_> = (0..30).map(|n| format!("m{n}@far.test")).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    client.deliver(ALICE, &all, &sent[0]).await;
    for n in 0..30 {
        Message::assert_all_unix(&sent[..1], &exim.delivered(&format!("m{n}"), 1, LIMIT));
    }
    let log = exim.log();
    assert!(!log.contains("protocol error") && !log.contains("syntax error"), "{log}");
}

#[tokio::test]
async fn our_library_logs_in_to_exim_each_way() {
    let exim = Exim::start(&Authority::new(), "far.test", &["carol"]);
    let all = [MechanismName::Plain, MechanismName::Login, MechanismName::CramMd5];
    log_in_each_way(&exim.smtp(Security::StartTls, Some(CAROL)), &all).await;
}

#[tokio::test]
async fn exim_reports_what_our_library_asks_for() {
    let exim = Exim::start(&Authority::new(), "far.test", &["carol", "dave", "erin"]);
    let mut client = Client::open(&exim.smtp(Security::StartTls, Some(CAROL))).await;
    let (to, message) = (["dave@far.test", "erin@far.test"], Message::small(CAROL, CAROL, "dsn@client.test"));
    send_with_dsn(&mut client, &to, &message).await;
    for name in ["dave", "erin"] {
        Message::assert_all_unix(std::slice::from_ref(&message), &exim.delivered(name, 1, LIMIT));
    }
    // It leaves both as they are in the envelope, where RFC 3464 (2.2.1, 2.3.1) wants them decoded.
    let report = &exim.delivered("carol", 1, LIMIT)[0];
    assert_report(&String::from_utf8_lossy(report), "QQ+2B314+3D159", "Dave+2Bx@old.test");
}

/// Exim serves 20 connections at once. What it says to one more is no failure of the message.
#[tokio::test]
async fn exim_is_busy_and_our_library_says_so() {
    let exim = Exim::start(&Authority::new(), "far.test", &["carol"]);
    let at = exim.smtp(Security::Clear, None);
    let mut open = Vec::new();
    let refused = loop {
        match Client::try_open(&at, config(&at)).await {
            Ok(client) => open.push(client),
            Err(why) => break why,
        }
        assert!(open.len() <= 20, "it takes more connections than it says");
    };
    match refused {
        ConnectionError::Goodbye(reply) => assert!(reply.is_transient() && reply.code().number() == 421, "{reply}"),
        other => panic!("{other:?}"),
    }
    let message = Message::small(ALICE, CAROL, "served@client.test");
    open[0].deliver(ALICE, &[CAROL], &message).await;
    Message::assert_all_unix(std::slice::from_ref(&message), &exim.delivered("carol", 1, LIMIT));
}

#[tokio::test]
async fn our_library_sends_to_opensmtpd() {
    let boxes = mailboxes(20);
    let boxes: Vec<_> = boxes.iter().map(String::as_str).collect();
    let server = OpenSmtpd::start(&Authority::new(), "far.test", &boxes);
    let at = |security| server.smtp(security, (security != Security::Clear).then_some(CAROL));
    let sent = send_each_kind("opensmtpd", 1_000_000, at).await;
    Message::assert_all_unix(&sent, &server.delivered(CAROL, sent.len(), LIMIT));

    let mut client = Client::open(&at(Security::StartTls)).await;
    let (message, verdicts) = send_to_many(&mut client, 20).await;
    // 524 5.2.4 is what it says of an address that leads nowhere.
    assert_eq!(verdicts, [524, 250].repeat(20));
    for n in 0..20 {
        Message::assert_all_unix(
            std::slice::from_ref(&message),
            &server.delivered(&format!("m{n}@far.test"), 1, LIMIT),
        );
    }
    assert_too_large(&mut client, MIB).await;
    let refused = client.send("jürgen@bücher.test", &[CAROL], &message).await.expect_err("it has no SMTPUTF8");
    assert!(matches!(refused, ConnectionError::Send(SendError::NeedsSmtpUtf8)), "{refused:?}");

    log_in_each_way(&at(Security::StartTls), &[MechanismName::Plain, MechanismName::Login]).await;
}

#[tokio::test]
async fn our_library_sends_to_aiosmtpd() {
    let server = Aiosmtpd::start(&Authority::new());
    let at = |security| server.smtp(security, (security == Security::StartTls).then_some(CAROL));
    let mut sent = send_each_kind("aiosmtpd", 1_000_000, at).await;

    let mut client = Client::open(&at(Security::StartTls)).await;
    let to = ["nobody@far.test", CAROL, "later@far.test", "dave@far.test"];
    let message = Message::small(ALICE, CAROL, "mixed@client.test");
    let outcomes = client.send(ALICE, &to, &message).await.expect("it can be sent");
    assert_eq!(codes(&outcomes), [550, 250, 450, 250], "{outcomes:?}");
    sent.push(message);
    assert_too_large(&mut client, MIB).await;

    let message = Message::medium("jürgen@bücher.test", "ζωή@bücher.test", "utf8@client.test");
    client.deliver("jürgen@bücher.test", &["ζωή@bücher.test"], &message).await;
    sent.push(message);

    let got = server.received(sent.len(), LIMIT);
    for (message, (_, octets)) in sent.iter().zip(&got) {
        message.assert_is(octets);
    }
    let [(mixed, _), (utf8, _)] = &got[got.len() - 2..] else { unreachable!("there are two more") };
    assert_eq!(mixed["to"], serde_json::json!([CAROL, "dave@far.test"]));
    assert_eq!((&utf8["from"], &utf8["to"]), (&"jürgen@bücher.test".into(), &serde_json::json!(["ζωή@bücher.test"])));
    assert!(utf8["options"].to_string().contains("SMTPUTF8"), "{utf8}");

    log_in_each_way(&at(Security::StartTls), &[MechanismName::Plain, MechanismName::Login]).await;
}
