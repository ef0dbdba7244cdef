//! From "the client is sending" to "we are responsible": trace fields, the mailboxes of our own users, and the queue
//! for everybody else, in one sync.

use crate::directory::Mailbox;
use crate::queue;
use crate::report::{self, About};
use crate::server::{Shared, Store, now};
use bytes::Bytes;
use postrider_message::{Limits, Scanner};
use postrider_mta::dsn::{Action, RecipientReport, is_wanted};
use postrider_smtp::address::AddressLiteral;
use postrider_smtp::wire::{EnhancedCode, MailParams};
use postrider_smtp::{Recipient, ReversePath};
use postrider_store::{AccountId, Append, Body, BodyWrite, Engine, Error, Flags, MailboxId, Op, UnixMillis};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Octets of a header that is held back to be mended; what is larger passes as it is. The session's own limit for a
/// header is no higher.
const HEADER: usize = 256 * 1024;
/// Recipients of one queue entry: those of one domain, at most this many (RFC 5321, 4.5.3.1.8).
const RECIPIENTS: usize = 100;

/// A mail transaction as far as it has come.
pub struct Transaction {
    /// Its name in the reply, in `Received` and in the log.
    pub id: String,
    /// Where reports go.
    pub from: ReversePath,
    /// What else MAIL said.
    pub params: MailParams,
    /// Whom it is for, in the order they were accepted.
    pub recipients: Vec<Accepted>,
    /// When it came.
    pub arrived: UnixMillis,
    /// When it may go on, if the sender wants it held until then (RFC 4865).
    pub release: Option<UnixMillis>,
}

/// A recipient we said yes to.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// As RCPT gave it.
    pub recipient: Recipient,
    /// The mailbox, if it is one of ours.
    pub mailbox: Option<Mailbox>,
}

/// How the message came, for its `Received` field (RFC 5321, 4.4).
pub struct Trace<'a> {
    /// What the client called itself.
    pub hello: &'a str,
    /// Where it connected from.
    pub peer: std::net::IpAddr,
    /// `ESMTPSA` and the like (RFC 3848).
    pub with: &'a str,
}

/// What is done to the header of a message from one of our users (RFC 6409, 8).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FixUps {
    /// Nothing: it is somebody else's message.
    None,
    /// `Date` and `Message-ID` are added if missing; `Bcc` is taken out.
    Submission,
}

/// A message that is being received.
pub struct Incoming {
    /// The header until it is complete.
    header: Option<Vec<u8>>,
    fix_ups: FixUps,
    trace: String,
    local: Option<Local>,
    relayed: Option<<Store as Engine>::BodyWriter>,
    /// What went wrong; the rest of the message is then thrown away.
    failed: Option<Error>,
    id: String,
    hostname: String,
}

/// The form of the message that goes into mailboxes.
struct Local {
    writer: <Store as Engine>::BodyWriter,
    scanner: Scanner,
    /// Fields of the final delivery (RFC 5321, 4.4).
    prefix: String,
}

impl Local {
    async fn write(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.scanner.push(octets);
        self.writer.write(octets).await
    }
}

impl Incoming {
    /// Begins to receive the message of `transaction`.
    pub fn begin(shared: &Shared, transaction: &Transaction, trace: &Trace<'_>, fix_ups: FixUps) -> Self {
        let hostname = &shared.settings.hostname;
        //= 5321-4.4-1, 5321-4.4-2
        let mut received = format!(
            "Received: from {} ({})\r\n\tby {hostname} with {} id {}",
            trace.hello,
            AddressLiteral::from_ip(trace.peer),
            trace.with,
            transaction.id
        );
        // Only a single recipient is named: the others are none of its business.
        //= 5321-4.4-3, 5321-7.2-1
        if let [only] = &transaction.recipients[..] {
            let _ = write!(received, "\r\n\tfor <{}>", only.recipient.to.as_str());
        }
        let _ = write!(received, "; {}\r\n", date());
        let ours: Vec<_> = transaction.recipients.iter().filter_map(|accepted| accepted.mailbox.as_ref()).collect();
        let local = (!ours.is_empty()).then(|| {
            //= 5321-4.4-7
            let mut prefix = format!("Return-Path: <{}>\r\n", transaction.from.as_str());
            if let [only] = ours[..] {
                let _ = write!(prefix, "Delivered-To: {}\r\n", only.address);
            }
            Local { writer: shared.store.body(), scanner: Scanner::new(Limits::default()), prefix }
        });
        let relayed = (ours.len() < transaction.recipients.len()).then(|| shared.store.body());
        Self {
            header: Some(Vec::new()),
            fix_ups,
            trace: received,
            local,
            relayed,
            failed: None,
            id: transaction.id.clone(),
            hostname: hostname.clone(),
        }
    }

    /// Takes the next part of the content.
    pub async fn write(&mut self, octets: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.take(octets).await {
            self.failed = Some(error);
            // The space is given back now, not when the client has sent the rest.
            self.local = None;
            self.relayed = None;
        }
    }

    async fn take(&mut self, octets: &[u8]) -> Result<(), Error> {
        let Some(header) = &mut self.header else { return self.pass(octets).await };
        let searched = header.len().saturating_sub(3);
        header.extend_from_slice(octets);
        match header_end(header, searched) {
            Some(end) => {
                let mut header = self.header.take().expect("it was there");
                let rest = header.split_off(end);
                self.pass_header(header).await?;
                self.pass(&rest).await
            }
            None if header.len() > HEADER => {
                let header = self.header.take().expect("it was there");
                self.fix_ups = FixUps::None;
                self.pass_header(header).await
            }
            None => Ok(()),
        }
    }

    async fn pass_header(&mut self, mut header: Vec<u8>) -> Result<(), Error> {
        if self.fix_ups == FixUps::Submission {
            header = self.fix_up(&header);
        }
        let trace = std::mem::take(&mut self.trace);
        if let Some(local) = &mut self.local {
            let prefix = std::mem::take(&mut local.prefix);
            local.write(prefix.as_bytes()).await?;
            //= 5321-4.4-4
            local.write(trace.as_bytes()).await?;
            // RFC 5321, 4.4: a message that is delivered has one Return-Path, which is ours.
            //= 5321-4.4-9
            let kept: Vec<_> = fields(&header).filter(|field| !is_field(field, b"return-path")).collect();
            local.write(&kept.concat()).await?;
        }
        if let Some(relayed) = &mut self.relayed {
            relayed.write(trace.as_bytes()).await?;
            relayed.write(&header).await?;
        }
        Ok(())
    }

    async fn pass(&mut self, octets: &[u8]) -> Result<(), Error> {
        if let Some(local) = &mut self.local {
            local.write(octets).await?;
        }
        if let Some(relayed) = &mut self.relayed {
            relayed.write(octets).await?;
        }
        Ok(())
    }

    fn fix_up(&self, header: &[u8]) -> Vec<u8> {
        let has = |name: &[u8]| fields(header).any(|field| is_field(field, name));
        let mut fixed = Vec::with_capacity(header.len() + 128);
        if !has(b"date") {
            fixed.extend_from_slice(format!("Date: {}\r\n", date()).as_bytes());
        }
        if !has(b"message-id") {
            fixed.extend_from_slice(format!("Message-ID: <{}@{}>\r\n", self.id, self.hostname).as_bytes());
        }
        for field in fields(header).filter(|field| !is_field(field, b"bcc")) {
            fixed.extend_from_slice(field);
        }
        fixed
    }

    /// All of it has come: takes responsibility for it, or says why not. What it returns `Ok` for is synced to disk.
    //= 5321-2.1-1, 5321-6.1-1, 2033-4.2-3
    pub async fn finish(mut self, shared: &Shared, transaction: &Transaction) -> Result<(), Error> {
        if self.failed.is_none() {
            // A message without an empty line is a header and no body.
            if let Some(header) = self.header.take() {
                self.pass_header(header).await?;
            }
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        let local = match self.local {
            Some(local) => {
                Some(Filed { cache: local.scanner.finish().to_cache().into(), body: local.writer.finish().await? })
            }
            None => None,
        };
        let relayed = match self.relayed {
            Some(relayed) => Some(relayed.finish().await?),
            None => None,
        };
        file(shared, transaction, local.as_ref(), relayed).await
    }
}

/// A message in the form that goes into mailboxes.
pub struct Filed {
    /// Its content.
    pub body: Body,
    /// What IMAP wants to know of it.
    pub cache: Bytes,
}

/// Puts a message into the mailboxes of our users and into the queue for the others, in one sync.
///
/// Whoever could not be served while others could is put into the queue too: for those the message was accepted. A
/// message that is to be held is put there for all.
pub async fn file(
    shared: &Shared,
    transaction: &Transaction,
    local: Option<&Filed>,
    relayed: Option<Body>,
) -> Result<(), Error> {
    if transaction.release.is_some() {
        let mut batch = Vec::new();
        if let Some(filed) = local {
            batch.extend(enqueue(transaction, |accepted| accepted.mailbox.is_some(), &filed.body));
        }
        if let Some(body) = relayed {
            batch.extend(enqueue(transaction, |accepted| accepted.mailbox.is_none(), &body));
        }
        return shared.store.commit(batch).await.map(drop);
    }
    let mut batches = Vec::new();
    let mut owners: Vec<Option<AccountId>> = Vec::new();
    if let Some(filed) = local {
        let mut accounts: BTreeMap<AccountId, Vec<Op>> = BTreeMap::new();
        let mut delivered: BTreeMap<AccountId, Vec<RecipientReport>> = BTreeMap::new();
        let mut places = Vec::new();
        for Accepted { recipient, mailbox } in &transaction.recipients {
            let Some(mailbox) = mailbox else { continue };
            if is_wanted(Action::Delivered, &transaction.from, &recipient.params) {
                let (to, status) = (recipient.to.clone(), EnhancedCode::literal(2, 0, 0));
                let report = RecipientReport::new(to, &recipient.params, Action::Delivered, status);
                delivered.entry(mailbox.account).or_default().push(report);
            }
            let place = match &mailbox.folder {
                Some(name) => shared.store.mailbox(mailbox.account, name).await.map_or(MailboxId::INBOX, |it| it.id),
                None => MailboxId::INBOX,
            };
            // Several addresses of one user: one copy.
            if places.contains(&(mailbox.account, place)) {
                continue;
            }
            places.push((mailbox.account, place));
            accounts.entry(mailbox.account).or_default().push(Op::Append(Append {
                account: mailbox.account,
                mailbox: place,
                body: filed.body.clone(),
                flags: Flags::NONE,
                internal_date: now(),
                saved: now(),
                cache: filed.cache.clone(),
            }));
        }
        for (account, mut batch) in accounts {
            if let Some(recipients) = delivered.remove(&account) {
                let about = About {
                    id: format!("{}-{}", transaction.id, account.0),
                    from: &transaction.from,
                    params: &transaction.params,
                    arrived: transaction.arrived,
                    body: &filed.body,
                };
                // In the same batch: who is told so finds it there, and nobody is told twice.
                batch.extend(report::ops(shared, &about, recipients).await?);
            }
            owners.push(Some(account));
            batches.push(batch);
        }
    }
    if let Some(body) = relayed {
        owners.push(None);
        batches.push(enqueue(transaction, |accepted| accepted.mailbox.is_none(), &body));
    }
    let results = shared.store.commit_many(batches).await;
    let failed: Vec<_> =
        results.iter().zip(&owners).filter(|(result, _)| result.is_err()).map(|(_, owner)| owner).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let error = results.iter().find_map(|result| result.as_ref().err()).expect("something failed").clone();
    let (Some(filed), true, false) = (local, failed.len() < owners.len(), failed.contains(&&None)) else {
        return Err(error);
    };
    tracing::warn!(id = transaction.id, %error, "some recipients are served later, from the queue");
    let later =
        |accepted: &Accepted| accepted.mailbox.as_ref().is_some_and(|mailbox| failed.contains(&&Some(mailbox.account)));
    shared.store.commit(enqueue(transaction, later, &filed.body)).await.map(drop)
}

/// One queue entry for each destination among the recipients that `wanted` picks.
pub fn enqueue(transaction: &Transaction, wanted: impl Fn(&Accepted) -> bool, body: &Body) -> Vec<Op> {
    let mut destinations: BTreeMap<String, Vec<Recipient>> = BTreeMap::new();
    for accepted in transaction.recipients.iter().filter(|accepted| wanted(accepted)) {
        let host = accepted.recipient.to.mailbox().map(|mailbox| mailbox.host_str().to_ascii_lowercase());
        destinations.entry(host.unwrap_or_default()).or_default().push(accepted.recipient.clone());
    }
    destinations
        .iter()
        .flat_map(|(host, recipients)| recipients.chunks(RECIPIENTS).map(move |chunk| (host, chunk)))
        .map(|(host, recipients)| Op::Enqueue(queue::entry(transaction, host, recipients, body.clone())))
        .collect()
}

/// Now, as in header fields (RFC 5322, 3.3).
//= 5321-4.4-5
pub fn date() -> String {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::rfc2822::to_string(&now).expect("the present has four digits of year")
}

/// Where the header ends, its empty line included, if that is there.
fn header_end(octets: &[u8], from: usize) -> Option<usize> {
    if octets.starts_with(b"\r\n") {
        return Some(2);
    }
    octets[from..].windows(4).position(|window| window == b"\r\n\r\n").map(|at| from + at + 4)
}

/// The fields of a header, each with its continuation lines; the empty line at the end comes as one too.
fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            end += rest[end..].iter().position(|&b| b == b'\n').map_or(rest.len() - end, |at| at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        Some(field)
    })
}

/// Whether a field has this name, given in lower case.
fn is_field(field: &[u8], name: &[u8]) -> bool {
    field.len() > name.len()
        && field[..name.len()].eq_ignore_ascii_case(name)
        && field[name.len()..].trim_ascii_start().starts_with(b":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_continuation_lines() {
        let header = b"To: a\r\n b\r\nBcc : x,\r\n\ty\r\nDate: z\r\n\r\n";
        let found: Vec<_> = fields(header).collect();
        assert_eq!(found, [&b"To: a\r\n b\r\n"[..], b"Bcc : x,\r\n\ty\r\n", b"Date: z\r\n", b"\r\n"]);
        assert!(is_field(found[1], b"bcc") && !is_field(found[0], b"t"));
    }

    #[test]
    fn the_header_ends_at_its_empty_line_wherever_the_stream_was_cut() {
        assert_eq!(header_end(b"a: b\r\n\r\nbody", 0), Some(8));
        assert_eq!(header_end(b"a: b\r\n\r\nbody", 4), Some(8));
        assert_eq!(header_end(b"\r\nbody", 0), Some(2));
        assert_eq!(header_end(b"a: b\r\n", 0), None);
    }
}
