//! The notation of transcripts.
//!
//! One step a line. Everything before the first blank is the kind of the step:
//!
//! | line | step |
//! |---|---|
//! | `# text` | nothing; so are blank lines |
//! | `server key=value ...` | the talk is played against the server, configured so; several lines add up |
//! | `client key=value ...` | the talk is played against the client; a talk may have both |
//! | `C: text`, `S: text` | a line of the client's or the server's, CR LF implied, no escapes |
//! | `C< text`, `S< text` | octets with escapes (`\r \n \t \0 \\ \xNN \{600*a}`), nothing implied |
//! | `? text = answer` | the session asks, the application answers; `-` leaves it open, to be answered further down |
//! | `! text` | the session reports an event; `! body text` lines with escapes may cut what was reported as they like |
//! | `> text` | the application does something of its own accord |
//! | `@ +5m` | so much time passes: `ms`, `s`, `m`, `h`, `d` |
//! | `~ tls` | the session wants TLS, and it succeeds; `~ tls failed TEXT` if it shall not |
//! | `~ eof` | the peer's stream ends |
//! | `play whole` | the talk depends on what comes in one piece (injection): do not cut it |
//!
//! In a talk for both, `s?`, `s!`, `s>` and `c?`, `c!`, `c>` are for one of them.
//!
//! What comes between two steps that drive the session (input, answers, actions, time) must all be expected there:
//! an answer on the wire before its question was answered does not go unnoticed. Questions may be answered in any
//! order. Whether events or octets came first between two driving steps is not looked at.

use crate::unescape;
use std::time::Duration;

/// Which end of the connection is tested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// `C` goes in, `S` comes out.
    Server,
    /// `S` goes in, `C` comes out.
    Client,
}

/// A parsed transcript.
#[derive(Clone, Debug)]
pub struct Talk {
    /// Its lines, in order.
    pub lines: Vec<Line>,
}

/// One line of a transcript.
#[derive(Clone, Debug)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// As written.
    pub raw: String,
    /// What it means.
    pub step: Step,
}

/// What a line means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A comment or a blank line.
    Nothing,
    /// Configuration, for one role.
    Setting(Role, String),
    /// Not to be cut.
    Whole,
    /// Octets that the one in this role says.
    Wire(Role, Vec<u8>),
    /// A question, and how it is answered.
    Question {
        /// The role it is asked in; any if not said.
        of: Option<Role>,
        /// As the adapter shows it.
        text: String,
        /// For the adapter to read; `-` for not now.
        answer: String,
    },
    /// An event, as the adapter shows it.
    Event {
        /// The role it is reported in; any if not said.
        of: Option<Role>,
        /// As the adapter shows it.
        text: String,
    },
    /// Something the application does, for the adapter to read.
    Act {
        /// The role that does it; any if not said.
        of: Option<Role>,
        /// For the adapter to read.
        text: String,
    },
    /// Time passes.
    Wait(Duration),
    /// TLS is wanted; it succeeds, or fails for this reason.
    Tls(Result<(), String>),
    /// The peer's stream ends.
    Eof,
}

impl Talk {
    /// Parses `text`.
    ///
    /// # Errors
    /// A sentence with the number of the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = vec![];
        for (index, raw) in text.lines().enumerate() {
            let step = step(raw).map_err(|why| format!("line {}: {why}", index + 1))?;
            lines.push(Line { number: index + 1, raw: raw.to_owned(), step });
        }
        let talk = Self { lines };
        if !talk.is_for(Role::Server) && !talk.is_for(Role::Client) {
            return Err("there is neither a `server` nor a `client` line".to_owned());
        }
        Ok(talk)
    }

    /// Whether it is to be played against `role`.
    pub fn is_for(&self, role: Role) -> bool {
        self.lines.iter().any(|line| matches!(line.step, Step::Setting(of, _) if of == role))
    }

    /// Whether it may be cut.
    pub fn is_whole(&self) -> bool {
        self.lines.iter().any(|line| line.step == Step::Whole)
    }
}

fn step(raw: &str) -> Result<Step, String> {
    let trimmed = raw.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Ok(Step::Nothing);
    }
    let (kind, rest) = raw.split_once(' ').unwrap_or((raw, ""));
    let of = match kind.as_bytes()[0] {
        b's' if kind.len() == 2 => Some(Role::Server),
        b'c' if kind.len() == 2 => Some(Role::Client),
        _ => None,
    };
    let line = |role| Ok(Step::Wire(role, [rest.as_bytes(), b"\r\n"].concat()));
    match kind {
        "server" => Ok(Step::Setting(Role::Server, rest.to_owned())),
        "client" => Ok(Step::Setting(Role::Client, rest.to_owned())),
        "play" if rest == "whole" => Ok(Step::Whole),
        "C:" => line(Role::Client),
        "S:" => line(Role::Server),
        "C<" => Ok(Step::Wire(Role::Client, unescape(rest)?)),
        "S<" => Ok(Step::Wire(Role::Server, unescape(rest)?)),
        "?" | "s?" | "c?" => {
            let (text, answer) = rest.split_once(" = ").ok_or("a question wants ` = ` and an answer")?;
            Ok(Step::Question { of, text: text.trim().to_owned(), answer: answer.trim().to_owned() })
        }
        "!" | "s!" | "c!" => Ok(Step::Event { of, text: rest.to_owned() }),
        ">" | "s>" | "c>" => Ok(Step::Act { of, text: rest.trim().to_owned() }),
        "@" => {
            let wait = rest.trim().strip_prefix('+').ok_or("`@` wants a time like +5m")?;
            Ok(Step::Wait(duration(wait)?))
        }
        "~" => match rest.trim() {
            "tls" => Ok(Step::Tls(Ok(()))),
            "eof" => Ok(Step::Eof),
            other => match other.strip_prefix("tls failed") {
                Some(why) => Ok(Step::Tls(Err(why.trim().to_owned()))),
                None => Err(format!("`~ {other}` is not known")),
            },
        },
        _ => Err(format!("{kind:?} is not a kind of step")),
    }
}

/// Reads `500ms`, `30s`, `5m`, `2h` or `7d`.
///
/// # Errors
/// A sentence if it is none of these.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let wrong = || format!("{text:?} is not a time like 500ms, 30s, 5m, 2h or 7d");
    let count: u64 = text[..digits].parse().map_err(|_| wrong())?;
    match &text[digits..] {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_secs(count * 60)),
        "h" => Ok(Duration::from_secs(count * 3600)),
        "d" => Ok(Duration::from_secs(count * 86400)),
        _ => Err(wrong()),
    }
}
