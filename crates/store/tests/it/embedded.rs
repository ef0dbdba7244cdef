//! The embedded engine: the behaviour suite, and what is its own.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use postrider_store::embedded::INLINE;
use postrider_store::*;

use crate::behaviour::{self, NOW, account, append, body, content, contents, message, name};
use crate::broken_disk::{BrokenDisk, Counts, Fault};

fn open(dir: &Path) -> Store {
    Store::open(dir, Options::default()).expect("the store opens")
}

fn options(disk: &BrokenDisk) -> Options {
    let mut options = Options::default();
    options.disk = Arc::new(disk.clone());
    options
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => { mod suite { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let dir = tempfile::tempdir().unwrap();
            crate::behaviour::$test(super::open(dir.path())).await;
        }
    )* } };
}
suite!(
    accounts,
    mailboxes,
    renaming_inbox_moves_its_messages,
    append_and_read,
    a_batch_is_all_or_nothing,
    flags,
    expunge,
    copy_and_move,
    quota,
    changes_come_in_pieces,
    watching,
    queue,
    delivery_from_the_queue,
    concurrent_delivery,
    snapshots_follow_changes,
);

#[tokio::test]
async fn a_store_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(Store::open(dir.path(), Options::default()).err(), Some(Error::InUse(dir.path().into())));
    drop(store);
    open(dir.path());
}

#[tokio::test]
async fn everything_is_there_after_reopening_and_rebuilding() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let anna = account(&store, "anna").await;
    let other = store.create_mailbox(anna, name("Other"), Some("\\Junk")).await.expect("Other");
    for n in 0..10 {
        append(&store, anna, MailboxId::INBOX, &format!("message {n}")).await;
    }
    let big = body(&store, &vec![7; 3 * INLINE + 5]).await;
    let flags = Flags::parse(["\\Seen", "Keyword"]).expect("flags");
    let cache = Bytes::from_static(b"cache");
    store.append(Append { flags, cache, ..message(anna, other, &big) }).await.expect("appended");
    let what =
        CopyMessages { account: anna, from: MailboxId::INBOX, uids: UidSet::range(2..=5), to: other, saved: NOW };
    store.move_messages(what).await.expect("moved");
    let us = LeaseOwner(3);
    let lease = Some(Lease { owner: us, until: UnixMillis(70) });
    let (envelope, state) = (Bytes::from_static(b"e"), Bytes::new());
    let entry = NewQueueEntry { due: UnixMillis(9), body: big.clone(), envelope, state, lease };
    store.enqueue(entry).await.expect("queued");
    let everything = dump(&store).await;
    drop((store, big));

    let reopened = open(dir.path());
    assert_eq!(dump(&reopened).await, everything);
    drop(reopened);
    let rebuilt = Store::rebuild(dir.path(), Options::default()).expect("rebuilt");
    assert_eq!(dump(&rebuilt).await, everything);
    let report = rebuilt.check().await.expect("checked");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.bodies, 11);
}

/// All that can be read, as text.
pub(crate) async fn dump(store: &Store) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for account in store.accounts().await.expect("accounts") {
        writeln!(out, "{account:?}").unwrap();
        writeln!(out, "{:?}", store.subscriptions(account.id).await).unwrap();
        writeln!(out, "{:?}", store.changes(account.id, None, 0, usize::MAX).await).unwrap();
        for mailbox in store.mailboxes(account.id).await.expect("mailboxes") {
            writeln!(out, "{mailbox:?}").unwrap();
            for message in
                store.messages(account.id, mailbox.id, &UidSet::all(), true, usize::MAX).await.expect("messages")
            {
                let hash = blake3::hash(&content(store, message.body).await);
                writeln!(out, "{message:?} {hash}").unwrap();
            }
        }
    }
    for entry in store.queue(None, usize::MAX).await.expect("queue") {
        let hash = blake3::hash(&content(store, entry.body).await);
        writeln!(out, "{entry:?} {hash}").unwrap();
    }
    out
}

#[tokio::test]
async fn one_write_and_one_sync_per_batch() {
    let dir = tempfile::tempdir().unwrap();
    let disk = BrokenDisk::default();
    let store = Store::open(dir.path(), options(&disk)).expect("opens");
    let anna = account(&store, "anna").await;
    let bert = account(&store, "bert").await;
    let payload = vec![b'x'; 10_000];

    let small = body(&store, &payload).await;
    let before = disk.counts();
    store.append(message(anna, MailboxId::INBOX, &small)).await.expect("appended");
    let one = disk.counts() - before;
    assert_eq!((one.syncs, one.dir_syncs, one.writes), (1, 0, 1));
    assert!(one.written < 10_200, "{} octets for a body of 10,000", one.written);

    // A queue entry and deliveries to two accounts: the body once, in one sync.
    let small = body(&store, &payload).await;
    let entry =
        NewQueueEntry { due: NOW, body: small.clone(), envelope: Bytes::new(), state: Bytes::new(), lease: None };
    let batches = vec![
        vec![Op::Enqueue(entry)],
        vec![Op::Append(message(anna, MailboxId::INBOX, &small))],
        vec![Op::Append(message(bert, MailboxId::INBOX, &small))],
    ];
    let before = disk.counts();
    assert!(store.commit_many(batches).await.iter().all(Result::is_ok));
    let many = disk.counts() - before;
    assert_eq!((many.syncs, many.dir_syncs, many.writes), (1, 0, 1));
    assert!(many.written < 10_400);

    // What fails or changes nothing costs none.
    let before = disk.counts();
    store.commit(vec![Op::RemoveAccount(AccountId(99))]).await.expect_err("there is none");
    store.lease(UnixMillis(0), LeaseOwner(1), 5, UnixMillis(1)).await.expect("nothing is due");
    store.expunge(anna, MailboxId::INBOX, UidSet::range(50..=60), false).await.expect("nothing there");
    assert_eq!(disk.counts() - before, Counts::default());

    // A large one: its file, its directory, then the batch.
    let before = disk.counts();
    let large = body(&store, &vec![1; INLINE + 1]).await;
    store.append(message(anna, MailboxId::INBOX, &large)).await.expect("appended");
    let large = disk.counts() - before;
    assert_eq!((large.syncs, large.dir_syncs), (2, 1));
    assert!(large.written < INLINE as u64 + 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_batches_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let disk = BrokenDisk::default();
    let store = Store::open(dir.path(), options(&disk)).expect("opens");
    let anna = account(&store, "anna").await;
    let small = body(&store, b"m").await;
    let before = disk.counts();
    let batches = (0..500).map(|_| vec![Op::Append(message(anna, MailboxId::INBOX, &small))]).collect();
    assert!(store.commit_many(batches).await.iter().all(Result::is_ok));
    assert_eq!((disk.counts() - before).syncs, 1);
}

#[tokio::test]
async fn an_abandoned_body_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let files = || std::fs::read_dir(dir.path().join("body")).unwrap().count();
    let mut writer = store.body();
    writer.write(&vec![1; 2 * INLINE]).await.expect("written");
    assert_eq!(files(), 1);
    drop(writer);
    assert_eq!(files(), 0);
    let finished = body(&store, &vec![1; 2 * INLINE]).await;
    assert_eq!(files(), 1);
    drop(finished);
    assert_eq!(files(), 0);
    let anna = account(&store, "anna").await;
    let used = body(&store, &vec![1; 2 * INLINE]).await;
    store.append(message(anna, MailboxId::INBOX, &used)).await.expect("appended");
    drop(used);
    assert_eq!(files(), 1);
    drop(store);
    // What a killed process left behind goes when the store is opened.
    std::fs::write(dir.path().join("body/0000000099.body"), b"left").unwrap();
    let store = open(dir.path());
    assert_eq!(files(), 1);
    assert!(store.check().await.expect("checked").is_sound());
}

#[tokio::test]
async fn a_full_disk_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let disk = BrokenDisk::default();
    let store = Store::open(dir.path(), options(&disk)).expect("opens");
    let anna = account(&store, "anna").await;
    append(&store, anna, MailboxId::INBOX, "before").await;
    let content = body(&store, b"refused").await;
    disk.fail_after(0, Fault::Full);
    assert_eq!(store.append(message(anna, MailboxId::INBOX, &content)).await, Err(Error::Full));
    let uid = append(&store, anna, MailboxId::INBOX, "after").await;
    assert_eq!(uid, 2, "what failed took no number");
    let texts = contents(&store, anna, MailboxId::INBOX).await;
    drop(store);
    let store = open(dir.path());
    assert_eq!(contents(&store, anna, MailboxId::INBOX).await, texts);
    assert_eq!(texts, [(1, "before".into()), (2, "after".into())]);
}

/// The log has the group, the index cannot take it: the group is taken back, and the store goes on.
#[tokio::test]
async fn what_the_index_cannot_take_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let index = rusqlite::Connection::open(dir.path().join("index/index.db")).unwrap();
    let fail_at_commit = "CREATE TABLE p (id INTEGER PRIMARY KEY);
        CREATE TABLE c (id INTEGER REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER t AFTER INSERT ON queue WHEN NEW.due = -1 BEGIN INSERT INTO c VALUES (1); END;";
    index.execute_batch(fail_at_commit).unwrap();
    drop(index);
    let store = open(dir.path());
    let entry = async |due| {
        let body = body(&store, format!("due {due}").as_bytes()).await;
        let due = UnixMillis(due);
        store.enqueue(NewQueueEntry { due, body, envelope: Bytes::new(), state: Bytes::new(), lease: None }).await
    };
    assert!(entry(1).await.is_ok());
    assert!(matches!(entry(-1).await, Err(Error::Transient(_))));
    assert_eq!(store.fault(), None);
    assert!(entry(2).await.is_ok());
    let before = dump(&store).await;
    assert_eq!(before.lines().count(), 2);
    drop(store);
    let store = Store::rebuild(dir.path(), Options::default()).expect("rebuilt");
    assert_eq!(dump(&store).await, before);
}

#[tokio::test]
async fn after_a_failed_sync_the_store_is_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let disk = BrokenDisk::default();
    let store = Store::open(dir.path(), options(&disk)).expect("opens");
    let anna = account(&store, "anna").await;
    append(&store, anna, MailboxId::INBOX, "before").await;
    let content = body(&store, b"unknown").await;
    // The write works, the sync does not.
    disk.fail_after(1, Fault::Error);
    let syncs = disk.counts().syncs;
    let error = store.append(message(anna, MailboxId::INBOX, &content)).await.expect_err("not durable");
    assert!(matches!(error, Error::ReadOnly(_)) && error.is_transient());
    let error = store.append(message(anna, MailboxId::INBOX, &content)).await.expect_err("read-only");
    assert!(matches!(error, Error::ReadOnly(_)));
    assert!(store.fault().is_some());
    assert_eq!(disk.counts().syncs, syncs, "no sync is tried again");
    assert_eq!(contents(&store, anna, MailboxId::INBOX).await, [(1, "before".into())], "reading goes on");
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let index = rusqlite::Connection::open(dir.path().join("index/index.db")).unwrap();
    index.pragma_update(None, "user_version", 99).unwrap();
    drop(index);
    let error = Store::open(dir.path(), Options::default()).err();
    assert_eq!(error, Some(Error::Newer { found: 99, known: 1 }));
}

#[tokio::test]
async fn a_damaged_index_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let anna = account(&store, "anna").await;
    append(&store, anna, MailboxId::INBOX, "kept").await;
    drop(store);
    std::fs::write(dir.path().join("index/index.db"), vec![b'x'; 8192]).unwrap();
    std::fs::remove_file(dir.path().join("index/index.db-wal")).ok();
    let store = open(dir.path());
    assert_eq!(contents(&store, anna, MailboxId::INBOX).await, [(1, "kept".into())]);
}

/// A disk that lied about a sync: the index knows more than the log. The log is what is believed.
#[tokio::test]
async fn an_index_ahead_of_the_log_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let anna = account(&store, "anna").await;
    append(&store, anna, MailboxId::INBOX, "kept").await;
    drop(store);
    let segment = dir.path().join("seg/0000000001.seg");
    let length = std::fs::metadata(&segment).unwrap().len();
    let store = open(dir.path());
    append(&store, anna, MailboxId::INBOX, "lost").await;
    drop(store);
    std::fs::File::options().write(true).open(&segment).unwrap().set_len(length + 10).unwrap();
    let store = open(dir.path());
    assert_eq!(contents(&store, anna, MailboxId::INBOX).await, [(1, "kept".into())]);
    assert_eq!(append(&store, anna, MailboxId::INBOX, "next").await, 2);
}

#[tokio::test]
async fn a_missing_or_damaged_segment_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = Options::default();
    small.segment_size = 1000;
    let store = Store::open(dir.path(), small.clone()).expect("opens");
    let anna = account(&store, "anna").await;
    for _ in 0..10 {
        append(&store, anna, MailboxId::INBOX, &"x".repeat(500)).await;
    }
    drop(store);
    let second = dir.path().join("seg/0000000002.seg");
    let mut bytes = std::fs::read(&second).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&second, &bytes).unwrap();
    let store = Store::open(dir.path(), small.clone()).expect("the index still has all");
    let report = store.check().await.expect("checked");
    assert_eq!((report.damaged.len(), report.missing.len()), (1, 0));
    drop(store);
    assert!(matches!(Store::rebuild(dir.path(), small.clone()), Err(Error::Damaged(_))));
    std::fs::remove_dir_all(dir.path().join("seg")).unwrap();
    assert!(matches!(Store::open(dir.path(), small), Ok(_) | Err(Error::Damaged(_))));
}

#[tokio::test]
async fn segments_roll() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = Options::default();
    small.segment_size = 10_000;
    let store = Store::open(dir.path(), small.clone()).expect("opens");
    let anna = account(&store, "anna").await;
    for n in 0..50 {
        append(&store, anna, MailboxId::INBOX, &format!("{n} {}", "x".repeat(1000))).await;
    }
    assert!(std::fs::read_dir(dir.path().join("seg")).unwrap().count() >= 5);
    let before = dump(&store).await;
    drop(store);
    let store = Store::rebuild(dir.path(), small).expect("rebuilt");
    assert_eq!(dump(&store).await, before);
}

#[tokio::test]
async fn compaction_gives_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = Options::default();
    small.segment_size = 100_000;
    let store = Store::open(dir.path(), small.clone()).expect("opens");
    let anna = account(&store, "anna").await;
    for n in 0..100 {
        append(&store, anna, MailboxId::INBOX, &format!("{n} {}", "x".repeat(10_000))).await;
    }
    let large = body(&store, &vec![5; 2 * INLINE]).await;
    let (_, large_uid) = store.append(message(anna, MailboxId::INBOX, &large)).await.expect("appended");
    drop(large);
    let used = || -> u64 {
        ["seg", "body"]
            .iter()
            .flat_map(|d| std::fs::read_dir(dir.path().join(d)).unwrap())
            .map(|f| f.unwrap().metadata().unwrap().len())
            .sum()
    };
    let full = used();
    let kept = UidSet::from_ranges([7..=7, 50..=52, 99..=99]);
    let gone = UidSet::from_ranges([1..=6, 8..=49, 53..=98, 100..=100, large_uid..=large_uid]);
    store.expunge(anna, MailboxId::INBOX, gone, false).await.expect("expunged");
    let before = dump(&store).await;
    let done = store.compact().await.expect("compacted");
    assert_eq!(done.bodies, 96);
    assert!(used() < full / 5, "{} of {full} octets are left: {done:?}", used());
    assert_eq!(dump(&store).await, before);
    assert!(store.check().await.expect("checked").is_sound());
    assert_eq!(store.mailbox(anna, &name("INBOX")).await.expect("INBOX").messages as u64, kept.len());
    append(&store, anna, MailboxId::INBOX, "after").await;
    let before = dump(&store).await;
    drop(store);
    let store = Store::rebuild(dir.path(), small).expect("rebuilt");
    assert_eq!(dump(&store).await, before, "a rebuild starts from the new base");
    assert!(store.check().await.expect("checked").is_sound());
    assert_eq!(append(&store, anna, MailboxId::INBOX, "next").await, 103, "no UID is used again");
    behaviour::account(&store, "bert").await;
}
