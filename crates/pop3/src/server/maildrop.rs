//! What the client has before it: the snapshot, messages on their way, and the deletions.

use super::top::Top;
use super::{Busy, Event, NO_SUCH_MESSAGE, Server, ask};
use crate::wire::{Expire, MessageMeta, Refusal, Verb};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use postrider_core::{Closed, LineRule, Link, Pending, Stale, Stuffer};

/// What is being listed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    Sizes,
    Ids,
}

/// A message on its way.
pub(super) struct Retrieval {
    pub(super) question: u64,
    message: u32,
    /// The status line was sent.
    begun: bool,
    stuffer: Stuffer,
    pub(super) top: Option<Top>,
}

impl Server {
    //= 1939-5-1, 1939-5-4
    pub(super) fn message(&self, message: u32) -> Option<&MessageMeta> {
        let index = usize::try_from(message).ok()?.checked_sub(1)?;
        if *self.deleted.get(index)? { None } else { self.messages.get(index) }
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &MessageMeta> {
        self.messages.iter().zip(&self.deleted).filter(|(_, deleted)| !**deleted).map(|(meta, _)| meta)
    }

    /// How many messages are left, and their octets.
    //= 1939-5-2
    pub(super) fn sum(&self) -> (usize, u64) {
        self.kept().fold((0, 0), |(count, size), meta| (count + 1, meta.size.saturating_add(size)))
    }

    /// Lists until the output is full or the end is reached.
    //= 1939-5-3, 1939-7-2, 6856-2.1-2
    pub(super) fn list_more(&mut self) {
        let Busy::Listing(kind, mut next) = self.now else { unreachable!("only called while a listing is sent") };
        let mut line = String::new();
        while next < self.messages.len() && !self.link.is_congested() {
            if !self.deleted[next] {
                line.clear();
                let meta = &self.messages[next];
                let _ = match kind {
                    Listing::Sizes => write!(line, "{} {}", next + 1, meta.size),
                    Listing::Ids => write!(line, "{} {}", next + 1, meta.unique_id),
                };
                self.link.put(line.as_bytes());
                self.link.end_line();
            }
            next += 1;
        }
        // It is only called once the client has taken some of what was listed before.
        self.progress = true;
        if next < self.messages.len() {
            self.now = Busy::Listing(kind, next);
            return;
        }
        self.now = Busy::Ready;
        self.end_of_lines();
    }

    pub(super) fn retrieve(&mut self, message: u32, lines: Option<u64>) {
        let Some(meta) = self.message(message) else { return self.no(&Refusal::plain(NO_SUCH_MESSAGE)) };
        //= 6856-2.1-1, 6856-5-1
        if meta.utf8 && !self.utf8 {
            return self.no(&Refusal::needs_utf8());
        }
        if lines.is_none() {
            self.last = self.last.max(message);
        }
        let (answer, question) = self.link.ask();
        self.now = Busy::Retrieving(Box::new(Retrieval {
            question,
            message,
            begun: false,
            // A dot after a bare LF is doubled too: clients that end lines there would take it for the end.
            stuffer: Stuffer::new(LineRule::Lf),
            top: lines.map(Top::new),
        }));
        self.events.push_back(Event::Retrieve { answer, message, lines });
    }

    pub(super) fn retrieved(
        &mut self,
        mut retrieval: Box<Retrieval>,
        answer: Result<(), Refusal>,
    ) -> Result<(), Stale> {
        match answer {
            Ok(()) => {
                if !retrieval.begun {
                    begin(&mut self.link, &mut retrieval, &self.messages);
                }
                if retrieval.stuffer.is_within_line() {
                    self.link.end_line();
                }
                self.end_of_lines();
                if retrieval.top.is_none() {
                    self.retrieved[retrieval.message as usize - 1] = true;
                }
                Ok(())
            }
            Err(why) if !retrieval.begun => {
                self.no(&why);
                Ok(())
            }
            Err(_) => {
                self.close(Closed::ByUs);
                Err(Stale)
            }
        }
    }

    //= 1939-6-1
    pub(super) fn quit(&mut self) {
        // RFC 2449, 6.7: nothing that was retrieved may be left.
        let taken_goes = self.config.expire == Some(Expire::Days(0));
        let goes = self.deleted.iter().zip(&self.retrieved).map(|(deleted, taken)| *deleted || taken_goes && *taken);
        let delete: Vec<u32> = (1..).zip(goes).filter(|(_, goes)| *goes).map(|(n, _)| n).collect();
        self.dialogue.quitting();
        if delete.is_empty() {
            return self.goodbye();
        }
        let (answer, number) = self.link.ask();
        self.now = Busy::Committing(number);
        self.events.push_back(Event::Commit { answer, delete });
    }

    pub(super) fn goodbye(&mut self) {
        self.dialogue.replied(Verb::Quit, true);
        self.ok("goodbye");
        self.close(Closed::ByPeer);
    }

    //= 1939-3-2
    pub(super) fn write_with<'o>(
        &mut self,
        question: &Pending<ask::Retrieve>,
        length: usize,
        octets: impl Fn(core::ops::Range<usize>) -> &'o [u8],
        mut put: impl FnMut(&mut Link, &[u8]),
    ) -> usize {
        let Ok(number) = self.link.redeem(question) else { return length };
        let room = self.link.room();
        let Busy::Retrieving(retrieval) = &mut self.now else { return length };
        if retrieval.question != number || self.link.is_closed() {
            return length;
        }
        if retrieval.top.as_ref().is_some_and(Top::is_done) {
            return length;
        }
        let room = length.min(room);
        let given = octets(0..room);
        if given.is_empty() {
            return 0;
        }
        self.progress = true;
        let wanted = retrieval.top.as_mut().map_or(room, |top| top.take(given));
        let ends = retrieval.top.as_ref().is_some_and(Top::is_done);
        if !retrieval.begun {
            begin(&mut self.link, retrieval, &self.messages);
        }
        let link = &mut self.link;
        retrieval.stuffer.stuff(&given[..wanted], |part| put(link, part));
        if ends { length } else { room }
    }
}

/// The status line of a message that is sent.
fn begin(link: &mut Link, retrieval: &mut Retrieval, messages: &[MessageMeta]) {
    retrieval.begun = true;
    let mut line = String::from("+OK message follows");
    if retrieval.top.is_none() {
        let size = messages[retrieval.message as usize - 1].size;
        line.clear();
        write!(line, "+OK {size} octets").expect("writing to a string does not fail");
    }
    link.put(line.as_bytes());
    link.end_line();
}
