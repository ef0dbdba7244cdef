//! The table of what may follow what, as a table that people read.

use postrider_imap::dialogue::{Dialogue, Ending, State, Verb};
use std::fmt::Write;

/// A dialogue that has come to that state.
fn at(state: State) -> Dialogue {
    let mut dialogue = Dialogue::new(false);
    let way: &[Verb] = match state {
        State::NotAuthenticated => &[],
        State::Authenticated => &[Verb::Login],
        State::Selected => &[Verb::Login, Verb::Select],
        State::Logout => &[Verb::Logout],
    };
    for &verb in way {
        dialogue.may(verb).unwrap();
        dialogue.completed(verb, Ending::Ok);
    }
    assert_eq!(dialogue.state(), state);
    dialogue
}

fn name(state: State) -> &'static str {
    match state {
        State::NotAuthenticated => "not-auth",
        State::Authenticated => "auth",
        State::Selected => "selected",
        State::Logout => "logout",
    }
}

/// Every state with every command: `-` if it is not allowed, else the states after OK, NO and BAD.
#[test]
fn states_and_commands_are_as_written() {
    let mut table = String::from("# Which commands are allowed, and the state after OK / NO / BAD.\n");
    for &verb in Verb::ALL {
        writeln!(table, "\n{verb}").unwrap();
        for state in State::ALL {
            let dialogue = at(state);
            write!(table, "  {:9}", name(state)).unwrap();
            if dialogue.may(verb).is_err() {
                table.push_str("-\n");
                continue;
            }
            let after = [Ending::Ok, Ending::No, Ending::Bad].map(|ending| {
                let mut dialogue = dialogue;
                dialogue.completed(verb, ending);
                name(dialogue.state())
            });
            writeln!(table, "{}", after.join(" / ")).unwrap();
        }
    }
    compare("states.txt", &table);
}

/// Which commands may be sent before which has completed, and which may be interrupted by EXPUNGE.
#[test]
fn pipelines_are_as_written() {
    let mut table = String::from("# What a client may send before the command on the left has completed.\n");
    table.push_str("# (expunge) marks those during which EXPUNGE may come.\n");
    for &ahead in Verb::ALL {
        let expunge = if ahead.allows_expunge() { " (expunge)" } else { "" };
        let next: Vec<&str> = Verb::ALL.iter().filter(|next| next.may_follow(ahead)).map(|next| next.word()).collect();
        let next = match next.len() {
            0 => "nothing".to_owned(),
            all if all == Verb::ALL.len() => "everything".to_owned(),
            _ => next.join(", "),
        };
        writeln!(table, "\n{ahead}{expunge}\n  {next}").unwrap();
    }
    compare("pipelines.txt", &table);
}

/// The examples of RFC 9051, 5.5.
#[test]
fn examples_of_pipelines() {
    let valid = |verbs: &[Verb]| {
        verbs.iter().enumerate().all(|(i, next)| verbs[..i].iter().all(|ahead| next.may_follow(*ahead)))
    };
    use Verb::{Copy, Expunge, Fetch, Noop, Search, Store};
    assert!(!valid(&[Fetch, Noop, Store]));
    assert!(!valid(&[Store, Copy, Fetch]));
    assert!(!valid(&[Copy, Copy]));
    assert!(valid(&[Fetch, Store, Search, Noop]));
    assert!(valid(&[Store, Copy, Expunge]));
    assert!(!valid(&[Verb::UidFetch, Fetch]) && valid(&[Verb::UidFetch, Verb::UidStore]));
}

#[test]
fn starttls_comes_once() {
    let mut dialogue = Dialogue::new(false);
    dialogue.may(Verb::StartTls).unwrap();
    dialogue.completed(Verb::StartTls, Ending::Ok);
    assert!(dialogue.is_tls());
    let wrong = dialogue.may(Verb::StartTls).unwrap_err();
    assert_eq!(wrong.verb, Verb::StartTls);
    assert!(Dialogue::preauthenticated(false).may(Verb::StartTls).is_err());
}

fn compare(file: &str, table: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(file);
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, table).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == table, "{file} differs; UPDATE_TABLES=1 rewrites it. It is now:\n{table}");
}
