//! What a server asks and reports, and what becomes of the answers.

use super::{Busy, Server};
use crate::wire::{MessageMeta, Refusal, Verb};
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::{Closed, Pending, Question, Stale, Text};
use postrider_sasl::{ApopChallenge, Attempt, Denied, ScramAnswer, ScramHash};

/// What a server asks and reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A user wants to open their maildrop. Yes is a snapshot of what is in it: message 1 first, and its order and
    /// numbers hold until the session ends. Opening it twice at once is for the application to allow or to refuse with
    /// [`Refusal::in_use`].
    //= 2595-2.3-2
    Open {
        /// To be answered.
        answer: Pending<ask::Open>,
        /// Who it claims to be.
        attempt: Attempt,
        /// Whether the client said UTF8 (RFC 6856): messages may be sent with UTF-8 in their headers.
        utf8: bool,
    },
    /// A user logs in with SCRAM: what is kept of their password? Only if SCRAM is among the
    /// [mechanisms](super::Config::mechanisms). If the client proves that it knows the password, [`Event::Open`] follows.
    Scram {
        /// Yes brings the credentials, for a user there is not
        /// [`ScramCredentials::for_nobody`](postrider_sasl::ScramCredentials::for_nobody).
        answer: Pending<ask::Scram>,
        /// Who it claims to be. Not empty, no NUL.
        user: String,
        /// The hash function that the credentials must be for.
        hash: ScramHash,
    },
    /// A user logs in with CRAM-MD5. Only if that is among the [mechanisms](super::Config::mechanisms).
    Challenge {
        /// Yes brings a timestamp that was never used before.
        answer: Pending<ask::Challenge>,
    },
    /// A message is wanted. Give it with [`Server::write`] or [`Server::write_shared`], then accept; or refuse before
    /// anything was written.
    Retrieve {
        /// To be answered.
        answer: Pending<ask::Retrieve>,
        /// Its number in the snapshot, from 1.
        message: u32,
        /// For TOP, so many lines of the body are enough. The session stops by itself; this is for those who can save
        /// the reading.
        lines: Option<u64>,
    },
    /// The client has said goodbye, and these messages are to be deleted: all of them or none. Never empty, ascending.
    /// Yes when they are gone for good. With `EXPIRE 0` those are among them that were retrieved.
    Commit {
        /// To be answered.
        answer: Pending<ask::Commit>,
        /// Their numbers in the snapshot.
        delete: Vec<u32>,
    },
    /// The end. If no [`Event::Commit`] came before, nothing is to be deleted.
    Closed(Closed),
}

/// The questions.
pub mod ask {
    use super::{ApopChallenge, MessageMeta, Question, Refusal, ScramAnswer};
    use alloc::vec::Vec;

    /// May this user open the maildrop?
    #[derive(Debug)]
    pub enum Open {}

    impl Question for Open {
        type Yes = Vec<MessageMeta>;
        type No = Refusal;
    }

    /// What is kept of the user's password?
    #[derive(Debug)]
    pub enum Scram {}

    impl Question for Scram {
        type Yes = ScramAnswer;
        type No = Refusal;
    }

    /// Which timestamp was never used before?
    #[derive(Debug)]
    pub enum Challenge {}

    impl Question for Challenge {
        type Yes = ApopChallenge;
        type No = Refusal;
    }

    /// What does this message hold?
    #[derive(Debug)]
    pub enum Retrieve {}

    impl Question for Retrieve {
        type Yes = ();
        type No = Refusal;
    }

    /// Are these messages deleted?
    #[derive(Debug)]
    pub enum Commit {}

    impl Question for Commit {
        type Yes = ();
        type No = Refusal;
    }
}

/// A question of this server's. Sealed: those in [`ask`].
pub trait Ask: Question + Sized + sealed::Settle {}

impl<Q: Question + sealed::Settle> Ask for Q {}

pub(super) mod sealed {
    use super::{Pending, Question, Server, Stale};

    pub trait Settle: Question + Sized {
        fn settle(
            server: &mut Server,
            pending: Pending<Self>,
            answer: Result<Self::Yes, Self::No>,
        ) -> Result<(), Stale>;
        fn decline(server: &mut Server, pending: Pending<Self>) -> Result<(), Stale>;
    }
}

impl sealed::Settle for ask::Open {
    fn settle(
        server: &mut Server,
        pending: Pending<Self>,
        answer: Result<Vec<MessageMeta>, Refusal>,
    ) -> Result<(), Stale> {
        let number = server.link.redeem(&pending)?;
        if !matches!(server.now, Busy::Opening(question, ..) if question == number) {
            return Err(Stale);
        }
        let Busy::Opening(_, verb, last_words) = core::mem::replace(&mut server.now, Busy::Ready) else {
            unreachable!("it is matched above")
        };
        server.progress = true;
        match (answer, last_words) {
            (Ok(maildrop), _) => server.opened(verb, maildrop),
            (Err(why), None) => server.login_failed(verb, &why),
            (Err(why), Some(words)) => server.challenge(&words, Busy::Refused(why)),
        }
        Ok(())
    }

    fn decline(server: &mut Server, pending: Pending<Self>) -> Result<(), Stale> {
        Self::settle(server, pending, Err(Refusal::from(Denied::Temporary)))
    }
}

impl sealed::Settle for ask::Scram {
    fn settle(server: &mut Server, pending: Pending<Self>, answer: Result<ScramAnswer, Refusal>) -> Result<(), Stale> {
        let number = server.link.redeem(&pending)?;
        if !matches!(server.now, Busy::Scram(question, _) if question == number) {
            return Err(Stale);
        }
        let Busy::Scram(_, query) = core::mem::replace(&mut server.now, Busy::Ready) else {
            unreachable!("it is matched above")
        };
        server.progress = true;
        match answer {
            Ok(answer) => server.exchange(query.answer(answer)),
            Err(why) => server.login_failed(Verb::Auth, &why),
        }
        Ok(())
    }

    fn decline(server: &mut Server, pending: Pending<Self>) -> Result<(), Stale> {
        Self::settle(server, pending, Err(Refusal::from(Denied::Temporary)))
    }
}

impl sealed::Settle for ask::Challenge {
    fn settle(
        server: &mut Server,
        pending: Pending<Self>,
        answer: Result<ApopChallenge, Refusal>,
    ) -> Result<(), Stale> {
        let number = server.link.redeem(&pending)?;
        if !matches!(server.now, Busy::Challenge(question, _) if question == number) {
            return Err(Stale);
        }
        let Busy::Challenge(_, query) = core::mem::replace(&mut server.now, Busy::Ready) else {
            unreachable!("it is matched above")
        };
        server.progress = true;
        match answer {
            Ok(challenge) => server.exchange(Ok(query.answer(challenge))),
            Err(why) => server.login_failed(Verb::Auth, &why),
        }
        Ok(())
    }

    fn decline(server: &mut Server, pending: Pending<Self>) -> Result<(), Stale> {
        Self::settle(server, pending, Err(Refusal::from(Denied::Temporary)))
    }
}

impl sealed::Settle for ask::Retrieve {
    fn settle(server: &mut Server, pending: Pending<Self>, answer: Result<(), Refusal>) -> Result<(), Stale> {
        let number = server.link.redeem(&pending)?;
        if !matches!(&server.now, Busy::Retrieving(retrieval) if retrieval.question == number) {
            return Err(Stale);
        }
        let Busy::Retrieving(retrieval) = core::mem::replace(&mut server.now, Busy::Ready) else {
            unreachable!("it is matched above")
        };
        server.progress = true;
        server.retrieved(retrieval, answer)
    }

    fn decline(server: &mut Server, pending: Pending<Self>) -> Result<(), Stale> {
        Self::settle(server, pending, Err(Refusal::temporary(Text::literal("the message cannot be read now"))))
    }
}

impl sealed::Settle for ask::Commit {
    fn settle(server: &mut Server, pending: Pending<Self>, answer: Result<(), Refusal>) -> Result<(), Stale> {
        let number = server.link.redeem(&pending)?;
        if !matches!(server.now, Busy::Committing(question) if question == number) {
            return Err(Stale);
        }
        server.now = Busy::Ready;
        match answer {
            Ok(()) => server.goodbye(),
            Err(why) => server.not_committed(&why),
        }
        Ok(())
    }

    fn decline(server: &mut Server, pending: Pending<Self>) -> Result<(), Stale> {
        let why = Text::literal("some deleted messages not removed");
        Self::settle(server, pending, Err(Refusal::temporary(why)))
    }
}
