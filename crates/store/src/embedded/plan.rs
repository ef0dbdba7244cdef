//! From operations to effects: checks what is asked against the index, assigns numbers, and applies each effect at
//! once, so that the next operation sees it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::effect::{BodyPlace, Effect, Place, Sums};
use super::index::{self, Index};
use super::read::queue_entry;
use super::record::{self, Kind};
use crate::body::{Content, Staged};
use crate::{
    AccountId, Append, Body, BodyId, Copied, CopyMessages, Error, Flags, How, Lease, LeaseOwner, MailboxId,
    MailboxName, NewQueueEntry, Op, Outcome, QueueEntry, QueueId, Result, StoreFlags, Stored, UidSet, UnixMillis, What,
};

/// Most operations in one batch.
pub const MAX_BATCH: usize = 10_000;
/// Largest cache given with a body, and largest envelope or state of a queue entry, in octets.
pub const MAX_OPAQUE: usize = 4 << 20;
const MAX_MAILBOXES: i64 = 100_000;
/// No effect is begun beyond this many octets, so that a group fits one record.
const MAX_EFFECTS: usize = 256 << 20;

/// What one group will write, as it grows.
pub(super) struct Plan {
    /// Where the group's first octet will be.
    pub(super) segment: u64,
    pub(super) at: u64,
    /// Body records, complete.
    pub(super) bodies: Vec<u8>,
    /// The Ops record's payload.
    pub(super) effects: Vec<u8>,
    /// Staged bodies that got a number in this group, by address.
    pub(super) staged: HashMap<usize, (Arc<Staged>, BodyId)>,
    /// Accounts changed, with their last mod-sequence.
    pub(super) touched: BTreeMap<AccountId, u64>,
    pub(super) queue_touched: bool,
    /// The index and `effects` may disagree: the whole group must fail.
    pub(super) broken: Option<Error>,
}

/// What to go back to if a batch fails.
pub(super) struct Mark {
    bodies: usize,
    effects: usize,
    staged: Vec<usize>,
    counters: index::Counters,
}

struct MailboxRow {
    uidvalidity: u32,
    uidnext: i64,
    modseq: u64,
    sums: Sums,
}

impl Plan {
    pub(super) fn new(segment: u64, at: u64) -> Self {
        Plan {
            segment,
            at,
            bodies: Vec::new(),
            effects: Vec::new(),
            staged: HashMap::new(),
            touched: BTreeMap::new(),
            queue_touched: false,
            broken: None,
        }
    }

    /// Does one batch, or leaves everything as it was.
    pub(super) fn batch<T>(&mut self, index: &mut Index, run: impl FnOnce(&mut Planner) -> Result<T>) -> Result<T> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        index.run("SAVEPOINT batch", [])?;
        let mark = Mark {
            bodies: self.bodies.len(),
            effects: self.effects.len(),
            staged: Vec::new(),
            counters: index.counters,
        };
        let mut planner = Planner { plan: self, index, mark, touched: BTreeMap::new(), queue_touched: false };
        match run(&mut planner) {
            Ok(done) => {
                let (touched, queue_touched) = (planner.touched, planner.queue_touched);
                self.touched.extend(touched);
                self.queue_touched |= queue_touched;
                let released = index.run("RELEASE batch", []);
                self.broken = released.err();
                self.broken.clone().map_or(Ok(done), Err)
            }
            Err(error) => {
                let mark = planner.mark;
                self.bodies.truncate(mark.bodies);
                self.effects.truncate(mark.effects);
                for address in mark.staged {
                    self.staged.remove(&address);
                }
                index.counters = mark.counters;
                // A full disk and the like may have rolled back the whole group already.
                let back = index.run("ROLLBACK TO batch", []).and_then(|_| index.run("RELEASE batch", []));
                if index.conn.is_autocommit() || back.is_err() {
                    self.broken = Some(error.clone());
                }
                Err(error)
            }
        }
    }
}

/// Plans one batch.
pub(super) struct Planner<'a> {
    plan: &'a mut Plan,
    index: &'a mut Index,
    mark: Mark,
    touched: BTreeMap<AccountId, u64>,
    queue_touched: bool,
}

impl Planner<'_> {
    pub(super) fn ops(&mut self, ops: Vec<Op>) -> Result<Vec<Outcome>> {
        if ops.len() > MAX_BATCH {
            return Err(Error::Limit("operations in a batch"));
        }
        ops.into_iter().map(|op| self.op(op)).collect()
    }

    fn op(&mut self, op: Op) -> Result<Outcome> {
        match op {
            Op::CreateAccount(new) => {
                if new.name.is_empty() || new.name.len() > 1000 || new.name.chars().any(char::is_control) {
                    return Err(Error::Invalid("an account name is 1 to 1000 octets without control characters"));
                }
                let taken = self.exists("SELECT 1 FROM account WHERE name = ?", [&new.name])?;
                if taken {
                    return Err(Error::Exists(What::Account));
                }
                let account = AccountId(self.index.counters.account);
                let seconds = new.created.0.div_euclid(1000).clamp(1, i64::from(u32::MAX / 2));
                self.emit(&Effect::AccountCreated {
                    account,
                    name: new.name,
                    password: new.password_hash,
                    quota: new.quota,
                    uidvalidity: seconds as u32,
                })?;
                self.touched.insert(account, 1);
                Ok(Outcome::Account(account))
            }
            Op::SetPassword { account, hash } => {
                self.modseq(account)?;
                self.emit(&Effect::PasswordSet { account, password: hash })?;
                Ok(Outcome::Done)
            }
            Op::SetQuota { account, quota } => {
                self.modseq(account)?;
                self.emit(&Effect::QuotaSet { account, quota })?;
                Ok(Outcome::Done)
            }
            Op::RemoveAccount(account) => {
                let last = self.modseq(account)?;
                self.emit(&Effect::AccountRemoved { account })?;
                self.touched.insert(account, last + 1);
                Ok(Outcome::Done)
            }
            Op::CreateMailbox { account, name, special_use } => {
                let (id, uidvalidity) = self.create_mailbox(account, &name, special_use)?;
                Ok(Outcome::Mailbox { id, uidvalidity })
            }
            Op::DeleteMailbox { account, mailbox } => {
                if mailbox == MailboxId::INBOX {
                    return Err(Error::Invalid("INBOX cannot be deleted"));
                }
                let sums = self.mailbox(account, mailbox)?.sums;
                let at = self.place(account, mailbox)?;
                self.emit(&Effect::MailboxDeleted { at, sums })?;
                Ok(Outcome::Done)
            }
            Op::RenameMailbox { account, from, to, saved } => self.rename(account, &from, &to, saved),
            Op::Subscribe { account, name, on } => {
                self.modseq(account)?;
                let key = params![account.0 as i64, name.as_str()];
                if self.exists("SELECT 1 FROM subscription WHERE account = ? AND name = ?", key)? != on {
                    let mailbox = self.mailbox_named(account, &name)?.unwrap_or(MailboxId(0));
                    let at = self.place(account, mailbox)?;
                    self.emit(&Effect::Subscribed { at, name: name.as_str().into(), on })?;
                }
                Ok(Outcome::Done)
            }
            Op::TrimChanges { account, upto } => {
                let upto = upto.min(self.modseq(account)?);
                let low = "SELECT 1 FROM account WHERE account = ? AND low_modseq < ?";
                if self.exists(low, params![account.0 as i64, upto as i64])? {
                    self.emit(&Effect::ChangesTrimmed { account, upto })?;
                }
                Ok(Outcome::Done)
            }
            Op::Append(append) => self.append(append),
            Op::Store(change) => self.store(change),
            Op::Expunge { account, mailbox, uids, only_deleted } => {
                let highest = self.mailbox(account, mailbox)?.modseq;
                let found = self.select(account, mailbox, &uids, |flags| !only_deleted || flags.is_deleted())?;
                if found.runs.is_empty() {
                    return Ok(Outcome::Expunged { uids: found.uids, modseq: highest });
                }
                let at = self.place(account, mailbox)?;
                self.emit(&Effect::Expunged { at, runs: found.runs, sums: found.sums })?;
                Ok(Outcome::Expunged { uids: found.uids, modseq: at.modseq })
            }
            Op::Copy(what) => Ok(Outcome::Copied(self.copy(&what, false)?)),
            Op::Move(what) => Ok(Outcome::Copied(self.copy(&what, true)?)),
            Op::Enqueue(entry) => self.enqueue(entry),
            Op::Defer { id, owner, due, state } => {
                check_opaque(state.as_deref().unwrap_or_default())?;
                self.leased_to(id, owner)?;
                self.emit_queue(&Effect::QueueDeferred { id, due, state: state.map(Into::into) })
            }
            Op::Dequeue { id, owner } => {
                self.leased_to(id, owner)?;
                self.emit_queue(&Effect::QueueRemoved { id })
            }
            Op::Hold { id, held } => {
                self.leased_to(id, None)?;
                self.emit_queue(&Effect::QueueHeld { id, held })
            }
            Op::ReleaseLeases(owner) => {
                if self.exists("SELECT 1 FROM queue WHERE owner = ?", [owner.0 as i64])? {
                    self.emit_queue(&Effect::LeasesReleased { owner })?;
                }
                Ok(Outcome::Done)
            }
        }
    }

    pub(super) fn lease(
        &mut self,
        now: UnixMillis,
        owner: LeaseOwner,
        max: usize,
        until: UnixMillis,
    ) -> Result<Vec<QueueEntry>> {
        let mut due: Vec<QueueEntry> = {
            let mut select = self
                .index
                .conn
                .prepare_cached("SELECT * FROM queue WHERE held = 0 AND ready <= ? ORDER BY ready, id LIMIT ?")?;
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            select.query_map(params![now.0, max], queue_entry)?.collect::<rusqlite::Result<_>>()?
        };
        let lease = Lease { owner, until };
        for entry in &mut due {
            self.emit_queue(&Effect::QueueLeased { id: entry.id, lease })?;
            entry.attempts += 1;
            entry.lease = Some(lease);
        }
        Ok(due)
    }

    /// Applies an effect and writes it down.
    fn emit(&mut self, effect: &Effect) -> Result<()> {
        if self.plan.effects.len() > MAX_EFFECTS {
            return Err(Error::Limit("octets of a batch"));
        }
        self.index.apply(effect)?;
        effect.encode(&mut self.plan.effects);
        Ok(())
    }

    fn emit_queue(&mut self, effect: &Effect) -> Result<Outcome> {
        self.queue_touched = true;
        self.emit(effect)?;
        Ok(Outcome::Done)
    }

    fn exists(&self, sql: &str, params: impl rusqlite::Params) -> Result<bool> {
        Ok(self.index.conn.prepare_cached(sql)?.exists(params)?)
    }

    fn modseq(&self, account: AccountId) -> Result<u64> {
        let mut select = self.index.conn.prepare_cached("SELECT modseq FROM account WHERE account = ?")?;
        let modseq: Option<i64> = select.query_row([account.0 as i64], |row| row.get(0)).optional()?;
        modseq.map(|n| n as u64).ok_or(Error::NotFound(What::Account))
    }

    /// The next mod-sequence of the account, taken.
    fn place(&mut self, account: AccountId, mailbox: MailboxId) -> Result<Place> {
        let modseq = self.modseq(account)? + 1;
        self.touched.insert(account, modseq);
        Ok(Place { account, mailbox, modseq })
    }

    fn mailbox(&self, account: AccountId, mailbox: MailboxId) -> Result<MailboxRow> {
        let mut select = self.index.conn.prepare_cached(
            "SELECT uidvalidity, uidnext, modseq, messages, unseen, deleted, size FROM mailbox
             WHERE account = ? AND mailbox = ?",
        )?;
        let row = select
            .query_row(params![account.0 as i64, mailbox.0], |row| {
                let n = |column| row.get::<_, i64>(column).map(|n| n as u64);
                let sums = Sums { messages: n(3)?, unseen: n(4)?, deleted: n(5)?, size: n(6)? };
                Ok(MailboxRow { uidvalidity: row.get(0)?, uidnext: row.get(1)?, modseq: n(2)?, sums })
            })
            .optional()?;
        row.ok_or(Error::NotFound(What::Mailbox))
    }

    fn mailbox_named(&self, account: AccountId, name: &MailboxName) -> Result<Option<MailboxId>> {
        let mut select =
            self.index.conn.prepare_cached("SELECT mailbox FROM mailbox WHERE account = ? AND name = ?")?;
        let id = select.query_row(params![account.0 as i64, name.as_str()], |row| row.get(0)).optional()?;
        Ok(id.map(MailboxId))
    }

    fn create_mailbox(
        &mut self,
        account: AccountId,
        name: &MailboxName,
        special_use: Option<String>,
    ) -> Result<(MailboxId, u32)> {
        self.modseq(account)?;
        if self.mailbox_named(account, name)?.is_some() {
            return Err(Error::Exists(What::Mailbox));
        }
        let (mailbox, uidvalidity): (u32, i64) = self
            .index
            .conn
            .prepare_cached("SELECT next_mailbox, next_uidvalidity FROM account WHERE account = ?")?
            .query_row([account.0 as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let uidvalidity = u32::try_from(uidvalidity).map_err(|_| Error::Limit("UIDVALIDITY values of an account"))?;
        let count: i64 = self
            .index
            .conn
            .prepare_cached("SELECT count(*) FROM mailbox WHERE account = ?")?
            .query_row([account.0 as i64], |row| row.get(0))?;
        if count >= MAX_MAILBOXES {
            return Err(Error::Limit("mailboxes of an account"));
        }
        let at = self.place(account, MailboxId(mailbox))?;
        self.emit(&Effect::MailboxCreated { at, name: name.as_str().into(), uidvalidity, special_use })?;
        Ok((at.mailbox, uidvalidity))
    }

    fn rename(
        &mut self,
        account: AccountId,
        from: &MailboxName,
        to: &MailboxName,
        saved: UnixMillis,
    ) -> Result<Outcome> {
        self.modseq(account)?;
        if self.mailbox_named(account, to)?.is_some() {
            return Err(Error::Exists(What::Mailbox));
        }
        if from.is_inbox() {
            let (target, _) = self.create_mailbox(account, to, None)?;
            let uids = UidSet::all();
            self.copy(&CopyMessages { account, from: MailboxId::INBOX, uids, to: target, saved }, true)?;
            return Ok(Outcome::Done);
        }
        if to.is_below(from) {
            return Err(Error::Invalid("a mailbox cannot be renamed to a name below itself"));
        }
        let below = format!("{from}/");
        // '0' follows '/' in ASCII: all names that begin with "from/".
        let end = format!("{from}0");
        let moved: Vec<(u32, String)> = self
            .index
            .conn
            .prepare_cached(
                "SELECT mailbox, name FROM mailbox WHERE account = ?1 AND (name = ?2 OR (name > ?3 AND name < ?4))",
            )?
            .query_map(params![account.0 as i64, from.as_str(), below, end], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if moved.is_empty() {
            return Err(Error::NotFound(What::Mailbox));
        }
        for (mailbox, old) in moved {
            let name = format!("{to}{}", &old[from.as_str().len()..]);
            let name = MailboxName::new(&name).map_err(|_| Error::Invalid("a name below the new one is too long"))?;
            if self.mailbox_named(account, &name)?.is_some() {
                return Err(Error::Exists(What::Mailbox));
            }
            let at = self.place(account, MailboxId(mailbox))?;
            self.emit(&Effect::MailboxRenamed { at, name: name.as_str().into() })?;
        }
        Ok(Outcome::Done)
    }

    /// A body's number and size; a staged one is put into the group.
    fn body(&mut self, body: &Body) -> Result<(BodyId, u64)> {
        if let Some(id) = body.id() {
            let mut select = self.index.conn.prepare_cached("SELECT size FROM body WHERE body = ?")?;
            let size: Option<i64> = select.query_row([id.0 as i64], |row| row.get(0)).optional()?;
            return size.map(|size| (id, size as u64)).ok_or(Error::NotFound(What::Body));
        }
        let staged = body.as_staged().expect("a body without a number is staged");
        let address = Arc::as_ptr(staged).addr();
        if let Some((_, id)) = self.plan.staged.get(&address) {
            return Ok((*id, staged.size));
        }
        let id = BodyId(self.index.counters.body);
        let place = match &staged.content {
            Content::File(file) => BodyPlace::File(file.number()),
            Content::Memory(bytes) => {
                let at = self.plan.at + (self.plan.bodies.len() + record::HEADER) as u64;
                record::write(&mut self.plan.bodies, Kind::Body, 0, id.0, bytes);
                BodyPlace::Segment { segment: self.plan.segment, at }
            }
        };
        self.plan.staged.insert(address, (Arc::clone(staged), id));
        self.mark.staged.push(address);
        self.emit(&Effect::BodyAdded { body: id, place, size: staged.size, hash: staged.hash })?;
        Ok((id, staged.size))
    }

    fn check_quota(&self, account: AccountId, more: u64) -> Result<()> {
        let (size, quota): (i64, Option<i64>) = self
            .index
            .conn
            .prepare_cached("SELECT size, quota FROM account WHERE account = ?")?
            .query_row([account.0 as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        match quota {
            Some(quota) if (size as u64).saturating_add(more) > quota as u64 => {
                Err(Error::QuotaExceeded { quota: quota as u64 })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn append(&mut self, append: Append) -> Result<Outcome> {
        let Append { account, mailbox, body, flags, internal_date, saved, cache } = append;
        check_opaque(&cache)?;
        let row = self.mailbox(account, mailbox)?;
        let uid = take_uids(row.uidnext, 1)?;
        let (body, size) = self.body(&body)?;
        self.check_quota(account, size)?;
        if !cache.is_empty() && !self.exists("SELECT 1 FROM cache WHERE body = ?", [body.0 as i64])? {
            self.emit(&Effect::CacheSet { body, cache: cache.into() })?;
        }
        let at = self.place(account, mailbox)?;
        self.emit(&Effect::MessageAdded { at, uid, body, size, flags, internal: internal_date, saved })?;
        Ok(Outcome::Appended { uidvalidity: row.uidvalidity, uid, modseq: at.modseq, body })
    }

    fn store(&mut self, change: StoreFlags) -> Result<Outcome> {
        let StoreFlags { account, mailbox, uids, how, flags: wanted, unchanged_since } = change;
        self.mailbox(account, mailbox)?;
        let modseq = self.modseq(account)? + 1;
        let mut stored = Stored::default();
        let mut runs: Vec<(u32, u32, Flags)> = Vec::new();
        let (mut unseen, mut deleted) = (0, 0);
        {
            let mut select = self.index.conn.prepare_cached(
                "SELECT uid, flags, keywords, modseq FROM message
                 WHERE account = ? AND mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid",
            )?;
            for range in uids.ranges() {
                // A run may only span messages that change, all to the same flags.
                let mut run_open = false;
                let mut rows = select.query(params![account.0 as i64, mailbox.0, range.start(), range.end()])?;
                while let Some(row) = rows.next()? {
                    let uid: u32 = row.get(0)?;
                    let old = index::flags(row, 1, 2)?;
                    let old_modseq = row.get::<_, i64>(3)? as u64;
                    if unchanged_since.is_some_and(|since| old_modseq > since) {
                        stored.modified.insert(uid);
                        run_open = false;
                        continue;
                    }
                    let new = match how {
                        How::Set => wanted.clone(),
                        How::Add => old.with(&wanted),
                        How::Remove => old.without(&wanted),
                    };
                    if new.keywords().count() > Flags::MAX_KEYWORDS {
                        return Err(Error::Limit("keywords of a message"));
                    }
                    if new == old {
                        stored.messages.push((uid, old, old_modseq));
                        run_open = false;
                        continue;
                    }
                    unseen += i64::from(old.is_seen()) - i64::from(new.is_seen());
                    deleted += i64::from(new.is_deleted()) - i64::from(old.is_deleted());
                    match runs.last_mut() {
                        Some(run) if run_open && run.2 == new => run.1 = uid,
                        _ => runs.push((uid, uid, new.clone())),
                    }
                    run_open = true;
                    stored.messages.push((uid, new, modseq));
                }
            }
        }
        if !runs.is_empty() {
            let at = self.place(account, mailbox)?;
            self.emit(&Effect::FlagsSet { at, runs, unseen, deleted })?;
        }
        Ok(Outcome::Stored(stored))
    }

    fn copy(&mut self, what: &CopyMessages, and_remove: bool) -> Result<Copied> {
        let CopyMessages { account, from, uids, to, saved } = what;
        let (account, from, to) = (*account, *from, *to);
        self.mailbox(account, from)?;
        let target = self.mailbox(account, to)?;
        let found = self.select(account, from, uids, |_| true)?;
        let mut copied = Copied { uidvalidity: target.uidvalidity, modseq: target.modseq, ..Copied::default() };
        if found.runs.is_empty() {
            return Ok(copied);
        }
        if !and_remove {
            self.check_quota(account, found.sums.size)?;
        }
        copied.first = take_uids(target.uidnext, found.sums.messages)?;
        let at = self.place(account, to)?;
        copied.modseq = at.modseq;
        let (first, sums) = (copied.first, found.sums);
        self.emit(&Effect::Copied { at, from, runs: found.runs.clone(), first, saved: *saved, sums })?;
        if and_remove {
            let at = self.place(account, from)?;
            copied.modseq = at.modseq;
            self.emit(&Effect::Expunged { at, runs: found.runs, sums })?;
        }
        copied.source = found.uids;
        Ok(copied)
    }

    /// The messages of `uids` that exist and satisfy `which`.
    fn select(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &UidSet,
        which: impl Fn(&Flags) -> bool,
    ) -> Result<Selected> {
        let mut found = Selected::default();
        let mut select = self.index.conn.prepare_cached(
            "SELECT uid, flags, size FROM message
             WHERE account = ? AND mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid",
        )?;
        for range in uids.ranges() {
            let mut run_open = false;
            let mut rows = select.query(params![account.0 as i64, mailbox.0, range.start(), range.end()])?;
            while let Some(row) = rows.next()? {
                let uid: u32 = row.get(0)?;
                let flags = Flags::NONE.with_bits(row.get(1)?);
                if !which(&flags) {
                    run_open = false;
                    continue;
                }
                found.uids.insert(uid);
                found.sums.messages += 1;
                found.sums.unseen += u64::from(!flags.is_seen());
                found.sums.deleted += u64::from(flags.is_deleted());
                found.sums.size += row.get::<_, i64>(2)? as u64;
                match found.runs.last_mut() {
                    Some(run) if run_open => run.1 = uid,
                    _ => found.runs.push((uid, uid)),
                }
                run_open = true;
            }
        }
        Ok(found)
    }

    fn enqueue(&mut self, entry: NewQueueEntry) -> Result<Outcome> {
        let NewQueueEntry { due, body, envelope, state, lease } = entry;
        check_opaque(&envelope)?;
        check_opaque(&state)?;
        let (body, size) = self.body(&body)?;
        let id = QueueId(self.index.counters.queue);
        let (envelope, state) = (envelope.into(), state.into());
        self.emit_queue(&Effect::QueuePut { id, due, body, size, envelope, state, lease })?;
        Ok(Outcome::Queued(id))
    }

    fn leased_to(&self, id: QueueId, owner: Option<LeaseOwner>) -> Result<()> {
        let mut select = self.index.conn.prepare_cached("SELECT owner FROM queue WHERE id = ?")?;
        let holder: Option<Option<i64>> = select.query_row([id.0 as i64], |row| row.get(0)).optional()?;
        let holder = holder.ok_or(Error::NotFound(What::QueueEntry))?;
        match owner {
            Some(owner) if holder != Some(owner.0 as i64) => Err(Error::LeaseLost),
            Some(_) | None => Ok(()),
        }
    }
}

/// Messages found: their UIDs, runs that span only them among those that exist, and totals.
#[derive(Default)]
struct Selected {
    uids: UidSet,
    runs: Vec<(u32, u32)>,
    sums: Sums,
}

/// The first of `n` new UIDs. RFC 9051, 2.3.1.1: they have 32 bits and are never used again.
fn take_uids(uidnext: i64, n: u64) -> Result<u32> {
    let last = u64::try_from(uidnext).unwrap_or(u64::MAX).saturating_add(n);
    match u32::try_from(uidnext) {
        Ok(first) if last <= u64::from(u32::MAX) => Ok(first),
        Ok(_) | Err(_) => Err(Error::Limit("UIDs of a mailbox")),
    }
}

fn check_opaque(bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_OPAQUE { Err(Error::Limit("octets of a cache, envelope or state")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// The index's disk is full in the middle of a group.
    #[test]
    fn a_full_index_fails_a_batch_or_the_whole_group() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut index, _) = Index::open(&dir.path().join("index.db")).expect("an index");
        let pages: u32 = index.conn.pragma_query_value(None, "page_count", |row| row.get(0)).expect("pages");
        index.conn.pragma_update(None, "max_page_count", pages + 20).expect("a limit");
        index.run("BEGIN IMMEDIATE", []).expect("begun");
        let mut plan = Plan::new(1, 100);
        let mut entry = |size: usize| {
            let staged = Body::staged(1, [0; 32], Content::Memory(Bytes::from_static(b"x")));
            let (due, envelope) = (UnixMillis(0), Bytes::from(vec![1; size]));
            let entry = NewQueueEntry { due, body: staged, envelope, state: Bytes::new(), lease: None };
            plan.batch(&mut index, |planner| planner.ops(vec![Op::Enqueue(entry)]))
        };
        assert!(entry(10).is_ok());
        assert_eq!(entry(1 << 20), Err(Error::Full));
        let third = entry(10);
        let entries: u32 = index.conn.query_row("SELECT count(*) FROM queue", [], |row| row.get(0)).expect("a count");
        let mut effects = &plan.effects[..];
        let mut written = 0;
        while let Some(effect) = Effect::decode(&mut effects).expect("sound") {
            written += u32::from(matches!(effect, Effect::QueuePut { .. }));
        }
        match plan.broken {
            Some(error) => assert_eq!(third, Err(error)),
            None => assert_eq!((entries, written, third.is_ok()), (2, 2, true)),
        }
    }
}
