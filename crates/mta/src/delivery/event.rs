//! What a delivery asks and says.

use alloc::vec::Vec;

use postrider_core::{Instant, Pending};

use super::Disposition;
#[cfg(doc)]
use super::{Delivery, DeliveryConfig};
use crate::dns::RecordType;
use crate::{Hop, Name, Reason};

/// What a delivery asks and says.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A round begins. Write [`Delivery::snapshot`] down before going on: should the program die in the round, the
    /// next one begins at `next` and not at once.
    Round {
        /// The number of the round, from 1.
        number: u32,
        /// When the next one begins if this one settles nothing.
        next: Instant,
    },
    /// Asks the DNS. Several may be open at once.
    Resolve {
        /// Answer with [`Delivery::answer`].
        answer: Pending<ask::Resolve>,
        /// Whose records.
        name: Name,
        /// Of which type.
        record: RecordType,
        /// Why.
        reason: Reason,
    },
    /// Try this host now.
    Attempt {
        /// Answer with [`Delivery::answer`]: the outcomes of the transaction, as the SMTP client's `Finished` has
        /// them, or why there was none.
        answer: Pending<ask::Attempt>,
        /// The host.
        hop: Hop,
        /// The recipients to name in the transaction, by index.
        recipients: Vec<usize>,
        /// Why this host.
        reason: Reason,
    },
    /// A recipient has its final outcome.
    Settled {
        /// Which, by index.
        recipient: usize,
        /// How.
        how: Disposition,
    },
    /// The round is over; these recipients wait for the next. Informational.
    Deferred {
        /// Which, by index.
        recipients: Vec<usize>,
        /// When the next round begins.
        until: Instant,
    },
    /// These recipients have waited for [`DeliveryConfig::delay_notice`]. The sender may be told (RFC 3461, 4.1:
    /// `NOTIFY=DELAY`). Comes once.
    Delayed {
        /// Which, by index.
        recipients: Vec<usize>,
        /// When they will be given up.
        expires: Instant,
    },
    /// All recipients are settled. The last event.
    Finished,
}

/// The questions of a delivery.
pub mod ask {
    use alloc::vec::Vec;

    use postrider_core::Question;

    use crate::delivery::Delivery;
    use crate::dns::{Answer, DnsFailure};
    use crate::{HopFailure, Outcome};

    /// What records does this name have?
    #[derive(Debug)]
    pub enum Resolve {}
    impl Question for Resolve {
        type Yes = Answer;
        type No = DnsFailure;
    }

    /// What became of the recipients at this host? One [`Outcome`] for each, in the order of the question.
    #[derive(Debug)]
    pub enum Attempt {}
    impl Question for Attempt {
        type Yes = Vec<Outcome>;
        type No = HopFailure;
    }

    /// The questions that [`Delivery::answer`] takes answers to.
    pub trait OfDelivery: Question + Sized {
        #[doc(hidden)]
        fn apply(delivery: &mut Delivery, question: u64, answer: Result<Self::Yes, Self::No>) -> bool;
    }
    impl OfDelivery for Resolve {
        fn apply(delivery: &mut Delivery, question: u64, answer: Result<Answer, DnsFailure>) -> bool {
            delivery.resolved(question, answer)
        }
    }
    impl OfDelivery for Attempt {
        fn apply(delivery: &mut Delivery, question: u64, answer: Result<Vec<Outcome>, HopFailure>) -> bool {
            delivery.attempted(question, answer)
        }
    }
}
