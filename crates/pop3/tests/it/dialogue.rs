//! The table of what may follow what, as it is checked in.

use postrider_pop3::Verb;
use postrider_pop3::dialogue::{Dialogue, State};
use std::fmt::Write;

/// Every state and every verb: where it leads when it is accepted and when it is refused; `-` if it may not be sent.
fn table() -> String {
    let mut table = String::from("| | ");
    for state in State::ALL {
        let _ = write!(table, "{state:?} | ");
    }
    table.push_str("\n|---|---|---|---|---|---|\n");
    for verb in Verb::ALL {
        let _ = write!(table, "| {verb} | ");
        for state in State::ALL {
            let dialogue = Dialogue::at(state);
            if dialogue.may(verb).is_err() {
                table.push_str("- | ");
                continue;
            }
            let [yes, no] = [true, false].map(|ok| {
                let mut dialogue = dialogue;
                if verb == Verb::Quit {
                    dialogue.quitting();
                }
                dialogue.replied(verb, ok);
                dialogue.state()
            });
            let _ = if yes == no { write!(table, "{yes:?} | ") } else { write!(table, "{yes:?} / {no:?} | ") };
        }
        table.push('\n');
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

//= 1939-3-5
#[test]
fn the_table_is_the_one_checked_in() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogue.md");
    if std::env::var_os("UPDATE_TALKS").is_some() {
        std::fs::write(file, table()).expect("the table can be written");
    }
    let expected = std::fs::read_to_string(file).expect("the table can be read");
    assert_eq!(table(), expected, "UPDATE_TALKS=1 rewrites it");
}
