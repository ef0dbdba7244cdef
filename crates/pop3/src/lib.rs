//! POP3 without I/O: wire format, server and client (RFC 1939, with RFC 2449, 2595, 3206, 5034, 6856 and 8314).
//!
//! [`server::Server`] and [`client::Client`] are [sessions](postrider_core::Session): they are pushed bytes, pulled
//! events and asked for output. `postrider-io` runs them over a socket.
//!
//! The server's application answers three questions: may this user open the maildrop, and what is in it
//! ([`server::Event::Open`]); what does this message hold ([`server::Event::Retrieve`]); and are these messages gone
//! for good ([`server::Event::Commit`]). Everything else the session answers itself, from the snapshot that opening
//! gave it. A lost connection deletes nothing.
//!
//! The client deletes nothing either, unless [`client::Client::quit`] is called.
//!
//! What may follow what is in [`dialogue`]; bytes and types in [`wire`].
//!
//! Not yet: APOP, LANG, LAST, POP URLs.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod client;
pub mod dialogue;
pub mod server;
pub mod wire;

pub use wire::{
    Capabilities, Command, CommandError, Expire, LoginDelay, MessageMeta, Refusal, ResponseCode, UniqueId,
    UniqueIdError, Verb,
};
