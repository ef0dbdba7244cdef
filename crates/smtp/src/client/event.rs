//! What a client session reports and asks.

use super::{Outcome, Transaction};
use crate::wire::{Reply, Verb};
use alloc::vec::Vec;
use postrider_core::{Closed, Pending};
use postrider_sasl::MechanismError;

/// What a client session reports and asks.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The session can be used; [`Client::capabilities`](super::Client::capabilities) says for what. Again after
    /// [`Client::start_tls`](super::Client::start_tls).
    Ready,
    /// The server refused [`Client::start_tls`](super::Client::start_tls). The session goes on without.
    TlsRefused(Reply),
    /// [`Client::authenticate`](super::Client::authenticate) came to its end. Where BURL was offered
    /// without saying for what URLs, EHLO was said again before this.
    Authenticated(Result<(), AuthFailed>),
    /// The server's word on the sender of a transaction that was begun with [`Client::open`](super::Client::open).
    Sender {
        /// The message.
        of: Transaction,
        /// What the server said.
        reply: Reply,
    },
    /// The server's word on a recipient, as it comes. It is repeated in [`Event::Finished`].
    Recipient {
        /// The message.
        of: Transaction,
        /// Which of its envelope's recipients.
        index: usize,
        /// What the server said.
        reply: Reply,
    },
    /// The server waits for the message. At least one recipient was accepted.
    BodyWanted {
        /// The message.
        of: Transaction,
        /// For [`Client::write`](super::Client::write), [`Client::finish`](super::Client::finish) or
        /// [`Client::abandon`](super::Client::abandon).
        body: Pending<ask::Body>,
    },
    /// There is room for more of the message, after [`Client::write`](super::Client::write) took less than it was
    /// given. Or [`Event::Finished`] comes instead: the message is not wanted any more.
    BodyRoom {
        /// The message.
        of: Transaction,
    },
    /// The server's answer to [`Client::noop`](super::Client::noop), [`help`](super::Client::help),
    /// [`verify`](super::Client::verify), [`expand`](super::Client::expand) or
    /// [`turn_queue`](super::Client::turn_queue).
    Answered {
        /// What was asked.
        verb: Verb,
        /// What the server said.
        reply: Reply,
    },
    /// The message is done with. Once for each [`Client::send`](super::Client::send).
    Finished {
        /// The message.
        of: Transaction,
        /// What became of it, for each of its envelope's recipients in order.
        outcomes: Vec<Outcome>,
    },
    /// The server closes the session and says why: 421 at any time, or a refusal to begin with.
    Goodbye(Reply),
    /// The session is over. Always the last event.
    Closed(Closed),
}

/// The questions of a client session.
pub mod ask {
    use postrider_core::Question;

    /// What is the message?
    #[derive(Debug)]
    pub enum Body {}

    impl Question for Body {
        type Yes = ();
        type No = ();
    }
}

/// Why a login failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthFailed {
    /// The server refused.
    #[error("the server refused the login: {0}")]
    Refused(Reply),
    /// The mechanism gave up. The login was cancelled; if the server claimed success, the session is over.
    #[error("the login was given up: {0}")]
    Mechanism(MechanismError),
    /// The server sent what is no challenge, or too many.
    #[error("the server sent what is no challenge, or too many")]
    BadChallenge,
}
