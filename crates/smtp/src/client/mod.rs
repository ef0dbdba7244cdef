//! The client's side of a session: SMTP, submission or LMTP.
//!
//! The session greets, starts TLS if it was told to, and says [`Event::Ready`]. A message goes out by
//! [`Client::send`]; when the server invites it the session asks for its octets, [`Event::BodyWanted`], which
//! [`Client::write`] and [`Client::finish`] give. Every message ends with one [`Event::Finished`], even if the
//! connection is lost.

mod asking;
mod chunks;
mod config;
mod event;
mod hearing;
mod open;
mod parts;
mod plan;
mod sending;
mod speaking;
mod transaction;

pub use config::{Chunking, Config, Limits, Tls};
pub use event::{AuthFailed, Event, ask};
pub use parts::Part;
pub use plan::Plan;
pub use transaction::{FinishError, NotSent, Outcome, RefusedAt, SendError, Transaction};

use crate::address::Host;
use crate::dialogue::Dialogue;
use crate::wire::{Capabilities, Command, Reply, ReplyReader, Verb};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use postrider_core::{Closed, Instant, Link, Machine, Misuse, Secret, Security, SessionId, Step, Tap, Timer};
use postrider_sasl::Mechanism;
use transaction::Sending;

/// A client session. See the [module](self) and [`postrider_core`] for how it is run.
pub struct Client {
    config: Arc<Config>,
    link: Link,
    dialogue: Dialogue,
    stage: Stage,
    reader: ReplyReader,
    events: VecDeque<Event>,
    /// The replies that are to come.
    expected: VecDeque<Expect>,
    capabilities: Option<Capabilities>,
    sending: Option<Box<Sending>>,
    transactions: u64,
    /// Where the recipients so far are, if the server limits that; `None` is the postmaster without a domain.
    domains: Box<[Option<Host>]>,
    /// Whether the server has shown that it does not know BDAT.
    chunks_refused: bool,
    quitting: bool,

    /// The time for the reply that comes next.
    reply_timer: Timer,
    handshake_timer: Timer,
    block_timer: Timer,
    /// The application's own limit for the session.
    deadline: Timer,
    /// Octets of the message that had gone out when `block_timer` was armed.
    gone: u64,
}

enum Stage {
    /// TLS is to begin; with the greeting after it, if it was implicit.
    Handshake { implicit: bool },
    /// The greeting or EHLO is not answered.
    Opening,
    /// Nothing is going on.
    Idle,
    /// The application wants something that must wait until what was said before is answered.
    Waiting(Request),
    /// STARTTLS is not answered. `manual` if the application asked for it.
    StartTls { manual: bool },
    /// A login is going on.
    Auth(Login),
    /// The login succeeded, and EHLO after it is not answered.
    LoggedIn,
    /// A question to the server is not answered.
    Asking(Verb),
    /// Commands of a transaction are being sent and answered.
    Envelope,
    /// The message is wanted, under the number of its question.
    Body(u64),
    /// All of the message is there, and its last chunk must wait.
    LastChunk,
    /// No further chunk is sent; those under way are not answered.
    GivenUp,
    /// The message's end was sent.
    Final,
    /// QUIT was sent.
    Quitting,
}

/// What the application may want between messages.
enum Request {
    Ask(Verb, String),
    StartTls,
    Auth(Box<dyn Mechanism>),
}

struct Login {
    mechanism: Box<dyn Mechanism>,
    /// The initial response, if it was too long for the command.
    initial: Option<Secret<Vec<u8>>>,
    rounds: u32,
    given_up: Option<AuthFailed>,
}

/// What a reply will be to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    Greeting,
    Hello(Verb),
    StartTls,
    Auth,
    Mail,
    Rcpt(usize),
    Data,
    /// To a chunk that is not the last.
    Chunk,
    /// To the message, for this recipient over LMTP.
    Message(usize),
    /// To an empty message that nobody should get.
    Nothing,
    Reset,
    /// To a question of the application's.
    Answer,
    Quit,
}

impl Client {
    /// A session about to be greeted. `id` is the caller's number for it.
    pub fn new(config: Arc<Config>, id: SessionId) -> Self {
        let mut link = Link::new(id, config.limits.link);
        let implicit = config.tls == Tls::Implicit;
        if implicit {
            link.start_with_tls();
        }
        let mut client = Self {
            link,
            dialogue: Dialogue::new(config.protocol, false),
            stage: if implicit { Stage::Handshake { implicit } } else { Stage::Opening },
            reader: ReplyReader::new(config.limits.reply_lines, config.limits.reply_octets),
            events: VecDeque::new(),
            expected: VecDeque::new(),
            capabilities: None,
            sending: None,
            transactions: 0,
            domains: Box::default(),
            chunks_refused: false,
            quitting: false,
            reply_timer: Timer::OFF,
            handshake_timer: Timer::OFF,
            block_timer: Timer::OFF,
            deadline: Timer::OFF,
            gone: 0,
            config,
        };
        if !implicit {
            //= 5321-4.3.1-2
            client.expect(Expect::Greeting);
        }
        client
    }

    // ── the application's verbs ──

    /// What the server offers; `None` until it has said so, and from the beginning of TLS until it says so again.
    pub fn capabilities(&self) -> Option<&Capabilities> {
        self.capabilities.as_ref()
    }

    /// Whether the stream is protected now.
    pub fn security(&self) -> &Security {
        self.link.security()
    }

    /// Whether a message can be sent now.
    pub fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Idle) && !self.quitting && !self.link.is_closed()
    }

    /// Lets TLS begin. [`Event::Ready`] follows, or [`Event::TlsRefused`], or the end.
    ///
    /// # Errors
    /// [`Misuse`] if the session is busy, TLS is in place, or the server does not offer it.
    pub fn start_tls(&mut self) -> Result<(), Misuse> {
        self.idle(Verb::StartTls)?;
        if !self.capabilities.as_ref().is_some_and(|offered| offered.start_tls) {
            return Err(Misuse::new("the server does not offer STARTTLS"));
        }
        self.request(Request::StartTls);
        Ok(())
    }

    /// Logs in. [`Event::Authenticated`] follows.
    ///
    /// # Errors
    /// [`Misuse`] if the session is busy or logged in, the server does not offer the mechanism, or the secret could be
    /// read on the way.
    //= 4954-4-20
    pub fn authenticate(&mut self, mechanism: Box<dyn Mechanism>) -> Result<(), Misuse> {
        self.idle(Verb::Auth)?;
        let name = mechanism.name();
        if !self.capabilities.as_ref().is_some_and(|offered| offered.auth.contains(&name)) {
            return Err(Misuse::new(alloc::format!("the server does not offer {name}")));
        }
        //= 4954-9-2, 4954-14-1
        if name.exposes_secret() && !self.link.security().is_tls() && !self.config.plaintext_auth {
            return Err(Misuse::new(alloc::format!("{name} would show the secret to all without TLS")));
        }
        self.request(Request::Auth(mechanism));
        Ok(())
    }

    /// Says goodbye once nothing is going on any more.
    pub fn quit(&mut self) {
        self.quitting = true;
    }

    /// Ends the session when so much time has passed after the next poll, whatever is going on; with `None`, never. The
    /// default. What a message under way has come to is reported as ever.
    pub fn set_deadline(&mut self, limit: Option<Duration>) {
        match limit {
            Some(limit) => self.deadline.arm(limit),
            None => self.deadline.disarm(),
        }
    }

    /// Ends the session now, whatever is going on, and closes the connection. What a message under way has come to is
    /// reported as ever: [`Outcome::Unknown`] if its end was sent. For deadlines of the application's own.
    pub fn give_up(&mut self) {
        self.end(Closed::ByUs);
    }

    /// Lets `tap` watch the wire from here on, without secrets.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) {
        self.link.set_tap(tap);
    }

    /// Whether the command has a place now.
    //= 5321-4.1.4-5
    fn idle(&self, verb: Verb) -> Result<(), Misuse> {
        if !self.is_ready() {
            return Err(Misuse::new("the session is not ready, or busy"));
        }
        self.dialogue.may(verb).map_err(|why| Misuse::new(alloc::format!("{verb}: {why}")))
    }

    // ── what comes next ──

    /// Takes one step. False if there is none to take.
    fn advance(&mut self) -> bool {
        //= 3207-4.1-1
        if let Some(failed) = self.link.take_tls_failure() {
            self.end(Closed::Tls(failed));
            return true;
        }
        if self.link.is_gated() {
            if self.link.is_eof() {
                self.end(Closed::Eof);
                return true;
            }
            return false;
        }
        if let Stage::Handshake { implicit } = self.stage {
            // RFC 3207, 4.2: nothing learnt before is believed.
            //= 3207-4.2-1, 3207-4.2-2
            self.dialogue.secured();
            self.capabilities = None;
            self.handshake_timer.disarm();
            self.stage = Stage::Opening;
            if implicit {
                self.expect(Expect::Greeting);
            } else {
                self.say_hello();
            }
            return true;
        }
        self.speak() || self.listen()
    }

    // ── ends ──

    fn ready(&mut self) {
        self.stage = Stage::Idle;
        self.events.push_back(Event::Ready);
    }

    fn no_tls(&mut self) {
        let why = Closed::Tls("the server does not offer STARTTLS, or refuses it".into());
        self.say(&Command::Quit);
        self.end_politely(why);
    }

    /// The server closes.
    fn goodbye(&mut self, reply: Reply) {
        if let Some(sending) = self.sending.as_deref_mut()
            && !sending.ended
        {
            let at = match self.stage {
                Stage::Body(_) | Stage::LastChunk | Stage::GivenUp => RefusedAt::Message,
                _ if self.dialogue.in_transaction() => RefusedAt::Rcpt,
                _ => RefusedAt::Mail,
            };
            sending.settle_rest(&Outcome::Refused { at, reply: reply.clone() });
        }
        self.conclude();
        self.events.push_back(Event::Goodbye(reply));
        self.end(Closed::ByPeer);
    }

    fn end(&mut self, why: Closed) {
        if self.link.is_closed() {
            return;
        }
        self.link.close(&why);
        self.ended(why);
    }

    /// Ends the session without a failure of the connection: what was said still goes out.
    fn end_politely(&mut self, why: Closed) {
        self.link.close(&Closed::ByUs);
        self.ended(why);
    }

    fn ended(&mut self, why: Closed) {
        self.conclude();
        self.expected.clear();
        self.stage = Stage::Quitting;
        self.events.push_back(Event::Closed(why));
    }

    fn earliest(&self) -> Option<Instant> {
        Timer::earliest([&self.reply_timer, &self.handshake_timer, &self.block_timer, &self.deadline])
    }

    /// Looks at the time. True if something was due.
    fn tick(&mut self, now: Instant) -> bool {
        if self.link.is_gated() {
            self.handshake_timer.arm_if_off(self.config.limits.handshake);
        }
        let streaming = matches!(self.stage, Stage::Body(_) | Stage::LastChunk | Stage::GivenUp | Stage::Final);
        if let (true, Some(sending)) = (streaming, &self.sending) {
            // Time runs only while octets wait, and starts anew with each that went out; so does that for a reply, which
            // nobody can give before.
            let gone = sending.written.saturating_sub(self.link.queued() as u64);
            if gone != self.gone {
                self.gone = gone;
                self.block_timer.disarm();
                self.arm_reply();
            }
            if self.link.queued() == 0 {
                self.block_timer.disarm();
            } else {
                self.block_timer.arm_if_off(self.config.limits.block);
            }
        } else {
            self.block_timer.disarm();
        }
        // Each must be told the time.
        let timers = [&mut self.reply_timer, &mut self.handshake_timer, &mut self.block_timer, &mut self.deadline];
        let due = timers.map(|timer| timer.tick(now));
        if due.contains(&true) {
            let why = if matches!(self.stage, Stage::Quitting) { Closed::ByUs } else { Closed::TimedOut };
            self.end(why);
            return true;
        }
        false
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
            if !self.advance() && !self.tick(now) {
                self.link.release();
                let deadline = self.earliest();
                return Step::Idle { deadline };
            }
        }
    }
}

postrider_core::session_over_link!(Client, link, events);
