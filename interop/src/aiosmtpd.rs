//! aiosmtpd, the library that Python programs are tested with, as a server that our mail goes to.

use std::fs;
use std::time::Duration;

use crate::{Authority, Endpoint, Identity, PASSWORD, Place, Process, Security, until};

/// A running aiosmtpd that keeps what it takes. The local part `nobody` does not exist (550), `later` cannot be served
/// now (450). Users log in with [`PASSWORD`].
#[derive(Debug)]
pub struct Aiosmtpd {
    process: Process,
    place: Place,
    identity: Identity,
    smtp: u16,
    smtps: u16,
}

/// Writes each message to a file whose first line is the envelope.
const SCRIPT: &str = "\
import asyncio, itertools, json, os, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

place, ip, smtp, smtps, cert, key, password = sys.argv[1:]
count = itertools.count()

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        local = address.split('@')[0]
        if local == 'nobody': return '550 5.1.1 no such mailbox'
        if local == 'later': return '450 4.2.1 mailbox is busy'
        envelope.rcpt_tos.append(address)
        return '250 OK'
    async def handle_DATA(self, server, session, envelope):
        head = {'from': envelope.mail_from, 'to': envelope.rcpt_tos, 'options': envelope.mail_options,
                'tls': session.ssl is not None, 'user': (session.auth_data.login.decode() if session.auth_data else None)}
        name = os.path.join(place, 'mail', '%06d' % next(count))
        with open(name + '.part', 'wb') as file:
            file.write(json.dumps(head).encode() + b'\\n' + envelope.original_content)
        os.rename(name + '.part', name)
        return '250 2.0.0 kept'

def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data.password == password.encode()
    return AuthResult(success=good, handled=not good and False, auth_data=data)

async def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    def make(**more):
        return lambda: SMTP(Handler(), hostname='aiosmtpd.test', enable_SMTPUTF8=True, authenticator=authenticate,
                            auth_require_tls=True, data_size_limit=1 << 20, **more)
    loop = asyncio.get_running_loop()
    await loop.create_server(make(tls_context=tls), ip, int(smtp))
    # Started with TLS, it does not see that itself.
    await loop.create_server(make(auth_exclude_mechanism=[]), ip, int(smtps), ssl=tls)
    await asyncio.Event().wait()

asyncio.run(main())
";

impl Aiosmtpd {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(authority: &Authority) -> Self {
        let place = Place::new("aiosmtpd");
        let identity = authority.issue(place.ip(), &["aiosmtpd.test"]);
        let (smtp, smtps) = place.two_free_ports();
        fs::create_dir(place.path("mail")).expect("own directory");
        let script = place.write("server.py", SCRIPT);
        let mut process = Process::start("aiosmtpd", place.dir(), "/usr/bin/python3", |python| {
            python.arg(script).arg(place.dir()).args([place.ip().to_string(), smtp.to_string(), smtps.to_string()]);
            python.arg(&identity.cert).arg(&identity.key).arg(PASSWORD);
        });
        process.wait_for_ports(&[place.at(smtp), place.at(smtps)]);
        Self { process, place, identity, smtp, smtps }
    }

    /// Where a client submits.
    pub fn smtp(&self, security: Security, login: Option<&str>) -> Endpoint {
        Endpoint {
            host: self.place.ip().to_string(),
            name: "aiosmtpd.test".into(),
            port: if security == Security::Tls { self.smtps } else { self.smtp },
            security,
            login: login.map(|user| (user.to_owned(), PASSWORD.to_owned())),
            ca: self.identity.ca.clone(),
        }
    }

    /// Waits for `count` messages; for each its envelope, and its octets as they came, lines ending in CRLF.
    ///
    /// # Panics
    /// When they do not come within `limit`.
    #[track_caller]
    pub fn received(&self, count: usize, limit: Duration) -> Vec<(serde_json::Value, Vec<u8>)> {
        let mut names = until(&format!("{count} messages at aiosmtpd"), limit, || {
            let names: Vec<_> = fs::read_dir(self.place.path("mail")).expect("own directory").flatten().collect();
            let names: Vec<_> =
                names.iter().map(|entry| entry.path()).filter(|path| path.extension().is_none()).collect();
            (names.len() >= count).then_some(names)
        });
        names.sort();
        let read = |path: &std::path::PathBuf| {
            let file = fs::read(path).expect("own file");
            let head = file.iter().position(|&b| b == b'\n').expect("the envelope is a line");
            (serde_json::from_slice(&file[..head]).expect("JSON"), file[head + 1..].to_vec())
        };
        names.iter().map(read).collect()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
