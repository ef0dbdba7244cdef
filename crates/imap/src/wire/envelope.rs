//! ENVELOPE (RFC 9051, 7.5.2).

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use bytes::{Bytes, BytesMut};

use super::strings::Span;

/// The header of a message as the server has read it. One block of memory for all strings, shared with the response
/// it came in; strings are the octets of the header, usually with RFC 2047 encoded words.
#[derive(Clone)]
pub struct Envelope {
    pub(crate) bytes: Bytes,
    pub(crate) date: Span,
    pub(crate) subject: Span,
    pub(crate) in_reply_to: Span,
    pub(crate) message_id: Span,
    /// Where each list ends in `addresses`: from, sender, reply-to, to, cc, bcc.
    pub(crate) ends: [u32; 6],
    pub(crate) addresses: Vec<AddressSpan>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct AddressSpan {
    pub(crate) name: Span,
    pub(crate) route: Span,
    pub(crate) mailbox: Span,
    pub(crate) host: Span,
}

macro_rules! address_lists {
    ($($(#[$doc:meta])* $name:ident = $index:literal,)*) => {
        $($(#[$doc])* pub fn $name(&self) -> Addresses<'_> { self.list($index) })*
    };
}

impl Envelope {
    /// The Date field, as it is written there.
    pub fn date(&self) -> Option<Cow<'_, [u8]>> {
        self.date.of(&self.bytes)
    }

    /// The Subject field.
    pub fn subject(&self) -> Option<Cow<'_, [u8]>> {
        self.subject.of(&self.bytes)
    }

    /// The In-Reply-To field.
    pub fn in_reply_to(&self) -> Option<Cow<'_, [u8]>> {
        self.in_reply_to.of(&self.bytes)
    }

    /// The Message-ID field.
    pub fn message_id(&self) -> Option<Cow<'_, [u8]>> {
        self.message_id.of(&self.bytes)
    }

    address_lists! {
        /// The From field.
        from = 0,
        /// The Sender field; servers put From here if there is none.
        sender = 1,
        /// The Reply-To field; servers put From here if there is none.
        reply_to = 2,
        /// The To field.
        to = 3,
        /// The Cc field.
        cc = 4,
        /// The Bcc field.
        bcc = 5,
    }

    fn list(&self, index: usize) -> Addresses<'_> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Addresses { bytes: &self.bytes, spans: self.addresses[start as usize..self.ends[index] as usize].iter() }
    }

    pub(crate) fn lists(&self) -> [Addresses<'_>; 6] {
        core::array::from_fn(|index| self.list(index))
    }
}

impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        self.date() == other.date()
            && self.subject() == other.subject()
            && self.in_reply_to() == other.in_reply_to()
            && self.message_id() == other.message_id()
            && self.ends == other.ends
            && self.lists().into_iter().flatten().eq(other.lists().into_iter().flatten())
    }
}

impl Eq for Envelope {}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |octets: Option<Cow<'_, [u8]>>| octets.map(|o| alloc::format!("{}", o.escape_ascii()));
        f.debug_struct("Envelope")
            .field("date", &text(self.date()))
            .field("subject", &text(self.subject()))
            .field("from", &self.from())
            .field("sender", &self.sender())
            .field("reply_to", &self.reply_to())
            .field("to", &self.to())
            .field("cc", &self.cc())
            .field("bcc", &self.bcc())
            .field("in_reply_to", &text(self.in_reply_to()))
            .field("message_id", &text(self.message_id()))
            .finish()
    }
}

/// The addresses of one field, in order. Groups are marked as ENVELOPE marks them: see [`Address`].
#[derive(Clone)]
pub struct Addresses<'a> {
    bytes: &'a Bytes,
    spans: core::slice::Iter<'a, AddressSpan>,
}

impl<'a> Iterator for Addresses<'a> {
    type Item = Address<'a>;

    fn next(&mut self) -> Option<Address<'a>> {
        let span = self.spans.next()?;
        let of = |part: Span| part.of(self.bytes);
        Some(Address { name: of(span.name), route: of(span.route), mailbox: of(span.mailbox), host: of(span.host) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for Addresses<'_> {}

impl fmt::Debug for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// One address of an envelope, or the mark that a group begins (`mailbox` is its name, no `host`) or ends
/// (neither).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Address<'a> {
    /// The display name.
    pub name: Option<Cow<'a, [u8]>>,
    /// The obsolete source route.
    pub route: Option<Cow<'a, [u8]>>,
    /// What is before the `@`; the name of the group where one begins; none where it ends.
    pub mailbox: Option<Cow<'a, [u8]>>,
    /// What is after the `@`; none marks a group.
    pub host: Option<Cow<'a, [u8]>>,
}

impl fmt::Debug for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |part: &Option<Cow<'_, [u8]>>| match part {
            Some(octets) => alloc::format!("{}", octets.escape_ascii()),
            None => "NIL".into(),
        };
        write!(f, "({} {} {} {})", text(&self.name), text(&self.route), text(&self.mailbox), text(&self.host))
    }
}

/// Builds an [`Envelope`]. What is not given is NIL.
#[derive(Debug)]
pub struct EnvelopeBuilder {
    store: BytesMut,
    date: Span,
    subject: Span,
    in_reply_to: Span,
    message_id: Span,
    lists: [Vec<AddressSpan>; 6],
}

impl Default for EnvelopeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl EnvelopeBuilder {
    /// All NIL.
    pub fn new() -> Self {
        Self {
            store: BytesMut::new(),
            date: Span::NIL,
            subject: Span::NIL,
            in_reply_to: Span::NIL,
            message_id: Span::NIL,
            lists: Default::default(),
        }
    }

    /// The Date field.
    pub fn date(&mut self, text: &[u8]) -> &mut Self {
        self.date = Span::keep(Some(text), &mut self.store);
        self
    }

    /// The Subject field.
    pub fn subject(&mut self, text: &[u8]) -> &mut Self {
        self.subject = Span::keep(Some(text), &mut self.store);
        self
    }

    /// The In-Reply-To field.
    pub fn in_reply_to(&mut self, text: &[u8]) -> &mut Self {
        self.in_reply_to = Span::keep(Some(text), &mut self.store);
        self
    }

    /// The Message-ID field.
    pub fn message_id(&mut self, text: &[u8]) -> &mut Self {
        self.message_id = Span::keep(Some(text), &mut self.store);
        self
    }

    /// One more address of From.
    pub fn from(&mut self, address: &Address<'_>) -> &mut Self {
        self.add(0, address)
    }

    /// One more address of Sender.
    pub fn sender(&mut self, address: &Address<'_>) -> &mut Self {
        self.add(1, address)
    }

    /// One more address of Reply-To.
    pub fn reply_to(&mut self, address: &Address<'_>) -> &mut Self {
        self.add(2, address)
    }

    /// One more address of To.
    pub fn to(&mut self, address: &Address<'_>) -> &mut Self {
        self.add(3, address)
    }

    /// One more address of Cc.
    pub fn cc(&mut self, address: &Address<'_>) -> &mut Self {
        self.add(4, address)
    }

    /// One more address of Bcc.
    pub fn bcc(&mut self, address: &Address<'_>) -> &mut Self {
        self.add(5, address)
    }

    fn add(&mut self, list: usize, address: &Address<'_>) -> &mut Self {
        let store = &mut self.store;
        let mut keep = |part: &Option<Cow<'_, [u8]>>| Span::keep(part.as_deref(), store);
        let (name, route) = (keep(&address.name), keep(&address.route));
        let (mailbox, host) = (keep(&address.mailbox), keep(&address.host));
        self.lists[list].push(AddressSpan { name, route, mailbox, host });
        self
    }

    /// The envelope. With `default_to_from`, an empty Sender or Reply-To becomes From, as servers must
    /// (RFC 9051, 7.5.2).
    pub fn build(self, default_to_from: bool) -> Envelope {
        let mut addresses = Vec::with_capacity(self.lists.iter().map(Vec::len).sum());
        let mut ends = [0; 6];
        for (index, list) in self.lists.iter().enumerate() {
            let from = default_to_from && matches!(index, 1 | 2) && list.is_empty();
            addresses.extend_from_slice(if from { &self.lists[0] } else { list });
            ends[index] = addresses.len() as u32;
        }
        let Self { store, date, subject, in_reply_to, message_id, .. } = self;
        Envelope { bytes: store.freeze(), date, subject, in_reply_to, message_id, ends, addresses }
    }
}
