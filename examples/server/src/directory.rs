//! Who is who: addresses to accounts, and passwords.

use crate::exit::{self, Failure};
use crate::server::Store;
use crate::settings::{Password, Settings, Users};
use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use postrider_core::Secret;
use postrider_sasl::{Attempt, Denied, Identity};
use postrider_store::{AccountId, Engine, Error, MailboxName, NewAccount, What};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The folders a new account begins with, besides INBOX (RFC 6154).
const FOLDERS: [(&str, &str); 5] =
    [("Archive", "\\Archive"), ("Drafts", "\\Drafts"), ("Junk", "\\Junk"), ("Sent", "\\Sent"), ("Trash", "\\Trash")];

/// Passwords hashed at the same time: each takes a core and 19 MiB.
const HASHING: usize = 2;

/// Addresses, accounts and passwords.
pub struct Directory {
    store: Store,
    domains: Vec<String>,
    /// `None`: whoever asks.
    users: Option<HashMap<String, Password>>,
    aliases: HashMap<String, String>,
    hashing: Arc<Semaphore>,
    /// What the password of somebody unknown is compared with, so that it takes as long.
    decoy: Arc<str>,
}

/// Where a local address leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The account.
    pub account: AccountId,
    /// Its main address.
    pub address: String,
    /// The folder that the subaddress asks for (`name+folder@domain`), if the account has it.
    pub folder: Option<MailboxName>,
}

/// Hashes a password with argon2id.
pub fn hash(password: &str) -> Result<String, Failure> {
    Argon2::default()
        .hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng))
        .map(|hash| hash.to_string())
        .map_err(|error| Failure::new(exit::SOFTWARE, format!("the password cannot be hashed: {error}")))
}

impl Directory {
    /// The directory that `settings` describe. Makes the accounts that are missing.
    pub async fn open(settings: &Settings, store: Store) -> Result<Self, Failure> {
        let users = match &settings.users {
            Users::Any => None,
            Users::Listed(users) => Some(users.iter().cloned().collect::<HashMap<_, _>>()),
        };
        let hashed = users.iter().flatten().any(|(_, password)| matches!(password, Password::Hash(_)));
        let directory = Self {
            store,
            domains: settings.domains.clone(),
            aliases: settings.aliases.iter().cloned().collect(),
            hashing: Arc::new(Semaphore::new(HASHING)),
            decoy: if hashed { hash("nobody")?.into() } else { "".into() },
            users,
        };
        for address in directory.users.iter().flat_map(|users| users.keys()) {
            directory.account(address).await?;
        }
        Ok(directory)
    }

    /// Whether we receive mail for `domain`, which is in lower case.
    pub fn is_ours(&self, domain: &str) -> bool {
        self.domains.iter().any(|ours| ours == domain)
    }

    /// The mailbox of an address in one of our domains; `None` if nobody has it.
    //= 5321-4.5.1-2
    pub async fn mailbox(&self, local: &str, domain: &str) -> Result<Option<Mailbox>, Error> {
        let local = local.to_lowercase();
        let (base, detail) = local.split_once('+').map_or((&*local, None), |(base, detail)| (base, Some(detail)));
        let mut address = format!("{local}@{domain}");
        if !self.knows(&address) {
            address = format!("{base}@{domain}");
        }
        // RFC 5321, 4.5.1: postmaster is always there; without an account of that name it is the first user's.
        if !self.knows(&address)
            && base == "postmaster"
            && let Some(first) = self.users.as_ref().and_then(|users| users.keys().min())
        {
            address = first.clone();
        }
        if !self.knows(&address) {
            return Ok(None);
        }
        let address = self.aliases.get(&address).cloned().unwrap_or(address);
        let account = self.account(&address).await?;
        let folder = match detail.map(MailboxName::new) {
            Some(Ok(name)) => self.folder(account, &name).await?,
            Some(Err(_)) | None => None,
        };
        Ok(Some(Mailbox { account, address, folder }))
    }

    /// The account's folder of that name in any case.
    async fn folder(&self, account: AccountId, name: &MailboxName) -> Result<Option<MailboxName>, Error> {
        let folders = self.store.mailboxes(account).await?;
        let same = |folder: &MailboxName| folder.as_str().to_lowercase() == name.as_str().to_lowercase();
        Ok(folders.into_iter().map(|folder| folder.name).find(same))
    }

    fn knows(&self, address: &str) -> bool {
        self.aliases.contains_key(address) || self.users.as_ref().is_none_or(|users| users.contains_key(address))
    }

    /// The account of an address, made if it is not there yet.
    pub async fn account(&self, address: &str) -> Result<AccountId, Error> {
        match self.store.find_account(address).await {
            Ok(account) => return Ok(account.id),
            Err(Error::NotFound(What::Account)) => {}
            Err(error) => return Err(error),
        }
        let account =
            NewAccount { name: address.to_owned(), password_hash: None, quota: None, created: crate::server::now() };
        let id = match self.store.create_account(account).await {
            Ok(id) => id,
            // Somebody else was faster.
            Err(Error::Exists(_)) => return Ok(self.store.find_account(address).await?.id),
            Err(error) => return Err(error),
        };
        for (name, special_use) in FOLDERS {
            let name = MailboxName::new(name).expect("the folders' names are names");
            match self.store.create_mailbox(id, name, Some(special_use)).await {
                Ok(_) | Err(Error::Exists(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(id)
    }

    /// Judges a login. The identity is the user's address.
    pub async fn authenticate(&self, attempt: Attempt) -> Result<Identity, Denied> {
        let Attempt::Password { authorization, user, password, .. } = attempt else { return Err(Denied::Credentials) };
        let address = match user.rsplit_once('@') {
            Some((local, domain)) => format!("{}@{}", local.to_lowercase(), domain.to_ascii_lowercase()),
            None => format!("{}@{}", user.to_lowercase(), self.domains.first().ok_or(Denied::Credentials)?),
        };
        let right = match &self.users {
            None => address.rsplit_once('@').is_some_and(|(_, domain)| self.is_ours(domain)),
            Some(users) => match users.get(&address) {
                Some(Password::Clear(expected)) => expected.matches(password.reveal()),
                Some(Password::Hash(hash)) => self.verify(hash.as_str().into(), password).await?,
                None if self.decoy.is_empty() => false,
                None => {
                    self.verify(self.decoy.clone(), password).await?;
                    false
                }
            },
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

    async fn verify(&self, hash: Arc<str>, password: Secret<String>) -> Result<bool, Denied> {
        let permit = self.hashing.clone().acquire_owned().await.map_err(|_| Denied::Temporary)?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.reveal().as_bytes(), &hash).is_ok())
        })
        .await
        .map_err(|_| Denied::Temporary)
    }
}
