//! The questions, and what each may be answered with.

use super::answer::{AppendedAt, Copied, Expunged, FetchPart, Found, Listed, Refusal, Selected, StoreDone, Stored};
use crate::wire::MailboxStatus;
use postrider_core::Question;
use postrider_sasl::{Denied, Identity};

/// A question whose answer is preceded by data, one part at a time.
pub trait Streams: Question {
    /// One part of the data.
    type Part;
}

macro_rules! questions {
    ($($(#[$doc:meta])* $name:ident => $yes:ty, $no:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}

            impl Question for $name {
                type Yes = $yes;
                type No = $no;
            }
        )*
    };
}

questions! {
    /// Are they who they claim to be?
    Auth => Identity, Denied;
    /// What is in the mailbox?
    Select => Selected, Refusal;
    /// Which mailboxes are there? Streams [`Listed`].
    List => (), Refusal;
    /// What are the mailbox's figures?
    Status => MailboxStatus, Refusal;
    /// Was it done?
    Manage => (), Refusal;
    /// May the message come?
    Append => (), Refusal;
    /// Was the message stored? `Some` says where, if the user may know (RFC 4315, 3).
    Appended => Option<AppendedAt>, Refusal;
    /// What is in the messages? Streams [`FetchPart`].
    Fetch => (), Refusal;
    /// What are the flags now? Streams [`Stored`].
    Store => StoreDone, Refusal;
    /// Which messages were found?
    Search => Found, Refusal;
    /// Which messages were copied?
    Copy => Copied, Refusal;
    /// Which messages were removed?
    Expunge => Expunged, Refusal;
}

impl Streams for List {
    type Part = Listed;
}

impl Streams for Fetch {
    type Part = FetchPart;
}

impl Streams for Store {
    type Part = Stored;
}
