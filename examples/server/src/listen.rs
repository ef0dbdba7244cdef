//! Listeners: who may connect and from where, what is spoken there, and the orderly end.

use crate::exit::{self, Failure};
use crate::server::{Service, Shared};
use crate::{imap, pop3, smtp};
use postrider_core::{Session, Text};
use postrider_io::tokio::Driver;
use postrider_smtp::server::{ConnectionLimits, Connections, Network, TooManyConnections};
use postrider_smtp::wire::{Proxied, ProxyPart};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long a proxy may take for its header.
const PROXY_WAIT: Duration = Duration::from_secs(10);
/// Octets of a PROXY header.
const PROXY_HEADER: usize = 4096;
/// Connections above the limits that are told so at the same time; those above that are dropped.
const FAREWELLS: usize = 100;
/// How long that may take, TLS included.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long what a listener offers holds: some of it says a date.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// Where connections come from.
pub trait Listen: Send + Sync + 'static {
    /// What a connection is.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The next connection, and its other end's address if it has one. Cancel-safe.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;
}

impl Listen for TcpListener {
    type Stream = TcpStream;
    async fn next(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, peer) = self.accept().await?;
        let _ = stream.set_nodelay(true);
        Ok((stream, Some(peer)))
    }
}

impl Listen for UnixListener {
    type Stream = UnixStream;
    async fn next(&self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        self.accept().await.map(|(stream, _)| (stream, None))
    }
}

/// Listens on a unix socket at `path`, in place of one that nobody listens on any more. Anything else there is left alone.
//= 2033-1-1
pub fn unix(path: &Path) -> Result<UnixListener, Failure> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        let _ = std::fs::remove_file(path);
    }
    UnixListener::bind(path).map_err(|error| {
        Failure::new(exit::UNAVAILABLE, format!("the LMTP socket {} cannot be made: {error}", path.display()))
    })
}

/// How many connections there are.
pub struct Gate {
    all: Arc<Semaphore>,
    addresses: Mutex<Connections>,
    limit_per_address: usize,
    farewells: Semaphore,
}

impl Gate {
    /// Lets in `limit` connections, and `limit_per_address` of them from one address.
    pub fn new(limit: usize, limit_per_address: usize) -> Self {
        // All of them together are counted by `all`, those without an address too.
        let mut limits = ConnectionLimits::default();
        (limits.total, limits.per_address) = (usize::MAX, limit_per_address);
        Self {
            all: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            addresses: Mutex::new(Connections::new(limits)),
            limit_per_address,
            farewells: Semaphore::new(FAREWELLS),
        }
    }

    fn addresses(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a client, until what it returns is dropped.
    fn enter(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Seat, TooManyConnections> {
        if let Some(address) = client {
            self.addresses().open(address)?;
        }
        Ok(Seat { gate: self.clone(), client })
    }
}

/// See [`Gate::enter`].
struct Seat {
    gate: Arc<Gate>,
    client: Option<IpAddr>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(address) = self.client {
            self.gate.addresses().close(address);
        }
    }
}

/// A listener's service, and what its sessions share.
pub struct Port {
    service: Service,
    sessions: Sessions,
    proxies: Vec<Network>,
    made: Instant,
}

/// Where a connection comes from.
#[derive(Clone, Copy)]
pub struct Origin {
    /// Its other end; `None` if that has no address.
    pub peer: Option<SocketAddr>,
    /// What a trusted proxy at that end said of the client.
    pub proxied: Option<Proxied>,
}

impl Origin {
    /// Whom the connection counts for. What a proxy does for itself, or for somebody it does not know, counts for nobody.
    fn client(&self) -> Option<SocketAddr> {
        match self.proxied {
            None => self.peer,
            Some(Proxied::Tcp { source, .. }) => Some(source),
            Some(Proxied::Local | Proxied::Unknown) => None,
        }
    }
}

enum Sessions {
    Smtp(Arc<postrider_smtp::server::Config>),
    Imap(Arc<postrider_imap::server::Config>),
    Pop3(Arc<postrider_pop3::server::Config>),
}

impl Port {
    /// What the listener of this name serves.
    pub fn new(shared: &Shared, name: &'static str, service: Service) -> Self {
        let trust = &shared.settings.trust;
        let trusted = |by_listener: &std::collections::BTreeMap<_, Vec<Network>>| {
            by_listener.get(name).cloned().unwrap_or_default()
        };
        let sessions = match service {
            Service::Smtp | Service::Submission { .. } | Service::Lmtp => {
                Sessions::Smtp(Arc::new(smtp::config(shared, service, trusted(&trust.xclient))))
            }
            Service::Imap { implicit_tls } => Sessions::Imap(Arc::new(imap::config(shared, implicit_tls))),
            Service::Pop3 { implicit_tls } => Sessions::Pop3(Arc::new(pop3::config(shared, implicit_tls))),
        };
        Self { service, sessions, proxies: trusted(&trust.proxies), made: Instant::now() }
    }

    /// Serves one connection to its end. With `farewell`, only to say that.
    async fn session<IO: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        shared: Arc<Shared>,
        io: IO,
        from: Origin,
        farewell: Option<Text>,
    ) {
        match &self.sessions {
            Sessions::Smtp(config) => smtp::serve(shared, config.clone(), io, from, self.service, farewell).await,
            Sessions::Imap(config) => imap::serve(shared, config.clone(), io, farewell).await,
            Sessions::Pop3(config) => pop3::serve(shared, config.clone(), io, farewell).await,
        }
    }

    async fn serve<IO: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        shared: Arc<Shared>,
        gate: &Arc<Gate>,
        mut io: IO,
        peer: Option<SocketAddr>,
    ) {
        let mut from = Origin { peer, proxied: None };
        if let Some(proxy) = peer.filter(|peer| self.proxies.iter().any(|network| network.contains(peer.ip()))) {
            from.proxied = match tokio::time::timeout(PROXY_WAIT, proxied(&mut io)).await {
                Ok(Ok(said)) => Some(said),
                Ok(Err(error)) => return tracing::warn!(%proxy, %error, "a proxy sent no header that can be read"),
                Err(_) => return tracing::warn!(%proxy, "a proxy sent no header in time"),
            };
        }
        let client = from.client();
        match gate.enter(client.map(|client| client.ip())) {
            Ok(_seat) => self.session(shared, io, from, None).await,
            Err(error) => {
                tracing::info!(?client, limit = gate.limit_per_address, "too many connections from one address");
                self.dismiss(shared, gate, io, from, &error.to_string()).await;
            }
        }
    }

    /// Says why not, in the words of the protocol, unless too many are told that already.
    async fn dismiss<IO: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        shared: Arc<Shared>,
        gate: &Gate,
        io: IO,
        from: Origin,
        why: &str,
    ) {
        let Ok(_turn) = gate.farewells.try_acquire() else { return };
        let why = Text::lossy(&format!("Try again later: {why}"), 200);
        // Whoever takes longer to listen is not told.
        let _ = tokio::time::timeout(FAREWELL, self.session(shared, io, from, Some(why))).await;
    }
}

/// Reads a PROXY header, and not an octet more: what follows is the client's.
async fn proxied(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Proxied> {
    let mut header = Vec::new();
    loop {
        match Proxied::read(&header, PROXY_HEADER).map_err(io::Error::other)? {
            ProxyPart::Whole(_, proxied) => return Ok(proxied),
            ProxyPart::More(more) => {
                let at = header.len();
                header.resize(at + more, 0);
                io.read_exact(&mut header[at..]).await?;
            }
        }
    }
}

/// Serves who connects, until the server stops.
pub async fn accept<L: Listen>(
    shared: Arc<Shared>,
    listener: L,
    name: &'static str,
    service: Service,
    gate: Arc<Gate>,
) {
    let mut port = Arc::new(Port::new(&shared, name, service));
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shared.stopping() => break,
            _ = sessions.join_next(), if !sessions.is_empty() => continue,
            //= 5321-4.5.4.2-1
            accepted = listener.next() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: those who are here go on, and who leaves makes room.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if port.made.elapsed() > FRESH {
            port = Arc::new(Port::new(&shared, name, service));
        }
        let (shared, port, gate) = (shared.clone(), port.clone(), gate.clone());
        match gate.all.clone().try_acquire_owned() {
            Ok(permit) => sessions.spawn(async move {
                port.serve(shared, &gate, stream, peer).await;
                drop(permit);
            }),
            Err(_) => sessions.spawn(async move {
                let from = Origin { peer, proxied: None };
                port.dismiss(shared, &gate, stream, from, "there are too many connections").await;
            }),
        };
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

/// Tells a session once that the server stops.
pub struct Stop {
    shared: Arc<Shared>,
    told: bool,
}

impl Stop {
    /// It was not told yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, told: false }
    }

    /// The session's next event; `None` after its end. Cancel-safe.
    pub async fn next<S: Session, IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        driver: &mut Driver<S, IO>,
        shut_down: fn(&mut S, Text),
    ) -> Option<S::Event> {
        if !self.told {
            tokio::select! {
                biased;
                () = self.shared.stopping() => {
                    self.told = true;
                    shut_down(driver.session(), Text::literal("Server is shutting down"));
                }
                event = driver.next() => return event,
            }
        }
        driver.next().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= 2033-1-1
    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lmtp");
        drop(unix(&path).unwrap());
        assert!(path.exists(), "a socket outlives its listener");
        let listening = unix(&path).unwrap();
        assert!(unix(&path).is_err(), "somebody listens");
        drop(listening);
        let file = place.path().join("precious");
        std::fs::write(&file, "data").unwrap();
        assert!(unix(&file).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"data");
    }

    #[test]
    fn an_address_has_its_seats_and_gives_them_back() {
        let gate = Arc::new(Gate::new(10, 1));
        let (ada, bob) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let seat = gate.enter(Some(ada)).unwrap();
        assert!(gate.enter(Some(ada)).is_err() && gate.enter(Some(bob)).is_ok() && gate.enter(None).is_ok());
        drop(seat);
        assert!(gate.enter(Some(ada)).is_ok());
    }

    #[tokio::test]
    async fn nothing_after_a_proxy_header_is_read() {
        let client =
            Proxied::Tcp { source: "192.0.2.7:4711".parse().unwrap(), destination: "198.51.100.1:25".parse().unwrap() };
        for header in [client.encode_v1(), client.encode_v2()] {
            let octets = [&header[..], b"EHLO x"].concat();
            let mut stream = &octets[..];
            assert_eq!(proxied(&mut stream).await.unwrap(), client);
            assert_eq!(stream, b"EHLO x");
        }
        assert!(proxied(&mut &b"EHLO client.example\r\n"[..]).await.is_err());
    }
}
