//! Logins bound to TLS (RFC 5802, 6; RFC 9266; RFC 5929), between real sockets, and with somebody in the middle.

use bytes::Bytes;
use postrider_core::{Secret, Security, TlsInfo};
use postrider_io::rustls::crypto::ring;
use postrider_io::rustls::pki_types::ServerName;
use postrider_io::rustls::{ClientConfig, RootCertStore, version};
use postrider_io::{Tls, tls};
use postrider_sasl::{
    Attempt, Channel, Credentials, Denied, Identity, MIN_ITERATIONS, MechanismName, Nonce, Scram, ScramAnswer,
    ScramCredentials, ScramHash,
};
use postrider_smtp::client::{self, AuthFailed};
use postrider_smtp::server;
use postrider_smtp::tokio::{ClientInfo, Connection, ConnectionError, Handler, TestServer, serve};
use postrider_smtp::{Accepted, Delivered, Envelope, MailParams, Mailbox, Refusal, Remote, ReversePath};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const NAME: &str = "mx.example";

/// Certificates for the same name, by an authority that the client trusts.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: RootCertStore,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), roots: tls::roots(pem.as_bytes()).expect("its own certificate") }
    }

    fn certificate(&self) -> tls::ServerTls {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        tls::server_config(pem.as_bytes(), key.serialize_pem().as_bytes()).expect("they belong together")
    }

    fn client(&self, versions: &[&'static postrider_io::rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("ring has both")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        Arc::new(config)
    }
}

/// What the server learnt.
#[derive(Debug)]
enum Learnt {
    Proven(MechanismName),
    Transaction(Security),
}

struct Keeper {
    learnt: mpsc::UnboundedSender<Learnt>,
    stored: ScramCredentials,
}

impl Handler for Keeper {
    async fn scram(&mut self, _: &str, _: ScramHash) -> Result<ScramAnswer, Refusal> {
        Ok(ScramAnswer { credentials: self.stored.clone(), nonce: Nonce::new([2; 18]) })
    }

    async fn auth(&mut self, attempt: Attempt) -> Result<Identity, Refusal> {
        let Attempt::Proven { user, mechanism, .. } = attempt else { return Err(Denied::Credentials.into()) };
        let _ = self.learnt.send(Learnt::Proven(mechanism));
        Ok(Identity::new(user))
    }

    async fn mail(&mut self, client: &ClientInfo, _: &ReversePath, _: &MailParams) -> Result<Accepted, Refusal> {
        let _ = self.learnt.send(Learnt::Transaction(client.security.clone()));
        Ok(Accepted::default())
    }

    async fn body(&mut self, _: Bytes) {}

    async fn message(&mut self, _: u64) -> Result<Delivered, Refusal> {
        Ok(Delivered::default())
    }

    async fn reset(&mut self) {}
}

/// A server that keeps one password, and what it learns.
async fn server(when: server::Tls, own: tls::ServerTls) -> (SocketAddr, mpsc::UnboundedReceiver<Learnt>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("it listens");
    let (learnt, told) = mpsc::unbounded_channel();
    let mut config = server::Config::new(NAME.parse().expect("a name"));
    config.tls = when;
    config.auth = vec![MechanismName::ScramSha256Plus, MechanismName::ScramSha256];
    let config = Arc::new(config);
    let password = Secret::new("pencil".to_owned());
    let stored = ScramCredentials::derive(ScramHash::Sha256, &password, b"salt", MIN_ITERATIONS).expect("in bounds");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let keeper = Keeper { learnt: learnt.clone(), stored: stored.clone() };
            tokio::spawn(serve(stream, Tls::Server(own.clone()), config.clone(), 1, keeper));
        }
    });
    (address, told)
}

/// Terminates TLS with a certificate of its own, and begins it anew with the server.
async fn man_in_the_middle(own: tls::ServerTls, there: SocketAddr, trust: Arc<ClientConfig>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, connector) = (TlsAcceptor::from(own.config().clone()), TlsConnector::from(trust.clone()));
            tokio::spawn(async move {
                let mut near = acceptor.accept(near).await.expect("the client trusts it");
                let far = TcpStream::connect(there).await.expect("it listens");
                let mut far = connector.connect(ServerName::try_from(NAME).expect("a name"), far).await.expect("TLS");
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

async fn connect(address: SocketAddr, when: client::Tls, trust: Arc<ClientConfig>) -> Connection<TcpStream> {
    let mut config = client::Config::new("client.example".parse().expect("a name"));
    config.tls = when;
    let name = ServerName::try_from(NAME).expect("a name");
    let stream = TcpStream::connect(address).await.expect("it listens");
    let tls = Tls::Client { config: trust, name, verified: true };
    Connection::open(stream, tls, Arc::new(config), 2).await.expect("TLS and a greeting")
}

/// Logs in, bound to the certificate alone if `end_point`, or else to what is best.
async fn log_in(connection: &mut Connection<TcpStream>, end_point: bool) -> Result<(), ConnectionError> {
    let offered = connection.capabilities().expect("EHLO was answered").auth;
    assert_eq!(offered, [MechanismName::ScramSha256Plus, MechanismName::ScramSha256], "over TLS there are both");
    let security = connection.session().security().clone();
    let nonce = Nonce::new([1; 18]);
    let password = Secret::new("pencil".to_owned());
    if end_point {
        let channel = Channel::new(&security, &offered).without_exporter();
        let scram = Scram::new(ScramHash::Sha256, "user", &password, nonce).expect("sendable").over(&channel);
        connection.authenticate(Box::new(scram)).await
    } else {
        let chosen = Credentials::password("user", password).strongest(&offered, &security, nonce);
        connection.authenticate(chosen.expect("there is one")).await
    }
}

fn info(security: &Security) -> &TlsInfo {
    match security {
        Security::Tls(info) => info,
        Security::Plaintext => panic!("TLS is in place"),
    }
}

//= 5802-6-1, 5802-6-3
#[tokio::test]
async fn both_ends_bind_to_the_same_over_real_tls() {
    let authority = Authority::new();
    let (new, old) = (authority.client(&[&version::TLS13]), authority.client(&[&version::TLS12]));
    for (when, asked) in [(server::Tls::Implicit, client::Tls::Implicit), (server::Tls::Offered, client::Tls::Required)]
    {
        for (trust, end_point) in [(&new, false), (&new, true), (&old, false), (&old, true)] {
            let (address, mut told) = server(when, authority.certificate()).await;
            let mut connection = connect(address, asked, trust.clone()).await;
            log_in(&mut connection, end_point).await.expect("the password is right, and nobody is in the middle");
            let Some(Learnt::Proven(MechanismName::ScramSha256Plus)) = told.recv().await else { panic!("bound") };
            let mailbox = |text: &str| Mailbox::parse(text).expect("an address");
            let envelope = Envelope::new(mailbox("a@client.example")).and_to(mailbox("x@mx.example"));
            connection.send(envelope, "Hi\r\n").await.expect("a transaction");
            let Some(Learnt::Transaction(theirs)) = told.recv().await else { panic!("MAIL was said") };
            let ours = connection.session().security().clone();
            let (ours, theirs) = (info(&ours), info(&theirs));
            assert_eq!(ours.exporter, theirs.exporter);
            assert_eq!(ours.server_end_point, theirs.server_end_point);
            assert_eq!(ours.server_end_point.as_ref().map(Vec::len), Some(32));
            let exported = if Arc::ptr_eq(trust, &new) { Some(32) } else { None };
            assert_eq!(ours.exporter.as_ref().map(Vec::len), exported, "TLS 1.3 only (RFC 9266, 4.2)");
            connection.quit().await.expect("an orderly end");
        }
    }
}

//= 5802-6-7
#[tokio::test]
async fn a_man_in_the_middle_whom_the_client_trusts_cannot_pass_a_login_on() {
    let authority = Authority::new();
    let trust = authority.client(&[&version::TLS13]);
    let own = authority.certificate();
    let (address, mut told) = server(server::Tls::Implicit, own.clone()).await;
    // Another certificate shows in either binding; the server's own key, stolen, in the exporter alone.
    for (certificate, end_point, passes) in [
        (authority.certificate(), false, false),
        (authority.certificate(), true, false),
        (own.clone(), false, false),
        (own, true, true),
    ] {
        let middle = man_in_the_middle(certificate, address, trust.clone()).await;
        let mut connection = connect(middle, client::Tls::Implicit, trust.clone()).await;
        match log_in(&mut connection, end_point).await {
            Ok(()) => {
                assert!(passes, "end_point={end_point}");
                assert!(matches!(told.recv().await, Some(Learnt::Proven(MechanismName::ScramSha256Plus))));
            }
            Err(ConnectionError::Auth(AuthFailed::Refused(reply))) => {
                assert!(!passes, "end_point={end_point}: {reply}");
                assert_eq!(reply.code().number(), 535);
                assert!(told.try_recv().is_err(), "nothing was proven");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Who is on the path to a mail exchanger can be the other end of its TLS.
#[tokio::test]
async fn a_password_is_not_shown_to_a_server_that_nobody_verified() {
    let own = Authority::new().certificate();
    let mut config = server::Config::new(NAME.parse().expect("a name"));
    config.tls = server::Tls::Offered;
    config.auth = vec![MechanismName::Plain, MechanismName::Login];
    let there = TestServer::start_with(config, Tls::Server(own), |_| Ok(Accepted::default())).await.expect("a port");
    let mut remote = Remote::exchanger("127.0.0.1").expect("an address");
    remote = remote.at_port(there.address().port()).login("user", "pencil".to_owned());
    let refused = remote.open().await.err().expect("it would be shown");
    assert!(matches!(refused, ConnectionError::NoMechanism(_)), "{refused:?}");
    remote.config = remote.config.dangerous_allow_plaintext_auth();
    remote.open().await.expect("it may be shown");
}
