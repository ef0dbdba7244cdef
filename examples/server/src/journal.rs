//! What becomes of each message: one line a step in the log, and a stream of notes for who wants to watch.

use std::fmt;
use std::time::Duration;
use tokio::sync::broadcast;

/// Notes kept for a watcher that is behind; older ones are lost to it.
const BACKLOG: usize = 1024;

/// One step of a message's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// We took responsibility for it.
    Accepted {
        /// The transaction.
        id: String,
        /// Where reports go; empty is nowhere.
        from: String,
        /// How many recipients.
        recipients: usize,
        /// Octets.
        size: u64,
    },
    /// It is in a user's mailbox.
    Delivered {
        /// The transaction.
        id: String,
        /// The user's address.
        mailbox: String,
    },
    /// It waits for its destination.
    Queued {
        /// The transaction.
        id: String,
        /// The destination.
        destination: String,
    },
    /// DNS said where to.
    Resolved {
        /// The transaction.
        id: String,
        /// The question.
        name: String,
        /// What was said.
        answer: String,
        /// How long it took.
        took: Duration,
    },
    /// A host of the destination took it.
    Relayed {
        /// The transaction.
        id: String,
        /// For whom.
        recipient: String,
        /// Who took it.
        host: String,
        /// What it said.
        reply: String,
    },
    /// It is tried again later.
    Deferred {
        /// The transaction.
        id: String,
        /// For whom.
        recipient: String,
        /// Why.
        why: String,
        /// When.
        again: Duration,
    },
    /// It cannot be delivered; the sender is told.
    Bounced {
        /// The transaction.
        id: String,
        /// To whom.
        recipient: String,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { id, from, recipients, size } => {
                write!(f, "{id}: accepted from <{from}>, {recipients} recipients, {size} octets")
            }
            Self::Delivered { id, mailbox } => write!(f, "{id}: delivered to the mailbox of <{mailbox}>"),
            Self::Queued { id, destination } => write!(f, "{id}: queued for {destination}"),
            Self::Resolved { id, name, answer, took } => write!(f, "{id}: {name}: {answer} ({took:.1?})"),
            Self::Relayed { id, recipient, host, reply } => write!(f, "{id}: <{recipient}> relayed to {host}: {reply}"),
            Self::Deferred { id, recipient, why, again } => {
                write!(f, "{id}: <{recipient}> deferred, again in {} s: {why}", again.as_secs())
            }
            Self::Bounced { id, recipient, why } => write!(f, "{id}: <{recipient}> bounced: {why}"),
        }
    }
}

/// Where notes go.
#[derive(Clone)]
pub struct Journal(broadcast::Sender<Note>);

impl Default for Journal {
    fn default() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }
}

impl Journal {
    /// Writes a note down.
    pub fn note(&self, note: Note) {
        tracing::info!(target: "mail", "{note}");
        // Nobody need be watching.
        let _ = self.0.send(note);
    }

    /// Watches from now on.
    pub fn watch(&self) -> broadcast::Receiver<Note> {
        self.0.subscribe()
    }
}
