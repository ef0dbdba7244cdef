//! Between our questions and answers and the messages of hickory-proto.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{self, DNSClass, RData};

use super::{Answer, DnsFailure, Record, RecordType};
use crate::Name;

/// What a message said about a question.
#[derive(Debug)]
pub(super) enum Reading {
    /// It is not an answer to this question: somebody guesses, or it comes late. Go on waiting.
    NotOurs,
    /// Cut short; ask again over TCP (RFC 7766, 5).
    Truncated,
    /// The server did not understand EDNS (RFC 6891, 7); ask again without.
    NoEdns,
    /// This server cannot say. Another may.
    Failed(DnsFailure),
    /// A positive answer.
    Found(Answer),
    /// A negative answer, and how long it holds, if it says so (RFC 2308, 5).
    Missing(DnsFailure, Option<Duration>),
    /// The chain of aliases leads out of this message to this name.
    Alias {
        target: Name,
        /// Aliases followed.
        steps: usize,
        ttl: Duration,
        authentic: bool,
    },
}

fn hickory_type(record: RecordType) -> rr::RecordType {
    match record {
        RecordType::A => rr::RecordType::A,
        RecordType::Aaaa => rr::RecordType::AAAA,
        RecordType::Mx => rr::RecordType::MX,
        RecordType::Txt => rr::RecordType::TXT,
        RecordType::Cname => rr::RecordType::CNAME,
    }
}

fn hickory_name(name: &Name) -> rr::Name {
    let labels = name.as_str().split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
    rr::Name::from_labels(labels).expect("a Name has labels of 1 to 63 octets and at most 253 in all")
}

/// `None` if the name holds what no mail system uses.
fn our_name(name: &rr::Name) -> Option<Name> {
    let mut text = String::new();
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        // A dot within a label is not a separator.
        if label.contains(&b'.') {
            return None;
        }
        text.push_str(core::str::from_utf8(label).ok()?);
    }
    Name::new(&text).ok()
}

/// The question as a message. `edns` is the UDP payload that we take, if EDNS is used.
pub(super) fn question(id: u16, name: &Name, record: RecordType, edns: Option<u16>, trusted: bool) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    // RFC 6840, 5.7: the AD bit in a question says that we want to know.
    message.metadata.authentic_data = trusted;
    message.add_query(Query::query(hickory_name(name), hickory_type(record)));
    if let Some(payload) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message.to_vec().expect("one question fits any message")
}

/// The two octets that begin every message.
pub(super) fn id_of(octets: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*octets.first()?, *octets.get(1)?]))
}

/// What `octets` say about the question that was asked with `id`. At most `most` records are taken, at most
/// `most_aliases` aliases followed.
pub(super) fn read(
    octets: &[u8],
    id: u16,
    name: &Name,
    record: RecordType,
    most: usize,
    most_aliases: usize,
) -> Reading {
    if id_of(octets) != Some(id) {
        return Reading::NotOurs;
    }
    let Ok(message) = Message::from_vec(octets) else {
        return Reading::Failed(DnsFailure::Malformed);
    };
    let head = &message.metadata;
    if head.message_type != MessageType::Response || head.op_code != OpCode::Query {
        return Reading::NotOurs;
    }
    let asked_for = |query: &Query| {
        query.query_class == DNSClass::IN
            && query.query_type == hickory_type(record)
            && our_name(&query.name).as_ref() == Some(name)
    };
    match &message.queries[..] {
        [query] if asked_for(query) => {}
        // Servers that could not read the question cannot repeat it.
        [] if head.response_code == ResponseCode::FormErr => {}
        _ => return Reading::NotOurs,
    }
    if head.truncation {
        return Reading::Truncated;
    }
    let exists = match head.response_code {
        ResponseCode::NoError => true,
        ResponseCode::NXDomain => false,
        ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS => return Reading::NoEdns,
        ResponseCode::ServFail => return Reading::Failed(DnsFailure::ServerFailure),
        _ => return Reading::Failed(DnsFailure::Refused),
    };

    // Follow the chain of aliases within the message; records of other names are none of ours.
    let mut owner = name.clone();
    let mut ttl = Duration::MAX;
    let mut steps = 0;
    if record != RecordType::Cname {
        while let Some((target, held)) = alias(&message, &owner) {
            steps += 1;
            if steps > most_aliases {
                return Reading::Failed(DnsFailure::TooManyAliases);
            }
            let Some(target) = target else { return Reading::Failed(DnsFailure::Malformed) };
            ttl = ttl.min(held);
            owner = target;
        }
    }
    let mut found = Answer { owner, records: Vec::new(), unusable: 0, ttl, authentic: head.authentic_data };
    for answer in message.answers.iter().filter(|answer| answer.dns_class == DNSClass::IN) {
        if answer.record_type() != hickory_type(record) || our_name(&answer.name).as_ref() != Some(&found.owner) {
            continue;
        }
        found.ttl = found.ttl.min(held(answer.ttl));
        match contents(&answer.data) {
            Some(contents) if found.records.len() < most => found.records.push(contents),
            Some(_) => break,
            None => found.unusable += 1,
        }
    }
    if !found.records.is_empty() || found.unusable > 0 {
        return Reading::Found(found);
    }
    let negative = negative_ttl(&message).map(|negative| negative.min(ttl));
    if !exists {
        // RFC 2308, 2.1: with aliases, it is the end of the chain that does not exist.
        return Reading::Missing(DnsFailure::NoSuchName, negative);
    }
    if steps > 0 && negative.is_none() {
        return Reading::Alias { target: found.owner, steps, ttl, authentic: found.authentic };
    }
    let refers = |authority: &rr::Record| matches!(authority.data, RData::NS(_));
    if negative.is_none() && message.authorities.iter().any(refers) {
        // RFC 2308, 2.2: a referral, not an absence. This server does not recurse for us.
        return Reading::Failed(DnsFailure::Refused);
    }
    Reading::Missing(DnsFailure::NoData, negative)
}

/// Where `owner` points, if it is an alias; the inner `None` for a target that is no name of ours.
fn alias(message: &Message, owner: &Name) -> Option<(Option<Name>, Duration)> {
    message.answers.iter().find_map(|answer| match &answer.data {
        RData::CNAME(target) if answer.dns_class == DNSClass::IN && our_name(&answer.name).as_ref() == Some(owner) => {
            Some((our_name(&target.0), held(answer.ttl)))
        }
        _ => None,
    })
}

fn contents(data: &RData) -> Option<Record> {
    Some(match data {
        RData::A(address) => Record::A(address.0),
        RData::AAAA(address) => Record::Aaaa(address.0),
        RData::MX(mx) => Record::Mx { preference: mx.preference, exchange: our_name(&mx.exchange)? },
        RData::TXT(text) => Record::Txt(text.txt_data.iter().flat_map(|part| part.iter().copied()).collect()),
        RData::CNAME(target) => Record::Cname(our_name(&target.0)?),
        _ => return None,
    })
}

/// RFC 2308, 5: the lesser of the SOA's own TTL and its last field.
fn negative_ttl(message: &Message) -> Option<Duration> {
    message.authorities.iter().find_map(|authority| match &authority.data {
        RData::SOA(soa) => Some(held(authority.ttl).min(held(soa.minimum))),
        _ => None,
    })
}

/// RFC 2181, 8: a TTL with its highest bit set counts as 0.
fn held(ttl: u32) -> Duration {
    Duration::from_secs(u64::from(if ttl > i32::MAX as u32 { 0 } else { ttl }))
}
