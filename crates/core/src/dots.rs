//! Dot transparency, which SMTP (RFC 5321, 4.5.2) and POP3 (RFC 1939, 3) share: a lone dot ends the data, and a line
//! of the data that begins with a dot gets one more in front.
//!
//! Both directions go from line end to line end, look at each octet once, and do not depend on how the data was cut.

use memchr::memchr2;
use memchr::memmem::Finder;

/// What ends a line of dotted data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineRule {
    /// CR LF and nothing else, as SMTP must: who takes a bare LF for a line end can be made to see an end of data
    /// that the other side did not (smuggling).
    CrLf,
    /// LF, with or without CR before it, as POP3 clients read: no dot after a bare LF may look like the end to them.
    Lf,
}

/// A CR or LF that is not part of CR LF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BareNewline {
    /// CR without LF after it.
    Cr,
    /// LF without CR before it.
    Lf,
}

/// Where in its line the data stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    LineStart,
    /// Within a line, after a CR that may begin CR LF.
    Cr,
    Within,
}

/// Follows line ends. Both directions use it.
#[derive(Clone, Debug)]
struct Lines {
    rule: LineRule,
    at: At,
    bare: Option<BareNewline>,
    /// Of a dot after LF.
    dotted: Finder<'static>,
}

impl Lines {
    fn new(rule: LineRule) -> Self {
        Self { rule, at: At::LineStart, bare: None, dotted: Finder::new(b"\n.") }
    }

    /// Goes through `octets`, of which `from` is not at a line start, to the start of a later line: of every line that
    /// begins with a dot, and of others if it likes. `None` if there is none; all of `octets` is done then.
    fn next_start(&mut self, octets: &[u8], from: usize) -> Option<usize> {
        match self.rule {
            LineRule::Lf => {
                // No newline is looked for that is bare, so lines without a dot need not be looked at one by one.
                let found = self.dotted.find(&octets[from..]);
                self.at = match (found, octets[from..].last()) {
                    (Some(_), _) | (None, Some(b'\n')) => At::LineStart,
                    (None, Some(_)) => At::Within,
                    (None, None) => self.at,
                };
                found.map(|lf| from + lf + 1)
            }
            LineRule::CrLf => self.next_start_after_crlf(octets, from),
        }
    }

    fn next_start_after_crlf(&mut self, octets: &[u8], from: usize) -> Option<usize> {
        let mut from = from;
        if self.at == At::Cr && from < octets.len() {
            if octets[from] == b'\n' {
                self.at = At::LineStart;
                return Some(from + 1);
            }
            self.found(BareNewline::Cr);
        }
        while let Some(found) = memchr2(b'\r', b'\n', &octets[from..]) {
            let here = from + found;
            match (octets[here], octets.get(here + 1)) {
                (b'\r', Some(b'\n')) => {
                    self.at = At::LineStart;
                    return Some(here + 2);
                }
                (b'\r', None) => {
                    self.at = At::Cr;
                    return None;
                }
                (b'\r', Some(_)) => self.found(BareNewline::Cr),
                (_, _) => self.found(BareNewline::Lf),
            }
            from = here + 1;
        }
        if from < octets.len() || self.at != At::Cr {
            self.at = At::Within;
        }
        None
    }

    fn found(&mut self, bare: BareNewline) {
        self.at = At::Within;
        self.bare.get_or_insert(bare);
    }
}

/// Adds the dots.
///
/// ```
/// use postrider_core::{LineRule, Stuffer};
/// let mut stuffer = Stuffer::new(LineRule::CrLf);
/// let mut wire = vec![];
/// stuffer.stuff(b"one\r\n.two", |part| wire.extend_from_slice(part));
/// assert_eq!(wire, b"one\r\n..two");
/// assert!(stuffer.is_within_line(), "a CRLF is to be added before the last dot");
/// ```
#[derive(Clone, Debug)]
pub struct Stuffer(Lines);

impl Stuffer {
    /// For data at its beginning.
    pub fn new(rule: LineRule) -> Self {
        Self(Lines::new(rule))
    }

    /// Gives `octets`, the next of the data, to `emit` in parts, with a dot before every dot that begins a line. A part
    /// is either a dot or a slice of `octets`, all of it if no dot was to be added.
    pub fn stuff(&mut self, octets: &[u8], mut emit: impl FnMut(&[u8])) {
        let mut done = 0;
        let mut at = 0;
        while at < octets.len() {
            if self.0.at == At::LineStart && octets[at] == b'.' {
                if done < at {
                    emit(&octets[done..at]);
                }
                emit(b".");
                done = at;
            }
            match self.0.next_start(octets, at) {
                Some(start) => at = start,
                None => break,
            }
        }
        if done < octets.len() {
            emit(&octets[done..]);
        }
    }

    /// Whether the data so far ends within a line, so that a line end must be added before the dot that ends it.
    pub fn is_within_line(&self) -> bool {
        self.0.at != At::LineStart
    }

    /// The first bare CR or LF so far, if any. Only [`LineRule::CrLf`] looks for them. A CR at the very end of the data
    /// is bare too: the data then ends within a line.
    pub fn bare(&self) -> Option<BareNewline> {
        self.0.bare
    }
}

/// What [`Unstuffer::unstuff`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unstuffed {
    /// So many octets were read.
    pub read: usize,
    /// So many octets of data, now at the front of the buffer, they hold.
    pub data: usize,
    /// Whether the data has ended. What follows `read` is not part of it.
    pub ended: bool,
}

/// Removes the dots, and finds the end.
///
/// ```
/// use postrider_core::{LineRule, Unstuffer};
/// let mut wire = *b"one\r\n..two\r\n.\r\nQUIT\r\n";
/// let found = Unstuffer::new(LineRule::CrLf).unstuff(&mut wire);
/// assert_eq!(&wire[..found.data], b"one\r\n.two\r\n");
/// assert!(found.ended);
/// assert_eq!(&wire[found.read..], b"QUIT\r\n");
/// ```
#[derive(Clone, Debug)]
pub struct Unstuffer(Lines);

impl Unstuffer {
    /// For data at its beginning.
    pub fn new(rule: LineRule) -> Self {
        Self(Lines::new(rule))
    }

    /// Reads the next of the wire from `buffer` and moves the data together at its front; what holds no dots to remove
    /// is not moved. The last one or two octets are left unread if they may be the beginning of the end: offer them
    /// again with what follows them.
    ///
    /// By [`LineRule::Lf`], dot LF ends the data as dot CR LF does.
    pub fn unstuff(&mut self, buffer: &mut [u8]) -> Unstuffed {
        let mut data = 0;
        // Read, and not yet moved to `data`.
        let mut run = 0;
        let mut at = 0;
        let mut ended = None;
        while at < buffer.len() {
            if self.0.at == At::LineStart && buffer[at] == b'.' {
                let last = match (buffer.get(at + 1), buffer.get(at + 2)) {
                    (None, _) | (Some(b'\r'), None) => break,
                    (Some(b'\r'), Some(b'\n')) => Some(at + 3),
                    (Some(b'\n'), _) if self.0.rule == LineRule::Lf => Some(at + 2),
                    (Some(_), _) => None,
                };
                data = gather(buffer, data, run, at);
                run = at + 1;
                if last.is_some() {
                    ended = last;
                    break;
                }
                at += 1;
                self.0.at = At::Within;
            }
            at = self.0.next_start(buffer, at).unwrap_or(buffer.len());
        }
        if let Some(read) = ended {
            return Unstuffed { read, data, ended: true };
        }
        Unstuffed { read: at, data: gather(buffer, data, run, at), ended: false }
    }

    /// The first bare CR or LF so far, if any. Only [`LineRule::CrLf`] looks for them.
    pub fn bare(&self) -> Option<BareNewline> {
        self.0.bare
    }
}

/// Moves `buffer[from..to]` to `data`, and says where it ends there.
fn gather(buffer: &mut [u8], data: usize, from: usize, to: usize) -> usize {
    if data != from && from < to {
        buffer.copy_within(from..to, data);
    }
    data + to.saturating_sub(from)
}
