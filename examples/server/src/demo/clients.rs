//! The mail clients of the demonstration's users, over real sockets and TLS.

use crate::exit::{self, Failure};
use postrider_core::{Secret, Session};
use postrider_imap::client::{self as imap, CommandId, Gather};
use postrider_imap::wire::{
    Attribute, BodyPeek, Command, Condition, Data, Fetch, Mailbox, Section, SelectParams, SequenceSet,
};
use postrider_io::tokio::Driver;
use postrider_io::{Tls, tls};
use postrider_pop3::client as pop3;
use postrider_sasl::Plain;
use postrider_smtp::client as smtp;
use postrider_smtp::{Envelope, HelloName};
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Octets of a message that the demonstration's clients read.
const MESSAGE: usize = 1 << 20;

/// Where a user's mail is, and how to get at it.
pub struct Account {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The user.
    pub user: &'static str,
    /// The password.
    pub password: &'static str,
    /// The certificate to trust.
    pub certificate: PathBuf,
}

impl Account {
    async fn connect<S: Session>(&self, session: S) -> Result<Driver<S, TcpStream>, Failure> {
        let trusted = std::fs::read(&self.certificate).map_err(wrong)?;
        let config = tls::client_config(tls::roots(&trusted).map_err(wrong)?);
        let name = "localhost".try_into().map_err(wrong)?;
        let stream = TcpStream::connect(self.address).await.map_err(wrong)?;
        stream.set_nodelay(true).map_err(wrong)?;
        Ok(Driver::new(session, stream, Tls::Client { config, name, verified: true }))
    }

    fn password(&self) -> Secret<String> {
        self.password.to_owned().into()
    }

    fn plain(&self) -> Result<Box<Plain>, Failure> {
        Plain::new(self.user, &self.password()).map(Box::new).map_err(wrong)
    }
}

fn wrong(error: impl Display) -> Failure {
    Failure::new(exit::SOFTWARE, error.to_string())
}

/// Submits a message; gives the server's reply to it.
pub async fn submit(account: &Account, from: &str, to: &str, message: &[u8]) -> Result<String, Failure> {
    let mut config = smtp::Config::new(HelloName::parse("[127.0.0.1]").map_err(wrong)?);
    config.tls = smtp::Tls::Required;
    let mut driver = account.connect(smtp::Client::new(Arc::new(config), 1)).await?;
    let mut reply = None;
    let mut rest = message;
    let mut wanted = None;
    while let Some(event) = driver.next().await {
        match event {
            smtp::Event::Ready => driver.session().authenticate(account.plain()?).map_err(wrong)?,
            smtp::Event::Authenticated(Ok(())) => {
                let from: postrider_smtp::Mailbox = from.parse().map_err(wrong)?;
                let to: postrider_smtp::Mailbox = to.parse().map_err(wrong)?;
                let mut envelope = Envelope::new(from).and_to(to).with_size(message.len() as u64);
                envelope.params.body = Some(postrider_smtp::wire::BodyType::EightBitMime);
                driver.session().send(envelope).map_err(wrong)?;
            }
            smtp::Event::Authenticated(Err(failed)) => return Err(wrong(failed)),
            smtp::Event::BodyWanted { body, .. } => wanted = Some(body),
            smtp::Event::Finished { outcomes, .. } => {
                match outcomes.into_iter().next() {
                    Some(smtp::Outcome::Delivered(said)) => reply = Some(said.to_string()),
                    other => return Err(wrong(format!("the message was not taken: {other:?}"))),
                }
                driver.session().quit();
            }
            smtp::Event::Closed(why) if reply.is_none() => return Err(wrong(why)),
            _ => {}
        }
        // Now, or when there is room again.
        if let Some(body) = wanted.take() {
            let taken = driver.session().write(&body, rest);
            rest = &rest[taken..];
            if rest.is_empty() {
                driver.session().finish(body).map_err(wrong)?;
            } else {
                wanted = Some(body);
            }
        }
    }
    reply.ok_or_else(|| wrong("the session ended early"))
}

/// Fetches the only message over POP3 and deletes it.
pub async fn fetch_and_delete(account: &Account) -> Result<Vec<u8>, Failure> {
    let mut config = pop3::Config::default();
    config.implicit_tls = true;
    let mut driver = account.connect(pop3::Client::new(Arc::new(config), 2)).await?;
    let mut message = Vec::new();
    let mut committed = None;
    while let Some(event) = driver.next().await {
        match event {
            pop3::Event::Ready => {
                driver.session().login(account.user, account.password()).map_err(wrong)?;
            }
            pop3::Event::Completed { of, result } => {
                result.map_err(|refused| wrong(format!("{}", refused.text)))?;
                // Login, RETR, DELE, QUIT: one after the other.
                match (message.is_empty(), &committed) {
                    (true, _) => driver.session().retrieve(1).map(drop),
                    (false, None) => driver.session().delete(1).map(|id| committed = Some(id)),
                    (false, Some(delete)) if of == *delete => driver.session().quit().map(drop),
                    (false, Some(_)) => Ok(()),
                }
                .map_err(wrong)?;
            }
            pop3::Event::Body { bytes, .. } => message.extend_from_slice(&bytes),
            _ => {}
        }
    }
    if message.is_empty() { Err(wrong("the session ended early")) } else { Ok(message) }
}

/// A user's IMAP client with INBOX open.
pub struct Reader {
    driver: Driver<imap::Client, TcpStream>,
    idle: Option<CommandId>,
}

impl Reader {
    /// Logs in and selects INBOX.
    pub async fn open(account: &Account) -> Result<Self, Failure> {
        let session = imap::Client::new(imap::Config::implicit_tls(), 3);
        let mut reader = Self { driver: account.connect(session).await?, idle: None };
        loop {
            if let imap::Event::Ready = reader.event().await? {
                break;
            }
        }
        let login = reader.driver.session().authenticate(account.plain()?).map_err(wrong)?;
        reader.completed(login).await?;
        let params = SelectParams::default();
        let select = Command::Select { mailbox: Mailbox::INBOX, read_only: false, params };
        let select = reader.driver.session().command(select).map_err(wrong)?;
        reader.completed(select).await?;
        Ok(reader)
    }

    /// Begins IDLE.
    pub async fn wait_for_mail(&mut self) -> Result<(), Failure> {
        self.driver.session().idle().map_err(wrong)?;
        loop {
            if let imap::Event::Idling(id) = self.event().await? {
                self.idle = Some(id);
                return Ok(());
            }
        }
    }

    /// Waits until the server says that mail came; gives how many messages there are. Ends IDLE.
    pub async fn mail_came(&mut self) -> Result<u32, Failure> {
        let exists = loop {
            if let imap::Event::Data(Data::Exists(exists)) = self.event().await? {
                break exists;
            }
        };
        let idle = self.idle.take().ok_or_else(|| wrong("the client is not in IDLE"))?;
        self.driver.session().done(idle).map_err(wrong)?;
        self.completed(idle).await?;
        Ok(exists)
    }

    /// All of a message.
    pub async fn read(&mut self, number: u32) -> Result<Vec<u8>, Failure> {
        let body = BodyPeek { section: Section::default(), partial: None, peek: true };
        let fetch = Command::Fetch(Fetch {
            uid: false,
            messages: SequenceSet::one(number),
            attributes: vec![Attribute::Body(body)],
            changed_since: None,
            vanished: false,
        });
        let fetch = self.driver.session().command(fetch).map_err(wrong)?;
        let mut gather = Gather::new(MESSAGE);
        let mut message = None;
        loop {
            let event = self.event().await?;
            match gather.take(event) {
                Ok(None) => {}
                Ok(Some(fetched)) => message = fetched.body(&Section::default()).map(|body| body.to_vec()),
                Err(imap::Event::Completed { of, status }) if of == fetch => {
                    return message.ok_or_else(|| wrong(status.text));
                }
                Err(_) => {}
            }
        }
    }

    /// Waits until the server says that messages went; gives how many are left.
    pub async fn mail_went(&mut self) -> Result<u32, Failure> {
        let mut left = 1;
        while left > 0 {
            let noop = self.driver.session().command(Command::Noop).map_err(wrong)?;
            loop {
                match self.event().await? {
                    imap::Event::Data(Data::Expunge(_)) => left -= 1,
                    imap::Event::Completed { of, .. } if of == noop => break,
                    _ => {}
                }
            }
        }
        Ok(left)
    }

    /// Says goodbye.
    pub async fn close(mut self) -> Result<(), Failure> {
        self.driver.session().logout();
        while self.driver.next().await.is_some() {}
        Ok(())
    }

    async fn event(&mut self) -> Result<imap::Event, Failure> {
        match self.driver.next().await {
            Some(imap::Event::Closed(why)) => Err(wrong(why)),
            Some(event) => Ok(event),
            None => Err(wrong("the session is over")),
        }
    }

    async fn completed(&mut self, command: CommandId) -> Result<(), Failure> {
        loop {
            match self.event().await? {
                imap::Event::Completed { of, status } if of == command => {
                    return match status.condition {
                        Condition::Ok => Ok(()),
                        _ => Err(wrong(status.text)),
                    };
                }
                imap::Event::NotSent { of, why } if of == command => return Err(wrong(why)),
                _ => {}
            }
        }
    }
}
