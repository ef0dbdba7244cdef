//! IMAP: responses beside imap-codec and imap-proto, commands beside imap-codec. Ours finds the ends of responses by itself and
//! gives owned values; the peers' values borrow from the input, which is the cheaper half of the work.

use std::hint::black_box;
use std::time::Duration;

use bytes::{Buf, Bytes};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use imap_codec::decode::Decoder;
use imap_codec::{CommandCodec, ResponseCodec};
use postrider_benches::{imap_commands, imap_envelopes, imap_flags, imap_list, imap_literal, imap_search};
use postrider_imap::wire::{Dialect, Frame, FrameLimits, Framer, Response, parse_command, parse_response};

/// Frames and reads all responses; `None` if one was not understood.
fn ours(stream: &Bytes) -> Option<usize> {
    let (mut input, mut framer, mut count) = (stream.clone(), Framer::responses(FrameLimits::RESPONSES), 0);
    while !input.is_empty() {
        match framer.next(&input).ok()? {
            Frame::Unit { len, end } => {
                let unit = input.split_to(len);
                input.advance(end);
                match black_box(parse_response(&unit, Dialect::REV1)) {
                    Response::Data(_) => count += 1,
                    _ => return None,
                }
            }
            Frame::Literal(_) => framer.inline().then_some(())?,
            Frame::More | Frame::Octets { .. } => return None,
        }
    }
    Some(count)
}

fn codec(mut stream: &[u8]) -> Option<usize> {
    let (codec, mut count) = (ResponseCodec::default(), 0);
    while !stream.is_empty() {
        let (rest, response) = codec.decode(stream).ok()?;
        black_box(response);
        (stream, count) = (rest, count + 1);
    }
    Some(count)
}

fn proto(mut stream: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !stream.is_empty() {
        let (rest, response) = imap_proto::Response::parse(stream).ok()?;
        black_box(response);
        (stream, count) = (rest, count + 1);
    }
    Some(count)
}

fn responses(c: &mut Criterion) {
    let table = [
        ("FETCH FLAGS", imap_flags(2000), 2000),
        ("FETCH ENVELOPE BODYSTRUCTURE", imap_envelopes(300), 300),
        ("LIST", imap_list(2000), 2000),
        ("SEARCH", imap_search(20_000), 1),
        ("BODY literal of 1 MiB", imap_literal(1 << 20), 1),
    ];
    for (name, stream, count) in table {
        let stream = Bytes::from(stream);
        assert_eq!(ours(&stream), Some(count), "{name}");
        let mut group = c.benchmark_group(format!("imap {name}"));
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function("postrider", |b| b.iter(|| ours(black_box(&stream))));
        assert_eq!(codec(&stream), Some(count), "{name}: imap-codec");
        group.bench_function("imap-codec", |b| b.iter(|| codec(black_box(&stream))));
        assert_eq!(proto(&stream), Some(count), "{name}: imap-proto");
        group.bench_function("imap-proto", |b| b.iter(|| proto(black_box(&stream))));
        group.finish();
    }
}

fn commands(c: &mut Criterion) {
    let commands: Vec<Bytes> = imap_commands(1000).into_iter().map(Bytes::from).collect();
    let ours = |commands: &[Bytes]| {
        let mut framer = Framer::commands(FrameLimits::COMMANDS);
        let understood = |command: &&Bytes| match framer.next(command) {
            Ok(Frame::Unit { len, .. }) => parse_command(&command.slice(..len), Dialect::REV1).is_ok(),
            Ok(_) | Err(_) => false,
        };
        commands.iter().filter(understood).count()
    };
    let peer = |commands: &[Bytes]| {
        let codec = CommandCodec::default();
        commands.iter().filter(|command| codec.decode(command).is_ok()).count()
    };
    let count = commands.len();
    assert_eq!((ours(&commands), peer(&commands)), (count, count));

    let mut group = c.benchmark_group("imap commands");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("postrider", |b| b.iter(|| ours(black_box(&commands))));
    group.bench_function("imap-codec", |b| b.iter(|| peer(black_box(&commands))));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = responses, commands
}
criterion_main!(benches);
