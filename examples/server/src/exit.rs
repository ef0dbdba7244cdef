//! How the program ends when it cannot go on: one sentence and a code of `sysexits.h`.

use std::fmt;

/// The command line is wrong.
pub const USAGE: u8 = 64;
/// Something that should be there is not: a file, a certificate.
pub const NO_INPUT: u8 = 66;
/// Something that should be free is not: a port, the data directory.
pub const UNAVAILABLE: u8 = 69;
/// Something cannot be created.
pub const CANT_CREATE: u8 = 73;
/// Reading or writing failed.
pub const IO: u8 = 74;
/// What a step of the demonstration should show was not seen.
pub const SOFTWARE: u8 = 70;
/// The configuration is wrong.
pub const CONFIG: u8 = 78;

/// A sentence for whoever started the program, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// What is wrong, and what to do.
    pub sentence: String,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// A failure.
    pub fn new(code: u8, sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), code }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<postrider_store::Error> for Failure {
    fn from(error: postrider_store::Error) -> Self {
        use postrider_store::Error;
        let code = match error {
            Error::InUse(_) => UNAVAILABLE,
            Error::NotWritable { .. } => CANT_CREATE,
            _ => IO,
        };
        Self::new(code, error.to_string())
    }
}
