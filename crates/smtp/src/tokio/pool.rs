//! Connections to one server, kept for the next message.

use super::{Connection, ConnectionError};
use crate::Envelope;
use crate::client::{NotSent, Outcome, Plan, RefusedAt, SendError};
use crate::remote::{GOODBYE, Remote, settle};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use bytes::Bytes;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Sends messages through one server over a bounded number of connections, which are kept for a while. Clones share
/// them.
///
/// A connection that was kept is looked at before a message is trusted to it: if the server has closed it, or does not
/// answer a NOOP, another is opened, and nobody is told but [`Pool::counts`]. A message goes in as many transactions and
/// sessions as the server's limits ask for ([`Plan`]).
///
/// Who sends to many servers has a pool for each.
///
/// ```no_run
/// # async fn example(envelope: postrider_smtp::Envelope, message: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
/// use postrider_smtp::Remote;
/// use postrider_smtp::tokio::{Pool, PoolLimits};
///
/// let pool = Pool::new(Remote::submission("smtp.example.org")?.login("alice", "secret".to_owned()), PoolLimits::default());
/// for outcome in pool.send(envelope, message).await? {
///     println!("{outcome:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

/// How much a [`Pool`] keeps.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolLimits {
    /// Connections at a time. Who comes when all are busy waits. Default 4.
    pub connections: usize,
    /// How long a connection is kept without use. Default 30 s; servers wait for five minutes (RFC 5321, 4.5.3.2.7).
    pub idle: Duration,
    /// Transactions over one connection. Default 100.
    pub messages: u64,
    /// A connection that was kept for so long is asked whether it is alive. Default 1 s.
    pub trusted: Duration,
    /// How long the server may take to say that it is. Default 10 s.
    pub probe: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            connections: 4,
            idle: Duration::from_secs(30),
            messages: 100,
            trusted: Duration::from_secs(1),
            probe: Duration::from_secs(10),
        }
    }
}

/// What a [`Pool`] has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct PoolCounts {
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that could not be opened: failures of the host.
    pub failed: u64,
    /// Times that a kept connection was used again.
    pub reused: u64,
    /// Kept connections that were found lost. No failures of the host: servers close what is idle.
    pub stale: u64,
}

struct Inner {
    remote: Remote,
    limits: PoolLimits,
    permits: Semaphore,
    kept: Mutex<Kept>,
    chunks_refused: AtomicBool,
    opened: AtomicU64,
    failed: AtomicU64,
    reused: AtomicU64,
    stale: AtomicU64,
}

/// What is not in use.
#[derive(Default)]
struct Kept {
    idle: Vec<Idle>,
    /// The task that ends what is kept for too long, while there is something.
    sweeper: Option<AbortHandle>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(sweeper) = &self.sweeper {
            sweeper.abort();
        }
    }
}

struct Idle {
    connection: Connection<TcpStream>,
    since: Instant,
    messages: u64,
}

/// A connection in use.
struct Taken {
    connection: Connection<TcpStream>,
    messages: u64,
    /// Whether the server may have closed it before we came.
    kept: bool,
}

impl Pool {
    /// No connection is opened yet.
    pub fn new(remote: Remote, limits: PoolLimits) -> Self {
        Self(Arc::new(Inner {
            permits: Semaphore::new(limits.connections.max(1)),
            kept: Mutex::default(),
            chunks_refused: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            remote,
            limits,
        }))
    }

    /// Sends a message within [`Remote::deadline`]; see [`Pool::send_within`].
    ///
    /// # Errors
    /// As [`Pool::send_within`].
    pub async fn send(&self, envelope: Envelope, message: impl Into<Bytes>) -> Result<Vec<Outcome>, ConnectionError> {
        self.send_within(self.0.remote.deadline, envelope, message).await
    }

    /// Sends a message, and says what became of it for each recipient. Its lines end with CRLF. After `limit` it is over,
    /// whatever stalls: what is not known then is [`Outcome::Unknown`].
    ///
    /// # Errors
    /// [`ConnectionError`] if no transaction came about, or the message needs what the server does not offer. Whatever
    /// happens later is in the outcomes.
    pub async fn send_within(
        &self,
        limit: Duration,
        envelope: Envelope,
        message: impl Into<Bytes>,
    ) -> Result<Vec<Outcome>, ConnectionError> {
        let recipients = envelope.recipients.len();
        let message = message.into();
        let mut plan = Plan::new(envelope.describing(&message));
        let result = self.0.carry(&mut plan, &message, Instant::now() + limit).await;
        settle(plan, recipients, result)
    }

    /// What it has done so far.
    pub fn counts(&self) -> PoolCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Inner { opened, failed, reused, stale, .. } = &*self.0;
        PoolCounts { opened: read(opened), failed: read(failed), reused: read(reused), stale: read(stale) }
    }

    /// How many connections are kept and not in use.
    pub fn idle(&self) -> usize {
        self.0.kept().idle.len()
    }

    /// Says goodbye on all connections that are not in use.
    pub async fn close(&self) {
        let kept = core::mem::take(&mut self.0.kept().idle);
        for idle in kept {
            quit(idle.connection).await;
        }
    }
}

impl Inner {
    async fn carry(self: &Arc<Self>, plan: &mut Plan, message: &Bytes, until: Instant) -> Result<(), ConnectionError> {
        let permit = timeout_at(until, self.permits.acquire()).await.map_err(|_| ConnectionError::Busy)?;
        let _permit = permit.expect("the semaphore is never closed");
        let mut held = None;
        while plan.open() > 0 {
            let mut taken = match held.take() {
                Some(taken) => taken,
                None => self.check_out(until).await?,
            };
            let offered = taken.connection.capabilities().unwrap_or_default();
            let Some(part) = plan.next(&offered) else { break };
            taken.connection.set_deadline(Some(until.saturating_duration_since(Instant::now())));
            match taken.connection.send(part, message.clone()).await {
                Ok(outcomes)
                    if taken.kept
                        && !taken.connection.session().is_ready()
                        && never_begun(&outcomes)
                        && Instant::now() < until =>
                {
                    // The plan gives the same transaction out again.
                    self.stale.fetch_add(1, Ordering::Relaxed);
                }
                Ok(outcomes) => {
                    taken.messages += 1;
                    taken.kept = false;
                    plan.finished(outcomes);
                    if plan.chunks_refused() {
                        self.chunks_refused.store(true, Ordering::Relaxed);
                    }
                    if !taken.connection.session().is_ready() {
                        continue;
                    }
                    if taken.messages < self.limits.messages {
                        held = Some(taken);
                    } else {
                        tokio::spawn(quit(taken.connection));
                    }
                }
                // RFC 9422: another session, unless this one has just begun.
                Err(ConnectionError::Send(
                    SendError::TooManyTransactions { .. } | SendError::TooManyDomains { .. },
                )) if taken.messages > 0 => {
                    tokio::spawn(quit(taken.connection));
                }
                Err(error) => {
                    self.check_in(taken);
                    return Err(error);
                }
            }
        }
        if let Some(taken) = held {
            self.check_in(taken);
        }
        Ok(())
    }

    /// A kept connection that is alive, or a new one.
    async fn check_out(&self, until: Instant) -> Result<Taken, ConnectionError> {
        loop {
            let Some(mut idle) = self.kept().idle.pop() else { break };
            let age = idle.since.elapsed();
            if age >= self.limits.idle {
                tokio::spawn(quit(idle.connection));
                continue;
            }
            let alive = if age < self.limits.trusted {
                idle.connection.is_quiet().await
            } else {
                let left = until.saturating_duration_since(Instant::now());
                idle.connection.is_there(self.limits.probe.min(left)).await
            };
            if alive {
                self.reused.fetch_add(1, Ordering::Relaxed);
                return Ok(Taken { connection: idle.connection, messages: idle.messages, kept: true });
            }
            self.stale.fetch_add(1, Ordering::Relaxed);
        }
        let chunks = !self.chunks_refused.load(Ordering::Relaxed);
        let opened = self.remote.open_until(until, chunks).await;
        let count = if opened.is_ok() { &self.opened } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Taken { connection: opened?, messages: 0, kept: false })
    }

    /// Keeps a connection for the next message, if it is of use.
    fn check_in(self: &Arc<Self>, mut taken: Taken) {
        if !taken.connection.session().is_ready() {
            return;
        }
        if taken.messages >= self.limits.messages {
            tokio::spawn(quit(taken.connection));
            return;
        }
        taken.connection.set_deadline(None);
        let idle = Idle { connection: taken.connection, since: Instant::now(), messages: taken.messages };
        let mut kept = self.kept();
        kept.idle.push(idle);
        // One that is finished and still there ended with its runtime.
        if kept.sweeper.as_ref().is_none_or(AbortHandle::is_finished) {
            kept.sweeper = Some(tokio::spawn(sweep(Arc::downgrade(self), self.limits.idle)).abort_handle());
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // What is kept is whole at any time.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a message on a kept connection met nobody: the connection was lost before the end of the message was written,
/// or the server used MAIL to say that it had waited too long. No server can have taken the message.
fn never_begun(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| match outcome {
        Outcome::NotSent(NotSent::Ended) => true,
        Outcome::Refused { at: RefusedAt::Mail, reply } => reply.code().number() == 421,
        Outcome::Delivered(_) | Outcome::Refused { .. } | Outcome::Unknown | Outcome::NotSent(_) => false,
    })
}

/// Says goodbye on what was kept for `most`, until nothing is kept. The pool's only sweeper: it ends with the pool.
async fn sweep(pool: Weak<Inner>, most: Duration) {
    loop {
        let left = {
            let Some(pool) = pool.upgrade() else { return };
            let mut kept = pool.kept();
            for old in kept.idle.extract_if(.., |kept| kept.since.elapsed() >= most) {
                tokio::spawn(quit(old.connection));
            }
            match kept.idle.iter().map(|kept| kept.since).min() {
                Some(oldest) => most.saturating_sub(oldest.elapsed()),
                None => {
                    kept.sweeper = None;
                    return;
                }
            }
        };
        sleep(left).await;
    }
}

async fn quit(connection: Connection<TcpStream>) {
    // Whether it is heard does not matter any more.
    let _ = timeout(GOODBYE, connection.quit()).await;
}
