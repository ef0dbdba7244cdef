//! What is too deep, too long or too much.

use bytes::Bytes;
use postrider_imap::wire::*;

fn command(line: &str) -> Result<TaggedCommand, BadCommand> {
    parse_command(&Bytes::copy_from_slice(line.as_bytes()), Dialect::REV1)
}

#[test]
fn ten_thousand_parentheses_cost_one_item() {
    for deep in ["(".repeat(10_000), "(".repeat(10_000) + &")".repeat(10_000), "(".repeat(1_000_000)] {
        for item in ["BODYSTRUCTURE", "ENVELOPE", "FLAGS", "X-NEW"] {
            let line = format!("* 1 FETCH (UID 3 {item} {deep} MODSEQ (4))");
            let response = parse_response(&Bytes::from(line), Dialect::REV1);
            let Response::Data(Data::Fetch { number: 1, items }) = response else { panic!("{item}") };
            assert_eq!(items[0], FetchItem::Uid(3));
            assert!(matches!(items[1], FetchItem::Raw(_)), "{item}");
            if deep.ends_with(')') {
                assert_eq!(items[2], FetchItem::ModSeq(4));
            }
        }
        for start in ["a SEARCH ", "a LIST ", "a STORE 1 FLAGS ", "a FETCH 1 "] {
            assert!(command(&format!("{start}{deep}")).is_err());
        }
        for start in ["* LIST ", "* NAMESPACE ", "* STATUS x ", "* ESEARCH X ", "* ID ", "* XX "] {
            let line = Bytes::from(format!("{start}{deep}"));
            assert!(matches!(parse_response(&line, Dialect::REV1), Response::Data(_)));
        }
    }
}

#[test]
fn nots_and_ors_are_nested_as_deep_as_parentheses() {
    assert!(command(&format!("a SEARCH {}ALL", "NOT ".repeat(60))).is_ok());
    assert!(command(&format!("a SEARCH {}ALL", "NOT ".repeat(100_000))).is_err());
    assert!(command(&format!("a SEARCH {}ALL", "OR ".repeat(100_000))).is_err());
}

#[test]
fn large_sets_stay_ranges() {
    let Ok(TaggedCommand { command: Command::Fetch(fetch), .. }) = command("a UID FETCH 1:4294967295,*:*,9:3 UID")
    else {
        panic!()
    };
    assert_eq!(fetch.messages.iter().len(), 3);
    assert_eq!(fetch.messages.to_string(), "1:4294967295,*,9:3");
    assert!(command("a FETCH 0 UID").is_err());
    assert!(command("a FETCH 4294967296 UID").is_err());
    assert!(command("a FETCH 99999999999999999999999999 UID").is_err());
}

#[test]
fn numbers_are_63_bit() {
    assert!(command("a SEARCH LARGER 9223372036854775807").is_ok());
    assert!(command("a SEARCH LARGER 9223372036854775808").is_err());
    assert!(command("a SEARCH LARGER 100000000000000000000").is_err());
}

#[test]
fn a_bad_command_has_its_tag_if_it_had_one() {
    assert_eq!(command("a1 XYZZY").unwrap_err().tag.unwrap().as_str(), "a1");
    assert_eq!(command("+ NOOP").unwrap_err().tag, None);
    assert_eq!(command("").unwrap_err().tag, None);
    assert_eq!(command("a1 NOOP x").unwrap_err().error.at, 7);
    assert!(command("a1 LOGIN \"a\rb\" c").is_err());
    assert!(command("a1 STORE 1 FLAGS (\\Recent)").is_err());
    assert!(command("a1 LIST (RECURSIVEMATCH REMOTE) \"\" *").is_err());
}

#[test]
fn nothing_raw_is_written() {
    let evil = "x\r\na2 DELETE INBOX";
    assert!(Atom::new(evil).is_err() && Tag::new(evil).is_err() && Mailbox::new(evil).is_err());
    assert!(Flag::new(evil).is_none() && ListPattern::new(evil).is_none());
    let evil = Bytes::from_static(b"x\r\na2 DELETE INBOX");
    let key = SearchKey::Header { field: evil.clone(), value: evil.clone() };
    let search = Search { uid: false, returns: None, charset: Some(evil.clone()), key };
    let tag = Tag::new("a1").unwrap();
    let mut out = Encoder::commands(Dialect::REV1);
    TaggedCommand { tag: tag.clone(), command: Command::Search(search) }.encode(&mut out);
    for piece in out.pieces() {
        match piece {
            Piece::Line { octets, .. } => assert!(!octets.contains(&b'\r') && !octets.contains(&b'\n')),
            Piece::Literal(octets) => assert_eq!(octets, &evil[..]),
        }
    }
    let waiting = out.pieces().filter(|piece| matches!(piece, Piece::Line { waits: true, .. })).count();
    assert_eq!(waiting, 3);
}

#[test]
fn secrets_are_marked() {
    let mut out = Encoder::commands(Dialect::REV1);
    let command = Command::Login { user: Bytes::from_static(b"u"), password: Password::new(&b"s3\r\nc9"[..]) };
    assert!(!format!("{command:?}").contains("s3"));
    TaggedCommand { tag: Tag::new("a").unwrap(), command }.encode(&mut out);
    let Some(Piece::Line { octets, secret_from, .. }) = out.pieces().next() else { panic!() };
    assert_eq!((octets, secret_from), (&b"a LOGIN \"u\" {6}"[..], Some(12)));
}

/// Neither reads of one octet nor many literals nor long lines make the framer look at an octet twice.
#[test]
fn many_small_literals_and_long_lines_in_single_octets() {
    let mut wire = b"* 1 FETCH (".to_vec();
    for _ in 0..5000 {
        wire.extend_from_slice(b"BODY[1] {3}\r\nabc ");
    }
    wire.extend_from_slice(b"UID 3)\r\n* SEARCH");
    for id in 1..20_000 {
        wire.extend_from_slice(format!(" {}", id * 2).as_bytes());
    }
    wire.extend_from_slice(b"\r\n");
    let mut framer = Framer::responses(FrameLimits::RESPONSES);
    let (mut units, mut start) = (vec![], 0);
    for end in 1..=wire.len() {
        loop {
            match framer.next(&wire[start..end]).unwrap() {
                Frame::More => break,
                Frame::Literal(_) => assert!(framer.inline()),
                Frame::Unit { len, end: line_end } => {
                    units.push(Bytes::copy_from_slice(&wire[start..start + len]));
                    start += len + line_end;
                }
                Frame::Octets { .. } => panic!("nothing is streamed"),
            }
        }
    }
    let Response::Data(Data::Fetch { items, .. }) = parse_response(&units[0], Dialect::REV1) else { panic!() };
    assert_eq!(items.len(), 5001);
    let Response::Data(Data::Search { found, .. }) = parse_response(&units[1], Dialect::REV1) else { panic!() };
    assert_eq!(found.count(), 19_999);
}
