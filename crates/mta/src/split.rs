//! A message for several domains becomes one delivery for each.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use postrider_smtp::{ForwardPath, Host};

use crate::{Destination, Name, NameError};

/// The recipients at one destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Where they are.
    pub destination: Destination,
    /// Which recipients, by their index in the list that was split.
    pub recipients: Vec<usize>,
}

/// What [`split`] made of a list of recipients.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Split {
    /// One batch for each destination, in the order in which they first appear.
    pub batches: Vec<Batch>,
    /// Recipients that are nowhere, by index.
    pub nowhere: Vec<(usize, NoDestination)>,
}

/// Why an address names no destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoDestination {
    /// `<postmaster>` without a domain is this host's own (RFC 5321, 4.5.1).
    #[error("a postmaster without a domain is this host's own")]
    OwnPostmaster,
    /// An address literal of a kind other than IPv4 and IPv6.
    #[error("the address literal is not an IP address")]
    UnknownLiteral,
    /// The domain cannot be looked up.
    #[error("the domain cannot be looked up: {0}")]
    NotInDns(NameError),
}

impl Destination {
    /// Where an address is.
    ///
    /// # Errors
    /// [`NoDestination`] if it cannot be looked up.
    pub fn of(recipient: &ForwardPath) -> Result<Self, NoDestination> {
        let mailbox = recipient.mailbox().ok_or(NoDestination::OwnPostmaster)?;
        Self::of_host(&mailbox.host())
    }

    /// Where a host is: a domain in the DNS, a literal by itself.
    ///
    /// # Errors
    /// As [`Destination::of`].
    pub fn of_host(host: &Host) -> Result<Self, NoDestination> {
        match host {
            Host::Domain(domain) => {
                Name::from_domain(domain.as_str()).map(Self::Domain).map_err(NoDestination::NotInDns)
            }
            Host::Literal(literal) => literal.ip().map(Self::Address).ok_or(NoDestination::UnknownLiteral),
        }
    }
}

/// Groups recipients by destination; domains are compared without regard to case.
pub fn split<'a>(recipients: impl IntoIterator<Item = &'a ForwardPath>) -> Split {
    let mut split = Split::default();
    let mut known: BTreeMap<Destination, usize> = BTreeMap::new();
    for (index, recipient) in recipients.into_iter().enumerate() {
        match Destination::of(recipient) {
            Ok(destination) => {
                let batch = *known.entry(destination.clone()).or_insert_with(|| {
                    split.batches.push(Batch { destination, recipients: Vec::new() });
                    split.batches.len() - 1
                });
                split.batches[batch].recipients.push(index);
            }
            Err(why) => split.nowhere.push((index, why)),
        }
    }
    split
}
