//! Which messages of a maildrop were fetched: a file in the Maildir, one for each account.
//!
//! Lines are only added, and synced: `get FILE ID` before a message is moved to its place under that name, `have ID`
//! after. Whatever is interrupted, a message is then neither lost nor delivered twice: an open `get` whose file is
//! there was done.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::fault::{Class, Fault};
use crate::maildir::Maildir;
use crate::url::Url;

const HEADER: &str = "postrider pop 1\n";

/// What was fetched from one account.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    have: HashSet<String>,
}

impl Journal {
    /// Reads the journal of `url` in `maildir`, or begins one.
    pub(crate) fn open(maildir: &Maildir, url: &Url) -> Result<Self, Fault> {
        let path = maildir.root().join(file_name(url));
        let wrong = |class, why: &dyn std::fmt::Display| {
            Fault::new(class, format!("cannot use the list of fetched messages {}: {why}", path.display()))
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HEADER.to_owned(),
            Err(error) => return Err(wrong(Class::Io, &error)),
        };
        let Some(lines) = text.strip_prefix(HEADER) else {
            return Err(wrong(Class::Data, &"it is not one of postrider's; move it away to begin anew"));
        };
        let have = read(lines, |name| maildir.has(name));
        // Written anew each time, so that it stays short and ends with a whole line.
        let file = write_anew(maildir.root(), &path, &have).map_err(|error| wrong(Class::CantCreate, &error))?;
        Ok(Self { path, file, have })
    }

    /// Whether this message was fetched.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.have.contains(id)
    }

    /// A message is about to be moved to its place.
    pub(crate) fn begin(&mut self, name: &str, id: &str) -> io::Result<()> {
        self.file.write_all(format!("get {name} {id}\n").as_bytes())?;
        self.file.sync_data()
    }

    /// It is there. Synced with the next one, or by [`Journal::sync`].
    pub(crate) fn done(&mut self, id: &str) -> io::Result<()> {
        self.have.insert(id.to_owned());
        self.file.write_all(format!("have {id}\n").as_bytes())
    }

    /// On disk when this returns.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Forgets all messages but those that `keep` says are still on the server.
    pub(crate) fn forget(&mut self, root: &Path, keep: impl Fn(&str) -> bool) -> io::Result<()> {
        self.have.retain(|id| keep(id));
        self.file = write_anew(root, &self.path, &self.have)?;
        Ok(())
    }
}

/// What these lines say was fetched. A last line without its end was never acted on.
fn read(lines: &str, is_there: impl Fn(&str) -> bool) -> HashSet<String> {
    let mut have = HashSet::new();
    let mut open = HashMap::new();
    for line in lines.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("have"), Some(id), None) => {
                open.remove(id);
                have.insert(id.to_owned());
            }
            (Some("get"), Some(name), Some(id)) => {
                open.insert(id, name);
            }
            // A half-written line of a crash, completed by the next one.
            _ => {}
        }
    }
    have.extend(open.into_iter().filter(|(_, name)| is_there(name)).map(|(id, _)| id.to_owned()));
    have
}

fn write_anew(root: &Path, path: &Path, have: &HashSet<String>) -> io::Result<File> {
    let beside = path.with_extension("anew");
    let mut file = File::options().write(true).create(true).truncate(true).open(&beside)?;
    let mut text = HEADER.to_owned();
    for id in have {
        text.push_str(&format!("have {id}\n"));
    }
    file.write_all(text.as_bytes())?;
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

    #[test]
    fn an_interrupted_delivery_counts_if_its_file_is_there() {
        let lines = "have a\nget f1 b\nget f2 c\nhave c\nget f3 d\nget f4 e\nhave e\nhave torn";
        let have = read(lines, |name| name == "f1");
        let mut have: Vec<_> = have.iter().map(String::as_str).collect();
        have.sort_unstable();
        assert_eq!(have, ["a", "b", "c", "e"]);
    }

    #[test]
    fn it_is_remembered_and_forgotten() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let maildir = Maildir::open(place.path()).expect("a Maildir");
        let url: Url = "pop3s://a%2Fb@[::1]".parse().expect("a URL");
        let mut journal = Journal::open(&maildir, &url).expect("a journal");
        journal.begin("f1", "one").expect("written");
        journal.done("one").expect("written");
        journal.begin("f2", "two").expect("written");
        drop(journal);
        let mut journal = Journal::open(&maildir, &url).expect("a journal");
        assert!(journal.has("one") && !journal.has("two"), "f2 is not there");
        journal.forget(maildir.root(), |id| id != "one").expect("written");
        drop(journal);
        assert!(!Journal::open(&maildir, &url).expect("a journal").has("one"));
        assert!(place.path().join("postrider-pop.a%2fb@%3a%3a1_995.list").exists());
    }
}
