//! What is offered by configuration, obeyed by the application, and refused otherwise; and who the client is.

use crate::converse::{both, whole};
use postrider_core::{Closed, Instant, Machine, ProtocolError, Session, Step, TlsInfo};
use postrider_smtp::server::{Config, ConnectionLimits, Connections, Event, Network, Notes, Tls, TooManyConnections};
use postrider_smtp::wire::{BareNewlines, Hold, Priority, Proxied, Quirks, XclientProtocol};
use postrider_smtp::{Accepted, MailParams, RcptParams, Refusal, Server};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

fn config() -> Config {
    Config::new("mx.example".parse().expect("a name"))
}

/// What the application was told.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
enum Told {
    Mail(MailParams),
    Rcpt(RcptParams),
    Message(Notes, u64),
    Etrn(String),
    Burl,
    Reset,
    Closed(Closed),
}

/// A session that is spoken to, and an application that says yes.
struct Spoken {
    server: Server,
    now: Instant,
    told: Vec<Told>,
}

impl Spoken {
    fn new(config: Config) -> Self {
        Self::begun(Server::new(Arc::new(config), 1))
    }

    fn from(config: Config, peer: &str) -> Self {
        let peer: SocketAddr = peer.parse().expect("an address");
        Self::begun(Server::with_peer(Arc::new(config), 1, peer))
    }

    fn begun(server: Server) -> Self {
        Self { server, now: Instant::ORIGIN, told: vec![] }
    }

    /// Gives octets, as many at once as the session takes, and returns what it says.
    fn say(&mut self, octets: &[u8]) -> String {
        let mut rest = octets;
        let mut said = self.run();
        while !rest.is_empty() {
            let taken = self.server.receive(rest);
            if taken == 0 {
                break;
            }
            rest = &rest[taken..];
            said.push_str(&self.run());
        }
        said
    }

    fn run(&mut self) -> String {
        while let Step::Event(event) = self.server.poll(self.now) {
            let told = match event {
                Event::Mail { answer, params, .. } => {
                    self.server.accept(answer).unwrap();
                    Told::Mail(params)
                }
                Event::Rcpt { answer, params, .. } => {
                    self.server.accept(answer).unwrap();
                    Told::Rcpt(params)
                }
                Event::Data { answer } => {
                    self.server.accept(answer).unwrap();
                    continue;
                }
                Event::Message { answer, size } => {
                    let notes = self.server.notes();
                    self.server.accept(answer).unwrap();
                    Told::Message(notes, size)
                }
                Event::Etrn { answer, target } => {
                    self.server
                        .answer(answer, Ok(Accepted::with(251, (0, 0), "Nothing waits".try_into().unwrap())))
                        .unwrap();
                    Told::Etrn(target.to_string())
                }
                Event::Burl { answer, url, .. } => {
                    let gone = || Refusal::permanent(554, (6, 6), "No such message".try_into().unwrap());
                    let verdict = if url.as_str().ends_with("/gone") { Err(gone()) } else { Ok(()) };
                    self.server.answer(answer, verdict).unwrap();
                    Told::Burl
                }
                Event::Reset => Told::Reset,
                Event::Closed(why) => Told::Closed(why),
                Event::Body(_) => continue,
                other => panic!("{other:?}"),
            };
            self.told.push(told);
        }
        let mut said = String::new();
        while !self.server.output().is_empty() {
            said.push_str(std::str::from_utf8(self.server.output()).unwrap());
            let n = self.server.output().len();
            self.server.sent(n);
        }
        said
    }

    fn start_tls(&mut self) {
        let pending = self.server.upgrade().expect("TLS is to begin");
        self.server.tls(pending, Ok(TlsInfo::default())).unwrap();
    }

    fn notes(&self) -> Vec<Notes> {
        let notes = |told: &Told| match told {
            Told::Message(notes, _) => Some(*notes),
            _ => None,
        };
        self.told.iter().filter_map(notes).collect()
    }
}

const MESSAGE: &str = "MAIL FROM:<a@c.example>\r\nRCPT TO:<x@mx.example>\r\nDATA\r\n";

#[test]
fn what_is_not_offered_is_refused() {
    for param in [
        "BY=5;R",
        "HOLDFOR=5",
        "HOLDUNTIL=2030-01-01T00:00:00Z",
        "MT-PRIORITY=3",
        "SOLICIT=a:ADV",
        "REQUIRETLS",
        "RET=HDRS",
    ] {
        let heard = both(&config(), format!("EHLO c.example\r\nMAIL FROM:<> {param}\r\n").as_bytes());
        assert_eq!(heard.codes(), [250, 555], "{param}");
        assert!(heard.said.contains("555 5.5.4"));
    }
    let rrvs = b"EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<x@mx.example> RRVS=2014-04-03T23:01:00Z\r\n";
    assert_eq!(both(&config(), rrvs).codes(), [250, 250, 555]);
    let commands =
        b"EHLO c.example\r\nETRN c.example\r\nMAIL FROM:<>\r\nRCPT TO:<x@mx.example>\r\nBURL imap://a/b LAST\r\n";
    assert_eq!(both(&config(), commands).codes(), [250, 502, 250, 250, 502]);
}

#[test]
fn deliver_by_is_offered_and_checked() {
    let mut config = config();
    config.deliver_by = Some(60);
    let mut spoken = Spoken::new(config);
    assert!(spoken.say(b"EHLO c.example\r\n").contains("250 DELIVERBY 60\r\n"));
    assert!(spoken.say(b"MAIL FROM:<> BY=59;R\r\n").starts_with("501 5.5.4"));
    assert!(spoken.say(b"MAIL FROM:<> BY=0;R\r\n").starts_with("501 5.5.4"));
    assert!(spoken.say(b"MAIL FROM:<> BY=-5;N\r\n").starts_with("250"), "notices may be late");
    assert!(matches!(&spoken.told[..], [Told::Mail(params)] if params.deliver_by.unwrap().seconds() == -5));
    assert!(spoken.say(b"RSET\r\nMAIL FROM:<> BY=60;RT\r\n").ends_with("250 2.1.0 Sender OK\r\n"));
}

#[test]
fn future_release_is_offered_and_checked() {
    let mut config = config();
    config.future_release = Some("3600 2030-01-01T00:00:00Z".parse().unwrap());
    let mut spoken = Spoken::new(config);
    assert!(spoken.say(b"EHLO c.example\r\n").contains("250 FUTURERELEASE 3600 2030-01-01T00:00:00Z\r\n"));
    for bad in ["HOLDFOR=3601", "HOLDUNTIL=2030-01-01T00:00:01Z", "HOLDFOR=0", "HOLDFOR=5 HOLDFOR=5"] {
        let said = spoken.say(format!("MAIL FROM:<> {bad}\r\n").as_bytes());
        assert!(said.starts_with("501 5.5.4"), "{bad}: {said}");
    }
    assert!(spoken.say(b"MAIL FROM:<> HOLDFOR=3600\r\n").starts_with("250"));
    assert!(matches!(&spoken.told[..], [Told::Mail(params)] if params.hold == Some(Hold::For(3600))));
}

#[test]
fn priorities_are_offered_and_given_to_the_application() {
    let mut config = config();
    config.mt_priority = Some("MIXER".parse().unwrap());
    let mut spoken = Spoken::new(config);
    assert!(spoken.say(b"EHLO c.example\r\n").contains("250 MT-PRIORITY MIXER\r\n"));
    assert!(spoken.say(b"MAIL FROM:<> MT-PRIORITY=10\r\n").starts_with("501 5.5.4"));
    assert!(spoken.say(b"MAIL FROM:<> MT-PRIORITY=-3\r\n").starts_with("250"));
    assert!(matches!(&spoken.told[..], [Told::Mail(params)] if params.priority == Priority::new(-3)));
}

#[test]
fn unwanted_solicitation_is_refused() {
    let mut config = config();
    config.no_soliciting = true;
    config.unwanted = Some("net.example:ADV".parse().unwrap());
    let mut spoken = Spoken::new(config);
    assert!(spoken.say(b"EHLO c.example\r\n").contains("250 NO-SOLICITING net.example:ADV\r\n"));
    assert!(spoken.say(b"MAIL FROM:<> SOLICIT=a:b,NET.example:adv\r\n").starts_with("550 5.7.1"));
    assert!(spoken.say(b"MAIL FROM:<> SOLICIT=a:b\r\n").starts_with("250"));
    assert!(matches!(&spoken.told[..], [Told::Mail(params)] if params.solicitation.is_some()));
}

#[test]
fn rrvs_is_given_with_its_recipient() {
    let mut config = config();
    config.rrvs = true;
    let mut spoken = Spoken::new(config);
    assert!(spoken.say(b"EHLO c.example\r\n").contains("250-RRVS\r\n"));
    let said = spoken.say(b"MAIL FROM:<>\r\nRCPT TO:<x@mx.example> RRVS=2014-04-03T23:01:00Z;C\r\n");
    assert!(said.ends_with("250 2.1.5 Recipient OK\r\n"));
    assert!(matches!(&spoken.told[..], [_, Told::Rcpt(params)] if params.valid_since.is_some()));
    assert!(spoken.say(b"RCPT TO:<x@mx.example> RRVS=yesterday\r\n").starts_with("501 5.5.4"));
}

#[test]
fn etrn_is_a_question() {
    let mut config = config();
    config.etrn = true;
    let mut spoken = Spoken::new(config);
    assert!(spoken.say(b"ETRN c.example\r\n").ends_with("503 5.5.1 Introduce yourself first\r\n"));
    assert!(spoken.say(b"EHLO c.example\r\n").contains("250-ETRN\r\n"));
    assert_eq!(spoken.say(b"ETRN @c.example\r\n"), "251 2.0.0 Nothing waits\r\n");
    assert!(matches!(&spoken.told[..], [Told::Etrn(target)] if target == "@c.example"));
    assert!(spoken.say(b"ETRN\r\n").starts_with("501 5.5.4"));
    assert!(spoken.say("ETRN \u{fc}.example\r\n".as_bytes()).starts_with("501 5.6.7"), "it has no SMTPUTF8");
    assert!(spoken.say(b"MAIL FROM:<>\r\nETRN c.example\r\n").ends_with("503 5.5.1 Not within a transaction\r\n"));
}

#[test]
fn burl_is_a_question_for_those_who_are_logged_in() {
    let mut config = config();
    config.burl = Some("imap://imap.example".parse().unwrap());
    config.chunking = true;
    config.xclient = vec!["192.0.2.1".parse().unwrap()];
    let mut spoken = Spoken::from(config, "192.0.2.1:5");
    let said = spoken.say(b"EHLO c.example\r\n");
    assert!(said.contains("250-BURL\r\n"), "without kinds before the login: {said}");
    spoken.say(b"XCLIENT LOGIN=harry\r\n");
    assert!(spoken.say(b"EHLO c.example\r\n").contains("250-BURL imap://imap.example\r\n"));
    assert_eq!(spoken.server.identity().map(|who| who.as_str().to_owned()).as_deref(), Some("harry"));
    assert!(spoken.say(b"BURL imap://imap.example/a LAST\r\n").starts_with("503 5.5.1"));
    spoken.say(b"MAIL FROM:<>\r\nRCPT TO:<x@mx.example>\r\n");
    let begin = b"MAIL FROM:<>\r\nRCPT TO:<x@mx.example>\r\n";
    for strange in [
        "http://imap.example/a",
        "imap://imap.example.evil.example/a",
        "imap://imap.example@evil.example/a",
        "imap://evil.example/a@imap.example",
        "imap:imap.example/a",
        "imap://imap.example:1143/a",
    ] {
        let said = spoken.say(format!("BURL {strange} LAST\r\n").as_bytes());
        assert!(said.starts_with("554 5.7.14"), "{strange}: {said}");
        spoken.say(begin);
    }
    assert!(spoken.say(b"BURL imap://harry@IMAP.example/a;urlauth=x\r\n").starts_with("250 2.5.0"), "of a user there");
    spoken.say(b"RSET\r\n");
    spoken.say(begin);
    spoken.told.clear();
    assert!(spoken.say(b"BURL imap://imap.example/a;urlauth=x\r\n").starts_with("250 2.5.0"));
    assert!(spoken.say(b"BDAT 5\r\nabc\r\n").starts_with("250 2.0.0 5 octets"));
    assert!(spoken.say(b"BURL imap://imap.example/b LAST\r\n").starts_with("250 2.0.0 Taken"));
    assert_eq!(spoken.told.iter().filter(|told| matches!(told, Told::Burl)).count(), 2);
    assert!(spoken.told.iter().any(|told| matches!(told, Told::Message(_, 5))), "what was fetched is not counted");
}

/// RFC 4468, 3.2: a part that is refused fails the transaction, whatever was sent behind it already.
#[test]
fn no_message_is_made_without_one_of_its_parts() {
    for (missing, code) in [("BURL http://imap.example/a", 554), ("BURL nonsense", 501)] {
        let mut config = config();
        config.burl = Some("imap".parse().unwrap());
        config.chunking = true;
        config.xclient = vec!["192.0.2.1".parse().unwrap()];
        let mut spoken = Spoken::from(config, "192.0.2.1:5");
        spoken.say(b"XCLIENT LOGIN=harry\r\n");
        spoken.say(b"EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<x@mx.example>\r\n");
        let said = spoken.say(format!("BDAT 5\r\nabc\r\n{missing}\r\nBDAT 5 LAST\r\nxyz\r\nNOOP\r\n").as_bytes());
        let codes: Vec<u16> = said.lines().map(|line| line[..3].parse().unwrap()).collect();
        assert_eq!(codes, [250, code, 503, 250], "{said}");
        assert!(spoken.told.iter().any(|told| matches!(told, Told::Reset)), "what was collected is dropped");
        assert!(!spoken.told.iter().any(|told| matches!(told, Told::Message(..))), "{missing}");
    }
}

/// A session of a client that is logged in and may name parts with BURL, after its envelope.
fn before_burl(mut config: Config) -> Spoken {
    config.burl = Some("imap".parse().unwrap());
    config.chunking = true;
    config.xclient = vec!["192.0.2.1".parse().unwrap()];
    let mut spoken = Spoken::from(config, "192.0.2.1:5");
    spoken.say(b"XCLIENT LOGIN=harry\r\nEHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<x@mx.example>\r\n");
    spoken
}

/// Whoever refuses it and for what reason, a last part has a reply for each recipient, and any other part one.
//= 2033-4.3-1
#[test]
fn lmtp_answers_for_each_recipient_if_a_last_part_is_refused() {
    let begun = |burl: bool| {
        let mut config = Config::lmtp("mx.example".parse().unwrap());
        config.burl = burl.then(|| "imap".parse().unwrap());
        config.chunking = true;
        config.xclient = vec!["192.0.2.1".parse().unwrap()];
        let mut spoken = Spoken::from(config, "192.0.2.1:5");
        spoken.say(b"XCLIENT LOGIN=harry\r\nLHLO c.example\r\n");
        spoken.say(b"MAIL FROM:<>\r\nRCPT TO:<x@mx.example>\r\nRCPT TO:<y@mx.example>\r\n");
        spoken
    };
    for (parts, expected) in [
        ("BURL http://imap.example/a LAST\r\n", &[554, 554][..]),
        ("BURL imap://imap.example/gone LAST\r\n", &[554, 554]),
        ("BURL imap://imap.example/a\r\nBURL imap://imap.example/gone LAST\r\n", &[250, 554, 554]),
        (
            "BURL http://imap.example/a\r\nBURL imap://imap.example/a\r\nBURL imap://imap.example/a LAST\r\n",
            &[554, 503, 503, 503],
        ),
        ("BURL imap://imap.example/gone\r\nBDAT 2 LAST\r\n\r\n", &[554, 503, 503]),
        ("BURL nonsense\r\nBDAT 2 LAST\r\n\r\n", &[501, 503, 503]),
        // Whether a part that cannot be read is the last is not known.
        ("BURL nonsense LAST\r\nBDAT 2 LAST\r\n\r\n", &[501, 503, 503]),
        // There is no second last part of one transaction.
        ("BURL imap://imap.example/gone LAST\r\nBDAT 2 LAST\r\n\r\n", &[554, 554, 503]),
        ("BURL http://imap.example/a LAST\r\nBURL http://imap.example/a LAST\r\n", &[554, 554, 503]),
    ] {
        let said = begun(true).say(format!("{parts}NOOP\r\n").as_bytes());
        let codes: Vec<u16> = said.lines().map(|line| line[..3].parse().unwrap()).collect();
        assert_eq!(codes, [expected, &[250]].concat(), "{parts}: {said}");
    }
    let said = begun(false).say(b"BURL imap://imap.example/a LAST\r\nNOOP\r\n");
    let codes: Vec<u16> = said.lines().map(|line| line[..3].parse().unwrap()).collect();
    assert_eq!(codes, [502, 502, 250], "it is refused, and fails the transaction: {said}");
}

#[test]
fn what_follows_a_part_that_was_fetched_is_not_the_header() {
    for before in [&b""[..], b"BDAT 12\r\nSubject: a\r\n", b"BDAT 17\r\nTLS-Required: No\n"] {
        let mut config = config();
        config.delivered_to = true;
        config.bare_newlines = BareNewlines::Normalise;
        let mut spoken = before_burl(config);
        let after = b"TLS-Required: No\r\nDelivered-To: x@mx.example\r\n";
        let chunk = format!("BDAT {} LAST\r\n", after.len());
        let said = spoken.say(&[before, b"BURL imap://imap.example/a\r\n", chunk.as_bytes(), after].concat());
        assert!(said.ends_with("250 2.0.0 Taken\r\n"), "{said}");
        assert!(spoken.notes().iter().all(|notes| !notes.tls_not_required), "nobody said so in the header");
    }
}

#[test]
fn parts_that_are_fetched_are_counted_as_chunks() {
    let mut config = config();
    config.limits.chunks = 3;
    let mut spoken = before_burl(config);
    let said = spoken.say(&b"BURL imap://imap.example/a\r\n".repeat(5));
    assert_eq!((said.matches("250 2.5.0").count(), said.matches("421 4.7.0").count()), (3, 1), "{said}");
}

#[test]
fn a_line_end_is_not_made_of_two_parts() {
    let input = b"BDAT 2\r\na\rBURL imap://imap.example/a\r\nBDAT 4 LAST\r\n\nb\r\n";
    let mut spoken = before_burl(config());
    let said = spoken.say(input);
    assert!(said.ends_with("554 5.6.0 The message holds CR or LF alone\r\n"), "{said}");
}

#[test]
fn case_23_lenient_paths_are_said_to_be() {
    let mut config = config();
    config.quirks = Quirks::INTEROP;
    let mut spoken = Spoken::new(config);
    spoken.say(b"EHLO c.example\r\nMAIL FROM: <a@c.example>\r\n");
    let notes = spoken.server.notes().quirks;
    assert!(notes.space_before_path && !notes.path_without_brackets);
    spoken.say(b"RCPT TO:x@mx.example\r\n");
    assert_eq!(spoken.server.notes().quirks, Quirks::INTEROP, "both were used");
    spoken.say(b"RSET\r\nMAIL FROM:<a@c.example>\r\n");
    assert_eq!(spoken.server.notes().quirks, Quirks::NONE, "a new transaction");
}

#[test]
fn case_34_a_message_that_its_recipient_had_before_is_in_a_loop() {
    for (header, code) in [
        ("Delivered-To: x@mx.example", "554 5.4.6"),
        ("delivered-to:  X@MX.example  ", "554 5.4.6"),
        ("Delivered-To:\r\n x@mx.example", "554 5.4.6"),
        ("Delivered-To: y@mx.example", "250 2.0.0"),
        ("X-Delivered-To: x@mx.example", "250 2.0.0"),
        ("Subject: a\r\n\r\nDelivered-To: x@mx.example", "250 2.0.0"),
    ] {
        let mut spoken = Spoken::new(config());
        spoken.say(format!("EHLO c.example\r\n{MESSAGE}").as_bytes());
        let said = spoken.say(format!("{header}\r\n.\r\n").as_bytes());
        assert!(said.starts_with(code), "{header}: {said}");
    }
    let mut config = config();
    config.delivered_to = false;
    let mut spoken = Spoken::new(config);
    spoken.say(format!("EHLO c.example\r\n{MESSAGE}").as_bytes());
    assert!(spoken.say(b"Delivered-To: x@mx.example\r\n\r\n.\r\n").starts_with("250"));
}

#[test]
fn tls_required_no_is_told_with_the_message() {
    for (header, expected) in [
        ("TLS-Required: No", true),
        ("tls-required:no", true),
        ("TLS-Required:\r\n No", true),
        ("TLS-Required: Yes", false),
        ("X-TLS-Required: No", false),
        ("A: b\r\n\r\nTLS-Required: No", false),
    ] {
        let mut spoken = Spoken::new(config());
        spoken.say(format!("EHLO c.example\r\n{MESSAGE}Received: x\r\n{header}\r\n\r\n.\r\n").as_bytes());
        let notes = spoken.notes();
        assert_eq!((notes[0].tls_not_required, notes[0].hops), (expected, 1), "{header}");
    }
}

#[test]
fn require_tls_is_offered_over_tls_and_outdoes_the_header() {
    let mut config = config();
    config.tls = Tls::Offered;
    config.require_tls = true;
    let mut spoken = Spoken::new(config);
    let said = spoken.say(b"EHLO c.example\r\nMAIL FROM:<> REQUIRETLS\r\n");
    assert!(!said.contains("REQUIRETLS") && said.contains("555 5.5.4"), "{said}");
    spoken.say(b"STARTTLS\r\n");
    spoken.start_tls();
    assert!(spoken.say(b"EHLO c.example\r\n").contains("250-REQUIRETLS\r\n"));
    let said =
        spoken.say(b"MAIL FROM:<> REQUIRETLS\r\nRCPT TO:<x@mx.example>\r\nDATA\r\nTLS-Required: No\r\n\r\n.\r\n");
    assert!(said.ends_with("250 2.0.0 Taken\r\n"), "{said}");
    assert!(matches!(&spoken.told[0], Told::Mail(params) if params.require_tls));
    assert!(!spoken.notes()[0].tls_not_required, "RFC 8689, 4.1: the header is ignored");
}

fn behind_a_proxy() -> Config {
    let mut config = config();
    config.proxies = vec!["192.0.2.0/24".parse().unwrap()];
    config
}

fn tcp() -> Proxied {
    Proxied::Tcp { source: "203.0.113.9:4000".parse().unwrap(), destination: "198.51.100.1:25".parse().unwrap() }
}

#[test]
fn case_35_a_trusted_proxy_says_who_the_client_is() {
    for header in [tcp().encode_v1(), tcp().encode_v2()] {
        let mut spoken = Spoken::from(behind_a_proxy(), "192.0.2.7:1");
        assert_eq!(spoken.run(), "", "the header comes before the greeting");
        assert!(spoken.say(&header).starts_with("220 mx.example"));
        let client = spoken.server.client();
        assert_eq!(client.address, Some("203.0.113.9".parse().unwrap()));
        assert_eq!((client.port, client.proxied), (Some(4000), true));
        assert_eq!(client.destination, Some("198.51.100.1".parse().unwrap()));
        assert_eq!(client.destination_port, Some(25));
        assert!(spoken.say(b"EHLO c.example\r\n").starts_with("250-mx.example"));
    }
}

#[test]
fn case_35_local_and_unknown_are_the_connection_itself() {
    for header in [Proxied::Local.encode_v2(), Proxied::Unknown.encode_v1(), Proxied::Unknown.encode_v2()] {
        let mut spoken = Spoken::from(behind_a_proxy(), "192.0.2.7:1");
        assert!(spoken.say(&header).starts_with("220 mx.example"));
        let client = spoken.server.client();
        assert_eq!((client.address, client.proxied), (Some("192.0.2.7".parse().unwrap()), false));
    }
}

#[test]
fn case_35_a_trusted_proxy_must_send_a_good_header() {
    let mut overflow = tcp().encode_v2();
    overflow[15] += 4;
    overflow.extend_from_slice(b"\x01\0\xffa");
    for bad in [&b"EHLO c.example\r\n"[..], b"PROXY TCP4 1 2 3 4\r\n", b"\x16\x03\x01", &overflow] {
        let mut spoken = Spoken::from(behind_a_proxy(), "192.0.2.7:1");
        assert_eq!(spoken.say(bad), "", "{}", bad.escape_ascii());
        assert!(matches!(spoken.told[..], [Told::Closed(Closed::Protocol(ProtocolError::Unexpected { .. }))]));
    }
    let whole = tcp().encode_v2();
    for cut in 0..whole.len() {
        let mut spoken = Spoken::from(behind_a_proxy(), "192.0.2.7:1");
        assert_eq!(spoken.say(&whole[..cut]), "");
        spoken.server.receive_eof();
        assert_eq!(spoken.run(), "");
        assert!(matches!(spoken.told[..], [Told::Closed(Closed::Eof)]), "truncated at {cut}");
    }
    let mut spoken = Spoken::from(behind_a_proxy(), "192.0.2.7:1");
    spoken.run();
    spoken.now = Instant::ORIGIN.plus(std::time::Duration::from_secs(3600));
    assert_eq!(spoken.run(), "", "nobody is there to be told");
    assert!(matches!(spoken.told[..], [Told::Closed(Closed::TimedOut)]));
    let mut small = behind_a_proxy();
    small.limits.proxy_header = 16;
    let mut spoken = Spoken::from(small, "192.0.2.7:1");
    assert_eq!(spoken.say(&whole), "");
    assert!(matches!(spoken.told[..], [Told::Closed(Closed::Protocol(_))]));
}

#[test]
fn case_35_others_are_not_believed() {
    let mut spoken = Spoken::from(behind_a_proxy(), "198.51.100.9:1");
    assert!(spoken.run().starts_with("220"));
    assert!(spoken.say(&tcp().encode_v1()).starts_with("421 "));
    assert_eq!(spoken.server.client().address, Some("198.51.100.9".parse().unwrap()));
    let mut spoken = Spoken::from(behind_a_proxy(), "198.51.100.9:1");
    let said = spoken.say(&tcp().encode_v2());
    assert!(said.lines().skip(1).all(|line| line.starts_with("50") || line.starts_with("421")), "{said}");
    let mut spoken = Spoken::new(behind_a_proxy());
    assert!(spoken.run().starts_with("220"), "without a peer's address nobody is trusted");
    assert_eq!(spoken.server.client().address, None);
}

#[test]
fn case_35_the_header_comes_before_implicit_tls_and_nothing_after_it_is_read() {
    for header in [tcp().encode_v1(), tcp().encode_v2()] {
        let mut config = behind_a_proxy();
        config.tls = Tls::Implicit;
        let mut server = Server::with_peer(Arc::new(config), 1, "192.0.2.7:1".parse().unwrap());
        let stream = [&header[..], b"\x16\x03\x01 the client's handshake"].concat();
        let mut at = 0;
        loop {
            if let Step::Event(event) = server.poll(Instant::ORIGIN) {
                panic!("{event:?}");
            }
            if server.window() == 0 {
                break;
            }
            at += server.receive(&stream[at..]);
        }
        assert_eq!(at, header.len(), "the handshake is left for TLS");
        let pending = server.upgrade().expect("TLS is to begin");
        server.tls(pending, Ok(TlsInfo::default())).unwrap();
        if let Step::Event(event) = server.poll(Instant::ORIGIN) {
            panic!("{event:?}");
        }
        assert!(server.output().starts_with(b"220 mx.example"));
        assert_eq!(server.client().port, Some(4000));
    }
}

#[test]
fn case_35_plaintext_after_the_header_is_not_believed_after_implicit_tls() {
    for header in [tcp().encode_v1(), tcp().encode_v2(), Proxied::Unknown.encode_v1(), Proxied::Local.encode_v2()] {
        let mut config = behind_a_proxy();
        config.tls = Tls::Implicit;
        let mut server = Server::with_peer(Arc::new(config), 1, "192.0.2.7:1".parse().unwrap());
        // All at once, before the session was ever asked what it wants.
        let stream = [&header[..], b"EHLO evil.example\r\n"].concat();
        let mut at = 0;
        while server.window() > 0 {
            at += server.receive(&stream[at..]);
            assert!(at <= header.len(), "{}", header.escape_ascii());
            if let Step::Event(event) = server.poll(Instant::ORIGIN) {
                panic!("{event:?}");
            }
        }
        let pending = server.upgrade().expect("TLS is to begin");
        server.tls(pending, Ok(TlsInfo::default())).unwrap();
        if let Step::Event(event) = server.poll(Instant::ORIGIN) {
            panic!("{event:?}");
        }
        assert_eq!(server.output().iter().filter(|&&octet| octet == b'\n').count(), 1, "the greeting alone");
    }
}

#[test]
fn case_36_xclient_is_for_listed_peers() {
    let mut config = config();
    config.xclient = vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    for (peer, good) in [("192.0.2.9:1", true), ("[2001:db8::5]:1", true), ("192.0.3.9:1", false), ("[::1]:1", false)] {
        let mut spoken = Spoken::from(config.clone(), peer);
        let offered = spoken.say(b"EHLO proxy.example\r\n");
        assert_eq!(
            offered.contains("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"),
            good,
            "{offered}"
        );
        let said = spoken.say(b"XCLIENT NAME=c.example ADDR=203.0.113.9 PORT=[UNAVAILABLE]\r\n");
        assert!(said.starts_with(if good { "220 mx.example" } else { "550 5.7.0" }), "{peer}: {said}");
        let client = spoken.server.client();
        assert_eq!(client.address == Some("203.0.113.9".parse().unwrap()), good);
        assert_eq!((client.name.is_some(), client.port.is_none()), (good, good));
    }
}

#[test]
fn case_36_a_client_has_not_the_rights_of_the_proxy_it_came_through() {
    let trusted = |source: &str| Proxied::Tcp {
        source: source.parse().unwrap(),
        destination: "198.51.100.1:25".parse().unwrap(),
    };
    for (header, good) in [
        (tcp().encode_v1(), false),
        (tcp().encode_v2(), false),
        (Proxied::Unknown.encode_v1(), false),
        (Proxied::Unknown.encode_v2(), false),
        (Proxied::Local.encode_v2(), true),
        (trusted("192.0.2.9:4000").encode_v1(), true),
    ] {
        let mut config = behind_a_proxy();
        config.xclient = config.proxies.clone();
        let mut spoken = Spoken::from(config, "192.0.2.7:1");
        spoken.say(&header);
        assert_eq!(spoken.say(b"EHLO c.example\r\n").contains("XCLIENT"), good, "{}", header.escape_ascii());
        let said = spoken.say(b"XCLIENT LOGIN=harry\r\n");
        assert!(said.starts_with(if good { "220 " } else { "550 5.7.0" }), "{said}");
        assert_eq!(spoken.server.identity().is_some(), good);
    }
}

#[test]
fn case_36_all_that_xclient_says_is_told() {
    let mut config = config();
    config.xclient = vec!["192.0.2.1".parse().unwrap()];
    let mut spoken = Spoken::from(config, "192.0.2.1:1");
    spoken.say(b"XCLIENT NAME=[TEMPUNAVAIL] PROTO=SMTP DESTADDR=198.51.100.1\r\n");
    let client = spoken.server.client();
    assert!(client.name.is_none() && client.name_is_unknown_for_now);
    assert_eq!(client.protocol, Some(XclientProtocol::Smtp));
    assert_eq!((client.destination, client.destination_port), (Some("198.51.100.1".parse().unwrap()), None));
    spoken.say(b"XCLIENT NAME=[UNAVAILABLE] PROTO=ESMTP DESTPORT=587\r\n");
    let client = spoken.server.client();
    assert!(client.name.is_none() && !client.name_is_unknown_for_now);
    assert_eq!((client.protocol, client.destination_port), (Some(XclientProtocol::Esmtp), Some(587)));
    assert!(client.destination.is_some(), "what is not spoken of stays");
}

#[test]
fn case_36_xclient_begins_the_session_anew() {
    let mut config = config();
    config.xclient = vec![IpAddr::from([192, 0, 2, 1]).into()];
    let mut spoken = Spoken::from(config, "192.0.2.1:1");
    spoken.say(b"EHLO proxy.example\r\nMAIL FROM:<>\r\n");
    assert!(spoken.say(b"XCLIENT ADDR=203.0.113.9\r\n").starts_with("503 5.5.1"), "not within a transaction");
    spoken.say(b"RSET\r\n");
    assert!(spoken.say(b"XCLIENT NAME=a+0D+0AMAIL\r\n").starts_with("501 5.5.4"));
    assert!(spoken.say(b"XCLIENT ADDR=203.0.113.9 LOGIN=bob HELO=c.example\r\n").starts_with("220 mx.example"));
    assert!(spoken.server.hello().is_none() && spoken.server.identity().is_some());
    assert_eq!(spoken.server.client().helo.as_ref().map(|name| name.as_str()), Some("c.example"));
    assert!(spoken.say(b"MAIL FROM:<>\r\n").starts_with("503 5.5.1"), "a greeting comes first");
    assert!(spoken.say(b"XCLIENT ADDR=[UNAVAILABLE] LOGIN=[UNAVAILABLE]\r\n").starts_with("220"));
    assert!(spoken.server.identity().is_none() && spoken.server.client().address.is_none());
    let flood = b"XCLIENT PORT=1\r\n".repeat(100);
    assert!(spoken.say(&flood).ends_with("421 4.7.0 Too much in one session\r\n"));
}

#[test]
fn networks_contain_addresses() {
    let network = |text: &str| text.parse::<Network>().unwrap();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert!(network("192.0.2.0/24").contains(ip("192.0.2.255")) && !network("192.0.2.0/24").contains(ip("192.0.3.0")));
    assert!(network("0.0.0.0/0").contains(ip("255.1.2.3")) && !network("0.0.0.0/0").contains(ip("::1")));
    assert!(network("192.0.2.1").contains(ip("::ffff:192.0.2.1")), "IPv4 within IPv6");
    assert!(
        network("2001:db8::/33").contains(ip("2001:db8:7fff::1"))
            && !network("2001:db8::/33").contains(ip("2001:db8:8000::1"))
    );
    for bad in ["", "x", "192.0.2.0/33", "::/129", "192.0.2.0/", "192.0.2.0/-1"] {
        assert!(bad.parse::<Network>().is_err(), "{bad}");
    }
}

#[test]
fn connections_are_counted_in_all_and_by_address() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let mut limits = ConnectionLimits::default();
    (limits.total, limits.per_address) = (3, 2);
    let mut connections = Connections::new(limits);
    connections.open(ip("2001:db8::1")).unwrap();
    connections.open(ip("2001:db8::2")).unwrap();
    assert_eq!(connections.open(ip("2001:db8::3")), Err(TooManyConnections::FromAddress { limit: 2 }), "one /64");
    connections.open(ip("192.0.2.1")).unwrap();
    assert_eq!(connections.open(ip("192.0.2.2")), Err(TooManyConnections::InAll { limit: 3 }));
    connections.close(ip("2001:db8::9"));
    connections.open(ip("192.0.2.2")).unwrap();
    for address in ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.2"] {
        connections.close(ip(address));
    }
    assert!(connections.is_empty());
}

#[test]
fn case_15_what_must_be_last_in_a_group_keeps_its_place() {
    // The group's replies are in order, and no command is run before those ahead of it are answered.
    let heard = both(
        &config(),
        b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nVRFY x\r\nNOOP\r\nRCPT TO:<x@mx.example>\r\nEHLO d.example\r\nRCPT TO:<y@mx.example>\r\nQUIT\r\nNOOP\r\n",
    );
    assert_eq!(heard.codes(), [250, 250, 252, 250, 250, 250, 503, 221], "EHLO ends the transaction, QUIT the session");
    assert_eq!(heard.resets, 1);
    let mut config = config();
    config.tls = Tls::Offered;
    let heard = whole(config, b"EHLO c.example\r\nSTARTTLS\r\nNOOP\r\nMAIL FROM:<a@c.example>\r\n");
    assert_eq!(heard.codes(), [250, 220]);
    assert_eq!(heard.closed, Some(Closed::Protocol(ProtocolError::PlaintextBeforeTls)));
    assert!(heard.senders.is_empty(), "what came before TLS is never run");
}

#[test]
fn case_30_a_session_lasts_an_hour() {
    let mut config = config();
    config.limits.session = std::time::Duration::from_secs(60);
    let mut spoken = Spoken::new(config);
    spoken.say(b"EHLO c.example\r\n");
    spoken.now = Instant::ORIGIN.plus(std::time::Duration::from_secs(61));
    assert!(spoken.run().starts_with("421 4.4.2"));
    assert!(matches!(spoken.told[..], [Told::Closed(Closed::TimedOut)]));
}
