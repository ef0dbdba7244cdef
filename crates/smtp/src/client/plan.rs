//! One message in as many transactions as the server's limits ask for (RFC 9422; RFC 5321, 4.5.3.1.10).

use super::{NotSent, Outcome, RefusedAt};
use crate::address::{Host, Mailbox};
use crate::envelope::Envelope;
use crate::wire::{Capabilities, EnhancedCode};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Divides a message's recipients among transactions, over as many sessions as it takes, and collects what became of
/// each.
///
/// ```
/// # use postrider_smtp::{Capabilities, Envelope, Mailbox};
/// # use postrider_smtp::client::Plan;
/// let to = |n| Mailbox::parse(&format!("user{n}@mx.example")).unwrap();
/// let envelope = (0..10).fold(Envelope::new(to(99)), |envelope, n| envelope.and_to(to(n)));
/// let mut offered = Capabilities::default();
/// offered.recipients_max = Some(3);
///
/// let mut plan = Plan::new(envelope);
/// let sizes: Vec<usize> = std::iter::from_fn(|| {
///     let part = plan.next(&offered)?;
///     let count = part.recipients.len(); // send it, and say what became of it
///     plan.finished(vec![postrider_smtp::client::Outcome::Unknown; count]);
///     Some(count)
/// })
/// .collect();
/// assert_eq!(sizes, [3, 3, 3, 1]);
/// assert_eq!(plan.into_outcomes().len(), 10);
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    envelope: Envelope,
    outcomes: Vec<Option<Outcome>>,
    /// Recipients that no transaction has tried.
    waiting: VecDeque<usize>,
    /// Those of the transaction that is going on.
    current: Vec<usize>,
    /// How many the server took before it said that it takes no more.
    learnt: Option<usize>,
    /// Whether a server was met that does not know BDAT.
    chunks_refused: bool,
}

impl Plan {
    /// A message of which nothing was sent.
    pub fn new(envelope: Envelope) -> Self {
        let count = envelope.recipients.len();
        Self {
            envelope,
            outcomes: (0..count).map(|_| None).collect(),
            waiting: (0..count).collect(),
            current: Vec::new(),
            learnt: None,
            chunks_refused: false,
        }
    }

    /// The envelope of the next transaction with a server that offers this. `None` if each recipient was tried.
    ///
    /// If the one before was not [`finished`](Self::finished), it is taken for not sent, and repeated.
    pub fn next(&mut self, offered: &Capabilities) -> Option<Envelope> {
        for index in self.current.drain(..).rev() {
            self.waiting.push_front(index);
        }
        let limit = offered.recipients_max.map_or(usize::MAX, |limit| limit as usize);
        let limit = limit.min(self.learnt.unwrap_or(usize::MAX)).max(1);
        let domains = offered.recipient_domains_max.map_or(usize::MAX, |limit| limit.max(1) as usize);
        let mut met: Vec<Option<Host>> = Vec::new();
        while let Some(&index) = self.waiting.front() {
            let host = self.envelope.recipients[index].to.mailbox().map(Mailbox::host);
            let new = domains < usize::MAX && !met.contains(&host);
            if self.current.len() == limit || new && met.len() == domains {
                break;
            }
            if new {
                met.push(host);
            }
            self.current.push(index);
            self.waiting.pop_front();
        }
        if self.current.is_empty() {
            return None;
        }
        let recipients = self.current.iter().map(|&index| self.envelope.recipients[index].clone()).collect();
        Some(Envelope { from: self.envelope.from.clone(), params: self.envelope.params.clone(), recipients })
    }

    /// What became of the transaction, for each recipient of its envelope in order. Recipients of whom there were only
    /// too many go into the next one, as long as some were taken; so do all if the server does not know BDAT.
    pub fn finished(&mut self, outcomes: Vec<Outcome>) {
        let current = core::mem::take(&mut self.current);
        let too_many = outcomes.iter().filter(|outcome| is_too_many(outcome)).count();
        let taken = outcomes.len() - too_many;
        if too_many > 0 && taken > 0 {
            self.learnt = Some(taken);
        }
        let unheard = |outcome: &Outcome| *outcome == Outcome::NotSent(NotSent::ChunksRefused);
        let first_time = !core::mem::replace(&mut self.chunks_refused, outcomes.iter().any(unheard));
        let mut again = Vec::new();
        for (index, outcome) in current.into_iter().zip(outcomes) {
            if first_time && unheard(&outcome) || taken > 0 && is_too_many(&outcome) {
                again.push(index);
            }
            // Also of those who are tried again: it may not come to that.
            self.outcomes[index] = Some(outcome);
        }
        self.chunks_refused |= !first_time;
        for index in again.into_iter().rev() {
            self.waiting.push_front(index);
        }
    }

    /// How many recipients no transaction has settled.
    pub fn open(&self) -> usize {
        self.waiting.len() + self.current.len()
    }

    /// Whether a server was met that offers CHUNKING and does not know BDAT, so that the next session with it should
    /// have [`Chunking::WhenNeeded`](super::Chunking::WhenNeeded).
    pub fn chunks_refused(&self) -> bool {
        self.chunks_refused
    }

    /// What became of the message, for each recipient of the envelope in order; [`NotSent::Ended`] for those that no
    /// transaction has tried.
    pub fn into_outcomes(self) -> Vec<Outcome> {
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::NotSent(NotSent::Ended))).collect()
    }
}

/// Whether a recipient was refused because there are too many.
fn is_too_many(outcome: &Outcome) -> bool {
    let Outcome::Refused { at: RefusedAt::Rcpt, reply } = outcome else { return false };
    let says = |class| reply.enhanced() == EnhancedCode::new(class, 5, 3);
    match reply.code().number() {
        // RFC 5321, 4.5.3.1.10: 552 is the old way to say 452.
        452 => reply.enhanced().is_none() || says(4),
        552 => says(5),
        _ => false,
    }
}
