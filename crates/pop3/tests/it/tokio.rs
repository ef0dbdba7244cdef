//! The friendly face for tokio, both sides over a pipe in memory.

use bytes::Bytes;
use postrider_core::{Closed, Secret};
use postrider_io::Tls;
use postrider_pop3::tokio::{Connection, ConnectionError, Handler, serve};
use postrider_pop3::{MessageMeta, Refusal, ResponseCode, UniqueId, client, server};
use postrider_sasl::{Attempt, Denied};
use std::sync::{Arc, Mutex};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

/// Alice's maildrop, and what was deleted in it.
#[derive(Clone, Default)]
struct Maildrop {
    messages: Vec<Bytes>,
    deleted: Arc<Mutex<Vec<u32>>>,
}

impl Handler for Maildrop {
    async fn open(&mut self, attempt: Attempt) -> Result<Vec<MessageMeta>, Refusal> {
        tokio::task::yield_now().await;
        match attempt {
            Attempt::Password { password, .. } if password.matches("wonderland") => {}
            _ => return Err(Denied::Credentials.into()),
        }
        let id = |n| UniqueId::new(&format!("id-{n}")).expect("printable");
        let meta = |(n, octets): (usize, &Bytes)| MessageMeta::new(octets.len() as u64, id(n));
        Ok(self.messages.iter().enumerate().map(meta).collect())
    }

    async fn read(&mut self, message: u32, at: u64) -> Result<Bytes, Refusal> {
        tokio::task::yield_now().await;
        let octets = &self.messages[message as usize - 1];
        let at = at as usize;
        Ok(octets.slice(at..octets.len().min(at + 10_000)))
    }

    async fn commit(&mut self, delete: Vec<u32>) -> Result<(), Refusal> {
        tokio::task::yield_now().await;
        self.deleted.lock().expect("no test panics with it").extend(delete);
        Ok(())
    }
}

async fn connect(maildrop: Maildrop) -> (Connection<DuplexStream>, JoinHandle<std::io::Result<Closed>>) {
    let (near, far) = tokio::io::duplex(1000);
    let mut config = server::Config::default();
    config.dangerous_plaintext_login = true;
    let server = tokio::spawn(serve(far, Tls::None, Arc::new(config), 1, maildrop));
    let mut config = client::Config::default();
    config.dangerous_plaintext_login = true;
    let connection = Connection::open(near, Tls::None, Arc::new(config), 2).await.expect("a greeting");
    (connection, server)
}

fn password() -> Secret<String> {
    Secret::new("wonderland".into())
}

#[tokio::test]
async fn mail_is_read_and_deleted() {
    let long = Bytes::from([&b"Subject: long\r\n\r\n"[..], &b".line \xff\r\n".repeat(50_000)].concat());
    let maildrop = Maildrop { messages: vec![long.clone(), Bytes::from_static(b"short\r\n")], ..Maildrop::default() };
    let (mut connection, server) = connect(maildrop.clone()).await;
    assert!(connection.capabilities().is_some_and(|offered| offered.pipelining));
    match connection.login("alice", Secret::new("guess".into())).await {
        Err(ConnectionError::Refused(why)) => assert_eq!(why.code, Some(ResponseCode::Auth)),
        other => panic!("a wrong password was taken: {other:?}"),
    }
    connection.login("alice", password()).await.expect("the password is right");
    assert_eq!(connection.list().await.expect("a listing"), [(1, long.len() as u64), (2, 7)]);
    let ids = connection.unique_ids().await.expect("a listing");
    assert_eq!(
        ids.iter().filter_map(|(_, id)| id.as_ref()).map(UniqueId::as_str).collect::<Vec<_>>(),
        ["id-0", "id-1"]
    );
    let mut octets = vec![];
    connection.retrieve(1, |part| octets.extend_from_slice(&part)).await.expect("a message");
    assert!(octets == long);
    let mut top = vec![];
    connection.top(1, 1, |part| top.extend_from_slice(&part)).await.expect("its top");
    assert_eq!(top, b"Subject: long\r\n\r\n.line \xff\r\n");
    assert!(matches!(connection.retrieve(3, |_| {}).await, Err(ConnectionError::Refused(_))));
    connection.delete(2).await.expect("it is there");
    connection.quit().await.expect("an orderly end");
    assert_eq!(server.await.expect("no panic").expect("no error"), Closed::ByPeer);
    assert_eq!(*maildrop.deleted.lock().expect("no test panics with it"), [2]);
}

#[tokio::test]
async fn a_connection_that_is_dropped_deletes_nothing() {
    let maildrop = Maildrop { messages: vec![Bytes::from_static(b"short\r\n")], ..Maildrop::default() };
    let (mut connection, server) = connect(maildrop.clone()).await;
    connection.login("alice", password()).await.expect("the password is right");
    connection.delete(1).await.expect("it is there");
    drop(connection);
    let _ = server.await.expect("no panic");
    assert!(maildrop.deleted.lock().expect("no test panics with it").is_empty());
}
