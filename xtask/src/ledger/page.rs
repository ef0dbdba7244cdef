//! The compliance page. It names no places, since those move: `git grep` finds them by the requirement's name.

use super::entry::{Entry, Level, Rfc, Status};
use std::fmt::Write;

const HEAD: &str = "\
<!-- Written by `cargo xtask ledger --write` from docs/requirements/*.toml. -->
# What the RFCs require

Each MUST and SHOULD that concerns a server or a client of mail, in our own words; the RFCs have the exact ones. A requirement that is
**done** is named in the code that obeys and in a test that checks, as `//= 2920-3.2-1`: `git grep 2920-3.2-1` shows both, and
`cargo xtask ledger` fails if either is missing. An **exception** is not obeyed, or not ours to obey, and says why. REQUIRED and SHALL count
as MUST; a MAY is listed only where something relies on it.

";

/// The page for these RFCs.
pub(super) fn render(rfcs: &[Rfc]) -> String {
    let mut text = String::from(HEAD);
    text += "| RFC | | MUST | exceptions | SHOULD | exceptions |\n|---|---|--:|--:|--:|--:|\n";
    for rfc in rfcs {
        let [must, should]: [&[Level]; 2] = [&[Level::Must, Level::MustNot], &[Level::Should, Level::ShouldNot]];
        let count = |levels: &[Level], status: Status| {
            rfc.requirements.iter().filter(|entry| levels.contains(&entry.level) && entry.status == status).count()
        };
        let _ = writeln!(
            text,
            "| [{number}](#rfc-{number}) | {} | {} | {} | {} | {} |",
            rfc.title,
            count(must, Status::Done),
            count(must, Status::Exception),
            count(should, Status::Done),
            count(should, Status::Exception),
            number = rfc.number,
        );
    }
    for rfc in rfcs {
        let _ = write!(text, "\n## RFC {}\n\n[{}](https://www.rfc-editor.org/rfc/rfc{0})", rfc.number, rfc.title);
        if let Some(note) = &rfc.note {
            let _ = write!(text, ". {note}");
        }
        text += "\n\n| | | binds | requirement | |\n|---|---|---|---|---|\n";
        for entry in &rfc.requirements {
            row(&mut text, rfc.number, entry);
        }
    }
    text
}

fn row(text: &mut String, rfc: u32, entry: &Entry) {
    let Entry { id, level, binds, status, says, .. } = entry;
    let section = entry.section();
    let part = if section.starts_with(|c: char| c.is_ascii_digit()) { "section" } else { "appendix" };
    let link = format!("https://www.rfc-editor.org/rfc/rfc{rfc}#{part}-{section}");
    let reason = entry.reason.as_ref().map_or(String::new(), |reason| format!(": {}", cell(reason)));
    let _ = writeln!(text, "| [{id}]({link}) | {level} | {binds} | {} | {status}{reason} |", cell(says));
}

/// Text that keeps to its cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}
