//! The wire of the extensions: parameters, keywords, commands, status codes, PROXY.

use postrider_smtp::wire::{
    ByMode, Capabilities, Claim, Command, DeliverBy, EtrnTarget, Extension, FutureRelease, Hold, PROXY_V1_LIMIT,
    Priority, Proxied, ProxyError, ProxyPart, Quirks, Solicitation, Status, Timestamp, Unsupported, Url, ValidSince,
    Xclient, XclientAttribute, XclientProtocol,
};
use postrider_smtp::{Domain, EnhancedCode, ForwardPath, HelloName, MailParams, RcptParams, Reply, ReversePath};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

fn mail(params: &str) -> Result<MailParams, ()> {
    match Command::parse(format!("MAIL FROM:<> {params}").as_bytes(), Quirks::NONE) {
        Ok(Command::Mail { params, .. }) => Ok(params),
        _ => Err(()),
    }
}

fn rcpt(params: &str) -> Result<RcptParams, ()> {
    match Command::parse(format!("RCPT TO:<a@b> {params}").as_bytes(), Quirks::NONE) {
        Ok(Command::Rcpt { params, .. }) => Ok(params),
        _ => Err(()),
    }
}

#[test]
fn deliver_by_takes_a_time_and_a_mode() {
    let by = |text| mail(text).map(|params| params.deliver_by.expect("it was given"));
    assert_eq!(by("BY=120;R"), Ok(DeliverBy::new(120, ByMode::Return, false).unwrap()));
    assert_eq!(by("by=+5;nt"), Ok(DeliverBy::new(5, ByMode::Notify, true).unwrap()));
    assert_eq!(by("BY=-5;N"), Ok(DeliverBy::new(-5, ByMode::Notify, false).unwrap()));
    for bad in ["BY", "BY=5", "BY=;R", "BY=0;R", "BY=-5;R", "BY=1000000000;N", "BY=5;X", "BY=5;RX", "BY=5;R BY=5;R"] {
        assert_eq!(by(bad), Err(()), "{bad}");
    }
}

#[test]
fn messages_are_held_for_a_time_or_until_one() {
    let hold = |text| mail(text).map(|params| params.hold.expect("it was given"));
    assert_eq!(hold("HOLDFOR=86400"), Ok(Hold::For(86_400)));
    let until: Timestamp = "2026-02-28T23:59:60.5-01:30".parse().unwrap();
    assert_eq!(hold("HOLDUNTIL=2026-02-28T23:59:60.5-01:30"), Ok(Hold::Until(until)));
    for bad in
        ["HOLDFOR=0", "HOLDFOR=-1", "HOLDFOR=1000000000", "HOLDFOR=x", "HOLDFOR=1 HOLDUNTIL=2026-01-01T00:00:00Z"]
    {
        assert_eq!(hold(bad), Err(()), "{bad}");
    }
    let limits: FutureRelease = "3600 2026-03-01T00:00:00Z".parse().unwrap();
    assert!(limits.permits(&Hold::For(3600)) && !limits.permits(&Hold::For(3601)));
    let at = |text: &str| Hold::Until(text.parse().unwrap());
    assert!(limits.permits(&at("2026-02-28T23:59:59Z")) && !limits.permits(&at("2026-03-01T00:00:00-00:01")));
}

#[test]
fn timestamps_are_points_in_time() {
    for (text, unix) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T12:00:00z", 951_825_600),
        ("2026-11-23T02:00:00+02:00", 1_795_392_000),
        ("1969-12-31t23:59:59.999Z", -1),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ] {
        let time: Timestamp = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!((time.unix_seconds(), time.to_string().as_str()), (unix, text));
    }
    for bad in [
        "",
        "2026",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00Zx",
        "+026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.00000000000000000000Z",
    ] {
        assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
    }
    assert!(Timestamp::from_unix(253_402_300_800).is_none(), "the year 10000");
}

#[test]
fn priorities_are_minus_nine_to_nine() {
    for level in -9..=9 {
        assert_eq!(mail(&format!("MT-PRIORITY={level}")).unwrap().priority, Priority::new(level));
    }
    for bad in ["", "=", "=10", "=-10", "=-0", "=+1", "=01", "=x"] {
        assert_eq!(mail(&format!("MT-PRIORITY{bad}")), Err(()), "{bad}");
    }
}

#[test]
fn solicitations_are_lists_of_classes() {
    let list = mail("SOLICIT=org.example:ADV:ADLT,net.example:ADV").unwrap().solicitation.unwrap();
    assert_eq!(list.classes().collect::<Vec<_>>(), ["org.example:ADV:ADLT", "net.example:ADV"]);
    assert!(list.meets(&"x,NET.example:adv".parse().unwrap()));
    assert!(!list.meets(&"org.example:ADV".parse().unwrap()));
    for bad in ["SOLICIT", "SOLICIT=1a", "SOLICIT=a,,b", "SOLICIT=a,", "SOLICIT=a/b"] {
        assert_eq!(mail(bad), Err(()), "{bad}");
    }
    assert!("a".repeat(1000).parse::<Solicitation>().is_ok() && "a".repeat(1001).parse::<Solicitation>().is_err());
}

#[test]
fn recipients_may_have_to_be_valid_since() {
    let since: Timestamp = "2014-04-03T23:01:00Z".parse().unwrap();
    for (text, unsupported) in [("", Unsupported::Reject), (";R", Unsupported::Reject), (";c", Unsupported::Continue)] {
        let got = rcpt(&format!("RRVS=2014-04-03T23:01:00Z{text}")).unwrap().valid_since;
        assert_eq!(got, Some(ValidSince { since: since.clone(), unsupported }));
    }
    for bad in ["RRVS", "RRVS=2014", "RRVS=2014-04-03T23:01:00Z;X", "RRVS=2014-04-03T23:01:00Z;"] {
        assert_eq!(rcpt(bad), Err(()), "{bad}");
    }
}

#[test]
fn commands_of_extensions_read_back_as_they_were_written() {
    let parse = |line: &str| Command::parse(line.as_bytes(), Quirks::NONE);
    for line in [
        "ETRN uu.example",
        "ETRN @uu.example",
        "ETRN #queue-1",
        "BURL imap://harry@gryffindor.example.com/outbox;uidvalidity=1078863300/;uid=25;urlauth=submit+harry:internal:91354a473744909de610943775f92038 LAST",
        "BURL imap://a/b",
        "BDAT 0",
        "BDAT 86400 LAST",
        "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1 PORT=25 PROTO=ESMTP HELO=c.example LOGIN=a+2Bb DESTADDR=IPV6:2001:db8::1 DESTPORT=587",
    ] {
        let command = parse(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        assert_eq!(command.encode(), line);
    }
    for bad in [
        "ETRN",
        "ETRN ",
        "ETRN a b",
        "ETRN @",
        "ETRN #",
        "ETRN -",
        "BURL",
        "BURL x",
        "BURL a: LAST",
        "BURL imap:x FIRST",
        "BURL a:\u{e5}",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    assert!(EtrnTarget::queue("a\r\nb").is_none() && Url::parse("a:b\r\nc").is_err());
    let url = Url::parse("imap://a/;urlauth=x:secret").unwrap();
    assert!(!format!("{url:?}").contains("secret"), "keys are not shown");
}

#[test]
fn case_36_xclient_attributes_hold_no_controls() {
    let parse = |line: &str| match Command::parse(line.as_bytes(), Quirks::NONE) {
        Ok(Command::Xclient(said)) => Ok(*said),
        Ok(_) => panic!("another command"),
        Err(why) => Err(why),
    };
    let said = parse("xclient name=spike.example addr=IPv6:2001:db8::1 proto=smtp port=[tempunavail]").unwrap();
    assert_eq!(said.addr, Some(Claim::Is("2001:db8::1".parse::<IpAddr>().unwrap())));
    assert_eq!((said.proto, said.port), (Some(Claim::Is(XclientProtocol::Smtp)), Some(Claim::TemporarilyUnavailable)));
    for bad in [
        "XCLIENT",
        "XCLIENT NAME",
        "XCLIENT NAME=",
        "XCLIENT FOO=bar",
        "XCLIENT NAME=a+0D+0AMAIL",
        "XCLIENT NAME=a+00",
        "XCLIENT NAME=a+7F",
        "XCLIENT NAME=a+C3+A5",
        "XCLIENT NAME=a NAME=b",
        "XCLIENT  NAME=a",
        "XCLIENT ADDR=1.2.3",
        "XCLIENT ADDR=a.example",
        "XCLIENT PORT=70000",
        "XCLIENT PORT=+1",
        "XCLIENT PROTO=LMTP",
        "XCLIENT HELO=a(b",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn keywords_of_extensions_read_back_as_they_were_written() {
    let mut offered = Capabilities::default();
    offered.pipelining = true;
    offered.size = Some(1000);
    offered.recipients_max = Some(5);
    offered.recipient_domains_max = Some(2);
    offered.chunking = true;
    offered.binary_mime = true;
    offered.require_tls = true;
    offered.deliver_by = Some(60);
    offered.future_release = Some("86400 2030-01-01T00:00:00Z".parse().unwrap());
    offered.mt_priority = Some("MIXER".parse().unwrap());
    offered.no_soliciting = true;
    offered.unwanted = Some("net.example:ADV".parse().unwrap());
    offered.rrvs = true;
    offered.etrn = true;
    offered.burl = Some("imap imap://imap.example".parse().unwrap());
    offered.xclient = XclientAttribute::ALL.to_vec();
    offered.other = vec![Extension::new("X-ODD", "one two").unwrap()];
    let read = |offered: &Capabilities| {
        let mut text = String::from("250-mx.example");
        for line in offered.lines() {
            text.push_str(&format!("\r\n250-{line}"));
        }
        let last = text.rfind("250-").unwrap();
        text.replace_range(last..last + 4, "250 ");
        Capabilities::from_reply(&Reply::parse(text.as_bytes()).unwrap())
    };
    assert_eq!(read(&offered), offered);
    let mut bare = Capabilities::default();
    bare.deliver_by = Some(0);
    bare.mt_priority = Some(Default::default());
    bare.no_soliciting = true;
    bare.burl = Some(Default::default());
    assert_eq!(read(&bare), bare);
    let odd = Capabilities::from_reply(&Reply::parse(b"250-x\r\n250-futurerelease 5\r\n250 deliverby x").unwrap());
    assert_eq!((odd.future_release.is_none(), odd.other("FUTURERELEASE").is_some()), (true, true));
    assert_eq!(odd.deliver_by, Some(0));
}

#[test]
fn status_codes_are_registered_once_and_have_names() {
    for pair in Status::ALL.windows(2) {
        assert!(pair[0].numbers() < pair[1].numbers(), "{:?}", pair[1]);
    }
    for &status in Status::ALL {
        for code in [status.success(), status.transient(), status.permanent()] {
            assert_eq!(code.status(), Some(status));
            assert_eq!(EnhancedCode::parse(code.to_string().as_bytes()), Ok(code));
        }
        assert!(!status.title().is_empty() && status.rfc() > 3000);
    }
    assert_eq!(Status::RequireTlsRequired.permanent().to_string(), "5.7.30");
    assert_eq!(EnhancedCode::literal(5, 99, 0).status(), None);
}

#[test]
fn case_24_u_labels_and_a_labels() {
    let domain = |text: &str| Domain::parse(text).unwrap();
    let unicode = domain("bücher.Example");
    assert_eq!(unicode.as_str(), "bücher.Example", "kept as it was written");
    assert_eq!(unicode.to_ascii().unwrap().as_str(), "xn--bcher-kva.example");
    assert_eq!(domain("xn--bcher-kva.example").to_unicode().unwrap().as_str(), "bücher.example");
    assert_eq!(domain("mx.Example").to_ascii().unwrap().as_str(), "mx.Example");
    assert_eq!(unicode.to_ascii().unwrap().to_unicode().unwrap(), domain("bücher.example"));
    assert!(domain("xn--zzzzzzzzz99999.example").to_unicode().is_err(), "an A-label that stands for nothing");
    let long = domain(&format!("{}.example", "\u{1f4a9}".repeat(15)));
    assert!(long.to_ascii().is_ok_and(|ascii| ascii.is_ascii()));
    assert!(domain("\u{ad}.example").to_ascii().is_err(), "a label of nothing");
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
}

#[test]
fn case_35_proxy_headers_are_read_exactly() {
    let read = |input: &[u8]| Proxied::read(input, 4096);
    let tcp = |source: &str, destination: &str| Proxied::Tcp {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    };
    let four = [&[192, 0, 2, 1, 198, 51, 100, 2][..], &[0x30, 0x39, 0, 25]].concat();
    let six: Vec<u8> = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]; 2]
        .concat()
        .into_iter()
        .chain([0, 1, 0, 25])
        .collect();
    let good = [
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 25\r\n".to_vec(), tcp("192.0.2.1:12345", "198.51.100.2:25")),
        (b"PROXY TCP6 2001:db8::1 ::1 1 25\r\n".to_vec(), tcp("[2001:db8::1]:1", "[::1]:25")),
        (b"PROXY UNKNOWN\r\n".to_vec(), Proxied::Unknown),
        (b"PROXY UNKNOWN ffff::1 whatever 1 2\r\n".to_vec(), Proxied::Unknown),
        (v2(0x20, 0, b""), Proxied::Local),
        (v2(0x20, 0x11, b"\xff\xff"), Proxied::Local),
        (v2(0x21, 0x11, &four), tcp("192.0.2.1:12345", "198.51.100.2:25")),
        (v2(0x21, 0x11, &[&four[..], b"\x01\0\x02h2\x04\0\0"].concat()), tcp("192.0.2.1:12345", "198.51.100.2:25")),
        (v2(0x21, 0x21, &six), tcp("[2001:db8::1]:1", "[2001:db8::1]:25")),
        (v2(0x21, 0x31, &[0; 216]), Proxied::Unknown),
        (v2(0x21, 0x00, b""), Proxied::Unknown),
    ];
    for (header, expected) in &good {
        let shown = header.escape_ascii();
        let after = [&header[..], b"EHLO x\r\n"].concat();
        assert_eq!(read(&after), Ok(ProxyPart::Whole(header.len(), *expected)), "{shown}");
        // Asked for as much as is surely wanted, it never reads past its end.
        let mut at = 0;
        loop {
            match read(&header[..at]) {
                Ok(ProxyPart::More(more)) => {
                    assert!(more > 0 && at + more <= header.len(), "{shown}: {more} after {at}");
                    at += more;
                }
                other => {
                    assert_eq!((at, other), (header.len(), Ok(ProxyPart::Whole(at, *expected))), "{shown}");
                    break;
                }
            }
        }
    }
    let bad = [
        b"EHLO c.example\r\n".to_vec(),
        b"PROXX TCP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n".to_vec(),
        b"PROXY TCP4 ::1 ::1 1 1\r\n".to_vec(),
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n".to_vec(),
        b"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
        [b"PROXY UNKNOWN ", &[b'a'; 100][..]].concat(),
        v2(0x31, 0x11, &four),
        v2(0x22, 0x11, &four),
        v2(0x21, 0x11, &four[..11]),
        v2(0x21, 0x21, &six[..35]),
        v2(0x21, 0x11, &[&four[..], b"\x01\0"].concat()),
        v2(0x21, 0x11, &[&four[..], b"\x01\0\x03h2"].concat()),
    ];
    for header in &bad {
        assert!(read(header).is_err(), "{}", header.escape_ascii());
    }
    assert_eq!(read(&v2(0x21, 0x11, &[0; 4081])[..16]), Err(ProxyError::TooLong { limit: 4096 }), "said at once");
    assert_eq!(
        read(&[b"PROXY UNKNOWN ", &[b'a'; 200][..]].concat()),
        Err(ProxyError::TooLong { limit: PROXY_V1_LIMIT })
    );
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (0u64..253_402_300_800).prop_map(|unix| Timestamp::from_unix(unix).expect("before the year 10000"))
}

fn solicitation() -> impl Strategy<Value = Solicitation> {
    proptest::collection::vec("[a-z][a-z:._-]{0,9}", 1..4).prop_map(|words| words.join(",").parse().expect("a list"))
}

fn claim<T: std::fmt::Debug>(value: impl Strategy<Value = T> + Clone) -> impl Strategy<Value = Option<Claim<T>>> {
    proptest::option::of(prop_oneof![
        value.prop_map(Claim::Is),
        Just(()).prop_map(|()| Claim::Unavailable),
        Just(()).prop_map(|()| Claim::TemporarilyUnavailable),
    ])
}

proptest! {
    #[test]
    fn timestamps_read_back_as_they_were_made(time in timestamp()) {
        let read: Timestamp = time.to_string().parse().unwrap();
        prop_assert_eq!(read, time);
    }

    #[test]
    fn mail_with_extensions_reads_back_as_it_was_written(
        by in proptest::option::of((1i32..=999_999_999, any::<bool>(), any::<bool>())),
        hold in proptest::option::of(prop_oneof![(1u32..=999_999_999).prop_map(Hold::For), timestamp().prop_map(Hold::Until)]),
        priority in proptest::option::of(-9i8..=9),
        solicitation in proptest::option::of(solicitation()),
        since in proptest::option::of((timestamp(), any::<bool>())),
    ) {
        let mut params = MailParams::default();
        params.deliver_by = by.map(|(seconds, returned, trace)| {
            let (seconds, mode) = if returned { (seconds, ByMode::Return) } else { (-seconds, ByMode::Notify) };
            DeliverBy::new(seconds, mode, trace).unwrap()
        });
        params.hold = hold;
        params.priority = priority.and_then(Priority::new);
        params.solicitation = solicitation;
        let line = Command::Mail { from: ReversePath::Null, params: params.clone() }.encode();
        match Command::parse(line.as_bytes(), Quirks::NONE) {
            Ok(Command::Mail { params: read, .. }) => prop_assert_eq!(read, params),
            other => prop_assert!(false, "{line}: {other:?}"),
        }
        let mut params = RcptParams::default();
        params.valid_since = since.map(|(since, go_on)| ValidSince {
            since,
            unsupported: if go_on { Unsupported::Continue } else { Unsupported::Reject },
        });
        let line = Command::Rcpt { to: ForwardPath::Postmaster, params: params.clone() }.encode();
        match Command::parse(line.as_bytes(), Quirks::NONE) {
            Ok(Command::Rcpt { params: read, .. }) => prop_assert_eq!(read, params),
            other => prop_assert!(false, "{line}: {other:?}"),
        }
    }

    #[test]
    fn xclient_reads_back_as_it_was_written(
        name in claim("[!-Z^-~]{1,12}"),
        addr in claim(any::<IpAddr>()),
        port in claim(any::<u16>()),
        esmtp in claim(any::<bool>()),
        helo in claim("[a-z][a-z0-9]{0,9}"),
    ) {
        let text = |claim: Claim<String>| match claim {
            Claim::Is(text) => Claim::Is(postrider_core::Text::new(text).unwrap()),
            Claim::Unavailable => Claim::Unavailable,
            Claim::TemporarilyUnavailable => Claim::TemporarilyUnavailable,
        };
        let mut said = Xclient::default();
        said.name = name.clone().map(text);
        said.login = name.map(text);
        said.addr = addr;
        said.port = port;
        said.destination_addr = addr;
        said.destination_port = port;
        said.proto = esmtp.map(|claim| match claim {
            Claim::Is(true) => Claim::Is(XclientProtocol::Esmtp),
            Claim::Is(false) => Claim::Is(XclientProtocol::Smtp),
            Claim::Unavailable => Claim::Unavailable,
            Claim::TemporarilyUnavailable => Claim::TemporarilyUnavailable,
        });
        said.helo = helo.map(|claim| match claim {
            Claim::Is(name) => Claim::Is(HelloName::parse(&name).unwrap()),
            Claim::Unavailable => Claim::Unavailable,
            Claim::TemporarilyUnavailable => Claim::TemporarilyUnavailable,
        });
        prop_assume!(said != Xclient::default());
        let line = Command::Xclient(Box::new(said.clone())).encode();
        match Command::parse(line.as_bytes(), Quirks::NONE) {
            Ok(Command::Xclient(read)) => prop_assert_eq!(*read, said),
            other => prop_assert!(false, "{line}: {other:?}"),
        }
    }

    #[test]
    fn proxy_headers_read_back_as_they_were_written(source in any::<(IpAddr, u16)>(), destination in any::<(IpAddr, u16)>()) {
        let proxied = Proxied::Tcp { source: SocketAddr::from(source), destination: SocketAddr::from(destination) };
        let same = source.0.is_ipv4() == destination.0.is_ipv4();
        let first = proxied.encode_v1();
        prop_assert!(first.len() <= PROXY_V1_LIMIT);
        let expected = if same { proxied } else { Proxied::Unknown };
        prop_assert_eq!(Proxied::read(&first, 0), Ok(ProxyPart::Whole(first.len(), expected)));
        let second = proxied.encode_v2();
        match Proxied::read(&second, 4096) {
            Ok(ProxyPart::Whole(length, read)) => {
                prop_assert_eq!(length, second.len());
                prop_assert!(!same || read == proxied);
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn no_octets_make_the_proxy_reader_panic(octets in proptest::collection::vec(any::<u8>(), 0..80), how in 0usize..4) {
        let starts = [&b""[..], b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20"];
        let input = [starts[how], &octets].concat();
        if let Ok(ProxyPart::Whole(length, _)) = Proxied::read(&input, 4096) {
            prop_assert!(length <= input.len());
        }
    }
}
