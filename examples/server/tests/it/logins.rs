//! Logins by SCRAM, in each protocol.

use crate::{Server, Talk, postriderd, serve, start};
use postrider_core::Secret;
use postrider_sasl::{Channel, Credentials, Mechanism, Nonce, Scram, ScramHash, line};
use postrider_smtp::Remote;
use std::io::{Read, Write};
use std::process::Stdio;

/// Each service, how it asks for a login, and how it marks a challenge.
const SERVICES: [(&str, &str, &str); 3] =
    [("submission", "AUTH", "334 "), ("imap", "a AUTHENTICATE", "+ "), ("pop3", "AUTH", "+ ")];

/// A talk that has come to its login.
fn greeted(server: &Server, service: &str) -> Talk {
    let mut talk = server.talk(service);
    talk.line();
    if service == "submission" {
        assert!(talk.ask("EHLO client.test").starts_with("250 "));
    }
    talk
}

/// Logs in by SCRAM; the server's last line, and its first challenge.
fn log_in(server: &Server, service: &str, hash: ScramHash, user: &str, password: &str) -> (String, String) {
    let (_, command, mark) = SERVICES.into_iter().find(|(name, ..)| *name == service).expect("a service");
    let mut talk = greeted(server, service);
    let password = Secret::new(password.to_owned());
    let mut scram = Scram::new(hash, user, &password, Nonce::parse("client").expect("a nonce")).expect("usable");
    talk.send(&format!("{command} {}", hash.mechanism(false)));
    let mut challenges = Vec::new();
    loop {
        let said = talk.line();
        let Some(challenge) = said.strip_prefix(mark.trim_end()) else {
            let good = ["235 ", "a OK ", "+OK "].iter().any(|good| said.starts_with(good));
            assert_eq!(good, scram.succeeded().is_ok(), "both believe the same: {said}");
            return (said, challenges.remove(0));
        };
        if challenge.starts_with("OK") {
            scram.succeeded().expect("the server has proven itself");
            return (said, challenges.remove(0));
        }
        let challenge = line::challenge(challenge.trim_start().as_bytes(), 1000).expect("base64");
        let response = match challenge.is_empty() {
            true => scram.initial().expect("SCRAM begins"),
            false => {
                challenges.push(String::from_utf8(challenge.clone()).expect("SCRAM is text"));
                scram.respond(&challenge).expect("SCRAM goes on")
            }
        };
        talk.send(line::encode(response.reveal()).reveal());
    }
}

/// What a server offers before a login.
fn offered(server: &Server, service: &str) -> Vec<String> {
    let mut talk = greeted(server, service);
    let lines = match service {
        "submission" => {
            talk.send("EHLO client.test");
            talk.lines()
        }
        "imap" => {
            talk.send("a CAPABILITY");
            vec![talk.line()]
        }
        _ => {
            talk.send("CAPA");
            std::iter::from_fn(|| Some(talk.line()).filter(|line| line != ".")).collect()
        }
    };
    let words = lines.iter().flat_map(|line| line.split(' '));
    let words = words.map(|word| word.trim_start_matches("AUTH=").to_owned());
    let mut found: Vec<_> = words.filter(|word| word.starts_with("SCRAM") || word == "PLAIN").collect();
    found.sort();
    found
}

/// What `hash-password` prints for a user.
fn hash_password(options: &[&str], password: &str) -> String {
    let mut child =
        postriderd(&[&["hash-password"], options].concat()).stdin(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(format!("{password}\n").as_bytes()).expect("written");
    let mut printed = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut printed).expect("read");
    assert!(child.wait().expect("ended").success());
    printed
}

#[test]
fn users_of_localserve_log_in_by_scram_everywhere() {
    let server = start(&["localserve", "--plaintext-auth", "--user", "ada@ours.test:secret"]);
    for (service, ..) in SERVICES {
        assert_eq!(offered(&server, service), ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"], "{service}");
        for hash in [ScramHash::Sha256, ScramHash::Sha1] {
            log_in(&server, service, hash, "ada@ours.test", "secret");
            log_in(&server, service, hash, "Ada", "secret");
            let (refused, _) = log_in(&server, service, hash, "ada@ours.test", "wrong");
            assert!(["535 ", "a NO ", "-ERR"].iter().any(|no| refused.starts_with(no)), "{refused}");
        }
    }
}

#[test]
fn scram_is_not_offered_where_every_password_is_right() {
    let server = start(&["localserve", "--plaintext-auth"]);
    for (service, ..) in SERVICES {
        assert_eq!(offered(&server, service), ["PLAIN"], "{service}");
    }
}

#[test]
fn who_has_no_scram_credentials_cannot_be_told_from_who_has() {
    let scram = hash_password(&["--scram"], "secret");
    assert!(scram.starts_with("scram = [\"SCRAM-SHA-256$"), "{scram}");
    let users = format!(
        "[[user]]\naddress = \"ada@ours.test\"\n{scram}[[user]]\naddress = \"bob@ours.test\"\npassword_hash = {:?}\n",
        hash_password(&[], "secret").trim_end()
    );
    let (place, server) = serve(&users);
    assert_eq!(offered(&server, "imap"), ["PLAIN", "SCRAM-SHA-256"], "only what somebody can use");
    let shape = |challenge: &str| {
        let (_, rest) = challenge.split_once(",s=").expect("a salt");
        rest.to_owned()
    };
    let ask = |server: &Server, user| shape(&log_in(server, "imap", ScramHash::Sha256, user, "wrong").1);
    let (ada, bob, nobody) = (ask(&server, "ada"), ask(&server, "bob"), ask(&server, "nobody"));
    let like =
        |a: &str, b: &str| a.len() == b.len() && a.split_once(",i=").unwrap().1 == b.split_once(",i=").unwrap().1;
    assert!(like(&ada, &bob) && like(&ada, &nobody) && bob != nobody, "{ada} {bob} {nobody}");
    // Those who have only a hash, and those who have only credentials, send their password.
    for user in ["ada@ours.test", "bob@ours.test"] {
        assert_eq!(server.pop3(user).len(), 0);
    }
    let again = server.restart(&place);
    assert_eq!((ask(&again, "nobody"), ask(&again, "ada")), (nobody, ada), "made-up salts last as others do");
}

/// Over TLS, the login is bound to the connection.
#[tokio::test]
async fn over_tls_a_login_is_bound_to_the_connection() {
    let server = start(&["localserve", "--channel-binding", "--user", "ada@ours.test:secret"]);
    for (service, when) in
        [("submission", postrider_smtp::client::Tls::Required), ("submissions", postrider_smtp::client::Tls::Implicit)]
    {
        let remote = Remote::plaintext("127.0.0.1", server.port(service)).unwrap().with_tls(when, server.roots());
        let mut connection = remote.open().await.unwrap();
        let capabilities = connection.capabilities().unwrap();
        let names: Vec<_> = capabilities.auth.iter().map(|name| name.as_str()).collect();
        let scram = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"];
        assert_eq!(names, [&scram[..], &["PLAIN", "LOGIN"]].concat(), "{service}");
        let security = connection.session().security().clone();
        for (password, right) in [("wrong", false), ("secret", true)] {
            let credentials = Credentials::password("ada@ours.test", password.to_owned());
            let nonce = Nonce::parse(password).unwrap();
            let mechanism = credentials.strongest(&capabilities.auth, &security, nonce).unwrap();
            assert_eq!(mechanism.name().as_str(), "SCRAM-SHA-256-PLUS");
            assert_eq!(connection.authenticate(mechanism).await.is_ok(), right);
        }
    }
    // Bound to nothing that the server saw.
    let mut scram =
        Scram::new(ScramHash::Sha256, "ada@ours.test", &Secret::new("secret".to_owned()), Nonce::parse("c").unwrap())
            .unwrap()
            .over(&Channel::default());
    assert!(scram.initial().unwrap().reveal().starts_with(b"n,,"));
}
