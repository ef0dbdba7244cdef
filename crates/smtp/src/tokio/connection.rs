//! A connection to a server, to send mail over.

use crate::client::{self, AuthFailed, Outcome, SendError};
use crate::wire::{Capabilities, Reply};
use crate::{Client, Envelope};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use postrider_core::{Closed, Misuse, SessionId};
use postrider_io::Tls;
use postrider_io::tokio::Driver;
use postrider_sasl::Mechanism;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

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
        let mut rest: Bytes = message.into();
        let mut wanted = None;
        loop {
            // Not `next`: what ends the session comes after what became of the message.
            match self.driver.next().await {
                Some(client::Event::BodyWanted { body, .. }) => wanted = Some(body),
                Some(client::Event::BodyRoom { .. }) => {}
                Some(client::Event::Finished { of, outcomes }) if of == transaction => return Ok(outcomes),
                // The server's words as they come are repeated in the outcomes.
                Some(_) => continue,
                None => return Err(self.lost()),
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
