//! POP3: the lines of LIST and UIDL. No crate in use parses POP3 for servers and clients alike, so the measure is what a client
//! would write by hand: split into lines, split at the space, parse the numbers.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use memchr::memchr;
use postrider_benches::{pop3_list, pop3_uidl};
use postrider_pop3::wire::{scan_listing, unique_id_listing};

const COUNT: usize = 5000;

/// The lines without CRLF.
fn lines(mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let lf = memchr(b'\n', stream)?;
        let line = &stream[..lf - 1];
        stream = &stream[lf + 1..];
        Some(line)
    })
}

fn by_hand(line: &[u8]) -> Option<(u32, &str)> {
    let (number, rest) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    Some((number.parse().ok()?, rest))
}

fn list(c: &mut Criterion) {
    let stream = pop3_list(COUNT);
    let ours =
        |stream: &[u8]| -> u64 { lines(stream).filter_map(|line| scan_listing(line).ok()).map(|(_, size)| size).sum() };
    let naive = |stream: &[u8]| -> u64 {
        lines(stream).filter_map(by_hand).filter_map(|(_, size)| size.parse::<u64>().ok()).sum()
    };
    assert_eq!(ours(&stream), naive(&stream));

    let mut group = c.benchmark_group("pop3 LIST");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("postrider", |b| b.iter(|| ours(black_box(&stream))));
    group.bench_function("by hand", |b| b.iter(|| naive(black_box(&stream))));
    group.finish();
}

fn uidl(c: &mut Criterion) {
    let stream = pop3_uidl(COUNT);
    let ours = |stream: &[u8]| {
        let ids = lines(stream).filter_map(|line| unique_id_listing(line).ok());
        ids.filter_map(|(_, id)| id).map(|id| black_box(id).as_str().len()).sum::<usize>()
    };
    let naive = |stream: &[u8]| {
        let ids = lines(stream).filter_map(by_hand).map(|(_, id)| id.to_owned());
        ids.map(|id| black_box(id).len()).sum::<usize>()
    };
    assert_eq!(ours(&stream), naive(&stream));

    let mut group = c.benchmark_group("pop3 UIDL");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("postrider", |b| b.iter(|| ours(black_box(&stream))));
    group.bench_function("by hand", |b| b.iter(|| naive(black_box(&stream))));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = list, uidl
}
criterion_main!(benches);
