//! Client and server face to face over a network made by a seed.

use bytes::Bytes;
use postrider_core::{Closed, Pending, Secret, Text};
use postrider_sasl::{Attempt, Identity, Plain};
use postrider_smtp::client::{self, Outcome, RefusedAt};
use postrider_smtp::server::{self, Tls, ask};
use postrider_smtp::{Client, Delivered, Domain, Envelope, HelloName, Mailbox, Refusal, Server};
use postrider_testkit::{Applications, Faults, Pair, Rng};
use std::sync::Arc;
use std::time::Duration;

/// What a server's application has to decide, later.
enum Open {
    Rcpt(Pending<ask::Rcpt>, String),
    Message(Pending<ask::Message>),
}

/// Both applications of one run.
struct Both {
    message: Bytes,
    lmtp: bool,
    // The client's.
    writing: Option<(Pending<client::ask::Body>, Bytes)>,
    finished: Vec<Vec<Outcome>>,
    client_closed: Option<Closed>,
    // The server's.
    open: Vec<Open>,
    collected: Vec<u8>,
    recipients: Vec<String>,
    stored: Vec<(Vec<u8>, Vec<String>)>,
    server_closed: Option<Closed>,
    was_tls: bool,
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("an address")
}

impl Both {
    fn new(seed: u64, size: usize, lmtp: bool) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let mut message = b"Subject: a test\r\n\r\n".to_vec();
        while message.len() < size {
            let length = rng.below(200);
            if rng.one_in(5) {
                message.push(b'.');
            }
            message.extend((0..length).map(|_| b' ' + rng.below(95) as u8));
            message.extend_from_slice(b"\r\n");
        }
        Self {
            message: message.into(),
            lmtp,
            writing: None,
            finished: vec![],
            client_closed: None,
            open: vec![],
            collected: vec![],
            recipients: vec![],
            stored: vec![],
            server_closed: None,
            was_tls: false,
        }
    }

    fn send(&self, client: &mut Client) {
        let envelope = Envelope::new(mailbox("sender@client.example"))
            .and_to(mailbox("one@mx.example"))
            .and_to(mailbox("nobody@mx.example"))
            .and_to(mailbox("\"the third\"@mx.example"))
            .with_size(self.message.len() as u64);
        client.send(envelope).expect("the session is ready and the server offers all");
    }
}

impl Applications<Client, Server> for Both {
    fn on_a(&mut self, client: &mut Client, event: client::Event, _: &mut Rng) {
        match event {
            client::Event::Ready if self.lmtp => self.send(client),
            client::Event::Ready => {
                assert!(client.security().is_tls());
                let plain = Plain::new("alice", &Secret::new("wonderland".into())).expect("sendable");
                client.authenticate(Box::new(plain)).expect("PLAIN is offered over TLS");
            }
            client::Event::Authenticated(outcome) => {
                outcome.expect("the password is right");
                self.send(client);
            }
            client::Event::BodyWanted { body, .. } => self.writing = Some((body, self.message.clone())),
            client::Event::Finished { outcomes, .. } => {
                self.finished.push(outcomes);
                client.quit();
            }
            client::Event::Recipient { .. } | client::Event::BodyRoom { .. } | client::Event::Goodbye(_) => {}
            client::Event::Closed(why) => self.client_closed = Some(why),
            other => panic!("{other:?}"),
        }
    }

    fn on_b(&mut self, server: &mut Server, event: server::Event, _: &mut Rng) {
        match event {
            server::Event::Auth { answer, attempt } => {
                let Attempt::Password { user, password, .. } = attempt else { panic!("PLAIN shows a password") };
                assert!(user == "alice" && password.matches("wonderland"));
                server.answer(answer, Ok(Identity::new(user))).expect("just asked");
            }
            server::Event::Mail { answer, from, params } => {
                assert_eq!((from.as_str(), params.size), ("sender@client.example", Some(self.message.len() as u64)));
                self.was_tls = server.security().is_tls();
                server.accept(answer).expect("just asked");
            }
            server::Event::Rcpt { answer, to, .. } => self.open.push(Open::Rcpt(answer, to.as_str().to_owned())),
            server::Event::Data { answer } => server.accept(answer).expect("just asked"),
            server::Event::Body(octets) => self.collected.extend_from_slice(&octets),
            server::Event::Message { answer, .. } => self.open.push(Open::Message(answer)),
            server::Event::Reset => {
                self.collected.clear();
                self.recipients.clear();
            }
            server::Event::Closed(why) => self.server_closed = Some(why),
            other => panic!("{other:?}"),
        }
    }

    fn between(&mut self, client: &mut Client, server: &mut Server, rng: &mut Rng) -> bool {
        let mut happened = false;
        if let Some((body, mut rest)) = self.writing.take() {
            let offer = rest.slice(..rest.len().min(rng.between(1, 50_000)));
            let taken = if rng.one_in(2) { client.write(&body, &offer) } else { client.write_shared(&body, &offer) };
            let _ = rest.split_to(taken);
            happened |= taken > 0 || rest.is_empty();
            if rest.is_empty() {
                // A session that ended meanwhile says so; its Finished event says what became of the message.
                let _ = client.finish(body);
            } else {
                self.writing = Some((body, rest));
            }
        }
        if !self.open.is_empty() {
            happened = true;
            if !rng.one_in(3) {
                return happened;
            }
            match self.open.swap_remove(rng.below(self.open.len())) {
                Open::Rcpt(answer, to) => {
                    if to.starts_with("nobody") {
                        let why = Refusal::permanent(550, (1, 1), Text::literal("No such mailbox"));
                        let _ = server.refuse(answer, why);
                    } else if server.accept(answer).is_ok() {
                        self.recipients.push(to);
                    }
                }
                Open::Message(answer) => {
                    if server.answer(answer, Ok(Delivered::default())).is_ok() {
                        let mut recipients = std::mem::take(&mut self.recipients);
                        recipients.sort();
                        self.stored.push((std::mem::take(&mut self.collected), recipients));
                    }
                }
            }
        }
        happened
    }
}

fn name(text: &str) -> HelloName {
    HelloName::try_from(&Domain::parse(text).expect("a domain")).expect("ASCII")
}

fn pair(seed: u64, faults: Faults, lmtp: bool) -> Pair<Client, Server> {
    let mut server = server::Config::submission(name("mx.example"), Tls::Required);
    let mut client = client::Config::new(name("client.example"));
    client.tls = client::Tls::Required;
    if lmtp {
        server = server::Config::lmtp(name("mx.example"));
        client = client::Config::lmtp(name("client.example"));
    }
    server.undecided = 1 + (seed as usize % 4);
    Pair::new(seed, faults, Client::new(Arc::new(client), 1), Server::new(Arc::new(server), 2))
}

fn check(both: &Both, seed: u64) {
    let expected = vec!["\"the third\"@mx.example".to_owned(), "one@mx.example".to_owned()];
    let [outcomes] = &both.finished[..] else {
        panic!("seed {seed}: the message is finished once: {:?}", both.finished)
    };
    assert!(outcomes[0].is_delivered() && outcomes[2].is_delivered(), "seed {seed}: {outcomes:?}");
    assert!(matches!(&outcomes[1], Outcome::Refused { at: RefusedAt::Rcpt, reply } if reply.code().number() == 550));
    let [(message, recipients)] = &both.stored[..] else { panic!("seed {seed}: the message is stored once") };
    assert!(message[..] == both.message[..], "seed {seed}: octet for octet");
    assert_eq!(*recipients, expected, "seed {seed}");
    assert_eq!(both.was_tls, !both.lmtp);
    assert_eq!(both.client_closed, Some(Closed::ByUs));
    assert_eq!(both.server_closed, Some(Closed::ByPeer));
}

#[test]
fn a_mebibyte_over_starttls_and_auth_with_mixed_recipients() {
    let mut both = Both::new(1, 1 << 20, false);
    pair(1, Faults::NONE, false).run(&mut both).unwrap_or_else(|why| panic!("{why}"));
    check(&both, 1);
}

#[test]
fn any_cuts_and_delays_give_the_same() {
    for seed in 0..60 {
        let lmtp = seed % 3 == 0;
        let mut both = Both::new(seed, 3000, lmtp);
        let faults = Faults { delay: Duration::from_millis(300), ..Faults::NONE };
        pair(seed, faults, lmtp).run(&mut both).unwrap_or_else(|why| panic!("{why}"));
        check(&both, seed);
    }
}

#[test]
fn whatever_fails_nothing_is_lost_or_claimed() {
    let mut seen = [0; 4];
    for seed in 0..400 {
        let mut rng = Rng::new(seed ^ 0xfa17);
        let lmtp = seed % 4 == 0;
        let mut both = Both::new(seed, 2000, lmtp);
        let faults = Faults::draw(&mut rng, 3500);
        pair(seed, faults, lmtp).run(&mut both).unwrap_or_else(|why| panic!("{why}"));
        assert!(both.stored.len() <= 1, "seed {seed}");
        assert!(both.client_closed.is_some() && both.server_closed.is_some(), "seed {seed}");
        let stored = !both.stored.is_empty();
        if let Some((message, recipients)) = both.stored.first() {
            assert!(message[..] == both.message[..], "seed {seed}");
            assert_eq!(recipients.len(), 2, "seed {seed}: those that were accepted");
        }
        let Some(outcomes) = both.finished.first() else {
            assert!(!stored, "seed {seed}: what was never sent is not stored");
            seen[0] += 1;
            continue;
        };
        assert_eq!(both.finished.len(), 1, "seed {seed}");
        for (index, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Outcome::Delivered(_) => assert!(stored && index != 1, "seed {seed}: what is claimed is true"),
                Outcome::Unknown => assert!(index != 1, "seed {seed}: the second was refused before"),
                Outcome::Refused { .. } | Outcome::NotSent(_) => {
                    assert!(!stored || index == 1, "seed {seed}: what is stored is not called failed: {outcomes:?}");
                }
            }
        }
        let kind = if outcomes[0].is_delivered() {
            1
        } else if outcomes[0] == Outcome::Unknown {
            2
        } else {
            3
        };
        seen[kind] += 1;
    }
    assert!(seen.iter().all(|&count| count > 0), "each kind of end was met: {seen:?}");
}
