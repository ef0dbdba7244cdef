//! Numbers.

/// Reads decimal digits and nothing else. A number that is too large becomes the largest there is.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(d - b'0'))))
}

/// As [`number`], for message numbers.
pub(super) fn message(digits: &[u8]) -> Option<u32> {
    number(digits).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}
