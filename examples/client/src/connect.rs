//! Connecting: name, socket, TLS, and the sentences for what goes wrong there.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use postrider_core::{Closed, Secret, Session, TlsFailed};
use postrider_io::Tls;
use postrider_io::tls::{client_config, roots};
use postrider_io::tokio::Driver;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::cli::Connection;
use crate::fault::{Class, Fault};
use crate::password;
use crate::url::{Protocol, Url};

/// How to reach a server, and as whom.
pub(crate) struct Settings {
    pub(crate) url: Url,
    pub(crate) starttls: bool,
    pub(crate) plaintext_login: bool,
    pub(crate) timeout: Duration,
    pub(crate) trace: bool,
    /// User and password.
    pub(crate) login: Option<(String, Secret<String>)>,
    pub(crate) tls: Tls,
}

impl Settings {
    /// From the command line. Asks for the password if there is a user.
    pub(crate) fn new(connection: &Connection, url: &Url) -> Result<Self, Fault> {
        if url.tls && connection.starttls {
            return Err(Fault::usage(format!("{url} begins with TLS already: leave --starttls out")));
        }
        let protected = url.tls || connection.starttls;
        if url.user.is_some() && !protected && !connection.plaintext_login {
            return Err(Fault::usage(format!(
                "{url} would show the password to all on the way: use --starttls, or the scheme with an s"
            )));
        }
        let tls = if protected { tls(url, connection.ca.as_deref())? } else { Tls::None };
        let login = match &url.user {
            Some(user) => Some((user.clone(), password::find(connection, url)?)),
            None => None,
        };
        Ok(Self {
            url: url.clone(),
            starttls: connection.starttls,
            plaintext_login: connection.plaintext_login,
            timeout: Duration::from_secs(connection.timeout),
            trace: connection.trace,
            login,
            tls,
        })
    }

    /// User and password, which reading mail needs.
    pub(crate) fn login(&self) -> Result<(&str, Secret<String>), Fault> {
        let (user, password) = self.login.as_ref().ok_or_else(|| {
            Fault::usage(format!(
                "{} needs a user: write {}",
                self.url,
                self.url.to_string().replace("://", "://USER@")
            ))
        })?;
        Ok((user, password.clone()))
    }
}

/// The server for reading mail, or that for sending it.
pub(crate) fn reading(connection: &Connection, protocol: Protocol) -> Result<&Url, Fault> {
    let example = match protocol {
        Protocol::Imap => "--imap imaps://USER@HOST",
        Protocol::Pop3 => "--pop3 pop3s://USER@HOST",
        Protocol::Smtp => "--smtp smtps://USER@HOST",
    };
    let given = match protocol {
        Protocol::Imap | Protocol::Pop3 => &connection.imap,
        Protocol::Smtp => &connection.smtp,
    };
    match given {
        None => Err(Fault::usage(format!("which server? Say so with {example}"))),
        Some(url) if url.protocol != protocol => {
            Err(Fault::usage(format!("this needs another protocol than that of {url}: use {example}")))
        }
        Some(url) => Ok(url),
    }
}

/// The TLS settings for a server.
pub(crate) fn tls(url: &Url, ca: Option<&Path>) -> Result<Tls, Fault> {
    let store = match ca {
        Some(path) => {
            let pem = fs::read(path)
                .map_err(|error| Fault::new(Class::NoInput, format!("cannot read {}: {error}", path.display())))?;
            roots(&pem).map_err(|error| Fault::new(Class::Data, format!("{} in --ca: {error}", path.display())))?
        }
        None => {
            let mut store = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                return Err(Fault::new(
                    Class::Unavailable,
                    "this system has no trusted certificate authorities: install ca-certificates, or name some with --ca",
                ));
            }
            store
        }
    };
    let name = ServerName::try_from(url.host.clone())
        .map_err(|_| Fault::usage(format!("{:?} is not the name of a host", url.host)))?;
    Ok(Tls::Client { config: client_config(store), name, verified: true })
}

/// A TCP connection to the first of the server's addresses that answers.
pub(crate) async fn tcp(settings: &Settings) -> Result<TcpStream, Fault> {
    let url = &settings.url;
    let unknown = |why: &str| {
        Fault::new(Class::NoHost, format!("the host {:?} cannot be found ({why}): check its name", url.host))
    };
    let found = timeout(settings.timeout, lookup_host((url.host.as_str(), url.port))).await;
    let addresses: Vec<SocketAddr> = match found {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(unknown(&error.to_string())),
        Err(_) => return Err(unknown("no answer in time")),
    };
    let mut last = None;
    for address in addresses {
        match timeout(settings.timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Only a delay if it fails.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = Some(io::ErrorKind::TimedOut.into()),
        }
    }
    let Some(error) = last else { return Err(unknown("it has no address")) };
    Err(Fault::new(
        Class::Unavailable,
        format!("cannot connect to {} ({error}): check host and port, and whether the server runs", url.place()),
    ))
}

/// A session on its connection.
pub(crate) struct Line<S: Session> {
    pub(crate) driver: Driver<S, TcpStream>,
    url: Url,
    timeout: Duration,
}

impl<S: Session> Line<S> {
    /// Connects, and begins the session that `begin` makes.
    pub(crate) async fn open(settings: &Settings, begin: impl FnOnce(&TcpStream) -> S) -> Result<Self, Fault> {
        let stream = tcp(settings).await?;
        let session = begin(&stream);
        Ok(Self {
            driver: Driver::new(session, stream, settings.tls.clone()),
            url: settings.url.clone(),
            timeout: settings.timeout,
        })
    }

    pub(crate) fn session(&mut self) -> &mut S {
        self.driver.session()
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Result<S::Event, Fault> {
        let ended = || Fault::new(Class::Protocol, "the session has ended already");
        self.driver.next().await.ok_or_else(ended)
    }

    /// The next event if it is there already.
    pub(crate) async fn next_at_once(&mut self) -> Option<S::Event> {
        timeout(Duration::ZERO, self.driver.next()).await.ok().flatten()
    }

    /// Lets the session end.
    pub(crate) async fn finish(&mut self) {
        while self.driver.next().await.is_some() {}
    }

    /// What the end of a session means here. `words` are the server's last.
    pub(crate) fn lost(&self, why: &Closed, words: Option<&str>) -> Fault {
        let place = self.url.place();
        let words = words.map(|words| format!(": {words}")).unwrap_or_default();
        match why {
            Closed::ByPeer => Fault::new(Class::TryLater, format!("{place} ended the session{words}")),
            Closed::ByUs => Fault::new(Class::Protocol, format!("the session with {place} was ended{words}")),
            Closed::TimedOut => {
                let seconds = self.timeout.as_secs();
                let hint =
                    if self.url.tls { "" } else { "; some ports begin with TLS, which the scheme with an s does" };
                let sentence = format!(
                    "{place} was silent for more than {seconds} s{words}: try again, or with a longer --timeout{hint}"
                );
                Fault::new(Class::TryLater, sentence)
            }
            Closed::Eof => {
                let how = self.driver.error().map(|error| format!(" ({error})")).unwrap_or_default();
                Fault::new(Class::TryLater, format!("the connection to {place} was lost{how}{words}: try again"))
            }
            Closed::Tls(failed) => tls_failed(&self.url, failed),
            Closed::Protocol(error) => {
                let hint = if self.url.tls { "" } else { "; is this the right port for this protocol?" };
                Fault::new(Class::Protocol, format!("{place} broke the protocol: {error}{hint}"))
            }
            _ => Fault::new(Class::Protocol, format!("the session with {place} ended: {why}")),
        }
    }
}

/// What a failed handshake means.
pub(crate) fn tls_failed(url: &Url, failed: &TlsFailed) -> Fault {
    let place = url.place();
    let why = failed.to_string();
    let sentence = if why.contains("certificate") {
        format!(
            "the certificate of {place} is not to be trusted ({why}): name its authority with --ca, or check the host's name"
        )
    } else if why.contains("STARTTLS") {
        let sentence = format!("{place}: {why}; use the scheme with an s if it has a port for that");
        return Fault::new(Class::Unavailable, sentence);
    } else if why.contains("corrupt message") && url.tls {
        let plain = url.to_string().replacen("s://", "://", 1);
        format!("{place} does not begin with TLS ({why}): try {plain} with --starttls, or another port")
    } else {
        format!("TLS with {place} failed: {why}")
    };
    Fault::new(Class::Protocol, sentence)
}
