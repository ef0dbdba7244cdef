//! Reading everything to see whether it is what was written.

use rusqlite::Connection;

use super::{Located, Shared, index};
use crate::{BodyId, Result};

/// What [`Store::check`](super::Store::check) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Bodies read.
    pub bodies: u64,
    /// Octets read.
    pub octets: u64,
    /// Bodies that cannot be read or are not what their hash says.
    pub damaged: Vec<BodyId>,
    /// Bodies that a message or queue entry refers to and the store does not know.
    pub missing: Vec<BodyId>,
    /// Mailboxes whose counters are not what their messages add up to.
    pub miscounted: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.missing.is_empty() && self.miscounted == 0
    }
}

pub(super) fn check(shared: &Shared, conn: &Connection) -> Result<Report> {
    let mut report = Report::default();
    let snapshot = conn.unchecked_transaction()?;
    let mut select = snapshot.prepare("SELECT body, segment, at, size, hash FROM body ORDER BY segment, at")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let id = BodyId(row.get::<_, i64>(0)? as u64);
        let place = index::body_place(row.get(1)?, row.get(2)?);
        let body = Located { id: Some(id), place, size: row.get::<_, i64>(3)? as u64 };
        let hash: [u8; 32] = row.get(4)?;
        report.bodies += 1;
        if hash_of(shared, &body, &mut report.octets).is_none_or(|found| found != hash) {
            report.damaged.push(id);
        }
    }
    let mut select = snapshot.prepare(
        "SELECT DISTINCT body FROM (SELECT body FROM message UNION ALL SELECT body FROM queue)
         WHERE body NOT IN (SELECT body FROM body) ORDER BY body",
    )?;
    let missing = select.query_map([], |row| row.get::<_, i64>(0).map(|n| BodyId(n as u64)))?;
    report.missing = missing.collect::<rusqlite::Result<_>>()?;
    report.miscounted = snapshot.query_row(
        "SELECT count(*) FROM mailbox b WHERE (b.messages, b.unseen, b.deleted, b.size) IS NOT
         (SELECT count(*), count(*) FILTER (WHERE flags & 1 = 0), count(*) FILTER (WHERE flags & 8),
          coalesce(sum(size), 0)
          FROM message m WHERE m.account = b.account AND m.mailbox = b.mailbox)",
        [],
        |row| row.get::<_, i64>(0).map(|n| n as u64),
    )?;
    Ok(report)
}

fn hash_of(shared: &Shared, body: &Located, octets: &mut u64) -> Option<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    while at < body.size {
        let piece = shared.read_body(body, at, super::MAX_READ).ok()?;
        hasher.update(&piece);
        at += piece.len() as u64;
    }
    *octets += at;
    Some(*hasher.finalize().as_bytes())
}
