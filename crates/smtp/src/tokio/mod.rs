//! The friendly face for tokio: [`serve`] runs a server session for a [`Handler`], [`Connection`] sends mail.
//!
//! Programs that must do more between two events (push, several lookups at once) drive a
//! [`Server`](crate::Server) or [`Client`](crate::Client) with `postrider_io::tokio::Driver` themselves.

mod connection;
mod serve;

pub use connection::{Connection, ConnectionError};
pub use serve::{ClientInfo, Handler, TooLate, serve};
