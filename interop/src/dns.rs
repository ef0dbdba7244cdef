//! A resolver (unbound) that knows the given records and nothing else.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use crate::{Place, Process};

/// A running resolver. Whatever is not among its records does not exist (NXDOMAIN); it asks nobody else.
#[derive(Debug)]
pub struct Dns {
    process: Process,
    place: Place,
}

impl Dns {
    /// Starts one with records in master file form, such as `example.net. 60 IN MX 10 mx.example.net.`
    ///
    /// It listens on port 53 of its own address, UDP and TCP, since a `resolv.conf` cannot name a port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(records: &[String]) -> Self {
        Self::start_in(Place::new("dns"), records)
    }

    /// As [`Dns::start`], in a place that others may know already.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_in(place: Place, records: &[String]) -> Self {
        let ip = place.ip();
        let mut config = format!(
            "server:\n  interface: {ip}@53\n  access-control: 127.0.0.0/8 allow\n  username: \"\"\n  chroot: \"\"\n  \
             directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n  num-threads: 1\n  \
             module-config: \"iterator\"\n  do-not-query-localhost: no\n  log-queries: yes\n  local-zone: \".\" static\n",
            place.dir().display()
        );
        for record in records {
            writeln!(config, "  local-data: '{record}'").expect("writing to a String does not fail");
        }
        config += "remote-control:\n  control-enable: no\n";
        let file = place.write("unbound.conf", config);
        let mut process = Process::start("unbound", place.dir(), "unbound", |c| {
            c.arg("-d").arg("-c").arg(file);
        });
        process.wait_for_ports(&[place.at(53)]);
        Self { process, place }
    }

    /// The records that send `domain`'s mail to `host` at `ip`.
    pub fn mail_for(domain: &str, host: &str, ip: IpAddr) -> Vec<String> {
        vec![format!("{domain}. 60 IN MX 10 {host}."), format!("{host}. 60 IN A {ip}")]
    }

    /// Where to ask.
    pub fn addr(&self) -> SocketAddr {
        self.place.at(53)
    }

    /// Every question it was asked, as it logged them.
    pub fn questions(&self) -> String {
        self.process.log()
    }
}
