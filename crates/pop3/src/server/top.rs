//! Where TOP stops (RFC 1939, 7).

use memchr::memchr;

/// Follows a message to the end of its header and so many lines beyond.
#[derive(Clone, Debug)]
pub(super) struct Top {
    in_header: bool,
    /// Lines of the body still to come.
    left: u64,
    line: SoFar,
    done: bool,
}

/// What there is of the line that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SoFar {
    Nothing,
    Cr,
    Something,
}

impl Top {
    pub(super) fn new(lines: u64) -> Self {
        Self { in_header: true, left: lines, line: SoFar::Nothing, done: false }
    }

    /// Whether nothing more is wanted of the message.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// How many of `octets`, the next of the message, are wanted.
    //= 1939-7-1
    pub(super) fn take(&mut self, octets: &[u8]) -> usize {
        let mut at = 0;
        while !self.done && at < octets.len() {
            let Some(found) = memchr(b'\n', &octets[at..]) else {
                self.line = match (self.line, &octets[at..]) {
                    (SoFar::Nothing, b"\r") => SoFar::Cr,
                    (SoFar::Nothing | SoFar::Cr | SoFar::Something, _) => SoFar::Something,
                };
                return octets.len();
            };
            let blank =
                matches!((self.line, &octets[at..at + found]), (SoFar::Nothing, b"" | b"\r") | (SoFar::Cr, b""));
            self.line = SoFar::Nothing;
            at += found + 1;
            if !self.in_header {
                self.left -= 1;
            }
            self.in_header &= !blank;
            self.done = !self.in_header && self.left == 0;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn top(message: &[u8], lines: u64, piece: usize) -> Vec<u8> {
        let mut top = Top::new(lines);
        let mut out = Vec::new();
        for piece in message.chunks(piece) {
            out.extend_from_slice(&piece[..top.take(piece)]);
        }
        out
    }

    #[test]
    fn top_is_exact_for_every_cut() {
        let message = b"A: 1\r\nB: 2\r\n\r\none\r\n\r\nthree\r\nfour";
        for piece in 1..=message.len() {
            assert_eq!(top(message, 0, piece), b"A: 1\r\nB: 2\r\n\r\n");
            assert_eq!(top(message, 1, piece), b"A: 1\r\nB: 2\r\n\r\none\r\n");
            assert_eq!(top(message, 2, piece), b"A: 1\r\nB: 2\r\n\r\none\r\n\r\n");
            assert_eq!(top(message, 4, piece), message, "the last line has no end");
            assert_eq!(top(message, u64::MAX, piece), message);
        }
    }

    #[test]
    fn a_message_without_a_blank_line_is_all_header() {
        assert_eq!(top(b"A: 1\r\nB: 2\r\n", 0, 3), b"A: 1\r\nB: 2\r\n");
        assert_eq!(top(b"\r\nbody\r\n", 0, 1), b"\r\n");
        assert_eq!(top(b"A: 1\n\nbody\n", 0, 1), b"A: 1\n\n", "bare LF ends lines too");
        assert_eq!(top(b"A: \r\r\n\r\r\n\r\nx", 0, 1), b"A: \r\r\n\r\r\n\r\n", "CR CR LF is not blank");
    }
}
