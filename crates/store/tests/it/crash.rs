//! The power goes at every single operation of a random workload, and everything that was acknowledged is still there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use postrider_store::embedded::INLINE;
use postrider_store::*;

use crate::behaviour::{NOW, content, message, name};
use crate::broken_disk::{BrokenDisk, Fault};

/// A small deterministic generator (xorshift64*).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

/// What was acknowledged. Operations that failed are in doubt: they may have happened or not.
#[derive(Default)]
struct Model {
    /// UID -> content and flags, of INBOX.
    inbox: BTreeMap<u32, (Vec<u8>, Flags)>,
    queue: BTreeMap<QueueId, Vec<u8>>,
    highest_uid: u32,
    modseq: u64,
    rewritten: u64,
    /// The one operation that was not acknowledged, if any.
    in_doubt: Option<Doubt>,
}

#[derive(Debug)]
enum Doubt {
    Append(Vec<Vec<u8>>),
    Flags(Vec<u32>),
    Expunge(Vec<u32>),
    Queue(Option<QueueId>),
    Other,
}

const SEGMENT: u64 = 20_000;

fn options(disk: &BrokenDisk) -> Options {
    let mut options = Options::default();
    options.disk = Arc::new(disk.clone());
    options.segment_size = SEGMENT;
    options
}

/// Runs the workload of `seed` until it ends or the disk stops working.
async fn work(dir: &Path, disk: &BrokenDisk, seed: u64, with_compaction: bool) -> Model {
    let mut model = Model::default();
    // Compaction does nothing unless there is much to gain.
    let scale = if with_compaction { 20 } else { 1 };
    let Ok(mut store) = Store::open(dir, options(disk)) else { return model };
    let new = NewAccount { name: "anna".into(), password_hash: None, quota: None, created: NOW };
    let Ok(anna) = store.create_account(new).await else {
        model.in_doubt = Some(Doubt::Other);
        return model;
    };
    let mut dice = Dice(seed);
    let mut last_step = 40;
    for step in 0..40 {
        // What an error left behind is looked at both soon and late.
        if disk.has_failed() && last_step == 40 && seed.is_multiple_of(2) {
            last_step = step + 3;
        }
        if step >= last_step {
            return model;
        }
        if step == 20 {
            // Closed and opened again: the index is on the disk as of now.
            drop(store);
            match Store::open(dir, options(disk)) {
                Ok(again) => store = again,
                Err(_) => return model,
            }
        }
        let doubt = match dice.below(10) {
            0..=3 => {
                let mut contents = Vec::new();
                let mut ops = Vec::new();
                for n in 0..1 + dice.below(3) {
                    let size = if dice.below(12) == 0 { INLINE as u64 + 10 } else { dice.below(2500) * scale };
                    let mut content = format!("{seed}/{step}/{n} ").into_bytes();
                    content.resize(content.len() + size as usize, b'x');
                    let mut writer = store.body();
                    if writer.write(&content).await.is_err() {
                        continue;
                    }
                    let Ok(body) = writer.finish().await else { continue };
                    contents.push(content);
                    ops.push(Op::Append(message(anna, MailboxId::INBOX, &body)));
                }
                match store.commit(ops).await {
                    Ok(outcomes) => {
                        for (outcome, content) in outcomes.into_iter().zip(contents) {
                            let Outcome::Appended { uid, modseq, .. } = outcome else { panic!("{outcome:?}") };
                            assert!(uid > model.highest_uid && modseq > model.modseq);
                            (model.highest_uid, model.modseq) = (uid, modseq);
                            model.inbox.insert(uid, (content, Flags::NONE));
                        }
                        None
                    }
                    Err(error) => in_doubt(&error, Doubt::Append(contents)),
                }
            }
            4 | 5 => {
                let chosen: Vec<u32> = model.inbox.keys().copied().filter(|_| dice.below(2) == 0).collect();
                let change = StoreFlags {
                    account: anna,
                    mailbox: MailboxId::INBOX,
                    uids: chosen.iter().copied().collect(),
                    how: How::Add,
                    flags: Flags::FLAGGED,
                    unchanged_since: None,
                };
                match store.store_flags(change).await {
                    Ok(stored) => {
                        for (uid, flags, modseq) in stored.messages {
                            model.inbox.get_mut(&uid).expect("a message of the model").1 = flags;
                            model.modseq = model.modseq.max(modseq);
                        }
                        None
                    }
                    Err(error) => in_doubt(&error, Doubt::Flags(chosen)),
                }
            }
            6 => {
                let chosen: Vec<u32> = model.inbox.keys().copied().filter(|_| dice.below(3) == 0).collect();
                match store.expunge(anna, MailboxId::INBOX, chosen.iter().copied().collect(), false).await {
                    Ok(gone) => {
                        assert_eq!(gone, chosen.iter().copied().collect());
                        model.inbox.retain(|uid, _| !chosen.contains(uid));
                        None
                    }
                    Err(error) => in_doubt(&error, Doubt::Expunge(chosen)),
                }
            }
            7 => {
                let content = format!("queued {step}").into_bytes();
                let mut writer = store.body();
                writer.write(&content).await.expect("small bodies need no disk");
                let body = writer.finish().await.expect("small bodies need no disk");
                let entry = NewQueueEntry { due: NOW, body, envelope: Bytes::new(), state: Bytes::new(), lease: None };
                match store.enqueue(entry).await {
                    Ok(id) => {
                        model.queue.insert(id, content);
                        None
                    }
                    Err(error) => in_doubt(&error, Doubt::Queue(None)),
                }
            }
            8 => match model.queue.keys().next().copied() {
                None => None,
                Some(id) => match store.commit(vec![Op::Dequeue { id, owner: None }]).await {
                    Ok(_) => {
                        model.queue.remove(&id);
                        None
                    }
                    Err(error) => in_doubt(&error, Doubt::Queue(Some(id))),
                },
            },
            _ if with_compaction => match store.compact().await {
                Ok(done) => {
                    model.rewritten += done.written;
                    None
                }
                Err(error) => in_doubt(&error, Doubt::Other),
            },
            _ => match store.create_mailbox(anna, name(&format!("M{step}")), None).await {
                Ok(_) => None,
                Err(error) => in_doubt(&error, Doubt::Other),
            },
        };
        if doubt.is_some() {
            model.in_doubt = doubt;
        }
        if model.in_doubt.is_some() {
            return model;
        }
    }
    model
}

/// Only an error that leaves the store read-only leaves it open whether the operation was done; after others it was
/// not, and the store goes on.
fn in_doubt(error: &Error, doubt: Doubt) -> Option<Doubt> {
    match error {
        Error::ReadOnly(_) => Some(doubt),
        Error::Full | Error::Transient(_) => None,
        other => panic!("{other:?} from a disk error"),
    }
}

/// What is in the store now against what was acknowledged.
async fn compare(store: &Store, model: &Model, context: &str) {
    let report = store.check().await.expect("checked");
    assert!(report.is_sound(), "{context}: {report:?}");
    let Ok(anna) = store.find_account("anna").await else {
        assert!(model.inbox.is_empty() && model.modseq == 0, "{context}: the account is gone");
        return;
    };
    assert!(anna.modseq >= model.modseq, "{context}: the mod-sequence went back");
    let inbox = store.mailbox(anna.id, &name("INBOX")).await.expect("INBOX");
    assert!(inbox.uidnext > model.highest_uid, "{context}: UIDNEXT went back");
    let mut found = BTreeMap::new();
    for message in store.messages(anna.id, MailboxId::INBOX, &UidSet::all(), false, usize::MAX).await.expect("messages")
    {
        found.insert(message.uid, (content(store, message.body).await, message.flags));
    }
    for (uid, (text, flags)) in &model.inbox {
        let is_doubtful = |doubt: &[u32]| doubt.contains(uid);
        match (found.remove(uid), &model.in_doubt) {
            (None, Some(Doubt::Expunge(doubt))) if is_doubtful(doubt) => {}
            (None, _) => panic!("{context}: message {uid} was acknowledged and is gone"),
            (Some((there, now)), doubt) => {
                assert!(there == *text, "{context}: message {uid} has another content");
                let flags_doubtful = matches!(doubt, Some(Doubt::Flags(d)) if is_doubtful(d));
                assert!(now == *flags || flags_doubtful, "{context}: message {uid} has flags {now:?}, not {flags:?}");
            }
        }
    }
    let more: Vec<Vec<u8>> = found.into_values().map(|(text, _)| text).collect();
    match &model.in_doubt {
        Some(Doubt::Append(doubt)) => assert!(more.is_empty() || more == *doubt, "{context}: a batch was halved"),
        _ => assert!(more.is_empty(), "{context}: {} messages came from nowhere", more.len()),
    }
    for (id, text) in &model.queue {
        if matches!(model.in_doubt, Some(Doubt::Queue(Some(doubt))) if doubt == *id) {
            continue;
        }
        let entry = store.queued(*id).await.unwrap_or_else(|e| panic!("{context}: queue entry {id:?}: {e}"));
        assert_eq!(content(store, entry.body).await, *text, "{context}");
    }
}

async fn crash_everywhere(seed: u64, fault: Fault, with_compaction: bool) {
    let dir = tempfile::tempdir().unwrap();
    let disk = BrokenDisk::default();
    let model = work(dir.path(), &disk, seed, with_compaction).await;
    assert!(model.in_doubt.is_none() && !model.inbox.is_empty());
    let is_default = std::env::var_os("POSTRIDER_STORE_SEEDS").is_none();
    assert!(!with_compaction || !is_default || model.rewritten > 5_000, "no base was written");
    let operations = disk.operations();
    assert!(operations > 40);
    let mut dice = Dice(seed + 1);
    for crash in 0..operations {
        let context = format!("seed {seed}, {fault:?} at operation {crash} of {operations}");
        let dir = tempfile::tempdir().unwrap();
        let disk = BrokenDisk::failing(crash, fault);
        let model = work(dir.path(), &disk, seed, with_compaction).await;
        if fault == Fault::PowerCut {
            assert!(disk.is_off(), "{context}: was not reached");
            disk.cut_power(|unsynced| {
                let survives = [0, unsynced, dice.below(unsynced + 1)][dice.below(3) as usize];
                (survives, dice.below(4) == 0)
            });
            // The index as it was, as of its last checkpoint, or gone.
            match dice.below(4) {
                0 => drop(std::fs::remove_dir_all(dir.path().join("index"))),
                1 => {
                    std::fs::remove_file(dir.path().join("index/index.db-wal")).ok();
                    std::fs::remove_file(dir.path().join("index/index.db-shm")).ok();
                }
                _ => {}
            }
        }
        let store =
            Store::open(dir.path(), options(&BrokenDisk::default())).unwrap_or_else(|e| panic!("{context}: {e}"));
        compare(&store, &model, &context).await;
        // And it goes on.
        let new = NewAccount { name: "bert".into(), password_hash: None, quota: None, created: NOW };
        store.create_account(new).await.unwrap_or_else(|e| panic!("{context}: {e}"));
        drop(store);
        let store =
            Store::rebuild(dir.path(), options(&BrokenDisk::default())).unwrap_or_else(|e| panic!("{context}: {e}"));
        compare(&store, &model, &context).await;
        assert!(store.find_account("bert").await.is_ok(), "{context}");
    }
}

/// The default seed, or as many as `POSTRIDER_STORE_SEEDS` says.
fn seeds(default: u64) -> std::ops::Range<u64> {
    match std::env::var("POSTRIDER_STORE_SEEDS").ok().and_then(|n| n.parse::<u64>().ok()) {
        Some(n) => 1..n + 1,
        None => default..default + 1,
    }
}

#[tokio::test]
async fn power_cut_at_every_operation() {
    for seed in seeds(1) {
        crash_everywhere(seed, Fault::PowerCut, false).await;
    }
}

#[tokio::test]
async fn power_cut_at_every_operation_of_compactions() {
    for seed in seeds(3) {
        crash_everywhere(seed, Fault::PowerCut, true).await;
    }
}

#[tokio::test]
async fn error_at_every_operation() {
    for seed in seeds(4) {
        crash_everywhere(seed, Fault::Error, true).await;
    }
}

#[tokio::test]
async fn full_disk_at_every_operation() {
    for seed in seeds(6) {
        crash_everywhere(seed, Fault::Full, true).await;
    }
}
