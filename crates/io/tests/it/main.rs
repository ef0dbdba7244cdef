//! The drivers, over real sockets and pipes, with a small protocol of lines that can become TLS.
#![cfg(feature = "tokio")]

mod streams;

use postrider_core::*;
use postrider_io::{Tls, blocking, tls, tokio as async_io};
use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Echoes lines. `TLS` makes the stream TLS, `ASK` asks the application, `QUIT` ends.
struct Echo {
    link: Link,
    idle: Timer,
    asked: Option<u64>,
    events: VecDeque<Event>,
}

enum Ask {}
impl Question for Ask {
    type Yes = Vec<u8>;
    type No = ();
}

#[derive(Debug)]
enum Event {
    Asked(Pending<Ask>),
    Closed(Closed),
}

impl Echo {
    fn new(id: SessionId) -> Self {
        let mut idle = Timer::OFF;
        idle.arm(Duration::from_secs(60));
        Self { link: Link::new(id, LinkLimits::default()), idle, asked: None, events: VecDeque::new() }
    }
    fn answer(&mut self, pending: Pending<Ask>, line: &[u8]) {
        assert_eq!(Ok(self.asked.take().unwrap()), self.link.redeem(&pending));
        self.say(line);
    }
    fn say(&mut self, line: &[u8]) {
        self.link.put(line);
        self.link.end_line();
    }
    fn close(&mut self, why: Closed) {
        self.link.close(&why);
        self.events.push_back(Event::Closed(why));
    }
}

session_over_link!(Echo, link, events);

impl Machine for Echo {
    type Event = Event;
    fn poll(&mut self, now: Instant) -> Step<Event> {
        if let Some(event) = self.events.pop_front() {
            return Step::Event(event);
        }
        if self.link.is_closed() {
            return Step::Idle { deadline: self.link.poll_closed(now) };
        }
        if let Some(failed) = self.link.take_tls_failure() {
            self.close(Closed::Tls(failed));
            return self.poll(now);
        }
        if self.idle.tick(now) {
            self.close(Closed::TimedOut);
            return self.poll(now);
        }
        while self.asked.is_none() && !self.link.is_gated() && !self.link.is_congested() {
            match self.link.line(100_000) {
                Framed::Line(line) => match &line.octets[..] {
                    b"QUIT" => {
                        self.say(b"BYE");
                        self.close(Closed::ByPeer);
                        return self.poll(now);
                    }
                    b"TLS" => {
                        self.say(b"GO");
                        if let Err(error) = self.link.begin_tls() {
                            self.close(Closed::Protocol(error));
                            return self.poll(now);
                        }
                    }
                    b"ASK" => {
                        let (pending, number) = self.link.ask();
                        self.asked = Some(number);
                        return Step::Event(Event::Asked(pending));
                    }
                    other => {
                        let line = other.to_vec();
                        self.say(&line);
                    }
                },
                Framed::More => break,
                Framed::TooLong => {
                    self.close(Closed::Protocol(ProtocolError::LineTooLong { limit: 100_000 }));
                    return self.poll(now);
                }
            }
        }
        if self.link.is_exhausted() && self.asked.is_none() {
            self.close(Closed::Eof);
            return self.poll(now);
        }
        Step::Idle { deadline: self.idle.deadline() }
    }
}

/// Says its lines one by one, each after the echo of the one before; `TLS` makes the stream TLS.
struct Talker {
    link: Link,
    lines: Vec<Vec<u8>>,
    next: usize,
    waiting: bool,
    closed: bool,
    events: VecDeque<Vec<u8>>,
}

impl Talker {
    fn new(lines: &[&[u8]]) -> Self {
        let lines = lines.iter().map(|line| line.to_vec()).collect();
        let link = Link::new(9, LinkLimits::default());
        Self { link, lines, next: 0, waiting: false, closed: false, events: VecDeque::new() }
    }
}

session_over_link!(Talker, link, events);

impl Machine for Talker {
    type Event = Vec<u8>;
    fn poll(&mut self, now: Instant) -> Step<Vec<u8>> {
        if let Some(event) = self.events.pop_front() {
            return Step::Event(event);
        }
        let free = !self.waiting && !self.link.is_gated() && !self.closed;
        if let Some(line) = self.lines.get(self.next).filter(|_| free) {
            self.link.put(line);
            self.link.end_line();
            self.waiting = true;
        }
        if let Framed::Line(line) = self.link.line(100_000) {
            self.waiting = false;
            if self.lines[self.next] == b"TLS" {
                self.link.begin_tls().unwrap();
            }
            self.next += 1;
            self.events.push_back(line.octets.to_vec());
            return self.poll(now);
        }
        let failed = self.link.take_tls_failure().map(Closed::Tls);
        if !self.closed && (failed.is_some() || self.link.is_exhausted() || self.next == self.lines.len()) {
            self.closed = true;
            self.link.close(&failed.unwrap_or(Closed::ByPeer));
        }
        Step::Idle { deadline: if self.closed { self.link.poll_closed(now) } else { None } }
    }
}

fn configs() -> (Tls, Tls) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let server = Tls::Server(tls::server_config(chain.as_bytes(), key.as_bytes()).unwrap());
    let config = tls::client_config(tls::roots(chain.as_bytes()).unwrap());
    (server, Tls::Client { config, name: "localhost".try_into().unwrap(), verified: true })
}

async fn serve(
    mut driver: async_io::Driver<Echo, impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>,
) -> Closed {
    let mut last = None;
    while let Some(event) = driver.next().await {
        match event {
            Event::Asked(pending) => driver.session().answer(pending, b"ANSWER"),
            Event::Closed(why) => last = Some(why),
        }
    }
    last.expect("the last event is Closed")
}

#[tokio::test]
async fn a_stream_becomes_tls_and_ends_in_order() {
    let (server, client) = configs();
    let (near, far) = tokio::io::duplex(100);
    let served = tokio::spawn(serve(async_io::Driver::new(Echo::new(1), near, server)));
    let long = vec![b'x'; 50_000];
    let lines: [&[u8]; 6] = [b"one", b"ASK", b"TLS", b"two", &long, b"QUIT"];
    let mut driver = async_io::Driver::new(Talker::new(&lines), far, client);
    let mut heard = vec![];
    while let Some(line) = driver.next().await {
        heard.push(line);
    }
    assert!(heard == [&b"one"[..], b"ANSWER", b"GO", b"two", &long, b"BYE"]);
    let Security::Tls(info) = driver.session().link.security() else { panic!("no TLS") };
    assert!(info.verified && info.version == "TLSv1.3");
    assert_eq!(info.exporter.as_ref().map(Vec::len), Some(32));
    // The certificate is signed with ECDSA and SHA-256.
    assert_eq!(info.server_end_point.as_ref().map(Vec::len), Some(32));
    assert_eq!(served.await.unwrap(), Closed::ByPeer);
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_fails_the_handshake_on_both_sides() {
    let (server, _) = configs();
    let (_, client) = configs();
    let (near, far) = tokio::io::duplex(10_000);
    let served = tokio::spawn(serve(async_io::Driver::new(Echo::new(1), near, server)));
    let mut driver = async_io::Driver::new(Talker::new(&[b"TLS", b"secret"]), far, client);
    assert_eq!(driver.next().await.as_deref(), Some(&b"GO"[..]));
    assert_eq!(driver.next().await, None);
    assert!(driver.error().is_some());
    assert!(matches!(served.await.unwrap(), Closed::Tls(_)));
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_deadline_without_traffic() {
    let (near, _far) = tokio::io::duplex(100);
    let before = tokio::time::Instant::now();
    assert_eq!(serve(async_io::Driver::new(Echo::new(1), near, Tls::None)).await, Closed::TimedOut);
    assert!(before.elapsed() >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn who_only_writes_waits_for_the_peer_as_long_as_it_was_told() {
    let (near, _far) = tokio::io::duplex(16);
    let mut driver = async_io::Driver::new(Echo::new(1), near, Tls::None).stall(Duration::from_secs(700));
    driver.session().say(&[b'x'; 100]);
    let begun = tokio::time::Instant::now();
    let error = driver.drain().await.expect_err("nothing is read there");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(begun.elapsed(), Duration::from_secs(700));
}

/// The peer said something and hung up: nothing can be written.
struct HungUp(&'static [u8]);

impl tokio::io::AsyncRead for HungUp {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let (now, later) = self.0.split_at(into.remaining().min(self.0.len()));
        into.put_slice(now);
        self.0 = later;
        std::task::Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for HungUp {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
    }
    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_said_before_it_hung_up_is_heard() {
    let mut driver = async_io::Driver::new(Echo::new(1), HungUp(b"ASK\r\n"), Tls::None);
    driver.session().say(b"a message");
    let Some(Event::Asked(pending)) = driver.next().await else { panic!("it was said") };
    assert!(driver.drain().await.is_err(), "nobody takes it");
    driver.session().answer(pending, b"because");
    assert!(matches!(driver.next().await, Some(Event::Closed(_))));
    assert!(driver.next().await.is_none());
    assert_eq!(driver.error().map(std::io::Error::kind), Some(std::io::ErrorKind::BrokenPipe));
}

#[tokio::test]
async fn the_session_goes_on_while_other_work_is_awaited() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (near, mut far) = tokio::io::duplex(100);
    let mut driver = async_io::Driver::new(Echo::new(1), near, Tls::None);
    let work = async {
        far.write_all(b"one\r\nASK\r\nQUIT\r\n").await.unwrap();
        let mut echoed = [0; 5];
        far.read_exact(&mut echoed).await.unwrap();
        echoed
    };
    assert_eq!(&driver.meanwhile(work).await, b"one\r\n");
    let Some(Event::Asked(pending)) = driver.next().await else { panic!("it was kept") };
    driver.session().answer(pending, b"ANSWER");
    assert_eq!(serve(driver).await, Closed::ByPeer);
}

/// Events wait for who is busy; when there are too many, the session does.
#[tokio::test]
async fn a_session_is_held_up_when_nobody_looks_at_its_events() {
    let (near, far) = tokio::io::duplex(100);
    let lines: Vec<String> = (0..40).map(|n| format!("line {n}")).collect();
    let talker = Talker::new(&lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
    let echo = tokio::spawn(serve(async_io::Driver::new(Echo::new(1), far, Tls::None)));
    let mut driver = async_io::Driver::new(talker, near, Tls::None);
    let work = async {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    };
    driver.meanwhile(work).await;
    assert_eq!(driver.session().next, 16);
    // And it goes on when they are taken.
    for line in lines {
        assert_eq!(driver.next().await.as_deref(), Some(line.as_bytes()));
    }
    assert_eq!(driver.next().await, None);
    assert_eq!(echo.await.unwrap(), Closed::Eof);
}

#[tokio::test]
async fn a_dropped_connection_is_the_end_of_the_stream() {
    let (near, far) = tokio::io::duplex(100);
    drop(far);
    assert_eq!(serve(async_io::Driver::new(Echo::new(1), near, Tls::None)).await, Closed::Eof);
}

#[test]
fn the_blocking_driver_does_the_same() {
    let (server, client) = configs();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let mut driver = blocking::Driver::new(Echo::new(1), listener.accept().unwrap().0, server);
        let mut last = None;
        while let Some(event) = driver.next() {
            match event {
                Event::Asked(pending) => driver.session().answer(pending, b"ANSWER"),
                Event::Closed(why) => last = Some(why),
            }
        }
        last
    });
    let lines: [&[u8]; 5] = [b"one", b"TLS", b"ASK", &[b'y'; 50_000], b"QUIT"];
    let mut driver = blocking::Driver::new(Talker::new(&lines), TcpStream::connect(address).unwrap(), client);
    let mut heard = vec![];
    while let Some(line) = driver.next() {
        heard.push(line);
    }
    assert!(heard == [&b"one"[..], b"GO", b"ANSWER", &[b'y'; 50_000], b"BYE"]);
    assert_eq!(served.join().unwrap(), Some(Closed::ByPeer));
}

#[test]
fn a_handshake_that_never_ends_is_bounded_by_the_session() {
    use std::io::{Read, Write};
    let (server, _) = configs();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let served = std::thread::spawn(move || {
        let mut echo = Echo::new(1);
        echo.idle.arm(Duration::from_millis(300));
        let mut driver = blocking::Driver::new(echo, listener.accept().unwrap().0, server);
        let mut last = None;
        while let Some(event) = driver.next() {
            let Event::Closed(why) = event else { panic!("nobody asked") };
            last = Some(why);
        }
        last
    });
    peer.write_all(b"TLS\r\n").unwrap();
    let mut go = [0; 4];
    peer.read_exact(&mut go).unwrap();
    // The beginning of a TLS record that announces 200 octets, of which one comes.
    peer.write_all(&[0x16, 3, 1, 0, 200, 1]).unwrap();
    assert_eq!(served.join().unwrap(), Some(Closed::TimedOut));
}

#[tokio::test]
async fn a_peer_that_pipelines_and_reads_late_loses_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (near, far) = tokio::io::duplex(1000);
    let served = tokio::spawn(serve(async_io::Driver::new(Echo::new(1), near, Tls::None)));
    let (mut reader, mut writer) = tokio::io::split(far);
    let sent: Arc<[u8]> = (0..20_000).flat_map(|n| format!("line {n}\r\n").into_bytes()).collect();
    let writing = tokio::spawn({
        let sent = sent.clone();
        async move {
            writer.write_all(&sent).await.unwrap();
            writer.write_all(b"QUIT\r\n").await.unwrap();
            writer
        }
    });
    let mut heard = vec![0; sent.len()];
    reader.read_exact(&mut heard).await.unwrap();
    assert!(heard[..] == sent[..]);
    writing.await.unwrap();
    assert_eq!(served.await.unwrap(), Closed::ByPeer);
}

#[test]
fn unusable_certificates_are_named() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), other.signing_key.serialize_pem());
    assert!(matches!(tls::server_config(b"", key.as_bytes()), Err(tls::ConfigError::Certificate(_))));
    assert!(matches!(tls::server_config(chain.as_bytes(), b"junk"), Err(tls::ConfigError::Key(_))));
    assert!(matches!(tls::server_config(chain.as_bytes(), key.as_bytes()), Err(tls::ConfigError::Pair(_))));
}

impl std::io::Read for HungUp {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        std::io::Read::read(&mut self.0, into)
    }
}

impl std::io::Write for HungUp {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl blocking::Stream for HungUp {
    fn set_read_timeout(&self, _: Option<Duration>) -> std::io::Result<()> {
        Ok(())
    }
    fn set_write_timeout(&self, _: Option<Duration>) -> std::io::Result<()> {
        Ok(())
    }
    fn shutdown_write(&self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_blocking_driver_hears_what_the_peer_said_before_it_hung_up() {
    let mut driver = blocking::Driver::new(Echo::new(1), HungUp(b"ASK\r\n"), Tls::None);
    driver.session().say(b"a message");
    let Some(Event::Asked(pending)) = driver.next() else { panic!("it was said") };
    assert!(driver.drain().is_err(), "nobody takes it");
    driver.session().answer(pending, b"because");
    assert!(matches!(driver.next(), Some(Event::Closed(_))));
    assert!(driver.next().is_none());
}
