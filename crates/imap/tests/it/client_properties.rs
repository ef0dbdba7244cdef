//! Whatever a server sends, and however the network cuts it: no panic, the same events, bounded memory.

use postrider_core::{Instant, Machine, Session, Step};
use postrider_imap::client::{Client, Config, Event};
use postrider_imap::wire::*;
use proptest::collection::vec;
use proptest::prelude::*;

use super::wire_properties::response;

const UNIT: usize = 64 * 1024;

/// What a client with three commands in progress reports and sends when it is given `wire`, `step` octets at a time.
fn run(wire: &[u8], step: usize) -> (Vec<String>, Vec<u8>) {
    let mut config = Config::default().dangerous_plaintext_preauth();
    config.ask_capabilities = false;
    config.limits.inline = 16;
    config.limits.response = FrameLimits::new(UNIT, 50);
    let mut client = Client::new(config, 1);
    let mut events: Vec<String> = vec![];
    let mut body: Vec<u8> = vec![];
    let mut poll = |client: &mut Client| {
        while let Step::Event(event) = client.poll(Instant::ORIGIN) {
            if let Event::Body(octets) = event {
                body.extend(octets);
                continue;
            }
            if !body.is_empty() {
                events.push(format!("body {}", core::mem::take(&mut body).escape_ascii()));
            }
            events.push(format!("{event:?}"));
        }
    };
    assert_eq!(client.receive(b"* PREAUTH hi\r\n"), 14);
    poll(&mut client);
    for name in ["a", "b", "c"] {
        let items = StatusItems::EMPTY.with(StatusItem::Messages);
        client.command(Command::Status { mailbox: Mailbox::new(name).unwrap(), items }).unwrap();
    }
    poll(&mut client);
    for mut piece in wire.chunks(step) {
        while !piece.is_empty() && client.window() > 0 {
            assert!(client.window() <= 2 * UNIT);
            let taken = client.receive(piece);
            piece = &piece[taken..];
            poll(&mut client);
        }
    }
    client.receive_eof();
    poll(&mut client);
    if !body.is_empty() {
        events.push(format!("body {}", body.escape_ascii()));
    }
    let mut output = vec![];
    while !client.output().is_empty() {
        output.extend_from_slice(client.output());
        client.sent(client.output().len());
    }
    assert!(client.is_finished());
    (events, output)
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => response().prop_map(|response| {
            let mut out = Encoder::responses(Dialect::REV1);
            response.encode(&mut out);
            out.to_bytes().to_vec()
        }),
        2 => "p[0-4] (OK|NO|BAD) [a-z ]{0,9}\r\n".prop_map(String::into_bytes),
        2 => "(\\* [0-9]{1,3} FETCH \\(BODY\\[\\] \\{[0-9]{1,2}\\}\r\n|[ -~]{0,30}\r?\n|\\+ ?\r\n|\\* BYE x\r\n)".prop_map(String::into_bytes),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn cuts_do_not_matter(
        wire in stream(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3), step in 1usize..50
    ) {
        let mut wire = wire;
        for (at, byte) in damage {
            if !wire.is_empty() {
                let at = at.index(wire.len());
                wire[at] = byte;
            }
        }
        let whole = run(&wire, usize::MAX);
        prop_assert_eq!(&run(&wire, step), &whole);
        prop_assert_eq!(&run(&wire, 1), &whole);
    }
}
