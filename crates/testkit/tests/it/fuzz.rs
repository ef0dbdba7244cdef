//! The fuzz targets, played on the corpus and on mutations of it.
//!
//! `FUZZ_RUNS` is how many mutations each gets (300).

use postrider_testkit::fuzz::{TARGETS, mutate};
use postrider_testkit::{Rng, escape};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a directory that is open can be read").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("what is listed can be read")).collect()
}

fn play(target: &str) {
    let (_, body) = TARGETS.into_iter().find(|(name, _)| *name == target).expect("the target is in the list");
    let try_one = |input: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| body(input))).is_err() {
            panic!("{target} fails on {}", escape(input));
        }
    };
    let inputs = corpus(target);
    assert!(!inputs.is_empty(), "there is something to begin with");
    inputs.iter().for_each(|input| try_one(input));
    let words: Vec<&[u8]> = inputs.iter().flat_map(|input| input.split_inclusive(|&octet| octet == b'\n')).collect();
    let runs: u64 = std::env::var("FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(300);
    for seed in 0..runs {
        let mut rng = Rng::new(seed);
        let input = &inputs[rng.below(inputs.len())];
        let mut input = mutate(input, &words, &mut rng);
        // Another seed for everything that is not the peer's.
        if input.len() >= 8 && rng.one_in(2) {
            input[..8].copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        try_one(&input);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            play(stringify!($name));
        })*

        #[test]
        fn every_target_is_played() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

targets! {
    dots
    imap_client
    imap_command
    imap_response
    imap_server
    pop3_between
    pop3_client
    pop3_server
    pop3_wire
    sasl
    smtp_address
    smtp_between
    smtp_chunks
    smtp_client
    smtp_command
    smtp_data
    smtp_reply
    smtp_server
}
