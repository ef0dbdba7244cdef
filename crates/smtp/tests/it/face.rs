//! The friendly faces: sending, the pool, the test server. Over loopback, or over a pipe with simulated time.

use postrider_core::{Closed, Text};
use postrider_io::Tls;
use postrider_smtp::client::{self, NotSent, Outcome, RefusedAt, SendError};
use postrider_smtp::server::{self, Tls as When};
use postrider_smtp::tokio::{Connection, ConnectionError, Pool, PoolLimits, TestServer, send};
use postrider_smtp::{Accepted, Envelope, ForwardPath, Mailbox, Refusal, Remote, blocking};
use postrider_testkit::evil::{Act, Listening, smtp};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MESSAGE: &[u8] = b"Subject: Hello\r\n\r\nHello Bob\r\n.\r\n";

fn envelope(recipients: usize) -> Envelope {
    let mailbox = |text: String| Mailbox::parse(&text).expect("an address");
    let from = Envelope::new(mailbox("alice@client.example".into()));
    (0..recipients).fold(from, |envelope, n| envelope.and_to(mailbox(format!("user{n}@mx.example"))))
}

fn server_config() -> server::Config {
    server::Config::new("mx.example".parse().expect("a name"))
}

fn anybody(_: &ForwardPath) -> Result<Accepted, Refusal> {
    Ok(Accepted::default())
}

fn remote(address: std::net::SocketAddr) -> Remote {
    Remote::plaintext(&address.ip().to_string(), address.port()).expect("an address")
}

#[tokio::test]
async fn each_recipient_has_an_outcome() {
    let judge = |to: &ForwardPath| match to.as_str() {
        "user1@mx.example" => Err(Refusal::permanent(550, (1, 1), Text::literal("No such mailbox"))),
        "user2@mx.example" => Err(Refusal::transient(450, (2, 1), Text::literal("Busy"))),
        _ => Ok(Accepted::default()),
    };
    let mut server = TestServer::start_with(server_config(), Tls::None, judge).await.expect("a port");
    let outcomes = send(&server.remote(), envelope(3), MESSAGE).await.expect("a transaction");
    assert!(outcomes[0].is_delivered());
    assert!(matches!(&outcomes[1], Outcome::Refused { at: RefusedAt::Rcpt, reply } if reply.is_permanent()));
    assert!(matches!(&outcomes[2], Outcome::Refused { at: RefusedAt::Rcpt, reply } if reply.is_transient()));
    let received = server.next().await;
    assert_eq!(received.message, MESSAGE);
    assert_eq!(received.from.as_str(), "alice@client.example");
    assert_eq!(received.recipients.len(), 1);
    assert!(server.try_next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blocking_sender_does_the_same() {
    let mut config = server::Config::submission("mx.example".parse().expect("a name"), When::Off);
    config = config.dangerous_allow_plaintext_auth();
    config.limits.recipients = 2;
    let mut server = TestServer::start_with(config, Tls::None, anybody).await.expect("a port");
    let mut remote = server.remote().login("alice", "wonderland".to_owned());
    let refused = {
        let remote = remote.clone();
        tokio::task::spawn_blocking(move || blocking::send(&remote, envelope(5), MESSAGE)).await.expect("no panic")
    };
    assert!(matches!(refused, Err(ConnectionError::NoMechanism(_))), "not without TLS: {refused:?}");
    remote.config = remote.config.dangerous_allow_plaintext_auth();
    let sent = tokio::task::spawn_blocking(move || blocking::send(&remote, envelope(5), MESSAGE));
    let outcomes = sent.await.expect("no panic").expect("transactions");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_delivered()).count(), 5);
    for recipients in [2, 2, 1] {
        let received = server.next().await;
        assert_eq!((received.recipients.len(), &received.message[..]), (recipients, MESSAGE));
        assert_eq!(received.client.identity.expect("it logged in").as_str(), "alice");
    }
}

/// RCPTMAX=3 and MAILMAX=1: four transactions, four sessions.
#[tokio::test]
async fn case_55_the_pool_splits_and_reconnects() {
    let mut config = server_config();
    config.limits.recipients = 3;
    config.limits.transactions = 1;
    let mut server = TestServer::start_with(config, Tls::None, anybody).await.expect("a port");
    let pool = Pool::new(server.remote(), PoolLimits::default());
    let outcomes = pool.send(envelope(10), MESSAGE).await.expect("transactions");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_delivered()).count(), 10);
    let mut all = vec![];
    for recipients in [3, 3, 3, 1] {
        let received = server.next().await;
        assert_eq!((received.recipients.len(), &received.message[..]), (recipients, MESSAGE));
        all.extend(received.recipients.iter().map(|to| to.as_str().to_owned()));
    }
    assert_eq!(all, (0..10).map(|n| format!("user{n}@mx.example")).collect::<Vec<_>>());
    assert_eq!((pool.counts().opened, pool.counts().failed), (4, 0));
}

/// Also within one message.
#[tokio::test]
async fn the_pool_gives_a_connection_up_after_so_many_transactions() {
    let mut config = server_config();
    config.limits.recipients = 1;
    let mut server = TestServer::start_with(config, Tls::None, anybody).await.expect("a port");
    let mut limits = PoolLimits::default();
    limits.messages = 2;
    let pool = Pool::new(server.remote(), limits);
    let outcomes = pool.send(envelope(5), MESSAGE).await.expect("transactions");
    assert!(outcomes.iter().all(Outcome::is_delivered), "{outcomes:?}");
    for _ in 0..5 {
        server.next().await;
    }
    assert_eq!((pool.counts().opened, pool.counts().failed), (3, 0));
}

#[tokio::test]
async fn the_pool_keeps_a_connection_and_opens_no_more_than_it_may() {
    let mut server = TestServer::start().await.expect("a port");
    let mut limits = PoolLimits::default();
    limits.connections = 2;
    let pool = Pool::new(server.remote(), limits);
    let many: Vec<_> = (0..10)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.send(envelope(1), MESSAGE).await })
        })
        .collect();
    for one in many {
        assert!(one.await.expect("no panic").expect("a transaction")[0].is_delivered());
        server.next().await;
    }
    let counts = pool.counts();
    assert!(counts.opened <= 2 && counts.opened + counts.reused == 10, "{counts:?}");
    assert_eq!(counts.stale, 0);
    assert!(pool.idle() <= 2);
    pool.close().await;
    assert_eq!(pool.idle(), 0);
}

/// A server that serves messages, one after the other, on as many connections as come; after each message it does what
/// `then` says with the connection.
fn server_that(then: impl Fn(usize, &mut TcpStream) -> bool + Send + 'static) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        let mut messages = 0;
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            let say = |stream: &mut TcpStream, text: &str| {
                let _ = stream.write_all(text.as_bytes());
            };
            say(&mut stream, "220 mx.example\r\n");
            let mut in_data = false;
            while let Some(Ok(line)) = lines.next() {
                match line.split(' ').next().unwrap_or_default() {
                    "." if in_data => {
                        in_data = false;
                        messages += 1;
                        say(&mut stream, "250 Taken\r\n");
                        if !then(messages, &mut stream) {
                            break;
                        }
                    }
                    _ if in_data => {}
                    "DATA" => {
                        in_data = true;
                        say(&mut stream, "354 Go on\r\n");
                    }
                    _ => say(&mut stream, "250 OK\r\n"),
                }
            }
        }
    });
    address
}

/// The server closes the connection after each message: that is seen before MAIL, and is no failure of the host.
#[tokio::test]
async fn case_56_an_idle_connection_closed_by_the_server() {
    for goodbye in ["", "421 4.4.2 You were silent for too long\r\n"] {
        let (told, mut closed) = tokio::sync::mpsc::unbounded_channel();
        let address = server_that(move |_, stream| {
            let _ = stream.write_all(goodbye.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Both);
            let _ = told.send(());
            false
        });
        let mut limits = PoolLimits::default();
        limits.trusted = Duration::ZERO;
        let pool = Pool::new(remote(address), limits);
        for _ in 0..3 {
            let outcomes = pool.send(envelope(1), MESSAGE).await.expect("another connection is opened");
            assert!(outcomes[0].is_delivered());
            closed.recv().await.expect("the server closes it");
        }
        let counts = pool.counts();
        assert_eq!((counts.opened, counts.failed), (3, 0), "{counts:?}");
        assert!(counts.reused == 0, "none was trusted with a message: {counts:?}");
    }
}

/// The server is gone and nobody said so: it does not answer NOOP.
#[tokio::test]
async fn case_56_a_half_open_connection() {
    // After the first message it reads on and says nothing more on that connection.
    let address = server_that(|messages, stream| {
        if messages == 1 {
            let silent = stream.try_clone().expect("a second handle");
            // Kept open and never answered.
            std::mem::forget(silent);
        }
        messages > 1
    });
    let mut limits = PoolLimits::default();
    limits.trusted = Duration::ZERO;
    limits.probe = Duration::from_millis(50);
    let pool = Pool::new(remote(address), limits);
    for _ in 0..2 {
        let outcomes = pool.send(envelope(1), MESSAGE).await.expect("another connection is opened");
        assert!(outcomes[0].is_delivered());
    }
    let counts = pool.counts();
    assert_eq!((counts.opened, counts.failed, counts.stale), (2, 0, 1), "{counts:?}");
}

/// A connection that is trusted without asking and turns out lost: the message was not begun, so it goes over another.
#[tokio::test]
async fn case_56_lost_between_the_look_and_mail() {
    let address = server_that(|messages, stream| {
        if messages == 1 {
            // The next it hears is MAIL.
            let mut line = [0; 1];
            let _ = std::io::Read::read(stream, &mut line);
        }
        messages != 1
    });
    let mut limits = PoolLimits::default();
    limits.trusted = Duration::from_secs(3600);
    let pool = Pool::new(remote(address), limits);
    for _ in 0..2 {
        let outcomes = pool.send(envelope(1), MESSAGE).await.expect("another connection is opened");
        assert!(outcomes[0].is_delivered(), "{outcomes:?}");
    }
    let counts = pool.counts();
    assert_eq!((counts.opened, counts.failed), (2, 0), "{counts:?}");
}

/// A server that takes every message, and tells when a connection ended: true if with QUIT.
async fn server_that_tells_of_goodbyes() -> (std::net::SocketAddr, tokio::sync::mpsc::UnboundedReceiver<bool>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one");
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(read));
                let mut reply = "220 mx.example";
                let quit = loop {
                    if write.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() {
                        break false;
                    }
                    reply = loop {
                        match lines.next_line().await.unwrap_or_default().as_deref() {
                            Some("DATA") => break "354 Go on",
                            Some("QUIT") => break "221 Bye",
                            Some(".") => break "250 OK",
                            Some(line) if line.starts_with(['E', 'M', 'R', 'N']) => break "250 OK",
                            Some(_) => {}
                            None => break "",
                        }
                    };
                    if !reply.starts_with("250") && !reply.starts_with("354") {
                        break reply == "221 Bye";
                    }
                };
                let _ = tell.send(quit);
            });
        }
    });
    (address, told)
}

/// What is kept is swept by one task, however often connections come back, and ends when it was kept for too long.
#[tokio::test]
async fn the_pool_has_one_sweeper_which_says_goodbye() {
    let (address, mut goodbyes) = server_that_tells_of_goodbyes().await;
    let mut limits = PoolLimits::default();
    limits.connections = 2;
    let idle = limits.idle;
    let pool = Pool::new(remote(address), limits);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for round in 0..3 {
        pool.send(envelope(1), MESSAGE).await.expect("a transaction");
        let after_first = tasks();
        for _ in 0..20 {
            pool.send(envelope(1), MESSAGE).await.expect("a transaction");
        }
        assert_eq!((tasks(), pool.idle(), pool.counts().opened), (after_first, 1, round + 1));
        tokio::time::pause();
        tokio::time::advance(idle - Duration::from_secs(1)).await;
        assert_eq!(pool.idle(), 1, "it may be kept for longer");
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::time::resume();
        assert_eq!(goodbyes.recv().await, Some(true));
        assert_eq!(pool.idle(), 0);
    }
}

/// A connection that came back later ends later, by the same task.
#[tokio::test]
async fn the_sweeper_gives_each_connection_its_time() {
    let (address, mut goodbyes) = server_that_tells_of_goodbyes().await;
    let mut limits = PoolLimits::default();
    let idle = limits.idle;
    limits.connections = 2;
    // As if each were busy for longer than the other.
    limits.trusted = Duration::ZERO;
    let pool = Pool::new(remote(address), limits);
    let (one, other) = tokio::join!(pool.send(envelope(1), MESSAGE), pool.send(envelope(1), MESSAGE));
    assert!(one.is_ok() && other.is_ok() && pool.idle() == 2);
    tokio::time::pause();
    tokio::time::advance(idle / 2).await;
    tokio::time::resume();
    pool.send(envelope(1), MESSAGE).await.expect("a transaction");
    tokio::time::pause();
    tokio::time::advance(idle / 2).await;
    tokio::time::resume();
    assert_eq!(goodbyes.recv().await, Some(true));
    assert_eq!((pool.idle(), goodbyes.try_recv().is_ok()), (1, false));
    tokio::time::pause();
    tokio::time::advance(idle / 2).await;
    tokio::time::resume();
    assert_eq!(goodbyes.recv().await, Some(true));
    assert_eq!(pool.idle(), 0);
}

#[tokio::test]
async fn the_sweeper_ends_with_the_pool() {
    let (address, mut goodbyes) = server_that_tells_of_goodbyes().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let pool = Pool::new(remote(address), PoolLimits::default());
    pool.send(envelope(1), MESSAGE).await.expect("a transaction");
    assert_eq!(tasks(), before + 2, "the server's for the connection, and the sweeper");
    drop(pool);
    assert_eq!(goodbyes.recv().await, Some(false), "nobody is there to wait for a goodbye");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks(), before);
}

#[tokio::test]
async fn a_host_that_is_not_there_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    drop(listener);
    let pool = Pool::new(remote(address), PoolLimits::default());
    let failed = pool.send(envelope(1), MESSAGE).await;
    assert!(matches!(failed, Err(ConnectionError::Io(_))), "{failed:?}");
    assert_eq!(pool.counts().failed, 1);
}

/// A server that offers CHUNKING and does not know BDAT: the pool sends with DATA, at once and from then on.
#[tokio::test]
async fn case_54_the_pool_falls_back_to_data() {
    for refusal in ["503 5.5.1 No", "500 What?"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it has one");
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(without_chunks(stream, refusal));
            }
        });
        let pool = Pool::new(remote(address), PoolLimits::default());
        for _ in 0..2 {
            let outcomes = pool.send(envelope(1), MESSAGE).await.expect("a transaction");
            assert!(outcomes[0].is_delivered(), "{refusal}: {outcomes:?}");
        }
    }
}

async fn without_chunks(mut stream: tokio::net::TcpStream, refusal: &str) {
    let mut heard = Vec::new();
    let _ = stream.write_all(b"220 mx.example\r\n").await;
    let mut in_data = false;
    loop {
        let Some(end) = heard.windows(2).position(|octets: &[u8]| octets == b"\r\n") else {
            let mut part = [0; 1000];
            match stream.read(&mut part).await {
                Ok(n) if n > 0 => heard.extend_from_slice(&part[..n]),
                _ => return,
            }
            continue;
        };
        let line: Vec<u8> = heard.drain(..end + 2).collect();
        let line = String::from_utf8(line).expect("ASCII");
        let reply = match line.trim_end() {
            "." if in_data => {
                in_data = false;
                "250 Taken"
            }
            _ if in_data => continue,
            "DATA" => {
                in_data = true;
                "354 Go on"
            }
            line if line.starts_with("EHLO") => "250-mx.example\r\n250-PIPELINING\r\n250 CHUNKING",
            line if line.starts_with("BDAT ") => {
                let size: usize = line.split(' ').nth(1).expect("a size").parse().expect("a number");
                if refusal.starts_with("503") {
                    while heard.len() < size {
                        let mut part = [0; 1000];
                        let n = stream.read(&mut part).await.expect("the chunk");
                        heard.extend_from_slice(&part[..n]);
                    }
                    heard.drain(..size);
                }
                refusal
            }
            _ => "250 OK",
        };
        let _ = stream.write_all(format!("{reply}\r\n").as_bytes()).await;
    }
}

/// Ten thousand recipients over a real socket with the smallest buffers there are, to a server that writes each reply
/// before it reads on.
#[tokio::test(flavor = "multi_thread")]
async fn case_51_ten_thousand_recipients_over_a_small_socket() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2048).expect("a small buffer");
    socket.set_send_buffer_size(2048).expect("a small buffer");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("it has one");
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (reader, mut writer) = stream.into_split();
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::with_capacity(256, reader));
        writer.write_all(b"220 mx.example\r\n").await.expect("the client reads");
        let (mut in_data, mut recipients) = (false, 0);
        while let Some(line) = lines.next_line().await.expect("lines") {
            let reply = match line.split(' ').next().unwrap_or_default() {
                "." if in_data => {
                    in_data = false;
                    "250 Taken"
                }
                _ if in_data => continue,
                "EHLO" => "250-mx.example\r\n250 PIPELINING",
                "RCPT" => {
                    recipients += 1;
                    "250 2.1.5 This is a long answer to each recipient, so that the replies fill the buffers as well"
                }
                "DATA" => {
                    in_data = true;
                    "354 Go on"
                }
                "QUIT" => break,
                _ => "250 OK",
            };
            writer.write_all(format!("{reply}\r\n").as_bytes()).await.expect("the client reads");
        }
        recipients
    });
    let remote = remote(address);
    let outcomes =
        send(&remote, envelope(10_000), b"0123456789abcdef\r\n".repeat(10_000)).await.expect("a transaction");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_delivered()).count(), 10_000);
    assert_eq!(server.await.expect("no panic"), 10_000);
}

/// Nobody accepts the connection.
#[tokio::test]
async fn case_59_connect() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("it has one");
    // The queue of connections that nobody has accepted is filled first.
    let mut waiting = vec![];
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the queue is short");
    }
    let mut remote = remote(address);
    remote.connect = Duration::from_millis(50);
    let failed = remote.open().await.err().expect("nobody answers");
    assert!(
        matches!(&failed, ConnectionError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut),
        "{failed:?}"
    );
}

/// With simulated time, over a pipe: a server that says no more after `lines`. Gives what the sender learns, and when.
async fn stalled(
    lines: &'static [&'static str],
    limit: Option<Duration>,
) -> (Result<Vec<Outcome>, ConnectionError>, Duration) {
    let (near, mut far) = tokio::io::duplex(1000);
    let server = tokio::spawn(async move {
        for line in lines {
            if far.write_all(format!("{line}\r\n").as_bytes()).await.is_err() {
                break;
            }
        }
        let mut sink = [0; 100];
        if lines.last().is_some_and(|line| line.starts_with("354")) {
            // It does not even read the message.
            std::future::pending::<()>().await;
        }
        while far.read(&mut sink).await.is_ok_and(|n| n > 0) {}
    });
    let config = client::Config::new("client.example".parse().expect("a name"));
    let began = tokio::time::Instant::now();
    let result = async {
        let mut connection = Connection::open(near, Tls::None, Arc::new(config), 1).await?;
        connection.set_deadline(limit);
        connection.send(envelope(1), vec![b'x'; 1 << 20]).await
    };
    let result = result.await;
    server.abort();
    (result, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn case_59_each_phase_over_a_transport() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let phases: [(&'static [&'static str], u64, bool); 6] = [
        (&[], 5, false),
        (&["220 mx.example"], 5, false),
        (&["220 mx.example", "250 mx.example"], 5, true),
        (&["220 mx.example", "250 mx.example", "250 OK"], 5, true),
        (&["220 mx.example", "250 mx.example", "250 OK", "250 OK"], 2, true),
        (&["220 mx.example", "250 mx.example", "250 OK", "250 OK", "354 Go on"], 3, true),
    ];
    for (lines, wait, begun) in phases {
        let (result, after) = stalled(lines, None).await;
        assert_eq!(after.as_secs(), minutes(wait).as_secs(), "after {:?}", lines.last());
        match result {
            Ok(outcomes) => assert!(begun && outcomes == [Outcome::NotSent(NotSent::Ended)], "{outcomes:?}"),
            Err(error) => assert!(!begun && matches!(error, ConnectionError::Closed(Closed::TimedOut)), "{error:?}"),
        }
    }
}

/// A deadline ends a call that would wait for longer, and tells no more than is known.
#[tokio::test(start_paused = true)]
async fn a_deadline_really_bounds() {
    let lines: &[&str] = &["220 mx.example", "250 mx.example", "250 OK", "250 OK", "354 Go on"];
    let (result, after) = stalled(lines, Some(Duration::from_secs(7))).await;
    assert_eq!(after, Duration::from_secs(7));
    assert_eq!(result.expect("a transaction"), [Outcome::NotSent(NotSent::Ended)]);
}

#[tokio::test]
async fn a_deadline_bounds_the_pool_whatever_stalls() {
    let honest = smtp::server(&["PIPELINING"], 1);
    for turn in ["greeting", "EHLO", "MAIL", "message"] {
        let server = Listening::new(honest.stall_before(turn)).expect("a port");
        let mut limits = PoolLimits::default();
        limits.connections = 1;
        let pool = Pool::new(remote(server.address()), limits);
        let began = std::time::Instant::now();
        let result = pool.send_within(Duration::from_millis(200), envelope(1), MESSAGE).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{turn}: {:?}", began.elapsed());
        match (turn, result) {
            ("greeting" | "EHLO", Err(ConnectionError::Closed(Closed::TimedOut))) => {}
            ("MAIL", Ok(outcomes)) => assert_eq!(outcomes, [Outcome::NotSent(NotSent::Ended)]),
            ("message", Ok(outcomes)) => assert_eq!(outcomes, [Outcome::Unknown], "nobody knows"),
            (turn, other) => panic!("{turn}: {other:?}"),
        }
    }
}

/// A server that takes a message and says nothing to QUIT, nor closes.
async fn server_without_manners() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"220 mx.example\r\n").await.expect("it fits");
                let (read, mut write) = stream.into_split();
                let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(read));
                while let Ok(Some(line)) = lines.next_line().await {
                    let reply = match line.as_str() {
                        "DATA" => "354 Go on\r\n",
                        "." => "250 OK\r\n",
                        line if line.starts_with(['E', 'M', 'R']) => "250 OK\r\n",
                        _ => continue,
                    };
                    write.write_all(reply.as_bytes()).await.expect("it fits");
                }
                // It does not close, whatever the client does.
                std::future::pending::<()>().await;
            });
        }
    });
    address
}

/// Goodbyes are within the deadline. The fastest of a few counts: the others may have waited for a processor.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_bounds_the_goodbye_too() {
    let mut remote = remote(server_without_manners().await);
    remote.deadline = Duration::from_millis(300);
    let in_time = |elapsed: Duration| elapsed < Duration::from_millis(1200);
    let mut blocked = vec![];
    let mut pooled = vec![];
    while !(blocked.iter().copied().any(in_time) && pooled.iter().copied().any(in_time)) {
        assert!(blocked.len() < 5, "{blocked:?} {pooled:?}");
        let began = std::time::Instant::now();
        let also = remote.clone();
        let outcomes = tokio::task::spawn_blocking(move || blocking::send(&also, envelope(1), MESSAGE)).await;
        assert!(outcomes.expect("no panic").expect("a transaction")[0].is_delivered());
        blocked.push(began.elapsed());
        let began = std::time::Instant::now();
        assert!(send(&remote, envelope(1), MESSAGE).await.expect("a transaction")[0].is_delivered());
        pooled.push(began.elapsed());
    }
}

/// A server that takes nothing any more: the sender does not linger over what it cannot send.
#[test]
fn a_deadline_bounds_the_blocking_sender_too() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().expect("a connection").0;
        stream.write_all(b"220 mx.example\r\n").expect("it fits");
        for line in BufReader::new(stream.try_clone().expect("a second handle")).lines() {
            let line = line.expect("a line");
            if line == "DATA" {
                break;
            }
            stream.write_all(b"250 OK\r\n").expect("it fits");
        }
        stream.write_all(b"354 Go on\r\n").expect("it fits");
        // Until the test is over, nothing is read.
        let _ = is_over.recv();
    });
    let mut remote = remote(address);
    remote.deadline = Duration::from_millis(500);
    let began = std::time::Instant::now();
    let outcomes = blocking::send(&remote, envelope(1), &vec![b'x'; 32 << 20]).expect("a transaction");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(outcomes, [Outcome::NotSent(NotSent::Ended)]);
    drop(over);
    server.join().expect("no panic");
}

/// Who waits for a connection waits no longer than the deadline.
#[tokio::test]
async fn a_deadline_bounds_the_wait_for_a_connection() {
    let server = Listening::new(smtp::server(&[], 1).stall_before("greeting")).expect("a port");
    let mut limits = PoolLimits::default();
    limits.connections = 1;
    let pool = Pool::new(remote(server.address()), limits);
    let first = tokio::spawn({
        let pool = pool.clone();
        async move { pool.send_within(Duration::from_secs(60), envelope(1), MESSAGE).await }
    });
    while pool.idle() == 0 && !first.is_finished() {
        // The first has the only connection as soon as it was polled.
        tokio::task::yield_now().await;
        let second = pool.send_within(Duration::from_millis(50), envelope(1), MESSAGE).await;
        assert!(matches!(second, Err(ConnectionError::Busy | ConnectionError::Closed(_))), "{second:?}");
        if matches!(second, Err(ConnectionError::Busy)) {
            break;
        }
    }
    first.abort();
}

/// The first reason is told, whatever happens to the connection after it.
#[tokio::test(flavor = "multi_thread")]
async fn case_42_no_starttls_and_the_server_hangs_up() {
    let script = smtp::server(&["PIPELINING"], 1).instead("MAIL", "cuts", [Act::Cut]);
    let server = Listening::new(script).expect("a port");
    let remote = remote(server.address()).with_tls(client::Tls::Required, postrider_io::rustls::RootCertStore::empty());
    let told = |error: ConnectionError| match error {
        ConnectionError::Closed(Closed::Tls(why)) => why.to_string(),
        other => panic!("{other:?}"),
    };
    let why = "the server does not offer STARTTLS, or refuses it";
    assert_eq!(told(send(&remote, envelope(1), MESSAGE).await.expect_err("there is no TLS")), why);
    let blocked = tokio::task::spawn_blocking(move || blocking::send(&remote, envelope(1), MESSAGE));
    assert_eq!(told(blocked.await.expect("no panic").expect_err("there is no TLS")), why);
}

#[tokio::test]
async fn case_52_and_53_fail_before_mail() {
    let mut config = server_config();
    config.smtp_utf8 = false;
    let mut server = TestServer::start_with(config, Tls::None, anybody).await.expect("a port");
    let pool = Pool::new(server.remote(), PoolLimits::default());
    let eai = Envelope::new(Mailbox::parse("alice@client.example").expect("an address"))
        .and_to(Mailbox::parse("åsa@mx.example").expect("an address"));
    let failed = pool.send(eai, MESSAGE).await;
    assert!(matches!(failed, Err(ConnectionError::Send(SendError::NeedsSmtpUtf8))), "{failed:?}");
    let failed = pool.send(envelope(1).with_size(u64::MAX - 1), MESSAGE).await;
    assert!(matches!(failed, Err(ConnectionError::Send(SendError::TooLarge { .. }))), "{failed:?}");
    // The connection is as good as before.
    assert!(pool.send(envelope(1), MESSAGE).await.expect("a transaction")[0].is_delivered());
    server.next().await;
    assert_eq!(pool.counts().opened, 1);
}

/// RFC 9422, 4.3: the limit is the session's, not a transaction's.
#[tokio::test(flavor = "multi_thread")]
async fn case_55_each_session_has_its_domains() {
    let mut config = server_config();
    config.limits.recipient_domains = Some(1);
    let mut server = TestServer::start_with(config, Tls::None, anybody).await.expect("a port");
    let to = |address: &str| Mailbox::parse(address).expect("an address");
    let both = move || Envelope::new(to("a@client.example")).and_to(to("b@one.example")).and_to(to("c@two.example"));
    let pool = Pool::new(server.remote(), PoolLimits::default());
    for outcomes in [
        send(&server.remote(), both(), MESSAGE).await.expect("two transactions"),
        pool.send(both(), MESSAGE).await.expect("two transactions"),
        pool.send(both(), MESSAGE).await.expect("over kept connections"),
        {
            let remote = server.remote();
            let sent = tokio::task::spawn_blocking(move || blocking::send(&remote, both(), MESSAGE));
            sent.await.expect("no panic").expect("two transactions")
        },
    ] {
        assert!(outcomes.iter().all(Outcome::is_delivered), "{outcomes:?}");
        assert_eq!((server.next().await.recipients.len(), server.next().await.recipients.len()), (1, 1));
    }
}
