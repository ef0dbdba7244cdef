//! SASLprep (RFC 4013): what makes two ways to type the same name or password the same octets.

use alloc::borrow::Cow;

/// A name or password that SASLprep does not allow, or that needs the feature `saslprep`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the text has characters that names and passwords may not have (RFC 4013)")]
pub struct PrepareError;

/// Prepares a name or password, as a stored string: characters that Unicode 3.2 did not have are refused.
///
/// Printable ASCII comes back as it is. Anything else needs the feature `saslprep` and is refused without it.
///
/// # Errors
/// [`PrepareError`].
//= 5802-2.2-1
pub fn saslprep(text: &str) -> Result<Cow<'_, str>, PrepareError> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Ok(Cow::Borrowed(text));
    }
    #[cfg(feature = "saslprep")]
    return stringprep::saslprep(text).map_err(|_| PrepareError);
    #[cfg(not(feature = "saslprep"))]
    return Err(PrepareError);
}

#[cfg(all(test, feature = "saslprep"))]
mod tests {
    use super::*;

    /// RFC 4013, 3.
    #[test]
    fn the_examples_of_the_standard() {
        for (text, prepared) in
            [("I\u{ad}X", "IX"), ("user", "user"), ("USER", "USER"), ("\u{aa}", "a"), ("\u{2168}", "IX")]
        {
            assert_eq!(saslprep(text).as_deref(), Ok(prepared));
        }
        for text in ["\u{7}", "\u{627}1"] {
            assert_eq!(saslprep(text), Err(PrepareError));
        }
    }

    #[test]
    fn other_spaces_become_spaces_and_new_characters_are_refused() {
        assert_eq!(saslprep("a\u{a0}b").as_deref(), Ok("a b"));
        assert_eq!(saslprep("\u{1f600}"), Err(PrepareError));
    }
}
