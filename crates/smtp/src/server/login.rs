//! AUTH and the exchange after it (RFC 4954).

use super::answers::About;
use super::{Event, Server, Stage, ask};
use crate::outcome::{Refusal, no};
use crate::wire::Reply;
use alloc::borrow::ToOwned;
use postrider_core::{Closed, Framed, Pending};
use postrider_sasl::{Channel, Denied, ExchangeError, MechanismName, ServerExchange, ServerStep, line as sasl_line};

impl Server {
    pub(super) fn auth(&mut self, mechanism: &MechanismName, initial: Option<&[u8]>) {
        if self.config.auth.is_empty() {
            return self.wrong(no(502, 5, 1, "AUTH is not offered"));
        }
        if !self.config.permits(mechanism, self.dialogue.is_tls()) {
            // RFC 4954, 6.
            return self.wrong(no(538, 7, 11, "Encryption is required for this mechanism"));
        }
        let offered = self.config.mechanisms(self.link.security());
        if !offered.contains(mechanism) {
            //= 4954-4-4
            return self.wrong(no(504, 5, 4, "The mechanism is not offered"));
        }
        let initial = match initial.map(|text| sasl_line::initial(text, self.config.limits.auth_line)).transpose() {
            Ok(initial) => initial,
            Err(sasl_line::LineError::TooLong { .. }) => return self.wrong(no(500, 5, 6, "The response is too long")),
            //= 4954-4-10
            Err(sasl_line::LineError::NotBase64) => return self.wrong(no(501, 5, 2, "The response is not base64")),
        };
        let channel = Channel::new(self.link.security(), &offered);
        let step = ServerExchange::start(mechanism, initial.as_ref().map(|initial| &initial.reveal()[..]), &channel);
        self.exchanged(step, 0);
    }

    pub(super) fn exchanged(&mut self, step: Result<ServerStep, ExchangeError>, rounds: u32) {
        match step {
            Ok(ServerStep::Challenge(..)) if rounds >= self.config.limits.auth_rounds => {
                self.failed_auth(&no(500, 5, 6, "The login takes too many rounds"));
            }
            Ok(ServerStep::Challenge(challenge, exchange)) => {
                self.challenge(&challenge, Stage::Exchange { exchange, rounds: rounds + 1 });
            }
            Ok(ServerStep::Scram(query)) => {
                let (user, hash) = (query.user().to_owned(), query.hash());
                let about = About::Scram { query, rounds };
                self.ask_about(about, |answer: Pending<ask::Scram>| Event::Scram { answer, user, hash });
            }
            Ok(ServerStep::Cram(query)) => {
                let about = About::Challenge { query, rounds };
                self.ask_about(about, |answer: Pending<ask::Challenge>| Event::Challenge { answer });
            }
            Ok(ServerStep::Attempt(attempt)) => {
                let about = About::Auth { last_words: attempt.refusal() };
                self.ask_about(about, |answer: Pending<ask::Auth>| Event::Auth { answer, attempt });
            }
            Err(ExchangeError::Unsupported) => self.wrong(no(504, 5, 4, "The mechanism is not offered")),
            // What is wrong with a proof is not the client's business.
            Err(ExchangeError::Refused(_)) => self.refused_auth(&Denied::Credentials.into()),
            Err(ExchangeError::WrongHash) => self.refused_auth(&Denied::Temporary.into()),
            Err(_) => self.failed_auth(&no(501, 5, 2, "The response is malformed")),
        }
    }

    //= 4954-4-5, 4954-4-7
    pub(super) fn challenge(&mut self, message: &[u8], then: Stage) {
        self.link.put(b"334 ");
        self.link.put(sasl_line::encode(message).reveal().as_bytes());
        self.link.end_line();
        self.stage = then;
    }

    /// Reads the response to a challenge.
    pub(super) fn response(&mut self) -> bool {
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
        let (exchange, rounds) = match core::mem::replace(&mut self.stage, Stage::Command) {
            Stage::Exchange { exchange, rounds } => (exchange, rounds),
            Stage::Refused { refusal } => {
                self.link.trace_in(b"", Some(0));
                self.refused_auth(&refusal);
                return true;
            }
            Stage::Proxy { .. }
            | Stage::Handshake { .. }
            | Stage::Greeting
            | Stage::Command
            | Stage::Body(_)
            | Stage::Chunk(_) => {
                unreachable!("a response is read only within an exchange")
            }
        };
        let Some(line) = line else {
            // RFC 4954, 4.
            //= 4954-4-14
            self.failed_auth(&no(500, 5, 6, "The response is too long"));
            return true;
        };
        self.link.trace_in(&line.octets, Some(0));
        match sasl_line::response(&line.octets, limit) {
            Ok(sasl_line::Response::Data(data)) => self.exchanged(exchange.respond(data.reveal()), rounds),
            //= 4954-4-6
            Ok(sasl_line::Response::Cancel) => self.wrong(no(501, 7, 0, "Cancelled")),
            Err(_) => self.failed_auth(&no(501, 5, 2, "The response is not base64")),
        }
        true
    }

    pub(super) fn refused_auth(&mut self, refusal: &Refusal) {
        self.failed_auth(&refusal.reply());
        if refusal.closes() && !self.link.is_closed() {
            self.end(Closed::ByUs);
        }
    }

    pub(super) fn failed_auth(&mut self, reply: &Reply) {
        self.put(reply);
        self.counts.auth_failures += 1;
        if self.counts.auth_failures >= self.config.limits.auth_failures {
            let limit = u64::from(self.config.limits.auth_failures);
            return self.too_much("failed logins", limit);
        }
        self.pause();
    }
}
