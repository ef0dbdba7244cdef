//! `list`

use postrider_imap::client::Gather;
use postrider_imap::wire::{Command, Fetch, SequenceSet};

use crate::cli::{self, Connection};
use crate::fault::Fault;
use crate::imap::Imap;
use crate::show::Out;
use crate::summary::Summary;

/// Octets kept of one subject or list of addresses.
pub(crate) const FIELD: usize = 64 * 1024;

pub(crate) async fn run(connection: &Connection, list: &cli::List, out: &mut Out) -> Result<(), Fault> {
    let mut imap = Imap::open(connection).await?;
    let exists = imap.select(&list.mailbox, true).await?;
    if exists > 0 {
        let first = if list.limit == 0 { 1 } else { exists.saturating_sub(list.limit - 1).max(1) };
        summaries(&mut imap, false, SequenceSet::range(first, None), |summary| {
            if out.is_json() { out.object(&summary) } else { out.line(&summary.row()) }
        })
        .await?;
        if first > 1 && !out.is_json() {
            out.flush()?;
            eprintln!("{} older messages are not shown: use --limit 0 for all", first - 1);
        }
    }
    out.flush()?;
    imap.log_out().await;
    Ok(())
}

/// Fetches what a list shows of messages, and hands on each as it comes.
pub(crate) async fn summaries(
    imap: &mut Imap,
    uid: bool,
    messages: SequenceSet,
    mut on: impl FnMut(Summary) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let fetch = Fetch { uid, messages, attributes: Summary::attributes(), changed_since: None, vanished: false };
    let mut gather = Gather::new(FIELD);
    let status = imap
        .run(Command::Fetch(fetch), |event| match gather.take(event) {
            Ok(Some(fetched)) => match Summary::new(&fetched) {
                // Without, it only says that flags have changed.
                Some(summary) if fetched.envelope.is_some() => on(summary),
                Some(_) | None => Ok(()),
            },
            Ok(None) | Err(_) => Ok(()),
        })
        .await?;
    imap.expect("does not list the messages", &status)
}
