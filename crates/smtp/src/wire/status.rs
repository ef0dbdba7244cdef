//! The registry of enhanced status codes: what each one says (RFC 3463; RFC 5248 and IANA's registry after it).

use super::EnhancedCode;

macro_rules! registry {
    ($($name:ident = $subject:literal $detail:literal, $rfc:literal, $title:literal;)*) => {
        /// What an enhanced status code says, whatever its class (RFC 5248, 2).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum Status {$(
            #[doc = concat!("X.", stringify!($subject), ".", stringify!($detail), ": ", $title, " (RFC ", stringify!($rfc), ").")]
            $name,
        )*}

        impl Status {
            /// All that are registered, by number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What a code says, if it is registered.
            pub const fn of(code: EnhancedCode) -> Option<Self> {
                match (code.subject(), code.detail()) {
                    $(($subject, $detail) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The code's last two numbers: subject and detail.
            pub const fn numbers(self) -> (u16, u16) {
                match self {
                    $(Self::$name => ($subject, $detail),)*
                }
            }

            /// The registered name, in English.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }

            /// The number of the RFC that registered it.
            pub const fn rfc(self) -> u16 {
                match self {
                    $(Self::$name => $rfc,)*
                }
            }
        }
    };
}

registry! {
    Other = 0 0, 3463, "Other undefined status";
    OtherAddress = 1 0, 3463, "Other address status";
    BadMailbox = 1 1, 3463, "Bad destination mailbox address";
    BadSystem = 1 2, 3463, "Bad destination system address";
    BadMailboxSyntax = 1 3, 3463, "Bad destination mailbox address syntax";
    AmbiguousMailbox = 1 4, 3463, "Destination mailbox address ambiguous";
    ValidAddress = 1 5, 3463, "Destination address valid";
    MailboxMoved = 1 6, 3463, "Destination mailbox has moved, no forwarding address";
    BadSenderSyntax = 1 7, 3463, "Bad sender's mailbox address syntax";
    BadSenderSystem = 1 8, 3463, "Bad sender's system address";
    RelayedToNonCompliant = 1 9, 3886, "Message relayed to non-compliant mailer";
    RecipientNullMx = 1 10, 7505, "Recipient address has null MX";
    OtherMailbox = 2 0, 3463, "Other or undefined mailbox status";
    MailboxDisabled = 2 1, 3463, "Mailbox disabled, not accepting messages";
    MailboxFull = 2 2, 3463, "Mailbox full";
    MessageOverLimit = 2 3, 3463, "Message length exceeds administrative limit";
    ListExpansion = 2 4, 3463, "Mailing list expansion problem";
    OtherSystem = 3 0, 3463, "Other or undefined mail system status";
    SystemFull = 3 1, 3463, "Mail system full";
    NotAcceptingMessages = 3 2, 3463, "System not accepting network messages";
    FeatureMissing = 3 3, 3463, "System not capable of selected features";
    MessageTooBig = 3 4, 3463, "Message too big for system";
    Misconfigured = 3 5, 3463, "System incorrectly configured";
    PriorityChanged = 3 6, 6710, "Requested priority was changed";
    OtherNetwork = 4 0, 3463, "Other or undefined network or routing status";
    NoAnswer = 4 1, 3463, "No answer from host";
    BadConnection = 4 2, 3463, "Bad connection";
    DirectoryFailure = 4 3, 3463, "Directory server failure";
    Unroutable = 4 4, 3463, "Unable to route";
    Congestion = 4 5, 3463, "Mail system congestion";
    RoutingLoop = 4 6, 3463, "Routing loop detected";
    TimeExpired = 4 7, 3463, "Delivery time expired";
    OtherProtocol = 5 0, 3463, "Other or undefined protocol status";
    InvalidCommand = 5 1, 3463, "Invalid command";
    SyntaxError = 5 2, 3463, "Syntax error";
    TooManyRecipients = 5 3, 3463, "Too many recipients";
    InvalidArguments = 5 4, 3463, "Invalid command arguments";
    WrongVersion = 5 5, 3463, "Wrong protocol version";
    AuthLineTooLong = 5 6, 4954, "Authentication exchange line is too long";
    OtherMedia = 6 0, 3463, "Other or undefined media error";
    MediaNotSupported = 6 1, 3463, "Media not supported";
    ConversionProhibited = 6 2, 3463, "Conversion required and prohibited";
    ConversionNotSupported = 6 3, 3463, "Conversion required but not supported";
    ConversionWithLoss = 6 4, 3463, "Conversion with loss performed";
    ConversionFailed = 6 5, 3463, "Conversion failed";
    ContentNotAvailable = 6 6, 4468, "Message content not available";
    NonAsciiAddress = 6 7, 6531, "Non-ASCII addresses not permitted for that sender/recipient";
    Utf8ReplyRequired = 6 8, 6531, "UTF-8 string reply is required, but not permitted by the SMTP client";
    Utf8HeaderNotTransferable = 6 9, 6531, "UTF-8 header message cannot be transferred to one or more recipients";
    Utf8ReplyRequiredDuplicate = 6 10, 6531, "Duplicate of X.6.8, deprecated";
    OtherSecurity = 7 0, 3463, "Other or undefined security status";
    NotAuthorized = 7 1, 3463, "Delivery not authorized, message refused";
    ListExpansionProhibited = 7 2, 3463, "Mailing list expansion prohibited";
    SecurityConversion = 7 3, 3463, "Security conversion required but not possible";
    SecurityNotSupported = 7 4, 3463, "Security features not supported";
    CryptographicFailure = 7 5, 3463, "Cryptographic failure";
    AlgorithmNotSupported = 7 6, 3463, "Cryptographic algorithm not supported";
    IntegrityFailure = 7 7, 3463, "Message integrity failure";
    CredentialsInvalid = 7 8, 4954, "Authentication credentials invalid";
    MechanismTooWeak = 7 9, 4954, "Authentication mechanism is too weak";
    EncryptionNeeded = 7 10, 5248, "Encryption needed";
    EncryptionForMechanism = 7 11, 4954, "Encryption required for requested authentication mechanism";
    PasswordTransition = 7 12, 4954, "A password transition is needed";
    AccountDisabled = 7 13, 5248, "User account disabled";
    TrustRequired = 7 14, 5248, "Trust relationship required";
    PriorityTooLow = 7 15, 6710, "Priority level is too low";
    TooBigForPriority = 7 16, 6710, "Message is too big for the specified priority";
    MailboxOwnerChanged = 7 17, 7293, "Mailbox owner has changed";
    DomainOwnerChanged = 7 18, 7293, "Domain owner has changed";
    OwnerUnknown = 7 19, 7293, "RRVS test cannot be completed";
    NoPassingDkim = 7 20, 7372, "No passing DKIM signature found";
    NoAcceptableDkim = 7 21, 7372, "No acceptable DKIM signature found";
    NoMatchingDkim = 7 22, 7372, "No valid author-matched DKIM signature found";
    SpfFailed = 7 23, 7372, "SPF validation failed";
    SpfError = 7 24, 7372, "SPF validation error";
    ReverseDnsFailed = 7 25, 7372, "Reverse DNS validation failed";
    SeveralChecksFailed = 7 26, 7372, "Multiple authentication checks failed";
    SenderNullMx = 7 27, 7505, "Sender address has null MX";
    MailFlood = 7 28, 5248, "Mail flood detected";
    ArcFailed = 7 29, 8617, "ARC validation failed";
    RequireTlsRequired = 7 30, 8689, "REQUIRETLS support required";
}

impl Status {
    /// The code of class 2: it succeeded.
    pub const fn success(self) -> EnhancedCode {
        self.code(2)
    }

    /// The code of class 4: not now.
    pub const fn transient(self) -> EnhancedCode {
        self.code(4)
    }

    /// The code of class 5: no.
    pub const fn permanent(self) -> EnhancedCode {
        self.code(5)
    }

    const fn code(self, class: u8) -> EnhancedCode {
        let (subject, detail) = self.numbers();
        EnhancedCode::literal(class, subject, detail)
    }
}

impl EnhancedCode {
    /// What it says, if it is registered.
    pub const fn status(self) -> Option<Status> {
        Status::of(self)
    }
}
