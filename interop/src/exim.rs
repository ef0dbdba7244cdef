//! Exim, as a server that our mail goes to.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Authority, Endpoint, Identity, PASSWORD, Place, Process, Security, maildir, root};

/// A running Exim with its own configuration, spool and mailboxes for one domain. The local part `nobody` does not
/// exist (550), `later` cannot be served now (450). Users log in with [`PASSWORD`].
#[derive(Debug)]
pub struct Exim {
    process: Process,
    place: Place,
    identity: Identity,
    hostname: String,
    smtp: u16,
    smtps: u16,
}

impl Exim {
    /// Starts one that takes mail for these mailboxes of `domain`, given by their local parts, as `mx.DOMAIN`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(authority: &Authority, domain: &str, mailboxes: &[&str]) -> Self {
        let place = Place::new("exim");
        let hostname = format!("mx.{domain}");
        let identity = authority.issue(place.ip(), &[&hostname]);
        let (smtp, smtps) = place.two_free_ports();
        for directory in ["spool", "log", "mail"] {
            place.owned_dir(directory, 0, 0);
        }
        let conf = configuration(&place, domain, &mailboxes.join(" : "), (smtp, smtps));
        let conf = place.write("exim.conf", conf);
        // The only place of a configuration for which it keeps its rights; what it writes belongs to its own user.
        const SCRIPT: &str = "\
            cp exim.conf /etc/exim4/exim4.conf; chown -R Debian-exim: spool log mail
            install -o Debian-exim -m 400 \"$1\" cert.pem; install -o Debian-exim -m 400 \"$2\" key.pem
            exec exim4 -bdf";
        let path = |path: &std::path::Path| path.to_str().expect("our own name").to_owned();
        let (conf, cert, key) = (path(conf.parent().expect("in the place")), path(&identity.cert), path(&identity.key));
        let script = format!("cd {conf}\n{SCRIPT}");
        let command = ["sh", "-euc", &script, "sh", &cert, &key];
        let mut process = root::start("exim", "exim4-daemon-light", &place, &command);
        process.also_log(place.path("log/main"));
        process.wait_for_ports(&[place.at(smtp), place.at(smtps)]);
        Self { process, place, identity, hostname, smtp, smtps }
    }

    /// Where a client submits.
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

    /// Waits for `count` messages for a local part, and returns them as stored, lines ending in LF.
    ///
    /// # Panics
    /// When they do not come within `limit`.
    #[track_caller]
    pub fn delivered(&self, local_part: &str, count: usize, limit: Duration) -> Vec<Vec<u8>> {
        maildir::wait_for(&self.maildir(local_part), count, limit)
    }

    /// The Maildir of a local part.
    pub fn maildir(&self, local_part: &str) -> PathBuf {
        self.place.path("mail").join(local_part)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn configuration(place: &Place, domain: &str, mailboxes: &str, ports: (u16, u16)) -> String {
    let (dir, ip, (smtp, smtps)) = (place.dir().display(), place.ip(), ports);
    format!(
        "primary_hostname = mx.{domain}
keep_environment =
spool_directory = {dir}/spool
log_file_path = {dir}/log/%s
pid_file_path = {dir}/exim.pid
local_interfaces = {ip}
daemon_smtp_ports = {smtp} : {smtps}
tls_on_connect_ports = {smtps}
tls_advertise_hosts = *
tls_certificate = {dir}/cert.pem
tls_privatekey = {dir}/key.pem
host_lookup =
message_size_limit = 1M
chunking_advertise_hosts = *
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
log_selector = +received_recipients +tls_cipher +smtp_protocol_error +smtp_syntax_error

begin acl
rcpt:
  deny local_parts = nobody
       message = 550 5.1.1 no such mailbox
  defer local_parts = later
       message = 450 4.2.1 mailbox is busy
  accept domains = {domain}
  deny message = 550 5.7.1 relaying denied

begin routers
here:
  driver = accept
  local_parts = {mailboxes}
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = {dir}/mail/$local_part_data
  maildir_format
  create_directory
  user = Debian-exim

begin retry
* * F,1h,1m

begin authenticators
PLAIN:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if eq{{$auth3}}{{{PASSWORD}}}}}
  server_set_id = $auth2
  server_advertise_condition = ${{if def:tls_in_cipher}}
LOGIN:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if eq{{$auth2}}{{{PASSWORD}}}}}
  server_set_id = $auth1
  server_advertise_condition = ${{if def:tls_in_cipher}}
CRAM:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = {PASSWORD}
  server_set_id = $auth1
"
    )
}
