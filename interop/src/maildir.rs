//! Reading a Maildir.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::until;

/// The messages in `new` and `cur`, in order of their names.
pub fn files(maildir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["new", "cur"] {
        for entry in fs::read_dir(maildir.join(folder)).into_iter().flatten().flatten() {
            // Dovecot keeps nothing else there, but a stranger may.
            if !entry.file_name().to_string_lossy().starts_with('.') {
                found.push(entry.path());
            }
        }
    }
    found.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    found
}

/// Waits until there are `count` messages, and returns their contents.
///
/// # Panics
/// When there are not within `limit`.
#[track_caller]
pub fn wait_for(maildir: &Path, count: usize, limit: Duration) -> Vec<Vec<u8>> {
    let what = format!("{count} messages in {}", maildir.display());
    let found = until(&what, limit, || Some(files(maildir)).filter(|found| found.len() >= count));
    found.iter().map(|path| fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).collect()
}

/// Makes the three directories.
///
/// # Panics
/// When they cannot be made.
pub fn create(maildir: &Path) {
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(folder)).unwrap_or_else(|e| panic!("{}: {e}", maildir.display()));
    }
}
