//! Where a command or a response ends.
//!
//! Both are lines, except that a line may end by announcing a literal, `{n}`, whose octets follow and after which
//! the command or response goes on (RFC 9051, 4.3). The [`Framer`] finds the ends; it looks at each octet once, however
//! the stream was cut, jumps over literals, and holds nothing but numbers.

use super::atom::Tag;

/// How large a command or response may be. What is larger ends the session: the rest of it cannot be told from
/// what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FrameLimits {
    /// Octets of one unit that are held: its lines and the literals in them, not those that are streamed.
    pub unit: usize,
    /// Literals in one unit, streamed or not.
    pub literals: u32,
}

impl FrameLimits {
    /// For commands: 64 KiB, 100 literals. RFC 9051, 4 wants lines of 8,192 octets at least.
    pub const COMMANDS: Self = Self { unit: 64 * 1024, literals: 100 };
    /// For responses: 4 MiB (a SEARCH that found half a million messages), 10,000 literals.
    pub const RESPONSES: Self = Self { unit: 4 * 1024 * 1024, literals: 10_000 };

    /// Others.
    pub const fn new(unit: usize, literals: u32) -> Self {
        Self { unit, literals }
    }
}

/// What is being framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Grammar {
    Commands,
    /// `{5}` at the end of the text of a response is only text.
    Responses,
}

/// What the input begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Not known before more has come.
    More,
    /// A command or response ends here: `len` octets, inline literals included, and then `end` octets of line end
    /// (2; 1 for LF alone). Take them off the input before the next call.
    Unit {
        /// Octets before the line end.
        len: usize,
        /// Octets of the line end.
        end: usize,
    },
    /// A literal is announced. Say what to do with it: [`Framer::inline`], or take `len` octets off the input
    /// and call [`Framer::stream`] or [`Framer::drop_unit`].
    Literal(Announced),
    /// So many octets of the streamed literal, to be taken off the input. May be 0 if it is `last`.
    Octets {
        /// How many.
        len: usize,
        /// The literal ends with them, and its unit goes on.
        last: bool,
    },
}

/// A literal that is about to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announced {
    /// Octets of the unit so far, up to and with the line end after `{n}`.
    pub len: usize,
    /// Octets of the literal.
    pub size: u64,
    /// The sender waits for a continuation request before it sends the octets. Says nothing in responses.
    pub waits: bool,
    /// It may hold NUL: `~{n}` (RFC 3516).
    pub binary: bool,
}

/// The input broke a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A unit is longer than [`FrameLimits::unit`].
    #[error("a command or response is longer than {0} octets")]
    TooLong(usize),
    /// A unit has more literals than [`FrameLimits::literals`].
    #[error("a command or response has more than {0} literals")]
    TooManyLiterals(u32),
    /// A literal's size is 2^63 or more.
    #[error("a literal has an impossible size")]
    LiteralSize,
}

/// Finds the ends of commands or responses in the octets that are there. See the module.
#[derive(Clone, Debug)]
pub struct Framer {
    grammar: Grammar,
    limits: FrameLimits,
    state: State,
    /// How far the input was looked at, or must not be looked at because it is a literal.
    scanned: usize,
    /// Where the current line begins.
    line: usize,
    literals: u32,
    /// Whether the unit's first line was looked at already.
    begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Line,
    Asked(Announced),
    Streaming(u64),
}

impl Framer {
    /// For what a server receives.
    pub fn commands(limits: FrameLimits) -> Self {
        Self::new(Grammar::Commands, limits)
    }

    /// For what a client receives.
    pub fn responses(limits: FrameLimits) -> Self {
        Self::new(Grammar::Responses, limits)
    }

    fn new(grammar: Grammar, limits: FrameLimits) -> Self {
        Self { grammar, limits, state: State::Line, scanned: 0, line: 0, literals: 0, begun: false }
    }

    /// Looks on. `input` is everything received and not yet taken off.
    ///
    /// # Errors
    /// [`FrameError`]; nothing after it can be framed.
    pub fn next(&mut self, input: &[u8]) -> Result<Frame, FrameError> {
        match self.state {
            State::Line => self.next_line(input),
            State::Asked(announced) => Ok(Frame::Literal(announced)),
            State::Streaming(left) => {
                let len = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                if len == 0 && left > 0 {
                    return Ok(Frame::More);
                }
                let left = left - len as u64;
                self.state = if left == 0 { State::Line } else { State::Streaming(left) };
                Ok(Frame::Octets { len, last: left == 0 })
            }
        }
    }

    fn next_line(&mut self, input: &[u8]) -> Result<Frame, FrameError> {
        let found = input.get(self.scanned..).and_then(|fresh| memchr::memchr(b'\n', fresh));
        let Some(found) = found else {
            self.scanned = self.scanned.max(input.len());
            return if input.len() > self.limits.unit {
                Err(FrameError::TooLong(self.limits.unit))
            } else {
                Ok(Frame::More)
            };
        };
        let lf = self.scanned + found;
        let end = if lf > self.line && input[lf - 1] == b'\r' { 2 } else { 1 };
        let len = lf + 1 - end;
        if len > self.limits.unit {
            return Err(FrameError::TooLong(self.limits.unit));
        }
        let line = &input[self.line..len];
        let free_text = !self.begun && self.grammar == Grammar::Responses && is_free_text(line);
        self.begun = true;
        if !free_text
            && line.last() == Some(&b'}')
            && let Some(literal) = literal_at_end(line)?
        {
            self.literals += 1;
            if self.literals > self.limits.literals {
                return Err(FrameError::TooManyLiterals(self.limits.literals));
            }
            let announced = Announced { len: lf + 1, ..literal };
            self.state = State::Asked(announced);
            return Ok(Frame::Literal(announced));
        }
        self.drop_unit();
        Ok(Frame::Unit { len, end })
    }

    /// Keeps the announced literal in the unit, if the unit stays within its limit. If not, says false, and the
    /// literal is still to be decided.
    ///
    /// # Panics
    /// If no literal was announced.
    #[must_use]
    pub fn inline(&mut self) -> bool {
        let announced = self.announced();
        let Some(end) = usize::try_from(announced.size).ok().and_then(|size| announced.len.checked_add(size)) else {
            return false;
        };
        if end > self.limits.unit {
            return false;
        }
        self.scanned = end;
        self.line = end;
        self.state = State::Line;
        true
    }

    /// Hands the announced literal out as it comes. The input now begins with its first octet.
    ///
    /// # Panics
    /// If no literal was announced.
    pub fn stream(&mut self) {
        self.state = State::Streaming(self.announced().size);
        self.scanned = 0;
        self.line = 0;
    }

    /// Begins a new unit at the start of the input: after a refused literal, which its sender will not send.
    pub fn drop_unit(&mut self) {
        self.state = State::Line;
        self.scanned = 0;
        self.line = 0;
        self.literals = 0;
        self.begun = false;
    }

    /// Whether a unit has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.begun || self.scanned > 0
    }

    fn announced(&self) -> Announced {
        match self.state {
            State::Asked(announced) => announced,
            State::Line | State::Streaming(_) => panic!("no literal was announced"),
        }
    }
}

/// Reads `{n}`, `{n+}`, `~{n}` and so on from the end of a line. `None` if it is something else.
fn literal_at_end(line: &[u8]) -> Result<Option<Announced>, FrameError> {
    let mut rest = &line[..line.len() - 1];
    let mut waits = true;
    if let Some(without) = rest.strip_suffix(b"+") {
        waits = false;
        rest = without;
    }
    let start = rest.iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |at| at + 1);
    let digits = &rest[start..];
    if digits.is_empty() || start == 0 || rest[start - 1] != b'{' {
        return Ok(None);
    }
    let size = number(digits).filter(|size| *size < 1 << 63).ok_or(FrameError::LiteralSize)?;
    let binary = rest[..start - 1].ends_with(b"~");
    Ok(Some(Announced { len: 0, size, waits, binary }))
}

/// A decimal number of at most 20 digits.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    let mut value = 0u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// Whether a response is for people: `+ ...`, or OK and its like after `*` or a tag.
fn is_free_text(line: &[u8]) -> bool {
    if line.first() == Some(&b'+') {
        return true;
    }
    let Some(space) = line.iter().take(Tag::LIMIT + 1).position(|b| *b == b' ') else { return false };
    let word = line[space + 1..].split(|b| *b == b' ').next().unwrap_or_default();
    [&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Frames all of `wire`, given `step` octets at a time; literals above `inline` octets are streamed.
    fn frame(mut framer: Framer, wire: &[u8], step: usize, inline: u64) -> Result<Vec<Vec<u8>>, FrameError> {
        let (mut input, mut units, mut body) = (Vec::new(), Vec::new(), Vec::new());
        let take = |input: &mut Vec<u8>, n: usize| input.drain(..n).collect::<Vec<u8>>();
        for cut in wire.chunks(step) {
            input.extend_from_slice(cut);
            loop {
                match framer.next(&input)? {
                    Frame::More => break,
                    Frame::Unit { len, end } => {
                        units.push(take(&mut input, len));
                        take(&mut input, end);
                    }
                    Frame::Literal(announced) => {
                        if announced.size > inline || !framer.inline() {
                            units.push(take(&mut input, announced.len));
                            framer.stream();
                        }
                    }
                    Frame::Octets { len, last } => {
                        body.extend(take(&mut input, len));
                        if last {
                            units.push(core::mem::take(&mut body));
                        }
                    }
                }
            }
        }
        Ok(units)
    }

    #[test]
    fn cuts_do_not_matter() {
        let wire =
            b"a LOGIN {3}\r\nb\r\n {2+}\r\n{} x\r\nb NOOP\r\nc APPEND x {9}\r\n012\r\n6789 ~{0}\r\n\r\n* OK {3}\nd\r\n";
        let whole = frame(Framer::commands(FrameLimits::COMMANDS), wire, wire.len(), 5).unwrap();
        for step in 1..wire.len() {
            assert_eq!(frame(Framer::commands(FrameLimits::COMMANDS), wire, step, 5).unwrap(), whole, "{step}");
        }
        assert_eq!(whole[0], b"a LOGIN {3}\r\nb\r\n {2+}\r\n{} x");
        assert_eq!(whole[2], b"c APPEND x {9}\r\n");
        assert_eq!(whole[3], b"012\r\n6789"[..9]);
    }

    #[test]
    fn braces_in_text_are_text() {
        let wire = b"* OK see {3}\r\na1 NO {99999}\r\n+ go {1}\r\n* LIST () NIL {1}\r\nx\r\n";
        let units = frame(Framer::responses(FrameLimits::RESPONSES), wire, 7, 100).unwrap();
        assert_eq!(units.len(), 4);
        assert_eq!(units[3], b"* LIST () NIL {1}\r\nx");
    }

    #[test]
    fn limits_hold_before_the_octets_come() {
        let limits = FrameLimits::new(100, 2);
        let framed = |wire: &[u8]| frame(Framer::commands(limits), wire, 10, 1000);
        assert_eq!(framed(&[b'x'; 200]), Err(FrameError::TooLong(100)));
        assert_eq!(framed(b"a {9223372036854775808}\r\n"), Err(FrameError::LiteralSize));
        assert_eq!(framed(b"a {999999999999999999999}\r\n"), Err(FrameError::LiteralSize));
        assert_eq!(framed(b"a {1}\r\nx {1}\r\nx {1}\r\n"), Err(FrameError::TooManyLiterals(2)));
        let mut framer = Framer::commands(limits);
        let announced = framer.next(b"a {98+}\r\n").unwrap();
        assert_eq!(announced, Frame::Literal(Announced { len: 9, size: 98, waits: false, binary: false }));
        assert!(!framer.inline());
    }
}
