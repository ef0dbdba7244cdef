//! OpenSMTPD, as a server that our mail goes to.
//!
//! In Debian 12 it fails every TLS handshake, with OpenSSL's own client, too ("missing private key": it was built for
//! another OpenSSL). So mail goes to it in the clear, and since it takes passwords over TLS only, without a login.

use std::time::Duration;

use crate::{Authority, Endpoint, Identity, Place, Process, Security, maildir, root};

/// A running OpenSMTPD with its own configuration and mailboxes.
#[derive(Debug)]
pub struct OpenSmtpd {
    process: Process,
    place: Place,
    identity: Identity,
    hostname: String,
    smtp: u16,
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
        let smtp = place.free_port();
        place.owned_dir("mail", 65534, 65534);
        // It takes no key that others may read.
        let key = place.write_secret("key.pem", std::fs::read(&identity.key).expect("our own key"));
        let (dir, ip, cert, key) = (place.dir().display(), place.ip(), identity.cert.display(), key.display());
        let boxes: Vec<_> = mailboxes.iter().map(|name| format!("\"{name}@{domain}\" = \"nobody\"")).collect();
        let boxes = boxes.join(", ");
        let conf = place.write(
            "smtpd.conf",
            format!(
                "pki {hostname} cert \"{cert}\"
pki {hostname} key \"{key}\"
table boxes {{ {boxes} }}
listen on {ip} port {smtp} tls pki {hostname} hostname {hostname}
action \"box\" maildir \"{dir}/mail/%{{rcpt}}\" virtual <boxes>
match from any for domain \"{domain}\" action \"box\"
"
            ),
        );
        let conf = conf.to_str().expect("our own name");
        let mut process = root::start("opensmtpd", "opensmtpd", &place, &["smtpd", "-d", "-v", "-f", conf]);
        process.wait_for_ports(&[place.at(smtp)]);
        Self { process, place, identity, hostname, smtp }
    }

    /// Where mail is handed in.
    pub fn smtp(&self, security: Security) -> Endpoint {
        Endpoint {
            host: self.place.ip().to_string(),
            name: self.hostname.clone(),
            port: self.smtp,
            security,
            login: None,
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
