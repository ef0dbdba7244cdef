//! Between what stands on the wire and what is stored.

use postrider_imap::server::Refusal;
use postrider_imap::wire::{self, Code, Flag, Mailbox};
use postrider_store::{Error, Flags, MailboxName, UidSet, What};

/// A mailbox's name in the store.
pub fn name(mailbox: &Mailbox) -> Result<MailboxName, Refusal> {
    MailboxName::new(&mailbox.name()).map_err(|_| Refusal::cannot("No mailbox can have that name"))
}

/// UIDs for the store.
pub fn to_store(uids: &wire::UidSet) -> UidSet {
    UidSet::from_ranges(uids.ranges().iter().map(|&(low, high)| low..=high))
}

/// UIDs for the wire.
pub fn to_wire(uids: &UidSet) -> wire::UidSet {
    let mut set = wire::UidSet::EMPTY;
    for range in uids.ranges() {
        set.push_range(*range.start(), *range.end());
    }
    set
}

/// Flags for the wire.
pub fn flags_from_store(flags: &Flags) -> wire::Flags {
    flags.names().filter_map(Flag::new).collect()
}

/// Flags for the store. `\Recent` is nobody's to set, and dropped.
pub fn flags_to_store(flags: &wire::Flags) -> Result<Flags, Refusal> {
    let names: Vec<String> = flags.iter().filter(|flag| !flag.is_servers()).map(ToString::to_string).collect();
    Flags::parse(names.iter().map(String::as_str))
        .map_err(|_| Refusal::with(Code::Limit, "Too many or too long keywords"))
}

/// What the client is told of an error.
pub fn refusal(error: &Error) -> Refusal {
    match error {
        Error::NotFound(What::Mailbox) => Refusal::no_such_mailbox(),
        Error::Exists(_) => Refusal::already_exists(),
        Error::QuotaExceeded { .. } => Refusal::over_quota(),
        error => {
            tracing::error!(%error, "the store failed");
            Refusal::unavailable()
        }
    }
}
