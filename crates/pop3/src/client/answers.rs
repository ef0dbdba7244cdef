//! What the server says, and what it means for the command it answers.

use super::{Answer, Client, Command, Event, Login, Phase, Sent, What};
use crate::wire::{
    Capabilities, Refusal, StatusLine, UniqueId, UniqueIds, Verb, drop_listing, language_listing, scan_listing,
    scan_listings, scan_unique_ids, unique_id_listing,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use postrider_core::{Closed, Framed, LineRule, ProtocolError, Text, Unstuffer};
use postrider_sasl::{ApopChallenge, line};

/// Lines of a listing that are reported at once.
const AT_ONCE: usize = 1024;

impl Client {
    /// Does one thing with what came, and says whether there was one to do.
    pub(super) fn receive_more(&mut self) -> bool {
        if self.link.is_gated() {
            return false;
        }
        if self.waiting.is_empty() && self.phase != Phase::Greeting {
            return self.unasked();
        }
        if let Answer::Twice(_) = &self.answer {
            return self.second_status_line();
        }
        if let Answer::Body(_, unstuffer, octets) = &mut self.answer {
            let (bytes, ended) = self.link.unstuff(unstuffer);
            *octets += bytes.len() as u64;
            let limit = self.config.limits.message;
            if *octets > limit {
                self.close(Closed::Protocol(ProtocolError::TooMuch { what: "octets in a message", limit }));
                return true;
            }
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
        if self.lines_at_once() {
            return true;
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
                    Answer::Twice(_) | Answer::Body(..) => unreachable!("handled above"),
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

    /// Reads lines of LIST and UIDL for as long as nothing is unusual about them, in one pass, and says whether there
    /// were any.
    fn lines_at_once(&mut self) -> bool {
        let Answer::Lines(_, count) = &mut self.answer else { return false };
        let Some(Sent { verb: verb @ (Verb::List | Verb::Uidl), id: Some(of), .. }) = self.waiting.front() else {
            return false;
        };
        let (octets, limits) = (self.link.unsearched(), &self.config.limits);
        if octets.is_empty() || self.link.is_tapped() {
            return false; // A tap is shown each line.
        }
        let left = limits.listing.saturating_sub(*count);
        let most = AT_ONCE.min(usize::try_from(left).unwrap_or(AT_ONCE));
        let event = if *verb == Verb::List {
            let mut sizes = Vec::new();
            let read = scan_listings(octets, limits.line, most, &mut sizes);
            self.link.advance(read);
            *count += sizes.len() as u64;
            (!sizes.is_empty()).then_some(Event::Listing { of: *of, sizes })
        } else {
            let mut entries = Vec::new();
            let read = scan_unique_ids(octets, limits.line, most, &mut entries);
            *count += entries.len() as u64;
            (read > 0).then(|| Event::UniqueIds { of: *of, ids: UniqueIds::new(self.link.take(read), entries) })
        };
        let Some(event) = event else { return false };
        self.patience.arm(limits.reply);
        self.events.push_back(event);
        true
    }

    /// Drops a second `+OK` before a message.
    fn second_status_line(&mut self) -> bool {
        const STATUS: &[u8] = b"+OK";
        let input = self.link.input();
        let there = &input[..input.len().min(STATUS.len())];
        if !STATUS.starts_with(there) || there == STATUS && input.get(3).is_some_and(|b| !b" \r\n".contains(b)) {
            let Answer::Twice(text) = core::mem::replace(&mut self.answer, Answer::Nothing) else {
                unreachable!("only called for it")
            };
            self.answer = Answer::Body(text, Box::new(Unstuffer::new(LineRule::Lf)), 0);
            return true;
        }
        if input.len() <= STATUS.len() {
            return self.end_of_stream();
        }
        let limit = self.config.limits.line;
        match self.link.line(limit) {
            Framed::Line(line) => {
                self.link.trace_in(&line.octets, None);
                let Answer::Twice(text) = core::mem::replace(&mut self.answer, Answer::Nothing) else {
                    unreachable!("only called for it")
                };
                self.answer = Answer::Body(text, Box::new(Unstuffer::new(LineRule::Lf)), 0);
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
    pub(super) fn unasked(&mut self) -> bool {
        let limit = self.config.limits.line;
        match self.link.line(limit) {
            Framed::Line(line) => {
                self.link.trace_in(&line.octets, None);
                match StatusLine::parse(&line.octets) {
                    Ok(StatusLine::Err(why)) => self.dismissed(why),
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

    fn dismissed(&mut self, why: Refusal) {
        self.events.push_back(Event::Dismissed(why));
        self.close(Closed::ByPeer);
    }

    pub(super) fn end_of_stream(&mut self) -> bool {
        if self.link.is_eof() {
            self.close(Closed::Eof);
        }
        self.link.is_eof()
    }

    //= 2449-6.6-2
    pub(super) fn status_line(&mut self, line: &[u8]) {
        let status = match StatusLine::parse(line) {
            Ok(status) => status,
            Err(error) => return self.malformed(error, line),
        };
        if self.phase == Phase::Greeting {
            return match status {
                StatusLine::Ok(_) => {
                    self.challenge = ApopChallenge::in_greeting(line);
                    self.ask_capabilities();
                }
                StatusLine::Err(why) => self.dismissed(why),
                StatusLine::Challenge(_) => self.unexpected("the server greets with a challenge", line),
            };
        }
        match status {
            StatusLine::Challenge(challenge) => self.challenge(&challenge, line),
            StatusLine::Ok(text) => self.accepted(text, line),
            StatusLine::Err(why) => {
                let sent = self.waiting.pop_front().expect("an answer is only read if there is a question");
                self.settled(&sent);
                self.utf8 &= sent.verb != Verb::Utf8;
                self.dialogue.replied(sent.verb, false);
                match sent.id {
                    Some(of) => self.events.push_back(Event::Completed { of, result: Err(why) }),
                    //= 2449-7-1
                    // RFC 2449, 5: a server without CAPA says so.
                    None => self.ready(None),
                }
                if sent.verb == Verb::Quit {
                    self.close(Closed::ByUs);
                }
            }
        }
    }

    pub(super) fn accepted(&mut self, text: Text, line: &[u8]) {
        let sent = self.waiting.front_mut().expect("an answer is only read if there is a question");
        if sent.lines {
            self.answer = if sent.verb == Verb::Top && self.config.quirks.status_twice_to_top {
                Answer::Twice(text)
            } else if matches!(sent.verb, Verb::Retr | Verb::Top) {
                Answer::Body(text, Box::new(Unstuffer::new(LineRule::Lf)), 0)
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
                Ok(size) => self.events.push_back(Event::Listing { of, sizes: Vec::from([size]) }),
                Err(error) => return self.malformed(error, line),
            },
            Verb::Uidl => {
                let asked = sent.message.expect("without a number, lines would follow");
                let alone = self.config.quirks.unique_id_without_number;
                match unique_id_listing(words) {
                    Ok((message, id)) if !alone || message == asked || id.is_some() => {
                        self.events.push_back(Event::UniqueIds { of, ids: UniqueIds::one(message, id) });
                    }
                    Err(error) if !alone => return self.malformed(error, line),
                    Ok(_) | Err(_) => {
                        let id = UniqueId::new(text.as_str().trim()).ok();
                        self.events.push_back(Event::UniqueIds { of, ids: UniqueIds::one(asked, id) });
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
            | Verb::Apop
            | Verb::Auth
            | Verb::Utf8
            | Verb::Lang
            | Verb::Last => {}
        }
        if sent.verb == Verb::Stls {
            if let Err(error) = self.link.begin_tls() {
                return self.close(Closed::Protocol(error));
            }
            // Nothing that was said before TLS counts.
            self.capabilities = None;
            //= 2595-4-4
            self.challenge = None;
            self.ask_capabilities();
        }
        self.events.push_back(Event::Completed { of, result: Ok(text) });
        if sent.verb == Verb::Quit {
            self.close(Closed::ByUs);
        }
    }

    /// What waited for the answer need not wait any more.
    pub(super) fn settled(&mut self, sent: &Sent) {
        if matches!(sent.verb, Verb::User | Verb::Pass | Verb::Apop | Verb::Auth | Verb::Stls) {
            self.settling = false;
        }
    }

    pub(super) fn challenge(&mut self, challenge: &str, line: &[u8]) {
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
            //= 5034-4-9
            // The server will say -ERR to that (RFC 5034, 4).
            None => self.link.put(b"*"),
        }
        self.link.end_line();
    }

    /// A line after the status line.
    //= 1939-3-3
    pub(super) fn line(&mut self, line: &[u8], count: u64) {
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
            scan_listing(words).map(|size| Event::Listing { of, sizes: Vec::from([size]) })
        } else if sent.verb == Verb::Lang {
            language_listing(line).map(|(tag, name)| Event::Language { of, tag, name })
        } else {
            unique_id_listing(words).map(|(message, id)| Event::UniqueIds { of, ids: UniqueIds::one(message, id) })
        };
        match event {
            Ok(event) => self.events.push_back(event),
            Err(error) => self.malformed(error, line),
        }
    }

    pub(super) fn end_of_lines(&mut self) {
        let text = match core::mem::replace(&mut self.answer, Answer::Nothing) {
            Answer::Lines(text, _) | Answer::Body(text, ..) => text,
            Answer::Nothing | Answer::Twice(_) => unreachable!("the end is only looked for in lines"),
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

    //= 2595-4-5
    pub(super) fn ask_capabilities(&mut self) {
        self.phase = Phase::Asking;
        if !self.config.capabilities {
            return; // Ready as soon as something may be sent.
        }
        self.queue.push_front(Command { id: None, what: What::Line(Verb::Capa, None, None) });
    }

    pub(super) fn ready(&mut self, capabilities: Option<Capabilities>) {
        self.phase = Phase::Ready;
        self.capabilities = capabilities;
        self.events.push_back(Event::Ready);
    }
}
