//! The PROXY protocol: what a load balancer says of the client before the client's first octet. After HAProxy's
//! "PROXY protocol", versions 1 and 2; there is no RFC.

use alloc::format;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// The longest header of version 1, in octets with CRLF.
pub const PROXY_V1_LIMIT: usize = 107;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// What a PROXY header says of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Proxied {
    /// The proxy speaks for itself, to see whether we live. The connection's own addresses are the true ones.
    Local,
    /// It speaks for a client whose address it does not know, or that is of a kind we do not.
    Unknown,
    /// It speaks for a client over TCP.
    Tcp {
        /// The client.
        source: SocketAddr,
        /// What the client connected to.
        destination: SocketAddr,
    },
}

/// The octets are no PROXY header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProxyError {
    /// It does not begin as one.
    #[error("the connection does not begin with a PROXY header")]
    NotProxy,
    /// It begins as one, and goes on as none.
    #[error("the PROXY header is malformed: expected {0}")]
    Malformed(&'static str),
    /// It is longer than is taken.
    #[error("the PROXY header is longer than {limit} octets")]
    TooLong {
        /// The limit it broke.
        limit: usize,
    },
}

/// How far a header has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyPart {
    /// All of it: so many octets, and what they say.
    Whole(usize, Proxied),
    /// At least so many octets more belong to it.
    More(usize),
}

impl Proxied {
    /// Reads a header at the beginning of `input`. Version 2 may have up to `limit` octets.
    ///
    /// # Errors
    /// [`ProxyError`] as soon as it can be none.
    pub fn read(input: &[u8], limit: usize) -> Result<ProxyPart, ProxyError> {
        if input.len() >= V2_SIGNATURE.len() && input.starts_with(V2_SIGNATURE) {
            return read_v2(input, limit);
        }
        let begun = |signature: &[u8]| signature.starts_with(&input[..input.len().min(signature.len())]);
        if begun(b"PROXY ") {
            return read_v1(input);
        }
        if begun(V2_SIGNATURE) {
            return Ok(ProxyPart::More(V2_FIXED - input.len()));
        }
        Err(ProxyError::NotProxy)
    }

    /// The header of version 1. [`Proxied::Local`] and clients that are not of the same family as what they connected
    /// to are written as unknown: version 1 has no other words for them.
    pub fn encode_v1(&self) -> Vec<u8> {
        let line = match self {
            Self::Tcp { source: SocketAddr::V4(s), destination: SocketAddr::V4(d) } => {
                format!("PROXY TCP4 {} {} {} {}\r\n", s.ip(), d.ip(), s.port(), d.port())
            }
            Self::Tcp { source: SocketAddr::V6(s), destination: SocketAddr::V6(d) } => {
                format!("PROXY TCP6 {} {} {} {}\r\n", s.ip(), d.ip(), s.port(), d.port())
            }
            Self::Local | Self::Unknown | Self::Tcp { .. } => "PROXY UNKNOWN\r\n".into(),
        };
        line.into_bytes()
    }

    /// The header of version 2, without further values. Mixed families are written as IPv6.
    pub fn encode_v2(&self) -> Vec<u8> {
        let mut header = V2_SIGNATURE.to_vec();
        let mut rest = Vec::new();
        let (command, family) = match self {
            Self::Local => (0x20, 0x00),
            Self::Unknown => (0x21, 0x00),
            Self::Tcp { source: SocketAddr::V4(s), destination: SocketAddr::V4(d) } => {
                rest.extend_from_slice(&s.ip().octets());
                rest.extend_from_slice(&d.ip().octets());
                (0x21, 0x11)
            }
            Self::Tcp { source, destination } => {
                for address in [source, destination] {
                    rest.extend_from_slice(&match address.ip() {
                        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                        IpAddr::V6(ip) => ip.octets(),
                    });
                }
                (0x21, 0x21)
            }
        };
        if let Self::Tcp { source, destination } = self {
            rest.extend_from_slice(&source.port().to_be_bytes());
            rest.extend_from_slice(&destination.port().to_be_bytes());
        }
        header.extend_from_slice(&[command, family]);
        header.extend_from_slice(&u16::try_from(rest.len()).expect("two addresses and ports").to_be_bytes());
        header.extend_from_slice(&rest);
        header
    }
}

fn read_v1(input: &[u8]) -> Result<ProxyPart, ProxyError> {
    // Each octet is looked at again as the line grows, which is 107 of them at most.
    let line = &input[..input.len().min(PROXY_V1_LIMIT)];
    let Some(lf) = memchr::memchr(b'\n', line) else {
        if line.len() == PROXY_V1_LIMIT {
            return Err(ProxyError::TooLong { limit: PROXY_V1_LIMIT });
        }
        const SHORTEST: usize = "PROXY UNKNOWN\r\n".len();
        let end = if line.ends_with(b"\r") { 1 } else { 2 };
        return Ok(ProxyPart::More(SHORTEST.saturating_sub(line.len()).max(end)));
    };
    let malformed = Err(ProxyError::Malformed("PROXY, a protocol, two addresses, two ports and CRLF"));
    let Some(text) = line[..lf].strip_suffix(b"\r").and_then(|line| core::str::from_utf8(line).ok()) else {
        return malformed;
    };
    let mut words = text.split(' ').skip(1);
    let proxied = match words.next() {
        // Whatever follows is to be ignored.
        Some("UNKNOWN") => Some(Proxied::Unknown),
        Some("TCP4") => endpoints::<Ipv4Addr>(words),
        Some("TCP6") => endpoints::<Ipv6Addr>(words),
        Some(_) | None => None,
    };
    match proxied {
        Some(proxied) => Ok(ProxyPart::Whole(lf + 1, proxied)),
        None => malformed,
    }
}

fn endpoints<'a, A: FromStr + Into<IpAddr>>(mut words: impl Iterator<Item = &'a str>) -> Option<Proxied> {
    let source = words.next()?.parse::<A>().ok()?;
    let destination = words.next()?.parse::<A>().ok()?;
    let mut port = || {
        let word = words.next()?;
        let plain = word.bytes().all(|b| b.is_ascii_digit()) && (word.len() == 1 || !word.starts_with('0'));
        if plain { word.parse::<u16>().ok() } else { None }
    };
    let (source_port, destination_port) = (port()?, port()?);
    words.next().is_none().then(|| Proxied::Tcp {
        source: SocketAddr::new(source.into(), source_port),
        destination: SocketAddr::new(destination.into(), destination_port),
    })
}

fn read_v2(input: &[u8], limit: usize) -> Result<ProxyPart, ProxyError> {
    let Some(&[version_command, family, high, low]) = input.get(V2_SIGNATURE.len()..V2_FIXED) else {
        return Ok(ProxyPart::More(V2_FIXED - input.len()));
    };
    if version_command >> 4 != 2 {
        return Err(ProxyError::Malformed("version 2"));
    }
    let end = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if end > limit {
        return Err(ProxyError::TooLong { limit });
    }
    let Some(rest) = input.get(V2_FIXED..end) else {
        return Ok(ProxyPart::More(end - input.len()));
    };
    let proxied = match (version_command & 0xf, family) {
        // What a LOCAL header says besides is to be ignored.
        (0, _) => return Ok(ProxyPart::Whole(end, Proxied::Local)),
        (1, 0x11) => {
            let Some((&addresses, values)) = rest.split_first_chunk::<12>() else {
                return Err(ProxyError::Malformed("two IPv4 addresses and ports"));
            };
            let [a, b, c, d, e, f, g, h, ports @ ..] = addresses;
            check_values(values)?;
            tcp(Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into(), ports)
        }
        (1, 0x21) => {
            let (Some((&source, after)), true) = (rest.split_first_chunk::<16>(), rest.len() >= 36) else {
                return Err(ProxyError::Malformed("two IPv6 addresses and ports"));
            };
            let (&destination, after) = after.split_first_chunk::<16>().expect("the length was looked at");
            let (&ports, values) = after.split_first_chunk::<4>().expect("the length was looked at");
            check_values(values)?;
            tcp(Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into(), ports)
        }
        // Datagrams, local sockets and families yet to come: their addresses mean nothing to us.
        (1, _) => Proxied::Unknown,
        _ => return Err(ProxyError::Malformed("the command LOCAL or PROXY")),
    };
    Ok(ProxyPart::Whole(end, proxied))
}

fn tcp(source: IpAddr, destination: IpAddr, [a, b, c, d]: [u8; 4]) -> Proxied {
    Proxied::Tcp {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    }
}

/// The values after the addresses: a type, a length and as many octets. They say nothing we need, but must fit.
fn check_values(mut values: &[u8]) -> Result<(), ProxyError> {
    while !values.is_empty() {
        let rest = match values {
            [_, high, low, rest @ ..] => rest.get(usize::from(u16::from_be_bytes([*high, *low]))..),
            _ => None,
        };
        values = rest.ok_or(ProxyError::Malformed("values within the header"))?;
    }
    Ok(())
}
