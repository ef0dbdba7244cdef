//! What a sender is told of a message that could not be delivered, or is late.

use crate::delivery::{Accepted, Transaction, enqueue};
use crate::journal::Note;
use crate::queue::{self, unix_time};
use crate::relay;
use crate::server::{Shared, now};
use postrider_core::Instant;
use postrider_mta::Name;
use postrider_mta::dsn::{Original, RecipientReport, Report};
use postrider_smtp::{Envelope, Recipient};
use postrider_store::{Append, Body, BodyWrite, Engine, Error, Flags, MailboxId, Op, QueueEntry};
use std::time::Duration;

/// Octets of the message that are read for its header.
const HEADER: usize = 16 * 1024;

/// The operations that bring a report about `recipients` to the sender: none if nobody is to be told.
pub async fn ops(
    shared: &Shared,
    entry: &QueueEntry,
    stored: &queue::Envelope,
    envelope: &Envelope,
    recipients: Vec<RecipientReport>,
) -> Result<Vec<Op>, Error> {
    // Nothing that could fail may stand between a delivery and its being written down.
    if recipients.is_empty() {
        return Ok(Vec::new());
    }
    let reporting = Name::new(&shared.settings.hostname).unwrap_or_else(|_| Name::root());
    let about = format!("{:?}", recipients[0].action).to_ascii_lowercase();
    let id = format!("{}-{}-{}-{about}", stored.id, entry.id.0, entry.attempts);
    let Some(mut report) = Report::new(&envelope.from, reporting, &id, unix_time()) else { return Ok(Vec::new()) };
    report.arrived = Some(Instant::after_origin(Duration::from_millis(stored.arrived.unsigned_abs())));
    report.envelope_id = envelope.params.envelope_id.clone();
    report.recipients = recipients;
    // A report without the header is better than none.
    let header = shared.store.read(&Body::from(entry.body), 0, HEADER).await.unwrap_or_default();
    let Some(written) = report.write(Original::Header(&header)) else { return Ok(Vec::new()) };

    let sender = &report.to;
    let host = sender.host_str().to_ascii_lowercase();
    let ours = shared.directory.is_ours(&host);
    let mailbox = match ours {
        true => shared.directory.mailbox(&sender.unquoted_local_part(), &host).await?,
        false => None,
    };
    let mut writer = shared.store.body();
    if mailbox.is_some() {
        writer.write(b"Return-Path: <>\r\n").await?;
    }
    writer.write(&written.octets).await?;
    let body = writer.finish().await?;
    match (mailbox, ours) {
        (Some(mailbox), _) => {
            shared.journal.note(Note::Delivered { id, mailbox: mailbox.address });
            let cache = relay::scan(&shared.store, &body).await?;
            Ok(vec![Op::Append(Append {
                account: mailbox.account,
                mailbox: MailboxId::INBOX,
                body,
                flags: Flags::NONE,
                internal_date: now(),
                saved: now(),
                cache,
            })])
        }
        // A sender in our own domain who does not exist: there is nobody to tell.
        (None, true) => Ok(Vec::new()),
        (None, false) => {
            shared.journal.note(Note::Queued { id: id.clone(), destination: host });
            let recipient = Recipient { to: sender.clone().into(), params: Default::default() };
            let transaction = Transaction {
                id,
                from: written.envelope.from,
                params: written.envelope.params,
                recipients: vec![Accepted { recipient, mailbox: None }],
            };
            Ok(enqueue(&transaction, |_| true, &body))
        }
    }
}
