//! Serving one client for a [`Handler`].

use crate::outcome::{Accepted, Delivered, Refusal};
use crate::server::{self, Event, Server};
use crate::wire::{EtrnTarget, MailParams, RcptParams, Url};
use crate::{ForwardPath, HelloName, ReversePath};
use alloc::sync::Arc;
use bytes::Bytes;
use core::future::Future;
use postrider_core::{Closed, Security, SessionId};
use postrider_io::Tls;
use postrider_io::tokio::Driver;
use postrider_sasl::{ApopChallenge, Attempt, Denied, Identity, ScramAnswer, ScramHash};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

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

    /// What is kept of this user's password? Only if SCRAM is among the [mechanisms](server::Config::auth). For users
    /// there are not, say [`ScramCredentials::for_nobody`](postrider_sasl::ScramCredentials::for_nobody).
    fn scram(&mut self, user: &str, hash: ScramHash) -> impl Future<Output = Result<ScramAnswer, Refusal>> + Send {
        async { Err(Denied::Temporary.into()) }
    }

    /// A timestamp never used before. Only if CRAM-MD5 is among the [mechanisms](server::Config::auth).
    fn challenge(&mut self) -> impl Future<Output = Result<ApopChallenge, Refusal>> + Send {
        async { Err(Denied::Temporary.into()) }
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

    /// Who is on this list? Only with [`server::Config::ask_expand`]; not told to anybody, unless this does.
    fn expand(
        &mut self,
        client: &ClientInfo,
        what: &postrider_core::Text,
    ) -> impl Future<Output = Result<Accepted, Refusal>> + Send {
        async { Err(Refusal::permanent(550, (7, 1), postrider_core::Text::literal("Lists are not told of"))) }
    }

    /// Shall what waits for a host be sent now (RFC 1985)? Only with [`server::Config::etrn`]; not for anybody, unless this
    /// says so.
    fn etrn(
        &mut self,
        client: &ClientInfo,
        target: &EtrnTarget,
    ) -> impl Future<Output = Result<Accepted, Refusal>> + Send {
        async { Err(Refusal::transient(459, (7, 1), postrider_core::Text::literal("Not for this client"))) }
    }

    /// Fetches part of the message, to be put after what [`Handler::body`] was given so far (RFC 4468). Only with
    /// [`server::Config::burl`]; not fetched, unless this does. `last` says that [`Handler::message`] follows. The URL may
    /// hold the key to what it names.
    fn burl(&mut self, client: &ClientInfo, url: &Url, last: bool) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Err(Refusal::permanent(554, (6, 6), postrider_core::Text::literal("URLs are not fetched here"))) }
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

/// What is known of the client.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Where it is: as [`serve_from`] was told, or a trusted peer that spoke for it. With [`serve`], nothing.
    pub origin: server::Origin,
    /// What it calls itself.
    pub hello: Option<HelloName>,
    /// Whether it said so with EHLO or LHLO.
    pub extended: bool,
    /// Who it is, if it logged in.
    pub identity: Option<Identity>,
    /// Whether the stream is protected.
    pub security: Security,
}

impl ClientInfo {
    fn of(session: &Server) -> Self {
        let hello = session.hello();
        Self {
            origin: session.client().clone(),
            hello: hello.map(|(name, _)| name.clone()),
            extended: hello.is_some_and(|(_, extended)| extended),
            identity: session.identity().cloned(),
            security: session.security().clone(),
        }
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
    run(Driver::new(Server::new(config, id), stream, tls), handler).await
}

/// As [`serve`], for a client at this address: [`server::Config::proxies`] and [`server::Config::xclient`] are looked at,
/// and [`ClientInfo::origin`] says where it is.
///
/// # Errors
/// As [`serve`].
pub async fn serve_from<IO>(
    stream: IO,
    peer: SocketAddr,
    tls: Tls,
    config: Arc<server::Config>,
    id: SessionId,
    handler: impl Handler,
) -> io::Result<Closed>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    run(Driver::new(Server::with_peer(config, id, peer), stream, tls), handler).await
}

async fn run<IO>(mut driver: Driver<Server, IO>, mut handler: impl Handler) -> io::Result<Closed>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut closed = Closed::Eof;
    while let Some(event) = driver.next().await {
        let mut late = None;
        match event {
            Event::Hello { answer, name } => {
                let verdict = driver.meanwhile(handler.hello(&name)).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Auth { answer, attempt } => {
                let verdict = driver.meanwhile(handler.auth(attempt)).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Scram { answer, user, hash } => {
                let verdict = driver.meanwhile(handler.scram(&user, hash)).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Challenge { answer } => {
                let verdict = driver.meanwhile(handler.challenge()).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Mail { answer, from, params } => {
                let client = ClientInfo::of(driver.session());
                let verdict = driver.meanwhile(handler.mail(&client, &from, &params)).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Rcpt { answer, to, params } => {
                let verdict = driver.meanwhile(handler.rcpt(&to, &params)).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Data { answer } => {
                let verdict = driver.meanwhile(handler.data()).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Body(octets) => driver.meanwhile(handler.body(octets)).await,
            Event::Message { answer, size } => {
                let verdict = driver.meanwhile(handler.message(size)).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Message);
            }
            Event::Reset => driver.meanwhile(handler.reset()).await,
            Event::Verify { answer, what } => {
                let verdict = driver.meanwhile(handler.verify(&what)).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Expand { answer, what } => {
                let client = ClientInfo::of(driver.session());
                let verdict = driver.meanwhile(handler.expand(&client, &what)).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Etrn { answer, target } => {
                let client = ClientInfo::of(driver.session());
                let verdict = driver.meanwhile(handler.etrn(&client, &target)).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Burl { answer, url, last } => {
                let client = ClientInfo::of(driver.session());
                let verdict = driver.meanwhile(handler.burl(&client, &url, last)).await;
                late = driver.session().answer(answer, verdict).err().map(|_| TooLate::Other);
            }
            Event::Closed(why) => closed = why,
        }
        if let Some(what) = late {
            driver.meanwhile(handler.late(what)).await;
        }
    }
    match driver.error() {
        Some(error) => Err(error.kind().into()),
        None => Ok(closed),
    }
}
