//! The command line.

use crate::exit::{self, Failure};
use crate::settings::{Listeners, Settings, Users};
use crate::{config, demo, server, settings};
use clap::{Args, Parser};
use postrider_sasl::ScramHash;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A mail server: SMTP, submission, LMTP, IMAP and POP3, with its queue and its mailboxes.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
pub enum Command {
    /// Two mail servers and their DNS on loopback; one message through every step, each shown as it happens.
    Demo {
        /// Exit when the last step was verified, with 0, or with the step that failed.
        #[arg(long)]
        once: bool,
    },
    /// For developers: loopback, any free ports, a certificate of its own, any user, no configuration.
    Localserve(Box<Localserve>),
    /// Serve what a configuration file says.
    Serve(Serve),
    /// Print the argon2id hash of the password on standard input, for `password_hash` of a `[[user]]`.
    HashPassword(HashPassword),
}

/// Options of `hash-password`.
#[derive(Args)]
pub struct HashPassword {
    /// Print the line that lets a `[[user]]` log in by SCRAM instead: `scram = [...]`.
    #[arg(long)]
    pub scram: bool,
    /// With SCRAM-SHA-1 too, for clients that have nothing better.
    #[arg(long, requires = "scram")]
    pub sha_1: bool,
}

/// Options of `localserve`. A port of 0 means any free one, and so does a port that is not named.
#[derive(Args)]
pub struct Localserve {
    /// Keep the data here; without it, a fresh directory is used and removed at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Receive mail for this domain. May be given several times. Default: localhost.
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Vec<String>,
    /// Let this user in, and no others. May be given several times.
    #[arg(long, value_name = "ADDRESS:PASSWORD")]
    pub user: Vec<String>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub listen: IpAddr,
    /// The certificate chain to show, PEM.
    #[arg(long, value_name = "PEM", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "PEM", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Port for mail from other servers.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub smtp: u16,
    /// Port for mail from users, STARTTLS.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub submission: u16,
    /// Port for mail from users, TLS from the start.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub submissions: u16,
    /// Port for LMTP.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub lmtp: u16,
    /// Port for IMAP, STARTTLS.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub imap: u16,
    /// Port for IMAP, TLS from the start.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub imaps: u16,
    /// Port for POP3, STLS.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub pop3: u16,
    /// Port for POP3, TLS from the start.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub pop3s: u16,
    /// Port for `/healthz` and `/readyz`.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub http: u16,
    /// The DNS server to ask. Default: the first of /etc/resolv.conf.
    #[arg(long, value_name = "ADDR:PORT")]
    pub dns: Option<SocketAddr>,
    /// The port other mail servers are reached at.
    #[arg(long, value_name = "PORT", default_value_t = 25)]
    pub mx_port: u16,
    /// Hand all outgoing mail to this host instead of the destination's own.
    #[arg(long, value_name = "HOST:PORT")]
    pub smarthost: Option<String>,
    /// Where mailboxes and queue live: `embedded:DIR`.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub store: Option<String>,
    /// Allow passwords without TLS.
    #[arg(long)]
    pub plaintext_auth: bool,
    /// Offer SCRAM with channel binding (-PLUS) over TLS; some clients choose it and cannot do it
    #[arg(long)]
    pub channel_binding: bool,
}

/// Options of `serve`.
#[derive(Args)]
pub struct Serve {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "postrider.toml")]
    pub config: PathBuf,
}

impl Command {
    /// Does what the command line says, until it is done.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Demo { once } => run(async {
                log("error");
                demo::run(once).await
            }),
            Self::Localserve(options) => run(async {
                log("warn");
                server::run(localserve(*options)?).await
            }),
            Self::Serve(options) => run(async {
                log("info");
                server::run(config::load(&options.config)?).await
            }),
            Self::HashPassword(options) => {
                let mut password = String::new();
                std::io::stdin()
                    .read_line(&mut password)
                    .map_err(|error| Failure::new(exit::IO, format!("the password cannot be read: {error}")))?;
                let password = password.trim_end_matches(['\r', '\n']);
                if !options.scram {
                    println!("{}", crate::directory::hash(password)?);
                    return Ok(());
                }
                let hashes = [Some(ScramHash::Sha256), options.sha_1.then_some(ScramHash::Sha1)];
                let credentials = |hash| crate::directory::scram(hash, password).map(|text| format!("{text:?}"));
                let credentials = hashes.into_iter().flatten().map(credentials).collect::<Result<Vec<_>, _>>()?;
                println!("scram = [{}]", credentials.join(", "));
                Ok(())
            }
        }
    }
}

fn run(main: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::IO, format!("cannot start: {error}")))?
        .block_on(main)
}

/// Lets `POSTRIDER_LOG` choose what is logged to standard error.
fn log(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("POSTRIDER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// The settings that a `localserve` command line means.
pub fn localserve(options: Localserve) -> Result<Settings, Failure> {
    let mut users = Vec::new();
    for user in &options.user {
        let (address, password) = user.split_once(':').ok_or_else(|| {
            Failure::new(exit::USAGE, format!("--user {user}: expected ADDRESS:PASSWORD, as in ada@example.org:secret"))
        })?;
        users.push((settings::address(address)?, settings::Login::clear(password.to_owned().into())));
    }
    let mut domains = options.domain.iter().map(|domain| settings::domain(domain)).collect::<Result<Vec<_>, _>>()?;
    for (address, _) in &users {
        let (_, domain) = address.rsplit_once('@').expect("an address has a domain");
        if options.domain.is_empty() && !domains.iter().any(|known| known == domain) {
            domains.push(domain.to_owned());
        }
    }
    if domains.is_empty() {
        domains.push("localhost".to_owned());
    }
    let data = match (options.data, options.store) {
        (Some(data), _) => Some(data),
        (None, Some(url)) => Some(settings::store_url(&url)?),
        (None, None) => None,
    };
    let port = |port| Some(SocketAddr::new(options.listen, port));
    Ok(Settings {
        hostname: domains[0].clone(),
        users: if users.is_empty() { Users::Any } else { Users::Listed(users) },
        domains,
        data: settings::Data::new(data)?,
        certificate: options.cert.zip(options.key),
        listeners: Listeners {
            smtp: port(options.smtp),
            submission: port(options.submission),
            submissions: port(options.submissions),
            lmtp: port(options.lmtp),
            imap: port(options.imap),
            imaps: port(options.imaps),
            pop3: port(options.pop3),
            pop3s: port(options.pop3s),
            http: port(options.http),
        },
        lmtp_socket: None,
        dns: options.dns,
        mx_port: options.mx_port,
        smarthost: options.smarthost.as_deref().map(settings::host_port).transpose()?,
        plaintext_auth: options.plaintext_auth,
        channel_binding: options.channel_binding,
        message_size: settings::MESSAGE_SIZE,
        connections: settings::CONNECTIONS,
        // Whoever tries it out does so from one address.
        connections_per_address: settings::CONNECTIONS,
        ..Settings::default()
    })
}
