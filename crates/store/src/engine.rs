//! The interface every engine has.

use std::future::Future;

use bytes::Bytes;

use crate::{
    Account, AccountId, Append, Body, Changes, Copied, CopyMessages, Error, LeaseOwner, Mailbox, MailboxId,
    MailboxName, Message, NewAccount, NewQueueEntry, Op, Outcome, QueueEntry, QueueId, Result, Snapshot, StoreFlags,
    Stored, UidSet, UnixMillis, Watch,
};

/// Mailboxes and queue, durable.
///
/// Every change is an [`Op`] in a batch given to [`commit`](Engine::commit); the methods below it with names of their
/// own are batches of one. Everything else reads, and sees every batch whose `commit` has returned.
///
/// All futures are cancel-safe in this sense: one dropped early may or may not have taken effect, never half.
pub trait Engine: Clone + Send + Sync + 'static {
    /// Takes one body's bytes.
    type BodyWriter: BodyWrite;

    /// Starts a body. Memory stays flat whatever its size.
    fn body(&self) -> Self::BodyWriter;

    /// Does a batch: all of it, in order, or nothing. Returns when it is durable and visible, one outcome per op.
    fn commit(&self, batch: Vec<Op>) -> impl Future<Output = Result<Vec<Outcome>>> + Send {
        async move {
            let mut all = self.commit_many(vec![batch]).await;
            all.pop().unwrap_or(Err(Error::Closed))
        }
    }

    /// Does several batches in one sync, each on its own terms: one that fails leaves the others alone. The results are
    /// in the order given.
    fn commit_many(&self, batches: Vec<Vec<Op>>) -> impl Future<Output = Vec<Result<Vec<Outcome>>>> + Send;

    /// Up to `max` octets of a body from `offset`; empty at its end. Fewer may come, never none before the end.
    fn read(&self, body: &Body, offset: u64, max: usize) -> impl Future<Output = Result<Bytes>> + Send;

    /// The account of that name.
    fn find_account(&self, name: &str) -> impl Future<Output = Result<Account>> + Send;
    /// The account of that number.
    fn account(&self, id: AccountId) -> impl Future<Output = Result<Account>> + Send;
    /// All accounts, by name.
    fn accounts(&self) -> impl Future<Output = Result<Vec<Account>>> + Send;

    /// All mailboxes with their figures, by name.
    fn mailboxes(&self, account: AccountId) -> impl Future<Output = Result<Vec<Mailbox>>> + Send;
    /// The mailbox of that name.
    fn mailbox(&self, account: AccountId, name: &MailboxName) -> impl Future<Output = Result<Mailbox>> + Send;
    /// All subscribed names, whether the mailbox exists or not.
    fn subscriptions(&self, account: AccountId) -> impl Future<Output = Result<Vec<MailboxName>>> + Send;

    /// The mailbox and the UID, flags and mod-sequence of each message, all at one moment.
    fn snapshot(&self, account: AccountId, mailbox: MailboxId) -> impl Future<Output = Result<Snapshot>> + Send;
    /// The first `limit` messages of `uids` that exist, by ascending UID, with the caller's cache bytes if `cache`. To
    /// go on, ask again from the UID after the last.
    fn messages(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &UidSet,
        cache: bool,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Message>>> + Send;
    /// What changed after the mod-sequence `since`, of the account or of one mailbox: about `limit` entries (those of
    /// one operation are never parted), and how to go on.
    fn changes(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
        since: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Changes>> + Send;
    /// Wakes after each commit that changed the account, before that commit's future is ready.
    fn watch(&self, account: AccountId) -> Watch;

    /// Takes up to `max` entries that are due, not held and not leased, oldest due first, and leases them until
    /// `until`. Durable before it returns: an attempt is written down before it is made.
    fn lease(
        &self,
        now: UnixMillis,
        owner: LeaseOwner,
        max: usize,
        until: UnixMillis,
    ) -> impl Future<Output = Result<Vec<QueueEntry>>> + Send;
    /// A queue entry.
    fn queued(&self, id: QueueId) -> impl Future<Output = Result<QueueEntry>> + Send;
    /// Up to `limit` queue entries above `after`, by number.
    fn queue(&self, after: Option<QueueId>, limit: usize) -> impl Future<Output = Result<Vec<QueueEntry>>> + Send;
    /// When [`lease`](Engine::lease) will next find something: the earliest due time, or end of a lease. `None`:
    /// nothing waits.
    fn next_due(&self) -> impl Future<Output = Result<Option<UnixMillis>>> + Send;
    /// Wakes after each commit that changed the queue.
    fn watch_queue(&self) -> Watch;

    /// [`Op::CreateAccount`].
    fn create_account(&self, account: NewAccount) -> impl Future<Output = Result<AccountId>> + Send {
        async move {
            match self.one(Op::CreateAccount(account)).await? {
                Outcome::Account(id) => Ok(id),
                other => unexpected(&other),
            }
        }
    }

    /// [`Op::CreateMailbox`].
    fn create_mailbox(
        &self,
        account: AccountId,
        name: MailboxName,
        special_use: Option<&str>,
    ) -> impl Future<Output = Result<MailboxId>> + Send {
        let special_use = special_use.map(Into::into);
        async move {
            match self.one(Op::CreateMailbox { account, name, special_use }).await? {
                Outcome::Mailbox { id, .. } => Ok(id),
                other => unexpected(&other),
            }
        }
    }

    /// [`Op::Append`]; gives the UIDVALIDITY and UID.
    fn append(&self, append: Append) -> impl Future<Output = Result<(u32, u32)>> + Send {
        async move {
            match self.one(Op::Append(append)).await? {
                Outcome::Appended { uidvalidity, uid, .. } => Ok((uidvalidity, uid)),
                other => unexpected(&other),
            }
        }
    }

    /// [`Op::Store`].
    fn store_flags(&self, change: StoreFlags) -> impl Future<Output = Result<Stored>> + Send {
        async move {
            match self.one(Op::Store(change)).await? {
                Outcome::Stored(stored) => Ok(stored),
                other => unexpected(&other),
            }
        }
    }

    /// [`Op::Expunge`]; gives the UIDs removed.
    fn expunge(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: UidSet,
        only_deleted: bool,
    ) -> impl Future<Output = Result<UidSet>> + Send {
        async move {
            match self.one(Op::Expunge { account, mailbox, uids, only_deleted }).await? {
                Outcome::Expunged { uids, .. } => Ok(uids),
                other => unexpected(&other),
            }
        }
    }

    /// [`Op::Copy`].
    fn copy(&self, what: CopyMessages) -> impl Future<Output = Result<Copied>> + Send {
        async move {
            match self.one(Op::Copy(what)).await? {
                Outcome::Copied(copied) => Ok(copied),
                other => unexpected(&other),
            }
        }
    }

    /// [`Op::Move`].
    fn move_messages(&self, what: CopyMessages) -> impl Future<Output = Result<Copied>> + Send {
        async move {
            match self.one(Op::Move(what)).await? {
                Outcome::Copied(copied) => Ok(copied),
                other => unexpected(&other),
            }
        }
    }

    /// [`Op::Enqueue`].
    fn enqueue(&self, entry: NewQueueEntry) -> impl Future<Output = Result<QueueId>> + Send {
        async move {
            match self.one(Op::Enqueue(entry)).await? {
                Outcome::Queued(id) => Ok(id),
                other => unexpected(&other),
            }
        }
    }

    /// A batch of one.
    fn one(&self, op: Op) -> impl Future<Output = Result<Outcome>> + Send {
        async move {
            let mut outcomes = self.commit(vec![op]).await?;
            Ok(outcomes.pop().expect("an engine gives one outcome per op"))
        }
    }
}

/// Takes the bytes of one body. Dropped before `finish`, it leaves nothing behind.
pub trait BodyWrite: Send + 'static {
    /// Takes more bytes. [`Error::Full`] and others: the body cannot be finished; drop it.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = Result<()>> + Send;
    /// The octets taken so far.
    fn size(&self) -> u64;
    /// Ends the body.
    fn finish(self) -> impl Future<Output = Result<Body>> + Send;
}

fn unexpected<T>(outcome: &Outcome) -> T {
    unreachable!("an engine gave {outcome:?} for an operation that has another outcome")
}
