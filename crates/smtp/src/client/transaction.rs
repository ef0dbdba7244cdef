//! One message on its way out, and what became of it for each recipient.

use super::chunks::Chunks;
use crate::envelope::Envelope;
use crate::wire::{BadBody, BodyType, Capabilities, DataWriter, EnhancedCode, Reply};
use alloc::vec::Vec;
use postrider_core::Misuse;

/// A client's number for a message, as [`Client::send`](super::Client::send) gave it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Transaction(pub(super) u64);

/// What became of a message for one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The server took responsibility.
    Delivered(Reply),
    /// The server refused, for now or for good: see [`Reply::is_transient`].
    Refused {
        /// What it refused.
        at: RefusedAt,
        /// What it said.
        reply: Reply,
    },
    /// The connection was lost after the message and before the server's word: it may or may not have been taken. To
    /// send it again may duplicate it; to report failure may be wrong.
    Unknown,
    /// The message did not go out. The server did not refuse it.
    NotSent(NotSent),
}

impl Outcome {
    /// Whether the server took responsibility.
    pub fn is_delivered(&self) -> bool {
        matches!(self, Self::Delivered(_))
    }
}

/// What the server refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RefusedAt {
    /// MAIL: the sender, or any message now.
    Mail,
    /// RCPT: the recipient.
    Rcpt,
    /// DATA: the message, unseen.
    Data,
    /// The message.
    Message,
}

/// Why a message did not go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotSent {
    /// The session ended before.
    #[error("the session ended before the message was sent")]
    Ended,
    /// The application abandoned it.
    #[error("the message was abandoned")]
    Abandoned,
    /// Its octets may not be sent.
    #[error("the message cannot be sent: {0}")]
    BadBody(BadBody),
    /// The server offers CHUNKING and does not know BDAT. It took nothing. The message can be sent again: this session,
    /// if it goes on, uses DATA; another one needs [`Chunking::WhenNeeded`](super::Chunking::WhenNeeded).
    #[error("the server offers CHUNKING and does not take chunks")]
    ChunksRefused,
}

/// Why [`Client::send`](super::Client::send) sent nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The call has no place now.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// The message is larger than the server takes.
    #[error("the message is larger than the {limit} octets the server takes")]
    TooLarge {
        /// The server's limit, in octets.
        limit: u64,
    },
    /// There are more recipients than the server takes at once. Split the message.
    #[error("there are more recipients than the {limit} the server takes at once")]
    TooManyRecipients {
        /// The server's limit.
        limit: u32,
    },
    /// The server takes no more messages in this session (RFC 9422, MAILMAX). Open another.
    #[error("the server takes no more than {limit} messages in a session")]
    TooManyTransactions {
        /// The server's limit.
        limit: u32,
    },
    /// The message has octets above 127, the server has no 8BITMIME.
    #[error("the message needs 8BITMIME, which the server does not offer")]
    NeedsEightBitMime,
    /// The message needs BINARYMIME, and CHUNKING for it.
    #[error("the message needs BINARYMIME, which the server does not offer")]
    NeedsBinaryMime,
    /// An address is not ASCII, or SMTPUTF8 was asked for; the server does not offer it. Nothing is converted: a domain
    /// can be written in its ASCII form (A-labels) by who composes the envelope, but a message whose header holds such
    /// an address needs SMTPUTF8 all the same, and only its author knows (RFC 6531, 3.2).
    #[error("the message needs SMTPUTF8, which the server does not offer")]
    NeedsSmtpUtf8,
    /// The message may only go on over TLS to a server that promises the same.
    #[error("the message needs REQUIRETLS, which the server does not offer, or TLS is not in place")]
    NeedsRequireTls,
}

impl SendError {
    /// The status code for a report that the message cannot be sent to this server (RFC 3463); `None` if another
    /// session or another division of the recipients may do.
    pub fn status(&self) -> Option<EnhancedCode> {
        let (subject, detail) = match self {
            Self::Misuse(_) | Self::TooManyRecipients { .. } | Self::TooManyTransactions { .. } => return None,
            Self::TooLarge { .. } => (3, 4),
            // RFC 6152, 3: conversion required but not supported.
            Self::NeedsEightBitMime | Self::NeedsBinaryMime => (6, 3),
            // RFC 6531, 3.5.
            Self::NeedsSmtpUtf8 => (6, 7),
            // RFC 8689, 4.2.1.
            Self::NeedsRequireTls => (7, 30),
        };
        Some(EnhancedCode::literal(5, subject, detail))
    }
}

/// Why [`Client::finish`](super::Client::finish) did not end the message as wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FinishError {
    /// The message cannot be sent. After DATA the session is over: nothing but the message's end could follow. With
    /// chunks it goes on.
    #[error("the message cannot be sent: {0}")]
    BadBody(#[from] BadBody),
    /// The session ended before, or the question is another session's.
    #[error(transparent)]
    Stale(#[from] postrider_core::Stale),
}

/// A message on its way out.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) id: Transaction,
    pub(super) envelope: Envelope,
    pub(super) next: Next,
    /// What is known already, for each recipient.
    pub(super) outcomes: Vec<Option<Outcome>>,
    pub(super) accepted: usize,
    pub(super) mail_refused: bool,
    /// Whether the end of the message was written, after which nobody knows until the server says.
    pub(super) ended: bool,
    pub(super) carrier: Carrier,
    pub(super) bad: Option<BadBody>,
    /// Octets given to the link since the message was wanted.
    pub(super) written: u64,
    /// Whether the application was told that there is no room.
    pub(super) waits: bool,
}

/// How a message's octets go out.
#[derive(Debug)]
pub(super) enum Carrier {
    /// After DATA.
    Data(DataWriter),
    /// After BDAT, many times.
    Chunks(Chunks),
}

/// The next command of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    Mail,
    Rcpt(usize),
    Data,
    Nothing,
}

impl Sending {
    pub(super) fn new(id: Transaction, envelope: Envelope, carrier: Carrier) -> Self {
        let outcomes = envelope.recipients.iter().map(|_| None).collect();
        Self {
            id,
            envelope,
            next: Next::Mail,
            outcomes,
            accepted: 0,
            mail_refused: false,
            ended: false,
            carrier,
            bad: None,
            written: 0,
            waits: false,
        }
    }

    /// Settles all recipients that are not.
    //= 2033-5-7
    pub(super) fn settle_rest(&mut self, outcome: &Outcome) {
        for slot in self.outcomes.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(outcome.clone());
        }
    }
}

/// Makes the envelope fit what the server offers, or says why it cannot.
///
/// What only helps the server (SIZE) and what only asks for reports (DSN) is left out where it is not understood.
//= 5321-4.1.1-2
pub(super) fn fit(envelope: &mut Envelope, offered: &Capabilities, tls: bool, chunks: bool) -> Result<(), SendError> {
    if envelope.recipients.is_empty() {
        return Err(Misuse::new("an envelope needs a recipient").into());
    }
    if let Some(limit) = offered.recipients_max
        && envelope.recipients.len() > limit as usize
    {
        return Err(SendError::TooManyRecipients { limit });
    }
    let ascii = envelope.is_ascii();
    let params = &mut envelope.params;
    //= 5321-4.5.3.1.7-3
    match (params.size, offered.size) {
        (Some(size), Some(limit)) if limit != 0 && size > limit => return Err(SendError::TooLarge { limit }),
        (Some(_), None) => params.size = None,
        (Some(_), Some(_)) | (None, _) => {}
    }
    match params.body {
        //= 5321-2.4-3
        Some(BodyType::EightBitMime) if !offered.eight_bit_mime => return Err(SendError::NeedsEightBitMime),
        Some(BodyType::BinaryMime) if !(offered.binary_mime && chunks) => return Err(SendError::NeedsBinaryMime),
        Some(BodyType::SevenBit) if !offered.eight_bit_mime => params.body = None,
        Some(BodyType::SevenBit | BodyType::EightBitMime | BodyType::BinaryMime) | None => {}
    }
    //= 6531-3.4-1, 6531-3.4-3
    params.smtp_utf8 |= !ascii;
    //= 6531-3.2-3, 6531-3.2-4
    if params.smtp_utf8 && !offered.smtp_utf8 {
        return Err(SendError::NeedsSmtpUtf8);
    }
    //= 8689-2-1
    if params.require_tls && !(offered.require_tls && tls) {
        return Err(SendError::NeedsRequireTls);
    }
    if offered.auth.is_empty() {
        params.auth = None;
    }
    //= 3461-5.2.2-1
    if !offered.dsn {
        params.ret = None;
        params.envelope_id = None;
        for recipient in &mut envelope.recipients {
            recipient.params.notify = None;
            recipient.params.original = None;
        }
    }
    Ok(())
}
