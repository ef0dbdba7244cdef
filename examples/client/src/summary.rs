//! What is shown of a message without reading it.

use std::borrow::Cow;

use mail_parser::MessageParser;
use postrider_imap::client::Fetched;
use postrider_imap::wire::{Addresses, Attribute, DateTime, Flag, Flags};
use serde::Serialize;

use crate::show;

/// A message in a list. The field names are part of the program's interface.
#[derive(Serialize, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) uid: u32,
    pub(crate) flags: Vec<String>,
    /// When the server got it (RFC 3339).
    pub(crate) received: Option<String>,
    pub(crate) size: Option<u64>,
    /// The Date field as it is.
    pub(crate) date: Option<String>,
    pub(crate) from: Vec<Person>,
    pub(crate) to: Vec<Person>,
    pub(crate) cc: Vec<Person>,
    pub(crate) subject: Option<String>,
    /// With its angle brackets.
    pub(crate) message_id: Option<String>,
    pub(crate) in_reply_to: Option<String>,
}

/// An address with its name.
#[derive(Serialize, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: Option<String>,
    pub(crate) address: String,
}

impl Summary {
    /// What to fetch for it.
    pub(crate) fn attributes() -> Vec<Attribute> {
        vec![Attribute::Uid, Attribute::Flags, Attribute::InternalDate, Attribute::Size, Attribute::Envelope]
    }

    /// `None` if the server told no UID, which some do when only the flags changed.
    pub(crate) fn new(fetched: &Fetched) -> Option<Self> {
        let mut summary = Self {
            uid: fetched.uid?,
            flags: fetched.flags.as_ref().map(flags).unwrap_or_default(),
            received: fetched.internal_date.map(rfc3339),
            size: fetched.size,
            ..Self::default()
        };
        if let Some(envelope) = &fetched.envelope {
            let plain = |octets: Option<Cow<'_, [u8]>>| octets.map(|o| String::from_utf8_lossy(&o).trim().to_owned());
            summary.date = plain(envelope.date());
            summary.from = people(envelope.from());
            summary.to = people(envelope.to());
            summary.cc = people(envelope.cc());
            summary.subject = envelope.subject().map(|subject| decode(&subject));
            summary.message_id = plain(envelope.message_id());
            summary.in_reply_to = plain(envelope.in_reply_to());
        }
        Some(summary)
    }

    /// A line of a table.
    pub(crate) fn row(&self) -> String {
        let has = |flag: &str| self.flags.iter().any(|have| have.eq_ignore_ascii_case(flag));
        let marks: String =
            [(!has("\\Seen"), 'N'), (has("\\Flagged"), '!'), (has("\\Answered"), 'r'), (has("\\Deleted"), 'D')]
                .map(|(set, mark)| if set { mark } else { ' ' })
                .into_iter()
                .collect();
        let received = self.received.as_deref().unwrap_or_default();
        let received = received.get(..16).unwrap_or(received).replace('T', " ");
        let from = self.from.first().map(Person::short).unwrap_or_default();
        let size = self.size.map(show::size).unwrap_or_default();
        let subject = self.subject.as_deref().unwrap_or("(no subject)");
        format!("{:>6} {marks} {received:16} {size:>10}  {:24}  {subject}", self.uid, cut(&from, 24))
    }
}

impl Person {
    /// The name if there is one.
    fn short(&self) -> String {
        self.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| self.address.clone())
    }
}

/// The flags as they are written.
pub(crate) fn flags(flags: &Flags) -> Vec<String> {
    flags.iter().map(Flag::to_string).collect()
}

fn people(addresses: Addresses<'_>) -> Vec<Person> {
    let people = addresses.filter_map(|address| {
        // Without a host it is the begin or end of a group.
        let (mailbox, host) = (address.mailbox?, address.host?);
        let address_text = format!("{}@{}", String::from_utf8_lossy(&mailbox), String::from_utf8_lossy(&host));
        Some(Person { name: address.name.map(|name| decode(&name)), address: address_text })
    });
    people.collect()
}

/// Decodes what may hold encoded words (RFC 2047).
pub(crate) fn decode(octets: &[u8]) -> String {
    if !octets.windows(2).any(|two| two == b"=?") {
        return String::from_utf8_lossy(octets).trim().to_owned();
    }
    let mut header = b"Subject: ".to_vec();
    header.extend(octets.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }));
    header.extend_from_slice(b"\r\n\r\n");
    let parsed = MessageParser::default().parse_headers(&header);
    let subject = parsed.as_ref().and_then(|parsed| parsed.subject());
    subject.map_or_else(|| String::from_utf8_lossy(octets).into_owned(), str::to_owned)
}

/// A time in its own zone.
pub(crate) fn rfc3339(time: DateTime) -> String {
    let (date, offset) = (time.date(), i64::from(time.offset()));
    let seconds = (time.unix() + offset * 60).rem_euclid(24 * 60 * 60);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let sign = if offset < 0 { '-' } else { '+' };
    let offset = offset.abs();
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}{sign}{:02}:{:02}",
        date.year(),
        date.month(),
        date.day(),
        offset / 60,
        offset % 60
    )
}

/// At most so many characters.
fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.chars().count() <= limit {
        return text.into();
    }
    let mut kept: String = text.chars().take(limit - 1).collect();
    kept.push('…');
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_imap::wire::Date;

    #[test]
    fn encoded_words_are_decoded() {
        assert_eq!(decode(b"=?utf-8?q?Gr=C3=BC=C3=9Fe_aus_?=\r\n =?utf-8?b?S8O2bG4g8J+TqA==?="), "Grüße aus Köln 📨");
        assert_eq!(decode(b"=?iso-8859-1?q?f=FCr?= x"), "für x");
        assert_eq!(decode(b"plain"), "plain");
        assert_eq!(decode("raw ü".as_bytes()), "raw ü");
    }

    #[test]
    fn times_keep_their_zone() {
        let date = Date::new(2026, 11, 21).expect("a day");
        let time = |offset| rfc3339(DateTime::new(date, 0, 30, 5, offset).expect("a time"));
        assert_eq!(time(60), "2026-11-21T00:30:05+01:00");
        assert_eq!(time(-210), "2026-11-21T00:30:05-03:30");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
