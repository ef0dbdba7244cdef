//! The MTA's routing: from "this message is ours to deliver" to "every recipient is settled", without I/O.
//!
//! DNS answers, replies and the time go in; questions, hosts to try, settlements and reports come out. Each part can
//! be used alone:
//!
//! - [`split`](split()) makes one [`Delivery`] of each domain of a message.
//! - [`Delivery`] plans one message's way to one domain, retries included. It asks for DNS records and for attempts,
//!   and says what became of each recipient. Its [`Snapshot`] goes into a durable queue.
//! - [`MxLookup`] finds the hosts for a domain (RFC 5321, 5.1; RFC 7505).
//! - [`RetrySchedule`] says when to try again (RFC 5321, 4.5.4.1).
//! - [`dsn`] writes delivery status notifications (RFC 3464).
//! - `dns::Resolver` (feature `hickory`) is a stub resolver without I/O; `tokio::Dns` (feature `tokio`) runs it.
//! - [`classify`] says what a reply means, and how far it reaches.
//!
//! Every action carries its [`Reason`]: the rule, and the section of the RFC that has it.
//!
//! # A queue runner
//!
//! ```no_run
//! # use std::{sync::Arc, time::Duration};
//! # use postrider_core::{Instant, Machine, Step};
//! # use postrider_mta::{delivery::Event, dns::{Answer, DnsFailure, RecordType}, *};
//! # fn unix_time() -> Instant { Instant::ORIGIN }
//! # fn lookup(_: &Name, _: RecordType) -> Result<Answer, DnsFailure> { Err(DnsFailure::TimedOut) }
//! # fn transact(_: &Hop, _: &[usize]) -> Result<Vec<Outcome>, HopFailure> { Err(HopFailure::Busy) }
//! # fn save(_: Snapshot) {}
//! # fn sleep_until(_: Instant) {}
//! # fn report(_: usize, _: &Disposition) {}
//! let config = Arc::new(DeliveryConfig::default());
//! let to = Destination::Domain(Name::new("example.org")?);
//! let mut delivery = Delivery::new(config, 1, to, 2, unix_time(), [0; 16]);
//! loop {
//!     match delivery.poll(unix_time()) {
//!         Step::Event(Event::Resolve { answer, name, record, .. }) => {
//!             let _ = delivery.answer(answer, lookup(&name, record));
//!         }
//!         Step::Event(Event::Round { .. }) => save(delivery.snapshot()),
//!         Step::Event(Event::Attempt { answer, hop, recipients, .. }) => {
//!             let _ = delivery.answer(answer, transact(&hop, &recipients));
//!         }
//!         Step::Event(Event::Settled { recipient, how }) => report(recipient, &how),
//!         Step::Event(Event::Finished) => break,
//!         Step::Event(other) => delivery.decline(other),
//!         Step::Idle { deadline } => {
//!             save(delivery.snapshot());
//!             sleep_until(deadline.expect("every question above is answered at once"));
//!         }
//!     }
//! }
//! # Ok::<(), NameError>(())
//! ```
//!
//! Not yet: DANE, MTA-STS and TLSRPT, DNSSEC validation of our own, happy eyeballs, windows and throttles for each
//! destination, a planner for all messages at once, SRS and VERP.
//!
//! # Features
//!
//! `std` (default); `serde` for snapshots; `hickory` for the resolver; `tokio` to run it.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod classify;
pub mod delivery;
mod dice;
pub mod dns;
pub mod dsn;
mod hop;
mod mx;
mod name;
mod reason;
mod retry;
mod split;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use delivery::{Delivery, DeliveryConfig, Diagnosis, Disposition, Said, Snapshot};
pub use dice::{Dice, Seed};
pub use hop::{Hop, HopFailure, Need, Relay, TlsRequirement};
pub use mx::{Destination, Exchange, MxLookup, Route, Routing, Unroutable};
pub use name::{Name, NameError};
pub use postrider_smtp::client::{NotSent, Outcome, RefusedAt};
pub use reason::Reason;
pub use retry::RetrySchedule;
pub use split::{Batch, NoDestination, Split, split};
