//! Commands (RFC 1939, 3 and 5 to 7; RFC 2449, 4 and 5; RFC 2595, 4; RFC 5034, 4; RFC 6856, 2.1 and 3).

use super::language::LanguageRange;
use super::number::{message, number};
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use postrider_core::Secret;
use postrider_sasl::MechanismName;

/// A command as the client sends it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Command {
    /// `USER name`: everything after the space.
    User(String),
    /// `PASS password`: everything after the space, blanks included.
    Pass(Secret<String>),
    /// `STAT`
    Stat,
    /// `LIST [message]`
    List(Option<u32>),
    /// `UIDL [message]`
    Uidl(Option<u32>),
    /// `RETR message`
    Retr(u32),
    /// `TOP message lines`
    Top {
        /// The message's number.
        message: u32,
        /// Lines of the body.
        lines: u64,
    },
    /// `DELE message`
    Dele(u32),
    /// `NOOP`
    Noop,
    /// `RSET`
    Rset,
    /// `QUIT`
    Quit,
    /// `CAPA`
    Capa,
    /// `STLS`
    Stls,
    /// `AUTH mechanism [initial response]`, the response still in base64.
    Auth(MechanismName, Option<Secret<String>>),
    /// `AUTH` alone: which mechanisms are there? In no standard, asked by Outlook.
    AuthList,
    /// `UTF8`
    Utf8,
    /// `APOP name digest`, the digest as it came.
    Apop {
        /// Who it claims to be.
        user: String,
        /// What it shows for it.
        digest: Secret<String>,
    },
    /// `LANG [range]`
    Lang(Option<LanguageRange>),
    /// `LAST`: in RFC 1460, gone since RFC 1725.
    Last,
}

/// What a command is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "they are the commands")]
pub enum Verb {
    User,
    Pass,
    Stat,
    List,
    Uidl,
    Retr,
    Top,
    Dele,
    Noop,
    Rset,
    Quit,
    Capa,
    Stls,
    Auth,
    Utf8,
    Apop,
    Lang,
    Last,
}

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 18] = [
        Verb::User,
        Verb::Pass,
        Verb::Apop,
        Verb::Auth,
        Verb::Stls,
        Verb::Utf8,
        Verb::Lang,
        Verb::Capa,
        Verb::Stat,
        Verb::List,
        Verb::Uidl,
        Verb::Retr,
        Verb::Top,
        Verb::Dele,
        Verb::Rset,
        Verb::Noop,
        Verb::Last,
        Verb::Quit,
    ];

    /// As it stands on the wire, in upper case.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::User => "USER",
            Verb::Pass => "PASS",
            Verb::Stat => "STAT",
            Verb::List => "LIST",
            Verb::Uidl => "UIDL",
            Verb::Retr => "RETR",
            Verb::Top => "TOP",
            Verb::Dele => "DELE",
            Verb::Noop => "NOOP",
            Verb::Rset => "RSET",
            Verb::Quit => "QUIT",
            Verb::Capa => "CAPA",
            Verb::Stls => "STLS",
            Verb::Auth => "AUTH",
            Verb::Utf8 => "UTF8",
            Verb::Apop => "APOP",
            Verb::Lang => "LANG",
            Verb::Last => "LAST",
        }
    }

    //= 5034-5-1
    fn parse(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| word.eq_ignore_ascii_case(verb.as_str().as_bytes()))
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a line is not a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such command.
    #[error("unknown command")]
    Unknown,
    /// The command wants other arguments.
    #[error("{0} wants {1}")]
    Arguments(Verb, &'static str),
}

impl Command {
    /// Parses a line without its CRLF.
    ///
    /// Message numbers that are too large become the largest there is: no maildrop has such a message.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let (word, rest) = match memchr::memchr(b' ', line) {
            Some(space) => (&line[..space], Some(&line[space + 1..])),
            None => (line, None),
        };
        let verb = Verb::parse(word).ok_or(CommandError::Unknown)?;
        let wrong = |wants| CommandError::Arguments(verb, wants);
        // Names and passwords keep their blanks. Elsewhere blanks at the end are forgiven.
        let text = |wants| {
            let text = core::str::from_utf8(rest.unwrap_or_default()).map_err(|_| wrong("UTF-8"))?;
            if text.is_empty() || text.contains(['\0', '\r', '\n']) { Err(wrong(wants)) } else { Ok(text.to_owned()) }
        };
        let arguments = rest.unwrap_or_default();
        let mut words = arguments.split(|&b| b == b' ').filter(|word| !word.is_empty());
        let command = match verb {
            Verb::User => return text("a name").map(Self::User),
            Verb::Pass => return text("a password").map(|password| Self::Pass(Secret::new(password))),
            Verb::Stat => Self::Stat,
            Verb::Noop => Self::Noop,
            Verb::Rset => Self::Rset,
            Verb::Quit => Self::Quit,
            Verb::Capa => Self::Capa,
            Verb::Stls => Self::Stls,
            Verb::Utf8 => Self::Utf8,
            Verb::Last => Self::Last,
            Verb::Lang => Self::Lang(
                words
                    .next()
                    .map(|word| LanguageRange::parse(word).ok_or(wrong("a language or nothing")))
                    .transpose()?,
            ),
            Verb::Apop => {
                let mut word = || {
                    let word = core::str::from_utf8(words.next()?).ok()?;
                    (!word.contains(['\0', '\r', '\n'])).then(|| word.to_owned())
                };
                let (user, digest) = word().zip(word()).ok_or(wrong("a name and a digest"))?;
                Self::Apop { user, digest: Secret::new(digest) }
            }
            Verb::List | Verb::Uidl => {
                let number =
                    words.next().map(|word| message(word).ok_or(wrong("a message number or nothing"))).transpose()?;
                if verb == Verb::List { Self::List(number) } else { Self::Uidl(number) }
            }
            Verb::Retr => Self::Retr(words.next().and_then(message).ok_or(wrong("a message number"))?),
            Verb::Dele => Self::Dele(words.next().and_then(message).ok_or(wrong("a message number"))?),
            Verb::Top => {
                let wants = "a message number and a number of lines";
                Self::Top {
                    message: words.next().and_then(message).ok_or(wrong(wants))?,
                    lines: words.next().and_then(number).ok_or(wrong(wants))?,
                }
            }
            Verb::Auth => match words.next() {
                None => Self::AuthList,
                Some(name) => {
                    let name = MechanismName::parse(name).ok_or(wrong("the name of a mechanism"))?;
                    let initial = words
                        .next()
                        .map(|word| core::str::from_utf8(word).map_err(|_| wrong("a response in base64")))
                        .transpose()?;
                    Self::Auth(name, initial.map(|response| Secret::new(response.to_owned())))
                }
            },
        };
        if words.next().is_some() {
            return Err(wrong("no more arguments"));
        }
        Ok(command)
    }

    /// What it is called.
    pub fn verb(&self) -> Verb {
        match self {
            Self::User(_) => Verb::User,
            Self::Pass(_) => Verb::Pass,
            Self::Stat => Verb::Stat,
            Self::List(_) => Verb::List,
            Self::Uidl(_) => Verb::Uidl,
            Self::Retr(_) => Verb::Retr,
            Self::Top { .. } => Verb::Top,
            Self::Dele(_) => Verb::Dele,
            Self::Noop => Verb::Noop,
            Self::Rset => Verb::Rset,
            Self::Quit => Verb::Quit,
            Self::Capa => Verb::Capa,
            Self::Stls => Verb::Stls,
            Self::Auth(..) | Self::AuthList => Verb::Auth,
            Self::Utf8 => Verb::Utf8,
            Self::Apop { .. } => Verb::Apop,
            Self::Lang(_) => Verb::Lang,
            Self::Last => Verb::Last,
        }
    }

    /// Where in a command line something begins that must not be shown, if it may hold such. A line whose first word is
    /// too long for a command may be what was to follow AUTH.
    pub fn secret_from(line: &[u8]) -> Option<usize> {
        // RFC 1939, 3: keywords have three or four characters.
        if line.split(|&octet| octet == b' ').next().is_some_and(|word| word.len() > 4) {
            return Some(0);
        }
        let starts = |word: &[u8]| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        if starts(b"PASS ") {
            return Some(5);
        }
        if starts(b"AUTH ") || starts(b"APOP ") {
            return memchr::memchr(b' ', &line[5..]).map(|space| 5 + space + 1);
        }
        None
    }
}
