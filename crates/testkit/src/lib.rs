//! What the tests of all postrider crates share.
//!
//! - [`talk`] and [`play`]: transcripts (`*.talk`), played against any session, whole, byte by byte and cut at random.
//! - [`Pair`]: two sessions face to face over a simulated network, under one seed.
//! - [`evil`]: servers and clients that stall, lie, flood, cut the line and more, against any session or program.
//! - [`Rng`]: the only source of chance, so that a seed is a whole test run.
//!
//! A transcript reads like the protocol:
//!
//! ```text
//! # A mailbox is opened by its password.
//! server greeting="ready"
//! S: +OK ready
//! C: USER alice
//! S: +OK
//! C: PASS wonderland
//! ? open alice wonderland = 120:a 250:b
//! S: +OK 2 messages
//! @ +10m
//! S: -ERR timed out
//! ! closed timed-out
//! ```
//!
//! [`talk`] has the whole notation. To play the transcripts of a directory against a session, implement [`Adapter`]
//! for it and say [`talks!`](crate::talks):
//!
//! ```ignore
//! postrider_testkit::talks!(server_talks, "tests/talks/server", ServerAdapter);
//! ```
//!
//! `TALK=name` plays only the files whose path holds `name`; `UPDATE_TALKS=1` rewrites what the session says and
//! reports to what it really said and reported, for a person to read over. Talks for both roles are not rewritten.

mod escape;
pub mod evil;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod pair;
mod play;
mod rng;
mod settings;
pub mod talk;

pub use escape::{escape, unescape};
pub use pair::{Applications, Faults, Pair, Side, SimFailure, Way};
pub use play::{Adapter, Played, Shown, Trouble, closed, play, play_directory, rewrite};
pub use rng::Rng;
pub use settings::Settings;
