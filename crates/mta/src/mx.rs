//! From a domain to the addresses to try, in order (RFC 5321, 5.1; RFC 7505).
//!
//! [`MxLookup`] asks and is told; it does nothing else:
//!
//! ```
//! use std::sync::Arc;
//! use postrider_mta::dns::{Answer, DnsFailure, Record, RecordType};
//! use postrider_mta::{Destination, MxLookup, Name, Routing};
//!
//! let domain = Name::new("example.org")?;
//! let mut lookup = MxLookup::new(&Destination::Domain(domain), Arc::new(Routing::default()), [0; 16]);
//! while let Some((name, record)) = lookup.ask() {
//!     // Ask the DNS here. This one knows a single exchange with a single address.
//!     let answer = match record {
//!         RecordType::Mx => Ok(Record::Mx { preference: 10, exchange: Name::new("mx.example.org")? }),
//!         RecordType::A => Ok(Record::A([192, 0, 2, 1].into())),
//!         _ => Err(DnsFailure::NoData),
//!     };
//!     lookup.tell(&name, record, answer.map(|record| Answer::of(name.clone(), vec![record])));
//! }
//! let route = lookup.outcome().expect("nothing is left to ask").clone()?;
//! assert_eq!(route.exchanges[0].addresses, ["192.0.2.1".parse::<std::net::IpAddr>()?]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use postrider_smtp::wire::EnhancedCode;

use crate::dns::{Answer, DnsFailure, Record, RecordType};
use crate::{Dice, Name, Reason, Seed};

/// Where mail is to go: the part of an address after the `@`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Destination {
    /// A domain.
    Domain(Name),
    /// An address literal, such as `[192.0.2.1]` (RFC 5321, 4.1.3).
    Address(IpAddr),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => write!(f, "{name}"),
            Self::Address(IpAddr::V4(address)) => write!(f, "[{address}]"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[IPv6:{address}]"),
        }
    }
}

/// How routes are found. Shared by all deliveries.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Routing {
    /// Names by which other systems know this one. Default none; without them a loop shows only as bounces.
    pub ourselves: Vec<Name>,
    /// Addresses at which other systems reach this one. Default none.
    pub our_addresses: Vec<IpAddr>,
    /// Whether this host can reach IPv4 addresses. Default true.
    pub ipv4: bool,
    /// Whether this host can reach IPv6 addresses. Default true.
    pub ipv6: bool,
    /// Whether exchanges found in the DNS may be this host by loopback. Default false; true in a laboratory.
    pub loopback: bool,
    /// Exchanges considered, best first. Default 16. Each costs two questions.
    pub max_exchanges: usize,
    /// Addresses in a route. Default 20.
    pub max_addresses: usize,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            ourselves: Vec::new(),
            our_addresses: Vec::new(),
            ipv4: true,
            ipv6: true,
            loopback: false,
            max_exchanges: 16,
            max_addresses: 20,
        }
    }
}

/// A host to try, with its addresses in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// Its name; `None` if the destination is an address.
    pub name: Option<Name>,
    /// Its preference: 0 for an implicit MX, an address or a relay.
    pub preference: u16,
    /// Never empty. IPv6 and IPv4 take turns, so that one broken family costs one failure each.
    pub addresses: Vec<IpAddr>,
}

/// Hosts to try, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Never empty.
    pub exchanges: Vec<Exchange>,
    /// Why this route.
    pub by: Reason,
    /// What was left out, each rule once.
    pub notes: Vec<Reason>,
    /// Whether nobody on the path can have put in hosts of their own: the configuration or the address names them, or
    /// [`Answer::authentic`] records do (RFC 8689, 4.2.1).
    pub authentic: bool,
}

/// Why there is no route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unroutable {
    /// The domain does not exist.
    #[error("the domain does not exist")]
    NoSuchDomain,
    /// The domain accepts no mail (RFC 7505).
    #[error("the domain accepts no mail")]
    NullMx,
    /// The domain has neither MX nor address records.
    #[error("the domain has neither exchanges nor addresses")]
    NoAddress,
    /// None of the domain's exchanges can be used (RFC 5321, 5.1: an error, not a reason to try the domain itself).
    #[error("none of the domain's exchanges can be used")]
    NoUsableExchange,
    /// Only this host and worse are left.
    #[error("the domain's mail comes to this host, which does not accept it")]
    Loop,
    /// The DNS cannot say now.
    #[error("looking up the domain failed: {0}")]
    Lookup(DnsFailure),
    /// The relay that the configuration names has no address.
    #[error("looking up the configured relay failed: {0}")]
    Relay(DnsFailure),
}

impl Unroutable {
    /// Whether mail to it comes back at once.
    pub fn is_permanent(self) -> bool {
        self.status().class() == 5
    }

    /// The status for replies and reports (RFC 3463; RFC 7505, 4.2).
    pub fn status(self) -> EnhancedCode {
        match self {
            Self::NoSuchDomain | Self::NoAddress => EnhancedCode::literal(5, 1, 2),
            Self::NullMx => EnhancedCode::literal(5, 1, 10),
            Self::NoUsableExchange => EnhancedCode::literal(5, 4, 4),
            Self::Loop => EnhancedCode::literal(5, 4, 6),
            Self::Lookup(_) => EnhancedCode::literal(4, 4, 3),
            Self::Relay(_) => EnhancedCode::literal(4, 3, 5),
        }
    }

    /// The rule.
    pub fn reason(self) -> Reason {
        match self {
            Self::NoSuchDomain => Reason::NoSuchDomain,
            Self::NullMx => Reason::NullExchange,
            Self::NoAddress => Reason::NoAddress,
            Self::NoUsableExchange => Reason::NoUsableExchange,
            Self::Loop => Reason::Loop,
            Self::Lookup(_) => Reason::DnsTransient,
            Self::Relay(_) => Reason::RelayNotFound,
        }
    }
}

/// Finds the route to one destination.
///
/// Take questions from [`MxLookup::ask`] until it gives none, in any order and together if you like; hand each answer
/// to [`MxLookup::tell`]. An answer may raise new questions. Every question answered, there is an
/// [`MxLookup::outcome`].
#[derive(Clone, Debug)]
pub struct MxLookup {
    routing: Arc<Routing>,
    dice: Dice,
    state: State,
    notes: Vec<Reason>,
}

#[derive(Clone, Debug)]
enum State {
    Exchanges { domain: Name, asked: bool },
    Addresses { hosts: Vec<Host>, by: Reason, pruned: bool, authentic: bool },
    Done(Result<Route, Unroutable>),
}

#[derive(Clone, Debug)]
struct Host {
    name: Name,
    preference: u16,
    a: Slot,
    aaaa: Slot,
}

/// One question and what came of it.
#[derive(Clone, Debug)]
enum Slot {
    Unasked,
    Asked,
    Told(Result<Vec<IpAddr>, DnsFailure>),
}

impl MxLookup {
    /// A lookup of `destination`; `seed` decides the order among equals.
    pub fn new(destination: &Destination, routing: Arc<Routing>, seed: Seed) -> Self {
        let state = match destination {
            Destination::Domain(domain) => State::Exchanges { domain: domain.clone(), asked: false },
            Destination::Address(address) => State::Done(literal(*address, &routing)),
        };
        Self { routing, dice: Dice::new(seed), state, notes: Vec::new() }
    }

    /// A lookup of the addresses of `host` that does not ask for exchanges: a configured relay.
    pub fn relay(host: &Destination, routing: Arc<Routing>, seed: Seed) -> Self {
        let state = match host {
            Destination::Domain(name) => State::Addresses {
                hosts: alloc::vec![Host::new(name.clone(), 0, &routing)],
                by: Reason::ConfiguredRelay,
                pruned: false,
                authentic: true,
            },
            Destination::Address(address) => State::Done(Ok(Route {
                exchanges: alloc::vec![Exchange { name: None, preference: 0, addresses: alloc::vec![*address] }],
                by: Reason::ConfiguredRelay,
                notes: Vec::new(),
                authentic: true,
            })),
        };
        Self { routing, dice: Dice::new(seed), state, notes: Vec::new() }
    }

    /// The next question that was not asked yet.
    //= 5321-5.1-1
    pub fn ask(&mut self) -> Option<(Name, RecordType)> {
        match &mut self.state {
            State::Exchanges { asked: true, .. } | State::Done(_) => None,
            State::Exchanges { domain, asked } => {
                *asked = true;
                Some((domain.clone(), RecordType::Mx))
            }
            State::Addresses { hosts, .. } => hosts.iter_mut().find_map(|host| {
                // IPv6 first only so that the order is fixed.
                for (slot, record) in [(&mut host.aaaa, RecordType::Aaaa), (&mut host.a, RecordType::A)] {
                    if let Slot::Unasked = slot {
                        *slot = Slot::Asked;
                        return Some((host.name.clone(), record));
                    }
                }
                None
            }),
        }
    }

    /// The answer to a question. One to a question that was not asked is ignored.
    pub fn tell(&mut self, name: &Name, record: RecordType, answer: Result<Answer, DnsFailure>) {
        match (&mut self.state, record) {
            (State::Exchanges { domain, asked: true }, RecordType::Mx) if domain == name => {
                let domain = domain.clone();
                self.state = self.exchanges(domain, answer);
            }
            (State::Addresses { hosts, .. }, RecordType::A | RecordType::Aaaa) => {
                let Some(host) = hosts.iter_mut().find(|host| host.name == *name) else { return };
                let slot = if record == RecordType::A { &mut host.a } else { &mut host.aaaa };
                let Slot::Asked = slot else { return };
                *slot = Slot::Told(answer.map(|answer| answer.records.iter().filter_map(Record::address).collect()));
            }
            (State::Exchanges { .. } | State::Addresses { .. } | State::Done(_), _) => return,
        }
        if let State::Addresses { hosts, by, pruned, authentic } = &self.state
            && hosts.iter().all(Host::is_known)
        {
            let route = self.routing.conclude(hosts, *by, *pruned, &mut self.notes);
            self.state = State::Done(route.map(|route| Route { authentic: *authentic, ..route }));
        }
    }

    /// The route, or why there is none, once every question has its answer.
    pub fn outcome(&self) -> Option<&Result<Route, Unroutable>> {
        match &self.state {
            State::Done(outcome) => Some(outcome),
            State::Exchanges { .. } | State::Addresses { .. } => None,
        }
    }

    /// Why the questions at this point are asked.
    pub fn reason(&self) -> Reason {
        match &self.state {
            State::Exchanges { .. } => Reason::ExchangesFirst,
            State::Addresses { by: Reason::BestExchange, .. } => Reason::ExchangeAddresses,
            State::Addresses { by, .. } => *by,
            State::Done(Ok(route)) => route.by,
            State::Done(Err(why)) => why.reason(),
        }
    }

    /// What follows from the answer about exchanges.
    fn exchanges(&mut self, domain: Name, answer: Result<Answer, DnsFailure>) -> State {
        let routing = Arc::clone(&self.routing);
        let (owner, mut found, unusable, authentic) = match answer {
            Ok(answer) => {
                let mut found: Vec<(u16, Name)> = Vec::new();
                for record in answer.records {
                    if let Record::Mx { preference, exchange } = record {
                        found.push((preference, exchange));
                    }
                }
                (answer.owner, found, answer.unusable, answer.authentic)
            }
            Err(DnsFailure::NoData) => (domain.clone(), Vec::new(), 0, false),
            //= 5321-5.1-3
            Err(DnsFailure::NoSuchName) => return State::Done(Err(Unroutable::NoSuchDomain)),
            Err(failure) => return State::Done(Err(Unroutable::Lookup(failure))),
        };

        //= 5321-5.1-6
        if found.is_empty() && unusable == 0 {
            // RFC 5321, 5.1: an empty list means an implicit MX of preference 0 that points to the domain itself.
            if routing.is_ourselves(&domain) || routing.is_ourselves(&owner) {
                return State::Done(Err(Unroutable::Loop));
            }
            let hosts = alloc::vec![Host::new(domain, 0, &routing)];
            // The host is the domain itself, whose name its certificate must bear.
            return State::Addresses { hosts, by: Reason::ImplicitExchange, pruned: false, authentic: true };
        }
        if unusable > 0 {
            self.note(Reason::ExchangeUnusable);
        }
        if let [(_, exchange)] = &found[..]
            && exchange.is_root()
            && unusable == 0
        {
            return State::Done(Err(Unroutable::NullMx));
        }

        // A stable order first, so that the same answer in another order gives the same list from the same seed.
        //= 5321-5.1-9
        found.sort();
        let mut pruned = false;
        if let Some(at) = found.iter().find(|(_, exchange)| routing.is_ourselves(exchange)).map(|(at, _)| *at) {
            //= 5321-5.1-11
            found.retain(|(preference, _)| *preference < at);
            self.note(Reason::OurselvesInList);
            pruned = true;
        }
        let mut hosts: Vec<Host> = Vec::new();
        for (preference, exchange) in found {
            if exchange.is_root() {
                self.note(Reason::NullExchangeIgnored);
            } else if exchange.looks_like_address() || (exchange.is_localhost() && !routing.loopback) {
                self.note(Reason::ExchangeUnusable);
            } else if hosts.iter().all(|host| host.name != exchange) {
                hosts.push(Host::new(exchange, preference, &routing));
            }
        }
        for equals in hosts.chunk_by_mut(|a, b| a.preference == b.preference) {
            //= 5321-5.1-10
            self.dice.shuffle(equals);
        }
        if hosts.len() > routing.max_exchanges.max(1) {
            hosts.truncate(routing.max_exchanges.max(1));
            self.note(Reason::ListCut);
        }
        if hosts.is_empty() {
            return State::Done(Err(if pruned { Unroutable::Loop } else { Unroutable::NoUsableExchange }));
        }
        State::Addresses { hosts, by: Reason::BestExchange, pruned, authentic }
    }

    fn note(&mut self, reason: Reason) {
        note(&mut self.notes, reason);
    }
}

fn note(notes: &mut Vec<Reason>, reason: Reason) {
    if !notes.contains(&reason) {
        notes.push(reason);
    }
}

fn literal(address: IpAddr, routing: &Routing) -> Result<Route, Unroutable> {
    if routing.our_addresses.contains(&address) || (address.is_loopback() && !routing.loopback) {
        return Err(Unroutable::Loop);
    }
    if !routing.is_usable(address) {
        return Err(Unroutable::NoAddress);
    }
    Ok(Route {
        exchanges: alloc::vec![Exchange { name: None, preference: 0, addresses: alloc::vec![address] }],
        by: Reason::AddressLiteral,
        notes: Vec::new(),
        authentic: true,
    })
}

impl Host {
    fn new(name: Name, preference: u16, routing: &Routing) -> Self {
        // A family that we cannot reach is not asked for.
        let slot = |wanted: bool| if wanted { Slot::Unasked } else { Slot::Told(Err(DnsFailure::NoData)) };
        Self { name, preference, a: slot(routing.ipv4 || !routing.ipv6), aaaa: slot(routing.ipv6) }
    }

    fn is_known(&self) -> bool {
        matches!((&self.a, &self.aaaa), (Slot::Told(_), Slot::Told(_)))
    }

    /// IPv6 and IPv4 in turn.
    fn addresses(&self) -> Vec<IpAddr> {
        let list = |slot: &Slot| match slot {
            Slot::Told(Ok(addresses)) => addresses.clone(),
            Slot::Told(Err(_)) | Slot::Unasked | Slot::Asked => Vec::new(),
        };
        let (mut six, mut four) = (list(&self.aaaa).into_iter(), list(&self.a).into_iter());
        let mut turns = Vec::new();
        loop {
            let pair = [six.next(), four.next()];
            if pair == [None, None] {
                return turns;
            }
            turns.extend(pair.into_iter().flatten());
        }
    }

    /// The failure that may pass, if one of the two lookups had one.
    fn transient(&self) -> Option<DnsFailure> {
        [&self.a, &self.aaaa].into_iter().find_map(|slot| match slot {
            Slot::Told(Err(failure)) if failure.is_transient() => Some(*failure),
            Slot::Told(_) | Slot::Unasked | Slot::Asked => None,
        })
    }
}

impl Routing {
    fn is_ourselves(&self, name: &Name) -> bool {
        self.ourselves.contains(name)
    }

    /// Whether `address` can be another host's.
    fn is_usable(&self, address: IpAddr) -> bool {
        // ::ffff:127.0.0.1 reaches 127.0.0.1.
        let address = address.to_canonical();
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0);
        let link_local = matches!(address, IpAddr::V6(v6) if is_link_local(v6));
        !address.is_unspecified()
            && !address.is_multicast()
            && !broadcast
            && !link_local
            && (self.loopback || !address.is_loopback())
    }

    /// All addresses are known: the route.
    fn conclude(
        &self,
        hosts: &[Host],
        by: Reason,
        mut pruned: bool,
        notes: &mut Vec<Reason>,
    ) -> Result<Route, Unroutable> {
        let relay = by == Reason::ConfiguredRelay;
        // RFC 5321, 5.1: "any of the names or addresses by which it might be known".
        let ours = |host: &&Host| host.addresses().iter().any(|address| self.our_addresses.contains(address));
        let ourselves_at = hosts.iter().filter(ours).map(|host| host.preference).min().filter(|_| !relay);
        if ourselves_at.is_some() {
            note(notes, Reason::OurselvesInList);
            pruned = true;
        }

        let mut exchanges = Vec::new();
        let mut transient = None;
        let mut room = self.max_addresses.max(1);
        for host in hosts {
            if ourselves_at.is_some_and(|at| host.preference >= at) {
                continue;
            }
            if let Some(failure) = host.transient() {
                transient = transient.or(Some(failure));
                note(notes, Reason::LookupFailed);
            }
            let mut addresses = host.addresses();
            let found = addresses.len();
            addresses.retain(|address| relay || self.is_usable(*address));
            if addresses.len() < found {
                note(notes, Reason::AddressUnusable);
            }
            if addresses.len() > room {
                addresses.truncate(room);
                note(notes, Reason::ListCut);
            }
            room -= addresses.len();
            if !addresses.is_empty() {
                exchanges.push(Exchange { name: Some(host.name.clone()), preference: host.preference, addresses });
            }
        }
        if !exchanges.is_empty() {
            return Ok(Route { exchanges, by, notes: core::mem::take(notes), authentic: false });
        }
        Err(match (transient, by) {
            (failure, Reason::ConfiguredRelay) => Unroutable::Relay(failure.unwrap_or(DnsFailure::NoSuchName)),
            (Some(failure), _) => Unroutable::Lookup(failure),
            //= 5321-5.1-12
            (None, _) if pruned => Unroutable::Loop,
            (None, Reason::ImplicitExchange) => Unroutable::NoAddress,
            //= 5321-5.1-5
            (None, _) => Unroutable::NoUsableExchange,
        })
    }
}

/// `fe80::/10`, which says nothing without an interface.
fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}
