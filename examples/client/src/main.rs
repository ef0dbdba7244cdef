//! postrider, a mail client: sends, reads, searches and watches from the command line, on any server.

mod cli;
mod compose;
mod connect;
mod fault;
mod imap;
mod journal;
mod list;
mod login;
mod mailboxes;
mod maildir;
mod message;
mod password;
mod pop;
mod progress;
mod raw;
mod read;
mod search;
mod send;
mod show;
mod summary;
mod trace;
mod url;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use fault::{Class, Fault};
use show::Out;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing to be done if it cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(Class::Usage as u8) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Fault::new(Class::Io, format!("cannot start: {error}")).report(),
    };
    let mut out = Out::new(cli.json);
    let done = runtime.block_on(run(&cli, &mut out)).and_then(|()| out.flush());
    // A read from standard input may still wait for a line that never comes.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // What was found before it went wrong is still worth having.
            let _ = out.flush();
            fault.report()
        }
    }
}

async fn run(cli: &Cli, out: &mut Out) -> Result<(), Fault> {
    let connection = &cli.connection;
    match &cli.command {
        Command::Send(send) => send::run(connection, send, out).await,
        Command::Mailboxes(mailboxes) => mailboxes::run(connection, mailboxes, out).await,
        Command::List(list) => list::run(connection, list, out).await,
        Command::Read(read) => read::run(connection, read, out).await,
        Command::Search(search) => search::run(connection, search, out).await,
        Command::Watch(watch) => watch::run(connection, watch, out).await,
        Command::Pop(pop) => pop::run(connection, pop, out).await,
        Command::Raw(raw) => raw::run(connection, raw, out).await,
    }
}
