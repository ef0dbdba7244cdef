//! Between octets and types: pure functions over complete, bounded units.

mod capabilities;
mod chunk;
mod command;
mod cursor;
mod data;
mod params;
mod proxy;
mod reply;
mod status;
mod terms;
mod timestamp;
mod xclient;

pub use capabilities::{Capabilities, Extension};
pub use chunk::ChunkReader;
pub use command::{Command, CommandError, EtrnTarget, Quirks, Url, Verb};
pub(crate) use command::{mail_line, rcpt_line};
pub(crate) use cursor::{ATEXT, Cursor, HELLO, LABEL, begins, find_lf, is};
pub(crate) use data::Sink;
pub use data::{BadBody, BareNewlines, Body, DataPart, DataReader, DataWriter};
pub use params::{BodyType, EnvelopeId, MailParams, Notify, OriginalRecipient, ParamError, Parameter, RcptParams, Ret};
pub use proxy::{PROXY_V1_LIMIT, Proxied, ProxyError, ProxyPart};
pub use reply::{EnhancedCode, Reply, ReplyClass, ReplyCode, ReplyError, ReplyReader};
pub use status::Status;
pub use terms::{ByMode, DeliverBy, FutureRelease, Hold, Priority, Solicitation, Unsupported, ValidSince, Words};
pub use timestamp::Timestamp;
pub use xclient::{Claim, Xclient, XclientAttribute, XclientProtocol};
