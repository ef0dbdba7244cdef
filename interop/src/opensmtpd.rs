//! OpenSMTPD, as a server that our mail goes to.
//!
//! It is Debian 13's, since that of Debian 12 fails every TLS handshake.

use std::process::Command;
use std::time::Duration;

use crate::{Authority, Endpoint, Identity, PASSWORD, Place, Process, Security, maildir, root, run};

/// A running OpenSMTPD with its own configuration and mailboxes. Users log in with [`PASSWORD`], over TLS only.
#[derive(Debug)]
pub struct OpenSmtpd {
    process: Process,
    place: Place,
    identity: Identity,
    hostname: String,
    smtp: u16,
    smtps: u16,
}

impl OpenSmtpd {
    /// Starts one that takes mail for these mailboxes of `domain`, given by their local parts, as `mx.DOMAIN`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(authority: &Authority, domain: &str, mailboxes: &[&str]) -> Self {
        let place = Place::new("opensmtpd");
        let hostname = format!("mx.{domain}");
        let identity = authority.issue(place.ip(), &[&hostname]);
        let (smtp, smtps) = place.two_free_ports();
        place.owned_dir("mail", 65534, 65534);
        // It takes no key that others may read.
        let key = place.write_secret("key.pem", std::fs::read(&identity.key).expect("our own key"));
        let (dir, ip, cert, key) = (place.dir().display(), place.ip(), identity.cert.display(), key.display());
        let boxes: Vec<_> = mailboxes.iter().map(|name| format!("\"{name}@{domain}\" = \"nobody\"")).collect();
        let boxes = boxes.join(", ");
        let hash = run(Command::new("openssl").args(["passwd", "-6", PASSWORD]), Duration::from_secs(30)).ok().text();
        let hash = hash.trim();
        let users: Vec<_> = mailboxes.iter().map(|name| format!("\"{name}@{domain}\" = \"{hash}\"")).collect();
        let users = users.join(", ");
        let conf = place.write(
            "smtpd.conf",
            format!(
                "pki {hostname} cert \"{cert}\"
pki {hostname} key \"{key}\"
table boxes {{ {boxes} }}
table users {{ {users} }}
smtp max-message-size 1M
listen on {ip} port {smtp} tls pki {hostname} auth-optional <users> hostname {hostname}
listen on {ip} port {smtps} smtps pki {hostname} auth-optional <users> hostname {hostname}
action \"box\" maildir \"{dir}/mail/%{{rcpt}}\" virtual <boxes>
match from any for domain \"{domain}\" action \"box\"
"
            ),
        );
        let conf = conf.to_str().expect("our own name");
        let mut process = root::start("opensmtpd", "opensmtpd-7", &place, &["smtpd", "-d", "-v", "-f", conf]);
        process.wait_for_ports(&[place.at(smtp), place.at(smtps)]);
        Self { process, place, identity, hostname, smtp, smtps }
    }

    /// Where mail is handed in.
    pub fn smtp(&self, security: Security, login: Option<&str>) -> Endpoint {
        Endpoint {
            host: self.place.ip().to_string(),
            name: self.hostname.clone(),
            port: if security == Security::Tls { self.smtps } else { self.smtp },
            security,
            login: login.map(|user| (user.to_owned(), PASSWORD.to_owned())),
            ca: self.identity.ca.clone(),
        }
    }

    /// Waits for `count` messages to an address, and returns them as stored, lines ending in LF.
    ///
    /// # Panics
    /// When they do not come within `limit`.
    #[track_caller]
    pub fn delivered(&self, address: &str, count: usize, limit: Duration) -> Vec<Vec<u8>> {
        maildir::wait_for(&self.place.path("mail").join(address), count, limit)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
