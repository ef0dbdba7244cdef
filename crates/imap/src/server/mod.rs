//! The server's session.
//!
//! A [`Server`] reads commands and answers by itself what needs no judgement: CAPABILITY, NOOP, CHECK, ENABLE, ID,
//! NAMESPACE, IDLE, UNSELECT, LOGOUT, STARTTLS and everything that is wrong. For the rest it asks, with an [`Event`]
//! that carries a [`Pending`] question; [`ask`] lists the questions and their answers. Sequence numbers stay inside:
//! the application hears of UIDs only. Commands are taken one at a time: the next is not looked at before the last is
//! answered (RFC 9051, 5.5 permits it), so an application has one question of a session to think of.
//!
//! Changes that come from elsewhere are reported with [`Server::notify`], whenever they happen. The session tells
//! the client when the protocol allows it: during IDLE at once, else at the end of the next command, and never EXPUNGE
//! at the end of FETCH, STORE or SEARCH (RFC 9051, 7.5.1).
//!
//! No message is ever `\Recent`: RFC 9051 has dropped the flag, and IMAP4rev1 (RFC 3501, 2.3.2) leaves it to what can
//! be known. Clients of IMAP4rev1 are told `0 RECENT`.
//!
//! ```
//! use postrider_core::{Instant, Machine, Session, Step};
//! use postrider_imap::server::{Config, Event, Selected, Server};
//! use postrider_sasl::Identity;
//!
//! let mut config = Config::default();
//! config.dangerous_allow_plaintext_auth(); // for this example, which has no TLS
//! let mut server = Server::new(config.into(), 1);
//! let commands = b"a LOGIN alice wonderland\r\nb SELECT INBOX\r\n";
//! assert_eq!(server.receive(commands), commands.len());
//! while let Step::Event(event) = server.poll(Instant::ORIGIN) {
//!     match event {
//!         Event::Auth { answer, .. } => server.answer(answer, Ok(Identity::new("alice"))).unwrap(),
//!         Event::Select { answer, .. } => {
//!             let (uid_validity, uid_next, uids) = (1, 18, vec![3, 4, 17]);
//!             server.answer(answer, Ok(Selected::new(uid_validity, uid_next, uids))).unwrap();
//!         }
//!         other => server.decline(other),
//!     }
//! }
//! let said = String::from_utf8_lossy(server.output());
//! assert!(said.contains("* 3 EXISTS\r\n") && said.ends_with("b OK [READ-WRITE] SELECT completed\r\n"));
//! ```

mod answer;
pub mod ask;
mod changes;
mod command;
mod config;
mod event;
mod fetch;
mod input;
mod mailboxes;
mod reply;
mod search;
mod stage;

pub use answer::{
    AppendedAt, Copied, Encoded, Expunged, FetchPart, Found, Listed, LiteralOf, Refusal, Selected, StoreDone, Stored,
};
pub use config::{Config, Limits};
pub use event::{Change, Event, ListRequest, MailboxOp};

use crate::dialogue::{Dialogue, Ending, State, Verb};
use crate::wire::{
    Capability, Code, Condition, Continue, Data, Dialect, Encoder, FrameLimits, Framer, Response, Status, Tag,
};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use ask::{Ask, Streams};
use bytes::Bytes;
use changes::{Selection, Told};
use postrider_core::{
    Closed, Instant, Link, Machine, Misuse, Pending, ProtocolError, Security, SessionId, Stale, Step, Tap, Text, Timer,
    session_over_link,
};
use postrider_sasl::{Denied, Identity};
use stage::{Done, Question, Stage};

/// One client's session. See the [module](self).
pub struct Server {
    config: Arc<Config>,
    link: Link,
    framer: Framer,
    out: Encoder,
    dialogue: Dialogue,
    stage: Stage,
    events: VecDeque<Event>,
    enabled: Enabled,
    selected: Option<Selection>,
    identity: Option<Identity>,
    /// Set by [`Server::shut_down`].
    goodbye: Option<Text>,

    commands: u32,
    errors: u32,
    failed_logins: u32,

    login_time: Timer,
    inactive: Timer,
    decision: Timer,
    stalled: Timer,
    notice: Timer,
    /// Output that waited when it was last looked at: if it shrinks, the client is alive.
    waiting: usize,
}

/// What ENABLE and its like have switched on.
#[derive(Clone, Copy, Default)]
struct Enabled {
    rev2: bool,
    condstore: bool,
}

/// [`Server::respond`] was not possible.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RespondError {
    /// The question is no longer open.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The part has no place here. Nothing was sent of it.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

impl RespondError {
    fn misuse(why: &'static str) -> Self {
        Self::Misuse(Misuse::new(why))
    }
}

impl Server {
    /// A session that is about to greet. `id` is the caller's number for it, also in its questions.
    pub fn new(config: Arc<Config>, id: SessionId) -> Self {
        let limits = &config.limits;
        let mut link = Link::new(id, limits.link);
        let mut login_time = Timer::OFF;
        login_time.arm(limits.login_time);
        let stage = if config.implicit_tls {
            link.start_with_tls();
            Stage::Tls { greet: true }
        } else {
            Stage::Greeting
        };
        let rev2 = !config.capabilities.contains(&Capability::Imap4Rev1);
        let enabled = Enabled { rev2, condstore: false };
        Self {
            framer: Framer::commands(FrameLimits::new(limits.command_before_login, limits.literals)),
            out: Encoder::responses(dialect(enabled)),
            dialogue: Dialogue::new(config.implicit_tls),
            enabled,
            config,
            link,
            stage,
            events: VecDeque::new(),
            selected: None,
            identity: None,
            goodbye: None,
            commands: 0,
            errors: 0,
            failed_logins: 0,
            login_time,
            inactive: Timer::OFF,
            decision: Timer::OFF,
            stalled: Timer::OFF,
            notice: Timer::OFF,
            waiting: 0,
        }
    }

    // ── answers ──

    /// Answers a question.
    ///
    /// # Errors
    /// [`Stale`] if it timed out, the session has ended, or another session asked it.
    pub fn answer<Q: Ask>(&mut self, question: Pending<Q>, answer: Result<Q::Yes, Q::No>) -> Result<(), Stale> {
        let number = self.link.redeem(&question)?;
        Q::settle(self, number, answer)
    }

    /// Answers yes where there is nothing to add.
    ///
    /// # Errors
    /// As [`Server::answer`].
    pub fn accept<Q: Ask<Yes: Default>>(&mut self, question: Pending<Q>) -> Result<(), Stale> {
        self.answer(question, Ok(Q::Yes::default()))
    }

    /// Answers no.
    ///
    /// # Errors
    /// As [`Server::answer`].
    pub fn refuse<Q: Ask>(&mut self, question: Pending<Q>, why: Q::No) -> Result<(), Stale> {
        self.answer(question, Err(why))
    }

    /// Answers "try later" to whatever the event asks. For the `_` arm, so that no question is left open.
    pub fn decline(&mut self, event: Event) {
        // A stale question needs no answer.
        let _ = match event {
            Event::Auth { answer, .. } => self.refuse(answer, Denied::Temporary),
            Event::Scram { answer, .. } => self.refuse(answer, Denied::Temporary),
            Event::Challenge { answer } => self.refuse(answer, Denied::Temporary),
            Event::Select { answer, .. } => self.refuse(answer, Refusal::unavailable()),
            Event::List { answer, .. } => self.refuse(answer, Refusal::unavailable()),
            Event::Status { answer, .. } => self.refuse(answer, Refusal::unavailable()),
            Event::Manage { answer, .. } => self.refuse(answer, Refusal::unavailable()),
            Event::Append { answer, .. } => self.refuse(answer, Refusal::unavailable()),
            Event::Appended { answer } => self.refuse(answer, Refusal::unavailable()),
            Event::Fetch { answer, .. } => self.refuse(answer, Refusal::unavailable()),
            Event::Store { answer, .. } => self.refuse(answer, Refusal::unavailable()),
            Event::Search { answer, .. } => self.refuse(answer, Refusal::unavailable()),
            Event::Copy { answer, .. } => self.refuse(answer, Refusal::unavailable()),
            Event::Expunge { answer, .. } => self.refuse(answer, Refusal::unavailable()),
            Event::AppendBody(_) | Event::AppendAborted | Event::Listening(_) => Ok(()),
            Event::Deselected | Event::Closed(_) => Ok(()),
        };
    }

    /// Gives a part of the answer to an open question. Parts are queued whatever their size: between messages and names,
    /// wait while [`Server::is_congested`].
    ///
    /// # Errors
    /// [`RespondError`] if the question is no longer open, or the part has no place there.
    pub fn respond<Q: Streams>(&mut self, question: &Pending<Q>, part: Q::Part) -> Result<(), RespondError> {
        let number = self.link.redeem(question)?;
        Q::add(self, number, part)?;
        self.decision.arm(self.config.limits.decision);
        Ok(())
    }

    /// Octets of the literal last announced with [`FetchPart::Literal`]. Takes what the output limit allows and says
    /// how many that was; 0 also if there is no such literal, or all of it was taken.
    #[must_use = "octets that were not taken must be offered again"]
    pub fn write(&mut self, question: &Pending<ask::Fetch>, octets: &[u8]) -> usize {
        let taken = self.literal_room(question, octets.len());
        if taken > 0 {
            if self.literal_is_sent() {
                self.link.put_body(&octets[..taken]);
            }
            self.literal_written(taken);
        }
        taken
    }

    /// As [`Server::write`], without copying what is large. Takes from the front of `octets`, all at once if the output is not
    /// full already.
    ///
    /// Use pieces of a size that may wait in memory; the limit of the output is exceeded by at most one.
    pub fn write_shared(&mut self, question: &Pending<ask::Fetch>, octets: &mut Bytes) {
        let taken = if self.link.is_congested() { 0 } else { self.literal_left(question, octets.len()) };
        if taken > 0 {
            let piece = octets.split_to(taken);
            if self.literal_is_sent() {
                self.link.put_shared(piece);
            }
            self.literal_written(taken);
        }
    }

    /// Whether so much waits to be sent that an answer should not go on.
    pub fn is_congested(&self) -> bool {
        self.link.is_congested()
    }

    // ── what happens elsewhere ──

    /// The selected mailbox changed. Call it whenever that happens; without a selected mailbox it means nothing.
    pub fn notify(&mut self, change: Change) {
        if let Some(selection) = &mut self.selected {
            selection.note(change, self.config.limits.changes);
        }
    }

    /// Lets the command in progress finish, then says goodbye (BYE) and closes. Before the greeting, that takes its
    /// place (RFC 9051, 7.1.5).
    pub fn shut_down(&mut self, why: Text) {
        self.goodbye.get_or_insert(why);
    }

    // ── what is known ──

    /// Where the session stands.
    pub fn state(&self) -> State {
        self.dialogue.state()
    }

    /// Whether the stream is protected.
    pub fn security(&self) -> &Security {
        self.link.security()
    }

    /// Who is logged in.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// How many messages of the selected mailbox the client knows of.
    pub fn exists(&self) -> Option<u32> {
        self.selected.as_ref().map(|selection| selection.view.len())
    }

    /// Lets `tap` watch the wire, passwords masked.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) {
        self.link.set_tap(tap);
    }

    // ── inside ──

    /// Whether an extension is on offer.
    fn offers(&self, capability: &Capability) -> bool {
        self.config.capabilities.contains(capability)
    }

    fn data(&mut self, data: &Data) {
        data.encode(&mut self.out);
        self.out.send(&mut self.link);
    }

    fn untagged(&mut self, condition: Condition, code: Option<Code>, text: Text) {
        self.data(&Data::Status(Status { condition, code, text }));
    }

    fn proceed(&mut self, text: Bytes) {
        Response::Continue(Continue { text }).encode(&mut self.out);
        self.out.send(&mut self.link);
    }

    fn ask<Q: Ask>(&mut self, tag: Tag, verb: Verb, question: Question) -> Pending<Q> {
        let (pending, number) = self.link.ask();
        self.stage = Stage::Asked { number, tag, verb, question };
        self.decision.arm(self.config.limits.decision);
        pending
    }

    /// The command and question of that number, if it is the open one.
    fn redeemed(&mut self, number: u64) -> Result<(Tag, Verb, Question), Stale> {
        match core::mem::replace(&mut self.stage, Stage::Command) {
            Stage::Asked { number: open, tag, verb, question } if open == number => {
                self.decision.disarm();
                Ok((tag, verb, question))
            }
            other => {
                self.stage = other;
                Err(Stale)
            }
        }
    }

    /// The command is answered once the changes that may be told then were told.
    fn complete(&mut self, tag: Tag, verb: Verb, status: Status) {
        let ending = match status.condition {
            Condition::Ok | Condition::PreAuth | Condition::Bye => Ending::Ok,
            Condition::No => Ending::No,
            Condition::Bad => Ending::Bad,
        };
        self.dialogue.completed(verb, ending);
        self.stage = Stage::Completing(Done { tag: Some(tag), verb: Some(verb), status });
    }

    fn complete_ok(&mut self, tag: Tag, verb: Verb) {
        let text = Text::new(alloc::format!("{verb} completed")).expect("a command's word is text");
        self.complete(tag, verb, Status { condition: Condition::Ok, code: None, text });
    }

    fn complete_no(&mut self, tag: Tag, verb: Verb, code: Option<Code>, text: &'static str) {
        self.complete(tag, verb, Status { condition: Condition::No, code, text: Text::literal(text) });
    }

    fn complete_bad(&mut self, tag: Tag, verb: Verb, text: &str) {
        self.complete(tag, verb, bad(text));
    }

    /// Writes the tagged response. Changes were told.
    fn write_completion(&mut self, done: Done) {
        let is_bad = done.is_bad();
        match done.tag {
            Some(tag) => Response::Tagged { tag, status: done.status }.encode(&mut self.out),
            None => Data::Status(done.status).encode(&mut self.out),
        }
        self.out.send(&mut self.link);
        self.stage = Stage::Command;
        self.inactive.arm(self.config.limits.inactive);
        if is_bad {
            self.errors += 1;
            let limit = self.config.limits.errors;
            if self.errors > limit {
                return self.bye(None, "Too many errors", Closed::Protocol(ProtocolError::TooManyErrors { limit }));
            }
        }
        let limit = self.config.limits.logins;
        if self.identity.is_none() && self.failed_logins >= limit {
            let error = ProtocolError::TooMuch { what: "failed logins", limit: limit.into() };
            self.bye(None, "Too many failed logins", Closed::Protocol(error));
        }
    }

    fn bye(&mut self, code: Option<Code>, text: &'static str, closed: Closed) {
        self.bye_text(code, Text::literal(text), closed);
    }

    fn bye_text(&mut self, code: Option<Code>, text: Text, closed: Closed) {
        // Once TLS was agreed to, nothing more is said in the clear.
        if !self.link.is_gated() {
            self.untagged(Condition::Bye, code, text);
        }
        self.close(closed);
    }

    /// Ends the session. What is queued is still sent.
    fn close(&mut self, why: Closed) {
        let appending = match &self.stage {
            Stage::Appending { .. } | Stage::Asked { question: Question::Appended, .. } => true,
            Stage::Greeting | Stage::Tls { .. } | Stage::Command | Stage::Discarding { .. } => false,
            Stage::Sasl { .. }
            | Stage::Refused { .. }
            | Stage::Idle { .. }
            | Stage::Asked { .. }
            | Stage::Refreshing { .. } => false,
            Stage::Completing(_) | Stage::Closed => false,
        };
        if appending {
            self.events.push_back(Event::AppendAborted);
        }
        self.stage = Stage::Closed;
        self.selected = None;
        self.dialogue.bye();
        self.link.close(&why);
        self.events.push_back(Event::Closed(why));
    }

    /// Does the next bit of work. False if there is none before new input, an answer, or a deadline.
    fn advance(&mut self) -> bool {
        if let Some(failed) = self.link.take_tls_failure() {
            self.close(Closed::Tls(failed));
            return true;
        }
        match &mut self.stage {
            Stage::Closed => false,
            Stage::Tls { greet } => {
                let greet = *greet;
                if self.link.is_gated() {
                    if self.link.is_eof() {
                        self.close(Closed::Eof);
                        return true;
                    }
                    return false;
                }
                self.stage = if greet { Stage::Greeting } else { Stage::Command };
                true
            }
            Stage::Greeting if self.goodbye.is_some() => {
                self.stage = Stage::Command;
                true
            }
            Stage::Greeting => {
                let code = Code::Capability(self.config.listed(self.link.security(), false));
                self.untagged(Condition::Ok, Some(code), self.config.greeting.clone());
                self.stage = Stage::Command;
                true
            }
            Stage::Completing(done) => {
                // What was not understood may have been a FETCH.
                let expunge = done.verb.is_some_and(Verb::allows_expunge);
                match self.tell(expunge) {
                    Told::Congested => false,
                    Told::Asked => true,
                    Told::All => {
                        if let Stage::Completing(done) = core::mem::replace(&mut self.stage, Stage::Command) {
                            self.write_completion(done);
                        }
                        true
                    }
                }
            }
            Stage::Asked { .. } | Stage::Refreshing { .. } => false,
            Stage::Command => {
                if let Some(why) = self.goodbye.take() {
                    self.bye_text(None, why, Closed::ByUs);
                    return true;
                }
                self.read_command()
            }
            Stage::Idle { .. } => {
                if let Some(why) = self.goodbye.take() {
                    self.bye_text(None, why, Closed::ByUs);
                    return true;
                }
                match self.tell(true) {
                    Told::Congested => return false,
                    Told::Asked => return true,
                    Told::All => {}
                }
                self.read_done()
            }
            Stage::Sasl { .. } | Stage::Refused { .. } => self.read_sasl(),
            Stage::Appending { .. } => self.read_message(),
            Stage::Discarding { .. } => self.discard(),
        }
    }

    /// Looks at the clock. True if that changed something.
    fn tick(&mut self, now: Instant) -> bool {
        let limits = &self.config.limits;
        if self.login_time.tick(now) {
            self.bye(None, "Took too long to log in", Closed::TimedOut);
            return true;
        }
        // A client that takes none of what waits for it is as good as gone.
        let queued = self.link.queued();
        if queued == 0 {
            self.stalled.disarm();
        } else if queued < self.waiting {
            self.stalled.arm(limits.stalled);
        } else {
            self.stalled.arm_if_off(limits.stalled);
        }
        self.waiting = queued;
        if self.stalled.tick(now) {
            self.close(Closed::TimedOut);
            return true;
        }
        if self.decision.tick(now) {
            if queued > 0 {
                // It is the client who is waited for.
                self.decision.arm(limits.decision);
                return self.decision.tick(now);
            }
            self.undecided();
            return true;
        }
        if self.inactive.tick(now) {
            match &self.stage {
                Stage::Command | Stage::Idle { .. } | Stage::Sasl { .. } | Stage::Refused { .. } => {
                    self.bye(None, "Logged out for inactivity", Closed::TimedOut);
                    return true;
                }
                Stage::Appending { .. } | Stage::Discarding { .. } => {
                    self.bye(None, "Timed out", Closed::TimedOut);
                    return true;
                }
                // Armed again when the command is answered.
                Stage::Greeting | Stage::Tls { .. } | Stage::Asked { .. } | Stage::Refreshing { .. } => {}
                Stage::Completing(_) | Stage::Closed => {}
            }
        }
        if self.notice.tick(now) && matches!(self.stage, Stage::Idle { .. }) {
            self.untagged(Condition::Ok, None, Text::literal("Still here"));
            if let Some(every) = self.config.limits.idle_notice {
                self.notice.arm(every);
            }
            return true;
        }
        false
    }

    /// The application did not answer in time.
    fn undecided(&mut self) {
        match core::mem::replace(&mut self.stage, Stage::Command) {
            Stage::Asked { tag, verb, question, .. } => {
                if let Question::Appended = question {
                    self.events.push_back(Event::AppendAborted);
                }
                if let Question::Append { waits, size } = question {
                    return self.refuse_append(tag, waits, size, Refusal::unavailable());
                }
                if let Question::Fetch(out) = question
                    && !self.end_fetch(out)
                {
                    return;
                }
                self.complete(tag, verb, Refusal::unavailable().into_status());
            }
            Stage::Refreshing { then, out, .. } => {
                if self.end_fetch(out) {
                    self.stage = *then;
                }
            }
            other => self.stage = other,
        }
    }
}

/// How octets are to be read and written.
fn dialect(enabled: Enabled) -> Dialect {
    if enabled.rev2 { Dialect::UTF8 } else { Dialect::REV1 }
}

fn bad(text: &str) -> Status {
    Status { condition: Condition::Bad, code: None, text: Text::lossy(text, 200) }
}

impl Machine for Server {
    type Event = Event;

    fn poll(&mut self, now: Instant) -> Step<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Step::Event(event);
            }
            if self.link.is_closed() {
                return Step::Idle { deadline: self.link.poll_closed(now) };
            }
            if self.tick(now) || self.advance() {
                continue;
            }
            if self.tick(now) {
                continue;
            }
            let timers = [&self.login_time, &self.inactive, &self.decision, &self.stalled, &self.notice];
            return Step::Idle { deadline: Timer::earliest(timers) };
        }
    }
}

session_over_link!(Server, link, events);
