//! Mailbox names, and modified UTF-7.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::short::Short;

/// The name of a mailbox: `INBOX`, or Unicode text without control characters.
///
/// On the wire it is modified UTF-7 (RFC 3501, 5.1.3) or, once both sides know it, UTF-8 (RFC 9051, 5.1). Names are
/// decoded with one canonical form; a peer's name that is not in it is kept as the octets it was, so that a client
/// can still select it and a server can refuse it by name ([`Mailbox::is_odd`]).
///
/// A name is never a path: `..` and `/` may be in it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox(Name);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Inbox,
    Text(Short),
    Odd(Box<[u8]>),
}

/// The text cannot be the name of a mailbox: it is empty or has a control character.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a mailbox name is text without control characters, and not empty")]
pub struct BadMailbox;

impl Mailbox {
    /// The mailbox that everybody has. Its name has no case.
    pub const INBOX: Self = Self(Name::Inbox);

    /// Checks `name`. Any case of `inbox` is [`Mailbox::INBOX`].
    ///
    /// # Errors
    /// [`BadMailbox`] if it is empty or has a control character (also U+0080 to U+009F, U+2028 and U+2029:
    /// RFC 9051, 5.1).
    pub fn new(name: &str) -> Result<Self, BadMailbox> {
        if name.eq_ignore_ascii_case("inbox") {
            return Ok(Self::INBOX);
        }
        if name.is_empty() || !is_plain(name) {
            return Err(BadMailbox);
        }
        Ok(Self(Name::Text(Short::new(name))))
    }

    /// The name as text. Of an odd name, its octets as far as they are UTF-8.
    pub fn name(&self) -> alloc::borrow::Cow<'_, str> {
        match &self.0 {
            Name::Inbox => "INBOX".into(),
            Name::Text(text) => text.as_str().into(),
            Name::Odd(octets) => String::from_utf8_lossy(octets),
        }
    }

    /// Whether it is INBOX.
    pub fn is_inbox(&self) -> bool {
        matches!(self.0, Name::Inbox)
    }

    /// Whether the peer sent something that is not the canonical form of a name. Servers refuse it with `[CANNOT]`.
    pub fn is_odd(&self) -> bool {
        matches!(self.0, Name::Odd(_))
    }

    /// From the wire. `utf8`: names are UTF-8, not modified UTF-7.
    pub(crate) fn decode(octets: &[u8], utf8: bool) -> Self {
        let text = if utf8 || octets.is_ascii() && memchr::memchr(b'&', octets).is_none() {
            core::str::from_utf8(octets).ok().map(Into::into)
        } else {
            decode_utf7(octets).map(alloc::borrow::Cow::<str>::from)
        };
        let checked = text.and_then(|text| Self::new(&text).ok());
        checked.unwrap_or_else(|| Self(Name::Odd(octets.into())))
    }

    /// For the wire.
    pub(crate) fn encode(&self, utf8: bool) -> alloc::borrow::Cow<'_, [u8]> {
        match &self.0 {
            Name::Inbox => b"INBOX".as_slice().into(),
            Name::Text(text) if utf8 => text.as_bytes().into(),
            Name::Text(text) => encode_utf7(text.as_str()),
            Name::Odd(octets) => octets.as_ref().into(),
        }
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.name(), f)
    }
}

/// Text that a name or a pattern may have.
fn is_plain(text: &str) -> bool {
    if text.is_ascii() {
        return !text.bytes().any(|b| b.is_ascii_control());
    }
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Modified UTF-7 (RFC 3501, 5.1.3): printable ASCII stands for itself, `&` is `&-`, and everything else is UTF-16
/// in a base64 of its own between `&` and `-`.
pub(crate) fn encode_utf7(text: &str) -> alloc::borrow::Cow<'_, [u8]> {
    let direct = |c: char| (' '..='~').contains(&c);
    if text.chars().all(|c| direct(c) && c != '&') {
        return text.as_bytes().into();
    }
    let mut out = Vec::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '&' {
            out.extend_from_slice(b"&-");
        } else if direct(c) {
            out.push(c as u8);
        } else {
            out.push(b'&');
            let (mut bits, mut held) = (0u32, 0);
            let mut shifted = Some(c);
            while let Some(c) = shifted {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    bits = bits << 16 | u32::from(*unit);
                    held += 16;
                    while held >= 6 {
                        held -= 6;
                        out.push(BASE64[(bits >> held & 63) as usize]);
                    }
                }
                shifted = chars.next_if(|c| !direct(*c));
            }
            if held > 0 {
                out.push(BASE64[(bits << (6 - held) & 63) as usize]);
            }
            out.push(b'-');
        }
    }
    out.into()
}

/// The text, if `octets` are its one canonical encoding: no base64 of what could stand for itself, none that ends
/// where the next begins, no spare bits.
pub(crate) fn decode_utf7(octets: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            b'&' => {
                let end = memchr::memchr(b'-', tail)?;
                let (shifted, after) = (&tail[..end], &tail[end + 1..]);
                if shifted.is_empty() {
                    text.push('&')
                } else {
                    decode_shifted(shifted, &mut text)?
                }
                rest = after;
            }
            b' '..=b'~' => {
                text.push(char::from(byte));
                rest = tail;
            }
            _ => return None,
        }
    }
    (encode_utf7(&text).as_ref() == octets).then_some(text)
}

fn decode_shifted(base64: &[u8], text: &mut String) -> Option<()> {
    let (mut bits, mut held) = (0u32, 0);
    let mut units = Vec::with_capacity(base64.len() / 2);
    for &byte in base64 {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b',' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push((bits >> held) as u16);
        }
    }
    for c in char::decode_utf16(units) {
        text.push(c.ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modified_utf7_has_one_form() {
        let name = "~peter/mail/台北/日本語 & Söhne 😀";
        let wire = encode_utf7(name);
        assert_eq!(decode_utf7(&wire).as_deref(), Some(name));
        assert_eq!(decode_utf7(b"~peter/mail/&U,BTFw-/&ZeVnLIqe-").as_deref(), Some("~peter/mail/台北/日本語"));
        for bad in [&b"&AGE-"[..], b"&U,BTFw-&ZeVnLIqe-", b"&Jjo", b"&Jjo!", b"\xff", b"&2D0-", b"&U,BTFx-", b"&"] {
            assert_eq!(decode_utf7(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_name_that_is_not_canonical_keeps_its_octets() {
        let odd = Mailbox::decode(b"&AGE-", false);
        assert!(odd.is_odd());
        assert_eq!(odd.encode(false).as_ref(), b"&AGE-");
        assert!(Mailbox::decode(b"a\x01b", false).is_odd());
        assert!(Mailbox::decode(b"&AAE-", false).is_odd());
        assert_eq!(Mailbox::decode(b"iNbOx", false), Mailbox::INBOX);
        assert_eq!(Mailbox::decode(b"a&b", true), Mailbox::new("a&b").unwrap());
    }
}
