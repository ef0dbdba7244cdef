//! The segments: append-only files, the newest one open for writing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, ReadFile, WriteFile};
use super::record::{self, HEADER, Kind};
use crate::{Error, Result};

/// The format of records and effects.
pub(super) const FORMAT: u32 = 1;
/// Octets of the Start record.
pub(super) const START: u64 = HEADER as u64 + 12;

/// Why a group is not in the log.
pub(super) enum Failure {
    /// Nothing was stored.
    Clean(Error),
    /// It may or may not be stored; nothing more may be written.
    Fatal(String),
}

pub(super) struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Box<dyn WriteFile>,
    pub(super) segment: u64,
    /// The segment where a rebuild begins.
    pub(super) base: u64,
    /// Where the next group begins.
    pub(super) end: u64,
    /// The number to try for the next segment.
    next: u64,
}

/// Where the log was.
pub(super) struct Before {
    file: Box<dyn WriteFile>,
    segment: u64,
    base: u64,
    end: u64,
}

impl Log {
    /// Opens segment `segment`, cut to `end`, and makes what it holds durable.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, segment: u64, base: u64, end: u64) -> io::Result<Log> {
        let mut file = disk.append(&path(dir, segment), end)?;
        file.sync()?;
        Ok(Log { disk, dir: dir.into(), file, segment, base, end, next: segment + 1 })
    }

    /// Makes segment `segment`, the base of itself.
    pub(super) fn create(disk: Arc<dyn Disk>, dir: &Path, segment: u64) -> io::Result<Log> {
        let file = create(&*disk, dir, segment, segment)?;
        Ok(Log { disk, dir: dir.into(), file, segment, base: segment, end: START, next: segment + 1 })
    }

    /// Goes on in a new segment.
    pub(super) fn roll(&mut self) -> Result<()> {
        let segment = self.take_number();
        self.file = create(&*self.disk, &self.dir, segment, self.base).map_err(|e| Error::io(&e))?;
        (self.segment, self.end) = (segment, START);
        Ok(())
    }

    /// Goes on in a new segment where a rebuild will begin, to be filled at once with a copy of the index. Gives what
    /// [`retreat`](Self::retreat) needs.
    pub(super) fn roll_base(&mut self) -> Result<Before> {
        let segment = self.take_number();
        let file = create(&*self.disk, &self.dir, segment, segment).map_err(|e| Error::io(&e))?;
        let file = std::mem::replace(&mut self.file, file);
        let before = Before { file, segment: self.segment, base: self.base, end: self.end };
        (self.segment, self.base, self.end) = (segment, segment, START);
        Ok(before)
    }

    /// Goes back from a base that could not be completed. The half-made one must not stay: it would be believed once
    /// something is appended to it.
    pub(super) fn retreat(&mut self, before: Before) -> std::result::Result<(), Failure> {
        self.disk
            .remove(&path(&self.dir, self.segment))
            .map_err(|e| Failure::Fatal(format!("removing a half-made segment: {e}")))?;
        (self.file, self.segment, self.base, self.end) = (before.file, before.segment, before.base, before.end);
        Ok(())
    }

    /// A number whose file could not be finished is passed over: the file may still be there.
    fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Writes a group and makes it durable: one write, one sync.
    pub(super) fn append(&mut self, group: &[u8]) -> std::result::Result<(), Failure> {
        self.append_unsynced(group)?;
        self.sync()
    }

    pub(super) fn append_unsynced(&mut self, group: &[u8]) -> std::result::Result<(), Failure> {
        if let Err(error) = self.file.write_all(group) {
            // What came before is synced or will be; only this group is taken back.
            return match self.file.cut(self.end) {
                Ok(()) => Err(Failure::Clean(Error::io(&error))),
                Err(cut) => Err(Failure::Fatal(format!("writing the log: {error}; taking it back: {cut}"))),
            };
        }
        self.end += group.len() as u64;
        Ok(())
    }

    /// Takes back a synced group that nobody has been told of: everything from `end` on.
    pub(super) fn take_back(&mut self, end: u64) -> std::result::Result<(), Failure> {
        self.file.cut(end).map_err(|e| Failure::Fatal(format!("taking back a group: {e}")))?;
        self.end = end;
        self.sync()
    }

    /// After an error here the kernel may have dropped the pages: never tried again.
    pub(super) fn sync(&mut self) -> std::result::Result<(), Failure> {
        self.file.sync().map_err(|e| Failure::Fatal(format!("syncing the log: {e}")))
    }
}

fn create(disk: &dyn Disk, dir: &Path, segment: u64, base: u64) -> io::Result<Box<dyn WriteFile>> {
    let mut payload = FORMAT.to_le_bytes().to_vec();
    payload.extend_from_slice(&base.to_le_bytes());
    let mut start = Vec::new();
    record::write(&mut start, Kind::Start, 0, segment, &payload);
    let path = path(dir, segment);
    let mut file = disk.create(&path)?;
    let written = file.write_all(&start).and_then(|()| file.sync()).and_then(|()| disk.sync_dir(dir));
    match written {
        Ok(()) => Ok(file),
        Err(error) => {
            // A half-made segment is also recognised when the store is opened.
            disk.remove(&path).ok();
            Err(error)
        }
    }
}

/// What a Start record says.
pub(super) enum Start {
    Sound {
        base: u64,
    },
    Newer(u32),
    /// There is none: the segment was never finished being made.
    Missing,
}

pub(super) fn read_start(file: &dyn ReadFile, segment: u64) -> io::Result<Start> {
    let mut payload = Vec::new();
    let header = record::read(file, 0, &mut payload)?;
    Ok(match header {
        Some(h) if h.kind == Kind::Start && h.number == segment && payload.len() >= 12 => {
            let format = u32::from_le_bytes(payload[..4].try_into().expect("four octets"));
            let base = u64::from_le_bytes(payload[4..12].try_into().expect("eight octets"));
            if format > FORMAT { Start::Newer(format) } else { Start::Sound { base } }
        }
        Some(_) | None => Start::Missing,
    })
}

pub(super) fn path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:010}.seg"))
}

/// The numbers of the files in `dir` with this extension, ascending.
pub(super) fn numbers(dir: &Path, extension: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            numbers.extend(path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<u64>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}
