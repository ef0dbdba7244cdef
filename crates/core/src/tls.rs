//! What a session knows of TLS: that it must happen, and how it went.

use crate::Question;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// The question "make this stream TLS", answered through [`Session::tls`](crate::Session::tls).
#[derive(Debug)]
pub enum Handshake {}

impl Question for Handshake {
    type Yes = TlsInfo;
    type No = TlsFailed;
}

/// What the TLS back-end says of a finished handshake.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TlsInfo {
    /// As in `Received` lines, e.g. `TLSv1.3`.
    pub version: Cow<'static, str>,
    /// The cipher suite's registered name.
    pub cipher: Cow<'static, str>,
    /// The server name the client asked for (SNI).
    pub server_name: Option<String>,
    /// Whether the peer's certificate was verified, and for the name we wanted (client side).
    pub verified: bool,
    /// `tls-exporter` channel binding (RFC 9266), 32 octets, TLS 1.3 only.
    pub exporter: Option<Vec<u8>>,
    /// `tls-server-end-point` channel binding (RFC 5929): the hash of the server's certificate.
    pub server_end_point: Option<Vec<u8>>,
}

/// Why a handshake failed, as a sentence for logs.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsFailed(pub Cow<'static, str>);

impl From<&'static str> for TlsFailed {
    fn from(why: &'static str) -> Self {
        Self(Cow::Borrowed(why))
    }
}

impl From<String> for TlsFailed {
    fn from(why: String) -> Self {
        Self(Cow::Owned(why))
    }
}

/// Whether the stream is protected now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Security {
    /// Anybody on the path can read and change it.
    #[default]
    Plaintext,
    /// TLS is in place.
    Tls(TlsInfo),
}

impl Security {
    /// Whether TLS is in place.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether TLS is in place, with a peer whose certificate was verified.
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Tls(info) if info.verified)
    }
}
