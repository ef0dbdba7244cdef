//! The server's replies, and what follows from each.

use super::transaction::Carrier;
use super::{AuthFailed, Client, Event, Expect, Outcome, RefusedAt, Stage, Tls};
use crate::dialogue::Protocol;
use crate::wire::{Capabilities, Command, Reply, ReplyClass, ReplyError, Verb};
use postrider_core::{Closed, Excerpt, Framed, LineEnd, ParseError, ProtocolError};
use postrider_sasl::{MechanismError, line as sasl_line};

impl Client {
    /// Reads a line of a reply.
    pub(super) fn listen(&mut self) -> bool {
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

    pub(super) fn hear(&mut self, reply: Reply) {
        //= 2920-3.1-3
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

    pub(super) fn answered(&mut self, expect: Expect, reply: Reply) {
        //= 5321-4.2-4, 5321-4.2-6
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
                if let Some(sending) = self.sending.as_deref().filter(|sending| sending.open) {
                    self.events.push_back(Event::Sender { of: sending.id, reply: reply.clone() });
                }
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
            Expect::Chunk => self.chunk_answered(reply),
            Expect::Message(index) => self.message_answered(index, reply),
            Expect::Nothing => {
                self.dialogue.message_over();
                self.say_reset();
                self.conclude();
            }
            Expect::Reset => self.dialogue.replied(Verb::Rset, class),
            Expect::Answer => {
                let Stage::Asking(verb) = self.stage else {
                    unreachable!("a question is answered only after it was asked");
                };
                self.stage = Stage::Idle;
                self.events.push_back(Event::Answered { verb, reply });
            }
            Expect::Quit => unreachable!("the reply to QUIT ends the session before"),
        }
    }

    pub(super) fn hello_answered(&mut self, verb: Verb, reply: Reply) {
        if matches!(self.stage, Stage::LoggedIn) {
            // If it was refused, what was offered before holds.
            if reply.is_done() {
                self.dialogue.replied(verb, ReplyClass::Done);
                self.capabilities = Some(Capabilities::from_reply(&reply));
            }
            self.stage = Stage::Idle;
            return self.events.push_back(Event::Authenticated(Ok(())));
        }
        if reply.is_done() {
            self.dialogue.replied(verb, ReplyClass::Done);
            let offered = if verb == Verb::Helo { Capabilities::default() } else { Capabilities::from_reply(&reply) };
            let can = offered.start_tls;
            self.capabilities = Some(offered);
            let plain = !self.link.security().is_tls();
            match self.config.tls {
                //= 3207-6-2
                Tls::IfOffered | Tls::Required if plain && can => self.say_start_tls(false),
                //= 3207-6-1
                Tls::Required if plain => self.no_tls(),
                Tls::Manual | Tls::IfOffered | Tls::Required | Tls::Implicit => self.ready(),
            }
        //= 5321-2.2.1-3, 5321-3.2-2
        } else if verb == Verb::Ehlo && self.config.helo && reply.is_permanent() {
            self.say(&Command::Helo(self.config.name.clone()));
            self.expect(Expect::Hello(Verb::Helo));
        } else {
            self.goodbye(reply);
        }
    }

    pub(super) fn start_tls_answered(&mut self, reply: Reply) {
        let Stage::StartTls { manual } = self.stage else {
            unreachable!("STARTTLS is answered only after it was sent");
        };
        if reply.is_done() {
            //= 3207-4-3
            match self.link.begin_tls() {
                Ok(()) => {
                    self.capabilities = None;
                    self.stage = Stage::Handshake { implicit: false };
                }
                //= 3207-4-4
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

    pub(super) fn auth_answered(&mut self, reply: Reply) {
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
                let burl = self.capabilities.as_ref().and_then(|offered| offered.burl.as_ref());
                if outcome.is_ok() && burl.is_some_and(|kinds| kinds.as_str().is_empty()) {
                    // RFC 4468, 3.1: the kinds of URL may be told after a login only.
                    self.stage = Stage::LoggedIn;
                    return self.say_hello();
                }
                self.events.push_back(Event::Authenticated(outcome));
                if failed {
                    self.unexpected("the server claims a login that did not happen", &reply);
                }
            }
            ReplyClass::GoOn => self.challenged(&reply),
            //= 4954-6-2
            ReplyClass::Transient | ReplyClass::Permanent => {
                let failed = login.given_up.take().unwrap_or(AuthFailed::Refused(reply));
                self.stage = Stage::Idle;
                self.events.push_back(Event::Authenticated(Err(failed)));
            }
        }
    }

    pub(super) fn challenged(&mut self, reply: &Reply) {
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
                //= 4954-4-11
                self.link.put(b"*");
            }
        }
        self.link.end_line();
        self.expect(Expect::Auth);
    }

    //= 5321-3.3-5
    pub(super) fn data_answered(&mut self, reply: Reply) {
        let sending = self.sending.as_deref_mut().expect("DATA belongs to a message");
        if reply.class() == ReplyClass::GoOn {
            self.dialogue.replied(Verb::Data, ReplyClass::GoOn);
            if sending.accepted > 0 {
                self.want_body();
            //= 2920-3.1-2
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

    /// Asks the application for the message.
    pub(super) fn want_body(&mut self) {
        let of = self.sending.as_deref().expect("the body of a message").id;
        let (body, number) = self.link.ask();
        self.stage = Stage::Body(number);
        self.gone = 0;
        self.events.push_back(Event::BodyWanted { of, body });
    }

    pub(super) fn message_answered(&mut self, index: usize, reply: Reply) {
        if matches!(self.stage, Stage::GivenUp) {
            // A chunk before the last was refused, so what the server says of the whole is not so.
            return;
        }
        let sending = self.sending.as_deref_mut().expect("the reply to a message belongs to it");
        // Over LMTP it may be said of one recipient, and the message be there for another.
        let of_the_command = match self.config.protocol {
            Protocol::Smtp => true,
            Protocol::Lmtp => {
                let first = self.expected.len() + 1 == sending.accepted;
                let about_commands =
                    reply.enhanced().is_none_or(|code| alloc::string::ToString::to_string(&code).starts_with("5.5."));
                first && about_commands && matches!(reply.code().number(), 500 | 502)
            }
        };
        if of_the_command && sending.is_unheard_of(&reply) {
            return self.chunks_unheard_of(&reply);
        }
        let outcome = if reply.is_done() {
            Outcome::Delivered(reply)
        } else {
            Outcome::Refused { at: RefusedAt::Message, reply }
        };
        match self.config.protocol {
            Protocol::Smtp => sending.settle_rest(&outcome),
            //= 2033-5-6
            Protocol::Lmtp => sending.outcomes[index] = Some(outcome),
        }
        if self.expected.is_empty() {
            let refused = !sending.outcomes.iter().flatten().any(Outcome::is_delivered);
            // RFC 3030, 2: after a chunk that was refused nobody knows where the server stands.
            //= 3030-2-6
            if refused && matches!(sending.carrier, Carrier::Chunks(_)) {
                self.say_reset();
            }
            self.dialogue.message_over();
            self.conclude();
        }
    }

    /// A command was refused: what that means for the recipients.
    pub(super) fn told_off(&mut self, expect: Expect, reply: &Reply) {
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
            Expect::Chunk => sending.settle_rest(&refused(RefusedAt::Message)),
            Expect::Message(index) => match self.config.protocol {
                Protocol::Smtp => sending.settle_rest(&refused(RefusedAt::Message)),
                Protocol::Lmtp => sending.outcomes[index] = Some(refused(RefusedAt::Message)),
            },
            Expect::Greeting | Expect::Hello(_) | Expect::StartTls | Expect::Auth => {}
            Expect::Nothing | Expect::Reset | Expect::Answer | Expect::Quit => {}
        }
    }

    /// A reply came though nothing was asked. Within a message, it is the server's word on it: the end was not sent.
    pub(super) fn unasked(&mut self, reply: Reply) {
        if let (Stage::Body(_), Some(sending), false) = (&self.stage, &mut self.sending, reply.is_done()) {
            sending.settle_rest(&Outcome::Refused { at: RefusedAt::Message, reply: reply.clone() });
        }
        self.unexpected("a reply that nothing was asked for", &reply);
    }

    pub(super) fn unexpected(&mut self, what: &'static str, reply: &Reply) {
        let got = Excerpt::new(alloc::string::ToString::to_string(reply).as_bytes());
        self.end(Closed::Protocol(ProtocolError::Unexpected { what, got }));
    }
}
