//! How a client behaves, and how much it puts up with.

use core::time::Duration;
use postrider_core::LinkLimits;

/// What the sessions of a client share.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Begin with TLS, as on port 995 (RFC 8314, 3.3). Default: no.
    pub implicit_tls: bool,
    /// Let passwords and tokens be sent in the clear. Whoever is on the path then reads them. Default: no.
    pub dangerous_plaintext_login: bool,
    /// Let [`Client::apop`](super::Client::apop) be used. Who reads its digest can try passwords against it at leisure;
    /// who can speak as the server learns them (CVE-2007-1558). Default: no.
    pub dangerous_apop: bool,
    /// Ask with CAPA what the server offers. Without, nothing is known of it. For servers that do not even say no to
    /// commands they do not know. Default: yes.
    pub capabilities: bool,
    /// What to forgive. Default: [`Quirks::INTEROP`].
    pub quirks: Quirks,
    /// How much is put up with.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            implicit_tls: false,
            dangerous_plaintext_login: false,
            dangerous_apop: false,
            capabilities: true,
            quirks: Quirks::default(),
            limits: Limits::default(),
        }
    }
}

/// Departures from the standard that servers are known for, each forgiven or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Quirks {
    /// Lines of a UIDL or LIST that begin with `+OK ` once more (seen by K-9 Mail). Bends RFC 1939, 5 and 7.
    /// Example: `+OK 1 abc`.
    pub status_on_each_line: bool,
    /// `UIDL n` answered with the id alone (a server of Twisted's, twisted#9104). Bends RFC 1939, 7.
    /// Example: `+OK abc`.
    pub unique_id_without_number: bool,
    /// TOP answered with `+OK` twice (FTGate, as fetchmail has seen). No header begins so. Bends RFC 1939, 7.
    pub status_twice_to_top: bool,
    /// Never send an initial response with AUTH: Office 365 takes XOAUTH2 in two steps only. Bends nothing.
    pub auth_in_two_steps: bool,
}

impl Quirks {
    /// None of these is forgiven.
    pub const NONE: Quirks = Quirks {
        status_on_each_line: false,
        unique_id_without_number: false,
        status_twice_to_top: false,
        auth_in_two_steps: false,
    };

    /// What costs nothing to forgive.
    pub const INTEROP: Quirks = Quirks {
        status_on_each_line: true,
        unique_id_without_number: true,
        status_twice_to_top: true,
        auth_in_two_steps: false,
    };
}

impl Default for Quirks {
    fn default() -> Self {
        Self::INTEROP
    }
}

/// The limits of a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The buffers.
    pub link: LinkLimits,
    /// A status line, or a line of a listing, without its CRLF, in octets. Default 8192; servers may send 510
    /// (RFC 2449, 4).
    pub line: usize,
    /// Octets of one message. Default 16 GiB: it is passed on as it comes, and this only ends what has no end.
    pub message: u64,
    /// Lines of one answer to LIST or UIDL. Default 10 million.
    pub listing: u64,
    /// Lines of one answer to CAPA. Default 256.
    pub capabilities: u64,
    /// Commands waiting inside, sent or not. Default 1024.
    pub queue: usize,
    /// Commands sent and not answered, if the server takes them ahead (PIPELINING). Default 32.
    pub pipeline: usize,
    /// Challenges of one login. Default 10.
    pub challenges: u32,
    /// How long the server may be silent when it is its turn, or take nothing of what it is sent. Default 5 min.
    pub reply: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            link: LinkLimits::default(),
            line: 8192,
            message: 16 << 30,
            listing: 10_000_000,
            capabilities: 256,
            queue: 1024,
            pipeline: 32,
            challenges: 10,
            reply: Duration::from_secs(300),
        }
    }
}
