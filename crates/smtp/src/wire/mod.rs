//! Between octets and types: pure functions over complete, bounded units.

mod capabilities;
mod command;
mod cursor;
mod data;
mod params;
mod reply;

pub use capabilities::{Capabilities, Extension};
pub use command::{Command, CommandError, Quirks, Verb};
pub(crate) use command::{mail_line, rcpt_line};
pub(crate) use cursor::Cursor;
pub(crate) use data::Sink;
pub use data::{BadBody, BareNewlines, Body, DataPart, DataReader, DataWriter};
pub use params::{BodyType, EnvelopeId, MailParams, Notify, OriginalRecipient, ParamError, Parameter, RcptParams, Ret};
pub use reply::{EnhancedCode, Reply, ReplyClass, ReplyCode, ReplyError, ReplyReader};
