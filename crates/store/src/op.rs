//! What a batch is made of, and what comes back.

use bytes::Bytes;

use crate::{AccountId, Body, BodyId, Flags, LeaseOwner, MailboxId, MailboxName, QueueId, UidSet, UnixMillis};

/// One change. A `Vec<Op>` is a batch: all of it happens, in order, or nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Op {
    /// Makes an account with an empty INBOX. Answer: [`Outcome::Account`].
    CreateAccount(NewAccount),
    /// Sets or clears the text a password is verified against. Opaque to the store. Answer: [`Outcome::Done`].
    SetPassword {
        /// Whose.
        account: AccountId,
        /// Such as a PHC string; `None`: no password is right.
        hash: Option<String>,
    },
    /// Sets the quota in octets; `None` is no quota. Answer: [`Outcome::Done`].
    SetQuota {
        /// Whose.
        account: AccountId,
        /// The new limit; may lie below what is used.
        quota: Option<u64>,
    },
    /// Removes an account and all its mail. Answer: [`Outcome::Done`].
    RemoveAccount(AccountId),

    /// Makes a mailbox. Superior names are not made. Answer: [`Outcome::Mailbox`].
    CreateMailbox {
        /// Whose.
        account: AccountId,
        /// Its name; [`Error::Exists`](crate::Error::Exists) if taken.
        name: MailboxName,
        /// The RFC 6154 attribute, such as `\Sent`, if it has one.
        special_use: Option<String>,
    },
    /// Deletes a mailbox and its messages; those below it stay. INBOX cannot be deleted. Answer: [`Outcome::Done`].
    DeleteMailbox {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
    },
    /// Renames a mailbox and all below it. Renaming INBOX instead moves its messages to the new name and leaves INBOX
    /// and what is below it in place (RFC 3501, 6.3.5). `from` need not exist if something is below it.
    /// Answer: [`Outcome::Done`].
    RenameMailbox {
        /// Whose.
        account: AccountId,
        /// The old name.
        from: MailboxName,
        /// The new name: neither existing nor below `from`.
        to: MailboxName,
        /// The save date of messages moved out of INBOX.
        saved: UnixMillis,
    },
    /// Adds a name to the subscriptions or takes it away, whether the mailbox exists or not. Answer: [`Outcome::Done`].
    Subscribe {
        /// Whose.
        account: AccountId,
        /// The name.
        name: MailboxName,
        /// Subscribe or unsubscribe.
        on: bool,
    },

    /// Forgets an account's change log up to a mod-sequence; those who ask for older changes learn that they must
    /// compare everything ([`Changes::low_modseq`](crate::Changes)). Answer: [`Outcome::Done`].
    TrimChanges {
        /// Whose.
        account: AccountId,
        /// The last mod-sequence to forget.
        upto: u64,
    },

    /// Adds a message. Answer: [`Outcome::Appended`].
    Append(Append),
    /// Changes flags. Answer: [`Outcome::Stored`].
    Store(StoreFlags),
    /// Removes messages; UIDs that do not exist are passed over. Answer: [`Outcome::Expunged`].
    Expunge {
        /// Whose.
        account: AccountId,
        /// Where.
        mailbox: MailboxId,
        /// Which.
        uids: UidSet,
        /// Only those with `\Deleted` (IMAP EXPUNGE), or any (POP3 DELE).
        only_deleted: bool,
    },
    /// Copies messages, with flags and dates; UIDs that do not exist are passed over. Answer: [`Outcome::Copied`].
    Copy(CopyMessages),
    /// Copies and then removes the originals, in one step. Answer: [`Outcome::Copied`].
    Move(CopyMessages),

    /// Puts a message into the queue. Answer: [`Outcome::Queued`].
    Enqueue(NewQueueEntry),
    /// Writes down what became of an attempt and when the next is due, and ends the lease. Answer: [`Outcome::Done`].
    Defer {
        /// Which.
        id: QueueId,
        /// The holder of the lease; [`Error::LeaseLost`](crate::Error::LeaseLost) if it is another's. `None`: whoever.
        owner: Option<LeaseOwner>,
        /// When it is due next.
        due: UnixMillis,
        /// The new state, if it changed.
        state: Option<Bytes>,
    },
    /// Takes an entry out of the queue: delivered, bounced or dropped. Answer: [`Outcome::Done`].
    Dequeue {
        /// Which.
        id: QueueId,
        /// As in [`Op::Defer`].
        owner: Option<LeaseOwner>,
    },
    /// Keeps an entry from being leased, or lets it go again. Answer: [`Outcome::Done`].
    Hold {
        /// Which.
        id: QueueId,
        /// Hold or release.
        held: bool,
    },
    /// Ends all leases of an owner, so that their entries are due at once. Answer: [`Outcome::Done`].
    ReleaseLeases(LeaseOwner),
}

/// An account to make.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The name people log in with; unique, compared octet by octet.
    pub name: String,
    /// As in [`Op::SetPassword`].
    pub password_hash: Option<String>,
    /// Limit of stored octets.
    pub quota: Option<u64>,
    /// Now. UIDVALIDITY values start from it, so that an account made again never repeats one.
    pub created: UnixMillis,
}

/// A message to add.
#[derive(Clone, Debug)]
pub struct Append {
    /// Whose.
    pub account: AccountId,
    /// Where; INBOX is [`MailboxId::INBOX`].
    pub mailbox: MailboxId,
    /// The content.
    pub body: Body,
    /// Its flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub internal_date: UnixMillis,
    /// SAVEDATE (RFC 8514): now.
    pub saved: UnixMillis,
    /// Bytes derived from the body that the caller wants back without parsing it again, such as ENVELOPE and
    /// BODYSTRUCTURE. Kept with the body, shared by copies; empty is none; never looked into.
    pub cache: Bytes,
}

/// How [`StoreFlags`] changes flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// FLAGS: these and no others.
    Set,
    /// +FLAGS
    Add,
    /// -FLAGS
    Remove,
}

/// A change of flags.
#[derive(Clone, Debug)]
pub struct StoreFlags {
    /// Whose.
    pub account: AccountId,
    /// Where.
    pub mailbox: MailboxId,
    /// Which messages; UIDs that do not exist are passed over.
    pub uids: UidSet,
    /// How.
    pub how: How,
    /// The flags.
    pub flags: Flags,
    /// UNCHANGEDSINCE (RFC 7162, 3.1.3): messages with a higher mod-sequence are left alone and reported.
    pub unchanged_since: Option<u64>,
}

/// Messages to copy or move within an account.
#[derive(Clone, Debug)]
pub struct CopyMessages {
    /// Whose.
    pub account: AccountId,
    /// From where.
    pub from: MailboxId,
    /// Which.
    pub uids: UidSet,
    /// To where.
    pub to: MailboxId,
    /// SAVEDATE of the copies: now.
    pub saved: UnixMillis,
}

/// A message to put into the queue.
#[derive(Clone, Debug)]
pub struct NewQueueEntry {
    /// When the first attempt is due.
    pub due: UnixMillis,
    /// The message.
    pub body: Body,
    /// What never changes: sender, recipients, parameters. Opaque to the store.
    pub envelope: Bytes,
    /// What changes from attempt to attempt, such as each recipient's state. Opaque to the store.
    pub state: Bytes,
    /// Lease it at once to whoever will try it at once: spares the sync of a lease call.
    pub lease: Option<Lease>,
}

/// A claim on a queue entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose.
    pub owner: LeaseOwner,
    /// When it ends by itself.
    pub until: UnixMillis,
}

/// What an [`Op`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was done.
    Done,
    /// The account made.
    Account(AccountId),
    /// The mailbox made.
    Mailbox {
        /// Its name inside the account for ever.
        id: MailboxId,
        /// UIDVALIDITY.
        uidvalidity: u32,
    },
    /// The message added.
    Appended {
        /// UIDVALIDITY of the mailbox.
        uidvalidity: u32,
        /// Its UID.
        uid: u32,
        /// Its mod-sequence.
        modseq: u64,
        /// Where its content is.
        body: BodyId,
    },
    /// The flags changed.
    Stored(Stored),
    /// The messages removed.
    Expunged {
        /// Those that existed.
        uids: UidSet,
        /// The mod-sequence of the removal; the mailbox's highest if nothing was removed.
        modseq: u64,
    },
    /// The messages copied or moved.
    Copied(Copied),
    /// The queue entry made.
    Queued(QueueId),
}

/// What [`Op::Store`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Every message that was looked at and not refused: its UID, flags and mod-sequence now. A message that already
    /// had the flags keeps its mod-sequence.
    pub messages: Vec<(u32, Flags, u64)>,
    /// Messages left alone because of `unchanged_since` (MODIFIED).
    pub modified: UidSet,
}

/// What [`Op::Copy`] or [`Op::Move`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uidvalidity: u32,
    /// The messages that existed.
    pub source: UidSet,
    /// The UID of the first copy; the others follow without gap, in the order of `source`.
    pub first: u32,
    /// The mod-sequence of the last change.
    pub modseq: u64,
}

impl Copied {
    /// Each original's UID with its copy's.
    pub fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.source.iter().zip(self.first..)
    }

    /// The UIDs of the copies.
    pub fn target(&self) -> UidSet {
        match u32::try_from(self.source.len()) {
            Ok(n) if n > 0 => UidSet::range(self.first..=self.first + (n - 1)),
            _ => UidSet::new(),
        }
    }
}
