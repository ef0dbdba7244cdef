//! The link: framing, output, the TLS gate.

mod dots;

use postrider_core::*;
use proptest::prelude::*;

fn lines(link: &mut Link, limit: usize) -> Vec<Framed> {
    let mut found = vec![];
    loop {
        match link.line(limit) {
            Framed::More => return found,
            other => found.push(other),
        }
    }
}

fn feed(input: &[u8], cuts: &[usize], limit: usize) -> Vec<Framed> {
    feed_to(Link::new(1, LinkLimits::default()), input, cuts, limit)
}

fn feed_to(mut link: Link, input: &[u8], cuts: &[usize], limit: usize) -> Vec<Framed> {
    let mut found = vec![];
    let mut rest = input;
    for &cut in cuts.iter().chain([&usize::MAX]) {
        let (now, later) = rest.split_at(cut.min(rest.len()));
        let mut now = now;
        while !now.is_empty() {
            let taken = link.receive(now);
            now = &now[taken..];
            found.extend(lines(&mut link, limit));
        }
        rest = later;
    }
    found
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_cuts(
        input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), Just(b'.')], 0..60),
        cuts in proptest::collection::vec(0usize..5, 0..40),
        limit in 1usize..8,
    ) {
        let fits = |found: Vec<Framed>| found.into_iter().filter(|f| matches!(f, Framed::Line(_))).collect::<Vec<_>>();
        prop_assert_eq!(fits(feed(&input, &cuts, limit)), fits(feed(&input, &[], limit)));
    }
}

/// A link whose lines end at CRLF only.
fn strict() -> Link {
    let mut link = Link::new(1, LinkLimits::default());
    link.end_lines_at_crlf();
    link
}

proptest! {
    #[test]
    fn lines_that_end_at_crlf_only_are_what_stands_between(
        input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a')], 0..60),
        cuts in proptest::collection::vec(0usize..5, 0..40),
        limit in 1usize..8,
    ) {
        let text = String::from_utf8(input.clone()).unwrap();
        let whole = text.rsplit_once("\r\n").map_or(vec![], |(whole, _)| whole.split("\r\n").collect());
        let fitting: Vec<_> = whole.iter().filter(|line| line.len() <= limit).map(|line| line.as_bytes()).collect();
        let found = feed_to(strict(), &input, &cuts, limit);
        let lines: Vec<_> = found.iter().filter_map(|f| match f { Framed::Line(line) => Some(&line.octets[..]), _ => None }).collect();
        prop_assert_eq!(lines, fitting);
        let too_long = found.iter().filter(|f| **f == Framed::TooLong).count();
        let rest = text.rsplit_once("\r\n").map_or(&*text, |(_, rest)| rest);
        let long = whole.iter().filter(|line| line.len() > limit).count() + usize::from(rest.len() > limit + 1);
        prop_assert_eq!(too_long, long);
    }
}

#[test]
fn a_long_line_is_thrown_away_to_its_end_and_no_further() {
    let mut link = strict();
    let _ = link.receive(b"abcdef\ngh\r");
    assert_eq!(link.line(4), Framed::TooLong);
    assert!(!link.skip_line());
    assert_eq!((link.skipped(), link.input()), (9, &b"\r"[..]), "its end may have begun");
    let _ = link.receive(b"\nNOOP\r\n");
    assert!(link.skip_line());
    assert_eq!((link.skipped(), link.input()), (0, &b"NOOP\r\n"[..]));
    assert!(link.skip_line(), "there is no such line");
    assert!(matches!(link.line(4), Framed::Line(_)));
}

#[test]
fn a_line_of_exactly_the_limit_fits_and_one_octet_more_does_not() {
    let line =
        |octets: &'static [u8]| Framed::Line(Line { octets: bytes::Bytes::from_static(octets), end: LineEnd::CrLf });
    assert_eq!(feed(b"abcd\r\nx\r\n", &[5, 1], 4), [line(b"abcd"), line(b"x")]);
    assert_eq!(feed(b"abcde\r\nx\r\n", &[], 4), [Framed::TooLong, line(b"x")]);
    assert_eq!(feed(b"abcde\r\nx\r\n", &[1; 10], 4), [Framed::TooLong, line(b"x")]);
}

#[test]
fn an_endless_line_is_held_in_constant_memory() {
    let mut link = Link::new(1, LinkLimits::default());
    let mut too_long = 0;
    for _ in 0..1000 {
        assert_eq!(link.receive(&[b'a'; 10_000]), 10_000, "the window stays open");
        too_long += lines(&mut link, 512).len();
        assert!(link.input().len() <= 513);
    }
    assert_eq!(too_long, 1);
}

#[test]
fn plaintext_behind_the_gate_ends_the_session() {
    let mut link = Link::new(1, LinkLimits::default());
    let _ = link.receive(b"EHLO injected\r\n");
    assert_eq!(link.begin_tls(), Err(ProtocolError::PlaintextBeforeTls));
}

#[test]
fn the_gate_waits_for_the_output_and_stops_reading() {
    let mut link = Link::new(1, LinkLimits::default());
    link.put(b"220 go");
    link.end_line();
    link.begin_tls().unwrap();
    assert_eq!(link.window(), 0);
    assert!(link.upgrade().is_none());
    link.sent(8);
    let pending = link.upgrade().unwrap();
    assert!(link.upgrade().is_none(), "once");
    let mut other = Link::new(2, LinkLimits::default());
    other.start_with_tls();
    let foreign = other.upgrade().unwrap();
    assert_eq!(link.tls(foreign, Ok(TlsInfo::default())), Err(Stale));
    link.tls(pending, Ok(TlsInfo::default())).unwrap();
    assert!(link.security().is_tls());
    assert!(link.window() > 0);
}

#[test]
fn large_bodies_keep_their_place_among_lines() {
    let mut link = Link::new(1, LinkLimits::default());
    let mut expected = b"* 1 FETCH {5000}\r\n".to_vec();
    link.put(b"* 1 FETCH {5000}");
    link.end_line();
    link.put_shared(vec![7; 5000].into());
    expected.extend([7; 5000]);
    link.put(b")");
    link.end_line();
    expected.extend(b")\r\n");
    let mut sent = vec![];
    while !link.output().is_empty() {
        let n = link.output().len().min(999);
        sent.extend_from_slice(&link.output()[..n]);
        link.sent(n);
    }
    assert_eq!(sent, expected);
    assert_eq!(link.queued(), 0);
}

struct Shown(std::sync::mpsc::Sender<String>);

impl Tap for Shown {
    fn line(&mut self, direction: Direction, line: &[u8], _masked: bool) {
        self.0.send(format!("{direction:?} {}", String::from_utf8_lossy(line))).unwrap();
    }
    fn octets(&mut self, direction: Direction, count: u64) {
        self.0.send(format!("{direction:?} {count} octets")).unwrap();
    }
}

#[test]
fn a_tap_never_sees_a_secret() {
    let (shown, seen) = std::sync::mpsc::channel();
    let mut link = Link::new(1, LinkLimits::default());
    link.set_tap(Some(Box::new(Shown(shown))));
    link.put(b"AUTH PLAIN ");
    link.put_secret(b"AGEAYg==");
    link.end_line();
    link.trace_in(b"PASS hunter2", Some(5));
    link.put_body(b"abc");
    let seen: Vec<_> = seen.try_iter().collect();
    assert_eq!(seen, ["Out AUTH PLAIN ***", "In PASS ***", "Out 3 octets"]);
}

#[test]
#[should_panic(expected = "holds CR or LF")]
fn a_line_with_a_line_end_in_it_is_our_bug() {
    let mut link = Link::new(1, LinkLimits::default());
    link.put(b"250 ok\r\n250 not ok");
    link.end_line();
}

#[test]
fn timers_count_from_the_poll_that_follows() {
    use std::time::Duration;
    let at = |s| Instant::after_origin(Duration::from_secs(s));
    let mut timer = Timer::OFF;
    timer.arm(Duration::from_secs(5));
    assert_eq!(timer.deadline(), None);
    assert!(!timer.tick(at(100)));
    assert_eq!(timer.deadline(), Some(at(105)));
    assert!(!timer.tick(at(104)));
    assert!(timer.tick(at(105)));
    assert!(!timer.tick(at(106)), "once");
}

#[test]
fn text_holds_no_line_end() {
    assert_eq!(Text::new("a\r\nb"), Err(TextError { at: 1 }));
    assert_eq!(Text::lossy("a\r\nb\u{7}", 100).as_str(), "a  b ");
    assert_eq!(Text::lossy("äöü", 3).as_str(), "ä");
}

#[test]
fn excerpts_are_escaped_and_short() {
    let shown = Excerpt::new(&[0x1b; 1000]);
    assert!(shown.as_str().starts_with(r"\x1b\x1b"));
    assert!(shown.as_str().chars().count() <= 65);
}

#[test]
fn last_words_are_given_up_only_when_nobody_takes_them() {
    let mut link = Link::new(1, LinkLimits::default());
    for _ in 0..10 {
        link.put(&[b'x'; 1022]);
        link.end_line();
    }
    link.close(&Closed::ByUs);
    let at = |seconds| Instant::after_origin(core::time::Duration::from_secs(seconds));
    assert_eq!(link.poll_closed(at(0)), Some(at(30)));
    link.sent(1024);
    assert_eq!(link.poll_closed(at(29)), Some(at(59)), "they are read, if slowly");
    link.sent(1000);
    assert_eq!(link.poll_closed(at(58)), Some(at(59)), "too slowly");
    assert_eq!((link.poll_closed(at(59)), link.is_finished()), (None, true));
}
