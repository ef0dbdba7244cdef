//! APOP (RFC 1939, 7): instead of the password, a digest over it and the timestamp of the server's greeting.
//!
//! MD5 is broken. Who can choose timestamps learns the password octet by octet (CVE-2007-1558), which the syntax that
//! [`ApopChallenge`] insists on makes harder; who reads one exchange can try passwords at leisure. Use TLS.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use md5::{Digest, Md5};
use postrider_core::Secret;

/// The timestamp of a greeting, and the challenge of CRAM-MD5: what RFC 5322, 3.6.4 calls a msg-id, of ASCII, without blanks, comments and quotes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApopChallenge(Box<str>);

/// This is no timestamp for APOP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an APOP timestamp is <left@right>, of at most 255 letters, digits and the marks that atoms may have")]
pub struct ApopChallengeError;

impl ApopChallenge {
    /// Checks a timestamp, angle brackets included. A server must never use the same one twice.
    ///
    /// # Errors
    /// [`ApopChallengeError`] if it is anything but `<dot-atom@dot-atom>` or `<dot-atom@[address]>`, or too long.
    //= 1939-7-7, 2449-3-1
    pub fn new(timestamp: &str) -> Result<Self, ApopChallengeError> {
        let inner = timestamp.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).ok_or(ApopChallengeError)?;
        let (left, right) = inner.split_once('@').ok_or(ApopChallengeError)?;
        let literal = right.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_address = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':'))
        };
        let fits =
            timestamp.len() <= 255 && is_dot_atom(left) && (is_dot_atom(right) || literal.is_some_and(is_address));
        if fits { Ok(Self(timestamp.to_owned().into_boxed_str())) } else { Err(ApopChallengeError) }
    }

    /// The timestamp in a greeting, if it holds one that can be trusted with a digest.
    pub fn in_greeting(greeting: &[u8]) -> Option<Self> {
        let start = greeting.iter().position(|&b| b == b'<')?;
        let length = greeting[start..].iter().position(|&b| b == b'>')? + 1;
        Self::new(core::str::from_utf8(&greeting[start..start + length]).ok()?).ok()
    }

    /// The timestamp, angle brackets included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What somebody with this password says: 32 hexadecimal digits in lower case.
    pub fn digest(&self, password: &Secret<String>) -> Secret<String> {
        write_digest(self.md5(password))
    }

    fn md5(&self, password: &Secret<String>) -> [u8; 16] {
        Md5::new().chain_update(self.0.as_bytes()).chain_update(password.reveal().as_bytes()).finalize().into()
    }
}

impl fmt::Debug for ApopChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// 32 hexadecimal digits in lower case.
pub(crate) fn write_digest(octets: [u8; 16]) -> Secret<String> {
    use fmt::Write;
    let mut digits = String::with_capacity(32);
    for octet in octets {
        write!(digits, "{octet:02x}").expect("writing to a string does not fail");
    }
    Secret::new(digits)
}

/// Reads what [`write_digest`] writes, and only that.
pub(crate) fn read_digest(digest: &[u8]) -> Option<[u8; 16]> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut octets = [0; 16];
    if digest.len() != 32 {
        return None;
    }
    for (octet, digits) in octets.iter_mut().zip(digest.chunks_exact(2)) {
        *octet = (nibble(digits[0])? << 4) | nibble(digits[1])?;
    }
    Some(octets)
}

/// RFC 5322, 3.2.3.
fn is_dot_atom(text: &str) -> bool {
    let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

/// A client's claim to be `user`, by a digest.
#[derive(Clone, Debug)]
pub struct Apop {
    user: String,
    challenge: ApopChallenge,
    digest: Secret<[u8; 16]>,
}

impl Apop {
    /// The claim that `APOP user digest` makes, where `challenge` was in the greeting. `None` if the digest is not
    /// 32 hexadecimal digits in lower case (RFC 1939, 7).
    //= 1939-7-8
    pub fn new(user: impl Into<String>, challenge: ApopChallenge, digest: &[u8]) -> Option<Self> {
        let octets = read_digest(digest)?;
        Some(Self { user: user.into(), challenge, digest: Secret::new(octets) })
    }

    /// Who it claims to be.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether the digest was made with this password. Takes as long whatever the digest is.
    pub fn matches(&self, password: &Secret<String>) -> bool {
        self.digest.matches(self.challenge.md5(password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        let greeting = b"POP3 server ready <1896.697170952@dbc.mtview.ca.us>";
        let challenge = ApopChallenge::in_greeting(greeting).unwrap();
        assert_eq!(challenge.as_str(), "<1896.697170952@dbc.mtview.ca.us>");
        let password = Secret::new(String::from("tanstaaf"));
        assert_eq!(challenge.digest(&password).reveal(), "c4c9334bac560ecc979e58001b3e22fb");
        let apop = Apop::new("mrose", challenge, b"c4c9334bac560ecc979e58001b3e22fb").unwrap();
        assert!(apop.matches(&password));
        assert!(!apop.matches(&Secret::new("tanstaaF".into())));
        assert!(!alloc::format!("{apop:?}").contains("196"), "the digest is not shown: {apop:?}");
    }

    //= 2449-3-1
    #[test]
    fn timestamps_that_could_hold_a_collision_are_none() {
        for good in ["<a@b>", "<1a2b.3.4.Zm9v+/==@mail.example>", "<1@[192.0.2.1]>", "<1@[IPv6:::1]>"] {
            assert!(ApopChallenge::new(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "<>",
            "<@>",
            "<a@>",
            "<@b>",
            "<ab>",
            "a@b",
            "<a@b",
            "<a..b@c>",
            "<a b@c>",
            "<a@b@c>",
            "<\"a\"@b>",
            "<é@b>",
            "<a\x7f@b>",
            "<a@[b c]>",
            "<a@[]>",
        ] {
            assert_eq!(ApopChallenge::new(bad), Err(ApopChallengeError), "{bad:?}");
        }
        assert!(ApopChallenge::new(&alloc::format!("<{}@b>", "a".repeat(251))).is_ok());
        assert!(ApopChallenge::new(&alloc::format!("<{}@b>", "a".repeat(252))).is_err());
        for bad in [&b"ready"[..], b"<", b"> <", b"<\xff\x80@b>", b"<a\0@b>", b"<x> <a@b>"] {
            assert_eq!(ApopChallenge::in_greeting(bad), None, "{bad:?}");
        }
    }

    //= 1939-7-8
    #[test]
    fn a_digest_is_32_digits_in_lower_case() {
        let challenge = ApopChallenge::new("<a@b>").unwrap();
        for bad in [&b""[..], &[b'0'; 31], &[b'0'; 33], &[b'A'; 32], &[b'g'; 32], &[0xff; 32]] {
            assert!(Apop::new("a", challenge.clone(), bad).is_none(), "{bad:?}");
        }
    }
}
