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
//!
//! ```
//! use postrider_core::{Instant, Machine, Session, Step};
//! use postrider_imap::client::{Client, Config, Event, Gather};
//! use postrider_imap::wire::{Attribute, Command, Fetch, Mailbox, SequenceSet};
//!
//! // A pipe to a local server, who knows us already.
//! let mut client = Client::new(Config::default().dangerous_plaintext_preauth(), 1);
//! let mut gather = Gather::new(10 << 20);
//! # let server: [&[u8]; 3] = [
//! #     b"* PREAUTH [CAPABILITY IMAP4rev2] hello\r\n",
//! #     b"* 1 EXISTS\r\np1 OK [READ-WRITE] done\r\n",
//! #     b"* 1 FETCH (UID 17 RFC822.SIZE 321)\r\np2 OK done\r\n* BYE bye\r\np3 OK done\r\n",
//! # ];
//! # let mut server = server.into_iter();
//! while !client.is_finished() {
//!     while let Step::Event(event) = client.poll(Instant::ORIGIN) {
//!         match gather.take(event) {
//!             Ok(None) => {}
//!             Ok(Some(message)) => assert_eq!((message.uid, message.size), (Some(17), Some(321))),
//!             Err(Event::Ready) => {
//!                 let (mailbox, params) = (Mailbox::INBOX, Default::default());
//!                 client.command(Command::Select { mailbox, read_only: true, params })?;
//!                 let attributes = vec![Attribute::Uid, Attribute::Size];
//!                 let messages = SequenceSet::ALL;
//!                 let fetch = Fetch { uid: true, messages, attributes, changed_since: None, vanished: false };
//!                 client.command(Command::Fetch(fetch))?;
//!                 client.logout();
//!             }
//!             Err(Event::Completed { status, .. }) => println!("{}", status.text),
//!             Err(_) => {}
//!         }
//!     }
//!     client.sent(client.output().len()); // write `output` to the server, and
//!     if let Some(octets) = server.next() {
//!         let taken = client.receive(octets); // what it sends goes in, at most `window` octets
//! #       assert_eq!(taken, octets.len());
//!     }
//! }
//! # Ok::<(), postrider_core::Misuse>(())
//! ```

mod config;
mod event;
mod gather;
mod incoming;
mod needs;
mod outgoing;
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
    Closed, Instant, Link, Machine, Misuse, Pending, Question, Security, SessionId, Step, Tap, Timer, session_over_link,
};
use postrider_sasl::Mechanism;

use crate::dialogue::{Dialogue, Ending, State, Verb};
use crate::wire::{Append, Capabilities, Capability, Command, DateTime, Dialect, Encoder, Flag, Flags, Mailbox, Tag};
use needs::{is_in_rev2, required};
use reading::Reader;
use sending::{Job, Sending, Work, verb};

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
        if flags.iter().any(Flag::is_servers) {
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
            if self.link.is_gated() {
                if let Some(why) = self.tick(now) {
                    self.close(why);
                    continue;
                }
                return Step::Idle { deadline: self.silence.deadline() };
            }
            if let Phase::StartingTls(id) = self.phase {
                self.secured(id);
                continue;
            }
            match self.reader.next(&mut self.link, self.encoder.dialect().utf8) {
                Ok(Some(read)) => match self.read(read) {
                    Ok(Some(event)) => return Step::Event(event),
                    Ok(None) => continue,
                    Err(error) => {
                        self.close(Closed::Protocol(error));
                        continue;
                    }
                },
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
            // Time matters only when there is nothing left to read.
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

session_over_link!(Client, link, events);
