//! Listings and messages. What a client would write by hand is the measure for the lines: split into lines, split at the
//! space, parse the numbers. No crate in use parses POP3 apart from its client.

use std::hint::black_box;
use std::sync::Arc;

use memchr::memchr;
use postrider_benches::{pop3_list, pop3_uidl, smtp_data, text};
use postrider_core::{Instant, LineRule, Machine, Part, Secret, Session, Step, Stuffer, Unstuffer};
use postrider_pop3::client::{Client, Config, Event};
use postrider_pop3::wire::{scan_listing, unique_id_listing};

use super::{Amount, Work};

/// Messages in the maildrop.
const COUNT: usize = 100_000;
/// What a client reads at once.
const READ: usize = 16 << 10;

/// Each makes its input when it is called, and work of one group.
pub const GROUPS: [fn() -> Vec<Work>; 9] = [
    list,
    uidl,
    || growth("pop3 RETR, a client, by 1", 1),
    || growth("pop3 RETR, a client, by 1,460", 1460),
    || growth("pop3 RETR, a client, by 16 Ki", READ),
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

/// A client that has logged in; nothing was asked yet.
fn client() -> Client {
    let mut config = Config::default();
    config.dangerous_plaintext_login = true; // There is no wire here that somebody could read.
    config.capabilities = false;
    let mut client = Client::new(Arc::new(config), 1);
    hear(&mut client, b"+OK\r\n", |_| {});
    client.login("ann", Secret::new("secret".to_owned())).expect("it is ready");
    hear(&mut client, b"", |_| {});
    hear(&mut client, b"+OK\r\n", |_| {});
    hear(&mut client, b"+OK\r\n", |_| {});
    client
}

/// Gives a client octets, takes what it says, and shows `see` what it reports.
fn hear(client: &mut Client, octets: &[u8], mut see: impl FnMut(Event)) {
    assert_eq!(client.receive(octets), octets.len(), "it reads all that came before more comes");
    while let Step::Event(event) = client.poll(Instant::ORIGIN) {
        see(event);
    }
    client.sent(client.output().len());
}

fn list() -> Vec<Work> {
    const GROUP: &str = "pop3 LIST";
    let stream: &'static [u8] = pop3_list(COUNT).leak();
    let answer: &'static [u8] = [b"+OK\r\n", stream, b".\r\n"].concat().leak();
    let amount = Amount::Items(COUNT as u64, stream.len() as u64);
    vec![
        Work::new(GROUP, "postrider, a client", amount, move || {
            let (mut client, mut sum) = (client(), 0);
            client.list(None).expect("somebody has logged in");
            hear(&mut client, b"", |_| {});
            for octets in answer.chunks(READ) {
                hear(&mut client, octets, |event| {
                    if let Event::Listing { sizes, .. } = event {
                        sum += sizes.iter().map(|(_, size)| *size as usize).sum::<usize>();
                    }
                });
            }
            sum
        }),
        Work::new(GROUP, "postrider, a line", amount, move || {
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
    let answer: &'static [u8] = [b"+OK\r\n", stream, b".\r\n"].concat().leak();
    let amount = Amount::Items(COUNT as u64, stream.len() as u64);
    vec![
        Work::new(GROUP, "postrider, a client", amount, move || {
            let (mut client, mut sum) = (client(), 0);
            client.unique_ids(None).expect("somebody has logged in");
            hear(&mut client, b"", |_| {});
            for octets in answer.chunks(READ) {
                hear(&mut client, octets, |event| {
                    if let Event::UniqueIds { ids, .. } = event {
                        sum += ids.iter().filter_map(|(_, id)| id).map(|id| id.as_bytes().len()).sum::<usize>();
                    }
                });
            }
            sum
        }),
        Work::new(GROUP, "postrider, a line", amount, move || {
            let ids = lines(stream).filter_map(|line| unique_id_listing(line).ok());
            ids.filter_map(|(_, id)| id).map(|id| black_box(id).as_str().len()).sum()
        }),
        Work::new(GROUP, "by hand", amount, move || {
            let ids = lines(stream).filter_map(by_hand).map(|(_, id)| id.to_owned());
            ids.map(|id| black_box(id).len()).sum()
        }),
    ]
}

/// A message through a client, in reads of so many octets, and one of twice the size: what an octet costs may not grow.
fn growth(group: &'static str, read: usize) -> Vec<Work> {
    let of = |who: &'static str, size: usize| {
        let answer: &'static [u8] = [b"+OK\r\n".to_vec(), smtp_data(size, 5)].concat().leak();
        let original = text(11, size, 5).len();
        Work::new(group, who, Amount::Octets(answer.len() as u64), move || {
            let (mut client, mut came) = (client(), 0);
            client.retrieve(1).expect("somebody has logged in");
            hear(&mut client, b"", |_| {});
            for octets in answer.chunks(read) {
                hear(&mut client, octets, |event| {
                    if let Event::Body { bytes, .. } = event {
                        came += black_box(bytes).len();
                    }
                });
            }
            usize::from(came == original)
        })
    };
    vec![of("postrider, 64 KiB", 64 << 10), of("postrider, 128 KiB", 128 << 10)]
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
