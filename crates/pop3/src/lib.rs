//! POP3 without I/O: wire format, server and client (RFC 1939, with RFC 2384, 2449, 2595, 3206, 5034, 6856 and 8314).
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
//! A whole session, without a network:
//!
//! ```
//! use postrider_core::{Instant, Machine, Session, Step};
//! use postrider_pop3::server::{Config, Event, Server};
//! use postrider_pop3::{MessageMeta, UniqueId};
//! use std::sync::Arc;
//!
//! let mut config = Config::default();
//! config.dangerous_plaintext_login = true; // There is no wire here that somebody could read.
//! let mut server = Server::new(Arc::new(config), 1);
//! let _ = server.receive(b"USER alice\r\nPASS wonderland\r\nRETR 1\r\nQUIT\r\n");
//!
//! let message = b"Subject: tea\r\n\r\n.\r\n";
//! while let Step::Event(event) = server.poll(Instant::ORIGIN) {
//!     match event {
//!         Event::Open { answer, .. } => {
//!             let unique_id = UniqueId::new("tea-1").unwrap();
//!             server.answer(answer, Ok(vec![MessageMeta { size: message.len() as u64, unique_id }])).unwrap();
//!         }
//!         Event::Retrieve { answer, .. } => {
//!             assert_eq!(server.write(&answer, message), message.len(), "there is room for so little");
//!             server.accept(answer).unwrap();
//!         }
//!         other => server.decline(other), // Refuses what it may ask, and does nothing if it asks nothing.
//!     }
//! }
//! assert!(server.output().ends_with(b"Subject: tea\r\n\r\n..\r\n.\r\n+OK goodbye\r\n"));
//! ```
//!
//! With the feature `tokio`, the module `tokio` runs both over a socket.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod client;
pub mod dialogue;
pub mod server;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod wire;

pub use wire::{
    Capabilities, Command, CommandError, Expire, LanguageRange, LoginDelay, MessageMeta, PopUrl, Refusal, ResponseCode,
    UniqueId, UniqueIdError, Verb,
};
