//! Why something is done: the rule and where it stands.

use core::fmt;

/// The rule behind an action. `Display` gives the sentence and the section.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Reason {
    // ── where to ──
    /// The first thing asked about a domain.
    ExchangesFirst,
    /// The domain has no exchanges, so it stands for itself.
    ImplicitExchange,
    /// An exchange's addresses are needed.
    ExchangeAddresses,
    /// The configuration names the host.
    ConfiguredRelay,
    /// The recipient's domain is an address.
    AddressLiteral,
    /// The best exchange, or one drawn among equals.
    BestExchange,
    /// All better hosts failed for now.
    NextExchange,
    /// Another address of the same host.
    NextAddress,
    /// More recipients, or more of them than the server takes at once, for the same host.
    NextGroup,
    /// The handshake failed where encryption was only wished for.
    ClearAfterTlsFailure,
    // ── what was left out ──
    /// We are in the list: this preference and all worse would come back to us.
    OurselvesInList,
    /// A null MX beside real ones says nothing.
    NullExchangeIgnored,
    /// An exchange that is an address, `localhost`, or not a host name.
    ExchangeUnusable,
    /// An address that cannot be another host: loopback, unspecified, multicast.
    AddressUnusable,
    /// More exchanges or addresses than the limit.
    ListCut,
    /// A lookup failed for now, and the others suffice.
    LookupFailed,
    // ── what became of a recipient ──
    /// The domain does not exist.
    NoSuchDomain,
    /// The domain says that it takes no mail.
    NullExchange,
    /// Neither exchanges nor addresses.
    NoAddress,
    /// Exchanges, but none that could be used.
    NoUsableExchange,
    /// All that is left in the list is ourselves.
    Loop,
    /// The DNS cannot say now.
    DnsTransient,
    /// The configured relay cannot be found; that is ours to mend, not the sender's.
    RelayNotFound,
    /// The server took it.
    Accepted,
    /// A 5yz reply to MAIL, RCPT, DATA or the message.
    PermanentReply,
    /// A 4yz reply.
    TransientReply,
    /// A 4yz reply that says to come back, as greylisting does.
    Greylisted,
    /// The server takes no more recipients in this transaction.
    TooManyRecipients,
    /// No host could be reached, or none would talk.
    NoHostAnswered,
    /// The connection was lost after the message was sent and before the reply: it may have arrived.
    OutcomeUnknown,
    /// The outcome was unknown a second time.
    OutcomeUnknownTwice,
    /// The message needs an extension that the server does not have.
    ExtensionMissing,
    /// The message may only go over verified TLS, and there is no such way.
    EncryptionNeeded,
    /// The message's octets may not be sent.
    MessageUnfit,
    /// The message is older than the schedule allows.
    Expired,
    /// It will be tried again.
    RetryLater,
}

impl Reason {
    /// The rule, as a sentence.
    pub fn rule(self) -> &'static str {
        match self {
            Self::ExchangesFirst => "the domain's exchanges are looked up first",
            Self::ImplicitExchange => "a domain without exchanges is its own exchange",
            Self::ExchangeAddresses => "the exchange's addresses are looked up",
            Self::ConfiguredRelay => "the configuration names this host",
            Self::AddressLiteral => "the recipient's domain is an address",
            Self::BestExchange => "the lowest preference goes first, equals in random order",
            Self::NextExchange => "all better exchanges failed for now",
            Self::NextAddress => "the host's addresses are tried in order",
            Self::NextGroup => "the remaining recipients follow in another transaction",
            Self::ClearAfterTlsFailure => "encryption was wished for, not required, and its handshake failed",
            Self::OurselvesInList => "our own exchange and all that are not better are left out",
            Self::NullExchangeIgnored => "a null MX beside other exchanges is ignored",
            Self::ExchangeUnusable => "an exchange must be a host name",
            Self::AddressUnusable => "this address cannot be another host",
            Self::ListCut => "the list is longer than the limit",
            Self::LookupFailed => "a lookup failed for now; the others suffice",
            Self::NoSuchDomain => "the domain does not exist",
            Self::NullExchange => "the domain accepts no mail",
            Self::NoAddress => "the domain has neither exchanges nor addresses",
            Self::NoUsableExchange => "none of the domain's exchanges can be used",
            Self::Loop => "the domain's best exchange is this host, which does not accept mail for it",
            Self::DnsTransient => "the domain could not be looked up now",
            Self::RelayNotFound => "the configured relay could not be looked up",
            Self::Accepted => "the server took responsibility",
            Self::PermanentReply => "the server refused for good",
            Self::TransientReply => "the server refused for now",
            Self::Greylisted => "the server asks to come back later",
            Self::TooManyRecipients => "the server takes no more recipients at once",
            Self::NoHostAnswered => "no host accepted a connection and spoke SMTP",
            Self::OutcomeUnknown => "the connection was lost after the message was sent: it may have arrived",
            Self::OutcomeUnknownTwice => "the outcome was unknown twice; a third copy is not sent",
            Self::ExtensionMissing => "the message needs an extension that the server lacks",
            Self::EncryptionNeeded => "the message may only go over verified TLS, and there is no such way",
            Self::MessageUnfit => "the message holds what no server should be sent",
            Self::Expired => "the message could not be delivered in the time allowed",
            Self::RetryLater => "what failed for now is tried again",
        }
    }

    /// Where the rule stands, such as `RFC 5321, 5.1`; `None` if it is ours.
    pub fn source(self) -> Option<&'static str> {
        Some(match self {
            Self::ExchangesFirst
            | Self::ImplicitExchange
            | Self::ExchangeAddresses
            | Self::BestExchange
            | Self::NextExchange
            | Self::NextAddress
            | Self::OurselvesInList
            | Self::ExchangeUnusable
            | Self::NoSuchDomain
            | Self::NoAddress
            | Self::NoUsableExchange
            | Self::Loop
            | Self::DnsTransient
            | Self::ListCut => "RFC 5321, 5.1",
            Self::AddressLiteral => "RFC 5321, 4.1.3",
            Self::NullExchange | Self::NullExchangeIgnored => "RFC 7505, 3",
            Self::ClearAfterTlsFailure => "RFC 7435, 3",
            Self::NextGroup | Self::TooManyRecipients => "RFC 5321, 4.5.3.1.10",
            Self::Accepted => "RFC 5321, 6.1",
            Self::PermanentReply | Self::TransientReply => "RFC 5321, 4.2.1",
            Self::Greylisted => "RFC 6647, 2",
            Self::NoHostAnswered | Self::Expired | Self::RetryLater => "RFC 5321, 4.5.4.1",
            Self::OutcomeUnknown | Self::OutcomeUnknownTwice => "RFC 1047, 3",
            Self::ExtensionMissing => "RFC 6531, 3.2",
            Self::EncryptionNeeded => "RFC 8689, 4.2.1",
            Self::MessageUnfit => "RFC 5321, 2.3.8",
            Self::ConfiguredRelay | Self::AddressUnusable | Self::LookupFailed | Self::RelayNotFound => return None,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule())?;
        match self.source() {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}
