//! A message on its way in: its end, its size, and what its header must not be.

use super::answers::About;
use super::{Config, Event, Limits, Notes, Server, Stage, ask};
use crate::outcome::no;
use crate::wire::{BadBody, Body, ChunkReader, DataReader, Reply};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use postrider_core::{Closed, Excerpt, Link, Pending, ProtocolError};

/// A message on its way in.
#[derive(Debug)]
pub(super) struct Receiving {
    reader: Reader,
    size: u64,
    header: Header,
    trouble: Option<Trouble>,
}

/// How its octets are read.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a message being received is in a box as it is")]
enum Reader {
    Data(DataReader),
    Chunks(ChunkReader),
}

/// Why a message cannot be taken.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Octets(BadBody),
    TooLarge,
    HeaderTooLarge,
    Loop,
}

/// What was read.
pub(super) struct Piece {
    /// Part of the message; empty if the message cannot be taken.
    pub(super) body: Bytes,
    /// Octets on the wire.
    taken: usize,
    pub(super) ended: bool,
}

impl Receiving {
    /// After DATA, for recipients with these keys.
    pub(super) fn new(config: &Config, recipients: Vec<String>) -> Self {
        Self::with(
            Reader::Data(DataReader::new(config.bare_newlines, config.limits.line(config.long_lines))),
            recipients,
        )
    }

    /// After the first BDAT. `binary` says that any octets are good.
    pub(super) fn chunks(config: &Config, binary: bool, recipients: Vec<String>) -> Self {
        Self::with(
            Reader::Chunks(if binary {
                ChunkReader::opaque()
            } else {
                ChunkReader::lines(config.bare_newlines, config.limits.line(config.long_lines))
            }),
            recipients,
        )
    }

    fn with(reader: Reader, recipients: Vec<String>) -> Self {
        let header = Header { recipients, ..Header::default() };
        Self { reader, size: 0, header, trouble: None }
    }

    fn bad(&self) -> Option<BadBody> {
        match &self.reader {
            Reader::Data(reader) => reader.bad(),
            Reader::Chunks(reader) => reader.bad(),
        }
    }

    /// What was seen in the header.
    pub(super) fn note(&self, notes: &mut Notes) {
        notes.hops = self.header.hops;
        notes.tls_not_required = self.header.tls_not_required;
    }

    /// Octets of the message so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads what has come.
    pub(super) fn read(&mut self, link: &mut Link, limits: &Limits) -> Piece {
        let Reader::Data(reader) = &mut self.reader else {
            unreachable!("what comes in chunks is read by chunks");
        };
        let part = reader.read(link.input());
        link.trace_octets_in(part.taken as u64);
        let body = match part.body {
            Body::Prefix(length) => {
                let mut body = link.take(part.taken);
                body.truncate(length);
                body
            }
            Body::Rewritten(octets) => {
                link.advance(part.taken);
                Bytes::from(octets)
            }
        };
        let body = self.look(body, part.taken, limits);
        if part.ended && self.trouble.is_none() {
            self.trouble = self.header.end(limits);
        }
        Piece { body, taken: part.taken, ended: part.ended }
    }

    /// Reads the first `taken` octets that have come, which are a chunk's.
    pub(super) fn read_chunk(&mut self, link: &mut Link, taken: usize, limits: &Limits) -> Bytes {
        let Reader::Chunks(reader) = &mut self.reader else {
            unreachable!("what comes after DATA is read whole");
        };
        link.trace_octets_in(taken as u64);
        let octets = link.take(taken);
        let body = match reader.read(&octets) {
            Body::Prefix(length) => octets.slice(..length),
            Body::Rewritten(octets) => Bytes::from(octets),
        };
        self.look(body, taken, limits)
    }

    /// The next part is one that is not seen here. What of those before it is still to be given out.
    pub(super) fn interrupted(&mut self, limits: &Limits) -> Bytes {
        // Whether the header ends in that part is not known, so nothing after it is taken for a field.
        self.header.over = true;
        self.header.field.clear();
        let Reader::Chunks(reader) = &mut self.reader else {
            unreachable!("what comes after DATA has no other parts");
        };
        let rest = reader.finish();
        self.look(Bytes::from_static(rest), 0, limits)
    }

    /// The last chunk was read. What of the message is still to be given out.
    pub(super) fn finish(&mut self, limits: &Limits) -> Bytes {
        let Reader::Chunks(reader) = &mut self.reader else {
            unreachable!("what comes after DATA has an end");
        };
        let rest = reader.finish();
        let body = self.look(Bytes::from_static(rest), 0, limits);
        if self.trouble.is_none() {
            self.trouble = self.header.end(limits);
        }
        body
    }

    /// Looks at the next part of the message, which came in `taken` octets; empty if it cannot be taken.
    fn look(&mut self, body: Bytes, taken: usize, limits: &Limits) -> Bytes {
        let bad = self.bad();
        // A message that is thrown away still counts: the excess is limited too.
        self.size += if bad.is_some() { taken } else { body.len() } as u64;
        if self.trouble.is_none() {
            self.trouble = if let Some(bad) = bad {
                Some(Trouble::Octets(bad))
            } else if self.size > limits.message {
                Some(Trouble::TooLarge)
            } else {
                self.header.look(&body, limits)
            };
        }
        if self.trouble.is_some() { Bytes::new() } else { body }
    }

    /// Whether so much has come that waiting for the end is not worth it.
    pub(super) fn is_hopeless(&self, limits: &Limits) -> bool {
        self.size > limits.message.saturating_add(limits.message_excess)
    }

    /// The reply to a message that cannot be taken.
    pub(super) fn refusal(&self) -> Option<Reply> {
        Some(match self.trouble? {
            Trouble::Octets(BadBody::BareNewline) => no(554, 6, 0, "The message holds CR or LF alone"),
            Trouble::Octets(BadBody::Nul) => no(554, 6, 0, "The message holds NUL"),
            Trouble::Octets(BadBody::LineTooLong { .. }) => no(554, 6, 0, "The message holds a line that is too long"),
            Trouble::TooLarge => no(552, 3, 4, "The message is too large"),
            Trouble::HeaderTooLarge => no(552, 3, 4, "The message's header is too large"),
            Trouble::Loop => no(554, 4, 6, "The message is in a loop"),
        })
    }
}

impl Server {
    /// Reads part of the message.
    pub(super) fn body(&mut self) -> bool {
        let Stage::Body(receiving) = &mut self.stage else {
            unreachable!("a message is read only after DATA");
        };
        if self.link.input().is_empty() {
            if self.link.is_eof() {
                self.end(Closed::Eof);
                return true;
            }
            return false;
        }
        let piece = receiving.read(&mut self.link, &self.config.limits);
        self.timers.block.disarm();
        self.timers.recent += piece.taken as u64;
        let hopeless = receiving.is_hopeless(&self.config.limits);
        if !piece.body.is_empty() {
            self.events.push_back(Event::Body(piece.body));
        }
        if piece.ended {
            self.timers.rate_over();
            if let Stage::Body(receiving) = core::mem::replace(&mut self.stage, Stage::Command) {
                self.message_ended(&receiving);
            }
        } else if hopeless {
            let limit = self.config.limits.message;
            self.put(&no(552, 3, 4, "The message is too large"));
            self.end(Closed::Protocol(ProtocolError::TooMuch { what: "octets in a message", limit }));
        }
        true
    }

    /// The message is over: to be asked about, unless it cannot be taken.
    pub(super) fn message_ended(&mut self, receiving: &Receiving) {
        match receiving.refusal() {
            None => {
                let size = receiving.size();
                receiving.note(&mut self.notes);
                self.ask_about(About::Message, |answer: Pending<ask::Message>| Event::Message { answer, size });
            }
            Some(reply) => {
                self.put_for_message(&reply);
                self.forget_transaction();
                self.dialogue.message_over();
            }
        }
    }

    /// DATA was refused. See the module for why that may be the end.
    pub(super) fn data_refused(&mut self) {
        if self.link.is_closed() {
            return;
        }
        if self.link.input().is_empty() {
            self.refused_data = true;
            return;
        }
        let input = &self.link.input()[..self.link.input().len().min(64)];
        let line = memchr::memchr2(b'\r', b'\n', input).map_or(input, |end| &input[..end]);
        let came = Bytes::copy_from_slice(line);
        self.message_came_anyway(&came);
    }

    pub(super) fn message_came_anyway(&mut self, got: &[u8]) {
        self.hang_up(
            no(421, 5, 1, "The message was not invited"),
            Closed::Protocol(ProtocolError::Unexpected {
                what: "more came after DATA without an invitation",
                got: Excerpt::new(got),
            }),
        );
    }
}

/// What a message's header must not hold, and what of it the application should know.
#[derive(Debug, Default)]
struct Header {
    octets: u64,
    /// `Received` fields (RFC 5321, 6.3).
    hops: u32,
    tls_not_required: bool,
    /// The message was delivered to one of its recipients before.
    returned: bool,
    /// The recipients' keys.
    recipients: Vec<String>,
    /// The beginning of the field that is being read, its lines joined.
    field: Vec<u8>,
    /// Octets of the line so far, up to 2.
    line: usize,
    over: bool,
}

/// How much of a field is looked at: its name, and a mailbox.
const FIELD: usize = 400;

impl Header {
    //= 5321-2.4-4, 5321-3.3-7, 5321-3.3-8, 5321-3.6.3-5, 5321-3.7.2-1, 5321-6.3-2, 5321-6.4-1
    fn look(&mut self, body: &[u8], limits: &Limits) -> Option<Trouble> {
        let mut at = 0;
        while at < body.len() && !self.over {
            let rest = &body[at..];
            let (line, ended) = match memchr::memchr(b'\n', rest) {
                Some(lf) => (&rest[..=lf], true),
                None => (rest, false),
            };
            if self.line == 0 && !matches!(line[0], b' ' | b'\t') {
                self.field_over();
            }
            self.field.extend_from_slice(&line[..line.len().min(FIELD - self.field.len())]);
            self.octets += line.len() as u64;
            self.line = self.line.saturating_add(line.len());
            if ended {
                self.over = self.line <= 2;
                self.line = 0;
            }
            at += line.len();
        }
        if self.over {
            self.field_over();
        }
        self.trouble(limits)
    }

    /// The message is over, and perhaps its last field with it.
    fn end(&mut self, limits: &Limits) -> Option<Trouble> {
        self.field_over();
        self.trouble(limits)
    }

    fn trouble(&self, limits: &Limits) -> Option<Trouble> {
        if self.hops > limits.hops || self.returned {
            return Some(Trouble::Loop);
        }
        (self.octets > limits.header).then_some(Trouble::HeaderTooLarge)
    }

    fn field_over(&mut self) {
        if let Some(colon) = memchr::memchr(b':', &self.field) {
            let (name, value) = (self.field[..colon].trim_ascii_end(), self.field[colon + 1..].trim_ascii());
            match name.len() {
                8 => self.hops += u32::from(name.eq_ignore_ascii_case(b"Received")),
                // RFC 8689, 4: the only value there is.
                12 if name.eq_ignore_ascii_case(b"TLS-Required") => {
                    self.tls_not_required |= value.eq_ignore_ascii_case(b"No");
                }
                12 if name.eq_ignore_ascii_case(b"Delivered-To") => {
                    self.returned |= self.recipients.iter().any(|to| value.eq_ignore_ascii_case(to.as_bytes()));
                }
                _ => {}
            }
        }
        self.field.clear();
    }
}
