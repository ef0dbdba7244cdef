//! Points in time, as extensions write them (RFC 3339, 5.6).

use alloc::boxed::Box;
use alloc::format;
use core::fmt;
use core::str::FromStr;
use postrider_core::ParseError;

/// A date and time with an offset, such as `2026-01-31T23:59:00Z` (RFC 3339, 5.6: `date-time`). Kept as it was written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Timestamp {
    text: Box<str>,
    unix: i64,
}

impl Timestamp {
    /// That many seconds after 1970, in UTC. `None` after the year 9999.
    pub fn from_unix(seconds: u64) -> Option<Self> {
        let unix = i64::try_from(seconds).ok()?;
        let (days, time) = (unix / 86_400, unix % 86_400);
        // Days to a date in the Gregorian calendar, counted in eras of 400 years from the first of March of year 0.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        if year > 9999 {
            return None;
        }
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        Some(Self { text: text.into(), unix })
    }

    /// Seconds after 1970 in UTC, or before if negative. Fractions are cut off, a leap second counts as the one after.
    pub fn unix_seconds(&self) -> i64 {
        self.unix
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const EXPECTED: &str = "a date and time as in 2026-01-31T23:59:00Z";
        let octets = text.as_bytes();
        let wrong = |at: usize| ParseError { at, expected: EXPECTED };
        // The longest: a fraction of nine digits and an offset.
        if octets.len() > 35 {
            return Err(wrong(35));
        }
        let number = |from: usize, digits: usize| {
            let part = octets.get(from..from + digits).filter(|part| part.iter().all(u8::is_ascii_digit));
            part.map(|part| part.iter().fold(0i64, |n, b| n * 10 + i64::from(b - b'0'))).ok_or(wrong(from))
        };
        let sign = |at: usize, wanted: &[u8]| match octets.get(at) {
            Some(octet) if wanted.contains(octet) => Ok(()),
            Some(_) | None => Err(wrong(at)),
        };
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        for (at, wanted) in [(4, &b"-"[..]), (7, b"-"), (10, b"Tt"), (13, b":"), (16, b":")] {
            sign(at, wanted)?;
        }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days_in_month = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(leap),
            _ => return Err(wrong(5)),
        };
        if day == 0 || day > days_in_month {
            return Err(wrong(8));
        }
        if hour > 23 || minute > 59 || second > 60 {
            return Err(wrong(11));
        }
        let mut at = 19;
        if octets.get(at) == Some(&b'.') {
            let digits = octets[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return Err(wrong(at + 1));
            }
            at += 1 + digits;
        }
        let offset = match octets.get(at) {
            Some(b'Z' | b'z') => {
                at += 1;
                0
            }
            Some(direction @ (b'+' | b'-')) => {
                let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
                sign(at + 3, b":")?;
                if hours > 23 || minutes > 59 {
                    return Err(wrong(at));
                }
                at += 6;
                let offset = hours * 3600 + minutes * 60;
                if *direction == b'-' { -offset } else { offset }
            }
            Some(_) | None => return Err(wrong(at)),
        };
        if at != octets.len() {
            return Err(wrong(at));
        }
        let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
        let of_year = (153 * shifted_month + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        let unix = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Ok(Self { text: text.into(), unix })
    }
}
