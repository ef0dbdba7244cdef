//! `docs/pop3.md` says which test shows what. The tests must be there.

use std::fs;
use std::path::{Path, PathBuf};

/// The source that tests of this place are in.
fn source(root: &Path, place: &str) -> PathBuf {
    let within = |folder: &str, file: &str| root.join(folder).join(file).with_extension("rs");
    match place.split_once('/') {
        Some(("core", file)) => within("crates/core/tests/it", file),
        Some(("src", file)) => within("crates/pop3/src", file),
        Some(("postrider", file)) => within("examples/client/tests/it", file),
        Some(("postriderd", file)) => within("examples/server/tests/it", file),
        Some(("peers", file)) => within("interop/tests/it", file),
        _ => within("crates/pop3/tests/it", place),
    }
}

/// Names of the tests in a file.
fn tests(file: &Path) -> Vec<String> {
    let source = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut names = vec![];
    let mut test = false;
    for line in source.lines().map(str::trim_start) {
        // In `proptest!` the attribute is there as well.
        test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some((name, _)) = name.and_then(|rest| rest.split_once('('))
            && std::mem::take(&mut test)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Names of the transcripts in a folder.
fn talks(folder: &Path) -> Vec<String> {
    let talks = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    talks.map(|talk| talk.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("it is two folders down");
    let page = fs::read_to_string(root.join("docs/pop3.md")).expect("the page");
    let mut count = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        for named in line.split('`').skip(1).step_by(2).filter(|named| named.contains(['/', ':'])) {
            let (there, name) = match named.split_once("::") {
                Some((place, name)) => (tests(&source(root, place)), name),
                None => {
                    let (folder, name) = named.split_once('/').expect("a folder and a name");
                    (talks(&root.join("crates/pop3/tests/talks").join(folder)), name)
                }
            };
            let found = match name.strip_suffix('*') {
                Some(start) => there.iter().any(|test| test.starts_with(start)),
                None => there.iter().any(|test| test == name),
            };
            assert!(found, "there is no {named}");
            count += 1;
        }
    }
    assert!(count > 100, "the page was read");
}
