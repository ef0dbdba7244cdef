//! `pop`: fetches mail into a Maildir, each message once.
//!
//! A message is deleted on the server only after it is synced to disk here, and only by a session that ends well.
//! [`Memory`](postrider_pop3::client::Memory) says which messages are new and which may go; [`Journal`] keeps it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use postrider_core::{Closed, Misuse};
use postrider_pop3::client::{Client, CommandId, Config, Event, Listed, Maildrop, Plan};
use postrider_pop3::{Refusal, ResponseCode};
use postrider_sasl::NoMechanism;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{self, Connection};
use crate::connect::{Line, Settings, reading};
use crate::fault::{Class, Fault};
use crate::journal::Journal;
use crate::login;
use crate::maildir::{Delivery, Maildir};
use crate::progress;
use crate::show::{Out, count, size};
use crate::trace::Trace;
use crate::url::Protocol;

/// Messages asked for before the first of them has come.
const AHEAD: usize = 8;

/// A message that was fetched.
#[derive(Serialize)]
struct Got<'a> {
    event: &'static str,
    id: Option<&'a str>,
    file: String,
    size: u64,
}

/// What was done.
#[derive(Serialize)]
struct Summary {
    event: &'static str,
    fetched: usize,
    known: usize,
    deleted: usize,
    failed: usize,
}

pub(crate) async fn run(connection: &Connection, pop: &cli::Pop, out: &mut Out) -> Result<(), Fault> {
    let url = reading(connection, Protocol::Pop3)?;
    let settings = Settings::new(connection, url)?;
    settings.login()?;
    let failed = |error| Fault::new(Class::Io, format!("cannot wait for signals: {error}"));
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let sentence = "interrupted: what was fetched is kept, and nothing is deleted on the server unless it said so";
    tokio::select! {
        // Whatever is not complete when it is dropped leaves nothing behind.
        done = fetch(&settings, pop, out) => done,
        _ = interrupted.recv() => Err(Fault::new(Class::Interrupted, sentence)),
        _ = terminated.recv() => Err(Fault::new(Class::Interrupted, sentence)),
    }
}

async fn fetch(settings: &Settings, pop: &cli::Pop, out: &mut Out) -> Result<(), Fault> {
    let url = &settings.url;
    // Before anything is asked of the server: is there a place for its mail?
    let mut maildir = Maildir::open(&pop.maildir)?;
    let (mut journal, memory) = Journal::open(&maildir, url)?;
    let mut session = open(settings).await?;

    let maildrop = survey(&mut session).await?;
    if pop.keep && maildrop.messages().any(|message| message.id.is_none()) {
        return Err(Fault::new(
            Class::Unavailable,
            format!(
                "{} gives messages no unique ids, so --keep would fetch them again and again: leave it out",
                url.place()
            ),
        ));
    }
    let plan = memory.plan(&maildrop);
    let known = plan.known().count();
    let mut fetch = Fetch { maildir: &mut maildir, journal: &mut journal, plan, out, fetched: 0, failed: Vec::new() };
    fetch.all(&mut session, settings.trace).await?;
    let Fetch { mut plan, fetched, failed, .. } = fetch;
    journal.sync().map_err(|error| local(&error))?;

    let safe: Vec<u32> = if pop.keep { Vec::new() } else { plan.deletable().collect() };
    let deleted = delete(&mut session, &safe).await?;
    quit(&mut session).await?;
    for message in safe {
        plan.deleted(message).expect("it was deletable");
    }
    journal.replace(maildir.root(), &plan.into_memory()).map_err(|error| {
        let sentence = format!("cannot write the list of what was fetched: {error}; the mail itself is fetched");
        Fault::new(Class::Io, sentence)
    })?;

    let summary = Summary { event: "done", fetched, known, deleted, failed: failed.len() };
    if out.is_json() {
        out.object(&summary)?;
    } else {
        let (fetched, place) = (count(summary.fetched, "message"), pop.maildir.display());
        out.line(&format!("{fetched} fetched into {place}, {} known, {deleted} deleted on the server", summary.known))?;
    }
    match failed.first() {
        None => Ok(()),
        Some((number, why)) => {
            let what = format!(
                "{} could not be fetched; of message {number} the server said: {why}",
                count(failed.len(), "message")
            );
            Err(Fault::new(Class::TryLater, what))
        }
    }
}

/// Connects, protects and logs in.
async fn open(settings: &Settings) -> Result<Line<Client>, Fault> {
    let mut config = Config::default();
    config.implicit_tls = settings.url.tls;
    config.dangerous_plaintext_login = settings.plaintext_login;
    config.limits.reply = settings.timeout;
    let trace = settings.trace;
    let mut line = Line::open(settings, |_| {
        let mut client = Client::new(Arc::new(config), 1);
        if trace {
            client.set_tap(Some(Box::new(Trace::new())));
        }
        client
    })
    .await?;
    ready(&mut line).await?;
    if settings.starttls {
        let asked = line.session().start_tls();
        let asked = given(&mut line, asked).await?;
        complete(&mut line, asked)
            .await?
            .map_err(|why| Fault::new(Class::Unavailable, format!("{} refused TLS: {why}", settings.url.place())))?;
        ready(&mut line).await?;
    }
    // Without it, messages of UTF-8 would be refused (RFC 6856, 2.1). A server that says no to it goes on as before.
    if line.session().capabilities().is_some_and(|offered| offered.utf8) {
        let asked = line.session().utf8();
        let asked = given(&mut line, asked).await?;
        let _ = complete(&mut line, asked).await?;
    }
    let (user, password) = settings.login()?;
    let offered = line.session().capabilities().map(|offered| offered.sasl.clone()).unwrap_or_default();
    let unusable = |error: &dyn std::fmt::Display| Fault::usage(format!("cannot log in: {error}"));
    let login = match login::strongest(user, &password, &offered, line.session().security()) {
        Ok(mechanism) => line.session().authenticate(mechanism),
        Err(NoMechanism::Unusable(error)) => return Err(unusable(&error)),
        Err(_) => line.session().login(user, password),
    };
    let login = given(&mut line, login).await?;
    complete(&mut line, login).await?.map_err(|why| denied(settings, user, &why))?;
    Ok(line)
}

fn denied(settings: &Settings, user: &str, why: &Refusal) -> Fault {
    let place = settings.url.place();
    match why.code {
        Some(ResponseCode::InUse) => {
            Fault::new(Class::TryLater, format!("the maildrop of {user} at {place} is in use: try again later ({why})"))
        }
        Some(ResponseCode::SysTemp | ResponseCode::LoginDelay) => {
            Fault::new(Class::TryLater, format!("{place} cannot log {user} in now: try again later ({why})"))
        }
        Some(_) | None => {
            Fault::new(Class::Denied, format!("{place} refused the login of {user}: {why}; check user and password"))
        }
    }
}

/// A command that was given, or why it could not be: the session has ended.
async fn given(line: &mut Line<Client>, command: Result<CommandId, Misuse>) -> Result<CommandId, Fault> {
    let why = match command {
        Ok(command) => return Ok(command),
        Err(why) => why,
    };
    while let Some(event) = line.next_at_once().await {
        if let Event::Dismissed(why) = &event {
            return Err(dismissed(line, why));
        }
        if let Event::Closed(why) = event {
            return Err(line.lost(&why, None));
        }
    }
    Err(Fault::new(Class::Unavailable, why.to_string()))
}

/// The server ended the session, and said why.
fn dismissed(line: &Line<Client>, why: &Refusal) -> Fault {
    line.lost(&Closed::ByPeer, Some(&why.to_string()))
}

async fn ready(line: &mut Line<Client>) -> Result<(), Fault> {
    loop {
        match line.next().await? {
            Event::Ready => return Ok(()),
            Event::Dismissed(why) => return Err(dismissed(line, &why)),
            Event::Closed(why) => return Err(line.lost(&why, None)),
            _ => {}
        }
    }
}

/// Waits for the end of a command whose data do not matter.
async fn complete(line: &mut Line<Client>, command: CommandId) -> Result<Result<(), Refusal>, Fault> {
    loop {
        match line.next().await? {
            Event::Completed { of, result } if of == command => return Ok(result.map(drop)),
            Event::Dismissed(why) => return Err(dismissed(line, &why)),
            Event::Closed(why) => return Err(line.lost(&why, None)),
            _ => {}
        }
    }
}

/// What is there, with sizes and ids as far as the server tells.
async fn survey(line: &mut Line<Client>) -> Result<Maildrop, Fault> {
    let sizes = line.session().list(None);
    let sizes = given(line, sizes).await?;
    let uidl = line.session().capabilities().is_some_and(|offered| offered.uidl);
    let ids = line.session().unique_ids(None);
    let ids = given(line, ids).await?;
    let mut maildrop = Maildrop::default();
    loop {
        let event = line.next().await?;
        maildrop.take(&event).map_err(|error| Fault::new(Class::Protocol, error.to_string()))?;
        match event {
            Event::Completed { of, result: Err(why) } if of == sizes => {
                return Err(Fault::new(Class::TryLater, format!("the server does not list its messages: {why}")));
            }
            Event::Completed { of, result: Err(why) } if of == ids && (uidl || why.code.is_some()) => {
                // Fetched without them, everything would come again.
                return Err(Fault::new(Class::TryLater, format!("the server does not tell unique ids now: {why}")));
            }
            // Without UIDL there are just no ids.
            Event::Completed { of, .. } if of == ids => return Ok(maildrop),
            Event::Dismissed(why) => return Err(dismissed(line, &why)),
            Event::Closed(why) => return Err(line.lost(&why, None)),
            _ => {}
        }
    }
}

/// Fetching: where to, and what became of it.
struct Fetch<'a> {
    maildir: &'a mut Maildir,
    journal: &'a mut Journal,
    plan: Plan,
    out: &'a mut Out,
    fetched: usize,
    failed: Vec<(u32, Refusal)>,
}

impl Fetch<'_> {
    /// Fetches what the plan wants.
    async fn all(&mut self, line: &mut Line<Client>, hidden: bool) -> Result<(), Fault> {
        let wanted: Vec<Listed> = self.plan.wanted().cloned().collect();
        let octets = wanted.iter().filter_map(|message| message.size).fold(0, u64::saturating_add);
        let bar = progress::octets("fetching", octets, hidden);
        let mut rest = wanted.iter();
        let mut asked: VecDeque<(CommandId, &Listed)> = VecDeque::new();
        let mut current: Option<Delivery> = None;
        loop {
            while asked.len() < AHEAD {
                let Some(message) = rest.next() else { break };
                let command = line.session().retrieve(message.number);
                asked.push_back((given(line, command).await?, message));
            }
            let Some((command, message)) = asked.front().copied() else { break };
            match line.next().await? {
                Event::Body { of, bytes } => {
                    assert_eq!(of, command, "answers come in order");
                    if current.is_none() {
                        current = Some(self.maildir.begin().map_err(|error| local(&error))?);
                    }
                    let delivery = current.as_mut().expect("it was begun above");
                    delivery.write(&bytes).map_err(|error| local(&error))?;
                    bar.inc(bytes.len() as u64);
                }
                Event::Completed { of, result } if of == command => {
                    asked.pop_front();
                    match result {
                        Ok(_) => {
                            let delivery = match current.take() {
                                Some(delivery) => delivery,
                                // It is empty.
                                None => self.maildir.begin().map_err(|error| local(&error))?,
                            };
                            self.keep(delivery, message, &bar)?;
                            self.fetched += 1;
                        }
                        Err(why) => {
                            current = None;
                            self.failed.push((message.number, why));
                        }
                    }
                }
                Event::Dismissed(why) => {
                    bar.finish_and_clear();
                    return Err(dismissed(line, &why));
                }
                Event::Closed(why) => {
                    bar.finish_and_clear();
                    return Err(line.lost(&why, None));
                }
                _ => {}
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Puts a complete message in its place, for good.
    fn keep(&mut self, mut delivery: Delivery, message: &Listed, bar: &indicatif::ProgressBar) -> Result<(), Fault> {
        let octets = delivery.sync().map_err(|error| local(&error))?;
        let unusable = |why: Misuse| Fault::new(Class::Io, why.to_string());
        let begun = self.plan.begin(message.number, delivery.name()).map_err(unusable)?;
        self.journal.add(&begun).and_then(|()| self.journal.sync()).map_err(|error| local(&error))?;
        let path = delivery.deliver().map_err(|error| local(&error))?;
        // Synced with the next one, or before anything is deleted.
        let kept = self.plan.kept(message.number).map_err(unusable)?;
        self.journal.add(&kept).map_err(|error| local(&error))?;
        let file = path.display().to_string();
        if self.out.is_json() {
            let id = message.id.as_ref().map(|id| id.as_str());
            self.out.object(&Got { event: "fetched", id, file, size: octets })?;
            return self.out.flush();
        }
        bar.suspend(|| self.out.line(&format!("{file}  {}", size(octets))).and_then(|()| self.out.flush()))
    }
}

/// Marks messages as deleted; says how many.
async fn delete(line: &mut Line<Client>, numbers: &[u32]) -> Result<usize, Fault> {
    let mut deleted = 0;
    // Not more at once than the session lets wait.
    for numbers in numbers.chunks(500) {
        let mut asked = Vec::new();
        for number in numbers {
            let command = line.session().delete(*number);
            asked.push(given(line, command).await?);
        }
        for command in asked {
            match complete(line, command).await? {
                Ok(()) => deleted += 1,
                Err(why) => {
                    let sentence = format!("the server does not delete a message: {why}; nothing is deleted there");
                    return Err(Fault::new(Class::TryLater, sentence));
                }
            }
        }
    }
    Ok(deleted)
}

async fn quit(line: &mut Line<Client>) -> Result<(), Fault> {
    let command = line.session().quit();
    let command = given(line, command).await?;
    if let Err(why) = complete(line, command).await? {
        let sentence = format!("the server may not have deleted all messages: {why}; run the same again");
        return Err(Fault::new(Class::TryLater, sentence));
    }
    line.finish().await;
    Ok(())
}

fn local(error: &io::Error) -> Fault {
    Fault::new(Class::Io, format!("cannot write to the Maildir: {error}; all messages are still on the server"))
}
