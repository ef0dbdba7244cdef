//! SCRAM (RFC 5802, RFC 7677): both sides prove that they know something of the password, and neither shows it.
//!
//! The server keeps [`ScramCredentials`], which are worth less than the password: who steals them can pretend to be the
//! server, and try passwords at leisure, but cannot log in.

#[cfg(feature = "scram")]
mod client;
mod credentials;
mod message;
mod server;

#[cfg(feature = "scram")]
pub use client::Scram;
pub use credentials::{ScramCredentials, ScramCredentialsError};
pub(crate) use message::read_name;
pub(crate) use server::{Final, First, Verified};
pub use server::{ScramAnswer, ScramQuery};

use crate::MechanismName;
use alloc::string::String;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The fewest iterations there may be (RFC 7677, 4). A client that took fewer would let an impostor of a server buy
/// cheap guesses at the password.
pub const MIN_ITERATIONS: u32 = 4096;
/// How many iterations a client does at most, unless told otherwise. At this many it computes for a fraction of a
/// second, which is what a lying server can cost it.
pub const MAX_ITERATIONS: u32 = 600_000;
/// The most iterations that credentials may have. To check a password against them then takes seconds.
pub const MOST_ITERATIONS: u32 = 10_000_000;
/// The longest SCRAM message that is looked at, in octets.
pub const MAX_MESSAGE: usize = 8192;
/// The longest nonce of one side, in octets.
pub const MAX_NONCE: usize = 512;
/// The longest salt, in octets.
pub const MAX_SALT: usize = 512;

/// The hash function of a SCRAM mechanism.
//= 5802-4-1
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ScramHash {
    /// SHA-1 (RFC 5802).
    Sha1,
    /// SHA-256 (RFC 7677).
    Sha256,
}

impl ScramHash {
    /// Octets of a hash.
    pub fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The mechanism with this hash, with or without channel binding.
    pub fn mechanism(self, plus: bool) -> MechanismName {
        match (self, plus) {
            (Self::Sha1, false) => MechanismName::ScramSha1,
            (Self::Sha1, true) => MechanismName::ScramSha1Plus,
            (Self::Sha256, false) => MechanismName::ScramSha256,
            (Self::Sha256, true) => MechanismName::ScramSha256Plus,
        }
    }
}

/// A number used once: what makes every login another. Whoever makes it must draw it from a generator fit for
/// cryptography, and never hand out the same one twice.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Nonce(String);

impl Nonce {
    /// The nonce that these 18 random octets make.
    pub fn new(random: [u8; 18]) -> Self {
        Self(STANDARD.encode(random))
    }

    /// A nonce as it goes over the wire: 1 to [`MAX_NONCE`] printable characters of ASCII but the comma. `None` if it is
    /// not that.
    pub fn parse(text: &str) -> Option<Self> {
        message::is_nonce(text, MAX_NONCE).then(|| Self(text.into()))
    }

    /// The nonce as it goes over the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
