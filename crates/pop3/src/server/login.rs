//! Who the client is: USER and PASS, AUTH, STLS, and what is offered when.

use super::{Busy, Event, Server, text};
use crate::dialogue::State;
use crate::wire::{Capabilities, MessageMeta, Refusal, ResponseCode, Verb};
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::{Closed, ProtocolError, Text};
use postrider_sasl::{Attempt, ExchangeError, MechanismName, ServerExchange, ServerStep, line};

impl Server {
    pub(super) fn user(&mut self, name: String) {
        if !self.config.user {
            return self.mistake(Text::literal("USER is not offered, use AUTH"));
        }
        if !self.may_send_password() {
            return self.no(&Refusal::permanent(Text::literal("a password may be sent only after STLS")));
        }
        self.user = Some(name);
        self.dialogue.replied(Verb::User, true);
        self.ok("now the password");
    }

    pub(super) fn may_send_password(&self) -> bool {
        self.config.dangerous_plaintext_login || self.link.security().is_tls()
    }

    pub(super) fn mechanisms(&self) -> Vec<MechanismName> {
        let offered = |mechanism: &&MechanismName| {
            ServerExchange::supports(mechanism) && (self.may_send_password() || !mechanism.exposes_secret())
        };
        self.config.mechanisms.iter().filter(offered).cloned().collect()
    }

    pub(super) fn auth(&mut self, mechanism: &MechanismName, initial: Option<&str>) {
        if !self.config.mechanisms.contains(mechanism) || !ServerExchange::supports(mechanism) {
            return self.mistake(Text::literal("the mechanism is not offered"));
        }
        if !self.mechanisms().contains(mechanism) {
            return self.no(&Refusal::permanent(Text::literal("this mechanism may be used only after STLS")));
        }
        let initial = match initial.map(|initial| line::initial(initial.as_bytes(), self.config.limits.line)) {
            None => None,
            Some(Ok(initial)) => Some(initial),
            Some(Err(error)) => return self.mistake(text(&error)),
        };
        let step = ServerExchange::start(mechanism, initial.as_ref().map(|initial| initial.reveal().as_slice()));
        self.exchange(step);
    }

    pub(super) fn respond(&mut self, exchange: ServerExchange, line: &[u8]) {
        match line::response(line, self.config.limits.sasl_line) {
            Ok(line::Response::Data(response)) => {
                let step = exchange.respond(response.reveal());
                self.exchange(step);
            }
            Ok(line::Response::Cancel) => self.no(&Refusal::plain(Text::literal("cancelled"))),
            Err(error) => self.mistake(text(&error)),
        }
    }

    pub(super) fn exchange(&mut self, step: Result<ServerStep, ExchangeError>) {
        match step {
            Ok(ServerStep::Challenge(challenge, exchange)) => {
                self.link.put(b"+ ");
                self.link.put(line::encode(&challenge).reveal().as_bytes());
                self.link.end_line();
                self.now = Busy::Exchange(exchange);
            }
            Ok(ServerStep::Attempt(attempt)) => self.open(attempt, Verb::Auth),
            Err(error) => {
                self.login_failed(Verb::Auth, &Refusal { code: Some(ResponseCode::Auth), text: text(&error) })
            }
        }
    }

    pub(super) fn open(&mut self, attempt: Attempt, verb: Verb) {
        let (answer, number) = self.link.ask();
        self.now = Busy::Opening(number, verb);
        self.events.push_back(Event::Open { answer, attempt, utf8: self.utf8 });
    }

    pub(super) fn opened(&mut self, verb: Verb, maildrop: Vec<MessageMeta>) {
        self.dialogue.replied(verb, true);
        self.deleted = alloc::vec![false; maildrop.len()];
        self.messages = maildrop;
        let (count, size) = self.sum();
        self.ok_with(format_args!("{count} messages ({size} octets)"));
    }

    pub(super) fn login_failed(&mut self, verb: Verb, why: &Refusal) {
        self.dialogue.replied(verb, false);
        self.no(why);
        self.logins += 1;
        let limit = self.config.limits.logins;
        if self.logins >= limit {
            self.close(Closed::Protocol(ProtocolError::TooMuch { what: "failed logins", limit: limit.into() }));
        }
    }

    pub(super) fn stls(&mut self) {
        if !self.config.stls || self.link.security().is_tls() {
            return self.mistake(Text::literal("STLS is not offered"));
        }
        // The reply still leaves in the clear: the gate waits for the output.
        if let Err(error) = self.link.begin_tls() {
            return self.close(Closed::Protocol(error));
        }
        self.user = None;
        self.utf8 = false;
        self.dialogue.replied(Verb::Stls, true);
        self.ok("begin TLS");
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        Capabilities {
            top: true,
            uidl: true,
            user: self.config.user && self.may_send_password(),
            sasl: self.mechanisms(),
            response_codes: true,
            auth_response_code: true,
            pipelining: true,
            // RFC 2595, 4: only before the login.
            stls: self.config.stls && !self.link.security().is_tls() && self.dialogue.state() != State::Transaction,
            utf8: self.config.utf8,
            utf8_user: self.config.utf8,
            login_delay: self.config.login_delay,
            expire: self.config.expire,
            implementation: self.config.implementation.clone(),
            other: Vec::new(),
        }
    }
}
