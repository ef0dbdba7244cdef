//! What a server's application may answer.

use crate::wire::{EnhancedCode, Reply, ReplyClass, ReplyCode};
use alloc::vec::Vec;
use postrider_core::Text;
use postrider_sasl::Denied;

/// A positive answer. `Default` leaves code and text to the session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accepted {
    said: Option<(ReplyCode, EnhancedCode, Text)>,
    more: Vec<Text>,
}

impl Accepted {
    /// With a code and text of the application's own: `Accepted::with(250, (2, 1, 5), text)`. Subject and detail are
    /// the last two numbers of the enhanced code.
    ///
    /// # Panics
    /// If `code` is not 2yz or `subject` or `detail` is above 999.
    //= 5321-3.4-1
    pub fn with(code: u16, (subject, detail): (u16, u16), text: Text) -> Self {
        assert!(code / 100 == 2, "an Accepted needs a code of 2yz");
        Self {
            said: Some((ReplyCode::literal(code), EnhancedCode::literal(2, subject, detail), text)),
            more: Vec::new(),
        }
    }

    /// With another line after those it has: for EXPN, a member in each. Nothing, if it has no text of the application's
    /// own.
    #[must_use]
    pub fn and_line(mut self, text: Text) -> Self {
        self.more.push(text);
        self
    }

    /// Whether its text, if it has one, is ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        self.said.iter().map(|(_, _, text)| text).chain(&self.more).all(|text| text.as_str().is_ascii())
    }

    /// The reply, with the session's code and text where the application left them.
    pub(crate) fn reply(self, code: u16, subject: u16, detail: u16, text: &'static str) -> Reply {
        match self.said {
            Some((code, enhanced, text)) => {
                let first = Reply::new(code, Some(enhanced), &text);
                self.more.iter().fold(first, |reply, text| reply.and_line(text))
            }
            None => ok(code, subject, detail, text),
        }
    }
}

/// A negative answer: 4yz or 5yz by construction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    code: ReplyCode,
    enhanced: EnhancedCode,
    text: Text,
    close: bool,
}

impl Refusal {
    /// Not now: `Refusal::transient(450, (2, 1), text)`. Subject and detail are the last two numbers of the enhanced
    /// code.
    ///
    /// # Panics
    /// If `code` is not 4yz or `subject` or `detail` is above 999; in a `const` that is an error of compilation.
    pub const fn transient(code: u16, (subject, detail): (u16, u16), text: Text) -> Self {
        assert!(code / 100 == 4, "a transient Refusal needs a code of 4yz");
        Self { code: ReplyCode::literal(code), enhanced: EnhancedCode::literal(4, subject, detail), text, close: false }
    }

    /// No: `Refusal::permanent(550, (1, 1), text)`. Subject and detail are the last two numbers of the enhanced code.
    ///
    /// # Panics
    /// If `code` is not 5yz or `subject` or `detail` is above 999; in a `const` that is an error of compilation.
    pub const fn permanent(code: u16, (subject, detail): (u16, u16), text: Text) -> Self {
        assert!(code / 100 == 5, "a permanent Refusal needs a code of 5yz");
        Self { code: ReplyCode::literal(code), enhanced: EnhancedCode::literal(5, subject, detail), text, close: false }
    }

    /// Closes the session after this reply.
    #[must_use]
    pub fn and_close(mut self) -> Self {
        self.close = true;
        self
    }

    /// The three digits.
    pub fn code(&self) -> ReplyCode {
        self.code
    }

    /// The enhanced code.
    pub fn enhanced(&self) -> EnhancedCode {
        self.enhanced
    }

    /// The text.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// Whether the same may succeed later.
    //= 5321-3.3-1
    pub fn is_transient(&self) -> bool {
        self.code.class() == ReplyClass::Transient
    }

    /// Whether the session closes after it.
    pub fn closes(&self) -> bool {
        self.close
    }

    pub(crate) fn reply(&self) -> Reply {
        Reply::new(self.code, Some(self.enhanced), &self.text)
    }

    /// What the session answers for an application that did not.
    pub(crate) const fn undecided() -> Self {
        Self::transient(451, (3, 0), Text::literal("Try again later"))
    }
}

/// Another server's refusal, to be passed on.
impl TryFrom<&Reply> for Refusal {
    type Error = NotRefused;
    fn try_from(reply: &Reply) -> Result<Self, NotRefused> {
        let (class, text) = match reply.class() {
            ReplyClass::Transient => (4, reply.text(400)),
            ReplyClass::Permanent => (5, reply.text(400)),
            ReplyClass::Done | ReplyClass::GoOn => return Err(NotRefused),
        };
        let enhanced = reply.enhanced().unwrap_or(EnhancedCode::literal(class, 0, 0));
        Ok(Self { code: reply.code(), enhanced, text, close: false })
    }
}

/// The reply is not a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the reply is not a refusal")]
pub struct NotRefused;

/// RFC 4954, 6.
impl From<Denied> for Refusal {
    //= 4954-4-17, 4954-6-1
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Temporary => Self::transient(454, (7, 0), Text::literal("Temporary authentication failure")),
            Denied::Expired => Self::permanent(535, (7, 8), Text::literal("The password has expired")),
            Denied::Forbidden => Self::permanent(525, (7, 13), Text::literal("This account may not use this service")),
            _ => Self::permanent(535, (7, 8), Text::literal("Authentication credentials invalid")),
        }
    }
}

/// The answer that takes a message. From then on its delivery, or a report that it failed, is the application's duty
/// (RFC 5321, 6.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivered {
    pub(crate) what: What,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    All(Accepted),
    Each(Vec<Result<Accepted, Refusal>>),
}

impl Delivered {
    /// For all recipients.
    pub fn to_all(how: Accepted) -> Self {
        Self { what: What::All(how) }
    }

    /// For each recipient that was accepted, in that order. LMTP tells the client of each (RFC 2033, 4.2); a recipient
    /// that is missing is answered 451. SMTP has one reply: the message is taken if any recipient's is, and reports to
    /// the sender about the others are the application's duty.
    pub fn to_each(how: Vec<Result<Accepted, Refusal>>) -> Self {
        Self { what: What::Each(how) }
    }
}

impl Default for Delivered {
    fn default() -> Self {
        Self::to_all(Accepted::default())
    }
}

/// A positive reply of the session's own.
pub(crate) fn ok(code: u16, subject: u16, detail: u16, text: &'static str) -> Reply {
    let enhanced = EnhancedCode::literal(2, subject, detail);
    Reply::new(ReplyCode::literal(code), Some(enhanced), &Text::literal(text))
}

/// A negative reply of the session's own.
pub(crate) fn no(code: u16, subject: u16, detail: u16, text: &'static str) -> Reply {
    let code = ReplyCode::literal(code);
    let class = if code.class() == ReplyClass::Transient { 4 } else { 5 };
    Reply::new(code, Some(EnhancedCode::literal(class, subject, detail)), &Text::literal(text))
}
