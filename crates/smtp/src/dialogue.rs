//! What may follow what: the order of commands, for either side (RFC 5321, 4.1.4; RFC 2033; RFC 3207; RFC 4954).
//!
//! The server refuses by this table, the client guards itself with it, and tests hold it against the wire between any
//! two peers.

use crate::wire::{ReplyClass, Verb};

/// Which of the two protocols is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// SMTP, also as submission.
    Smtp,
    /// LMTP (RFC 2033).
    Lmtp,
}

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Nobody has introduced himself, or not since TLS began.
    Connected,
    /// Between transactions.
    Ready,
    /// MAIL was accepted, no recipient yet.
    Mail,
    /// A recipient was accepted.
    Recipients,
    /// The message is on its way after DATA.
    Body,
    /// The message is on its way in chunks.
    Chunks,
    /// Goodbye was said.
    Over,
}

/// Why a command has no place now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum OutOfOrder {
    /// EHLO, HELO or LHLO comes first.
    #[error("a greeting comes first")]
    HelloFirst,
    /// The extension was not offered, since HELO offers none.
    #[error("EHLO comes first")]
    EhloFirst,
    /// The greeting of the other protocol.
    #[error("this is the other protocol's greeting")]
    OtherProtocol,
    /// MAIL comes first.
    #[error("MAIL comes first")]
    MailFirst,
    /// MAIL within a transaction.
    #[error("a transaction is open")]
    Nested,
    /// DATA or BDAT without a recipient that was accepted.
    #[error("no recipient was accepted")]
    NoRecipient,
    /// STARTTLS when TLS is in place.
    #[error("TLS is in place")]
    AlreadyTls,
    /// AUTH after AUTH succeeded.
    #[error("the client is logged in")]
    AlreadyAuthenticated,
    /// Within the message, nothing is a command.
    #[error("the message is not complete")]
    WithinMessage,
    /// DATA after BDAT.
    #[error("the message comes in chunks")]
    Chunked,
    /// After goodbye.
    #[error("the session is over")]
    Over,
}

/// The state of the conversation that both sides know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Dialogue {
    protocol: Protocol,
    phase: Phase,
    /// EHLO or LHLO, not HELO.
    extended: bool,
    tls: bool,
    authenticated: bool,
}

impl Dialogue {
    /// After the server's greeting. `tls` says whether TLS was there from the start.
    pub fn new(protocol: Protocol, tls: bool) -> Self {
        Self { protocol, phase: Phase::Connected, extended: false, tls, authenticated: false }
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether extensions may be used.
    pub fn is_extended(&self) -> bool {
        self.extended
    }

    /// Whether TLS is in place.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether AUTH succeeded.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Whether MAIL was accepted and its transaction is not over.
    pub fn in_transaction(&self) -> bool {
        match self.phase {
            Phase::Mail | Phase::Recipients | Phase::Body | Phase::Chunks => true,
            Phase::Connected | Phase::Ready | Phase::Over => false,
        }
    }

    /// Whether the command has a place now.
    ///
    /// # Errors
    /// [`OutOfOrder`] says why it has none.
    pub fn may(&self, verb: Verb) -> Result<(), OutOfOrder> {
        match self.phase {
            Phase::Over => return Err(OutOfOrder::Over),
            Phase::Body => return Err(OutOfOrder::WithinMessage),
            Phase::Connected | Phase::Ready | Phase::Mail | Phase::Recipients | Phase::Chunks => {}
        }
        match verb {
            // RFC 5321, 4.1.4: these at any time, the rest after a greeting.
            //= 5321-4.1.4-1
            Verb::Noop | Verb::Help | Verb::Vrfy | Verb::Expn | Verb::Rset | Verb::Quit => Ok(()),
            //= 2033-4.1-1
            Verb::Ehlo | Verb::Helo if self.protocol == Protocol::Lmtp => Err(OutOfOrder::OtherProtocol),
            Verb::Lhlo if self.protocol == Protocol::Smtp => Err(OutOfOrder::OtherProtocol),
            Verb::Ehlo | Verb::Helo | Verb::Lhlo => Ok(()),
            // RFC 3207, 4: once, and never within a transaction.
            //= 3207-4.2-4, 4954-4-3
            Verb::StartTls if self.tls => Err(OutOfOrder::AlreadyTls),
            // RFC 4954, 4: once, and never within a transaction.
            //= 4954-4-2
            Verb::Auth if self.authenticated => Err(OutOfOrder::AlreadyAuthenticated),
            Verb::StartTls | Verb::Auth => match self.phase {
                Phase::Connected => Err(OutOfOrder::HelloFirst),
                Phase::Ready if !self.extended => Err(OutOfOrder::EhloFirst),
                Phase::Ready => Ok(()),
                Phase::Mail | Phase::Recipients | Phase::Body | Phase::Chunks | Phase::Over => Err(OutOfOrder::Nested),
            },
            // RFC 1985, 5: never within a transaction. XCLIENT is as it: Postfix resets the session.
            Verb::Etrn | Verb::Xclient => match self.phase {
                Phase::Connected if verb == Verb::Xclient => Ok(()),
                Phase::Connected => Err(OutOfOrder::HelloFirst),
                Phase::Ready if verb == Verb::Etrn && !self.extended => Err(OutOfOrder::EhloFirst),
                Phase::Ready => Ok(()),
                Phase::Mail | Phase::Recipients | Phase::Body | Phase::Chunks | Phase::Over => Err(OutOfOrder::Nested),
            },
            Verb::Mail => match self.phase {
                Phase::Connected => Err(OutOfOrder::HelloFirst),
                Phase::Ready => Ok(()),
                Phase::Mail | Phase::Recipients | Phase::Body | Phase::Chunks | Phase::Over => Err(OutOfOrder::Nested),
            },
            Verb::Rcpt => match self.phase {
                Phase::Connected => Err(OutOfOrder::HelloFirst),
                //= 5321-3.3-4, 5321-3.3-9
                Phase::Ready => Err(OutOfOrder::MailFirst),
                Phase::Mail | Phase::Recipients => Ok(()),
                Phase::Chunks | Phase::Body | Phase::Over => Err(OutOfOrder::WithinMessage),
            },
            Verb::Bdat | Verb::Burl if self.phase == Phase::Recipients && !self.extended => Err(OutOfOrder::EhloFirst),
            //= 3030-2-1
            Verb::Data | Verb::Bdat | Verb::Burl => match self.phase {
                Phase::Connected => Err(OutOfOrder::HelloFirst),
                //= 3030-2-2
                Phase::Ready => Err(OutOfOrder::MailFirst),
                //= 2920-3.2-3, 2920-3.2-4
                Phase::Mail => Err(OutOfOrder::NoRecipient),
                Phase::Recipients => Ok(()),
                //= 3030-2-8
                // RFC 3030, 2: the two are not mixed.
                Phase::Chunks if verb == Verb::Data => Err(OutOfOrder::Chunked),
                Phase::Chunks | Phase::Body | Phase::Over => Ok(()),
            },
        }
    }

    /// The command was answered. For DATA that is the reply to the command itself; see [`Dialogue::message_over`].
    pub fn replied(&mut self, verb: Verb, class: ReplyClass) {
        let done = class == ReplyClass::Done;
        match verb {
            Verb::Ehlo | Verb::Lhlo | Verb::Helo if done => {
                // RFC 5321, 4.1.4: a new greeting ends the transaction.
                self.phase = Phase::Ready;
                self.extended = verb != Verb::Helo;
            }
            Verb::Mail if done => self.phase = Phase::Mail,
            Verb::Rcpt if done => self.phase = Phase::Recipients,
            Verb::Data if class == ReplyClass::GoOn => self.phase = Phase::Body,
            // A last chunk is answered as the message it ends: see `message_over`.
            Verb::Bdat | Verb::Burl if done => self.phase = Phase::Chunks,
            Verb::Rset if done && self.phase != Phase::Connected => self.phase = Phase::Ready,
            Verb::Quit if done => self.phase = Phase::Over,
            Verb::Auth if done => self.authenticated = true,
            Verb::Xclient if done => *self = Self::new(self.protocol, self.tls),
            Verb::Ehlo | Verb::Lhlo | Verb::Helo | Verb::Mail | Verb::Rcpt | Verb::Data | Verb::Bdat | Verb::Burl => {}
            Verb::Etrn | Verb::Xclient => {}
            Verb::Rset | Verb::Quit | Verb::Auth | Verb::StartTls => {}
            Verb::Noop | Verb::Help | Verb::Vrfy | Verb::Expn => {}
        }
    }

    /// The transaction is over, whatever became of it.
    pub fn message_over(&mut self) {
        self.phase = Phase::Ready;
    }

    /// TLS is in place now. Nothing learnt before is believed (RFC 3207, 4.2).
    //= 3207-4.2-1
    pub fn secured(&mut self) {
        *self = Self::new(self.protocol, true);
    }
}
