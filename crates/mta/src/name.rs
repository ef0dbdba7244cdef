//! A name of the DNS, as text.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

/// A name of the DNS: lower case, without the final dot, at most 253 octets, labels of letters, digits, `-` and `_`.
///
/// Wider than a mail domain (`_25._tcp.mx.example` is a name), narrower than what the DNS could carry. Internationalised
/// domains are A-labels here (`xn--...`). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Longer than 253 octets, or a label longer than 63 (RFC 1035, 2.3.4).
    #[error("the name or one of its labels is too long")]
    TooLong,
    /// Two dots in a row, or a dot first.
    #[error("a label of the name is empty")]
    EmptyLabel,
    /// A domain with U-labels that have no A-labels (RFC 5891, 4.2).
    #[error("the internationalised domain cannot be written in ASCII")]
    NotIdna,
    /// An octet that no mail system uses in a name.
    #[error("the name holds something other than letters, digits, \"-\" and \"_\" at byte {at}")]
    BadOctet {
        /// Where it is.
        at: usize,
    },
}

impl Name {
    /// Longest name in octets, without the final dot (RFC 1035, 2.3.4).
    pub const LONGEST: usize = 253;

    /// Reads a name; a final dot is optional, and `"."` (or nothing) is the root.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn new(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Ok(Self::root());
        }
        if text.len() > Self::LONGEST {
            return Err(NameError::TooLong);
        }
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if let Some(at) = text.bytes().position(|b| !fits(b)) {
            return Err(NameError::BadOctet { at });
        }
        for label in text.split('.') {
            match label.len() {
                0 => return Err(NameError::EmptyLabel),
                1..=63 => {}
                _ => return Err(NameError::TooLong),
            }
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name for a mail domain: U-labels become A-labels (RFC 6531, 3.2; UTS #46, without transitional processing).
    ///
    /// # Errors
    /// See [`NameError`].
    //= 5321-5.1-2, 6531-3.2-2
    pub fn from_domain(domain: &str) -> Result<Self, NameError> {
        if domain.is_ascii() {
            return Self::new(domain);
        }
        let ascii = idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::STD3);
        Self::new(&ascii.map_err(|_| NameError::NotIdna)?)
    }

    /// The root, which as an exchange means "no mail here" (RFC 7505).
    pub fn root() -> Self {
        Self("".into())
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Without the final dot; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is written like an IPv4 address, which no host name is (RFC 1123, 2.1).
    pub fn looks_like_address(&self) -> bool {
        self.0.parse::<Ipv4Addr>().is_ok()
    }

    /// Whether it is `localhost` or below it (RFC 6761, 6.3).
    pub fn is_localhost(&self) -> bool {
        &*self.0 == "localhost" || self.0.ends_with(".localhost")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.to_string()
    }
}
