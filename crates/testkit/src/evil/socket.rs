//! Evil peers over loopback sockets, with threads.

use super::{Doing, Peer, Script};
use postrider_core::Instant;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A server on a loopback socket that follows a script with everyone who connects. It ends when this is dropped.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<Open>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    stopped: bool,
    streams: Vec<TcpStream>,
}

impl Shared {
    /// Waits for so long, or until all is over; true if it is.
    fn wait(&self, most: Option<Duration>) -> bool {
        let open = self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match most {
            None => drop(self.changed.wait_while(open, |open| !open.stopped)),
            Some(most) => drop(self.changed.wait_timeout_while(open, most, |open| !open.stopped)),
        }
        self.is_stopped()
    }

    fn is_stopped(&self) -> bool {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).stopped
    }

    fn stop(&self) {
        let mut open = self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        open.stopped = true;
        for stream in open.streams.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    fn add(&self, stream: &TcpStream) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        open.streams.push(stream.try_clone()?);
        Ok(())
    }
}

impl Listening {
    /// Listens on a free port of the loopback address.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new(script: Script) -> io::Result<Self> {
        Self::on((Ipv4Addr::LOCALHOST, 0), script)
    }

    /// Listens there.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn on(address: impl ToSocketAddrs, script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let with = Arc::clone(&shared);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if with.is_stopped() {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (script, with) = (script.clone(), Arc::clone(&with));
                // What becomes of one connection is nobody's concern here.
                thread::spawn(move || drop(talk(&script, &stream, &with)));
            }
        });
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shared.stop();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// What came of a [`call`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Talked {
    /// What was heard, as far as the first 64 KiB.
    pub heard: Vec<u8>,
    /// Octets that were said.
    pub said: u64,
    /// Whether the other side ended the connection, or the script did; else the time was over.
    pub ended: bool,
}

/// A client that follows a script, and calls a server. It hangs up after `most`.
///
/// # Errors
/// What the operating system says when it connects.
pub fn call(script: &Script, address: impl ToSocketAddrs, most: Duration) -> io::Result<Talked> {
    let stream = TcpStream::connect(address)?;
    let shared = Arc::new(Shared::default());
    let stopper = Arc::clone(&shared);
    // Ends with the call, or ends it.
    let clock = thread::spawn(move || {
        if !stopper.wait(Some(most)) {
            stopper.stop();
            return true;
        }
        false
    });
    let talked = talk(script, &stream, &shared);
    shared.stop();
    let late = clock.join().unwrap_or(false);
    talked.map(|talked| Talked { ended: !late, ..talked })
}

/// Follows the script over this stream until either side has ended it.
fn talk(script: &Script, stream: &TcpStream, shared: &Shared) -> io::Result<Talked> {
    const KEPT: usize = 64 * 1024;
    shared.add(stream)?;
    let start = std::time::Instant::now();
    let now = || Instant::after_origin(start.elapsed());
    let (mut peer, mut heard) = (Peer::new(script), vec![]);
    let hearing = listen(stream.try_clone()?);
    let mut deaf_ears = false;
    while !shared.is_stopped() {
        let until = match peer.next(now()) {
            Doing::Say(octets) => {
                match (&*stream).write(&octets) {
                    Ok(n) => peer.said(n),
                    Err(_) => break,
                }
                continue;
            }
            Doing::HalfClose => {
                let _ = stream.shutdown(Shutdown::Write);
                continue;
            }
            Doing::Cut => break,
            // There is no TLS here: it stalls.
            Doing::Tls => None,
            Doing::Listen(until) => until,
        };
        let wait = until.map(|until| now().until(until));
        if peer.wants() == 0 || deaf_ears {
            // Who does not listen cannot hear that the other side has ended it; who heard it need not stay.
            if (deaf_ears && wait.is_none()) || shared.wait(wait) {
                break;
            }
            continue;
        }
        match receive(&hearing, wait) {
            Ok(octets) => {
                heard.extend_from_slice(&octets[..octets.len().min(KEPT - heard.len().min(KEPT))]);
                // It may hear less than came: then the connection is lost where it wants it to be.
                peer.hear(&octets[..octets.len().min(peer.wants())]);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => deaf_ears = true,
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    Ok(Talked { heard, said: peer.octets_said(), ended: true })
}

/// Reads in a thread of its own, one piece ahead of who asks for it at most.
fn listen(mut stream: TcpStream) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(0);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn receive(from: &Receiver<Vec<u8>>, most: Option<Duration>) -> Result<Vec<u8>, RecvTimeoutError> {
    match most {
        Some(most) => from.recv_timeout(most),
        None => from.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}
