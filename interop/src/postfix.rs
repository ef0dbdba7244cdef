//! Postfix: as the place where our mail goes, and as the one that sends us mail.

use std::fs::{self, File, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::{Authority, Endpoint, Identity, Place, Process, Security, maildir, run};

/// Where Debian puts the daemons.
const DAEMONS: &str = "/usr/lib/postfix/sbin";
/// The owner of the mailboxes; needs no entry in the system's user table.
const OWNER: u32 = 20_000;

/// How a Postfix is set up.
#[derive(Clone, Debug)]
pub struct PostfixOptions {
    /// Its own name.
    pub hostname: String,
    /// The addresses it takes mail for, at least one; others in their domains do not exist (550).
    pub mailboxes: Vec<String>,
    /// Where it hands that mail over by LMTP; without, each mailbox is a Maildir.
    pub lmtp: Option<SocketAddr>,
    /// The resolver (port 53) it asks for other domains; without, it relays nothing.
    pub dns: Option<SocketAddr>,
    /// The port it connects to at the hosts DNS names.
    pub mx_port: u16,
    /// Where passwords are checked (Dovecot's protocol); without, it offers no AUTH.
    pub auth: Option<SocketAddr>,
    /// Whether it hands on mail for other domains from unauthenticated clients on loopback.
    pub relay_for_loopback: bool,
    /// Whether it insists on verified TLS to the hosts DNS names.
    pub require_tls: bool,
    /// More lines of `main.cf`, each with its end.
    pub more: String,
}

impl Default for PostfixOptions {
    fn default() -> Self {
        Self {
            hostname: "mx.postfix.test".into(),
            mailboxes: vec!["postmaster@postfix.test".into()],
            lmtp: None,
            dns: None,
            mx_port: 25,
            auth: None,
            relay_for_loopback: true,
            require_tls: false,
            more: String::new(),
        }
    }
}

/// A running Postfix instance with its own configuration, queue and mailboxes.
#[derive(Debug)]
pub struct Postfix {
    process: Process,
    place: Place,
    identity: Identity,
    hostname: String,
    smtp: u16,
    smtps: u16,
}

impl Postfix {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(authority: &Authority, options: &PostfixOptions) -> Self {
        let place = Place::new("postfix");
        let port = place.free_port();
        Self::start_in(place, port, authority, options)
    }

    /// As [`Postfix::start`], in a place and taking mail on a port that others may know already.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_in(place: Place, smtp: u16, authority: &Authority, options: &PostfixOptions) -> Self {
        let identity = authority.issue(place.ip(), &[&options.hostname]);
        let smtps = loop {
            let port = place.free_port();
            if port != smtp {
                break port;
            }
        };
        place.owned_dir("mail", OWNER, OWNER);
        make_queue(&place);
        if let Some(dns) = options.dns {
            assert_eq!(dns.port(), 53, "resolv.conf cannot name another port");
            // The sending process runs in a chroot below the queue, where this is its /etc/resolv.conf.
            place.write("queue/etc/resolv.conf", format!("nameserver {}\n", dns.ip()));
        }
        place.write("etc/main.cf", main_cf(&place, &identity, options));
        place.write("etc/master.cf", master_cf(place.ip(), smtp, smtps));
        let etc = place.path("etc");
        for name in ["main.cf", "master.cf", "mailboxes"] {
            // Postfix would wait until a fresh file is some seconds old, since it might still be written.
            let minute_ago = SystemTime::now() - Duration::from_secs(60);
            let file = File::options().append(true).open(etc.join(name)).expect("written above");
            file.set_modified(minute_ago).expect("own file");
        }
        let mut process = Process::start("postfix", place.dir(), &format!("{DAEMONS}/master"), |c| {
            c.arg("-d").arg("-c").arg(&etc);
        });
        process.also_log(place.path("mail.log"));
        process.wait_for_ports(&[place.at(smtp), place.at(smtps)]);
        Self { process, place, identity, hostname: options.hostname.clone(), smtp, smtps }
    }

    /// Its address.
    pub fn ip(&self) -> IpAddr {
        self.place.ip()
    }

    /// The port it takes mail on, with STARTTLS.
    pub fn port(&self) -> u16 {
        self.smtp
    }

    /// Where a client submits or another server relays to.
    pub fn smtp(&self, security: Security, login: Option<(&str, &str)>) -> Endpoint {
        Endpoint {
            host: self.ip().to_string(),
            name: self.hostname.clone(),
            port: if security == Security::Tls { self.smtps } else { self.smtp },
            security,
            login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
            ca: self.identity.ca.clone(),
        }
    }

    /// The Maildir of a recipient, without LMTP.
    pub fn maildir(&self, address: &str) -> PathBuf {
        self.place.path("mail").join(address)
    }

    /// Waits for `count` messages to `address` and returns them as stored, lines ending in LF.
    ///
    /// # Panics
    /// When they do not come within `limit`.
    #[track_caller]
    pub fn delivered(&self, address: &str, count: usize, limit: Duration) -> Vec<Vec<u8>> {
        maildir::wait_for(&self.maildir(address), count, limit)
    }

    /// Tries everything that is in the queue again, now.
    pub fn flush(&self) {
        run(Command::new("postqueue").arg("-c").arg(self.place.path("etc")).arg("-f"), Duration::from_secs(30)).ok();
    }

    /// The queue as `postqueue -p` shows it.
    pub fn queue(&self) -> String {
        run(Command::new("postqueue").arg("-c").arg(self.place.path("etc")).arg("-p"), Duration::from_secs(30))
            .ok()
            .text()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn main_cf(place: &Place, identity: &Identity, options: &PostfixOptions) -> String {
    let dir = place.dir().display();
    let (cert, key, ca) = (identity.cert.display(), identity.key.display(), identity.ca.display());
    let domains: Vec<_> =
        options.mailboxes.iter().map(|address| address.rsplit('@').next().expect("rsplit yields one")).collect();
    let domains = domains.join(" ");
    // A result that ends in a slash is a Maildir below virtual_mailbox_base.
    let map: String = options.mailboxes.iter().map(|address| format!("{address} {address}/\n")).collect();
    let map = place.write("etc/mailboxes", map);
    let map = map.display();
    let mut config = format!(
        "compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = {DAEMONS}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/mail.log
maillog_file_prefixes = {dir}
myhostname = {hostname}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = {domains}
virtual_mailbox_maps = texthash:{map}
virtual_mailbox_base = {dir}/mail
virtual_minimum_uid = {OWNER}
virtual_uid_maps = static:{OWNER}
virtual_gid_maps = static:{OWNER}
virtual_mailbox_limit = 0
mailbox_size_limit = 0
message_size_limit = 300000000
alias_maps =
local_recipient_maps =
local_header_rewrite_clients =
smtpd_peername_lookup = no
in_flow_delay = 0
minimal_backoff_time = 1s
maximal_backoff_time = 4s
queue_run_delay = 1s
smtp_tcp_port = {mx_port}
smtp_connect_timeout = 10s
smtp_tls_security_level = {out_tls}
smtp_tls_CAfile = {ca}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_loglevel = 1
smtp_tls_loglevel = 1
",
        hostname = options.hostname,
        mx_port = options.mx_port,
        out_tls = if options.require_tls { "secure" } else { "may" },
    );
    if let Some(to) = options.lmtp {
        config += &format!("virtual_transport = lmtp:inet:{}:{}\n", to.ip(), to.port());
    }
    config += if options.relay_for_loopback { "mynetworks = 127.0.0.0/8\n" } else { "mynetworks =\n" };
    match options.dns {
        Some(_) => config += "smtp_host_lookup = dns\n",
        None => config += "disable_dns_lookups = yes\nsmtp_host_lookup = native\nlmtp_host_lookup = native\n",
    }
    if let Some(auth) = options.auth {
        config += &format!(
            "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:{}:{}\n\
             smtpd_tls_auth_only = yes\n",
            auth.ip(),
            auth.port()
        );
    }
    config + &options.more
}

fn master_cf(ip: IpAddr, smtp: u16, smtps: u16) -> String {
    // The addresses are here and not in inet_interfaces, which wants those the kernel lists: 127.0.0.1 alone.
    // Columns: service type private unpriv chroot wakeup maxproc command. Only `smtp` needs its chroot: see above.
    format!(
        "{ip}:{smtp} inet n - n - - smtpd
{ip}:{smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - y - - smtp
relay unix - - y - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"
    )
}

/// The directories of an empty queue, as `postfix-files` wants them (`postfix check` would take seconds).
fn make_queue(place: &Place) {
    let (postfix, group) = user("postfix");
    let make = |name: &str, uid, gid, mode| {
        let path = place.owned_dir(name, uid, gid);
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("own directory");
    };
    make("data", postfix, group, 0o700);
    make("queue", 0, 0, 0o755);
    make("queue/etc", 0, 0, 0o755);
    make("queue/pid", 0, 0, 0o755);
    for name in
        ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"]
    {
        make(&format!("queue/{name}"), postfix, 0, 0o700);
    }
    make("queue/public", postfix, group_id("postdrop"), 0o710);
    make("queue/maildrop", postfix, group_id("postdrop"), 0o730);
}

fn group_id(name: &str) -> u32 {
    let table = fs::read_to_string("/etc/group").expect("/etc/group can be read");
    let line = table.lines().find(|line| line.split(':').next() == Some(name));
    let id = line.and_then(|line| line.split(':').nth(2)).and_then(|id| id.parse().ok());
    id.unwrap_or_else(|| panic!("there is no group {name}: is the package installed?"))
}

/// Numbers of a system user.
fn user(name: &str) -> (u32, u32) {
    let table = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    let line = table
        .lines()
        .find(|line| line.split(':').next() == Some(name))
        .unwrap_or_else(|| panic!("there is no user {name}: is the package installed?"));
    let number = |i| line.split(':').nth(i).and_then(|n| n.parse().ok()).expect("/etc/passwd has numbers");
    (number(2), number(3))
}
