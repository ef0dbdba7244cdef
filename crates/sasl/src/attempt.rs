//! What a server session asks the application about a login, and what it may be told.

use crate::{Apop, CramDigest, MechanismName};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use postrider_core::Secret;

/// A peer's claim to be somebody, complete and well-formed. The application judges it.
///
/// Each kind comes only from mechanisms that were switched on, so refusing kinds one does not know is safe. `authorization`
/// is always whom to act as if the client named somebody; refuse it unless the user may act as that one.
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
    /// As [`Attempt::Apop`], by CRAM-MD5.
    CramMd5(CramDigest),
    /// The client has proven that it knows the user's password, against the credentials that the application gave
    /// (SCRAM). What is left to judge is whether that user may log in here, and as `authorization`.
    Proven {
        /// Whom to act as, if the client said.
        authorization: Option<String>,
        /// Who it is, prepared with SASLprep. Not empty, no NUL.
        user: String,
        /// How it was proven. With `-PLUS` the client speaks over this very TLS connection, with nobody in between.
        mechanism: MechanismName,
    },
    /// An OAuth 2.0 bearer token (RFC 6750), which the application checks with whoever issued it.
    Token {
        /// Who it claims to be: the token must be theirs. OAUTHBEARER may leave that to the token.
        user: Option<String>,
        /// The token. Not empty, printable ASCII without blanks.
        token: Secret<String>,
        /// XOAUTH2 or OAUTHBEARER.
        mechanism: MechanismName,
    },
    /// Whoever TLS, the socket or the address says it is (EXTERNAL). Refuse it if they say nothing.
    External {
        /// Whom to act as, if the client said.
        authorization: Option<String>,
    },
    /// Nobody (ANONYMOUS, RFC 4505).
    Anonymous {
        /// What the client leaves for the log: an address, or any text of at most 255 characters. It proves nothing.
        trace: Option<String>,
    },
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

    /// What is sent to the client as one more challenge before this attempt is refused. Whatever it answers, it is
    /// refused then. `None` if there is no such thing.
    pub fn refusal(&self) -> Option<Vec<u8>> {
        let Self::Token { mechanism, .. } = self else { return None };
        Some(match mechanism {
            // RFC 7628, 3.2.2. XOAUTH2 calls the same by the number of HTTP.
            MechanismName::OAuthBearer => b"{\"status\":\"invalid_token\"}".to_vec(),
            _ => b"{\"status\":\"401\",\"schemes\":\"bearer\"}".to_vec(),
        })
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
