//! The message on the wire: where it ends, and the dots in between (RFC 5321, 4.1.1.4 and 4.5.2).
//!
//! Only CR LF `.` CR LF ends a message. A CR or LF alone never does, and by default the message that holds one is
//! refused: two servers that disagree about where a message ends let its sender forge another ("SMTP smuggling").

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// What becomes of CR and LF that do not stand together, and of NUL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BareNewlines {
    /// The message is refused. The default.
    #[default]
    Refuse,
    /// CR alone and LF alone become CR LF, NUL is left out. They never end the message.
    Normalise,
}

/// Why a message's octets cannot be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadBody {
    /// CR without LF, or LF without CR.
    #[error("the message holds CR or LF alone")]
    BareNewline,
    /// The octet 0.
    #[error("the message holds NUL")]
    Nul,
    /// A line that is too long.
    #[error("the message holds a line of more than {limit} octets")]
    LineTooLong {
        /// The limit it broke, in octets without CRLF.
        limit: usize,
    },
}

/// Finds the end of a message and removes the dots that were added to its lines. Feed it in any pieces.
#[derive(Clone, Debug)]
pub struct DataReader {
    policy: BareNewlines,
    line_limit: usize,
    state: State,
    /// Octets of the unfinished line.
    line: usize,
    bad: Option<BadBody>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// After CR LF, or at the beginning.
    LineStart,
    /// Within a line.
    Line,
    /// After a CR that is not the one after a lone dot.
    Cr,
    /// After the dot at a line's start, which is removed.
    Dot,
    /// After that dot and a CR, which is held back.
    DotCr,
}

/// What [`DataReader::read`] did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataPart {
    /// How many octets it took: all, unless the message ended before.
    pub taken: usize,
    /// The part of the message in them.
    pub body: Body,
    /// Whether the message ended.
    pub ended: bool,
}

/// Part of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// The first so many octets of the input, as they are.
    Prefix(usize),
    /// Other octets.
    Rewritten(Vec<u8>),
}

impl DataReader {
    /// At the beginning of a message, after the reply 354. `line_limit` is the longest line, in octets without CRLF.
    pub fn new(policy: BareNewlines, line_limit: usize) -> Self {
        Self { policy, line_limit, state: State::LineStart, line: 0, bad: None }
    }

    /// Why the message must be refused, if it must. Nothing of it is given out any more then, but its end is found.
    pub fn bad(&self) -> Option<BadBody> {
        self.bad
    }

    /// Reads on.
    pub fn read(&mut self, input: &[u8]) -> DataPart {
        let before = (self.state, self.line);
        let mut part = self.scan(input);
        if self.bad.is_none() {
            let taken = &input[..part.taken];
            if let Err(bad) = clean(before.0, taken, part.ended) {
                match self.policy {
                    BareNewlines::Refuse => self.bad = Some(bad),
                    BareNewlines::Normalise => {
                        part.body = Body::Rewritten(normalise(before.0, taken));
                    }
                }
            }
        }
        if self.bad.is_some() {
            part.body = Body::Prefix(0);
        }
        part
    }

    /// Jumps from line end to line end.
    fn scan(&mut self, input: &[u8]) -> DataPart {
        let mut out = Vec::new();
        // Where the octets not given out yet begin, and where the dot is that may be the last one.
        let (mut run, mut dot) = (0, None);
        let (mut at, mut ended) = (0, false);
        while let Some(&octet) = input.get(at) {
            match self.state {
                State::LineStart if octet == b'.' => {
                    dot = Some(at);
                    at += 1;
                    self.state = State::Dot;
                }
                State::Dot if octet == b'\r' => {
                    at += 1;
                    self.state = State::DotCr;
                }
                State::DotCr if octet == b'\n' => {
                    at += 1;
                    ended = true;
                    break;
                }
                State::LineStart | State::Line | State::Cr | State::Dot | State::DotCr => {
                    if let Some(added) = dot.take() {
                        if out.capacity() == 0 {
                            out.reserve(input.len());
                        }
                        out.extend_from_slice(&input[run..added]);
                        run = added + 1;
                    }
                    let Some(found) = memchr::memchr(b'\n', &input[at..]) else {
                        self.grow(input.len() - at);
                        at = input.len();
                        self.state = if input.ends_with(b"\r") { State::Cr } else { State::Line };
                        break;
                    };
                    let lf = at + found;
                    let after_cr = if found == 0 { self.state == State::Cr } else { input[lf - 1] == b'\r' };
                    self.grow(found);
                    self.line = 0;
                    at = lf + 1;
                    self.state = if after_cr { State::LineStart } else { State::Line };
                }
            }
        }
        // The dot that may be the last one, and a CR after it, are held back.
        let end = match self.state {
            State::Dot | State::DotCr => dot.unwrap_or(0),
            State::LineStart | State::Line | State::Cr => at,
        };
        let body = if run == 0 {
            Body::Prefix(end)
        } else {
            out.extend_from_slice(&input[run..end]);
            Body::Rewritten(out)
        };
        DataPart { taken: at, body, ended }
    }

    fn grow(&mut self, octets: usize) {
        self.line = self.line.saturating_add(octets);
        // One more for the CR.
        if self.line > self.line_limit.saturating_add(1) && self.bad.is_none() {
            self.bad = Some(BadBody::LineTooLong { limit: self.line_limit });
        }
    }
}

/// Whether each CR has its LF and each LF its CR, and there is no NUL.
///
/// Counting is faster than looking: as many CR LF as CR and as LF.
fn clean(before: State, taken: &[u8], ended: bool) -> Result<(), BadBody> {
    let cr_before = matches!(before, State::Cr | State::DotCr);
    let (mut lf, mut crlf) = (0usize, 0usize);
    for at in memchr::memchr_iter(b'\n', taken) {
        lf += 1;
        crlf += usize::from(if at == 0 { cr_before } else { taken[at - 1] == b'\r' });
    }
    let cr = memchr::memchr_iter(b'\r', taken).count() + usize::from(cr_before);
    let open = if taken.is_empty() { cr_before } else { taken.ends_with(b"\r") };
    if lf != crlf || cr != crlf + usize::from(open && !ended) {
        return Err(BadBody::BareNewline);
    }
    if memchr::memchr(0, taken).is_some() {
        return Err(BadBody::Nul);
    }
    Ok(())
}

/// The same as [`DataReader::scan`], octet by octet, with every newline made CR LF.
fn normalise(mut state: State, taken: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(taken.len() + taken.len() / 8);
    for &octet in taken {
        // What was held back is given out, or made whole, by the octet that decides.
        state = match (state, octet) {
            (State::LineStart, b'.') => State::Dot,
            (State::Dot, b'\r') => State::DotCr,
            (State::DotCr, b'\n') => return out,
            (State::Cr, b'\n') => {
                // The CR was given out when it came.
                out.push(b'\n');
                State::LineStart
            }
            (before, octet) => {
                match before {
                    State::Cr => out.push(b'\n'),
                    State::DotCr => out.extend_from_slice(b"\r\n"),
                    State::LineStart | State::Line | State::Dot => {}
                }
                match octet {
                    b'\r' => {
                        out.push(b'\r');
                        State::Cr
                    }
                    b'\n' => {
                        out.extend_from_slice(b"\r\n");
                        State::Line
                    }
                    0 => State::Line,
                    _ => {
                        out.push(octet);
                        State::Line
                    }
                }
            }
        };
    }
    out
}

/// Adds dots to lines, and the end of the message. Feed it in any pieces.
#[derive(Clone, Debug)]
pub struct DataWriter {
    policy: BareNewlines,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    LineStart,
    Line,
    Cr,
}

/// Where [`DataWriter`] puts its octets.
pub(crate) trait Sink {
    fn put(&mut self, octets: &[u8]);
    fn put_shared(&mut self, octets: Bytes);
}

impl Sink for BytesMut {
    fn put(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }
    fn put_shared(&mut self, octets: Bytes) {
        self.extend_from_slice(&octets);
    }
}

impl DataWriter {
    /// At the beginning of a message.
    pub fn new(policy: BareNewlines) -> Self {
        Self { policy, at: At::LineStart }
    }

    /// Writes part of the message.
    ///
    /// # Errors
    /// [`BadBody`] if a CR or LF alone or NUL is among the octets and is not to be normalised. The message must be
    /// given up then: nothing more may be written.
    pub fn write(&mut self, octets: &[u8], out: &mut BytesMut) -> Result<(), BadBody> {
        self.put(octets, None, out)
    }

    /// Ends the message, with a line end if it has none.
    ///
    /// # Errors
    /// [`BadBody`] if the message ends with a CR that is not to be normalised.
    pub fn finish(self, out: &mut BytesMut) -> Result<(), BadBody> {
        self.end(out)
    }

    /// Writes `octets`; out of `shared`, which has the same octets, if there is one.
    pub(crate) fn put(&mut self, octets: &[u8], shared: Option<&Bytes>, out: &mut impl Sink) -> Result<(), BadBody> {
        if octets.is_empty() {
            return Ok(());
        }
        let before = match self.at {
            At::Cr => State::Cr,
            At::LineStart | At::Line => State::Line,
        };
        if let Err(bad) = clean(before, octets, false) {
            return match self.policy {
                BareNewlines::Refuse => Err(bad),
                BareNewlines::Normalise => {
                    let start = match self.at {
                        At::LineStart | At::Line => State::Line,
                        At::Cr => State::Cr,
                    };
                    self.put_clean(&normalise_plain(start, octets), None, out);
                    Ok(())
                }
            };
        }
        self.put_clean(octets, shared, out);
        Ok(())
    }

    fn put_clean(&mut self, octets: &[u8], shared: Option<&Bytes>, out: &mut impl Sink) {
        let mut emit = |from: usize, to: usize| match shared {
            Some(shared) => out.put_shared(shared.slice(from..to)),
            None => out.put(&octets[from..to]),
        };
        // A run ends after each dot at a line's start: the next run begins with that dot again.
        let mut run = 0;
        if self.at == At::LineStart && octets.first() == Some(&b'.') {
            emit(0, 1);
        }
        for lf in memchr::memchr_iter(b'\n', octets) {
            if octets.get(lf + 1) == Some(&b'.') {
                emit(run, lf + 2);
                run = lf + 1;
            }
        }
        emit(run, octets.len());
        self.at = match octets.last() {
            Some(b'\n') => At::LineStart,
            Some(b'\r') => At::Cr,
            Some(_) => At::Line,
            None => self.at,
        };
    }

    pub(crate) fn end(self, out: &mut impl Sink) -> Result<(), BadBody> {
        match (self.at, self.policy) {
            (At::LineStart, _) => out.put(b".\r\n"),
            (At::Line, _) => out.put(b"\r\n.\r\n"),
            (At::Cr, BareNewlines::Normalise) => out.put(b"\n.\r\n"),
            (At::Cr, BareNewlines::Refuse) => return Err(BadBody::BareNewline),
        }
        Ok(())
    }
}

/// Makes every newline CR LF and leaves NUL out, without any meaning of dots.
fn normalise_plain(mut state: State, octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 8);
    for &octet in octets {
        let after_cr = state == State::Cr;
        if after_cr && octet != b'\n' {
            out.push(b'\n');
        }
        state = State::Line;
        match octet {
            b'\n' if after_cr => out.push(b'\n'),
            b'\n' => out.extend_from_slice(b"\r\n"),
            b'\r' => {
                out.push(b'\r');
                state = State::Cr;
            }
            0 => {}
            _ => out.push(octet),
        }
    }
    out
}
