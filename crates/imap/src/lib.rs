//! IMAP4rev2 (RFC 9051) and IMAP4rev1 (RFC 3501) without I/O.
//!
//! [`wire`] is pure functions between octets and types, for both directions; [`dialogue`] says what may follow what;
//! [`view`] knows which UID has which sequence number; [`server`] and [`client`] are the sessions.
//!
//! Not yet: QRESYNC, NOTIFY, UIDONLY, SORT and THREAD, PARTIAL, MULTIAPPEND, CATENATE, UTF8=ACCEPT, QUOTA, ACL,
//! METADATA, COMPRESS, PREAUTH on the server's side, and a mirror of a mailbox on the client's.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod client;
pub mod dialogue;
pub mod server;
pub mod view;
pub mod wire;
