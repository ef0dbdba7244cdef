//! What each chore does, step by step.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{ledger, packages};

/// The crates that promise to build without std.
const NO_STD: [&str; 6] = ["core", "sasl", "smtp", "imap", "pop3", "mta"];
/// A target that has no std, so that nothing can slip in through a dependency.
const BARE: &str = "x86_64-unknown-none";

type Outcome = Result<(), String>;

/// Everything. The tests run last, so that the output ends with their count.
pub(crate) fn test() -> Outcome {
    let interop = packages::prepare()?;
    need_nextest()?;
    eprintln!("== requirements");
    ledger::run(root(), ledger::Show::Counts)?;
    cargo("format", &["fmt", "--all", "--check"])?;
    no_std()?;
    cargo("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    cargo("documentation examples", &["test", "--workspace", "--doc", "--quiet"])?;
    // With the tests, so that features resolve as they do there and nothing is built twice.
    cargo("build", &["build", "--workspace", "--bins", "--tests"])?;
    let mut run = vec!["nextest", "run", "--workspace"];
    if !interop {
        run.extend(["-E", "not package(postrider-interop)"]);
    }
    cargo("tests", &run)
}

/// The tests against other people's software alone.
pub(crate) fn interop(filter: Option<&str>) -> Outcome {
    if !packages::prepare()? {
        return Err("these tests start servers that need root and Debian's packages".into());
    }
    need_nextest()?;
    cargo("programs", &["build", "--bins", "-p", "postrider-server", "-p", "postrider-client"])?;
    let mut run = vec!["nextest", "run", "-p", "postrider-interop"];
    run.extend(filter);
    cargo("tests", &run)
}

/// The benchmarks.
pub(crate) fn bench(filter: &[&str]) -> Outcome {
    let mut run = vec!["bench", "-p", "postrider-benches"];
    // Without `count`, which is for valgrind.
    run.extend(["imap", "message", "pop3", "smtp"].iter().flat_map(|bench| ["--bench", bench]));
    run.push("--");
    run.extend(filter);
    cargo("benchmarks", &run)
}

/// What cachegrind says that a piece of work costs: steadier than times, and the same on any machine of a kind.
pub(crate) fn count(filter: &str) -> Outcome {
    const RUNNER: &str =
        "target.'cfg(all())'.runner = 'valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null'";
    const BENCH: [&str; 6] = ["bench", "--quiet", "-p", "postrider-benches", "--bench", "count"];
    if !succeeds("valgrind", &["--version"]) {
        return Err("valgrind is not installed".into());
    }
    let list = output(Command::new("cargo").args(BENCH))?.0;
    let instructions = |work: [&str; 3]| -> Result<u64, String> {
        let mut command = Command::new("cargo");
        let (_, said) = output(command.args(["--config", RUNNER]).args(BENCH).arg("--").args(work))?;
        let line = said.lines().find_map(|line| line.split_once("refs:"));
        let digits = line.map(|(_, count)| count.replace(',', ""));
        digits.and_then(|count| count.trim().parse().ok()).ok_or(format!("cachegrind did not count:\n{said}"))
    };
    for line in list.lines().filter(|line| line.contains(filter)) {
        let [group, number, amount, unit, what, who] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let amount: f64 = amount.parse().map_err(|_| format!("not a line of the list: {line}"))?;
        // The first time is not counted: it is for what is done once, as the making of the input is.
        let (first, both) = (instructions([group, number, "1"])?, instructions([group, number, "2"])?);
        let each = both.saturating_sub(first) as f64 / amount;
        println!("{what:36} {who:24} {each:10.2} instructions / {unit}");
    }
    Ok(())
}

/// What a command writes to its two outputs, if it succeeds.
fn output(command: &mut Command) -> Result<(String, String), String> {
    let ran = command.current_dir(root()).output().map_err(|e| format!("{command:?}: {e}"))?;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    if !ran.status.success() {
        return Err(format!("{command:?}:\n{}", text(&ran.stderr)));
    }
    Ok((text(&ran.stdout), text(&ran.stderr)))
}

/// One fuzz target, or all, for some seconds each.
pub(crate) fn fuzz(target: Option<&str>, seconds: u32) -> Outcome {
    if !succeeds("cargo", &["fuzz", "--version"]) {
        return Err(
            "cargo-fuzz is not installed: `cargo install cargo-fuzz`, and `rustup toolchain install nightly`".into()
        );
    }
    let targets = match target {
        Some(target) => vec![target.to_owned()],
        None => {
            let listed = Command::new("cargo")
                .args(["+nightly", "fuzz", "list", "--fuzz-dir", "fuzz"])
                .current_dir(root())
                .stderr(Stdio::inherit())
                .output()
                .map_err(|e| format!("cargo fuzz list: {e}"))?;
            String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
        }
    };
    let limit = format!("-max_total_time={seconds}");
    for target in targets {
        cargo(&target, &["+nightly", "fuzz", "run", "--fuzz-dir", "fuzz", &target, "--", &limit])?;
    }
    Ok(())
}

/// The crates that promise it are built without std: on this machine's target always, on a bare one if it is there.
fn no_std() -> Outcome {
    let bare = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", BARE])
        .output()
        .is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).exists());
    if !bare {
        eprintln!(
            "xtask: {BARE} is not installed (`rustup target add {BARE}`): no_std is checked on the host's target only"
        );
    }
    for name in NO_STD {
        // One by one: together, the features of one would be those of all.
        let package = format!("postrider-{name}");
        let mut check = vec!["check", "--quiet", "-p", &package, "--no-default-features"];
        if bare {
            check.extend(["--target", BARE]);
        }
        cargo(&format!("no_std: {name}"), &check)?;
    }
    Ok(())
}

fn need_nextest() -> Outcome {
    if succeeds("cargo", &["nextest", "--version"]) {
        return Ok(());
    }
    cargo("cargo-nextest", &["install", "--locked", "cargo-nextest"])
}

/// Runs cargo at the top of the repository, with a heading and the time it took.
fn cargo(heading: &str, arguments: &[&str]) -> Outcome {
    eprintln!("== {heading}: cargo {}", arguments.join(" "));
    let start = Instant::now();
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(root())
        .status()
        .map_err(|e| format!("cargo does not start: {e}"))?;
    if !status.success() {
        return Err(format!("{heading} failed after {:.1} s ({status})", start.elapsed().as_secs_f64()));
    }
    // The tests' own summary is to be the last line.
    if heading != "tests" {
        eprintln!("== {heading}: {:.1} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Whether a program runs and is content.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a directory of the repository")
}
