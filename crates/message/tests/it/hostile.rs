//! Messages that were made to harm. All of these are large enough that quadratic work or recursion would be felt.

use postrider_message::{Kind, Limits, Scanner, decode_words, envelope, scan};

use crate::consistent;

#[test]
fn ten_thousand_nested_multiparts() {
    let mut message = Vec::new();
    for level in 0..10_000 {
        message.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n").as_bytes(),
        );
    }
    let structure = consistent(&message);
    assert_eq!(structure.parts().len(), 33);
    assert_eq!(structure.parts()[32].kind, Kind::Basic);
    assert!(!structure.is_whole());
}

#[test]
fn ten_thousand_nested_messages() {
    let message = b"Content-Type: message/rfc822\n\n".repeat(10_000);
    let structure = consistent(&message);
    assert_eq!(structure.parts().len(), 33);
}

#[test]
fn a_boundary_of_its_own_at_every_level() {
    let message = b"--b\nContent-Type: multipart/mixed; boundary=b\n\n".repeat(10_000);
    let message = [b"Content-Type: multipart/mixed; boundary=b\n\n", message.as_slice()].concat();
    assert!(consistent(&message).parts().len() <= 1000);
}

#[test]
fn a_hundred_thousand_parts() {
    let message = [&b"Content-Type: multipart/mixed; boundary=b\n\n"[..], &b"--b\n\nx\n".repeat(100_000)].concat();
    let structure = consistent(&message);
    assert_eq!(structure.parts().len(), Limits::default().parts);
    assert!(!structure.is_whole());
}

#[test]
fn a_header_line_of_a_megabyte() {
    let message = [&b"Subject: "[..], &b"x".repeat(1 << 20), b"\r\nFrom: a@b\r\n\r\nbody"].concat();
    let structure = consistent(&message);
    assert!(!structure.is_whole());
    assert_eq!(structure.root().body, message.len() as u64 - 4..message.len() as u64);
    assert!(structure.envelope().subject().unwrap().len() <= Limits::default().header);
}

#[test]
fn headers_without_end_are_kept_in_part() {
    let mut scanner = Scanner::new(Limits::default());
    for _ in 0..1000 {
        scanner.push(&b"X: y\r\n".repeat(1000));
    }
    let structure = scanner.finish();
    assert_eq!(structure.root().header, 0..6_000_000);
    assert!(!structure.is_whole());
}

#[test]
fn lines_that_look_like_boundaries() {
    let header = b"Content-Type: multipart/mixed; boundary=----\n\n";
    for line in [&b"--\n"[..], b"------", b"-\n", b"--------\n", b"\n--", b"\n-"] {
        consistent(&[&header[..], &line.repeat(100_000)].concat());
    }
}

#[test]
fn address_lists_without_end() {
    for piece in ["a@b,", "a:", "((((", "<", "\"", "@", ",,,,", "[", "a:b;", "\\", "<@,@,:", " . ", "=?utf-8?q?"] {
        let block = format!("To: {}\r\n\r\n", piece.repeat(300_000));
        let envelope = envelope(block.as_bytes());
        assert!(envelope.to().len() <= Limits::default().addresses, "{piece}");
    }
}

#[test]
fn parameters_without_end() {
    for piece in [";a=b", ";", ";a*0=b", ";a*99999999999=b", ";a=\"", "(", ";a*0*='", ";a=%", "; a = ( b", ";\\"] {
        let message = format!("Content-Type: a/b{}\r\n\r\n", piece.repeat(100_000));
        let structure = scan(message.as_bytes());
        assert!(structure.root().content.parameters().len() <= Limits::default().parameters, "{piece}");
    }
}

#[test]
fn encoded_words_without_end() {
    for piece in ["=?", "=?utf-8?q?", "=?utf-8?q?=", "=?utf-8?b?a", "=?x?q?a?=", "=?utf-8?q?=ff?= "] {
        let text = decode_words(piece.repeat(50_000).as_bytes());
        assert!(text.len() <= 50_000 * 16, "{piece}");
    }
}

#[test]
fn any_octet_anywhere() {
    for octet in 0..=255u8 {
        let mut message =
            b"To: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n".to_vec();
        for at in 0..message.len() {
            let before = std::mem::replace(&mut message[at], octet);
            consistent(&message);
            message[at] = before;
        }
    }
}
