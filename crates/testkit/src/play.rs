//! Plays transcripts against sessions.

use crate::talk::{Role, Step as TalkStep, Talk};
use crate::{Rng, Settings, escape, unescape};
use bytes::Bytes;
use postrider_core::{Closed, Instant, Machine, Misuse, Session, Stale, Step, TlsFailed, TlsInfo};
use std::collections::VecDeque;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a protocol's tests say about their session, so that transcripts can be played against it.
pub trait Adapter: Sized {
    /// The session under test.
    type Session: Session;
    /// Its questions: usually an enum of `Pending`s.
    type Question;
    /// Which end it is.
    const ROLE: Role;

    /// Makes the session that the configuration line describes. Keys that are not read are errors.
    ///
    /// # Errors
    /// A sentence about what is wrong with the configuration.
    fn start(settings: &mut Settings) -> Result<(Self, Self::Session), String>;

    /// Shows an event as the transcript writes it.
    fn show(&mut self, session: &mut Self::Session, event: <Self::Session as Machine>::Event) -> Shown<Self::Question>;

    /// Answers a question as the transcript says. Data that the session does not take at once is for
    /// [`Adapter::progress`].
    ///
    /// # Errors
    /// [`Trouble`].
    fn answer(&mut self, session: &mut Self::Session, question: Self::Question, answer: &str) -> Result<(), Trouble>;

    /// Does what a `>` line says.
    ///
    /// # Errors
    /// [`Trouble`].
    fn act(&mut self, session: &mut Self::Session, what: &str) -> Result<(), Trouble> {
        let _ = session;
        Err(Trouble::Talk(format!("`> {what}` is not known")))
    }

    /// Called whenever output has been taken: offers the session the data it had no room for.
    fn progress(&mut self, session: &mut Self::Session) {
        let _ = session;
    }
}

/// An event, as the transcript writes it.
#[derive(Debug)]
pub enum Shown<Q> {
    /// `! text`
    Event(String),
    /// As many `! text` as there are: what an event reports at once that other cuts of the wire give to several.
    Events(Vec<String>),
    /// `? text = ...`
    Question(String, Q),
    /// Octets of something streamed: `! label octets`. Cut as the wire was, so it is compared joined together.
    Octets(&'static str, Bytes),
    /// Not worth writing down.
    Nothing,
}

/// Why an answer or an action did not work out.
#[derive(Debug)]
pub enum Trouble {
    /// The transcript is wrong.
    Talk(String),
    /// The session said no; becomes the event `! misuse SENTENCE` or `! stale`.
    Session(String),
}

impl From<Stale> for Trouble {
    fn from(_: Stale) -> Self {
        Self::Session("stale".to_owned())
    }
}

impl From<Misuse> for Trouble {
    fn from(misuse: Misuse) -> Self {
        Self::Session(format!("misuse {misuse}"))
    }
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Talk(why)
    }
}

impl From<&str> for Trouble {
    fn from(why: &str) -> Self {
        Self::Talk(why.to_owned())
    }
}

/// How the last event of any session is written.
pub fn closed(why: &Closed) -> String {
    match why {
        Closed::ByPeer => "closed by-peer".to_owned(),
        Closed::ByUs => "closed by-us".to_owned(),
        Closed::TimedOut => "closed timed-out".to_owned(),
        Closed::Eof => "closed eof".to_owned(),
        Closed::Tls(why) => format!("closed tls: {why}"),
        Closed::Protocol(error) => format!("closed protocol: {error}"),
        other => format!("closed {other}"),
    }
}

/// Makes a test that plays every transcript in a directory of the crate (and below) against an [`Adapter`].
///
/// Files without a configuration line for the adapter's role are left out.
#[macro_export]
macro_rules! talks {
    ($test:ident, $directory:literal, $adapter:ty) => {
        #[test]
        fn $test() {
            $crate::play_directory::<$adapter>(concat!(env!("CARGO_MANIFEST_DIR"), "/", $directory));
        }
    };
}

/// Plays every `*.talk` in `directory` and below that is for the adapter's role.
///
/// # Panics
/// With all failures, file by file, if there are any; or if there was nothing to play.
pub fn play_directory<A: Adapter>(directory: impl AsRef<Path>) {
    let mut files = vec![];
    find(directory.as_ref(), &mut files);
    files.sort();
    let only = std::env::var("TALK").ok();
    let update = std::env::var_os("UPDATE_TALKS").is_some();
    let (mut played, mut failures) = (0, vec![]);
    for file in files {
        let name = file.strip_prefix(directory.as_ref()).unwrap_or(&file).display().to_string();
        if only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let mut text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{name} cannot be read: {e}"));
        // What both roles agree on is for a person to write.
        let alone = |talk: Talk| talk.is_for(Role::Server) != talk.is_for(Role::Client) && talk.is_for(A::ROLE);
        if update && Talk::parse(&text).is_ok_and(alone) {
            match rewrite::<A>(&text) {
                Ok(new) if new == text => {}
                Ok(new) => {
                    std::fs::write(&file, &new).unwrap_or_else(|e| panic!("{name} cannot be written: {e}"));
                    eprintln!("{name} was rewritten");
                    text = new;
                }
                Err(why) => failures.push(format!("── {name}, not rewritten ──\n{why}")),
            }
        }
        match play::<A>(&text) {
            Ok(Played::NotForThisRole) => continue,
            Ok(Played::AsWritten) => {}
            Err(why) => failures.push(format!("── {name} ──\n{why}")),
        }
        played += 1;
    }
    assert!(failures.is_empty(), "{} of {played} talks failed\n\n{}", failures.len(), failures.join("\n"));
    assert!(played > 0 || only.is_some(), "there are no talks for {:?} in {}", A::ROLE, directory.as_ref().display());
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{} cannot be listed: {e}", directory.display()));
    for entry in entries {
        let path = entry.expect("a directory that could be opened can be read").path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "talk") {
            files.push(path);
        }
    }
}

/// How a transcript went that did not fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Played {
    /// It has no configuration line for the adapter's role.
    NotForThisRole,
    /// As written, however it was cut.
    AsWritten,
}

/// Plays what drives the session, and gives the transcript with what it really said and reported. Questions that are
/// not written are answered `yes`.
///
/// # Errors
/// If the transcript cannot be read, or what drives the session is not possible.
pub fn rewrite<A: Adapter>(text: &str) -> Result<String, String> {
    Run::<A>::new(&Talk::parse(text)?, Cut::Whole)?.rewrite()
}

/// Plays one transcript: whole, byte by byte, and with eight ways to cut it drawn from seeds.
///
/// # Errors
/// What was expected and what came instead, with the line of the transcript.
pub fn play<A: Adapter>(text: &str) -> Result<Played, String> {
    let talk = Talk::parse(text)?;
    if !talk.is_for(A::ROLE) {
        return Ok(Played::NotForThisRole);
    }
    let cuts: &[Cut] = if talk.is_whole() { &[Cut::Whole] } else { &Cut::ALL };
    for &cut in cuts {
        Run::<A>::new(&talk, cut)?.play()?;
    }
    Ok(Played::AsWritten)
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Bytes,
    Seed(u64),
}

impl Cut {
    const ALL: [Cut; 10] = [
        Cut::Whole,
        Cut::Bytes,
        Cut::Seed(1),
        Cut::Seed(2),
        Cut::Seed(3),
        Cut::Seed(4),
        Cut::Seed(5),
        Cut::Seed(6),
        Cut::Seed(7),
        Cut::Seed(8),
    ];
}

/// Steps and events of a run that is certainly going round in circles.
const RUNAWAY: usize = 1_000_000;

/// What the session has produced and the transcript has not come to.
enum Seen {
    Text(String),
    Octets(&'static str, Vec<u8>),
}

struct Run<'t, A: Adapter> {
    talk: &'t Talk,
    cut: Cut,
    rng: Rng,
    adapter: A,
    session: A::Session,
    now: Instant,
    deadline: Option<Instant>,
    unfed: VecDeque<u8>,
    eof_due: bool,
    out: Vec<u8>,
    seen: VecDeque<Seen>,
    asked: Vec<(String, A::Question)>,
    closed: bool,
}

impl<'t, A: Adapter> Run<'t, A> {
    fn new(talk: &'t Talk, cut: Cut) -> Result<Self, String> {
        let mut settings = Settings::default();
        for line in &talk.lines {
            if let TalkStep::Setting(role, text) = &line.step
                && *role == A::ROLE
            {
                settings.add(text).map_err(|why| format!("line {}: {why}", line.number))?;
            }
        }
        let (adapter, session) = A::start(&mut settings)?;
        if let Some(key) = settings.left().next() {
            return Err(format!("the configuration key {key:?} is not known"));
        }
        let seed = if let Cut::Seed(seed) = cut { seed } else { 0 };
        Ok(Self {
            talk,
            cut,
            rng: Rng::new(seed),
            adapter,
            session,
            now: Instant::ORIGIN,
            deadline: None,
            unfed: VecDeque::new(),
            eof_due: false,
            out: vec![],
            seen: VecDeque::new(),
            asked: vec![],
            closed: false,
        })
    }

    // ── comparing ──

    fn play(mut self) -> Result<(), String> {
        let talk = self.talk;
        for (index, line) in talk.lines.iter().enumerate() {
            self.step(index).map_err(|why| self.complain(line.number, &why))?;
        }
        let last = talk.lines.last().map_or(0, |line| line.number);
        self.end().map_err(|why| self.complain(last, &why))
    }

    fn step(&mut self, index: usize) -> Result<(), String> {
        let step = &self.talk.lines[index].step;
        match step {
            TalkStep::Nothing | TalkStep::Setting(..) | TalkStep::Whole => Ok(()),
            TalkStep::Wire(role, octets) if *role == A::ROLE => {
                self.pump()?;
                if !self.out.starts_with(octets) {
                    return Err("these octets did not come".to_owned());
                }
                self.out.drain(..octets.len());
                Ok(())
            }
            TalkStep::Wire(_, octets) => {
                // Consecutive input goes in together.
                if !self.continues_input(index) {
                    self.nothing_left()?;
                }
                self.unfed.extend(octets);
                if self.talk.lines.get(index + 1).is_none() || !self.continues_input(index + 1) {
                    self.pump()?;
                }
                Ok(())
            }
            TalkStep::Event { of, text } => {
                if !ours::<A>(*of) {
                    return Ok(());
                }
                self.pump()?;
                self.expect_event(text)
            }
            TalkStep::Question { of, text, answer } => {
                if !ours::<A>(*of) {
                    return Ok(());
                }
                self.nothing_left()?;
                let Some(at) = self.asked.iter().position(|(asked, _)| asked.trim() == text) else {
                    return Err("this was not asked".to_owned());
                };
                if answer != "-" {
                    let (_, question) = self.asked.remove(at);
                    self.answer(question, answer)?;
                }
                Ok(())
            }
            TalkStep::Act { .. } | TalkStep::Wait(_) | TalkStep::Tls(_) | TalkStep::Eof => {
                self.nothing_left()?;
                self.drive(step)
            }
        }
    }

    fn expect_event(&mut self, text: &str) -> Result<(), String> {
        match self.seen.front_mut() {
            Some(Seen::Text(seen)) if seen == text => {
                self.seen.pop_front();
                Ok(())
            }
            Some(Seen::Octets(label, octets)) => {
                let (expected_label, rest) = text.split_once(' ').unwrap_or((text, ""));
                let expected = unescape(rest)?;
                if expected_label != *label || !octets.starts_with(&expected) {
                    return Err("this was not reported".to_owned());
                }
                octets.drain(..expected.len());
                if octets.is_empty() {
                    self.seen.pop_front();
                }
                Ok(())
            }
            Some(Seen::Text(_)) | None => Err("this was not reported".to_owned()),
        }
    }

    /// Whether line `index` is input and so was the last step before it.
    fn continues_input(&self, index: usize) -> bool {
        let is_input = |step: &TalkStep| matches!(step, TalkStep::Wire(role, _) if *role != A::ROLE);
        let before = self.talk.lines[..index].iter().rev().find(|line| line.step != TalkStep::Nothing);
        is_input(&self.talk.lines[index].step) && before.is_some_and(|line| is_input(&line.step))
    }

    /// Everything that came so far must have been expected.
    fn nothing_left(&mut self) -> Result<(), String> {
        self.pump()?;
        if self.out.is_empty() && self.seen.is_empty() {
            return Ok(());
        }
        Err("before this, something came that is not written".to_owned())
    }

    fn end(&mut self) -> Result<(), String> {
        self.nothing_left().map_err(|_| "after the last step, something came that is not written".to_owned())?;
        if self.closed {
            if !self.session.is_finished() {
                return Err("the session reported its end but does not let go of the connection".to_owned());
            }
            return Ok(());
        }
        if !self.unfed.is_empty() {
            return Err(format!("the session did not take the last {} octets of its input", self.unfed.len()));
        }
        let open = |text: &String| {
            self.talk
                .lines
                .iter()
                .any(|line| matches!(&line.step, TalkStep::Question { text: t, .. } if t == text.trim()))
        };
        match self.asked.iter().find(|(text, _)| !open(text)) {
            Some((text, _)) => Err(format!("`? {text}` was asked and is not written")),
            None => Ok(()),
        }
    }

    // ── driving ──

    fn drive(&mut self, step: &TalkStep) -> Result<(), String> {
        match step {
            TalkStep::Act { of, text } => {
                if ours::<A>(*of) {
                    let done = self.adapter.act(&mut self.session, text);
                    self.trouble(done)?;
                }
            }
            TalkStep::Wait(wait) => return self.wait(*wait),
            TalkStep::Tls(how) => {
                let pending = self.session.upgrade().ok_or("the session does not want TLS now")?;
                let mut info = TlsInfo::default();
                info.version = "TLSv1.3".into();
                info.cipher = "TLS_AES_128_GCM_SHA256".into();
                info.verified = A::ROLE == Role::Client;
                let result = how.clone().map(|()| info).map_err(TlsFailed::from);
                self.session.tls(pending, result).map_err(|_| "the session asked for TLS and refuses the answer")?;
            }
            TalkStep::Eof => self.eof_due = true,
            TalkStep::Nothing
            | TalkStep::Setting(..)
            | TalkStep::Whole
            | TalkStep::Wire(..)
            | TalkStep::Question { .. }
            | TalkStep::Event { .. } => unreachable!("only steps that drive come here"),
        }
        self.pump()
    }

    /// Lets time pass as a driver would: by waking at each deadline.
    fn wait(&mut self, wait: Duration) -> Result<(), String> {
        let end = self.now.plus(wait);
        for _ in 0..RUNAWAY {
            self.pump()?;
            match self.deadline {
                Some(deadline) if deadline <= end => self.now = deadline,
                Some(_) | None => {
                    self.now = end;
                    return self.pump();
                }
            }
        }
        Err("the session sets one deadline after the other".to_owned())
    }

    fn answer(&mut self, question: A::Question, answer: &str) -> Result<(), String> {
        let done = self.adapter.answer(&mut self.session, question, answer);
        self.trouble(done)?;
        self.pump()
    }

    fn trouble(&mut self, result: Result<(), Trouble>) -> Result<(), String> {
        match result {
            Ok(()) => Ok(()),
            Err(Trouble::Talk(why)) => Err(why),
            Err(Trouble::Session(text)) => {
                self.seen.push_back(Seen::Text(text));
                Ok(())
            }
        }
    }

    /// Moves octets and events until nothing more happens.
    fn pump(&mut self) -> Result<(), String> {
        for _ in 0..RUNAWAY {
            let mut moved = self.poll()?;
            self.adapter.progress(&mut self.session);
            while !self.session.output().is_empty() {
                let waiting = self.session.output();
                let n = if let Cut::Seed(_) = self.cut { self.rng.piece(waiting.len()) } else { waiting.len() };
                self.out.extend_from_slice(&waiting[..n]);
                self.session.sent(n);
                moved = true;
            }
            let room = self.session.window().min(self.unfed.len());
            if room > 0 {
                let n = match self.cut {
                    Cut::Whole => room,
                    Cut::Bytes => 1,
                    Cut::Seed(_) => self.rng.piece(room),
                };
                let piece: Vec<u8> = self.unfed.drain(..n).collect();
                let taken = self.session.receive(&piece);
                if taken != n {
                    return Err(format!("the window is {room}, but of {n} octets the session took {taken}"));
                }
                moved = true;
            } else if self.eof_due && (self.unfed.is_empty() || self.closed) {
                self.eof_due = false;
                self.session.receive_eof();
                moved = true;
            }
            if !moved {
                return Ok(());
            }
        }
        Err("the session never falls idle".to_owned())
    }

    fn poll(&mut self) -> Result<bool, String> {
        for events in 0..RUNAWAY {
            match self.session.poll(self.now) {
                Step::Event(_) if self.closed => return Err("an event came after the last one".to_owned()),
                Step::Event(event) => match self.adapter.show(&mut self.session, event) {
                    Shown::Event(text) => {
                        self.closed |= text.starts_with("closed");
                        self.seen.push_back(Seen::Text(text));
                    }
                    Shown::Events(texts) => self.seen.extend(texts.into_iter().map(Seen::Text)),
                    Shown::Question(text, question) => self.asked.push((text, question)),
                    Shown::Octets(label, octets) => match self.seen.back_mut() {
                        _ if octets.is_empty() => {}
                        Some(Seen::Octets(last, so_far)) if *last == label => so_far.extend_from_slice(&octets),
                        Some(_) | None => self.seen.push_back(Seen::Octets(label, octets.to_vec())),
                    },
                    Shown::Nothing => {}
                },
                Step::Idle { deadline } => {
                    if deadline.is_some_and(|deadline| deadline <= self.now) {
                        return Err("the session is idle until a time that has passed: a driver would spin".to_owned());
                    }
                    self.deadline = deadline;
                    return Ok(events > 0);
                }
            }
        }
        Err("the session never falls idle".to_owned())
    }

    // ── telling ──

    fn complain(&self, number: usize, why: &str) -> String {
        let mut text = String::new();
        let how = match self.cut {
            Cut::Whole => "whole".to_owned(),
            Cut::Bytes => "byte by byte".to_owned(),
            Cut::Seed(seed) => format!("cut by seed {seed}"),
        };
        let _ = writeln!(text, "line {number} ({:?}, played {how}, {:?}): {why}", A::ROLE, self.now.elapsed());
        for line in &self.talk.lines[number.saturating_sub(5)..number] {
            let mark = if line.number == number { "->" } else { "  " };
            let _ = writeln!(text, "  {mark} {:3} {}", line.number, line.raw);
        }
        let waiting = self.waiting();
        if waiting.is_empty() {
            let _ = writeln!(text, "     instead, nothing came");
        } else {
            let _ = writeln!(text, "     instead:");
        }
        for line in waiting {
            let _ = writeln!(text, "   +     {line}");
        }
        if let Some(rest) = self.unfed.len().checked_sub(1) {
            let _ = writeln!(text, "     {} octets of input are not taken", rest + 1);
        }
        text
    }

    /// What came and was not expected yet, as it would be written.
    fn waiting(&self) -> Vec<String> {
        let (mut lines, mut last) = (vec![], None);
        for seen in &self.seen {
            match seen {
                Seen::Text(text) if text.starts_with("closed") => last = Some(format!("! {text}")),
                Seen::Text(text) => lines.push(format!("! {text}")),
                Seen::Octets(label, octets) => {
                    lines.extend(octets.split_inclusive(|&o| o == b'\n').map(|o| format!("! {label} {}", escape(o))));
                }
            }
        }
        let who = if A::ROLE == Role::Server { 'S' } else { 'C' };
        for line in self.out.split_inclusive(|&o| o == b'\n') {
            let text = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok());
            match text {
                Some(text) if !text.chars().any(char::is_control) => lines.push(format!("{who}: {text}")),
                Some(_) | None => lines.push(format!("{who}< {}", escape(line))),
            }
        }
        lines.extend(last);
        lines.extend(self.asked.iter().map(|(text, _)| format!("? {text} = -")));
        lines
    }

    // ── rewriting ──

    /// Plays what drives the session, and writes down what it says.
    fn rewrite(mut self) -> Result<String, String> {
        let talk = self.talk;
        let mut text = String::new();
        for (index, line) in talk.lines.iter().enumerate() {
            let complain = |run: &Self, why: String| run.complain(line.number, &why);
            match &line.step {
                TalkStep::Nothing | TalkStep::Setting(..) | TalkStep::Whole => {}
                TalkStep::Wire(role, _) if *role == A::ROLE => continue,
                TalkStep::Event { of, .. } if ours::<A>(*of) => continue,
                TalkStep::Event { .. } => {}
                TalkStep::Wire(_, octets) => {
                    if !self.continues_input(index) {
                        self.write_down(index, &mut text).map_err(|why| complain(&self, why))?;
                    }
                    self.unfed.extend(octets);
                }
                TalkStep::Question { of, text: asked, answer } if ours::<A>(*of) => {
                    self.write_down(index, &mut text).map_err(|why| complain(&self, why))?;
                    let Some(at) = self.asked.iter().position(|(text, _)| text.trim() == asked) else { continue };
                    if answer != "-" {
                        let (_, question) = self.asked.remove(at);
                        self.answer(question, answer).map_err(|why| complain(&self, why))?;
                    }
                }
                TalkStep::Question { .. } => {}
                step @ (TalkStep::Act { .. } | TalkStep::Wait(_) | TalkStep::Tls(_) | TalkStep::Eof) => {
                    self.write_down(index, &mut text).map_err(|why| complain(&self, why))?;
                    self.drive(step).map_err(|why| complain(&self, why))?;
                }
            }
            let _ = writeln!(text, "{}", line.raw);
        }
        self.write_down(talk.lines.len(), &mut text)?;
        Ok(text)
    }

    /// Writes what came; answers `yes` to questions that the rest of the transcript does not mention.
    fn write_down(&mut self, index: usize, text: &mut String) -> Result<(), String> {
        for _ in 0..RUNAWAY {
            self.pump()?;
            let asked = std::mem::take(&mut self.asked);
            for line in self.waiting() {
                let _ = writeln!(text, "{line}");
            }
            self.seen.clear();
            self.out.clear();
            self.asked = asked;
            // Further down, or left open before.
            let mentioned = |asked: &String| {
                let lines = self.talk.lines.iter().enumerate();
                lines.into_iter().any(|(at, line)| match &line.step {
                    TalkStep::Question { text, answer, .. } => text == asked.trim() && (at >= index || answer == "-"),
                    _ => false,
                })
            };
            let Some(at) = self.asked.iter().position(|(asked, _)| !mentioned(asked)).filter(|_| !self.closed) else {
                return Ok(());
            };
            let (asked, question) = self.asked.remove(at);
            let _ = writeln!(text, "? {asked} = yes");
            self.answer(question, "yes")?;
        }
        Err("the session never stops asking".to_owned())
    }
}

fn ours<A: Adapter>(of: Option<Role>) -> bool {
    of.is_none_or(|of| of == A::ROLE)
}
