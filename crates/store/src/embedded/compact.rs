//! Giving back space: forget bodies nothing refers to, copy what lives in poor segments to the log's end, and delete
//! segments that hold nothing any more.
//!
//! The effects in a segment are history a rebuild needs, so the log first gets a new base: a copy of the whole index,
//! after which what came before only matters for the bodies in it. Files are deleted last.

use std::collections::BTreeMap;
use std::fs;

use rusqlite::params;
use rusqlite::types::ValueRef;

use super::effect::{BodyPlace, Effect, Value};
use super::index::{Applied, TABLES};
use super::log::{self, Failure};
use super::record::{self, CONTINUES, HEADER, Kind};
use super::writer::Writer;
use super::{Located, guard};
use crate::{BodyId, Error, Result};

/// Groups and records are kept to about this many octets.
const STEP: usize = 4 << 20;

/// What [`Store::compact`](super::Store::compact) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// Bodies forgotten.
    pub bodies: u64,
    /// Files deleted: segments and bodies in files of their own.
    pub files: u64,
    /// Octets of the deleted files.
    pub freed: u64,
    /// Octets written to the log for it.
    pub written: u64,
}

pub(super) fn compact(writer: &mut Writer) -> Result<Compacted> {
    let mut done = Compacted::default();
    forget_dead_bodies(writer, &mut done)?;
    let poor = poor_segments(writer)?;
    if !poor.is_empty() {
        write_base(writer, &mut done)?;
        for segment in poor {
            evacuate(writer, segment, &mut done)?;
        }
    }
    delete_files(writer, &mut done)?;
    Ok(done)
}

/// Writes effects that are already encoded as one group, with the bodies before them, and commits the index.
fn commit(writer: &mut Writer, mut group: Vec<u8>, effects: &[u8], done: &mut Compacted) -> Result<()> {
    let begins = writer.log.end + group.len() as u64;
    let number = writer.applied.number + 1;
    let crc = record::write(&mut group, Kind::Ops, 0, number, effects);
    let end = writer.log.end + group.len() as u64;
    done.written += group.len() as u64;
    let applied = Applied { number, segment: writer.log.segment, at: begins, end, crc };
    writer.index.note(&applied)?;
    writer.log.append(&group).map_err(|f| failed(writer, f))?;
    writer.applied = applied;
    writer.index.run("COMMIT", []).map_err(|e| writer.shared.fail(&format!("committing the index: {e}")))?;
    Ok(())
}

fn failed(writer: &Writer, failure: Failure) -> Error {
    match failure {
        Failure::Clean(error) => error,
        Failure::Fatal(why) => writer.shared.fail(&why),
    }
}

/// Runs `run` in an index transaction, which it commits itself; rolls back what it leaves.
fn transaction(writer: &mut Writer, run: impl FnOnce(&mut Writer) -> Result<()>) -> Result<()> {
    writer.index.run("BEGIN IMMEDIATE", [])?;
    let counters = writer.index.counters;
    let result = run(writer);
    if result.is_err() {
        writer.index.counters = counters;
    }
    if !writer.index.conn.is_autocommit() {
        writer.index.run("ROLLBACK", [])?;
    }
    result
}

fn forget_dead_bodies(writer: &mut Writer, done: &mut Compacted) -> Result<()> {
    transaction(writer, |writer| {
        let conn = &writer.index.conn;
        conn.execute_batch(
            "CREATE TEMP TABLE IF NOT EXISTS live (body INTEGER PRIMARY KEY);
             DELETE FROM temp.live;
             INSERT OR IGNORE INTO temp.live SELECT body FROM message;
             INSERT OR IGNORE INTO temp.live SELECT body FROM queue;",
        )?;
        let mut runs: Vec<(u64, u64)> = Vec::new();
        {
            let mut select = conn.prepare("SELECT body, body IN temp.live FROM body ORDER BY body")?;
            let mut rows = select.query([])?;
            let mut run_open = false;
            while let Some(row) = rows.next()? {
                let (body, live) = (row.get::<_, i64>(0)? as u64, row.get::<_, bool>(1)?);
                if live {
                    run_open = false;
                    continue;
                }
                done.bodies += 1;
                match runs.last_mut() {
                    Some(run) if run_open => run.1 = body,
                    _ => runs.push((body, body)),
                }
                run_open = true;
            }
        }
        conn.execute_batch("DELETE FROM temp.live")?;
        if runs.is_empty() {
            return Ok(());
        }
        let effect = Effect::BodiesRemoved { runs };
        writer.index.apply(&effect)?;
        let mut effects = Vec::new();
        effect.encode(&mut effects);
        commit(writer, Vec::new(), &effects, done)
    })
}

/// Segments of which less than half is bodies that live; none if that frees less than a new base would cost.
fn poor_segments(writer: &Writer) -> Result<Vec<u64>> {
    let live = live_octets(writer)?;
    let (mut poor, mut garbage) = (Vec::new(), 0);
    for segment in log::numbers(&writer.shared.layout.segments, "seg").map_err(|e| Error::io(&e))? {
        let len = fs::metadata(log::path(&writer.shared.layout.segments, segment)).map_err(|e| Error::io(&e))?.len();
        let live = live.get(&segment).copied().unwrap_or(0);
        if live * 2 < len {
            poor.push(segment);
            garbage += len - live;
        }
    }
    let used = "SELECT (page_count - freelist_count) * page_size
        FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let index: i64 = writer.index.conn.query_row(used, [], |row| row.get(0))?;
    Ok(if garbage * 2 > index as u64 { poor } else { Vec::new() })
}

fn live_octets(writer: &Writer) -> Result<BTreeMap<u64, u64>> {
    let mut select = writer
        .index
        .conn
        .prepare_cached("SELECT segment, sum(size + ?) FROM body WHERE segment > 0 GROUP BY segment")?;
    let sums = select
        .query_map([HEADER as i64], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(sums)
}

/// Begins a segment with a copy of the whole index. If that fails, the log goes on where it was.
fn write_base(writer: &mut Writer, done: &mut Compacted) -> Result<()> {
    let before = writer.applied;
    let old = writer.log.roll_base()?;
    let result = transaction(writer, |writer| {
        let mut applied = before;
        let mut effects = Vec::new();
        let c = writer.index.counters;
        let counters = [c.account, c.body, c.queue, c.file].map(|n| Value::Integer(n as i64)).to_vec();
        Effect::Restart.encode(&mut effects);
        Effect::Row { table: 0, values: counters }.encode(&mut effects);
        for (number, (table, columns)) in (1..).zip(TABLES) {
            let conn = &writer.index.conn;
            let mut select = conn.prepare(&format!("SELECT * FROM {table}"))?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let values =
                    (0..columns).map(|column| row.get_ref(column).map(value)).collect::<rusqlite::Result<_>>()?;
                Effect::Row { table: number, values }.encode(&mut effects);
                if effects.len() > STEP {
                    write_part(&mut writer.log, &mut applied, &mut effects, CONTINUES, done)
                        .map_err(|f| fault(&writer.shared, f))?;
                }
            }
        }
        write_part(&mut writer.log, &mut applied, &mut effects, 0, done).map_err(|f| fault(&writer.shared, f))?;
        writer.log.sync().map_err(|f| fault(&writer.shared, f))?;
        writer.index.note(&applied)?;
        writer.index.run("COMMIT", []).map_err(|e| writer.shared.fail(&format!("committing the index: {e}")))?;
        writer.applied = applied;
        Ok(())
    });
    if let Err(error) = &result
        && !matches!(error, Error::ReadOnly(_))
    {
        writer.log.retreat(old).map_err(|f| failed(writer, f))?;
    }
    result
}

fn fault(shared: &super::Shared, failure: Failure) -> Error {
    match failure {
        Failure::Clean(error) => error,
        Failure::Fatal(why) => shared.fail(&why),
    }
}

fn write_part(
    log: &mut log::Log,
    applied: &mut Applied,
    effects: &mut Vec<u8>,
    flags: u8,
    done: &mut Compacted,
) -> std::result::Result<(), Failure> {
    let mut part = Vec::with_capacity(effects.len() + HEADER);
    let number = applied.number + 1;
    let crc = record::write(&mut part, Kind::Ops, flags, number, effects);
    *applied = Applied { number, segment: log.segment, at: log.end, end: log.end + part.len() as u64, crc };
    log.append_unsynced(&part)?;
    done.written += part.len() as u64;
    effects.clear();
    Ok(())
}

fn value(value: ValueRef) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Integer(n),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
        ValueRef::Real(_) => unreachable!("no table has a column of reals"),
    }
}

/// Copies the bodies that live in `segment` to the log's end.
fn evacuate(writer: &mut Writer, segment: u64, done: &mut Compacted) -> Result<()> {
    loop {
        if writer.log.end >= writer.segment_size {
            writer.log.roll()?;
        }
        let mut moved = 0;
        transaction(writer, |writer| {
            let mut group = Vec::new();
            let mut effects = Vec::new();
            let bodies: Vec<(u64, i64, u64)> = writer
                .index
                .conn
                .prepare_cached("SELECT body, at, size FROM body WHERE segment = ? ORDER BY at LIMIT 1000")?
                .query_map(params![segment as i64], |row| {
                    Ok((row.get::<_, i64>(0)? as u64, row.get(1)?, row.get::<_, i64>(2)? as u64))
                })?
                .collect::<rusqlite::Result<_>>()?;
            for (body, at, size) in bodies {
                let place = BodyPlace::Segment { segment, at: at as u64 };
                let located = Located { id: Some(BodyId(body)), place, size };
                let octets = writer
                    .shared
                    .read_body(&located, 0, usize::MAX)
                    .map_err(|e| Error::Damaged(format!("body {body}: {e}")))?;
                let at = writer.log.end + (group.len() + HEADER) as u64;
                record::write(&mut group, Kind::Body, 0, body, &octets);
                let place = BodyPlace::Segment { segment: writer.log.segment, at };
                let effect = Effect::BodyMoved { body: BodyId(body), place };
                writer.index.apply(&effect)?;
                effect.encode(&mut effects);
                moved += 1;
                if group.len() > STEP {
                    break;
                }
            }
            if moved == 0 { Ok(()) } else { commit(writer, group, &effects, done) }
        })?;
        if moved == 0 {
            return Ok(());
        }
    }
}

/// Deletes segments before the base without bodies that live, and body files nothing refers to.
fn delete_files(writer: &mut Writer, done: &mut Compacted) -> Result<()> {
    let shared = &writer.shared;
    let live = live_octets(writer)?;
    let mut delete = |path: std::path::PathBuf| {
        let len = fs::metadata(&path).map(|m| m.len()).unwrap_or(0);
        shared.disk.remove(&path).map_err(|e| Error::io(&e))?;
        done.files += 1;
        done.freed += len;
        Ok::<(), Error>(())
    };
    for segment in log::numbers(&shared.layout.segments, "seg").map_err(|e| Error::io(&e))? {
        if segment < writer.log.base && !live.contains_key(&segment) {
            guard(&shared.segments).remove(&segment);
            delete(log::path(&shared.layout.segments, segment))?;
        }
    }
    // Only files that were referred to once: others may be staged just now.
    let mut known = writer.index.conn.prepare_cached("SELECT 1 FROM body WHERE segment = 0 AND at = ?")?;
    for number in log::numbers(&shared.layout.bodies, "body").map_err(|e| Error::io(&e))? {
        if number < writer.index.counters.file
            && !guard(&shared.staged).contains(&number)
            && !known.exists([number as i64])?
        {
            delete(shared.layout.body(number))?;
        }
    }
    Ok(())
}
