//! Sends a message from standard input, and says what became of it for each recipient.
//!
//! `cargo run -p postrider-smtp --features blocking --example send -- smtp.example.org alice@example.org bob@example.net`
//!
//! Over STARTTLS at port 587, or without TLS if the host is given with a port: `127.0.0.1:2525`. The environment's
//! `SMTP_USER` and `SMTP_PASSWORD` log in.

use postrider_smtp::{Envelope, Mailbox, Remote, blocking};
use std::error::Error;
use std::io::Read;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(from)) = (arguments.next(), arguments.next()) else {
        return Err("usage: send HOST[:PORT] SENDER RECIPIENT...".into());
    };
    let mut remote = match host.split_once(':') {
        Some((host, port)) => Remote::plaintext(host, port.parse()?)?,
        None => Remote::submission(&host)?,
    };
    if let (Ok(user), Ok(password)) = (std::env::var("SMTP_USER"), std::env::var("SMTP_PASSWORD")) {
        remote = remote.login(user, password);
    }
    let mut envelope = Envelope::new(Mailbox::parse(&from)?);
    for to in arguments {
        envelope = envelope.and_to(Mailbox::parse(&to)?);
    }

    let mut message = String::new();
    std::io::stdin().read_to_string(&mut message)?;
    // Lines end with CR LF on the wire.
    let message = message.replace("\r\n", "\n").replace('\n', "\r\n");

    let recipients = envelope.recipients.clone();
    let outcomes = blocking::send(&remote, envelope, message.as_bytes())?;
    for (recipient, outcome) in recipients.iter().zip(&outcomes) {
        println!("{}: {outcome:?}", recipient.to.as_str());
    }
    Ok(if outcomes.iter().all(|outcome| outcome.is_delivered()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
