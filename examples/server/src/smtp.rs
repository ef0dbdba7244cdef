//! SMTP, submission and LMTP: the answers to a session's questions.

use crate::delivery::{Accepted, FixUps, Incoming, Trace, Transaction};
use crate::journal::Note;
use crate::listen::{Origin, Stop};
use crate::queue::Turning;
use crate::server::{Service, Shared, now};
use postrider_core::{SessionId, Text};
use postrider_io::Tls;
use postrider_io::tokio::Driver;
use postrider_sasl::{Attempt, Identity};
use postrider_smtp::address::AddressLiteral;
use postrider_smtp::server::{self, Config, Event, Network, Server};
use postrider_smtp::wire::{EtrnTarget, FutureRelease, Hold, MailParams, RcptParams, Timestamp};
use postrider_smtp::{Delivered, ForwardPath, HelloName, Recipient, Refusal, ReversePath};
use postrider_store::{Error, UnixMillis};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

/// Messages taken in one session.
const TRANSACTIONS: u32 = 10_000;
/// Recipients whose mailboxes are looked up at once.
const UNDECIDED: usize = 1;

/// What the sessions of a service offer. `xclient` is who may use XCLIENT.
pub fn config(shared: &Shared, service: Service, xclient: Vec<Network>) -> Config {
    let settings = &shared.settings;
    let name = HelloName::parse(&settings.hostname)
        .unwrap_or_else(|_| HelloName::from(&AddressLiteral::from_ip(IpAddr::from([127, 0, 0, 1]))));
    let mut config = match service {
        Service::Submission { implicit_tls: true } => Config::submission(name, server::Tls::Implicit),
        // No message of a user's goes over the network in the clear.
        Service::Submission { .. } if !settings.plaintext_auth => Config::submission(name, server::Tls::Required),
        Service::Submission { .. } => Config::submission(name, server::Tls::Offered),
        Service::Lmtp => Config::lmtp(name),
        Service::Smtp | Service::Imap { .. } | Service::Pop3 { .. } => Config::new(name),
    };
    match service {
        //= 3207-4-1
        Service::Smtp => {
            config.tls = server::Tls::Offered;
            config.require_tls = true;
            // RFC 6409, 7: not for users.
            config.etrn = true;
        }
        Service::Submission { .. } => {
            config.auth = shared.directory.mechanisms(settings.channel_binding);
            config.require_tls = true;
            config.future_release = future_release(settings.hold);
        }
        Service::Lmtp | Service::Imap { .. } | Service::Pop3 { .. } => {}
    }
    config.undecided = UNDECIDED;
    config.dsn = true;
    // Chunks look like any other content. BINARYMIME is not offered: neither can most next hops take it, nor could a
    // POP3 client fetch it.
    config.chunking = true;
    config.xclient = xclient;
    config.limits.message = settings.message_size;
    config.limits.transactions = TRANSACTIONS;
    if settings.plaintext_auth { config.dangerous_allow_plaintext_auth() } else { config }
}

/// How long messages may be held, from now on; `None` if not at all.
fn future_release(hold: Duration) -> Option<FutureRelease> {
    let seconds = u32::try_from(hold.as_secs()).ok().filter(|seconds| (1..=999_999_999).contains(seconds))?;
    let until = Timestamp::from_unix((now().0 / 1000).unsigned_abs() + u64::from(seconds))?;
    Some(FutureRelease { seconds, until })
}

/// Serves one connection to its end. With `farewell`, only to say that.
pub async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(
    shared: Arc<Shared>,
    config: Arc<Config>,
    io: IO,
    from: Origin,
    service: Service,
    farewell: Option<Text>,
) {
    let id = shared.session_id();
    let mut server = match from {
        Origin { peer: None, .. } => Server::new(config, id),
        Origin { peer: Some(peer), proxied: None } => Server::with_peer(config, id, peer),
        Origin { peer: Some(proxy), proxied: Some(said) } => Server::with_proxy(config, id, proxy, said),
    };
    if let Some(why) = farewell {
        server.shut_down(why);
    }
    let mut driver = Driver::new(server, io, Tls::Server(shared.tls.clone()));
    let mut stop = Stop::new(shared.clone());
    let mut session = Session { shared, id, service, transactions: 0, transaction: None, incoming: None };
    while let Some(event) = stop.next(&mut driver, Server::shut_down).await {
        session.handle(&mut driver, event).await;
    }
}

/// What the application knows of a session. What takes its time is done while the driver goes on, so that the session's
/// limits bind and its client is heard.
struct Session {
    shared: Arc<Shared>,
    id: SessionId,
    service: Service,
    transactions: u32,
    transaction: Option<Transaction>,
    incoming: Option<Incoming>,
}

impl Session {
    /// An answer can come too late (Stale); the session has then given its own.
    async fn handle<IO: AsyncRead + AsyncWrite + Unpin>(&mut self, driver: &mut Driver<Server, IO>, event: Event) {
        match event {
            Event::Auth { answer, attempt } => {
                let verdict = driver.meanwhile(self.authenticate(attempt)).await;
                let _ = driver.session().answer(answer, verdict);
            }
            Event::Scram { answer, user, hash } => {
                let credentials = self.shared.directory.scram(&user, hash);
                let _ = driver.session().answer(answer, Ok(credentials));
            }
            Event::Mail { answer, from, params } => {
                let user = driver.session().identity().map(|identity| identity.as_str().to_owned());
                let verdict = driver.meanwhile(self.mail(user, from, params)).await;
                let _ = driver.session().answer(answer, verdict.map(|()| Default::default()));
            }
            Event::Rcpt { answer, to, params } => {
                let verdict = driver.meanwhile(self.rcpt(to, params)).await;
                let _ = driver.session().answer(answer, verdict.map(|()| Default::default()));
            }
            Event::Etrn { answer, target } => {
                let verdict = driver.meanwhile(self.turn(target)).await;
                let _ = driver.session().answer(answer, verdict);
            }
            Event::Data { answer } => {
                self.begin(driver.session());
                let _ = driver.session().accept(answer);
            }
            Event::Body(octets) => {
                if let Some(incoming) = &mut self.incoming {
                    driver.meanwhile(incoming.write(&octets)).await;
                }
            }
            Event::Message { answer, size } => {
                let verdict = driver.meanwhile(self.message(size)).await;
                let _ = driver.session().answer(answer, verdict);
            }
            Event::Reset => {
                self.transaction = None;
                self.incoming = None;
            }
            Event::Closed(why) => tracing::debug!(%why, "SMTP session ended"),
            other => driver.session().decline(other),
        }
    }

    async fn authenticate(&mut self, attempt: Attempt) -> Result<Identity, Refusal> {
        Ok(self.shared.directory.authenticate(attempt).await?)
    }

    async fn mail(&mut self, user: Option<String>, from: ReversePath, params: MailParams) -> Result<(), Refusal> {
        if let (Service::Submission { .. }, Some(sender)) = (self.service, from.mailbox()) {
            // RFC 6409, 6.1: the sender is who logged in.
            let (local, host) = (sender.unquoted_local_part(), sender.host_str().to_ascii_lowercase());
            let owner = match self.shared.directory.is_ours(&host) {
                true => self.shared.directory.mailbox(&local, &host).await.map_err(|error| trouble(&error))?,
                false => None,
            };
            if user.is_none() || owner.map(|owner| owner.address) != user {
                return Err(Refusal::permanent(553, (7, 1), Text::literal("You may not send from this address")));
            }
        }
        // The session has checked that it is not held for longer than is offered.
        let release = params.hold.as_ref().map(|hold| match hold {
            Hold::For(seconds) => UnixMillis(now().0 + i64::from(*seconds) * 1000),
            Hold::Until(time) => UnixMillis(time.unix_seconds().saturating_mul(1000)),
        });
        self.transactions += 1;
        let id = format!("{:08x}.{:x}.{:x}", self.shared.run_id(), self.id, self.transactions);
        self.transaction = Some(Transaction { id, from, params, recipients: Vec::new(), arrived: now(), release });
        Ok(())
    }

    async fn rcpt(&mut self, to: ForwardPath, params: RcptParams) -> Result<(), Refusal> {
        let directory = &self.shared.directory;
        let mailbox = match to.mailbox() {
            None => directory.mailbox("postmaster", &self.shared.settings.domains[0]).await,
            Some(mailbox) => {
                let host = mailbox.host_str().to_ascii_lowercase();
                //= 5321-C-2
                match (directory.is_ours(&host), self.service) {
                    (true, _) => directory.mailbox(&mailbox.unquoted_local_part(), &host).await,
                    (false, Service::Submission { .. }) => {
                        self.accept(to, params, None);
                        return Ok(());
                    }
                    (false, _) => {
                        //= 5321-3.6.2-1, 5321-7.9-1, 5321-7.9-2
                        return Err(Refusal::permanent(550, (7, 1), Text::literal("Relaying denied")));
                    }
                }
            }
        };
        match mailbox {
            Ok(Some(mailbox)) => {
                self.accept(to, params, Some(mailbox));
                Ok(())
            }
            Ok(None) => Err(Refusal::permanent(550, (1, 1), Text::literal("No such mailbox here"))),
            Err(error) => Err(trouble(&error)),
        }
    }

    /// Has the queue try what waits for a host (RFC 1985, 5.3).
    async fn turn(&mut self, target: EtrnTarget) -> Result<postrider_smtp::Accepted, Refusal> {
        let host = target.to_string();
        let (answer, answered) = oneshot::channel();
        let asked = self.shared.turns.try_send(Turning { target, answer }).is_ok();
        let found = if asked { answered.await.ok().flatten() } else { None };
        let accepted = |code, text: String| postrider_smtp::Accepted::with(code, (0, 0), Text::lossy(&text, 300));
        match found {
            Some(0) => Ok(accepted(251, format!("No messages waiting for {host}"))),
            Some(found) => Ok(accepted(253, format!("{found} pending messages for {host} started"))),
            None => {
                let text = format!("The messages for {host} cannot be started now");
                Err(Refusal::transient(458, (3, 0), Text::lossy(&text, 300)))
            }
        }
    }

    fn accept(&mut self, to: ForwardPath, params: RcptParams, mailbox: Option<crate::directory::Mailbox>) {
        let transaction = self.transaction.as_mut().expect("the session asks for MAIL before RCPT");
        transaction.recipients.push(Accepted { recipient: Recipient { to, params }, mailbox });
    }

    fn begin(&mut self, session: &Server) {
        let (hello, extended) = match session.hello() {
            Some((hello, extended)) => (hello.as_str().to_owned(), extended),
            None => (String::new(), false),
        };
        let mut with = match (self.service, extended) {
            (Service::Lmtp, _) => "LMTP".to_owned(),
            (_, true) => "ESMTP".to_owned(),
            (_, false) => "SMTP".to_owned(),
        };
        //= 4954-7-1
        // RFC 3848: S for TLS, A for a login.
        if session.security().is_tls() {
            with.push('S');
        }
        if session.identity().is_some() {
            with.push('A');
        }
        let fix_ups = match self.service {
            Service::Submission { .. } => FixUps::Submission,
            _ => FixUps::None,
        };
        // Who connects through a unix socket is here.
        let peer = session.client().address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let trace = Trace { hello: &hello, peer, with: &with };
        let transaction = self.transaction.as_ref().expect("the session asks for MAIL before DATA");
        self.incoming = Some(Incoming::begin(&self.shared, transaction, &trace, fix_ups));
    }

    async fn message(&mut self, size: u64) -> Result<Delivered, Refusal> {
        let (Some(transaction), Some(incoming)) = (self.transaction.take(), self.incoming.take()) else {
            return Err(Refusal::transient(451, (3, 0), Text::literal("The message was lost, send it again")));
        };
        incoming.finish(&self.shared, &transaction).await.map_err(|error| {
            tracing::error!(id = transaction.id, %error, "a message could not be stored");
            trouble(&error)
        })?;
        let journal = &self.shared.journal;
        journal.note(Note::Accepted {
            id: transaction.id.clone(),
            from: transaction.from.as_str().to_owned(),
            recipients: transaction.recipients.len(),
            size,
        });
        for accepted in &transaction.recipients {
            let id = transaction.id.clone();
            journal.note(match &accepted.mailbox {
                Some(mailbox) if transaction.release.is_none() => {
                    Note::Delivered { id, mailbox: mailbox.address.clone() }
                }
                Some(_) | None => Note::Queued { id, destination: accepted.recipient.to.as_str().to_owned() },
            });
        }
        let text = Text::lossy(&format!("OK queued as {}", transaction.id), 100);
        let yes = postrider_smtp::Accepted::with(250, (0, 0), text);
        Ok(match self.service {
            // RFC 2033, 4.2: a reply for each recipient.
            Service::Lmtp => Delivered::to_each(vec![Ok(yes); transaction.recipients.len()]),
            _ => Delivered::to_all(yes),
        })
    }
}

/// What a client is told when the store fails.
fn trouble(error: &Error) -> Refusal {
    match error {
        Error::QuotaExceeded { .. } => Refusal::transient(452, (2, 2), Text::literal("The mailbox is full")),
        Error::Full => Refusal::transient(452, (3, 1), Text::literal("No room for the message now")),
        _ => Refusal::transient(451, (3, 0), Text::literal("The message cannot be stored now, try again later")),
    }
}
