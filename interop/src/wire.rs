//! A connection driven line by line, where a test must see each reply, or when it came.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::messages::Message;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One end of a TCP connection that carries lines.
#[derive(Debug)]
pub struct Wire {
    reader: BufReader<TcpStream>,
    tags: u32,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::with_capacity(64 * 1024, stream), tags: 0 })
    }

    /// Sends a line; CRLF is added.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, line: &str) -> io::Result<()> {
        self.send_raw(format!("{line}\r\n").as_bytes())
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_raw(&mut self, octets: &[u8]) -> io::Result<()> {
        self.reader.get_ref().write_all(octets)
    }

    /// The next line, without CRLF.
    ///
    /// # Errors
    /// When the connection ends, or nothing comes within a minute.
    pub fn line(&mut self) -> io::Result<String> {
        self.line_within(PATIENCE)
    }

    /// The next line, if it comes in time.
    ///
    /// # Errors
    /// When the connection ends, or the time does (`TimedOut`).
    pub fn line_within(&mut self, limit: Duration) -> io::Result<String> {
        let start = Instant::now();
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.reader.get_ref().set_read_timeout(Some(left))?;
            match self.reader.read_until(b'\n', &mut line) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                Err(e) => return Err(e),
            }
        }
        while line.ends_with(b"\n") || line.ends_with(b"\r") {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// An SMTP reply: its code and its text, lines joined with LF.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no reply.
    pub fn smtp_reply(&mut self) -> io::Result<(u16, String)> {
        let mut text = String::new();
        loop {
            let line = self.line()?;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let Some(code) = code else { return Err(io::Error::new(ErrorKind::InvalidData, line)) };
            text += line.get(4..).unwrap_or_default();
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok((code, text));
            }
            text.push('\n');
        }
    }

    /// Sends an SMTP command and returns the reply.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn smtp(&mut self, command: &str) -> io::Result<(u16, String)> {
        self.send(command)?;
        self.smtp_reply()
    }

    /// Logs in to an SMTP server with AUTH PLAIN.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn smtp_log_in(&mut self, user: &str, password: &str) -> io::Result<(u16, String)> {
        self.smtp(&format!("AUTH PLAIN {}", base64(format!("\0{user}\0{password}").as_bytes())))
    }

    /// Sends one message in an SMTP session that has been greeted. The reply is the last that came: to the message, or
    /// to the command that was refused.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn smtp_message(&mut self, from: &str, to: &str, message: &Message) -> io::Result<(u16, String)> {
        for command in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()] {
            let reply = self.smtp(&command)?;
            if reply.0 >= 400 {
                return Ok(reply);
            }
        }
        let mut data = message.dot_stuffed();
        data.extend_from_slice(b"\r\n");
        self.send_raw(&data)?;
        self.smtp_reply()
    }

    /// Sends an IMAP command with a fresh tag and returns the lines of the answer, the tagged one last.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn imap(&mut self, command: &str) -> io::Result<Vec<String>> {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.send(&format!("{tag} {command}"))?;
        self.imap_until(&tag)
    }

    /// The lines up to the tagged one.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn imap_until(&mut self, tag: &str) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            let last = line.strip_prefix(tag).is_some_and(|rest| rest.starts_with(' '));
            lines.push(line);
            if last {
                return Ok(lines);
            }
        }
    }

    /// Waits for a line that satisfies, returning how long that took.
    ///
    /// # Panics
    /// When none comes within `limit`; all that came is shown.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, limit: Duration, mut satisfies: impl FnMut(&str) -> bool) -> Duration {
        let start = Instant::now();
        let mut seen = Vec::new();
        loop {
            match self.line_within(limit.saturating_sub(start.elapsed())) {
                Ok(line) if satisfies(&line) => return start.elapsed(),
                Ok(line) => seen.push(line),
                Err(e) => panic!("no {what} within {limit:?} ({e}); what came: {seen:#?}"),
            }
        }
    }
}

/// Base64 with padding (RFC 4648, 4).
fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in octets.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads() {
        assert_eq!(
            ["f", "fo", "foo", "\0b\0c"].map(|text| base64(text.as_bytes())),
            ["Zg==", "Zm8=", "Zm9v", "AGIAYw=="]
        );
    }
}
