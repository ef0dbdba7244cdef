//! The attributes that SCRAM messages consist of (RFC 5802, 7).

use alloc::string::String;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The attributes of a message, taken one by one from the front.
pub(super) struct Attributes<'a> {
    rest: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: Some(text) }
    }

    /// The next part, up to a comma.
    //= 5802-5.1-6
    pub(super) fn part(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        match rest.split_once(',') {
            Some((part, rest)) => {
                self.rest = Some(rest);
                Some(part)
            }
            None => self.rest.take(),
        }
    }

    /// The value of the next attribute if it has this name. A mandatory extension (`m=`) in its place is none, which
    /// fails the login as RFC 5802, 5.1 wants it.
    pub(super) fn value(&mut self, name: char) -> Option<&'a str> {
        self.part()?.strip_prefix(name)?.strip_prefix('=')
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a str {
        self.rest.unwrap_or_default()
    }

    /// Whether all that is left are extensions that may be ignored: `attr-val`, and not `m=`.
    //= 5802-5.1-12
    pub(super) fn ends(mut self) -> bool {
        while let Some(part) = self.part() {
            let mut chars = part.chars();
            let name = chars.next();
            let fits = name.is_some_and(|c| c.is_ascii_alphabetic() && c != 'm')
                && chars.next() == Some('=')
                && chars.next().is_some()
                && !part.contains('\0');
            if !fits {
                return false;
            }
        }
        true
    }
}

/// 1 to `limit` printable characters of ASCII but the comma.
pub(super) fn is_nonce(text: &str, limit: usize) -> bool {
    (1..=limit).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b',')
}

/// A `saslname`: `=2C` is a comma, `=3D` an equals sign, and there is no other `=`.
//= 5802-5.1-5
pub(crate) fn read_name(text: &str) -> Option<String> {
    if text.is_empty() || text.contains(['\0', ',']) {
        return None;
    }
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        name.push(match after.get(..2)? {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        rest = &after[2..];
    }
    name.push_str(rest);
    Some(name)
}

/// Writes a `saslname`.
#[cfg(feature = "scram")]
pub(super) fn write_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

pub(super) fn read_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(super) fn write_base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// A `posit-number` of at most ten digits.
pub(super) fn read_number(text: &str) -> Option<u32> {
    let fits = text.len() <= 10 && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

#[cfg(all(test, feature = "scram"))]
mod tests {
    use super::*;

    //= 5802-5.1-5
    #[test]
    fn names_come_back() {
        for name in ["user", "a=b", ",", "=2C", "ü,=", "=3D=2C"] {
            assert_eq!(read_name(&write_name(name)).as_deref(), Some(name));
        }
        for bad in ["", "=", "a=", "=2", "=2c", "=41", "=\u{fc}\u{fc}", "a\0", "a,b"] {
            assert_eq!(read_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn numbers_are_positive_and_short() {
        assert_eq!(read_number("4096"), Some(4096));
        for bad in ["", "0", "01", "-1", "+1", " 1", "4294967296", "99999999999", "1e3"] {
            assert_eq!(read_number(bad), None, "{bad:?}");
        }
    }

    //= 5802-5.1-12
    #[test]
    fn extensions_are_ignored_unless_mandatory() {
        assert!(Attributes { rest: None }.ends());
        assert!(Attributes::new("x=1,y=a=b").ends());
        for bad in ["m=1", "x=1,m=1", "x", "x=", "", "x=1,", "1=x", "=x"] {
            assert!(!Attributes::new(bad).ends(), "{bad:?}");
        }
    }
}
