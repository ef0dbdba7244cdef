//! A delivery as plain data, for a durable queue.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use postrider_core::{Instant, Questions, SessionId, Text, Timer};
use postrider_smtp::wire::{EnhancedCode, ReplyCode};

use super::{Delivery, DeliveryConfig, Diagnosis, Disposition, Phase, Recipient, RecipientState, Said};
use crate::{Destination, Dice, Reason, Seed};

/// All that a [`Delivery`] needs to go on after a restart. Plain data; with the feature `serde`, in any format.
///
/// A round that is underway is not part of it: after a restart the next round begins at `next`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    /// The layout of this type: [`Snapshot::VERSION`].
    pub version: u16,
    /// Where the message goes.
    pub destination: Destination,
    /// When it came, since the origin of the caller's clock.
    pub arrived: Duration,
    /// When the next round begins.
    pub next: Duration,
    /// Rounds begun.
    pub rounds: u32,
    /// Whether the delay was reported.
    pub delay_told: bool,
    /// The seed.
    pub seed: Seed,
    /// Numbers drawn from it.
    pub drawn: u64,
    /// Each recipient.
    pub recipients: Vec<RecipientSnapshot>,
    /// What was said of them, each thing once.
    pub diagnoses: Vec<DiagnosisSnapshot>,
}

impl Snapshot {
    /// The version written now, and the only one read.
    pub const VERSION: u16 = 1;
}

/// One recipient of a [`Snapshot`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RecipientSnapshot {
    /// How it was settled, if it was.
    pub settled: Option<Settlement>,
    /// Whether the application was told of that.
    pub told: bool,
    /// How often its outcome was unknown.
    pub unknown: u8,
    /// What was said last: an index into [`Snapshot::diagnoses`]. Never missing if it is settled.
    pub last: Option<u32>,
}

/// How a recipient was settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Settlement {
    /// [`Disposition::Delivered`].
    Delivered,
    /// [`Disposition::Failed`].
    Failed,
    /// [`Disposition::Expired`].
    Expired,
}

/// A [`Diagnosis`] of a [`Snapshot`]; codes are written out.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DiagnosisSnapshot {
    /// Such as `4.4.1`.
    pub status: String,
    /// The rule.
    pub reason: Reason,
    /// The host concerned.
    pub remote: Option<Destination>,
    /// Its reply: code, enhanced code and text.
    pub reply: Option<(u16, Option<String>, String)>,
    /// What went wrong, where no reply says it.
    pub detail: Option<String>,
    /// The wait that the server asked for.
    pub wait: Option<Duration>,
}

/// A snapshot that no delivery made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadSnapshot {
    /// It has another layout.
    #[error("the snapshot has version {0}, which is not known here")]
    Version(u16),
    /// A recipient has no diagnosis, or one that is not there.
    #[error("recipient {0} of the snapshot refers to a diagnosis that is not there")]
    Recipient(usize),
    /// A code or text is none.
    #[error("diagnosis {0} of the snapshot cannot be read")]
    Diagnosis(usize),
}

impl Delivery {
    /// The state to write down: when a round begins, and when the delivery waits.
    ///
    /// A [`Settled`](super::Event::Settled) event that was not taken by then comes again after
    /// [`Delivery::restore`]; act on those taken before, or together with, writing this down.
    pub fn snapshot(&self) -> Snapshot {
        let mut diagnoses: Vec<(&Arc<Diagnosis>, DiagnosisSnapshot)> = Vec::new();
        let mut recipients = Vec::with_capacity(self.recipients.len());
        let mut untold = alloc::vec![false; self.recipients.len()];
        for &index in &self.untold {
            untold[index] = true;
        }
        for (recipient, untold) in self.recipients.iter().zip(untold) {
            // Recipients of one transaction share their diagnosis and follow one another: look back only a little.
            let last = recipient.last.as_ref().map(|last| {
                let recent = diagnoses.len().saturating_sub(8);
                let known = diagnoses[recent..].iter().position(|(known, _)| Arc::ptr_eq(known, last));
                known.map_or_else(
                    || {
                        diagnoses.push((last, DiagnosisSnapshot::from(&**last)));
                        diagnoses.len() - 1
                    },
                    |at| recent + at,
                ) as u32
            });
            let settled = match &recipient.state {
                RecipientState::Open | RecipientState::Elsewhere | RecipientState::Deferred => None,
                RecipientState::Settled(Disposition::Delivered(_)) => Some(Settlement::Delivered),
                RecipientState::Settled(Disposition::Failed(_)) => Some(Settlement::Failed),
                RecipientState::Settled(Disposition::Expired(_)) => Some(Settlement::Expired),
            };
            let told = settled.is_some() && !untold;
            recipients.push(RecipientSnapshot { settled, told, unknown: recipient.unknown, last });
        }
        let (seed, drawn) = self.dice.position();
        Snapshot {
            version: Snapshot::VERSION,
            destination: self.destination.clone(),
            arrived: self.arrived.elapsed(),
            next: self.next.elapsed(),
            rounds: self.rounds,
            delay_told: self.delay_told,
            seed,
            drawn,
            recipients,
            diagnoses: diagnoses.into_iter().map(|(_, snapshot)| snapshot).collect(),
        }
    }

    /// A delivery that goes on where `snapshot` was taken.
    ///
    /// # Errors
    /// [`BadSnapshot`] if no delivery of this version made it.
    pub fn restore(config: Arc<DeliveryConfig>, id: SessionId, snapshot: &Snapshot) -> Result<Self, BadSnapshot> {
        if snapshot.version != Snapshot::VERSION {
            return Err(BadSnapshot::Version(snapshot.version));
        }
        let mut diagnoses = Vec::with_capacity(snapshot.diagnoses.len());
        for (index, diagnosis) in snapshot.diagnoses.iter().enumerate() {
            let diagnosis = diagnosis.restore().ok_or(BadSnapshot::Diagnosis(index))?;
            diagnoses.push(Arc::new(diagnosis));
        }
        let mut recipients = Vec::with_capacity(snapshot.recipients.len());
        let mut untold = alloc::collections::VecDeque::new();
        for (index, recipient) in snapshot.recipients.iter().enumerate() {
            let bad = BadSnapshot::Recipient(index);
            let last = match recipient.last {
                Some(at) => Some(diagnoses.get(at as usize).cloned().ok_or(bad)?),
                None => None,
            };
            let settled = |how: fn(Arc<Diagnosis>) -> Disposition| {
                last.clone().map(|last| RecipientState::Settled(how(last))).ok_or(bad)
            };
            let state = match recipient.settled {
                None => RecipientState::Open,
                Some(Settlement::Delivered) => settled(Disposition::Delivered)?,
                Some(Settlement::Failed) => settled(Disposition::Failed)?,
                Some(Settlement::Expired) => settled(Disposition::Expired)?,
            };
            if recipient.settled.is_some() && !recipient.told {
                untold.push_back(index);
            }
            recipients.push(Recipient { state, last, unknown: recipient.unknown });
        }
        Ok(Self {
            config,
            questions: Questions::new(id),
            destination: snapshot.destination.clone(),
            arrived: Instant::after_origin(snapshot.arrived),
            dice: Dice::resume(snapshot.seed, snapshot.drawn),
            rounds: snapshot.rounds,
            delay_told: snapshot.delay_told,
            next: Instant::after_origin(snapshot.next),
            recipients,
            phase: Phase::Waiting,
            timer: Timer::OFF,
            events: alloc::collections::VecDeque::new(),
            untold,
        })
    }
}

impl From<&Diagnosis> for DiagnosisSnapshot {
    fn from(diagnosis: &Diagnosis) -> Self {
        let said = |said: &Said| {
            (said.code.number(), said.enhanced.map(|code| code.to_string()), said.text.as_str().to_string())
        };
        Self {
            status: diagnosis.status.to_string(),
            reason: diagnosis.reason,
            remote: diagnosis.remote.clone(),
            reply: diagnosis.reply.as_ref().map(said),
            detail: diagnosis.detail.as_ref().map(|detail| detail.as_str().to_string()),
            wait: diagnosis.wait,
        }
    }
}

impl DiagnosisSnapshot {
    fn restore(&self) -> Option<Diagnosis> {
        let code = |text: &String| EnhancedCode::parse(text.as_bytes()).ok();
        let text = |text: &String| Text::new(text.clone()).ok();
        let reply = match &self.reply {
            None => None,
            Some((number, enhanced, said)) => Some(Said {
                code: ReplyCode::new(*number)?,
                enhanced: match enhanced {
                    Some(enhanced) => Some(code(enhanced)?),
                    None => None,
                },
                text: text(said)?,
            }),
        };
        let detail = match &self.detail {
            None => None,
            Some(detail) => Some(text(detail)?),
        };
        let status = code(&self.status)?;
        Some(Diagnosis { status, reason: self.reason, remote: self.remote.clone(), reply, detail, wait: self.wait })
    }
}
