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

/// Prepares a name to look up, as a query string: characters that Unicode 3.2 did not have stay as they are.
///
/// Otherwise as [`saslprep`].
///
/// # Errors
/// [`PrepareError`].
//= 5802-5.1-13, 5802-5.1-14
pub(crate) fn saslprep_query(text: &str) -> Result<Cow<'_, str>, PrepareError> {
    #[cfg(feature = "saslprep")]
    if text.contains(stringprep::tables::unassigned_code_point) {
        return query(text);
    }
    saslprep(text)
}

/// Unicode 3.2 knows nothing of these characters, so they take part in no rule. Something that takes part in none either
/// stands in for them.
#[cfg(feature = "saslprep")]
fn query(text: &str) -> Result<Cow<'_, str>, PrepareError> {
    use stringprep::tables::unassigned_code_point;
    // The patterns of Braille: nothing decomposes to one, and they are written in neither direction.
    let stand_in = ('\u{2801}'..='\u{28ff}').find(|&c| !text.contains(c)).ok_or(PrepareError)?;
    let known = text.replace(unassigned_code_point, stand_in.encode_utf8(&mut [0; 4]));
    let mut new = text.chars().filter(|&c| unassigned_code_point(c));
    let prepared = stringprep::saslprep(&known).map_err(|_| PrepareError)?;
    let back = prepared.chars().map(|c| if c == stand_in { new.next().unwrap_or(c) } else { c });
    Ok(Cow::Owned(back.collect()))
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

    /// RFC 5802, 5.1; RFC 3454, 7.
    //= 5802-5.1-13, 5802-5.1-14
    #[test]
    fn a_name_that_is_looked_up_may_have_new_characters() {
        for (text, prepared) in [
            ("\u{1f600}", "\u{1f600}"),
            ("I\u{ad}X", "IX"),
            ("\u{1f600}\u{aa}\u{a0}\u{1f601}\u{2801}", "\u{1f600}a \u{1f601}\u{2801}"),
        ] {
            assert_eq!(saslprep_query(text).as_deref(), Ok(prepared));
        }
        for text in ["\u{1f600}\u{7}", "\u{1f600}\u{fffe}", "\u{1f600}\u{627}1", "\u{1f600}\u{e0001}"] {
            assert_eq!(saslprep_query(text), Err(PrepareError), "{text:?}");
        }
        let every: alloc::string::String = ('\u{2801}'..='\u{28ff}').collect();
        assert_eq!(saslprep_query(&(every + "\u{1f600}")), Err(PrepareError));
    }
}
