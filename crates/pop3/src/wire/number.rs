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

/// Reads the decimal digits that `text` begins with, one to seven of them before something else, and gives that. Other
/// numbers, and those too close to the end of `text`, are for [`leading_number`].
///
/// Eight octets are looked at together, as a word whose lowest octet is the first.
#[inline]
pub(super) fn short_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let octets = u64::from_le_bytes(*text.first_chunk()?);
    // 0 to 9 for a digit, more for anything else.
    let digits = octets ^ 0x3030_3030_3030_3030;
    // The highest bit of each octet that is more than 9. What is carried only spoils octets after one of those.
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let bits = others.trailing_zeros() & !7;
    if bits == 0 || bits == 64 {
        return None;
    }
    // Zeros before the digits, then pairs, fours and all of them put together.
    let digits = digits << (64 - bits);
    let pairs = (digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    let number = (fours.wrapping_mul(10_000 << 32 | 1) >> 32) as u32;
    Some((number, &text[(bits / 8) as usize..]))
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

#[cfg(test)]
mod tests {
    use super::{leading_number, short_number};
    use alloc::format;

    #[test]
    fn short_numbers_are_those_that_are_read_digit_by_digit() {
        for number in (0..10_000).chain((10_000..10_000_000).step_by(997)).chain([9_999_999]) {
            for before in ["", "0", "00"] {
                let text = format!("{before}{number}");
                let read = short_number(format!("{text} 12345678").as_bytes()).map(|(read, rest)| (read, rest.len()));
                assert_eq!(read, (text.len() < 8).then_some((number, 9)), "{text}");
            }
        }
        for text in ["", "1 ", "1234567", "12345678", "123456789012345678901", " 1234567", "x1234567", "-1234567"] {
            assert_eq!(short_number(text.as_bytes()), None, "{text}");
        }
        for other in (0..=u8::MAX).filter(|octet| !octet.is_ascii_digit()) {
            for length in 1..8 {
                let mut text = *b"12345678";
                text[length] = other;
                let (number, rest) = leading_number(&text).expect("it begins with a digit");
                assert_eq!(short_number(&text), Some((number as u32, rest)), "{text:?}");
            }
        }
    }
}
