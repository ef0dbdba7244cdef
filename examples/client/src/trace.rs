//! The wire on standard error, with times. Secrets do not come here: the session masks them.

use std::io::{self, Write};
use std::time::Instant;

use postrider_core::{Direction, Tap};

/// Prints what goes over the wire.
#[derive(Debug)]
pub(crate) struct Trace {
    start: Instant,
    /// Octets of messages and literals not shown yet.
    folded: Option<(Direction, u64)>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), folded: None }
    }

    fn show(&self, direction: Direction, text: &str) {
        let who = match direction {
            Direction::In => "S",
            Direction::Out => "C",
        };
        // Nobody is harmed if a trace cannot be written.
        let _ = writeln!(io::stderr().lock(), "{:10.6} {who}: {text}", self.start.elapsed().as_secs_f64());
    }

    fn unfold(&mut self) {
        if let Some((direction, count)) = self.folded.take() {
            self.show(direction, &format!("({count} octets)"));
        }
    }
}

impl Tap for Trace {
    fn line(&mut self, direction: Direction, line: &[u8], _masked: bool) {
        self.unfold();
        self.show(direction, &readable(line));
    }

    fn octets(&mut self, direction: Direction, count: u64) {
        match &mut self.folded {
            Some((same, sum)) if *same == direction => *sum += count,
            Some(_) | None => {
                self.unfold();
                self.folded = Some((direction, count));
            }
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.unfold();
    }
}

/// Escapes what is no printable text.
fn readable(line: &[u8]) -> String {
    /// Enough for any command; a FETCH response may be very long.
    const LIMIT: usize = 2000;
    let shown = &line[..line.len().min(LIMIT)];
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            if crate::show::clean(c.encode_utf8(&mut [0; 4])) == *c.encode_utf8(&mut [0; 4]) {
                text.push(c);
            } else {
                text.extend(c.escape_default());
            }
        }
        text.extend(chunk.invalid().iter().flat_map(|b| b.escape_ascii()).map(char::from));
    }
    if line.len() > LIMIT {
        text.push_str(&format!("... ({} octets)", line.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_trace_is_readable_and_harmless() {
        assert_eq!(super::readable("* OK Grüße \x1b[2J".as_bytes()), "* OK Grüße \\u{1b}[2J");
        assert_eq!(super::readable(b"\xff\x00"), "\\xff\\u{0}");
        assert!(super::readable(&[b'x'; 5000]).ends_with("... (5000 octets)"));
    }
}
