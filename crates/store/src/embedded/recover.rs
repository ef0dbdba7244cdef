//! From what is on the disk to an index and a log that agree.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::effect::Effect;
use super::index::{Applied, Index};
use super::log::{self, Log, START, Start};
use super::record::{self, CONTINUES, HEADER, Kind};
use crate::{Error, Result};

/// Where things are.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) segments: PathBuf,
    pub(super) bodies: PathBuf,
    pub(super) index: PathBuf,
}

impl Layout {
    pub(super) fn new(dir: &Path) -> Self {
        Layout { segments: dir.join("seg"), bodies: dir.join("body"), index: dir.join("index").join("index.db") }
    }

    pub(super) fn body(&self, number: u64) -> PathBuf {
        self.bodies.join(format!("{number:010}.body"))
    }

    pub(super) fn remove_index(&self) -> Result<()> {
        for suffix in ["", "-wal", "-shm"] {
            let path = PathBuf::from(format!("{}{suffix}", self.index.display()));
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::NotWritable { dir: path, reason: e.to_string() }),
            }
        }
        Ok(())
    }
}

/// Opens the index and the log, cuts a torn tail, and applies what the index lacks.
pub(super) fn recover(disk: &Arc<dyn Disk>, layout: &Layout) -> Result<(Index, Log, Applied)> {
    let (segments, base) = sound_segments(&**disk, layout)?;
    let (mut index, mut applied) = match Index::open(&layout.index) {
        Err(Error::Damaged(why)) => {
            tracing::warn!(why, "the index is damaged and is made again from the log");
            layout.remove_index()?;
            Index::open(&layout.index)?
        }
        other => other?,
    };
    let Some(&last) = segments.last() else {
        if applied.number > 0 {
            return Err(Error::Damaged("the log's segments are gone".into()));
        }
        let log = Log::create(Arc::clone(disk), &layout.segments, 1).map_err(|e| not_writable(&layout.segments, &e))?;
        return Ok((index, log, applied));
    };
    if applied.number > 0 && !agrees(&**disk, layout, &segments, &applied)? {
        tracing::warn!("the index is not of this log, or ahead of it, and is made again");
        drop(index);
        layout.remove_index()?;
        (index, applied) = Index::open(&layout.index)?;
    }
    let mut from = if applied.number > 0 { applied.segment } else { base };
    let mut at = if applied.number > 0 { applied.end } else { START };
    loop {
        let is_last = from == last;
        let end = replay(&**disk, layout, &mut index, &mut applied, from, at, is_last)?;
        if is_last {
            let log = Log::open(Arc::clone(disk), &layout.segments, last, base, end)
                .map_err(|e| not_writable(&layout.segments, &e))?;
            remove_stray_bodies(&**disk, layout, &mut index)?;
            return Ok((index, log, applied));
        }
        from = *segments.iter().find(|&&s| s > from).expect("a segment before the last has a next one");
        at = START;
    }
}

/// The segments to read, and where a rebuild begins. Removes segments that were never finished being made.
fn sound_segments(disk: &dyn Disk, layout: &Layout) -> Result<(Vec<u64>, u64)> {
    let dir = &layout.segments;
    let mut sound = Vec::new();
    let mut bases = Vec::new();
    for segment in log::numbers(dir, "seg").map_err(|e| Error::io(&e))? {
        let path = log::path(dir, segment);
        let file = disk.open(&path).map_err(|e| Error::io(&e))?;
        match log::read_start(&*file, segment).map_err(|e| Error::io(&e))? {
            Start::Sound { base } => {
                sound.push(segment);
                bases.push(base);
            }
            Start::Newer(found) => return Err(Error::Newer { found, known: log::FORMAT }),
            Start::Missing if length(&path)? <= START => {
                disk.remove(&path).map_err(|e| not_writable(&path, &e))?;
            }
            Start::Missing => return Err(Error::Damaged(format!("segment {segment} has no beginning"))),
        }
    }
    // The newest segment may go if it is of no use. If it is empty, making it may have failed in a way that left it
    // here while the log went on in the one before. If it is a base, it begins with a copy of the whole index, written
    // before the segment is used for anything else, and is of use only if that is complete.
    while let ([_, .., last], Some(&base)) = (&sound[..], bases.last()) {
        let path = log::path(dir, *last);
        let is_base = base == *last;
        if length(&path)? > START && (!is_base || is_group_complete(disk, &path)?) {
            break;
        }
        disk.remove(&path).map_err(|e| not_writable(dir, &e))?;
        sound.pop();
        bases.pop();
    }
    let base = bases.last().copied().unwrap_or(1);
    if sound.last().is_some() && !sound.contains(&base) {
        return Err(Error::Damaged(format!("segment {base} is missing")));
    }
    Ok((sound, base))
}

fn is_group_complete(disk: &dyn Disk, path: &Path) -> Result<bool> {
    let file = disk.open(path).map_err(|e| Error::io(&e))?;
    let mut payload = Vec::new();
    let mut at = START;
    while let Some(header) = record::read(&*file, at, &mut payload).map_err(|e| Error::io(&e))? {
        if header.kind == Kind::Ops && header.flags & CONTINUES == 0 {
            return Ok(true);
        }
        at += (HEADER + payload.len()) as u64;
    }
    Ok(false)
}

/// Whether the log has the record the index says it applied last.
fn agrees(disk: &dyn Disk, layout: &Layout, segments: &[u64], applied: &Applied) -> Result<bool> {
    if !segments.contains(&applied.segment) {
        return if segments.last().is_some_and(|&last| last > applied.segment) {
            Err(Error::Damaged(format!("segment {} is missing", applied.segment)))
        } else {
            Ok(false)
        };
    }
    let file = disk.open(&log::path(&layout.segments, applied.segment)).map_err(|e| Error::io(&e))?;
    let header = record::read(&*file, applied.at, &mut Vec::new()).map_err(|e| Error::io(&e))?;
    Ok(header.is_some_and(|h| h.kind == Kind::Ops && h.number == applied.number && h.crc == applied.crc))
}

/// Applies the groups of one segment from `at`. Gives where the last whole group ends.
fn replay(
    disk: &dyn Disk,
    layout: &Layout,
    index: &mut Index,
    applied: &mut Applied,
    segment: u64,
    mut at: u64,
    is_last: bool,
) -> Result<u64> {
    const GROUPS_PER_TRANSACTION: u32 = 1000;
    let path = log::path(&layout.segments, segment);
    let file = disk.open(&path).map_err(|e| Error::io(&e))?;
    let mut payload = Vec::new();
    let mut group_end = at;
    let mut groups = 0;
    index.run("BEGIN IMMEDIATE", [])?;
    index.run("SAVEPOINT batch", [])?;
    let mut counters = index.counters;
    let mut number = applied.number;
    while let Some(header) = record::read(&*file, at, &mut payload).map_err(|e| Error::io(&e))? {
        let begins = at;
        at += (HEADER + payload.len()) as u64;
        match header.kind {
            Kind::Body => continue,
            Kind::Start => return Err(Error::Damaged(format!("segment {segment} begins twice"))),
            Kind::Ops => {}
        }
        let restart = number == 0 && segment > 1;
        if header.number != number + 1 && !restart {
            return Err(Error::Damaged(format!("segment {segment}: group {} follows {number}", header.number)));
        }
        number = header.number;
        let damaged = |why: &str| Error::Damaged(format!("segment {segment}, group {}: {why}", header.number));
        let mut effects = &payload[..];
        while let Some(effect) = Effect::decode(&mut effects).map_err(|_| damaged("an unknown effect"))? {
            index.apply(&effect).map_err(|e| match e {
                Error::Transient(why) => damaged(&why),
                other => other,
            })?;
        }
        if header.flags & CONTINUES != 0 {
            continue;
        }
        *applied = Applied { number, segment, at: begins, end: at, crc: header.crc };
        index.note(applied)?;
        index.run("RELEASE batch", [])?;
        group_end = at;
        counters = index.counters;
        groups += 1;
        if groups % GROUPS_PER_TRANSACTION == 0 {
            index.run("COMMIT", [])?;
            index.run("BEGIN IMMEDIATE", [])?;
        }
        index.run("SAVEPOINT batch", [])?;
    }
    index.run("ROLLBACK TO batch", [])?;
    index.run("RELEASE batch", [])?;
    index.run("COMMIT", [])?;
    index.counters = counters;
    let len = length(&path)?;
    if group_end < len {
        if !is_last {
            return Err(Error::Damaged(format!("segment {segment} is unreadable from octet {group_end}")));
        }
        tracing::info!(segment, from = group_end, octets = len - group_end, "the log's unfinished tail is cut off");
    }
    Ok(group_end)
}

/// Body files that nothing came to refer to.
fn remove_stray_bodies(disk: &dyn Disk, layout: &Layout, index: &mut Index) -> Result<()> {
    for number in log::numbers(&layout.bodies, "body").map_err(|e| Error::io(&e))? {
        index.counters.file = index.counters.file.max(number + 1);
        let known =
            index.conn.prepare_cached("SELECT 1 FROM body WHERE segment = 0 AND at = ?")?.exists([number as i64])?;
        if !known {
            disk.remove(&layout.body(number)).map_err(|e| not_writable(&layout.bodies, &e))?;
        }
    }
    Ok(())
}

fn length(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).map_err(|e| Error::io(&e))?.len())
}

pub(super) fn not_writable(dir: &Path, error: &std::io::Error) -> Error {
    Error::NotWritable { dir: dir.into(), reason: error.to_string() }
}
