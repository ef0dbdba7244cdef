//! A stub resolver without I/O (RFC 1034, 5.3.1).
//!
//! It asks recursive resolvers that it is told of, over UDP and, where an answer was cut short, over TCP; asks another
//! when one is silent or fails; follows aliases; and remembers answers, absent ones too.
//!
//! ```
//! use postrider_core::{Instant, Machine, Step};
//! use postrider_mta::Name;
//! use postrider_mta::dns::{Event, RecordType, Resolver, ResolverConfig};
//!
//! let config = ResolverConfig::new(vec!["192.0.2.53:53".parse()?]);
//! let mut resolver = Resolver::new(config, [0; 16]);
//! let query = resolver.query(Name::new("example.org")?, RecordType::Mx);
//! let Step::Event(Event::Send { exchange, server, message, .. }) = resolver.poll(Instant::ORIGIN) else { panic!() };
//! // Send `message` to `server` from a new socket. What comes back goes to resolver.receive(exchange, ..),
//! // and `Event::Answered { query, .. }` comes from poll.
//! # let _ = (query, exchange, server, message);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;
use postrider_core::{Instant, Machine, Step};

use super::cache::Cache;
use super::codec::{self, Reading};
use super::{Answer, DnsFailure, RecordType};
use crate::{Dice, Name, Seed};

/// Whom a [`Resolver`] asks, and how patiently.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ResolverConfig {
    /// Recursive resolvers, in order of preference. Without any, every question times out at once.
    pub servers: Vec<SocketAddr>,
    /// How long to wait for an answer over UDP before asking again. Default 3 s; doubled in each round.
    pub udp_wait: Duration,
    /// How long to wait over TCP. Default 5 s.
    pub tcp_wait: Duration,
    /// How often each server is asked. Default 2.
    pub rounds: u32,
    /// The UDP payload that we say we take (RFC 6891, 6.2.3). Default 1232, which no path cuts; 0 for no EDNS.
    pub payload: u16,
    /// Whether the servers, and the way to them, are trusted to check DNSSEC: whether [`Answer::authentic`] may be
    /// true (RFC 4035, 4.9.3). Default false.
    pub trusted: bool,
    /// What it may use.
    pub limits: ResolverLimits,
}

/// What a [`Resolver`] may use.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ResolverLimits {
    /// Questions open at once; more are answered [`DnsFailure::Busy`]. Default 4096.
    pub open: usize,
    /// Answers remembered. Default 16,384.
    pub cache: usize,
    /// Records taken from one answer. Default 512.
    pub records: usize,
    /// Aliases followed for one question. Default 8.
    pub aliases: usize,
    /// The longest that an answer is remembered. Default a day.
    pub ttl: Duration,
    /// The longest that an absence is remembered (RFC 2308, 5: one to three hours). Default 1 hour.
    pub negative_ttl: Duration,
    /// How long a failure is remembered (RFC 9520, 3.2: at least a second, at most five minutes). Default 5 s.
    pub failure_ttl: Duration,
}

impl Default for ResolverLimits {
    fn default() -> Self {
        Self {
            open: 4096,
            cache: 16_384,
            records: 512,
            aliases: 8,
            ttl: Duration::from_secs(24 * 3600),
            negative_ttl: Duration::from_secs(3600),
            failure_ttl: Duration::from_secs(5),
        }
    }
}

impl ResolverConfig {
    /// The defaults, with these servers.
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            udp_wait: Duration::from_secs(3),
            tcp_wait: Duration::from_secs(5),
            rounds: 2,
            payload: 1232,
            trusted: false,
            limits: ResolverLimits::default(),
        }
    }

    /// The defaults, with the servers of a `resolv.conf`: its `nameserver` lines and the options `timeout`,
    /// `attempts` and `trust-ad`. What it does not understand it skips; search lists are not for mail (RFC 5321, 5.1).
    pub fn from_resolv_conf(text: &str) -> Self {
        let mut config = Self::new(Vec::new());
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    if let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) {
                        config.servers.push(SocketAddr::new(address, 53));
                    }
                }
                Some("options") => {
                    for word in words {
                        let number = |prefix| word.strip_prefix(prefix).and_then(|n: &str| n.parse::<u32>().ok());
                        if word == "trust-ad" {
                            config.trusted = true;
                        } else if let Some(seconds) = number("timeout:") {
                            config.udp_wait = Duration::from_secs(u64::from(seconds.clamp(1, 30)));
                        } else if let Some(attempts) = number("attempts:") {
                            config.rounds = attempts.clamp(1, 5);
                        }
                    }
                }
                Some(_) | None => {}
            }
        }
        config
    }
}

/// A question put to the resolver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueryId(u64);

/// One message sent and the wait for what comes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExchangeId(u64);

/// How a message travels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// One datagram, from a socket of its own, connected to the server: then the port is random and only the server
    /// can answer (RFC 5452, 9.2).
    Udp,
    /// A connection of its own. The message has its length before it already.
    Tcp,
}

/// What a [`Resolver`] wants done, or found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Send this message. Hand what comes back to [`Resolver::receive`], and trouble to [`Resolver::failed`].
    Send {
        /// The number of this exchange.
        exchange: ExchangeId,
        /// To whom.
        server: SocketAddr,
        /// How.
        transport: Transport,
        /// What.
        message: Bytes,
    },
    /// The exchange is over, or no longer of interest: close its socket.
    Close {
        /// Which.
        exchange: ExchangeId,
    },
    /// The answer to a question. The only event of a question that was in the cache.
    Answered {
        /// Which.
        query: QueryId,
        /// Records, or why there are none.
        result: Result<Answer, DnsFailure>,
    },
}

type Key = (Name, RecordType);

/// A stub resolver: questions in, messages out; messages in, answers out.
#[derive(Debug)]
pub struct Resolver {
    config: ResolverConfig,
    dice: Dice,
    counter: u64,
    cache: Cache,
    /// Questions not looked at yet.
    asked: VecDeque<(QueryId, Key)>,
    lookups: BTreeMap<Key, Lookup>,
    waiting: usize,
    exchanges: BTreeMap<ExchangeId, Exchange>,
    timers: BTreeSet<(Instant, ExchangeId)>,
    /// Lookups that must send.
    due: VecDeque<Key>,
    /// What was read, until the time is known.
    read: VecDeque<(ExchangeId, Reading)>,
    events: VecDeque<Event>,
    /// The server that answered last, so that a silent one is not asked first each time.
    preferred: usize,
}

/// The way to the answer of one question, for all who asked it.
#[derive(Debug)]
struct Lookup {
    queries: Vec<QueryId>,
    /// Whose records are asked for now: the question's name, or where its aliases led.
    name: Name,
    aliases: usize,
    ttl: Duration,
    authentic: bool,
    tries: u32,
    server: usize,
    edns: bool,
    transport: Transport,
    failure: DnsFailure,
}

#[derive(Debug)]
struct Exchange {
    lookup: Key,
    id: u16,
    name: Name,
    transport: Transport,
    /// What TCP has brought so far.
    stream: Vec<u8>,
    ends: Instant,
    done: bool,
}

impl Resolver {
    /// A resolver; `seed` decides the ids of its messages, so take sixteen octets that nobody can guess.
    pub fn new(config: ResolverConfig, seed: Seed) -> Self {
        Self {
            config,
            dice: Dice::new(seed),
            counter: 0,
            cache: Cache::default(),
            asked: VecDeque::new(),
            lookups: BTreeMap::new(),
            waiting: 0,
            exchanges: BTreeMap::new(),
            timers: BTreeSet::new(),
            due: VecDeque::new(),
            read: VecDeque::new(),
            events: VecDeque::new(),
            preferred: 0,
        }
    }

    /// Asks. [`Event::Answered`] will come, exactly once.
    pub fn query(&mut self, name: Name, record: RecordType) -> QueryId {
        let query = QueryId(self.count());
        if self.asked.len() + self.waiting >= self.config.limits.open {
            self.events.push_back(Event::Answered { query, result: Err(DnsFailure::Busy) });
        } else {
            self.asked.push_back((query, (name, record)));
        }
        query
    }

    /// Octets that came for an exchange: one datagram over UDP, any piece of the stream over TCP. Those for an
    /// exchange that is over are ignored, as are datagrams that do not answer the question.
    pub fn receive(&mut self, exchange: ExchangeId, octets: &[u8]) {
        let Some(open) = self.exchanges.get_mut(&exchange).filter(|open| !open.done) else { return };
        let message = match open.transport {
            Transport::Udp => octets,
            Transport::Tcp => {
                // A message is at most 65,535 octets, so this holds no more than two octets beyond that and a piece.
                open.stream.extend_from_slice(octets);
                let Some(length) = codec::id_of(&open.stream) else { return };
                match open.stream.get(2..2 + usize::from(length)) {
                    Some(message) => message,
                    None => return,
                }
            }
        };
        let limits = &self.config.limits;
        let record = open.lookup.1;
        let reading = match codec::read(message, open.id, &open.name, record, limits.records, limits.aliases) {
            // A server that answers another question over our own connection is broken, not forged.
            Reading::NotOurs | Reading::Truncated if open.transport == Transport::Tcp => {
                Reading::Failed(DnsFailure::Malformed)
            }
            Reading::NotOurs => return,
            reading => reading,
        };
        open.done = true;
        open.stream = Vec::new();
        self.read.push_back((exchange, reading));
    }

    /// The message could not be sent, or the connection was refused or ended.
    pub fn failed(&mut self, exchange: ExchangeId) {
        if let Some(open) = self.exchanges.get_mut(&exchange).filter(|open| !open.done) {
            open.done = true;
            self.read.push_back((exchange, Reading::Failed(DnsFailure::TimedOut)));
        }
    }

    /// Forgets all answers.
    pub fn clear_cache(&mut self) {
        self.cache.clear();
    }

    /// Answers remembered, expired ones that were not replaced included.
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    /// Exchanges that are open.
    pub fn open_exchanges(&self) -> usize {
        self.exchanges.len()
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A question comes to its turn.
    fn begin(&mut self, query: QueryId, key: Key, now: Instant) {
        if let Some(result) = self.cache.find(&key, now) {
            self.events.push_back(Event::Answered { query, result });
            return;
        }
        self.waiting += 1;
        if let Some(lookup) = self.lookups.get_mut(&key) {
            lookup.queries.push(query);
            return;
        }
        let lookup = Lookup {
            queries: alloc::vec![query],
            name: key.0.clone(),
            aliases: 0,
            ttl: Duration::MAX,
            authentic: true,
            tries: 0,
            server: self.preferred,
            edns: self.config.payload > 0,
            transport: Transport::Udp,
            failure: DnsFailure::TimedOut,
        };
        self.lookups.insert(key.clone(), lookup);
        self.due.push_back(key);
    }

    fn send(&mut self, key: Key, now: Instant) {
        let (count, id) = (self.count(), self.dice.draw() as u16);
        let servers = self.config.servers.len();
        let Some(lookup) = self.lookups.get_mut(&key) else { return };
        let tries = self.config.rounds.max(1).saturating_mul(servers as u32);
        if lookup.tries >= tries {
            let failure = lookup.failure;
            return self.finish(key, now, Err(failure), Some(self.config.limits.failure_ttl));
        }
        let exchange = ExchangeId(count);
        let edns = lookup.edns.then_some(self.config.payload.max(512));
        let mut message = codec::question(id, &lookup.name, key.1, edns, self.config.trusted);
        let wait = match lookup.transport {
            Transport::Udp => {
                let doublings = (lookup.tries / servers as u32).min(10);
                self.config.udp_wait.saturating_mul(1 << doublings)
            }
            Transport::Tcp => {
                let length = (message.len() as u16).to_be_bytes();
                message.splice(0..0, length);
                self.config.tcp_wait
            }
        };
        lookup.tries += 1;
        let ends = now.plus(wait);
        self.timers.insert((ends, exchange));
        self.events.push_back(Event::Send {
            exchange,
            server: self.config.servers[lookup.server % servers],
            transport: lookup.transport,
            message: message.into(),
        });
        let (name, transport) = (lookup.name.clone(), lookup.transport);
        let open = Exchange { lookup: key, id, name, transport, stream: Vec::new(), ends, done: false };
        self.exchanges.insert(exchange, open);
    }

    /// What an exchange brought.
    fn conclude(&mut self, exchange: ExchangeId, reading: Reading, now: Instant) {
        let Some(open) = self.exchanges.remove(&exchange) else { return };
        self.timers.remove(&(open.ends, exchange));
        self.events.push_back(Event::Close { exchange });
        let key = open.lookup;
        let lookup = self.lookups.get_mut(&key).expect("a lookup lasts until its exchange has ended");
        let limits = &self.config.limits;
        match reading {
            Reading::NotOurs => unreachable!("what is not ours was not taken in"),
            Reading::Truncated => {
                // The same server, once more: this try does not count.
                lookup.transport = Transport::Tcp;
                lookup.tries -= 1;
            }
            Reading::NoEdns if lookup.edns => {
                lookup.edns = false;
                lookup.tries -= 1;
            }
            Reading::NoEdns => lookup.next_server(DnsFailure::Refused),
            Reading::Failed(DnsFailure::TooManyAliases) => {
                let held = limits.failure_ttl;
                return self.finish(key, now, Err(DnsFailure::TooManyAliases), Some(held));
            }
            Reading::Failed(failure) => lookup.next_server(failure),
            Reading::Found(mut answer) => {
                self.preferred = lookup.server;
                answer.ttl = answer.ttl.min(lookup.ttl).min(limits.ttl);
                answer.authentic &= lookup.authentic && self.config.trusted;
                let held = answer.ttl;
                return self.finish(key, now, Ok(answer), Some(held));
            }
            Reading::Missing(failure, held) => {
                self.preferred = lookup.server;
                let held = held.map(|held| held.min(lookup.ttl).min(limits.negative_ttl));
                return self.finish(key, now, Err(failure), held);
            }
            Reading::Alias { target, steps, ttl, authentic } => {
                self.preferred = lookup.server;
                lookup.aliases += steps;
                if lookup.aliases > limits.aliases {
                    let held = limits.failure_ttl;
                    return self.finish(key, now, Err(DnsFailure::TooManyAliases), Some(held));
                }
                lookup.name = target;
                lookup.ttl = lookup.ttl.min(ttl);
                lookup.authentic &= authentic;
                lookup.tries = 0;
                lookup.transport = Transport::Udp;
            }
        }
        self.due.push_back(key);
    }

    /// `held`: how long to remember it; `None` for not at all.
    fn finish(&mut self, key: Key, now: Instant, result: Result<Answer, DnsFailure>, held: Option<Duration>) {
        let lookup = self.lookups.remove(&key).expect("it is finished once");
        self.waiting -= lookup.queries.len();
        for query in lookup.queries {
            self.events.push_back(Event::Answered { query, result: result.clone() });
        }
        if let Some(held) = held.filter(|held| !held.is_zero()) {
            self.cache.keep(key, now.plus(held), result, self.config.limits.cache);
        }
    }
}

impl Lookup {
    fn next_server(&mut self, failure: DnsFailure) {
        // Of several failures the one that says most: any word from a server is more than silence.
        if failure != DnsFailure::TimedOut || self.tries <= 1 {
            self.failure = failure;
        }
        self.server = self.server.wrapping_add(1);
        self.transport = Transport::Udp;
    }
}

impl Machine for Resolver {
    type Event = Event;

    fn poll(&mut self, now: Instant) -> Step<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Step::Event(event);
            }
            if let Some((exchange, reading)) = self.read.pop_front() {
                self.conclude(exchange, reading, now);
            } else if let Some((query, key)) = self.asked.pop_front() {
                self.begin(query, key, now);
            } else if let Some(key) = self.due.pop_front() {
                self.send(key, now);
            } else if let Some(&(ends, exchange)) = self.timers.first() {
                if now < ends {
                    return Step::Idle { deadline: Some(ends) };
                }
                self.conclude(exchange, Reading::Failed(DnsFailure::TimedOut), now);
            } else {
                return Step::Idle { deadline: None };
            }
        }
    }
}
