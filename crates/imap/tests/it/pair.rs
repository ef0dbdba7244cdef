//! Our client and our server face to face, over a network that a seed has made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::{Closed, Pending, Secret};
use postrider_imap::client::{self, Client, CommandId, Fetched, Gather, ask};
use postrider_imap::server::{self, Server};
use postrider_imap::wire::*;
use postrider_sasl::Plain;
use postrider_testkit::{Applications, Faults, Pair, Rng};

use super::server_memory::{Application, Mailboxes, Shared};

/// What the client does: log in, append messages, read them back, delete the first, wait a little in IDLE, leave.
struct World {
    application: Application,
    start_tls: bool,
    messages: Vec<Bytes>,
    // The client's side.
    login: Option<CommandId>,
    appends: Vec<CommandId>,
    writing: Option<(Pending<ask::Literal>, Bytes)>,
    gather: Gather,
    fetched: Vec<Fetched>,
    idle: Option<CommandId>,
    stored: usize,
    refused: Vec<String>,
    expunged: u32,
    ends: Vec<Closed>,
}

impl World {
    fn after_login(&mut self, client: &mut Client) {
        for message in &self.messages {
            let size = message.len() as u64;
            let flags = [Flag::Flagged].into_iter().collect();
            self.appends.push(client.append(Mailbox::INBOX, flags, None, size).expect("somebody is logged in"));
        }
        let attributes = vec![
            Attribute::Uid,
            Attribute::Flags,
            Attribute::Size,
            Attribute::Envelope,
            Attribute::Body(BodyPeek { section: Section::default(), partial: None, peek: true }),
        ];
        let all = SequenceSet::ALL;
        let fetch = Fetch { uid: true, messages: all, attributes, changed_since: None, vanished: false };
        let change = FlagChange { mode: StoreMode::Add, flags: [Flag::Deleted].into_iter().collect() };
        let first = SequenceSet::one(1);
        let store = Store { uid: true, messages: first, change, silent: true, unchanged_since: None };
        let mailbox = Mailbox::INBOX;
        for command in [
            Command::Select { mailbox, read_only: false, params: SelectParams::default() },
            Command::Fetch(fetch),
            Command::Store(store),
            Command::Expunge(None),
        ] {
            client.command(command).expect("each has its place after the one before");
        }
        self.idle = Some(client.idle().expect("the server has IDLE"));
    }
}

impl Applications<Client, Server> for World {
    fn on_a(&mut self, client: &mut Client, event: client::Event, _: &mut Rng) {
        let event = match self.gather.take(event) {
            Ok(found) => return self.fetched.extend(found),
            Err(event) => event,
        };
        match event {
            client::Event::Ready if self.start_tls && !client.security().is_tls() => {
                client.start_tls().expect("the server offers it");
            }
            client::Event::Ready if self.login.is_none() => {
                let plain = Plain::new("alice", &Secret::new("wonderland".to_owned())).expect("it can be sent");
                self.login = Some(client.authenticate(Box::new(plain)).expect("there is TLS, or none is needed"));
            }
            client::Event::Ready => self.after_login(client),
            client::Event::LiteralWanted { of, literal } => {
                let index = self.appends.iter().position(|id| *id == of).expect("only APPEND has a message");
                self.writing = Some((literal, self.messages[index].clone()));
            }
            client::Event::Completed { of, status } => {
                if status.condition != Condition::Ok {
                    self.refused.push(format!("{status:?}"));
                } else if self.appends.contains(&of) {
                    self.stored += 1;
                } else if Some(of) == self.idle {
                    client.logout();
                }
            }
            client::Event::Idling(idle) => client.done(idle).expect("it has begun"),
            client::Event::Data(Data::Expunge(_)) => self.expunged += 1,
            client::Event::Data(Data::Raw(raw)) => panic!("the server sends what we cannot read: {raw:?}"),
            client::Event::NotSent { why, .. } => self.refused.push(why.to_string()),
            client::Event::Closed(why) => self.ends.push(why),
            _ => {}
        }
    }

    fn on_b(&mut self, server: &mut Server, event: server::Event, _: &mut Rng) {
        if let Some(server::Event::Closed(why)) = self.application.handle(server, event) {
            self.ends.push(why);
        }
        self.application.sync(server);
    }

    fn between(&mut self, client: &mut Client, server: &mut Server, rng: &mut Rng) -> bool {
        self.application.progress(server);
        if let Some((literal, left)) = &mut self.writing {
            let most = left.len().min(rng.between(1, 5000));
            let taken = client.write(literal, &left[..most]);
            let _ = left.split_to(taken);
            return taken > 0 && !left.is_empty();
        }
        false
    }
}

fn run(seed: u64, faults: impl FnOnce(&mut Rng) -> Faults) -> (World, Shared) {
    let mut rng = Rng::new(seed);
    let messages = (0..rng.between(1, 5)).map(|n| {
        let body = "0123456789 abcdef\r\n".repeat(if rng.one_in(4) { rng.below(6000) } else { rng.below(20) });
        Bytes::from(format!("From: A <a@x.example>\r\nSubject: message {n}\r\n\r\n{body}"))
    });
    let messages: Vec<Bytes> = messages.collect();
    let store = Mailboxes::new();
    let start_tls = rng.one_in(2);
    let mut world = World {
        application: Application::new(store.clone()),
        start_tls,
        messages,
        login: None,
        appends: vec![],
        writing: None,
        gather: Gather::new(1 << 20),
        fetched: vec![],
        idle: None,
        stored: 0,
        refused: vec![],
        expunged: 0,
        ends: vec![],
    };
    let mut server = server::Config::default();
    let mut client = client::Config::default();
    server.implicit_tls = !start_tls;
    client.implicit_tls = !start_tls;
    client.limits.inline = 1000;
    let faults = faults(&mut rng);
    let mut pair = Pair::new(seed, faults, Client::new(client, 1), Server::new(Arc::new(server), 2));
    pair.run(&mut world).unwrap_or_else(|failure| panic!("{failure}"));

    assert_eq!(world.ends.len(), 2, "seed {seed}: both report their end");
    for found in &world.fetched {
        let uid = found.uid.expect("the server says it") as usize;
        let sent = &world.messages[uid - 1];
        assert_eq!(found.body(&Section::default()), Some(sent), "seed {seed}: message {uid} is not what was stored");
        assert_eq!(found.size, Some(sent.len() as u64), "seed {seed}");
        let envelope = found.envelope.as_ref().expect("it was asked for");
        assert_eq!(envelope.subject().as_deref(), Some(format!("message {}", uid - 1).as_bytes()), "seed {seed}");
    }
    (world, store)
}

#[test]
fn without_faults_everything_arrives() {
    for seed in 0..150 {
        let delays = |rng: &mut Rng| Faults { delay: Duration::from_millis(rng.below(200) as u64), ..Faults::NONE };
        let (world, store) = run(seed, delays);
        assert!(world.refused.is_empty(), "seed {seed}: {:?}", world.refused);
        assert_eq!(world.stored, world.messages.len(), "seed {seed}");
        assert_eq!(world.fetched.len(), world.messages.len(), "seed {seed}");
        assert_eq!(world.expunged, 1, "seed {seed}");
        assert_eq!(store.borrow().bodies("INBOX"), &world.messages[1..], "seed {seed}");
        assert!(world.ends.contains(&Closed::ByUs), "seed {seed}: {:?}", world.ends);
    }
}

#[test]
fn with_faults_what_was_promised_is_kept_and_everything_ends() {
    let mut incomplete = 0;
    for seed in 1000..1300 {
        let (world, store) = run(seed, |rng| {
            let octets = if rng.one_in(2) { 800 } else { 60_000 };
            Faults::draw(rng, octets)
        });
        // An OK to APPEND is a promise; only the first message may be gone again.
        let kept = store.borrow().bodies("INBOX");
        let gone = usize::from(kept.first() != world.messages.first());
        assert!(kept.len() + gone >= world.stored, "seed {seed}: stored {} but kept {}", world.stored, kept.len());
        incomplete += usize::from(world.fetched.len() < world.messages.len());
    }
    assert!(incomplete > 30, "the faults do happen: {incomplete}");
}
