//! What each command does.

use super::stage::{Done, Question, Stage};
use super::{Event, Server, ask, bad, dialect};
use crate::dialogue::Verb;
use crate::view::NoSuchNumber;
use crate::wire::{
    Attribute, Authenticate, Capabilities, Capability, Code, Command, Condition, Data, Fetch, Mailbox, Password,
    Rfc822Part, SequenceSet, Store, Tag, TaggedCommand, UidSet, parse_command,
};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use postrider_core::{Closed, ProtocolError, Text};
use postrider_sasl::{Attempt, Channel, MechanismName, ServerExchange};

impl Command {
    /// Its word. `None` for what no dialogue knows.
    pub(super) fn verb(&self) -> Option<Verb> {
        let uid_or = |uid: bool, with: Verb, without: Verb| if uid { with } else { without };
        Some(match self {
            Self::Capability => Verb::Capability,
            Self::Noop => Verb::Noop,
            Self::Logout => Verb::Logout,
            Self::StartTls => Verb::StartTls,
            Self::Authenticate(_) => Verb::Authenticate,
            Self::Login { .. } => Verb::Login,
            Self::Enable(_) => Verb::Enable,
            Self::Id(_) => Verb::Id,
            Self::Select { read_only, .. } => uid_or(*read_only, Verb::Examine, Verb::Select),
            Self::Create { .. } => Verb::Create,
            Self::Delete(_) => Verb::Delete,
            Self::Rename { .. } => Verb::Rename,
            Self::Subscribe(_) => Verb::Subscribe,
            Self::Unsubscribe(_) => Verb::Unsubscribe,
            Self::List(_) => Verb::List,
            Self::Lsub { .. } => Verb::Lsub,
            Self::Namespace => Verb::Namespace,
            Self::Status { .. } => Verb::Status,
            Self::Append(_) => Verb::Append,
            Self::Idle => Verb::Idle,
            Self::Check => Verb::Check,
            Self::Close => Verb::Close,
            Self::Unselect => Verb::Unselect,
            Self::Expunge(set) => uid_or(set.is_some(), Verb::UidExpunge, Verb::Expunge),
            Self::Search(search) => uid_or(search.uid, Verb::UidSearch, Verb::Search),
            Self::Fetch(fetch) => uid_or(fetch.uid, Verb::UidFetch, Verb::Fetch),
            Self::Store(store) => uid_or(store.uid, Verb::UidStore, Verb::Store),
            Self::Copy { uid, .. } => uid_or(*uid, Verb::UidCopy, Verb::Copy),
            Self::Move { uid, .. } => uid_or(*uid, Verb::UidMove, Verb::Move),
            Self::Other { .. } => return None,
        })
    }
}

impl Server {
    /// A whole command has come.
    pub(super) fn obey(&mut self, unit: &Bytes) {
        self.inactive.disarm();
        self.trace(unit);
        if self.identity.is_none() {
            self.commands += 1;
            let limit = self.config.limits.commands_before_login;
            if self.commands > limit {
                let error = ProtocolError::TooMuch { what: "commands before login", limit: limit.into() };
                return self.bye(None, "Too many commands before login", Closed::Protocol(error));
            }
        }
        let TaggedCommand { tag, command } = match parse_command(unit, dialect(self.enabled)) {
            Ok(command) => command,
            Err(error) => {
                let status = bad(&alloc::format!("{}", error.error));
                self.stage = Stage::Completing(Done { tag: error.tag, verb: None, status });
                return;
            }
        };
        let Some(verb) = command.verb() else {
            let status = bad("unknown command");
            self.stage = Stage::Completing(Done { tag: Some(tag), verb: None, status });
            return;
        };
        if verb == Verb::StartTls && self.dialogue.is_tls() {
            return self.complete_bad(tag, verb, "TLS is in place already");
        }
        if let Err(wrong) = self.dialogue.may(verb) {
            return self.complete_bad(tag, verb, &alloc::format!("{wrong}"));
        }
        self.carry_out(tag, verb, command);
    }

    /// The dialogue allows it.
    fn carry_out(&mut self, tag: Tag, verb: Verb, command: Command) {
        match command {
            Command::Capability => {
                let listed = self.config.listed(self.security(), self.identity.is_some());
                self.data(&Data::Capability(listed));
                self.complete_ok(tag, verb);
            }
            Command::Noop | Command::Check => self.complete_ok(tag, verb),
            Command::Logout => self.log_out(tag),
            Command::StartTls => self.start_tls(tag),
            Command::Authenticate(authenticate) => self.authenticate(tag, authenticate),
            Command::Login { user, password } => self.log_in(tag, &user, &password),
            Command::Enable(wanted) => self.enable(tag, &wanted),
            Command::Id(_) => {
                self.data(&Data::Id(self.config.id.clone()));
                self.complete_ok(tag, verb);
            }
            Command::Namespace => {
                self.data(&Data::Namespace(self.config.namespaces.clone()));
                self.complete_ok(tag, verb);
            }
            Command::Select { mailbox, read_only, params } => {
                let condstore = params.condstore && self.offers(&Capability::CondStore);
                if params.qresync.is_some() || params.condstore && !condstore {
                    return self.complete_bad(tag, verb, "unknown parameter of SELECT");
                }
                self.deselect(true);
                if mailbox.is_odd() {
                    return self.complete_no(tag, verb, Some(Code::NonExistent), "No such mailbox");
                }
                self.enabled.condstore |= condstore;
                let question = Question::Select { mailbox: mailbox.clone(), read_only };
                let answer = self.ask::<ask::Select>(tag, verb, question);
                self.events.push_back(Event::Select { answer, mailbox, read_only, params });
            }
            Command::Create { mailbox, special_use } => self.create(tag, mailbox, special_use),
            Command::Delete(mailbox) => self.delete(tag, &mailbox),
            Command::Rename { from, to } => self.rename(tag, &from, &to),
            Command::Subscribe(mailbox) => self.subscribe(tag, verb, &mailbox),
            Command::Unsubscribe(mailbox) => self.subscribe(tag, verb, &mailbox),
            Command::List(list) => self.list(tag, list),
            Command::Lsub { reference, pattern } => self.lsub(tag, &reference, &pattern),
            Command::Status { mailbox, items } => self.status(tag, mailbox, items),
            Command::Append(_) => self.complete_bad(tag, verb, "expected a message"),
            Command::Idle => {
                self.proceed(Bytes::from_static(b"idling"));
                self.stage = Stage::Idle { tag };
                self.inactive.arm(self.config.limits.inactive);
                if let Some(every) = self.config.limits.idle_notice {
                    self.notice.arm(every);
                }
                self.events.push_back(Event::Listening(true));
            }
            Command::Close => {
                if self.is_read_only() {
                    self.deselect(false);
                    return self.complete_ok(tag, verb);
                }
                let answer = self.ask::<ask::Expunge>(tag, verb, Question::Expunge);
                self.events.push_back(Event::Expunge { answer, only: None });
            }
            Command::Unselect => {
                self.deselect(false);
                self.complete_ok(tag, verb);
            }
            Command::Expunge(set) => self.expunge(tag, verb, set.as_ref()),
            Command::Search(search) => self.search(tag, verb, search),
            Command::Fetch(fetch) => self.fetch(tag, verb, fetch),
            Command::Store(store) => self.store(tag, verb, store),
            Command::Copy { uid, messages, to } => self.copy(tag, verb, uid, &messages, to),
            Command::Move { uid, messages, to } => self.copy(tag, verb, uid, &messages, to),
            Command::Other { .. } => unreachable!("it has no verb"),
        }
    }

    // ── any state, and before login ──

    fn log_out(&mut self, tag: Tag) {
        self.untagged(Condition::Bye, None, Text::literal("Goodbye"));
        let status =
            crate::wire::Status { condition: Condition::Ok, code: None, text: Text::literal("LOGOUT completed") };
        self.write_completion(Done { tag: Some(tag), verb: Some(Verb::Logout), status });
        self.close(Closed::ByPeer);
    }

    fn start_tls(&mut self, tag: Tag) {
        if !self.config.start_tls {
            return self.complete_bad(tag, Verb::StartTls, "STARTTLS is not on offer");
        }
        // Whatever came in the same breath was not sent over TLS, and must not be taken for it (RFC 9051, 11.1).
        if !self.link.input().is_empty() {
            let error = ProtocolError::PlaintextBeforeTls;
            return self.bye(None, "Nothing may follow STARTTLS", Closed::Protocol(error));
        }
        let text = Text::literal("Begin TLS now");
        let status = crate::wire::Status { condition: Condition::Ok, code: None, text };
        self.write_completion(Done { tag: Some(tag), verb: Some(Verb::StartTls), status });
        self.dialogue.completed(Verb::StartTls, crate::dialogue::Ending::Ok);
        self.inactive.disarm();
        self.stage = Stage::Tls { greet: false };
        self.link.begin_tls().expect("there is no input, as seen above");
    }

    fn authenticate(&mut self, tag: Tag, authenticate: Authenticate) {
        let verb = Verb::Authenticate;
        let tls = self.security().is_tls();
        let Some(mechanism) = MechanismName::parse(authenticate.mechanism.as_str().as_bytes()) else {
            return self.complete_no(tag, verb, Some(Code::Cannot), "Unknown mechanism");
        };
        let offered: Vec<_> = self.config.mechanisms(self.security()).cloned().collect();
        if !offered.contains(&mechanism) {
            return if !tls && mechanism.exposes_secret() && self.config.mechanisms.contains(&mechanism) {
                self.complete_no(tag, verb, Some(Code::PrivacyRequired), "TLS is needed first")
            } else {
                self.complete_no(tag, verb, Some(Code::Cannot), "Unknown mechanism")
            };
        }
        let initial = authenticate.initial.as_ref().map(|initial| &initial.reveal()[..]);
        let channel = Channel::new(self.security(), &offered);
        self.sasl_step(tag, ServerExchange::start(&mechanism, initial, &channel));
    }

    fn log_in(&mut self, tag: Tag, user: &Bytes, password: &Password) {
        let verb = Verb::Login;
        if !self.config.may_authenticate(self.security().is_tls()) {
            return self.complete_no(tag, verb, Some(Code::PrivacyRequired), "TLS is needed first");
        }
        if !self.config.login {
            return self.complete_no(tag, verb, Some(Code::Cannot), "LOGIN is not on offer");
        }
        let text = |octets: &Bytes| {
            let text = core::str::from_utf8(octets).ok()?;
            (!text.is_empty() && !text.contains('\0')).then(|| String::from(text))
        };
        let (Some(user), Some(password)) = (text(user), text(password.reveal())) else {
            return self.login_failed(tag, verb, Some(Code::AuthenticationFailed), "Malformed credentials");
        };
        let answer = self.ask::<ask::Auth>(tag, verb, Question::Auth(None));
        self.events.push_back(Event::Auth { answer, attempt: Attempt::password(user, password) });
    }

    pub(super) fn login_failed(&mut self, tag: Tag, verb: Verb, code: Option<Code>, text: &'static str) {
        self.failed_logins += 1;
        self.complete_no(tag, verb, code, text);
    }

    fn enable(&mut self, tag: Tag, wanted: &Capabilities) {
        let mut enabled = Capabilities::EMPTY;
        if wanted.contains(&Capability::Imap4Rev2) && self.offers(&Capability::Imap4Rev2) {
            self.enabled.rev2 = true;
            enabled.insert(Capability::Imap4Rev2);
        }
        if wanted.contains(&Capability::CondStore) && self.offers(&Capability::CondStore) {
            self.enabled.condstore = true;
            enabled.insert(Capability::CondStore);
        }
        self.data(&Data::Enabled(enabled));
        self.out.set_dialect(dialect(self.enabled));
        self.complete_ok(tag, Verb::Enable);
    }

    // ── selected ──

    /// No mailbox is selected from here on. `announce`: another is about to be (RFC 9051, 6.3.2: CLOSED).
    pub(super) fn deselect(&mut self, announce: bool) {
        if self.selected.take().is_none() {
            return;
        }
        self.events.push_back(Event::Deselected);
        if announce {
            self.untagged(Condition::Ok, Some(Code::Closed), Text::literal("Previous mailbox closed"));
        }
    }

    fn is_read_only(&self) -> bool {
        self.selected.as_ref().is_some_and(|selection| selection.read_only)
    }

    /// Which messages a set means, of those the client knows.
    fn resolve(&self, uid: bool, set: &SequenceSet) -> Result<UidSet, NoSuchNumber> {
        let selection = self.selected.as_ref().expect("the dialogue allows this only with a mailbox");
        if set.is_saved() {
            Ok(selection.view.intersect(&selection.saved))
        } else if uid {
            Ok(selection.view.resolve_uids(set))
        } else {
            selection.view.resolve_numbers(set)
        }
    }

    /// Whether some of these have gone without the client being told.
    pub(super) fn some_expunged(&self, messages: &UidSet) -> bool {
        let Some(selection) = &self.selected else { return false };
        let gone = selection.untold.expunged.ranges();
        messages.ranges().iter().any(|&(low, high)| {
            let next = gone.partition_point(|&(_, end)| end < low);
            gone.get(next).is_some_and(|&(start, _)| start <= high)
        })
    }

    fn expunge(&mut self, tag: Tag, verb: Verb, set: Option<&SequenceSet>) {
        if self.is_read_only() {
            return self.complete_no(tag, verb, Some(Code::NoPerm), "The mailbox is read-only");
        }
        let only = match set.map(|set| self.resolve(true, set)).transpose() {
            Ok(only) => only,
            Err(wrong) => return self.complete_bad(tag, verb, &alloc::format!("{wrong}")),
        };
        if only.as_ref().is_some_and(UidSet::is_empty) {
            return self.complete_ok(tag, verb);
        }
        let answer = self.ask::<ask::Expunge>(tag, verb, Question::Expunge);
        self.events.push_back(Event::Expunge { answer, only });
    }

    fn fetch(&mut self, tag: Tag, verb: Verb, fetch: Fetch) {
        let Fetch { uid, messages, mut attributes, changed_since, vanished } = fetch;
        if vanished || changed_since.is_some() && !self.offers(&Capability::CondStore) {
            return self.complete_bad(tag, verb, "unknown modifier of FETCH");
        }
        if let Some(unknown) = attributes.iter().find(|attribute| !self.fetches(attribute)) {
            return self.complete_bad(tag, verb, &alloc::format!("{unknown:?} is not on offer"));
        }
        // RFC 7162, 3.1.4.1: CHANGEDSINCE asks for MODSEQ too. Both switch CONDSTORE on.
        if changed_since.is_some() && !attributes.contains(&Attribute::ModSeq) {
            attributes.push(Attribute::ModSeq);
        }
        self.enabled.condstore |= attributes.contains(&Attribute::ModSeq);
        let messages = match self.resolve(uid, &messages) {
            Ok(messages) => messages,
            Err(wrong) => return self.complete_bad(tag, verb, &alloc::format!("{wrong}")),
        };
        if messages.is_empty() {
            return self.complete_ok(tag, verb);
        }
        let with_uid = uid || attributes.contains(&Attribute::Uid);
        attributes.retain(|attribute| *attribute != Attribute::Uid);
        let mark_seen = !self.is_read_only() && attributes.iter().any(reads);
        let expunged = self.some_expunged(&messages);
        self.ask_fetch(tag, verb, with_uid, expunged, |answer| Event::Fetch {
            answer,
            messages,
            items: attributes,
            mark_seen,
            changed_since,
        });
    }

    /// Whether an item of FETCH is among what is on offer.
    fn fetches(&self, attribute: &Attribute) -> bool {
        match attribute {
            Attribute::Uid | Attribute::Flags | Attribute::InternalDate | Attribute::Size | Attribute::Envelope => true,
            Attribute::BodyStructure | Attribute::BodyBasic | Attribute::Body(_) | Attribute::Rfc822(_) => true,
            Attribute::Binary(_) | Attribute::BinarySize(_) => {
                self.offers(&Capability::Imap4Rev2) || self.offers(&Capability::Binary)
            }
            Attribute::ModSeq => self.offers(&Capability::CondStore),
            Attribute::EmailId | Attribute::ThreadId => self.offers(&Capability::ObjectId),
            Attribute::SaveDate => self.offers(&Capability::SaveDate),
            Attribute::Preview { .. } => self.offers(&Capability::Preview),
        }
    }

    fn store(&mut self, tag: Tag, verb: Verb, store: Store) {
        let Store { uid, messages, change, silent, unchanged_since } = store;
        if unchanged_since.is_some() && !self.offers(&Capability::CondStore) {
            return self.complete_bad(tag, verb, "unknown modifier of STORE");
        }
        if self.is_read_only() {
            return self.complete_no(tag, verb, Some(Code::NoPerm), "The mailbox is read-only");
        }
        self.enabled.condstore |= unchanged_since.is_some();
        let messages = match self.resolve(uid, &messages) {
            Ok(messages) => messages,
            Err(wrong) => return self.complete_bad(tag, verb, &alloc::format!("{wrong}")),
        };
        if messages.is_empty() {
            return self.complete_ok(tag, verb);
        }
        let expunged = self.some_expunged(&messages);
        let answer = self.ask::<ask::Store>(tag, verb, Question::Store { uid, silent, expunged });
        self.events.push_back(Event::Store { answer, messages, change, unchanged_since });
    }

    /// COPY and MOVE.
    fn copy(&mut self, tag: Tag, verb: Verb, uid: bool, messages: &SequenceSet, to: Mailbox) {
        let remove = matches!(verb, Verb::Move | Verb::UidMove);
        if remove && self.is_read_only() {
            return self.complete_no(tag, verb, Some(Code::NoPerm), "The mailbox is read-only");
        }
        if to.is_odd() {
            return self.complete_no(tag, verb, Some(Code::Cannot), "That is no name of a mailbox");
        }
        let messages = match self.resolve(uid, messages) {
            Ok(messages) => messages,
            Err(wrong) => return self.complete_bad(tag, verb, &alloc::format!("{wrong}")),
        };
        if messages.is_empty() {
            return self.complete_ok(tag, verb);
        }
        let answer = self.ask::<ask::Copy>(tag, verb, Question::Copy);
        self.events.push_back(Event::Copy { answer, messages, to, remove });
    }
}

/// Whether an item of FETCH sets `\Seen` (RFC 9051, 6.4.5; RFC 3501, 6.4.5).
fn reads(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Body(body) | Attribute::Binary(body) => !body.peek,
        Attribute::Rfc822(Rfc822Part::Whole | Rfc822Part::Text) => true,
        Attribute::Rfc822(Rfc822Part::Header) => false,
        Attribute::Uid | Attribute::Flags | Attribute::InternalDate | Attribute::Size | Attribute::Envelope => false,
        Attribute::BodyStructure | Attribute::BodyBasic | Attribute::BinarySize(_) | Attribute::ModSeq => false,
        Attribute::EmailId | Attribute::ThreadId | Attribute::SaveDate | Attribute::Preview { .. } => false,
    }
}
