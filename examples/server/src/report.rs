//! What a sender is told of a message: that it could not be delivered, is late, or, if that was asked for, is there.

use crate::delivery::{Accepted, Transaction, enqueue};
use crate::journal::Note;
use crate::queue::unix_time;
use crate::relay;
use crate::server::{Shared, now};
use postrider_core::Instant;
use postrider_mta::Name;
use postrider_mta::dsn::{Original, RecipientReport, Report};
use postrider_smtp::wire::MailParams;
use postrider_smtp::{Recipient, ReversePath};
use postrider_store::{Append, Body, BodyWrite, Engine, Error, Flags, MailboxId, Op, UnixMillis};
use std::time::Duration;

/// Octets of the message that are read for its header.
const HEADER: usize = 16 * 1024;

/// The message that a report is about.
pub struct About<'a> {
    /// A name for the report: the message's, and what tells its reports apart.
    pub id: String,
    /// Who is told.
    pub from: &'a ReversePath,
    /// What else MAIL said.
    pub params: &'a MailParams,
    /// When it came.
    pub arrived: UnixMillis,
    /// The message.
    pub body: &'a Body,
}

/// The operations that bring a report about `recipients` to the sender: none if nobody is to be told.
pub async fn ops(shared: &Shared, about: &About<'_>, recipients: Vec<RecipientReport>) -> Result<Vec<Op>, Error> {
    // Nothing that could fail may stand between a delivery and its being written down.
    if recipients.is_empty() {
        return Ok(Vec::new());
    }
    let reporting = Name::new(&shared.settings.hostname).unwrap_or_else(|_| Name::root());
    let id = format!("{}-{:?}", about.id, recipients[0].action).to_ascii_lowercase();
    let Some(mut report) = Report::new(about.from, reporting, &id, unix_time()) else { return Ok(Vec::new()) };
    report.arrived = Some(Instant::after_origin(Duration::from_millis(about.arrived.0.unsigned_abs())));
    report.envelope_id = about.params.envelope_id.clone();
    report.recipients = recipients;
    // A report without the header is better than none.
    let header = shared.store.read(about.body, 0, HEADER).await.unwrap_or_default();
    //= 8689-5-2
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
                arrived: now(),
                release: None,
            };
            Ok(enqueue(&transaction, |_| true, &body))
        }
    }
}
