//! Handles of message bodies: staged (written, not yet referred to) and stored.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::BodyId;

/// A body to append, enqueue or read: one just written, or one that is already stored.
///
/// A clone is the same body: used in several operations, or in several batches, it is stored once. When the last
/// clone of a body that no batch used is dropped, its space is given back.
#[derive(Clone)]
pub struct Body(Inner);

#[derive(Clone)]
enum Inner {
    Stored(BodyId),
    Staged(Arc<Staged>),
}

pub(crate) struct Staged {
    pub(crate) size: u64,
    pub(crate) hash: [u8; 32],
    pub(crate) content: Content,
    /// Set by the first batch that used it.
    pub(crate) stored: OnceLock<BodyId>,
}

pub(crate) enum Content {
    Memory(Bytes),
    /// In a file of its own, complete and synced.
    File(Box<dyn SpilledFile>),
}

/// A staged body in a file of its own; the engine's. Dropped before `keep`, it removes the file.
pub(crate) trait SpilledFile: Send + Sync {
    /// The number the engine knows the file by.
    fn number(&self) -> u64;
    /// The file is referred to now and must stay.
    fn keep(&self);
}

impl Body {
    pub(crate) fn staged(size: u64, hash: [u8; 32], content: Content) -> Self {
        Body(Inner::Staged(Arc::new(Staged { size, hash, content, stored: OnceLock::new() })))
    }

    /// The stored body's name, once a batch with it has been committed.
    pub fn id(&self) -> Option<BodyId> {
        match &self.0 {
            Inner::Stored(id) => Some(*id),
            Inner::Staged(staged) => staged.stored.get().copied(),
        }
    }

    /// Size in octets; `None` for one made from a [`BodyId`].
    pub fn size(&self) -> Option<u64> {
        self.as_staged().map(|staged| staged.size)
    }

    /// BLAKE3 of the content; `None` for one made from a [`BodyId`].
    pub fn hash(&self) -> Option<[u8; 32]> {
        self.as_staged().map(|staged| staged.hash)
    }

    /// The whole content, if it is held in memory (it was just written and is small).
    pub fn in_memory(&self) -> Option<&Bytes> {
        match &self.as_staged()?.content {
            Content::Memory(bytes) => Some(bytes),
            Content::File(_) => None,
        }
    }

    pub(crate) fn as_staged(&self) -> Option<&Arc<Staged>> {
        match &self.0 {
            Inner::Stored(_) => None,
            Inner::Staged(staged) => Some(staged),
        }
    }
}

impl From<BodyId> for Body {
    fn from(id: BodyId) -> Self {
        Body(Inner::Stored(id))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("id", &self.id()).field("size", &self.size()).finish_non_exhaustive()
    }
}
