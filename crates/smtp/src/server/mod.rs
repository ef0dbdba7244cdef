//! The server's side of a session: SMTP, submission or LMTP, by configuration.
//!
//! Order and state are checked before a question is asked, so the application never sees a RCPT without a MAIL. A
//! question that is not answered within [`Limits::decision`] is answered 451.
//!
//! What follows a refused DATA is not trusted: a client that did not wait for the invitation sends its message next,
//! and a message must not be run as commands. If anything has come before the refusal was said, or if the next line is
//! no command, the session is closed with 421. A DATA that cannot be understood is a refused one, and so is a BDAT, as
//! its chunk's size is not known.
//!
//! A refusal brings others: of what was sent in the same group (RFC 2920) before it was heard. They are counted as
//! refusals, and not as mistakes, of which a client is soon allowed no more.

mod answers;
mod chunks;
mod commands;
mod config;
mod event;
mod login;
mod peers;
mod proxy;
mod receiving;
mod replies;
mod timers;

pub use config::{Config, Limits, Role, Tls};
pub use event::{Event, ask};
pub use peers::{ConnectionLimits, Connections, Network, Origin, TooManyConnections};

use crate::address::HelloName;
use crate::dialogue::{Dialogue, Phase, Protocol};
use crate::outcome::Refusal;
use crate::wire::{BodyType, Proxied, Quirks, ReplyClass, Verb};
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use answers::Slot;
use chunks::Chunk;
use core::net::SocketAddr;
use postrider_core::{Closed, Instant, Line, Link, Machine, Pending, Security, SessionId, Stale, Step, Tap, Text};
use postrider_sasl::{Denied, Identity, ServerExchange};
use receiving::Receiving;
use timers::Timers;

/// Where a session stands, for tests and logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct State {
    /// How far it has come.
    pub phase: Phase,
    /// Whether TLS is in place.
    pub tls: bool,
    /// Whether the client is logged in.
    pub authenticated: bool,
    /// Recipients accepted in this transaction.
    pub recipients: usize,
    /// Questions that wait for their answers.
    pub undecided: usize,
}

/// What a session noticed of a transaction, for the application that takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Notes {
    /// Bad grammar that was put up with in MAIL or RCPT, as [`Config::quirks`] allows.
    pub quirks: Quirks,
    /// `Received` fields in the message's header.
    pub hops: u32,
    /// The header says `TLS-Required: No` (RFC 8689, 4): deliver it even where policy would have TLS. Never together with
    /// REQUIRETLS.
    pub tls_not_required: bool,
}

/// A server session. See the [module](self) and [`postrider_core`] for how it is run.
pub struct Server {
    config: Arc<Config>,
    link: Link,
    dialogue: Dialogue,
    stage: Stage,
    events: VecDeque<Event>,
    /// Replies owed, in the order in which they are sent.
    slots: VecDeque<Slot>,
    /// A line that was read and must wait for those replies.
    held: Option<Held>,

    hello: Option<HelloName>,
    identity: Option<Identity>,
    /// This transaction's MAIL said SMTPUTF8.
    utf8: bool,
    /// This transaction's MAIL said this of the message.
    body_type: Option<BodyType>,
    /// This transaction's MAIL said REQUIRETLS.
    require_tls: bool,
    /// The recipients as they would stand in `Delivered-To`, if that is looked at.
    accepted: Vec<String>,
    /// The domains of recipients accepted so far, if they are limited.
    domains: BTreeSet<String>,
    /// The message between two chunks.
    message: Option<Box<Receiving>>,
    notes: Notes,
    origin: Origin,
    may_xclient: bool,
    recipients: usize,
    /// Whether this transaction had a RCPT at all.
    rcpt_seen: bool,
    /// A transaction came to nothing, or to no beginning, and its client may have sent more of it before it knew: so many
    /// recipients had been accepted. Until what would have been its end.
    bereft: Option<u32>,
    refused_data: bool,
    /// The last command was AUTH, so what is none may be a part of a login.
    after_auth: bool,
    shutting_down: Option<Text>,
    overdue: bool,
    counts: Counts,
    timers: Timers,
}

#[derive(Debug)]
enum Stage {
    /// A PROXY header is next; then TLS if it is implicit, or the greeting.
    Proxy { implicit: bool },
    /// TLS is to begin; then the greeting if it was implicit.
    Handshake { implicit: bool },
    /// Before the greeting.
    Greeting,
    /// A command is next.
    Command,
    /// The response to a challenge is next.
    Exchange { exchange: ServerExchange, rounds: u32 },
    /// Whatever the client answers to the last words, its login is refused.
    Refused { refusal: Refusal },
    /// The message is next.
    Body(Box<Receiving>),
    /// A chunk of the message is next.
    Chunk(Box<Chunk>),
}

#[derive(Debug)]
enum Held {
    Line(Line),
    TooLong { verb: Option<Verb> },
}

#[derive(Debug, Default)]
struct Counts {
    errors: u32,
    idle: u32,
    hellos: u32,
    auth_failures: u32,
    transactions: u32,
    recipients_excess: u32,
    refused: u32,
    chunks: u32,
}

impl Server {
    /// A session about to greet its client. `id` is the caller's number for it.
    pub fn new(config: Arc<Config>, id: SessionId) -> Self {
        let implicit = config.tls == Tls::Implicit;
        Self::made(config, id, implicit)
    }

    fn made(config: Arc<Config>, id: SessionId, implicit: bool) -> Self {
        let mut link = Link::new(id, config.limits.link);
        //= 5321-2.3.8-1
        link.end_lines_at_crlf();
        if implicit {
            link.start_with_tls();
        }
        let protocol = if config.role == Role::Lmtp { Protocol::Lmtp } else { Protocol::Smtp };
        let mut timers = Timers::default();
        timers.session.arm(config.limits.session);
        Self {
            link,
            dialogue: Dialogue::new(protocol, false),
            stage: if implicit { Stage::Handshake { implicit: true } } else { Stage::Greeting },
            events: VecDeque::new(),
            slots: VecDeque::new(),
            held: None,
            hello: None,
            identity: None,
            utf8: false,
            body_type: None,
            require_tls: false,
            accepted: Vec::new(),
            domains: BTreeSet::new(),
            message: None,
            notes: Notes::default(),
            origin: Origin::default(),
            may_xclient: false,
            recipients: 0,
            rcpt_seen: false,
            bereft: None,
            refused_data: false,
            after_auth: false,
            shutting_down: None,
            overdue: false,
            counts: Counts::default(),
            timers,
            config,
        }
    }

    /// A session with a client at this address, if it is not among [`Config::proxies`]: then a PROXY header comes first
    /// and says where the client is.
    pub fn with_peer(config: Arc<Config>, id: SessionId, peer: SocketAddr) -> Self {
        let proxied = proxy::trusts(&config.proxies, peer);
        let may_xclient = proxy::trusts(&config.xclient, peer);
        let implicit = config.tls == Tls::Implicit;
        let mut server = Self::made(config, id, implicit && !proxied);
        server.origin = Origin::of(peer);
        server.may_xclient = may_xclient;
        if proxied {
            server.await_proxy(implicit);
        }
        server
    }

    /// A session whose PROXY header the caller has read itself, from a proxy at this address that it trusts:
    /// [`Config::proxies`] does not matter.
    pub fn with_proxy(config: Arc<Config>, id: SessionId, proxy: SocketAddr, said: Proxied) -> Self {
        let may_xclient = proxy::trusts(&config.xclient, proxy);
        let mut server = Self::new(config, id);
        server.origin = Origin::of(proxy);
        server.may_xclient = may_xclient;
        server.proxied(said);
        server
    }

    // ── the application's verbs ──

    /// Answers a question.
    ///
    /// # Errors
    /// [`Stale`] if the session answered it itself, is over, or did not ask it.
    pub fn answer<Q: ask::Ask>(&mut self, question: Pending<Q>, answer: Result<Q::Yes, Q::No>) -> Result<(), Stale> {
        let number = self.link.redeem(&question)?;
        let open = |slot: &&mut Slot| slot.number == number && slot.verdict.is_none();
        let slot = self.slots.iter_mut().find(open).ok_or(Stale)?;
        slot.verdict = Some(Q::verdict(answer));
        Ok(())
    }

    /// Answers Yes in the session's own words.
    ///
    /// # Errors
    /// As [`Server::answer`].
    pub fn accept<Q: ask::Ask>(&mut self, question: Pending<Q>) -> Result<(), Stale>
    where
        Q::Yes: Default,
    {
        self.answer(question, Ok(Q::Yes::default()))
    }

    /// Answers No.
    ///
    /// # Errors
    /// As [`Server::answer`].
    pub fn refuse<Q: ask::Ask>(&mut self, question: Pending<Q>, why: Q::No) -> Result<(), Stale> {
        self.answer(question, Err(why))
    }

    /// Answers whatever question an event holds with "try again later". For events the application does not know.
    pub fn decline(&mut self, event: Event) {
        let why = Refusal::undecided();
        // A question that is stale already needs no answer.
        let _ = match event {
            Event::Hello { answer, .. } => self.refuse(answer, why),
            Event::Auth { answer, .. } => self.refuse(answer, Denied::Temporary.into()),
            Event::Scram { answer, .. } => self.refuse(answer, Denied::Temporary.into()),
            Event::Challenge { answer } => self.refuse(answer, Denied::Temporary.into()),
            Event::Mail { answer, .. } => self.refuse(answer, why),
            Event::Rcpt { answer, .. } => self.refuse(answer, why),
            Event::Data { answer } => self.refuse(answer, why),
            Event::Message { answer, .. } => self.refuse(answer, why),
            Event::Verify { answer, .. } => self.refuse(answer, why),
            Event::Expand { answer, .. } => self.refuse(answer, why),
            Event::Etrn { answer, .. } => self.refuse(answer, why),
            Event::Burl { answer, .. } => self.refuse(answer, why),
            Event::Body(_) | Event::Reset | Event::Closed(_) => Ok(()),
        };
    }

    /// Lets the transaction that has begun finish, then says 421 with this text and closes. Before the greeting, that
    /// takes its place.
    pub fn shut_down(&mut self, why: Text) {
        self.shutting_down = Some(why);
    }

    /// Whether the stream is protected now.
    //= 3207-4.1-1, 3207-4.2-3
    pub fn security(&self) -> &Security {
        self.link.security()
    }

    /// Who the client is, once it is logged in.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// What the client calls itself, once it has said so, and whether it did so with EHLO or LHLO.
    pub fn hello(&self) -> Option<(&HelloName, bool)> {
        self.hello.as_ref().map(|name| (name, self.dialogue.is_extended()))
    }

    /// Where the client comes from, as far as that is known: see [`Server::with_peer`].
    pub fn client(&self) -> &Origin {
        &self.origin
    }

    /// What was noticed of this transaction so far. What its header says is known with [`Event::Message`].
    pub fn notes(&self) -> Notes {
        Notes { tls_not_required: self.notes.tls_not_required && !self.require_tls, ..self.notes }
    }

    /// Where the session stands.
    pub fn state(&self) -> State {
        State {
            phase: self.dialogue.phase(),
            tls: self.dialogue.is_tls(),
            authenticated: self.dialogue.is_authenticated(),
            recipients: self.recipients,
            undecided: self.slots.iter().filter(|slot| slot.verdict.is_none()).count(),
        }
    }

    /// Lets `tap` watch the wire from here on, without secrets.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) {
        self.link.set_tap(tap);
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
        if self.slots.front().is_some_and(|slot| slot.verdict.is_some()) {
            self.settle();
            return true;
        }
        match &self.stage {
            Stage::Proxy { implicit } => self.proxy(*implicit),
            Stage::Handshake { implicit } => {
                // The gate is open again: TLS is in place, and all that was learnt before is forgotten.
                self.stage = if *implicit { Stage::Greeting } else { Stage::Command };
                self.dialogue.secured();
                self.hello = None;
                self.identity = None;
                self.counts.hellos = 0;
                self.timers.command.disarm();
                true
            }
            Stage::Greeting => self.greet(),
            Stage::Command => self.command(),
            Stage::Exchange { .. } | Stage::Refused { .. } => self.response(),
            Stage::Body(_) => self.body(),
            Stage::Chunk(_) => self.chunk(),
        }
    }

    // ── ends ──

    /// The transaction is over without a message.
    //= 5321-4.1.1.10-4
    fn forget_transaction(&mut self) {
        if self.dialogue.in_transaction() {
            self.events.push_back(Event::Reset);
        }
        self.new_transaction();
    }

    fn new_transaction(&mut self) {
        self.utf8 = false;
        self.body_type = None;
        self.require_tls = false;
        self.accepted.clear();
        self.message = None;
        self.timers.rate_over();
        self.notes = Notes::default();
        self.counts.chunks = 0;
        self.recipients = 0;
        self.bereft = None;
        self.rcpt_seen = false;
        self.counts.recipients_excess = 0;
    }

    fn end(&mut self, why: Closed) {
        self.forget_transaction();
        self.dialogue.replied(Verb::Quit, ReplyClass::Done);
        self.link.close(&why);
        self.slots.clear();
        self.held = None;
        self.stage = Stage::Command;
        self.events.push_back(Event::Closed(why));
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
            //= 2920-3.2-7
            if !self.advance() && !self.tick(now) {
                self.link.release();
                return Step::Idle { deadline: self.deadline() };
            }
        }
    }
}

postrider_core::session_over_link!(Server, link, events);
