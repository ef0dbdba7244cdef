//! `BODY[section]<partial>`.

use bytes::Bytes;
use postrider_imap::wire::{Partial, Section, SectionText};
use postrider_message::{Located, Structure, cut, window};

use crate::{consistent, crlf};

/// The complex message of RFC 9051, 6.4.5.1, with its numbers as contents.
fn complex() -> Vec<u8> {
    crlf(
        "Subject: top\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/plain\n\n1\n--a\n\
         Content-Type: application/octet-stream\n\n2\n--a\nContent-Type: message/rfc822\n\n\
         Subject: in 3\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n3.1\n--c\n\
         Content-Type: application/octet-stream\n\n3.2\n--c--\n--a\n\
         Content-Type: multipart/mixed; boundary=d\n\n--d\nContent-Type: image/gif\n\n4.1\n--d\n\
         Content-Type: message/rfc822\n\nSubject: in 4.2\nContent-Type: multipart/mixed; boundary=e\n\n--e\n\n4.2.1\n--e\n\
         Content-Type: multipart/alternative; boundary=f\n\n--f\n\n4.2.2.1\n--f\nContent-Type: text/richtext\n\n4.2.2.2\n--f--\n\
         --e--\n--d--\n--a--\n",
    )
}

fn section(part: &[u32], text: Option<SectionText>) -> Section {
    Section { part: part.to_vec(), text }
}

fn read(structure: &Structure, message: &[u8], section: &Section) -> Option<String> {
    let octets = match structure.section(section)? {
        Located::Octets(range) => message[range.start as usize..range.end as usize].to_vec(),
        Located::Fields { header, selection } => selection.select(&message[header.start as usize..header.end as usize]),
    };
    Some(String::from_utf8(octets).unwrap())
}

#[test]
fn the_parts_of_the_rfcs_complex_message() {
    let message = complex();
    let structure = consistent(&message);
    for number in ["1", "2", "3.1", "3.2", "4.1", "4.2.1", "4.2.2.1", "4.2.2.2"] {
        let part: Vec<u32> = number.split('.').map(|n| n.parse().unwrap()).collect();
        assert_eq!(read(&structure, &message, &section(&part, None)).as_deref(), Some(number));
    }
    for (part, text, starts) in [
        (&[][..], None, "Subject: top\r\n"),
        (&[], Some(SectionText::Header), "Subject: top\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n"),
        (&[], Some(SectionText::Text), "--a\r\n"),
        (&[3], None, "Subject: in 3\r\n"),
        (&[3], Some(SectionText::Header), "Subject: in 3\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"),
        (&[3], Some(SectionText::Text), "--c\r\n\r\n3.1"),
        (&[3], Some(SectionText::Mime), "Content-Type: message/rfc822\r\n\r\n"),
        (&[4], None, "--d\r\n"),
        (&[4, 1], Some(SectionText::Mime), "Content-Type: image/gif\r\n\r\n"),
        (&[4, 2], Some(SectionText::Header), "Subject: in 4.2\r\n"),
        (&[4, 2], Some(SectionText::Text), "--e\r\n"),
        (&[4, 2, 2], None, "--f\r\n"),
    ] {
        let octets = read(&structure, &message, &section(part, text.clone())).unwrap();
        assert!(octets.starts_with(starts), "{part:?} {text:?}: {octets}");
    }
}

#[test]
fn what_is_not_there_is_nil() {
    let message = complex();
    let structure = consistent(&message);
    for (part, text) in [
        (&[5][..], None),
        (&[0], None),
        (&[1, 1], None),
        (&[3, 3], None),
        (&[1], Some(SectionText::Header)),
        (&[4], Some(SectionText::Text)),
        (&[9], Some(SectionText::Mime)),
    ] {
        assert_eq!(structure.section(&section(part, text.clone())), None, "{part:?} {text:?}");
    }
}

#[test]
fn a_message_that_is_no_multipart_is_its_own_part_one() {
    let message = crlf("Subject: x\n\nhello\n");
    let structure = consistent(&message);
    assert_eq!(read(&structure, &message, &section(&[1], None)).as_deref(), Some("hello\r\n"));
    let mime = read(&structure, &message, &section(&[1], Some(SectionText::Mime)));
    assert_eq!(mime.as_deref(), Some("Subject: x\r\n\r\n"));
    assert_eq!(structure.section(&section(&[2], None)), None);
    assert_eq!(structure.section(&section(&[1, 1], None)), None);

    let message = crlf("Content-Type: message/rfc822\n\nSubject: inner\n\nhello\n");
    let structure = consistent(&message);
    assert_eq!(read(&structure, &message, &section(&[1, 1], None)).as_deref(), Some("hello\r\n"));
    let header = read(&structure, &message, &section(&[1], Some(SectionText::Header)));
    assert_eq!(header.as_deref(), Some("Subject: inner\r\n\r\n"));
}

#[test]
fn header_fields_are_chosen_by_name_in_their_order() {
    let message = crlf("B: 1\n folded\nA: 2\nbb: 3\nb : 4\n\nbody");
    let structure = consistent(&message);
    let names = || vec![Bytes::from_static(b"b"), Bytes::from_static(b"x")];
    let chosen = read(&structure, &message, &section(&[], Some(SectionText::HeaderFields(names()))));
    assert_eq!(chosen.as_deref(), Some("B: 1\r\n folded\r\nb : 4\r\n\r\n"));
    let others = read(&structure, &message, &section(&[], Some(SectionText::HeaderFieldsNot(names()))));
    assert_eq!(others.as_deref(), Some("A: 2\r\nbb: 3\r\n\r\n"));

    let message = crlf("A: 1\n");
    let structure = consistent(&message);
    let none = read(&structure, &message, &section(&[], Some(SectionText::HeaderFields(names()))));
    assert_eq!(none.as_deref(), Some(""), "no blank line where there is none");
}

#[test]
fn windows_end_where_the_section_ends() {
    let partial = |origin, length| Some(Partial { origin, length });
    assert_eq!(window(10..20, None), 10..20);
    assert_eq!(window(10..20, partial(0, 5)), 10..15);
    assert_eq!(window(10..20, partial(5, 50)), 15..20);
    assert_eq!(window(10..20, partial(50, 1)), 20..20);
    assert_eq!(window(10..20, partial(u64::MAX, u64::MAX)), 20..20);
    assert_eq!(cut(b"hello", partial(1, 3)), b"ell");
    assert_eq!(cut(b"hello", partial(9, 3)), b"");
}
