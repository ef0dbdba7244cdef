//! What ties a login to the TLS channel it goes over (RFC 5056), so that it cannot be passed on over another.

use crate::MechanismName;
use alloc::vec::Vec;
use postrider_core::{Secret, Security, TlsInfo};

/// A way to name a TLS channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BindingType {
    /// `tls-exporter` (RFC 9266): a key that only the two ends of this connection know.
    Exporter,
    /// `tls-server-end-point` (RFC 5929): the hash of the server's certificate.
    ServerEndPoint,
}

impl BindingType {
    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exporter => "tls-exporter",
            Self::ServerEndPoint => "tls-server-end-point",
        }
    }

    /// Reads a registered name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Exporter, Self::ServerEndPoint].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What mechanisms need to know of the connection: what TLS offers to bind a login to, and which mechanisms the server
/// offers on it. The default is a connection without TLS on which nothing that binds is offered.
#[derive(Clone, Default, Debug)]
pub struct Channel {
    exporter: Option<Secret<Vec<u8>>>,
    server_end_point: Option<Vec<u8>>,
    plus: Vec<MechanismName>,
    verified: bool,
    tls: bool,
}

impl Channel {
    /// The connection as it is now, where the server offers `offered`: as a server, what was said to the client; as a
    /// client, what was heard over this very TLS connection.
    pub fn new(security: &Security, offered: &[MechanismName]) -> Self {
        let plus = offered.iter().filter(|name| name.binds_channel()).cloned().collect();
        match security {
            Security::Plaintext => Self { plus, ..Self::default() },
            Security::Tls(TlsInfo { exporter, server_end_point, verified, .. }) => Self {
                exporter: exporter.clone().map(Secret::new),
                server_end_point: server_end_point.clone(),
                plus,
                verified: *verified,
                tls: true,
            },
        }
    }

    /// Forgets `tls-exporter`, for servers that know `tls-server-end-point` only: neither side says which it knows.
    #[must_use]
    pub fn without_exporter(mut self) -> Self {
        self.exporter = None;
        self
    }

    /// Whether there is anything to bind to.
    pub fn can_bind(&self) -> bool {
        self.best().is_some()
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether TLS told us that the server is who we think (client side).
    pub(crate) fn is_verified(&self) -> bool {
        self.verified
    }

    #[cfg(feature = "scram")]
    pub(crate) fn offers(&self, mechanism: &MechanismName) -> bool {
        self.plus.contains(mechanism)
    }

    /// Whether the server offers any mechanism that binds.
    pub(crate) fn offers_binding(&self) -> bool {
        !self.plus.is_empty()
    }

    pub(crate) fn data(&self, kind: BindingType) -> Option<&[u8]> {
        match kind {
            BindingType::Exporter => self.exporter.as_ref().map(|key| &key.reveal()[..]),
            BindingType::ServerEndPoint => self.server_end_point.as_deref(),
        }
    }

    /// RFC 9266, 3 has the exporter as what is used unless something else was agreed upon.
    pub(crate) fn best(&self) -> Option<BindingType> {
        [BindingType::Exporter, BindingType::ServerEndPoint].into_iter().find(|&kind| self.data(kind).is_some())
    }
}
