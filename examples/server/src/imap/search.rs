//! SEARCH: each message is judged by what is known of it, cheap things first.

use super::convert::{flags_from_store, refusal};
use super::fetch::{date_time, read, structure};
use super::{BATCH, Session, after};
use crate::server::now;
use postrider_imap::server::{Found, Refusal};
use postrider_imap::wire::{self, Code, SearchKey};
use postrider_message::{Known, Need, Query, SearchContext, SearchMeta, Unsupported, Verdict};
use postrider_store::{Body, Engine, Error, Message, UidSet};
use tokio::io::{AsyncRead, AsyncWrite};

/// Octets of a body read at once.
const CHUNK: usize = 128 * 1024;

impl<IO: AsyncRead + AsyncWrite + Unpin> Session<IO> {
    /// Which of the messages `among` match `key`.
    pub(super) async fn search(&mut self, among: &UidSet, key: &SearchKey) -> Result<Found, Refusal> {
        let query = Query::new(key, None).map_err(|unsupported| match unsupported {
            Unsupported::Charset => Refusal::with(Code::BadCharset(Vec::new()), "Charset not known"),
            _ => Refusal::cannot("A search key is not known"),
        })?;
        let Some(mailbox) = self.selected.as_ref().map(|selected| selected.mailbox) else {
            return Err(Refusal::unavailable());
        };
        let account = self.account();
        let highest_uid = among.ranges().last().map_or(0, |range| *range.end());
        let saved = wire::UidSet::EMPTY;
        let context = SearchContext { exists: 0, highest_uid, saved: &saved, now: now().0.div_euclid(1000) };
        let mut found = Found::default();
        let mut rest = among.clone();
        loop {
            let messages = self.shared.store.messages(account, mailbox, &rest, true, BATCH).await;
            let messages = messages.map_err(|error| refusal(&error))?;
            for message in &messages {
                if self.matches(&query, &context, message).await.map_err(|error| refusal(&error))? {
                    found.uids.push(message.uid);
                    found.modseq = found.modseq.max(Some(message.modseq));
                }
            }
            match messages.last() {
                Some(last) if messages.len() == BATCH => rest = after(&rest, last.uid),
                _ => return Ok(found),
            }
        }
    }

    async fn matches(&mut self, query: &Query, context: &SearchContext<'_>, message: &Message) -> Result<bool, Error> {
        let store = &self.shared.store.clone();
        let flags = flags_from_store(&message.flags);
        let email_id = format!("M{}", message.body.0);
        let meta = SearchMeta {
            sequence: 0,
            uid: message.uid,
            flags: &flags,
            internal_date: date_time(message.internal_date),
            size: message.size,
            modseq: message.modseq,
            save_date: Some(date_time(message.saved)),
            email_id: Some(email_id.as_bytes()),
            thread_id: None,
        };
        let (mut parts, mut header, mut hits) = (None, None, None);
        loop {
            let known =
                Known { meta: &meta, structure: parts.as_ref(), header: header.as_deref(), hits: hits.as_ref() };
            match query.verdict(context, &known) {
                Verdict::Yes => return Ok(true),
                Verdict::No => return Ok(false),
                Verdict::Needs(Need::Structure) => parts = Some(structure(store, message).await?),
                Verdict::Needs(Need::Header) => {
                    let parts = match &mut parts {
                        Some(parts) => parts,
                        none => none.insert(structure(store, message).await?),
                    };
                    header = Some(read(store, message.body, parts.root().header.clone()).await?);
                }
                Verdict::Needs(Need::Text) => {
                    let parts = match &mut parts {
                        Some(parts) => parts,
                        none => none.insert(structure(store, message).await?),
                    };
                    let mut scan = query.text_scan(parts);
                    while let Some(range) = scan.wants() {
                        let size = (range.end - range.start).min(CHUNK as u64) as usize;
                        let octets = store.read(&Body::from(message.body), range.start, size).await?;
                        if octets.is_empty() {
                            return Err(Error::Damaged("a body is shorter than its message".into()));
                        }
                        scan.push(&octets);
                    }
                    hits = Some(scan.finish());
                }
            }
        }
    }
}
