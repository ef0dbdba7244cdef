//! One pass over the octets of a message, whole or in pieces, that finds its parts.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem};

use crate::content::Content;
use crate::envelope;
use crate::header::{field_name, is_blank};
use crate::limits::Limits;
use crate::structure::{Kind, Part, Structure};

/// How much of a line is looked at to say what it is. A boundary has at most 70 octets (RFC 2046, 5.1.1).
const LINE_LOOK: usize = 1024;

/// The longest boundary that is taken for one: longer than any legal one, short enough for [`LINE_LOOK`].
const LONGEST_BOUNDARY: usize = 512;

/// Finds the parts of a message that lies in memory.
pub fn scan(message: &[u8]) -> Structure {
    let mut scanner = Scanner::new(Limits::default());
    scanner.push(message);
    scanner.finish()
}

/// Finds the parts of a message as it passes by in pieces of any size. Each octet is looked at once, wherever the
/// pieces end; the result does not depend on it. Keeps the header block it is in and what has been learnt, no bodies:
/// the memory is bounded by [`Limits`], whatever the size of the message.
///
/// Nothing is an error. Lines may end in CRLF or LF; a header that goes over into the body without a blank line ends
/// where the first line comes that cannot be in a header; a missing last boundary is supplied by the end of
/// the container or of the message.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    parts: Vec<Part>,
    /// The containers around the current place, outermost first.
    open: Vec<Open>,
    /// How many of those have a boundary that is still awaited.
    awaited: usize,
    /// The part whose body this is, unless it is a container's own text (preamble, epilogue).
    leaf: Option<usize>,
    state: State,
    /// Octets seen.
    offset: u64,
    /// LFs seen.
    newlines: u64,
    /// The last octet seen.
    last: u8,
    /// The length of the line end before the current line: 2, 1, or 0 at the start.
    line_end: u64,
    /// The first octets of the current line, if a piece ended inside it, at most [`LINE_LOOK`].
    line: Vec<u8>,
    /// How many octets of the current line have passed.
    line_seen: u64,
    /// The header block being read, as far as it will be parsed.
    block: Vec<u8>,
    /// How long `block` was when the current line began.
    block_before_line: usize,
    /// Octets of header blocks parsed so far.
    parsed: usize,
    whole: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In the header of the last part.
    Header,
    /// In a body, at the start of a line.
    LineStart,
    /// In a body, in a line that began with a hyphen.
    Hyphen,
    /// In a body, in a line that is no boundary.
    Inside,
}

#[derive(Debug)]
struct Open {
    part: usize,
    /// Empty for a message.
    boundary: Vec<u8>,
    /// Its last boundary has been seen.
    closed: bool,
    digest: bool,
}

/// What a line in a header is.
enum Line {
    Header,
    Blank,
    Boundary { open: usize, last: bool },
    Body,
}

impl Scanner {
    /// At the first octet of a message.
    pub fn new(limits: Limits) -> Self {
        let mut scanner = Self {
            limits,
            parts: Vec::new(),
            open: Vec::new(),
            awaited: 0,
            leaf: None,
            state: State::Header,
            offset: 0,
            newlines: 0,
            last: 0,
            line_end: 0,
            line: Vec::new(),
            line_seen: 0,
            block: Vec::new(),
            block_before_line: 0,
            parsed: 0,
            whole: true,
        };
        scanner.begin_part(0);
        scanner
    }

    /// The next octets of the message.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Header => self.header(bytes),
                State::LineStart if self.awaited > 0 && bytes[0] == b'-' => {
                    self.state = State::Hyphen;
                    0
                }
                State::LineStart | State::Inside => self.body(bytes),
                State::Hyphen => self.hyphen(bytes),
            };
            bytes = &bytes[used..];
        }
    }

    /// Octets pushed so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The message is over.
    pub fn finish(mut self) -> Structure {
        if self.line_seen > 0 {
            let line = std::mem::take(&mut self.line);
            let start = self.offset - self.line_seen;
            match self.state {
                State::Header => self.header_line(&line, start, self.offset, false),
                State::Hyphen => {
                    if let Some((open, last)) = self.boundary(&line, self.line_seen) {
                        self.at_boundary(open, last, start, self.offset);
                    }
                }
                State::LineStart | State::Inside => {}
            }
        }
        while self.state == State::Header {
            self.end_header(self.offset, self.newlines);
        }
        self.close_leaf(self.offset, self.newlines);
        while !self.open.is_empty() {
            self.close_container(self.offset, self.newlines);
        }
        Structure { size: self.offset, whole: self.whole, parts: self.parts }
    }

    /// Counts `bytes` as seen; `lf` says whether they end a line.
    fn advance(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        if last == b'\n' {
            let before = if bytes.len() > 1 { bytes[bytes.len() - 2] } else { self.last };
            self.line_end = if before == b'\r' { 2 } else { 1 };
        }
        self.last = last;
        self.offset += bytes.len() as u64;
    }

    // Bodies.

    /// Passes over a body up to the next line that could be a boundary, and says how many octets that was.
    fn body(&mut self, bytes: &[u8]) -> usize {
        let found = if self.awaited > 0 { memmem::find(bytes, b"\n--").map(|lf| lf + 1) } else { None };
        let passed = &bytes[..found.unwrap_or(bytes.len())];
        self.newlines += memchr_iter(b'\n', passed).count() as u64;
        self.state = State::Inside;
        match passed {
            [.., b'\n'] => {
                self.advance(passed);
                self.state = State::LineStart;
            }
            [line @ .., b'-'] if self.awaited > 0 && line.last() == Some(&b'\n') => {
                self.advance(line);
                self.advance(b"-");
                self.state = State::Hyphen;
                self.line.push(b'-');
                self.line_seen = 1;
            }
            passed => self.advance(passed),
        }
        passed.len()
    }

    /// Goes on in a line that began with a hyphen.
    fn hyphen(&mut self, bytes: &[u8]) -> usize {
        let lf = memchr(b'\n', bytes);
        let piece = &bytes[..lf.map_or(bytes.len(), |lf| lf + 1)];
        let start = self.offset - self.line_seen;
        let length = self.line_seen + piece.len() as u64;
        if lf.is_none() {
            self.keep_line(piece);
            self.advance(piece);
            return piece.len();
        }
        let boundary = if self.line_seen == 0 {
            self.boundary(piece, length)
        } else {
            self.keep_line(piece);
            let line = std::mem::take(&mut self.line);
            let boundary = self.boundary(&line, length);
            self.line = line;
            boundary
        };
        self.forget_line();
        if let Some((open, last)) = boundary {
            self.at_boundary(open, last, start, start + length);
        } else {
            self.state = State::LineStart;
        }
        self.newlines += 1;
        self.advance(piece);
        if boundary.is_some() && self.state == State::Header {
            self.block_before_line = 0;
        }
        piece.len()
    }

    /// Keeps what will be looked at of a line that is not complete.
    fn keep_line(&mut self, piece: &[u8]) {
        let room = LINE_LOOK.saturating_sub(self.line.len()).min(piece.len());
        self.line.extend_from_slice(&piece[..room]);
        self.line_seen += piece.len() as u64;
    }

    fn forget_line(&mut self) {
        self.line.clear();
        self.line_seen = 0;
    }

    /// Whether a line, of `length` octets, is the boundary of one of the open multiparts, the innermost first, and
    /// whether it is the last one. The boundary must be all of the line but for space at the end: RFC 2046, 5.1.1 is
    /// content with a prefix, but then `--part` would end at `--part-2`.
    fn boundary(&self, line: &[u8], length: u64) -> Option<(usize, bool)> {
        if self.awaited == 0 || length > LINE_LOOK as u64 {
            return None;
        }
        let line = line.strip_prefix(b"--")?.trim_ascii_end();
        let last = line.strip_suffix(b"--");
        self.open.iter().enumerate().rev().filter(|(_, open)| !open.closed && !open.boundary.is_empty()).find_map(
            |(index, open)| {
                if line == open.boundary {
                    Some((index, false))
                } else {
                    (last == Some(&open.boundary)).then_some((index, true))
                }
            },
        )
    }

    /// A boundary of the container `open` stands at `start..end`.
    fn at_boundary(&mut self, open: usize, last: bool, start: u64, end: u64) {
        // The line end before a boundary belongs to the boundary, unless it already ended a header.
        let header_end = self.parts.last().expect("a message has a part").body.start;
        let body_end = (start - self.line_end).max(header_end);
        let newlines = self.newlines - u64::from(body_end < start);
        self.close_leaf(body_end, newlines);
        while self.open.len() > open + 1 {
            self.close_container(body_end, newlines);
        }
        self.state = State::LineStart;
        if last {
            self.open[open].closed = true;
            self.awaited -= 1;
        } else if self.parts.len() < self.limits.parts {
            self.begin_part(end);
        } else {
            self.whole = false;
        }
    }

    fn close_leaf(&mut self, end: u64, newlines: u64) {
        if let Some(leaf) = self.leaf.take() {
            self.parts[leaf].close(end, newlines);
        }
    }

    fn close_container(&mut self, end: u64, newlines: u64) {
        let Some(open) = self.open.pop() else { return };
        if !open.closed && !open.boundary.is_empty() {
            self.awaited -= 1;
        }
        let next = self.parts.len() as u32;
        let part = &mut self.parts[open.part];
        part.close(end, newlines);
        part.end = next;
    }

    // Headers.

    /// A part begins with its header at `start`.
    fn begin_part(&mut self, start: u64) {
        let parent = self.open.last().map(|open| open.part as u32);
        let end = self.parts.len() as u32 + 1;
        self.parts.push(Part {
            header: start..start,
            body: start..start,
            lines: 0,
            kind: Kind::Basic,
            content: Content::default(),
            envelope: None,
            parent,
            end,
        });
        self.state = State::Header;
        self.block.clear();
        self.block_before_line = 0;
    }

    /// Takes one line of a header, or a piece of one, and says how many octets that was.
    fn header(&mut self, bytes: &[u8]) -> usize {
        let lf = memchr(b'\n', bytes);
        let piece = &bytes[..lf.map_or(bytes.len(), |lf| lf + 1)];
        let start = self.offset - self.line_seen;
        let end = self.offset + piece.len() as u64;
        if lf.is_none() {
            if self.line_seen == 0 {
                self.block_before_line = self.block.len();
            }
            self.keep_line(piece);
            self.keep_header(piece);
        } else if self.line_seen == 0 {
            self.block_before_line = self.block.len();
            self.keep_header(piece);
            self.header_line(&piece[..piece.len().min(LINE_LOOK)], start, end, true);
            self.newlines += 1;
        } else {
            self.keep_line(piece);
            self.keep_header(piece);
            let line = std::mem::take(&mut self.line);
            self.header_line(&line, start, end, true);
            self.line = line;
            self.forget_line();
            self.newlines += 1;
        }
        self.advance(piece);
        piece.len()
    }

    /// Keeps header octets for parsing, as far as the limits go.
    fn keep_header(&mut self, piece: &[u8]) {
        let limit = self.limits.header.min(self.limits.headers.saturating_sub(self.parsed));
        let room = limit.saturating_sub(self.block.len()).min(piece.len());
        self.block.extend_from_slice(&piece[..room]);
        self.whole &= room == piece.len();
    }

    /// Judges the line at `start..end`, of which `line` is the beginning. `ended` says that it has a line end.
    fn header_line(&mut self, line: &[u8], start: u64, end: u64, ended: bool) {
        // At most twice: a body without any header line may be that of a message inside.
        while self.state == State::Header {
            match self.judge(line, start, end) {
                Line::Header => return,
                Line::Blank => {
                    self.block.truncate(self.block_before_line);
                    self.end_header(end, self.newlines + u64::from(ended));
                    return;
                }
                Line::Boundary { open, last } => {
                    self.block.truncate(self.block_before_line);
                    while self.state == State::Header {
                        self.end_header(start, self.newlines);
                    }
                    self.at_boundary(open, last, start, end);
                    return;
                }
                Line::Body => {
                    self.block.truncate(self.block_before_line);
                    self.end_header(start, self.newlines);
                }
            }
        }
    }

    fn judge(&self, line: &[u8], start: u64, end: u64) -> Line {
        if is_blank(line) {
            return Line::Blank;
        }
        if let Some((open, last)) = self.boundary(line, end - start) {
            return Line::Boundary { open, last };
        }
        let first = self.parts.last().is_some_and(|part| part.header.start == start);
        let is_header = match line {
            [b' ' | b'\t', ..] => !first,
            // What mbox files put before a message and some programs leave there.
            [b'F', b'r', b'o', b'm', b' ', ..] | [b'>', b'F', b'r', b'o', b'm', b' ', ..] => first,
            line => field_name(line).is_some(),
        };
        if is_header { Line::Header } else { Line::Body }
    }

    /// The header of the last part is over and its body begins at `body`, when `newlines` LFs have passed.
    fn end_header(&mut self, body: u64, newlines: u64) {
        let index = self.parts.len() - 1;
        let room = self.parts.len() < self.limits.parts;
        self.parsed += self.block.len();
        let in_digest = self.open.last().is_some_and(|open| open.digest);
        let is_message =
            self.parts[index].parent.is_none_or(|parent| self.parts[parent as usize].kind == Kind::Message);
        let part = &mut self.parts[index];
        part.header.end = body;
        part.body = body..body;
        // Where counting began; `close` turns it into a count.
        part.lines = newlines;
        part.content = Content::parse(&self.block, in_digest, &self.limits);
        if is_message {
            part.envelope = Some(Box::new(envelope::parse(&self.block, &self.limits)));
        }
        self.block.clear();
        self.block_before_line = 0;
        self.leaf = None;
        self.state = State::LineStart;

        let deeper = self.open.len() < self.limits.depth;
        let content = &part.content;
        let boundary = content.boundary().filter(|b| !b.is_empty() && b.len() <= LONGEST_BOUNDARY);
        if content.is("multipart")
            && deeper
            && let Some(boundary) = boundary
        {
            let boundary = boundary.to_vec();
            let digest = content.subtype().eq_ignore_ascii_case(b"digest");
            part.kind = Kind::Multipart;
            self.open.push(Open { part: index, boundary, closed: false, digest });
            self.awaited += 1;
        } else if content.is_message() && deeper && room {
            part.kind = Kind::Message;
            self.open.push(Open { part: index, boundary: Vec::new(), closed: false, digest: false });
            self.begin_part(body);
        } else {
            self.whole &= deeper || !(content.is("multipart") || content.is_message());
            part.kind = if content.is("text") { Kind::Text } else { Kind::Basic };
            self.leaf = Some(index);
        }
    }
}

impl Part {
    /// The body ends at `end`, when `newlines` LFs have passed.
    fn close(&mut self, end: u64, newlines: u64) {
        let Range { start, .. } = self.body;
        self.body.end = end.max(start);
        self.lines = newlines.saturating_sub(self.lines);
    }
}
