//! Transcripts against the server: `tests/talks/server`.
//!
//! With `app=yes` in the configuration the application says yes to everything, and only what it is told is shown.

use postrider_core::{Machine, Pending, SessionId, Text};
use postrider_sasl::{Attempt, Denied, Identity, MechanismName};
use postrider_smtp::server::{Config, Event, Role, Tls, ask};
use postrider_smtp::wire::{BareNewlines, Quirks};
use postrider_smtp::{Accepted, Delivered, HelloName, Refusal, Server};
use postrider_testkit::talk::Role as TalkRole;
use postrider_testkit::{Adapter, Settings, Shown, Trouble, closed, escape};
use std::sync::Arc;

postrider_testkit::talks!(server_talks, "tests/talks/server", ServerAdapter);

pub(crate) struct ServerAdapter {
    yes: bool,
    /// The message so far, where it is shown as a whole. What came of a bad one before it was known to be bad depends
    /// on the cuts.
    message: Vec<u8>,
}

pub(crate) enum Question {
    Hello(Pending<ask::Hello>),
    Auth(Pending<ask::Auth>),
    Mail(Pending<ask::Mail>),
    Rcpt(Pending<ask::Rcpt>),
    Data(Pending<ask::Data>),
    Message(Pending<ask::Message>),
    Verify(Pending<ask::Verify>),
    Expand(Pending<ask::Expand>),
}

/// The configuration that a transcript's `server` line describes.
pub(crate) fn config(settings: &mut Settings) -> Result<Config, String> {
    let name: HelloName = "mx.example".parse().expect("a name");
    let mut config = match settings.text("role").as_deref() {
        None | Some("relay") => Config::new(name),
        Some("submission") => Config::submission(name, Tls::Off),
        Some("lmtp") => Config::lmtp(name),
        Some(other) => return Err(format!("role={other} is not known")),
    };
    config.tls = match settings.text("tls").as_deref() {
        None | Some("off") => Tls::Off,
        Some("offered") => Tls::Offered,
        Some("required") => Tls::Required,
        Some("implicit") => Tls::Implicit,
        Some(other) => return Err(format!("tls={other} is not known")),
    };
    if config.role != Role::Submission && settings.flag("auth") {
        config.auth = vec![MechanismName::Plain, MechanismName::Login];
    }
    if settings.flag("plaintext-auth") {
        config = config.dangerous_allow_plaintext_auth();
    }
    if settings.flag("normalise") {
        config.bare_newlines = BareNewlines::Normalise;
    }
    if settings.flag("quirks") {
        config.quirks = Quirks::INTEROP;
    }
    config.dsn = settings.flag("dsn");
    config.require_tls = settings.flag("require-tls");
    config.ask_hello = settings.flag("ask-hello");
    config.ask_verify = settings.flag("ask-verify");
    config.ask_expand = settings.flag("ask-expand");
    config.undecided = settings.number("undecided")?.unwrap_or(config.undecided);
    config.limits.message = settings.number("message")?.unwrap_or(config.limits.message);
    config.limits.message_excess = settings.number("excess")?.unwrap_or(config.limits.message_excess);
    config.limits.recipients = settings.number("recipients")?.unwrap_or(config.limits.recipients);
    config.limits.recipient_domains = settings.number("recipient-domains")?;
    config.limits.transactions = settings.number("transactions")?.unwrap_or(config.limits.transactions);
    config.limits.hops = settings.number("hops")?.unwrap_or(config.limits.hops);
    config.limits.text_line = settings.number("text-line")?.unwrap_or(config.limits.text_line);
    config.limits.greeting_delay = settings.duration("greeting-delay")?.unwrap_or_default();
    Ok(config)
}

impl Adapter for ServerAdapter {
    type Session = Server;
    type Question = Question;
    const ROLE: TalkRole = TalkRole::Server;

    fn start(settings: &mut Settings) -> Result<(Self, Server), String> {
        const ID: SessionId = 7;
        let yes = settings.text("app").is_some_and(|app| app == "yes");
        Ok((Self { yes, message: vec![] }, Server::new(Arc::new(config(settings)?), ID)))
    }

    fn show(&mut self, server: &mut Server, event: <Server as Machine>::Event) -> Shown<Question> {
        let shown = match event {
            Event::Hello { answer, name } => Shown::Question(format!("hello {name}"), Question::Hello(answer)),
            Event::Auth { answer, attempt } => match attempt {
                Attempt::Password { authorization, user, password, mechanism } => {
                    let by = mechanism.map_or("-".into(), |m| m.to_string());
                    let password = password.reveal();
                    let who = authorization.map_or(String::new(), |other| format!(" as {other}"));
                    Shown::Question(format!("auth {by} {user} {password}{who}"), Question::Auth(answer))
                }
                other => panic!("no such mechanism was switched on: {other:?}"),
            },
            Event::Mail { answer, from, params } => {
                let mut text = format!("mail {from}");
                if let Some(size) = params.size {
                    text += &format!(" size={size}");
                }
                if let Some(body) = params.body {
                    text += &format!(" {body:?}");
                }
                if params.smtp_utf8 {
                    text += " utf8";
                }
                if params.require_tls {
                    text += " require-tls";
                }
                if let Some(id) = params.envelope_id {
                    text += &format!(" envid={}", id.as_str());
                }
                if let Some(ret) = params.ret {
                    text += &format!(" ret={ret:?}");
                }
                if let Some(who) = params.auth {
                    text += &format!(" auth={who}");
                }
                Shown::Question(text, Question::Mail(answer))
            }
            Event::Rcpt { answer, to, params } => {
                let mut text = format!("rcpt {to}");
                if let Some(when) = params.notify {
                    text += &format!(" success={} failure={} delay={}", when.success, when.failure, when.delay);
                }
                if let Some(original) = params.original {
                    text += &format!(" orcpt={};{}", original.address_type(), original.address());
                }
                Shown::Question(text, Question::Rcpt(answer))
            }
            Event::Data { answer } => Shown::Question("data".into(), Question::Data(answer)),
            Event::Body(octets) if self.yes => {
                self.message.extend_from_slice(&octets);
                Shown::Nothing
            }
            Event::Body(octets) => Shown::Octets("body", octets),
            Event::Message { answer, size } if self.yes => {
                server.accept(answer).expect("it was just asked");
                assert_eq!(size, self.message.len() as u64, "the size is that of what was reported");
                Shown::Event(format!("message {}", escape(&std::mem::take(&mut self.message))))
            }
            Event::Message { answer, size } => Shown::Question(format!("message {size}"), Question::Message(answer)),
            Event::Reset => {
                self.message.clear();
                Shown::Event("reset".into())
            }
            Event::Verify { answer, what } => Shown::Question(format!("verify {what}"), Question::Verify(answer)),
            Event::Expand { answer, what } => Shown::Question(format!("expand {what}"), Question::Expand(answer)),
            Event::Closed(why) => Shown::Event(closed(&why)),
            other => panic!("no such event was switched on: {other:?}"),
        };
        match shown {
            Shown::Question(_, question) if self.yes => {
                answer(server, question, "yes").expect("everything takes a yes");
                Shown::Nothing
            }
            shown => shown,
        }
    }

    fn answer(&mut self, server: &mut Server, question: Question, text: &str) -> Result<(), Trouble> {
        answer(server, question, text)
    }

    fn act(&mut self, server: &mut Server, what: &str) -> Result<(), Trouble> {
        match what.split_once(' ') {
            Some(("shut-down", why)) => {
                server.shut_down(Text::new(why).map_err(|wrong| wrong.to_string())?);
                Ok(())
            }
            _ => Err(format!("`> {what}` is not known").into()),
        }
    }
}

fn answer(server: &mut Server, question: Question, text: &str) -> Result<(), Trouble> {
    match question {
        Question::Hello(pending) => server.answer(pending, verdict(text)?)?,
        Question::Mail(pending) => server.answer(pending, verdict(text)?)?,
        Question::Rcpt(pending) => server.answer(pending, verdict(text)?)?,
        Question::Data(pending) => server.answer(pending, verdict(text)?)?,
        Question::Verify(pending) => server.answer(pending, verdict(text)?)?,
        Question::Expand(pending) => server.answer(pending, members(text)?)?,
        Question::Auth(pending) => server.answer(
            pending,
            match text {
                "yes" => Ok(Identity::new("somebody")),
                "no" => Err(Denied::Credentials.into()),
                "no for-now" => Err(Denied::Temporary.into()),
                other => verdict(other)?.map(|_| Identity::new("somebody")),
            },
        )?,
        Question::Message(pending) => server.answer(
            pending,
            match text.strip_prefix("each ") {
                Some(each) => Ok(Delivered::to_each(each.split(" | ").map(verdict).collect::<Result<_, _>>()?)),
                None => verdict(text)?.map(Delivered::to_all),
            },
        )?,
    }
    Ok(())
}

/// `yes`, `yes 251 2.1.5 Text`, `no 550 5.1.1 Text`, `close 421 4.3.2 Text`.
/// As `verdict`, with further lines after ` | `.
fn members(text: &str) -> Result<Result<Accepted, Refusal>, String> {
    let mut lines = text.split(" | ");
    let first = verdict(lines.next().unwrap_or_default())?;
    let lines: Vec<Text> = lines.map(|line| Text::new(line).expect("a line")).collect();
    Ok(first.map(|first| lines.into_iter().fold(first, Accepted::and_line)))
}

fn verdict(text: &str) -> Result<Result<Accepted, Refusal>, String> {
    if text == "yes" {
        return Ok(Ok(Accepted::default()));
    }
    let wrong = || format!("the answer {text:?} is not known");
    let mut parts = text.splitn(4, ' ');
    let mut next = || parts.next().ok_or_else(wrong);
    let (word, code, enhanced, words) = (next()?, next()?, next()?, next()?);
    let code: u16 = code.parse().map_err(|_| wrong())?;
    let mut numbers = enhanced.split('.').skip(1).map(|n| n.parse::<u16>().map_err(|_| wrong()));
    let mut number = || numbers.next().ok_or_else(wrong)?;
    let detail = (number()?, number()?);
    let words = Text::new(words).map_err(|_| wrong())?;
    let refusal = |words| match code / 100 {
        4 => Refusal::transient(code, detail, words),
        _ => Refusal::permanent(code, detail, words),
    };
    Ok(match word {
        "yes" => Ok(Accepted::with(code, detail, words)),
        "no" => Err(refusal(words)),
        "close" => Err(refusal(words).and_close()),
        _ => return Err(wrong()),
    })
}
