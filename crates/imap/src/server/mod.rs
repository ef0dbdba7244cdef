//! The server's session.

mod answer;
pub mod ask;
mod config;
mod event;

pub use answer::{
    AppendedAt, Copied, Encoded, Expunged, FetchPart, Found, Listed, LiteralOf, Refusal, Selected, StoreDone, Stored,
};
pub use config::{Config, Limits};
pub use event::{Change, Event, ListRequest, MailboxOp};
