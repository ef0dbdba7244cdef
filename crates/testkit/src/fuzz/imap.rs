//! IMAP.

use super::drive::{Actor, drive};
use crate::Rng;
use bytes::Bytes;
use postrider_core::{Pending, Secret};
use postrider_imap::client::{self, Client};
use postrider_imap::server::{self, AppendedAt, Change, FetchPart, LiteralOf, Selected, Server, Stored, ask};
use postrider_imap::wire::{
    Attribute, Dialect, FetchItem, Flag, Flags, Mailbox, MailboxStatus, Section, UidSet, parse_command, parse_response,
};
use postrider_sasl::{Identity, Plain};
use std::sync::Arc;

/// A command to its parser, in both dialects.
pub fn imap_command(data: &[u8]) {
    let unit = Bytes::copy_from_slice(data);
    for dialect in [Dialect::REV1, Dialect::UTF8] {
        let _ = parse_command(&unit, dialect);
    }
}

/// A response to its parser, in both dialects.
pub fn imap_response(data: &[u8]) {
    let unit = Bytes::copy_from_slice(data);
    for dialect in [Dialect::REV1, Dialect::UTF8] {
        let _ = parse_response(&unit, dialect);
    }
}

/// A mailbox of fifty messages, whose answers are right in form and drawn by lot.
#[derive(Default)]
struct ServerActor {
    held: Vec<server::Event>,
    /// A literal that is being sent, and how much of it is left.
    fetching: Option<(Pending<ask::Fetch>, u64)>,
}

impl ServerActor {
    fn settle(&mut self, server: &mut Server, event: server::Event, rng: &mut Rng) {
        use server::Event;
        if rng.one_in(5) {
            return server.decline(event);
        }
        let uids = |rng: &mut Rng| {
            let mut set = UidSet::default();
            (1..=50).filter(|_| rng.one_in(3)).for_each(|uid| set.push(uid));
            set
        };
        let _ = match event {
            Event::Auth { answer, .. } => server.answer(answer, Ok(Identity::new("user"))),
            Event::Select { answer, .. } => server.answer(answer, Ok(Selected::new(1, 51, uids(rng).iter().collect()))),
            Event::List { answer, .. } => server.accept(answer),
            Event::Status { answer, mailbox, .. } => {
                let mut status = MailboxStatus::new(mailbox);
                status.messages = Some(50);
                status.uid_next = Some(51);
                server.answer(answer, Ok(status))
            }
            Event::Manage { answer, .. } => server.accept(answer),
            Event::Append { answer, .. } => server.accept(answer),
            Event::Appended { answer } => server.answer(answer, Ok(Some(AppendedAt { uid_validity: 1, uid: 51 }))),
            Event::Fetch { answer, messages, items, .. } => {
                self.fetch(server, answer, &messages, &items, rng);
                Ok(())
            }
            Event::Store { answer, messages, .. } => {
                for uid in messages.iter().take(60) {
                    let stored = Stored { uid, flags: [Flag::Seen].into_iter().collect(), modseq: None };
                    let _ = server.respond(&answer, stored);
                }
                server.accept(answer)
            }
            Event::Search { answer, .. } => server.answer(answer, Ok(server::Found { uids: uids(rng), modseq: None })),
            Event::Copy { answer, .. } => server.accept(answer),
            Event::Expunge { answer, .. } => server.answer(answer, Ok(server::Expunged { uids: uids(rng) })),
            other => {
                server.decline(other);
                Ok(())
            }
        };
    }

    /// Gives the parts of the answer; what is misplaced is refused, which is as good.
    fn fetch(
        &mut self,
        server: &mut Server,
        answer: Pending<ask::Fetch>,
        messages: &UidSet,
        items: &[Attribute],
        rng: &mut Rng,
    ) {
        for uid in messages.iter().take(60) {
            let _ = server.respond(&answer, FetchPart::Message(uid));
            for item in items {
                let part = match item {
                    Attribute::Flags => FetchPart::Item(FetchItem::Flags(Flags::default())),
                    Attribute::Size => FetchPart::Item(FetchItem::Size(10)),
                    Attribute::Body(peek) if self.fetching.is_none() && rng.one_in(3) => {
                        let of = LiteralOf::Body { section: peek.section.clone(), origin: None };
                        if server.respond(&answer, FetchPart::Literal { of, size: 10 }).is_ok() {
                            self.fetching = Some((answer, 10));
                            return;
                        }
                        continue;
                    }
                    Attribute::Body(peek) => FetchPart::Item(FetchItem::Body {
                        section: peek.section.clone(),
                        origin: None,
                        data: Some(Bytes::from_static(b"(text)\r\n")),
                    }),
                    _ => FetchPart::Item(FetchItem::Body { section: Section::default(), origin: None, data: None }),
                };
                let _ = server.respond(&answer, part);
            }
            if rng.one_in(4) {
                let _ = server.respond(&answer, FetchPart::End);
            }
        }
        let _ = server.accept(answer);
    }
}

impl Actor<Server> for ServerActor {
    fn on(&mut self, server: &mut Server, event: server::Event, rng: &mut Rng) -> bool {
        match event {
            server::Event::Closed(_) => return true,
            server::Event::Select { .. } if rng.one_in(3) => self.settle(server, event, rng),
            event if rng.one_in(4) => self.held.push(event),
            event => self.settle(server, event, rng),
        }
        false
    }

    fn between(&mut self, server: &mut Server, rng: &mut Rng) {
        if !self.held.is_empty() && rng.one_in(3) {
            let event = self.held.swap_remove(rng.below(self.held.len()));
            self.settle(server, event, rng);
        }
        if let Some((question, left)) = &mut self.fetching {
            *left -= server.write(question, &b"0123456789"[..*left as usize]) as u64;
            if *left == 0 || rng.one_in(10) {
                let (question, _) = self.fetching.take().expect("it was just seen to be there");
                let _ = server.accept(question);
            }
        }
        if rng.one_in(20) {
            let mut set = UidSet::default();
            set.push(rng.between(1, 60) as u32);
            server.notify(match rng.below(3) {
                0 => Change::Added(set),
                1 => Change::Expunged(set),
                _ => Change::Flags { uid: rng.between(1, 60) as u32, flags: Flags::default(), modseq: None },
            });
        }
        if rng.one_in(5000) {
            server.shut_down(postrider_core::Text::literal("going down"));
        }
    }
}

/// A server with any client.
pub fn imap_server(data: &[u8]) {
    drive(data, |rng| {
        let mut config = server::Config::default();
        config.implicit_tls = rng.one_in(4);
        if !rng.one_in(4) {
            config.dangerous_allow_plaintext_auth();
        }
        if rng.one_in(2) {
            config.capabilities = server::Config::possible();
        }
        (Server::new(Arc::new(config), 1), ServerActor::default())
    });
}

/// Gives commands as long as it can.
#[derive(Default)]
struct ClientActor {
    literal: Option<Pending<client::ask::Literal>>,
    idle: Option<client::CommandId>,
}

impl ClientActor {
    /// What has no place now is refused, which is as good.
    fn ask(&mut self, client: &mut Client, rng: &mut Rng) {
        let commands: [&'static [u8]; 16] = [
            b"a NOOP",
            b"a CAPABILITY",
            b"a LOGIN user secret",
            b"a SELECT INBOX",
            b"a EXAMINE box",
            b"a LIST \"\" *",
            b"a STATUS INBOX (MESSAGES UIDNEXT)",
            b"a FETCH 1:* (FLAGS UID)",
            b"a UID FETCH 1:* (BODY.PEEK[] ENVELOPE BODYSTRUCTURE)",
            b"a STORE 1 +FLAGS (\\Seen)",
            b"a SEARCH ALL",
            b"a UID EXPUNGE 1:3",
            b"a COPY 1 box",
            b"a UNSELECT",
            b"a NAMESPACE",
            b"a CREATE box",
        ];
        match rng.below(20) {
            0 => self.idle = client.idle().ok().or(self.idle),
            1 => drop(self.idle.take().map(|idle| client.done(idle))),
            2 => drop(client.append(Mailbox::new("box").expect("it is a name"), Flags::default(), None, 20)),
            3 => drop(client.start_tls()),
            4 => {
                let secret = Secret::new("secret".to_owned());
                drop(client.authenticate(Box::new(Plain::new("user", &secret).expect("it can be sent"))));
            }
            5 if rng.one_in(10) => client.logout(),
            _ => {
                let line = Bytes::from_static(commands[rng.below(commands.len())]);
                let command = parse_command(&line, Dialect::REV1).expect("it is a command").command;
                drop(client.command(command));
            }
        }
    }
}

impl Actor<Client> for ClientActor {
    fn on(&mut self, client: &mut Client, event: client::Event, rng: &mut Rng) -> bool {
        match event {
            client::Event::Closed(_) => return true,
            client::Event::LiteralWanted { literal, .. } => self.literal = Some(literal),
            client::Event::Ready | client::Event::Completed { .. } => self.ask(client, rng),
            _ => {}
        }
        false
    }

    fn between(&mut self, client: &mut Client, rng: &mut Rng) {
        if rng.one_in(8) {
            self.ask(client, rng);
        }
        if let Some(literal) = self.literal.take() {
            let _ = client.write(&literal, b"ab\r\n");
            if rng.one_in(40) {
                client.abandon(literal);
            } else {
                self.literal = Some(literal);
            }
        }
    }
}

/// A client with any server.
pub fn imap_client(data: &[u8]) {
    drive(data, |rng| {
        let mut config = if rng.one_in(4) { client::Config::implicit_tls() } else { client::Config::default() };
        if !rng.one_in(4) {
            config = config.dangerous_plaintext_login().dangerous_plaintext_preauth();
        }
        (Client::new(config, 2), ClientActor::default())
    });
}
