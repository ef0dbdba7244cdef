//! POP3: the answers to a session's questions. The maildrop is the INBOX.
//!
//! Sessions share a maildrop, unless the configuration says otherwise: each sees the snapshot it began with. A message
//! that another removed in the meantime is refused when it is retrieved, and deleting it again does no harm.

use crate::listen::Stop;
use crate::server::Shared;
use crate::settings;
use bytes::Buf;
use postrider_core::{Pending, Text};
use postrider_io::Tls;
use postrider_io::tokio::Driver;
use postrider_pop3::server::{Config, Event, Logins, Server, ask};
use postrider_pop3::wire::{LoginDelay, MessageMeta, Refusal, ResponseCode, UniqueId};
use postrider_sasl::{Attempt, Denied};
use postrider_store::{AccountId, Body, BodyId, Engine, Error, MailboxId, UidSet};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};

/// Messages looked up in the store at once.
const BATCH: usize = 1000;
/// Octets of a body read at once.
const CHUNK: usize = 128 * 1024;

/// What the sessions offer.
pub fn config(shared: &Shared, implicit_tls: bool) -> Config {
    let mut config = Config::default();
    config.greeting = Text::lossy(&format!("{} postrider ready", shared.settings.hostname), 200);
    config.implicit_tls = implicit_tls;
    config.stls = !implicit_tls;
    config.utf8 = true;
    config.lang = true;
    config.implementation = Some(Text::literal("postriderd"));
    let policy = &shared.settings.pop3;
    config.expire = Some(policy.expire);
    let seconds = u32::try_from(policy.login_delay.as_secs()).unwrap_or(u32::MAX);
    config.login_delay = (seconds > 0).then_some(LoginDelay { seconds, per_user: false });
    config.mechanisms = shared.directory.mechanisms(shared.settings.channel_binding);
    config.dangerous_plaintext_login = shared.settings.plaintext_auth;
    config
}

/// What the sessions of a server know of each other.
pub struct Common {
    began: Instant,
    logins: Mutex<Logins>,
    /// The maildrops that are open, if only one session may have one.
    open: Option<Mutex<HashSet<AccountId>>>,
    ends: Mutex<HashMap<AccountId, Ends>>,
}

/// How the messages of a maildrop end, as far as they were looked at: by SMTP and IMAP, messages come in that do not end
/// with CRLF, and RETR then sends more octets than are stored. What is stored under a UID never changes.
#[derive(Clone, Default)]
struct Ends {
    uidvalidity: u32,
    /// All up to this one were looked at.
    seen: u32,
    /// The UIDs of those that do not end with CRLF.
    open: BTreeSet<u32>,
}

impl Common {
    /// Nobody has logged in.
    pub fn new(policy: &settings::Pop3) -> Self {
        Self {
            began: Instant::now(),
            logins: Mutex::new(Logins::new(policy.login_delay, Logins::LIMIT)),
            open: policy.exclusive.then(Mutex::default),
            ends: Mutex::default(),
        }
    }

    fn ends(&self, account: AccountId, uidvalidity: u32) -> Ends {
        let known = self.ends.lock().expect("nobody panics with it").get(&account).cloned();
        let new = Ends { uidvalidity, ..Ends::default() };
        known.filter(|ends| ends.uidvalidity == uidvalidity).unwrap_or(new)
    }

    fn keep_ends(&self, account: AccountId, ends: Ends) {
        let mut known = self.ends.lock().expect("nobody panics with it");
        // Another session may have seen more meanwhile.
        if known.get(&account).is_none_or(|old| old.uidvalidity != ends.uidvalidity || old.seen <= ends.seen) {
            known.insert(account, ends);
        }
    }

    fn admit(&self, user: &str) -> Result<(), Refusal> {
        let now = postrider_core::Instant::after_origin(self.began.elapsed());
        self.logins.lock().expect("nobody panics with it").admit(user, now)
    }
}

/// A maildrop that is nobody else's until this is dropped.
struct Claim {
    shared: Arc<Shared>,
    account: AccountId,
}

impl Claim {
    fn new(shared: &Arc<Shared>, account: AccountId) -> Result<Self, Refusal> {
        if let Some(open) = &shared.pop3.open
            && !open.lock().expect("nobody panics with it").insert(account)
        {
            return Err(Refusal::in_use());
        }
        Ok(Self { shared: shared.clone(), account })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(open) = &self.shared.pop3.open {
            open.lock().expect("nobody panics with it").remove(&self.account);
        }
    }
}

/// Serves one connection to its end. With `farewell`, only to say that.
pub async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(
    shared: Arc<Shared>,
    config: Arc<Config>,
    io: IO,
    farewell: Option<Text>,
) {
    let mut server = Server::new(config, shared.session_id());
    let idle = server.idle_limit();
    if let Some(why) = farewell {
        server.shut_down(why);
    }
    let driver = Driver::new(server, io, Tls::Server(shared.tls.clone())).stall(idle);
    Session { shared, driver, maildrop: None }.run().await;
}

struct Session<IO> {
    shared: Arc<Shared>,
    driver: Driver<Server, IO>,
    maildrop: Option<Maildrop>,
}

/// The snapshot that the session goes by: message 1 first.
struct Maildrop {
    account: AccountId,
    messages: Vec<(u32, BodyId)>,
    _claim: Claim,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Session<IO> {
    async fn run(mut self) {
        let mut stop = Stop::new(self.shared.clone());
        while let Some(event) = stop.next(&mut self.driver, Server::shut_down).await {
            self.handle(event).await;
        }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Open { answer, attempt, .. } => {
                let opened = self.driver.meanwhile(open(&self.shared, attempt)).await;
                let opened = opened.map(|(maildrop, listed)| {
                    self.maildrop = Some(maildrop);
                    listed
                });
                // Stale means that the session has answered for us.
                let _ = self.driver.session().answer(answer, opened);
            }
            Event::Scram { answer, user, hash } => {
                let credentials = self.shared.directory.scram(&user, hash);
                let _ = self.driver.session().answer(answer, Ok(credentials));
            }
            Event::Retrieve { answer, message, .. } => self.retrieve(answer, message).await,
            Event::Commit { answer, delete } => {
                let deleted = self.driver.meanwhile(remove(&self.shared, self.maildrop.as_ref(), &delete)).await;
                let deleted = deleted.map_err(|error| {
                    tracing::error!(%error, "POP3 deletions failed");
                    Refusal::temporary(Text::literal("Some deleted messages not removed"))
                });
                let _ = self.driver.session().answer(answer, deleted);
            }
            Event::Closed(why) => {
                // RFC 1939, 6: others may have it while this connection is still being closed.
                self.maildrop = None;
                tracing::debug!(%why, "POP3 session ended");
            }
            other => self.driver.session().decline(other),
        }
    }

    async fn retrieve(&mut self, answer: Pending<ask::Retrieve>, number: u32) {
        match self.send(&answer, number).await {
            Ok(()) => {
                let _ = self.driver.session().accept(answer);
            }
            Err(refusal) => {
                let _ = self.driver.session().refuse(answer, refusal);
            }
        }
    }

    async fn send(&mut self, answer: &Pending<ask::Retrieve>, number: u32) -> Result<(), Refusal> {
        let failed = |error: Error| {
            tracing::error!(%error, "a message cannot be read");
            Refusal::temporary(Text::literal("The message cannot be read now"))
        };
        let Some(maildrop) = &self.maildrop else { return Err(Refusal::permanent(Text::literal("No maildrop"))) };
        let (account, (uid, body)) = (maildrop.account, maildrop.messages[number as usize - 1]);
        let store = self.shared.store.clone();
        let here = store.messages(account, MailboxId::INBOX, &UidSet::one(uid), false, 1).await.map_err(failed)?;
        if here.is_empty() {
            return Err(Refusal::plain(Text::literal("The message was removed by another session")));
        }
        let mut at = 0;
        while self.driver.session().wants_more(answer) {
            let mut octets = store.read(&Body::from(body), at, CHUNK).await.map_err(failed)?;
            if octets.is_empty() {
                break;
            }
            at += octets.len() as u64;
            loop {
                let taken = self.driver.session().write_shared(answer, &octets);
                octets.advance(taken);
                if octets.is_empty() {
                    break;
                }
                if self.driver.drain().await.is_err() {
                    return Err(Refusal::temporary(Text::literal("The connection was lost")));
                }
            }
        }
        Ok(())
    }
}

/// Logs in, and takes the snapshot that the session goes by.
async fn open(shared: &Arc<Shared>, attempt: Attempt) -> Result<(Maildrop, Vec<MessageMeta>), Refusal> {
    let identity = shared.directory.authenticate(attempt).await.map_err(|denied| match denied {
        Denied::Temporary => Refusal::temporary(Text::literal("Logins cannot be checked now")),
        _ => Refusal { code: Some(ResponseCode::Auth), text: Text::literal("Wrong user or password") },
    })?;
    let closed = |error: Error| {
        tracing::error!(%error, "a maildrop could not be opened");
        Refusal::temporary(Text::literal("The maildrop cannot be opened now"))
    };
    let account = shared.directory.account(identity.as_str()).await.map_err(closed)?;
    let claim = Claim::new(shared, account)?;
    shared.pop3.admit(identity.as_str())?;
    snapshot(shared, account, claim).await.map_err(closed)
}

async fn snapshot(shared: &Shared, account: AccountId, claim: Claim) -> Result<(Maildrop, Vec<MessageMeta>), Error> {
    let store = &shared.store;
    let inbox = store.snapshot(account, MailboxId::INBOX).await?.mailbox;
    let (mut listed, mut messages) = (Vec::new(), Vec::new());
    let mut ends = shared.pop3.ends(account, inbox.uidvalidity);
    let mut rest = UidSet::all();
    loop {
        let batch = store.messages(account, MailboxId::INBOX, &rest, false, BATCH).await?;
        for message in &batch {
            //= 1939-7-3, 1939-7-4
            let unique_id = UniqueId::new(&format!("{:08x}{:08x}", inbox.uidvalidity, message.uid));
            let unique_id = unique_id.expect("hexadecimal digits are printable");
            if message.uid > ends.seen {
                ends.seen = message.uid;
                let end = store.read(&Body::from(message.body), message.size.saturating_sub(2), 2).await;
                // A message that cannot be read is refused when it is asked for, and the rest is there.
                if end.is_ok_and(|end| MessageMeta::size_as_sent(message.size, &end) > message.size) {
                    ends.open.insert(message.uid);
                }
            }
            let end: &[u8] = if ends.open.contains(&message.uid) { b"" } else { b"\r\n" };
            let size = MessageMeta::size_as_sent(message.size, end);
            listed.push(MessageMeta::new(size, unique_id));
            messages.push((message.uid, message.body));
        }
        match batch.last() {
            Some(last) if batch.len() == BATCH && last.uid < u32::MAX => {
                rest = UidSet::range(last.uid + 1..=u32::MAX);
            }
            _ => break,
        }
    }
    shared.pop3.keep_ends(account, ends);
    Ok((Maildrop { account, messages, _claim: claim }, listed))
}

async fn remove(shared: &Shared, maildrop: Option<&Maildrop>, numbers: &[u32]) -> Result<(), Error> {
    let Some(maildrop) = maildrop else { return Ok(()) };
    let uids = numbers.iter().map(|&number| maildrop.messages[number as usize - 1].0);
    let uids = UidSet::from_ranges(uids.map(|uid| uid..=uid));
    shared.store.expunge(maildrop.account, MailboxId::INBOX, uids, false).await.map(drop)
}
