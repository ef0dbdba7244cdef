//! The process is killed while it works; what it said was stored is stored.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use postrider_store::*;

use crate::behaviour::{account, append, contents, name};

const DIR: &str = "POSTRIDER_STORE_KILLED_DIR";

/// What the process does that is killed: says each UID once it is acknowledged.
async fn work_until_killed(dir: OsString) {
    let store = Store::open(dir, Options::default()).expect("opens");
    let anna = match store.find_account("anna").await {
        Ok(anna) => anna.id,
        Err(_) => account(&store, "anna").await,
    };
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    let uid = append(&store, anna, MailboxId::INBOX, &"text ".repeat(200)).await;
                    if writeln!(std::io::stdout(), "stored {uid}").is_err() {
                        return;
                    }
                    if uid % 5 == 0 {
                        let uids = UidSet::one(uid);
                        let gone = store.expunge(anna, MailboxId::INBOX, uids, false).await.expect("expunged");
                        assert_eq!(gone.len(), 1);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

/// Starts itself again as the process that is killed.
#[tokio::test]
async fn killed_processes_lose_nothing() {
    if let Some(dir) = std::env::var_os(DIR) {
        return work_until_killed(dir).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut stored = Vec::new();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::killed_processes_lose_nothing", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(|line| line.ok());
        let mut said = lines.filter_map(|line| line.rsplit_once("stored ")?.1.parse::<u32>().ok());
        stored.extend(said.by_ref().take(round * 37));
        child.kill().unwrap();
        child.wait().unwrap();

        let store = Store::open(dir.path(), Options::default()).expect("opens");
        let anna = store.find_account("anna").await.expect("anna");
        let there: Vec<u32> = contents(&store, anna.id, MailboxId::INBOX).await.into_iter().map(|m| m.0).collect();
        for uid in stored.iter().filter(|uid| *uid % 5 != 0) {
            assert!(there.contains(uid), "message {uid} of {} is gone in round {round}", stored.len());
        }
        let inbox = store.mailbox(anna.id, &name("INBOX")).await.expect("INBOX");
        assert!(stored.iter().all(|uid| *uid < inbox.uidnext));
        assert_eq!(inbox.messages as usize, there.len());
        assert!(store.check().await.expect("checked").is_sound());
    }
    assert!(stored.len() > 300);
    let mut distinct = stored.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), stored.len(), "a UID was given twice");
}
