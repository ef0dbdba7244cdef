//! POP URLs (RFC 2384): `pop://user;AUTH=mechanism@host:port`.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::str::FromStr;
use postrider_sasl::MechanismName;

/// A maildrop somewhere.
///
/// Such URLs come from anywhere: before a user's password goes to the host of one, ask the user (RFC 2384, 4).
///
/// ```
/// use postrider_pop3::wire::{PopUrl, UrlLogin};
/// let url: PopUrl = "pop://baz%20qux;AUTH=SCRAM-SHA-1@foo.example:1110".parse().unwrap();
/// assert_eq!((url.user(), url.host(), url.port()), (Some("baz qux"), "foo.example", 1110));
/// assert_eq!(url.login().to_string(), "SCRAM-SHA-1");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PopUrl {
    user: Option<String>,
    login: UrlLogin,
    host: Box<str>,
    port: u16,
}

/// How a URL wants its user to log in.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UrlLogin {
    /// `*`, or nothing: however the client likes.
    Any,
    /// With AUTH and this mechanism, and no other unless the user agrees.
    Sasl(MechanismName),
    /// `+APOP`
    Apop,
    /// Any other name after `+`, in upper case.
    Extension(String),
}

/// Why text is no POP URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PopUrlError {
    /// It does not begin with `pop://`.
    #[error("a POP URL begins with pop://")]
    Scheme,
    /// The user or the mechanism is empty, badly encoded, no UTF-8, or holds a control character.
    #[error("the user or the mechanism in the URL is not valid")]
    Login,
    /// It holds a password, as POP URLs must not.
    #[error("a POP URL must not hold a password")]
    Password,
    /// The host is missing or cannot be one.
    #[error("the host in the URL is not valid")]
    Host,
    /// The port is no number from 1 to 65,535.
    #[error("the port in the URL is not valid")]
    Port,
    /// Something follows the host and port.
    #[error("a POP URL ends after the host and port")]
    Trailing,
}

/// Where POP3 listens (RFC 1939, 3).
const PORT: u16 = 110;

impl PopUrl {
    /// Who, if it says.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// How to log in.
    pub fn login(&self) -> &UrlLogin {
        &self.login
    }

    /// A name or an address; IPv6 addresses without their brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 110 if it does not say.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for PopUrl {
    type Err = PopUrlError;

    fn from_str(text: &str) -> Result<Self, PopUrlError> {
        const SCHEME: &str = "pop://";
        let start = text.get(..SCHEME.len()).filter(|start| start.eq_ignore_ascii_case(SCHEME));
        let rest = &text[start.ok_or(PopUrlError::Scheme)?.len()..];
        let (rest, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(path, "" | "/") {
            return Err(PopUrlError::Trailing);
        }
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let (user, login) = login.map_or(Ok((None, UrlLogin::Any)), login_of)?;
        let (host, port) = place_of(place)?;
        Ok(Self { user, login, host: host.to_owned().into_boxed_str(), port })
    }
}

fn login_of(text: &str) -> Result<(Option<String>, UrlLogin), PopUrlError> {
    const AUTH: &str = ";auth=";
    let at = text.to_ascii_lowercase().find(AUTH);
    let (user, mechanism) = at.map_or((text, None), |at| (&text[..at], Some(&text[at + AUTH.len()..])));
    if user.contains(':') {
        return Err(PopUrlError::Password);
    }
    let user = if user.is_empty() && mechanism.is_some() { None } else { Some(decode(user)?) };
    let login = match mechanism.map(decode).transpose()?.as_deref() {
        None | Some("*") => UrlLogin::Any,
        Some(name) => match name.strip_prefix('+') {
            Some(name) if name.eq_ignore_ascii_case("APOP") => UrlLogin::Apop,
            Some("") => return Err(PopUrlError::Login),
            Some(name) => UrlLogin::Extension(name.to_ascii_uppercase()),
            None => UrlLogin::Sasl(MechanismName::parse(name.as_bytes()).ok_or(PopUrlError::Login)?),
        },
    };
    Ok((user, login))
}

fn place_of(place: &str) -> Result<(&str, u16), PopUrlError> {
    let (host, port) = match place.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, rest))) => {
            let fits = host.parse::<core::net::Ipv6Addr>().is_ok() && (rest.is_empty() || rest.starts_with(':'));
            (if fits { host } else { "" }, rest.strip_prefix(':'))
        }
        Some(None) => return Err(PopUrlError::Host),
        None => {
            let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
            let fits = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
            (if fits && host.len() <= 255 { host } else { "" }, port)
        }
    };
    if host.is_empty() {
        return Err(PopUrlError::Host);
    }
    let number = |port: &str| port.parse().ok().filter(|&n| n > 0 && port.bytes().all(|b| b.is_ascii_digit()));
    let port = port.map_or(Ok(PORT), |port| number(port).ok_or(PopUrlError::Port))?;
    Ok((host, port))
}

/// RFC 3986, 2.1.
fn decode(text: &str) -> Result<String, PopUrlError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(PopUrlError::Login);
        match octet {
            b'%' => octets.push((digit()? * 16 + digit()?) as u8),
            b'!'..=b'~' => octets.push(octet),
            _ => return Err(PopUrlError::Login),
        }
    }
    let text = String::from_utf8(octets).map_err(|_| PopUrlError::Login)?;
    if text.is_empty() || text.contains(char::is_control) { Err(PopUrlError::Login) } else { Ok(text) }
}

fn encode(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~*+!$'(),&=".contains(&octet) {
            f.write_char(char::from(octet))?;
        } else {
            write!(f, "%{octet:02X}")?;
        }
    }
    Ok(())
}

impl fmt::Display for UrlLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Sasl(mechanism) => f.write_str(mechanism.as_str()),
            Self::Apop => f.write_str("+APOP"),
            Self::Extension(name) => {
                f.write_str("+")?;
                encode(name, f)
            }
        }
    }
}

impl fmt::Display for PopUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pop://")?;
        if let Some(user) = &self.user {
            encode(user, f)?;
        }
        if self.login != UrlLogin::Any {
            write!(f, ";AUTH={}", self.login)?;
        }
        if self.user.is_some() || self.login != UrlLogin::Any {
            f.write_str("@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?
        } else {
            f.write_str(&self.host)?
        }
        if self.port == PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn parts(url: &str) -> (Option<String>, UrlLogin, String, u16) {
        let url: PopUrl = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(url.to_string().parse::<PopUrl>().unwrap(), url, "it is written so that it is read again");
        (url.user.clone(), url.login.clone(), url.host().to_owned(), url.port())
    }

    #[test]
    fn the_examples_of_the_standard() {
        let user = |name: &str| Some(name.to_owned());
        assert_eq!(
            parts("pop://rg@mailsrv.qualcomm.com"),
            (user("rg"), UrlLogin::Any, "mailsrv.qualcomm.com".into(), 110)
        );
        assert_eq!(
            parts("pop://rg;AUTH=+APOP@mail.eudora.com:8110"),
            (user("rg"), UrlLogin::Apop, "mail.eudora.com".into(), 8110)
        );
        let scram = UrlLogin::Sasl(MechanismName::ScramSha1);
        assert_eq!(parts("pop://baz;AUTH=SCRAM-SHA-1@foo.bar"), (user("baz"), scram, "foo.bar".into(), 110));
    }

    #[test]
    fn the_rest_of_the_syntax() {
        assert_eq!(parts("POP://h/"), (None, UrlLogin::Any, "h".into(), 110));
        assert_eq!(parts("pop://;AUTH=*@h").1, UrlLogin::Any);
        assert_eq!(parts("pop://;auth=+x-own@h").1, UrlLogin::Extension("X-OWN".into()));
        assert_eq!(parts("pop://a%40b%3Bc%C3%A9@[::1]:995"), (Some("a@b;cé".into()), UrlLogin::Any, "::1".into(), 995));
        assert_eq!(parts("pop://a@b@h").0.as_deref(), Some("a@b"), "the last @ is the one");
    }

    #[test]
    fn what_is_no_pop_url() {
        use PopUrlError::{Host, Login, Password, Port, Scheme, Trailing};
        for (url, why) in [
            ("imap://h", Scheme),
            ("pop:/", Scheme),
            ("h", Scheme),
            ("pöp://h", Scheme),
            ("pop://a:b@h", Password),
            ("pop://@h", Login),
            ("pop://a%0@h", Login),
            ("pop://a%zz@h", Login),
            ("pop://a%0d%0aDELE@h", Login),
            ("pop://a%ff@h", Login),
            ("pop://a b@h", Login),
            ("pop://a;AUTH=@h", Login),
            ("pop://a;AUTH=+@h", Login),
            ("pop://é@h", Login),
            ("pop://", Host),
            ("pop://a@", Host),
            ("pop://h h", Host),
            ("pop://[::1", Host),
            ("pop://[h]", Host),
            ("pop://[::1]x", Host),
            ("pop://h:", Port),
            ("pop://h:0", Port),
            ("pop://h:65536", Port),
            ("pop://h:+1", Port),
            ("pop://h/x", Trailing),
            ("pop://h?x", Trailing),
        ] {
            assert_eq!(url.parse::<PopUrl>(), Err(why), "{url}");
        }
    }
}
