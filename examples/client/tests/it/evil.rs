//! `pop` against servers that lie, flood and break off. It must end with a sentence, hold little, leave nothing half done
//! in the Maildir, and have said DELE and QUIT only where all was kept.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use postrider_testkit::evil::{Act, Listening, Script, Until};

use crate::{assert_failed, postrider, printed};

const GIBI: u64 = 1 << 30;
/// What the program may hold, in KiB. Its threads' stacks are some of it.
const MEMORY: &str = "65536";

/// A server with two messages that says what it must, with these capabilities.
fn honest(capabilities: &str) -> Script {
    Script::new("a POP3 server")
        .turn("greeting", Until::Now, [Act::line("+OK ready")])
        .answer("CAPA", &format!("+OK\r\n{capabilities}UIDL\r\n."))
        .answer("USER", "+OK")
        .answer("PASS", "+OK")
        .answer("LIST", "+OK\r\n1 12\r\n2 13\r\n.")
        .answer("UIDL", "+OK\r\n1 a\r\n2 b\r\n.")
        .answer("RETR 1", "+OK\r\nA: b\r\n\r\n..c\r\n.")
        .answer("RETR 2", "+OK\r\nA: b\r\n\r\nd\r\n.")
        .answer("DELE 1", "+OK")
        .answer("DELE 2", "+OK")
        .turn("QUIT", Until::Line, [Act::line("+OK goodbye"), Act::Cut])
}

fn user() -> Script {
    honest("USER\r\n")
}

/// What became of a run.
struct Run {
    output: Output,
    /// The commands it sent, if it was traced.
    said: Vec<String>,
    /// Messages in the Maildir.
    kept: usize,
}

/// Runs `pop` once against the script. A trace of what is endless would be, too.
fn run(script: Script, arguments: &[&str], traced: bool) -> Run {
    let place = tempfile::tempdir().expect("a temporary directory");
    let maildir = place.path().join("Maildir");
    let server = Listening::new(script).expect("loopback has ports");
    let url = format!("pop3://bob@{}", server.address());
    let mut inner = postrider(&["pop", maildir.to_str().expect("our own name"), "--pop3", &url]);
    inner.args(arguments).args(traced.then_some("--trace"));
    // The limit is the shell's, which becomes the program.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -d \"$0\" && exec \"$@\"", MEMORY]).arg(inner.get_program()).args(inner.get_args());
    let command = command.env("POSTRIDER_PASSWORD", "secret").stdin(Stdio::null());
    let output = command.output().expect("it starts");
    let trace = String::from_utf8_lossy(&output.stderr);
    let said = trace.lines().filter_map(|line| line.split_once(" C: ")).map(|(_, said)| said.to_owned()).collect();
    Run { output, said, kept: count(&maildir) }
}

fn count(maildir: &Path) -> usize {
    let entries = |name: &str| fs::read_dir(maildir.join(name)).map_or(0, Iterator::count);
    assert_eq!(entries("tmp"), 0, "nothing half done is left");
    entries("new")
}

/// The run fails with this code and these words, keeps so many messages, and deletes nothing on the server.
#[track_caller]
fn fails(script: Script, code: i32, words: &[&str], kept: usize) {
    let run = run(script, &["--plaintext-login"], true);
    assert_failed(&run.output, code, words);
    assert_eq!(run.kept, kept);
    assert!(run.said.first().is_some_and(|said| said == "CAPA"), "there is a trace: {:?}", run.said);
    let deleting = run.said.iter().any(|said| said.starts_with("DELE") || said == "QUIT");
    assert!(!deleting, "{:?}", run.said);
}

/// As [`fails`], with more than a trace may show.
#[track_caller]
fn fails_flooded(script: Script, words: &[&str]) {
    let run = run(script, &["--plaintext-login"], false);
    assert_failed(&run.output, 76, words);
    assert_eq!(run.kept, 0);
}

#[test]
fn an_honest_server_is_served_within_the_memory() {
    let run = run(user(), &["--plaintext-login"], true);
    assert!(printed(&run.output).contains("2 deleted"));
    assert_eq!(run.kept, 2);
    assert_eq!(run.said[run.said.len() - 3..], ["DELE 1", "DELE 2", "QUIT"]);
}

#[test]
fn what_does_not_end_is_ended() {
    let flood = |turn: &str, unit: &[u8], times| user().instead(turn, "a flood", [Act::flood(unit, times)]);
    let lines = |turn: &str, line: &[u8]| {
        user().instead(turn, "endless lines", [Act::line("+OK"), Act::flood(line, u64::MAX / 100)])
    };
    fails_flooded(flood("greeting", b"+OK text ", GIBI / 9), &["broke the protocol", "longer than"]);
    fails_flooded(flood("CAPA", b"+OK text ", GIBI / 9), &["broke the protocol", "longer than"]);
    fails_flooded(flood("RETR 1", b"+OK text ", GIBI / 9), &["broke the protocol", "longer than"]);
    fails_flooded(lines("CAPA", b"X-MORE\r\n"), &["broke the protocol", "256"]);
    fails_flooded(lines("UIDL", b"1 a\r\n"), &["broke the protocol", "10000000"]);
}

#[test]
fn a_listing_that_makes_no_sense_ends_the_session() {
    fails(user().replying("LIST", "+OK\r\none 12\r\n."), 76, &["broke the protocol", "message number"], 0);
    fails(user().replying("LIST", "+OK\r\n1\r\n."), 76, &["broke the protocol", "size"], 0);
    fails(user().replying("UIDL", "+OK\r\n-1 a\r\n."), 76, &["broke the protocol", "message number"], 0);
}

#[test]
fn sizes_and_ids_that_lie_lose_no_message() {
    for (turn, lie) in [
        ("LIST", "+OK 99 messages\r\n1 99999999999999999999\r\n2 0\r\n."),
        ("UIDL", "+OK\r\n1 a\r\n2 a\r\n."),
        ("UIDL", "+OK\r\n1 \r\n2 \u{1b}[2J\r\n."),
        ("greeting", "+OK <not a timestamp> <no@host@here>"),
    ] {
        let run = run(user().replying(turn, lie), &["--plaintext-login"], true);
        assert!(printed(&run.output).contains("2 messages fetched"), "{turn}: {lie}");
        assert_eq!(run.kept, 2, "{turn}: {lie}");
    }
}

#[test]
fn a_server_that_tells_no_ids_now_is_asked_later_and_one_that_has_none_is_not() {
    fails(user().replying("UIDL", "-ERR no such thing"), 75, &["unique ids now", "no such thing"], 0);
    let without = || user().replying("CAPA", "+OK\r\nUSER\r\n.");
    fails(without().replying("UIDL", "-ERR [SYS/TEMP] busy"), 75, &["unique ids now", "busy"], 0);
    let run = run(without().replying("UIDL", "-ERR no such thing"), &["--plaintext-login"], true);
    assert!(printed(&run.output).contains("2 messages fetched"));
    assert_eq!(run.kept, 2);
}

#[test]
fn a_message_that_breaks_off_is_not_kept_and_nothing_is_deleted() {
    let half = |turn: &str| user().instead(turn, "half a message", [Act::line("+OK\r\nA: b\r\n\r\nhalf"), Act::Cut]);
    fails(half("RETR 1"), 75, &["was lost"], 0);
    fails(half("RETR 2"), 75, &["was lost"], 1);
    let large = [Act::line("+OK"), Act::flood(b"text and more text\r\n", (100 << 20) / 20), Act::Cut];
    fails(user().instead("RETR 2", "100 MiB without an end", large), 75, &["was lost"], 1);
}

#[test]
fn what_is_refused_is_not_deleted() {
    fails(user().replying("PASS", "-ERR [AUTH] no"), 77, &["refused the login"], 0);
    fails(user().replying("PASS", "-ERR [IN-USE] no"), 75, &["in use"], 0);
    let run = run(user().replying("DELE 2", "-ERR no"), &["--plaintext-login"], true);
    assert_failed(&run.output, 75, &["does not delete", "nothing is deleted there"]);
    assert_eq!((run.kept, run.said.last().map(String::as_str)), (2, Some("DELE 2")), "no QUIT: RFC 1939, 6");
}

#[test]
fn bytes_after_stls_end_the_session() {
    for injected in ["+OK\r\nUSER\r\n.", "+", "\u{16}\u{3}\u{3}"] {
        let script = Script::new("a POP3 server that injects")
            .turn("greeting", Until::Now, [Act::line("+OK ready")])
            .answer("CAPA", "+OK\r\nSTLS\r\nUSER\r\nUIDL\r\n.")
            .answer("STLS", &format!("+OK go on\r\n{injected}"));
        let run = run(script, &["--starttls"], true);
        assert_failed(&run.output, 76, &["broke the protocol"]);
        assert_eq!((run.kept, &run.said[..]), (0, &["CAPA".to_owned(), "STLS".to_owned()][..]), "no password");
    }
}
