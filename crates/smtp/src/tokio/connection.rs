//! A connection to a server, to send mail over.

use crate::client::{self, Event, Outcome, Part};
use crate::remote::{FaceError, Remote, ending, lost};
use crate::wire::{Capabilities, Reply};
use crate::{Client, Envelope};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::time::Duration;
use postrider_core::SessionId;
use postrider_io::Tls;
use postrider_io::tokio::Driver;
use postrider_sasl::Mechanism;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// What went wrong with a [`Connection`].
pub type ConnectionError = FaceError;

/// A connection to a server, to send mail over.
///
/// Each wait has a limit: those of [`client::Limits`] for the server, and [`Connection::set_deadline`] for all together.
pub struct Connection<IO> {
    driver: Driver<Client, IO>,
}

impl Remote {
    /// Connects, greets, starts TLS and logs in.
    ///
    /// # Errors
    /// [`ConnectionError`], [`Remote::deadline`] from now on at the latest.
    pub async fn open(&self) -> Result<Connection<TcpStream>, ConnectionError> {
        self.open_until(Instant::now() + self.deadline, true).await
    }

    pub(super) async fn open_until(
        &self,
        until: Instant,
        chunks: bool,
    ) -> Result<Connection<TcpStream>, ConnectionError> {
        let connecting = timeout_at(until, timeout(self.connect, TcpStream::connect((self.host(), self.port()))));
        let stream = match connecting.await {
            Ok(Ok(connected)) => connected?,
            Ok(Err(_)) | Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        };
        // Only a delay if it fails.
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().ok().map(|address| address.ip());
        let session = self.session(local, 0, chunks, until.saturating_duration_since(Instant::now()));
        let mut connection = Connection { driver: Driver::new(session, stream, self.driver_tls()) };
        connection.greet().await?;
        if let Some(mechanism) = self.mechanism(connection.session())? {
            connection.authenticate(mechanism).await?;
        }
        connection.set_deadline(None);
        Ok(connection)
    }
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
        connection.greet().await?;
        Ok(connection)
    }

    async fn greet(&mut self) -> Result<(), ConnectionError> {
        while !matches!(self.next().await?, Event::Ready) {}
        Ok(())
    }

    /// What the server offers.
    pub fn capabilities(&mut self) -> Option<Capabilities> {
        self.driver.session().capabilities().cloned()
    }

    /// The session itself.
    pub fn session(&mut self) -> &mut Client {
        self.driver.session()
    }

    /// Ends the session after this time, whatever is going on; with `None`, never. What a message under way has come to
    /// is in its outcomes then.
    pub fn set_deadline(&mut self, limit: Option<Duration>) {
        self.driver.session().set_deadline(limit);
    }

    /// Logs in.
    ///
    /// # Errors
    /// [`ConnectionError::Auth`] if the server refuses, among others.
    pub async fn authenticate(&mut self, mechanism: Box<dyn Mechanism>) -> Result<(), ConnectionError> {
        self.driver.session().authenticate(mechanism)?;
        loop {
            if let Event::Authenticated(outcome) = self.next().await? {
                return Ok(outcome?);
            }
        }
    }

    /// The server's answer to what the [session](Self::session) was asked: NOOP, HELP, VRFY, EXPN or ETRN.
    ///
    /// # Errors
    /// [`ConnectionError`] if the session ends before. Without a question this waits for the server to end it.
    pub async fn answer(&mut self) -> Result<Reply, ConnectionError> {
        loop {
            if let Event::Answered { reply, .. } = self.next().await? {
                return Ok(reply);
            }
        }
    }

    /// Whether the server is still there: what it said or did since the last call is looked at, and it has `wait` to
    /// answer a NOOP.
    pub async fn is_there(&mut self, wait: Duration) -> bool {
        if !self.is_quiet().await || self.driver.session().noop().is_err() {
            return false;
        }
        let answered = async {
            loop {
                match self.next().await {
                    Ok(Event::Answered { .. }) => return true,
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        };
        timeout(wait, answered).await.unwrap_or(false)
    }

    /// Whether nothing came since the last call that ends the session. Does not wait.
    pub async fn is_quiet(&mut self) -> bool {
        timeout(Duration::ZERO, self.next()).await.is_err() && self.driver.session().is_ready()
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
        let mut rest: Bytes = message.into();
        let transaction = self.driver.session().send(envelope.describing(&rest))?;
        let mut wanted = None;
        loop {
            // Not `next`: what ends the session comes after what became of the message.
            match self.driver.next().await {
                Some(Event::BodyWanted { body, .. }) => wanted = Some(body),
                Some(Event::BodyRoom { .. }) => {}
                Some(Event::Finished { of, outcomes }) if of == transaction => return Ok(outcomes),
                // The server's words as they come are repeated in the outcomes.
                Some(_) => continue,
                None => return Err(lost(self.driver.error())),
            }
            if let Some(body) = wanted.take() {
                let taken = self.driver.session().write_shared(&body, &rest);
                rest.advance(taken);
                if rest.is_empty() {
                    // If it cannot be finished, the outcomes say why.
                    let _ = self.driver.session().finish(body);
                } else {
                    wanted = Some(body);
                }
            }
        }
    }

    /// Sends a message that the server puts together, and says what became of it for each recipient (RFC 4468).
    ///
    /// # Errors
    /// [`ConnectionError::Send`] if nothing was sent. Whatever happens later is in the outcomes.
    pub async fn send_parts(&mut self, envelope: Envelope, parts: Vec<Part>) -> Result<Vec<Outcome>, ConnectionError> {
        let transaction = self.driver.session().send_parts(envelope, parts)?;
        loop {
            match self.driver.next().await {
                Some(Event::Finished { of, outcomes }) if of == transaction => return Ok(outcomes),
                Some(_) => {}
                None => return Err(lost(self.driver.error())),
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

    async fn next(&mut self) -> Result<Event, ConnectionError> {
        match self.driver.next().await {
            Some(event) => ending(event, self.driver.error()),
            None => Err(lost(self.driver.error())),
        }
    }
}
