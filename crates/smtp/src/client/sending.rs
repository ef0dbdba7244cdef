//! A message's octets, from the application to the wire.

use super::transaction::{Sending, fit};
use super::{Client, Event, Expect, FinishError, NotSent, Outcome, SendError, Stage, Transaction, ask};
use crate::dialogue::Protocol;
use crate::envelope::Envelope;
use crate::wire::{Capabilities, DataWriter, Sink, Verb};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use postrider_core::{Closed, Link, Pending, Stale};

impl Client {
    /// Sends a message's envelope: MAIL, each RCPT and DATA, all at once if the server allows that.
    ///
    /// SIZE and DSN parameters are left out if the server does not offer the extension.
    ///
    /// # Errors
    /// [`SendError`], and nothing was sent, if the session is busy or the message needs what the server does not offer.
    pub fn send(&mut self, mut envelope: Envelope) -> Result<Transaction, SendError> {
        self.idle(Verb::Mail)?;
        let none = Capabilities::default();
        let offered = self.capabilities.as_ref().unwrap_or(&none);
        fit(&mut envelope, offered, self.link.security().is_tls())?;
        self.transactions += 1;
        let id = Transaction(self.transactions);
        let writer = DataWriter::new(self.config.bare_newlines);
        self.sending = Some(Box::new(Sending::new(id, envelope, writer)));
        self.stage = Stage::Envelope;
        Ok(id)
    }

    /// Takes the next octets of the message, as much as the output limit allows, and says how much that was: 0 means
    /// that what was written before must go out first. Lines end with CRLF; dots are taken care of.
    ///
    /// If the question is stale, everything is taken and thrown away; [`Client::finish`] says so.
    #[must_use = "octets that were not taken must be offered again"]
    pub fn write(&mut self, body: &Pending<ask::Body>, octets: &[u8]) -> usize {
        self.write_part(body, octets, None)
    }

    /// As [`Client::write`], without copying what is large.
    #[must_use = "octets that were not taken must be offered again"]
    pub fn write_shared(&mut self, body: &Pending<ask::Body>, octets: &Bytes) -> usize {
        self.write_part(body, octets, Some(octets))
    }

    pub(super) fn write_part(&mut self, body: &Pending<ask::Body>, octets: &[u8], shared: Option<&Bytes>) -> usize {
        if self.wanted(body).is_err() {
            return octets.len();
        }
        let Some(sending) = self.sending.as_deref_mut() else { return octets.len() };
        if sending.bad.is_some() {
            return octets.len();
        }
        let taken = octets.len().min(self.link.room());
        let before = self.link.queued();
        let shared = shared.map(|shared| shared.slice(..taken));
        if let Err(bad) = sending.writer.put(&octets[..taken], shared.as_ref(), &mut Out(&mut self.link)) {
            sending.bad = Some(bad);
            return octets.len();
        }
        sending.written += (self.link.queued() - before) as u64;
        taken
    }

    /// The message is complete. [`Event::Finished`] follows.
    ///
    /// # Errors
    /// [`FinishError`] if its octets cannot be sent, or the session is over. [`Event::Finished`] follows all the same.
    pub fn finish(&mut self, body: Pending<ask::Body>) -> Result<(), FinishError> {
        self.wanted(&body)?;
        let sending = self.sending.as_deref_mut().expect("a message is wanted only while one is being sent");
        let bad = match sending.bad {
            Some(bad) => Some(bad),
            None => sending.writer.clone().end(&mut Out(&mut self.link)).err(),
        };
        if let Some(bad) = bad {
            sending.settle_rest(&Outcome::NotSent(NotSent::BadBody(bad)));
            self.end(Closed::ByUs);
            return Err(bad.into());
        }
        sending.ended = true;
        let accepted: Vec<usize> = (0..sending.outcomes.len()).filter(|&i| sending.outcomes[i].is_none()).collect();
        self.stage = Stage::Final;
        match self.config.protocol {
            Protocol::Smtp => self.expect(Expect::Message(0)),
            // RFC 2033, 4.2.
            Protocol::Lmtp => accepted.into_iter().for_each(|index| self.expect(Expect::Message(index))),
        }
        Ok(())
    }

    /// Gives the message up. Since nothing but the rest of it could follow, this closes the connection.
    pub fn abandon(&mut self, body: Pending<ask::Body>) {
        if self.wanted(&body).is_ok() {
            if let Some(sending) = &mut self.sending {
                sending.settle_rest(&Outcome::NotSent(NotSent::Abandoned));
            }
            self.end(Closed::ByUs);
        }
    }

    /// Whether `body` is the question that is open.
    pub(super) fn wanted(&self, body: &Pending<ask::Body>) -> Result<(), Stale> {
        let number = self.link.redeem(body)?;
        match self.stage {
            Stage::Body(open) if open == number && !self.link.is_closed() => Ok(()),
            _ => Err(Stale),
        }
    }

    /// The message is done with.
    pub(super) fn conclude(&mut self) {
        let Some(mut sending) = self.sending.take() else { return };
        let rest = if sending.ended { Outcome::Unknown } else { Outcome::NotSent(NotSent::Ended) };
        sending.settle_rest(&rest);
        let outcomes = sending.outcomes.into_iter().map(|outcome| outcome.expect("the rest was settled")).collect();
        self.events.push_back(Event::Finished { of: sending.id, outcomes });
        self.stage = Stage::Idle;
    }
}

/// Lets the message be written to the link.
struct Out<'a>(&'a mut Link);

impl Sink for Out<'_> {
    fn put(&mut self, octets: &[u8]) {
        self.0.put_body(octets);
    }
    fn put_shared(&mut self, octets: Bytes) {
        self.0.put_shared(octets);
    }
}
