//! Which of the mechanisms on offer a client takes.

#[cfg(feature = "cram-md5")]
use crate::CramMd5;
use crate::{
    Anonymous, Channel, External, Login, Mechanism, MechanismError, MechanismName, Nonce, OAuthBearer, Plain, XOAuth2,
};
#[cfg(feature = "scram")]
use crate::{Scram, ScramHash};
use alloc::boxed::Box;
use alloc::string::String;
use postrider_core::{Secret, Security};

/// What a client can show for itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// A password.
    Password {
        /// Whose.
        user: String,
        /// The password.
        password: Secret<String>,
    },
    /// An OAuth 2.0 access token.
    Token {
        /// Whose.
        user: String,
        /// The token.
        token: Secret<String>,
        /// The server's name, for OAUTHBEARER.
        host: String,
        /// The server's port, for OAUTHBEARER.
        port: u16,
    },
    /// What TLS or the system knows already.
    External,
    /// Nothing.
    Anonymous,
}

/// Why there is no mechanism to log in with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoMechanism {
    /// None of the mechanisms on offer takes such credentials.
    #[error("the server offers no mechanism that takes these credentials")]
    NoneFits,
    /// Those that do would show them to whoever reads the wire.
    #[error("the server offers only mechanisms that would show the password without TLS")]
    NeedsTls,
    /// The mechanism cannot carry them.
    #[error(transparent)]
    Unusable(MechanismError),
}

impl Credentials {
    /// A user's password.
    pub fn password(user: impl Into<String>, password: impl Into<Secret<String>>) -> Self {
        Self::Password { user: user.into(), password: password.into() }
    }

    /// The strongest of the mechanisms that a server offers on this connection and that takes these credentials.
    ///
    /// Strongest are those bound to the TLS connection, then other SCRAM, each with SHA-256 before SHA-1, then PLAIN,
    /// LOGIN and CRAM-MD5. If TLS did not verify the server, CRAM-MD5 comes before those that would hand it the
    /// password. What [exposes](MechanismName::exposes_secret) a secret is used with TLS only. `nonce` is for SCRAM, and
    /// must never be used twice.
    ///
    /// Offers that were heard before TLS are not to be believed: ask again after the handshake.
    ///
    /// # Errors
    /// [`NoMechanism`].
    pub fn strongest(
        &self,
        offered: &[MechanismName],
        security: &Security,
        nonce: Nonce,
    ) -> Result<Box<dyn Mechanism>, NoMechanism> {
        self.choose(offered, &Channel::new(security, offered), false, nonce)
    }

    /// As [`Credentials::strongest`], but shows the secret without TLS too if it must.
    ///
    /// # Errors
    /// [`NoMechanism`].
    pub fn dangerous_strongest_in_plaintext(
        &self,
        offered: &[MechanismName],
        security: &Security,
        nonce: Nonce,
    ) -> Result<Box<dyn Mechanism>, NoMechanism> {
        self.choose(offered, &Channel::new(security, offered), true, nonce)
    }

    fn choose(
        &self,
        offered: &[MechanismName],
        channel: &Channel,
        plaintext: bool,
        nonce: Nonce,
    ) -> Result<Box<dyn Mechanism>, NoMechanism> {
        let mut why = NoMechanism::NoneFits;
        for name in self.order(channel).iter().filter(|name| offered.contains(name)) {
            if name.exposes_secret() && !channel.is_tls() && !plaintext {
                why = NoMechanism::NeedsTls;
                continue;
            }
            if name.binds_channel() && !channel.can_bind() {
                continue;
            }
            match self.with(name, channel, nonce.clone()) {
                Some(Ok(mechanism)) => return Ok(mechanism),
                // What SCRAM cannot prepare, PLAIN may still carry.
                Some(Err(error)) => why = NoMechanism::Unusable(error),
                None => {}
            }
        }
        Err(why)
    }

    fn order(&self, channel: &Channel) -> &'static [MechanismName] {
        use MechanismName as Name;
        match self {
            Self::Password { .. } if channel.is_verified() => &[
                Name::ScramSha256Plus,
                Name::ScramSha1Plus,
                Name::ScramSha256,
                Name::ScramSha1,
                Name::Plain,
                Name::Login,
                Name::CramMd5,
            ],
            Self::Password { .. } => &[
                Name::ScramSha256Plus,
                Name::ScramSha1Plus,
                Name::ScramSha256,
                Name::ScramSha1,
                Name::CramMd5,
                Name::Plain,
                Name::Login,
            ],
            Self::Token { .. } => &[Name::OAuthBearer, Name::XOAuth2],
            Self::External => &[Name::External],
            Self::Anonymous => &[Name::Anonymous],
        }
    }

    /// `None` if the mechanism is not compiled in, or takes something else.
    fn with(
        &self,
        name: &MechanismName,
        channel: &Channel,
        nonce: Nonce,
    ) -> Option<Result<Box<dyn Mechanism>, MechanismError>> {
        #[cfg(feature = "scram")]
        let scram = |hash, user: &str, password: &Secret<String>, nonce| {
            Scram::new(hash, user, password, nonce).map(|scram| boxed(scram.over(channel)))
        };
        #[cfg(not(feature = "scram"))]
        let _ = (channel, nonce);
        Some(match (self, name) {
            #[cfg(feature = "scram")]
            (Self::Password { user, password }, MechanismName::ScramSha256Plus | MechanismName::ScramSha256) => {
                scram(ScramHash::Sha256, user, password, nonce)
            }
            #[cfg(feature = "scram")]
            (Self::Password { user, password }, MechanismName::ScramSha1Plus | MechanismName::ScramSha1) => {
                scram(ScramHash::Sha1, user, password, nonce)
            }
            #[cfg(feature = "cram-md5")]
            (Self::Password { user, password }, MechanismName::CramMd5) => CramMd5::new(user, password).map(boxed),
            (Self::Password { user, password }, MechanismName::Plain) => Plain::new(user, password).map(boxed),
            (Self::Password { user, password }, MechanismName::Login) => Login::new(user, password).map(boxed),
            (Self::Token { user, token, host, port }, MechanismName::OAuthBearer) => {
                OAuthBearer::new(user, token, host, *port).map(boxed)
            }
            (Self::Token { user, token, .. }, MechanismName::XOAuth2) => XOAuth2::new(user, token).map(boxed),
            (Self::External, MechanismName::External) => Ok(boxed(External::new())),
            (Self::Anonymous, MechanismName::Anonymous) => Anonymous::new("").map(boxed),
            (Self::Password { .. } | Self::Token { .. } | Self::External | Self::Anonymous, _) => return None,
        })
    }
}

fn boxed(mechanism: impl Mechanism + 'static) -> Box<dyn Mechanism> {
    Box::new(mechanism)
}
