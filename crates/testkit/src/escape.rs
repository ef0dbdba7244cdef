//! Octets as text, for transcripts and traces.

/// Shows octets: printable ASCII as it is, the rest as `\r`, `\n`, `\t`, `\0`, `\\` or `\xNN`.
pub fn escape(octets: &[u8]) -> String {
    let mut text = String::new();
    for &octet in octets {
        match octet {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            0 => text.push_str("\\0"),
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(octet.into()),
            _ => text.push_str(&format!("\\x{octet:02x}")),
        }
    }
    text
}

/// Reads what [`escape`] writes, any other UTF-8 as it is, and `\{600*ab}` for `ab` 600 times.
///
/// # Errors
/// A sentence about the escape that is none of these.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    /// More would be a test that has gone wrong.
    const LIMIT: usize = 16 << 20;
    let mut octets = vec![];
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        octets.extend_from_slice(&rest.as_bytes()[..at]);
        let kind = rest[at + 1..].chars().next().ok_or("a lone \\ at the end")?;
        rest = &rest[at + 1 + kind.len_utf8()..];
        match kind {
            'r' => octets.push(b'\r'),
            'n' => octets.push(b'\n'),
            't' => octets.push(b'\t'),
            '0' => octets.push(0),
            '\\' => octets.push(b'\\'),
            'x' => {
                let digits = rest.get(..2).ok_or("\\x wants two hexadecimal digits")?;
                octets.push(u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits} is not hexadecimal"))?);
                rest = &rest[2..];
            }
            '{' => {
                let (inside, after) = rest.split_once('}').ok_or("\\{ without }")?;
                let (count, what) = inside.split_once('*').ok_or("\\{ wants a count, * and what to repeat")?;
                let count: usize = count.parse().map_err(|_| format!("{count:?} is not a count"))?;
                let what = unescape(what)?;
                if count.saturating_mul(what.len()) > LIMIT {
                    return Err(format!("\\{{{inside}}} is more than {LIMIT} octets"));
                }
                octets.extend(what.iter().copied().cycle().take(count * what.len()));
                rest = after;
            }
            other => return Err(format!("\\{other} is not an escape")),
        }
    }
    octets.extend_from_slice(rest.as_bytes());
    Ok(octets)
}
