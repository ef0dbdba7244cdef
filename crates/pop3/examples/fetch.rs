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
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Where Linux systems keep the certificates that they trust.
const TRUSTED: &str = "/etc/ssl/certs/ca-certificates.crt";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match fetch().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fetch: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn fetch() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(user), Some(dir)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("say HOST USER DIR".into());
    };
    let password = std::env::var("POP3_PASSWORD").map_err(|_| "set POP3_PASSWORD to the password")?;
    let dir = PathBuf::from(dir);
    fs::create_dir_all(&dir)?;

    let mut config = Config::default();
    config.implicit_tls = true;
    let stream = tokio::net::TcpStream::connect((host.as_str(), 995)).await?;
    let roots = roots(&fs::read(TRUSTED)?)?;
    let tls = Tls::Client { config: client_config(roots), name: host.try_into()?, verified: true };
    let mut connection = Connection::open(stream, tls, Arc::new(config), 1).await?;
    connection.login(&user, Secret::new(password)).await?;

    let mut maildrop = Maildrop::default();
    for (message, size) in connection.list().await? {
        maildrop.size(message, size)?;
    }
    for (message, id) in connection.unique_ids().await? {
        maildrop.unique_id(message, id)?;
    }

    let path = dir.join("memory");
    let memory = match fs::read_to_string(&path) {
        Ok(text) => Memory::read(&text, |place| dir.join(place).exists())?,
        Err(error) if error.kind() == ErrorKind::NotFound => Memory::new(),
        Err(error) => return Err(error.into()),
    };
    // Anew, so that a line that was cut off is not in the way; beside it, so that there is always one.
    let beside = dir.join("memory.new");
    let mut lines = File::create(&beside)?;
    lines.write_all(memory.to_text().as_bytes())?;
    lines.sync_all()?;
    fs::rename(&beside, &path)?;
    let mut plan = memory.plan(&maildrop);
    let wanted: Vec<_> = plan.wanted().cloned().collect();
    for message in wanted {
        // A name that was never used: ids may hold what a file name must not, and numbers begin anew in each session.
        let name = format!("{}-{}-{}.eml", UNIX_EPOCH.elapsed()?.as_nanos(), std::process::id(), message.number);
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
