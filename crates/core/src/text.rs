//! Text that can stand in a line.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

/// Text without CR, LF or NUL: whatever it is put into stays one line.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(Cow<'static, str>);

/// The text holds CR, LF or NUL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("text holds a control character that would end the line, at byte {at}")]
pub struct TextError {
    /// Where it is.
    pub at: usize,
}

impl Text {
    /// Text known when the program is written.
    ///
    /// # Panics
    /// If `text` holds CR, LF or NUL; in a `const` that is an error of compilation.
    pub const fn literal(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(!matches!(bytes[at], b'\r' | b'\n' | 0), "a Text literal holds CR, LF or NUL");
            at += 1;
        }
        Self(Cow::Borrowed(text))
    }

    /// Checks `text`.
    ///
    /// # Errors
    /// [`TextError`] if it holds CR, LF or NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, TextError> {
        let text = text.into();
        match text.bytes().position(|b| matches!(b, b'\r' | b'\n' | 0)) {
            Some(at) => Err(TextError { at }),
            None => Ok(Self(Cow::Owned(text))),
        }
    }

    /// Makes any text fit: each control character becomes a space, and at most `limit` bytes are kept.
    pub fn lossy(text: &str, limit: usize) -> Self {
        let mut kept = String::new();
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if kept.len() + c.len_utf8() > limit {
                break;
            }
            kept.push(c);
        }
        Self(Cow::Owned(kept))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for Text {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, TextError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Text {
    type Error = TextError;
    fn try_from(text: &str) -> Result<Self, TextError> {
        Self::new(text)
    }
}
