//! Transcripts of whole conversations, played against the server: whole, byte by byte, and cut at random.

use crate::server_memory::{Application, Mailboxes, in_use};
use bytes::Bytes;
use postrider_core::Text;
use postrider_imap::server::{Config, Event, Server};
use postrider_imap::wire::{Capabilities, Capability, DateTime, Flag, FlagChange, Flags, Id, StoreMode};
use postrider_testkit::talk::Role;
use postrider_testkit::{Adapter, Settings, Shown, Trouble, closed, talks, unescape};
use std::sync::Arc;

talks!(server_talks, "tests/talks/server", ServerTalk);

struct ServerTalk {
    application: Application,
    /// Questions are put to the transcript instead.
    ask: bool,
}

impl Adapter for ServerTalk {
    type Session = Server;
    type Question = Event;
    const ROLE: Role = Role::Server;

    fn start(settings: &mut Settings) -> Result<(Self, Server), String> {
        let mut config = Config::default();
        config.implicit_tls = settings.flag("implicit-tls");
        if !settings.flag("guarded") {
            config.dangerous_allow_plaintext_auth();
            config.start_tls = false;
        }
        if let Some(words) = settings.text("capabilities") {
            config.capabilities = words.split(' ').map(capability).collect::<Capabilities>();
        }
        if let Some(words) = settings.text("add") {
            words.split(' ').for_each(|word| {
                config.capabilities.insert(capability(word));
            });
        }
        config.id = Some(Id(vec![(Bytes::from_static(b"name"), Some(Bytes::from_static(b"postrider")))]));
        config.greeting = Text::literal("ready");
        let limits = &mut config.limits;
        let take = |settings: &mut Settings, key: &str, limit: &mut usize| -> Result<(), String> {
            if let Some(number) = settings.number(key)? {
                *limit = number;
            }
            Ok(())
        };
        take(settings, "command", &mut limits.command)?;
        take(settings, "command-before-login", &mut limits.command_before_login)?;
        take(settings, "changes", &mut limits.changes)?;
        take(settings, "output", &mut limits.link.output)?;
        limits.errors = settings.number("errors")?.unwrap_or(limits.errors);
        limits.logins = settings.number("logins")?.unwrap_or(limits.logins);
        limits.drain = settings.number("drain")?.unwrap_or(limits.drain);
        limits.commands_before_login =
            settings.number("commands-before-login")?.unwrap_or(limits.commands_before_login);
        config.append_limit = settings.number("append-limit")?.unwrap_or(config.append_limit);
        let store = Mailboxes::new();
        for index in 0..settings.number("messages")?.unwrap_or(0) {
            let body = format!("Subject: message {0}\r\nFrom: a@b.example\r\n\r\nText {0}.\r\n", index + 1);
            store.borrow_mut().deliver("INBOX", body, Flags::EMPTY, DateTime::from_unix(86_400 * index).unwrap());
        }
        if let Some(names) = settings.text("mailboxes") {
            names.split(' ').for_each(|name| store.borrow_mut().create(name, vec![]));
        }
        let ask = settings.flag("ask");
        Ok((Self { application: Application::new(store), ask }, Server::new(Arc::new(config), 7)))
    }

    fn show(&mut self, server: &mut Server, event: Event) -> Shown<Event> {
        if self.ask {
            let name = match &event {
                Event::Select { mailbox, .. } => Some(format!("select {mailbox}")),
                Event::Append { message, .. } => Some(format!("append {} {}", message.mailbox, message.size)),
                Event::Fetch { messages, .. } => Some(format!("fetch {messages}")),
                Event::Store { messages, .. } => Some(format!("store {messages}")),
                Event::Search { among, key, .. } => Some(format!("search {among} {key:?}")),
                Event::Copy { messages, to, .. } => Some(format!("copy {messages} {to}")),
                Event::Expunge { only: Some(only), .. } => Some(format!("expunge {only}")),
                Event::Expunge { only: None, .. } => Some("expunge".to_owned()),
                Event::Manage { op, .. } => Some(format!("manage {op:?}")),
                Event::List { request, .. } => Some(format!("list {:?}", request.patterns)),
                _ => None,
            };
            if let Some(name) = name {
                return Shown::Question(name, event);
            }
        }
        match self.application.handle(server, event) {
            None => Shown::Nothing,
            Some(Event::Listening(on)) => Shown::Event(format!("listening {on}")),
            Some(Event::Deselected) => Shown::Event("deselected".to_owned()),
            Some(Event::AppendAborted) => Shown::Event("append-aborted".to_owned()),
            Some(Event::Closed(why)) => Shown::Event(closed(&why)),
            Some(other) => panic!("{other:?} was not handled"),
        }
    }

    fn answer(&mut self, server: &mut Server, event: Event, answer: &str) -> Result<(), Trouble> {
        match answer {
            "yes" => assert!(self.application.handle(server, event).is_none(), "it is a question"),
            "later" => server.decline(event),
            "in-use" => match event {
                Event::Select { answer, .. } => server.refuse(answer, in_use())?,
                Event::Manage { answer, .. } => server.refuse(answer, in_use())?,
                Event::Append { answer, .. } => server.refuse(answer, in_use())?,
                other => return Err(Trouble::Talk(format!("{other:?} cannot be in use"))),
            },
            other => return Err(Trouble::Talk(format!("{other:?} is not an answer"))),
        }
        Ok(())
    }

    fn act(&mut self, server: &mut Server, what: &str) -> Result<(), Trouble> {
        let (word, rest) = what.split_once(' ').unwrap_or((what, ""));
        let store = self.application.store.clone();
        match word {
            "deliver" => {
                let (name, body) = rest.split_once(' ').ok_or("deliver MAILBOX TEXT")?;
                let body = unescape(body)?;
                store.borrow_mut().deliver(name, body, Flags::EMPTY, DateTime::from_unix(0).unwrap());
            }
            "expunge" => {
                let (name, uid) = rest.split_once(' ').ok_or("expunge MAILBOX UID ...")?;
                let uids = uid.split(' ').map(|uid| uid.parse().map_err(|_| Trouble::from("a UID is wanted")));
                let uids = uids.collect::<Result<_, _>>()?;
                store.borrow_mut().expunge(name, &uids);
            }
            "flag" => {
                let words: Vec<&str> = rest.split(' ').collect();
                let [name, uid, flag] = words[..] else { return Err("flag MAILBOX UID FLAG".into()) };
                let flags = [Flag::new(flag).ok_or("a flag is wanted")?].into_iter().collect();
                let change = FlagChange { mode: StoreMode::Add, flags };
                store.borrow_mut().flag(name, uid.parse().map_err(|_| "a UID is wanted")?, &change);
            }
            "shut-down" => server.shut_down(Text::new(rest).map_err(|_| "text is wanted")?),
            other => return Err(Trouble::Talk(format!("{other:?} is not known"))),
        }
        self.application.sync(server);
        Ok(())
    }

    fn progress(&mut self, server: &mut Server) {
        self.application.progress(server);
    }
}

fn capability(word: &str) -> Capability {
    Capability::new(postrider_imap::wire::Atom::new(word).expect("capabilities are atoms"))
}
