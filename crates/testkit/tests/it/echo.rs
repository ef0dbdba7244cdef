//! A small session to try the kit on: says each line back, if the application agrees.

use postrider_core::*;
use postrider_testkit::talk::Role;
use postrider_testkit::{Adapter, Settings, Shown, Trouble, closed};
use std::collections::VecDeque;
use std::time::Duration;

pub(crate) enum Agree {}

impl Question for Agree {
    type Yes = ();
    type No = ();
}

pub(crate) enum Event {
    Line(Vec<u8>, Pending<Agree>),
    Rest(bytes::Bytes),
    Closed(Closed),
}

pub(crate) struct Echo {
    link: Link,
    timer: Timer,
    open: Option<(u64, Vec<u8>)>,
    events: VecDeque<Event>,
    /// A fault to be found by the kit: lines are only seen if they came in one piece.
    pub(crate) cut_fault: bool,
    raw: bool,
}

impl Echo {
    pub(crate) fn new(greeting: &str) -> Self {
        let mut link = Link::new(1, LinkLimits::default());
        link.put(greeting.as_bytes());
        link.end_line();
        let mut timer = Timer::OFF;
        timer.arm(Duration::from_secs(60));
        Self { link, timer, open: None, events: VecDeque::new(), cut_fault: false, raw: false }
    }

    pub(crate) fn agree(&mut self, pending: Pending<Agree>, yes: bool) -> Result<(), Stale> {
        let number = self.link.redeem(&pending)?;
        let Some((_, line)) = self.open.take_if(|(open, _)| *open == number) else { return Err(Stale) };
        self.link.put(if yes { &line } else { b"no" });
        self.link.end_line();
        Ok(())
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.link.put(line.as_bytes());
        self.link.end_line();
    }

    fn close(&mut self, why: Closed) {
        self.link.close(&why);
        self.events.push_back(Event::Closed(why));
    }
}

impl Machine for Echo {
    type Event = Event;

    fn poll(&mut self, now: Instant) -> Step<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Step::Event(event);
            }
            if self.link.is_closed() {
                return Step::Idle { deadline: self.link.poll_closed(now) };
            }
            if let Some(failed) = self.link.take_tls_failure() {
                self.close(Closed::Tls(failed));
                continue;
            }
            if self.timer.tick(now) {
                self.link.put(b"bye");
                self.link.end_line();
                self.close(Closed::TimedOut);
                continue;
            }
            if self.raw && !self.link.input().is_empty() {
                let rest = self.link.take(self.link.input().len());
                self.events.push_back(Event::Rest(rest));
                continue;
            }
            if self.open.is_none() && !self.link.is_gated() {
                if self.cut_fault && !self.link.input().ends_with(b"\n") {
                    let n = self.link.input().len();
                    self.link.advance(n);
                }
                if let Framed::Line(line) = self.link.line(100) {
                    match &line.octets[..] {
                        b"tls" => match self.link.begin_tls() {
                            Ok(()) => {}
                            Err(error) => self.close(Closed::Protocol(error)),
                        },
                        b"raw" => self.raw = true,
                        b"bye" => {
                            self.say("bye");
                            self.close(Closed::ByPeer);
                        }
                        _ => {
                            let (pending, number) = self.link.ask();
                            self.open = Some((number, line.octets.to_vec()));
                            self.events.push_back(Event::Line(line.octets.to_vec(), pending));
                        }
                    }
                    continue;
                }
            }
            if self.link.is_eof() && self.open.is_none() {
                self.close(Closed::Eof);
                continue;
            }
            return Step::Idle { deadline: self.timer.deadline() };
        }
    }
}

session_over_link!(Echo, link, events);

pub(crate) struct EchoAdapter;

impl Adapter for EchoAdapter {
    type Session = Echo;
    type Question = Pending<Agree>;
    const ROLE: Role = Role::Server;

    fn start(settings: &mut Settings) -> Result<(Self, Echo), String> {
        let mut echo = Echo::new(&settings.text("greeting").unwrap_or("hello".to_owned()));
        echo.cut_fault = settings.flag("cut-fault");
        Ok((Self, echo))
    }

    fn show(&mut self, _: &mut Echo, event: Event) -> Shown<Pending<Agree>> {
        match event {
            Event::Line(line, pending) => Shown::Question(format!("line {}", line.escape_ascii()), pending),
            Event::Rest(octets) => Shown::Octets("raw", octets),
            Event::Closed(why) => Shown::Event(closed(&why)),
        }
    }

    fn answer(&mut self, echo: &mut Echo, pending: Pending<Agree>, answer: &str) -> Result<(), Trouble> {
        match answer {
            "yes" | "no" => Ok(echo.agree(pending, answer == "yes")?),
            other => Err(Trouble::Talk(format!("{other:?} is not an answer"))),
        }
    }

    fn act(&mut self, echo: &mut Echo, what: &str) -> Result<(), Trouble> {
        match what.split_once(' ') {
            Some(("say", line)) => {
                echo.say(line);
                Ok(())
            }
            Some(_) | None => Err(Misuse::new("nobody can do that").into()),
        }
    }
}
