//! Logins: passwords, and SCRAM's credentials.

use super::Directory;
use crate::exit::{self, Failure};
use crate::server::random;
use crate::settings::{Login, Password};
use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use postrider_core::Secret;
use postrider_sasl::{Attempt, Denied, Identity, MechanismName, Nonce, ScramAnswer, ScramCredentials, ScramHash};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Passwords hashed at the same time: each takes a core, and argon2 19 MiB.
const HASHING: usize = 2;
/// How often SCRAM's hash is repeated in credentials that are made here: a client works for some ten milliseconds.
const ITERATIONS: u32 = 32_768;
/// The strongest first.
const HASHES: [ScramHash; 2] = [ScramHash::Sha256, ScramHash::Sha1];

/// Who may log in, and by what.
pub struct Logins {
    /// `None`: whoever asks.
    users: Option<HashMap<String, Login>>,
    hashing: Arc<Semaphore>,
    /// What the password of somebody unknown is compared with, so that it takes as long.
    decoy: Option<Expected>,
    /// What the SCRAM credentials of somebody unknown are made of.
    key: Secret<Vec<u8>>,
}

/// Hashes a password with argon2id.
pub fn hash(password: &str) -> Result<String, Failure> {
    Argon2::default()
        .hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng))
        .map(|hash| hash.to_string())
        .map_err(|error| Failure::new(exit::SOFTWARE, format!("the password cannot be hashed: {error}")))
}

/// The SCRAM credentials of a password, as a line of text.
pub fn scram(hash: ScramHash, password: &str) -> Result<String, Failure> {
    ScramCredentials::derive(hash, &password.to_owned().into(), &random::<16>(), ITERATIONS)
        .map(|credentials| credentials.to_text().into_inner())
        .map_err(|error| Failure::new(exit::USAGE, format!("no SCRAM credentials can be made: {error}")))
}

impl Logins {
    /// Those of `users`; `None` lets in whoever asks. `data` is where the server's key is kept.
    pub fn open(users: Option<HashMap<String, Login>>, data: &Path) -> Result<Self, Failure> {
        let logins = || users.iter().flatten().map(|(_, login)| login);
        let scram = logins().any(|login| !login.scram.is_empty());
        Ok(Self {
            decoy: logins().filter_map(Expected::of).max_by_key(Expected::costs),
            key: if scram { server_key(&data.join("scram.key"))? } else { Secret::new(Vec::new()) },
            hashing: Arc::new(Semaphore::new(HASHING)),
            users,
        })
    }

    /// Everybody there is, if they are listed.
    pub fn users(&self) -> Option<impl Iterator<Item = &str>> {
        self.users.as_ref().map(|users| users.keys().map(String::as_str))
    }

    /// Whether there is such a user.
    pub fn knows(&self, address: &str) -> bool {
        self.users.as_ref().is_none_or(|users| users.contains_key(address))
    }

    fn get(&self, address: &str) -> Option<&Login> {
        self.users.as_ref()?.get(address)
    }

    fn credentials(&self, hash: ScramHash) -> impl Iterator<Item = &ScramCredentials> {
        self.users.iter().flatten().filter_map(move |(_, login)| login.scram(hash))
    }
}

impl Directory {
    /// The mechanisms that some user can log in by, the strongest first, with those that bind to TLS if `binding` says so.
    /// PLAIN and LOGIN serve everybody.
    pub fn mechanisms(&self, binding: bool) -> Vec<MechanismName> {
        let scram = HASHES.into_iter().filter(|hash| self.logins.credentials(*hash).next().is_some());
        let scram = scram.flat_map(|hash| [hash.mechanism(true), hash.mechanism(false)]);
        let scram = scram.filter(|name| binding || !name.binds_channel());
        scram.chain([MechanismName::Plain, MechanismName::Login]).collect()
    }

    /// What is kept of a user's password, or what would be if there were such a user (RFC 5802, 9).
    pub fn scram(&self, user: &str, hash: ScramHash) -> ScramAnswer {
        let address = self.full_address(user);
        let credentials = match self.logins.get(&address).and_then(|login| login.scram(hash)) {
            Some(credentials) => credentials.clone(),
            None => {
                let iterations = self.logins.credentials(hash).map(ScramCredentials::iterations).min();
                ScramCredentials::for_nobody(hash, &address, &self.logins.key, iterations.unwrap_or_default())
            }
        };
        ScramAnswer { credentials, nonce: Nonce::new(random()) }
    }

    /// Judges a login. The identity is the user's address.
    pub async fn authenticate(&self, attempt: Attempt) -> Result<Identity, Denied> {
        let (user, authorization, password) = match attempt {
            Attempt::Password { authorization, user, password, .. } => (user, authorization, Some(password)),
            // The exchange has checked the proof against the credentials that `scram` gave.
            Attempt::Proven { authorization, user, .. } => (user, authorization, None),
            _ => return Err(Denied::Credentials),
        };
        let address = self.full_address(&user);
        let right = match password {
            Some(password) => self.verify(&address, password).await?,
            None => self.logins.get(&address).is_some(),
        };
        if !right {
            return Err(Denied::Credentials);
        }
        // Nobody may act for another.
        if authorization.is_some_and(|other| other != user && other != address) {
            return Err(Denied::Credentials);
        }
        Ok(Identity::new(address))
    }

    /// A user's address, of which the first domain may be left out.
    fn full_address(&self, user: &str) -> String {
        match user.rsplit_once('@') {
            Some((local, domain)) => format!("{}@{}", local.to_lowercase(), domain.to_ascii_lowercase()),
            None => format!("{}@{}", user.to_lowercase(), self.domains.first().map_or("", |domain| domain)),
        }
    }

    async fn verify(&self, address: &str, password: Secret<String>) -> Result<bool, Denied> {
        if self.logins.users.is_none() {
            return Ok(address.rsplit_once('@').is_some_and(|(_, domain)| self.is_ours(domain)));
        }
        match self.logins.get(address).and_then(Expected::of) {
            Some(expected) => self.logins.compare(expected, password).await,
            None => match self.logins.decoy.clone() {
                Some(decoy) => self.logins.compare(decoy, password).await.map(|_| false),
                None => Ok(false),
            },
        }
    }
}

/// What a password is compared with.
#[derive(Clone)]
enum Expected {
    Clear(Secret<String>),
    Hash(String),
    Scram(Box<ScramCredentials>),
}

impl Expected {
    fn of(login: &Login) -> Option<Self> {
        match &login.password {
            Some(Password::Clear(password)) => Some(Self::Clear(password.clone())),
            Some(Password::Hash(hash)) => Some(Self::Hash(hash.clone())),
            None => login.scram.first().map(|credentials| Self::Scram(Box::new(credentials.clone()))),
        }
    }

    /// In how far it keeps a core busy.
    fn costs(&self) -> u8 {
        match self {
            Self::Clear(_) => 0,
            Self::Scram(_) => 1,
            Self::Hash(_) => 2,
        }
    }

    fn fits(&self, password: &Secret<String>) -> bool {
        match self {
            Self::Clear(expected) => expected.matches(password.reveal()),
            Self::Hash(hash) => PasswordHash::new(hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.reveal().as_bytes(), &hash).is_ok()),
            Self::Scram(credentials) => credentials.fit(password),
        }
    }
}

impl Logins {
    /// Compares where that holds up nobody.
    async fn compare(&self, expected: Expected, password: Secret<String>) -> Result<bool, Denied> {
        if expected.costs() == 0 {
            return Ok(expected.fits(&password));
        }
        let permit = self.hashing.clone().acquire_owned().await.map_err(|_| Denied::Temporary)?;
        let compared = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            expected.fits(&password)
        });
        compared.await.map_err(|_| Denied::Temporary)
    }
}

/// The server's own secret, made at the first start and kept with the data: salts of made-up credentials that changed
/// would tell that they are made up.
fn server_key(path: &Path) -> Result<Secret<Vec<u8>>, Failure> {
    match std::fs::read(path) {
        Ok(key) if key.len() == 32 => return Ok(Secret::new(key)),
        Ok(_) => {
            let sentence = format!("{} is not the key that was put there: restore it, or delete it", path.display());
            return Err(Failure::new(exit::NO_INPUT, sentence));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Failure::new(exit::NO_INPUT, format!("{} cannot be read: {error}", path.display())));
        }
    }
    let key = random::<32>();
    let write = || -> std::io::Result<()> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let unfinished = path.with_extension("new");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&key)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write()
        .map_err(|error| Failure::new(exit::CANT_CREATE, format!("{} cannot be written: {error}", path.display())))?;
    Ok(Secret::new(key.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_a_damaged_one_is_not_taken() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("scram.key");
        let key = server_key(&path).unwrap();
        assert!(server_key(&path).unwrap().matches(key.reveal()));
        std::fs::write(&path, "short").unwrap();
        assert!(server_key(&path).unwrap_err().sentence.contains("scram.key"));
    }
}
