//! Addresses, commands, replies and capabilities, by table and by property.

use postrider_core::Text;
use postrider_smtp::wire::{
    Capabilities, Command, EnvelopeId, Extension, Notify, OriginalRecipient, Parameter, Quirks, ReplyError,
    ReplyReader, Ret, Verb,
};
use postrider_smtp::{
    AddressLiteral, Domain, EnhancedCode, ForwardPath, HelloName, Host, LocalPart, MailParams, Mailbox, RcptParams,
    Reply, ReplyCode, ReversePath,
};
use proptest::prelude::*;
use std::str::FromStr;

//= 5321-2.3.11-1, 5321-2.4-2, 5321-4.1.2-4, 5321-4.5.3.1.1-1, 5321-4.5.3.1.2-1, 5321-4.5.3.1.3-1
//= 6531-3.2-1, 6531-3.3-1
#[test]
fn case_24_addresses_round_trip_or_are_rejected() {
    let local_64 = "a".repeat(64);
    let label_63 = "b".repeat(63);
    let longest = format!("<{local_64}@{label_63}.{label_63}.{label_63}.{}>", "b".repeat(61));
    let good = [
        "<a@c>",
        "<\"a b\"@c>",
        r#"<"a\"b"@c>"#,
        r#"<"a\ b"@c>"#,
        "<\"\"@c>",
        "<a@[1.2.3.4]>",
        "<a@[IPv6:::1]>",
        "<a@[IPv6:2001:DB8::1.2.3.4]>",
        "<a@[x-tag:anything]>",
        "<!#$%&'*+-/=?^_`{|}~@c>",
        "<postmaster@c>",
        "<åsa@bücher.example>",
        "<a@xn--bcher-kva.example>",
        "<A@C.Example>",
        &longest,
    ];
    for text in good {
        let path = ForwardPath::from_str(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(path.to_string(), text, "written as it was read");
        assert_eq!(ReversePath::from_str(text).unwrap().to_string(), text);
        let mailbox = path.mailbox().expect("a mailbox");
        let joined = Mailbox::new(&LocalPart::parse(mailbox.local_part()).unwrap(), &mailbox.host());
        assert_eq!(joined.as_str(), mailbox.as_str());
    }
    let local_65 = format!("<{}@c>", "a".repeat(65));
    let label_64 = format!("<a@{}>", "b".repeat(64));
    let domain_256 = format!("<a@{label_63}.{label_63}.{label_63}.{}>", "b".repeat(64));
    let bad = [
        "<\"\">",
        "<\"\r\"@c>",
        "<\"\n\"@c>",
        "<\"\0\"@c>",
        "<\"a@c>",
        "<\"a\"b@c>",
        "<a@b@c>",
        "<.a@b>",
        "<a.@b>",
        "<a..b@c>",
        "<a@b..c>",
        "<a@.b>",
        "<a@b.>",
        "<a@-b>",
        "<a@b->",
        "<a@b_c>",
        "<a@[1.2.3.4.5]>",
        "<a@[1.2.3]>",
        "<a@[1.2.3.256]>",
        "<a@[IPv6:1]>",
        "<a@[IPv6:::1>",
        "<a@[]>",
        "<a b@c>",
        "<a@c",
        "a@c",
        "<a>",
        "<@c>",
        "<a@>",
        "<a@c>x",
        "<a\u{85}@c>",
        "<a@b\u{3002}c>",
        "<a@b\u{202e}c>",
        &local_65,
        &label_64,
        &domain_256,
    ];
    for text in bad {
        assert!(ForwardPath::from_str(text).is_err(), "{text}");
        assert!(ReversePath::from_str(text).is_err(), "{text}");
    }
}

//= 5321-3.3-2, 5321-3.3-3, 5321-3.6.1-1, 5321-C-1
#[test]
fn case_24_source_routes_are_read_and_ignored() {
    assert_eq!(ForwardPath::from_str("<@x,@y:a@b>").unwrap().to_string(), "<a@b>");
    assert!(ForwardPath::from_str("<@x,:a@b>").is_err());
    assert!(ForwardPath::from_str("<@x,@y>").is_err());
}

//= 5321-2.3.5-3, 5321-2.4-2, 5321-4.1.2-1
#[test]
fn case_24_forms_are_not_merged() {
    assert_ne!(Mailbox::parse("\"ab\"@c").unwrap(), Mailbox::parse("ab@c").unwrap());
    assert_eq!(Mailbox::parse("\"a\\\"b\"@c").unwrap().unquoted_local_part(), "a\"b");
    assert_ne!(Mailbox::parse("A@c").unwrap(), Mailbox::parse("a@c").unwrap(), "local parts have case");
    assert_eq!(Mailbox::parse("a@C").unwrap(), Mailbox::parse("a@c").unwrap(), "domains have none");
    assert_eq!(ForwardPath::from_str("<PostMaster>").unwrap(), ForwardPath::Postmaster);
    assert!(ForwardPath::from_str("<>").is_err(), "nobody receives");
    assert_eq!(ReversePath::from_str("<>").unwrap(), ReversePath::Null);
    assert!(ReversePath::from_str("<postmaster>").is_err());
}

//= 5321-4.1.2-2
#[test]
fn local_parts_are_quoted_only_where_they_must_be() {
    for (name, written) in
        [("a.b", "a.b"), ("a b", "\"a b\""), ("", "\"\""), ("a\"\\", r#""a\"\\""#), ("\"q\"", r#""\"q\"""#)]
    {
        let local = LocalPart::quote(name).unwrap();
        assert_eq!((local.as_str(), local.unquoted().as_ref()), (written, name));
    }
    assert!(LocalPart::quote("a\r\nb").is_err());
}

#[test]
fn case_46_what_would_break_the_line_cannot_be_made() {
    for evil in ["a\rb", "a\nb", "a\0b", "a>b", "a b", "a\r\nRCPT TO:<x@y>"] {
        assert!(Domain::parse(evil).is_err(), "{evil:?}");
        assert!(HelloName::parse(evil).is_err(), "{evil:?}");
        assert!(LocalPart::parse(evil).is_err(), "{evil:?}");
        assert!(Mailbox::parse(&format!("{evil}@c")).is_err(), "{evil:?}");
        assert!(Mailbox::parse(&format!("a@{evil}")).is_err(), "{evil:?}");
        assert!(AddressLiteral::parse(&format!("[x:{evil}]")).is_err() || evil == "a>b", "{evil:?}");
        assert!(Parameter::new(evil, None).is_err(), "{evil:?}");
        assert!(Parameter::new("X", Some(evil)).is_err() || evil == "a>b", "{evil:?}");
        assert!(Extension::new(evil, "").is_none(), "{evil:?}");
    }
    for evil in ["a\rb", "a\nb", "a\0b", "\u{7f}", ""] {
        assert!(EnvelopeId::new(evil).is_err(), "{evil:?}");
        assert!(OriginalRecipient::new("rfc822", evil).is_err(), "{evil:?}");
    }
}

//= 5321-4.1.1.1-1
#[test]
fn literals_know_their_address() {
    for ip in ["192.0.2.1", "2001:db8::1"] {
        let ip: std::net::IpAddr = ip.parse().unwrap();
        let literal = AddressLiteral::from_ip(ip);
        assert_eq!(literal.ip(), Some(ip));
        assert_eq!(Host::parse(literal.as_str()), Ok(Host::Literal(literal)));
    }
    assert_eq!(AddressLiteral::parse("[x:y]").unwrap().ip(), None);
}

#[test]
fn case_25_bdat_takes_one_size_and_perhaps_last() {
    let parse = |line: &str| Command::parse(line.as_bytes(), Quirks::NONE);
    for bad in
        ["BDAT -1", "BDAT +1", "BDAT 18446744073709551616", "BDAT  5  LAST", "BDAT 5 LAST x", "BDAT 5LAST", "BDAT"]
    {
        assert!(parse(bad).is_err(), "{bad}");
    }
    for (good, expected) in
        [("BDAT 0", (0, false)), ("bdat 0 last", (0, true)), ("BDAT 18446744073709551615", (u64::MAX, false))]
    {
        match parse(good) {
            Ok(Command::Bdat { size, last }) => assert_eq!((size, last), expected),
            other => panic!("{good}: {other:?}"),
        }
    }
}

fn reply(lines: &[&[u8]]) -> Result<Option<Reply>, ReplyError> {
    let mut reader = ReplyReader::new(128, 65_536);
    let mut last = Ok(None);
    for line in lines {
        last = reader.line(line);
        if last.is_err() {
            break;
        }
    }
    last
}

//= 2920-3.1-4, 2920-3.1-6, 5321-4.2-2, 5321-4.2-8, 5321-4.2.1-3, 6531-3.7.4.1-2
#[test]
fn case_44_replies_are_exact_and_safe_to_show() {
    for bad in [&b"25"[..], b"2500", b"999", b"199 a", b"600 a", b"260 a", b"250_a", b"", b"abc", b"250 a\nb"] {
        assert!(reply(&[bad]).is_err(), "{:?}", bad.escape_ascii().to_string());
    }
    assert!(reply(&[b"250-a", b"251 b"]).is_err(), "the code changes");
    let empty = reply(&[b"250"]).unwrap().unwrap();
    assert_eq!((empty.code().number(), empty.to_string().as_str()), (250, "250"));
    assert_eq!(reply(&[b"250 "]).unwrap().unwrap(), empty);

    let odd = reply(&[b"550-5.1.1 \x1b[31mred\x07", b"550 5.1.1 \xff\xc3\xa5"]).unwrap().unwrap();
    assert_eq!(odd.enhanced(), EnhancedCode::new(5, 1, 1));
    let lines: Vec<&[u8]> = odd.lines().collect();
    assert_eq!(lines, [&b"5.1.1 \x1b[31mred\x07"[..], b"5.1.1 \xff\xc3\xa5"], "lossless");
    let shown = odd.to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert_eq!(shown, "550 5.1.1 \\u{1b}[31mred\\u{7} \\xffå");
    assert!(reply(&[b"550 2.1.1 a"]).unwrap().unwrap().enhanced().is_none(), "a code of another class says nothing");
    assert!(reply(&[b"550 5.01.1 a"]).unwrap().unwrap().enhanced().is_none(), "no leading zeros");
}

/// The replies in a stream that comes cut at these places, and how far they were read, or what was wrong with the next.
fn replies_in(stream: &[u8], cuts: &[usize]) -> (Vec<Reply>, Result<usize, ReplyError>) {
    let mut reader = ReplyReader::new(3, 40);
    let (mut replies, mut at) = (vec![], 0);
    for &end in cuts.iter().chain([&stream.len()]) {
        loop {
            match reader.read(&stream[at..end]) {
                Ok((taken, reply)) => {
                    at += taken;
                    if reply.is_none() {
                        break;
                    }
                    replies.extend(reply);
                }
                Err(why) => return (replies, Err(why)),
            }
        }
    }
    (replies, Ok(at))
}

/// A stream of replies is read the same at every cut, at every two, and octet by octet; and as line by line.
#[test]
fn case_44_replies_are_read_the_same_at_every_cut() {
    let streams: [(&[u8], usize, bool); 10] = [
        (b"250 OK\r\n", 1, false),
        (b"250\r\n250 \r\n250-\r\n250\r\n", 3, false),
        (b"250-mx.example\r\n250-PIPELINING\r\n250 SIZE 1\r\n550-5.1.1 no\r\n550 5.1.1 such\r\n354 Go", 2, false),
        (b"250-2.0.0 a\r\n250-\r\r\n250 \xff\0\x1b\r\n221 \r\n", 2, false),
        (b"250 a\r\n250-a\r\n251 b\r\n220 c\r\n", 1, true),
        (b"250 a\r\n2500\r\n", 1, true),
        (b"250 a\r\n250-b\r\n250 c\n250 d\r\n", 1, true),
        (b"250-a\r\n250-b\r\n250-c\r\n250 d\r\n", 0, true),
        (b"250-01234567890123456789\r\n250 01234567890123456789\r\n", 0, true),
        (b"\r\n250 a\r\n", 0, true),
    ];
    for (stream, count, wrong) in streams {
        let shown = stream.escape_ascii();
        let whole = replies_in(stream, &[]);
        assert_eq!((whole.0.len(), whole.1.is_err()), (count, wrong), "{shown}: {whole:?}");
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                assert_eq!(replies_in(stream, &[first, second]), whole, "{shown} at {first} and {second}");
            }
        }
        assert_eq!(replies_in(stream, &(0..stream.len()).collect::<Vec<_>>()), whole, "{shown} octet by octet");

        let mut reader = ReplyReader::new(3, 40);
        let (mut by_line, mut failed, mut rest) = (vec![], false, stream);
        while let (false, Some(end)) = (failed, rest.windows(2).position(|two| two == b"\r\n")) {
            match reader.line(&rest[..end]) {
                Ok(reply) => by_line.extend(reply),
                Err(_) => failed = true,
            }
            rest = &rest[end + 2..];
        }
        assert_eq!((&by_line, failed), (&whole.0, wrong), "{shown} line by line");
    }
}

#[test]
fn case_43_replies_are_limited_while_they_are_read() {
    let mut reader = ReplyReader::new(3, 100);
    for _ in 0..3 {
        assert_eq!(reader.line(b"250-x"), Ok(None));
    }
    assert!(matches!(reader.line(b"250-x"), Err(ReplyError::TooLong { what: "lines", limit: 3 })));
    let mut reader = ReplyReader::new(100, 10);
    assert_eq!(reader.line(b"250-12345"), Ok(None));
    assert!(matches!(reader.line(b"250 123456"), Err(ReplyError::TooLong { what: "octets", limit: 10 })));
}

/// RFC 9422, 4: "0" is not allowed. Who took it would send nothing, ever.
#[test]
fn case_55_a_limit_of_nothing_is_none() {
    let said = b"250-mx.example\r\n250 LIMITS RCPTMAX=0 MAILMAX=0 RCPTDOMAINMAX=00 MAILMAX=7\r\n";
    let offered = Capabilities::from_reply(&Reply::parse(said).unwrap());
    assert_eq!((offered.recipients_max, offered.recipient_domains_max), (None, None));
    assert_eq!(offered.transactions_max, Some(7));
}

//= 5321-4.1.1.1-3, 4954-8-1
#[test]
fn case_43_capabilities_in_all_their_spellings() {
    let said = b"250-mx.example hello\r\n250-pipelining\r\n250-SIZE 1000\r\n250-8bitmime\r\n250-AUTH=LOGIN PLAIN\r\n\
        250-auth login\tXOAUTH2\r\n250-Dsn\r\n250-X-odd one two\r\n250-!!\r\n250-\xff\xff\r\n250-LIMITS RCPTMAX=3 MAILMAX=1\r\n\
        250 StartTLS\r\n";
    let offered = Capabilities::from_reply(&Reply::parse(said).unwrap());
    assert!(offered.pipelining && offered.eight_bit_mime && offered.dsn && offered.start_tls);
    assert_eq!(offered.size, Some(1000));
    let names: Vec<&str> = offered.auth.iter().map(|m| m.as_str()).collect();
    assert_eq!(names, ["LOGIN", "PLAIN", "XOAUTH2"], "merged, each once");
    assert_eq!((offered.recipients_max, offered.transactions_max), (Some(3), Some(1)));
    let odd: Vec<&str> = offered.other("x-ODD").unwrap().params().collect();
    assert_eq!(odd, ["one", "two"]);
    assert_eq!(offered.other.len(), 1);
}

fn domain() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-z0-9åß]([a-z0-9-]{0,5}[a-z0-9])?", 1..4).prop_map(|labels| labels.join("."))
}

fn mailbox() -> impl Strategy<Value = Mailbox> {
    let local = prop_oneof!["[a-z!#+=_åß]{1,8}(\\.[a-z]{1,4})?", "[ -~]{0,12}"];
    let host = prop_oneof![domain(), Just("[192.0.2.1]".to_owned()), Just("[IPv6:2001:db8::1]".to_owned())];
    (local, host).prop_map(|(local, host)| {
        Mailbox::new(&LocalPart::quote(&local).expect("printable"), &Host::parse(&host).expect("a host"))
    })
}

fn other() -> impl Strategy<Value = Vec<Parameter>> {
    proptest::collection::btree_map("X[A-Z0-9-]{0,4}", proptest::option::of("[!-<>-~]{1,9}"), 0..3)
        .prop_map(|map| map.iter().map(|(k, v)| Parameter::new(k, v.as_deref()).expect("checked")).collect())
}

proptest! {
    #[test]
    fn mail_reads_back_as_it_was_written(
        from in proptest::option::of(mailbox()),
        size in proptest::option::of(any::<u64>()),
        utf8 in any::<bool>(),
        ret in proptest::option::of(any::<bool>()),
        id in proptest::option::of("[ -~]{1,30}"),
        auth in proptest::option::of(mailbox().prop_filter("ASCII only", Mailbox::is_ascii)),
        other in other(),
    ) {
        let from = from.map_or(ReversePath::Null, ReversePath::Mailbox);
        let mut params = MailParams::default();
        params.size = size;
        params.smtp_utf8 = utf8;
        params.ret = ret.map(|full| if full { Ret::Full } else { Ret::Headers });
        params.envelope_id = id.map(|id| EnvelopeId::new(&id).unwrap());
        params.auth = auth.map(ReversePath::Mailbox);
        params.other = other;
        let line = Command::Mail { from: from.clone(), params: params.clone() }.encode();
        prop_assert!(!line.contains(['\r', '\n', '\0']));
        match Command::parse(line.as_bytes(), Quirks::NONE) {
            Ok(Command::Mail { from: f, params: p }) => prop_assert_eq!((f, p), (from, params)),
            wrong => prop_assert!(false, "{line}: {wrong:?}"),
        }
    }

    //= 3461-4.2-2, 3461-4.5-1
    #[test]
    fn rcpt_reads_back_as_it_was_written(
        to in mailbox(),
        notify in proptest::option::of(any::<[bool; 3]>()),
        original in proptest::option::of(mailbox()),
        other in other(),
    ) {
        let mut params = RcptParams::default();
        params.notify = notify.map(|[success, failure, delay]| Notify { success, failure, delay });
        params.original = original.as_ref().and_then(|mailbox| OriginalRecipient::of(mailbox).ok());
        params.other = other;
        let to = ForwardPath::Mailbox(to);
        let line = Command::Rcpt { to: to.clone(), params: params.clone() }.encode();
        prop_assert!(!line.contains(['\r', '\n', '\0']));
        match Command::parse(line.as_bytes(), Quirks::NONE) {
            Ok(Command::Rcpt { to: t, params: p }) => prop_assert_eq!((t, p), (to, params)),
            wrong => prop_assert!(false, "{line}: {wrong:?}"),
        }
    }

    #[test]
    fn no_line_makes_the_parsers_panic(line in proptest::collection::vec(any::<u8>(), 0..80), verb in 0usize..18) {
        let verbs = ["", "MAIL FROM:<", "RCPT TO:<", "AUTH ", "EHLO ", "BDAT ", "VRFY ", "MAIL FROM:<a@b> ", "RCPT TO:<a@b> ",
            "RCPT TO:<a@b> ORCPT=utf-8;", "MAIL FROM:<a@b> ENVID=", "RCPT TO:<a@b> NOTIFY=", "MAIL FROM:<a@[", "MAIL FROM:<\"",
            "250 ", "250-", "250 5.", "AUTH PLAIN "];
        let line = [verbs[verb].as_bytes(), &line].concat();
        for quirks in [Quirks::NONE, Quirks::INTEROP] {
            if let Ok(command) = Command::parse(&line, quirks) {
                let again = command.encode();
                let is_auth = matches!(command, Command::Auth { .. });
                prop_assert!(is_auth || Command::parse(again.as_bytes(), Quirks::NONE).is_ok(), "{again:?}");
                prop_assert!(is_auth || !again.contains(['\r', '\n', '\0']), "{again:?}");
            }
        }
        if let Ok(reply) = Reply::parse(&line) {
            prop_assert!(!reply.to_string().chars().any(char::is_control));
            let _ = Capabilities::from_reply(&reply);
        }
        let _ = EnhancedCode::parse(&line);
    }
}

//= 5321-4.2-7
#[test]
fn replies_are_made_of_text() {
    let code = ReplyCode::new(550).unwrap();
    let made = Reply::new(code, EnhancedCode::new(5, 7, 1), &Text::literal("One")).and_line(&Text::literal("Two"));
    assert_eq!(made, Reply::parse(b"550-5.7.1 One\r\n550 5.7.1 Two\r\n").unwrap());
    assert_eq!(ReplyCode::new(199), None);
    assert_eq!(ReplyCode::new(262), None);
    assert_eq!(EnhancedCode::new(3, 0, 0), None);
}

/// What the session decides by the verb before it reads the rest must be what the rest is read as.
#[test]
fn the_verb_of_a_line_is_that_of_its_command() {
    let cases = [
        ("DATA\t", Some(Verb::Data), true),
        ("DATA \t ", Some(Verb::Data), true),
        ("STARTTLS\t", Some(Verb::StartTls), true),
        ("data\tnow", Some(Verb::Data), false),
        ("MAIL\tFROM:<a@b>", Some(Verb::Mail), false),
        ("XCLIENT\tADDR=192.0.2.1", Some(Verb::Xclient), false),
        ("DATA\r", None, false),
        ("DATA\x0c", None, false),
        ("DATA\x0b", None, false),
        ("DATA\0", None, false),
        ("RSET \r", Some(Verb::Rset), false),
        ("\tDATA", None, false),
    ];
    for (line, verb, good) in cases {
        assert_eq!(Verb::of(line.as_bytes()), verb, "{line:?}");
        let read = Command::parse(line.as_bytes(), Quirks::NONE);
        assert_eq!(read.as_ref().ok().map(Command::verb), verb.filter(|_| good), "{line:?}: {read:?}");
    }
}

/// RFC 3461, 5.4: what cannot be taken by any server is not made, and what is made is taken.
//= 3461-4.2-1
#[test]
fn limit_orcpt_counts_what_is_sent() {
    let sent = |original: OriginalRecipient| {
        let mut params = RcptParams::default();
        params.original = Some(original);
        params.to_string()
    };
    // 7 for `rfc822;`; `+` is sent as `+2B`, é as `\x{E9}`, and `\` of this type as `\x{5C}`.
    for (kind, unit, octets) in [("rfc822", "a", 1), ("rfc822", "+", 3), ("utf-8", "é", 6), ("utf-8", "\\", 6)] {
        let most = (500 - kind.len() - 1) / octets;
        let longest = OriginalRecipient::new(kind, &unit.repeat(most)).expect("it fits");
        let text = sent(longest.clone());
        assert_eq!(text.len(), " ORCPT=".len() + kind.len() + 1 + most * octets);
        assert_eq!(text.parse::<RcptParams>().expect("it is taken").original, Some(longest));
        assert!(OriginalRecipient::new(kind, &unit.repeat(most + 1)).is_err(), "{kind} {unit}");
    }
    let wide = Mailbox::parse(&format!("{}@example.com", "é".repeat(32))).expect("an address");
    assert!(OriginalRecipient::of(&wide).is_ok());
    let domain = vec!["é".repeat(25); 4].join(".");
    let wider = Mailbox::parse(&format!("a@{domain}.example")).expect("an address");
    assert!(OriginalRecipient::of(&wider).is_err(), "its 100 letters alone are 600 octets");
}
