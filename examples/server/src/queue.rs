//! The queue runner: takes what is due, asks the delivery machine what to do, does it, and writes down what came of it.

use crate::delivery::{self, Filed, Transaction};
use crate::journal::Note;
use crate::relay::{self, Outgoing, Transacted};
use crate::report::{self, About};
use crate::server::{Shared, now, random};
use crate::settings::Settings;
use bytes::Bytes;
use postrider_core::{Instant, Machine, Step, Text};
use postrider_mta::delivery::{Event, Snapshot};
use postrider_mta::dns::{Record, ResolverConfig};
use postrider_mta::dsn::{Action, RecipientReport, is_wanted};
use postrider_mta::tokio::Dns;
use postrider_mta::{Delivery, DeliveryConfig, Destination, Disposition, Name, Relay, Routing, TlsRequirement};
use postrider_smtp::Recipient;
use postrider_smtp::wire::{EnhancedCode, EtrnTarget};
use postrider_store::{Body, Engine, Error, LeaseOwner, NewQueueEntry, Op, QueueEntry, QueueId, UnixMillis, Watch};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

/// Deliveries under way at the same time.
const DELIVERIES: usize = 50;
/// How long an entry is ours while we try it. If the attempt takes longer, the lease is renewed.
const LEASE: Duration = Duration::from_secs(30 * 60);
/// How long to wait when the store cannot say what is due.
const TROUBLE: Duration = Duration::from_secs(5);
/// Entries read at once when the queue is opened.
const PAGE: usize = 1000;

/// What of a queue entry never changes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Envelope {
    /// The transaction that brought it.
    pub id: String,
    /// Reverse path, with angle brackets.
    from: String,
    /// MAIL's parameters as they stand on the wire.
    params: String,
    /// Each recipient's forward path with angle brackets, and RCPT's parameters.
    recipients: Vec<(String, String)>,
    /// The destination.
    host: String,
    /// When it came, in milliseconds since 1970.
    pub arrived: i64,
    /// When it may go on, if it was to be held.
    #[serde(default)]
    released: Option<i64>,
}

/// An entry for one destination of a message.
pub fn entry(transaction: &Transaction, host: &str, recipients: &[Recipient], body: Body) -> NewQueueEntry {
    Envelope::of(transaction, host, recipients).entry(transaction.release.unwrap_or_else(now), body)
}

impl Envelope {
    fn of(transaction: &Transaction, host: &str, recipients: &[Recipient]) -> Self {
        let mut params = transaction.params.clone();
        // RFC 4954, 5: we trust no client's word on who submitted a message, and log in to nobody we relay to.
        //= 4954-5-3, 4954-5-4
        params.auth = None;
        // It is held here.
        params.hold = None;
        Self {
            id: transaction.id.clone(),
            from: transaction.from.to_string(),
            //= 3461-5.2.1-1, 3461-5.2.1-2, 3461-5.2.1-3, 3461-5.2.1-4
            params: params.to_string(),
            recipients: recipients.iter().map(|to| (to.to.to_string(), to.params.to_string())).collect(),
            host: host.to_owned(),
            arrived: transaction.arrived.0,
            released: transaction.release.map(|release| release.0),
        }
    }

    /// From when on it is tried: time that it was held does not count.
    fn begins(&self) -> i64 {
        self.released.unwrap_or(self.arrived)
    }

    fn entry(&self, due: UnixMillis, body: Body) -> NewQueueEntry {
        let envelope = serde_json::to_vec(self).expect("an envelope is strings and a number");
        NewQueueEntry { due, body, envelope: envelope.into(), state: Bytes::new(), lease: None }
    }

    /// Reads what [`entry`] wrote.
    fn read(octets: &[u8]) -> Option<(Self, postrider_smtp::Envelope)> {
        let stored: Self = serde_json::from_slice(octets).ok()?;
        let mut envelope = postrider_smtp::Envelope::new(stored.from.parse::<postrider_smtp::ReversePath>().ok()?);
        envelope.params = stored.params.parse().ok()?;
        for (to, params) in &stored.recipients {
            envelope.recipients.push(Recipient { to: to.parse().ok()?, params: params.parse().ok()? });
        }
        Some((stored, envelope))
    }
}

/// Runs the queue.
pub struct Queue {
    shared: Arc<Shared>,
    owner: LeaseOwner,
    configs: Configs,
    dns: Dns,
    watch: Watch,
    outgoing: Arc<Outgoing>,
    underway: Underway,
    turns: mpsc::Receiver<Turning>,
    /// When each host's messages were last asked for.
    turned: HashMap<String, std::time::Instant>,
    /// Entries whose next round begins at once.
    hurried: HashSet<QueueId>,
}

/// How messages are delivered.
#[derive(Clone)]
struct Configs {
    usual: Arc<DeliveryConfig>,
    /// Those with REQUIRETLS.
    protected: Arc<DeliveryConfig>,
}

/// A request to try at once what waits for a host (ETRN, RFC 1985).
pub struct Turning {
    /// For whom.
    pub target: EtrnTarget,
    /// How many messages that is; `None` if it cannot be done now.
    pub answer: oneshot::Sender<Option<usize>>,
}

/// Requests that may wait.
pub const TURNINGS: usize = 16;
/// Hosts whose last request is remembered.
const TURNED: usize = 10_000;

impl Queue {
    /// A runner for the server's queue. Takes over what a run before this one had begun.
    pub async fn open(shared: Arc<Shared>, turns: mpsc::Receiver<Turning>) -> Result<Self, Error> {
        let watch = shared.store.watch_queue();
        let mut after = None;
        let mut owners = Vec::new();
        loop {
            let entries = shared.store.queue(after, PAGE).await?;
            for lease in entries.iter().filter_map(|entry| entry.lease) {
                if !owners.contains(&lease.owner) {
                    owners.push(lease.owner);
                }
            }
            match entries.last() {
                Some(last) if entries.len() == PAGE => after = Some(last.id),
                _ => break,
            }
        }
        if !owners.is_empty() {
            shared.store.commit(owners.into_iter().map(Op::ReleaseLeases).collect()).await?;
        }
        let settings = &shared.settings;
        let mut config = DeliveryConfig::default();
        config.port = settings.mx_port;
        config.schedule.first = settings.retry;
        config.schedule.expiry = settings.queue_lifetime;
        config.routing = Arc::new(routing(settings));
        if let Some((host, port)) = &settings.smarthost {
            let host = match host.parse() {
                Ok(address) => Destination::Address(address),
                Err(_) => Destination::Domain(Name::new(host).map_err(|error| Error::Damaged(error.to_string()))?),
            };
            let implicit_tls = *port == 465;
            config.relay = Some(Relay { host, port: *port, tls: TlsRequirement::Opportunistic, implicit_tls });
        }
        let dns = Dns::start(resolvers(settings.dns), random());
        let outgoing = Arc::new(Outgoing::new(&settings.hostname));
        let owner = LeaseOwner(u64::from_le_bytes(random()));
        let mut protected = config.clone();
        protected.require_tls = true;
        let configs = Configs { usual: Arc::new(config), protected: Arc::new(protected) };
        let (underway, turned, hurried) = Default::default();
        Ok(Self { shared, owner, configs, dns, watch, outgoing, underway, turns, turned, hurried })
    }

    /// Delivers until the server stops; then lets the attempts under way end.
    pub async fn run(mut self) {
        let permits = Arc::new(Semaphore::new(DELIVERIES));
        let mut tasks = JoinSet::new();
        loop {
            let wait = match self.next(&permits, &mut tasks).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(%error, "the queue cannot be read");
                    Some(TROUBLE)
                }
            };
            let until = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.stopping() => break,
                changed = self.watch.changed() => if changed.is_none() { break },
                done = tasks.join_next(), if !tasks.is_empty() => {
                    if let Some(Ok(id)) = done && self.hurried.contains(&id) {
                        // It was asked for while it was tried. If it is gone, so much the better.
                        let waits = self.due_now(id).await.is_ok();
                        if !waits {
                            self.hurried.remove(&id);
                        }
                    }
                }
                Some(Turning { target, answer }) = self.turns.recv() => {
                    let found = self.turn(&target).await.unwrap_or_else(|error| {
                        tracing::error!(%error, "the queue cannot be read");
                        None
                    });
                    // The client may have left.
                    let _ = answer.send(found);
                }
                () = until => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Makes what waits for a host due, and says how much that is; `None` if it is asked for too often, or cannot be
    /// asked for.
    async fn turn(&mut self, target: &EtrnTarget) -> Result<Option<usize>, Error> {
        let (name, below) = match target {
            EtrnTarget::Host(host) => (host.as_str().to_ascii_lowercase(), false),
            EtrnTarget::Below(host) => (host.as_str().to_ascii_lowercase(), true),
            EtrnTarget::Queue(_) => return Ok(None),
        };
        // Anybody may ask, so nobody can make us call on a host more often than we would ourselves.
        let often = self.shared.settings.retry;
        if self.turned.len() >= TURNED {
            self.turned.retain(|_, last| last.elapsed() < often);
        }
        if self.turned.len() >= TURNED || self.turned.get(&name).is_some_and(|last| last.elapsed() < often) {
            return Ok(None);
        }
        self.turned.insert(name.clone(), std::time::Instant::now());
        let meant = |destination: &str| {
            destination == name
                || (below && destination.strip_suffix(&*name).is_some_and(|labels| labels.ends_with('.')))
        };
        let (mut after, mut found) = (None, 0);
        loop {
            let entries = self.shared.store.queue(after, PAGE).await?;
            for entry in entries.iter().filter(|entry| !entry.held) {
                let Ok(stored) = serde_json::from_slice::<Envelope>(&entry.envelope) else { continue };
                if !meant(&stored.host) || stored.begins() > now().0 {
                    continue;
                }
                found += 1;
                self.hurried.insert(entry.id);
                if !self.underway.has(entry.id) {
                    self.due_now(entry.id).await?;
                }
            }
            match entries.last() {
                Some(last) if entries.len() == PAGE => after = Some(last.id),
                _ => return Ok(Some(found)),
            }
        }
    }

    /// Nobody but this runner takes leases, so an entry that is not tried now has none.
    async fn due_now(&self, id: QueueId) -> Result<(), Error> {
        self.shared.store.one(Op::Defer { id, owner: None, due: now(), state: None }).await.map(drop)
    }

    /// Starts what is due, and says how long until something else will be.
    async fn next(
        &mut self,
        permits: &Arc<Semaphore>,
        tasks: &mut JoinSet<QueueId>,
    ) -> Result<Option<Duration>, Error> {
        loop {
            let free = permits.available_permits();
            // A delivery that ends wakes us.
            if free == 0 {
                return Ok(None);
            }
            let Some(due) = self.shared.store.next_due().await? else { return Ok(None) };
            let now = now();
            if due > now {
                return Ok(Some(Duration::from_millis((due.0 - now.0).unsigned_abs())));
            }
            let until = UnixMillis(now.0 + LEASE.as_millis() as i64);
            let entries = self.shared.store.lease(now, self.owner, free, until).await?;
            if entries.is_empty() {
                return Ok(Some(TROUBLE));
            }
            for entry in entries {
                // Its lease ran out while the attempt goes on, and is renewed now: a second attempt would send it twice.
                let Some(turn) = self.underway.begin(entry.id) else { continue };
                let permit = permits.clone().try_acquire_owned().expect("no more were leased than are free");
                let attempt = Attempt {
                    shared: self.shared.clone(),
                    owner: self.owner,
                    configs: self.configs.clone(),
                    dns: self.dns.clone(),
                    outgoing: self.outgoing.clone(),
                    hurry: self.hurried.remove(&entry.id),
                };
                tasks.spawn(async move {
                    let id = entry.id;
                    if let Err(error) = attempt.run(entry).await {
                        // The lease ends by itself, and the entry is tried again.
                        tracing::error!(%error, ?id, "a queue entry could not be brought forward");
                    }
                    drop(turn);
                    drop(permit);
                    id
                });
            }
        }
    }
}

/// The entries that are being tried now.
#[derive(Clone, Default)]
struct Underway(Arc<Mutex<HashSet<QueueId>>>);

impl Underway {
    /// Begins an entry's turn, unless it has one already. The turn ends when it is dropped.
    fn begin(&self, id: QueueId) -> Option<Turn> {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        new.then(|| Turn { underway: self.clone(), id })
    }

    fn has(&self, id: QueueId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}

/// See [`Underway::begin`].
struct Turn {
    underway: Underway,
    id: QueueId,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.underway.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// One entry's turn.
struct Attempt {
    shared: Arc<Shared>,
    owner: LeaseOwner,
    configs: Configs,
    dns: Dns,
    outgoing: Arc<Outgoing>,
    /// Whether the next round begins at once, whatever was planned.
    hurry: bool,
}

impl Attempt {
    async fn run(&self, entry: QueueEntry) -> Result<(), Error> {
        let Some((stored, envelope)) = Envelope::read(&entry.envelope) else {
            return self.hold(&entry, "envelope").await;
        };
        // A postmaster without a domain is ours, too.
        if stored.host.is_empty() || self.shared.directory.is_ours(&stored.host) {
            return self.deliver_here(&entry, &stored, &envelope).await;
        }
        let mut delivery = match self.delivery(&entry, &stored, &envelope) {
            Ok(Some(delivery)) => delivery,
            Ok(None) => {
                let why = format!("{:?} is no destination that mail can be sent to", stored.host);
                return self.give_up(&entry, &stored, &envelope, &why).await;
            }
            Err(error) => {
                tracing::error!(%error, id = stored.id, "the state of a delivery");
                return self.hold(&entry, "state").await;
            }
        };
        if self.hurry {
            delivery.hurry();
        }
        // Who was settled and is for us to report on.
        let mut settled: Vec<(usize, Disposition)> = Vec::new();
        // Who is with a host that sends reports itself (RFC 3461, 5.2.2).
        let mut passed_on: HashSet<usize> = HashSet::new();
        // What is to be written down together with the new state.
        let mut batch: Vec<Op> = Vec::new();
        loop {
            match delivery.poll(unix_time()) {
                Step::Event(Event::Resolve { answer, name, record, .. }) => {
                    let began = std::time::Instant::now();
                    let result = self.dns.lookup(name.clone(), record).await;
                    self.shared.journal.note(Note::Resolved {
                        id: stored.id.clone(),
                        name: format!("{record} {name}"),
                        answer: match &result {
                            Ok(answer) => answer.records.iter().map(shown).collect::<Vec<_>>().join(", "),
                            Err(failure) => failure.to_string(),
                        },
                        took: began.elapsed(),
                    });
                    // Stale means that the delivery gave up waiting.
                    let _ = delivery.answer(answer, result);
                }
                Step::Event(Event::Attempt { answer, hop, recipients, .. }) => {
                    let outcome = self.outgoing.transact(&self.shared, &entry, &envelope, &hop, &recipients).await;
                    let outcome = outcome.map(|Transacted { outcomes, reports }| {
                        let delivered = recipients.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_delivered());
                        passed_on.extend(delivered.filter(|_| reports).map(|(recipient, _)| recipient));
                        outcomes
                    });
                    let _ = delivery.answer(answer, outcome);
                }
                Step::Event(Event::Settled { recipient, how }) => {
                    let address = envelope.recipients[recipient].to.as_str().to_owned();
                    let diagnosis = how.diagnosis();
                    self.shared.journal.note(match how.is_delivered() {
                        true => Note::Relayed {
                            id: stored.id.clone(),
                            recipient: address,
                            host: diagnosis.remote.as_ref().map(ToString::to_string).unwrap_or_default(),
                            reply: diagnosis.reply.as_ref().map(ToString::to_string).unwrap_or_default(),
                        },
                        false => {
                            Note::Bounced { id: stored.id.clone(), recipient: address, why: diagnosis.to_string() }
                        }
                    });
                    if !passed_on.contains(&recipient) {
                        settled.push((recipient, how));
                    }
                }
                Step::Event(Event::Deferred { recipients, until }) => {
                    for recipient in recipients {
                        let why = delivery.explain(recipient).and_then(|it| it.last).map(|last| last.to_string());
                        self.shared.journal.note(Note::Deferred {
                            id: stored.id.clone(),
                            recipient: envelope.recipients[recipient].to.as_str().to_owned(),
                            why: why.unwrap_or_default(),
                            again: unix_time().until(until),
                        });
                    }
                }
                Step::Event(Event::Delayed { recipients, expires }) => {
                    let mut reports = Vec::new();
                    for index in recipients {
                        let recipient = &envelope.recipients[index];
                        if is_wanted(Action::Delayed, &envelope.from, &recipient.params) {
                            let last = delivery.explain(index).and_then(|it| it.last);
                            let (to, last) = (recipient.to.clone(), last.as_deref());
                            reports.push(RecipientReport::delayed(to, &recipient.params, last, expires));
                        }
                    }
                    batch.extend(
                        report::ops(&self.shared, &about(&entry, &stored, &envelope, &Body::from(entry.body)), reports)
                            .await?,
                    );
                }
                Step::Event(Event::Finished) => {
                    batch.extend(self.settle(&entry, &stored, &envelope, &settled).await?);
                    batch.push(Op::Dequeue { id: entry.id, owner: Some(self.owner) });
                    self.shared.store.commit(batch).await?;
                    return Ok(());
                }
                // The lease says already that a round is under way.
                Step::Event(Event::Round { .. }) => {}
                Step::Event(other) => delivery.decline(other),
                Step::Idle { deadline } => {
                    batch.extend(self.settle(&entry, &stored, &envelope, &settled).await?);
                    let due = deadline.unwrap_or_else(|| delivery.next_round());
                    let state = serde_json::to_vec(&delivery.snapshot()).expect("a snapshot is plain data");
                    batch.push(Op::Defer {
                        id: entry.id,
                        owner: Some(self.owner),
                        due: UnixMillis(due.elapsed().as_millis().try_into().unwrap_or(i64::MAX)),
                        state: Some(state.into()),
                    });
                    self.shared.store.commit(batch).await?;
                    return Ok(());
                }
            }
        }
    }

    /// The delivery as it was left, or a new one; `None` if nothing can be sent to that destination.
    ///
    /// A state that cannot be read is not thrown away: it knows who has the message already.
    fn delivery(
        &self,
        entry: &QueueEntry,
        stored: &Envelope,
        envelope: &postrider_smtp::Envelope,
    ) -> Result<Option<Delivery>, BadState> {
        // RFC 8689, 5: a report goes on even where what it reports on could not.
        let config = match envelope.params.require_tls && envelope.from.mailbox().is_some() {
            true => &self.configs.protected,
            false => &self.configs.usual,
        };
        if !entry.state.is_empty() {
            let snapshot: Snapshot =
                serde_json::from_slice(&entry.state).map_err(|error| BadState(error.to_string()))?;
            let delivery = Delivery::restore(config.clone(), entry.id.0, &snapshot);
            return delivery.map(Some).map_err(|error| BadState(error.to_string()));
        }
        let destination = envelope.recipients.first().map(|first| Destination::of(&first.to));
        let Some(Ok(destination)) = destination else { return Ok(None) };
        let arrived = Instant::after_origin(Duration::from_millis(stored.begins().unsigned_abs()));
        let recipients = envelope.recipients.len();
        Ok(Some(Delivery::new(config.clone(), entry.id.0, destination, recipients, arrived, random())))
    }

    /// An entry that cannot be read waits for a person.
    async fn hold(&self, entry: &QueueEntry, what: &str) -> Result<(), Error> {
        self.shared.store.one(Op::Hold { id: entry.id, held: true }).await?;
        Err(Error::Damaged(format!("the {what} of queue entry {} cannot be read; it is held", entry.id.0)))
    }

    /// The report about those who were settled, if it is wanted.
    //= 5321-3.3-6, 5321-3.6.3-1, 5321-4.1.1.4-5, 5321-4.4-11, 3461-5.2.8-1
    async fn settle(
        &self,
        entry: &QueueEntry,
        stored: &Envelope,
        envelope: &postrider_smtp::Envelope,
        settled: &[(usize, Disposition)],
    ) -> Result<Vec<Op>, Error> {
        let mut reports = Vec::new();
        for (recipient, how) in settled {
            let recipient = &envelope.recipients[*recipient];
            let action = if how.is_delivered() { Action::Relayed } else { Action::Failed };
            if is_wanted(action, &envelope.from, &recipient.params) {
                reports.push(RecipientReport::settled(recipient.to.clone(), &recipient.params, how));
            }
        }
        report::ops(&self.shared, &about(entry, stored, envelope, &Body::from(entry.body)), reports).await
    }

    /// Everybody left is told that it will not work.
    async fn give_up(
        &self,
        entry: &QueueEntry,
        stored: &Envelope,
        envelope: &postrider_smtp::Envelope,
        why: &str,
    ) -> Result<(), Error> {
        let bounced = |recipient| self.bounced(stored, envelope, recipient, why);
        let reports = envelope.recipients.iter().filter_map(bounced).collect();
        let mut batch =
            report::ops(&self.shared, &about(entry, stored, envelope, &Body::from(entry.body)), reports).await?;
        batch.push(Op::Dequeue { id: entry.id, owner: Some(self.owner) });
        self.shared.store.commit(batch).await.map(drop)
    }

    /// A recipient that cannot be served; the report about it, if it is wanted.
    fn bounced(
        &self,
        stored: &Envelope,
        envelope: &postrider_smtp::Envelope,
        recipient: &Recipient,
        why: &str,
    ) -> Option<RecipientReport> {
        let address = recipient.to.as_str().to_owned();
        self.shared.journal.note(Note::Bounced { id: stored.id.clone(), recipient: address, why: why.to_owned() });
        let status = EnhancedCode::literal(5, 1, 2);
        let mut report = RecipientReport::new(recipient.to.clone(), &recipient.params, Action::Failed, status);
        report.detail = Some(Text::lossy(why, 200));
        is_wanted(Action::Failed, &envelope.from, &recipient.params).then_some(report)
    }

    /// The destination is ourselves: mailboxes that could not take the message when it came. Each recipient is served on
    /// its own; those who cannot be served yet get an entry of their own.
    async fn deliver_here(
        &self,
        entry: &QueueEntry,
        stored: &Envelope,
        envelope: &postrider_smtp::Envelope,
    ) -> Result<(), Error> {
        let body = Body::from(entry.body);
        let filed = Filed { cache: relay::scan(&self.shared.store, &body).await?, body: body.clone() };
        let expired = now().0 - stored.begins() > self.shared.settings.queue_lifetime.as_millis() as i64;
        let (mut later, mut reports) = (Vec::new(), Vec::new());
        for (recipient, written) in envelope.recipients.iter().zip(&stored.recipients) {
            match self.file(stored, envelope, recipient, &filed).await {
                Ok(true) => {}
                Ok(false) => {
                    reports.extend(self.bounced(stored, envelope, recipient, "there is no such mailbox any more"));
                }
                Err(error) if expired => {
                    reports.extend(self.bounced(stored, envelope, recipient, &error.to_string()));
                }
                Err(error) => {
                    tracing::warn!(id = stored.id, %error, "a mailbox still cannot take its message");
                    later.push(written.clone());
                }
            }
        }
        let due = UnixMillis(now().0 + self.shared.settings.retry.as_millis() as i64);
        let mut batch =
            report::ops(&self.shared, &about(entry, stored, envelope, &Body::from(entry.body)), reports).await?;
        if later.len() == stored.recipients.len() {
            batch.push(Op::Defer { id: entry.id, owner: Some(self.owner), due, state: None });
        } else {
            batch.push(Op::Dequeue { id: entry.id, owner: Some(self.owner) });
            if !later.is_empty() {
                let rest = Envelope { recipients: later, ..stored.clone() };
                batch.push(Op::Enqueue(rest.entry(due, body)));
            }
        }
        self.shared.store.commit(batch).await.map(drop)
    }

    /// Puts the message into one recipient's mailbox; false if there is none.
    async fn file(
        &self,
        stored: &Envelope,
        envelope: &postrider_smtp::Envelope,
        recipient: &Recipient,
        filed: &Filed,
    ) -> Result<bool, Error> {
        let directory = &self.shared.directory;
        let mailbox = match recipient.to.mailbox() {
            Some(to) => directory.mailbox(&to.unquoted_local_part(), &to.host_str().to_ascii_lowercase()).await?,
            None => directory.mailbox("postmaster", &self.shared.settings.domains[0]).await?,
        };
        if mailbox.is_none() {
            return Ok(false);
        }
        let transaction = Transaction {
            id: stored.id.clone(),
            from: envelope.from.clone(),
            params: envelope.params.clone(),
            recipients: vec![delivery::Accepted { recipient: recipient.clone(), mailbox }],
            arrived: UnixMillis(stored.arrived),
            release: None,
        };
        delivery::file(&self.shared, &transaction, Some(filed), None).await.map(|()| true)
    }
}

/// What is reported on.
fn about<'a>(
    entry: &QueueEntry,
    stored: &Envelope,
    envelope: &'a postrider_smtp::Envelope,
    body: &'a Body,
) -> About<'a> {
    About {
        id: format!("{}-{}-{}", stored.id, entry.id.0, entry.attempts),
        from: &envelope.from,
        params: &envelope.params,
        arrived: UnixMillis(stored.arrived),
        body,
    }
}

/// The state of a queue entry is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be read: {0}")]
struct BadState(String);

/// Time since 1970: the origin whose deadlines survive a restart.
pub fn unix_time() -> Instant {
    Instant::after_origin(Duration::from_millis(now().0.unsigned_abs()))
}

/// A record as people write it.
fn shown(record: &Record) -> String {
    match (record, record.address()) {
        (_, Some(address)) => address.to_string(),
        (Record::Mx { preference, exchange }, None) => format!("{preference} {exchange}"),
        (other, None) => format!("{other:?}"),
    }
}

/// Whom to ask for addresses.
fn resolvers(server: Option<SocketAddr>) -> ResolverConfig {
    match server {
        Some(server) => ResolverConfig::new(vec![server]),
        None => ResolverConfig::from_resolv_conf(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
    }
}

/// What of the world is ourselves. A server that listens on loopback is in a laboratory: so are its neighbours.
fn routing(settings: &Settings) -> Routing {
    let mut routing = Routing::default();
    routing.ourselves = Name::new(&settings.hostname).into_iter().collect();
    match settings.listeners.smtp.map(|address| address.ip()) {
        Some(ip) if ip.is_loopback() => routing.loopback = true,
        Some(ip) if !ip.is_unspecified() => routing.our_addresses = vec![ip],
        Some(_) | None => {}
    }
    routing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_one_turn_at_a_time() {
        let underway = Underway::default();
        let turn = underway.begin(QueueId(7));
        assert!(turn.is_some() && underway.begin(QueueId(8)).is_some());
        assert!(underway.begin(QueueId(7)).is_none());
        drop(turn);
        assert!(underway.begin(QueueId(7)).is_some());
    }

    //= 3461-5.2.1-1, 3461-5.2.1-2, 3461-5.2.1-3, 3461-5.2.1-4, 4954-5-3, 4954-5-4
    #[test]
    fn what_was_asked_for_goes_on_with_the_message_but_whom_it_is_said_to_be_from() {
        let said = [(" RET=HDRS ENVID=a+2Bb", " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob@else.test"), ("", "")];
        for (params, recipient) in said {
            let transaction = Transaction {
                id: "1".into(),
                from: "<ada@ours.test>".parse().unwrap(),
                params: format!("{params} AUTH=ada@ours.test HOLDFOR=60").parse().unwrap(),
                recipients: vec![],
                arrived: UnixMillis(7),
                release: Some(UnixMillis(60_007)),
            };
            let mut expected = transaction.params.clone();
            expected.auth = None;
            expected.hold = None;
            let to = Recipient { to: "<bob@else.test>".parse().unwrap(), params: recipient.parse().unwrap() };
            let written =
                serde_json::to_vec(&Envelope::of(&transaction, "else.test", std::slice::from_ref(&to))).unwrap();
            let (stored, read) = Envelope::read(&written).unwrap();
            assert_eq!((stored.arrived, stored.begins()), (7, 60_007));
            assert_eq!((read.params, read.recipients), (expected, vec![to]));
        }
    }
}
