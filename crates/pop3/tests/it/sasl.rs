//! Logins of more than one step, from session to session.

use postrider_core::Secret;
use postrider_pop3::client::{self, Client};
use postrider_pop3::server::{self, Server};
use postrider_sasl::*;
use postrider_testkit::{Applications, Faults, Pair, Rng};
use std::sync::Arc;

fn password() -> Secret<String> {
    Secret::new("pencil".to_owned())
}

fn nonce(text: &str) -> Nonce {
    Nonce::parse(text).expect("a nonce")
}

type Make = Box<dyn Fn(&Client) -> Box<dyn Mechanism>>;

/// A client that logs in and leaves, and a server that knows one user.
struct Login {
    make: Make,
    right: Option<bool>,
    proven: Option<MechanismName>,
    stored: ScramCredentials,
}

impl Applications<Client, Server> for Login {
    fn on_a(&mut self, client: &mut Client, event: client::Event, _: &mut Rng) {
        match event {
            client::Event::Ready => {
                let mechanism = (self.make)(client);
                client.authenticate(mechanism).expect("there is TLS");
            }
            client::Event::Completed { result, .. } if self.right.is_none() => {
                self.right = Some(result.is_ok());
                client.quit().expect("nothing else goes on");
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
            server::Event::Open { answer, attempt, .. } => {
                let (right, mechanism) = match attempt {
                    Attempt::Proven { user, mechanism, .. } => (user == "user", mechanism),
                    Attempt::CramMd5(digest) => (digest.matches(&password()), MechanismName::CramMd5),
                    Attempt::Token { token, mechanism, .. } => (token.matches("good"), mechanism),
                    other => panic!("{other:?}"),
                };
                self.proven = Some(mechanism);
                let verdict = if right { Ok(vec![]) } else { Err(Denied::Credentials.into()) };
                server.answer(answer, verdict).expect("just asked");
            }
            other => server.decline(other),
        }
    }
}

fn log_in(make: impl Fn(&Client) -> Box<dyn Mechanism> + 'static) -> Login {
    let mut login = Login {
        make: Box::new(make),
        right: None,
        proven: None,
        stored: ScramCredentials::derive(ScramHash::Sha256, &password(), b"salt", MIN_ITERATIONS).expect("in bounds"),
    };
    let mut server = server::Config::default();
    server.implicit_tls = true;
    let names = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN XOAUTH2 OAUTHBEARER";
    server.mechanisms = names.split(' ').filter_map(|name| MechanismName::parse(name.as_bytes())).collect();
    let mut client = client::Config::default();
    client.implicit_tls = true;
    let (client, server) = (Client::new(Arc::new(client), 1), Server::new(Arc::new(server), 2));
    Pair::new(1, Faults::NONE, client, server).run(&mut login).unwrap_or_else(|failure| panic!("{failure}"));
    login
}

#[test]
fn the_strongest_login_is_bound_to_the_connection() {
    let login = log_in(|client| {
        let offered = &client.capabilities().expect("CAPA was answered").sasl;
        let credentials = Credentials::password("user", password());
        credentials.strongest(offered, client.security(), nonce("client")).expect("there is one")
    });
    assert_eq!((login.right, login.proven), (Some(true), Some(MechanismName::ScramSha256Plus)));
}

#[test]
fn wrong_passwords_unknown_users_and_downgrades_are_refused_before_the_application_judges() {
    for (user, password) in [("user", "pen"), ("nobody", "pencil")] {
        let login = log_in(move |_| {
            let password = Secret::new(password.to_owned());
            Box::new(Scram::new(ScramHash::Sha256, user, &password, nonce("client")).expect("sendable"))
        });
        assert_eq!((login.right, login.proven), (Some(false), None), "{user}");
    }
    let login = log_in(|client| {
        let seen = Channel::new(client.security(), &[MechanismName::ScramSha256]);
        let scram = Scram::new(ScramHash::Sha256, "user", &password(), nonce("client")).expect("sendable");
        Box::new(scram.over(&seen))
    });
    assert_eq!((login.right, login.proven), (Some(false), None), "it says y, and we offer -PLUS");
}

#[test]
fn cram_md5_and_tokens_log_in_too() {
    let login = log_in(|_| Box::new(CramMd5::new("user", &password()).expect("sendable")));
    assert_eq!((login.right, login.proven), (Some(true), Some(MechanismName::CramMd5)));
    for (token, right) in [("good", true), ("bad", false)] {
        let secret = Secret::new(token.to_owned());
        let login = log_in(move |_| Box::new(OAuthBearer::new("user", &secret, "mx.example", 995).expect("sendable")));
        assert_eq!((login.right, login.proven), (Some(right), Some(MechanismName::OAuthBearer)));
        let secret = Secret::new(token.to_owned());
        let login = log_in(move |_| Box::new(XOAuth2::new("user", &secret).expect("sendable")));
        assert_eq!((login.right, login.proven), (Some(right), Some(MechanismName::XOAuth2)));
    }
}
