//! CRAM-MD5 (RFC 2195): instead of the password, a keyed digest over a challenge of the server's.
//!
//! The server must keep the password in clear text to check it, and who reads one exchange can try passwords at leisure.
//! It is here for peers that have nothing better. Use SCRAM.

use crate::{ApopChallenge, hash};
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use postrider_core::Secret;

/// A client's claim to be `user`, by a digest.
#[derive(Clone)]
pub struct CramDigest {
    user: String,
    challenge: ApopChallenge,
    digest: Secret<[u8; 16]>,
}

impl CramDigest {
    /// Reads `user digest`, the answer to `challenge`. The user may have blanks in it, and is not empty.
    pub(crate) fn parse(response: &[u8], challenge: ApopChallenge) -> Option<Self> {
        let (user, digest) = core::str::from_utf8(response).ok()?.rsplit_once(' ')?;
        if user.is_empty() || user.contains('\0') {
            return None;
        }
        let digest = crate::apop::read_digest(digest.as_bytes())?;
        Some(Self { user: user.to_owned(), challenge, digest: Secret::new(digest) })
    }

    /// Who it claims to be. Not empty, no NUL.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether the digest was made with this password. Takes as long whatever the digest is.
    pub fn matches(&self, password: &Secret<String>) -> bool {
        self.digest.matches(hash::hmac_md5(password.reveal().as_bytes(), self.challenge.as_str().as_bytes()))
    }
}

impl fmt::Debug for CramDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CramDigest").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(feature = "cram-md5")]
pub use client::CramMd5;

#[cfg(feature = "cram-md5")]
mod client {
    use super::{Secret, String, ToOwned, hash};
    use crate::client::sendable;
    use crate::{ApopChallenge, Mechanism, MechanismError, MechanismName};
    use alloc::format;
    use alloc::vec::Vec;

    /// `CRAM-MD5` (RFC 2195).
    #[derive(Debug)]
    pub struct CramMd5 {
        user: String,
        password: Option<Secret<String>>,
    }

    impl CramMd5 {
        /// Logs in as `user`.
        ///
        /// # Errors
        /// [`MechanismError::Unsendable`] if either is empty or holds NUL.
        pub fn new(user: &str, password: &Secret<String>) -> Result<Self, MechanismError> {
            sendable(user)?;
            sendable(password.reveal())?;
            Ok(Self { user: user.to_owned(), password: Some(password.clone()) })
        }
    }

    impl Mechanism for CramMd5 {
        fn name(&self) -> MechanismName {
            MechanismName::CramMd5
        }

        fn initial(&mut self) -> Option<Secret<Vec<u8>>> {
            None
        }

        fn respond(&mut self, challenge: &[u8]) -> Result<Secret<Vec<u8>>, MechanismError> {
            let password = self.password.take().ok_or(MechanismError::Unexpected)?;
            // What is no timestamp may be chosen so that the digest tells more than it should.
            let timestamp = core::str::from_utf8(challenge).ok().and_then(|text| ApopChallenge::new(text).ok());
            let timestamp = timestamp.ok_or(MechanismError::Malformed("expected a timestamp: <left@right>"))?;
            let digest = hash::hmac_md5(password.reveal().as_bytes(), timestamp.as_str().as_bytes());
            let digest = crate::apop::write_digest(digest);
            Ok(Secret::new(format!("{} {}", self.user, digest.reveal()).into_bytes()))
        }

        fn succeeded(&mut self) -> Result<(), MechanismError> {
            if self.password.is_none() { Ok(()) } else { Err(MechanismError::Incomplete) }
        }
    }
}
