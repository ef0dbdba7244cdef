//! The client's side of a session: SMTP, submission or LMTP.
//!
//! The session greets, starts TLS if it was told to, and says [`Event::Ready`]. A message goes out by
//! [`Client::send`]; when the server invites it the session asks for its octets, [`Event::BodyWanted`], which
//! [`Client::write`] and [`Client::finish`] give. Every message ends with one [`Event::Finished`], even if the
//! connection is lost.

mod config;
mod transaction;

pub use config::{Config, Limits, Tls};
pub use transaction::{FinishError, NotSent, Outcome, RefusedAt, SendError, Transaction};

use crate::dialogue::{Dialogue, Protocol};
use crate::envelope::Envelope;
use crate::wire::{
    Capabilities, Command, DataWriter, Reply, ReplyClass, ReplyError, ReplyReader, Sink, Verb, mail_line, rcpt_line,
};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use postrider_core::{
    Closed, Excerpt, Framed, Instant, LineEnd, Link, Machine, Misuse, ParseError, Pending, ProtocolError, Secret,
    Security, SessionId, Stale, Step, Tap, Timer,
};
use postrider_sasl::{Mechanism, MechanismError, line as sasl_line};
use transaction::{Next, Sending, fit};

/// What a client session reports and asks.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The session can be used; [`Client::capabilities`] says for what. Again after [`Client::start_tls`].
    Ready,
    /// The server refused [`Client::start_tls`]. The session goes on without.
    TlsRefused(Reply),
    /// [`Client::authenticate`] came to its end.
    Authenticated(Result<(), AuthFailed>),
    /// The server's word on a recipient, as it comes. It is repeated in [`Event::Finished`].
    Recipient {
        /// The message.
        of: Transaction,
        /// Which of its envelope's recipients.
        index: usize,
        /// What the server said.
        reply: Reply,
    },
    /// The server waits for the message. At least one recipient was accepted.
    BodyWanted {
        /// The message.
        of: Transaction,
        /// For [`Client::write`], [`Client::finish`] or [`Client::abandon`].
        body: Pending<ask::Body>,
    },
    /// The message is done with. Once for each [`Client::send`].
    Finished {
        /// The message.
        of: Transaction,
        /// What became of it, for each of its envelope's recipients in order.
        outcomes: Vec<Outcome>,
    },
    /// The server closes the session and says why: 421 at any time, or a refusal to begin with.
    Goodbye(Reply),
    /// The session is over. Always the last event.
    Closed(Closed),
}

/// The questions of a client session.
pub mod ask {
    use postrider_core::Question;

    /// What is the message?
    #[derive(Debug)]
    pub enum Body {}

    impl Question for Body {
        type Yes = ();
        type No = ();
    }
}

/// Why a login failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthFailed {
    /// The server refused.
    #[error("the server refused the login: {0}")]
    Refused(Reply),
    /// The mechanism gave up. The login was cancelled; if the server claimed success, the session is over.
    #[error("the login was given up: {0}")]
    Mechanism(MechanismError),
    /// The server sent what is no challenge, or too many.
    #[error("the server sent what is no challenge, or too many")]
    BadChallenge,
}

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
    quitting: bool,

    /// The time for the reply that comes next.
    reply_timer: Timer,
    handshake_timer: Timer,
    block_timer: Timer,
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
    /// STARTTLS is not answered. `manual` if the application asked for it.
    StartTls { manual: bool },
    /// A login is going on.
    Auth(Login),
    /// Commands of a transaction are being sent and answered.
    Envelope,
    /// The message is wanted, under the number of its question.
    Body(u64),
    /// The message's end was sent.
    Final,
    /// QUIT was sent.
    Quitting,
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
    /// To the message, for this recipient over LMTP.
    Message(usize),
    /// To an empty message that nobody should get.
    Nothing,
    Reset,
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
            quitting: false,
            reply_timer: Timer::OFF,
            handshake_timer: Timer::OFF,
            block_timer: Timer::OFF,
            gone: 0,
            config,
        };
        if !implicit {
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
        self.say_start_tls(true);
        Ok(())
    }

    /// Logs in. [`Event::Authenticated`] follows.
    ///
    /// # Errors
    /// [`Misuse`] if the session is busy or logged in, the server does not offer the mechanism, or the secret could be
    /// read on the way.
    pub fn authenticate(&mut self, mut mechanism: Box<dyn Mechanism>) -> Result<(), Misuse> {
        self.idle(Verb::Auth)?;
        let name = mechanism.name();
        if !self.capabilities.as_ref().is_some_and(|offered| offered.auth.contains(&name)) {
            return Err(Misuse::new(alloc::format!("the server does not offer {name}")));
        }
        if name.exposes_secret() && !self.link.security().is_tls() && !self.config.plaintext_auth {
            return Err(Misuse::new(alloc::format!("{name} would show the secret to all without TLS")));
        }
        self.link.put(b"AUTH ");
        self.link.put(name.as_str().as_bytes());
        let mut initial = mechanism.initial();
        if let Some(response) = initial.take() {
            let encoded = sasl_line::encode_initial(response.reveal());
            if "AUTH ".len() + name.as_str().len() + 1 + encoded.reveal().len() <= self.config.limits.auth_line {
                self.link.put(b" ");
                self.link.put_secret(encoded.reveal().as_bytes());
            } else {
                initial = Some(response);
            }
        }
        self.link.end_line();
        self.stage = Stage::Auth(Login { mechanism, initial, rounds: 0, given_up: None });
        self.expect(Expect::Auth);
        Ok(())
    }

    /// Sends a message's envelope: MAIL, each RCPT and DATA, all at once if the server allows that.
    ///
    /// SIZE and DSN parameters are left out if the server does not offer the extension.
    ///
    /// # Errors
    /// [`SendError`], and nothing was sent, if the session is busy or the message needs what the server does not offer.
    pub fn send(&mut self, mut envelope: Envelope) -> Result<Transaction, SendError> {
        self.idle(Verb::Mail)?;
        let none = Capabilities::default();
        let offered = self.capabilities.as_ref().unwrap_or(&none);
        fit(&mut envelope, offered, self.link.security().is_tls())?;
        self.transactions += 1;
        let id = Transaction(self.transactions);
        let writer = DataWriter::new(self.config.bare_newlines);
        self.sending = Some(Box::new(Sending::new(id, envelope, writer)));
        self.stage = Stage::Envelope;
        Ok(id)
    }

    /// Takes the next octets of the message, as much as the output limit allows, and says how much that was: 0 means
    /// that what was written before must go out first. Lines end with CRLF; dots are taken care of.
    ///
    /// If the question is stale, everything is taken and thrown away; [`Client::finish`] says so.
    #[must_use = "octets that were not taken must be offered again"]
    pub fn write(&mut self, body: &Pending<ask::Body>, octets: &[u8]) -> usize {
        self.write_part(body, octets, None)
    }

    /// As [`Client::write`], without copying what is large.
    #[must_use = "octets that were not taken must be offered again"]
    pub fn write_shared(&mut self, body: &Pending<ask::Body>, octets: &Bytes) -> usize {
        self.write_part(body, octets, Some(octets))
    }

    fn write_part(&mut self, body: &Pending<ask::Body>, octets: &[u8], shared: Option<&Bytes>) -> usize {
        if self.wanted(body).is_err() {
            return octets.len();
        }
        let Some(sending) = self.sending.as_deref_mut() else { return octets.len() };
        if sending.bad.is_some() {
            return octets.len();
        }
        let taken = octets.len().min(self.link.room());
        let before = self.link.queued();
        let shared = shared.map(|shared| shared.slice(..taken));
        if let Err(bad) = sending.writer.put(&octets[..taken], shared.as_ref(), &mut Out(&mut self.link)) {
            sending.bad = Some(bad);
            return octets.len();
        }
        sending.written += (self.link.queued() - before) as u64;
        taken
    }

    /// The message is complete. [`Event::Finished`] follows.
    ///
    /// # Errors
    /// [`FinishError`] if its octets cannot be sent, or the session is over. [`Event::Finished`] follows all the same.
    pub fn finish(&mut self, body: Pending<ask::Body>) -> Result<(), FinishError> {
        self.wanted(&body)?;
        let sending = self.sending.as_deref_mut().expect("a message is wanted only while one is being sent");
        let bad = match sending.bad {
            Some(bad) => Some(bad),
            None => sending.writer.clone().end(&mut Out(&mut self.link)).err(),
        };
        if let Some(bad) = bad {
            sending.settle_rest(&Outcome::NotSent(NotSent::BadBody(bad)));
            self.end(Closed::ByUs);
            return Err(bad.into());
        }
        sending.ended = true;
        let accepted: Vec<usize> = (0..sending.outcomes.len()).filter(|&i| sending.outcomes[i].is_none()).collect();
        self.stage = Stage::Final;
        match self.config.protocol {
            Protocol::Smtp => self.expect(Expect::Message(0)),
            // RFC 2033, 4.2.
            Protocol::Lmtp => accepted.into_iter().for_each(|index| self.expect(Expect::Message(index))),
        }
        Ok(())
    }

    /// Gives the message up. Since nothing but the rest of it could follow, this closes the connection.
    pub fn abandon(&mut self, body: Pending<ask::Body>) {
        if self.wanted(&body).is_ok() {
            if let Some(sending) = &mut self.sending {
                sending.settle_rest(&Outcome::NotSent(NotSent::Abandoned));
            }
            self.end(Closed::ByUs);
        }
    }

    /// Says goodbye once nothing is going on any more.
    pub fn quit(&mut self) {
        self.quitting = true;
    }

    /// Lets `tap` watch the wire from here on, without secrets.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) {
        self.link.set_tap(tap);
    }

    /// Whether the command has a place now.
    fn idle(&self, verb: Verb) -> Result<(), Misuse> {
        if !self.is_ready() {
            return Err(Misuse::new("the session is not ready, or busy"));
        }
        self.dialogue.may(verb).map_err(|why| Misuse::new(alloc::format!("{verb}: {why}")))
    }

    /// Whether `body` is the question that is open.
    fn wanted(&self, body: &Pending<ask::Body>) -> Result<(), Stale> {
        let number = self.link.redeem(body)?;
        match self.stage {
            Stage::Body(open) if open == number && !self.link.is_closed() => Ok(()),
            _ => Err(Stale),
        }
    }

    // ── what comes next ──

    /// Takes one step. False if there is none to take.
    fn advance(&mut self) -> bool {
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

    /// Sends what may be sent now.
    fn speak(&mut self) -> bool {
        match self.stage {
            Stage::Idle if self.quitting && self.expected.is_empty() => {
                self.say(&Command::Quit);
                self.stage = Stage::Quitting;
                self.expect(Expect::Quit);
                true
            }
            Stage::Envelope => self.speak_envelope(),
            Stage::Handshake { .. } | Stage::Opening | Stage::StartTls { .. } | Stage::Auth(_) => false,
            Stage::Idle | Stage::Body(_) | Stage::Final | Stage::Quitting => false,
        }
    }

    fn speak_envelope(&mut self) -> bool {
        let pipelining = self.capabilities.as_ref().is_some_and(|offered| offered.pipelining);
        let sending = self.sending.as_deref_mut().expect("an envelope is sent only while a message is");
        // Whether everything sent so far was answered. RFC 2920, 3.1: only PIPELINING lets a client not wait.
        let answered = self.expected.is_empty();
        if self.link.is_congested() || !(pipelining || answered) {
            return false;
        }
        match sending.next {
            Next::Mail => {
                self.link.put(mail_line(&sending.envelope.from, &sending.envelope.params).as_bytes());
                self.link.end_line();
                sending.next = Next::Rcpt(0);
                self.expect(Expect::Mail);
            }
            Next::Rcpt(_) | Next::Data if sending.mail_refused => {
                if !answered {
                    return false;
                }
                self.conclude();
            }
            Next::Rcpt(index) => {
                let recipient = &sending.envelope.recipients[index];
                self.link.put(rcpt_line(&recipient.to, &recipient.params).as_bytes());
                self.link.end_line();
                let more = index + 1 < sending.envelope.recipients.len();
                sending.next = if more { Next::Rcpt(index + 1) } else { Next::Data };
                self.expect(Expect::Rcpt(index));
            }
            Next::Data if answered && sending.accepted == 0 => {
                self.say_reset();
                self.conclude();
            }
            Next::Data => {
                sending.next = Next::Nothing;
                self.say(&Command::Data);
                self.expect(Expect::Data);
            }
            Next::Nothing => return false,
        }
        true
    }

    /// Reads a line of a reply.
    fn listen(&mut self) -> bool {
        let limit = self.config.limits.reply_line;
        let line = match self.link.line(limit) {
            Framed::Line(line) => line,
            Framed::TooLong => {
                self.end(Closed::Protocol(ProtocolError::LineTooLong { limit }));
                return true;
            }
            Framed::More if self.link.is_eof() => {
                self.end(Closed::Eof);
                return true;
            }
            Framed::More => return false,
        };
        self.link.trace_in(&line.octets, None);
        let read = match line.end {
            LineEnd::CrLf => self.reader.line(&line.octets),
            LineEnd::Lf => {
                Err(ReplyError::Malformed(ParseError { at: line.octets.len(), expected: "CRLF at the end of a line" }))
            }
        };
        match read {
            Ok(Some(reply)) => self.hear(reply),
            Ok(None) => {}
            Err(ReplyError::Malformed(wrong)) => {
                self.end(Closed::Protocol(ProtocolError::Malformed(wrong, Excerpt::new(&line.octets))));
            }
            Err(ReplyError::TooLong { what, limit }) => {
                self.end(Closed::Protocol(ProtocolError::TooMuch { what, limit: limit as u64 }));
            }
        }
        true
    }

    fn hear(&mut self, reply: Reply) {
        let expected = self.expected.pop_front();
        self.arm_reply();
        let closing = reply.code().number() == 421;
        match expected {
            None if closing => self.goodbye(reply),
            None => self.unasked(reply),
            Some(Expect::Quit) => self.end(Closed::ByUs),
            Some(expect) if closing => {
                self.told_off(expect, &reply);
                self.goodbye(reply);
            }
            Some(expect) => self.answered(expect, reply),
        }
    }

    fn answered(&mut self, expect: Expect, reply: Reply) {
        let class = reply.class();
        let waits = matches!(expect, Expect::Auth | Expect::Data);
        if class == ReplyClass::GoOn && !waits || class == ReplyClass::Done && expect == Expect::Data {
            return self.unexpected("the reply does not fit the command", &reply);
        }
        match expect {
            Expect::Greeting if class == ReplyClass::Done => self.say_hello(),
            Expect::Greeting => self.goodbye(reply),
            Expect::Hello(verb) => self.hello_answered(verb, reply),
            Expect::StartTls => self.start_tls_answered(reply),
            Expect::Auth => self.auth_answered(reply),
            Expect::Mail => {
                self.dialogue.replied(Verb::Mail, class);
                if class != ReplyClass::Done {
                    self.told_off(Expect::Mail, &reply);
                }
            }
            Expect::Rcpt(index) => {
                let sending = self.sending.as_deref_mut().expect("a RCPT belongs to a message");
                if sending.mail_refused {
                    return;
                }
                self.dialogue.replied(Verb::Rcpt, class);
                if class == ReplyClass::Done {
                    sending.accepted += 1;
                } else {
                    sending.outcomes[index] = Some(Outcome::Refused { at: RefusedAt::Rcpt, reply: reply.clone() });
                }
                self.events.push_back(Event::Recipient { of: sending.id, index, reply });
            }
            Expect::Data => self.data_answered(reply),
            Expect::Message(index) => self.message_answered(index, reply),
            Expect::Nothing => {
                self.dialogue.message_over();
                self.say_reset();
                self.conclude();
            }
            Expect::Reset => self.dialogue.replied(Verb::Rset, class),
            Expect::Quit => unreachable!("the reply to QUIT ends the session before"),
        }
    }

    fn hello_answered(&mut self, verb: Verb, reply: Reply) {
        if reply.is_done() {
            self.dialogue.replied(verb, ReplyClass::Done);
            let offered = if verb == Verb::Helo { Capabilities::default() } else { Capabilities::from_reply(&reply) };
            let can = offered.start_tls;
            self.capabilities = Some(offered);
            let plain = !self.link.security().is_tls();
            match self.config.tls {
                Tls::IfOffered | Tls::Required if plain && can => self.say_start_tls(false),
                Tls::Required if plain => self.no_tls(),
                Tls::Manual | Tls::IfOffered | Tls::Required | Tls::Implicit => self.ready(),
            }
        } else if verb == Verb::Ehlo && self.config.helo && reply.is_permanent() {
            self.say(&Command::Helo(self.config.name.clone()));
            self.expect(Expect::Hello(Verb::Helo));
        } else {
            self.goodbye(reply);
        }
    }

    fn start_tls_answered(&mut self, reply: Reply) {
        let Stage::StartTls { manual } = self.stage else {
            unreachable!("STARTTLS is answered only after it was sent");
        };
        if reply.is_done() {
            match self.link.begin_tls() {
                Ok(()) => {
                    self.capabilities = None;
                    self.stage = Stage::Handshake { implicit: false };
                }
                Err(wrong) => self.end(Closed::Protocol(wrong)),
            }
        } else if manual {
            self.stage = Stage::Idle;
            self.events.push_back(Event::TlsRefused(reply));
        } else if self.config.tls == Tls::Required {
            self.no_tls();
        } else {
            self.ready();
        }
    }

    fn auth_answered(&mut self, reply: Reply) {
        let Stage::Auth(login) = &mut self.stage else {
            unreachable!("AUTH is answered only after it was sent");
        };
        match reply.class() {
            ReplyClass::Done => {
                let outcome = match login.given_up.take() {
                    Some(failed) => Err(failed),
                    None if login.initial.is_some() => Err(AuthFailed::Mechanism(MechanismError::Incomplete)),
                    None => login.mechanism.succeeded().map_err(AuthFailed::Mechanism),
                };
                let failed = outcome.is_err();
                self.stage = Stage::Idle;
                self.dialogue.replied(Verb::Auth, ReplyClass::Done);
                self.events.push_back(Event::Authenticated(outcome));
                if failed {
                    self.unexpected("the server claims a login that did not happen", &reply);
                }
            }
            ReplyClass::GoOn => self.challenged(&reply),
            ReplyClass::Transient | ReplyClass::Permanent => {
                let failed = login.given_up.take().unwrap_or(AuthFailed::Refused(reply));
                self.stage = Stage::Idle;
                self.events.push_back(Event::Authenticated(Err(failed)));
            }
        }
    }

    fn challenged(&mut self, reply: &Reply) {
        let limit = self.config.limits.reply_octets;
        let Stage::Auth(login) = &mut self.stage else {
            unreachable!("a challenge comes only within a login");
        };
        if login.given_up.is_some() {
            return self.unexpected("the server goes on with a login that was cancelled", reply);
        }
        login.rounds += 1;
        let line = reply.lines().next().unwrap_or_default();
        let answer = if login.rounds > self.config.limits.auth_rounds || reply.code().number() != 334 {
            Err(AuthFailed::BadChallenge)
        } else if let Some(initial) = login.initial.take() {
            Ok(initial)
        } else {
            match sasl_line::challenge(line, limit) {
                Ok(challenge) => login.mechanism.respond(&challenge).map_err(AuthFailed::Mechanism),
                Err(_) => Err(AuthFailed::BadChallenge),
            }
        };
        match answer {
            Ok(response) => self.link.put_secret(sasl_line::encode(response.reveal()).reveal().as_bytes()),
            Err(failed) => {
                login.given_up = Some(failed);
                self.link.put(b"*");
            }
        }
        self.link.end_line();
        self.expect(Expect::Auth);
    }

    fn data_answered(&mut self, reply: Reply) {
        let sending = self.sending.as_deref_mut().expect("DATA belongs to a message");
        if reply.class() == ReplyClass::GoOn {
            self.dialogue.replied(Verb::Data, ReplyClass::GoOn);
            if sending.accepted > 0 {
                let (body, number) = self.link.ask();
                self.stage = Stage::Body(number);
                self.gone = 0;
                self.events.push_back(Event::BodyWanted { of: sending.id, body });
            } else if self.config.protocol == Protocol::Smtp {
                // RFC 2920, 3.1: a server that invites a message for nobody gets an empty one.
                self.link.put(b".");
                self.link.end_line();
                self.expect(Expect::Nothing);
            } else {
                self.unexpected("the server invites a message for nobody", &reply);
            }
            return;
        }
        if sending.accepted > 0 {
            sending.settle_rest(&Outcome::Refused { at: RefusedAt::Data, reply });
        }
        if !sending.mail_refused {
            self.say_reset();
        }
        self.conclude();
    }

    fn message_answered(&mut self, index: usize, reply: Reply) {
        let sending = self.sending.as_deref_mut().expect("the reply to a message belongs to it");
        let outcome = if reply.is_done() {
            Outcome::Delivered(reply)
        } else {
            Outcome::Refused { at: RefusedAt::Message, reply }
        };
        match self.config.protocol {
            Protocol::Smtp => sending.settle_rest(&outcome),
            Protocol::Lmtp => sending.outcomes[index] = Some(outcome),
        }
        if self.expected.is_empty() {
            self.dialogue.message_over();
            self.conclude();
        }
    }

    /// A command was refused: what that means for the recipients.
    fn told_off(&mut self, expect: Expect, reply: &Reply) {
        if expect == Expect::Auth {
            self.events.push_back(Event::Authenticated(Err(AuthFailed::Refused(reply.clone()))));
        }
        let Some(sending) = self.sending.as_deref_mut() else { return };
        let refused = |at| Outcome::Refused { at, reply: reply.clone() };
        match expect {
            Expect::Mail => {
                sending.mail_refused = true;
                sending.settle_rest(&refused(RefusedAt::Mail));
            }
            Expect::Rcpt(index) => {
                sending.outcomes[index].get_or_insert_with(|| refused(RefusedAt::Rcpt));
            }
            Expect::Data => sending.settle_rest(&refused(RefusedAt::Data)),
            Expect::Message(index) => match self.config.protocol {
                Protocol::Smtp => sending.settle_rest(&refused(RefusedAt::Message)),
                Protocol::Lmtp => sending.outcomes[index] = Some(refused(RefusedAt::Message)),
            },
            Expect::Greeting | Expect::Hello(_) | Expect::StartTls | Expect::Auth => {}
            Expect::Nothing | Expect::Reset | Expect::Quit => {}
        }
    }

    /// A reply came though nothing was asked. Within a message, it is the server's word on it: the end was not sent.
    fn unasked(&mut self, reply: Reply) {
        if let (Stage::Body(_), Some(sending), false) = (&self.stage, &mut self.sending, reply.is_done()) {
            sending.settle_rest(&Outcome::Refused { at: RefusedAt::Message, reply: reply.clone() });
        }
        self.unexpected("a reply that nothing was asked for", &reply);
    }

    fn unexpected(&mut self, what: &'static str, reply: &Reply) {
        let got = Excerpt::new(alloc::string::ToString::to_string(reply).as_bytes());
        self.end(Closed::Protocol(ProtocolError::Unexpected { what, got }));
    }

    // ── what is said ──

    fn say(&mut self, command: &Command) {
        self.link.put(command.encode().as_bytes());
        self.link.end_line();
    }

    fn say_hello(&mut self) {
        let name = self.config.name.clone();
        let command = match self.config.protocol {
            Protocol::Smtp => Command::Ehlo(name),
            Protocol::Lmtp => Command::Lhlo(name),
        };
        self.say(&command);
        self.expect(Expect::Hello(command.verb()));
    }

    fn say_start_tls(&mut self, manual: bool) {
        self.say(&Command::StartTls);
        self.stage = Stage::StartTls { manual };
        self.expect(Expect::StartTls);
    }

    fn say_reset(&mut self) {
        self.say(&Command::Rset);
        self.dialogue.message_over();
        self.expect(Expect::Reset);
    }

    fn expect(&mut self, expect: Expect) {
        self.expected.push_back(expect);
        if self.expected.len() == 1 {
            self.arm_reply();
        }
    }

    /// Gives the server its time for the reply that comes next.
    fn arm_reply(&mut self) {
        let limits = &self.config.limits;
        let Some(next) = self.expected.front() else { return self.reply_timer.disarm() };
        self.reply_timer.arm(match next {
            Expect::Greeting => limits.greeting,
            Expect::Hello(_) | Expect::StartTls | Expect::Auth | Expect::Reset => limits.command,
            Expect::Mail => limits.mail,
            Expect::Rcpt(_) => limits.rcpt,
            Expect::Data => limits.data,
            Expect::Message(_) | Expect::Nothing => {
                let mib = self.sending.as_ref().map_or(0, |sending| sending.written >> 20);
                let more = limits.message_per_mib.saturating_mul(u32::try_from(mib).unwrap_or(u32::MAX));
                limits.message.saturating_add(more)
            }
            Expect::Quit => limits.quit,
        });
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

    /// The message is done with.
    fn conclude(&mut self) {
        let Some(mut sending) = self.sending.take() else { return };
        let rest = if sending.ended { Outcome::Unknown } else { Outcome::NotSent(NotSent::Ended) };
        sending.settle_rest(&rest);
        let outcomes = sending.outcomes.into_iter().map(|outcome| outcome.expect("the rest was settled")).collect();
        self.events.push_back(Event::Finished { of: sending.id, outcomes });
        self.stage = Stage::Idle;
    }

    /// The server closes.
    fn goodbye(&mut self, reply: Reply) {
        if let Some(sending) = self.sending.as_deref_mut()
            && !sending.ended
        {
            let at = match self.stage {
                Stage::Body(_) => RefusedAt::Message,
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

    /// Looks at the time. True if something was due.
    fn tick(&mut self, now: Instant) -> bool {
        if self.link.is_gated() {
            self.handshake_timer.arm_if_off(self.config.limits.handshake);
        }
        if let (Stage::Body(_), Some(sending)) = (&self.stage, &self.sending) {
            // Time runs only while octets wait, and starts anew with each that went out.
            let gone = sending.written.saturating_sub(self.link.queued() as u64);
            if self.link.queued() == 0 {
                self.block_timer.disarm();
            } else if gone != self.gone {
                self.gone = gone;
                self.block_timer.arm(self.config.limits.block);
            } else {
                self.block_timer.arm_if_off(self.config.limits.block);
            }
        } else {
            self.block_timer.disarm();
        }
        // Each must be told the time.
        let due =
            [&mut self.reply_timer, &mut self.handshake_timer, &mut self.block_timer].map(|timer| timer.tick(now));
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
                let deadline = Timer::earliest([&self.reply_timer, &self.handshake_timer, &self.block_timer]);
                return Step::Idle { deadline };
            }
        }
    }
}

postrider_core::session_over_link!(Client, link);

/// Lets the message be written to the link.
struct Out<'a>(&'a mut Link);

impl Sink for Out<'_> {
    fn put(&mut self, octets: &[u8]) {
        self.0.put_body(octets);
    }
    fn put_shared(&mut self, octets: Bytes) {
        self.0.put_shared(octets);
    }
}
