//! Reading: commands, and what is not a command: base64 lines, DONE, the message of APPEND.

use super::stage::{Done, Question, Stage};
use super::{Event, Refusal, Server, ask, bad, dialect};
use crate::dialogue::Verb;
use crate::wire::{
    Announced, Append, Capability, Code, Command, Condition, Encoder, Frame, FrameError, Status, Tag, TaggedCommand,
    parse_command,
};
use alloc::string::String;
use bytes::Bytes;
use postrider_core::{Closed, Excerpt, Framed, ProtocolError, Text};
use postrider_sasl::line::{self, Response};
use postrider_sasl::{Denied, ExchangeError, ServerStep};

/// A line that ends IDLE is `DONE`; this is ample.
const DONE_LIMIT: usize = 64;

impl Server {
    /// In [`Stage::Command`].
    pub(super) fn read_command(&mut self) -> bool {
        if self.link.is_congested() {
            return false;
        }
        match self.framer.next(self.link.input()) {
            Ok(Frame::More) => self.wait_for_more(),
            Ok(Frame::Unit { len, end }) => {
                let unit = self.link.take(len);
                self.link.advance(end);
                self.obey(&unit);
                true
            }
            Ok(Frame::Literal(announced)) => {
                self.announced(announced);
                true
            }
            Ok(Frame::Octets { .. }) => unreachable!("no literal of a command is streamed in this stage"),
            Err(error) => self.cannot_frame(error),
        }
    }

    /// There is nothing to do before more comes; nothing at all after the end of the stream.
    fn wait_for_more(&mut self) -> bool {
        if self.link.is_eof() {
            self.close(Closed::Eof);
            return true;
        }
        // An idle session holds no memory but the view.
        self.link.release();
        self.out = Encoder::responses(dialect(self.enabled));
        false
    }

    fn cannot_frame(&mut self, error: FrameError) -> bool {
        let (text, error) = match error {
            FrameError::TooLong(limit) => ("Command too long", ProtocolError::LineTooLong { limit }),
            FrameError::TooManyLiterals(limit) => {
                ("Too many literals", ProtocolError::TooMuch { what: "literals in a command", limit: limit.into() })
            }
            FrameError::LiteralSize => {
                ("Impossible literal", ProtocolError::TooMuch { what: "octets in a literal", limit: (1 << 63) - 1 })
            }
        };
        self.bye(Some(Code::TooBig), text, Closed::Protocol(error));
        true
    }

    /// A literal is announced within a command.
    fn announced(&mut self, announced: Announced) {
        let head = &self.link.input()[..announced.len];
        if let Some(arguments) = append_arguments(head) {
            // The name of the mailbox may be a literal too: then there is nothing before it.
            if !arguments.starts_with(b"{") || memchr::memchr(b'\n', arguments) != Some(arguments.len() - 1) {
                let head = Bytes::copy_from_slice(head);
                self.link.advance(announced.len);
                return self.begin_append(&head, announced);
            }
        }
        if self.framer.inline() {
            if announced.waits {
                self.proceed(Bytes::from_static(b"Ready for literal data"));
            }
            return;
        }
        let tag = tag_of(head);
        self.link.advance(announced.len);
        let text = Text::literal("Literal too large");
        let status = Status { condition: Condition::Bad, code: Some(Code::TooBig), text };
        self.refuse_literal(announced.waits, announced.size, Done { tag, verb: None, status });
    }

    /// Answers a command whose literal is not wanted. What announced it has been taken off the input.
    fn refuse_literal(&mut self, waits: bool, size: u64, done: Done) {
        let limit = self.config.limits.drain;
        if waits {
            // The client does not send it once it is answered (RFC 9051, 7.6).
            self.framer.drop_unit();
            self.stage = Stage::Completing(done);
        } else if size <= limit {
            self.framer.stream();
            self.stage = Stage::Discarding { left: limit, done };
            self.inactive.arm(self.config.limits.inactive);
        } else {
            let error = ProtocolError::TooMuch { what: "octets in an unwanted literal", limit };
            self.bye(Some(Code::TooBig), "Literal too large", Closed::Protocol(error));
        }
    }

    /// In [`Stage::Discarding`].
    pub(super) fn discard(&mut self) -> bool {
        match self.framer.next(self.link.input()) {
            Ok(Frame::More) => self.wait_for_more(),
            Ok(Frame::Octets { len, .. }) => {
                self.link.advance(len);
                self.link.trace_octets_in(len as u64);
                if let Stage::Discarding { left, .. } = &mut self.stage {
                    *left = left.saturating_sub(len as u64);
                }
                true
            }
            Ok(Frame::Unit { len, end }) => {
                self.link.advance(len + end);
                if let Stage::Discarding { done, .. } = core::mem::replace(&mut self.stage, Stage::Command) {
                    self.stage = Stage::Completing(done);
                }
                true
            }
            Ok(Frame::Literal(Announced { len, size, waits, .. })) => {
                self.link.advance(len);
                let Stage::Discarding { left, done } = core::mem::replace(&mut self.stage, Stage::Command) else {
                    unreachable!("only called in this stage")
                };
                self.refuse_literal(waits, size, done);
                if let Stage::Discarding { left: now, .. } = &mut self.stage {
                    *now = left;
                    if size > left {
                        let limit = self.config.limits.drain;
                        let error = ProtocolError::TooMuch { what: "octets in unwanted literals", limit };
                        self.bye(Some(Code::TooBig), "Literals too large", Closed::Protocol(error));
                    }
                }
                true
            }
            Err(error) => self.cannot_frame(error),
        }
    }

    // ── APPEND ──

    /// `head` is APPEND up to the announcement of the message, and was taken off the input.
    fn begin_append(&mut self, head: &Bytes, announced: Announced) {
        self.inactive.disarm();
        self.trace(head);
        let (waits, size) = (announced.waits, announced.size);
        let (tag, append) = match parse_command(head, dialect(self.enabled)) {
            Ok(TaggedCommand { tag, command: Command::Append(append) }) => (tag, append),
            Ok(_) => unreachable!("append_arguments() saw the command's word"),
            Err(error) => {
                let status = bad(&alloc::format!("{}", error.error));
                return self.refuse_literal(waits, size, Done { tag: error.tag, verb: None, status });
            }
        };
        if let Err(wrong) = self.dialogue.may(Verb::Append) {
            let status = bad(&alloc::format!("{wrong}"));
            return self.refuse_literal(waits, size, Done { tag: Some(tag), verb: None, status });
        }
        if let Err(refusal) = self.check_append(&append) {
            return self.refuse_append(tag, waits, size, refusal);
        }
        let answer = self.ask::<ask::Append>(tag, Verb::Append, Question::Append { waits, size });
        self.events.push_back(Event::Append { answer, message: append });
    }

    fn check_append(&self, append: &Append) -> Result<(), Refusal> {
        if append.size > self.config.append_limit {
            return Err(Refusal::with(Code::TooBig, "Message too large"));
        }
        if append.size == 0 {
            // RFC 9051, 6.3.12 has no message without octets; RFC 3502, 6.3.11 lets clients cancel so.
            return Err(Refusal::new(Text::literal("A message has at least one octet")));
        }
        if append.mailbox.is_odd() {
            return Err(Refusal::cannot("That is no name of a mailbox"));
        }
        if append.binary && !(self.enabled.rev2 || self.offers(&Capability::Binary)) || append.utf8 {
            return Err(Refusal::with(Code::UnknownCte, "Only plain literals are taken"));
        }
        Ok(())
    }

    pub(super) fn refuse_append(&mut self, tag: Tag, waits: bool, size: u64, refusal: Refusal) {
        let done = Done { tag: Some(tag), verb: Some(Verb::Append), status: refusal.into_status() };
        self.refuse_literal(waits, size, done);
    }

    /// In [`Stage::Appending`].
    pub(super) fn read_message(&mut self) -> bool {
        match self.framer.next(self.link.input()) {
            Ok(Frame::More) => self.wait_for_more(),
            Ok(Frame::Octets { len, .. }) => {
                if len > 0 {
                    let octets = self.link.take(len);
                    self.link.trace_octets_in(len as u64);
                    self.inactive.arm(self.config.limits.inactive);
                    self.events.push_back(Event::AppendBody(octets));
                }
                true
            }
            Ok(Frame::Unit { len, end }) => {
                let rest = self.link.take(len);
                self.link.advance(end);
                let Stage::Appending { tag } = core::mem::replace(&mut self.stage, Stage::Command) else {
                    unreachable!("only called in this stage")
                };
                self.inactive.disarm();
                if rest.is_empty() {
                    let answer = self.ask::<ask::Appended>(tag, Verb::Append, Question::Appended);
                    self.events.push_back(Event::Appended { answer });
                } else {
                    self.events.push_back(Event::AppendAborted);
                    self.complete_bad(tag, Verb::Append, "expected the end of the command after the message");
                }
                true
            }
            Ok(Frame::Literal(Announced { len, size, waits, .. })) => {
                self.link.advance(len);
                let Stage::Appending { tag } = core::mem::replace(&mut self.stage, Stage::Command) else {
                    unreachable!("only called in this stage")
                };
                self.events.push_back(Event::AppendAborted);
                let done = Done { tag: Some(tag), verb: None, status: bad("only one message at a time") };
                self.refuse_literal(waits, size, done);
                true
            }
            Err(error) => self.cannot_frame(error),
        }
    }

    // ── AUTHENTICATE ──

    /// In [`Stage::Sasl`].
    pub(super) fn read_sasl(&mut self) -> bool {
        let limit = self.config.limits.sasl;
        let line = match self.link.line(limit) {
            Framed::Line(line) => line,
            Framed::More => return self.wait_for_more(),
            Framed::TooLong => {
                let error = ProtocolError::LineTooLong { limit };
                self.bye(Some(Code::TooBig), "SASL response too long", Closed::Protocol(error));
                return true;
            }
        };
        self.link.trace_in(&line.octets, Some(0));
        let (tag, exchange) = match core::mem::replace(&mut self.stage, Stage::Command) {
            Stage::Sasl { tag, exchange } => (tag, exchange),
            Stage::Refused { tag, denied } => {
                self.denied(tag, Verb::Authenticate, denied);
                return true;
            }
            _ => unreachable!("only called in these stages"),
        };
        match line::response(&line.octets, limit) {
            Ok(Response::Data(data)) => self.sasl_step(tag, exchange.respond(data.reveal())),
            Ok(Response::Cancel) => self.complete_bad(tag, Verb::Authenticate, "AUTHENTICATE cancelled"),
            Err(error) => self.complete_bad(tag, Verb::Authenticate, &alloc::format!("{error}")),
        }
        true
    }

    pub(super) fn sasl_step(&mut self, tag: Tag, step: Result<ServerStep, ExchangeError>) {
        match step {
            Ok(ServerStep::Challenge(challenge, exchange)) => {
                self.challenge(&challenge, Stage::Sasl { tag, exchange });
            }
            Ok(ServerStep::Scram(query)) => {
                let (user, hash) = (String::from(query.user()), query.hash());
                let answer = self.ask::<ask::Scram>(tag, Verb::Authenticate, Question::Scram(query));
                self.events.push_back(Event::Scram { answer, user, hash });
            }
            Ok(ServerStep::Cram(query)) => {
                let answer = self.ask::<ask::Challenge>(tag, Verb::Authenticate, Question::Challenge(query));
                self.events.push_back(Event::Challenge { answer });
            }
            Ok(ServerStep::Attempt(attempt)) => {
                let question = Question::Auth(attempt.refusal());
                let answer = self.ask::<ask::Auth>(tag, Verb::Authenticate, question);
                self.events.push_back(Event::Auth { answer, attempt });
            }
            // What is wrong with a proof is not the client's business.
            Err(ExchangeError::Refused(_)) => self.denied(tag, Verb::Authenticate, Denied::Credentials),
            Err(ExchangeError::WrongHash) => self.denied(tag, Verb::Authenticate, Denied::Temporary),
            Err(_) => {
                self.login_failed(tag, Verb::Authenticate, Some(Code::AuthenticationFailed), "Malformed credentials")
            }
        }
    }

    pub(super) fn challenge(&mut self, message: &[u8], then: Stage) {
        let text = line::encode(message).into_inner();
        self.proceed(text.into_bytes().into());
        self.stage = then;
    }

    // ── IDLE ──

    /// In [`Stage::Idle`], with nothing to tell.
    pub(super) fn read_done(&mut self) -> bool {
        let line = match self.link.line(DONE_LIMIT) {
            Framed::Line(line) => line,
            Framed::More => return self.wait_for_more(),
            Framed::TooLong => {
                let error = ProtocolError::LineTooLong { limit: DONE_LIMIT };
                self.bye(None, "Expected DONE", Closed::Protocol(error));
                return true;
            }
        };
        self.link.trace_in(&line.octets, None);
        let Stage::Idle { tag } = core::mem::replace(&mut self.stage, Stage::Command) else {
            unreachable!("only called in this stage")
        };
        self.notice.disarm();
        self.events.push_back(Event::Listening(false));
        if line.octets.eq_ignore_ascii_case(b"DONE") {
            self.complete_ok(tag, Verb::Idle);
        } else {
            self.complete_bad(tag, Verb::Idle, &alloc::format!("expected DONE, got {}", Excerpt::new(&line.octets)));
        }
        true
    }

    /// Shows a command to the tap, without what may be a password.
    pub(super) fn trace(&mut self, unit: &[u8]) {
        if !self.link.is_tapped() {
            return;
        }
        let line = &unit[..memchr::memchr(b'\r', unit).unwrap_or(unit.len())];
        let word_at = memchr::memchr(b' ', line).map_or(line.len(), |space| space + 1);
        let word = &line[word_at..];
        let arguments = memchr::memchr(b' ', word).map(|space| word_at + space + 1);
        let secret = ["LOGIN", "AUTHENTICATE"]
            .iter()
            .any(|secret| word.get(..secret.len()).is_some_and(|start| start.eq_ignore_ascii_case(secret.as_bytes())));
        self.link.trace_in(line, arguments.filter(|_| secret));
    }
}

/// The tag at the start of a command.
fn tag_of(unit: &[u8]) -> Option<Tag> {
    let end = memchr::memchr(b' ', unit)?;
    Tag::new(core::str::from_utf8(&unit[..end]).ok()?).ok()
}

/// What follows `tag APPEND `, if the command is that.
fn append_arguments(unit: &[u8]) -> Option<&[u8]> {
    let word = &unit[memchr::memchr(b' ', unit)? + 1..];
    let (append, arguments) = word.split_at_checked(7)?;
    append.eq_ignore_ascii_case(b"APPEND ").then_some(arguments)
}
