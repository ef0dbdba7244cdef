//! Mailboxes and queue, durable.
//!
//! One interface, [`Engine`], for what a mail server keeps: accounts, their mailboxes, the messages in them with flags
//! and mod-sequences, and the queue of messages on their way. Everything that changes something is an [`Op`]; a `Vec`
//! of them is a batch, done whole or not at all. Everything else reads. [`Store`] is the engine that needs no set-up: a
//! directory.
//!
//! ```
//! use postrider_store::{Append, BodyWrite, Engine, Flags, MailboxId, NewAccount, Options, Store, UidSet, UnixMillis};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let (dir, now) = (dir.path(), UnixMillis(1_700_000_000_000));
//! let store = Store::open(dir, Options::default())?;
//! let anna = NewAccount { name: "anna".into(), password_hash: None, quota: None, created: now };
//! let anna = store.create_account(anna).await?;
//! let mut watch = store.watch(anna);
//!
//! // A body is written as it comes in, of any size in flat memory; then a batch refers to it.
//! let mut body = store.body();
//! body.write(b"Subject: hello\r\n\r\nHow are you?\r\n").await?;
//! let body = body.finish().await?;
//! let (uidvalidity, uid) = store
//!     .append(Append {
//!         account: anna,
//!         mailbox: MailboxId::INBOX,
//!         body,
//!         flags: Flags::NONE,
//!         internal_date: now,
//!         saved: now,
//!         cache: "what FETCH ENVELOPE will want".into(),
//!     })
//!     .await?; // Now it is on the disk, and 250 or OK may be said.
//! assert_eq!(uid, 1);
//!
//! // Whoever watches wakes, and learns what changed.
//! let newest = watch.changed().await;
//! let changes = store.changes(anna, Some(MailboxId::INBOX), 1, 100).await?;
//! assert_eq!(newest, Some(changes.upto));
//! for change in changes.changes {
//!     let uids = UidSet::range(change.first..=change.last);
//!     for message in store.messages(anna, change.mailbox, &uids, true, 100).await? {
//!         let start = store.read(&message.body.into(), 0, 14).await?;
//!         assert_eq!(&start[..], b"Subject: hello");
//!     }
//! }
//! # assert!(uidvalidity > 0);
//! # Ok(()) }
//! ```
//!
//! # What every engine promises
//!
//! - **Acknowledged is durable.** A [`commit`](Engine::commit) returns after the sync, and nobody sees what is not
//!   synced. If a sync fails, the store is read-only until it is opened again: no sync is tried twice.
//! - **A batch happens whole or not at all**, whatever crashes when.
//! - **Mod-sequences** count up per account, one for each operation that changes something; **UIDs** count up per
//!   mailbox; both are assigned where the change becomes visible, so a reader that has seen one has seen all below it.
//!   UIDVALIDITY, [`MailboxId`], [`AccountId`] and [`QueueId`] are never used again.
//! - **The change log is the truth** ([`changes`](Engine::changes)), and says from where it is complete; a [`Watch`] is
//!   a hint.
//! - **Bodies come first**, then what refers to them. A body used by many messages and queue entries is stored once.
//!   Expunging a message leaves its body readable, by its [`BodyId`], until [`Store::compact`].
//! - **Time** is the caller's: the store has no clock.
//!
//! # The embedded engine
//!
//! | file | holds |
//! |---|---|
//! | `LOCK` | a lock, exclusive while the store is open |
//! | `seg/NNNNNNNNNN.seg` | the log: small bodies and the effects of every batch, append-only, a new file every 64 MiB |
//! | `body/NNNNNNNNNN.body` | a body above 256 KiB |
//! | `index/index.db` | SQLite: what the log adds up to; can be deleted, and is made again |
//!
//! Every octet in `seg` and `body` sits in a record: magic, length, kind, number, CRC-32C, payload. One thread writes:
//! all batches that wait become one write and one `fdatasync`, however many they are; then the index is committed,
//! without a sync of its own; then they are answered. A body above 256 KiB costs a sync of its file and one of the
//! directory besides. Opening cuts off a tail that is not a whole, sound group, and applies to the index what it has
//! not seen.
//!
//! # Not yet
//!
//! An engine on PostgreSQL; a search index; compressed bodies; deduplication of equal bodies written separately; hot
//! backup; trimming the change log by itself (there is [`Op::TrimChanges`]); compacting while writing goes on.

mod body;
pub mod embedded;
mod engine;
mod error;
mod flags;
mod ids;
mod name;
mod op;
mod view;

pub use body::Body;
pub use embedded::{Options, Store};
pub use engine::{BodyWrite, Engine};
pub use error::{Error, Result, What};
pub use flags::{BadFlag, Flags};
pub use ids::{AccountId, BodyId, LeaseOwner, MailboxId, QueueId, UidSet, UnixMillis};
pub use name::{BadName, MailboxName};
pub use op::{Append, Copied, CopyMessages, How, Lease, NewAccount, NewQueueEntry, Op, Outcome, StoreFlags, Stored};
pub use view::{Account, Change, ChangeKind, Changes, Entry, Mailbox, Message, QueueEntry, Snapshot, Watch};
