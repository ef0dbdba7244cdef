//! What a server offers and how much it puts up with.

use crate::wire::{Atom, Capabilities, Capability, Id, ListPattern, NamespaceEntry, Namespaces};
use alloc::vec::Vec;
use core::time::Duration;
use postrider_core::{LinkLimits, Security, Text};
use postrider_sasl::{MechanismName, ServerExchange};

/// What a server offers. One is shared by all its sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What the greeting says to people. Default `IMAP server ready`.
    pub greeting: Text,
    /// What is offered once logged in. Default [`Config::complete`]. Only what is among [`Config::possible`] is ever
    /// listed; `STARTTLS`, `LOGINDISABLED`, `AUTH=` and `SASL-IR` come and go by themselves.
    pub capabilities: Capabilities,
    /// TLS comes before the greeting (port 993). Default false.
    pub implicit_tls: bool,
    /// Offer STARTTLS while the stream is plaintext. Default true.
    pub start_tls: bool,
    /// The SASL mechanisms on offer, where the connection has what they need. Default PLAIN and LOGIN. SCRAM brings
    /// [`Event::Scram`](super::Event::Scram), CRAM-MD5 [`Event::Challenge`](super::Event::Challenge).
    pub mechanisms: Vec<MechanismName>,
    /// Accept the LOGIN command. Default true.
    pub login: bool,
    /// What ID says of the server (RFC 2971); `None` is NIL, the default.
    pub id: Option<Id>,
    /// What NAMESPACE says. Default: one personal namespace, no prefix, delimiter `/`.
    pub namespaces: Namespaces,
    /// The hierarchy delimiter, for the answer to `LIST "" ""`. Default `/`.
    pub delimiter: Option<char>,
    /// The largest message APPEND may bring, listed as APPENDLIMIT (RFC 7889). Default 50 MiB.
    pub append_limit: u64,
    /// Limits.
    pub limits: Limits,
    plaintext_auth: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            greeting: Text::literal("IMAP server ready"),
            capabilities: Self::complete(),
            implicit_tls: false,
            start_tls: true,
            mechanisms: [MechanismName::Plain, MechanismName::Login].into(),
            login: true,
            id: None,
            namespaces: Namespaces {
                personal: [NamespaceEntry { prefix: ListPattern::empty(), delimiter: Some('/') }].into(),
                ..Namespaces::default()
            },
            delimiter: Some('/'),
            append_limit: 50 << 20,
            limits: Limits::default(),
            plaintext_auth: false,
        }
    }
}

impl Config {
    /// What a session can do if the application answers every question in full.
    ///
    /// Of the application, `IMAP4rev2` wants the items BINARY and BINARY.SIZE in FETCH and the STATUS items DELETED and
    /// SIZE; `WITHIN`, `SPECIAL-USE`, `CREATE-SPECIAL-USE`, `LIST-EXTENDED`, `LIST-STATUS`, `CHILDREN` and
    /// `STATUS=SIZE` are what their names say. Take out what the application does not do.
    pub fn complete() -> Capabilities {
        let mut all = Self::possible();
        let optional = [Capability::CondStore, Capability::Binary, Capability::ObjectId];
        for capability in optional.iter().chain(&[Capability::SaveDate, Capability::Preview]) {
            all.remove(capability);
        }
        all
    }

    /// [`Config::complete`] and what must be asked for: CONDSTORE, which wants mod-sequences in answers; BINARY
    /// (with `literal8` in APPEND), OBJECTID, SAVEDATE and PREVIEW, which are nothing but items in questions and
    /// answers.
    pub fn possible() -> Capabilities {
        [
            Capability::Imap4Rev1,
            Capability::Imap4Rev2,
            Capability::LiteralPlus,
            Capability::Enable,
            Capability::Id,
            Capability::Idle,
            Capability::Namespace,
            Capability::Unselect,
            Capability::UidPlus,
            Capability::Move,
            Capability::Children,
            Capability::SpecialUse,
            Capability::CreateSpecialUse,
            Capability::ListExtended,
            Capability::ListStatus,
            Capability::StatusSize,
            Capability::Esearch,
            Capability::SearchRes,
            Capability::Within,
            Capability::CondStore,
            Capability::Binary,
            Capability::ObjectId,
            Capability::SaveDate,
            Capability::Preview,
        ]
        .into_iter()
        .collect()
    }

    /// Lets passwords cross the network where anybody can read them (RFC 9051, 11.1 forbids it as a default).
    /// For tests, and for streams that are protected by other means.
    pub fn dangerous_allow_plaintext_auth(&mut self) {
        self.plaintext_auth = true;
    }

    /// Whether a password may be sent over a stream of that security.
    pub(crate) fn may_authenticate(&self, tls: bool) -> bool {
        tls || self.plaintext_auth
    }

    /// The mechanisms that may be used now.
    pub(crate) fn mechanisms(&self, security: &Security) -> impl Iterator<Item = &MechanismName> {
        let open = self.may_authenticate(security.is_tls());
        let fits = move |name: &&MechanismName| {
            ServerExchange::supports_over(name, security) && (open || !name.exposes_secret())
        };
        self.mechanisms.iter().filter(fits)
    }

    /// What CAPABILITY says.
    pub(crate) fn listed(&self, security: &Security, logged_in: bool) -> Capabilities {
        let tls = security.is_tls();
        let possible = Self::possible();
        let mut listed: Capabilities =
            self.capabilities.iter().filter(|capability| possible.contains(capability)).cloned().collect();
        if !logged_in {
            if self.start_tls && !tls {
                listed.insert(Capability::StartTls);
            }
            if !self.login || !self.may_authenticate(tls) {
                listed.insert(Capability::LoginDisabled);
            }
            listed.insert(Capability::SaslIr);
            for mechanism in self.mechanisms(security) {
                let name = Atom::new(mechanism.as_str()).expect("mechanism names are atoms");
                listed.insert(Capability::Auth(name));
            }
        }
        let limit = alloc::format!("APPENDLIMIT={}", self.append_limit);
        listed.insert(Capability::Other(Atom::new(&limit).expect("a word, an equals sign and a number")));
        listed
    }
}

/// How much a session puts up with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Buffers of the stream.
    pub link: LinkLimits,
    /// Octets of a command, literals included but for the message of APPEND. Default 64 KiB (RFC 7162, 4 wants 8,192).
    pub command: usize,
    /// Octets of a command, literals included, before login. Default 8,192.
    pub command_before_login: usize,
    /// Literals in one command. Default 100.
    pub literals: u32,
    /// Octets of the name of a mailbox to be made. Default 500.
    pub name: usize,
    /// Levels of the name of a mailbox to be made. Default 32.
    pub levels: usize,
    /// Octets of a base64 line of AUTHENTICATE. Default 12,288 (RFC 4954, 4).
    pub sasl: usize,
    /// Commands before login; with more the session ends. Default 100.
    pub commands_before_login: u32,
    /// Failed logins with which the session ends. Default 5.
    pub logins: u32,
    /// Commands that may be answered BAD; with more the session ends. Default 20.
    pub errors: u32,
    /// Octets of a literal that was refused but is sent without waiting (LITERAL+): so many are read and thrown away,
    /// with more the session ends at once. Default 1 MiB.
    pub drain: u64,
    /// Changes of flags held for a client that sends no command. With more of them, [`Event::Fetch`](super::Event) asks for
    /// the flags when they can be told. Default 1,024.
    pub changes: usize,
    /// How long until somebody is logged in. Default 3 minutes.
    pub login_time: Duration,
    /// Silence of a client that is logged in, IDLE included. Default 30 minutes, the least that RFC 9051, 5.4 allows.
    pub inactive: Duration,
    /// How long a client may be in taking more of what waits to be sent. Default 5 minutes.
    pub stalled: Duration,
    /// Between signs of life during IDLE, which keep middle-boxes from forgetting the connection; `None` for none.
    /// Default 2 minutes.
    pub idle_notice: Option<Duration>,
    /// How long the application may be in answering, or in going on with an answer. Default 60 s.
    pub decision: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            link: LinkLimits::default(),
            command: 64 * 1024,
            command_before_login: 8192,
            literals: 100,
            name: 500,
            levels: 32,
            sasl: 12_288,
            commands_before_login: 100,
            logins: 5,
            errors: 20,
            drain: 1 << 20,
            changes: 1024,
            login_time: Duration::from_secs(3 * 60),
            inactive: Duration::from_secs(30 * 60),
            stalled: Duration::from_secs(5 * 60),
            idle_notice: Some(Duration::from_secs(2 * 60)),
            decision: Duration::from_secs(60),
        }
    }
}
