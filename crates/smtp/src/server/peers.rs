//! Who is at the other end: networks that are trusted, where a client comes from, how many connections it may have.

use crate::address::HelloName;
use crate::wire::XclientProtocol;
use alloc::collections::BTreeMap;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;
use postrider_core::{ParseError, Text};

/// A network: an address and how many of its bits count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `None` if the address has fewer bits.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, bits })
    }

    /// Whether the address belongs to it. IPv4 addresses written as IPv6 are IPv4 addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = |address: IpAddr| match address {
            IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
            IpAddr::V6(ip) => u128::from(ip),
        };
        let address = address.to_canonical();
        let differing = number(self.address) ^ number(address);
        address.is_ipv4() == self.address.is_ipv4() && differing.leading_zeros() >= u32::from(self.bits)
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }
}

/// `192.0.2.0/24`, `2001:db8::/32`, or an address alone.
impl FromStr for Network {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = ParseError { at: 0, expected: "an IP address, or one with \"/\" and a number of bits" };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong)?;
        match bits {
            None => Ok(Self::from(address)),
            Some(bits) => bits.parse().ok().and_then(|bits| Self::new(address, bits)).ok_or(wrong),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Where a client comes from, as far as that is known: by the connection, and by what a trusted peer said of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Origin {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client's port.
    pub port: Option<u16>,
    /// The address that it connected to, if a PROXY header or XCLIENT said so.
    pub destination: Option<IpAddr>,
    /// The port that it connected to, if a PROXY header or XCLIENT said so.
    pub destination_port: Option<u16>,
    /// The client's host name, if XCLIENT said one.
    pub name: Option<Text>,
    /// XCLIENT said that the name could not be found out for now. What is refused for want of a name is refused for now.
    pub name_is_unknown_for_now: bool,
    /// What the client calls itself, if XCLIENT said so.
    pub helo: Option<HelloName>,
    /// Whether the client said EHLO or HELO, if XCLIENT said so.
    pub protocol: Option<XclientProtocol>,
    /// Whether a peer that is trusted spoke for the client.
    pub proxied: bool,
}

impl Origin {
    pub(super) fn of(peer: SocketAddr) -> Self {
        Self { address: Some(peer.ip().to_canonical()), port: Some(peer.port()), ..Self::default() }
    }
}

/// How many connections a server holds at a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// In all. Default 1,000.
    pub total: usize,
    /// From one address. Default 20.
    pub per_address: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: 1000, per_address: 20 }
    }
}

/// Counts connections, in all and from each address. IPv6 addresses of one /64 are one: whoever has one has them all.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    limits: ConnectionLimits,
    total: usize,
    open: BTreeMap<IpAddr, usize>,
}

/// There are too many connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TooManyConnections {
    /// In all.
    #[error("there are {limit} connections already")]
    InAll {
        /// The limit it would break.
        limit: usize,
    },
    /// From one address.
    #[error("there are {limit} connections from this address already")]
    FromAddress {
        /// The limit it would break.
        limit: usize,
    },
}

impl Connections {
    /// Allows so many.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Counts one more. [`Connections::close`] must follow when it is over.
    ///
    /// # Errors
    /// [`TooManyConnections`] if it may not be, and it is not counted.
    pub fn open(&mut self, address: IpAddr) -> Result<(), TooManyConnections> {
        let ConnectionLimits { total, per_address } = self.limits;
        if self.total >= total {
            return Err(TooManyConnections::InAll { limit: total });
        }
        let key = key(address);
        if self.open.get(&key).copied().unwrap_or(0) >= per_address {
            return Err(TooManyConnections::FromAddress { limit: per_address });
        }
        *self.open.entry(key).or_default() += 1;
        self.total += 1;
        Ok(())
    }

    /// Counts one less.
    pub fn close(&mut self, address: IpAddr) {
        let key = key(address);
        if let Some(open) = self.open.get_mut(&key) {
            *open -= 1;
            self.total -= 1;
            if *open == 0 {
                self.open.remove(&key);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.total
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) >> 64 << 64)),
    }
}
