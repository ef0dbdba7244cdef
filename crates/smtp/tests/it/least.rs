//! What every implementation must be able to take, and how long it must wait (RFC 5321, 4.5.3).

use crate::converse::both;
use postrider_core::{Closed, Instant, Machine, Pending, Session, Step};
use postrider_smtp::client::{self, ask};
use postrider_smtp::{Client, Envelope, HelloName, Mailbox, ReversePath, Server, server};
use std::sync::Arc;
use std::time::Duration;

fn name(text: &str) -> HelloName {
    text.parse().expect("a name")
}

//= 5321-4.5.3.1.4-1, 5321-4.5.3.1.6-1, 5321-4.5.3.1.7-1
//= 3461-5.4-2
#[test]
fn a_server_takes_what_every_server_must() {
    let config = server::Config::new(name("mx.example"));
    let mut input = b"EHLO c.example\r\nNOOP ".to_vec();
    // 512 octets with CRLF, and the 1,036 that DSN needs.
    input.extend([b'a'; 512 - 7]);
    input.extend(b"\r\nNOOP ");
    input.extend([b'a'; 1036 - 7]);
    input.extend(b"\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<x@mx.example>\r\nDATA\r\n");
    let line = [&[b'b'; 998][..], b"\r\n"].concat();
    let message = line.repeat(66);
    assert!(message.len() > 64 << 10);
    input.extend(&message);
    input.extend(b".\r\nQUIT\r\n");
    let heard = both(&config, &input);
    assert_eq!(heard.codes(), [250, 250, 250, 250, 250, 354, 250, 221]);
    assert!(heard.taken == [message], "the message came as it was sent");
}

/// The next event, if there is one.
fn event(client: &mut Client, now: Instant) -> Option<client::Event> {
    match client.poll(now) {
        Step::Event(event) => Some(event),
        Step::Idle { .. } => None,
    }
}

/// A client that was asked for its message.
fn up_to_body(config: client::Config) -> (Client, Pending<ask::Body>) {
    let now = Instant::ORIGIN;
    let mut client = Client::new(Arc::new(config), 1);
    for reply in ["220 mx.example\r\n", "250 mx.example\r\n", "250 OK\r\n", "250 OK\r\n", "354 Go on\r\n"] {
        client.sent(client.output().len());
        assert_eq!(client.receive(reply.as_bytes()), reply.len());
        while let Some(event) = event(&mut client, now) {
            match event {
                client::Event::Ready => {
                    let mailbox = |text| Mailbox::parse(text).expect("an address");
                    let from = ReversePath::Mailbox(mailbox("a@client.example"));
                    client.send(Envelope::new(from).and_to(mailbox("x@mx.example"))).expect("it is ready");
                }
                client::Event::BodyWanted { body, .. } => return (client, body),
                _ => {}
            }
        }
    }
    panic!("the message was not asked for");
}

//= 5321-4.5.3.2-2, 5321-4.5.3.2.5-1
#[test]
fn a_block_has_three_minutes_or_what_is_configured() {
    let mut quick = client::Config::new(name("client.example"));
    quick.limits.block = Duration::from_secs(10);
    for (config, patience) in [(client::Config::new(name("client.example")), 180), (quick, 10)] {
        let (mut client, body) = up_to_body(config);
        let block = b"a line of text\r\n".repeat(1000);
        assert!(client.write(&body, &block) > 0);
        assert!(event(&mut client, Instant::ORIGIN).is_none());
        // What goes out begins the time anew.
        client.sent(100);
        let begin = Instant::ORIGIN.plus(Duration::from_secs(5));
        assert!(event(&mut client, begin).is_none());
        assert!(event(&mut client, begin.plus(Duration::from_secs(patience - 1))).is_none());
        let end = begin.plus(Duration::from_secs(patience));
        assert!(matches!(event(&mut client, end), Some(client::Event::Finished { .. })));
        assert!(matches!(event(&mut client, end), Some(client::Event::Closed(Closed::TimedOut))));
    }
}

//= 5321-4.5.3.1.5-1
#[test]
fn a_client_takes_reply_lines_of_512_octets() {
    let mut client = Client::new(Arc::new(client::Config::new(name("client.example"))), 1);
    let greeting = [b"220 ", &[b'a'; 512 - 6][..], b"\r\n"].concat();
    assert_eq!(client.receive(&greeting), 512);
    assert!(event(&mut client, Instant::ORIGIN).is_none());
    assert_eq!(client.output(), b"EHLO client.example\r\n");
}

/// What comes of these octets, each after so many seconds: the codes of the replies, and how long it took to be closed.
fn paced(config: server::Config, pieces: impl IntoIterator<Item = (u64, Vec<u8>)>) -> (Vec<u16>, Option<u64>) {
    let mut server = Server::new(Arc::new(config), 1);
    let (mut seconds, mut said) = (0, vec![]);
    for (wait, piece) in pieces {
        // Looks at the clock as often as a second hand.
        for pause in 0..=wait {
            let now = Instant::ORIGIN.plus(Duration::from_secs(seconds + pause));
            while let Step::Event(event) = server.poll(now) {
                match event {
                    server::Event::Mail { answer, .. } => server.accept(answer).unwrap(),
                    server::Event::Rcpt { answer, .. } => server.accept(answer).unwrap(),
                    server::Event::Data { answer } => server.accept(answer).unwrap(),
                    server::Event::Message { answer, .. } => server.accept(answer).unwrap(),
                    server::Event::Body(_) | server::Event::Reset => {}
                    server::Event::Closed(why) => {
                        assert_eq!(why, Closed::TimedOut);
                        said.extend_from_slice(server.output());
                        return (codes(&said), Some(seconds + pause));
                    }
                    other => panic!("{other:?}"),
                }
            }
            said.extend_from_slice(server.output());
            server.sent(server.output().len());
        }
        seconds += wait;
        assert_eq!(server.receive(&piece), piece.len());
    }
    (codes(&said), None)
}

fn codes(said: &[u8]) -> Vec<u16> {
    let said = String::from_utf8_lossy(said);
    let last = |line: &&str| line.as_bytes().get(3) == Some(&b' ');
    said.lines().filter(last).map(|line| line[..3].parse().expect("a reply code")).collect()
}

const ENVELOPE: &[u8] = b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<x@mx.example>\r\n";

//= 5321-4.5.3.2.7-1
#[test]
fn case_31_a_client_may_pause_for_as_long_as_a_server_must_wait() {
    let mut config = server::Config::new(name("mx.example"));
    config.chunking = true;
    let line = |wait| (wait, [&[b'a'; 70][..], b"\r\n"].concat());
    let data = [
        (0, [ENVELOPE, b"DATA\r\n"].concat()),
        line(60),
        line(179),
        line(179),
        line(179),
        (60, b".\r\n".to_vec()),
        (1, vec![]),
    ];
    assert_eq!(paced(config.clone(), data), (vec![220, 250, 250, 250, 354, 250], None), "3 min within DATA");
    let chunk = |wait| (wait, [&b"BDAT 72\r\n"[..], &[b'a'; 70], b"\r\n"].concat());
    let last = (299, b"BDAT 0 LAST\r\n".to_vec());
    let chunks = [(0, ENVELOPE.to_vec()), chunk(299), chunk(299), chunk(61), chunk(299), last, (1, vec![])];
    assert_eq!(
        paced(config, chunks),
        (vec![220, 250, 250, 250, 250, 250, 250, 250, 250], None),
        "5 min between chunks"
    );
}

#[test]
fn case_31_silence_and_drops_are_too_slow() {
    let mut config = server::Config::new(name("mx.example"));
    config.chunking = true;
    let begin = (0, [ENVELOPE, b"DATA\r\nabc"].concat());
    assert_eq!(paced(config.clone(), [begin.clone(), (1000, vec![])]).1, Some(180), "nothing for 3 min");
    let drops = std::iter::once(begin).chain((0..100).map(|_| (10, b"a".to_vec())));
    assert_eq!(paced(config.clone(), drops).1, Some(300), "some octets in 5 min");
    let chunks = (0..100).map(|_| (10, b"BDAT 1\r\na".to_vec()));
    let (codes, closed) = paced(config, std::iter::once((0, ENVELOPE.to_vec())).chain(chunks));
    assert_eq!((closed, codes.last()), (Some(310), Some(&421)), "some chunks in 5 min");
}
