//! `pop` against our own POP3 server session.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
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
                let listing = held.iter().map(|(id, octets)| {
                    let id = UniqueId::new(id).expect("an id");
                    MessageMeta::new(octets.len() as u64, id)
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

/// Where a client is killed: after so many things that it asked for, before or after they are answered.
#[derive(Clone, Copy, Debug)]
struct Kill {
    after: usize,
    answered: bool,
}

/// Serves one session; kills the client at the given point. Says whether it came so far.
fn session_with_kill(stream: TcpStream, maildrop: &Maildrop, kill: Kill, client: &Mutex<Option<Child>>) -> bool {
    let mut config = Config::default();
    config.dangerous_plaintext_login = true;
    let mut driver = Driver::new(Server::new(Arc::new(config), 1), stream, Tls::None);
    let mut step = 0;
    let end = || {
        let mut client = client.lock().expect("no panic").take().expect("it runs");
        client.kill().expect("it runs");
        client.wait().expect("it ends");
    };
    while let Some(event) = driver.next() {
        let now = step == kill.after && !matches!(event, Event::Closed(_));
        step += 1;
        if now && !kill.answered && !matches!(event, Event::Retrieve { .. }) {
            end();
            return true;
        }
        match event {
            Event::Open { answer, .. } => {
                let held = maildrop.lock().expect("no panic");
                let listing = held.iter().map(|(id, octets)| {
                    let id = UniqueId::new(id).expect("an id");
                    MessageMeta::new(octets.len() as u64, id)
                });
                driver.session().answer(answer, Ok(listing.collect())).expect("it was just asked");
            }
            Event::Retrieve { answer, message, .. } => {
                let octets = maildrop.lock().expect("no panic")[message as usize - 1].1.clone();
                let mut rest = if now && !kill.answered { &octets[..octets.len() / 2] } else { &octets[..] };
                while !rest.is_empty() {
                    let taken = driver.session().write(&answer, rest);
                    rest = &rest[taken..];
                    driver.drain().expect("the client reads");
                }
                if now && !kill.answered {
                    end();
                    return true;
                }
                driver.session().accept(answer).expect("it was just asked");
            }
            Event::Commit { answer, delete } => {
                for message in delete.iter().rev() {
                    maildrop.lock().expect("no panic").remove(*message as usize - 1);
                }
                driver.session().accept(answer).expect("it was just asked");
            }
            other => driver.session().decline(other),
        }
        if now {
            driver.drain().expect("the client reads");
            end();
            return true;
        }
    }
    false
}

/// SIGKILL at every step of a session, before and after it is answered: the next run goes on where it was.
#[test]
fn killed_at_any_step_it_loses_nothing_doubles_nothing_and_deletes_nothing_unasked() {
    let large = [b"Subject: 3\r\n\r\n".to_vec(), b"a line of the message\r\n".repeat(5_000)].concat();
    let messages: Vec<(&str, &[u8])> = vec![("one", FIRST), ("two", SECOND), ("three", &large), ("one", b"copy\r\n")];
    let mut all: Vec<Vec<u8>> = messages.iter().map(|(_, octets)| octets.to_vec()).collect();
    all.iter_mut().for_each(|octets| *octets = String::from_utf8_lossy(octets).replace('\r', "").into_bytes());
    all.sort();
    let mut steps = 0;
    for (after, answered) in (0..20).flat_map(|after| [(after, false), (after, true)]) {
        let kill = Kill { after, answered };
        let place = tempfile::tempdir().expect("a temporary directory");
        let target = place.path().to_str().expect("our own name").to_owned();
        let drop = maildrop(&messages);
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let url = format!("pop3://bob%40x.test@{}", listener.local_addr().expect("it is bound"));
        let command = || {
            let mut command = plain(&["pop", &target, "--pop3", &url]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("it starts")
        };
        let client = Mutex::new(Some(command()));
        let killed = session_with_kill(listener.accept().expect("a connection").0, &drop, kill, &client);
        if !killed {
            assert!(client.lock().expect("no panic").as_mut().expect("it runs").wait().expect("it ends").success());
            assert_eq!(delivered(place.path()), all);
            break;
        }
        steps += 1;
        let left = drop.lock().expect("no panic").len();
        assert!(
            left == messages.len() || left == 0 && after == messages.len() + 1 && answered,
            "{kill:?}: {left} left"
        );
        // What was half written is in tmp, where no reader looks.
        for entry in fs::read_dir(place.path().join("tmp")).into_iter().flatten() {
            fs::remove_file(entry.expect("an entry").path()).expect("removed");
        }
        let client = Mutex::new(Some(command()));
        let never = Kill { after: usize::MAX, answered: true };
        session_with_kill(listener.accept().expect("a connection").0, &drop, never, &client);
        let mut client = client.into_inner().expect("no panic").expect("it was not killed");
        assert!(client.wait().expect("it ends").success(), "{kill:?}");
        let found = delivered(place.path());
        assert!(drop.lock().expect("no panic").is_empty(), "{kill:?}: all are deleted in the end");
        let mut once = found.clone();
        once.dedup();
        assert_eq!(once, all, "{kill:?}: nothing is lost");
        // Only of the two that share an id one may have come twice: it could not be told which of them was there.
        let twice: Vec<_> = found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect();
        assert!(twice.iter().all(|octets| octets.starts_with(b"Subject: 1") || octets == b"copy\n"), "{kill:?}");
        assert!(twice.len() <= 1, "{kill:?}");
    }
    // The login, four messages, the deletion; each twice.
    assert_eq!(steps, 12);
}
