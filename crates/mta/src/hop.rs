//! A host to connect to, and what became of it.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use postrider_core::Text;
use postrider_smtp::wire::{EnhancedCode, Reply};

use crate::classify::Stage;
use crate::{Destination, Name};

/// How the connection to a hop must be protected. The transport obeys; it cannot weaken it.
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

/// What became of one recipient in one transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The server took responsibility; the reply to the message (for LMTP, for this recipient).
    Accepted(Reply),
    /// The server refused, and where: a refused MAIL, DATA or message counts for every recipient it concerns.
    Refused {
        /// What the reply answers.
        stage: Stage,
        /// The reply.
        reply: Reply,
    },
    /// The connection was lost, or went silent, after all of the message was sent and before its reply.
    Unknown,
    /// Nothing was said about it: the connection was lost before, or the transaction was abandoned.
    Untried,
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
    /// The application has no connection to spare now.
    #[error("no connection could be made now")]
    Busy,
}

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
            Self::SmtpUtf8 => EnhancedCode::literal(5, 6, 7),
            // RFC 6152, 3: 5.6.3, conversion required but not supported.
            Self::EightBit => EnhancedCode::literal(5, 6, 3),
            // RFC 8689, 4.2.1.
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

/// Collects what a server says in one transaction into one [`Outcome`] for each recipient.
///
/// Feed it as the replies come; then [`Tally::outcomes`] answers the attempt.
#[derive(Clone, Debug)]
pub struct Tally {
    outcomes: Vec<Outcome>,
    accepted: Vec<bool>,
    sent: bool,
}

impl Tally {
    /// For a transaction with this many recipients.
    pub fn new(recipients: usize) -> Self {
        Self {
            outcomes: alloc::vec![Outcome::Untried; recipients],
            accepted: alloc::vec![false; recipients],
            sent: false,
        }
    }

    /// The reply to MAIL, if it was not a success.
    pub fn mail_refused(&mut self, reply: &Reply) {
        self.refuse_all(Stage::Mail, reply);
    }

    /// The reply to the `index`th RCPT. Indices beyond the recipients are ignored.
    pub fn recipient(&mut self, index: usize, reply: &Reply) {
        if let (Some(outcome), Some(accepted)) = (self.outcomes.get_mut(index), self.accepted.get_mut(index)) {
            if reply.is_done() {
                *accepted = true;
            } else {
                *outcome = Outcome::Refused { stage: Stage::Rcpt, reply: reply.clone() };
            }
        }
    }

    /// The reply to DATA, if it was not 354.
    pub fn data_refused(&mut self, reply: &Reply) {
        self.refuse_all(Stage::Data, reply);
    }

    /// All of the message was handed to the transport: from now on a lost connection leaves the outcome unknown.
    pub fn message_sent(&mut self) {
        self.sent = true;
        for (outcome, accepted) in self.outcomes.iter_mut().zip(&self.accepted) {
            if *accepted && *outcome == Outcome::Untried {
                *outcome = Outcome::Unknown;
            }
        }
    }

    /// The replies to the message: one, or for LMTP one for each accepted recipient in order.
    pub fn finished(&mut self, replies: &[Reply]) {
        let mut replies = replies.iter();
        let Some(mut reply) = replies.next() else { return };
        for (outcome, accepted) in self.outcomes.iter_mut().zip(&self.accepted) {
            if !accepted || matches!(outcome, Outcome::Refused { .. }) {
                continue;
            }
            *outcome = if reply.is_done() {
                Outcome::Accepted(reply.clone())
            } else {
                Outcome::Refused { stage: Stage::Message, reply: reply.clone() }
            };
            reply = replies.next().unwrap_or(reply);
        }
    }

    /// Whether any recipient was accepted by its RCPT.
    pub fn any_accepted(&self) -> bool {
        self.accepted.contains(&true)
    }

    /// Whether the whole message was sent.
    pub fn is_sent(&self) -> bool {
        self.sent
    }

    /// One outcome for each recipient: the answer to the attempt.
    pub fn outcomes(self) -> Vec<Outcome> {
        self.outcomes
    }

    fn refuse_all(&mut self, stage: Stage, reply: &Reply) {
        for outcome in &mut self.outcomes {
            if *outcome == Outcome::Untried {
                *outcome = Outcome::Refused { stage, reply: reply.clone() };
            }
        }
    }
}
