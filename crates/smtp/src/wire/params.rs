//! The parameters of MAIL and RCPT (RFC 5321, 4.1.2; RFC 1870, 2852, 3461, 3865, 4865, 4954, 6152, 6531, 6533, 6710, 7293,
//! 8689).

use super::cursor::{KEYWORD, VALUE};
use super::terms::short_number;
use super::{Cursor, DeliverBy, Hold, Priority, Solicitation, ValidSince, is};
use crate::address::{Mailbox, ReversePath};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::str::FromStr;
use postrider_core::ParseError;

/// What follows the path in MAIL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct MailParams {
    /// `SIZE=`: how large the message is said to be, in octets (RFC 1870). More than fits counts as `u64::MAX`.
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152, RFC 3030).
    pub body: Option<BodyType>,
    /// `SMTPUTF8`: addresses and header fields may hold UTF-8 (RFC 6531).
    pub smtp_utf8: bool,
    /// `RET=`: how much of the message a report should return (RFC 3461, 4.3).
    pub ret: Option<Ret>,
    /// `ENVID=`: the sender's name for this transaction (RFC 3461, 4.4).
    pub envelope_id: Option<EnvelopeId>,
    /// `AUTH=`: who submitted the message, as far as the client knows (RFC 4954, 5).
    pub auth: Option<ReversePath>,
    /// `REQUIRETLS`: relay only over verified TLS, or not at all (RFC 8689).
    pub require_tls: bool,
    /// `BY=`: until when to deliver (RFC 2852).
    pub deliver_by: Option<DeliverBy>,
    /// `HOLDFOR=` or `HOLDUNTIL=`: from when on to deliver (RFC 4865).
    pub hold: Option<Hold>,
    /// `MT-PRIORITY=`: how urgently (RFC 6710).
    pub priority: Option<Priority>,
    /// `SOLICIT=`: what the message solicits (RFC 3865).
    pub solicitation: Option<Solicitation>,
    /// Every other one, as it came.
    pub other: Vec<Parameter>,
}

/// What follows the path in RCPT.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RcptParams {
    /// `NOTIFY=`: when to send a report (RFC 3461, 4.1).
    pub notify: Option<Notify>,
    /// `ORCPT=`: whom the message was first for (RFC 3461, 4.2).
    pub original: Option<OriginalRecipient>,
    /// `RRVS=`: since when the mailbox must have had the same owner (RFC 7293).
    pub valid_since: Option<ValidSince>,
    /// Every other one, as it came.
    pub other: Vec<Parameter>,
}

/// What octets the message holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum BodyType {
    /// ASCII in lines of at most 998.
    SevenBit,
    /// Any octets in such lines (RFC 6152).
    EightBitMime,
    /// Any octets (RFC 3030).
    BinaryMime,
}

/// How much of the message a report should return.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ret {
    /// All of it.
    Full,
    /// The header only.
    Headers,
}

/// When to send a report about a recipient. None of the three is `NEVER`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Notify {
    /// When it was delivered.
    pub success: bool,
    /// When it cannot be delivered.
    pub failure: bool,
    /// When it is late.
    pub delay: bool,
}

impl Notify {
    /// No report at all.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };
}

/// The sender's name for a transaction: 1 to 100 printable characters of ASCII (RFC 3461, 4.4).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EnvelopeId(Box<str>);

impl EnvelopeId {
    /// Checks an identifier, not encoded.
    ///
    /// # Errors
    /// [`ParseError`] if it is empty, too long or not printable ASCII.
    //= 3461-4.4-1
    pub fn new(id: &str) -> Result<Self, ParseError> {
        if let Some(at) = id.bytes().position(|b| !matches!(b, b' '..=b'~')) {
            return Err(ParseError { at, expected: "printable ASCII" });
        }
        if id.is_empty() || xtext_len(id) > ENVELOPE_ID_LIMIT {
            return Err(ParseError { at: 0, expected: "an ENVID of 1 to 100 octets" });
        }
        Ok(Self(id.into()))
    }

    /// The identifier, not encoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

//= 3461-5.4-1
/// The longest ENVID, encoded (RFC 3461, 5.4).
const ENVELOPE_ID_LIMIT: usize = 100;
/// The longest ORCPT, encoded (RFC 3461, 5.4).
const ORIGINAL_LIMIT: usize = 500;

/// Whom a message was first for, before forwarding (RFC 3461, 4.2; RFC 6533, 3).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OriginalRecipient {
    address_type: Box<str>,
    address: Box<str>,
}

impl OriginalRecipient {
    /// An address of the type `rfc822`, or `utf-8` if it needs that.
    ///
    /// # Errors
    /// [`ParseError`] if the address is too long when it is encoded: such a message goes out without ORCPT.
    //= 3461-4.2-2
    pub fn of(mailbox: &Mailbox) -> Result<Self, ParseError> {
        Self::new(if mailbox.is_ascii() { "rfc822" } else { "utf-8" }, mailbox.as_str())
    }

    /// An address of any type, not encoded.
    ///
    /// # Errors
    /// [`ParseError`] if the type is not an atom, or the address is empty, holds a control character, or is not ASCII
    /// while its type is not `utf-8`, or both are longer than 500 octets as they are sent: encoded, with `;` between.
    pub fn new(address_type: &str, address: &str) -> Result<Self, ParseError> {
        // An atom, without what parts a parameter's value from its name and what begins an octet in xtext.
        let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*-/?^_`{|}~".contains(&b);
        if address_type.is_empty() || !address_type.bytes().all(atom) {
            return Err(ParseError { at: 0, expected: "an address type" });
        }
        let utf8 = address_type.eq_ignore_ascii_case("utf-8");
        if let Some((at, _)) = address.char_indices().find(|(_, c)| c.is_control() || !(utf8 || c.is_ascii())) {
            return Err(ParseError { at, expected: "a printable character" });
        }
        let original = Self { address_type: address_type.into(), address: address.into() };
        if address.is_empty() || original.encoded_len() > ORIGINAL_LIMIT {
            return Err(ParseError { at: 0, expected: "an address, of at most 500 octets with its type when encoded" });
        }
        Ok(original)
    }

    /// RFC 6533, 3: what is written as `\x{...}`, so that it is understood with and without SMTPUTF8.
    fn is_escaped(&self, c: char) -> bool {
        !c.is_ascii() || (c == '\\' && self.address_type.eq_ignore_ascii_case("utf-8"))
    }

    fn encode(&self, out: &mut String) {
        write!(out, "{};", self.address_type).expect("a String takes everything");
        for c in self.address.chars() {
            let written = if self.is_escaped(c) {
                write!(out, "\\x{{{:X}}}", u32::from(c))
            } else {
                write!(out, "{}", Xtext(c.encode_utf8(&mut [0; 4])))
            };
            written.expect("a String takes everything");
        }
    }

    /// How many octets [`OriginalRecipient::encode`] writes.
    fn encoded_len(&self) -> usize {
        let len = |c: char| {
            if self.is_escaped(c) {
                let digits = (32 - u32::from(c).leading_zeros()).div_ceil(4) as usize;
                "\\x{}".len() + digits
            } else {
                xtext_len(c.encode_utf8(&mut [0; 4]))
            }
        };
        self.address_type.len() + 1 + self.address.chars().map(len).sum::<usize>()
    }

    /// The registered address type, `rfc822` or `utf-8` as a rule, in the case it came in.
    pub fn address_type(&self) -> &str {
        &self.address_type
    }

    /// The address, not encoded.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// A parameter by its keyword.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Parameter {
    keyword: Box<str>,
    value: Option<Box<str>>,
}

impl Parameter {
    /// Checks both (RFC 5321, 4.1.2: `esmtp-param`).
    ///
    /// # Errors
    /// [`ParseError`] if either holds what it must not.
    pub fn new(keyword: &str, value: Option<&str>) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(keyword.as_bytes());
        self::keyword(&mut cursor)?;
        cursor.end("the end of the keyword")?;
        if let Some(value) = value {
            let mut cursor = Cursor::new(value.as_bytes());
            self::value(&mut cursor)?;
            cursor.end("the end of the value")?;
        }
        Ok(Self { keyword: keyword.into(), value: value.map(Into::into) })
    }

    /// The keyword as it came. Compare it without regard to case, or with [`Parameter::is`].
    pub fn keyword(&self) -> &str {
        &self.keyword
    }

    /// Whether this is its keyword, in any case.
    pub fn is(&self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }

    /// The value, if there was one.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

/// What is wrong with a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParamError {
    /// It is not written as it should be.
    #[error(transparent)]
    Syntax(#[from] ParseError),
    /// It was there before.
    #[error("the parameter at byte {at} is given twice")]
    Duplicate {
        /// Where the second one is.
        at: usize,
    },
    /// Its value is none that it can have.
    #[error("the parameter at byte {at} cannot have this value")]
    Value {
        /// Where it is.
        at: usize,
    },
}

impl MailParams {
    /// Reads what stands after the path: nothing, or a space and parameters.
    //= 3461-4.3-1
    #[inline]
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParamError> {
        while let Some((at, name, value)) = next(cursor)? {
            match name.len() {
                4 if is(name, b"SIZE") => {
                    let digits = value.ok_or(ParamError::Value { at })?;
                    once(&mut self.size, size(digits).ok_or(ParamError::Value { at })?, at)?;
                }
                4 if is(name, b"BODY") => {
                    let body = match value.ok_or(ParamError::Value { at })? {
                        v if is(v, b"7BIT") => BodyType::SevenBit,
                        v if is(v, b"8BITMIME") => BodyType::EightBitMime,
                        v if is(v, b"BINARYMIME") => BodyType::BinaryMime,
                        _ => return Err(ParamError::Value { at }),
                    };
                    once(&mut self.body, body, at)?;
                }
                8 if is(name, b"SMTPUTF8") => flag(&mut self.smtp_utf8, value, at)?,
                3 if is(name, b"RET") => {
                    let ret = match value.ok_or(ParamError::Value { at })? {
                        v if is(v, b"FULL") => Ret::Full,
                        v if is(v, b"HDRS") => Ret::Headers,
                        _ => return Err(ParamError::Value { at }),
                    };
                    once(&mut self.ret, ret, at)?;
                }
                5 if is(name, b"ENVID") => {
                    let id = xtext(value.ok_or(ParamError::Value { at })?).ok_or(ParamError::Value { at })?;
                    let id = EnvelopeId::new(&id).map_err(|_| ParamError::Value { at })?;
                    once(&mut self.envelope_id, id, at)?;
                }
                4 if is(name, b"AUTH") => {
                    let who = xtext(value.ok_or(ParamError::Value { at })?).ok_or(ParamError::Value { at })?;
                    let who = match &*who {
                        "<>" => ReversePath::Null,
                        who => ReversePath::Mailbox(Mailbox::parse(who).map_err(|_| ParamError::Value { at })?),
                    };
                    once(&mut self.auth, who, at)?;
                }
                10 if is(name, b"REQUIRETLS") => flag(&mut self.require_tls, value, at)?,
                2 if is(name, b"BY") => once(&mut self.deliver_by, typed(value, at)?, at)?,
                7 if is(name, b"HOLDFOR") => {
                    let seconds = value.and_then(|v| core::str::from_utf8(v).ok()).and_then(short_number);
                    let seconds = seconds.filter(|seconds| *seconds > 0).ok_or(ParamError::Value { at })?;
                    once(&mut self.hold, Hold::For(seconds), at)?;
                }
                9 if is(name, b"HOLDUNTIL") => {
                    once(&mut self.hold, Hold::Until(typed(value, at)?), at)?;
                }
                11 if is(name, b"MT-PRIORITY") => {
                    once(&mut self.priority, typed(value, at)?, at)?;
                }
                7 if is(name, b"SOLICIT") => {
                    once(&mut self.solicitation, typed(value, at)?, at)?;
                }
                _ => other(&mut self.other, name, value, at)?,
            }
        }
        Ok(())
    }

    /// Writes each one with a space before it.
    //= 3461-4.5-1
    pub(crate) fn encode(&self, out: &mut String) {
        let mut put = |text: fmt::Arguments<'_>| out.write_fmt(text).expect("a String takes everything");
        if let Some(size) = self.size {
            put(format_args!(" SIZE={size}"));
        }
        match self.body {
            None => {}
            Some(BodyType::SevenBit) => put(format_args!(" BODY=7BIT")),
            Some(BodyType::EightBitMime) => put(format_args!(" BODY=8BITMIME")),
            Some(BodyType::BinaryMime) => put(format_args!(" BODY=BINARYMIME")),
        }
        if self.smtp_utf8 {
            put(format_args!(" SMTPUTF8"));
        }
        match self.ret {
            None => {}
            Some(Ret::Full) => put(format_args!(" RET=FULL")),
            Some(Ret::Headers) => put(format_args!(" RET=HDRS")),
        }
        if let Some(id) = &self.envelope_id {
            put(format_args!(" ENVID={}", Xtext(&id.0)));
        }
        match &self.auth {
            None => {}
            Some(ReversePath::Null) => put(format_args!(" AUTH=<>")),
            Some(ReversePath::Mailbox(who)) => put(format_args!(" AUTH={}", Xtext(who.as_str()))),
        }
        if self.require_tls {
            put(format_args!(" REQUIRETLS"));
        }
        if let Some(by) = self.deliver_by {
            put(format_args!(" BY={by}"));
        }
        match &self.hold {
            None => {}
            Some(Hold::For(seconds)) => put(format_args!(" HOLDFOR={}", seconds.clamp(&1, &999_999_999))),
            Some(Hold::Until(time)) => put(format_args!(" HOLDUNTIL={time}")),
        }
        if let Some(priority) = self.priority {
            put(format_args!(" MT-PRIORITY={priority}"));
        }
        if let Some(solicitation) = &self.solicitation {
            put(format_args!(" SOLICIT={solicitation}"));
        }
        encode_other(&self.other, out);
    }
}

impl RcptParams {
    /// Reads what stands after the path: nothing, or a space and parameters.
    #[inline]
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParamError> {
        while let Some((at, name, value)) = next(cursor)? {
            match name.len() {
                6 if is(name, b"NOTIFY") => {
                    let when = value.and_then(notify).ok_or(ParamError::Value { at })?;
                    once(&mut self.notify, when, at)?;
                }
                5 if is(name, b"ORCPT") => {
                    let original = value.and_then(original).ok_or(ParamError::Value { at })?;
                    once(&mut self.original, original, at)?;
                }
                4 if is(name, b"RRVS") => once(&mut self.valid_since, typed(value, at)?, at)?,
                _ => other(&mut self.other, name, value, at)?,
            }
        }
        Ok(())
    }

    /// Writes each one with a space before it.
    pub(crate) fn encode(&self, out: &mut String) {
        if let Some(Notify { success, failure, delay }) = self.notify {
            out.push_str(" NOTIFY=");
            let when = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
            let mut first = true;
            for (_, word) in when.iter().filter(|(wanted, _)| *wanted) {
                if !core::mem::take(&mut first) {
                    out.push(',');
                }
                out.push_str(word);
            }
            if first {
                out.push_str("NEVER");
            }
        }
        if let Some(original) = &self.original {
            out.push_str(" ORCPT=");
            original.encode(out);
        }
        if let Some(since) = &self.valid_since {
            write!(out, " RRVS={since}").expect("a String takes everything");
        }
        encode_other(&self.other, out);
    }
}

type Raw<'a> = (usize, &'a [u8], Option<&'a [u8]>);

/// As it stands in the command, after the path: nothing, or a space before each parameter.
impl fmt::Display for MailParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.encode(&mut out);
        f.write_str(&out)
    }
}

impl FromStr for MailParams {
    type Err = ParamError;
    fn from_str(text: &str) -> Result<Self, ParamError> {
        let mut params = Self::default();
        params.read(&mut Cursor::new(text.as_bytes()))?;
        Ok(params)
    }
}

/// As it stands in the command, after the path: nothing, or a space before each parameter.
impl fmt::Display for RcptParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.encode(&mut out);
        f.write_str(&out)
    }
}

impl FromStr for RcptParams {
    type Err = ParamError;
    fn from_str(text: &str) -> Result<Self, ParamError> {
        let mut params = Self::default();
        params.read(&mut Cursor::new(text.as_bytes()))?;
        Ok(params)
    }
}

/// The next parameter after a space. White space at the end is nothing (RFC 5321, 4.1.1).
#[inline]
fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Raw<'a>>, ParseError> {
    if cursor.rest().is_empty() || cursor.rest().iter().all(|&b| matches!(b, b' ' | b'\t')) {
        cursor.skip(cursor.rest().len());
        return Ok(None);
    }
    cursor.expect(b' ', "a space before the parameter")?;
    let at = cursor.at();
    let name = keyword(cursor)?;
    let value = if cursor.eat(b'=') { Some(value(cursor)?) } else { None };
    Ok(Some((at, name, value)))
}

fn keyword<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], ParseError> {
    let (at, keyword) = (cursor.at(), cursor.take_class(KEYWORD));
    if matches!(keyword, [] | [b'-', ..]) {
        return Err(ParseError { at, expected: "a parameter's keyword" });
    }
    Ok(keyword)
}

fn value<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], ParseError> {
    let start = cursor.at();
    let value = cursor.take_class(VALUE);
    if value.is_empty() {
        return cursor.fail("a parameter's value");
    }
    if !value.is_ascii() {
        cursor.since(start)?;
    }
    Ok(value)
}

/// A value by its type.
fn typed<T: FromStr>(value: Option<&[u8]>, at: usize) -> Result<T, ParamError> {
    let value = value.and_then(|value| core::str::from_utf8(value).ok()).ok_or(ParamError::Value { at })?;
    value.parse().map_err(|_| ParamError::Value { at })
}

//= 3461-4.5-2
fn once<T>(slot: &mut Option<T>, value: T, at: usize) -> Result<(), ParamError> {
    if slot.is_some() {
        return Err(ParamError::Duplicate { at });
    }
    *slot = Some(value);
    Ok(())
}

//= 6531-3.4-2
fn flag(slot: &mut bool, value: Option<&[u8]>, at: usize) -> Result<(), ParamError> {
    if value.is_some() {
        return Err(ParamError::Value { at });
    }
    if core::mem::replace(slot, true) {
        return Err(ParamError::Duplicate { at });
    }
    Ok(())
}

fn other(list: &mut Vec<Parameter>, name: &[u8], value: Option<&[u8]>, at: usize) -> Result<(), ParamError> {
    if list.iter().any(|p| p.keyword.as_bytes().eq_ignore_ascii_case(name)) {
        return Err(ParamError::Duplicate { at });
    }
    let text = |octets: &[u8]| -> Box<str> { core::str::from_utf8(octets).expect("checked when read").into() };
    list.push(Parameter { keyword: text(name), value: value.map(text) });
    Ok(())
}

fn encode_other(list: &[Parameter], out: &mut String) {
    for Parameter { keyword, value } in list {
        out.push(' ');
        out.push_str(keyword);
        if let Some(value) = value {
            out.push('=');
            out.push_str(value);
        }
    }
}

/// RFC 1870, 3: up to 20 digits, which may be more than fits.
fn size(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    // No 19 digits are too large.
    let (first, last) = digits.split_at(digits.len().min(19));
    let first = first.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))?;
    last.iter()
        .try_fold(first, |n, b| b.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(u64::from(b - b'0'))))
}

//= 3461-4.1-1
fn notify(value: &[u8]) -> Option<Notify> {
    if is(value, b"NEVER") {
        return Some(Notify::NEVER);
    }
    let mut when = Notify::NEVER;
    for word in value.split(|&b| b == b',') {
        let slot = match word {
            w if is(w, b"SUCCESS") => &mut when.success,
            w if is(w, b"FAILURE") => &mut when.failure,
            w if is(w, b"DELAY") => &mut when.delay,
            _ => return None,
        };
        if core::mem::replace(slot, true) {
            return None;
        }
    }
    Some(when)
}

//= 3461-4.2-1
fn original(value: &[u8]) -> Option<OriginalRecipient> {
    if value.len() > ORIGINAL_LIMIT {
        return None;
    }
    let semicolon = memchr::memchr(b';', value)?;
    let address_type = core::str::from_utf8(&value[..semicolon]).ok()?;
    let utf8 = address_type.eq_ignore_ascii_case("utf-8");
    let address = if utf8 { utf8_xtext(&value[semicolon + 1..])?.into() } else { xtext(&value[semicolon + 1..])? };
    OriginalRecipient::new(address_type, &address).ok()
}

/// RFC 3461, 4: printable ASCII but `+` and `=`, and `+` with two upper case hexadecimal digits. What it decodes to
/// must be ASCII without controls here: nothing we take as xtext may hold them.
pub(super) fn xtext(encoded: &[u8]) -> Option<Cow<'_, str>> {
    if encoded.iter().all(|b| matches!(b, b'!'..=b'*' | b','..=b'<' | b'>'..=b'~')) {
        return core::str::from_utf8(encoded).ok().map(Cow::Borrowed);
    }
    let mut plain = String::with_capacity(encoded.len());
    let mut octets = encoded.iter();
    while let Some(&octet) = octets.next() {
        let octet = match octet {
            b'+' => hex(*octets.next()?)? << 4 | hex(*octets.next()?)?,
            b'!'..=b'<' | b'>'..=b'~' => octet,
            _ => return None,
        };
        if !matches!(octet, b' '..=b'~') {
            return None;
        }
        plain.push(char::from(octet));
    }
    Some(Cow::Owned(plain))
}

/// RFC 6533, 3: xtext with `\x{...}` for a character, or UTF-8 as it is.
fn utf8_xtext(encoded: &[u8]) -> Option<String> {
    let mut text = core::str::from_utf8(encoded).ok()?;
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = text.chars().next() {
        text = &text[c.len_utf8()..];
        let c = match c {
            '+' => {
                let pair = text.get(..2)?.as_bytes();
                text = &text[2..];
                char::from(hex(pair[0])? << 4 | hex(pair[1])?)
            }
            '\\' => {
                let (digits, rest) = text.strip_prefix("x{")?.split_once('}')?;
                text = rest;
                if digits.len() > 6 || digits.starts_with('+') {
                    return None;
                }
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            '=' => return None,
            c => c,
        };
        if c.is_control() {
            return None;
        }
        plain.push(c);
    }
    Some(plain)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn xtext_len(plain: &str) -> usize {
    plain.bytes().map(|b| if matches!(b, b'!'..=b'~') && !matches!(b, b'+' | b'=') { 1 } else { 3 }).sum()
}

/// Shows text as xtext.
pub(super) struct Xtext<'a>(pub(super) &'a str);

impl fmt::Display for Xtext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octet in self.0.bytes() {
            match octet {
                b'+' | b'=' | ..b'!' | 127.. => write!(f, "+{octet:02X}")?,
                b'!'..=b'~' => write!(f, "{}", char::from(octet))?,
            }
        }
        Ok(())
    }
}
