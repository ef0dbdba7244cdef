//! The terms on which a message is handed over, beyond its addresses: until when, from when, how urgently, to whom
//! still (RFC 2852, 3865, 4865, 6710, 7293).

use super::Timestamp;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use postrider_core::ParseError;

/// `BY=`: deliver within so many seconds, and what to do if that fails (RFC 2852, 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DeliverBy {
    seconds: i32,
    mode: ByMode,
    trace: bool,
}

/// What becomes of a message that cannot be delivered in time (RFC 2852, 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ByMode {
    /// `R`: it is returned.
    Return,
    /// `N`: the sender is told, and delivery goes on.
    Notify,
}

impl DeliverBy {
    /// The longest time, in seconds.
    pub const LIMIT: i32 = 999_999_999;

    /// Deliver within `seconds`; `trace` asks each relay to report. With [`ByMode::Notify`] the time may have passed
    /// already: it is negative then.
    ///
    /// # Errors
    /// [`ParseError`] if the time is above [`DeliverBy::LIMIT`] either way, or not positive with [`ByMode::Return`].
    pub fn new(seconds: i32, mode: ByMode, trace: bool) -> Result<Self, ParseError> {
        if !(-Self::LIMIT..=Self::LIMIT).contains(&seconds) {
            return Err(ParseError { at: 0, expected: "at most 999999999 seconds" });
        }
        if mode == ByMode::Return && seconds <= 0 {
            return Err(ParseError { at: 0, expected: "a time that is left, to return after" });
        }
        Ok(Self { seconds, mode, trace })
    }

    /// The time left, in seconds.
    pub fn seconds(self) -> i32 {
        self.seconds
    }

    /// What becomes of it then.
    pub fn mode(self) -> ByMode {
        self.mode
    }

    /// Whether each relay is to report that it passed the message on (RFC 2852, 4.2).
    pub fn is_traced(self) -> bool {
        self.trace
    }
}

impl FromStr for DeliverBy {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = |at, expected| ParseError { at, expected };
        let (time, mode) = text.split_once(';').ok_or(wrong(text.len(), "\";\" and a mode"))?;
        let digits = time.strip_prefix(['+', '-']).unwrap_or(time);
        let seconds = i32::try_from(short_number(digits).ok_or(wrong(0, "up to nine digits"))?)
            .map_err(|_| wrong(0, "up to nine digits"))?;
        let seconds = if time.starts_with('-') { -seconds } else { seconds };
        let at = time.len() + 1;
        let (mode, trace) = match mode.as_bytes() {
            [b'R' | b'r', rest @ ..] => (ByMode::Return, rest),
            [b'N' | b'n', rest @ ..] => (ByMode::Notify, rest),
            _ => return Err(wrong(at, "the mode R or N")),
        };
        match trace {
            [] => Self::new(seconds, mode, false),
            [b'T' | b't'] => Self::new(seconds, mode, true),
            _ => Err(wrong(at + 1, "T or the end")),
        }
    }
}

impl fmt::Display for DeliverBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            ByMode::Return => 'R',
            ByMode::Notify => 'N',
        };
        write!(f, "{};{mode}{}", self.seconds, if self.trace { "T" } else { "" })
    }
}

/// `HOLDFOR=` or `HOLDUNTIL=`: release the message later (RFC 4865, 5).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Hold {
    /// So many seconds from now: 1 to 999,999,999. Any other is written as the nearest of these.
    For(u32),
    /// At a point in time.
    Until(Timestamp),
}

/// How long messages may be held: the arguments of FUTURERELEASE (RFC 4865, 4).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FutureRelease {
    /// The longest time, in seconds.
    pub seconds: u32,
    /// The last point in time.
    pub until: Timestamp,
}

impl FutureRelease {
    /// Whether a message may be held so.
    pub fn permits(&self, hold: &Hold) -> bool {
        match hold {
            Hold::For(seconds) => *seconds <= self.seconds,
            Hold::Until(time) => time.unix_seconds() <= self.until.unix_seconds(),
        }
    }
}

impl FromStr for FutureRelease {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (seconds, until) =
            text.split_once(' ').ok_or(ParseError { at: text.len(), expected: "a space and a time" })?;
        let number = short_number(seconds).ok_or(ParseError { at: 0, expected: "up to nine digits" })?;
        Ok(Self { seconds: number, until: until.trim_ascii().parse()? })
    }
}

impl fmt::Display for FutureRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seconds, self.until)
    }
}

/// `MT-PRIORITY=`: how urgent a message is, -9 to 9 (RFC 6710, 5). `Default` is 0, as for messages without one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Priority(i8);

impl Priority {
    /// `None` unless it is -9 to 9.
    pub const fn new(level: i8) -> Option<Self> {
        if level >= -9 && level <= 9 { Some(Self(level)) } else { None }
    }

    /// The number.
    pub const fn level(self) -> i8 {
        self.0
    }
}

impl FromStr for Priority {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.as_bytes() {
            [b'0'] => Ok(Self(0)),
            [digit @ b'1'..=b'9'] => Ok(Self((digit - b'0').cast_signed())),
            [b'-', digit @ b'1'..=b'9'] => Ok(Self(-(digit - b'0').cast_signed())),
            _ => Err(ParseError { at: 0, expected: "a priority from -9 to 9" }),
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Classes of solicitation, such as `org.example:ADV`: what a message is (`SOLICIT=`), or what a server does not want
/// (the argument of NO-SOLICITING) (RFC 3865, 2.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Solicitation(Box<str>);

impl Solicitation {
    /// The longest list, in octets (RFC 3865, 2.2).
    pub const LIMIT: usize = 1000;

    /// Each class, as it was written.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.0.split(',')
    }

    /// The list, as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name a class in common. Case does not matter.
    pub fn meets(&self, other: &Self) -> bool {
        self.classes().any(|class| other.classes().any(|o| o.eq_ignore_ascii_case(class)))
    }
}

impl FromStr for Solicitation {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.len() > Self::LIMIT {
            return Err(ParseError { at: Self::LIMIT, expected: "at most 1000 octets" });
        }
        let mut at = 0;
        for word in text.split(',') {
            let good = word.starts_with(|c: char| c.is_ascii_alphabetic())
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'));
            if !good {
                return Err(ParseError { at, expected: "a solicitation class" });
            }
            at += word.len() + 1;
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Solicitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `RRVS=`: deliver only if the mailbox has had the same owner since then (RFC 7293, 3.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ValidSince {
    /// Since when.
    pub since: Timestamp,
    /// What a relay does when the next server does not offer RRVS (RFC 7293, 5.2).
    pub unsupported: Unsupported,
}

/// What a relay does when the next server does not offer RRVS (RFC 7293, 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Unsupported {
    /// `R`, or nothing: the message is returned.
    #[default]
    Reject,
    /// `C`: the message goes on, with a header field instead of the parameter.
    Continue,
}

impl FromStr for ValidSince {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (since, unsupported) = match text.split_once(';') {
            None => (text, Unsupported::Reject),
            Some((since, "R" | "r")) => (since, Unsupported::Reject),
            Some((since, "C" | "c")) => (since, Unsupported::Continue),
            Some((since, _)) => return Err(ParseError { at: since.len() + 1, expected: "C or R" }),
        };
        Ok(Self { since: since.parse()?, unsupported })
    }
}

impl fmt::Display for ValidSince {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unsupported = match self.unsupported {
            Unsupported::Reject => "",
            Unsupported::Continue => ";C",
        };
        write!(f, "{}{unsupported}", self.since)
    }
}

/// Words that a server says after a keyword, such as the profile after MT-PRIORITY: printable ASCII between single
/// spaces. `Default` is none.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Words(Box<str>);

impl Words {
    /// Each word.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_ascii_whitespace()
    }

    /// All of them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Words {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(at) = text.bytes().position(|b| !matches!(b, b' '..=b'~')) {
            return Err(ParseError { at, expected: "printable ASCII" });
        }
        let mut words = String::with_capacity(text.len());
        for word in text.split_ascii_whitespace() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
        Ok(Self(words.into()))
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One to nine digits.
pub(super) fn short_number(digits: &str) -> Option<u32> {
    let good = matches!(digits.len(), 1..=9) && digits.bytes().all(|b| b.is_ascii_digit());
    if good { digits.parse().ok() } else { None }
}
