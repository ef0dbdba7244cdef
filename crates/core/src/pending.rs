//! Questions as values.

use alloc::borrow::Cow;
use core::fmt;
use core::marker::PhantomData;

/// The caller's number for a session, unique among the sessions that live at the same time. Also the log id.
pub type SessionId = u64;

/// What a question may be answered with.
pub trait Question {
    /// The answer that lets the peer go on.
    type Yes;
    /// The answer that refuses.
    type No;
}

/// A question put to the application, to be answered once.
///
/// Answering consumes it, so a second answer does not compile:
///
/// ```compile_fail,E0382
/// # use postrider_core::{Handshake, Pending, Session};
/// fn twice(session: &mut impl Session, ask: Pending<Handshake>) {
///     let _ = session.tls(ask, Err("no".into()));
///     let _ = session.tls(ask, Err("no".into()));
/// }
/// ```
///
/// It carries its session's number, so it cannot be answered on another connection.
#[must_use = "the peer is waiting for this"]
pub struct Pending<Q> {
    pub(crate) session: SessionId,
    pub(crate) sequence: u64,
    pub(crate) question: PhantomData<fn() -> Q>,
}

impl<Q> Pending<Q> {
    /// The session that asks.
    pub fn session(&self) -> SessionId {
        self.session
    }
}

impl<Q> fmt::Debug for Pending<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({}/{})", self.session, self.sequence)
    }
}

/// Makes the questions of one machine and knows them again. For those who write machines without a `Link`.
#[derive(Clone, Debug)]
pub struct Questions {
    session: SessionId,
    asked: u64,
}

impl Questions {
    /// The questions of the machine that the caller numbers `session`.
    pub const fn new(session: SessionId) -> Self {
        Self { session, asked: 0 }
    }

    /// The machine's number.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Makes a question, and the number by which [`Questions::redeem`] will know its answer.
    pub fn ask<Q: Question>(&mut self) -> (Pending<Q>, u64) {
        self.asked += 1;
        (Pending { session: self.session, sequence: self.asked, question: PhantomData }, self.asked)
    }

    /// The number of the question that `pending` is.
    ///
    /// # Errors
    /// [`Stale`] if another machine asked it.
    pub fn redeem<Q: Question>(&self, pending: &Pending<Q>) -> Result<u64, Stale> {
        if pending.session == self.session { Ok(pending.sequence) } else { Err(Stale) }
    }
}

/// The answer came too late (timed out, closed) or went to another session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the answer came too late, or to another session")]
pub struct Stale;

/// A call the session's state or the peer's abilities do not allow. The caller's mistake; nothing was sent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub Cow<'static, str>);

impl Misuse {
    /// A misuse with its sentence.
    pub fn new(why: impl Into<Cow<'static, str>>) -> Self {
        Self(why.into())
    }
}
