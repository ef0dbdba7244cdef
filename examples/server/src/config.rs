//! The configuration file of `serve`.

use crate::exit::{self, Failure};
use crate::settings::{self, Data, Listeners, Login, Password, Settings, Trust, Users};
use postrider_pop3::Expire;
use postrider_sasl::ScramCredentials;
use postrider_smtp::server::Network;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Our name in greetings; default: the first domain.
    hostname: Option<String>,
    domains: Vec<String>,
    data: PathBuf,
    #[serde(default)]
    tls: Option<Tls>,
    #[serde(default)]
    listen: Listen,
    #[serde(default)]
    user: Vec<User>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[serde(default)]
    outgoing: Outgoing,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    pop3: Pop3,
    /// From where connections begin with a PROXY header.
    #[serde(default)]
    proxies: Proxies,
    /// Who may use XCLIENT.
    #[serde(default)]
    xclient: Xclient,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Listen {
    smtp: Option<SocketAddr>,
    submission: Option<SocketAddr>,
    submissions: Option<SocketAddr>,
    lmtp: Option<SocketAddr>,
    lmtp_socket: Option<PathBuf>,
    imap: Option<SocketAddr>,
    imaps: Option<SocketAddr>,
    pop3: Option<SocketAddr>,
    pop3s: Option<SocketAddr>,
    http: Option<SocketAddr>,
    /// Passwords without TLS.
    plaintext_auth: bool,
    channel_binding: bool,
}

impl Default for Listen {
    fn default() -> Self {
        let all = |port| Some(SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port));
        Self {
            smtp: all(25),
            submission: all(587),
            submissions: all(465),
            lmtp: None,
            lmtp_socket: None,
            imap: all(143),
            imaps: all(993),
            pop3: all(110),
            pop3s: all(995),
            http: None,
            plaintext_auth: false,
            channel_binding: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    address: String,
    /// An argon2 hash, as `postriderd hash-password` prints it.
    password_hash: Option<String>,
    /// SCRAM credentials, as `postriderd hash-password --scram` prints them: one for each hash function.
    #[serde(default)]
    scram: Vec<String>,
}

impl User {
    fn login(&self) -> Result<Login, Failure> {
        let wrong = |what: &dyn std::fmt::Display| {
            let sentence = format!("user {}: {what}; make one with postriderd hash-password", self.address);
            Failure::new(exit::CONFIG, sentence)
        };
        if let Some(hash) = &self.password_hash {
            argon2::password_hash::PasswordHash::new(hash)
                .map_err(|error| wrong(&format!("password_hash: {error}")))?;
        }
        let mut scram: Vec<ScramCredentials> = Vec::new();
        for text in &self.scram {
            let credentials = ScramCredentials::parse(text).map_err(|error| wrong(&format!("scram: {error}")))?;
            if scram.iter().any(|other| other.hash() == credentials.hash()) {
                return Err(wrong(&"scram has two entries for one hash function"));
            }
            scram.push(credentials);
        }
        if self.password_hash.is_none() && scram.is_empty() {
            return Err(wrong(&"there is neither password_hash nor scram"));
        }
        Ok(Login { password: self.password_hash.clone().map(Password::Hash), scram })
    }
}

/// Networks for each listener.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Proxies {
    smtp: Vec<String>,
    submission: Vec<String>,
    submissions: Vec<String>,
    lmtp: Vec<String>,
    imap: Vec<String>,
    imaps: Vec<String>,
    pop3: Vec<String>,
    pop3s: Vec<String>,
}

/// The same, where SMTP is spoken.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Xclient {
    smtp: Vec<String>,
    submission: Vec<String>,
    submissions: Vec<String>,
    lmtp: Vec<String>,
}

fn networks<const N: usize>(
    listeners: [(&'static str, &[String]); N],
) -> Result<BTreeMap<&'static str, Vec<Network>>, Failure> {
    let read = |(listener, networks): (&'static str, &[String])| {
        let wrong = |text: &str, error| Failure::new(exit::CONFIG, format!("{text:?} for {listener}: {error}"));
        let read = |text: &String| text.parse::<Network>().map_err(|error| wrong(text, error));
        Ok((listener, networks.iter().map(read).collect::<Result<_, _>>()?))
    };
    listeners.into_iter().map(read).collect()
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Outgoing {
    dns: Option<SocketAddr>,
    smarthost: Option<String>,
    mx_port: Option<u16>,
    lifetime_hours: Option<u64>,
    retry_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    message_size: Option<u64>,
    connections: Option<usize>,
    connections_per_address: Option<usize>,
    hold_days: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Pop3 {
    login_delay_seconds: u32,
    expire_days: Option<u32>,
    exclusive: bool,
}

/// Reads the file.
pub fn load(path: &Path) -> Result<Settings, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(exit::NO_INPUT, format!("the configuration {} cannot be read: {error}", path.display()))
    })?;
    parse(&text).map_err(|failure| Failure::new(failure.code, format!("{}: {failure}", path.display())))
}

/// Reads the file's text.
fn parse(text: &str) -> Result<Settings, Failure> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let hint = suggestion(error.message()).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        Failure::new(exit::CONFIG, format!("{place}{}{hint}", error.message()))
    })?;
    if file.domains.is_empty() {
        return Err(Failure::new(exit::CONFIG, "domains is empty: name at least one domain to receive mail for"));
    }
    let domains = file.domains.iter().map(|domain| settings::domain(domain)).collect::<Result<Vec<_>, _>>()?;
    let mut users = Vec::new();
    for user in file.user {
        users.push((settings::address(&user.address)?, user.login()?));
    }
    let aliases = file
        .aliases
        .iter()
        .map(|(from, to)| Ok((settings::address(from)?, settings::address(to)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    // A message for an alias that leads nowhere would be filed where nobody can read it.
    if let Some((from, to)) = aliases.iter().find(|(_, to)| !users.iter().any(|(address, _)| address == to)) {
        let sentence = format!("the alias {from} leads to {to}, which is no user: add a [[user]] with that address");
        return Err(Failure::new(exit::CONFIG, sentence));
    }
    let default = Settings::default();
    Ok(Settings {
        hostname: file.hostname.as_deref().map(settings::domain).transpose()?.unwrap_or_else(|| domains[0].clone()),
        domains,
        users: Users::Listed(users),
        aliases,
        data: Data::Kept(file.data),
        certificate: file.tls.map(|tls| (tls.cert, tls.key)),
        listeners: Listeners {
            smtp: file.listen.smtp,
            submission: file.listen.submission,
            submissions: file.listen.submissions,
            lmtp: file.listen.lmtp,
            imap: file.listen.imap,
            imaps: file.listen.imaps,
            pop3: file.listen.pop3,
            pop3s: file.listen.pop3s,
            http: file.listen.http,
        },
        lmtp_socket: file.listen.lmtp_socket,
        dns: file.outgoing.dns,
        mx_port: file.outgoing.mx_port.unwrap_or(default.mx_port),
        smarthost: file.outgoing.smarthost.as_deref().map(settings::host_port).transpose()?,
        plaintext_auth: file.listen.plaintext_auth,
        channel_binding: file.listen.channel_binding,
        message_size: file.limits.message_size.unwrap_or(default.message_size),
        connections: file.limits.connections.unwrap_or(default.connections),
        connections_per_address: file.limits.connections_per_address.unwrap_or(default.connections_per_address),
        hold: file.limits.hold_days.map_or(default.hold, |days| Duration::from_secs(u64::from(days) * 24 * 3600)),
        trust: Trust {
            proxies: networks([
                ("smtp", &file.proxies.smtp),
                ("submission", &file.proxies.submission),
                ("submissions", &file.proxies.submissions),
                ("lmtp", &file.proxies.lmtp),
                ("imap", &file.proxies.imap),
                ("imaps", &file.proxies.imaps),
                ("pop3", &file.proxies.pop3),
                ("pop3s", &file.proxies.pop3s),
            ])?,
            xclient: networks([
                ("smtp", &file.xclient.smtp),
                ("submission", &file.xclient.submission),
                ("submissions", &file.xclient.submissions),
                ("lmtp", &file.xclient.lmtp),
            ])?,
        },
        queue_lifetime: file
            .outgoing
            .lifetime_hours
            .map_or(default.queue_lifetime, |hours| Duration::from_secs(hours * 3600)),
        retry: file.outgoing.retry_seconds.map_or(default.retry, Duration::from_secs),
        pop3: settings::Pop3 {
            login_delay: Duration::from_secs(file.pop3.login_delay_seconds.into()),
            expire: file.pop3.expire_days.map_or(Expire::Never, Expire::Days),
            exclusive: file.pop3.exclusive,
        },
    })
}

/// The known name nearest to the unknown one that serde complains of.
fn suggestion(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("unknown field `")?;
    let (unknown, rest) = rest.split_once('`')?;
    rest.split('`')
        .skip(1)
        .step_by(2)
        .map(|known| (distance(unknown, known), known))
        .filter(|(distance, known)| *distance <= known.len().max(unknown.len()) / 2)
        .min()
        .map(|(_, known)| known)
}

/// How many letters must change to make one word of another (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "domains = [\"example.org\"]\ndata = \"/var/lib/postrider\"\n";

    #[test]
    fn pop3_has_a_table_of_its_own() {
        let pop3 = |lines: &str| parse(&format!("{SMALL}{lines}")).unwrap().pop3;
        let default = pop3("");
        assert_eq!((default.login_delay, default.expire, default.exclusive), (Duration::ZERO, Expire::Never, false));
        let all = pop3("[pop3]\nlogin_delay_seconds = 60\nexpire_days = 0\nexclusive = true\n");
        assert_eq!((all.login_delay, all.expire, all.exclusive), (Duration::from_secs(60), Expire::Days(0), true));
    }

    #[test]
    fn a_small_file_listens_on_the_standard_ports() {
        let settings = parse(SMALL).unwrap();
        assert_eq!(settings.hostname, "example.org");
        assert_eq!(settings.listeners.submissions.unwrap().port(), 465);
        assert!(!settings.plaintext_auth);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        let failure = parse(&format!("{SMALL}[outgoing]\nsmart_host = \"x:25\"\n")).unwrap_err();
        assert!(failure.sentence.contains("line 4"), "{failure}");
        assert!(failure.sentence.contains("did you mean `smarthost`?"), "{failure}");
        assert_eq!(failure.code, exit::CONFIG);
    }

    #[test]
    fn an_alias_of_nobody_is_refused() {
        let failure = parse(&format!("{SMALL}[aliases]\n\"info@example.org\" = \"ada@example.com\"\n")).unwrap_err();
        assert!(failure.sentence.contains("ada@example.com, which is no user"), "{failure}");
    }

    #[test]
    fn scram_may_stand_beside_a_hash_or_alone_and_once_for_each_hash_function() {
        const USER: &str = "[[user]]\naddress = \"a@example.org\"\n";
        let derive = |hash| {
            let credentials = ScramCredentials::derive(hash, &"secret".to_owned().into(), b"salt", 4096).unwrap();
            format!("\"{}\"", credentials.to_text().into_inner())
        };
        use postrider_sasl::ScramHash::{Sha1, Sha256};
        let with = |scram: &[String]| parse(&format!("{SMALL}{USER}scram = [{}]\n", scram.join(", ")));
        let Users::Listed(users) = with(&[derive(Sha256), derive(Sha1)]).unwrap().users else { panic!("listed") };
        assert_eq!((users.len(), users[0].1.scram.len(), users[0].1.password.is_none()), (1, 2, true));
        assert!(with(&[derive(Sha1), derive(Sha1)]).unwrap_err().sentence.contains("two entries"));
        assert!(with(&["\"x\"".into()]).unwrap_err().sentence.contains("SCRAM-SHA-256"));
        assert!(with(&[]).unwrap_err().sentence.contains("neither password_hash nor scram"));
    }

    #[test]
    fn networks_are_trusted_by_listener() {
        let proxies = "[proxies]\nimaps = [\"192.0.2.0/24\", \"2001:db8::1\"]\n[xclient]\nsmtp = [\"127.0.0.1\"]\n";
        let trust = parse(&format!("{SMALL}{proxies}")).unwrap().trust;
        assert!(trust.proxies["imaps"][0].contains([192, 0, 2, 7].into()) && trust.proxies["smtp"].is_empty());
        assert_eq!(trust.xclient["smtp"].len(), 1);
        let failure = parse(&format!("{SMALL}[proxies]\nsmtp = [\"example.org\"]\n")).unwrap_err();
        assert!(failure.sentence.contains("\"example.org\" for smtp"), "{failure}");
    }

    #[test]
    fn a_password_that_is_no_hash_is_refused() {
        let failure = parse(&format!("{SMALL}[[user]]\naddress = \"a@example.org\"\npassword_hash = \"x\"\n"));
        assert!(failure.unwrap_err().sentence.contains("hash-password"));
    }
}
