//! What responses mean for the session.

use alloc::boxed::Box;

use postrider_core::{Closed, Excerpt, Link, ProtocolError, Text};
use postrider_sasl::line;

use super::event::{CommandId, Event};
use super::reading::Read;
use super::sending::{self, Exchange, Job, Work};
use super::{Client, Phase};
use crate::dialogue::{Dialogue, Ending, Verb};
use crate::wire::{Capability, Code, Command, Condition, Data, Dialect, Response, Status, Tag};

impl Client {
    /// What is reported of it, if that is all there is to it.
    pub(super) fn read(&mut self, read: Read) -> Result<Option<Event>, ProtocolError> {
        self.heard = true;
        let event = match read {
            Read::Response(response) => {
                self.response(response)?;
                return Ok(None);
            }
            Read::FetchStart { number } => Event::FetchStart { number },
            Read::FetchItem(item) => Event::FetchItem(item),
            Read::BodyStart { section, binary, origin, size } => Event::BodyStart { section, binary, origin, size },
            Read::Body(octets) => Event::Body(octets),
            Read::BodyEnd => Event::BodyEnd,
            Read::FetchEnd => Event::FetchEnd,
        };
        if self.phase == Phase::Greeting {
            return Err(ProtocolError::Unexpected { what: "data before a greeting", got: Excerpt::new(b"FETCH") });
        }
        Ok(Some(event))
    }

    fn response(&mut self, response: Response) -> Result<(), ProtocolError> {
        match (self.phase, response) {
            (Phase::Greeting, Response::Data(Data::Status(status))) => self.greeting(status),
            (Phase::Greeting, Response::Data(Data::Raw(raw))) => {
                Err(ProtocolError::Malformed(raw.why, Excerpt::new(&raw.bytes)))
            }
            (Phase::Greeting, _) => {
                Err(ProtocolError::Unexpected { what: "no greeting", got: Excerpt::new(b"another response") })
            }
            (_, Response::Data(data)) => {
                self.data(data);
                Ok(())
            }
            (_, Response::Continue(wanted)) => self.invited(&wanted.text),
            (_, Response::Tagged { tag, status }) => self.tagged(&tag, status),
        }
    }

    fn greeting(&mut self, status: Status) -> Result<(), ProtocolError> {
        match status.condition {
            Condition::Ok => {}
            Condition::PreAuth => {
                let tls = self.link.security().is_tls();
                if !tls && !self.config.allows_plaintext_preauth() {
                    let got = Excerpt::new(status.text.as_str().as_bytes());
                    return Err(ProtocolError::Unexpected { what: "PREAUTH without TLS", got });
                }
                self.dialogue = Dialogue::preauthenticated(tls);
            }
            Condition::Bye => {
                self.events.push_back(Event::Greeting(status));
                self.close(Closed::ByPeer);
                return Ok(());
            }
            Condition::No | Condition::Bad => {
                let got = Excerpt::new(status.text.as_str().as_bytes());
                return Err(ProtocolError::Unexpected { what: "no greeting", got });
            }
        }
        self.phase = Phase::Running;
        self.learn_code(&status);
        self.events.push_back(Event::Greeting(status));
        self.ready();
        Ok(())
    }

    /// The capabilities are known, or not wanted; if neither, they are asked for.
    fn ready(&mut self) {
        if self.capabilities.is_some() || !self.config.ask_capabilities {
            return self.events.push_back(Event::Ready);
        }
        let job = self.job(None, Some(Verb::Capability), Work::Plain(Box::new(Command::Capability)));
        self.queue.push_front(job);
    }

    fn data(&mut self, data: Data) {
        if let Some(selected) = &mut self.selected {
            selected.learn(&data);
        }
        if let Data::Capability(capabilities) = &data {
            self.capabilities = Some(capabilities.clone());
        } else if let Data::Enabled(enabled) = &data {
            let asked = self.waiting.iter().any(|job| job.verb == Some(Verb::Enable));
            let utf8 = enabled.contains(&Capability::Imap4Rev2) || enabled.contains(&Capability::Utf8Accept);
            if asked && utf8 {
                let literals = self.encoder.dialect().literals;
                self.encoder.set_dialect(Dialect::UTF8.with_literals(literals));
            }
        } else if let Data::Status(status) = &data {
            self.learn_code(status);
            self.bye |= status.condition == Condition::Bye;
        }
        self.events.push_back(Event::Data(data));
        // A BYE that nobody asked for: some servers repeat it until we go.
        if self.bye && !self.is_leaving() {
            self.close(Closed::ByPeer);
        }
    }

    fn learn_code(&mut self, status: &Status) {
        if let Some(Code::Capability(capabilities)) = &status.code {
            self.capabilities = Some(capabilities.clone());
        }
    }

    /// A continuation request has come.
    fn invited(&mut self, text: &[u8]) -> Result<(), ProtocolError> {
        if let Some(sending) = self.sending.as_mut().filter(|sending| sending.waits) {
            sending.waits = false;
            return Ok(());
        }
        let challenges = self.config.limits.challenges;
        for job in &mut self.waiting {
            match &mut job.work {
                Work::Idling { begun, done, again } if !*begun => {
                    *begun = true;
                    if *done {
                        self.link.put(b"DONE");
                        self.link.end_line();
                    } else {
                        self.idle.arm(self.config.limits.idle);
                        if !core::mem::replace(again, false) {
                            self.events.extend(job.id.map(Event::Idling));
                        }
                    }
                    return Ok(());
                }
                Work::Exchange(exchange) if !exchange.cancelled => {
                    exchange.challenges += 1;
                    if exchange.challenges > challenges {
                        let limit = u64::from(challenges);
                        return Err(ProtocolError::TooMuch { what: "SASL challenges", limit });
                    }
                    answer_challenge(exchange, text, &mut self.link);
                    return Ok(());
                }
                Work::Idling { .. } | Work::Exchange(_) | Work::Plain(_) | Work::Login(_) | Work::Append(_) => {}
                Work::Idle { .. } | Work::Sent | Work::Selecting => {}
            }
        }
        // Nobody waits for it. Some servers send one too many; it does no harm.
        Ok(())
    }

    fn tagged(&mut self, tag: &Tag, status: Status) -> Result<(), ProtocolError> {
        if let Some(at) = self.waiting.iter().position(|job| job.tag == *tag) {
            let job = self.waiting.remove(at).expect("its place was just found");
            return self.ended(job, status);
        }
        match &mut self.sending {
            Some(sending) if sending.job.tag == *tag => {
                if status.condition == Condition::Ok {
                    let got = Excerpt::new(status.text.as_str().as_bytes());
                    return Err(ProtocolError::Unexpected { what: "OK to a command that was not sent yet", got });
                }
                // What was announced without waiting, or invited, must be sent all the same.
                if sending.waits {
                    let sending = self.sending.take().expect("it is here");
                    self.completed(sending.job, status);
                } else {
                    sending.refused = Some(status);
                }
            }
            // A tag of nobody's, or a second completion. Completions are matched by tags alone, so it means nothing.
            Some(_) | None => self.events.push_back(Event::Data(Data::Status(status))),
        }
        Ok(())
    }

    /// A command that was sent completely has ended.
    fn ended(&mut self, mut job: Job, status: Status) -> Result<(), ProtocolError> {
        let ok = status.condition == Condition::Ok;
        match &mut job.work {
            Work::Exchange(exchange) if ok => {
                if exchange.cancelled || exchange.mechanism.succeeded().is_err() {
                    let got = Excerpt::new(status.text.as_str().as_bytes());
                    return Err(ProtocolError::Unexpected { what: "a login cannot have succeeded", got });
                }
            }
            Work::Idling { again: true, .. } if ok => {
                // It was ended only to be begun anew.
                let next = self.job(job.id, job.verb, Work::Idling { begun: false, done: false, again: true });
                sending::encode(&next.tag, Command::Idle, &mut self.encoder);
                self.encoder.send(&mut self.link);
                self.waiting.push_back(next);
                return Ok(());
            }
            Work::Idling { .. } => self.idle.disarm(),
            Work::Exchange(_) | Work::Plain(_) | Work::Login(_) | Work::Append(_) | Work::Idle { .. } => {}
            Work::Sent | Work::Selecting => {}
        }
        if job.verb == Some(Verb::StartTls) && ok {
            self.link.begin_tls()?;
            self.phase = Phase::StartingTls(job.id);
            return Ok(());
        }
        self.completed(job, status);
        Ok(())
    }

    pub(super) fn completed(&mut self, job: Job, status: Status) {
        let ending = match status.condition {
            Condition::Ok | Condition::PreAuth => Ending::Ok,
            Condition::No => Ending::No,
            Condition::Bad | Condition::Bye => Ending::Bad,
        };
        if let Some(verb) = job.verb {
            self.dialogue.completed(verb, ending);
        }
        let login = matches!(job.verb, Some(Verb::Login | Verb::Authenticate));
        let new_identity = login && ending == Ending::Ok;
        if login {
            self.reader.challenges_are_secret = false;
        }
        if new_identity {
            // What was said to a stranger does not hold now (RFC 9051, 6.2.2 and 6.2.3).
            self.capabilities = None;
        }
        if matches!(job.verb, Some(Verb::Close | Verb::Unselect)) && ending == Ending::Ok {
            self.selected = None;
        }
        self.learn_code(&status);
        if let Work::Selecting = job.work {
            match (&mut self.selected, ending) {
                (Some(selected), Ending::Ok) => selected.learn_status(&status),
                (selected, Ending::Ok | Ending::No | Ending::Bad) => *selected = None,
            }
        }
        let own_capability = job.id.is_none() && job.verb == Some(Verb::Capability);
        if let Some(of) = job.id {
            self.events.push_back(Event::Completed { of, status });
        }
        if job.verb == Some(Verb::Logout) {
            return self.close(Closed::ByUs);
        }
        if new_identity {
            self.ready();
        }
        if own_capability {
            self.events.push_back(Event::Ready);
        }
    }

    /// TLS is in place: nothing of what was said before holds.
    pub(super) fn secured(&mut self, id: Option<CommandId>) {
        self.phase = Phase::Running;
        self.dialogue.completed(Verb::StartTls, Ending::Ok);
        self.capabilities = None;
        self.selected = None;
        self.encoder.set_dialect(Dialect::REV1);
        if let Some(of) = id {
            let text = Text::literal("TLS is in place");
            self.events
                .push_back(Event::Completed { of, status: Status { condition: Condition::Ok, code: None, text } });
        }
        self.ready();
    }
}

/// Answers a challenge, or gives up.
fn answer_challenge(exchange: &mut Exchange, text: &[u8], link: &mut Link) {
    /// Octets of base64. The largest challenges, of Kerberos, have some kilobytes.
    const LIMIT: usize = 16 * 1024;
    let message = line::challenge(text, LIMIT).ok().and_then(|challenge| {
        if core::mem::replace(&mut exchange.initial, false)
            && challenge.is_empty()
            && let Some(initial) = exchange.mechanism.initial()
        {
            return Some(initial);
        }
        exchange.mechanism.respond(&challenge).ok()
    });
    match message {
        Some(message) => link.put_secret(line::encode(message.reveal()).reveal().as_bytes()),
        None => {
            exchange.cancelled = true;
            link.put(b"*");
        }
    }
    link.end_line();
}
