//! Which messages of a maildrop were fetched: the memory of one account, in a file in the Maildir.
//!
//! Lines are only added, and synced: what [`Plan::begin`](postrider_pop3::client::Plan::begin) gives before a message is
//! moved to its place under that name, what `kept` gives after. Whatever is interrupted, a message is then neither lost
//! nor delivered twice.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use postrider_pop3::client::Memory;

use crate::fault::{Class, Fault};
use crate::maildir::Maildir;
use crate::url::Url;

/// The file.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Reads the journal of `url` in `maildir`, or begins one.
    pub(crate) fn open(maildir: &Maildir, url: &Url) -> Result<(Self, Memory), Fault> {
        let path = maildir.root().join(file_name(url));
        let wrong = |class, why: &dyn std::fmt::Display| {
            Fault::new(class, format!("cannot use the list of fetched messages {}: {why}", path.display()))
        };
        let memory = match fs::read_to_string(&path) {
            Ok(text) => Memory::read(&text, |name| maildir.has(name))
                .map_err(|error| wrong(Class::Data, &format_args!("{error}; move it away to begin anew")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Memory::new(),
            Err(error) => return Err(wrong(Class::Io, &error)),
        };
        // Written anew each time, so that it stays short and ends with a whole line.
        let file = write_anew(maildir.root(), &path, &memory).map_err(|error| wrong(Class::CantCreate, &error))?;
        Ok((Self { path, file }, memory))
    }

    /// Adds a line, or nothing if it is empty. On disk after [`Journal::sync`].
    pub(crate) fn add(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())
    }

    /// On disk when this returns.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Keeps this memory instead of what was there.
    pub(crate) fn replace(&mut self, root: &Path, memory: &Memory) -> io::Result<()> {
        self.file = write_anew(root, &self.path, memory)?;
        Ok(())
    }
}

fn write_anew(root: &Path, path: &Path, memory: &Memory) -> io::Result<File> {
    let beside = path.with_extension("anew");
    let mut file = File::options().write(true).create(true).truncate(true).open(&beside)?;
    file.write_all(memory.to_text().as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(root)?.sync_all()?;
    Ok(file)
}

/// `postrider-pop.USER@HOST_PORT.list`
fn file_name(url: &Url) -> String {
    let mut name = String::from("postrider-pop.");
    let account = format!("{}@{}_{}", url.user.as_deref().unwrap_or_default(), url.host, url.port);
    for b in account.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'@' => name.push(char::from(b)),
            _ => name.push_str(&format!("%{b:02x}")),
        }
    }
    name + ".list"
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_pop3::UniqueId;

    #[test]
    fn it_is_remembered_and_replaced() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let maildir = Maildir::open(place.path()).expect("a Maildir");
        let url: Url = "pop3s://a%2Fb@[::1]".parse().expect("a URL");
        let id = |id| UniqueId::new(id).expect("an id");
        let (mut journal, memory) = Journal::open(&maildir, &url).expect("a journal");
        assert_eq!(memory, Memory::new());
        fs::write(place.path().join("new/there"), "").expect("written");
        for line in ["get f1 one\n", "have one\n", "get f2 two\n", "get there three\n", "have to"] {
            journal.add(line).expect("written");
        }
        journal.sync().expect("synced");
        drop(journal);
        let (mut journal, memory) = Journal::open(&maildir, &url).expect("a journal");
        let counts = ["one", "two", "three"].map(|name| memory.count(&id(name)));
        assert_eq!(counts, [1, 0, 1], "the file of two is not there");
        journal.replace(maildir.root(), &Memory::new()).expect("written");
        drop(journal);
        assert_eq!(Journal::open(&maildir, &url).expect("a journal").1, Memory::new());
        assert!(place.path().join("postrider-pop.a%2fb@%3a%3a1_995.list").exists());
    }

    #[test]
    fn a_file_of_somebody_elses_is_left_alone() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let maildir = Maildir::open(place.path()).expect("a Maildir");
        let url: Url = "pop3s://a@h".parse().expect("a URL");
        let path = place.path().join(file_name(&url));
        fs::write(&path, "something else\n").expect("written");
        assert_eq!(Journal::open(&maildir, &url).expect_err("not ours").class(), Class::Data);
        assert_eq!(fs::read(&path).expect("it is there"), b"something else\n");
    }
}
