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
//!             server.answer(answer, Ok(vec![MessageMeta::new(message.len() as u64, unique_id)])).unwrap();
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
//! # Over a socket
//!
//! Whoever runs a session: polls until there is nothing more, answers what is asked; writes `output`, says how much was
//! `sent`; begins TLS when `upgrade` asks for it; reads no more than `window` and gives it to `receive`; comes back at the
//! deadline; and stops when it `is_finished`. `postrider_io::blocking::Driver` does that over any stream, and with the
//! feature `tokio` the module `tokio` does it for a handler. A client without a runtime:
//!
//! ```no_run
//! use postrider_core::Secret;
//! use postrider_pop3::client::{Client, Config, Event};
//!
//! # #[cfg(feature = "tokio")]
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use postrider_io::{Tls, blocking::Driver, tls};
//!
//! let mut config = Config::default();
//! config.implicit_tls = true;
//! let roots = tls::roots(&std::fs::read("/etc/ssl/certs/ca-certificates.crt")?)?;
//! let tls = Tls::Client { config: tls::client_config(roots), name: "pop.example.org".try_into()?, verified: true };
//! let stream = std::net::TcpStream::connect("pop.example.org:995")?;
//! let mut driver = Driver::new(Client::new(config.into(), 1), stream, tls);
//! let mut login = None;
//! while let Some(event) = driver.next() {
//!     match event {
//!         Event::Ready => login = Some(driver.session().login("alice", Secret::new(std::env::var("PASSWORD")?))?),
//!         Event::Completed { of, result: Ok(_) } if Some(of) == login => {
//!             let _ = driver.session().unique_ids(None)?;
//!             let _ = driver.session().quit()?; // Nothing was deleted, so nothing goes.
//!         }
//!         Event::UniqueIds { ids, .. } => ids.iter().for_each(|(message, id)| println!("{message} {id:?}")),
//!         Event::Completed { result: Err(why), .. } => return Err(why.to_string().into()),
//!         Event::Closed(why) => println!("{why}"),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! [`client::memory`] says which messages are new, and which may be deleted. `examples/fetch.rs` is a whole program.
//!
//! # Limits
//!
//! Each side has a `Limits` in its configuration, which says what each limit is and its default. A server holds at most
//! its buffers and the snapshot of one maildrop, a client its buffers and the commands that wait; messages pass through.
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
    UniqueId, UniqueIdError, UniqueIdRef, UniqueIds, Verb,
};
