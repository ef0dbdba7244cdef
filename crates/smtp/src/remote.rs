//! A server to send mail through, as the friendly faces know it: where it is, how it is protected, who we are there.

use crate::address::{AddressLiteral, HelloName};
use crate::client::{AuthFailed, Client, Config, Event, Plan, SendError, Tls as When};
use crate::wire::Reply;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use postrider_core::{Closed, Misuse, Secret, SessionId};
use postrider_io::rustls::crypto::ring;
use postrider_io::rustls::pki_types::ServerName;
use postrider_io::rustls::{ClientConfig, RootCertStore};
use postrider_io::{Tls, tls};
use postrider_sasl::{Credentials, Mechanism, NoMechanism, Nonce};
use std::io;
use std::net::IpAddr;

/// How long a goodbye may take, when what became of the message is known.
pub(crate) const GOODBYE: Duration = Duration::from_secs(5);

/// A server to send mail through.
///
/// The host's name is what its certificate must be made out to: a name in ASCII (A-labels for others) or an IP address.
#[derive(Clone)]
pub struct Remote {
    host: String,
    port: u16,
    name: ServerName<'static>,
    trust: Option<(Arc<ClientConfig>, bool)>,
    credentials: Option<Credentials>,
    hello: Option<HelloName>,
    /// How its sessions behave. The name for EHLO is set by [`Remote::named`], not here.
    pub config: Config,
    /// How long a connection may take to come about. Default 30 s.
    pub connect: Duration,
    /// How long sending one message may take in all, whatever stalls. Default 30 min, which is longer than a server may
    /// take to accept a message (RFC 5321, 4.5.3.2.6): who gives up before risks a second copy.
    pub deadline: Duration,
}

/// A server cannot be described so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The host is neither a name in ASCII nor an IP address.
    #[error("{0:?} is neither the name of a host in ASCII nor an IP address")]
    Host(String),
    /// The system has no certificate authorities that it trusts.
    #[error("this system has no trusted certificate authorities")]
    NoRoots,
}

impl Remote {
    /// A submission server, with TLS from the first octet: port 465 (RFC 8314, 3.3). Its certificate is verified with
    /// the system's authorities.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn submissions(host: &str) -> Result<Self, RemoteError> {
        Ok(Self::plaintext(host, 465)?.with_tls(When::Implicit, system_roots()?))
    }

    /// A submission server, with STARTTLS or not at all: port 587. Its certificate is verified with the system's
    /// authorities.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn submission(host: &str) -> Result<Self, RemoteError> {
        Ok(Self::plaintext(host, 587)?.with_tls(When::Required, system_roots()?))
    }

    /// A mail exchanger, with STARTTLS if it offers that, and any certificate: port 25 (RFC 7435).
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn exchanger(host: &str) -> Result<Self, RemoteError> {
        let mut remote = Self::plaintext(host, 25)?;
        remote.config.tls = When::IfOffered;
        remote.trust = Some((tls::dangerous_unverified_client_config(), false));
        Ok(remote)
    }

    /// A server without TLS, for loopback and for tests.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn plaintext(host: &str, port: u16) -> Result<Self, RemoteError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| RemoteError::Host(host.to_owned()))?;
        let unnamed = HelloName::from(&AddressLiteral::from_ip(IpAddr::from([127, 0, 0, 1])));
        Ok(Self {
            host: host.to_owned(),
            port,
            name,
            trust: None,
            credentials: None,
            hello: None,
            config: Config::new(unnamed),
            connect: Duration::from_secs(30),
            deadline: Duration::from_secs(30 * 60),
        })
    }

    /// With TLS, and a certificate that these authorities vouch for.
    #[must_use]
    pub fn with_tls(mut self, when: When, roots: RootCertStore) -> Self {
        self.config.tls = when;
        self.trust = Some((tls::client_config(roots), true));
        self
    }

    /// With a certificate for this host instead of the one that is connected to: for tests, and for servers that are
    /// known by their address.
    ///
    /// # Errors
    /// [`RemoteError::Host`].
    pub fn verified_as(mut self, host: &str) -> Result<Self, RemoteError> {
        self.name = ServerName::try_from(host.to_owned()).map_err(|_| RemoteError::Host(host.to_owned()))?;
        Ok(self)
    }

    /// At another port.
    #[must_use]
    pub fn at_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Under this name for EHLO. Otherwise it is the address of our end (RFC 5321, 4.1.3).
    #[must_use]
    pub fn named(mut self, name: HelloName) -> Self {
        self.hello = Some(name);
        self
    }

    /// Logged in with a password, by the strongest mechanism that is offered. What shows the password to the server is
    /// used only with one whose certificate was verified, unless
    /// [`Config::dangerous_allow_plaintext_auth`](crate::client::Config::dangerous_allow_plaintext_auth) says otherwise.
    #[must_use]
    pub fn login(self, user: impl Into<String>, password: impl Into<Secret<String>>) -> Self {
        self.credentials(Credentials::password(user, password))
    }

    /// Logged in with these credentials.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A session for a connection from `local`, which ends after `limit`.
    pub(crate) fn session(&self, local: Option<IpAddr>, id: SessionId, chunks: bool, limit: Duration) -> Client {
        let mut config = self.config.clone();
        match (&self.hello, local) {
            (Some(name), _) => config.name = name.clone(),
            (None, Some(local)) => config.name = HelloName::from(&AddressLiteral::from_ip(local)),
            (None, None) => {}
        }
        if !chunks {
            config.chunking = crate::client::Chunking::WhenNeeded;
        }
        let mut client = Client::new(Arc::new(config), id);
        client.set_deadline(Some(limit));
        client
    }

    pub(crate) fn driver_tls(&self) -> Tls {
        match &self.trust {
            Some((config, verified)) => {
                Tls::Client { config: config.clone(), name: self.name.clone(), verified: *verified }
            }
            None => Tls::None,
        }
    }

    /// How to log in with what the server offers; `None` if we do not.
    pub(crate) fn mechanism(&self, client: &Client) -> Result<Option<Box<dyn Mechanism>>, FaceError> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        let offered = client.capabilities().map(|offered| &offered.auth[..]).unwrap_or_default();
        // Whoever is on the path may be the other end of TLS that nobody verified.
        let shown = self.config.allows_plaintext_auth() || client.security().is_verified();
        let offered: Vec<_> = offered.iter().filter(|name| shown || !name.exposes_secret()).cloned().collect();
        let mut random = [0; 18];
        ring::default_provider()
            .secure_random
            .fill(&mut random)
            .map_err(|_| io::Error::other("the system has no random numbers"))?;
        let nonce = Nonce::new(random);
        let chosen = if self.config.allows_plaintext_auth() {
            credentials.dangerous_strongest_in_plaintext(&offered, client.security(), nonce)
        } else {
            credentials.strongest(&offered, client.security(), nonce)
        };
        Ok(Some(chosen?))
    }
}

fn system_roots() -> Result<RootCertStore, RemoteError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(RemoteError::NoRoots) } else { Ok(roots) }
}

/// What went wrong with a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaceError {
    /// The transport failed, or did not come about.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The session ended.
    #[error("the session ended: {0}")]
    Closed(Closed),
    /// The server closed the session and said why.
    #[error("the server closed the session: {0}")]
    Goodbye(Reply),
    /// The login failed.
    #[error(transparent)]
    Auth(#[from] AuthFailed),
    /// There is no way to log in.
    #[error(transparent)]
    NoMechanism(#[from] NoMechanism),
    /// The message cannot be sent to this server.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The call has no place now.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// All connections were busy until the deadline.
    #[error("no connection was free in time")]
    Busy,
}

/// The end of a session as an error, where `error` is what the transport complained of.
pub(crate) fn ending(event: Event, error: Option<&io::Error>) -> Result<Event, FaceError> {
    match event {
        Event::Goodbye(reply) => Err(FaceError::Goodbye(reply)),
        // The transport knows better why the stream ended.
        Event::Closed(Closed::Eof) if error.is_some() => Err(lost(error)),
        Event::Closed(why) => Err(FaceError::Closed(why)),
        event => Ok(event),
    }
}

pub(crate) fn lost(error: Option<&io::Error>) -> FaceError {
    match error {
        Some(error) => FaceError::Io(error.kind().into()),
        None => FaceError::Closed(Closed::Eof),
    }
}

/// What sending a message came to: outcomes, or an error if no transaction was begun.
pub(crate) fn settle(
    plan: Plan,
    recipients: usize,
    result: Result<(), FaceError>,
) -> Result<Vec<crate::client::Outcome>, FaceError> {
    match result {
        Err(error) if plan.open() == recipients => Err(error),
        Ok(()) | Err(_) => Ok(plan.into_outcomes()),
    }
}
