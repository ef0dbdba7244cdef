//! Wire parsers beside their peers: the same input, in one run. This library makes the input; each bench is one file
//! beside it: `cargo bench -p postrider-benches`, or `--bench imap` for one.
//!
//! The input is made from seeds: the same call gives the same octets everywhere. Only ratios within one run mean
//! something; absolute times belong to the machine. Every bench first checks that both sides understood all of it.

mod imap;
mod mime;
mod smtp;

pub use imap::{imap_commands, imap_envelopes, imap_flags, imap_list, imap_literal, imap_search};
pub use mime::{mime_message, text};
pub use smtp::{pop3_list, pop3_uidl, smtp_commands, smtp_data, smtp_ehlo, smtp_replies};

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` up to, not including, `high`.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + (((self.bits() >> 32) * (high - low)) >> 32)
    }

    /// True in that many of a hundred cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.within(0, 100) < chance
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.within(0, from.len() as u64) as usize]
    }
}

pub(crate) const NAMES: &[&str] = &[
    "Alice", "Bob", "Carol", "Dan", "Eve", "Grace", "Heidi", "Ivan", "Judy", "Mallory", "Niaj", "Olivia", "Peggy",
    "Rupert", "Sybil", "Trent", "Victor", "Walter",
];
pub(crate) const FAMILIES: &[&str] =
    &["Smith", "Jones", "Garcia", "Muller", "ONeil", "Kim", "Nguyen", "Rossi", "Silva", "Kowalski", "Haddad", "Tanaka"];
pub(crate) const DOMAINS: &[&str] =
    &["example.com", "example.org", "mail.example.com", "lists.example.org", "a.b.c.example.net", "corp.example.edu"];
pub(crate) const WORDS: &[&str] = &[
    "meeting",
    "notes",
    "for",
    "the",
    "quarterly",
    "review",
    "please",
    "find",
    "attached",
    "invoice",
    "regarding",
    "your",
    "order",
    "status",
    "update",
    "weekly",
    "digest",
    "patch",
    "series",
    "kernel",
    "build",
    "failed",
    "announcement",
    "lunch",
    "friday",
    "schedule",
    "change",
    "request",
    "approved",
    "pending",
    "reminder",
];
pub(crate) const MONTHS: &[&str] =
    &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub(crate) fn subject(dice: &mut Dice) -> String {
    if dice.percent(15) {
        return "=?utf-8?q?R=C3=A9sum=C3=A9_of_the?= =?utf-8?b?w7xiZXJibGljaw==?=".to_owned();
    }
    let words: Vec<&str> = (0..dice.within(2, 9)).map(|_| dice.pick(WORDS)).collect();
    words.join(" ")
}

pub(crate) fn date(dice: &mut Dice) -> String {
    let (day, month, year) = (dice.within(1, 29), dice.pick(MONTHS), dice.within(1998, 2027));
    let (hour, minute, second) = (dice.within(0, 24), dice.within(0, 60), dice.within(0, 60));
    format!("Mon, {day} {month} {year} {hour:02}:{minute:02}:{second:02} {}", dice.pick(&["+0000", "-0700", "+0200"]))
}
