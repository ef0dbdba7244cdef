//! Structure of messages. The peer is mail-parser, which also decodes the bodies: it cannot be asked not to, and a server
//! that answers FETCH BODYSTRUCTURE with it pays for that.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postrider_benches::mime_message;
use postrider_message::{Scanner, Structure, body_structure, scan};

fn structure(c: &mut Criterion) {
    let mut group = c.benchmark_group("message structure");
    for (name, size) in [("20 KB", 20_000), ("1 MB", 1_000_000)] {
        let message = mime_message(1, size);
        let ours = scan(&message);
        let peer = mail_parser::MessageParser::default().parse(&message).expect("a message");
        assert_eq!(ours.parts().len(), peer.parts.len(), "both see the same parts");
        assert!(ours.is_whole());

        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_with_input(BenchmarkId::new("postrider", name), &message, |b, message| {
            b.iter(|| scan(black_box(message)))
        });
        group.bench_with_input(BenchmarkId::new("postrider in pieces of 4 KiB", name), &message, |b, message| {
            b.iter(|| {
                let mut scanner = Scanner::new(Default::default());
                message.chunks(4096).for_each(|piece| scanner.push(black_box(piece)));
                scanner.finish()
            });
        });
        group.bench_with_input(BenchmarkId::new("mail-parser", name), &message, |b, message| {
            let parser = mail_parser::MessageParser::default();
            b.iter(|| black_box(parser.parse(black_box(message)).is_some()));
        });
    }
    group.finish();
}

/// What a FETCH ENVELOPE BODYSTRUCTURE costs with the cache that lies beside a message, against scanning it again.
fn fetch(c: &mut Criterion) {
    let mut group = c.benchmark_group("message FETCH from cache");
    let message = mime_message(2, 20_000);
    let cache = scan(&message).to_cache();
    group.bench_function("postrider", |b| {
        b.iter(|| {
            let structure = Structure::from_cache(black_box(&cache)).expect("our own cache");
            (structure.envelope().clone(), body_structure(&structure, true))
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = structure, fetch
}
criterion_main!(benches);
