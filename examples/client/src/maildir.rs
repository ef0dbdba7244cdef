//! Delivery into a Maildir: written to `tmp`, synced, and only then moved to `new`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memchr_iter;

use crate::fault::{Class, Fault};

/// A Maildir that is locked against other runs of this program.
#[derive(Debug)]
pub(crate) struct Maildir {
    root: PathBuf,
    /// Holds the lock, which ends with the process.
    _lock: File,
    host: String,
    delivered: u64,
}

impl Maildir {
    /// Opens a Maildir, or makes one.
    pub(crate) fn open(root: &Path) -> Result<Self, Fault> {
        let cannot = |what: &str, error: io::Error| {
            Fault::new(Class::CantCreate, format!("cannot {what} the Maildir {}: {error}", root.display()))
        };
        for folder in ["tmp", "new", "cur"] {
            fs::create_dir_all(root.join(folder)).map_err(|error| cannot("make", error))?;
        }
        // What an interrupted run has put here may not be on disk yet, nor may the directories themselves.
        let above = root.canonicalize().map_err(|error| cannot("open", error))?;
        let places = ["new", "cur", "."].map(|folder| root.join(folder)).into_iter();
        for place in places.chain(above.parent().map(Path::to_owned)) {
            File::open(place).and_then(|place| place.sync_all()).map_err(|error| cannot("sync", error))?;
        }
        let lock = File::open(root).map_err(|error| cannot("open", error))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let sentence = format!("another postrider is fetching into {}: let it finish first", root.display());
                return Err(Fault::new(Class::TryLater, sentence));
            }
            Err(error) => return Err(cannot("lock", error.into())),
        }
        let host = rustix::system::uname().nodename().to_string_lossy().replace('/', "\\057").replace(':', "\\072");
        Ok(Self { root: root.to_owned(), _lock: lock, host, delivered: 0 })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Begins to write a message.
    pub(crate) fn begin(&mut self) -> io::Result<Delivery> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.delivered += 1;
        let (seconds, micros) = (now.as_secs(), now.subsec_micros());
        let name = format!("{seconds}.M{micros}P{}Q{}.{}", std::process::id(), self.delivered, self.host);
        let tmp = self.root.join("tmp").join(&name);
        let file = File::options().write(true).create_new(true).open(&tmp)?;
        Ok(Delivery {
            name,
            tmp,
            new: self.root.join("new"),
            file: Some(BufWriter::with_capacity(64 * 1024, file)),
            held_cr: false,
            written: 0,
        })
    }

    /// Whether a message of that name was delivered here, and is still here.
    pub(crate) fn has(&self, name: &str) -> bool {
        if self.root.join("new").join(name).exists() {
            return true;
        }
        let flagged = format!("{name}:");
        fs::read_dir(self.root.join("cur")).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let found = entry.file_name();
                let found = found.to_string_lossy();
                found == name || found.starts_with(&flagged)
            })
        })
    }
}

/// A message on its way into a Maildir. Dropped before it is complete, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Delivery {
    name: String,
    tmp: PathBuf,
    new: PathBuf,
    file: Option<BufWriter<File>>,
    /// The octets so far end with a CR that may be followed by LF.
    held_cr: bool,
    written: u64,
}

impl Delivery {
    /// The name of its file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes the next octets; CR LF becomes LF.
    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().expect("it is written before it is synced");
        let mut put = |part: &[u8]| {
            self.written += part.len() as u64;
            file.write_all(part)
        };
        let Some(first) = octets.first() else { return Ok(()) };
        if std::mem::take(&mut self.held_cr) && *first != b'\n' {
            put(b"\r")?;
        }
        let mut from = 0;
        for at in memchr_iter(b'\r', octets) {
            match octets.get(at + 1) {
                Some(b'\n') => {
                    put(&octets[from..at])?;
                    from = at + 1;
                }
                Some(_) => {}
                None => {
                    put(&octets[from..at])?;
                    from = at + 1;
                    self.held_cr = true;
                }
            }
        }
        put(&octets[from..])
    }

    /// All of it was written: it is on disk when this returns. Gives its octets.
    pub(crate) fn sync(&mut self) -> io::Result<u64> {
        let mut file = self.file.take().expect("it is synced once");
        if std::mem::take(&mut self.held_cr) {
            self.written += 1;
            file.write_all(b"\r")?;
        }
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(self.written)
    }

    /// Moves it to `new`, for good when this returns. Gives its path.
    pub(crate) fn deliver(self) -> io::Result<PathBuf> {
        assert!(self.file.is_none(), "a message is synced before it is delivered");
        let path = self.new.join(&self.name);
        fs::rename(&self.tmp, &path)?;
        File::open(&self.new)?.sync_all()?;
        Ok(path)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // Gone already if it was delivered.
        let _ = fs::remove_file(&self.tmp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(root: &Path, folder: &str) -> usize {
        fs::read_dir(root.join(folder)).expect("a Maildir").count()
    }

    #[test]
    fn line_ends_become_lf_however_the_octets_come() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let mut maildir = Maildir::open(&place.path().join("M")).expect("a Maildir");
        let text = b"\r\nA: 1\r\r\nB: 2\n\rC\r";
        for size in 1..=text.len() {
            let mut delivery = maildir.begin().expect("a delivery");
            for part in text.chunks(size) {
                delivery.write(part).expect("written");
            }
            assert_eq!(delivery.sync().expect("synced"), 15);
            let path = delivery.deliver().expect("delivered");
            assert_eq!(fs::read(path).expect("a message"), b"\nA: 1\r\nB: 2\n\rC\r", "in parts of {size}");
        }
        assert_eq!(files(maildir.root(), "tmp"), 0);
        assert_eq!(files(maildir.root(), "new"), text.len());
    }

    #[test]
    fn what_is_not_complete_leaves_nothing() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let mut maildir = Maildir::open(place.path()).expect("a Maildir");
        let mut delivery = maildir.begin().expect("a delivery");
        delivery.write(b"half").expect("written");
        drop(delivery);
        assert_eq!((files(place.path(), "tmp"), files(place.path(), "new")), (0, 0));
    }

    #[test]
    fn one_run_at_a_time() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let first = Maildir::open(place.path()).expect("a Maildir");
        let second = Maildir::open(place.path()).expect_err("it is locked");
        assert_eq!(second.class(), Class::TryLater);
        drop(first);
        Maildir::open(place.path()).expect("it is free again");
    }

    #[test]
    fn a_message_is_found_by_its_name_with_flags_too() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let maildir = Maildir::open(place.path()).expect("a Maildir");
        fs::write(place.path().join("cur/1.M2.host:2,S"), "").expect("written");
        assert!(maildir.has("1.M2.host") && !maildir.has("1.M2.hos"));
    }
}
