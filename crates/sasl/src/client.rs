//! The client's half of each mechanism.

use crate::MechanismName;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::Secret;

/// A client's exchange with one server. It is used once.
pub trait Mechanism: Send {
    /// The mechanism's name.
    fn name(&self) -> MechanismName;

    /// The message that may be sent with the mechanism's name; `None` if the server must speak first.
    //= 4422-5-1
    fn initial(&mut self) -> Option<Secret<Vec<u8>>>;

    /// Answers a challenge, decoded. If the initial response could not be sent with the name, the server sends an empty
    /// challenge for it and the protocol answers that with [`Mechanism::initial`], not with this.
    ///
    /// # Errors
    /// [`MechanismError`] if the server asks for what the mechanism does not give. Cancel then.
    fn respond(&mut self, challenge: &[u8]) -> Result<Secret<Vec<u8>>, MechanismError>;

    /// The server says that the login succeeded. Whether that can be so: a mechanism that proves the server's knowledge
    /// too fails here if the proof is missing.
    ///
    /// # Errors
    /// [`MechanismError::Incomplete`]. The server must not be trusted then.
    fn succeeded(&mut self) -> Result<(), MechanismError>;
}

/// Why a client gives an exchange up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MechanismError {
    /// The server sent a challenge after all was said.
    #[error("the server challenges where the mechanism has nothing left to say")]
    Unexpected,
    /// The server claims success before the exchange came to its end.
    #[error("the server claims success before the exchange is complete")]
    Incomplete,
    /// The server's message is not what the mechanism has there.
    #[error("the server's SASL message is malformed: {0}")]
    Malformed(&'static str),
    /// The server wants the password stretched more often than we do, or so seldom that it would be cheap to guess.
    #[error("the server wants {wanted} iterations, and {least} to {most} are done", least = crate::MIN_ITERATIONS)]
    Iterations {
        /// So many it wants.
        wanted: u32,
        /// So many are done at most.
        most: u32,
    },
    /// The server could not prove that it knows the user: it is not who it claims to be.
    #[error("the server has not proven that it knows the user")]
    Impostor,
    /// The value would change the meaning of the message: it holds NUL or another separator, or is empty.
    #[error("a user name, password or token cannot be sent with this mechanism")]
    Unsendable,
}

/// `PLAIN` (RFC 4616).
#[derive(Debug)]
pub struct Plain {
    message: Option<Secret<Vec<u8>>>,
}

impl Plain {
    /// Logs in as `user`.
    ///
    /// # Errors
    /// [`MechanismError::Unsendable`] if either is empty or holds NUL.
    pub fn new(user: &str, password: &Secret<String>) -> Result<Self, MechanismError> {
        Self::acting_as("", user, password)
    }

    /// Logs in as `user`, to act as `authorization`.
    ///
    /// # Errors
    /// [`MechanismError::Unsendable`] if user or password is empty or any holds NUL.
    pub fn acting_as(authorization: &str, user: &str, password: &Secret<String>) -> Result<Self, MechanismError> {
        let password = password.reveal();
        sendable(user)?;
        sendable(password)?;
        if authorization.contains('\0') {
            return Err(MechanismError::Unsendable);
        }
        Ok(Self { message: Some(Secret::new(format!("{authorization}\0{user}\0{password}").into_bytes())) })
    }
}

/// `LOGIN`: the user, then the password, whatever the prompts say.
#[derive(Debug)]
pub struct Login {
    user: Option<Secret<Vec<u8>>>,
    password: Option<Secret<Vec<u8>>>,
}

impl Login {
    /// Logs in as `user`.
    ///
    /// # Errors
    /// [`MechanismError::Unsendable`] if either is empty or holds NUL.
    pub fn new(user: &str, password: &Secret<String>) -> Result<Self, MechanismError> {
        sendable(user)?;
        sendable(password.reveal())?;
        Ok(Self {
            user: Some(Secret::new(user.as_bytes().to_vec())),
            password: Some(Secret::new(password.reveal().as_bytes().to_vec())),
        })
    }
}

impl Mechanism for Login {
    fn name(&self) -> MechanismName {
        MechanismName::Login
    }

    fn initial(&mut self) -> Option<Secret<Vec<u8>>> {
        None
    }

    fn respond(&mut self, _challenge: &[u8]) -> Result<Secret<Vec<u8>>, MechanismError> {
        self.user.take().or_else(|| self.password.take()).ok_or(MechanismError::Unexpected)
    }

    fn succeeded(&mut self) -> Result<(), MechanismError> {
        if self.password.is_none() { Ok(()) } else { Err(MechanismError::Incomplete) }
    }
}

/// `EXTERNAL` (RFC 4422, appendix A): whoever TLS or the system says we are.
#[derive(Debug)]
pub struct External {
    message: Option<Secret<Vec<u8>>>,
}

impl External {
    /// Logs in as whoever the server sees.
    #[expect(clippy::new_without_default, reason = "a login is nothing to have by default")]
    pub fn new() -> Self {
        Self { message: Some(Secret::default()) }
    }

    /// Logs in as whoever the server sees, to act as `authorization`.
    ///
    /// # Errors
    /// [`MechanismError::Unsendable`] if it is empty or holds NUL.
    pub fn acting_as(authorization: &str) -> Result<Self, MechanismError> {
        sendable(authorization)?;
        Ok(Self { message: Some(Secret::new(authorization.as_bytes().to_vec())) })
    }
}

/// `ANONYMOUS` (RFC 4505).
#[derive(Debug)]
pub struct Anonymous {
    message: Option<Secret<Vec<u8>>>,
}

impl Anonymous {
    /// Logs in as nobody. `trace` is left for the server's log: an address, or other text, or nothing.
    ///
    /// # Errors
    /// [`MechanismError::Unsendable`] if it is longer than 255 characters or has control characters.
    pub fn new(trace: &str) -> Result<Self, MechanismError> {
        if trace.chars().count() > LONGEST_TRACE || trace.contains(char::is_control) {
            return Err(MechanismError::Unsendable);
        }
        Ok(Self { message: Some(Secret::new(trace.as_bytes().to_vec())) })
    }
}

/// RFC 4505, 2.
pub(crate) const LONGEST_TRACE: usize = 255;

macro_rules! says_one_thing {
    ($($mechanism:ident),*) => {$(
        impl Mechanism for $mechanism {
            fn name(&self) -> MechanismName {
                MechanismName::$mechanism
            }

            fn initial(&mut self) -> Option<Secret<Vec<u8>>> {
                self.message.take()
            }

            fn respond(&mut self, _challenge: &[u8]) -> Result<Secret<Vec<u8>>, MechanismError> {
                Err(MechanismError::Unexpected)
            }

            fn succeeded(&mut self) -> Result<(), MechanismError> {
                if self.message.is_none() { Ok(()) } else { Err(MechanismError::Incomplete) }
            }
        }
    )*};
}
says_one_thing!(Plain, External, Anonymous);

//= 4616-2-3
pub(crate) fn sendable(value: &str) -> Result<(), MechanismError> {
    if value.is_empty() || value.contains('\0') { Err(MechanismError::Unsendable) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_says_all_at_once_and_nothing_more() {
        let mut plain = Plain::new("alice", &Secret::new("pw".into())).unwrap();
        assert_eq!(plain.succeeded(), Err(MechanismError::Incomplete));
        assert_eq!(plain.initial().unwrap().reveal(), b"\0alice\0pw");
        assert_eq!(plain.succeeded(), Ok(()));
        assert_eq!(plain.respond(b"").unwrap_err(), MechanismError::Unexpected);
    }

    #[test]
    fn login_answers_two_prompts_and_no_third() {
        let mut login = Login::new("alice", &Secret::new("pw".into())).unwrap();
        assert!(login.initial().is_none());
        assert_eq!(login.respond(b"User Name\0").unwrap().reveal(), b"alice");
        assert_eq!(login.succeeded(), Err(MechanismError::Incomplete));
        assert_eq!(login.respond(b"Password\0").unwrap().reveal(), b"pw");
        assert_eq!(login.succeeded(), Ok(()));
        assert_eq!(login.respond(b"again").unwrap_err(), MechanismError::Unexpected);
    }

    #[test]
    fn separators_cannot_be_smuggled_in() {
        let ok: Secret<String> = Secret::new("pw".into());
        assert!(Plain::new("a\0b", &ok).is_err());
        assert!(Plain::new("", &ok).is_err());
        assert!(Plain::new("a", &Secret::new("p\0w".into())).is_err());
        assert!(Plain::acting_as("b\0", "a", &ok).is_err());
        assert!(Login::new("a", &Secret::new(String::new())).is_err());
    }

    #[test]
    fn external_and_anonymous_say_one_thing() {
        assert_eq!(External::new().initial().unwrap().reveal(), b"");
        let mut external = External::acting_as("bob").unwrap();
        assert_eq!(external.succeeded(), Err(MechanismError::Incomplete));
        assert_eq!(external.initial().unwrap().reveal(), b"bob");
        assert_eq!(external.succeeded(), Ok(()));
        assert!(External::acting_as("").is_err() && External::acting_as("a\0").is_err());
        let mut anonymous = Anonymous::new("sirhc").unwrap();
        assert_eq!(anonymous.initial().unwrap().reveal(), b"sirhc");
        assert!(anonymous.respond(b"").is_err());
        assert!(Anonymous::new(&"x".repeat(256)).is_err() && Anonymous::new("a\nb").is_err());
    }
}
