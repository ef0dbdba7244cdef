//! How a peer can be wrong.

use alloc::string::String;
use core::fmt;

/// A complete unit (line, literal, response) that is not what the grammar wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub struct ParseError {
    /// Offset in the unit, in bytes.
    pub at: usize,
    /// What the grammar wants there.
    pub expected: &'static str,
}

/// How the peer broke the protocol.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A line did not end in time.
    #[error("a line is longer than {limit} bytes")]
    LineTooLong {
        /// The limit it broke.
        limit: usize,
    },
    /// Plaintext came after the point where TLS begins: an attempt to inject commands or replies.
    #[error("plaintext was sent where TLS should begin")]
    PlaintextBeforeTls,
    /// The peer made more mistakes than we put up with.
    #[error("more than {limit} errors in one session")]
    TooManyErrors {
        /// The limit it broke.
        limit: u32,
    },
    /// Something else than a line was too much.
    #[error("more than {limit} {what}")]
    TooMuch {
        /// What there was too much of.
        what: &'static str,
        /// The limit it broke.
        limit: u64,
    },
    /// The unit does not parse.
    #[error("{0}: {1}")]
    Malformed(ParseError, Excerpt),
    /// The unit parses but has no place here.
    #[error("{what}: {got}")]
    Unexpected {
        /// What is wrong with it.
        what: &'static str,
        /// What came.
        got: Excerpt,
    },
}

/// The beginning of what a peer sent, made safe to show: escaped, and cut to 64 characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Excerpt(String);

impl Excerpt {
    /// Escapes and cuts `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        const LIMIT: usize = 64;
        let mut shown = String::new();
        for &byte in bytes {
            let escaped = byte.escape_ascii();
            if shown.len() + escaped.len() > LIMIT {
                shown.push('…');
                break;
            }
            shown.extend(escaped.map(char::from));
        }
        Self(shown)
    }

    /// The escaped text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
