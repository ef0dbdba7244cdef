//! Transcripts against the client.

use std::collections::BTreeMap;

use bytes::Bytes;
use postrider_core::{Machine, Pending, Secret};
use postrider_imap::client::{Client, CommandId, Config, Event, ask};
use postrider_imap::wire::*;
use postrider_sasl::{Login, Mechanism, Plain};
use postrider_testkit::talk::Role;
use postrider_testkit::{Adapter, Settings, Shown, Trouble, closed};

postrider_testkit::talks!(talks, "tests/talks/client", ClientAdapter);

/// Commands are known by what was called.
#[derive(Default)]
struct ClientAdapter {
    names: BTreeMap<CommandId, String>,
    idle: Option<CommandId>,
    /// A message that is wanted, and what is left of it.
    message: Option<(Pending<ask::Literal>, Bytes)>,
}

enum Asked {
    Literal(Pending<ask::Literal>),
}

fn line(encode: impl FnOnce(&mut Encoder)) -> String {
    let mut out = Encoder::responses(Dialect::UTF8);
    encode(&mut out);
    let shown = String::from_utf8_lossy(&out.to_bytes()).replace("\r\n", "|");
    shown.trim_end_matches(['|', ' ']).to_owned()
}

fn status(status: Status) -> String {
    line(|out| Data::Status(status).encode(out))[2..].to_owned()
}

fn raw(raw: &Raw) -> String {
    format!("raw \"{}\" {}", raw.bytes.escape_ascii(), raw.why)
}

impl Adapter for ClientAdapter {
    type Session = Client;
    type Question = Asked;
    const ROLE: Role = Role::Client;

    fn start(settings: &mut Settings) -> Result<(Self, Client), String> {
        let mut config = Config::default();
        config.implicit_tls = settings.flag("tls");
        config.ask_capabilities = !settings.flag("incurious");
        if settings.flag("plaintext-login") {
            config = config.dangerous_plaintext_login();
        }
        if settings.flag("plaintext-preauth") {
            config = config.dangerous_plaintext_preauth();
        }
        let limits = &mut config.limits;
        limits.inline = settings.number("inline")?.unwrap_or(limits.inline);
        limits.pipeline = settings.number("pipeline")?.unwrap_or(limits.pipeline);
        limits.commands = settings.number("commands")?.unwrap_or(limits.commands);
        limits.challenges = settings.number("challenges")?.unwrap_or(limits.challenges);
        limits.link.output = settings.number("output")?.unwrap_or(limits.link.output);
        let unit = settings.number("response")?.unwrap_or(limits.response.unit);
        limits.response = FrameLimits::new(unit, settings.number("literals")?.unwrap_or(limits.response.literals));
        Ok((Self::default(), Client::new(config, 1)))
    }

    fn show(&mut self, client: &mut Client, event: <Client as Machine>::Event) -> Shown<Asked> {
        let name = |of: &CommandId| self.names[of].clone();
        Shown::Event(match event {
            Event::Greeting(greeting) => format!("greeting {}", status(greeting)),
            Event::Ready => match client.capabilities() {
                None => "ready".to_owned(),
                Some(known) => {
                    let names: Vec<String> = known.iter().map(ToString::to_string).collect();
                    format!("ready [{}]", names.join(" "))
                }
            },
            Event::Data(Data::Raw(bad)) => raw(&bad),
            Event::Data(data) => line(|out| data.encode(out)),
            Event::FetchStart { number } => format!("fetch {number}"),
            Event::FetchItem(FetchItem::Raw(bad)) => raw(&bad),
            Event::FetchItem(item) => line(|out| {
                out.fetch_start(0);
                out.fetch_item(&item);
            })[11..]
                .to_owned(),
            Event::BodyStart { section, binary, origin, size } => {
                format!("begins {section:?} binary={binary} origin={origin:?} size={size}")
            }
            Event::Body(octets) => return Shown::Octets("body", octets),
            Event::BodyEnd => "ends".to_owned(),
            Event::FetchEnd => "fetched".to_owned(),
            Event::LiteralWanted { of, literal } => {
                return Shown::Question(format!("message of {}", name(&of)), Asked::Literal(literal));
            }
            Event::Idling(of) => format!("{}: idling", name(&of)),
            Event::Completed { of, status: ending } => format!("{}: {}", name(&of), status(ending)),
            Event::NotSent { of, why } => format!("{}: not sent, {why}", name(&of)),
            Event::Closed(why) => closed(&why),
            other => panic!("not known: {other:?}"),
        })
    }

    fn answer(&mut self, client: &mut Client, question: Asked, answer: &str) -> Result<(), Trouble> {
        let Asked::Literal(literal) = question;
        if answer == "abandon" {
            client.abandon(literal);
            return Ok(());
        }
        let octets = postrider_testkit::unescape(answer)?;
        self.message = Some((literal, octets.into()));
        self.progress(client);
        Ok(())
    }

    fn act(&mut self, client: &mut Client, what: &str) -> Result<(), Trouble> {
        let words: Vec<&str> = what.split(' ').collect();
        let secret = |word: &str| Secret::new(word.to_owned());
        let id = match words[..] {
            ["start-tls"] => client.start_tls()?,
            ["auth", kind, user, password] => {
                let mechanism: Result<Box<dyn Mechanism>, _> = match kind {
                    "plain" => Plain::new(user, &secret(password)).map(|m| Box::new(m) as _),
                    "login" => Login::new(user, &secret(password)).map(|m| Box::new(m) as _),
                    _ => return Err(format!("{kind:?} is not a mechanism").into()),
                };
                client.authenticate(mechanism.map_err(|error| error.to_string())?)?
            }
            ["append", mailbox, size] => {
                let mailbox = Mailbox::new(mailbox).map_err(|error| error.to_string())?;
                let size = size.parse().map_err(|_| "not a size")?;
                client.append(mailbox, [Flag::Seen].into_iter().collect(), None, size)?
            }
            ["idle"] => {
                let id = client.idle()?;
                self.idle = Some(id);
                id
            }
            ["done"] => return Ok(client.done(self.idle.ok_or("nothing idles")?)?),
            ["logout"] => {
                client.logout();
                return Ok(());
            }
            ["abort"] => {
                client.abort();
                return Ok(());
            }
            ["selected"] => {
                let shown = client.selected().map_or("nothing".into(), |mailbox| {
                    format!("{} {} {:?}", mailbox.mailbox, mailbox.exists, mailbox.uid_validity)
                });
                return Err(Trouble::Session(format!("selected {shown}")));
            }
            _ => {
                let unescaped = postrider_testkit::unescape(&format!("x {what}"))?;
                let parsed = parse_command(&unescaped.into(), Dialect::UTF8).map_err(|error| error.to_string())?;
                client.command(parsed.command)?
            }
        };
        let count = if matches!(words[0], "auth" | "LOGIN") { 1 } else { words.len() };
        self.names.insert(id, words[..count].join(" "));
        Ok(())
    }

    fn progress(&mut self, client: &mut Client) {
        if let Some((literal, left)) = &mut self.message {
            let taken = client.write(literal, left);
            let _ = left.split_to(taken);
        }
    }
}

mod unit {
    use super::*;
    use postrider_core::{Instant, Session, Step};
    use postrider_imap::client::{Fetched, Gather};

    /// Feeds all of `wire`, `step` octets at a time, and gathers the messages.
    fn fetched(wire: &[u8], step: usize, limit: usize) -> (Vec<Fetched>, usize) {
        let mut config = Config::default().dangerous_plaintext_preauth();
        config.ask_capabilities = false;
        config.limits.inline = 8;
        let mut client = Client::new(config, 7);
        let mut gather = Gather::new(limit);
        let (mut found, mut others) = (vec![], 0);
        for mut piece in wire.chunks(step) {
            while !piece.is_empty() {
                let taken = client.receive(piece);
                assert!(taken > 0, "the window is closed");
                piece = &piece[taken..];
                while let Step::Event(event) = client.poll(Instant::ORIGIN) {
                    match gather.take(event) {
                        Ok(message) => found.extend(message),
                        Err(_) => others += 1,
                    }
                }
            }
        }
        (found, others)
    }

    #[test]
    fn whole_messages_are_gathered_however_the_stream_was_cut() {
        let wire = b"* PREAUTH hi\r\n* 2 FETCH (UID 9 BODY[] {20}\r\n0123456789\r\n23456789 FLAGS (\\Seen) \
            BODY[HEADER] {9}\r\nSubject:\r BODY[TEXT] {3}\r\nabc)\r\n* 3 EXISTS\r\n* 3 FETCH (BODY[]<5> \"x\")\r\n";
        let (whole, others) = fetched(wire, wire.len(), 15);
        assert_eq!((whole.len(), others), (2, 3));
        assert_eq!((whole[0].uid, whole[0].number), (Some(9), 2));
        assert!(whole[0].flags.as_ref().unwrap().contains(&Flag::Seen));
        let bodies: Vec<_> = whole[0].bodies.iter().map(|b| (b.data.as_deref().unwrap(), b.truncated)).collect();
        assert_eq!(bodies, [(&b"0123456789\r\n234"[..], true), (b"Subject:\r", false), (b"abc", false)]);
        assert_eq!(whole[0].body(&Section { part: vec![], text: Some(SectionText::Text) }).unwrap(), "abc");
        assert_eq!(whole[1].bodies[0].origin, Some(5));
        for step in 1..40 {
            assert_eq!(fetched(wire, step, 15), (whole.clone(), others), "{step}");
        }
    }

    #[test]
    fn a_large_literal_is_streamed_in_bounded_memory() {
        const SIZE: usize = 8 << 20;
        let mut client = Client::new(Config::default().dangerous_plaintext_preauth(), 7);
        let _ = client.receive(b"* PREAUTH hi\r\n* 1 FETCH (BODY[] {8388608}\r\n");
        let chunk = [b'x'; 16 * 1024];
        let (mut sent, mut got) = (0, 0);
        while sent < SIZE {
            sent += client.receive(&chunk);
            while let Step::Event(event) = client.poll(Instant::ORIGIN) {
                if let Event::Body(octets) = event {
                    assert!(octets.len() <= chunk.len());
                    got += octets.len();
                }
            }
        }
        assert_eq!(got, SIZE);
    }
}
