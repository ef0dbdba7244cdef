//! What holds for all messages.

use postrider_message::{Limits, Scanner, Structure, decode_words, envelope, parse_date, scan, to_utf8};
use proptest::prelude::*;

use crate::check;

/// Pieces that messages are made of, in any order.
const PIECES: &[&str] = &[
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "-",
    "--",
    "--a",
    "--a\r\n",
    "--a\n",
    "--a--",
    "--a--\r\n",
    "--ab\r\n",
    "--ab--\r\n",
    "--b \r\n",
    " ",
    "\t",
    ":",
    "x",
    "X: y\r\n",
    "From: <a@b>\r\n",
    "Subject: =?utf-8?q?x?=\r\n\tz\r\n",
    "Content-Type: text/html\r\n",
    "Content-Type: multipart/mixed; boundary=a\r\n\r\n",
    "Content-Type: multipart/digest; boundary=ab\r\n\r\n",
    "Content-Type: multipart/mixed;\r\n boundary=\"b\"\r\n\r\n",
    "Content-Type: message/rfc822\r\n\r\n",
    "Content-Type: message/rfc822\n",
    "hello\r\nworld\r\n",
    "\0",
    "\u{e9}",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

fn in_pieces<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Structure {
    let mut scanner = Scanner::new(limits);
    pieces.into_iter().for_each(|piece| scanner.push(piece));
    scanner.finish()
}

fn tight() -> Limits {
    let mut limits = Limits::default();
    (limits.header, limits.headers, limits.parts, limits.depth) = (60, 150, 5, 3);
    limits
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_scan_does_not_depend_on_the_cuts(message in message()) {
        for limits in [Limits::default(), tight()] {
            let whole = in_pieces(limits, [message.as_slice()]);
            check(&whole, &message);
            for at in 0..=message.len() {
                prop_assert_eq!(&in_pieces(limits, [&message[..at], &message[at..]]), &whole, "cut at {}", at);
            }
            for size in 1..8 {
                prop_assert_eq!(&in_pieces(limits, message.chunks(size)), &whole, "pieces of {}", size);
            }
        }
    }

    #[test]
    fn any_octets_are_a_message(message in proptest::collection::vec(any::<u8>(), 0..2000)) {
        check(&scan(&message), &message);
    }

    #[test]
    fn any_octets_are_a_header(value in proptest::collection::vec(any::<u8>(), 0..300)) {
        let block = [b"To: ", value.as_slice(), b"\r\nDate: ", &value, b"\r\nContent-Type: a/b;", &value, b"\r\n\r\n"].concat();
        check(&scan(&block), &block);
        let envelope = envelope(&block);
        let strings = envelope.to().flat_map(|a| [a.name, a.route, a.mailbox, a.host]).flatten().chain(envelope.date());
        for text in strings {
            prop_assert!(!text.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')), "{:?}", text);
        }
        parse_date(&value);
        decode_words(&value);
    }

    #[test]
    fn any_text_in_any_charset(name in "[a-z0-9_-]{0,50}", octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        to_utf8(name.as_bytes(), &octets);
        for known in ["utf-7", "utf-16", "utf-16le", "iso-2022-jp", "big5", "gb18030", "euc-kr", "koi8-r", "ibm850"] {
            to_utf8(known.as_bytes(), &octets);
        }
    }

    #[test]
    fn any_octets_as_a_cache(cache in proptest::collection::vec(any::<u8>(), 0..200)) {
        let cache = [&[1], cache.as_slice()].concat();
        if let Some(structure) = Structure::from_cache(&cache) {
            postrider_message::body_structure(&structure, true);
        }
    }
}
