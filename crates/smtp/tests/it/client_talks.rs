//! Transcripts against the client: `tests/talks/client`.

use bytes::Bytes;
use postrider_core::{Machine, Pending, Secret, Text};
use postrider_sasl::{Login, Plain};
use postrider_smtp::client::{Chunking, Config, Event, FinishError, Outcome, Part, SendError, Tls, Transaction, ask};
use postrider_smtp::wire::{BareNewlines, BodyType, EtrnTarget, Hold, Parameter, Url};
use postrider_smtp::{
    Client, Domain, Envelope, ForwardPath, HelloName, MailParams, RcptParams, Recipient, ReversePath,
};
use postrider_testkit::talk::Role as TalkRole;
use postrider_testkit::{Adapter, Settings, Shown, Trouble, closed, unescape};
use std::sync::Arc;

postrider_testkit::talks!(client_talks, "tests/talks/client", ClientAdapter);

#[derive(Default)]
pub(crate) struct ClientAdapter {
    /// What the client has not taken yet.
    rest: Option<(Pending<ask::Body>, Bytes)>,
    failed: Option<FinishError>,
    opened: Option<Transaction>,
}

impl Adapter for ClientAdapter {
    type Session = Client;
    type Question = Pending<ask::Body>;
    const ROLE: TalkRole = TalkRole::Client;

    fn start(settings: &mut Settings) -> Result<(Self, Client), String> {
        let name: HelloName = "client.example".parse().expect("a name");
        let mut config = match settings.text("protocol").as_deref() {
            None | Some("smtp") => Config::new(name),
            Some("lmtp") => Config::lmtp(name),
            Some(other) => return Err(format!("protocol={other} is not known")),
        };
        config.tls = match settings.text("tls").as_deref() {
            None | Some("manual") => Tls::Manual,
            Some("if-offered") => Tls::IfOffered,
            Some("required") => Tls::Required,
            Some("implicit") => Tls::Implicit,
            Some(other) => return Err(format!("tls={other} is not known")),
        };
        if settings.flag("plaintext-auth") {
            config = config.dangerous_allow_plaintext_auth();
        }
        if settings.flag("normalise") {
            config.bare_newlines = BareNewlines::Normalise;
        }
        config.chunking = match settings.text("chunking").as_deref() {
            None | Some("when-offered") => Chunking::WhenOffered,
            Some("when-needed") => Chunking::WhenNeeded,
            Some(other) => return Err(format!("chunking={other} is not known")),
        };
        let limits = &mut config.limits;
        for (key, limit) in
            [("auth-line", &mut limits.auth_line), ("chunk", &mut limits.chunk), ("chunks", &mut limits.chunks)]
        {
            if let Some(number) = settings.number(key)? {
                *limit = number;
            }
        }
        Ok((Self::default(), Client::new(Arc::new(config), 1)))
    }

    fn show(&mut self, client: &mut Client, event: <Client as Machine>::Event) -> Shown<Pending<ask::Body>> {
        Shown::Event(match event {
            Event::Ready => "ready".into(),
            Event::TlsRefused(reply) => format!("tls-refused {reply}"),
            Event::Authenticated(Ok(())) => "authenticated".into(),
            Event::Authenticated(Err(why)) => format!("not-authenticated {why}"),
            Event::Recipient { index, reply, .. } => format!("recipient {index} {reply}"),
            Event::Sender { reply, .. } => format!("sender {reply}"),
            Event::BodyRoom { .. } => {
                self.progress(client);
                return Shown::Nothing;
            }
            Event::Answered { verb, reply } => format!("answered {verb} {reply}"),
            Event::BodyWanted { body, .. } => return Shown::Question("body".into(), body),
            Event::Finished { outcomes, .. } => {
                let outcomes: Vec<String> = outcomes.iter().map(outcome).collect();
                format!("finished {}", outcomes.join(" | "))
            }
            Event::Goodbye(reply) => format!("goodbye {reply}"),
            Event::Closed(why) => closed(&why),
            other => panic!("{other:?} has no notation"),
        })
    }

    fn answer(&mut self, client: &mut Client, body: Pending<ask::Body>, answer: &str) -> Result<(), Trouble> {
        if answer == "abandon" {
            client.abandon(body);
            return Ok(());
        }
        self.rest = Some((body, Bytes::from(unescape(answer)?)));
        self.progress(client);
        match self.failed.take() {
            Some(why) => Err(Trouble::Session(format!("failed {why}"))),
            None => Ok(()),
        }
    }

    fn progress(&mut self, client: &mut Client) {
        let Some((body, mut octets)) = self.rest.take() else { return };
        loop {
            if octets.is_empty() {
                self.failed = client.finish(body).err();
                return;
            }
            // Both ways to write.
            let taken =
                if octets.len() % 2 == 0 { client.write(&body, &octets) } else { client.write_shared(&body, &octets) };
            if taken == 0 {
                break;
            }
            let _ = octets.split_to(taken);
        }
        self.rest = Some((body, octets));
    }

    fn act(&mut self, client: &mut Client, what: &str) -> Result<(), Trouble> {
        let words: Vec<&str> = what.split(' ').collect();
        match &words[..] {
            ["quit"] => client.quit(),
            ["start-tls"] => client.start_tls()?,
            ["open", from] => {
                let from = from.parse().map_err(|why| format!("{from}: {why}"))?;
                self.opened = Some(client.open(from, MailParams::default()).map_err(|why| why.to_string())?);
            }
            ["add", to] => {
                let of = self.opened.ok_or("nothing was opened")?;
                let to: ForwardPath = to.parse().map_err(|why| format!("{to}: {why}"))?;
                match client.add(of, Recipient { to, params: RcptParams::default() }) {
                    Ok(_) => {}
                    Err(SendError::Misuse(misuse)) => return Err(misuse.into()),
                    Err(other) => return Err(Trouble::Session(format!("cannot-add {other}"))),
                }
            }
            ["close-envelope"] => client.close_envelope(self.opened.ok_or("nothing was opened")?)?,
            ["cancel"] => client.cancel(self.opened.ok_or("nothing was opened")?)?,
            ["give-up"] => client.give_up(),
            ["noop"] => client.noop()?,
            ["etrn", host] => {
                let host = Domain::parse(host).map_err(|why| why.to_string())?;
                client.turn_queue(EtrnTarget::Host(host))?;
            }
            ["help"] => client.help()?,
            ["verify", who @ ..] => client.verify(Text::new(who.join(" ")).expect("a line"))?,
            ["expand", list @ ..] => client.expand(Text::new(list.join(" ")).expect("a line"))?,
            ["auth", how, user, password] => {
                let password = Secret::new((*password).to_owned());
                match *how {
                    "plain" => client.authenticate(Box::new(Plain::new(user, &password).expect("sendable")))?,
                    "login" => client.authenticate(Box::new(Login::new(user, &password).expect("sendable")))?,
                    other => return Err(format!("no mechanism {other}").into()),
                }
            }
            ["send" | "assemble", from, "to", rest @ ..] => {
                let mut parts = vec![];
                let from: ReversePath = from.parse().map_err(|why| format!("{from}: {why}"))?;
                let mut envelope = Envelope::new(from);
                for word in rest {
                    if let Some(size) = word.strip_prefix("size=") {
                        envelope.params.size = Some(size.parse().map_err(|_| "a size")?);
                    } else if *word == "8bit" {
                        envelope.params.body = Some(BodyType::EightBitMime);
                    } else if *word == "binary" {
                        envelope.params.body = Some(BodyType::BinaryMime);
                    } else if let Some(param) = word.strip_prefix("param=") {
                        let (keyword, value) = param.split_once('=').unwrap_or((param, ""));
                        let value = Some(value).filter(|value| !value.is_empty());
                        envelope.params.other.push(Parameter::new(keyword, value).map_err(|why| why.to_string())?);
                    } else if let Some(by) = word.strip_prefix("by=") {
                        envelope.params.deliver_by = Some(by.parse().map_err(|_| "BY's value")?);
                    } else if let Some(seconds) = word.strip_prefix("hold=") {
                        envelope.params.hold = Some(Hold::For(seconds.parse().map_err(|_| "seconds")?));
                    } else if let Some(priority) = word.strip_prefix("priority=") {
                        envelope.params.priority = Some(priority.parse().map_err(|_| "a priority")?);
                    } else if *word == "require-tls" {
                        envelope.params.require_tls = true;
                    } else if let Some(octets) = word.strip_prefix("octets=") {
                        parts.push(Part::Octets(Bytes::from(unescape(octets)?)));
                    } else if let Some(url) = word.strip_prefix("url=") {
                        parts.push(Part::Url(Url::parse(url).map_err(|why| why.to_string())?));
                    } else if let Some((count, pattern)) = word.split_once('*') {
                        for n in 0..count.parse().map_err(|_| "a count")? {
                            let to = pattern.replace('%', &n.to_string());
                            let to: ForwardPath = to.parse().map_err(|why| format!("{to}: {why}"))?;
                            envelope = envelope.and_to(to);
                        }
                    } else {
                        let to: ForwardPath = word.parse().map_err(|why| format!("{word}: {why}"))?;
                        envelope = envelope.and_to(to);
                    }
                }
                let begun = match words[0] {
                    "assemble" => client.send_parts(envelope, parts),
                    _ => client.send(envelope),
                };
                match begun {
                    Ok(_) => {}
                    Err(SendError::Misuse(misuse)) => return Err(misuse.into()),
                    Err(other) => return Err(Trouble::Session(format!("cannot-send {other}"))),
                }
            }
            _ => return Err(format!("`> {what}` is not known").into()),
        }
        Ok(())
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered(reply) => format!("delivered {reply}"),
        Outcome::Refused { at, reply } => format!("refused at {at:?} {reply}"),
        Outcome::Unknown => "unknown".into(),
        Outcome::NotSent(why) => format!("not sent: {why}"),
    }
}
