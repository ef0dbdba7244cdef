//! Runs a [`Resolver`] on tokio: UDP, TCP and time.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use postrider_mta::dns::ResolverConfig;
//! use postrider_mta::tokio::Dns;
//! use postrider_mta::{Destination, Name, Routing};
//!
//! let config = ResolverConfig::from_resolv_conf(&std::fs::read_to_string("/etc/resolv.conf")?);
//! let seed = [0; 16]; // sixteen octets from the system's source of randomness
//! let dns = Dns::start(config, seed);
//! let to = Destination::Domain(Name::new("example.org")?);
//! let route = dns.route(&to, Arc::new(Routing::default()), seed).await?;
//! # let _ = route; Ok(()) }
//! ```

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant as Clock;
use std::{io, vec::Vec};

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::{TcpStream, UdpSocket};
use ::tokio::sync::{mpsc, oneshot};
use ::tokio::task::{AbortHandle, JoinSet};
use ::tokio::time::sleep_until;
use bytes::Bytes;
use postrider_core::{Instant, Machine, Step};

use crate::dns::{Answer, DnsFailure, Event, ExchangeId, QueryId, RecordType, Resolver, ResolverConfig, Transport};
use crate::{Destination, MxLookup, Name, Route, Routing, Seed, Unroutable};

/// Questions waiting for the task; the next asker waits beyond that.
const QUEUE: usize = 256;

/// A handle to a resolver that runs in a task of its own. The task ends with its last handle.
#[derive(Clone, Debug)]
pub struct Dns {
    questions: mpsc::Sender<Question>,
}

#[derive(Debug)]
struct Question {
    name: Name,
    record: RecordType,
    answer: oneshot::Sender<Result<Answer, DnsFailure>>,
}

impl Dns {
    /// Starts the task. `seed`: sixteen octets that nobody can guess.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(config: ResolverConfig, seed: Seed) -> Self {
        let (questions, incoming) = mpsc::channel(QUEUE);
        ::tokio::spawn(run(Resolver::new(config, seed), incoming));
        Self { questions }
    }

    /// Asks for the records of a name.
    ///
    /// # Errors
    /// [`DnsFailure`] if there are none, or nobody could say.
    pub async fn lookup(&self, name: Name, record: RecordType) -> Result<Answer, DnsFailure> {
        let (answer, answered) = oneshot::channel();
        let question = Question { name, record, answer };
        // The task outlives every handle, unless the runtime is shutting down.
        self.questions.send(question).await.map_err(|_| DnsFailure::TimedOut)?;
        answered.await.map_err(|_| DnsFailure::TimedOut)?
    }

    /// Finds the hosts for a destination; `seed` decides the order among equals.
    ///
    /// # Errors
    /// [`Unroutable`] if there are none, or nobody could say.
    pub async fn route(&self, to: &Destination, routing: Arc<Routing>, seed: Seed) -> Result<Route, Unroutable> {
        let mut lookup = MxLookup::new(to, routing, seed);
        let mut open = JoinSet::new();
        loop {
            while let Some((name, record)) = lookup.ask() {
                let dns = self.clone();
                open.spawn(async move {
                    let answer = dns.lookup(name.clone(), record).await;
                    (name, record, answer)
                });
            }
            match open.join_next().await {
                Some(Ok((name, record, answer))) => lookup.tell(&name, record, answer),
                // Only if the runtime is shutting down.
                Some(Err(_)) => return Err(Unroutable::Lookup(DnsFailure::TimedOut)),
                None => break,
            }
        }
        lookup.outcome().expect("every question was answered").clone()
    }
}

/// What a socket brought: octets, or nothing more.
type Arrival = (ExchangeId, Option<Vec<u8>>);

async fn run(mut resolver: Resolver, mut questions: mpsc::Receiver<Question>) {
    let origin = Clock::now();
    let mut askers: HashMap<QueryId, oneshot::Sender<Result<Answer, DnsFailure>>> = HashMap::new();
    let mut sockets: HashMap<ExchangeId, AbortHandle> = HashMap::new();
    // Dropping the set ends every exchange.
    let mut exchanges = JoinSet::new();
    let (arrived, mut arrivals) = mpsc::channel::<Arrival>(QUEUE);
    loop {
        let deadline = loop {
            match resolver.poll(Instant::after_origin(origin.elapsed())) {
                Step::Event(Event::Send { exchange, server, transport, message }) => {
                    let arrived = arrived.clone();
                    let handle = exchanges.spawn(async move {
                        let _ = match transport {
                            Transport::Udp => datagrams(exchange, server, message, &arrived).await,
                            Transport::Tcp => stream(exchange, server, message, &arrived).await,
                        };
                        // Whether it failed or ended, nothing more will come.
                        let _ = arrived.send((exchange, None)).await;
                    });
                    sockets.insert(exchange, handle);
                }
                Step::Event(Event::Close { exchange }) => {
                    if let Some(socket) = sockets.remove(&exchange) {
                        socket.abort();
                    }
                }
                Step::Event(Event::Answered { query, result }) => {
                    if let Some(asker) = askers.remove(&query) {
                        // Who asked may have gone.
                        let _ = asker.send(result);
                    }
                }
                Step::Idle { deadline } => break deadline,
            }
        };
        let timer = async {
            match deadline {
                Some(at) => sleep_until((origin + at.elapsed()).into()).await,
                None => std::future::pending().await,
            }
        };
        ::tokio::select! {
            question = questions.recv() => match question {
                Some(Question { name, record, answer }) => {
                    askers.insert(resolver.query(name, record), answer);
                }
                None => return,
            },
            Some((exchange, octets)) = arrivals.recv() => match octets {
                Some(octets) => resolver.receive(exchange, &octets),
                None => resolver.failed(exchange),
            },
            Some(_) = exchanges.join_next(), if !exchanges.is_empty() => {}
            () = timer => {}
        }
    }
}

/// Sends one datagram and hands on what comes back, until it is told to stop.
async fn datagrams(
    exchange: ExchangeId,
    server: SocketAddr,
    message: Bytes,
    arrived: &mpsc::Sender<Arrival>,
) -> io::Result<()> {
    // Port 0: the system chooses one at random for each message.
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // Connected, so that the system drops what others send.
    socket.connect(server).await?;
    socket.send(&message).await?;
    let mut buffer = std::vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if arrived.send((exchange, Some(buffer[..length].to_vec()))).await.is_err() {
            return Ok(());
        }
    }
}

/// Sends one message over TCP and hands on what comes back.
async fn stream(
    exchange: ExchangeId,
    server: SocketAddr,
    message: Bytes,
    arrived: &mpsc::Sender<Arrival>,
) -> io::Result<()> {
    let mut connection = TcpStream::connect(server).await?;
    connection.write_all(&message).await?;
    let mut buffer = std::vec![0; 4096];
    loop {
        let length = connection.read(&mut buffer).await?;
        if length == 0 || arrived.send((exchange, Some(buffer[..length].to_vec()))).await.is_err() {
            return Ok(());
        }
    }
}
