//! Transfer encodings and encoded words.

use postrider_message::{Decoder, TransferEncoding, decode_words, to_utf8};

/// Decodes whole, and cut in two everywhere, and octet by octet: it must be the same.
fn decoded(encoding: TransferEncoding, octets: &[u8]) -> String {
    let pieces = |pieces: &[&[u8]]| {
        let (mut decoder, mut out) = (Decoder::of(encoding), Vec::new());
        pieces.iter().for_each(|piece| decoder.push(piece, &mut out));
        decoder.finish(&mut out);
        out
    };
    let whole = pieces(&[octets]);
    for at in 0..=octets.len() {
        assert_eq!(pieces(&[&octets[..at], &octets[at..]]), whole, "cut at {at}");
    }
    assert_eq!(pieces(&octets.chunks(1).collect::<Vec<_>>()), whole);
    whole.escape_ascii().to_string()
}

#[test]
fn quoted_printable() {
    for (text, expected) in [
        // RFC 2045, 6.7
        (
            "Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.",
            "Now\\'s the time for all folk to come to the aid of their country.",
        ),
        ("a=3D=20b=c3=A9", "a= b\\xc3\\xa9"),
        ("trailing space \t\r\nnext", "trailing space\\r\\nnext"),
        ("soft= \t\r\nbreak", "softbreak"),
        ("soft=\nbreak\n", "softbreak\\n"),
        ("not =XY an escape", "not =XY an escape"),
        ("half =4", "half =4"),
        ("end=", "end"),
        ("a=\r\n=\r\nb", "ab"),
        ("==41", "=A"),
        ("=4\r\nx", "=4\\r\\nx"),
        ("lone \r cr", "lone \\r cr"),
    ] {
        assert_eq!(decoded(TransferEncoding::QuotedPrintable, text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn base64() {
    for (text, expected) in [
        ("aGVsbG8=", "hello"),
        ("aGVs\r\nbG8=\r\n", "hello"),
        ("aGVsbG8", "hello"),
        ("aGVsbG8=aGVsbG8=", "hellohello"),
        ("a-G#V s b(G)8=", "hello"),
        ("/+8=", "\\xff\\xef"),
        ("=", ""),
    ] {
        assert_eq!(decoded(TransferEncoding::Base64, text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn names_of_encodings() {
    assert_eq!(TransferEncoding::new(b"BASE64"), TransferEncoding::Base64);
    assert_eq!(TransferEncoding::new(b"8bit"), TransferEncoding::Identity);
    assert_eq!(TransferEncoding::new(b"x-uuencode"), TransferEncoding::Unknown);
    assert_eq!(decoded(TransferEncoding::Unknown, b"a=41"), "a=41");
}

/// RFC 2047, 8, and what programs make of it.
#[test]
fn encoded_words() {
    for (value, expected) in [
        ("=?ISO-8859-1?Q?a?=", "a"),
        ("=?ISO-8859-1?Q?a?= b", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=   =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        ("=?US-ASCII*EN?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        ("=?ISO-8859-1?Q?Andr=E9?= Pirard", "Andr\u{e9} Pirard"),
        (
            "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
        ("=?utf-8?q?=E2=82?= =?utf-8?q?=AC?=", "\u{20ac}"),
        ("=?gb2312?B?xOO6ww==?=", "\u{4f60}\u{597d}"),
        ("=?x-none?q?a=ff?=", "a\u{fffd}"),
        ("=?utf-8?x?a?= =?utf-8?q?open", "=?utf-8?x?a?= =?utf-8?q?open"),
        ("\u{e9} raw", "\u{e9} raw"),
        ("\"=?utf-8?q?a?=\"", "\"a\""),
    ] {
        assert_eq!(decode_words(value.as_bytes()), expected, "{value}");
    }
}

#[test]
fn charsets() {
    assert_eq!(to_utf8(b"iso-8859-15", b"\xa4"), "\u{20ac}");
    assert_eq!(to_utf8(b"Shift_JIS", b"\x93\xfa\x96{"), "\u{65e5}\u{672c}");
    assert_eq!(to_utf8(b"us-ascii", "\u{e9}".as_bytes()), "\u{e9}");
    assert_eq!(to_utf8(b"", b"\xff"), "\u{fffd}");
}
