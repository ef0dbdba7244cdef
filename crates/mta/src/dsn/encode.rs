//! Reports as octets: fields, parts, dates. Whatever the remote said, what leaves here is valid MIME.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use postrider_core::Instant;

/// A line that people see whole (RFC 5322, 2.1.1), and one that transports must take.
const LINE: usize = 78;
const LONGEST_LINE: usize = 998;
/// The longest value of a field; more is cut.
const LONGEST_VALUE: usize = 1000;

/// Header fields, one after another.
#[derive(Default)]
pub(super) struct Fields(Vec<u8>);

impl Fields {
    /// Adds a field. `value` loses what is neither printable ASCII nor, in an address, UTF-8; it is cut and folded.
    pub(super) fn put(&mut self, name: &str, value: &str) {
        // Addresses in our own header may be UTF-8 (RFC 6532); in the status part they come encoded.
        let value = if name == "To" { Cow::Borrowed(value) } else { Cow::Owned(printable(value, LONGEST_VALUE)) };
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b':');
        let mut column = name.len() + 1;
        for word in value.split(' ').filter(|word| !word.is_empty()) {
            let mut rest = word;
            if column + 1 + word.len() > LINE && column > name.len() + 1 {
                self.0.extend_from_slice(b"\r\n");
                column = 0;
            }
            self.0.push(b' ');
            column += 1;
            // A word longer than any line: cut with a fold, which adds a space but keeps the message valid.
            while column + rest.len() > LONGEST_LINE {
                let mut at = LONGEST_LINE - column;
                while !rest.is_char_boundary(at) {
                    at -= 1;
                }
                self.0.extend_from_slice(&rest.as_bytes()[..at]);
                self.0.extend_from_slice(b"\r\n ");
                (rest, column) = (&rest[at..], 1);
            }
            self.0.extend_from_slice(rest.as_bytes());
            column += rest.len();
        }
        self.0.extend_from_slice(b"\r\n");
    }

    /// Ends a group of fields.
    pub(super) fn empty_line(&mut self) {
        self.0.extend_from_slice(b"\r\n");
    }

    pub(super) fn into_octets(self) -> Vec<u8> {
        self.0
    }
}

/// Printable ASCII as it is, everything else as `\xHH`; cut to `limit` octets, and that is said.
fn printable(text: &str, limit: usize) -> String {
    let mut safe = String::new();
    for &octet in text.as_bytes() {
        if safe.len() > limit {
            safe.truncate(limit);
            safe.push_str(" [cut]");
            break;
        }
        match octet {
            b' '..=b'~' => safe.push(char::from(octet)),
            _ => safe.push_str(&format!("\\x{octet:02X}")),
        }
    }
    safe
}

/// An address in the status part: characters that have no place in ASCII as `\x{HEX}` (RFC 6533, 3).
//= 6531-3.2-6
pub(super) fn address(address: &str) -> String {
    let mut safe = String::new();
    for c in address.chars() {
        match c {
            ' '..='~' if address.is_ascii() || !matches!(c, '\\' | '+' | '=') => safe.push(c),
            _ => safe.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
        }
    }
    safe
}

/// A part of the report.
pub(super) struct Part {
    kind: &'static str,
    encoding: &'static str,
    octets: Vec<u8>,
}

impl Part {
    /// Text for people: ASCII as it is, more in quoted-printable.
    pub(super) fn text(text: &str) -> Self {
        let kind = "text/plain; charset=utf-8";
        Self::lines(kind, text.as_bytes())
    }

    /// The status part; its fields are made of ASCII.
    pub(super) fn status(octets: Vec<u8>) -> Self {
        Self { kind: "message/delivery-status", encoding: "7bit", octets }
    }

    /// The header of a message, cut between fields after at most `limit` octets.
    pub(super) fn header(message: &[u8], limit: usize) -> Self {
        let mut end = 0;
        let mut fields_end = 0;
        while end < message.len() {
            let line = line_at(message, end);
            if line.text.is_empty() {
                fields_end = end;
                break;
            }
            // A line that does not begin with a space begins a field, and ends the one before.
            if !matches!(line.text[0], b' ' | b'\t') {
                fields_end = end;
            }
            end = line.next;
            if end > limit {
                break;
            }
            if end == message.len() {
                fields_end = end;
            }
        }
        Self::lines("text/rfc822-headers", &message[..fields_end])
    }

    /// A whole message, if it fits a line-based transport as it is: no part of it may be encoded (RFC 2046, 5.2.1).
    pub(super) fn message(octets: &[u8]) -> Option<Self> {
        let mut at = 0;
        while at < octets.len() {
            let line = line_at(octets, at);
            if line.text.len() > LONGEST_LINE || !line.is_clean || line.text.contains(&0) {
                return None;
            }
            at = line.next;
        }
        let encoding = if octets.is_ascii() { "7bit" } else { "8bit" };
        Some(Self { kind: "message/rfc822", encoding, octets: octets.into() })
    }

    /// Lines of any octets.
    fn lines(kind: &'static str, octets: &[u8]) -> Self {
        let mut plain = true;
        let mut at = 0;
        while at < octets.len() {
            let line = line_at(octets, at);
            plain &= line.text.len() <= LONGEST_LINE && line.text.is_ascii() && !line.text.contains(&0);
            at = line.next;
        }
        let mut out = Vec::with_capacity(octets.len());
        at = 0;
        while at < octets.len() {
            let line = line_at(octets, at);
            if plain {
                out.extend_from_slice(line.text);
            } else {
                quoted_printable(line.text, &mut out);
            }
            out.extend_from_slice(b"\r\n");
            at = line.next;
        }
        Self { kind, encoding: if plain { "7bit" } else { "quoted-printable" }, octets: out }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            format!("Content-Type: {}\r\nContent-Transfer-Encoding: {}\r\n\r\n", self.kind, self.encoding).as_bytes(),
        );
        out.extend_from_slice(&self.octets);
    }
}

struct Line<'a> {
    text: &'a [u8],
    next: usize,
    /// Ended by CRLF, or the last.
    is_clean: bool,
}

/// The line at `at`, ended by CRLF, or by CR or LF alone.
fn line_at(octets: &[u8], at: usize) -> Line<'_> {
    let rest = &octets[at..];
    match rest.iter().position(|octet| matches!(octet, b'\r' | b'\n')) {
        Some(end) if rest[end..].starts_with(b"\r\n") => {
            Line { text: &rest[..end], next: at + end + 2, is_clean: true }
        }
        Some(end) => Line { text: &rest[..end], next: at + end + 1, is_clean: false },
        None => Line { text: rest, next: octets.len(), is_clean: true },
    }
}

/// One line in quoted-printable (RFC 2045, 6.7).
fn quoted_printable(line: &[u8], out: &mut Vec<u8>) {
    let mut column = 0;
    for (index, &octet) in line.iter().enumerate() {
        let last = index + 1 == line.len();
        let literal = match octet {
            b' ' | b'\t' => !last,
            b'=' => false,
            _ => matches!(octet, b'!'..=b'~'),
        };
        let width = if literal { 1 } else { 3 };
        if column + width > 75 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if literal {
            out.push(octet);
        } else {
            out.extend_from_slice(format!("={octet:02X}").as_bytes());
        }
        column += width;
    }
}

/// A boundary that begins no line of any part.
pub(super) fn boundary(id: &str, parts: &[Part]) -> String {
    let mut number = 0_u32;
    loop {
        let boundary = format!("=_{id}_{number}");
        let delimiter = format!("--{boundary}");
        let is_in = |part: &Part| part.octets.windows(delimiter.len()).any(|window| window == delimiter.as_bytes());
        if !parts.iter().any(is_in) {
            return boundary;
        }
        number += 1;
    }
}

/// The Message-ID in the header of `message`, if it has one that can stand in a field of ours.
pub(super) fn message_id(message: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"message-id:";
    let mut at = 0;
    while at < message.len() {
        let line = line_at(message, at);
        if line.text.is_empty() {
            return None;
        }
        if line.text.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
            let id = line.text[NAME.len()..].trim_ascii();
            let inner = id.strip_prefix(b"<")?.strip_suffix(b">")?;
            let fits = |b: &u8| matches!(b, b'!'..=b'~') && !matches!(b, b'<' | b'>');
            let fits = inner.len() <= 250 && inner.contains(&b'@') && inner.iter().all(fits);
            return fits.then(|| String::from_utf8_lossy(id).into_owned());
        }
        at = line.next;
    }
    None
}

/// A date of RFC 5322, 3.3, in UTC. Years beyond 9999 are cut.
pub(super) fn date(at: Instant) -> String {
    const LAST: u64 = 253_402_300_799;
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let seconds = at.elapsed().as_secs().min(LAST);
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, in eras of 400: leap days come last in both.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = year_of_era + era * 400 + u64::from(month < 2);
    let weekday = WEEKDAYS[(days % 7) as usize];
    let month = MONTHS[month as usize];
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{weekday}, {day} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn dates_are_right_at_the_corners() {
        let at = |seconds| date(Instant::after_origin(Duration::from_secs(seconds)));
        assert_eq!(at(0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(at(951_782_400), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert_eq!(at(951_868_800), "Wed, 1 Mar 2000 00:00:00 +0000");
        assert_eq!(at(1_800_000_000), "Fri, 15 Jan 2027 08:00:00 +0000");
        assert_eq!(at(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 +0000");
        assert_eq!(at(u64::MAX), "Fri, 31 Dec 9999 23:59:59 +0000");
    }
}
