//! LMTP on a unix socket.

use crate::exit::{self, Failure};
use crate::server::{Service, Shared};
use crate::smtp;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Listens on `path`, in place of a socket that nobody listens on any more. Anything else there is left alone.
//= 2033-1-1
pub fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
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
                let Ok((stream, _)) = accepted else {
                    // As for TCP: who leaves makes room.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let Ok(permit) = connections.clone().try_acquire_owned() else { continue };
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

#[cfg(test)]
mod tests {
    use super::bind;

    //= 2033-1-1
    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lmtp");
        drop(bind(&path).unwrap());
        assert!(path.exists(), "a socket outlives its listener");
        let listening = bind(&path).unwrap();
        assert!(bind(&path).is_err(), "somebody listens");
        drop(listening);
        let file = place.path().join("precious");
        std::fs::write(&file, "data").unwrap();
        assert!(bind(&file).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"data");
    }
}
