//! Output: tables for people, a JSON object a line for programs, and nothing remote that a terminal would obey.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde::Serialize;

use crate::fault::Fault;

/// Standard output.
pub(crate) struct Out {
    json: bool,
    stdout: BufWriter<Stdout>,
    /// Only if it is a terminal.
    filter: Option<TerminalFilter>,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        let stdout = io::stdout();
        let filter = stdout.is_terminal().then(TerminalFilter::default);
        Self { json, stdout: BufWriter::with_capacity(64 * 1024, stdout), filter }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A line for people.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Fault> {
        writeln!(self.stdout, "{}", clean(text)).map_err(|error| Fault::output(&error))
    }

    /// Lines for people.
    pub(crate) fn block(&mut self, text: &str) -> Result<(), Fault> {
        let mut end = "\n";
        for line in text.lines() {
            writeln!(self.stdout, "{}", clean(&line.replace('\t', "    "))).map_err(|error| Fault::output(&error))?;
            end = "";
        }
        self.stdout.write_all(end.as_bytes()).map_err(|error| Fault::output(&error))
    }

    /// An object for programs, on a line of its own.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> Result<(), Fault> {
        let line = serde_json::to_string(object).expect("our own types have string keys");
        writeln!(self.stdout, "{}", escape_json(&line)).map_err(|error| Fault::output(&error))
    }

    /// Octets as they are; made safe if they go to a terminal.
    pub(crate) fn octets(&mut self, octets: &[u8]) -> Result<(), Fault> {
        let written = match &mut self.filter {
            Some(filter) => self.stdout.write_all(filter.pass(octets).as_bytes()),
            None => self.stdout.write_all(octets),
        };
        written.map_err(|error| Fault::output(&error))
    }

    /// Lets the reader have what was written so far.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        self.stdout.flush().map_err(|error| Fault::output(&error))
    }
}

/// Whether a terminal may act on it, or show it so that it deceives: controls, and marks that turn the direction.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of text that a terminal shows and does not obey.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| match c {
        '\t' | '\n' | '\r' => ' ',
        c if is_unsafe(c) => '\u{fffd}',
        c => c,
    });
    Cow::Owned(shown.collect())
}

/// JSON escapes only the older half of the control characters; terminals obey the other half too.
fn escape_json(line: &str) -> Cow<'_, str> {
    if !line.chars().any(is_unsafe) {
        return Cow::Borrowed(line);
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if is_unsafe(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Makes a stream of octets safe to show. What is no UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct TerminalFilter {
    /// The beginning of a character whose rest has not come.
    tail: Vec<u8>,
}

impl TerminalFilter {
    pub(crate) fn pass(&mut self, octets: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.tail);
        all.extend_from_slice(octets);
        let mut rest = all.as_slice();
        let mut shown = String::with_capacity(rest.len());
        while !rest.is_empty() {
            let (good, bad) = match std::str::from_utf8(rest) {
                Ok(text) => (text, None),
                Err(error) => {
                    let good = std::str::from_utf8(&rest[..error.valid_up_to()]).expect("checked up to there");
                    (good, Some(error.error_len()))
                }
            };
            shown.extend(good.chars().filter(|c| *c != '\r').map(|c| match c {
                '\n' | '\t' => c,
                c if is_unsafe(c) => '\u{fffd}',
                c => c,
            }));
            match bad {
                None => break,
                Some(None) => {
                    self.tail = rest[good.len()..].to_vec();
                    break;
                }
                Some(Some(length)) => {
                    shown.push('\u{fffd}');
                    rest = &rest[good.len() + length..];
                }
            }
        }
        shown
    }
}

/// A size for people.
pub(crate) fn size(octets: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if octets < 1024 {
        return format!("{octets} B");
    }
    let mut value = octets as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 message`, `2 messages`.
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\u{9b}c\u{202e}d\r\ne"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d  e");
        assert_eq!(clean("Grüße 📨"), "Grüße 📨");
        assert_eq!(escape_json("{\"a\":\"\u{9b}\u{202e}ü\"}"), "{\"a\":\"\\u009b\\u202eü\"}");
    }

    #[test]
    fn the_filter_does_not_depend_on_cuts() {
        let text = "Grüße\r\n\x1b[31m📨";
        let mut octets = text.as_bytes().to_vec();
        octets.push(0xff);
        octets.push(b'!');
        let whole = TerminalFilter::default().pass(&octets);
        assert!(whole.starts_with("Grüße\n\u{fffd}[31m📨") && whole.ends_with("\u{fffd}!"), "{whole}");
        let mut filter = TerminalFilter::default();
        let pieces: String = octets.iter().map(|b| filter.pass(&[*b])).collect();
        assert_eq!(pieces, whole);
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!([size(0), size(1023), size(1024), size(150_000_000)], ["0 B", "1023 B", "1.0 KiB", "143.1 MiB"]);
    }
}
