//! Between bytes and types: pure functions over complete lines.

mod capability;
mod command;
mod language;
mod listing;
mod number;
mod reply;
mod url;

pub use capability::{Capabilities, Expire, LoginDelay};
pub use command::{Command, CommandError, Verb};
pub use language::{LanguageRange, language_listing};
pub use listing::{
    MessageMeta, UniqueId, UniqueIdError, UniqueIdRef, UniqueIds, drop_listing, scan_listing, unique_id_listing,
};
pub(crate) use listing::{scan_listings, scan_unique_ids};
pub use reply::{Refusal, ResponseCode, StatusLine};
pub use url::{PopUrl, PopUrlError, UrlLogin};
