//! Which octets `BODY[section]<partial>` means (RFC 9051, 6.4.5.1).

use std::ops::Range;

use bytes::Bytes;
use postrider_imap::wire::{Partial, Section, SectionText};

use crate::header::{fields, is_blank};
use crate::structure::{Kind, Structure};

/// Where the octets of a section are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Located<'a> {
    /// These octets of the message, as they are.
    Octets(Range<u64>),
    /// Some fields of a header: read the octets of the header, and give them to [`Selection::select`].
    Fields {
        /// The header in the octets of the message, its blank line included.
        header: Range<u64>,
        /// Which of its fields.
        selection: Selection<'a>,
    },
}

impl Structure {
    /// Where the octets of a section are; `None` if the message has no such part, which FETCH answers with NIL.
    ///
    /// Without part numbers HEADER and TEXT are those of the message; with them, those of the message inside a
    /// message/rfc822 part, and of no other part. MIME is the header of the part itself; of the part 1 of a message that
    /// is no multipart it is the header of the message.
    pub fn section<'a>(&self, section: &'a Section) -> Option<Located<'a>> {
        let part = if section.part.is_empty() { None } else { Some(self.find(&section.part)?) };
        let Some(text) = &section.text else {
            return Some(Located::Octets(part.map_or(0..self.size, |part| self.parts[part].body.clone())));
        };
        let message = match part {
            None => Some(0),
            Some(part) => (self.parts[part].kind == Kind::Message).then_some(part + 1),
        };
        let header = |of: usize| self.parts[of].header.clone();
        let some_of =
            |names, not| Some(Located::Fields { header: header(message?), selection: Selection { names, not } });
        match text {
            SectionText::Header => Some(Located::Octets(header(message?))),
            SectionText::HeaderFields(names) => some_of(names, false),
            SectionText::HeaderFieldsNot(names) => some_of(names, true),
            SectionText::Text => Some(Located::Octets(self.parts[message?].body.clone())),
            SectionText::Mime => Some(Located::Octets(header(part?))),
        }
    }
}

/// A choice of header fields by name: HEADER.FIELDS or HEADER.FIELDS.NOT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Selection<'a> {
    names: &'a [Bytes],
    not: bool,
}

impl Selection<'_> {
    /// The chosen fields of a header block, as they stand there and in that order, and the blank line if the header has
    /// one. Lines that belong to no field are left out.
    pub fn select(&self, header: &[u8]) -> Vec<u8> {
        let mut chosen = Vec::new();
        let mut end = 0;
        for field in fields(header) {
            let named = self.names.iter().any(|name| name.eq_ignore_ascii_case(field.name));
            if named != self.not {
                chosen.extend_from_slice(field.octets);
            }
            end = field.octets.as_ptr() as usize - header.as_ptr() as usize + field.octets.len();
        }
        // What is left after the last field: the blank line, perhaps after some that belong to no field.
        let last = header[end..].split_inclusive(|&b| b == b'\n').next_back();
        chosen.extend_from_slice(last.filter(|line| is_blank(line)).unwrap_or_default());
        chosen
    }
}

/// The part of `octets`, a range of the message, that a partial fetch wants: never beyond its end, perhaps empty.
pub fn window(octets: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(Partial { origin, length }) = partial else { return octets };
    let start = octets.start.saturating_add(origin).min(octets.end);
    start..start.saturating_add(length).min(octets.end)
}

/// As [`window`], of octets at hand, such as those of [`Selection::select`].
pub fn cut(octets: &[u8], partial: Option<Partial>) -> &[u8] {
    let Range { start, end } = window(0..octets.len() as u64, partial);
    // Both are at most the length of the slice.
    &octets[start as usize..end as usize]
}
