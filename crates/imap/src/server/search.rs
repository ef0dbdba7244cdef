//! SEARCH: from the client's numbers to UIDs, and from the UIDs found to numbers.

use super::answer::{Found, Refusal};
use super::changes::Selection;
use super::stage::Question;
use super::{Event, Server, ask};
use crate::dialogue::Verb;
use crate::wire::{
    Capability, Code, Condition, Data, Esearch, Flag, Search, SearchKey, SearchReturn, SequenceSet, Status, Tag, UidSet,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use postrider_core::{Stale, Text};

impl Server {
    pub(super) fn search(&mut self, tag: Tag, verb: Verb, search: Search) {
        let Search { uid, returns, charset, key } = search;
        let rev2 = self.offers(&Capability::Imap4Rev2);
        if let Some(returns) = &returns {
            let extended = rev2 || self.offers(&Capability::Esearch);
            let save = rev2 || self.offers(&Capability::SearchRes);
            if !extended || returns.save && !save || returns.partial.is_some() {
                return self.complete_bad(tag, verb, "a return option of SEARCH is not on offer");
            }
        }
        if let Some(unknown) = self.unknown_key(&key) {
            return self.complete_bad(tag, verb, &alloc::format!("{unknown} is not on offer"));
        }
        if let Some(charset) = charset {
            let known = ["US-ASCII", "UTF-8"];
            if !known.iter().any(|known| charset.eq_ignore_ascii_case(known.as_bytes())) {
                let known = known.iter().map(|known| Bytes::from_static(known.as_bytes())).collect();
                return self.complete_no(tag, verb, Some(Code::BadCharset(known)), "Only US-ASCII and UTF-8");
            }
        }
        // RFC 7162, 3.1: searching for it switches CONDSTORE on.
        self.enabled.condstore |= mentions_modseq(&key);
        let selection = self.selected.as_ref().expect("the dialogue allows SEARCH only with a mailbox");
        let (Some(first), Some(last)) = (selection.view.uid(1), selection.view.last_uid()) else {
            return self.found(tag, verb, uid, returns, Found::default(), false);
        };
        let key = selection.resolve_key(key);
        let mut among = UidSet::EMPTY;
        among.push_range(first, last);
        let expunged = self.some_expunged(&among);
        let answer = self.ask::<ask::Search>(tag, verb, Question::Search { uid, returns, expunged });
        self.events.push_back(Event::Search { answer, among, key });
    }

    /// A key that is not on offer.
    fn unknown_key(&self, key: &SearchKey) -> Option<&'static str> {
        let unless = |capability, word| if self.offers(&capability) { None } else { Some(word) };
        match key {
            SearchKey::Not(inner) => self.unknown_key(inner),
            SearchKey::Or(both) => self.unknown_key(&both.0).or_else(|| self.unknown_key(&both.1)),
            SearchKey::And(keys) => keys.iter().find_map(|key| self.unknown_key(key)),
            SearchKey::Older(_) | SearchKey::Younger(_) => unless(Capability::Within, "WITHIN"),
            SearchKey::ModSeq(_) => unless(Capability::CondStore, "CONDSTORE"),
            SearchKey::EmailId(_) | SearchKey::ThreadId(_) => unless(Capability::ObjectId, "OBJECTID"),
            SearchKey::SavedBefore(_) | SearchKey::SavedOn(_) | SearchKey::SavedSince(_) => {
                unless(Capability::SaveDate, "SAVEDATE")
            }
            SearchKey::All | SearchKey::Has(_) | SearchKey::HasNot(_) | SearchKey::New | SearchKey::Before(_) => None,
            SearchKey::On(_) | SearchKey::Since(_) | SearchKey::SentBefore(_) | SearchKey::SentOn(_) => None,
            SearchKey::SentSince(_) | SearchKey::From(_) | SearchKey::To(_) | SearchKey::Cc(_) => None,
            SearchKey::Bcc(_) | SearchKey::Subject(_) | SearchKey::Body(_) | SearchKey::Text(_) => None,
            SearchKey::Header { .. } | SearchKey::Larger(_) | SearchKey::Smaller(_) => None,
            SearchKey::Messages(_) | SearchKey::Uid(_) => None,
        }
    }

    pub(super) fn settle_search(&mut self, number: u64, answer: Result<Found, Refusal>) -> Result<(), Stale> {
        let (tag, verb, question) = self.redeemed(number)?;
        let Question::Search { uid, returns, expunged } = question else {
            unreachable!("the number was given to another kind of question")
        };
        match answer {
            Ok(found) => self.found(tag, verb, uid, returns, found, expunged),
            Err(refusal) => {
                // RFC 5182, 2.1: a search that was to be saved and fails leaves nothing saved.
                if let Some(selection) = self.selected.as_mut().filter(|_| returns.is_some_and(|r| r.save)) {
                    selection.saved = UidSet::EMPTY;
                }
                self.complete(tag, verb, refusal.into_status());
            }
        }
        Ok(())
    }

    fn found(&mut self, tag: Tag, verb: Verb, uid: bool, returns: Option<SearchReturn>, found: Found, expunged: bool) {
        let selection = self.selected.as_mut().expect("SEARCH is asked only with a mailbox");
        let uids = selection.view.exact(&found.uids);
        let numbers = if uid { uids.clone() } else { selection.view.numbers(&uids) };
        let modseq = found.modseq.filter(|_| self.enabled.condstore && !numbers.is_empty());
        if returns.is_none() && !self.enabled.rev2 {
            self.data(&Data::Search { found: numbers, modseq });
            return self.complete_maybe_expunged(tag, verb, expunged);
        }
        let mut wanted = returns.unwrap_or_default();
        let says = wanted.min || wanted.max || wanted.all || wanted.count;
        if wanted.save {
            // RFC 5182, 2.4: with MIN or MAX and nothing that counts them all, it is these that are saved.
            let ends = (wanted.min || wanted.max) && !wanted.all && !wanted.count;
            selection.saved = if ends { ends_of(&uids, wanted.min, wanted.max) } else { uids };
        }
        // RFC 9051, 6.4.4: no option means ALL; SAVE alone says nothing.
        wanted.all |= !says && !wanted.save;
        if says || wanted.all {
            let (min, max) = (lowest(&numbers), highest(&numbers));
            let count = u32::try_from(numbers.count()).expect("there are no more messages than numbers");
            self.data(&Data::Esearch(Esearch {
                tag: Some(Bytes::copy_from_slice(tag.as_str().as_bytes())),
                uid,
                min: min.filter(|_| wanted.min),
                max: max.filter(|_| wanted.max),
                count: wanted.count.then_some(count),
                all: wanted.all.then_some(numbers).filter(|all| !all.is_empty()),
                modseq,
                ..Esearch::default()
            }));
        }
        if expunged && !verb.allows_expunge() {
            let (code, text) = (Some(Code::ExpungeIssued), Text::literal("Some messages are gone"));
            return self.complete(tag, verb, Status { condition: Condition::Ok, code, text });
        }
        self.complete_ok(tag, verb);
    }
}

impl Selection {
    /// The key with numbers, `*` and `$` made plain UIDs, and `\Recent`, which no message has, taken out. The parser limits how deep
    /// keys lie in each other.
    fn resolve_key(&self, key: SearchKey) -> SearchKey {
        match key {
            SearchKey::Messages(set) if set.is_saved() => uid_key(&self.view.intersect(&self.saved)),
            SearchKey::Messages(set) => uid_key(&self.view.clip_numbers(&set)),
            SearchKey::Uid(set) if set.is_saved() => uid_key(&self.view.intersect(&self.saved)),
            SearchKey::Uid(set) => uid_key(&self.view.resolve_uids(&set)),
            SearchKey::Has(Flag::Recent) | SearchKey::New => nothing(),
            SearchKey::HasNot(Flag::Recent) => SearchKey::All,
            SearchKey::Not(inner) => SearchKey::Not(Box::new(self.resolve_key(*inner))),
            SearchKey::Or(both) => SearchKey::Or(Box::new((self.resolve_key(both.0), self.resolve_key(both.1)))),
            SearchKey::And(keys) => {
                SearchKey::And(keys.into_iter().map(|key| self.resolve_key(key)).collect::<Vec<_>>())
            }
            other => other,
        }
    }
}

fn uid_key(uids: &UidSet) -> SearchKey {
    if uids.is_empty() { nothing() } else { SearchKey::Uid(SequenceSet::from(uids)) }
}

fn nothing() -> SearchKey {
    SearchKey::Not(Box::new(SearchKey::All))
}

fn mentions_modseq(key: &SearchKey) -> bool {
    match key {
        SearchKey::ModSeq(_) => true,
        SearchKey::Not(inner) => mentions_modseq(inner),
        SearchKey::Or(both) => mentions_modseq(&both.0) || mentions_modseq(&both.1),
        SearchKey::And(keys) => keys.iter().any(mentions_modseq),
        _ => false,
    }
}

fn lowest(ascending: &UidSet) -> Option<u32> {
    ascending.ranges().first().map(|range| range.0)
}

fn highest(ascending: &UidSet) -> Option<u32> {
    ascending.ranges().last().map(|range| range.1)
}

fn ends_of(ascending: &UidSet, min: bool, max: bool) -> UidSet {
    let (low, high) = (lowest(ascending).filter(|_| min), highest(ascending).filter(|_| max));
    let high = high.filter(|_| low != high);
    low.into_iter().chain(high).collect()
}
