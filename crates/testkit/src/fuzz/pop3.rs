//! POP3, and the dots it shares with SMTP.

use super::drive::{Actor, drive};
use super::split;
use crate::{Applications, Faults, Pair, Rng};
use bytes::Bytes;
use postrider_core::{LineRule, Pending, Secret, Stuffer, Unstuffer};
use postrider_pop3::client::{self, Client};
use postrider_pop3::server::{self, Server, ask};
use postrider_pop3::wire::{
    Capabilities, Command, StatusLine, drop_listing, language_listing, scan_listing, unique_id_listing,
};
use postrider_pop3::{LanguageRange, MessageMeta, PopUrl, UniqueId};
use postrider_sasl::{Apop, ApopChallenge, Login};
use std::sync::Arc;

/// Stuffing and unstuffing with any cuts: what goes in comes out, and the end is found where it was put.
pub fn dots(data: &[u8]) {
    let (mut rng, data) = split(data);
    for rule in [LineRule::CrLf, LineRule::Lf] {
        let mut stuffer = Stuffer::new(rule);
        let (mut wire, mut rest) = (vec![], data);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rng.piece(rest.len()));
            stuffer.stuff(now, |part| wire.extend_from_slice(part));
            rest = later;
        }
        let mut expected = data.to_vec();
        if stuffer.is_within_line() {
            wire.extend_from_slice(b"\r\n");
            expected.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\nQUIT");
        let end = wire.len() - 4;
        let mut unstuffer = Unstuffer::new(rule);
        let (mut back, mut held, mut read, mut rest) = (vec![], vec![], 0, &wire[..]);
        loop {
            let (now, later) = rest.split_at(rng.piece(rest.len()));
            held.extend_from_slice(now);
            rest = later;
            let found = unstuffer.unstuff(&mut held);
            back.extend_from_slice(&held[..found.data]);
            held.drain(..found.read);
            read += found.read;
            if found.ended {
                break;
            }
            assert!(!rest.is_empty(), "the end was not found");
        }
        assert_eq!(read, end, "the end was found elsewhere");
        assert_eq!(back, expected);
        // And what is not stuffed: no panic, and no more comes out than goes in.
        let mut wire = data.to_vec();
        let found = Unstuffer::new(rule).unstuff(&mut wire);
        assert!(found.data <= found.read && found.read <= wire.len());
    }
}

/// Each line to each parser: what is read is written so that it is read the same, and shows no secret.
pub fn pop3_wire(data: &[u8]) {
    let mut offered = Capabilities::default();
    for line in data.split(|&octet| octet == b'\n') {
        let command = Command::parse(line);
        if let Some(from) = Command::secret_from(line) {
            assert!(from <= line.len());
        } else {
            let secret = matches!(command, Ok(Command::Pass(_) | Command::Auth(_, Some(_)) | Command::Apop { .. }));
            assert!(!secret, "a secret would be shown: {}", line.escape_ascii());
        }
        if let Ok(status) = StatusLine::parse(line) {
            let text = match &status {
                StatusLine::Ok(text) => text.to_string(),
                StatusLine::Err(why) => why.to_string(),
                StatusLine::Challenge(_) => String::new(),
            };
            assert!(!text.contains(char::is_control), "{text:?}");
        }
        let _ = drop_listing(line);
        if let Ok((message, size)) = scan_listing(line) {
            assert_eq!(scan_listing(format!("{message} {size}").as_bytes()), Ok((message, size)));
        }
        if let Ok((message, Some(id))) = unique_id_listing(line) {
            assert_eq!(unique_id_listing(format!("{message} {id}").as_bytes()), Ok((message, Some(id))));
        }
        if let Ok((tag, name)) = language_listing(line) {
            let again = language_listing(format!("{tag} {name}").as_bytes()).expect("it is written as it was read");
            assert_eq!(again.0.as_str(), tag.as_str());
        }
        if let Some(range) = LanguageRange::parse(line) {
            assert_eq!(range.as_str().as_bytes(), line);
            assert!(range.matches(range.as_str()) && LanguageRange::any().matches(range.as_str()));
        }
        if let Some(challenge) = ApopChallenge::in_greeting(line) {
            assert_eq!(ApopChallenge::new(challenge.as_str()).as_ref(), Ok(&challenge));
            let password = Secret::new("tanstaaf".to_owned());
            let digest = challenge.digest(&password);
            let apop = Apop::new("mrose", challenge, digest.reveal().as_bytes()).expect("it is a digest");
            assert!(apop.matches(&password) && !apop.matches(&Secret::new("tanstaaF".to_owned())));
        }
        if let Ok(text) = std::str::from_utf8(line) {
            if let Ok(url) = text.parse::<PopUrl>() {
                let again = url.to_string();
                assert_eq!(again.parse::<PopUrl>().as_ref(), Ok(&url), "{again:?}");
                assert!(!url.host().contains(char::is_control) && url.port() > 0);
            }
            if let Ok(id) = UniqueId::new(text) {
                assert_eq!(id.as_str(), text);
            }
        }
        offered.learn(line);
    }
    let mut again = Capabilities::default();
    offered.lines(|parts| {
        let line = parts.concat();
        assert!(!line.contains(['\r', '\n']), "a capability would break its line");
        again.learn(line.as_bytes());
    });
    let mut twice = Capabilities::default();
    again.lines(|parts| twice.learn(parts.concat().as_bytes()));
    assert_eq!(again, twice, "what is offered is read as it is written");
}

#[derive(Default)]
struct ServerActor {
    held: Vec<server::Event>,
    sending: Option<(Pending<ask::Retrieve>, Bytes)>,
}

impl ServerActor {
    fn settle(&mut self, server: &mut Server, event: server::Event, rng: &mut Rng) {
        match event {
            server::Event::Open { answer, .. } if !rng.one_in(4) => {
                let mut meta = |n| {
                    let id = UniqueId::new(&format!("id{n}")).expect("it is printable");
                    let mut meta = MessageMeta::new(rng.below(1000) as u64, id);
                    meta.utf8 = rng.one_in(8);
                    meta
                };
                let maildrop = (0..5).map(&mut meta).collect();
                let _ = server.answer(answer, Ok(maildrop));
            }
            server::Event::Retrieve { answer, .. } if !rng.one_in(4) => {
                let message: &[u8] =
                    [&b".\r\n..\r\na\r\n"[..], b"", b"A: b\r\n\r\n.c\nd\r.\r\n", &[b'x'; 9000]][rng.below(4)];
                self.sending = Some((answer, Bytes::copy_from_slice(message)));
            }
            server::Event::Commit { answer, delete } if !rng.one_in(4) => {
                assert!(delete.iter().all(|n| (1..=5).contains(n)) && delete.is_sorted(), "{delete:?}");
                let _ = server.accept(answer);
            }
            other => server.decline(other),
        }
    }
}

impl Actor<Server> for ServerActor {
    fn on(&mut self, server: &mut Server, event: server::Event, rng: &mut Rng) -> bool {
        if let server::Event::Closed(_) = event {
            return true;
        }
        if rng.one_in(3) {
            self.held.push(event);
        } else {
            self.settle(server, event, rng);
        }
        false
    }

    fn between(&mut self, server: &mut Server, rng: &mut Rng) {
        if !self.held.is_empty() && rng.one_in(4) {
            let event = self.held.swap_remove(rng.below(self.held.len()));
            self.settle(server, event, rng);
        }
        if let Some((question, octets)) = &mut self.sending {
            let n = rng.piece(octets.len());
            let n = if rng.one_in(2) {
                server.write(question, &octets[..n])
            } else {
                server.write_shared(question, &octets.slice(..n))
            };
            let _ = octets.split_to(n);
            if octets.is_empty() {
                let (question, _) = self.sending.take().expect("it was just seen to be there");
                let _ = server.accept(question);
            }
        }
        if rng.one_in(5000) {
            server.shut_down(postrider_core::Text::literal("going down"));
        }
    }
}

fn server(rng: &mut Rng) -> Server {
    let mut config = server::Config::default();
    config.stls = rng.one_in(2);
    config.implicit_tls = rng.one_in(4);
    config.dangerous_plaintext_login = !rng.one_in(4);
    config.utf8 = rng.one_in(2);
    config.lang = rng.one_in(2);
    config.last = rng.one_in(2);
    config.limits.link.output = rng.between(1, 10_000);
    config.limits.link.input = rng.between(20_000, 70_000);
    Server::new(Arc::new(config), 1)
}

/// A server with any client.
pub fn pop3_server(data: &[u8]) {
    drive(data, |rng| (server(rng), ServerActor::default()));
}

/// Asks for something, anything.
struct ClientActor;

impl ClientActor {
    /// What has no place now is refused, which is as good.
    fn ask(client: &mut Client, rng: &mut Rng) {
        let message = rng.below(4) as u32;
        let password = || Secret::new("secret".to_owned());
        let _ = match rng.below(16) {
            0 => client.login("user", password()),
            1 => client.authenticate(Box::new(Login::new("user", &password()).expect("it can be sent"))),
            2 => client.start_tls(),
            3 => client.utf8(),
            4 => client.capability(),
            5 => client.status(),
            6 => client.list(None),
            7 => client.list(Some(message)),
            8 => client.unique_ids(None),
            9 => client.unique_ids(Some(message)),
            10 => client.retrieve(message),
            11 => client.top(message, 3),
            12 => client.delete(message),
            13 => client.language(None),
            14 => client.language(Some(LanguageRange::any())),
            _ if rng.one_in(20) => client.quit(),
            _ => client.noop(),
        };
    }
}

impl Actor<Client> for ClientActor {
    fn on(&mut self, client: &mut Client, event: client::Event, rng: &mut Rng) -> bool {
        match event {
            client::Event::Ready => {
                let _ = client.login("user", Secret::new("secret".to_owned()));
                false
            }
            client::Event::Closed(_) => true,
            _ => {
                Self::ask(client, rng);
                false
            }
        }
    }

    fn between(&mut self, client: &mut Client, rng: &mut Rng) {
        if rng.one_in(8) {
            Self::ask(client, rng);
        }
    }
}

fn client(rng: &mut Rng) -> Client {
    let mut config = client::Config::default();
    config.implicit_tls = rng.one_in(4);
    config.dangerous_plaintext_login = !rng.one_in(4);
    config.limits.link.input = rng.between(9000, 70_000);
    Client::new(Arc::new(config), 2)
}

/// A client with any server.
pub fn pop3_client(data: &[u8]) {
    drive(data, |rng| (client(rng), ClientActor));
}

/// Both against each other, over any network.
pub fn pop3_between(data: &[u8]) {
    struct Both(ServerActor, ClientActor, usize);

    impl Applications<Server, Client> for Both {
        fn on_a(&mut self, server: &mut Server, event: server::Event, rng: &mut Rng) {
            self.0.on(server, event, rng);
        }
        fn on_b(&mut self, client: &mut Client, event: client::Event, rng: &mut Rng) {
            self.1.on(client, event, rng);
        }
        fn between(&mut self, server: &mut Server, client: &mut Client, rng: &mut Rng) -> bool {
            self.0.between(server, rng);
            self.2 += 1;
            if self.2 > 500 {
                let _ = client.quit();
            }
            false
        }
    }

    let (mut rng, rest) = split(data);
    let seed = rest.iter().fold(rng.next_u64(), |seed, &octet| seed.rotate_left(5) ^ u64::from(octet));
    let faults = Faults::draw(&mut rng, 2000);
    let (server, client) = (server(&mut rng), client(&mut rng));
    let mut both = Both(ServerActor::default(), ClientActor, 0);
    if let Err(failure) = Pair::new(seed, faults, server, client).run(&mut both) {
        panic!("{failure}");
    }
}
