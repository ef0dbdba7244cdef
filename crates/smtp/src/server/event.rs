//! What a server session reports and asks.

use crate::address::{ForwardPath, HelloName, ReversePath};
use crate::outcome::{Accepted, Delivered, Refusal};
use crate::wire::{EtrnTarget, MailParams, RcptParams, Url};
use alloc::boxed::Box;
use alloc::string::String;
use bytes::Bytes;
use postrider_core::{Closed, Pending, Question, Text};
use postrider_sasl::{ApopChallenge, Attempt, Identity, ScramAnswer, ScramHash};

/// What a server session reports and asks.
///
/// Questions that are off by default ([`ask_hello`](super::Config::ask_hello),
/// [`ask_verify`](super::Config::ask_verify)) come only if switched on; give events you do not know to
/// [`Server::decline`](super::Server::decline).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The client introduces itself. Only with [`Config::ask_hello`](super::Config::ask_hello).
    Hello {
        /// Yes lets it go on.
        answer: Pending<ask::Hello>,
        /// What it calls itself.
        name: HelloName,
    },
    /// The client wants to log in.
    Auth {
        /// Yes says who it is.
        answer: Pending<ask::Auth>,
        /// Who it claims to be, and what it shows for it.
        attempt: Attempt,
    },
    /// The client logs in with SCRAM: what is kept of this user's password? Only if SCRAM is among the
    /// [mechanisms](super::Config::auth). If the client proves that it knows the password, [`Event::Auth`] follows.
    Scram {
        /// Yes brings the credentials, for a user there is not
        /// [`ScramCredentials::for_nobody`](postrider_sasl::ScramCredentials::for_nobody).
        answer: Pending<ask::Scram>,
        /// Who it claims to be. Not empty, no NUL.
        user: String,
        /// The hash function that the credentials must be for.
        hash: ScramHash,
    },
    /// The client logs in with CRAM-MD5. Only if that is among the [mechanisms](super::Config::auth).
    Challenge {
        /// Yes brings a timestamp that was never used before.
        answer: Pending<ask::Challenge>,
    },
    /// A transaction begins.
    Mail {
        /// Yes begins it.
        answer: Pending<ask::Mail>,
        /// Where reports go.
        from: ReversePath,
        /// What else MAIL says.
        params: MailParams,
    },
    /// A recipient. Several may be undecided at once: [`Config::undecided`](super::Config::undecided).
    Rcpt {
        /// Yes takes the recipient.
        answer: Pending<ask::Rcpt>,
        /// Whom the message is for.
        to: ForwardPath,
        /// What else RCPT says.
        params: RcptParams,
    },
    /// The client is ready to send.
    Data {
        /// Yes invites it (354); No ends the transaction.
        answer: Pending<ask::Data>,
    },
    /// Part of the message, without the dots that were added for the way.
    Body(Bytes),
    /// All of the message was reported.
    Message {
        /// Yes takes responsibility for it (RFC 5321, 6.1). If the answer comes too late
        /// ([`Stale`](postrider_core::Stale)) the client was
        /// told 451 and will send it again.
        answer: Pending<ask::Message>,
        /// Its size in octets, as reported by [`Event::Body`].
        size: u64,
    },
    /// Discard what this transaction collected: RSET, a new greeting, a message that was bad, a lost connection.
    Reset,
    /// Is there such a user? Only with [`Config::ask_verify`](super::Config::ask_verify).
    Verify {
        /// The text of a Yes should be the user's full name and mailbox. With UTF-8 in it, a client that did not say
        /// SMTPUTF8 with VRFY is told 252 instead (RFC 6531, 3.7.4.2).
        answer: Pending<ask::Verify>,
        /// What the client asks about.
        what: Text,
    },
    /// Who is on this list? Only with [`Config::ask_expand`](super::Config::ask_expand). Whom it is told to is for the
    /// application to decide: lists are harvested (RFC 5321, 7.3).
    Expand {
        /// A Yes names a member in each line ([`Accepted::and_line`]); without a text of the application's own it is 252.
        /// With UTF-8 in it, a client that did not say SMTPUTF8 with EXPN is told 252 instead (RFC 6531, 3.7.4.2).
        answer: Pending<ask::Expand>,
        /// What the client asks about.
        what: Text,
    },
    /// The client asks that what waits for a host be sent (RFC 1985). Only with [`Config::etrn`](super::Config::etrn).
    Etrn {
        /// Yes sends it; its code may be 251 if nothing waits, 252 or 253 if something does. No is 458 if it cannot be
        /// done, 459 if this client may not ask for it.
        answer: Pending<ask::Etrn>,
        /// For whom it waits.
        target: EtrnTarget,
    },
    /// Part of the message is to be fetched (RFC 4468). Only with [`Config::burl`](super::Config::burl).
    Burl {
        /// Yes has fetched it and put it after what came before; it is not in [`Event::Body`], nor counted. More may
        /// follow, also as [`Event::Body`] without [`Event::Data`]. No ends the transaction.
        answer: Pending<ask::Burl>,
        /// From where. It may hold the key to what it names.
        url: Url,
        /// Whether it is the last part: [`Event::Message`] follows.
        last: bool,
    },
    /// The session is over. Always the last event.
    Closed(Closed),
}

/// The questions of a server session.
pub mod ask {
    use super::{Accepted, ApopChallenge, Delivered, Identity, Question, Refusal, ScramAnswer, Verdict};

    /// A question that [`Server::answer`](crate::Server::answer) takes an answer to.
    pub trait Ask: Question + sealed::Sealed {
        #[doc(hidden)]
        fn verdict(answer: Result<Self::Yes, Self::No>) -> Verdict;
    }

    mod sealed {
        pub trait Sealed {}
    }

    macro_rules! questions {
        ($($(#[$doc:meta])* $name:ident: $yes:ty => $verdict:ident;)*) => {$(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}
            impl Question for $name {
                type Yes = $yes;
                type No = Refusal;
            }
            impl sealed::Sealed for $name {}
            impl Ask for $name {
                fn verdict(answer: Result<$yes, Refusal>) -> Verdict {
                    Verdict::$verdict(answer.map(Into::into))
                }
            }
        )*};
    }
    questions! {
        /// May the client go on under this name?
        Hello: Accepted => Plain;
        /// Who is it?
        Auth: Identity => Auth;
        /// What is kept of the user's password?
        Scram: ScramAnswer => Scram;
        /// Which timestamp was never used before?
        Challenge: ApopChallenge => Challenge;
        /// May it send from here?
        Mail: Accepted => Plain;
        /// Is mail taken for this recipient?
        Rcpt: Accepted => Plain;
        /// May the message come?
        Data: Accepted => Plain;
        /// Is the message taken?
        Message: Delivered => Message;
        /// Is there such a user?
        Verify: Accepted => Plain;
        /// Who is on this list?
        Expand: Accepted => Plain;
        /// Is what waits sent?
        Etrn: Accepted => Plain;
        /// Was it fetched?
        Burl: () => Fetched;
    }
}

/// An answer as it waits for its turn.
#[doc(hidden)]
#[derive(Debug)]
pub enum Verdict {
    /// To most questions.
    Plain(Result<Accepted, Refusal>),
    /// To a login.
    Auth(Result<Identity, Refusal>),
    /// To SCRAM's question.
    Scram(Result<Box<ScramAnswer>, Refusal>),
    /// To CRAM-MD5's question.
    Challenge(Result<ApopChallenge, Refusal>),
    /// To BURL.
    Fetched(Result<(), Refusal>),
    /// To a message.
    Message(Result<Delivered, Refusal>),
}
