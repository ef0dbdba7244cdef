//! AUTH exchanges, both halves of every mechanism.

use super::split;
use crate::Rng;
use postrider_core::{Secret, Security, TlsInfo};
use postrider_sasl::*;
use std::sync::OnceLock;

const USER: &str = "user";
const PASSWORD: &str = "pencil";

/// What a server keeps of the one user it knows. Made once, since that takes a while.
fn stored(hash: ScramHash) -> ScramCredentials {
    static STORED: OnceLock<[ScramCredentials; 2]> = OnceLock::new();
    let make = |hash| {
        ScramCredentials::derive(hash, &Secret::new(PASSWORD.into()), b"salt", MIN_ITERATIONS).expect("in bounds")
    };
    let [sha1, sha256] = STORED.get_or_init(|| [make(ScramHash::Sha1), make(ScramHash::Sha256)]);
    match hash {
        ScramHash::Sha1 => sha1.clone(),
        ScramHash::Sha256 => sha256.clone(),
    }
}

/// The client half of a mechanism, and the channel that both halves see.
fn client(rng: &mut Rng) -> (Box<dyn Mechanism>, Channel) {
    let secret: Secret<String> = Secret::new(PASSWORD.into());
    let mut info = TlsInfo::default();
    info.exporter = Some(vec![7; 32]);
    let hash = if rng.one_in(2) { ScramHash::Sha1 } else { ScramHash::Sha256 };
    let offered = [hash.mechanism(true), hash.mechanism(false)];
    let channel = match rng.below(3) {
        0 => Channel::default(),
        1 => Channel::new(&Security::Tls(info), &offered[1..]),
        _ => Channel::new(&Security::Tls(info), &offered),
    };
    let fits = "these values can be sent";
    let mechanism: Box<dyn Mechanism> = match rng.below(8) {
        0 => Box::new(Plain::new(USER, &secret).expect(fits)),
        1 => Box::new(Login::new(USER, &secret).expect(fits)),
        2 => Box::new(CramMd5::new(USER, &secret).expect(fits)),
        3 => Box::new(XOAuth2::new(USER, &secret).expect(fits)),
        4 => Box::new(OAuthBearer::new(USER, &secret, "mx.example", 143).expect(fits)),
        5 => Box::new(External::new()),
        6 => Box::new(Anonymous::new("trace").expect(fits)),
        _ => {
            let nonce = Nonce::parse("abc").expect("a nonce");
            // More work would only make the search slower.
            let scram = Scram::new(hash, USER, &secret, nonce).expect(fits).max_iterations(MIN_ITERATIONS);
            Box::new(scram.over(&channel))
        }
    };
    (mechanism, channel)
}

/// The application's part.
fn supply(step: ServerStep) -> Result<ServerStep, ExchangeError> {
    match step {
        ServerStep::Scram(query) => {
            let hash = query.hash();
            let known = query.user() == USER;
            let nobody = || ScramCredentials::for_nobody(hash, query.user(), &Secret::new(vec![1; 32]), 0);
            let credentials = if known { stored(hash) } else { nobody() };
            query.answer(ScramAnswer { credentials, nonce: Nonce::parse("def").expect("a nonce") })
        }
        ServerStep::Cram(query) => Ok(query.answer(ApopChallenge::new("<1@mx.example>").expect("a timestamp"))),
        step @ (ServerStep::Challenge(..) | ServerStep::Attempt(_)) => Ok(step),
    }
}

/// The lines of the input are what one half hears, or what is put in place of some messages between two honest halves.
///
/// # Panics
/// If a half panics, goes on for ever, or takes for proven what was not.
pub fn sasl(data: &[u8]) {
    let (mut rng, rest) = split(data);
    let mut lines = rest.split(|&octet| octet == b'\n');
    let (mut client, channel) = client(&mut rng);
    let between = rng.one_in(2);
    let (mut changed, mut forged) = (false, false);
    let mut carry = |honest: Vec<u8>, rng: &mut Rng| {
        if between && rng.one_in(2) {
            return honest;
        }
        match lines.next() {
            Some(line) => {
                changed |= line != honest;
                // Nobody vouches for an extension after the server's signature; it is ignored (RFC 5802, 7).
                let extended = line.strip_prefix(&honest[..]).is_some_and(|rest| rest.starts_with(b","));
                forged |= line != honest && !extended;
                line.to_vec()
            }
            None => honest,
        }
    };
    let name = client.name();
    let initial = client.initial().map(|message| carry(message.into_inner(), &mut rng));
    let mut step = ServerExchange::start(&name, initial.as_deref(), &channel);
    for round in 0.. {
        assert!(round < 6, "{name} does not end");
        match step.and_then(supply) {
            Err(_) => return,
            Ok(ServerStep::Attempt(attempt)) => {
                let proven = matches!(attempt, Attempt::Proven { .. });
                let agreed = client.succeeded().is_ok();
                assert!(!(proven && agreed && forged), "{name} took a changed message for a proof");
                assert!(agreed || changed, "{name} fails by itself");
                return;
            }
            Ok(ServerStep::Challenge(challenge, exchange)) => {
                let challenge = carry(challenge, &mut rng);
                let response = match client.respond(&challenge) {
                    Ok(response) => response.into_inner(),
                    // The other half may still hear something.
                    Err(_) => Vec::new(),
                };
                step = exchange.respond(&carry(response, &mut rng));
            }
            Ok(ServerStep::Scram(_) | ServerStep::Cram(_)) => unreachable!("it was supplied"),
        }
    }
}
