//! Mailbox names: UTF-8, levels parted by `/`.

use std::fmt;
use std::sync::Arc;

/// A mailbox name in its one canonical form.
///
/// Levels are parted by `/` and none is empty; no control characters; the first level `inbox` in any case is
/// `INBOX` (RFC 9051, 5.1). At most [`MailboxName::MAX_OCTETS`] and [`MailboxName::MAX_LEVELS`]. Names are keys in a
/// database, never paths.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(Arc<str>);

/// Why a name is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadName {
    /// Nothing, or nothing before, after or between two `/`.
    #[error("a level of the mailbox name is empty")]
    EmptyLevel,
    /// Too many octets or levels.
    #[error("the mailbox name is too long")]
    TooLong,
    /// A control character.
    #[error("the mailbox name has a control character")]
    Control,
}

impl MailboxName {
    /// Longest name in octets of UTF-8.
    pub const MAX_OCTETS: usize = 1000;
    /// Most levels.
    pub const MAX_LEVELS: usize = 32;

    /// `INBOX`
    pub fn inbox() -> Self {
        MailboxName("INBOX".into())
    }

    /// Checks a name and brings it into canonical form.
    pub fn new(name: &str) -> Result<Self, BadName> {
        if name.len() > Self::MAX_OCTETS || name.split('/').nth(Self::MAX_LEVELS).is_some() {
            return Err(BadName::TooLong);
        }
        if name.chars().any(|c| c.is_control() || ('\u{2028}'..='\u{2029}').contains(&c)) {
            return Err(BadName::Control);
        }
        if name.split('/').any(str::is_empty) {
            return Err(BadName::EmptyLevel);
        }
        match name.split_at_checked(5) {
            Some((first, rest))
                if first.eq_ignore_ascii_case("INBOX") && (rest.is_empty() || rest.starts_with('/')) =>
            {
                Ok(MailboxName(format!("INBOX{rest}").into()))
            }
            _ => Ok(MailboxName(name.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is INBOX itself.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }

    /// Whether this name lies below `other`.
    pub fn is_below(&self, other: &MailboxName) -> bool {
        self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The name one level up, if there is one.
    pub fn parent(&self) -> Option<MailboxName> {
        self.0.rsplit_once('/').map(|(parent, _)| MailboxName(parent.into()))
    }

    /// From what was stored, which was canonical.
    pub(crate) fn from_stored(name: &str) -> Self {
        MailboxName(name.into())
    }
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
