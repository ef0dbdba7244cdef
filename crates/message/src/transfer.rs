//! Content-Transfer-Encoding undone, in pieces (RFC 2045, 6.7 and 6.8).

use crate::content::TransferEncoding;

/// Decodes the body of a part as it comes, in pieces of any size. What is no legal encoding is passed over (base64) or
/// left as it is (quoted-printable), as RFC 2045 advises; there are no errors.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Identity,
    /// Bits not given out yet, and how many.
    Base64 {
        bits: u32,
        count: u32,
        ended: bool,
    },
    /// What may yet mean something else: space at the end of a line, an escape in the making.
    QuotedPrintable {
        held: Vec<u8>,
    },
}

/// How much space at the end of a line is held back. More is taken for text.
const LONGEST_SPACE: usize = 1024;

impl Decoder {
    /// A decoder of that encoding; [`TransferEncoding::Unknown`] is passed through as it is.
    pub fn of(encoding: TransferEncoding) -> Self {
        let state = match encoding {
            TransferEncoding::Identity | TransferEncoding::Unknown => State::Identity,
            TransferEncoding::Base64 => State::Base64 { bits: 0, count: 0, ended: false },
            TransferEncoding::QuotedPrintable => State::QuotedPrintable { held: Vec::new() },
        };
        Self { state }
    }

    /// Decodes the next octets to the end of `out`.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match &mut self.state {
            State::Identity => out.extend_from_slice(octets),
            State::Base64 { bits, count, ended } => base64(octets, bits, count, ended, out),
            State::QuotedPrintable { held } => quoted_printable(octets, held, out),
        }
    }

    /// The body is over: gives out what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let State::QuotedPrintable { held } = &mut self.state {
            // A soft line break at the very end is one; space there is not text.
            let text = held.iter().rposition(|b| !matches!(b, b' ' | b'\t' | b'=' | b'\r'));
            out.extend_from_slice(&held[..text.map_or(0, |at| at + 1)]);
            held.clear();
        }
    }
}

/// The value of each base64 digit; [`PAD`] and [`NOISE`] for the others.
const DIGITS: [u8; 256] = {
    let mut digits = [NOISE; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    while value < 64 {
        digits[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    digits[b'=' as usize] = PAD;
    digits
};
const PAD: u8 = 64;
const NOISE: u8 = 65;

fn base64(octets: &[u8], bits: &mut u32, count: &mut u32, ended: &mut bool, out: &mut Vec<u8>) {
    out.reserve(octets.len() / 4 * 3 + 3);
    for &octet in octets {
        match DIGITS[usize::from(octet)] {
            NOISE => {}
            // Bodies put together from several encoded ones go on behind the padding.
            PAD => {
                *count = 0;
                *bits = 0;
                *ended = true;
            }
            digit => {
                *ended = false;
                *bits = (*bits << 6 | u32::from(digit)) & 0xff_ffff;
                *count += 6;
                if *count >= 8 {
                    *count -= 8;
                    out.push((*bits >> *count) as u8);
                }
            }
        }
    }
}

fn quoted_printable(mut octets: &[u8], held: &mut Vec<u8>, out: &mut Vec<u8>) {
    while let Some((&octet, rest)) = octets.split_first() {
        if held.is_empty() {
            // Plain text up to the next octet that could mean something.
            let plain = octets.iter().take_while(|b| !matches!(b, b'=' | b' ' | b'\t' | b'\r')).count();
            if plain > 0 {
                out.extend_from_slice(&octets[..plain]);
                octets = &octets[plain..];
                continue;
            }
            held.push(octet);
            octets = rest;
            continue;
        }
        let escape = held.iter().rposition(|&b| b == b'=');
        let last = held[held.len() - 1];
        match (escape, octet) {
            // A line end: space before it goes, and after `=` the line end goes, too.
            (None, b'\n') => {
                out.extend_from_slice(if last == b'\r' { b"\r\n" } else { b"\n" });
                held.clear();
                octets = rest;
            }
            (Some(at), b'\n') if held[at + 1..].iter().all(|b| matches!(b, b' ' | b'\t' | b'\r')) => {
                held.clear();
                octets = rest;
            }
            (_, b' ' | b'\t' | b'\r') if last != b'\r' && held.len() < LONGEST_SPACE => {
                held.push(octet);
                octets = rest;
            }
            (None, b'=') if last != b'\r' => {
                out.append(held);
                held.push(octet);
                octets = rest;
            }
            (Some(at), _) if at + 1 == held.len() && octet.is_ascii_hexdigit() => {
                held.push(octet);
                octets = rest;
            }
            (Some(at), _) if at + 2 == held.len() && last.is_ascii_hexdigit() && octet.is_ascii_hexdigit() => {
                let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
                out.push(digit(last) << 4 | digit(octet));
                held.clear();
                octets = rest;
            }
            // Not what it could have been: it was text. The octet is looked at again.
            _ => out.append(held),
        }
    }
}
