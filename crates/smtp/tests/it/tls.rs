//! Case 58: certificates of all kinds, under each policy, with both drivers. What must hold is a table.

use postrider_core::Closed;
use postrider_io::rustls::RootCertStore;
use postrider_io::{Tls, tls};
use postrider_smtp::client::Tls as When;
use postrider_smtp::server::{Config, Tls as ServerTls};
use postrider_smtp::tokio::{ConnectionError, TestServer, send};
use postrider_smtp::{Accepted, Envelope, Mailbox, Remote, RemoteError, blocking};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// An authority, and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "An authority");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn roots(&self) -> RootCertStore {
        tls::roots(self.pem.as_bytes()).expect("its own certificate")
    }

    /// A server's TLS with a certificate for these names, changed by `with`.
    fn signs(&self, names: &[&str], with: impl FnOnce(&mut CertificateParams)) -> Tls {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(names);
        with(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        server(&certificate.pem(), &key)
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    params
}

fn self_signed(names: &[&str]) -> Tls {
    let key = KeyPair::generate().expect("a key");
    server(&params(names).self_signed(&key).expect("a certificate").pem(), &key)
}

fn server(pem: &str, key: &KeyPair) -> Tls {
    Tls::Server(tls::server_config(pem.as_bytes(), key.serialize_pem().as_bytes()).expect("they belong together"))
}

/// The name asked for, what the certificate is like, and whether it is to be trusted.
fn table(authority: &Authority) -> Vec<(&'static str, &'static str, Tls, bool)> {
    let mx = "mx.corp.example";
    let old = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    };
    let early = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2999, 1, 1);
        params.not_after = rcgen::date_time_ymd(3000, 1, 1);
    };
    let common_name = |params: &mut CertificateParams| params.distinguished_name.push(DnType::CommonName, mx);
    let none = |_: &mut CertificateParams| {};
    vec![
        ("as it should be", mx, authority.signs(&[mx], none), true),
        ("among other names", mx, authority.signs(&["a.example", mx], none), true),
        ("a wildcard for one label", mx, authority.signs(&["*.corp.example"], none), true),
        ("expired", mx, authority.signs(&[mx], old), false),
        ("not yet valid", mx, authority.signs(&[mx], early), false),
        ("for another name", mx, authority.signs(&["other.example"], none), false),
        ("a wildcard for two labels", "a.mx.corp.example", authority.signs(&["*.corp.example"], none), false),
        ("self-signed", mx, self_signed(&[mx]), false),
        ("by another authority", mx, Authority::new().signs(&[mx], none), false),
        // RFC 6125, 6.4.4; RFC 9525, 2: the common name is no name.
        ("the name as common name only", mx, authority.signs(&[], common_name), false),
        ("for an address", "127.0.0.1", authority.signs(&["127.0.0.1"], none), true),
        ("for another address", "127.0.0.1", authority.signs(&["127.0.0.2"], none), false),
        ("a name where an address is wanted", "127.0.0.1", authority.signs(&[mx], none), false),
        ("an international name", "xn--bcher-kva.example", authority.signs(&["xn--bcher-kva.example"], none), true),
        (
            "another international name",
            "xn--bcher-kva.example",
            authority.signs(&["xn--bcher-kvb.example"], none),
            false,
        ),
    ]
}

fn envelope() -> Envelope {
    Envelope::new(Mailbox::parse("a@client.example").expect("an address"))
        .and_to(Mailbox::parse("b@mx.example").expect("an address"))
}

#[tokio::test(flavor = "multi_thread")]
async fn case_58_certificates_under_each_policy() {
    let authority = Authority::new();
    for (what, name, tls, good) in table(&authority) {
        for (policy, offered) in [
            (When::Required, ServerTls::Offered),
            (When::Implicit, ServerTls::Implicit),
            (When::IfOffered, ServerTls::Offered),
        ] {
            let mut config = Config::new("mx.example".parse().expect("a name"));
            config.tls = offered;
            let mut server =
                TestServer::start_with(config, tls.clone(), |_| Ok(Accepted::default())).await.expect("a port");
            // Opportunistic TLS takes any certificate (RFC 7435); a policy that requires TLS requires a good one.
            let remote = match policy {
                When::IfOffered => Remote::exchanger("127.0.0.1").expect("an address"),
                _ => Remote::plaintext("127.0.0.1", 0).expect("an address").with_tls(policy, authority.roots()),
            };
            let remote = remote.at_port(server.address().port()).verified_as(name).expect("a name");
            let trusted = good || policy == When::IfOffered;
            let blocked = {
                let remote = remote.clone();
                tokio::task::spawn_blocking(move || blocking::send(&remote, envelope(), b"Hi\r\n"))
            };
            for result in [send(&remote, envelope(), "Hi\r\n").await, blocked.await.expect("no panic")] {
                match result {
                    Ok(outcomes) => {
                        assert!(trusted && outcomes[0].is_delivered(), "{what}, {policy:?}: {outcomes:?}");
                        let received = server.next().await;
                        assert!(received.client.security.is_tls(), "{what}, {policy:?}");
                    }
                    Err(ConnectionError::Closed(Closed::Tls(why))) => {
                        assert!(!trusted, "{what}, {policy:?}: {why}");
                        assert!(why.to_string().contains("certificate"), "{what}: {why}");
                    }
                    Err(other) => panic!("{what}, {policy:?}: {other:?}"),
                }
            }
            assert!(server.try_next().is_none(), "{what}, {policy:?}: nothing is sent to a server that is not trusted");
        }
    }
}

#[test]
fn case_58_an_international_name_is_written_in_ascii() {
    assert!(matches!(Remote::plaintext("bücher.example", 25), Err(RemoteError::Host(_))));
    assert!(Remote::plaintext("xn--bcher-kva.example", 25).is_ok());
}
