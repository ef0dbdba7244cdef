//! Those who speak another protocol.

use super::{Act, Script, Until};

/// The hello of a TLS client, as far as it matters: a record of the right type and version.
pub const TLS_CLIENT_HELLO: &[u8] =
    b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03\0\n\r\0.\n.\r\n.aaaaaaaaaaaaaaaaaaaaaaaaaa\x00\x00\x02\x13\x01\x01\x00";
/// The hello of a TLS server.
pub const TLS_SERVER_HELLO: &[u8] =
    b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x00\x13\x01\x00";
/// A TLS alert: handshake failure.
pub const TLS_ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x28";

/// Servers of other protocols.
pub fn servers() -> Vec<Script> {
    let server = |name: &str, says: &[u8]| {
        let says = Act::Say(bytes::Bytes::copy_from_slice(says));
        Script::new(format!("a server that speaks {name}")).turn("greeting", Until::Now, [says])
    };
    let http = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n250";
    vec![
        server("SMTP", b"220 mx.example ESMTP\r\n"),
        server("IMAP", b"* OK [CAPABILITY IMAP4rev1] ready\r\n"),
        server("POP3", b"+OK ready\r\n"),
        server("HTTP", http),
        Script::new("a server that speaks HTTP when asked").turn(
            "greeting",
            Until::Line,
            [Act::Say(bytes::Bytes::from_static(http))],
        ),
        server("TLS", TLS_SERVER_HELLO),
        server("TLS, and is alarmed", TLS_ALERT),
        server("SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
        server("FTP", b"220-ftp.example\r\n220 ready\r\n"),
        server("MySQL", b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0aaaaaaaa\0\xff\xf7"),
        server("nothing but noise", &(0..=255).rev().cycle().take(5000).collect::<Vec<u8>>()),
    ]
}

/// Clients of other protocols. They speak first.
pub fn clients() -> Vec<Script> {
    let client = |name: &str, says: &[u8]| {
        let says = Act::Say(bytes::Bytes::copy_from_slice(says));
        Script::new(format!("a client that speaks {name}")).turn("request", Until::Now, [says])
    };
    let get = b"GET / HTTP/1.1\r\nHost: mx.example\r\nUser-Agent: evil\r\n\r\n";
    let post = b"POST / HTTP/1.1\r\nHost: mx.example\r\nContent-Length: 80\r\n\r\n\
        EHLO evil.example\r\nMAIL FROM:<a@evil.example>\r\nRCPT TO:<b@mx.example>\r\nDATA\r\n\r\n.\r\n";
    let long = |length: usize| [b"POST /", &b"x".repeat(length)[..], &post[6..]].concat();
    vec![
        client("HTTP", get),
        client("HTTP, with a long name", &long(3000)),
        client("HTTP, with a very long name", &long(100_000)),
        client("HTTP and hides commands in it", post),
        client("TLS", TLS_CLIENT_HELLO),
        client("SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
        client("IMAP", b"a1 LOGIN alice wonderland\r\na2 SELECT INBOX\r\n"),
        client("POP3", b"CAPA\r\nUSER alice\r\nPASS wonderland\r\nSTAT\r\n"),
        client("SMTP", b"EHLO evil.example\r\nMAIL FROM:<a@evil.example>\r\n"),
        client("SOCKS", b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\x01\0\x19"),
        client("PROXY", b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\n"),
        client("nothing but noise", &(0..=255).rev().cycle().take(5000).collect::<Vec<u8>>()),
    ]
}
