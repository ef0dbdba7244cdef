//! The message in chunks: no dots, no end of its own, and by default the same lines as after DATA (RFC 3030).

use super::{BadBody, BareNewlines, Body};
use alloc::vec::Vec;

/// Looks at a message that comes in chunks of known length. Feed it in any pieces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkReader {
    /// `None`: any octets are good (BODY=BINARYMIME).
    policy: Option<BareNewlines>,
    line_limit: usize,
    /// Octets of the line so far.
    line: usize,
    /// The last octet was CR. Where newlines are normalised it was not given out yet.
    cr: bool,
    bad: Option<BadBody>,
}

impl ChunkReader {
    /// At the beginning of a message of lines. `line_limit` is the longest, in octets without CRLF.
    pub fn lines(policy: BareNewlines, line_limit: usize) -> Self {
        Self { policy: Some(policy), line_limit, line: 0, cr: false, bad: None }
    }

    /// At the beginning of a message of any octets.
    pub fn opaque() -> Self {
        Self { policy: None, line_limit: usize::MAX, line: 0, cr: false, bad: None }
    }

    /// Why the message must be refused, if it must. Nothing of it is given out any more then.
    pub fn bad(&self) -> Option<BadBody> {
        self.bad
    }

    /// Reads on. All of `input` is taken.
    pub fn read(&mut self, input: &[u8]) -> Body {
        let Some(policy) = self.policy else { return Body::Prefix(input.len()) };
        if self.bad.is_some() {
            return Body::Prefix(0);
        }
        match policy {
            BareNewlines::Refuse => self.check(input),
            BareNewlines::Normalise => self.mend(input),
        }
    }

    /// The message is over. What is still to be given out: a line end, if CR alone was the last octet and newlines are
    /// normalised.
    pub fn finish(&mut self) -> &'static [u8] {
        match (core::mem::take(&mut self.cr), self.policy) {
            (true, Some(BareNewlines::Refuse)) => {
                self.spoil(BadBody::BareNewline);
                b""
            }
            (true, Some(BareNewlines::Normalise)) if self.bad.is_none() => b"\r\n",
            (_, _) => b"",
        }
    }

    fn check(&mut self, input: &[u8]) -> Body {
        let mut start = 0;
        for at in memchr::memchr3_iter(b'\r', b'\n', 0, input) {
            self.grow(at - start);
            // RFC 5321, 2.3.8: CR and LF only as CRLF. After a CR, nothing but LF.
            match input[at] {
                _ if self.cr && (at > start || input[at] != b'\n') => self.spoil(BadBody::BareNewline),
                b'\n' if !self.cr => self.spoil(BadBody::BareNewline),
                0 => self.spoil(BadBody::Nul),
                b'\n' => self.line = 0,
                _ => {}
            }
            self.cr = input[at] == b'\r';
            start = at + 1;
        }
        if start < input.len() {
            if self.cr {
                self.spoil(BadBody::BareNewline);
            }
            self.cr = false;
        }
        self.grow(input.len() - start);
        Body::Prefix(if self.bad.is_some() { 0 } else { input.len() })
    }

    fn mend(&mut self, input: &[u8]) -> Body {
        let mut out = Vec::with_capacity(input.len());
        let mut start = 0;
        if let (true, Some(first)) = (self.cr, input.first()) {
            self.cr = false;
            self.line = 0;
            out.extend_from_slice(b"\r\n");
            start = usize::from(*first == b'\n');
        }
        while let Some(found) = memchr::memchr3(b'\r', b'\n', 0, &input[start..]) {
            let at = start + found;
            out.extend_from_slice(&input[start..at]);
            self.grow(found);
            start = at + 1;
            match input[at] {
                b'\r' if start == input.len() => self.cr = true,
                b'\r' | b'\n' => {
                    start += usize::from(input[at] == b'\r' && input.get(start) == Some(&b'\n'));
                    out.extend_from_slice(b"\r\n");
                    self.line = 0;
                }
                // NUL is left out.
                _ => {}
            }
        }
        out.extend_from_slice(&input[start..]);
        self.grow(input.len() - start);
        if self.bad.is_some() { Body::Prefix(0) } else { Body::Rewritten(out) }
    }

    fn grow(&mut self, octets: usize) {
        self.line = self.line.saturating_add(octets);
        if self.line > self.line_limit {
            self.spoil(BadBody::LineTooLong { limit: self.line_limit });
        }
    }

    /// The first thing that is wrong is what is said.
    fn spoil(&mut self, why: BadBody) {
        self.bad.get_or_insert(why);
    }
}
