//! The client's side of a session.
//!
//! Commands are given when they come to mind; the session sends them as early as the protocol allows
//! (RFC 9051, 5.5), at most [`Limits::pipeline`] ahead, and says of each how it ended. Completions are matched by
//! their tags alone.
//!
//! 1. [`Event::Greeting`], then [`Event::Ready`]: the capabilities are known.
//! 2. [`Client::start_tls`] unless TLS came first; [`Event::Completed`] and [`Event::Ready`] again.
//! 3. [`Client::authenticate`]; [`Event::Completed`] and [`Event::Ready`].
//! 4. Any [`Client::command`], [`Client::append`], [`Client::idle`].
//! 5. [`Client::logout`]; [`Event::Closed`].

mod config;
mod event;
mod gather;
mod reading;
mod selected;
mod sending;

pub use config::{Config, Limits};
pub use event::{CommandId, Event};
pub use gather::{Fetched, FetchedBody, Gather};
pub use selected::Selected;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;

use postrider_core::{
    Closed, Excerpt, Instant, Link, Machine, Misuse, Pending, ProtocolError, Question, Security, SessionId, Step, Tap,
    Timer, session_over_link,
};
use postrider_sasl::{Mechanism, line};

use crate::dialogue::{Dialogue, Ending, State, Verb};
use crate::wire::{
    Append, Atom, Authenticate, Capabilities, Capability, Code, Command, Condition, Data, DateTime, Dialect, Encoder,
    Flags, Literals, Mailbox, Password, Response, Status, Tag,
};
use reading::{Read, Reader};
use sending::{Exchange, Job, Message, Progress, Sending, Work, verb};

/// The questions.
pub mod ask {
    use super::Question;

    /// What are the octets of the message? Answered with [`Client::write`](super::Client::write).
    #[derive(Debug)]
    pub enum Literal {}

    impl Question for Literal {
        type Yes = ();
        type No = ();
    }
}

/// One session with one server.
pub struct Client {
    config: Config,
    link: Link,
    reader: Reader,
    encoder: Encoder,
    dialogue: Dialogue,
    events: VecDeque<Event>,
    phase: Phase,
    /// Accepted and not begun.
    queue: VecDeque<Job>,
    sending: Option<Sending>,
    /// Sent and not completed, in the order of sending.
    waiting: VecDeque<Job>,
    given: u64,
    tags: u64,
    capabilities: Option<Capabilities>,
    selected: Option<Selected>,
    /// The server has said BYE.
    bye: bool,
    silence: Timer,
    idle: Timer,
    /// The server has said something since `silence` was armed.
    heard: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The greeting has not come.
    Greeting,
    Running,
    /// STARTTLS was agreed to; the command that asked for it is completed when TLS is there.
    StartingTls(Option<CommandId>),
    Closed,
}

impl Client {
    /// A session that begins now. `id` is the caller's number for it.
    pub fn new(config: Config, id: SessionId) -> Self {
        let mut limits = config.limits.link;
        // A response must fit, and what comes after it in the same read.
        limits.input = limits.input.max(config.limits.response.unit.saturating_add(64 * 1024));
        let mut link = Link::new(id, limits);
        if config.implicit_tls {
            link.start_with_tls();
        }
        let mut silence = Timer::OFF;
        silence.arm(config.limits.greeting);
        Self {
            config,
            link,
            reader: Reader::new(&config.limits),
            encoder: Encoder::commands(Dialect::REV1),
            dialogue: Dialogue::new(config.implicit_tls),
            events: VecDeque::new(),
            phase: Phase::Greeting,
            queue: VecDeque::new(),
            sending: None,
            waiting: VecDeque::new(),
            given: 0,
            tags: 0,
            capabilities: None,
            selected: None,
            bye: false,
            silence,
            idle: Timer::OFF,
            heard: false,
        }
    }

    // ── what is asked of the server ──

    /// Gives a command. APPEND, AUTHENTICATE, IDLE, LOGOUT and STARTTLS have calls of their own.
    ///
    /// # Errors
    /// [`Misuse`] if it has no place here, even if all commands before it succeed; if the server has said that
    /// it does not know it; or if too many are waiting. LOGIN also without TLS, unless
    /// [`Config::dangerous_plaintext_login`].
    pub fn command(&mut self, command: Command) -> Result<CommandId, Misuse> {
        match &command {
            Command::Append(_) => return Err(Misuse::new("APPEND is given with append()")),
            Command::Authenticate(_) => return Err(Misuse::new("AUTHENTICATE is given with authenticate()")),
            Command::StartTls => return Err(Misuse::new("STARTTLS is given with start_tls()")),
            Command::Logout => return Err(Misuse::new("LOGOUT is given with logout()")),
            Command::Idle => return self.idle(),
            Command::Login { .. } => {
                self.secret_may_be_sent()?;
                let known = self.capabilities.as_ref().filter(|_| !self.is_changing());
                if known.is_some_and(|known| known.contains(&Capability::LoginDisabled)) {
                    return Err(Misuse::new("the server allows no LOGIN now (LOGINDISABLED)"));
                }
            }
            _ => {}
        }
        if let Some(missing) = required(&command).and_then(|needs| self.knows_not(&needs)) {
            return Err(missing);
        }
        self.give(verb(&command), Work::Plain(Box::new(command)))
    }

    /// Logs in.
    ///
    /// # Errors
    /// [`Misuse`] if somebody is or may be logged in already, if the server does not have the mechanism, or if the
    /// mechanism shows the password and there is no TLS, unless [`Config::dangerous_plaintext_login`].
    pub fn authenticate(&mut self, mechanism: Box<dyn Mechanism>) -> Result<CommandId, Misuse> {
        let name = mechanism.name();
        if name.exposes_secret() {
            self.secret_may_be_sent()?;
        }
        let known = self.capabilities.as_ref().filter(|_| !self.is_changing());
        if known.is_some_and(|known| !known.authenticates(name.as_str())) {
            return Err(Misuse::new(format!("the server does not have the mechanism {}", name.as_str())));
        }
        self.give(Some(Verb::Authenticate), Work::Login(mechanism))
    }

    /// Adds a message of `size` octets to a mailbox. Its octets are asked for with [`Event::LiteralWanted`].
    ///
    /// # Errors
    /// [`Misuse`] if nobody is logged in, or if a flag is the server's own.
    pub fn append(
        &mut self,
        to: Mailbox,
        flags: Flags,
        date: Option<DateTime>,
        size: u64,
    ) -> Result<CommandId, Misuse> {
        if flags.iter().any(crate::wire::Flag::is_servers) {
            return Err(Misuse::new("a client cannot set this flag"));
        }
        let append = Append { mailbox: to, flags, date, size, binary: false, utf8: false };
        self.give(Some(Verb::Append), Work::Append(Box::new(append)))
    }

    /// Gives octets of the message that is wanted, as much as there is room for. Says how many were taken; 0 means:
    /// wait until output was sent, or that there is nothing left to give. When all octets are there the command goes
    /// on by itself.
    #[must_use = "octets that were not taken must be offered again"]
    pub fn write(&mut self, literal: &Pending<ask::Literal>, octets: &[u8]) -> usize {
        let Ok(number) = self.link.redeem(literal) else { return 0 };
        let room = self.link.room();
        let Some(sending) = self.sending.as_mut().filter(|_| self.phase != Phase::Closed) else { return 0 };
        let Some(message) = sending.message.as_mut().filter(|message| message.asked == Some(number)) else { return 0 };
        let left = usize::try_from(message.left).unwrap_or(usize::MAX);
        let taken = octets.len().min(room).min(left);
        self.link.put_body(&octets[..taken]);
        message.left -= taken as u64;
        if message.left == 0 {
            sending.end_message(&mut self.encoder, &mut self.link);
        }
        taken
    }

    /// The message cannot be given after all. The server waits for octets that will not come, so the session ends.
    pub fn abandon(&mut self, literal: Pending<ask::Literal>) {
        let Ok(number) = self.link.redeem(&literal) else { return };
        let message = self.sending.as_ref().and_then(|sending| sending.message.as_ref());
        if message.is_some_and(|message| message.asked == Some(number)) {
            self.close(Closed::ByUs);
        }
    }

    /// Lets the server report changes as they happen (RFC 2177), until [`Client::done`]. It is begun anew every
    /// [`Limits::idle`] without further notice. Nothing else is sent meanwhile.
    ///
    /// # Errors
    /// [`Misuse`] if nobody is logged in or the server does not have IDLE.
    pub fn idle(&mut self) -> Result<CommandId, Misuse> {
        if let Some(missing) = self.knows_not(&Capability::Idle) {
            return Err(missing);
        }
        self.give(Some(Verb::Idle), Work::Idle { done: false })
    }

    /// Ends IDLE. If it has not begun, it is not begun at all and [`Event::NotSent`] comes.
    ///
    /// # Errors
    /// [`Misuse`] if it is not IDLE, or is completed.
    pub fn done(&mut self, idle: CommandId) -> Result<(), Misuse> {
        let is = |job: &Job| job.id == Some(idle) && job.verb == Some(Verb::Idle);
        if let Some(at) = self.queue.iter().position(is) {
            self.queue.remove(at);
            self.events.push_back(Event::NotSent { of: idle, why: Misuse::new("it was taken back") });
            return Ok(());
        }
        let Some(job) = self.waiting.iter_mut().find(|job| is(job)) else {
            return Err(Misuse::new("this is no IDLE in progress"));
        };
        if let Work::Idling { begun, done, again } = &mut job.work {
            *again = false;
            if *begun && !*done {
                self.link.put(b"DONE");
                self.link.end_line();
            }
            *done = true;
        }
        self.idle.disarm();
        Ok(())
    }

    /// Asks for TLS. Completed when it is in place.
    ///
    /// # Errors
    /// [`Misuse`] if TLS is in place, somebody is logged in, or the server does not have it.
    pub fn start_tls(&mut self) -> Result<CommandId, Misuse> {
        if let Some(missing) = self.knows_not(&Capability::StartTls) {
            return Err(missing);
        }
        self.give(Some(Verb::StartTls), Work::Plain(Box::new(Command::StartTls)))
    }

    /// Says goodbye when the commands given before are completed, and ends.
    pub fn logout(&mut self) {
        if self.phase == Phase::Closed || self.is_leaving() {
            return;
        }
        if self.phase == Phase::Greeting {
            return self.close(Closed::ByUs);
        }
        let job = self.job(None, Some(Verb::Logout), Work::Plain(Box::new(Command::Logout)));
        self.queue.push_back(job);
    }

    /// Ends at once. What becomes of commands not completed is not known.
    pub fn abort(&mut self) {
        if self.phase != Phase::Closed {
            self.close(Closed::ByUs);
        }
    }

    // ── what is known ──

    /// What the server can do, as far as it has said so since the greeting, TLS or login.
    pub fn capabilities(&self) -> Option<&Capabilities> {
        self.capabilities.as_ref()
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.dialogue.state()
    }

    /// Whether the stream is protected.
    pub fn security(&self) -> &Security {
        self.link.security()
    }

    /// The selected mailbox, from the moment its SELECT is sent.
    pub fn selected(&self) -> Option<&Selected> {
        self.selected.as_ref()
    }

    /// Lets `tap` watch the wire from here on.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) {
        self.link.set_tap(tap);
    }

    // ── taking commands ──

    fn give(&mut self, verb: Option<Verb>, work: Work) -> Result<CommandId, Misuse> {
        if self.phase == Phase::Closed || self.bye || self.is_leaving() {
            return Err(Misuse::new("the session is ending"));
        }
        if self.open().count() >= self.config.limits.commands {
            return Err(Misuse::new("too many commands are waiting"));
        }
        if let Some(verb) = verb {
            self.expected().may(verb).map_err(|why| Misuse::new(format!("{why}")))?;
        }
        self.given += 1;
        let id = CommandId(self.given);
        let job = self.job(Some(id), verb, work);
        self.queue.push_back(job);
        Ok(id)
    }

    fn job(&mut self, id: Option<CommandId>, verb: Option<Verb>, work: Work) -> Job {
        self.tags += 1;
        // A letter first: 163.com takes no tags that are numbers.
        let tag = Tag::new(&format!("p{}", self.tags)).expect("a letter and digits are a tag");
        Job { id, tag, verb, work }
    }

    /// The state there will be if all commands given succeed.
    fn expected(&self) -> Dialogue {
        let mut expected = self.dialogue;
        for job in self.open() {
            if let Some(verb) = job.verb {
                expected.completed(verb, Ending::Ok);
            }
        }
        expected
    }

    fn is_leaving(&self) -> bool {
        self.open().any(|job| job.verb == Some(Verb::Logout))
    }

    /// The misuse it would be to use what the server has said it does not have. Nothing is known to be missing while
    /// something that changes the capabilities is under way.
    fn knows_not(&self, wanted: &Capability) -> Option<Misuse> {
        let known = self.capabilities.as_ref()?;
        let has = known.contains(wanted) || known.contains(&Capability::Imap4Rev2) && is_in_rev2(wanted);
        (!has && !self.is_changing()).then(|| Misuse::new(format!("the server does not have {wanted}")))
    }

    /// Whether what the server has said of its capabilities may not hold for the next command.
    fn is_changing(&self) -> bool {
        self.open().any(|job| matches!(job.verb, Some(Verb::Login | Verb::Authenticate | Verb::StartTls)))
    }

    /// All commands that are not completed, in order.
    fn open(&self) -> impl Iterator<Item = &Job> {
        let sending = self.sending.as_ref().map(|sending| &sending.job);
        self.waiting.iter().chain(sending).chain(&self.queue)
    }

    fn secret_may_be_sent(&self) -> Result<(), Misuse> {
        if self.expected().is_tls() || self.config.allows_plaintext_login() {
            return Ok(());
        }
        Err(Misuse::new("a password is not sent without TLS"))
    }

    // ── sending ──

    /// Sends as many commands as may be sent now.
    fn send(&mut self) {
        while matches!(self.phase, Phase::Running) && !self.link.is_congested() {
            if let Some(sending) = &mut self.sending {
                if sending.go_on(&mut self.link) == Progress::Blocked {
                    return self.want_message();
                }
                let sending = self.sending.take().expect("it was there a line above");
                match sending.refused {
                    Some(status) => self.completed(sending.job, status),
                    None => self.waiting.push_back(sending.job),
                }
                continue;
            }
            let Some(next) = self.queue.front() else { return };
            if self.waiting.len() >= self.config.limits.pipeline {
                return;
            }
            let follows = |ahead: &Job| match (next.verb, ahead.verb) {
                // How the next command is written depends on the capabilities that the session itself asks for.
                (_, Some(Verb::Capability)) if ahead.id.is_none() => false,
                // What came before SELECT is about the mailbox before.
                (Some(Verb::Select | Verb::Examine), _) => false,
                (Some(verb), Some(ahead)) => verb.may_follow(ahead),
                // Who knows what it does.
                (None, _) | (_, None) => false,
            };
            if !self.waiting.iter().all(follows) || self.bye {
                return;
            }
            let job = self.queue.pop_front().expect("it is at the front");
            self.begin(job);
        }
    }

    /// Begins to send a command, unless it has lost its place.
    fn begin(&mut self, mut job: Job) {
        if let (Some(verb), Some(id)) = (job.verb, job.id) {
            let why = match self.dialogue.may(verb) {
                Err(why) => Some(Misuse::new(format!("{why}"))),
                // TLS was expected when it was given, and did not come.
                Ok(()) if job.work.exposes_secret() => self.secret_may_be_sent().err(),
                Ok(()) => None,
            };
            if let Some(why) = why {
                return self.events.push_back(Event::NotSent { of: id, why });
            }
        }
        self.agree_on_literals();
        let mut message = None;
        job.work = match core::mem::replace(&mut job.work, Work::Sent) {
            Work::Plain(command) => {
                let mut work = Work::Sent;
                if let Command::Select { mailbox, read_only, .. } = &*command {
                    self.selected = Some(Selected::new(mailbox.clone(), *read_only));
                    work = Work::Selecting;
                }
                sending::encode(&job.tag, *command, &mut self.encoder);
                work
            }
            Work::Login(mechanism) => self.begin_login(&job.tag, mechanism),
            Work::Append(append) => {
                sending::encode(&job.tag, Command::Append((*append).clone()), &mut self.encoder);
                message = Some(Message { left: append.size, append, asked: None });
                Work::Sent
            }
            Work::Idle { done } => {
                sending::encode(&job.tag, Command::Idle, &mut self.encoder);
                Work::Idling { begun: false, done, again: false }
            }
            sent @ (Work::Sent | Work::Selecting | Work::Exchange(_) | Work::Idling { .. }) => sent,
        };
        // Most commands go out in one piece.
        if message.is_none() && !self.encoder.waits() {
            self.encoder.send(&mut self.link);
            return self.waiting.push_back(job);
        }
        self.sending = Some(Sending::new(job, message, &mut self.encoder));
    }

    fn begin_login(&mut self, tag: &Tag, mut mechanism: Box<dyn Mechanism>) -> Work {
        let inline = self.capabilities.as_ref().is_some_and(|known| known.contains(&Capability::SaslIr));
        let initial = if inline { mechanism.initial() } else { None };
        let sent = initial.is_some();
        let name = Atom::new(mechanism.name().as_str()).expect("the names of mechanisms are atoms");
        let initial = initial.map(|initial| Password::new(initial.into_inner()));
        sending::encode(tag, Command::Authenticate(Authenticate { mechanism: name, initial }), &mut self.encoder);
        self.reader.challenges_are_secret = true;
        Work::Exchange(Exchange { mechanism, initial: !sent, challenges: 0, cancelled: false })
    }

    fn agree_on_literals(&mut self) {
        let has = |capability| self.capabilities.as_ref().is_some_and(|known| known.contains(&capability));
        let literals = if has(Capability::LiteralPlus) {
            Literals::Plus
        } else if has(Capability::LiteralMinus) || has(Capability::Imap4Rev2) {
            Literals::Minus
        } else {
            Literals::Wait
        };
        self.encoder.set_dialect(self.encoder.dialect().with_literals(literals));
    }

    /// If nothing but the message of an APPEND is missing, asks for it.
    fn want_message(&mut self) {
        let Some(sending) = &mut self.sending else { return };
        let Some(message) = sending.message.as_mut().filter(|_| !sending.waits) else { return };
        if message.left == 0 {
            sending.end_message(&mut self.encoder, &mut self.link);
            return self.send();
        }
        if message.asked.is_none() {
            let (literal, number) = self.link.ask();
            message.asked = Some(number);
            // The session's own commands have no messages.
            let of = sending.job.id.expect("APPEND was given by the caller");
            self.events.push_back(Event::LiteralWanted { of, literal });
        }
    }

    // ── reading ──

    fn read(&mut self, read: Read) -> Result<(), ProtocolError> {
        self.heard = true;
        let event = match read {
            Read::Response(response) => return self.response(response),
            Read::FetchStart { number } => Event::FetchStart { number },
            Read::FetchItem(item) => Event::FetchItem(item),
            Read::BodyStart { section, binary, origin, size } => Event::BodyStart { section, binary, origin, size },
            Read::Body(octets) => Event::Body(octets),
            Read::BodyEnd => Event::BodyEnd,
            Read::FetchEnd => Event::FetchEnd,
        };
        if self.phase == Phase::Greeting {
            return Err(ProtocolError::Unexpected { what: "data before a greeting", got: Excerpt::new(b"FETCH") });
        }
        self.events.push_back(event);
        Ok(())
    }

    fn response(&mut self, response: Response) -> Result<(), ProtocolError> {
        match (self.phase, response) {
            (Phase::Greeting, Response::Data(Data::Status(status))) => self.greeting(status),
            (Phase::Greeting, Response::Data(Data::Raw(raw))) => {
                Err(ProtocolError::Malformed(raw.why, Excerpt::new(&raw.bytes)))
            }
            (Phase::Greeting, _) => {
                Err(ProtocolError::Unexpected { what: "no greeting", got: Excerpt::new(b"another response") })
            }
            (_, Response::Data(data)) => {
                self.data(data);
                Ok(())
            }
            (_, Response::Continue(wanted)) => self.invited(&wanted.text),
            (_, Response::Tagged { tag, status }) => self.tagged(&tag, status),
        }
    }

    fn greeting(&mut self, status: Status) -> Result<(), ProtocolError> {
        match status.condition {
            Condition::Ok => {}
            Condition::PreAuth => {
                let tls = self.link.security().is_tls();
                if !tls && !self.config.allows_plaintext_preauth() {
                    let got = Excerpt::new(status.text.as_str().as_bytes());
                    return Err(ProtocolError::Unexpected { what: "PREAUTH without TLS", got });
                }
                self.dialogue = Dialogue::preauthenticated(tls);
            }
            Condition::Bye => {
                self.events.push_back(Event::Greeting(status));
                self.close(Closed::ByPeer);
                return Ok(());
            }
            Condition::No | Condition::Bad => {
                let got = Excerpt::new(status.text.as_str().as_bytes());
                return Err(ProtocolError::Unexpected { what: "no greeting", got });
            }
        }
        self.phase = Phase::Running;
        self.learn_code(&status);
        self.events.push_back(Event::Greeting(status));
        self.ready();
        Ok(())
    }

    /// The capabilities are known, or not wanted; if neither, they are asked for.
    fn ready(&mut self) {
        if self.capabilities.is_some() || !self.config.ask_capabilities {
            return self.events.push_back(Event::Ready);
        }
        let job = self.job(None, Some(Verb::Capability), Work::Plain(Box::new(Command::Capability)));
        self.queue.push_front(job);
    }

    fn data(&mut self, data: Data) {
        if let Some(selected) = &mut self.selected {
            selected.learn(&data);
        }
        if let Data::Capability(capabilities) = &data {
            self.capabilities = Some(capabilities.clone());
        } else if let Data::Enabled(enabled) = &data {
            let asked = self.waiting.iter().any(|job| job.verb == Some(Verb::Enable));
            let utf8 = enabled.contains(&Capability::Imap4Rev2) || enabled.contains(&Capability::Utf8Accept);
            if asked && utf8 {
                let literals = self.encoder.dialect().literals;
                self.encoder.set_dialect(Dialect::UTF8.with_literals(literals));
            }
        } else if let Data::Status(status) = &data {
            self.learn_code(status);
            self.bye |= status.condition == Condition::Bye;
        }
        self.events.push_back(Event::Data(data));
        // A BYE that nobody asked for: some servers repeat it until we go.
        if self.bye && !self.is_leaving() {
            self.close(Closed::ByPeer);
        }
    }

    fn learn_code(&mut self, status: &Status) {
        if let Some(Code::Capability(capabilities)) = &status.code {
            self.capabilities = Some(capabilities.clone());
        }
    }

    /// A continuation request has come.
    fn invited(&mut self, text: &[u8]) -> Result<(), ProtocolError> {
        if let Some(sending) = self.sending.as_mut().filter(|sending| sending.waits) {
            sending.waits = false;
            return Ok(());
        }
        let challenges = self.config.limits.challenges;
        for job in &mut self.waiting {
            match &mut job.work {
                Work::Idling { begun, done, again } if !*begun => {
                    *begun = true;
                    if *done {
                        self.link.put(b"DONE");
                        self.link.end_line();
                    } else {
                        self.idle.arm(self.config.limits.idle);
                        if !core::mem::replace(again, false) {
                            self.events.extend(job.id.map(Event::Idling));
                        }
                    }
                    return Ok(());
                }
                Work::Exchange(exchange) if !exchange.cancelled => {
                    exchange.challenges += 1;
                    if exchange.challenges > challenges {
                        let limit = u64::from(challenges);
                        return Err(ProtocolError::TooMuch { what: "SASL challenges", limit });
                    }
                    answer_challenge(exchange, text, &mut self.link);
                    return Ok(());
                }
                Work::Idling { .. } | Work::Exchange(_) | Work::Plain(_) | Work::Login(_) | Work::Append(_) => {}
                Work::Idle { .. } | Work::Sent | Work::Selecting => {}
            }
        }
        // Nobody waits for it. Some servers send one too many; it does no harm.
        Ok(())
    }

    fn tagged(&mut self, tag: &Tag, status: Status) -> Result<(), ProtocolError> {
        if let Some(at) = self.waiting.iter().position(|job| job.tag == *tag) {
            let job = self.waiting.remove(at).expect("its place was just found");
            return self.ended(job, status);
        }
        match &mut self.sending {
            Some(sending) if sending.job.tag == *tag => {
                if status.condition == Condition::Ok {
                    let got = Excerpt::new(status.text.as_str().as_bytes());
                    return Err(ProtocolError::Unexpected { what: "OK to a command that was not sent yet", got });
                }
                // What was announced without waiting, or invited, must be sent all the same.
                if sending.waits {
                    let sending = self.sending.take().expect("it is here");
                    self.completed(sending.job, status);
                } else {
                    sending.refused = Some(status);
                }
            }
            // A tag of nobody's, or a second completion. Completions are matched by tags alone, so it means nothing.
            Some(_) | None => self.events.push_back(Event::Data(Data::Status(status))),
        }
        Ok(())
    }

    /// A command that was sent completely has ended.
    fn ended(&mut self, mut job: Job, status: Status) -> Result<(), ProtocolError> {
        let ok = status.condition == Condition::Ok;
        match &mut job.work {
            Work::Exchange(exchange) if ok => {
                if exchange.cancelled || exchange.mechanism.succeeded().is_err() {
                    let got = Excerpt::new(status.text.as_str().as_bytes());
                    return Err(ProtocolError::Unexpected { what: "a login cannot have succeeded", got });
                }
            }
            Work::Idling { again: true, .. } if ok => {
                // It was ended only to be begun anew.
                let next = self.job(job.id, job.verb, Work::Idling { begun: false, done: false, again: true });
                sending::encode(&next.tag, Command::Idle, &mut self.encoder);
                self.encoder.send(&mut self.link);
                self.waiting.push_back(next);
                return Ok(());
            }
            Work::Idling { .. } => self.idle.disarm(),
            Work::Exchange(_) | Work::Plain(_) | Work::Login(_) | Work::Append(_) | Work::Idle { .. } => {}
            Work::Sent | Work::Selecting => {}
        }
        if job.verb == Some(Verb::StartTls) && ok {
            self.link.begin_tls()?;
            self.phase = Phase::StartingTls(job.id);
            return Ok(());
        }
        self.completed(job, status);
        Ok(())
    }

    fn completed(&mut self, job: Job, status: Status) {
        let ending = match status.condition {
            Condition::Ok | Condition::PreAuth => Ending::Ok,
            Condition::No => Ending::No,
            Condition::Bad | Condition::Bye => Ending::Bad,
        };
        if let Some(verb) = job.verb {
            self.dialogue.completed(verb, ending);
        }
        let login = matches!(job.verb, Some(Verb::Login | Verb::Authenticate));
        let new_identity = login && ending == Ending::Ok;
        if login {
            self.reader.challenges_are_secret = false;
        }
        if new_identity {
            // What was said to a stranger does not hold now (RFC 9051, 6.2.2 and 6.2.3).
            self.capabilities = None;
        }
        if matches!(job.verb, Some(Verb::Close | Verb::Unselect)) && ending == Ending::Ok {
            self.selected = None;
        }
        self.learn_code(&status);
        if let Work::Selecting = job.work {
            match (&mut self.selected, ending) {
                (Some(selected), Ending::Ok) => selected.learn_status(&status),
                (selected, Ending::Ok | Ending::No | Ending::Bad) => *selected = None,
            }
        }
        let own_capability = job.id.is_none() && job.verb == Some(Verb::Capability);
        if let Some(of) = job.id {
            self.events.push_back(Event::Completed { of, status });
        }
        if job.verb == Some(Verb::Logout) {
            return self.close(Closed::ByUs);
        }
        if new_identity {
            self.ready();
        }
        if own_capability {
            self.events.push_back(Event::Ready);
        }
    }

    /// TLS is in place: nothing of what was said before holds.
    fn secured(&mut self, id: Option<CommandId>) {
        self.phase = Phase::Running;
        self.dialogue.completed(Verb::StartTls, Ending::Ok);
        self.capabilities = None;
        self.selected = None;
        self.encoder.set_dialect(Dialect::REV1);
        if let Some(of) = id {
            let text = postrider_core::Text::literal("TLS is in place");
            self.events
                .push_back(Event::Completed { of, status: Status { condition: Condition::Ok, code: None, text } });
        }
        self.ready();
    }

    // ── time and the end ──

    /// Whether the server owes us something.
    fn is_owed(&self) -> bool {
        let idling = |job: &Job| matches!(job.work, Work::Idling { begun: true, done: false, .. });
        let waits = self.sending.as_ref().is_some_and(|sending| sending.waits);
        let sent = self.waiting.iter().any(|job| !idling(job));
        let opening = matches!(self.phase, Phase::Greeting | Phase::StartingTls(_));
        opening || waits || sent || self.reader.is_within() || self.link.is_congested()
    }

    fn tick(&mut self, now: Instant) -> Option<Closed> {
        if self.idle.tick(now) {
            self.begin_idle_anew();
        }
        if !self.is_owed() {
            self.silence.disarm();
        } else if self.phase != Phase::Greeting {
            if core::mem::replace(&mut self.heard, false) {
                self.silence.arm(self.config.limits.silence);
            }
            self.silence.arm_if_off(self.config.limits.silence);
        }
        self.silence.tick(now).then_some(Closed::TimedOut)
    }

    fn begin_idle_anew(&mut self) {
        for job in &mut self.waiting {
            if let Work::Idling { begun: true, done: done @ false, again } = &mut job.work {
                *done = true;
                *again = true;
                self.link.put(b"DONE");
                self.link.end_line();
            }
        }
    }

    fn close(&mut self, why: Closed) {
        self.phase = Phase::Closed;
        self.dialogue.bye();
        self.link.close(&why);
        self.queue.clear();
        self.waiting.clear();
        self.sending = None;
        self.events.push_back(Event::Closed(why));
    }
}

/// Answers a challenge, or gives up.
fn answer_challenge(exchange: &mut Exchange, text: &[u8], link: &mut Link) {
    /// Octets of base64. The largest challenges, of Kerberos, have some kilobytes.
    const LIMIT: usize = 16 * 1024;
    let message = line::challenge(text, LIMIT).ok().and_then(|challenge| {
        if core::mem::replace(&mut exchange.initial, false)
            && challenge.is_empty()
            && let Some(initial) = exchange.mechanism.initial()
        {
            return Some(initial);
        }
        exchange.mechanism.respond(&challenge).ok()
    });
    match message {
        Some(message) => link.put_secret(line::encode(message.reveal()).reveal().as_bytes()),
        None => {
            exchange.cancelled = true;
            link.put(b"*");
        }
    }
    link.end_line();
}

/// The extension that a command belongs to.
fn required(command: &Command) -> Option<Capability> {
    match command {
        Command::Enable(_) => Some(Capability::Enable),
        Command::Id(_) => Some(Capability::Id),
        Command::Namespace => Some(Capability::Namespace),
        Command::Unselect => Some(Capability::Unselect),
        Command::Expunge(Some(_)) => Some(Capability::UidPlus),
        Command::Move { .. } => Some(Capability::Move),
        Command::Create { special_use, .. } if !special_use.is_empty() => Some(Capability::CreateSpecialUse),
        Command::Select { params, .. } if params.qresync.is_some() => Some(Capability::QResync),
        Command::Select { params, .. } if params.condstore => Some(Capability::CondStore),
        Command::Fetch(fetch) if fetch.vanished => Some(Capability::QResync),
        Command::Fetch(fetch) if fetch.changed_since.is_some() => Some(Capability::CondStore),
        Command::Store(store) if store.unchanged_since.is_some() => Some(Capability::CondStore),
        Command::Search(search) if search.returns.is_some() => Some(Capability::Esearch),
        Command::List(list) if !list.returns.status.is_empty() => Some(Capability::ListStatus),
        Command::List(list) if list.select.special_use || list.returns.special_use => Some(Capability::SpecialUse),
        Command::List(list) if list.extended => Some(Capability::ListExtended),
        Command::Capability | Command::Noop | Command::Logout | Command::StartTls | Command::Authenticate(_) => None,
        Command::Login { .. } | Command::Select { .. } | Command::Create { .. } | Command::Delete(_) => None,
        Command::Rename { .. } | Command::Subscribe(_) | Command::Unsubscribe(_) | Command::List(_) => None,
        Command::Lsub { .. } | Command::Status { .. } | Command::Append(_) | Command::Idle | Command::Check => None,
        Command::Close | Command::Expunge(None) | Command::Search(_) | Command::Fetch(_) | Command::Store(_) => None,
        Command::Copy { .. } | Command::Other { .. } => None,
    }
}

/// Whether IMAP4rev2 has it without naming it (RFC 9051, appendix E).
fn is_in_rev2(capability: &Capability) -> bool {
    matches!(
        capability,
        Capability::Namespace
            | Capability::Unselect
            | Capability::UidPlus
            | Capability::Esearch
            | Capability::SearchRes
            | Capability::Enable
            | Capability::Idle
            | Capability::SaslIr
            | Capability::ListExtended
            | Capability::ListStatus
            | Capability::Move
            | Capability::LiteralMinus
            | Capability::Children
    )
}

impl Machine for Client {
    type Event = Event;

    fn poll(&mut self, now: Instant) -> Step<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Step::Event(event);
            }
            if self.phase == Phase::Closed {
                return Step::Idle { deadline: self.link.poll_closed(now) };
            }
            if let Some(failed) = self.link.take_tls_failure() {
                self.close(Closed::Tls(failed));
                continue;
            }
            if let Some(why) = self.tick(now) {
                self.close(why);
                continue;
            }
            if self.link.is_gated() {
                return Step::Idle { deadline: self.silence.deadline() };
            }
            if let Phase::StartingTls(id) = self.phase {
                self.secured(id);
                continue;
            }
            match self.reader.next(&mut self.link, self.encoder.dialect().utf8) {
                Ok(Some(read)) => {
                    if let Err(error) = self.read(read) {
                        self.close(Closed::Protocol(error));
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    self.close(Closed::Protocol(error));
                    continue;
                }
            }
            self.send();
            if !self.events.is_empty() {
                continue;
            }
            if self.link.is_eof() {
                // After LOGOUT and BYE some servers do without the OK.
                self.close(if self.bye { Closed::ByUs } else { Closed::Eof });
                continue;
            }
            // What was sent or begun just now may have armed or stopped a timer.
            if let Some(why) = self.tick(now) {
                self.close(why);
                continue;
            }
            if self.queue.is_empty() && self.waiting.is_empty() {
                self.link.release();
            }
            return Step::Idle { deadline: Timer::earliest([&self.silence, &self.idle]) };
        }
    }
}

session_over_link!(Client, link);
