//! The demonstration: two mail servers and their DNS on loopback, and one message taken through every step, each shown
//! as it is seen to happen.

mod clients;
mod dns;

use crate::exit::{self, Failure};
use crate::journal::Note;
use crate::server::Server;
use crate::settings::{Data, Listeners, Login, Settings, Users};
use clients::{Account, Reader};
use std::fmt::Display;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::Receiver;

/// How long a step may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(20);

const HERE: &str = "here.example";
const THERE: &str = "there.example";
const ALICE: &str = "alice@here.example";
const BOB: &str = "bob@there.example";
const PASSWORD: &str = "correct horse";

/// Shows every step; then serves on, unless `once`.
pub async fn run(once: bool) -> Result<(), Failure> {
    let demo = Demo::start().await?;
    println!();
    let verdict = demo.show().await;
    match &verdict {
        Ok(()) => {
            println!("\n  Every step was verified: the message arrived octet for octet, and is gone after POP3.\n")
        }
        Err(failure) => println!("\n  {failure}\n"),
    }
    if !once && verdict.is_ok() {
        demo.settings();
        let _ = tokio::signal::ctrl_c().await;
    }
    demo.here.stop().await?;
    demo.there.stop().await?;
    verdict
}

struct Demo {
    here: Server,
    there: Server,
    began: Instant,
}

impl Demo {
    async fn start() -> Result<Self, Failure> {
        let io = |error: std::io::Error| Failure::new(exit::UNAVAILABLE, format!("loopback cannot be used: {error}"));
        // Each must know the other's port before either listens.
        let (here, there) = (free_port().map_err(io)?, free_port().map_err(io)?);
        let zone = dns::Zone::with_mail_for(&[(HERE, Ipv4Addr::LOCALHOST), (THERE, Ipv4Addr::LOCALHOST)]);
        let resolver = dns::serve(zone).await.map_err(io)?;
        println!("  DNS      {resolver} answers for {HERE} and {THERE}");
        let server = async |domain: &str, user: &str, port, other| -> Result<Server, Failure> {
            let server = Server::start(settings(domain, user, port, other, resolver)?).await?;
            println!("  server   mx.{domain} on port {port}, user <{user}>");
            Ok(server)
        };
        Ok(Self {
            here: server(HERE, ALICE, here, there).await?,
            there: server(THERE, BOB, there, here).await?,
            began: Instant::now(),
        })
    }

    /// A step that was seen, when, and how long it took.
    fn step(&self, name: &str, since: Instant, what: impl Display) {
        let (at, took) = (self.began.elapsed().as_secs_f64() * 1e3, since.elapsed().as_secs_f64() * 1e3);
        println!("  {at:8.1} ms  {took:+8.1} ms  {name:<10} {what}");
    }

    async fn show(&self) -> Result<(), Failure> {
        let (mut sent, mut arrived) = (self.here.shared().journal.watch(), self.there.shared().journal.watch());
        let message = message();

        let since = Instant::now();
        let mut bob = within("watch", Reader::open(&self.account(&self.there, BOB, "imaps"))).await?;
        within("watch", bob.wait_for_mail()).await?;
        self.step("watch", since, "bob's client is logged in over IMAP and in IDLE, waiting for mail");

        let since = Instant::now();
        let alice = self.account(&self.here, ALICE, "submission");
        let reply = within("submit", clients::submit(&alice, ALICE, BOB, &message)).await?;
        self.step("submit", since, format!("alice's client: STARTTLS, AUTH, {} octets: \"{reply}\"", message.len()));

        let since = Instant::now();
        let queued = |note: &Note| matches!(note, Note::Queued { .. });
        let note = within("queue", seen(&mut sent, queued)).await?;
        self.step("queue", since, note);

        let since = Instant::now();
        let exchange = |note: &Note| matches!(note, Note::Resolved { name, .. } if name.starts_with("MX"));
        let note = within("dns", seen(&mut sent, exchange)).await?;
        self.step("dns", since, note);
        let address = |note: &Note| matches!(note, Note::Resolved { name, .. } if name.starts_with("A "));
        let note = within("dns", seen(&mut sent, address)).await?;
        self.step("dns", since, note);

        let since = Instant::now();
        let note = within("smtp", seen(&mut sent, |note| matches!(note, Note::Relayed { .. }))).await?;
        self.step("smtp", since, note);

        let since = Instant::now();
        let note = within("deliver", seen(&mut arrived, |note| matches!(note, Note::Delivered { .. }))).await?;
        self.step("deliver", since, note);

        let since = Instant::now();
        let exists = within("push", bob.mail_came()).await?;
        self.step("push", since, format!("bob's client heard \"* {exists} EXISTS\" without asking"));

        let since = Instant::now();
        let read = within("read", bob.read(exists)).await?;
        let trace = added(&read, &message).map_err(|why| failed("read", why))?;
        self.step("read", since, format!("over IMAP, octet for octet, below {trace} trace fields"));

        let since = Instant::now();
        let fetched = within("pop3", clients::fetch_and_delete(&self.account(&self.there, BOB, "pop3s"))).await?;
        if fetched != read {
            return Err(failed("pop3", "POP3 and IMAP gave different octets"));
        }
        self.step("pop3", since, format!("fetched {} octets, the same, and deleted it", fetched.len()));

        let since = Instant::now();
        let left = within("gone", bob.mail_went()).await?;
        if left != 0 {
            return Err(failed("gone", format!("{left} messages are left")));
        }
        self.step("gone", since, "bob's IMAP client heard of that too: the mailbox is empty");
        within("goodbye", bob.close()).await
    }

    fn account(&self, server: &Server, user: &'static str, service: &str) -> Account {
        let address = server.addresses[service];
        Account { address, user, password: PASSWORD, certificate: server.certificate.clone() }
    }

    /// What to type into a mail client.
    fn settings(&self) {
        println!("  Both go on serving. In a mail client (the certificates are self-signed, so allow an exception):\n");
        for (server, user) in [(&self.here, ALICE), (&self.there, BOB)] {
            let port = |service: &str| server.addresses[service].port();
            println!("    user {user}, password \"{PASSWORD}\", host 127.0.0.1");
            println!(
                "      incoming  IMAP {} (TLS) or {} (STARTTLS), POP3 {} (TLS)",
                port("imaps"),
                port("imap"),
                port("pop3s")
            );
            println!("      outgoing  SMTP {} (TLS) or {} (STARTTLS)", port("submissions"), port("submission"));
            println!("      certificate {}\n", server.certificate.display());
        }
        println!("  They can write to each other. Ctrl-C ends it, and removes all data.");
    }
}

fn settings(domain: &str, user: &str, smtp: u16, other: u16, dns: SocketAddr) -> Result<Settings, Failure> {
    let any = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    Ok(Settings {
        hostname: format!("mx.{domain}"),
        domains: vec![domain.to_owned()],
        users: Users::Listed(vec![(user.to_owned(), Login::clear(PASSWORD.to_owned().into()))]),
        data: Data::new(None)?,
        listeners: Listeners {
            smtp: any(smtp),
            submission: any(0),
            submissions: any(0),
            imap: any(0),
            imaps: any(0),
            pop3: any(0),
            pop3s: any(0),
            ..Listeners::default()
        },
        dns: Some(dns),
        mx_port: other,
        ..Settings::default()
    })
}

/// A port that is free now, and most likely still in a moment.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A message with what makes mail hard: encoded words, 8-bit text, a line that begins with a dot, an attachment.
fn message() -> Vec<u8> {
    let id = u64::from_le_bytes(crate::server::random());
    let attachment = "VGhlIHdob2xlIHBhdGggbXVzdCB3b3JrLiA=\r\n".repeat(40);
    format!(
        "From: =?utf-8?q?Alice_Ad=C3=A4?= <{ALICE}>\r\n\
         To: Bob <{BOB}>\r\n\
         Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from the demonstration\r\n\
         Date: {}\r\n\
         Message-ID: <{id:x}@{HERE}>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"-=-\"\r\n\
         \r\n\
         ---=-\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\
         \r\n\
         Hällo Bob,\r\n\
         .this line begins with a dot, and the next is one:\r\n\
         .\r\n\
         Ålice\r\n\
         ---=-\r\n\
         Content-Type: application/octet-stream; name=\"path.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\n\
         \r\n\
         {attachment}\
         ---=---\r\n",
        crate::delivery::date()
    )
    .into_bytes()
}

/// How many trace fields stand before the message; an error if anything else differs.
fn added(read: &[u8], message: &[u8]) -> Result<usize, String> {
    let trace = read.strip_suffix(message).ok_or("the message was changed on its way")?;
    let text = String::from_utf8_lossy(trace);
    let fields: Vec<&str> = text.lines().filter(|line| !line.starts_with(['\t', ' '])).collect();
    let known =
        |field: &&str| ["Return-Path:", "Delivered-To:", "Received:"].iter().any(|name| field.starts_with(name));
    match fields.iter().find(|field| !known(field)) {
        Some(field) => Err(format!("{field:?} was put before the message")),
        None => Ok(fields.len()),
    }
}

fn failed(step: &str, why: impl Display) -> Failure {
    Failure::new(exit::SOFTWARE, format!("step \"{step}\" failed: {why}"))
}

async fn within<T>(step: &str, what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, what).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(failure)) => Err(failed(step, failure)),
        Err(_) => Err(failed(step, format!("nothing was seen of it in {PATIENCE:?}"))),
    }
}

/// The next note of that kind.
async fn seen(notes: &mut Receiver<Note>, wanted: impl Fn(&Note) -> bool) -> Result<Note, Failure> {
    loop {
        match notes.recv().await {
            Ok(note) if wanted(&note) => return Ok(note),
            Ok(Note::Bounced { why, .. } | Note::Deferred { why, .. }) => {
                return Err(Failure::new(exit::SOFTWARE, why));
            }
            Ok(_) => {}
            Err(error) => return Err(Failure::new(exit::SOFTWARE, error.to_string())),
        }
    }
}
