//! The embedded engine: an append-only log of segments, and a SQLite index made from it.
//!
//! ```text
//! LOCK                 held exclusively while the store is open
//! seg/NNNNNNNNNN.seg   the log: bodies, and the effects of every batch; a new one every 64 MiB
//! body/NNNNNNNNNN.body bodies above 256 KiB, in pieces, each in a file of its own
//! index/index.db       SQLite, WAL mode: the effects added up; can be deleted and is made again
//! ```
//!
//! A commit is one write to the newest segment (all small bodies and all effects of all batches that were waiting), one
//! `fdatasync`, and a commit of the index without a sync. A body in a file of its own costs two more, of the file and
//! of its directory, before its batch. When the store is opened, a tail of the log that is not a whole group with good
//! checksums is cut off, and groups the index has not seen are applied to it.

mod body_writer;
mod check;
mod compact;
mod disk;
mod effect;
mod index;
mod log;
mod plan;
mod read;
mod record;
mod recover;
mod writer;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use self::body_writer::{BodyWriter, INLINE};
pub use self::check::Report;
pub use self::compact::Compacted;
pub use self::disk::{Disk, ReadFile, SystemDisk, WriteFile};
pub use self::plan::{MAX_BATCH, MAX_OPAQUE};
use self::recover::{Layout, not_writable};
use self::writer::{Job, Writer};
use crate::{
    Account, AccountId, Body, BodyId, Changes, Engine, Error, LeaseOwner, Mailbox, MailboxId, MailboxName, Message, Op,
    Outcome, QueueEntry, QueueId, Result, Snapshot, UidSet, UnixMillis, Watch,
};

/// Most octets one [`Engine::read`] gives.
pub const MAX_READ: usize = 1 << 20;
/// Requests that may wait for the writer; more wait to be queued.
const MAX_WAITING: usize = 4096;
/// Segments kept open for reading.
const MAX_OPEN_SEGMENTS: usize = 256;

/// How to open a store. `Options::default()` is right for most.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// A new segment is begun when the newest has this many octets. Default 64 MiB.
    pub segment_size: u64,
    /// Most reads of the index at once, each on a blocking thread with a connection of its own. Default 8.
    pub readers: usize,
    /// Most messages the cached snapshots of recently selected mailboxes may have together, about 32 octets each.
    /// Default 1,000,000.
    pub snapshot_cache: usize,
    /// The file system. Default [`SystemDisk`].
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_size: 64 << 20, readers: 8, snapshot_cache: 1_000_000, disk: Arc::new(SystemDisk) }
    }
}

/// The embedded engine. Clones are the same store.
///
/// The last clone's drop waits for the writer to finish what it has been given. The directory stays locked until staged
/// large bodies and body writers are dropped too.
#[derive(Clone)]
pub struct Store(Arc<Open>);

struct Open {
    shared: Arc<Shared>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.jobs = None;
        // The writer's connection should be the last: a reading one leaves the write-ahead log behind.
        guard(&self.shared.readers).clear();
        if let Some(writer) = self.writer.take() {
            writer.join().ok();
        }
    }
}

/// What the writer, readers and handles have in common.
struct Shared {
    disk: Arc<dyn Disk>,
    layout: Layout,
    next_file: AtomicU64,
    /// Why nothing more may be written.
    fault: Mutex<Option<String>>,
    accounts: Mutex<HashMap<AccountId, watch::Sender<u64>>>,
    queue: watch::Sender<u64>,
    permits: Arc<Semaphore>,
    readers: Mutex<Vec<rusqlite::Connection>>,
    segments: Mutex<HashMap<u64, Arc<dyn ReadFile>>>,
    snapshots: Mutex<read::SnapshotCache>,
    /// Body files that a writer or handle still holds.
    staged: Mutex<HashSet<u64>>,
    /// Held until nothing of the store is left.
    _lock: File,
}

impl Store {
    /// Opens the store in `dir`, making it if there is none, and brings index and log to agree. Blocking, and takes as
    /// long as reading what was written since the index was last on the disk; the first time after the index was lost,
    /// as reading the whole log.
    ///
    /// Errors: [`Error::InUse`], [`Error::NotWritable`], [`Error::Newer`], [`Error::Damaged`].
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Store> {
        Self::open_with(dir.as_ref(), options, false)
    }

    /// Opens the store after throwing away its index, which is made again from the log.
    pub fn rebuild(dir: impl AsRef<Path>, options: Options) -> Result<Store> {
        Self::open_with(dir.as_ref(), options, true)
    }

    fn open_with(dir: &Path, options: Options, rebuild: bool) -> Result<Store> {
        let layout = Layout::new(dir);
        make_dirs(dir, &layout, &*options.disk)?;
        let lock = lock(dir)?;
        if rebuild {
            layout.remove_index()?;
        }
        let (index, log, applied) = recover::recover(&options.disk, &layout)?;
        let shared = Arc::new(Shared {
            next_file: AtomicU64::new(index.counters.file),
            disk: options.disk,
            layout,
            fault: Mutex::new(None),
            accounts: Mutex::default(),
            queue: watch::Sender::new(0),
            permits: Arc::new(Semaphore::new(options.readers.max(1))),
            readers: Mutex::default(),
            segments: Mutex::default(),
            snapshots: Mutex::new(read::SnapshotCache::new(options.snapshot_cache)),
            staged: Mutex::default(),
            _lock: lock,
        });
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        let writer = Writer {
            shared: Arc::clone(&shared),
            index,
            log,
            applied,
            jobs: waiting,
            segment_size: options.segment_size,
            uncheckpointed: 0,
        };
        let thread = std::thread::Builder::new().name("store-writer".into());
        let writer = thread.spawn(move || writer.run()).map_err(|e| Error::Transient(e.to_string()))?;
        Ok(Store(Arc::new(Open { shared, jobs: Some(jobs), writer: Some(writer) })))
    }

    /// Why the store has become read-only, if it has.
    pub fn fault(&self) -> Option<String> {
        self.0.shared.fault()
    }

    /// Gives back the space of bodies nothing refers to any more. Writing waits meanwhile. A session that still shows
    /// an expunged message can read its body until then, and gets [`Error::NotFound`] after.
    pub async fn compact(&self) -> Result<Compacted> {
        let (answer, answered) = oneshot::channel();
        self.ask(Job::Compact { answer }, answered).await?
    }

    /// Reads every body and compares it with its hash and checksum, and looks for references to nothing.
    pub async fn check(&self) -> Result<Report> {
        let shared = Arc::clone(&self.0.shared);
        self.0.shared.read(move |conn| check::check(&shared, conn)).await
    }

    async fn ask<T>(&self, job: Job, answered: oneshot::Receiver<T>) -> Result<T> {
        let jobs = self.0.jobs.as_ref().ok_or(Error::Closed)?;
        jobs.send(job).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)
    }
}

/// Makes the directories that are missing, durably: what is synced in a directory whose name is lost is lost.
fn make_dirs(dir: &Path, layout: &Layout, disk: &dyn Disk) -> Result<()> {
    let mut parents = Vec::new();
    for dir in [dir, &layout.segments, &layout.bodies, layout.index.parent().unwrap_or(dir)] {
        if !dir.is_dir() {
            fs::create_dir_all(dir).map_err(|e| not_writable(dir, &e))?;
            // A relative path of one name lies in ".".
            let parent = dir.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
            parents.extend(parent.map(Path::to_owned));
        }
    }
    parents.dedup();
    for parent in parents {
        disk.sync_dir(&parent).map_err(|e| not_writable(&parent, &e))?;
    }
    Ok(())
}

/// Takes the directory for this process. The system lets go of it when the process ends, however it ends.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("LOCK");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| not_writable(&path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse(dir.into())),
        Err(fs::TryLockError::Error(e)) => Err(not_writable(&path, &e)),
    }
}

impl Shared {
    fn fault(&self) -> Option<String> {
        guard(&self.fault).clone()
    }

    /// Makes the store read-only; the first reason stays.
    fn fail(&self, why: &str) -> Error {
        tracing::error!(why, "the store is read-only from now on");
        Error::ReadOnly(guard(&self.fault).get_or_insert_with(|| why.into()).clone())
    }

    fn watch(&self, account: AccountId) -> Watch {
        let mut accounts = guard(&self.accounts);
        Watch(accounts.entry(account).or_insert_with(|| watch::Sender::new(0)).subscribe())
    }

    fn wake(&self, accounts: &BTreeMap<AccountId, u64>, queue: bool) {
        let mut watched = guard(&self.accounts);
        for (account, modseq) in accounts {
            if let Some(sender) = watched.get(account)
                && sender.send(*modseq).is_err()
            {
                watched.remove(account);
            }
        }
        if queue {
            self.queue.send_modify(|count| *count += 1);
        }
    }

    /// Runs `run` with a connection of its own on a blocking thread.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        run: impl FnOnce(&rusqlite::Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Closed)?;
        let shared = Arc::clone(self);
        blocking(move || {
            let idle = guard(&shared.readers).pop();
            let conn = idle.map_or_else(|| index::Index::reader(&shared.layout.index), Ok)?;
            let result = run(&conn);
            guard(&shared.readers).push(conn);
            drop(permit);
            result
        })
        .await
    }

    /// A segment, open for reading.
    fn segment(&self, number: u64) -> std::io::Result<Arc<dyn ReadFile>> {
        let mut open = guard(&self.segments);
        if let Some(file) = open.get(&number) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&log::path(&self.layout.segments, number))?;
        if open.len() >= MAX_OPEN_SEGMENTS {
            open.clear();
        }
        open.insert(number, Arc::clone(&file));
        Ok(file)
    }
}

/// A panic of another holder leaves these values whole, so poisoning is passed over.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(run).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Error::Closed),
    }
}

impl Engine for Store {
    type BodyWriter = BodyWriter;

    fn body(&self) -> BodyWriter {
        BodyWriter::new(Arc::clone(&self.0.shared))
    }

    async fn commit_many(&self, batches: Vec<Vec<Op>>) -> Vec<Result<Vec<Outcome>>> {
        let count = batches.len();
        let (answer, answered) = oneshot::channel();
        match self.ask(Job::Commit { batches, answer }, answered).await {
            Ok(results) => results,
            Err(error) => vec![Err(error); count],
        }
    }

    async fn read(&self, body: &Body, offset: u64, max: usize) -> Result<Bytes> {
        read::body(&self.0.shared, body, offset, max.min(MAX_READ)).await
    }

    async fn find_account(&self, name: &str) -> Result<Account> {
        let name = name.to_owned();
        self.0.shared.read(move |conn| read::account_named(conn, &name)).await
    }

    async fn account(&self, id: AccountId) -> Result<Account> {
        self.0.shared.read(move |conn| read::account(conn, id)).await
    }

    async fn accounts(&self) -> Result<Vec<Account>> {
        self.0.shared.read(read::accounts).await
    }

    async fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>> {
        self.0.shared.read(move |conn| read::mailboxes(conn, account)).await
    }

    async fn mailbox(&self, account: AccountId, name: &MailboxName) -> Result<Mailbox> {
        let name = name.clone();
        self.0.shared.read(move |conn| read::mailbox_named(conn, account, &name)).await
    }

    async fn subscriptions(&self, account: AccountId) -> Result<Vec<MailboxName>> {
        self.0.shared.read(move |conn| read::subscriptions(conn, account)).await
    }

    async fn snapshot(&self, account: AccountId, mailbox: MailboxId) -> Result<Snapshot> {
        let shared = Arc::clone(&self.0.shared);
        self.0.shared.read(move |conn| read::snapshot(&shared.snapshots, conn, account, mailbox)).await
    }

    async fn messages(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &UidSet,
        cache: bool,
        limit: usize,
    ) -> Result<Vec<Message>> {
        let uids = uids.clone();
        self.0.shared.read(move |conn| read::messages(conn, account, mailbox, &uids, cache, limit)).await
    }

    async fn changes(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
        since: u64,
        limit: usize,
    ) -> Result<Changes> {
        self.0.shared.read(move |conn| read::changes(conn, account, mailbox, since, limit)).await
    }

    fn watch(&self, account: AccountId) -> Watch {
        self.0.shared.watch(account)
    }

    async fn lease(
        &self,
        now: UnixMillis,
        owner: LeaseOwner,
        max: usize,
        until: UnixMillis,
    ) -> Result<Vec<QueueEntry>> {
        let (answer, answered) = oneshot::channel();
        self.ask(Job::Lease { now, owner, max, until, answer }, answered).await?
    }

    async fn queued(&self, id: QueueId) -> Result<QueueEntry> {
        self.0.shared.read(move |conn| read::queued(conn, id)).await
    }

    async fn queue(&self, after: Option<QueueId>, limit: usize) -> Result<Vec<QueueEntry>> {
        self.0.shared.read(move |conn| read::queue(conn, after, limit)).await
    }

    async fn next_due(&self) -> Result<Option<UnixMillis>> {
        self.0.shared.read(read::next_due).await
    }

    fn watch_queue(&self) -> Watch {
        Watch(self.0.shared.queue.subscribe())
    }
}

/// Where a body is and how large it is.
#[derive(Clone, Copy, Debug)]
struct Located {
    id: Option<BodyId>,
    place: effect::BodyPlace,
    size: u64,
}

impl Shared {
    /// Part of a body, as [`Engine::read`].
    fn read_body(&self, body: &Located, offset: u64, max: usize) -> std::io::Result<Bytes> {
        let left = usize::try_from(body.size.saturating_sub(offset)).unwrap_or(usize::MAX).min(max);
        if left == 0 {
            return Ok(Bytes::new());
        }
        let mut octets;
        match body.place {
            effect::BodyPlace::File(number) => {
                let file = self.disk.open(&self.layout.body(number))?;
                let (at, in_piece) = body_writer::in_file(offset);
                octets = vec![0; left.min(in_piece)];
                file.read_exact_at(&mut octets, at)?;
                Ok(octets.into())
            }
            effect::BodyPlace::Segment { segment, at } => {
                let file = self.segment(segment)?;
                if offset > 0 {
                    octets = vec![0; left];
                    file.read_exact_at(&mut octets, at + offset)?;
                    return Ok(octets.into());
                }
                // The record's header comes with it and says whether this is the body meant: never another's octets.
                octets = vec![0; record::HEADER + left];
                file.read_exact_at(&mut octets, at - record::HEADER as u64)?;
                let header = octets.first_chunk().and_then(record::header);
                if header.is_none_or(|h| h.kind != record::Kind::Body || body.id != Some(BodyId(h.number))) {
                    return Err(std::io::Error::other("the index points at another record"));
                }
                Ok(Bytes::from(octets).slice(record::HEADER..))
            }
        }
    }
}
