//! SMTP and LMTP.

use super::drive::{Actor, drive};
use super::split;
use crate::Rng;
use postrider_core::{Pending, Secret};
use postrider_sasl::{Identity, MechanismName, Plain};
use postrider_smtp::client::{self, Client};
use postrider_smtp::server::{self, Role, Server};
use postrider_smtp::wire::{BareNewlines, Command, DataReader, Quirks, ReplyReader};
use postrider_smtp::{Envelope, HelloName, Mailbox};
use std::sync::Arc;

/// Each line to each parser, and the whole as a message.
pub fn smtp_wire(data: &[u8]) {
    let mut replies = ReplyReader::new(20, 2000);
    for line in data.split(|&octet| octet == b'\n') {
        for quirks in [Quirks::NONE, Quirks::INTEROP] {
            if let Ok(command) = Command::parse(line, quirks) {
                let again = command.encode();
                assert!(!again.contains(['\r', '\n']), "{again:?} is no line");
                assert!(Command::parse(again.as_bytes(), quirks).is_ok(), "{again:?} is not read again");
            }
        }
        if replies.line(line).is_err() {
            replies = ReplyReader::new(20, 2000);
        }
    }
    let (mut rng, data) = split(data);
    for policy in [BareNewlines::Refuse, BareNewlines::Normalise] {
        let mut reader = DataReader::new(policy, 2000);
        let mut rest = data;
        while !rest.is_empty() {
            let now = &rest[..rng.piece(rest.len())];
            let part = reader.read(now);
            assert!(part.taken <= now.len() && (part.ended || part.taken == now.len()));
            rest = &rest[part.taken..];
            if part.ended {
                break;
            }
        }
    }
}

#[derive(Default)]
struct ServerActor(Vec<server::Event>);

impl ServerActor {
    fn settle(server: &mut Server, event: server::Event, rng: &mut Rng) {
        use server::Event;
        if rng.one_in(4) {
            return server.decline(event);
        }
        // What is stale was answered by time.
        let _ = match event {
            Event::Hello { answer, .. } => server.accept(answer),
            Event::Auth { answer, .. } => server.answer(answer, Ok(Identity::new("user"))),
            Event::Mail { answer, .. } => server.accept(answer),
            Event::Rcpt { answer, .. } => server.accept(answer),
            Event::Data { answer } => server.accept(answer),
            Event::Message { answer, .. } => server.accept(answer),
            Event::Verify { answer, .. } => server.accept(answer),
            other => {
                server.decline(other);
                Ok(())
            }
        };
    }
}

impl Actor<Server> for ServerActor {
    fn on(&mut self, server: &mut Server, event: server::Event, rng: &mut Rng) -> bool {
        if let server::Event::Closed(_) = event {
            return true;
        }
        if rng.one_in(3) {
            self.0.push(event);
        } else {
            Self::settle(server, event, rng);
        }
        false
    }

    fn between(&mut self, server: &mut Server, rng: &mut Rng) {
        if !self.0.is_empty() && rng.one_in(3) {
            let event = self.0.swap_remove(rng.below(self.0.len()));
            Self::settle(server, event, rng);
        }
        if rng.one_in(5000) {
            server.shut_down(postrider_core::Text::literal("going down"));
        }
    }
}

/// A server, in any role, with any client.
pub fn smtp_server(data: &[u8]) {
    drive(data, |rng| {
        let mut config = server::Config::new(name("mx.example"));
        config.role = [Role::Relay, Role::Submission, Role::Lmtp][rng.below(3)];
        config.tls =
            [server::Tls::Off, server::Tls::Offered, server::Tls::Required, server::Tls::Implicit][rng.below(4)];
        config.auth = vec![MechanismName::Plain, MechanismName::Login];
        config.undecided = rng.between(1, 4);
        config.ask_hello = rng.one_in(2);
        config.ask_verify = rng.one_in(2);
        config.dsn = rng.one_in(2);
        config.bare_newlines = [BareNewlines::Refuse, BareNewlines::Normalise][rng.below(2)];
        (Server::new(Arc::new(config), 1), ServerActor::default())
    });
}

/// Sends messages as long as it can.
#[derive(Default)]
struct ClientActor(Option<Pending<client::ask::Body>>);

impl Actor<Client> for ClientActor {
    fn on(&mut self, client: &mut Client, event: client::Event, rng: &mut Rng) -> bool {
        use client::Event;
        match event {
            Event::Ready if rng.one_in(3) => {
                let secret = Secret::new("secret".to_owned());
                let _ = client.authenticate(Box::new(Plain::new("user", &secret).expect("it can be sent")));
            }
            Event::Ready | Event::Finished { .. } | Event::Authenticated(_) => {
                let from = mailbox("a@client.example");
                let mut envelope = Envelope::new(from);
                for _ in 0..rng.between(1, 3) {
                    envelope = envelope.and_to(mailbox("b@mx.example"));
                }
                let _ = client.send(envelope);
            }
            Event::BodyWanted { body, .. } => self.0 = Some(body),
            Event::Closed(_) => return true,
            _ => {}
        }
        false
    }

    fn between(&mut self, client: &mut Client, rng: &mut Rng) {
        if rng.one_in(200) {
            client.quit();
        }
        if rng.one_in(50) {
            let _ = client.start_tls();
        }
        let Some(body) = self.0.take() else { return };
        let parts: [&[u8]; 4] = [b"A: b\r\n", b".\r\n", b"\r\n", b"text\r\n.."];
        let _ = client.write(&body, parts[rng.below(parts.len())]);
        match rng.below(12) {
            0 => drop(client.finish(body)),
            1 if rng.one_in(4) => client.abandon(body),
            _ => self.0 = Some(body),
        }
    }
}

/// A client with any server.
pub fn smtp_client(data: &[u8]) {
    drive(data, |rng| {
        let name = name("client.example");
        let mut config = if rng.one_in(3) { client::Config::lmtp(name) } else { client::Config::new(name) };
        config.tls =
            [client::Tls::Manual, client::Tls::IfOffered, client::Tls::Required, client::Tls::Implicit][rng.below(4)];
        if rng.one_in(2) {
            config = config.dangerous_allow_plaintext_auth();
        }
        (Client::new(Arc::new(config), 2), ClientActor::default())
    });
}

fn name(text: &str) -> HelloName {
    HelloName::parse(text).expect("it is a name")
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("it is an address")
}
