//! The strongest mechanism is taken, and none that shows a secret in the clear.

use super::converse::{nonce, secret, tls};
use postrider_core::{Security, TlsInfo};
use postrider_sasl::*;

const ALL: [MechanismName; 11] = [
    MechanismName::Plain,
    MechanismName::Login,
    MechanismName::External,
    MechanismName::Anonymous,
    MechanismName::CramMd5,
    MechanismName::ScramSha1,
    MechanismName::ScramSha1Plus,
    MechanismName::ScramSha256,
    MechanismName::ScramSha256Plus,
    MechanismName::XOAuth2,
    MechanismName::OAuthBearer,
];

fn password() -> Credentials {
    Credentials::password("user", secret("pencil"))
}

fn chosen(
    credentials: &Credentials,
    offered: &[MechanismName],
    security: &Security,
) -> Result<MechanismName, NoMechanism> {
    credentials.strongest(offered, security, nonce("n")).map(|mechanism| mechanism.name())
}

#[test]
fn the_strongest_comes_first() {
    let mut offered = ALL.to_vec();
    for expected in [
        MechanismName::ScramSha256Plus,
        MechanismName::ScramSha1Plus,
        MechanismName::ScramSha256,
        MechanismName::ScramSha1,
        MechanismName::Plain,
        MechanismName::Login,
        MechanismName::CramMd5,
    ] {
        assert_eq!(chosen(&password(), &offered, &tls()), Ok(expected.clone()));
        offered.retain(|name| *name != expected);
    }
    assert_eq!(chosen(&password(), &offered, &tls()), Err(NoMechanism::NoneFits));
    let token = Credentials::Token { user: "u".into(), token: secret("t"), host: "h".into(), port: 1 };
    assert_eq!(chosen(&token, &ALL, &tls()), Ok(MechanismName::OAuthBearer));
    assert_eq!(chosen(&token, &[MechanismName::XOAuth2], &tls()), Ok(MechanismName::XOAuth2));
    assert_eq!(chosen(&Credentials::External, &ALL, &tls()), Ok(MechanismName::External));
    assert_eq!(chosen(&Credentials::Anonymous, &ALL, &tls()), Ok(MechanismName::Anonymous));
}

//= 5802-6-3, 5802-6-4
#[test]
fn plus_needs_something_to_bind_to() {
    let bare = Security::Tls(TlsInfo::default());
    assert_eq!(chosen(&password(), &ALL, &bare), Ok(MechanismName::ScramSha256));
    assert_eq!(chosen(&password(), &ALL, &Security::Plaintext), Ok(MechanismName::ScramSha256));
}

//= 7628-3-1
#[test]
fn case_9_nothing_is_shown_before_tls() {
    let open = [MechanismName::Plain, MechanismName::Login];
    assert_eq!(chosen(&password(), &open, &Security::Plaintext), Err(NoMechanism::NeedsTls));
    let with_cram = [MechanismName::Plain, MechanismName::CramMd5];
    assert_eq!(chosen(&password(), &with_cram, &Security::Plaintext), Ok(MechanismName::CramMd5));
    let unverified = Security::Tls(TlsInfo::default());
    assert_eq!(chosen(&password(), &with_cram, &unverified), Ok(MechanismName::CramMd5));
    let dangerous = password().dangerous_strongest_in_plaintext(&open, &Security::Plaintext, nonce("n"));
    assert_eq!(dangerous.map(|mechanism| mechanism.name()), Ok(MechanismName::Plain));
}

#[test]
fn what_scram_cannot_carry_plain_does() {
    // Unicode 3.2 knew no such face, so SASLprep refuses it.
    let modern = Credentials::password("user", secret("\u{1f600}"));
    assert_eq!(chosen(&modern, &ALL, &tls()), Ok(MechanismName::Plain));
    assert_eq!(
        chosen(&modern, &[MechanismName::ScramSha1], &tls()),
        Err(NoMechanism::Unusable(MechanismError::Unsendable))
    );
}

#[test]
fn the_names_say_what_they_show() {
    let shows: Vec<_> = ALL.iter().filter(|name| name.exposes_secret()).map(MechanismName::as_str).collect();
    assert_eq!(shows, ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"]);
    let binds: Vec<_> = ALL.iter().filter(|name| name.binds_channel()).map(MechanismName::as_str).collect();
    assert_eq!(binds, ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"]);
    assert!(ALL.iter().all(ServerExchange::supports));
    assert!(!ServerExchange::supports_over(&MechanismName::ScramSha256Plus, &Security::Plaintext));
    assert!(ServerExchange::supports_over(&MechanismName::ScramSha256Plus, &tls()));
}
