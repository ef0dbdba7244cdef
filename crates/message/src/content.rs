//! What the header of a part says of its body: the MIME fields (RFC 2045, 2183, 3282, 2557, 1864).

use crate::charset;
use crate::header::{fields, set_of, unfold};
use crate::limits::Limits;

/// A parameter, its name and its value. Values in more than one piece or with a charset (RFC 2231) are put together and
/// decoded; as RFC 9051, 7.5.2 has it, the name of one with a charset keeps a `*` at its end and its value is UTF-8.
pub type Parameter = (Vec<u8>, Vec<u8>);

/// The MIME fields of a part, with what holds if there are none. Strings are the octets of the header, unfolded,
/// RFC 2047 words and 8-bit octets as they were.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Content {
    pub(crate) media: Vec<u8>,
    pub(crate) subtype: Vec<u8>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) encoding: Option<Vec<u8>>,
    pub(crate) id: Option<Vec<u8>>,
    pub(crate) description: Option<Vec<u8>>,
    pub(crate) md5: Option<Vec<u8>>,
    pub(crate) disposition: Option<(Vec<u8>, Vec<Parameter>)>,
    pub(crate) languages: Vec<Vec<u8>>,
    pub(crate) location: Option<Vec<u8>>,
}

impl Default for Content {
    /// Text in US-ASCII (RFC 2045, 5.2).
    fn default() -> Self {
        let parameters = vec![(b"charset".to_vec(), b"us-ascii".to_vec())];
        Self { parameters, ..Self::bare(b"text", b"plain") }
    }
}

impl Content {
    fn bare(media: &[u8], subtype: &[u8]) -> Self {
        Self {
            media: media.to_vec(),
            subtype: subtype.to_vec(),
            parameters: Vec::new(),
            encoding: None,
            id: None,
            description: None,
            md5: None,
            disposition: None,
            languages: Vec::new(),
            location: None,
        }
    }

    /// Reads the MIME fields of a header block. Of fields that come twice the first counts. Without a Content-Type it
    /// is text, or a message in a multipart/digest (RFC 2046, 5.1.5); one that cannot be read is taken for text.
    pub fn parse(block: &[u8], in_digest: bool, limits: &Limits) -> Self {
        let mut content_type = None;
        let mut rest = Self::bare(b"", b"");
        for field in fields(block) {
            let Some(tail) = field.name.get(..8).filter(|head| head.eq_ignore_ascii_case(b"content-")) else {
                continue;
            };
            let name = field.name[tail.len()..].to_ascii_lowercase();
            let value = unfold(field.value);
            match name.as_slice() {
                b"type" if content_type.is_none() => content_type = Some(value),
                b"transfer-encoding" if rest.encoding.is_none() => {
                    let token = Tokens::new(&value).token().to_vec();
                    rest.encoding = Some(token).filter(|token| !token.is_empty());
                }
                b"id" if rest.id.is_none() => rest.id = Some(value.into_owned()),
                b"description" if rest.description.is_none() => rest.description = Some(value.into_owned()),
                b"md5" if rest.md5.is_none() => rest.md5 = Some(value.into_owned()),
                b"location" if rest.location.is_none() => rest.location = Some(value.into_owned()),
                b"disposition" if rest.disposition.is_none() => {
                    let mut tokens = Tokens::new(&value);
                    let kind = tokens.token().to_vec();
                    if !kind.is_empty() {
                        rest.disposition = Some((kind, parameters(tokens, limits)));
                    }
                }
                b"language" if rest.languages.is_empty() => {
                    let tags = value.split(|&b| b == b',').map(|tag| Tokens::new(tag).token().to_vec());
                    rest.languages = tags.filter(|tag| !tag.is_empty()).take(limits.parameters).collect();
                }
                _ => {}
            }
        }
        let kind = match content_type {
            None if in_digest => Self::bare(b"message", b"rfc822"),
            None => Self::default(),
            Some(value) => {
                let mut tokens = Tokens::new(&value);
                let media = tokens.token().to_vec();
                let subtype = if tokens.special(b'/') { tokens.token().to_vec() } else { Vec::new() };
                if media.is_empty() || subtype.is_empty() {
                    Self::default()
                } else {
                    Self { parameters: parameters(tokens, limits), ..Self::bare(&media, &subtype) }
                }
            }
        };
        Self { media: kind.media, subtype: kind.subtype, parameters: kind.parameters, ..rest }
    }

    /// `text` of text/plain, in the case it was written.
    pub fn media_type(&self) -> &[u8] {
        &self.media
    }

    /// `plain` of text/plain, in the case it was written.
    pub fn subtype(&self) -> &[u8] {
        &self.subtype
    }

    /// Whether the media type is that, in any case.
    pub fn is(&self, media: &str) -> bool {
        self.media.eq_ignore_ascii_case(media.as_bytes())
    }

    /// Whether it is a message that can be taken apart: message/rfc822 or message/global, not encoded (RFC 2046, 5.2.1;
    /// RFC 6532, 3.7).
    pub(crate) fn is_message(&self) -> bool {
        let subtype = &self.subtype;
        self.is("message")
            && (subtype.eq_ignore_ascii_case(b"rfc822") || subtype.eq_ignore_ascii_case(b"global"))
            && self.transfer_encoding() == TransferEncoding::Identity
    }

    /// Parameters of Content-Type.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameter of Content-Type with that name, in any case.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        find(&self.parameters, name)
    }

    pub(crate) fn boundary(&self) -> Option<&[u8]> {
        self.parameter("boundary").or_else(|| self.parameter("boundary*")).map(<[u8]>::trim_ascii_end)
    }

    /// Content-Transfer-Encoding as it was written.
    pub fn encoding(&self) -> Option<&[u8]> {
        self.encoding.as_deref()
    }

    /// What Content-Transfer-Encoding means.
    pub fn transfer_encoding(&self) -> TransferEncoding {
        match self.encoding() {
            None => TransferEncoding::Identity,
            Some(name) => TransferEncoding::new(name),
        }
    }

    /// Content-ID.
    pub fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// Content-Description.
    pub fn description(&self) -> Option<&[u8]> {
        self.description.as_deref()
    }

    /// Content-MD5.
    pub fn md5(&self) -> Option<&[u8]> {
        self.md5.as_deref()
    }

    /// Content-Disposition: its kind, such as `attachment`, and its parameters.
    pub fn disposition(&self) -> Option<(&[u8], &[Parameter])> {
        self.disposition.as_ref().map(|(kind, parameters)| (kind.as_slice(), parameters.as_slice()))
    }

    /// The file name, from Content-Disposition or else from the `name` of Content-Type.
    pub fn file_name(&self) -> Option<&[u8]> {
        let of_disposition = self.disposition().and_then(|(_, p)| find(p, "filename*").or_else(|| find(p, "filename")));
        of_disposition.or_else(|| self.parameter("name*")).or_else(|| self.parameter("name"))
    }

    /// Content-Language.
    pub fn languages(&self) -> &[Vec<u8>] {
        &self.languages
    }

    /// Content-Location.
    pub fn location(&self) -> Option<&[u8]> {
        self.location.as_deref()
    }
}

fn find<'a>(parameters: &'a [Parameter], name: &str) -> Option<&'a [u8]> {
    parameters.iter().find(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value.as_slice())
}

/// How the octets of a body are encoded (RFC 2045, 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransferEncoding {
    /// 7bit, 8bit and binary: as they are.
    Identity,
    /// quoted-printable.
    QuotedPrintable,
    /// base64.
    Base64,
    /// Something else: the octets cannot be had (UNKNOWN-CTE, RFC 3516).
    Unknown,
}

impl TransferEncoding {
    /// The encoding of that name, in any case.
    pub fn new(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("7bit") || is("8bit") || is("binary") {
            Self::Identity
        } else if is("quoted-printable") {
            Self::QuotedPrintable
        } else if is("base64") {
            Self::Base64
        } else {
            Self::Unknown
        }
    }
}

/// What a token may not have in it, besides space and controls (RFC 2045, 5.1).
const SPECIALS: [bool; 256] = set_of(b"()<>@,;:\\\"/[]?=");

/// The tokens of a structured MIME field (RFC 2045, 5.1), unfolded. Comments count as space.
struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    /// Passes over space and comments. Comments nest (RFC 5322, 3.2.2).
    fn space(&mut self) {
        let mut depth = 0usize;
        let mut at = 0;
        while let Some(&octet) = self.rest.get(at) {
            match octet {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => at += 1,
                b' ' | b'\t' => {}
                _ if depth > 0 => {}
                _ => break,
            }
            at += 1;
        }
        self.rest = &self.rest[at.min(self.rest.len())..];
    }

    /// A token, perhaps empty.
    fn token(&mut self) -> &'a [u8] {
        self.space();
        let is_token = |b: u8| b > b' ' && b != 0x7f && !SPECIALS[usize::from(b)];
        let length = self.rest.iter().take_while(|&&b| is_token(b)).count();
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        token
    }

    fn special(&mut self, special: u8) -> bool {
        self.space();
        match self.rest.split_first() {
            Some((&first, rest)) if first == special => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Goes to the next parameter, past its semicolon. False at the end.
    fn next_parameter(&mut self) -> bool {
        let mut quoted = false;
        let mut octets = self.rest.iter().enumerate();
        while let Some((at, octet)) = octets.next() {
            match octet {
                b'\\' if quoted => drop(octets.next()),
                b'"' => quoted = !quoted,
                b';' if !quoted => {
                    self.rest = &self.rest[at + 1..];
                    return true;
                }
                _ => {}
            }
        }
        self.rest = &[];
        false
    }

    /// A parameter's value. Quoted strings lose their quotes. Others go up to the semicolon, since programs leave
    /// quotes away where they may not; a comment at the end is left away.
    fn value(&mut self) -> Vec<u8> {
        self.space();
        let mut value = Vec::new();
        if let Some(mut inside) = self.rest.strip_prefix(b"\"") {
            while let Some((&octet, rest)) = inside.split_first() {
                inside = rest;
                match octet {
                    b'"' => break,
                    b'\\' => {
                        if let Some((&escaped, rest)) = inside.split_first() {
                            value.push(escaped);
                            inside = rest;
                        }
                    }
                    other => value.push(other),
                }
            }
            self.rest = inside;
        } else {
            let end = memchr::memchr(b';', self.rest).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            let text = text.trim_ascii();
            let comment = if text.ends_with(b")") { memchr::memmem::find(text, b" (") } else { None };
            value.extend_from_slice(text[..comment.unwrap_or(text.len())].trim_ascii_end());
        }
        value
    }
}

/// One piece of a parameter: `name*2*=value` (RFC 2231, 3 and 4).
struct Piece {
    name: Vec<u8>,
    number: u32,
    /// Percent-encoded, with charset and language in the first piece.
    extended: bool,
    value: Vec<u8>,
}

/// The parameters that follow.
fn parameters(mut tokens: Tokens<'_>, limits: &Limits) -> Vec<Parameter> {
    let mut pieces: Vec<Piece> = Vec::new();
    while pieces.len() < limits.parameters && tokens.next_parameter() {
        let name = tokens.token();
        if name.is_empty() || !tokens.special(b'=') {
            continue;
        }
        let value = tokens.value();
        let (name, extended) = name.strip_suffix(b"*").map_or((name, false), |name| (name, true));
        let star = name.iter().rposition(|&b| b == b'*');
        let number = star.and_then(|star| std::str::from_utf8(&name[star + 1..]).ok()?.parse().ok());
        let name = match (star, number) {
            (Some(star), Some(_)) => &name[..star],
            _ => name,
        };
        pieces.push(Piece { name: name.to_vec(), number: number.unwrap_or(0), extended, value });
    }
    let mut done = vec![false; pieces.len()];
    let mut parameters = Vec::new();
    for first in 0..pieces.len() {
        if done[first] {
            continue;
        }
        let name = &pieces[first].name;
        let mut together: Vec<usize> =
            (first..pieces.len()).filter(|&i| pieces[i].name.eq_ignore_ascii_case(name)).collect();
        // The pieces may come in any order. Of two with the same number the first counts.
        together.iter().for_each(|&i| done[i] = true);
        together.sort_by_key(|&i| pieces[i].number);
        together.dedup_by_key(|i| pieces[*i].number);
        parameters.push(join(together.iter().map(|&i| &pieces[i])));
    }
    parameters
}

/// Puts the pieces of one parameter together.
fn join<'a>(pieces: impl Iterator<Item = &'a Piece>) -> Parameter {
    let (mut name, mut octets, mut charset, mut extended) = (Vec::new(), Vec::new(), Vec::new(), false);
    for piece in pieces {
        if name.is_empty() {
            name.clone_from(&piece.name);
            extended = piece.extended;
        }
        let mut value = piece.value.as_slice();
        if !piece.extended {
            octets.extend_from_slice(value);
            continue;
        }
        if octets.is_empty() && charset.is_empty() {
            let mut marks = memchr::memchr_iter(b'\'', value);
            if let (Some(first), Some(second)) = (marks.next(), marks.next()) {
                charset.extend_from_slice(&value[..first]);
                value = &value[second + 1..];
            }
        }
        percent_decode(value, &mut octets);
    }
    if extended {
        name.push(b'*');
        octets = match charset::to_utf8(&charset, &octets) {
            std::borrow::Cow::Borrowed(_) => octets,
            std::borrow::Cow::Owned(text) => text.into_bytes(),
        };
        // What a string on the wire cannot have may come out of the decoding.
        octets.iter_mut().filter(|octet| matches!(octet, 0 | b'\r' | b'\n')).for_each(|octet| *octet = b'?');
    }
    (name, octets)
}

fn percent_decode(mut value: &[u8], out: &mut Vec<u8>) {
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    while let Some((&octet, rest)) = value.split_first() {
        if let [b'%', high, low, rest @ ..] = value
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            value = rest;
        } else {
            out.push(octet);
            value = rest;
        }
    }
}
