//! Evil peers on sockets.

use postrider_testkit::evil::{call, pop3};
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

#[test]
fn a_call_ends_when_the_server_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = std::thread::spawn(move || listener.accept().expect("a caller").0.write_all(b"-ERR too busy\r\n"));
    let talked = call(&pop3::client(), address, Duration::from_secs(60)).expect("it is reached");
    server.join().expect("it does not panic").expect("written");
    assert!(talked.ended, "the time was not over");
    assert_eq!(talked.heard, b"-ERR too busy\r\n");
}
