//! OAuth 2.0 bearer tokens as a login: OAUTHBEARER (RFC 7628), and XOAUTH2, which it was made from.

use crate::{Attempt, ExchangeError, Mechanism, MechanismError, MechanismName};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::Secret;

/// `XOAUTH2`: a user and an OAuth 2.0 access token.
#[derive(Debug)]
pub struct XOAuth2(OneToken);

/// `OAUTHBEARER` (RFC 7628): an OAuth 2.0 access token, and for whom, where.
#[derive(Debug)]
pub struct OAuthBearer(OneToken);

#[derive(Debug)]
struct OneToken {
    message: Option<Secret<Vec<u8>>>,
    failed: bool,
}

impl XOAuth2 {
    /// Logs in as `user` with `token`.
    ///
    /// # Errors
    /// [`MechanismError::Unsendable`] if either is empty, the user holds a control character, which separates the
    /// fields, or the token anything but printable ASCII without blanks (RFC 6750, 2.1).
    pub fn new(user: &str, token: &Secret<String>) -> Result<Self, MechanismError> {
        sendable(user, token)?;
        let message = format!("user={user}\x01auth=Bearer {}\x01\x01", token.reveal()).into_bytes();
        Ok(Self(OneToken::new(message)))
    }
}

impl OAuthBearer {
    /// Logs in as `user` with `token`, at the server known as `host` on `port`.
    ///
    /// # Errors
    /// As [`XOAuth2::new`], and for the host as for the user.
    //= 7628-3.1-2
    pub fn new(user: &str, token: &Secret<String>, host: &str, port: u16) -> Result<Self, MechanismError> {
        sendable(user, token)?;
        sendable(host, token)?;
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let fields = format!("host={host}\x01port={port}\x01auth=Bearer {}\x01\x01", token.reveal());
        Ok(Self(OneToken::new(format!("n,a={user},\x01{fields}").into_bytes())))
    }
}

fn sendable(name: &str, token: &Secret<String>) -> Result<(), MechanismError> {
    let fits = !name.is_empty() && !name.contains(char::is_control) && is_token(token.reveal());
    if fits { Ok(()) } else { Err(MechanismError::Unsendable) }
}

/// RFC 6750, 2.1 allows fewer characters; what issuers make is not always so.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
}

impl OneToken {
    fn new(message: Vec<u8>) -> Self {
        Self { message: Some(Secret::new(message)), failed: false }
    }

    /// A challenge after the token is the server's explanation of a failure. It wants an answer, then refuses.
    //= 7628-3-2, 7628-3.2.3-1
    fn give_up(&mut self, answer: &[u8]) -> Result<Secret<Vec<u8>>, MechanismError> {
        if self.message.is_some() || self.failed {
            return Err(MechanismError::Unexpected);
        }
        self.failed = true;
        Ok(Secret::new(answer.to_vec()))
    }

    fn succeeded(&self) -> Result<(), MechanismError> {
        if self.message.is_none() && !self.failed { Ok(()) } else { Err(MechanismError::Incomplete) }
    }
}

macro_rules! gives_up_with {
    ($($mechanism:ident: $answer:expr;)*) => {$(
        impl Mechanism for $mechanism {
            fn name(&self) -> MechanismName {
                MechanismName::$mechanism
            }

            fn initial(&mut self) -> Option<Secret<Vec<u8>>> {
                self.0.message.take()
            }

            fn respond(&mut self, _challenge: &[u8]) -> Result<Secret<Vec<u8>>, MechanismError> {
                self.0.give_up($answer)
            }

            fn succeeded(&mut self) -> Result<(), MechanismError> {
                self.0.succeeded()
            }
        }
    )*};
}
gives_up_with! {
    XOAuth2: b"";
    OAuthBearer: b"\x01"; // RFC 7628, 3.2.3
}

// ── the server's half ──

/// `user={user}^Aauth=Bearer {token}^A^A`.
pub(crate) fn xoauth2(message: &[u8]) -> Result<Attempt, ExchangeError> {
    let rest = message.strip_prefix(b"user=").ok_or(ExchangeError::Malformed("expected user="))?;
    let end = rest.iter().position(|&b| b == 1).ok_or(ExchangeError::Malformed("the user has no end"))?;
    let user = name(&rest[..end]).ok_or(ExchangeError::Malformed("expected a user name of UTF-8"))?;
    let token = fields(&rest[end..])?;
    Ok(Attempt::Token { user: Some(user), token, mechanism: MechanismName::XOAuth2 })
}

/// `n,a={user},^A{key}={value}^A...^A` (RFC 7628, 3.1).
pub(crate) fn oauthbearer(message: &[u8]) -> Result<Attempt, ExchangeError> {
    let start = message.iter().position(|&b| b == 1).ok_or(ExchangeError::Malformed("expected a GS2 header"))?;
    let header = core::str::from_utf8(&message[..start]).ok();
    // There is no -PLUS, so `p` is wrong here and `y` is true.
    let header = header.and_then(|header| header.strip_prefix("n,").or_else(|| header.strip_prefix("y,")));
    let header = header.and_then(|header| header.strip_suffix(','));
    let user = match header.ok_or(ExchangeError::Malformed("expected a GS2 header without channel binding"))? {
        "" => None,
        part => {
            let user = part.strip_prefix("a=").and_then(crate::scram::read_name);
            Some(user.ok_or(ExchangeError::Malformed("expected a=authorization identity, or nothing"))?)
        }
    };
    Ok(Attempt::Token { user, token: fields(&message[start..])?, mechanism: MechanismName::OAuthBearer })
}

/// Reads `(^A key=value)* ^A ^A` for the one token in it.
//= 7628-3.1-1
fn fields(fields: &[u8]) -> Result<Secret<String>, ExchangeError> {
    let inner = fields.strip_prefix(b"\x01").and_then(|rest| rest.strip_suffix(b"\x01\x01"));
    let inner = inner.ok_or(ExchangeError::Malformed("the fields end with two ^A"))?;
    let mut token = None;
    for field in inner.split(|&b| b == 1) {
        let equals = field.iter().position(|&b| b == b'=').ok_or(ExchangeError::Malformed("a field has no ="))?;
        let (key, value) = (&field[..equals], &field[equals + 1..]);
        if key.is_empty() || !key.iter().all(u8::is_ascii_alphabetic) {
            return Err(ExchangeError::Malformed("the name of a field is letters"));
        }
        // Host and port are what the client believes. Nothing here depends on them.
        if key == b"auth" && token.replace(value).is_some() {
            return Err(ExchangeError::Malformed("there are two tokens"));
        }
    }
    let value = token.ok_or(ExchangeError::Malformed("there is no token"))?;
    let (scheme, token) = value.split_at_checked(7).ok_or(ExchangeError::Malformed("expected Bearer and a token"))?;
    let token = core::str::from_utf8(token).ok().map(|token| token.trim_start_matches(' '));
    match token {
        Some(token) if scheme.eq_ignore_ascii_case(b"Bearer ") && is_token(token) => Ok(Secret::new(token.to_owned())),
        _ => Err(ExchangeError::Malformed("expected Bearer and a token")),
    }
}

fn name(octets: &[u8]) -> Option<String> {
    let name = core::str::from_utf8(octets).ok()?;
    (!name.is_empty() && !name.contains(char::is_control)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channel, ServerExchange, ServerStep};

    fn token(user: &str) -> Secret<String> {
        Secret::new(user.into())
    }

    #[test]
    fn xoauth2_answers_the_error_document_with_nothing() {
        let mut mechanism = XOAuth2::new("a@b.example", &token("tok")).unwrap();
        assert_eq!(mechanism.initial().unwrap().reveal(), b"user=a@b.example\x01auth=Bearer tok\x01\x01");
        assert!(mechanism.respond(b"{\"status\":\"401\"}").unwrap().reveal().is_empty());
        assert_eq!(mechanism.succeeded(), Err(MechanismError::Incomplete));
        assert!(mechanism.respond(b"").is_err());
    }

    #[test]
    fn separators_cannot_be_smuggled_in() {
        assert!(XOAuth2::new("a\x01", &token("tok")).is_err());
        assert!(XOAuth2::new("a", &token("t\x01k")).is_err());
        assert!(XOAuth2::new("a", &token("t k")).is_err());
        assert!(OAuthBearer::new("a", &token("tok"), "h\x01", 25).is_err());
        let mut named = OAuthBearer::new("a,b=c", &token("tok"), "mx.example", 25).unwrap();
        assert!(
            named.initial().unwrap().reveal().starts_with(b"n,a=a=2Cb=3Dc,\x01host=mx.example\x01port=25\x01auth=")
        );
    }

    /// RFC 7628, 3.1: `a=` is a `saslname`, in which a comma is `=2C`.
    #[test]
    fn oauthbearer_takes_no_bare_comma_in_a_name() {
        for (message, fits) in
            [(&b"n,a=bob=2Cx,\x01auth=Bearer t\x01\x01"[..], true), (b"n,a=bob,x,\x01auth=Bearer t\x01\x01", false)]
        {
            let started = ServerExchange::start(&MechanismName::OAuthBearer, Some(message), &Channel::default());
            assert_eq!(started.is_ok(), fits);
        }
    }

    /// RFC 7628, 4.1 and 4.3.
    //= 5034-4-20, 7628-3-2, 7628-3.1-2, 7628-3.2.3-1, 7628-3.1-1
    #[test]
    fn oauthbearer_is_as_in_the_examples_of_the_standard() {
        let secret = token("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        let mut client = OAuthBearer::new("user@example.com", &secret, "server.example.com", 143).unwrap();
        let message = client.initial().unwrap();
        let expected: &[u8] = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
            auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        assert_eq!(message.reveal(), expected);
        let step = ServerExchange::start(&MechanismName::OAuthBearer, Some(expected), &Channel::default());
        let Ok(ServerStep::Attempt(attempt)) = step else { panic!("one message says all") };
        assert_eq!(attempt.refusal().unwrap(), b"{\"status\":\"invalid_token\"}");
        let Attempt::Token { user, token, .. } = attempt else { panic!("it is a token") };
        assert_eq!(user.as_deref(), Some("user@example.com"));
        assert!(token.matches(secret.reveal()));
        assert_eq!(client.respond(b"{}").unwrap().reveal(), b"\x01");
        assert_eq!(client.succeeded(), Err(MechanismError::Incomplete));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for bad in [
            &b""[..],
            b"n,,",
            b"n,,\x01\x01",
            b"n,,\x01auth=Bearer t\x01",
            b"n,,\x01auth=Bearer \x01\x01",
            b"n,,\x01auth=Basic t\x01\x01",
            b"n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01",
            b"n,,\x01host=x\x01\x01",
            b"n,,\x01=x\x01auth=Bearer t\x01\x01",
            b"p=tls-exporter,,\x01auth=Bearer t\x01\x01",
            b"n,a=,\x01auth=Bearer t\x01\x01",
            b"n,a=b\x01auth=Bearer t\x01\x01",
            b"n,,\x01auth=Bearer t\x01\x01\x01",
            b"n,,\x01auth=Bearer t t\x01\x01",
        ] {
            assert!(oauthbearer(bad).is_err(), "{bad:?}");
        }
        assert!(oauthbearer(b"n,,\x01auth=bearer t\x01\x01").is_ok());
        for bad in
            [&b""[..], b"user=", b"user=\x01auth=Bearer t\x01\x01", b"user=a\x01auth=Bearer t", b"user=a\x01\x01"]
        {
            assert!(xoauth2(bad).is_err(), "{bad:?}");
        }
    }
}
