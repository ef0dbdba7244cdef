//! Reading mail, with a server that keeps to a script.

use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;

use crate::{Script, assert_failed, authority, plain, printed, run, serve};

/// A server for one connection, logged in when `script` takes over.
fn server(script: impl FnOnce(&mut Script) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    serve(vec![Box::new(move |stream: TcpStream| {
        let mut server = Script::new(stream);
        server.say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR IDLE] hello\r\n");
        server.imap("AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ=", "");
        server.imap("CAPABILITY", "* CAPABILITY IMAP4rev1 IDLE\r\n");
        script(&mut server);
    })])
}

fn url(at: SocketAddr) -> String {
    format!("imap://bob@{at}")
}

const ENVELOPE: &str = "ENVELOPE (\"Sat, 21 Nov 2026 08:30:00 +0100\" \"=?utf-8?q?Gr=C3=BC=C3=9Fe_=1B[31m?=\" \
    ((\"A \\\"B\\\"\" NIL \"a\" \"x.test\")) NIL NIL ((NIL NIL \"b\" \"x.test\")) NIL NIL NIL \"<id@x.test>\")";

fn fetched(number: u32, uid: u32) -> String {
    format!(
        "* {number} FETCH (UID {uid} FLAGS (\\Seen) INTERNALDATE \"21-Nov-2026 08:30:05 +0100\" RFC822.SIZE 2048 {ENVELOPE})\r\n"
    )
}

#[test]
fn a_list_is_decoded_and_harmless() {
    let list = |json: bool| {
        let (at, thread) = server(|server| {
            server.imap("EXAMINE INBOX", "* 2 EXISTS\r\n");
            server.imap("FETCH 1:*", &fetched(1, 10));
            server.imap("LOGOUT", "* BYE\r\n");
        });
        let url = url(at);
        let mut command = plain(&["list", "--imap", &url]);
        let output = run(if json { command.arg("--json") } else { &mut command }, b"");
        thread.join().expect("the script holds");
        printed(&output)
    };
    let text = list(false);
    assert!(text.contains("10") && text.contains("2026-11-21 08:30") && text.contains("Grüße \u{fffd}[31m"), "{text}");
    let object: serde_json::Value = serde_json::from_str(&list(true)).expect("JSON");
    assert_eq!(object["uid"], 10);
    assert_eq!(object["subject"], "Grüße \u{1b}[31m");
    assert_eq!(object["received"], "2026-11-21T08:30:05+01:00");
    assert_eq!(object["flags"], serde_json::json!(["\\Seen"]));
    assert_eq!(object["from"], serde_json::json!([{"name": "A \"B\"", "address": "a@x.test"}]));
    assert_eq!(object["message_id"], "<id@x.test>");
}

#[test]
fn a_large_message_is_read_as_it_is() {
    let message = "Subject: x\r\n\r\n".to_owned() + &"a line of it\r\n".repeat(50_000);
    let sent = message.clone();
    let (at, thread) = server(move |server| {
        server.imap("EXAMINE INBOX", "* 1 EXISTS\r\n");
        server.imap("UID FETCH 7 BODY.PEEK[]", &format!("* 1 FETCH (UID 7 BODY[] {{{}}}\r\n{sent})\r\n", sent.len()));
        server.imap("LOGOUT", "* BYE\r\n");
    });
    let output = run(&mut plain(&["read", "INBOX", "7", "--raw", "--imap", &url(at)]), b"");
    thread.join().expect("the script holds");
    assert!(printed(&output) == message);
}

#[test]
fn to_read_a_message_sets_no_flag_unless_asked() {
    let (at, thread) = server(|server| {
        server.imap("SELECT INBOX", "* 1 EXISTS\r\n");
        let message = "Subject: x\r\nContent-Type: text/html\r\n\r\n<p>Hello<br>you</p>\r\n";
        let data = format!(
            "* 1 FETCH (UID 7 FLAGS () RFC822.SIZE {0} {ENVELOPE} BODYSTRUCTURE (\"text\" \"html\" NIL NIL NIL \"7bit\" 24 1) \
             BODY[]<0> {{{0}}}\r\n{message})\r\n",
            message.len()
        );
        server.imap("UID FETCH 7 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[]<0.", &data);
        server.imap("UID STORE 7 +FLAGS.SILENT (\\Seen)", "");
        server.imap("LOGOUT", "* BYE\r\n");
    });
    let output = run(&mut plain(&["read", "INBOX", "7", "--seen", "--imap", &url(at)]), b"");
    thread.join().expect("the script holds");
    let text = printed(&output);
    assert!(text.contains("From: A \"B\" <a@x.test>") && text.contains("Hello") && !text.contains("<p>"), "{text}");
}

#[test]
fn a_message_that_is_not_there_is_66() {
    let (at, _) = server(|server| {
        server.imap("EXAMINE INBOX", "* 0 EXISTS\r\n");
        server.imap("UID FETCH 7", "");
        server.imap("LOGOUT", "* BYE\r\n");
    });
    let output = run(&mut plain(&["read", "INBOX", "7", "--raw", "--imap", &url(at)]), b"");
    assert_failed(&output, 66, &["UID 7"]);
}

#[test]
fn a_search_gives_uids() {
    let (at, thread) = server(|server| {
        server.imap("EXAMINE INBOX", "* 9 EXISTS\r\n");
        server.imap("UID SEARCH UNSEEN NOT SUBJECT plain", "* SEARCH 4 2\r\n* SEARCH 9\r\n");
        server.imap("LOGOUT", "* BYE\r\n");
    });
    let keys = ["unseen", "not", "subject", "plain"];
    let output = run(plain(&["search", "INBOX", "--json", "--imap", &url(at)]).args(keys), b"");
    thread.join().expect("the script holds");
    assert_eq!(printed(&output), "{\"uid\":2}\n{\"uid\":4}\n{\"uid\":9}\n");
}

#[test]
fn mailboxes_are_counted_whatever_the_order_of_answers() {
    let (at, thread) = server(|server| {
        let list = "* LIST (\\HasNoChildren \\Sent) \"/\" Sent\r\n* LIST () \"/\" INBOX\r\n* LIST (\\NoSelect) \"/\" \"&APw-\"\r\n";
        server.imap("LIST \"\" *", list);
        let (first, second) = (server.line(), server.line());
        let tag = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        server.say(&format!("* STATUS Sent (MESSAGES 3 UNSEEN 0)\r\n{} OK\r\n", tag(&second)));
        server.say(&format!("* STATUS INBOX (MESSAGES 5 UNSEEN 2)\r\n{} OK\r\n", tag(&first)));
        server.imap("LOGOUT", "* BYE\r\n");
    });
    let output = run(&mut plain(&["mailboxes", "--status", "--imap", &url(at)]), b"");
    thread.join().expect("the script holds");
    assert_eq!(
        printed(&output),
        "INBOX  5 messages, 2 unseen\nSent  (Sent)  3 messages, 0 unseen\nü  (holds no messages)\n"
    );
}

#[test]
fn what_happens_in_a_mailbox_is_reported() {
    let (at, thread) = server(|server| {
        server.imap("EXAMINE INBOX", "* 2 EXISTS\r\n");
        server.imap("UID SEARCH ALL", "* SEARCH 3 5\r\n");
        let idle = server.line();
        let tag = idle.split(' ').next().unwrap_or_default().to_owned();
        server.say("+ idling\r\n* 1 EXPUNGE\r\n* 1 FETCH (FLAGS (\\Flagged))\r\n* 2 EXISTS\r\n");
        assert_eq!(server.line(), "DONE");
        server.say(&format!("{tag} OK done\r\n"));
        server.imap("FETCH 2 ", &fetched(2, 6));
        server.imap("LOGOUT", "* BYE\r\n");
    });
    let output = run(&mut plain(&["watch", "--count", "3", "--json", "--imap", &url(at)]), b"");
    thread.join().expect("the script holds");
    let text = printed(&output);
    let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events[0], serde_json::json!({"event": "watching", "mailbox": "INBOX", "messages": 2}));
    assert_eq!(events[1], serde_json::json!({"event": "gone", "uid": 3}));
    assert_eq!(events[2], serde_json::json!({"event": "flags", "uid": 5, "flags": ["\\Flagged"]}));
    assert_eq!((&events[3]["event"], &events[3]["uid"]), (&"new".into(), &6.into()));
    assert_eq!(events.len(), 4);
}

#[test]
fn a_server_that_dies_or_sleeps_is_75() {
    let (at, _) = server(|server| {
        server.imap("EXAMINE INBOX", "* 1 EXISTS\r\n");
        server.line();
        server.say("* 1 FETCH (UID 7 BODY[] {500}\r\nSubject: half");
    });
    let output = run(&mut plain(&["read", "INBOX", "7", "--raw", "--imap", &url(at)]), b"");
    assert_failed(&output, 75, &["lost"]);

    let (wait, waiting) = std::sync::mpsc::channel::<()>();
    let (at, _) = server(move |server| {
        server.imap("EXAMINE INBOX", "* 1 EXISTS\r\n");
        let _ = waiting.recv();
    });
    let output = run(&mut plain(&["list", "--timeout", "1", "--imap", &url(at)]), b"");
    assert_failed(&output, 75, &["silent", "--timeout"]);
    drop(wait);
}

#[test]
fn a_server_of_another_kind_is_76() {
    let (at, _) = serve(vec![Box::new(|stream| Script::new(stream).say("220 mx.test ESMTP\r\n"))]);
    assert_failed(&run(&mut plain(&["list", "--imap", &url(at)]), b""), 76, &["protocol", "port"]);
}

#[test]
fn lines_go_to_the_server_and_its_words_come_back() {
    let (at, _) = serve(vec![Box::new(|stream| {
        let mut server = Script::new(stream);
        server.say("* OK hello\r\n");
        server.imap("NOOP", "");
        server.imap("LOGOUT", "* BYE\r\n");
    })]);
    let output = run(&mut plain(&["raw", "--imap", &url(at)]), b"a NOOP\nb LOGOUT\n");
    assert_eq!(printed(&output), "* OK hello\r\na OK done\r\n* BYE\r\nb OK done\r\n");
}

#[test]
fn a_server_that_closes_after_the_login_is_75_and_its_words_are_told() {
    let (at, _) = server(|server| server.say("* BYE going down\r\n"));
    assert_failed(&run(&mut plain(&["list", "--imap", &url(at)]), b""), 75, &["going down"]);
    let (at, _) = server(|_| {});
    assert_failed(&run(&mut plain(&["list", "--imap", &url(at)]), b""), 75, &["lost"]);
}

#[test]
fn without_starttls_nothing_more_is_said() {
    let (at, thread) = serve(vec![Box::new(|stream| {
        let mut server = Script::new(stream);
        server.say("* OK [CAPABILITY IMAP4rev1] hello\r\n");
        assert_eq!(server.line(), "", "the password is not sent");
    })]);
    let ca = authority();
    let ca = ca.path().to_str().expect("our own name");
    let output = run(plain(&["list", "--starttls", "--imap", &url(at)]).args(["--ca", ca]), b"");
    assert_failed(&output, 69, &["STARTTLS"]);
    thread.join().expect("the script holds");
}

#[test]
fn a_few_octets_cannot_claim_billions_of_messages() {
    let (at, _) = server(|server| {
        server.imap("EXAMINE INBOX", "* 1 EXISTS\r\n");
        server.imap("UID SEARCH", "* ESEARCH (TAG \"x\") UID ALL 1:4294967295\r\n");
    });
    assert_failed(&run(&mut plain(&["search", "INBOX", "all", "--imap", &url(at)]), b""), 76, &["messages"]);
}
