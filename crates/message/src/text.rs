//! Looking for strings in the decoded texts of a message, read by range.

use std::collections::VecDeque;
use std::ops::Range;

use memchr::memmem::Finder;

use crate::charset;
use crate::content::Content;
use crate::header::{fields, unfold};
use crate::structure::{Kind, Structure};
use crate::transfer::Decoder;
use crate::words;

/// How much decoded text is looked through at a time.
const PIECE: usize = 64 << 10;
/// How long a line may be before it is cut anyway.
const LONGEST_LINE: usize = 1 << 20;
/// How much of one header is looked through.
const LONGEST_HEADER: usize = 256 << 10;

/// Text without the difference of case: Unicode's simple lower case. Accents stay.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().flat_map(char::to_lowercase).collect() }
}

/// What a BODY or TEXT key looks for.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    finder: Finder<'static>,
    /// TEXT: in headers, too.
    in_headers: bool,
}

impl Needle {
    /// `text` must be folded.
    pub(crate) fn new(text: &str, in_headers: bool) -> Self {
        Self { finder: Finder::new(text.as_bytes()).into_owned(), in_headers }
    }
}

/// Which of the strings of a query are in the texts of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hits {
    found: Vec<bool>,
}

impl Hits {
    pub(crate) fn has(&self, needle: usize) -> bool {
        self.found.get(needle).copied().unwrap_or(false)
    }
}

/// Looks for the BODY and TEXT strings of a query in a message. Texts are those parts that are text, and of other
/// messages' reports (message/delivery-status and the like), without transfer encoding and charset; headers, with encoded
/// words decoded, count for TEXT, and those of messages inside for BODY, too. HTML is looked at with its tags.
///
/// Read the octets that [`TextScan::wants`] names, as many as you like from their start, and [`TextScan::push`] them;
/// [`TextScan::finish`] when it wants nothing more. At most about 1 MiB is held.
#[derive(Debug)]
pub struct TextScan<'a> {
    needles: &'a [Needle],
    found: Vec<bool>,
    places: VecDeque<Place<'a>>,
    /// Octets of a header, or decoded ones of a text, not looked at yet.
    pending: Vec<u8>,
    decoder: Option<Decoder>,
    /// The end of the folded text looked at last: a string may begin there.
    folded: String,
    /// Octets of the longest needle.
    longest: usize,
}

/// Something to look through, and how much of it is left.
#[derive(Debug)]
struct Place<'a> {
    octets: Range<u64>,
    text: Text<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Text<'a> {
    /// For TEXT keys alone, unless it is inside of the body.
    Header {
        inside: bool,
    },
    Body(&'a Content),
}

impl<'a> TextScan<'a> {
    pub(crate) fn new(needles: &'a [Needle], structure: &'a Structure) -> Self {
        let mut places = VecDeque::new();
        let any_in_headers = needles.iter().any(|needle| needle.in_headers);
        for (index, part) in structure.parts().iter().enumerate() {
            let inside = index > 0 && part.envelope.is_some();
            if any_in_headers || inside {
                places.push_back(Place { octets: part.header.clone(), text: Text::Header { inside } });
            }
            let is_text = match part.kind {
                Kind::Text => true,
                Kind::Basic => part.content.is("message"),
                Kind::Multipart | Kind::Message => false,
            };
            if is_text {
                places.push_back(Place { octets: part.body.clone(), text: Text::Body(&part.content) });
            }
        }
        places.retain(|place| !place.octets.is_empty());
        let longest = needles.iter().map(|needle| needle.finder.needle().len()).max().unwrap_or(0);
        // Everything contains the empty string.
        let found = needles.iter().map(|needle| needle.finder.needle().is_empty()).collect();
        Self { needles, found, places, pending: Vec::new(), decoder: None, folded: String::new(), longest }
    }

    /// The octets of the message to be pushed next; `None` if no more are needed.
    pub fn wants(&self) -> Option<Range<u64>> {
        let all = self.found.iter().all(|&found| found);
        self.places.front().filter(|_| !all).map(|place| place.octets.clone())
    }

    /// Takes octets from the start of what [`wants`](Self::wants) says; more than that are not looked at.
    pub fn push(&mut self, octets: &[u8]) {
        let Some(place) = self.places.front_mut() else { return };
        let length = usize::try_from(place.octets.end - place.octets.start).unwrap_or(usize::MAX).min(octets.len());
        let octets = &octets[..length];
        place.octets.start += length as u64;
        let (text, is_over) = (place.text, place.octets.is_empty());
        match text {
            Text::Header { inside } => {
                let room = LONGEST_HEADER.saturating_sub(self.pending.len()).min(length);
                self.pending.extend_from_slice(&octets[..room]);
                if is_over {
                    self.look_at_header(inside);
                }
            }
            Text::Body(content) => {
                for octets in octets.chunks(PIECE) {
                    let decoder = self.decoder.get_or_insert_with(|| Decoder::of(content.transfer_encoding()));
                    decoder.push(octets, &mut self.pending);
                    self.look_at_body(content.parameter("charset").unwrap_or_default(), false);
                }
                if is_over {
                    if let Some(mut decoder) = self.decoder.take() {
                        decoder.finish(&mut self.pending);
                    }
                    self.look_at_body(content.parameter("charset").unwrap_or_default(), true);
                }
            }
        }
        if is_over {
            self.places.pop_front();
            self.pending.clear();
            self.folded.clear();
        }
    }

    /// What has been found.
    pub fn finish(self) -> Hits {
        Hits { found: self.found }
    }

    fn look_at_header(&mut self, inside: bool) {
        let mut text = String::with_capacity(self.pending.len());
        for field in fields(&self.pending) {
            text.push_str(&String::from_utf8_lossy(field.name));
            text.push_str(": ");
            text.push_str(&words::decode(&unfold(field.value)));
            text.push('\n');
        }
        self.folded = fold(&text);
        self.look(|needle| needle.in_headers || inside);
    }

    /// Looks at the pending text as far as it has complete lines, or to its end.
    fn look_at_body(&mut self, charset: &[u8], is_over: bool) {
        let end = if is_over {
            self.pending.len()
        } else if self.pending.len() < PIECE {
            return;
        } else if !charset::has_ascii_lines(charset) {
            self.pending.len() & !3
        } else {
            match memchr::memrchr(b'\n', &self.pending) {
                Some(lf) => lf + 1,
                None if self.pending.len() < LONGEST_LINE => return,
                None => self.pending.len(),
            }
        };
        self.folded.push_str(&fold(&charset::to_utf8(charset, &self.pending[..end])));
        self.pending.drain(..end);
        self.look(|_| true);
        let mut keep = self.folded.len().saturating_sub(self.longest.saturating_sub(1));
        while !self.folded.is_char_boundary(keep) {
            keep -= 1;
        }
        self.folded.drain(..keep);
    }

    fn look(&mut self, fits: impl Fn(&Needle) -> bool) {
        for (needle, found) in self.needles.iter().zip(&mut self.found) {
            if !*found && fits(needle) {
                *found = needle.finder.find(self.folded.as_bytes()).is_some();
            }
        }
    }
}
