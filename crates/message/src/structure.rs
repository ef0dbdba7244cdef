//! What a message is made of.

use std::ops::Range;

use postrider_imap::wire::Envelope;

use crate::content::Content;

/// The parts of a message and where they lie in its octets. Parts stand in the order of the message; the first is the
/// message itself, a container stands before what it contains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Structure {
    pub(crate) size: u64,
    pub(crate) whole: bool,
    pub(crate) parts: Vec<Part>,
}

/// One part: a header, a body, and for containers the parts in that body.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Part {
    /// Its header in the octets of the message, the blank line included.
    pub header: Range<u64>,
    /// Its body, still encoded. The line end before a boundary is not part of it (RFC 2046, 5.1.1).
    pub body: Range<u64>,
    /// Line ends in the body.
    pub lines: u64,
    /// How the body was taken.
    pub kind: Kind,
    /// What its header says of the body.
    pub content: Content,
    /// The ENVELOPE, if this is a message: the outermost one, or the only child of a [`Kind::Message`].
    pub envelope: Option<Box<Envelope>>,
    /// The container it is in.
    pub parent: Option<u32>,
    /// One past the last part inside of it: its own index + 1 for a leaf.
    pub(crate) end: u32,
}

/// What a body was taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Text, of any subtype.
    Text,
    /// Anything that is not taken apart, also containers that cannot be: no boundary, nested too deep, encoded.
    Basic,
    /// A multipart whose parts are the children; it may have none.
    Multipart,
    /// A message inside the message, which is the one child.
    Message,
}

impl Structure {
    /// Octets in the message.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether all of it was taken apart; false if one of the [`Limits`](crate::Limits) left something unread.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// All parts, containers before their contents. Never empty.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The message itself.
    pub fn root(&self) -> &Part {
        &self.parts[0]
    }

    /// The ENVELOPE of the message (RFC 9051, 7.5.2).
    pub fn envelope(&self) -> &Envelope {
        self.parts[0].envelope.as_deref().expect("the scanner gives every message an envelope")
    }

    /// The indices of the parts directly inside of part `index`.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn children(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.parts[index].end as usize;
        let first = Some(index + 1).filter(|&child| child < end);
        std::iter::successors(first, move |&child| Some(self.parts[child].end as usize).filter(|&next| next < end))
    }

    /// The part with that number (RFC 9051, 6.4.5.1), as an index into [`parts`](Self::parts). A message that is not a
    /// multipart is its own part 1.
    pub fn find(&self, number: &[u32]) -> Option<usize> {
        let mut at = None;
        for &n in number {
            let container = match at {
                None => 0,
                Some(index) => self.numbered_in(index)?,
            };
            at = Some(match self.parts[container].kind {
                Kind::Multipart => self.children(container).nth((n as usize).checked_sub(1)?)?,
                Kind::Message | Kind::Text | Kind::Basic if n == 1 => container,
                Kind::Message | Kind::Text | Kind::Basic => return None,
            });
        }
        at
    }

    /// Where the parts numbered inside of part `index` are.
    fn numbered_in(&self, index: usize) -> Option<usize> {
        match self.parts[index].kind {
            Kind::Multipart => Some(index),
            Kind::Message => Some(index + 1),
            Kind::Text | Kind::Basic => None,
        }
    }
}
