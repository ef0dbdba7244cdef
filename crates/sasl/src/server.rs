//! The server's half of each mechanism.

use crate::{Attempt, MechanismName};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::Secret;

/// What comes next in an exchange.
#[derive(Debug)]
pub enum ServerStep {
    /// Send this challenge (empty for "go on"), then give the client's answer to [`ServerExchange::respond`].
    Challenge(Vec<u8>, ServerExchange),
    /// The client has said all. Put it to the application.
    Attempt(Attempt),
}

/// A server's exchange with one client, waiting for a response.
#[derive(Debug)]
pub struct ServerExchange(State);

#[derive(Debug)]
enum State {
    Plain,
    LoginUser,
    LoginPassword { user: String },
}

/// An exchange that cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// There is no server half of the mechanism here.
    #[error("the mechanism is not supported")]
    Unsupported,
    /// The client's message is not what the mechanism wants.
    #[error("the client's SASL message is malformed: {0}")]
    Malformed(&'static str),
}

impl ServerExchange {
    /// Whether [`ServerExchange::start`] knows the mechanism.
    pub fn supports(mechanism: &MechanismName) -> bool {
        matches!(mechanism, MechanismName::Plain | MechanismName::Login)
    }

    /// Begins an exchange, with the client's initial response if it sent one.
    ///
    /// # Errors
    /// [`ExchangeError`] if the mechanism is not supported or the response malformed. The login has failed then.
    pub fn start(mechanism: &MechanismName, initial: Option<&[u8]>) -> Result<ServerStep, ExchangeError> {
        let (state, challenge) = match mechanism {
            MechanismName::Plain => (State::Plain, &b""[..]),
            // LOGIN is specified nowhere. These two prompts are what all clients know.
            MechanismName::Login => (State::LoginUser, &b"Username:"[..]),
            MechanismName::External
            | MechanismName::Anonymous
            | MechanismName::CramMd5
            | MechanismName::ScramSha1
            | MechanismName::ScramSha1Plus
            | MechanismName::ScramSha256
            | MechanismName::ScramSha256Plus
            | MechanismName::XOAuth2
            | MechanismName::OAuthBearer
            | MechanismName::Other(_) => return Err(ExchangeError::Unsupported),
        };
        match initial {
            Some(response) => Self(state).respond(response),
            None => Ok(ServerStep::Challenge(challenge.to_owned(), Self(state))),
        }
    }

    /// Takes the client's response to the last challenge, decoded.
    ///
    /// # Errors
    /// [`ExchangeError::Malformed`]. The login has failed then.
    pub fn respond(self, response: &[u8]) -> Result<ServerStep, ExchangeError> {
        match self.0 {
            State::Plain => plain(response).map(ServerStep::Attempt),
            State::LoginUser => {
                let user = text(response, "a user name of UTF-8 without NUL is needed")?;
                Ok(ServerStep::Challenge(b"Password:".to_vec(), Self(State::LoginPassword { user })))
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
        }
    }
}

/// RFC 4616, 2: `[authzid] NUL authcid NUL passwd`, the last two not empty.
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

fn text(part: &[u8], expected: &'static str) -> Result<String, ExchangeError> {
    if part.is_empty() || part.contains(&0) {
        return Err(ExchangeError::Malformed(expected));
    }
    core::str::from_utf8(part).map(str::to_owned).map_err(|_| ExchangeError::Malformed(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            attempt(ServerExchange::start(&MechanismName::Plain, Some("boss\0ålice\0pass word".as_bytes())));
        assert_eq!(authorization.as_deref(), Some("boss"));
        assert_eq!(user, "ålice");
        assert!(password.matches("pass word"));
        let (authorization, ..) = attempt(ServerExchange::start(&MechanismName::Plain, Some(b"\0a\0b")));
        assert_eq!(authorization, None);
    }

    #[test]
    fn plain_without_initial_response_is_asked_for_it() {
        let Ok(ServerStep::Challenge(challenge, exchange)) = ServerExchange::start(&MechanismName::Plain, None) else {
            panic!("PLAIN without an initial response sends an empty challenge")
        };
        assert!(challenge.is_empty());
        assert_eq!(attempt(exchange.respond(b"\0a\0b")).1, "a");
    }

    #[test]
    fn plain_refuses_what_is_not_plain() {
        for bad in [&b""[..], b"a", b"\0", b"\0a", b"\0\0", b"\0a\0", b"\0\0b", b"\0a\0b\0", b"\0a\0b\0c"] {
            let step = ServerExchange::start(&MechanismName::Plain, Some(bad));
            assert!(matches!(step, Err(ExchangeError::Malformed(_))), "{bad:?}");
        }
        for bad in [&b"\0\xff\0b"[..], b"\0a\0\xff", b"\xff\0a\0b"] {
            let step = ServerExchange::start(&MechanismName::Plain, Some(bad));
            assert!(matches!(step, Err(ExchangeError::Malformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn login_prompts_twice_and_takes_the_user_as_initial_response() {
        let Ok(ServerStep::Challenge(first, exchange)) = ServerExchange::start(&MechanismName::Login, None) else {
            panic!("LOGIN asks for the user")
        };
        assert_eq!(first, b"Username:");
        let Ok(ServerStep::Challenge(second, exchange)) = exchange.respond(b"alice") else {
            panic!("LOGIN asks for the password")
        };
        assert_eq!(second, b"Password:");
        assert!(attempt(exchange.respond(b"secret")).2.matches("secret"));

        let Ok(ServerStep::Challenge(prompt, _)) = ServerExchange::start(&MechanismName::Login, Some(b"alice")) else {
            panic!("the initial response is the user")
        };
        assert_eq!(prompt, b"Password:");
    }

    #[test]
    fn nothing_secret_is_printed() {
        let step = ServerExchange::start(&MechanismName::Plain, Some(b"\0alice\0wonderland"));
        assert!(!alloc::format!("{step:?}").contains("wonderland"));
    }

    #[test]
    fn unsupported_mechanisms_fail() {
        let name = MechanismName::parse(b"x-unknown").unwrap();
        assert_eq!(name.as_str(), "X-UNKNOWN");
        assert!(matches!(ServerExchange::start(&name, None), Err(ExchangeError::Unsupported)));
        assert_eq!(MechanismName::parse(b""), None);
        assert_eq!(MechanismName::parse(b"A B"), None);
        assert_eq!(MechanismName::parse(b"ABCDEFGHIJKLMNOPQRSTU"), None);
    }
}
