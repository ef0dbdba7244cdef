//! Other people's clients with our server library and with `postriderd`: many sessions at once, pipelined commands,
//! mixed verdicts, and certificates.

use postrider_core::Text;
use postrider_interop::clients;
use postrider_interop::messages::Message;
use postrider_interop::{Authority, Postriderd, Security};
use postrider_smtp::{HelloName, Refusal, server};

use crate::library::{Moment, OurServer};
use crate::{ALICE, BOB, CAROL, SUBMITTERS, ours};

const EACH: [Security; 3] = [Security::Clear, Security::StartTls, Security::Tls];

fn config(tls: server::Tls) -> server::Config {
    let mut config = server::Config::new("ours.test".parse::<HelloName>().expect("a name"));
    config.tls = tls;
    config.undecided = 8;
    config.limits.message = 200_000_000;
    config
}

fn rule(to: &str, when: Moment) -> Result<(), Refusal> {
    match (to.split('@').next().unwrap_or_default(), when) {
        ("nobody", Moment::Rcpt) => Err(Refusal::permanent(550, (1, 1), Text::literal("No such mailbox"))),
        ("later", Moment::Rcpt) => Err(Refusal::transient(450, (2, 1), Text::literal("Mailbox is busy"))),
        _ => Ok(()),
    }
}

#[test]
fn smtp_source_fills_a_mailbox_of_our_server() {
    let server = Postriderd::start(&Authority::new(), &ours());
    let message = Message::odd(CAROL, BOB, "source@client.test");
    let to = server.at("smtp");
    // 10 sessions at once, each connection with one message; then few connections with many.
    clients::smtp_source(to, &message, &["-s", "10", "-m", "100", "-f", CAROL, "-t", BOB]).ok();
    clients::smtp_source(to, &message, &["-s", "4", "-m", "100", "-d", "-f", CAROL, "-t", BOB]).ok();
    let got = clients::poplib(&server.pop3(BOB, Security::Tls)).messages;
    assert_eq!(got.len(), 200);
    got.iter().for_each(|got| message.assert_is(got));
}

#[test]
fn smtp_source_fills_our_library() {
    let server = OurServer::start(&Authority::new(), config(server::Tls::Off), rule);
    let message = Message::odd(CAROL, BOB, "source@client.test");
    // 50 sessions at once, 20 recipients for each message.
    let options = ["-s", "50", "-m", "500", "-r", "20", "-f", CAROL, "-t", BOB];
    clients::smtp_source(server.at(), &message, &options).ok();
    let mut large = Message::of_size(CAROL, BOB, "large@client.test", 2_000_000);
    large.bytes.extend_from_slice(b"\r\n");
    clients::smtp_source(server.at(), &large, &["-s", "5", "-m", "10", "-f", CAROL, "-t", BOB]).ok();
    let taken = server.taken();
    assert_eq!(taken.len(), 510);
    for taken in &taken[..500] {
        message.assert_is(&taken.octets);
        assert_eq!(taken.to.len(), 20);
    }
    taken[500..].iter().for_each(|taken| large.assert_is(&taken.octets));
}

#[test]
fn every_submitter_reaches_our_library() {
    let authority = Authority::new();
    for (security, tls) in EACH.into_iter().zip([server::Tls::Offered, server::Tls::Required, server::Tls::Implicit]) {
        let server = OurServer::start(&authority, config(tls), rule);
        let at = server.endpoint(security);
        let mut sent = Vec::new();
        for (name, submit) in SUBMITTERS.into_iter().chain([("swaks", clients::swaks_pipelining as clients::Submit)]) {
            let id = |kind: &str| format!("{name}.{kind}.{}@client.test", sent.len());
            for message in [
                Message::medium(ALICE, BOB, &id("8bit")),
                Message::odd(ALICE, BOB, &id("odd")),
                Message::of_size(ALICE, BOB, &id("large"), 1_000_000),
            ] {
                submit(&at, ALICE, &[BOB, CAROL], &message).ok();
                sent.push(message);
            }
        }
        let taken = server.taken();
        assert_eq!(taken.len(), sent.len());
        for (taken, message) in taken.iter().zip(&sent) {
            message.assert_is(&taken.octets);
            assert_eq!(taken.to, [BOB, CAROL].map(|name| (name.to_owned(), true)));
            assert!(taken.client.extended, "{taken:?}");
            assert_eq!(taken.client.security.is_tls(), security != Security::Clear);
        }
    }
}

/// Each of these clients goes on with the recipients that were accepted, and says who was not.
#[test]
fn clients_are_told_of_each_recipient() {
    let server = OurServer::start(&Authority::new(), config(server::Tls::Off), rule);
    let at = server.endpoint(Security::Clear);
    let to = ["nobody@ours.test", BOB, "later@ours.test"];
    let message = Message::small(ALICE, BOB, "mixed@client.test");
    let said = clients::nodemailer(&at, ALICE, &to, &message).ok().text();
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["accepted"], serde_json::json!([BOB]), "{said}");
    assert_eq!(said["rejected"], serde_json::json!(["nobody@ours.test", "later@ours.test"]), "{said}");

    let said = clients::smtplib(&at, ALICE, &to, &message).ok().text();
    assert!(said.contains("nobody@ours.test (550,") && said.contains("later@ours.test (450,"), "{said}");

    for swaks in [clients::swaks, clients::swaks_pipelining] {
        let said = swaks(&at, ALICE, &to, &message).ok().text();
        let code = |code: &str| said.lines().position(|line| line.starts_with(&format!("<** {code} ")));
        assert!(code("550 5.1.1").is_some() && code("550 5.1.1") < code("450 4.2.1"), "{said}");
    }

    let taken = server.taken();
    assert_eq!(taken.len(), 4);
    for taken in taken {
        message.assert_is(&taken.octets);
        assert_eq!(taken.to, [(BOB.to_owned(), true)]);
    }
}

#[test]
fn posttls_finger_verifies_our_certificate() {
    let authority = Authority::new();
    let server = Postriderd::start(&authority, &ours());
    let mut at = server.smtp();
    for (service, security) in
        [("smtp", Security::StartTls), ("submission", Security::StartTls), ("submissions", Security::Tls)]
    {
        (at.port, at.security) = (server.ready().port(service), security);
        let said = clients::posttls_finger(&at).ok().text();
        assert!(said.contains("Verified TLS connection established") && said.contains("TLSv1.3"), "{service}: {said}");
    }
    // So that the word means something.
    at.name = "elsewhere.test".into();
    let said = clients::posttls_finger(&at).ok().text();
    assert!(!said.contains("Verified") && said.contains("hostname mismatch"), "{said}");
}
