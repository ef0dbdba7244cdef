//! What every engine must do: functions over the interface, to be run against each engine.

use bytes::Bytes;
use postrider_store::*;

pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

pub(crate) fn name(name: &str) -> MailboxName {
    MailboxName::new(name).expect("a mailbox name")
}

pub(crate) fn uids<const N: usize>(uids: [u32; N]) -> UidSet {
    uids.into_iter().collect()
}

pub(crate) async fn account(store: &impl Engine, name: &str) -> AccountId {
    let new = NewAccount { name: name.into(), password_hash: None, quota: None, created: NOW };
    store.create_account(new).await.expect("a new account")
}

pub(crate) async fn body(store: &impl Engine, bytes: &[u8]) -> Body {
    let mut writer = store.body();
    writer.write(bytes).await.expect("a body written");
    writer.finish().await.expect("a body finished")
}

pub(crate) fn message(account: AccountId, mailbox: MailboxId, body: &Body) -> Append {
    Append {
        account,
        mailbox,
        body: body.clone(),
        flags: Flags::NONE,
        internal_date: NOW,
        saved: NOW,
        cache: Bytes::new(),
    }
}

/// Appends one message and gives its UID.
pub(crate) async fn append(store: &impl Engine, account: AccountId, mailbox: MailboxId, content: &str) -> u32 {
    let body = body(store, content.as_bytes()).await;
    store.append(message(account, mailbox, &body)).await.expect("appended").1
}

pub(crate) async fn content(store: &impl Engine, body: impl Into<Body>) -> Vec<u8> {
    let body = body.into();
    let mut all = Vec::new();
    loop {
        let piece = store.read(&body, all.len() as u64, 100_000).await.expect("readable");
        if piece.is_empty() {
            return all;
        }
        all.extend_from_slice(&piece);
    }
}

pub(crate) async fn contents(store: &impl Engine, account: AccountId, mailbox: MailboxId) -> Vec<(u32, String)> {
    let mut all = Vec::new();
    for message in store.messages(account, mailbox, &UidSet::all(), false, usize::MAX).await.expect("messages") {
        let text = content(store, message.body).await;
        assert_eq!(text.len() as u64, message.size);
        all.push((message.uid, String::from_utf8(text).expect("text")));
    }
    all
}

async fn changes(store: &impl Engine, account: AccountId, since: u64) -> Vec<(u32, ChangeKind, u32, u32)> {
    let found = store.changes(account, None, since, 1000).await.expect("changes");
    assert!(!found.more);
    assert!(found.low_modseq <= since);
    assert!(found.changes.is_sorted_by_key(|c| c.modseq));
    assert!(found.changes.iter().all(|c| c.modseq > since && c.modseq <= found.upto));
    found.changes.iter().map(|c| (c.mailbox.0, c.kind, c.first, c.last)).collect()
}

pub(crate) async fn accounts(store: impl Engine) {
    let anna = account(&store, "anna").await;
    let bert = account(&store, "bert").await;
    assert_ne!(anna, bert);
    let again = NewAccount { name: "anna".into(), password_hash: None, quota: None, created: NOW };
    assert_eq!(store.create_account(again).await, Err(Error::Exists(What::Account)));
    let set = Op::SetPassword { account: anna, hash: Some("$argon2id$...".into()) };
    store.commit(vec![set, Op::SetQuota { account: anna, quota: Some(1000) }]).await.expect("set");
    let found = store.find_account("anna").await.expect("anna");
    assert_eq!((found.id, found.password_hash.as_deref(), found.quota), (anna, Some("$argon2id$..."), Some(1000)));
    let names: Vec<_> = store.accounts().await.expect("accounts").into_iter().map(|a| a.name).collect();
    assert_eq!(names, ["anna", "bert"]);

    store.commit(vec![Op::RemoveAccount(anna)]).await.expect("removed");
    assert_eq!(store.find_account("anna").await.err(), Some(Error::NotFound(What::Account)));
    assert_eq!(store.commit(vec![Op::RemoveAccount(anna)]).await, Err(Error::NotFound(What::Account)));
    let anew = account(&store, "anna").await;
    assert!(anew > bert, "account numbers are not used again");
}

pub(crate) async fn mailboxes(store: impl Engine) {
    let anna = account(&store, "anna").await;
    let list = store.mailboxes(anna).await.expect("mailboxes");
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].id, list[0].name.as_str()), (MailboxId::INBOX, "INBOX"));

    let sent = store.create_mailbox(anna, name("Sent"), Some("\\Sent")).await.expect("Sent");
    assert_eq!(store.create_mailbox(anna, name("Sent"), None).await, Err(Error::Exists(What::Mailbox)));
    assert_eq!(store.create_mailbox(anna, name("inbox"), None).await, Err(Error::Exists(What::Mailbox)));
    for text in ["Work", "Work/Pläne", "Work/Pläne/2026", "Workshop"] {
        store.create_mailbox(anna, name(text), None).await.expect(text);
    }
    let sent = store.mailbox(anna, &name("Sent")).await.map(|m| (m.id == sent, m.special_use)).expect("Sent");
    assert_eq!(sent, (true, Some("\\Sent".into())));

    // Renaming takes what is below along, and nothing else.
    let old = store.mailbox(anna, &name("Work/Pläne")).await.expect("old");
    let rename = |from, to| Op::RenameMailbox { account: anna, from: name(from), to: name(to), saved: NOW };
    store.commit(vec![rename("Work", "Play/Ground")]).await.expect("renamed");
    let names: Vec<_> =
        store.mailboxes(anna).await.expect("list").into_iter().map(|m| m.name.as_str().to_owned()).collect();
    assert_eq!(names, ["INBOX", "Play/Ground", "Play/Ground/Pläne", "Play/Ground/Pläne/2026", "Sent", "Workshop"]);
    let new = store.mailbox(anna, &name("Play/Ground/Pläne")).await.expect("new");
    assert_eq!((new.id, new.uidvalidity), (old.id, old.uidvalidity));
    // "Play" is no mailbox, yet there is something below it.
    store.commit(vec![rename("Play", "Work")]).await.expect("renamed");
    assert!(store.mailbox(anna, &name("Work/Ground/Pläne/2026")).await.is_ok());
    assert_eq!(store.commit(vec![rename("Play", "Other")]).await, Err(Error::NotFound(What::Mailbox)));
    assert_eq!(store.commit(vec![rename("Sent", "Workshop")]).await, Err(Error::Exists(What::Mailbox)));
    assert!(matches!(store.commit(vec![rename("Work", "Work/a")]).await, Err(Error::Invalid(_))));

    // RFC 3501, 6.3.4 and 2.3.1.1: UIDVALIDITY is not used again for a name made again.
    let before = store.mailbox(anna, &name("Workshop")).await.expect("Workshop");
    append(&store, anna, before.id, "gone").await;
    store.commit(vec![Op::DeleteMailbox { account: anna, mailbox: before.id }]).await.expect("deleted");
    assert_eq!(store.account(anna).await.expect("anna").used, 0);
    store.create_mailbox(anna, name("Workshop"), None).await.expect("again");
    let after = store.mailbox(anna, &name("Workshop")).await.expect("Workshop");
    assert!(after.uidvalidity > before.uidvalidity && after.id > before.id);
    let inbox = Op::DeleteMailbox { account: anna, mailbox: MailboxId::INBOX };
    assert!(matches!(store.commit(vec![inbox]).await, Err(Error::Invalid(_))));

    // Subscriptions are to names.
    let subscribe = |text, on| Op::Subscribe { account: anna, name: name(text), on };
    store.commit(vec![subscribe("Sent", true), subscribe("Nowhere", true)]).await.expect("subscribed");
    assert_eq!(store.subscriptions(anna).await.expect("names"), [name("Nowhere"), name("Sent")]);
    assert!(store.mailbox(anna, &name("Sent")).await.expect("Sent").subscribed);
    store.commit(vec![subscribe("Nowhere", false), subscribe("Nowhere", false)]).await.expect("unsubscribed");
    assert_eq!(store.subscriptions(anna).await.expect("names"), [name("Sent")]);
}

/// RFC 3501, 6.3.5.
pub(crate) async fn renaming_inbox_moves_its_messages(store: impl Engine) {
    let anna = account(&store, "anna").await;
    for text in ["a", "b"] {
        append(&store, anna, MailboxId::INBOX, text).await;
    }
    store.create_mailbox(anna, name("INBOX/below"), None).await.expect("below");
    let rename = Op::RenameMailbox { account: anna, from: name("INBOX"), to: name("Old"), saved: NOW };
    store.commit(vec![rename]).await.expect("renamed");
    let inbox = store.mailbox(anna, &name("INBOX")).await.expect("INBOX");
    assert_eq!((inbox.messages, inbox.uidnext), (0, 3));
    let old = store.mailbox(anna, &name("Old")).await.expect("Old");
    assert_eq!(contents(&store, anna, old.id).await, [(1, "a".into()), (2, "b".into())]);
    assert!(store.mailbox(anna, &name("INBOX/below")).await.is_ok());
}

pub(crate) async fn append_and_read(store: impl Engine) {
    let anna = account(&store, "anna").await;
    let big: Vec<u8> = (0..1_500_000u32).flat_map(|n| [(n % 251) as u8, (n >> 8) as u8]).collect();
    let sizes = [0, 1, 4096, 262_143, 262_144, 262_145, 524_288, 1_048_577, big.len()];
    for size in sizes {
        let staged = body(&store, &big[..size]).await;
        assert_eq!(staged.size(), Some(size as u64));
        assert_eq!(content(&store, staged.clone()).await, big[..size], "readable before it is stored");
        let append = Append {
            flags: Flags::SEEN,
            internal_date: UnixMillis(-5),
            cache: Bytes::from(format!("cache of {size}")),
            ..message(anna, MailboxId::INBOX, &staged)
        };
        store.append(append).await.expect("appended");
        assert!(staged.id().is_some());
    }
    let stored = store.messages(anna, MailboxId::INBOX, &UidSet::all(), true, 100).await.expect("messages");
    assert_eq!(stored.len(), sizes.len());
    for (message, size) in stored.iter().zip(sizes) {
        assert_eq!(message.size, size as u64);
        assert_eq!((message.internal_date, message.saved), (UnixMillis(-5), NOW));
        assert_eq!(message.cache, format!("cache of {size}"));
        assert!(message.flags.is_seen());
        assert!(content(&store, message.body).await == big[..size]);
    }
    let last: Body = stored.last().expect("some").body.into();
    let piece = store.read(&last, 262_100, 100).await.expect("piece");
    assert!(!piece.is_empty() && piece[..] == big[262_100..262_100 + piece.len()]);
    assert!(store.read(&last, big.len() as u64 + 5, 10).await.expect("beyond").is_empty());
    assert_eq!(store.read(&BodyId(999_999).into(), 0, 1).await, Err(Error::NotFound(What::Body)));
    // Two at a time, going on after the last.
    let page = store.messages(anna, MailboxId::INBOX, &UidSet::range(4..=u32::MAX), false, 2).await.expect("page");
    assert_eq!(page.iter().map(|m| m.uid).collect::<Vec<_>>(), [4, 5]);
    assert!(page.iter().all(|m| m.cache.is_empty()));
}

pub(crate) async fn a_batch_is_all_or_nothing(store: impl Engine) {
    let anna = account(&store, "anna").await;
    let first = body(&store, b"first").await;
    let before = store.account(anna).await.expect("anna");
    let nowhere = message(anna, MailboxId(77), &first);
    let batch = vec![
        Op::Append(message(anna, MailboxId::INBOX, &first)),
        Op::CreateMailbox { account: anna, name: name("New"), special_use: None },
        Op::Append(nowhere),
    ];
    assert_eq!(store.commit(batch).await, Err(Error::NotFound(What::Mailbox)));
    assert_eq!(store.account(anna).await.expect("anna"), before);
    assert_eq!(store.mailboxes(anna).await.expect("list").len(), 1);
    // The body is still there to be used, and one failed batch does not fail its neighbours.
    let good = vec![Op::Append(message(anna, MailboxId::INBOX, &first))];
    let bad = vec![Op::Append(message(AccountId(99), MailboxId::INBOX, &first))];
    let results = store.commit_many(vec![good.clone(), bad, good]).await;
    assert!(matches!(results[0].as_deref(), Ok([Outcome::Appended { uid: 1, .. }])));
    assert!(results[1].is_err());
    let texts = contents(&store, anna, MailboxId::INBOX).await;
    assert_eq!(texts, [(1, "first".into()), (2, "first".into())]);
    let ids = store.messages(anna, MailboxId::INBOX, &UidSet::all(), false, 9).await.expect("messages");
    assert_eq!(ids[0].body, ids[1].body, "one body, stored once");
}

pub(crate) async fn flags(store: impl Engine) {
    let anna = account(&store, "anna").await;
    for text in ["1", "2", "3", "4"] {
        append(&store, anna, MailboxId::INBOX, text).await;
    }
    let change = |set: UidSet, how, flags: Flags| StoreFlags {
        account: anna,
        mailbox: MailboxId::INBOX,
        uids: set,
        how,
        flags,
        unchanged_since: None,
    };
    let since = store.account(anna).await.expect("anna").modseq;
    let work = Flags::parse(["$Work", "\\Seen"]).expect("flags");
    let stored = store.store_flags(change(uids([2, 3, 9]), How::Add, work.clone())).await.expect("stored");
    assert_eq!(stored.messages, [(2, work.clone(), since + 1), (3, work.clone(), since + 1)]);
    assert_eq!(changes(&store, anna, since).await, [(1, ChangeKind::Flags, 2, 3)]);
    let inbox = store.mailbox(anna, &name("INBOX")).await.expect("INBOX");
    assert_eq!((inbox.unseen, inbox.highest_modseq), (2, since + 1));

    // What changes nothing takes no mod-sequence.
    let stored = store.store_flags(change(uids([2]), How::Add, Flags::SEEN)).await.expect("stored");
    assert_eq!(stored.messages, [(2, work.clone(), since + 1)]);
    assert_eq!(store.account(anna).await.expect("anna").modseq, since + 1);

    // Message 3 changes between; 2 and 4 may be changed, 3 not (RFC 7162, 3.1.3).
    let flagged = Flags::FLAGGED;
    store.store_flags(change(uids([3]), How::Set, flagged.clone())).await.expect("stored");
    let conditional =
        StoreFlags { unchanged_since: Some(since + 1), ..change(UidSet::all(), How::Add, Flags::DELETED) };
    let stored = store.store_flags(conditional).await.expect("stored");
    assert_eq!(stored.modified, uids([3]));
    assert_eq!(stored.messages.iter().map(|m| m.0).collect::<Vec<_>>(), [1, 2, 4]);
    let last = since + 3;
    let tail = changes(&store, anna, since + 2).await;
    assert_eq!(
        tail,
        [(1, ChangeKind::Flags, 1, 1), (1, ChangeKind::Flags, 2, 2), (1, ChangeKind::Flags, 4, 4)],
        "a range never spans a message that did not change"
    );

    let gone = store.store_flags(change(uids([2]), How::Remove, Flags::parse(["$WORK"]).expect("keyword"))).await;
    assert_eq!(gone.expect("stored").messages, [(2, Flags::SEEN.with(&Flags::DELETED), last + 1)]);
    let snapshot = store.snapshot(anna, MailboxId::INBOX).await.expect("snapshot");
    let seen: Vec<_> = snapshot.entries.iter().map(|e| (e.uid, e.flags.clone(), e.modseq)).collect();
    assert_eq!(
        seen,
        [
            (1, Flags::DELETED, last),
            (2, Flags::SEEN.with(&Flags::DELETED), last + 1),
            (3, flagged, since + 2),
            (4, Flags::DELETED, last)
        ]
    );
    assert_eq!((snapshot.mailbox.deleted, snapshot.mailbox.unseen, snapshot.modseq), (3, 3, last + 1));
}

pub(crate) async fn expunge(store: impl Engine) {
    let anna = account(&store, "anna").await;
    for text in ["1", "2", "3", "4", "5"] {
        append(&store, anna, MailboxId::INBOX, text).await;
    }
    let all = store.messages(anna, MailboxId::INBOX, &UidSet::all(), false, 9).await.expect("messages");
    let deleted = StoreFlags {
        account: anna,
        mailbox: MailboxId::INBOX,
        uids: uids([2, 3, 5]),
        how: How::Add,
        flags: Flags::DELETED,
        unchanged_since: None,
    };
    store.store_flags(deleted).await.expect("stored");
    let since = store.account(anna).await.expect("anna").modseq;
    let gone = store.expunge(anna, MailboxId::INBOX, UidSet::range(1..=4), true).await.expect("expunged");
    assert_eq!(gone, uids([2, 3]));
    let gone = store.expunge(anna, MailboxId::INBOX, uids([4, 17]), false).await.expect("expunged");
    assert_eq!(gone, uids([4]));
    assert!(store.expunge(anna, MailboxId::INBOX, uids([4]), false).await.expect("nothing").is_empty());
    assert_eq!(changes(&store, anna, since).await, [(1, ChangeKind::Expunged, 2, 3), (1, ChangeKind::Expunged, 4, 4)]);
    assert_eq!(content(&store, all[1].body).await, b"2", "whoever still shows it can still read it");
    let inbox = store.mailbox(anna, &name("INBOX")).await.expect("INBOX");
    assert_eq!((inbox.messages, inbox.unseen, inbox.deleted, inbox.size, inbox.uidnext), (2, 2, 1, 2, 6));
    assert_eq!(store.account(anna).await.map(|a| (a.used, a.messages)), Ok((2, 2)));
    // UIDs are not used again, even the highest.
    store.expunge(anna, MailboxId::INBOX, UidSet::all(), false).await.expect("expunged");
    assert_eq!(append(&store, anna, MailboxId::INBOX, "6").await, 6);
}

pub(crate) async fn copy_and_move(store: impl Engine) {
    let anna = account(&store, "anna").await;
    let other = store.create_mailbox(anna, name("Other"), None).await.expect("Other");
    for text in ["1", "2", "3", "4"] {
        append(&store, anna, MailboxId::INBOX, text).await;
    }
    store.expunge(anna, MailboxId::INBOX, uids([2]), false).await.expect("expunged");
    append(&store, anna, other, "x").await;
    let saved = UnixMillis(NOW.0 + 5);
    let what = |from, set, to| CopyMessages { account: anna, from, uids: set, to, saved };
    let copied = store.copy(what(MailboxId::INBOX, UidSet::range(1..=3), other)).await.expect("copied");
    assert_eq!(copied.pairs().collect::<Vec<_>>(), [(1, 2), (3, 3)]);
    assert_eq!(copied.target(), UidSet::range(2..=3));
    assert_eq!(copied.uidvalidity, store.mailbox(anna, &name("Other")).await.expect("Other").uidvalidity);
    let since = store.account(anna).await.expect("anna").modseq;
    let moved = store.move_messages(what(MailboxId::INBOX, UidSet::range(3..=9), other)).await.expect("moved");
    assert_eq!(moved.pairs().collect::<Vec<_>>(), [(3, 4), (4, 5)]);
    assert_eq!(
        changes(&store, anna, since).await,
        [(other.0, ChangeKind::Added, 4, 5), (1, ChangeKind::Expunged, 3, 4)]
    );
    assert_eq!(contents(&store, anna, MailboxId::INBOX).await, [(1, "1".into())]);
    let texts = contents(&store, anna, other).await;
    assert_eq!(texts.iter().map(|(_, t)| t.as_str()).collect::<Vec<_>>(), ["x", "1", "3", "3", "4"]);
    let within = store.copy(what(other, uids([1]), other)).await.expect("copied");
    assert_eq!(within.pairs().collect::<Vec<_>>(), [(1, 6)], "into the mailbox itself");
    let none = store.copy(what(other, uids([99]), MailboxId::INBOX)).await.expect("nothing");
    assert!(none.source.is_empty() && none.target().is_empty());
    assert_eq!(store.account(anna).await.expect("anna").used, 7);
}

pub(crate) async fn quota(store: impl Engine) {
    let new = NewAccount { name: "anna".into(), password_hash: None, quota: Some(10), created: NOW };
    let anna = store.create_account(new).await.expect("anna");
    append(&store, anna, MailboxId::INBOX, "123456").await;
    let five = body(&store, b"12345").await;
    let refused = Err(Error::QuotaExceeded { quota: 10 });
    assert_eq!(store.append(message(anna, MailboxId::INBOX, &five)).await, refused);
    let all =
        CopyMessages { account: anna, from: MailboxId::INBOX, uids: UidSet::all(), to: MailboxId::INBOX, saved: NOW };
    assert_eq!(store.copy(all.clone()).await, Err(Error::QuotaExceeded { quota: 10 }));
    store.move_messages(all).await.expect("moving needs no room");
    append(&store, anna, MailboxId::INBOX, "1234").await;
    store.expunge(anna, MailboxId::INBOX, uids([2]), false).await.expect("expunged");
    store.append(message(anna, MailboxId::INBOX, &five)).await.expect("there is room again");
}

pub(crate) async fn changes_come_in_pieces(store: impl Engine) {
    let anna = account(&store, "anna").await;
    let other = store.create_mailbox(anna, name("Other"), None).await.expect("Other");
    for n in 0..20 {
        append(&store, anna, if n % 2 == 0 { MailboxId::INBOX } else { other }, "m").await;
    }
    let every_other = StoreFlags {
        account: anna,
        mailbox: other,
        uids: uids([1, 3, 5, 7, 9]),
        how: How::Add,
        flags: Flags::SEEN,
        unchanged_since: None,
    };
    store.store_flags(every_other).await.expect("stored");
    let whole = store.changes(anna, None, 0, 1000).await.expect("changes");
    let (mut since, mut pieces) = (0, Vec::new());
    loop {
        let piece = store.changes(anna, None, since, 3).await.expect("changes");
        assert!(piece.more || piece.upto == whole.upto);
        pieces.extend(piece.changes);
        since = piece.upto;
        if !piece.more {
            break;
        }
    }
    assert_eq!(pieces, whole.changes);
    let of_other = store.changes(anna, Some(other), 0, 1000).await.expect("changes").changes;
    assert_eq!(of_other, whole.changes.into_iter().filter(|c| c.mailbox == other).collect::<Vec<_>>());
    assert!(store.changes(anna, None, u64::MAX, 10).await.expect("nothing").changes.is_empty());

    // Once a part is forgotten, the log says so.
    store.commit(vec![Op::TrimChanges { account: anna, upto: 10 }]).await.expect("trimmed");
    store.commit(vec![Op::TrimChanges { account: anna, upto: 5 }]).await.expect("nothing to trim");
    let rest = store.changes(anna, None, 10, 1000).await.expect("changes");
    assert_eq!(rest.low_modseq, 10);
    assert!(rest.changes.iter().all(|c| c.modseq > 10) && rest.changes[0].modseq == 11);
}

pub(crate) async fn watching(store: impl Engine) {
    let anna = account(&store, "anna").await;
    let bert = account(&store, "bert").await;
    let (mut anna_watch, mut bert_watch, mut queue) = (store.watch(anna), store.watch(bert), store.watch_queue());
    append(&store, anna, MailboxId::INBOX, "m").await;
    let woken = anna_watch.changed().await.expect("open");
    assert_eq!(woken, store.account(anna).await.expect("anna").modseq);
    enqueue(&store, 1).await;
    assert!(queue.changed().await.is_some());
    append(&store, bert, MailboxId::INBOX, "m").await;
    assert!(bert_watch.changed().await.is_some());
    drop(store);
    assert_eq!(anna_watch.changed().await, None);
}

async fn enqueue(store: &impl Engine, due: i64) -> QueueId {
    let body = body(store, format!("due {due}").as_bytes()).await;
    let (envelope, state) = (Bytes::from_static(b"from, to"), Bytes::from_static(b"new"));
    let entry = NewQueueEntry { due: UnixMillis(due), body, envelope, state, lease: None };
    store.enqueue(entry).await.expect("queued")
}

pub(crate) async fn queue(store: impl Engine) {
    let (us, them) = (LeaseOwner(7), LeaseOwner(u64::MAX));
    let at = UnixMillis;
    assert_eq!(store.next_due().await, Ok(None));
    let late = enqueue(&store, 100).await;
    let early = enqueue(&store, 50).await;
    let held = enqueue(&store, 10).await;
    store.commit(vec![Op::Hold { id: held, held: true }]).await.expect("held");
    assert_eq!(store.next_due().await, Ok(Some(at(50))));
    assert!(store.lease(at(49), us, 10, at(1000)).await.expect("leases").is_empty());
    let leased = store.lease(at(100), us, 1, at(1000)).await.expect("leases");
    assert_eq!(leased.iter().map(|e| (e.id, e.attempts)).collect::<Vec<_>>(), [(early, 1)], "the longest due first");
    assert_eq!(leased[0].lease, Some(Lease { owner: us, until: at(1000) }));
    assert_eq!(content(&store, leased[0].body).await, b"due 50");
    let leased = store.lease(at(100), them, 10, at(500)).await.expect("leases");
    assert_eq!(leased.iter().map(|e| e.id).collect::<Vec<_>>(), [late], "what is leased is not leased again");
    assert_eq!(store.next_due().await, Ok(Some(at(500))));

    // The lease of `late` ends; the old owner's words count no more once it has a new one.
    let leased = store.lease(at(500), us, 10, at(2000)).await.expect("leases");
    assert_eq!(leased.iter().map(|e| (e.id, e.attempts)).collect::<Vec<_>>(), [(late, 2)]);
    let done = Op::Dequeue { id: late, owner: Some(them) };
    assert_eq!(store.commit(vec![done]).await, Err(Error::LeaseLost));

    let state = Some(Bytes::from_static(b"tried"));
    let defer = Op::Defer { id: early, owner: Some(us), due: at(900), state };
    store.commit(vec![defer]).await.expect("deferred");
    let entry = store.queued(early).await.expect("entry");
    assert_eq!(
        (entry.due, &entry.state[..], &entry.envelope[..], entry.lease),
        (at(900), &b"tried"[..], &b"from, to"[..], None)
    );
    store.commit(vec![Op::ReleaseLeases(us)]).await.expect("released");
    let leased = store.lease(at(900), us, 10, at(3000)).await.expect("leases");
    assert_eq!(leased.iter().map(|e| e.id).collect::<Vec<_>>(), [late, early]);

    let all: Vec<_> = store.queue(None, 10).await.expect("entries").into_iter().map(|e| e.id).collect();
    assert_eq!(all, [late, early, held]);
    let second = store.queue(Some(late), 1).await.expect("entries");
    assert_eq!((second.len(), second[0].id), (1, early));
    let dequeue = |id, owner| Op::Dequeue { id, owner };
    store.commit(vec![dequeue(late, Some(us)), dequeue(early, Some(us)), dequeue(held, None)]).await.expect("done");
    assert!(store.queue(None, 10).await.expect("entries").is_empty());
    assert_eq!(store.commit(vec![dequeue(held, None)]).await, Err(Error::NotFound(What::QueueEntry)));
}

/// From the queue into two mailboxes, and out of the queue, in one batch; the body is written once.
pub(crate) async fn delivery_from_the_queue(store: impl Engine) {
    let anna = account(&store, "anna").await;
    let bert = account(&store, "bert").await;
    let us = LeaseOwner(1);
    let lease = Some(Lease { owner: us, until: UnixMillis(60) });
    let body = body(&store, b"for both").await;
    let entry = NewQueueEntry { due: UnixMillis(0), body, envelope: Bytes::new(), state: Bytes::new(), lease };
    let id = store.enqueue(entry).await.expect("queued");
    assert!(store.lease(UnixMillis(0), us, 9, UnixMillis(9)).await.expect("none").is_empty(), "leased at once");
    let entry = store.queued(id).await.expect("entry");
    assert_eq!(entry.attempts, 1);
    let deliver = |account| {
        let cache = Bytes::from_static(b"envelope");
        Op::Append(Append { cache, ..message(account, MailboxId::INBOX, &entry.body.into()) })
    };
    store.commit(vec![deliver(anna), deliver(bert), Op::Dequeue { id, owner: Some(us) }]).await.expect("delivered");
    for account in [anna, bert] {
        let found = store.messages(account, MailboxId::INBOX, &UidSet::all(), true, 9).await.expect("messages");
        assert_eq!((found.len(), found[0].body, &found[0].cache[..]), (1, entry.body, &b"envelope"[..]));
        assert_eq!(content(&store, found[0].body).await, b"for both");
    }
    assert!(store.queue(None, 9).await.expect("entries").is_empty());
}

/// Many at once: UIDs without gaps or doubles, mod-sequences all different, every change seen by who follows the log.
pub(crate) async fn concurrent_delivery(store: impl Engine) {
    let anna = account(&store, "anna").await;
    let mut watch = store.watch(anna);
    let mut tasks = Vec::new();
    for task in 0..16 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut got = Vec::new();
            for n in 0..25 {
                let body = body(&store, format!("{task}/{n}").as_bytes()).await;
                match store.commit(vec![Op::Append(message(anna, MailboxId::INBOX, &body))]).await.expect("appended")[0]
                {
                    Outcome::Appended { uid, modseq, .. } => got.push((uid, modseq)),
                    ref other => panic!("{other:?}"),
                }
            }
            got
        }));
    }
    let follower = {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut since, mut seen) = (0, Vec::new());
            while seen.len() < 400 {
                let found = store.changes(anna, Some(MailboxId::INBOX), since, 50).await.expect("changes");
                since = found.upto;
                seen.extend(found.changes.iter().filter(|c| c.kind == ChangeKind::Added).map(|c| (c.first, c.modseq)));
                if !found.more && seen.len() < 400 {
                    watch.changed().await;
                }
            }
            seen
        })
    };
    let mut all = Vec::new();
    for task in tasks {
        let got = task.await.expect("no panic");
        assert!(got.is_sorted(), "one task's numbers ascend");
        all.extend(got);
    }
    all.sort_unstable();
    assert_eq!(all.iter().map(|a| a.0).collect::<Vec<_>>(), (1..=400).collect::<Vec<_>>());
    assert!(all.is_sorted_by(|a, b| a.1 < b.1), "mod-sequences ascend with the UIDs");
    assert_eq!(follower.await.expect("no panic"), all, "a follower of the log misses nothing");
}

/// Snapshots kept and brought up to date are what a fresh reading gives.
pub(crate) async fn snapshots_follow_changes(store: impl Engine) {
    let anna = account(&store, "anna").await;
    let other = store.create_mailbox(anna, name("Other"), None).await.expect("Other");
    let mut dice = crate::crash::Dice(42);
    for _ in 0..200 {
        let some = UidSet::from_ranges([dice.below(40) as u32 + 1..=dice.below(40) as u32 + 1]);
        match dice.below(5) {
            0 | 1 => drop(append(&store, anna, MailboxId::INBOX, "m").await),
            2 => {
                let flags =
                    [Flags::SEEN, Flags::DELETED, Flags::parse(["a"]).expect("a")][dice.below(3) as usize].clone();
                let how = [How::Set, How::Add, How::Remove][dice.below(3) as usize];
                let change = StoreFlags {
                    account: anna,
                    mailbox: MailboxId::INBOX,
                    uids: some,
                    how,
                    flags,
                    unchanged_since: None,
                };
                store.store_flags(change).await.expect("stored");
            }
            3 => drop(store.expunge(anna, MailboxId::INBOX, some, true).await.expect("expunged")),
            _ => {
                let what = CopyMessages { account: anna, from: MailboxId::INBOX, uids: some, to: other, saved: NOW };
                store.move_messages(what).await.expect("moved");
            }
        }
        for mailbox in [MailboxId::INBOX, other] {
            let snapshot = store.snapshot(anna, mailbox).await.expect("snapshot");
            let fresh = store.messages(anna, mailbox, &UidSet::all(), false, usize::MAX).await.expect("messages");
            let fresh: Vec<_> =
                fresh.into_iter().map(|m| Entry { uid: m.uid, flags: m.flags, modseq: m.modseq }).collect();
            assert_eq!(*snapshot.entries, fresh);
            assert_eq!(snapshot.mailbox.messages as usize, fresh.len());
            assert_eq!(snapshot.mailbox.unseen as usize, fresh.iter().filter(|e| !e.flags.is_seen()).count());
            assert_eq!(snapshot.mailbox.deleted as usize, fresh.iter().filter(|e| e.flags.is_deleted()).count());
        }
    }
}
