//! `send`: submits a message, and says for each recipient what became of it.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use postrider_core::Pending;
use postrider_sasl::{MechanismName, NoMechanism};
use postrider_smtp::client::{AuthFailed, Chunking, Client, Config, Event, NotSent, Outcome, Tls, ask};
use postrider_smtp::wire::{BodyType, Hold, Notify};
use postrider_smtp::{AddressLiteral, Envelope, ForwardPath, HelloName, Mailbox, Reply, ReversePath};
use serde::Serialize;
use tokio::net::TcpStream;

use crate::cli::{self, Connection};
use crate::compose::compose;
use crate::connect::{Line, Settings, reading};
use crate::fault::{Class, Fault};
use crate::login;
use crate::message::{self, Message};
use crate::progress;
use crate::show::{Out, count};
use crate::trace::Trace;
use crate::url::{Protocol, Url};

/// What became of the message for one recipient.
#[derive(Serialize)]
struct Report<'a> {
    recipient: &'a str,
    /// `delivered`, `refused`, `unknown` or `not-sent`.
    outcome: &'static str,
    /// The reply code, if the server had the last word.
    code: Option<u16>,
    enhanced: Option<String>,
    text: String,
    /// Whether the same may work later.
    temporary: bool,
}

pub(crate) async fn run(connection: &Connection, send: &cli::Send, out: &mut Out) -> Result<(), Fault> {
    let url = reading(connection, Protocol::Smtp)?;
    let mut recipients = Vec::new();
    for address in send.to.iter().chain(&send.cc).chain(&send.bcc) {
        add(&mut recipients, address)?;
    }
    if recipients.is_empty() && !send.header_recipients {
        return Err(Fault::usage("who gets it? Say so with --to, or with -t if the header does"));
    }
    if let Some(from) = &send.from {
        sender(from)?;
    }
    if send.file.is_none() && std::io::stdin().is_terminal() {
        eprintln!("Type the message and end it with Ctrl-D.");
    }
    // The whole message, before anybody is asked to take it.
    let input = message::input(send.file.as_deref())?;
    let mut message = match &send.subject {
        Some(_) => compose(send, &composer(send, url)?, input)?,
        None => Message::read(input, send.header_recipients)?,
    };
    let from = match (&send.from, &message.from, &url.user) {
        (Some(from), _, _) | (None, Some(from), _) => sender(from)?,
        (None, None, Some(user)) => sender(user)?,
        (None, None, None) => return Err(Fault::usage("who sends it? Say so with --from")),
    };
    if send.header_recipients {
        for address in std::mem::take(&mut message.recipients) {
            add(&mut recipients, &address)?;
        }
        if recipients.is_empty() {
            return Err(Fault::new(Class::Data, "the header names no recipients: add To, or use --to"));
        }
    }

    let mut envelope = Envelope::new(from).with_size(message.size);
    envelope.params.body = message.eight_bit.then_some(BodyType::EightBitMime);
    envelope.params.require_tls = send.require_tls;
    envelope.params.hold = send.hold.map(Hold::For);
    let notify = notify(&send.notify)?;
    for recipient in &recipients {
        envelope = envelope.and_to(recipient.clone());
    }
    for recipient in &mut envelope.recipients {
        recipient.params.notify = notify;
    }
    let settings = Settings::new(connection, url)?;
    let mut outcomes = submit(&settings, &envelope, &mut message, Chunking::WhenOffered).await?;
    if outcomes.contains(&Outcome::NotSent(NotSent::ChunksRefused)) {
        // It offers CHUNKING and does not know BDAT.
        message.rewind().map_err(|error| Fault::new(Class::Io, format!("cannot read the kept message: {error}")))?;
        outcomes = submit(&settings, &envelope, &mut message, Chunking::WhenNeeded).await?;
    }
    report(&recipients, &outcomes, out)
}

/// When reports are sent, if that was said.
fn notify(when: &[cli::Notify]) -> Result<Option<Notify>, Fault> {
    let has = |what| when.contains(&what);
    match when {
        [] => Ok(None),
        [cli::Notify::Never] => Ok(Some(Notify::NEVER)),
        _ if has(cli::Notify::Never) => Err(Fault::usage("--notify never stands alone")),
        _ => Ok(Some(Notify {
            success: has(cli::Notify::Success),
            failure: has(cli::Notify::Failure),
            delay: has(cli::Notify::Delay),
        })),
    }
}

fn add(recipients: &mut Vec<ForwardPath>, address: &str) -> Result<(), Fault> {
    let path = if address.eq_ignore_ascii_case("postmaster") {
        ForwardPath::Postmaster
    } else {
        let mailbox = Mailbox::parse(address).map_err(|error| wrong_address(address, &error))?;
        ForwardPath::Mailbox(mailbox)
    };
    if !recipients.contains(&path) {
        recipients.push(path);
    }
    Ok(())
}

fn sender(address: &str) -> Result<ReversePath, Fault> {
    if matches!(address, "" | "<>") {
        return Ok(ReversePath::Null);
    }
    Mailbox::parse(address).map(ReversePath::Mailbox).map_err(|error| wrong_address(address, &error))
}

fn wrong_address(address: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(Class::Usage, format!("{address:?} is not a mail address: {error}"))
}

/// Who composes a message.
fn composer(send: &cli::Send, url: &Url) -> Result<String, Fault> {
    let from = send.from.as_ref().or(url.user.as_ref());
    let from = from.ok_or_else(|| Fault::usage("who sends it? Say so with --from"))?;
    match sender(from)? {
        ReversePath::Mailbox(mailbox) => Ok(mailbox.as_str().to_owned()),
        ReversePath::Null => Err(Fault::usage("a message that is composed needs a sender: say who with --from")),
    }
}

/// One session with one transaction.
async fn submit(
    settings: &Settings,
    envelope: &Envelope,
    message: &mut Message,
    chunking: Chunking,
) -> Result<Vec<Outcome>, Fault> {
    let mut session = Session { words: None, settings, line: open(settings, chunking).await? };
    session.ready().await?;
    session.log_in().await?;
    let outcomes = session.send(envelope.clone(), message).await?;
    session.quit().await;
    Ok(outcomes)
}

async fn open(settings: &Settings, chunking: Chunking) -> Result<Line<Client>, Fault> {
    let begin = |stream: &TcpStream| {
        // RFC 5321, 4.1.3: who has no name that others know says its address.
        let address = stream.local_addr().map_or(std::net::Ipv4Addr::LOCALHOST.into(), |address| address.ip());
        let name = AddressLiteral::from_ip(address);
        let name = HelloName::parse(name.as_str()).expect("an address literal is a name for EHLO");
        let mut config = Config::new(name);
        config.tls = match (settings.url.tls, settings.starttls) {
            (true, _) => Tls::Implicit,
            (false, true) => Tls::Required,
            (false, false) => Tls::Manual,
        };
        config.chunking = chunking;
        if settings.plaintext_login {
            config = config.dangerous_allow_plaintext_auth();
        }
        let limits = &mut config.limits;
        let patience = settings.timeout;
        for limit in [
            &mut limits.handshake,
            &mut limits.greeting,
            &mut limits.command,
            &mut limits.mail,
            &mut limits.rcpt,
            &mut limits.data,
            &mut limits.block,
        ] {
            *limit = patience;
        }
        // To give up early here risks a second copy (RFC 5321, 4.5.3.2.6).
        limits.message = limits.message.max(patience);
        limits.quit = Duration::from_secs(5).min(patience);
        let mut client = Client::new(Arc::new(config), 1);
        if settings.trace {
            client.set_tap(Some(Box::new(Trace::new())));
        }
        client
    };
    Line::open(settings, begin).await
}

/// A session with the server.
struct Session<'a> {
    settings: &'a Settings,
    line: Line<Client>,
    /// The server's last, if it said why it closes.
    words: Option<Reply>,
}

impl Session<'_> {
    fn place(&self) -> String {
        self.settings.url.place()
    }

    /// The next event; the end is a fault.
    async fn next(&mut self) -> Result<Event, Fault> {
        let event = self.line.next().await?;
        match &event {
            Event::Closed(why) => Err(self.ended(why)),
            Event::Goodbye(words) => {
                self.words = Some(words.clone());
                Ok(event)
            }
            _ => Ok(event),
        }
    }

    fn ended(&self, why: &postrider_core::Closed) -> Fault {
        match &self.words {
            Some(words) => {
                let class = if words.is_transient() { Class::TryLater } else { Class::Unavailable };
                Fault::new(class, format!("{} does not serve us: {words}", self.place()))
            }
            None => self.line.lost(why, None),
        }
    }

    /// Why the session does not do what it was told: it has ended, or the reason it gives.
    async fn refused(&mut self, class: Class, why: impl std::fmt::Display) -> Fault {
        while let Some(event) = self.line.next_at_once().await {
            match event {
                Event::Goodbye(words) => self.words = Some(words),
                Event::Closed(why) => return self.ended(&why),
                _ => {}
            }
        }
        Fault::new(class, format!("{}: {why}", self.place()))
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        while !matches!(self.next().await?, Event::Ready) {}
        Ok(())
    }

    async fn log_in(&mut self) -> Result<(), Fault> {
        let Some((user, password)) = &self.settings.login else { return Ok(()) };
        let place = self.place();
        let offered = self.line.session().capabilities().map(|offered| offered.auth.clone()).unwrap_or_default();
        let unusable = |error: &dyn std::fmt::Display| Fault::usage(format!("cannot log in: {error}"));
        if offered.is_empty() {
            let sentence = format!("{place} offers no login: leave the user out of the URL, or try another port");
            return Err(Fault::new(Class::Unavailable, sentence));
        }
        let mechanism = match login::strongest(user, password, &offered, self.line.session().security()) {
            Ok(mechanism) => mechanism,
            Err(NoMechanism::Unusable(error)) => return Err(unusable(&error)),
            Err(_) => {
                let names: Vec<_> = offered.iter().map(MechanismName::as_str).collect();
                let sentence = format!("{place} takes no password, only {}", names.join(", "));
                return Err(Fault::new(Class::Unavailable, sentence));
            }
        };
        if let Err(why) = self.line.session().authenticate(mechanism) {
            return Err(self.refused(Class::Unavailable, why).await);
        }
        let done = loop {
            if let Event::Authenticated(done) = self.next().await? {
                break done;
            }
        };
        match done {
            Ok(()) => Ok(()),
            Err(AuthFailed::Refused(reply)) if reply.is_transient() => {
                Err(Fault::new(Class::TryLater, format!("{place} cannot log {user} in now: {reply}; try again later")))
            }
            Err(AuthFailed::Refused(reply)) => {
                let sentence = format!("{place} refused the login of {user}: {reply}; check user and password");
                Err(Fault::new(Class::Denied, sentence))
            }
            Err(failed @ (AuthFailed::Mechanism(_) | AuthFailed::BadChallenge)) => {
                Err(Fault::new(Class::Protocol, format!("the login at {place} failed: {failed}")))
            }
        }
    }

    async fn send(&mut self, envelope: Envelope, message: &mut Message) -> Result<Vec<Outcome>, Fault> {
        // A session leaves out what only asks for reports where that is not understood; here it was asked for.
        let asks = envelope.recipients.iter().any(|recipient| recipient.params.notify.is_some());
        if asks && !self.line.session().capabilities().is_some_and(|offered| offered.dsn) {
            let sentence = format!("{} sends no reports: leave out --notify", self.place());
            return Err(Fault::new(Class::Unavailable, sentence));
        }
        let bar = progress::octets("sending", message.size, self.settings.trace);
        if let Err(why) = self.line.session().send(envelope) {
            bar.finish_and_clear();
            return Err(self.refused(Class::Unavailable, format!("it cannot take this message: {why}")).await);
        }
        let mut wanted = None;
        let mut part = BytesMut::new();
        loop {
            match self.next().await? {
                Event::BodyWanted { body, .. } => wanted = Some(body),
                Event::BodyRoom { .. } => {}
                Event::Finished { outcomes, .. } => {
                    bar.finish_and_clear();
                    return Ok(outcomes);
                }
                _ => continue,
            }
            let Some(body) = wanted.take() else { continue };
            if give(self.line.session(), &body, message, &mut part, &bar)? {
                // If it cannot be ended, the outcomes say so.
                let _ = self.line.session().finish(body);
            } else {
                wanted = Some(body);
            }
        }
    }

    async fn quit(&mut self) {
        self.line.session().quit();
        self.line.finish().await;
    }
}

/// Gives as much of the message as the session has room for. True if that is all of it. `part` is what was read and not
/// given yet.
fn give(
    session: &mut Client,
    body: &Pending<ask::Body>,
    message: &mut Message,
    part: &mut BytesMut,
    bar: &indicatif::ProgressBar,
) -> Result<bool, Fault> {
    loop {
        if part.is_empty() {
            part.resize(64 * 1024, 0);
            let read = message.next(part);
            let read = read.map_err(|error| Fault::new(Class::Io, format!("cannot read the kept message: {error}")))?;
            part.truncate(read);
            if read == 0 {
                return Ok(true);
            }
        }
        let taken = session.write(body, part);
        part.advance(taken);
        bar.inc(taken as u64);
        if !part.is_empty() {
            return Ok(false);
        }
    }
}

/// Says what became of the message, and makes the exit code of it.
fn report(recipients: &[ForwardPath], outcomes: &[Outcome], out: &mut Out) -> Result<(), Fault> {
    let (mut refused, mut later, mut unknown) = (0, 0, 0);
    for (recipient, outcome) in recipients.iter().zip(outcomes) {
        let reply = match outcome {
            Outcome::Delivered(reply) | Outcome::Refused { reply, .. } => Some(reply),
            Outcome::Unknown | Outcome::NotSent(_) => None,
        };
        let temporary = match outcome {
            Outcome::Delivered(_) | Outcome::Unknown => false,
            Outcome::Refused { reply, .. } => reply.is_transient(),
            Outcome::NotSent(why) => matches!(why, NotSent::Ended),
        };
        let (word, text) = match outcome {
            Outcome::Delivered(reply) => ("delivered", reply.text(1000).to_string()),
            Outcome::Refused { reply, .. } => ("refused", reply.text(1000).to_string()),
            Outcome::Unknown => {
                ("unknown", "the connection was lost before the server said whether it has the message".to_owned())
            }
            Outcome::NotSent(why) => ("not-sent", why.to_string()),
        };
        match outcome {
            Outcome::Delivered(_) => {}
            Outcome::Unknown => unknown += 1,
            Outcome::Refused { .. } | Outcome::NotSent(_) if temporary => later += 1,
            Outcome::Refused { .. } | Outcome::NotSent(_) => refused += 1,
        }
        let report = Report {
            recipient: recipient.as_str(),
            outcome: word,
            code: reply.map(|reply| reply.code().number()),
            enhanced: reply.and_then(Reply::enhanced).map(|code| code.to_string()),
            text,
            temporary,
        };
        if out.is_json() {
            out.object(&report)?;
        } else {
            let said = reply.map_or(report.text, Reply::to_string);
            out.line(&format!("{}  {word}  {said}", report.recipient))?;
        }
    }
    out.flush()?;
    let all = count(outcomes.len(), "recipient");
    if unknown > 0 {
        let sentence =
            "the connection was lost before the server confirmed the message: to send it again may duplicate it";
        return Err(Fault::new(Class::TryLater, sentence));
    }
    if refused > 0 {
        return Err(Fault::new(Class::Unavailable, format!("not delivered to {} of {all}", refused + later)));
    }
    if later > 0 {
        return Err(Fault::new(Class::TryLater, format!("not delivered to {later} of {all}: try again later")));
    }
    Ok(())
}
