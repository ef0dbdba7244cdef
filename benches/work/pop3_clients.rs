//! Whole clients, over a pipe, with one server: from the greeting to the last octet. "plain copy" reads as much from such a
//! pipe and looks for no end.
//!
//! Beside ours is async-pop. Of the other clients there are, `pop3` asks for an OpenSSL of before 2018 and does not build
//! with today's, and `rust-pop3-client` is under the MPL and is not used here.

use std::hint::black_box;
use std::sync::Arc;

use postrider_benches::{pop3_list, pop3_uidl, smtp_data, text};
use postrider_core::Secret;
use postrider_io::Tls;
use postrider_pop3::client::Config;
use postrider_pop3::tokio::Connection;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::runtime::Runtime;

use super::{Amount, Work};

/// Messages in the maildrop.
const COUNT: usize = 100_000;
/// Octets in a message.
const SIZE: usize = 8 << 20;
/// Octets in the pipe: as much as a socket often holds.
const PIPE: usize = 64 << 10;

/// Each makes its input when it is called, and work of one group.
pub const GROUPS: [fn() -> Vec<Work>; 4] = [
    || retr("pop3 client: RETR of 8 MiB", 5),
    || retr("pop3 client: RETR of 8 MiB, every line dotted", 1000),
    || listing("pop3 client: LIST of 100,000", pop3_list(COUNT), Asked::List),
    || listing("pop3 client: UIDL of 100,000", pop3_uidl(COUNT), Asked::Uidl),
];

#[derive(Clone, Copy)]
enum Asked {
    List,
    Uidl,
}

/// The client's end of a pipe, at whose other end a server is: it says the same to all that lines follow.
fn server(lines: &'static [u8]) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    tokio::spawn(async move {
        let mut stream = BufReader::new(ours);
        let mut command = String::new();
        stream.write_all(b"+OK ready\r\n").await?;
        while stream.read_line(&mut command).await? > 0 {
            stream.write_all(b"+OK\r\n").await?;
            match &command[..4] {
                "CAPA" => stream.write_all(b"USER\r\nUIDL\r\nTOP\r\n.\r\n").await?,
                "LIST" | "UIDL" | "RETR" => stream.write_all(lines).await?,
                _ => {}
            }
            command.clear();
        }
        std::io::Result::Ok(())
    });
    theirs
}

async fn ours(lines: &'static [u8]) -> Connection<DuplexStream> {
    let mut config = Config::default();
    config.dangerous_plaintext_login = true; // There is no wire here that somebody could read.
    let mut client = Connection::open(server(lines), Tls::None, Arc::new(config), 1).await.expect("it answers");
    client.login("ann", Secret::new("secret".to_owned())).await.expect("it lets us in");
    client
}

async fn async_pop(lines: &'static [u8]) -> async_pop::Client<DuplexStream> {
    let mut client = async_pop::new(server(lines)).await.expect("it answers");
    client.login("ann", "secret").await.expect("it lets us in");
    client
}

/// Takes the same out of a pipe.
async fn copied(lines: &'static [u8]) -> Vec<u8> {
    let (mut ours, mut theirs) = tokio::io::duplex(PIPE);
    tokio::spawn(async move { ours.write_all(lines).await });
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).await.expect("a pipe");
    all
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn retr(group: &'static str, dots: u64) -> Vec<Work> {
    let wire: &'static [u8] = smtp_data(SIZE, dots).leak();
    let original: &'static [u8] = text(11, SIZE, dots).leak();
    let size = original.len();
    let amount = Amount::Octets(wire.len() as u64);
    let fetch = move || async move {
        let mut message = Vec::new();
        ours(wire).await.retrieve(1, |octets| message.extend_from_slice(&octets)).await.expect("a message");
        message
    };
    assert!(runtime().block_on(fetch()) == original, "the dots are gone");
    let (first, second, third) = (runtime(), runtime(), runtime());
    vec![
        Work::new(group, "postrider", amount, move || first.block_on(async { black_box(fetch().await).len() })),
        // Who keeps nothing of the dots that were added would have `size`; it keeps all.
        Work::new(group, "async-pop", amount, move || {
            second
                .block_on(async { black_box(async_pop(wire).await.retr(1).await.expect("a message")).len().min(size) })
        }),
        Work::new(group, "plain copy", amount, move || {
            third.block_on(async { black_box(copied(wire).await).len().min(size) })
        }),
    ]
}

fn listing(group: &'static str, lines: Vec<u8>, asked: Asked) -> Vec<Work> {
    let wire: &'static [u8] = [lines, b".\r\n".to_vec()].concat().leak();
    let amount = Amount::Items(COUNT as u64, wire.len() as u64);
    let (first, second, third) = (runtime(), runtime(), runtime());
    vec![
        Work::new(group, "postrider", amount, move || {
            first.block_on(async {
                let mut client = ours(wire).await;
                match asked {
                    Asked::List => black_box(client.list().await.expect("sizes")).len(),
                    Asked::Uidl => black_box(client.unique_ids().await.expect("ids")).len(),
                }
            })
        }),
        Work::new(group, "async-pop", amount, move || {
            use async_pop::response::{list::ListResponse, uidl::UidlResponse};
            second.block_on(async {
                let mut client = async_pop(wire).await;
                match asked {
                    Asked::List => match client.list(None).await.expect("sizes") {
                        ListResponse::Multiple(list) => black_box(list).items().len(),
                        ListResponse::Single(_) => 1,
                    },
                    Asked::Uidl => match client.uidl(None).await.expect("ids") {
                        UidlResponse::Multiple(list) => black_box(list).items().len(),
                        UidlResponse::Single(_) => 1,
                    },
                }
            })
        }),
        Work::new(group, "plain copy", amount, move || {
            third.block_on(async { black_box(copied(wire).await).len().min(COUNT) })
        }),
    ]
}
