//! What a server session asks the application about a login, and what it may be told.

use crate::{Apop, MechanismName};
use alloc::string::String;
use core::fmt;
use postrider_core::Secret;

/// A peer's claim to be somebody, complete and well-formed. The application judges it.
///
/// New kinds (tokens, SCRAM) come only from mechanisms that were switched on, so refusing an unknown kind is safe.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Attempt {
    /// A user's password, in clear text.
    Password {
        /// Whom to act as, if that is not `user` (RFC 4616, 2). Refuse it unless `user` may do so.
        authorization: Option<String>,
        /// Who it claims to be. Not empty, no NUL.
        user: String,
        /// The password. Not empty, no NUL.
        password: Secret<String>,
        /// The mechanism; `None` for the protocol's own command (IMAP LOGIN, POP3 USER and PASS).
        mechanism: Option<MechanismName>,
    },
    /// A digest that only somebody with the password can make. To check it, the password must be known in clear text.
    Apop(Apop),
}

impl Attempt {
    /// A password given by the protocol's own command.
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password {
            authorization: None,
            user: user.into(),
            password: Secret::new(password.into()),
            mechanism: None,
        }
    }
}

/// Whom a session acts for once it is logged in: the application's own name for the user.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity(String);

impl Identity {
    /// The user with the application's name `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a login is refused, in the words every protocol has a code for (RFC 4954, 6; RFC 5530; RFC 3206).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Unknown user, wrong password, or no right to act as another: the peer is not told which.
    #[error("authentication credentials invalid")]
    Credentials,
    /// It could not be checked now. The same credentials may do later.
    #[error("temporary authentication failure")]
    Temporary,
    /// The password is right but too old.
    #[error("the password has expired and must be changed")]
    Expired,
    /// The credentials are right, but this service is not for this user.
    #[error("access denied")]
    Forbidden,
}
