//! What happened in the selected mailbox and was not told yet, and the telling of it.

use super::Server;
use super::event::Change;
use super::stage::Stage;
use crate::view::{View, subtract, unite};
use crate::wire::{Attribute, Data, FetchItem, Flags, UidSet};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// EXPUNGE responses written between two looks at the output.
const BATCH: usize = 1024;

/// The selected mailbox, as the client knows it.
pub(super) struct Selection {
    pub(super) view: View,
    pub(super) read_only: bool,
    /// `$` (RFC 9051, 6.4.4.1).
    pub(super) saved: UidSet,
    pub(super) untold: Untold,
}

/// Changes that wait for a moment when they may be told.
#[derive(Default)]
pub(super) struct Untold {
    /// Not in the view.
    added: UidSet,
    /// Still in the view. Ascending, without overlap.
    pub(super) expunged: UidSet,
    flags: BTreeMap<u32, (Flags, Option<u64>)>,
    /// Messages whose flags changed when `flags` was full: they are asked for when they can be told.
    unknown: UidSet,
    /// The message that a FETCH in progress is telling of.
    pub(super) telling: u32,
}

impl Untold {
    /// The client is being told the flags of that message.
    pub(super) fn flags_told(&mut self, uid: u32) {
        self.flags.remove(&uid);
    }

    /// The flags changed once more. If they were to be told, it is the new ones that are.
    pub(super) fn flags_changed(&mut self, uid: u32, flags: &Flags, modseq: Option<u64>) {
        if let Some(held) = self.flags.get_mut(&uid) {
            *held = (flags.clone(), modseq);
        }
    }
}

/// How far the telling got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// There is nothing left that may be told now.
    All,
    /// The output is full.
    Congested,
    /// The application was asked for flags.
    Asked,
}

impl Selection {
    pub(super) fn new(view: View, read_only: bool) -> Self {
        Self { view, read_only, saved: UidSet::EMPTY, untold: Untold::default() }
    }

    /// Notes a change. `limit` is how many flag changes are kept.
    pub(super) fn note(&mut self, change: Change, limit: usize) {
        let untold = &mut self.untold;
        match change {
            Change::Added(uids) => {
                // UIDs ascend: what is not above all that is known was told before.
                let known = untold.added.ranges().last().map(|range| range.1).max(self.view.last_uid()).unwrap_or(0);
                for &(low, high) in uids.ranges() {
                    if high > known {
                        untold.added.push_range(low.max(known + 1), high);
                    }
                }
            }
            Change::Expunged(uids) => {
                untold.added = subtract(&untold.added, &uids);
                untold.flags.retain(|uid, _| !uids.contains(*uid));
                unite(&mut untold.expunged, &self.view.intersect(&uids));
            }
            Change::Flags { uid, flags, modseq } => {
                let there = self.view.number(uid).is_some() || untold.added.contains(uid);
                if !there || untold.expunged.contains(uid) {
                    return;
                }
                if untold.flags.len() >= limit && !untold.flags.contains_key(&uid) {
                    let held: UidSet = core::mem::take(&mut untold.flags).into_keys().collect();
                    unite(&mut untold.unknown, &held);
                }
                untold.flags.insert(uid, (flags, modseq));
            }
        }
    }

    /// The last `BATCH` numbers of messages that went, highest first; they leave the view.
    fn take_expunged(&mut self) -> Vec<u32> {
        let expunged = &mut self.untold.expunged;
        let mut numbers = Vec::new();
        let mut lowest = u32::MAX;
        'full: for &(low, high) in expunged.ranges().iter().rev() {
            let (from, to) = self.view.places(low, high);
            for place in (from..to).rev() {
                if numbers.len() == BATCH {
                    break 'full;
                }
                numbers.push(place as u32 + 1);
                lowest = self.view.uids()[place];
            }
        }
        let mut gone = UidSet::EMPTY;
        for &(low, high) in expunged.ranges() {
            if high >= lowest {
                gone.push_range(low.max(lowest), high);
            }
        }
        // With less than a batch left, ranges without a message go too.
        *expunged = if numbers.len() < BATCH { UidSet::EMPTY } else { subtract(expunged, &gone) };
        self.view.remove(&gone);
        numbers
    }
}

impl Server {
    /// Tells what may be told: EXPUNGE if `expunge`, then EXISTS, then FETCH with flags.
    pub(super) fn tell(&mut self, expunge: bool) -> Told {
        loop {
            if self.link.is_congested() {
                return Told::Congested;
            }
            let Some(selection) = &mut self.selected else { return Told::All };
            if expunge && !selection.untold.expunged.is_empty() {
                for number in selection.take_expunged() {
                    self.data(&Data::Expunge(number));
                }
            } else if !selection.untold.added.is_empty() {
                let added = core::mem::take(&mut selection.untold.added);
                selection.view.add(&added);
                let count = selection.view.len();
                self.data(&Data::Exists(count));
            } else if let Some((uid, (flags, modseq))) = selection.untold.flags.pop_first() {
                if let Some(number) = selection.view.number(uid) {
                    self.tell_flags(number, uid, flags, modseq);
                }
            } else if !selection.untold.unknown.is_empty() {
                let unknown = core::mem::take(&mut selection.untold.unknown);
                let messages = selection.view.intersect(&subtract(&unknown, &selection.untold.expunged));
                if !messages.is_empty() {
                    self.refresh(messages);
                    return Told::Asked;
                }
            } else {
                return Told::All;
            }
        }
    }

    fn tell_flags(&mut self, number: u32, uid: u32, flags: Flags, modseq: Option<u64>) {
        // RFC 9051, 7.5.2 wants no UID here, but RFC 7162, 3.2.4 recommends it with mod-sequences, and no client minds.
        let mut items = Vec::with_capacity(3);
        items.push(FetchItem::Uid(uid));
        items.push(FetchItem::Flags(flags));
        items.extend(modseq.filter(|_| self.enabled.condstore).map(FetchItem::ModSeq));
        self.data(&Data::Fetch { number, items });
    }

    /// Asks for flags that could not be kept; the stage goes on when they are answered.
    fn refresh(&mut self, messages: UidSet) {
        let then = core::mem::replace(&mut self.stage, Stage::Command);
        let mut items = Vec::from([Attribute::Flags]);
        if self.enabled.condstore {
            items.push(Attribute::ModSeq);
        }
        self.ask_refresh(Box::new(then), messages, items);
    }
}
