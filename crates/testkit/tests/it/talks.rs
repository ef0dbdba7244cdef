//! The player: what is right passes, and every kind of wrong is told.

use crate::echo::EchoAdapter;
use postrider_testkit::{play, rewrite, talk};

postrider_testkit::talks!(the_directory_plays, "tests/talks/echo", EchoAdapter);

fn failure(text: &str) -> String {
    match play::<EchoAdapter>(text) {
        Ok(how) => panic!("this should fail, and it was {how:?}:\n{text}"),
        Err(why) => why,
    }
}

#[test]
fn a_wrong_line_is_shown_beside_the_right_one() {
    let why = failure("server\nS: hello\nC: a\n? line a = yes\nS: b\n");
    assert!(why.contains("-> ") && why.contains("5 S: b") && why.contains("+     S: a"), "{why}");
}

#[test]
fn what_is_not_written_is_noticed() {
    assert!(failure("server\nC: a\n? line a = yes\nS: a\n").contains("something came that is not written"));
    assert!(failure("server\nS: hello\n> say more\n").contains("something came that is not written"));
    assert!(failure("server\nS: hello\nC: a\n").contains("`? line a` was asked"));
    assert!(failure("server\nS: hello\nC: a\nS: a\n").contains("these octets did not come"));
    assert!(failure("server\nS: hello\n! closed eof\n").contains("this was not reported"));
    assert!(failure("server\nS: hello\n? line a = yes\n").contains("this was not asked"));
    assert!(failure("server\nS: hello\n~ tls\n").contains("does not want TLS"));
}

#[test]
fn a_reply_before_the_answer_is_noticed() {
    // The reply is on the wire only after the answer, so expecting it before must fail.
    assert!(failure("server\nS: hello\nC: a\nS: a\n? line a = yes\n").contains("4 S: a"));
}

#[test]
fn a_session_that_depends_on_cuts_is_found() {
    let why = failure("server cut-fault\nS: hello\nC: abc\n? line abc = yes\nS: abc\n");
    assert!(why.contains("byte by byte"), "{why}");
}

#[test]
fn mistakes_in_the_talk_are_sentences() {
    assert!(failure("S: hello\n").contains("neither a `server` nor a `client` line"));
    assert!(failure("server\nX: hello\n").contains("line 2"));
    assert!(failure("server colour=red\nS: hello\n").contains("colour"));
    assert!(failure("server\nS: hello\nC: a\n? line a = perhaps\n").contains("\"perhaps\" is not an answer"));
    assert!(talk::Talk::parse("server\nC< \\q\n").is_err());
    assert!(talk::duration("5 minutes").is_err());
}

#[test]
fn rewriting_fills_in_what_the_session_says() {
    let written = rewrite::<EchoAdapter>("server\n# Say it.\nS: wrong\nC: a\nC: bye\n! nonsense\n").unwrap();
    assert_eq!(written, "server\n# Say it.\nS: hello\nC: a\nC: bye\n? line a = yes\nS: a\nS: bye\n! closed by-peer\n");
    play::<EchoAdapter>(&written).unwrap();
}
