//! SMTP, submission and LMTP: wire format, client and server state machines, without I/O.
//!
//! [`Server`] and [`Client`] are sessions: they are pushed bytes and pulled events, and know neither sockets nor clocks
//! (see [`postrider_core`] for the loop, and `postrider-io` for one ready made). The features `tokio` and `blocking` add
//! the friendly faces: a sender in one function, a pool of connections, a server in one function, and one for tests.
//!
//! - [`address`]: mailboxes, paths and domains, checked when made and kept exactly as written.
//! - [`wire`]: commands, replies, parameters and the message itself, between octets and types.
//! - [`dialogue`]: what may follow what; both sides obey it.
//! - [`server`] and [`client`]: the sessions, each with its configuration and its limits.
//!
//! # What it is strict about
//!
//! Only CR LF `.` CR LF ends a message. CR or LF alone, and NUL, make the server refuse the message and the client
//! refuse to send it, unless they are told to make them whole ([`wire::BareNewlines`]); they never end a message and
//! never pass through. What comes between STARTTLS and TLS ends the session. Nothing that is written to the wire can
//! hold a line end that was not put there by the session: addresses, texts and parameters are types that cannot hold
//! one. A lost connection after the end of a message is [`client::Outcome::Unknown`], never a failure.
//!
//! # A server
//!
//! ```
//! use postrider_core::{Instant, Machine, Session, Step, Text};
//! use postrider_smtp::server::{Config, Event, Server};
//! use postrider_smtp::Refusal;
//! use std::sync::Arc;
//!
//! let config = Arc::new(Config::new("mx.example".parse().unwrap()));
//! let mut server = Server::new(config, 1);
//! let input = b"EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<alice@mx.example>\r\nRCPT TO:<bob@mx.example>\r\n";
//! assert_eq!(server.receive(input), input.len());
//! while let Step::Event(event) = server.poll(Instant::ORIGIN) {
//!     match event {
//!         Event::Mail { answer, .. } => server.accept(answer).unwrap(),
//!         Event::Rcpt { answer, to, .. } if to.as_str() == "alice@mx.example" => server.accept(answer).unwrap(),
//!         Event::Rcpt { answer, .. } => {
//!             server.refuse(answer, Refusal::permanent(550, (1, 1), Text::literal("No such mailbox"))).unwrap();
//!         }
//!         other => server.decline(other),
//!     }
//! }
//! let said = String::from_utf8_lossy(server.output());
//! assert!(said.ends_with("250 2.1.0 Sender OK\r\n250 2.1.5 Recipient OK\r\n550 5.1.1 No such mailbox\r\n"));
//! ```
//!
//! # A sender and a server for tests
//!
//! With the feature `tokio`; the feature `blocking` has the same sender for threads (`blocking::send`).
//!
//! ```
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use postrider_smtp::tokio::{TestServer, send};
//! use postrider_smtp::{Envelope, Mailbox};
//!
//! let mut server = TestServer::start().await?;
//! let envelope = Envelope::new(Mailbox::parse("alice@example.org")?).and_to(Mailbox::parse("bob@example.net")?);
//! let outcomes = send(&server.remote(), envelope, "Subject: Hello\r\n\r\nHello Bob\r\n").await?;
//! assert!(outcomes[0].is_delivered());
//! assert!(server.next().await.message.ends_with(b"Hello Bob\r\n"));
//! # Ok(()) }
//! # #[cfg(not(feature = "tokio"))]
//! # fn main() {}
//! ```
//!
//! `Remote::submissions("smtp.example.org")?.login("alice", password)` is the same for a server out there. The programs in
//! `examples/` are a sender, a server that prints what it takes, and a proxy: a server and a client session face to face,
//! each question of the one held until the other is answered.
//!
//! # Not yet
//!
//! The client sends neither PROXY headers nor XCLIENT.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod address;
#[cfg(feature = "blocking")]
pub mod blocking;
pub mod client;
pub mod dialogue;
mod envelope;
mod outcome;
#[cfg(any(feature = "tokio", feature = "blocking"))]
mod remote;
pub mod server;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod wire;

pub use address::{AddressLiteral, Domain, ForwardPath, HelloName, Host, LocalPart, Mailbox, ReversePath};
pub use client::Client;
pub use envelope::{Envelope, Recipient};
pub use outcome::{Accepted, Delivered, NotRefused, Refusal};
#[cfg(any(feature = "tokio", feature = "blocking"))]
pub use remote::{FaceError, Remote, RemoteError};
pub use server::Server;
pub use wire::{Capabilities, EnhancedCode, MailParams, RcptParams, Reply, ReplyClass, ReplyCode};

/// So that the README's example is run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
