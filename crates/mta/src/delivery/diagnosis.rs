//! What is known of a recipient's fate, in words and codes.

use alloc::string::ToString;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use postrider_core::{Instant, Text};
use postrider_smtp::wire::{BadBody, EnhancedCode, Reply, ReplyCode};

use crate::{Destination, HopFailure, Reason, Unroutable};

/// The final outcome of a recipient. Each has its diagnosis, shared by recipients with the same.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Disposition {
    /// Another system took responsibility.
    Delivered(Arc<Diagnosis>),
    /// It failed for good: report it.
    Failed(Arc<Diagnosis>),
    /// Time ran out; the diagnosis is that of the last attempt.
    Expired(Arc<Diagnosis>),
}

impl Disposition {
    /// What was said last.
    pub fn diagnosis(&self) -> &Arc<Diagnosis> {
        match self {
            Self::Delivered(diagnosis) | Self::Failed(diagnosis) | Self::Expired(diagnosis) => diagnosis,
        }
    }

    /// The status to report: that of the diagnosis, but 4.4.7 when time ran out (RFC 3463, 3.5).
    pub fn status(&self) -> EnhancedCode {
        match self {
            Self::Delivered(diagnosis) | Self::Failed(diagnosis) => diagnosis.status,
            Self::Expired(_) => EnhancedCode::literal(4, 4, 7),
        }
    }

    /// Whether it was delivered.
    pub fn is_delivered(&self) -> bool {
        matches!(self, Self::Delivered(_))
    }
}

/// Why a recipient is where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The status: the server's own if it gave one.
    pub status: EnhancedCode,
    /// The rule that led here.
    pub reason: Reason,
    /// The host concerned.
    pub remote: Option<Destination>,
    /// What it said.
    pub reply: Option<Said>,
    /// What went wrong, where no reply says it.
    pub detail: Option<Text>,
    /// The wait that the server asked for.
    pub wait: Option<Duration>,
}

/// A reply as it is kept: its code, and its text made safe and cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// The three digits.
    pub code: ReplyCode,
    /// The enhanced code, if there was one.
    pub enhanced: Option<EnhancedCode>,
    /// The text, in one line, at most [`Said::LONGEST`] octets.
    pub text: Text,
}

impl Said {
    /// How much of a reply's text is kept, in octets. 512 is the longest line of a reply (RFC 5321, 4.5.3.1.5).
    pub const LONGEST: usize = 512;
}

impl From<&Reply> for Said {
    fn from(reply: &Reply) -> Self {
        Self { code: reply.code(), enhanced: reply.enhanced(), text: reply.text(Self::LONGEST) }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if self.text.as_str().is_empty() { Ok(()) } else { write!(f, " {}", self.text) }
    }
}

/// RFC 8689, 4.2.1.
const ENCRYPTION_NEEDED: EnhancedCode = EnhancedCode::literal(5, 7, 10);

impl Diagnosis {
    fn new(status: EnhancedCode, reason: Reason) -> Self {
        Self { status, reason, remote: None, reply: None, detail: None, wait: None }
    }

    pub(super) fn reply(reply: &Reply, reason: Reason, wait: Option<Duration>, remote: &Destination) -> Self {
        let class = match reply.code().number() / 100 {
            class @ (2 | 5) => class as u8,
            _ => 4,
        };
        // A refusal without an enhanced code is "other", in its class (RFC 3463, 3.1). One whose class disagrees with
        // what we make of it (a 5yz greeting is not final) gets our class.
        let permanent = reason == Reason::PermanentReply;
        let class = if class == 5 && !permanent { 4 } else { class };
        let said = reply.enhanced().unwrap_or(EnhancedCode::literal(4, 0, 0));
        let status = EnhancedCode::new(class, said.subject(), said.detail())
            .expect("the class is one of three, and the rest is from an enhanced code");
        Self { remote: Some(remote.clone()), reply: Some(reply.into()), wait, ..Self::new(status, reason) }
    }

    pub(super) fn hop(failure: &HopFailure, remote: Destination) -> Self {
        let status = match failure {
            HopFailure::Unreachable(_) | HopFailure::Busy => EnhancedCode::literal(4, 4, 1),
            HopFailure::Lost(_) => EnhancedCode::literal(4, 4, 2),
            HopFailure::Tls(_) => EnhancedCode::literal(4, 7, 5),
            HopFailure::Protocol(_) => EnhancedCode::literal(4, 5, 0),
            HopFailure::TooManyRecipients { .. } => EnhancedCode::literal(4, 5, 3),
            HopFailure::Unsupported(need) => need.status(),
            HopFailure::Unsendable { status, .. } => *status,
            HopFailure::Refused { reply, .. } => {
                return Self::reply(reply, Reason::NoHostAnswered, None, &remote);
            }
        };
        let detail = Text::lossy(&failure.to_string(), Said::LONGEST);
        Self { remote: Some(remote), detail: Some(detail), ..Self::new(status, Reason::NoHostAnswered) }
    }

    /// The message cannot be sent to this host, now or later.
    pub(super) fn unsendable(failure: &HopFailure, remote: Destination) -> Self {
        Self { reason: Reason::ExtensionMissing, ..Self::hop(failure, remote) }
    }

    /// The host cannot be given a message that needs verified TLS.
    pub(super) fn unprotected(failure: &HopFailure, remote: Destination) -> Self {
        let status = match failure {
            HopFailure::Unsupported(need) => need.status(),
            //= 8689-4.2.1-3
            _ => ENCRYPTION_NEEDED,
        };
        Self { status, reason: Reason::EncryptionNeeded, ..Self::hop(failure, remote) }
    }

    /// Nobody vouches for the hosts that such a message would go to.
    pub(super) fn unvouched() -> Self {
        let detail = Text::literal("DNSSEC does not vouch for the exchanges of the domain");
        Self { detail: Some(detail), ..Self::new(ENCRYPTION_NEEDED, Reason::EncryptionNeeded) }
    }

    pub(super) fn unfit(why: &BadBody, remote: &Destination) -> Self {
        let detail = Text::lossy(&why.to_string(), Said::LONGEST);
        let diagnosis = Self::new(EnhancedCode::literal(5, 6, 0), Reason::MessageUnfit);
        Self { remote: Some(remote.clone()), detail: Some(detail), ..diagnosis }
    }

    pub(super) fn unknown(reason: Reason, remote: &Destination) -> Self {
        Self { remote: Some(remote.clone()), ..Self::new(EnhancedCode::literal(4, 4, 2), reason) }
    }

    pub(super) fn unroutable(why: Unroutable) -> Self {
        let detail = Text::lossy(&why.to_string(), Said::LONGEST);
        Self { detail: Some(detail), ..Self::new(why.status(), why.reason()) }
    }

    pub(super) fn nobody() -> Self {
        Self::new(EnhancedCode::literal(4, 4, 1), Reason::NoHostAnswered)
    }

    pub(super) fn expired() -> Self {
        Self::new(EnhancedCode::literal(4, 4, 7), Reason::Expired)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)?;
        if let Some(remote) = &self.remote {
            write!(f, "; host {remote}")?;
        }
        if let Some(reply) = &self.reply {
            write!(f, " said \"{reply}\"")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, "; {detail}")?;
        }
        Ok(())
    }
}

/// Where a recipient stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// Rounds begun so far.
    pub rounds: u32,
    /// What was said last, if anything.
    pub last: Option<Arc<Diagnosis>>,
    /// What comes next.
    pub next: Next,
    /// When it is given up.
    pub expires: Instant,
}

/// What comes next for a recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// A round is underway, at this point.
    Underway(Reason),
    /// The next round begins then.
    RoundAt(Instant),
    /// Nothing: it is settled.
    Settled(Disposition),
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.next {
            Next::Underway(reason) => write!(f, "round {}: {reason}", self.rounds)?,
            Next::RoundAt(at) => {
                let (at, expires) = (at.elapsed().as_secs(), self.expires.elapsed().as_secs());
                write!(f, "after {} rounds, waits until {at} s; given up at {expires} s", self.rounds)?;
            }
            Next::Settled(Disposition::Delivered(_)) => f.write_str("delivered")?,
            Next::Settled(Disposition::Failed(_)) => f.write_str("failed")?,
            Next::Settled(Disposition::Expired(_)) => f.write_str("expired")?,
        }
        match &self.last {
            Some(last) => write!(f, "; {last}"),
            None => Ok(()),
        }
    }
}
