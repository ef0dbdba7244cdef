//! The requirement ledger: what the RFCs ask of us, where the code obeys, and which test would notice if it did not.
//!
//! `docs/requirements/rfcNNNN.toml` has an entry for each requirement. The sources say `//= 5321-4.5.2-3` at the place
//! that obeys, and tests and transcripts say the same where they check. Everything else is a gap.

mod entry;
mod page;
mod places;
#[cfg(test)]
mod tests;

use entry::{Entry, Level, Rfc, Status};
use places::{Kind, Place, Source};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the entries are.
const ENTRIES: &str = "docs/requirements";
/// The page that is written from them.
const PAGE: &str = "docs/requirements.md";
/// Where requirements are obeyed and checked.
const SOURCES: [&str; 3] = ["crates", "examples", "interop"];

/// What to print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// How many requirements each RFC has.
    Counts,
    /// Each requirement and its places besides.
    Everything,
}

/// The ledger, and where the sources name its entries.
struct Ledger {
    rfcs: Vec<Rfc>,
    places: BTreeMap<String, Vec<Place>>,
}

/// Prints the ledger.
///
/// # Errors
/// What is missing: a requirement without its place or its test, a name in the sources that is no requirement, a page
/// that is out of date.
pub(crate) fn run(root: &Path, show: Show) -> Result<(), String> {
    let ledger = Ledger::read(root)?;
    print!("{}", ledger.counts());
    if show == Show::Everything {
        print!("{}", ledger.table());
    }
    let mut gaps = ledger.gaps();
    if fs::read_to_string(root.join(PAGE)).ok() != Some(page::render(&ledger.rfcs)) {
        gaps.push(format!("{PAGE} is out of date: `cargo xtask ledger --write` writes it"));
    }
    if gaps.is_empty() {
        return Ok(());
    }
    for gap in &gaps {
        eprintln!("gap: {gap}");
    }
    Err(format!("the requirement ledger has {} gaps", gaps.len()))
}

/// Writes the page from the entries.
///
/// # Errors
/// The entries cannot be read, or the page not be written.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let ledger = Ledger::read(root)?;
    fs::write(root.join(PAGE), page::render(&ledger.rfcs)).map_err(|e| format!("{PAGE}: {e}"))
}

impl Ledger {
    fn read(root: &Path) -> Result<Self, String> {
        let mut rfcs = vec![];
        for path in files(&root.join(ENTRIES), &["toml"])? {
            let name = shown(root, &path);
            rfcs.push(Rfc::parse(&read(&path)?).map_err(|why| format!("{name}: {why}"))?);
        }
        rfcs.sort_by_key(|rfc| rfc.number);
        let mut sources = vec![];
        for directory in SOURCES {
            for path in files(&root.join(directory), &["rs", "talk"])? {
                sources.push(Source { path: shown(root, &path), text: read(&path)? });
            }
        }
        Ok(Self::new(rfcs, &sources))
    }

    fn new(rfcs: Vec<Rfc>, sources: &[Source]) -> Self {
        let mut places: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        for (id, place) in sources.iter().flat_map(places::find) {
            places.entry(id).or_default().push(place);
        }
        Self { rfcs, places }
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.rfcs.iter().flat_map(|rfc| &rfc.requirements)
    }

    fn places_of(&self, id: &str, kind: Kind) -> impl Iterator<Item = &Place> {
        self.places.get(id).into_iter().flatten().filter(move |place| place.kind == kind)
    }

    /// Everything that is not as it must be, in sentences.
    fn gaps(&self) -> Vec<String> {
        let mut gaps = vec![];
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for rfc in &self.rfcs {
            for entry in &rfc.requirements {
                *known.entry(&entry.id).or_default() += 1;
                if !entry.id_fits(rfc.number) {
                    gaps.push(format!("{} is not of the form {}-SECTION-NUMBER", entry.id, rfc.number));
                }
            }
        }
        for (id, times) in &known {
            if *times > 1 {
                gaps.push(format!("{id} stands for {times} requirements"));
            }
        }
        for entry in self.entries() {
            let Entry { id, reason, says, .. } = entry;
            let reasoned = reason.as_ref().is_some_and(|reason| !reason.trim().is_empty());
            if says.trim().is_empty() {
                gaps.push(format!("{id} does not say what is required"));
            }
            match entry.status {
                Status::Done => {
                    for (kind, what) in [(Kind::Code, "place in the code"), (Kind::Test, "test")] {
                        if self.places_of(id, kind).next().is_none() {
                            gaps.push(format!("{id} is done and has no {what}: {says}"));
                        }
                    }
                    if reasoned {
                        gaps.push(format!("{id} is done and has the reason of an exception"));
                    }
                }
                Status::Todo => gaps.push(format!("{id} is to be done: {says}")),
                Status::Exception if !reasoned => gaps.push(format!("{id} is an exception without a reason: {says}")),
                Status::Exception => {}
            }
        }
        for (id, places) in &self.places {
            if !known.contains_key(id.as_str()) {
                let places: Vec<_> = places.iter().map(Place::to_string).collect();
                gaps.push(format!("{id} is no requirement: {}", places.join(", ")));
            }
        }
        gaps
    }

    /// How many of each RFC.
    fn counts(&self) -> String {
        let mut text = String::from("   RFC   MUST done  exception  todo   SHOULD done  exception  todo    MAY done\n");
        let mut line = |name: &str, rfcs: &[Rfc]| {
            let count = |level: &[Level], status: Status| {
                let of = |rfc: &Rfc| {
                    rfc.requirements.iter().filter(|e| level.contains(&e.level) && e.status == status).count()
                };
                rfcs.iter().map(of).sum::<usize>()
            };
            let [must, should]: [&[Level]; 2] = [&[Level::Must, Level::MustNot], &[Level::Should, Level::ShouldNot]];
            let _ = writeln!(
                text,
                "{name:>6} {:>11} {:>10} {:>5} {:>13} {:>10} {:>5} {:>11}",
                count(must, Status::Done),
                count(must, Status::Exception),
                count(must, Status::Todo),
                count(should, Status::Done),
                count(should, Status::Exception),
                count(should, Status::Todo),
                count(&[Level::May], Status::Done),
            );
        };
        for rfc in &self.rfcs {
            line(&rfc.number.to_string(), std::slice::from_ref(rfc));
        }
        line("all", &self.rfcs);
        text
    }

    /// Each requirement, and where it is obeyed and checked.
    fn table(&self) -> String {
        let mut text = String::new();
        for rfc in &self.rfcs {
            let _ = writeln!(text, "\nRFC {}: {}", rfc.number, rfc.title);
            for entry in &rfc.requirements {
                let Entry { id, level, binds, status, says, .. } = entry;
                let _ = writeln!(text, "\n{id}  {level}  {binds}  {status}\n  {says}");
                if let Some(reason) = &entry.reason {
                    let _ = writeln!(text, "  reason: {reason}");
                }
                for place in self.places_of(id, Kind::Code) {
                    let _ = writeln!(text, "  code: {place}");
                }
                for place in self.places_of(id, Kind::Test) {
                    let _ = writeln!(text, "  test: {place}");
                }
            }
        }
        text
    }
}

/// The files with these endings below a directory, in order.
fn files(directory: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![];
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let failed = |e| format!("{}: {e}", directory.display());
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A transcript may hold any octets; names of requirements are ASCII.
fn read(path: &Path) -> Result<String, String> {
    let octets = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
