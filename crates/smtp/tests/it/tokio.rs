//! The friendly face for tokio, both sides over a pipe in memory.

use bytes::Bytes;
use postrider_core::{Closed, Secret, Text};
use postrider_io::Tls;
use postrider_sasl::{Attempt, Denied, Identity, Plain};
use postrider_smtp::client::{self, Outcome};
use postrider_smtp::server::{self, Tls as When};
use postrider_smtp::tokio::{ClientInfo, Connection, ConnectionError, Handler, serve};
use postrider_smtp::{
    Accepted, Delivered, Envelope, ForwardPath, HelloName, MailParams, Mailbox, RcptParams, Refusal, ReversePath,
};
use std::sync::{Arc, Mutex};

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
