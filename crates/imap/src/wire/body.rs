//! BODYSTRUCTURE and BODY (RFC 9051, 7.5.2).

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use bytes::{Bytes, BytesMut};

use super::envelope::Envelope;
use super::strings::Span;

/// The MIME structure of a message: a tree in one list, in the order of the parts, with one block of memory for
/// all strings, shared with the response it came in.
#[derive(Clone)]
pub struct BodyStructure {
    pub(crate) bytes: Bytes,
    /// Depth first: each part before its children. Never empty.
    pub(crate) nodes: Vec<Node>,
    /// Parameters of all parts, and their languages (without a value).
    pub(crate) pairs: Vec<(Span, Span)>,
    /// Of message/rfc822 parts.
    pub(crate) envelopes: Vec<Envelope>,
    /// BODYSTRUCTURE, not BODY: the optional fields may be there.
    pub(crate) extended: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    /// The index after its last descendant.
    pub(crate) end: u32,
    pub(crate) media: Span,
    pub(crate) subtype: Span,
    pub(crate) params: (u32, u32),
    pub(crate) id: Span,
    pub(crate) description: Span,
    pub(crate) encoding: Span,
    pub(crate) octets: Option<u64>,
    pub(crate) lines: Option<u64>,
    pub(crate) md5: Span,
    pub(crate) disposition: Span,
    pub(crate) disposition_params: (u32, u32),
    pub(crate) languages: (u32, u32),
    pub(crate) location: Span,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NodeKind {
    Basic,
    Multipart,
    /// With the index of its envelope.
    Message(u32),
}

impl Node {
    pub(crate) const EMPTY: Self = Self {
        kind: NodeKind::Basic,
        end: 0,
        media: Span::NIL,
        subtype: Span::NIL,
        params: (0, 0),
        id: Span::NIL,
        description: Span::NIL,
        encoding: Span::NIL,
        octets: None,
        lines: None,
        md5: Span::NIL,
        disposition: Span::NIL,
        disposition_params: (0, 0),
        languages: (0, 0),
        location: Span::NIL,
    };
}

/// What a part is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MediaKind {
    /// Octets: no parts of its own that the structure shows.
    Basic,
    /// Parts: [`Part::children`] (none, from some servers).
    Multipart,
    /// A message: [`Part::envelope`], and its body is the one child.
    Message,
}

impl BodyStructure {
    /// The whole message.
    pub fn root(&self) -> Part<'_> {
        Part { of: self, index: 0 }
    }

    /// All parts, each before its children.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = Part<'_>> {
        (0..self.nodes.len()).map(|index| Part { of: self, index })
    }

    /// Whether it came as BODYSTRUCTURE, with the fields that BODY leaves out.
    pub fn is_extended(&self) -> bool {
        self.extended
    }
}

impl PartialEq for BodyStructure {
    fn eq(&self, other: &Self) -> bool {
        self.extended == other.extended && self.parts().eq(other.parts())
    }
}

impl Eq for BodyStructure {}

impl fmt::Debug for BodyStructure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts()).finish()
    }
}

/// One part of a [`BodyStructure`].
#[derive(Clone, Copy)]
pub struct Part<'a> {
    of: &'a BodyStructure,
    index: usize,
}

/// A string of the structure; `None` for NIL or absent.
type Nstring<'a> = Option<Cow<'a, [u8]>>;

impl<'a> Part<'a> {
    pub(crate) fn node(self) -> &'a Node {
        &self.of.nodes[self.index]
    }

    fn text(self, span: Span) -> Nstring<'a> {
        span.of(&self.of.bytes)
    }

    fn pairs(self, (start, end): (u32, u32)) -> impl ExactSizeIterator<Item = (Cow<'a, [u8]>, Cow<'a, [u8]>)> {
        let pairs = &self.of.pairs[start as usize..end as usize];
        pairs
            .iter()
            .map(move |&(name, value)| (self.text(name).unwrap_or_default(), self.text(value).unwrap_or_default()))
    }

    /// What it is made of.
    pub fn kind(self) -> MediaKind {
        match self.node().kind {
            NodeKind::Basic => MediaKind::Basic,
            NodeKind::Multipart => MediaKind::Multipart,
            NodeKind::Message(_) => MediaKind::Message,
        }
    }

    /// The parts directly inside.
    pub fn children(self) -> impl Iterator<Item = Part<'a>> {
        let end = self.node().end as usize;
        let mut next = self.index + 1;
        core::iter::from_fn(move || {
            let child = (next < end).then_some(Part { of: self.of, index: next })?;
            next = child.node().end as usize;
            Some(child)
        })
    }

    /// `text` of text/plain; `multipart` for a multipart. Case as sent. NIL from some servers.
    pub fn media_type(self) -> Nstring<'a> {
        match self.node().kind {
            NodeKind::Multipart => Some(Cow::Borrowed(b"multipart")),
            NodeKind::Basic | NodeKind::Message(_) => self.text(self.node().media),
        }
    }

    /// `plain` of text/plain. Case as sent.
    pub fn media_subtype(self) -> Nstring<'a> {
        self.text(self.node().subtype)
    }

    /// Whether it is of that media type, without regard to case.
    pub fn is(self, media: &str, subtype: &str) -> bool {
        let same = |have: Nstring<'_>, want: &str| have.is_some_and(|have| have.eq_ignore_ascii_case(want.as_bytes()));
        same(self.media_type(), media) && same(self.media_subtype(), subtype)
    }

    /// The parameters of Content-Type; a NIL value is an empty one.
    pub fn params(self) -> impl ExactSizeIterator<Item = (Cow<'a, [u8]>, Cow<'a, [u8]>)> {
        self.pairs(self.node().params)
    }

    /// The parameter of Content-Type of that name, without regard to case.
    pub fn param(self, name: &str) -> Nstring<'a> {
        self.params().find(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Content-ID.
    pub fn id(self) -> Nstring<'a> {
        self.text(self.node().id)
    }

    /// Content-Description.
    pub fn description(self) -> Nstring<'a> {
        self.text(self.node().description)
    }

    /// Content-Transfer-Encoding. None for a multipart.
    pub fn encoding(self) -> Nstring<'a> {
        self.text(self.node().encoding)
    }

    /// Size in octets, in its transfer encoding. None for a multipart, and where the server sent nonsense.
    pub fn octets(self) -> Option<u64> {
        self.node().octets
    }

    /// Lines of a text or message part.
    pub fn lines(self) -> Option<u64> {
        self.node().lines
    }

    /// The envelope of a message part.
    pub fn envelope(self) -> Option<&'a Envelope> {
        match self.node().kind {
            NodeKind::Message(index) => Some(&self.of.envelopes[index as usize]),
            NodeKind::Basic | NodeKind::Multipart => None,
        }
    }

    /// Content-MD5.
    pub fn md5(self) -> Nstring<'a> {
        self.text(self.node().md5)
    }

    /// Content-Disposition.
    pub fn disposition(self) -> Option<Disposition<'a>> {
        let kind = self.text(self.node().disposition)?;
        Some(Disposition { kind, part: self })
    }

    /// Content-Language.
    pub fn languages(self) -> impl ExactSizeIterator<Item = Cow<'a, [u8]>> {
        self.pairs(self.node().languages).map(|(language, _)| language)
    }

    /// Content-Location.
    pub fn location(self) -> Nstring<'a> {
        self.text(self.node().location)
    }
}

impl PartialEq for Part<'_> {
    /// The same fields, and as many descendants.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.node(), other.node());
        self.kind() == other.kind()
            && a.end as usize - self.index == b.end as usize - other.index
            && self.media_type() == other.media_type()
            && self.media_subtype() == other.media_subtype()
            && self.params().eq(other.params())
            && self.id() == other.id()
            && self.description() == other.description()
            && self.encoding() == other.encoding()
            && self.octets() == other.octets()
            && self.lines() == other.lines()
            && self.envelope() == other.envelope()
            && self.md5() == other.md5()
            && self.disposition() == other.disposition()
            && self.languages().eq(other.languages())
            && self.location() == other.location()
    }
}

impl Eq for Part<'_> {}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |octets: Nstring<'_>| octets.map_or("NIL".into(), |o| alloc::format!("{}", o.escape_ascii()));
        let pair = |(name, value): (Cow<'_, [u8]>, Cow<'_, [u8]>)| {
            alloc::format!("{}={}", name.escape_ascii(), value.escape_ascii())
        };
        f.debug_struct("Part")
            .field("type", &alloc::format!("{}/{}", text(self.media_type()), text(self.media_subtype())))
            .field("params", &self.params().map(pair).collect::<Vec<_>>())
            .field("id", &text(self.id()))
            .field("encoding", &text(self.encoding()))
            .field("octets", &self.octets())
            .field("lines", &self.lines())
            .field("disposition", &self.disposition().map(|d| text(Some(d.kind))))
            .field("descendants", &(self.node().end as usize - self.index - 1))
            .finish()
    }
}

/// Content-Disposition of a part.
#[derive(Clone)]
pub struct Disposition<'a> {
    /// `attachment` or `inline`, usually.
    pub kind: Cow<'a, [u8]>,
    part: Part<'a>,
}

impl<'a> Disposition<'a> {
    /// Its parameters.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (Cow<'a, [u8]>, Cow<'a, [u8]>)> + use<'a> {
        self.part.pairs(self.part.node().disposition_params)
    }

    /// The parameter of that name, without regard to case.
    pub fn param(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.params().find(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

impl PartialEq for Disposition<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.params().eq(other.params())
    }
}

/// Parameters: names and values.
pub type Pairs<'a> = &'a [(&'a [u8], &'a [u8])];

/// The fields of one part, for [`BodyBuilder`]. `None` and empty are sent as NIL.
#[derive(Clone, Default, Debug)]
pub struct PartFields<'a> {
    /// `text` of text/plain. Not looked at for a multipart.
    pub media_type: &'a [u8],
    /// `plain` of text/plain.
    pub media_subtype: &'a [u8],
    /// Parameters of Content-Type.
    pub params: Pairs<'a>,
    /// Content-ID.
    pub id: Option<&'a [u8]>,
    /// Content-Description.
    pub description: Option<&'a [u8]>,
    /// Content-Transfer-Encoding; `7BIT` if `None`.
    pub encoding: Option<&'a [u8]>,
    /// Size in octets, in its transfer encoding.
    pub octets: u64,
    /// Lines, for text and message parts.
    pub lines: Option<u64>,
    /// Content-MD5.
    pub md5: Option<&'a [u8]>,
    /// Content-Disposition: kind and parameters.
    pub disposition: Option<(&'a [u8], Pairs<'a>)>,
    /// Content-Language.
    pub languages: &'a [&'a [u8]],
    /// Content-Location.
    pub location: Option<&'a [u8]>,
}

/// Builds a [`BodyStructure`], part by part, depth first.
///
/// [`BodyBuilder::multipart`] and [`BodyBuilder::message`] open a part, [`BodyBuilder::end`] closes it.
#[derive(Debug)]
pub struct BodyBuilder {
    store: BytesMut,
    nodes: Vec<Node>,
    pairs: Vec<(Span, Span)>,
    envelopes: Vec<Envelope>,
    open: Vec<usize>,
}

impl Default for BodyBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BodyBuilder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { store: BytesMut::new(), nodes: Vec::new(), pairs: Vec::new(), envelopes: Vec::new(), open: Vec::new() }
    }

    /// A part without parts.
    pub fn part(&mut self, fields: &PartFields<'_>) -> &mut Self {
        self.push(NodeKind::Basic, fields);
        self
    }

    /// A multipart; what follows until [`BodyBuilder::end`] is inside.
    pub fn multipart(&mut self, fields: &PartFields<'_>) -> &mut Self {
        let at = self.push(NodeKind::Multipart, fields);
        self.open.push(at);
        self
    }

    /// A message/rfc822 or message/global part; the one part that follows before [`BodyBuilder::end`] is its body.
    pub fn message(&mut self, fields: &PartFields<'_>, envelope: Envelope) -> &mut Self {
        self.envelopes.push(envelope);
        let at = self.push(NodeKind::Message(self.envelopes.len() as u32 - 1), fields);
        self.open.push(at);
        self
    }

    /// Closes the innermost open part.
    ///
    /// # Panics
    /// If none is open.
    pub fn end(&mut self) -> &mut Self {
        let at = self.open.pop().expect("end() without an open part");
        self.nodes[at].end = self.nodes.len() as u32;
        self
    }

    /// The structure. Parts still open are closed. With `extended` it is a BODYSTRUCTURE, else a BODY.
    ///
    /// # Panics
    /// If there is not exactly one part at the top.
    pub fn build(mut self, extended: bool) -> BodyStructure {
        while !self.open.is_empty() {
            self.end();
        }
        let whole = self.nodes.first().is_some_and(|root| root.end as usize == self.nodes.len());
        assert!(whole, "a body has exactly one part at the top");
        let Self { store, nodes, pairs, envelopes, .. } = self;
        BodyStructure { bytes: store.freeze(), nodes, pairs, envelopes, extended }
    }

    fn push(&mut self, kind: NodeKind, fields: &PartFields<'_>) -> usize {
        let mut keep = |text: Option<&[u8]>| Span::keep(text, &mut self.store);
        let basic = kind != NodeKind::Multipart;
        let mut node = Node {
            kind,
            end: self.nodes.len() as u32 + 1,
            media: if basic { keep(Some(fields.media_type)) } else { Span::NIL },
            subtype: keep(Some(fields.media_subtype)),
            id: if basic { keep(fields.id) } else { Span::NIL },
            description: if basic { keep(fields.description) } else { Span::NIL },
            encoding: if basic { keep(Some(fields.encoding.unwrap_or(b"7BIT"))) } else { Span::NIL },
            octets: basic.then_some(fields.octets),
            lines: if basic { fields.lines } else { None },
            md5: if basic { keep(fields.md5) } else { Span::NIL },
            disposition: keep(fields.disposition.map(|(kind, _)| kind)),
            location: keep(fields.location),
            ..Node::EMPTY
        };
        let pairs = &mut self.pairs;
        let mut keep_pairs = |list: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>| {
            let start = pairs.len() as u32;
            for (name, value) in list {
                pairs.push((keep(Some(name)), keep(value)));
            }
            (start, pairs.len() as u32)
        };
        node.params = keep_pairs(&mut fields.params.iter().map(|&(name, value)| (name, Some(value))));
        let of_disposition = fields.disposition.map_or(&[][..], |(_, params)| params);
        node.disposition_params = keep_pairs(&mut of_disposition.iter().map(|&(name, value)| (name, Some(value))));
        node.languages = keep_pairs(&mut fields.languages.iter().map(|&language| (language, None)));
        self.nodes.push(node);
        self.nodes.len() - 1
    }
}
