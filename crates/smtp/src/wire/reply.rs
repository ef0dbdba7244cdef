//! Replies: three digits, a code that says more, and text that nobody may trust (RFC 5321, 4.2; RFC 2034).

use super::find_lf;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};
use postrider_core::{ParseError, Text};

/// The three digits of a reply, 200 to 599 with a second digit up to 5 (RFC 5321, 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyCode(u16);

impl ReplyCode {
    /// `None` if it is no reply code.
    //= 5321-4.2-7, 5321-4.2-8
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 200 && code <= 599 && (code / 10) % 10 <= 5 { Some(Self(code)) } else { None }
    }

    fn of(digits: [u8; 3]) -> Result<Self, ReplyError> {
        let [a @ b'2'..=b'5', b @ b'0'..=b'5', c @ b'0'..=b'9'] = digits else { return malformed(0, "a reply code") };
        let digit = |octet: u8| u16::from(octet - b'0');
        Ok(Self(digit(a) * 100 + digit(b) * 10 + digit(c)))
    }

    /// A code known when the program is written.
    ///
    /// # Panics
    /// If it is no reply code; in a `const` that is an error of compilation.
    pub const fn literal(code: u16) -> Self {
        match Self::new(code) {
            Some(code) => code,
            None => panic!("not a reply code"),
        }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// What its first digit says.
    pub const fn class(self) -> ReplyClass {
        match self.0 / 100 {
            2 => ReplyClass::Done,
            3 => ReplyClass::GoOn,
            4 => ReplyClass::Transient,
            _ => ReplyClass::Permanent,
        }
    }
}

impl fmt::Debug for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What the first digit of a reply says (RFC 5321, 4.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReplyClass {
    /// 2yz: it is done.
    Done,
    /// 3yz: the server waits for more.
    GoOn,
    /// 4yz: not now. The same may succeed later.
    Transient,
    /// 5yz: no, and it will be no again.
    Permanent,
}

/// An enhanced status code (RFC 3463), such as `5.1.1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnhancedCode {
    class: u8,
    subject: u16,
    detail: u16,
}

impl EnhancedCode {
    /// `None` unless the class is 2, 4 or 5 and the others are below 1000.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Option<Self> {
        if matches!(class, 2 | 4 | 5) && subject < 1000 && detail < 1000 {
            Some(Self { class, subject, detail })
        } else {
            None
        }
    }

    /// A code known when the program is written.
    ///
    /// # Panics
    /// If it is no enhanced code; in a `const` that is an error of compilation.
    pub const fn literal(class: u8, subject: u16, detail: u16) -> Self {
        match Self::new(class, subject, detail) {
            Some(code) => code,
            None => panic!("not an enhanced status code"),
        }
    }

    /// Reads a code that stands alone.
    ///
    /// # Errors
    /// [`ParseError`] if it is none.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        match split_enhanced(text) {
            Some((code, rest)) if rest == text.len() => Ok(code),
            Some((_, at)) => Err(ParseError { at, expected: "the end of the enhanced status code" }),
            None => Err(ParseError { at: 0, expected: "an enhanced status code" }),
        }
    }

    /// 2 for success, 4 for transient and 5 for permanent failure.
    pub const fn class(self) -> u8 {
        self.class
    }

    /// What it is about: 1 addresses, 2 the mailbox, 3 the mail system, 4 the network, 5 the protocol, 6 the message,
    /// 7 security or policy.
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// What exactly.
    pub const fn detail(self) -> u16 {
        self.detail
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl fmt::Debug for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The code at the beginning of `text`, and where the text after it and one space begins.
fn split_enhanced(text: &[u8]) -> Option<(EnhancedCode, usize)> {
    fn number(text: &[u8], at: &mut usize) -> Option<u16> {
        let start = *at;
        let mut value = 0;
        while let Some(octet) = text.get(*at)
            && octet.is_ascii_digit()
        {
            value = value * 10 + u16::from(octet - b'0');
            *at += 1;
            // RFC 2034, 4: up to three digits, without leading zeros.
            if *at - start > 3 || (*at - start == 2 && text[start] == b'0') {
                return None;
            }
        }
        (*at > start).then_some(value)
    }
    let class = match text.first()? {
        b @ (b'2' | b'4' | b'5') if text.get(1) == Some(&b'.') => b - b'0',
        _ => return None,
    };
    let mut at = 2;
    let subject = number(text, &mut at)?;
    if text.get(at) != Some(&b'.') {
        return None;
    }
    at += 1;
    let detail = number(text, &mut at)?;
    match text.get(at) {
        Some(b' ') => at += 1,
        Some(_) => return None,
        None => {}
    }
    Some((EnhancedCode { class, subject, detail }, at))
}

/// A complete reply of one or more lines, octet by octet as it came.
///
/// `Display` makes it safe to show: control characters are escaped and the text is cut. The octets themselves are in
/// [`Reply::lines`].
#[derive(Clone)]
pub struct Reply {
    code: ReplyCode,
    enhanced: Option<EnhancedCode>,
    /// All lines as on the wire, without the code of the first and the CRLF of the last: so one copy makes a reply.
    text: Vec<u8>,
}

/// What stands before the text of a line: the code, and a space or hyphen.
const HEAD: usize = 4;

/// Octets for the text of a reply of several lines, to begin with.
const LINES: usize = 512;

/// How many bytes of a reply's text `Display` shows.
const SHOWN: usize = 512;

impl Reply {
    /// A reply of one line.
    pub fn new(code: ReplyCode, enhanced: Option<EnhancedCode>, text: &Text) -> Self {
        let mut reply = Self { code, enhanced, text: Vec::new() };
        reply.push(text);
        reply
    }

    /// Adds a line. It has the same codes.
    #[must_use]
    pub fn and_line(mut self, text: &Text) -> Self {
        self.text.extend_from_slice(alloc::format!("\r\n{}-", self.code).as_bytes());
        self.push(text);
        self
    }

    fn push(&mut self, text: &Text) {
        if let Some(enhanced) = self.enhanced {
            self.text.extend_from_slice(alloc::format!("{enhanced} ").as_bytes());
        }
        self.text.extend_from_slice(text.as_str().as_bytes());
    }

    /// Reads a whole reply, each line ended by CRLF but perhaps the last.
    ///
    /// # Errors
    /// [`ParseError`] if it is not exactly one reply.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let mut reader = ReplyReader::new(usize::MAX, usize::MAX);
        let mut at = 0;
        loop {
            let (line, next) = match memchr::memmem::find(&octets[at..], b"\r\n") {
                Some(end) => (&octets[at..at + end], at + end + 2),
                None => (&octets[at..], octets.len()),
            };
            match reader.line(line) {
                Ok(Some(reply)) if next == octets.len() => return Ok(reply),
                Ok(Some(_)) => return Err(ParseError { at: next, expected: "the end of the reply" }),
                Ok(None) if next < octets.len() => at = next,
                Ok(None) => return Err(ParseError { at: next, expected: "another line of the reply" }),
                Err(ReplyError::Malformed(wrong)) => return Err(ParseError { at: at + wrong.at, ..wrong }),
                Err(ReplyError::TooLong { .. }) => return Err(ParseError { at, expected: "a shorter reply" }),
            }
        }
    }

    /// The three digits.
    pub fn code(&self) -> ReplyCode {
        self.code
    }

    /// What the first digit says.
    pub fn class(&self) -> ReplyClass {
        self.code.class()
    }

    /// 2yz.
    pub fn is_done(&self) -> bool {
        self.class() == ReplyClass::Done
    }

    /// 4yz.
    pub fn is_transient(&self) -> bool {
        self.class() == ReplyClass::Transient
    }

    /// 5yz.
    pub fn is_permanent(&self) -> bool {
        self.class() == ReplyClass::Permanent
    }

    /// The enhanced code of the first line, if it has one of the reply's own class.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The text of each line as it came, enhanced code included. Any octet but LF may be there.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Some(&self.text[..]);
        core::iter::from_fn(move || {
            let text = rest?;
            let Some(lf) = find_lf(text) else { return rest.take() };
            rest = Some(text[lf + 1..].get(HEAD..).unwrap_or_default());
            Some(&text[..lf - 1])
        })
    }

    /// The text of all lines without enhanced codes, made safe to show in one line and cut to `limit` bytes.
    //= 6531-3.7.4.1-2
    pub fn text(&self, limit: usize) -> Text {
        let mut shown = String::new();
        for line in self.lines() {
            let start = split_enhanced(line).map_or(0, |(_, at)| at);
            if !shown.is_empty() {
                shown.push(' ');
            }
            if shown.len() > limit {
                break;
            }
            // Escape sequences would reach the terminal of whoever reads the log.
            for chunk in line[start..].utf8_chunks() {
                for c in chunk.valid().chars() {
                    if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
                }
                for &octet in chunk.invalid() {
                    shown.extend(octet.escape_ascii().map(char::from));
                }
            }
        }
        Text::lossy(&shown, limit)
    }
}

impl PartialEq for Reply {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code && self.enhanced == other.enhanced && self.lines().eq(other.lines())
    }
}

impl Eq for Reply {}

impl Hash for Reply {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.code.hash(state);
        self.lines().for_each(|line| line.hash(state));
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        let text = self.text(SHOWN);
        if text.as_str().is_empty() { Ok(()) } else { write!(f, " {text}") }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({self})")
    }
}

/// Puts the lines of a reply together.
#[derive(Debug)]
pub struct ReplyReader {
    line_limit: usize,
    octet_limit: usize,
    lines: usize,
    /// The code of its lines, once it has begun, and how it is written.
    code: Option<([u8; 3], ReplyCode)>,
    enhanced: Option<EnhancedCode>,
    /// Octets of text, with one between two lines.
    octets: usize,
    /// As it will be in [`Reply`]; within a reply it ends with CRLF.
    text: Vec<u8>,
}

/// A line that belongs to no reply.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplyError {
    /// It is not a reply line, or has another code than the lines before it.
    #[error("a reply is malformed: {0}")]
    Malformed(ParseError),
    /// The reply has too many lines or octets.
    #[error("a reply is longer than {limit} {what}")]
    TooLong {
        /// Lines or octets.
        what: &'static str,
        /// The limit it broke.
        limit: usize,
    },
}

impl ReplyReader {
    /// Reads replies of at most `line_limit` lines with `octet_limit` octets of text in all.
    pub fn new(line_limit: usize, octet_limit: usize) -> Self {
        Self { line_limit, octet_limit, lines: 0, code: None, enhanced: None, octets: 0, text: Vec::new() }
    }

    /// Whether a reply has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.code.is_some()
    }

    /// Takes a line without its CRLF. `Some` if the reply is complete with it.
    ///
    /// # Errors
    /// [`ReplyError`]; what follows cannot be understood then.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let first = !self.is_within();
        let last = self.take(line)?;
        if find_lf(line).is_some() {
            return malformed(HEAD, "a line without LF in it");
        }
        let line = if first { line.get(HEAD..).unwrap_or_default() } else { line };
        if last {
            self.text.reserve_exact(line.len());
            self.text.extend_from_slice(line);
            return Ok(Some(self.complete()));
        }
        if self.text.capacity() == 0 {
            // The length of what follows is not known. Most replies to EHLO fit, and so grow no more.
            self.text.reserve_exact(LINES.min(self.octet_limit).max(line.len() + 2));
        }
        self.text.extend_from_slice(line);
        self.text.extend_from_slice(b"\r\n");
        Ok(None)
    }

    /// Reads on in a stream: whole lines, to the end of a reply at most. Says how many octets that was; what is left
    /// must be given again, with what comes after it. `Some` if the reply is complete.
    ///
    /// # Errors
    /// [`ReplyError`], with the position in its line; what follows cannot be understood then.
    pub fn read(&mut self, octets: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        // What is not copied yet, and the line.
        let (mut from, mut at) = (0, 0);
        while let Some(length) = find_lf(&octets[at..]) {
            let Some(line) = octets[at..at + length].strip_suffix(b"\r") else {
                return malformed(length, "CRLF at the end of a line");
            };
            if !self.is_within() {
                from = at + HEAD.min(line.len());
            }
            let last = self.take(line)?;
            at += length + 1;
            if last {
                self.text.extend_from_slice(&octets[from..at - 2]);
                return Ok((at, Some(self.complete())));
            }
        }
        self.text.extend_from_slice(&octets[from..at]);
        Ok((at, None))
    }

    /// Checks a line as the next of the reply. True if it is the last one.
    //= 2920-3.1-4, 2920-3.1-6, 5321-4.2-2
    #[inline]
    fn take(&mut self, line: &[u8]) -> Result<bool, ReplyError> {
        let Some((&digits, rest)) = line.split_first_chunk::<3>() else { return malformed(0, "a reply code") };
        let (last, text) = match rest {
            // RFC 5321, 4.2: servers should send the space, clients should do without.
            [] => (true, rest),
            [b' ', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            [..] => {
                ReplyCode::of(digits)?;
                return malformed(3, "a space or a hyphen after the reply code");
            }
        };
        match self.code {
            Some((first, _)) if first == digits => self.octets += 1,
            Some(_) => {
                ReplyCode::of(digits)?;
                return malformed(0, "the same code in each line of a reply");
            }
            None => self.begin(digits, text)?,
        }
        self.lines += 1;
        if self.lines > self.line_limit {
            return Err(ReplyError::TooLong { what: "lines", limit: self.line_limit });
        }
        self.octets = self.octets.saturating_add(text.len());
        if self.octets > self.octet_limit {
            return Err(ReplyError::TooLong { what: "octets", limit: self.octet_limit });
        }
        Ok(last)
    }

    fn begin(&mut self, digits: [u8; 3], text: &[u8]) -> Result<(), ReplyError> {
        self.code = Some((digits, ReplyCode::of(digits)?));
        self.enhanced =
            split_enhanced(text).map(|(enhanced, _)| enhanced).filter(|enhanced| enhanced.class == digits[0] - b'0');
        Ok(())
    }

    fn complete(&mut self) -> Reply {
        let (_, code) = self.code.take().expect("the last line has a code");
        (self.lines, self.octets) = (0, 0);
        Reply { code, enhanced: self.enhanced.take(), text: core::mem::take(&mut self.text) }
    }
}

fn malformed<T>(at: usize, expected: &'static str) -> Result<T, ReplyError> {
    Err(ReplyError::Malformed(ParseError { at, expected }))
}
