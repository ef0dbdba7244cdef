//! POP3 clients of other people, with a home of their own: what one remembers of a maildrop stays from call to call.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::clients::{Fetched, LIMIT, Lines, curl_common, python, read_all, save_script};
use crate::{Endpoint, Finished, Place, Security, maildir, run};

/// What becomes of a message on the server once it was fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// It stays.
    Keep,
    /// It is deleted.
    Delete,
}

/// A POP3 client.
#[derive(Clone, Copy, Debug)]
pub struct Pop3Client {
    /// What it is called.
    pub name: &'static str,
    /// Whether it fetches each message once, by unique ids that it keeps in its home.
    pub remembers: bool,
    /// Whether it can begin TLS with STLS.
    pub stls: bool,
    fetch: fn(&Place, &Endpoint, Then) -> Fetched,
}

impl Pop3Client {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self { name: "fetchmail", remembers: true, stls: true, fetch: fetchmail },
        Self { name: "mpop", remembers: true, stls: true, fetch: mpop },
        Self { name: "getmail6", remembers: true, stls: false, fetch: getmail },
        Self { name: "curl", remembers: false, stls: true, fetch: curl },
        Self { name: "mutt", remembers: false, stls: true, fetch: mutt },
        Self { name: "poplib", remembers: false, stls: true, fetch: poplib },
    ];

    /// A home for it.
    pub fn home(&self) -> Place {
        Place::new(self.name)
    }

    /// Fetches what is new to it; gives what it fetched in this call.
    ///
    /// # Panics
    /// When the client fails.
    #[track_caller]
    pub fn fetch(&self, home: &Place, from: &Endpoint, then: Then) -> Fetched {
        let _ = fs::remove_dir_all(home.path("out"));
        (self.fetch)(home, from, then)
    }
}

/// fetchmail, with UIDL.
fn fetchmail(place: &Place, from: &Endpoint, then: Then) -> Fetched {
    let (user, password) = from.credentials();
    let deliver = save_script(place);
    let check = format!("sslcertck sslcertfile '{}' sslcommonname '{}'", from.ca.display(), from.name);
    let security = match from.security {
        Security::Clear => "sslproto ''".to_owned(),
        Security::StartTls => format!("sslproto 'TLS1.2+' {check}"),
        Security::Tls => format!("ssl sslproto 'TLS1.2+' {check}"),
    };
    let keep = if then == Then::Keep { "keep" } else { "nokeep" };
    let config = place.write_secret(
        "fetchmailrc",
        format!(
            "set no syslog\nset invisible\nset idfile '{ids}'\n\
             poll {host} protocol POP3 port {port} auth password timeout 200 uidl\n\
             user '{user}' password '{password}' is root here\n{keep} no rewrite pass8bits {security}\nmda '{mda}'\n",
            ids = place.path("ids").display(),
            host = from.host,
            port = from.port,
            mda = deliver.display()
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

/// mpop, with UIDL, pipelining, and AUTH PLAIN.
fn mpop(place: &Place, from: &Endpoint, then: Then) -> Fetched {
    mpop_with(place, from, then, "plain").ok();
    let messages = maildir::wait_for(&place.path("out"), 0, Duration::ZERO);
    Fetched { messages, lines: Lines::Unix }
}

/// mpop, logging in by this method: `user`, `plain`, `login`, `scram-sha-1`, `scram-sha-256`.
pub fn mpop_with(place: &Place, from: &Endpoint, then: Then, method: &str) -> Finished {
    let (user, password) = from.credentials();
    maildir::create(&place.path("out"));
    let on = |yes| if yes { "on" } else { "off" };
    let mut config = format!(
        "account default\nhost {}\nport {}\nuser {user}\npassword \"{password}\"\nauth {method}\ntimeout 200\n\
         delivery maildir {}\nuidls_file {}\nkeep {}\nreceived_header off\ntls {}\ntls_starttls {}\n",
        from.host,
        from.port,
        place.path("out").display(),
        place.path("uidls").display(),
        on(then == Then::Keep),
        on(from.security != Security::Clear),
        on(from.security == Security::StartTls)
    );
    if from.security != Security::Clear {
        config += &format!("tls_trust_file {}\n", from.ca.display());
    }
    let config = place.write_secret("mpoprc", config);
    run(Command::new("mpop").env("HOME", place.dir()).arg("--debug").arg("--file").arg(config), LIMIT)
}

/// getmail6, with UIDL. It knows no STLS.
fn getmail(place: &Place, from: &Endpoint, then: Then) -> Fetched {
    let (user, password) = from.credentials();
    let deliver = save_script(place);
    let (kind, ca) = match from.security {
        Security::Clear => ("SimplePOP3Retriever", String::new()),
        Security::Tls => ("SimplePOP3SSLRetriever", format!("ca_certs = {}\n", from.ca.display())),
        Security::StartTls => panic!("getmail6 knows no STLS"),
    };
    place.write_secret(
        "getmailrc",
        format!(
            "[retriever]\ntype = {kind}\nserver = {}\nport = {}\nusername = {user}\npassword = {password}\n\
             timeout = 200\n{ca}\n[destination]\ntype = MDA_external\npath = {}\nallow_root_commands = true\n\n\
             [options]\ndelete = {}\nread_all = false\nreceived = false\ndelivered_to = false\nverbose = 2\n",
            from.host,
            from.port,
            deliver.display(),
            then == Then::Delete
        ),
    );
    let mut command = Command::new("getmail");
    run(command.env("HOME", place.dir()).arg("--getmaildir").arg(place.dir()).arg("--rcfile=getmailrc"), LIMIT).ok();
    let messages = read_all(&place.path("out")).iter().map(|bytes| without_added_line(bytes)).collect();
    Fetched { messages, lines: Lines::Unix }
}

/// getmail6 writes messages anew with Python's email package, which parts two boundaries by an empty line.
fn without_added_line(bytes: &[u8]) -> Vec<u8> {
    const PARTED: &[u8] = b"--\n\n--";
    match bytes.windows(PARTED.len()).position(|found| found == PARTED) {
        Some(at) => [&bytes[..at + 3], &bytes[at + 4..]].concat(),
        None => bytes.to_vec(),
    }
}

/// curl, with AUTH PLAIN: asks which messages there are by UIDL, compares TOP and RETR, and deletes by number.
fn curl(place: &Place, from: &Endpoint, then: Then) -> Fetched {
    let scheme = if from.security == Security::Tls { "pop3s" } else { "pop3" };
    let call = |path: &str, more: &[&str]| {
        let mut command = Command::new("curl");
        command.arg(format!("{scheme}://{}:{}/{path}", from.host, from.port)).args(more);
        command.args(["--login-options", "AUTH=PLAIN"]);
        curl_common(&mut command, from);
        run(&mut command, LIMIT).ok()
    };
    let listed = call("", &["--request", "UIDL"]).text();
    let numbers: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    let messages: Vec<Vec<u8>> = numbers.iter().map(|number| call(number, &[]).stdout).collect();
    for (number, message) in numbers.iter().zip(&messages) {
        let top = call("", &["--request", &format!("TOP {number} 0")]).stdout;
        let end = message.windows(4).position(|four| four == b"\r\n\r\n").map_or(message.len(), |at| at + 4);
        assert_eq!(String::from_utf8_lossy(&top), String::from_utf8_lossy(&message[..end]), "TOP {number} 0");
    }
    if then == Then::Delete {
        // Each call is a session, which numbers anew.
        for _ in &numbers {
            call("1", &["--request", "DELE", "--head"]);
        }
    }
    let _ = place;
    Fetched { messages, lines: Lines::Wire }
}

/// mutt, with AUTH PLAIN, in a terminal: it lists by UIDL and TOP, tags everything, pipes it out, and deletes it.
fn mutt(place: &Place, from: &Endpoint, then: Then) -> Fetched {
    let (user, password) = from.credentials();
    let deliver = save_script(place);
    let scheme = if from.security == Security::Tls { "pops" } else { "pop" };
    let yes = |condition| if condition { "yes" } else { "no" };
    let delete = if then == Then::Delete { "<delete-pattern>~A<enter>" } else { "" };
    let config = place.write_secret(
        "muttrc",
        format!(
            "set pop_user='{user}' pop_pass='{password}' pop_authenticators='plain'\n\
             set ssl_starttls={starttls} ssl_force_tls={force} ssl_ca_certificates_file='{ca}' certificate_file='{ca}'\n\
             set ssl_usesystemcerts=no tunnel='' net_inc=0 read_inc=0 connect_timeout=60\n\
             set pipe_split=yes pipe_sep='' pipe_decode=no wait_key=no quit=yes delete=yes move=no mark_old=no\n\
             set sort=mailbox-order spoolfile='{scheme}://{host}:{port}/' folder='{dir}' record=''\n\
             set header_cache='' pop_checkinterval=3600\n\
             push '<tag-pattern>~A<enter><tag-prefix><pipe-message>{deliver}<enter>{delete}<quit>'\n",
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
    Fetched { messages: read_all(&place.path("out")), lines: Lines::Unix }
}

/// Python's poplib, with UTF8 if it is offered: compares LIST, UIDL, STAT, RETR and TOP with each other.
fn poplib(place: &Place, from: &Endpoint, then: Then) -> Fetched {
    fs::create_dir_all(place.path("out")).expect("own directory");
    let then = if then == Then::Delete { "delete" } else { "keep" };
    poplib_script(place, from, POPLIB, &["out", then]).ok();
    Fetched { messages: read_all(&place.path("out")), lines: Lines::Wire }
}

/// Connects as `p`.
const CONNECT: &str = "
import poplib, sys
poplib._MAXLINE = 1 << 20
if SECURITY == 'tls':
    p = poplib.POP3_SSL(HOST, PORT, context=CONTEXT, timeout=200)
else:
    p = poplib.POP3(HOST, PORT, timeout=200)
if SECURITY == 'starttls':
    p.stls(CONTEXT)
";

const POPLIB: &str = "
if 'UTF8' in p.capa():
    p.utf8()
p.user(USER)
p.pass_(PASSWORD)
count, octets = p.stat()
listed = [tuple(map(int, line.split())) for line in p.list()[1]]
ids = [line.split() for line in p.uidl()[1]]
assert [n for n, _ in listed] == [int(n) for n, _ in ids] == list(range(1, count + 1)), (listed, ids)
assert len(set(id for _, id in ids)) == count, ids
assert sum(size for _, size in listed) == octets, (listed, octets)
for n, size in listed:
    lines = p.retr(n)[1]
    message = b''.join(line + b'\\r\\n' for line in lines)
    assert len(message) == size == int(p.list(n).split()[2]), (len(message), size)
    assert p.uidl(n).split()[2] == ids[n - 1][1]
    blank = lines.index(b'')
    for more in (0, 1, 2, 10 ** 6):
        assert p.top(n, more)[1] == lines[:blank + 1 + more], (n, more)
    open(f'{sys.argv[1]}/{n:06}', 'wb').write(message)
    p.noop()
for n in range(1, count + 1):
    p.dele(n)
assert p.stat() == (0, 0), p.stat()
if sys.argv[2] == 'keep':
    p.rset()
    assert p.stat() == (count, octets), p.stat()
p.quit()
";

/// Runs a Python script with `p`, a `poplib` connection that nobody has logged in by yet. `arguments` are in
/// `sys.argv[1:]`.
pub fn poplib_script(place: &Place, at: &Endpoint, script: &str, arguments: &[&str]) -> Finished {
    python(place, at, &(CONNECT.to_owned() + script), arguments)
}

/// Writes such a script, to be started by somebody else; gives its path.
pub fn poplib_file(place: &Place, at: &Endpoint, script: &str) -> std::path::PathBuf {
    crate::clients::python_file(place, at, &(CONNECT.to_owned() + script))
}

/// How many messages there are.
///
/// # Panics
/// When it cannot be asked.
#[track_caller]
pub fn count(at: &Endpoint) -> usize {
    let script = "p.user(USER)\np.pass_(PASSWORD)\nprint(p.stat()[0])\np.quit()\n";
    let said = poplib_script(&Place::new("count"), at, script, &[]).ok().text();
    said.trim().parse().unwrap_or_else(|_| panic!("it said {said:?}"))
}

/// The largest part of a process's memory that was in use at one time, in octets (VmHWM), if it still runs.
pub fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}
