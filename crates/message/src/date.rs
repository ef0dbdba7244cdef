//! The Date field (RFC 5322, 3.3 and 4.3).

use postrider_imap::wire::{Date, DateTime};

const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// Zones with names (RFC 5322, 4.3), minutes east of UTC. Military ones and others mean nothing: 0.
const ZONES: [(&[u8], i16); 8] = [
    (b"edt", -240),
    (b"est", -300),
    (b"cdt", -300),
    (b"cst", -360),
    (b"mdt", -360),
    (b"mst", -420),
    (b"pdt", -420),
    (b"pst", -480),
];

/// Reads a date as mail has it, obsolete and slightly wrong forms included: comments, two-digit years, no weekday or a
/// wrong one, no seconds, no time, no zone (UTC), hyphens for spaces. `None` if there is no day in it.
pub fn parse(field: &[u8]) -> Option<DateTime> {
    let text = without_comments(field);
    // Hyphens join a date, but a zone begins with one.
    let mut words = text
        .split(|b| b.is_ascii_whitespace() || *b == b',')
        .flat_map(|word| {
            let joined = word.first().is_some_and(u8::is_ascii_digit);
            word.split(move |&b| joined && b == b'-')
        })
        .filter(|word| !word.is_empty())
        .take(12);
    let mut first = words.next()?;
    if first[0].is_ascii_alphabetic() && month(first).is_none() {
        first = words.next()?;
    }
    let second = words.next()?;
    let (day, month) = match (number(first), month(second)) {
        (Some(day), Some(month)) => (day, month),
        _ => (number(second)?, month(first)?),
    };
    // `Thu Jul 17 02:23:25 1996` has the time before the year.
    let (mut year, mut time) = (words.next()?, words.next());
    if year.contains(&b':') {
        (year, time) = (time?, Some(year));
    }
    let year = match (number(year)?, year.len()) {
        (short @ 0..50, 2) => short + 2000,
        (short, 2 | 3) => short + 1900,
        (year, _) => year,
    };
    let mut clock = time.unwrap_or_default().split(|&b| b == b':').map(|part| number(part).unwrap_or(0));
    let mut next = || u8::try_from(clock.next().unwrap_or(0)).unwrap_or(u8::MAX);
    let (hour, minute, second) = (next(), next(), next());
    let zone = words.next().map_or(0, zone);
    let date = Date::new(u16::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    // A wrong time does not make the day wrong.
    DateTime::new(date, hour, minute, second, zone).or_else(|_| DateTime::new(date, 0, 0, 0, zone)).ok()
}

fn number(word: &[u8]) -> Option<u32> {
    if word.len() > 6 { None } else { std::str::from_utf8(word).ok()?.parse().ok() }
}

fn month(word: &[u8]) -> Option<u8> {
    let head = word.get(..3)?.to_ascii_lowercase();
    MONTHS.iter().position(|month| *month == head).map(|at| at as u8 + 1)
}

fn zone(word: &[u8]) -> i16 {
    let (sign, digits) = match word.split_first() {
        Some((b'+', digits)) => (1, digits),
        Some((b'-', digits)) => (-1, digits),
        _ => {
            let word = word.to_ascii_lowercase();
            return ZONES.iter().find(|(name, _)| *name == word).map_or(0, |&(_, offset)| offset);
        }
    };
    match number(digits) {
        Some(digits @ 0..=9959) if digits % 100 < 60 => sign * (digits / 100 * 60 + digits % 100) as i16,
        _ => 0,
    }
}

/// The text without its comments, and without space around the colons of the time (RFC 5322, A.6.3).
fn without_comments(field: &[u8]) -> Vec<u8> {
    let mut depth = 0usize;
    let mut text = Vec::with_capacity(field.len().min(128));
    for &octet in field.iter().take(1000) {
        match octet {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            b':' => {
                text.truncate(text.trim_ascii_end().len());
                text.push(octet);
            }
            b' ' | b'\t' if text.ends_with(b":") => {}
            _ => text.push(octet),
        }
    }
    text
}
