//! The client's half.

use super::message::{Attributes, is_nonce, read_base64, read_number, write_base64, write_name};
use super::{MAX_ITERATIONS, MAX_MESSAGE, MAX_NONCE, MAX_SALT, MIN_ITERATIONS, Nonce, ScramHash};
use crate::prepare::{PrepareError, saslprep, saslprep_query};
use crate::{Channel, Mechanism, MechanismError, MechanismName, hash};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::Secret;

/// `SCRAM-SHA-1`, `SCRAM-SHA-256` and both with `-PLUS` (RFC 5802, RFC 7677). The server proves that it knows the user
/// as well; without that proof the login has failed.
#[derive(Debug)]
pub struct Scram {
    hash: ScramHash,
    user: String,
    password: Secret<String>,
    authorization: String,
    nonce: Nonce,
    /// `n`, `y` or `p=type`.
    flag: String,
    /// The channel's data if the flag is `p`.
    bound: Secret<Vec<u8>>,
    max_iterations: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    First,
    /// The server's salt is next.
    Salt,
    /// The server's proof is next, and must be this.
    Proof(Secret<Vec<u8>>),
    Verified,
    /// The server said why it refuses, and must do so now.
    Refused,
    Failed,
}

impl Scram {
    /// Logs in as `user`, with a nonce never used before, on a channel that nothing is known of.
    ///
    /// # Errors
    /// [`MechanismError::Unsendable`] if user or password is empty, or SASLprep refuses them.
    pub fn new(hash: ScramHash, user: &str, password: &Secret<String>, nonce: Nonce) -> Result<Self, MechanismError> {
        Ok(Self {
            hash,
            user: not_empty(saslprep_query(user))?,
            password: Secret::new(not_empty(saslprep(password.reveal()))?),
            authorization: String::new(),
            nonce,
            flag: "n".into(),
            bound: Secret::default(),
            max_iterations: MAX_ITERATIONS,
            state: State::First,
        })
    }

    /// Acts as `authorization`.
    ///
    /// # Errors
    /// [`MechanismError::Unsendable`] if it is empty or SASLprep refuses it.
    pub fn acting_as(mut self, authorization: &str) -> Result<Self, MechanismError> {
        self.authorization = not_empty(saslprep_query(authorization))?;
        Ok(self)
    }

    /// Binds the login to the channel if there is something to bind to and the server offers it (`-PLUS`). If only the
    /// server does not, it is told so, and fails the login if that is not true (RFC 5802, 6).
    //= 5802-6-2, 5802-6-3, 5802-6-4
    #[must_use]
    pub fn over(mut self, channel: &Channel) -> Self {
        if let Some(kind) = channel.best() {
            if channel.offers(&self.hash.mechanism(true)) {
                self.flag = format!("p={}", kind.as_str());
                self.bound = Secret::new(channel.data(kind).unwrap_or_default().to_vec());
            } else if !channel.offers_binding() {
                self.flag = "y".into();
            }
        }
        self
    }

    /// Does this many iterations at most. Default [`MAX_ITERATIONS`].
    #[must_use]
    pub fn max_iterations(mut self, most: u32) -> Self {
        self.max_iterations = most;
        self
    }

    fn is_bound(&self) -> bool {
        self.flag.starts_with('p')
    }

    fn header(&self) -> String {
        match &self.authorization[..] {
            "" => format!("{},,", self.flag),
            name => format!("{},a={},", self.flag, write_name(name)),
        }
    }

    //= 5802-5.1-1
    fn first_bare(&self) -> String {
        format!("n={},r={}", write_name(&self.user), self.nonce.as_str())
    }

    //= 5802-5.1-7
    fn proof(&mut self, server_first: &str) -> Result<Secret<Vec<u8>>, MechanismError> {
        let malformed = MechanismError::Malformed;
        let mut parts = Attributes::new(server_first);
        let nonce = parts.value('r').ok_or(malformed("expected r=nonce, and no extension that is mandatory"))?;
        let added = nonce.strip_prefix(self.nonce.as_str());
        if !added.is_some_and(|added| is_nonce(added, MAX_NONCE)) {
            return Err(malformed("the server's nonce must be ours and more"));
        }
        let salt = parts.value('s').filter(|salt| salt.len() <= MAX_SALT / 3 * 4 + 4).and_then(read_base64);
        let salt = salt.filter(|salt| !salt.is_empty()).ok_or(malformed("expected s=salt in base64"))?;
        let iterations = parts.value('i').and_then(read_number).ok_or(malformed("expected i=iterations"))?;
        if !parts.ends() {
            return Err(malformed("after the iterations, only extensions may follow that are not mandatory"));
        }
        if !(MIN_ITERATIONS..=self.max_iterations).contains(&iterations) {
            return Err(MechanismError::Iterations { wanted: iterations, most: self.max_iterations });
        }

        let hash = self.hash;
        let mut binding = self.header().into_bytes();
        binding.extend_from_slice(self.bound.reveal());
        let without_proof = format!("c={},r={nonce}", write_base64(&binding));
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare());
        // RFC 5802, 3.
        let salted = hash::stretch(hash, self.password.reveal().as_bytes(), &salt, iterations);
        let client_key = hash::hmac(hash, &salted, &[b"Client Key"]);
        let stored_key = hash::digest(hash, &client_key);
        let signature = hash::hmac(hash, &stored_key, &[auth_message.as_bytes()]);
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_key = hash::hmac(hash, &salted, &[b"Server Key"]);
        let expected = hash::hmac(hash, &server_key, &[auth_message.as_bytes()]);
        self.state = State::Proof(Secret::new(expected));
        Ok(Secret::new(format!("{without_proof},p={}", write_base64(&proof)).into_bytes()))
    }

    //= 5802-5-2
    fn verify(&mut self, expected: &Secret<Vec<u8>>, server_final: &str) -> Result<Secret<Vec<u8>>, MechanismError> {
        let mut parts = Attributes::new(server_final);
        let part = parts.part().unwrap_or_default();
        if part.starts_with("e=") {
            // It will refuse now in the protocol's own words.
            self.state = State::Refused;
            return Ok(Secret::default());
        }
        let signature = part.strip_prefix("v=").and_then(read_base64);
        let signature = signature.ok_or(MechanismError::Malformed("expected v=signature in base64"))?;
        if !parts.ends() {
            return Err(MechanismError::Malformed("after the signature, only extensions may follow"));
        }
        if !expected.matches(signature) {
            return Err(MechanismError::Impostor);
        }
        self.state = State::Verified;
        Ok(Secret::default())
    }
}

//= 5802-5.1-2
fn not_empty(prepared: Result<Cow<'_, str>, PrepareError>) -> Result<String, MechanismError> {
    match prepared {
        Ok(text) if !text.is_empty() => Ok(text.into_owned()),
        Ok(_) | Err(_) => Err(MechanismError::Unsendable),
    }
}

impl Mechanism for Scram {
    fn name(&self) -> MechanismName {
        self.hash.mechanism(self.is_bound())
    }

    fn initial(&mut self) -> Option<Secret<Vec<u8>>> {
        if !matches!(self.state, State::First) {
            return None;
        }
        self.state = State::Salt;
        Some(Secret::new(format!("{}{}", self.header(), self.first_bare()).into_bytes()))
    }

    fn respond(&mut self, challenge: &[u8]) -> Result<Secret<Vec<u8>>, MechanismError> {
        let state = core::mem::replace(&mut self.state, State::Failed);
        if challenge.len() > MAX_MESSAGE {
            return Err(MechanismError::Malformed("a SCRAM message is too long"));
        }
        let text = core::str::from_utf8(challenge);
        let text = text.map_err(|_| MechanismError::Malformed("a SCRAM message is UTF-8"))?;
        match state {
            State::Salt => self.proof(text),
            State::Proof(expected) => self.verify(&expected, text),
            State::First | State::Verified | State::Refused | State::Failed => Err(MechanismError::Unexpected),
        }
    }

    fn succeeded(&mut self) -> Result<(), MechanismError> {
        match self.state {
            State::Verified => Ok(()),
            State::First | State::Salt | State::Proof(_) | State::Refused | State::Failed => {
                Err(MechanismError::Incomplete)
            }
        }
    }
}
