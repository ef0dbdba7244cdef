//! An application that takes its time: what the client has sent by then is read as what it is, not as what it would have
//! been before the answer.

use crate::converse::{Heard, both};
use postrider_core::{Instant, Machine, Session, Step};
use postrider_sasl::{Identity, MechanismName};
use postrider_smtp::Server;
use postrider_smtp::server::{Config, Event};
use std::collections::VecDeque;
use std::sync::Arc;

type Answer = Box<dyn FnOnce(&mut Server)>;

fn config() -> Config {
    let mut config = Config::new("mx.example".parse().expect("a name")).dangerous_allow_plaintext_auth();
    config.auth = vec![MechanismName::Plain, MechanismName::Login];
    config.chunking = true;
    config
}

/// What comes of `input`, given in two pieces, if the application says yes only when the session has nothing else to do
/// and the client has nothing more to send.
fn late(config: &Config, input: &[u8], cut: usize) -> Heard {
    let mut server = Server::new(Arc::new(config.clone()), 1);
    let mut heard = Heard::default();
    let (mut open, mut message, mut said) = (VecDeque::<Answer>::new(), vec![], vec![]);
    let mut pieces = VecDeque::from([&input[..cut], &input[cut..]]);
    loop {
        while let Step::Event(event) = server.poll(Instant::ORIGIN) {
            match event {
                Event::Mail { answer, from, .. } => {
                    heard.senders.push(from.as_str().to_owned());
                    open.push_back(Box::new(|server| server.accept(answer).expect("it waits")));
                }
                Event::Rcpt { answer, .. } => {
                    open.push_back(Box::new(|server| server.accept(answer).expect("it waits")));
                }
                Event::Data { answer } => {
                    open.push_back(Box::new(|server| server.accept(answer).expect("it waits")));
                }
                Event::Auth { answer, .. } => open.push_back(Box::new(|server| {
                    server.answer(answer, Ok(Identity::new("a"))).expect("it waits");
                })),
                Event::Body(octets) => message.extend_from_slice(&octets),
                Event::Message { answer, .. } => {
                    heard.taken.push(std::mem::take(&mut message));
                    open.push_back(Box::new(|server| server.accept(answer).expect("it waits")));
                }
                Event::Reset => heard.resets += 1,
                Event::Closed(why) => heard.closed = Some(why),
                other => panic!("{other:?}"),
            }
        }
        said.extend_from_slice(server.output());
        server.sent(server.output().len());
        if let Some(piece) = pieces.pop_front() {
            assert_eq!(server.receive(piece), piece.len());
        } else if let Some(answer) = open.pop_front() {
            answer(&mut server);
        } else {
            break;
        }
    }
    let said = String::from_utf8(said).expect("ASCII");
    heard.said = said.split_once("\r\n").expect("a greeting").1.to_owned();
    heard
}

const ENVELOPE: &[u8] =
    b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<x@mx.example>\r\nRCPT TO:<y@mx.example>\r\n";

/// Whatever the cut, what an application that takes its time hears is what one that answers at once does.
fn is_the_same_as_at_once(config: &Config, input: &[u8]) -> Heard {
    let heard = both(config, input);
    for cut in 0..=input.len() {
        let other = late(config, input, cut);
        assert_eq!(other.said, heard.said, "cut at {cut}");
        assert_eq!((&other.taken, &other.senders), (&heard.taken, &heard.senders), "cut at {cut}");
    }
    heard
}

//= 2920-3.2-8
#[test]
fn case_13_the_first_line_of_a_message_is_no_command_when_data_is_decided_late() {
    for undecided in [1, 4] {
        let mut config = config();
        config.undecided = undecided;
        let evil = b"MAIL FROM:<evil@c.example>\r\nRCPT TO:<z@mx.example>\r\nrest\r\n";
        let heard = is_the_same_as_at_once(&config, &[ENVELOPE, b"DATA\r\n", evil, b".\r\nQUIT\r\n"].concat());
        assert_eq!(heard.codes(), [250, 250, 250, 250, 354, 250, 221]);
        assert_eq!((heard.taken, heard.senders), (vec![evil.to_vec()], vec!["a@c.example".to_owned()]));
    }
}

#[test]
fn an_empty_message_ends_when_data_is_decided_late() {
    let heard = is_the_same_as_at_once(&config(), &[ENVELOPE, b"DATA\r\n.\r\nQUIT\r\n"].concat());
    assert_eq!(heard.codes(), [250, 250, 250, 250, 354, 250, 221]);
    assert_eq!(heard.taken, [b""]);
}

#[test]
fn chunks_and_logins_are_read_as_such_when_they_are_decided_late() {
    let chunks = b"BDAT 6\r\nRSET\r\nBDAT 6\r\nQUIT\r\nBDAT 0 LAST\r\nNOOP\r\nQUIT\r\n";
    let heard = is_the_same_as_at_once(&config(), &[ENVELOPE, chunks].concat());
    assert_eq!(heard.codes(), [250, 250, 250, 250, 250, 250, 250, 250, 221]);
    assert_eq!(heard.taken, [b"RSET\r\nQUIT\r\n"]);
    for login in [&b"AUTH LOGIN\r\nTk9PUA==\r\nUVVJVA==\r\n"[..], b"AUTH PLAIN\r\nAFFVSVQAUVVJVA==\r\n"] {
        let input = [b"EHLO c.example\r\n", login, b"NOOP\r\n", &ENVELOPE[16..], b"RSET\r\nQUIT\r\n"].concat();
        let heard = is_the_same_as_at_once(&config(), &input);
        assert!(heard.said.contains("235 2.7.0") && heard.said.ends_with("221 2.0.0 Goodbye\r\n"), "{}", heard.said);
    }
}
