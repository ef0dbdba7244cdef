//! `send` against our own SMTP server session.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use postrider_core::Text;
use postrider_io::Tls;
use postrider_io::blocking::Driver;
use postrider_sasl::{Attempt, Denied, Identity};
use postrider_smtp::server::{self, Config, Event, Server};
use postrider_smtp::{HelloName, Refusal};

use crate::{Script, assert_failed, authority, plain, postrider, printed, run, serve};

/// A message that arrived.
#[derive(Debug, Default, PartialEq)]
struct Arrived {
    from: String,
    to: Vec<String>,
    body: Vec<u8>,
}

/// A submission server for one connection. It takes no mail for anybody called nobody, and has no room for full.
fn server() -> (SocketAddr, Receiver<Arrived>) {
    let (sender, receiver) = channel();
    let session = move |stream: TcpStream| {
        let name = HelloName::parse("mx.test").expect("a name");
        let config = Config::submission(name, server::Tls::Off).dangerous_allow_plaintext_auth();
        let mut driver = Driver::new(Server::new(Arc::new(config), 1), stream, Tls::None);
        let mut arriving = Arrived::default();
        while let Some(event) = driver.next() {
            let session = driver.session();
            match event {
                Event::Auth { answer, attempt } => {
                    let known = matches!(&attempt, Attempt::Password { user, password, .. }
                        if user == "alice@x.test" && password.matches("secret"));
                    let result =
                        if known { Ok(Identity::new("alice@x.test")) } else { Err(Denied::Credentials.into()) };
                    session.answer(answer, result).expect("it was just asked");
                }
                Event::Mail { answer, from, .. } => {
                    arriving = Arrived { from: from.as_str().to_owned(), ..Arrived::default() };
                    session.accept(answer).expect("it was just asked");
                }
                Event::Rcpt { answer, to, .. } => {
                    let refusal = match to.as_str().split('@').next() {
                        Some("nobody") => Some(Refusal::permanent(550, (1, 1), Text::literal("no such user"))),
                        Some("full") => Some(Refusal::transient(452, (2, 2), Text::literal("mailbox full"))),
                        _ => None,
                    };
                    match refusal {
                        Some(why) => session.refuse(answer, why).expect("it was just asked"),
                        None => {
                            arriving.to.push(to.as_str().to_owned());
                            session.accept(answer).expect("it was just asked");
                        }
                    }
                }
                Event::Data { answer } => session.accept(answer).expect("it was just asked"),
                Event::Body(octets) => arriving.body.extend_from_slice(&octets),
                Event::Message { answer, .. } => {
                    sender.send(std::mem::take(&mut arriving)).expect("the test listens");
                    session.accept(answer).expect("it was just asked");
                }
                other => session.decline(other),
            }
        }
    };
    let (at, _) = serve(vec![Box::new(session)]);
    (at, receiver)
}

fn url(at: SocketAddr) -> String {
    format!("smtp://alice%40x.test@{at}")
}

#[test]
fn each_recipient_is_told_and_the_worst_makes_the_exit_code() {
    let (at, arrived) = server();
    let people = ["--to", "bob@y.test", "--to", "nobody@y.test", "--bcc", "full@y.test", "--cc", "bob@y.test"];
    let text = "From: A <alice@x.test>\nTo: bob@y.test\nSubject: s\n\n.\nGrüße\n";
    let done = run(plain(&["send", "--json", "--smtp", &url(at)]).args(people), text.as_bytes());
    assert_failed(&done, 69, &["2 of 3"]);
    let lines: Vec<serde_json::Value> =
        String::from_utf8_lossy(&done.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let said: Vec<_> = lines
        .iter()
        .map(|line| {
            (line["recipient"].as_str(), line["outcome"].as_str(), line["code"].as_u64(), line["temporary"].as_bool())
        })
        .collect();
    assert_eq!(
        said,
        [
            (Some("bob@y.test"), Some("delivered"), Some(250), Some(false)),
            (Some("nobody@y.test"), Some("refused"), Some(550), Some(false)),
            (Some("full@y.test"), Some("refused"), Some(452), Some(true)),
        ]
    );
    assert_eq!(lines[1]["enhanced"], "5.1.1");
    let arrived = arrived.recv().expect("a message");
    assert_eq!((arrived.from.as_str(), arrived.to.as_slice()), ("alice@x.test", &["bob@y.test".to_owned()][..]));
    assert_eq!(arrived.body, text.replace('\n', "\r\n").into_bytes());
}

#[test]
fn the_header_names_the_recipients_and_a_secret_one_stays_so() {
    let (at, arrived) = server();
    let text = "From: alice@x.test\nTo: bob@y.test\nBcc: carol@y.test\nSubject: s\n\nbody\n";
    let done = run(&mut plain(&["send", "-t", "--smtp", &url(at)]), text.as_bytes());
    assert!(printed(&done).contains("carol@y.test  delivered  250"), "{done:?}");
    let arrived = arrived.recv().expect("a message");
    assert_eq!(arrived.to, ["bob@y.test", "carol@y.test"]);
    assert_eq!(arrived.body, b"From: alice@x.test\r\nTo: bob@y.test\r\nSubject: s\r\n\r\nbody\r\n");
}

#[test]
fn a_large_message_goes_out_as_it_came_in() {
    let (at, arrived) = server();
    let mut text = b"From: alice@x.test\r\nSubject: large\r\n\r\n".to_vec();
    text.extend(b".a line that begins with a dot, and is long enough to make many of them\r\n".repeat(60_000));
    printed(&run(&mut plain(&["send", "--to", "bob@y.test", "--smtp", &url(at)]), &text));
    assert!(arrived.recv().expect("a message").body == text, "{} octets came out changed", text.len());
}

#[test]
fn only_refusals_for_now_are_75() {
    let (at, _arrived) = server();
    let done = run(&mut plain(&["send", "--to", "full@y.test", "--smtp", &url(at)]), b"From: a@x.test\n\n\n");
    assert_failed(&done, 75, &["1 of 1"]);
    assert!(String::from_utf8_lossy(&done.stdout).contains("452 4.2.2 mailbox full"), "{done:?}");
}

#[test]
fn what_a_message_needs_and_the_server_lacks_is_said_and_nothing_is_sent() {
    for (option, value, missing) in [
        ("--require-tls", None, "REQUIRETLS"),
        ("--hold", Some("60"), "held for longer"),
        ("--notify", Some("success,failure"), "--notify"),
    ] {
        let (at, arrived) = server();
        let url = url(at);
        let arguments = ["send", "--to", "bob@y.test", "--smtp", &url, option].into_iter().chain(value);
        let done = run(&mut plain(&arguments.collect::<Vec<_>>()), b"From: a@x.test\n\n\n");
        assert_failed(&done, 69, &[missing]);
        assert!(arrived.recv().is_err(), "{option}");
    }
    let (at, _) = server();
    let done = run(
        &mut plain(&["send", "--to", "bob@y.test", "--smtp", &url(at), "--notify", "never,delay"]),
        b"From: a@x.test\n\n\n",
    );
    assert_failed(&done, 64, &["--notify never stands alone"]);
}

#[test]
fn a_wrong_password_is_77_and_is_not_in_the_trace() {
    let (at, _arrived) = server();
    let mut command = plain(&["send", "--to", "bob@y.test", "--trace", "--smtp", &url(at)]);
    let done = run(command.env("POSTRIDER_PASSWORD", "hunter2"), b"From: a@x.test\n\n\n");
    assert_failed(&done, 77, &["password", "C: AUTH PLAIN ***", "S: 535"]);
    let said = String::from_utf8_lossy(&done.stderr);
    // Its base64, from any of the places it may have in the message.
    for secret in ["hunter2", "aHVudGVyM", "h1bnRlcj", "odW50ZXIy"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn what_cannot_be_sent_is_not_sent() {
    let none = "smtp://127.0.0.1:1";
    let send = |arguments: &[&str], input: &[u8]| run(postrider(&["send", "--smtp", none]).args(arguments), input);
    assert_failed(&send(&[], b""), 64, &["--to"]);
    assert_failed(&send(&["--to", "bob"], b""), 64, &["bob"]);
    assert_failed(&send(&["--to", "b@x.test"], b""), 66, &["no message"]);
    assert_failed(&send(&["--to", "b@x.test"], b"no header here\n"), 65, &["header"]);
    assert_failed(&send(&["--to", "b@x.test"], b"A: b\n\n1\r2\n"), 65, &["line 3"]);
    assert_failed(&send(&["--to", "b@x.test"], b"Subject: x\n\n"), 64, &["--from"]);
    assert_failed(&send(&["-t"], b"From: a@x.test\n\n"), 65, &["recipients"]);
    assert_failed(&send(&["--to", "b@x.test", "/nowhere/x.eml"], b""), 66, &["/nowhere/x.eml"]);
}

#[test]
fn a_server_that_does_not_serve_us_says_why() {
    let script = |words: &'static str| {
        let serving = move |stream| {
            let mut server = Script::new(stream);
            server.say("220 mx.test\r\n");
            loop {
                let line = server.line();
                match line.get(..4) {
                    Some("EHLO" | "HELO") => server.say(words),
                    Some("QUIT") => server.say("221 bye\r\n"),
                    _ => return,
                }
            }
        };
        serve(vec![Box::new(serving)]).0
    };
    let send = |at: SocketAddr, more: &[&str]| {
        let url = format!("smtp://{at}");
        run(plain(&["send", "--to", "b@x.test", "--smtp", &url]).args(more), b"From: a@x.test\n\n\n")
    };
    let ca = authority();
    let ca = ca.path().to_str().expect("our own name");
    assert_failed(&send(script("421 4.3.2 going down\r\n"), &[]), 75, &["421 4.3.2 going down"]);
    assert_failed(&send(script("554 5.7.1 not you\r\n"), &[]), 69, &["554 5.7.1 not you"]);
    assert_failed(&send(script("250 mx.test\r\n"), &["--starttls", "--ca", ca]), 69, &["STARTTLS"]);
    // It closes without a word when the message begins: it was not sent, and may be sent again.
    assert_failed(&send(script("250 mx.test\r\n"), &[]), 75, &[]);
}
