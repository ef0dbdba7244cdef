//! Listings and messages. What a client would write by hand is the measure for the lines: split into lines, split at the
//! space, parse the numbers. No crate in use parses POP3 apart from its client.

use std::hint::black_box;

use memchr::memchr;
use postrider_benches::{pop3_list, pop3_uidl, smtp_data, text};
use postrider_core::{LineRule, Part, Stuffer, Unstuffer};
use postrider_pop3::wire::{scan_listing, unique_id_listing};

use super::{Amount, Work};

/// Messages in the maildrop.
const COUNT: usize = 100_000;
/// What a client reads at once.
const READ: usize = 16 << 10;

/// Each makes its input when it is called, and work of one group.
pub const GROUPS: [fn() -> Vec<Work>; 6] = [
    list,
    uidl,
    || retr_in("pop3 RETR in, ordinary text", 5),
    || retr_in("pop3 RETR in, every line dotted", 1000),
    || retr_out("pop3 RETR out, ordinary text", 5),
    || retr_out("pop3 RETR out, every line dotted", 1000),
];

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

fn list() -> Vec<Work> {
    const GROUP: &str = "pop3 LIST";
    let stream: &'static [u8] = pop3_list(COUNT).leak();
    let amount = Amount::Items(COUNT as u64, stream.len() as u64);
    vec![
        Work::new(GROUP, "postrider", amount, move || {
            lines(stream).filter_map(|line| scan_listing(line).ok()).map(|(_, size)| size as usize).sum()
        }),
        Work::new(GROUP, "by hand", amount, move || {
            lines(stream).filter_map(by_hand).filter_map(|(_, size)| size.parse::<usize>().ok()).sum()
        }),
    ]
}

fn uidl() -> Vec<Work> {
    const GROUP: &str = "pop3 UIDL";
    let stream: &'static [u8] = pop3_uidl(COUNT).leak();
    let amount = Amount::Items(COUNT as u64, stream.len() as u64);
    vec![
        Work::new(GROUP, "postrider", amount, move || {
            let ids = lines(stream).filter_map(|line| unique_id_listing(line).ok());
            ids.filter_map(|(_, id)| id).map(|id| black_box(id).as_str().len()).sum()
        }),
        Work::new(GROUP, "by hand", amount, move || {
            let ids = lines(stream).filter_map(by_hand).map(|(_, id)| id.to_owned());
            ids.map(|id| black_box(id).len()).sum()
        }),
    ]
}

fn retr_in(group: &'static str, dots: u64) -> Vec<Work> {
    let wire: &'static [u8] = smtp_data(1 << 20, dots).leak();
    let original = text(11, 1 << 20, dots);
    let size = original.len();
    let amount = Amount::Octets(wire.len() as u64);
    let unstuff = move || {
        let (mut unstuffer, mut message) = (Unstuffer::new(LineRule::Lf), Vec::with_capacity(wire.len()));
        for octets in wire.chunks(READ) {
            unstuffer.parts(octets, |part| match part {
                Part::Given(range) => message.extend_from_slice(&octets[range]),
                Part::Added(added) => message.extend_from_slice(added),
            });
        }
        message
    };
    assert!(unstuff() == original, "the dots are gone");
    vec![
        Work::new(group, "postrider", amount, move || black_box(unstuff()).len()),
        Work::new(group, "plain copy", amount, move || black_box(black_box(wire).to_vec()).len().min(size)),
    ]
}

fn retr_out(group: &'static str, dots: u64) -> Vec<Work> {
    let message: &'static [u8] = text(11, 1 << 20, dots).leak();
    let wire = smtp_data(1 << 20, dots);
    let size = wire.len();
    let amount = Amount::Octets(size as u64);
    let stuff = move || {
        let (mut stuffer, mut out) = (Stuffer::new(LineRule::Lf), Vec::with_capacity(size));
        for octets in message.chunks(READ) {
            stuffer.stuff(octets, |part| out.extend_from_slice(part));
        }
        out.extend_from_slice(stuffer.end().expect("no flaw by this rule"));
        out
    };
    assert!(stuff() == wire, "the dots are there");
    vec![
        Work::new(group, "postrider", amount, move || black_box(stuff()).len()),
        Work::new(group, "plain copy", amount, move || black_box(black_box(message).to_vec()).len().max(size)),
    ]
}
