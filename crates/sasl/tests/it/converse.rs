//! A client and a server half face to face, with somebody in between.

use postrider_core::{Secret, Security, TlsInfo};
use postrider_sasl::*;

pub const USER: &str = "user";
pub const PASSWORD: &str = "pencil";
pub const TOKEN: &str = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
pub const TIMESTAMP: &str = "<1896.697170952@postoffice.reston.mci.net>";

pub fn secret(text: &str) -> Secret<String> {
    Secret::new(text.into())
}

pub fn nonce(text: &str) -> Nonce {
    Nonce::parse(text).expect("the test's nonces are nonces")
}

/// TLS with both things to bind to.
pub fn tls() -> Security {
    let mut info = TlsInfo::default();
    info.exporter = Some(vec![7; 32]);
    info.server_end_point = Some(vec![9; 32]);
    info.verified = true;
    Security::Tls(info)
}

pub fn plus(hash: ScramHash) -> Channel {
    Channel::new(&tls(), &[hash.mechanism(true), hash.mechanism(false)])
}

/// What a server keeps of [`USER`].
pub fn credentials(hash: ScramHash) -> ScramCredentials {
    ScramCredentials::derive(hash, &secret(PASSWORD), b"salt of 16 octet", MIN_ITERATIONS).unwrap()
}

/// An application that knows one user.
pub struct App {
    pub sha1: ScramCredentials,
    pub sha256: ScramCredentials,
    pub nonce: &'static str,
}

impl App {
    pub fn new() -> Self {
        Self { sha1: credentials(ScramHash::Sha1), sha256: credentials(ScramHash::Sha256), nonce: "server-nonce" }
    }

    pub fn credentials(&self, user: &str, hash: ScramHash) -> ScramCredentials {
        match hash {
            _ if user != USER => ScramCredentials::for_nobody(hash, user, &Secret::new(vec![1; 32]), MIN_ITERATIONS),
            ScramHash::Sha1 => self.sha1.clone(),
            ScramHash::Sha256 => self.sha256.clone(),
        }
    }

    /// Answers what a mechanism needs before its next challenge.
    pub fn supply(&self, step: ServerStep) -> Result<ServerStep, ExchangeError> {
        match step {
            ServerStep::Scram(query) => {
                let credentials = self.credentials(query.user(), query.hash());
                query.answer(ScramAnswer { credentials, nonce: nonce(self.nonce) })
            }
            ServerStep::Cram(query) => Ok(query.answer(ApopChallenge::new(TIMESTAMP).unwrap())),
            step @ (ServerStep::Challenge(..) | ServerStep::Attempt(_)) => Ok(step),
        }
    }

    pub fn judge(&self, attempt: &Attempt) -> bool {
        match attempt {
            Attempt::Password { authorization: None, user, password, .. } => user == USER && password.matches(PASSWORD),
            Attempt::CramMd5(digest) => digest.user() == USER && digest.matches(&secret(PASSWORD)),
            Attempt::Proven { authorization: None, user, .. } => user == USER,
            Attempt::Token { user, token, .. } => user.as_deref() == Some(USER) && token.matches(TOKEN),
            Attempt::External { authorization } => authorization.as_deref() == Some(USER),
            Attempt::Anonymous { trace } => trace.as_deref() == Some("trace"),
            _ => false,
        }
    }
}

/// Who fails, or what the server learns.
#[derive(Debug)]
pub enum Outcome {
    Server(ExchangeError),
    Client(MechanismError),
    /// Both went through to the end.
    Both(Attempt),
}

/// Runs one login; `between` sees every message, numbered from 0, and may change it.
pub fn run(
    client: &mut dyn Mechanism,
    app: &App,
    channel: &Channel,
    mut between: impl FnMut(usize, &mut Vec<u8>),
) -> Outcome {
    let mut count = 0;
    let mut pass = |mut message: Vec<u8>| {
        between(count, &mut message);
        count += 1;
        message
    };
    let initial = client.initial().map(|message| pass(message.into_inner()));
    let mut step = ServerExchange::start(&client.name(), initial.as_deref(), channel);
    // No mechanism takes more rounds than that.
    for _ in 0..5 {
        match step.and_then(|step| app.supply(step)) {
            Err(error) => return Outcome::Server(error),
            Ok(ServerStep::Challenge(challenge, exchange)) => match client.respond(&pass(challenge)) {
                Ok(response) => step = exchange.respond(&pass(response.into_inner())),
                Err(error) => return Outcome::Client(error),
            },
            Ok(ServerStep::Attempt(attempt)) => {
                return match client.succeeded() {
                    Ok(()) => Outcome::Both(attempt),
                    Err(error) => Outcome::Client(error),
                };
            }
            Ok(ServerStep::Scram(_) | ServerStep::Cram(_)) => unreachable!("it was supplied"),
        }
    }
    panic!("the login does not end")
}

pub const MECHANISMS: usize = 11;

/// Mechanism number `which`, about to log in as what [`App::judge`] takes, over `channel`.
pub fn mechanism(which: usize) -> (Box<dyn Mechanism>, Channel) {
    let password = secret(PASSWORD);
    let token = secret(TOKEN);
    let none = Channel::default();
    let scram = |hash, channel: Channel| {
        let scram = Scram::new(hash, USER, &password, nonce("client-nonce")).unwrap();
        (Box::new(scram.over(&channel)) as Box<dyn Mechanism>, channel)
    };
    match which {
        0 => (Box::new(Plain::new(USER, &password).unwrap()), none),
        1 => (Box::new(Login::new(USER, &password).unwrap()), none),
        2 => (Box::new(CramMd5::new(USER, &password).unwrap()), none),
        3 => (Box::new(XOAuth2::new(USER, &token).unwrap()), none),
        4 => (Box::new(OAuthBearer::new(USER, &token, "mx.example", 143).unwrap()), none),
        5 => (Box::new(External::acting_as(USER).unwrap()), none),
        6 => (Box::new(Anonymous::new("trace").unwrap()), none),
        7 => scram(ScramHash::Sha1, none),
        8 => scram(ScramHash::Sha256, none),
        9 => scram(ScramHash::Sha1, plus(ScramHash::Sha1)),
        10 => scram(ScramHash::Sha256, plus(ScramHash::Sha256)),
        _ => unreachable!("there are {MECHANISMS}"),
    }
}

#[test]
fn every_mechanism_agrees_with_itself() {
    let app = App::new();
    let mut names = Vec::new();
    for which in 0..MECHANISMS {
        let (mut client, channel) = mechanism(which);
        names.push(client.name());
        match run(&mut *client, &app, &channel, |_, _| {}) {
            Outcome::Both(attempt) => assert!(app.judge(&attempt), "{attempt:?}"),
            other => panic!("{}: {other:?}", client.name()),
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), MECHANISMS, "the mechanisms are all different ones");
}

#[test]
fn nothing_secret_is_printed() {
    let app = App::new();
    for which in 0..MECHANISMS {
        let (mut client, channel) = mechanism(which);
        let mut printed = format!("{client:?}", client = client.name());
        let mut step = client.initial().map(|message| {
            let message = message.into_inner();
            ServerExchange::start(&client.name(), Some(&message), &channel)
        });
        let mut step = step.take().unwrap_or_else(|| ServerExchange::start(&client.name(), None, &channel));
        while let Ok(next) = step {
            printed += &format!("{next:?}");
            let next = app.supply(next).unwrap();
            printed += &format!("{next:?}");
            let ServerStep::Challenge(challenge, exchange) = next else { break };
            step = exchange.respond(client.respond(&challenge).unwrap().reveal());
        }
        for word in [PASSWORD, TOKEN] {
            assert!(!printed.contains(word), "{}: {printed}", client.name());
        }
        // Exporter, keys and salts would be lists of numbers.
        assert!(!printed.contains("7, 7, 7"), "{printed}");
    }
    let scram = Scram::new(ScramHash::Sha256, USER, &secret(PASSWORD), nonce("n")).unwrap();
    let printed = format!("{scram:?} {:?} {:?}", app.sha256, Plain::new(USER, &secret(PASSWORD)));
    assert!(!printed.contains(PASSWORD) && !printed.contains("salt of"), "{printed}");
}
