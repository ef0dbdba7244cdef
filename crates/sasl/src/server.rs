//! The server's half of each mechanism.

use crate::client::LONGEST_TRACE;
use crate::{ApopChallenge, Attempt, Channel, CramDigest, MechanismName, ScramHash, ScramQuery, hash, oauth, scram};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::{Secret, Security};

/// What comes next in an exchange.
#[derive(Debug)]
pub enum ServerStep {
    /// Send this challenge (empty for "go on"), then give the client's answer to [`ServerExchange::respond`].
    Challenge(Vec<u8>, ServerExchange),
    /// SCRAM goes on with what the application keeps of the user: [`ScramQuery::answer`].
    Scram(ScramQuery),
    /// CRAM-MD5 goes on with a timestamp of the application's: [`CramQuery::answer`].
    Cram(CramQuery),
    /// The client has said all. Put it to the application.
    ///
    /// If that refuses it, [`Attempt::refusal`] may have to be sent as a challenge first.
    Attempt(Attempt),
}

/// A server's exchange with one client, waiting for a response.
#[derive(Debug)]
pub struct ServerExchange(Box<State>);

#[derive(Debug)]
pub(crate) enum State {
    Plain,
    LoginUser,
    LoginPassword { user: String },
    External,
    Anonymous,
    XOAuth2,
    OAuthBearer,
    Cram(ApopChallenge),
    ScramFirst(scram::First),
    ScramFinal(scram::Final),
    ScramVerified(scram::Verified),
}

/// CRAM-MD5 needs a challenge. The application makes it, since it must never be the same twice.
#[derive(Debug)]
pub struct CramQuery(());

impl CramQuery {
    /// Goes on with a timestamp never used before.
    pub fn answer(self, challenge: ApopChallenge) -> ServerStep {
        let message = challenge.as_str().as_bytes().to_vec();
        ServerStep::Challenge(message, ServerExchange::new(State::Cram(challenge)))
    }
}

/// An exchange that cannot go on. The login has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// There is no server half of the mechanism here.
    #[error("the mechanism is not supported")]
    Unsupported,
    /// The client's message is not what the mechanism wants.
    #[error("the client's SASL message is malformed: {0}")]
    Malformed(&'static str),
    /// The message is well-formed, but proves nothing. For logs: the client need not know why.
    #[error("the login is refused: {0}")]
    Refused(&'static str),
    /// The application gave credentials for another hash function than was asked for.
    #[error("the credentials are for another hash function")]
    WrongHash,
}

impl ServerExchange {
    pub(crate) fn new(state: State) -> Self {
        Self(Box::new(state))
    }

    /// Whether [`ServerExchange::start`] knows the mechanism. SCRAM and CRAM-MD5 need their features.
    pub fn supports(mechanism: &MechanismName) -> bool {
        match mechanism {
            MechanismName::Plain | MechanismName::Login | MechanismName::External | MechanismName::Anonymous => true,
            MechanismName::XOAuth2 | MechanismName::OAuthBearer => true,
            MechanismName::CramMd5 => hash::CRAM_MD5,
            MechanismName::ScramSha1 | MechanismName::ScramSha256 => hash::SCRAM,
            MechanismName::ScramSha1Plus | MechanismName::ScramSha256Plus => hash::SCRAM,
            MechanismName::Other(_) => false,
        }
    }

    /// Whether the mechanism can be offered on a connection like this: it is supported, and there is something to bind
    /// to if it must be.
    //= 5802-6-1
    pub fn supports_over(mechanism: &MechanismName, security: &Security) -> bool {
        let bindable = match security {
            Security::Plaintext => false,
            Security::Tls(info) => info.exporter.is_some() || info.server_end_point.is_some(),
        };
        Self::supports(mechanism) && (bindable || !mechanism.binds_channel())
    }

    /// Begins an exchange, with the client's initial response if it sent one. `channel` says what is offered here, so
    /// that a client which was kept from seeing that is noticed.
    ///
    /// # Errors
    /// [`ExchangeError`] if the mechanism is not supported or the response wrong. The login has failed then.
    pub fn start(
        mechanism: &MechanismName,
        initial: Option<&[u8]>,
        channel: &Channel,
    ) -> Result<ServerStep, ExchangeError> {
        if !Self::supports(mechanism) {
            return Err(ExchangeError::Unsupported);
        }
        let scram = |hash, plus| (State::ScramFirst(scram::First { hash, plus, channel: channel.clone() }), &b""[..]);
        let (state, challenge) = match mechanism {
            MechanismName::Plain => (State::Plain, &b""[..]),
            // LOGIN is specified nowhere. These two prompts are what all clients know.
            MechanismName::Login => (State::LoginUser, &b"Username:"[..]),
            MechanismName::External => (State::External, &b""[..]),
            MechanismName::Anonymous => (State::Anonymous, &b""[..]),
            MechanismName::XOAuth2 => (State::XOAuth2, &b""[..]),
            MechanismName::OAuthBearer => (State::OAuthBearer, &b""[..]),
            MechanismName::ScramSha1 => scram(ScramHash::Sha1, false),
            MechanismName::ScramSha1Plus => scram(ScramHash::Sha1, true),
            MechanismName::ScramSha256 => scram(ScramHash::Sha256, false),
            MechanismName::ScramSha256Plus => scram(ScramHash::Sha256, true),
            MechanismName::CramMd5 if initial.is_some() => {
                return Err(ExchangeError::Malformed("CRAM-MD5 has no initial response"));
            }
            MechanismName::CramMd5 => return Ok(ServerStep::Cram(CramQuery(()))),
            MechanismName::Other(_) => return Err(ExchangeError::Unsupported),
        };
        match initial {
            Some(response) => Self::new(state).respond(response),
            None => Ok(ServerStep::Challenge(challenge.to_owned(), Self::new(state))),
        }
    }

    /// Takes the client's response to the last challenge, decoded.
    ///
    /// # Errors
    /// [`ExchangeError::Malformed`] or [`ExchangeError::Refused`]. The login has failed then.
    pub fn respond(self, response: &[u8]) -> Result<ServerStep, ExchangeError> {
        match *self.0 {
            State::Plain => plain(response).map(ServerStep::Attempt),
            State::LoginUser => {
                let user = text(response, "a user name of UTF-8 without NUL is needed")?;
                Ok(ServerStep::Challenge(b"Password:".to_vec(), Self::new(State::LoginPassword { user })))
            }
            State::LoginPassword { user } => {
                let password = text(response, "a password of UTF-8 without NUL is needed")?;
                Ok(ServerStep::Attempt(Attempt::Password {
                    authorization: None,
                    user,
                    password: Secret::new(password),
                    mechanism: Some(MechanismName::Login),
                }))
            }
            State::External => {
                let authorization = optional(response, "an authorization identity of UTF-8 without NUL is needed")?;
                Ok(ServerStep::Attempt(Attempt::External { authorization }))
            }
            State::Anonymous => {
                const EXPECTED: &str = "at most 255 characters of UTF-8 are needed";
                let trace = optional(response, EXPECTED)?;
                let fits = |trace: &String| trace.chars().count() <= LONGEST_TRACE && !trace.contains(char::is_control);
                if !trace.as_ref().is_none_or(fits) {
                    return Err(ExchangeError::Malformed(EXPECTED));
                }
                Ok(ServerStep::Attempt(Attempt::Anonymous { trace }))
            }
            State::XOAuth2 => oauth::xoauth2(response).map(ServerStep::Attempt),
            State::OAuthBearer => oauth::oauthbearer(response).map(ServerStep::Attempt),
            State::Cram(challenge) => {
                let digest = CramDigest::parse(response, challenge);
                let digest = digest.ok_or(ExchangeError::Malformed("expected user and digest"))?;
                Ok(ServerStep::Attempt(Attempt::CramMd5(digest)))
            }
            State::ScramFirst(first) => first.respond(response),
            State::ScramFinal(last) => last.respond(response),
            State::ScramVerified(verified) => verified.respond(response),
        }
    }
}

fn optional(part: &[u8], expected: &'static str) -> Result<Option<String>, ExchangeError> {
    if part.is_empty() { Ok(None) } else { text(part, expected).map(Some) }
}

/// RFC 4616, 2: `[authzid] NUL authcid NUL passwd`, the last two not empty.
//= 4954-4-16, 5034-4-14, 4616-2-3, 4616-2-4
fn plain(message: &[u8]) -> Result<Attempt, ExchangeError> {
    let mut parts = message.split(|&b| b == 0);
    let (Some(authorization), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(ExchangeError::Malformed("PLAIN takes exactly two NULs"));
    };
    let authorization = match authorization {
        b"" => None,
        some => Some(text(some, "an authorization identity of UTF-8 is needed")?),
    };
    Ok(Attempt::Password {
        authorization,
        user: text(user, "a user name of UTF-8 is needed")?,
        password: Secret::new(text(password, "a password of UTF-8 is needed")?),
        mechanism: Some(MechanismName::Plain),
    })
}

//= 4616-2-2
fn text(part: &[u8], expected: &'static str) -> Result<String, ExchangeError> {
    if part.is_empty() || part.contains(&0) {
        return Err(ExchangeError::Malformed(expected));
    }
    core::str::from_utf8(part).map(str::to_owned).map_err(|_| ExchangeError::Malformed(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(mechanism: &MechanismName, initial: Option<&[u8]>) -> Result<ServerStep, ExchangeError> {
        ServerExchange::start(mechanism, initial, &Channel::default())
    }

    fn attempt(step: Result<ServerStep, ExchangeError>) -> (Option<String>, String, Secret<String>) {
        match step {
            Ok(ServerStep::Attempt(Attempt::Password { authorization, user, password, .. })) => {
                (authorization, user, password)
            }
            other => panic!("no attempt: {other:?}"),
        }
    }

    #[test]
    fn plain_takes_three_parts() {
        let (authorization, user, password) =
            attempt(start(&MechanismName::Plain, Some("boss\0ålice\0pass word".as_bytes())));
        assert_eq!(authorization.as_deref(), Some("boss"));
        assert_eq!(user, "ålice");
        assert!(password.matches("pass word"));
        let (authorization, ..) = attempt(start(&MechanismName::Plain, Some(b"\0a\0b")));
        assert_eq!(authorization, None);
    }

    #[test]
    fn plain_without_initial_response_is_asked_for_it() {
        let Ok(ServerStep::Challenge(challenge, exchange)) = start(&MechanismName::Plain, None) else {
            panic!("PLAIN without an initial response sends an empty challenge")
        };
        assert!(challenge.is_empty());
        assert_eq!(attempt(exchange.respond(b"\0a\0b")).1, "a");
    }

    //= 4954-4-16, 4616-2-2, 4616-2-3, 4616-2-4
    #[test]
    fn plain_refuses_what_is_not_plain() {
        for bad in [&b""[..], b"a", b"\0", b"\0a", b"\0\0", b"\0a\0", b"\0\0b", b"\0a\0b\0", b"\0a\0b\0c"] {
            let step = start(&MechanismName::Plain, Some(bad));
            assert!(matches!(step, Err(ExchangeError::Malformed(_))), "{bad:?}");
        }
        for bad in [&b"\0\xff\0b"[..], b"\0a\0\xff", b"\xff\0a\0b"] {
            let step = start(&MechanismName::Plain, Some(bad));
            assert!(matches!(step, Err(ExchangeError::Malformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn login_prompts_twice_and_takes_the_user_as_initial_response() {
        let Ok(ServerStep::Challenge(first, exchange)) = start(&MechanismName::Login, None) else {
            panic!("LOGIN asks for the user")
        };
        assert_eq!(first, b"Username:");
        let Ok(ServerStep::Challenge(second, exchange)) = exchange.respond(b"alice") else {
            panic!("LOGIN asks for the password")
        };
        assert_eq!(second, b"Password:");
        assert!(attempt(exchange.respond(b"secret")).2.matches("secret"));

        let Ok(ServerStep::Challenge(prompt, _)) = start(&MechanismName::Login, Some(b"alice")) else {
            panic!("the initial response is the user")
        };
        assert_eq!(prompt, b"Password:");
    }

    #[test]
    fn nothing_secret_is_printed() {
        let step = start(&MechanismName::Plain, Some(b"\0alice\0wonderland"));
        assert!(!alloc::format!("{step:?}").contains("wonderland"));
    }

    #[test]
    fn unsupported_mechanisms_fail() {
        let name = MechanismName::parse(b"x-unknown").unwrap();
        assert_eq!(name.as_str(), "X-UNKNOWN");
        assert!(matches!(start(&name, None), Err(ExchangeError::Unsupported)));
        assert_eq!(MechanismName::parse(b""), None);
        assert_eq!(MechanismName::parse(b"A B"), None);
        assert_eq!(MechanismName::parse(b"ABCDEFGHIJKLMNOPQRSTU"), None);
    }
}
