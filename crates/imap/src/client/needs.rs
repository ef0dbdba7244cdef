//! Which extension a command needs.

use crate::wire::{Capability, Command};

/// The extension that a command belongs to.
pub(super) fn required(command: &Command) -> Option<Capability> {
    match command {
        Command::Enable(_) => Some(Capability::Enable),
        Command::Id(_) => Some(Capability::Id),
        Command::Namespace => Some(Capability::Namespace),
        Command::Unselect => Some(Capability::Unselect),
        Command::Expunge(Some(_)) => Some(Capability::UidPlus),
        Command::Move { .. } => Some(Capability::Move),
        Command::Create { special_use, .. } if !special_use.is_empty() => Some(Capability::CreateSpecialUse),
        Command::Select { params, .. } if params.qresync.is_some() => Some(Capability::QResync),
        Command::Select { params, .. } if params.condstore => Some(Capability::CondStore),
        Command::Fetch(fetch) if fetch.vanished => Some(Capability::QResync),
        Command::Fetch(fetch) if fetch.changed_since.is_some() => Some(Capability::CondStore),
        Command::Store(store) if store.unchanged_since.is_some() => Some(Capability::CondStore),
        Command::Search(search) if search.returns.is_some() => Some(Capability::Esearch),
        Command::List(list) if !list.returns.status.is_empty() => Some(Capability::ListStatus),
        Command::List(list) if list.select.special_use || list.returns.special_use => Some(Capability::SpecialUse),
        Command::List(list) if list.extended => Some(Capability::ListExtended),
        Command::Capability | Command::Noop | Command::Logout | Command::StartTls | Command::Authenticate(_) => None,
        Command::Login { .. } | Command::Select { .. } | Command::Create { .. } | Command::Delete(_) => None,
        Command::Rename { .. } | Command::Subscribe(_) | Command::Unsubscribe(_) | Command::List(_) => None,
        Command::Lsub { .. } | Command::Status { .. } | Command::Append(_) | Command::Idle | Command::Check => None,
        Command::Close | Command::Expunge(None) | Command::Search(_) | Command::Fetch(_) | Command::Store(_) => None,
        Command::Copy { .. } | Command::Other { .. } => None,
    }
}

/// Whether IMAP4rev2 has it without naming it (RFC 9051, appendix E).
pub(super) fn is_in_rev2(capability: &Capability) -> bool {
    matches!(
        capability,
        Capability::Namespace
            | Capability::Unselect
            | Capability::UidPlus
            | Capability::Esearch
            | Capability::SearchRes
            | Capability::Enable
            | Capability::Idle
            | Capability::SaslIr
            | Capability::ListExtended
            | Capability::ListStatus
            | Capability::Move
            | Capability::LiteralMinus
            | Capability::Children
    )
}
