//! The one thread that writes. What waits when it comes round is one group: one write, one sync, one index transaction.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::compact::{self, Compacted};
use super::index::{Applied, Index};
use super::log::{Failure, Log};
use super::plan::Plan;
use super::record::{self, Kind};
use crate::body::Content;
use crate::{Error, LeaseOwner, Op, Outcome, QueueEntry, Result, UnixMillis};

/// A group takes no more batches beyond this many octets.
const GROUP_OCTETS: usize = 8 << 20;
/// A group takes no more than this many requests.
const GROUP_REQUESTS: usize = 1024;
/// The index's write-ahead log is checkpointed when it may have grown by this much.
const CHECKPOINT_OCTETS: usize = 16 << 20;

pub(super) enum Job {
    Commit {
        batches: Vec<Vec<Op>>,
        answer: oneshot::Sender<Vec<Result<Vec<Outcome>>>>,
    },
    Lease {
        now: UnixMillis,
        owner: LeaseOwner,
        max: usize,
        until: UnixMillis,
        answer: oneshot::Sender<Result<Vec<QueueEntry>>>,
    },
    Compact {
        answer: oneshot::Sender<Result<Compacted>>,
    },
}

/// What to say once the group is durable.
enum Answer {
    Commit(oneshot::Sender<Vec<Result<Vec<Outcome>>>>, Vec<Result<Vec<Outcome>>>),
    Lease(oneshot::Sender<Result<Vec<QueueEntry>>>, Result<Vec<QueueEntry>>),
}

impl Answer {
    /// Sends it; `failed` replaces what would have been a success. Nobody may be waiting any more, which is fine.
    fn send(self, failed: Option<&Error>) {
        match self {
            Answer::Commit(to, mut results) => {
                if let Some(error) = failed {
                    for result in results.iter_mut().filter(|r| r.is_ok()) {
                        *result = Err(error.clone());
                    }
                }
                to.send(results).ok();
            }
            Answer::Lease(to, result) => {
                let result = match failed {
                    Some(error) => result.and(Err(error.clone())),
                    None => result,
                };
                to.send(result).ok();
            }
        }
    }
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) index: Index,
    pub(super) log: Log,
    pub(super) applied: Applied,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) segment_size: u64,
    /// Octets the index may have written since the last checkpoint.
    pub(super) uncheckpointed: usize,
}

impl Writer {
    /// Until the store is closed.
    pub(super) fn run(mut self) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| self.jobs.blocking_recv()) {
            if let Some(fault) = self.shared.fault() {
                refuse(job, &Error::ReadOnly(fault));
                continue;
            }
            next = match job {
                Job::Compact { answer } => {
                    let done = compact::compact(&mut self);
                    if let Err(Error::ReadOnly(why)) = &done {
                        self.shared.fail(why);
                    }
                    answer.send(done).ok();
                    None
                }
                job => self.group(job),
            };
            if self.uncheckpointed > CHECKPOINT_OCTETS {
                self.checkpoint();
            }
        }
        self.checkpoint();
    }

    /// Does `first` and what else waits. Gives back a job that cannot be part of a group.
    fn group(&mut self, first: Job) -> Option<Job> {
        if self.log.end >= self.segment_size
            && let Err(error) = self.log.roll()
        {
            refuse(first, &error);
            return None;
        }
        if let Err(error) = self.index.run("BEGIN IMMEDIATE", []) {
            refuse(first, &error);
            return None;
        }
        let counters = self.index.counters;
        let mut plan = Plan::new(self.log.segment, self.log.end);
        let mut answers = Vec::new();
        let mut job = Some(first);
        let mut left_over = None;
        while let Some(this) = job.take() {
            match this {
                Job::Commit { batches, answer } => {
                    let results = batches
                        .into_iter()
                        .map(|batch| plan.batch(&mut self.index, |planner| planner.ops(batch)))
                        .collect();
                    answers.push(Answer::Commit(answer, results));
                }
                Job::Lease { now, owner, max, until, answer } => {
                    let leased = plan.batch(&mut self.index, |planner| planner.lease(now, owner, max, until));
                    answers.push(Answer::Lease(answer, leased));
                }
                Job::Compact { .. } => {
                    left_over = Some(this);
                    break;
                }
            }
            if answers.len() < GROUP_REQUESTS && plan.bodies.len() + plan.effects.len() < GROUP_OCTETS {
                job = self.jobs.try_recv().ok();
            }
        }
        let failed = self.finish(&mut plan).err();
        if failed.is_some() {
            self.index.counters = counters;
        }
        // Watchers first: whoever learns of a commit by its answer may count on everybody having been told.
        if failed.is_none() {
            self.shared.wake(&plan.touched, plan.queue_touched);
        }
        for answer in answers {
            answer.send(failed.as_ref());
        }
        left_over
    }

    /// Log first, then index: the index is never ahead.
    fn finish(&mut self, plan: &mut Plan) -> Result<()> {
        if let Some(error) = plan.broken.take() {
            self.roll_back();
            return Err(error);
        }
        if plan.effects.is_empty() {
            self.roll_back();
            return Ok(());
        }
        let before = self.log.end;
        let mut group = std::mem::take(&mut plan.bodies);
        let begins = self.log.end + group.len() as u64;
        let number = self.applied.number + 1;
        let crc = record::write(&mut group, Kind::Ops, 0, number, &plan.effects);
        let end = self.log.end + group.len() as u64;
        let applied = Applied { number, segment: self.log.segment, at: begins, end, crc };
        if let Err(error) = self.index.note(&applied) {
            self.roll_back();
            return Err(error);
        }
        match self.log.append(&group) {
            Ok(()) => {}
            Err(Failure::Clean(error)) => {
                self.roll_back();
                return Err(error);
            }
            Err(Failure::Fatal(why)) => {
                self.roll_back();
                keep_files(plan);
                return Err(self.shared.fail(&why));
            }
        }
        if let Err(error) = self.index.run("COMMIT", []) {
            // It is durable, but cannot be shown; nobody knows of it yet, so it can be undone.
            self.roll_back();
            return match self.log.take_back(before) {
                Ok(()) => Err(error),
                Err(Failure::Clean(why)) => Err(self.shared.fail(&why.to_string())),
                Err(Failure::Fatal(why)) => {
                    keep_files(plan);
                    Err(self.shared.fail(&why))
                }
            };
        }
        self.applied = applied;
        keep_files(plan);
        for (staged, id) in plan.staged.values() {
            staged.stored.set(*id).ok();
        }
        self.uncheckpointed += 32_768 + 2 * plan.effects.len();
        Ok(())
    }

    /// Some errors have made SQLite roll back already. If it cannot, the store must not go on.
    fn roll_back(&mut self) {
        if !self.index.conn.is_autocommit()
            && let Err(error) = self.index.run("ROLLBACK", [])
        {
            self.shared.fail(&format!("rolling back the index: {error}"));
        }
    }

    /// Moves the index's write-ahead log into the index; if readers are in the way, another time.
    fn checkpoint(&mut self) {
        self.uncheckpointed = 0;
        if let Err(error) = self.index.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the index could not be checkpointed");
        }
    }
}

fn keep_files(plan: &Plan) {
    for (staged, _) in plan.staged.values() {
        if let Content::File(file) = &staged.content {
            file.keep();
        }
    }
}

fn refuse(job: Job, error: &Error) {
    match job {
        Job::Commit { batches, answer } => drop(answer.send(batches.iter().map(|_| Err(error.clone())).collect())),
        Job::Lease { answer, .. } => drop(answer.send(Err(error.clone()))),
        Job::Compact { answer } => drop(answer.send(Err(error.clone()))),
    }
}
