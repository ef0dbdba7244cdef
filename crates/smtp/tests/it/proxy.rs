//! The example `proxy`, between real sockets: what the next server says is what its client hears.

use postrider_core::Text;
use postrider_io::Tls;
use postrider_smtp::client::{Outcome, RefusedAt};
use postrider_smtp::server::Config;
use postrider_smtp::tokio::{TestServer, send};
use postrider_smtp::{Accepted, Envelope, ForwardPath, Mailbox, Refusal, Remote};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

#[path = "../../examples/proxy.rs"]
#[allow(dead_code, reason = "its main is not called")]
mod example;

async fn proxy(there: SocketAddr) -> (Remote, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("it listens").port();
    let task = tokio::spawn(async move {
        let _ = example::relay(listener, there.to_string()).await;
    });
    (Remote::plaintext("127.0.0.1", port).expect("an address"), task)
}

fn judge(to: &ForwardPath) -> Result<Accepted, Refusal> {
    match to.as_str() {
        "nobody@mx.example" => Err(Refusal::permanent(550, (1, 1), Text::literal("No such mailbox"))),
        "busy@mx.example" => Err(Refusal::transient(450, (2, 1), Text::literal("Busy"))),
        _ => Ok(Accepted::default()),
    }
}

fn envelope(to: &[&str]) -> Envelope {
    let mailbox = |text: &str| Mailbox::parse(text).expect("an address");
    to.iter().fold(Envelope::new(mailbox("a@client.example")), |envelope, to| envelope.and_to(mailbox(to)))
}

#[tokio::test]
async fn the_proxy_passes_on_each_answer_and_every_octet() {
    let config = Config::new("next.example".parse().expect("a name"));
    let mut next = TestServer::start_with(config, Tls::None, judge).await.expect("a port");
    let (remote, task) = proxy(next.address()).await;
    // More than all buffers on the way hold.
    let message = [&b"Subject: Hi\r\n\r\n"[..], &b".0123456789abcde\r\n".repeat(100_000)].concat();
    let to = ["x@mx.example", "nobody@mx.example", "busy@mx.example", "y@mx.example"];
    let outcomes = send(&remote, envelope(&to), message.clone()).await.expect("a transaction");
    assert!(outcomes[0].is_delivered() && outcomes[3].is_delivered(), "{outcomes:?}");
    for (outcome, code, said) in [(&outcomes[1], 550, "No such mailbox"), (&outcomes[2], 450, "Busy")] {
        let Outcome::Refused { at: RefusedAt::Rcpt, reply } = outcome else { panic!("{outcome:?}") };
        assert_eq!(reply.code().number(), code);
        assert!(reply.to_string().contains(said), "{reply}");
    }
    let received = next.next().await;
    assert_eq!(received.from.as_str(), "a@client.example");
    let accepted: Vec<&str> = received.recipients.iter().map(|to| to.as_str()).collect();
    assert_eq!(accepted, ["x@mx.example", "y@mx.example"]);
    assert!(received.message == message, "octet for octet");
    // Nobody is accepted: the next server gets no message.
    let outcomes = send(&remote, envelope(&["nobody@mx.example"]), "Hi\r\n").await.expect("a transaction");
    assert!(matches!(&outcomes[0], Outcome::Refused { at: RefusedAt::Rcpt, reply } if reply.is_permanent()));
    assert!(next.try_next().is_none());
    task.abort();
}

#[tokio::test]
async fn the_proxy_says_what_its_next_server_cannot_do() {
    let mut config = Config::new("next.example".parse().expect("a name"));
    config.limits.message = 1000;
    let mut next = TestServer::start_with(config, Tls::None, judge).await.expect("a port");
    let (remote, task) = proxy(next.address()).await;
    let large = envelope(&["x@mx.example"]).with_size(2000);
    let outcomes = send(&remote, large, vec![b'x'; 2000]).await.expect("a transaction");
    let Outcome::Refused { at: RefusedAt::Mail, reply } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(reply.to_string().starts_with("554 5.3.4"), "{reply}");
    // What it refuses only when it has read it is told as well.
    let larger_than_said = envelope(&["x@mx.example"]).with_size(500);
    let outcomes = send(&remote, larger_than_said, vec![b'x'; 1500]).await.expect("a transaction");
    let Outcome::Refused { at: RefusedAt::Message, reply } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(reply.code().number(), 552);
    assert!(next.try_next().is_none());
    task.abort();
}
