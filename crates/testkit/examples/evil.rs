//! Evil peers for programs of any kind.
//!
//! ```text
//! evil list smtp server                          what there is
//! evil serve smtp 127.0.0.1:2525 "cuts after"    the first server whose name holds these words, on this address
//! evil call pop3 127.0.0.1:110 "a gibioctet"     every client whose name holds these words, one after the other
//! ```

use postrider_testkit::evil::{Listening, Script, call, pop3, smtp};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "evil list (smtp|pop3) (server|client)\n\
    evil serve (smtp|pop3) ADDRESS WORDS\n\
    evil call (smtp|pop3) ADDRESS WORDS";

fn scripts(protocol: &str, role: &str) -> Option<Vec<Script>> {
    match (protocol, role) {
        ("smtp", "server") => Some(smtp::evil_servers()),
        ("smtp", "client") => Some(smtp::evil_clients()),
        ("pop3", "server") => Some(pop3::evil_servers()),
        ("pop3", "client") => Some(pop3::evil_clients()),
        _ => None,
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["list", protocol, role] => scripts(protocol, role).map(|scripts| {
            scripts.iter().for_each(|script| println!("{}", script.name()));
            Ok(())
        }),
        ["serve", protocol, address, words] => {
            scripts(protocol, "server").map(|scripts| serve(scripts, address, words))
        }
        ["call", protocol, address, words] => {
            scripts(protocol, "client").map(|scripts| call_all(scripts, address, words))
        }
        _ => None,
    };
    match done {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(why)) => {
            eprintln!("evil: {why}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(64)
        }
    }
}

fn serve(scripts: Vec<Script>, address: &str, words: &str) -> Result<(), String> {
    let script = scripts.into_iter().find(|script| script.name().contains(words));
    let script = script.ok_or(format!("no server's name holds {words:?}"))?;
    let name = script.name().to_owned();
    let listening = Listening::on(address, script).map_err(|error| format!("{address}: {error}"))?;
    println!("{name}, on {}; it ends with the input", listening.address());
    let _ = std::io::read_to_string(std::io::stdin());
    Ok(())
}

fn call_all(scripts: Vec<Script>, address: &str, words: &str) -> Result<(), String> {
    for script in scripts.iter().filter(|script| script.name().contains(words)) {
        let talked = call(script, address, Duration::from_secs(30)).map_err(|error| format!("{address}: {error}"))?;
        let how = if talked.ended { "it ended" } else { "it had not ended after 30 s" };
        let last = talked.heard.rsplit(|&octet| octet == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
        println!("{}: said {} octets, {how}; last heard: {}", script.name(), talked.said, last.escape_ascii());
    }
    Ok(())
}
