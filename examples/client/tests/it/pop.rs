//! `pop` against our own POP3 server session.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use postrider_io::Tls;
use postrider_io::blocking::Driver;
use postrider_pop3::server::{Config, Event, Server};
use postrider_pop3::{MessageMeta, Refusal, UniqueId};
use postrider_sasl::{Attempt, Denied};

use crate::{Script, assert_failed, plain, printed, run, serve};

/// What a maildrop holds: ids and messages.
type Maildrop = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

fn maildrop(messages: &[(&str, &[u8])]) -> Maildrop {
    Arc::new(Mutex::new(messages.iter().map(|(id, octets)| ((*id).to_owned(), octets.to_vec())).collect()))
}

/// How a connection goes.
#[derive(Clone, Copy, PartialEq)]
enum Connection {
    Good,
    /// Breaks in the middle of the second message.
    Breaks,
}

fn session(stream: TcpStream, maildrop: &Maildrop, how: Connection, events: &Sender<String>) {
    let mut config = Config::default();
    config.dangerous_plaintext_login = true;
    let hang_up = stream.try_clone().expect("a socket");
    let mut driver = Driver::new(Server::new(Arc::new(config), 1), stream, Tls::None);
    while let Some(event) = driver.next() {
        match event {
            Event::Open { answer, attempt, .. } => {
                let known = matches!(&attempt, Attempt::Password { user, password, .. }
                    if user == "bob@x.test" && password.matches("secret"));
                let held = maildrop.lock().expect("no panic");
                let listing = held.iter().map(|(id, octets)| MessageMeta {
                    size: octets.len() as u64,
                    unique_id: UniqueId::new(id).expect("an id"),
                });
                let result = if known { Ok(listing.collect()) } else { Err(Refusal::from(Denied::Credentials)) };
                driver.session().answer(answer, result).expect("it was just asked");
            }
            Event::Retrieve { answer, message, .. } => {
                let octets = maildrop.lock().expect("no panic")[message as usize - 1].1.clone();
                events.send(format!("retrieve {message}")).expect("the test listens");
                let end = if how == Connection::Breaks && message == 2 { octets.len() / 2 } else { octets.len() };
                let mut rest = &octets[..end];
                while !rest.is_empty() {
                    let taken = driver.session().write(&answer, rest);
                    rest = &rest[taken..];
                    driver.drain().expect("the client reads");
                }
                if end < octets.len() {
                    hang_up.shutdown(std::net::Shutdown::Both).expect("it was open");
                    return;
                }
                driver.session().accept(answer).expect("it was just asked");
            }
            Event::Commit { answer, delete } => {
                events.send(format!("delete {delete:?}")).expect("the test listens");
                for message in delete.iter().rev() {
                    maildrop.lock().expect("no panic").remove(*message as usize - 1);
                }
                driver.session().accept(answer).expect("it was just asked");
            }
            other => driver.session().decline(other),
        }
    }
}

/// A server for so many connections, and what it is asked.
fn server(maildrop: &Maildrop, connections: &[Connection]) -> (SocketAddr, impl FnOnce() -> Vec<String> + use<>) {
    let (sender, receiver) = channel();
    let serving = connections.iter().map(|&how| {
        let (maildrop, sender) = (maildrop.clone(), sender.clone());
        Box::new(move |stream| session(stream, &maildrop, how, &sender)) as Box<dyn FnOnce(TcpStream) + Send>
    });
    let (at, thread) = serve(serving.collect());
    drop(sender);
    (at, move || {
        thread.join().expect("the server does not panic");
        receiver.iter().collect()
    })
}

fn delivered(maildir: &Path) -> Vec<Vec<u8>> {
    assert_eq!(fs::read_dir(maildir.join("tmp")).expect("a Maildir").count(), 0, "nothing half done is left");
    let mut found: Vec<_> = fs::read_dir(maildir.join("new"))
        .expect("a Maildir")
        .map(|entry| fs::read(entry.expect("an entry").path()).expect("a message"))
        .collect();
    found.sort();
    found
}

const FIRST: &[u8] = b"Subject: 1\r\n\r\n.\r\n..two\r\n";
const SECOND: &[u8] = b"Subject: 2\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n";

#[test]
fn each_message_is_fetched_once_and_deleted_only_when_told() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let maildir = place.path().join("Maildir");
    let target = maildir.to_str().expect("our own name");
    let drop = maildrop(&[("one", FIRST), ("two", SECOND)]);
    let (at, asked) = server(&drop, &[Connection::Good; 3]);
    let url = format!("pop3://bob%40x.test@{at}");

    let first = run(&mut plain(&["pop", "--keep", target, "--imap", &url, "--json"]), b"");
    assert_eq!(printed(&first).lines().count(), 3, "two messages and a summary");
    let messages = [b"Subject: 1\n\n.\n..two\n".to_vec(), "Subject: 2\n\nGrüße\n".as_bytes().to_vec()];
    assert_eq!(delivered(&maildir), messages);

    drop.lock().expect("no panic").push(("three".into(), b"Subject: 3\r\n\r\n".to_vec()));
    let second = run(&mut plain(&["pop", "--keep", target, "--pop3", &url]), b"");
    assert!(printed(&second).contains("1 message fetched"), "{second:?}");
    let third = run(&mut plain(&["pop", target, "--imap", &url]), b"");
    assert!(printed(&third).contains("0 messages fetched"), "{third:?}");
    assert_eq!(delivered(&maildir).len(), 3);

    let asked = asked();
    assert_eq!(asked, ["retrieve 1", "retrieve 2", "retrieve 3", "delete [1, 2, 3]"]);
    assert!(drop.lock().expect("no panic").is_empty());
}

#[test]
fn a_connection_that_breaks_loses_nothing_and_doubles_nothing() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let target = place.path().to_str().expect("our own name");
    let large = [b"Subject: 2\r\n\r\n".to_vec(), b"a line of the message\r\n".repeat(20_000)].concat();
    let drop = maildrop(&[("one", FIRST), ("two", &large), ("three", SECOND)]);
    let (at, asked) = server(&drop, &[Connection::Breaks, Connection::Good]);
    let url = format!("pop3://bob%40x.test@{at}");

    let broken = run(&mut plain(&["pop", target, "--imap", &url]), b"");
    assert_failed(&broken, 75, &["lost"]);
    assert_eq!(delivered(place.path()).len(), 1);
    assert_eq!(drop.lock().expect("no panic").len(), 3, "nothing is deleted");

    printed(&run(&mut plain(&["pop", target, "--imap", &url]), b""));
    let found = delivered(place.path());
    assert_eq!(found.len(), 3);
    assert!(found.contains(&String::from_utf8(large).expect("ASCII").replace('\r', "").into_bytes()));
    assert_eq!(asked(), ["retrieve 1", "retrieve 2", "retrieve 2", "retrieve 3", "delete [1, 2, 3]"]);
}

#[test]
fn a_wrong_password_is_77() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let (at, _asked) = server(&maildrop(&[]), &[Connection::Good]);
    let url = format!("pop3://bob%40x.test@{at}");
    let target = place.path().to_str().expect("our own name");
    let denied = run(plain(&["pop", target, "--imap", &url]).env("POSTRIDER_PASSWORD", "wrong"), b"");
    assert_failed(&denied, 77, &["password"]);
}

#[test]
fn a_place_that_cannot_be_is_73() {
    let place = tempfile::NamedTempFile::new().expect("a temporary file");
    let target = place.path().join("Maildir");
    let target = target.to_str().expect("our own name");
    let failed = run(&mut plain(&["pop", target, "--imap", "pop3://bob@127.0.0.1:1"]), b"");
    assert_failed(&failed, 73, &[target]);
}

#[test]
fn a_server_that_closes_after_the_login_is_75() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let (at, _) = serve(vec![Box::new(|stream| {
        let mut server = Script::new(stream);
        server.say("+OK hello\r\n");
        assert_eq!(server.line(), "CAPA");
        server.say("-ERR what?\r\n");
        assert_eq!(server.line(), "USER bob");
        server.say("+OK\r\n");
        assert_eq!(server.line(), "PASS secret");
        server.say("+OK\r\n");
    })]);
    let target = place.path().to_str().expect("our own name");
    assert_failed(&run(&mut plain(&["pop", target, "--imap", &format!("pop3://bob@{at}")]), b""), 75, &["lost"]);
}
