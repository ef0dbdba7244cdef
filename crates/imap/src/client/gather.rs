//! Whole messages from the events of a FETCH.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::event::Event;
use crate::wire::{BodyStructure, DateTime, Envelope, FetchItem, Flags, Rfc822Part, Section, SectionText};

/// All that one FETCH response said of a message.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// The sequence number.
    pub number: u32,
    /// UID.
    pub uid: Option<u32>,
    /// FLAGS.
    pub flags: Option<Flags>,
    /// INTERNALDATE.
    pub internal_date: Option<DateTime>,
    /// RFC822.SIZE.
    pub size: Option<u64>,
    /// MODSEQ.
    pub modseq: Option<u64>,
    /// ENVELOPE.
    pub envelope: Option<Envelope>,
    /// BODYSTRUCTURE or BODY.
    pub structure: Option<BodyStructure>,
    /// `BODY[...]`, `BINARY[...]` and the old items that mean the same.
    pub bodies: Vec<FetchedBody>,
    /// Everything else, in order.
    pub others: Vec<FetchItem>,
}

/// Octets of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedBody {
    /// Which.
    pub section: Section,
    /// BINARY: without their transfer encoding.
    pub binary: bool,
    /// Where the window begins, if only some was asked for.
    pub origin: Option<u64>,
    /// The octets; `None` if there is no such part.
    pub data: Option<Bytes>,
    /// There were more than the limit, and these are the first.
    pub truncated: bool,
}

impl Fetched {
    /// The octets of that section, if they came whole.
    pub fn body(&self, section: &Section) -> Option<&Bytes> {
        let found =
            self.bodies.iter().find(|body| !body.binary && body.origin.is_none() && body.section == *section)?;
        found.data.as_ref().filter(|_| !found.truncated)
    }
}

/// Puts the events of FETCH responses together.
///
/// ```
/// # use postrider_imap::client::{Client, Event, Gather};
/// # fn on(_: postrider_imap::client::Fetched) {}
/// # fn other(_: Event) {}
/// # fn each(gather: &mut Gather, event: Event) {
/// match gather.take(event) {
///     Ok(Some(message)) => on(message),
///     Ok(None) => {}
///     Err(event) => other(event),
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Gather {
    limit: usize,
    open: Option<Fetched>,
    body: BytesMut,
    /// The body that comes now is one too many.
    dropping: bool,
}

impl Gather {
    /// Bodies and other items kept of one message; further ones are dropped. No FETCH of sense asks for so many.
    pub const ITEMS: usize = 1000;

    /// Keeps at most `limit` octets of each large item.
    pub fn new(limit: usize) -> Self {
        Self { limit, open: None, body: BytesMut::new(), dropping: false }
    }

    /// Takes an event. Gives a message when one is complete, and the event back if it is about something else.
    ///
    /// # Errors
    /// The event, if it is none of a FETCH.
    #[allow(clippy::result_large_err)] // It is the caller's own event.
    pub fn take(&mut self, event: Event) -> Result<Option<Fetched>, Event> {
        if let Event::FetchStart { number } = event {
            self.open = Some(Fetched { number, ..Fetched::default() });
            return Ok(None);
        }
        let Some(open) = &mut self.open else { return Err(event) };
        let full = open.bodies.len() + open.others.len() >= Self::ITEMS;
        match event {
            Event::FetchItem(_) if full => {}
            Event::BodyStart { .. } if full => self.dropping = true,
            Event::Body(_) if self.dropping => {}
            Event::BodyEnd if self.dropping => self.dropping = false,
            Event::FetchItem(item) => open.add(item),
            Event::BodyStart { section, binary, origin, size } => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                // What is announced need not come: memory grows with what does.
                self.body = BytesMut::with_capacity(size.min(self.limit).min(64 * 1024));
                open.bodies.push(FetchedBody { section, binary, origin, data: None, truncated: size > self.limit });
            }
            Event::Body(octets) => {
                let room = self.limit.saturating_sub(self.body.len());
                self.body.extend_from_slice(&octets[..octets.len().min(room)]);
            }
            Event::BodyEnd => {
                if let Some(body) = open.bodies.last_mut() {
                    body.data = Some(core::mem::take(&mut self.body).freeze());
                }
            }
            Event::FetchEnd => return Ok(self.open.take()),
            event => return Err(event),
        }
        Ok(None)
    }
}

impl Fetched {
    fn add(&mut self, item: FetchItem) {
        let mut body = |section, binary, origin, data| {
            self.bodies.push(FetchedBody { section, binary, origin, data, truncated: false });
        };
        match item {
            FetchItem::Uid(uid) => self.uid = Some(uid),
            FetchItem::Flags(flags) => self.flags = Some(flags),
            FetchItem::InternalDate(date) => self.internal_date = Some(date),
            FetchItem::Size(size) => self.size = Some(size),
            FetchItem::ModSeq(modseq) => self.modseq = Some(modseq),
            FetchItem::Envelope(envelope) => self.envelope = Some(envelope),
            FetchItem::BodyStructure(structure) => self.structure = Some(structure),
            FetchItem::Body { section, origin, data } => body(section, false, origin, data),
            FetchItem::Binary { part, origin, data } => body(Section { part, text: None }, true, origin, data),
            FetchItem::Rfc822 { part, data } => {
                let text = match part {
                    Rfc822Part::Whole => None,
                    Rfc822Part::Header => Some(SectionText::Header),
                    Rfc822Part::Text => Some(SectionText::Text),
                };
                body(Section { part: Vec::new(), text }, false, None, data);
            }
            other @ (FetchItem::BinarySize { .. } | FetchItem::EmailId(_) | FetchItem::ThreadId(_)) => {
                self.others.push(other);
            }
            other @ (FetchItem::SaveDate(_) | FetchItem::Preview(_) | FetchItem::Raw(_)) => self.others.push(other),
        }
    }
}
