//! The client's side of a session.
//!
//! After the greeting and CAPA comes [`Event::Ready`]; again after [`Client::start_tls`]. Every command is a call that
//! gives a [`CommandId`], and is over with [`Event::Completed`]. Commands may be queued; they are sent ahead where the
//! server takes that (PIPELINING), and one by one where it does not.
//!
//! Nothing that was deleted is gone until [`Client::quit`] is completed. A client that is dropped, or whose connection
//! is lost before it said QUIT, has deleted nothing. If the connection is lost after QUIT was sent and before it is
//! completed, what was deleted may be gone or not.

mod config;

pub use config::{Config, Limits, Quirks};

use crate::dialogue::{Dialogue, State};
use crate::wire::{Capabilities, Refusal, StatusLine, UniqueId, Verb, drop_listing, scan_listing, unique_id_listing};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use bytes::Bytes;
use core::fmt::Write;
use postrider_core::{
    Closed, Excerpt, Framed, Instant, LineRule, Link, Machine, Misuse, ParseError, ProtocolError, Secret, Security,
    SessionId, Step, Tap, Text, Timer, Unstuffer, session_over_link,
};
use postrider_sasl::{Mechanism, line};

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
    /// A message in the answer to LIST.
    Listing {
        /// The command.
        of: CommandId,
        /// Its number.
        message: u32,
        /// Its octets; some servers only guess.
        size: u64,
    },
    /// A message in the answer to UIDL.
    UniqueId {
        /// The command.
        of: CommandId,
        /// Its number.
        message: u32,
        /// Its id. `None` if the server gives it none, or one that cannot be: it then has to be known by its contents.
        id: Option<UniqueId>,
    },
    /// The next octets of a message, as they are: no dots added, no line ends changed.
    Body {
        /// The command.
        of: CommandId,
        /// The octets.
        bytes: Bytes,
    },
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
    /// What CAPA says, until it is complete.
    learning: Capabilities,
    next_id: u64,
    /// To be sent.
    queue: VecDeque<Command>,
    /// Sent, oldest first; its answer comes next.
    waiting: VecDeque<Sent>,
    /// A login, STLS or QUIT was given: what follows depends on its answer.
    settling: bool,
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
    Auth(Box<dyn Mechanism>),
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
        initial: Option<Secret<alloc::vec::Vec<u8>>>,
        challenges: u32,
    },
}

/// How much of the answer to the oldest command has come.
enum Answer {
    Nothing,
    /// The status line and so many lines after it.
    Lines(Text, u64),
    Body(Text, Box<Unstuffer>),
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
            learning: Capabilities::default(),
            next_id: 0,
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            settling: false,
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

    // ── before the login ──

    /// STLS: [`Event::Completed`], then TLS, then [`Event::Ready`].
    ///
    /// # Errors
    /// [`Misuse`] if TLS is in place, somebody has logged in, or the server does not offer it. Who insists on TLS gives
    /// up then: nothing else may be sent in the clear.
    pub fn start_tls(&mut self) -> Result<CommandId, Misuse> {
        self.may(Verb::Stls)?;
        if self.link.security().is_tls() {
            return Err(Misuse::new("TLS is in place already"));
        }
        if self.capabilities.as_ref().is_some_and(|offered| !offered.stls) {
            return Err(Misuse::new("the server does not offer STLS"));
        }
        let id = self.enqueue(What::Line(Verb::Stls, None, None))?;
        self.settling = true;
        Ok(id)
    }

    /// USER and PASS.
    ///
    /// # Errors
    /// [`Misuse`] if somebody has logged in, TLS is missing and [`Config::dangerous_plaintext_login`] is off, or a value
    /// is empty or holds a control character.
    pub fn login(&mut self, user: &str, password: Secret<String>) -> Result<CommandId, Misuse> {
        self.may(Verb::User)?;
        self.may_expose_secret()?;
        if [user, password.reveal()].iter().any(|value| value.is_empty() || value.contains(['\0', '\r', '\n'])) {
            return Err(Misuse::new("a user name or password is empty or holds CR, LF or NUL"));
        }
        let id = self.enqueue(What::User { name: user.into(), password })?;
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
        self.simple(Verb::Utf8)
    }

    // ── at any time ──

    /// CAPA once more, after the login: some servers say more then. [`Client::capabilities`] has the answer.
    ///
    /// # Errors
    /// [`Misuse`] after QUIT.
    pub fn capability(&mut self) -> Result<CommandId, Misuse> {
        self.simple(Verb::Capa)
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

    // ── the queue ──

    fn may(&self, verb: Verb) -> Result<(), Misuse> {
        if self.phase != Phase::Ready {
            return Err(Misuse::new("the session is not ready"));
        }
        if self.settling {
            return Err(Misuse::new("the answer to the login or to STLS must come first"));
        }
        self.dialogue.may(verb).map_err(|error| Misuse::new(alloc::format!("{error}")))
    }

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

    fn enqueue(&mut self, what: What) -> Result<CommandId, Misuse> {
        if self.quitting || self.link.is_closed() {
            return Err(Misuse::new("the session is ending"));
        }
        if self.queue.len() + self.waiting.len() >= self.config.limits.queue {
            return Err(Misuse::new("too many commands are waiting"));
        }
        self.next_id += 1;
        let id = CommandId(self.next_id);
        self.queue.push_back(Command { id: Some(id), what });
        Ok(id)
    }

    /// Sends what may be sent now.
    fn send(&mut self) -> bool {
        if self.phase == Phase::Greeting || self.link.is_gated() || self.link.is_congested() {
            return false;
        }
        let ahead = match &self.capabilities {
            Some(offered) if offered.pipelining && self.phase == Phase::Ready => self.config.limits.pipeline,
            Some(_) | None => 1,
        };
        let alone = |what: &What| match what {
            // What follows depends on the answer, or must not be lost on the way to it.
            What::Line(verb, ..) => matches!(verb, Verb::Stls | Verb::Quit | Verb::Capa | Verb::Utf8),
            What::User { .. } | What::Auth(_) => true,
        };
        let busy = self.waiting.back().is_some_and(|sent| sent.login.is_some() || sent.verb == Verb::Stls);
        match self.queue.front() {
            Some(next) if !busy && self.waiting.len() < ahead && (self.waiting.is_empty() || !alone(&next.what)) => {}
            Some(_) | None => return false,
        }
        let Command { id, what } = self.queue.pop_front().expect("it was just seen to be there");
        let sent = match what {
            What::Line(verb, message, lines) => {
                let mut line = String::from(verb.as_str());
                for number in message.map(u64::from).into_iter().chain(lines) {
                    write!(line, " {number}").expect("writing to a string does not fail");
                }
                self.link.put(line.as_bytes());
                self.link.end_line();
                if verb == Verb::Quit {
                    self.dialogue.quitting();
                }
                let lines = match verb {
                    Verb::Retr | Verb::Top | Verb::Capa => true,
                    Verb::List | Verb::Uidl => message.is_none(),
                    Verb::User
                    | Verb::Pass
                    | Verb::Stat
                    | Verb::Dele
                    | Verb::Noop
                    | Verb::Rset
                    | Verb::Quit
                    | Verb::Stls
                    | Verb::Auth
                    | Verb::Utf8 => false,
                };
                Sent { id, verb, message, lines, login: None }
            }
            What::User { name, password } => {
                self.link.put(b"USER ");
                self.link.put(name.as_bytes());
                self.link.end_line();
                Sent { id, verb: Verb::User, message: None, lines: false, login: Some(Login::Password(password)) }
            }
            What::Auth(mechanism) => {
                let login = Some(self.begin_auth(mechanism));
                Sent { id, verb: Verb::Auth, message: None, lines: false, login }
            }
        };
        self.waiting.push_back(sent);
        true
    }

    fn begin_auth(&mut self, mut mechanism: Box<dyn Mechanism>) -> Login {
        /// A command may have 255 octets with its CRLF (RFC 2449, 4); RFC 5034, 4 sends longer responses afterwards.
        const COMMAND: usize = 253;
        let name = mechanism.name();
        self.link.put(b"AUTH ");
        self.link.put(name.as_str().as_bytes());
        let mut initial = mechanism.initial();
        if let Some(message) = initial.take() {
            let encoded = line::encode_initial(message.reveal());
            let length = "AUTH ".len() + name.as_str().len() + 1 + encoded.reveal().len();
            if length <= COMMAND && !self.config.quirks.auth_in_two_steps {
                self.link.put(b" ");
                self.link.put_secret(encoded.reveal().as_bytes());
            } else {
                initial = Some(message);
            }
        }
        self.link.end_line();
        Login::Exchange { mechanism, initial, challenges: 0 }
    }

    // ── answers ──

    /// Does one thing with what came, and says whether there was one to do.
    fn receive_more(&mut self) -> bool {
        if self.link.is_gated() {
            return false;
        }
        if self.waiting.is_empty() && self.phase != Phase::Greeting {
            return self.unasked();
        }
        if let Answer::Body(_, unstuffer) = &mut self.answer {
            let (bytes, ended) = self.link.unstuff(unstuffer);
            if !bytes.is_empty() {
                self.patience.arm(self.config.limits.reply);
                self.link.trace_octets_in(bytes.len() as u64);
                let of = self.waiting.front().and_then(|sent| sent.id).expect("only the caller asks for messages");
                self.events.push_back(Event::Body { of, bytes: bytes.clone() });
            }
            if ended {
                self.end_of_lines();
            }
            return !bytes.is_empty() || ended || self.end_of_stream();
        }
        let limit = self.config.limits.line;
        match self.link.line(limit) {
            Framed::Line(line) => {
                self.link.trace_in(&line.octets, None);
                self.patience.arm(self.config.limits.reply);
                match &mut self.answer {
                    Answer::Nothing => self.status_line(&line.octets),
                    Answer::Lines(_, count) => {
                        *count += 1;
                        let count = *count;
                        self.line(&line.octets, count);
                    }
                    Answer::Body(..) => unreachable!("handled above"),
                }
                true
            }
            Framed::TooLong => {
                self.close(Closed::Protocol(ProtocolError::LineTooLong { limit }));
                true
            }
            Framed::More => self.end_of_stream(),
        }
    }

    /// Nothing was asked, so nothing may come but the end. Some servers say why.
    fn unasked(&mut self) -> bool {
        let limit = self.config.limits.line;
        match self.link.line(limit) {
            Framed::Line(line) => {
                self.link.trace_in(&line.octets, None);
                match StatusLine::parse(&line.octets) {
                    Ok(StatusLine::Err(_)) => self.close(Closed::ByPeer),
                    Ok(StatusLine::Ok(_) | StatusLine::Challenge(_)) | Err(_) => {
                        self.unexpected("the server speaks unasked", &line.octets);
                    }
                }
                true
            }
            Framed::TooLong => {
                self.close(Closed::Protocol(ProtocolError::LineTooLong { limit }));
                true
            }
            Framed::More => self.end_of_stream(),
        }
    }

    fn end_of_stream(&mut self) -> bool {
        if self.link.is_eof() {
            self.close(Closed::Eof);
        }
        self.link.is_eof()
    }

    fn status_line(&mut self, line: &[u8]) {
        let status = match StatusLine::parse(line) {
            Ok(status) => status,
            Err(error) => return self.malformed(error, line),
        };
        if self.phase == Phase::Greeting {
            return match status {
                StatusLine::Ok(_) => self.ask_capabilities(),
                StatusLine::Err(_) | StatusLine::Challenge(_) => self.unexpected("the server refuses to serve", line),
            };
        }
        match status {
            StatusLine::Challenge(challenge) => self.challenge(&challenge, line),
            StatusLine::Ok(text) => self.accepted(text, line),
            StatusLine::Err(why) => {
                let sent = self.waiting.pop_front().expect("an answer is only read if there is a question");
                self.settled(&sent);
                self.dialogue.replied(sent.verb, false);
                match sent.id {
                    Some(of) => self.events.push_back(Event::Completed { of, result: Err(why) }),
                    // RFC 2449, 5: a server without CAPA says so.
                    None => self.ready(None),
                }
                if sent.verb == Verb::Quit {
                    self.close(Closed::ByUs);
                }
            }
        }
    }

    fn accepted(&mut self, text: Text, line: &[u8]) {
        let sent = self.waiting.front_mut().expect("an answer is only read if there is a question");
        if sent.lines {
            self.answer = if matches!(sent.verb, Verb::Retr | Verb::Top) {
                Answer::Body(text, Box::new(Unstuffer::new(LineRule::Lf)))
            } else {
                Answer::Lines(text, 0)
            };
            return;
        }
        match &mut sent.login {
            Some(Login::Password(password)) => {
                let password = core::mem::take(password);
                sent.login = None;
                sent.verb = Verb::Pass;
                self.dialogue.replied(Verb::User, true);
                self.link.put(b"PASS ");
                self.link.put_secret(password.reveal().as_bytes());
                self.link.end_line();
                return;
            }
            Some(Login::Exchange { mechanism, initial, .. }) => {
                let complete = initial.is_none() && mechanism.succeeded().is_ok();
                if !complete {
                    return self.unexpected("the server claims that the login succeeded before it was complete", line);
                }
            }
            None => {}
        }
        let sent = self.waiting.pop_front().expect("it was just seen to be there");
        self.settled(&sent);
        self.dialogue.replied(sent.verb, true);
        let of = sent.id.expect("what we ask ourselves is answered by lines");
        let words = text.as_str().as_bytes();
        match sent.verb {
            Verb::Stat => match drop_listing(words) {
                Ok((messages, size)) => self.events.push_back(Event::Status { of, messages, size }),
                Err(error) => return self.malformed(error, line),
            },
            Verb::List => match scan_listing(words) {
                Ok((message, size)) => self.events.push_back(Event::Listing { of, message, size }),
                Err(error) => return self.malformed(error, line),
            },
            Verb::Uidl => {
                let asked = sent.message.expect("without a number, lines would follow");
                let alone = self.config.quirks.unique_id_without_number;
                match unique_id_listing(words) {
                    Ok((message, id)) if !alone || message == asked || id.is_some() => {
                        self.events.push_back(Event::UniqueId { of, message, id });
                    }
                    Err(error) if !alone => return self.malformed(error, line),
                    Ok(_) | Err(_) => {
                        let id = UniqueId::new(text.as_str().trim()).ok();
                        self.events.push_back(Event::UniqueId { of, message: asked, id });
                    }
                }
            }
            Verb::User
            | Verb::Pass
            | Verb::Retr
            | Verb::Top
            | Verb::Dele
            | Verb::Noop
            | Verb::Rset
            | Verb::Quit
            | Verb::Capa
            | Verb::Stls
            | Verb::Auth
            | Verb::Utf8 => {}
        }
        if sent.verb == Verb::Stls {
            if let Err(error) = self.link.begin_tls() {
                return self.close(Closed::Protocol(error));
            }
            // Nothing that was said before TLS counts.
            self.capabilities = None;
            self.ask_capabilities();
        }
        self.events.push_back(Event::Completed { of, result: Ok(text) });
        if sent.verb == Verb::Quit {
            self.close(Closed::ByUs);
        }
    }

    /// What waited for the answer need not wait any more.
    fn settled(&mut self, sent: &Sent) {
        if matches!(sent.verb, Verb::User | Verb::Pass | Verb::Auth | Verb::Stls) {
            self.settling = false;
        }
    }

    fn challenge(&mut self, challenge: &str, line: &[u8]) {
        let limits = (self.config.limits.challenges, self.config.limits.line);
        let sent = self.waiting.front_mut().expect("an answer is only read if there is a question");
        let Some(Login::Exchange { mechanism, initial, challenges }) = &mut sent.login else {
            return self.unexpected("a challenge where no login goes on", line);
        };
        *challenges += 1;
        if *challenges > limits.0 {
            let error = ProtocolError::TooMuch { what: "challenges", limit: limits.0.into() };
            return self.close(Closed::Protocol(error));
        }
        let response = match initial.take() {
            Some(initial) => Some(initial),
            None => line::challenge(challenge.as_bytes(), limits.1)
                .ok()
                .and_then(|challenge| mechanism.respond(&challenge).ok()),
        };
        match response {
            Some(response) => self.link.put_secret(line::encode(response.reveal()).reveal().as_bytes()),
            // The server will say -ERR to that (RFC 5034, 4).
            None => self.link.put(b"*"),
        }
        self.link.end_line();
    }

    /// A line after the status line.
    fn line(&mut self, line: &[u8], count: u64) {
        let line = match line {
            b"." => return self.end_of_lines(),
            // Dots are added here too (RFC 1939, 3).
            [b'.', rest @ ..] => rest,
            _ => line,
        };
        let sent = self.waiting.front().expect("lines come only if they were asked for");
        let limit = if sent.verb == Verb::Capa { self.config.limits.capabilities } else { self.config.limits.listing };
        if count > limit {
            return self.close(Closed::Protocol(ProtocolError::TooMuch { what: "lines in one answer", limit }));
        }
        if sent.verb == Verb::Capa {
            return self.learning.learn(line);
        }
        let of = sent.id.expect("only CAPA is asked by ourselves");
        let words = match line.strip_prefix(b"+OK ") {
            Some(rest) if self.config.quirks.status_on_each_line => rest,
            Some(_) | None => line,
        };
        let event = if sent.verb == Verb::List {
            scan_listing(words).map(|(message, size)| Event::Listing { of, message, size })
        } else {
            unique_id_listing(words).map(|(message, id)| Event::UniqueId { of, message, id })
        };
        match event {
            Ok(event) => self.events.push_back(event),
            Err(error) => self.malformed(error, line),
        }
    }

    fn end_of_lines(&mut self) {
        let text = match core::mem::replace(&mut self.answer, Answer::Nothing) {
            Answer::Lines(text, _) | Answer::Body(text, _) => text,
            Answer::Nothing => unreachable!("the end is only looked for in lines"),
        };
        let sent = self.waiting.pop_front().expect("lines come only if they were asked for");
        self.dialogue.replied(sent.verb, true);
        let learnt = (sent.verb == Verb::Capa).then(|| core::mem::take(&mut self.learning));
        match sent.id {
            Some(of) => {
                self.capabilities = learnt.or(self.capabilities.take());
                self.events.push_back(Event::Completed { of, result: Ok(text) });
            }
            None => self.ready(learnt),
        }
    }

    fn ask_capabilities(&mut self) {
        self.phase = Phase::Asking;
        self.queue.push_front(Command { id: None, what: What::Line(Verb::Capa, None, None) });
    }

    fn ready(&mut self, capabilities: Option<Capabilities>) {
        self.phase = Phase::Ready;
        self.capabilities = capabilities;
        self.events.push_back(Event::Ready);
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
            return Step::Idle { deadline: self.patience.deadline() };
        }
    }
}

session_over_link!(Client, link);
