//! BDAT: the message in chunks that follow their command at once (RFC 3030); and BURL, which the application fetches
//! (RFC 4468).
//!
//! Whatever the reply to a BDAT that could be read, its octets are read and are no commands.

use super::answers::About;
use super::receiving::Receiving;
use super::replies::Refused;
use super::{Event, Role, Server, Stage, ask};
use crate::outcome::no;
use crate::wire::{BodyType, Reply, ReplyClass, Url, Verb, Words};
use alloc::boxed::Box;
use alloc::format;
use postrider_core::{Closed, Pending, ProtocolError, Text};

/// A chunk on its way in.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) left: u64,
    size: u64,
    last: bool,
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    /// It is part of the message.
    Kept,
    /// It is read and dropped, and answered so, so many `times`.
    Dropped { refused: Refused, times: usize },
}

impl Server {
    /// BDAT has been read. It has no place now if it is `refused`.
    pub(super) fn bdat(&mut self, size: u64, last: bool, refused: Option<Refused>) {
        let limits = &self.config.limits;
        let chunk = |fate| Box::new(Chunk { left: size, size, last, fate });
        if let Some(refused) = refused {
            let most = limits.message.saturating_add(limits.message_excess);
            if size > most {
                self.put(&refused.reply);
                return self.end(Closed::Protocol(ProtocolError::TooMuch { what: "octets in a chunk", limit: most }));
            }
            let times = self.replies_owed(last);
            self.stage = Stage::Chunk(chunk(Fate::Dropped { refused, times }));
            return self.part_missing(last);
        }
        if !self.another_part() {
            return;
        }
        self.stage = Stage::Chunk(chunk(Fate::Kept));
        if self.message.is_none() {
            self.message = Some(self.receive_chunks());
            self.ask_about(About::Chunks, |answer: Pending<ask::Data>| Event::Data { answer });
        }
    }

    /// How many replies a part of the message gets that has no place: one; but the last over LMTP one for each recipient
    /// of its transaction, though an earlier part was refused and has ended that (RFC 2033, 4.3). The client may have
    /// sent this one before it knew.
    //= 2033-4.3-1
    fn replies_owed(&self, last: bool) -> usize {
        let parts = self.config.chunking || self.config.burl.is_some();
        if !last || self.config.role != Role::Lmtp || !parts {
            1
        } else if self.dialogue.in_transaction() {
            self.recipients
        } else {
            self.bereft.map_or(1, |recipients| recipients.max(1) as usize)
        }
    }

    /// Counts a part of the message. False if there were too many, and the session is over.
    fn another_part(&mut self) -> bool {
        self.counts.chunks += 1;
        let limit = self.config.limits.chunks;
        if self.counts.chunks > limit {
            self.too_much("chunks of one message", u64::from(limit));
            return false;
        }
        true
    }

    //= 3030-3-1
    fn receive_chunks(&self) -> Box<Receiving> {
        let binary = self.body_type == Some(BodyType::BinaryMime);
        Box::new(Receiving::chunks(&self.config, binary, self.accepted.clone()))
    }

    /// The message was refused before its first chunk was read.
    pub(super) fn chunks_refused(&mut self, reply: Reply) {
        let last = matches!(&self.stage, Stage::Chunk(chunk) if chunk.last);
        let times = self.replies_owed(last);
        if let Stage::Chunk(chunk) = &mut self.stage {
            chunk.fate = Fate::Dropped { refused: Refused { reply, mistake: false }, times };
        }
        self.part_missing(last);
    }

    /// Reads part of a chunk.
    pub(super) fn chunk(&mut self) -> bool {
        if !self.slots.is_empty() {
            return false;
        }
        let Stage::Chunk(chunk) = &mut self.stage else { unreachable!("a chunk is read only after BDAT") };
        let there = self.link.input().len();
        let taken = usize::try_from(chunk.left).map_or(there, |left| left.min(there));
        if taken == 0 && chunk.left > 0 {
            if self.link.is_eof() {
                self.end(Closed::Eof);
                return true;
            }
            return false;
        }
        if taken > 0 {
            chunk.left -= taken as u64;
            self.timers.recent += taken as u64;
            self.timers.block.disarm();
            match (&chunk.fate, &mut self.message) {
                (Fate::Kept, Some(receiving)) => {
                    let body = receiving.read_chunk(&mut self.link, taken, &self.config.limits);
                    if !body.is_empty() {
                        self.events.push_back(Event::Body(body));
                    }
                    if receiving.is_hopeless(&self.config.limits) {
                        let limit = self.config.limits.message;
                        self.put(&no(552, 3, 4, "The message is too large"));
                        self.end(Closed::Protocol(ProtocolError::TooMuch { what: "octets in a message", limit }));
                        return true;
                    }
                }
                (Fate::Kept, None) => unreachable!("a chunk that is kept has a message"),
                //= 3030-2-5, 3030-2-7
                (Fate::Dropped { .. }, _) => {
                    self.link.advance(taken);
                    self.link.trace_octets_in(taken as u64);
                }
            }
        }
        if let Stage::Chunk(chunk) = &self.stage
            && chunk.left == 0
        {
            self.timers.block.disarm();
            // A message that comes in many small chunks has to come as fast as any other.
            if self.message.is_none() {
                self.timers.rate_over();
            }
            if let Stage::Chunk(chunk) = core::mem::replace(&mut self.stage, Stage::Command) {
                self.chunk_over(*chunk);
            }
        }
        true
    }

    fn chunk_over(&mut self, chunk: Chunk) {
        match chunk.fate {
            Fate::Dropped { refused, times } => self.put_misplaced(refused, times),
            Fate::Kept if chunk.last => self.message_complete(),
            Fate::Kept => {
                let refusal = self.message.as_ref().and_then(|receiving| receiving.refusal());
                if let Some(reply) = refusal {
                    // RFC 3030, 2: the client must begin anew, and the chunks it has sent already are refused.
                    self.put(&reply);
                    return self.part_missing(false);
                }
                //= 3030-2-4
                self.dialogue.replied(Verb::Bdat, ReplyClass::Done);
                let text = Text::lossy(&format!("{} octets received", chunk.size), 80);
                self.put(&Reply::new(
                    crate::ReplyCode::literal(250),
                    Some(crate::EnhancedCode::literal(2, 0, 0)),
                    &text,
                ));
            }
        }
    }

    /// All parts have come.
    //= 2033-4.3-1
    fn message_complete(&mut self) {
        let Some(mut receiving) = self.message.take() else {
            unreachable!("a last part is part of a message");
        };
        self.timers.rate_over();
        let body = receiving.finish(&self.config.limits);
        if !body.is_empty() {
            self.events.push_back(Event::Body(body));
        }
        self.message_ended(&receiving);
    }

    /// The kinds of URL that BURL takes now: none before the client is logged in (RFC 4468, 3.1).
    pub(super) fn burl_offer(&self) -> Option<Words> {
        let offer = self.config.burl.as_ref()?;
        Some(if self.dialogue.is_authenticated() { offer.clone() } else { Words::default() })
    }

    /// BURL, in its place.
    pub(super) fn burl(&mut self, url: Url, last: bool) {
        let Some(offer) = self.burl_offer() else {
            let reply = no(502, 5, 1, "BURL is not offered");
            return self.burl_refused(last, Refused { reply, mistake: true });
        };
        if !url.is_of(&offer) {
            let reply = no(554, 7, 14, "URLs of this kind are not fetched here");
            return self.burl_refused(last, Refused { reply, mistake: false });
        }
        if !self.another_part() {
            return;
        }
        // What the application fetches is not seen here, and comes after what was sent so far.
        let mut receiving = self.message.take().unwrap_or_else(|| self.receive_chunks());
        let rest = receiving.interrupted(&self.config.limits);
        if !rest.is_empty() {
            self.events.push_back(Event::Body(rest));
        }
        self.message = Some(receiving);
        self.ask_about(About::Burl { last }, |answer: Pending<ask::Burl>| Event::Burl { answer, url, last });
    }

    /// BURL is refused: it has no place, or its URL is not fetched.
    pub(super) fn burl_refused(&mut self, last: bool, refused: Refused) {
        self.put_misplaced(refused, self.replies_owed(last));
        self.part_missing(last);
    }

    /// A part of the message was refused, perhaps the last: parts that were sent behind it must not make a message
    /// without it (RFC 3030, 2; RFC 4468, 3.2).
    pub(super) fn part_missing(&mut self, last: bool) {
        if self.dialogue.in_transaction() {
            let recipients = u32::try_from(self.recipients).unwrap_or(u32::MAX);
            self.forget_transaction();
            self.bereft = Some(recipients);
            self.dialogue.message_over();
        }
        if last {
            self.bereft = None;
        }
    }

    /// The application has fetched it.
    pub(super) fn burl_done(&mut self, last: bool) {
        if last {
            return self.message_complete();
        }
        self.dialogue.replied(Verb::Burl, ReplyClass::Done);
        self.put_static("250 2.5.0 Waiting for more");
    }
}
