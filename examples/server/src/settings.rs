//! What the server is to do: what a command line or a configuration file comes to.

use crate::exit::{self, Failure};
use crate::server::random;
use postrider_core::Secret;
use postrider_pop3::Expire;
use postrider_sasl::{MIN_ITERATIONS, ScramCredentials, ScramHash};
use postrider_smtp::server::Network;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Octets of the largest message taken, by default: 256 MiB.
pub const MESSAGE_SIZE: u64 = 256 * 1024 * 1024;
/// Connections served at the same time, by default.
pub const CONNECTIONS: usize = 20_000;
/// Connections from one address served at the same time, by default: mail clients open up to ten, and a company or a
/// household has one address.
pub const CONNECTIONS_PER_ADDRESS: usize = 200;
/// The longest that a message may be held before its first delivery, by default: 30 days.
pub const HOLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// Everything the server needs to know.
#[derive(Debug)]
pub struct Settings {
    /// Our name in greetings, EHLO and `Received`.
    pub hostname: String,
    /// The domains we receive mail for, in lower case, as A-labels.
    pub domains: Vec<String>,
    /// Who has a mailbox.
    pub users: Users,
    /// Other addresses for users: from address to address, in lower case.
    pub aliases: Vec<(String, String)>,
    /// Where mailboxes and queue live.
    pub data: Data,
    /// Certificate chain and key, PEM files. `None`: one of our own is made and kept with the data.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Where to listen.
    pub listeners: Listeners,
    /// A unix socket for LMTP.
    pub lmtp_socket: Option<PathBuf>,
    /// The DNS server to ask. `None`: the first of `/etc/resolv.conf`.
    pub dns: Option<SocketAddr>,
    /// The port other mail servers are reached at.
    pub mx_port: u16,
    /// Where all outgoing mail goes instead of to the destinations themselves.
    pub smarthost: Option<(String, u16)>,
    /// Whether passwords are taken without TLS.
    pub plaintext_auth: bool,
    /// Offer SCRAM with channel binding over TLS.
    pub channel_binding: bool,
    /// Octets of the largest message taken.
    pub message_size: u64,
    /// Connections served at the same time.
    pub connections: usize,
    /// Connections from one address served at the same time; IPv6 addresses of one /64 are one.
    pub connections_per_address: usize,
    /// The longest that a user may have a message held (RFC 4865).
    pub hold: Duration,
    /// Who speaks for others.
    pub trust: Trust,
    /// How long an undelivered message is tried.
    pub queue_lifetime: Duration,
    /// How long to wait before the second attempt.
    pub retry: Duration,
    /// What POP3 is bound by.
    pub pop3: Pop3,
}

/// Who speaks for others. Each is a listener's name, and the networks that are trusted there.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Whose connections begin with a PROXY header.
    pub proxies: BTreeMap<&'static str, Vec<Network>>,
    /// Who may use XCLIENT.
    pub xclient: BTreeMap<&'static str, Vec<Network>>,
}

/// What POP3 is bound by.
#[derive(Debug, Clone)]
pub struct Pop3 {
    /// The least time between two logins of a user; zero is none.
    pub login_delay: Duration,
    /// How long a message may stay in INBOX; 0 days: until it was retrieved.
    pub expire: Expire,
    /// Whether a maildrop is open in one session at a time.
    pub exclusive: bool,
}

impl Default for Pop3 {
    fn default() -> Self {
        Self { login_delay: Duration::ZERO, expire: Expire::Never, exclusive: false }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            domains: Vec::new(),
            users: Users::Listed(Vec::new()),
            aliases: Vec::new(),
            data: Data::Kept(PathBuf::from("data")),
            certificate: None,
            listeners: Listeners::default(),
            lmtp_socket: None,
            dns: None,
            mx_port: 25,
            smarthost: None,
            plaintext_auth: false,
            channel_binding: false,
            message_size: MESSAGE_SIZE,
            connections: CONNECTIONS,
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            hold: HOLD,
            trust: Trust::default(),
            queue_lifetime: Duration::from_secs(5 * 24 * 3600),
            retry: Duration::from_secs(300),
            pop3: Pop3::default(),
        }
    }
}

/// Who has a mailbox.
#[derive(Debug)]
pub enum Users {
    /// Whoever asks, with any password: for developers.
    Any,
    /// These addresses, in lower case.
    Listed(Vec<(String, Login)>),
}

/// By what a user logs in.
#[derive(Debug, Clone)]
pub struct Login {
    /// What a password is checked against; if there is nothing, against the first of `scram`.
    pub password: Option<Password>,
    /// For SCRAM: at most one for each hash function.
    pub scram: Vec<ScramCredentials>,
}

impl Login {
    /// By this password, which is known and stays in memory, and every mechanism.
    pub fn clear(password: Secret<String>) -> Self {
        let derive = |hash| ScramCredentials::derive(hash, &password, &random::<16>(), MIN_ITERATIONS);
        // A password that SCRAM cannot use may still be sent.
        let scram = [ScramHash::Sha256, ScramHash::Sha1].into_iter().filter_map(|hash| derive(hash).ok()).collect();
        Self { password: Some(Password::Clear(password)), scram }
    }

    /// The credentials for this hash function.
    pub fn scram(&self, hash: ScramHash) -> Option<&ScramCredentials> {
        self.scram.iter().find(|credentials| credentials.hash() == hash)
    }
}

/// What a password is checked against.
#[derive(Debug, Clone)]
pub enum Password {
    /// The password itself, kept in memory only.
    Clear(Secret<String>),
    /// An argon2 hash in PHC form.
    Hash(String),
}

/// A directory for the data.
#[derive(Debug)]
pub enum Data {
    /// Stays.
    Kept(PathBuf),
    /// Goes with the program.
    Temporary(tempfile::TempDir),
}

impl Data {
    /// The directory given, or a fresh one.
    pub fn new(path: Option<PathBuf>) -> Result<Self, Failure> {
        match path {
            Some(path) => Ok(Self::Kept(path)),
            None => tempfile::Builder::new().prefix("postrider-").tempdir().map(Self::Temporary).map_err(|error| {
                Failure::new(exit::CANT_CREATE, format!("a temporary directory cannot be made: {error}"))
            }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

/// Where to listen; `None` is nowhere, port 0 any free one.
#[derive(Debug, Default, Clone)]
pub struct Listeners {
    /// Mail from other servers.
    pub smtp: Option<SocketAddr>,
    /// Mail from users, STARTTLS.
    pub submission: Option<SocketAddr>,
    /// Mail from users, TLS from the start.
    pub submissions: Option<SocketAddr>,
    /// Mail from a server in front of us.
    pub lmtp: Option<SocketAddr>,
    /// IMAP, STARTTLS.
    pub imap: Option<SocketAddr>,
    /// IMAP, TLS from the start.
    pub imaps: Option<SocketAddr>,
    /// POP3, STLS.
    pub pop3: Option<SocketAddr>,
    /// POP3, TLS from the start.
    pub pop3s: Option<SocketAddr>,
    /// `/healthz` and `/readyz`.
    pub http: Option<SocketAddr>,
}

/// A domain in the form it is compared in.
pub fn domain(text: &str) -> Result<String, Failure> {
    let domain = text.trim_end_matches('.').to_ascii_lowercase();
    let fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b >= 0x80)
    };
    if domain.len() > 255 || !domain.split('.').all(fits) {
        return Err(Failure::new(exit::CONFIG, format!("{text:?} is not a domain name")));
    }
    Ok(domain)
}

/// A user's address in the form it is compared in.
pub fn address(text: &str) -> Result<String, Failure> {
    let wrong = || Failure::new(exit::CONFIG, format!("{text:?} is not an address: expected name@domain"));
    let (local, host) = text.rsplit_once('@').ok_or_else(wrong)?;
    if local.is_empty() || local.bytes().any(|b| b.is_ascii_control() || b == b' ' || b == b'@') {
        return Err(wrong());
    }
    Ok(format!("{}@{}", local.to_lowercase(), domain(host)?))
}

/// `HOST:PORT`.
pub fn host_port(text: &str) -> Result<(String, u16), Failure> {
    let wrong = || Failure::new(exit::CONFIG, format!("{text:?}: expected HOST:PORT, as in relay.example.org:587"));
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(wrong());
    }
    Ok((host.to_owned(), port.parse().map_err(|_| wrong())?))
}

/// `embedded:DIR`.
pub fn store_url(url: &str) -> Result<PathBuf, Failure> {
    match url.split_once(':') {
        Some(("embedded", dir)) if !dir.is_empty() => Ok(dir.into()),
        Some(("postgres" | "postgresql", _)) => {
            Err(Failure::new(exit::CONFIG, "this build has no PostgreSQL engine; use embedded:DIR"))
        }
        _ => Err(Failure::new(exit::CONFIG, format!("{url:?} names no store: expected embedded:DIR"))),
    }
}
