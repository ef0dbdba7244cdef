//! Between bytes and types: pure functions over complete lines.

mod capability;
mod command;
mod listing;
mod number;
mod reply;

pub use capability::{Capabilities, Expire, LoginDelay};
pub use command::{Command, CommandError, Verb};
pub use listing::{MessageMeta, UniqueId, UniqueIdError, drop_listing, scan_listing, unique_id_listing};
pub use reply::{Refusal, ResponseCode, StatusLine};
