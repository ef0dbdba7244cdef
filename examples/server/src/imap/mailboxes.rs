//! LIST, STATUS, and what makes, renames and removes mailboxes.

use super::convert::{name, refusal};
use crate::server::{Store, now};
use postrider_imap::server::{ListRequest, Listed, MailboxOp, Refusal};
use postrider_imap::wire::{Atom, ListEntry, Mailbox, MailboxAttribute, MailboxStatus, StatusItem, StatusItems};
use postrider_store::{self as store, AccountId, Engine, Error, MailboxName, Op};
use std::collections::{BTreeMap, BTreeSet};

/// The one delimiter of the hierarchy.
const DELIMITER: char = '/';

/// What may be at a name.
#[derive(Default)]
struct Place {
    mailbox: Option<store::Mailbox>,
    subscribed: bool,
}

/// The parts of the answer to LIST, by name.
pub async fn list(store: &Store, account: AccountId, request: &ListRequest) -> Result<Vec<Listed>, Error> {
    let mut places: BTreeMap<MailboxName, Place> = BTreeMap::new();
    for mailbox in store.mailboxes(account).await? {
        let name = mailbox.name.clone();
        places.entry(name).or_default().mailbox = Some(mailbox);
    }
    for name in store.subscriptions(account).await? {
        places.entry(name).or_default().subscribed = true;
    }
    // Names that exist only because something is below them.
    let below: Vec<MailboxName> = places.keys().cloned().collect();
    let parents: BTreeSet<MailboxName> = below
        .iter()
        .filter(|name| places[*name].mailbox.is_some())
        .flat_map(|name| std::iter::successors(name.parent(), MailboxName::parent))
        .collect();
    let subscribed_below: BTreeSet<MailboxName> = below
        .iter()
        .filter(|name| places[*name].subscribed)
        .flat_map(|name| std::iter::successors(name.parent(), MailboxName::parent))
        .collect();
    for parent in parents.iter().chain(&subscribed_below) {
        places.entry(parent.clone()).or_default();
    }
    let mut listed = Vec::new();
    for (name, place) in &places {
        let Ok(mailbox) = Mailbox::new(name.as_str()) else { continue };
        if !request.matches(&mailbox, Some(DELIMITER)) {
            continue;
        }
        let special_use = place.mailbox.as_ref().and_then(|mailbox| mailbox.special_use.as_deref());
        let child_info = request.select.recursive_match && subscribed_below.contains(name);
        let wanted = if request.select.subscribed {
            place.subscribed || child_info
        } else if request.select.special_use {
            special_use.is_some()
        } else {
            place.mailbox.is_some() || parents.contains(name)
        };
        if !wanted {
            continue;
        }
        let mut attributes = Vec::new();
        if place.mailbox.is_none() {
            attributes.push(MailboxAttribute::NonExistent);
        }
        // RFC 5258, 4 and RFC 6154, 2 let both be said without being asked for, and some clients only look.
        attributes.push(match parents.contains(name) {
            true => MailboxAttribute::HasChildren,
            false => MailboxAttribute::HasNoChildren,
        });
        if place.subscribed && (request.returns.subscribed || request.select.subscribed) {
            attributes.push(MailboxAttribute::Subscribed);
        }
        if let Some(Ok(atom)) = special_use.map(|special_use| Atom::new(special_use.trim_start_matches('\\'))) {
            attributes.push(MailboxAttribute::new(atom));
        }
        let entry = ListEntry {
            attributes,
            delimiter: Some(DELIMITER),
            mailbox: Some(mailbox.clone()),
            child_info: if child_info { Atom::new("SUBSCRIBED").into_iter().collect() } else { Vec::new() },
            old_name: None,
        };
        listed.push(Listed::Entry(entry));
        if let (false, Some(found)) = (request.returns.status.is_empty(), &place.mailbox) {
            listed.push(Listed::Status(figures(mailbox, found, request.returns.status)));
        }
    }
    Ok(listed)
}

/// The figures of one mailbox.
pub async fn status(
    store: &Store,
    account: AccountId,
    mailbox: &Mailbox,
    items: StatusItems,
) -> Result<MailboxStatus, Refusal> {
    let found = store.mailbox(account, &name(mailbox)?).await.map_err(|error| refusal(&error))?;
    Ok(figures(mailbox.clone(), &found, items))
}

fn figures(mailbox: Mailbox, found: &store::Mailbox, items: StatusItems) -> MailboxStatus {
    let mut status = MailboxStatus::new(mailbox);
    for item in items.iter() {
        match item {
            StatusItem::Messages => status.messages = Some(found.messages),
            StatusItem::Recent => status.recent = Some(0),
            StatusItem::UidNext => status.uid_next = Some(found.uidnext),
            StatusItem::UidValidity => status.uid_validity = Some(found.uidvalidity),
            StatusItem::Unseen => status.unseen = Some(found.unseen),
            StatusItem::Deleted => status.deleted = Some(found.deleted),
            StatusItem::Size => status.size = Some(found.size),
            StatusItem::HighestModSeq => status.highest_modseq = Some(found.highest_modseq),
            _ => {}
        }
    }
    status
}

/// Makes, removes and renames mailboxes and subscriptions.
pub async fn manage(store: &Store, account: AccountId, op: MailboxOp) -> Result<(), Refusal> {
    let ops = match op {
        MailboxOp::Create { mailbox, special_use } => {
            let special_use = match &special_use[..] {
                [] => None,
                [one] => Some(format!("\\{}", one.name().trim_start_matches('\\'))),
                _ => return Err(Refusal::cannot("A mailbox has one special use at most")),
            };
            let wanted = name(&mailbox)?;
            let existing: BTreeSet<MailboxName> = match store.mailboxes(account).await {
                Ok(mailboxes) => mailboxes.into_iter().map(|mailbox| mailbox.name).collect(),
                Err(error) => return Err(refusal(&error)),
            };
            let mut missing: Vec<MailboxName> = std::iter::successors(wanted.parent(), MailboxName::parent)
                .filter(|parent| !existing.contains(parent))
                .collect();
            missing.reverse();
            let superior = missing.into_iter().map(|name| Op::CreateMailbox { account, name, special_use: None });
            let mut ops: Vec<Op> = superior.collect();
            ops.push(Op::CreateMailbox { account, name: wanted, special_use });
            ops
        }
        MailboxOp::Delete(mailbox) => {
            let found = store.mailbox(account, &name(&mailbox)?).await.map_err(|error| refusal(&error))?;
            vec![Op::DeleteMailbox { account, mailbox: found.id }]
        }
        MailboxOp::Rename { from, to } => {
            vec![Op::RenameMailbox { account, from: name(&from)?, to: name(&to)?, saved: now() }]
        }
        MailboxOp::Subscribe(mailbox) => vec![Op::Subscribe { account, name: name(&mailbox)?, on: true }],
        MailboxOp::Unsubscribe(mailbox) => vec![Op::Subscribe { account, name: name(&mailbox)?, on: false }],
        _ => return Err(Refusal::cannot("Not supported")),
    };
    store.commit(ops).await.map(drop).map_err(|error| refusal(&error))
}
