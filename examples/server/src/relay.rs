//! One transaction with another mail server.

use crate::server::{Shared, Store};
use bytes::{Buf, Bytes};
use postrider_core::{Closed, Pending, Text};
use postrider_io::tokio::Driver;
use postrider_io::{Tls, tls};
use postrider_message::{Limits, Scanner};
use postrider_mta::classify::Stage;
use postrider_mta::{Hop, HopFailure, TlsRequirement};
use postrider_smtp::address::AddressLiteral;
use postrider_smtp::client::{self, Chunking, Client, Config, Event, NotSent, Outcome, ask};
use postrider_smtp::{Envelope, HelloName, Reply};
use postrider_store::{Body, Engine, Error, QueueEntry};
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Octets of a body read at once.
const CHUNK: usize = 128 * 1024;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(60);
/// How long the goodbye may take.
const QUIT: Duration = Duration::from_secs(5);

/// How we appear to other servers.
pub struct Outgoing {
    name: HelloName,
    any_certificate: Arc<rustls::ClientConfig>,
    verified: Arc<rustls::ClientConfig>,
}

impl Outgoing {
    /// Under this name, trusting the certificate authorities of the system where a certificate is required.
    pub fn new(hostname: &str) -> Self {
        let name = HelloName::parse(hostname)
            .unwrap_or_else(|_| HelloName::from(&AddressLiteral::from_ip(IpAddr::from([127, 0, 0, 1]))));
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self { name, any_certificate: tls::dangerous_unverified_client_config(), verified: tls::client_config(roots) }
    }

    /// Tries to hand a queued message to `hop` for some of its recipients.
    pub async fn transact(
        &self,
        shared: &Shared,
        entry: &QueueEntry,
        envelope: &Envelope,
        hop: &Hop,
        recipients: &[usize],
    ) -> Result<Transacted, HopFailure> {
        let done = self.attempt(shared, entry, envelope, hop, recipients, Chunking::WhenOffered).await?;
        if done.outcomes.contains(&Outcome::NotSent(NotSent::ChunksRefused)) {
            // It offers CHUNKING and does not know BDAT.
            return self.attempt(shared, entry, envelope, hop, recipients, Chunking::WhenNeeded).await;
        }
        Ok(done)
    }

    async fn attempt(
        &self,
        shared: &Shared,
        entry: &QueueEntry,
        envelope: &Envelope,
        hop: &Hop,
        recipients: &[usize],
        chunking: Chunking,
    ) -> Result<Transacted, HopFailure> {
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect(hop.socket())).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(HopFailure::Unreachable(text(&error))),
            Err(_) => return Err(HopFailure::Unreachable(Text::literal("it does not answer"))),
        };
        let _ = stream.set_nodelay(true);
        let mut config = Config::new(self.name.clone());
        config.limits.quit = QUIT;
        config.chunking = chunking;
        config.tls = match (hop.implicit_tls, hop.tls) {
            (true, _) => client::Tls::Implicit,
            (false, TlsRequirement::None) => client::Tls::Manual,
            (false, TlsRequirement::Opportunistic) => client::Tls::IfOffered,
            // What is not known here is met by the strictest.
            (false, _) => client::Tls::Required,
        };
        let name = match &hop.name {
            Some(name) => ServerName::try_from(name.as_str().to_owned()).unwrap_or(hop.address.into()),
            None => hop.address.into(),
        };
        let verified = hop.tls == TlsRequirement::Required;
        let tls = if verified { &self.verified } else { &self.any_certificate };
        let tls = Tls::Client { config: tls.clone(), name, verified };
        let mut wanted = Envelope::new(envelope.from.clone()).with_size(entry.size);
        wanted.params = envelope.params.clone();
        wanted.params.size = Some(entry.size);
        // RFC 8689, 5: a report is better sent without than lost.
        wanted.params.require_tls &= wanted.from.mailbox().is_some();
        wanted.recipients = recipients.iter().map(|&index| envelope.recipients[index].clone()).collect();
        let session = Client::new(Arc::new(config), shared.session_id());
        let driver = Driver::new(session, stream, tls);
        let transaction = Transaction { store: &shared.store, entry, driver, body: None };
        transaction.run(wanted).await
    }
}

/// How a transaction ended.
pub struct Transacted {
    /// For each recipient.
    pub outcomes: Vec<Outcome>,
    /// Whether the host offered DSN, and so sends the reports that were asked for (RFC 3461).
    pub reports: bool,
}

struct Transaction<'a> {
    store: &'a Store,
    entry: &'a QueueEntry,
    driver: Driver<Client, TcpStream>,
    body: Option<Sending>,
}

/// A body on its way.
struct Sending {
    wanted: Pending<ask::Body>,
    /// How far it was read from the store.
    at: u64,
    /// What was read and the session had no room for.
    rest: Bytes,
}

impl Transaction<'_> {
    async fn run(mut self, wanted: Envelope) -> Result<Transacted, HopFailure> {
        let mut wanted = Some(wanted);
        let mut result = None;
        let mut goodbye = None;
        while let Some(event) = self.driver.next().await {
            match event {
                Event::Ready => {
                    if let Some(Err(error)) = wanted.take().map(|wanted| self.driver.session().send(wanted)) {
                        result = Some(Err(error.into()));
                        self.driver.session().quit();
                    }
                }
                Event::BodyWanted { body, .. } => {
                    self.body = Some(Sending { wanted: body, at: 0, rest: Bytes::new() });
                    self.send().await;
                }
                Event::BodyRoom { .. } => self.send().await,
                Event::Finished { outcomes, .. } => {
                    let reports = self.driver.session().capabilities().is_some_and(|offered| offered.dsn);
                    result = Some(Ok(Transacted { outcomes, reports }));
                    self.driver.session().quit();
                }
                Event::Goodbye(reply) => goodbye = Some(reply),
                Event::Closed(why) => {
                    result.get_or_insert_with(|| Err(ended(why, goodbye.take(), self.driver.error())));
                }
                // Refused STARTTLS is followed by Ready, or by the end where TLS is required.
                _ => {}
            }
        }
        result.unwrap_or(Err(HopFailure::Busy))
    }

    /// Streams the body from the store. If it cannot be read, the connection is given up: nothing else may follow DATA.
    async fn send(&mut self) {
        let Some(mut body) = self.body.take() else { return };
        loop {
            if body.rest.is_empty() {
                body.rest = match self.store.read(&Body::from(self.entry.body), body.at, CHUNK).await {
                    Ok(octets) if octets.is_empty() => break,
                    Ok(octets) => octets,
                    Err(error) => {
                        tracing::error!(%error, "a queued message cannot be read");
                        return self.driver.session().abandon(body.wanted);
                    }
                };
                body.at += body.rest.len() as u64;
            }
            let taken = self.driver.session().write_shared(&body.wanted, &body.rest);
            body.rest.advance(taken);
            if !body.rest.is_empty() {
                // The session says when there is room again.
                self.body = Some(body);
                return;
            }
        }
        if let Err(error) = self.driver.session().finish(body.wanted) {
            tracing::warn!(%error, "a queued message could not be sent to its end");
        }
    }
}

/// Why the session ended before there was a transaction.
fn ended(why: Closed, goodbye: Option<Reply>, error: Option<&std::io::Error>) -> HopFailure {
    if let Some(reply) = goodbye {
        return HopFailure::Refused { stage: Stage::Greeting, reply };
    }
    match why {
        Closed::Tls(failed) => HopFailure::Tls(text(&failed)),
        Closed::Protocol(error) => HopFailure::Protocol(text(&error)),
        why => HopFailure::Lost(error.map_or_else(|| text(&why), |error| text(error))),
    }
}

fn text(sentence: &dyn std::fmt::Display) -> Text {
    Text::lossy(&sentence.to_string(), 200)
}

/// Reads a stored message again for what IMAP wants to know of it.
pub async fn scan(store: &Store, body: &Body) -> Result<Bytes, Error> {
    let mut scanner = Scanner::new(Limits::default());
    let mut at = 0;
    loop {
        let octets = store.read(body, at, CHUNK).await?;
        if octets.is_empty() {
            return Ok(scanner.finish().to_cache().into());
        }
        at += octets.len() as u64;
        scanner.push(&octets);
    }
}
