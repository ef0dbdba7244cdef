//! The server's side of a session.
//!
//! ```text
//! Authorization ── USER, PASS or AUTH: Open ──> Transaction ── QUIT: Commit ──> Update
//!                                                 RETR, TOP: Retrieve
//! ```
//!
//! One command at a time: what a client sends ahead waits until the one before it is answered.

mod config;
mod top;

pub use config::{Config, Limits};

use crate::dialogue::{Dialogue, State};
use crate::wire::{Capabilities, Command, MessageMeta, Refusal, ResponseCode, Verb};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Write;
use postrider_core::{
    Closed, Framed, Instant, LineRule, Link, Machine, Pending, ProtocolError, Question, Security, SessionId, Stale,
    Step, Stuffer, Tap, Text, Timer, session_over_link,
};
use postrider_sasl::{Attempt, Denied, MechanismName, ServerExchange, ServerStep, line};
use top::Top;

/// What a server asks and reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A user wants to open their maildrop. Yes is a snapshot of what is in it: message 1 first, and its order and
    /// numbers hold until the session ends. Opening it twice at once is for the application to allow or to refuse with
    /// [`Refusal::in_use`].
    Open {
        /// To be answered.
        answer: Pending<ask::Open>,
        /// Who it claims to be.
        attempt: Attempt,
        /// Whether the client said UTF8 (RFC 6856): messages may be sent with UTF-8 in their headers.
        utf8: bool,
    },
    /// A message is wanted. Give it with [`Server::write`] or [`Server::write_shared`], then accept; or refuse before
    /// anything was written.
    Retrieve {
        /// To be answered.
        answer: Pending<ask::Retrieve>,
        /// Its number in the snapshot, from 1.
        message: u32,
        /// For TOP, so many lines of the body are enough. The session stops by itself; this is for those who can save
        /// the reading.
        lines: Option<u64>,
    },
    /// The client has said goodbye, and these messages are to be deleted: all of them or none. Never empty, ascending.
    /// Yes when they are gone for good.
    Commit {
        /// To be answered.
        answer: Pending<ask::Commit>,
        /// Their numbers in the snapshot.
        delete: Vec<u32>,
    },
    /// The end. If no [`Event::Commit`] came before, nothing is to be deleted.
    Closed(Closed),
}

/// The questions.
pub mod ask {
    use super::{MessageMeta, Question, Refusal};
    use alloc::vec::Vec;

    /// May this user open the maildrop?
    #[derive(Debug)]
    pub enum Open {}

    impl Question for Open {
        type Yes = Vec<MessageMeta>;
        type No = Refusal;
    }

    /// What does this message hold?
    #[derive(Debug)]
    pub enum Retrieve {}

    impl Question for Retrieve {
        type Yes = ();
        type No = Refusal;
    }

    /// Are these messages deleted?
    #[derive(Debug)]
    pub enum Commit {}

    impl Question for Commit {
        type Yes = ();
        type No = Refusal;
    }
}

/// A question of this server's. Sealed: the three in [`ask`].
pub trait Ask: Question + Sized + sealed::Settle {}

impl<Q: Question + sealed::Settle> Ask for Q {}

mod sealed {
    use super::{Pending, Question, Server, Stale};

    pub trait Settle: Question + Sized {
        fn settle(
            server: &mut Server,
            pending: Pending<Self>,
            answer: Result<Self::Yes, Self::No>,
        ) -> Result<(), Stale>;
        fn decline(server: &mut Server, pending: Pending<Self>) -> Result<(), Stale>;
    }
}

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
    messages: Vec<MessageMeta>,
    deleted: Vec<bool>,
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
    Opening(u64, Verb),
    Listing(Listing, usize),
    Retrieving(Box<Retrieval>),
    Committing(u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    Sizes,
    Ids,
}

struct Retrieval {
    question: u64,
    message: u32,
    begun: bool,
    stuffer: Stuffer,
    top: Option<Top>,
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
            messages: Vec::new(),
            deleted: Vec::new(),
            errors: 0,
            logins: 0,
            shutting_down: None,
            patience,
            turn: Turn::Clients,
            progress: false,
            queued: 0,
        }
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
        use sealed::Settle;
        // If it is stale, it was answered by time.
        let _ = match event {
            Event::Open { answer, .. } => ask::Open::decline(self, answer),
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

    fn write_with<'o>(
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

    /// Whether octets of the message are still of use: false once TOP has its lines, or the question is stale.
    pub fn wants_more(&self, question: &Pending<ask::Retrieve>) -> bool {
        let Ok(number) = self.link.redeem(question) else { return false };
        match &self.now {
            Busy::Retrieving(retrieval) => {
                retrieval.question == number && !retrieval.top.as_ref().is_some_and(Top::is_done)
            }
            Busy::Ready | Busy::Exchange(_) | Busy::Opening(..) | Busy::Listing(..) | Busy::Committing(_) => false,
        }
    }

    /// Lets the command that has begun finish, then says `why` and closes. Nothing is deleted.
    pub fn shut_down(&mut self, why: Text) {
        self.shutting_down = Some(why);
    }

    /// Whether the stream is protected now.
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
    fn advance(&mut self) -> bool {
        if self.link.is_gated() || self.link.is_congested() {
            return false;
        }
        if !self.greeted {
            self.greeted = true;
            let greeting = self.config.greeting.clone();
            self.ok(greeting.as_str());
            return true;
        }
        match &mut self.now {
            Busy::Opening(..) | Busy::Retrieving(_) | Busy::Committing(_) => false,
            Busy::Listing(..) => {
                self.list_more();
                true
            }
            Busy::Ready | Busy::Exchange(_) if self.shutting_down.is_some() => {
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
            Busy::Exchange(_) => match self.link.line(self.config.limits.sasl_line) {
                Framed::Line(line) => {
                    self.link.trace_in(b"", Some(0));
                    self.progress = true;
                    let Busy::Exchange(exchange) = core::mem::replace(&mut self.now, Busy::Ready) else {
                        unreachable!("it is matched above")
                    };
                    self.respond(exchange, &line.octets);
                    true
                }
                Framed::TooLong => {
                    self.now = Busy::Ready;
                    self.mistake(Text::literal("the line is too long"));
                    true
                }
                Framed::More => self.end_of_stream(),
            },
        }
    }

    fn end_of_stream(&mut self) -> bool {
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
                    self.ok_with(format_args!("message {message} will be deleted"));
                }
                None => self.no(&Refusal::plain(NO_SUCH_MESSAGE)),
            },
            Command::Rset => {
                self.deleted.fill(false);
                let (count, size) = self.sum();
                self.ok_with(format_args!("{count} messages ({size} octets)"));
            }
            Command::Noop => self.ok("done"),
            Command::Quit => self.quit(),
        }
    }

    fn user(&mut self, name: String) {
        if !self.config.user {
            return self.mistake(Text::literal("USER is not offered, use AUTH"));
        }
        if !self.may_send_password() {
            return self.no(&Refusal::permanent(Text::literal("a password may be sent only after STLS")));
        }
        self.user = Some(name);
        self.dialogue.replied(Verb::User, true);
        self.ok("now the password");
    }

    fn may_send_password(&self) -> bool {
        self.config.dangerous_plaintext_login || self.link.security().is_tls()
    }

    fn mechanisms(&self) -> Vec<MechanismName> {
        let offered = |mechanism: &&MechanismName| {
            ServerExchange::supports(mechanism) && (self.may_send_password() || !mechanism.exposes_secret())
        };
        self.config.mechanisms.iter().filter(offered).cloned().collect()
    }

    fn auth(&mut self, mechanism: &MechanismName, initial: Option<&str>) {
        if !self.config.mechanisms.contains(mechanism) || !ServerExchange::supports(mechanism) {
            return self.mistake(Text::literal("the mechanism is not offered"));
        }
        if !self.mechanisms().contains(mechanism) {
            return self.no(&Refusal::permanent(Text::literal("this mechanism may be used only after STLS")));
        }
        let initial = match initial.map(|initial| line::initial(initial.as_bytes(), self.config.limits.line)) {
            None => None,
            Some(Ok(initial)) => Some(initial),
            Some(Err(error)) => return self.mistake(text(&error)),
        };
        let step = ServerExchange::start(mechanism, initial.as_ref().map(|initial| initial.reveal().as_slice()));
        self.exchange(step);
    }

    fn respond(&mut self, exchange: ServerExchange, line: &[u8]) {
        match line::response(line, self.config.limits.sasl_line) {
            Ok(line::Response::Data(response)) => {
                let step = exchange.respond(response.reveal());
                self.exchange(step);
            }
            Ok(line::Response::Cancel) => self.no(&Refusal::plain(Text::literal("cancelled"))),
            Err(error) => self.mistake(text(&error)),
        }
    }

    fn exchange(&mut self, step: Result<ServerStep, postrider_sasl::ExchangeError>) {
        match step {
            Ok(ServerStep::Challenge(challenge, exchange)) => {
                self.link.put(b"+ ");
                self.link.put(line::encode(&challenge).reveal().as_bytes());
                self.link.end_line();
                self.now = Busy::Exchange(exchange);
            }
            Ok(ServerStep::Attempt(attempt)) => self.open(attempt, Verb::Auth),
            Err(error) => {
                self.login_failed(Verb::Auth, &Refusal { code: Some(ResponseCode::Auth), text: text(&error) })
            }
        }
    }

    fn open(&mut self, attempt: Attempt, verb: Verb) {
        let (answer, number) = self.link.ask();
        self.now = Busy::Opening(number, verb);
        self.events.push_back(Event::Open { answer, attempt, utf8: self.utf8 });
    }

    fn opened(&mut self, verb: Verb, maildrop: Vec<MessageMeta>) {
        self.dialogue.replied(verb, true);
        self.deleted = alloc::vec![false; maildrop.len()];
        self.messages = maildrop;
        let (count, size) = self.sum();
        self.ok_with(format_args!("{count} messages ({size} octets)"));
    }

    fn login_failed(&mut self, verb: Verb, why: &Refusal) {
        self.dialogue.replied(verb, false);
        self.no(why);
        self.logins += 1;
        let limit = self.config.limits.logins;
        if self.logins >= limit {
            self.close(Closed::Protocol(ProtocolError::TooMuch { what: "failed logins", limit: limit.into() }));
        }
    }

    fn stls(&mut self) {
        if !self.config.stls || self.link.security().is_tls() {
            return self.mistake(Text::literal("STLS is not offered"));
        }
        // The reply still leaves in the clear: the gate waits for the output.
        if let Err(error) = self.link.begin_tls() {
            return self.close(Closed::Protocol(error));
        }
        self.user = None;
        self.utf8 = false;
        self.dialogue.replied(Verb::Stls, true);
        self.ok("begin TLS");
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            top: true,
            uidl: true,
            user: self.config.user && self.may_send_password(),
            sasl: self.mechanisms(),
            response_codes: true,
            auth_response_code: true,
            pipelining: true,
            // RFC 2595, 4: only before the login.
            stls: self.config.stls && !self.link.security().is_tls() && self.dialogue.state() != State::Transaction,
            utf8: self.config.utf8,
            utf8_user: self.config.utf8,
            login_delay: self.config.login_delay,
            expire: self.config.expire,
            implementation: self.config.implementation.clone(),
            other: Vec::new(),
        }
    }

    // ── the maildrop ──

    fn message(&self, message: u32) -> Option<&MessageMeta> {
        let index = usize::try_from(message).ok()?.checked_sub(1)?;
        if *self.deleted.get(index)? { None } else { self.messages.get(index) }
    }

    fn kept(&self) -> impl Iterator<Item = &MessageMeta> {
        self.messages.iter().zip(&self.deleted).filter(|(_, deleted)| !**deleted).map(|(meta, _)| meta)
    }

    /// How many messages are left, and their octets.
    fn sum(&self) -> (usize, u64) {
        self.kept().fold((0, 0), |(count, size), meta| (count + 1, meta.size.saturating_add(size)))
    }

    /// Lists until the output is full or the end is reached.
    fn list_more(&mut self) {
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
        if next < self.messages.len() {
            self.now = Busy::Listing(kind, next);
            return;
        }
        self.now = Busy::Ready;
        self.end_of_lines();
    }

    fn retrieve(&mut self, message: u32, lines: Option<u64>) {
        if self.message(message).is_none() {
            return self.no(&Refusal::plain(NO_SUCH_MESSAGE));
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

    fn retrieved(&mut self, mut retrieval: Box<Retrieval>, answer: Result<(), Refusal>) -> Result<(), Stale> {
        match answer {
            Ok(()) => {
                if !retrieval.begun {
                    begin(&mut self.link, &mut retrieval, &self.messages);
                }
                if retrieval.stuffer.is_within_line() {
                    self.link.end_line();
                }
                self.end_of_lines();
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

    fn quit(&mut self) {
        let delete: Vec<u32> = (1..).zip(&self.deleted).filter(|(_, deleted)| **deleted).map(|(n, _)| n).collect();
        self.dialogue.quitting();
        if delete.is_empty() {
            return self.goodbye();
        }
        let (answer, number) = self.link.ask();
        self.now = Busy::Committing(number);
        self.events.push_back(Event::Commit { answer, delete });
    }

    fn goodbye(&mut self) {
        self.dialogue.replied(Verb::Quit, true);
        self.ok("goodbye");
        self.close(Closed::ByPeer);
    }

    // ── replies ──

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
    fn mistake(&mut self, why: Text) {
        self.progress = true;
        self.no(&Refusal::plain(why));
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
            Busy::Opening(_, verb) => self.login_failed(verb, &later),
            Busy::Retrieving(retrieval) => {
                // What is incomplete is closed; there is nobody to be told of it.
                let _ = self.retrieved(retrieval, Err(later));
            }
            Busy::Committing(_) => self.not_committed(&later),
            Busy::Ready | Busy::Exchange(_) | Busy::Listing(..) => {
                unreachable!("it is the client's turn then")
            }
        }
    }

    fn not_committed(&mut self, why: &Refusal) {
        self.dialogue.replied(Verb::Quit, false);
        self.no(why);
        self.close(Closed::ByPeer);
    }

    fn turn(&self) -> Turn {
        match self.now {
            // Until the client reads, the application cannot write.
            Busy::Retrieving(_) if self.link.is_congested() => Turn::Clients,
            Busy::Opening(..) | Busy::Retrieving(_) | Busy::Committing(_) => Turn::Applications,
            Busy::Ready | Busy::Exchange(_) | Busy::Listing(..) => Turn::Clients,
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

fn text(error: &impl core::fmt::Display) -> Text {
    Text::lossy(&alloc::format!("{error}"), 200)
}

impl sealed::Settle for ask::Open {
    fn settle(
        server: &mut Server,
        pending: Pending<Self>,
        answer: Result<Vec<MessageMeta>, Refusal>,
    ) -> Result<(), Stale> {
        let number = server.link.redeem(&pending)?;
        let Busy::Opening(question, verb) = server.now else { return Err(Stale) };
        if question != number {
            return Err(Stale);
        }
        server.now = Busy::Ready;
        server.progress = true;
        match answer {
            Ok(maildrop) => server.opened(verb, maildrop),
            Err(why) => server.login_failed(verb, &why),
        }
        Ok(())
    }

    fn decline(server: &mut Server, pending: Pending<Self>) -> Result<(), Stale> {
        Self::settle(server, pending, Err(Refusal::from(Denied::Temporary)))
    }
}

impl sealed::Settle for ask::Retrieve {
    fn settle(server: &mut Server, pending: Pending<Self>, answer: Result<(), Refusal>) -> Result<(), Stale> {
        let number = server.link.redeem(&pending)?;
        if !matches!(&server.now, Busy::Retrieving(retrieval) if retrieval.question == number) {
            return Err(Stale);
        }
        let Busy::Retrieving(retrieval) = core::mem::replace(&mut server.now, Busy::Ready) else {
            unreachable!("it is matched above")
        };
        server.progress = true;
        server.retrieved(retrieval, answer)
    }

    fn decline(server: &mut Server, pending: Pending<Self>) -> Result<(), Stale> {
        Self::settle(server, pending, Err(Refusal::temporary(Text::literal("the message cannot be read now"))))
    }
}

impl sealed::Settle for ask::Commit {
    fn settle(server: &mut Server, pending: Pending<Self>, answer: Result<(), Refusal>) -> Result<(), Stale> {
        let number = server.link.redeem(&pending)?;
        if !matches!(server.now, Busy::Committing(question) if question == number) {
            return Err(Stale);
        }
        server.now = Busy::Ready;
        match answer {
            Ok(()) => server.goodbye(),
            Err(why) => server.not_committed(&why),
        }
        Ok(())
    }

    fn decline(server: &mut Server, pending: Pending<Self>) -> Result<(), Stale> {
        let why = Text::literal("some deleted messages are not removed");
        Self::settle(server, pending, Err(Refusal::temporary(why)))
    }
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
                    // RFC 1939, 3: no reply, and nothing is deleted.
                    Turn::Clients => self.close(Closed::TimedOut),
                    Turn::Applications => self.give_up_waiting(),
                }
                continue;
            }
            return Step::Idle { deadline: self.patience.deadline() };
        }
    }
}

session_over_link!(Server, link);
