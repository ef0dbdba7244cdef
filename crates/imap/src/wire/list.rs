//! LIST, LSUB and NAMESPACE.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::atom::Atom;
use super::mailbox::{Mailbox, decode_utf7, encode_utf7};
use super::status::StatusItems;

/// A LIST command, basic or extended (RFC 9051, 6.3.9).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// Which mailboxes, among those that match.
    pub select: ListSelect,
    /// What the patterns are relative to; usually empty.
    pub reference: ListPattern,
    /// One of these must match. Never empty.
    pub patterns: Vec<ListPattern>,
    /// What to say about each.
    pub returns: ListReturn,
    /// Whether it has the extended form: options, or a list of patterns. Basic LIST with an empty pattern asks for
    /// the hierarchy delimiter.
    pub extended: bool,
}

/// Selection options of LIST.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ListSelect {
    /// SUBSCRIBED: only subscribed names, which may not exist.
    pub subscribed: bool,
    /// REMOTE: also mailboxes of other servers.
    pub remote: bool,
    /// RECURSIVEMATCH: also those with matching children.
    pub recursive_match: bool,
    /// SPECIAL-USE: only those with a special use (RFC 6154).
    pub special_use: bool,
}

/// Return options of LIST.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ListReturn {
    /// SUBSCRIBED: say whether it is subscribed.
    pub subscribed: bool,
    /// CHILDREN: say whether it has children.
    pub children: bool,
    /// SPECIAL-USE: say what it is for (RFC 6154).
    pub special_use: bool,
    /// STATUS: send a STATUS response for each that can be selected (RFC 5819).
    pub status: StatusItems,
}

/// A mailbox name in which `*` stands for anything and `%` for anything but the hierarchy delimiter.
#[derive(Clone, PartialEq, Eq)]
pub struct ListPattern(Pattern);

#[derive(Clone, PartialEq, Eq)]
enum Pattern {
    Text(String),
    Odd(Box<[u8]>),
}

impl ListPattern {
    /// Any text without control characters; may be empty. `None` if there is a control character.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.chars().any(char::is_control)).then_some(Self(Pattern::Text(text)))
    }

    /// The empty pattern or reference.
    pub fn empty() -> Self {
        Self(Pattern::Text(String::new()))
    }

    /// The pattern, decoded. `None` if the peer sent something that cannot match any mailbox.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Pattern::Text(text) => Some(text),
            Pattern::Odd(_) => None,
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.as_str() == Some("")
    }

    pub(crate) fn decode(octets: &[u8], utf8: bool) -> Self {
        let text = if utf8 { String::from_utf8(octets.into()).ok() } else { decode_utf7(octets) };
        text.and_then(Self::new).unwrap_or_else(|| Self(Pattern::Odd(octets.into())))
    }

    pub(crate) fn encode(&self, utf8: bool) -> alloc::borrow::Cow<'_, [u8]> {
        match &self.0 {
            Pattern::Text(text) if utf8 => text.as_bytes().into(),
            Pattern::Text(text) => encode_utf7(text),
            Pattern::Odd(octets) => octets.as_ref().into(),
        }
    }

    /// Whether `name` matches, with that hierarchy delimiter. Linear in the product of the lengths at worst, and
    /// without recursion, whatever the pattern.
    pub fn matches(&self, name: &str, delimiter: Option<char>) -> bool {
        let Some(pattern) = self.as_str() else { return false };
        let pattern: Vec<char> = pattern.chars().collect();
        // Which prefixes of the pattern match the name so far.
        let mut reached = alloc::vec![false; pattern.len() + 1];
        reached[0] = true;
        let skip_wildcards = |reached: &mut [bool]| {
            for (i, c) in pattern.iter().enumerate() {
                if reached[i] && matches!(c, '*' | '%') {
                    reached[i + 1] = true;
                }
            }
        };
        skip_wildcards(&mut reached);
        for c in name.chars() {
            for i in (0..=pattern.len()).rev() {
                let stays = match pattern.get(i) {
                    Some('*') => true,
                    Some('%') => Some(c) != delimiter,
                    Some(_) | None => false,
                };
                let steps = i > 0 && reached[i - 1] && pattern[i - 1] == c && !matches!(c, '*' | '%');
                reached[i] = reached[i] && stays || steps;
            }
            skip_wildcards(&mut reached);
        }
        reached[pattern.len()]
    }
}

impl fmt::Debug for ListPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Text(text) => fmt::Debug::fmt(text, f),
            Pattern::Odd(octets) => write!(f, "odd \"{}\"", octets.escape_ascii()),
        }
    }
}

/// What LIST says about a mailbox: attributes of its name and special uses (RFC 9051, 7.3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MailboxAttribute {
    /// `\Noselect`: cannot be selected.
    NoSelect,
    /// `\NonExistent`: there is no such mailbox, only children or a subscription.
    NonExistent,
    /// `\Noinferiors`: cannot have children.
    NoInferiors,
    /// `\HasChildren`.
    HasChildren,
    /// `\HasNoChildren`.
    HasNoChildren,
    /// `\Marked`: probably has new messages.
    Marked,
    /// `\Unmarked`: has no new messages.
    Unmarked,
    /// `\Subscribed`.
    Subscribed,
    /// `\Remote`: on another server.
    Remote,
    /// `\All`: all messages of the user.
    All,
    /// `\Archive`.
    Archive,
    /// `\Drafts`.
    Drafts,
    /// `\Flagged`: all flagged messages.
    Flagged,
    /// `\Junk`.
    Junk,
    /// `\Sent`.
    Sent,
    /// `\Trash`.
    Trash,
    /// `\Important` (RFC 8457).
    Important,
    /// Another one; without its backslash.
    Other(Atom),
}

impl MailboxAttribute {
    const KNOWN: &[(Self, &'static str)] = &[
        (Self::NoSelect, "Noselect"),
        (Self::NonExistent, "NonExistent"),
        (Self::NoInferiors, "Noinferiors"),
        (Self::HasChildren, "HasChildren"),
        (Self::HasNoChildren, "HasNoChildren"),
        (Self::Marked, "Marked"),
        (Self::Unmarked, "Unmarked"),
        (Self::Subscribed, "Subscribed"),
        (Self::Remote, "Remote"),
        (Self::All, "All"),
        (Self::Archive, "Archive"),
        (Self::Drafts, "Drafts"),
        (Self::Flagged, "Flagged"),
        (Self::Junk, "Junk"),
        (Self::Sent, "Sent"),
        (Self::Trash, "Trash"),
        (Self::Important, "Important"),
    ];

    /// Its word on the wire, without the backslash.
    pub fn name(&self) -> &str {
        if let Self::Other(name) = self {
            return name.as_str();
        }
        Self::KNOWN.iter().find(|(known, _)| known == self).expect("every other variant is in the table").1
    }

    /// The attribute of that word, in any case, without the backslash.
    pub fn new(name: Atom) -> Self {
        match Self::KNOWN.iter().find(|(_, word)| name.is(word)) {
            Some((known, _)) => known.clone(),
            None => Self::Other(name),
        }
    }

    /// The same for octets from the wire.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let known = Self::KNOWN.iter().find(|(_, word)| word.as_bytes().eq_ignore_ascii_case(bytes));
        match known {
            Some((known, _)) => Some(known.clone()),
            None => Atom::from_bytes(bytes).map(Self::Other),
        }
    }

    /// Whether it says what the mailbox is for (RFC 6154).
    pub fn is_special_use(&self) -> bool {
        match self {
            Self::All | Self::Archive | Self::Drafts | Self::Flagged | Self::Junk | Self::Sent | Self::Trash => true,
            Self::Important => true,
            Self::NoSelect | Self::NonExistent | Self::NoInferiors | Self::HasChildren | Self::HasNoChildren => false,
            Self::Marked | Self::Unmarked | Self::Subscribed | Self::Remote | Self::Other(_) => false,
        }
    }
}

/// One LIST or LSUB response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListEntry {
    /// Attributes.
    pub attributes: Vec<MailboxAttribute>,
    /// The hierarchy delimiter; `None` if names are flat.
    pub delimiter: Option<char>,
    /// The name. `None` if it is empty, as in the answer to `LIST "" ""`.
    pub mailbox: Option<Mailbox>,
    /// CHILDINFO: which selection options a child meets (RFC 5258).
    pub child_info: Vec<Atom>,
    /// OLDNAME: what it was called before (RFC 9051, 6.3.9.7).
    pub old_name: Option<Mailbox>,
}

/// One place where mailboxes live.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamespaceEntry {
    /// What the names there begin with; fit to be the reference of LIST.
    pub prefix: ListPattern,
    /// Their hierarchy delimiter.
    pub delimiter: Option<char>,
}

/// The answer to NAMESPACE (RFC 2342; RFC 9051, 6.3.10). NIL is an empty list.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Namespaces {
    /// The user's own.
    pub personal: Vec<NamespaceEntry>,
    /// Other users'.
    pub other_users: Vec<NamespaceEntry>,
    /// Everybody's.
    pub shared: Vec<NamespaceEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_list_does() {
        let matches = |pattern: &str, name: &str| ListPattern::new(pattern).unwrap().matches(name, Some('/'));
        assert!(matches("*", "a/b/c"));
        assert!(matches("%", "a") && !matches("%", "a/b"));
        assert!(matches("a/%", "a/b") && !matches("a/%", "a/b/c") && !matches("a/%", "a"));
        assert!(matches("a*c", "a/b/c") && matches("a%*c", "abc") && !matches("a", "ab"));
        assert!(matches("%/%", "x/y") && !matches("", "x") && matches("", ""));
        assert!(!matches(&"*a".repeat(500), &"a".repeat(400)));
    }
}
