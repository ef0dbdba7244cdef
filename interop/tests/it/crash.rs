//! SIGKILL in the middle of the work: what was answered 250 is there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use postrider_interop::clients;
use postrider_interop::maildir;
use postrider_interop::messages::Message;
use postrider_interop::wire::Wire;
use postrider_interop::{Authority, Dns, Options, Place, Postfix, PostfixOptions, Postriderd, Security, until};

use crate::{ALICE, BOB, CAROL, LONG, SECRET, ours};

/// Messages in all.
const COUNT: usize = 1000;
/// How many are answered 250 when the server is killed.
const KILL_AFTER: usize = 400;
/// Connections at the same time.
const CONNECTIONS: usize = 8;
/// Deliveries that the server has under way at the same time, at most: only those may be repeated after the crash.
const UNDER_WAY: usize = 50;

/// Who sends to whom, by which service.
#[derive(Clone, Copy)]
struct Route {
    service: &'static str,
    log_in: bool,
    from: &'static str,
    to: &'static str,
}

impl Route {
    const TO_BOB: Self = Self { service: "smtp", log_in: false, from: "sender@client.test", to: BOB };
    const TO_CAROL: Self = Self { service: "submission", log_in: true, from: ALICE, to: CAROL };

    fn messages(self) -> Vec<Message> {
        // Mostly small ones, as in life, with a larger one now and then.
        let message = |n: usize| {
            let id = format!("{n}.crash@client.test");
            let make = if n.is_multiple_of(20) { Message::medium } else { Message::small };
            make(self.from, self.to, &id)
        };
        (0..COUNT).map(message).collect()
    }

    /// Sends the messages that `next` counts out, on one connection, until all are sent or the server is gone. Notes
    /// each that was answered 250.
    fn send(
        self,
        server: SocketAddr,
        messages: &[Message],
        next: &AtomicUsize,
        acknowledged: &Mutex<Vec<usize>>,
    ) -> std::io::Result<()> {
        let mut wire = Wire::connect(server)?;
        wire.smtp_reply()?;
        wire.smtp("EHLO client.test")?;
        if self.log_in {
            let (code, text) = wire.smtp_log_in(self.from, SECRET)?;
            assert_eq!(code, 235, "{text}");
        }
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            let Some(message) = messages.get(number) else { return Ok(()) };
            let (code, text) = wire.smtp_message(self.from, self.to, message)?;
            assert_eq!(code, 250, "{text}");
            acknowledged.lock().expect("nobody panics with it").push(number);
        }
    }

    /// Sends everything over several connections; kills the server when enough has been acknowledged. Returns which
    /// messages were.
    fn send_and_kill(self, server: &mut Postriderd, messages: &[Message]) -> Vec<usize> {
        let (next, acknowledged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let at = server.at(self.service);
        thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                // An error is the server's death, which is what this is about.
                scope.spawn(|| self.send(at, messages, &next, &acknowledged).ok());
            }
            until("enough messages to be answered 250", LONG, || {
                (acknowledged.lock().expect("nobody panics with it").len() >= KILL_AFTER).then_some(())
            });
            server.process().kill();
        });
        let acknowledged = acknowledged.into_inner().expect("nobody panics with it");
        assert!(acknowledged.len() < COUNT, "the server was killed too late");
        acknowledged
    }
}

/// How often each message is among `stored`, by number. Each one found must be unchanged.
fn count(messages: &[Message], stored: &[Vec<u8>], check: fn(&Message, &[u8])) -> BTreeMap<usize, usize> {
    let by_id: BTreeMap<&str, usize> =
        messages.iter().enumerate().map(|(number, message)| (message.id.as_str(), number)).collect();
    let mut found = BTreeMap::new();
    for bytes in stored {
        let text = String::from_utf8_lossy(bytes);
        let id = text
            .lines()
            .find_map(|line| line.strip_prefix("Message-ID: <")?.strip_suffix('>'))
            .unwrap_or_else(|| panic!("a message without a Message-ID of ours: {text}"));
        let number = by_id.get(id).unwrap_or_else(|| panic!("nobody sent a message {id}"));
        check(&messages[*number], bytes);
        *found.entry(*number).or_default() += 1;
    }
    found
}

//= 5321-2.1-1, 5321-6.1-1, 2033-4.2-3
#[test]
fn what_was_answered_250_is_in_the_mailbox_after_kill_9() {
    let authority = Authority::new();
    let data = Place::new("data");
    let options = Options { data: Some(data.path("store")), ..ours() };
    let mut server = Postriderd::start(&authority, &options);
    let messages = Route::TO_BOB.messages();
    let acknowledged = Route::TO_BOB.send_and_kill(&mut server, &messages);

    let server = server.restart_after_kill(&options);
    let stored = clients::imaplib(&server.imap(BOB, Security::Tls)).messages;
    let found = count(&messages, &stored, Message::assert_is);
    for number in &acknowledged {
        assert!(found.contains_key(number), "message {number} was answered 250 and is not there");
    }
    assert!(found.values().all(|copies| *copies == 1), "there are copies: {found:?}");
    assert!(found.len() <= acknowledged.len() + CONNECTIONS, "more is there than can have been sent");

    // The rest comes through as if nothing had been.
    let rest: Vec<_> = (0..COUNT).filter(|n| !found.contains_key(n)).map(|n| messages[n].clone()).collect();
    let at = server.at(Route::TO_BOB.service);
    Route::TO_BOB.send(at, &rest, &AtomicUsize::new(0), &Mutex::new(Vec::new())).expect("the server lives");
    let stored = clients::poplib(&server.pop3(BOB, Security::Tls)).messages;
    let found = count(&messages, &stored, Message::assert_is);
    assert_eq!(found.len(), COUNT);
    assert!(found.values().all(|copies| *copies == 1), "there are copies: {found:?}");
}

#[test]
fn the_queue_goes_on_after_kill_9() {
    let authority = Authority::new();
    let data = Place::new("data");
    let far =
        PostfixOptions { hostname: "mx.far.test".into(), mailboxes: vec![CAROL.into()], ..PostfixOptions::default() };
    let far = Postfix::start(&authority, &far);
    let dns = Dns::start(&Dns::mail_for("far.test", "mx.far.test", far.ip()));
    let options = Options {
        data: Some(data.path("store")),
        dns: Some(dns.addr()),
        mx_port: Some(far.port()),
        retry_seconds: Some(1),
        plaintext_auth: true,
        ..ours()
    };
    let mut server = Postriderd::start(&authority, &options);
    let messages = Route::TO_CAROL.messages();
    let acknowledged = Route::TO_CAROL.send_and_kill(&mut server, &messages);
    let before = maildir::files(&far.maildir(CAROL)).len();
    assert!(before < acknowledged.len(), "the queue was empty already when the server was killed");

    let _server = server.restart_after_kill(&options);
    until("the rest of the queue to arrive", LONG, || {
        (maildir::files(&far.maildir(CAROL)).len() >= acknowledged.len()).then_some(())
    });
    let found = until("every message that was answered 250", LONG, || {
        let stored = far.delivered(CAROL, 0, LONG);
        let found = count(&messages, &stored, Message::assert_is_unix);
        acknowledged.iter().all(|number| found.contains_key(number)).then_some(found)
    });
    let copies: usize = found.values().map(|copies| copies - 1).sum();
    assert!(copies <= UNDER_WAY, "{copies} messages were sent again though their delivery was known");
}
