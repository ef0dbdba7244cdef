//! Languages (RFC 6856, 3).

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use postrider_core::{ParseError, Text};

/// A language, or which one is wanted: a basic language range (RFC 4647, 2.1). Compared without regard to case.
#[derive(Clone, Eq, Debug)]
pub struct LanguageRange(Box<str>);

impl LanguageRange {
    /// Whichever the server prefers.
    pub fn any() -> Self {
        Self("*".into())
    }

    /// Reads `*`, or words of 1 to 8 letters and digits with `-` between them, the first without digits. `None` if it is
    /// neither, or longer than 64 octets.
    pub fn parse(range: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(range).ok()?;
        let fits = |word: &str| (1..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric());
        let first = text.split('-').next()?;
        let is_tag = text.len() <= 64 && text.split('-').all(fits) && first.bytes().all(|b| b.is_ascii_alphabetic());
        (is_tag || text == "*").then(|| Self(text.to_owned().into_boxed_str()))
    }

    /// As it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the language `tag` is one of those that are wanted (RFC 4647, 3.3.1).
    pub fn matches(&self, tag: &str) -> bool {
        let range = self.as_str();
        range == "*"
            || tag.get(..range.len()).is_some_and(|start| start.eq_ignore_ascii_case(range))
                && matches!(tag.as_bytes().get(range.len()), None | Some(b'-'))
    }
}

impl PartialEq for LanguageRange {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl fmt::Display for LanguageRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a line of the answer to `LANG`: a language, and what it is called in itself. The name is empty if there is none.
///
/// # Errors
/// [`ParseError`] if there is no language.
pub fn language_listing(line: &[u8]) -> Result<(LanguageRange, Text), ParseError> {
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let tag = LanguageRange::parse(&line[..end]).ok_or(ParseError { at: 0, expected: "a language" })?;
    let name = String::from_utf8_lossy(line[end..].trim_ascii());
    Ok((tag, Text::lossy(&name, 512)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_match_whole_words_from_the_left() {
        let range = |text: &str| LanguageRange::parse(text.as_bytes()).unwrap();
        assert!(range("*").matches("sv") && range("EN").matches("en") && range("en").matches("en-boont"));
        assert!(!range("en-GB").matches("en") && !range("e").matches("en") && !range("en").matches("enm"));
        for bad in ["", "-", "en-", "en_GB", "*-en", "1en", "abcdefghi", "é", "en--GB"] {
            assert_eq!(LanguageRange::parse(bad.as_bytes()), None, "{bad:?}");
        }
        let (tag, name) = language_listing("es Español".as_bytes()).unwrap();
        assert_eq!((tag.as_str(), name.as_str()), ("es", "Español"));
        assert_eq!(language_listing(b"sv").unwrap().1.as_str(), "");
    }
}
