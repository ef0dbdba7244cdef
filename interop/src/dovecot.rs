//! Dovecot: the IMAP, POP3 and LMTP server most of the world's mail is read from.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::{Authority, Endpoint, Identity, Place, Process, Security};

/// The password of every user.
pub const PASSWORD: &str = "correct horse";
/// The owner of the mailboxes; needs no entry in the system's user table.
const OWNER: u32 = 20_000;

/// A running Dovecot with Maildir mailboxes.
#[derive(Debug)]
pub struct Dovecot {
    process: Process,
    place: Place,
    identity: Identity,
    ports: Ports,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    imap: u16,
    imaps: u16,
    pop3: u16,
    pop3s: u16,
    lmtp: u16,
    auth: u16,
}

impl Dovecot {
    /// Starts one with these users (full addresses), all with [`PASSWORD`]. Passwords are taken in the clear too.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(authority: &Authority, users: &[&str]) -> Self {
        Self::start_offering(authority, users, "plain login")
    }

    /// As [`Dovecot::start`], offering these SASL mechanisms, which Postfix then offers, too.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_offering(authority: &Authority, users: &[&str], mechanisms: &str) -> Self {
        let place = Place::new("dovecot");
        let identity = authority.issue(place.ip(), &["dovecot.test"]);
        let mail = place.owned_dir("mail", OWNER, OWNER);
        let accounts: String = users
            .iter()
            .map(|user| format!("{user}:{{PLAIN}}{PASSWORD}:{OWNER}:{OWNER}::{}/{user}::\n", mail.display()))
            .collect();
        place.write("users", accounts);
        let mut taken = Vec::new();
        let mut port = || loop {
            let port = place.free_port();
            if !taken.contains(&port) {
                taken.push(port);
                return port;
            }
        };
        let ports = Ports { imap: port(), imaps: port(), pop3: port(), pop3s: port(), lmtp: port(), auth: port() };
        fs::create_dir_all(place.path("run")).expect("own directory");
        let config = place.write("dovecot.conf", configuration(&place, &identity, &ports, mechanisms));
        let mut process = Process::start("dovecot", place.dir(), "dovecot", |c| {
            c.arg("-F").arg("-c").arg(config);
        });
        process.also_log(place.path("mail.log"));
        let all = [ports.imap, ports.imaps, ports.pop3, ports.pop3s, ports.lmtp, ports.auth];
        process.wait_for_ports(&all.map(|p| place.at(p)));
        Self { process, place, identity, ports }
    }

    /// Its address.
    pub fn ip(&self) -> IpAddr {
        self.place.ip()
    }

    /// Where a client reads `user`'s mail over IMAP.
    pub fn imap(&self, user: &str, security: Security) -> Endpoint {
        let port = if security == Security::Tls { self.ports.imaps } else { self.ports.imap };
        self.endpoint(user, security, port)
    }

    /// Where a client fetches `user`'s mail over POP3.
    pub fn pop3(&self, user: &str, security: Security) -> Endpoint {
        let port = if security == Security::Tls { self.ports.pop3s } else { self.ports.pop3 };
        self.endpoint(user, security, port)
    }

    /// Where an MTA hands over mail by LMTP.
    pub fn lmtp(&self) -> SocketAddr {
        self.place.at(self.ports.lmtp)
    }

    /// Where Postfix asks whether a password is right.
    pub fn auth(&self) -> SocketAddr {
        self.place.at(self.ports.auth)
    }

    /// The Maildir of a user's inbox.
    pub fn maildir(&self, user: &str) -> PathBuf {
        self.place.path("mail").join(user).join("Maildir")
    }

    /// The directory that holds a user's Maildir. What is in its place before the first delivery makes that fail for now.
    pub fn home(&self, user: &str) -> PathBuf {
        self.place.path("mail").join(user)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn endpoint(&self, user: &str, security: Security, port: u16) -> Endpoint {
        Endpoint {
            host: self.ip().to_string(),
            name: "dovecot.test".into(),
            port,
            security,
            login: Some((user.to_owned(), PASSWORD.to_owned())),
            ca: self.identity.ca.clone(),
        }
    }
}

fn configuration(place: &Place, identity: &Identity, ports: &Ports, mechanisms: &str) -> String {
    let (dir, ip) = (place.dir().display(), place.ip());
    let (cert, key) = (identity.cert.display(), identity.key.display());
    let Ports { imap, imaps, pop3, pop3s, lmtp, auth } = ports;
    format!(
        "base_dir = {dir}/run
state_dir = {dir}/run
instance_name = interop
log_path = {dir}/mail.log
protocols = imap pop3 lmtp
listen = {ip}
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
auth_mechanisms = {mechanisms}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 100
hostname = dovecot.test
recipient_delimiter = +
lmtp_save_to_detail_mailbox = no
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {dir}/users
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = {ip}
    port = {lmtp}
  }}
}}
service auth {{
  inet_listener {{
    address = {ip}
    port = {auth}
  }}
}}
"
    )
}
