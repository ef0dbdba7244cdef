//! How a client behaves, and how much it takes.

use crate::address::HelloName;
use crate::dialogue::Protocol;
use crate::wire::BareNewlines;
use core::time::Duration;
use postrider_core::LinkLimits;

/// When TLS begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Tls {
    /// Never by itself; the application may call [`Client::start_tls`](super::Client::start_tls).
    #[default]
    Manual,
    /// By STARTTLS if the server offers it and does not refuse. Whoever is on the path can prevent that, so this
    /// protects against listeners only (RFC 7435). See [`Client::security`](super::Client::security) for what it is.
    IfOffered,
    /// By STARTTLS, or the session ends.
    Required,
    /// Before the first octet (RFC 8314).
    Implicit,
}

/// When a message goes out in chunks (RFC 3030) instead of after DATA.
///
/// Chunks are counted, so that no octet of the message can be taken for its end, and no line needs a dot before it. The
/// recipients are waited for before the first chunk, so that nothing is sent in vain; with PIPELINING the chunks then
/// follow each other without waiting, and a message takes two round trips, as with DATA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Chunking {
    /// Whenever the server offers CHUNKING. The default.
    #[default]
    WhenOffered,
    /// Only if the message needs it: BINARYMIME.
    WhenNeeded,
}

/// How a client behaves. Shared by any number of sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The client's own name, for EHLO.
    //= 5321-2.3.5-2
    pub name: HelloName,
    /// Which protocol is spoken. Default SMTP.
    pub protocol: Protocol,
    /// When TLS begins. Default [`Tls::Manual`].
    pub tls: Tls,
    /// Whether HELO follows when EHLO is refused (RFC 5321, 3.2). Default true. Without extensions then.
    pub helo: bool,
    /// What becomes of messages with CR or LF alone. Default [`BareNewlines::Refuse`]. Not of those with BINARYMIME, in
    /// which any octet is data.
    pub bare_newlines: BareNewlines,
    /// When messages go out in chunks. Default [`Chunking::WhenOffered`].
    pub chunking: Chunking,
    /// How much the client takes.
    pub limits: Limits,
    pub(super) plaintext_auth: bool,
}

impl Config {
    /// An SMTP client of this name, with every other field at its default.
    pub fn new(name: HelloName) -> Self {
        Self {
            name,
            protocol: Protocol::Smtp,
            tls: Tls::Manual,
            helo: true,
            bare_newlines: BareNewlines::Refuse,
            chunking: Chunking::default(),
            limits: Limits::default(),
            plaintext_auth: false,
        }
    }

    /// An LMTP client of this name.
    pub fn lmtp(name: HelloName) -> Self {
        Self { protocol: Protocol::Lmtp, helo: false, ..Self::new(name) }
    }

    /// Whether passwords may be sent without TLS.
    #[cfg(any(feature = "tokio", feature = "blocking"))]
    pub(crate) fn allows_plaintext_auth(&self) -> bool {
        self.plaintext_auth
    }

    /// Lets passwords be sent without TLS, for all on the path to read.
    #[must_use]
    pub fn dangerous_allow_plaintext_auth(mut self) -> Self {
        self.plaintext_auth = true;
        self
    }
}

/// How much a client takes from a server. Times are those of RFC 5321, 4.5.3.2, as far as it has them.
//= 5321-4.5.3.2-2
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Octets buffered in each direction.
    pub link: LinkLimits,
    /// Octets of a reply line, without CRLF. Default 2,048 (RFC minimum 510).
    pub reply_line: usize,
    /// Lines of a reply. Default 128.
    pub reply_lines: usize,
    /// Octets of a reply's text. Default 64 KiB.
    pub reply_octets: usize,
    /// Challenges in one login. Default 10.
    pub auth_rounds: u32,
    /// Octets of an AUTH command with its initial response, without CRLF; a longer one sends it later. Default 510
    /// (RFC 4954, 4).
    pub auth_line: usize,
    /// Octets of a chunk (RFC 3030), which is held until it is full. Default 64 KiB; not more than `link.output`.
    pub chunk: usize,
    /// Chunks that may be without an answer. Default 32.
    pub chunks: usize,
    /// The TLS handshake. Default 5 min.
    pub handshake: Duration,
    /// The greeting. Default 5 min.
    pub greeting: Duration,
    /// The replies to EHLO, HELO, LHLO, STARTTLS, AUTH, RSET, NOOP, HELP, VRFY, EXPN and ETRN. Default 5 min.
    pub command: Duration,
    /// The reply to MAIL. Default 5 min.
    pub mail: Duration,
    /// The reply to each RCPT. Default 5 min.
    pub rcpt: Duration,
    /// The invitation to send the message. Default 2 min.
    pub data: Duration,
    /// How long the server may take nothing of a message, or not answer a chunk that it has taken. Default 3 min.
    pub block: Duration,
    /// The reply to a message, once all of it went out. Default 10 min.
    pub message: Duration,
    /// What `message` grows by with each MiB of it. Default 10 s.
    pub message_per_mib: Duration,
    /// The reply to QUIT. Default 30 s.
    pub quit: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            link: LinkLimits::default(),
            //= 5321-4.5.3.1.5-1
            reply_line: 2048,
            reply_lines: 128,
            //= 4954-4-13
            reply_octets: 64 << 10,
            auth_rounds: 10,
            auth_line: 510,
            chunk: 64 << 10,
            chunks: 32,
            handshake: minutes(5),
            //= 5321-4.5.3.2.1-1
            greeting: minutes(5),
            command: minutes(5),
            //= 5321-4.5.3.2.2-1
            mail: minutes(5),
            //= 5321-4.5.3.2.3-1
            rcpt: minutes(5),
            //= 5321-4.5.3.2.4-1
            data: minutes(2),
            //= 5321-4.5.3.2.5-1
            block: minutes(3),
            //= 5321-4.5.3.2.6-1
            message: minutes(10),
            message_per_mib: Duration::from_secs(10),
            quit: Duration::from_secs(30),
        }
    }
}
