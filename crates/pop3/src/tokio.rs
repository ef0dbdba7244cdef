//! The friendly face for tokio: [`serve`] runs a server session for a [`Handler`], [`Connection`] fetches mail.
//!
//! A server of a few lines, and a client that reads from it:
//!
//! ```
//! use bytes::Bytes;
//! use postrider_core::Secret;
//! use postrider_io::Tls;
//! use postrider_pop3::tokio::{Connection, Handler, serve};
//! use postrider_pop3::{MessageMeta, Refusal, UniqueId, client, server};
//! use postrider_sasl::Attempt;
//! use std::sync::Arc;
//!
//! const TEA: &[u8] = b"Subject: tea\r\n\r\n.\r\n";
//!
//! struct OneMessage;
//!
//! impl Handler for OneMessage {
//!     async fn open(&mut self, _: Attempt) -> Result<Vec<MessageMeta>, Refusal> {
//!         Ok(vec![MessageMeta::new(TEA.len() as u64, UniqueId::new("tea-1").unwrap())])
//!     }
//!     async fn read(&mut self, _: u32, at: u64) -> Result<Bytes, Refusal> {
//!         Ok(Bytes::from_static(&TEA[at as usize..]))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (near, far) = tokio::io::duplex(1024);
//! let mut config = server::Config::default();
//! config.dangerous_plaintext_login = true; // There is no wire here that somebody could read.
//! let server = tokio::spawn(serve(far, Tls::None, Arc::new(config), 1, OneMessage));
//!
//! let mut config = client::Config::default();
//! config.dangerous_plaintext_login = true;
//! let mut connection = Connection::open(near, Tls::None, Arc::new(config), 2).await?;
//! connection.login("alice", Secret::new("wonderland".into())).await?;
//! for (message, id) in connection.unique_ids().await? {
//!     assert_eq!(id.unwrap().as_str(), "tea-1");
//!     let mut octets = Vec::new();
//!     connection.retrieve(message, |part| octets.extend_from_slice(&part)).await?;
//!     assert_eq!(octets, TEA);
//! }
//! connection.quit().await?; // Only this deletes what `delete` was called for.
//! server.await??;
//! # Ok(())
//! # }
//! ```
//!
//! Programs that must do more between two events drive a [`Server`] or [`Client`] with `postrider_io::tokio::Driver`
//! themselves.

use crate::client::{self, Client, CommandId};
use crate::server::{self, Event, Server};
use crate::wire::{Capabilities, MessageMeta, Refusal, UniqueId, UniqueIdRef};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::future::Future;
use postrider_core::{Closed, Misuse, Pending, Secret, SessionId, Text};
use postrider_io::Tls;
use postrider_io::tokio::Driver;
use postrider_sasl::{ApopChallenge, Attempt, Denied, Mechanism, ScramAnswer, ScramHash};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a server decides. One handler serves one session.
///
/// While a method waits, the session goes on reading, writing and keeping time.
#[expect(unused_variables, reason = "the names are documentation")]
pub trait Handler: Send {
    /// May this user open the maildrop, and what is in it? See [`Event::Open`].
    fn open(&mut self, attempt: Attempt) -> impl Future<Output = Result<Vec<MessageMeta>, Refusal>> + Send;

    /// What is kept of this user's password? Only if SCRAM is among the [mechanisms](server::Config::mechanisms). For
    /// users there are not, say [`ScramCredentials::for_nobody`](postrider_sasl::ScramCredentials::for_nobody).
    fn scram(&mut self, user: &str, hash: ScramHash) -> impl Future<Output = Result<ScramAnswer, Refusal>> + Send {
        async { Err(Denied::Temporary.into()) }
    }

    /// A timestamp never used before. Only if CRAM-MD5 is among the [mechanisms](server::Config::mechanisms).
    fn challenge(&mut self) -> impl Future<Output = Result<ApopChallenge, Refusal>> + Send {
        async { Err(Denied::Temporary.into()) }
    }

    /// The octets of a message from `at` on, as many as are at hand; none at its end. Its lines end with CRLF.
    ///
    /// A refusal after the first octets closes the connection, so that the client sees that they are not all.
    fn read(&mut self, message: u32, at: u64) -> impl Future<Output = Result<Bytes, Refusal>> + Send;

    /// Delete these messages, all or none, for good. Refuses, unless this is overridden.
    fn commit(&mut self, delete: Vec<u32>) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Err(Refusal::permanent(Text::literal("messages cannot be deleted here"))) }
    }
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
    handler: impl Handler,
) -> io::Result<Closed>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    serve_session(Server::new(config, id), stream, tls, handler).await
}

/// As [`serve`], for a session that the caller has prepared, with [`Server::offer_apop`] for example.
///
/// # Errors
/// See [`serve`].
pub async fn serve_session<IO>(server: Server, stream: IO, tls: Tls, mut handler: impl Handler) -> io::Result<Closed>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let idle = server.idle_limit();
    let mut driver = Driver::new(server, stream, tls).stall(idle);
    let mut closed = Closed::Eof;
    while let Some(event) = driver.next().await {
        // An answer that comes too late is stale: the session has answered itself, or has ended.
        match event {
            Event::Open { answer, attempt, .. } => {
                let opened = driver.meanwhile(handler.open(attempt)).await;
                let _ = driver.session().answer(answer, opened);
            }
            Event::Scram { answer, user, hash } => {
                let known = driver.meanwhile(handler.scram(&user, hash)).await;
                let _ = driver.session().answer(answer, known);
            }
            Event::Challenge { answer } => {
                let made = driver.meanwhile(handler.challenge()).await;
                let _ = driver.session().answer(answer, made);
            }
            Event::Retrieve { answer, message, .. } => {
                let sent = send(&mut driver, &mut handler, &answer, message).await;
                let _ = driver.session().answer(answer, sent);
            }
            Event::Commit { answer, delete } => {
                let deleted = driver.meanwhile(handler.commit(delete)).await;
                let _ = driver.session().answer(answer, deleted);
            }
            Event::Closed(why) => closed = why,
        }
    }
    match driver.error() {
        Some(error) => Err(error.kind().into()),
        None => Ok(closed),
    }
}

/// Writes a message out as the handler reads it and the client takes it.
async fn send<IO: AsyncRead + AsyncWrite + Unpin>(
    driver: &mut Driver<Server, IO>,
    handler: &mut impl Handler,
    question: &Pending<server::ask::Retrieve>,
    message: u32,
) -> Result<(), Refusal> {
    let mut at = 0;
    while driver.session().wants_more(question) {
        let mut octets = driver.meanwhile(handler.read(message, at)).await?;
        if octets.is_empty() {
            break;
        }
        at += octets.len() as u64;
        while !octets.is_empty() {
            let taken = driver.session().write_shared(question, &octets);
            octets.advance(taken);
            if taken == 0 && driver.drain().await.is_err() {
                return Err(Refusal::temporary(Text::literal("the connection was lost")));
            }
        }
    }
    Ok(())
}

/// A connection to a server, to fetch mail over. Dropping it deletes nothing.
///
/// A call whose future is dropped before it is done is not taken back: the server answers its command first, and the
/// next call passes that answer over.
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
    /// The server says no.
    #[error("the server refuses: {0}")]
    Refused(Refusal),
    /// The call has no place now.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Waits for the greeting and asks what the server offers.
    ///
    /// # Errors
    /// [`ConnectionError::Refused`] if the server does not want us; others if TLS fails, among others.
    pub async fn open(
        stream: IO,
        tls: Tls,
        config: Arc<client::Config>,
        id: SessionId,
    ) -> Result<Self, ConnectionError> {
        let mut connection = Self { driver: Driver::new(Client::new(config, id), stream, tls) };
        connection.ready().await?;
        Ok(connection)
    }

    /// What the server offers; `None` if it does not say.
    pub fn capabilities(&mut self) -> Option<Capabilities> {
        self.driver.session().capabilities().cloned()
    }

    /// The session itself.
    pub fn session(&mut self) -> &mut Client {
        self.driver.session()
    }

    /// STLS. If it fails, nothing else may be sent in the clear by whoever insists on TLS.
    ///
    /// # Errors
    /// [`ConnectionError`]
    pub async fn start_tls(&mut self) -> Result<(), ConnectionError> {
        let of = self.driver.session().start_tls()?;
        self.complete(of, |_| {}).await?;
        self.ready().await
    }

    /// USER and PASS.
    ///
    /// # Errors
    /// [`ConnectionError::Refused`] if they are wrong, among others.
    pub async fn login(&mut self, user: &str, password: Secret<String>) -> Result<Text, ConnectionError> {
        let of = self.driver.session().login(user, password)?;
        self.complete(of, |_| {}).await
    }

    /// AUTH.
    ///
    /// # Errors
    /// [`ConnectionError::Refused`] if the server does not believe it, among others.
    pub async fn authenticate(&mut self, mechanism: Box<dyn Mechanism>) -> Result<Text, ConnectionError> {
        let of = self.driver.session().authenticate(mechanism)?;
        self.complete(of, |_| {}).await
    }

    /// LIST: the messages and their sizes, which some servers only guess.
    ///
    /// # Errors
    /// [`ConnectionError`]
    pub async fn list(&mut self) -> Result<Vec<(u32, u64)>, ConnectionError> {
        let of = self.driver.session().list(None)?;
        let mut listed = Vec::new();
        let see = |event| {
            if let client::Event::Listing { of: about, sizes } = event
                && about == of
            {
                listed.extend(sizes);
            }
        };
        self.complete(of, see).await?;
        Ok(listed)
    }

    /// UIDL: the messages and their ids, as far as they have one.
    ///
    /// # Errors
    /// [`ConnectionError`]
    pub async fn unique_ids(&mut self) -> Result<Vec<(u32, Option<UniqueId>)>, ConnectionError> {
        let of = self.driver.session().unique_ids(None)?;
        let mut listed = Vec::new();
        let see = |event| {
            if let client::Event::UniqueIds { of: about, ids } = event
                && about == of
            {
                listed.extend(ids.iter().map(|(message, id)| (message, id.map(UniqueIdRef::to_owned))));
            }
        };
        self.complete(of, see).await?;
        Ok(listed)
    }

    /// RETR: `each` is given the message's octets as they come. If this fails, they are not all.
    ///
    /// # Errors
    /// [`ConnectionError`]
    pub async fn retrieve(&mut self, message: u32, each: impl FnMut(Bytes)) -> Result<(), ConnectionError> {
        let of = self.driver.session().retrieve(message)?;
        self.body(of, each).await
    }

    /// TOP: as [`Connection::retrieve`], but the header and so many lines of the body.
    ///
    /// # Errors
    /// [`ConnectionError`]
    pub async fn top(&mut self, message: u32, lines: u64, each: impl FnMut(Bytes)) -> Result<(), ConnectionError> {
        let of = self.driver.session().top(message, lines)?;
        self.body(of, each).await
    }

    /// DELE: marks a message to be deleted by [`Connection::quit`].
    ///
    /// # Errors
    /// [`ConnectionError`]
    pub async fn delete(&mut self, message: u32) -> Result<(), ConnectionError> {
        let of = self.driver.session().delete(message)?;
        self.complete(of, |_| {}).await.map(drop)
    }

    /// QUIT: deletes what was marked, and closes.
    ///
    /// # Errors
    /// [`ConnectionError::Refused`] if some of it may not be deleted. If the connection is lost, it may be or not.
    pub async fn quit(mut self) -> Result<(), ConnectionError> {
        let of = self.driver.session().quit()?;
        self.complete(of, |_| {}).await?;
        while self.driver.next().await.is_some() {}
        Ok(())
    }

    async fn body(&mut self, of: CommandId, mut each: impl FnMut(Bytes)) -> Result<(), ConnectionError> {
        let see = |event| {
            if let client::Event::Body { of: about, bytes } = event
                && about == of
            {
                each(bytes);
            }
        };
        self.complete(of, see).await.map(drop)
    }

    async fn ready(&mut self) -> Result<(), ConnectionError> {
        while !matches!(self.next().await?, client::Event::Ready) {}
        Ok(())
    }

    /// Waits until a command is over, and shows `see` what is reported until then.
    async fn complete(&mut self, of: CommandId, mut see: impl FnMut(client::Event)) -> Result<Text, ConnectionError> {
        loop {
            match self.next().await? {
                client::Event::Completed { of: over, result } if over == of => {
                    return result.map_err(ConnectionError::Refused);
                }
                event => see(event),
            }
        }
    }

    async fn next(&mut self) -> Result<client::Event, ConnectionError> {
        let event = self.driver.next().await;
        match (self.driver.error(), event) {
            // The transport knows better why the stream ended.
            (Some(error), Some(client::Event::Closed(Closed::Eof)) | None) => {
                Err(ConnectionError::Io(error.kind().into()))
            }
            (_, Some(client::Event::Dismissed(why))) => Err(ConnectionError::Refused(why)),
            (_, Some(client::Event::Closed(why))) => Err(ConnectionError::Closed(why)),
            (_, Some(event)) => Ok(event),
            (None, None) => Err(ConnectionError::Closed(Closed::Eof)),
        }
    }
}
