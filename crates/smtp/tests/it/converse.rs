//! A server session fed octets, with an application that says yes to everything.

use postrider_core::{Closed, Instant, Machine, Session, Step};
use postrider_sasl::Identity;
use postrider_smtp::Server;
use postrider_smtp::server::{Config, Event};
use std::sync::Arc;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Heard {
    /// All that the server said, without its greeting.
    pub(crate) said: String,
    /// The messages it took.
    pub(crate) taken: Vec<Vec<u8>>,
    /// The senders it was told of, one for each MAIL.
    pub(crate) senders: Vec<String>,
    /// How often it was told to forget.
    pub(crate) resets: usize,
    /// How it ended, if it did.
    pub(crate) closed: Option<Closed>,
    /// The most octets of output that ever waited.
    pub(crate) most_output: usize,
}

impl Heard {
    /// The codes of all final reply lines.
    pub(crate) fn codes(&self) -> Vec<u16> {
        let last = |line: &&str| line.as_bytes().get(3) != Some(&b'-');
        self.said.lines().filter(last).map(|line| line[..3].parse().expect("a reply code")).collect()
    }
}

/// Gives `input` in pieces of the sizes that `piece` says, reading the output at once. Ends with the client's EOF.
pub(crate) fn converse(config: Config, input: &[u8], mut piece: impl FnMut() -> usize) -> Heard {
    let mut server = Server::new(Arc::new(config), 1);
    let mut heard = Heard::default();
    let mut message = vec![];
    let (mut said, mut fed, mut now) = (vec![], 0, Instant::ORIGIN);
    let mut told = false;
    loop {
        let deadline = loop {
            match server.poll(now) {
                Step::Event(event) => on(&mut server, event, &mut heard, &mut message),
                Step::Idle { deadline } => break deadline,
            }
        };
        heard.most_output = heard.most_output.max(server.output().len());
        let mut moved = false;
        while !server.output().is_empty() {
            let n = server.output().len();
            said.extend_from_slice(server.output());
            server.sent(n);
            moved = true;
        }
        if server.is_finished() {
            break;
        }
        let room = server.window().min(input.len() - fed).min(piece().max(1));
        if room > 0 {
            let taken = server.receive(&input[fed..fed + room]);
            assert_eq!(taken, room, "what the window promised");
            fed += room;
        } else if !moved && fed == input.len() && !told {
            server.receive_eof();
            told = true;
        } else if !moved {
            // Only time can help: delays after errors.
            now = deadline.expect("a session that waits has a deadline");
        }
    }
    let said = String::from_utf8(said).expect("ASCII");
    heard.said = said.split_once("\r\n").expect("a greeting").1.to_owned();
    heard
}

/// The same, whole.
pub(crate) fn whole(config: Config, input: &[u8]) -> Heard {
    converse(config, input, || usize::MAX)
}

/// The same, whole and byte by byte, which must not differ.
pub(crate) fn both(config: &Config, input: &[u8]) -> Heard {
    let heard = whole(config.clone(), input);
    let bytes = converse(config.clone(), input, || 1);
    assert_eq!((&heard.said, &heard.taken), (&bytes.said, &bytes.taken), "whole against byte by byte");
    heard
}

fn on(server: &mut Server, event: Event, heard: &mut Heard, message: &mut Vec<u8>) {
    match event {
        Event::Mail { answer, from, .. } => {
            heard.senders.push(from.as_str().to_owned());
            server.accept(answer).expect("just asked");
        }
        Event::Rcpt { answer, .. } => server.accept(answer).expect("just asked"),
        Event::Data { answer } => server.accept(answer).expect("just asked"),
        Event::Auth { answer, .. } => server.answer(answer, Ok(Identity::new("a"))).expect("just asked"),
        Event::Body(octets) => message.extend_from_slice(&octets),
        Event::Message { answer, size } => {
            assert_eq!(size, message.len() as u64, "the size is that of what was reported");
            heard.taken.push(std::mem::take(message));
            server.accept(answer).expect("just asked");
        }
        Event::Reset => {
            message.clear();
            heard.resets += 1;
        }
        Event::Closed(why) => heard.closed = Some(why),
        other => server.decline(other),
    }
}
