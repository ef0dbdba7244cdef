//! Evil peers: servers and clients that stall, lie, flood, split, cut the line at any octet, never read, close one half,
//! or speak another protocol.
//!
//! A peer is a [`Script`]: turns, each of which waits for something and then says or does something. An honest script
//! ([`smtp::server`], [`pop3::client`]) becomes evil by what is done to it: [`Script::stalls`], [`Script::cuts`],
//! [`Script::instead`] and so on each give the scripts of all the ways to do that. [`smtp::evil_servers`] and its like are
//! all of them together, lies and floods of the protocol included. IMAP, or a protocol of your own, needs an honest
//! script and its lies; the rest is here.
//!
//! Scripts have no I/O. [`Duel`] plays one against any [`Session`](postrider_core::Session) in simulated time, so that a
//! peer that stalls for an hour costs nothing; [`Listening`] and [`call`] play it over a loopback socket, for programs of
//! any kind. `cargo run -p postrider-testkit --example evil` does that from the command line.
//!
//! # Against a session
//!
//! ```
//! use postrider_smtp::client::{Client, Config, Event, Outcome};
//! use postrider_smtp::{Envelope, Mailbox};
//! use postrider_testkit::evil::{Duel, smtp};
//! use std::sync::Arc;
//!
//! // A server that takes the message and never says so.
//! let honest = smtp::server(&["PIPELINING"], 1);
//! let script = honest.stall_before("message");
//!
//! let client = Client::new(Arc::new(Config::new("client.example".parse().unwrap())), 1);
//! let mut outcomes = vec![];
//! let report = Duel::new(client, &script)
//!     .run(&mut |client: &mut Client, event| match event {
//!         Event::Ready => {
//!             let from = Mailbox::parse("a@client.example").unwrap();
//!             client.send(Envelope::new(from.clone()).and_to(from)).unwrap();
//!         }
//!         Event::BodyWanted { body, .. } => {
//!             assert_eq!(client.write(&body, b"A: b\r\n\r\n"), 8);
//!             client.finish(body).unwrap();
//!         }
//!         Event::Finished { outcomes: of, .. } => outcomes = of,
//!         _ => {}
//!     })
//!     .expect("the session ends");
//! assert_eq!(outcomes, [Outcome::Unknown], "nobody can know");
//! assert_eq!(report.after.as_secs(), 600, "RFC 5321, 4.5.3.2.6, and no time at all for the test");
//! ```
//!
//! # Against a program
//!
//! ```
//! use postrider_testkit::evil::{Listening, smtp};
//! use std::io::{BufRead, BufReader};
//! use std::net::TcpStream;
//!
//! let server = Listening::new(smtp::server(&[], 1).replying("greeting", "421 4.3.2 Not now")).unwrap();
//! let mut line = String::new();
//! BufReader::new(TcpStream::connect(server.address()).unwrap()).read_line(&mut line).unwrap();
//! assert_eq!(line, "421 4.3.2 Not now\r\n");
//! ```

mod duel;
mod peer;
pub mod pop3;
mod script;
pub mod smtp;
mod socket;
pub mod strangers;

pub use duel::{Application, Duel, Report, Unending};
pub use peer::{Doing, Peer};
pub use script::{Act, Pace, Script, Turn, Until};
pub use socket::{Listening, Talked, call};
