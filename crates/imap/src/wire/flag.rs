//! Flags of messages.

use alloc::vec::Vec;
use core::fmt;

use super::atom::{Atom, is_atom_char};
use super::short::Short;

macro_rules! known_flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal $spelling:literal,)*) => {
        /// One flag of a message (RFC 9051, 2.3.2). Flags are compared without case.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum Flag {
            $($(#[$doc])* $name,)*
            /// A keyword that is not in the list above.
            Keyword(Keyword),
            /// A system flag (with a backslash) that is not in the list above; without its backslash.
            Extension(Atom),
        }

        impl Flag {
            /// Those with a place in the bit set.
            const KNOWN: &[(Flag, &'static str)] = &[$((Flag::$name, $spelling),)*];

            const fn bit(&self) -> Option<u32> {
                match self {
                    $(Flag::$name => Some($bit),)*
                    Flag::Keyword(_) | Flag::Extension(_) => None,
                }
            }

            /// How it is written, without the backslash of an [`Flag::Extension`].
            fn spelling(&self) -> &str {
                match self {
                    $(Flag::$name => $spelling,)*
                    Flag::Keyword(keyword) => keyword.as_str(),
                    Flag::Extension(name) => name.as_str(),
                }
            }
        }
    };
}

known_flags! {
    /// `\Seen`: has been read.
    Seen = 0 "\\Seen",
    /// `\Answered`: has been answered.
    Answered = 1 "\\Answered",
    /// `\Flagged`: wants attention.
    Flagged = 2 "\\Flagged",
    /// `\Deleted`: goes with the next EXPUNGE.
    Deleted = 3 "\\Deleted",
    /// `\Draft`: not finished.
    Draft = 4 "\\Draft",
    /// `\Recent` (IMAP4rev1): this session is the first to see it. The server's alone.
    Recent = 5 "\\Recent",
    /// `\*`: new keywords may be made. In PERMANENTFLAGS only.
    Any = 6 "\\*",
    /// `$Forwarded`.
    Forwarded = 7 "$Forwarded",
    /// `$MDNSent`.
    MdnSent = 8 "$MDNSent",
    /// `$Junk`.
    Junk = 9 "$Junk",
    /// `$NotJunk`.
    NotJunk = 10 "$NotJunk",
    /// `$Phishing`.
    Phishing = 11 "$Phishing",
    /// `$Important` (RFC 8457).
    Important = 12 "$Important",
    /// `$SubmitPending` (RFC 5550).
    SubmitPending = 13 "$SubmitPending",
    /// `$Submitted` (RFC 5550).
    Submitted = 14 "$Submitted",
    /// `Junk`, as Thunderbird and Apple Mail spell it.
    PlainJunk = 15 "Junk",
    /// `NonJunk`, as Thunderbird spells it.
    PlainNonJunk = 16 "NonJunk",
    /// `NotJunk`, as Apple Mail spells it.
    PlainNotJunk = 17 "NotJunk",
}

impl Flag {
    /// Reads a flag as it stands on the wire, `\Seen` or a keyword.
    pub fn new(text: &str) -> Option<Self> {
        for (flag, spelling) in Self::KNOWN {
            if spelling.eq_ignore_ascii_case(text) {
                return Some(flag.clone());
            }
        }
        match text.strip_prefix('\\') {
            Some(name) => Atom::new(name).ok().map(Self::Extension),
            None => Keyword::new(text).map(Self::Keyword),
        }
    }

    /// The same for octets from the wire.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        // The five that nearly every message has, before the table.
        if let [b'\\', name @ ..] = bytes {
            let (known, word) = match name.len() {
                4 => (Self::Seen, "Seen"),
                5 => (Self::Draft, "Draft"),
                6 => (Self::Recent, "Recent"),
                7 if matches!(name[0], b'F' | b'f') => (Self::Flagged, "Flagged"),
                7 => (Self::Deleted, "Deleted"),
                _ => (Self::Answered, "Answered"),
            };
            if name.eq_ignore_ascii_case(word.as_bytes()) {
                return Some(known);
            }
        }
        Self::new(core::str::from_utf8(bytes).ok()?)
    }

    /// Without a backslash.
    pub(crate) fn bare_name(&self) -> &str {
        match self {
            Self::Any => "Any",
            flag => flag.spelling().trim_start_matches('\\'),
        }
    }

    pub(crate) fn encode(&self, out: &mut super::encode::Encoder) {
        if let Self::Extension(_) = self {
            out.put("\\");
        }
        out.put(self.spelling());
    }

    /// Whether the server owns it: clients cannot store `\Recent` or `\*`.
    pub fn is_servers(&self) -> bool {
        matches!(self, Self::Recent | Self::Any)
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Extension(_) = self {
            f.write_str("\\")?;
        }
        f.write_str(self.spelling())
    }
}

/// A flag without a backslash that somebody made up. Never one of the known ones: [`Flag::new`] is the way to make it.
///
/// Characters are those of an atom, and `]`, which Gmail uses.
#[derive(Clone)]
pub struct Keyword(Short);

impl Keyword {
    fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.bytes().all(|b| is_atom_char(b) || b == b']');
        fits.then(|| Self(Short::new(text)))
    }

    /// The keyword as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(other.0.as_bytes())
    }
}

impl Eq for Keyword {}

impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A set of flags: a word of bits for the known ones, and a list for the others, so that most need no allocation.
/// Two sets are equal if they hold the same flags.
#[derive(Clone, Default)]
pub struct Flags {
    known: u32,
    others: Vec<Flag>,
}

impl Flags {
    /// No flags.
    pub const EMPTY: Self = Self { known: 0, others: Vec::new() };

    /// Adds a flag. Says whether it was new.
    pub fn insert(&mut self, flag: Flag) -> bool {
        let new = !self.contains(&flag);
        match flag.bit() {
            Some(bit) => self.known |= 1 << bit,
            None if new => self.others.push(flag),
            None => {}
        }
        new
    }

    /// Takes a flag away. Says whether it was there.
    pub fn remove(&mut self, flag: &Flag) -> bool {
        let there = self.contains(flag);
        match flag.bit() {
            Some(bit) => self.known &= !(1 << bit),
            None => self.others.retain(|other| other != flag),
        }
        there
    }

    /// Whether the flag is set.
    pub fn contains(&self, flag: &Flag) -> bool {
        match flag.bit() {
            Some(bit) => self.known & (1 << bit) != 0,
            None => self.others.contains(flag),
        }
    }

    /// How many flags are set.
    pub fn len(&self) -> usize {
        self.known.count_ones() as usize + self.others.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All flags: the known ones in a fixed order, then the others as they came.
    pub fn iter(&self) -> impl Iterator<Item = &Flag> {
        let known = Flag::KNOWN.iter().enumerate().filter(|(bit, _)| self.known & (1 << bit) != 0);
        known.map(|(_, (flag, _))| flag).chain(&self.others)
    }
}

impl PartialEq for Flags {
    fn eq(&self, other: &Self) -> bool {
        self.known == other.known
            && self.others.len() == other.others.len()
            && self.others.iter().all(|flag| other.others.contains(flag))
    }
}

impl Eq for Flags {}

impl FromIterator<Flag> for Flags {
    fn from_iter<I: IntoIterator<Item = Flag>>(flags: I) -> Self {
        let mut set = Self::EMPTY;
        set.extend(flags);
        set
    }
}

impl Extend<Flag> for Flags {
    fn extend<I: IntoIterator<Item = Flag>>(&mut self, flags: I) {
        for flag in flags {
            self.insert(flag);
        }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|flag| alloc::format!("{flag}"))).finish()
    }
}
