//! SMTP and LMTP: whole sessions.

use super::drive::{Actor, drive};
use super::split;
use crate::{Applications, Faults, Pair, Rng};
use bytes::Bytes;
use postrider_core::{Closed, Direction, Instant, Machine, Pending, Secret, Session, Step, Tap};
use postrider_sasl::{ApopChallenge, Identity, Login, Mechanism, MechanismName, Plain, ScramCredentials, XOAuth2};
use postrider_smtp::client::{self, Chunking, Client, NotSent, Outcome};
use postrider_smtp::server::{self, Role, Server};
use postrider_smtp::wire::{BareNewlines, BodyType, Quirks};
use postrider_smtp::{Accepted, Delivered, Envelope, HelloName, Mailbox, Refusal};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Answers anything, now or later, and sees to it that no message is asked about but after its transaction.
#[derive(Default)]
struct ServerActor {
    /// The server offers CHUNKING, so that a message need not end with a line.
    chunking: bool,
    /// The message may hold any octets.
    binary: bool,
    held: Vec<server::Event>,
    recipients: usize,
    body: Vec<u8>,
    /// What was accepted with 250, in time.
    stored: Vec<Vec<u8>>,
}

impl ServerActor {
    fn settle(&mut self, server: &mut Server, event: server::Event, rng: &mut Rng) {
        use server::Event;
        if rng.one_in(4) {
            return server.decline(event);
        }
        let refusal = || Refusal::permanent(550, (7, 1), postrider_core::Text::literal("No"));
        // What is stale was answered by time.
        let _ = match event {
            Event::Hello { answer, .. } => server.accept(answer),
            Event::Auth { answer, .. } => server.answer(answer, Ok(Identity::new("user"))),
            Event::Challenge { answer } => {
                server.answer(answer, Ok(ApopChallenge::new("<1.2@mx.example>").expect("it is one")))
            }
            Event::Scram { answer, user, hash } => {
                let credentials = ScramCredentials::for_nobody(hash, &user, &Secret::new(vec![1; 16]), 4096);
                let nonce = postrider_sasl::Nonce::new([rng.below(256) as u8; 18]);
                server.answer(answer, Ok(postrider_sasl::ScramAnswer { credentials, nonce }))
            }
            Event::Mail { answer, .. } if rng.one_in(8) => server.refuse(answer, refusal()),
            Event::Mail { answer, .. } => server.accept(answer),
            Event::Rcpt { answer, .. } if rng.one_in(4) => server.refuse(answer, refusal().and_close()),
            Event::Rcpt { answer, .. } => {
                let accepted = server.accept(answer);
                self.recipients += usize::from(accepted.is_ok());
                accepted
            }
            Event::Data { answer } => server.accept(answer),
            Event::Message { answer, .. } => {
                let each = if rng.one_in(3) {
                    Delivered::to_each((0..rng.below(4)).map(|_| Ok(Accepted::default())).collect())
                } else {
                    Delivered::default()
                };
                let taken = server.answer(answer, Ok(each));
                if taken.is_ok() {
                    self.stored.push(std::mem::take(&mut self.body));
                }
                taken
            }
            Event::Verify { answer, .. } => server.accept(answer),
            Event::Expand { answer, .. } => server.accept(answer),
            other => {
                server.decline(other);
                Ok(())
            }
        };
    }
}

impl Actor<Server> for ServerActor {
    fn on(&mut self, server: &mut Server, event: server::Event, rng: &mut Rng) -> bool {
        match event {
            server::Event::Closed(_) => return true,
            server::Event::Body(octets) => {
                assert!(!octets.is_empty() && self.recipients > 0, "a message for nobody");
                self.body.extend_from_slice(&octets);
            }
            server::Event::Reset => {
                self.body.clear();
                self.recipients = 0;
            }
            event => {
                match &event {
                    server::Event::Mail { params, .. } => {
                        self.body.clear();
                        self.recipients = 0;
                        self.binary = params.body == Some(BodyType::BinaryMime);
                        assert!(self.chunking || !self.binary, "what is not offered is refused");
                    }
                    server::Event::Message { size, .. } => {
                        assert_eq!(*size, self.body.len() as u64, "all of the message was reported");
                        let whole = self.body.is_empty() || self.body.ends_with(b"\r\n");
                        assert!(whole || self.chunking, "a message ends with a line");
                        assert!(self.binary || is_of_lines(&self.body), "{}", self.body.escape_ascii());
                    }
                    _ => {}
                }
                if rng.one_in(3) {
                    self.held.push(event);
                } else {
                    self.settle(server, event, rng);
                }
            }
        }
        false
    }

    fn between(&mut self, server: &mut Server, rng: &mut Rng) {
        if !self.held.is_empty() && rng.one_in(3) {
            let event = self.held.swap_remove(rng.below(self.held.len()));
            self.settle(server, event, rng);
        }
        if rng.one_in(5000) {
            server.shut_down(postrider_core::Text::literal("going down"));
        }
    }
}

fn server(rng: &mut Rng) -> server::Config {
    let mut config = server::Config::new(name("mx.example"));
    config.role = [Role::Relay, Role::Submission, Role::Lmtp][rng.below(3)];
    config.tls = [server::Tls::Off, server::Tls::Offered, server::Tls::Required, server::Tls::Implicit][rng.below(4)];
    config.auth = [
        MechanismName::Plain,
        MechanismName::Login,
        MechanismName::CramMd5,
        MechanismName::ScramSha1,
        MechanismName::ScramSha256,
        MechanismName::XOAuth2,
        MechanismName::OAuthBearer,
        MechanismName::External,
        MechanismName::Anonymous,
    ]
    .into();
    config.undecided = rng.between(1, 4);
    config.ask_hello = rng.one_in(2);
    config.ask_verify = rng.one_in(2);
    config.ask_expand = config.ask_verify;
    config.dsn = rng.one_in(2);
    config.require_tls = rng.one_in(2);
    config.quirks = if rng.one_in(2) { Quirks::INTEROP } else { Quirks::NONE };
    config.bare_newlines = [BareNewlines::Refuse, BareNewlines::Normalise][rng.below(2)];
    config.chunking = rng.one_in(2);
    config.binary_mime = config.chunking && rng.one_in(2);
    config.long_lines = rng.one_in(2);
    config.limits.text_line_policy = rng.between(0, 1000);
    config.limits.recipient_domains = rng.one_in(4).then(|| rng.between(1, 3) as u32);
    config.limits.chunks = rng.between(1, 100) as u32;
    config.limits.message = rng.between(1, 3000) as u64;
    config.limits.message_excess = rng.between(0, 3000) as u64;
    config.limits.link.output = rng.between(1, 10_000);
    config.limits.link.input = rng.between(13_000, 70_000);
    if rng.one_in(2) { config.dangerous_allow_plaintext_auth() } else { config }
}

/// A server, in any role, with any client.
pub fn smtp_server(data: &[u8]) {
    drive(data, |rng| {
        let config = server(rng);
        let actor = ServerActor { chunking: config.chunking, ..ServerActor::default() };
        (Server::new(Arc::new(config), 1), actor)
    });
}

/// A message in chunks, cut anywhere: what is good is taken as it is and what is not is refused, and no octet of it is
/// ever a command.
pub fn smtp_chunks(data: &[u8]) {
    let (mut rng, message) = split(data);
    let mut config = server::Config::new(name("mx.example"));
    config.chunking = true;
    config.binary_mime = true;
    config.bare_newlines = [BareNewlines::Refuse, BareNewlines::Normalise][rng.below(2)];
    config.limits.text_line = if rng.one_in(2) { 65_536 } else { rng.below(100) };
    config.limits.link.input = rng.between(14_000, 70_000);
    config.delivered_to = false;
    config.limits.hops = u32::MAX;
    // No time passes here.
    config.limits.error_delay = Duration::ZERO;
    let binary = rng.one_in(3);
    let (policy, longest) = (config.bare_newlines, config.limits.text_line);

    let body = if binary { " BODY=BINARYMIME" } else { "" };
    let mut wire =
        format!("EHLO c.example\r\nMAIL FROM:<a@c.example>{body}\r\nRCPT TO:<x@mx.example>\r\n").into_bytes();
    let (mut rest, mut chunks) = (message, 0);
    loop {
        // Errors end the session in time, and a refused message makes one of each chunk after it.
        let size = if chunks < 15 { rng.below(rest.len() + 1) } else { rest.len() };
        let last = size == rest.len() && (chunks >= 15 || !rng.one_in(4));
        let verb = if rng.one_in(2) { "BDAT" } else { "bdat" };
        wire.extend_from_slice(format!("{verb} {size}{}\r\n", if last { " LAST" } else { "" }).as_bytes());
        wire.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        chunks += 1;
        if last {
            break;
        }
    }
    wire.extend_from_slice(b"NOOP\r\nQUIT\r\n");

    let mut server = Server::new(Arc::new(config), 1);
    let (mut taken, mut body, mut said, mut mails, mut ended) = (vec![], vec![], vec![], 0, false);
    while !ended {
        while let Step::Event(event) = server.poll(Instant::ORIGIN) {
            let answered = match event {
                server::Event::Mail { answer, .. } => {
                    mails += 1;
                    server.accept(answer)
                }
                server::Event::Rcpt { answer, .. } => server.accept(answer),
                server::Event::Data { answer } => server.accept(answer),
                server::Event::Body(octets) => {
                    body.extend_from_slice(&octets);
                    Ok(())
                }
                server::Event::Message { answer, .. } => {
                    taken.push(std::mem::take(&mut body));
                    server.accept(answer)
                }
                server::Event::Reset => {
                    body.clear();
                    Ok(())
                }
                server::Event::Closed(why) => {
                    assert_eq!(why, Closed::ByPeer, "QUIT is the last command");
                    ended = true;
                    Ok(())
                }
                other => panic!("{other:?}"),
            };
            answered.expect("it was just asked");
        }
        said.extend_from_slice(server.output());
        server.sent(server.output().len());
        let room = server.window().min(wire.len());
        assert!(room > 0 || ended, "the server takes no more, and has not ended");
        let n = if room > 0 { rng.piece(room) } else { 0 };
        assert_eq!(server.receive(&wire[..n]), n);
        wire.drain(..n);
    }
    let said = String::from_utf8(said).expect("replies are ASCII");
    assert!(wire.is_empty() && mails == 1, "no octet of a chunk is a command: {said}");
    assert!(said.ends_with("\r\n250 2.0.0 OK\r\n221 2.0.0 Goodbye\r\n"), "{said}");
    let fits = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len() <= longest;
    let good = is_of_lines(message) && message.split(|&octet| octet == b'\n').all(fits);
    if binary || good {
        assert_eq!(taken, [message], "{said}");
    } else if policy == BareNewlines::Refuse {
        assert!(taken.is_empty() && said.contains("\r\n554 5.6.0 "), "{said}");
    } else if let [mended] = &taken[..] {
        assert!(is_of_lines(mended), "{}", mended.escape_ascii());
    }
}

/// Whether CR and LF stand together only, and NUL nowhere.
fn is_of_lines(message: &[u8]) -> bool {
    !message.contains(&0)
        && (0..message.len()).all(|at| match message[at] {
            b'\r' => message.get(at + 1) == Some(&b'\n'),
            b'\n' => at > 0 && message[at - 1] == b'\r',
            _ => true,
        })
}

/// What the wire has seen of a client's message.
#[derive(Clone, Copy, Default)]
struct Seen {
    data: bool,
    chunk: bool,
    last_chunk: bool,
    /// The code of the first reply to a chunk.
    first: Option<u16>,
}

/// Sees it.
struct Watch(Arc<Mutex<Seen>>);

impl Tap for Watch {
    fn line(&mut self, direction: Direction, line: &[u8], _: bool) {
        let mut seen = self.0.lock().expect("nobody panics with it");
        match direction {
            Direction::Out => {
                seen.data |= line == b"DATA";
                seen.chunk |= line.starts_with(b"BDAT ");
                seen.last_chunk |= line.starts_with(b"BDAT ") && line.ends_with(b" LAST");
            }
            Direction::In if seen.chunk && line.get(3) != Some(&b'-') => {
                let code = line.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
                seen.first = seen.first.or(code);
            }
            Direction::In => {}
        }
    }

    fn octets(&mut self, _: Direction, _: u64) {}
}

/// Sends messages as long as it can, and sees to it that each is finished once.
#[derive(Default)]
struct ClientActor {
    body: Option<Pending<client::ask::Body>>,
    sent: usize,
    finished: usize,
    recipients: usize,
    /// Its end was given to the client.
    ended: bool,
    delivered: usize,
    seen: Arc<Mutex<Seen>>,
}

impl ClientActor {
    /// An application for this client.
    fn of(client: &mut Client) -> Self {
        let actor = Self::default();
        client.set_tap(Some(Box::new(Watch(actor.seen.clone()))));
        actor
    }

    /// Nothing is claimed that the wire has not seen.
    fn judge(&self, outcome: &Outcome) {
        let seen = *self.seen.lock().expect("nobody panics with it");
        // From here on the server may have the message.
        let complete = self.ended && seen.data || seen.last_chunk;
        match outcome {
            Outcome::Delivered(reply) => assert!(reply.is_done() && complete, "{outcome:?}"),
            Outcome::Unknown => assert!(complete, "nothing was sent that could be unknown"),
            Outcome::Refused { reply, .. } => assert!(!reply.is_done(), "{outcome:?}"),
            Outcome::NotSent(NotSent::Ended) => assert!(!complete, "its end may have been read"),
            Outcome::NotSent(NotSent::Abandoned | NotSent::BadBody(_)) => {
                assert!(!self.ended && !complete, "{outcome:?} after its end");
            }
            // RFC 5321, 4.3.2: the server has said that it does not know the command, before it took anything.
            Outcome::NotSent(NotSent::ChunksRefused) => {
                assert!(seen.chunk && !seen.data && matches!(seen.first, Some(500..=504)), "{:?}", seen.first);
            }
        }
    }

    fn send(&mut self, client: &mut Client, rng: &mut Rng) {
        let mut envelope = Envelope::new(mailbox("a@client.example"));
        let recipients = rng.between(1, 3);
        for _ in 0..recipients {
            envelope = envelope.and_to(mailbox(["b@mx.example", "\"c d\"@[192.0.2.1]", "é@mx.example"][rng.below(3)]));
        }
        envelope.params.body = [None, Some(BodyType::EightBitMime), Some(BodyType::BinaryMime)][rng.below(3)];
        if rng.one_in(2) {
            envelope = envelope.with_size(rng.below(2000) as u64);
        }
        if client.send(envelope).is_ok() {
            self.sent += 1;
            self.recipients = recipients;
            self.ended = false;
            *self.seen.lock().expect("nobody panics with it") = Seen::default();
        }
    }
}

impl Actor<Client> for ClientActor {
    fn on(&mut self, client: &mut Client, event: client::Event, rng: &mut Rng) -> bool {
        use client::Event;
        match event {
            Event::Ready if rng.one_in(3) => {
                let secret = Secret::new("secret".to_owned());
                let mechanism: Box<dyn Mechanism> = match rng.below(3) {
                    0 => Box::new(Plain::new("user", &secret).expect("it can be sent")),
                    1 => Box::new(Login::new("user", &secret).expect("it can be sent")),
                    _ => Box::new(XOAuth2::new("user", &secret).expect("it can be sent")),
                };
                if client.authenticate(mechanism).is_err() {
                    self.send(client, rng);
                }
            }
            Event::Ready | Event::Authenticated(_) => self.send(client, rng),
            Event::Finished { outcomes, .. } => {
                self.finished += 1;
                assert!(self.finished <= self.sent && outcomes.len() == self.recipients, "{outcomes:?}");
                outcomes.iter().for_each(|outcome| self.judge(outcome));
                self.delivered += usize::from(outcomes.iter().any(Outcome::is_delivered));
                self.send(client, rng);
            }
            Event::BodyWanted { body, .. } => self.body = Some(body),
            Event::Closed(_) => {
                assert_eq!(self.finished, self.sent, "each message is finished before the session is");
                return true;
            }
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
        let Some(body) = self.body.take() else { return };
        let parts: [&[u8]; 6] = [b"A: b\r\n", b".\r\n", b"\r\n", b"text\r\n..", b"\n.", b"\xff\0"];
        let most = if rng.one_in(10) { 6 } else { 4 };
        let part = Bytes::from_static(parts[rng.below(most)]);
        let taken = if rng.one_in(2) { client.write(&body, &part) } else { client.write_shared(&body, &part) };
        assert!(taken <= part.len());
        match rng.below(12) {
            0 => self.ended |= client.finish(body).is_ok(),
            1 if rng.one_in(4) => client.abandon(body),
            _ => self.body = Some(body),
        }
    }
}

fn client(rng: &mut Rng) -> client::Config {
    let name = name("client.example");
    let mut config = if rng.one_in(3) { client::Config::lmtp(name) } else { client::Config::new(name) };
    config.tls =
        [client::Tls::Manual, client::Tls::IfOffered, client::Tls::Required, client::Tls::Implicit][rng.below(4)];
    config.bare_newlines = [BareNewlines::Refuse, BareNewlines::Normalise][rng.below(2)];
    config.chunking = [Chunking::WhenOffered, Chunking::WhenNeeded][rng.below(2)];
    config.limits.chunk = rng.between(1, 200);
    config.limits.chunks = rng.between(1, 5);
    config.limits.link.output = rng.between(1, 10_000);
    config.limits.link.input = rng.between(3000, 70_000);
    if rng.one_in(2) { config.dangerous_allow_plaintext_auth() } else { config }
}

/// A client with any server.
pub fn smtp_client(data: &[u8]) {
    drive(data, |rng| {
        let mut client = Client::new(Arc::new(client(rng)), 2);
        let actor = ClientActor::of(&mut client);
        (client, actor)
    });
}

/// Both against each other, over any network: nothing is claimed that is not so.
pub fn smtp_between(data: &[u8]) {
    #[derive(Default)]
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
            self.1.between(client, rng);
            self.2 += 1;
            if self.2 > 500 {
                client.quit();
                if let Some(body) = self.1.body.take() {
                    client.abandon(body);
                }
            }
            false
        }
    }

    let (mut rng, rest) = split(data);
    let seed = rest.iter().fold(rng.next_u64(), |seed, &octet| seed.rotate_left(5) ^ u64::from(octet));
    let faults = Faults::draw(&mut rng, 2000);
    let (server, client) = (server(&mut rng), client(&mut rng));
    let mut both = Both::default();
    both.0.chunking = server.chunking;
    let mut client = Client::new(Arc::new(client), 2);
    both.1 = ClientActor::of(&mut client);
    let mut pair = Pair::new(seed, faults, Server::new(Arc::new(server), 1), client);
    if let Err(failure) = pair.run(&mut both) {
        panic!("{failure}");
    }
    assert_eq!(both.1.finished, both.1.sent, "each message is finished");
    assert!(both.1.delivered <= both.0.stored.len(), "the client was told of more messages than were taken");
}

fn name(text: &str) -> HelloName {
    HelloName::parse(text).expect("it is a name")
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("it is an address")
}
