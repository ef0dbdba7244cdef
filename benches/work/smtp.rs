//! Commands, replies and DATA; and a whole server session, beside which there is no other.

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use memchr::{memchr, memchr_iter};
use postrider_benches::{smtp_commands, smtp_data, smtp_ehlo, smtp_replies, text};
use postrider_core::{Instant, Machine, Session, Step};
use postrider_smtp::server::{Config, Event, Server};
use postrider_smtp::wire::{BareNewlines, Body, Capabilities, Command, DataReader, DataWriter, Quirks, ReplyReader};
use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{EhloResponse, Request};

use super::{Amount, Work};

/// What a server reads at once.
const READ: usize = 16 << 10;

/// Each makes its input when it is called, and work of one group.
pub const GROUPS: [fn() -> Vec<Work>; 8] = [
    commands,
    replies,
    ehlo,
    || data_in("smtp DATA in, ordinary text", 5),
    || data_in("smtp DATA in, every line dotted", 1000),
    || data_out("smtp DATA out, ordinary text", 5),
    || data_out("smtp DATA out, every line dotted", 1000),
    session,
];

fn commands() -> Vec<Work> {
    const GROUP: &str = "smtp commands";
    let commands = smtp_commands(1000);
    let amount = Amount::Items(commands.len() as u64, commands.iter().map(Vec::len).sum::<usize>() as u64);
    let commands: &'static [Vec<u8>] = commands.leak();
    vec![
        Work::new(GROUP, "postrider", amount, move || {
            let good = |line: &&Vec<u8>| black_box(Command::parse(&line[..line.len() - 2], Quirks::NONE)).is_ok();
            commands.iter().filter(good).count()
        }),
        Work::new(GROUP, "smtp-proto", amount, move || {
            commands.iter().filter(|line| black_box(Request::parse(&mut line.iter())).is_ok()).count()
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
            let (mut stream, mut reader, mut replies) = (stream, ReplyReader::new(100, 1 << 16), 0);
            while let Some(lf) = memchr(b'\n', stream) {
                replies += usize::from(black_box(reader.line(&stream[..lf - 1])).expect("a line of a reply").is_some());
                stream = &stream[lf + 1..];
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
        let mut stream = black_box(reply).as_bytes();
        while let Some(lf) = memchr(b'\n', stream) {
            if let Some(reply) = reader.line(&stream[..lf - 1]).expect("a line of a reply") {
                return black_box(Capabilities::from_reply(&reply)).pipelining;
            }
            stream = &stream[lf + 1..];
        }
        false
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

fn data_in(group: &'static str, dots: u64) -> Vec<Work> {
    let data: &'static [u8] = smtp_data(1 << 20, dots).leak();
    let original = text(11, 1 << 20, dots);
    let size = original.len();
    let amount = Amount::Octets(data.len() as u64);
    let into_vec = || {
        let mut reader = DataReader::new(BareNewlines::Refuse, 998);
        let mut message = Vec::with_capacity(data.len());
        for input in data.chunks(READ) {
            match reader.read(input).body {
                Body::Prefix(size) => message.extend_from_slice(&input[..size]),
                Body::Rewritten(octets) => message.extend_from_slice(&octets),
            }
        }
        message
    };
    // smtp-proto 0.2 leaves the dot that was added to the very first line.
    let peer = || {
        let (mut receiver, mut message, mut ended) = (DataReceiver::new(), Vec::with_capacity(data.len()), false);
        for input in data.chunks(READ) {
            ended |= receiver.ingest(&mut input.iter(), &mut message);
        }
        assert!(ended);
        message
    };
    assert!(into_vec() == original, "the dots are gone");
    assert!(peer().ends_with(&original), "the peer gives the same message");
    vec![
        Work::new(group, "postrider", amount, move || {
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
        // What the application has to do then to keep it.
        Work::new(group, "postrider into a Vec", amount, move || black_box(into_vec()).len()),
        Work::new(group, "smtp-proto into a Vec", amount, move || black_box(peer()).len().min(size)),
        Work::new(group, "plain copy", amount, move || black_box(black_box(data).to_vec()).len().min(size)),
    ]
}

fn data_out(group: &'static str, dots: u64) -> Vec<Work> {
    let message: &'static [u8] = text(11, 1 << 20, dots).leak();
    let data = smtp_data(1 << 20, dots);
    let size = data.len();
    let amount = Amount::Octets(size as u64);
    let stuff = move || {
        let (mut writer, mut out) = (DataWriter::new(BareNewlines::Refuse), BytesMut::with_capacity(size));
        for octets in message.chunks(READ) {
            writer.write(octets, &mut out).expect("a clean message");
        }
        writer.finish(&mut out).expect("a clean message");
        out
    };
    assert!(stuff() == data, "the dots are there");
    vec![
        Work::new(group, "postrider", amount, move || black_box(stuff()).len()),
        Work::new(group, "plain copy", amount, move || {
            let copy = black_box(black_box(message).to_vec());
            copy.len().max(size)
        }),
    ]
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
