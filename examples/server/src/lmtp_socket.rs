//! LMTP on a unix socket.

use crate::exit::{self, Failure};
use crate::server::{Service, Shared};
use crate::smtp;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Listens on `path`, in place of a socket that nobody listens on any more.
pub fn bind(path: &Path) -> Result<UnixListener, Failure> {
    if std::os::unix::net::UnixStream::connect(path).is_err() {
        let _ = std::fs::remove_file(path);
    }
    UnixListener::bind(path).map_err(|error| {
        Failure::new(exit::UNAVAILABLE, format!("the LMTP socket {} cannot be made: {error}", path.display()))
    })
}

/// Serves who connects, until the server stops.
pub async fn accept(shared: Arc<Shared>, listener: UnixListener, connections: Arc<Semaphore>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.stopping() => break,
            _ = sessions.join_next(), if !sessions.is_empty() => {}
            accepted = listener.accept() => {
                let (Ok((stream, _)), Ok(permit)) = (accepted, connections.clone().try_acquire_owned()) else { continue };
                let shared = shared.clone();
                sessions.spawn(async move {
                    smtp::serve(shared, stream, IpAddr::V4(Ipv4Addr::LOCALHOST), Service::Lmtp).await;
                    drop(permit);
                });
            }
        }
    }
    while sessions.join_next().await.is_some() {}
}
