//! The server's side of a session.
//!
//! ```text
//! Authorization ── USER, PASS or AUTH: Open ──> Transaction ── QUIT: Commit ──> Update
//!                                                 RETR, TOP: Retrieve
//! ```
//!
//! One command at a time: what a client sends ahead waits until the one before it is answered.

mod config;
mod event;
mod login;
mod logins;
mod maildrop;
mod top;

pub use config::{Config, Limits};
pub use event::{Ask, Event, ask};
pub use logins::Logins;

use crate::dialogue::{Dialogue, State};
use crate::wire::{Command, MessageMeta, Refusal, Verb};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Write;
use event::sealed::Settle;
use maildrop::{Listing, Retrieval};
use postrider_core::{
    Closed, Framed, Instant, Link, Machine, Misuse, Pending, ProtocolError, Security, SessionId, Stale, Step, Tap,
    Text, Timer, session_over_link,
};
use postrider_sasl::{ApopChallenge, Attempt, CramQuery, ScramQuery, ServerExchange};
use top::Top;

/// One session with one client.
pub struct Server {
    config: Arc<Config>,
    link: Link,
    dialogue: Dialogue,
    events: VecDeque<Event>,
    now: Busy,
    greeted: bool,
    user: Option<String>,
    utf8: bool,
    /// The timestamp of the greeting, if APOP is offered.
    apop: Option<ApopChallenge>,
    /// The highest number that was retrieved or deleted: what LAST asks.
    last: u32,
    messages: Vec<MessageMeta>,
    deleted: Vec<bool>,
    /// Those that were sent to the end, if they go then (EXPIRE 0).
    retrieved: Vec<bool>,
    errors: u32,
    logins: u32,
    shutting_down: Option<Text>,
    patience: Timer,
    /// Whose move it was when `patience` was armed.
    turn: Turn,
    /// Something happened since then.
    progress: bool,
    /// What waited to be sent at the last poll.
    queued: usize,
}

/// What the session is at.
enum Busy {
    /// Waiting for the next command.
    Ready,
    Exchange(ServerExchange),
    /// The application judges a login. The octets are sent before it is refused.
    Opening(u64, Verb, Option<Vec<u8>>),
    Scram(u64, ScramQuery),
    Challenge(u64, CramQuery),
    /// Whatever the client answers to the last words, its login is refused.
    Refused(Refusal),
    Listing(Listing, usize),
    Retrieving(Box<Retrieval>),
    Committing(u64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    Clients,
    Applications,
}

const NO_SUCH_MESSAGE: Text = Text::literal("no such message");

impl Server {
    /// A session that begins now. `id` is the caller's number for it.
    pub fn new(config: Arc<Config>, id: SessionId) -> Self {
        let mut link = Link::new(id, config.limits.link);
        if config.implicit_tls {
            link.start_with_tls();
        }
        let mut patience = Timer::OFF;
        patience.arm(config.limits.idle);
        Self {
            config,
            link,
            dialogue: Dialogue::default(),
            events: VecDeque::new(),
            now: Busy::Ready,
            greeted: false,
            user: None,
            utf8: false,
            apop: None,
            last: 0,
            messages: Vec::new(),
            deleted: Vec::new(),
            retrieved: Vec::new(),
            errors: 0,
            logins: 0,
            shutting_down: None,
            patience,
            turn: Turn::Clients,
            progress: false,
            queued: 0,
        }
    }

    /// Offers APOP, by putting `challenge` into the greeting. It must be another one for every session. Whoever judges
    /// such an attempt needs the password in clear text, which is why nothing offers APOP by itself.
    ///
    /// # Errors
    /// [`Misuse`] if the greeting was sent, which the first poll does.
    //= 1939-7-7
    pub fn offer_apop(&mut self, challenge: ApopChallenge) -> Result<(), Misuse> {
        if self.greeted {
            return Err(Misuse::new("the greeting was sent"));
        }
        self.apop = Some(challenge);
        Ok(())
    }

    /// Answers a question.
    ///
    /// # Errors
    /// [`Stale`] if the answer comes too late or is another session's. For [`ask::Retrieve`] also if it is refused
    /// after octets of the message were sent: the connection is then closed, so that the client sees it is incomplete.
    pub fn answer<Q: Ask>(&mut self, question: Pending<Q>, answer: Result<Q::Yes, Q::No>) -> Result<(), Stale> {
        Q::settle(self, question, answer)
    }

    /// Answers yes.
    ///
    /// # Errors
    /// See [`Server::answer`].
    pub fn accept<Q: Ask>(&mut self, question: Pending<Q>) -> Result<(), Stale>
    where
        Q::Yes: Default,
    {
        self.answer(question, Ok(Q::Yes::default()))
    }

    /// Answers no.
    ///
    /// # Errors
    /// See [`Server::answer`].
    pub fn refuse<Q: Ask>(&mut self, question: Pending<Q>, why: Q::No) -> Result<(), Stale> {
        self.answer(question, Err(why))
    }

    /// Refuses whatever `event` asks. For the arm of events that are not known.
    pub fn decline(&mut self, event: Event) {
        // If it is stale, it was answered by time.
        let _ = match event {
            Event::Open { answer, .. } => ask::Open::decline(self, answer),
            Event::Scram { answer, .. } => ask::Scram::decline(self, answer),
            Event::Challenge { answer } => ask::Challenge::decline(self, answer),
            Event::Retrieve { answer, .. } => ask::Retrieve::decline(self, answer),
            Event::Commit { answer, .. } => ask::Commit::decline(self, answer),
            Event::Closed(_) => Ok(()),
        };
    }

    /// Gives the next octets of a message, with CR LF as line ends and no dots added, as much as there is room for.
    /// Says how many were taken; 0 means: wait until output was sent.
    ///
    /// If the question is stale, or TOP has enough, all are taken and dropped.
    #[must_use = "octets that were not taken must be offered again"]
    pub fn write(&mut self, question: &Pending<ask::Retrieve>, octets: &[u8]) -> usize {
        self.write_with(question, octets.len(), |range| &octets[range], |link, part| link.put_body(part))
    }

    /// As [`Server::write`], without copying what is large.
    #[must_use = "octets that were not taken must be offered again"]
    pub fn write_shared(&mut self, question: &Pending<ask::Retrieve>, octets: &Bytes) -> usize {
        /// An added dot is not part of `octets`, and what is small is copied anyway.
        const WORTH_SHARING: usize = 4096;
        self.write_with(
            question,
            octets.len(),
            |range| &octets[range],
            |link, part| {
                if part.len() < WORTH_SHARING { link.put_body(part) } else { link.put_shared(octets.slice_ref(part)) }
            },
        )
    }

    /// Whether octets of the message are still of use: false once TOP has its lines, or the question is stale.
    pub fn wants_more(&self, question: &Pending<ask::Retrieve>) -> bool {
        let Ok(number) = self.link.redeem(question) else { return false };
        match &self.now {
            Busy::Retrieving(retrieval) => {
                retrieval.question == number && !retrieval.top.as_ref().is_some_and(Top::is_done)
            }
            Busy::Ready | Busy::Exchange(_) | Busy::Opening(..) | Busy::Scram(..) | Busy::Challenge(..) => false,
            Busy::Refused(_) | Busy::Listing(..) | Busy::Committing(_) => false,
        }
    }

    /// How long the client may be silent or take nothing: [`Limits::idle`]. For whoever writes to it without polling.
    pub fn idle_limit(&self) -> core::time::Duration {
        self.config.limits.idle
    }

    /// Lets the command that has begun finish, then says `why` and closes. Nothing is deleted, unless it was QUIT
    /// that had begun. Before the greeting, that takes its place.
    pub fn shut_down(&mut self, why: Text) {
        self.shutting_down = Some(why);
    }

    /// Whether the stream is protected now.
    //= 2595-2.5-1
    pub fn security(&self) -> &Security {
        self.link.security()
    }

    /// Where the session stands.
    pub fn state(&self) -> State {
        self.dialogue.state()
    }

    /// Lets `tap` watch the wire from here on.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) {
        self.link.set_tap(tap);
    }

    // ── commands ──

    /// Does one thing, and says whether there was one to do.
    //= 2449-6.6-1
    fn advance(&mut self) -> bool {
        if self.link.is_gated() || self.link.is_congested() {
            return false;
        }
        if !self.greeted {
            self.greeted = true;
            if self.shutting_down.is_some() {
                return true;
            }
            let config = self.config.clone();
            match self.apop.clone() {
                Some(challenge) => self.ok_with(format_args!("{} {}", config.greeting, challenge.as_str())),
                None => self.ok(config.greeting.as_str()),
            }
            return true;
        }
        match &mut self.now {
            Busy::Opening(..) | Busy::Scram(..) | Busy::Challenge(..) => false,
            Busy::Retrieving(_) | Busy::Committing(_) => false,
            Busy::Listing(..) => {
                self.list_more();
                true
            }
            Busy::Ready | Busy::Exchange(_) | Busy::Refused(_) if self.shutting_down.is_some() => {
                let why = self.shutting_down.take().expect("it was just seen to be there");
                self.no(&Refusal::temporary(why));
                self.close(Closed::ByUs);
                true
            }
            Busy::Ready => match self.link.line(self.config.limits.line) {
                Framed::Line(line) => {
                    self.link.trace_in(&line.octets, Command::secret_from(&line.octets));
                    self.progress = true;
                    self.command(&line.octets);
                    true
                }
                Framed::TooLong => {
                    self.mistake(Text::literal("the line is too long"));
                    true
                }
                Framed::More => self.end_of_stream(),
            },
            Busy::Exchange(_) | Busy::Refused(_) => match self.link.line(self.config.limits.sasl_line) {
                Framed::Line(line) => {
                    self.link.trace_in(b"", Some(0));
                    self.progress = true;
                    match core::mem::replace(&mut self.now, Busy::Ready) {
                        Busy::Exchange(exchange) => self.respond(exchange, &line.octets),
                        Busy::Refused(why) => self.login_failed(Verb::Auth, &why),
                        Busy::Ready | Busy::Opening(..) | Busy::Scram(..) | Busy::Challenge(..) => {
                            unreachable!("it is matched above")
                        }
                        Busy::Listing(..) | Busy::Retrieving(_) | Busy::Committing(_) => {
                            unreachable!("it is matched above")
                        }
                    }
                    true
                }
                Framed::TooLong => {
                    self.progress = true;
                    let now = core::mem::replace(&mut self.now, Busy::Ready);
                    let too_long = Refusal::plain(Text::literal("the line is too long"));
                    let why = if let Busy::Refused(why) = now { why } else { too_long };
                    self.login_failed(Verb::Auth, &why);
                    true
                }
                Framed::More => self.end_of_stream(),
            },
        }
    }

    /// There is no whole line, and there may never be one.
    fn end_of_stream(&mut self) -> bool {
        let limit = self.config.limits.line_excess;
        if self.link.skipped() > limit {
            self.no(&Refusal::plain(Text::literal("the line is too long")));
            self.close(Closed::Protocol(ProtocolError::TooMuch { what: "octets in a line", limit }));
            return true;
        }
        if self.link.is_eof() {
            self.close(Closed::Eof);
        }
        self.link.is_eof()
    }

    fn command(&mut self, line: &[u8]) {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(error) => return self.mistake(text(&error)),
        };
        let verb = command.verb();
        if let Err(error) = self.dialogue.may(verb) {
            return self.mistake(text(&error));
        }
        match command {
            Command::User(name) => self.user(name),
            Command::Pass(password) => {
                let user = self.user.take().expect("PASS may follow an accepted USER only");
                self.open(Attempt::password(user, password.into_inner()), Verb::Pass);
            }
            Command::Apop { user, digest } => self.apop(user, &digest),
            Command::Lang(wanted) => self.lang(wanted.as_ref()),
            Command::Auth(mechanism, initial) => self.auth(&mechanism, initial.as_ref().map(|i| i.reveal().as_str())),
            Command::AuthList => {
                self.ok("mechanisms follow");
                for mechanism in self.mechanisms() {
                    self.link.put(mechanism.as_str().as_bytes());
                    self.link.end_line();
                }
                self.end_of_lines();
            }
            Command::Stls => self.stls(),
            Command::Utf8 if self.config.utf8 => {
                self.utf8 = true;
                self.ok("UTF8 enabled");
            }
            Command::Utf8 => self.mistake(Text::literal("UTF8 is not offered")),
            Command::Capa => {
                self.ok("capabilities follow");
                self.capabilities().lines(|parts| {
                    parts.iter().for_each(|part| self.link.put(part.as_bytes()));
                    self.link.end_line();
                });
                self.end_of_lines();
            }
            Command::Stat => {
                let (count, size) = self.sum();
                self.ok_with(format_args!("{count} {size}"));
            }
            Command::List(None) => {
                let (count, size) = self.sum();
                self.ok_with(format_args!("{count} messages ({size} octets)"));
                self.now = Busy::Listing(Listing::Sizes, 0);
            }
            Command::Uidl(None) => {
                self.ok("unique ids follow");
                self.now = Busy::Listing(Listing::Ids, 0);
            }
            Command::List(Some(message)) => match self.message(message) {
                Some(meta) => {
                    let size = meta.size;
                    self.ok_with(format_args!("{message} {size}"));
                }
                None => self.no(&Refusal::plain(NO_SUCH_MESSAGE)),
            },
            Command::Uidl(Some(message)) => match self.message(message) {
                Some(meta) => {
                    let id = meta.unique_id.clone();
                    self.ok_with(format_args!("{message} {id}"));
                }
                None => self.no(&Refusal::plain(NO_SUCH_MESSAGE)),
            },
            Command::Retr(message) => self.retrieve(message, None),
            Command::Top { message, lines } => self.retrieve(message, Some(lines)),
            Command::Dele(message) => match self.message(message) {
                Some(_) => {
                    self.deleted[message as usize - 1] = true;
                    self.last = self.last.max(message);
                    self.ok_with(format_args!("message {message} will be deleted"));
                }
                None => self.no(&Refusal::plain(NO_SUCH_MESSAGE)),
            },
            //= 1939-5-5
            Command::Rset => {
                self.deleted.fill(false);
                self.last = 0;
                let (count, size) = self.sum();
                self.ok_with(format_args!("{count} messages ({size} octets)"));
            }
            Command::Noop => self.ok("done"),
            Command::Last if self.config.last => {
                let last = self.last;
                self.ok_with(format_args!("{last}"));
            }
            Command::Last => self.mistake(Text::literal("LAST is not offered")),
            Command::Quit => self.quit(),
        }
    }

    // ── replies ──

    //= 1939-3-1
    fn ok(&mut self, text: &str) {
        self.link.put(b"+OK ");
        self.link.put(text.as_bytes());
        self.link.end_line();
    }

    fn ok_with(&mut self, text: core::fmt::Arguments<'_>) {
        let mut line = String::new();
        write!(line, "{text}").expect("writing to a string does not fail");
        self.ok(&line);
    }

    fn no(&mut self, why: &Refusal) {
        self.link.put(b"-ERR ");
        if let Some(code) = &why.code {
            for part in ["[", code.as_str(), "] "] {
                self.link.put(part.as_bytes());
            }
        }
        self.link.put(why.text.as_str().as_bytes());
        self.link.end_line();
    }

    fn end_of_lines(&mut self) {
        self.link.put(b".");
        self.link.end_line();
    }

    /// The client's command makes no sense here.
    //= 1939-3-4
    fn mistake(&mut self, why: Text) {
        self.fault(&Refusal::plain(why));
    }

    /// Says no to what a client has no reason to ask again and again.
    fn fault(&mut self, why: &Refusal) {
        self.progress = true;
        self.no(why);
        self.errors += 1;
        let limit = self.config.limits.errors;
        if self.errors > limit {
            self.close(Closed::Protocol(ProtocolError::TooManyErrors { limit }));
        }
    }

    fn close(&mut self, why: Closed) {
        self.link.close(&why);
        self.now = Busy::Ready;
        self.messages = Vec::new();
        self.deleted = Vec::new();
        self.events.push_back(Event::Closed(why));
    }

    // ── time ──

    /// The application has not answered. Not answering never means yes.
    fn give_up_waiting(&mut self) {
        let later = Refusal::temporary(Text::literal("this takes too long, try again later"));
        match core::mem::replace(&mut self.now, Busy::Ready) {
            Busy::Opening(_, verb, _) => self.login_failed(verb, &later),
            Busy::Scram(..) | Busy::Challenge(..) => self.login_failed(Verb::Auth, &later),
            Busy::Retrieving(retrieval) => {
                // What is incomplete is closed; there is nobody to be told of it.
                let _ = self.retrieved(retrieval, Err(later));
            }
            Busy::Committing(_) => self.not_committed(&later),
            Busy::Ready | Busy::Exchange(_) | Busy::Refused(_) | Busy::Listing(..) => {
                unreachable!("it is the client's turn then")
            }
        }
    }

    //= 1939-6-2
    fn not_committed(&mut self, why: &Refusal) {
        self.dialogue.replied(Verb::Quit, false);
        self.no(why);
        self.close(Closed::ByPeer);
    }

    fn turn(&self) -> Turn {
        match self.now {
            // Until the client reads, the application cannot write.
            Busy::Retrieving(_) if self.link.is_congested() => Turn::Clients,
            Busy::Opening(..) | Busy::Scram(..) | Busy::Challenge(..) => Turn::Applications,
            Busy::Retrieving(_) | Busy::Committing(_) => Turn::Applications,
            Busy::Ready | Busy::Exchange(_) | Busy::Refused(_) | Busy::Listing(..) => Turn::Clients,
        }
    }

    /// Says whether who is to move has taken too long.
    fn is_overdue(&mut self, now: Instant) -> bool {
        let queued = self.link.queued();
        let turn = self.turn();
        let progress = core::mem::take(&mut self.progress) || queued < self.queued;
        if turn != self.turn || progress {
            self.turn = turn;
            self.patience.arm(match turn {
                Turn::Clients => self.config.limits.idle,
                Turn::Applications => self.config.limits.decision,
            });
        }
        self.queued = queued;
        self.patience.tick(now)
    }
}

fn text(error: &impl core::fmt::Display) -> Text {
    Text::lossy(&alloc::format!("{error}"), 200)
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
            if let Some(failed) = self.link.take_tls_failure() {
                self.close(Closed::Tls(failed));
                continue;
            }
            if self.advance() {
                continue;
            }
            if self.is_overdue(now) {
                match self.turn {
                    //= 1939-3-6, 1939-3-7
                    // RFC 1939, 3: no reply, and nothing is deleted.
                    Turn::Clients => self.close(Closed::TimedOut),
                    Turn::Applications => self.give_up_waiting(),
                }
                continue;
            }
            self.link.release();
            return Step::Idle { deadline: self.patience.deadline() };
        }
    }
}

session_over_link!(Server, link, events);
