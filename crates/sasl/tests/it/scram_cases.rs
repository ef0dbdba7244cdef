//! What must fail, by the numbers of the cases.

use super::converse::*;
use postrider_core::{Secret, Security};
use postrider_sasl::*;

const SHA256: MechanismName = MechanismName::ScramSha256;
const SHA256_PLUS: MechanismName = MechanismName::ScramSha256Plus;

fn start(name: &MechanismName, message: &str, channel: &Channel) -> Result<ServerStep, ExchangeError> {
    ServerExchange::start(name, Some(message.as_bytes()), channel)
}

/// Logs in with what `change` makes of the client-final-message.
fn finish(change: impl Fn(&str) -> String) -> Outcome {
    let (mut client, channel) = mechanism(8);
    run(&mut *client, &App::new(), &channel, |number, message| {
        if number == 2 {
            *message = change(std::str::from_utf8(message).unwrap()).into_bytes();
        }
    })
}

fn fails(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Server(ExchangeError::Malformed(_) | ExchangeError::Refused(_)))
}

#[test]
fn case_11_plain_that_is_not_plain_is_refused() {
    for bad in [&b"a\0b"[..], b"\0a\0b\0", b"\0a\0b\0c", b"\0\0b", b"\0a\0", b"\0\xff\0b", b"\0a\0\xff", b"", b"\0\0"] {
        let step = ServerExchange::start(&MechanismName::Plain, Some(bad), &Channel::default());
        assert!(matches!(step, Err(ExchangeError::Malformed(_))), "{bad:?}");
    }
}

//= 5802-5.1-7, 5802-5.1-8
#[test]
fn case_12_a_nonce_that_is_not_this_exchanges_fails() {
    // The client's alone, the server's alone, another's, a longer one.
    for other in ["client-nonce", "server-nonce", "client-nonceserver-noncf", "client-nonceserver-nonce1", ""] {
        let outcome = finish(|message| message.replace("r=client-nonceserver-nonce", &format!("r={other}")));
        assert!(fails(&outcome), "{other}: {outcome:?}");
    }
}

#[test]
fn case_12_a_login_that_was_recorded_cannot_be_played_again() {
    let mut recorded = Vec::new();
    let (mut client, channel) = mechanism(8);
    let outcome = run(&mut *client, &App::new(), &channel, |_, message| recorded.push(message.clone()));
    assert!(matches!(outcome, Outcome::Both(_)));
    let app = App { nonce: "another-nonce", ..App::new() };
    let step = ServerExchange::start(&SHA256, Some(&recorded[0]), &channel).and_then(|step| app.supply(step));
    let Ok(ServerStep::Challenge(_, exchange)) = step else { panic!("the same client-first is a login anew") };
    assert!(matches!(exchange.respond(&recorded[2]), Err(ExchangeError::Refused(_))));
}

#[test]
fn case_12_another_channel_binding_fails() {
    // `y,,`, `p=tls-exporter,,`, nothing, and no base64.
    for other in ["c=eSws", "c=cD10bHMtZXhwb3J0ZXIsLA==", "c=", "c=biw", "d=biws"] {
        let outcome = finish(|message| message.replace("c=biws", other));
        assert!(fails(&outcome), "{other}: {outcome:?}");
    }
}

#[test]
fn case_12_the_same_login_over_another_tls_connection_fails() {
    let channel = plus(ScramHash::Sha256);
    let Security::Tls(mut info) = tls() else { unreachable!("it is TLS") };
    info.exporter = Some(vec![8; 32]);
    let other = Channel::new(&Security::Tls(info), &[SHA256_PLUS]);
    let scram = Scram::new(ScramHash::Sha256, USER, &secret(PASSWORD), nonce("c")).unwrap();
    let mut client = scram.over(&other);
    let outcome = run(&mut client, &App::new(), &channel, |_, _| {});
    assert!(matches!(outcome, Outcome::Server(ExchangeError::Refused(_))), "{outcome:?}");
}

//= 5802-6-2, 5802-6-5
#[test]
fn case_12_a_client_kept_from_plus_is_refused() {
    let channel = plus(ScramHash::Sha256);
    let first = start(&SHA256, "y,,n=user,r=abc", &channel);
    assert!(matches!(first, Err(ExchangeError::Refused(_))), "{first:?}");
    // It is no lie where nothing that binds is offered, or can be.
    assert!(start(&SHA256, "y,,n=user,r=abc", &Channel::new(&tls(), &[SHA256])).is_ok());
    assert!(start(&SHA256, "y,,n=user,r=abc", &Channel::new(&Security::Plaintext, &[SHA256_PLUS])).is_ok());
    assert!(start(&SHA256, "n,,n=user,r=abc", &channel).is_ok());

    // The whole attack: somebody takes -PLUS out of the list that the client sees.
    let seen = Channel::new(&tls(), &[SHA256]);
    let mut client = Scram::new(ScramHash::Sha256, USER, &secret(PASSWORD), nonce("c")).unwrap().over(&seen);
    assert_eq!(client.name(), SHA256);
    assert!(matches!(run(&mut client, &App::new(), &channel, |_, _| {}), Outcome::Server(ExchangeError::Refused(_))));
}

//= 5802-6-6, 5802-6.1-2
#[test]
fn case_12_the_flag_must_fit_the_mechanism() {
    let channel = plus(ScramHash::Sha256);
    for (name, header) in [
        (&SHA256, "p=tls-exporter,,"),
        (&SHA256_PLUS, "n,,"),
        (&SHA256_PLUS, "y,,"),
        (&SHA256_PLUS, "p=tls-unique,,"),
        (&SHA256_PLUS, "p=,,"),
        (&SHA256_PLUS, "p,,"),
        (&SHA256, "x,,"),
        (&SHA256, ",,"),
        (&SHA256, "n,"),
        (&SHA256, "n"),
        (&SHA256, "n,b=c,"),
        (&SHA256, "n,a=,"),
    ] {
        let step = start(name, &format!("{header}n=user,r=abc"), &channel);
        assert!(step.is_err(), "{name} {header}: {step:?}");
    }
    assert!(start(&SHA256_PLUS, "p=tls-server-end-point,,n=user,r=abc", &channel).is_ok());
}

//= 5802-5.1-6, 5802-5.1-12
#[test]
fn case_12_mandatory_extensions_fail() {
    let channel = Channel::default();
    for bad in ["n,,m=x,n=user,r=abc", "n,,n=user,r=abc,m=x", "n,,n=user,m=x,r=abc"] {
        assert!(matches!(start(&SHA256, bad, &channel), Err(ExchangeError::Malformed(_))), "{bad}");
    }
    assert!(start(&SHA256, "n,,n=user,r=abc,x=y", &channel).is_ok(), "others are ignored");
    for (from, to) in [("c=biws", "m=x,c=biws"), (",p=", ",m=x,p=")] {
        let outcome = finish(|message| message.replace(from, to));
        assert!(fails(&outcome), "{to}: {outcome:?}");
    }
    // The server may not have any either.
    let (mut client, channel) = mechanism(8);
    let outcome = run(&mut *client, &App::new(), &channel, |number, message| {
        if number == 1 {
            message.splice(0..0, *b"m=x,");
        }
    });
    assert!(matches!(outcome, Outcome::Client(MechanismError::Malformed(_))), "{outcome:?}");
}

//= 5802-5-1, 5802-5.1-3, 5802-5.1-5, 5802-5.1-6
#[test]
fn client_first_messages_that_are_malformed_fail() {
    let long = format!("n,,n=user,r={}", "x".repeat(MAX_NONCE + 1));
    let huge = format!("n,,n={},r=abc", "x".repeat(MAX_MESSAGE));
    for bad in [
        "",
        "n,,",
        "n,,n=user",
        "n,,n=,r=abc",
        "n,,r=abc",
        "n,,n=user,r=",
        "n,,n=user,r=a\u{e4}",
        "n,,n=us=er,r=abc",
        "n,,n=a\0b,r=abc",
        "n,,n=\u{7},r=abc",
        &long,
        &huge,
    ] {
        assert!(matches!(start(&SHA256, bad, &Channel::default()), Err(ExchangeError::Malformed(_))), "{bad}");
    }
}

#[test]
fn nobody_gets_in_as_a_user_there_is_not() {
    let app = App::new();
    let mut client = Scram::new(ScramHash::Sha256, "nobody", &secret(PASSWORD), nonce("c")).unwrap();
    let outcome = run(&mut client, &app, &Channel::default(), |_, _| {});
    assert!(matches!(outcome, Outcome::Server(ExchangeError::Refused("the proof is wrong"))), "{outcome:?}");
    let wrong = Scram::new(ScramHash::Sha256, USER, &secret("pencils"), nonce("c")).unwrap();
    let outcome = run(&mut { wrong }, &app, &Channel::default(), |_, _| {});
    assert!(matches!(outcome, Outcome::Server(ExchangeError::Refused("the proof is wrong"))), "the same: {outcome:?}");

    // What is made up for a name is always the same, and another for every name and key.
    let made = |user, key| {
        ScramCredentials::for_nobody(ScramHash::Sha256, user, &Secret::new(vec![key; 32]), 1).to_text().into_inner()
    };
    assert_eq!(made("a", 1), made("a", 1));
    assert_ne!(made("a", 1), made("b", 1));
    assert_ne!(made("a", 1), made("a", 2));
    assert!(made("a", 1).starts_with("SCRAM-SHA-256$4096:"));
}

/// Whether they are made of a password, of their parts or of a text.
//= 5802-5.1-10, 7677-3-1
#[test]
fn a_server_keeps_no_credentials_with_fewer_than_4096_iterations() {
    assert_eq!(MIN_ITERATIONS, 4096);
    for hash in [ScramHash::Sha1, ScramHash::Sha256] {
        let derive = |iterations| ScramCredentials::derive(hash, &secret(PASSWORD), b"salt", iterations);
        let keys = || vec![7; hash.size()];
        let new = |iterations| ScramCredentials::new(hash, b"salt".to_vec(), iterations, keys(), keys());
        let good = new(4096).expect("enough");
        assert_eq!(good.iterations(), 4096);
        assert_eq!(derive(4096).expect("enough").iterations(), 4096);
        let text = good.to_text().reveal().clone();
        assert_eq!(ScramCredentials::parse(&text).expect("its own text").iterations(), 4096);
        for few in [0, 1, 4095] {
            assert_eq!(derive(few).err(), Some(ScramCredentialsError::Iterations));
            assert_eq!(new(few).err(), Some(ScramCredentialsError::Iterations));
            let weaker = text.replace("$4096:", &format!("${few}:"));
            assert_ne!(weaker, text);
            assert!(ScramCredentials::parse(&weaker).is_err(), "{few}");
        }
        let nobody = ScramCredentials::for_nobody(hash, "nobody", &Secret::new(vec![1; 32]), 1);
        assert_eq!(nobody.iterations(), 4096, "nor do those for users there are not");
    }
}

#[test]
fn credentials_for_another_hash_are_the_applications_mistake() {
    let Ok(ServerStep::Scram(query)) = start(&SHA256, "n,,n=user,r=abc", &Channel::default()) else {
        panic!("it asks")
    };
    let answer = ScramAnswer { credentials: credentials(ScramHash::Sha1), nonce: nonce("x") };
    assert_eq!(query.answer(answer).unwrap_err(), ExchangeError::WrongHash);
}

fn client() -> Scram {
    let mut client = Scram::new(ScramHash::Sha256, USER, &secret(PASSWORD), nonce("abc")).unwrap();
    let _ = client.initial();
    client
}

//= 5802-5-2
#[test]
fn case_57_a_server_that_says_too_little_or_too_much_fails() {
    // Success before anything was proven.
    assert_eq!(client().succeeded(), Err(MechanismError::Incomplete));
    let mut early = client();
    early.respond(b"r=abcd,s=c2FsdA==,i=4096").unwrap();
    assert_eq!(early.succeeded(), Err(MechanismError::Incomplete), "the signature was omitted");
    assert_eq!(early.respond(b"").unwrap_err(), MechanismError::Malformed("expected v=signature in base64"));
    assert_eq!(early.succeeded(), Err(MechanismError::Incomplete));

    // A signature of somebody else.
    let mut impostor = client();
    impostor.respond(b"r=abcd,s=c2FsdA==,i=4096").unwrap();
    let wrong = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(impostor.respond(wrong).unwrap_err(), MechanismError::Impostor);
    assert_eq!(impostor.succeeded(), Err(MechanismError::Incomplete));

    // Challenges for ever.
    let (mut done, channel) = mechanism(8);
    assert!(matches!(run(&mut *done, &App::new(), &channel, |_, _| {}), Outcome::Both(_)));
    assert_eq!(done.respond(b"").unwrap_err(), MechanismError::Unexpected);
    assert_eq!(done.succeeded(), Err(MechanismError::Incomplete));

    // The server's own word for a failure is answered with nothing, and is no success.
    let mut refused = client();
    refused.respond(b"r=abcd,s=c2FsdA==,i=4096").unwrap();
    assert!(refused.respond(b"e=invalid-proof").unwrap().reveal().is_empty());
    assert_eq!(refused.succeeded(), Err(MechanismError::Incomplete));
}

#[test]
fn case_57_a_server_cannot_make_the_client_work() {
    let most = u64::from(MAX_ITERATIONS);
    for iterations in [1, 4095, most + 1, 4_294_967_295, 4_294_967_296, 10_000_000_000] {
        let challenge = format!("r=abcd,s=c2FsdA==,i={iterations}");
        let error = client().respond(challenge.as_bytes()).unwrap_err();
        assert!(matches!(error, MechanismError::Iterations { .. } | MechanismError::Malformed(_)), "{error}");
    }
    let lower = Scram::new(ScramHash::Sha256, USER, &secret(PASSWORD), nonce("abc")).unwrap();
    let mut lower = lower.max_iterations(5000);
    let _ = lower.initial();
    let error = lower.respond(b"r=abcd,s=c2FsdA==,i=5001").unwrap_err();
    assert_eq!(error, MechanismError::Iterations { wanted: 5001, most: 5000 });
    let salt = format!("r=abcd,s={},i=4096", "AAAA".repeat(MAX_SALT / 3 + 2));
    let nonce = format!("r=abc{},s=c2FsdA==,i=4096", "x".repeat(MAX_NONCE + 1));
    let all = format!("r=abcd,s=c2FsdA==,i=4096,x={}", "x".repeat(MAX_MESSAGE));
    for bad in [
        "",
        "r=abc,s=c2FsdA==,i=4096",
        "r=abd,s=c2FsdA==,i=4096",
        "s=c2FsdA==,i=4096",
        "r=abcd,i=4096",
        "r=abcd,s=,i=4096",
        "r=abcd,s=c2FsdA,i=4096",
        "r=abcd,s=c2FsdA==",
        "r=abcd,s=c2FsdA==,i=",
        "r=abcd,s=c2FsdA==,i=04096",
        "r=abcd,s=c2FsdA==,i=4096,m=x",
        "e=other-error",
        &salt,
        &nonce,
        &all,
    ] {
        assert!(matches!(client().respond(bad.as_bytes()), Err(MechanismError::Malformed(_))), "{bad}");
    }
}

//= 5802-2.2-1, 5802-5.1-2, 5802-5.1-4
#[test]
fn names_and_passwords_are_prepared_before_they_are_used() {
    // RFC 4013: the sign for the Roman nine is "IX", and the soft hyphen is nothing.
    let app = App {
        sha256: ScramCredentials::derive(ScramHash::Sha256, &secret("\u{2168}"), b"salt", 4096).unwrap(),
        ..App::new()
    };
    let mut client = Scram::new(ScramHash::Sha256, "us\u{ad}er", &secret("IX"), nonce("c")).unwrap();
    assert!(matches!(run(&mut client, &app, &Channel::default(), |_, _| {}), Outcome::Both(_)));
    for bad in ["", "\u{7}", "\u{ad}", "\u{627}1"] {
        assert!(Scram::new(ScramHash::Sha256, bad, &secret("x"), nonce("c")).is_err(), "{bad:?}");
        assert!(Scram::new(ScramHash::Sha256, "x", &secret(bad), nonce("c")).is_err(), "{bad:?}");
    }
}

/// RFC 5802, 5.1: a name is a query string, a password a stored one.
//= 5802-5.1-13, 5802-5.1-14
#[test]
fn names_may_have_new_characters_and_passwords_may_not() {
    let message = "n,,n=\u{1f600}\u{aa},r=abc".as_bytes();
    let step = ServerExchange::start(&MechanismName::ScramSha256, Some(message), &Channel::default());
    let Ok(ServerStep::Scram(query)) = step else { panic!("{step:?}") };
    assert_eq!(query.user(), "\u{1f600}a");
    let nonce = || Nonce::new([7; 18]);
    assert!(Scram::new(ScramHash::Sha256, "\u{1f600}", &Secret::new("pencil".into()), nonce()).is_ok());
    assert!(Scram::new(ScramHash::Sha256, "user", &Secret::new("\u{1f600}".into()), nonce()).is_err());
}

#[test]
fn the_work_of_stored_credentials_has_a_cap() {
    let text = |iterations: &str| {
        format!("SCRAM-SHA-1${iterations}:c2FsdA==${key}:{key}", key = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    };
    assert_eq!(MOST_ITERATIONS, 10_000_000);
    assert!(ScramCredentials::parse(&text("10000000")).is_ok());
    for beyond in ["10000001", "4294967295"] {
        let refused = ScramCredentials::parse(&text(beyond));
        assert_eq!(refused.err(), Some(ScramCredentialsError::Iterations));
    }
}
