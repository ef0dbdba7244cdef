//! What was learnt of a message in a few octets, so that it need not be learnt again.
//!
//! ```text
//! cache     = version size whole count *part           ; version 1, one octet; count of parts
//! part      = header body lines kind inside content has-envelope [envelope]
//! header    = start length                             ; so is body
//! inside    = number                                   ; of parts in it, at any depth
//! content   = string string pairs 5nstring disposition strings nstring
//! envelope  = 4nstring 6(count *address)               ; Sender and Reply-To empty if the same as From
//! address   = 4nstring
//! pairs     = count *(string string)
//! nstring   = 0 / (length + 1) octets                  ; all numbers LEB128
//! string    = length octets
//! ```

use std::borrow::Cow;
use std::ops::Range;

use postrider_imap::wire::{Address, Envelope, EnvelopeBuilder};

use crate::content::{Content, Parameter};
use crate::structure::{Kind, Part, Structure};

/// The first octet. A change of the form, or of what is learnt, takes the next number.
const VERSION: u8 = 1;

impl Structure {
    /// The structure, ENVELOPE included, as octets to be kept with the message; usually a few hundred.
    pub fn to_cache(&self) -> Vec<u8> {
        let mut out = Writer { out: vec![VERSION] };
        out.number(self.size);
        out.number(u64::from(self.whole));
        out.number(self.parts.len() as u64);
        for (index, part) in self.parts.iter().enumerate() {
            out.range(&part.header);
            out.range(&part.body);
            out.number(part.lines);
            out.number(match part.kind {
                Kind::Text => 0,
                Kind::Basic => 1,
                Kind::Multipart => 2,
                Kind::Message => 3,
            });
            out.number(u64::from(part.end) - index as u64 - 1);
            out.content(&part.content);
            out.number(u64::from(part.envelope.is_some()));
            if let Some(envelope) = &part.envelope {
                out.envelope(envelope);
            }
        }
        out.out
    }

    /// What [`to_cache`](Self::to_cache) wrote. `None` if it is of another version or damaged: scan the message again.
    pub fn from_cache(cache: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = cache.split_first()? else { return None };
        let mut from = Reader { rest };
        let size = from.number()?;
        let whole = from.number()? == 1;
        let count = from.count()?;
        let mut parts: Vec<Part> = Vec::with_capacity(count);
        let mut open: Vec<u32> = Vec::new();
        for index in 0..count as u32 {
            while open.last().is_some_and(|&container| parts[container as usize].end <= index) {
                open.pop();
            }
            let parent = open.last().copied();
            let part = from.part(index, parent, size)?;
            let room = parent.map_or(count as u32, |parent| parts[parent as usize].end);
            let in_message = parent.is_none_or(|parent| parts[parent as usize].kind == Kind::Message);
            // The root is alone at the top, a message has one child, and messages alone have envelopes.
            let alone = match parent {
                None => index == 0 && part.end == room,
                Some(_) => !in_message || part.end == room,
            };
            let leaf = part.end == index + 1;
            let fits = match part.kind {
                Kind::Text | Kind::Basic => leaf,
                Kind::Multipart => true,
                Kind::Message => !leaf,
            };
            if part.end > room || !alone || !fits || part.envelope.is_some() != in_message {
                return None;
            }
            if !leaf {
                open.push(index);
            }
            parts.push(part);
        }
        (!parts.is_empty() && from.rest.is_empty()).then_some(Self { size, whole, parts })
    }
}

struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    fn range(&mut self, range: &Range<u64>) {
        self.number(range.start);
        self.number(range.end - range.start);
    }

    fn string(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.out.extend_from_slice(text);
    }

    fn nstring(&mut self, text: Option<&[u8]>) {
        match text {
            None => self.number(0),
            Some(text) => {
                self.number(text.len() as u64 + 1);
                self.out.extend_from_slice(text);
            }
        }
    }

    fn pairs(&mut self, pairs: &[Parameter]) {
        self.number(pairs.len() as u64);
        for (name, value) in pairs {
            self.string(name);
            self.string(value);
        }
    }

    fn content(&mut self, content: &Content) {
        let Content { media, subtype, parameters, encoding, id, description, md5, location, .. } = content;
        self.string(media);
        self.string(subtype);
        self.pairs(parameters);
        for text in [encoding, id, description, md5, location] {
            self.nstring(text.as_deref());
        }
        self.nstring(content.disposition().map(|(kind, _)| kind));
        self.pairs(content.disposition().map_or(&[], |(_, parameters)| parameters));
        self.number(content.languages.len() as u64);
        content.languages.iter().for_each(|language| self.string(language));
    }

    fn envelope(&mut self, envelope: &Envelope) {
        for text in [envelope.date(), envelope.subject(), envelope.in_reply_to(), envelope.message_id()] {
            self.nstring(text.as_deref());
        }
        self.addresses(envelope.from().collect());
        for list in [envelope.sender(), envelope.reply_to()] {
            let is_from = list.clone().eq(envelope.from());
            self.addresses(if is_from { Vec::new() } else { list.collect() });
        }
        self.addresses(envelope.to().collect());
        self.addresses(envelope.cc().collect());
        self.addresses(envelope.bcc().collect());
    }

    fn addresses(&mut self, list: Vec<Address<'_>>) {
        self.number(list.len() as u64);
        for Address { name, route, mailbox, host } in list {
            for text in [name, route, mailbox, host] {
                self.nstring(text.as_deref());
            }
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&octet, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(octet & 0x7f) << shift;
            if octet < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// How many things follow, each of which takes an octet at least.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.rest.len()).then_some(count)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text)
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        let length = self.count()?;
        self.take(length).map(<[u8]>::to_vec)
    }

    /// Outer `None`: damaged; inner `None`: NIL.
    fn nstring(&mut self) -> Option<Option<&'a [u8]>> {
        match usize::try_from(self.number()?).ok()?.checked_sub(1) {
            None => Some(None),
            Some(length) => self.take(length).map(Some),
        }
    }

    fn range(&mut self, size: u64) -> Option<Range<u64>> {
        let start = self.number()?;
        let end = start.checked_add(self.number()?)?;
        (end <= size).then_some(start..end)
    }

    fn pairs(&mut self) -> Option<Vec<Parameter>> {
        (0..self.count()?).map(|_| Some((self.string()?, self.string()?))).collect()
    }

    fn part(&mut self, index: u32, parent: Option<u32>, size: u64) -> Option<Part> {
        let (header, body, lines) = (self.range(size)?, self.range(size)?, self.number()?);
        let kind = match self.number()? {
            0 => Kind::Text,
            1 => Kind::Basic,
            2 => Kind::Multipart,
            3 => Kind::Message,
            _ => return None,
        };
        let inside = u32::try_from(self.number()?).ok()?;
        let end = index.checked_add(1)?.checked_add(inside)?;
        let content = self.content()?;
        let envelope = if self.number()? == 1 { Some(Box::new(self.envelope()?)) } else { None };
        Some(Part { header, body, lines, kind, content, envelope, parent, end })
    }

    fn content(&mut self) -> Option<Content> {
        let (media, subtype, parameters) = (self.string()?, self.string()?, self.pairs()?);
        let mut owned = || Some(self.nstring()?.map(<[u8]>::to_vec));
        let (encoding, id, description, md5, location) = (owned()?, owned()?, owned()?, owned()?, owned()?);
        let (kind, of_disposition) = (owned()?, self.pairs()?);
        let disposition = kind.map(|kind| (kind, of_disposition));
        let languages = (0..self.count()?).map(|_| self.string()).collect::<Option<_>>()?;
        Some(Content { media, subtype, parameters, encoding, id, description, md5, disposition, languages, location })
    }

    fn envelope(&mut self) -> Option<Envelope> {
        type Add = for<'b> fn(&'b mut EnvelopeBuilder, &Address<'_>) -> &'b mut EnvelopeBuilder;
        let mut builder = EnvelopeBuilder::new();
        if let Some(date) = self.nstring()? {
            builder.date(date);
        }
        if let Some(subject) = self.nstring()? {
            builder.subject(subject);
        }
        if let Some(in_reply_to) = self.nstring()? {
            builder.in_reply_to(in_reply_to);
        }
        if let Some(message_id) = self.nstring()? {
            builder.message_id(message_id);
        }
        let lists: [Add; 6] = [
            EnvelopeBuilder::from,
            EnvelopeBuilder::sender,
            EnvelopeBuilder::reply_to,
            EnvelopeBuilder::to,
            EnvelopeBuilder::cc,
            EnvelopeBuilder::bcc,
        ];
        for add in lists {
            for _ in 0..self.count()? {
                let mut text = || Some(self.nstring()?.map(Cow::Borrowed));
                let address = Address { name: text()?, route: text()?, mailbox: text()?, host: text()? };
                add(&mut builder, &address);
            }
        }
        Some(builder.build(true))
    }
}
