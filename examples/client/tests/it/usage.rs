//! Wrong use, and what it says then.

use std::process::Command;

use crate::{assert_failed, postrider};

#[track_caller]
fn assert_fails(command: &mut Command, code: i32, words: &[&str]) {
    assert_failed(&command.output().expect("it runs"), code, words);
}

#[test]
fn a_wrong_command_line_is_64() {
    assert_fails(&mut postrider(&[]), 64, &["Usage"]);
    assert_fails(&mut postrider(&["frobnicate"]), 64, &["frobnicate"]);
    assert_fails(&mut postrider(&["list"]), 64, &["--imap imaps://USER@HOST"]);
    assert_fails(&mut postrider(&["list", "--imap", "imaps://u:p@h"]), 64, &["--password-file"]);
    assert_fails(&mut postrider(&["list", "--imap", "smtps://u@h"]), 64, &["imaps://"]);
    assert_fails(&mut postrider(&["list", "--imap", "imap://u@h"]), 64, &["--starttls"]);
    assert_fails(&mut postrider(&["list", "--imap", "imaps://u@h", "--starttls"]), 64, &["--starttls"]);
    assert_fails(&mut postrider(&["pop", "x", "--pop3", "pop3s://h"]), 64, &["USER@h"]);
}

#[test]
fn help_and_version_are_no_failure() {
    for argument in ["--help", "--version"] {
        let output = postrider(&[argument]).output().expect("it runs");
        assert!(output.status.success() && !output.stdout.is_empty() && output.stderr.is_empty());
    }
}

#[test]
fn without_a_terminal_nobody_is_asked_for_a_password() {
    assert_fails(&mut postrider(&["list", "--imap", "imaps://u@127.0.0.1:1"]), 64, &["POSTRIDER_PASSWORD"]);
}

#[test]
fn a_password_must_be_there() {
    let with = |option: &str, value: &str| postrider(&["list", "--imap", "imaps://u@127.0.0.1:1", option, value]);
    assert_fails(&mut with("--password-file", "/nowhere/at/all"), 66, &["/nowhere/at/all"]);
    assert_fails(&mut with("--password-command", "exit 3"), 77, &["--password-command"]);
    assert_fails(&mut with("--password-command", "echo"), 65, &["empty"]);
}

#[test]
fn a_certificate_file_must_be_one() {
    let list = |ca: &str| {
        let mut command = postrider(&["list", "--imap", "imaps://u@127.0.0.1:1", "--ca", ca]);
        command.env("POSTRIDER_PASSWORD", "x");
        command
    };
    assert_fails(&mut list("/nowhere.pem"), 66, &["/nowhere.pem"]);
    assert_fails(&mut list(env!("CARGO_MANIFEST_PATH")), 65, &["CERTIFICATE"]);
}

#[test]
fn an_unknown_host_is_68_and_a_closed_port_69() {
    let list = |url: &str| {
        let mut command = postrider(&["list", "--imap", url]);
        command.env("POSTRIDER_PASSWORD", "x");
        command
    };
    // RFC 6761, 6.4: never there.
    assert_fails(&mut list("imaps://u@host.invalid"), 68, &["host.invalid"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    assert_fails(&mut list(&format!("imaps://u@127.0.0.1:{port}")), 69, &[&port.to_string()]);
}
