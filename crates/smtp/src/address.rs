//! Addresses and names: checked when made, kept exactly as written (RFC 5321, 4.1.2 and 4.1.3; RFC 6531, 3.3).

use crate::wire::{ATEXT, Cursor, HELLO, LABEL, begins};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;
use postrider_core::ParseError;

/// The longest local part, in octets (RFC 5321, 4.5.3.1.1).
//= 5321-4.5.3.1.1-1, 5321-4.5.3.1.3-1
pub const LOCAL_PART_LIMIT: usize = 64;
/// The longest domain, in octets (RFC 5321, 4.5.3.1.2).
//= 5321-4.5.3.1.2-1
pub const DOMAIN_LIMIT: usize = 255;
/// The longest label of a domain, in octets (RFC 1035, 2.3.4).
pub const LABEL_LIMIT: usize = 63;

/// A domain name, with A-labels or U-labels, without a dot at its end.
///
/// It is written as it was read, and compared without regard to ASCII case.
#[derive(Clone)]
pub struct Domain(Box<str>);

impl Domain {
    /// Checks a name (RFC 5321, 4.1.2: `Domain`; RFC 6531, 3.3 for U-labels).
    ///
    /// # Errors
    /// [`ParseError`] if it is none, or too long.
    pub fn parse(name: &str) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(name.as_bytes());
        domain(&mut cursor, LABEL)?;
        cursor.end("the end of the domain")?;
        checked(name, 0).map(|name| Self(name.into()))
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has no U-label, and so needs no SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// The name with A-labels, as it is looked up (RFC 5890, 2.3.2.1; UTS #46, without transitional processing). A name
    /// that is ASCII already stays as it is.
    ///
    /// # Errors
    /// [`ParseError`] if a label is no U-label, or the name becomes too long.
    #[cfg(feature = "idna")]
    pub fn to_ascii(&self) -> Result<Self, ParseError> {
        if self.is_ascii() {
            return Ok(self.clone());
        }
        let ascii = idna::domain_to_ascii_cow(self.0.as_bytes(), idna::AsciiDenyList::STD3);
        Self::parse(&ascii.map_err(|_| ParseError { at: 0, expected: "a name of U-labels" })?)
    }

    /// The name with U-labels, as it is shown. Labels that are no A-labels stay as they are, in lower case.
    ///
    /// # Errors
    /// [`ParseError`] if an A-label stands for nothing, or for what an address must not hold.
    #[cfg(feature = "idna")]
    pub fn to_unicode(&self) -> Result<Self, ParseError> {
        let (unicode, whole) = idna::domain_to_unicode(&self.0);
        whole.map_err(|_| ParseError { at: 0, expected: "a name of A-labels" })?;
        Self::parse(&unicode)
    }

    /// The name in lower case, as far as it is ASCII: for use as a key in files and databases.
    pub fn to_key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Domain {}

impl Hash for Domain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_ignoring_case(&self.0, state);
    }
}

impl PartialOrd for Domain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Domain {
    fn cmp(&self, other: &Self) -> Ordering {
        let lower = |b: u8| b.to_ascii_lowercase();
        self.0.bytes().map(lower).cmp(other.0.bytes().map(lower))
    }
}

/// Where a mailbox is: the right-hand side of its address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// A name to be looked up.
    Domain(Domain),
    /// An address in brackets.
    Literal(AddressLiteral),
}

impl Host {
    /// Reads either, a literal with its brackets.
    ///
    /// # Errors
    /// [`ParseError`] if it is neither.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.starts_with('[') {
            AddressLiteral::parse(text).map(Self::Literal)
        } else {
            Domain::parse(text).map(Self::Domain)
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Domain(domain) => domain.as_str(),
            Self::Literal(literal) => literal.as_str(),
        }
    }
}

/// An address literal, such as `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321, 4.1.3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AddressLiteral(Box<str>);

impl AddressLiteral {
    /// Reads a literal with its brackets.
    ///
    /// # Errors
    /// [`ParseError`] if it is none.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(text.as_bytes());
        literal(&mut cursor)?;
        cursor.end("the end of the address literal")?;
        Ok(Self(text.into()))
    }

    /// The literal for an IP address.
    pub fn from_ip(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self(format!("[{ip}]").into()),
            IpAddr::V6(ip) => Self(format!("[IPv6:{ip}]").into()),
        }
    }

    /// The IP address, unless it is another kind of address.
    pub fn ip(&self) -> Option<IpAddr> {
        ip_in(&self.0[1..self.0.len() - 1])
    }

    /// As it was written, with brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The left-hand side of an address, as it stands on the wire: a dot-string, or a quoted string with its quotes.
///
/// `"ab"` and `ab` are not equal here: no form is turned into the other (see [`LocalPart::unquoted`]).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// Reads a local part as on the wire.
    ///
    /// # Errors
    /// [`ParseError`] if it is none, or too long.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(text.as_bytes());
        local_part(&mut cursor)?;
        cursor.end("the end of the local part")?;
        checked(text, 0).map(|text| Self(text.into()))
    }

    /// The local part for a plain name, quoted only if it must be.
    ///
    /// # Errors
    /// [`ParseError`] if it holds a control character or is too long.
    //= 5321-4.1.2-2
    pub fn quote(name: &str) -> Result<Self, ParseError> {
        if let Ok(plain) = Self::parse(name)
            && !plain.0.starts_with('"')
        {
            return Ok(plain);
        }
        let mut quoted = String::from("\"");
        for c in name.chars() {
            if matches!(c, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
        Self::parse(&quoted)
    }

    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name meant, without quotes and backslashes: what to look a mailbox up by.
    pub fn unquoted(&self) -> Cow<'_, str> {
        unquoted(&self.0)
    }
}

/// A mailbox's address: local part, `@`, host (RFC 5321, 4.1.2: `Mailbox`).
///
/// Local parts are compared octet by octet, hosts without regard to ASCII case.
#[derive(Clone)]
pub struct Mailbox {
    text: Box<str>,
    /// Where the host begins in `text`.
    host: usize,
}

impl Mailbox {
    /// Joins both sides.
    pub fn new(local: &LocalPart, host: &Host) -> Self {
        Self { text: format!("{}@{}", local.0, host.as_str()).into(), host: local.0.len() + 1 }
    }

    /// Reads an address, without angle brackets.
    ///
    /// # Errors
    /// [`ParseError`] if it is none, or a part is too long.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(text.as_bytes());
        let mailbox = mailbox(&mut cursor)?;
        cursor.end("the end of the address")?;
        Ok(mailbox)
    }

    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part as on the wire.
    //= 6531-3.2-1, 6531-3.3-1
    pub fn local_part(&self) -> &str {
        &self.text[..self.host - 1]
    }

    /// The local part's meaning, without quotes and backslashes.
    //= 5321-2.3.11-1, 5321-4.1.2-1
    pub fn unquoted_local_part(&self) -> Cow<'_, str> {
        unquoted(self.local_part())
    }

    /// The host as on the wire: a domain, or a literal with its brackets.
    pub fn host_str(&self) -> &str {
        &self.text[self.host..]
    }

    /// The host.
    pub fn host(&self) -> Host {
        let host = self.host_str();
        if host.starts_with('[') {
            Host::Literal(AddressLiteral(host.into()))
        } else {
            Host::Domain(Domain(host.into()))
        }
    }

    /// The domain, unless the host is a literal.
    pub fn domain(&self) -> Option<Domain> {
        match self.host() {
            Host::Domain(domain) => Some(domain),
            Host::Literal(_) => None,
        }
    }

    /// Whether it can be used without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

//= 5321-2.4-2
impl PartialEq for Mailbox {
    fn eq(&self, other: &Self) -> bool {
        self.local_part() == other.local_part() && self.host_str().eq_ignore_ascii_case(other.host_str())
    }
}

impl Eq for Mailbox {}

impl Hash for Mailbox {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.local_part().hash(state);
        hash_ignoring_case(self.host_str(), state);
    }
}

/// Where reports about a message go: the argument of MAIL.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ReversePath {
    /// `<>`: nowhere. Reports have it, so that none is made about them (RFC 5321, 4.5.5).
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox, unless it is null.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// The address without angle brackets; empty for the null path.
    pub fn as_str(&self) -> &str {
        self.mailbox().map_or("", Mailbox::as_str)
    }

    /// Whether it can be used without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.as_str().is_ascii()
    }
}

impl From<Mailbox> for ReversePath {
    fn from(mailbox: Mailbox) -> Self {
        Self::Mailbox(mailbox)
    }
}

/// Whom a message is for: the argument of RCPT.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ForwardPath {
    /// `<postmaster>`, without a domain and in any case: whoever runs this host (RFC 5321, 4.5.1).
    Postmaster,
    /// A mailbox.
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// The mailbox, unless it is the host's own postmaster.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Postmaster => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// The address without angle brackets.
    pub fn as_str(&self) -> &str {
        self.mailbox().map_or("postmaster", Mailbox::as_str)
    }

    /// Whether it can be used without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.as_str().is_ascii()
    }
}

impl From<Mailbox> for ForwardPath {
    fn from(mailbox: Mailbox) -> Self {
        Self::Mailbox(mailbox)
    }
}

/// How a peer introduces itself: the argument of EHLO, HELO or LHLO. ASCII, at most 255 octets.
///
/// Underscores are let through in names: so many machines have them that refusing would lose mail.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HelloName(Box<str>);

impl HelloName {
    /// Reads a name or an address literal.
    ///
    /// # Errors
    /// [`ParseError`] if it is neither.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(text.as_bytes());
        let name = hello_name(&mut cursor)?;
        cursor.end("the end of the name")?;
        Ok(name)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&Domain> for HelloName {
    type Error = ParseError;
    /// U-labels have no place in a greeting (RFC 6531, 3.7.1).
    fn try_from(domain: &Domain) -> Result<Self, ParseError> {
        Self::parse(domain.as_str())
    }
}

//= 5321-4.1.1.1-1
impl From<&AddressLiteral> for HelloName {
    fn from(literal: &AddressLiteral) -> Self {
        Self(literal.0.clone())
    }
}

macro_rules! text_like {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
        impl FromStr for $type {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                Self::parse(text)
            }
        }
    )*};
}
text_like!(Domain, AddressLiteral, LocalPart, Mailbox, HelloName);

/// With angle brackets, as on the wire.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.as_str())
    }
}

/// With angle brackets, as on the wire.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.as_str())
    }
}

/// With angle brackets.
impl FromStr for ReversePath {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(text.as_bytes());
        let path = reverse_path(&mut cursor)?;
        cursor.end("the end of the path")?;
        Ok(path)
    }
}

/// With angle brackets.
impl FromStr for ForwardPath {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(text.as_bytes());
        let path = forward_path(&mut cursor)?;
        cursor.end("the end of the path")?;
        Ok(path)
    }
}

// ── grammar ──

/// `<>`, or a mailbox in angle brackets.
pub(crate) fn reverse_path(cursor: &mut Cursor<'_>) -> Result<ReversePath, ParseError> {
    cursor.expect(b'<', "\"<\"")?;
    if cursor.eat(b'>') {
        return Ok(ReversePath::Null);
    }
    let mailbox = routed_mailbox(cursor)?;
    cursor.expect(b'>', "\">\"")?;
    Ok(ReversePath::Mailbox(mailbox))
}

/// `<postmaster>`, or a mailbox in angle brackets.
//= 5321-2.3.5-3
pub(crate) fn forward_path(cursor: &mut Cursor<'_>) -> Result<ForwardPath, ParseError> {
    const POSTMASTER: &[u8; 11] = b"POSTMASTER>";
    cursor.expect(b'<', "\"<\"")?;
    if begins(cursor.rest(), POSTMASTER) {
        cursor.skip(POSTMASTER.len());
        return Ok(ForwardPath::Postmaster);
    }
    let mailbox = routed_mailbox(cursor)?;
    cursor.expect(b'>', "\">\"")?;
    Ok(ForwardPath::Mailbox(mailbox))
}

/// A mailbox after a source route, which is checked and ignored (RFC 5321, 4.1.1.3 and appendix C).
//= 5321-3.3-2, 5321-C-1
fn routed_mailbox(cursor: &mut Cursor<'_>) -> Result<Mailbox, ParseError> {
    if cursor.peek() == Some(b'@') {
        loop {
            cursor.expect(b'@', "\"@\"")?;
            let start = cursor.at();
            domain(cursor, LABEL)?;
            checked(cursor.since(start)?, start)?;
            if cursor.eat(b':') {
                break;
            }
            cursor.expect(b',', "\",\" or \":\" in a source route")?;
        }
    }
    mailbox(cursor)
}

pub(crate) fn mailbox(cursor: &mut Cursor<'_>) -> Result<Mailbox, ParseError> {
    let start = cursor.at();
    let mut ascii = local_part(cursor)?;
    cursor.expect(b'@', "\"@\"")?;
    let host = cursor.at() - start;
    match cursor.peek() {
        Some(b'[') => literal(cursor)?,
        _ => ascii &= domain(cursor, LABEL)?,
    }
    let text = cursor.since(start)?;
    if !ascii {
        checked(text, start)?;
    }
    Ok(Mailbox { text: text.into(), host })
}

//= 6531-3.7.1-1
pub(crate) fn hello_name(cursor: &mut Cursor<'_>) -> Result<HelloName, ParseError> {
    let start = cursor.at();
    match cursor.peek() {
        Some(b'[') => literal(cursor)?,
        _ => drop(domain(cursor, HELLO)?),
    }
    match cursor.since(start) {
        Ok(text) if text.is_ascii() => Ok(HelloName(text.into())),
        Ok(_) | Err(_) => Err(ParseError { at: start, expected: "a name of ASCII characters" }),
    }
}

/// True if it is known to be ASCII.
#[inline]
fn local_part(cursor: &mut Cursor<'_>) -> Result<bool, ParseError> {
    match cursor.take_dotted(ATEXT) {
        Some(ascii) => Ok(ascii),
        None => unusual_local_part(cursor).map(|()| false),
    }
}

fn unusual_local_part(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    let start = cursor.at();
    if cursor.peek() == Some(b'"') {
        quoted_string(cursor)?;
    } else {
        loop {
            if cursor.take_class(ATEXT).is_empty() {
                return cursor.fail("a local part");
            }
            if !cursor.eat(b'.') {
                break;
            }
        }
    }
    if cursor.at() - start > LOCAL_PART_LIMIT {
        return Err(ParseError { at: start, expected: "a local part of at most 64 octets" });
    }
    Ok(())
}

fn quoted_string(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    cursor.expect(b'"', "a quoted string")?;
    loop {
        match cursor.next() {
            Some(b'"') => return Ok(()),
            Some(b'\\') => match cursor.next() {
                // RFC 5321, 4.1.2: a quoted pair is of printable ASCII.
                Some(b' '..=b'~') => {}
                Some(_) | None => return cursor.fail("a printable ASCII character after \"\\\""),
            },
            Some(b' '..=b'~' | 128..) => {}
            Some(_) | None => return cursor.fail("a printable character or the closing quote"),
        }
    }
}

/// Labels of such octets, with dots between. True if they are known to be ASCII.
//= 5321-4.1.2-4
#[inline]
fn domain(cursor: &mut Cursor<'_>, octets: u8) -> Result<bool, ParseError> {
    match cursor.take_dotted(octets) {
        Some(ascii) => Ok(ascii),
        None => unusual_domain(cursor, octets).map(|()| false),
    }
}

fn unusual_domain(cursor: &mut Cursor<'_>, octets: u8) -> Result<(), ParseError> {
    let start = cursor.at();
    loop {
        let at = cursor.at();
        let fail = |expected| Err(ParseError { at, expected });
        let label = cursor.take_class(octets);
        let ([first, ..], [.., last]) = (label, label) else { return fail("a domain label") };
        if *first == b'-' || *last == b'-' {
            return fail("a label without a hyphen at its ends");
        }
        if label.len() > LABEL_LIMIT {
            return fail("a label of at most 63 octets");
        }
        if !cursor.eat(b'.') {
            break;
        }
    }
    if cursor.at() - start > DOMAIN_LIMIT {
        return Err(ParseError { at: start, expected: "a domain of at most 255 octets" });
    }
    Ok(())
}

fn literal(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    let start = cursor.at();
    cursor.expect(b'[', "\"[\"")?;
    // RFC 5321, 4.1.3: dcontent is printable ASCII but "[", "\" and "]".
    let run = cursor.rest().iter().take_while(|&&b| matches!(b, b'!'..=b'Z' | b'^'..=b'~')).count();
    let inside = core::str::from_utf8(&cursor.rest()[..run]).expect("checked to be ASCII above");
    let known = ip_in(inside).is_some() || is_general_literal(inside);
    if !known || run > DOMAIN_LIMIT {
        return Err(ParseError { at: start, expected: "an IPv4, IPv6 or tagged address literal" });
    }
    cursor.skip(run);
    cursor.expect(b']', "\"]\"")
}

fn ip_in(inside: &str) -> Option<IpAddr> {
    const TAG: usize = "IPv6:".len();
    if inside.get(..TAG).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:")) {
        Ipv6Addr::from_str(&inside[TAG..]).ok().map(IpAddr::V6)
    } else {
        Ipv4Addr::from_str(inside).ok().map(IpAddr::V4)
    }
}

fn is_general_literal(inside: &str) -> bool {
    let Some((tag, content)) = inside.split_once(':') else { return false };
    !content.is_empty()
        && !tag.eq_ignore_ascii_case("IPv6")
        && tag.ends_with(|c: char| c.is_ascii_alphanumeric())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The text, if it is without characters that no address should have: controls, spaces other than U+0020, and what
/// looks like a dot to some and not to others.
fn checked(text: &str, at: usize) -> Result<&str, ParseError> {
    if !text.is_ascii() {
        for (offset, c) in text.char_indices().filter(|(_, c)| !c.is_ascii()) {
            let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let dots = matches!(c, '\u{3002}' | '\u{ff0e}' | '\u{ff61}');
            if c.is_control() || c.is_whitespace() || bidi || dots || c == '\u{feff}' {
                return Err(ParseError { at: at + offset, expected: "a printable character" });
            }
        }
    }
    Ok(text)
}

fn unquoted(local: &str) -> Cow<'_, str> {
    let Some(inside) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(local);
    };
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut plain = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

fn hash_ignoring_case<H: Hasher>(name: &str, state: &mut H) {
    for b in name.bytes() {
        state.write_u8(b.to_ascii_lowercase());
    }
    state.write_u8(0xff);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen at one glance is what the closer look finds.
    #[test]
    fn names_are_read_alike_at_a_glance_and_closely() {
        const OCTETS: [u8; 7] = *b"a-._\xc3@\"";
        let mut texts = alloc::vec![alloc::vec![]];
        for start in 0..6 {
            let longest: alloc::vec::Vec<_> = texts.iter().filter(|text| text.len() == start).cloned().collect();
            texts.extend(longest.iter().flat_map(|text| OCTETS.map(|octet| [&text[..], &[octet]].concat())));
        }
        for label in [1, 62, 63, 64] {
            texts.push([b"a.".repeat(20), b"b".repeat(label)].concat());
            texts.push([b"b".repeat(label), b".a".repeat(120)].concat());
        }
        for text in &texts {
            for octets in [LABEL, HELLO] {
                let (mut glance, mut close) = (Cursor::new(text), Cursor::new(text));
                let ascii = domain(&mut glance, octets);
                let taken = unusual_domain(&mut close, octets).map(|()| close.at());
                assert_eq!(ascii.map(|_| glance.at()), taken, "{}", text.escape_ascii());
                assert!(ascii != Ok(true) || text[..glance.at()].is_ascii());
            }
            let (mut glance, mut close) = (Cursor::new(text), Cursor::new(text));
            let ascii = local_part(&mut glance);
            let taken = unusual_local_part(&mut close).map(|()| close.at());
            assert_eq!(ascii.map(|_| glance.at()), taken, "{}", text.escape_ascii());
        }
        assert!(texts.len() > 100_000);
    }
}
