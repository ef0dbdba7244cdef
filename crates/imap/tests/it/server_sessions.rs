//! Sessions that a transcript cannot show: several of one mailbox, large bodies, floods, misuse.

use crate::server_memory::{Application, Mailboxes, Shared};
use bytes::Bytes;
use postrider_core::{Closed, Direction, Instant, Machine, Pending, Session, Step, Tap};
use postrider_imap::server::{
    Change, Config, Encoded, Event, FetchPart, LiteralOf, Refusal, RespondError, Selected, Server, ask,
};
use postrider_imap::wire::{
    Data, DateTime, Dialect, FetchItem, Flag, FlagChange, Flags, Frame, FrameLimits, Framer, Response, Section,
    StoreMode, UidSet, parse_response,
};
use postrider_testkit::Rng;
use std::sync::{Arc, Mutex};

fn config() -> Config {
    let mut config = Config::default();
    config.dangerous_allow_plaintext_auth();
    config
}

/// A session, its application, and a client that keeps count.
struct Client {
    server: Server,
    application: Application,
    wire: Vec<u8>,
    framer: Framer,
    /// The UIDs of the messages, by number; 0 if it is not known yet.
    uids: Vec<u32>,
    flags: Vec<Flags>,
    tag: u32,
    /// An EXPUNGE must not come now.
    numbers_are_fixed: bool,
    now: Instant,
}

impl Client {
    fn new(store: &Shared, id: u64) -> Self {
        let mut client = Self {
            server: Server::new(Arc::new(config()), id),
            application: Application::new(store.clone()),
            wire: vec![],
            framer: Framer::responses(FrameLimits::RESPONSES),
            uids: vec![],
            flags: vec![],
            tag: 0,
            numbers_are_fixed: false,
            now: Instant::ORIGIN,
        };
        client.run();
        client.command("LOGIN alice wonderland");
        client
    }

    /// Lets the session do what it can.
    fn run(&mut self) -> Vec<Event> {
        let mut events = vec![];
        loop {
            while let Step::Event(event) = self.server.poll(self.now) {
                events.extend(self.application.handle(&mut self.server, event));
            }
            self.application.progress(&mut self.server);
            let output = self.server.output();
            if output.is_empty() {
                return events;
            }
            self.wire.extend_from_slice(output);
            let n = output.len();
            self.server.sent(n);
        }
    }

    fn say(&mut self, text: &str) {
        assert_eq!(self.server.receive(text.as_bytes()), text.len());
        self.run();
    }

    /// Sends a command and reads all that comes up to its end.
    fn command(&mut self, command: &str) -> String {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        let word = command.split(' ').next().unwrap();
        self.numbers_are_fixed = matches!(word, "FETCH" | "STORE" | "SEARCH");
        self.say(&format!("{tag} {command}\r\n"));
        let done = self.read().into_iter().find_map(|response| match response {
            Response::Tagged { tag: of, status } if of.as_str() == tag => Some(status),
            _ => None,
        });
        let done = done.unwrap_or_else(|| panic!("{command} was not answered"));
        self.numbers_are_fixed = false;
        format!("{} {}", done.condition.name(), done.text)
    }

    /// Reads what came, and learns from it.
    fn read(&mut self) -> Vec<Response> {
        let mut responses = vec![];
        loop {
            match self.framer.next(&self.wire).unwrap() {
                Frame::More => return responses,
                Frame::Literal(_) => assert!(self.framer.inline()),
                Frame::Octets { .. } => unreachable!("nothing is streamed"),
                Frame::Unit { len, end } => {
                    let unit: Vec<u8> = self.wire.drain(..len + end).take(len).collect();
                    let response = parse_response(&Bytes::from(unit), Dialect::REV1);
                    self.learn(&response);
                    responses.push(response);
                }
            }
        }
    }

    fn learn(&mut self, response: &Response) {
        match response {
            Response::Data(Data::Exists(count)) => {
                let count = *count as usize;
                assert!(count >= self.uids.len(), "EXISTS must not shrink the mailbox");
                self.uids.resize(count, 0);
                self.flags.resize(count, Flags::EMPTY);
            }
            Response::Data(Data::Expunge(number)) => {
                assert!(!self.numbers_are_fixed, "EXPUNGE during FETCH, STORE or SEARCH");
                self.uids.remove(*number as usize - 1);
                self.flags.remove(*number as usize - 1);
            }
            Response::Data(Data::Fetch { number, items }) => {
                for item in items {
                    match item {
                        FetchItem::Uid(uid) => {
                            let place = &mut self.uids[*number as usize - 1];
                            assert!(*place == 0 || place == uid, "the message {number} has changed");
                            *place = *uid;
                        }
                        FetchItem::Flags(flags) => self.flags[*number as usize - 1] = flags.clone(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// After NOOP and a look at what is not known, what the client has must be what there is.
    fn settle(&mut self, store: &Shared) {
        self.command("NOOP");
        let unknown: Vec<String> = self
            .uids
            .iter()
            .enumerate()
            .filter(|(_, uid)| **uid == 0)
            .map(|(place, _)| (place + 1).to_string())
            .collect();
        if !unknown.is_empty() {
            self.command(&format!("FETCH {} (UID FLAGS)", unknown.join(",")));
        }
        let state: Vec<(u32, Flags)> = self.uids.iter().copied().zip(self.flags.iter().cloned()).collect();
        assert_eq!(state, store.borrow().state("INBOX"));
    }
}

/// Many sessions of one mailbox, and a hand from outside, do things at random; nobody loses count.
#[test]
fn sessions_see_each_others_changes() {
    for seed in 0..30 {
        let mut rng = Rng::new(seed);
        let store = Mailboxes::new();
        store.borrow_mut().create("Work", vec![]);
        for _ in 0..rng.between(0, 8) {
            store.borrow_mut().deliver("INBOX", "Subject: x\r\n\r\nx", Flags::EMPTY, DateTime::from_unix(0).unwrap());
        }
        let mut clients: Vec<Client> = (0..3).map(|id| Client::new(&store, id)).collect();
        for client in &mut clients {
            client.command("SELECT INBOX");
            client.command("UID FETCH 1:* (FLAGS)");
        }
        for _ in 0..120 {
            let at = rng.below(clients.len());
            let client = &mut clients[at];
            let number = rng.between(1, client.uids.len().max(1));
            let uid = rng.between(1, 40);
            match rng.below(16) {
                0 => client.command(&format!("STORE {number} +FLAGS (\\Deleted)")),
                1 => client.command(&format!("UID STORE {uid} FLAGS (\\Flagged)")),
                2 => client.command(&format!("STORE {number} +FLAGS (\\Answered)")),
                3 => client.command("EXPUNGE"),
                4 => client.command(&format!("UID EXPUNGE {uid}:*")),
                5 => client.command(&format!("FETCH {number} (UID FLAGS)")),
                6 => client.command(&format!("UID FETCH {uid}:* (FLAGS)")),
                7 => client.command("SEARCH ALL"),
                8 => client.command(&format!("MOVE {number} Work")),
                9 => client.command(&format!("UID COPY {uid}:* INBOX")),
                10 => client.command("NOOP"),
                11 => client.command("APPEND INBOX {3+}\r\nabc"),
                12 => client.command(&format!("FETCH {number} BODY[]")),
                13 => {
                    let body = "Subject: y\r\n\r\ny";
                    store.borrow_mut().deliver("INBOX", body, Flags::EMPTY, DateTime::from_unix(0).unwrap());
                    String::new()
                }
                14 => {
                    store.borrow_mut().expunge("INBOX", &[uid as u32].into_iter().collect());
                    String::new()
                }
                _ => {
                    let change = FlagChange { mode: StoreMode::Add, flags: [Flag::Draft].into_iter().collect() };
                    store.borrow_mut().flag("INBOX", uid as u32, &change);
                    String::new()
                }
            };
        }
        // Commands that came when the message was gone left things untold: all must be told in the end.
        for client in &mut clients {
            client.application.sync(&mut client.server);
            client.settle(&store);
        }
    }
}

/// What one session does, another that is in IDLE hears at once.
#[test]
fn idle_hears_others_at_once() {
    let store = Mailboxes::new();
    let (mut a, mut b) = (Client::new(&store, 1), Client::new(&store, 2));
    a.command("SELECT INBOX");
    b.command("SELECT INBOX");
    b.say("i IDLE\r\n");
    b.read();
    a.command("APPEND INBOX {3+}\r\nabc");
    a.command("STORE 1 +FLAGS (\\Deleted)");
    b.application.sync(&mut b.server);
    b.run();
    let heard = b.read();
    assert!(matches!(heard[0], Response::Data(Data::Exists(1))), "{heard:?}");
    assert!(matches!(heard[1], Response::Data(Data::Fetch { number: 1, .. })), "{heard:?}");
    a.command("EXPUNGE");
    b.application.sync(&mut b.server);
    b.run();
    assert_eq!(b.read(), [Response::Data(Data::Expunge(1))]);
}

/// 20 MB go through a session that never holds more than its input limit.
#[test]
fn a_large_message_is_streamed_in_flat_memory() {
    const SIZE: usize = 20_000_000;
    let store = Mailboxes::new();
    let mut client = Client::new(&store, 1);
    client.application.keep_bodies = false;
    client.say(&format!("a APPEND INBOX {{{SIZE}}}\r\n"));
    assert!(client.wire.ends_with(b"+ Ready for literal data\r\n"));
    let limit = config().limits.link.input;
    let chunk = vec![b'x'; 16 * 1024];
    let mut sent = 0;
    let mut reported = 0;
    while sent < SIZE {
        let n = chunk.len().min(SIZE - sent);
        let taken = client.server.receive(&chunk[..n]);
        assert!(client.server.window() <= limit);
        sent += taken;
        // The application is slow: it takes one event only when the session takes no more.
        if taken < n {
            while let Step::Event(event) = client.server.poll(client.now) {
                if let Event::AppendBody(octets) = &event {
                    assert!(octets.len() <= limit);
                    reported += octets.len();
                }
                client.application.handle(&mut client.server, event);
            }
        }
    }
    client.say("\r\n");
    assert_eq!(store.borrow().bodies("INBOX").len(), 1);
    assert!(reported > SIZE - 2 * limit);
    assert!(String::from_utf8_lossy(&client.wire).contains("a OK [APPENDUID"));
}

/// What is asked by a command, with the session it came from.
fn asked<T>(server: &mut Server, command: &str, pick: impl Fn(Event) -> Option<T>) -> T {
    assert_eq!(server.receive(command.as_bytes()), command.len());
    loop {
        match server.poll(Instant::ORIGIN) {
            Step::Event(event) => {
                if let Some(asked) = pick(event) {
                    return asked;
                }
            }
            Step::Idle { .. } => panic!("{command:?} asked nothing"),
        }
    }
}

fn selected(messages: u32, limits: impl Fn(&mut Config)) -> Server {
    let mut config = config();
    limits(&mut config);
    let mut server = Server::new(Arc::new(config), 3);
    let auth = asked(&mut server, "a LOGIN u p\r\n", |event| match event {
        Event::Auth { answer, .. } => Some(answer),
        _ => None,
    });
    server.answer(auth, Ok(postrider_sasl::Identity::new("u"))).unwrap();
    let select = asked(&mut server, "b SELECT INBOX\r\n", |event| match event {
        Event::Select { answer, .. } => Some(answer),
        _ => None,
    });
    server.answer(select, Ok(Selected::new(1, messages + 1, (1..=messages).collect()))).unwrap();
    take(&mut server);
    server
}

fn fetch(server: &mut Server, command: &str) -> Pending<ask::Fetch> {
    asked(server, command, |event| match event {
        Event::Fetch { answer, .. } => Some(answer),
        _ => None,
    })
}

fn take(server: &mut Server) -> String {
    let mut all = vec![];
    loop {
        let step = server.poll(Instant::ORIGIN);
        let output = server.output();
        all.extend_from_slice(output);
        let n = output.len();
        server.sent(n);
        if n == 0 && matches!(step, Step::Idle { .. }) {
            return String::from_utf8(all).unwrap();
        }
    }
}

/// A body larger than the output limit is taken as the client takes it.
#[test]
fn a_large_body_waits_for_the_client() {
    const SIZE: usize = 3_000_000;
    for shared in [false, true] {
        let mut server = selected(1, |_| {});
        let limit = config().limits.link.output;
        let answer = fetch(&mut server, "c FETCH 1 BODY[]\r\n");
        server.respond(&answer, FetchPart::Message(1)).unwrap();
        let of = LiteralOf::Body { section: Section::default(), origin: None };
        server.respond(&answer, FetchPart::Literal { of, size: SIZE as u64 }).unwrap();
        let (mut written, mut seen, mut most) = (0, 0, 0);
        while written < SIZE {
            let mut piece = Bytes::from(vec![b'x'; 10_000.min(SIZE - written)]);
            let whole = piece.len();
            if shared {
                server.write_shared(&answer, &mut piece);
            } else {
                let n = server.write(&answer, &piece);
                let _ = piece.split_to(n);
            }
            written += whole - piece.len();
            most = most.max(written - seen);
            if !piece.is_empty() {
                // The client takes a little.
                let n = server.output().len().min(30_000);
                server.sent(n);
                seen += n;
            }
        }
        assert!(most <= limit + 10_000 + 100, "{most}");
        assert_eq!(server.write(&answer, b"more"), 0);
        server.accept(answer).unwrap();
        assert!(take(&mut server).ends_with("x)\r\nc OK FETCH completed\r\n"));
    }
}

#[test]
fn parts_in_the_wrong_place_are_misuse() {
    let mut server = selected(2, |_| {});
    let answer = fetch(&mut server, "c UID FETCH 1:2 (FLAGS BODY[])\r\n");
    let misused = |result: Result<(), RespondError>| assert!(matches!(result, Err(RespondError::Misuse(_))));
    misused(server.respond(&answer, FetchPart::Item(FetchItem::Size(3))));
    assert_eq!(server.write(&answer, b"abc"), 0);
    server.respond(&answer, FetchPart::Message(1)).unwrap();
    let literal = || FetchPart::Literal { of: LiteralOf::Body { section: Section::default(), origin: None }, size: 3 };
    server.respond(&answer, literal()).unwrap();
    misused(server.respond(&answer, FetchPart::End));
    misused(server.respond(&answer, FetchPart::Message(2)));
    assert_eq!(server.write(&answer, b"a"), 1);
    assert_eq!(server.write(&answer, b"bcdef"), 2);
    // A message the client does not know of is passed over, with its literals.
    server.respond(&answer, FetchPart::Message(9)).unwrap();
    server.respond(&answer, literal()).unwrap();
    assert_eq!(server.write(&answer, b"xyz"), 3);
    server.respond(&answer, FetchPart::Message(2)).unwrap();
    let envelope = Encoded::envelope(Bytes::from_static(b"(NIL {3}\r\na\"b \"c\" NIL)")).unwrap();
    server.respond(&answer, FetchPart::Encoded(envelope)).unwrap();
    server.respond(&answer, FetchPart::Item(FetchItem::Size(3))).unwrap();
    server.accept(answer).unwrap();
    let wire = "* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n\
                * 2 FETCH (UID 2 ENVELOPE (NIL {3}\r\na\"b \"c\" NIL) RFC822.SIZE 3)\r\n\
                c OK UID FETCH completed\r\n";
    assert_eq!(take(&mut server), wire);
}

/// The client counts octets: nothing else can be said, so the connection ends.
#[test]
fn a_literal_that_is_not_completed_ends_the_session() {
    let mut server = selected(1, |_| {});
    let answer = fetch(&mut server, "c FETCH 1 BODY[]\r\n");
    server.respond(&answer, FetchPart::Message(1)).unwrap();
    let of = LiteralOf::Body { section: Section::default(), origin: None };
    server.respond(&answer, FetchPart::Literal { of, size: 3 }).unwrap();
    assert_eq!(server.write(&answer, b"ab"), 2);
    server.refuse(answer, Refusal::unavailable()).unwrap();
    assert!(matches!(server.poll(Instant::ORIGIN), Step::Event(Event::Closed(Closed::ByUs))));
    assert_eq!(take(&mut server), "* 1 FETCH (BODY[] {3}\r\nab");
    assert!(server.is_finished());
}

/// What others expunged while a FETCH is answered stays in place until it is over.
#[test]
fn numbers_do_not_move_within_an_answer() {
    let mut server = selected(3, |_| {});
    let answer = fetch(&mut server, "c FETCH 1:3 UID\r\n");
    server.notify(Change::Expunged([1].into_iter().collect()));
    server.respond(&answer, FetchPart::Message(3)).unwrap();
    server.accept(answer).unwrap();
    assert_eq!(take(&mut server), "* 3 FETCH (UID 3)\r\nc OK FETCH completed\r\n");
    let answer = fetch(&mut server, "d UID FETCH 3 FLAGS\r\n");
    server.respond(&answer, FetchPart::Message(3)).unwrap();
    server.accept(answer).unwrap();
    assert_eq!(take(&mut server), "* 3 FETCH (UID 3)\r\n* 1 EXPUNGE\r\nd OK UID FETCH completed\r\n");
}

/// A hundred thousand messages go: told in pieces, as the client takes them.
#[test]
fn many_expunges_are_told_within_the_output_limit() {
    const COUNT: u32 = 100_000;
    let mut server = selected(COUNT, |_| {});
    let mut odd = UidSet::EMPTY;
    (1..=COUNT).step_by(2).for_each(|uid| odd.push(uid));
    server.notify(Change::Expunged(odd));
    assert_eq!(server.receive(b"c NOOP\r\n"), 8);
    let (mut lines, mut last, mut done) = (0, COUNT + 1, false);
    let limit = config().limits.link.output;
    while !done {
        assert!(matches!(server.poll(Instant::ORIGIN), Step::Idle { .. }));
        let output = server.output().to_vec();
        assert!(output.len() < limit + 1024 * 20, "{}", output.len());
        for line in String::from_utf8(output.clone()).unwrap().lines() {
            match line.strip_suffix(" EXPUNGE").and_then(|line| line.strip_prefix("* ")) {
                Some(number) => {
                    let number = number.parse().unwrap();
                    assert!(number < last);
                    last = number;
                    lines += 1;
                }
                None => {
                    assert_eq!(line, "c OK NOOP completed");
                    done = true;
                }
            }
        }
        server.sent(output.len());
    }
    assert_eq!((lines, server.exists()), (COUNT / 2, Some(COUNT / 2)));
}

/// A client that sends and never reads is read no further, and in the end sent away.
#[test]
fn a_client_that_does_not_read_is_not_served() {
    let mut server = selected(1, |_| {});
    let mut now = Instant::ORIGIN;
    let mut taken = 0;
    for i in 0..100_000 {
        let command = format!("c{i} CAPABILITY\r\n");
        if server.window() < command.len() {
            break;
        }
        taken += server.receive(command.as_bytes());
        assert!(matches!(server.poll(now), Step::Idle { .. }));
    }
    let limits = config().limits;
    assert!(taken < limits.link.input + limits.link.output);
    assert!(server.output().len() < limits.link.output + 1000);
    let Step::Idle { deadline: Some(deadline) } = server.poll(now) else { panic!("there is a limit") };
    assert_eq!(deadline, now.plus(limits.stalled));
    now = deadline;
    assert!(matches!(server.poll(now), Step::Event(Event::Closed(Closed::TimedOut))));
}

/// Octets of all sorts, answers of all sorts: no panic, no CR or LF out of place, every limit kept.
#[test]
fn nonsense_does_no_harm() {
    let words = [
        "a ",
        "b1 ",
        "NOOP",
        "FETCH ",
        "UID ",
        "1:*",
        "* ",
        "$",
        "(FLAGS",
        ")",
        " BODY[",
        "]",
        "\r\n",
        "\n",
        "{3}\r\n",
        "{3+}\r\n",
        "abc",
        "\"",
        "\\",
        "LOGIN ",
        "alice ",
        "wonderland",
        "APPEND INBOX ",
        "SELECT INBOX",
        "IDLE",
        "DONE",
        "AUTHENTICATE PLAIN",
        "AGFsaWNlAHdvbmRlcmxhbmQ=",
        "SEARCH ",
        "ALL",
        "RETURN (SAVE) ",
        "STORE ",
        "+FLAGS ",
        "(\\Deleted)",
        "EXPUNGE",
        "CLOSE",
        "LIST \"\" ",
        "*",
        "CREATE ",
        "&AGE-",
        "{99999999999}\r\n",
        "COPY ",
        "MOVE ",
        "INBOX",
        "ENABLE IMAP4rev2",
        "STATUS INBOX (MESSAGES)",
        "LOGOUT",
        "x LOGIN alice wonderland\r\n",
        "y SELECT INBOX\r\n",
        "z UID FETCH 1:* (FLAGS BODY[])\r\n",
        "\0",
        "\u{fffd}",
        " ",
        "UNSELECT",
    ];
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let store = Mailboxes::new();
        for _ in 0..3 {
            store.borrow_mut().deliver("INBOX", vec![b'x'; 300], Flags::EMPTY, DateTime::from_unix(0).unwrap());
        }
        let mut config = config();
        config.limits.errors = 1000;
        config.limits.link.output = 2000;
        let limits = config.limits.clone();
        let mut server = Server::new(Arc::new(config), seed);
        let mut application = Application::new(store.clone());
        let mut out = vec![];
        let mut now = Instant::ORIGIN;
        let mut closed = 0;
        for _ in 0..400 {
            let mut input = vec![];
            for _ in 0..rng.between(1, 6) {
                input.extend_from_slice(words[rng.below(words.len())].as_bytes());
            }
            let n = rng.piece(input.len());
            let _ = server.receive(&input[..n]);
            assert!(server.window() <= limits.link.input);
            if rng.one_in(20) {
                store.borrow_mut().expunge("INBOX", &[rng.between(1, 5) as u32].into_iter().collect());
            }
            if rng.one_in(20) {
                store.borrow_mut().deliver("INBOX", "y", Flags::EMPTY, DateTime::from_unix(0).unwrap());
            }
            if rng.one_in(10) {
                application.sync(&mut server);
            }
            while let Step::Event(event) = server.poll(now) {
                assert_eq!(closed, 0, "Closed is the last event");
                if rng.one_in(10) {
                    let is_end = matches!(event, Event::Closed(_));
                    server.decline(event);
                    closed += usize::from(is_end);
                } else if let Some(Event::Closed(_)) = application.handle(&mut server, event) {
                    closed += 1;
                }
            }
            application.progress(&mut server);
            let n = rng.piece(server.output().len());
            out.extend_from_slice(&server.output()[..n]);
            server.sent(n);
            if rng.one_in(100) {
                now = now.plus(std::time::Duration::from_secs(61));
            }
        }
        // The last line may have been taken in part.
        let whole = String::from_utf8_lossy(out.strip_suffix(b"\r").unwrap_or(&out));
        assert!(!whole.replace("\r\n", "").contains(['\r', '\n']), "{whole:?}");
    }
}

/// Somebody who watches sees no password.
#[test]
fn passwords_are_masked() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<String>>);
    impl Tap for Lines {
        fn line(&mut self, direction: Direction, line: &[u8], _: bool) {
            let mut lines = self.0.lock().unwrap();
            lines.push_str(&format!("{direction:?} {}\n", String::from_utf8_lossy(line)));
        }
        fn octets(&mut self, _: Direction, _: u64) {}
    }
    let lines = Lines::default();
    let store = Mailboxes::new();
    let mut client = Client {
        server: Server::new(Arc::new(config()), 1),
        application: Application::new(store),
        wire: vec![],
        framer: Framer::responses(FrameLimits::RESPONSES),
        uids: vec![],
        flags: vec![],
        tag: 0,
        numbers_are_fixed: false,
        now: Instant::ORIGIN,
    };
    client.server.set_tap(Some(Box::new(lines.clone())));
    client.say("a login alice wunderland\r\n");
    client.say("b LOGIN {5+}\r\nalice {10+}\r\nwunderland\r\n");
    client.say("c AUTHENTICATE PLAIN d3VuZGVybGFuZA==\r\n");
    client.say("d AUTHENTICATE LOGIN\r\nd3VuZGVybGFuZA==\r\nd3VuZGVybGFuZA==\r\n");
    let lines = lines.0.lock().unwrap();
    assert!(lines.contains("In a login ***\n") && lines.contains("In c AUTHENTICATE ***\n"), "{lines}");
    assert!(!lines.contains("wunderland") && !lines.contains("d3Vu"), "{lines}");
}
