//! IMAP: the answers to a session's questions, from the store.

mod convert;
mod fetch;
mod mailboxes;
mod search;

use crate::listen::Stop;
use crate::server::{Shared, Store, now};
use convert::{flags_from_store, flags_to_store, name, refusal, to_store, to_wire};
use postrider_core::{Pending, Text};
use postrider_imap::server::{
    AppendedAt, Change, Config, Copied, Event, Expunged, Refusal, Selected, Server, StoreDone, Stored, ask,
};
use postrider_imap::wire::{self, StoreMode};
use postrider_io::Tls;
use postrider_io::tokio::Driver;
use postrider_message::{Limits, Scanner};
use postrider_store::{
    AccountId, Append, BodyWrite, ChangeKind, CopyMessages, Engine, Error, How, MailboxId, StoreFlags, UidSet,
    UnixMillis, Watch,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Messages looked up in the store at once.
const BATCH: usize = 256;
/// Changes read from the log at once.
const CHANGES: usize = 1000;

/// What the sessions offer.
pub fn config(shared: &Shared, implicit_tls: bool) -> Config {
    let mut config = Config::default();
    config.greeting = Text::lossy(&format!("{} postrider ready", shared.settings.hostname), 200);
    config.implicit_tls = implicit_tls;
    config.mechanisms = shared.directory.mechanisms(shared.settings.channel_binding);
    config.append_limit = shared.settings.message_size;
    if shared.settings.plaintext_auth {
        config.dangerous_allow_plaintext_auth();
    }
    config
}

/// Serves one connection to its end. With `farewell`, only to say that.
pub async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(
    shared: Arc<Shared>,
    config: Arc<Config>,
    io: IO,
    farewell: Option<Text>,
) {
    let mut server = Server::new(config, shared.session_id());
    if let Some(why) = farewell {
        server.shut_down(why);
    }
    let driver = Driver::new(server, io, Tls::Server(shared.tls.clone()));
    Session { shared, driver, account: None, selected: None, append: None }.run().await;
}

struct Session<IO> {
    shared: Arc<Shared>,
    driver: Driver<Server, IO>,
    account: Option<AccountId>,
    selected: Option<Selection>,
    append: Option<Appending>,
}

/// The selected mailbox and what the client was told of it.
struct Selection {
    mailbox: MailboxId,
    read_only: bool,
    watch: Watch,
    /// Changes up to here were reported.
    since: u64,
    /// Mod-sequences of flag changes that this session's own answers have reported.
    own: BTreeSet<u64>,
}

/// A message on its way in.
struct Appending {
    mailbox: MailboxId,
    message: wire::Append,
    writer: <Store as Engine>::BodyWriter,
    scanner: Scanner,
    failed: Option<Error>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Session<IO> {
    async fn run(mut self) {
        let mut stop = Stop::new(self.shared.clone());
        loop {
            let changed = async {
                match &mut self.selected {
                    Some(selected) => selected.watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            // Changes first: a client that asks after a change was made must hear of it.
            tokio::select! {
                biased;
                changed = changed => match changed {
                    Some(_) => self.report_changes().await,
                    None => self.selected = None,
                },
                event = stop.next(&mut self.driver, Server::shut_down) => match event {
                    Some(event) => self.handle(event).await,
                    None => return,
                },
            }
        }
    }

    /// An answer can come too late; the session has then dealt with it itself.
    fn answer<Q: ask::Ask>(&mut self, pending: Pending<Q>, answer: Result<Q::Yes, Q::No>) {
        let _ = self.driver.session().answer(pending, answer);
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Auth { answer, attempt } => {
                let mut verdict = self.shared.directory.authenticate(attempt).await;
                if let Ok(identity) = &verdict {
                    match self.shared.directory.account(identity.as_str()).await {
                        Ok(account) => self.account = Some(account),
                        Err(error) => {
                            tracing::error!(%error, "an account could not be opened");
                            verdict = Err(postrider_sasl::Denied::Temporary);
                        }
                    }
                }
                self.answer(answer, verdict);
            }
            Event::Scram { answer, user, hash } => {
                let credentials = self.shared.directory.scram(&user, hash);
                self.answer(answer, Ok(credentials));
            }
            Event::Select { answer, mailbox, read_only, .. } => {
                let selected = self.select(&mailbox, read_only).await;
                self.answer(answer, selected);
            }
            Event::Deselected => self.selected = None,
            Event::List { answer, request } => {
                match mailboxes::list(&self.shared.store, self.account(), &request).await {
                    Ok(listed) => {
                        for part in listed {
                            if self.driver.session().is_congested() && self.driver.drain().await.is_err() {
                                return;
                            }
                            if self.driver.session().respond(&answer, part).is_err() {
                                return;
                            }
                        }
                        self.answer(answer, Ok(()));
                    }
                    Err(error) => self.answer(answer, Err(refusal(&error))),
                }
            }
            Event::Status { answer, mailbox, items } => {
                let figures = mailboxes::status(&self.shared.store, self.account(), &mailbox, items).await;
                self.answer(answer, figures);
            }
            Event::Manage { answer, op } => {
                let done = mailboxes::manage(&self.shared.store, self.account(), op).await;
                self.answer(answer, done);
            }
            Event::Append { answer, message } => match self.begin_append(message).await {
                Ok(append) => {
                    self.append = Some(append);
                    self.answer(answer, Ok(()));
                }
                Err(refusal) => self.answer(answer, Err(refusal)),
            },
            Event::AppendBody(octets) => {
                if let Some(append) = self.append.as_mut().filter(|append| append.failed.is_none()) {
                    append.scanner.push(&octets);
                    append.failed = append.writer.write(&octets).await.err();
                }
            }
            Event::Appended { answer } => {
                let appended = self.append_message().await;
                // RFC 3501, 6.3.11: a message appended to the selected mailbox is announced at once.
                self.report_changes().await;
                self.answer(answer, appended);
            }
            Event::AppendAborted => self.append = None,
            Event::Fetch { answer, messages, items, mark_seen, changed_since } => {
                self.fetch(answer, &to_store(&messages), &items, mark_seen, changed_since).await;
            }
            Event::Store { answer, messages, change, unchanged_since } => {
                self.store(answer, to_store(&messages), change, unchanged_since).await;
            }
            Event::Search { answer, among, key } => {
                let found = self.search(&to_store(&among), &key).await;
                self.answer(answer, found);
            }
            Event::Copy { answer, messages, to, remove } => {
                let copied = self.copy(to_store(&messages), &to, remove).await;
                if !remove {
                    self.report_changes().await;
                }
                self.answer(answer, copied);
            }
            Event::Expunge { answer, only } => {
                let expunged = match &self.selected {
                    Some(selected) => {
                        let uids = only.as_ref().map_or_else(UidSet::all, to_store);
                        self.shared.store.expunge(self.account(), selected.mailbox, uids, true).await
                    }
                    None => Err(Error::Closed),
                };
                let expunged = expunged.map(|uids| Expunged { uids: to_wire(&uids) });
                self.answer(answer, expunged.map_err(|error| refusal(&error)));
            }
            Event::Listening(_) => {}
            Event::Closed(why) => tracing::debug!(%why, "IMAP session ended"),
            other => self.driver.session().decline(other),
        }
    }

    /// The account. The session asks nothing that needs one before login.
    fn account(&self) -> AccountId {
        self.account.expect("the session is logged in")
    }

    async fn select(&mut self, mailbox: &wire::Mailbox, read_only: bool) -> Result<Selected, Refusal> {
        let account = self.account();
        let watch = self.shared.store.watch(account);
        let name = name(mailbox)?;
        let found = self.shared.store.mailbox(account, &name).await.map_err(|error| refusal(&error))?;
        let snapshot = self.shared.store.snapshot(account, found.id).await.map_err(|error| refusal(&error))?;
        let uids = snapshot.entries.iter().map(|entry| entry.uid).collect();
        let mut selected = Selected::new(snapshot.mailbox.uidvalidity, snapshot.mailbox.uidnext, uids);
        for entry in snapshot.entries.iter().filter(|entry| entry.flags.keywords().next().is_some()) {
            for flag in flags_from_store(&entry.flags).iter() {
                selected.flags.insert(flag.clone());
                selected.permanent_flags.insert(flag.clone());
            }
        }
        selected.first_unseen = snapshot.entries.iter().find(|entry| !entry.flags.is_seen()).map(|entry| entry.uid);
        selected.highest_modseq = Some(snapshot.mailbox.highest_modseq.max(1));
        self.selected =
            Some(Selection { mailbox: found.id, read_only, watch, since: snapshot.modseq, own: BTreeSet::new() });
        Ok(selected)
    }

    /// Tells the session what others did to the selected mailbox.
    async fn report_changes(&mut self) {
        loop {
            let (account, store) = (self.account(), self.shared.store.clone());
            let Some(selected) = &mut self.selected else { return };
            let mailbox = selected.mailbox;
            let changes = match store.changes(account, Some(mailbox), selected.since, CHANGES).await {
                Ok(changes) => changes,
                Err(error) => return self.give_up(&error),
            };
            if selected.since < changes.low_modseq {
                return self.compare().await;
            }
            selected.since = changes.upto;
            let own = std::mem::take(&mut selected.own);
            selected.own = own.range(changes.upto + 1..).copied().collect();
            for change in changes.changes {
                let range = change.first.max(1)..=change.last.max(1);
                let uids = UidSet::range(range);
                match change.kind {
                    ChangeKind::Expunged => self.driver.session().notify(Change::Expunged(to_wire(&uids))),
                    ChangeKind::Flags if own.contains(&change.modseq) => {}
                    ChangeKind::Added | ChangeKind::Flags => {
                        let added = change.kind == ChangeKind::Added;
                        if let Err(error) = self.report_messages(account, mailbox, uids, added).await {
                            return self.give_up(&error);
                        }
                    }
                    ChangeKind::MailboxDeleted => {
                        let gone = Text::literal("The mailbox was deleted");
                        self.driver.session().shut_down(gone);
                        return;
                    }
                    _ => {}
                }
            }
            if !changes.more {
                return;
            }
        }
    }

    /// Tells the session of those messages among `uids` that are there.
    async fn report_messages(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        mut uids: UidSet,
        added: bool,
    ) -> Result<(), Error> {
        loop {
            let messages = self.shared.store.messages(account, mailbox, &uids, false, BATCH).await?;
            let session = self.driver.session();
            if added {
                let came: UidSet = UidSet::from_ranges(messages.iter().map(|message| message.uid..=message.uid));
                session.notify(Change::Added(to_wire(&came)));
            } else {
                for message in &messages {
                    let flags = flags_from_store(&message.flags);
                    session.notify(Change::Flags { uid: message.uid, flags, modseq: Some(message.modseq) });
                }
            }
            match messages.last() {
                Some(last) if messages.len() == BATCH => uids = after(&uids, last.uid),
                _ => return Ok(()),
            }
        }
    }

    /// The change log does not reach back far enough: compares with everything there is.
    async fn compare(&mut self) {
        let (account, Some(selected)) = (self.account(), &mut self.selected) else { return };
        let snapshot = match self.shared.store.snapshot(account, selected.mailbox).await {
            Ok(snapshot) => snapshot,
            Err(error) => return self.give_up(&error),
        };
        selected.since = snapshot.modseq;
        let mut gone = wire::UidSet::EMPTY;
        let mut here = wire::UidSet::EMPTY;
        let mut next = 1;
        for entry in snapshot.entries.iter() {
            if entry.uid > next {
                gone.push_range(next, entry.uid - 1);
            }
            here.push(entry.uid);
            next = entry.uid.saturating_add(1);
        }
        if next < snapshot.mailbox.uidnext {
            gone.push_range(next, snapshot.mailbox.uidnext - 1);
        }
        let session = self.driver.session();
        session.notify(Change::Expunged(gone));
        session.notify(Change::Added(here));
        for entry in snapshot.entries.iter() {
            let flags = flags_from_store(&entry.flags);
            session.notify(Change::Flags { uid: entry.uid, flags, modseq: Some(entry.modseq) });
        }
    }

    /// A client that cannot be told of changes must not believe it is up to date.
    fn give_up(&mut self, error: &Error) {
        tracing::error!(%error, "changes of a mailbox cannot be read");
        self.selected = None;
        self.driver.session().shut_down(Text::literal("The mailbox cannot be read now, try again later"));
    }

    async fn begin_append(&mut self, message: wire::Append) -> Result<Appending, Refusal> {
        let name = name(&message.mailbox)?;
        let mailbox = self.shared.store.mailbox(self.account(), &name).await.map_err(|error| match error {
            Error::NotFound(_) => Refusal::try_create(),
            error => refusal(&error),
        })?;
        let writer = self.shared.store.body();
        Ok(Appending { mailbox: mailbox.id, message, writer, scanner: Scanner::new(Limits::default()), failed: None })
    }

    async fn append_message(&mut self) -> Result<Option<AppendedAt>, Refusal> {
        let append = self.append.take().ok_or_else(Refusal::unavailable)?;
        if let Some(error) = append.failed {
            return Err(refusal(&error));
        }
        let cache = append.scanner.finish().to_cache();
        let body = append.writer.finish().await.map_err(|error| refusal(&error))?;
        let date = append.message.date.map_or_else(now, |date| UnixMillis(date.unix().saturating_mul(1000)));
        let message = Append {
            account: self.account(),
            mailbox: append.mailbox,
            body,
            flags: flags_to_store(&append.message.flags)?,
            internal_date: date,
            saved: now(),
            cache: cache.into(),
        };
        let (uid_validity, uid) = self.shared.store.append(message).await.map_err(|error| refusal(&error))?;
        Ok(Some(AppendedAt { uid_validity, uid }))
    }

    async fn store(
        &mut self,
        answer: Pending<ask::Store>,
        uids: UidSet,
        change: wire::FlagChange,
        unchanged_since: Option<u64>,
    ) {
        let Some(mailbox) = self.selected.as_ref().map(|selected| selected.mailbox) else {
            return self.answer(answer, Err(Refusal::unavailable()));
        };
        let flags = match flags_to_store(&change.flags) {
            Ok(flags) => flags,
            Err(refusal) => return self.answer(answer, Err(refusal)),
        };
        let how = match change.mode {
            StoreMode::Replace => How::Set,
            StoreMode::Add => How::Add,
            StoreMode::Remove => How::Remove,
        };
        let change = StoreFlags { account: self.account(), mailbox, uids, how, flags, unchanged_since };
        let stored = match self.shared.store.store_flags(change).await {
            Ok(stored) => stored,
            Err(error) => return self.answer(answer, Err(refusal(&error))),
        };
        for (uid, flags, modseq) in stored.messages {
            if let Some(selected) = &mut self.selected {
                selected.own.insert(modseq);
            }
            let part = Stored { uid, flags: flags_from_store(&flags), modseq: Some(modseq) };
            if self.driver.session().is_congested() && self.driver.drain().await.is_err() {
                return;
            }
            if self.driver.session().respond(&answer, part).is_err() {
                return;
            }
        }
        self.answer(answer, Ok(StoreDone { modified: to_wire(&stored.modified) }));
    }

    async fn copy(&mut self, uids: UidSet, to: &wire::Mailbox, remove: bool) -> Result<Copied, Refusal> {
        let account = self.account();
        let Some(from) = self.selected.as_ref().map(|selected| selected.mailbox) else {
            return Err(Refusal::unavailable());
        };
        let target = self.shared.store.mailbox(account, &name(to)?).await.map_err(|error| match error {
            Error::NotFound(_) => Refusal::try_create(),
            error => refusal(&error),
        })?;
        let what = CopyMessages { account, from, uids, to: target.id, saved: now() };
        let copied = match remove {
            true => self.shared.store.move_messages(what).await,
            false => self.shared.store.copy(what).await,
        }
        .map_err(|error| refusal(&error))?;
        Ok(Copied { uid_validity: copied.uidvalidity, from: to_wire(&copied.source), to: to_wire(&copied.target()) })
    }
}

/// Those of `uids` above `uid`.
fn after(uids: &UidSet, uid: u32) -> UidSet {
    let rest = uids.ranges().filter(|range| *range.end() > uid);
    UidSet::from_ranges(rest.map(|range| (*range.start()).max(uid + 1)..=*range.end()))
}
