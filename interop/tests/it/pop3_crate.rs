//! The POP3 client of the crate with Dovecot and with our server: everything that each of them offers.

use std::net::TcpStream;
use std::sync::Arc;

use postrider_core::{Closed, Secret, Text};
use postrider_interop::messages::Message;
use postrider_interop::wire::Wire;
use postrider_interop::{Authority, Dovecot, Endpoint, Options, PASSWORD, Postriderd, Security};
use postrider_io::Tls;
use postrider_io::blocking::Driver;
use postrider_io::tls::{client_config, roots};
use postrider_pop3::client::{Client, CommandId, Config, Event, Maildrop, Memory};
use postrider_pop3::dialogue::State;
use postrider_pop3::{LanguageRange, Refusal, ResponseCode, Verb};
use postrider_sasl::{Login, Mechanism, MechanismName, Plain};
use rustls::pki_types::ServerName;

use crate::{BOB, CAROL, ours};

/// A session that is driven by hand.
struct Session {
    driver: Driver<Client, TcpStream>,
    /// What was reported since it was last looked at.
    events: Vec<Event>,
}

impl Session {
    /// Connects, and begins TLS as the endpoint says.
    fn open(at: &Endpoint) -> Self {
        let mut config = Config::default();
        config.implicit_tls = at.security == Security::Tls;
        config.dangerous_plaintext_login = at.security == Security::Clear;
        let stream = TcpStream::connect((at.host.as_str(), at.port)).expect("a connection");
        let tls = match at.security {
            Security::Clear => Tls::None,
            Security::StartTls | Security::Tls => Tls::Client {
                config: client_config(roots(&std::fs::read(&at.ca).expect("a file")).expect("an authority")),
                name: ServerName::try_from(at.name.clone()).expect("a name"),
                verified: true,
            },
        };
        let mut session =
            Self { driver: Driver::new(Client::new(Arc::new(config), 1), stream, tls), events: Vec::new() };
        session.ready();
        if at.security == Security::StartTls {
            let asked = session.client().start_tls().expect("it is offered");
            session.done(asked).expect("TLS is begun");
            session.ready();
        }
        session
    }

    fn client(&mut self) -> &mut Client {
        self.driver.session()
    }

    fn ready(&mut self) {
        match self.driver.next() {
            Some(Event::Ready) => {}
            other => panic!("not ready, but {other:?}"),
        }
    }

    /// Waits until a command is over.
    #[track_caller]
    fn done(&mut self, command: CommandId) -> Result<Text, Refusal> {
        loop {
            match self.driver.next().expect("the session goes on") {
                Event::Completed { of, result } if of == command => return result,
                Event::Closed(why) => panic!("closed: {why}"),
                event => self.events.push(event),
            }
        }
    }

    fn log_in(&mut self) {
        let plain = Plain::new(BOB, &Secret::new(PASSWORD.to_owned())).expect("a password");
        let command = self.client().authenticate(Box::new(plain)).expect("it may");
        self.done(command).expect("the password is right");
    }

    /// The octets that were reported for a command.
    fn body(&mut self, command: CommandId) -> Vec<u8> {
        let mut octets = Vec::new();
        for event in self.events.drain(..) {
            if let Event::Body { of, bytes } = event {
                assert_eq!(of, command);
                octets.extend_from_slice(&bytes);
            }
        }
        octets
    }

    fn quit(mut self) {
        let command = self.client().quit().expect("it may");
        self.done(command).expect("what was deleted is gone");
        assert!(matches!(self.driver.next(), Some(Event::Closed(Closed::ByUs))));
        assert!(self.client().is_closed());
        assert!(self.driver.next().is_none());
    }
}

/// Every command, by what the capabilities say.
fn everything(name: &str, at: &Endpoint, deliver: &dyn Fn(&[Message])) {
    eprintln!("{name}, {:?}", at.security);
    let sent = [
        Message::small(CAROL, BOB, &format!("{name}.{:?}.2k@client.test", at.security)),
        Message::medium(CAROL, BOB, &format!("{name}.{:?}.50k@client.test", at.security)),
        Message::international(CAROL, BOB, &format!("{name}.{:?}.utf8@client.test", at.security)),
    ];
    deliver(&sent);

    // Every way to log in.
    let secret = || Secret::new(PASSWORD.to_owned());
    let offered = Session::open(at).client().capabilities().expect("both know CAPA").clone();
    assert!(offered.top && offered.uidl && offered.user && offered.response_codes && offered.pipelining);
    let mechanisms: [(MechanismName, Box<dyn Mechanism>); 2] = [
        (MechanismName::Plain, Box::new(Plain::new(BOB, &secret()).expect("a password"))),
        (MechanismName::Login, Box::new(Login::new(BOB, &secret()).expect("a password"))),
    ];
    for (mechanism, exchange) in mechanisms {
        assert!(offered.sasl.contains(&mechanism), "{mechanism:?}");
        let mut session = Session::open(at);
        let command = session.client().authenticate(exchange).expect("it may");
        session.done(command).expect("the password is right");
        session.quit();
    }
    let mut session = Session::open(at);
    let wrong = session.client().login(BOB, Secret::new("wrong".to_owned())).expect("it may");
    let refusal = session.done(wrong).expect_err("the password is wrong");
    assert_eq!(refusal.code, Some(ResponseCode::Auth), "{refusal}");
    let right = session.client().login(BOB, secret()).expect("it may again");
    session.done(right).expect("the password is right");
    assert_eq!(session.client().state(), State::Transaction);

    // The figures agree with each other.
    let status = session.client().status().expect("it may");
    session.done(status).expect("STAT is known");
    let Some(Event::Status { messages: 3, size: total, .. }) = session.events.pop() else { panic!("not 3 messages") };
    let (sizes, ids) =
        (session.client().list(None).expect("it may"), session.client().unique_ids(None).expect("it may"));
    session.done(sizes).expect("LIST is known");
    session.done(ids).expect("UIDL is known");
    let mut maildrop = Maildrop::default();
    session.events.drain(..).for_each(|event| maildrop.take(&event).expect("few"));
    assert_eq!(maildrop.messages().map(|message| message.size.expect("it was listed")).sum::<u64>(), total);
    for listed in maildrop.messages() {
        let number = listed.number;
        let size = session.client().list(Some(number)).expect("it may");
        let id = session.client().unique_ids(Some(number)).expect("it may");
        session.done(size).expect("there is such a message");
        session.done(id).expect("there is such a message");
        let mut alone = Maildrop::default();
        session.events.drain(..).for_each(|event| alone.take(&event).expect("one"));
        assert_eq!(alone.messages().next(), Some(listed));
    }

    // All at once, pipelined: as they were sent, as large as listed, and TOP is their beginning.
    let numbers: Vec<u32> = maildrop.messages().map(|message| message.number).collect();
    let asked: Vec<_> = numbers.iter().map(|number| session.client().retrieve(*number).expect("it may")).collect();
    let mut got = Vec::new();
    for (command, listed) in asked.into_iter().zip(maildrop.messages()) {
        session.done(command).expect("there is such a message");
        let octets = session.body(command);
        assert_eq!(octets.len() as u64, listed.size.expect("it was listed"), "{name}: sizes are those sent");
        got.push(octets);
    }
    Message::assert_all(&sent, &got);
    for (number, whole) in numbers.iter().zip(&got) {
        for lines in [0, 1, 2, 1_000_000] {
            let command = session.client().top(*number, lines).expect("it may");
            session.done(command).expect("there is such a message");
            let header = whole.windows(4).position(|four| four == b"\r\n\r\n").expect("a blank line") + 4;
            let mut end = header;
            for _ in 0..lines {
                let Some(at) = whole[end..].iter().position(|b| *b == b'\n') else { break };
                end += at + 1;
            }
            assert!(session.body(command) == whole[..end], "TOP {number} {lines}");
        }
    }

    // What is not there, and what is not there any more.
    for number in [0, 4, u32::MAX] {
        let command = session.client().retrieve(number).expect("it may");
        session.done(command).expect_err("there is no such message");
    }
    let first = session.client().delete(1).expect("it may");
    session.done(first).expect("there is such a message");
    let again = session.client().delete(1).expect("it may");
    session.done(again).expect_err("it is deleted");
    for verb in [Verb::Noop, Verb::Rset] {
        let command = if verb == Verb::Noop { session.client().noop() } else { session.client().reset() };
        let command = command.expect("it may");
        session.done(command).expect("it is known");
    }
    if offered.lang {
        let command = session.client().language(None).expect("it may");
        session.done(command).expect("there are some");
        assert!(session.events.drain(..).any(|event| matches!(event, Event::Language { .. })));
        let english = LanguageRange::parse(b"en").expect("a language");
        let command = session.client().language(Some(english)).expect("it may");
        session.done(command).expect("there is English");
    }
    let command = session.client().capability().expect("it may");
    session.done(command).expect("CAPA is always there");
    session.quit();

    // UTF8 before the login, and what is kept is what is deleted.
    let mut session = Session::open(at);
    if offered.utf8 {
        let command = session.client().utf8().expect("it may");
        session.done(command).expect("it is offered");
    }
    session.log_in();
    let mut plan = Memory::new().plan(&maildrop);
    for number in [1, 3] {
        let command = session.client().retrieve(number).expect("it may");
        session.done(command).expect("RSET left it");
        let whole = session.body(command);
        assert!(whole == got[number as usize - 1]);
        let _line = plan.kept(number).expect("it was wanted");
    }
    for number in plan.deletable().collect::<Vec<_>>() {
        let command = session.client().delete(number).expect("it may");
        session.done(command).expect("it is there");
    }
    session.quit();
    let mut session = Session::open(at);
    session.log_in();
    let command = session.client().unique_ids(None).expect("it may");
    session.done(command).expect("UIDL is known");
    let mut left = Maildrop::default();
    session.events.drain(..).for_each(|event| left.take(&event).expect("one"));
    let second = maildrop.messages().nth(1).expect("there were three");
    assert_eq!(left.messages().map(|message| &message.id).collect::<Vec<_>>(), [&second.id], "ids are stable");
    let command = session.client().delete(1).expect("it may");
    session.done(command).expect("it is there");
    session.quit();
}

fn deliver(lmtp: std::net::SocketAddr, messages: &[Message]) {
    let mut wire = Wire::connect(lmtp).expect("a connection");
    wire.smtp_reply().expect("a greeting");
    wire.smtp("LHLO client.test").expect("an answer");
    for message in messages {
        let (code, text) = wire.smtp_message(CAROL, BOB, message).expect("an answer");
        assert_eq!(code, 250, "{text}");
    }
}

const WAYS: [Security; 3] = [Security::Clear, Security::StartTls, Security::Tls];

#[test]
fn everything_that_dovecot_offers() {
    let dovecot = Dovecot::start(&Authority::new(), &[BOB]);
    for security in WAYS {
        everything("dovecot", &dovecot.pop3(BOB, security), &|messages| deliver(dovecot.lmtp(), messages));
    }
}

#[test]
fn everything_that_our_server_offers() {
    let server = Postriderd::start(&Authority::new(), &Options { plaintext_auth: true, ..ours() });
    for security in WAYS {
        everything("ours", &server.pop3(BOB, security), &|messages| deliver(server.at("lmtp"), messages));
    }
}
