//! One driver for any postrider session: the only place where sockets, clocks and TLS back-ends meet a session.
//!
//! A driver owns a session and its transport. [`next`](blocking::Driver::next) reads, writes, keeps the session's
//! timers, performs the TLS handshake when the session asks for it, and returns the next event. What is asked in an
//! event is answered on [`session`](blocking::Driver::session), at once or later:
//!
//! ```ignore
//! let mut driver = tokio::Driver::new(session, stream, Tls::Server(config));
//! while let Some(event) = driver.next().await {
//!     match event { Event::Rcpt { answer, to, .. } => driver.session().accept(answer)?, .. }
//! }
//! ```
//!
//! A lost connection is the session's end of stream, so the last event is always the session's `Closed`;
//! `error` then says what the transport complained of.
//!
//! Features: `rustls` (TLS for the blocking driver), `tokio` (the async driver, with TLS).

pub mod blocking;
mod counted;
#[cfg(feature = "rustls")]
mod end_point;
#[cfg(feature = "rustls")]
pub mod tls;
#[cfg(feature = "tokio")]
pub mod tokio;

#[cfg(feature = "rustls")]
pub use ::rustls;
#[cfg(feature = "rustls")]
pub use tls::Tls;

/// Octets read from the transport at once, at most.
const READ: usize = 32 * 1024;

/// How long a closing connection is read on, so that our last words are not lost to a reset.
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);

/// How long a transport may take nothing at all before it counts as lost, while only writing, if nothing else is said.
const STALL: std::time::Duration = std::time::Duration::from_secs(300);
