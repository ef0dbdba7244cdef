//! Messages on their way through writer and reader. Where a message ends is in `smuggling`.

use postrider_smtp::wire::{BareNewlines, Body, DataReader, DataWriter};
use proptest::prelude::*;

/// What a reader made of its input.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Read {
    taken: usize,
    ended: bool,
    bad: bool,
    body: Vec<u8>,
}

fn read(policy: BareNewlines, pieces: &[&[u8]]) -> Read {
    let mut reader = DataReader::new(policy, 1000);
    let mut read = Read { taken: 0, ended: false, bad: false, body: vec![] };
    for piece in pieces {
        let part = reader.read(piece);
        read.taken += part.taken;
        match part.body {
            Body::Prefix(length) => read.body.extend_from_slice(&piece[..length]),
            Body::Rewritten(octets) => read.body.extend_from_slice(&octets),
        }
        if part.ended {
            read.ended = true;
            break;
        }
        assert_eq!(part.taken, piece.len(), "all is taken before the end");
    }
    read.bad = reader.bad().is_some();
    if read.bad {
        read.body.clear();
    }
    read
}

/// All strings of `length` over the octets that matter.
fn strings(length: u32) -> impl Iterator<Item = Vec<u8>> {
    const OCTETS: &[u8; 5] = b"\r\n.\0a";
    (0..5usize.pow(length)).map(move |mut n| {
        let mut text = vec![];
        for _ in 0..length {
            text.push(OCTETS[n % 5]);
            n /= 5;
        }
        text
    })
}

#[test]
fn a_line_limit_counts_octets_without_crlf_however_they_are_cut() {
    for (length, good) in [(1000, true), (1001, false)] {
        let input = [vec![b'a'; length], b"\r\n.\r\n".to_vec()].concat();
        for cut in [0, 1, 999, 1000, 1001, 1002, 1003] {
            let got = read(BareNewlines::Refuse, &[&input[..cut], &input[cut..]]);
            assert_eq!((got.bad, got.ended), (!good, true), "{length} cut at {cut}");
        }
    }
}

fn written(policy: BareNewlines, pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let mut writer = DataWriter::new(policy);
    let mut out = bytes::BytesMut::new();
    for piece in pieces {
        writer.write(piece, &mut out).ok()?;
    }
    writer.finish(&mut out).ok()?;
    Some(out.to_vec())
}

//= 5321-4.1.1.4-1, 5321-4.1.1.4-2, 5321-4.5.2-1
#[test]
fn case_47_what_is_written_reads_back_the_same_and_bare_newlines_are_refused() {
    for length in 0..=6 {
        for input in strings(length) {
            let framed = [&b"x"[..], &input].concat();
            let bad = framed.contains(&0)
                || framed.windows(2).any(|w| (w[0] == b'\r') != (w[1] == b'\n'))
                || framed.ends_with(b"\r");
            for cut in 0..=input.len() {
                let pieces = [&input[..cut], &input[cut..]];
                let shown = input.escape_ascii().to_string();
                let Some(wire) = written(BareNewlines::Refuse, &pieces) else {
                    assert!(bad, "{shown} cut at {cut} was refused");
                    continue;
                };
                assert!(!bad, "{shown} cut at {cut} was written");
                let back = read(BareNewlines::Refuse, &[&wire]);
                assert!(back.ended && !back.bad && back.taken == wire.len(), "{shown} cut at {cut}: {wire:?}");
                let mut expected = input.clone();
                if !input.is_empty() && !input.ends_with(b"\r\n") {
                    expected.extend_from_slice(b"\r\n");
                }
                assert_eq!(back.body, expected, "{shown} cut at {cut}");
            }
        }
    }
}

#[test]
fn case_47_normalised_output_never_holds_bare_newlines() {
    for length in 0..=6 {
        for input in strings(length) {
            for cut in 0..=input.len() {
                let wire =
                    written(BareNewlines::Normalise, &[&input[..cut], &input[cut..]]).expect("nothing is refused");
                let back = read(BareNewlines::Refuse, &[&wire]);
                assert!(back.ended && !back.bad && back.taken == wire.len(), "{input:?} cut at {cut}: {wire:?}");
            }
        }
    }
}

proptest! {
    //= 5321-4.5.2-3
    #[test]
    fn any_message_survives_the_way_in_any_pieces(
        lines in proptest::collection::vec("[.a]{0,3}", 0..200),
        sizes in proptest::collection::vec(1usize..90, 1..20),
    ) {
        let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let mut sizes_out = sizes.iter().cycle();
        let mut pieces = vec![];
        let mut rest = message.as_bytes();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*sizes_out.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        let wire = written(BareNewlines::Refuse, &pieces).unwrap();
        let parts: Vec<&[u8]> = wire.chunks(sizes[0]).collect();
        let back = read(BareNewlines::Refuse, &parts);
        prop_assert!(back.ended && !back.bad);
        prop_assert_eq!(back.body, message.into_bytes());
    }
}
