//! Where a peer lives: a private directory and a loopback address nobody else uses.

use std::collections::hash_map::RandomState;
use std::fs::{self, Permissions};
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The UDP port whose holder owns a loopback address (discard: nothing here serves it).
const CLAIM: u16 = 9;

/// A directory that is removed at the end, and an address in 127.64.0.0/10 that belongs to this value alone, also
/// across processes, so that fixed ports such as 53 are as free as any. With `INTEROP_KEEP` in the environment, the
/// directory stays for inspection.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
    ip: Ipv4Addr,
    _claim: UdpSocket,
}

impl Place {
    /// Claims a fresh place. `name` appears in the directory's name.
    ///
    /// # Panics
    /// When no directory can be made or no address claimed.
    pub fn new(name: &str) -> Self {
        let mut dir = tempfile::Builder::new()
            .prefix(&format!("postrider-{name}-"))
            .tempdir()
            .expect("a temporary directory can be made");
        dir.disable_cleanup(std::env::var_os("INTEROP_KEEP").is_some());
        // Peers that drop root must be able to walk through to what is theirs.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("own directory");
        for attempt in 0..64u8 {
            let [a, b, c, ..] = RandomState::new().hash_one(attempt).to_le_bytes();
            let ip = Ipv4Addr::new(127, 64 | (a & 0x3f), b, c.clamp(1, 254));
            if let Ok(claim) = UdpSocket::bind((ip, CLAIM)) {
                return Self { dir, ip, _claim: claim };
            }
        }
        panic!("no loopback address could be claimed on UDP port {CLAIM}: are you root?");
    }

    /// The directory, walkable by every user and writable by its owner.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The address.
    pub fn ip(&self) -> IpAddr {
        self.ip.into()
    }

    /// A port of the address that was free a moment ago. Since the address is ours, it stays so.
    pub fn free_port(&self) -> u16 {
        TcpListener::bind((self.ip, 0)).and_then(|l| l.local_addr()).expect("a loopback port can be bound").port()
    }

    /// Two of them.
    pub fn two_free_ports(&self) -> (u16, u16) {
        let first = self.free_port();
        loop {
            match self.free_port() {
                second if second != first => return (first, second),
                _ => {}
            }
        }
    }

    /// The address with one of its ports.
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.ip, port).into()
    }

    /// Writes a file, and the directories above it, and returns its path.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("own directory");
        fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// Writes a file only its owner may read, as clients demand of files with passwords.
    pub fn write_secret(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(name, content);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("own file");
        path
    }

    /// Makes a directory that belongs to `uid` and `gid`.
    pub fn owned_dir(&self, name: impl AsRef<Path>, uid: u32, gid: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("own directory");
        std::os::unix::fs::chown(&path, Some(uid), Some(gid))
            .unwrap_or_else(|e| panic!("{} cannot be given to user {uid} (are you root?): {e}", path.display()));
        path
    }
}
