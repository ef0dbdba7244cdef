//! What a client reports and asks.

use bytes::Bytes;
use postrider_core::{Closed, Misuse, Pending};

use crate::wire::{Data, FetchItem, Section, Status};

/// A command of this session's, by the order in which it was given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CommandId(pub(super) u64);

/// What a client reports and asks.
///
/// The data of a FETCH come as [`Event::FetchStart`], items, [`Event::FetchEnd`]; [`Gather`](super::Gather) puts them
/// together for those who want whole messages.
///
/// Whatever comes before [`Client::security`](super::Client::security) says TLS may come from anybody on the path:
/// show no alert and follow no referral of that time.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server's first words: OK, PREAUTH, or BYE and then the end.
    Greeting(Status),
    /// The capabilities are known: [`Client::capabilities`](super::Client::capabilities). Comes after the greeting,
    /// and again after TLS and after login, since nothing of what was said before holds then.
    Ready,
    /// Any untagged response but FETCH, asked for or not.
    Data(Data),
    /// A FETCH response begins.
    FetchStart {
        /// The sequence number. Zero from some servers, and then it is no message.
        number: u32,
    },
    /// One of its items.
    FetchItem(FetchItem),
    /// A large item begins.
    BodyStart {
        /// Which octets of the message.
        section: Section,
        /// BINARY, not BODY: without their transfer encoding.
        binary: bool,
        /// Where the window begins, if only some was asked for.
        origin: Option<u64>,
        /// How many octets follow.
        size: u64,
    },
    /// Some of its octets.
    Body(Bytes),
    /// All of them were reported.
    BodyEnd,
    /// The FETCH response ends.
    FetchEnd,
    /// The server wants the message of an APPEND: give it with [`Client::write`](super::Client::write).
    LiteralWanted {
        /// The command.
        of: CommandId,
        /// To be used for writing.
        literal: Pending<super::ask::Literal>,
    },
    /// IDLE has begun: the server reports changes until [`Client::done`](super::Client::done).
    Idling(CommandId),
    /// A command is done.
    Completed {
        /// Which.
        of: CommandId,
        /// How it went.
        status: Status,
    },
    /// A command was not sent: one before it did not go as expected, or it was taken back.
    NotSent {
        /// Which.
        of: CommandId,
        /// Why.
        why: Misuse,
    },
    /// The end. What became of commands not completed is not known.
    Closed(Closed),
}
