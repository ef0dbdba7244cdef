//! The programs against real mail software: Debian's servers and clients, started by the test that needs them.
//!
//! A peer is a value: [`Postfix`], [`Dovecot`] and [`Dns`] run while the value lives, each on a loopback address of its
//! own ([`Place`]) with a private directory, and are gone when it is dropped, however the test ends. The clients
//! ([`clients`]) are functions: they write their configuration, run within a time limit and return what was printed.
//! [`Postriderd`] and [`postrider`] are our two programs, found beside the test executable.
//!
//! Nothing here sleeps to wait for another program: readiness is polled against a deadline ([`until`]).
//! The servers need root (Postfix and Dovecot change users, the resolver listens on port 53) and Linux.

mod aiosmtpd;
pub mod clients;
mod dns;
mod dovecot;
mod exim;
pub mod maildir;
pub mod messages;
mod opensmtpd;
mod ours;
mod place;
pub mod pop3_clients;
mod postfix;
mod process;
mod root;
mod tls;
pub mod wire;

pub use aiosmtpd::Aiosmtpd;
pub use dns::Dns;
pub use dovecot::{Dovecot, PASSWORD};
pub use exim::Exim;
pub use opensmtpd::OpenSmtpd;
pub use ours::{Options, Postriderd, Ready, postrider, postrider_running, postriderd_command};
pub use place::Place;
pub use postfix::{Postfix, PostfixOptions};
pub use process::{Finished, Process, run, run_with_input, until};
pub use tls::{Authority, Identity};

/// Where a client connects and as whom.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host name or address, as written into the client's configuration.
    pub host: String,
    /// A DNS name in its certificate, for clients that check no addresses.
    pub name: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is secured.
    pub security: Security,
    /// Name and password, when the client is to authenticate.
    pub login: Option<(String, String)>,
    /// The certificate authority the client trusts.
    pub ca: std::path::PathBuf,
}

impl Endpoint {
    /// The name and password, for clients that cannot do without.
    ///
    /// # Panics
    /// When the endpoint has none.
    pub fn credentials(&self) -> (&str, &str) {
        let (user, password) = self.login.as_ref().expect("this endpoint has a login");
        (user, password)
    }
}

/// How a connection is secured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Security {
    /// Not at all.
    Clear,
    /// Upgraded with STARTTLS or STLS.
    StartTls,
    /// TLS from the first byte.
    Tls,
}
