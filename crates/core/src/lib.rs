//! The shape that every postrider session shares. No protocol lives here.
//!
//! A [`Session`] is pushed bytes and pulled events. It never reads a socket, a clock or a random number:
//!
//! 1. Give it what the peer sent: [`Session::receive`], as much as [`Session::window`] allows.
//! 2. Pull events with [`Machine::poll`] until it says [`Step::Idle`]. Time enters here and nowhere else.
//! 3. Answer the questions among the events. They are values, [`Pending`]; answer now, later, or from another task.
//! 4. Write [`Session::output`] and say how much of it went out: [`Session::sent`].
//! 5. If [`Session::upgrade`] gives a [`Pending<Handshake>`], do the TLS handshake and report it: [`Session::tls`].
//! 6. Wait for input, for an answer, or for the deadline, and go on at 1, until [`Session::is_finished`].
//!
//! Every call is legal in any order. `postrider-io` has this loop ready made, blocking and for tokio.
//!
//! [`Link`], [`Timer`] and [`Framed`] are for those who write sessions; who uses them does not meet these.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod dots;
mod error;
mod link;
mod machine;
mod pending;
mod secret;
mod text;
mod time;
mod tls;
mod trace;

pub use dots::{Flaw, LineRule, OnFlaw, Part, Stuffer, Taken, Unstuffed, Unstuffer};
pub use error::{Excerpt, ParseError, ProtocolError};
pub use link::{Framed, Line, LineEnd, Link, LinkLimits};
pub use machine::{Closed, Machine, Session, Step};
pub use pending::{Misuse, Pending, Question, Questions, SessionId, Stale};
pub use secret::Secret;
pub use text::{Text, TextError};
pub use time::{Instant, Timer};
pub use tls::{Handshake, Security, TlsFailed, TlsInfo};
pub use trace::{Direction, Tap};
