//! Commands, replies and DATA; and a whole server session, beside which there is no other.

use std::cell::RefCell;
use std::future::Future;
use std::hint::black_box;
use std::io::Cursor;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mail_send::SmtpClient;
use memchr::{memchr, memchr_iter};
use postrider_benches::{smtp_commands, smtp_data, smtp_ehlo, smtp_replies, text};
use postrider_core::{Instant, LineRule, Machine, OnFlaw, Part, Session, Step, Unstuffer};
use postrider_smtp::client::{self, Client};
use postrider_smtp::server::{Config, Event, Server};
use postrider_smtp::wire::{BareNewlines, Body, Capabilities, Command, DataReader, DataWriter, Quirks, ReplyReader};
use postrider_smtp::{Envelope, Mailbox};
use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{EhloResponse, Request};

use super::peer::Peer;
use super::{Amount, Work};

/// What a server reads at once.
const READ: usize = 16 << 10;
/// What comes in one packet.
const PACKET: usize = 1460;
/// A message that stays in a cache.
const MESSAGE: usize = 1 << 20;
/// A message that no cache holds.
const LARGE: usize = 192 << 20;

/// Each makes its input when it is called, and work of one group.
pub const GROUPS: [fn() -> Vec<Work>; 10] = [
    commands,
    replies,
    ehlo,
    || data_in("smtp DATA in, ordinary text", MESSAGE, 5),
    || data_in("smtp DATA in, every line dotted", MESSAGE, 1000),
    || data_out("smtp DATA out, ordinary text", MESSAGE, 5),
    || data_out("smtp DATA out, every line dotted", MESSAGE, 1000),
    session,
    || client("smtp client, a message of 4 KiB", 4 << 10),
    || client("smtp client, a message of 1 MiB", 1 << 20),
];

/// The same with a message that has to come from memory. It is too large to be counted.
pub const LARGE_GROUPS: [fn() -> Vec<Work>; 2] =
    [|| data_in("smtp DATA in, from memory", LARGE, 5), || data_out("smtp DATA out, from memory", LARGE, 5)];

/// Both find the ends of the lines themselves.
fn commands() -> Vec<Work> {
    const GROUP: &str = "smtp commands";
    let commands = smtp_commands(1000);
    let count = commands.len();
    let stream: &'static [u8] = commands.concat().leak();
    let amount = Amount::Items(count as u64, stream.len() as u64);
    vec![
        Work::new(GROUP, "postrider", amount, move || {
            let (mut rest, mut good) = (stream, 0);
            while let Some(lf) = memchr(b'\n', rest) {
                good += usize::from(black_box(Command::parse(&rest[..lf - 1], Quirks::NONE)).is_ok());
                rest = &rest[lf + 1..];
            }
            good
        }),
        Work::new(GROUP, "smtp-proto", amount, move || {
            let mut octets = stream.iter();
            (0..count).filter(|_| black_box(Request::parse(&mut octets)).is_ok()).count()
        }),
    ]
}

fn replies() -> Vec<Work> {
    const GROUP: &str = "smtp replies";
    const COUNT: usize = 1000;
    let stream: &'static [u8] = smtp_replies(COUNT).leak();
    let amount = Amount::Items(COUNT as u64, stream.len() as u64);
    vec![
        Work::new(GROUP, "postrider", amount, move || {
            let (mut rest, mut reader, mut replies) = (stream, ReplyReader::new(100, 1 << 16), 0);
            while !rest.is_empty() {
                let (read, reply) = black_box(reader.read(rest)).expect("a reply");
                replies += usize::from(reply.is_some());
                rest = &rest[read..];
            }
            replies
        }),
        // The same replies, one after another: its receiver is for replies, EHLO's apart.
        Work::new(GROUP, "smtp-proto", amount, move || {
            let (mut octets, mut receiver, mut replies) = (stream.iter(), ResponseReceiver::default(), 0);
            while !octets.as_slice().is_empty() {
                black_box(receiver.parse(&mut octets)).expect("a reply");
                receiver.reset();
                replies += 1;
            }
            replies
        }),
        // Its client looks for the end of the reply itself, and so are its replies cut here.
        Work::new(GROUP, "lettre", amount, move || {
            let (mut rest, mut replies) = (std::str::from_utf8(stream).expect("UTF-8"), 0);
            while !rest.is_empty() {
                let last = memchr_iter(b'\n', rest.as_bytes())
                    .scan(0, |start, lf| Some((std::mem::replace(start, lf + 1), lf)));
                let end = last
                    .into_iter()
                    .find(|(start, _)| rest.as_bytes()[start + 3] == b' ')
                    .map_or(rest.len(), |(_, lf)| lf + 1);
                black_box(rest[..end].parse::<lettre::transport::smtp::response::Response>()).expect("a reply");
                replies += 1;
                rest = &rest[end..];
            }
            replies
        }),
    ]
}

fn ehlo() -> Vec<Work> {
    const GROUP: &str = "smtp reply to EHLO";
    const COUNT: usize = 100;
    let reply = smtp_ehlo();
    let amount = Amount::Items(COUNT as u64, (reply.len() * COUNT) as u64);
    let ours = move |reader: &mut ReplyReader| {
        let (_, reply) = reader.read(black_box(reply).as_bytes()).expect("a reply");
        black_box(Capabilities::from_reply(&reply.expect("it is complete"))).pipelining
    };
    vec![
        Work::new(GROUP, "postrider", amount, move || {
            let mut reader = ReplyReader::new(100, 1 << 16);
            (0..COUNT).filter(|_| ours(&mut reader)).count()
        }),
        Work::new(GROUP, "smtp-proto", amount, move || {
            (0..COUNT)
                .filter(|_| black_box(EhloResponse::parse(&mut black_box(reply).as_bytes().iter())).is_ok())
                .count()
        }),
    ]
}

fn data_in(group: &'static str, size: usize, dots: u64) -> Vec<Work> {
    let data: &'static [u8] = smtp_data(size, dots).leak();
    let original = text(11, size, dots);
    let size = original.len();
    let amount = Amount::Octets(data.len() as u64);
    // The server has its input in a buffer of its own, and removes the dots there.
    let in_place = |at_once: usize| {
        let mut unstuffer = Unstuffer::new(LineRule::CrLf).on_flaw(OnFlaw::Stop).line_limit(998);
        let (mut buffer, mut length, mut ended) = (Vec::with_capacity(READ + 2), 0, false);
        for input in data.chunks(at_once) {
            buffer.extend_from_slice(input);
            let found = unstuffer.unstuff(black_box(&mut buffer));
            (length, ended) = (length + found.data, found.ended);
            // All but an octet or two, which may be the beginning of the end.
            buffer.drain(..found.read);
        }
        assert!(ended && unstuffer.flaw().is_none());
        length
    };
    let into_vec = |message: &mut Vec<u8>| {
        let mut unstuffer = Unstuffer::new(LineRule::CrLf).on_flaw(OnFlaw::Stop).line_limit(998);
        let mut ended = false;
        message.clear();
        for input in data.chunks(READ) {
            let taken = unstuffer.parts(input, |part| match part {
                Part::Given(given) => message.extend_from_slice(&input[given]),
                Part::Added(added) => message.extend_from_slice(added),
            });
            ended |= taken.ended;
        }
        assert!(ended && unstuffer.flaw().is_none());
    };
    // smtp-proto 0.2 leaves the dot that was added to the very first line.
    let peer = |message: &mut Vec<u8>| {
        let (mut receiver, mut ended) = (DataReceiver::new(), false);
        message.clear();
        for input in data.chunks(READ) {
            ended |= receiver.ingest(&mut input.iter(), message);
        }
        assert!(ended);
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    into_vec(&mut ours);
    peer(&mut theirs);
    assert!(ours == original, "the dots are gone");
    assert!(theirs.ends_with(&original), "the peer gives the same message");
    assert_eq!(in_place(PACKET), size);
    let (ours, theirs, buffer) = (RefCell::new(ours), RefCell::new(theirs), RefCell::new([0; READ]));
    let copy = RefCell::new(Vec::new());
    vec![
        Work::new(group, "postrider, looking only", amount, move || {
            let mut reader = DataReader::new(BareNewlines::Refuse, 998);
            let (mut read, mut ended) = (0, false);
            for input in data.chunks(READ) {
                let part = reader.read(input);
                read += match black_box(&part.body) {
                    Body::Prefix(length) => *length,
                    Body::Rewritten(octets) => octets.len(),
                };
                ended |= part.ended;
            }
            assert!(ended && reader.bad().is_none());
            read
        }),
        Work::new(group, "postrider, copy and in place", amount, move || in_place(READ)),
        Work::new(group, "postrider, by packets", amount, move || in_place(PACKET)),
        Work::new(group, "plain copy", amount, move || {
            let mut buffer = buffer.borrow_mut();
            data.chunks(READ).for_each(|input| black_box(&mut buffer[..input.len()]).copy_from_slice(input));
            size
        }),
        Work::new(group, "plain copy into a Vec", amount, move || {
            let mut copy = copy.borrow_mut();
            copy.clear();
            data.chunks(READ).for_each(|input| copy.extend_from_slice(input));
            black_box(&copy).len().min(size)
        }),
        Work::new(group, "postrider into a Vec", amount, move || {
            into_vec(&mut ours.borrow_mut());
            black_box(&ours).borrow().len()
        }),
        Work::new(group, "smtp-proto into a Vec", amount, move || {
            peer(&mut theirs.borrow_mut());
            black_box(&theirs).borrow().len().min(size)
        }),
    ]
}

fn data_out(group: &'static str, size: usize, dots: u64) -> Vec<Work> {
    let message: &'static [u8] = text(11, size, dots).leak();
    let data = smtp_data(size, dots);
    let size = data.len();
    let amount = Amount::Octets(size as u64);
    let stuff = |at_once: usize, out: &mut BytesMut| {
        let mut writer = DataWriter::new(BareNewlines::Refuse);
        out.clear();
        for octets in message.chunks(at_once) {
            writer.write(octets, out).expect("a clean message");
        }
        writer.finish(out).expect("a clean message");
        black_box(out).len()
    };
    // mail-send ends the last line once more.
    let peer = |out: Vec<u8>| {
        let mut client = SmtpClient { stream: Cursor::new(out), timeout: Duration::from_secs(60) };
        client.stream.get_mut().clear();
        client.stream.set_position(0);
        {
            let write = pin!(client.write_message(message));
            let done = write.poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(done, Poll::Ready(Ok(()))), "memory takes everything");
        }
        client.stream.into_inner()
    };
    let (mut ours, theirs) = (BytesMut::new(), peer(Vec::new()));
    assert_eq!((stuff(READ, &mut ours), &ours[..]), (size, &data[..]), "the dots are there");
    assert!(dots == 1000 || theirs.starts_with(&data[..size - 3]), "the peer sends the same message");
    let (ours, packets, theirs) = (RefCell::new(ours.clone()), RefCell::new(ours), RefCell::new(theirs));
    let copy = RefCell::new(Vec::new());
    vec![
        Work::new(group, "postrider", amount, move || stuff(READ, &mut ours.borrow_mut())),
        Work::new(group, "postrider, by packets", amount, move || stuff(PACKET, &mut packets.borrow_mut())),
        Work::new(group, "plain copy", amount, move || {
            let mut copy = copy.borrow_mut();
            copy.clear();
            message.chunks(READ).for_each(|octets| copy.extend_from_slice(octets));
            black_box(&copy).len().max(size)
        }),
        Work::new(group, "mail-send", amount, move || {
            let mut out = theirs.borrow_mut();
            *out = peer(std::mem::take(&mut out));
            black_box(&out).len().min(size)
        }),
    ]
}

/// One message through a client that is connected, to a server in memory.
fn client(group: &'static str, size: usize) -> Vec<Work> {
    let message: &'static [u8] = text(11, size, 5).leak();
    let amount = Amount::Octets(message.len() as u64);
    let sender: Mailbox = "ann@example.org".parse().expect("an address");
    let recipient: Mailbox = "bob@example.com".parse().expect("an address");
    let config = Arc::new(client::Config::new("client.example.org".parse().expect("a name")));
    let ours = RefCell::new((Client::new(config, 1), Peer::default()));
    let shared = Bytes::from_static(message);
    let send = move || {
        let (client, peer) = &mut *ours.borrow_mut();
        if client.capabilities().is_none() {
            assert_eq!(client.receive(b"220 mx.example.org\r\n"), 20);
        }
        let (mut writing, mut rest) = (None, shared.clone());
        loop {
            match client.poll(Instant::ORIGIN) {
                Step::Event(client::Event::Finished { outcomes, .. }) => {
                    return outcomes.iter().filter(|outcome| outcome.is_delivered()).count();
                }
                Step::Event(client::Event::BodyWanted { body, .. }) => writing = Some(body),
                Step::Event(_) => {}
                Step::Idle { .. } => {
                    if client.is_ready() {
                        let envelope = Envelope::new(sender.clone()).and_to(recipient.clone());
                        client.send(envelope).expect("it is ready");
                    }
                    while !client.output().is_empty() {
                        peer.hear(client.output());
                        client.sent(client.output().len());
                    }
                    let said = peer.take_said();
                    assert_eq!(client.receive(&said), said.len());
                }
            }
            if let Some(body) = &writing {
                let written = client.write_shared(body, &rest);
                let _ = rest.split_to(written);
                if rest.is_empty() {
                    client.finish(writing.take().expect("it is there")).expect("a clean message");
                }
            }
        }
    };
    let peer = RefCell::new(SmtpClient { stream: Peer::default(), timeout: Duration::from_secs(60) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let theirs = move || {
        let message = mail_send::smtp::message::Message::new("ann@example.org", ["bob@example.com"], message);
        let sent = runtime.block_on(peer.borrow_mut().send(message));
        usize::from(sent.is_ok())
    };
    vec![Work::new(group, "postrider", amount, send), Work::new(group, "mail-send", amount, theirs)]
}

/// A server session: a stream of commands in, its replies out, all questions answered at once.
fn session() -> Vec<Work> {
    const TIMES: usize = 100;
    let commands = smtp_commands(1000);
    let commands: Vec<&[u8]> = commands.iter().map(Vec::as_slice).filter(|line| !line.starts_with(b"EHLO")).collect();
    let stream = [b"EHLO client.example.org\r\n".to_vec(), commands.concat().repeat(TIMES)].concat();
    let count = (commands.len() * TIMES + 1) as u64;
    let mut config = Config::new("mx.example.org".parse().expect("a name"));
    config.dsn = true;
    config.limits.idle_commands = u32::MAX;
    config.limits.transactions = u32::MAX;
    let config = Arc::new(config);
    let amount = Amount::Items(count, stream.len() as u64);
    let run = move || {
        let mut server = Server::new(Arc::clone(&config), 1);
        let (mut rest, mut said) = (&stream[..], 0);
        loop {
            match server.poll(Instant::ORIGIN) {
                Step::Event(Event::Mail { answer, .. }) => server.accept(answer).expect("it waits"),
                Step::Event(Event::Rcpt { answer, .. }) => server.accept(answer).expect("it waits"),
                Step::Event(Event::Reset) => {}
                Step::Event(other) => panic!("{other:?}"),
                Step::Idle { .. } => {
                    let output = server.output();
                    said += memchr_iter(b'\n', output).count();
                    let sent = output.len();
                    server.sent(sent);
                    let read = server.receive(&rest[..rest.len().min(READ)]);
                    rest = &rest[read..];
                    if read == 0 && sent == 0 {
                        assert!(said as u64 > count, "each command has its reply");
                        return said;
                    }
                }
            }
        }
    };
    vec![Work::new("smtp server session", "postrider", amount, run)]
}
