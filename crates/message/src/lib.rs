//! What an IMAP server and a client must know of a message: its parts, ENVELOPE, BODYSTRUCTURE, the octets of a section,
//! and whether a SEARCH finds it. Bytes in, types of [`postrider_imap::wire`] out; no I/O.
//!
//! - A [`Scanner`] is given a message once, in pieces as they pass by on the way to the store, and gives its
//!   [`Structure`]: where every part lies, what its header says, and the ENVELOPE. It keeps no bodies and decodes none.
//! - [`Structure::to_cache`] makes a few hundred octets of that, to be kept with the message, so that none of what
//!   follows reads it again.
//! - [`Structure::envelope`] and [`body_structure`] answer FETCH ENVELOPE, BODY and BODYSTRUCTURE.
//! - [`Structure::section`] says which octets of the message a `BODY[...]` means; they are read and sent by range,
//!   a part of 100 MB never is in memory. [`Decoder`] undoes the transfer encoding for `BINARY[...]`.
//! - A [`Query`] is a SEARCH. It judges a message by what is known of it and says what it needs to know
//!   more, cheap things first; [`TextScan`] reads texts by range, too.
//!
//! Nothing in a message is an error and nothing is trusted: what cannot be read is taken for text or octets, and every
//! count, size and depth has a bound in [`Limits`].
//!
//! ```
//! use postrider_message::{scan, body_structure};
//!
//! let structure = scan(b"From: <gray@cac.washington.edu>\r\nSubject: minutes\r\n\r\nNothing was decided.\r\n");
//! assert_eq!(structure.envelope().subject().as_deref(), Some(&b"minutes"[..]));
//! let body = body_structure(&structure, true);
//! assert!(body.root().is("text", "plain"));
//! assert_eq!(body.root().lines(), Some(1));
//! ```
//!
//! Of mail-parser the tables of charsets are used. Its parser of messages decodes every body, and its parser of addresses
//! decodes encoded words, which ENVELOPE must leave as they are.
//!
//! Not yet: keys for SORT and THREAD, PREVIEW, text of HTML without its tags for SEARCH.

mod address;
mod body;
mod cache;
mod charset;
mod content;
mod date;
mod envelope;
mod header;
mod limits;
mod scan;
mod search;
mod section;
mod structure;
mod text;
mod transfer;
mod words;

pub use body::body_structure;
pub use charset::to_utf8;
pub use content::{Content, Parameter, TransferEncoding};
pub use date::parse as parse_date;
pub use envelope::envelope;
pub use header::{Field, Fields, fields, unfold};
pub use limits::Limits;
pub use scan::{Scanner, scan};
pub use search::{Known, Need, Query, SearchContext, SearchMeta, Unsupported, Verdict};
pub use section::{Located, Selection, cut, window};
pub use structure::{Kind, Part, Structure};
pub use text::{Hits, TextScan};
pub use transfer::Decoder;
pub use words::decode as decode_words;
