//! Encoded words (RFC 2047) to text.

use crate::charset;
use crate::content::TransferEncoding;
use crate::transfer;

/// The text of an unfolded header value with its encoded words decoded. Space between two encoded words is no part of
/// the text (RFC 2047, 6.2); other 8-bit octets are taken for UTF-8. Also decodes words inside of quoted strings, where
/// they should not be but are. Neighbouring words of one charset are decoded together, since some programs cut
/// characters in two.
pub fn decode(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    let mut waiting: Option<(&[u8], Vec<u8>)> = None;
    let mut plain = 0;
    let mut at = 0;
    while let Some(next) = memchr::memmem::find(&value[at..], b"=?") {
        let start = at + next;
        let Some(word) = Word::parse(&value[start..]) else {
            at = start + 2;
            continue;
        };
        let between = &value[plain..start];
        if waiting.is_none() || !between.trim_ascii().is_empty() {
            flush(&mut waiting, &mut text);
            text.push_str(&String::from_utf8_lossy(between));
        }
        match &mut waiting {
            Some((charset, octets)) if charset.eq_ignore_ascii_case(word.charset) => word.decode(octets),
            _ => {
                flush(&mut waiting, &mut text);
                let mut octets = Vec::new();
                word.decode(&mut octets);
                waiting = Some((word.charset, octets));
            }
        }
        at = start + word.length;
        plain = at;
    }
    flush(&mut waiting, &mut text);
    text.push_str(&String::from_utf8_lossy(&value[plain..]));
    text
}

fn flush(waiting: &mut Option<(&[u8], Vec<u8>)>, text: &mut String) {
    if let Some((charset, octets)) = waiting.take() {
        text.push_str(&charset::to_utf8(charset, &octets));
    }
}

struct Word<'a> {
    charset: &'a [u8],
    base64: bool,
    text: &'a [u8],
    length: usize,
}

/// Longer ones than the 75 octets of RFC 2047, 2 are about; the limit keeps the search for the end short.
const LONGEST_WORD: usize = 1000;

impl<'a> Word<'a> {
    /// The encoded word that `octets`, which begin with `=?`, begin with.
    fn parse(octets: &'a [u8]) -> Option<Self> {
        let inside = &octets[2..octets.len().min(LONGEST_WORD)];
        let charset_end = inside.iter().take(64).position(|&b| b == b'?')?;
        let charset = &inside[..charset_end];
        if charset.is_empty() || charset.iter().any(u8::is_ascii_whitespace) {
            return None;
        }
        // RFC 2231, 5: the language may follow a star.
        let charset = charset.split(|&b| b == b'*').next().unwrap_or(charset);
        let [encoding, b'?', text @ ..] = &inside[charset_end + 1..] else { return None };
        let base64 = match encoding {
            b'b' | b'B' => true,
            b'q' | b'Q' => false,
            _ => return None,
        };
        let end = memchr::memmem::find(text, b"?=")?;
        let length = 2 + charset_end + 1 + 2 + end + 2;
        Some(Self { charset, base64, text: &text[..end], length })
    }

    fn decode(&self, out: &mut Vec<u8>) {
        if self.base64 {
            let mut decoder = transfer::Decoder::of(TransferEncoding::Base64);
            decoder.push(self.text, out);
            decoder.finish(out);
            return;
        }
        let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
        let mut text = self.text;
        while let Some((&octet, rest)) = text.split_first() {
            text = rest;
            match (octet, rest) {
                (b'_', _) => out.push(b' '),
                (b'=', [high, low, rest @ ..]) if digit(*high).is_some() && digit(*low).is_some() => {
                    out.push(digit(*high).unwrap_or(0) << 4 | digit(*low).unwrap_or(0));
                    text = rest;
                }
                (other, _) => out.push(other),
            }
        }
    }
}
