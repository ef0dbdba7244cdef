//! How a server behaves, and how much it takes.

use super::Network;
use crate::address::HelloName;
use crate::wire::{BareNewlines, Capabilities, Extension, FutureRelease, Quirks, Solicitation, Words};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use postrider_core::{LinkLimits, Security, Text};
use postrider_sasl::{MechanismName, ServerExchange};

/// What the server is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Role {
    /// Takes mail from other hosts: an MX, or a relay. Nobody needs to log in.
    #[default]
    Relay,
    /// Takes mail from users, who must log in first (RFC 6409, 4.3).
    Submission,
    /// Delivers, and answers for each recipient (RFC 2033).
    Lmtp,
}

/// When TLS begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Tls {
    /// Never.
    #[default]
    Off,
    /// When the client says STARTTLS (RFC 3207).
    Offered,
    /// When the client says STARTTLS, without which it can neither send mail nor log in.
    Required,
    /// Before the first octet (RFC 8314).
    Implicit,
}

/// How a server behaves. Shared by all its sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The server's own name, in its greetings.
    pub name: HelloName,
    /// What follows the name in the greeting. Default `ESMTP`, `LMTP` for that role.
    pub banner: Text,
    /// What the server is for. Default [`Role::Relay`].
    pub role: Role,
    /// When TLS begins. Default [`Tls::Off`].
    pub tls: Tls,
    /// The mechanisms offered, in this order (RFC 4954). Default none. Those that
    /// [cannot be offered](ServerExchange::supports_over) on a connection are left out there. SCRAM brings
    /// [`Event::Scram`](super::Event::Scram), CRAM-MD5 [`Event::Challenge`](super::Event::Challenge).
    pub auth: Vec<MechanismName>,
    /// How many RCPT may be undecided at once; replies keep their order. Default 1.
    pub undecided: usize,
    /// Whether EHLO, HELO and LHLO are put to the application. Default false: all are accepted.
    pub ask_hello: bool,
    /// Whether VRFY is put to the application. Default false: the answer is 252 (RFC 5321, 3.5.3).
    pub ask_verify: bool,
    /// Offers EXPN, which is put to the application (RFC 5321, 3.5). Default false: who is on a list is told to nobody.
    pub ask_expand: bool,
    /// Offers SMTPUTF8 (RFC 6531). Default true. The application then sees addresses with UTF-8.
    pub smtp_utf8: bool,
    /// Offers DSN (RFC 3461). Default false: whoever offers it promises reports.
    pub dsn: bool,
    /// Offers REQUIRETLS over TLS (RFC 8689). Default false: whoever offers it promises to obey.
    pub require_tls: bool,
    /// Offers CHUNKING (RFC 3030): messages in chunks look as all others do, and [`Event::Data`](super::Event::Data) comes
    /// with the first chunk. Default false.
    pub chunking: bool,
    /// Offers BINARYMIME (RFC 3030), with CHUNKING only. Default false: whoever offers it takes messages of any octets,
    /// which most other servers do not.
    pub binary_mime: bool,
    /// Offers DELIVERBY (RFC 2852), with the shortest time in seconds for returning messages, or 0. Default `None`: the
    /// application has to obey.
    pub deliver_by: Option<u32>,
    /// Offers FUTURERELEASE (RFC 4865), with how long messages may be held. Default `None`: the application has to hold
    /// them.
    pub future_release: Option<FutureRelease>,
    /// Offers MT-PRIORITY (RFC 6710), with the name of a profile or none. Default `None`: the application has to obey.
    pub mt_priority: Option<Words>,
    /// Offers NO-SOLICITING (RFC 3865). Default false.
    pub no_soliciting: bool,
    /// Classes of solicitation that are refused for all recipients, and said so with NO-SOLICITING. Default `None`.
    pub unwanted: Option<Solicitation>,
    /// Offers RRVS (RFC 7293). Default false: the application has to know since when a mailbox has had its owner.
    pub rrvs: bool,
    /// Offers ETRN (RFC 1985), which is put to the application. Default false.
    pub etrn: bool,
    /// Offers BURL (RFC 4468) to clients that are logged in, for these kinds of URL: `imap`, or `imap://` and a host.
    /// Default `None`: the application has to fetch them.
    pub burl: Option<Words>,
    /// From where connections begin with a PROXY header, which then says who the client is. Default none. Only sessions
    /// made by [`Server::with_peer`](super::Server::with_peer) know where they come from.
    pub proxies: Vec<Network>,
    /// Who may use XCLIENT to say who the client is. Default none.
    pub xclient: Vec<Network>,
    /// Whether a message that one of its recipients had before, going by `Delivered-To`, is in a loop and refused.
    /// Default true.
    pub delivered_to: bool,
    /// Extensions besides these, as they are offered.
    pub extensions: Vec<Extension>,
    /// The keywords of MAIL and RCPT parameters that those extensions bring; all other unknown ones are refused.
    pub parameters: Vec<String>,
    /// What becomes of messages with CR or LF alone. Default [`BareNewlines::Refuse`].
    pub bare_newlines: BareNewlines,
    /// Whether messages are taken whose lines are longer than RFC 5321, 4.5.3.1.6 lets them be. Default true, since many
    /// are sent: whoever passes them on must break their lines or encode them.
    pub long_lines: bool,
    /// Bad grammar to put up with. Default none.
    pub quirks: Quirks,
    /// How much the server takes.
    pub limits: Limits,
    plaintext_auth: bool,
}

impl Config {
    /// A relay of this name, with every other field at its default.
    pub fn new(name: HelloName) -> Self {
        Self {
            name,
            banner: Text::literal("ESMTP"),
            role: Role::Relay,
            tls: Tls::Off,
            auth: Vec::new(),
            undecided: 1,
            ask_hello: false,
            ask_verify: false,
            ask_expand: false,
            smtp_utf8: true,
            dsn: false,
            require_tls: false,
            chunking: false,
            binary_mime: false,
            deliver_by: None,
            future_release: None,
            mt_priority: None,
            no_soliciting: false,
            unwanted: None,
            rrvs: false,
            etrn: false,
            burl: None,
            proxies: Vec::new(),
            xclient: Vec::new(),
            delivered_to: true,
            extensions: Vec::new(),
            parameters: Vec::new(),
            bare_newlines: BareNewlines::Refuse,
            long_lines: true,
            quirks: Quirks::NONE,
            limits: Limits::default(),
            plaintext_auth: false,
        }
    }

    /// A submission server of this name: users log in by PLAIN or LOGIN, after `tls` began.
    //= 4954-4-19
    pub fn submission(name: HelloName, tls: Tls) -> Self {
        let auth = [MechanismName::Plain, MechanismName::Login].into();
        Self { role: Role::Submission, tls, auth, ..Self::new(name) }
    }

    /// An LMTP server of this name.
    pub fn lmtp(name: HelloName) -> Self {
        Self { role: Role::Lmtp, banner: Text::literal("LMTP"), ..Self::new(name) }
    }

    /// Lets passwords be sent without TLS, for all on the path to read.
    #[must_use]
    pub fn dangerous_allow_plaintext_auth(mut self) -> Self {
        self.plaintext_auth = true;
        self
    }

    /// Whether a mechanism may be used now.
    //= 4954-4-18, 4954-9-2, 4954-6-4, 4422-6.1.2-1, 4422-6.1.2-2
    pub(super) fn permits(&self, mechanism: &MechanismName, tls: bool) -> bool {
        tls || self.plaintext_auth || !mechanism.exposes_secret()
    }

    /// The mechanisms that may be used over such a stream.
    pub(super) fn mechanisms(&self, security: &Security) -> Vec<MechanismName> {
        let tls = security.is_tls();
        let auth = if self.tls == Tls::Required && !tls { &[] } else { &self.auth[..] };
        let usable = |m: &&MechanismName| self.permits(m, tls) && ServerExchange::supports_over(m, security);
        auth.iter().filter(usable).cloned().collect()
    }

    /// What is offered over such a stream, besides what depends on who the client is.
    pub(super) fn capabilities(&self, security: &Security) -> Capabilities {
        let tls = security.is_tls();
        // RFC 9422, 4: six digits, and not 0.
        let sayable = |limit: &u32| (1..=999_999).contains(limit);
        Capabilities {
            //= 2033-5-1
            pipelining: true,
            //= 5321-4.5.3.1.7-2
            size: Some(self.limits.message),
            //= 5321-2.4-6, 2033-5-2, 6531-3.1-3
            eight_bit_mime: true,
            smtp_utf8: self.smtp_utf8,
            enhanced_status_codes: true,
            dsn: self.dsn,
            //= 3207-4.2-5
            start_tls: matches!(self.tls, Tls::Offered | Tls::Required) && !tls,
            //= 8689-2-4
            require_tls: self.require_tls && tls,
            auth: self.mechanisms(security),
            recipients_max: u32::try_from(self.limits.recipients).ok().filter(sayable),
            transactions_max: Some(self.limits.transactions).filter(sayable),
            recipient_domains_max: self.limits.recipient_domains.filter(sayable),
            chunking: self.chunking,
            binary_mime: self.chunking && self.binary_mime,
            deliver_by: self.deliver_by,
            future_release: self.future_release.clone(),
            mt_priority: self.mt_priority.clone(),
            no_soliciting: self.no_soliciting,
            unwanted: self.unwanted.clone(),
            rrvs: self.rrvs,
            etrn: self.etrn,
            //= 5321-3.5.2-2
            other: self
                .ask_expand
                .then(|| Extension::new("EXPN", ""))
                .flatten()
                .into_iter()
                .chain(self.extensions.iter().cloned())
                .collect(),
            ..Capabilities::default()
        }
    }
}

/// How much a server takes from one client. All defaults are at or above what RFC 5321, 4.5.3 asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Octets buffered in each direction.
    pub link: LinkLimits,
    /// Octets of a command line but AUTH, without CRLF. Default 2,048 (RFC minimum 510, more with parameters).
    pub command_line: usize,
    /// Octets of a command line that is too long that are read and dropped, to answer 500 and go on after it, before the
    /// session is closed. Default 1 MiB.
    pub line_excess: u64,
    /// Octets of an AUTH line or of a response to a challenge, without CRLF. Default 12,288 (RFC 4954, 4).
    pub auth_line: usize,
    /// Octets of a line in a message, without CRLF, above which the message is refused whatever the policy is. Default
    /// 65,536 (RFC minimum 998).
    pub text_line: usize,
    /// The same where [`Config::long_lines`] is false. Default 998: with CRLF, the 1,000 of RFC 5321, 4.5.3.1.6.
    pub text_line_policy: usize,
    /// Different domains among the recipients accepted in one session, from 1 to 999,999; offered as RCPTDOMAINMAX (RFC
    /// 9422, 4.3). Default `None`: no limit but that of recipients.
    pub recipient_domains: Option<u32>,
    /// Recipients of one message. Default 1,000 (RFC minimum 100).
    pub recipients: usize,
    /// Recipients above that limit that are answered 452 before the session is closed. Default 1,000.
    pub recipients_excess: usize,
    /// MAIL and RCPT in one session that are refused though there is nothing wrong with them, and commands that are
    /// because one before them was, before the session is closed. Default 1,000.
    pub refused: u32,
    /// Messages in one session. Default 100.
    pub transactions: u32,
    /// Octets of a message. Default 50 MiB (RFC minimum 64 KiB).
    pub message: u64,
    /// Octets above that limit that are read and dropped, to answer 552 in its place, before the session is closed.
    /// Default 64 MiB.
    pub message_excess: u64,
    /// Chunks of one message, sent with BDAT or named with BURL. Default 65,536.
    pub chunks: u32,
    /// Octets of a PROXY header of version 2. Default 4,096. Version 1 has a limit of its own, 107.
    pub proxy_header: usize,
    /// Octets of a message's header. Default 256 KiB.
    pub header: u64,
    /// `Received` fields in a message's header, above which it is in a loop (RFC 5321, 6.3). Default 50.
    pub hops: u32,
    /// Errors after which each further one is followed by a delay of `error_delay`. Default 10.
    pub errors_soft: u32,
    /// Errors after which the session is closed. Default 20.
    pub errors_hard: u32,
    /// The delay after an error beyond `errors_soft`, and after each failed login. Default 1 s.
    pub error_delay: Duration,
    /// NOOP, RSET, VRFY, EXPN, HELP, ETRN and XCLIENT between two accepted MAIL. Default 20.
    pub idle_commands: u32,
    /// EHLO, HELO and LHLO in one session, counted anew after STARTTLS. Default 5.
    pub hellos: u32,
    /// Failed logins in one session. Default 3.
    pub auth_failures: u32,
    /// Challenges in one login. Default 10.
    pub auth_rounds: u32,
    /// How long the greeting waits. A client that speaks first is refused, so a delay exposes those that do not listen.
    /// Default 0: no delay, no check.
    pub greeting_delay: Duration,
    /// How long the client may take for a command, or for the TLS handshake. Default 5 min (RFC 5321, 4.5.3.2.7).
    pub command: Duration,
    /// How long the rest of a line is waited for that holds LF without CR, before it is refused as it stands: its client
    /// may think that it has ended. Default 1 s.
    pub newline: Duration,
    /// How long the client may send nothing of a message. Default 3 min (RFC 5321, 4.5.3.2.5).
    pub block: Duration,
    /// Octets that must come in each `rate_window` of a message, in however many chunks. Default 64.
    pub rate: u64,
    /// See `rate`. Default 5 min, and never less than `block` and `command`, so that whoever sends nothing for as long as
    /// they allow is not too slow.
    pub rate_window: Duration,
    /// How long the application may take to answer a question, before the session answers 451. Default 5 min, half of
    /// what clients wait for the answer to a message (RFC 5321, 4.5.3.2.6).
    pub decision: Duration,
    /// How long a session may last. It is closed then, between two commands or within a message or login, but not while
    /// the application is asked. Default 1 h.
    pub session: Duration,
}

impl Limits {
    /// How long the windows are in which `rate` octets must come.
    pub(super) fn window(&self) -> Duration {
        self.rate_window.max(self.block).max(self.command)
    }

    /// Octets of a line in a message, without CRLF.
    pub(super) fn line(&self, long_lines: bool) -> usize {
        if long_lines { self.text_line } else { self.text_line.min(self.text_line_policy) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            link: LinkLimits::default(),
            //= 5321-4.5.3.1.4-1, 3461-5.4-2
            command_line: 2048,
            line_excess: 1 << 20,
            //= 4954-4-13, 4616-2-1
            auth_line: 12_288,
            //= 5321-4.5.3.1.6-1
            text_line: 65_536,
            text_line_policy: 998,
            //= 5321-4.5.3.1.8-1
            recipient_domains: None,
            recipients: 1000,
            recipients_excess: 1000,
            refused: 1000,
            transactions: 100,
            //= 5321-4.5.3.1.7-1
            message: 50 << 20,
            message_excess: 64 << 20,
            chunks: 65_536,
            proxy_header: 4096,
            header: 256 << 10,
            hops: 50,
            errors_soft: 10,
            errors_hard: 20,
            error_delay: Duration::from_secs(1),
            idle_commands: 20,
            hellos: 5,
            //= 4954-9-1
            auth_failures: 3,
            auth_rounds: 10,
            greeting_delay: Duration::ZERO,
            //= 5321-4.5.3.2.7-1
            command: Duration::from_secs(5 * 60),
            newline: Duration::from_secs(1),
            block: Duration::from_secs(3 * 60),
            rate: 64,
            rate_window: Duration::from_secs(5 * 60),
            decision: Duration::from_secs(5 * 60),
            session: Duration::from_secs(60 * 60),
        }
    }
}
