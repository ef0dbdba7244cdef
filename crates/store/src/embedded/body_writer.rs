//! Writing a body: in memory while it is small, then into a file of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::disk::WriteFile;
use super::record::{self, HEADER, Kind};
use super::{Shared, blocking, guard};
use crate::body::{Content, SpilledFile};
use crate::{Body, BodyWrite, Error, Result};

/// Bodies up to this size (256 KiB) are written with the batch that uses them; longer ones go to a file of their own in
/// pieces of this size, and take that much memory.
pub const INLINE: usize = 256 << 10;

/// Octets of a whole piece in its file.
const PIECE: u64 = (INLINE + HEADER) as u64;

/// Takes one body of any size in flat memory (256 KiB, twice that while a piece is written).
pub struct BodyWriter {
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    size: u64,
    state: State,
}

enum State {
    Small,
    Spilled(Box<Spill>),
    /// A write failed or was cancelled half-way.
    Broken,
}

/// Dropped, it removes the file.
struct Spill {
    file: Box<dyn WriteFile>,
    hasher: blake3::Hasher,
    pieces: u64,
    owned: BodyFile,
}

/// A body file, removed when dropped unless something has come to refer to it.
struct BodyFile {
    shared: Arc<Shared>,
    number: u64,
    keep: AtomicBool,
}

impl SpilledFile for BodyFile {
    fn number(&self) -> u64 {
        self.number
    }

    fn keep(&self) {
        self.keep.store(true, Ordering::Release);
    }
}

impl Drop for BodyFile {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::Acquire) {
            // If this fails, opening the store does it.
            self.shared.disk.remove(&self.shared.layout.body(self.number)).ok();
        }
        guard(&self.shared.staged).remove(&self.number);
    }
}

impl BodyWriter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        BodyWriter { shared, buffer: Vec::new(), size: 0, state: State::Small }
    }

    /// Writes the buffer as one piece.
    async fn spill(&mut self) -> Result<()> {
        let state = std::mem::replace(&mut self.state, State::Broken);
        let buffer = std::mem::take(&mut self.buffer);
        let shared = Arc::clone(&self.shared);
        let (spill, buffer) = blocking(move || {
            let mut spill = match state {
                State::Small => Spill::create(shared)?,
                State::Spilled(spill) => spill,
                State::Broken => return Err(Error::Transient("an earlier write of this body failed".into())),
            };
            spill.write(&buffer)?;
            Ok((spill, buffer))
        })
        .await?;
        self.buffer = buffer;
        self.buffer.clear();
        self.state = State::Spilled(spill);
        Ok(())
    }
}

impl Spill {
    fn create(shared: Arc<Shared>) -> Result<Box<Spill>> {
        if let Some(fault) = shared.fault() {
            return Err(Error::ReadOnly(fault));
        }
        let number = shared.next_file.fetch_add(1, Ordering::Relaxed);
        guard(&shared.staged).insert(number);
        let owned = BodyFile { shared, number, keep: AtomicBool::new(false) };
        let shared = &owned.shared;
        let file = shared.disk.create(&shared.layout.body(number)).map_err(|e| Error::io(&e))?;
        Ok(Box::new(Spill { file, hasher: blake3::Hasher::new(), pieces: 0, owned }))
    }

    fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.hasher.update(piece);
        let mut framed = Vec::with_capacity(HEADER + piece.len());
        record::write(&mut framed, Kind::Body, 0, self.pieces, piece);
        self.pieces += 1;
        self.file.write_all(&framed).map_err(|e| Error::io(&e))
    }

    fn finish(mut self, size: u64) -> Result<Body> {
        // A failed sync harms this file alone: nothing refers to it, and it is removed.
        self.file.sync().map_err(|e| Error::io(&e))?;
        let shared = &self.owned.shared;
        shared.disk.sync_dir(&shared.layout.bodies).map_err(|e| Error::io(&e))?;
        Ok(Body::staged(size, *self.hasher.finalize().as_bytes(), Content::File(Box::new(self.owned))))
    }
}

impl BodyWrite for BodyWriter {
    async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if matches!(self.state, State::Broken) {
            return Err(Error::Transient("an earlier write of this body failed".into()));
        }
        while !bytes.is_empty() {
            if self.buffer.len() == INLINE {
                self.spill().await?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(INLINE - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            self.size += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }

    async fn finish(mut self) -> Result<Body> {
        if matches!(self.state, State::Small) {
            let hash = *blake3::hash(&self.buffer).as_bytes();
            return Ok(Body::staged(self.size, hash, Content::Memory(Bytes::from(self.buffer))));
        }
        if !self.buffer.is_empty() {
            self.spill().await?;
        }
        let size = self.size;
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Spilled(spill) => blocking(move || spill.finish(size)).await,
            State::Small | State::Broken => Err(Error::Transient("an earlier write of this body failed".into())),
        }
    }
}

/// Where in its file the octet `offset` of a body is, and how many follow it in the same piece at most.
pub(super) fn in_file(offset: u64) -> (u64, usize) {
    let (piece, within) = (offset / INLINE as u64, offset % INLINE as u64);
    (piece * PIECE + HEADER as u64 + within, INLINE - within as usize)
}
