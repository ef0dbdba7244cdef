//! The answer to CAPA (RFC 2449, 6).

use super::number::number;
use alloc::vec::Vec;
use postrider_core::Text;
use postrider_sasl::MechanismName;

/// How long a message is kept (RFC 2449, 6.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expire {
    /// Messages are not deleted by the server.
    Never,
    /// Messages may be deleted after so many days; 0 means: once they were retrieved.
    Days(u32),
}

/// How long to wait between logins (RFC 2449, 6.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginDelay {
    /// In seconds.
    pub seconds: u32,
    /// Whether it differs from user to user, so that it is worth asking again after the login.
    pub per_user: bool,
}

/// What a server offers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// TOP is there.
    pub top: bool,
    /// UIDL is there.
    pub uidl: bool,
    /// USER and PASS may be used.
    pub user: bool,
    /// The mechanisms AUTH takes; empty if there is no AUTH.
    pub sasl: Vec<MechanismName>,
    /// Text in brackets after `-ERR` is a code.
    pub response_codes: bool,
    /// A login that fails has one of RFC 3206's codes.
    pub auth_response_code: bool,
    /// Commands may be sent before the last is answered.
    pub pipelining: bool,
    /// TLS may be begun now (RFC 2595, 4).
    pub stls: bool,
    /// The UTF8 command is there (RFC 6856, 2.1).
    pub utf8: bool,
    /// User names and passwords may be UTF-8 (RFC 6856, 2.2).
    pub utf8_user: bool,
    /// The LANG command is there (RFC 6856, 3).
    pub lang: bool,
    /// The least time between logins.
    pub login_delay: Option<LoginDelay>,
    /// How long messages are kept; `None` if it does not say.
    pub expire: Option<Expire>,
    /// Whether that differs from user to user, so that it is worth asking again after the login.
    pub expire_per_user: bool,
    /// What the server is.
    pub implementation: Option<Text>,
    /// What is not known here, a line each.
    pub other: Vec<Text>,
}

impl Capabilities {
    /// Takes one line of the answer, without its CRLF. What is malformed counts as unknown.
    //= 2449-5-3, 2449-6.9-1
    pub fn learn(&mut self, line: &[u8]) {
        let mut words = line.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
        let Some(name) = words.next() else { return };
        match name.to_ascii_uppercase().as_slice() {
            b"TOP" => self.top = true,
            b"UIDL" => self.uidl = true,
            b"USER" => self.user = true,
            b"SASL" => self.sasl.extend(words.filter_map(MechanismName::parse)),
            b"RESP-CODES" => self.response_codes = true,
            b"AUTH-RESP-CODE" => self.auth_response_code = true,
            b"PIPELINING" => self.pipelining = true,
            b"STLS" => self.stls = true,
            b"UTF8" => {
                self.utf8 = true;
                self.utf8_user |= words.any(|word| word.eq_ignore_ascii_case(b"USER"));
            }
            b"LANG" => self.lang = true,
            b"LOGIN-DELAY" => {
                self.login_delay = words.next().and_then(number).map(|seconds| LoginDelay {
                    seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
                    per_user: words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"USER")),
                });
            }
            b"EXPIRE" => {
                self.expire = words.next().and_then(|word| {
                    if word.eq_ignore_ascii_case(b"NEVER") {
                        return Some(Expire::Never);
                    }
                    number(word).map(|days| Expire::Days(u32::try_from(days).unwrap_or(u32::MAX)))
                });
                let per_user = words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"USER"));
                self.expire_per_user = per_user && self.expire.is_some();
            }
            b"IMPLEMENTATION" => {
                let rest = line.trim_ascii()[name.len()..].trim_ascii();
                self.implementation = Some(Text::lossy(&alloc::string::String::from_utf8_lossy(rest), 512));
            }
            _ => self.other.push(Text::lossy(&alloc::string::String::from_utf8_lossy(line), 512)),
        }
    }

    /// The lines of the answer, for `line` to send.
    //= 2449-6.7-1
    pub fn lines(&self, mut line: impl FnMut(&[&str])) {
        use alloc::format;
        let flag = |there: bool, name: &'static str| there.then_some(name);
        let per_user = |differs: bool| if differs { " USER" } else { "" };
        let names = [
            flag(self.top, "TOP"),
            flag(self.uidl, "UIDL"),
            flag(self.user, "USER"),
            flag(self.response_codes, "RESP-CODES"),
            flag(self.auth_response_code, "AUTH-RESP-CODE"),
            flag(self.pipelining, "PIPELINING"),
            flag(self.stls, "STLS"),
            flag(self.utf8, if self.utf8_user { "UTF8 USER" } else { "UTF8" }),
            flag(self.lang, "LANG"),
        ];
        names.into_iter().flatten().for_each(|name| line(&[name]));
        if !self.sasl.is_empty() {
            let mut parts = alloc::vec!["SASL"];
            for mechanism in &self.sasl {
                parts.extend([" ", mechanism.as_str()]);
            }
            line(&parts);
        }
        if let Some(delay) = self.login_delay {
            line(&[&format!("LOGIN-DELAY {}", delay.seconds), per_user(delay.per_user)]);
        }
        match self.expire {
            Some(Expire::Never) => line(&["EXPIRE NEVER", per_user(self.expire_per_user)]),
            Some(Expire::Days(days)) => line(&[&format!("EXPIRE {days}"), per_user(self.expire_per_user)]),
            None => {}
        }
        self.other.iter().for_each(|other| line(&[other.as_str()]));
        if let Some(implementation) = &self.implementation {
            line(&["IMPLEMENTATION ", implementation.as_str()]);
        }
    }
}
