//! The server's certificate: given, or made and kept with the data.

use crate::exit::{self, Failure};
use crate::settings::Settings;
use postrider_io::tls;
use std::path::{Path, PathBuf};

/// The TLS configuration and where its certificate can be read.
pub struct Certificate {
    /// For the driver.
    pub config: tls::ServerTls,
    /// The chain, PEM: what a client may be told to trust if nobody else vouches for it.
    pub path: PathBuf,
}

/// Reads the configured certificate, or the one made earlier, or makes one.
pub fn load(settings: &Settings) -> Result<Certificate, Failure> {
    let (chain, key) = match &settings.certificate {
        Some((chain, key)) => (chain.clone(), key.clone()),
        None => {
            let dir = settings.data.path().join("tls");
            let (chain, key) = (dir.join("cert.pem"), dir.join("key.pem"));
            if !chain.exists() || !key.exists() {
                make(settings, &dir, &chain, &key)?;
            }
            (chain, key)
        }
    };
    let config = tls::server_config(&read("certificate", &chain)?, &read("private key", &key)?)
        .map_err(|error| Failure::new(exit::NO_INPUT, format!("{} and {}: {error}", chain.display(), key.display())))?;
    Ok(Certificate { config, path: chain })
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::new(exit::NO_INPUT, format!("the {what} {} cannot be read: {error}", path.display())))
}

/// A self-signed certificate for localhost, loopback and the served domains.
fn make(settings: &Settings, dir: &Path, chain: &Path, key: &Path) -> Result<(), Failure> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
    names.push(settings.hostname.clone());
    names.extend(settings.domains.iter().cloned());
    names.extend(settings.domains.iter().map(|domain| format!("mail.{domain}")));
    names.sort();
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| Failure::new(exit::CONFIG, format!("no certificate can be made: {error}")))?;
    let write = |path: &Path, text: String| -> std::io::Result<()> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    std::fs::create_dir_all(dir)
        .and_then(|()| write(key, made.signing_key.serialize_pem()))
        .and_then(|()| write(chain, made.cert.pem()))
        .map_err(|error| Failure::new(exit::CANT_CREATE, format!("{} cannot be written: {error}", dir.display())))
}
