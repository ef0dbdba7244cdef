//! The base64 lines in which SMTP, IMAP and POP3 carry SASL messages.

use alloc::string::String;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::Secret;

/// What a client may answer to a challenge.
#[derive(Clone, Debug)]
pub enum Response {
    /// A message, possibly empty.
    Data(Secret<Vec<u8>>),
    /// `*`: the client gives up (RFC 4954, 4; RFC 9051, 6.2.2; RFC 5034, 4).
    Cancel,
}

/// A line that carries no SASL message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineError {
    /// It is longer than the limit. Nothing was decoded.
    #[error("a SASL message is longer than {limit} octets of base64")]
    TooLong {
        /// The limit it broke, in octets of base64.
        limit: usize,
    },
    /// It is not base64 as in RFC 4648, 4: wrong character, padding missing, or bits set that padding cuts off.
    #[error("a SASL message is not valid base64")]
    NotBase64,
}

/// Reads a client's answer to a challenge, without its CRLF. `limit` counts octets of base64.
///
/// # Errors
/// [`LineError`] if it is too long or not base64.
pub fn response(line: &[u8], limit: usize) -> Result<Response, LineError> {
    if line == b"*" {
        return Ok(Response::Cancel);
    }
    decode(line, limit).map(Response::Data)
}

/// Reads an initial response, the argument that may follow the mechanism's name. `=` alone is an empty one
/// (RFC 4954, 4; RFC 4959, 3; RFC 5034, 4).
///
/// # Errors
/// [`LineError`] if it is too long or not base64; an empty argument is not base64 here.
pub fn initial(argument: &[u8], limit: usize) -> Result<Secret<Vec<u8>>, LineError> {
    match argument {
        b"" => Err(LineError::NotBase64),
        b"=" => Ok(Secret::new(Vec::new())),
        _ => decode(argument, limit),
    }
}

/// Reads a server's challenge, without its CRLF and whatever marks it. `limit` counts octets of base64.
///
/// # Errors
/// [`LineError`] if it is too long or not base64.
pub fn challenge(line: &[u8], limit: usize) -> Result<Vec<u8>, LineError> {
    decode(line, limit).map(Secret::into_inner)
}

/// Writes a challenge or a response.
pub fn encode(message: &[u8]) -> Secret<String> {
    Secret::new(STANDARD.encode(message))
}

/// Writes an initial response: as [`encode`], but an empty one is `=`.
//= 4954-4-1, 5034-4-1
pub fn encode_initial(message: &[u8]) -> Secret<String> {
    if message.is_empty() { Secret::new("=".into()) } else { encode(message) }
}

//= 4954-4-12, 5034-4-10
fn decode(base64: &[u8], limit: usize) -> Result<Secret<Vec<u8>>, LineError> {
    if base64.len() > limit {
        return Err(LineError::TooLong { limit });
    }
    STANDARD.decode(base64).map(Secret::new).map_err(|_| LineError::NotBase64)
}

#[cfg(test)]
mod tests {
    use super::*;

    //= 4954-4-1
    #[test]
    fn initial_response_knows_absent_from_empty() {
        assert!(initial(b"=", 100).unwrap().reveal().is_empty());
        assert_eq!(initial(b"", 100).unwrap_err(), LineError::NotBase64);
        assert_eq!(encode_initial(b"").reveal(), "=");
        assert_eq!(encode(b"").reveal(), "");
    }

    #[test]
    fn star_cancels_and_only_alone() {
        assert!(matches!(response(b"*", 100), Ok(Response::Cancel)));
        assert_eq!(response(b"**", 100).unwrap_err(), LineError::NotBase64);
        assert!(matches!(response(b"", 100), Ok(Response::Data(d)) if d.reveal().is_empty()));
    }

    //= 4954-4-12, 5034-4-10
    #[test]
    fn base64_is_strict() {
        for bad in [&b"YQ"[..], b"YR==", b"YQ==YQ==", b" YQ==", b"YQ=\n", b"Y", b"\xff\xff\xff\xff", b"YQ==="] {
            assert_eq!(challenge(bad, 100), Err(LineError::NotBase64), "{bad:?}");
        }
        assert_eq!(challenge(b"YQ==", 100).unwrap(), b"a");
        assert_eq!(challenge(b"YWFh", 3), Err(LineError::TooLong { limit: 3 }));
    }
}
