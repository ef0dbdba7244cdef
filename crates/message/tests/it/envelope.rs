//! ENVELOPE.

use postrider_imap::wire::DateTime;
use postrider_message::{envelope, parse_date, unfold};

use crate::{crlf, written_addresses, written_envelope};

/// The message of RFC 9051, 8.
#[test]
fn the_example_of_the_rfc() {
    let block = crlf(
        "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\nFrom: Terry Gray <gray@cac.washington.edu>\n\
         Subject: IMAP4rev2 WG mtg summary and minutes\nTo: imap@cac.washington.edu\n\
         cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\n\
         Message-Id: <B27397-0100000@cac.washington.edu>\nMIME-Version: 1.0\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\n\n",
    );
    let gray = r#"(("Terry Gray" NIL "gray" "cac.washington.edu"))"#;
    assert_eq!(
        written_envelope(&envelope(&block)),
        r#"("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes""#.to_owned()
            + &format!(" {gray} {gray} {gray}")
            + r#" ((NIL NIL "imap" "cac.washington.edu"))"#
            + r#" ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU"))"#
            + r#" NIL NIL "<B27397-0100000@cac.washington.edu>")"#
    );
}

#[test]
fn addresses_in_all_their_forms() {
    let table = [
        // RFC 5322, A.1.2 and A.1.3
        (r#""Joe Q. Public" <john.q.public@example.com>"#, r#"(("Joe Q. Public" NIL "john.q.public" "example.com"))"#),
        (
            r#"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>"#,
            r#"(("Mary Smith" NIL "mary" "x.test")(NIL NIL "jdoe" "example.org")("Who?" NIL "one" "y.test"))"#,
        ),
        (
            r#"<boss@nil.test>, "Giant; \"Big\" Box" <sysservices@example.net>"#,
            r#"((NIL NIL "boss" "nil.test")("Giant; \"Big\" Box" NIL "sysservices" "example.net"))"#,
        ),
        (
            "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
            r#"((NIL NIL "A Group" NIL)("Ed Jones" NIL "c" "a.test")(NIL NIL "joe" "where.test")("John" NIL "jdoe" "one.test")(NIL NIL NIL NIL))"#,
        ),
        ("Undisclosed recipients:;", r#"((NIL NIL "Undisclosed recipients" NIL)(NIL NIL NIL NIL))"#),
        // RFC 5322, A.5: comments and space
        ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", r#"(("Pete" NIL "pete" "silly.test"))"#),
        // A.6.1 and A.6.3: obsolete forms
        ("Joe Q. Public <john.q.public@example.com>", r#"(("Joe Q. Public" NIL "john.q.public" "example.com"))"#),
        (
            "Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
            r#"(("Mary Smith" "@node.test" "mary" "example.net")(NIL NIL "jdoe" "test.example"))"#,
        ),
        ("joe@example.com (Joe (the) Doe)", r#"(("Joe (the) Doe" NIL "joe" "example.com"))"#),
        (r#""john doe"@example.com"#, r#"((NIL NIL "john doe" "example.com"))"#),
        (r#""a@b"@[IPv6:::1]"#, r#"((NIL NIL "a@b" "[IPv6:::1]"))"#),
        ("=?iso-8859-1?q?Andr=E9?= <a@b>", r#"(("=?iso-8859-1?q?Andr=E9?=" NIL "a" "b"))"#),
        // Nothing that RFC 5322 knows
        ("root", r#"((NIL NIL "root" ""))"#),
        ("<>", "NIL"),
        ("Nobody <>", r#"(("Nobody" NIL "" ""))"#),
        ("a@b@c", r#"((NIL NIL "a" "bc"))"#),
        (", ,;", "NIL"),
        ("unclosed: a@b", r#"((NIL NIL "unclosed" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL))"#),
        ("<a@b> junk", r#"((NIL NIL "a" "b"))"#),
    ];
    for (list, expected) in table {
        let block = format!("To: {list}\r\n\r\n");
        let written = written_addresses(envelope(block.as_bytes()).to());
        assert_eq!(written, expected, "{list}");
    }
}

#[test]
fn absent_fields_are_nil_and_empty_ones_empty() {
    assert_eq!(written_envelope(&envelope(b"X: y\r\n\r\n")), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
    let empty = written_envelope(&envelope(b"Date:\r\nSubject: \r\nFrom:\r\nIn-Reply-To:\r\nMessage-ID:\r\n\r\n"));
    assert_eq!(empty, r#"("" "" NIL NIL NIL NIL NIL NIL "" "")"#);
}

#[test]
fn sender_and_reply_to_are_their_own_if_there() {
    let envelope = envelope(b"From: a@x, b@x\r\nSender: a@x\r\nReply-To: list@x\r\n\r\n");
    assert_eq!((envelope.from().len(), envelope.sender().len(), envelope.reply_to().len()), (2, 1, 1));
}

#[test]
fn folding_is_undone_and_forbidden_octets_are_replaced() {
    assert_eq!(&*unfold(b" a\r\n b\r\n\tc \r\n"), b"a b\tc");
    assert_eq!(&*unfold(b" a\n b"), b"a b");
    assert_eq!(&*unfold(b"a\rb\0c"), b"a b?c");
    let folded = envelope(b"Subject: =?utf-8?q?a?=\r\n =?utf-8?q?b?=\r\nTO : a\r\n @b\r\n\r\n");
    assert_eq!(folded.subject().as_deref(), Some(&b"=?utf-8?q?a?= =?utf-8?q?b?="[..]), "words stay encoded");
    assert_eq!(folded.to().next().unwrap().host.as_deref(), Some(&b"b"[..]));
}

#[test]
fn several_to_fields_are_one_list_and_of_others_the_first_counts() {
    let envelope = envelope(b"To: a@x\r\nTo: b@x\r\nSubject: 1\r\nSubject: 2\r\n\r\n");
    assert_eq!(envelope.to().len(), 2);
    assert_eq!(envelope.subject().as_deref(), Some(&b"1"[..]));
}

#[test]
fn dates_as_they_come() {
    let table = [
        ("Fri, 21 Nov 1997 09:55:06 -0600", "21-Nov-1997 09:55:06 -0600"),
        ("1 Jul 2003 10:52:37 +0200", " 1-Jul-2003 10:52:37 +0200"),
        ("Thu,\t13 Feb 1969 23:32 -0330 (Newfoundland Time)", "13-Feb-1969 23:32:00 -0330"),
        ("21 Nov 97 09:55:06 GMT", "21-Nov-1997 09:55:06 +0000"),
        ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "21-Nov-1997 09:55:06 -0600"),
        ("Sat, 1 Jan 05 00:00:00 EST", " 1-Jan-2005 00:00:00 -0500"),
        ("17-Jul-1996 02:44:25 -0700", "17-Jul-1996 02:44:25 -0700"),
        ("Wed Jul 17 02:23:25 1996", "17-Jul-1996 02:23:25 +0000"),
        ("July 17, 1996", "17-Jul-1996 00:00:00 +0000"),
        ("17 Jul 1996 99:99:99 +9999", "17-Jul-1996 00:00:00 +0000"),
    ];
    for (field, expected) in table {
        let date: Option<DateTime> = parse_date(field.as_bytes());
        assert_eq!(date.map(|date| date.to_string()).as_deref(), Some(expected), "{field}");
    }
    for field in ["", "Wed", "31 Feb 2020 00:00:00 +0000", "yesterday", "1 2 3", "99999999999 Jul 1", "(1 Jul 2000)"] {
        assert_eq!(parse_date(field.as_bytes()), None, "{field}");
    }
}
