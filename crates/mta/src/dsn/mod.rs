//! Delivery status notifications: what senders are told (RFC 3464, in the frame of RFC 6522).
//!
//! ```
//! use postrider_core::Instant;
//! use postrider_mta::Name;
//! use postrider_mta::dsn::{Action, Original, RecipientReport, Report, is_wanted};
//! use postrider_smtp::{EnhancedCode, ForwardPath, RcptParams, ReversePath};
//!
//! let sender: ReversePath = "<a@example.org>".parse()?;
//! let nobody: ForwardPath = "<nobody@example.net>".parse()?;
//! let params = RcptParams::default();
//! assert!(is_wanted(Action::Failed, &sender, &params));
//! let now = Instant::after_origin(std::time::Duration::from_secs(1_800_000_000));
//! let mut report = Report::new(&sender, Name::new("mx.example")?, "4f2a91", now).expect("it is not a report itself");
//! report.recipients.push(RecipientReport::new(nobody, &params, Action::Failed, EnhancedCode::literal(5, 1, 1)));
//! let message = report.write(Original::Header(b"Subject: hello\r\n\r\n")).expect("it has a recipient");
//! assert!(message.octets.starts_with(b"From: Mail Delivery System <mailer-daemon@mx.example>\r\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod encode;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use postrider_core::{Instant, Text};
use postrider_smtp::wire::{EnhancedCode, EnvelopeId, OriginalRecipient, RcptParams};
use postrider_smtp::{Envelope, ForwardPath, Mailbox, ReversePath};

use crate::delivery::{Diagnosis, Disposition, Said};
use crate::{Destination, Name};
use encode::{Fields, Part};

/// What happened to a recipient (RFC 3464, 2.3.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// It could not be delivered.
    Failed,
    /// It was not delivered yet.
    Delayed,
    /// It is in the mailbox.
    Delivered,
    /// It went to a system that sends no reports about success.
    Relayed,
    /// It went to several others in the recipient's place.
    Expanded,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

/// Whether the sender is to be told (RFC 3461, 4.1 and 5.2; RFC 5321, 4.5.5).
///
/// Nobody is told about a message with the null sender: it is a report, or wishes for none. Without `NOTIFY` failures
/// and delays are reported.
//= 3461-5.2.2-2, 3461-5.2.2-3, 3461-5.2.2-4, 3461-5.2.2-5, 3461-5.2.2-6, 3461-5.2.3-1, 3461-5.2.3-2, 3461-5.2.5-1, 3461-5.2.6-1, 3461-5.2.6-2, 3461-5.2.6-3
pub fn is_wanted(action: Action, sender: &ReversePath, recipient: &RcptParams) -> bool {
    //= 3461-5.2-1
    if sender.mailbox().is_none() {
        return false;
    }
    match (action, recipient.notify) {
        (Action::Failed, notify) => notify.is_none_or(|notify| notify.failure),
        (Action::Delayed, notify) => notify.is_none_or(|notify| notify.delay),
        (Action::Delivered | Action::Relayed | Action::Expanded, notify) => notify.is_some_and(|notify| notify.success),
    }
}

/// What is said of one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecipientReport {
    /// Whom the sender meant: from `ORCPT`.
    pub original: Option<OriginalRecipient>,
    /// The address that was tried.
    pub address: ForwardPath,
    /// What happened.
    pub action: Action,
    /// The status code.
    pub status: EnhancedCode,
    /// The host that was tried last.
    pub remote: Option<Destination>,
    /// What it said.
    pub said: Option<Said>,
    /// What went wrong, in a sentence for people.
    pub detail: Option<Text>,
    /// When it was tried last. The origin is the Unix epoch.
    pub last_attempt: Option<Instant>,
    /// Until when it will be tried; only for [`Action::Delayed`].
    pub retry_until: Option<Instant>,
}

impl RecipientReport {
    /// A report with a status alone. `params` are those the recipient came with.
    pub fn new(address: ForwardPath, params: &RcptParams, action: Action, status: EnhancedCode) -> Self {
        Self {
            original: params.original.clone(),
            address,
            action,
            status,
            remote: None,
            said: None,
            detail: None,
            last_attempt: None,
            retry_until: None,
        }
    }

    /// A report of how a delivery settled: failed, or relayed to a host that sends no reports of its own.
    pub fn settled(address: ForwardPath, params: &RcptParams, how: &Disposition) -> Self {
        let action = if how.is_delivered() { Action::Relayed } else { Action::Failed };
        let report = Self::new(address, params, action, how.status()).with(how.diagnosis());
        match how {
            Disposition::Expired(_) => {
                let expired = crate::Reason::Expired.rule();
                let detail = report.detail.as_ref().map_or_else(|| expired.into(), |last| format!("{expired}; {last}"));
                Self { detail: Some(Text::lossy(&detail, Said::LONGEST)), ..report }
            }
            Disposition::Delivered(_) | Disposition::Failed(_) => report,
        }
    }

    /// A report of a delay; `last` is what was said last, `until` when it will be given up.
    pub fn delayed(address: ForwardPath, params: &RcptParams, last: Option<&Diagnosis>, until: Instant) -> Self {
        // RFC 3463, 3.5: 4.4.7 is "delivery time expired"; a delay has the status of what caused it.
        let status = last.map_or(EnhancedCode::literal(4, 0, 0), |last| last.status);
        let report = Self { retry_until: Some(until), ..Self::new(address, params, Action::Delayed, status) };
        match last {
            Some(last) => report.with(last),
            None => report,
        }
    }

    fn with(self, diagnosis: &Diagnosis) -> Self {
        let detail = diagnosis.detail.clone().unwrap_or_else(|| Text::literal(diagnosis.reason.rule()));
        Self { remote: diagnosis.remote.clone(), said: diagnosis.reply.clone(), detail: Some(detail), ..self }
    }
}

/// How much of the message that is reported on goes back.
#[derive(Clone, Copy, Debug)]
pub enum Original<'a> {
    /// Nothing.
    None,
    /// Its header: of these octets, what stands before the first empty line, up to [`Report::header_limit`].
    Header(&'a [u8]),
    /// All of it, if `RET=FULL` asked for that; for failures only (RFC 3461, 4.3). Only the header if it is larger
    /// than [`Report::message_limit`] or not fit for a line-based transport.
    Message(&'a [u8]),
}

/// A report about one message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Report {
    /// To whom.
    pub to: Mailbox,
    /// The host that reports.
    pub reporting: Name,
    /// A name for this report, unique on this host: it makes the Message-ID and the boundary. Characters other than
    /// letters and digits are dropped.
    pub id: String,
    /// When it is written. The origin is the Unix epoch.
    pub date: Instant,
    /// When the message came.
    pub arrived: Option<Instant>,
    /// The sender's name for the transaction: from `ENVID`.
    pub envelope_id: Option<EnvelopeId>,
    /// About whom. At least one.
    pub recipients: Vec<RecipientReport>,
    /// Octets of the original's header that go back at most. Default 16 KiB; it is cut between fields.
    pub header_limit: usize,
    /// Octets of the original that go back at most. Default 64 KiB.
    pub message_limit: usize,
}

/// A report, ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// From the null sender to the sender of the original (RFC 3464, 2).
    pub envelope: Envelope,
    /// The message, lines ended by CRLF, at most 998 octets each.
    pub octets: Vec<u8>,
    /// It holds octets above 127: it needs 8BITMIME, and SMTPUTF8 if the address is not ASCII.
    pub eight_bit: bool,
}

impl Report {
    /// A report to `sender`; `None` if that is null, since nobody reports about reports (RFC 5321, 4.5.5).
    //= 5321-3.6.3-3, 5321-4.5.4-1, 5321-4.5.5-1, 5321-6.1-2, 5321-4.4-10
    pub fn new(sender: &ReversePath, reporting: Name, id: &str, date: Instant) -> Option<Self> {
        Some(Self {
            to: sender.mailbox()?.clone(),
            reporting,
            id: id.into(),
            date,
            arrived: None,
            envelope_id: None,
            recipients: Vec::new(),
            header_limit: 16 * 1024,
            message_limit: 64 * 1024,
        })
    }

    /// Writes it; `None` if it has no recipients.
    //= 5321-3.6.3-2
    pub fn write(&self, original: Original<'_>) -> Option<Written> {
        let first = self.recipients.first()?.action;
        let action = self.recipients.iter().all(|recipient| recipient.action == first).then_some(first);
        let id: String = self.id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();

        let header_of = |octets| Part::header(octets, self.header_limit);
        let returned = match original {
            Original::None => None,
            Original::Header(octets) => Some(header_of(octets)),
            Original::Message(octets) if action == Some(Action::Failed) && octets.len() <= self.message_limit => {
                Part::message(octets).or_else(|| Some(header_of(octets)))
            }
            //= 3461-6.2-2
            Original::Message(octets) => Some(header_of(octets)),
        };
        let mut parts = alloc::vec![Part::text(&self.explanation(action)), Part::status(self.status())];
        parts.extend(returned);
        let boundary = encode::boundary(&id, &parts);

        let mut head = Fields::default();
        head.put("From", &format!("Mail Delivery System <mailer-daemon@{}>", self.reporting));
        head.put("To", &format!("<{}>", self.to));
        head.put("Subject", subject(action));
        head.put("Date", &encode::date(self.date));
        head.put("Message-ID", &format!("<{id}.dsn@{}>", self.reporting));
        if let Original::Header(octets) | Original::Message(octets) = original
            && let Some(about) = encode::message_id(octets)
        {
            head.put("In-Reply-To", &about);
            head.put("References", &about);
        }
        // RFC 3834, 5: so that nobody answers automatically.
        head.put("Auto-Submitted", "auto-replied");
        head.put("MIME-Version", "1.0");
        let kind = format!("multipart/report; report-type=delivery-status; boundary=\"{boundary}\"");
        head.put("Content-Type", &kind);

        let mut octets = head.into_octets();
        octets.extend_from_slice(b"\r\nThis is a delivery status notification in MIME format.\r\n");
        for part in &parts {
            octets.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            part.write(&mut octets);
        }
        octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let eight_bit = !octets.is_ascii();
        //= 5321-3.6.3-4, 3461-6.1-1, 3461-6.1-2, 3461-6.1-3
        let mut envelope = Envelope::new(ReversePath::Null).and_to(self.to.clone()).with_size(octets.len() as u64);
        envelope.params.smtp_utf8 = !self.to.is_ascii();
        envelope.params.body = eight_bit.then_some(postrider_smtp::wire::BodyType::EightBitMime);
        Some(Written { envelope, octets, eight_bit })
    }

    /// The first part: for people.
    fn explanation(&self, action: Option<Action>) -> String {
        let mut text = format!("This is the mail system at {}.\r\n\r\n", self.reporting);
        text += match action {
            Some(Action::Failed) => {
                "Your message could not be delivered to the recipients below. It will not be\r\ntried again.\r\n"
            }
            Some(Action::Delayed) => {
                "Your message has not been delivered to the recipients below yet. It will be\r\n\
                 tried again; you need not send it again.\r\n"
            }
            Some(Action::Delivered) => "Your message was delivered to the recipients below.\r\n",
            Some(Action::Relayed) => {
                "Your message was passed on to another system for the recipients below. That\r\n\
                 system may not report its delivery.\r\n"
            }
            Some(Action::Expanded) => {
                "Your message was delivered to the recipients below, who pass it on to others.\r\n\
                 Those send no reports.\r\n"
            }
            None => "This is what became of your message.\r\n",
        };
        for recipient in &self.recipients {
            text += &format!("\r\n<{}>: {}", recipient.address.as_str(), recipient.action.word());
            text += &format!(" ({})", recipient.status);
            if let Some(remote) = &recipient.remote {
                text += &format!("\r\n    host: {remote}");
            }
            if let Some(said) = &recipient.said {
                text += &format!("\r\n    it said: {said}");
            }
            if let Some(detail) = &recipient.detail {
                text += &format!("\r\n    reason: {detail}");
            }
            if let Some(until) = recipient.retry_until {
                text += &format!("\r\n    tried until: {}", encode::date(until));
            }
            text += "\r\n";
        }
        text
    }

    /// The second part: for programs.
    fn status(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        //= 3461-6.3-1
        if let Some(id) = &self.envelope_id {
            fields.put("Original-Envelope-Id", id.as_str());
        }
        //= 3461-6.3-2
        fields.put("Reporting-MTA", &format!("dns; {}", self.reporting));
        if let Some(arrived) = self.arrived {
            fields.put("Arrival-Date", &encode::date(arrived));
        }
        for recipient in &self.recipients {
            fields.empty_line();
            //= 3461-6.3-3
            if let Some(original) = &recipient.original {
                let address = encode::address(original.address());
                fields.put("Original-Recipient", &format!("{}; {address}", original.address_type()));
            }
            let address = recipient.address.as_str();
            let kind = if recipient.address.is_ascii() { "rfc822" } else { "utf-8" };
            //= 3461-6.3-4
            fields.put("Final-Recipient", &format!("{kind}; {}", encode::address(address)));
            //= 3461-6.3-5
            fields.put("Action", recipient.action.word());
            //= 3461-6.3-6
            fields.put("Status", &recipient.status.to_string());
            //= 3461-6.3-7
            if let Some(remote) = &recipient.remote {
                fields.put("Remote-MTA", &format!("dns; {remote}"));
            }
            //= 3461-6.3-8
            if let Some(said) = &recipient.said {
                fields.put("Diagnostic-Code", &format!("smtp; {said}"));
            } else if let Some(detail) = &recipient.detail {
                fields.put("Diagnostic-Code", &format!("x-postrider; {detail}"));
            }
            if let Some(last) = recipient.last_attempt {
                fields.put("Last-Attempt-Date", &encode::date(last));
            }
            if let (Action::Delayed, Some(until)) = (recipient.action, recipient.retry_until) {
                fields.put("Will-Retry-Until", &encode::date(until));
            }
        }
        fields.into_octets()
    }
}

fn subject(action: Option<Action>) -> &'static str {
    match action {
        Some(Action::Failed) => "Undelivered mail returned to sender",
        Some(Action::Delayed) => "Delayed mail (still being tried)",
        Some(Action::Delivered | Action::Relayed | Action::Expanded) => "Successful mail delivery report",
        None => "Mail delivery report",
    }
}
