//! Where the sources name requirements.

use std::fmt;

/// What stands before the names of requirements, in a comment.
const MARK: &str = "//= ";

/// A file of the sources.
pub(super) struct Source {
    /// From the top of the repository.
    pub(super) path: String,
    pub(super) text: String,
}

/// Where a requirement is named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// What a place does for the requirement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// It obeys.
    Code,
    /// It checks.
    Test,
}

/// All requirements that a file names: `//= id` or `//= id, id`, and in a transcript the same within a `#` comment.
pub(super) fn find(source: &Source) -> Vec<(String, Place)> {
    let talk = source.path.ends_with(".talk");
    let mut kind = if talk || is_test(&source.path) { Kind::Test } else { Kind::Code };
    let mut found = vec![];
    let mut lines = source.text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        // A file's unit tests are its last part, unless they have a file of their own.
        let begins = ["#[cfg(test)]", "#[cfg(all(test,"].iter().any(|cfg| line.starts_with(cfg));
        if begins && lines.peek().is_some_and(|(_, next)| next.ends_with('{')) {
            kind = Kind::Test;
        }
        if talk && !line.trim_start().starts_with('#') {
            continue;
        }
        let Some((_, ids)) = line.split_once(MARK) else { continue };
        for id in ids.split(',').map(str::trim) {
            found.push((id.to_owned(), Place { path: source.path.clone(), line: number + 1, kind }));
        }
    }
    found
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.starts_with("crates/testkit/")
        || path.starts_with("interop/")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path, self.line)
    }
}
