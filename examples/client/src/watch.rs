//! `watch`: says what happens in a mailbox, by IDLE where the server has it.

use std::time::Duration;

use postrider_imap::client::{CommandId, Event, Gather};
use postrider_imap::wire::{Command, Data, SearchKey, SequenceSet};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::cli::{self, Connection};
use crate::fault::{Class, Fault};
use crate::imap::Imap;
use crate::list::{FIELD, summaries};
use crate::search::find;
use crate::show::{Out, count};
use crate::summary::{Summary, flags};

/// How often a server without IDLE is asked.
const ASK: Duration = Duration::from_secs(30);
/// How long the server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);
/// How many new messages are looked at in one go.
const BATCH: usize = 500;

/// What happened. The field names are part of the program's interface.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Happened<'a> {
    /// From here on nothing is missed.
    Watching { mailbox: &'a str, messages: usize },
    /// A message came.
    New(Box<Summary>),
    /// A message is gone.
    Gone { uid: Option<u32> },
    /// A message has these flags now.
    Flags { uid: Option<u32>, flags: Vec<String> },
}

impl Happened<'_> {
    fn line(&self) -> String {
        let uid = |uid: &Option<u32>| uid.map_or("?".to_owned(), |uid| uid.to_string());
        match self {
            Self::Watching { mailbox, messages } => format!("watching {mailbox}, {}", count(*messages, "message")),
            Self::New(summary) => format!("new   {}", summary.row().trim_start()),
            Self::Gone { uid: gone } => format!("gone  {}", uid(gone)),
            Self::Flags { uid: of, flags } => format!("flags {} {}", uid(of), flags.join(" ")),
        }
    }
}

struct Watch<'a> {
    imap: Imap,
    out: &'a mut Out,
    mailbox: &'a str,
    /// The UID of each message, in order.
    uids: Vec<u32>,
    /// How many messages the server says there are.
    exists: usize,
    left: Option<u64>,
    gather: Gather,
    /// The IDLE that is going on.
    idle: Option<CommandId>,
}

pub(crate) async fn run(connection: &Connection, watch: &cli::Watch, out: &mut Out) -> Result<(), Fault> {
    let failed = |error| Fault::new(Class::Io, format!("cannot wait for signals: {error}"));
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut imap = Imap::open(connection).await?;
    imap.select(&watch.mailbox, true).await?;
    let (uids, exists) = loop {
        let uids: Vec<u32> = find(&mut imap, SearchKey::All).await?.iter().collect();
        let exists = count_of(&mut imap);
        // If some went meanwhile, which?
        if exists >= uids.len() {
            break (uids, exists);
        }
    };
    let gather = Gather::new(FIELD);
    let mailbox = &watch.mailbox;
    let mut watch = Watch { imap, out, mailbox, uids, exists, left: watch.count, gather, idle: None };
    tokio::select! {
        done = watch.watch() => done?,
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    watch.out.flush()?;
    if let Some(idle) = watch.idle {
        // If it is over already, so much the better.
        let _ = watch.imap.session().done(idle);
    }
    // Who interrupts does not want to wait.
    let _ = timeout(GOODBYE, watch.imap.log_out()).await;
    Ok(())
}

/// How many messages the server says there are.
fn count_of(imap: &mut Imap) -> usize {
    imap.session().selected().map_or(0, |selected| selected.exists as usize)
}

impl Watch<'_> {
    /// Until enough was seen.
    async fn watch(&mut self) -> Result<(), Fault> {
        let mut begun = false;
        loop {
            self.idle = self.imap.session().idle().ok();
            if self.idle.is_none() && !begun {
                begun = true;
                self.begin()?;
            }
            self.wait(self.idle, &mut begun).await?;
            self.idle = None;
            if self.left == Some(0) {
                return Ok(());
            }
            // Outside of IDLE, so that questions can be asked.
            while self.exists > self.uids.len() && self.left != Some(0) {
                self.fetch_new().await?;
            }
            if self.left == Some(0) {
                return Ok(());
            }
        }
    }

    fn begin(&mut self) -> Result<(), Fault> {
        let watching = Happened::Watching { mailbox: self.mailbox, messages: self.uids.len() };
        if self.out.is_json() {
            self.out.object(&watching)?;
            return self.out.flush();
        }
        eprintln!("{}", crate::show::clean(&watching.line()));
        Ok(())
    }

    /// Listens until there is something to ask, or enough was seen.
    async fn wait(&mut self, idle: Option<CommandId>, begun: &mut bool) -> Result<(), Fault> {
        let mut done = false;
        let mut asked = None;
        loop {
            let event = match (idle, asked) {
                (None, None) => tokio::select! {
                    event = self.imap.next() => event?,
                    () = sleep(ASK) => {
                        asked = Some(self.imap.give(Command::Noop).await?);
                        continue;
                    }
                },
                _ => self.imap.next().await?,
            };
            match event {
                Event::Idling(_) if !*begun => {
                    *begun = true;
                    self.begin()?;
                }
                Event::Completed { of, status } if Some(of) == idle => {
                    return self.imap.expect("does not let us wait", &status);
                }
                Event::Completed { of, .. } if Some(of) == asked => return Ok(()),
                Event::NotSent { of, .. } if Some(of) == idle => return Ok(()),
                event => self.happened(event)?,
            }
            let enough = self.exists > self.uids.len() || self.left == Some(0);
            if enough
                && let Some(idle) = idle
                && !done
            {
                done = true;
                // If it is over already, its end is on the way.
                let _ = self.imap.session().done(idle);
            }
        }
    }

    fn happened(&mut self, event: Event) -> Result<(), Fault> {
        match self.gather.take(event) {
            Ok(None) => Ok(()),
            Ok(Some(fetched)) => {
                let at = (fetched.number as usize).wrapping_sub(1);
                let uid = fetched.uid.or_else(|| self.uids.get(at).copied());
                match &fetched.flags {
                    // What is new is told with its flags.
                    Some(now) if at < self.uids.len() => self.say(Happened::Flags { uid, flags: flags(now) }),
                    Some(_) | None => Ok(()),
                }
            }
            Err(Event::Data(Data::Exists(messages))) => {
                self.exists = messages as usize;
                Ok(())
            }
            Err(Event::Data(Data::Expunge(number))) => {
                self.exists = self.exists.saturating_sub(1);
                let at = (number as usize).wrapping_sub(1);
                let uid = (at < self.uids.len()).then(|| self.uids.remove(at));
                self.say(Happened::Gone { uid })
            }
            Err(_) => Ok(()),
        }
    }

    async fn fetch_new(&mut self) -> Result<(), Fault> {
        let before = self.exists;
        let first = u32::try_from(self.uids.len() + 1).expect("IMAP counts with 32 bits");
        let mut new = Vec::new();
        let last = first.saturating_add(BATCH as u32 - 1).min(u32::try_from(before).unwrap_or(u32::MAX));
        summaries(&mut self.imap, false, SequenceSet::range(first, last), |summary| {
            if new.len() < BATCH {
                new.push(summary);
            }
            Ok(())
        })
        .await?;
        new.sort_by_key(|summary| summary.uid);
        let known = self.uids.len();
        for summary in new {
            if self.uids.last().is_none_or(|last| *last < summary.uid) {
                self.uids.push(summary.uid);
                self.say(Happened::New(Box::new(summary)))?;
            }
        }
        // More may have come meanwhile. What was announced and is not there is not asked for again.
        let now = count_of(&mut self.imap);
        let progress = self.uids.len() > known;
        self.exists = if now > before || progress { now.max(self.uids.len()) } else { self.uids.len() };
        Ok(())
    }

    fn say(&mut self, happened: Happened<'_>) -> Result<(), Fault> {
        match &mut self.left {
            Some(0) => return Ok(()),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.out.is_json() {
            self.out.object(&happened)?
        } else {
            self.out.line(&happened.line())?
        }
        // Whoever waits for it reads it now.
        self.out.flush()
    }
}
