//! The wire as a person may see it.

/// Which way a line went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the peer to us.
    In,
    /// From us to the peer.
    Out,
}

/// Something that watches a session's wire. The session calls it, with secrets already masked: only the session
/// knows which line holds one.
pub trait Tap: Send {
    /// A line went over the wire, shown without its CRLF. `masked` says that secret parts were replaced by `***`.
    fn line(&mut self, direction: Direction, line: &[u8], masked: bool);

    /// `count` octets of a message or literal went over the wire.
    fn octets(&mut self, direction: Direction, count: u64);
}
