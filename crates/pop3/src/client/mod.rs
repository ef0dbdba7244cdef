//! The client's side of a session.
//!
//! After the greeting and CAPA comes [`Event::Ready`]; again after [`Client::start_tls`]. Every command is a call that
//! gives a [`CommandId`], and is over with [`Event::Completed`]. Commands may be queued; they are sent ahead where the
//! server takes that (PIPELINING), and one by one where it does not.
//!
//! Nothing that was deleted is gone until [`Client::quit`] is completed. A client that is dropped, or whose connection
//! is lost before it said QUIT, has deleted nothing. If the connection is lost after QUIT was sent and before it is
//! completed, what was deleted may be gone or not.
//!
//! [`memory`] helps to fetch each message once, and to delete only what is safe.

mod answers;
mod config;
pub mod memory;
mod sending;

pub use config::{Config, Limits, Quirks};
pub use memory::{Listed, Maildrop, Memory, NoMemory, Plan, TooManyMessages};

use crate::dialogue::{Dialogue, State};
use crate::wire::{Capabilities, LanguageRange, Refusal, UniqueIds, Verb};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use postrider_core::{
    Closed, Excerpt, Instant, Link, Machine, Misuse, ParseError, ProtocolError, Secret, Security, SessionId, Step, Tap,
    Text, Timer, Unstuffer, session_over_link,
};
use postrider_sasl::{ApopChallenge, Mechanism};

/// A command that was given to this client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CommandId(u64);

/// What a client reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server is there, and has said what it can if it can say that: see [`Client::capabilities`]. Comes after the
    /// greeting and again once TLS is in place.
    Ready,
    /// The answer to STAT.
    Status {
        /// The command.
        of: CommandId,
        /// How many messages there are, without the deleted ones.
        messages: u32,
        /// Their octets.
        size: u64,
    },
    /// Messages in the answer to LIST: all that one piece of it holds.
    Listing {
        /// The command.
        of: CommandId,
        /// Their numbers and octets, in the server's order; some servers only guess the octets.
        sizes: Vec<(u32, u64)>,
    },
    /// Messages in the answer to UIDL: all that one piece of it holds.
    UniqueIds {
        /// The command.
        of: CommandId,
        /// Their numbers and ids. A message may have none: it then has to be known by its contents.
        ids: UniqueIds,
    },
    /// A language in the answer to LANG without an argument.
    Language {
        /// The command.
        of: CommandId,
        /// Which.
        tag: LanguageRange,
        /// What it is called in itself; empty if the server does not say.
        name: Text,
    },
    /// The next octets of a message, as they are: no dots added, no line ends changed.
    Body {
        /// The command.
        of: CommandId,
        /// The octets.
        bytes: Bytes,
    },
    /// The server ends the session, and says why: in place of a greeting, or unasked. [`Closed::ByPeer`] follows.
    Dismissed(Refusal),
    /// A command is over. Of a message, all octets were reported before.
    Completed {
        /// The command.
        of: CommandId,
        /// The server's words.
        result: Result<Text, Refusal>,
    },
    /// The end. Commands that were not completed have failed; only QUIT may have been done nevertheless.
    Closed(Closed),
}

/// One session with one server.
pub struct Client {
    config: Arc<Config>,
    link: Link,
    dialogue: Dialogue,
    events: VecDeque<Event>,
    phase: Phase,
    capabilities: Option<Capabilities>,
    /// The timestamp of the greeting, if it can be used.
    challenge: Option<ApopChallenge>,
    /// What CAPA says, until it is complete.
    learning: Capabilities,
    next_id: u64,
    /// To be sent.
    queue: VecDeque<Command>,
    /// Sent, oldest first; its answer comes next.
    waiting: VecDeque<Sent>,
    /// A login, STLS or QUIT was given: what follows depends on its answer.
    settling: bool,
    /// UTF8 was sent and not refused.
    utf8: bool,
    quitting: bool,
    answer: Answer,
    patience: Timer,
    queued: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Greeting,
    /// CAPA was sent by ourselves.
    Asking,
    Ready,
}

/// A command to be sent.
struct Command {
    id: Option<CommandId>,
    what: What,
}

enum What {
    /// A verb and its arguments.
    Line(Verb, Option<u32>, Option<u64>),
    User {
        name: String,
        password: Secret<String>,
    },
    Apop {
        name: String,
        digest: Secret<String>,
    },
    Auth(Box<dyn Mechanism>),
    Lang(Option<LanguageRange>),
}

/// A command that was sent.
struct Sent {
    id: Option<CommandId>,
    verb: Verb,
    /// The message it is about, if it is one.
    message: Option<u32>,
    /// Whether `+OK` is followed by lines.
    lines: bool,
    login: Option<Login>,
}

enum Login {
    /// USER was sent, PASS comes next.
    Password(Secret<String>),
    Exchange {
        mechanism: Box<dyn Mechanism>,
        /// Was too long to go with the command, or was not to.
        initial: Option<Secret<Vec<u8>>>,
        challenges: u32,
    },
}

/// How much of the answer to the oldest command has come.
enum Answer {
    Nothing,
    /// The status line and so many lines after it.
    Lines(Text, u64),
    /// The status line of a message that may come with a second one.
    Twice(Text),
    /// The status line of a message, and so many of its octets.
    Body(Text, Box<Unstuffer>, u64),
}

impl Client {
    /// A session that begins now. `id` is the caller's number for it.
    pub fn new(config: Arc<Config>, id: SessionId) -> Self {
        let mut link = Link::new(id, config.limits.link);
        if config.implicit_tls {
            link.start_with_tls();
        }
        let mut patience = Timer::OFF;
        patience.arm(config.limits.reply);
        Self {
            config,
            link,
            dialogue: Dialogue::default(),
            events: VecDeque::new(),
            phase: Phase::Greeting,
            capabilities: None,
            challenge: None,
            learning: Capabilities::default(),
            next_id: 0,
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            settling: false,
            utf8: false,
            quitting: false,
            answer: Answer::Nothing,
            patience,
            queued: 0,
        }
    }

    /// What the server has said it can do. `None` until it is ready, and if it does not know CAPA.
    pub fn capabilities(&self) -> Option<&Capabilities> {
        self.capabilities.as_ref()
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

    /// Whether the session is over, though [`Event::Closed`] may not have been polled yet: every command is
    /// [`Misuse`] then.
    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// Lets `tap` watch the wire from here on.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) {
        self.link.set_tap(tap);
    }

    // ── before the login ──

    /// STLS: [`Event::Completed`], then TLS, then [`Event::Ready`].
    ///
    /// # Errors
    /// [`Misuse`] if TLS is in place, somebody has logged in, UTF8 was said and not refused (RFC 6856, 2.1), or the server does not offer
    /// it. Who insists on TLS gives up then: nothing else may be sent in the clear.
    //= 6856-2.1-3
    pub fn start_tls(&mut self) -> Result<CommandId, Misuse> {
        self.may(Verb::Stls)?;
        if self.link.security().is_tls() {
            return Err(Misuse::new("TLS is in place already"));
        }
        if self.utf8 {
            return Err(Misuse::new("STLS has no place after UTF8"));
        }
        if self.capabilities.as_ref().is_some_and(|offered| !offered.stls) {
            return Err(Misuse::new("the server does not offer STLS"));
        }
        //= 2595-4-3
        let id = self.enqueue(What::Line(Verb::Stls, None, None))?;
        self.settling = true;
        Ok(id)
    }

    /// USER and PASS.
    ///
    /// # Errors
    /// [`Misuse`] if somebody has logged in, TLS is missing and [`Config::dangerous_plaintext_login`] is off, a value is
    /// empty or holds CR, LF or NUL, or is not ASCII and the server has not said that it takes UTF-8 (RFC 6856,
    /// 2.2).
    //= 1939-7-6
    pub fn login(&mut self, user: &str, password: Secret<String>) -> Result<CommandId, Misuse> {
        self.may(Verb::User)?;
        self.may_expose_secret()?;
        if [user, password.reveal()].iter().any(|value| value.is_empty() || value.contains(['\0', '\r', '\n'])) {
            return Err(Misuse::new("a user name or password is empty or holds CR, LF or NUL"));
        }
        //= 6856-2.2-3
        let takes_utf8 = self.capabilities.as_ref().is_some_and(|offered| offered.utf8_user);
        if !(takes_utf8 || user.is_ascii() && password.reveal().is_ascii()) {
            return Err(Misuse::new("the server takes no UTF-8 in user names and passwords"));
        }
        let id = self.enqueue(What::User { name: user.into(), password })?;
        self.settling = true;
        Ok(id)
    }

    /// APOP: a digest over the greeting's timestamp and the password.
    ///
    /// # Errors
    /// [`Misuse`] if somebody has logged in, [`Config::dangerous_apop`] is off, the greeting holds no timestamp that is
    /// safe to answer or came before TLS, or a value is empty or not printable ASCII, or the user holds a blank.
    pub fn apop(&mut self, user: &str, password: &Secret<String>) -> Result<CommandId, Misuse> {
        self.may(Verb::Apop)?;
        if !self.config.dangerous_apop {
            return Err(Misuse::new("APOP is switched off"));
        }
        //= 6856-2.2-2
        let sendable = |value: &str, from: u8| !value.is_empty() && value.bytes().all(|b| (from..=b'~').contains(&b));
        if !sendable(user, b'!') || !sendable(password.reveal(), b' ') {
            return Err(Misuse::new("a user name or password is empty or not printable ASCII"));
        }
        let challenge = self.challenge.as_ref();
        let challenge = challenge.ok_or(Misuse::new("the greeting holds no timestamp that is safe to answer"))?;
        let digest = challenge.digest(password);
        let id = self.enqueue(What::Apop { name: user.into(), digest })?;
        self.settling = true;
        Ok(id)
    }

    /// AUTH.
    ///
    /// # Errors
    /// [`Misuse`] if somebody has logged in, or the mechanism shows the secret, TLS is missing and
    /// [`Config::dangerous_plaintext_login`] is off. Whether the server lists the mechanism is not asked: some take more
    /// than they list.
    pub fn authenticate(&mut self, mechanism: Box<dyn Mechanism>) -> Result<CommandId, Misuse> {
        self.may(Verb::Auth)?;
        if mechanism.name().exposes_secret() {
            self.may_expose_secret()?;
        }
        let id = self.enqueue(What::Auth(mechanism))?;
        self.settling = true;
        Ok(id)
    }

    /// UTF8 (RFC 6856, 2.1), before the login.
    ///
    /// # Errors
    /// [`Misuse`] if somebody has logged in or the server does not offer it.
    pub fn utf8(&mut self) -> Result<CommandId, Misuse> {
        if self.capabilities.as_ref().is_none_or(|offered| !offered.utf8) {
            return Err(Misuse::new("the server does not offer UTF8"));
        }
        let id = self.simple(Verb::Utf8)?;
        self.utf8 = true;
        Ok(id)
    }

    // ── at any time ──

    /// CAPA once more, after the login: some servers say more then. [`Client::capabilities`] has the answer.
    ///
    /// # Errors
    /// [`Misuse`] after QUIT.
    pub fn capability(&mut self) -> Result<CommandId, Misuse> {
        self.simple(Verb::Capa)
    }

    /// LANG: in which language the server is to speak to people (RFC 6856, 3). Without one, it is asked which there are:
    /// [`Event::Language`].
    ///
    /// # Errors
    /// [`Misuse`] after QUIT, or if the server does not offer it.
    pub fn language(&mut self, wanted: Option<LanguageRange>) -> Result<CommandId, Misuse> {
        self.may(Verb::Lang)?;
        if self.capabilities.as_ref().is_none_or(|offered| !offered.lang) {
            return Err(Misuse::new("the server does not offer LANG"));
        }
        self.enqueue(What::Lang(wanted))
    }

    /// QUIT: deletes what was deleted, if somebody has logged in, and ends the session. Nothing can be asked after it.
    /// If it is refused, some of it may not be deleted.
    ///
    /// # Errors
    /// [`Misuse`] if it was said before.
    pub fn quit(&mut self) -> Result<CommandId, Misuse> {
        let id = self.enqueue(What::Line(Verb::Quit, None, None))?;
        self.quitting = true;
        Ok(id)
    }

    // ── after the login ──

    /// STAT: [`Event::Status`].
    ///
    /// # Errors
    /// [`Misuse`] unless somebody has logged in.
    pub fn status(&mut self) -> Result<CommandId, Misuse> {
        self.simple(Verb::Stat)
    }

    /// LIST, of one message or all: [`Event::Listing`].
    ///
    /// # Errors
    /// [`Misuse`] unless somebody has logged in.
    pub fn list(&mut self, message: Option<u32>) -> Result<CommandId, Misuse> {
        self.with_numbers(Verb::List, message, None)
    }

    /// UIDL, of one message or all: [`Event::UniqueId`].
    ///
    /// # Errors
    /// [`Misuse`] unless somebody has logged in.
    pub fn unique_ids(&mut self, message: Option<u32>) -> Result<CommandId, Misuse> {
        self.with_numbers(Verb::Uidl, message, None)
    }

    /// RETR: [`Event::Body`], as long as there is something.
    ///
    /// # Errors
    /// [`Misuse`] unless somebody has logged in.
    pub fn retrieve(&mut self, message: u32) -> Result<CommandId, Misuse> {
        self.with_numbers(Verb::Retr, Some(message), None)
    }

    /// TOP, the header and so many lines of the body: [`Event::Body`].
    ///
    /// # Errors
    /// [`Misuse`] unless somebody has logged in.
    pub fn top(&mut self, message: u32, lines: u64) -> Result<CommandId, Misuse> {
        self.with_numbers(Verb::Top, Some(message), Some(lines))
    }

    /// DELE: marks the message to be deleted by [`Client::quit`].
    ///
    /// # Errors
    /// [`Misuse`] unless somebody has logged in.
    //= 1939-8-1
    pub fn delete(&mut self, message: u32) -> Result<CommandId, Misuse> {
        self.with_numbers(Verb::Dele, Some(message), None)
    }

    /// RSET: no message is to be deleted.
    ///
    /// # Errors
    /// [`Misuse`] unless somebody has logged in.
    pub fn reset(&mut self) -> Result<CommandId, Misuse> {
        self.simple(Verb::Rset)
    }

    /// NOOP: keeps the server from giving up while there is other work.
    ///
    /// # Errors
    /// [`Misuse`] unless somebody has logged in.
    pub fn noop(&mut self) -> Result<CommandId, Misuse> {
        self.simple(Verb::Noop)
    }

    // ── what is allowed ──

    fn may(&self, verb: Verb) -> Result<(), Misuse> {
        if self.phase != Phase::Ready {
            return Err(Misuse::new("the session is not ready"));
        }
        if self.settling {
            return Err(Misuse::new("the answer to the login or to STLS must come first"));
        }
        self.dialogue.may(verb).map_err(|error| Misuse::new(alloc::format!("{error}")))
    }

    //= 2595-2.3-1, 2595-9-1
    fn may_expose_secret(&self) -> Result<(), Misuse> {
        if self.config.dangerous_plaintext_login || self.link.security().is_tls() {
            return Ok(());
        }
        Err(Misuse::new("without TLS, everybody on the path could read the password"))
    }

    fn simple(&mut self, verb: Verb) -> Result<CommandId, Misuse> {
        self.with_numbers(verb, None, None)
    }

    fn with_numbers(&mut self, verb: Verb, message: Option<u32>, lines: Option<u64>) -> Result<CommandId, Misuse> {
        self.may(verb)?;
        self.enqueue(What::Line(verb, message, lines))
    }

    // ── ends ──

    fn malformed(&mut self, error: ParseError, line: &[u8]) {
        self.close(Closed::Protocol(ProtocolError::Malformed(error, Excerpt::new(line))));
    }

    fn unexpected(&mut self, what: &'static str, line: &[u8]) {
        self.close(Closed::Protocol(ProtocolError::Unexpected { what, got: Excerpt::new(line) }));
    }

    fn close(&mut self, why: Closed) {
        self.link.close(&why);
        self.queue.clear();
        self.waiting.clear();
        self.events.push_back(Event::Closed(why));
    }

    /// Says whether the server has taken too long.
    fn is_overdue(&mut self, now: Instant) -> bool {
        let servers_turn =
            self.phase == Phase::Greeting || !self.waiting.is_empty() || self.link.is_gated() || self.link.queued() > 0;
        if self.link.queued() < self.queued {
            self.patience.arm(self.config.limits.reply);
        }
        self.queued = self.link.queued();
        if servers_turn {
            self.patience.arm_if_off(self.config.limits.reply);
        } else {
            self.patience.disarm();
        }
        self.patience.tick(now)
    }
}

impl Machine for Client {
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
            if self.receive_more() || self.send() {
                continue;
            }
            if self.is_overdue(now) {
                self.close(Closed::TimedOut);
                continue;
            }
            self.link.release();
            return Step::Idle { deadline: self.patience.deadline() };
        }
    }
}

session_over_link!(Client, link, events);
