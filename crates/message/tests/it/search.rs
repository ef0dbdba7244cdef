//! SEARCH.

use bytes::Bytes;
use postrider_imap::wire::{Date, DateTime, Flag, Flags, SearchKey, SequenceSet, UidSet};
use postrider_message::{Known, Need, Query, SearchContext, SearchMeta, Unsupported, Verdict, scan};

use crate::crlf;

fn message() -> Vec<u8> {
    crlf(
        "From: =?utf-8?q?Ren=C3=A9e?= <Renee@Example.com>\nTo: team: a@x.test, \"Bob, B\" <bob@y.test>;\nCc: c@x.test\n\
         Subject: =?utf-8?q?The_r=C3=A9sum=C3=A9?=\n of =?iso-8859-1?q?Ren=E9e?=\nX-Empty:\nMessage-ID: <1@x>\n\
         Date: Fri, 21 Nov 1997 23:55:06 -0600\nContent-Type: multipart/mixed; boundary=b\n\nIn the preamble\n--b\n\
         Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
         Gr=FC=DFe aus K=F6=\nln\n--b\nContent-Type: text/html; name=partname\nContent-Transfer-Encoding: base64\n\n\
         PGI+Ym9sZDwvYj4=\n--b\nContent-Type: application/octet-stream\n\nsecret octets\n--b\nContent-Type: message/rfc822\n\n\
         Subject: enclosed subject\n\nenclosed text\n--b--\n",
    )
}

fn date(day: u8) -> Date {
    Date::new(1997, 11, day).unwrap()
}

struct Fixture {
    flags: Flags,
    saved: UidSet,
}

impl Fixture {
    fn new() -> Self {
        let flags = [Flag::Seen, Flag::new("$Work").unwrap()].into_iter().collect();
        Self { flags, saved: [7, 9].into_iter().collect() }
    }

    fn context(&self) -> SearchContext<'_> {
        let now = self.meta().internal_date.unix() + 100;
        SearchContext { exists: 12, highest_uid: 90, saved: &self.saved, now }
    }

    fn meta(&self) -> SearchMeta<'_> {
        // In UTC it is already the 22nd.
        let internal_date = DateTime::new(date(21), 23, 30, 0, -120).unwrap();
        SearchMeta {
            sequence: 5,
            uid: 9,
            flags: &self.flags,
            internal_date,
            size: 1000,
            modseq: 77,
            save_date: None,
            email_id: Some(b"M1"),
            thread_id: None,
        }
    }

    fn finds(&self, key: &SearchKey) -> bool {
        Query::new(key, None).unwrap().matches(&self.context(), &self.meta(), &message())
    }
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn header(field: &str, value: &str) -> SearchKey {
    SearchKey::Header { field: text(field), value: text(value) }
}

#[test]
fn each_key() {
    use SearchKey as K;
    let set = |first, last| SequenceSet::range(first, last);
    let keyword = |name| Flag::new(name).unwrap();
    let table = [
        (K::All, true),
        (K::Has(Flag::Seen), true),
        (K::HasNot(Flag::Seen), false),
        (K::Has(keyword("$WORK")), true),
        (K::Has(keyword("$Play")), false),
        (K::New, false),
        (K::Before(date(21)), false),
        (K::Before(date(22)), true),
        (K::On(date(21)), true),
        (K::Since(date(21)), true),
        (K::Since(date(22)), false),
        (K::SentOn(date(21)), true),
        (K::SentOn(date(22)), false),
        (K::SentBefore(date(21)), false),
        (K::SentSince(date(21)), true),
        (K::SavedOn(date(21)), false),
        (K::Older(99), true),
        (K::Older(100), false),
        (K::Younger(100), true),
        (K::Younger(99), false),
        (K::From(text("ren\u{e9}e")), true),
        (K::From(text("REN\u{c9}E")), true),
        (K::From(text("renee@example.com")), true),
        (K::From(text("bob")), false),
        (K::To(text("Bob, B <bob@")), true),
        (K::To(text("TEAM")), true),
        (K::Cc(text("c@x.test")), true),
        (K::Bcc(text("c@x.test")), false),
        (K::Subject(text("R\u{c9}SUM\u{c9} of ren\u{e9}e")), true),
        (K::Subject(text("=?utf-8")), false),
        (header("x-empty", ""), true),
        (header("x-none", ""), false),
        (header("message-id", "<1@X>"), true),
        (header("Subject", "the r\u{e9}sum\u{e9}"), true),
        (header("Sub", "the"), false),
        (K::Body(text("gr\u{fc}\u{df}e aus k\u{f6}ln")), true),
        (K::Body(text("<b>BOLD</b>")), true),
        (K::Body(text("secret octets")), false),
        (K::Body(text("preamble")), false),
        (K::Body(text("enclosed text")), true),
        (K::Body(text("enclosed subject")), true),
        (K::Body(text("r\u{e9}sum\u{e9}")), false),
        (K::Body(text("partname")), false),
        (K::Text(text("r\u{e9}sum\u{e9}")), true),
        (K::Text(text("partname")), true),
        (K::Text(text("K\u{d6}LN")), true),
        (K::Text(text("")), true),
        (K::Text(text("nowhere")), false),
        (K::Larger(999), true),
        (K::Larger(1000), false),
        (K::Smaller(1001), true),
        (K::Smaller(1000), false),
        (K::Messages(set(Some(4), Some(6))), true),
        (K::Messages(set(Some(6), None)), false),
        (K::Messages(set(None, Some(1))), true),
        (K::Uid(set(Some(9), Some(9))), true),
        (K::Uid(set(None, Some(100))), false),
        (K::Uid(SequenceSet::SAVED), true),
        (K::Messages(SequenceSet::SAVED), true),
        (K::ModSeq(77), true),
        (K::ModSeq(78), false),
        (K::EmailId(text("M1")), true),
        (K::ThreadId(text("T1")), false),
        (K::Not(Box::new(K::All)), false),
        (K::Or(Box::new((K::New, K::All))), true),
        (K::Or(Box::new((K::New, K::Not(Box::new(K::All))))), false),
        (K::And(vec![K::All, K::Has(Flag::Seen), K::Body(text("bold"))]), true),
        (K::And(vec![K::All, K::Has(Flag::Draft), K::Body(text("bold"))]), false),
        (K::Not(Box::new(K::Or(Box::new((K::Body(text("nowhere")), K::From(text("bob"))))))), true),
    ];
    let fixture = Fixture::new();
    for (key, expected) in &table {
        assert_eq!(fixture.finds(key), *expected, "{key:?}");
        let not = SearchKey::Not(Box::new(key.clone()));
        assert_eq!(fixture.finds(&not), !expected, "{not:?}");
    }
}

/// Cheap keys are asked first, and dear ones only if they matter.
#[test]
fn it_says_what_it_needs() {
    use SearchKey as K;
    let fixture = Fixture::new();
    let (context, meta) = (fixture.context(), fixture.meta());
    let message = message();
    let structure = scan(&message);
    let verdict = |key: &K, with_structure: bool| {
        let known = Known { structure: with_structure.then_some(&structure), ..Known::new(&meta) };
        Query::new(key, None).unwrap().verdict(&context, &known)
    };
    let body = || K::Body(text("x"));
    assert_eq!(verdict(&K::Has(Flag::Seen), false), Verdict::Yes);
    assert_eq!(verdict(&K::And(vec![body(), K::Has(Flag::Draft)]), false), Verdict::No);
    assert_eq!(verdict(&K::Or(Box::new((body(), K::Has(Flag::Seen)))), false), Verdict::Yes);
    let mixed = K::And(vec![body(), header("a", "b"), K::From(text("bob"))]);
    assert_eq!(verdict(&mixed, false), Verdict::Needs(Need::Structure));
    assert_eq!(verdict(&mixed, true), Verdict::No, "From decides without header and text");
    assert_eq!(verdict(&K::And(vec![body(), header("a", "b")]), true), Verdict::Needs(Need::Header));
    assert_eq!(verdict(&body(), true), Verdict::Needs(Need::Text));
}

#[test]
fn attachments_are_not_read() {
    let message = message();
    let structure = scan(&message);
    let query = Query::new(&SearchKey::Body(text("nowhere")), None).unwrap();
    let mut texts = query.text_scan(&structure);
    let mut read = Vec::new();
    while let Some(range) = texts.wants() {
        let octets = &message[range.start as usize..range.end as usize];
        read.extend_from_slice(octets);
        texts.push(octets);
    }
    let read = String::from_utf8(read).unwrap();
    assert!(
        read.contains("enclosed text") && !read.contains("secret octets") && !read.contains("R=C3=A9sum"),
        "{read}"
    );
}

#[test]
fn long_texts_are_searched_across_all_cuts() {
    let filler = "All work and no play makes Jack a dull boy.\r\n".repeat(5000);
    let body = format!("Subject: x\r\n\r\n{filler}The Needle\r\nin the stack\r\n{filler}");
    let structure = scan(body.as_bytes());
    for needle in ["the needle", "needle\r\nin the", "dull boy.\r\nthe n", "stack\r\nall"] {
        let query = Query::new(&SearchKey::Body(text(needle)), None).unwrap();
        for piece in [1000, 65_536, 70_001, usize::MAX] {
            let mut texts = query.text_scan(&structure);
            while let Some(range) = texts.wants() {
                let end = (range.start as usize).saturating_add(piece).min(range.end as usize);
                texts.push(&body.as_bytes()[range.start as usize..end]);
            }
            let hits = texts.finish();
            let fixture = Fixture::new();
            let meta = fixture.meta();
            let known = Known { hits: Some(&hits), ..Known::new(&meta) };
            assert_eq!(query.verdict(&fixture.context(), &known), Verdict::Yes, "{needle:?} in pieces of {piece}");
        }
    }
}

#[test]
fn the_charset_of_the_search() {
    let fixture = Fixture::new();
    let latin = SearchKey::Subject(Bytes::from_static(b"R\xc9SUM\xc9"));
    let query = Query::new(&latin, Some(b"ISO-8859-1")).unwrap();
    assert!(query.matches(&fixture.context(), &fixture.meta(), &message()));
    assert_eq!(Query::new(&latin, Some(b"x-martian")).err(), Some(Unsupported::Charset));
}

#[test]
fn a_deep_key_is_no_recursion() {
    let mut key = SearchKey::Has(Flag::Seen);
    for _ in 0..1001 {
        key = SearchKey::Not(Box::new(key));
    }
    assert!(!Fixture::new().finds(&key));
}
