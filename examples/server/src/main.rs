//! `postriderd`: a mail server assembled from the postrider crates.

mod command;
mod config;
mod delivery;
mod demo;
mod directory;
mod exit;
mod imap;
mod journal;
mod listen;
mod pop3;
mod queue;
mod relay;
mod report;
mod retention;
mod server;
mod settings;
mod smtp;
mod tls;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match command::Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("postriderd: {failure}");
            failure.code.into()
        }
    }
}
