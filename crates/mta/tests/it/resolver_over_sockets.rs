//! The resolver on tokio, against a server on the loopback interface.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::rdata::{A, MX};
use hickory_proto::rr::{Name as DnsName, RData, Record as DnsRecord, RecordType as DnsType};
use postrider_mta::dns::{Record, RecordType, ResolverConfig};
use postrider_mta::tokio::Dns;
use postrider_mta::{Destination, Name, Routing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// Answers MX and A; the answers about `long.example` fit TCP only.
fn answer(octets: &[u8], tcp: bool) -> Vec<u8> {
    let question = Message::from_vec(octets).unwrap();
    let query = question.queries[0].clone();
    let mut message = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    message.add_query(query.clone());
    if query.name.to_ascii() == "long.example." && !tcp {
        message.metadata.truncation = true;
        return message.to_vec().unwrap();
    }
    let mx = DnsName::from_str("mx.example.").unwrap();
    let data = match query.query_type {
        DnsType::MX => Some(RData::MX(MX::new(10, mx))),
        DnsType::A => Some(RData::A(A([192, 0, 2, 25].into()))),
        _ => None,
    };
    message.add_answers(data.map(|data| DnsRecord::from_rdata(query.name.clone(), 60, data)));
    message.to_vec().unwrap()
}

/// A server on a free port, UDP and TCP.
async fn serve() -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            udp.send_to(&answer(&buffer[..length], false), from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; length.into()];
            stream.read_exact(&mut question).await.unwrap();
            let answer = answer(&question, true);
            stream.write_u16(answer.len() as u16).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn finds_records_over_udp_and_tcp_and_whole_routes() {
    let dns = Dns::start(ResolverConfig::new(vec![serve().await]), [3; 16]);
    for name in ["short.example", "long.example"] {
        let answer = dns.lookup(Name::new(name).unwrap(), RecordType::A).await.unwrap();
        assert_eq!(answer.records, [Record::A([192, 0, 2, 25].into())]);
    }
    let to = Destination::Domain(Name::new("long.example").unwrap());
    let route = dns.route(&to, Arc::new(Routing::default()), [0; 16]).await.unwrap();
    assert_eq!(route.exchanges[0].name, Some(Name::new("mx.example").unwrap()));
    assert_eq!(route.exchanges[0].addresses.len(), 1);
}
