//! A message on its way in: its end, its size, and what its header must not be.

use super::answers::About;
use super::{Config, Event, Held, Limits, Server, Stage, ask};
use crate::outcome::no;
use crate::wire::{BadBody, Body, DataReader, Reply};
use bytes::Bytes;
use postrider_core::{Closed, Excerpt, Link, Pending, ProtocolError};

/// A message on its way in.
#[derive(Debug)]
pub(super) struct Receiving {
    reader: DataReader,
    size: u64,
    /// Octets on the wire since the rate was last looked at.
    pub(super) recent: u64,
    header: Header,
    trouble: Option<Trouble>,
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
    pub(super) ended: bool,
}

impl Receiving {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            reader: DataReader::new(config.bare_newlines, config.limits.text_line),
            size: 0,
            recent: 0,
            header: Header::default(),
            trouble: None,
        }
    }

    /// Octets of the message so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads what has come.
    pub(super) fn read(&mut self, link: &mut Link, limits: &Limits) -> Piece {
        let part = self.reader.read(link.input());
        link.trace_octets_in(part.taken as u64);
        self.recent += part.taken as u64;
        let mut body = match part.body {
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
        // A message that is thrown away still counts: the excess is limited too.
        self.size += if self.reader.bad().is_some() { part.taken } else { body.len() } as u64;
        if self.trouble.is_none() {
            self.trouble = if let Some(bad) = self.reader.bad() {
                Some(Trouble::Octets(bad))
            } else if self.size > limits.message {
                Some(Trouble::TooLarge)
            } else {
                self.header.look(&body, limits)
            };
        }
        if self.trouble.is_some() {
            body = Bytes::new();
        }
        Piece { body, ended: part.ended }
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
        let (size, refusal) = (receiving.size(), receiving.refusal());
        let hopeless = receiving.is_hopeless(&self.config.limits);
        if !piece.body.is_empty() {
            self.events.push_back(Event::Body(piece.body));
        }
        if piece.ended {
            self.timers.rate.disarm();
            self.stage = Stage::Command;
            match refusal {
                None => {
                    self.ask_about(About::Message, |answer: Pending<ask::Message>| Event::Message { answer, size });
                }
                Some(reply) => {
                    self.put_for_message(&reply);
                    self.forget_transaction();
                    self.dialogue.message_over();
                }
            }
        } else if hopeless {
            let limit = self.config.limits.message;
            self.put(&no(552, 3, 4, "The message is too large"));
            self.end(Closed::Protocol(ProtocolError::TooMuch { what: "octets in a message", limit }));
        }
        true
    }

    /// DATA was refused. See the module for why that may be the end.
    pub(super) fn data_refused(&mut self) {
        if self.link.is_closed() {
            return;
        }
        let came = match self.held.take() {
            Some(Held::Line(line)) => line.octets,
            Some(Held::TooLong) => Bytes::new(),
            None if self.link.input().is_empty() => {
                self.refused_data = true;
                return;
            }
            None => Bytes::copy_from_slice(&self.link.input()[..self.link.input().len().min(64)]),
        };
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

/// Counts the header's octets and its `Received` fields (RFC 5321, 6.3).
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    octets: u64,
    hops: u32,
    /// How many octets of the line are known, as far as they may begin `Received:`; more than that if they do not.
    matched: usize,
    /// Octets of the line so far, up to 2.
    line: usize,
    over: bool,
}

const RECEIVED: &[u8] = b"received:";

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
            for &octet in line.iter().take(RECEIVED.len()) {
                match RECEIVED.get(self.matched) {
                    Some(expected) if octet.to_ascii_lowercase() == *expected => {
                        self.matched += 1;
                        self.hops += u32::from(self.matched == RECEIVED.len());
                    }
                    Some(_) | None => {
                        self.matched = usize::MAX;
                        break;
                    }
                }
            }
            self.octets += line.len() as u64;
            self.line = self.line.saturating_add(line.len());
            if ended {
                self.over = self.line <= 2;
                self.matched = 0;
                self.line = 0;
            }
            at += line.len();
        }
        if self.hops > limits.hops {
            return Some(Trouble::Loop);
        }
        (self.octets > limits.header).then_some(Trouble::HeaderTooLarge)
    }
}
