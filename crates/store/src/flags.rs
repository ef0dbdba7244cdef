//! System flags and keywords of a message (RFC 9051, 2.3.2).

use std::fmt;
use std::sync::Arc;

/// The flags of one message: five bits and, rarely, keywords. Cloning is cheap.
///
/// Keywords compare without regard to ASCII case and keep the spelling they were first given.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Flags {
    bits: u8,
    keywords: Option<Arc<Keywords>>,
}

/// Sorted by lower case, no two alike, never empty.
#[derive(Debug)]
struct Keywords(Vec<Box<str>>);

impl PartialEq for Keywords {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }
}
impl Eq for Keywords {}

const SYSTEM: [(u8, &str); 5] = [(1, "\\Seen"), (2, "\\Answered"), (4, "\\Flagged"), (8, "\\Deleted"), (16, "\\Draft")];

/// The name is not one of the five system flags nor a keyword (RFC 9051, 9, `flag`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a flag")]
pub struct BadFlag(pub String);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags { bits: 0, keywords: None };
    /// `\Seen`
    pub const SEEN: Flags = Flags { bits: 1, keywords: None };
    /// `\Answered`
    pub const ANSWERED: Flags = Flags { bits: 2, keywords: None };
    /// `\Flagged`
    pub const FLAGGED: Flags = Flags { bits: 4, keywords: None };
    /// `\Deleted`
    pub const DELETED: Flags = Flags { bits: 8, keywords: None };
    /// `\Draft`
    pub const DRAFT: Flags = Flags { bits: 16, keywords: None };

    /// Longest keyword taken, in octets.
    pub const MAX_KEYWORD: usize = 100;
    /// Most keywords one message can have.
    pub const MAX_KEYWORDS: usize = 64;

    /// Flags from their names, `\Seen` or a keyword. `\Recent` is no stored flag and is refused.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Flags, BadFlag> {
        let mut bits = 0;
        let mut keywords: Vec<Box<str>> = Vec::new();
        for name in names {
            if name.starts_with('\\') {
                let known = SYSTEM.iter().find(|(_, system)| system.eq_ignore_ascii_case(name));
                bits |= known.ok_or_else(|| BadFlag(name.into()))?.0;
            } else if is_keyword(name) {
                keywords.push(name.into());
            } else {
                return Err(BadFlag(name.into()));
            }
        }
        let flags = Flags::of(bits, keywords);
        if flags.keywords().count() > Self::MAX_KEYWORDS {
            return Err(BadFlag(format!("more than {} keywords", Self::MAX_KEYWORDS)));
        }
        Ok(flags)
    }

    fn of(bits: u8, mut keywords: Vec<Box<str>>) -> Flags {
        keywords.sort_by(|a, b| lower(a).cmp(lower(b)));
        keywords.dedup_by(|later, first| later.eq_ignore_ascii_case(first));
        let keywords = (!keywords.is_empty()).then(|| Arc::new(Keywords(keywords)));
        Flags { bits, keywords }
    }

    /// The names, system flags first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        SYSTEM.iter().filter(|(bit, _)| self.bits & bit != 0).map(|(_, name)| *name).chain(self.keywords())
    }

    /// The keywords, sorted.
    pub fn keywords(&self) -> impl Iterator<Item = &str> {
        self.keywords.iter().flat_map(|k| k.0.iter().map(|s| &**s))
    }

    /// Whether no flag is set.
    pub fn is_empty(&self) -> bool {
        self.bits == 0 && self.keywords.is_none()
    }

    /// Whether every flag of `other` is set.
    pub fn contains(&self, other: &Flags) -> bool {
        self.bits & other.bits == other.bits
            && other.keywords().all(|k| self.keywords().any(|mine| mine.eq_ignore_ascii_case(k)))
    }

    /// Whether `\Seen` is set.
    pub fn is_seen(&self) -> bool {
        self.bits & 1 != 0
    }

    /// Whether `\Deleted` is set.
    pub fn is_deleted(&self) -> bool {
        self.bits & 8 != 0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub fn with(&self, other: &Flags) -> Flags {
        if other.keywords.is_none() {
            return Flags { bits: self.bits | other.bits, keywords: self.keywords.clone() };
        }
        Flags::of(self.bits | other.bits, self.keywords().chain(other.keywords()).map(Into::into).collect())
    }

    /// These flags without those of `other`.
    #[must_use]
    pub fn without(&self, other: &Flags) -> Flags {
        if other.keywords.is_none() {
            return Flags { bits: self.bits & !other.bits, keywords: self.keywords.clone() };
        }
        let left = self.keywords().filter(|k| !other.keywords().any(|o| o.eq_ignore_ascii_case(k)));
        Flags::of(self.bits & !other.bits, left.map(Into::into).collect())
    }

    /// The system flags as bits: 1 Seen, 2 Answered, 4 Flagged, 8 Deleted, 16 Draft.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// The keywords with spaces between, as they are stored.
    pub(crate) fn keyword_text(&self) -> Option<String> {
        self.keywords.as_ref().map(|k| k.0.join(" "))
    }

    /// From what was stored.
    pub(crate) fn from_stored(bits: u8, keywords: Option<&str>) -> Flags {
        let keywords = keywords.map(|k| k.split(' ').map(Into::into).collect()).unwrap_or_default();
        Flags::of(bits & 31, keywords)
    }

    pub(crate) fn with_bits(&self, bits: u8) -> Flags {
        Flags { bits: bits & 31, keywords: self.keywords.clone() }
    }
}

fn lower(s: &str) -> impl Iterator<Item = u8> + '_ {
    s.bytes().map(|b| b.to_ascii_lowercase())
}

/// RFC 9051, 9: a keyword is an atom.
fn is_keyword(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= Flags::MAX_KEYWORD
        && name.bytes().all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b))
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
