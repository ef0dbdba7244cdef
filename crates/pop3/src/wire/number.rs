//! Numbers.

/// Reads the decimal digits that `text` begins with, at least one, and gives what follows them. A number that is too
/// large becomes the largest there is.
pub(super) fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    // Nineteen digits fit.
    let mut number = 0u64;
    let mut length = 0;
    while let Some(digit) = text.get(length).map(|b| b.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        number = match length < 19 {
            true => number * 10 + u64::from(digit),
            false => number.saturating_mul(10).saturating_add(u64::from(digit)),
        };
        length += 1;
    }
    (length > 0).then(|| (number, &text[length..]))
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
