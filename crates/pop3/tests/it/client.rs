//! Transcripts against the client.

use postrider_core::{Closed, Instant, Machine, ProtocolError, Secret, Session, Step};
use postrider_pop3::client::{Client, CommandId, Config, Event, Quirks};
use postrider_pop3::{LanguageRange, Refusal};
use postrider_sasl::{Login, Mechanism, Plain, XOAuth2};
use postrider_testkit::talk::Role;
use postrider_testkit::{Adapter, Settings, Shown, Trouble, closed};
use std::collections::BTreeMap;
use std::sync::Arc;

postrider_testkit::talks!(talks, "tests/talks", ClientAdapter);

/// Commands are known by what was called.
#[derive(Default)]
struct ClientAdapter(BTreeMap<CommandId, String>);

impl Adapter for ClientAdapter {
    type Session = Client;
    type Question = std::convert::Infallible;
    const ROLE: Role = Role::Client;

    fn start(settings: &mut Settings) -> Result<(Self, Client), String> {
        let mut config = Config::default();
        config.implicit_tls = settings.flag("tls");
        config.dangerous_plaintext_login = settings.flag("plaintext-login");
        if settings.flag("strict") {
            config.quirks = Quirks::NONE;
        }
        config.quirks.auth_in_two_steps = settings.flag("auth-in-two-steps");
        config.dangerous_apop = settings.flag("apop");
        config.capabilities = !settings.flag("no-capa");
        let limits = &mut config.limits;
        limits.line = settings.number("line")?.unwrap_or(limits.line);
        limits.listing = settings.number("listing")?.unwrap_or(limits.listing);
        limits.capabilities = settings.number("capabilities")?.unwrap_or(limits.capabilities);
        limits.pipeline = settings.number("pipeline")?.unwrap_or(limits.pipeline);
        limits.queue = settings.number("queue")?.unwrap_or(limits.queue);
        limits.challenges = settings.number("challenges")?.unwrap_or(limits.challenges);
        Ok((Self::default(), Client::new(Arc::new(config), 1)))
    }

    fn show(&mut self, client: &mut Client, event: <Client as Machine>::Event) -> Shown<Self::Question> {
        let name = |of: &CommandId| self.0[of].clone();
        Shown::Event(match event {
            Event::Ready => match client.capabilities() {
                None => "ready".to_owned(),
                Some(offered) => {
                    let mut names = vec![];
                    offered.lines(|parts| names.push(parts.concat()));
                    format!("ready [{}]", names.join(", "))
                }
            },
            Event::Status { of, messages, size } => format!("{}: {messages} messages, {size} octets", name(&of)),
            Event::Listing { of, sizes } => {
                let shown = |(message, size)| format!("{}: {message} has {size} octets", name(&of));
                return Shown::Events(sizes.into_iter().map(shown).collect());
            }
            Event::UniqueIds { of, ids } => {
                let shown = |(message, id)| match id {
                    Some(id) => format!("{}: {message} is {id}", name(&of)),
                    None => format!("{}: {message} has no id", name(&of)),
                };
                return Shown::Events(ids.iter().map(shown).collect());
            }
            Event::Language { of, tag, name: called } => format!("{}: {tag} is {called}", name(&of)),
            Event::Body { bytes, .. } => return Shown::Octets("body", bytes),
            Event::Completed { of, result: Ok(text) } => format!("{}: yes {text}", name(&of)).trim_end().to_owned(),
            Event::Completed { of, result: Err(Refusal { code, text }) } => {
                let code = code.map_or(String::new(), |code| format!("({}) ", code.as_str()));
                format!("{}: no {code}{text}", name(&of))
            }
            Event::Dismissed(why) => format!("dismissed: {why}"),
            Event::Closed(why) => closed(&why),
            other => panic!("not known: {other:?}"),
        })
    }

    fn answer(&mut self, _: &mut Client, question: Self::Question, _: &str) -> Result<(), Trouble> {
        match question {}
    }

    fn act(&mut self, client: &mut Client, what: &str) -> Result<(), Trouble> {
        let words: Vec<&str> = what.split_whitespace().collect();
        let number = |word: &str| word.parse::<u32>().map_err(|_| format!("{word:?} is not a number"));
        let secret = |word: &str| Secret::new(word.replace("\\r", "\r"));
        let id = match words[..] {
            ["start-tls"] => client.start_tls()?,
            ["login", user, password] => client.login(&user.replace("\\r", "\r"), secret(password))?,
            ["auth", kind, user, password] => {
                let mechanism: Result<Box<dyn Mechanism>, _> = match kind {
                    "plain" => Plain::new(user, &secret(password)).map(|m| Box::new(m) as _),
                    "login" => Login::new(user, &secret(password)).map(|m| Box::new(m) as _),
                    "xoauth2" => XOAuth2::new(user, &secret(password)).map(|m| Box::new(m) as _),
                    _ => return Err(format!("{kind:?} is not a mechanism").into()),
                };
                client.authenticate(mechanism.map_err(|error| error.to_string())?)?
            }
            ["apop", user, password] => client.apop(&user.replace("\\r", "\r"), &secret(password))?,
            ["language"] => client.language(None)?,
            ["language", range] => {
                client.language(Some(LanguageRange::parse(range.as_bytes()).ok_or("a language is letters")?))?
            }
            ["utf8"] => client.utf8()?,
            ["capability"] => client.capability()?,
            ["status"] => client.status()?,
            ["list"] => client.list(None)?,
            ["list", message] => client.list(Some(number(message)?))?,
            ["ids"] => client.unique_ids(None)?,
            ["ids", message] => client.unique_ids(Some(number(message)?))?,
            ["retrieve", message] => client.retrieve(number(message)?)?,
            ["top", message, lines] => client.top(number(message)?, number(lines)?.into())?,
            ["delete", message] => client.delete(number(message)?)?,
            ["reset"] => client.reset()?,
            ["noop"] => client.noop()?,
            ["quit"] => client.quit()?,
            _ => return Err(format!("{what:?} cannot be done").into()),
        };
        let name = words.iter().take(2).copied().collect::<Vec<_>>();
        self.0.insert(
            id,
            if matches!(words[0], "login" | "auth" | "apop") { words[0].to_owned() } else { name.join(" ") },
        );
        Ok(())
    }
}

#[test]
fn of_a_status_line_of_a_gigabyte_little_is_taken() {
    let mut client = Client::new(Arc::new(Config::default()), 1);
    let octets = [b'x'; 1 << 16];
    let mut taken = client.receive(b"+OK ");
    for _ in 0..(1 << 30) / octets.len() {
        taken += client.receive(&octets);
        if let Step::Event(event) = client.poll(Instant::ORIGIN) {
            let too_long = Closed::Protocol(ProtocolError::LineTooLong { limit: 8192 });
            assert!(matches!(&event, Event::Closed(why) if *why == too_long), "{event:?}");
            assert!(taken <= 2 * octets.len(), "{taken} octets were held");
            return;
        }
    }
    panic!("the session goes on");
}

/// What a client reports of an answer to LIST or UIDL that comes in such pieces, and how its session ends.
fn listed(answer: &[u8], piece: usize, ids: bool, limits: (usize, u64)) -> (Vec<String>, Option<String>) {
    let mut config = Config::default();
    config.dangerous_plaintext_login = true;
    config.capabilities = false;
    (config.limits.line, config.limits.listing) = limits;
    let mut client = Client::new(Arc::new(config), 1);
    let (mut lines, mut end) = (vec![], None);
    let mut hear = |client: &mut Client, octets: &[u8]| {
        let _ = client.receive(octets); // Nothing is taken after the end.
        while let Step::Event(event) = client.poll(Instant::ORIGIN) {
            match event {
                Event::Listing { sizes, .. } => lines.extend(sizes.iter().map(|size| format!("{size:?}"))),
                Event::UniqueIds { ids, .. } => lines.extend(ids.iter().map(|id| format!("{id:?}"))),
                Event::Completed { result, .. } => lines.push(format!("{result:?}")),
                Event::Closed(why) => end = Some(why.to_string()),
                _ => {}
            }
        }
        client.sent(client.output().len());
    };
    hear(&mut client, b"+OK\r\n");
    client.login("ann", Secret::new("secret".into())).expect("it is ready");
    for _ in 0..2 {
        hear(&mut client, b"");
        hear(&mut client, b"+OK\r\n");
    }
    let _ = if ids { client.unique_ids(None) } else { client.list(None) }.expect("somebody has logged in");
    hear(&mut client, b"");
    for piece in answer.chunks(piece) {
        hear(&mut client, piece);
    }
    (lines, end)
}

#[test]
fn a_listing_is_the_same_however_it_was_cut() {
    let (longest, too_long) = ("x".repeat(70), "x".repeat(71));
    // What is usual, what is odd, and what is none.
    let sizes = [
        "1 2",
        "1234567 7654321",
        "12345678 1",
        "1 12345678",
        "0 0",
        "007 08",
        "1  2",
        " 1 2",
        "1\t2",
        "1 2 more",
        "1 2 ",
        ".1 2",
        "+OK 1 2",
        "4294967296 1",
        "1 18446744073709551615",
        "1 18446744073709551616",
        "1 99999999999999999999999",
        "1",
        "1 x",
        "1 2x",
        "1 -2",
        "-1 2",
        "",
        "x",
        "1 2\r",
    ];
    let ids = [
        "1 a",
        "1234567 abcdefgh",
        "12345678 abcdefgh",
        "1 abcdefg",
        "1 !~",
        "1  a",
        "1   a",
        "1 a b",
        "1\ta",
        "1",
        "1 ",
        "1 a\u{7f}",
        "1 \u{e9}bcdefghijklm",
        "1 a\u{1}bcdefghijklmnop",
        ".1 a",
        "+OK 1 a",
        "+OK 1",
        "x a",
        "",
        "-1 a",
        "99999999999 a",
        "1 abcdefgh\r",
    ];
    let ids = ids.into_iter().map(str::to_owned).chain([format!("1 {longest}"), format!("1 {too_long}")]);
    let cases = sizes.iter().map(|line| (false, (*line).to_owned())).chain(ids.map(|line| (true, line)));
    for (ids, line) in cases {
        for end in ["\r\n", "\n"] {
            for limits in [(8192, 1000), (20, 1000), (8192, 2), (5, 1000)] {
                let usual = if ids { "3 c\r\n" } else { "3 4\r\n" };
                let answer = format!("+OK\r\n{usual}{line}{end}{usual}.\r\n");
                let by_octet = listed(answer.as_bytes(), 1, ids, limits);
                for piece in (2..20).chain([answer.len()]) {
                    let by_piece = listed(answer.as_bytes(), piece, ids, limits);
                    assert_eq!(by_piece, by_octet, "{answer:?} in pieces of {piece}, {limits:?}");
                }
            }
        }
    }
}

#[test]
fn a_listing_of_any_length_is_whole() {
    for (ids, count) in [(false, 5000), (true, 5000), (false, 1024), (true, 1023)] {
        let line = |n: u32| if ids { format!("{n} id-{n}\r\n") } else { format!("{n} {}\r\n", n * 3) };
        let answer = format!("+OK\r\n{}.\r\n", (1..=count).map(line).collect::<String>());
        for piece in [1460, 16 << 10, 60 << 10] {
            let (lines, end) = listed(answer.as_bytes(), piece, ids, (8192, 5000));
            assert_eq!(end, None);
            assert_eq!(lines.len(), count as usize + 2, "and the answers to PASS and LIST");
            for (n, line) in (1..=count).zip(&lines[1..]) {
                let want = if ids { format!("({n}, Some(\"id-{n}\"))") } else { format!("({n}, {})", n * 3) };
                assert_eq!(*line, want);
            }
        }
    }
}
