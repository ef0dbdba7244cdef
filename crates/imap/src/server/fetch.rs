//! Writing the answer to FETCH, item by item and literal by literal.

use super::answer::{FetchPart, LiteralOf, Refusal};
use super::stage::{Question, Stage};
use super::{Event, RespondError, Server, ask};
use crate::dialogue::Verb;
use crate::wire::{Attribute, FetchItem, Tag, UidSet};
use alloc::boxed::Box;
use alloc::vec::Vec;
use postrider_core::{Closed, Pending, Stale};

/// How far the answer to FETCH is.
pub(super) struct FetchOut {
    with_uid: bool,
    /// Some of the messages are gone and the client does not know.
    expunged: bool,
    message: Message,
    /// Octets that are still owed for the literal announced.
    literal: u64,
}

/// Which message the parts are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    /// None.
    Between,
    /// That one. Its response has begun.
    Open,
    /// One that the client does not know of (any more): what is said of it is dropped.
    Unknown,
}

impl FetchOut {
    fn new(with_uid: bool, expunged: bool) -> Self {
        Self { with_uid, expunged, message: Message::Between, literal: 0 }
    }
}

/// The open FETCH of that number, or refresh.
fn open(stage: &mut Stage, number: u64) -> Result<&mut FetchOut, Stale> {
    match stage {
        Stage::Asked { number: open, question: Question::Fetch(out), .. } if *open == number => Ok(out),
        Stage::Refreshing { number: open, out, .. } if *open == number => Ok(out),
        Stage::Asked { .. } | Stage::Refreshing { .. } | Stage::Greeting | Stage::Tls { .. } => Err(Stale),
        Stage::Command
        | Stage::Discarding { .. }
        | Stage::Sasl { .. }
        | Stage::Refused { .. }
        | Stage::Appending { .. } => Err(Stale),
        Stage::Idle { .. } | Stage::Completing(_) | Stage::Closed => Err(Stale),
    }
}

impl Server {
    pub(super) fn ask_fetch(
        &mut self,
        tag: Tag,
        verb: Verb,
        with_uid: bool,
        expunged: bool,
        event: impl FnOnce(Pending<ask::Fetch>) -> Event,
    ) {
        let answer = self.ask(tag, verb, Question::Fetch(FetchOut::new(with_uid, expunged)));
        self.events.push_back(event(answer));
    }

    /// Asks for flags on the session's own account; then `then` goes on.
    pub(super) fn ask_refresh(&mut self, then: Box<Stage>, messages: UidSet, items: Vec<Attribute>) {
        let (answer, number) = self.link.ask();
        self.stage = Stage::Refreshing { number, then, out: FetchOut::new(true, false) };
        self.decision.arm(self.config.limits.decision);
        self.events.push_back(Event::Fetch { answer, messages, items, mark_seen: false, changed_since: None });
    }

    pub(super) fn add_fetched(&mut self, number: u64, part: FetchPart) -> Result<(), RespondError> {
        let out = open(&mut self.stage, number)?;
        if out.literal > 0 {
            return Err(RespondError::misuse("octets of the literal announced before are missing"));
        }
        let outside = out.message == Message::Between;
        match part {
            FetchPart::Message(uid) => {
                let selection = self.selected.as_mut().expect("FETCH is asked only with a mailbox");
                if out.message == Message::Open {
                    self.out.fetch_end();
                }
                match selection.view.number(uid) {
                    Some(message) => {
                        out.message = Message::Open;
                        self.out.fetch_start(message);
                        if out.with_uid {
                            self.out.fetch_item(&FetchItem::Uid(uid));
                        }
                    }
                    None => out.message = Message::Unknown,
                }
                // What is told now need not be told again.
                selection.untold.telling = uid;
            }
            FetchPart::End => {
                if out.message == Message::Open {
                    self.out.fetch_end();
                }
                out.message = Message::Between;
            }
            FetchPart::Item(_) | FetchPart::Encoded(_) | FetchPart::Literal { .. } if outside => {
                return Err(RespondError::misuse("an item needs a message first"));
            }
            FetchPart::Item(FetchItem::Uid(_)) => {}
            FetchPart::Item(FetchItem::Raw(_)) => {
                return Err(RespondError::misuse("what could not be read cannot be sent"));
            }
            FetchPart::Item(item) => {
                if out.message == Message::Open {
                    self.out.fetch_item(&item);
                }
                if let (FetchItem::Flags(_), Some(selection)) = (&item, &mut self.selected) {
                    let uid = selection.untold.telling;
                    selection.untold.flags_told(uid);
                }
            }
            FetchPart::Encoded(encoded) => {
                if out.message == Message::Open {
                    self.out.fetch_encoded(encoded.name, &encoded.value);
                }
            }
            FetchPart::Literal { of, size } => {
                out.literal = size;
                if out.message == Message::Open {
                    match of {
                        LiteralOf::Body { section, origin } => self.out.fetch_literal(&section, origin, size),
                        LiteralOf::Binary { part, origin } => self.out.fetch_binary_literal(&part, origin, size),
                        LiteralOf::Rfc822(part) => self.out.fetch_rfc822_literal(part, size),
                    }
                }
            }
        }
        self.out.send(&mut self.link);
        Ok(())
    }

    /// How many of `wanted` octets the open literal takes now.
    pub(super) fn literal_room(&mut self, question: &Pending<ask::Fetch>, wanted: usize) -> usize {
        let room = self.link.room();
        self.literal_left(question, wanted).min(room)
    }

    /// How many of `wanted` octets the open literal still lacks.
    pub(super) fn literal_left(&mut self, question: &Pending<ask::Fetch>, wanted: usize) -> usize {
        let out = self.link.redeem(question).and_then(|number| open(&mut self.stage, number));
        let left = out.map_or(0, |out| out.literal);
        usize::try_from(left).map_or(wanted, |left| left.min(wanted))
    }

    /// Whether the open literal is of a message that the client knows of.
    pub(super) fn literal_is_sent(&self) -> bool {
        match &self.stage {
            Stage::Asked { question: Question::Fetch(out), .. } | Stage::Refreshing { out, .. } => {
                out.message == Message::Open
            }
            Stage::Asked { .. } | Stage::Greeting | Stage::Tls { .. } | Stage::Command => false,
            Stage::Discarding { .. } | Stage::Sasl { .. } | Stage::Refused { .. } | Stage::Appending { .. } => false,
            Stage::Idle { .. } | Stage::Completing(_) | Stage::Closed => false,
        }
    }

    pub(super) fn literal_written(&mut self, octets: usize) {
        if let Stage::Asked { question: Question::Fetch(out), .. } | Stage::Refreshing { out, .. } = &mut self.stage {
            out.literal -= octets as u64;
        }
        self.decision.arm(self.config.limits.decision);
    }

    /// Ends the message that is open. False if that cannot be done, and the session has ended.
    pub(super) fn end_fetch(&mut self, out: FetchOut) -> bool {
        if out.literal > 0 {
            // The client counts octets now; nothing else can be said to it.
            self.close(Closed::ByUs);
            return false;
        }
        if out.message == Message::Open {
            self.out.fetch_end();
            self.out.send(&mut self.link);
        }
        true
    }

    pub(super) fn settle_fetch(&mut self, number: u64, answer: Result<(), Refusal>) -> Result<(), Stale> {
        match core::mem::replace(&mut self.stage, Stage::Command) {
            Stage::Asked { number: open, tag, verb, question: Question::Fetch(out) } if open == number => {
                self.decision.disarm();
                let expunged = out.expunged;
                if self.end_fetch(out) {
                    match answer {
                        Ok(()) => self.complete_maybe_expunged(tag, verb, expunged),
                        Err(refusal) => self.complete(tag, verb, refusal.into_status()),
                    }
                }
                Ok(())
            }
            Stage::Refreshing { number: open, then, out } if open == number => {
                self.decision.disarm();
                if self.end_fetch(out) {
                    self.stage = *then;
                }
                Ok(())
            }
            other => {
                self.stage = other;
                Err(Stale)
            }
        }
    }
}
