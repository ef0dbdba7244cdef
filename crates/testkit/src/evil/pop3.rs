//! POP3: honest scripts, and all that can be done to them.

use super::{Act, Script, Until, strangers};
use bytes::Bytes;
use std::time::Duration;

/// So much that whoever holds it all is found out.
const GIBI: u64 = 1 << 30;
/// A flood that has no end that matters.
const ENDLESS: u64 = 1 << 40;

/// Answers from which nothing good can come. Some are wrong in form, some in their place.
pub const LIES: [&str; 20] = [
    "+OK",
    "+OK ",
    "+OK 1",
    "+OK 2 120",
    "+OK 99999999999999999999 1",
    "+OK 1 99999999999999999999",
    "+OK -1 -1",
    "-ERR",
    "-ERR no",
    "-ERR [IN-USE] no",
    "-ERR [SYS/TEMP] later",
    "-ERR [\u{1b}[2J] no",
    "+ ",
    "+ VXNlcjo=",
    "+ =no+base64",
    "OK",
    ".",
    "",
    "+OKAY",
    "250 OK",
];

/// Floods for servers, by name.
pub fn server_floods() -> Vec<(&'static str, Act)> {
    vec![
        ("endless answers", Act::flood(b"+OK 1 1\r\n", ENDLESS)),
        ("endless refusals", Act::flood(b"-ERR no\r\n", ENDLESS)),
        ("endless challenges", Act::flood(b"+ \r\n", ENDLESS)),
        ("a status line of a gibioctet", Act::flood(b"+OK text ", GIBI / 9)),
        ("a gibioctet of line ends", Act::flood(b"\r\n", GIBI / 2)),
        ("a gibioctet of CR", Act::flood(b"\r", GIBI)),
    ]
}

/// An honest server with two messages, that takes any login of two steps (USER and PASS).
pub fn server(capabilities: &[&str]) -> Script {
    let script = Script::new("a POP3 server")
        .turn("greeting", Until::Now, [Act::line("+OK ready <1.2@evil.example>")])
        .turn("CAPA", Until::Line, [capa(capabilities)]);
    maildrop(script)
}

/// An honest server that wants TLS first.
pub fn server_with_tls() -> Script {
    let script = Script::new("a POP3 server with STLS")
        .turn("greeting", Until::Now, [Act::line("+OK ready")])
        .turn("CAPA", Until::Line, [capa(&["STLS", "UIDL", "TOP"])])
        .turn("STLS", Until::Line, [Act::line("+OK go on"), Act::Tls])
        .turn("CAPA over TLS", Until::Line, [capa(&["USER", "UIDL", "TOP", "PIPELINING"])]);
    maildrop(script)
}

fn capa(capabilities: &[&str]) -> Act {
    let mut answer = String::from("+OK\r\n");
    capabilities.iter().for_each(|line| answer.push_str(&format!("{line}\r\n")));
    answer.push_str(".\r\n");
    Act::Say(answer.into())
}

/// A login by USER and PASS, and then [`COMMANDS`].
fn maildrop(script: Script) -> Script {
    script
        .answer("USER", "+OK")
        .answer("PASS", "+OK 2 messages")
        .answer("STAT", "+OK 2 25")
        .answer("LIST", "+OK\r\n1 12\r\n2 13\r\n.")
        .answer("UIDL", "+OK\r\n1 a\r\n2 b\r\n.")
        .answer("RETR", "+OK\r\nA: b\r\n\r\n..c\r\n.")
        .answer("TOP", "+OK\r\nA: b\r\n\r\n.")
        .answer("DELE", "+OK")
        .turn("QUIT", Until::Line, [Act::line("+OK goodbye"), Act::Cut])
}

/// What the client should say to the honest servers after its login, so that each turn meets its command.
pub const COMMANDS: [&str; 7] = ["STAT", "LIST", "UIDL", "RETR 1", "TOP 1 0", "DELE 1", "QUIT"];

/// All evil servers.
pub fn evil_servers() -> Vec<Script> {
    let mut scripts = vec![];
    for honest in [server(&["USER", "UIDL", "TOP"]), server(&["USER", "UIDL", "TOP", "PIPELINING"]), server_with_tls()]
    {
        scripts.extend(honest.misdeeds());
        scripts.extend(honest.lies(&LIES));
        scripts.extend(honest.floods(&server_floods()));
        scripts.push(honest);
    }
    scripts.extend(without_end());
    scripts.extend(injections());
    scripts.extend(strangers::servers());
    scripts
}

/// Servers whose answers of many lines do not end, or make no sense.
fn without_end() -> Vec<Script> {
    let honest = server(&["USER", "UIDL", "TOP"]);
    let lines = |turn: &str, what: &str, line: &'static [u8], times: u64| {
        honest.instead(turn, what, [Act::line("+OK"), Act::flood(line, times)])
    };
    vec![
        lines("CAPA", "endless capabilities", b"X-MORE and more\r\n", ENDLESS),
        lines("CAPA", "endless mechanisms", b"SASL PLAIN LOGIN X-MORE\r\n", ENDLESS),
        lines("CAPA", "a capability of a gibioctet", b"SASL ", GIBI / 5),
        lines("LIST", "endless messages", b"1 120\r\n", ENDLESS),
        lines("LIST", "endless empty lines", b"\r\n", ENDLESS),
        lines("LIST", "a message of a gibioctet", b"1", GIBI),
        lines("UIDL", "endless messages", b"1 a\r\n", ENDLESS),
        lines("UIDL", "an id of a gibioctet", b"1 a", GIBI / 3),
        lines("RETR", "64 MiB and no end", b"text\r\n..\r\n", (64 << 20) / 10),
        lines("RETR", "a line of 64 MiB", b"text", 16 << 20),
        lines("RETR", "64 MiB of dots", b".", 64 << 20),
        lines("TOP", "64 MiB and no end", b"text\r\n", (64 << 20) / 6),
        honest.replying("RETR", "+OK\r\nA: b\r\n\r\n.c\n.\nd\r\n.").called("a POP3 server that ends lines with LF"),
        honest.replying("LIST", "+OK\r\n1 12\r\n.\r\n2 13\r\n."),
        honest.replying("LIST", "+OK\r\n0 12\r\n4294967296 1\r\n."),
        honest.replying("UIDL", "+OK\r\n1 \r\n2 \u{1b}[2J\r\n."),
        honest
            .replying("RETR", "+OK\r\nhalf a message\r\n-ERR sorry")
            .called("a POP3 server that gives up within a message"),
        Script::new("a POP3 server, for ever in a login")
            .turn("greeting", Until::Now, [Act::line("+OK ready")])
            .turn("CAPA", Until::Line, [capa(&["SASL PLAIN LOGIN"])])
            .answer("AUTH", "+ VXNlcjo=")
            .times(ENDLESS),
    ]
}

/// Servers that say something in the clear that they hope to be believed over TLS.
pub fn injections() -> Vec<Script> {
    let honest = server_with_tls();
    let inject =
        |what: &str, line: &str| honest.replying("STLS", line).called(format!("a POP3 server that injects {what}"));
    vec![
        inject("an answer", "+OK go on\r\n+OK\r\nUSER\r\n."),
        inject("half an answer", "+OK go on\r\n+"),
        inject("a TLS record", "+OK go on\r\n\u{16}\u{3}\u{3}"),
        honest.replying("STLS", "-ERR not now").called("a POP3 server that offers TLS and refuses it"),
        honest.instead("STLS", "goes on in the clear", [Act::line("+OK go on"), Act::line("+OK")]),
        honest.instead("STLS", "goes", [Act::line("+OK go on"), Act::Cut]),
        honest.instead("STLS", "says nothing more", [Act::line("+OK go on")]),
    ]
}

// ── clients ──

/// An honest client: alice, with the password wonderland, who reads and deletes a message.
pub fn client() -> Script {
    commands(Script::new("a POP3 client").turn("CAPA", Until::Line, [Act::line("CAPA")]))
}

/// An honest client that asks for TLS first.
pub fn client_with_tls() -> Script {
    commands(
        Script::new("a POP3 client with STLS")
            .turn("STLS", Until::Line, [Act::line("STLS")])
            .turn("TLS", Until::Line, [Act::Tls])
            .turn("CAPA", Until::Now, [Act::line("CAPA")]),
    )
}

/// An honest client that sends all at once (PIPELINING).
pub fn pipelining_client() -> Script {
    let group = "USER alice\r\nPASS wonderland\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 1 0\r\nDELE 1\r\nQUIT\r\n";
    Script::new("a pipelining POP3 client").turn("all", Until::Line, [Act::Say(Bytes::from_static(group.as_bytes()))])
}

fn commands(script: Script) -> Script {
    let lines = || Until::Octets(Bytes::from_static(b"\r\n.\r\n"));
    script
        .turn("USER", lines(), [Act::line("USER alice")])
        .turn("PASS", Until::Line, [Act::line("PASS wonderland")])
        .turn("STAT", Until::Line, [Act::line("STAT")])
        .turn("LIST", Until::Line, [Act::line("LIST")])
        .turn("UIDL", lines(), [Act::line("UIDL")])
        .turn("RETR", lines(), [Act::line("RETR 1")])
        .turn("TOP", lines(), [Act::line("TOP 1 0")])
        .turn("DELE", lines(), [Act::line("DELE 1")])
        .turn("QUIT", Until::Line, [Act::line("QUIT")])
}

/// Lines that are no command that a server should obey.
pub const NONSENSE: [&str; 16] = [
    "",
    "\0",
    "USER",
    "USER a\rb",
    "PASS",
    "RETR",
    "RETR 0",
    "RETR -1",
    "RETR 99999999999999999999",
    "TOP 1",
    "TOP 1 -1",
    "DELE 3",
    "AUTH =",
    "AUTH PLAIN =",
    "APOP alice 00000000000000000000000000000000",
    "\u{1b}[2J",
];

/// Floods for clients, by name.
pub fn client_floods() -> Vec<(&'static str, Act)> {
    vec![
        ("100,000 NOOP", Act::flood(b"NOOP\r\n", 100_000)),
        ("100,000 CAPA", Act::flood(b"CAPA\r\n", 100_000)),
        ("100,000 LIST", Act::flood(b"LIST\r\n", 100_000)),
        ("10,000 RETR", Act::flood(b"RETR 1\r\n", 10_000)),
        ("100,000 logins", Act::flood(b"USER alice\r\nPASS wrong\r\n", 100_000)),
        ("100,000 AUTH", Act::flood(b"AUTH PLAIN AGEAYg==\r\n", 100_000)),
        ("100,000 lines of nonsense", Act::flood(b"What is this?\r\n", 100_000)),
        ("a line of a gibioctet", Act::flood(b"NOOP and ", GIBI / 9)),
        ("a gibioctet of line ends", Act::flood(b"\r\n", GIBI / 2)),
        ("a gibioctet of NUL", Act::flood(b"\0", GIBI)),
    ]
}

/// All evil clients, for a server with a maildrop of alice's, whose password is wonderland, that offers TLS.
pub fn evil_clients() -> Vec<Script> {
    let mut scripts = vec![];
    for honest in [client(), client_with_tls(), pipelining_client()] {
        scripts.extend(honest.misdeeds());
        scripts.extend(honest.lies(&NONSENSE));
        scripts.push(honest);
    }
    scripts.extend(client().floods(&client_floods()));
    let slow = Duration::from_secs(500);
    scripts.push(
        client()
            .stall_before("LIST")
            .turn("NOOP", Until::Line, [Act::Wait(slow), Act::line("NOOP")])
            .times(1000)
            .called("a POP3 client that stays for days"),
    );
    scripts.extend(before_tls());
    scripts.extend(strangers::clients());
    scripts
}

/// Clients that say something in the clear that they hope to be obeyed over TLS, and other ways to spoil STLS.
pub fn before_tls() -> Vec<Script> {
    let honest = client_with_tls();
    let say = |what: &str, line: &str| honest.replying("STLS", line).called(format!("a POP3 client that {what}"));
    vec![
        say("injects commands", "STLS\r\nUSER alice\r\nPASS wonderland\r\nDELE 1\r\nQUIT"),
        say("injects half a command", "STLS\r\nUS"),
        say("says STLS twice", "STLS\r\nSTLS"),
        say("begins TLS before it may", "STLS\r\n\u{16}\u{3}\u{1}"),
        honest.instead("TLS", "goes on in the clear", [Act::line("CAPA"), Act::line("USER alice")]),
        honest.instead("TLS", "goes", [Act::Cut]),
        honest.instead("TLS", "says nothing more", []),
    ]
}
