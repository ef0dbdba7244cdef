//! Our libraries without our programs: a client whose wire is watched, and a server that decides by a rule.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use postrider_core::{Direction, Secret, Tap};
use postrider_interop::messages::Message;
use postrider_interop::{Authority, Endpoint, Identity, Place, Security};
use postrider_io::Tls;
use postrider_io::tls;
use postrider_sasl::{Mechanism, Plain};
use postrider_smtp::client::{self, Outcome};
use postrider_smtp::server;
use postrider_smtp::tokio::{ClientInfo, Connection, ConnectionError, Handler, serve};
use postrider_smtp::wire::BodyType;
use postrider_smtp::{
    Accepted, Delivered, Envelope, ForwardPath, HelloName, MailParams, Mailbox, RcptParams, Refusal, ReversePath,
};
use tokio::net::{TcpListener, TcpStream};

/// A connection of our client library, and what has gone over it since the server was greeted.
pub(crate) struct Client {
    pub(crate) connection: Connection<TcpStream>,
    talk: Arc<Mutex<Vec<String>>>,
}

/// What our client library is told, for this endpoint.
pub(crate) fn config(at: &Endpoint) -> client::Config {
    let mut config = client::Config::new(name("client.test"));
    config.tls = when(at.security);
    config
}

fn when(security: Security) -> client::Tls {
    match security {
        Security::Clear => client::Tls::Manual,
        Security::StartTls => client::Tls::Required,
        Security::Tls => client::Tls::Implicit,
    }
}

impl Client {
    /// Connects, and logs in with PLAIN if the endpoint has a login.
    pub(crate) async fn open(at: &Endpoint) -> Self {
        let mut client = Self::try_open(at, config(at)).await.expect("the server is glad to see us");
        if let Some((user, password)) = &at.login {
            let plain = Plain::new(user, &Secret::new(password.clone())).expect("sendable");
            client.log_in(Box::new(plain)).await.expect("the password is right");
        }
        client
    }

    /// Connects only.
    pub(crate) async fn try_open(at: &Endpoint, config: client::Config) -> Result<Self, ConnectionError> {
        let stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
        let roots = tls::roots(&std::fs::read(&at.ca)?).expect("our own authority");
        let tls = Tls::Client {
            config: tls::client_config(roots),
            name: at.host.clone().try_into().expect("an address"),
            verified: true,
        };
        let mut connection = Connection::open(stream, tls, Arc::new(config), 1).await?;
        let talk = Arc::default();
        connection.session().set_tap(Some(Box::new(Talk(Arc::clone(&talk)))));
        assert_eq!(connection.session().security().is_tls(), at.security != Security::Clear);
        Ok(Self { connection, talk })
    }

    pub(crate) async fn log_in(&mut self, mechanism: Box<dyn Mechanism>) -> Result<(), ConnectionError> {
        self.connection.authenticate(mechanism).await
    }

    /// Sends a message with the parameters it needs.
    pub(crate) async fn send(
        &mut self,
        from: &str,
        to: &[&str],
        message: &Message,
    ) -> Result<Vec<Outcome>, ConnectionError> {
        self.connection.send(envelope(from, to, message), Bytes::copy_from_slice(&message.bytes)).await
    }

    /// Sends a message that each of the recipients must get.
    pub(crate) async fn deliver(&mut self, from: &str, to: &[&str], message: &Message) {
        let outcomes = self.send(from, to, message).await.expect("it can be sent");
        assert_eq!(outcomes.len(), to.len());
        assert!(outcomes.iter().all(Outcome::is_delivered), "{outcomes:?}\n{:#?}", self.talk());
    }

    /// What has gone over the wire: `C: ` or `S: ` and a line, or the number of octets that are none.
    pub(crate) fn talk(&self) -> Vec<String> {
        self.talk.lock().expect("nobody panics with it").clone()
    }

    /// What has gone over the wire since this was last called.
    pub(crate) fn take_talk(&mut self) -> Vec<String> {
        std::mem::take(&mut *self.talk.lock().expect("nobody panics with it"))
    }
}

/// An envelope that says what the server must know of the message.
pub(crate) fn envelope(from: &str, to: &[&str], message: &Message) -> Envelope {
    let from: Mailbox = from.parse().expect("an address");
    let mut envelope = Envelope::new(from).with_size(message.bytes.len() as u64);
    if !message.bytes.is_ascii() {
        envelope.params.body = Some(BodyType::EightBitMime);
    }
    to.iter().fold(envelope, |envelope, to| envelope.and_to(to.parse::<Mailbox>().expect("an address")))
}

fn name(text: &str) -> HelloName {
    text.parse().expect("a name")
}

struct Talk(Arc<Mutex<Vec<String>>>);

impl Talk {
    fn note(&self, direction: Direction, what: &str) {
        let who = match direction {
            Direction::In => "S",
            Direction::Out => "C",
        };
        self.0.lock().expect("nobody panics with it").push(format!("{who}: {what}"));
    }
}

impl Tap for Talk {
    fn line(&mut self, direction: Direction, line: &[u8], _masked: bool) {
        self.note(direction, &String::from_utf8_lossy(line));
    }

    fn octets(&mut self, direction: Direction, count: u64) {
        self.note(direction, &format!("{count} octets"));
    }
}

/// When a rule is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// RCPT.
    Rcpt,
    /// The message is there, and so many were before for this recipient.
    Message(usize),
}

/// Whether this recipient gets its mail.
pub(crate) type Rule = fn(to: &str, when: Moment) -> Result<(), Refusal>;

/// A message as our server library has seen it.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) from: String,
    pub(crate) params: MailParams,
    /// Each accepted recipient, and whether it was delivered.
    pub(crate) to: Vec<(String, bool)>,
    pub(crate) octets: Vec<u8>,
    pub(crate) client: ClientInfo,
}

/// A server of our library, which runs while this lives.
pub(crate) struct OurServer {
    place: Place,
    port: u16,
    identity: Identity,
    taken: Arc<Mutex<Vec<Taken>>>,
    // Last, so that nothing it serves outlives the rest.
    _runtime: tokio::runtime::Runtime,
}

impl OurServer {
    /// Starts one on an address of its own.
    pub(crate) fn start(authority: &Authority, config: server::Config, rule: Rule) -> Self {
        let place = Place::new("library");
        let identity = authority.issue(place.ip(), &["ours.test"]);
        let read = |path: &std::path::Path| std::fs::read(path).expect("our own file");
        let tls = tls::server_config(&read(&identity.cert), &read(&identity.key)).expect("our own certificate");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((place.ip(), 0))).expect("our own address");
        let port = listener.local_addr().expect("it is bound").port();
        let (config, taken) = (Arc::new(config), Arc::<Mutex<Vec<Taken>>>::default());
        let kept = taken.clone();
        runtime.spawn(async move {
            for id in 1.. {
                let (stream, _) = listener.accept().await.expect("it listens");
                let session = Session { rule, taken: kept.clone(), now: None };
                tokio::spawn(serve(stream, Tls::Server(tls.clone()), config.clone(), id, session));
            }
        });
        Self { place, port, identity, taken, _runtime: runtime }
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.place.at(self.port)
    }

    /// Where a client sends, without a login.
    pub(crate) fn endpoint(&self, security: Security) -> Endpoint {
        Endpoint {
            host: self.place.ip().to_string(),
            name: "ours.test".into(),
            port: self.port,
            security,
            login: None,
            ca: self.identity.ca.clone(),
        }
    }

    /// The messages so far.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().expect("nobody panics with it").clone()
    }

    /// The messages that were delivered to this recipient.
    pub(crate) fn delivered(&self, to: &str) -> Vec<Vec<u8>> {
        let delivered = |taken: &Taken| taken.to.iter().any(|(name, yes)| *yes && name == to);
        self.taken().into_iter().filter(delivered).map(|taken| taken.octets).collect()
    }
}

/// One client of [`OurServer`].
struct Session {
    rule: Rule,
    taken: Arc<Mutex<Vec<Taken>>>,
    now: Option<Taken>,
}

impl Handler for Session {
    async fn mail(
        &mut self,
        client: &ClientInfo,
        from: &ReversePath,
        params: &MailParams,
    ) -> Result<Accepted, Refusal> {
        self.now = Some(Taken {
            from: from.to_string(),
            params: params.clone(),
            to: Vec::new(),
            octets: Vec::new(),
            client: client.clone(),
        });
        Ok(Accepted::default())
    }

    async fn rcpt(&mut self, to: &ForwardPath, _: &RcptParams) -> Result<Accepted, Refusal> {
        (self.rule)(to.as_str(), Moment::Rcpt)?;
        self.now.as_mut().expect("MAIL comes first").to.push((to.as_str().to_owned(), false));
        Ok(Accepted::default())
    }

    async fn body(&mut self, octets: Bytes) {
        self.now.as_mut().expect("MAIL comes first").octets.extend_from_slice(&octets);
    }

    async fn message(&mut self, size: u64) -> Result<Delivered, Refusal> {
        let mut now = self.now.take().expect("MAIL comes first");
        assert_eq!(now.octets.len() as u64, size);
        let mut taken = self.taken.lock().expect("nobody panics with it");
        let mut verdicts = Vec::new();
        for (to, delivered) in &mut now.to {
            let before = taken.iter().filter(|taken| taken.to.iter().any(|(name, _)| name == to)).count();
            let verdict = (self.rule)(to, Moment::Message(before));
            *delivered = verdict.is_ok();
            verdicts.push(verdict.map(|()| Accepted::default()));
        }
        taken.push(now);
        Ok(Delivered::to_each(verdicts))
    }

    async fn reset(&mut self) {
        self.now = None;
    }
}
