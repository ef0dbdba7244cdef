//! SASL mechanisms as step machines, client and server halves, without I/O (RFC 4422).
//!
//! A server protocol calls [`ServerExchange::start`] and hands the peer's responses on until it has an [`Attempt`],
//! which it puts to the application. A client protocol drives a [`Mechanism`]. The base64 lines both exchange are read
//! and written by [`line`].
//!
//! ```
//! use postrider_sasl::{Attempt, MechanismName, ServerExchange, ServerStep};
//!
//! let step = ServerExchange::start(&MechanismName::Plain, Some(b"\0alice\0wonderland")).unwrap();
//! let ServerStep::Attempt(Attempt::Password { user, password, .. }) = step else { panic!("PLAIN takes one step") };
//! assert_eq!(user, "alice");
//! assert!(password.matches("wonderland"));
//! ```
//!
//! Not yet: SCRAM, CRAM-MD5, OAUTHBEARER, EXTERNAL and ANONYMOUS, and the server half of XOAUTH2.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod apop;
mod attempt;
mod client;
pub mod line;
mod name;
mod server;

pub use apop::{Apop, ApopChallenge, ApopChallengeError};
pub use attempt::{Attempt, Denied, Identity};
pub use client::{Login, Mechanism, MechanismError, Plain, XOAuth2};
pub use name::MechanismName;
pub use server::{ExchangeError, ServerExchange, ServerStep};
