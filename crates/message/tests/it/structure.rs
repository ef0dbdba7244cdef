//! The parts of messages.

use postrider_message::{Kind, Limits, Scanner, body_structure, scan};

use crate::{consistent, crlf, outline, written};

fn body_of(message: &str) -> String {
    written(&body_structure(&consistent(&crlf(message)), true))
}

#[test]
fn text_without_mime_fields_is_plain_us_ascii() {
    let body = body_of("From: a@example.com\n\none\ntwo\n");
    assert_eq!(body, r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7BIT" 10 2)"#);
}

/// The shape of the example in RFC 9051, 7.5.2.
#[test]
fn two_parts_as_in_the_rfc() {
    let body = body_of(
        "MIME-Version: 1.0\nContent-Type: MULTIPART/MIXED; BOUNDARY=\"x y\"\n\npreamble\n--x y\n\
         Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\n\nhello\nworld\n\n--x y\n\
         Content-Type: TEXT/PLAIN; CHARSET=US-ASCII; NAME=cc.diff\n\
         Content-ID: <960723163407.20117h@cac.washington.edu>\n\
         Content-Description: Compiler diff\nContent-Transfer-Encoding: BASE64\n\naGVsbG8=\n--x y--\nepilogue\n",
    );
    assert_eq!(
        body,
        r#"(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 14 2)"#.to_owned()
            + r#"("TEXT" "PLAIN" ("CHARSET" "US-ASCII" "NAME" "cc.diff") "<960723163407.20117h@cac.washington.edu>""#
            + r#" "Compiler diff" "BASE64" 8 0) "MIXED")"#
    );
}

#[test]
fn a_message_inside_has_envelope_structure_and_lines() {
    let body = body_of(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\
         Content-Disposition: attachment; filename=\"a b.eml\"\n\nSubject: inner\nFrom: j@example.org\n\n1\n2\n3\n--b--\n",
    );
    let from = r#"((NIL NIL "j" "example.org"))"#;
    assert_eq!(
        body,
        format!(
            r#"(("message" "rfc822" NIL NIL NIL "7BIT" 46 (NIL "inner" {from} {from} {from} NIL NIL NIL NIL NIL) "#
        ) + r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7BIT" 7 2) 5"#
            + r#" ("attachment" ("filename" "a b.eml"))) "mixed")"#
    );
}

#[test]
fn parts_of_a_digest_are_messages() {
    let structure = scan(
        b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: 1\n\none\n--b\n\nSubject: 2\n\ntwo\n--b--\n",
    );
    let kinds: Vec<Kind> = structure.parts().iter().map(|part| part.kind).collect();
    assert_eq!(kinds, [Kind::Multipart, Kind::Message, Kind::Text, Kind::Message, Kind::Text]);
    let subject = |part: usize| structure.parts()[part].envelope.as_ref().unwrap().subject().unwrap().into_owned();
    assert_eq!((subject(2), subject(4)), (b"1".to_vec(), b"2".to_vec()));
}

/// What each message is taken for: media type and body of all parts in order.
#[test]
fn tolerated_forms() {
    let mixed = "Content-Type: multipart/mixed; boundary=b\n\n";
    let plain = "text/plain";
    type Fields<'a> = &'a [(&'a str, &'a str)];
    let table: &[(&str, String, Fields)] = &[
        (
            "LF alone ends lines",
            format!("{mixed}--b\n\nx\n--b--\n"),
            &[("multipart/mixed", "--b\\n\\nx\\n--b--\\n"), (plain, "x")],
        ),
        ("no last boundary", format!("{mixed}--b\n\nx\n"), &[("multipart/mixed", "--b\\n\\nx\\n"), (plain, "x\\n")]),
        (
            "last boundary without line end",
            format!("{mixed}--b\n\nx\n--b--"),
            &[("multipart/mixed", "--b\\n\\nx\\n--b--"), (plain, "x")],
        ),
        (
            "space behind a boundary",
            format!("{mixed}--b \t\n\nx\n--b-- \n"),
            &[("multipart/mixed", "--b \\t\\n\\nx\\n--b-- \\n"), (plain, "x")],
        ),
        ("no blank line", "Subject: a\nDear Sir,\nhello: x\n".into(), &[(plain, "Dear Sir,\\nhello: x\\n")]),
        (
            "no blank line in a part",
            format!("{mixed}--b\nContent-Type: text/html\n<p>\n--b--\n"),
            &[("multipart/mixed", "--b\\nContent-Type: text/html\\n<p>\\n--b--\\n"), ("text/html", "<p>")],
        ),
        (
            "a part without header or body",
            format!("{mixed}--b\n--b\n\n--b--\n"),
            &[("multipart/mixed", "--b\\n--b\\n\\n--b--\\n"), (plain, ""), (plain, "")],
        ),
        (
            "header ended by the boundary",
            format!("{mixed}--b\nContent-Type: a/b\n--b--\n"),
            &[("multipart/mixed", "--b\\nContent-Type: a/b\\n--b--\\n"), ("a/b", "")],
        ),
        (
            "one boundary the prefix of another",
            format!("{mixed}--b\nContent-Type: multipart/x; boundary=bb\n\n--bb\n\n1\n--bb--\n--b\n\n2\n--b--\n"),
            &[
                (
                    "multipart/mixed",
                    "--b\\nContent-Type: multipart/x; boundary=bb\\n\\n--bb\\n\\n1\\n--bb--\\n--b\\n\\n2\\n--b--\\n",
                ),
                ("multipart/x", "--bb\\n\\n1\\n--bb--"),
                (plain, "1"),
                (plain, "2"),
            ],
        ),
        (
            "the outer boundary ends the inner multipart",
            format!("{mixed}--b\nContent-Type: multipart/x; boundary=c\n\n--c\n\n1\n--b\n\n2\n--b--\n"),
            &[
                (
                    "multipart/mixed",
                    "--b\\nContent-Type: multipart/x; boundary=c\\n\\n--c\\n\\n1\\n--b\\n\\n2\\n--b--\\n",
                ),
                ("multipart/x", "--c\\n\\n1"),
                (plain, "1"),
                (plain, "2"),
            ],
        ),
        (
            "a closed boundary means nothing more",
            format!("{mixed}--b\n\n1\n--b--\n--b\n\n2\n"),
            &[("multipart/mixed", "--b\\n\\n1\\n--b--\\n--b\\n\\n2\\n"), (plain, "1")],
        ),
        ("no boundary parameter", "Content-Type: multipart/mixed\n\n--b\n".into(), &[("multipart/mixed", "--b\\n")]),
        ("a Content-Type that is none", "Content-Type: text\n\nx".into(), &[(plain, "x")]),
        ("a line of mbox", "From a@b Mon Jan  1\nSubject: x\n\ny".into(), &[(plain, "y")]),
        (
            "unquoted boundary with specials",
            "Content-Type: multipart/mixed; boundary==_a:b/c\n\n--=_a:b/c\n\nx\n--=_a:b/c--\n".into(),
            &[("multipart/mixed", "--=_a:b/c\\n\\nx\\n--=_a:b/c--\\n"), (plain, "x")],
        ),
        ("empty", String::new(), &[(plain, "")]),
        ("header only", "Subject: x\n".into(), &[(plain, "")]),
        ("NUL is an octet", "Subject: x\n\na\0b".into(), &[(plain, "a\\x00b")]),
    ];
    for (what, message, expected) in table {
        let expected: Vec<(String, String)> =
            expected.iter().map(|&(media, body)| (media.to_owned(), body.to_owned())).collect();
        assert_eq!(outline(message.as_bytes()), expected, "{what}");
    }
}

#[test]
fn parameters_are_put_together_and_decoded() {
    let table = [
        ("text/plain; charset=us-ascii (Plain text)", r#"("charset" "us-ascii")"#),
        ("text/plain; charset=\"us-ascii\"", r#"("charset" "us-ascii")"#),
        ("text/plain; name=\"a\\\"b;c\"; x=y", r#"("name" "a\"b;c" "x" "y")"#),
        ("text/plain; name=two words.txt", r#"("name" "two words.txt")"#),
        ("text/plain;;; x=1;", r#"("x" "1")"#),
        ("text/plain; =1; x", "NIL"),
        // RFC 2231, 3
        (
            "message/external-body; access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub\"",
            r#"("access-type" "URL" "URL" "ftp://cs.utk.edu/pub")"#,
        ),
        // RFC 2231, 4 and 4.1; the names as RFC 9051, 7.5.2 has them
        (
            "application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
            r#"("title*" "This is ***fun***")"#,
        ),
        (
            "application/x-stuff; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*0*=us-ascii'en'This%20is%20even%20more%20; \
          title*2=\"isn't it!\"",
            r#"("title*" "This is even more ***fun*** isn't it!")"#,
        ),
        ("a/b; name*=iso-8859-1''na%EFve.txt", r#"("name*" "na\xc3\xafve.txt")"#),
        ("a/b; name*=x-none''%ff%0a", r#"("name*" "\xef\xbf\xbd?")"#),
    ];
    for (value, expected) in table {
        let message = format!("Content-Type: {value}\n\nx");
        let body = body_structure(&scan(message.as_bytes()), true);
        assert_eq!(crate::pairs(body.root().params()), expected, "{value}");
    }
}

#[test]
fn the_other_fields_come_from_the_header() {
    let structure = scan(
        b"Content-Type: image/png; name=x.png\r\nContent-Transfer-Encoding: base64 (as usual)\r\nContent-MD5: Q2hlY2s=\r\n\
          Content-Disposition: ATTACHMENT;\r\n\tfilename*=utf-8''%E2%82%AC.png\r\nContent-Language: de, en-GB\r\n\
          Content-Location: http://example.com/x\r\nContent-ID: <1@x>\r\nContent-ID: <2@x>\r\n\r\n",
    );
    let content = &structure.root().content;
    assert_eq!(content.encoding(), Some(&b"base64"[..]));
    assert_eq!(content.file_name(), Some("\u{20ac}.png".as_bytes()));
    assert_eq!(content.id(), Some(&b"<1@x>"[..]), "the first counts");
    let body = body_structure(&structure, true);
    assert_eq!(body.root().md5().as_deref(), Some(&b"Q2hlY2s="[..]));
    assert_eq!(body.root().languages().collect::<Vec<_>>(), [&b"de"[..], b"en-GB"]);
    assert_eq!(body.root().location().as_deref(), Some(&b"http://example.com/x"[..]));
    assert_eq!(body.root().disposition().unwrap().kind, &b"ATTACHMENT"[..]);
}

#[test]
fn beyond_the_limits_there_are_leaves() {
    let mut limits = Limits::default();
    limits.depth = 1;
    limits.parts = 3;
    let message = b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--\n\
        --b\nContent-Type: message/rfc822\n\nSubject: x\n\ny\n--b\n\nnever\n--b--\n";
    let mut scanner = Scanner::new(limits);
    scanner.push(message);
    let structure = scanner.finish();
    crate::check(&structure, message);
    assert!(!structure.is_whole());
    let kinds: Vec<Kind> = structure.parts().iter().map(|part| part.kind).collect();
    assert_eq!(kinds, [Kind::Multipart, Kind::Basic, Kind::Basic]);
    let written = written(&body_structure(&structure, true));
    assert_eq!(written.matches(r#""application" "octet-stream""#).count(), 2, "{written}");
}

#[test]
fn a_multipart_without_parts_is_given_one() {
    assert_eq!(
        body_of("Content-Type: multipart/mixed; boundary=b\n\nnothing\n"),
        r#"(("text" "plain" NIL NIL NIL "7BIT" 0 0) "mixed")"#
    );
}
