//! A simple message: text, and files attached.

use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;

use crate::cli;
use crate::fault::{Class, Fault};
use crate::message::{Message, Spool};

/// The longest text; more is for an attachment.
const TEXT: u64 = 16 << 20;
/// Octets of one line of base64, before encoding (RFC 2045, 6.8).
const LINE: usize = 57;

/// Makes a message of `text` from `from`, with what the command line says.
pub(crate) fn compose(send: &cli::Send, from: &str, text: impl Read) -> Result<Message, Fault> {
    let mut octets = Vec::new();
    let read = text.take(TEXT + 1).read_to_end(&mut octets);
    read.map_err(|error| Fault::new(Class::Io, format!("cannot read the text: {error}")))?;
    if octets.len() as u64 > TEXT {
        return Err(Fault::new(Class::Data, format!("the text is larger than {TEXT} octets: send it with --attach")));
    }
    let text = String::from_utf8(octets)
        .map_err(|_| Fault::new(Class::Data, "the text is not UTF-8: convert it, or send it with --attach"))?;

    let mut spool = Spool::new();
    spool.push(header(send, from).as_bytes())?;
    if send.attach.is_empty() {
        text_part(&mut spool, &text)?;
    } else {
        let boundary = format!("=_{:016x}{:016x}", random(), random());
        spool.push(format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n--{boundary}\n").as_bytes())?;
        text_part(&mut spool, &text)?;
        for path in &send.attach {
            spool.push(format!("\n--{boundary}\n").as_bytes())?;
            attachment(&mut spool, path)?;
        }
        spool.push(format!("\n--{boundary}--\n").as_bytes())?;
    }
    spool.finish(Some(from.to_owned()), Vec::new())
}

fn header(send: &cli::Send, from: &str) -> String {
    let now = jiff::Timestamp::now();
    let date = jiff::fmt::rfc2822::to_string(&now.to_zoned(TimeZone::UTC)).expect("today is in a year of four digits");
    let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let mut header = format!("Date: {date}\nFrom: <{from}>\n");
    for (name, addresses) in [("To", &send.to), ("Cc", &send.cc)] {
        let mut before = format!("{name}: ");
        for address in addresses {
            header.push_str(&format!("{before}<{address}>"));
            before = ",\n ".into();
        }
        if !addresses.is_empty() {
            header.push('\n');
        }
    }
    let subject = encoded(send.subject.as_deref().unwrap_or_default());
    header
        + &format!("Subject: {subject}\nMessage-ID: <{:016x}{:016x}@{domain}>\nMIME-Version: 1.0\n", random(), random())
}

fn text_part(spool: &mut Spool, text: &str) -> Result<(), Fault> {
    // RFC 5322, 2.1.1; a bare CR may be in base64 only.
    let plain =
        text.is_ascii() && !text.replace("\r\n", "").contains('\r') && text.lines().all(|line| line.len() <= 998);
    let charset = if text.is_ascii() { "us-ascii" } else { "utf-8" };
    let encoding = if plain { "7bit" } else { "base64" };
    spool.push(
        format!("Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n").as_bytes(),
    )?;
    if plain {
        spool.push(text.as_bytes())
    } else {
        // RFC 2045, 6.8: line ends are CR LF before they are encoded.
        let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
        base64_lines(spool, &mut text.as_bytes(), |error| Fault::new(Class::Io, error.to_string()))
    }
}

fn attachment(spool: &mut Spool, path: &Path) -> Result<(), Fault> {
    let failed = |error: io::Error| Fault::new(Class::NoInput, format!("cannot attach {}: {error}", path.display()));
    let mut file = File::open(path).map_err(failed)?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    spool.push(
        format!(
            "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\
             Content-Disposition: attachment;\n {}\n\n",
            file_name(&name)
        )
        .as_bytes(),
    )?;
    base64_lines(spool, &mut file, failed)
}

fn base64_lines(spool: &mut Spool, input: &mut impl Read, failed: impl Fn(io::Error) -> Fault) -> Result<(), Fault> {
    let mut lines = vec![0; LINE * 1024];
    let mut text = String::new();
    loop {
        let mut filled = 0;
        while filled < lines.len() {
            match input.read(&mut lines[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        text.clear();
        for line in lines[..filled].chunks(LINE) {
            STANDARD.encode_string(line, &mut text);
            text.push('\n');
        }
        spool.push(text.as_bytes())?;
        if filled < lines.len() {
            return Ok(());
        }
    }
}

/// The parameter that names a file (RFC 2183, 2.3; RFC 2231, 4).
fn file_name(name: &str) -> String {
    if name.bytes().all(|b| (b' '..=b'~').contains(&b)) && name.len() <= 60 {
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("filename=\"{quoted}\"");
    }
    let mut encoded = String::from("filename*=utf-8''");
    for b in name.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(char::from(b)),
            _ => encoded.push_str(&format!("%{b:02X}")),
        }
    }
    encoded
}

/// A field's text, as encoded words if it needs that (RFC 2047).
fn encoded(text: &str) -> String {
    /// So that an encoded word has at most 75 characters.
    const WORD: usize = 45;
    let plain = text.bytes().all(|b| (b' '..=b'~').contains(&b)) && text.len() <= 200 && !text.contains("=?");
    if plain {
        return text.to_owned();
    }
    let mut words: Vec<String> = vec![];
    let mut word = String::new();
    for c in text.chars() {
        // Whatever is set here goes into one line.
        let c = if c.is_control() { ' ' } else { c };
        if word.len() + c.len_utf8() > WORD {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<_> = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\n ")
}

/// A number that nobody has had before: the standard library seeds its hashes from the system's randomness.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders};

    #[test]
    fn a_composed_message_reads_back() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("dä\"ta.bin");
        let data: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        std::fs::write(&path, &data).expect("written");
        let subject = "Grüße aus Köln 📨, und noch viel mehr als in ein einziges Wort passt";
        let send = cli::Send {
            from: None,
            to: vec!["b@x.test".into(), "c@x.test".into()],
            cc: vec![],
            bcc: vec!["secret@x.test".into()],
            header_recipients: false,
            subject: Some(subject.into()),
            attach: vec![path],
            notify: vec![],
            require_tls: false,
            hold: None,
            file: None,
        };
        let mut message = compose(&send, "a@x.test", "Straße\n.\n".as_bytes()).expect("a message");
        let mut octets = vec![0; message.size as usize];
        let mut filled = 0;
        while filled < octets.len() {
            filled += message.next(&mut octets[filled..]).expect("kept");
        }
        assert!(!message.eight_bit && octets.split(|b| *b == b'\n').all(|line| line.len() <= 999));
        let parsed = MessageParser::default().parse(&octets).expect("a message");
        assert_eq!(parsed.subject(), Some(subject));
        assert_eq!(parsed.body_text(0).as_deref(), Some("Straße\r\n.\r\n"));
        assert_eq!(parsed.to().map(|to| to.iter().count()), Some(2));
        assert!(parsed.date().is_some() && parsed.message_id().is_some_and(|id| id.ends_with("@x.test")));
        let attached = parsed.attachment(0).expect("an attachment");
        assert_eq!(attached.contents(), data);
        assert_eq!(attached.attachment_name(), Some("dä\"ta.bin"));
        assert!(!octets.windows(6).any(|w| w == b"secret"));
    }

    #[test]
    fn a_subject_cannot_add_fields() {
        assert_eq!(encoded("plain"), "plain");
        assert!(!encoded("x\r\nBcc: evil@x.test").contains("Bcc"));
    }
}
