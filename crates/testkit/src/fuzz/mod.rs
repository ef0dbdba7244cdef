//! What fuzzing does with arbitrary bytes.
//!
//! Each function takes any input and panics if something is wrong with the crate under test. The first eight octets
//! are the seed of everything that is not the peer's: how the rest is cut, what the application answers and when, how
//! time passes. The rest is what the peer sends.
//!
//! [`TARGETS`] names them all. `fuzz/` wraps them for cargo-fuzz; the tests of this crate play `fuzz/corpus` and
//! [mutations](mutate) of it.

mod drive;
mod imap;
mod mutate;
mod pop3;
mod sasl;
mod smtp;
mod smtp_wire;

pub use imap::{imap_client, imap_command, imap_response, imap_server};
pub use mutate::mutate;
pub use pop3::{dots, pop3_between, pop3_client, pop3_server, pop3_wire};
pub use sasl::sasl;
pub use smtp::{smtp_between, smtp_chunks, smtp_client, smtp_server};
pub use smtp_wire::{smtp_address, smtp_command, smtp_data, smtp_reply};

/// What a target does with one input.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Target); 18] = [
    ("dots", dots),
    ("imap_client", imap_client),
    ("imap_command", imap_command),
    ("imap_response", imap_response),
    ("imap_server", imap_server),
    ("pop3_between", pop3_between),
    ("pop3_client", pop3_client),
    ("pop3_server", pop3_server),
    ("pop3_wire", pop3_wire),
    ("sasl", sasl),
    ("smtp_address", smtp_address),
    ("smtp_between", smtp_between),
    ("smtp_chunks", smtp_chunks),
    ("smtp_client", smtp_client),
    ("smtp_command", smtp_command),
    ("smtp_data", smtp_data),
    ("smtp_reply", smtp_reply),
    ("smtp_server", smtp_server),
];

/// The seed, and the rest.
fn split(data: &[u8]) -> (crate::Rng, &[u8]) {
    let (seed, rest) = data.split_at(data.len().min(8));
    let mut octets = [0; 8];
    octets[..seed.len()].copy_from_slice(seed);
    (crate::Rng::new(u64::from_le_bytes(octets)), rest)
}
