//! Between octets and types: pure functions over complete, bounded units.

mod capabilities;
mod cursor;
mod params;
mod reply;

pub use capabilities::{Capabilities, Extension};
pub(crate) use cursor::Cursor;
pub use params::{BodyType, EnvelopeId, MailParams, Notify, OriginalRecipient, ParamError, Parameter, RcptParams, Ret};
pub use reply::{EnhancedCode, Reply, ReplyClass, ReplyCode, ReplyError, ReplyReader};
