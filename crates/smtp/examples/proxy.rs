//! A proxy: a server session and a client session face to face. It stores nothing and promises nothing of its own: each
//! question of the one waits until the other has its server's answer, which is passed on.
//!
//! `cargo run -p postrider-smtp --features tokio --example proxy -- 127.0.0.1:2525 192.0.2.1:25`

use bytes::{Buf, Bytes};
use postrider_core::{Closed, Pending, Text};
use postrider_io::Tls;
use postrider_io::tokio::Driver;
use postrider_smtp::client::{self, Outcome, RefusedAt};
use postrider_smtp::server::{self, ask};
use postrider_smtp::{Accepted, Client, Recipient, Refusal, Reply, Server};
use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

const GONE: Refusal = Refusal::transient(451, (4, 4), Text::literal("The next server is gone"));

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(here), Some(there)) = (arguments.next(), arguments.next()) else {
        return Err("usage: proxy LISTEN-ADDRESS SERVER-ADDRESS".into());
    };
    let listener = TcpListener::bind(here).await?;
    println!("listening at {}", listener.local_addr()?);
    relay(listener, there).await
}

/// Serves all who connect.
pub async fn relay(listener: TcpListener, there: String) -> Result<(), Box<dyn Error>> {
    loop {
        let (stream, peer) = listener.accept().await?;
        let there = there.clone();
        tokio::spawn(async move {
            match TcpStream::connect(there).await {
                Ok(upstream) => println!("{peer}: {}", Proxy::new(stream, upstream).run().await),
                Err(error) => println!("{peer}: the next server cannot be reached: {error}"),
            }
        });
    }
}

/// A connection on either side, and what each waits for from the other.
struct Proxy {
    server: Driver<Server, TcpStream>,
    client: Driver<Client, TcpStream>,
    /// Whether the next server can be spoken to.
    upstream: Upstream,
    of: Option<client::Transaction>,
    mail: Option<Pending<ask::Mail>>,
    /// RCPTs that the next server has not answered, in order.
    recipients: VecDeque<Pending<ask::Rcpt>>,
    data: Option<Pending<ask::Data>>,
    body: Option<Pending<client::ask::Body>>,
    /// Octets that the next server has no room for. While there are any, our client is not listened to.
    waiting: Bytes,
    message: Option<Pending<ask::Message>>,
}

#[derive(PartialEq)]
enum Upstream {
    Opening,
    Ready,
    Gone,
}

impl Proxy {
    fn new(stream: TcpStream, upstream: TcpStream) -> Self {
        let name = || "proxy.example".parse().expect("a name");
        let mut ours = server::Config::new(name());
        // As many recipients may wait for the next server as our client sends at once.
        ours.undecided = 100;
        let theirs = client::Config::new(name());
        Self {
            server: Driver::new(Server::new(Arc::new(ours), 1), stream, Tls::None),
            client: Driver::new(Client::new(Arc::new(theirs), 2), upstream, Tls::None),
            upstream: Upstream::Opening,
            of: None,
            mail: None,
            recipients: VecDeque::new(),
            data: None,
            body: None,
            waiting: Bytes::new(),
            message: None,
        }
    }

    /// Serves one client to the end.
    async fn run(mut self) -> Closed {
        let mut closed = Closed::Eof;
        loop {
            tokio::select! {
                event = self.server.next(), if self.upstream != Upstream::Opening && self.waiting.is_empty() => {
                    match event {
                        Some(server::Event::Closed(why)) => closed = why,
                        Some(event) => self.ask_onward(event),
                        None => break,
                    }
                }
                event = self.client.next(), if self.upstream != Upstream::Gone => {
                    match event {
                        Some(event) => self.answer_back(event),
                        None => self.lost(),
                    }
                }
            }
        }
        if self.upstream == Upstream::Ready {
            self.client.session().quit();
            while self.client.next().await.is_some() {}
        }
        closed
    }

    /// What our client wants is asked of the next server.
    fn ask_onward(&mut self, event: server::Event) {
        let server = self.server.session();
        let client = self.client.session();
        // An answer that comes too late has been given by the session itself.
        let _ = match event {
            server::Event::Mail { answer, from, params } => match client.open(from, params) {
                Ok(of) => {
                    self.of = Some(of);
                    self.mail = Some(answer);
                    Ok(())
                }
                Err(error) => server.refuse(answer, cannot(&error)),
            },
            server::Event::Rcpt { answer, to, params } => {
                match self.of.map(|of| client.add(of, Recipient { to, params })) {
                    Some(Ok(_)) => {
                        self.recipients.push_back(answer);
                        Ok(())
                    }
                    Some(Err(error)) => server.refuse(answer, cannot(&error)),
                    None => server.refuse(answer, GONE),
                }
            }
            server::Event::Data { answer } => match self.of.map(|of| client.close_envelope(of)) {
                Some(Ok(())) => {
                    self.data = Some(answer);
                    Ok(())
                }
                Some(Err(_)) | None => server.refuse(answer, GONE),
            },
            server::Event::Body(octets) => {
                self.waiting = octets;
                self.pass();
                Ok(())
            }
            server::Event::Message { answer, .. } => {
                self.message = Some(answer);
                match self.body.take().map(|body| client.finish(body)) {
                    Some(Ok(())) => Ok(()),
                    // Its end is reported as well.
                    Some(Err(_)) | None if self.of.is_some() => Ok(()),
                    Some(Err(_)) | None => self.message.take().map_or(Ok(()), |answer| server.refuse(answer, GONE)),
                }
            }
            server::Event::Reset => {
                match (self.body.take(), self.of.take()) {
                    (Some(body), _) => client.abandon(body),
                    (None, Some(of)) => drop(client.cancel(of)),
                    (None, None) => {}
                }
                self.waiting.clear();
                Ok(())
            }
            other => {
                server.decline(other);
                Ok(())
            }
        };
    }

    /// What the next server says answers our client.
    fn answer_back(&mut self, event: client::Event) {
        let server = self.server.session();
        let _ = match event {
            client::Event::Ready => {
                self.upstream = Upstream::Ready;
                Ok(())
            }
            client::Event::Sender { reply, .. } => {
                self.mail.take().map_or(Ok(()), |answer| server.answer(answer, verdict(&reply)))
            }
            client::Event::Recipient { reply, .. } => {
                self.recipients.pop_front().map_or(Ok(()), |answer| server.answer(answer, verdict(&reply)))
            }
            client::Event::BodyWanted { body, .. } => {
                self.body = Some(body);
                self.data.take().map_or(Ok(()), |answer| server.accept(answer))
            }
            client::Event::BodyRoom { .. } => {
                self.pass();
                Ok(())
            }
            client::Event::Finished { outcomes, .. } => {
                self.finished(&outcomes);
                Ok(())
            }
            client::Event::Closed(_) => {
                self.lost();
                Ok(())
            }
            _ => Ok(()),
        };
    }

    /// Gives the next server what it has room for.
    fn pass(&mut self) {
        match &self.body {
            Some(body) => {
                let taken = self.client.session().write_shared(body, &self.waiting);
                self.waiting.advance(taken);
            }
            // It does not want the message any more, and has said why or will.
            None => self.waiting.clear(),
        }
    }

    /// The transaction with the next server is over: whoever still waits for it is told.
    fn finished(&mut self, outcomes: &[Outcome]) {
        let server = self.server.session();
        let word = outcomes.iter().find(|outcome| !matches!(outcome, Outcome::Refused { at: RefusedAt::Rcpt, .. }));
        let refusal = match word {
            Some(Outcome::Refused { reply, .. }) => verdict(reply).err().unwrap_or(GONE),
            _ => GONE,
        };
        if let Some(answer) = self.message.take() {
            let _ = match word {
                Some(Outcome::Delivered(_)) => server.accept(answer),
                _ => server.refuse(answer, refusal.clone()),
            };
        }
        if let Some(answer) = self.data.take() {
            let _ = server.refuse(answer, refusal.clone());
        }
        if let Some(answer) = self.mail.take() {
            let _ = server.refuse(answer, refusal.clone());
        }
        for answer in self.recipients.drain(..) {
            let _ = server.refuse(answer, refusal.clone());
        }
        self.waiting.clear();
        self.body = None;
        self.of = None;
    }

    /// The next server is gone: our client is told 421.
    fn lost(&mut self) {
        self.upstream = Upstream::Gone;
        self.finished(&[]);
        self.server.session().shut_down(Text::literal("The next server is gone"));
    }
}

/// The next server's reply as our answer.
fn verdict(reply: &Reply) -> Result<Accepted, Refusal> {
    match Refusal::try_from(reply) {
        Ok(refusal) => Err(refusal),
        Err(_) => Ok(Accepted::default()),
    }
}

/// Why the next server cannot even be asked.
fn cannot(error: &client::SendError) -> Refusal {
    let text = Text::lossy(&error.to_string(), 200);
    match error.status() {
        Some(status) => Refusal::permanent(554, (status.subject(), status.detail()), text),
        None => Refusal::transient(451, (3, 0), text),
    }
}
