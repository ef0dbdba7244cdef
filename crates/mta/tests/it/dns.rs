//! The stub resolver, against servers made by hand: RFC 1035, 2308, 5452, 6891, 7766, 9520.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, NS, SOA, TXT};
use hickory_proto::rr::{Name as DnsName, RData, Record as DnsRecord};
use postrider_core::{Instant, Machine, Step};
use postrider_mta::Name;
use postrider_mta::dns::{
    Answer, DnsFailure, Event, ExchangeId, QueryId, Record, RecordType, Resolver, ResolverConfig, Transport,
};
use proptest::prelude::*;

/// A resolver with two servers, its clock, and what it has said.
struct Lab {
    resolver: Resolver,
    now: Instant,
    deadline: Option<Instant>,
    sent: Vec<(ExchangeId, SocketAddr, Transport, Vec<u8>)>,
    closed: Vec<ExchangeId>,
    answers: Vec<(QueryId, Result<Answer, DnsFailure>)>,
}

fn config() -> ResolverConfig {
    ResolverConfig::new(vec!["192.0.2.1:53".parse().unwrap(), "192.0.2.2:53".parse().unwrap()])
}

impl Lab {
    fn new(config: ResolverConfig) -> Self {
        let resolver = Resolver::new(config, *b"not so secret...");
        let (now, deadline) = (Instant::ORIGIN, None);
        Self { resolver, now, deadline, sent: vec![], closed: vec![], answers: vec![] }
    }

    fn run(&mut self) {
        loop {
            match self.resolver.poll(self.now) {
                Step::Event(Event::Send { exchange, server, transport, message }) => {
                    self.sent.push((exchange, server, transport, message.to_vec()));
                }
                Step::Event(Event::Close { exchange }) => self.closed.push(exchange),
                Step::Event(Event::Answered { query, result }) => self.answers.push((query, result)),
                Step::Idle { deadline } => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn ask(&mut self, name: &str, record: RecordType) -> QueryId {
        let query = self.resolver.query(Name::new(name).unwrap(), record);
        self.run();
        query
    }

    /// Lets time pass until the deadline.
    fn wait(&mut self) {
        self.now = self.deadline.expect("something is waited for");
        self.run();
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self.run();
    }

    /// The question sent last.
    fn question(&self) -> Message {
        let (_, _, transport, octets) = self.sent.last().expect("something was sent");
        Message::from_vec(if *transport == Transport::Tcp { &octets[2..] } else { octets }).unwrap()
    }

    /// Answers the question sent last.
    fn reply(&mut self, build: impl FnOnce(&mut Message)) {
        let question = self.question();
        let mut message = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        message.add_queries(question.queries.iter().cloned());
        build(&mut message);
        let octets = message.to_vec().unwrap();
        self.deliver(&octets);
    }

    fn deliver(&mut self, octets: &[u8]) {
        let (exchange, _, transport, _) = *self.sent.last().map(|(e, s, t, o)| (e, s, t, o)).as_ref().unwrap();
        match transport {
            Transport::Udp => self.resolver.receive(*exchange, octets),
            Transport::Tcp => {
                // In single octets, the length included.
                let exchange = *exchange;
                for octet in (octets.len() as u16).to_be_bytes().iter().chain(octets) {
                    self.resolver.receive(exchange, &[*octet]);
                }
            }
        }
        self.run();
    }

    fn answer(&mut self) -> Result<Answer, DnsFailure> {
        let (_, answer) = self.answers.pop().expect("the question was answered");
        assert_eq!(self.answers, [], "and only this one");
        answer
    }
}

fn dns(name: &str) -> DnsName {
    DnsName::from_str(name).unwrap()
}

fn record(owner: &str, ttl: u32, data: RData) -> DnsRecord {
    DnsRecord::from_rdata(dns(owner), ttl, data)
}

fn a(owner: &str, ttl: u32, address: [u8; 4]) -> DnsRecord {
    record(owner, ttl, RData::A(A(address.into())))
}

fn cname(owner: &str, ttl: u32, target: &str) -> DnsRecord {
    record(owner, ttl, RData::CNAME(CNAME(dns(target))))
}

fn soa(ttl: u32, minimum: u32) -> DnsRecord {
    record("example.", ttl, RData::SOA(SOA::new(dns("ns.example."), dns("h.example."), 1, 2, 3, 4, minimum)))
}

#[test]
fn asks_over_udp_with_recursion_and_edns() {
    let mut lab = Lab::new(config());
    lab.ask("Example.ORG", RecordType::Mx);
    let question = lab.question();
    assert!(question.metadata.recursion_desired);
    assert_eq!(question.edns.as_ref().unwrap().max_payload(), 1232);
    assert_eq!(question.queries[0].name.to_ascii(), "example.org.");
    assert_eq!(lab.sent[0].1, "192.0.2.1:53".parse().unwrap());
    assert_eq!(lab.sent[0].2, Transport::Udp);
    lab.reply(|m| {
        m.add_answer(record("example.org.", 60, RData::MX(MX::new(10, dns("MX.example.org.")))));
        m.add_answer(a("unrelated.example.org.", 60, [192, 0, 2, 66]));
    });
    let answer = lab.answer().unwrap();
    assert_eq!(answer.records, [Record::Mx { preference: 10, exchange: Name::new("mx.example.org").unwrap() }]);
    assert_eq!(answer.ttl, Duration::from_secs(60));
    assert_eq!(lab.closed, [lab.sent[0].0]);
    assert_eq!(lab.resolver.open_exchanges(), 0);
}

#[test]
fn ids_are_not_in_order() {
    let mut lab = Lab::new(config());
    for n in 0..50 {
        lab.ask(&format!("n{n}.example"), RecordType::A);
    }
    let ids: Vec<u16> = lab.sent.iter().map(|(_, _, _, o)| u16::from_be_bytes([o[0], o[1]])).collect();
    let neighbours = ids.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 16).count();
    assert!(neighbours < 5, "{ids:?}");
}

#[test]
fn what_does_not_answer_the_question_is_ignored() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::A);
    let id = lab.question().metadata.id;
    // Another id, another name, another type, a question instead of an answer, garbage without the id.
    let forged = |id, name: &str, kind, answer: MessageType| {
        let mut m = Message::new(id, answer, OpCode::Query);
        m.add_query(hickory_proto::op::Query::query(dns(name), kind));
        m.add_answer(a(name, 60, [192, 0, 2, 66]));
        m.to_vec().unwrap()
    };
    use hickory_proto::rr::RecordType::{A as TypeA, AAAA as TypeAaaa};
    for octets in [
        forged(id.wrapping_add(1), "d.example.", TypeA, MessageType::Response),
        forged(id, "e.example.", TypeA, MessageType::Response),
        forged(id, "d.example.", TypeAaaa, MessageType::Response),
        forged(id, "d.example.", TypeA, MessageType::Query),
        vec![],
        vec![0],
    ] {
        lab.deliver(&octets);
        assert_eq!(lab.answers, []);
    }
    lab.reply(|m| m.answers.push(a("d.example.", 60, [192, 0, 2, 1])));
    assert_eq!(lab.answer().unwrap().records, [Record::A([192, 0, 2, 1].into())]);
}

#[test]
fn a_cut_answer_is_asked_for_again_over_tcp() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::Txt);
    lab.reply(|m| m.metadata.truncation = true);
    let (_, server, transport, octets) = lab.sent[1].clone();
    assert_eq!((server, transport), ("192.0.2.1:53".parse().unwrap(), Transport::Tcp));
    assert_eq!(usize::from(u16::from_be_bytes([octets[0], octets[1]])), octets.len() - 2);
    let long = vec!["x".repeat(200); 20];
    lab.reply(|m| m.answers.push(record("d.example.", 60, RData::TXT(TXT::new(long)))));
    assert_eq!(lab.answer().unwrap().records, [Record::Txt(vec![b'x'; 4000])]);
    assert_eq!(lab.closed.len(), 2);
}

#[test]
fn negative_answers_are_told_apart() {
    let mut lab = Lab::new(config());
    lab.ask("gone.example", RecordType::A);
    lab.reply(|m| m.metadata.response_code = ResponseCode::NXDomain);
    assert_eq!(lab.answer(), Err(DnsFailure::NoSuchName));
    lab.ask("empty.example", RecordType::A);
    lab.reply(|_| {});
    assert_eq!(lab.answer(), Err(DnsFailure::NoData));
}

#[test]
fn a_referral_is_no_absence() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::Mx);
    for _ in 0..4 {
        assert_eq!(lab.answers, []);
        lab.reply(|m| m.authorities.push(record("example.", 60, RData::NS(NS(dns("ns.example."))))));
    }
    assert_eq!(lab.answer(), Err(DnsFailure::Refused));
}

#[test]
fn servers_take_turns_when_silent_and_the_one_that_answered_goes_first() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::A);
    lab.wait();
    assert_eq!(lab.now, Instant::after_origin(Duration::from_secs(3)));
    let servers: Vec<String> = lab.sent.iter().map(|(_, server, _, _)| server.ip().to_string()).collect();
    assert_eq!(servers, ["192.0.2.1", "192.0.2.2"]);
    lab.reply(|m| m.answers.push(a("d.example.", 60, [192, 0, 2, 1])));
    lab.answer().unwrap();
    lab.ask("e.example", RecordType::A);
    assert_eq!(lab.sent.last().unwrap().1.ip().to_string(), "192.0.2.2");
}

#[test]
fn silence_ends_and_is_remembered_for_a_moment() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::A);
    for _ in 0..4 {
        lab.wait();
    }
    assert_eq!(lab.answer(), Err(DnsFailure::TimedOut));
    // Two servers, two rounds, the second twice as patient.
    assert_eq!((lab.sent.len(), lab.now), (4, Instant::after_origin(Duration::from_secs(3 + 3 + 6 + 6))));
    assert_eq!(lab.deadline, None);
    lab.ask("d.example", RecordType::A);
    assert_eq!(lab.answer(), Err(DnsFailure::TimedOut));
    assert_eq!(lab.sent.len(), 4, "RFC 9520: not asked again at once");
    lab.pass(6);
    lab.ask("d.example", RecordType::A);
    assert_eq!(lab.sent.len(), 5);
}

#[test]
fn a_failing_server_is_passed_over_at_once() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::A);
    lab.reply(|m| m.metadata.response_code = ResponseCode::ServFail);
    lab.reply(|m| m.metadata.response_code = ResponseCode::Refused);
    assert_eq!(lab.now, Instant::ORIGIN);
    let exchange = lab.sent.last().unwrap().0;
    lab.resolver.failed(exchange);
    lab.run();
    lab.reply(|m| m.metadata.response_code = ResponseCode::ServFail);
    assert_eq!(lab.answer(), Err(DnsFailure::ServerFailure));
}

#[test]
fn a_server_without_edns_is_asked_without() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::A);
    lab.reply(|m| {
        m.metadata.response_code = ResponseCode::FormErr;
        m.queries.clear();
    });
    assert!(lab.question().edns.is_none());
    assert_eq!(lab.sent[1].1, lab.sent[0].1);
    lab.reply(|m| m.answers.push(a("d.example.", 60, [192, 0, 2, 1])));
    lab.answer().unwrap();
}

#[test]
fn an_unreadable_answer_counts_as_failure() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::A);
    let id = lab.question().metadata.id.to_be_bytes();
    lab.deliver(&[id[0], id[1], 0x80, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(lab.sent.len(), 2);
}

#[test]
fn aliases_are_followed_within_an_answer_and_across() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::A);
    lab.reply(|m| {
        m.add_answer(cname("d.example.", 300, "e.example."));
        m.add_answer(cname("e.example.", 30, "f.example."));
    });
    assert_eq!(lab.question().queries[0].name.to_ascii(), "f.example.");
    lab.reply(|m| m.answers.push(a("f.example.", 600, [192, 0, 2, 1])));
    let answer = lab.answer().unwrap();
    assert_eq!(answer.owner, Name::new("f.example").unwrap());
    assert_eq!(answer.ttl, Duration::from_secs(30), "the shortest of the chain");
}

#[test]
fn an_alias_to_nothing_is_an_absence() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::Mx);
    lab.reply(|m| {
        m.add_answer(cname("d.example.", 300, "e.example."));
        m.authorities.push(soa(60, 60));
    });
    assert_eq!(lab.answer(), Err(DnsFailure::NoData));
    lab.ask("f.example", RecordType::Mx);
    lab.reply(|m| {
        m.metadata.response_code = ResponseCode::NXDomain;
        m.add_answer(cname("f.example.", 300, "g.example."));
    });
    assert_eq!(lab.answer(), Err(DnsFailure::NoSuchName));
}

#[test]
fn alias_loops_end() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::A);
    lab.reply(|m| {
        m.add_answer(cname("d.example.", 300, "e.example."));
        m.add_answer(cname("e.example.", 300, "d.example."));
    });
    assert_eq!(lab.answer(), Err(DnsFailure::TooManyAliases));
    lab.ask("x.example", RecordType::A);
    let mut messages = 0;
    while lab.answers.is_empty() {
        let name = lab.question().queries[0].name.to_ascii();
        let other = if name == "x.example." { "y.example." } else { "x.example." };
        lab.reply(|m| m.answers.push(cname(&name, 300, other)));
        messages += 1;
    }
    assert_eq!((lab.answer(), messages), (Err(DnsFailure::TooManyAliases), 9));
}

#[test]
fn answers_are_remembered_for_their_time() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::A);
    lab.reply(|m| m.answers.push(a("d.example.", 100, [192, 0, 2, 1])));
    lab.answer().unwrap();
    lab.pass(40);
    lab.ask("D.example", RecordType::A);
    assert_eq!(lab.answer().unwrap().ttl, Duration::from_secs(60));
    assert_eq!(lab.sent.len(), 1);
    lab.pass(60);
    lab.ask("d.example", RecordType::A);
    assert_eq!(lab.sent.len(), 2);
}

#[test]
fn absences_are_remembered_only_if_they_say_for_how_long() {
    let mut lab = Lab::new(config());
    for (name, authority, asked_again) in [("a.example", Some(soa(600, 30)), false), ("b.example", None, true)] {
        lab.ask(name, RecordType::A);
        lab.reply(|m| {
            m.metadata.response_code = ResponseCode::NXDomain;
            m.authorities.extend(authority);
        });
        assert_eq!(lab.answer(), Err(DnsFailure::NoSuchName));
        let before = lab.sent.len();
        lab.pass(29);
        lab.ask(name, RecordType::A);
        assert_eq!(lab.sent.len() > before, asked_again, "{name}");
        lab.answers.clear();
    }
    lab.pass(31);
    let before = lab.sent.len();
    lab.ask("a.example", RecordType::A);
    assert_eq!(lab.sent.len(), before + 1);
}

#[test]
fn the_cache_and_open_questions_are_bounded() {
    let mut small = config();
    small.limits.cache = 10;
    small.limits.open = 5;
    let mut lab = Lab::new(small);
    for n in 0..100 {
        let name = format!("n{n}.example");
        lab.ask(&name, RecordType::A);
        lab.reply(|m| m.answers.push(a(&format!("{name}."), 100, [192, 0, 2, 1])));
        lab.answer().unwrap();
    }
    assert_eq!(lab.resolver.cached(), 10);
    for n in 0..6 {
        lab.ask(&format!("m{n}.example"), RecordType::A);
    }
    assert_eq!(lab.answer(), Err(DnsFailure::Busy));
}

#[test]
fn the_same_question_is_asked_once_for_all() {
    let mut lab = Lab::new(config());
    let first = lab.ask("d.example", RecordType::A);
    let second = lab.ask("d.example", RecordType::A);
    assert_eq!(lab.sent.len(), 1);
    lab.reply(|m| m.answers.push(a("d.example.", 100, [192, 0, 2, 1])));
    let who: Vec<QueryId> = lab.answers.iter().map(|(query, _)| *query).collect();
    assert_eq!(who, [first, second]);
}

#[test]
fn the_ad_bit_counts_only_from_a_trusted_server() {
    for trusted in [false, true] {
        let mut config = config();
        config.trusted = trusted;
        let mut lab = Lab::new(config);
        lab.ask("d.example", RecordType::A);
        assert_eq!(lab.question().metadata.authentic_data, trusted);
        lab.reply(|m| {
            m.metadata.authentic_data = true;
            m.add_answer(a("d.example.", 100, [192, 0, 2, 1]));
        });
        assert_eq!(lab.answer().unwrap().authentic, trusted);
    }
}

#[test]
fn a_null_exchange_is_the_root_and_odd_names_are_counted() {
    let mut lab = Lab::new(config());
    lab.ask("d.example", RecordType::Mx);
    lab.reply(|m| {
        m.add_answer(record("d.example.", 60, RData::MX(MX::new(0, DnsName::root()))));
        let odd = DnsName::from_labels([&b"a b"[..], b"example"]).unwrap();
        m.add_answer(record("d.example.", 60, RData::MX(MX::new(5, odd))));
    });
    let answer = lab.answer().unwrap();
    assert_eq!(answer.records, [Record::Mx { preference: 0, exchange: Name::root() }]);
    assert_eq!(answer.unusable, 1);
}

#[test]
fn without_servers_every_question_fails() {
    let mut lab = Lab::new(ResolverConfig::new(vec![]));
    lab.ask("d.example", RecordType::A);
    assert_eq!(lab.answer(), Err(DnsFailure::TimedOut));
}

#[test]
fn resolv_conf_is_read() {
    let text = "# comment\nsearch example.org\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver 2001:db8::53\n\
                options timeout:1 attempts:4 trust-ad rotate\n";
    let config = ResolverConfig::from_resolv_conf(text);
    assert_eq!(config.servers, ["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()]);
    assert_eq!((config.udp_wait, config.rounds, config.trusted), (Duration::from_secs(1), 4, true));
}

proptest! {
    /// Whatever comes, nothing panics, and every question is answered once.
    #[test]
    fn garbage_does_no_harm(
        pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 0..40),
    ) {
        let mut lab = Lab::new(config());
        let query = lab.ask("d.example", RecordType::Mx);
        for (with_id, octets) in pieces {
            let mut octets = octets;
            if with_id && octets.len() > 3 {
                octets[..2].copy_from_slice(&lab.question().metadata.id.to_be_bytes());
                octets[2] |= 0x80;
            }
            lab.deliver(&octets);
        }
        while lab.answers.is_empty() {
            lab.wait();
        }
        prop_assert_eq!(lab.answers.len(), 1);
        prop_assert_eq!(lab.answers[0].0, query);
        prop_assert_eq!(lab.resolver.open_exchanges(), 0);
    }
}
