//! A host to connect to, and what became of it.

use alloc::string::ToString;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use postrider_core::{Closed, Text};
use postrider_smtp::client::SendError;
use postrider_smtp::wire::{EnhancedCode, Reply};

use crate::classify::Stage;
use crate::{Destination, Name};

/// How the connection to a hop must be protected. The transport obeys; it cannot weaken it.
//= 8689-2-3
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum TlsRequirement {
    /// No TLS, even if it is offered.
    None,
    /// TLS if it is offered, with any certificate (RFC 7435).
    #[default]
    Opportunistic,
    /// TLS with a certificate that is valid for the hop's name, or no delivery.
    Required,
}

/// A host to try now.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Hop {
    /// The host's name: for TLS (SNI and the certificate) and for the log. `None` if only its address is known.
    pub name: Option<Name>,
    /// Its address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// How the connection must be protected.
    pub tls: TlsRequirement,
    /// Whether TLS begins at once, without STARTTLS (RFC 8314, 3.3). Only relays have it.
    pub implicit_tls: bool,
}

impl Hop {
    /// Address and port.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// The name, or else the address.
    pub fn host(&self) -> Destination {
        match &self.name {
            Some(name) => Destination::Domain(name.clone()),
            None => Destination::Address(self.address),
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]:{}", self.host(), self.address, self.port)
    }
}

/// A configured next hop that takes the place of the DNS: a smarthost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relay {
    /// Its name, looked up without MX, or its address.
    pub host: Destination,
    /// Its port: 25, 587 or 465, as a rule.
    pub port: u16,
    /// How the connection must be protected.
    pub tls: TlsRequirement,
    /// Whether TLS begins at once (port 465).
    pub implicit_tls: bool,
}

/// Why there was no transaction at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HopFailure {
    /// No connection: refused, unreachable, timed out. The text is the system's.
    #[error("could not connect: {0}")]
    Unreachable(Text),
    /// The host refused before MAIL.
    #[error("refused at {stage}: {reply}")]
    Refused {
        /// What the reply answers.
        stage: Stage,
        /// The reply.
        reply: Reply,
    },
    /// TLS failed, or was required and not offered.
    #[error("TLS failed: {0}")]
    Tls(Text),
    /// The connection was lost or went silent before MAIL was answered.
    #[error("the connection was lost: {0}")]
    Lost(Text),
    /// The host spoke something other than SMTP.
    #[error("the host does not speak SMTP: {0}")]
    Protocol(Text),
    /// The message needs an extension that the host does not have.
    #[error("the message needs {0}, which the host does not offer")]
    Unsupported(Need),
    /// The message cannot be sent to the host, for another reason that will last.
    #[error("the message cannot be sent: {why}")]
    Unsendable {
        /// The status for a report.
        status: EnhancedCode,
        /// The reason.
        why: Text,
    },
    /// The host takes fewer recipients at once (RFC 9422). They go in smaller groups.
    #[error("the host takes no more than {limit} recipients at once")]
    TooManyRecipients {
        /// How many it takes.
        limit: u32,
    },
    /// The application has no connection to spare now.
    #[error("no connection could be made now")]
    Busy,
}

/// What [`Client::send`](postrider_smtp::Client::send) refuses.
impl From<SendError> for HopFailure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::TooLarge { .. } => Self::Unsupported(Need::Size),
            SendError::TooManyRecipients { limit } => Self::TooManyRecipients { limit },
            SendError::NeedsEightBitMime | SendError::NeedsBinaryMime => Self::Unsupported(Need::EightBit),
            SendError::NeedsSmtpUtf8 => Self::Unsupported(Need::SmtpUtf8),
            SendError::NeedsRequireTls => Self::Unsupported(Need::RequireTls),
            other => {
                let why = Text::lossy(&other.to_string(), SHOWN);
                match other.status() {
                    Some(status) => Self::Unsendable { status, why },
                    // The session cannot be used: another one may.
                    None => Self::Lost(why),
                }
            }
        }
    }
}

/// A session that ended before there was a transaction.
impl From<Closed> for HopFailure {
    fn from(closed: Closed) -> Self {
        let text = Text::lossy(&closed.to_string(), SHOWN);
        match closed {
            Closed::Tls(_) => Self::Tls(text),
            Closed::Protocol(_) => Self::Protocol(text),
            _ => Self::Lost(text),
        }
    }
}

/// How many bytes of another part's error are kept.
const SHOWN: usize = 256;

/// What a message may need of a server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Need {
    /// SMTPUTF8 (RFC 6531).
    SmtpUtf8,
    /// 8BITMIME (RFC 6152) or BINARYMIME (RFC 3030).
    EightBit,
    /// REQUIRETLS (RFC 8689).
    RequireTls,
    /// A larger SIZE (RFC 1870).
    Size,
}

impl Need {
    /// The status when no host has it.
    pub fn status(self) -> EnhancedCode {
        match self {
            // RFC 6531, 3.5.
            //= 6531-3.2-5
            Self::SmtpUtf8 => EnhancedCode::literal(5, 6, 7),
            // RFC 6152, 3: 5.6.3, conversion required but not supported.
            Self::EightBit => EnhancedCode::literal(5, 6, 3),
            // RFC 8689, 4.2.1.
            //= 8689-4.2.1-3
            Self::RequireTls => EnhancedCode::literal(5, 7, 30),
            // RFC 1870, 6.1.
            Self::Size => EnhancedCode::literal(5, 3, 4),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::EightBit => "8BITMIME",
            Self::RequireTls => "REQUIRETLS",
            Self::Size => "a larger SIZE",
        })
    }
}
