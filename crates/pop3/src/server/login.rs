//! Who the client is: USER and PASS, APOP, AUTH, STLS, and what is offered when.

use super::{Busy, Event, Server, text};
use crate::dialogue::State;
use crate::wire::{Capabilities, LanguageRange, MessageMeta, Refusal, ResponseCode, Verb};
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::{Closed, ProtocolError, Secret, Text};
use postrider_sasl::{Apop, Attempt, Channel, Denied, ExchangeError, MechanismName, ServerExchange, ServerStep, line};

impl Server {
    //= 1939-4-1, 6856-2.2-4
    pub(super) fn user(&mut self, name: String) {
        if !self.config.user {
            return self.mistake(Text::literal("USER is not offered, use AUTH"));
        }
        if !self.may_send_password() {
            return self.fault(&Refusal::permanent(Text::literal("a password may be sent only after STLS")));
        }
        self.user = Some(name);
        self.dialogue.replied(Verb::User, true);
        self.ok("now the password");
    }

    pub(super) fn apop(&mut self, user: String, digest: &Secret<String>) {
        let Some(challenge) = self.apop.clone() else {
            return self.mistake(Text::literal("APOP is not offered"));
        };
        match Apop::new(user, challenge, digest.reveal().as_bytes()) {
            //= 6856-2.2-2
            // RFC 6856, 2.2 wants names of other letters prepared first, and names in APOP are too old for that.
            Some(apop) if apop.user().is_ascii() => self.open(Attempt::Apop(apop), Verb::Apop),
            Some(_) => self.mistake(Text::literal("APOP wants a name of ASCII")),
            None => self.mistake(Text::literal("APOP wants a digest of 32 hexadecimal digits in lower case")),
        }
    }

    /// What is said to people is in English, whatever they ask for.
    //= 6856-3.2-1
    pub(super) fn lang(&mut self, wanted: Option<&LanguageRange>) {
        match wanted {
            _ if !self.config.lang => self.mistake(Text::literal("LANG is not offered")),
            None => {
                self.ok("languages follow");
                self.link.put(b"en English");
                self.link.end_line();
                self.end_of_lines();
            }
            // RFC 2277, 4.5: i-default is English that everybody may understand.
            Some(range) if range.matches("en") => self.ok("en English it is"),
            Some(range) if range.matches("i-default") => self.ok("i-default English it is"),
            Some(_) => self.no(&Refusal::plain(Text::literal("there is only English"))),
        }
    }

    //= 2595-2.2-1, 2595-2.3-1, 2595-9-2, 5034-4-17, 5034-4-18
    pub(super) fn may_send_password(&self) -> bool {
        self.config.dangerous_plaintext_login || self.link.security().is_tls()
    }

    //= 5034-3-3
    pub(super) fn mechanisms(&self) -> Vec<MechanismName> {
        let offered = |mechanism: &&MechanismName| {
            ServerExchange::supports_over(mechanism, self.link.security())
                && (self.may_send_password() || !mechanism.exposes_secret())
        };
        self.config.mechanisms.iter().filter(offered).cloned().collect()
    }

    //= 5034-4-16
    pub(super) fn auth(&mut self, mechanism: &MechanismName, initial: Option<&str>) {
        if !self.config.mechanisms.contains(mechanism) || !ServerExchange::supports(mechanism) {
            return self.mistake(Text::literal("the mechanism is not offered"));
        }
        let offered = self.mechanisms();
        if !offered.contains(mechanism) {
            return self.fault(&Refusal::permanent(Text::literal("this mechanism may be used only after STLS")));
        }
        let initial = match initial.map(|initial| line::initial(initial.as_bytes(), self.config.limits.line)) {
            None => None,
            Some(Ok(initial)) => Some(initial),
            Some(Err(error)) => return self.mistake(text(&error)),
        };
        let channel = Channel::new(self.link.security(), &offered);
        let initial = initial.as_ref().map(|initial| initial.reveal().as_slice());
        let step = ServerExchange::start(mechanism, initial, &channel);
        self.exchange(step);
    }

    pub(super) fn respond(&mut self, exchange: ServerExchange, line: &[u8]) {
        match line::response(line, self.config.limits.sasl_line) {
            Ok(line::Response::Data(response)) => {
                let step = exchange.respond(response.reveal());
                self.exchange(step);
            }
            //= 5034-4-4, 5034-4-15
            Ok(line::Response::Cancel) => self.mistake(Text::literal("cancelled")),
            //= 5034-4-8
            Err(error) => self.mistake(text(&error)),
        }
    }

    pub(super) fn exchange(&mut self, step: Result<ServerStep, ExchangeError>) {
        match step {
            Ok(ServerStep::Challenge(challenge, exchange)) => {
                self.challenge(&challenge, Busy::Exchange(exchange));
            }
            Ok(ServerStep::Scram(query)) => {
                let (user, hash) = (String::from(query.user()), query.hash());
                let (answer, number) = self.link.ask();
                self.now = Busy::Scram(number, query);
                self.events.push_back(Event::Scram { answer, user, hash });
            }
            Ok(ServerStep::Cram(query)) => {
                let (answer, number) = self.link.ask();
                self.now = Busy::Challenge(number, query);
                self.events.push_back(Event::Challenge { answer });
            }
            Ok(ServerStep::Attempt(attempt)) => self.open(attempt, Verb::Auth),
            // What is wrong with a proof is not the client's business.
            Err(ExchangeError::Refused(_)) => self.login_failed(Verb::Auth, &Refusal::from(Denied::Credentials)),
            Err(ExchangeError::WrongHash) => self.login_failed(Verb::Auth, &Refusal::from(Denied::Temporary)),
            Err(error) => {
                self.login_failed(Verb::Auth, &Refusal { code: Some(ResponseCode::Auth), text: text(&error) })
            }
        }
    }

    //= 5034-4-3, 5034-4-5
    pub(super) fn challenge(&mut self, message: &[u8], then: Busy) {
        self.link.put(b"+ ");
        self.link.put(line::encode(message).reveal().as_bytes());
        self.link.end_line();
        self.now = then;
    }

    pub(super) fn open(&mut self, attempt: Attempt, verb: Verb) {
        let (answer, number) = self.link.ask();
        self.now = Busy::Opening(number, verb, attempt.refusal());
        self.events.push_back(Event::Open { answer, attempt, utf8: self.utf8 });
    }

    pub(super) fn opened(&mut self, verb: Verb, maildrop: Vec<MessageMeta>) {
        self.dialogue.replied(verb, true);
        self.deleted = alloc::vec![false; maildrop.len()];
        self.retrieved = self.deleted.clone();
        self.messages = maildrop;
        let (count, size) = self.sum();
        self.ok_with(format_args!("{count} messages ({size} octets)"));
    }

    //= 1939-4-3, 5034-4-12
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
        //= 2595-4-6
        self.user = None;
        self.utf8 = false;
        self.dialogue.replied(Verb::Stls, true);
        self.ok("begin TLS");
    }

    //= 2449-5-1
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
            //= 2595-4-1, 2595-4-2
            stls: self.config.stls && !self.link.security().is_tls() && self.dialogue.state() != State::Transaction,
            utf8: self.config.utf8,
            utf8_user: self.config.utf8,
            lang: self.config.lang,
            login_delay: self.config.login_delay,
            expire: self.config.expire,
            expire_per_user: false,
            implementation: self.config.implementation.clone(),
            other: Vec::new(),
        }
    }
}
