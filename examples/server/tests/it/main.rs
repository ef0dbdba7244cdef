//! `postriderd` as it is started from a shell. What it does with other people's software is in the `interop` package.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A server that ends with the test.
struct Server(Child, Vec<(String, u16)>);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn postriderd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postriderd"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(arguments: &[&str]) -> Server {
    let mut child = postriderd(arguments).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let ready: serde_json::Value = serde_json::from_str(line.strip_prefix("ready ").expect("ready")).expect("JSON");
    let port = |(name, value): (&String, &serde_json::Value)| Some((name.clone(), value.as_u64()? as u16));
    Server(child, ready.as_object().expect("an object").iter().filter_map(port).collect())
}

impl Server {
    fn talk(&self, service: &str) -> Talk {
        let port = self.1.iter().find(|(name, _)| name == service).expect("a service").1;
        Talk(BufReader::new(TcpStream::connect(("127.0.0.1", port)).expect("connected")))
    }
}

/// What `hash-password` makes of a password.
fn hash(password: &str) -> String {
    let mut child = postriderd(&["hash-password"]).stdin(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(format!("{password}\n").as_bytes()).expect("written");
    let mut hash = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut hash).expect("read");
    assert!(child.wait().expect("ended").success());
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    hash.trim_end().to_owned()
}

struct Talk(BufReader<TcpStream>);

impl Talk {
    fn send(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("sent");
    }

    /// The last line of a reply.
    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a line");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.reply()
    }
}

#[test]
fn the_demonstration_takes_a_message_through_every_step() {
    let done = postriderd(&["demo", "--once"]).output().expect("it runs");
    let shown = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{shown}{}", String::from_utf8_lossy(&done.stderr));
    for step in ["watch", "submit", "queue", "dns", "smtp", "deliver", "push", "read", "pop3", "gone"] {
        assert!(shown.lines().any(|line| line.contains(&format!(" ms  {step} "))), "{step} is missing in:\n{shown}");
    }
    assert!(shown.contains("octet for octet"));
}

#[test]
fn a_message_above_the_limit_is_refused_once_at_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("postrider.toml");
    let data = dir.path().join("data");
    let off = ["submission", "submissions", "imap", "imaps", "pop3", "pop3s"]
        .map(|name| format!("{name} = \"127.0.0.1:0\"\n"));
    let text = format!(
        "domains = [\"ours.test\"]\ndata = {data:?}\n[aliases]\n[listen]\nsmtp = \"127.0.0.1:0\"\n{}[limits]\nmessage_size = 1000\n\
         [[user]]\naddress = \"ada@ours.test\"\npassword_hash = {hash:?}\n",
        off.concat(),
        hash = hash("secret")
    );
    std::fs::write(&config, text).expect("written");
    let server = start(&["serve", "--config", config.to_str().expect("a path")]);
    let mut smtp = server.talk("smtp");
    assert!(smtp.reply().starts_with("220 "));
    assert!(smtp.ask("EHLO client.test").starts_with("250 "));
    assert_eq!(&smtp.ask("MAIL FROM:<x@client.test> SIZE=1001")[..9], "552 5.3.4");
    assert_eq!(&smtp.ask("MAIL FROM:<x@client.test>")[..3], "250");
    assert_eq!(&smtp.ask("RCPT TO:<nobody@ours.test>")[..9], "550 5.1.1");
    assert_eq!(&smtp.ask("RCPT TO:<ada@elsewhere.test>")[..9], "550 5.7.1");
    assert_eq!(&smtp.ask("RCPT TO:<Ada+folder@OURS.test>")[..3], "250");
    assert_eq!(&smtp.ask("DATA")[..3], "354");
    for _ in 0..30 {
        smtp.send(&"x".repeat(70));
    }
    assert_eq!(&smtp.ask(".")[..9], "552 5.3.4");
    assert_eq!(&smtp.ask("NOOP")[..3], "250", "one reply, and the session goes on");
}
