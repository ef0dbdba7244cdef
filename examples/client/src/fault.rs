//! What goes wrong, as one sentence and an exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::show::clean;

/// The kinds of failure, with the exit codes of sysexits.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// The command line.
    Usage = 64,
    /// The message or other data given is not usable.
    Data = 65,
    /// A file or message that should be there is not.
    NoInput = 66,
    /// The name of the server is not known.
    NoHost = 68,
    /// The server is not there, or refuses for good.
    Unavailable = 69,
    /// A file or directory cannot be made.
    CantCreate = 73,
    /// Reading or writing here failed.
    Io = 74,
    /// It may work later.
    TryLater = 75,
    /// The server broke the protocol, or TLS could not be had.
    Protocol = 76,
    /// The login failed.
    Denied = 77,
    /// SIGINT came, as shells say it.
    Interrupted = 130,
}

/// Why the program ends early.
#[derive(Debug)]
pub(crate) struct Fault {
    class: Class,
    /// `None` if there is nobody left to read it.
    sentence: Option<String>,
}

impl Fault {
    /// A sentence that says what happened and what to do, without a full stop.
    pub(crate) fn new(class: Class, sentence: impl Into<String>) -> Self {
        Self { class, sentence: Some(sentence.into()) }
    }

    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::new(Class::Usage, sentence)
    }

    /// Standard output could not be written.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { class: Class::Io, sentence: None };
        }
        Self::new(Class::Io, format!("cannot write to standard output: {error}"))
    }

    #[cfg(test)]
    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// Says it on standard error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if self.sentence.is_some() {
            eprintln!("postrider: {self}");
        }
        ExitCode::from(self.class as u8)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clean(self.sentence.as_deref().unwrap_or_default()))
    }
}
