//! Removes what has been in an INBOX for longer than POP3's EXPIRE allows (RFC 2449, 6.7).
//!
//! The days count from when a message came into the INBOX, so that old mail that was moved there has its time too.

use crate::server::{Shared, Store, now};
use postrider_store::{Engine, Error, MailboxId, UidSet, UnixMillis};
use std::sync::Arc;
use std::time::Duration;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3600);
/// Messages looked up in the store at once.
const BATCH: usize = 1000;

/// Removes messages that are older than so many days, until the server stops.
pub async fn run(shared: Arc<Shared>, days: u32) {
    loop {
        let before = UnixMillis(now().0.saturating_sub(i64::from(days) * 24 * 3600 * 1000));
        match remove(&shared.store, before).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, days, "messages were removed because of their age"),
            Err(error) => tracing::error!(%error, "old messages could not be removed"),
        }
        tokio::select! {
            () = shared.stopping() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Removes from every INBOX what came there before that time; says how many messages.
async fn remove(store: &Store, before: UnixMillis) -> Result<u64, Error> {
    let mut removed = 0;
    for account in store.accounts().await? {
        let mut rest = UidSet::all();
        loop {
            let batch = store.messages(account.id, MailboxId::INBOX, &rest, false, BATCH).await?;
            let old = batch.iter().filter(|message| message.saved.0 < before.0).map(|message| message.uid);
            let old = UidSet::from_ranges(old.map(|uid| uid..=uid));
            if !old.is_empty() {
                removed += store.expunge(account.id, MailboxId::INBOX, old, false).await?.len();
            }
            match batch.last() {
                Some(last) if batch.len() == BATCH && last.uid < u32::MAX => {
                    rest = UidSet::range(last.uid + 1..=u32::MAX);
                }
                _ => break,
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use postrider_store::{AccountId, Append, BodyWrite, Flags, NewAccount, Options};

    async fn append(store: &Store, account: AccountId, saved: i64, internal_date: i64) {
        let mut body = store.body();
        body.write(b"Subject: x\r\n\r\n").await.expect("written");
        let body = body.finish().await.expect("a body");
        let append = Append {
            account,
            mailbox: MailboxId::INBOX,
            body,
            flags: Flags::default(),
            internal_date: UnixMillis(internal_date),
            saved: UnixMillis(saved),
            cache: Bytes::new(),
        };
        store.append(append).await.expect("appended");
    }

    #[tokio::test]
    async fn what_came_before_is_removed_from_every_inbox_and_nothing_else() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(place.path(), Options::default()).expect("a store");
        let mut accounts = Vec::new();
        for name in ["a@x.test", "b@x.test"] {
            let account = NewAccount { name: name.into(), password_hash: None, quota: None, created: UnixMillis(1) };
            accounts.push(store.create_account(account).await.expect("an account"));
        }
        // Old; new; old by its own date, but only just moved here.
        for (saved, internal_date) in [(10, 10), (2000, 10), (2000, 2000)] {
            append(&store, accounts[0], saved, internal_date).await;
        }
        append(&store, accounts[1], 999, 5000).await;
        assert_eq!(remove(&store, UnixMillis(1000)).await.expect("removed"), 2);
        for (account, left) in accounts.into_iter().zip([vec![2, 3], vec![]]) {
            let messages = store.messages(account, MailboxId::INBOX, &UidSet::all(), false, 10).await.expect("read");
            assert_eq!(messages.iter().map(|message| message.uid).collect::<Vec<_>>(), left);
        }
        assert_eq!(remove(&store, UnixMillis(1000)).await.expect("nothing to do"), 0);
    }
}
