//! Dot transparency: against slow, plain models, for every cut.

use postrider_core::*;
use proptest::prelude::*;

/// The model: octet by octet.
fn stuff_slowly(rule: LineRule, data: &[u8]) -> Vec<u8> {
    let mut wire = vec![];
    for (at, &octet) in data.iter().enumerate() {
        if octet == b'.' && starts_line(rule, &data[..at]) {
            wire.push(b'.');
        }
        wire.push(octet);
    }
    wire
}

fn starts_line(rule: LineRule, before: &[u8]) -> bool {
    before.is_empty()
        || match rule {
            LineRule::CrLf => before.ends_with(b"\r\n"),
            LineRule::Lf => before.ends_with(b"\n"),
        }
}

/// The model: the data, and where it ends on the wire.
fn unstuff_slowly(rule: LineRule, wire: &[u8]) -> (Vec<u8>, Option<usize>) {
    let first_line = wire.split_inclusive(|&octet| octet == b'\n').next().unwrap_or_default();
    let crlf = rule == LineRule::CrLf || first_line.ends_with(b"\r\n");
    let (mut data, mut at) = (vec![], 0);
    while at < wire.len() {
        if wire[at] == b'.' && starts_line(rule, &wire[..at]) {
            let rest = &wire[at + 1..];
            let bare = crlf && !starts_line(LineRule::CrLf, &wire[..at]);
            if !bare && rest.starts_with(b"\r\n") {
                return (data, Some(at + 3));
            }
            if !bare && rule == LineRule::Lf && rest.starts_with(b"\n") {
                return (data, Some(at + 2));
            }
            // A doubled dot was added; after a bare LF, one that is alone was not.
            at += usize::from(!bare || rest.starts_with(b"."));
            if at == wire.len() {
                break;
            }
        }
        data.push(wire[at]);
        at += 1;
    }
    (data, None)
}

fn flaw(data: &[u8]) -> Option<Flaw> {
    (0..data.len()).find_map(|at| match data[at] {
        b'\r' if data.get(at + 1).is_some_and(|&next| next != b'\n') => Some(Flaw::BareCr),
        b'\n' if at == 0 || data[at - 1] != b'\r' => Some(Flaw::BareLf),
        0 => Some(Flaw::Nul),
        _ => None,
    })
}

fn pieces<'a>(data: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = data;
    let mut pieces = vec![];
    for &cut in cuts {
        let (now, later) = rest.split_at(cut.min(rest.len()));
        pieces.push(now);
        rest = later;
    }
    pieces.push(rest);
    pieces
}

fn stuff(rule: LineRule, data: &[u8], cuts: &[usize]) -> (Vec<u8>, Stuffer) {
    let mut stuffer = Stuffer::new(rule);
    let mut wire = vec![];
    for piece in pieces(data, cuts) {
        stuffer.stuff(piece, |part| wire.extend_from_slice(part));
    }
    (wire, stuffer)
}

/// The data, whether and where on the wire it ended, and the flaw found.
fn unstuff(rule: LineRule, wire: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<usize>, Option<Flaw>) {
    let mut unstuffer = Unstuffer::new(rule);
    let (mut data, mut held, mut read) = (vec![], vec![], 0);
    for piece in pieces(wire, cuts) {
        held.extend_from_slice(piece);
        let found = unstuffer.unstuff(&mut held);
        assert!(found.ended || held.len() - found.read <= 2, "no more than two octets wait");
        data.extend_from_slice(&held[..found.data]);
        held.drain(..found.read);
        read += found.read;
        if found.ended {
            return (data, Some(read), unstuffer.flaw());
        }
    }
    (data, None, unstuffer.flaw())
}

fn rule() -> impl Strategy<Value = LineRule> {
    prop_oneof![Just(LineRule::CrLf), Just(LineRule::Lf)]
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![3 => Just(b'\r'), 3 => Just(b'\n'), 3 => Just(b'.'), 2 => Just(b'a'), 1 => any::<u8>()];
    proptest::collection::vec(octet, 0..60)
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0usize..6, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn stuffing_is_the_models_for_every_cut(rule in rule(), data in octets(), cuts in cuts()) {
        let (wire, stuffer) = stuff(rule, &data, &cuts);
        prop_assert_eq!(&wire, &stuff_slowly(rule, &data));
        prop_assert_eq!(stuffer.is_within_line(), !(data.is_empty() || data.ends_with(b"\r\n")));
        if rule == LineRule::CrLf {
            prop_assert_eq!(stuffer.flaw(), flaw(&data));
        }
    }

    #[test]
    fn what_was_stuffed_comes_back_and_ends_where_it_should(
        rule in rule(), data in octets(), cuts in cuts(), after in octets(),
    ) {
        let (mut wire, stuffer) = stuff(rule, &data, &[]);
        let mut expected = data.clone();
        if stuffer.is_within_line() {
            wire.extend_from_slice(b"\r\n");
            expected.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        let end = wire.len();
        wire.extend_from_slice(&after);
        let (back, ended, found) = unstuff(rule, &wire, &cuts);
        prop_assert_eq!(back, expected.clone());
        prop_assert_eq!(ended, Some(end));
        if rule == LineRule::CrLf {
            prop_assert_eq!(found, flaw(&expected));
        }
    }

    #[test]
    fn unstuffing_any_octets_is_the_models_for_every_cut(rule in rule(), wire in octets(), cuts in cuts()) {
        let (data, ended) = unstuff_slowly(rule, &wire);
        let (back, end, _) = unstuff(rule, &wire, &cuts);
        prop_assert_eq!(end, ended);
        // Without an end, a dot that may begin it waits.
        let most = if ended.is_some() { 0 } else { 2 };
        prop_assert!(data.starts_with(&back) && data.len() - back.len() <= most);
    }

    #[test]
    fn both_ways_of_unstuffing_give_the_same(rule in rule(), wire in octets(), cuts in cuts()) {
        let mut unstuffer = Unstuffer::new(rule);
        let (mut data, mut end, mut read) = (vec![], None, 0);
        for piece in pieces(&wire, &cuts) {
            let taken = unstuffer.parts(piece, |part| match part {
                Part::Given(range) => data.extend_from_slice(&piece[range]),
                Part::Added(added) => data.extend_from_slice(added),
            });
            read += taken.read;
            if taken.ended {
                end = Some(read);
                break;
            }
        }
        let (back, ended, _) = unstuff(rule, &wire, &cuts);
        prop_assert_eq!(data, back);
        prop_assert_eq!(end, ended);
    }

    #[test]
    fn unstuffing_any_octets_does_not_depend_on_cuts(rule in rule(), wire in octets(), cuts in cuts()) {
        let whole = unstuff(rule, &wire, &[]);
        let cut = unstuff(rule, &wire, &cuts);
        prop_assert_eq!(&whole.0, &cut.0);
        prop_assert_eq!(whole.1, cut.1);
    }
}

#[test]
fn only_crlf_dot_crlf_ends_smtp_data() {
    for not_the_end in ["a\n.\r\n", "a\r\n.\n", "a\r.\r\n", "a\n.\n", "a\r\n.\r", "a\r\n.\r\r\n"] {
        assert_eq!(unstuff(LineRule::CrLf, not_the_end.as_bytes(), &[]).1, None, "{not_the_end:?}");
    }
    assert_eq!(unstuff(LineRule::CrLf, b"a\r\n.\r\n", &[]).1, Some(6));
    assert_eq!(unstuff(LineRule::CrLf, b".\r\n", &[]).1, Some(3), "data may be empty");
}

#[test]
fn a_link_gives_data_and_leaves_what_follows() {
    let mut link = Link::new(1, LinkLimits::default());
    let mut unstuffer = Unstuffer::new(LineRule::CrLf);
    assert_eq!(link.receive(b"..a\r\nb\r\n."), 9);
    assert_eq!(link.unstuff(&mut unstuffer), (bytes::Bytes::from_static(b".a\r\nb\r\n"), false));
    assert_eq!(link.receive(b"\r\nQUIT\r\n"), 8);
    assert_eq!(link.unstuff(&mut unstuffer), (bytes::Bytes::new(), true));
    assert_eq!(link.input(), b"QUIT\r\n");
}

#[test]
fn where_lines_end_with_crlf_nothing_ends_after_a_bare_lf() {
    let smuggled = b"A: b\r\n\r\nx\n.\n+OK\r\n\n.\r\nforged\n..\n.y\r\n.\r\n";
    let (data, end, _) = unstuff(LineRule::Lf, smuggled, &[]);
    assert_eq!(end, Some(smuggled.len()));
    assert_eq!(data, b"A: b\r\n\r\nx\n.\n+OK\r\n\n.\r\nforged\n.\n.y\r\n");
    assert_eq!(unstuff(LineRule::Lf, b"A: b\n\nx\n.\nmore", &[]).1, Some(10), "all lines end with LF");
}
