//! Commands: recognised by length and word, then read by their grammar (RFC 5321, 4.1.1).

use super::{Cursor, MailParams, ParamError, RcptParams, Words, Xclient, begins, is};
use crate::address::{self, Domain, ForwardPath, HelloName, ReversePath};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;
use postrider_core::{ParseError, Secret, Text};
use postrider_sasl::MechanismName;

/// What a command asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Verb {
    /// `EHLO` (RFC 5321, 4.1.1.1).
    Ehlo,
    /// `HELO` (RFC 5321, 4.1.1.1).
    Helo,
    /// `LHLO` (RFC 2033, 4.1).
    Lhlo,
    /// `MAIL` (RFC 5321, 4.1.1.2).
    Mail,
    /// `RCPT` (RFC 5321, 4.1.1.3).
    Rcpt,
    /// `DATA` (RFC 5321, 4.1.1.4).
    Data,
    /// `BDAT` (RFC 3030, 2).
    Bdat,
    /// `RSET` (RFC 5321, 4.1.1.5).
    Rset,
    /// `VRFY` (RFC 5321, 4.1.1.6).
    Vrfy,
    /// `EXPN` (RFC 5321, 4.1.1.7).
    Expn,
    /// `HELP` (RFC 5321, 4.1.1.8).
    Help,
    /// `NOOP` (RFC 5321, 4.1.1.9).
    Noop,
    /// `QUIT` (RFC 5321, 4.1.1.10).
    Quit,
    /// `STARTTLS` (RFC 3207, 4).
    StartTls,
    /// `AUTH` (RFC 4954, 4).
    Auth,
    /// `BURL` (RFC 4468, 3).
    Burl,
    /// `ETRN` (RFC 1985, 5).
    Etrn,
    /// `XCLIENT` (Postfix's extension).
    Xclient,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 18] = [
        Self::Ehlo,
        Self::Helo,
        Self::Lhlo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Bdat,
        Self::Rset,
        Self::Vrfy,
        Self::Expn,
        Self::Help,
        Self::Noop,
        Self::Quit,
        Self::StartTls,
        Self::Auth,
        Self::Burl,
        Self::Etrn,
        Self::Xclient,
    ];

    /// The verb a line begins with, in any case. A space or tab ends it, or the line.
    //= 5321-2.4-1, 5321-4.5.1-1
    pub fn of(line: &[u8]) -> Option<Self> {
        let word = line.first_chunk()?;
        let ends = |at: usize| matches!(line.get(at), None | Some(b' ' | b'\t'));
        if ends(4) {
            Self::of_word(word)
        } else if begins(line, b"STARTTLS") && ends(8) {
            Some(Self::StartTls)
        } else if begins(line, b"XCLIENT") && ends(7) {
            Some(Self::Xclient)
        } else {
            None
        }
    }

    /// Compares all four letters at once.
    fn of_word(word: &[u8; 4]) -> Option<Self> {
        // A letter's case is one bit. The few other octets that it changes make no verb.
        const fn folded(word: &[u8; 4]) -> u32 {
            u32::from_be_bytes(*word) & !0x2020_2020
        }
        macro_rules! verbs {
            ($($word:ident $verb:ident,)*) => {{
                $(const $word: u32 = folded(stringify!($word).as_bytes().first_chunk().expect("four letters"));)*
                match folded(word) {
                    $($word => Some(Self::$verb),)*
                    _ => None,
                }
            }};
        }
        verbs! {
            EHLO Ehlo, HELO Helo, LHLO Lhlo, MAIL Mail, RCPT Rcpt, DATA Data, BDAT Bdat, RSET Rset,
            VRFY Vrfy, EXPN Expn, HELP Help, NOOP Noop, QUIT Quit, AUTH Auth, BURL Burl, ETRN Etrn,
        }
    }

    /// The verb as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::Lhlo => "LHLO",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::Rset => "RSET",
            Self::Vrfy => "VRFY",
            Self::Expn => "EXPN",
            Self::Help => "HELP",
            Self::Noop => "NOOP",
            Self::Quit => "QUIT",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Burl => "BURL",
            Self::Etrn => "ETRN",
            Self::Xclient => "XCLIENT",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A command that is written as it should be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Command {
    /// The client introduces itself and wants extensions.
    Ehlo(HelloName),
    /// The client introduces itself.
    Helo(HelloName),
    /// The client introduces itself over LMTP.
    Lhlo(HelloName),
    /// A transaction begins.
    Mail {
        /// Where reports go.
        from: ReversePath,
        /// What else it says.
        params: MailParams,
    },
    /// A recipient.
    Rcpt {
        /// Whom the message is for.
        to: ForwardPath,
        /// What else it says.
        params: RcptParams,
    },
    /// The message follows, when it is invited.
    Data,
    /// `size` octets of the message follow at once.
    Bdat {
        /// How many octets.
        size: u64,
        /// Whether they are the last.
        last: bool,
    },
    /// Forget the transaction.
    Rset,
    /// Is there such a user?
    Vrfy {
        /// Who.
        who: Text,
        /// `SMTPUTF8`: the reply may hold UTF-8 (RFC 6531, 3.7.4.2).
        utf8: bool,
    },
    /// Who is on this list?
    Expn {
        /// Which list.
        list: Text,
        /// `SMTPUTF8`: the reply may hold UTF-8 (RFC 6531, 3.7.4.2).
        utf8: bool,
    },
    /// What can be said?
    Help,
    /// Nothing.
    Noop,
    /// Goodbye.
    Quit,
    /// Let us encrypt.
    StartTls,
    /// The client wants to log in.
    Auth {
        /// How.
        mechanism: MechanismName,
        /// The base64 argument after the mechanism, as it came.
        initial: Option<Secret<String>>,
    },
    /// The server is to fetch part of the message itself.
    Burl {
        /// From where.
        url: Url,
        /// Whether it is the last part.
        last: bool,
    },
    /// Send what waits for a host.
    Etrn(EtrnTarget),
    /// A proxy says for whom it speaks.
    Xclient(Box<Xclient>),
}

/// What ETRN asks to be sent (RFC 1985, 5).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum EtrnTarget {
    /// What waits for this host.
    Host(Domain),
    /// `@`: what waits for this host and all below its name.
    Below(Domain),
    /// `#`: what waits in a queue, whose name the server knows.
    Queue(Box<str>),
}

impl EtrnTarget {
    /// A queue's name: printable ASCII without spaces. `None` if it is none.
    pub fn queue(name: &str) -> Option<Self> {
        (!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())).then(|| Self::Queue(name.into()))
    }
}

impl fmt::Display for EtrnTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "{host}"),
            Self::Below(host) => write!(f, "@{host}"),
            Self::Queue(name) => write!(f, "#{name}"),
        }
    }
}

/// An absolute URI, as far as a command must know: a scheme, a colon and printable ASCII without spaces (RFC 4468, 4).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url(Box<str>);

impl Url {
    /// Checks a URL.
    ///
    /// # Errors
    /// [`ParseError`] if it is none.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if let Some(at) = text.bytes().position(|b| !b.is_ascii_graphic()) {
            return Err(ParseError { at, expected: "printable ASCII without spaces" });
        }
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            && text.len() > scheme.len() + 1;
        if good { Ok(Self(text.into())) } else { Err(ParseError { at: 0, expected: "an absolute URI" }) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host, and port if it says one, without the user before it; `None` if there is none that all read alike.
    fn host(&self) -> Option<&str> {
        let rest = self.0.get(self.scheme().len()..)?.strip_prefix("://")?;
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let host = authority.split_once('@').map_or(authority, |(_, host)| host);
        (!host.is_empty() && !host.contains('@') && !authority.contains('\\')).then_some(host)
    }

    /// Whether it is of a kind that is said after BURL: `imap` for all of that scheme, or `imap://` and a host for those
    /// of that server (RFC 4468, 3.3). It may name a user there.
    pub fn is_of(&self, kinds: &Words) -> bool {
        kinds.iter().any(|kind| match kind.split_once("://") {
            None => kind.eq_ignore_ascii_case(self.scheme()),
            Some((scheme, host)) => {
                let host = host.trim_end_matches('/');
                scheme.eq_ignore_ascii_case(self.scheme())
                    && self.host().is_some_and(|ours| ours.eq_ignore_ascii_case(host))
            }
        })
    }

    /// The scheme, in the case it came in: `imap` as a rule.
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Without what follows the scheme: the URL may hold the key to what it names.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.scheme())
    }
}

/// A line that is no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// It begins with no verb we know.
    #[error("the command is not recognised")]
    Unknown,
    /// The verb is known, what follows is not as it should be.
    #[error("{0}: {1}")]
    Syntax(Verb, ParseError),
    /// The path of MAIL or RCPT is no address.
    #[error("{0}: {1}")]
    Path(Verb, ParseError),
    /// A parameter of MAIL or RCPT is not as it should be.
    #[error("{0}: {1}")]
    Param(Verb, ParamError),
}

/// What the grammar forbids and some clients send anyway. Each is off unless switched on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Quirks {
    /// White space between the colon and the path, as in `MAIL FROM: <a@b.example>` (bends RFC 5321, 3.3). Scripts and
    /// old devices send it.
    pub space_before_path: bool,
    /// A path without angle brackets, as in `MAIL FROM:a@b.example` (bends RFC 5321, 4.1.2). Scripts send it.
    pub path_without_brackets: bool,
}

impl Quirks {
    /// The grammar and nothing else.
    pub const NONE: Self = Self { space_before_path: false, path_without_brackets: false };
    /// All there are.
    pub const INTEROP: Self = Self { space_before_path: true, path_without_brackets: true };
}

impl Command {
    /// Reads a line without its CRLF. Spaces and tabs at its end are nothing (RFC 5321, 4.1.1).
    ///
    /// # Errors
    /// [`CommandError`] if it is no command.
    pub fn parse(line: &[u8], quirks: Quirks) -> Result<Self, CommandError> {
        //= 5321-4.1.1-1
        let line = trim_end(line);
        let verb = Verb::of(line).ok_or(CommandError::Unknown)?;
        let mut cursor = Cursor::new(line);
        cursor.skip(verb.as_str().len());
        let syntax = |wrong| CommandError::Syntax(verb, wrong);
        Ok(match verb {
            Verb::Mail => {
                before_path(&mut cursor, b" FROM:", "\" FROM:\"", quirks).map_err(syntax)?;
                let from = if quirks.path_without_brackets && cursor.peek() != Some(b'<') {
                    address::mailbox(&mut cursor).map(ReversePath::Mailbox)
                } else {
                    address::reverse_path(&mut cursor)
                };
                let from = from.map_err(|wrong| CommandError::Path(verb, wrong))?;
                let mut params = MailParams::default();
                if !cursor.rest().is_empty() {
                    params.read(&mut cursor).map_err(|wrong| CommandError::Param(verb, wrong))?;
                }
                Self::Mail { from, params }
            }
            Verb::Rcpt => {
                before_path(&mut cursor, b" TO:", "\" TO:\"", quirks).map_err(syntax)?;
                let to = if quirks.path_without_brackets && cursor.peek() != Some(b'<') {
                    address::mailbox(&mut cursor).map(ForwardPath::Mailbox)
                } else {
                    address::forward_path(&mut cursor)
                };
                let to = to.map_err(|wrong| CommandError::Path(verb, wrong))?;
                let mut params = RcptParams::default();
                if !cursor.rest().is_empty() {
                    params.read(&mut cursor).map_err(|wrong| CommandError::Param(verb, wrong))?;
                }
                Self::Rcpt { to, params }
            }
            Verb::Ehlo => Self::Ehlo(hello(&mut cursor).map_err(syntax)?),
            Verb::Helo => Self::Helo(hello(&mut cursor).map_err(syntax)?),
            Verb::Lhlo => Self::Lhlo(hello(&mut cursor).map_err(syntax)?),
            Verb::Data => cursor.end("the end of the line").map(|()| Self::Data).map_err(syntax)?,
            Verb::Rset => cursor.end("the end of the line").map(|()| Self::Rset).map_err(syntax)?,
            Verb::Quit => cursor.end("the end of the line").map(|()| Self::Quit).map_err(syntax)?,
            Verb::StartTls => cursor.end("the end of the line").map(|()| Self::StartTls).map_err(syntax)?,
            Verb::Bdat => {
                let (size, last) = bdat(&mut cursor).map_err(syntax)?;
                Self::Bdat { size, last }
            }
            //= 5321-4.1.1.9-1
            Verb::Noop => Self::Noop,
            Verb::Help => Self::Help,
            Verb::Vrfy => {
                let (who, utf8) = string(&mut cursor).map_err(syntax)?;
                Self::Vrfy { who, utf8 }
            }
            Verb::Expn => {
                let (list, utf8) = string(&mut cursor).map_err(syntax)?;
                Self::Expn { list, utf8 }
            }
            Verb::Auth => {
                let (mechanism, initial) = auth(&mut cursor).map_err(syntax)?;
                Self::Auth { mechanism, initial }
            }
            Verb::Burl => {
                let (url, last) = burl(&mut cursor).map_err(syntax)?;
                Self::Burl { url, last }
            }
            Verb::Etrn => Self::Etrn(etrn(&mut cursor).map_err(syntax)?),
            Verb::Xclient => Self::Xclient(Box::new(Xclient::parse(&mut cursor).map_err(syntax)?)),
        })
    }

    /// Its verb.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Ehlo(_) => Verb::Ehlo,
            Self::Helo(_) => Verb::Helo,
            Self::Lhlo(_) => Verb::Lhlo,
            Self::Mail { .. } => Verb::Mail,
            Self::Rcpt { .. } => Verb::Rcpt,
            Self::Data => Verb::Data,
            Self::Bdat { .. } => Verb::Bdat,
            Self::Rset => Verb::Rset,
            Self::Vrfy { .. } => Verb::Vrfy,
            Self::Expn { .. } => Verb::Expn,
            Self::Help => Verb::Help,
            Self::Noop => Verb::Noop,
            Self::Quit => Verb::Quit,
            Self::StartTls => Verb::StartTls,
            Self::Auth { .. } => Verb::Auth,
            Self::Burl { .. } => Verb::Burl,
            Self::Etrn(_) => Verb::Etrn,
            Self::Xclient(_) => Verb::Xclient,
        }
    }

    /// The line without its CRLF. It holds secrets if the command is AUTH or BURL.
    pub fn encode(&self) -> String {
        match self {
            Self::Ehlo(name) | Self::Helo(name) | Self::Lhlo(name) => format!("{} {name}", self.verb()),
            Self::Mail { from, params } => mail_line(from, params),
            Self::Rcpt { to, params } => rcpt_line(to, params),
            Self::Bdat { size, last: false } => format!("BDAT {size}"),
            Self::Bdat { size, last: true } => format!("BDAT {size} LAST"),
            Self::Vrfy { who: what, utf8: false } | Self::Expn { list: what, utf8: false } => {
                format!("{} {what}", self.verb())
            }
            Self::Vrfy { who: what, utf8: true } | Self::Expn { list: what, utf8: true } => {
                format!("{} {what} SMTPUTF8", self.verb())
            }
            Self::Auth { mechanism, initial: None } => format!("AUTH {mechanism}"),
            Self::Auth { mechanism, initial: Some(initial) } => format!("AUTH {mechanism} {}", initial.reveal()),
            Self::Burl { url, last: false } => format!("BURL {url}"),
            Self::Burl { url, last: true } => format!("BURL {url} LAST"),
            Self::Etrn(target) => format!("ETRN {target}"),
            Self::Xclient(said) => {
                let mut line = String::from("XCLIENT");
                said.encode(&mut line);
                line
            }
            Self::Data | Self::Rset | Self::Help | Self::Noop | Self::Quit | Self::StartTls => {
                self.verb().as_str().into()
            }
        }
    }
}

/// MAIL with its path and parameters.
pub(crate) fn mail_line(from: &ReversePath, params: &MailParams) -> String {
    let mut line = format!("MAIL FROM:{from}");
    params.encode(&mut line);
    line
}

/// RCPT with its path and parameters.
//= 5321-3.3-3, 5321-3.6.1-1
pub(crate) fn rcpt_line(to: &ForwardPath, params: &RcptParams) -> String {
    let mut line = format!("RCPT TO:{to}");
    params.encode(&mut line);
    line
}

/// Without the spaces and tabs at its end. Whatever else is there is part of the line, as it is for [`Verb::of`].
fn trim_end(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
}

#[inline(always)]
fn before_path<const N: usize>(
    cursor: &mut Cursor<'_>,
    word: &[u8; N],
    expected: &'static str,
    quirks: Quirks,
) -> Result<(), ParseError> {
    if !begins(cursor.rest(), word) {
        return cursor.fail(expected);
    }
    cursor.skip(N);
    if quirks.space_before_path {
        cursor.take_while(|b| matches!(b, b' ' | b'\t'));
    }
    Ok(())
}

fn hello(cursor: &mut Cursor<'_>) -> Result<HelloName, ParseError> {
    cursor.expect(b' ', "a space and a name")?;
    let name = address::hello_name(cursor)?;
    cursor.end("the end of the line")?;
    Ok(name)
}

/// The argument of VRFY or EXPN, and whether SMTPUTF8 follows it.
fn string(cursor: &mut Cursor<'_>) -> Result<(Text, bool), ParseError> {
    cursor.expect(b' ', "a space and an argument")?;
    let at = cursor.at();
    let text = core::str::from_utf8(cursor.rest())
        .map_err(|wrong| ParseError { at: at + wrong.valid_up_to(), expected: "valid UTF-8" })?;
    let (text, utf8) = match text.rsplit_once(' ') {
        Some((what, word)) if word.eq_ignore_ascii_case("SMTPUTF8") && !what.is_empty() => (what, true),
        Some(_) | None => (text, false),
    };
    let text = Text::new(text).map_err(|wrong| ParseError { at: at + wrong.at, expected: "a printable character" })?;
    Ok((text, utf8))
}

fn bdat(cursor: &mut Cursor<'_>) -> Result<(u64, bool), ParseError> {
    cursor.expect(b' ', "a space and the chunk's size")?;
    let at = cursor.at();
    let digits = cursor.take_while(|b| b.is_ascii_digit());
    let size = digits.iter().try_fold(0u64, |n, b| n.checked_mul(10)?.checked_add(u64::from(b - b'0')));
    let size = match size {
        Some(size) if !digits.is_empty() => size,
        Some(_) | None => return Err(ParseError { at, expected: "a chunk's size" }),
    };
    if cursor.rest().is_empty() {
        return Ok((size, false));
    }
    if !is(cursor.rest(), b" LAST") {
        return cursor.fail("\" LAST\" or the end of the line");
    }
    Ok((size, true))
}

//= 4954-8-1
fn auth(cursor: &mut Cursor<'_>) -> Result<(MechanismName, Option<Secret<String>>), ParseError> {
    cursor.expect(b' ', "a space and a mechanism")?;
    let at = cursor.at();
    let name = cursor.take_while(|b| b != b' ');
    let mechanism = MechanismName::parse(name).ok_or(ParseError { at, expected: "a mechanism's name" })?;
    if cursor.rest().is_empty() {
        return Ok((mechanism, None));
    }
    cursor.expect(b' ', "a space and the initial response")?;
    match core::str::from_utf8(cursor.rest()) {
        Ok(initial) if !initial.is_empty() && !initial.contains(char::is_control) => {
            Ok((mechanism, Some(Secret::new(initial.to_owned()))))
        }
        Ok(_) | Err(_) => cursor.fail("an initial response in base64"),
    }
}

fn burl(cursor: &mut Cursor<'_>) -> Result<(Url, bool), ParseError> {
    cursor.expect(b' ', "a space and a URL")?;
    let at = cursor.at();
    let url = core::str::from_utf8(cursor.take_while(|b| b != b' ')).ok().and_then(|url| Url::parse(url).ok());
    let url = url.ok_or(ParseError { at, expected: "an absolute URI" })?;
    if cursor.rest().is_empty() {
        return Ok((url, false));
    }
    if !is(cursor.rest(), b" LAST") {
        return cursor.fail("\" LAST\" or the end of the line");
    }
    Ok((url, true))
}

fn etrn(cursor: &mut Cursor<'_>) -> Result<EtrnTarget, ParseError> {
    cursor.expect(b' ', "a space and a host's name")?;
    let at = cursor.at();
    let wrong = ParseError { at, expected: "a host's name, \"@\" and a name, or \"#\" and a queue's name" };
    let text = core::str::from_utf8(cursor.rest()).map_err(|_| wrong)?;
    match text.as_bytes().first() {
        Some(b'@') => Domain::parse(&text[1..]).map(EtrnTarget::Below).map_err(|_| wrong),
        Some(b'#') => EtrnTarget::queue(&text[1..]).ok_or(wrong),
        Some(_) | None => Domain::parse(text).map(EtrnTarget::Host).map_err(|_| wrong),
    }
}
