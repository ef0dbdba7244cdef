//! Numbers.

/// Reads the decimal digits that `text` begins with, at least one, and gives what follows them. A number that is too
/// large becomes the largest there is.
#[inline]
pub(super) fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    /// So many digits fit.
    const FIT: usize = 19;
    let (mut number, mut length) = (0u64, 0);
    for octet in text.iter().take(FIT) {
        let digit = octet.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number * 10 + u64::from(digit);
        length += 1;
    }
    let mut rest = &text[length..];
    if length == FIT {
        while let [digit @ b'0'..=b'9', after @ ..] = rest {
            number = number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            rest = after;
        }
    }
    (length > 0).then_some((number, rest))
}

/// Reads decimal digits and nothing else, as [`leading_number`] does.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    leading_number(digits).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
}

/// A message number; the largest there is if it is larger.
pub(super) fn saturated(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// As [`number`], for message numbers.
pub(super) fn message(digits: &[u8]) -> Option<u32> {
    number(digits).map(saturated)
}
