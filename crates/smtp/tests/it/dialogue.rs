//! The whole table of what may follow what, in `tests/dialogue.txt`.

use postrider_smtp::dialogue::{Dialogue, Phase, Protocol};
use postrider_smtp::wire::{ReplyClass, Verb};
use std::fmt::Write;

fn phases(protocol: Protocol, tls: bool) -> Vec<(&'static str, Dialogue)> {
    let hello = if protocol == Protocol::Lmtp { Verb::Lhlo } else { Verb::Ehlo };
    let with = |steps: &[(Verb, ReplyClass)]| {
        let mut dialogue = Dialogue::new(protocol, tls);
        steps.iter().for_each(|&(verb, class)| dialogue.replied(verb, class));
        dialogue
    };
    use ReplyClass::{Done, GoOn};
    let mut list = vec![
        ("connected", with(&[])),
        ("ready", with(&[(hello, Done)])),
        ("logged in", with(&[(hello, Done), (Verb::Auth, Done)])),
        ("mail", with(&[(hello, Done), (Verb::Mail, Done)])),
        ("recipients", with(&[(hello, Done), (Verb::Mail, Done), (Verb::Rcpt, Done)])),
        ("body", with(&[(hello, Done), (Verb::Mail, Done), (Verb::Rcpt, Done), (Verb::Data, GoOn)])),
        ("chunks", with(&[(hello, Done), (Verb::Mail, Done), (Verb::Rcpt, Done), (Verb::Bdat, Done)])),
        ("over", with(&[(hello, Done), (Verb::Quit, Done)])),
    ];
    if protocol == Protocol::Smtp {
        list.push(("ready by HELO", with(&[(Verb::Helo, Done)])));
    }
    list
}

//= 5321-3.3-9, 5321-4.1.4-1, 5321-4.1.4-5, 3207-4.2-4, 4954-4-3
#[test]
fn the_table_is_as_written_down() {
    let mut table = String::new();
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        for tls in [false, true] {
            for (name, dialogue) in phases(protocol, tls) {
                let with = if tls { " with TLS" } else { "" };
                let _ = writeln!(table, "{protocol:?}{with}, {name}:");
                for verb in Verb::ALL {
                    let verdict = dialogue.may(verb).map_or_else(|why| format!("no: {why}"), |()| "yes".into());
                    let _ = writeln!(table, "  {:8} {verdict}", verb.as_str());
                }
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogue.txt");
    if std::env::var_os("UPDATE_TALKS").is_some() {
        std::fs::write(path, &table).expect("the table can be written");
    }
    let written = std::fs::read_to_string(path).expect("the table is there");
    assert_eq!(table, written, "run with UPDATE_TALKS=1 and read the difference");
}

//= 5321-4.1.4-6, 5321-4.1.4-3
#[test]
fn a_refused_command_changes_nothing() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        for (_, dialogue) in phases(protocol, false) {
            for verb in Verb::ALL {
                for class in [ReplyClass::Transient, ReplyClass::Permanent] {
                    let mut after = dialogue;
                    after.replied(verb, class);
                    assert_eq!(after, dialogue, "{verb} with {class:?}");
                }
            }
        }
    }
}

//= 3207-4.2-1
#[test]
fn tls_forgets_everything() {
    for (_, mut dialogue) in phases(Protocol::Smtp, false) {
        dialogue.secured();
        assert_eq!(dialogue, Dialogue::new(Protocol::Smtp, true));
        assert_eq!(dialogue.phase(), Phase::Connected);
    }
}
