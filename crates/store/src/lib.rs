//! Mailboxes and queue, durable: traits and the embedded engine.

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
