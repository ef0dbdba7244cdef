//! Status lines (RFC 1939, 3) and their response codes (RFC 2449, 8; RFC 3206; RFC 6856, 2.1).

use alloc::string::String;
use core::fmt;
use core::time::Duration;
use postrider_core::{ParseError, Text};
use postrider_sasl::Denied;

/// Why, in a word for programs. Stands in brackets before the text of `-ERR`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ResponseCode {
    /// `IN-USE`: the maildrop is open elsewhere (RFC 2449, 8.1.2).
    InUse,
    /// `LOGIN-DELAY`: too soon after the last login (RFC 2449, 8.1.1).
    LoginDelay,
    /// `SYS/TEMP`: not the user's fault, may work later (RFC 3206, 4).
    SysTemp,
    /// `SYS/PERM`: not the user's fault, will not work without somebody's help (RFC 3206, 4).
    SysPerm,
    /// `AUTH`: the credentials are the problem (RFC 3206, 5).
    Auth,
    /// `UTF8`: the message or the maildrop needs the UTF8 command first (RFC 6856, 5).
    Utf8,
    /// Any other, in upper case.
    Other(Text),
}

impl ResponseCode {
    /// As it stands between the brackets.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InUse => "IN-USE",
            Self::LoginDelay => "LOGIN-DELAY",
            Self::SysTemp => "SYS/TEMP",
            Self::SysPerm => "SYS/PERM",
            Self::Auth => "AUTH",
            Self::Utf8 => "UTF8",
            Self::Other(code) => code.as_str(),
        }
    }

    //= 2449-8-1
    fn parse(code: &str) -> Self {
        let code = code.to_ascii_uppercase();
        // RFC 2449, 8: levels that we do not know are ignored.
        let is = |known: &str| code.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let known = [Self::InUse, Self::LoginDelay, Self::SysTemp, Self::SysPerm, Self::Auth, Self::Utf8];
        known.into_iter().find(|known| is(known.as_str())).unwrap_or_else(|| Self::Other(Text::lossy(&code, 64)))
    }
}

/// What follows `-ERR`: a no, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// For programs.
    pub code: Option<ResponseCode>,
    /// For people.
    pub text: Text,
}

impl Refusal {
    /// A no without a code.
    pub fn plain(text: Text) -> Self {
        Self { code: None, text }
    }

    /// It may work later: `[SYS/TEMP]`.
    pub fn temporary(text: Text) -> Self {
        Self { code: Some(ResponseCode::SysTemp), text }
    }

    /// It will not work without somebody's help: `[SYS/PERM]`.
    pub fn permanent(text: Text) -> Self {
        Self { code: Some(ResponseCode::SysPerm), text }
    }

    /// The maildrop is open elsewhere: `[IN-USE]`.
    pub fn in_use() -> Self {
        Self { code: Some(ResponseCode::InUse), text: Text::literal("the maildrop is open in another session") }
    }

    /// The user has logged in only just before: `[LOGIN-DELAY]`.
    pub fn login_delay(delay: Duration) -> Self {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        let text = alloc::format!("log in again no sooner than {seconds} seconds after the last time");
        Self { code: Some(ResponseCode::LoginDelay), text: Text::lossy(&text, 200) }
    }

    /// The message or the maildrop is for those who say UTF8 (RFC 6856, 5).
    pub fn needs_utf8() -> Self {
        Self { code: Some(ResponseCode::Utf8), text: Text::literal("say UTF8 before the login to be sent this") }
    }

    /// Whether the credentials are to blame.
    pub fn blames_credentials(&self) -> bool {
        self.code == Some(ResponseCode::Auth)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.code {
            write!(f, "[{}] ", code.as_str())?;
        }
        self.text.fmt(f)
    }
}

impl From<Denied> for Refusal {
    fn from(why: Denied) -> Self {
        match why {
            Denied::Temporary => {
                Self::temporary(Text::literal("the credentials cannot be checked now, try again later"))
            }
            Denied::Expired => Self { code: Some(ResponseCode::Auth), text: Text::literal("the password has expired") },
            Denied::Forbidden => Self::permanent(Text::literal("this user may not use POP3")),
            // Whatever else there may be is the credentials' fault until this knows better.
            _ => Self { code: Some(ResponseCode::Auth), text: Text::literal("user name or password is wrong") },
        }
    }
}

/// The first line of every answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StatusLine {
    /// `+OK text`
    Ok(Text),
    /// `-ERR [code] text`
    Err(Refusal),
    /// `+ base64`: a SASL challenge (RFC 5034, 4), undecoded.
    Challenge(String),
}

impl StatusLine {
    /// Parses a line without its CRLF. Octets that are no UTF-8 and controls in the text are replaced.
    ///
    /// # Errors
    /// [`ParseError`] if it begins with none of `+OK`, `-ERR` and `+ `.
    pub fn parse(line: &[u8]) -> Result<Self, ParseError> {
        /// Longer than any line a session reads.
        const TEXT: usize = 1 << 16;
        let after = |word: &[u8]| {
            let (start, rest) = line.split_at_checked(word.len())?;
            let whole = rest.first().is_none_or(|b| matches!(b, b' ' | b'\t'));
            (whole && start.eq_ignore_ascii_case(word)).then(|| String::from_utf8_lossy(rest.trim_ascii()).into_owned())
        };
        if let Some(text) = after(b"+OK") {
            return Ok(Self::Ok(Text::lossy(&text, TEXT)));
        }
        if let Some(text) = after(b"-ERR") {
            let coded = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let (code, text) = match coded {
                // RFC 2449, 9: a code has no blanks.
                Some((code, text)) if !code.is_empty() && !code.contains(|c: char| c == ' ' || c.is_control()) => {
                    (Some(ResponseCode::parse(code)), text.trim_start())
                }
                Some(_) | None => (None, text.as_str()),
            };
            return Ok(Self::Err(Refusal { code, text: Text::lossy(text, TEXT) }));
        }
        match line {
            b"+" => Ok(Self::Challenge(String::new())),
            [b'+', b' ', challenge @ ..] => {
                Ok(Self::Challenge(String::from_utf8_lossy(challenge.trim_ascii()).into_owned()))
            }
            _ => Err(ParseError { at: 0, expected: "+OK or -ERR" }),
        }
    }
}
