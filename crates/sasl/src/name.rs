//! The names of mechanisms.

use alloc::boxed::Box;
use core::fmt;

/// A SASL mechanism, by its registered name (RFC 4422, 3.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum MechanismName {
    /// `PLAIN` (RFC 4616): user and password in one message.
    Plain,
    /// `LOGIN`: user and password in two messages. Never standardised, everywhere in use.
    Login,
    /// `EXTERNAL` (RFC 4422, appendix A): whoever TLS or the system says it is.
    External,
    /// `ANONYMOUS` (RFC 4505).
    Anonymous,
    /// `CRAM-MD5` (RFC 2195).
    CramMd5,
    /// `SCRAM-SHA-1` (RFC 5802).
    ScramSha1,
    /// `SCRAM-SHA-1-PLUS` (RFC 5802).
    ScramSha1Plus,
    /// `SCRAM-SHA-256` (RFC 7677).
    ScramSha256,
    /// `SCRAM-SHA-256-PLUS` (RFC 7677).
    ScramSha256Plus,
    /// `XOAUTH2`: an OAuth token in the way Google and Microsoft began with.
    XOAuth2,
    /// `OAUTHBEARER` (RFC 7628).
    OAuthBearer,
    /// Any other name that RFC 4422 allows, in upper case.
    Other(Box<str>),
}

/// The longest name there is (RFC 4422, 3.1).
const LONGEST: usize = 20;

impl MechanismName {
    /// Reads a name in any case. `None` if it is not one: 1 to 20 letters, digits, `-` and `_`.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let mut upper = [0; LONGEST];
        let upper = upper.get_mut(..name.len())?;
        for (upper, octet) in upper.iter_mut().zip(name) {
            *upper = octet.to_ascii_uppercase();
        }
        Some(match &*upper {
            b"PLAIN" => Self::Plain,
            b"LOGIN" => Self::Login,
            b"EXTERNAL" => Self::External,
            b"ANONYMOUS" => Self::Anonymous,
            b"CRAM-MD5" => Self::CramMd5,
            b"SCRAM-SHA-1" => Self::ScramSha1,
            b"SCRAM-SHA-1-PLUS" => Self::ScramSha1Plus,
            b"SCRAM-SHA-256" => Self::ScramSha256,
            b"SCRAM-SHA-256-PLUS" => Self::ScramSha256Plus,
            b"XOAUTH2" => Self::XOAuth2,
            b"OAUTHBEARER" => Self::OAuthBearer,
            other => {
                let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
                let other = core::str::from_utf8(other).ok()?;
                return (!other.is_empty() && other.as_bytes().iter().all(fits)).then(|| Self::Other(other.into()));
            }
        })
    }

    /// The name as it stands on the wire, in upper case.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::External => "EXTERNAL",
            Self::Anonymous => "ANONYMOUS",
            Self::CramMd5 => "CRAM-MD5",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::XOAuth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::Other(name) => name,
        }
    }

    /// Whether the login is bound to the TLS connection it goes over (RFC 5802, 6).
    pub fn binds_channel(&self) -> bool {
        matches!(self, Self::ScramSha1Plus | Self::ScramSha256Plus)
    }

    /// Whether who reads the wire can use what is sent: such a mechanism wants TLS.
    ///
    /// Unknown mechanisms are taken for such. Of CRAM-MD5 and SCRAM the reader gets enough to try passwords at leisure,
    /// with SCRAM at the cost of its iterations for each.
    //= 5034-4-20, 4616-1-1, 7628-3-1
    pub fn exposes_secret(&self) -> bool {
        match self {
            Self::Plain | Self::Login | Self::XOAuth2 | Self::OAuthBearer | Self::Other(_) => true,
            Self::External | Self::Anonymous | Self::CramMd5 => false,
            Self::ScramSha1 | Self::ScramSha1Plus | Self::ScramSha256 | Self::ScramSha256Plus => false,
        }
    }
}

impl fmt::Display for MechanismName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
