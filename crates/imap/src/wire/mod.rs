//! Octets to types and back, for commands and for responses.
//!
//! Framing comes before grammar: a framer finds where a command or response ends, literals included,
//! looking at each octet once; the parsers are pure functions over such complete, bounded units and share the unit's
//! memory. Encoders take only values whose constructors checked them, and choose between atom, quoted string
//! and literal themselves, so whatever is encoded is one well-formed command or response.
//!
//! ```
//! use bytes::Bytes;
//! use postrider_imap::wire::{Command, Data, Dialect, Encoder, FetchItem, Response, TaggedCommand};
//! use postrider_imap::wire::{parse_command, parse_response};
//!
//! // A server reads commands strictly ...
//! let unit = Bytes::from_static(b"a1 RENAME \"Entw&APw-rfe\" {3+}\r\nalt");
//! let TaggedCommand { tag, command } = parse_command(&unit, Dialect::REV1)?;
//! let Command::Rename { from, to } = &command else { panic!() };
//! assert_eq!((tag.as_str(), &*from.name(), &*to.name()), ("a1", "Entwürfe", "alt"));
//!
//! // ... a client writes them so that they have one meaning ...
//! let mut out = Encoder::commands(Dialect::UTF8);
//! TaggedCommand { tag, command }.encode(&mut out);
//! assert_eq!(out.to_bytes(), "a1 RENAME \"Entwürfe\" alt\r\n");
//!
//! // ... and reads whatever servers send: a bad item costs only itself.
//! let unit = Bytes::from_static(b"* 7 FETCH (UID 9 RFC822.SIZE 9.3736e+06)");
//! let Response::Data(Data::Fetch { number: 7, items }) = parse_response(&unit, Dialect::REV1) else { panic!() };
//! assert!(matches!(&items[..], [FetchItem::Uid(9), FetchItem::Raw(_)]));
//! # Ok::<(), postrider_imap::wire::BadCommand>(())
//! ```

mod atom;
mod body;
mod capability;
mod command;
mod cursor;
mod date;
mod encode;
mod encode_command;
mod encode_response;
mod envelope;
mod fetch;
mod flag;
mod frame;
mod list;
mod mailbox;
mod parse_command;
mod parse_fetch;
mod parse_response;
mod parse_search;
mod response;
mod search;
mod set;
mod short;
mod status;
mod strings;

pub use atom::{Atom, BadAtom, Tag};
pub use body::{BodyBuilder, BodyStructure, Disposition, MediaKind, Pairs, Part, PartFields};
pub use capability::{Capabilities, Capability};
pub use command::{
    Append, Argument, Authenticate, Command, Fetch, FlagChange, Password, Qresync, SelectParams, Store, StoreMode,
    TaggedCommand,
};
pub use date::{BadDate, Date, DateTime};
pub use encode::{Dialect, Encoder, Literals, Piece};
pub use envelope::{Address, Addresses, Envelope, EnvelopeBuilder};
pub use fetch::{Attribute, BodyPeek, FetchItem, Partial, Raw, Rfc822Part, Section, SectionText};
pub use flag::{Flag, Flags, Keyword};
pub use frame::{Announced, Frame, FrameError, FrameLimits, Framer};
pub use list::{List, ListEntry, ListPattern, ListReturn, ListSelect, MailboxAttribute, NamespaceEntry, Namespaces};
pub use mailbox::{BadMailbox, Mailbox};
pub use parse_command::{BadCommand, parse_command};
pub use parse_response::parse_response;
pub use response::{Code, Condition, Continue, Data, Id, Response, Status};
pub use search::{Esearch, Search, SearchKey, SearchPartial, SearchReturn};
pub use set::{SequenceRange, SequenceSet, UidSet};
pub use status::{MailboxStatus, StatusItem, StatusItems};

pub(crate) use cursor::Cursor;
pub(crate) use parse_fetch::{FetchReader, FetchStep};
pub(crate) use parse_response::{Begin, begin};
