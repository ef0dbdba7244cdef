//! A server that takes all mail and prints it.
//!
//! `cargo run -p postrider-smtp --features tokio --example test_server`

use postrider_smtp::tokio::TestServer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut server = TestServer::start().await?;
    println!("listening at {}", server.address());
    loop {
        let received = server.next().await;
        println!("from {} to {:?}", received.from, received.recipients);
        println!("{}", String::from_utf8_lossy(&received.message));
    }
}
