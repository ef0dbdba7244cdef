//! Where a server is: `imaps://USER@HOST:PORT`.

use std::fmt;
use std::str::FromStr;

/// Which protocol a server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Imap,
    Pop3,
    Smtp,
}

/// A server, and who we are to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Url {
    pub(crate) protocol: Protocol,
    /// TLS from the first octet.
    pub(crate) tls: bool,
    pub(crate) user: Option<String>,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The schemes, with their default ports.
const SCHEMES: [(&str, Protocol, bool, u16); 8] = [
    ("imap", Protocol::Imap, false, 143),
    ("imaps", Protocol::Imap, true, 993),
    ("pop3", Protocol::Pop3, false, 110),
    ("pop3s", Protocol::Pop3, true, 995),
    ("pop", Protocol::Pop3, false, 110),
    ("pops", Protocol::Pop3, true, 995),
    // RFC 6409, 3.1 and RFC 8314, 3.3: a client submits.
    ("smtp", Protocol::Smtp, false, 587),
    ("smtps", Protocol::Smtp, true, 465),
];

impl Url {
    /// `HOST:PORT`, for sentences.
    pub(crate) fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = SCHEMES.iter().find(|(_, protocol, tls, _)| *protocol == self.protocol && *tls == self.tls);
        let (scheme, ..) = scheme.expect("each protocol has a scheme with TLS and one without");
        write!(f, "{scheme}://{}", self.place())
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const SHAPE: &str = "a server is given as imaps://USER@HOST:PORT";
        let (scheme, rest) = text.split_once("://").ok_or_else(|| SHAPE.to_owned())?;
        let known = SCHEMES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(scheme));
        let (_, protocol, tls, default_port) =
            *known.ok_or_else(|| format!("{scheme:?} is none of imap, imaps, pop3, pop3s, smtp, smtps"))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(format!("{SHAPE}, with nothing after it"));
        }
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => {
                return Err("a password does not belong into the URL, where others can see it: use --password-file, \
                            --password-command or POSTRIDER_PASSWORD"
                    .into());
            }
            Some((user, place)) => {
                // RFC 2384, 3 and RFC 5092, 3: any mechanism is the default.
                let (user, login) = user.split_once(';').unwrap_or((user, "AUTH=*"));
                if !login.eq_ignore_ascii_case("AUTH=*") {
                    return Err(format!("leave out {login:?}: the strongest login that the server offers is taken"));
                }
                (if user.is_empty() { None } else { Some(decode(user)?) }, place)
            }
            None => (None, authority),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("the bracket in the host is not closed")?;
                let port = match port {
                    "" => None,
                    port => Some(port.strip_prefix(':').ok_or("after the ] comes nothing but :PORT")?),
                };
                (host, port)
            }
            None => match place.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err("an IPv6 address stands in [brackets]".into()),
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!("{SHAPE}: the host is missing"));
        }
        let port = match port {
            None => default_port,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(format!("{port:?} is no port: they go from 1 to 65535")),
            },
        };
        Ok(Self { protocol, tls, user, host: host.to_owned(), port })
    }
}

/// Undoes percent-encoding (RFC 3986, 2.1).
fn decode(text: &str) -> Result<String, String> {
    let wrong = || format!("the user {text:?} is not well encoded: a percent sign is followed by two hex digits");
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            octets.push(*first);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(wrong)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        octets.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &tail[2..];
    }
    let user = String::from_utf8(octets).map_err(|_| wrong())?;
    if user.is_empty() || user.contains(char::is_control) {
        return Err("the user in the URL is empty or has control characters".into());
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn urls_have_a_user_a_host_and_a_port() {
        let full = url("imaps://bob%40example.org@mail.example.org:1993");
        assert_eq!((full.protocol, full.tls, full.port), (Protocol::Imap, true, 1993));
        assert_eq!((full.user.as_deref(), full.host.as_str()), (Some("bob@example.org"), "mail.example.org"));
        assert_eq!(url("imaps://bob@example.org@mail.example.org").user.as_deref(), Some("bob@example.org"));
        assert_eq!(url("smtp://[::1]").place(), "[::1]:587");
        assert_eq!(url("POP3S://u@h/").to_string(), "pop3s://h:995");
        assert_eq!(url("imap://h:7").user, None);
        assert_eq!(url("pop://bob;AUTH=*@h").user.as_deref(), Some("bob"));
        assert_eq!(url("pop://;auth=*@h").user, None);
    }

    #[test]
    fn what_is_no_url_is_explained() {
        for (text, word) in [
            ("example.org", "imaps://"),
            ("http://h", "none of"),
            ("imaps://bob:secret@h", "password"),
            ("imaps://h:0", "port"),
            ("pop://bob;AUTH=+APOP@h", "strongest"),
            ("imaps://h:port", "port"),
            ("imaps://::1", "brackets"),
            ("imaps://[::1", "closed"),
            ("imaps://", "host"),
            ("imaps://%4@h", "hex"),
            ("imaps://%4+@h", "hex"),
            ("imaps://%00@h", "control"),
            ("imaps://h/INBOX", "nothing after"),
        ] {
            let error = text.parse::<Url>().expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
