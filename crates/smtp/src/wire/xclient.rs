//! XCLIENT: what a trusted proxy says of the client it speaks for. After Postfix's XCLIENT_README; there is no RFC.

use super::Cursor;
use super::params::{Xtext, xtext};
use crate::address::HelloName;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use postrider_core::{ParseError, Text};

/// The attributes of an XCLIENT command. Those that are `None` are not spoken of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Xclient {
    /// `NAME=`: the client's host name, which the proxy has checked.
    pub name: Option<Claim<Text>>,
    /// `ADDR=`: its address.
    pub addr: Option<Claim<IpAddr>>,
    /// `PORT=`: its port.
    pub port: Option<Claim<u16>>,
    /// `PROTO=`: how it introduced itself.
    pub proto: Option<Claim<XclientProtocol>>,
    /// `HELO=`: what it calls itself.
    pub helo: Option<Claim<HelloName>>,
    /// `LOGIN=`: as whom it logged in.
    pub login: Option<Claim<Text>>,
    /// `DESTADDR=`: the address that it connected to.
    pub destination_addr: Option<Claim<IpAddr>>,
    /// `DESTPORT=`: the port that it connected to.
    pub destination_port: Option<Claim<u16>>,
}

/// What XCLIENT says of an attribute.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Claim<T> {
    /// It is this.
    Is(T),
    /// `[UNAVAILABLE]`: there is none.
    Unavailable,
    /// `[TEMPUNAVAIL]`: it could not be found out for now.
    TemporarilyUnavailable,
}

impl<T> Claim<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unavailable | Self::TemporarilyUnavailable => None,
        }
    }
}

/// Whether the proxy's client said EHLO or HELO.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum XclientProtocol {
    /// HELO.
    Smtp,
    /// EHLO.
    Esmtp,
}

/// An attribute of XCLIENT by its name; a server says in EHLO which of them it takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum XclientAttribute {
    /// `NAME`.
    Name,
    /// `ADDR`.
    Addr,
    /// `PORT`.
    Port,
    /// `PROTO`.
    Proto,
    /// `HELO`.
    Helo,
    /// `LOGIN`.
    Login,
    /// `DESTADDR`.
    DestAddr,
    /// `DESTPORT`.
    DestPort,
}

impl XclientAttribute {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Name, Self::Addr, Self::Port, Self::Proto, Self::Helo, Self::Login, Self::DestAddr, Self::DestPort];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Addr => "ADDR",
            Self::Port => "PORT",
            Self::Proto => "PROTO",
            Self::Helo => "HELO",
            Self::Login => "LOGIN",
            Self::DestAddr => "DESTADDR",
            Self::DestPort => "DESTPORT",
        }
    }

    /// The attribute of this name, in any case.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.as_str().eq_ignore_ascii_case(name))
    }
}

impl Xclient {
    /// Reads one or more attributes, each after a space and each once.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let mut said = Self::default();
        if cursor.rest().is_empty() {
            return cursor.fail("a space and an attribute");
        }
        while !cursor.rest().is_empty() {
            cursor.expect(b' ', "a space before the attribute")?;
            let at = cursor.at();
            let wrong = |expected| ParseError { at, expected };
            let name = cursor.take_while(|b| b != b'=' && b != b' ');
            let name = core::str::from_utf8(name).ok().and_then(XclientAttribute::of);
            let name = name.ok_or(wrong("an attribute of XCLIENT"))?;
            cursor.expect(b'=', "\"=\" and the attribute's value")?;
            // What decodes to a control character is refused: it would reach headers and logs.
            let value = xtext(cursor.take_while(|b| b != b' ')).filter(|value| !value.is_empty());
            let value = value.ok_or(wrong("a printable value in xtext"))?;
            let fresh = match name {
                XclientAttribute::Name => set(&mut said.name, &value, |v| Text::new(v).ok()),
                XclientAttribute::Addr => set(&mut said.addr, &value, address),
                XclientAttribute::Port => set(&mut said.port, &value, port),
                XclientAttribute::Proto => set(&mut said.proto, &value, |v| match v {
                    v if v.eq_ignore_ascii_case("SMTP") => Some(XclientProtocol::Smtp),
                    v if v.eq_ignore_ascii_case("ESMTP") => Some(XclientProtocol::Esmtp),
                    _ => None,
                }),
                XclientAttribute::Helo => set(&mut said.helo, &value, |v| HelloName::parse(v).ok()),
                XclientAttribute::Login => set(&mut said.login, &value, |v| Text::new(v).ok()),
                XclientAttribute::DestAddr => set(&mut said.destination_addr, &value, address),
                XclientAttribute::DestPort => set(&mut said.destination_port, &value, port),
            };
            match fresh {
                None => return Err(wrong("a value that the attribute can have")),
                Some(false) => return Err(wrong("each attribute once")),
                Some(true) => {}
            }
        }
        Ok(said)
    }

    /// Writes each attribute with a space before it.
    pub(super) fn encode(&self, out: &mut String) {
        let address = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => alloc::format!("{ip}"),
            IpAddr::V6(ip) => alloc::format!("IPV6:{ip}"),
        };
        put(out, XclientAttribute::Name, self.name.as_ref(), |v| v.as_str().into());
        put(out, XclientAttribute::Addr, self.addr.as_ref(), address);
        put(out, XclientAttribute::Port, self.port.as_ref(), |v| alloc::format!("{v}"));
        put(out, XclientAttribute::Proto, self.proto.as_ref(), |v| match v {
            XclientProtocol::Smtp => "SMTP".into(),
            XclientProtocol::Esmtp => "ESMTP".into(),
        });
        put(out, XclientAttribute::Helo, self.helo.as_ref(), |v| v.as_str().into());
        put(out, XclientAttribute::Login, self.login.as_ref(), |v| v.as_str().into());
        put(out, XclientAttribute::DestAddr, self.destination_addr.as_ref(), address);
        put(out, XclientAttribute::DestPort, self.destination_port.as_ref(), |v| alloc::format!("{v}"));
    }
}

const UNAVAILABLE: &str = "[UNAVAILABLE]";
const TEMPORARILY: &str = "[TEMPUNAVAIL]";

/// `None` if the value is none that the attribute can have, `Some(false)` if it was there before.
fn set<T>(slot: &mut Option<Claim<T>>, value: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<bool> {
    let claim = match value {
        v if v.eq_ignore_ascii_case(UNAVAILABLE) => Claim::Unavailable,
        v if v.eq_ignore_ascii_case(TEMPORARILY) => Claim::TemporarilyUnavailable,
        v => Claim::Is(read(v)?),
    };
    Some(slot.replace(claim).is_none())
}

fn put<T>(out: &mut String, name: XclientAttribute, claim: Option<&Claim<T>>, write: impl FnOnce(&T) -> String) {
    use fmt::Write as _;
    let value = match claim {
        None => return,
        Some(Claim::Is(value)) => write(value),
        Some(Claim::Unavailable) => UNAVAILABLE.into(),
        Some(Claim::TemporarilyUnavailable) => TEMPORARILY.into(),
    };
    write!(out, " {}={}", name.as_str(), Xtext(&value)).expect("a String takes everything");
}

fn address(value: &str) -> Option<IpAddr> {
    const TAG: usize = "IPV6:".len();
    match value.get(..TAG) {
        Some(tag) if tag.eq_ignore_ascii_case("IPV6:") => value[TAG..].parse().ok().map(IpAddr::V6),
        Some(_) | None => IpAddr::from_str(value).ok(),
    }
}

fn port(value: &str) -> Option<u16> {
    if value.bytes().all(|b| b.is_ascii_digit()) { value.parse().ok() } else { None }
}
