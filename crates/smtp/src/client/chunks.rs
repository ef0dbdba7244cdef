//! A message in chunks (RFC 3030): each is held until it is full, for its size is said first.

use super::parts::Part;
use super::transaction::{Carrier, NotSent, Outcome, RefusedAt, Sending};
use super::{Client, Closed, Expect, Stage};
use crate::dialogue::Protocol;
use crate::wire::{BadBody, Command, DataWriter, Reply, ReplyClass, Sink, Verb};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// A message on its way in chunks.
#[derive(Debug)]
pub(super) struct Chunks {
    /// Keeps the rules for lines. None with BINARYMIME, where every octet passes.
    writer: Option<DataWriter>,
    held: Held,
    /// Whether what is held is the last of the message.
    ending: bool,
    /// How many chunks the server has taken.
    taken: u64,
    /// What is still to go out, if all of the message was given at once.
    pub(super) parts: Option<VecDeque<Part>>,
    /// Whether the first command is BURL.
    fetched_first: bool,
}

/// What the next chunk has so far.
#[derive(Debug, Default)]
struct Held {
    parts: Vec<Bytes>,
    tail: BytesMut,
    octets: usize,
}

/// Above this size, a part is held as it is instead of being copied.
const SHARE_ABOVE: usize = 4096;

impl Sink for Held {
    fn put(&mut self, octets: &[u8]) {
        self.tail.extend_from_slice(octets);
        self.octets += octets.len();
    }

    fn put_shared(&mut self, octets: Bytes) {
        if octets.len() < SHARE_ABOVE {
            return self.put(&octets);
        }
        self.octets += octets.len();
        if !self.tail.is_empty() {
            self.parts.push(self.tail.split().freeze());
        }
        self.parts.push(octets);
    }
}

impl Chunks {
    /// Nothing yet. No `writer` with BINARYMIME.
    pub(super) fn new(writer: Option<DataWriter>) -> Self {
        Self { writer, held: Held::default(), ending: false, taken: 0, parts: None, fetched_first: false }
    }

    /// All of the message, put together by the server.
    pub(super) fn of_parts(parts: VecDeque<Part>, fetched_first: bool) -> Self {
        Self { parts: Some(parts), fetched_first, ..Self::new(None) }
    }

    //= 3030-2-9
    fn put(&mut self, octets: &[u8], shared: Option<&Bytes>) -> Result<(), BadBody> {
        match (&mut self.writer, shared) {
            (Some(writer), _) => writer.put(octets, shared, &mut self.held)?,
            (None, Some(shared)) => self.held.put_shared(shared.clone()),
            (None, None) => self.held.put(octets),
        }
        Ok(())
    }

    /// Adds what the message's last line may lack.
    pub(super) fn end(&mut self) -> Result<(), BadBody> {
        if let Some(writer) = self.writer.take() {
            writer.end(&mut self.held)?;
        }
        self.ending = true;
        Ok(())
    }
}

impl Sending {
    /// Whether this is the answer of a server that does not know BDAT (RFC 5321, 4.3.2: 500 to 504) to the first chunk.
    pub(super) fn is_unheard_of(&self, reply: &Reply) -> bool {
        let first = matches!(self.carrier, Carrier::Chunks(Chunks { taken: 0, fetched_first: false, .. }));
        first && matches!(reply.code().number(), 500..=504)
    }
}

impl Client {
    /// Octets after which a chunk goes out.
    pub(super) fn chunk_limit(&self) -> usize {
        self.config.limits.chunk.min(self.config.limits.link.output).max(1)
    }

    /// How many octets of the message can be held or sent now.
    pub(super) fn chunk_room(&self, chunks: &Chunks) -> usize {
        if chunks.held.octets >= self.chunk_limit() {
            return 0;
        }
        self.link.room().saturating_sub(chunks.held.octets)
    }

    /// Holds octets of the message, and sends the chunk if it is full.
    pub(super) fn write_chunk(&mut self, octets: &[u8], shared: Option<&Bytes>) -> Result<(), BadBody> {
        if let Some(Carrier::Chunks(chunks)) = self.sending.as_mut().map(|sending| &mut sending.carrier) {
            chunks.put(octets, shared)?;
        }
        while self.send_chunk() {}
        Ok(())
    }

    /// Sends what is held if it is a chunk and one may be sent. False if not.
    pub(super) fn send_chunk(&mut self) -> bool {
        let limit = self.chunk_limit();
        let pipelining = self.capabilities.as_ref().is_some_and(|offered| offered.pipelining);
        let Some(sending) = self.sending.as_deref_mut() else { return false };
        let Carrier::Chunks(chunks) = &mut sending.carrier else { return false };
        if chunks.parts.is_some() {
            return self.send_part();
        }
        let last = chunks.ending;
        // RFC 3030, 4.2: chunks may be pipelined. The last one of an LMTP session may not: how many replies it gets
        // depends on those before it.
        let alone = !pipelining || last && self.config.protocol == Protocol::Lmtp;
        let in_flight = if alone { 1 } else { self.config.limits.chunks.max(1) };
        if chunks.held.octets < limit && !last || self.expected.len() >= in_flight {
            return false;
        }
        let held = core::mem::take(&mut chunks.held);
        let before = self.link.queued();
        self.link.put(Command::Bdat { size: held.octets as u64, last }.encode().as_bytes());
        self.link.end_line();
        for part in held.parts {
            self.link.put_shared(part);
        }
        self.link.put_body(&held.tail);
        sending.written += (self.link.queued() - before) as u64;
        if last {
            self.message_sent();
        } else {
            self.expect(Expect::Chunk);
        }
        true
    }

    pub(super) fn chunk_answered(&mut self, reply: Reply) {
        if matches!(self.stage, Stage::GivenUp) {
            // It was under way when another was refused.
            return;
        }
        let sending = self.sending.as_deref_mut().expect("a chunk belongs to a message");
        if reply.class() == ReplyClass::Done {
            if let Carrier::Chunks(chunks) = &mut sending.carrier {
                chunks.taken += 1;
            }
            return self.dialogue.replied(Verb::Bdat, ReplyClass::Done);
        }
        if sending.is_unheard_of(&reply) {
            return self.chunks_unheard_of(&reply);
        }
        sending.settle_rest(&Outcome::Refused { at: RefusedAt::Message, reply });
        self.give_up_chunks();
    }

    /// The server does not know BDAT.
    pub(super) fn chunks_unheard_of(&mut self, reply: &Reply) {
        self.chunks_refused = true;
        let sending = self.sending.as_deref_mut().expect("a chunk belongs to a message");
        sending.settle_rest(&Outcome::NotSent(NotSent::ChunksRefused));
        self.give_up_chunks();
        // Who does not know the command has read the chunk as commands. And over LMTP nobody knows how many replies to
        // the last one are still to come.
        if matches!(reply.code().number(), 500 | 502) || self.config.protocol == Protocol::Lmtp {
            self.end(Closed::ByUs);
        }
    }

    /// Sends no further chunk. When those under way are answered, RSET ends the transaction.
    //= 3030-2-3, 3030-2-6
    pub(super) fn give_up_chunks(&mut self) {
        self.stage = Stage::GivenUp;
    }

    /// The message's end was written.
    pub(super) fn message_sent(&mut self) {
        let sending = self.sending.as_deref_mut().expect("a message was sent");
        sending.ended = true;
        let open: Vec<usize> = (0..sending.outcomes.len()).filter(|&i| sending.outcomes[i].is_none()).collect();
        self.stage = Stage::Final;
        match self.config.protocol {
            Protocol::Smtp => self.expect(Expect::Message(0)),
            // RFC 2033, 4.2.
            Protocol::Lmtp => open.into_iter().for_each(|index| self.expect(Expect::Message(index))),
        }
    }
}
