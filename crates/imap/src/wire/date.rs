//! Dates, as INTERNALDATE and SEARCH have them.

use core::fmt;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A day that is in the calendar, of the years 0 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// There is no such day or time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no such date or time")]
pub struct BadDate;

impl Date {
    /// `month` and `day` count from 1.
    ///
    /// # Errors
    /// [`BadDate`] if the calendar has no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Result<Self, BadDate> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return Err(BadDate),
        };
        if year > 9999 || day == 0 || day > days { Err(BadDate) } else { Ok(Self { year, month, day }) }
    }

    /// The year.
    pub fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day, 1 to 31.
    pub fn day(self) -> u8 {
        self.day
    }

    /// Days since 1970-01-01.
    pub fn days_since_epoch(self) -> i64 {
        // Years begin in March, so that the leap day is the last; 400 years have 146,097 days.
        let (m, d) = (i64::from(self.month), i64::from(self.day));
        let y = i64::from(self.year) - i64::from(m <= 2);
        let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
        let of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }

    /// The day that many days after 1970-01-01.
    ///
    /// # Errors
    /// [`BadDate`] outside of the years 0 to 9999.
    pub fn from_days_since_epoch(days: i64) -> Result<Self, BadDate> {
        let z = days.checked_add(719_468).ok_or(BadDate)?;
        let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let mp = (5 * of_year + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let day = of_year - (153 * mp + 2) / 5 + 1;
        Self::new(u16::try_from(year).map_err(|_| BadDate)?, month as u8, day as u8)
    }

    /// The English abbreviation of the month.
    pub(crate) fn month_name(self) -> &'static str {
        MONTHS[usize::from(self.month) - 1]
    }

    /// The month of that abbreviation, in any case.
    pub(crate) fn month_of(name: &[u8]) -> Option<u8> {
        let at = MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
        Some(at as u8 + 1)
    }
}

impl fmt::Display for Date {
    /// As SEARCH has it: `1-Feb-1994`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:04}", self.day, self.month_name(), self.year)
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A date, a time of day and the zone it was written in (RFC 9051, 9: date-time). Equal only if written the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateTime {
    date: Date,
    hour: u8,
    minute: u8,
    second: u8,
    /// Minutes east of UTC.
    offset: i16,
}

impl DateTime {
    /// `offset` is minutes east of UTC, less than 100 hours; second 60 is allowed.
    ///
    /// # Errors
    /// [`BadDate`] if there is no such time.
    pub fn new(date: Date, hour: u8, minute: u8, second: u8, offset: i16) -> Result<Self, BadDate> {
        if hour > 23 || minute > 59 || second > 60 || offset.unsigned_abs() >= 6000 {
            return Err(BadDate);
        }
        Ok(Self { date, hour, minute, second, offset })
    }

    /// The moment that many seconds after 1970-01-01T00:00:00Z, written in UTC.
    ///
    /// # Errors
    /// [`BadDate`] outside of the years 0 to 9999.
    pub fn from_unix(seconds: i64) -> Result<Self, BadDate> {
        let date = Date::from_days_since_epoch(seconds.div_euclid(86_400))?;
        let rest = seconds.rem_euclid(86_400);
        Self::new(date, (rest / 3600) as u8, (rest / 60 % 60) as u8, (rest % 60) as u8, 0)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix(self) -> i64 {
        let (hour, minute, second) = (i64::from(self.hour), i64::from(self.minute), i64::from(self.second));
        self.date.days_since_epoch() * 86_400 + hour * 3600 + (minute - i64::from(self.offset)) * 60 + second
    }

    /// The day, in its own zone: what SEARCH compares, "disregarding time and timezone".
    pub fn date(self) -> Date {
        self.date
    }

    /// Minutes east of UTC.
    pub fn offset(self) -> i16 {
        self.offset
    }
}

impl fmt::Display for DateTime {
    /// As INTERNALDATE has it: ` 1-Feb-1994 12:34:56 +0100`, the day two wide.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, hour, minute, second, offset } = self;
        let (sign, zone) = (if *offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
        write!(
            f,
            "{:2}-{}-{:04} {hour:02}:{minute:02}:{second:02} {sign}{:02}{:02}",
            date.day,
            date.month_name(),
            date.year,
            zone / 60,
            zone % 60
        )
    }
}

impl fmt::Debug for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
