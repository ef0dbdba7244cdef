//! The friendly face for blocking programs: [`send`].
//!
//! ```no_run
//! use postrider_smtp::{Envelope, Mailbox, Remote, blocking};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let remote = Remote::submissions("smtp.example.org")?.login("alice", "wonderland".to_owned());
//! let envelope = Envelope::new(Mailbox::parse("alice@example.org")?).and_to(Mailbox::parse("bob@example.net")?);
//! let outcomes = blocking::send(&remote, envelope, b"Subject: Hello\r\n\r\nHello Bob\r\n")?;
//! assert!(outcomes[0].is_delivered());
//! # Ok(()) }
//! ```

use crate::Envelope;
use crate::client::{Client, Event, Outcome, Plan, SendError};
use crate::remote::{FaceError, GOODBYE, Remote, ending, lost, settle};
use crate::wire::Capabilities;
use alloc::vec::Vec;
use core::time::Duration;
use postrider_core::{Session, SessionId};
use postrider_io::blocking::Driver;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Instant;

/// Sends a message, in as many transactions and sessions as the server's limits ask for, and says what became of it for
/// each recipient. Its lines end with CRLF. Ends by [`Remote::deadline`], but for the system's own time to look up the
/// host's name.
///
/// # Errors
/// [`FaceError`] if no transaction came about. Whatever happens later is in the outcomes.
pub fn send(remote: &Remote, envelope: Envelope, message: &[u8]) -> Result<Vec<Outcome>, FaceError> {
    let recipients = envelope.recipients.len();
    let mut plan = Plan::new(envelope.describing(message));
    let result = carry(remote, &mut plan, message, Instant::now() + remote.deadline);
    settle(plan, recipients, result)
}

fn carry(remote: &Remote, plan: &mut Plan, message: &[u8], until: Instant) -> Result<(), FaceError> {
    let mut session = 0;
    while plan.open() > 0 {
        session += 1;
        let mut line = Line::open(remote, session, !plan.chunks_refused(), until)?;
        let mut begun = false;
        while let Some(part) = plan.next(&line.offered()) {
            match line.send(part, message) {
                Ok(outcomes) => plan.finished(outcomes),
                // Another session, unless this one has just begun.
                Err(FaceError::Send(SendError::TooManyTransactions { .. } | SendError::TooManyDomains { .. }))
                    if begun =>
                {
                    break;
                }
                Err(error) => return Err(error),
            }
            begun = true;
            if !line.driver.session().is_ready() {
                break;
            }
        }
        // Who has given up does not wait for a goodbye.
        if line.driver.session().is_ready() {
            line.quit(until);
        }
    }
    Ok(())
}

/// A session and its connection.
struct Line {
    driver: Driver<Client, TcpStream>,
}

impl Line {
    /// Connects, greets, starts TLS and logs in.
    fn open(remote: &Remote, id: SessionId, chunks: bool, until: Instant) -> Result<Self, FaceError> {
        let stream = connect(remote, until)?;
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().ok().map(|address| address.ip());
        let session = remote.session(local, id, chunks, left(until));
        let mut line = Self { driver: Driver::new(session, stream, remote.driver_tls()) };
        while !matches!(line.next()?, Event::Ready) {}
        if let Some(mechanism) = remote.mechanism(line.driver.session())? {
            line.driver.session().authenticate(mechanism)?;
            loop {
                if let Event::Authenticated(done) = line.next()? {
                    done?;
                    break;
                }
            }
        }
        Ok(line)
    }

    fn offered(&mut self) -> Capabilities {
        self.driver.session().capabilities().cloned().unwrap_or_default()
    }

    fn send(&mut self, envelope: Envelope, message: &[u8]) -> Result<Vec<Outcome>, FaceError> {
        let transaction = self.driver.session().send(envelope)?;
        let mut rest = message;
        let mut wanted = None;
        loop {
            // What ends the session comes after what became of the message.
            match self.driver.next() {
                Some(Event::BodyWanted { body, .. }) => wanted = Some(body),
                Some(Event::BodyRoom { .. }) => {}
                Some(Event::Finished { of, outcomes }) if of == transaction => return Ok(outcomes),
                Some(_) => continue,
                None => return Err(lost(self.driver.error())),
            }
            if let Some(body) = wanted.take() {
                let taken = self.driver.session().write(&body, rest);
                rest = &rest[taken..];
                if rest.is_empty() {
                    // If it cannot be finished, the outcomes say why.
                    let _ = self.driver.session().finish(body);
                } else {
                    wanted = Some(body);
                }
            }
        }
    }

    fn next(&mut self) -> Result<Event, FaceError> {
        match self.driver.next() {
            Some(event) => ending(event, self.driver.error()),
            None => Err(lost(self.driver.error())),
        }
    }

    /// Says goodbye. Whether it is heard does not matter any more.
    fn quit(mut self, until: Instant) {
        let until = until.min(Instant::now() + GOODBYE);
        self.driver.session().quit();
        self.driver.session().set_deadline(Some(left(until)));
        while !matches!(self.driver.next(), Some(Event::Closed(_)) | None) {}
        // Words that the server does not take are not waited for.
        if self.driver.session().output().is_empty() {
            self.driver.set_linger(left(until).min(Duration::from_secs(1)));
            while self.driver.next().is_some() {}
        }
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn connect(remote: &Remote, until: Instant) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (remote.host(), remote.port()).to_socket_addrs()? {
        let wait = remote.connect.min(left(until));
        if wait.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, wait) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
