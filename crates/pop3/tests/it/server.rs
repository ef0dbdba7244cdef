//! Transcripts against the server.

use bytes::Bytes;
use postrider_core::{Instant, Machine, Pending, Secret, Session, Step, Text};
use postrider_pop3::server::{Config, Event, Server, ask};
use postrider_pop3::{Expire, LoginDelay, MessageMeta, Refusal, UniqueId};
use postrider_sasl::{ApopChallenge, Attempt, Denied, MechanismName};
use postrider_testkit::talk::Role;
use postrider_testkit::{Adapter, Settings, Shown, Trouble, closed, unescape};
use std::sync::Arc;
use std::time::Duration;

postrider_testkit::talks!(talks, "tests/talks", ServerAdapter);

#[derive(Default)]
struct ServerAdapter {
    /// A message that is being sent, and what is left of it. Closes in the middle if the flag says so.
    sending: Option<(Pending<ask::Retrieve>, Bytes, bool)>,
}

enum Question {
    Open(Pending<ask::Open>),
    Retrieve(Pending<ask::Retrieve>),
    Commit(Pending<ask::Commit>),
}

impl Adapter for ServerAdapter {
    type Session = Server;
    type Question = Question;
    const ROLE: Role = Role::Server;

    fn start(settings: &mut Settings) -> Result<(Self, Server), String> {
        let mut config = Config::default();
        config.greeting = Text::literal("ready");
        config.implicit_tls = settings.flag("tls");
        config.stls = settings.flag("stls");
        config.dangerous_plaintext_login = settings.flag("plaintext-login");
        config.utf8 = settings.flag("utf8");
        config.user = !settings.flag("no-user");
        if let Some(mechanisms) = settings.text("mechanisms") {
            config.mechanisms =
                mechanisms.split(',').filter_map(|name| MechanismName::parse(name.as_bytes())).collect();
        }
        if let Some(seconds) = settings.number("login-delay")? {
            config.login_delay = Some(LoginDelay { seconds, per_user: false });
        }
        if let Some(days) = settings.number("expire")? {
            config.expire = Some(Expire::Days(days));
        }
        config.implementation = settings.text("implementation").and_then(|name| Text::new(name).ok());
        let limits = &mut config.limits;
        limits.errors = settings.number("errors")?.unwrap_or(limits.errors);
        limits.logins = settings.number("logins")?.unwrap_or(limits.logins);
        limits.link.output = settings.number("output")?.unwrap_or(limits.link.output);
        limits.link.input = settings.number("input")?.unwrap_or(limits.link.input);
        config.lang = settings.flag("lang");
        config.last = settings.flag("last");
        let challenge = settings.text("apop");
        let mut server = Server::new(Arc::new(config), 1);
        if let Some(challenge) = challenge {
            let challenge = ApopChallenge::new(&challenge).map_err(|error| error.to_string())?;
            server.offer_apop(challenge).map_err(|error| error.to_string())?;
        }
        Ok((Self::default(), server))
    }

    fn show(&mut self, _: &mut Server, event: Event) -> Shown<Question> {
        match event {
            Event::Open { answer, attempt: Attempt::Password { authorization, user, password, .. }, utf8 } => {
                let utf8 = if utf8 { " utf8" } else { "" };
                let acting_as = authorization.map_or(String::new(), |name| format!(" as {name}"));
                let text = format!("open {user} {}{acting_as}{utf8}", password.reveal());
                Shown::Question(text, Question::Open(answer))
            }
            Event::Open { answer, attempt: Attempt::Apop(apop), .. } => {
                let right = if apop.matches(&Secret::new("tanstaaf".into())) { "right" } else { "wrong" };
                Shown::Question(format!("open {} by a {right} digest", apop.user()), Question::Open(answer))
            }
            Event::Open { answer, attempt: Attempt::Token { user, token, .. }, .. } => {
                let user = user.unwrap_or_default();
                Shown::Question(format!("open {user} by the token {}", token.reveal()), Question::Open(answer))
            }
            Event::Retrieve { answer, message, lines } => {
                let lines = lines.map_or(String::new(), |lines| format!(" lines {lines}"));
                Shown::Question(format!("retrieve {message}{lines}"), Question::Retrieve(answer))
            }
            Event::Commit { answer, delete } => {
                let delete: Vec<String> = delete.iter().map(u32::to_string).collect();
                Shown::Question(format!("commit {}", delete.join(" ")), Question::Commit(answer))
            }
            Event::Closed(why) => Shown::Event(closed(&why)),
            other => panic!("not known: {other:?}"),
        }
    }

    fn answer(&mut self, server: &mut Server, question: Question, answer: &str) -> Result<(), Trouble> {
        let (kind, rest) = answer.split_once(' ').unwrap_or((answer, ""));
        match question {
            Question::Open(open) => match kind {
                "yes" => server.answer(open, Ok(maildrop(rest)?))?,
                "denied" => server.refuse(open, Denied::Credentials.into())?,
                "temporary" => server.refuse(open, Denied::Temporary.into())?,
                "forbidden" => server.refuse(open, Denied::Forbidden.into())?,
                "expired" => server.refuse(open, Denied::Expired.into())?,
                "in-use" => server.refuse(open, Refusal::in_use())?,
                "too-soon" => server.refuse(open, Refusal::login_delay(Duration::from_secs(30)))?,
                _ => return Err(format!("{answer:?} does not answer this").into()),
            },
            Question::Retrieve(retrieve) => match kind {
                "message" => {
                    self.sending = Some((retrieve, unescape(rest)?.into(), false));
                    self.progress(server);
                }
                "half" => {
                    self.sending = Some((retrieve, unescape(rest)?.into(), true));
                    self.progress(server);
                }
                "no" => server.refuse(retrieve, Refusal::temporary(Text::literal("the disk is away")))?,
                _ => return Err(format!("{answer:?} does not answer this").into()),
            },
            Question::Commit(commit) => match kind {
                "yes" => server.accept(commit)?,
                "no" => {
                    let text = Text::literal("some deleted messages not removed");
                    server.refuse(commit, Refusal::temporary(text))?;
                }
                _ => return Err(format!("{answer:?} does not answer this").into()),
            },
        }
        Ok(())
    }

    fn act(&mut self, server: &mut Server, what: &str) -> Result<(), Trouble> {
        match what {
            "shut down" => server.shut_down(Text::literal("the server is going down")),
            _ => return Err(format!("{what:?} cannot be done").into()),
        }
        Ok(())
    }

    fn progress(&mut self, server: &mut Server) {
        let Some((question, octets, half)) = &mut self.sending else { return };
        while !octets.is_empty() {
            let n = server.write_shared(question, octets);
            if n == 0 {
                return;
            }
            let _ = octets.split_to(n);
        }
        if *half {
            self.sending = Some((self.sending.take().expect("it is there").0, Bytes::new(), true));
            return;
        }
        let (question, ..) = self.sending.take().expect("it was just seen to be there");
        // It is stale if the session has ended meanwhile.
        let _ = server.accept(question);
    }
}

/// `120:a 250:b:utf8`
fn maildrop(text: &str) -> Result<Vec<MessageMeta>, String> {
    text.split_whitespace()
        .map(|message| {
            let (size, id) = message.split_once(':').ok_or("a message is size:id")?;
            let size = size.parse().map_err(|_| "a size is a number")?;
            let plain = id.strip_suffix(":utf8");
            let id = UniqueId::new(plain.unwrap_or(id)).map_err(|error| error.to_string())?;
            let mut meta = MessageMeta::new(size, id);
            meta.utf8 = plain.is_some();
            Ok(meta)
        })
        .collect()
}

fn run(server: &mut Server, input: &[u8], now: Instant) -> (Vec<Event>, Vec<u8>) {
    let (mut events, mut out) = (vec![], vec![]);
    let mut rest = input;
    loop {
        let taken = server.receive(rest);
        rest = &rest[taken..];
        let before = (events.len(), out.len());
        while let Step::Event(event) = server.poll(now) {
            events.push(event);
        }
        while !server.output().is_empty() {
            out.extend_from_slice(server.output());
            let n = server.output().len();
            server.sent(n);
        }
        if taken == 0 && before == (events.len(), out.len()) {
            return (events, out);
        }
    }
}

fn logged_in(messages: usize) -> Server {
    let mut config = Config::default();
    config.dangerous_plaintext_login = true;
    let mut server = Server::new(Arc::new(config), 1);
    let (events, _) = run(&mut server, b"USER a\r\nPASS b\r\n", Instant::ORIGIN);
    let Some(Event::Open { answer, .. }) = events.into_iter().next() else { panic!("a login asks") };
    let meta = |n| MessageMeta::new(100, UniqueId::new(&format!("id{n}")).expect("it is printable"));
    server.answer(answer, Ok((1..=messages).map(meta).collect())).expect("it was asked just now");
    let (_, out) = run(&mut server, b"", Instant::ORIGIN);
    assert!(out.starts_with(b"+OK"));
    server
}

#[test]
fn a_long_listing_is_sent_as_the_client_reads() {
    let mut server = logged_in(100_000);
    assert_eq!(server.receive(b"UIDL\r\n"), 6);
    let _ = server.poll(Instant::ORIGIN);
    assert!(server.output().len() < 70_000, "the output limit holds: {}", server.output().len());
    let (_, out) = run(&mut server, b"", Instant::ORIGIN);
    assert_eq!(out.iter().filter(|&&octet| octet == b'\n').count(), 100_002);
    assert!(out.ends_with(b"100000 id100000\r\n.\r\n"));
}

#[test]
fn a_message_is_taken_as_the_client_reads_and_large_parts_are_not_copied() {
    let mut server = logged_in(1);
    let (events, _) = run(&mut server, b"RETR 1\r\n", Instant::ORIGIN);
    let Some(Event::Retrieve { answer, .. }) = events.into_iter().next() else { panic!("RETR asks") };
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let taken = server.write_shared(&answer, &piece);
    assert!(taken > 0 && taken <= 64 * 1024, "{taken}");
    assert_eq!(server.write_shared(&answer, &piece), 0, "there is no room");
    let n = server.output().len();
    server.sent(n);
    assert_eq!(server.output().as_ptr(), piece.as_ptr(), "the message itself is what is sent");
    let n = server.output().len();
    server.sent(n);
    assert!(server.write_shared(&answer, &piece.slice(taken..)) > 0);
    server.accept(answer).expect("it was not answered before");
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let mut server = logged_in(1);
    let (events, _) = run(&mut server, b"RETR 1\r\n", Instant::ORIGIN);
    let Some(Event::Retrieve { answer, .. }) = events.into_iter().next() else { panic!("RETR asks") };
    while server.write(&answer, &[b'x'; 4096]) > 0 {}
    let Step::Idle { deadline: Some(deadline) } = server.poll(Instant::ORIGIN) else { panic!("there is a deadline") };
    assert_eq!(deadline, Instant::after_origin(Duration::from_secs(600)), "the client's time runs, not ours");
    let step = server.poll(deadline);
    assert!(matches!(step, Step::Event(Event::Closed(postrider_core::Closed::TimedOut))), "{step:?}");
    assert!(server.accept(answer).is_err(), "the answer is stale");
}

#[test]
fn an_answer_to_another_session_is_stale() {
    let mut one = logged_in(1);
    let mut config = Config::default();
    config.dangerous_plaintext_login = true;
    let mut two = Server::new(Arc::new(config), 2);
    let (events, _) = run(&mut one, b"RETR 1\r\n", Instant::ORIGIN);
    let Some(Event::Retrieve { answer, .. }) = events.into_iter().next() else { panic!("RETR asks") };
    assert_eq!(two.write(&answer, b"abc"), 3, "dropped");
    assert!(two.accept(answer).is_err());
}

#[test]
fn unknown_events_can_be_declined() {
    let mut server = logged_in(2);
    let (events, _) = run(&mut server, b"DELE 1\r\nRETR 2\r\nQUIT\r\n", Instant::ORIGIN);
    events.into_iter().for_each(|event| server.decline(event));
    let (events, out) = run(&mut server, b"", Instant::ORIGIN);
    assert!(out.starts_with(b"-ERR [SYS/TEMP]"), "{}", out.escape_ascii());
    events.into_iter().for_each(|event| server.decline(event));
    let (_, out) = run(&mut server, b"", Instant::ORIGIN);
    assert!(out.starts_with(b"-ERR [SYS/TEMP]"), "{}", out.escape_ascii());
    assert!(server.is_finished());
}
