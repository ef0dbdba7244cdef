//! What a client insists on and how much it puts up with.

use core::time::Duration;

use postrider_core::LinkLimits;

use crate::wire::FrameLimits;

/// What a client insists on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Config {
    /// TLS comes before the greeting (port 993). Default false.
    pub implicit_tls: bool,
    /// Ask for the capabilities whenever they are not known: after a greeting without them, after TLS, after login.
    /// Default true. Without, [`Event::Ready`](super::Event::Ready) comes at once.
    pub ask_capabilities: bool,
    /// Limits.
    pub limits: Limits,
    plaintext_login: bool,
    plaintext_preauth: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            implicit_tls: false,
            ask_capabilities: true,
            limits: Limits::default(),
            plaintext_login: false,
            plaintext_preauth: false,
        }
    }
}

impl Config {
    /// TLS comes before the greeting (port 993).
    #[must_use]
    pub fn implicit_tls() -> Self {
        Self { implicit_tls: true, ..Self::default() }
    }

    /// Lets LOGIN and mechanisms that show the password go over a stream that anybody can read. For connections
    /// that are protected by other means.
    #[must_use]
    pub fn dangerous_plaintext_login(mut self) -> Self {
        self.plaintext_login = true;
        self
    }

    /// Accepts a greeting of PREAUTH without TLS. Whoever is on the path can send one to keep a client from STARTTLS
    /// (RFC 9051, 11.4), so it is for pipes to a local server only.
    #[must_use]
    pub fn dangerous_plaintext_preauth(mut self) -> Self {
        self.plaintext_preauth = true;
        self
    }

    pub(super) fn allows_plaintext_login(&self) -> bool {
        self.plaintext_login
    }

    pub(super) fn allows_plaintext_preauth(&self) -> bool {
        self.plaintext_preauth
    }
}

/// How much a client puts up with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Buffers. `input` is raised to what the largest response wants. Default [`LinkLimits::default`].
    pub link: LinkLimits,
    /// The largest response that is held whole. Default [`FrameLimits::RESPONSES`].
    pub response: FrameLimits,
    /// Literals up to this many octets arrive inside their item, larger ones in pieces. Default 64 KiB.
    pub inline: u64,
    /// Commands that are not completed yet. Default 1,000.
    pub commands: usize,
    /// Commands that are sent before the first of them is completed. Default 25: Outlook.com breaks at fifty.
    pub pipeline: usize,
    /// SASL challenges of one login. Default 10.
    pub challenges: u32,
    /// How long the greeting may take. Default 60 s.
    pub greeting: Duration,
    /// How long the server may be silent while it owes an answer. Default 5 min.
    pub silence: Duration,
    /// When IDLE is begun anew, so that no server thinks we are gone (RFC 9051, 6.3.13 has 30 minutes).
    /// Default 29 min.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            link: LinkLimits::default(),
            response: FrameLimits::RESPONSES,
            inline: 64 * 1024,
            commands: 1000,
            pipeline: 25,
            challenges: 10,
            greeting: Duration::from_secs(60),
            silence: Duration::from_secs(5 * 60),
            idle: Duration::from_secs(29 * 60),
        }
    }
}
