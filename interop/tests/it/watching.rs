//! Several clients on one mailbox: what one does, the others see at once.

use std::time::Duration;

use postrider_interop::clients;
use postrider_interop::messages::Message;
use postrider_interop::wire::Wire;
use postrider_interop::{Authority, Options, Postriderd, Security};

use crate::{ALICE, BOB, SECRET, ours};

/// How soon a change must be seen.
const SOON: Duration = Duration::from_secs(1);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn server() -> Postriderd {
    Postriderd::start(&Authority::new(), &Options { plaintext_auth: true, ..ours() })
}

/// Bob's inbox, selected.
fn open(server: &Postriderd) -> Wire {
    let mut wire = Wire::connect(server.at("imap")).expect("the server listens");
    assert!(wire.line().expect("a greeting").starts_with("* OK"));
    ok(&wire.imap(&format!("LOGIN {BOB} \"{SECRET}\"")).expect("an answer"));
    ok(&wire.imap("SELECT INBOX").expect("an answer"));
    wire
}

#[track_caller]
fn ok(answer: &[String]) {
    assert!(answer.last().is_some_and(|line| line.contains(" OK")), "{answer:#?}");
}

#[track_caller]
fn idle(wire: &mut Wire) {
    wire.send("idle IDLE").expect("connected");
    wire.wait_for("continuation of IDLE", PATIENCE, |line| line.starts_with('+'));
}

#[track_caller]
fn done(wire: &mut Wire) {
    wire.send("DONE").expect("connected");
    ok(&wire.imap_until("idle").expect("an answer"));
}

#[test]
fn what_one_changes_the_other_sees_within_a_second_in_idle() {
    let server = server();
    let (mut one, mut other) = (open(&server), open(&server));
    idle(&mut other);

    let message = "Subject: appended\r\n\r\nbody\r\n";
    one.send(&format!("a APPEND INBOX (\\Draft) {{{}}}", message.len())).expect("connected");
    one.wait_for("continuation of APPEND", PATIENCE, |line| line.starts_with('+'));
    one.send(message).expect("connected");
    ok(&one.imap_until("a").expect("an answer"));
    other.wait_for("EXISTS", SOON, |line| line == "* 1 EXISTS");

    ok(&one.imap("STORE 1 +FLAGS (\\Flagged $Work)").expect("an answer"));
    other.wait_for("FETCH with the new flags", SOON, |line| {
        line.starts_with("* 1 FETCH (") && line.contains("\\Flagged") && line.contains("$Work")
    });

    ok(&one.imap("STORE 1 +FLAGS.SILENT (\\Deleted)").expect("an answer"));
    other.wait_for("FETCH with \\Deleted", SOON, |line| line.starts_with("* 1 FETCH (") && line.contains("\\Deleted"));

    ok(&one.imap("EXPUNGE").expect("an answer"));
    other.wait_for("EXPUNGE", SOON, |line| line == "* 1 EXPUNGE");
    done(&mut other);
    ok(&other.imap("NOOP").expect("an answer"));
}

#[test]
fn a_delivery_wakes_everybody() {
    let server = server();
    let (mut one, mut other) = (open(&server), open(&server));
    idle(&mut one);
    idle(&mut other);
    let message = Message::small(ALICE, BOB, "wakes@client.test");
    clients::curl_submit(&server.submission(ALICE, Security::StartTls), ALICE, &[BOB], &message).ok();
    // The delivery was complete when curl got its 250, so the second has begun at the latest.
    one.wait_for("EXISTS for the first", SOON, |line| line == "* 1 EXISTS");
    other.wait_for("EXISTS for the second", SOON, |line| line == "* 1 EXISTS");
    done(&mut one);
    done(&mut other);
}

//= 1939-6-1
#[test]
fn what_pop3_deletes_imap_sees_vanish() {
    let server = server();
    let message = Message::small(ALICE, BOB, "pop3@client.test");
    clients::curl_submit(&server.submission(ALICE, Security::StartTls), ALICE, &[BOB], &message).ok();
    let mut imap = open(&server);
    idle(&mut imap);
    let mut pop3 = Wire::connect(server.at("pop3")).expect("the server listens");
    assert!(pop3.line().expect("a greeting").starts_with("+OK"));
    for command in [format!("USER {BOB}"), format!("PASS {SECRET}"), "DELE 1".to_owned(), "QUIT".to_owned()] {
        pop3.send(&command).expect("connected");
        let answer = pop3.line().expect("an answer");
        assert!(answer.starts_with("+OK"), "{command}: {answer}");
    }
    imap.wait_for("EXPUNGE", SOON, |line| line == "* 1 EXPUNGE");
}
