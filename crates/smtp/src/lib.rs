//! SMTP, submission and LMTP: wire format, client and server state machines, without I/O.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod address;
pub mod client;
pub mod dialogue;
mod envelope;
mod outcome;
pub mod server;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod wire;

pub use address::{AddressLiteral, Domain, ForwardPath, HelloName, Host, LocalPart, Mailbox, ReversePath};
pub use client::Client;
pub use envelope::{Envelope, Recipient};
pub use outcome::{Accepted, Delivered, NotRefused, Refusal};
pub use server::Server;
pub use wire::{Capabilities, EnhancedCode, MailParams, RcptParams, Reply, ReplyClass, ReplyCode};
