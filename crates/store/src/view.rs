//! What reading gives.

use std::sync::Arc;

use bytes::Bytes;

use crate::{AccountId, BodyId, Flags, Lease, MailboxId, MailboxName, QueueId, UnixMillis};

/// An account as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// As in [`Op::SetPassword`](crate::Op::SetPassword).
    pub password_hash: Option<String>,
    /// Limit in octets.
    pub quota: Option<u64>,
    /// Octets used: the size of every message, copies included.
    pub used: u64,
    /// Messages in all mailboxes.
    pub messages: u64,
    /// The mod-sequence of the last change.
    pub modseq: u64,
}

/// A mailbox and its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its number.
    pub id: MailboxId,
    /// Its name.
    pub name: MailboxName,
    /// RFC 6154 attribute.
    pub special_use: Option<String>,
    /// Whether the name is subscribed.
    pub subscribed: bool,
    /// UIDVALIDITY; no two mailboxes an account ever had share one.
    pub uidvalidity: u32,
    /// UIDNEXT.
    pub uidnext: u32,
    /// HIGHESTMODSEQ.
    pub highest_modseq: u64,
    /// MESSAGES.
    pub messages: u32,
    /// UNSEEN: messages without `\Seen`.
    pub unseen: u32,
    /// DELETED: messages with `\Deleted`.
    pub deleted: u32,
    /// SIZE in octets.
    pub size: u64,
}

/// One line of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// UID.
    pub uid: u32,
    /// Flags.
    pub flags: Flags,
    /// Mod-sequence.
    pub modseq: u64,
}

/// A mailbox at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The mailbox's figures at that moment.
    pub mailbox: Mailbox,
    /// The account's mod-sequence at that moment: what to give [`changes`](crate::Engine::changes) first.
    pub modseq: u64,
    /// Every message, by ascending UID.
    pub entries: Arc<Vec<Entry>>,
}

/// A message without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// UID.
    pub uid: u32,
    /// Flags.
    pub flags: Flags,
    /// Mod-sequence.
    pub modseq: u64,
    /// INTERNALDATE.
    pub internal_date: UnixMillis,
    /// SAVEDATE.
    pub saved: UnixMillis,
    /// RFC822.SIZE.
    pub size: u64,
    /// Where its content is.
    pub body: BodyId,
    /// What the caller gave with the body ([`Append::cache`](crate::Append)); empty if nothing or not asked for.
    pub cache: Bytes,
}

/// One entry of an account's change log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The mod-sequence it was made at. Ascending; an operation's changes share one.
    pub modseq: u64,
    /// Where.
    pub mailbox: MailboxId,
    /// What.
    pub kind: ChangeKind,
    /// First UID concerned; 0 if it concerns the mailbox as a whole.
    pub first: u32,
    /// Last UID concerned. UIDs in between that do not exist are not concerned.
    pub last: u32,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Messages came.
    Added,
    /// Flags changed.
    Flags,
    /// Messages went.
    Expunged,
    /// The mailbox was made.
    MailboxCreated,
    /// The mailbox has another name.
    MailboxRenamed,
    /// The mailbox and its messages are gone.
    MailboxDeleted,
    /// The account's subscriptions changed; `mailbox` is the one of that name, or 0.
    Subscription,
}

/// A part of an account's change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The changes, ascending.
    pub changes: Vec<Change>,
    /// All changes up to this mod-sequence are in: give it as the next `since`.
    pub upto: u64,
    /// Whether `upto` was not the newest: there are more.
    pub more: bool,
    /// The log is complete above this mod-sequence. If `since` is below it, changes are missing and the caller must
    /// compare with a full [`Snapshot`].
    pub low_modseq: u64,
}

/// A queue entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its number.
    pub id: QueueId,
    /// When the next attempt is due.
    pub due: UnixMillis,
    /// How often it was leased.
    pub attempts: u32,
    /// Whether it is held back.
    pub held: bool,
    /// The claim on it, if any; it may have run out.
    pub lease: Option<Lease>,
    /// The message.
    pub body: BodyId,
    /// The message's size in octets.
    pub size: u64,
    /// As given.
    pub envelope: Bytes,
    /// As last given.
    pub state: Bytes,
}

/// Wakes after commits. A hint: some commits may share a wake-up; [`changes`](crate::Engine::changes) is the truth.
#[derive(Clone, Debug)]
pub struct Watch(pub(crate) tokio::sync::watch::Receiver<u64>);

impl Watch {
    /// Waits for a commit since the last call (or since the watch was made) and gives the account's mod-sequence (for
    /// the queue, a counter). `None` when the store is closed. Cancel-safe.
    pub async fn changed(&mut self) -> Option<u64> {
        self.0.changed().await.ok()?;
        Some(*self.0.borrow_and_update())
    }
}
