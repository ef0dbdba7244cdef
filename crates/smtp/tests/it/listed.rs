//! `docs/smtp.md` says which test shows what. The tests must be there.

use std::fs;
use std::path::Path;

/// Names of tests in a file's source, or of transcripts in a folder.
fn names(crates: &Path, place: &str) -> Vec<String> {
    if matches!(place, "client" | "server") {
        let talks = fs::read_dir(crates.join("smtp/tests/talks").join(place)).expect("a folder of transcripts");
        return talks.map(|talk| talk.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    }
    let (package, file) = place.split_once('/').unwrap_or(("smtp", place));
    let source = crates.join(package).join("tests/it").join(file).with_extension("rs");
    let source = fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
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

#[test]
fn every_test_that_is_named_exists() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is among others");
    let page = fs::read_to_string(crates.join("../docs/smtp.md")).expect("the page");
    let mut cases = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        cases += usize::from(line[2..].split(' ').next().is_some_and(|n| n.parse::<u32>().is_ok()));
        for named in line.split('`').skip(1).step_by(2).filter(|named| named.contains("::") || named.contains('/')) {
            let (place, name) = named.split_once("::").or_else(|| named.rsplit_once('/')).expect("a place and a name");
            let there = names(crates, place);
            let found = match name.strip_suffix('*') {
                Some(start) => there.iter().any(|test| test.starts_with(start)),
                None => there.iter().any(|test| test == name),
            };
            assert!(found, "there is no {named}");
        }
    }
    assert_eq!(cases, 59, "each case has its line");
}
