//! The entries: what an RFC asks, of whom, and how it stands.

use serde::Deserialize;
use std::fmt;

/// What one RFC asks of us: `docs/requirements/rfcNNNN.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rfc {
    #[serde(rename = "rfc")]
    pub(super) number: u32,
    pub(super) title: String,
    /// What is left out as a whole, and whatever else a reader should know.
    pub(super) note: Option<String>,
    #[serde(default, rename = "requirement")]
    pub(super) requirements: Vec<Entry>,
}

/// One requirement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// `5321-4.5.2-3`: the RFC, the section, and a number within it.
    pub(super) id: String,
    pub(super) level: Level,
    pub(super) binds: Party,
    pub(super) status: Status,
    /// The requirement in our words. The RFC has the exact ones.
    pub(super) says: String,
    /// Why an exception is one.
    pub(super) reason: Option<String>,
}

/// How strongly it is asked for (RFC 2119). REQUIRED and SHALL are MUST.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(super) enum Level {
    #[serde(rename = "MUST")]
    Must,
    #[serde(rename = "MUST NOT")]
    MustNot,
    #[serde(rename = "SHOULD")]
    Should,
    #[serde(rename = "SHOULD NOT")]
    ShouldNot,
    /// Only where we rely on it.
    #[serde(rename = "MAY")]
    May,
}

/// Whom it binds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Party {
    Server,
    Client,
    Both,
}

/// How it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// Obeyed and tested.
    Done,
    /// Neither obeyed nor excused.
    Todo,
    /// Not obeyed, or not ours to obey, for a reason.
    Exception,
}

impl Rfc {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }
}

impl Entry {
    /// The section it stands in.
    pub(super) fn section(&self) -> &str {
        self.id.split('-').nth(1).unwrap_or_default()
    }

    /// Whether the id is of the form `RFC-SECTION-NUMBER`.
    pub(super) fn id_fits(&self, rfc: u32) -> bool {
        let mut parts = self.id.split('-');
        let section = |text: &str| {
            !text.is_empty() && text.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric()))
        };
        parts.next() == Some(rfc.to_string().as_str())
            && parts.next().is_some_and(section)
            && parts.next().is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 0))
            && parts.next().is_none()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Must => "MUST",
            Self::MustNot => "MUST NOT",
            Self::Should => "SHOULD",
            Self::ShouldNot => "SHOULD NOT",
            Self::May => "MAY",
        })
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Todo => "todo",
            Self::Exception => "exception",
        })
    }
}
