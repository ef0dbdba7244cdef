//! The program itself, as a user starts it, against servers made of the crates' other halves and against scripts.

mod evil;
mod imap;
mod pop;
mod send;
mod usage;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

/// The program, with nothing of this machine's in its environment.
fn postrider(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(arguments).env_remove("POSTRIDER_PASSWORD").stdin(Stdio::null());
    command
}

/// The program with a password that may go in the clear, as it does within this machine.
fn plain(arguments: &[&str]) -> Command {
    let mut command = postrider(arguments);
    command.arg("--plaintext-login").env("POSTRIDER_PASSWORD", "secret");
    command
}

/// Runs it with this input.
fn run(command: &mut Command, input: &[u8]) -> Output {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    // Who fails before it has read everything closes the pipe.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// It must have ended well. What it printed.
#[track_caller]
fn printed(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// It must have ended with this code, and have said one sentence with these words.
#[track_caller]
fn assert_failed(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// The certificate of an authority, in a file.
fn authority() -> tempfile::NamedTempFile {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(made.cert.pem().as_bytes()).expect("written");
    file
}

/// Serves connections one after the other, each by the next of `serve`, on a thread of its own.
fn serve(serve: Vec<Box<dyn FnOnce(TcpStream) + Send>>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let at = listener.local_addr().expect("it is bound");
    let thread = thread::spawn(move || {
        for serve in serve {
            serve(listener.accept().expect("a connection").0);
        }
    });
    (at, thread)
}

/// The server's end of a connection, by hand.
struct Script {
    from: BufReader<TcpStream>,
    to: TcpStream,
}

impl Script {
    fn new(stream: TcpStream) -> Self {
        Self { from: BufReader::new(stream.try_clone().expect("a socket")), to: stream }
    }

    /// The next line, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn say(&mut self, text: &str) {
        self.to.write_all(text.as_bytes()).expect("the client listens");
    }

    /// Answers an IMAP command that must begin so: `data`, then OK.
    #[track_caller]
    fn imap(&mut self, command: &str, data: &str) {
        let line = self.line();
        let (tag, rest) = line.split_once(' ').unwrap_or((&line, ""));
        assert!(rest.starts_with(command), "expected {command}, got {line}");
        self.say(&format!("{data}{tag} OK done\r\n"));
    }
}
