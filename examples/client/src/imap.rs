//! An IMAP session: connected, protected, logged in, with a mailbox open.

use postrider_core::Misuse;
use postrider_imap::client::{Client, CommandId, Config, Event};
use postrider_imap::dialogue::State;
use postrider_imap::wire::{Capability, Code, Command, Condition, Data, Id, Mailbox, Password, SelectParams, Status};
use postrider_sasl::{MechanismName, NoMechanism};

use crate::cli::Connection;
use crate::connect::{Line, Settings, reading};
use crate::fault::{Class, Fault};
use crate::login;
use crate::trace::Trace;
use crate::url::Protocol;

/// A session that is logged in.
pub(crate) struct Imap {
    line: Line<Client>,
    place: String,
    pub(crate) trace: bool,
    /// What the server said when it said goodbye.
    bye: Option<String>,
}

impl Imap {
    /// Connects, protects and logs in.
    pub(crate) async fn open(connection: &Connection) -> Result<Self, Fault> {
        let url = reading(connection, Protocol::Imap)?;
        let settings = Settings::new(connection, url)?;
        let (user, password) = settings.login()?;
        let mut config = if url.tls { Config::implicit_tls() } else { Config::default() };
        if settings.plaintext_login {
            config = config.dangerous_plaintext_login();
        }
        config.limits.greeting = settings.timeout;
        config.limits.silence = settings.timeout;
        let trace = settings.trace;
        let line = Line::open(&settings, |_| {
            let mut client = Client::new(config, 1);
            if trace {
                client.set_tap(Some(Box::new(Trace::new())));
            }
            client
        });
        let mut imap = Self { line: line.await?, place: url.place(), trace, bye: None };
        imap.ready().await?;
        if settings.starttls {
            let asked = imap.session().start_tls();
            let asked = imap.given(asked).await?;
            let status = imap.complete(asked, |_| Ok(())).await?;
            if status.condition != Condition::Ok {
                return Err(Fault::new(Class::Unavailable, format!("{} refused TLS: {}", imap.place, status.text)));
            }
            imap.ready().await?;
        }
        if imap.session().state() == State::NotAuthenticated {
            imap.log_in(user, &password).await?;
        }
        imap.say_who_we_are();
        Ok(imap)
    }

    pub(crate) fn session(&mut self) -> &mut Client {
        self.line.session()
    }

    /// The next event; the end is a fault.
    pub(crate) async fn next(&mut self) -> Result<Event, Fault> {
        let event = self.line.next().await?;
        self.note(&event)?;
        Ok(event)
    }

    fn note(&mut self, event: &Event) -> Result<(), Fault> {
        match event {
            Event::Closed(why) => return Err(self.line.lost(why, self.bye.as_deref())),
            Event::Data(Data::Status(status)) | Event::Greeting(status) if status.condition == Condition::Bye => {
                self.bye = Some(status.text.to_string());
            }
            _ => {}
        }
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        while !matches!(self.next().await?, Event::Ready) {}
        Ok(())
    }

    async fn log_in(&mut self, user: &str, password: &postrider_core::Secret<String>) -> Result<(), Fault> {
        let unusable = |error: &dyn std::fmt::Display| Fault::usage(format!("cannot log in: {error}"));
        let session = self.session();
        let can = |name: &str| session.capabilities().is_some_and(|offered| offered.authenticates(name));
        let disabled = session.capabilities().is_some_and(|offered| offered.contains(&Capability::LoginDisabled));
        let names = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"];
        let offered: Vec<_> = names
            .into_iter()
            .filter(|name| can(name))
            .filter_map(|name| MechanismName::parse(name.as_bytes()))
            // The protocol's own command does the same in fewer steps.
            .filter(|name| disabled || *name != MechanismName::Login)
            .collect();
        let mechanism = match login::strongest(user, password, &offered, session.security()) {
            Ok(mechanism) => Some(mechanism),
            Err(NoMechanism::Unusable(error)) => return Err(unusable(&error)),
            Err(_) => None,
        };
        let asked = match mechanism {
            Some(mechanism) => session.authenticate(mechanism),
            None => session.command(Command::Login {
                user: user.to_owned().into(),
                password: Password::new(password.reveal().clone()),
            }),
        };
        let asked = self.given(asked).await?;
        let status = self.complete(asked, |_| Ok(())).await?;
        match (status.condition, &status.code) {
            (Condition::Ok, _) => self.ready().await,
            (_, Some(Code::Unavailable | Code::InUse | Code::Limit)) => {
                let sentence = format!("{} cannot log {user} in now: {}; try again later", self.place, status.text);
                Err(Fault::new(Class::TryLater, sentence))
            }
            _ => {
                let sentence =
                    format!("{} refused the login of {user}: {}; check user and password", self.place, status.text);
                Err(Fault::new(Class::Denied, sentence))
            }
        }
    }

    /// ID (RFC 2971), where offered. Nothing depends on the answer.
    fn say_who_we_are(&mut self) {
        let offered = self.session().capabilities().is_some_and(|offered| offered.contains(&Capability::Id));
        if offered {
            let fields = [("name", "postrider"), ("version", env!("CARGO_PKG_VERSION"))];
            let fields = fields.map(|(name, value)| (name.into(), Some(value.into())));
            let _ = self.session().command(Command::Id(Some(Id(fields.to_vec()))));
        }
    }

    /// Gives a command and hands what comes to `on`, until it is completed.
    pub(crate) async fn run(
        &mut self,
        command: Command,
        on: impl FnMut(Event) -> Result<(), Fault>,
    ) -> Result<Status, Fault> {
        let asked = self.give(command).await?;
        self.complete(asked, on).await
    }

    /// Gives a command.
    pub(crate) async fn give(&mut self, command: Command) -> Result<CommandId, Fault> {
        let command = self.session().command(command);
        self.given(command).await
    }

    /// A command that was given, or why it could not be: the session has ended, or the server is not able to.
    async fn given(&mut self, command: Result<CommandId, Misuse>) -> Result<CommandId, Fault> {
        let why = match command {
            Ok(command) => return Ok(command),
            Err(why) => why,
        };
        while let Some(event) = self.line.next_at_once().await {
            self.note(&event)?;
        }
        Err(Fault::new(Class::Unavailable, format!("{}: {why}", self.place)))
    }

    /// Waits until a command is completed.
    pub(crate) async fn complete(
        &mut self,
        command: CommandId,
        mut on: impl FnMut(Event) -> Result<(), Fault>,
    ) -> Result<Status, Fault> {
        loop {
            match self.next().await? {
                Event::Completed { of, status } if of == command => return Ok(status),
                Event::NotSent { of, why } if of == command => {
                    return Err(Fault::new(Class::Unavailable, format!("{}: {why}", self.place)));
                }
                event => on(event)?,
            }
        }
    }

    /// Opens a mailbox; says how many messages it has.
    pub(crate) async fn select(&mut self, name: &str, read_only: bool) -> Result<u32, Fault> {
        let select = Command::Select { mailbox: mailbox(name)?, read_only, params: SelectParams::default() };
        let status = self.run(select, |_| Ok(())).await?;
        match (status.condition, &status.code) {
            (Condition::Ok, _) => {
                let selected = self.session().selected();
                Ok(selected.map_or(0, |selected| selected.exists))
            }
            (_, Some(Code::Unavailable | Code::InUse | Code::Limit)) => {
                let sentence = format!("the mailbox {name} cannot be opened now: {}; try again later", status.text);
                Err(Fault::new(Class::TryLater, sentence))
            }
            (_, Some(Code::NoPerm)) => {
                Err(Fault::new(Class::Denied, format!("the mailbox {name} may not be opened: {}", status.text)))
            }
            _ => {
                let sentence =
                    format!("the mailbox {name} cannot be opened: {}; `postrider mailboxes` lists them", status.text);
                Err(Fault::new(Class::NoInput, sentence))
            }
        }
    }

    /// The fault it is that a command did not end with OK.
    pub(crate) fn expect(&self, what: &str, status: &Status) -> Result<(), Fault> {
        let class = match (status.condition, &status.code) {
            (Condition::Ok | Condition::PreAuth, _) => return Ok(()),
            (_, Some(Code::Unavailable | Code::InUse | Code::Limit)) => Class::TryLater,
            (_, Some(Code::NoPerm)) => Class::Denied,
            (Condition::No, _) => Class::Unavailable,
            (Condition::Bad | Condition::Bye, _) => Class::Protocol,
        };
        Err(Fault::new(class, format!("{} {what}: {}", self.place, status.text)))
    }

    /// Says goodbye. How that goes does not matter.
    pub(crate) async fn log_out(&mut self) {
        self.session().logout();
        self.line.finish().await;
    }
}

/// The name of a mailbox.
pub(crate) fn mailbox(name: &str) -> Result<Mailbox, Fault> {
    Mailbox::new(name).map_err(|error| Fault::usage(format!("{name:?} is not the name of a mailbox: {error}")))
}

/// The server sends without end.
pub(crate) fn too_many(what: &str, limit: usize) -> Fault {
    Fault::new(Class::Protocol, format!("the server tells of more than {limit} {what}"))
}
