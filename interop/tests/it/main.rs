//! Our programs and other people's, talking to each other.

mod client;
mod crash;
mod incoming;
mod library;
mod lmtp;
mod outgoing;
mod peers;
mod pop3;
mod pop3_crate;
mod receiving;
mod sending;
mod servers;
mod submission;
mod watching;
mod wrong;

use std::time::Duration;

use postrider_interop::clients::{self, Submit};
use postrider_interop::{Finished, Options};

/// How long a message may take from one server to the next.
const LIMIT: Duration = Duration::from_secs(60);
/// How long one of 150 MB may.
const LONG: Duration = Duration::from_secs(180);

/// Users of our server.
const ALICE: &str = "alice@ours.test";
const BOB: &str = "bob@ours.test";
/// A user of another server.
const CAROL: &str = "carol@far.test";
const SECRET: &str = "correct horse";

/// Every client that submits, with its name.
const SUBMITTERS: [(&str, Submit); 5] = [
    ("swaks", clients::swaks),
    ("curl", clients::curl_submit),
    ("msmtp", clients::msmtp),
    ("smtplib", clients::smtplib),
    ("nodemailer", clients::nodemailer),
];

/// A server for ours.test with Alice and Bob.
fn ours() -> Options {
    Options {
        domains: vec!["ours.test".into()],
        users: [ALICE, BOB].map(|user| (user.to_owned(), SECRET.to_owned())).to_vec(),
        ..Options::default()
    }
}

/// A program of ours that ended because of wrong input: checks its exit code, and that it printed one sentence with
/// these words and no backtrace.
#[track_caller]
fn assert_sentence(done: &Finished, code: i32, words: &[&str]) {
    assert_eq!(done.code(), code, "{done}");
    let said = done.stderr.trim();
    for word in words {
        assert!(said.contains(word), "{word:?} is not in what it said: {done}");
    }
    assert!(!said.contains("panicked") && said.lines().count() <= 3, "this is not a sentence: {done}");
}
