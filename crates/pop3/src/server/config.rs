//! How a server behaves, and how much it puts up with.

use crate::wire::{Expire, LoginDelay};
use alloc::vec::Vec;
use core::time::Duration;
use postrider_core::{LinkLimits, Text};
use postrider_sasl::MechanismName;

/// What all sessions of one server share.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The text of the greeting. Default: `POP3 server ready`.
    pub greeting: Text,
    /// Begin with TLS, as on port 995 (RFC 8314, 3.3). Default: no.
    pub implicit_tls: bool,
    /// Offer STLS (RFC 2595, 4). Default: no, since it needs a certificate.
    pub stls: bool,
    /// Let users send passwords in the clear. Whoever is on the path then reads them. Default: no.
    //= 2595-2.2-2
    pub dangerous_plaintext_login: bool,
    /// Offer USER and PASS. Default: yes.
    pub user: bool,
    /// Mechanisms to offer with AUTH, where the connection has what they need. Default: PLAIN and LOGIN. SCRAM brings
    /// [`Event::Scram`](super::Event::Scram), CRAM-MD5 [`Event::Challenge`](super::Event::Challenge).
    pub mechanisms: Vec<MechanismName>,
    /// Offer UTF8 (RFC 6856), user names included. Default: no.
    pub utf8: bool,
    /// Offer LANG (RFC 6856, 3), with the one language there is: English. Default: no.
    pub lang: bool,
    /// Answer LAST, which RFC 1725 took away, for clients from before. Default: no.
    pub last: bool,
    /// What to say of the least time between logins. A session does not know of the others: who answers
    /// [`Event::Open`](super::Event::Open) enforces it, with [`Logins`](super::Logins). Default: nothing.
    pub login_delay: Option<LoginDelay>,
    /// What to say of how long messages are kept. With 0 days, what a client has retrieved to its end is deleted when it
    /// says QUIT, as if it had said DELE (RFC 2449, 6.7); any other removal is the application's. Default: nothing.
    pub expire: Option<Expire>,
    /// What to say the server is. Default: nothing.
    pub implementation: Option<Text>,
    /// How much is put up with.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            greeting: Text::literal("POP3 server ready"),
            implicit_tls: false,
            stls: false,
            dangerous_plaintext_login: false,
            user: true,
            mechanisms: [MechanismName::Plain, MechanismName::Login].into(),
            utf8: false,
            lang: false,
            last: false,
            login_delay: None,
            expire: None,
            implementation: None,
            limits: Limits::default(),
        }
    }
}

/// The limits of a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The buffers.
    pub link: LinkLimits,
    //= 2449-4-1
    /// A command line without its CRLF, in octets. Default 512; RFC 2449, 4 asks for 253.
    pub line: usize,
    /// A line that is too long, as far as it is read and dropped before the session is closed, in octets. Default 1 MiB.
    pub line_excess: u64,
    /// A line of a SASL exchange, in octets of base64. Default 12,288 (RFC 5034, 4).
    //= 5034-4-11
    pub sasl_line: usize,
    /// Commands that are unknown, malformed, out of order or refused for want of TLS, and logins given up, before the session is closed. Default 20.
    pub errors: u32,
    /// Logins that fail before the session is closed. Default 3.
    pub logins: u32,
    /// How long the client may be silent, or read nothing of what it is sent. Default 10 min, and RFC 1939, 3 wants no
    /// less.
    pub idle: Duration,
    /// How long the application may take to answer a question, or to give the next of a message, before the client is
    /// told to try later. Default 5 min.
    pub decision: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            link: LinkLimits::default(),
            line: 512,
            line_excess: 1 << 20,
            sasl_line: 12_288,
            errors: 20,
            logins: 3,
            idle: Duration::from_secs(600),
            decision: Duration::from_secs(300),
        }
    }
}
