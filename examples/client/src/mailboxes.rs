//! `mailboxes`

use postrider_imap::client::Event;
use postrider_imap::wire::{
    Command, Data, List, ListEntry, ListPattern, ListReturn, ListSelect, MailboxAttribute, MailboxStatus, StatusItem,
    StatusItems,
};
use serde::Serialize;

use crate::cli::{self, Connection};
use crate::fault::Fault;
use crate::imap::{Imap, too_many};
use crate::show::Out;

/// A mailbox. The field names are part of the program's interface.
#[derive(Serialize)]
struct Row {
    mailbox: String,
    delimiter: Option<char>,
    attributes: Vec<String>,
    /// Whether it can be opened.
    selectable: bool,
    messages: Option<u32>,
    unseen: Option<u32>,
    uid_validity: Option<u32>,
    uid_next: Option<u32>,
}

/// How many STATUS commands are given at once.
const BATCH: usize = 100;
/// The most mailboxes that are listed.
const MOST: usize = 1_000_000;

pub(crate) async fn run(connection: &Connection, mailboxes: &cli::Mailboxes, out: &mut Out) -> Result<(), Fault> {
    let pattern = ListPattern::new(mailboxes.pattern.as_str())
        .ok_or_else(|| Fault::usage(format!("{:?} cannot be the name of a mailbox", mailboxes.pattern)))?;
    let mut imap = Imap::open(connection).await?;
    let list = List {
        select: ListSelect::default(),
        reference: ListPattern::empty(),
        patterns: vec![pattern],
        returns: ListReturn::default(),
        extended: false,
    };
    let mut found: Vec<ListEntry> = Vec::new();
    let collect = |event| {
        if let Event::Data(Data::List(entry)) = event {
            found.push(entry);
        }
        if found.len() > MOST { Err(too_many("mailboxes", MOST)) } else { Ok(()) }
    };
    let status = imap.run(Command::List(list), collect).await?;
    imap.expect("does not list its mailboxes", &status)?;
    found.sort_by_cached_key(|entry| entry.mailbox.as_ref().map(|name| (!name.is_inbox(), name.name().into_owned())));

    let mut known: Vec<MailboxStatus> = Vec::new();
    if mailboxes.status {
        known = statuses(&mut imap, &found).await?;
    }
    for entry in &found {
        let Some(mailbox) = &entry.mailbox else { continue };
        let status = known.iter().find(|status| status.mailbox == *mailbox);
        let row = Row {
            mailbox: mailbox.name().into_owned(),
            delimiter: entry.delimiter,
            attributes: entry
                .attributes
                .iter()
                .map(|attribute| format!("\\{}", attribute.name().trim_start_matches('\\')))
                .collect(),
            selectable: is_selectable(entry),
            messages: status.and_then(|status| status.messages),
            unseen: status.and_then(|status| status.unseen),
            uid_validity: status.and_then(|status| status.uid_validity),
            uid_next: status.and_then(|status| status.uid_next),
        };
        if out.is_json() {
            out.object(&row)?;
            continue;
        }
        let counts = match (row.messages, row.unseen) {
            (Some(messages), Some(unseen)) => format!("  {messages} messages, {unseen} unseen"),
            _ => String::new(),
        };
        let special: Vec<_> =
            entry.attributes.iter().filter(|a| a.is_special_use()).map(|a| a.name().trim_start_matches('\\')).collect();
        let special = if special.is_empty() { String::new() } else { format!("  ({})", special.join(", ")) };
        let closed = if row.selectable { "" } else { "  (holds no messages)" };
        out.line(&format!("{}{special}{closed}{counts}", row.mailbox))?;
    }
    out.flush()?;
    imap.log_out().await;
    Ok(())
}

fn is_selectable(entry: &ListEntry) -> bool {
    !entry.attributes.iter().any(|a| matches!(a, MailboxAttribute::NoSelect | MailboxAttribute::NonExistent))
}

async fn statuses(imap: &mut Imap, found: &[ListEntry]) -> Result<Vec<MailboxStatus>, Fault> {
    let items = [StatusItem::Messages, StatusItem::Unseen, StatusItem::UidValidity, StatusItem::UidNext];
    let items = items.into_iter().fold(StatusItems::EMPTY, StatusItems::with);
    let mut known = Vec::new();
    let names: Vec<_> = found.iter().filter(|e| is_selectable(e)).filter_map(|e| e.mailbox.clone()).collect();
    for batch in names.chunks(BATCH) {
        let mut asked = Vec::new();
        for mailbox in batch {
            asked.push(imap.give(Command::Status { mailbox: mailbox.clone(), items }).await?);
        }
        // In whatever order they are completed. One that cannot be counted is still listed.
        while !asked.is_empty() {
            match imap.next().await? {
                Event::Data(Data::MailboxStatus(status)) if known.len() < MOST => known.push(status),
                Event::Completed { of, .. } | Event::NotSent { of, .. } => asked.retain(|command| *command != of),
                _ => {}
            }
        }
    }
    Ok(known)
}
