//! The friendly face for tokio, both sides over a pipe in memory.

use bytes::Bytes;
use postrider_core::{Closed, Secret, Text};
use postrider_io::Tls;
use postrider_sasl::{Attempt, Denied, Identity, Plain};
use postrider_smtp::client::{self, Outcome, Part};
use postrider_smtp::server::{self, Tls as When};
use postrider_smtp::tokio::{ClientInfo, Connection, ConnectionError, Handler, TooLate, serve, serve_from};
use postrider_smtp::wire::{EtrnTarget, Url};
use postrider_smtp::{
    Accepted, Delivered, Domain, Envelope, ForwardPath, HelloName, MailParams, Mailbox, RcptParams, Refusal,
    ReversePath,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// Everything of RFC 4468 and RFC 1985 that a handler decides, and where it is told its client is.
#[derive(Default)]
struct Fetching {
    stored: Stored,
    message: Vec<u8>,
}

impl Handler for Fetching {
    async fn auth(&mut self, _: Attempt) -> Result<Identity, Refusal> {
        Ok(Identity::new("alice"))
    }

    async fn rcpt(&mut self, _: &ForwardPath, _: &RcptParams) -> Result<Accepted, Refusal> {
        Ok(Accepted::default())
    }

    async fn body(&mut self, octets: Bytes) {
        self.message.extend_from_slice(&octets);
    }

    async fn burl(&mut self, client: &ClientInfo, url: &Url, last: bool) -> Result<(), Refusal> {
        assert_eq!(client.identity.as_ref().map(Identity::as_str), Some("alice"));
        assert_eq!(client.origin.address, Some([192, 0, 2, 7].into()));
        tokio::task::yield_now().await;
        if !url.as_str().contains(";uid=1") {
            return Err(Refusal::permanent(554, (6, 6), Text::literal("No such message")));
        }
        self.message.extend_from_slice(if last { b"last" } else { b"fetched\r\n" });
        Ok(())
    }

    async fn etrn(&mut self, client: &ClientInfo, target: &EtrnTarget) -> Result<Accepted, Refusal> {
        assert_eq!((client.origin.port, client.origin.proxied), (Some(4567), false));
        match target {
            EtrnTarget::Host(host) if host.as_str() == "client.example" => {
                Ok(Accepted::with(251, (0, 0), Text::literal("Nothing waits")))
            }
            _ => Err(Refusal::transient(459, (7, 1), Text::literal("Not yours"))),
        }
    }

    async fn message(&mut self, _: u64) -> Result<Delivered, Refusal> {
        let message = std::mem::take(&mut self.message);
        self.stored.lock().expect("no test panics with it").push((vec![], message));
        Ok(Delivered::default())
    }

    async fn reset(&mut self) {
        self.message.clear();
    }
}

#[tokio::test]
async fn a_handler_fetches_for_burl_and_sends_for_etrn() {
    let (near, far) = tokio::io::duplex(1000);
    let stored = Stored::default();
    let mut config = server::Config::submission(name("mx.example"), When::Off).dangerous_allow_plaintext_auth();
    config.burl = Some("imap".parse().expect("words"));
    config.chunking = true;
    config.etrn = true;
    let handler = Fetching { stored: stored.clone(), ..Fetching::default() };
    let peer = "192.0.2.7:4567".parse().expect("an address");
    let server = tokio::spawn(serve_from(far, peer, Tls::None, Arc::new(config), 1, handler));

    let config = client::Config::new(name("client.example")).dangerous_allow_plaintext_auth();
    let mut connection = Connection::open(near, Tls::None, Arc::new(config), 2).await.expect("a greeting");
    let plain = Plain::new("alice", &Secret::new("wonderland".into())).expect("sendable");
    connection.authenticate(Box::new(plain)).await.expect("anybody may");
    let envelope = || Envelope::new(to("alice@mx.example")).and_to(to("bob@mx.example"));
    let url = |n| Part::Url(Url::parse(&format!("imap://alice@imap.example/out;uid={n};urlauth=x")).expect("a URL"));
    let parts = vec![Part::Octets(Bytes::from_static(b"A: b\r\n")), url(1), url(1)];
    let outcomes = connection.send_parts(envelope(), parts).await.expect("it is offered");
    assert!(outcomes[0].is_delivered(), "{outcomes:?}");
    let outcomes = connection.send_parts(envelope(), vec![url(2)]).await.expect("it is offered");
    assert!(matches!(&outcomes[0], Outcome::Refused { reply, .. } if reply.code().number() == 554), "{outcomes:?}");
    for (host, code) in [("client.example", 251), ("other.example", 459)] {
        let target = EtrnTarget::Host(Domain::parse(host).expect("a domain"));
        connection.session().turn_queue(target).expect("it is offered");
        assert_eq!(connection.answer().await.expect("an answer").code().number(), code);
    }
    connection.quit().await.expect("an orderly end");
    assert_eq!(server.await.expect("no panic").expect("no error"), Closed::ByPeer);
    let stored = stored.lock().expect("no test panics with it");
    assert_eq!(stored.iter().map(|(_, message)| &message[..]).collect::<Vec<_>>(), [b"A: b\r\nfetched\r\nlast"]);
}

/// Decides too late, and then takes a day to see to it.
struct TooSlow;

impl Handler for TooSlow {
    async fn rcpt(&mut self, _: &ForwardPath, _: &RcptParams) -> Result<Accepted, Refusal> {
        Ok(Accepted::default())
    }

    async fn body(&mut self, _: Bytes) {}

    async fn message(&mut self, _: u64) -> Result<Delivered, Refusal> {
        tokio::time::sleep(Duration::from_secs(6 * 60)).await;
        Ok(Delivered::default())
    }

    async fn late(&mut self, what: TooLate) {
        assert_eq!(what, TooLate::Message);
        tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    }

    async fn reset(&mut self) {}
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_time_while_its_handler_hears_that_it_was_late() {
    let (mut near, far) = tokio::io::duplex(10_000);
    let config = server::Config::new(name("mx.example"));
    let most = config.limits.decision + config.limits.command + Duration::from_secs(1);
    let server = tokio::spawn(serve(far, Tls::None, Arc::new(config), 1, TooSlow));
    let input = "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<x@mx.example>\r\nDATA\r\nHi\r\n.\r\n";
    near.write_all(input.as_bytes()).await.expect("the server reads");
    let (began, mut said) = (Instant::now(), vec![]);
    // Until the last word; the stream itself is closed when the handler is done.
    while !said.ends_with(b"421 4.4.2 Timed out\r\n") {
        assert!(near.read_buf(&mut said).await.expect("the server writes") > 0, "{}", said.escape_ascii());
    }
    assert!(began.elapsed() <= most, "{:?}", began.elapsed());
    let said = String::from_utf8(said).expect("ASCII");
    assert!(said.contains("line\r\n451 4.3.0 "), "{said}");
    assert_eq!(server.await.expect("no panic").expect("no error"), Closed::TimedOut);
}

type Stored = Arc<Mutex<Vec<(Vec<String>, Vec<u8>)>>>;

#[derive(Default)]
struct Mailboxes {
    stored: Stored,
    recipients: Vec<String>,
    message: Vec<u8>,
}

impl Handler for Mailboxes {
    async fn auth(&mut self, attempt: Attempt) -> Result<Identity, Refusal> {
        match attempt {
            Attempt::Password { user, password, .. } if password.matches("wonderland") => Ok(Identity::new(user)),
            _ => Err(Denied::Credentials.into()),
        }
    }

    async fn mail(&mut self, client: &ClientInfo, _: &ReversePath, _: &MailParams) -> Result<Accepted, Refusal> {
        assert_eq!(client.identity.as_ref().map(Identity::as_str), Some("alice"));
        tokio::task::yield_now().await;
        Ok(Accepted::default())
    }

    async fn rcpt(&mut self, to: &ForwardPath, _: &RcptParams) -> Result<Accepted, Refusal> {
        tokio::task::yield_now().await;
        if to.as_str().starts_with("nobody@") {
            return Err(Refusal::permanent(550, (1, 1), Text::literal("No such mailbox")));
        }
        self.recipients.push(to.to_string());
        Ok(Accepted::default())
    }

    async fn body(&mut self, octets: Bytes) {
        tokio::task::yield_now().await;
        self.message.extend_from_slice(&octets);
    }

    async fn message(&mut self, _: u64) -> Result<Delivered, Refusal> {
        let entry = (std::mem::take(&mut self.recipients), std::mem::take(&mut self.message));
        self.stored.lock().expect("no test panics with it").push(entry);
        Ok(Delivered::default())
    }

    async fn reset(&mut self) {
        self.recipients.clear();
        self.message.clear();
    }
}

fn name(text: &str) -> HelloName {
    text.parse().expect("a name")
}

fn to(text: &str) -> Mailbox {
    text.parse().expect("an address")
}

#[tokio::test]
async fn mail_goes_from_one_side_to_the_other() {
    let (near, far) = tokio::io::duplex(1000);
    let stored = Stored::default();
    let mut config = server::Config::submission(name("mx.example"), When::Off).dangerous_allow_plaintext_auth();
    config.undecided = 4;
    let handler = Mailboxes { stored: stored.clone(), ..Mailboxes::default() };
    let server = tokio::spawn(serve(far, Tls::None, Arc::new(config), 1, handler));

    let config = client::Config::new(name("client.example")).dangerous_allow_plaintext_auth();
    let mut connection = Connection::open(near, Tls::None, Arc::new(config), 2).await.expect("a greeting");
    let wrong = Plain::new("alice", &Secret::new("guess".into())).expect("sendable");
    let refused = connection.authenticate(Box::new(wrong)).await;
    assert!(matches!(refused, Err(ConnectionError::Auth(_))), "{refused:?}");
    let plain = Plain::new("alice", &Secret::new("wonderland".into())).expect("sendable");
    connection.authenticate(Box::new(plain)).await.expect("the password is right");
    let message = Bytes::from([&b"Subject: hi\r\n\r\n"[..], &b".line\r\n".repeat(50_000)].concat());
    for _ in 0..2 {
        let envelope =
            Envelope::new(to("alice@mx.example")).and_to(to("bob@mx.example")).and_to(to("nobody@mx.example"));
        let outcomes = connection.send(envelope, message.clone()).await.expect("it can be sent");
        assert!(outcomes[0].is_delivered(), "{outcomes:?}");
        assert!(matches!(&outcomes[1], Outcome::Refused { reply, .. } if reply.is_permanent()));
    }
    connection.quit().await.expect("an orderly end");
    assert_eq!(server.await.expect("no panic").expect("no error"), Closed::ByPeer);
    let stored = stored.lock().expect("no test panics with it");
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|(to, octets)| *to == ["<bob@mx.example>"] && octets[..] == message[..]));
}
