//! What can go wrong, sorted by what the caller should do about it.

use std::path::PathBuf;

/// The result of every call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. [`Error::is_transient`] says whether the same call may work later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `open`: another process holds the store.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// `open`: the directory or a file in it cannot be created or written.
    #[error("{} cannot be written: {reason}", dir.display())]
    NotWritable {
        /// The path that was tried.
        dir: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// `open`: the store was written by a newer version.
    #[error("the store has format {found}; this version reads formats up to {known}")]
    Newer {
        /// The format found.
        found: u32,
        /// The newest format this version reads.
        known: u32,
    },
    /// Stored bytes do not have the form or checksum they were written with.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// There is no such thing.
    #[error("no such {0}")]
    NotFound(What),
    /// The name is taken.
    #[error("the {0} exists already")]
    Exists(What),
    /// The message would take the account above its quota. Nothing of the batch was done.
    #[error("the quota of {quota} octets would be exceeded")]
    QuotaExceeded {
        /// The account's limit in octets.
        quota: u64,
    },
    /// A number of the store's own has run out or an argument is beyond a documented limit.
    #[error("limit reached: {0}")]
    Limit(&'static str),
    /// The request makes no sense, such as deleting INBOX or renaming a mailbox into itself.
    #[error("not possible: {0}")]
    Invalid(&'static str),
    /// The lease of the queue entry ran out or belongs to another owner.
    #[error("the queue entry is not leased to this owner")]
    LeaseLost,
    /// The disk is full. Nothing was stored; the call may be repeated.
    #[error("the disk is full")]
    Full,
    /// The system refused for now. Nothing was stored; the call may be repeated.
    #[error("temporarily failed: {0}")]
    Transient(String),
    /// A write or sync failed in a way that cannot be made good while the store is open; reading goes on.
    /// What was asked may or may not turn out to be stored when the store is opened again.
    #[error("the store is read-only since an error: {0}")]
    ReadOnly(String),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

/// What an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// An account.
    Account,
    /// A mailbox.
    Mailbox,
    /// A message body.
    Body,
    /// A queue entry.
    QueueEntry,
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            What::Account => "account",
            What::Mailbox => "mailbox",
            What::Body => "body",
            What::QueueEntry => "queue entry",
        })
    }
}

impl Error {
    /// Whether the peer should be told to try again later (451, NO without a permanent code).
    pub fn is_transient(&self) -> bool {
        match self {
            Error::InUse(_) | Error::Full | Error::Transient(_) | Error::ReadOnly(_) | Error::Closed => true,
            Error::NotWritable { .. }
            | Error::Newer { .. }
            | Error::Damaged(_)
            | Error::NotFound(_)
            | Error::Exists(_)
            | Error::QuotaExceeded { .. }
            | Error::Limit(_)
            | Error::Invalid(_)
            | Error::LeaseLost => false,
        }
    }

    /// An I/O error met while nothing was half-done.
    pub(crate) fn io(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::Full,
            _ => Error::Transient(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Damaged(format!("index: {error}")),
            Some(_) | None => Error::Transient(format!("index: {error}")),
        }
    }
}
