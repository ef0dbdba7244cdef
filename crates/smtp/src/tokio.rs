//! The friendly face for tokio: [`serve`] runs a server session for a [`Handler`], [`Connection`] sends mail.
//!
//! Programs that must do more between two events (push, several lookups at once) drive a [`Server`] or [`Client`]
//! with `postrider_io::tokio::Driver` themselves.

use crate::client::{self, AuthFailed, Outcome, SendError};
use crate::outcome::{Accepted, Delivered, Refusal};
use crate::server::{self, Event, Server};
use crate::wire::{Capabilities, MailParams, RcptParams, Reply};
use crate::{Client, Envelope, ForwardPath, HelloName, ReversePath};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::future::Future;
use core::pin::pin;
use core::task::Poll;
use postrider_core::{Closed, Misuse, Security, Session, SessionId};
use postrider_io::Tls;
use postrider_io::tokio::Driver;
use postrider_sasl::{Attempt, Denied, Identity, Mechanism};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// Events that wait while a handler is busy, before the session is held up. Each holds at most what the session
/// buffers.
const WAITING: usize = 16;

/// What a server decides. Each method has a safe answer already; a server that takes mail has at least
/// [`Handler::rcpt`] and [`Handler::message`] of its own.
///
/// One handler serves one session. While a method waits, the session goes on reading, writing and keeping time.
#[expect(unused_variables, reason = "the names are documentation")]
pub trait Handler: Send {
    /// May the client go on under this name? Only with [`server::Config::ask_hello`].
    fn hello(&mut self, name: &HelloName) -> impl Future<Output = Result<Accepted, Refusal>> + Send {
        async { Ok(Accepted::default()) }
    }

    /// Who is it? Nobody, unless this says so.
    fn auth(&mut self, attempt: Attempt) -> impl Future<Output = Result<Identity, Refusal>> + Send {
        async { Err(Denied::Credentials.into()) }
    }

    /// May it send from here?
    fn mail(
        &mut self,
        client: &ClientInfo,
        from: &ReversePath,
        params: &MailParams,
    ) -> impl Future<Output = Result<Accepted, Refusal>> + Send {
        async { Ok(Accepted::default()) }
    }

    /// Is mail taken for this recipient? For nobody, unless this says so.
    fn rcpt(
        &mut self,
        to: &ForwardPath,
        params: &RcptParams,
    ) -> impl Future<Output = Result<Accepted, Refusal>> + Send {
        async {
            Err(Refusal::permanent(550, (7, 1), postrider_core::Text::literal("Mail is not taken for this recipient")))
        }
    }

    /// May the message come?
    fn data(&mut self) -> impl Future<Output = Result<Accepted, Refusal>> + Send {
        async { Ok(Accepted::default()) }
    }

    /// Part of the message.
    fn body(&mut self, octets: Bytes) -> impl Future<Output = ()> + Send;

    /// All of it. Yes takes responsibility. If [`Handler::late`] is called for it afterwards, the client was told 451
    /// and will send it again.
    fn message(&mut self, size: u64) -> impl Future<Output = Result<Delivered, Refusal>> + Send;

    /// The last answer came after the session had answered itself, or ended.
    fn late(&mut self, what: TooLate) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Discard what this transaction collected.
    fn reset(&mut self) -> impl Future<Output = ()> + Send;

    /// Is there such a user? Only with [`server::Config::ask_verify`].
    fn verify(&mut self, what: &postrider_core::Text) -> impl Future<Output = Result<Accepted, Refusal>> + Send {
        async { Err(Refusal::permanent(550, (7, 1), postrider_core::Text::literal("Users are not told of"))) }
    }
}

/// Which answer came too late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TooLate {
    /// That the message is taken.
    Message,
    /// Another.
    Other,
}

/// What is known of the client when it begins a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ClientInfo {
    /// What it calls itself.
    pub hello: Option<HelloName>,
    /// Whether it said so with EHLO or LHLO.
    pub extended: bool,
    /// Who it is, if it logged in.
    pub identity: Option<Identity>,
    /// Whether the stream is protected.
    pub security: Security,
}

/// Serves one client to the end. Says how the session ended.
///
/// # Errors
/// The transport's error, if it was lost with one.
pub async fn serve<IO>(
    stream: IO,
    tls: Tls,
    config: Arc<server::Config>,
    id: SessionId,
    mut handler: impl Handler,
) -> io::Result<Closed>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut at = Loop { driver: Driver::new(Server::new(config, id), stream, tls), waiting: VecDeque::new() };
    let mut closed = Closed::Eof;
    while let Some(event) = at.next().await {
        let mut late = None;
        match event {
            Event::Hello { answer, name } => {
                let verdict = at.meanwhile(handler.hello(&name)).await;
                late = at.driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Auth { answer, attempt } => {
                let verdict = at.meanwhile(handler.auth(attempt)).await;
                late = at.driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Mail { answer, from, params } => {
                let session = at.driver.session();
                let hello = session.hello();
                let client = ClientInfo {
                    hello: hello.map(|(name, _)| name.clone()),
                    extended: hello.is_some_and(|(_, extended)| extended),
                    identity: session.identity().cloned(),
                    security: session.security().clone(),
                };
                let verdict = at.meanwhile(handler.mail(&client, &from, &params)).await;
                late = at.driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Rcpt { answer, to, params } => {
                let verdict = at.meanwhile(handler.rcpt(&to, &params)).await;
                late = at.driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Data { answer } => {
                let verdict = at.meanwhile(handler.data()).await;
                late = at.driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Body(octets) => at.meanwhile(handler.body(octets)).await,
            Event::Message { answer, size } => {
                let verdict = at.meanwhile(handler.message(size)).await;
                late = at.driver.session().answer(answer, verdict).err().map(|_| TooLate::Message);
            }
            Event::Reset => at.meanwhile(handler.reset()).await,
            Event::Verify { answer, what } => {
                let verdict = at.meanwhile(handler.verify(&what)).await;
                late = at.driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Closed(why) => closed = why,
        }
        if let Some(what) = late {
            handler.late(what).await;
        }
    }
    match at.driver.error() {
        Some(error) => Err(error.kind().into()),
        None => Ok(closed),
    }
}

/// A driver, and the events that came while nobody looked.
struct Loop<S: Session, IO> {
    driver: Driver<S, IO>,
    waiting: VecDeque<S::Event>,
}

impl<S: Session, IO: AsyncRead + AsyncWrite + Unpin> Loop<S, IO> {
    async fn next(&mut self) -> Option<S::Event> {
        match self.waiting.pop_front() {
            Some(event) => Some(event),
            None => self.driver.next().await,
        }
    }

    /// Awaits `work` while the session goes on.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut over = false;
        core::future::poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            while !over && self.waiting.len() < WAITING {
                match pin!(self.driver.next()).poll(cx) {
                    Poll::Ready(Some(event)) => self.waiting.push_back(event),
                    Poll::Ready(None) => over = true,
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// A connection to a server, to send mail over.
pub struct Connection<IO> {
    driver: Driver<Client, IO>,
}

/// What went wrong with a [`Connection`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The session ended.
    #[error("the session ended: {0}")]
    Closed(Closed),
    /// The server closed the session and said why.
    #[error("the server closed the session: {0}")]
    Goodbye(Reply),
    /// The login failed.
    #[error(transparent)]
    Auth(#[from] AuthFailed),
    /// The message cannot be sent to this server.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The call has no place now.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Greets the server and starts TLS as configured.
    ///
    /// # Errors
    /// [`ConnectionError`] if the server does not want us, or TLS fails.
    pub async fn open(
        stream: IO,
        tls: Tls,
        config: Arc<client::Config>,
        id: SessionId,
    ) -> Result<Self, ConnectionError> {
        let mut connection = Self { driver: Driver::new(Client::new(config, id), stream, tls) };
        while !matches!(connection.next().await?, client::Event::Ready) {}
        Ok(connection)
    }

    /// What the server offers.
    pub fn capabilities(&mut self) -> Option<Capabilities> {
        self.driver.session().capabilities().cloned()
    }

    /// The session itself.
    pub fn session(&mut self) -> &mut Client {
        self.driver.session()
    }

    /// Logs in.
    ///
    /// # Errors
    /// [`ConnectionError::Auth`] if the server refuses, among others.
    pub async fn authenticate(&mut self, mechanism: Box<dyn Mechanism>) -> Result<(), ConnectionError> {
        self.driver.session().authenticate(mechanism)?;
        loop {
            if let client::Event::Authenticated(outcome) = self.next().await? {
                return Ok(outcome?);
            }
        }
    }

    /// Sends a message, and says what became of it for each recipient. Its lines end with CRLF.
    ///
    /// # Errors
    /// [`ConnectionError::Send`] if nothing was sent. Whatever happens later is in the outcomes.
    pub async fn send(
        &mut self,
        envelope: Envelope,
        message: impl Into<Bytes>,
    ) -> Result<Vec<Outcome>, ConnectionError> {
        let transaction = self.driver.session().send(envelope)?;
        let mut message = Some(message.into());
        loop {
            // Not `next`: what ends the session comes after what became of the message.
            match self.driver.next().await {
                Some(client::Event::BodyWanted { body, .. }) => {
                    let mut rest = message.take().unwrap_or_default();
                    while !rest.is_empty() {
                        let taken = self.driver.session().write_shared(&body, &rest);
                        rest = rest.slice(taken..);
                        if taken == 0 && self.driver.drain().await.is_err() {
                            break;
                        }
                    }
                    if rest.is_empty() {
                        // If it cannot be finished, the outcomes say why.
                        let _ = self.driver.session().finish(body);
                    } else {
                        self.driver.session().abandon(body);
                    }
                }
                Some(client::Event::Finished { of, outcomes }) if of == transaction => return Ok(outcomes),
                // The server's words as they come are repeated in the outcomes.
                Some(_) => {}
                None => return Err(self.lost()),
            }
        }
    }

    /// Says goodbye and closes.
    ///
    /// # Errors
    /// The transport's error, if it was lost with one.
    pub async fn quit(mut self) -> io::Result<()> {
        self.driver.session().quit();
        while self.driver.next().await.is_some() {}
        match self.driver.error() {
            Some(error) => Err(error.kind().into()),
            None => Ok(()),
        }
    }

    async fn next(&mut self) -> Result<client::Event, ConnectionError> {
        match self.driver.next().await {
            Some(client::Event::Goodbye(reply)) => Err(ConnectionError::Goodbye(reply)),
            Some(client::Event::Closed(why)) => {
                // The transport knows better why the stream ended.
                match (self.driver.error(), why) {
                    (Some(error), Closed::Eof) => Err(ConnectionError::Io(error.kind().into())),
                    (_, why) => Err(ConnectionError::Closed(why)),
                }
            }
            Some(event) => Ok(event),
            None => Err(self.lost()),
        }
    }

    fn lost(&self) -> ConnectionError {
        match self.driver.error() {
            Some(error) => ConnectionError::Io(error.kind().into()),
            None => ConnectionError::Closed(Closed::Eof),
        }
    }
}
