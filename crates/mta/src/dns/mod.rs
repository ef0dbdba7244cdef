//! Questions to the DNS and their answers, as the rest of the crate sees them.
//!
//! The types stand alone, so that any resolver may answer. With the feature `hickory` there is one of our
//! own, without I/O: `Resolver`.

#[cfg(feature = "hickory")]
mod cache;
#[cfg(feature = "hickory")]
mod codec;
#[cfg(feature = "hickory")]
mod resolver;

#[cfg(feature = "hickory")]
pub use resolver::{Event, ExchangeId, QueryId, Resolver, ResolverConfig, ResolverLimits, Transport};

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use crate::Name;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses (RFC 3596).
    Aaaa,
    /// Mail exchanges.
    Mx,
    /// Text.
    Txt,
    /// The name that this one is an alias of.
    Cname,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Cname => "CNAME",
        })
    }
}

/// One record of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Record {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A mail exchange.
    Mx {
        /// The lower, the better.
        preference: u16,
        /// The host; the root for a null MX (RFC 7505).
        exchange: Name,
    },
    /// Text: the strings of one record, joined without anything between them.
    Txt(Vec<u8>),
    /// The name that this one is an alias of.
    Cname(Name),
}

impl Record {
    /// Which type it is of.
    pub fn record_type(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::Aaaa,
            Self::Mx { .. } => RecordType::Mx,
            Self::Txt(_) => RecordType::Txt,
            Self::Cname(_) => RecordType::Cname,
        }
    }

    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::A(address) => Some(IpAddr::V4(*address)),
            Self::Aaaa(address) => Some(IpAddr::V6(*address)),
            Self::Mx { .. } | Self::Txt(_) | Self::Cname(_) => None,
        }
    }
}

/// A positive answer: records of the type asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Whose records these are: the name asked for, or the end of its chain of aliases.
    pub owner: Name,
    /// The records, in the order in which they came.
    pub records: Vec<Record>,
    /// Records of the right type whose contents no mail system can use, such as an exchange that is not a host name.
    pub unusable: usize,
    /// How long the answer holds.
    pub ttl: Duration,
    /// A resolver named as trusted vouches for it by DNSSEC (the AD bit; RFC 4035, 3.2.3).
    pub authentic: bool,
}

impl Answer {
    /// An answer that is its own owner and holds for an hour. Handy where answers are made by hand.
    pub fn of(owner: Name, records: Vec<Record>) -> Self {
        Self { owner, records, unusable: 0, ttl: Duration::from_secs(3600), authentic: false }
    }
}

/// Why there are no records.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DnsFailure {
    /// NXDOMAIN: the name does not exist, nor any below it (RFC 8020).
    #[error("the name does not exist")]
    NoSuchName,
    /// NODATA: the name exists, without records of this type (RFC 2308, 2.2).
    #[error("the name has no records of this type")]
    NoData,
    /// SERVFAIL: the resolver could not find out, or found the answer bogus.
    #[error("the resolver failed")]
    ServerFailure,
    /// REFUSED, NOTIMP or another error code from every resolver.
    #[error("the resolver refused the question")]
    Refused,
    /// No resolver answered in time.
    #[error("no resolver answered in time")]
    TimedOut,
    /// The answer could not be read.
    #[error("the answer was malformed")]
    Malformed,
    /// The chain of aliases was a loop or longer than the limit.
    #[error("the chain of aliases is a loop or too long")]
    TooManyAliases,
    /// Too many questions are open; ask again later.
    #[error("too many questions are open")]
    Busy,
}

impl DnsFailure {
    /// Whether asking later may help: everything but the two negative answers.
    pub fn is_transient(self) -> bool {
        match self {
            Self::NoSuchName | Self::NoData => false,
            Self::ServerFailure
            | Self::Refused
            | Self::TimedOut
            | Self::Malformed
            | Self::TooManyAliases
            | Self::Busy => true,
        }
    }
}
