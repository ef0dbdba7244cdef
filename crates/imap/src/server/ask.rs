//! The questions, and what each may be answered with.

use super::answer::{AppendedAt, Copied, Expunged, FetchPart, Found, Listed, Refusal, Selected, StoreDone, Stored};
use super::{RespondError, Server};
use crate::wire::MailboxStatus;
use postrider_core::{Question, Stale};
use postrider_sasl::{ApopChallenge, Denied, Identity, ScramAnswer};

/// A question that a [`Server`] asks.
pub trait Ask: Question + Sized {
    #[doc(hidden)]
    fn settle(server: &mut Server, number: u64, answer: Result<Self::Yes, Self::No>) -> Result<(), Stale>;
}

/// A question whose answer is preceded by data, one part at a time.
pub trait Streams: Ask {
    /// One part of the data.
    type Part;
    #[doc(hidden)]
    fn add(server: &mut Server, number: u64, part: Self::Part) -> Result<(), RespondError>;
}

macro_rules! questions {
    ($($(#[$doc:meta])* $name:ident => $yes:ty, $no:ty, $settle:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}

            impl Question for $name {
                type Yes = $yes;
                type No = $no;
            }

            impl Ask for $name {
                fn settle(server: &mut Server, number: u64, answer: Result<$yes, $no>) -> Result<(), Stale> {
                    server.$settle(number, answer)
                }
            }
        )*
    };
}

questions! {
    /// Are they who they claim to be?
    Auth => Identity, Denied, settle_auth;
    /// What is kept of the user's password?
    Scram => ScramAnswer, Denied, settle_scram;
    /// Which timestamp was never used before?
    Challenge => ApopChallenge, Denied, settle_challenge;
    /// What is in the mailbox?
    Select => Selected, Refusal, settle_select;
    /// Which mailboxes are there? Streams [`Listed`].
    List => (), Refusal, settle_plain;
    /// What are the mailbox's figures?
    Status => MailboxStatus, Refusal, settle_status;
    /// Was it done?
    Manage => (), Refusal, settle_plain;
    /// May the message come?
    Append => (), Refusal, settle_append;
    /// Was the message stored? `Some` says where, if the user may know (RFC 4315, 3).
    Appended => Option<AppendedAt>, Refusal, settle_appended;
    /// What is in the messages? Streams [`FetchPart`].
    Fetch => (), Refusal, settle_fetch;
    /// What are the flags now? Streams [`Stored`].
    Store => StoreDone, Refusal, settle_store;
    /// Which messages were found?
    Search => Found, Refusal, settle_search;
    /// Which messages were copied?
    Copy => Copied, Refusal, settle_copy;
    /// Which messages were removed?
    Expunge => Expunged, Refusal, settle_expunge;
}

macro_rules! streams {
    ($($name:ident => $part:ty, $add:ident;)*) => {
        $(
            impl Streams for $name {
                type Part = $part;

                fn add(server: &mut Server, number: u64, part: $part) -> Result<(), RespondError> {
                    server.$add(number, part)
                }
            }
        )*
    };
}

streams! {
    List => Listed, add_listed;
    Fetch => FetchPart, add_fetched;
    Store => Stored, add_stored;
}
