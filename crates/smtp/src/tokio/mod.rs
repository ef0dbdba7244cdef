//! The friendly face for tokio: [`send`] and [`Pool`] send mail, [`TestServer`] takes it in tests, [`serve`] runs a
//! server session for a [`Handler`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use postrider_smtp::tokio::send;
//! use postrider_smtp::{Envelope, Mailbox, Remote};
//!
//! let remote = Remote::submissions("smtp.example.org")?.login("alice", "wonderland".to_owned());
//! let envelope = Envelope::new(Mailbox::parse("alice@example.org")?).and_to(Mailbox::parse("bob@example.net")?);
//! let outcomes = send(&remote, envelope, "Subject: Hello\r\n\r\nHello Bob\r\n").await?;
//! assert!(outcomes[0].is_delivered());
//! # Ok(()) }
//! ```
//!
//! Programs that must do more between two events (push, several lookups at once) drive a
//! [`Server`](crate::Server) or [`Client`](crate::Client) with `postrider_io::tokio::Driver` themselves.

mod connection;
mod pool;
mod serve;
mod test_server;

pub use connection::{Connection, ConnectionError};
pub use pool::{Pool, PoolCounts, PoolLimits};
pub use serve::{ClientInfo, Handler, TooLate, serve, serve_from};
pub use test_server::{Received, TestServer};

use crate::client::Outcome;
use crate::{Envelope, Remote};
use alloc::vec::Vec;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

/// Sends one message, in as many transactions and sessions as the server's limits ask for, and says what became of it
/// for each recipient. Its lines end with CRLF. Ends by [`Remote::deadline`].
///
/// # Errors
/// As [`Pool::send_within`].
pub async fn send(
    remote: &Remote,
    envelope: Envelope,
    message: impl Into<Bytes>,
) -> Result<Vec<Outcome>, ConnectionError> {
    let limits = PoolLimits { connections: 1, ..PoolLimits::default() };
    let pool = Pool::new(remote.clone(), limits);
    let until = Instant::now() + remote.deadline;
    let outcomes = pool.send(envelope, message).await;
    // Whether the goodbye is heard does not matter any more.
    let _ = timeout_at(until, pool.close()).await;
    outcomes
}
