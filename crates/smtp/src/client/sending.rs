//! A message's octets, from the application to the wire.

use super::chunks::Chunks;
use super::transaction::{Carrier, Sending, domains, fit};
use super::{Chunking, Client, Event, FinishError, NotSent, Outcome, SendError, Stage, Transaction, ask};
use crate::envelope::Envelope;
use crate::wire::{BodyType, Capabilities, DataWriter, Sink, Verb};
use alloc::boxed::Box;
use bytes::Bytes;
use postrider_core::{Closed, Link, Misuse, Pending, Stale};

impl Client {
    /// Sends a message's envelope: MAIL and each RCPT, all at once if the server allows that, and DATA with them unless
    /// the message goes out in chunks.
    ///
    /// SIZE and DSN parameters are left out if the server does not offer the extension. Parameters that this crate does
    /// not know ([`MailParams::other`](crate::MailParams)) are sent as they are: whether the server offers what they
    /// belong to is for the application to look up in [`Client::capabilities`].
    ///
    /// # Errors
    /// [`SendError`], and nothing was sent, if the session is busy or the message needs what the server does not offer.
    pub fn send(&mut self, envelope: Envelope) -> Result<Transaction, SendError> {
        if envelope.recipients.is_empty() {
            return Err(Misuse::new("an envelope needs a recipient").into());
        }
        self.begin(envelope, None)
    }

    /// Begins a transaction, whose message goes out by `carrier` or as was configured.
    pub(super) fn begin(&mut self, mut envelope: Envelope, carrier: Option<Carrier>) -> Result<Transaction, SendError> {
        self.idle(Verb::Mail)?;
        let none = Capabilities::default();
        let offered = self.capabilities.as_ref().unwrap_or(&none);
        if let Some(limit) = offered.transactions_max
            && self.transactions >= u64::from(limit)
        {
            return Err(SendError::TooManyTransactions { limit });
        }
        let chunks = offered.chunking && !self.chunks_refused;
        let met = domains(&self.domains, &envelope.recipients, offered)?;
        fit(&mut envelope, offered, self.link.security().is_verified(), chunks)?;
        self.domains = met.into();
        let newlines = self.config.bare_newlines;
        let binary = envelope.params.body == Some(BodyType::BinaryMime);
        let carrier = if let Some(carrier) = carrier {
            carrier
        } else if binary {
            Carrier::Chunks(Chunks::new(None))
        } else if chunks && self.config.chunking == Chunking::WhenOffered {
            Carrier::Chunks(Chunks::new(Some(DataWriter::for_chunks(newlines))))
        } else {
            Carrier::Data(DataWriter::new(newlines))
        };
        self.transactions += 1;
        let id = Transaction(self.transactions);
        self.sending = Some(Box::new(Sending::new(id, envelope, carrier)));
        self.stage = Stage::Envelope;
        Ok(id)
    }

    /// Takes the next octets of the message, as much as the output limit allows, and says how much that was. If it was
    /// not all, [`Event::BodyRoom`] says when to go on; or [`Event::Finished`] comes, and the rest is not wanted. Lines
    /// end with CRLF; dots are taken care of.
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
        let taken = octets.len().min(self.body_room());
        let Some(sending) = self.sending.as_deref_mut() else { return octets.len() };
        if sending.bad.is_some() {
            return octets.len();
        }
        sending.waits = taken < octets.len();
        let octets = &octets[..taken];
        let shared = shared.map(|shared| shared.slice(..taken));
        let put = match &mut sending.carrier {
            Carrier::Data(writer) => {
                let before = self.link.queued();
                let put = writer.put(octets, shared.as_ref(), &mut Out(&mut self.link));
                sending.written += (self.link.queued() - before) as u64;
                put
            }
            Carrier::Chunks(_) => self.write_chunk(octets, shared.as_ref()),
        };
        if let (Err(bad), Some(sending)) = (put, &mut self.sending) {
            sending.bad = Some(bad);
        }
        taken
    }

    /// How many octets of the message can be taken now.
    fn body_room(&self) -> usize {
        match self.sending.as_deref() {
            Some(Sending { bad: Some(_), .. }) => usize::MAX,
            Some(Sending { carrier: Carrier::Chunks(chunks), .. }) => self.chunk_room(chunks),
            Some(Sending { carrier: Carrier::Data(_), .. }) | None => self.link.room(),
        }
    }

    /// Tells the application that there is room again. True if so.
    pub(super) fn offer_room(&mut self) -> bool {
        let enough = self.link.queued() <= self.config.limits.link.output / 2 && self.body_room() > 0;
        let Some(sending) = self.sending.as_deref_mut().filter(|sending| sending.waits && enough) else { return false };
        sending.waits = false;
        self.events.push_back(Event::BodyRoom { of: sending.id });
        true
    }

    /// The message is complete. [`Event::Finished`] follows.
    ///
    /// # Errors
    /// [`FinishError`] if its octets cannot be sent, or the session is over. [`Event::Finished`] follows all the same.
    pub fn finish(&mut self, body: Pending<ask::Body>) -> Result<(), FinishError> {
        self.wanted(&body)?;
        let sending = self.sending.as_deref_mut().expect("a message is wanted only while one is being sent");
        let before = self.link.queued();
        let ended = match (sending.bad, &mut sending.carrier) {
            (Some(bad), _) => Err(bad),
            (None, Carrier::Data(writer)) => writer.clone().end(&mut Out(&mut self.link)),
            (None, Carrier::Chunks(chunks)) => chunks.end(),
        };
        sending.written += (self.link.queued() - before) as u64;
        if let Err(bad) = ended {
            self.not_sent(NotSent::BadBody(bad));
            return Err(bad.into());
        }
        match sending.carrier {
            Carrier::Data(_) => self.message_sent(),
            Carrier::Chunks(_) => {
                self.stage = Stage::LastChunk;
                self.send_chunk();
            }
        }
        Ok(())
    }

    /// Gives the message up. After DATA this closes the connection, since nothing but the rest of the message could
    /// follow; with chunks the session goes on.
    pub fn abandon(&mut self, body: Pending<ask::Body>) {
        if self.wanted(&body).is_ok() {
            self.not_sent(NotSent::Abandoned);
        }
    }

    /// The message, whose end was not written, does not go out.
    fn not_sent(&mut self, why: NotSent) {
        let sending = self.sending.as_deref_mut().expect("a message is given up only while one is being sent");
        sending.settle_rest(&Outcome::NotSent(why));
        match sending.carrier {
            Carrier::Data(_) => self.end(Closed::ByUs),
            Carrier::Chunks(_) => self.give_up_chunks(),
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
