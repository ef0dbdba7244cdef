//! Mail that is fetched once: what to fetch, and what may be deleted, from what was fetched before.
//!
//! ```text
//! Memory::read ──> Memory::plan(maildrop) ──> Plan::wanted: RETR ──> Plan::begin, Plan::kept ──> Plan::deletable: DELE, QUIT
//!   lines of text        LIST, UIDL                                    lines to be stored   +OK: Plan::deleted, Plan::into_memory
//! ```
//!
//! The application stores lines of text; whatever is interrupted, it begins again with those that it has. A message is
//! offered for deletion only after [`Plan::kept`] said that it is safe here, now or in an earlier session. If what was
//! fetched and the note of it cannot be stored in one step, [`Plan::begin`] notes first where it will be, so that it is
//! fetched neither twice nor never.
//!
//! RFC 1939, 7 lets copies of a message share a unique id, and there are servers that give one id to different
//! messages. So ids are counted: of an id that is there twice, two messages must have been kept before they count as
//! known. If fewer were, all of them are fetched again; some mail may then come twice, but none is lost.
//!
//! A server may also give the id of a deleted message to another one, and nobody can tell whether a message is deleted
//! when the connection is lost around QUIT. So an id is remembered with its message's size: a message of another size is
//! another message, and is fetched. It comes twice if a server changes its mind about the size, and only then.
//!
//! ```
//! use postrider_pop3::UniqueId;
//! use postrider_pop3::client::{Maildrop, Memory};
//!
//! let mut maildrop = Maildrop::default(); // `Maildrop::take` fills it from the client's events.
//! for (number, id) in [(1, "a"), (2, "b")] {
//!     maildrop.size(number, 120).unwrap();
//!     maildrop.unique_id(number, UniqueId::new(id).ok()).unwrap();
//! }
//!
//! let stored = format!("{}have a\n", Memory::HEADER);
//! let memory = Memory::read(&stored, |_file| false).unwrap();
//! let mut plan = memory.plan(&maildrop);
//! assert_eq!(plan.wanted().map(|message| message.number).collect::<Vec<_>>(), [2]);
//! // Message 2 was retrieved and is synced to disk: this line is stored too, and then it may go.
//! assert_eq!(plan.kept(2).unwrap(), "have b 1 120\n");
//! assert_eq!(plan.deletable().collect::<Vec<_>>(), [1, 2]);
//! ```

use super::Event;
use crate::wire::{UniqueId, UniqueIdRef};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::Misuse;

/// A message of a maildrop, as far as the server tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its number in this session.
    pub number: u32,
    /// Its octets, if LIST told; some servers only guess.
    pub size: Option<u64>,
    /// Its unique id, if UIDL told one.
    pub id: Option<UniqueId>,
}

/// What LIST and UIDL told of a maildrop.
#[derive(Clone, Debug)]
pub struct Maildrop {
    messages: BTreeMap<u32, Listed>,
    limit: usize,
}

/// The server lists more messages than are put up with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the server lists more than {limit} messages")]
pub struct TooManyMessages {
    /// How many are.
    pub limit: usize,
}

impl Default for Maildrop {
    fn default() -> Self {
        Self::new(Self::LIMIT)
    }
}

impl Maildrop {
    /// Messages put up with, by default: 1 million.
    pub const LIMIT: usize = 1_000_000;

    /// Nothing is known yet; at most `limit` messages will be.
    pub fn new(limit: usize) -> Self {
        Self { messages: BTreeMap::new(), limit }
    }

    /// Takes what an event says of messages; events that say nothing of any are passed over.
    ///
    /// # Errors
    /// [`TooManyMessages`] if there are more than the limit.
    pub fn take(&mut self, event: &Event) -> Result<(), TooManyMessages> {
        match event {
            Event::Listing { sizes, .. } => sizes.iter().try_for_each(|(message, size)| self.size(*message, *size)),
            Event::UniqueIds { ids, .. } => {
                ids.iter().try_for_each(|(message, id)| self.unique_id(message, id.map(UniqueIdRef::to_owned)))
            }
            Event::Ready
            | Event::Dismissed(_)
            | Event::Status { .. }
            | Event::Language { .. }
            | Event::Body { .. }
            | Event::Completed { .. }
            | Event::Closed(_) => Ok(()),
        }
    }

    /// The server has said how large a message is.
    ///
    /// # Errors
    /// [`TooManyMessages`] if there are more than the limit.
    pub fn size(&mut self, message: u32, size: u64) -> Result<(), TooManyMessages> {
        if let Some(listed) = self.message(message)? {
            listed.size = Some(size);
        }
        Ok(())
    }

    /// The server has said which id a message has, or that it has none that can be used.
    ///
    /// # Errors
    /// [`TooManyMessages`] if there are more than the limit.
    pub fn unique_id(&mut self, message: u32, id: Option<UniqueId>) -> Result<(), TooManyMessages> {
        if let Some(listed) = self.message(message)? {
            listed.id = id;
        }
        Ok(())
    }

    /// All messages, by number.
    pub fn messages(&self) -> impl Iterator<Item = &Listed> {
        self.messages.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn message(&mut self, number: u32) -> Result<Option<&mut Listed>, TooManyMessages> {
        // RFC 1939, 3: numbers begin with 1, so a message 0 could not be asked for.
        if number == 0 {
            return Ok(None);
        }
        if self.messages.len() >= self.limit && !self.messages.contains_key(&number) {
            return Err(TooManyMessages { limit: self.limit });
        }
        Ok(Some(self.messages.entry(number).or_insert_with(|| Listed { number, size: None, id: None })))
    }
}

/// Which messages were kept, by their unique ids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    have: BTreeMap<UniqueId, Had>,
}

/// What was kept of one id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Had {
    /// How many messages.
    count: u32,
    /// The size of the one, if it is known.
    size: Option<u64>,
}

impl Had {
    fn new(count: u32) -> Self {
        Self { count, size: None }
    }

    /// What ends the line about an id.
    fn read(words: &[&str]) -> Option<Self> {
        let count = |word: &str| word.parse().ok().filter(|count| *count > 0);
        match words {
            [] => Some(Self::new(1)),
            [word] => count(word).map(Self::new),
            [word, size] => Some(Self { count: count(word)?, size: Some(size.parse().ok()?) }),
            [_, _, _, ..] => None,
        }
    }

    /// The line about an id.
    fn line(self, id: &UniqueId) -> String {
        format!("have {}", self.rest(id))
    }

    fn rest(self, id: &UniqueId) -> String {
        match self {
            Self { count: 1, size: None } => format!("{id}\n"),
            Self { count, size: None } => format!("{id} {count}\n"),
            Self { count, size: Some(size) } => format!("{id} {count} {size}\n"),
        }
    }
}

/// This text is not what [`Memory::to_text`] and the lines after it give.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this is no list of fetched messages: its first line is not {:?}", Memory::HEADER.trim_ascii_end())]
pub struct NoMemory;

impl Memory {
    /// The first line of the text.
    pub const HEADER: &str = "postrider-pop3 memory 1\n";

    /// Nothing was fetched yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads what was stored: [`Memory::to_text`], and the lines that [`Plan::begin`] and [`Plan::kept`] gave after it.
    /// `arrived` is asked about each place given to `begin` without a `kept` after it: is the message there?
    ///
    /// A last line without its end was cut off, and does not count. Nor do lines that are something else, as a cut line
    /// with the next one stuck to it is. Better write [`Memory::to_text`] anew before anything is added.
    ///
    /// # Errors
    /// [`NoMemory`] if the first line is another one.
    pub fn read(text: &str, mut arrived: impl FnMut(&str) -> bool) -> Result<Self, NoMemory> {
        let lines = text.strip_prefix(Self::HEADER).ok_or(NoMemory)?;
        let mut have = BTreeMap::new();
        let mut begun: BTreeMap<UniqueId, (Had, &str)> = BTreeMap::new();
        let whole = lines.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        for line in whole {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["have", id, ref words @ ..] => {
                    if let (Ok(id), Some(had)) = (UniqueId::new(id), Had::read(words)) {
                        begun.remove(&id);
                        have.insert(id, had);
                    }
                }
                ["get", place, id, ref words @ ..] => {
                    if let (Ok(id), Some(had)) = (UniqueId::new(id), Had::read(words)) {
                        begun.insert(id, (had, place));
                    }
                }
                _ => {}
            }
        }
        have.extend(begun.into_iter().filter(|(_, (_, place))| arrived(place)).map(|(id, (had, _))| (id, had)));
        Ok(Self { have })
    }

    /// All of it, to be stored in place of what was there.
    pub fn to_text(&self) -> String {
        let mut text = String::from(Self::HEADER);
        self.have.iter().for_each(|(id, had)| text.push_str(&had.line(id)));
        text
    }

    /// How many messages with this id were kept.
    pub fn count(&self, id: &UniqueId) -> u32 {
        self.have.get(id).map_or(0, |had| had.count)
    }

    /// What is to be done with this maildrop.
    //= 1939-7-5
    pub fn plan(self, maildrop: &Maildrop) -> Plan {
        let mut listed: BTreeMap<UniqueId, u32> = BTreeMap::new();
        for id in maildrop.messages().filter_map(|message| message.id.as_ref()) {
            *listed.entry(id.clone()).or_default() += 1;
        }
        let known = |message: &Listed| {
            let Some((id, had)) = message.id.as_ref().and_then(|id| Some((id, self.have.get(id)?))) else {
                return false;
            };
            had.count >= listed[id] && (had.size.is_none() || had.size == message.size)
        };
        let messages = maildrop.messages().map(|message| {
            let fate = if known(message) { Fate::Known } else { Fate::Wanted };
            (message.number, (message.clone(), fate))
        });
        let messages = messages.collect();
        Plan { messages, listed, kept: BTreeMap::new(), memory: self }
    }
}

/// What a message is to the one who fetches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Kept in an earlier session.
    Known,
    /// To be fetched.
    Wanted,
    /// Kept in this session.
    Kept,
}

/// What is to be done in one session.
#[derive(Clone, Debug)]
pub struct Plan {
    messages: BTreeMap<u32, (Listed, Fate)>,
    /// How many messages of each id there are in the maildrop.
    listed: BTreeMap<UniqueId, u32>,
    /// How many of them were kept in this session.
    kept: BTreeMap<UniqueId, u32>,
    memory: Memory,
}

impl Plan {
    /// The longest place that [`Plan::begin`] notes, in octets.
    pub const PLACE: usize = 1024;

    /// The messages to be fetched, by number: those that were not kept.
    pub fn wanted(&self) -> impl Iterator<Item = &Listed> {
        self.with(Fate::Wanted)
    }

    /// The messages that were kept in an earlier session, by number.
    pub fn known(&self) -> impl Iterator<Item = &Listed> {
        self.with(Fate::Known)
    }

    fn with(&self, wanted: Fate) -> impl Iterator<Item = &Listed> {
        self.messages.values().filter(move |(_, fate)| *fate == wanted).map(|(message, _)| message)
    }

    /// The message was received completely and is synced, and is about to be moved to `place`. The line is to be stored
    /// and synced before it is; it is empty if the message has no id to be known by.
    ///
    /// # Errors
    /// [`Misuse`] if the message is not wanted, or `place` is empty, longer than [`Plan::PLACE`], or holds blanks or
    /// control characters.
    pub fn begin(&self, message: u32, place: &str) -> Result<String, Misuse> {
        let had = self.next(message)?;
        let storable = |c: char| !c.is_whitespace() && !c.is_control();
        if place.is_empty() || place.len() > Self::PLACE || !place.chars().all(storable) {
            return Err(Misuse::new(
                "the place of a message is empty, too long, or holds blanks or control characters",
            ));
        }
        Ok(had.map_or_else(String::new, |(id, had)| format!("get {place} {}", had.rest(id))))
    }

    /// The message is safe here: it may be deleted on the server once the line is stored. The line is empty if the
    /// message has no id to be known by.
    ///
    /// # Errors
    /// [`Misuse`] if the message is not wanted.
    pub fn kept(&mut self, message: u32) -> Result<String, Misuse> {
        let had = self.next(message)?.map(|(id, had)| (id.clone(), had));
        let line = had.map_or_else(String::new, |(id, had)| {
            let line = had.line(&id);
            self.memory.have.insert(id.clone(), had);
            self.kept.insert(id, had.count);
            line
        });
        self.messages.get_mut(&message).expect("it is wanted").1 = Fate::Kept;
        Ok(line)
    }

    /// The numbers of the messages that are safe here, in this session or an earlier one, ascending.
    pub fn deletable(&self) -> impl Iterator<Item = u32> {
        self.messages.iter().filter(|(_, (_, fate))| *fate != Fate::Wanted).map(|(number, _)| *number)
    }

    /// The server has said `+OK` to DELE for this message and then to QUIT: its id may be another message's next time.
    ///
    /// # Errors
    /// [`Misuse`] if the message is not one that [`Plan::deletable`] gives.
    pub fn deleted(&mut self, message: u32) -> Result<(), Misuse> {
        let listed = match self.messages.get(&message) {
            Some((listed, Fate::Known | Fate::Kept)) => listed,
            Some((_, Fate::Wanted)) | None => return Err(Misuse::new("the message was not kept")),
        };
        if let Some(id) = &listed.id {
            match (listed.size, self.memory.have.get_mut(id)) {
                // What an earlier session kept may have been noted without it.
                (Some(size), Some(had)) if self.listed[id] == 1 => *had = Had { count: 1, size: Some(size) },
                // Which of several were deleted could not be told; nor could another one of no known size.
                (_, _) => drop(self.memory.have.remove(id)),
            }
        }
        Ok(())
    }

    /// What to remember for the next session: messages that are no longer in the maildrop are forgotten. A maildrop that
    /// was empty, or without ids, may have been a server in trouble, so nothing is forgotten then.
    pub fn into_memory(mut self) -> Memory {
        if !self.listed.is_empty() {
            self.memory.have.retain(|id, had| match self.listed.get(id) {
                Some(listed) => {
                    had.count = had.count.min(*listed);
                    true
                }
                None => false,
            });
        }
        self.memory
    }

    /// What will have been kept of the id of a message that is wanted, with this message; `None` if it has no id. What
    /// earlier sessions kept does not count: it was too few to tell which, so all are fetched again.
    fn next(&self, message: u32) -> Result<Option<(&UniqueId, Had)>, Misuse> {
        let Some((listed, Fate::Wanted)) = self.messages.get(&message) else {
            return Err(Misuse::new("the message is not one to be fetched"));
        };
        Ok(listed.id.as_ref().map(|id| {
            let count = self.kept.get(id).copied().unwrap_or(0) + 1;
            let size = if self.listed[id] == 1 { listed.size } else { None };
            (id, Had { count, size })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::vec;

    fn maildrop(ids: &[&str]) -> Maildrop {
        let mut maildrop = Maildrop::default();
        for (number, id) in (1..).zip(ids) {
            maildrop.size(number, 1).expect("few");
            maildrop.unique_id(number, UniqueId::new(id).ok()).expect("few");
        }
        maildrop
    }

    fn memory(lines: &str) -> Memory {
        Memory::read(&(Memory::HEADER.to_owned() + lines), |place| place == "there").expect("a memory")
    }

    fn wanted(plan: &Plan) -> Vec<u32> {
        plan.wanted().map(|message| message.number).collect()
    }

    #[test]
    fn new_messages_are_wanted_and_old_ones_are_known() {
        let mut plan = memory("have a\nhave c\n").plan(&maildrop(&["a", "b", "c", "d"]));
        assert_eq!(wanted(&plan), [2, 4]);
        assert_eq!(plan.deletable().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(plan.kept(4).expect("wanted"), "have d 1 1\n");
        assert_eq!(plan.deletable().collect::<Vec<_>>(), [1, 3, 4], "only what was kept");
        assert!(plan.kept(4).is_err() && plan.kept(1).is_err() && plan.kept(9).is_err());
        assert_eq!(plan.into_memory(), memory("have a\nhave c\nhave d 1 1\n"));
    }

    #[test]
    fn what_is_gone_is_forgotten_but_not_because_the_maildrop_is_empty() {
        assert_eq!(memory("have a\nhave b\n").plan(&maildrop(&["b"])).into_memory(), memory("have b\n"));
        assert_eq!(memory("have a\nhave b\n").plan(&maildrop(&[])).into_memory(), memory("have a\nhave b\n"));
        let without = memory("have a\n").plan(&maildrop(&["", ""]));
        assert_eq!(without.into_memory(), memory("have a\n"), "no id was told");
    }

    //= 1939-7-5
    #[test]
    fn unique_ids_that_are_not_unique_lose_nothing() {
        // Both are new: both are fetched, and then both are known.
        let drop = maildrop(&["x", "x"]);
        let mut plan = Memory::new().plan(&drop);
        assert_eq!(wanted(&plan), [1, 2]);
        let mut stored = Memory::HEADER.to_owned();
        stored += &plan.begin(1, "f1").expect("wanted");
        stored += &plan.kept(1).expect("wanted");
        // Cut here: it cannot be told which one it was, so both are fetched again.
        let cut = Memory::read(&stored, |_| true).expect("a memory");
        assert_eq!(cut.count(&UniqueId::new("x").expect("an id")), 1);
        let again = cut.plan(&drop);
        assert_eq!(wanted(&again), [1, 2]);
        assert_eq!(again.deletable().count(), 0);
        // Cut again after the first of the two: still not known.
        let mut again = again;
        stored += &again.kept(2).expect("wanted");
        assert_eq!(wanted(&Memory::read(&stored, |_| true).expect("a memory").plan(&drop)), [1, 2]);

        stored += &plan.begin(2, "f2").expect("wanted");
        assert!(stored.ends_with("get f2 x 2\n"), "{stored}");
        let arrived = Memory::read(&stored, |place| place == "f2").expect("a memory");
        assert_eq!(wanted(&arrived.plan(&drop)), []);
        stored += &plan.kept(2).expect("wanted");
        let both = Memory::read(&stored, |_| false).expect("a memory");
        assert_eq!(wanted(&both.clone().plan(&drop)), []);
        // One of the two was deleted; a third one came: three ids, two known.
        assert_eq!(wanted(&both.clone().plan(&maildrop(&["x", "x", "x"]))), [1, 2, 3]);
        let one = both.plan(&maildrop(&["x"])).into_memory();
        assert_eq!(one, memory("have x\n"));
        assert_eq!(wanted(&one.plan(&drop)), [1, 2]);
    }

    #[test]
    fn a_message_without_an_id_is_fetched_each_time_and_deleted_once_it_is_kept() {
        let drop = maildrop(&["", "a"]);
        let mut plan = memory("have a\n").plan(&drop);
        assert_eq!(wanted(&plan), [1]);
        assert_eq!(plan.begin(1, "f").expect("wanted"), "");
        assert_eq!(plan.kept(1).expect("wanted"), "");
        assert_eq!(plan.deletable().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(wanted(&plan.into_memory().plan(&drop)), [1]);
    }

    #[test]
    fn what_is_stored_is_read_however_it_was_cut() {
        let lines = "have a\nget gone b\nget there c\nhave c\nget there d\nget there e\nhave e\nhave f 3\n";
        assert_eq!(memory(lines), memory("have a\nhave c\nhave d\nhave e\nhave f 3\n"));
        let whole = memory(lines);
        assert_eq!(Memory::read(&whole.to_text(), |_| false), Ok(whole.clone()));
        for end in 0..lines.len() {
            let cut = memory(&lines[..end]);
            assert!(cut.have.iter().all(|(id, had)| whole.count(id) >= had.count), "cut after {end}");
        }
        assert_eq!(memory("have a\nhave torn"), memory("have a\n"));
        assert_eq!(memory("have tornget there b\nhave x 0\nhave x y\nhave \nnonsense\n\n"), Memory::new());
        assert_eq!(Memory::read("", |_| true), Err(NoMemory));
        assert_eq!(Memory::read("something else\n", |_| true), Err(NoMemory));
    }

    #[test]
    fn a_place_that_would_break_the_lines_is_refused() {
        let plan = Memory::new().plan(&maildrop(&["a"]));
        for place in ["", "a b", "a\nhave z", "a\r", "\0", &"x".repeat(1025)] {
            assert!(plan.begin(1, place).is_err(), "{place:?}");
        }
        assert!(plan.begin(2, "f").is_err(), "there is no such message");
        assert_eq!(plan.begin(1, "ü/1").expect("wanted"), "get ü/1 a 1 1\n");
    }

    #[test]
    fn an_id_that_another_message_has_after_a_deletion_is_fetched() {
        let mut plan = memory("have b\n").plan(&maildrop(&["a", "b", "twice", "twice"]));
        for message in [1, 3, 4] {
            plan.kept(message).expect("wanted");
        }
        assert!(plan.deleted(5).is_err());
        for message in [1, 2, 3, 4] {
            plan.deleted(message).expect("kept");
        }
        let text = plan.into_memory().to_text();
        assert_eq!(text, format!("{}have a 1 1\nhave b 1 1\n", Memory::HEADER));

        let mut again = maildrop(&["a", "b", "twice"]);
        again.size(1, 2).expect("few");
        let plan = Memory::read(&text, |_| false).expect("a memory").plan(&again);
        assert_eq!(wanted(&plan), [1, 3], "a is another message; b was not deleted after all");
        assert!(plan.clone().deleted(1).is_err(), "it is not here");
    }

    #[test]
    fn an_id_that_another_message_has_after_a_lost_quit_is_fetched() {
        let (mut before, mut after) = (maildrop(&["a"]), maildrop(&["a"]));
        before.size(1, 120).expect("few");
        after.size(1, 999).expect("few");
        let mut plan = Memory::new().plan(&before);
        let begun = plan.begin(1, "there").expect("wanted");
        let kept = plan.kept(1).expect("wanted");
        // QUIT was said, and nothing was heard: the message is deleted, or not.
        for stored in [&begun, &kept, &(begun.clone() + &kept)] {
            assert_eq!(wanted(&memory(stored).plan(&before)), [], "it is still there");
            let plan = memory(stored).plan(&after);
            assert_eq!((wanted(&plan), plan.deletable().count()), (vec![1], 0), "another one");
        }
    }

    #[test]
    fn a_maildrop_has_a_limit_and_no_message_0() {
        let mut maildrop = Maildrop::new(2);
        maildrop.size(0, 1).expect("passed over");
        assert!(maildrop.is_empty());
        maildrop.size(u32::MAX, 1).expect("the first");
        maildrop.unique_id(1, None).expect("the second");
        maildrop.unique_id(u32::MAX, UniqueId::new("z").ok()).expect("it is there");
        assert_eq!(maildrop.size(2, 1), Err(TooManyMessages { limit: 2 }));
        let listed: Vec<_> = maildrop.messages().map(|message| (message.number, message.size)).collect();
        assert_eq!(listed, vec![(1, None), (u32::MAX, Some(1))]);
        assert_eq!(maildrop.len(), 2);
    }
}
