//! A message to be sent: from a file or a pipe, with CR LF line ends, kept until it is gone.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use mail_parser::{Address, MessageParser};
use memchr::memchr2;
use tempfile::SpooledTempFile;

use crate::fault::{Class, Fault};

/// Up to this size a message is kept in memory, above in a file without a name.
const IN_MEMORY: usize = 1 << 20;
/// The largest header that is read.
const HEADER: usize = 1 << 20;

/// A message that is complete and can be sent.
#[derive(Debug)]
pub(crate) struct Message {
    octets: SpooledTempFile,
    pub(crate) size: u64,
    /// There are octets above 127.
    pub(crate) eight_bit: bool,
    /// The first address of From.
    pub(crate) from: Option<String>,
    /// The addresses of To, Cc and Bcc.
    pub(crate) recipients: Vec<String>,
}

impl Message {
    /// Reads a message to its end. With `without_bcc`, that field is left out.
    pub(crate) fn read(mut input: impl Read, without_bcc: bool) -> Result<Self, Fault> {
        let mut spool = Spool::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut header = Vec::new();
        let mut in_header = true;
        loop {
            let read = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Fault::new(Class::Io, format!("cannot read the message: {error}"))),
            };
            if !in_header {
                spool.push(&buffer[..read])?;
                continue;
            }
            let searched = header.len().saturating_sub(3);
            header.extend_from_slice(&buffer[..read]);
            if has_end(&header, searched) {
                in_header = false;
                spool.push(&with_or_without_bcc(&header, without_bcc))?;
            } else if header.len() > HEADER {
                return Err(Fault::new(
                    Class::Data,
                    format!("the header of the message is larger than {HEADER} octets"),
                ));
            }
        }
        if header.is_empty() {
            return Err(Fault::new(Class::NoInput, "there is no message: give it on standard input or name its file"));
        }
        if in_header {
            spool.push(&with_or_without_bcc(&header, without_bcc))?;
        }
        check_header(&header)?;
        let parsed = MessageParser::default().parse_headers(&header);
        let list = |field: Option<&Address<'_>>| -> Vec<String> {
            field.into_iter().flat_map(Address::iter).filter_map(|one| one.address()).map(str::to_owned).collect()
        };
        let (from, recipients) = match &parsed {
            Some(parsed) => {
                let mut recipients = list(parsed.to());
                recipients.extend(list(parsed.cc()));
                recipients.extend(list(parsed.bcc()));
                (list(parsed.from()).into_iter().next(), recipients)
            }
            None => (None, Vec::new()),
        };
        spool.finish(from, recipients)
    }

    /// Back to its beginning.
    pub(crate) fn rewind(&mut self) -> io::Result<()> {
        self.octets.rewind()
    }

    /// The next of its octets, from the beginning.
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.octets.read(buffer)
    }
}

/// Collects a message.
pub(crate) struct Spool {
    octets: SpooledTempFile,
    line_ends: LineEnds,
    buffer: Vec<u8>,
    size: u64,
    eight_bit: bool,
}

impl Spool {
    pub(crate) fn new() -> Self {
        Self {
            octets: SpooledTempFile::new(IN_MEMORY),
            line_ends: LineEnds::default(),
            buffer: Vec::new(),
            size: 0,
            eight_bit: false,
        }
    }

    /// Adds octets, whose lines end in LF or CR LF.
    pub(crate) fn push(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.buffer.clear();
        self.line_ends.push(octets, &mut self.buffer)?;
        self.eight_bit |= !octets.is_ascii();
        self.write()
    }

    fn write(&mut self) -> Result<(), Fault> {
        self.size += self.buffer.len() as u64;
        self.octets.write_all(&self.buffer).map_err(|error| kept(&error))
    }

    /// The message is complete.
    pub(crate) fn finish(mut self, from: Option<String>, recipients: Vec<String>) -> Result<Message, Fault> {
        self.buffer.clear();
        self.line_ends.end(&mut self.buffer)?;
        self.write()?;
        self.octets.rewind().map_err(|error| kept(&error))?;
        Ok(Message { octets: self.octets, size: self.size, eight_bit: self.eight_bit, from, recipients })
    }
}

fn kept(error: &io::Error) -> Fault {
    let place = std::env::temp_dir();
    Fault::new(Class::Io, format!("cannot keep the message in {} until it is sent: {error}", place.display()))
}

/// Opens the file, or standard input.
pub(crate) fn input(file: Option<&Path>) -> Result<Box<dyn Read>, Fault> {
    match file {
        Some(path) => {
            let file = File::open(path);
            let file =
                file.map_err(|error| Fault::new(Class::NoInput, format!("cannot read {}: {error}", path.display())))?;
            Ok(Box::new(file))
        }
        None => Ok(Box::new(io::stdin())),
    }
}

/// Makes every line end CR LF.
#[derive(Debug, Default)]
struct LineEnds {
    after_cr: bool,
    within_line: bool,
    lines: u64,
}

impl LineEnds {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut from = 0;
        let mut search = 0;
        if self.after_cr && !octets.is_empty() {
            if octets[0] != b'\n' {
                return Err(self.bare_cr());
            }
            self.after_cr = false;
            self.line(out);
            (from, search) = (1, 1);
        }
        while let Some(found) = memchr2(b'\r', b'\n', &octets[search..]) {
            let at = search + found;
            out.extend_from_slice(&octets[from..at]);
            match (octets[at], octets.get(at + 1)) {
                (b'\n', _) => (from, search) = (at + 1, at + 1),
                (_, Some(b'\n')) => (from, search) = (at + 2, at + 2),
                (_, Some(_)) => return Err(self.bare_cr()),
                (_, None) => {
                    self.after_cr = true;
                    self.within_line = true;
                    return Ok(());
                }
            }
            self.line(out);
        }
        self.within_line |= from < octets.len();
        out.extend_from_slice(&octets[from..]);
        Ok(())
    }

    fn line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.lines += 1;
        self.within_line = false;
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.after_cr {
            return Err(self.bare_cr());
        }
        if self.within_line {
            self.line(out);
        }
        Ok(())
    }

    fn bare_cr(&self) -> Fault {
        let line = self.lines + 1;
        // RFC 5321, 2.3.8.
        Fault::new(
            Class::Data,
            format!("line {line} of the message holds CR without LF, which mail may not: encode it"),
        )
    }
}

/// Whether the empty line that ends a header is there.
fn has_end(header: &[u8], from: usize) -> bool {
    if header.starts_with(b"\n") || header.starts_with(b"\r\n") {
        return true;
    }
    memchr::memmem::find(&header[from..], b"\n\n").is_some()
        || memchr::memmem::find(&header[from..], b"\n\r\n").is_some()
}

/// Whether it begins like a header.
fn check_header(header: &[u8]) -> Result<(), Fault> {
    let first = header.split(|b| *b == b'\n').next().unwrap_or_default();
    let name = first.split(|b| *b == b':').next().unwrap_or_default();
    // RFC 5322, 2.2; blanks before the colon are obsolete.
    let is_name =
        !name.is_empty() && name.len() < first.len() && name.trim_ascii_end().iter().all(u8::is_ascii_graphic);
    if is_name {
        return Ok(());
    }
    Err(Fault::new(
        Class::Data,
        "the message does not begin with a header field like \"From: ...\": add a header, or compose one with --subject",
    ))
}

fn with_or_without_bcc(octets: &[u8], without: bool) -> std::borrow::Cow<'_, [u8]> {
    if !without {
        return octets.into();
    }
    let mut kept = Vec::with_capacity(octets.len());
    let mut skipping = false;
    let mut lines = octets.split_inclusive(|b| *b == b'\n');
    for line in lines.by_ref() {
        if matches!(line, b"\n" | b"\r\n") {
            kept.extend_from_slice(line);
            break;
        }
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|b| *b == b':').next().unwrap_or_default();
            skipping = name.trim_ascii_end().eq_ignore_ascii_case(b"bcc");
        }
        if !skipping {
            kept.extend_from_slice(line);
        }
    }
    lines.for_each(|line| kept.extend_from_slice(line));
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(mut message: Message) -> Vec<u8> {
        let mut all = vec![];
        let mut buffer = [0; 7];
        loop {
            match message.next(&mut buffer).expect("kept") {
                0 => return all,
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
    }

    /// Gives its octets one at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn line_ends_become_crlf_however_they_come() {
        let text = "Subject: x\n\r\none\r\n\ntwo";
        for message in [Message::read(text.as_bytes(), false), Message::read(Slow(text.as_bytes()), false)] {
            let message = message.expect("a message");
            assert!(!message.eight_bit);
            assert_eq!(message.size, 26);
            assert_eq!(octets(message), b"Subject: x\r\n\r\none\r\n\r\ntwo\r\n");
        }
    }

    #[test]
    fn the_header_names_people_and_bcc_is_removed() {
        let text =
            "From: \"A, B\" <a@x.test>\nTo: b@x.test, C <c@x.test>\nBcc: d@x.test,\n e@x.test\nSubject: s\n\nBcc: ü\n";
        let message = Message::read(text.as_bytes(), true).expect("a message");
        assert_eq!(message.from.as_deref(), Some("a@x.test"));
        assert_eq!(message.recipients, ["b@x.test", "c@x.test", "d@x.test", "e@x.test"]);
        assert!(message.eight_bit);
        let sent = String::from_utf8(octets(message)).expect("as it was");
        assert_eq!(sent, "From: \"A, B\" <a@x.test>\r\nTo: b@x.test, C <c@x.test>\r\nSubject: s\r\n\r\nBcc: ü\r\n");
    }

    #[test]
    fn what_is_no_message_is_not_sent() {
        let class = |text: &[u8]| Message::read(text, false).map(|m| m.size).expect_err("no message").class();
        assert_eq!(class(b""), Class::NoInput);
        assert_eq!(class(b"Hello Bob,\nhow are you?\n"), Class::Data);
        assert_eq!(class(b"A: b\n\none\rtwo\n"), Class::Data);
        assert_eq!(class(b"A: b\n\none\r"), Class::Data);
        assert_eq!(class(&[b'x'; HEADER + 70_000]), Class::Data);
    }
}
