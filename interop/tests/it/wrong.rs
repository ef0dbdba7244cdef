//! Wrong input: each a clear sentence and the right exit code or reply, and nothing lost.

use std::net::TcpListener;
use std::time::Duration;

use postrider_interop::clients;
use postrider_interop::messages::Message;
use postrider_interop::wire::Wire;
use postrider_interop::{Authority, Finished, Options, Place, Postriderd, Security, postriderd_command, run};

use crate::{ALICE, BOB, assert_sentence, ours};

// The codes of sysexits.h.
const USAGE: i32 = 64;
const NO_INPUT: i32 = 66;
const UNAVAILABLE: i32 = 69;
const CANT_CREATE: i32 = 73;
const CONFIG: i32 = 78;

/// Runs `postriderd`, which is to end by itself.
#[track_caller]
fn postriderd(place: &Place, arguments: &[&str]) -> Finished {
    run(postriderd_command(place.dir()).args(arguments), Duration::from_secs(30))
}

#[test]
fn a_port_that_is_taken_is_named() {
    let place = Place::new("wrong");
    let taken = TcpListener::bind(place.at(0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let listen = place.ip().to_string();
    for service in ["--smtp", "--imaps", "--http"] {
        let done = postriderd(&place, &["localserve", "--listen", &listen, service, &port]);
        assert_sentence(&done, UNAVAILABLE, &[&port, service.trim_start_matches("--")]);
    }
}

#[test]
fn a_certificate_that_is_missing_or_none_is_named() {
    let place = Place::new("wrong");
    let done = postriderd(&place, &["localserve", "--cert", "no-cert.pem", "--key", "no-key.pem"]);
    assert_sentence(&done, NO_INPUT, &["no-cert.pem"]);
    let (cert, key) = (place.write("cert.pem", "nonsense"), place.write("key.pem", "nonsense"));
    let (cert, key) = (cert.to_str().expect("our own name"), key.to_str().expect("our own name"));
    let done = postriderd(&place, &["localserve", "--cert", cert, "--key", key]);
    assert_sentence(&done, NO_INPUT, &["cert.pem"]);
}

#[test]
fn a_data_directory_in_use_is_named_and_its_server_undisturbed() {
    let place = Place::new("wrong");
    let data = place.path("store");
    let server = Postriderd::start(&Authority::new(), &Options { data: Some(data.clone()), ..ours() });
    let data = data.to_str().expect("our own name");
    let done = postriderd(&place, &["localserve", "--data", data]);
    assert_sentence(&done, UNAVAILABLE, &[data]);
    let message = Message::small(ALICE, BOB, "undisturbed@client.test");
    clients::curl_submit(&server.submission(ALICE, Security::StartTls), ALICE, &[BOB], &message).ok();
    clients::imaplib(&server.imap(BOB, Security::Tls)).assert_are(&[message]);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let place = Place::new("wrong");
    // Root may write everywhere but below a file and in /proc.
    let file = place.write("file", "");
    for data in [file.join("data").to_str().expect("our own name"), "/proc/postrider"] {
        let done = postriderd(&place, &["localserve", "--data", data]);
        assert_sentence(&done, CANT_CREATE, &[data]);
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let place = Place::new("wrong");
    for arguments in [
        &["localserve", "--no-such-option"][..],
        &["localserve", "--smtp", "70000"],
        &["localserve", "--user", "without-a-password"],
        &["localserve", "--dns", "not-an-address"],
        &["no-such-command"],
    ] {
        let done = postriderd(&place, arguments);
        assert_eq!(done.code(), USAGE, "{done}");
        let named = arguments.last().expect("there is one");
        assert!(done.stderr.contains(named), "{named} is not named: {done}");
    }
}

#[test]
fn a_wrong_configuration_is_shown_with_line_and_suggestion() {
    let place = Place::new("wrong");
    let try_with = |text: &str| {
        let file = place.write("postrider.toml", text);
        postriderd(&place, &["serve", "--config", file.to_str().expect("our own name")])
    };
    let small = "domains = [\"ours.test\"]\ndata = \"data\"\n";
    let done = try_with(&format!("{small}[outgoing]\nsmart_host = \"relay.test:25\"\n"));
    assert_sentence(&done, CONFIG, &["postrider.toml", "line 4", "smart_host", "did you mean `smarthost`"]);
    let done = try_with(&format!("{small}[listen]\nsmtp = \"not an address\"\n"));
    assert_sentence(&done, CONFIG, &["postrider.toml", "line 4"]);
    let done = try_with("domains = [\"ours.test\"\ndata = \"data\"\n");
    assert_sentence(&done, CONFIG, &["postrider.toml", "line 2"]);
    let done = postriderd(&place, &["serve", "--config", "no-such-file.toml"]);
    assert_sentence(&done, NO_INPUT, &["no-such-file.toml"]);
}

#[test]
fn an_unknown_user_and_a_wrong_password_get_the_same_answer() {
    let server = Postriderd::start(&Authority::new(), &Options { plaintext_auth: true, ..ours() });
    let answers = [BOB, "nobody@ours.test"].map(|user| {
        let mut imap = Wire::connect(server.at("imap")).expect("the server listens");
        imap.line().expect("a greeting");
        let login = imap.imap(&format!("LOGIN {user} wrong")).expect("an answer").pop().expect("a tagged line");
        assert!(login.starts_with("t1 NO [AUTHENTICATIONFAILED]"), "{login}");

        let mut pop3 = Wire::connect(server.at("pop3")).expect("the server listens");
        pop3.line().expect("a greeting");
        pop3.send(&format!("USER {user}")).expect("connected");
        let name = pop3.line().expect("an answer");
        pop3.send("PASS wrong").expect("connected");
        let pass = pop3.line().expect("an answer");
        assert!(pass.starts_with("-ERR"), "{pass}");

        let mut smtp = Wire::connect(server.at("submission")).expect("the server listens");
        smtp.smtp_reply().expect("a greeting");
        smtp.smtp("EHLO client.test").expect("an answer");
        let (code, text) = smtp.smtp_log_in(user, "wrong").expect("an answer");
        assert_eq!(code, 535, "{text}");
        assert!(text.starts_with("5.7.8 "), "{text}");
        [login, name, pass, text]
    });
    assert_eq!(answers[0], answers[1], "the answers tell who exists");
}

#[test]
fn curl_is_told_that_the_password_is_wrong() {
    let server = Postriderd::start(&Authority::new(), &ours());
    for mut at in [server.submission(ALICE, Security::Tls), server.submission(ALICE, Security::StartTls)] {
        at.login = Some((ALICE.into(), "wrong".into()));
        let message = Message::small(ALICE, BOB, "wrong@client.test");
        let done = clients::curl_submit(&at, ALICE, &[BOB], &message);
        assert_eq!(done.code(), 67, "{done}");
        assert!(done.stderr.contains("< 535 5.7.8"), "{done}");
    }
    clients::imaplib(&server.imap(BOB, Security::Tls)).assert_are(&[]);
}

#[test]
fn sigterm_ends_the_server_with_0_and_the_next_start_finds_everything() {
    let place = Place::new("data");
    let options = Options { data: Some(place.path("store")), ..ours() };
    let authority = Authority::new();
    let mut server = Postriderd::start(&authority, &options);
    let message = Message::small(ALICE, BOB, "kept@client.test");
    clients::curl_submit(&server.submission(ALICE, Security::StartTls), ALICE, &[BOB], &message).ok();
    assert!(server.process().terminate(Duration::from_secs(30)).success(), "{}", server.log());
    drop(server);
    let server = Postriderd::start(&authority, &options);
    clients::imaplib(&server.imap(BOB, Security::Tls)).assert_are(&[message]);
}
