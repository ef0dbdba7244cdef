//! Capabilities.

use alloc::vec::Vec;
use core::fmt;

use super::atom::Atom;

macro_rules! capabilities {
    ($($name:ident $spelling:literal $rfc:literal,)*) => {
        /// One capability (RFC 9051, 7.2.2, and the registry).
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum Capability {
            $(#[doc = concat!("`", $spelling, "` (", $rfc, ").")] $name,)*
            /// `AUTH=`: a SASL mechanism.
            Auth(Atom),
            /// Any other, `NAME` or `NAME=VALUE`.
            Other(Atom),
        }

        impl Capability {
            const KNOWN: &[(Capability, &'static str)] = &[$((Capability::$name, $spelling),)*];

            fn bit(&self) -> Option<u32> {
                #[allow(clippy::enum_glob_use)]
                enum Bit { $($name,)* }
                match self {
                    $(Self::$name => Some(Bit::$name as u32),)*
                    Self::Auth(_) | Self::Other(_) => None,
                }
            }

            fn spelling(&self) -> &str {
                match self {
                    $(Self::$name => $spelling,)*
                    Self::Auth(name) | Self::Other(name) => name.as_str(),
                }
            }
        }
    };
}

capabilities! {
    Imap4Rev1 "IMAP4rev1" "RFC 3501",
    Imap4Rev2 "IMAP4rev2" "RFC 9051",
    StartTls "STARTTLS" "RFC 9051",
    LoginDisabled "LOGINDISABLED" "RFC 9051",
    SaslIr "SASL-IR" "RFC 4959",
    LiteralPlus "LITERAL+" "RFC 7888",
    LiteralMinus "LITERAL-" "RFC 7888",
    Enable "ENABLE" "RFC 5161",
    Id "ID" "RFC 2971",
    Idle "IDLE" "RFC 2177",
    Namespace "NAMESPACE" "RFC 2342",
    Unselect "UNSELECT" "RFC 3691",
    UidPlus "UIDPLUS" "RFC 4315",
    Move "MOVE" "RFC 6851",
    Children "CHILDREN" "RFC 3348",
    SpecialUse "SPECIAL-USE" "RFC 6154",
    CreateSpecialUse "CREATE-SPECIAL-USE" "RFC 6154",
    ListExtended "LIST-EXTENDED" "RFC 5258",
    ListStatus "LIST-STATUS" "RFC 5819",
    StatusSize "STATUS=SIZE" "RFC 8438",
    AppendLimit "APPENDLIMIT" "RFC 7889",
    Esearch "ESEARCH" "RFC 4731",
    SearchRes "SEARCHRES" "RFC 5182",
    Within "WITHIN" "RFC 5032",
    Partial "PARTIAL" "RFC 9394",
    CondStore "CONDSTORE" "RFC 7162",
    QResync "QRESYNC" "RFC 7162",
    Binary "BINARY" "RFC 3516",
    Utf8Accept "UTF8=ACCEPT" "RFC 6855",
    Utf8Only "UTF8=ONLY" "RFC 6855",
    ObjectId "OBJECTID" "RFC 8474",
    SaveDate "SAVEDATE" "RFC 8514",
    Preview "PREVIEW" "RFC 8970",
    Sort "SORT" "RFC 5256",
    Quota "QUOTA" "RFC 9208",
    Acl "ACL" "RFC 4314",
    Metadata "METADATA" "RFC 5464",
    Notify "NOTIFY" "RFC 5465",
    MultiAppend "MULTIAPPEND" "RFC 3502",
    Unauthenticate "UNAUTHENTICATE" "RFC 8437",
    CompressDeflate "COMPRESS=DEFLATE" "RFC 4978",
    UidOnly "UIDONLY" "RFC 9586",
}

impl Capability {
    /// The capability of that word, in any case.
    pub fn new(word: Atom) -> Self {
        for (known, spelling) in Self::KNOWN {
            if word.is(spelling) {
                return known.clone();
            }
        }
        let text = word.as_str();
        match text.get(..5).filter(|start| start.eq_ignore_ascii_case("AUTH=")).and_then(|_| Atom::new(&text[5..]).ok())
        {
            Some(mechanism) => Self::Auth(mechanism),
            None => Self::Other(word),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Auth(_) = self {
            f.write_str("AUTH=")?;
        }
        f.write_str(self.spelling())
    }
}

/// A set of capabilities. Two are equal if they hold the same.
#[derive(Clone, Default)]
pub struct Capabilities {
    known: u64,
    others: Vec<Capability>,
}

impl Capabilities {
    /// None.
    pub const EMPTY: Self = Self { known: 0, others: Vec::new() };

    /// Adds one. Says whether it was new.
    pub fn insert(&mut self, capability: Capability) -> bool {
        let new = !self.contains(&capability);
        match capability.bit() {
            Some(bit) => self.known |= 1 << bit,
            None if new => self.others.push(capability),
            None => {}
        }
        new
    }

    /// Takes one away. Says whether it was there.
    pub fn remove(&mut self, capability: &Capability) -> bool {
        let there = self.contains(capability);
        match capability.bit() {
            Some(bit) => self.known &= !(1 << bit),
            None => self.others.retain(|other| other != capability),
        }
        there
    }

    /// Whether it is among them.
    pub fn contains(&self, capability: &Capability) -> bool {
        match capability.bit() {
            Some(bit) => self.known & 1 << bit != 0,
            None => self.others.contains(capability),
        }
    }

    /// Whether it says that this SASL mechanism may be used.
    pub fn authenticates(&self, mechanism: &str) -> bool {
        self.mechanisms().any(|name| name.is(mechanism))
    }

    /// The SASL mechanisms, in the order they were added.
    pub fn mechanisms(&self) -> impl Iterator<Item = &Atom> {
        self.others.iter().filter_map(|capability| match capability {
            Capability::Auth(name) => Some(name),
            _ => None,
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known == 0 && self.others.is_empty()
    }

    /// All: the known ones in a fixed order, IMAP4rev1 and IMAP4rev2 first, then the others as they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Capability> {
        let known = Capability::KNOWN.iter().enumerate().filter(|(bit, _)| self.known & (1 << bit) != 0);
        known.map(|(_, (capability, _))| capability).chain(&self.others)
    }
}

impl PartialEq for Capabilities {
    fn eq(&self, other: &Self) -> bool {
        self.known == other.known
            && self.others.len() == other.others.len()
            && self.others.iter().all(|capability| other.others.contains(capability))
    }
}

impl Eq for Capabilities {}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let mut set = Self::EMPTY;
        for capability in capabilities {
            set.insert(capability);
        }
        set
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|capability| alloc::format!("{capability}"))).finish()
    }
}
