//! One message on its way out, and what became of it for each recipient.

use super::chunks::Chunks;
use crate::address::{Host, Mailbox};
use crate::envelope::{Envelope, Recipient};
use crate::wire::{BadBody, BodyType, ByMode, Capabilities, DataWriter, EnhancedCode, RcptParams, Reply, Unsupported};
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
    /// There are more domains among the recipients of this session than the server takes (RFC 9422, RCPTDOMAINMAX): send it
    /// over another session, divided if it is the first message of this one.
    #[error("there are more domains among the recipients than the {limit} the server takes in a session")]
    TooManyDomains {
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
    //= 3030-3-4, 3030-3-5
    #[error("the message needs BINARYMIME, which the server does not offer")]
    NeedsBinaryMime,
    /// An address is not ASCII, or SMTPUTF8 was asked for; the server does not offer it. Nothing is converted: a domain
    /// can be written in its ASCII form (A-labels) by who composes the envelope, but a message whose header holds such
    /// an address needs SMTPUTF8 all the same, and only its author knows (RFC 6531, 3.2).
    #[error("the message needs SMTPUTF8, which the server does not offer")]
    NeedsSmtpUtf8,
    /// The message must be returned if it is not delivered in time, and the server does not offer DELIVERBY, or not for so
    /// short a time (RFC 2852, 4).
    #[error("the message must be delivered in time or returned, which the server does not offer")]
    NeedsDeliverBy,
    /// The message is to be held, and the server does not offer FUTURERELEASE, or not for so long (RFC 4865, 4).
    #[error("the message is to be held for longer than the server offers")]
    NeedsFutureRelease,
    /// A mailbox must have had the same owner since a certain time, and the server does not offer RRVS (RFC 7293, 5.2).
    #[error("a recipient needs RRVS, which the server does not offer")]
    NeedsRrvs,
    /// The message solicits what the server wants from nobody (RFC 3865, 2.3).
    #[error("the message solicits what the server does not want")]
    Unsolicited,
    /// Parts of the message are to be fetched by their URLs, and the server does not offer BURL, or not for such URLs, or
    /// not before a login (RFC 4468, 3.1).
    #[error("the message needs BURL for its URLs, which the server does not offer")]
    NeedsBurl,
    /// Octets are to go out beside URLs, and the server does not offer CHUNKING (RFC 4468, 3.2).
    #[error("the message needs CHUNKING beside BURL, which the server does not offer")]
    NeedsChunking,
    /// The message's octets cannot be sent. Only of [`Client::send_parts`](super::Client::send_parts), which knows them.
    #[error("the message cannot be sent: {0}")]
    BadBody(#[from] BadBody),
    /// The message may only go on over TLS to a server that promises the same.
    #[error(
        "the message needs REQUIRETLS, which the server does not offer, or it is not there over TLS with a certificate that was verified"
    )]
    NeedsRequireTls,
}

impl SendError {
    /// The status code for a report that the message cannot be sent to this server (RFC 3463); `None` if another
    /// session, another division of the recipients or another way to give the message may do.
    pub fn status(&self) -> Option<EnhancedCode> {
        let (subject, detail) = match self {
            Self::Misuse(_)
            | Self::TooManyRecipients { .. }
            | Self::TooManyDomains { .. }
            | Self::TooManyTransactions { .. }
            | Self::NeedsBurl
            | Self::NeedsChunking => return None,
            Self::BadBody(_) => (6, 0),
            Self::TooLarge { .. } => (3, 4),
            // RFC 6152, 3: conversion required but not supported.
            Self::NeedsEightBitMime | Self::NeedsBinaryMime => (6, 3),
            // RFC 6531, 3.5.
            Self::NeedsSmtpUtf8 => (6, 7),
            // RFC 8689, 4.2.1.
            Self::NeedsRequireTls => (7, 30),
            Self::NeedsDeliverBy | Self::NeedsFutureRelease => (3, 3),
            // RFC 7293, 14.3.
            Self::NeedsRrvs => (7, 19),
            Self::Unsolicited => (7, 1),
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
    /// Whether more recipients may be added.
    pub(super) open: bool,
    /// Whether RSET comes next, whatever was accepted.
    pub(super) cancelled: bool,
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
            open: false,
            cancelled: false,
            ended: false,
            carrier,
            bad: None,
            written: 0,
            waits: false,
        }
    }

    /// What comes when so many recipients were told.
    pub(super) fn after(&self, told: usize) -> Next {
        if self.open || told < self.envelope.recipients.len() { Next::Rcpt(told) } else { Next::Data }
    }

    /// Settles all recipients that are not.
    //= 2033-5-7
    pub(super) fn settle_rest(&mut self, outcome: &Outcome) {
        for slot in self.outcomes.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(outcome.clone());
        }
    }
}

/// The domains that the session has named when these recipients are, if the server limits them: over the whole session,
/// not in each transaction (RFC 9422, 4.3).
pub(super) fn domains(
    named: &[Option<Host>],
    recipients: &[Recipient],
    offered: &Capabilities,
) -> Result<Vec<Option<Host>>, SendError> {
    let Some(limit) = offered.recipient_domains_max else { return Ok(Vec::new()) };
    let mut met = named.to_vec();
    for host in recipients.iter().map(|recipient| recipient.to.mailbox().map(Mailbox::host)) {
        if !met.contains(&host) {
            met.push(host);
        }
    }
    if met.len() > limit as usize {
        return Err(SendError::TooManyDomains { limit });
    }
    Ok(met)
}

/// Makes the envelope fit what the server offers, or says why it cannot.
///
//= 5321-4.1.1-2
/// What only helps the server (SIZE), what only asks for reports (DSN, and DELIVERBY that does not return the message) and
/// what is a wish (MT-PRIORITY, SOLICIT) is left out where it is not understood.
pub(super) fn fit(
    envelope: &mut Envelope,
    offered: &Capabilities,
    verified: bool,
    chunks: bool,
) -> Result<(), SendError> {
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
    if params.require_tls && !(offered.require_tls && verified) {
        return Err(SendError::NeedsRequireTls);
    }
    if offered.auth.is_empty() {
        params.auth = None;
    }
    //= 3461-5.2.2-1
    if let Some(by) = params.deliver_by {
        let returns = by.mode() == ByMode::Return;
        match offered.deliver_by {
            Some(least) if returns && by.seconds() < i32::try_from(least).unwrap_or(i32::MAX) => {
                return Err(SendError::NeedsDeliverBy);
            }
            None if returns => return Err(SendError::NeedsDeliverBy),
            // RFC 2852, 4.1.4: the sender is told that the message was passed on without it.
            None => params.deliver_by = None,
            Some(_) => {}
        }
    }
    if let Some(hold) = &params.hold
        && !offered.future_release.as_ref().is_some_and(|release| release.permits(hold))
    {
        return Err(SendError::NeedsFutureRelease);
    }
    // RFC 6710, 4.5: without it the message goes on as any other.
    if offered.mt_priority.is_none() {
        params.priority = None;
    }
    if let (Some(solicitation), Some(unwanted)) = (&params.solicitation, &offered.unwanted)
        && unwanted.meets(solicitation)
    {
        return Err(SendError::Unsolicited);
    }
    if !offered.no_soliciting {
        params.solicitation = None;
    }
    for recipient in &mut envelope.recipients {
        fit_recipient(&mut recipient.params, offered)?;
    }
    if !offered.dsn {
        envelope.params.ret = None;
        envelope.params.envelope_id = None;
    }
    Ok(())
}

/// The same for a recipient.
pub(super) fn fit_recipient(params: &mut RcptParams, offered: &Capabilities) -> Result<(), SendError> {
    if !offered.dsn {
        params.notify = None;
        params.original = None;
    }
    if let (Some(since), false) = (&params.valid_since, offered.rrvs) {
        // RFC 7293, 5.2: what may go on without the parameter says so.
        if since.unsupported == Unsupported::Reject {
            return Err(SendError::NeedsRrvs);
        }
        params.valid_since = None;
    }
    Ok(())
}
