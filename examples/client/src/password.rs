//! Where the password comes from.

use std::env;
use std::fs::{self, File};
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use postrider_core::Secret;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};

use crate::cli::Connection;
use crate::fault::{Class, Fault};
use crate::url::Url;

/// The longest password there is.
const LIMIT: usize = 64 * 1024;

/// Finds the password of the URL's user: a file, a command, the environment, or whoever sits at the terminal.
pub(crate) fn find(connection: &Connection, url: &Url) -> Result<Secret<String>, Fault> {
    if let Some(path) = &connection.password_file {
        return from_file(path);
    }
    if let Some(command) = &connection.password_command {
        return from_command(command);
    }
    if let Some(password) = env::var_os("POSTRIDER_PASSWORD") {
        let password = password.into_string();
        return password.map(Secret::new).map_err(|_| Fault::usage("POSTRIDER_PASSWORD is not UTF-8"));
    }
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        return ask(url);
    }
    Err(Fault::usage(format!(
        "there is no password for {url}: set POSTRIDER_PASSWORD, or use --password-file or --password-command"
    )))
}

fn from_file(path: &Path) -> Result<Secret<String>, Fault> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        File::open(path)?.take(LIMIT as u64 + 1).read_to_end(&mut octets)?;
        Ok(octets)
    };
    let octets = read().map_err(|error| {
        Fault::new(Class::NoInput, format!("cannot read the password from {}: {error}", path.display()))
    })?;
    first_line(octets, &path.display().to_string())
}

fn from_command(command: &str) -> Result<Secret<String>, Fault> {
    let run = Command::new("sh").args(["-c", command]).stdin(Stdio::inherit()).stderr(Stdio::inherit()).output();
    let output = run.map_err(|error| Fault::new(Class::Denied, format!("cannot run --password-command: {error}")))?;
    if !output.status.success() {
        return Err(Fault::new(Class::Denied, format!("--password-command gave no password: {}", output.status)));
    }
    first_line(output.stdout, "--password-command")
}

fn first_line(octets: Vec<u8>, whence: &str) -> Result<Secret<String>, Fault> {
    let wrong = |what: &str| Fault::new(Class::Data, format!("the password from {whence} {what}"));
    if octets.len() > LIMIT {
        return Err(wrong("is too long"));
    }
    let text = String::from_utf8(octets).map_err(|_| wrong("is not UTF-8"))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(wrong("is empty"));
    }
    Ok(Secret::new(line.to_owned()))
}

/// Asks at the terminal, without showing what is typed.
fn ask(url: &Url) -> Result<Secret<String>, Fault> {
    let failed = |error: std::io::Error| Fault::new(Class::Io, format!("cannot ask for the password: {error}"));
    let mut terminal = fs::OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(failed)?;
    let before = tcgetattr(&terminal).map_err(|error| failed(error.into()))?;
    let mut silent = before.clone();
    // Without signals too: a program that is interrupted here would leave a terminal that shows nothing.
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VMIN] = 1;
    silent.special_codes[SpecialCodeIndex::VTIME] = 0;
    let user = url.user.as_deref().unwrap_or_default();
    write!(terminal, "Password of {} at {}: ", crate::show::clean(user), url.place()).map_err(failed)?;
    tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
    let typed = read_typed(&mut terminal);
    tcsetattr(&terminal, OptionalActions::Flush, &before).map_err(|error| failed(error.into()))?;
    writeln!(terminal).map_err(failed)?;
    let typed = typed.map_err(failed)?.ok_or_else(|| Fault::new(Class::Denied, "no password was given"))?;
    first_line(typed, "the terminal")
}

/// `None` if it was cancelled.
fn read_typed(terminal: &mut File) -> std::io::Result<Option<Vec<u8>>> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    const ERASE: [u8; 2] = [8, 127];
    let mut typed = Vec::new();
    let mut key = [0];
    loop {
        if terminal.read(&mut key)? == 0 {
            return Ok(None);
        }
        match key[0] {
            b'\n' | b'\r' => return Ok(Some(typed)),
            INTERRUPT | END => return Ok(None),
            key if ERASE.contains(&key) => {
                // A whole character, of which UTF-8 has several octets.
                while typed.pop().is_some_and(|octet| octet & 0xc0 == 0x80) {}
            }
            key if typed.len() < LIMIT => typed.push(key),
            _ => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        let line = |octets: &[u8]| first_line(octets.to_vec(), "a test").map(Secret::into_inner);
        assert_eq!(line(b"pass word \nmore\n").expect("a password"), "pass word ");
        assert_eq!(line(b"p\r\n").expect("a password"), "p");
        assert_eq!(line(b"\nx").expect_err("empty").class(), Class::Data);
        assert_eq!(line(b"\xff").expect_err("not UTF-8").class(), Class::Data);
    }
}
