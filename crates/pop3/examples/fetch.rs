//! Fetches what is new in a maildrop, each message once: `cargo run --features tokio --example fetch -- HOST USER DIR`.
//!
//! The password is in `POP3_PASSWORD`. Messages are left on the server; DIR/memory says which were fetched.

use postrider_core::Secret;
use postrider_io::Tls;
use postrider_io::tls::{client_config, roots};
use postrider_pop3::client::{Config, Maildrop, Memory};
use postrider_pop3::tokio::Connection;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Where Linux systems keep the certificates that they trust.
const TRUSTED: &str = "/etc/ssl/certs/ca-certificates.crt";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(user), Some(dir)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("say HOST USER DIR".into());
    };
    let password = Secret::new(std::env::var("POP3_PASSWORD")?);
    let dir = PathBuf::from(dir);
    fs::create_dir_all(&dir)?;

    let mut config = Config::default();
    config.implicit_tls = true;
    let stream = tokio::net::TcpStream::connect((host.as_str(), 995)).await?;
    let roots = roots(&fs::read(TRUSTED)?)?;
    let tls = Tls::Client { config: client_config(roots), name: host.try_into()?, verified: true };
    let mut connection = Connection::open(stream, tls, Arc::new(config), 1).await?;
    connection.login(&user, password).await?;

    let mut maildrop = Maildrop::default();
    for (message, size) in connection.list().await? {
        maildrop.size(message, size)?;
    }
    for (message, id) in connection.unique_ids().await? {
        maildrop.unique_id(message, id)?;
    }

    let path = dir.join("memory");
    let text = fs::read_to_string(&path).unwrap_or_else(|_| Memory::new().to_text());
    let memory = Memory::read(&text, |place| dir.join(place).exists())?;
    // Anew, so that a line that was cut off is not in the way.
    fs::write(&path, memory.to_text())?;
    let mut lines = File::options().append(true).open(&path)?;
    let mut plan = memory.plan(&maildrop);
    let wanted: Vec<_> = plan.wanted().cloned().collect();
    for message in wanted {
        // A name of our own: an id may hold what a file name must not.
        let octets = message.id.as_ref().map_or("", |id| id.as_str()).bytes();
        let name: String = octets.map(|b| format!("{b:02x}")).collect::<String>() + &format!("-{}.eml", message.number);
        let part = dir.join("part");
        let mut file = File::create(&part)?;
        let mut written = Ok(());
        let write = |octets: bytes::Bytes| {
            if written.is_ok() {
                written = file.write_all(&octets);
            }
        };
        connection.retrieve(message.number, write).await?;
        written?;
        file.sync_all()?;
        lines.write_all(plan.begin(message.number, &name)?.as_bytes())?;
        lines.sync_data()?;
        fs::rename(&part, dir.join(&name))?;
        File::open(&dir)?.sync_all()?;
        lines.write_all(plan.kept(message.number)?.as_bytes())?;
        println!("{name}");
    }
    lines.sync_data()?;
    // To delete them there, `connection.delete` each of `plan.deletable()` before this.
    Ok(connection.quit().await?)
}
