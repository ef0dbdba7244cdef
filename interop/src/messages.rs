//! The messages that are sent around, and the comparison of what arrives with what was sent.

use std::fmt::Write;

/// Header fields that servers may put on top of a message they handle (RFC 5321, 4.4; RFC 8601; RFC 6376).
const TRACE: [&str; 7] = [
    "received",
    "return-path",
    "delivered-to",
    "x-original-to",
    "authentication-results",
    "dkim-signature",
    "received-spf",
];

/// A message as it goes over the wire: lines end in CRLF, the last one too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Header and body.
    pub bytes: Vec<u8>,
    /// What is between the angle brackets of its Message-ID.
    pub id: String,
}

impl Message {
    /// 2 KiB of plain ASCII, with the lines that break careless software: leading dots, `From `, empty ones, blanks at
    /// the end.
    pub fn small(from: &str, to: &str, id: &str) -> Self {
        let mut text = header(from, to, id, "Small and plain");
        text += "Content-Type: text/plain; charset=us-ascii\r\n\r\n";
        text += ".\r\n..\r\n.leading dot\r\nFrom the start of a line\r\n\r\n\r\ntrailing blanks  \t \r\n";
        Self { bytes: padded(text.into_bytes(), 2 * 1024, id), id: id.to_owned() }
    }

    /// 50 KiB: multipart with raw 8-bit text, encoded words in folded header fields and a base64 attachment.
    pub fn medium(from: &str, to: &str, id: &str) -> Self {
        let mut text = header(from, to, id, "=?utf-8?q?Gr=C3=BC=C3=9Fe_aus_?=\r\n =?utf-8?b?S8O2bG4g8J+TqA==?=");
        text += "Content-Type: multipart/mixed;\r\n\tboundary=\"=_outer\"\r\n\r\nNot for reading.\r\n--=_outer\r\n\
                 Content-Type: multipart/alternative; boundary=inner\r\n\r\n\
                 --inner\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
        for line in 0..200 {
            let _ = write!(text, "{line}: Straße, übermäßig, naïve, Ελλάδα, 日本語, 📨 – „Anführung“\r\n.{line}\r\n");
        }
        text += "\r\n--inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: \
                 quoted-printable\r\n\r\n<p>Gr=C3=BC=C3=9Fe=20=\r\n</p>\r\n--inner--\r\n--=_outer\r\n\
                 Content-Type: application/octet-stream;\r\n name*=utf-8''d%C3%A4ta.bin\r\n\
                 Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n";
        let mut bytes = padded(text.into_bytes(), 50 * 1024 - END.len(), id);
        bytes.extend_from_slice(END);
        const END: &[u8] = b"\r\n--=_outer--\r\n";
        Self { bytes, id: id.to_owned() }
    }

    /// 4 KiB with UTF-8 in its header (RFC 6532) and in its body, lines of 998 octets among them.
    pub fn international(from: &str, to: &str, id: &str) -> Self {
        let mut text = header(from, to, id, "Grüße aus Köln 📨, δοκιμή, 配達");
        text += "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n.Ünder\r\n";
        text += &"ß".repeat(499);
        text += "\r\n.\r\n";
        Self { bytes: padded(text.into_bytes(), 4 * 1024, id), id: id.to_owned() }
    }

    /// Text that could be taken for commands, for the end of the message, or for too much: dots alone and before other
    /// things, lines of the 998 octets that are allowed (RFC 5322, 2.1.1), empty lines, also at the end.
    pub fn odd(from: &str, to: &str, id: &str) -> Self {
        let mut text = header(from, to, id, "Odd");
        text += "Content-Type: text/plain; charset=us-ascii\r\n\r\n.\r\n..\r\n...\r\n. \r\n.\t.\r\n\r\n.\r\n\r\n";
        for line in [".".repeat(998), format!(".{}", "x".repeat(997)), "y".repeat(998), " ".repeat(998)] {
            text += &line;
            text += "\r\n";
        }
        text += "QUIT\r\nRSET\r\nBDAT 0 LAST\r\n250 OK\r\n>From here\r\nFrom there\r\n \r\n.\r\n\r\n\r\n";
        Self { bytes: text.into_bytes(), id: id.to_owned() }
    }

    /// 150 MB with a base64 attachment.
    pub fn large(from: &str, to: &str, id: &str) -> Self {
        Self::of_size(from, to, id, 150_000_000)
    }

    /// A base64 attachment that makes the message so many octets, at least 1,000.
    pub fn of_size(from: &str, to: &str, id: &str, octets: usize) -> Self {
        let mut text = header(from, to, id, "Large");
        text += "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        Self { bytes: padded(text.into_bytes(), octets, id), id: id.to_owned() }
    }

    /// The three sizes, with ids made from `name`.
    pub fn all_sizes(from: &str, to: &str, name: &str) -> [Self; 3] {
        [
            Self::small(from, to, &format!("{name}.2k@client.test")),
            Self::medium(from, to, &format!("{name}.50k@client.test")),
            Self::large(from, to, &format!("{name}.150m@client.test")),
        ]
    }

    /// The smaller two sizes.
    pub fn small_sizes(from: &str, to: &str, name: &str) -> [Self; 2] {
        [
            Self::small(from, to, &format!("{name}.2k@client.test")),
            Self::medium(from, to, &format!("{name}.50k@client.test")),
        ]
    }

    /// Checks that `got`, which came over a wire, is this message, give or take trace fields on top.
    ///
    /// # Panics
    /// When it is not, with the place where they differ.
    #[track_caller]
    pub fn assert_is(&self, got: &[u8]) {
        if let Some(difference) = difference(&self.bytes, without_trace(got)) {
            panic!("message {} came out changed: {difference}", self.id);
        }
    }

    /// As [`Message::assert_is`] for a message that was stored with LF line ends, as Unix software does.
    #[track_caller]
    pub fn assert_is_unix(&self, got: &[u8]) {
        self.assert_is(&crlf(got));
    }

    /// Checks that each of `sent` is in `got` exactly once, by Message-ID, and unchanged, and that nothing else is.
    ///
    /// # Panics
    /// When it is not so.
    #[track_caller]
    pub fn assert_all(sent: &[Self], got: &[Vec<u8>]) {
        for message in sent {
            let line = format!("\r\nMessage-ID: <{}>\r\n", message.id);
            let mut found = got.iter().filter(|bytes| contains(head(bytes), line.as_bytes()));
            let first = found.next().unwrap_or_else(|| panic!("message {} did not arrive", message.id));
            assert!(found.next().is_none(), "message {} arrived more than once", message.id);
            message.assert_is(first);
        }
        assert_eq!(got.len(), sent.len(), "there are other messages than those sent");
    }

    /// As [`Message::assert_all`] for messages stored with LF line ends.
    #[track_caller]
    pub fn assert_all_unix(sent: &[Self], got: &[Vec<u8>]) {
        Self::assert_all(sent, &got.iter().map(|bytes| crlf(bytes)).collect::<Vec<_>>());
    }

    /// The message as SMTP's DATA has it: first dots doubled, and the final dot, without its CRLF.
    pub fn dot_stuffed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 64);
        for line in self.bytes.split_inclusive(|b| *b == b'\n') {
            if line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend_from_slice(line);
        }
        out.push(b'.');
        out
    }
}

/// `bytes` without the header fields called `name`, for clients that add one of their own.
pub fn without_field(bytes: &[u8], name: &str) -> Vec<u8> {
    let end = head(bytes).len();
    let mut out = Vec::with_capacity(bytes.len());
    let mut skipping = false;
    for line in bytes[..end].split_inclusive(|b| *b == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            skipping = field_name(line).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()));
        }
        if !skipping {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(&bytes[end..]);
    out
}

/// `bytes` from the first line that is no trace field on.
pub fn without_trace(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    let mut skipping = false;
    loop {
        let line = rest.split_inclusive(|b| *b == b'\n').next().unwrap_or_default();
        skipping = if line.starts_with(b" ") || line.starts_with(b"\t") {
            skipping
        } else {
            field_name(line).is_some_and(|name| TRACE.iter().any(|t| name.eq_ignore_ascii_case(t.as_bytes())))
        };
        if !skipping || line.is_empty() {
            return rest;
        }
        rest = &rest[line.len()..];
    }
}

fn header(from: &str, to: &str, id: &str, subject: &str) -> String {
    format!(
        "From: \"Sender, A.\" <{from}>\r\nTo: {to}\r\nSubject: {subject}\r\n\
         Date: Sat, 21 Nov 2026 08:30:00 +0100\r\nMessage-ID: <{id}>\r\nMIME-Version: 1.0\r\n"
    )
}

/// `text` filled up to exactly `size` octets with lines of base64 letters that look random but follow from `seed`.
fn padded(mut text: Vec<u8>, size: usize, seed: &str) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // xorshift64: any state but 0 will do.
    let mut state = seed.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |s, b| s.rotate_left(9) ^ u64::from(b));
    text.reserve(size.saturating_sub(text.len()));
    while text.len() < size {
        let left = size - text.len();
        // No remainder too short for a line of its own may stay: the shortest is one letter with its CRLF.
        let line = match left {
            ..=78 => left,
            79..=80 => 40,
            _ => 78,
        };
        assert!(line >= 3, "a message of {size} octets cannot be filled up exactly");
        for _ in 0..line - 2 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(LETTERS[(state >> 58) as usize]);
        }
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// The header with the empty line that ends it, for either line end.
fn head(bytes: &[u8]) -> &[u8] {
    let mut end = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        end += line.len();
        if line == b"\r\n" || line == b"\n" {
            break;
        }
    }
    &bytes[..end]
}

fn field_name(line: &[u8]) -> Option<&[u8]> {
    line.iter().position(|b| *b == b':').map(|colon| &line[..colon])
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// LF turned into CRLF. What already has CRLF is left alone.
fn crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 60);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// Where and how two messages differ.
fn difference(want: &[u8], got: &[u8]) -> Option<String> {
    if want == got {
        return None;
    }
    let at = want.iter().zip(got).position(|(a, b)| a != b).unwrap_or(want.len().min(got.len()));
    let around = |bytes: &[u8]| {
        let from = at.saturating_sub(60).min(bytes.len());
        bytes[from..bytes.len().min(at + 60)].escape_ascii().to_string()
    };
    Some(format!(
        "{} octets were sent, {} came; the first difference is at octet {at}\n  sent: {}\n  came: {}",
        want.len(),
        got.len(),
        around(want),
        around(got)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_and_lines_are_short() {
        for (message, size) in Message::all_sizes("a@x.test", "b@y.test", "n").iter().zip([2048, 51_200, 150_000_000]) {
            assert_eq!(message.bytes.len(), size);
            assert!(message.bytes.ends_with(b"\r\n"));
            for line in message.bytes.split_inclusive(|b| *b == b'\n') {
                assert!(line.ends_with(b"\r\n") && line.len() <= 1000);
            }
        }
    }

    #[test]
    fn trace_fields_are_taken_off_the_top_only() {
        let got = b"Return-Path: <a@b>\r\nReceived: from x\r\n\tby y\r\nSubject: s\r\nReceived: stays\r\n\r\nbody\r\n";
        assert_eq!(without_trace(got), b"Subject: s\r\nReceived: stays\r\n\r\nbody\r\n");
    }

    #[test]
    fn a_field_is_taken_out_with_its_continuation() {
        let got = b"A: 1\nX-TUID: q\n more\nB: 2\n\nX-TUID: body\n";
        assert_eq!(without_field(got, "x-tuid"), b"A: 1\nB: 2\n\nX-TUID: body\n");
    }

    #[test]
    #[should_panic(expected = "first difference is at octet 1")]
    fn a_changed_octet_is_found() {
        let sent = Message { bytes: b"A: 1\r\n\r\n".to_vec(), id: "i".into() };
        sent.assert_is(b"AB 1\r\n\r\n");
    }
}
