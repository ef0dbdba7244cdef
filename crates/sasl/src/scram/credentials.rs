//! What a server keeps of a password.

use super::message::{read_base64, read_number, write_base64};
use super::{MAX_SALT, MIN_ITERATIONS, MOST_ITERATIONS, ScramHash};
use crate::hash;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::Secret;

/// What a server keeps of a user's password: salt, iterations, `StoredKey` and `ServerKey` (RFC 5802, 3).
#[derive(Clone, Debug)]
pub struct ScramCredentials {
    hash: ScramHash,
    salt: Secret<Vec<u8>>,
    iterations: u32,
    stored_key: Secret<Vec<u8>>,
    server_key: Secret<Vec<u8>>,
    /// Nobody can prove anything against credentials that were made up.
    real: bool,
}

/// Why credentials cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScramCredentialsError {
    /// Fewer iterations than [`MIN_ITERATIONS`], or more than [`MOST_ITERATIONS`].
    #[error("there must be {MIN_ITERATIONS} to {MOST_ITERATIONS} iterations")]
    Iterations,
    /// The salt is empty or longer than [`MAX_SALT`].
    #[error("a salt has 1 to {MAX_SALT} octets")]
    Salt,
    /// The keys have not the length of the hash.
    #[error("the keys must be as long as the hash")]
    Keys,
    /// The password is empty or has characters that SASLprep refuses.
    #[error("the password is empty or has characters that passwords may not have (RFC 4013)")]
    Password,
    /// The text is not as [`ScramCredentials::to_text`] writes it.
    #[error("expected SCRAM-SHA-1 or SCRAM-SHA-256, then $iterations:salt$StoredKey:ServerKey")]
    Text,
}

impl ScramCredentials {
    /// Credentials from their parts.
    ///
    /// # Errors
    /// [`ScramCredentialsError`] if a part is out of bounds.
    pub fn new(
        hash: ScramHash,
        salt: Vec<u8>,
        iterations: u32,
        stored_key: Vec<u8>,
        server_key: Vec<u8>,
    ) -> Result<Self, ScramCredentialsError> {
        check(&salt, iterations)?;
        if stored_key.len() != hash.size() || server_key.len() != hash.size() {
            return Err(ScramCredentialsError::Keys);
        }
        Ok(Self {
            hash,
            salt: Secret::new(salt),
            iterations,
            stored_key: Secret::new(stored_key),
            server_key: Secret::new(server_key),
            real: true,
        })
    }

    /// Credentials for a password. `salt` must be random: 16 octets, and others for every password. The work grows
    /// with `iterations`; clients refuse more than they can bear, ours [`MAX_ITERATIONS`](super::MAX_ITERATIONS).
    ///
    /// # Errors
    /// [`ScramCredentialsError`] if the password cannot be used or a number is out of bounds.
    #[cfg(feature = "scram")]
    pub fn derive(
        hash: ScramHash,
        password: &Secret<String>,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, ScramCredentialsError> {
        check(salt, iterations)?;
        let password = crate::saslprep(password.reveal()).map_err(|_| ScramCredentialsError::Password)?;
        if password.is_empty() {
            return Err(ScramCredentialsError::Password);
        }
        let salted = hash::stretch(hash, password.as_bytes(), salt, iterations);
        let client_key = hash::hmac(hash, &salted, &[b"Client Key"]);
        let server_key = hash::hmac(hash, &salted, &[b"Server Key"]);
        Self::new(hash, salt.to_vec(), iterations, hash::digest(hash, &client_key), server_key)
    }

    /// Whether they are for this password: for mechanisms that send it. Takes as long as [`ScramCredentials::derive`].
    #[cfg(feature = "scram")]
    pub fn fit(&self, password: &Secret<String>) -> bool {
        let derived = Self::derive(self.hash, password, self.salt.reveal(), self.iterations);
        derived.is_ok_and(|derived| self.stored_key.matches(derived.stored_key.reveal())) & self.real
    }

    /// Credentials for a user there is not, which no password fits. The same `key` and user make the same salt every
    /// time, so that nobody learns from an answer whether there is such a user (RFC 5802, 9).
    ///
    /// `key` is the server's own secret, random and kept as long as its users are; `iterations` should be what real
    /// users have (it is brought between [`MIN_ITERATIONS`] and [`MOST_ITERATIONS`]).
    #[cfg(feature = "scram")]
    pub fn for_nobody(hash: ScramHash, user: &str, key: &Secret<Vec<u8>>, iterations: u32) -> Self {
        let make = |what: &[u8]| hash::hmac(hash, key.reveal(), &[what, b"\0", user.as_bytes()]);
        let mut salt = make(b"salt");
        salt.truncate(16);
        Self {
            hash,
            salt: Secret::new(salt),
            iterations: iterations.clamp(MIN_ITERATIONS, MOST_ITERATIONS),
            stored_key: Secret::new(make(b"StoredKey")),
            server_key: Secret::new(make(b"ServerKey")),
            real: false,
        }
    }

    /// Reads what [`ScramCredentials::to_text`] writes.
    ///
    /// # Errors
    /// [`ScramCredentialsError`] if it is not that, or out of bounds.
    pub fn parse(text: &str) -> Result<Self, ScramCredentialsError> {
        let read = || {
            let mut parts = text.split('$');
            let (scheme, shape, keys, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
                return None;
            };
            let hash = match scheme {
                "SCRAM-SHA-1" => ScramHash::Sha1,
                "SCRAM-SHA-256" => ScramHash::Sha256,
                _ => return None,
            };
            let (iterations, salt) = shape.split_once(':')?;
            let (stored_key, server_key) = keys.split_once(':')?;
            Some((
                hash,
                read_base64(salt)?,
                read_number(iterations)?,
                read_base64(stored_key)?,
                read_base64(server_key)?,
            ))
        };
        let (hash, salt, iterations, stored_key, server_key) = read().ok_or(ScramCredentialsError::Text)?;
        Self::new(hash, salt, iterations, stored_key, server_key)
    }

    /// The credentials as a line of text to store: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, with base64, as
    /// RFC 5803 and PostgreSQL have it. As secret as a password's hash.
    pub fn to_text(&self) -> Secret<String> {
        let Self { hash, salt, iterations, stored_key, server_key, real: _ } = self;
        let [salt, stored_key, server_key] = [salt, stored_key, server_key].map(|octets| write_base64(octets.reveal()));
        Secret::new(format!("{}${iterations}:{salt}${stored_key}:{server_key}", hash.mechanism(false)))
    }

    /// The hash function they are for.
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// The number of iterations.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    pub(super) fn salt(&self) -> &[u8] {
        self.salt.reveal()
    }

    /// Checks a client's proof over `auth_message`. Takes as long whoever it is.
    pub(super) fn proves(&self, auth_message: &[u8], proof: &[u8]) -> bool {
        // RFC 5802, 3: ClientProof is ClientKey XOR ClientSignature, and StoredKey is H(ClientKey).
        let signature = hash::hmac(self.hash, self.stored_key.reveal(), &[auth_message]);
        if proof.len() != signature.len() {
            return false;
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.stored_key.matches(hash::digest(self.hash, &client_key)) & self.real
    }

    /// `ServerSignature`.
    pub(super) fn signature(&self, auth_message: &[u8]) -> Vec<u8> {
        hash::hmac(self.hash, self.server_key.reveal(), &[auth_message])
    }
}

//= 5802-5.1-10, 7677-3-1
fn check(salt: &[u8], iterations: u32) -> Result<(), ScramCredentialsError> {
    if !(MIN_ITERATIONS..=MOST_ITERATIONS).contains(&iterations) {
        return Err(ScramCredentialsError::Iterations);
    }
    if salt.is_empty() || salt.len() > MAX_SALT {
        return Err(ScramCredentialsError::Salt);
    }
    Ok(())
}
