//! One message to one domain: which host, for whom, and when again. RFC 5321, 5.1 and 4.5.4.1.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::{Closed, Instant, Machine, Step, Text};
use postrider_mta::classify::Stage;
use postrider_mta::delivery::{BadSnapshot, Event, Next};
use postrider_mta::{
    Delivery, DeliveryConfig, Destination, Disposition, HopFailure, Name, NameError, Need, NoDestination, NotSent,
    Outcome, Reason, RefusedAt, Relay, Routing, Snapshot, TlsRequirement,
};
use postrider_smtp::ForwardPath;
use postrider_smtp::client::SendError;
use postrider_smtp::wire::{BadBody, Reply};

use crate::mx::Zone;

pub(crate) const NOON: Instant = Instant::after_origin(Duration::from_secs(1_800_000_000));

pub(crate) fn reply(text: &str) -> Reply {
    Reply::parse(text.as_bytes()).unwrap()
}

fn refused(at: RefusedAt, text: &str) -> Outcome {
    Outcome::Refused { at, reply: reply(text) }
}

fn accepted() -> Outcome {
    Outcome::Delivered(reply("250 2.0.0 queued"))
}

const ZONE: &str = "d.example MX 10 a.example\n d.example MX 20 b.example\n \
                    a.example A 192.0.2.1\n a.example AAAA 2001:db8::1\n b.example A 192.0.2.2";

/// What the servers of a test do: host, address and recipients in, answer out.
type Servers<'a> = dyn FnMut(&postrider_mta::Hop, &[usize]) -> Result<Vec<Outcome>, HopFailure> + 'a;

/// A delivery and the world around it.
pub(crate) struct Lab {
    pub(crate) delivery: Delivery,
    pub(crate) zone: Zone,
    pub(crate) now: Instant,
    /// What happened, one line each.
    pub(crate) log: Vec<String>,
    pub(crate) settled: BTreeMap<usize, Disposition>,
}

impl Lab {
    fn new(recipients: usize) -> Self {
        Self::with(DeliveryConfig::default(), ZONE, recipients)
    }

    pub(crate) fn with(config: DeliveryConfig, zone: &str, recipients: usize) -> Self {
        let to = Destination::Domain(Name::new("d.example").unwrap());
        let delivery = Delivery::new(Arc::new(config), 7, to, recipients, NOON, [5; 16]);
        Self { delivery, zone: Zone::new(zone), now: NOON, log: vec![], settled: BTreeMap::new() }
    }

    /// Runs until it waits; says until when, `None` if it is finished.
    pub(crate) fn run(&mut self, servers: &mut Servers) -> Option<Instant> {
        loop {
            match self.delivery.poll(self.now) {
                Step::Event(Event::Resolve { answer, name, record, .. }) => {
                    let found = self.zone.ask(&name, record);
                    self.delivery.answer(answer, found).unwrap();
                }
                Step::Event(Event::Attempt { answer, hop, recipients, reason }) => {
                    self.log.push(format!("{} {recipients:?} {reason:?}", hop.address));
                    let result = servers(&hop, &recipients);
                    self.delivery.answer(answer, result).unwrap();
                }
                Step::Event(Event::Settled { recipient, how }) => {
                    assert!(self.settled.insert(recipient, how).is_none(), "settled twice");
                }
                Step::Event(Event::Round { .. }) => {}
                Step::Event(Event::Deferred { recipients, until }) => {
                    assert!(until > self.now);
                    self.log.push(format!("deferred {recipients:?}"));
                }
                Step::Event(Event::Delayed { recipients, .. }) => self.log.push(format!("delayed {recipients:?}")),
                Step::Event(Event::Finished) => self.log.push("finished".into()),
                Step::Event(other) => panic!("unexpected {other:?}"),
                Step::Idle { deadline } => {
                    assert_eq!(deadline.is_none(), self.delivery.is_finished());
                    return deadline;
                }
            }
        }
    }

    fn status(&self, recipient: usize) -> String {
        let how = &self.settled[&recipient];
        let word = match how {
            Disposition::Delivered(_) => "delivered",
            Disposition::Failed(_) => "failed",
            Disposition::Expired(_) => "expired",
            other => panic!("unknown disposition {other:?}"),
        };
        format!("{word} {}", how.status())
    }
}

//= 5321-4.5.4.1-8
#[test]
fn all_recipients_go_to_the_best_host() {
    let mut lab = Lab::new(3);
    let end = lab.run(&mut |_, recipients| Ok(vec![accepted(); recipients.len()]));
    assert_eq!(end, None);
    assert_eq!(lab.log, ["2001:db8::1 [0, 1, 2] BestExchange", "finished"]);
    assert_eq!(lab.status(0), "delivered 2.0.0");
    let said = lab.settled[&2].diagnosis().reply.clone().unwrap();
    assert_eq!(said.to_string(), "250 2.0.0 queued");
}

#[test]
fn each_recipient_has_its_own_fate() {
    let mut lab = Lab::new(3);
    let deadline = lab.run(&mut |_, _| {
        Ok(vec![accepted(), refused(RefusedAt::Rcpt, "550 5.1.1 nobody"), refused(RefusedAt::Rcpt, "450 4.2.1 busy")])
    });
    assert_eq!(lab.log, ["2001:db8::1 [0, 1, 2] BestExchange", "deferred [2]"]);
    assert_eq!(lab.status(1), "failed 5.1.1");
    lab.now = deadline.unwrap();
    let waited = NOON.until(lab.now);
    assert!(waited >= Duration::from_secs(15 * 60) && waited <= Duration::from_secs(18 * 60), "{waited:?}");
    lab.run(&mut |_, recipients| {
        assert_eq!(recipients, [2]);
        Ok(vec![accepted()])
    });
    assert_eq!((lab.status(2), lab.delivery.rounds()), ("delivered 2.0.0".into(), 2));
}

//= 5321-5.1-7, 5321-5.1-8
#[test]
fn hosts_that_fail_are_passed_over_in_order() {
    let failures = [
        HopFailure::Unreachable(Text::literal("refused")),
        HopFailure::Refused { stage: Stage::Greeting, reply: reply("554 no service") },
        HopFailure::Refused { stage: Stage::Greeting, reply: reply("421 busy") },
        HopFailure::Lost(Text::literal("reset")),
        HopFailure::Protocol(Text::literal("HTTP/1.1 400")),
        HopFailure::Busy,
    ];
    for failure in failures {
        let mut lab = Lab::new(1);
        lab.run(&mut |hop, _| {
            if hop.host().to_string() == "a.example" { Err(failure.clone()) } else { Ok(vec![accepted()]) }
        });
        let expected =
            ["2001:db8::1 [0] BestExchange", "192.0.2.1 [0] NextAddress", "192.0.2.2 [0] NextExchange", "finished"];
        assert_eq!(lab.log, expected, "{failure}");
    }
}

//= 5321-4.2.1-2, 5321-4.2.5-2
#[test]
fn a_worse_host_is_not_tried_after_a_final_word() {
    for (stage, text) in [
        (RefusedAt::Mail, "550 5.7.1 not you"),
        (RefusedAt::Rcpt, "550 5.1.1 nobody"),
        (RefusedAt::Data, "554 5.6.0 no"),
        (RefusedAt::Message, "554 5.7.1 spam"),
    ] {
        let mut lab = Lab::new(1);
        assert_eq!(lab.run(&mut |_, _| Ok(vec![refused(stage, text)])), None);
        assert_eq!(lab.log, ["2001:db8::1 [0] BestExchange", "finished"], "{text}");
    }
}

//= 5321-4.2.1-1
#[test]
fn a_host_in_trouble_is_passed_over_but_a_busy_mailbox_waits() {
    let mut lab = Lab::new(2);
    lab.run(&mut |hop, recipients| {
        if hop.host().to_string() == "b.example" {
            return Ok(vec![accepted(); recipients.len()]);
        }
        let each = |index: &usize| match index {
            0 => refused(RefusedAt::Rcpt, "452 4.3.1 no disk"),
            _ => refused(RefusedAt::Rcpt, "450 4.2.1 busy"),
        };
        Ok(recipients.iter().map(each).collect())
    });
    let expected =
        ["2001:db8::1 [0, 1] BestExchange", "192.0.2.1 [0] NextAddress", "192.0.2.2 [0] NextExchange", "deferred [1]"];
    assert_eq!(lab.log, expected);
}

#[test]
fn an_unknown_outcome_is_retried_once_and_said() {
    let mut lab = Lab::new(1);
    let deadline = lab.run(&mut |_, _| Ok(vec![Outcome::Unknown]));
    assert_eq!(lab.log, ["2001:db8::1 [0] BestExchange", "deferred [0]"], "no other host gets a copy");
    let last = lab.delivery.explain(0).unwrap().last.unwrap();
    assert_eq!(last.reason, Reason::OutcomeUnknown);
    lab.now = deadline.unwrap();
    assert_eq!(lab.run(&mut |_, _| Ok(vec![Outcome::Unknown])), None);
    assert_eq!(lab.status(0), "failed 4.4.2");
    assert_eq!(lab.settled[&0].diagnosis().reason, Reason::OutcomeUnknownTwice);
}

//= 5321-3.8-3
#[test]
fn what_was_not_tried_goes_to_the_next_host() {
    let mut lab = Lab::new(2);
    lab.run(&mut |hop, recipients| {
        let done = hop.host().to_string() == "b.example";
        Ok(if done { vec![accepted(); recipients.len()] } else { vec![] })
    });
    assert_eq!(lab.log.len(), 4);
    assert_eq!(lab.status(1), "delivered 2.0.0");
}

#[test]
fn a_host_that_hangs_up_after_some_gets_the_others_in_a_new_connection() {
    let mut lab = Lab::new(3);
    lab.run(&mut |_, recipients| {
        let mut outcomes = vec![Outcome::NotSent(NotSent::Ended); recipients.len()];
        outcomes[0] = accepted();
        Ok(outcomes)
    });
    let expected =
        ["2001:db8::1 [0, 1, 2] BestExchange", "2001:db8::1 [1, 2] NextGroup", "2001:db8::1 [2] NextGroup", "finished"];
    assert_eq!(lab.log, expected);
}

//= 5321-4.5.3.1.8-3
#[test]
fn recipients_go_in_groups() {
    let mut config = DeliveryConfig::default();
    config.recipients = 2;
    let mut lab = Lab::with(config, ZONE, 5);
    lab.run(&mut |_, recipients| Ok(vec![accepted(); recipients.len()]));
    let expected =
        ["2001:db8::1 [0, 1] BestExchange", "2001:db8::1 [2, 3] NextGroup", "2001:db8::1 [4] NextGroup", "finished"];
    assert_eq!(lab.log, expected);
}

#[test]
fn too_many_recipients_follow_in_another_transaction() {
    let mut lab = Lab::new(5);
    // A server that takes two at once.
    lab.run(&mut |_, recipients| {
        let each = |n| if n < 2 { accepted() } else { refused(RefusedAt::Rcpt, "452 4.5.3 too many") };
        Ok((0..recipients.len()).map(each).collect())
    });
    assert_eq!(lab.log.len(), 4, "{:?}", lab.log);
    // One that takes none at all gets no endless loop.
    let mut lab = Lab::new(5);
    lab.run(&mut |_, recipients| Ok(vec![refused(RefusedAt::Rcpt, "452 too many"); recipients.len()]));
    assert_eq!(lab.log, ["2001:db8::1 [0, 1, 2, 3, 4] BestExchange", "deferred [0, 1, 2, 3, 4]"]);
}

//= 8689-2-3
#[test]
fn opportunistic_tls_falls_back_and_required_tls_does_not() {
    for (tls, expected) in [(TlsRequirement::Opportunistic, 2), (TlsRequirement::Required, 4)] {
        let mut config = DeliveryConfig::default();
        config.tls = tls;
        let mut lab = Lab::with(config, ZONE, 1);
        let deadline = lab.run(&mut |hop, _| match hop.tls {
            TlsRequirement::None => Ok(vec![accepted()]),
            _ => Err(HopFailure::Tls(Text::literal("handshake failure"))),
        });
        assert_eq!(lab.log.len(), if tls == TlsRequirement::Opportunistic { 3 } else { 4 }, "{:?}", lab.log);
        assert_eq!(deadline.is_none(), expected == 2);
    }
}

//= 8689-4.2.1-1, 8689-4.2.1-2, 8689-4.2.1-3
#[test]
fn a_host_that_cannot_protect_a_message_is_passed_over_for_the_next() {
    let mut config = DeliveryConfig::default();
    config.require_tls = true;
    let zone = &format!("{ZONE}\nd.example MX ! AUTHENTIC");
    let failures = [
        (HopFailure::Unsupported(Need::RequireTls), "failed 5.7.30"),
        (HopFailure::Tls(Text::literal("the certificate is another's")), "failed 5.7.10"),
    ];
    for (failure, status) in failures {
        // The last exchange will do.
        let mut lab = Lab::with(config.clone(), zone, 1);
        let end = lab.run(&mut |hop, _| {
            assert_eq!(hop.tls, TlsRequirement::Required);
            if hop.address.to_string() == "192.0.2.2" { Ok(vec![accepted()]) } else { Err(failure.clone()) }
        });
        assert_eq!((end, lab.status(0).as_str()), (None, "delivered 2.0.0"), "{:?}", lab.log);
        // None will, and that will not change.
        let mut lab = Lab::with(config.clone(), zone, 1);
        assert_eq!(lab.run(&mut |_, _| Err(failure.clone())), None);
        assert_eq!((lab.status(0).as_str(), lab.log.len()), (status, 4), "{:?}", lab.log);
        // One cannot be reached now, and may do later.
        let mut lab = Lab::with(config.clone(), zone, 1);
        let end = lab.run(&mut |hop, _| match hop.address.is_ipv6() {
            true => Err(HopFailure::Unreachable(Text::literal("no route"))),
            false => Err(failure.clone()),
        });
        assert!(end.is_some() && lab.settled.is_empty(), "{:?}", lab.log);
    }
}

//= 8689-2-2
#[test]
fn a_message_that_needs_tls_goes_to_no_host_that_nobody_vouches_for() {
    let mut config = DeliveryConfig::default();
    config.require_tls = true;
    let mut lab = Lab::with(config.clone(), ZONE, 2);
    assert_eq!(lab.run(&mut |_, _| unreachable!("the exchanges may be anybody's")), None);
    assert_eq!(lab.status(1), "failed 5.7.10");
    // The domain is its own exchange: that is what its certificate must say.
    let mut lab = Lab::with(config.clone(), "d.example A 192.0.2.1", 1);
    lab.run(&mut |_, _| Ok(vec![accepted()]));
    // Whom the configuration names needs no DNS to vouch for it.
    config.relay = Some(Relay {
        host: Destination::Address([192, 0, 2, 9].into()),
        port: 587,
        tls: TlsRequirement::Opportunistic,
        implicit_tls: false,
    });
    let mut lab = Lab::with(config, ZONE, 1);
    lab.run(&mut |hop, _| {
        assert_eq!(hop.tls, TlsRequirement::Required);
        Ok(vec![accepted()])
    });
    assert_eq!(lab.status(0), "delivered 2.0.0");
}

//= 6531-3.2-5, 8689-4.2.1-2, 8689-4.2.1-3
#[test]
fn a_missing_extension_is_final() {
    let needs =
        [(Need::SmtpUtf8, "5.6.7"), (Need::EightBit, "5.6.3"), (Need::RequireTls, "5.7.30"), (Need::Size, "5.3.4")];
    for (need, status) in needs {
        let mut lab = Lab::new(2);
        assert_eq!(lab.run(&mut |_, _| Err(HopFailure::Unsupported(need))), None);
        assert_eq!(lab.status(0), format!("failed {status}"));
    }
}

#[test]
fn domains_without_mail_fail_at_once() {
    for (zone, expected) in [("x.example A 192.0.2.1", "failed 5.1.2"), ("d.example MX 0 .", "failed 5.1.10")] {
        let mut lab = Lab::with(DeliveryConfig::default(), zone, 2);
        assert_eq!(lab.run(&mut |_, _| unreachable!("there is no host")), None);
        assert_eq!((lab.status(0).as_str(), lab.status(1).as_str()), (expected, expected));
    }
}

//= 5321-5.1-4
#[test]
fn dns_trouble_waits() {
    let mut lab = Lab::with(DeliveryConfig::default(), "d.example MX ! SERVFAIL", 1);
    let deadline = lab.run(&mut |_, _| unreachable!("there is no host"));
    lab.zone = Zone::new(ZONE);
    lab.now = deadline.unwrap();
    lab.run(&mut |_, _| Ok(vec![accepted()]));
    assert_eq!(lab.status(0), "delivered 2.0.0");
}

#[test]
fn a_relay_takes_the_place_of_the_dns() {
    let mut config = DeliveryConfig::default();
    config.relay = Some(Relay {
        host: Destination::Domain(Name::new("smart.example").unwrap()),
        port: 465,
        tls: TlsRequirement::Required,
        implicit_tls: true,
    });
    let mut lab = Lab::with(config, "smart.example A 10.0.0.1", 1);
    lab.run(&mut |hop, _| {
        assert_eq!((hop.port, hop.tls, hop.implicit_tls), (465, TlsRequirement::Required, true));
        assert_eq!(hop.to_string(), "smart.example[10.0.0.1]:465");
        Ok(vec![accepted()])
    });
    assert_eq!(lab.log, ["10.0.0.1 [0] ConfiguredRelay", "finished"]);
}

#[test]
fn greylisting_is_met_when_it_ends() {
    let mut lab = Lab::new(1);
    let deadline = lab.run(&mut |_, _| Ok(vec![refused(RefusedAt::Rcpt, "451 4.7.1 Greylisted for 300 seconds")]));
    assert_eq!(NOON.until(deadline.unwrap()), Duration::from_secs(301));
}

#[test]
fn questions_that_nobody_answers_end() {
    let mut lab = Lab::new(1);
    let mut kept = Vec::new();
    let mut step = || match lab.delivery.poll(lab.now) {
        Step::Event(event) => {
            kept.push(event);
            None
        }
        Step::Idle { deadline } => {
            lab.now = deadline.unwrap();
            Some(lab.now)
        }
    };
    let first = loop {
        if let Some(deadline) = step() {
            break deadline;
        }
    };
    assert_eq!(NOON.until(first), Duration::from_secs(120));
    while step().is_none() {}
    let late = kept.into_iter().find_map(|event| match event {
        Event::Resolve { answer, name, .. } => Some((answer, name)),
        _ => None,
    });
    let (answer, name) = late.unwrap();
    let found = lab.zone.ask(&name, postrider_mta::dns::RecordType::Mx);
    assert!(lab.delivery.answer(answer, found).is_err(), "too late");
    assert!(matches!(lab.delivery.explain(0).unwrap().next, Next::RoundAt(_)));
}

#[test]
fn an_attempt_that_never_ends_counts_as_unknown() {
    let mut lab = Lab::new(1);
    let answer = loop {
        match lab.delivery.poll(lab.now) {
            Step::Event(Event::Attempt { answer, .. }) => break answer,
            Step::Event(Event::Resolve { answer, name, record, .. }) => {
                lab.delivery.answer(answer, lab.zone.ask(&name, record)).unwrap();
            }
            Step::Event(_) => {}
            Step::Idle { .. } => panic!("it has something to do"),
        }
    };
    let Step::Idle { deadline } = lab.delivery.poll(lab.now) else { panic!() };
    lab.now = deadline.unwrap();
    while let Step::Event(_) = lab.delivery.poll(lab.now) {}
    assert_eq!(lab.delivery.explain(0).unwrap().last.unwrap().reason, Reason::OutcomeUnknown);
    assert!(lab.delivery.answer(answer, Ok(vec![accepted()])).is_err());
}

#[test]
fn declined_questions_mean_later() {
    let mut lab = Lab::new(1);
    loop {
        match lab.delivery.poll(lab.now) {
            Step::Event(event) => lab.delivery.decline(event),
            Step::Idle { deadline } => break assert!(deadline.unwrap() > NOON),
        }
    }
}

#[test]
fn a_clock_set_back_does_not_stretch_the_wait() {
    let mut lab = Lab::new(1);
    let mut busy = |_: &postrider_mta::Hop, _: &[usize]| Err(HopFailure::Busy);
    lab.run(&mut busy);
    lab.now = Instant::after_origin(NOON.elapsed() - Duration::from_secs(365 * 24 * 3600));
    let deadline = lab.run(&mut busy).unwrap();
    assert!(lab.now.until(deadline) <= lab.config_longest());
}

#[test]
fn a_clock_far_ahead_does_not_bounce_at_once() {
    let mut lab = Lab::new(1);
    let mut busy = |_: &postrider_mta::Hop, _: &[usize]| Err(HopFailure::Busy);
    lab.run(&mut busy);
    lab.now = lab.now.plus(Duration::from_secs(365 * 24 * 3600));
    lab.now = lab.run(&mut busy).expect("two more attempts are owed");
    assert_eq!(lab.run(&mut busy), None);
    assert_eq!(lab.status(0), "expired 4.4.7");
}

impl Lab {
    fn config_longest(&self) -> Duration {
        DeliveryConfig::default().schedule.longest_wait()
    }
}

#[test]
fn hurry_begins_the_next_round_now() {
    let mut lab = Lab::new(1);
    lab.run(&mut |_, _| Err(HopFailure::Busy));
    lab.delivery.hurry();
    lab.run(&mut |_, _| Ok(vec![accepted()]));
    assert_eq!(lab.status(0), "delivered 2.0.0");
}

#[test]
fn each_recipient_can_be_explained() {
    let mut lab = Lab::new(2);
    assert!(lab.delivery.explain(2).is_none());
    lab.run(&mut |_, _| Ok(vec![accepted(), refused(RefusedAt::Rcpt, "450 4.2.1 busy")]));
    assert_eq!(
        lab.delivery.explain(0).unwrap().to_string(),
        "delivered; 2.0.0: the server took responsibility (RFC 5321, 6.1); host a.example said \"250 2.0.0 queued\""
    );
    let waits = lab.delivery.explain(1).unwrap();
    let text = waits.to_string();
    assert!(text.starts_with("after 1 rounds, waits until 18000"), "{text}");
    assert!(
        text.ends_with("4.2.1: the server refused for now (RFC 5321, 4.2.1); host a.example said \"450 4.2.1 busy\"")
    );
    assert_eq!(waits.expires, DeliveryConfig::default().schedule.expires(NOON));
}

#[test]
fn snapshots_survive_json_and_go_on_where_they_were() {
    let mut lab = Lab::new(3);
    let deadline = lab.run(&mut |_, _| {
        let busy = refused(RefusedAt::Rcpt, "450-4.2.1 \x1b[31m\x00busy\r\n450 4.2.1 come\tagain");
        Ok(vec![accepted(), refused(RefusedAt::Rcpt, "550 5.1.1 nobody"), busy])
    });
    let snapshot = lab.delivery.snapshot();
    let text = serde_json::to_string(&snapshot).unwrap();
    let read: Snapshot = serde_json::from_str(&text).unwrap();
    assert_eq!(read, snapshot);
    let config = Arc::new(DeliveryConfig::default());
    lab.delivery = Delivery::restore(config, 7, &read).unwrap();
    assert_eq!(lab.delivery.snapshot(), snapshot);
    assert_eq!(lab.run(&mut |_, _| panic!("it is not time yet")), deadline);
    lab.now = deadline.unwrap();
    lab.run(&mut |_, recipients| {
        assert_eq!(recipients, [2]);
        Ok(vec![accepted()])
    });
    assert_eq!(lab.settled.len(), 3);
}

#[test]
fn what_was_not_told_before_the_snapshot_is_told_after_it() {
    let mut lab = Lab::with(DeliveryConfig::default(), "d.example MX 0 .", 2);
    // Up to the first settlement.
    loop {
        match lab.delivery.poll(lab.now) {
            Step::Event(Event::Resolve { answer, name, record, .. }) => {
                lab.delivery.answer(answer, lab.zone.ask(&name, record)).unwrap();
            }
            Step::Event(Event::Settled { recipient: 0, .. }) => break,
            Step::Event(_) => {}
            Step::Idle { .. } => panic!("recipients are to be settled"),
        }
    }
    let snapshot = lab.delivery.snapshot();
    lab.delivery = Delivery::restore(Arc::new(DeliveryConfig::default()), 7, &snapshot).unwrap();
    lab.run(&mut |_, _| unreachable!("all is settled"));
    assert_eq!(lab.settled.keys().collect::<Vec<_>>(), [&1]);
    assert_eq!(lab.log, ["finished"]);
}

#[test]
fn a_crash_in_a_round_waits_for_the_time_written_down() {
    let mut lab = Lab::new(1);
    let Step::Event(Event::Round { next, number: 1 }) = lab.delivery.poll(lab.now) else { panic!() };
    let snapshot = lab.delivery.snapshot();
    lab.delivery = Delivery::restore(Arc::new(DeliveryConfig::default()), 7, &snapshot).unwrap();
    assert_eq!(lab.run(&mut |_, _| panic!("too early")), Some(next));
}

#[test]
fn strange_snapshots_are_refused() {
    let config = Arc::new(DeliveryConfig::default());
    let mut lab = Lab::new(1);
    lab.run(&mut |_, _| Err(HopFailure::Busy));
    let good = lab.delivery.snapshot();
    let restore = |snapshot: &Snapshot| Delivery::restore(Arc::clone(&config), 1, snapshot).map(drop);
    assert_eq!(restore(&good), Ok(()));
    assert_eq!(restore(&Snapshot { version: 9, ..good.clone() }), Err(BadSnapshot::Version(9)));
    assert_eq!(restore(&Snapshot { diagnoses: vec![], ..good.clone() }), Err(BadSnapshot::Recipient(0)));
    let mut odd = good;
    odd.diagnoses[0].status = "7.7".into();
    assert_eq!(restore(&odd), Err(BadSnapshot::Diagnosis(0)));
}

#[test]
fn answers_go_to_the_delivery_that_asked() {
    let to = || Destination::Domain(Name::new("d.example").unwrap());
    let config = Arc::new(DeliveryConfig::default());
    let mut one = Delivery::new(Arc::clone(&config), 1, to(), 1, NOON, [0; 16]);
    let mut two = Delivery::new(config, 2, to(), 1, NOON, [0; 16]);
    let Step::Event(Event::Round { .. }) = one.poll(NOON) else { panic!() };
    let Step::Event(Event::Resolve { answer, .. }) = one.poll(NOON) else { panic!() };
    let _ = two.poll(NOON);
    assert!(two.answer(answer, Err(postrider_mta::dns::DnsFailure::NoData)).is_err());
}

#[test]
fn a_host_that_takes_fewer_recipients_gets_smaller_groups() {
    let mut lab = Lab::new(5);
    lab.run(&mut |_, recipients| match recipients.len() {
        0..=2 => Ok(vec![accepted(); recipients.len()]),
        _ => Err(HopFailure::TooManyRecipients { limit: 2 }),
    });
    assert_eq!(lab.log.len(), 5, "{:?}", lab.log);
    assert_eq!(lab.settled.len(), 5);
    // One that takes none is passed over.
    let mut lab = Lab::new(1);
    lab.run(&mut |_, _| Err(HopFailure::TooManyRecipients { limit: 0 }));
    assert_eq!(lab.log.len(), 4, "{:?}", lab.log);
}

#[test]
fn a_message_that_may_not_be_sent_fails_everywhere() {
    let mut lab = Lab::new(1);
    let why = NotSent::BadBody(BadBody::BareNewline);
    assert_eq!(lab.run(&mut |_, _| Ok(vec![Outcome::NotSent(why)])), None);
    assert_eq!(lab.status(0), "failed 5.6.0");
}

#[test]
fn what_the_client_reports_becomes_a_failure_of_the_hop() {
    assert_eq!(HopFailure::from(SendError::NeedsSmtpUtf8), HopFailure::Unsupported(Need::SmtpUtf8));
    assert_eq!(HopFailure::from(SendError::TooLarge { limit: 1 }), HopFailure::Unsupported(Need::Size));
    let lasting =
        [SendError::NeedsDeliverBy, SendError::NeedsFutureRelease, SendError::NeedsRrvs, SendError::Unsolicited];
    for error in lasting {
        let (status, failure) = (error.status().unwrap(), HopFailure::from(error));
        let mut lab = Lab::new(1);
        assert_eq!(lab.run(&mut |_, _| Err(failure.clone())), None, "{failure}");
        assert_eq!(lab.status(0), format!("failed {status}"));
    }
    assert!(matches!(HopFailure::from(SendError::TooManyTransactions { limit: 1 }), HopFailure::Lost(_)));
    let closed = |closed: Closed| HopFailure::from(closed);
    assert!(matches!(closed(Closed::TimedOut), HopFailure::Lost(_)));
    assert!(matches!(closed(Closed::Tls("bad certificate".into())), HopFailure::Tls(_)));
}

#[test]
fn messages_are_split_by_domain() {
    let paths: Vec<ForwardPath> =
        ["<a@One.example>", "<b@two.example>", "<c@one.EXAMPLE>", "<d@[192.0.2.1]>", "<postmaster>"]
            .iter()
            .map(|path| path.parse().unwrap())
            .collect();
    let split = postrider_mta::split(&paths);
    let seen: Vec<String> = split.batches.iter().map(|b| format!("{} {:?}", b.destination, b.recipients)).collect();
    assert_eq!(seen, ["one.example [0, 2]", "two.example [1]", "[192.0.2.1] [3]"]);
    assert_eq!(split.nowhere, [(4, NoDestination::OwnPostmaster)]);
}

//= 6531-3.2-2
#[test]
fn internationalised_domains_are_looked_up_by_their_a_labels() {
    for (path, expected) in [
        ("<a@b\u{fc}cher.example>", Ok("xn--bcher-kva.example")),
        ("<a@B\u{dc}CHER.example>", Ok("xn--bcher-kva.example")),
        ("<a@fa\u{df}.example>", Ok("xn--fa-hia.example")),
        ("<a@\u{4f8b}\u{3048}.example>", Ok("xn--r8jz45g.example")),
        ("<a@x\u{fffd}.example>", Err(NoDestination::NotInDns(NameError::NotIdna))),
    ] {
        let path: ForwardPath = path.parse().unwrap();
        let name = expected.map(|name| Destination::Domain(Name::new(name).unwrap()));
        assert_eq!(Destination::of(&path), name);
    }
}

#[test]
fn a_laboratory_may_deliver_to_loopback() {
    let mut routing = Routing::default();
    routing.loopback = true;
    let mut config = DeliveryConfig::default();
    config.routing = Arc::new(routing);
    let mut lab = Lab::with(config, "d.example A 127.0.0.1", 1);
    lab.run(&mut |_, _| Ok(vec![accepted()]));
    assert_eq!(lab.log[0], "127.0.0.1 [0] ImplicitExchange");
}
