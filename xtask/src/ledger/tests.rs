//! The ledger's own tests, on small ledgers.

use super::entry::Rfc;
use super::places::{self, Kind, Source};
use super::{Ledger, page};

const HEAD: &str = "rfc = 1\ntitle = 'Host'\n";

fn entry(id: &str, status: &str, more: &str) -> String {
    format!(
        "[[requirement]]\nid = '{id}'\nlevel = 'MUST'\nbinds = 'both'\nstatus = '{status}'\nsays = 'Be kind.'\n{more}\n"
    )
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

fn code(text: &str) -> Source {
    source("crates/x/src/lib.rs", text)
}

fn talk(text: &str) -> Source {
    source("crates/x/tests/talks/a.talk", text)
}

fn gaps(entries: &str, sources: &[Source]) -> Vec<String> {
    Ledger::new(vec![Rfc::parse(&format!("{HEAD}{entries}")).expect("entries")], sources).gaps()
}

#[test]
fn done_needs_code_and_test() {
    let entries = entry("1-2.3-1", "done", "");
    let both = [code("    x(); //= 1-2.3-1\n"), talk("# Kind.   //= 1-2.3-1\nS: 220\n")];
    assert_eq!(gaps(&entries, &both), [""; 0]);
    assert_eq!(gaps(&entries, &both[..1]), ["1-2.3-1 is done and has no test: Be kind."]);
    assert_eq!(gaps(&entries, &both[1..]), ["1-2.3-1 is done and has no place in the code: Be kind."]);
    assert_eq!(gaps(&entries, &[]).len(), 2);
}

#[test]
fn unknown_names_are_gaps() {
    let found = gaps("", &[code("\n//= 1-9-9\n"), talk("# //= 1-9-9")]);
    assert_eq!(found, ["1-9-9 is no requirement: crates/x/src/lib.rs:2, crates/x/tests/talks/a.talk:1"]);
    assert_eq!(gaps("", &[code("//= as in the RFC")]).len(), 1);
}

#[test]
fn what_is_to_be_done_is_a_gap() {
    assert_eq!(gaps(&entry("1-2-1", "todo", ""), &[]), ["1-2-1 is to be done: Be kind."]);
}

#[test]
fn an_exception_needs_a_reason() {
    assert_eq!(gaps(&entry("1-2-1", "exception", "reason = 'Not ours.'"), &[]), [""; 0]);
    let without = ["1-2-1 is an exception without a reason: Be kind."];
    assert_eq!(gaps(&entry("1-2-1", "exception", ""), &[]), without);
    assert_eq!(gaps(&entry("1-2-1", "exception", "reason = ' '"), &[]), without);
}

#[test]
fn names_stand_for_one_requirement() {
    let entries = entry("1-2-1", "exception", "reason = 'Not ours.'").repeat(2);
    assert_eq!(gaps(&entries, &[]), ["1-2-1 stands for 2 requirements"]);
}

#[test]
fn names_have_a_form() {
    for bad in ["1-2", "2-2-1", "1--1", "1-2-x", "1-2-0", "1-2..3-1", "1-2-1-1"] {
        let found = gaps(&entry(bad, "exception", "reason = 'Not ours.'"), &[]);
        assert_eq!(found, [format!("{bad} is not of the form 1-SECTION-NUMBER")]);
    }
    assert_eq!(gaps(&entry("1-A.2-1", "exception", "reason = 'Not ours.'"), &[]), [""; 0]);
}

#[test]
fn unknown_fields_and_words_are_refused() {
    for bad in [entry("1-2-1", "done", "resaon = 'x'"), entry("1-2-1", "almost", ""), "extra = 1\n".into()] {
        assert!(Rfc::parse(&format!("{HEAD}{bad}")).is_err(), "{bad}");
    }
}

#[test]
fn unit_tests_are_tests_and_several_names_are_read() {
    for cfg in ["#[cfg(test)]", "#[cfg(all(test, feature = \"x\"))]"] {
        let text = format!("//= 1-2-1, 1-2-2\nfn f() {{}}\n{cfg}\nmod tests {{\n    //= 1-2-3\n}}\n");
        let found = places::find(&code(&text));
        let found: Vec<_> = found.iter().map(|(id, place)| (id.as_str(), place.line, place.kind)).collect();
        assert_eq!(found, [("1-2-1", 1, Kind::Code), ("1-2-2", 1, Kind::Code), ("1-2-3", 5, Kind::Test)]);
    }
    let elsewhere = places::find(&code("#[cfg(test)]\nmod tests;\n\n//= 1-2-1\n"));
    assert_eq!(elsewhere[0].1.kind, Kind::Code);
}

#[test]
fn what_is_said_in_a_transcript_is_no_name() {
    assert!(places::find(&talk("C: //= 1-2-1\n")).is_empty());
}

#[test]
fn files_of_tests_are_tests() {
    for path in
        ["crates/x/tests/it/a.rs", "crates/testkit/src/a.rs", "interop/tests/it/a.rs", "examples/x/src/tests.rs"]
    {
        let found = places::find(&source(path, "//= 1-2-1"));
        assert_eq!(found[0].1.kind, Kind::Test, "{path}");
    }
}

#[test]
fn the_page_shows_every_entry() {
    let entries = entry("1-2-1", "done", "") + &entry("1-A-1", "exception", "reason = 'a|b'");
    let page = page::render(&[Rfc::parse(&format!("{HEAD}{entries}")).expect("entries")]);
    assert!(page.contains("| [1](#rfc-1) | Host | 1 | 1 | 0 | 0 |\n"), "{page}");
    let row = "| [1-2-1](https://www.rfc-editor.org/rfc/rfc1#section-2) | MUST | both | Be kind. | done |\n";
    assert!(page.contains(row), "{page}");
    let row =
        "| [1-A-1](https://www.rfc-editor.org/rfc/rfc1#appendix-A) | MUST | both | Be kind. | exception: a\\|b |\n";
    assert!(page.contains(row), "{page}");
}

#[test]
fn counts_are_by_level_and_status() {
    let entries = entry("1-2-1", "done", "") + &entry("1-2-2", "todo", "");
    let ledger = Ledger::new(vec![Rfc::parse(&format!("{HEAD}{entries}")).expect("entries")], &[]);
    let counts = ledger.counts();
    let line: Vec<_> = counts.lines().last().expect("a line").split_whitespace().collect();
    assert_eq!(line, ["all", "1", "0", "1", "0", "0", "0", "0"]);
}
