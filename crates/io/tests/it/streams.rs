//! The drivers over streams that are slow, take nothing for a while, or fail; without sockets.

use super::{Echo, Event, Talker, configs};
use postrider_core::Closed;
use postrider_io::rustls::{ClientConnection, Connection, ServerConnection};
use postrider_io::{Tls, blocking, tokio as async_io};
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The other end of a stream: TLS, and no more of it than a test lets through.
struct Peer {
    connection: Connection,
    /// The plaintext that came.
    heard: Vec<u8>,
    /// How many octets are taken until something is read here.
    room: usize,
    /// What `room` is after that.
    refill: usize,
    /// Whether `refill` comes with time too, without anything being read here.
    turns: bool,
    /// How many octets a read gives, at most, once the handshake is done.
    pace: usize,
    /// How long a read takes then.
    delay: Duration,
    /// Whether each line that is heard is said again.
    echoes: bool,
    /// Whether it may take nothing for ever.
    patient: bool,
    /// Times in a row that nothing could be written or read.
    stuck: usize,
}

impl Peer {
    fn new(connection: impl Into<Connection>) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            connection: connection.into(),
            heard: vec![],
            room: usize::MAX,
            refill: usize::MAX,
            turns: false,
            pace: usize::MAX,
            delay: Duration::ZERO,
            echoes: false,
            patient: false,
            stuck: 0,
        }))
    }

    fn say(&mut self, octets: &[u8]) {
        self.connection.writer().write_all(octets).expect("there is room");
    }

    fn wait<T>(&mut self) -> io::Result<T> {
        self.stuck += 1;
        assert!(self.patient || self.stuck < 1000, "both sides wait for each other");
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Our end of it.
struct Wire(Rc<RefCell<Peer>>);

impl Read for Wire {
    fn read(&mut self, mut into: &mut [u8]) -> io::Result<usize> {
        let peer = &mut *self.0.borrow_mut();
        let (pace, delay) = match peer.connection.is_handshaking() {
            true => (usize::MAX, Duration::ZERO),
            false => (peer.pace, peer.delay),
        };
        std::thread::park_timeout(delay);
        peer.room = peer.refill;
        if !peer.connection.wants_write() {
            return peer.wait();
        }
        peer.stuck = 0;
        let pace = pace.min(into.len());
        into = &mut into[..pace];
        peer.connection.write_tls(&mut into)
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let peer = &mut *self.0.borrow_mut();
        let taken = peer.room.min(octets.len());
        if taken == 0 {
            if peer.turns {
                peer.room = peer.refill;
            }
            return peer.wait();
        }
        peer.stuck = 0;
        if peer.refill < usize::MAX {
            peer.room -= taken;
        }
        let mut rest = &octets[..taken];
        while !rest.is_empty() {
            peer.connection.read_tls(&mut rest)?;
            let state = peer.connection.process_new_packets().map_err(io::Error::other)?;
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            peer.connection.reader().read_exact(&mut plain)?;
            if peer.echoes {
                peer.say(&plain);
            }
            peer.heard.extend(plain);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl blocking::Stream for Wire {
    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A peer that is a TLS server, and what a driver needs to talk to it.
fn tls_server() -> (Rc<RefCell<Peer>>, Tls) {
    let (server, client) = configs();
    let Tls::Server(server) = server else { unreachable!("it is the first") };
    (Peer::new(ServerConnection::new(server.config().clone()).expect("a configuration")), client)
}

/// A peer that is a TLS client, and what a driver needs to talk to it.
fn tls_client() -> (Rc<RefCell<Peer>>, Tls) {
    let (server, client) = configs();
    let Tls::Client { config, name, .. } = client else { unreachable!("it is the second") };
    (Peer::new(ClientConnection::new(config, name).expect("a configuration")), server)
}

/// A server session that begins with TLS.
fn echo(patience: Duration) -> Echo {
    let mut echo = Echo::new(1);
    echo.idle.arm(patience);
    echo.link.start_with_tls();
    echo
}

/// A server session that waits for nothing.
fn echo_in_the_clear() -> Echo {
    let mut echo = Echo::new(1);
    echo.idle.arm(Duration::from_millis(1));
    echo
}

/// A client session that begins with TLS.
fn talker(lines: &[&[u8]]) -> Talker {
    let mut talker = Talker::new(lines);
    talker.link.start_with_tls();
    talker
}

fn last<T: blocking::Stream>(driver: &mut blocking::Driver<Echo, T>) -> Option<Closed> {
    let mut last = None;
    while let Some(event) = driver.next() {
        let Event::Closed(why) = event else { panic!("nobody asked") };
        last = Some(why);
    }
    last
}

/// A record of 16 KiB that comes octet by octet would take more than a minute.
#[test]
fn a_record_that_never_ends_is_bounded_by_the_session() {
    let (peer, tls) = tls_client();
    let mut driver = blocking::Driver::new(echo(Duration::from_secs(1)), Wire(peer.clone()), tls);
    {
        let mut peer = peer.borrow_mut();
        peer.say(&[b'a'; 16_000]);
        (peer.pace, peer.delay) = (1, Duration::from_millis(5));
    }
    let began = Instant::now();
    assert_eq!(last(&mut driver), Some(Closed::TimedOut));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// The peer takes nothing before what it said is read, and so on, in portions much smaller than a record.
#[test]
fn over_tls_too_a_peer_that_waits_for_us_to_read_is_not_waited_for() {
    let (peer, tls) = tls_server();
    peer.borrow_mut().refill = 100;
    peer.borrow_mut().echoes = true;
    let long = [b'x'; 20_000];
    let mut driver = blocking::Driver::new(talker(&[&long, b"short"]), Wire(peer.clone()), tls);
    assert_eq!(driver.next().as_deref(), Some(&long[..]));
    assert_eq!(driver.next().as_deref(), Some(&b"short"[..]));
    assert_eq!(driver.next(), None);
    assert_eq!(peer.borrow().heard.len(), 20_000 + 2 + 7);
}

/// Records that wait within TLS are output that is not written.
#[test]
fn over_tls_too_drained_is_what_was_taken() {
    let (peer, tls) = tls_client();
    let mut driver = blocking::Driver::new(echo(Duration::from_secs(60)), Wire(peer.clone()), tls);
    peer.borrow_mut().say(b"ASK\r\n");
    let Some(Event::Asked(answer)) = driver.next() else { panic!("it was asked") };
    {
        let mut peer = peer.borrow_mut();
        (peer.room, peer.refill) = (10, 10);
    }
    driver.session().answer(answer, &[b'z'; 20_000]);
    driver.drain().expect("it is taken bit by bit");
    assert!(peer.borrow().heard.ends_with(b"zzz\r\n"));
}

/// What a slow peer takes of a record is progress, though the record takes longer than the driver would wait for nothing.
#[test]
fn over_tls_too_a_slow_peer_is_no_stalled_one() {
    let (peer, tls) = tls_client();
    let echo = echo(Duration::from_secs(60));
    let mut driver = blocking::Driver::new(echo, Wire(peer.clone()), tls).stall(Duration::from_millis(300));
    peer.borrow_mut().say(b"ASK\r\n");
    let Some(Event::Asked(answer)) = driver.next() else { panic!("it was asked") };
    {
        let mut peer = peer.borrow_mut();
        (peer.room, peer.refill, peer.delay) = (40, 40, Duration::from_millis(2));
    }
    let began = Instant::now();
    driver.session().answer(answer, &[b'z'; 20_000]);
    driver.drain().expect("it is taken bit by bit");
    assert!(began.elapsed() > Duration::from_millis(600), "a record takes longer than the driver waits for nothing");
    assert!(peer.borrow().heard.ends_with(b"zzz\r\n"));
}

#[test]
fn over_tls_too_a_stalled_peer_is_found() {
    let (peer, tls) = tls_client();
    let echo = echo(Duration::from_secs(60));
    let mut driver = blocking::Driver::new(echo, Wire(peer.clone()), tls).stall(Duration::from_millis(30));
    peer.borrow_mut().say(b"ASK\r\n");
    let Some(Event::Asked(answer)) = driver.next() else { panic!("it was asked") };
    {
        let mut peer = peer.borrow_mut();
        (peer.room, peer.refill, peer.delay, peer.patient) = (0, 0, Duration::from_millis(2), true);
    }
    driver.session().answer(answer, &[b'z'; 20_000]);
    assert_eq!(driver.drain().map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn over_tls_too_the_tokio_driver_knows_slow_from_stalled() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for reads in [usize::MAX, 20] {
        let (server, client) = configs();
        let Tls::Client { config, name, .. } = client else { unreachable!("it is the second") };
        let (near, far) = tokio::io::duplex(2000);
        let peer = tokio::spawn(async move {
            let connector = tokio_rustls::TlsConnector::from(config);
            let mut stream = connector.connect(name, far).await.expect("a handshake");
            stream.write_all(b"ASK\r\n").await.expect("it fits");
            let (raw, _) = stream.get_mut();
            for _ in 0..reads {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if raw.read(&mut [0; 100]).await.expect("no error") == 0 {
                    return;
                }
            }
            std::future::pending().await
        });
        let echo = echo(Duration::from_secs(3600));
        let mut driver = async_io::Driver::new(echo, near, server).stall(Duration::from_secs(60));
        let Some(Event::Asked(answer)) = driver.next().await else { panic!("it was asked") };
        driver.session().answer(answer, &[b'z'; 20_000]);
        let began = tokio::time::Instant::now();
        let drained = driver.drain().await.map_err(|error| error.kind());
        let took = began.elapsed().as_secs();
        if reads == usize::MAX {
            assert!(drained.is_ok() && took > 150, "{drained:?} after {took} s");
        } else {
            assert_eq!(drained, Err(io::ErrorKind::TimedOut));
            assert!((60..=90).contains(&took), "{took} s");
        }
        peer.abort();
    }
}

/// Takes all that is written, and says nothing more; keeps how long it was to be waited for.
#[derive(Clone, Default)]
struct Mum(Rc<RefCell<Vec<Duration>>>);

impl Read for Mum {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        let waits = self.0.borrow();
        std::thread::park_timeout(*waits.last().expect("a wait that is bounded"));
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Mum {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Ok(octets.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl blocking::Stream for Mum {
    fn set_read_timeout(&self, wait: Option<Duration>) -> io::Result<()> {
        self.0.borrow_mut().extend(wait);
        Ok(())
    }
    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_end_of_the_transport_is_waited_for_as_long_as_was_said() {
    for linger in [Duration::from_millis(5), Duration::ZERO] {
        let stream = Mum::default();
        let mut driver = blocking::Driver::new(echo_in_the_clear(), stream.clone(), Tls::None);
        driver.set_linger(linger);
        assert_eq!(last(&mut driver), Some(Closed::TimedOut));
        let waits = stream.0.borrow();
        assert_eq!(waits.len() > 1, linger > Duration::ZERO, "the first is for the session");
        assert!(waits[1..].iter().all(|wait| *wait <= linger), "{waits:?}");
    }
}

/// The last words, and TLS's own, go out though the peer takes them bit by bit.
#[test]
fn over_tls_too_the_last_words_go_out() {
    let (peer, tls) = tls_client();
    let mut driver = blocking::Driver::new(echo(Duration::from_secs(60)), Wire(peer.clone()), tls);
    peer.borrow_mut().say(b"ASK\r\n");
    let Some(Event::Asked(answer)) = driver.next() else { panic!("it was asked") };
    peer.borrow_mut().say(b"QUIT\r\n");
    {
        let mut peer = peer.borrow_mut();
        (peer.room, peer.refill, peer.turns) = (10, 10, true);
    }
    driver.session().answer(answer, b"ANSWER");
    assert_eq!(last(&mut driver), Some(Closed::ByPeer));
    let mut peer = peer.borrow_mut();
    assert!(peer.heard.ends_with(b"ANSWER\r\nBYE\r\n"));
    assert_eq!(peer.connection.reader().read(&mut [0]).expect("close_notify"), 0);
}

/// Half a pipe: nothing can be written, and what is read never ends.
struct Silent;

impl tokio::io::AsyncRead for Silent {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Pending
    }
}

impl tokio::io::AsyncWrite for Silent {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::task::Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_more_is_not_waited_for() {
    let mut driver = async_io::Driver::new(Talker::new(&[b"one"]), Silent, Tls::None);
    let began = tokio::time::Instant::now();
    assert_eq!(driver.next().await, None);
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    assert_eq!(driver.error().map(io::Error::kind), Some(io::ErrorKind::BrokenPipe));
}
