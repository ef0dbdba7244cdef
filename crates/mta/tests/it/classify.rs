//! What replies mean: RFC 5321, 4.2; RFC 3463; RFC 6647.

use std::time::Duration;

use postrider_mta::classify::{Class, Hint, Scope, Stage, Verdict, classify};
use postrider_smtp::wire::Reply;

fn class(stage: Stage, reply: &str) -> Class {
    classify(stage, &Reply::parse(reply.as_bytes()).unwrap())
}

//= 5321-4.2-6
#[test]
fn table_of_replies() {
    use Scope::*;
    use Verdict::*;
    let table = [
        (Stage::Greeting, "554 no SMTP service here", Transient, Host),
        (Stage::Greeting, "421 too busy", Transient, Connection),
        (Stage::Hello, "550 who are you", Transient, Host),
        (Stage::StartTls, "454 4.7.0 not now", Transient, Host),
        (Stage::Auth, "535 5.7.8 wrong", Transient, Host),
        (Stage::Mail, "250 2.1.0 ok", Accepted, Message),
        (Stage::Mail, "451 4.3.0 later", Transient, Host),
        (Stage::Mail, "550 5.7.1 not you", Permanent, Source),
        (Stage::Mail, "552 5.3.4 too big", Permanent, Message),
        (Stage::Rcpt, "250 ok", Accepted, Recipient),
        (Stage::Rcpt, "550 5.1.1 nobody", Permanent, Recipient),
        (Stage::Rcpt, "550 nobody", Permanent, Recipient),
        (Stage::Rcpt, "450 4.2.1 busy", Transient, Recipient),
        (Stage::Rcpt, "452 4.2.2 full", Transient, Recipient),
        (Stage::Rcpt, "552 5.2.2 full", Permanent, Recipient),
        (Stage::Rcpt, "452 4.3.1 no disk", Transient, Host),
        (Stage::Rcpt, "421 4.4.2 bye", Transient, Connection),
        (Stage::Data, "354 go on", Accepted, Message),
        (Stage::Data, "554 no valid recipients", Permanent, Message),
        (Stage::Message, "354 what?", Transient, Message),
        (Stage::Message, "250 2.0.0 queued", Accepted, Message),
        (Stage::Message, "554 5.6.0 bad content", Permanent, Message),
        (Stage::Message, "451 4.7.1 later", Transient, Source),
    ];
    for (stage, reply, verdict, scope) in table {
        assert_eq!(class(stage, reply), Class { verdict, scope, hint: Hint::None }, "{reply} to {stage}");
    }
}

//= 5321-4.5.3.1.10-2
#[test]
fn too_many_recipients_is_transient_whatever_the_code() {
    for reply in ["452 too many recipients", "552 too many recipients", "452 4.5.3 enough", "550 5.5.3 enough"] {
        let class = class(Stage::Rcpt, reply);
        assert_eq!((class.verdict, class.hint), (Verdict::Transient, Hint::TooManyRecipients), "{reply}");
    }
    assert_eq!(class(Stage::Message, "552 too big").verdict, Verdict::Permanent);
}

#[test]
fn greylisting_is_understood_and_its_wait_read() {
    let wait = |text: &str| class(Stage::Rcpt, text).hint;
    let seconds = |n| Hint::Greylisted { wait: Some(Duration::from_secs(n)) };
    assert_eq!(wait("450 4.2.0 Greylisted, see http://postgrey.schweikert.ch/"), Hint::Greylisted { wait: None });
    assert_eq!(wait("451 4.7.1 Greylisting in action, please come back in 300 seconds"), seconds(300));
    assert_eq!(wait("451 graylisted; retry in 5 minutes"), seconds(300));
    assert_eq!(wait("451 greylisted for 10min"), seconds(600));
    assert_eq!(wait("451 greylisted for 99999999999999999999 hours"), Hint::Greylisted { wait: None });
    assert_eq!(wait("451 greylisted for 9999999 hours"), seconds(24 * 3600));
    assert_eq!(wait("550 5.7.1 greylisted for ever"), Hint::None);
    // The next host would only begin its own wait.
    assert!(!class(Stage::Rcpt, "451 4.3.0 greylisted").next_host());
}
