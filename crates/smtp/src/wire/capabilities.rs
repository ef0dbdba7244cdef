//! What a server offers: the reply to EHLO and LHLO (RFC 5321, 4.1.1.1).

use super::{FutureRelease, Reply, Solicitation, Words, XclientAttribute, is};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use postrider_sasl::MechanismName;

/// What a server offers. `Default` is what follows HELO: nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870): the largest message, in octets; 0 if there is no fixed limit.
    pub size: Option<u64>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// BINARYMIME (RFC 3030).
    pub binary_mime: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// STARTTLS (RFC 3207).
    pub start_tls: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// AUTH (RFC 4954): the mechanisms, each once, in the server's order.
    pub auth: Vec<MechanismName>,
    /// LIMITS (RFC 9422): recipients in a transaction.
    pub recipients_max: Option<u32>,
    /// LIMITS (RFC 9422): transactions in a session.
    pub transactions_max: Option<u32>,
    /// LIMITS (RFC 9422): different domains among the recipients of a session.
    pub recipient_domains_max: Option<u32>,
    /// DELIVERBY (RFC 2852): the shortest time that may be asked for with [`ByMode::Return`](super::ByMode::Return), in
    /// seconds; 0 if there is none.
    pub deliver_by: Option<u32>,
    /// FUTURERELEASE (RFC 4865): how long messages may be held.
    pub future_release: Option<FutureRelease>,
    /// MT-PRIORITY (RFC 6710): the name of the server's profile, if it says one.
    pub mt_priority: Option<Words>,
    /// NO-SOLICITING (RFC 3865).
    pub no_soliciting: bool,
    /// NO-SOLICITING (RFC 3865): what solicitation is not wanted from anybody to anybody.
    pub unwanted: Option<Solicitation>,
    /// RRVS (RFC 7293).
    pub rrvs: bool,
    /// ETRN (RFC 1985).
    pub etrn: bool,
    /// BURL (RFC 4468): `imap` or `imap://` and a host, if URLs of that kind may be used now.
    pub burl: Option<Words>,
    /// XCLIENT: the attributes that are taken, each once.
    pub xclient: Vec<XclientAttribute>,
    /// Every other one.
    pub other: Vec<Extension>,
}

/// A service extension by its keyword.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Extension {
    keyword: Box<str>,
    params: Box<str>,
}

impl Extension {
    /// Checks an extension's keyword and its parameters, which are separated by spaces.
    ///
    /// `None` if the keyword is not of letters, digits and hyphens, or a parameter not of printable ASCII.
    pub fn new(keyword: &str, params: &str) -> Option<Self> {
        let good = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && params.bytes().all(|b| matches!(b, b' '..=b'~'));
        good.then(|| Self { keyword: keyword.to_ascii_uppercase().into(), params: params.into() })
    }

    /// The keyword in upper case.
    pub fn keyword(&self) -> &str {
        &self.keyword
    }

    /// What follows the keyword, as it came.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.params.split_ascii_whitespace()
    }
}

impl Capabilities {
    /// Reads a positive reply to EHLO or LHLO. Lines that are no keyword are left out.
    pub fn from_reply(reply: &Reply) -> Self {
        let mut capabilities = Self::default();
        // The first line is the greeting.
        for line in reply.lines().skip(1) {
            if !capabilities.add_flag(line) {
                capabilities.add(line);
            }
        }
        capabilities
    }

    /// An extension by its keyword, in any case, among those without a field of their own.
    pub fn other(&self, keyword: &str) -> Option<&Extension> {
        self.other.iter().find(|extension| extension.keyword.eq_ignore_ascii_case(keyword))
    }

    /// Adds a keyword that says all there is to say. False if it is another.
    //= 5321-4.1.1.1-3
    fn add_flag(&mut self, keyword: &[u8]) -> bool {
        let flag = match keyword.len() {
            3 if is(keyword, b"DSN") => &mut self.dsn,
            4 if is(keyword, b"RRVS") => &mut self.rrvs,
            4 if is(keyword, b"ETRN") => &mut self.etrn,
            8 if is(keyword, b"8BITMIME") => &mut self.eight_bit_mime,
            8 if is(keyword, b"CHUNKING") => &mut self.chunking,
            //= 6531-3.1-2
            8 if is(keyword, b"SMTPUTF8") => &mut self.smtp_utf8,
            8 if is(keyword, b"STARTTLS") => &mut self.start_tls,
            10 if is(keyword, b"PIPELINING") => &mut self.pipelining,
            10 if is(keyword, b"BINARYMIME") => &mut self.binary_mime,
            10 if is(keyword, b"REQUIRETLS") => &mut self.require_tls,
            19 if is(keyword, b"ENHANCEDSTATUSCODES") => &mut self.enhanced_status_codes,
            _ => return false,
        };
        *flag = true;
        true
    }

    fn add(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        // Old servers write "AUTH=LOGIN PLAIN", from a draft of RFC 2554.
        let between = |b: &u8| matches!(b, b' ' | b'\t' | b'=');
        let (keyword, rest) = line.split_at(line.iter().position(between).unwrap_or(line.len()));
        let rest = &rest[rest.iter().position(|b| !between(b)).unwrap_or(rest.len())..];
        if self.add_flag(keyword) {
            return;
        }
        let mut words = rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        //= 5321-4.1.1.1-3
        match keyword.len() {
            4 if is(keyword, b"SIZE") => self.size = Some(words.next().and_then(number).unwrap_or(0)),
            4 if is(keyword, b"AUTH") => {
                for mechanism in words.filter_map(MechanismName::parse) {
                    if !self.auth.contains(&mechanism) {
                        self.auth.push(mechanism);
                    }
                }
            }
            _ => {
                if let (Ok(keyword), Ok(params)) = (core::str::from_utf8(keyword), core::str::from_utf8(rest)) {
                    self.add_rarer(keyword, params);
                }
            }
        }
    }

    fn add_rarer(&mut self, keyword: &str, params: &str) {
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        match keyword.len() {
            6 if is("LIMITS") => {
                for limit in params.split_ascii_whitespace() {
                    let Some((name, value)) = limit.split_once('=') else { continue };
                    let Ok(value @ 1..) = value.parse() else { continue };
                    match name {
                        n if n.eq_ignore_ascii_case("RCPTMAX") => self.recipients_max = Some(value),
                        n if n.eq_ignore_ascii_case("MAILMAX") => self.transactions_max = Some(value),
                        n if n.eq_ignore_ascii_case("RCPTDOMAINMAX") => self.recipient_domains_max = Some(value),
                        _ => {}
                    }
                }
            }
            9 if is("DELIVERBY") => self.deliver_by = Some(params.trim_ascii().parse().unwrap_or(0)),
            13 if is("FUTURERELEASE") => match params.trim_ascii().parse() {
                Ok(limits) => self.future_release = Some(limits),
                // Without its limits, nobody knows what may be asked for.
                Err(_) => self.other.extend(Extension::new(keyword, params)),
            },
            11 if is("MT-PRIORITY") => self.mt_priority = Some(params.parse().unwrap_or_default()),
            13 if is("NO-SOLICITING") => {
                self.no_soliciting = true;
                self.unwanted = params.trim_ascii().parse().ok();
            }
            4 if is("BURL") => self.burl = Some(params.parse().unwrap_or_default()),
            7 if is("XCLIENT") => {
                for attribute in params.split_ascii_whitespace().filter_map(XclientAttribute::of) {
                    if !self.xclient.contains(&attribute) {
                        self.xclient.push(attribute);
                    }
                }
            }
            _ => self.other.extend(Extension::new(keyword, params)),
        }
    }

    /// The lines of a reply to EHLO after the greeting, without code and CRLF.
    //= 5321-2.2.2-1, 5321-4.1.1.1-4, 6531-3.1-1
    pub fn lines(&self) -> Vec<String> {
        use alloc::format;
        let mut lines = Vec::new();
        let flags = [
            (self.pipelining, "PIPELINING"),
            (self.eight_bit_mime, "8BITMIME"),
            (self.binary_mime, "BINARYMIME"),
            (self.chunking, "CHUNKING"),
            (self.smtp_utf8, "SMTPUTF8"),
            (self.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
            (self.dsn, "DSN"),
            (self.start_tls, "STARTTLS"),
            (self.require_tls, "REQUIRETLS"),
            (self.rrvs, "RRVS"),
            (self.etrn, "ETRN"),
        ];
        lines.extend(flags.iter().filter(|(offered, _)| *offered).map(|(_, keyword)| String::from(*keyword)));
        match self.size {
            None => {}
            Some(0) => lines.push("SIZE".into()),
            Some(limit) => lines.push(format!("SIZE {limit}")),
        }
        if !self.auth.is_empty() {
            let mut line = String::from("AUTH");
            for mechanism in &self.auth {
                line.push(' ');
                line.push_str(mechanism.as_str());
            }
            lines.push(line);
        }
        let mut limits = String::new();
        if let Some(limit) = self.recipients_max {
            limits.push_str(&format!(" RCPTMAX={limit}"));
        }
        if let Some(limit) = self.transactions_max {
            limits.push_str(&format!(" MAILMAX={limit}"));
        }
        if let Some(limit) = self.recipient_domains_max {
            limits.push_str(&format!(" RCPTDOMAINMAX={limit}"));
        }
        if !limits.is_empty() {
            lines.push(format!("LIMITS{limits}"));
        }
        let words = |keyword: &str, words: &str| {
            if words.is_empty() { keyword.into() } else { format!("{keyword} {words}") }
        };
        match self.deliver_by {
            None => {}
            Some(0) => lines.push("DELIVERBY".into()),
            Some(least) => lines.push(format!("DELIVERBY {least}")),
        }
        lines.extend(self.future_release.as_ref().map(|limits| format!("FUTURERELEASE {limits}")));
        lines.extend(self.mt_priority.as_ref().map(|profile| words("MT-PRIORITY", profile.as_str())));
        if self.no_soliciting {
            lines.push(words("NO-SOLICITING", self.unwanted.as_ref().map_or("", Solicitation::as_str)));
        }
        lines.extend(self.burl.as_ref().map(|offer| words("BURL", offer.as_str())));
        if !self.xclient.is_empty() {
            let names: Vec<&str> = self.xclient.iter().map(|attribute| attribute.as_str()).collect();
            lines.push(format!("XCLIENT {}", names.join(" ")));
        }
        for Extension { keyword, params } in &self.other {
            lines.push(words(keyword, params));
        }
        lines
    }
}

/// A number of any size that fits.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
