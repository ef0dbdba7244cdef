//! SASL mechanisms as step machines, client and server halves, without I/O (RFC 4422).
//!
//! | Mechanism | | Shows the secret | Feature |
//! |---|---|---|---|
//! | `SCRAM-SHA-256`, `SCRAM-SHA-256-PLUS` | RFC 7677 | no | `scram` |
//! | `SCRAM-SHA-1`, `SCRAM-SHA-1-PLUS` | RFC 5802 | no | `scram` |
//! | `PLAIN` | RFC 4616 | yes | |
//! | `LOGIN` | | yes | |
//! | `CRAM-MD5` | RFC 2195 | no | `cram-md5` |
//! | `OAUTHBEARER` | RFC 7628 | yes | |
//! | `XOAUTH2` | | yes | |
//! | `EXTERNAL` | RFC 4422, A | no | |
//! | `ANONYMOUS` | RFC 4505 | no | |
//!
//! A server protocol calls [`ServerExchange::start`] and hands the peer's responses on until it has an [`Attempt`],
//! which it puts to the application. SCRAM and CRAM-MD5 need something from the application before: see [`ServerStep`].
//! A client protocol drives a [`Mechanism`]; [`Credentials::strongest`] picks one. The base64 lines both exchange are
//! read and written by [`line`].
//!
//! ```
//! use postrider_sasl::{Attempt, Channel, MechanismName, ServerExchange, ServerStep};
//!
//! let channel = Channel::default(); // no TLS to bind the login to
//! let step = ServerExchange::start(&MechanismName::Plain, Some(b"\0alice\0wonderland"), &channel).unwrap();
//! let ServerStep::Attempt(Attempt::Password { user, password, .. }) = step else { panic!("PLAIN takes one step") };
//! assert_eq!(user, "alice");
//! assert!(password.matches("wonderland"));
//! ```
//!
//! Nothing here draws random numbers: nonces and challenges are arguments. Names and passwords beyond ASCII go into SCRAM
//! only with the feature `saslprep`, which needs std.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod apop;
mod attempt;
mod channel;
mod choose;
mod client;
mod cram;
mod hash;
pub mod line;
mod name;
mod oauth;
mod prepare;
mod scram;
mod server;

pub use apop::{Apop, ApopChallenge, ApopChallengeError};
pub use attempt::{Attempt, Denied, Identity};
pub use channel::{BindingType, Channel};
pub use choose::{Credentials, NoMechanism};
pub use client::{Anonymous, External, Login, Mechanism, MechanismError, Plain};
pub use cram::CramDigest;
#[cfg(feature = "cram-md5")]
pub use cram::CramMd5;
pub use name::MechanismName;
pub use oauth::{OAuthBearer, XOAuth2};
pub use prepare::{PrepareError, saslprep};
#[cfg(feature = "scram")]
pub use scram::Scram;
pub use scram::{
    MAX_ITERATIONS, MAX_MESSAGE, MAX_NONCE, MAX_SALT, MIN_ITERATIONS, MOST_ITERATIONS, Nonce, ScramAnswer,
    ScramCredentials, ScramCredentialsError, ScramHash, ScramQuery,
};
pub use server::{CramQuery, ExchangeError, ServerExchange, ServerStep};
