//! SMTP and LMTP: honest scripts, and all that can be done to them.
//!
//! The honest ones take whatever comes in the place of what they wait for, so that they fit any client and any server.

use super::{Act, Script, Until, strangers};
use bytes::Bytes;
use std::time::Duration;

/// So much that whoever holds it all is found out.
const GIBI: u64 = 1 << 30;
/// A flood that has no end that matters.
const ENDLESS: u64 = 1 << 40;

/// The replies of a session from which nothing good can come. Some are wrong in form, some in their place.
pub const LIES: [&str; 22] = [
    "421 4.3.2 Going down",
    "450 4.0.0 Later",
    "452 4.5.3 Too many",
    "550 5.0.0 No",
    "500 What",
    "220 evil.example",
    "250 2.0.0 OK",
    "334 ",
    "334 =no+base64",
    "354 Go on",
    "235 2.7.0 Come in",
    "150 What is this",
    "999 What is this",
    "25",
    "2500 OK",
    "250-2.0.0 one\r\n550 5.0.0 another",
    "250-2.0.0 never ended\r\nwith a word",
    "250\u{1b}[2J OK",
    "250 \u{1b}[2J\u{7} OK \u{9b}",
    "",
    "+OK",
    "HTTP/1.1 200 OK",
];

/// Floods for servers, by name.
pub fn server_floods() -> Vec<(&'static str, Act)> {
    vec![
        ("a reply of endless lines", Act::flood(b"250-and more\r\n", ENDLESS)),
        ("a reply of endless empty lines", Act::flood(b"250-\r\n", ENDLESS)),
        ("endless replies", Act::flood(b"250 2.0.0 OK\r\n", ENDLESS)),
        ("endless refusals", Act::flood(b"550 5.0.0 No\r\n", ENDLESS)),
        ("a line of a gibioctet", Act::flood(b"250 text ", GIBI / 9)),
        ("a gibioctet of line ends", Act::flood(b"\r\n", GIBI / 2)),
        ("a gibioctet of CR", Act::flood(b"\r", GIBI)),
        ("endless challenges", Act::flood(b"334 \r\n", ENDLESS)),
        ("endless invitations", Act::flood(b"354 Go on\r\n", ENDLESS)),
    ]
}

/// An honest server that offers these extensions, and takes one message for so many recipients.
pub fn server(extensions: &[&str], recipients: u64) -> Script {
    let script = Script::new("an SMTP server")
        .turn("greeting", Until::Now, [Act::line("220 evil.example ESMTP")])
        .turn("EHLO", Until::Line, [hello(extensions)]);
    transaction(script, recipients)
}

/// An honest server that wants TLS first.
pub fn server_with_tls(recipients: u64) -> Script {
    let script = Script::new("an SMTP server with STARTTLS")
        .turn("greeting", Until::Now, [Act::line("220 evil.example ESMTP")])
        .turn("EHLO", Until::Line, [hello(&["PIPELINING", "STARTTLS"])])
        .turn("STARTTLS", Until::Line, [Act::line("220 2.0.0 Go on"), Act::Tls])
        .turn("EHLO over TLS", Until::Line, [hello(&["PIPELINING"])]);
    transaction(script, recipients)
}

/// An honest server that wants a login, by any mechanism that takes one step.
pub fn server_with_auth(recipients: u64) -> Script {
    let script = Script::new("an SMTP server with AUTH")
        .turn("greeting", Until::Now, [Act::line("220 evil.example ESMTP")])
        .turn("EHLO", Until::Line, [hello(&["PIPELINING", "AUTH PLAIN LOGIN"])])
        .answer("AUTH", "235 2.7.0 Come in");
    transaction(script, recipients)
}

/// An honest LMTP server.
pub fn lmtp_server(recipients: u64) -> Script {
    let mut script = Script::new("an LMTP server")
        .turn("greeting", Until::Now, [Act::line("220 evil.example LMTP")])
        .turn("LHLO", Until::Line, [hello(&["PIPELINING"])])
        .answer("MAIL", "250 2.1.0 OK");
    for recipient in 1..=recipients {
        script = script.answer(&format!("RCPT {recipient}"), "250 2.1.5 OK");
    }
    let replies: Vec<Act> = (0..recipients).map(|_| Act::line("250 2.0.0 Taken")).collect();
    script.answer("DATA", "354 Go on").turn("message", Until::Octets(Bytes::from_static(b"\r\n.\r\n")), replies).turn(
        "QUIT",
        Until::Line,
        [Act::line("221 2.0.0 Goodbye"), Act::Cut],
    )
}

/// An honest server that offers CHUNKING, for a client that sends three chunks to two recipients (RFC 3030).
pub fn chunking_server() -> Script {
    let octets = |text: &'static str| Until::Octets(Bytes::from_static(text.as_bytes()));
    Script::new("an SMTP server with CHUNKING")
        .turn("greeting", Until::Now, [Act::line("220 evil.example ESMTP")])
        .turn("EHLO", Until::Line, [hello(&["PIPELINING", "CHUNKING"])])
        .answer("MAIL", "250 2.1.0 OK")
        .answer("RCPT 1", "250 2.1.5 OK")
        .answer("RCPT 2", "250 2.1.5 OK")
        .turn("chunk 1", octets("BDAT "), [Act::line("250 2.0.0 OK")])
        .turn("chunk 2", octets("BDAT "), [Act::line("250 2.0.0 OK")])
        .turn("chunk 3", octets(" LAST\r\n"), [Act::line("250 2.0.0 Taken")])
        .turn("QUIT", octets("QUIT\r\n"), [Act::line("221 2.0.0 Goodbye"), Act::Cut])
}

/// Servers that take part of a message in chunks, and then think better of it, or of nothing at all.
pub fn evil_chunking_servers() -> Vec<Script> {
    let honest = chunking_server();
    let mut scripts = honest.misdeeds();
    scripts.extend(honest.lies(&LIES));
    scripts.extend(honest.floods(&server_floods()));
    for chunk in ["chunk 1", "chunk 2", "chunk 3"] {
        for reply in ["452 4.3.1 Full", "554 5.6.0 No", "503 5.5.1 What message?", "502 5.5.1 No BDAT", "421 4.3.2 Bye"]
        {
            scripts.push(honest.replying(chunk, reply));
        }
        scripts.push(honest.instead(chunk, "silence", []));
        scripts.push(honest.instead(chunk, "half a reply", [Act::Say(Bytes::from_static(b"250-2.0.0 "))]));
        scripts.push(honest.adding(chunk, "another reply", [Act::line("250 2.0.0 OK")]));
    }
    scripts.push(honest);
    scripts
}

fn hello(extensions: &[&str]) -> Act {
    let mut reply = String::new();
    for (index, line) in std::iter::once(&"evil.example").chain(extensions).enumerate() {
        let sign = if index == extensions.len() { ' ' } else { '-' };
        reply.push_str(&format!("250{sign}{line}\r\n"));
    }
    Act::Say(reply.into())
}

fn transaction(script: Script, recipients: u64) -> Script {
    let mut script = script.answer("MAIL", "250 2.1.0 OK");
    for recipient in 1..=recipients {
        script = script.answer(&format!("RCPT {recipient}"), "250 2.1.5 OK");
    }
    script
        .answer("DATA", "354 Go on")
        .turn("message", Until::Octets(Bytes::from_static(b"\r\n.\r\n")), [Act::line("250 2.0.0 Taken")])
        .turn("QUIT", Until::Line, [Act::line("221 2.0.0 Goodbye"), Act::Cut])
}

/// All evil servers, for a client that sends one message to two recipients.
pub fn evil_servers() -> Vec<Script> {
    let mut scripts = vec![];
    for honest in [server(&[], 2), server(&["PIPELINING"], 2), server_with_tls(2), server_with_auth(2), lmtp_server(2)]
    {
        scripts.extend(honest.misdeeds());
        scripts.extend(honest.lies(&LIES));
        scripts.extend(honest.floods(&server_floods()));
        scripts.push(honest);
    }
    scripts.extend(greedy_and_false());
    scripts.extend(injections());
    scripts.extend(strangers::servers());
    scripts
}

/// Servers whose replies are right in form, and which mean no good.
fn greedy_and_false() -> Vec<Script> {
    let plain = server(&["PIPELINING"], 2);
    let auth = server_with_auth(2);
    let forever = |name: &str, line: &str| {
        Script::new(format!("an SMTP server, for ever at {name}"))
            .turn("greeting", Until::Now, [Act::line("220 evil.example ESMTP")])
            .turn("EHLO", Until::Line, [hello(&["AUTH PLAIN LOGIN"])])
            .answer(name, line)
            .times(ENDLESS)
    };
    let keywords: Vec<String> = (0..10_000).map(|n| format!("X-{n}")).collect();
    let keywords: Vec<&str> = keywords.iter().map(String::as_str).collect();
    let mechanisms = format!("AUTH {}", "PLAIN ".repeat(300));
    let twice = "250 2.0.0 Taken\r\n554 5.0.0 Changed my mind";
    let again = "250 2.0.0 Taken\r\n421 4.3.2 Going down";
    vec![
        server(&keywords, 2).called("an SMTP server with 10,000 extensions"),
        server(&[&mechanisms, "SIZE 99999999999999999999999", "LIMITS RCPTMAX=0 MAILMAX=-1", "STARTTLS", "X\tY"], 2)
            .called("an SMTP server whose extensions make no sense"),
        server(&["pipelining", "auth=login", "AUTH LOGIN", "Size 10\u{a0}"], 2)
            .called("an SMTP server whose extensions are written oddly"),
        plain.replying("message", twice).called("an SMTP server that takes the message and then refuses it"),
        plain.replying("message", again).called("an SMTP server that takes the message and goes"),
        plain.adding("MAIL", "answers what comes later", [Act::line("250 2.1.5 OK"), Act::line("250 2.1.5 OK")]),
        plain.adding("greeting", "greets twice", [Act::line("220 evil.example ESMTP")]),
        plain.stall_before("RCPT 2").called("an SMTP server that offers PIPELINING and forgets half of what came"),
        plain
            .replying("RCPT 1", "550 5.1.1 No")
            .replying("RCPT 2", "450 4.2.1 Later")
            .called("an SMTP server that refuses all recipients and wants the message"),
        forever("AUTH", "334 "),
        forever("AUTH", "334 VXNlcm5hbWU6"),
        forever("anything", "250 2.0.0 OK"),
        forever("anything", "450 4.0.0 Later"),
        auth.instead(
            "AUTH",
            "a challenge of a mebioctet",
            [Act::Say(Bytes::from_static(b"334 ")), Act::flood(b"AAAA", 1 << 18), Act::line("")],
        ),
    ]
}

/// Servers that say something in the clear that they hope to be believed over TLS.
pub fn injections() -> Vec<Script> {
    let honest = server_with_tls(2);
    let inject = |what: &str, line: &str| {
        honest.replying("STARTTLS", line).called(format!("an SMTP server that injects {what}"))
    };
    vec![
        inject("a reply", "220 2.0.0 Go on\r\n250 evil.example"),
        inject(
            "a whole session",
            "220 2.0.0 Go on\r\n250-x\r\n250 AUTH LOGIN\r\n250 OK\r\n250 OK\r\n354 Go on\r\n250 OK",
        ),
        inject("half a reply", "220 2.0.0 Go on\r\n250"),
        inject("a TLS record", "220 2.0.0 Go on\r\n\u{16}\u{3}\u{3}"),
        honest.replying("STARTTLS", "454 4.7.0 Not now").called("an SMTP server that offers TLS and refuses it"),
        server(&["PIPELINING"], 2).called("an SMTP server whose STARTTLS was taken away"),
        server(&["PIPELINING", "XXXXXXXX"], 2).called("an SMTP server whose STARTTLS was made unreadable"),
        honest.instead("STARTTLS", "goes on in the clear", [Act::line("220 2.0.0 Go on"), Act::line("250 2.0.0 OK")]),
        honest.instead("STARTTLS", "goes", [Act::line("220 2.0.0 Go on"), Act::Cut]),
        honest.instead("STARTTLS", "says nothing more", [Act::line("220 2.0.0 Go on")]),
        honest.instead(
            "STARTTLS",
            "is alarmed",
            [
                Act::line("220 2.0.0 Go on"),
                Act::Wait(Duration::from_secs(1)),
                Act::Say(Bytes::from_static(strangers::TLS_ALERT)),
            ],
        ),
    ]
}

// ── clients ──

/// What the honest clients send.
pub const MESSAGE: &[u8] = b"Subject: tea\r\n\r\n..one\r\ntwo\r\n.\r\n";

/// An honest client that sends one message to so many recipients, and waits for each reply.
pub fn client(recipients: u64) -> Script {
    let script = Script::new("an SMTP client").turn("EHLO", Until::Reply, [Act::line("EHLO evil.example")]);
    envelope(script, recipients)
}

/// An honest client that asks for TLS first.
pub fn client_with_tls() -> Script {
    let script = Script::new("an SMTP client with STARTTLS")
        .turn("EHLO", Until::Reply, [Act::line("EHLO evil.example")])
        .turn("STARTTLS", Until::Reply, [Act::line("STARTTLS")])
        .turn("TLS", Until::Reply, [Act::Tls])
        .turn("EHLO over TLS", Until::Now, [Act::line("EHLO evil.example")]);
    envelope(script, 1)
}

/// An honest client that logs in by AUTH LOGIN, as alice with the password wonderland.
pub fn client_with_auth() -> Script {
    let script = Script::new("an SMTP client with AUTH")
        .turn("EHLO", Until::Reply, [Act::line("EHLO evil.example")])
        .turn("AUTH", Until::Reply, [Act::line("AUTH LOGIN")])
        .turn("user", Until::Reply, [Act::line("YWxpY2U=")])
        .turn("password", Until::Reply, [Act::line("d29uZGVybGFuZA==")]);
    envelope(script, 1)
}

/// An honest client that sends its envelope, and then the rest, at once (RFC 2920).
pub fn pipelining_client(recipients: u64) -> Script {
    let mut group = String::from("MAIL FROM:<a@evil.example>\r\n");
    for recipient in 1..=recipients {
        group.push_str(&format!("RCPT TO:<r{recipient}@mx.example>\r\n"));
    }
    group.push_str("DATA\r\n");
    Script::new("a pipelining SMTP client")
        .turn("EHLO", Until::Reply, [Act::line("EHLO evil.example")])
        .turn("envelope", Until::Reply, [Act::Say(group.into())])
        .turn("message", Until::Octets(Bytes::from_static(b"354 ")), [Act::Say(Bytes::from_static(MESSAGE))])
        .turn("QUIT", Until::Reply, [Act::line("QUIT")])
}

/// An honest LMTP client.
pub fn lmtp_client(recipients: u64) -> Script {
    let script = Script::new("an LMTP client").turn("LHLO", Until::Reply, [Act::line("LHLO evil.example")]);
    envelope(script, recipients)
}

fn envelope(script: Script, recipients: u64) -> Script {
    let mut script = script.turn("MAIL", Until::Reply, [Act::line("MAIL FROM:<a@evil.example>")]);
    for recipient in 1..=recipients {
        let line = format!("RCPT TO:<r{recipient}@mx.example>");
        script = script.turn(&format!("RCPT {recipient}"), Until::Reply, [Act::line(&line)]);
    }
    script
        .turn("DATA", Until::Reply, [Act::line("DATA")])
        .turn("message", Until::Reply, [Act::Say(Bytes::from_static(MESSAGE))])
        .turn("QUIT", Until::Reply, [Act::line("QUIT")])
}

/// An honest client that sends [`MESSAGE`] without its dots in two chunks, and waits for each reply (RFC 3030).
pub fn chunking_client() -> Script {
    let chunk = |octets: &'static str, last: &str| Act::Say(format!("BDAT {}{last}\r\n{octets}", octets.len()).into());
    Script::new("an SMTP client with chunks")
        .turn("EHLO", Until::Reply, [Act::line("EHLO evil.example")])
        .turn("MAIL", Until::Reply, [Act::line("MAIL FROM:<a@evil.example>")])
        .turn("RCPT", Until::Reply, [Act::line("RCPT TO:<r1@mx.example>")])
        .turn("chunk 1", Until::Reply, [chunk("Subject: tea\r\n\r\n.one\r", "")])
        .turn("chunk 2", Until::Reply, [chunk("\ntwo\r\n", " LAST")])
        .turn("QUIT", Until::Reply, [Act::line("QUIT")])
}

/// Clients that stall within a chunk, lie about its size, flood, and end it twice or never.
pub fn evil_chunking_clients() -> Vec<Script> {
    let honest = chunking_client();
    let slow = Duration::from_secs(50);
    let drip = |unit: &'static [u8]| {
        (0..10_000).flat_map(|_| [Act::Wait(slow), Act::Say(Bytes::from_static(unit))]).collect::<Vec<Act>>()
    };
    let mut scripts = honest.misdeeds();
    scripts.extend(honest.lies(&NONSENSE));
    scripts.extend(honest.floods(&client_floods()));
    let kinds = [
        ("a chunk that stalls", vec![Act::line("BDAT 1000"), Act::line("A: b")]),
        ("a chunk that is cut", vec![Act::line("BDAT 1000"), Act::line("A: b"), Act::Cut]),
        ("a chunk that ends its half", vec![Act::line("BDAT 1000 LAST"), Act::line("A: b"), Act::HalfClose]),
        ("more was promised", vec![Act::line("BDAT 40 LAST"), Act::line("A: b\r\n\r\nMAIL FROM:<b@evil.example>")]),
        (
            "less was promised",
            vec![Act::line("BDAT 1 LAST"), Act::line("MAIL FROM:<b@evil.example>"), Act::line("QUIT")],
        ),
        ("a chunk of all there is", vec![Act::line("BDAT 18446744073709551615"), Act::flood(b"text", GIBI / 4)]),
        ("a chunk of a gibioctet", vec![Act::line("BDAT 1073741824 LAST"), Act::flood(b"All work.\r\n", GIBI / 11)]),
        ("empty chunks for ever", vec![Act::flood(b"BDAT 0\r\n", ENDLESS)]),
        ("last chunks for ever", vec![Act::flood(b"BDAT 0 LAST\r\n", ENDLESS)]),
        ("chunks of an octet for ever", vec![Act::flood(b"BDAT 1\r\na", ENDLESS)]),
        ("the last chunk twice", vec![Act::line("BDAT 3 LAST\r\na"), Act::line("BDAT 3 LAST\r\nb"), Act::line("QUIT")]),
        ("DATA after a chunk", vec![Act::line("BDAT 3\r\na"), Act::line("DATA"), Act::line("b\r\n.")]),
        ("an octet each 50 s", [vec![Act::line("BDAT 10000")], drip(b"a")].concat()),
        ("a chunk of an octet each 50 s", drip(b"BDAT 1\r\na")),
        ("an empty chunk each 50 s", drip(b"BDAT 0\r\n")),
    ];
    scripts.extend(kinds.into_iter().map(|(what, acts)| honest.instead("chunk 1", what, acts)));
    scripts.push(honest);
    scripts
}

/// Lines that are no command that a server should obey.
pub const NONSENSE: [&str; 16] = [
    "",
    "\0",
    "MAIL",
    "MAIL FROM:",
    "MAIL FROM:<a@b",
    "MAIL FROM:<a@evil.example> SIZE=99999999999999999999",
    "RCPT TO:<>",
    "RCPT TO:<a@b>\rRSET",
    "DATA now",
    "BDAT -1",
    "BDAT 18446744073709551616 LAST",
    "AUTH",
    "AUTH PLAIN =",
    "STARTTLS now",
    "\u{1b}[2J",
    "XCLIENT ADDR=127.0.0.1",
];

/// Floods for clients, by name.
pub fn client_floods() -> Vec<(&'static str, Act)> {
    vec![
        ("100,000 NOOP", Act::flood(b"NOOP\r\n", 100_000)),
        ("100,000 RSET", Act::flood(b"RSET\r\n", 100_000)),
        ("100,000 EHLO", Act::flood(b"EHLO evil.example\r\n", 100_000)),
        ("100,000 HELO", Act::flood(b"HELO evil.example\r\n", 100_000)),
        ("100,000 VRFY", Act::flood(b"VRFY root\r\n", 100_000)),
        ("100,000 RCPT", Act::flood(b"RCPT TO:<r@mx.example>\r\n", 100_000)),
        ("100,000 MAIL and RSET", Act::flood(b"MAIL FROM:<>\r\nRSET\r\n", 100_000)),
        ("100,000 AUTH", Act::flood(b"AUTH PLAIN AGEAYg==\r\n", 100_000)),
        ("100,000 lines of nonsense", Act::flood(b"What is this?\r\n", 100_000)),
        ("100,000 commands that end with LF", Act::flood(b"NOOP\n", 100_000)),
        ("a line of a gibioctet", Act::flood(b"NOOP and ", GIBI / 9)),
        ("a gibioctet of line ends", Act::flood(b"\r\n", GIBI / 2)),
        ("a gibioctet of NUL", Act::flood(b"\0", GIBI)),
    ]
}

/// All evil clients, for a server that takes everything, offers TLS and lets alice log in.
pub fn evil_clients() -> Vec<Script> {
    let mut scripts = vec![];
    for honest in [client(2), client_with_tls(), client_with_auth(), pipelining_client(2)] {
        scripts.extend(honest.misdeeds());
        scripts.extend(honest.lies(&NONSENSE));
        scripts.extend(honest.floods(&client_floods()));
        scripts.push(honest);
    }
    scripts.extend(in_a_message());
    scripts.extend(before_tls());
    scripts.extend(strangers::clients());
    scripts
}

/// Clients that misbehave once they may send a message.
fn in_a_message() -> Vec<Script> {
    let honest = client(1);
    let send = |what: &str, acts: Vec<Act>| honest.instead("message", what, acts);
    let slow = Duration::from_secs(50);
    vec![
        send("a message of a gibioctet without an end", vec![Act::flood(b"All work and no play.\r\n", GIBI / 23)]),
        send("a line of a gibioctet", vec![Act::flood(b"text", GIBI / 4)]),
        send("a header of a gibioctet", vec![Act::flood(b"A: b\r\n", GIBI / 6)]),
        send("10,000 Received fields", vec![Act::flood(b"Received: by x\r\n", 10_000), Act::line("\r\n.")]),
        send("a gibioctet of dots in lines", vec![Act::flood(b"..\r\n", GIBI / 4)]),
        send("a gibioctet of dots", vec![Act::flood(b".", GIBI)]),
        send("a gibioctet of CR", vec![Act::flood(b"\r", GIBI)]),
        send("a gibioctet of LF", vec![Act::flood(b"\n", GIBI)]),
        send("only the beginning of the end", vec![Act::Say(Bytes::from_static(b"A: b\r\n.\r"))]),
        send(
            "an octet each 50 s",
            (0..10_000).flat_map(|_| [Act::Wait(slow), Act::Say(Bytes::from_static(b"a"))]).collect(),
        ),
        client(1).stall_before("MAIL").turn("NOOP", Until::Reply, [Act::Wait(slow), Act::line("NOOP")]).times(ENDLESS),
        client(0).called("an SMTP client that says DATA for nobody"),
        client(100_000).called("an SMTP client with 100,000 recipients"),
        client(1).unasked().called("an SMTP client that waits for nothing"),
        Script::new("an SMTP client that only begins transactions")
            .turn("EHLO", Until::Reply, [Act::line("EHLO evil.example")])
            .turn("MAIL", Until::Reply, [Act::line("MAIL FROM:<>"), Act::line("RSET")])
            .times(ENDLESS),
    ]
}

/// Clients that say something in the clear that they hope to be obeyed over TLS, and other ways to spoil STARTTLS.
pub fn before_tls() -> Vec<Script> {
    let honest = client_with_tls();
    let say = |what: &str, line: &str| honest.replying("STARTTLS", line).called(format!("an SMTP client that {what}"));
    vec![
        say(
            "injects commands",
            "STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<a@evil.example>\r\nRCPT TO:<r@mx.example>",
        ),
        say("injects half a command", "STARTTLS\r\nMAIL"),
        say("says STARTTLS twice", "STARTTLS\r\nSTARTTLS"),
        say("begins TLS before it may", "STARTTLS\r\n\u{16}\u{3}\u{1}"),
        honest.instead("TLS", "goes on in the clear", [Act::line("EHLO evil.example"), Act::line("MAIL FROM:<>")]),
        honest.instead("TLS", "goes", [Act::Cut]),
        honest.instead("TLS", "says nothing more", []),
    ]
}
