//! The chores of this repository: `cargo xtask test | interop | bench | fuzz | ledger`.

mod ledger;
mod packages;
mod steps;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test                       everything: format, lints, no_std, documentation, all tests
cargo xtask interop [filter]           only the tests against other people's mail software
cargo xtask bench [filter]             the benchmarks, ours beside the peers
cargo xtask bench --count [filter]     their instructions instead of their times, for which valgrind is needed
cargo xtask fuzz [target] [seconds]    one fuzz target, or each of them, for so long (30 s)
cargo xtask ledger [--full | --write]   what the RFCs require and where it is done; or its page, docs/requirements.md";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["test"] => steps::test(),
        ["interop"] => steps::interop(None),
        ["interop", filter] => steps::interop(Some(filter)),
        ["bench", "--count"] => steps::count(""),
        ["bench", "--count", filter] => steps::count(filter),
        ["bench", filter @ ..] => steps::bench(filter),
        ["fuzz"] => steps::fuzz(None, 30),
        ["fuzz", target] => steps::fuzz(Some(target), 30),
        ["fuzz", target, seconds] => match seconds.parse() {
            Ok(seconds) => steps::fuzz(Some(target), seconds),
            Err(_) => Err(format!("{seconds} is not a number of seconds")),
        },
        ["ledger"] => ledger::run(steps::root(), ledger::Show::Counts),
        ["ledger", "--full"] => ledger::run(steps::root(), ledger::Show::Everything),
        ["ledger", "--write"] => ledger::write(steps::root()),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
