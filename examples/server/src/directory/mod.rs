//! Who is who: addresses to accounts, and logins.

mod login;

use crate::exit::Failure;
use crate::server::Store;
use crate::settings::{Settings, Users};
use login::Logins;
pub use login::{hash, scram};
use postrider_store::{AccountId, Engine, Error, MailboxName, NewAccount, What};
use std::collections::HashMap;

/// The folders a new account begins with, besides INBOX (RFC 6154).
const FOLDERS: [(&str, &str); 5] =
    [("Archive", "\\Archive"), ("Drafts", "\\Drafts"), ("Junk", "\\Junk"), ("Sent", "\\Sent"), ("Trash", "\\Trash")];

/// Addresses, accounts and logins.
pub struct Directory {
    store: Store,
    domains: Vec<String>,
    aliases: HashMap<String, String>,
    logins: Logins,
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

impl Directory {
    /// The directory that `settings` describe. Makes the accounts that are missing.
    pub async fn open(settings: &Settings, store: Store) -> Result<Self, Failure> {
        let users = match &settings.users {
            Users::Any => None,
            Users::Listed(users) => Some(users.iter().cloned().collect::<HashMap<_, _>>()),
        };
        let directory = Self {
            store,
            domains: settings.domains.clone(),
            aliases: settings.aliases.iter().cloned().collect(),
            logins: Logins::open(users, settings.data.path())?,
        };
        for address in directory.logins.users().into_iter().flatten() {
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
            && let Some(first) = self.logins.users().and_then(Iterator::min)
        {
            address = first.to_owned();
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
        self.aliases.contains_key(address) || self.logins.knows(address)
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
}
