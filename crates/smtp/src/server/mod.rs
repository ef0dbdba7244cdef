//! The server's side of a session: SMTP, submission or LMTP, by configuration.
//!
//! Order and state are checked before a question is asked, so the application never sees a RCPT without a MAIL. A
//! question that is not answered within [`Limits::decision`] is answered 451.
//!
//! What follows a refused DATA is not trusted: a client that did not wait for the invitation sends its message next,
//! and a message must not be run as commands. If anything has come before the refusal was said, or if the next line is
//! no command, the session is closed with 421.

mod config;
mod receiving;

pub use config::{Config, Limits, Role, Tls};

use crate::address::{ForwardPath, HelloName, ReversePath};
use crate::dialogue::{Dialogue, OutOfOrder, Phase, Protocol};
use crate::outcome::{Accepted, Delivered, Refusal, What, no};
use crate::wire::{
    BodyType, Command, CommandError, MailParams, ParamError, Parameter, RcptParams, Reply, ReplyClass, Verb,
};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use postrider_core::{
    Closed, Excerpt, Framed, Instant, Line, LineEnd, Link, Machine, Pending, ProtocolError, Question, Security,
    SessionId, Stale, Step, Tap, Text, Timer,
};
use postrider_sasl::{Attempt, ExchangeError, Identity, MechanismName, ServerExchange, ServerStep, line as sasl_line};
use receiving::Receiving;

/// What a server session reports and asks.
///
/// Questions that are off by default ([`Config::ask_hello`], [`Config::ask_verify`]) come only if switched on; give
/// events you do not know to [`Server::decline`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The client introduces itself. Only with [`Config::ask_hello`].
    Hello {
        /// Yes lets it go on.
        answer: Pending<ask::Hello>,
        /// What it calls itself.
        name: HelloName,
    },
    /// The client wants to log in.
    Auth {
        /// Yes says who it is.
        answer: Pending<ask::Auth>,
        /// Who it claims to be, and what it shows for it.
        attempt: Attempt,
    },
    /// A transaction begins.
    Mail {
        /// Yes begins it.
        answer: Pending<ask::Mail>,
        /// Where reports go.
        from: ReversePath,
        /// What else MAIL says.
        params: MailParams,
    },
    /// A recipient. Several may be undecided at once: [`Config::undecided`].
    Rcpt {
        /// Yes takes the recipient.
        answer: Pending<ask::Rcpt>,
        /// Whom the message is for.
        to: ForwardPath,
        /// What else RCPT says.
        params: RcptParams,
    },
    /// The client is ready to send.
    Data {
        /// Yes invites it (354); No ends the transaction.
        answer: Pending<ask::Data>,
    },
    /// Part of the message, without the dots that were added for the way.
    Body(Bytes),
    /// All of the message was reported.
    Message {
        /// Yes takes responsibility for it (RFC 5321, 6.1). If the answer comes too late ([`Stale`]) the client was
        /// told 451 and will send it again.
        answer: Pending<ask::Message>,
        /// Its size in octets, as reported by [`Event::Body`].
        size: u64,
    },
    /// Discard what this transaction collected: RSET, a new greeting, a message that was bad, a lost connection.
    Reset,
    /// Is there such a user? Only with [`Config::ask_verify`].
    Verify {
        /// The text of a Yes should be the user's full name and mailbox.
        answer: Pending<ask::Verify>,
        /// What the client asks about.
        what: Text,
    },
    /// The session is over. Always the last event.
    Closed(Closed),
}

/// The questions of a server session.
pub mod ask {
    use super::{Accepted, Delivered, Identity, Question, Refusal, Verdict};

    /// A question that [`Server::answer`](super::Server::answer) takes an answer to.
    pub trait Ask: Question + sealed::Sealed {
        #[doc(hidden)]
        fn verdict(answer: Result<Self::Yes, Self::No>) -> Verdict;
    }

    mod sealed {
        pub trait Sealed {}
    }

    macro_rules! questions {
        ($($(#[$doc:meta])* $name:ident: $yes:ty => $verdict:ident;)*) => {$(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}
            impl Question for $name {
                type Yes = $yes;
                type No = Refusal;
            }
            impl sealed::Sealed for $name {}
            impl Ask for $name {
                fn verdict(answer: Result<$yes, Refusal>) -> Verdict {
                    Verdict::$verdict(answer)
                }
            }
        )*};
    }
    questions! {
        /// May the client go on under this name?
        Hello: Accepted => Plain;
        /// Who is it?
        Auth: Identity => Auth;
        /// May it send from here?
        Mail: Accepted => Plain;
        /// Is mail taken for this recipient?
        Rcpt: Accepted => Plain;
        /// May the message come?
        Data: Accepted => Plain;
        /// Is the message taken?
        Message: Delivered => Message;
        /// Is there such a user?
        Verify: Accepted => Plain;
    }
}

/// An answer as it waits for its turn.
#[doc(hidden)]
#[derive(Debug)]
pub enum Verdict {
    /// To most questions.
    Plain(Result<Accepted, Refusal>),
    /// To a login.
    Auth(Result<Identity, Refusal>),
    /// To a message.
    Message(Result<Delivered, Refusal>),
}

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
    recipients: usize,
    /// Whether this transaction had a RCPT at all.
    rcpt_seen: bool,
    refused_data: bool,
    shutting_down: Option<Text>,
    overdue: bool,
    counts: Counts,
    timers: Timers,
}

#[derive(Debug)]
enum Stage {
    /// TLS is to begin; then the greeting if it was implicit.
    Handshake { implicit: bool },
    /// Before the greeting.
    Greeting,
    /// A command is next.
    Command,
    /// The response to a challenge is next.
    Exchange { exchange: ServerExchange, rounds: u32 },
    /// The message is next.
    Body(Box<Receiving>),
}

#[derive(Debug)]
enum Held {
    Line(Line),
    TooLong,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    about: About,
    timer: Timer,
    verdict: Option<Verdict>,
    timed_out: bool,
}

/// What a reply is owed to.
#[derive(Debug)]
enum About {
    Hello {
        verb: Verb,
        name: HelloName,
    },
    Auth,
    Mail {
        utf8: bool,
    },
    Rcpt,
    Data,
    Message,
    Verify,
    /// To a RCPT that needs no question. `error` says that it was wrong.
    Said {
        reply: Reply,
        error: bool,
    },
}

#[derive(Debug, Default)]
struct Counts {
    errors: u32,
    idle: u32,
    hellos: u32,
    auth_failures: u32,
    transactions: u32,
    recipients_excess: usize,
}

#[derive(Debug, Default)]
struct Timers {
    /// The client's time for a command.
    command: Timer,
    /// The client's time for part of a message.
    block: Timer,
    rate: Timer,
    /// The greeting's delay.
    greeting: Timer,
    /// The delay after errors.
    pause: Timer,
    pausing: bool,
    session: Timer,
}

impl Server {
    /// A session about to greet its client. `id` is the caller's number for it.
    pub fn new(config: Arc<Config>, id: SessionId) -> Self {
        let mut link = Link::new(id, config.limits.link);
        let implicit = config.tls == Tls::Implicit;
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
            recipients: 0,
            rcpt_seen: false,
            refused_data: false,
            shutting_down: None,
            overdue: false,
            counts: Counts::default(),
            timers,
            config,
        }
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
            Event::Auth { answer, .. } => self.refuse(answer, why),
            Event::Mail { answer, .. } => self.refuse(answer, why),
            Event::Rcpt { answer, .. } => self.refuse(answer, why),
            Event::Data { answer } => self.refuse(answer, why),
            Event::Message { answer, .. } => self.refuse(answer, why),
            Event::Verify { answer, .. } => self.refuse(answer, why),
            Event::Body(_) | Event::Reset | Event::Closed(_) => Ok(()),
        };
    }

    /// Lets the transaction that has begun finish, then says 421 with this text and closes.
    pub fn shut_down(&mut self, why: Text) {
        self.shutting_down = Some(why);
    }

    /// Whether the stream is protected now.
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
            Stage::Exchange { .. } => self.response(),
            Stage::Body(_) => self.body(),
        }
    }

    fn greet(&mut self) -> bool {
        let delay = self.config.limits.greeting_delay;
        if !delay.is_zero() {
            if !self.link.input().is_empty() {
                // RFC 5321, 4.3.1: the client should wait for the greeting.
                self.put(&no(554, 5, 1, "You spoke before you were greeted"));
                self.end(Closed::Protocol(ProtocolError::Unexpected {
                    what: "the client spoke before the greeting",
                    got: Excerpt::new(self.link.input()),
                }));
                return true;
            }
            if self.link.is_eof() {
                self.end(Closed::Eof);
                return true;
            }
            if !self.timers.pausing {
                self.timers.pausing = true;
                self.timers.greeting.arm(delay);
            }
            return false;
        }
        self.say_greeting();
        true
    }

    fn say_greeting(&mut self) {
        self.link.put(b"220 ");
        self.link.put(self.config.name.as_str().as_bytes());
        self.link.put(b" ");
        self.link.put(self.config.banner.as_str().as_bytes());
        self.link.end_line();
        self.stage = Stage::Command;
    }

    /// Reads and runs a command if one may be.
    fn command(&mut self) -> bool {
        // A client that does not read its replies gets no more of them.
        if self.link.is_congested() || self.timers.pausing {
            return false;
        }
        if self.slots.is_empty() {
            if let Some(why) = self.shutting_down.take_if(|_| !self.dialogue.in_transaction()) {
                self.put(&Reply::new(
                    crate::ReplyCode::literal(421),
                    Some(crate::EnhancedCode::literal(4, 3, 2)),
                    &why,
                ));
                self.end(Closed::ByUs);
                return true;
            }
            if self.overdue {
                self.hang_up(no(421, 4, 2, "The session has lasted too long"), Closed::TimedOut);
                return true;
            }
        }
        if self.held.is_none() {
            let limits = &self.config.limits;
            match self.link.line(limits.command_line.max(limits.auth_line)) {
                Framed::Line(line) => self.held = Some(Held::Line(line)),
                Framed::TooLong => self.held = Some(Held::TooLong),
                Framed::More => return self.no_line(),
            }
        }
        match self.held.take_if(|held| may_run(held, &self.slots, self.config.undecided)) {
            None => false,
            Some(Held::TooLong) => {
                self.timers.command.disarm();
                self.wrong(no(500, 5, 2, "The line is too long"));
                true
            }
            Some(Held::Line(line)) => {
                self.timers.command.disarm();
                self.run(&line);
                true
            }
        }
    }

    /// There is no whole line.
    fn no_line(&mut self) -> bool {
        // A TLS client that was not told to wait: its first record is a handshake. Such a client reads no SMTP.
        if self.slots.is_empty() && self.link.input().first() == Some(&0x16) {
            self.end(Closed::Protocol(ProtocolError::Unexpected {
                what: "the client began TLS without STARTTLS",
                got: Excerpt::new(self.link.input()),
            }));
            return true;
        }
        if self.link.is_eof() && self.slots.is_empty() {
            self.end(Closed::Eof);
            return true;
        }
        false
    }

    fn run(&mut self, line: &Line) {
        let octets = &line.octets[..];
        let verb = Verb::of(octets);
        if self.link.is_tapped() {
            let secret = (verb == Some(Verb::Auth))
                .then(|| memchr::memchr_iter(b' ', octets).nth(1).map_or(octets.len(), |space| space + 1));
            self.link.trace_in(octets, secret);
        }
        if core::mem::take(&mut self.refused_data) && verb.is_none() {
            return self.message_came_anyway(octets);
        }
        if line.end == LineEnd::Lf || memchr::memchr2(b'\r', 0, octets).is_some() {
            // RFC 5321, 2.3.8: CR and LF only as CRLF.
            self.wrong(no(500, 5, 2, "A line ends with CRLF and holds neither CR, LF nor NUL"));
            self.refused_data = octets.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"DATA"));
            return;
        }
        if octets.len() > self.config.limits.command_line && verb != Some(Verb::Auth) {
            return self.wrong(no(500, 5, 2, "The line is too long"));
        }
        if verb.is_none() && is_other_protocol(octets) {
            return self.hang_up(
                no(421, 7, 0, "This is a mail server"),
                Closed::Protocol(ProtocolError::Unexpected {
                    what: "the client speaks another protocol",
                    got: Excerpt::new(octets),
                }),
            );
        }
        match Command::parse(octets, self.config.quirks) {
            Ok(command) => self.obey(command),
            Err(wrong) => {
                let data = verb == Some(Verb::Data);
                self.wrong(misread(wrong));
                self.refused_data = data;
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let verb = command.verb();
        if let Err(why) = self.dialogue.may(verb) {
            let reply = self.out_of_order(verb, why);
            self.wrong(reply);
            if verb == Verb::Data {
                self.data_refused();
            }
            return;
        }
        let moves_nothing = matches!(verb, Verb::Rset | Verb::Noop | Verb::Help | Verb::Vrfy | Verb::Expn);
        if moves_nothing && !self.idle_command() {
            return;
        }
        match command {
            Command::Ehlo(name) | Command::Helo(name) | Command::Lhlo(name) => self.greeted(verb, name),
            Command::Mail { from, params } => self.mail(from, params),
            Command::Rcpt { to, params } => self.rcpt(to, params),
            Command::Data => self.ask_about(About::Data, |answer: Pending<ask::Data>| Event::Data { answer }),
            Command::Bdat { .. } => self.wrong(no(502, 5, 1, "CHUNKING is not offered")),
            Command::Rset => {
                self.forget_transaction();
                self.dialogue.replied(verb, ReplyClass::Done);
                self.put_static("250 2.0.0 Forgotten");
            }
            Command::Noop => self.put_static("250 2.0.0 OK"),
            Command::Help => self.put_static("214 2.0.0 See RFC 5321"),
            Command::Vrfy(what) if self.config.ask_verify => {
                self.ask_about(About::Verify, |answer: Pending<ask::Verify>| Event::Verify { answer, what });
            }
            Command::Vrfy(_) => self.put_static("252 2.5.0 Cannot verify, but will take a message"),
            Command::Expn(_) => self.put(&no(502, 5, 1, "EXPN is not offered")),
            Command::Quit => {
                self.put_static("221 2.0.0 Goodbye");
                self.end(Closed::ByPeer);
            }
            Command::StartTls => self.start_tls(),
            Command::Auth { mechanism, initial } => {
                self.auth(&mechanism, initial.as_ref().map(|initial| initial.reveal().as_bytes()));
            }
        }
    }

    fn greeted(&mut self, verb: Verb, name: HelloName) {
        self.counts.hellos += 1;
        if self.counts.hellos > self.config.limits.hellos {
            let limit = u64::from(self.config.limits.hellos);
            return self.too_much("greetings", limit);
        }
        let about = About::Hello { verb, name: name.clone() };
        if self.config.ask_hello {
            self.ask_about(about, |answer: Pending<ask::Hello>| Event::Hello { answer, name });
        } else {
            self.decided(about, Verdict::Plain(Ok(Accepted::default())));
        }
    }

    fn mail(&mut self, from: ReversePath, params: MailParams) {
        let offered = self.dialogue.is_extended();
        if let Some(reply) = self.barrier() {
            return self.wrong(reply);
        }
        if self.config.role == Role::Submission && !self.dialogue.is_authenticated() {
            return self.wrong(no(530, 7, 0, "Authentication required"));
        }
        let plain = from.is_ascii() && others_are_ascii(&params.other);
        let config = &self.config;
        let unknown = (params.smtp_utf8 && !config.smtp_utf8)
            || ((params.ret.is_some() || params.envelope_id.is_some()) && !config.dsn)
            || (params.auth.is_some() && config.auth.is_empty())
            || (params.require_tls && !(config.require_tls && self.dialogue.is_tls()))
            || (!offered && params != MailParams::default())
            || !self.knows(&params.other);
        if unknown {
            return self.wrong(no(555, 5, 4, "A parameter is not recognised"));
        }
        if params.body == Some(BodyType::BinaryMime) {
            return self.wrong(no(504, 5, 4, "BINARYMIME is not offered"));
        }
        if !plain && !params.smtp_utf8 {
            return self.wrong(no(501, 6, 7, "An address with UTF-8 needs SMTPUTF8"));
        }
        if params.size.is_some_and(|size| size > config.limits.message) {
            // RFC 1870, 6.1.
            return self.put(&no(552, 3, 4, "The message is too large"));
        }
        if self.counts.transactions >= config.limits.transactions {
            let limit = u64::from(config.limits.transactions);
            return self.too_much("messages in one session", limit);
        }
        let about = About::Mail { utf8: params.smtp_utf8 };
        self.ask_about(about, |answer: Pending<ask::Mail>| Event::Mail { answer, from, params });
    }

    fn rcpt(&mut self, to: ForwardPath, params: RcptParams) {
        self.rcpt_seen = true;
        let dsn = self.config.dsn && self.dialogue.is_extended();
        if ((params.notify.is_some() || params.original.is_some()) && !dsn) || !self.knows(&params.other) {
            return self.wrong(no(555, 5, 4, "A parameter is not recognised"));
        }
        let plain = to.is_ascii() && others_are_ascii(&params.other);
        if !plain && !self.utf8 {
            return self.wrong(no(501, 6, 7, "An address with UTF-8 needs SMTPUTF8"));
        }
        let open = self.slots.iter().filter(|slot| matches!(slot.about, About::Rcpt)).count();
        if self.recipients + open >= self.config.limits.recipients {
            self.counts.recipients_excess += 1;
            if self.counts.recipients_excess > self.config.limits.recipients_excess && self.slots.is_empty() {
                let limit = self.config.limits.recipients as u64;
                return self.too_much("recipients", limit);
            }
            // RFC 5321, 4.5.3.1.10.
            return self.say(no(452, 5, 3, "Too many recipients"), false);
        }
        self.ask_about(About::Rcpt, |answer: Pending<ask::Rcpt>| Event::Rcpt { answer, to, params });
    }

    fn start_tls(&mut self) {
        match self.config.tls {
            Tls::Off | Tls::Implicit => return self.wrong(no(502, 5, 1, "STARTTLS is not offered")),
            Tls::Offered | Tls::Required => {}
        }
        self.put_static("220 2.0.0 Ready for TLS");
        match self.link.begin_tls() {
            Ok(()) => self.stage = Stage::Handshake { implicit: false },
            // What came too early must be run neither before TLS nor after.
            Err(wrong) => self.end(Closed::Protocol(wrong)),
        }
    }

    fn auth(&mut self, mechanism: &MechanismName, initial: Option<&[u8]>) {
        if self.config.auth.is_empty() {
            return self.wrong(no(502, 5, 1, "AUTH is not offered"));
        }
        if let Some(reply) = self.barrier() {
            return self.wrong(reply);
        }
        if !self.config.permits(mechanism, self.dialogue.is_tls()) {
            // RFC 4954, 6.
            return self.wrong(no(538, 7, 11, "Encryption is required for this mechanism"));
        }
        if !self.config.auth.contains(mechanism) {
            return self.wrong(no(504, 5, 4, "The mechanism is not offered"));
        }
        let initial = match initial.map(|text| sasl_line::initial(text, self.config.limits.auth_line)).transpose() {
            Ok(initial) => initial,
            Err(sasl_line::LineError::TooLong { .. }) => return self.wrong(no(500, 5, 6, "The response is too long")),
            Err(sasl_line::LineError::NotBase64) => return self.wrong(no(501, 5, 2, "The response is not base64")),
        };
        let step = ServerExchange::start(mechanism, initial.as_ref().map(|initial| &initial.reveal()[..]));
        self.exchanged(step, 0);
    }

    fn exchanged(&mut self, step: Result<ServerStep, ExchangeError>, rounds: u32) {
        match step {
            Ok(ServerStep::Challenge(..)) if rounds >= self.config.limits.auth_rounds => {
                self.failed_auth(&no(500, 5, 6, "The login takes too many rounds"));
            }
            Ok(ServerStep::Challenge(challenge, exchange)) => {
                self.link.put(b"334 ");
                self.link.put(sasl_line::encode(&challenge).reveal().as_bytes());
                self.link.end_line();
                self.stage = Stage::Exchange { exchange, rounds: rounds + 1 };
            }
            Ok(ServerStep::Attempt(attempt)) => {
                self.ask_about(About::Auth, |answer: Pending<ask::Auth>| Event::Auth { answer, attempt });
            }
            Err(ExchangeError::Unsupported) => self.wrong(no(504, 5, 4, "The mechanism is not offered")),
            Err(_) => self.failed_auth(&no(501, 5, 2, "The response is malformed")),
        }
    }

    /// Reads the response to a challenge.
    fn response(&mut self) -> bool {
        let limit = self.config.limits.auth_line;
        let line = match self.link.line(limit) {
            Framed::Line(line) => Some(line),
            Framed::TooLong => None,
            Framed::More if self.link.is_eof() => {
                self.end(Closed::Eof);
                return true;
            }
            Framed::More => return false,
        };
        self.timers.command.disarm();
        let Stage::Exchange { exchange, rounds } = core::mem::replace(&mut self.stage, Stage::Command) else {
            unreachable!("a response is read only within an exchange");
        };
        let Some(line) = line else {
            // RFC 4954, 4.
            self.failed_auth(&no(500, 5, 6, "The response is too long"));
            return true;
        };
        self.link.trace_in(&line.octets, Some(0));
        if line.end == LineEnd::Lf {
            self.failed_auth(&no(501, 5, 2, "A line ends with CRLF"));
            return true;
        }
        match sasl_line::response(&line.octets, limit) {
            Ok(sasl_line::Response::Data(data)) => self.exchanged(exchange.respond(data.reveal()), rounds),
            Ok(sasl_line::Response::Cancel) => self.wrong(no(501, 7, 0, "Cancelled")),
            Err(_) => self.failed_auth(&no(501, 5, 2, "The response is not base64")),
        }
        true
    }

    fn failed_auth(&mut self, reply: &Reply) {
        self.put(reply);
        self.counts.auth_failures += 1;
        if self.counts.auth_failures >= self.config.limits.auth_failures {
            let limit = u64::from(self.config.limits.auth_failures);
            return self.too_much("failed logins", limit);
        }
        self.pause();
    }

    /// Reads part of the message.
    fn body(&mut self) -> bool {
        let Stage::Body(receiving) = &mut self.stage else {
            unreachable!("a message is read only after DATA");
        };
        if self.link.input().is_empty() {
            if self.link.is_eof() {
                self.end(Closed::Eof);
                return true;
            }
            return false;
        }
        let piece = receiving.read(&mut self.link, &self.config.limits);
        self.timers.block.disarm();
        let (size, refusal) = (receiving.size(), receiving.refusal());
        let hopeless = receiving.is_hopeless(&self.config.limits);
        if !piece.body.is_empty() {
            self.events.push_back(Event::Body(piece.body));
        }
        if piece.ended {
            self.timers.rate.disarm();
            self.stage = Stage::Command;
            match refusal {
                None => {
                    self.ask_about(About::Message, |answer: Pending<ask::Message>| Event::Message { answer, size });
                }
                Some(reply) => {
                    self.put_for_message(&reply);
                    self.forget_transaction();
                    self.dialogue.message_over();
                }
            }
        } else if hopeless {
            let limit = self.config.limits.message;
            self.put(&no(552, 3, 4, "The message is too large"));
            self.end(Closed::Protocol(ProtocolError::TooMuch { what: "octets in a message", limit }));
        }
        true
    }

    // ── questions and their answers ──

    fn ask_about<Q: Question>(&mut self, about: About, event: impl FnOnce(Pending<Q>) -> Event) {
        let (pending, number) = self.link.ask();
        let mut timer = Timer::OFF;
        timer.arm(self.config.limits.decision);
        self.slots.push_back(Slot { number, about, timer, verdict: None, timed_out: false });
        self.events.push_back(event(pending));
    }

    /// The first reply owed can be sent.
    fn settle(&mut self) {
        let Slot { about, verdict, timed_out, .. } = self.slots.pop_front().expect("the caller saw a first slot");
        let verdict = verdict.expect("the caller saw its verdict");
        if timed_out && matches!(about, About::Message) {
            self.events.push_back(Event::Reset);
        }
        self.decided(about, verdict);
    }

    fn decided(&mut self, about: About, verdict: Verdict) {
        let verdict = match (about, verdict) {
            (About::Said { reply, error }, _) => {
                if error {
                    return self.wrong(reply);
                }
                return self.put(&reply);
            }
            (About::Message, Verdict::Message(verdict)) => return self.message_decided(verdict),
            (About::Auth, Verdict::Auth(Ok(identity))) => {
                self.identity = Some(identity);
                self.dialogue.replied(Verb::Auth, ReplyClass::Done);
                return self.put_static("235 2.7.0 Authentication succeeded");
            }
            (About::Auth, Verdict::Auth(Err(refusal))) => {
                let closes = refusal.closes();
                self.failed_auth(&refusal.reply());
                return if closes && !self.link.is_closed() {
                    self.end(Closed::ByUs)
                };
            }
            (about, Verdict::Plain(verdict)) => (about, verdict),
            // What the session answers itself is plain; see `tick`.
            (_, Verdict::Auth(_) | Verdict::Message(_)) => {
                unreachable!("the question's type makes the verdict's type")
            }
        };
        match verdict {
            (about, Ok(accepted)) => self.accepted(about, accepted),
            (about, Err(refusal)) => self.refused(&about, &refusal),
        }
    }

    fn accepted(&mut self, about: About, accepted: Accepted) {
        match about {
            About::Hello { verb, name } => {
                self.forget_transaction();
                self.dialogue.replied(verb, ReplyClass::Done);
                self.hello = Some(name);
                self.put_hello(verb);
            }
            About::Mail { utf8 } => {
                self.dialogue.replied(Verb::Mail, ReplyClass::Done);
                self.utf8 = utf8;
                self.counts.transactions += 1;
                self.counts.idle = 0;
                self.put_accepted(accepted, "250 2.1.0 Sender OK");
            }
            About::Rcpt => {
                self.dialogue.replied(Verb::Rcpt, ReplyClass::Done);
                self.recipients += 1;
                self.put_accepted(accepted, "250 2.1.5 Recipient OK");
            }
            About::Data => {
                self.dialogue.replied(Verb::Data, ReplyClass::GoOn);
                self.put_static("354 End the message with a dot alone in a line");
                self.stage = Stage::Body(Box::new(Receiving::new(&self.config)));
            }
            About::Verify => self.put_accepted(accepted, "250 2.1.5 There is such a user"),
            About::Auth | About::Message | About::Said { .. } => unreachable!("decided by `decided`"),
        }
    }

    fn refused(&mut self, about: &About, refusal: &Refusal) {
        self.put(&refusal.reply());
        match about {
            About::Data => {
                self.forget_transaction();
                self.dialogue.message_over();
                if !refusal.closes() {
                    self.data_refused();
                }
            }
            About::Hello { .. } | About::Mail { .. } | About::Rcpt | About::Verify => {}
            About::Auth | About::Message | About::Said { .. } => unreachable!("decided by `decided`"),
        }
        if refusal.closes() && !self.link.is_closed() {
            self.end(Closed::ByUs);
        }
    }

    fn message_decided(&mut self, verdict: Result<Delivered, Refusal>) {
        let lmtp = self.config.role == Role::Lmtp;
        let mut closes = false;
        let accepted = |how: Accepted| how.reply(250, 0, 0, "Taken");
        match verdict {
            Ok(Delivered { what: What::All(how) }) => self.put_for_message(&accepted(how)),
            Ok(Delivered { what: What::Each(each) }) if lmtp => {
                let mut each = each.into_iter();
                for _ in 0..self.recipients {
                    let reply = match each.next() {
                        Some(Ok(how)) => accepted(how),
                        Some(Err(refusal)) => {
                            closes |= refusal.closes();
                            refusal.reply()
                        }
                        None => Refusal::undecided().reply(),
                    };
                    self.put(&reply);
                }
            }
            Ok(Delivered { what: What::Each(each) }) => {
                let taken = each.iter().position(Result::is_ok).unwrap_or(0);
                let reply = match each.into_iter().nth(taken) {
                    Some(Ok(how)) => accepted(how),
                    Some(Err(refusal)) => {
                        closes = refusal.closes();
                        refusal.reply()
                    }
                    None => Refusal::undecided().reply(),
                };
                self.put(&reply);
            }
            Err(refusal) => {
                closes = refusal.closes();
                self.put_for_message(&refusal.reply());
            }
        }
        self.dialogue.message_over();
        self.new_transaction();
        if closes {
            self.end(Closed::ByUs);
        }
    }

    // ── replies ──

    /// A reply to the whole message: one, or over LMTP one for each recipient accepted (RFC 2033, 4.2).
    fn put_for_message(&mut self, reply: &Reply) {
        let times = if self.config.role == Role::Lmtp { self.recipients } else { 1 };
        for _ in 0..times {
            self.put(reply);
        }
    }

    fn put_accepted(&mut self, accepted: Accepted, own: &'static str) {
        if accepted == Accepted::default() {
            self.put_static(own);
        } else {
            self.put(&accepted.reply(250, 0, 0, ""));
        }
    }

    fn put_static(&mut self, line: &'static str) {
        self.link.put(line.as_bytes());
        self.link.end_line();
    }

    fn put_hello(&mut self, verb: Verb) {
        let mut lines = Vec::new();
        if verb != Verb::Helo {
            lines = self.config.capabilities(self.dialogue.is_tls()).lines();
        }
        let last = lines.len();
        self.link.put(if last == 0 { b"250 " } else { b"250-" });
        self.link.put(self.config.name.as_str().as_bytes());
        self.link.end_line();
        for (index, line) in lines.iter().enumerate() {
            self.link.put(if index + 1 == last { b"250 " } else { b"250-" });
            self.link.put(line.as_bytes());
            self.link.end_line();
        }
    }

    /// Writes a reply, in lines of at most 512 octets (RFC 5321, 4.5.3.1.5).
    fn put(&mut self, reply: &Reply) {
        const ROOM: usize = 480;
        let prefix = reply.enhanced().map(|enhanced| alloc::format!("{enhanced} ")).unwrap_or_default();
        let mut parts = Vec::new();
        for line in reply.lines() {
            let text = core::str::from_utf8(line).expect("a reply to be sent is made of Text");
            let text = text.strip_prefix(&*prefix).unwrap_or(text);
            // RFC 6531, 3.7.4: UTF-8 only to those who said SMTPUTF8.
            let text: String =
                text.chars().map(|c| if c.is_control() || !(self.utf8 || c.is_ascii()) { '?' } else { c }).collect();
            let mut rest = &text[..];
            while rest.len() > ROOM {
                let cut = (0..=ROOM).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or(ROOM);
                parts.push(rest[..cut].to_string());
                rest = &rest[cut..];
            }
            parts.push(rest.to_string());
        }
        let code = reply.code().to_string();
        for (index, part) in parts.iter().enumerate() {
            self.link.put(code.as_bytes());
            self.link.put(if index + 1 == parts.len() { b" " } else { b"-" });
            self.link.put(prefix.as_bytes());
            self.link.put(part.as_bytes());
            self.link.end_line();
        }
    }

    /// Replies in turn: after the replies owed to earlier commands.
    fn say(&mut self, reply: Reply, error: bool) {
        if self.slots.is_empty() {
            return self.decided(About::Said { reply, error }, Verdict::Plain(Ok(Accepted::default())));
        }
        self.slots.push_back(Slot {
            number: 0,
            about: About::Said { reply, error },
            timer: Timer::OFF,
            verdict: Some(Verdict::Plain(Ok(Accepted::default()))),
            timed_out: false,
        });
    }

    /// Replies to a mistake, and counts it.
    fn wrong(&mut self, reply: Reply) {
        if !self.slots.is_empty() {
            return self.say(reply, true);
        }
        self.put(&reply);
        self.counts.errors += 1;
        let limits = &self.config.limits;
        if self.counts.errors > limits.errors_hard {
            let limit = limits.errors_hard;
            return self
                .hang_up(no(421, 7, 0, "Too many errors"), Closed::Protocol(ProtocolError::TooManyErrors { limit }));
        }
        if self.counts.errors > limits.errors_soft {
            self.pause();
        }
    }

    fn pause(&mut self) {
        if !self.config.limits.error_delay.is_zero() {
            self.timers.pausing = true;
            self.timers.pause.arm(self.config.limits.error_delay);
        }
    }

    fn too_much(&mut self, what: &'static str, limit: u64) {
        self.hang_up(
            no(421, 7, 0, "Too much in one session"),
            Closed::Protocol(ProtocolError::TooMuch { what, limit }),
        );
    }

    fn hang_up(&mut self, reply: Reply, why: Closed) {
        self.put(&reply);
        self.end(why);
    }

    /// Counts a command that moves nothing. False if there were too many, and the session is over.
    fn idle_command(&mut self) -> bool {
        self.counts.idle += 1;
        let limit = self.config.limits.idle_commands;
        if self.counts.idle > limit {
            self.too_much("commands without a message", u64::from(limit));
            return false;
        }
        true
    }

    /// What keeps the client from sending and from logging in.
    fn barrier(&self) -> Option<Reply> {
        let closed = self.config.tls == Tls::Required && !self.dialogue.is_tls();
        closed.then(|| no(530, 7, 0, "STARTTLS comes first"))
    }

    fn knows(&self, params: &[Parameter]) -> bool {
        params.iter().all(|param| self.config.parameters.iter().any(|known| param.is(known)))
    }

    fn out_of_order(&self, verb: Verb, why: OutOfOrder) -> Reply {
        match why {
            OutOfOrder::OtherProtocol => no(500, 5, 1, "This is the greeting of another protocol"),
            OutOfOrder::HelloFirst | OutOfOrder::EhloFirst => no(503, 5, 1, "Introduce yourself first"),
            OutOfOrder::MailFirst => no(503, 5, 1, "MAIL comes first"),
            OutOfOrder::NoRecipient if self.rcpt_seen => no(554, 5, 1, "No valid recipients"),
            OutOfOrder::NoRecipient => no(503, 5, 1, "RCPT comes first"),
            OutOfOrder::Nested if verb == Verb::Mail => no(503, 5, 1, "A transaction has begun already"),
            OutOfOrder::Nested => no(503, 5, 1, "Not within a transaction"),
            OutOfOrder::AlreadyTls => no(503, 5, 1, "TLS is in place already"),
            OutOfOrder::AlreadyAuthenticated => no(503, 5, 1, "You are logged in already"),
            OutOfOrder::WithinMessage | OutOfOrder::Chunked | OutOfOrder::Over => no(503, 5, 1, "Not now"),
        }
    }

    // ── ends ──

    /// DATA was refused. See the module for why that may be the end.
    fn data_refused(&mut self) {
        if self.link.is_closed() {
            return;
        }
        let came = match self.held.take() {
            Some(Held::Line(line)) => line.octets,
            Some(Held::TooLong) => Bytes::new(),
            None if self.link.input().is_empty() => {
                self.refused_data = true;
                return;
            }
            None => Bytes::copy_from_slice(&self.link.input()[..self.link.input().len().min(64)]),
        };
        self.message_came_anyway(&came);
    }

    fn message_came_anyway(&mut self, got: &[u8]) {
        self.hang_up(
            no(421, 5, 1, "The message was not invited"),
            Closed::Protocol(ProtocolError::Unexpected {
                what: "more came after DATA without an invitation",
                got: Excerpt::new(got),
            }),
        );
    }

    /// The transaction is over without a message.
    fn forget_transaction(&mut self) {
        if self.dialogue.in_transaction() {
            self.events.push_back(Event::Reset);
        }
        self.new_transaction();
    }

    fn new_transaction(&mut self) {
        self.utf8 = false;
        self.recipients = 0;
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

    /// Looks at the time. True if something was due.
    fn tick(&mut self, now: Instant) -> bool {
        let mut due = false;
        for slot in self.slots.iter_mut().filter(|slot| slot.verdict.is_none()) {
            if slot.timer.tick(now) {
                let no = Refusal::undecided();
                slot.verdict = Some(match slot.about {
                    About::Auth => Verdict::Auth(Err(Refusal::transient(
                        454,
                        (7, 0),
                        Text::literal("Temporary authentication failure"),
                    ))),
                    About::Message => Verdict::Message(Err(no)),
                    About::Hello { .. } | About::Mail { .. } | About::Rcpt | About::Data => Verdict::Plain(Err(no)),
                    About::Verify | About::Said { .. } => Verdict::Plain(Err(no)),
                });
                slot.timed_out = true;
                due = true;
            }
        }
        let timers = &mut self.timers;
        if timers.session.tick(now) {
            self.overdue = true;
            due = true;
        }
        if timers.pause.tick(now) {
            timers.pausing = false;
            due = true;
        }
        if timers.greeting.tick(now) {
            timers.pausing = false;
            self.say_greeting();
            return true;
        }
        let limits = &self.config.limits;
        let timers = &mut self.timers;
        match &mut self.stage {
            // While the application thinks, the client has no duty.
            _ if !self.slots.is_empty() => timers.command.disarm(),
            Stage::Greeting => {}
            Stage::Handshake { .. } | Stage::Command | Stage::Exchange { .. } => {
                timers.command.arm_if_off(limits.command);
                if timers.command.tick(now) {
                    if !self.link.is_gated() {
                        self.put(&no(421, 4, 2, "Timed out"));
                    }
                    self.end(Closed::TimedOut);
                    return true;
                }
            }
            Stage::Body(receiving) => {
                timers.block.arm_if_off(limits.block);
                timers.rate.arm_if_off(limits.rate_window);
                let slow = timers.rate.tick(now) && core::mem::take(&mut receiving.recent) < limits.rate;
                timers.rate.arm_if_off(limits.rate_window);
                if timers.block.tick(now) || slow {
                    self.put(&no(421, 4, 2, "Timed out"));
                    self.end(Closed::TimedOut);
                    return true;
                }
                let _ = timers.rate.tick(now);
            }
        }
        due
    }

    fn deadline(&self) -> Option<Instant> {
        let t = &self.timers;
        let mut timers = Timer::earliest([&t.command, &t.block, &t.rate, &t.greeting, &t.pause, &t.session]);
        if self.overdue {
            timers = Timer::earliest([&t.command, &t.block, &t.rate, &t.greeting, &t.pause]);
        }
        let slots = self.slots.iter().filter(|slot| slot.verdict.is_none()).filter_map(|slot| slot.timer.deadline());
        timers.into_iter().chain(slots).min()
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
            if !self.advance() && !self.tick(now) {
                self.link.release();
                return Step::Idle { deadline: self.deadline() };
            }
        }
    }
}

postrider_core::session_over_link!(Server, link);

/// Whether a line may be run while replies are owed: only a RCPT, after nothing but RCPTs, and only so many.
fn may_run(held: &Held, slots: &VecDeque<Slot>, undecided: usize) -> bool {
    if slots.is_empty() {
        return true;
    }
    let rcpt = matches!(held, Held::Line(line) if Verb::of(&line.octets) == Some(Verb::Rcpt));
    rcpt && slots.len() < undecided && slots.iter().all(|slot| matches!(slot.about, About::Rcpt | About::Said { .. }))
}

/// A line that a web browser or an SSH client sends. A page can make a browser send mail otherwise.
fn is_other_protocol(line: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] =
        [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"OPTIONS ", b"CONNECT ", b"DELETE ", b"PATCH ", b"PRI "];
    line.starts_with(b"SSH-") || line.first() == Some(&0x16) || METHODS.iter().any(|method| line.starts_with(method))
}

fn others_are_ascii(params: &[Parameter]) -> bool {
    params.iter().all(|param| param.value().is_none_or(str::is_ascii))
}

/// The reply to a line that is no command.
fn misread(wrong: CommandError) -> Reply {
    match wrong {
        CommandError::Unknown => no(500, 5, 1, "Command not recognised"),
        CommandError::Syntax(..) => no(501, 5, 4, "Syntax error"),
        CommandError::Path(Verb::Mail, _) => no(501, 1, 7, "Syntax error in the sender's address"),
        CommandError::Path(..) => no(501, 1, 3, "Syntax error in the recipient's address"),
        CommandError::Param(_, ParamError::Syntax(_)) => no(501, 5, 4, "Syntax error in parameters"),
        CommandError::Param(_, ParamError::Duplicate { .. }) => no(501, 5, 4, "A parameter is given twice"),
        CommandError::Param(_, ParamError::Value { .. }) => no(501, 5, 4, "A parameter cannot have this value"),
    }
}
