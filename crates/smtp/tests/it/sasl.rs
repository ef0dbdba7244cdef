//! Logins of more than one step, from session to session and against peers that lie.

use super::converse::whole;
use postrider_core::{Closed, Instant, Machine, Secret, Session, Step};
use postrider_sasl::*;
use postrider_smtp::client::{self, AuthFailed};
use postrider_smtp::server::{self, Tls};
use postrider_smtp::{Client, HelloName, Server};
use postrider_testkit::{Applications, Faults, Pair, Rng};
use std::sync::Arc;

fn name(text: &str) -> HelloName {
    HelloName::parse(text).expect("a name")
}

fn password() -> Secret<String> {
    Secret::new("pencil".to_owned())
}

fn nonce(text: &str) -> Nonce {
    Nonce::parse(text).expect("a nonce")
}

fn all() -> Vec<MechanismName> {
    let names =
        "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 CRAM-MD5 PLAIN XOAUTH2 OAUTHBEARER EXTERNAL";
    names.split(' ').map(|name| MechanismName::parse(name.as_bytes()).expect("a name")).collect()
}

/// How long a comparison takes must not tell how much of a guess is right: one that is wrong in its first octet takes as
/// long as one that is wrong in its last. Of long passwords, so that what an early end would save is more than noise.
#[test]
fn case_11_a_password_is_compared_to_its_end_wherever_it_differs() {
    let right = "x".repeat(8000);
    let mut config = server::Config::new(name("mx.example")).dangerous_allow_plaintext_auth();
    config.auth = vec![MechanismName::Plain];
    let mut server = Server::new(Arc::new(config), 1);
    let initial = line::encode(format!("\0alice\0{right}").as_bytes());
    let login = format!("EHLO c.example\r\nAUTH PLAIN {}\r\n", initial.reveal());
    assert_eq!(server.receive(login.as_bytes()), login.len());
    let Step::Event(server::Event::Auth { attempt: Attempt::Password { password, .. }, .. }) =
        server.poll(Instant::ORIGIN)
    else {
        panic!("a login is asked about")
    };
    let (first, last) = (format!("y{}", &right[1..]), format!("{}y", &right[1..]));
    // The shortest of many: whatever else the machine does only makes them longer.
    let shortest = |guess: &str| {
        let time = |_| {
            let began = std::time::Instant::now();
            for _ in 0..20 {
                assert!(!std::hint::black_box(&password).matches(std::hint::black_box(guess)));
            }
            began.elapsed()
        };
        (0..50).map(time).min().expect("there are many")
    };
    assert!(password.matches(&right));
    let (first, last) = (shortest(&first), shortest(&last));
    assert!(first * 4 > last, "wrong in the first octet: {first:?}, in the last: {last:?}");
}

type Make = Box<dyn Fn(&Client) -> Box<dyn Mechanism>>;

/// A client that logs in and leaves, and a server that knows one user.
struct Login {
    make: Make,
    outcome: Option<Result<(), AuthFailed>>,
    proven: Option<MechanismName>,
    stored: ScramCredentials,
}

impl Applications<Client, Server> for Login {
    fn on_a(&mut self, client: &mut Client, event: client::Event, _: &mut Rng) {
        match event {
            client::Event::Ready => {
                let mechanism = (self.make)(client);
                client.authenticate(mechanism).expect("it is offered");
            }
            client::Event::Authenticated(outcome) => {
                self.outcome = Some(outcome);
                client.quit();
            }
            _ => {}
        }
    }

    fn on_b(&mut self, server: &mut Server, event: server::Event, _: &mut Rng) {
        match event {
            server::Event::Scram { answer, user, hash } => {
                let credentials = match (&user[..], hash) {
                    ("user", ScramHash::Sha256) => self.stored.clone(),
                    _ => ScramCredentials::for_nobody(hash, &user, &Secret::new(vec![1; 32]), MIN_ITERATIONS),
                };
                server.answer(answer, Ok(ScramAnswer { credentials, nonce: nonce("server") })).expect("just asked");
            }
            server::Event::Challenge { answer } => {
                let timestamp = ApopChallenge::new("<1@mx.example>").expect("a timestamp");
                server.answer(answer, Ok(timestamp)).expect("just asked");
            }
            server::Event::Auth { answer, attempt } => {
                let (right, mechanism) = match attempt {
                    Attempt::Proven { user, mechanism, .. } => (user == "user", mechanism),
                    Attempt::CramMd5(digest) => {
                        (digest.user() == "user" && digest.matches(&password()), MechanismName::CramMd5)
                    }
                    Attempt::Token { token, mechanism, .. } => (token.matches("good"), mechanism),
                    other => panic!("{other:?}"),
                };
                self.proven = Some(mechanism);
                let verdict = if right { Ok(Identity::new("user")) } else { Err(Denied::Credentials.into()) };
                server.answer(answer, verdict).expect("just asked");
            }
            other => server.decline(other),
        }
    }
}

fn log_in(make: impl Fn(&Client) -> Box<dyn Mechanism> + 'static) -> Login {
    let mut login = Login {
        make: Box::new(make),
        outcome: None,
        proven: None,
        stored: ScramCredentials::derive(ScramHash::Sha256, &password(), b"salt", MIN_ITERATIONS).expect("in bounds"),
    };
    let mut server = server::Config::new(name("mx.example"));
    server.tls = Tls::Implicit;
    server.auth = all();
    let mut client = client::Config::new(name("client.example"));
    client.tls = client::Tls::Implicit;
    let (client, server) = (Client::new(Arc::new(client), 1), Server::new(Arc::new(server), 2));
    Pair::new(1, Faults::NONE, client, server).run(&mut login).unwrap_or_else(|failure| panic!("{failure}"));
    login
}

#[test]
fn the_strongest_login_is_bound_to_the_connection() {
    let login = log_in(|client| {
        let offered = &client.capabilities().expect("EHLO was answered").auth;
        let credentials = Credentials::password("user", password());
        credentials.strongest(offered, client.security(), nonce("client")).expect("there is one")
    });
    assert_eq!(login.outcome, Some(Ok(())));
    assert_eq!(login.proven, Some(MechanismName::ScramSha256Plus));
}

#[test]
fn case_12_a_client_that_says_y_while_we_offer_plus_is_refused() {
    let login = log_in(|client| {
        // What an attacker lets it see: the list without -PLUS.
        let seen = Channel::new(client.security(), &[MechanismName::ScramSha256]);
        let scram = Scram::new(ScramHash::Sha256, "user", &password(), nonce("client")).expect("sendable");
        Box::new(scram.over(&seen))
    });
    let Some(Err(AuthFailed::Refused(reply))) = login.outcome else { panic!("{:?}", login.outcome) };
    assert_eq!(reply.code().number(), 535);
    assert_eq!(login.proven, None);
}

#[test]
fn a_wrong_password_and_a_user_there_is_not_look_the_same() {
    let fail = |user: &'static str, password: &'static str| {
        let login = log_in(move |_| {
            let password = Secret::new(password.to_owned());
            Box::new(Scram::new(ScramHash::Sha256, user, &password, nonce("client")).expect("sendable"))
        });
        let Some(Err(AuthFailed::Refused(reply))) = login.outcome else { panic!("{:?}", login.outcome) };
        assert_eq!((reply.code().number(), login.proven), (535, None));
        format!("{reply}")
    };
    assert_eq!(fail("user", "pen"), fail("nobody", "pencil"));
}

#[test]
fn cram_md5_and_tokens_log_in_too() {
    let login = log_in(|_| Box::new(CramMd5::new("user", &password()).expect("sendable")));
    assert_eq!((login.outcome, login.proven), (Some(Ok(())), Some(MechanismName::CramMd5)));
    for (token, right) in [("good", true), ("bad", false)] {
        let secret = Secret::new(token.to_owned());
        let login = log_in(move |_| Box::new(OAuthBearer::new("user", &secret, "mx.example", 465).expect("sendable")));
        assert_eq!(login.outcome.is_some_and(|outcome| outcome.is_ok()), right, "{token}");
        // The client took the server's explanation, and then the refusal.
        let secret = Secret::new(token.to_owned());
        let login = log_in(move |_| Box::new(XOAuth2::new("user", &secret).expect("sendable")));
        match login.outcome {
            Some(Ok(())) => assert!(right),
            Some(Err(AuthFailed::Refused(reply))) => assert!(!right && reply.code().number() == 535),
            other => panic!("{other:?}"),
        }
    }
}

// ── our server, and clients by hand ──

fn config() -> server::Config {
    let mut config = server::Config::new(name("mx.example")).dangerous_allow_plaintext_auth();
    config.auth = all();
    config
}

fn codes(input: &str) -> Vec<u16> {
    whole(config(), format!("EHLO c.example\r\n{input}QUIT\r\n").as_bytes()).codes()
}

#[test]
fn case_10_auth_where_it_has_no_place_is_refused() {
    // AHUAcA== is "\0u\0p".
    assert_eq!(codes("AUTH PLAIN AHUAcA==\r\nAUTH PLAIN AHUAcA==\r\n"), [250, 235, 503, 221]);
    assert_eq!(codes("MAIL FROM:<a@b.example>\r\nAUTH PLAIN AHUAcA==\r\n"), [250, 250, 503, 221]);
    assert_eq!(codes("AUTH PLAIN AHUAcA\r\n"), [250, 501, 221]);
    assert_eq!(codes("AUTH PLAIN\r\n*\r\n"), [250, 334, 501, 221]);
    assert_eq!(codes("AUTH PLAIN =\r\n"), [250, 501, 221], "an empty response is not PLAIN");
    assert_eq!(codes("AUTH EXTERNAL =\r\n"), [250, 235, 221], "an empty response is what EXTERNAL wants");
    assert_eq!(codes("AUTH EXTERNAL\r\n\r\n"), [250, 334, 235, 221]);
    assert_eq!(codes("AUTH CRAM-MD5 =\r\n"), [250, 501, 221], "the server speaks first");
}

#[test]
fn case_11_plain_that_is_not_plain_is_refused() {
    // "a\0b", "\0a\0b\0", "\0\0b", "\0a\0", "\0\xff\0b", "\0a\0\xff"
    for bad in ["YQBi", "AGEAYgA=", "AABi", "AGEA", "AP8AYg==", "AGEA/w=="] {
        assert_eq!(codes(&format!("AUTH PLAIN {bad}\r\n")), [250, 501, 221], "{bad}");
    }
}

#[test]
fn case_12_mandatory_extensions_and_plus_without_tls_are_refused() {
    // "n,,m=x,n=user,r=abc", and "p=tls-exporter,,n=user,r=abc".
    assert_eq!(codes("AUTH SCRAM-SHA-256 biwsbT14LG49dXNlcixyPWFiYw==\r\n"), [250, 501, 221]);
    assert_eq!(codes("AUTH SCRAM-SHA-256 cD10bHMtZXhwb3J0ZXIsLG49dXNlcixyPWFiYw==\r\n"), [250, 501, 221]);
    assert_eq!(codes("AUTH SCRAM-SHA-256-PLUS\r\n"), [250, 504, 221], "there is nothing to bind to");
    // An application that knows nothing of SCRAM declines; "n,,n=user,r=abc".
    assert_eq!(codes("AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YWJj\r\n"), [250, 454, 221]);
}

// ── our client, and servers by hand ──

/// What becomes of a SCRAM login at a server that says this after AUTH, one line for each of the client's.
fn lied_to(lines: &[&str]) -> (Option<Result<(), AuthFailed>>, Option<Closed>) {
    let config = client::Config::new(name("client.example"));
    let mut client = Client::new(Arc::new(config), 1);
    let hello = ["220 mx.example ESMTP\r\n", "250-mx.example\r\n250 AUTH SCRAM-SHA-256\r\n"];
    let mut lines = hello.iter().map(|line| (*line).to_owned()).chain(lines.iter().map(|line| format!("{line}\r\n")));
    let (mut outcome, mut closed) = (None, None);
    let mut now = Instant::ORIGIN;
    for _ in 0..200 {
        match client.poll(now) {
            Step::Event(client::Event::Ready) => {
                let scram = Scram::new(ScramHash::Sha256, "user", &password(), nonce("abc")).expect("sendable");
                client.authenticate(Box::new(scram)).expect("it is offered");
            }
            Step::Event(client::Event::Authenticated(done)) => outcome = Some(done),
            Step::Event(client::Event::Closed(why)) => closed = Some(why),
            Step::Event(_) => {}
            Step::Idle { deadline } => {
                let said = client.output().len();
                client.sent(said);
                if client.is_finished() {
                    break;
                }
                match lines.next() {
                    Some(line) => assert_eq!(client.receive(line.as_bytes()), line.len()),
                    None => match deadline {
                        Some(deadline) => now = deadline,
                        None => break,
                    },
                }
            }
        }
    }
    (outcome, closed)
}

/// `r=abcd,s=c2FsdA==,i=4096`
const SALT: &str = "334 cj1hYmNkLHM9YzJGc2RBPT0saT00MDk2";

#[test]
fn case_57_success_without_an_exchange_or_without_a_signature_fails() {
    for lines in [&["235 2.7.0 welcome"][..], &[SALT, "235 2.7.0 welcome"]] {
        let (outcome, closed) = lied_to(lines);
        assert_eq!(outcome, Some(Err(AuthFailed::Mechanism(MechanismError::Incomplete))), "{lines:?}");
        assert!(matches!(closed, Some(Closed::Protocol(_))), "{closed:?}");
    }
}

#[test]
fn case_57_a_wrong_signature_fails() {
    // `v=` and 32 octets of nothing.
    let wrong = "334 dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBPQ==";
    let (outcome, _) = lied_to(&[SALT, wrong, "501 5.7.0 cancelled"]);
    assert_eq!(outcome, Some(Err(AuthFailed::Mechanism(MechanismError::Impostor))));
}

#[test]
fn case_57_challenges_for_ever_end() {
    let (outcome, closed) = lied_to(&[&["334 "; 100][..]].concat());
    assert!(!matches!(outcome, None | Some(Ok(()))) || closed.is_some(), "{outcome:?} {closed:?}");
    assert!(closed.is_some(), "a server that goes on after `*` is left");
}

#[test]
fn case_57_too_many_iterations_are_not_begun() {
    // `r=abcd,s=c2FsdA==,i=4000000000`
    let (outcome, _) = lied_to(&["334 cj1hYmNkLHM9YzJGc2RBPT0saT00MDAwMDAwMDAw", "501 5.7.0 cancelled"]);
    let error = MechanismError::Iterations { wanted: 4_000_000_000, most: MAX_ITERATIONS };
    assert_eq!(outcome, Some(Err(AuthFailed::Mechanism(error))));
}
