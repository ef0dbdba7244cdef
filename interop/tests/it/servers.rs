//! Our client with servers other than Postfix: Exim, OpenSMTPD and aiosmtpd. Each takes what it should, as it was sent,
//! refuses the rest, and what it says of each recipient arrives at the user.

use postrider_interop::messages::Message;
use postrider_interop::{Aiosmtpd, Authority, Endpoint, Exim, Finished, OpenSmtpd, Security};
use serde_json::Value;

use crate::client::call;
use crate::{ALICE, CAROL, LIMIT, assert_sentence};

/// Runs `postrider send --json`, and returns how it ended, and what it printed of each recipient.
#[track_caller]
fn send(at: &Endpoint, to: &[&str], message: &Message) -> (Finished, Vec<Value>) {
    let mut command = vec!["send", "--json", "--from", ALICE];
    for to in to {
        command.extend(["--to", to]);
    }
    let done = call("smtp", at, &command, &message.bytes);
    let outcomes = done.text().lines().map(|line| serde_json::from_str(line).expect("JSON a line")).collect();
    (done, outcomes)
}

/// The outcome and the code, for each recipient.
fn words(outcomes: &[Value]) -> Vec<(&str, Option<u64>)> {
    outcomes.iter().map(|it| (it["outcome"].as_str().expect("a word"), it["code"].as_u64())).collect()
}

/// Sends all small sizes to Carol over each of these kinds of connection.
#[track_caller]
fn send_all(server: &str, securities: &[Security], at: impl Fn(Security) -> Endpoint) -> Vec<Message> {
    let mut sent = Vec::new();
    for &security in securities {
        for message in Message::small_sizes(ALICE, CAROL, &format!("{server}.{security:?}")) {
            let (done, outcomes) = send(&at(security), &[CAROL], &message);
            assert_eq!(words(&outcomes), [("delivered", Some(250))], "{server}, {security:?}: {done}");
            done.ok();
            sent.push(message);
        }
    }
    sent
}

const EACH: [Security; 3] = [Security::Clear, Security::StartTls, Security::Tls];

/// One recipient of three can be served.
#[track_caller]
fn send_mixed(at: &Endpoint, later: (&str, Option<u64>), nobody: (&str, Option<u64>)) -> Message {
    let message = Message::small(ALICE, CAROL, "mixed@client.test");
    let (done, outcomes) = send(at, &["nobody@far.test", CAROL, "later@far.test"], &message);
    assert_eq!(words(&outcomes), [nobody, ("delivered", Some(250)), later], "{done}");
    assert!(!done.status.success(), "{done}");
    message
}

#[test]
fn our_client_submits_to_exim() {
    let authority = Authority::new();
    let exim = Exim::start(&authority, "far.test", &["carol"]);
    let login = |security| (security != Security::Clear).then_some(CAROL);
    let mut sent = send_all("exim", &EACH, |security| exim.smtp(security, login(security)));
    let at = exim.smtp(Security::StartTls, Some(CAROL));
    sent.push(send_mixed(&at, ("refused", Some(450)), ("refused", Some(550))));
    Message::assert_all_unix(&sent, &exim.delivered("carol", sent.len(), LIMIT));

    // Larger than the SIZE it announces: not even MAIL is said.
    let mut message = Message::small(ALICE, CAROL, "large@client.test");
    message.bytes.resize(2 << 20, b'x');
    let (done, _) = send(&at, &[CAROL], &message);
    assert!(!done.status.success() && done.stderr.contains("larger"), "{done}");
    let log = exim.log();
    assert!(log.contains("P=esmtpsa") && log.contains("P=esmtp "), "{log}");
    assert!(!log.contains("large@client.test") && !log.contains("protocol error"), "{log}");

    let mut at = exim.smtp(Security::Tls, Some(CAROL));
    at.login = Some((CAROL.into(), "wrong".into()));
    let (done, _) = send(&at, &[CAROL], &sent[0]);
    assert!(!done.status.success() && done.stderr.contains("password"), "{done}");
}

#[test]
fn our_client_submits_to_opensmtpd() {
    let authority = Authority::new();
    let server = OpenSmtpd::start(&authority, "far.test", &["carol", "later"]);
    // It takes passwords over TLS only.
    let login = |security| (security != Security::Clear).then_some(CAROL);
    let mut sent = send_all("opensmtpd", &EACH, |security| server.smtp(security, login(security)));
    let at = server.smtp(Security::StartTls, Some(CAROL));
    sent.push(send_mixed(&at, ("delivered", Some(250)), ("refused", Some(524))));
    Message::assert_all_unix(&sent, &server.delivered(CAROL, sent.len(), LIMIT));

    let mut at = server.smtp(Security::Tls, Some(CAROL));
    at.login = Some((CAROL.into(), "wrong".into()));
    let (done, _) = send(&at, &[CAROL], &sent[0]);
    assert_sentence(&done, 77, &["password"]);
}

#[test]
fn our_client_submits_to_aiosmtpd() {
    let authority = Authority::new();
    let server = Aiosmtpd::start(&authority);
    // In the clear and after STARTTLS it takes mail without a login, too.
    let login = |security| (security == Security::StartTls).then_some(CAROL);
    let mut sent = send_all("aiosmtpd", &EACH, |security| server.smtp(security, login(security)));
    let at = server.smtp(Security::StartTls, Some(CAROL));
    sent.push(send_mixed(&at, ("refused", Some(450)), ("refused", Some(550))));
    let got = server.received(sent.len(), LIMIT);
    for (message, (envelope, octets)) in sent.iter().zip(&got) {
        message.assert_is(octets);
        assert_eq!(envelope["from"], ALICE);
        assert_eq!(envelope["to"], serde_json::json!([CAROL]), "only who was accepted gets it");
        let options = envelope["options"].to_string();
        assert_eq!(options.contains("BODY=8BITMIME"), !message.bytes.is_ascii(), "{options}");
        assert!(options.contains(&format!("SIZE={}", message.bytes.len())), "{options}");
    }
    let (logged_in, tls) = (|it: &Value| it["user"] == CAROL, |it: &Value| it["tls"] == true);
    assert_eq!(got.iter().filter(|(envelope, _)| logged_in(envelope) && tls(envelope)).count(), sent.len() / 3 + 1);
}
