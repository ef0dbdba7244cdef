//! What a reply means for the rest of the delivery.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use postrider_smtp::client::RefusedAt;
use postrider_smtp::wire::{Reply, ReplyClass};

use crate::Reason;

/// Where in the conversation a reply came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stage {
    /// Instead of a greeting, or as one.
    Greeting,
    /// To EHLO, HELO or LHLO.
    Hello,
    /// To STARTTLS.
    StartTls,
    /// To AUTH.
    Auth,
    /// To MAIL.
    Mail,
    /// To RCPT.
    Rcpt,
    /// To DATA.
    Data,
    /// To the message itself: after the final dot, or the last BDAT.
    Message,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Message => "the message",
        })
    }
}

impl From<RefusedAt> for Stage {
    fn from(at: RefusedAt) -> Self {
        match at {
            RefusedAt::Mail => Self::Mail,
            RefusedAt::Rcpt => Self::Rcpt,
            RefusedAt::Data => Self::Data,
            RefusedAt::Message => Self::Message,
        }
    }
}

/// How far a refusal reaches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// This recipient only.
    Recipient,
    /// This message, wherever it is offered.
    Message,
    /// This connection; another one may do better.
    Connection,
    /// This host; another one may do better.
    Host,
    /// Us: our address or reputation. Other hosts of the domain will say the same.
    Source,
}

/// Success, or a failure of one of two kinds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// It was accepted.
    Accepted,
    /// Not now.
    Transient,
    /// Never.
    Permanent,
}

/// More than the code says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Hint {
    /// Nothing more.
    None,
    /// The server greylists (RFC 6647), and perhaps said for how long.
    Greylisted {
        /// The wait it asks for; at most a day.
        wait: Option<Duration>,
    },
    /// The server takes no more recipients in this transaction (RFC 5321, 4.5.3.1.10).
    TooManyRecipients,
}

/// What a reply means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Class {
    /// Yes, not now, or never.
    pub verdict: Verdict,
    /// For whom.
    pub scope: Scope,
    /// What else it says.
    pub hint: Hint,
}

impl Class {
    /// Whether the next host may be asked at once.
    pub fn next_host(&self) -> bool {
        self.verdict == Verdict::Transient && matches!(self.scope, Scope::Connection | Scope::Host)
    }

    /// The rule.
    pub fn reason(&self) -> Reason {
        match (self.verdict, self.hint) {
            (Verdict::Accepted, _) => Reason::Accepted,
            (Verdict::Permanent, _) => Reason::PermanentReply,
            (Verdict::Transient, Hint::None) => Reason::TransientReply,
            (Verdict::Transient, Hint::Greylisted { .. }) => Reason::Greylisted,
            (Verdict::Transient, Hint::TooManyRecipients) => Reason::TooManyRecipients,
        }
    }
}

/// Says what `reply` means where it came.
///
/// A refusal before MAIL is about the host, whatever its code: RFC 5321, 3.1 lets a host that takes no mail greet with
/// 554, and another exchange may take it. From MAIL on, 5yz is final (RFC 5321, 4.2.1), and 4yz goes by its enhanced
/// code (RFC 3463).
pub fn classify(stage: Stage, reply: &Reply) -> Class {
    let code = reply.code().number();
    let verdict = match reply.class() {
        ReplyClass::Done => Verdict::Accepted,
        // 354 is how DATA says yes; anywhere else the server is confused.
        ReplyClass::GoOn if stage == Stage::Data => Verdict::Accepted,
        ReplyClass::GoOn | ReplyClass::Transient => Verdict::Transient,
        ReplyClass::Permanent => Verdict::Permanent,
    };
    let class = |verdict, scope| Class { verdict, scope, hint: Hint::None };
    let usual = if stage == Stage::Rcpt { Scope::Recipient } else { Scope::Message };
    if verdict == Verdict::Accepted {
        return class(verdict, usual);
    }
    if code == 421 {
        // RFC 5321, 3.8: the server closes, whatever it was asked.
        return class(Verdict::Transient, Scope::Connection);
    }
    match stage {
        Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Auth => {
            return class(Verdict::Transient, Scope::Host);
        }
        Stage::Mail | Stage::Rcpt | Stage::Data | Stage::Message => {}
    }
    let about = reply.enhanced().map(|enhanced| (enhanced.subject(), enhanced.detail()));
    if stage == Stage::Rcpt && matches!((code, about), (452 | 552, None) | (400..=599, Some((5, 3)))) {
        // RFC 5321, 4.5.3.1.10: 452 it should be, but a 552 to RCPT is meant so too.
        //= 5321-4.5.3.1.10-2
        return Class { verdict: Verdict::Transient, scope: Scope::Recipient, hint: Hint::TooManyRecipients };
    }
    let scope = match about {
        Some((1 | 2, _)) => Scope::Recipient,
        // 3.4 is "message too big for system".
        Some((3, 4)) => Scope::Message,
        Some((3 | 4, _)) => Scope::Host,
        Some((5 | 6, _)) => Scope::Message,
        Some((7, _)) => Scope::Source,
        Some(_) | None => usual,
    };
    let hint = match verdict {
        Verdict::Transient => greylisting(reply),
        Verdict::Accepted | Verdict::Permanent => Hint::None,
    };
    // Greylisting is about the triple of client, sender and recipient: the next host would only begin its own wait.
    let scope = if hint == Hint::None { scope } else { Scope::Source };
    Class { verdict, scope, hint }
}

/// How much of a reply's text is looked at.
const LOOKED_AT: usize = 512;

fn greylisting(reply: &Reply) -> Hint {
    let text: String = reply.text(LOOKED_AT).as_str().to_ascii_lowercase();
    let named = ["greylist", "graylist", "grey list", "gray list", "grey-list", "gray-list"];
    if named.iter().any(|word| text.contains(word)) { Hint::Greylisted { wait: wait(&text) } } else { Hint::None }
}

/// The first "300 seconds", "5 min" or the like.
fn wait(text: &str) -> Option<Duration> {
    const LONGEST: u64 = 24 * 3600;
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(number) = word[..digits].parse::<u64>() else { continue };
        let unit = if digits < word.len() { &word[digits..] } else { words.peek().copied().unwrap_or_default() };
        let seconds = match unit {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3600,
            _ => continue,
        };
        return Some(Duration::from_secs(number.saturating_mul(seconds).min(LONGEST)));
    }
    None
}
