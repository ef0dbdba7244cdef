//! Who a message is from and whom it is for, apart from what it says (RFC 5321, 2.3.1).

use crate::address::{ForwardPath, ReversePath};
use crate::wire::{BodyType, MailParams, RcptParams};
use alloc::vec::Vec;

/// What is said of a message before its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// Where reports go.
    pub from: ReversePath,
    /// What else MAIL says. Set `size` if the size is known, `body` if there are octets above 127.
    pub params: MailParams,
    /// Whom it is for, in the order in which RCPT is sent.
    pub recipients: Vec<Recipient>,
}

/// One recipient of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipient {
    /// The address.
    pub to: ForwardPath,
    /// What else RCPT says.
    pub params: RcptParams,
}

impl Envelope {
    /// An envelope without parameters and without recipients yet.
    pub fn new(from: impl Into<ReversePath>) -> Self {
        Self { from: from.into(), params: MailParams::default(), recipients: Vec::new() }
    }

    /// Says of the message what its octets tell, where nothing was said yet: its size, and `BODY=8BITMIME` if any is above
    /// 127. A server that cannot take it is then not sent it in vain.
    #[must_use]
    pub fn describing(mut self, message: &[u8]) -> Self {
        self.params.size.get_or_insert(message.len() as u64);
        if self.params.body.is_none() && !message.is_ascii() {
            self.params.body = Some(BodyType::EightBitMime);
        }
        self
    }

    /// Adds a recipient.
    #[must_use]
    pub fn and_to(mut self, to: impl Into<ForwardPath>) -> Self {
        self.recipients.push(Recipient { to: to.into(), params: RcptParams::default() });
        self
    }

    /// Says how large the message is, in octets with CRLF line ends and before dot-stuffing.
    #[must_use]
    pub fn with_size(mut self, octets: u64) -> Self {
        self.params.size = Some(octets);
        self
    }

    /// Whether all addresses can be used without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.from.is_ascii() && self.recipients.iter().all(|recipient| recipient.to.is_ascii())
    }
}
