//! The SQLite index: what the log's effects add up to. Everything in it can be made again from the log.
//!
//! It is written in WAL mode with `synchronous=NORMAL`: no sync at a commit, two at a checkpoint. After a power cut it
//! is thus a sound database as of some earlier commit, and [`recover`](super::recover) applies what the log has beyond
//! it. (`OFF` would spare the checkpoint's syncs and could leave a database that is neither old nor new.) It is
//! committed only after the log has been synced, so it is never ahead of it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Params, params};

use super::effect::{BodyPlace, Effect, Place, Sums, Value};
use crate::{ChangeKind, Error, Flags, Result};

/// The version of the tables below.
pub(super) const SCHEMA: u32 = 1;

const TABLES_SQL: &str = "
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- the last applied Ops record: its number, where it begins and ends, its checksum
    applied INTEGER NOT NULL, segment INTEGER NOT NULL, at INTEGER NOT NULL, end INTEGER NOT NULL, crc INTEGER NOT NULL,
    next_account INTEGER NOT NULL, next_body INTEGER NOT NULL, next_queue INTEGER NOT NULL, next_file INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 1, 1, 1, 1);
CREATE TABLE account (
    account INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, password TEXT, quota INTEGER,
    size INTEGER NOT NULL, messages INTEGER NOT NULL, modseq INTEGER NOT NULL, low_modseq INTEGER NOT NULL,
    next_mailbox INTEGER NOT NULL, next_uidvalidity INTEGER NOT NULL
) STRICT;
CREATE TABLE mailbox (
    account INTEGER NOT NULL, mailbox INTEGER NOT NULL, name TEXT NOT NULL, special_use TEXT,
    uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL, modseq INTEGER NOT NULL,
    messages INTEGER NOT NULL, unseen INTEGER NOT NULL, deleted INTEGER NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (account, mailbox)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX mailbox_name ON mailbox (account, name);
CREATE TABLE subscription (
    account INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE message (
    account INTEGER NOT NULL, mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, modseq INTEGER NOT NULL,
    flags INTEGER NOT NULL, keywords TEXT, internal INTEGER NOT NULL, saved INTEGER NOT NULL,
    size INTEGER NOT NULL, body INTEGER NOT NULL,
    PRIMARY KEY (account, mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE TABLE change (
    account INTEGER NOT NULL, modseq INTEGER NOT NULL, mailbox INTEGER NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, kind INTEGER NOT NULL,
    PRIMARY KEY (account, modseq, mailbox, first)
) STRICT, WITHOUT ROWID;
-- segment 0: in the body file `at`
CREATE TABLE body (
    body INTEGER PRIMARY KEY, segment INTEGER NOT NULL, at INTEGER NOT NULL, size INTEGER NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE INDEX body_file ON body (at) WHERE segment = 0;
CREATE TABLE cache (body INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
-- ready: when it can be leased, the later of `due` and the end of the lease
CREATE TABLE queue (
    id INTEGER PRIMARY KEY, due INTEGER NOT NULL, ready INTEGER NOT NULL, attempts INTEGER NOT NULL,
    held INTEGER NOT NULL, owner INTEGER, until INTEGER, body INTEGER NOT NULL, size INTEGER NOT NULL,
    envelope BLOB NOT NULL, state BLOB NOT NULL
) STRICT;
CREATE INDEX queue_ready ON queue (held, ready);
CREATE INDEX queue_owner ON queue (owner) WHERE owner IS NOT NULL;
";

/// Every table of content with its number of columns, in the order of [`Effect::Row::table`], which counts from 1.
pub(super) const TABLES: [(&str, usize); 8] = [
    ("account", 10),
    ("mailbox", 11),
    ("subscription", 2),
    ("message", 10),
    ("change", 6),
    ("body", 5),
    ("cache", 2),
    ("queue", 11),
];

/// Numbers to give out next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) account: u64,
    pub(super) body: u64,
    pub(super) queue: u64,
    pub(super) file: u64,
}

/// The last applied Ops record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) number: u64,
    pub(super) segment: u64,
    pub(super) at: u64,
    pub(super) end: u64,
    pub(super) crc: u32,
}

/// The one writing connection.
pub(super) struct Index {
    pub(super) conn: Connection,
    pub(super) counters: Counters,
}

impl Index {
    /// Opens the index or makes an empty one. [`Error::Damaged`]: it should be made again.
    pub(super) fn open(path: &Path) -> Result<(Index, Applied)> {
        // 3.51.3 mended a race between checkpoint and writer that could lose a WAL frame.
        if rusqlite::version_number() < 3_051_003 {
            return Err(Error::Invalid("SQLite is older than 3.51.3"));
        }
        let conn = Connection::open(path)?;
        conn.set_prepared_statement_cache_capacity(128);
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        // A small batch changes about eight pages; the smaller they are, the less of it is written twice.
        conn.pragma_update(None, "page_size", 2048)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
        conn.pragma_update(None, "cache_size", -32_768)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        let found: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > SCHEMA {
            return Err(Error::Newer { found, known: SCHEMA });
        }
        if found == 0 {
            conn.execute_batch(&format!("BEGIN; {TABLES_SQL} PRAGMA user_version = {SCHEMA}; COMMIT"))?;
        }
        let (counters, applied) = conn.query_row("SELECT * FROM state", [], |row| {
            let n = |column| row.get::<_, i64>(column).map(|n| n as u64);
            let applied = Applied { number: n(1)?, segment: n(2)?, at: n(3)?, end: n(4)?, crc: row.get(5)? };
            Ok((Counters { account: n(6)?, body: n(7)?, queue: n(8)?, file: n(9)? }, applied))
        })?;
        Ok((Index { conn, counters }, applied))
    }

    /// A connection that only reads.
    pub(super) fn reader(path: &Path) -> Result<Connection> {
        let conn =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.set_prepared_statement_cache_capacity(64);
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        conn.pragma_update(None, "cache_size", -4_096)?;
        Ok(conn)
    }

    /// Notes how far the log is applied. Inside the transaction that applied it.
    pub(super) fn note(&self, applied: &Applied) -> Result<()> {
        let c = &self.counters;
        self.run(
            "UPDATE state SET applied = ?, segment = ?, at = ?, end = ?, crc = ?,
             next_account = ?, next_body = ?, next_queue = ?, next_file = ?",
            params![
                applied.number as i64,
                applied.segment as i64,
                applied.at as i64,
                applied.end as i64,
                applied.crc,
                c.account as i64,
                c.body as i64,
                c.queue as i64,
                c.file as i64
            ],
        )?;
        Ok(())
    }

    pub(super) fn run(&self, sql: &str, params: impl Params) -> Result<usize> {
        Ok(self.conn.prepare_cached(sql)?.execute(params)?)
    }

    /// Makes one effect so. Inside a transaction.
    pub(super) fn apply(&mut self, effect: &Effect) -> Result<()> {
        match effect {
            Effect::AccountCreated { account, name, password, quota, uidvalidity } => {
                let id = account.0 as i64;
                self.run(
                    "INSERT INTO account VALUES (?, ?, ?, ?, 0, 0, 1, 0, 2, ?)",
                    params![id, name, password, quota.map(|q| q as i64), i64::from(*uidvalidity) + 1],
                )?;
                self.run(
                    "INSERT INTO mailbox VALUES (?, 1, 'INBOX', NULL, ?, 1, 1, 0, 0, 0, 0)",
                    params![id, uidvalidity],
                )?;
                let inbox = Place { account: *account, mailbox: crate::MailboxId::INBOX, modseq: 1 };
                self.log(&inbox, 0, 0, ChangeKind::MailboxCreated)?;
                self.counters.account = self.counters.account.max(account.0 + 1);
            }
            Effect::PasswordSet { account, password } => {
                self.run("UPDATE account SET password = ? WHERE account = ?", params![password, account.0 as i64])?;
            }
            Effect::QuotaSet { account, quota } => {
                let quota = quota.map(|q| q as i64);
                self.run("UPDATE account SET quota = ? WHERE account = ?", params![quota, account.0 as i64])?;
            }
            Effect::AccountRemoved { account } => {
                for table in ["message", "change", "subscription", "mailbox", "account"] {
                    self.run(&format!("DELETE FROM {table} WHERE account = ?"), [account.0 as i64])?;
                }
            }
            Effect::MailboxCreated { at, name, uidvalidity, special_use } => {
                self.run(
                    "INSERT INTO mailbox VALUES (?, ?, ?, ?, ?, 1, ?, 0, 0, 0, 0)",
                    params![at.account.0 as i64, at.mailbox.0, name, special_use, uidvalidity, at.modseq as i64],
                )?;
                self.run(
                    "UPDATE account SET modseq = ?, next_mailbox = ?, next_uidvalidity = ? WHERE account = ?",
                    params![
                        at.modseq as i64,
                        i64::from(at.mailbox.0) + 1,
                        i64::from(*uidvalidity) + 1,
                        at.account.0 as i64
                    ],
                )?;
                self.log(at, 0, 0, ChangeKind::MailboxCreated)?;
            }
            Effect::MailboxDeleted { at, sums } => {
                self.run(
                    "DELETE FROM message WHERE account = ? AND mailbox = ?",
                    params![at.account.0 as i64, at.mailbox.0],
                )?;
                self.run(
                    "DELETE FROM mailbox WHERE account = ? AND mailbox = ?",
                    params![at.account.0 as i64, at.mailbox.0],
                )?;
                self.account_sums(at, -(sums.messages as i64), -(sums.size as i64))?;
                self.log(at, 0, 0, ChangeKind::MailboxDeleted)?;
            }
            Effect::MailboxRenamed { at, name } => {
                self.run(
                    "UPDATE mailbox SET name = ? WHERE account = ? AND mailbox = ?",
                    params![name, at.account.0 as i64, at.mailbox.0],
                )?;
                self.account_sums(at, 0, 0)?;
                self.log(at, 0, 0, ChangeKind::MailboxRenamed)?;
            }
            Effect::Subscribed { at, name, on } => {
                let sql = if *on {
                    "INSERT INTO subscription VALUES (?, ?)"
                } else {
                    "DELETE FROM subscription WHERE account = ? AND name = ?"
                };
                self.run(sql, params![at.account.0 as i64, name])?;
                self.account_sums(at, 0, 0)?;
                self.log(at, 0, 0, ChangeKind::Subscription)?;
            }
            Effect::MessageAdded { at, uid, body, size, flags, internal, saved } => {
                self.run(
                    "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    params![
                        at.account.0 as i64,
                        at.mailbox.0,
                        uid,
                        at.modseq as i64,
                        flags.bits(),
                        flags.keyword_text(),
                        internal.0,
                        saved.0,
                        *size as i64,
                        body.0 as i64
                    ],
                )?;
                let sums = Sums {
                    messages: 1,
                    unseen: (!flags.is_seen()).into(),
                    deleted: flags.is_deleted().into(),
                    size: *size,
                };
                self.mailbox_sums(at, &sums, 1, Some(i64::from(*uid) + 1))?;
                self.log(at, *uid, *uid, ChangeKind::Added)?;
            }
            Effect::FlagsSet { at, runs, unseen, deleted } => {
                for (first, last, flags) in runs {
                    self.run(
                        "UPDATE message SET flags = ?, keywords = ?, modseq = ?
                         WHERE account = ? AND mailbox = ? AND uid BETWEEN ? AND ?",
                        params![
                            flags.bits(),
                            flags.keyword_text(),
                            at.modseq as i64,
                            at.account.0 as i64,
                            at.mailbox.0,
                            first,
                            last
                        ],
                    )?;
                    self.log(at, *first, *last, ChangeKind::Flags)?;
                }
                self.run(
                    "UPDATE mailbox SET modseq = ?, unseen = unseen + ?, deleted = deleted + ?
                     WHERE account = ? AND mailbox = ?",
                    params![at.modseq as i64, unseen, deleted, at.account.0 as i64, at.mailbox.0],
                )?;
                self.account_sums(at, 0, 0)?;
            }
            Effect::Expunged { at, runs, sums } => {
                for (first, last) in runs {
                    self.run(
                        "DELETE FROM message WHERE account = ? AND mailbox = ? AND uid BETWEEN ? AND ?",
                        params![at.account.0 as i64, at.mailbox.0, first, last],
                    )?;
                    self.log(at, *first, *last, ChangeKind::Expunged)?;
                }
                self.mailbox_sums(at, sums, -1, None)?;
            }
            Effect::Copied { at, from, runs, first, saved, sums } => {
                let mut next = *first;
                for (lo, hi) in runs {
                    next = self.copy_run(at, *from, (*lo, *hi), next, saved.0)?;
                }
                let last = next.saturating_sub(1);
                self.mailbox_sums(at, sums, 1, Some(i64::from(next)))?;
                self.log(at, *first, last, ChangeKind::Added)?;
            }
            Effect::BodyAdded { body, place, size, hash } => {
                let (segment, at) = columns(*place);
                self.run(
                    "INSERT INTO body VALUES (?, ?, ?, ?, ?)",
                    params![body.0 as i64, segment, at, *size as i64, hash],
                )?;
                self.counters.body = self.counters.body.max(body.0 + 1);
                if let BodyPlace::File(number) = place {
                    self.counters.file = self.counters.file.max(number + 1);
                }
            }
            Effect::CacheSet { body, cache } => {
                self.run("INSERT OR REPLACE INTO cache VALUES (?, ?)", params![body.0 as i64, cache])?;
            }
            Effect::QueuePut { id, due, body, size, envelope, state, lease } => {
                let until = lease.map(|lease| lease.until.0);
                self.run(
                    "INSERT INTO queue VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)",
                    params![
                        id.0 as i64,
                        due.0,
                        until.unwrap_or(due.0).max(due.0),
                        u8::from(lease.is_some()),
                        lease.map(|lease| lease.owner.0 as i64),
                        until,
                        body.0 as i64,
                        *size as i64,
                        envelope,
                        state
                    ],
                )?;
                self.counters.queue = self.counters.queue.max(id.0 + 1);
            }
            Effect::QueueLeased { id, lease } => {
                self.run(
                    "UPDATE queue SET owner = ?, until = ?2, ready = max(due, ?2), attempts = attempts + 1 WHERE id = ?",
                    params![lease.owner.0 as i64, lease.until.0, id.0 as i64],
                )?;
            }
            Effect::QueueDeferred { id, due, state } => {
                self.run(
                    "UPDATE queue SET due = ?1, ready = ?1, owner = NULL, until = NULL, state = coalesce(?2, state)
                     WHERE id = ?3",
                    params![due.0, state, id.0 as i64],
                )?;
            }
            Effect::QueueRemoved { id } => {
                self.run("DELETE FROM queue WHERE id = ?", [id.0 as i64])?;
            }
            Effect::QueueHeld { id, held } => {
                self.run("UPDATE queue SET held = ? WHERE id = ?", params![held, id.0 as i64])?;
            }
            Effect::LeasesReleased { owner } => {
                self.run("UPDATE queue SET owner = NULL, until = NULL, ready = due WHERE owner = ?", [owner.0 as i64])?;
            }
            Effect::BodyMoved { body, place } => {
                let (segment, at) = columns(*place);
                self.run("UPDATE body SET segment = ?, at = ? WHERE body = ?", params![segment, at, body.0 as i64])?;
            }
            Effect::BodiesRemoved { runs } => {
                for (first, last) in runs {
                    for table in ["body", "cache"] {
                        self.run(
                            &format!("DELETE FROM {table} WHERE body BETWEEN ? AND ?"),
                            params![*first as i64, *last as i64],
                        )?;
                    }
                }
            }
            Effect::ChangesTrimmed { account, upto } => {
                let params = params![account.0 as i64, *upto as i64];
                self.run("DELETE FROM change WHERE account = ? AND modseq <= ?", params)?;
                let params = params![account.0 as i64, *upto as i64];
                self.run("UPDATE account SET low_modseq = ?2 WHERE account = ?1", params)?;
            }
            Effect::Restart => {
                for (table, _) in TABLES {
                    self.run(&format!("DELETE FROM {table}"), [])?;
                }
            }
            Effect::Row { table, values } => self.restore(*table, values)?,
        }
        Ok(())
    }

    fn copy_run(
        &self,
        at: &Place,
        from: crate::MailboxId,
        (lo, hi): (u32, u32),
        mut next: u32,
        saved: i64,
    ) -> Result<u32> {
        // Collected first: the target may be the mailbox that is read.
        let mut select = self.conn.prepare_cached(
            "SELECT uid FROM message WHERE account = ? AND mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid",
        )?;
        let uids: Vec<u32> = select
            .query_map(params![at.account.0 as i64, from.0, lo, hi], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO message SELECT account, ?, ?, ?, flags, keywords, internal, ?, size, body FROM message
             WHERE account = ? AND mailbox = ? AND uid = ?",
        )?;
        for uid in uids {
            insert.execute(params![at.mailbox.0, next, at.modseq as i64, saved, at.account.0 as i64, from.0, uid])?;
            next += 1;
        }
        Ok(next)
    }

    /// Adds (sign 1) to or takes (sign -1) from a mailbox's and its account's totals.
    fn mailbox_sums(&self, at: &Place, sums: &Sums, sign: i64, uidnext: Option<i64>) -> Result<()> {
        let (messages, size) = (sign * sums.messages as i64, sign * sums.size as i64);
        self.run(
            "UPDATE mailbox SET modseq = ?, messages = messages + ?, unseen = unseen + ?, deleted = deleted + ?,
             size = size + ?, uidnext = coalesce(?, uidnext) WHERE account = ? AND mailbox = ?",
            params![
                at.modseq as i64,
                messages,
                sign * sums.unseen as i64,
                sign * sums.deleted as i64,
                size,
                uidnext,
                at.account.0 as i64,
                at.mailbox.0
            ],
        )?;
        self.account_sums(at, messages, size)
    }

    fn account_sums(&self, at: &Place, messages: i64, size: i64) -> Result<()> {
        self.run(
            "UPDATE account SET modseq = ?, messages = messages + ?, size = size + ? WHERE account = ?",
            params![at.modseq as i64, messages, size, at.account.0 as i64],
        )?;
        Ok(())
    }

    fn log(&self, at: &Place, first: u32, last: u32, kind: ChangeKind) -> Result<()> {
        self.run(
            "INSERT INTO change VALUES (?, ?, ?, ?, ?, ?)",
            params![at.account.0 as i64, at.modseq as i64, at.mailbox.0, first, last, kind_number(kind)],
        )?;
        Ok(())
    }

    fn restore(&mut self, table: u8, values: &[Value]) -> Result<()> {
        let damaged = || Error::Damaged("a row in the log does not fit its table".into());
        if table == 0 {
            let numbers: Vec<u64> =
                values.iter().filter_map(|v| if let Value::Integer(n) = v { Some(*n as u64) } else { None }).collect();
            let [account, body, queue, file] = numbers[..] else { return Err(damaged()) };
            self.counters = Counters { account, body, queue, file };
            return Ok(());
        }
        let (name, columns) = TABLES.get(usize::from(table) - 1).copied().ok_or_else(damaged)?;
        if values.len() != columns {
            return Err(damaged());
        }
        let marks = vec!["?"; columns].join(", ");
        let values = values.iter().map(|value| match value {
            Value::Null => rusqlite::types::Value::Null,
            Value::Integer(n) => rusqlite::types::Value::Integer(*n),
            Value::Text(s) => rusqlite::types::Value::Text(s.clone()),
            Value::Blob(b) => rusqlite::types::Value::Blob(b.clone()),
        });
        self.run(&format!("INSERT INTO {name} VALUES ({marks})"), rusqlite::params_from_iter(values))?;
        Ok(())
    }
}

fn columns(place: BodyPlace) -> (i64, i64) {
    match place {
        BodyPlace::Segment { segment, at } => (segment as i64, at as i64),
        BodyPlace::File(number) => (0, number as i64),
    }
}

pub(super) fn body_place(segment: i64, at: i64) -> BodyPlace {
    match segment {
        0 => BodyPlace::File(at as u64),
        segment => BodyPlace::Segment { segment: segment as u64, at: at as u64 },
    }
}

fn kind_number(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Added => 1,
        ChangeKind::Flags => 2,
        ChangeKind::Expunged => 3,
        ChangeKind::MailboxCreated => 4,
        ChangeKind::MailboxRenamed => 5,
        ChangeKind::MailboxDeleted => 6,
        ChangeKind::Subscription => 7,
    }
}

pub(super) fn change_kind(number: u8) -> Option<ChangeKind> {
    Some(match number {
        1 => ChangeKind::Added,
        2 => ChangeKind::Flags,
        3 => ChangeKind::Expunged,
        4 => ChangeKind::MailboxCreated,
        5 => ChangeKind::MailboxRenamed,
        6 => ChangeKind::MailboxDeleted,
        7 => ChangeKind::Subscription,
        _ => return None,
    })
}

/// The flags of a row, its keywords usually NULL.
pub(super) fn flags(row: &rusqlite::Row, bits: usize, keywords: usize) -> rusqlite::Result<Flags> {
    Ok(Flags::from_stored(row.get(bits)?, row.get_ref(keywords)?.as_str_or_null()?))
}
