//! The examples that the standards give.

use super::converse::secret;
use postrider_sasl::*;

struct Example {
    hash: ScramHash,
    client_nonce: &'static str,
    server_nonce: &'static str,
    salt: &'static [u8],
    messages: [&'static str; 4],
}

fn replay(example: &Example) {
    let [client_first, server_first, client_final, server_final] = example.messages;
    let nonce = |text| Nonce::parse(text).unwrap();
    let mut client = Scram::new(example.hash, "user", &secret("pencil"), nonce(example.client_nonce)).unwrap();
    assert_eq!(client.initial().unwrap().reveal(), client_first.as_bytes());
    assert_eq!(client.respond(server_first.as_bytes()).unwrap().reveal(), client_final.as_bytes());
    assert_eq!(client.succeeded(), Err(MechanismError::Incomplete));
    assert!(client.respond(server_final.as_bytes()).unwrap().reveal().is_empty());
    assert_eq!(client.succeeded(), Ok(()));

    let credentials = ScramCredentials::derive(example.hash, &secret("pencil"), example.salt, 4096).unwrap();
    let name = example.hash.mechanism(false);
    let Ok(ServerStep::Scram(query)) = ServerExchange::start(&name, Some(client_first.as_bytes()), &Channel::default())
    else {
        panic!("SCRAM asks for the user's credentials")
    };
    assert_eq!(query.user(), "user");
    let Ok(ServerStep::Challenge(challenge, exchange)) =
        query.answer(ScramAnswer { credentials, nonce: nonce(example.server_nonce) })
    else {
        panic!("the salt is next")
    };
    assert_eq!(challenge, server_first.as_bytes());
    let Ok(ServerStep::Challenge(challenge, exchange)) = exchange.respond(client_final.as_bytes()) else {
        panic!("the proof is right")
    };
    assert_eq!(challenge, server_final.as_bytes());
    let Ok(ServerStep::Attempt(Attempt::Proven { authorization: None, user, mechanism })) = exchange.respond(b"")
    else {
        panic!("it is proven")
    };
    assert_eq!((&user[..], mechanism), ("user", name));
}

/// RFC 5802, 5.
//= 5802-4-1, 5802-5.1-1, 5802-5.1-9
#[test]
fn scram_sha_1_is_as_in_the_example() {
    replay(&Example {
        hash: ScramHash::Sha1,
        client_nonce: "fyko+d2lbbFgONRv9qkxdawL",
        server_nonce: "3rfcNHYJY1ZVvWVs7j",
        salt: &[0x41, 0x25, 0xc2, 0x47, 0xe4, 0x3a, 0xb1, 0xe9, 0x3c, 0x6d, 0xff, 0x76],
        messages: [
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
    });
}

/// RFC 7677, 3.
#[test]
fn scram_sha_256_is_as_in_the_example() {
    replay(&Example {
        hash: ScramHash::Sha256,
        client_nonce: "rOprNGfwEbeRWgbNEkqO",
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        salt: &[0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81],
        messages: [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    });
}

/// RFC 2195, 2.
#[test]
fn cram_md5_is_as_in_the_example() {
    let timestamp = "<1896.697170952@postoffice.reston.mci.net>";
    let password = secret("tanstaaftanstaaf");
    let mut client = CramMd5::new("tim", &password).unwrap();
    assert!(client.initial().is_none());
    let response = client.respond(timestamp.as_bytes()).unwrap();
    assert_eq!(response.reveal(), b"tim b913a602c7eda7a495b4e6e7334d3890");
    assert_eq!(client.succeeded(), Ok(()));
    assert!(CramMd5::new("tim", &password).unwrap().respond(b"tell me more").is_err());

    let start = ServerExchange::start(&MechanismName::CramMd5, None, &Channel::default());
    let Ok(ServerStep::Cram(query)) = start else { panic!("CRAM-MD5 asks for a challenge") };
    let ServerStep::Challenge(challenge, exchange) = query.answer(ApopChallenge::new(timestamp).unwrap()) else {
        panic!("the challenge is next")
    };
    assert_eq!(challenge, timestamp.as_bytes());
    let Ok(ServerStep::Attempt(Attempt::CramMd5(digest))) = exchange.respond(response.reveal()) else {
        panic!("the digest is all")
    };
    assert_eq!(digest.user(), "tim");
    assert!(digest.matches(&password) && !digest.matches(&secret("tanstaaf")));
    let early = ServerExchange::start(&MechanismName::CramMd5, Some(b"tim 0"), &Channel::default());
    assert!(matches!(early, Err(ExchangeError::Malformed(_))), "the client cannot answer before it is asked");
}

/// RFC 4616, 4.
#[test]
fn plain_is_as_in_the_examples() {
    assert_eq!(
        Plain::new("tim", &secret("tanstaaftanstaaf")).unwrap().initial().unwrap().reveal(),
        b"\0tim\0tanstaaftanstaaf"
    );
    let mut acting = Plain::acting_as("Ursel", "Kurt", &secret("xipj3plmq")).unwrap();
    assert_eq!(acting.initial().unwrap().reveal(), b"Ursel\0Kurt\0xipj3plmq");
}

/// The example of Google's description, decoded.
#[test]
fn xoauth2_is_as_in_the_example() {
    let token = secret("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg");
    let mut client = XOAuth2::new("someuser@example.com", &token).unwrap();
    let expected = "user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01";
    assert_eq!(client.initial().unwrap().reveal(), expected.as_bytes());
    let step = ServerExchange::start(&MechanismName::XOAuth2, Some(expected.as_bytes()), &Channel::default());
    let Ok(ServerStep::Attempt(attempt)) = step else { panic!("one message says all") };
    assert_eq!(attempt.refusal().unwrap(), b"{\"status\":\"401\",\"schemes\":\"bearer\"}");
    let Attempt::Token { user, token: theirs, .. } = attempt else { panic!("it is a token") };
    assert_eq!(user.as_deref(), Some("someuser@example.com"));
    assert!(theirs.matches(token.reveal()));
}

#[test]
fn stored_credentials_come_back_as_text() {
    let credentials = super::converse::credentials(ScramHash::Sha256);
    let text = credentials.to_text();
    assert!(text.reveal().starts_with("SCRAM-SHA-256$4096:"));
    assert!(ScramCredentials::parse(text.reveal()).unwrap().to_text().matches(text.reveal()));
    for bad in [
        "",
        "SCRAM-SHA-256$4096:$:",
        "SCRAM-SHA-256$1:c2FsdA==$c2FsdA==:c2FsdA==",
        "SCRAM-SHA-256$4096:c2FsdA==$c2FsdA==:c2FsdA==",
        "MD5$4096:c2FsdA==$c2FsdA==:c2FsdA==",
    ] {
        assert!(ScramCredentials::parse(bad).is_err(), "{bad}");
    }
    assert!(ScramCredentials::parse(&format!("{}$", text.reveal())).is_err());
}
