//! SMTP: commands, replies, and the message on the wire. The peer is smtp-proto, which Stalwart's server reads SMTP with.
//! Ours checks addresses against the grammar and refuses bare CR and LF in the message; smtp-proto does neither.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use memchr::memchr;
use postrider_benches::{smtp_commands, smtp_data, smtp_replies, text};
use postrider_smtp::wire::{BareNewlines, Body, Command, DataReader, Quirks, ReplyReader};
use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{EhloResponse, Request};

fn commands(c: &mut Criterion) {
    let commands = smtp_commands(1000);
    let ours = |commands: &[Vec<u8>]| {
        commands.iter().filter(|line| Command::parse(&line[..line.len() - 2], Quirks::NONE).is_ok()).count()
    };
    let peer = |commands: &[Vec<u8>]| commands.iter().filter(|line| Request::parse(&mut line.iter()).is_ok()).count();
    assert_eq!((ours(&commands), peer(&commands)), (commands.len(), commands.len()));

    let mut group = c.benchmark_group("smtp commands");
    group.throughput(Throughput::Elements(commands.len() as u64));
    group.bench_function("postrider", |b| b.iter(|| ours(black_box(&commands))));
    group.bench_function("smtp-proto", |b| b.iter(|| peer(black_box(&commands))));
    group.finish();
}

fn replies(c: &mut Criterion) {
    const COUNT: usize = 1000;
    let stream = smtp_replies(COUNT);
    let ours = |mut stream: &[u8]| {
        let (mut reader, mut replies) = (ReplyReader::new(100, 1 << 16), 0);
        while let Some(lf) = memchr(b'\n', stream) {
            let line = &stream[..lf - 1];
            replies += usize::from(reader.line(line).expect("a line of a reply").is_some());
            stream = &stream[lf + 1..];
        }
        replies
    };
    // The same replies, one after another: its receiver is for replies, EHLO's apart.
    let peer = |stream: &[u8]| {
        let (mut octets, mut receiver, mut replies) = (stream.iter(), ResponseReceiver::default(), 0);
        while !octets.as_slice().is_empty() {
            receiver.parse(&mut octets).expect("a reply");
            receiver.reset();
            replies += 1;
        }
        replies
    };
    assert_eq!((ours(&stream), peer(&stream)), (COUNT, COUNT));
    assert!(EhloResponse::parse(&mut b"250 x\r\n".iter()).is_ok());

    let mut group = c.benchmark_group("smtp replies");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("postrider", |b| b.iter(|| ours(black_box(&stream))));
    group.bench_function("smtp-proto", |b| b.iter(|| peer(black_box(&stream))));
    group.finish();
}

fn data(c: &mut Criterion) {
    const READ: usize = 16 << 10;
    let mut group = c.benchmark_group("smtp DATA");
    for (name, dots) in [("ordinary text", 5), ("every line dotted", 1000)] {
        let data = smtp_data(1 << 20, dots);
        let ours = |data: &[u8]| {
            let mut reader = DataReader::new(BareNewlines::Refuse, 998);
            let (mut size, mut ended) = (0, false);
            for input in data.chunks(READ) {
                let part = reader.read(input);
                size += match black_box(&part.body) {
                    Body::Prefix(size) => *size,
                    Body::Rewritten(octets) => octets.len(),
                };
                ended |= part.ended;
            }
            assert!(ended && reader.bad().is_none());
            size
        };
        // What the application has to do then to keep it.
        let ours_copied = |data: &[u8]| {
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
        let peer = |data: &[u8]| {
            let (mut receiver, mut message, mut ended) = (DataReceiver::new(), Vec::with_capacity(data.len()), false);
            for input in data.chunks(READ) {
                ended |= receiver.ingest(&mut input.iter(), &mut message);
            }
            assert!(ended);
            message
        };
        assert_eq!(ours_copied(&data).len(), ours(&data));
        let original = text(11, 1 << 20, dots);
        assert!(ours_copied(&data) == original, "the dots are gone");
        // smtp-proto 0.2 leaves the dot that was added to the very first line.
        assert!(peer(&data).ends_with(&original), "the peer gives the same message");

        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_with_input(BenchmarkId::new("postrider", name), &data, |b, data| b.iter(|| ours(black_box(data))));
        group.bench_with_input(BenchmarkId::new("postrider into a Vec", name), &data, |b, data| {
            b.iter(|| ours_copied(black_box(data)));
        });
        group.bench_with_input(BenchmarkId::new("smtp-proto into a Vec", name), &data, |b, data| {
            b.iter(|| peer(black_box(data)));
        });
        group.bench_with_input(BenchmarkId::new("plain copy", name), &data, |b, data| {
            b.iter(|| black_box(data.as_slice()).to_vec());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = commands, replies, data
}
criterion_main!(benches);
