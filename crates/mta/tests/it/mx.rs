//! Which hosts a domain's mail goes to: RFC 5321, 5.1; RFC 7505.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use postrider_mta::dns::{Answer, DnsFailure, Record, RecordType};
use postrider_mta::{Destination, MxLookup, Name, Reason, Route, Routing, Unroutable};
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A DNS: `"mx.example A 192.0.2.1"`, one record a line; `"x.example MX ! SERVFAIL"` for a failure, and `AUTHENTIC` in its place after
/// records that DNSSEC vouches for. Names without any
/// line do not exist; names with other records have none of the type.
pub(crate) struct Zone(BTreeMap<(Name, RecordType), Result<Answer, DnsFailure>>);

impl Zone {
    pub(crate) fn new(text: &str) -> Self {
        let mut zone: BTreeMap<(Name, RecordType), Result<Answer, DnsFailure>> = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let owner = name(words[0]);
            let (record, contents) = match words[1..] {
                ["A", "!", failure] => (RecordType::A, Err(failure)),
                ["AAAA", "!", failure] => (RecordType::Aaaa, Err(failure)),
                ["MX", "!", failure] => (RecordType::Mx, Err(failure)),
                ["A", address] => (RecordType::A, Ok(Record::A(address.parse().unwrap()))),
                ["AAAA", address] => (RecordType::Aaaa, Ok(Record::Aaaa(address.parse().unwrap()))),
                ["MX", preference, exchange] => {
                    let preference = preference.parse().unwrap();
                    (RecordType::Mx, Ok(Record::Mx { preference, exchange: name(exchange) }))
                }
                _ => panic!("cannot read {line:?}"),
            };
            let key = (owner.clone(), record);
            match contents {
                Err("SERVFAIL") => drop(zone.insert(key, Err(DnsFailure::ServerFailure))),
                Err("TIMEOUT") => drop(zone.insert(key, Err(DnsFailure::TimedOut))),
                Err("LOOP") => drop(zone.insert(key, Err(DnsFailure::TooManyAliases))),
                Err("AUTHENTIC") => zone.get_mut(&key).unwrap().as_mut().unwrap().authentic = true,
                Err(other) => panic!("no failure {other}"),
                Ok(record) => match zone.entry(key).or_insert_with(|| Ok(Answer::of(owner, vec![]))) {
                    Ok(answer) => answer.records.push(record),
                    Err(_) => panic!("both records and a failure"),
                },
            }
        }
        Self(zone)
    }

    pub(crate) fn ask(&self, name: &Name, record: RecordType) -> Result<Answer, DnsFailure> {
        match self.0.get(&(name.clone(), record)) {
            Some(answer) => answer.clone(),
            None if self.0.keys().any(|(owner, _)| owner == name) => Err(DnsFailure::NoData),
            None => Err(DnsFailure::NoSuchName),
        }
    }
}

fn routing() -> Routing {
    let mut routing = Routing::default();
    routing.ourselves = vec![name("us.example")];
    routing.our_addresses = vec!["192.0.2.99".parse().unwrap()];
    routing
}

fn resolve(zone: &Zone, to: Destination, routing: Routing, seed: u8) -> Result<Route, Unroutable> {
    let mut lookup = MxLookup::new(&to, Arc::new(routing), [seed; 16]);
    while let Some((name, record)) = lookup.ask() {
        lookup.tell(&name, record, zone.ask(&name, record));
    }
    lookup.outcome().expect("every question was answered").clone()
}

fn domain(zone: &str) -> Result<Route, Unroutable> {
    resolve(&Zone::new(zone), Destination::Domain(name("d.example")), routing(), 0)
}

/// The route as `preference:name=address,address` words, or the status.
fn verdict(result: &Result<Route, Unroutable>) -> String {
    let exchange = |exchange: &postrider_mta::Exchange| {
        let name = exchange.name.as_ref().map_or_else(String::new, Name::to_string);
        let addresses: Vec<String> = exchange.addresses.iter().map(IpAddr::to_string).collect();
        format!("{}:{name}={}", exchange.preference, addresses.join(","))
    };
    match result {
        Ok(route) => route.exchanges.iter().map(exchange).collect::<Vec<_>>().join(" "),
        Err(why) => why.status().to_string(),
    }
}

//= 5321-5.1-1, 5321-5.1-2, 5321-5.1-3, 5321-5.1-5, 5321-5.1-6, 5321-5.1-9, 5321-5.1-11, 5321-5.1-12
#[test]
fn table_of_verdicts() {
    let table = [
        ("NXDOMAIN", "other.example A 192.0.2.1", "5.1.2"),
        ("SERVFAIL", "d.example MX ! SERVFAIL", "4.4.3"),
        ("timeout", "d.example MX ! TIMEOUT", "4.4.3"),
        ("alias loop", "d.example MX ! LOOP", "4.4.3"),
        ("null MX", "d.example MX 0 .\n d.example A 192.0.2.1", "5.1.10"),
        ("null MX with another preference", "d.example MX 10 .", "5.1.10"),
        (
            "null MX + others",
            "d.example MX 0 .\n d.example MX 5 m.example\n m.example A 192.0.2.1",
            "5:m.example=192.0.2.1",
        ),
        ("no MX, A", "d.example A 192.0.2.1", "0:d.example=192.0.2.1"),
        ("no MX, AAAA", "d.example AAAA 2001:db8::1", "0:d.example=2001:db8::1"),
        ("no MX, both", "d.example A 192.0.2.1\n d.example AAAA 2001:db8::1", "0:d.example=2001:db8::1,192.0.2.1"),
        ("no MX, A but AAAA SERVFAIL", "d.example A 192.0.2.1\n d.example AAAA ! SERVFAIL", "0:d.example=192.0.2.1"),
        (
            "no MX, AAAA but A SERVFAIL",
            "d.example AAAA 2001:db8::1\n d.example A ! SERVFAIL",
            "0:d.example=2001:db8::1",
        ),
        ("no MX, no A, AAAA SERVFAIL", "d.example AAAA ! SERVFAIL", "4.4.3"),
        ("no MX, both SERVFAIL", "d.example AAAA ! SERVFAIL\n d.example A ! SERVFAIL", "4.4.3"),
        (
            "MX without address; the domain's own is not used",
            "d.example MX 5 m.example\n d.example A 192.0.2.1",
            "5.4.4",
        ),
        ("MX with address SERVFAIL", "d.example MX 5 m.example\n m.example A ! SERVFAIL", "4.4.3"),
        ("localhost as exchange", "d.example MX 5 localhost\n localhost A 127.0.0.1", "5.4.4"),
        ("loopback address", "d.example MX 5 m.example\n m.example A 127.0.0.1", "5.4.4"),
        ("mapped loopback address", "d.example MX 5 m.example\n m.example AAAA ::ffff:127.0.0.1", "5.4.4"),
        ("unspecified address", "d.example MX 5 m.example\n m.example A 0.0.0.0", "5.4.4"),
        ("address as exchange", "d.example MX 5 192.0.2.7", "5.4.4"),
        (
            "address as exchange + a host",
            "d.example MX 5 192.0.2.7\n d.example MX 9 m.example\n m.example A 192.0.2.1",
            "9:m.example=192.0.2.1",
        ),
        (
            "by preference",
            "d.example MX 20 b.example\n d.example MX 10 a.example\n a.example A 192.0.2.1\n b.example A 192.0.2.2",
            "10:a.example=192.0.2.1 20:b.example=192.0.2.2",
        ),
        (
            "the same host twice",
            "d.example MX 20 a.example\n d.example MX 10 a.example\n a.example A 192.0.2.1",
            "10:a.example=192.0.2.1",
        ),
        (
            "self by name prunes itself and worse",
            "d.example MX 5 a.example\n d.example MX 10 us.example\n d.example MX 10 b.example\n d.example MX 20 c.example\n a.example A 192.0.2.1\n b.example A 192.0.2.2\n c.example A 192.0.2.3",
            "5:a.example=192.0.2.1",
        ),
        (
            "self by address prunes equals and worse",
            "d.example MX 5 a.example\n d.example MX 10 x.example\n d.example MX 10 b.example\n a.example A 192.0.2.1\n b.example A 192.0.2.2\n x.example A 192.0.2.99",
            "5:a.example=192.0.2.1",
        ),
        (
            "self is best: loop",
            "d.example MX 10 us.example\n d.example MX 20 b.example\n b.example A 192.0.2.2",
            "5.4.6",
        ),
        (
            "self is best by address: loop",
            "d.example MX 10 x.example\n d.example MX 20 b.example\n b.example A 192.0.2.2\n x.example A 192.0.2.99",
            "5.4.6",
        ),
        ("implicit MX is our address: loop", "d.example A 192.0.2.99", "5.4.6"),
        (
            "one exchange gone, the other stays",
            "d.example MX 10 gone.example\n d.example MX 20 b.example\n b.example A 192.0.2.2",
            "20:b.example=192.0.2.2",
        ),
        (
            "one exchange SERVFAIL, the other stays",
            "d.example MX 10 a.example\n d.example MX 20 b.example\n a.example A ! SERVFAIL\n b.example A 192.0.2.2",
            "20:b.example=192.0.2.2",
        ),
        (
            "all gone but one SERVFAIL is transient",
            "d.example MX 10 gone.example\n d.example MX 20 b.example\n b.example A ! SERVFAIL",
            "4.4.3",
        ),
    ];
    for (case, zone, expected) in table {
        assert_eq!(verdict(&domain(zone)), expected, "{case}");
    }
}

#[test]
fn address_families_take_turns() {
    let zone = "d.example A 192.0.2.1\n d.example A 192.0.2.2\n d.example A 192.0.2.3\n d.example AAAA 2001:db8::1";
    assert_eq!(verdict(&domain(zone)), "0:d.example=2001:db8::1,192.0.2.1,192.0.2.2,192.0.2.3");
}

#[test]
fn a_family_that_is_not_ours_is_not_asked_for() {
    let mut four = routing();
    four.ipv6 = false;
    let mut lookup = MxLookup::new(&Destination::Domain(name("d.example")), Arc::new(four), [0; 16]);
    assert_eq!(lookup.ask(), Some((name("d.example"), RecordType::Mx)));
    lookup.tell(&name("d.example"), RecordType::Mx, Err(DnsFailure::NoData));
    assert_eq!(lookup.ask(), Some((name("d.example"), RecordType::A)));
    assert_eq!(lookup.ask(), None);
}

#[test]
fn address_literals_need_no_dns() {
    let route = resolve(&Zone::new(""), Destination::Address("192.0.2.1".parse().unwrap()), routing(), 0).unwrap();
    assert_eq!(route.by, Reason::AddressLiteral);
    assert_eq!(verdict(&Ok(route)), "0:=192.0.2.1");
    let ourselves = resolve(&Zone::new(""), Destination::Address("192.0.2.99".parse().unwrap()), routing(), 0);
    assert_eq!(ourselves, Err(Unroutable::Loop));
    let here = resolve(&Zone::new(""), Destination::Address("127.0.0.1".parse().unwrap()), routing(), 0);
    assert_eq!(here, Err(Unroutable::Loop));
}

#[test]
fn records_that_cannot_be_used_do_not_count_as_none() {
    let mut lookup = MxLookup::new(&Destination::Domain(name("d.example")), Arc::new(routing()), [0; 16]);
    lookup.ask();
    let mut answer = Answer::of(name("d.example"), vec![]);
    answer.unusable = 1;
    lookup.tell(&name("d.example"), RecordType::Mx, Ok(answer));
    assert_eq!(lookup.outcome(), Some(&Err(Unroutable::NoUsableExchange)));
}

#[test]
fn three_hundred_exchanges_are_cut_to_the_best() {
    let mut text = String::new();
    for n in 0..300 {
        text += &format!("d.example MX {} m{n}.example\n m{n}.example A 192.0.3.{}\n", 1000 - n, n % 200 + 1);
    }
    let route = domain(&text).unwrap();
    assert_eq!(route.exchanges.len(), Routing::default().max_exchanges);
    assert_eq!(route.exchanges[0].preference, 701);
    assert!(route.notes.contains(&Reason::ListCut));
}

#[test]
fn a_relay_is_looked_up_without_exchanges_and_never_bounces_mail() {
    let zone = Zone::new("relay.example A 127.0.0.1\n relay.example MX 5 elsewhere.example");
    let find = |host: &str| {
        let mut lookup = MxLookup::relay(&Destination::Domain(name(host)), Arc::new(routing()), [0; 16]);
        while let Some((name, record)) = lookup.ask() {
            lookup.tell(&name, record, zone.ask(&name, record));
        }
        lookup.outcome().unwrap().clone()
    };
    assert_eq!(verdict(&find("relay.example")), "0:relay.example=127.0.0.1");
    assert_eq!(verdict(&find("typo.example")), "4.3.5");
}

#[test]
fn every_failure_says_its_rule() {
    let why = domain("d.example MX 0 .").unwrap_err();
    assert_eq!(why.reason().to_string(), "the domain accepts no mail (RFC 7505, 3)");
    assert!(why.is_permanent());
}

proptest! {
    /// Equal preferences come in every order; whatever the seed, preferences do not mix.
    #[test]
    fn equals_are_shuffled_within_their_preference(seed in any::<u8>(), preferences in prop::collection::vec(0..4_u16, 1..12)) {
        let mut text = String::new();
        for (n, preference) in preferences.iter().enumerate() {
            text += &format!("d.example MX {preference} m{n}.example\n m{n}.example A 192.0.2.{}\n", n + 1);
        }
        let route = resolve(&Zone::new(&text), Destination::Domain(name("d.example")), routing(), seed).unwrap();
        let found: Vec<u16> = route.exchanges.iter().map(|exchange| exchange.preference).collect();
        let mut sorted = preferences.clone();
        sorted.sort();
        prop_assert_eq!(found, sorted);
    }

    /// The order in which answers come does not matter.
    #[test]
    fn answers_may_come_in_any_order(order in prop::collection::vec(any::<usize>(), 1..20)) {
        let text = "d.example MX 5 a.example\n d.example MX 5 b.example\n d.example MX 9 c.example\n \
                    a.example A 192.0.2.1\n b.example AAAA 2001:db8::2\n c.example A 192.0.2.3";
        let zone = Zone::new(text);
        let to = Destination::Domain(name("d.example"));
        let mut lookup = MxLookup::new(&to, Arc::new(routing()), [9; 16]);
        let mut open = Vec::new();
        let mut order = order.into_iter().cycle();
        loop {
            while let Some(question) = lookup.ask() {
                open.push(question);
            }
            if open.is_empty() {
                break;
            }
            let (name, record) = open.swap_remove(order.next().unwrap() % open.len());
            lookup.tell(&name, record, zone.ask(&name, record));
        }
        prop_assert_eq!(lookup.outcome().unwrap(), &resolve(&zone, to, routing(), 9));
    }
}

//= 5321-5.1-10
#[test]
fn all_orders_of_three_equals_occur() {
    let text = "d.example MX 5 a.example\n d.example MX 5 b.example\n d.example MX 5 c.example\n \
                a.example A 192.0.2.1\n b.example A 192.0.2.2\n c.example A 192.0.2.3";
    let zone = Zone::new(text);
    let orders: std::collections::BTreeSet<String> =
        (0..64).map(|seed| verdict(&resolve(&zone, Destination::Domain(name("d.example")), routing(), seed))).collect();
    assert_eq!(orders.len(), 6);
}
