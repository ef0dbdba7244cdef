//! A transaction whose recipients are not all known when it begins: for proxies, which pass on what they hear.

use super::transaction::{Next, domains, fit_recipient};
use super::{Client, NotSent, Outcome, SendError, Stage, Transaction};
use crate::address::ReversePath;
use crate::envelope::{Envelope, Recipient};
use crate::wire::MailParams;
use postrider_core::Misuse;

impl Client {
    /// Begins a transaction with MAIL alone. [`Event::Sender`](super::Event::Sender) says what the server thinks of it.
    /// Recipients follow by [`Client::add`] until [`Client::close_envelope`]; from there on all is as with
    /// [`Client::send`]. If MAIL is refused, or the session ends, [`Event::Finished`](super::Event::Finished) comes at
    /// once.
    ///
    /// The session waits for the application as long as that takes.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn open(&mut self, from: ReversePath, params: MailParams) -> Result<Transaction, SendError> {
        let id = self.begin(Envelope { from, params, recipients: alloc::vec::Vec::new() }, None)?;
        if let Some(sending) = &mut self.sending {
            sending.open = true;
        }
        Ok(id)
    }

    /// Adds a recipient; says which it is. [`Event::Recipient`](super::Event::Recipient) says what the server thinks of
    /// it.
    ///
    /// # Errors
    /// [`SendError`] if the transaction is over or not open, or the recipient needs what the server does not offer or MAIL
    /// did not say.
    pub fn add(&mut self, of: Transaction, mut recipient: Recipient) -> Result<usize, SendError> {
        let offered = self.capabilities.clone().unwrap_or_default();
        let met = domains(&self.domains, core::slice::from_ref(&recipient), &offered);
        let sending = self.opened(of)?;
        let count = sending.envelope.recipients.len();
        if let Some(limit) = offered.recipients_max.filter(|&limit| count >= limit as usize) {
            return Err(SendError::TooManyRecipients { limit });
        }
        if !recipient.to.is_ascii() && !sending.envelope.params.smtp_utf8 {
            return Err(SendError::NeedsSmtpUtf8);
        }
        let met = met?;
        fit_recipient(&mut recipient.params, &offered)?;
        sending.envelope.recipients.push(recipient);
        sending.outcomes.push(None);
        self.domains = met.into();
        Ok(count)
    }

    /// There are no more recipients. If one was accepted, the message follows; if not,
    /// [`Event::Finished`](super::Event::Finished) does.
    ///
    /// # Errors
    /// [`Misuse`] if the transaction is over or not open.
    pub fn close_envelope(&mut self, of: Transaction) -> Result<(), Misuse> {
        let sending = self.opened(of)?;
        sending.open = false;
        if sending.next == Next::Rcpt(sending.envelope.recipients.len()) {
            sending.next = Next::Data;
        }
        Ok(())
    }

    /// Gives an open transaction up: RSET, when all that was said is answered.
    ///
    /// # Errors
    /// [`Misuse`] if the transaction is over or not open.
    pub fn cancel(&mut self, of: Transaction) -> Result<(), Misuse> {
        let sending = self.opened(of)?;
        sending.cancelled = true;
        sending.settle_rest(&Outcome::NotSent(NotSent::Abandoned));
        Ok(())
    }

    fn opened(&mut self, of: Transaction) -> Result<&mut super::Sending, Misuse> {
        let envelope = matches!(self.stage, Stage::Envelope);
        match self.sending.as_deref_mut() {
            Some(sending) if envelope && sending.open && sending.id == of && !sending.cancelled => Ok(sending),
            Some(_) | None => Err(Misuse::new("the transaction is over, or its envelope is closed")),
        }
    }
}
