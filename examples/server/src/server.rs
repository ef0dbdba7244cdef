//! The running server: what all sessions share, the listeners, and the orderly end.

use crate::directory::Directory;
use crate::exit::{self, Failure};
use crate::journal::Journal;
use crate::listen::{self, Gate};
use crate::queue::{Queue, TURNINGS, Turning};
use crate::settings::{Data, Settings};
use crate::{pop3, retention, tls};
use argon2::password_hash::rand_core::{OsRng, RngCore};
use postrider_core::SessionId;
use postrider_pop3::Expire;
use postrider_store::UnixMillis;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The engine behind mailboxes and queue.
pub type Store = postrider_store::Store;

/// How long a stop waits for what was begun.
const GRACE: Duration = Duration::from_secs(20);

/// What every session needs.
pub struct Shared {
    /// Mailboxes and queue.
    pub store: Store,
    /// Who is who.
    pub directory: Directory,
    /// TLS for those who connect to us.
    pub tls: postrider_io::tls::ServerTls,
    /// What becomes of each message.
    pub journal: Journal,
    /// Requests to the queue.
    pub turns: mpsc::Sender<Turning>,
    /// What POP3 sessions know of each other.
    pub pop3: pop3::Common,
    /// What the server is to do. The last field: its data directory may go with it, and the store goes before.
    pub settings: Settings,
    stopping: watch::Receiver<bool>,
    /// Tells this run's transactions from those of earlier ones.
    run: u32,
    sessions: AtomicU64,
}

impl Shared {
    /// A number for a session; also its id in the log.
    pub fn session_id(&self) -> SessionId {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A number that tells this run of the server from others.
    pub fn run_id(&self) -> u32 {
        self.run
    }

    /// Resolves when the server is to stop. Cancel-safe.
    pub async fn stopping(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the server is gone already.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}

/// The time.
pub fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(since.as_millis().try_into().unwrap_or(i64::MAX))
}

/// Octets that nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    OsRng.fill_bytes(&mut octets);
    octets
}

/// What a listener speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// Mail from other servers.
    Smtp,
    /// Mail from users.
    Submission {
        /// TLS from the start.
        implicit_tls: bool,
    },
    /// Mail from a server in front of us.
    Lmtp,
    /// Reading mail.
    Imap {
        /// TLS from the start.
        implicit_tls: bool,
    },
    /// Fetching mail.
    Pop3 {
        /// TLS from the start.
        implicit_tls: bool,
    },
}

/// A server that listens and serves until it is stopped.
pub struct Server {
    shared: Arc<Shared>,
    /// Name of the service and where it listens.
    pub addresses: BTreeMap<&'static str, SocketAddr>,
    /// The certificate that clients are shown, PEM.
    pub certificate: std::path::PathBuf,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Serves until SIGTERM or SIGINT. Says `ready` on standard output when everything listens.
pub async fn run(settings: Settings) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let watch =
        |kind| signal(kind).map_err(|error| Failure::new(exit::IO, format!("signals cannot be watched: {error}")));
    let (mut term, mut int) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    let server = Server::start(settings).await?;
    println!("ready {}", server.ready());
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    server.stop().await
}

impl Server {
    /// Opens the store, binds every listener and begins to serve.
    pub async fn start(settings: Settings) -> Result<Self, Failure> {
        let store = open(&settings.data).await?;
        let certificate = tls::load(&settings)?;
        let directory = Directory::open(&settings, store.clone()).await?;
        let mut listeners = Vec::new();
        let wanted = &settings.listeners;
        for (name, address, service) in [
            ("smtp", wanted.smtp, Service::Smtp),
            ("submission", wanted.submission, Service::Submission { implicit_tls: false }),
            ("submissions", wanted.submissions, Service::Submission { implicit_tls: true }),
            ("lmtp", wanted.lmtp, Service::Lmtp),
            ("imap", wanted.imap, Service::Imap { implicit_tls: false }),
            ("imaps", wanted.imaps, Service::Imap { implicit_tls: true }),
            ("pop3", wanted.pop3, Service::Pop3 { implicit_tls: false }),
            ("pop3s", wanted.pop3s, Service::Pop3 { implicit_tls: true }),
        ] {
            if let Some(address) = address {
                listeners.push((name, bind(name, address).await?, service));
            }
        }
        let mut addresses = BTreeMap::new();
        for (name, listener, _) in &listeners {
            addresses.insert(*name, local(listener)?);
        }
        let http = match wanted.http {
            Some(address) => {
                let listener = bind("http", address).await?;
                addresses.insert("http", local(&listener)?);
                Some(listener)
            }
            None => None,
        };
        let lmtp_socket = settings.lmtp_socket.as_deref().map(listen::unix).transpose()?;
        let gate = Arc::new(Gate::new(settings.connections, settings.connections_per_address));
        let (stop, stopping) = watch::channel(false);
        let (turns, turnings) = mpsc::channel(TURNINGS);
        let shared = Arc::new(Shared {
            store,
            directory,
            tls: certificate.config,
            journal: Journal::default(),
            turns,
            pop3: pop3::Common::new(&settings.pop3),
            stopping,
            settings,
            run: u32::from_le_bytes(random()),
            sessions: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        for (name, listener, service) in listeners {
            tasks.spawn(listen::accept(shared.clone(), listener, name, service, gate.clone()));
        }
        if let Some(listener) = lmtp_socket {
            tasks.spawn(listen::accept(shared.clone(), listener, "lmtp_socket", Service::Lmtp, gate));
        }
        if let Some(listener) = http {
            tasks.spawn(health(shared.clone(), listener));
        }
        if let Expire::Days(days @ 1..) = shared.settings.pop3.expire {
            tasks.spawn(retention::run(shared.clone(), days));
        }
        tasks.spawn(Queue::open(shared.clone(), turnings).await?.run());
        Ok(Self { shared, addresses, certificate: certificate.path, stop, tasks })
    }

    /// What a program that started us needs to know, as JSON.
    pub fn ready(&self) -> serde_json::Value {
        let mut ready: serde_json::Map<_, _> =
            self.addresses.iter().map(|(name, address)| ((*name).to_owned(), address.port().into())).collect();
        ready.insert("cert".into(), self.certificate.display().to_string().into());
        ready.into()
    }

    /// What sessions share, for a program that runs the server in itself.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Lets what was begun come to its end, then closes the store.
    pub async fn stop(mut self) -> Result<(), Failure> {
        let _ = self.stop.send(true);
        let ended = tokio::time::timeout(GRACE, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!("some connections did not end in {GRACE:?} and were cut off");
            self.tasks.shutdown().await;
        }
        Ok(())
    }
}

async fn open(data: &Data) -> Result<Store, Failure> {
    let path = data.path().to_owned();
    std::fs::create_dir_all(&path).map_err(|error| {
        Failure::new(exit::CANT_CREATE, format!("the data directory {} cannot be made: {error}", path.display()))
    })?;
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, postrider_store::Options::default())).await;
    match opened.map_err(|error| Failure::new(exit::SOFTWARE, error.to_string()))? {
        Ok(store) => Ok(store),
        Err(error) => Err(error.into()),
    }
}

async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let sentence = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("port {} for {name} is taken: stop what listens there, or choose another", address.port())
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("port {} for {name} needs more rights than this user has", address.port())
            }
            _ => format!("{address} for {name} cannot be listened on: {error}"),
        };
        Failure::new(exit::UNAVAILABLE, sentence)
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::new(exit::IO, error.to_string()))
}

/// Answers `GET /healthz` and `GET /readyz`: the server runs, and its store can be read.
async fn health(shared: Arc<Shared>, listener: TcpListener) {
    use axum::{Router, http::StatusCode, routing::get};
    use postrider_store::Engine;
    let store = shared.store.clone();
    let ready = move || {
        let store = store.clone();
        async move {
            match store.next_due().await {
                Ok(_) => (StatusCode::OK, "ready\n".to_owned()),
                Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
            }
        }
    };
    let routes = Router::new().route("/healthz", get(|| async { "alive\n" })).route("/readyz", get(ready));
    let stopping = async move { shared.stopping().await };
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stopping).await {
        tracing::warn!(%error, "the health pages ended");
    }
}
