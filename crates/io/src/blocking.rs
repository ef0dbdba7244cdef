//! The driver for blocking streams.

use crate::counted::Counted;
#[cfg(feature = "rustls")]
use crate::tls::{self, Tls};
use crate::{LINGER, READ, STALL};
#[cfg(feature = "rustls")]
use postrider_core::{Handshake, Pending, TlsFailed};
use postrider_core::{Instant, Session, Step};
use std::io::{self, Read, Write};
use std::time::Duration;

/// A blocking byte stream whose waits can be bounded.
pub trait Stream: Read + Write {
    /// Lets a read give up after `wait` (`None`: never) with `WouldBlock` or `TimedOut`.
    ///
    /// # Errors
    /// The system's.
    fn set_read_timeout(&self, wait: Option<Duration>) -> io::Result<()>;

    /// The same for a write.
    ///
    /// # Errors
    /// The system's.
    fn set_write_timeout(&self, wait: Option<Duration>) -> io::Result<()>;

    /// Closes our half.
    ///
    /// # Errors
    /// The system's.
    fn shutdown_write(&self) -> io::Result<()>;
}

macro_rules! stream {
    ($stream:ty) => {
        impl Stream for $stream {
            fn set_read_timeout(&self, wait: Option<Duration>) -> io::Result<()> {
                <$stream>::set_read_timeout(self, wait)
            }
            fn set_write_timeout(&self, wait: Option<Duration>) -> io::Result<()> {
                <$stream>::set_write_timeout(self, wait)
            }
            fn shutdown_write(&self) -> io::Result<()> {
                self.shutdown(std::net::Shutdown::Write)
            }
        }
    };
}
stream!(std::net::TcpStream);
#[cfg(unix)]
stream!(std::os::unix::net::UnixStream);

/// How long a write may block before we look whether the peer waits for us to read.
const TURN: Duration = Duration::from_millis(50);

/// Runs a session over a blocking stream.
///
/// A blocking application answers every question before it calls [`Driver::next`] again: nobody else could.
pub struct Driver<S, T> {
    session: S,
    stream: Option<T>,
    #[cfg(feature = "rustls")]
    tls: Tls,
    #[cfg(feature = "rustls")]
    connection: Option<Box<rustls::Connection>>,
    /// What the session waits for while `connection` shakes hands.
    #[cfg(feature = "rustls")]
    handshake: Option<Pending<Handshake>>,
    origin: std::time::Instant,
    ended: bool,
    error: Option<io::Error>,
    stall: Duration,
    linger: Duration,
    /// Nothing can be written any more; what the peer said before is read until then.
    mute: Option<std::time::Instant>,
}

impl<S: Session, T: Stream> Driver<S, T> {
    /// A driver for `session` over `stream`. The session's time begins now.
    #[cfg(feature = "rustls")]
    pub fn new(session: S, stream: T, tls: Tls) -> Self {
        let origin = std::time::Instant::now();
        let stream = Some(stream);
        Self {
            session,
            stream,
            tls,
            connection: None,
            handshake: None,
            origin,
            ended: false,
            error: None,
            stall: STALL,
            linger: LINGER,
            mute: None,
        }
    }

    /// A driver for `session` over `stream`, which stays plaintext. The session's time begins now.
    #[cfg(not(feature = "rustls"))]
    pub fn new(session: S, stream: T) -> Self {
        Self {
            session,
            stream: Some(stream),
            origin: std::time::Instant::now(),
            ended: false,
            error: None,
            stall: STALL,
            linger: LINGER,
            mute: None,
        }
    }

    /// Says how long the transport may take nothing while only [`Driver::drain`] is waited for, before it counts as lost.
    /// Default 5 min. While events are waited for, the session says.
    #[must_use]
    pub fn stall(mut self, stall: std::time::Duration) -> Self {
        self.stall = stall;
        self
    }

    /// Says how long the transport's end may take, when the session is finished: our last words are given to the peer, and
    /// its end is waited for. Default 1 s.
    pub fn set_linger(&mut self, linger: Duration) {
        self.linger = linger;
    }

    /// The session, to answer its questions and tell it things.
    pub fn session(&mut self) -> &mut S {
        &mut self.session
    }

    /// What the transport complained of when it was lost. `None` after an orderly end.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Waits for the next event; `None` when the session is finished and the transport closed.
    #[allow(clippy::should_implement_trait)] // an iterator could not lend the session between two events
    pub fn next(&mut self) -> Option<S::Event> {
        loop {
            let now = Instant::after_origin(self.origin.elapsed());
            let deadline = match self.session.poll(now) {
                Step::Event(event) => return Some(event),
                Step::Idle { deadline } => deadline,
            };
            if let Some(until) = self.mute {
                let left = until.saturating_duration_since(std::time::Instant::now());
                if self.ended || self.session.window() == 0 || left.is_zero() {
                    self.lose(io::ErrorKind::BrokenPipe.into());
                } else {
                    self.read(Some(left));
                }
                continue;
            }
            if !self.session.output().is_empty() {
                self.write();
                continue;
            }
            if self.session.is_finished() {
                self.close();
                return None;
            }
            if self.holds_records() {
                self.write();
                continue;
            }
            #[cfg(feature = "rustls")]
            if let Some(pending) = self.session.upgrade() {
                self.start_handshake(pending);
                continue;
            }
            #[cfg(not(feature = "rustls"))]
            if let Some(pending) = self.session.upgrade() {
                let _ = self.session.tls(pending, Err("this driver was built without TLS".into()));
                continue;
            }
            let wait = deadline.map(|at| now.until(at).max(Duration::from_millis(1)));
            #[cfg(feature = "rustls")]
            if self.handshake.is_some() {
                self.shake_hands(wait);
                continue;
            }
            if self.session.window() == 0 || self.ended {
                // Only time can move it: an unanswered question, or the end of a linger.
                let wait = wait.expect("a question was left unanswered, and the session waits for nothing else");
                std::thread::park_timeout(wait);
                continue;
            }
            self.read(wait);
        }
    }

    /// Writes until the session has no output left: what to call when a session's `write` took less than it was given.
    ///
    /// # Errors
    /// The transport's error, also when it took nothing for as long as [`Driver::stall`] says. [`Driver::next`] then leads to the
    /// session's `Closed`.
    pub fn drain(&mut self) -> io::Result<()> {
        let mut moved = std::time::Instant::now();
        while self.error.is_none() && (!self.session.output().is_empty() || self.holds_records()) {
            if self.write() {
                moved = std::time::Instant::now();
            } else if moved.elapsed() >= self.stall {
                self.lose(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing"));
            }
        }
        match &self.error {
            Some(error) => Err(error.kind().into()),
            None => Ok(()),
        }
    }

    /// Writes once. If the peer does not take it, it may be waiting for us to read: so we do, as far as the window
    /// allows, instead of waiting for each other. True if the transport took any octet.
    fn write(&mut self) -> bool {
        let Some(stream) = &mut self.stream else {
            let dropped = self.session.output().len();
            self.session.sent(dropped);
            return true;
        };
        let _ = stream.set_write_timeout(Some(TURN));
        let mut stream = Counted::new(stream);
        let output = self.session.output();
        #[cfg(feature = "rustls")]
        let written = match &mut self.connection {
            Some(connection) => write_tls(connection, &mut stream, output),
            None => stream.write(output),
        };
        #[cfg(not(feature = "rustls"))]
        let written = stream.write(output);
        let moved = stream.taken > 0;
        match written {
            Ok(0) if !output.is_empty() => self.unheard(io::ErrorKind::WriteZero.into()),
            Ok(n) => self.session.sent(n),
            Err(error) if is_wait(&error) => {
                if self.session.window() > 0 && !self.ended {
                    self.read(Some(Duration::from_millis(1)));
                }
            }
            Err(error) => self.unheard(error),
        }
        moved
    }

    fn read(&mut self, wait: Option<Duration>) {
        let Some(stream) = &mut self.stream else { return };
        let mut space = [0; READ];
        let window = self.session.window().min(READ);
        let _ = stream.set_read_timeout(wait);
        #[cfg(feature = "rustls")]
        let read = match &mut self.connection {
            Some(connection) => read_tls(connection, stream, &mut space[..window]),
            None => stream.read(&mut space[..window]),
        };
        #[cfg(not(feature = "rustls"))]
        let read = stream.read(&mut space[..window]);
        match read {
            Ok(0) => {
                self.ended = true;
                self.session.receive_eof();
            }
            Ok(n) => {
                let taken = self.session.receive(&space[..n]);
                assert_eq!(taken, n, "the window was open that far");
            }
            Err(error) if is_wait(&error) => {}
            Err(error) => self.lose(error),
        }
    }

    #[cfg(feature = "rustls")]
    fn start_handshake(&mut self, pending: Pending<Handshake>) {
        if self.stream.is_none() {
            let _ = self.session.tls(pending, Err("the connection is lost".into()));
            return;
        }
        let connection = match &self.tls {
            Tls::None => Err(rustls::Error::General("this end has no TLS configuration".into())),
            Tls::Server(config) => rustls::ServerConnection::new(config.config.clone()).map(rustls::Connection::from),
            Tls::Client { config, name, .. } => {
                rustls::ClientConnection::new(config.clone(), name.clone()).map(rustls::Connection::from)
            }
        };
        match connection {
            Ok(connection) => {
                self.connection = Some(Box::new(connection));
                self.handshake = Some(pending);
            }
            Err(error) => {
                let _ = self.session.tls(pending, Err(TlsFailed(error.to_string().into())));
            }
        }
    }

    /// Takes one step of the handshake, which may wait for the peer as long as `wait`. The session keeps the time of
    /// the whole: a peer that sends an octet now and then does not get more.
    #[cfg(feature = "rustls")]
    fn shake_hands(&mut self, wait: Option<Duration>) {
        let connection = self.connection.as_mut().expect("a handshake has a connection until it ends");
        let step = match &mut self.stream {
            Some(stream) => handshake_step(connection, stream, wait),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        let result = match step {
            Err(error) if is_wait(&error) => return,
            Ok(()) if connection.is_handshaking() || connection.wants_write() => return,
            Ok(()) => Ok(match connection.as_ref() {
                rustls::Connection::Client(client) => tls::info(client, None, &self.tls),
                rustls::Connection::Server(server) => tls::info(server, server.server_name(), &self.tls),
            }),
            Err(error) => {
                let failed = TlsFailed(error.to_string().into());
                self.error.get_or_insert(error);
                self.stream = None;
                Err(failed)
            }
        };
        let pending = self.handshake.take().expect("a handshake ends once");
        // Stale means that the session ended while the handshake went on: nothing to tell it.
        let _ = self.session.tls(pending, result);
    }

    /// Whether there are TLS records that the stream has not taken yet.
    fn holds_records(&self) -> bool {
        #[cfg(feature = "rustls")]
        let holds = self.handshake.is_none() && self.connection.as_ref().is_some_and(|tls| tls.wants_write());
        #[cfg(not(feature = "rustls"))]
        let holds = false;
        holds && self.stream.is_some()
    }

    /// The peer takes nothing more, but may have said why before: see the tokio driver.
    fn unheard(&mut self, error: io::Error) {
        self.error.get_or_insert(error);
        self.mute = Some(std::time::Instant::now() + LINGER);
    }

    fn lose(&mut self, error: io::Error) {
        self.stream = None;
        self.error.get_or_insert(error);
        self.mute = None;
        self.ended = true;
        self.session.receive_eof();
    }

    /// A shutdown of our half, then a short wait for the peer's: see the tokio driver.
    fn close(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        let begun = std::time::Instant::now();
        let linger = self.linger;
        let left = || linger.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
        #[cfg(feature = "rustls")]
        if let Some(connection) = &mut self.connection {
            connection.send_close_notify();
            while let (true, Some(left)) = (connection.wants_write(), left()) {
                let _ = stream.set_write_timeout(Some(left));
                match connection.write_tls(&mut stream) {
                    Ok(0) => break,
                    Err(error) if !is_wait(&error) => break,
                    Ok(_) | Err(_) => {}
                }
            }
        }
        if self.ended || stream.shutdown_write().is_err() {
            return;
        }
        let mut space = [0; READ];
        while let Some(left) = left() {
            let _ = stream.set_read_timeout(Some(left));
            match stream.read(&mut space) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Writes what the handshake has to say, else reads what the peer says to it.
#[cfg(feature = "rustls")]
fn handshake_step(
    connection: &mut rustls::Connection,
    stream: &mut impl Stream,
    wait: Option<Duration>,
) -> io::Result<()> {
    if connection.wants_write() {
        stream.set_write_timeout(Some(wait.map_or(TURN, |wait| wait.min(TURN))))?;
        return connection.write_tls(stream).map(drop);
    }
    stream.set_read_timeout(wait)?;
    if connection.read_tls(stream)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer left during the TLS handshake"));
    }
    connection.process_new_packets().map(drop).map_err(|error| {
        // The alert says why.
        let _ = connection.write_tls(stream);
        io::Error::new(io::ErrorKind::InvalidData, error)
    })
}

#[cfg(feature = "rustls")]
fn write_tls(connection: &mut rustls::Connection, stream: &mut impl Write, output: &[u8]) -> io::Result<usize> {
    while connection.wants_write() {
        connection.write_tls(stream)?;
    }
    let n = connection.writer().write(output)?;
    while connection.wants_write() {
        match connection.write_tls(stream) {
            Ok(_) => {}
            // The plaintext was taken; the rest of the records goes out with the next write or read.
            Err(error) if is_wait(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

/// Reads what came from the peer at once: a peer whose records never end, or hold nothing, must not keep us from looking
/// at the time.
#[cfg(feature = "rustls")]
fn read_tls(connection: &mut rustls::Connection, stream: &mut impl Stream, into: &mut [u8]) -> io::Result<usize> {
    let mut plaintext = |connection: &mut rustls::Connection| match connection.reader().read(into) {
        // The peer closed without close_notify: the session sees the end and judges it.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        done => done,
    };
    match plaintext(connection) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        done => return done,
    }
    connection.read_tls(stream)?;
    if let Err(error) = connection.process_new_packets() {
        let _ = connection.write_tls(stream);
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    plaintext(connection)
}
