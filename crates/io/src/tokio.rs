//! The driver for tokio.

use crate::counted::Counted;
use crate::tls::{self, Tls};
use crate::{LINGER, READ, STALL};
use postrider_core::{Handshake, Instant, Pending, Session, Step, TlsFailed};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::{Accept, Connect, TlsAcceptor, TlsConnector, TlsStream};

/// Events that wait in [`Driver::meanwhile`], before the session is held up. Each holds at most what the session buffers.
const WAITING: usize = 16;

/// Runs a session over an async byte stream.
///
/// Idle, it holds no buffer of its own.
pub struct Driver<S: Session, IO> {
    session: S,
    /// Events that came while nobody looked.
    waiting: VecDeque<S::Event>,
    stream: Stream<IO>,
    tls: Tls,
    origin: tokio::time::Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    unflushed: bool,
    ended: bool,
    error: Option<io::Error>,
    farewell: Option<Pin<Box<Sleep>>>,
    stall: std::time::Duration,
    /// Nothing can be written any more; what the peer said before is read until then.
    mute: Option<Pin<Box<Sleep>>>,
}

enum Stream<IO> {
    Plain(Counted<IO>),
    Accepting(Box<Accept<Counted<IO>>>, Option<Pending<Handshake>>),
    Connecting(Box<Connect<Counted<IO>>>, Option<Pending<Handshake>>),
    Tls(Box<TlsStream<Counted<IO>>>),
    Gone,
}

impl<S: Session, IO: AsyncRead + AsyncWrite + Unpin> Driver<S, IO> {
    /// A driver for `session` over `stream`. The session's time begins now.
    pub fn new(session: S, stream: IO, tls: Tls) -> Self {
        Self {
            session,
            waiting: VecDeque::new(),
            stream: Stream::Plain(Counted::new(stream)),
            tls,
            origin: tokio::time::Instant::now(),
            sleep: None,
            unflushed: false,
            ended: false,
            error: None,
            farewell: None,
            stall: STALL,
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

    /// The session, to answer its questions and tell it things.
    pub fn session(&mut self) -> &mut S {
        &mut self.session
    }

    /// What the transport complained of when it was lost. `None` after an orderly end.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// The next event; `None` when the session is finished and the transport closed.
    ///
    /// Cancel-safe: a dropped future loses nothing. Reads, writes, flushes, keeps the session's timers and performs
    /// its TLS handshake while it waits.
    pub async fn next(&mut self) -> Option<S::Event> {
        match self.waiting.pop_front() {
            Some(event) => Some(event),
            None => poll_fn(|cx| self.poll_next(cx)).await,
        }
    }

    /// Awaits `work` while the session goes on: reads, writes, and keeps its time. Events that come meanwhile are kept for
    /// [`Driver::next`]; from the 16th on, the session is held up. Cancel-safe, as far as `work` is.
    pub async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut over = false;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            while !over && self.waiting.len() < WAITING {
                match self.poll_next(cx) {
                    Poll::Ready(Some(event)) => self.waiting.push_back(event),
                    Poll::Ready(None) => over = true,
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Writes until the session has no output left, without reading or polling it: what to await when a session's
    /// `write` took less than it was given. Cancel-safe.
    ///
    /// # Errors
    /// The transport's error, also when it took nothing for as long as [`Driver::stall`] says. [`Driver::next`] then leads to the
    /// session's `Closed`.
    pub async fn drain(&mut self) -> io::Result<()> {
        loop {
            if let Some(error) = &self.error {
                return Err(error.kind().into());
            }
            let before = self.session.output().len();
            let taken = self.stream.taken();
            let mut stalled = pin!(tokio::time::sleep(self.stall));
            let written = poll_fn(|cx| {
                // Of a TLS record, a part is progress too.
                if self.poll_write(cx) || self.stream.taken() != taken {
                    return Poll::Ready(true);
                }
                if self.session.output().is_empty() && !self.unflushed {
                    return Poll::Ready(true);
                }
                stalled.as_mut().poll(cx).map(|()| false)
            })
            .await;
            if !written {
                self.lose(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing"));
            }
            if self.error.is_some() || matches!(self.stream, Stream::Gone) {
                let kind = self.error.as_ref().map_or(io::ErrorKind::NotConnected, io::Error::kind);
                return Err(kind.into());
            }
            if self.session.output().is_empty() && !self.unflushed {
                return Ok(());
            }
            debug_assert!(before > 0 || self.unflushed);
        }
    }

    fn now(&self) -> Instant {
        Instant::after_origin(self.origin.elapsed())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Event>> {
        loop {
            let deadline = match self.session.poll(self.now()) {
                Step::Event(event) => return Poll::Ready(Some(event)),
                Step::Idle { deadline } => deadline,
            };
            let mut progress = self.poll_write(cx);
            if let Some(mute) = &mut self.mute
                && (self.ended || self.session.window() == 0 || mute.as_mut().poll(cx).is_ready())
            {
                self.lose(io::ErrorKind::BrokenPipe.into());
                continue;
            }
            if self.session.is_finished() {
                ready!(self.poll_close(cx));
                return Poll::Ready(None);
            }
            if let Some(pending) = self.session.upgrade() {
                self.start_handshake(pending);
            }
            progress |= self.poll_handshake(cx);
            progress |= self.poll_read(cx);
            if progress {
                continue;
            }
            let Some(deadline) = deadline else { return Poll::Pending };
            let at = self.origin + deadline.elapsed();
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if sleep.deadline() != at {
                sleep.as_mut().reset(at);
            }
            ready!(sleep.as_mut().poll(cx));
        }
    }

    /// Writes what it can; true if anything moved.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        if self.mute.is_some() {
            return false;
        }
        let mut progress = false;
        loop {
            let output = self.session.output();
            if output.is_empty() {
                if self.unflushed {
                    match self.stream.poll_flush(cx) {
                        Poll::Ready(Ok(())) => self.unflushed = false,
                        Poll::Ready(Err(error)) => return self.unheard(error),
                        Poll::Pending => {}
                    }
                }
                return progress;
            }
            match self.stream.poll_write(cx, output) {
                Poll::Ready(Ok(0)) => return self.unheard(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => {
                    self.session.sent(n);
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return self.unheard(error),
                Poll::Pending => return progress,
            }
            progress = true;
        }
    }

    /// Reads once; true if anything came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        let window = self.session.window().min(READ);
        if window == 0 || self.ended {
            return false;
        }
        let mut space = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut space[..window]);
        match self.stream.poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.ended = true;
                self.session.receive_eof();
            }
            Poll::Ready(Ok(())) => {
                let taken = self.session.receive(buffer.filled());
                assert_eq!(taken, buffer.filled().len(), "the window was open that far");
            }
            Poll::Ready(Err(error)) => self.lose(error),
            Poll::Pending => return false,
        }
        true
    }

    fn start_handshake(&mut self, pending: Pending<Handshake>) {
        let Stream::Plain(io) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            let _ = self.session.tls(pending, Err("TLS is in place already, or the connection is lost".into()));
            return;
        };
        match &self.tls {
            Tls::Server(config) => {
                let accept = TlsAcceptor::from(config.config.clone()).accept(io);
                self.stream = Stream::Accepting(Box::new(accept), Some(pending));
            }
            Tls::Client { config, name, .. } => {
                let connect = TlsConnector::from(config.clone()).connect(name.clone(), io);
                self.stream = Stream::Connecting(Box::new(connect), Some(pending));
            }
            Tls::None => {
                self.stream = Stream::Plain(io);
                let _ = self.session.tls(pending, Err("this end has no TLS configuration".into()));
            }
        }
    }

    /// Moves a handshake on; true if it ended.
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> bool {
        let (result, pending) = match &mut self.stream {
            Stream::Accepting(accept, pending) => match Pin::new(accept.as_mut()).poll(cx) {
                Poll::Ready(result) => (result.map(TlsStream::Server), pending.take()),
                Poll::Pending => return false,
            },
            Stream::Connecting(connect, pending) => match Pin::new(connect.as_mut()).poll(cx) {
                Poll::Ready(result) => (result.map(TlsStream::Client), pending.take()),
                Poll::Pending => return false,
            },
            Stream::Plain(_) | Stream::Tls(_) | Stream::Gone => return false,
        };
        let pending = pending.expect("a handshake ends once");
        let result = match result {
            Ok(stream) => {
                let info = match &stream {
                    TlsStream::Server(server) => {
                        let connection = server.get_ref().1;
                        tls::info(connection, connection.server_name(), &self.tls)
                    }
                    TlsStream::Client(client) => tls::info(client.get_ref().1, None, &self.tls),
                };
                self.stream = Stream::Tls(Box::new(stream));
                Ok(info)
            }
            Err(error) => {
                self.stream = Stream::Gone;
                let failed = TlsFailed(error.to_string().into());
                self.error = Some(error);
                Err(failed)
            }
        };
        // Stale means that the session ended while the handshake went on: nothing to tell it.
        let _ = self.session.tls(pending, result);
        true
    }

    /// The peer takes nothing more. It may have said why before, as a server does that refuses a message and hangs up: so
    /// it is read on for a short time. True, since something moved.
    fn unheard(&mut self, error: io::Error) -> bool {
        self.error.get_or_insert(error);
        self.mute = Some(Box::pin(tokio::time::sleep(LINGER)));
        true
    }

    /// The transport is of no more use: the session reads its end, and what it still writes is dropped.
    fn lose(&mut self, error: io::Error) {
        self.stream = Stream::Gone;
        self.error.get_or_insert(error);
        self.mute = None;
        self.unflushed = false;
        self.ended = true;
        self.session.receive_eof();
    }

    /// Says goodbye to the transport: a shutdown of our half, then a short wait for the peer's, since a socket closed
    /// with input unread would reset the connection and take our last words with it.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.stream, Stream::Gone) {
            return Poll::Ready(());
        }
        let farewell = self.farewell.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let gone = farewell.as_mut().poll(cx).is_ready();
        if gone || ready!(self.stream.poll_shutdown(cx)).is_err() || self.ended {
            self.stream = Stream::Gone;
            return Poll::Ready(());
        }
        let mut space = [const { MaybeUninit::uninit() }; READ];
        loop {
            let mut buffer = ReadBuf::uninit(&mut space);
            let result = ready!(self.stream.poll_read(cx, &mut buffer));
            if result.is_err() || buffer.filled().is_empty() {
                self.stream = Stream::Gone;
                return Poll::Ready(());
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream<IO> {
    /// How many octets the transport has taken, TLS included.
    fn taken(&self) -> u64 {
        match self {
            Self::Plain(io) => io.taken,
            Self::Tls(io) => io.get_ref().0.taken,
            Self::Accepting(..) | Self::Connecting(..) | Self::Gone => 0,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, output: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(io) => Pin::new(io).poll_write(cx, output),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_write(cx, output),
            Self::Accepting(..) | Self::Connecting(..) => Poll::Pending,
            // Lost: whatever is still said is said to nobody.
            Self::Gone => Poll::Ready(Ok(output.len())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_flush(cx),
            Self::Accepting(..) | Self::Connecting(..) | Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_read(cx, buffer),
            Self::Accepting(..) | Self::Connecting(..) => Poll::Pending,
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
            Self::Accepting(..) | Self::Connecting(..) | Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
