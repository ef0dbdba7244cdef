//! Our two programs, as their users start them.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Authority, Endpoint, Finished, Identity, Place, Process, Security, run_with_input, until};

/// How long `postriderd` may take to say that it is ready.
const READY: Duration = Duration::from_secs(60);
/// How long one call of `postrider` may take, 150 MB included.
const LIMIT: Duration = Duration::from_secs(240);

/// What `postriderd localserve` is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--domain`, repeated.
    pub domains: Vec<String>,
    /// `--user ADDRESS:PASSWORD`, repeated.
    pub users: Vec<(String, String)>,
    /// `--data`; without, the server makes a directory and removes it at the end.
    pub data: Option<PathBuf>,
    /// `--dns`.
    pub dns: Option<SocketAddr>,
    /// `--mx-port`.
    pub mx_port: Option<u16>,
    /// `--smarthost`.
    pub smarthost: Option<SocketAddr>,
    /// `--plaintext-auth`.
    pub plaintext_auth: bool,
    /// Seconds before the second delivery attempt. With it, the server is started by `serve` and a configuration file,
    /// since `localserve` has no such option; ports are then free ones of the same address.
    pub retry_seconds: Option<u64>,
    /// More lines of the configuration file; with any, the server is started by `serve` too.
    pub configuration: String,
    /// Whether the server makes its own certificate instead of getting one of the authority's.
    pub own_certificate: bool,
    /// `--listen`; without, an address of the server's own.
    pub listen: Option<IpAddr>,
}

/// The ports of a `ready` line.
#[derive(Clone, Debug)]
pub struct Ready(serde_json::Value);

impl Ready {
    /// The port of a service: `smtp`, `submission`, `submissions`, `lmtp`, `imap`, `imaps`, `pop3`, `pop3s`, `http`.
    ///
    /// # Panics
    /// When the line does not name it.
    #[track_caller]
    pub fn port(&self, service: &str) -> u16 {
        let port = self.0.get(service).and_then(serde_json::Value::as_u64).and_then(|port| port.try_into().ok());
        port.unwrap_or_else(|| panic!("the ready line has no port for {service}: {}", self.0))
    }

    /// The certificate clients are to trust.
    ///
    /// # Panics
    /// When the line does not name it.
    #[track_caller]
    pub fn cert(&self) -> PathBuf {
        self.0["cert"].as_str().unwrap_or_else(|| panic!("the ready line has no cert: {}", self.0)).into()
    }
}

/// A running `postriderd localserve`, on a loopback address of its own.
#[derive(Debug)]
pub struct Postriderd {
    process: Process,
    place: Place,
    ready: Ready,
    identity: Option<Identity>,
    ip: IpAddr,
    /// A name in its certificate.
    name: String,
    users: Vec<(String, String)>,
}

impl Postriderd {
    /// Starts one and waits until everything listens.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start(authority: &Authority, options: &Options) -> Self {
        let place = Place::new("postriderd");
        let identity = (!options.own_certificate).then(|| {
            let names: Vec<_> = options.domains.iter().map(String::as_str).collect();
            authority.issue(place.ip(), &names)
        });
        let arguments = arguments(&place, identity.as_ref(), options);
        Self::launch(place, identity, options, &arguments)
    }

    /// Stops this one with SIGKILL and starts another in its place, on the same address with the same data.
    ///
    /// # Panics
    /// When it does not come up again.
    #[track_caller]
    pub fn restart_after_kill(self, options: &Options) -> Self {
        let Self { mut process, place, identity, .. } = self;
        process.kill();
        drop(process);
        let arguments = arguments(&place, identity.as_ref(), options);
        Self::launch(place, identity, options, &arguments)
    }

    #[track_caller]
    fn launch(place: Place, identity: Option<Identity>, options: &Options, arguments: &[String]) -> Self {
        let name = format!("postriderd-{}", place.free_port());
        let mut process = Process::start(&name, place.dir(), &binary("postriderd").display().to_string(), |c| {
            c.args(arguments).env("TMPDIR", place.dir()).env("RUST_BACKTRACE", "1");
        });
        let ready = until("postriderd to print its ready line", READY, || {
            let log = process.log();
            let line = log.lines().find_map(|line| line.strip_prefix("ready "));
            if let Some(line) = line {
                return Some(Ready(serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))));
            }
            if let Some(status) = process.ended() {
                panic!("postriderd ended with {status} before it was ready:\n{}", process.log());
            }
            None
        });
        let name = options.domains.first().map_or("localhost", String::as_str).to_owned();
        let ip = options.listen.unwrap_or_else(|| place.ip());
        Self { process, place, ready, identity, ip, name, users: options.users.clone() }
    }

    /// The address it listens on.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// What its ready line said.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its process's number.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Where `user` submits.
    pub fn submission(&self, user: &str, security: Security) -> Endpoint {
        self.endpoint(if security == Security::Tls { "submissions" } else { "submission" }, security, Some(user))
    }

    /// Where other servers deliver.
    pub fn smtp(&self) -> Endpoint {
        self.endpoint("smtp", Security::Clear, None)
    }

    /// Where `user` reads over IMAP.
    pub fn imap(&self, user: &str, security: Security) -> Endpoint {
        self.endpoint(if security == Security::Tls { "imaps" } else { "imap" }, security, Some(user))
    }

    /// Where `user` reads over POP3.
    pub fn pop3(&self, user: &str, security: Security) -> Endpoint {
        self.endpoint(if security == Security::Tls { "pop3s" } else { "pop3" }, security, Some(user))
    }

    /// The socket address of a service.
    pub fn at(&self, service: &str) -> SocketAddr {
        SocketAddr::new(self.ip, self.ready.port(service))
    }

    fn endpoint(&self, service: &str, security: Security, user: Option<&str>) -> Endpoint {
        let password = |user: &str| {
            self.users.iter().find(|(name, _)| name == user).map_or("any will do", |(_, password)| password.as_str())
        };
        Endpoint {
            host: self.ip().to_string(),
            name: self.name.clone(),
            port: self.ready.port(service),
            security,
            login: user.map(|user| (user.to_owned(), password(user).to_owned())),
            ca: self.identity.as_ref().map_or_else(|| self.ready.cert(), |identity| identity.ca.clone()),
        }
    }
}

/// `postriderd` with no arguments yet, its home and temporary files below `home`.
pub fn postriderd_command(home: &Path) -> Command {
    let mut command = Command::new(binary("postriderd"));
    command.env("HOME", home).env("TMPDIR", home).current_dir(home);
    command
}

/// Runs `postrider` with a fresh home directory, the password in its environment and `input` on standard input.
///
/// # Panics
/// When it cannot be started or takes too long.
#[track_caller]
pub fn postrider(arguments: &[&str], password: &str, input: &[u8]) -> Finished {
    let home = Place::new("postrider");
    let mut command = Command::new(binary("postrider"));
    at_home(command.args(arguments), &home, password);
    run_with_input(&mut command, input, LIMIT)
}

/// Starts `postrider` and leaves it running.
///
/// # Panics
/// When it cannot be started.
#[track_caller]
pub fn postrider_running(home: &Place, arguments: &[&str], password: &str) -> Process {
    Process::start("postrider", home.dir(), &binary("postrider").display().to_string(), |command| {
        at_home(command.args(arguments), home, password);
    })
}

fn at_home(command: &mut Command, home: &Place, password: &str) {
    command.current_dir(home.dir()).env("POSTRIDER_PASSWORD", password);
    command.env("HOME", home.dir()).env("XDG_CONFIG_HOME", home.path("config")).env("XDG_DATA_HOME", home.path("data"));
}

fn arguments(place: &Place, identity: Option<&Identity>, options: &Options) -> Vec<String> {
    if options.retry_seconds.is_some() || !options.configuration.is_empty() {
        let file = place.write_secret("postrider.toml", configuration(place, identity, options));
        return vec!["serve".to_owned(), format!("--config={}", file.display())];
    }
    let listen = options.listen.unwrap_or_else(|| place.ip());
    let mut arguments = vec!["localserve".to_owned(), format!("--listen={listen}")];
    arguments.extend(options.domains.iter().map(|domain| format!("--domain={domain}")));
    arguments.extend(options.users.iter().map(|(user, password)| format!("--user={user}:{password}")));
    arguments.extend(options.data.iter().map(|data| format!("--data={}", data.display())));
    arguments.extend(options.dns.iter().map(|dns| format!("--dns={dns}")));
    arguments.extend(options.mx_port.iter().map(|port| format!("--mx-port={port}")));
    arguments.extend(options.smarthost.iter().map(|host| format!("--smarthost={host}")));
    arguments.extend(options.plaintext_auth.then(|| "--plaintext-auth".to_owned()));
    if let Some(Identity { cert, key, .. }) = identity {
        arguments.push(format!("--cert={}", cert.display()));
        arguments.push(format!("--key={}", key.display()));
    }
    arguments
}

fn configuration(place: &Place, identity: Option<&Identity>, options: &Options) -> String {
    // A JSON string, or array of strings, is a TOML one.
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let path = |value: &Path| text(value.to_str().expect("our own name"));
    let data = options.data.clone().unwrap_or_else(|| place.path("data"));
    let domains = serde_json::Value::from(options.domains.clone());
    let mut file = format!("domains = {domains}\ndata = {}\n", path(&data));
    if let Some(Identity { cert, key, .. }) = identity {
        file += &format!("[tls]\ncert = {}\nkey = {}\n", path(cert), path(key));
    }
    file += &format!("[listen]\nplaintext_auth = {}\n", options.plaintext_auth);
    for service in ["smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s", "http"] {
        file += &format!("{service} = \"{}\"\n", place.at(0));
    }
    file += "[outgoing]\n";
    file += &options.retry_seconds.map(|seconds| format!("retry_seconds = {seconds}\n")).unwrap_or_default();
    file += &options.dns.map(|dns| format!("dns = \"{dns}\"\n")).unwrap_or_default();
    file += &options.mx_port.map(|port| format!("mx_port = {port}\n")).unwrap_or_default();
    file += &options.smarthost.map(|host| format!("smarthost = \"{host}\"\n")).unwrap_or_default();
    for (user, password) in &options.users {
        let mut hash = postriderd_command(place.dir());
        let hash = run_with_input(hash.arg("hash-password"), password.as_bytes(), READY).ok().text();
        file += &format!("[[user]]\naddress = {}\npassword_hash = {}\n", text(user), text(hash.trim()));
    }
    file += &options.configuration;
    file
}

/// A program of this workspace, built beside the test that asks.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has an executable");
    let path = test.parent().and_then(Path::parent).expect("target/PROFILE/deps").join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace --bins` first", path.display());
    path
}
