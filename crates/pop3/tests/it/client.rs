//! Transcripts against the client.

use postrider_core::{Closed, Instant, Machine, ProtocolError, Secret, Session, Step};
use postrider_pop3::client::{Client, CommandId, Config, Event, Quirks};
use postrider_pop3::{LanguageRange, Refusal};
use postrider_sasl::{Login, Mechanism, Plain, XOAuth2};
use postrider_testkit::talk::Role;
use postrider_testkit::{Adapter, Settings, Shown, Trouble, closed};
use std::collections::BTreeMap;
use std::sync::Arc;

postrider_testkit::talks!(talks, "tests/talks", ClientAdapter);

/// Commands are known by what was called.
#[derive(Default)]
struct ClientAdapter(BTreeMap<CommandId, String>);

impl Adapter for ClientAdapter {
    type Session = Client;
    type Question = std::convert::Infallible;
    const ROLE: Role = Role::Client;

    fn start(settings: &mut Settings) -> Result<(Self, Client), String> {
        let mut config = Config::default();
        config.implicit_tls = settings.flag("tls");
        config.dangerous_plaintext_login = settings.flag("plaintext-login");
        if settings.flag("strict") {
            config.quirks = Quirks::NONE;
        }
        config.quirks.auth_in_two_steps = settings.flag("auth-in-two-steps");
        config.dangerous_apop = settings.flag("apop");
        config.capabilities = !settings.flag("no-capa");
        let limits = &mut config.limits;
        limits.line = settings.number("line")?.unwrap_or(limits.line);
        limits.listing = settings.number("listing")?.unwrap_or(limits.listing);
        limits.capabilities = settings.number("capabilities")?.unwrap_or(limits.capabilities);
        limits.pipeline = settings.number("pipeline")?.unwrap_or(limits.pipeline);
        limits.queue = settings.number("queue")?.unwrap_or(limits.queue);
        limits.challenges = settings.number("challenges")?.unwrap_or(limits.challenges);
        Ok((Self::default(), Client::new(Arc::new(config), 1)))
    }

    fn show(&mut self, client: &mut Client, event: <Client as Machine>::Event) -> Shown<Self::Question> {
        let name = |of: &CommandId| self.0[of].clone();
        Shown::Event(match event {
            Event::Ready => match client.capabilities() {
                None => "ready".to_owned(),
                Some(offered) => {
                    let mut names = vec![];
                    offered.lines(|parts| names.push(parts.concat()));
                    format!("ready [{}]", names.join(", "))
                }
            },
            Event::Status { of, messages, size } => format!("{}: {messages} messages, {size} octets", name(&of)),
            Event::Listing { of, message, size } => format!("{}: {message} has {size} octets", name(&of)),
            Event::UniqueId { of, message, id: Some(id) } => format!("{}: {message} is {id}", name(&of)),
            Event::UniqueId { of, message, id: None } => format!("{}: {message} has no id", name(&of)),
            Event::Language { of, tag, name: called } => format!("{}: {tag} is {called}", name(&of)),
            Event::Body { bytes, .. } => return Shown::Octets("body", bytes),
            Event::Completed { of, result: Ok(text) } => format!("{}: yes {text}", name(&of)).trim_end().to_owned(),
            Event::Completed { of, result: Err(Refusal { code, text }) } => {
                let code = code.map_or(String::new(), |code| format!("({}) ", code.as_str()));
                format!("{}: no {code}{text}", name(&of))
            }
            Event::Dismissed(why) => format!("dismissed: {why}"),
            Event::Closed(why) => closed(&why),
            other => panic!("not known: {other:?}"),
        })
    }

    fn answer(&mut self, _: &mut Client, question: Self::Question, _: &str) -> Result<(), Trouble> {
        match question {}
    }

    fn act(&mut self, client: &mut Client, what: &str) -> Result<(), Trouble> {
        let words: Vec<&str> = what.split_whitespace().collect();
        let number = |word: &str| word.parse::<u32>().map_err(|_| format!("{word:?} is not a number"));
        let secret = |word: &str| Secret::new(word.replace("\\r", "\r"));
        let id = match words[..] {
            ["start-tls"] => client.start_tls()?,
            ["login", user, password] => client.login(&user.replace("\\r", "\r"), secret(password))?,
            ["auth", kind, user, password] => {
                let mechanism: Result<Box<dyn Mechanism>, _> = match kind {
                    "plain" => Plain::new(user, &secret(password)).map(|m| Box::new(m) as _),
                    "login" => Login::new(user, &secret(password)).map(|m| Box::new(m) as _),
                    "xoauth2" => XOAuth2::new(user, &secret(password)).map(|m| Box::new(m) as _),
                    _ => return Err(format!("{kind:?} is not a mechanism").into()),
                };
                client.authenticate(mechanism.map_err(|error| error.to_string())?)?
            }
            ["apop", user, password] => client.apop(&user.replace("\\r", "\r"), &secret(password))?,
            ["language"] => client.language(None)?,
            ["language", range] => {
                client.language(Some(LanguageRange::parse(range.as_bytes()).ok_or("a language is letters")?))?
            }
            ["utf8"] => client.utf8()?,
            ["capability"] => client.capability()?,
            ["status"] => client.status()?,
            ["list"] => client.list(None)?,
            ["list", message] => client.list(Some(number(message)?))?,
            ["ids"] => client.unique_ids(None)?,
            ["ids", message] => client.unique_ids(Some(number(message)?))?,
            ["retrieve", message] => client.retrieve(number(message)?)?,
            ["top", message, lines] => client.top(number(message)?, number(lines)?.into())?,
            ["delete", message] => client.delete(number(message)?)?,
            ["reset"] => client.reset()?,
            ["noop"] => client.noop()?,
            ["quit"] => client.quit()?,
            _ => return Err(format!("{what:?} cannot be done").into()),
        };
        let name = words.iter().take(2).copied().collect::<Vec<_>>();
        self.0.insert(
            id,
            if matches!(words[0], "login" | "auth" | "apop") { words[0].to_owned() } else { name.join(" ") },
        );
        Ok(())
    }
}

#[test]
fn of_a_status_line_of_a_gigabyte_little_is_taken() {
    let mut client = Client::new(Arc::new(Config::default()), 1);
    let octets = [b'x'; 1 << 16];
    let mut taken = client.receive(b"+OK ");
    for _ in 0..(1 << 30) / octets.len() {
        taken += client.receive(&octets);
        if let Step::Event(event) = client.poll(Instant::ORIGIN) {
            let too_long = Closed::Protocol(ProtocolError::LineTooLong { limit: 8192 });
            assert!(matches!(&event, Event::Closed(why) if *why == too_long), "{event:?}");
            assert!(taken <= 2 * octets.len(), "{taken} octets were held");
            return;
        }
    }
    panic!("the session goes on");
}
