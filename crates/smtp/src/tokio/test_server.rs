//! A server that takes all mail and shows it, for tests of programs that send.

use super::{ClientInfo, Handler, serve_from};
use crate::outcome::{Accepted, Delivered, Refusal};
use crate::remote::Remote;
use crate::server::Config;
use crate::wire::MailParams;
use crate::{ForwardPath, RcptParams, ReversePath};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use postrider_io::Tls;
use postrider_sasl::{Attempt, Denied, Identity};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// Messages that wait for [`TestServer::next`]. The server is slow to take more.
const WAITING: usize = 1024;

/// A server on loopback, at a port that was free, that takes all mail and shows it. It ends when it is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use postrider_smtp::tokio::{TestServer, send};
/// use postrider_smtp::{Envelope, Mailbox};
///
/// let mut server = TestServer::start().await?;
/// let envelope = Envelope::new(Mailbox::parse("alice@example.org")?).and_to(Mailbox::parse("bob@example.net")?);
/// send(&server.remote(), envelope, "Subject: Hello\r\n\r\nHello Bob\r\n").await?;
/// let received = server.next().await;
/// assert_eq!(received.recipients[0].as_str(), "bob@example.net");
/// assert!(received.message.ends_with(b"Hello Bob\r\n"));
/// # Ok(()) }
/// ```
pub struct TestServer {
    address: SocketAddr,
    received: mpsc::Receiver<Received>,
    task: AbortHandle,
}

/// A message that a [`TestServer`] took.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Received {
    /// Who sent it, as far as the client said.
    pub client: ClientInfo,
    /// Where reports go.
    pub from: ReversePath,
    /// What else MAIL said.
    pub params: MailParams,
    /// Whom it is for: those that were accepted.
    pub recipients: Vec<ForwardPath>,
    /// Its octets.
    pub message: Bytes,
}

impl TestServer {
    /// Takes all mail.
    ///
    /// # Errors
    /// The system's, if there is no port to listen at.
    pub async fn start() -> io::Result<Self> {
        let config = Config::new("[127.0.0.1]".parse().expect("an address literal is a name"));
        Self::start_with(config, Tls::None, |_| Ok(Accepted::default())).await
    }

    /// Behaves as `config` and `tls` say, takes mail for those recipients that `judge` accepts, and lets in who shows any
    /// password.
    ///
    /// # Errors
    /// The system's, if there is no port to listen at.
    pub async fn start_with<J>(config: Config, tls: Tls, judge: J) -> io::Result<Self>
    where
        J: Fn(&ForwardPath) -> Result<Accepted, Refusal> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (show, received) = mpsc::channel(WAITING);
        let task = tokio::spawn(listen(listener, Arc::new(config), tls, Arc::new(judge), show)).abort_handle();
        Ok(Self { address, received, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server as a sender knows it: without TLS.
    pub fn remote(&self) -> Remote {
        Remote::plaintext(&self.address.ip().to_string(), self.address.port()).expect("an IP address names a host")
    }

    /// The next message, when it has come.
    pub async fn next(&mut self) -> Received {
        self.received.recv().await.expect("the server runs until it is dropped")
    }

    /// The next message, if it has come already.
    pub fn try_next(&mut self) -> Option<Received> {
        self.received.try_recv().ok()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen<J>(listener: TcpListener, config: Arc<Config>, tls: Tls, judge: Arc<J>, show: mpsc::Sender<Received>)
where
    J: Fn(&ForwardPath) -> Result<Accepted, Refusal> + Send + Sync + 'static,
{
    // They end with the listener.
    let mut sessions = JoinSet::new();
    let mut id = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Out of descriptors, as a rule: those that end give theirs back.
                let Ok((stream, peer)) = accepted else {
                    tokio::time::sleep(core::time::Duration::from_millis(100)).await;
                    continue;
                };
                id += 1;
                let taking = Taking { judge: judge.clone(), show: show.clone(), now: None };
                sessions.spawn(one(stream, peer, tls.clone(), config.clone(), id, taking));
            }
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
        }
    }
}

async fn one<J>(stream: TcpStream, peer: SocketAddr, tls: Tls, config: Arc<Config>, id: u64, taking: Taking<J>)
where
    J: Fn(&ForwardPath) -> Result<Accepted, Refusal> + Send + Sync,
{
    let _ = stream.set_nodelay(true);
    // A client that is lost is not the test server's matter.
    let _ = serve_from(stream, peer, tls, config, id, taking).await;
}

/// One session.
struct Taking<J> {
    judge: Arc<J>,
    show: mpsc::Sender<Received>,
    now: Option<(Received, BytesMut)>,
}

impl<J: Fn(&ForwardPath) -> Result<Accepted, Refusal> + Send + Sync> Handler for Taking<J> {
    async fn auth(&mut self, attempt: Attempt) -> Result<Identity, Refusal> {
        match attempt {
            Attempt::Password { user, .. } => Ok(Identity::new(user)),
            _ => Err(Denied::Credentials.into()),
        }
    }

    async fn mail(
        &mut self,
        client: &ClientInfo,
        from: &ReversePath,
        params: &MailParams,
    ) -> Result<Accepted, Refusal> {
        let received = Received {
            client: client.clone(),
            from: from.clone(),
            params: params.clone(),
            recipients: Vec::new(),
            message: Bytes::new(),
        };
        self.now = Some((received, BytesMut::new()));
        Ok(Accepted::default())
    }

    async fn rcpt(&mut self, to: &ForwardPath, _: &RcptParams) -> Result<Accepted, Refusal> {
        let verdict = (self.judge)(to);
        if let (Ok(_), Some((received, _))) = (&verdict, &mut self.now) {
            received.recipients.push(to.clone());
        }
        verdict
    }

    async fn body(&mut self, octets: Bytes) {
        if let Some((_, message)) = &mut self.now {
            message.extend_from_slice(&octets);
        }
    }

    async fn message(&mut self, _: u64) -> Result<Delivered, Refusal> {
        if let Some((mut received, message)) = self.now.take() {
            received.message = message.freeze();
            // Nobody looks any more: the test is over.
            let _ = self.show.send(received).await;
        }
        Ok(Delivered::default())
    }

    async fn reset(&mut self) {
        self.now = None;
    }
}
