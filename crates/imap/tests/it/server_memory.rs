//! An application that keeps its mailboxes in memory, shared by any number of sessions.

use bytes::Bytes;
use postrider_core::Pending;
use postrider_imap::server::{
    AppendedAt, Change, Copied, Event, Expunged, FetchPart, Found, ListRequest, Listed, LiteralOf, MailboxOp, Refusal,
    Selected, Server, StoreDone, Stored, ask,
};
use postrider_imap::wire::{
    Address, Append, Attribute, BodyBuilder, BodyPeek, Code, DateTime, EnvelopeBuilder, FetchItem, Flag, FlagChange,
    Flags, ListEntry, Mailbox, MailboxAttribute, MailboxStatus, PartFields, Rfc822Part, SearchKey, Section,
    SectionText, StatusItems, StoreMode, UidSet,
};
use postrider_sasl::{Attempt, Denied, Identity};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Bodies above this size are streamed.
const INLINE: usize = 100;

pub(crate) type Shared = Rc<RefCell<Mailboxes>>;

/// One user's mailboxes, and all that ever happened to them.
pub(crate) struct Mailboxes {
    boxes: BTreeMap<String, Folder>,
    subscribed: Vec<String>,
    log: Vec<(String, Change)>,
    modseq: u64,
    validity: u32,
}

#[derive(Clone, Default)]
struct Folder {
    uid_validity: u32,
    uid_next: u32,
    special_use: Vec<MailboxAttribute>,
    messages: BTreeMap<u32, Message>,
}

#[derive(Clone)]
struct Message {
    flags: Flags,
    date: DateTime,
    body: Bytes,
    modseq: u64,
}

impl Mailboxes {
    pub(crate) fn new() -> Shared {
        let mut mailboxes = Self { boxes: BTreeMap::new(), subscribed: vec![], log: vec![], modseq: 1, validity: 99 };
        mailboxes.create("INBOX", vec![]);
        Rc::new(RefCell::new(mailboxes))
    }

    pub(crate) fn create(&mut self, name: &str, special_use: Vec<MailboxAttribute>) {
        self.validity += 1;
        let folder = Folder { uid_validity: self.validity, uid_next: 1, special_use, ..Folder::default() };
        self.boxes.insert(name.to_owned(), folder);
    }

    pub(crate) fn deliver(&mut self, name: &str, body: impl Into<Bytes>, flags: Flags, date: DateTime) -> u32 {
        self.modseq += 1;
        let modseq = self.modseq;
        let folder = self.boxes.get_mut(name).expect("the test made the mailbox");
        let uid = folder.uid_next;
        folder.uid_next += 1;
        folder.messages.insert(uid, Message { flags, date, body: body.into(), modseq });
        self.log.push((name.to_owned(), Change::Added([uid].into_iter().collect())));
        uid
    }

    pub(crate) fn expunge(&mut self, name: &str, uids: &UidSet) -> UidSet {
        let folder = self.boxes.get_mut(name).expect("the test made the mailbox");
        let gone: UidSet = folder.messages.keys().copied().filter(|uid| uids.contains(*uid)).collect();
        folder.messages.retain(|uid, _| !gone.contains(*uid));
        if !gone.is_empty() {
            self.modseq += 1;
            self.log.push((name.to_owned(), Change::Expunged(gone.clone())));
        }
        gone
    }

    pub(crate) fn flag(&mut self, name: &str, uid: u32, change: &FlagChange) -> Option<Stored> {
        let folder = self.boxes.get_mut(name).expect("the test made the mailbox");
        let message = folder.messages.get_mut(&uid)?;
        let before = message.flags.clone();
        match change.mode {
            StoreMode::Replace => message.flags = change.flags.clone(),
            StoreMode::Add => message.flags.extend(change.flags.iter().cloned()),
            StoreMode::Remove => change.flags.iter().for_each(|flag| {
                message.flags.remove(flag);
            }),
        }
        if message.flags != before {
            self.modseq += 1;
            message.modseq = self.modseq;
            let (flags, modseq) = (message.flags.clone(), Some(message.modseq));
            self.log.push((name.to_owned(), Change::Flags { uid, flags, modseq }));
        }
        Some(Stored { uid, flags: message.flags.clone(), modseq: Some(message.modseq) })
    }

    /// The bodies of a mailbox, in order.
    pub(crate) fn bodies(&self, name: &str) -> Vec<Bytes> {
        self.boxes[name].messages.values().map(|message| message.body.clone()).collect()
    }

    pub(crate) fn state(&self, name: &str) -> Vec<(u32, Flags)> {
        self.boxes[name].messages.iter().map(|(uid, message)| (*uid, message.flags.clone())).collect()
    }
}

/// What answers one session's questions.
pub(crate) struct Application {
    pub(crate) store: Shared,
    selected: Option<String>,
    /// How much of the log the session knows.
    seen: usize,
    append: Option<(Append, Vec<u8>)>,
    job: Option<Job>,
    /// Octets of a message being appended that were ever held back from the store, for tests of flow control.
    pub(crate) keep_bodies: bool,
    pub(crate) appended: u64,
}

/// An answer to FETCH on its way.
struct Job {
    answer: Pending<ask::Fetch>,
    steps: VecDeque<Step>,
}

enum Step {
    Part(FetchPart),
    Octets(Bytes),
}

impl Application {
    pub(crate) fn new(store: Shared) -> Self {
        Self { store, selected: None, seen: 0, append: None, job: None, keep_bodies: true, appended: 0 }
    }

    /// Tells the session what others did, and itself.
    pub(crate) fn sync(&mut self, server: &mut Server) {
        let store = self.store.borrow();
        for (name, change) in &store.log[self.seen..] {
            if Some(name) == self.selected.as_ref() {
                server.notify(change.clone());
            }
        }
        self.seen = store.log.len();
    }

    /// Goes on with what the session had no room for.
    pub(crate) fn progress(&mut self, server: &mut Server) {
        let Some(job) = &mut self.job else { return };
        while let Some(step) = job.steps.front_mut() {
            if server.is_congested() {
                return;
            }
            match step {
                Step::Part(part) => {
                    if server.respond(&job.answer, part.clone()).is_err() {
                        self.job = None;
                        return;
                    }
                }
                Step::Octets(octets) => {
                    let taken = server.write(&job.answer, octets);
                    let _ = octets.split_to(taken);
                    if !octets.is_empty() {
                        return;
                    }
                }
            }
            job.steps.pop_front();
        }
        if let Some(job) = self.job.take() {
            let _ = server.accept(job.answer);
        }
    }

    /// Handles an event. Gives back what only the test can judge.
    pub(crate) fn handle(&mut self, server: &mut Server, event: Event) -> Option<Event> {
        // A real application would hear of changes as they happen; here, whenever something happens.
        self.sync(server);
        match event {
            Event::Auth { answer, attempt: Attempt::Password { user, password, .. } } => {
                let right = user == "alice" && password.matches("wonderland");
                let identity = if right { Ok(Identity::new(user)) } else { Err(Denied::Credentials) };
                server.answer(answer, identity).unwrap();
            }
            Event::Select { answer, mailbox, .. } => {
                let selected = self.select(&mailbox);
                server.answer(answer, selected).unwrap();
            }
            Event::List { answer, request } => {
                for part in self.list(&request) {
                    server.respond(&answer, part).unwrap();
                }
                server.accept(answer).unwrap();
            }
            Event::Status { answer, mailbox, items } => {
                let status = self.status(&mailbox, items).ok_or_else(Refusal::no_such_mailbox);
                server.answer(answer, status).unwrap();
            }
            Event::Manage { answer, op } => {
                let done = self.manage(op);
                server.answer(answer, done).unwrap();
            }
            Event::Append { answer, message } => {
                if self.store.borrow().boxes.contains_key(&*message.mailbox.name()) {
                    self.append = Some((message, vec![]));
                    server.accept(answer).unwrap();
                } else {
                    server.refuse(answer, Refusal::try_create()).unwrap();
                }
            }
            Event::AppendBody(octets) => {
                let (_, body) = self.append.as_mut().expect("Append came before");
                self.appended += octets.len() as u64;
                if self.keep_bodies {
                    body.extend_from_slice(&octets);
                }
            }
            Event::Appended { answer } => {
                let (message, body) = self.append.take().expect("Append came before");
                assert_eq!(self.appended, message.size);
                self.appended = 0;
                let date = message.date.unwrap_or(DateTime::from_unix(0).unwrap());
                let name = message.mailbox.name();
                let uid = self.store.borrow_mut().deliver(&name, body, message.flags, date);
                let uid_validity = self.store.borrow().boxes[&*name].uid_validity;
                self.sync(server);
                server.answer(answer, Ok(Some(AppendedAt { uid_validity, uid }))).unwrap();
            }
            Event::AppendAborted => {
                self.append = None;
                self.appended = 0;
                return Some(Event::AppendAborted);
            }
            Event::Fetch { answer, messages, items, mark_seen, changed_since } => {
                let steps = self.fetch(&messages, &items, mark_seen, changed_since);
                self.job = Some(Job { answer, steps });
                self.progress(server);
            }
            Event::Store { answer, messages, change, unchanged_since } => {
                let (parts, done) = self.change(&messages, &change, unchanged_since);
                self.seen = self.store.borrow().log.len();
                for part in parts {
                    server.respond(&answer, part).unwrap();
                }
                server.answer(answer, Ok(done)).unwrap();
            }
            Event::Search { answer, among, key } => {
                let found = self.search(&among, &key);
                server.answer(answer, Ok(found)).unwrap();
            }
            Event::Copy { answer, messages, to, remove } => {
                let copied = self.copy(&messages, &to.name(), remove);
                self.sync(server);
                server.answer(answer, copied).unwrap();
            }
            Event::Expunge { answer, only } => {
                let uids = self.expunge(only.as_ref());
                server.answer(answer, Ok(Expunged { uids })).unwrap();
            }
            Event::Deselected => {
                self.selected = None;
                return Some(Event::Deselected);
            }
            Event::Closed(why) => {
                self.selected = None;
                self.append = None;
                return Some(Event::Closed(why));
            }
            other => return Some(other),
        }
        None
    }

    fn select(&mut self, mailbox: &Mailbox) -> Result<Selected, Refusal> {
        let store = self.store.borrow();
        let name = mailbox.name().into_owned();
        let folder = store.boxes.get(&name).ok_or_else(Refusal::no_such_mailbox)?;
        let uids = folder.messages.keys().copied().collect();
        let mut selected = Selected::new(folder.uid_validity, folder.uid_next, uids);
        let mut unseen = folder.messages.iter().filter(|(_, message)| !message.flags.contains(&Flag::Seen));
        selected.first_unseen = unseen.next().map(|(uid, _)| *uid);
        selected.highest_modseq = Some(store.modseq);
        selected.mailbox_id = Some(Bytes::from(format!("M{}", folder.uid_validity)));
        self.seen = store.log.len();
        drop(store);
        self.selected = Some(name);
        Ok(selected)
    }

    fn list(&self, request: &ListRequest) -> Vec<Listed> {
        let store = self.store.borrow();
        let mut names: Vec<&String> = store.boxes.keys().collect();
        if request.select.subscribed {
            names = store.subscribed.iter().collect();
        }
        if request.select.recursive_match {
            // Names above subscribed ones, which may not be there themselves.
            let above = |name: &&String| {
                store
                    .subscribed
                    .iter()
                    .any(|subscribed| subscribed.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/')))
            };
            names.extend(store.boxes.keys().filter(above));
        }
        names.sort();
        names.dedup();
        let mut listed = vec![];
        for name in names {
            let mailbox = Mailbox::new(name).unwrap();
            let folder = store.boxes.get(name);
            let uses = folder.map_or(&[][..], |folder| &folder.special_use);
            if !request.matches(&mailbox, Some('/')) || request.select.special_use && uses.is_empty() {
                continue;
            }
            let below = format!("{name}/");
            let has_children = store.boxes.keys().any(|other| other.starts_with(&below));
            let mut attributes = uses.to_vec();
            attributes.push(if has_children { MailboxAttribute::HasChildren } else { MailboxAttribute::HasNoChildren });
            if folder.is_none() {
                attributes.push(MailboxAttribute::NonExistent);
            }
            if store.subscribed.contains(name) {
                attributes.push(MailboxAttribute::Subscribed);
            }
            listed.push(Listed::Entry(ListEntry {
                attributes,
                delimiter: Some('/'),
                mailbox: Some(mailbox.clone()),
                child_info: vec![],
                old_name: None,
            }));
            if !request.returns.status.is_empty() && folder.is_some() {
                listed.extend(self.status(&mailbox, request.returns.status).map(Listed::Status));
            }
        }
        listed
    }

    /// Says more than was asked for: the session leaves out the rest.
    fn status(&self, mailbox: &Mailbox, _: StatusItems) -> Option<MailboxStatus> {
        let store = self.store.borrow();
        let folder = store.boxes.get(&*mailbox.name())?;
        let without = |flag| folder.messages.values().filter(|message| !message.flags.contains(flag)).count() as u32;
        let mut status = MailboxStatus::new(mailbox.clone());
        status.messages = Some(folder.messages.len() as u32);
        status.uid_next = Some(folder.uid_next);
        status.uid_validity = Some(folder.uid_validity);
        status.unseen = Some(without(&Flag::Seen));
        status.deleted = Some(folder.messages.len() as u32 - without(&Flag::Deleted));
        status.size = Some(folder.messages.values().map(|message| message.body.len() as u64).sum());
        status.highest_modseq = Some(store.modseq);
        Some(status)
    }

    fn manage(&mut self, op: MailboxOp) -> Result<(), Refusal> {
        let mut store = self.store.borrow_mut();
        match op {
            MailboxOp::Create { mailbox, special_use } => {
                if store.boxes.contains_key(&*mailbox.name()) {
                    return Err(Refusal::already_exists());
                }
                store.create(&mailbox.name(), special_use);
            }
            MailboxOp::Delete(mailbox) => {
                store.boxes.remove(&*mailbox.name()).ok_or_else(Refusal::no_such_mailbox)?;
            }
            MailboxOp::Rename { from, to } => {
                if store.boxes.contains_key(&*to.name()) {
                    return Err(Refusal::already_exists());
                }
                let folder = store.boxes.remove(&*from.name()).ok_or_else(Refusal::no_such_mailbox)?;
                store.boxes.insert(to.name().into_owned(), folder);
            }
            MailboxOp::Subscribe(mailbox) => {
                let name = mailbox.name().into_owned();
                if !store.subscribed.contains(&name) {
                    store.subscribed.push(name);
                }
            }
            MailboxOp::Unsubscribe(mailbox) => store.subscribed.retain(|name| *name != *mailbox.name()),
            other => panic!("{other:?} is not known"),
        }
        Ok(())
    }

    fn selected(&self) -> String {
        self.selected.clone().expect("a mailbox is selected")
    }

    fn fetch(&mut self, uids: &UidSet, items: &[Attribute], mark_seen: bool, since: Option<u64>) -> VecDeque<Step> {
        let name = self.selected();
        let mut steps = VecDeque::new();
        let there: Vec<u32> =
            self.store.borrow().boxes[&name].messages.keys().copied().filter(|uid| uids.contains(*uid)).collect();
        for uid in there {
            let unseen = !self.store.borrow().boxes[&name].messages[&uid].flags.contains(&Flag::Seen);
            if mark_seen && unseen {
                let seen = FlagChange { mode: StoreMode::Add, flags: [Flag::Seen].into_iter().collect() };
                self.store.borrow_mut().flag(&name, uid, &seen);
                self.seen = self.store.borrow().log.len();
            }
            let message = self.store.borrow().boxes[&name].messages[&uid].clone();
            if since.is_some_and(|since| message.modseq <= since) {
                continue;
            }
            steps.push_back(Step::Part(FetchPart::Message(uid)));
            for item in items {
                message.item(item, &mut steps);
            }
            if mark_seen && unseen && !items.contains(&Attribute::Flags) {
                steps.push_back(Step::Part(FetchPart::Item(FetchItem::Flags(message.flags.clone()))));
            }
            steps.push_back(Step::Part(FetchPart::End));
        }
        steps
    }

    fn change(&mut self, uids: &UidSet, change: &FlagChange, since: Option<u64>) -> (Vec<Stored>, StoreDone) {
        let name = self.selected();
        let mut store = self.store.borrow_mut();
        let (mut parts, mut done) = (vec![], StoreDone::default());
        let there: Vec<(u32, u64)> =
            store.boxes[&name].messages.iter().map(|(uid, message)| (*uid, message.modseq)).collect();
        for (uid, modseq) in there.into_iter().filter(|(uid, _)| uids.contains(*uid)) {
            if since.is_some_and(|since| modseq > since) {
                done.modified.push(uid);
            } else {
                parts.extend(store.flag(&name, uid, change));
            }
        }
        (parts, done)
    }

    fn search(&self, among: &UidSet, key: &SearchKey) -> Found {
        let store = self.store.borrow();
        let found: Vec<(u32, u64)> = store.boxes[&self.selected()]
            .messages
            .iter()
            .filter(|(uid, message)| among.contains(**uid) && message.meets(**uid, key))
            .map(|(uid, message)| (*uid, message.modseq))
            .collect();
        Found {
            modseq: found.iter().map(|found| found.1).max(),
            uids: found.into_iter().map(|found| found.0).collect(),
        }
    }

    fn copy(&mut self, uids: &UidSet, to: &str, remove: bool) -> Result<Copied, Refusal> {
        let from = self.selected();
        let mut store = self.store.borrow_mut();
        let uid_validity = store.boxes.get(to).ok_or_else(Refusal::try_create)?.uid_validity;
        let mut copied = Copied { uid_validity, ..Copied::default() };
        let there: Vec<(u32, Message)> = store.boxes[&from].messages.clone().into_iter().collect();
        for (uid, message) in there.into_iter().filter(|(uid, _)| uids.contains(*uid)) {
            copied.from.push(uid);
            copied.to.push(store.deliver(to, message.body, message.flags, message.date));
        }
        if remove {
            store.expunge(&from, &copied.from);
        }
        Ok(copied)
    }

    fn expunge(&mut self, only: Option<&UidSet>) -> UidSet {
        let name = self.selected();
        let mut store = self.store.borrow_mut();
        let deleted: UidSet = store.boxes[&name]
            .messages
            .iter()
            .filter(|(uid, message)| {
                message.flags.contains(&Flag::Deleted) && only.is_none_or(|only| only.contains(**uid))
            })
            .map(|(uid, _)| *uid)
            .collect();
        store.expunge(&name, &deleted)
    }
}

impl Message {
    fn split(&self) -> (Bytes, Bytes) {
        let end = self.body.windows(4).position(|four| four == b"\r\n\r\n").map_or(self.body.len(), |at| at + 4);
        (self.body.slice(..end), self.body.slice(end..))
    }

    fn field(&self, name: &str) -> Option<String> {
        let (header, _) = self.split();
        let header = String::from_utf8_lossy(&header).into_owned();
        header.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    fn section(&self, section: &Section) -> Option<Bytes> {
        let (header, text) = self.split();
        let lines = |keep: &dyn Fn(&str) -> bool| {
            let header = String::from_utf8_lossy(&header).into_owned();
            let mut kept: String = header
                .split_inclusive("\r\n")
                .filter(|line| line.split_once(':').is_some_and(|(name, _)| keep(name)))
                .collect();
            kept.push_str("\r\n");
            Bytes::from(kept)
        };
        match (&section.part[..], &section.text) {
            ([], None) => Some(self.body.clone()),
            ([], Some(SectionText::Header)) => Some(header),
            ([], Some(SectionText::Text)) | ([1], None) => Some(text),
            ([], Some(SectionText::HeaderFields(fields))) => {
                Some(lines(&|name| fields.iter().any(|field| field.eq_ignore_ascii_case(name.as_bytes()))))
            }
            ([], Some(SectionText::HeaderFieldsNot(fields))) => {
                Some(lines(&|name| !fields.iter().any(|field| field.eq_ignore_ascii_case(name.as_bytes()))))
            }
            _ => None,
        }
    }

    fn item(&self, item: &Attribute, steps: &mut VecDeque<Step>) {
        let mut say = |item| steps.push_back(Step::Part(FetchPart::Item(item)));
        match item {
            Attribute::Flags => say(FetchItem::Flags(self.flags.clone())),
            Attribute::InternalDate => say(FetchItem::InternalDate(self.date)),
            Attribute::Size => say(FetchItem::Size(self.body.len() as u64)),
            Attribute::ModSeq => say(FetchItem::ModSeq(self.modseq)),
            Attribute::Envelope => {
                let mut envelope = EnvelopeBuilder::new();
                if let Some(subject) = self.field("Subject") {
                    envelope.subject(subject.as_bytes());
                }
                if let Some((mailbox, host)) = self.field("From").as_deref().and_then(|from| from.split_once('@')) {
                    let part = |text: &str| Some(text.as_bytes().to_vec().into());
                    envelope.from(&Address { name: None, route: None, mailbox: part(mailbox), host: part(host) });
                }
                say(FetchItem::Envelope(envelope.build(true)));
            }
            Attribute::BodyStructure | Attribute::BodyBasic => {
                let (_, text) = self.split();
                let fields = PartFields {
                    media_type: b"text",
                    media_subtype: b"plain",
                    params: &[(b"charset", b"us-ascii")],
                    id: None,
                    description: None,
                    encoding: Some(b"7bit"),
                    octets: text.len() as u64,
                    lines: Some(text.iter().filter(|b| **b == b'\n').count() as u64),
                    md5: None,
                    disposition: None,
                    languages: &[],
                    location: None,
                };
                let mut body = BodyBuilder::new();
                body.part(&fields);
                say(FetchItem::BodyStructure(body.build(*item == Attribute::BodyStructure)));
            }
            Attribute::Body(BodyPeek { section, partial, .. }) => {
                let origin = partial.map(|partial| partial.origin);
                let data = self.section(section).map(|data| match partial {
                    Some(partial) => {
                        let start = (partial.origin as usize).min(data.len());
                        let end = start.saturating_add(partial.length as usize).min(data.len());
                        data.slice(start..end)
                    }
                    None => data,
                });
                match data {
                    Some(data) if data.len() > INLINE => {
                        let of = LiteralOf::Body { section: section.clone(), origin };
                        steps.push_back(Step::Part(FetchPart::Literal { of, size: data.len() as u64 }));
                        steps.push_back(Step::Octets(data));
                    }
                    data => say(FetchItem::Body { section: section.clone(), origin, data }),
                }
            }
            Attribute::Rfc822(part) => {
                let (header, text) = self.split();
                let data = match part {
                    Rfc822Part::Whole => self.body.clone(),
                    Rfc822Part::Header => header,
                    Rfc822Part::Text => text,
                };
                let of = LiteralOf::Rfc822(*part);
                steps.push_back(Step::Part(FetchPart::Literal { of, size: data.len() as u64 }));
                steps.push_back(Step::Octets(data));
            }
            other => panic!("{other:?} was not on offer"),
        }
    }

    fn meets(&self, uid: u32, key: &SearchKey) -> bool {
        let holds = |text: &[u8], part: &Bytes| {
            let (text, part) = (text.to_ascii_lowercase(), part.to_ascii_lowercase());
            part.is_empty() || text.windows(part.len()).any(|window| window == part)
        };
        let (header, text) = self.split();
        match key {
            SearchKey::All => true,
            SearchKey::Has(flag) => self.flags.contains(flag),
            SearchKey::HasNot(flag) => !self.flags.contains(flag),
            SearchKey::Uid(uids) => uids.contains(uid, 0),
            SearchKey::Subject(part) => self.field("Subject").is_some_and(|subject| holds(subject.as_bytes(), part)),
            SearchKey::From(part) => self.field("From").is_some_and(|from| holds(from.as_bytes(), part)),
            SearchKey::Body(part) => holds(&text, part),
            SearchKey::Text(part) => holds(&header, part) || holds(&text, part),
            SearchKey::Larger(size) => self.body.len() as u64 > *size,
            SearchKey::Smaller(size) => (self.body.len() as u64) < *size,
            SearchKey::Since(day) => self.date.date() >= *day,
            SearchKey::Before(day) => self.date.date() < *day,
            SearchKey::ModSeq(modseq) => self.modseq >= *modseq,
            SearchKey::Not(key) => !self.meets(uid, key),
            SearchKey::Or(keys) => self.meets(uid, &keys.0) || self.meets(uid, &keys.1),
            SearchKey::And(keys) => keys.iter().all(|key| self.meets(uid, key)),
            other => panic!("{other:?} is not used in these tests"),
        }
    }
}

/// `NO [INUSE]`, for tests of refusals.
pub(crate) fn in_use() -> Refusal {
    Refusal::with(Code::InUse, "In use")
}
