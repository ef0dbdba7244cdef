//! A certificate authority for one test, and what it issues.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::{Place, run};

/// How long one call of openssl may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A certificate authority of a test's own.
#[derive(Debug)]
pub struct Authority {
    place: Arc<Place>,
}

/// A certificate with its key, both PEM files readable by every user.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificate of the authority that signed it.
    pub ca: PathBuf,
    /// Where these files are, for as long as anybody needs them.
    _place: Arc<Place>,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// When `openssl` fails.
    pub fn new() -> Self {
        let place = Place::new("ca");
        place.write("serial", "01\n");
        place.write(
            "ca.cnf",
            "[req]\nprompt = no\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\nCN = Interop test authority\n\
             [ext]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n\
             subjectKeyIdentifier = hash\n",
        );
        let authority = Self { place: Arc::new(place) };
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -config ca.cnf -keyout ca.key -out ca.pem",
        );
        authority
    }

    /// The authority's certificate: what clients are told to trust.
    pub fn certificate(&self) -> PathBuf {
        self.place.path("ca.pem")
    }

    /// Issues a certificate for the address and the names.
    ///
    /// # Panics
    /// When `openssl` fails.
    pub fn issue(&self, ip: IpAddr, names: &[&str]) -> Identity {
        let mut config = format!(
            "[req]\nprompt = no\ndistinguished_name = dn\n[dn]\nCN = {ip}\n[ext]\nbasicConstraints = CA:FALSE\n\
             extendedKeyUsage = serverAuth\nsubjectAltName = IP:{ip}"
        );
        for name in names {
            write!(config, ",DNS:{name}").expect("writing to a String does not fail");
        }
        self.place.write(format!("{ip}.cnf"), config + "\n");
        self.openssl(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config {ip}.cnf -keyout {ip}.key -out {ip}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {ip}.csr -CA ca.pem -CAkey ca.key -CAserial serial -days 30 -extfile {ip}.cnf -extensions ext \
             -out {ip}.pem"
        ));
        Identity {
            cert: self.place.path(format!("{ip}.pem")),
            key: self.place.path(format!("{ip}.key")),
            ca: self.certificate(),
            _place: self.place.clone(),
        }
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        run(command.args(arguments.split_whitespace()).current_dir(self.place.dir()), LIMIT).ok();
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
