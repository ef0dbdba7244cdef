//! The DNS of the demonstration: a few names, served on loopback.

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, MX};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;

/// Seconds for which answers hold.
const TTL: u32 = 60;

/// Names and their records. Whatever is not there does not exist.
pub struct Zone(BTreeMap<Name, Vec<RData>>);

impl Zone {
    /// A domain, its mail exchange `mx.DOMAIN`, and the address of that.
    pub fn with_mail_for(domains: &[(&str, Ipv4Addr)]) -> Self {
        let mut names = BTreeMap::new();
        for (domain, address) in domains {
            let name = |text: String| Name::from_ascii(text).expect("the demonstration's names are names");
            let exchange = name(format!("mx.{domain}."));
            names.insert(name(format!("{domain}.")), vec![RData::MX(MX::new(10, exchange.clone()))]);
            names.insert(exchange, vec![RData::A(A(*address))]);
        }
        Self(names)
    }

    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let mut message =
            Message::from_vec(question).ok().filter(|it| it.metadata.message_type == MessageType::Query)?;
        let query = message.queries.first()?.clone();
        message.take_all_sections().for_each(drop);
        message.metadata.message_type = MessageType::Response;
        message.metadata.authoritative = true;
        message.metadata.response_code = ResponseCode::NoError;
        match self.0.get(&query.name().to_lowercase()) {
            Some(records) => {
                let wanted = |data: &&RData| match query.query_type() {
                    RecordType::ANY => true,
                    wanted => data.record_type() == wanted,
                };
                for data in records.iter().filter(wanted) {
                    message.add_answer(Record::from_rdata(query.name().clone(), TTL, data.clone()));
                }
            }
            None => message.metadata.response_code = ResponseCode::NXDomain,
        }
        message.to_vec().ok()
    }
}

/// Serves `zone` on a free port of loopback, as long as the runtime lives.
pub async fn serve(zone: Zone) -> io::Result<SocketAddr> {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut datagram = [0; 1500];
        while let Ok((size, peer)) = socket.recv_from(&mut datagram).await {
            if let Some(answer) = zone.answer(&datagram[..size]) {
                // Whoever asked and is gone needs no answer.
                let _ = socket.send_to(&answer, peer).await;
            }
        }
    });
    Ok(address)
}
