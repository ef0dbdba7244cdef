//! Octets in some charset to text, by mail-parser's tables.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

/// `octets`, written in `charset`, as text. Without a charset, or with one that is not known, they are taken for
/// UTF-8. What is no character becomes U+FFFD; there are no errors.
pub fn to_utf8<'a>(charset: &[u8], octets: &'a [u8]) -> Cow<'a, str> {
    let is = |name: &str| charset.eq_ignore_ascii_case(name.as_bytes());
    if charset.is_empty() || is("utf-8") || is("utf8") || (is("us-ascii") && octets.is_ascii()) {
        return String::from_utf8_lossy(octets);
    }
    // Mail that says US-ASCII and is not is UTF-8 if it can be.
    if is("us-ascii")
        && let Ok(text) = std::str::from_utf8(octets)
    {
        return Cow::Borrowed(text);
    }
    match charset_decoder(charset) {
        Some(decode) => Cow::Owned(decode(octets)),
        None => String::from_utf8_lossy(octets),
    }
}

/// Whether a line end is the same single octet in `charset` as in US-ASCII, so that text may be cut behind it.
pub(crate) fn has_ascii_lines(charset: &[u8]) -> bool {
    let head = charset.get(..5).unwrap_or_default();
    !(head.eq_ignore_ascii_case(b"utf-1") || head.eq_ignore_ascii_case(b"utf16") || head.eq_ignore_ascii_case(b"utf-3"))
}

/// Whether text in `charset` can be read.
pub(crate) fn is_known(charset: &[u8]) -> bool {
    let is = |name: &str| charset.eq_ignore_ascii_case(name.as_bytes());
    is("utf-8") || is("us-ascii") || charset_decoder(charset).is_some()
}
