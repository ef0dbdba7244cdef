//! Measures the embedded engine: `cargo run --release -p postrider-store --example measure -- DIR`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use postrider_store::embedded::{Disk, ReadFile, SystemDisk, WriteFile};
use postrider_store::{
    AccountId, Append, Body, BodyWrite, Engine, Flags, How, MailboxId, NewAccount, Op, Options, Result, Store,
    StoreFlags, UidSet, UnixMillis,
};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let dir = std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("postrider-measure"), PathBuf::from);
    let mut options = Options::default();
    options.disk = Arc::new(CountingDisk);
    let store = Store::open(&dir, options)?;
    let mut accounts = Vec::new();
    for n in 0..9 {
        let name = format!("user {n} {:?}", std::time::SystemTime::now());
        accounts.push(store.create_account(NewAccount { name, password_hash: None, quota: None, created: NOW }).await?);
    }

    for (clients, count, size) in
        [(1, 500, 2048), (8, 300, 2048), (64, 100, 2048), (8, 200, 50 << 10), (8, 10, 5 << 20)]
    {
        let (on_disk, io, syncs, cpu_before, start) =
            (used(&dir), written(), SYNCS.load(Ordering::Relaxed), cpu(), Instant::now());
        let mut tasks = Vec::new();
        for client in 0..clients {
            let (store, account) = (store.clone(), accounts[client % 8]);
            tasks.push(tokio::spawn(async move {
                for n in 0..count {
                    let body = body(&store, size, (client * count + n) as u64).await?;
                    store.append(message(account, &body)).await?;
                }
                Ok::<(), postrider_store::Error>(())
            }));
        }
        for task in tasks {
            task.await.expect("no panic")?;
        }
        let (took, messages) = (start.elapsed(), clients * count);
        println!(
            "append {size:>8} octets, {clients:>2} at once: {:>7.0}/s {:>6.1} MB/s, {:.2} syncs and {:.0} us of CPU a message, {:.2} octets in the log an octet, {:.2} written",
            per_second(messages, took),
            per_second(messages * size, took) / 1e6,
            (SYNCS.load(Ordering::Relaxed) - syncs) as f64 / messages as f64,
            (cpu() - cpu_before).as_secs_f64() * 1e6 / messages as f64,
            (used(&dir) - on_disk) as f64 / (messages * size) as f64,
            (written() - io) as f64 / (messages * size) as f64
        );
    }

    let full = accounts[8];
    for (round, size) in (0..).zip([1_000, 10_000, 100_000]) {
        fill(&store, full, size).await?;
        let mut figures = Vec::new();
        let start = Instant::now();
        for n in 0..200 {
            let change = StoreFlags {
                account: full,
                mailbox: MailboxId::INBOX,
                uids: UidSet::one((n * 37) % 1000 + 1),
                how: if round % 2 == 0 { How::Add } else { How::Remove },
                flags: Flags::FLAGGED,
                unchanged_since: None,
            };
            store.store_flags(change).await?;
        }
        figures.push(("store one", start.elapsed() / 200));
        let start = Instant::now();
        for n in 0..200 {
            let body = body(&store, 2048, n).await?;
            store.append(message(full, &body)).await?;
        }
        figures.push(("append", start.elapsed() / 200));
        let start = Instant::now();
        store.snapshot(full, MailboxId::INBOX).await?;
        figures.push(("snapshot, first", start.elapsed()));
        let start = Instant::now();
        for _ in 0..200 {
            store.snapshot(full, MailboxId::INBOX).await?;
        }
        figures.push(("again", start.elapsed() / 200));
        let since = store.account(full).await?.modseq - 10;
        let start = Instant::now();
        for _ in 0..200 {
            store.changes(full, Some(MailboxId::INBOX), since, 100).await?;
        }
        figures.push(("10 changes", start.elapsed() / 200));
        let start = Instant::now();
        for n in 0..200 {
            store.messages(full, MailboxId::INBOX, &UidSet::one(n + 1), true, 1).await?;
        }
        figures.push(("message", start.elapsed() / 200));
        let start = Instant::now();
        for message in store.messages(full, MailboxId::INBOX, &UidSet::range(1..=1000), false, 1000).await? {
            store.read(&message.body.into(), 0, 1 << 20).await?;
        }
        figures.push(("body", start.elapsed() / 1000));
        let text: Vec<_> =
            figures.iter().map(|(what, took)| format!("{what} {:.3} ms", took.as_secs_f64() * 1e3)).collect();
        println!("mailbox of {size:>6}: {}", text.join(", "));
    }
    for (what, cache) in [("with", true), ("without", false)] {
        let start = Instant::now();
        let messages = store.messages(full, MailboxId::INBOX, &UidSet::range(1..=10_000), cache, 10_000).await?;
        let took = start.elapsed().as_secs_f64() * 1e3;
        println!("{} messages {what} their caches: {took:.1} ms", messages.len());
    }
    let start = Instant::now();
    let all = StoreFlags {
        account: full,
        mailbox: MailboxId::INBOX,
        uids: UidSet::range(1..=10_000),
        how: How::Add,
        flags: Flags::SEEN,
        unchanged_since: None,
    };
    store.store_flags(all).await?;
    println!("store 1:10000: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

async fn body(store: &Store, size: usize, seed: u64) -> Result<Body> {
    let mut writer = store.body();
    let piece: Vec<u8> = (0..65_536u64.min(size as u64)).map(|n| (n * 31 + seed) as u8).collect();
    let mut left = size;
    while left > 0 {
        let now = left.min(piece.len());
        writer.write(&piece[..now]).await?;
        left -= now;
    }
    writer.finish().await
}

fn message(account: AccountId, body: &Body) -> Append {
    Append {
        account,
        mailbox: MailboxId::INBOX,
        body: body.clone(),
        flags: Flags::NONE,
        internal_date: NOW,
        saved: NOW,
        cache: vec![b'c'; 600].into(),
    }
}

/// Fills up to `size` messages, a thousand in a batch.
async fn fill(store: &Store, account: AccountId, size: u64) -> Result<()> {
    let mut there = store.account(account).await?.messages;
    while there < size {
        let mut batch = Vec::new();
        for n in 0..(size - there).min(1000) {
            batch.push(Op::Append(message(account, &body(store, 500, n).await?)));
        }
        there += batch.len() as u64;
        store.commit(batch).await?;
    }
    Ok(())
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Octets of all segments and body files.
fn used(dir: &Path) -> u64 {
    let files = ["seg", "body"].iter().filter_map(|d| std::fs::read_dir(dir.join(d)).ok()).flatten();
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|m| m.len()).sum()
}

/// Octets this process has caused to be written, the index included, where the system says (Linux).
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0)
}

static SYNCS: AtomicU64 = AtomicU64::new(0);

/// The system's disk, counting syncs.
struct CountingDisk;

struct CountingFile(Box<dyn WriteFile>);

impl Disk for CountingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(CountingFile(SystemDisk.create(path)?)))
    }
    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(CountingFile(SystemDisk.append(path, len)?)))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        SystemDisk.open(path)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        SYNCS.fetch_add(1, Ordering::Relaxed);
        SystemDisk.sync_dir(path)
    }
}

impl WriteFile for CountingFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        SYNCS.fetch_add(1, Ordering::Relaxed);
        self.0.sync()
    }
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.0.cut(len)
    }
}

/// CPU time of this process, in steps of 10 ms, where the system says (Linux).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split(' ').skip(12).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
