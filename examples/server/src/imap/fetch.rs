//! FETCH: what is in the messages, from the index, from what was kept at delivery, and by ranges of the body.

use super::convert::{flags_from_store, refusal};
use super::{BATCH, Session, after};
use crate::server::Store;
use bytes::Bytes;
use postrider_core::Pending;
use postrider_imap::server::{FetchPart, LiteralOf, RespondError, ask};
use postrider_imap::wire::{Attribute, BodyPeek, DateTime, FetchItem, Rfc822Part, Section, SectionText};
use postrider_message::{Decoder, Located, Structure, body_structure, cut, window};
use postrider_store::{Body, BodyId, Engine, Error, Flags, How, Message, StoreFlags, UidSet, UnixMillis};
use std::collections::HashMap;
use std::ops::Range;
use tokio::io::{AsyncRead, AsyncWrite};

/// Octets of a body read at once.
const CHUNK: usize = 128 * 1024;

/// Why a FETCH does not come to its end.
enum Stop {
    /// The store failed.
    Store(Error),
    /// The session is over, or has answered itself.
    Gone,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<RespondError> for Stop {
    fn from(error: RespondError) -> Self {
        match error {
            RespondError::Stale(_) => Self::Gone,
            RespondError::Misuse(misuse) => {
                tracing::error!(%misuse, "an answer to FETCH was not well formed");
                Self::Gone
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Session<IO> {
    /// Answers a FETCH.
    pub(super) async fn fetch(
        &mut self,
        answer: Pending<ask::Fetch>,
        uids: &UidSet,
        items: &[Attribute],
        mark_seen: bool,
        changed_since: Option<u64>,
    ) {
        match self.fetch_all(&answer, uids, items, mark_seen, changed_since).await {
            Ok(()) => self.answer(answer, Ok(())),
            Err(Stop::Store(error)) => self.answer(answer, Err(refusal(&error))),
            Err(Stop::Gone) => {}
        }
    }

    async fn fetch_all(
        &mut self,
        answer: &Pending<ask::Fetch>,
        uids: &UidSet,
        items: &[Attribute],
        mark_seen: bool,
        changed_since: Option<u64>,
    ) -> Result<(), Stop> {
        let store = self.shared.store.clone();
        let account = self.account();
        let Some(selected) = &self.selected else { return Err(Stop::Store(Error::Closed)) };
        let (mailbox, mark_seen) = (selected.mailbox, mark_seen && !selected.read_only);
        let needs_structure = items.iter().any(needs_structure);
        let mut rest = uids.clone();
        loop {
            let messages = store.messages(account, mailbox, &rest, needs_structure, BATCH).await?;
            let last = (messages.len() == BATCH).then(|| messages[messages.len() - 1].uid);
            let wanted =
                messages.into_iter().filter(|message| changed_since.is_none_or(|since| message.modseq > since));
            let wanted: Vec<Message> = wanted.collect();
            let seen = if mark_seen { self.mark_seen(&wanted).await? } else { HashMap::new() };
            for message in &wanted {
                self.fetch_one(&store, answer, message, items, seen.get(&message.uid)).await?;
            }
            match last {
                Some(last) => rest = after(&rest, last),
                None => return Ok(()),
            }
        }
    }

    /// Sets `\Seen` where it is missing; gives the new flags.
    async fn mark_seen(&mut self, messages: &[Message]) -> Result<HashMap<u32, (Flags, u64)>, Error> {
        let unseen = messages.iter().filter(|message| !message.flags.is_seen());
        let uids = UidSet::from_ranges(unseen.map(|message| message.uid..=message.uid));
        let Some(selected) = self.selected.as_mut().filter(|_| !uids.is_empty()) else { return Ok(HashMap::new()) };
        let change = StoreFlags {
            account: self.account.expect("the session is logged in"),
            mailbox: selected.mailbox,
            uids,
            how: How::Add,
            flags: Flags::SEEN,
            unchanged_since: None,
        };
        let stored = self.shared.store.store_flags(change).await?;
        selected.own.extend(stored.messages.iter().map(|(_, _, modseq)| *modseq));
        Ok(stored.messages.into_iter().map(|(uid, flags, modseq)| (uid, (flags, modseq))).collect())
    }

    async fn fetch_one(
        &mut self,
        store: &Store,
        answer: &Pending<ask::Fetch>,
        message: &Message,
        items: &[Attribute],
        seen: Option<&(Flags, u64)>,
    ) -> Result<(), Stop> {
        let structure = match items.iter().any(needs_structure) {
            true => Some(structure(store, message).await?),
            false => None,
        };
        let structure = structure.as_ref();
        self.part(answer, FetchPart::Message(message.uid)).await?;
        if seen.is_some() && !items.contains(&Attribute::Flags) {
            self.item(answer, flags(message, seen)).await?;
        }
        for item in items {
            let structure = || structure.expect("it was looked up, since the item needs it");
            match item {
                // The session writes it.
                Attribute::Uid => {}
                Attribute::Flags => self.item(answer, flags(message, seen)).await?,
                Attribute::InternalDate => {
                    self.item(answer, FetchItem::InternalDate(date_time(message.internal_date))).await?;
                }
                Attribute::Size => self.item(answer, FetchItem::Size(message.size)).await?,
                Attribute::ModSeq => {
                    let modseq = seen.map_or(message.modseq, |(_, modseq)| *modseq);
                    self.item(answer, FetchItem::ModSeq(modseq)).await?;
                }
                Attribute::Envelope => {
                    self.item(answer, FetchItem::Envelope(structure().envelope().clone())).await?;
                }
                Attribute::BodyStructure => {
                    self.item(answer, FetchItem::BodyStructure(body_structure(structure(), true))).await?;
                }
                Attribute::BodyBasic => {
                    self.item(answer, FetchItem::BodyStructure(body_structure(structure(), false))).await?;
                }
                Attribute::Body(peek) => self.section(store, answer, message, structure(), peek).await?,
                Attribute::Rfc822(part) => {
                    let text = match part {
                        Rfc822Part::Whole => None,
                        Rfc822Part::Header => Some(SectionText::Header),
                        Rfc822Part::Text => Some(SectionText::Text),
                    };
                    let section = Section { part: Vec::new(), text };
                    if let Some(Located::Octets(range)) = structure().section(&section) {
                        let size = range.end - range.start;
                        self.part(answer, FetchPart::Literal { of: LiteralOf::Rfc822(*part), size }).await?;
                        self.octets(store, answer, message.body, range).await?;
                    }
                }
                Attribute::Binary(peek) => self.binary(store, answer, message, structure(), peek).await?,
                Attribute::BinarySize(part) => {
                    let size = match decoded(structure(), part) {
                        Some((range, decoder)) => decoded_size(store, message.body, range, decoder).await?,
                        None => 0,
                    };
                    self.item(answer, FetchItem::BinarySize { part: part.clone(), size }).await?;
                }
                Attribute::EmailId => {
                    let id = format!("M{}", message.body.0);
                    self.item(answer, FetchItem::EmailId(id.into_bytes().into())).await?;
                }
                Attribute::ThreadId => self.item(answer, FetchItem::ThreadId(None)).await?,
                Attribute::SaveDate => {
                    self.item(answer, FetchItem::SaveDate(Some(date_time(message.saved)))).await?;
                }
                Attribute::Preview { .. } => self.item(answer, FetchItem::Preview(None)).await?,
                // Only what was switched on is asked for.
                _ => {}
            }
        }
        Ok(())
    }

    async fn section(
        &mut self,
        store: &Store,
        answer: &Pending<ask::Fetch>,
        message: &Message,
        structure: &Structure,
        peek: &BodyPeek,
    ) -> Result<(), Stop> {
        let section = peek.section.clone();
        let origin = peek.partial.map(|partial| partial.origin);
        let of = LiteralOf::Body { section: section.clone(), origin };
        match structure.section(&peek.section) {
            None => self.item(answer, FetchItem::Body { section, origin, data: None }).await,
            Some(Located::Octets(range)) => {
                let range = window(range, peek.partial);
                self.part(answer, FetchPart::Literal { of, size: range.end - range.start }).await?;
                self.octets(store, answer, message.body, range).await
            }
            Some(Located::Fields { header, selection }) => {
                let header = read(store, message.body, header).await?;
                let chosen = selection.select(&header);
                let chosen = Bytes::copy_from_slice(cut(&chosen, peek.partial));
                self.part(answer, FetchPart::Literal { of, size: chosen.len() as u64 }).await?;
                self.write(answer, chosen).await
            }
        }
    }

    async fn binary(
        &mut self,
        store: &Store,
        answer: &Pending<ask::Fetch>,
        message: &Message,
        structure: &Structure,
        peek: &BodyPeek,
    ) -> Result<(), Stop> {
        let (part, origin) = (peek.section.part.clone(), peek.partial.map(|partial| partial.origin));
        let Some((range, mut decoder)) = decoded(structure, &part) else {
            return self.item(answer, FetchItem::Binary { part, origin, data: None }).await;
        };
        // The size must be said first, so the part is decoded twice rather than held.
        let whole = decoded_size(store, message.body, range.clone(), decoder.clone()).await?;
        let wanted = window(0..whole, peek.partial);
        self.part(
            answer,
            FetchPart::Literal { of: LiteralOf::Binary { part, origin }, size: wanted.end - wanted.start },
        )
        .await?;
        let (mut at, mut place, mut out) = (range.start, 0, Vec::new());
        while place < wanted.end {
            let octets = store.read(&Body::from(message.body), at, chunk(at, range.end)).await?;
            at += octets.len() as u64;
            decoder.push(&octets, &mut out);
            if octets.is_empty() {
                decoder.finish(&mut out);
            }
            let next = place + out.len() as u64;
            let from = wanted.start.clamp(place, next) - place;
            let to = wanted.end.clamp(place, next) - place;
            self.write(answer, Bytes::copy_from_slice(&out[from as usize..to as usize])).await?;
            if octets.is_empty() {
                break;
            }
            place = next;
            out.clear();
        }
        Ok(())
    }

    async fn item(&mut self, answer: &Pending<ask::Fetch>, item: FetchItem) -> Result<(), Stop> {
        self.part(answer, FetchPart::Item(item)).await
    }

    async fn part(&mut self, answer: &Pending<ask::Fetch>, part: FetchPart) -> Result<(), Stop> {
        if self.driver.session().is_congested() {
            self.driver.drain().await?;
        }
        Ok(self.driver.session().respond(answer, part)?)
    }

    /// Sends a range of a body.
    async fn octets(
        &mut self,
        store: &Store,
        answer: &Pending<ask::Fetch>,
        body: BodyId,
        range: Range<u64>,
    ) -> Result<(), Stop> {
        let mut at = range.start;
        while at < range.end {
            let octets = store.read(&Body::from(body), at, chunk(at, range.end)).await?;
            if octets.is_empty() {
                return Err(Stop::Store(Error::Damaged("a body is shorter than its message".into())));
            }
            at += octets.len() as u64;
            self.write(answer, octets).await?;
        }
        Ok(())
    }

    async fn write(&mut self, answer: &Pending<ask::Fetch>, mut octets: Bytes) -> Result<(), Stop> {
        loop {
            self.driver.session().write_shared(answer, &mut octets);
            if octets.is_empty() {
                return Ok(());
            }
            if !self.driver.session().is_congested() {
                // There is room, and it wants nothing: the question is not open any more.
                return Err(Stop::Gone);
            }
            self.driver.drain().await?;
        }
    }
}

fn flags(message: &Message, seen: Option<&(Flags, u64)>) -> FetchItem {
    FetchItem::Flags(flags_from_store(seen.map_or(&message.flags, |(flags, _)| flags)))
}

fn needs_structure(item: &Attribute) -> bool {
    matches!(
        item,
        Attribute::Envelope
            | Attribute::BodyStructure
            | Attribute::BodyBasic
            | Attribute::Body(_)
            | Attribute::Binary(_)
            | Attribute::BinarySize(_)
            | Attribute::Rfc822(_)
    )
}

/// A date for the wire; one that has no place in the calendar becomes its beginning.
pub(super) fn date_time(at: UnixMillis) -> DateTime {
    DateTime::from_unix(at.0.div_euclid(1000))
        .unwrap_or_else(|_| DateTime::from_unix(0).expect("1970 is in the calendar"))
}

/// The structure that was kept with a message, or else made again.
pub(super) async fn structure(store: &Store, message: &Message) -> Result<Structure, Error> {
    match Structure::from_cache(&message.cache) {
        Some(structure) => Ok(structure),
        None => {
            let cache = crate::relay::scan(store, &Body::from(message.body)).await?;
            Structure::from_cache(&cache).ok_or_else(|| Error::Damaged("a structure just made is not readable".into()))
        }
    }
}

/// A range of a body, all of it: for headers, whose size is bounded.
pub(super) async fn read(store: &Store, body: BodyId, range: Range<u64>) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let chunk = store.read(&Body::from(body), at, chunk(at, range.end)).await?;
        if chunk.is_empty() {
            break;
        }
        at += chunk.len() as u64;
        octets.extend_from_slice(&chunk);
    }
    Ok(octets)
}

fn chunk(at: u64, end: u64) -> usize {
    end.saturating_sub(at).min(CHUNK as u64) as usize
}

/// A part's octets and how to decode them.
fn decoded(structure: &Structure, number: &[u32]) -> Option<(Range<u64>, Decoder)> {
    let part = &structure.parts()[if number.is_empty() { 0 } else { structure.find(number)? }];
    Some((part.body.clone(), Decoder::of(part.content.transfer_encoding())))
}

async fn decoded_size(store: &Store, body: BodyId, range: Range<u64>, mut decoder: Decoder) -> Result<u64, Error> {
    let (mut at, mut size, mut out) = (range.start, 0, Vec::new());
    while at < range.end {
        let octets = store.read(&Body::from(body), at, chunk(at, range.end)).await?;
        if octets.is_empty() {
            break;
        }
        at += octets.len() as u64;
        decoder.push(&octets, &mut out);
        size += out.len() as u64;
        out.clear();
    }
    decoder.finish(&mut out);
    Ok(size + out.len() as u64)
}
