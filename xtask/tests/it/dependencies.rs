//! What the library crates may depend on.

use std::path::Path;
use std::process::Command;

/// The crates below crates/ that leave sockets, threads and clocks to others.
const SANS_IO: [&str; 7] = ["core", "sasl", "smtp", "imap", "pop3", "mta", "message"];
/// What would bring them in.
const RUNTIMES: [&str; 6] = ["tokio", "mio", "socket2", "async-io", "smol", "rustls"];

/// The names of the packages that `package` is built from, itself included.
fn tree(package: &str, more: &[&str]) -> Vec<String> {
    let found = Command::new(env!("CARGO"))
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(more)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .expect("cargo runs");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let lines = String::from_utf8(found.stdout).expect("cargo prints UTF-8");
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[track_caller]
fn assert_no_runtime(package: &str, more: &[&str]) {
    let names = tree(package, more);
    assert!(names.iter().any(|name| name == package), "cargo tree did not show {package} itself: {names:?}");
    for runtime in RUNTIMES {
        assert!(!names.iter().any(|name| name == runtime), "{package} {more:?} depends on {runtime}");
    }
}

#[test]
fn protocol_crates_bring_no_runtime() {
    for name in SANS_IO {
        assert_no_runtime(&format!("postrider-{name}"), &[]);
    }
}

#[test]
fn protocol_crates_without_std_bring_no_runtime() {
    for name in SANS_IO {
        assert_no_runtime(&format!("postrider-{name}"), &["--no-default-features"]);
    }
}

#[test]
fn the_planner_with_dns_messages_brings_no_runtime() {
    assert_no_runtime("postrider-mta", &["--features", "hickory,serde"]);
}

#[test]
fn the_driver_without_features_brings_no_runtime() {
    assert_no_runtime("postrider-io", &["--no-default-features"]);
}

#[test]
fn what_protocols_stand_on_does_not_know_them() {
    for name in ["core", "sasl", "store"] {
        let names = tree(&format!("postrider-{name}"), &[]);
        for protocol in ["smtp", "imap", "pop3"] {
            let protocol = format!("postrider-{protocol}");
            assert!(!names.contains(&protocol), "postrider-{name} depends on {protocol}");
        }
    }
}
