//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::url::Url;

/// Sends, reads, searches and watches mail from the command line, on any server.
#[derive(Parser, Debug)]
#[command(name = "postrider", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 64 usage, 65 bad message, 66 not found, 68 unknown host, 69 unavailable or \
                        refused, 73 cannot create, 74 local I/O, 75 try again later, 76 protocol or TLS, 77 login denied."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// One JSON object a line instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which server, and how.
#[derive(Args, Debug)]
pub(crate) struct Connection {
    /// Where mail is read: imaps://USER@HOST:PORT, imap:// (with --starttls), pop3s:// or pop3://.
    #[arg(long, global = true, value_name = "URL", visible_alias = "pop3")]
    pub(crate) imap: Option<Url>,
    /// Where mail is submitted: smtps://USER@HOST:PORT, or smtp:// (with --starttls).
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) smtp: Option<Url>,
    /// Begin without TLS and insist on it before anything else is said.
    #[arg(long, global = true)]
    pub(crate) starttls: bool,
    /// Trust the certificate authorities in this file, and no others.
    #[arg(long, global = true, value_name = "PEM")]
    pub(crate) ca: Option<PathBuf>,
    /// Read the password from the first line of this file.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "password_command")]
    pub(crate) password_file: Option<PathBuf>,
    /// Read the password from what this shell command prints.
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) password_command: Option<String>,
    /// Send the password even without TLS, for all on the way to read.
    #[arg(long, global = true)]
    pub(crate) plaintext_login: bool,
    /// How long the server may be silent when it is its turn.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) timeout: u64,
    /// Show the wire on standard error, with times and without secrets.
    #[arg(long, global = true)]
    pub(crate) trace: bool,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Send a message read from standard input (or a file), as it is; or compose one with --subject.
    Send(Send),
    /// List the mailboxes.
    Mailboxes(Mailboxes),
    /// List the messages of a mailbox, newest last.
    List(List),
    /// Show a message.
    Read(Read),
    /// Find messages.
    Search(Search),
    /// Report what happens in a mailbox, until interrupted.
    Watch(Watch),
    /// Fetch mail over POP3 into a Maildir, each message once.
    Pop(Pop),
    /// Talk to the server by hand: lines from standard input go out, what comes is printed.
    Raw(Raw),
}

/// `send`
#[derive(Args, Debug)]
pub(crate) struct Send {
    /// The sender; by default the one in the header, or the user of the URL.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: Option<String>,
    /// A recipient; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: Vec<String>,
    /// One more recipient; shown in the header if the message is composed.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) cc: Vec<String>,
    /// One more recipient, never shown.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bcc: Vec<String>,
    /// Take recipients from To, Cc and Bcc in the header too, and remove Bcc.
    #[arg(short = 't', long)]
    pub(crate) header_recipients: bool,
    /// Compose a message with this subject: standard input is its text.
    #[arg(long, value_name = "TEXT", conflicts_with = "header_recipients")]
    pub(crate) subject: Option<String>,
    /// Attach a file to the message that is composed; may be repeated.
    #[arg(long, value_name = "FILE", requires = "subject")]
    pub(crate) attach: Vec<PathBuf>,
    /// Have a report sent when it is delivered, cannot be, or is late; or never (RFC 3461). The server must offer DSN.
    #[arg(long, value_name = "WHEN", value_delimiter = ',')]
    pub(crate) notify: Vec<Notify>,
    /// Let it go only over verified TLS, to the end, or come back (RFC 8689). The server must offer REQUIRETLS.
    #[arg(long)]
    pub(crate) require_tls: bool,
    /// Have the server hold it for so long (RFC 4865). The server must offer FUTURERELEASE.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=999_999_999))]
    pub(crate) hold: Option<u32>,
    /// Read the message, or its text, from this file instead of standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// When a report is sent.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notify {
    Success,
    Failure,
    Delay,
    Never,
}

/// `mailboxes`
#[derive(Args, Debug)]
pub(crate) struct Mailboxes {
    /// Which: * stands for anything, % for anything within one level.
    #[arg(default_value = "*")]
    pub(crate) pattern: String,
    /// Count messages too.
    #[arg(long)]
    pub(crate) status: bool,
}

/// `list`
#[derive(Args, Debug)]
pub(crate) struct List {
    /// The mailbox.
    #[arg(default_value = "INBOX")]
    pub(crate) mailbox: String,
    /// At most so many, the newest. 0 means all.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) limit: u32,
}

/// `read`
#[derive(Args, Debug)]
pub(crate) struct Read {
    /// The mailbox.
    pub(crate) mailbox: String,
    /// The message's UID, as `list` shows it.
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) uid: u32,
    /// The message octet by octet, instead of its text.
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// Mark it as read.
    #[arg(long)]
    pub(crate) seen: bool,
}

/// `search`
#[derive(Args, Debug)]
#[command(after_help = crate::search::HELP)]
pub(crate) struct Search {
    /// The mailbox.
    pub(crate) mailbox: String,
    /// What to look for; all of it must hold.
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

/// `watch`
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// The mailbox.
    #[arg(default_value = "INBOX")]
    pub(crate) mailbox: String,
    /// End after so many events.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) count: Option<u64>,
}

/// `pop`
#[derive(Args, Debug)]
pub(crate) struct Pop {
    /// Leave the messages on the server; what was fetched is remembered.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Where to: a directory, made if it is not there.
    pub(crate) maildir: PathBuf,
}

/// `raw`
#[derive(Args, Debug)]
pub(crate) struct Raw {
    /// How long to wait for answers after standard input has ended.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=86400))]
    pub(crate) linger: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_the_connection_stand_anywhere() {
        let before = Cli::try_parse_from(["postrider", "--imap", "imaps://u@h", "--json", "list"]);
        let after = Cli::try_parse_from(["postrider", "list", "INBOX", "--json", "--imap", "imaps://u@h"]);
        for cli in [before, after] {
            let cli = cli.expect("a good command line");
            assert!(cli.json && cli.connection.imap.is_some());
        }
    }
}
