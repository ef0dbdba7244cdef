//! Reading the index.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::effect::BodyPlace;
use super::{Located, Shared, blocking, guard, index};
use crate::body::Content;
use crate::{
    Account, AccountId, Body, BodyId, Change, ChangeKind, Changes, Entry, Error, Flags, Lease, LeaseOwner, Mailbox,
    MailboxId, MailboxName, Message, QueueEntry, QueueId, Result, Snapshot, UidSet, UnixMillis, What,
};

fn number(row: &Row, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|n| n as u64)
}

fn bytes(row: &Row, column: usize) -> rusqlite::Result<Bytes> {
    Ok(match row.get_ref(column)? {
        ValueRef::Blob(blob) => Bytes::copy_from_slice(blob),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => Bytes::new(),
    })
}

fn account_row(row: &Row) -> rusqlite::Result<Account> {
    Ok(Account {
        id: AccountId(number(row, 0)?),
        name: row.get(1)?,
        password_hash: row.get(2)?,
        quota: row.get::<_, Option<i64>>(3)?.map(|q| q as u64),
        used: number(row, 4)?,
        messages: number(row, 5)?,
        modseq: number(row, 6)?,
    })
}

pub(super) fn account(conn: &Connection, id: AccountId) -> Result<Account> {
    let mut select = conn.prepare_cached("SELECT * FROM account WHERE account = ?")?;
    select.query_row([id.0 as i64], account_row).optional()?.ok_or(Error::NotFound(What::Account))
}

pub(super) fn account_named(conn: &Connection, name: &str) -> Result<Account> {
    let mut select = conn.prepare_cached("SELECT * FROM account WHERE name = ?")?;
    select.query_row([name], account_row).optional()?.ok_or(Error::NotFound(What::Account))
}

pub(super) fn accounts(conn: &Connection) -> Result<Vec<Account>> {
    let mut select = conn.prepare_cached("SELECT * FROM account ORDER BY name")?;
    Ok(select.query_map([], account_row)?.collect::<rusqlite::Result<_>>()?)
}

const MAILBOX: &str = "SELECT m.mailbox, m.name, m.special_use, s.name IS NOT NULL, m.uidvalidity, m.uidnext, m.modseq,
    m.messages, m.unseen, m.deleted, m.size
    FROM mailbox m LEFT JOIN subscription s ON s.account = m.account AND s.name = m.name WHERE m.account = ?";

fn mailbox_row(row: &Row) -> rusqlite::Result<Mailbox> {
    Ok(Mailbox {
        id: MailboxId(row.get(0)?),
        name: MailboxName::from_stored(row.get_ref(1)?.as_str()?),
        special_use: row.get(2)?,
        subscribed: row.get(3)?,
        uidvalidity: row.get(4)?,
        uidnext: row.get(5)?,
        highest_modseq: number(row, 6)?,
        messages: row.get(7)?,
        unseen: row.get(8)?,
        deleted: row.get(9)?,
        size: number(row, 10)?,
    })
}

pub(super) fn mailboxes(conn: &Connection, id: AccountId) -> Result<Vec<Mailbox>> {
    let snapshot = conn.unchecked_transaction()?;
    account(&snapshot, id)?;
    let mut select = snapshot.prepare_cached(&format!("{MAILBOX} ORDER BY m.name"))?;
    Ok(select.query_map([id.0 as i64], mailbox_row)?.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn mailbox_named(conn: &Connection, account: AccountId, name: &MailboxName) -> Result<Mailbox> {
    let mut select = conn.prepare_cached(&format!("{MAILBOX} AND m.name = ?"))?;
    let found = select.query_row(params![account.0 as i64, name.as_str()], mailbox_row).optional()?;
    found.ok_or(Error::NotFound(What::Mailbox))
}

fn mailbox(conn: &Connection, account: AccountId, id: MailboxId) -> Result<Mailbox> {
    let mut select = conn.prepare_cached(&format!("{MAILBOX} AND m.mailbox = ?"))?;
    select.query_row(params![account.0 as i64, id.0], mailbox_row).optional()?.ok_or(Error::NotFound(What::Mailbox))
}

pub(super) fn subscriptions(conn: &Connection, account: AccountId) -> Result<Vec<MailboxName>> {
    let mut select = conn.prepare_cached("SELECT name FROM subscription WHERE account = ? ORDER BY name")?;
    let names = select
        .query_map([account.0 as i64], |row| Ok(MailboxName::from_stored(row.get_ref(0)?.as_str()?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(names)
}

/// Shares the flags of messages whose keywords are written alike: most mailboxes have few combinations.
#[derive(Default)]
struct Keywords(HashMap<String, Flags>);

impl Keywords {
    fn flags(&mut self, row: &Row, bits: usize, keywords: usize) -> rusqlite::Result<Flags> {
        let bits = row.get(bits)?;
        let Some(text) = row.get_ref(keywords)?.as_str_or_null()? else { return Ok(Flags::NONE.with_bits(bits)) };
        if let Some(known) = self.0.get(text) {
            return Ok(known.with_bits(bits));
        }
        let flags = Flags::from_stored(bits, Some(text));
        self.0.insert(text.into(), flags.clone());
        Ok(flags)
    }
}

/// Recently taken snapshots, brought up to date by what changed since instead of being read again.
pub(super) struct SnapshotCache {
    kept: HashMap<(AccountId, u32), Kept>,
    /// Entries of all kept snapshots, and the most there may be.
    entries: usize,
    limit: usize,
    clock: u64,
}

struct Kept {
    modseq: u64,
    uidvalidity: u32,
    used: u64,
    entries: Arc<Vec<Entry>>,
}

impl SnapshotCache {
    pub(super) fn new(limit: usize) -> Self {
        SnapshotCache { kept: HashMap::new(), entries: 0, limit, clock: 0 }
    }

    fn take(&mut self, key: (AccountId, u32)) -> Option<Kept> {
        let kept = self.kept.remove(&key)?;
        self.entries -= kept.entries.len();
        Some(kept)
    }

    fn put(&mut self, key: (AccountId, u32), mut kept: Kept) {
        self.take(key);
        self.clock += 1;
        kept.used = self.clock;
        if kept.entries.len() > self.limit {
            return;
        }
        while self.entries + kept.entries.len() > self.limit {
            let Some(oldest) = self.kept.iter().min_by_key(|(_, k)| k.used).map(|(key, _)| *key) else { break };
            self.take(oldest);
        }
        self.entries += kept.entries.len();
        self.kept.insert(key, kept);
    }
}

pub(super) fn snapshot(
    cache: &Mutex<SnapshotCache>,
    conn: &Connection,
    account_id: AccountId,
    mailbox_id: MailboxId,
) -> Result<Snapshot> {
    let snapshot = conn.unchecked_transaction()?;
    let modseq = account(&snapshot, account_id)?.modseq;
    let mailbox = mailbox(&snapshot, account_id, mailbox_id)?;
    let key = (account_id, mailbox_id.0);
    // Another reader may have put a newer one there than this transaction sees: then it is of no use here.
    let kept =
        guard(cache).take(key).filter(|k| k.uidvalidity == mailbox.uidvalidity && k.modseq <= mailbox.highest_modseq);
    let entries = match kept {
        Some(kept) if kept.modseq == mailbox.highest_modseq => kept.entries,
        Some(kept) => {
            let mut entries = kept.entries;
            bring_up_to_date(&snapshot, account_id, mailbox_id, kept.modseq, Arc::make_mut(&mut entries))?;
            entries
        }
        None => Arc::new(entries_in(&snapshot, account_id, mailbox_id, 1, u32::MAX)?),
    };
    let kept = Kept {
        modseq: mailbox.highest_modseq,
        uidvalidity: mailbox.uidvalidity,
        used: 0,
        entries: Arc::clone(&entries),
    };
    guard(cache).put(key, kept);
    Ok(Snapshot { mailbox, modseq, entries })
}

fn entries_in(conn: &Connection, account: AccountId, mailbox: MailboxId, first: u32, last: u32) -> Result<Vec<Entry>> {
    let mut keywords = Keywords::default();
    let mut select = conn.prepare_cached(
        "SELECT uid, flags, keywords, modseq FROM message
         WHERE account = ? AND mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid",
    )?;
    let mut rows = select.query(params![account.0 as i64, mailbox.0, first, last])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(Entry { uid: row.get(0)?, flags: keywords.flags(row, 1, 2)?, modseq: number(row, 3)? });
    }
    Ok(entries)
}

/// Reads again the ranges the change log names.
fn bring_up_to_date(
    conn: &Connection,
    account: AccountId,
    mailbox: MailboxId,
    since: u64,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let mut select = conn.prepare_cached(
        "SELECT first, last FROM change WHERE account = ? AND modseq > ? AND mailbox = ? AND first > 0",
    )?;
    let ranges = select
        .query_map(params![account.0 as i64, since as i64, mailbox.0], |row| Ok(row.get(0)?..=row.get(1)?))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for range in UidSet::from_ranges(ranges).ranges() {
        let (first, last) = (*range.start(), *range.end());
        let from = entries.partition_point(|e| e.uid < first);
        let to = entries.partition_point(|e| e.uid <= last);
        entries.splice(from..to, entries_in(conn, account, mailbox, first, last)?);
    }
    Ok(())
}

pub(super) fn messages(
    conn: &Connection,
    account: AccountId,
    mailbox_id: MailboxId,
    uids: &UidSet,
    cache: bool,
    limit: usize,
) -> Result<Vec<Message>> {
    let snapshot = conn.unchecked_transaction()?;
    mailbox(&snapshot, account, mailbox_id)?;
    let mut select = snapshot.prepare_cached(if cache {
        "SELECT uid, flags, keywords, modseq, internal, saved, size, body,
         (SELECT data FROM cache WHERE cache.body = message.body) FROM message
         WHERE account = ? AND mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid LIMIT ?"
    } else {
        "SELECT uid, flags, keywords, modseq, internal, saved, size, body, NULL FROM message
         WHERE account = ? AND mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid LIMIT ?"
    })?;
    let mut keywords = Keywords::default();
    let mut messages = Vec::new();
    for range in uids.ranges() {
        let left = limit - messages.len();
        if left == 0 {
            break;
        }
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        let mut rows = select.query(params![account.0 as i64, mailbox_id.0, range.start(), range.end(), left])?;
        while let Some(row) = rows.next()? {
            messages.push(Message {
                uid: row.get(0)?,
                flags: keywords.flags(row, 1, 2)?,
                modseq: number(row, 3)?,
                internal_date: UnixMillis(row.get(4)?),
                saved: UnixMillis(row.get(5)?),
                size: number(row, 6)?,
                body: BodyId(number(row, 7)?),
                cache: bytes(row, 8)?,
            });
        }
    }
    Ok(messages)
}

pub(super) fn changes(
    conn: &Connection,
    account: AccountId,
    mailbox: Option<MailboxId>,
    since: u64,
    limit: usize,
) -> Result<Changes> {
    let snapshot = conn.unchecked_transaction()?;
    let (newest, low_modseq) = snapshot
        .prepare_cached("SELECT modseq, low_modseq FROM account WHERE account = ?")?
        .query_row([account.0 as i64], |row| Ok((number(row, 0)?, number(row, 1)?)))
        .optional()?
        .ok_or(Error::NotFound(What::Account))?;
    let mut select = snapshot.prepare_cached(
        "SELECT modseq, mailbox, first, last, kind FROM change
         WHERE account = ?1 AND modseq > ?2 AND (?3 IS NULL OR mailbox = ?3) ORDER BY modseq, mailbox, first",
    )?;
    let since_sql = i64::try_from(since).unwrap_or(i64::MAX);
    let mut rows = select.query(params![account.0 as i64, since_sql, mailbox.map(|m| m.0)])?;
    let mut changes: Vec<Change> = Vec::new();
    let mut upto = newest;
    while let Some(row) = rows.next()? {
        let modseq = number(row, 0)?;
        if let Some(last) = changes.last()
            && changes.len() >= limit
            && last.modseq != modseq
        {
            upto = last.modseq;
            break;
        }
        let kind: ChangeKind =
            index::change_kind(row.get(4)?).ok_or_else(|| Error::Damaged("index: a change of unknown kind".into()))?;
        changes.push(Change { modseq, mailbox: MailboxId(row.get(1)?), kind, first: row.get(2)?, last: row.get(3)? });
    }
    Ok(Changes { changes, upto, more: upto < newest, low_modseq })
}

pub(super) fn queue_entry(row: &Row) -> rusqlite::Result<QueueEntry> {
    let owner: Option<i64> = row.get(5)?;
    let until: Option<i64> = row.get(6)?;
    Ok(QueueEntry {
        id: QueueId(number(row, 0)?),
        due: UnixMillis(row.get(1)?),
        attempts: row.get(3)?,
        held: row.get(4)?,
        lease: owner.zip(until).map(|(o, u)| Lease { owner: LeaseOwner(o as u64), until: UnixMillis(u) }),
        body: BodyId(number(row, 7)?),
        size: number(row, 8)?,
        envelope: bytes(row, 9)?,
        state: bytes(row, 10)?,
    })
}

pub(super) fn queued(conn: &Connection, id: QueueId) -> Result<QueueEntry> {
    let mut select = conn.prepare_cached("SELECT * FROM queue WHERE id = ?")?;
    select.query_row([id.0 as i64], queue_entry).optional()?.ok_or(Error::NotFound(What::QueueEntry))
}

pub(super) fn queue(conn: &Connection, after: Option<QueueId>, limit: usize) -> Result<Vec<QueueEntry>> {
    let mut select = conn.prepare_cached("SELECT * FROM queue WHERE id > ? ORDER BY id LIMIT ?")?;
    let after = after.map_or(0, |id| id.0 as i64);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(select.query_map(params![after, limit], queue_entry)?.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn next_due(conn: &Connection) -> Result<Option<UnixMillis>> {
    let mut select = conn.prepare_cached("SELECT min(ready) FROM queue WHERE held = 0")?;
    Ok(select.query_row([], |row| row.get::<_, Option<i64>>(0))?.map(UnixMillis))
}

fn located(conn: &Connection, id: BodyId) -> Result<Located> {
    let mut select = conn.prepare_cached("SELECT segment, at, size FROM body WHERE body = ?")?;
    let found = select.query_row([id.0 as i64], |row| Ok((row.get(0)?, row.get(1)?, number(row, 2)?))).optional()?;
    let (segment, at, size) = found.ok_or(Error::NotFound(What::Body))?;
    Ok(Located { id: Some(id), place: index::body_place(segment, at), size })
}

pub(super) async fn body(shared: &Arc<Shared>, body: &Body, offset: u64, max: usize) -> Result<Bytes> {
    if let Some(bytes) = body.in_memory() {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        return Ok(bytes.slice(from..bytes.len().min(from.saturating_add(max))));
    }
    let this = Arc::clone(shared);
    if let Some(staged) = body.as_staged()
        && let Content::File(file) = &staged.content
    {
        let found = Located { id: None, place: BodyPlace::File(file.number()), size: staged.size };
        return blocking(move || this.read_body(&found, offset, max).map_err(|e| Error::Damaged(e.to_string()))).await;
    }
    let id = body.id().ok_or(Error::NotFound(What::Body))?;
    shared
        .read(move |conn| match this.read_body(&located(conn, id)?, offset, max) {
            Ok(bytes) => Ok(bytes),
            // It may have been moved between the look at the index and the look at the segment; not twice.
            Err(_) => this
                .read_body(&located(conn, id)?, offset, max)
                .map_err(|e| Error::Damaged(format!("body {}: {e}", id.0))),
        })
        .await
}
