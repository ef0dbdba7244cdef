//! The client and the server against each other, over a network that a seed has made.
//!
//! Whatever the network does: what is retrieved is what is stored, octet by octet; messages are deleted only if QUIT was
//! said; and if the client was told that QUIT was done, they are.

use bytes::Bytes;
use postrider_core::{Closed, Pending, Secret};
use postrider_pop3::client::{self, Client, CommandId};
use postrider_pop3::server::{self, Server, ask};
use postrider_pop3::{MessageMeta, Refusal, UniqueId};
use postrider_sasl::{Attempt, Denied, Plain};
use postrider_testkit::{Applications, Faults, Pair, Rng};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages that are hard to carry: dots, bare newlines, NULs, long lines, no end of line, nothing at all.
fn message(rng: &mut Rng) -> Bytes {
    let parts: [&[u8]; 12] = [
        b"\r\n",
        b".",
        b"..",
        b"\r\n.\r\n",
        b"\n.\n",
        b"\r",
        b"text ",
        b"\xff\0",
        b"Subject: x\r\n",
        b"\r\n.\r",
        b"\n",
        b"a",
    ];
    let mut octets = vec![];
    for _ in 0..rng.below(60) {
        octets.extend_from_slice(parts[rng.below(parts.len())]);
    }
    if rng.one_in(8) {
        octets.extend(std::iter::repeat_n(b'x', rng.below(80_000)));
    }
    octets.into()
}

/// What the client is to read: with the line end that POP3 adds to a message without one.
fn as_read(message: &[u8]) -> Vec<u8> {
    let mut octets = message.to_vec();
    if !octets.is_empty() && !octets.ends_with(b"\r\n") {
        octets.extend_from_slice(b"\r\n");
    }
    octets
}

#[derive(Default)]
struct World {
    // The server's side.
    stored: Vec<Bytes>,
    deleted: Option<Vec<u32>>,
    fails_commit: bool,
    opening: Option<(Pending<ask::Open>, bool)>,
    sending: Option<(Pending<ask::Retrieve>, Bytes)>,
    committing: Option<(Pending<ask::Commit>, Vec<u32>)>,
    // The client's side.
    stls: bool,
    by_sasl: bool,
    login: Option<CommandId>,
    retrieving: BTreeMap<CommandId, u32>,
    bodies: BTreeMap<u32, Vec<u8>>,
    retrieved: Vec<u32>,
    ids: Vec<String>,
    to_delete: Vec<u32>,
    quit: Option<CommandId>,
    quit_said: Option<Result<(), Refusal>>,
    ends: Vec<Closed>,
}

impl Applications<Server, Client> for World {
    fn on_a(&mut self, _: &mut Server, event: server::Event, _: &mut Rng) {
        match event {
            server::Event::Open { answer, attempt: Attempt::Password { user, password, .. }, .. } => {
                self.opening = Some((answer, user == "alice" && password.matches("wonderland")));
            }
            server::Event::Retrieve { answer, message, .. } => {
                self.sending = Some((answer, self.stored[message as usize - 1].clone()));
            }
            server::Event::Commit { answer, delete } => self.committing = Some((answer, delete)),
            server::Event::Closed(why) => self.ends.push(why),
            other => panic!("not known: {other:?}"),
        }
    }

    fn on_b(&mut self, client: &mut Client, event: client::Event, rng: &mut Rng) {
        match event {
            client::Event::Ready => {
                if self.stls && !client.security().is_tls() {
                    client.start_tls().expect("the server offers it");
                    return;
                }
                let password = Secret::new("wonderland".to_owned());
                let login = if self.by_sasl {
                    client.authenticate(Box::new(Plain::new("alice", &password).expect("it can be sent")))
                } else {
                    client.login("alice", password)
                };
                self.login = Some(login.expect("TLS is in place, or passwords may be sent without"));
            }
            client::Event::Completed { of, result } if Some(of) == self.login => {
                result.expect("the password is right");
                client.unique_ids(None).expect("somebody has logged in");
                for message in 1..=self.stored.len() as u32 {
                    let of = client.retrieve(message).expect("somebody has logged in");
                    self.retrieving.insert(of, message);
                    if rng.one_in(2) {
                        client.delete(message).expect("somebody has logged in");
                        self.to_delete.push(message);
                    }
                }
                self.quit = Some(client.quit().expect("it is said once"));
            }
            client::Event::Completed { of, result } if Some(of) == self.quit => {
                self.quit_said = Some(result.map(|_| ()));
            }
            client::Event::Completed { of, result } => {
                result.expect("everything else is answered yes");
                self.retrieved.extend(self.retrieving.get(&of));
            }
            client::Event::UniqueIds { ids, .. } => {
                self.ids.extend(ids.iter().map(|(_, id)| id.expect("every message has one").to_string()));
            }
            client::Event::Body { of, bytes } => {
                self.bodies.entry(self.retrieving[&of]).or_default().extend_from_slice(&bytes);
            }
            client::Event::Closed(why) => self.ends.push(why),
            other => panic!("nobody asked for {other:?}"),
        }
    }

    fn between(&mut self, server: &mut Server, _: &mut Client, rng: &mut Rng) -> bool {
        if !rng.one_in(3) {
            return self.opening.is_some() || self.sending.is_some() || self.committing.is_some();
        }
        // An answer may be too late: the connection is lost then.
        if let Some((answer, right)) = self.opening.take() {
            let meta = |(n, octets): (usize, &Bytes)| {
                let id = UniqueId::new(&format!("id-{n}")).expect("it is printable");
                MessageMeta::new(as_read(octets).len() as u64, id)
            };
            let maildrop = self.stored.iter().enumerate().map(meta).collect();
            let _ = server.answer(answer, if right { Ok(maildrop) } else { Err(Denied::Credentials.into()) });
        }
        if let Some((question, octets)) = &mut self.sending {
            let n = rng.piece(octets.len());
            let n = server.write_shared(question, &octets.slice(..n));
            let _ = octets.split_to(n);
            if octets.is_empty() {
                let (question, _) = self.sending.take().expect("it was just seen to be there");
                let _ = server.accept(question);
            }
        }
        if let Some((answer, delete)) = self.committing.take() {
            if self.fails_commit {
                let _ = server.refuse(
                    answer,
                    Refusal::temporary("some deleted messages not removed".try_into().expect("it is a line")),
                );
            } else if server.accept(answer).is_ok() {
                self.deleted = Some(delete);
            }
        }
        false
    }
}

fn run(seed: u64, faults: impl FnOnce(&mut Rng) -> Faults) -> World {
    let mut rng = Rng::new(seed);
    let mut world = World {
        stored: (0..rng.below(6)).map(|_| message(&mut rng)).collect(),
        fails_commit: rng.one_in(5),
        stls: rng.one_in(2),
        by_sasl: rng.one_in(2),
        ..World::default()
    };
    let mut server = server::Config::default();
    let mut client = client::Config::default();
    let implicit = !world.stls && rng.one_in(2);
    server.implicit_tls = implicit;
    client.implicit_tls = implicit;
    server.stls = world.stls;
    server.dangerous_plaintext_login = !world.stls && !implicit;
    client.dangerous_plaintext_login = !world.stls && !implicit;
    let faults = faults(&mut rng);
    let mut pair = Pair::new(seed, faults, Server::new(Arc::new(server), 1), Client::new(Arc::new(client), 2));
    pair.run(&mut world).unwrap_or_else(|failure| panic!("{failure}"));

    assert_eq!(world.ends.len(), 2, "seed {seed}: both report their end");
    for message in &world.retrieved {
        let stored = as_read(&world.stored[*message as usize - 1]);
        let read = world.bodies.get(message).map_or(&[][..], Vec::as_slice);
        assert!(read == stored, "seed {seed}: message {message} is not what is stored");
    }
    for (message, read) in &world.bodies {
        let stored = as_read(&world.stored[*message as usize - 1]);
        assert!(stored.starts_with(read), "seed {seed}: message {message} is not even the beginning of what is stored");
    }
    if let Some(deleted) = &world.deleted {
        assert!(world.quit.is_some(), "seed {seed}: deleted without QUIT");
        assert_eq!(deleted, &world.to_delete, "seed {seed}");
    }
    match world.quit_said {
        Some(Ok(())) => assert_eq!(world.deleted.clone().unwrap_or_default(), world.to_delete, "seed {seed}"),
        Some(Err(_)) => assert_eq!(world.deleted, None, "seed {seed}: refused, and yet deleted"),
        None => {}
    }
    world
}

//= 6856-2.1-2
#[test]
fn without_faults_everything_arrives() {
    for seed in 0..300 {
        let world =
            run(seed, |rng| Faults { delay: std::time::Duration::from_millis(rng.below(200) as u64), ..Faults::NONE });
        assert_eq!(world.retrieved.len(), world.stored.len(), "seed {seed}");
        assert_eq!(world.ids.len(), world.stored.len(), "seed {seed}");
        assert!(world.quit_said.is_some(), "seed {seed}");
        assert_eq!(
            world.quit_said.is_some_and(|said| said.is_err()),
            world.fails_commit && !world.to_delete.is_empty()
        );
    }
}

#[test]
fn with_faults_nothing_is_wrong_and_everything_ends() {
    let mut lost = 0;
    for seed in 1000..1500 {
        let world = run(seed, |rng| {
            let octets = if rng.one_in(2) { 400 } else { 50_000 };
            Faults::draw(rng, octets)
        });
        lost += usize::from(world.quit_said.is_none());
    }
    assert!(lost > 50, "the faults do happen: {lost}");
}
