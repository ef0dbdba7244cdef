//! Nobody can make the server see an end of a message that others do not see, nor the client send one.
//!
//! The proofs go through every string of up to ten of the octets that matter: CR, LF, dot, NUL, and `a` for all others.
//! There are 12,207,031 of them, and 5,555,555,556 ways to cut them into pieces. Not each of these is tried by itself:
//!
//! 1. From the fresh reader, octet by octet, all states are gathered that strings of up to ten octets lead to. States
//!    that are equal will treat whatever comes next alike, which is what `PartialEq` says of a reader: it compares all
//!    that the reader keeps. They are few.
//! 2. For each of those states, and each piece that may still come (so that, with the shortest string that leads there,
//!    it makes no more than ten octets), the reader is given the piece at once. It must end in the state, say the same of
//!    the end and of flaws, and give out the same octets as if it were given them one by one.
//!
//! By induction over the pieces, each way to cut a string then comes to the same as each other way. And
//!
//! 3. each string, given at once, is compared with an automaton of five states that knows nothing of pieces.
//!
//! What was tried is counted, and the counts are asserted. Octets of a message that turns out to be bad are not compared:
//! how many of them were given out before its flaw came depends on the pieces, and they are to be thrown away.

use bytes::BytesMut;
use postrider_core::{Closed, Instant, Machine, Session, Step};
use postrider_smtp::server::{Config, Event, Server};
use postrider_smtp::wire::{BareNewlines, Body, DataReader, DataWriter};
use std::sync::Arc;

const OCTETS: [u8; 5] = *b"\r\n.\0a";
const LENGTH: usize = 10;

/// 1 + 5 + 25 + ... : all strings of up to `length` octets.
fn strings(length: usize) -> u64 {
    (0..=length as u32).map(|n| 5u64.pow(n)).sum()
}

/// How many of the strings end a message: with CR LF before them, they hold CR LF dot CR LF.
fn strings_with_an_end() -> u64 {
    // How many strings of this length have come how far in CR LF dot CR LF; the last are those that hold it.
    let mut come = [0u64, 0, 1, 0, 0, 0];
    let mut with_end = 0;
    for _ in 0..LENGTH {
        let mut next = [0; 6];
        next[5] = 5 * come[5];
        for (so_far, count) in come.into_iter().enumerate().take(5) {
            for octet in OCTETS {
                let further = if octet == b"\r\n.\r\n"[so_far] { so_far + 1 } else { usize::from(octet == b'\r') };
                next[further] += count;
            }
        }
        come = next;
        with_end += come[5];
    }
    with_end
}

/// A string of n octets can be cut in n - 1 places.
fn cuttings(length: usize) -> u64 {
    1 + (1..=length as u32).map(|n| 5u64.pow(n) * 2u64.pow(n - 1)).sum::<u64>()
}

//= 5321-2.3.8-1, 5321-2.3.8-2, 5321-4.1.1.4-3
#[test]
fn what_there_is_to_try() {
    assert_eq!(strings(LENGTH), 12_207_031);
    assert_eq!(cuttings(LENGTH), 5_555_555_556);
}

// ── the automaton ──

/// Where a message stands, after RFC 5321, 4.1.1.4: only CR LF dot CR LF ends it, and the CR LF after DATA counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Start,
    Text,
    Cr,
    Dot,
    DotCr,
}

/// What the automaton makes of a string.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Reference {
    at: At,
    end: Option<usize>,
    bad: bool,
    /// The message, with bare CR and LF made whole and NUL left out.
    body: Vec<u8>,
}

impl Reference {
    fn read(input: &[u8], body: Vec<u8>) -> Self {
        let mut this = Self { at: At::Start, end: None, bad: false, body };
        this.body.clear();
        for (index, &octet) in input.iter().enumerate() {
            if this.step(octet) {
                this.end = Some(index + 1);
                break;
            }
        }
        this
    }

    /// True if this ends the message.
    fn step(&mut self, octet: u8) -> bool {
        if self.at == At::DotCr && octet == b'\n' {
            return true;
        }
        if self.at == At::DotCr {
            // The dot was added; the CR after it belongs to the message.
            self.body.push(b'\r');
            self.at = At::Cr;
        }
        if self.at == At::Cr && octet != b'\n' {
            self.bad = true;
            self.body.push(b'\n');
        }
        let before = self.at;
        self.at = match (before, octet) {
            (At::Cr, b'\n') => At::Start,
            (At::Start, b'.') => At::Dot,
            (At::Dot, b'\r') => At::DotCr,
            (_, b'\r') => At::Cr,
            (_, _) => At::Text,
        };
        match (before, octet) {
            (At::Start, b'.') | (At::Dot, b'\r') => {}
            (At::Cr, b'\n') => self.body.push(b'\n'),
            (_, b'\n') => {
                self.bad = true;
                self.body.extend_from_slice(b"\r\n");
            }
            (_, 0) => self.bad = true,
            (_, _) => self.body.push(octet),
        }
        false
    }
}

// ── the proof ──

/// What is fed octets in pieces: the reader, or the writer.
trait Filter: Clone + PartialEq {
    /// Says how many octets it took, and whether they ended the message.
    fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) -> (usize, bool);
    fn is_bad(&self) -> bool;
}

impl Filter for DataReader {
    fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
        let part = self.read(octets);
        match part.body {
            Body::Prefix(length) => out.extend_from_slice(&octets[..length]),
            Body::Rewritten(rewritten) => out.extend_from_slice(&rewritten),
        }
        (part.taken, part.ended)
    }
    fn is_bad(&self) -> bool {
        self.bad().is_some()
    }
}

#[derive(Clone, PartialEq)]
struct Writer {
    writer: DataWriter,
    bad: bool,
}

impl Filter for Writer {
    fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
        let mut wire = BytesMut::new();
        self.bad |= self.writer.write(octets, &mut wire).is_err();
        out.extend_from_slice(&wire);
        (octets.len(), false)
    }
    fn is_bad(&self) -> bool {
        self.bad
    }
}

/// The states of a filter, octet by octet.
struct States<F> {
    found: Vec<Found<F>>,
}

struct Found<F> {
    filter: F,
    bad: bool,
    over: bool,
    /// Octets of the shortest string that leads here.
    depth: usize,
    steps: Vec<StepTo>,
}

struct StepTo {
    state: usize,
    out: Vec<u8>,
}

impl<F: Filter> States<F> {
    /// Step 1 of the proof.
    fn gather(fresh: F) -> Self {
        let first = Found { bad: fresh.is_bad(), filter: fresh, over: false, depth: 0, steps: vec![] };
        let mut found = vec![first];
        let mut next = 0;
        // Those found last lie deepest, so each is found by its shortest string.
        while let Some(from) = found.get(next) {
            let (filter, depth, over) = (from.filter.clone(), from.depth, from.over);
            if !over && depth < LENGTH {
                for octet in OCTETS {
                    let mut filter = filter.clone();
                    let mut out = vec![];
                    let (taken, over) = filter.feed(&[octet], &mut out);
                    assert_eq!(taken, 1, "an octet is taken, whatever it is");
                    let bad = filter.is_bad();
                    let same = |known: &Found<F>| known.over == over && known.bad == bad && known.filter == filter;
                    let state = found.iter().position(same).unwrap_or_else(|| {
                        found.push(Found { filter, bad, over, depth: depth + 1, steps: vec![] });
                        found.len() - 1
                    });
                    found[next].steps.push(StepTo { state, out });
                }
            }
            next += 1;
        }
        Self { found }
    }

    /// Steps 2 and 3. `whole` sees each string that was given at once to the fresh filter: the filter afterwards, and
    /// what it gave out. Says how many pieces were tried.
    fn check(&self, mut whole: impl FnMut(&[u8], &F, &[u8], Option<usize>)) -> u64 {
        let mut tried = 0;
        for (index, from) in self.found.iter().enumerate().filter(|(_, from)| !from.over) {
            let mut piece = Piece { octets: vec![], out: vec![], got: vec![] };
            self.pieces(
                index,
                index,
                None,
                LENGTH - from.depth,
                &mut piece,
                &mut tried,
                &mut |octets, filter, out, end| {
                    if index == 0 {
                        whole(octets, filter, out, end);
                    }
                },
            );
        }
        tried
    }

    /// Tries all pieces that begin with `piece`, which leads octet by octet from the state `from` to the state `to`, and
    /// ends the message after `end` octets.
    #[expect(clippy::too_many_arguments, reason = "a recursion, ten deep")]
    fn pieces(
        &self,
        from: usize,
        to: usize,
        end: Option<usize>,
        left: usize,
        piece: &mut Piece,
        tried: &mut u64,
        whole: &mut impl FnMut(&[u8], &F, &[u8], Option<usize>),
    ) {
        let mut filter = self.found[from].filter.clone();
        piece.got.clear();
        let (taken, over) = filter.feed(&piece.octets, &mut piece.got);
        let expected = &self.found[to];
        let right = over == end.is_some()
            && taken == end.unwrap_or(piece.octets.len())
            && filter.is_bad() == expected.bad
            && (expected.bad || piece.got == piece.out)
            // After its end, a message is not read on.
            && (over || filter == expected.filter);
        assert!(right, "state {from}, piece \"{}\": {taken} octets, over: {over}", piece.octets.escape_ascii());
        *tried += 1;
        whole(&piece.octets, &filter, &piece.got, end);
        if left == 0 {
            return;
        }
        for (index, octet) in OCTETS.into_iter().enumerate() {
            piece.octets.push(octet);
            let given = piece.out.len();
            match end {
                Some(_) => self.pieces(from, to, end, left - 1, piece, tried, whole),
                None => {
                    let step = &self.found[to].steps[index];
                    piece.out.extend_from_slice(&step.out);
                    let end = self.found[step.state].over.then_some(piece.octets.len());
                    self.pieces(from, step.state, end, left - 1, piece, tried, whole);
                }
            }
            piece.out.truncate(given);
            piece.octets.pop();
        }
    }
}

struct Piece {
    octets: Vec<u8>,
    /// What the octets give out one by one.
    out: Vec<u8>,
    /// What they gave out at once.
    got: Vec<u8>,
}

/// Proves it of a reader, and says how many states and pieces there were.
fn prove_reader(policy: BareNewlines, line_limit: usize) -> (usize, u64) {
    let states = States::gather(DataReader::new(policy, line_limit));
    let (mut strings_tried, mut ends, mut body) = (0, 0u64, vec![]);
    let pieces = states.check(|octets, reader, got, end| {
        strings_tried += 1;
        ends += u64::from(end.is_some());
        let expected = Reference::read(octets, std::mem::take(&mut body));
        let bad = reader.bad().is_some();
        let shown = || octets.escape_ascii().to_string();
        assert_eq!(end, expected.end, "{}", shown());
        if line_limit >= LENGTH {
            assert_eq!(bad, expected.bad && policy == BareNewlines::Refuse, "{}", shown());
        }
        if !bad {
            assert!(got == expected.body, "\"{}\": \"{}\"", shown(), got.escape_ascii());
        }
        body = expected.body;
    });
    assert_eq!(strings_tried, strings(LENGTH), "each string was tried");
    assert_eq!(ends, strings_with_an_end(), "and no end was overlooked");
    (states.found.len(), pieces)
}

#[test]
fn case_02_every_string_at_every_cut_ends_where_the_automaton_says() {
    let (states, pieces) = prove_reader(BareNewlines::Refuse, 1000);
    println!("{} strings, {} cuttings; {states} states, {pieces} pieces", strings(LENGTH), cuttings(LENGTH));
    assert!(states < 100, "{states} states, and the proof rests on there being few");
    assert!(pieces >= strings(LENGTH));
}

#[test]
fn case_02_normalised_every_string_at_every_cut_ends_where_the_automaton_says() {
    let (states, pieces) = prove_reader(BareNewlines::Normalise, 1000);
    println!("{} strings, {} cuttings; {states} states, {pieces} pieces", strings(LENGTH), cuttings(LENGTH));
    assert!(states < 100 && pieces >= strings(LENGTH));
}

#[test]
fn case_02_a_line_that_is_too_long_hides_no_end_at_any_cut() {
    prove_reader(BareNewlines::Refuse, 3);
    prove_reader(BareNewlines::Normalise, 3);
}

/// Proves that what the client writes is read back, and holds one end: where it ends.
fn prove_writer(policy: BareNewlines) -> (usize, u64) {
    let states = States::gather(Writer { writer: DataWriter::new(policy), bad: false });
    let (mut strings_tried, mut refused, mut body) = (0, 0u64, vec![]);
    let pieces = states.check(|message, after, got, _| {
        strings_tried += 1;
        let shown = || message.escape_ascii().to_string();
        let flawed = {
            let nul = message.contains(&0);
            let bare_lf = (0..message.len()).any(|at| message[at] == b'\n' && (at == 0 || message[at - 1] != b'\r'));
            let bare_cr = (0..message.len()).any(|at| message[at] == b'\r' && message.get(at + 1) != Some(&b'\n'));
            nul || bare_lf || bare_cr
        };
        let mut wire = BytesMut::from(got);
        let whole = !after.bad && after.writer.clone().finish(&mut wire).is_ok();
        assert_eq!(whole, !flawed || policy == BareNewlines::Normalise, "{}", shown());
        if !whole {
            refused += 1;
            return;
        }
        let read = Reference::read(&wire, std::mem::take(&mut body));
        assert_eq!(read.end, Some(wire.len()), "{} has an end elsewhere: {}", shown(), wire.escape_ascii());
        assert!(!read.bad, "{} leaves what is bare: {}", shown(), wire.escape_ascii());
        if !flawed {
            let ends = message.is_empty() || message.ends_with(b"\r\n");
            let (kept, added) = read.body.split_at(message.len());
            assert!(kept == message && added == if ends { &b""[..] } else { b"\r\n" }, "{}", shown());
        }
        let mut reader = DataReader::new(BareNewlines::Refuse, 1000);
        let part = reader.read(&wire);
        assert!(part.ended && part.taken == wire.len() && reader.bad().is_none(), "{}", shown());
        body = read.body;
    });
    assert_eq!(strings_tried, strings(LENGTH), "each string was tried");
    assert_eq!(refused > 0, policy == BareNewlines::Refuse);
    (states.found.len(), pieces)
}

#[test]
fn case_47_every_message_at_every_cut_is_written_so_that_it_reads_back_or_is_refused() {
    let (states, pieces) = prove_writer(BareNewlines::Refuse);
    println!("{} strings, {} cuttings; {states} states, {pieces} pieces", strings(LENGTH), cuttings(LENGTH));
    assert!(states < 100 && pieces >= strings(LENGTH));
}

#[test]
fn case_47_every_message_at_every_cut_can_be_normalised() {
    let (states, pieces) = prove_writer(BareNewlines::Normalise);
    println!("{} strings, {} cuttings; {states} states, {pieces} pieces", strings(LENGTH), cuttings(LENGTH));
    assert!(states < 100 && pieces >= strings(LENGTH));
}

// ── the server ──

/// What some server somewhere has taken for an end of data.
const ILLEGAL_ENDS: [&[u8]; 15] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r.\n",
    b"\r\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\n.\0\r\n",
    b"\r\n\0.\r\n",
    b"\n\0.\r\n",
    b"\n.\r.\n",
    b"\n\r.\n\r",
    // This one does hold a legal end; its bare CR fails the transaction.
    b"\r\r\n.\r\n",
];

/// Says `input` in pieces to a server whose application takes everything. Gives what it said and asked.
fn talk(policy: BareNewlines, input: &[u8], pieces: &[usize]) -> (String, Vec<String>, Vec<u8>) {
    let mut config = Config::new("mx.example".parse().expect("a name"));
    config.bare_newlines = policy;
    let mut server = Server::new(Arc::new(config), 1);
    let (mut said, mut asked, mut body) = (vec![], vec![], vec![]);
    let run = |server: &mut Server, said: &mut Vec<u8>, asked: &mut Vec<String>, body: &mut Vec<u8>| {
        while let Step::Event(event) = server.poll(Instant::ORIGIN) {
            match event {
                Event::Mail { answer, from, .. } => {
                    asked.push(format!("MAIL {from}"));
                    server.accept(answer).expect("just asked");
                }
                Event::Rcpt { answer, .. } => server.accept(answer).expect("just asked"),
                Event::Data { answer } => server.accept(answer).expect("just asked"),
                Event::Body(octets) => body.extend_from_slice(&octets),
                Event::Message { answer, .. } => {
                    asked.push("message".to_owned());
                    server.accept(answer).expect("just asked");
                }
                Event::Closed(why) => assert_eq!(why, Closed::ByPeer),
                other => server.decline(other),
            }
        }
        let n = server.output().len();
        said.extend_from_slice(server.output());
        server.sent(n);
    };
    run(&mut server, &mut said, &mut asked, &mut body);
    let mut rest = input;
    for piece in pieces.iter().copied().chain([usize::MAX]) {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        assert_eq!(server.receive(now), now.len(), "there is room");
        rest = later;
        run(&mut server, &mut said, &mut asked, &mut body);
    }
    (String::from_utf8(said).expect("ASCII"), asked, body)
}

/// Each illegal end, with commands after it that a smuggler would have run, in every way to cut the octets around it.
fn illegal_ends(mut check: impl FnMut(&[u8], usize, &str, &[String], &[u8]), policy: BareNewlines) -> u64 {
    let mut tried = 0;
    for end in ILLEGAL_ENDS {
        let before = b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@mx.example>\r\nDATA\r\nA: b\r\n\r\ntext";
        let after = b"MAIL FROM:<smuggled@c.example>\r\nRCPT TO:<b@mx.example>\r\nDATA\r\nsmuggled\r\n.\r\nQUIT\r\n";
        let input = [&before[..], end, &after[..]].concat();
        // Cut or not before and after each octet of the end, and one further: every way.
        for cuts in 0u32..1 << (end.len() + 1) {
            let mut pieces = vec![];
            let mut from = 0;
            for place in 0..=end.len() {
                if cuts & (1 << place) != 0 {
                    pieces.push(before.len() + place - from);
                    from = before.len() + place;
                }
            }
            let (said, asked, body) = talk(policy, &input, &pieces);
            check(end, cuts as usize, &said, &asked, &body);
            tried += 1;
        }
        // And octet by octet.
        let (said, asked, body) = talk(policy, &input, &vec![1; input.len()]);
        check(end, usize::MAX, &said, &asked, &body);
        tried += 1;
    }
    tried
}

#[test]
fn case_01_no_illegal_end_ends_a_message_in_any_chunking() {
    let tried = illegal_ends(
        |end, cuts, said, asked, _| {
            let shown = format!("{} cut {cuts:b}: {said}", end.escape_ascii());
            assert!(said.contains("554 5.6.0 The message holds"), "{shown}");
            if end == b"\r\r\n.\r\n" {
                // What follows a legal end is commands.
                assert_eq!(asked, ["MAIL <a@c.example>", "MAIL <smuggled@c.example>", "message"], "{shown}");
            } else {
                assert_eq!(asked, ["MAIL <a@c.example>"], "{shown}");
                assert!(said.ends_with("221 2.0.0 Goodbye\r\n") && said.matches("\r\n354 ").count() == 1, "{shown}");
            }
        },
        BareNewlines::Refuse,
    );
    assert_eq!(tried, ILLEGAL_ENDS.iter().map(|end| (1 << (end.len() + 1)) + 1).sum::<u64>());
}

#[test]
fn case_01_normalised_no_illegal_end_ends_a_message_in_any_chunking() {
    illegal_ends(
        |end, cuts, said, asked, body| {
            let shown = format!("{} cut {cuts:b}: {said}", end.escape_ascii());
            let text = String::from_utf8_lossy(body);
            if end == b"\r\r\n.\r\n" {
                assert_eq!(asked, ["MAIL <a@c.example>", "message", "MAIL <smuggled@c.example>", "message"], "{shown}");
            } else {
                assert_eq!(asked, ["MAIL <a@c.example>", "message"], "{shown}");
                assert!(text.contains("MAIL FROM:<smuggled@c.example>\r\n"), "it is part of the message: {shown}");
            }
            let bare = body.windows(2).any(|w| (w[0] == b'\r') != (w[1] == b'\n')) || body.contains(&0);
            assert!(!bare && body.ends_with(b"\r\n"), "what is bare never passes through: {shown}");
        },
        BareNewlines::Normalise,
    );
}
