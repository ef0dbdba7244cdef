//! Mail clients of other people: each function writes the client's configuration, runs it and returns what came of it.
//!
//! Every client verifies certificates against the endpoint's authority. Those that read return each message's bytes
//! as they handed them out: [`Wire`](Lines::Wire) with CRLF, [`Unix`](Lines::Unix) with LF.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::messages::{Message, without_field};
use crate::{Endpoint, Finished, Place, Security, maildir, run, run_with_input};

/// How long a client may take, 150 MB included.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);

/// How a client ends the lines of what it read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lines {
    /// CRLF, as over the wire.
    Wire,
    /// LF.
    Unix,
}

/// What a client read.
#[derive(Debug)]
pub struct Fetched {
    /// The messages.
    pub messages: Vec<Vec<u8>>,
    /// How their lines end.
    pub lines: Lines,
}

impl Fetched {
    /// Checks that exactly these messages were read, unchanged.
    ///
    /// # Panics
    /// When it is not so.
    #[track_caller]
    pub fn assert_are(&self, sent: &[Message]) {
        match self.lines {
            Lines::Wire => Message::assert_all(sent, &self.messages),
            Lines::Unix => Message::assert_all_unix(sent, &self.messages),
        }
    }
}

/// A client that submits: sender, recipients, message.
pub type Submit = fn(&Endpoint, &str, &[&str], &Message) -> Finished;

/// swaks, the Swiss army knife for SMTP.
pub fn swaks(to: &Endpoint, from: &str, recipients: &[&str], message: &Message) -> Finished {
    swaks_with(to, from, recipients, message, &[])
}

fn swaks_with(to: &Endpoint, from: &str, recipients: &[&str], message: &Message, more: &[&str]) -> Finished {
    let place = Place::new("swaks");
    // Its own preparation of the data would add an empty line at the end.
    let data = place.write("data", message.dot_stuffed());
    let mut command = Command::new("swaks");
    command.args(["--server", &to.host, "--port", &to.port.to_string(), "--helo", "client.test", "--timeout", "200"]);
    command.args(["--from", from, "--to", &recipients.join(","), "--no-data-fixup", "--suppress-data"]);
    command.arg("--data").arg(format!("@{}", data.display())).args(more);
    match to.security {
        Security::Clear => {}
        Security::StartTls => drop(command.arg("--tls")),
        Security::Tls => drop(command.arg("--tls-on-connect")),
    }
    if to.security != Security::Clear {
        command.arg("--tls-verify").arg("--tls-ca-path").arg(&to.ca);
    }
    if let Some((user, password)) = &to.login {
        command.args(["--auth", "PLAIN", "--auth-user", user, "--auth-password", password]);
    }
    run(&mut command, LIMIT)
}

/// swaks with PIPELINING, which it does not use by itself.
pub fn swaks_pipelining(to: &Endpoint, from: &str, recipients: &[&str], message: &Message) -> Finished {
    swaks_with(to, from, recipients, message, &["--pipeline"])
}

/// curl, submitting.
pub fn curl_submit(to: &Endpoint, from: &str, recipients: &[&str], message: &Message) -> Finished {
    let place = Place::new("curl");
    let file = place.write("message", &message.bytes);
    let mut command = Command::new("curl");
    let scheme = if to.security == Security::Tls { "smtps" } else { "smtp" };
    command.arg(format!("{scheme}://{}:{}/client.test", to.host, to.port)).arg("--upload-file").arg(file);
    command.args(["--mail-from", from]);
    for recipient in recipients {
        command.args(["--mail-rcpt", recipient]);
    }
    curl_common(&mut command, to);
    run(&mut command, LIMIT)
}

/// msmtp.
pub fn msmtp(to: &Endpoint, from: &str, recipients: &[&str], message: &Message) -> Finished {
    let place = Place::new("msmtp");
    let on = |yes| if yes { "on" } else { "off" };
    let mut config = format!(
        "account default\nhost {}\nport {}\ndomain client.test\nfrom {from}\ntimeout 200\ntls {}\ntls_starttls {}\n",
        to.host,
        to.port,
        on(to.security != Security::Clear),
        on(to.security == Security::StartTls)
    );
    if to.security != Security::Clear {
        config += &format!("tls_trust_file {}\n", to.ca.display());
    }
    if let Some((user, password)) = &to.login {
        config += &format!("auth plain\nuser {user}\npassword \"{password}\"\n");
    }
    let config = place.write_secret("msmtprc", config);
    let mut command = Command::new("msmtp");
    command.arg("--file").arg(config).arg("--").args(recipients);
    run_with_input(&mut command, &message.bytes, LIMIT)
}

/// Python's smtplib.
pub fn smtplib(to: &Endpoint, from: &str, recipients: &[&str], message: &Message) -> Finished {
    let place = Place::new("smtplib");
    let file = place.write("message", &message.bytes);
    let file = file.to_str().expect("our own name");
    let mut arguments = vec![from, file];
    arguments.extend_from_slice(recipients);
    python(&place, to, SMTPLIB, &arguments)
}

const SMTPLIB: &str = "
import smtplib, sys
sender, file, *recipients = sys.argv[1:]
if SECURITY == 'tls':
    s = smtplib.SMTP_SSL(HOST, PORT, 'client.test', timeout=200, context=CONTEXT)
else:
    s = smtplib.SMTP(HOST, PORT, 'client.test', timeout=200)
if SECURITY == 'starttls':
    s.starttls(context=CONTEXT)
if USER:
    s.login(USER, PASSWORD)
message = open(file, 'rb').read()
s.ehlo_or_helo_if_needed()
options = ['BODY=8BITMIME'] if s.has_extn('8bitmime') else []
refused = s.sendmail(sender, recipients, message, mail_options=options)
s.quit()
for recipient, reply in refused.items():
    print(recipient, reply)
";

/// nodemailer, the library that programs for Node send with.
pub fn nodemailer(to: &Endpoint, from: &str, recipients: &[&str], message: &Message) -> Finished {
    let place = Place::new("nodemailer");
    let task = serde_json::json!({
        "host": to.host,
        "port": to.port,
        "secure": to.security == Security::Tls,
        "requireTLS": to.security == Security::StartTls,
        "ignoreTLS": to.security == Security::Clear,
        "name": "client.test",
        "ca": to.ca,
        "login": to.login,
        "message": place.write("message", &message.bytes),
        "envelope": { "from": from, "to": recipients, "use8BitMime": true },
    });
    let script = place.write("send.js", NODEMAILER);
    let task = place.write_secret("task.json", task.to_string());
    let mut command = Command::new("node");
    // Debian's place for libraries, which a node from elsewhere does not know.
    command.env("NODE_PATH", "/usr/share/nodejs").arg(script).arg(task);
    run(&mut command, LIMIT)
}

/// It prints who was accepted and who was not.
const NODEMAILER: &str = "
const fs = require('fs');
const task = JSON.parse(fs.readFileSync(process.argv[2]));
const { host, port, secure, requireTLS, ignoreTLS, name } = task;
const transport = require('nodemailer').createTransport({
  host, port, secure, requireTLS, ignoreTLS, name,
  tls: { ca: fs.readFileSync(task.ca) },
  auth: task.login ? { user: task.login[0], pass: task.login[1] } : undefined,
});
transport.sendMail({ envelope: task.envelope, raw: fs.readFileSync(task.message) }).then(
  ({ accepted, rejected }) => console.log(JSON.stringify({ accepted, rejected })),
  error => { console.error(error); process.exitCode = 1; },
);
";

/// Postfix's smtp-source, which sends many messages over many sessions at once. `options` are its own. It ends each
/// message with an empty line, so this one must end so.
///
/// # Panics
/// When it does not.
pub fn smtp_source(to: SocketAddr, message: &Message, options: &[&str]) -> Finished {
    let place = Place::new("smtp-source");
    // It ends the lines and doubles the dots itself.
    assert!(message.bytes.ends_with(b"\r\n\r\n"), "smtp-source cannot send this message as it is");
    let text = &message.bytes[..message.bytes.len() - 2];
    let text: Vec<u8> = text.iter().copied().filter(|octet| *octet != b'\r').collect();
    let mut command = Command::new("smtp-source");
    command.arg("-F").arg(place.write("message", text)).args(["-M", "client.test"]).args(options);
    command.arg(format!("inet:{}:{}", to.ip(), to.port()));
    run(&mut command, LIMIT)
}

/// Postfix's posttls-finger: what it makes of a server's certificate. It wants to verify it.
pub fn posttls_finger(to: &Endpoint) -> Finished {
    let place = Place::new("posttls-finger");
    place.write("main.cf", "compatibility_level = 3.6\nmyhostname = client.test\nmaillog_file = /dev/stdout\n");
    let mut command = Command::new("posttls-finger");
    command.env("MAIL_CONFIG", place.dir()).args(["-c", "-T", "20", "-l", "secure", "-L", "summary,certmatch"]);
    command.arg("-F").arg(&to.ca);
    if to.security == Security::Tls {
        command.arg("-w");
    }
    command.arg(format!("[{}]:{}", to.host, to.port)).arg(&to.name);
    run(&mut command, LIMIT)
}

/// curl, reading every message of the inbox over IMAP. It asks for one message at a time.
pub fn curl_imap(from: &Endpoint) -> Fetched {
    let scheme = if from.security == Security::Tls { "imaps" } else { "imap" };
    curl_read(from, |curl, n| format!("{scheme}://{}:{}/INBOX;{curl}={n}", from.host, from.port), "MAILINDEX")
}

/// curl, reading every message over POP3.
pub fn curl_pop3(from: &Endpoint) -> Fetched {
    let scheme = if from.security == Security::Tls { "pop3s" } else { "pop3" };
    curl_read(from, |_, n| format!("{scheme}://{}:{}/{n}", from.host, from.port), "")
}

fn curl_read(from: &Endpoint, url: impl Fn(&str, usize) -> String, by: &str) -> Fetched {
    let place = Place::new("curl");
    let mut messages = Vec::new();
    // Until the server says that there is no such message.
    for n in 1..=10_000 {
        let file = place.path("message");
        let mut command = Command::new("curl");
        command.arg(url(by, n)).arg("--output").arg(&file);
        curl_common(&mut command, from);
        let done = run(&mut command, LIMIT);
        if !done.status.success() {
            // 78: IMAP has no such message; 56 or 8: POP3 answered -ERR to RETR. Anything else is a failure.
            assert!(n > 1 && matches!(done.code(), 78 | 56 | 8), "{done}");
            break;
        }
        messages.push(fs::read(&file).unwrap_or_default());
    }
    Fetched { messages, lines: Lines::Wire }
}

pub(crate) fn curl_common(command: &mut Command, to: &Endpoint) {
    command.args(["--silent", "--show-error", "--verbose", "--max-time", "200"]);
    if to.security != Security::Clear {
        command.arg("--ssl-reqd").arg("--cacert").arg(&to.ca);
    }
    if let Some((user, password)) = &to.login {
        command.args(["--user", &format!("{user}:{password}")]);
    }
}

/// Python's imaplib, reading every message of the inbox.
pub fn imaplib(from: &Endpoint) -> Fetched {
    let place = Place::new("imaplib");
    fs::create_dir_all(place.path("out")).expect("own directory");
    python(&place, from, &(IMAP_CONNECT.to_owned() + IMAPLIB), &["out"]).ok();
    Fetched { messages: read_all(&place.path("out")), lines: Lines::Wire }
}

/// Connects and logs in as `m`.
const IMAP_CONNECT: &str = "
import imaplib, sys
imaplib._MAXLINE = 10_000_000
if SECURITY == 'tls':
    m = imaplib.IMAP4_SSL(HOST, PORT, ssl_context=CONTEXT, timeout=200)
else:
    m = imaplib.IMAP4(HOST, PORT, timeout=200)
if SECURITY == 'starttls':
    m.starttls(CONTEXT)
m.login(USER, PASSWORD)
";

const IMAPLIB: &str = "
ok, count = m.select('INBOX', readonly=True)
assert ok == 'OK', count
for n in range(1, int(count[0]) + 1):
    ok, data = m.fetch(str(n), '(UID BODY.PEEK[])')
    assert ok == 'OK', data
    literal = [part[1] for part in data if isinstance(part, tuple)]
    assert len(literal) == 1, data
    open(f'{sys.argv[1]}/{n:06}', 'wb').write(literal[0])
m.logout()
";

/// Runs a Python script with `m`, an `imaplib` connection that is logged in. `arguments` are in `sys.argv[1:]`.
pub fn imaplib_script(at: &Endpoint, script: &str, arguments: &[&str]) -> Finished {
    python(&Place::new("imaplib"), at, &(IMAP_CONNECT.to_owned() + script), arguments)
}

/// Python's poplib, reading every message.
pub fn poplib(from: &Endpoint) -> Fetched {
    let place = Place::new("poplib");
    fs::create_dir_all(place.path("out")).expect("own directory");
    python(&place, from, POPLIB, &["out"]).ok();
    Fetched { messages: read_all(&place.path("out")), lines: Lines::Wire }
}

const POPLIB: &str = "
import poplib, sys
if SECURITY == 'tls':
    p = poplib.POP3_SSL(HOST, PORT, context=CONTEXT, timeout=200)
else:
    p = poplib.POP3(HOST, PORT, timeout=200)
if SECURITY == 'starttls':
    p.stls(CONTEXT)
p.user(USER)
p.pass_(PASSWORD)
count, octets = p.stat()
uids = p.uidl()[1]
assert len(set(u.split()[1] for u in uids)) == count, uids
for n in range(1, count + 1):
    listed = int(p.list(n).split()[2])
    lines = p.retr(n)[1]
    message = b''.join(line + b'\\r\\n' for line in lines)
    assert len(message) == listed, (len(message), listed)
    open(f'{sys.argv[1]}/{n:06}', 'wb').write(message)
p.quit()
";

/// mbsync (isync), pulling the inbox into a Maildir.
pub fn mbsync(from: &Endpoint) -> Fetched {
    let place = Place::new("mbsync");
    let (user, password) = from.credentials();
    let dir = place.dir().display();
    let security = match from.security {
        Security::Clear => "None",
        Security::StartTls => "STARTTLS",
        Security::Tls => "IMAPS",
    };
    let config = place.write_secret(
        "mbsyncrc",
        format!(
            "IMAPAccount peer\nHost {}\nPort {}\nUser {user}\nPass \"{password}\"\nTimeout 200\nSSLType {security}\n\
             CertificateFile {}\nSystemCertificates no\n\nIMAPStore remote\nAccount peer\n\n\
             MaildirStore local\nPath {dir}/mail/\nInbox {dir}/mail/INBOX\n\n\
             Channel pull\nFar :remote:\nNear :local:\nPatterns INBOX\nSync Pull\nCreate Near\nSyncState *\n",
            from.host,
            from.port,
            from.ca.display()
        ),
    );
    fs::create_dir_all(place.path("mail")).expect("own directory");
    let mut command = Command::new("mbsync");
    command.env("HOME", place.dir()).arg("-V").arg("-c").arg(config).arg("pull");
    run(&mut command, LIMIT).ok();
    let inbox = place.path("mail/INBOX");
    // The mark by which mbsync recognises what it has stored.
    let messages = maildir::wait_for(&inbox, 0, LIMIT).iter().map(|bytes| without_field(bytes, "X-TUID")).collect();
    Fetched { messages, lines: Lines::Unix }
}

/// Which protocol fetchmail or mutt is to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
}

/// fetchmail, fetching everything and leaving it on the server.
pub fn fetchmail(from: &Endpoint, by: Reading) -> Fetched {
    let place = Place::new("fetchmail");
    let (user, password) = from.credentials();
    let deliver = save_script(&place);
    let check = format!("sslcertck sslcertfile '{}' sslcommonname '{}'", from.ca.display(), from.name);
    let security = match from.security {
        Security::Clear => "sslproto ''".to_owned(),
        // Without `ssl`, naming a version makes STARTTLS (STLS) mandatory.
        Security::StartTls => format!("sslproto 'TLS1.2+' {check}"),
        Security::Tls => format!("ssl sslproto 'TLS1.2+' {check}"),
    };
    let protocol = match by {
        Reading::Imap => "IMAP",
        Reading::Pop3 => "POP3",
    };
    let config = place.write_secret(
        "fetchmailrc",
        format!(
            "set no syslog\nset invisible\npoll {} protocol {protocol} port {} auth password timeout 200\n\
             user '{user}' password '{password}' is root here\nfetchall keep no rewrite {security}\nmda '{}'\n",
            from.host,
            from.port,
            deliver.display()
        ),
    );
    let mut command = Command::new("fetchmail");
    command.env("FETCHMAILHOME", place.dir()).env("HOME", place.dir());
    // As root its lock is one for the whole machine, unless told otherwise.
    command.arg("--nodetach").arg("-v").arg("--pidfile").arg(place.path("pid")).arg("-f").arg(config);
    let done = run(&mut command, LIMIT);
    // 1: there was no mail.
    assert!(matches!(done.code(), 0 | 1), "{done}");
    Fetched { messages: read_all(&place.path("out")), lines: Lines::Unix }
}

/// mutt, opening the mailbox in a terminal, tagging everything and piping it out.
pub fn mutt(from: &Endpoint, by: Reading) -> Fetched {
    let place = Place::new("mutt");
    let (user, password) = from.credentials();
    let deliver = save_script(&place);
    let scheme = match (by, from.security) {
        (Reading::Imap, Security::Tls) => "imaps",
        (Reading::Imap, Security::Clear | Security::StartTls) => "imap",
        (Reading::Pop3, Security::Tls) => "pops",
        (Reading::Pop3, Security::Clear | Security::StartTls) => "pop",
    };
    let yes = |condition| if condition { "yes" } else { "no" };
    let config = place.write_secret(
        "muttrc",
        format!(
            "set imap_user='{user}' imap_pass='{password}' pop_user='{user}' pop_pass='{password}'\n\
             set ssl_starttls={starttls} ssl_force_tls={force} ssl_ca_certificates_file='{ca}' certificate_file='{ca}'\n\
             set ssl_usesystemcerts=no tunnel='' net_inc=0 read_inc=0 connect_timeout=60\n\
             set pipe_split=yes pipe_sep='' pipe_decode=no wait_key=no quit=yes delete=no move=no mark_old=no sort=mailbox-order\n\
             set spoolfile='{scheme}://{host}:{port}/' folder='{dir}' record='' header_cache='' pop_checkinterval=3600\n\
             push '<tag-pattern>~A<enter><tag-prefix><pipe-message>{deliver}<enter><quit>'\n",
            starttls = yes(from.security == Security::StartTls),
            force = yes(from.security != Security::Clear),
            ca = from.ca.display(),
            host = from.host,
            port = from.port,
            dir = place.dir().display(),
            deliver = deliver.display(),
        ),
    );
    // It needs a terminal, which script(1) provides.
    let mut command = Command::new("script");
    command.env("TERM", "vt100").env("HOME", place.dir()).env("COLUMNS", "80").env("LINES", "24");
    command.arg("--quiet").arg("--return").arg("--command").arg(format!("mutt -n -F {}", config.display()));
    command.arg(place.path("screen"));
    run(&mut command, LIMIT).ok();
    let messages = read_all(&place.path("out"));
    if messages.is_empty() {
        eprintln!("mutt's screen:\n{}", String::from_utf8_lossy(&fs::read(place.path("screen")).unwrap_or_default()));
    }
    Fetched { messages, lines: Lines::Unix }
}

/// Runs a Python script that finds HOST, PORT, SECURITY, USER, PASSWORD and CONTEXT set for the endpoint.
pub fn python(place: &Place, to: &Endpoint, script: &str, arguments: &[&str]) -> Finished {
    let script = python_file(place, to, script);
    run(Command::new("python3").arg(script).args(arguments).current_dir(place.dir()), LIMIT)
}

/// Writes such a script; gives its path.
pub(crate) fn python_file(place: &Place, to: &Endpoint, script: &str) -> PathBuf {
    let (user, password) = to.login.clone().unwrap_or_default();
    let security = match to.security {
        Security::Clear => "clear",
        Security::StartTls => "starttls",
        Security::Tls => "tls",
    };
    // JSON strings are Python strings.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let script = format!(
        "import ssl\nHOST, PORT, SECURITY = {}, {}, {}\nUSER, PASSWORD = {}, {}\n\
         CONTEXT = ssl.create_default_context(cafile={})\n{script}",
        quoted(&to.host),
        to.port,
        quoted(security),
        quoted(&user),
        quoted(&password),
        quoted(&to.ca.display().to_string()),
    );
    place.write("script.py", script)
}

/// A program that stores its standard input as a file of its own in `out`.
pub(crate) fn save_script(place: &Place) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let out = place.path("out");
    fs::create_dir_all(&out).expect("own directory");
    let script = place.write(
        "save",
        format!("#!/bin/sh\nfile=$(mktemp '{}/message.XXXXXXXX') && exec cat >\"$file\"\n", out.display()),
    );
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("own file");
    script
}

/// The contents of a directory's files, in order of their names.
pub(crate) fn read_all(dir: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).collect()
}
