//! The items of a FETCH response from octets.
//!
//! Lenient: what servers do wrong costs one item, never its message. Each leniency has a test in
//! `tests/it/interop.rs`.

use alloc::vec::Vec;

use bytes::Bytes;
use postrider_core::ParseError;

use super::body::{BodyStructure, Node, NodeKind};
use super::cursor::{Cursor, MAX_DEPTH, Parsed};
use super::envelope::{AddressSpan, Envelope};
use super::fetch::{FetchItem, Raw, Rfc822Part, Section, SectionText};
use super::strings::Span;

/// Parts of one BODYSTRUCTURE that are read.
const MAX_PARTS: usize = 10_000;
/// Addresses of one ENVELOPE that are read.
const MAX_ADDRESSES: usize = 100_000;

/// Reads the items of a FETCH response one by one, so that nobody needs a list of them.
#[derive(Clone, Debug)]
pub(crate) struct FetchReader {
    unit: Bytes,
    at: usize,
    utf8: bool,
    /// The unit ends by announcing a literal that does not lie in it.
    announces: bool,
    ended: bool,
}

/// What a [`FetchReader`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FetchStep {
    Item(FetchItem),
    /// An item whose octets follow as a literal outside of the unit; then the response goes on in another unit.
    Literal {
        section: Section,
        binary: bool,
        origin: Option<u64>,
        size: u64,
    },
    /// A literal follows outside of the unit that is of no use.
    Useless,
    End,
}

impl FetchReader {
    /// `at` is behind the opening parenthesis.
    pub(crate) fn new(unit: Bytes, at: usize, utf8: bool, announces: bool) -> Self {
        Self { unit, at, utf8, announces, ended: false }
    }

    /// The response goes on after a streamed literal.
    pub(crate) fn resume(&mut self, unit: Bytes, announces: bool) {
        *self = Self::new(unit, 0, self.utf8, announces);
    }

    pub(crate) fn next(&mut self) -> FetchStep {
        // Out of self, so that the cursor can borrow it.
        let unit = core::mem::take(&mut self.unit);
        let mut c = Cursor::new(&unit, self.utf8, true);
        c.at = self.at;
        let step = self.step(&mut c);
        self.at = c.at;
        self.unit = unit;
        self.ended |= matches!(step, FetchStep::End);
        step
    }

    fn step(&mut self, c: &mut Cursor<'_>) -> FetchStep {
        c.spaces();
        if self.ended || c.is_at_end() || c.eat(b')') {
            return FetchStep::End;
        }
        let start = c.at;
        let found = item(c, self.announces);
        let ends_well = matches!(c.peek(), None | Some(b' ' | b')' | b'\r'));
        let why = match found {
            Ok(step) if ends_well => return step,
            Ok(_) => ParseError { at: c.at, expected: "a space or \")\" after an item" },
            Err(why) => why,
        };
        c.at = start;
        let skipped = c.skip_value().and_then(|()| {
            c.spaces();
            c.skip_value()
        });
        // What cannot even be skipped takes what follows it along; so does a literal that lies elsewhere.
        let lost = skipped.is_err() || c.at == start || c.is_at_end() && self.announces;
        if lost {
            c.at = c.unit().len();
            self.ended = true;
            if self.announces {
                return FetchStep::Useless;
            }
        }
        FetchStep::Item(FetchItem::Raw(Raw { bytes: c.share(start, c.at), why }))
    }
}

fn item(c: &mut Cursor<'_>, announces: bool) -> Parsed<FetchStep> {
    let start = c.at;
    let word = c.take_while(|b| b.is_ascii_alphanumeric() || b == b'.');
    let mut upper = [0; 16];
    let Some(place) = upper.get_mut(..word.len()) else { return c.fail("an item of FETCH that is known") };
    place.copy_from_slice(word);
    place.make_ascii_uppercase();
    let word = &*place;
    match word {
        b"BODY" if c.peek() == Some(b'[') => {
            let section = c.section()?;
            let origin = origin(c)?;
            return Ok(match data(c, announces)? {
                Found::Here(data) => FetchStep::Item(FetchItem::Body { section, origin, data }),
                Found::Follows(size) => FetchStep::Literal { section, binary: false, origin, size },
            });
        }
        b"BINARY" => {
            let part = c.section_part()?;
            let origin = origin(c)?;
            return Ok(match data(c, announces)? {
                Found::Here(data) => FetchStep::Item(FetchItem::Binary { part, origin, data }),
                Found::Follows(size) => {
                    FetchStep::Literal { section: Section { part, text: None }, binary: true, origin, size }
                }
            });
        }
        b"RFC822" | b"RFC822.HEADER" | b"RFC822.TEXT" => {
            let (part, text) = match word {
                b"RFC822" => (Rfc822Part::Whole, None),
                b"RFC822.HEADER" => (Rfc822Part::Header, Some(SectionText::Header)),
                _ => (Rfc822Part::Text, Some(SectionText::Text)),
            };
            return Ok(match data(c, announces)? {
                Found::Here(data) => FetchStep::Item(FetchItem::Rfc822 { part, data }),
                Found::Follows(size) => {
                    let section = Section { part: Vec::new(), text };
                    FetchStep::Literal { section, binary: false, origin: None, size }
                }
            });
        }
        b"BINARY.SIZE" => {
            let part = c.section_part()?;
            c.space()?;
            return Ok(FetchStep::Item(FetchItem::BinarySize { part, size: c.number64()? }));
        }
        _ => {}
    }
    c.space()?;
    c.spaces();
    Ok(FetchStep::Item(match word {
        b"UID" => FetchItem::Uid(c.nz_number()?),
        b"FLAGS" => FetchItem::Flags(c.flags()?),
        b"INTERNALDATE" => FetchItem::InternalDate(c.date_time()?),
        b"RFC822.SIZE" => FetchItem::Size(c.number64()?),
        b"ENVELOPE" => FetchItem::Envelope(envelope(c)?),
        b"BODYSTRUCTURE" => FetchItem::BodyStructure(body_structure(c, true)?),
        b"BODY" => FetchItem::BodyStructure(body_structure(c, false)?),
        b"MODSEQ" => {
            c.open()?;
            let modseq = c.number64()?;
            c.close()?;
            FetchItem::ModSeq(modseq)
        }
        b"EMAILID" => FetchItem::EmailId(object_id(c)?),
        b"THREADID" if c.word("NIL") => FetchItem::ThreadId(None),
        b"THREADID" => FetchItem::ThreadId(Some(object_id(c)?)),
        b"SAVEDATE" if c.word("NIL") => FetchItem::SaveDate(None),
        b"SAVEDATE" => FetchItem::SaveDate(Some(c.date_time()?)),
        b"PREVIEW" => FetchItem::Preview(c.nstring()?),
        _ => return Err(ParseError { at: start, expected: "an item of FETCH that is known" }),
    }))
}

fn object_id(c: &mut Cursor<'_>) -> Parsed<Bytes> {
    c.open()?;
    let id = c.astring()?;
    c.close()?;
    Ok(id)
}

fn origin(c: &mut Cursor<'_>) -> Parsed<Option<u64>> {
    if !c.eat(b'<') {
        return Ok(None);
    }
    let origin = c.number64()?;
    c.expect(b'>', "\">\"")?;
    Ok(Some(origin))
}

enum Found {
    Here(Option<Bytes>),
    Follows(u64),
}

/// The octets of a section, or the announcement of them at the end of the unit.
fn data(c: &mut Cursor<'_>, announces: bool) -> Parsed<Found> {
    c.space()?;
    c.spaces();
    if announces && matches!(c.peek(), Some(b'{' | b'~')) {
        let start = c.at;
        let size = c.literal_head()?;
        if c.is_at_end() {
            return Ok(Found::Follows(size));
        }
        c.at = start;
    }
    Ok(Found::Here(c.nstring()?))
}

// ── ENVELOPE ──

fn envelope(c: &mut Cursor<'_>) -> Parsed<Envelope> {
    c.open()?;
    let mut texts = [Span::NIL; 4];
    let mut ends = [0; 6];
    let mut addresses = Vec::with_capacity(8);
    // Ten fields, of which the last may be missing; and where a list should be there may be a string already.
    let mut field = 0;
    while field < 10 {
        c.spaces();
        if c.peek() == Some(b')') {
            break;
        }
        if (2..8).contains(&field) && matches!(c.peek(), Some(b'"' | b'{')) {
            field = 8;
        }
        match field {
            0 | 1 => texts[field] = c.nstring_span()?,
            8 | 9 => texts[field - 6] = c.nstring_span()?,
            list => {
                address_list(c, &mut addresses)?;
                ends[list - 2] = addresses.len() as u32;
            }
        }
        field += 1;
    }
    // Lists that are missing end where the one before them ends.
    for list in 1..ends.len() {
        ends[list] = ends[list].max(ends[list - 1]);
    }
    c.spaces();
    while c.peek() != Some(b')') && !c.is_at_end() {
        c.skip_value()?;
        c.spaces();
    }
    c.close()?;
    let [date, subject, in_reply_to, message_id] = texts;
    Ok(Envelope { bytes: c.unit().clone(), date, subject, in_reply_to, message_id, ends, addresses })
}

fn address_list(c: &mut Cursor<'_>, addresses: &mut Vec<AddressSpan>) -> Parsed<()> {
    if !c.eat(b'(') {
        return if c.word("NIL") { Ok(()) } else { c.fail("addresses or NIL") };
    }
    loop {
        c.spaces();
        if c.eat(b')') {
            return Ok(());
        }
        if addresses.len() == MAX_ADDRESSES {
            return c.fail("fewer addresses");
        }
        c.open()?;
        let mut parts = [Span::NIL; 4];
        for part in &mut parts {
            c.spaces();
            if c.peek() == Some(b')') {
                break;
            }
            *part = c.nstring_span()?;
        }
        c.spaces();
        c.close()?;
        let [name, route, mailbox, host] = parts;
        addresses.push(AddressSpan { name, route, mailbox, host });
    }
}

// ── BODYSTRUCTURE ──

/// Subtypes by which a multipart is recognised that has no parts in it, as some servers send.
const MULTIPARTS: [&[u8]; 9] =
    [b"ALTERNATIVE", b"MIXED", b"RELATED", b"REPORT", b"SIGNED", b"ENCRYPTED", b"DIGEST", b"PARALLEL", b"FORM-DATA"];

struct Structure {
    nodes: Vec<Node>,
    pairs: Vec<(Span, Span)>,
    envelopes: Vec<Envelope>,
}

/// The tree, without recursion: `open` holds the parts whose children are being read.
fn body_structure(c: &mut Cursor<'_>, extended: bool) -> Parsed<BodyStructure> {
    let mut s = Structure { nodes: Vec::with_capacity(4), pairs: Vec::with_capacity(8), envelopes: Vec::new() };
    let mut open = [0u32; MAX_DEPTH];
    let mut depth = 0;
    loop {
        // A part begins here.
        c.open()?;
        c.spaces();
        if s.nodes.len() == MAX_PARTS {
            return c.fail("fewer parts");
        }
        let index = s.nodes.len() as u32;
        s.nodes.push(Node::EMPTY);
        let nests = if c.peek() == Some(b'(') {
            s.nodes[index as usize].kind = NodeKind::Multipart;
            true
        } else {
            s.single_part(c, index as usize)?
        };
        if nests {
            let Some(place) = open.get_mut(depth) else { return c.fail("fewer nested parts") };
            *place = index;
            depth += 1;
            continue;
        }
        // A part has ended here; it may be the last of the one around it, and so on outwards.
        loop {
            if depth == 0 {
                let Structure { nodes, pairs, envelopes } = s;
                return Ok(BodyStructure { bytes: c.unit().clone(), nodes, pairs, envelopes, extended });
            }
            let around = open[depth - 1] as usize;
            c.spaces();
            if s.nodes[around].kind == NodeKind::Multipart && c.peek() == Some(b'(') {
                break;
            }
            s.after_children(c, around)?;
            depth -= 1;
        }
    }
}

impl Structure {
    /// A part that is no multipart, from behind its parenthesis. True if it is a message and its body comes next;
    /// else it was read to its end.
    fn single_part(&mut self, c: &mut Cursor<'_>, index: usize) -> Parsed<bool> {
        let mut node = Node::EMPTY;
        node.end = index as u32 + 1;
        let at_end = |c: &mut Cursor<'_>| {
            c.spaces();
            c.peek() == Some(b')')
        };
        if !at_end(c) {
            node.media = c.nstring_span()?;
            if is_multipart(c, node.media) {
                return self.childless(c, index, node.media);
            }
        }
        if !at_end(c) {
            node.subtype = c.nstring_span()?;
            if node.media == Span::NIL && is_multipart(c, node.subtype) {
                return self.childless(c, index, node.subtype);
            }
        }
        if !at_end(c) {
            node.params = self.params(c)?;
        }
        for text in [&mut node.id, &mut node.description, &mut node.encoding] {
            if !at_end(c) {
                *text = c.nstring_span()?;
            }
        }
        if !at_end(c) {
            node.octets = size(c)?;
        }
        let is = |span: Span, word: &[u8]| c.text_of(span).eq_ignore_ascii_case(word);
        let message = is(node.media, b"MESSAGE") && (is(node.subtype, b"RFC822") || is(node.subtype, b"GLOBAL"));
        let text = is(node.media, b"TEXT");
        c.spaces();
        if message && c.peek() == Some(b'(') {
            node.kind = NodeKind::Message(self.envelopes.len() as u32);
            self.envelopes.push(envelope(c)?);
            c.spaces();
            self.nodes[index] = node;
            return Ok(true);
        }
        // Other parts have no lines, but some servers say how many.
        if matches!(c.peek(), Some(b'0'..=b'9' | b'-')) {
            let lines = size(c)?;
            node.lines = if text || message { lines } else { None };
        }
        if !at_end(c) {
            node.md5 = c.nstring_span()?;
        }
        self.extension(c, &mut node)?;
        self.nodes[index] = node;
        Ok(false)
    }

    /// A multipart without parts, from behind its subtype.
    fn childless(&mut self, c: &mut Cursor<'_>, index: usize, subtype: Span) -> Parsed<bool> {
        let mut node = Node { kind: NodeKind::Multipart, end: index as u32 + 1, subtype, ..Node::EMPTY };
        self.multipart_fields(c, &mut node)?;
        self.nodes[index] = node;
        Ok(false)
    }

    /// What comes after the parts of a multipart, or the body of a message.
    fn after_children(&mut self, c: &mut Cursor<'_>, index: usize) -> Parsed<()> {
        let mut node = self.nodes[index];
        node.end = self.nodes.len() as u32;
        if node.kind == NodeKind::Multipart {
            if c.peek() != Some(b')') {
                node.subtype = c.nstring_span()?;
            }
            self.multipart_fields(c, &mut node)?;
        } else {
            if matches!(c.peek(), Some(b'0'..=b'9' | b'-')) {
                node.lines = size(c)?;
            }
            c.spaces();
            if c.peek() != Some(b')') {
                node.md5 = c.nstring_span()?;
            }
            self.extension(c, &mut node)?;
        }
        self.nodes[index] = node;
        Ok(())
    }

    fn multipart_fields(&mut self, c: &mut Cursor<'_>, node: &mut Node) -> Parsed<()> {
        c.spaces();
        if c.peek() != Some(b')') {
            node.params = self.params(c)?;
        }
        self.extension(c, node)
    }

    /// Disposition, languages, location and what else there is, up to and with the end of the part.
    fn extension(&mut self, c: &mut Cursor<'_>, node: &mut Node) -> Parsed<()> {
        c.spaces();
        if c.eat(b'(') {
            c.spaces();
            node.disposition = c.nstring_span()?;
            c.spaces();
            if c.peek() != Some(b')') {
                node.disposition_params = self.params(c)?;
            }
            c.spaces();
            c.close()?;
        } else if c.peek() != Some(b')') {
            // NIL; Exchange has a description here.
            c.nstring_span()?;
        }
        c.spaces();
        let start = self.pairs.len() as u32;
        if c.eat(b'(') {
            loop {
                c.spaces();
                if c.eat(b')') {
                    break;
                }
                let language = c.nstring_span()?;
                self.pairs.push((language, Span::NIL));
            }
        } else if c.peek() != Some(b')') {
            let language = c.nstring_span()?;
            if language != Span::NIL {
                self.pairs.push((language, Span::NIL));
            }
        }
        node.languages = (start, self.pairs.len() as u32);
        c.spaces();
        if c.peek() == Some(b'(') {
            c.skip_value()?;
        } else if c.peek() != Some(b')') {
            node.location = c.nstring_span()?;
        }
        // RFC 9051, 9: body-extension, whatever that will be.
        loop {
            c.spaces();
            if c.eat(b')') {
                return Ok(());
            }
            if c.is_at_end() {
                return c.fail("\")\"");
            }
            c.skip_value()?;
        }
    }

    /// Parameters: pairs of strings, NIL, or (from some servers) an empty list.
    fn params(&mut self, c: &mut Cursor<'_>) -> Parsed<(u32, u32)> {
        let start = self.pairs.len() as u32;
        if !c.eat(b'(') {
            // NIL, or a string where a list should be, which says nothing.
            c.nstring_span()?;
            return Ok((start, start));
        }
        loop {
            c.spaces();
            if c.eat(b')') {
                return Ok((start, self.pairs.len() as u32));
            }
            let name = c.nstring_span()?;
            c.spaces();
            let value = if c.peek() == Some(b')') { Span::NIL } else { c.nstring_span()? };
            self.pairs.push((name, value));
        }
    }
}

fn is_multipart(c: &Cursor<'_>, subtype: Span) -> bool {
    let name = c.text_of(subtype);
    MULTIPARTS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// A number; `None` for one below zero, or NIL.
fn size(c: &mut Cursor<'_>) -> Parsed<Option<u64>> {
    if c.eat(b'-') {
        c.number64()?;
        return Ok(None);
    }
    if matches!(c.peek(), Some(b'0'..=b'9')) {
        return c.number64().map(Some);
    }
    c.nstring_span()?;
    Ok(None)
}
