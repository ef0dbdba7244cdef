//! A message that the server puts together: octets from here, and what it fetches by URL (RFC 4468).

use super::chunks::Chunks;
use super::transaction::Carrier;
use super::{Client, Expect, SendError, Stage, Transaction};
use crate::dialogue::Protocol;
use crate::envelope::Envelope;
use crate::wire::{BadBody, BareNewlines, BodyType, Command, DataWriter, Url, Verb};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use postrider_core::Misuse;

/// A part of a message that the server puts together (RFC 4468, 3.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// These octets, which go out in chunks (RFC 3030).
    Octets(Bytes),
    /// What the URL names, which the server fetches from an IMAP server.
    Url(Url),
}

impl Client {
    /// Sends a message of these parts, in their order, those with a URL by BURL. With one URL and nothing else, no octet
    /// of the message goes through this session. There is no [`Event::BodyWanted`](super::Event::BodyWanted); all else
    /// is as with [`Client::send`].
    ///
    /// # Errors
    /// [`SendError`], and nothing was sent: besides what [`Client::send`] refuses, [`SendError::NeedsBurl`] if the server
    /// does not offer BURL for such URLs, as it may before a login; [`SendError::NeedsChunking`] if there are octets and
    /// it does not offer CHUNKING; [`SendError::BadBody`] if the octets cannot be sent.
    pub fn send_parts(&mut self, envelope: Envelope, parts: Vec<Part>) -> Result<Transaction, SendError> {
        if envelope.recipients.is_empty() {
            return Err(Misuse::new("an envelope needs a recipient").into());
        }
        self.idle(Verb::Mail)?;
        let binary = envelope.params.body == Some(BodyType::BinaryMime);
        let parts = prepared(parts, (!binary).then_some(self.config.bare_newlines))?;
        let Some(first) = parts.front() else {
            return Err(Misuse::new("a message needs a part").into());
        };
        let fetched_first = matches!(first, Part::Url(_));
        let offered = self.capabilities.as_ref();
        let kinds = offered.and_then(|offered| offered.burl.as_ref());
        let chunking = offered.is_some_and(|offered| offered.chunking) && !self.chunks_refused;
        for part in &parts {
            match part {
                Part::Url(url) if !kinds.is_some_and(|kinds| url.is_of(kinds)) => return Err(SendError::NeedsBurl),
                Part::Octets(_) if !chunking => return Err(SendError::NeedsChunking),
                Part::Url(_) | Part::Octets(_) => {}
            }
        }
        self.begin(envelope, Some(Carrier::Chunks(Chunks::of_parts(parts, fetched_first))))
    }

    /// Sends the next part, or as much of it as one chunk holds. False if that must wait.
    pub(super) fn send_part(&mut self) -> bool {
        let limit = self.chunk_limit();
        let pipelining = self.capabilities.as_ref().is_some_and(|offered| offered.pipelining);
        let alone = !pipelining || self.config.protocol == Protocol::Lmtp;
        let in_flight = if alone { 1 } else { self.config.limits.chunks.max(1) };
        if self.link.is_congested() || self.expected.len() >= in_flight {
            return false;
        }
        let Some(sending) = self.sending.as_deref_mut() else { return false };
        let Carrier::Chunks(Chunks { parts: Some(parts), .. }) = &mut sending.carrier else { return false };
        let before = self.link.queued();
        let last = if let Some(Part::Url(url)) = parts.front() {
            // The URL may hold the key to what it names.
            self.link.put(b"BURL ");
            self.link.put_secret(url.as_str().as_bytes());
            parts.pop_front();
            if parts.is_empty() {
                self.link.put(b" LAST");
            }
            self.link.end_line();
            parts.is_empty()
        } else {
            let chunk = next_chunk(parts, limit);
            let size = chunk.iter().map(|octets| octets.len() as u64).sum();
            let last = parts.is_empty();
            self.link.put(Command::Bdat { size, last }.encode().as_bytes());
            self.link.end_line();
            for octets in chunk {
                self.link.put_shared(octets);
            }
            last
        };
        sending.written += (self.link.queued() - before) as u64;
        if last {
            self.message_sent();
        } else {
            self.stage = Stage::LastChunk;
            self.expect(Expect::Chunk);
        }
        true
    }
}

/// Octets of the first parts that have any, at most `limit`.
fn next_chunk(parts: &mut VecDeque<Part>, limit: usize) -> Vec<Bytes> {
    let mut chunk = Vec::new();
    let mut left = limit;
    while let (true, Some(Part::Octets(octets))) = (left > 0, parts.front_mut()) {
        let taken = octets.split_to(octets.len().min(left));
        left -= taken.len();
        chunk.push(taken);
        if octets.is_empty() {
            parts.pop_front();
        }
    }
    chunk
}

/// The parts that have octets, with their lines as they may be sent. `newlines` is `None` if any octets may.
fn prepared(parts: Vec<Part>, newlines: Option<BareNewlines>) -> Result<VecDeque<Part>, BadBody> {
    let Some(newlines) = newlines else {
        return Ok(parts
            .into_iter()
            .filter(|part| !matches!(part, Part::Octets(octets) if octets.is_empty()))
            .collect());
    };
    let mut done = VecDeque::with_capacity(parts.len());
    let mut writer = DataWriter::for_chunks(newlines);
    let mut line_ended = true;
    for part in parts {
        match part {
            Part::Octets(octets) if octets.is_empty() => {}
            Part::Octets(octets) => {
                let mut checked = BytesMut::with_capacity(octets.len());
                writer.put(&octets, None, &mut checked)?;
                line_ended = !octets.ends_with(b"\r");
                // What is as it was is not copied.
                done.push_back(Part::Octets(if checked == octets { octets } else { checked.freeze() }));
            }
            Part::Url(url) => {
                // What is fetched may begin within a line, but not between CR and LF.
                let mut end = BytesMut::new();
                core::mem::replace(&mut writer, DataWriter::for_chunks(newlines)).end(&mut end)?;
                if !core::mem::replace(&mut line_ended, true) {
                    done.push_back(Part::Octets(end.freeze()));
                }
                done.push_back(Part::Url(url));
            }
        }
    }
    if let Some(Part::Octets(_)) = done.back() {
        let mut end = BytesMut::new();
        writer.end(&mut end)?;
        if !end.is_empty() {
            done.push_back(Part::Octets(end.freeze()));
        }
    }
    Ok(done.into_iter().filter(|part| !matches!(part, Part::Octets(octets) if octets.is_empty())).collect())
}
