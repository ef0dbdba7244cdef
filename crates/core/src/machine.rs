//! What every machine and session can do.

use crate::{Handshake, Instant, Pending, ProtocolError, Stale, TlsFailed, TlsInfo};

/// What [`Machine::poll`] found.
#[must_use = "an event may hold a question, and only `Idle` says when to poll again"]
#[derive(Debug)]
pub enum Step<E> {
    /// Something happened. Poll again.
    Event(E),
    /// Nothing more before new input, an answer, or `deadline`.
    Idle {
        /// When to poll again if nothing else happens first.
        deadline: Option<Instant>,
    },
}

/// Anything driven by polling: the six sessions, the resolver and the delivery planner.
pub trait Machine {
    /// What it reports and asks.
    type Event;

    /// The only way in for time, and the only way out for events. Does a bounded amount of work.
    fn poll(&mut self, now: Instant) -> Step<Self::Event>;
}

/// A machine that speaks over one byte stream.
pub trait Session: Machine {
    /// How many more bytes the session will hold for the peer now. 0 means: stop reading.
    fn window(&self) -> usize;

    /// Takes the first `min(bytes.len(), window())` bytes and says how many that was. Never parses.
    #[must_use = "bytes that were not taken must be offered again"]
    fn receive(&mut self, bytes: &[u8]) -> usize;

    /// The peer closed its half of the stream. (An empty `receive` means nothing.)
    fn receive_eof(&mut self);

    /// Bytes to write next; empty when there are none.
    fn output(&self) -> &[u8];

    /// The first `n` bytes of [`Session::output`] were written. Partial writes are normal.
    ///
    /// # Panics
    /// If `n` is more than `output` held.
    fn sent(&mut self, n: usize);

    /// `Some`, once, when everything before the handshake was sent and the stream must now become TLS.
    ///
    /// [`Session::window`] is 0 until [`Session::tls`] is called. Plaintext that the peer sent past this point has
    /// already ended the session.
    fn upgrade(&mut self) -> Option<Pending<Handshake>>;

    /// Reports how the handshake went.
    ///
    /// # Errors
    /// [`Stale`] if the session did not ask for it.
    fn tls(&mut self, done: Pending<Handshake>, result: Result<TlsInfo, TlsFailed>) -> Result<(), Stale>;

    /// The last event is out and `output` is empty: close the transport.
    fn is_finished(&self) -> bool;
}

/// Why a session ended. Every session's last event holds one of these.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The peer said goodbye in the protocol's own way.
    #[error("the peer said goodbye")]
    ByPeer,
    /// We said goodbye.
    #[error("closed by us")]
    ByUs,
    /// The peer was silent for longer than the limit for what it was to do.
    #[error("timed out")]
    TimedOut,
    /// The stream ended without a goodbye.
    #[error("the connection was lost")]
    Eof,
    /// The TLS handshake failed.
    #[error("TLS failed: {0}")]
    Tls(TlsFailed),
    /// The peer broke the protocol beyond repair.
    #[error("the peer broke the protocol: {0}")]
    Protocol(ProtocolError),
}

/// Implements [`Session`] for a type by its [`Link`](crate::Link) and the queue of events that wait for `poll`. For
/// those who write sessions.
#[doc(hidden)]
#[macro_export]
macro_rules! session_over_link {
    ($session:ty, $link:ident, $events:ident) => {
        impl $crate::Session for $session {
            fn window(&self) -> usize {
                self.$link.window()
            }
            fn receive(&mut self, bytes: &[u8]) -> usize {
                self.$link.receive(bytes)
            }
            fn receive_eof(&mut self) {
                self.$link.receive_eof();
            }
            fn output(&self) -> &[u8] {
                self.$link.output()
            }
            fn sent(&mut self, n: usize) {
                self.$link.sent(n);
            }
            fn upgrade(&mut self) -> Option<$crate::Pending<$crate::Handshake>> {
                self.$link.upgrade()
            }
            fn tls(
                &mut self,
                done: $crate::Pending<$crate::Handshake>,
                result: Result<$crate::TlsInfo, $crate::TlsFailed>,
            ) -> Result<(), $crate::Stale> {
                self.$link.tls(done, result)
            }
            fn is_finished(&self) -> bool {
                self.$link.is_finished() && self.$events.is_empty()
            }
        }
    };
}
