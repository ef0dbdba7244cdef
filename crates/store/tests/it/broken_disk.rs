//! A disk that counts, and fails when told to: short writes, full disks, failing syncs, and a power cut after any
//! operation, which takes everything with it that was not synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use postrider_store::embedded::{Disk, ReadFile, SystemDisk, WriteFile};

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power goes before the operation; nothing works from then on.
    PowerCut,
    /// A write stores half and reports a full disk; other operations report it and do nothing.
    Full,
    /// The operation reports an error and may or may not have worked.
    Error,
}

#[derive(Default)]
struct State {
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    off: bool,
    syncs: u64,
    dir_syncs: u64,
    writes: u64,
    written: u64,
    /// Each file's durable length and actual length. Absent: as found.
    files: BTreeMap<PathBuf, (u64, u64)>,
    /// Files whose names are not durable yet.
    unnamed: Vec<PathBuf>,
}

#[derive(Clone, Default)]
pub(crate) struct BrokenDisk(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub syncs: u64,
    pub dir_syncs: u64,
    pub writes: u64,
    pub written: u64,
}

impl std::ops::Sub for Counts {
    type Output = Counts;
    fn sub(self, before: Counts) -> Counts {
        Counts {
            syncs: self.syncs - before.syncs,
            dir_syncs: self.dir_syncs - before.dir_syncs,
            writes: self.writes - before.writes,
            written: self.written - before.written,
        }
    }
}

impl BrokenDisk {
    pub(crate) fn failing(operation: u64, fault: Fault) -> Self {
        let disk = BrokenDisk::default();
        disk.fail(operation, fault);
        disk
    }

    /// Lets the operation of that number, counted from 0, fail.
    pub(crate) fn fail(&self, operation: u64, fault: Fault) {
        self.0.lock().unwrap().faults.insert(operation, fault);
    }

    /// Lets the next operation but `skip` fail.
    pub(crate) fn fail_after(&self, skip: u64, fault: Fault) {
        let mut state = self.0.lock().unwrap();
        let operation = state.operations + skip;
        state.faults.insert(operation, fault);
    }

    pub(crate) fn counts(&self) -> Counts {
        let s = self.0.lock().unwrap();
        Counts { syncs: s.syncs, dir_syncs: s.dir_syncs, writes: s.writes, written: s.written }
    }

    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    pub(crate) fn has_failed(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.faults.keys().any(|&operation| operation < state.operations)
    }

    pub(crate) fn is_off(&self) -> bool {
        self.0.lock().unwrap().off
    }

    /// After the store is closed: makes the files as a power cut leaves them. `kept` says how much of what was not
    /// synced survived, from 0 to `unsynced` octets; what survived may be garbage.
    pub(crate) fn cut_power(&self, mut kept: impl FnMut(u64) -> (u64, bool)) {
        let state = self.0.lock().unwrap();
        for (path, (durable, actual)) in &state.files {
            if !path.exists() || actual <= durable {
                continue;
            }
            let (survives, garbled) = kept(actual - durable);
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(durable + survives).unwrap();
            if garbled {
                // A page in the middle never reached the disk.
                let from = durable + survives / 3;
                let zeros = vec![0; (survives - survives / 3).min(4096) as usize];
                use std::os::unix::fs::FileExt;
                file.write_all_at(&zeros, from).unwrap();
            }
        }
        for path in &state.unnamed {
            if kept(1).0 == 0 {
                std::fs::remove_file(path).ok();
            }
        }
    }

    /// Counts an operation; `Err`: it must not be done. `Ok(Some)`: it goes wrong as it is done.
    fn operation(&self) -> io::Result<(std::sync::MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.0.lock().unwrap();
        let number = state.operations;
        state.operations += 1;
        let fault = state.faults.get(&number).copied();
        if fault == Some(Fault::PowerCut) {
            state.off = true;
        }
        if state.off { Err(io::Error::other("the power is off")) } else { Ok((state, fault)) }
    }
}

fn result(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None => Ok(()),
        Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
        Some(Fault::Error | Fault::PowerCut) => Err(io::Error::other("injected error")),
    }
}

impl Disk for BrokenDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let (mut state, fault) = self.operation()?;
        result(fault)?;
        let file = SystemDisk.create(path)?;
        state.files.insert(path.into(), (0, 0));
        state.unnamed.push(path.into());
        Ok(Box::new(BrokenFile { disk: self.clone(), path: path.into(), file }))
    }

    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn WriteFile>> {
        let (mut state, fault) = self.operation()?;
        result(fault)?;
        let file = SystemDisk.append(path, len)?;
        let durable = state.files.get(path).map_or(len, |f| f.0.min(len));
        state.files.insert(path.into(), (durable, len));
        Ok(Box::new(BrokenFile { disk: self.clone(), path: path.into(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        SystemDisk.open(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (mut state, fault) = self.operation()?;
        result(fault)?;
        SystemDisk.remove(path)?;
        state.files.remove(path);
        state.unnamed.retain(|p| p != path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let (mut state, fault) = self.operation()?;
        result(fault)?;
        state.dir_syncs += 1;
        state.unnamed.retain(|p| p.parent() != Some(path));
        Ok(())
    }
}

struct BrokenFile {
    disk: BrokenDisk,
    path: PathBuf,
    file: Box<dyn WriteFile>,
}

impl WriteFile for BrokenFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut state, fault) = match self.disk.operation() {
            Ok(done) => done,
            Err(error) => {
                // The write was on its way when the power went.
                let mut state = self.disk.0.lock().unwrap();
                let half = &bytes[..bytes.len() / 2];
                if self.file.write_all(half).is_ok() {
                    state.files.get_mut(&self.path).unwrap().1 += half.len() as u64;
                }
                return Err(error);
            }
        };
        let bytes = if fault.is_some() { &bytes[..bytes.len() / 2] } else { bytes };
        self.file.write_all(bytes)?;
        state.writes += 1;
        state.written += bytes.len() as u64;
        state.files.get_mut(&self.path).unwrap().1 += bytes.len() as u64;
        result(fault)
    }

    fn sync(&mut self) -> io::Result<()> {
        let (mut state, fault) = self.disk.operation()?;
        result(fault)?;
        state.syncs += 1;
        let file = state.files.get_mut(&self.path).unwrap();
        file.0 = file.1;
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        let (mut state, fault) = self.disk.operation()?;
        result(fault)?;
        self.file.cut(len)?;
        let file = state.files.get_mut(&self.path).unwrap();
        *file = (file.0.min(len), len);
        Ok(())
    }
}
