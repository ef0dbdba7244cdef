//! One message on its way to one domain.
//!
//! A [`Delivery`] works in rounds. In each it looks the domain up, tries one host after another until every recipient
//! has its answer for now, and then waits for the next round, until all are settled or the message expires. It is a
//! [`Machine`]: poll it, answer its questions, poll again. With the Unix epoch as the origin of its [`Instant`]s its
//! deadlines survive a restart.

mod config;
mod diagnosis;
mod event;
mod snapshot;

pub use config::DeliveryConfig;
pub use diagnosis::{Diagnosis, Disposition, Explanation, Next, Said};
pub use event::{Event, ask};
pub use snapshot::{BadSnapshot, DiagnosisSnapshot, RecipientSnapshot, Settlement, Snapshot};

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use postrider_core::{Instant, Machine, Pending, Questions, SessionId, Stale, Step, Text, Timer};

use crate::classify::{Hint, Scope, Verdict, classify};
use crate::dns::{Answer, DnsFailure, RecordType};
use crate::{
    Destination, Dice, Hop, HopFailure, MxLookup, Name, Need, NotSent, Outcome, Reason, Route, Seed, TlsRequirement,
    Unroutable,
};

/// Plans the delivery of one message to one domain, retries included.
#[derive(Debug)]
pub struct Delivery {
    config: Arc<DeliveryConfig>,
    questions: Questions,
    destination: Destination,
    arrived: Instant,
    dice: Dice,
    /// Rounds begun.
    rounds: u32,
    delay_told: bool,
    /// When the next round begins; while in a round, when it would if the program died now.
    next: Instant,
    recipients: Vec<Recipient>,
    phase: Phase,
    /// Ends the wait for answers.
    timer: Timer,
    events: VecDeque<Event>,
    /// Settled recipients that the application was not told of yet.
    untold: VecDeque<usize>,
}

#[derive(Clone, Debug)]
struct Recipient {
    state: RecipientState,
    /// The last thing said about it.
    last: Option<Arc<Diagnosis>>,
    /// How often its outcome was unknown.
    unknown: u8,
}

#[derive(Clone, Debug)]
enum RecipientState {
    /// To be tried in this round.
    Open,
    /// To be tried in this round, at another host than this one.
    Elsewhere,
    /// Done for this round.
    Deferred,
    Settled(Disposition),
}

#[derive(Debug)]
enum Phase {
    /// Until `Delivery::next`.
    Waiting,
    Resolving {
        lookup: MxLookup,
        open: BTreeMap<u64, (Name, RecordType)>,
    },
    Trying(Trying),
    /// The time is needed to go on.
    RoundOver,
    Finished {
        told: bool,
    },
}

#[derive(Debug)]
struct Trying {
    route: Route,
    exchange: usize,
    address: usize,
    /// The hop's requirement, or less after a handshake that failed.
    tls: TlsRequirement,
    reason: Reason,
    /// Recipients in one transaction, as far as this host has said.
    limit: usize,
    /// Whether all hosts so far lack what a message that needs TLS wants of them.
    unprotected: bool,
    open: Option<(u64, Vec<usize>)>,
}

/// What to do after an attempt.
enum Onward {
    SameHop(Reason),
    NextHop,
    InClear,
}

impl Delivery {
    /// A delivery of a message that came at `arrived` to `recipients` recipients at `destination`.
    ///
    /// `id` is the caller's number for it, unique among those that live at the same time. `seed` decides the order
    /// among equal exchanges and the jitter of retries; take sixteen random octets.
    pub fn new(
        config: Arc<DeliveryConfig>,
        id: SessionId,
        destination: Destination,
        recipients: usize,
        arrived: Instant,
        seed: Seed,
    ) -> Self {
        let recipient = Recipient { state: RecipientState::Open, last: None, unknown: 0 };
        Self {
            config,
            questions: Questions::new(id),
            destination,
            arrived,
            dice: Dice::new(seed),
            rounds: 0,
            delay_told: false,
            next: arrived,
            recipients: alloc::vec![recipient; recipients],
            phase: Phase::Waiting,
            timer: Timer::OFF,
            events: VecDeque::new(),
            untold: VecDeque::new(),
        }
    }

    /// Answers a question.
    ///
    /// Outcomes that are missing count as [`NotSent::Ended`]; more of them than recipients are ignored.
    ///
    /// # Errors
    /// [`Stale`] if the answer came too late, or another delivery asked.
    pub fn answer<Q: ask::OfDelivery>(&mut self, p: Pending<Q>, a: Result<Q::Yes, Q::No>) -> Result<(), Stale> {
        let question = self.questions.redeem(&p)?;
        if Q::apply(self, question, a) { Ok(()) } else { Err(Stale) }
    }

    /// Answers whatever `event` asks with "not now". For the arm that takes all other events.
    pub fn decline(&mut self, event: Event) {
        // Stale only if it was answered already, and then there is nothing to do.
        let _ = match event {
            Event::Resolve { answer, .. } => self.answer(answer, Err(DnsFailure::Busy)),
            Event::Attempt { answer, .. } => self.answer(answer, Err(HopFailure::Busy)),
            Event::Round { .. }
            | Event::Settled { .. }
            | Event::Deferred { .. }
            | Event::Delayed { .. }
            | Event::Finished => Ok(()),
        };
    }

    /// Lets the next round begin now, if it is waited for.
    pub fn hurry(&mut self) {
        if let Phase::Waiting = self.phase {
            self.next = Instant::ORIGIN;
        }
    }

    /// From now on another configuration holds; a round that has begun keeps its hosts.
    pub fn reconfigure(&mut self, config: Arc<DeliveryConfig>) {
        self.config = config;
    }

    /// Where it goes.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The caller's number for it.
    pub fn id(&self) -> SessionId {
        self.questions.session()
    }

    /// When the next round begins, or would if this one settled nothing.
    pub fn next_round(&self) -> Instant {
        self.next
    }

    /// Rounds begun so far.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Whether all recipients are settled and everything was said.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished { told: true })
    }

    /// What happened to a recipient, what holds it and what comes next; `None` if there is no such recipient.
    pub fn explain(&self, recipient: usize) -> Option<Explanation> {
        let of = self.recipients.get(recipient)?;
        let next = match (&of.state, &self.phase) {
            (RecipientState::Settled(how), _) => Next::Settled(how.clone()),
            (_, Phase::Waiting) => Next::RoundAt(self.next),
            (RecipientState::Deferred, _) => Next::RoundAt(self.next),
            (RecipientState::Elsewhere, _) => Next::Underway(Reason::NextExchange),
            (RecipientState::Open, Phase::Resolving { lookup, .. }) => Next::Underway(lookup.reason()),
            (RecipientState::Open, Phase::Trying(trying)) => Next::Underway(trying.reason),
            (RecipientState::Open, Phase::RoundOver | Phase::Finished { .. }) => Next::Underway(Reason::RetryLater),
        };
        Some(Explanation {
            rounds: self.rounds,
            last: of.last.clone(),
            next,
            expires: self.config.schedule.expires(self.arrived),
        })
    }

    // ── rounds ──

    fn begin_round(&mut self, now: Instant) {
        self.rounds = self.rounds.saturating_add(1);
        let roll = self.dice.draw();
        // Beyond expiry as well: should the program die in its last round, that round is owed.
        self.next = now.plus(self.config.schedule.wait(self.rounds, roll));
        for recipient in &mut self.recipients {
            if let RecipientState::Deferred = recipient.state {
                recipient.state = RecipientState::Open;
            }
        }
        self.events.push_back(Event::Round { number: self.rounds, next: self.next });
        let seed = self.dice.fork().position().0;
        let routing = Arc::clone(&self.config.routing);
        let lookup = match &self.config.relay {
            Some(relay) => MxLookup::relay(&relay.host, routing, seed),
            None => MxLookup::new(&self.destination, routing, seed),
        };
        self.phase = Phase::Resolving { lookup, open: BTreeMap::new() };
    }

    fn end_round(&mut self, now: Instant) {
        self.timer.disarm();
        let waiting: Vec<usize> = self.unsettled().collect();
        if waiting.is_empty() {
            self.phase = Phase::Finished { told: false };
            return;
        }
        for &index in &waiting {
            self.recipients[index].state = RecipientState::Deferred;
        }
        let schedule = &self.config.schedule;
        let expires = schedule.expires(self.arrived);
        let roll = self.dice.draw();
        let Some(mut next) = schedule.next(self.arrived, self.rounds, now, roll) else {
            for index in waiting {
                let last = self.recipients[index].last.clone();
                self.settle(index, Disposition::Expired(last.unwrap_or_else(|| Arc::new(Diagnosis::expired()))));
            }
            self.phase = Phase::Finished { told: false };
            return;
        };
        // A server that greylists says when it will be ready; coming back then beats the usual wait.
        if let Some(wait) = self.greylisted(&waiting) {
            next = next.min(now.plus(wait));
        }
        self.next = next;
        if let Some(notice) = self.config.delay_notice
            && !self.delay_told
            && self.arrived.until(now) >= notice
        {
            self.delay_told = true;
            self.events.push_back(Event::Delayed { recipients: waiting.clone(), expires });
        }
        self.events.push_back(Event::Deferred { recipients: waiting, until: next });
        self.phase = Phase::Waiting;
    }

    /// The longest wait that the waiting recipients' servers asked for, if all of them only greylist.
    fn greylisted(&self, waiting: &[usize]) -> Option<Duration> {
        /// What a server that does not say gets: the usual minimum is five minutes (RFC 6647, 5).
        const USUAL: Duration = Duration::from_secs(6 * 60);
        const SHORTEST: Duration = Duration::from_secs(60);
        let mut longest = Duration::ZERO;
        for &index in waiting {
            let last = self.recipients[index].last.as_ref()?;
            if last.reason != Reason::Greylisted {
                return None;
            }
            longest = longest.max(last.wait.unwrap_or(USUAL).max(SHORTEST));
        }
        // A second of grace for clocks that round. Only for the first rounds: who greylists for ever gets no storm.
        (self.rounds <= 3).then(|| longest + Duration::from_secs(1))
    }

    fn unsettled(&self) -> impl Iterator<Item = usize> + '_ {
        let open = |recipient: &Recipient| !matches!(recipient.state, RecipientState::Settled(_));
        self.recipients.iter().enumerate().filter(move |(_, recipient)| open(recipient)).map(|(index, _)| index)
    }

    fn open(&self) -> impl Iterator<Item = usize> + '_ {
        let open = |recipient: &Recipient| matches!(recipient.state, RecipientState::Open);
        self.recipients.iter().enumerate().filter(move |(_, recipient)| open(recipient)).map(|(index, _)| index)
    }

    fn settle(&mut self, index: usize, how: Disposition) {
        let recipient = &mut self.recipients[index];
        recipient.last = Some(Arc::clone(how.diagnosis()));
        recipient.state = RecipientState::Settled(how);
        self.untold.push_back(index);
    }

    fn defer(&mut self, index: usize, why: &Arc<Diagnosis>) {
        let recipient = &mut self.recipients[index];
        recipient.last = Some(Arc::clone(why));
        recipient.state = RecipientState::Deferred;
    }

    // ── looking up ──

    fn resolved(&mut self, question: u64, answer: Result<Answer, DnsFailure>) -> bool {
        let Phase::Resolving { lookup, open } = &mut self.phase else { return false };
        let Some((name, record)) = open.remove(&question) else { return false };
        lookup.tell(&name, record, answer);
        true
    }

    fn routed(&mut self, outcome: Result<Route, Unroutable>) {
        self.timer.disarm();
        match outcome {
            //= 8689-2-2
            Ok(route) if self.config.require_tls && !route.authentic => {
                let why = Arc::new(Diagnosis::unvouched());
                let open: Vec<usize> = self.open().collect();
                for index in open {
                    self.settle(index, Disposition::Failed(Arc::clone(&why)));
                }
                self.phase = Phase::RoundOver;
            }
            Ok(route) => {
                let tls = self.config.protection(&route);
                let reason = route.by;
                self.phase = Phase::Trying(Trying {
                    route,
                    exchange: 0,
                    address: 0,
                    tls,
                    reason,
                    limit: usize::MAX,
                    unprotected: true,
                    open: None,
                });
            }
            Err(why) => {
                let diagnosis = Arc::new(Diagnosis::unroutable(why));
                let open: Vec<usize> = self.open().collect();
                for index in open {
                    if why.is_permanent() {
                        self.settle(index, Disposition::Failed(Arc::clone(&diagnosis)));
                    } else {
                        //= 5321-5.1-4
                        self.defer(index, &diagnosis);
                    }
                }
                self.phase = Phase::RoundOver;
            }
        }
    }

    // ── trying ──

    /// The next attempt, if recipients are left for it.
    fn attempt(&mut self) -> Option<Event> {
        let Phase::Trying(Trying { limit, .. }) = &self.phase else {
            unreachable!("attempts are only made while trying");
        };
        let limit = self.config.recipients.max(1).min(*limit);
        //= 5321-4.5.3.1.8-3, 5321-4.5.4.1-8
        let group: Vec<usize> = self.open().take(limit).collect();
        if group.is_empty() {
            if self.recipients.iter().any(|recipient| matches!(recipient.state, RecipientState::Elsewhere)) {
                self.go_on(Onward::NextHop);
            } else {
                self.phase = Phase::RoundOver;
            }
            return None;
        }
        let Phase::Trying(trying) = &mut self.phase else {
            unreachable!("it was a moment ago");
        };
        let (answer, question) = self.questions.ask::<ask::Attempt>();
        trying.open = Some((question, group.clone()));
        self.timer.arm(self.config.attempt_wait);
        let relay = self.config.relay.as_ref().filter(|_| trying.route.by == Reason::ConfiguredRelay);
        let exchange = &trying.route.exchanges[trying.exchange];
        let hop = Hop {
            name: exchange.name.clone(),
            address: exchange.addresses[trying.address],
            port: relay.map_or(self.config.port, |relay| relay.port),
            tls: trying.tls,
            implicit_tls: relay.is_some_and(|relay| relay.implicit_tls),
        };
        Some(Event::Attempt { answer, hop, recipients: group, reason: trying.reason })
    }

    fn attempted(&mut self, question: u64, answer: Result<Vec<Outcome>, HopFailure>) -> bool {
        let Phase::Trying(trying) = &mut self.phase else { return false };
        if trying.open.as_ref().is_none_or(|(open, _)| *open != question) {
            return false;
        }
        let (_, group) = trying.open.take().expect("it is the one that is open");
        let exchange = &trying.route.exchanges[trying.exchange];
        let remote = match &exchange.name {
            Some(name) => Destination::Domain(name.clone()),
            None => Destination::Address(exchange.addresses[trying.address]),
        };
        let relay = self.config.relay.as_ref().filter(|_| trying.route.by == Reason::ConfiguredRelay);
        let may_clear = trying.tls == TlsRequirement::Opportunistic && !relay.is_some_and(|relay| relay.implicit_tls);
        self.timer.disarm();
        let unprotected = match &answer {
            Err(HopFailure::Unsupported(Need::RequireTls)) => true,
            Err(HopFailure::Tls(_)) => self.config.require_tls,
            _ => false,
        };
        trying.unprotected &= unprotected;
        let onward = match answer {
            Ok(outcomes) => self.outcomes(&group, outcomes, &remote),
            Err(HopFailure::TooManyRecipients { limit }) if (1..group.len()).contains(&(limit as usize)) => {
                trying.limit = limit as usize;
                Onward::SameHop(Reason::NextGroup)
            }
            //= 8689-4.2.1-1, 8689-4.2.1-2
            Err(failure) if unprotected => {
                let why = Arc::new(Diagnosis::unprotected(&failure, remote));
                let open: Vec<usize> = self.open().collect();
                for index in open {
                    self.recipients[index].last = Some(Arc::clone(&why));
                }
                Onward::NextHop
            }
            Err(failure @ (HopFailure::Unsupported(_) | HopFailure::Unsendable { .. })) => {
                let why = Arc::new(Diagnosis::unsendable(&failure, remote));
                for index in group {
                    self.settle(index, Disposition::Failed(Arc::clone(&why)));
                }
                Onward::SameHop(Reason::NextGroup)
            }
            Err(HopFailure::Tls(_)) if may_clear => Onward::InClear,
            Err(failure) => {
                let why = Arc::new(Diagnosis::hop(&failure, remote));
                let open: Vec<usize> = self.open().collect();
                for index in open {
                    self.recipients[index].last = Some(Arc::clone(&why));
                }
                Onward::NextHop
            }
        };
        self.go_on(onward);
        true
    }

    /// What was said of each recipient of the group.
    fn outcomes(&mut self, group: &[usize], outcomes: Vec<Outcome>, remote: &Destination) -> Onward {
        let mut left = false;
        let mut over_limit = Vec::new();
        let mut progress = false;
        let outcomes = outcomes.into_iter().chain(core::iter::repeat(Outcome::NotSent(NotSent::Ended)));
        // Most recipients of a transaction share one reply; so do their diagnoses.
        let mut shared: Option<Arc<Diagnosis>> = None;
        let mut share = |diagnosis: Diagnosis| match &shared {
            Some(same) if **same == diagnosis => Arc::clone(same),
            _ => Arc::clone(shared.insert(Arc::new(diagnosis))),
        };
        for (&index, outcome) in group.iter().zip(outcomes) {
            match outcome {
                Outcome::Delivered(reply) => {
                    let why = share(Diagnosis::reply(&reply, Reason::Accepted, None, remote));
                    self.settle(index, Disposition::Delivered(why));
                    progress = true;
                }
                Outcome::Refused { at, reply } => {
                    let class = classify(at.into(), &reply);
                    let wait = match class.hint {
                        Hint::Greylisted { wait } => wait,
                        Hint::None | Hint::TooManyRecipients => None,
                    };
                    let why = share(Diagnosis::reply(&reply, class.reason(), wait, remote));
                    match class.verdict {
                        //= 5321-4.2.1-2, 5321-4.2.5-2
                        Verdict::Permanent => {
                            self.settle(index, Disposition::Failed(why));
                            progress = true;
                        }
                        Verdict::Transient if class.hint == Hint::TooManyRecipients => over_limit.push((index, why)),
                        //= 5321-4.2.1-1
                        Verdict::Transient if class.next_host() => {
                            let recipient = &mut self.recipients[index];
                            recipient.last = Some(why);
                            if class.scope == Scope::Host {
                                recipient.state = RecipientState::Elsewhere;
                            }
                            left = true;
                        }
                        // "Accepted" as a refusal is the caller's mistake; doing it again later is safe.
                        Verdict::Transient | Verdict::Accepted => {
                            self.defer(index, &why);
                        }
                    }
                }
                Outcome::Unknown => {
                    let recipient = &mut self.recipients[index];
                    recipient.unknown = recipient.unknown.saturating_add(1);
                    progress = true;
                    if recipient.unknown > 1 {
                        let why = share(Diagnosis::unknown(Reason::OutcomeUnknownTwice, remote));
                        self.settle(index, Disposition::Failed(why));
                    } else {
                        let why = share(Diagnosis::unknown(Reason::OutcomeUnknown, remote));
                        self.defer(index, &why);
                    }
                }
                Outcome::NotSent(NotSent::BadBody(why)) => {
                    // No server is offered a message that may smuggle (RFC 5321, 2.3.8).
                    let why = share(Diagnosis::unfit(&why, remote));
                    self.settle(index, Disposition::Failed(why));
                    progress = true;
                }
                //= 5321-3.8-3
                Outcome::NotSent(NotSent::Ended | NotSent::Abandoned | NotSent::ChunksRefused) => {
                    let lost = HopFailure::Lost(Text::literal("before the transaction was over"));
                    let why = share(Diagnosis::hop(&lost, remote.clone()));
                    self.recipients[index].last = Some(why);
                    left = true;
                }
            }
        }
        for (index, why) in over_limit {
            // Another transaction at once only if this one took somebody, or there would be no end.
            if progress {
                self.recipients[index].last = Some(why);
            } else {
                self.defer(index, &why);
            }
        }
        // A host that settles some works, whatever it said of others: those whose connection it closed get a new one.
        // As each such turn settles somebody, there is an end.
        if left && !progress { Onward::NextHop } else { Onward::SameHop(Reason::NextGroup) }
    }

    fn go_on(&mut self, onward: Onward) {
        if let Onward::NextHop = onward {
            for recipient in &mut self.recipients {
                if let RecipientState::Elsewhere = recipient.state {
                    recipient.state = RecipientState::Open;
                }
            }
        }
        let Phase::Trying(trying) = &mut self.phase else {
            unreachable!("an attempt was just answered");
        };
        match onward {
            Onward::SameHop(reason) => trying.reason = reason,
            Onward::InClear => {
                trying.tls = TlsRequirement::None;
                trying.reason = Reason::ClearAfterTlsFailure;
            }
            Onward::NextHop => {
                trying.tls = self.config.protection(&trying.route);
                trying.limit = usize::MAX;
                //= 5321-5.1-7, 5321-5.1-8
                trying.address += 1;
                trying.reason = Reason::NextAddress;
                if trying.address == trying.route.exchanges[trying.exchange].addresses.len() {
                    trying.address = 0;
                    trying.exchange += 1;
                    trying.reason = Reason::NextExchange;
                }
                if trying.exchange == trying.route.exchanges.len() {
                    let hopeless = trying.unprotected;
                    let nobody = Arc::new(Diagnosis::nobody());
                    let open: Vec<usize> = self.open().collect();
                    for index in open {
                        let why = self.recipients[index].last.clone().unwrap_or_else(|| Arc::clone(&nobody));
                        match hopeless {
                            true => self.settle(index, Disposition::Failed(why)),
                            false => self.defer(index, &why),
                        }
                    }
                    self.phase = Phase::RoundOver;
                }
            }
        }
    }

    /// Nobody answered in time.
    fn give_up_waiting(&mut self) {
        match &mut self.phase {
            // What was answered may suffice.
            Phase::Resolving { lookup, open } => {
                for (name, record) in core::mem::take(open).into_values() {
                    lookup.tell(&name, record, Err(DnsFailure::TimedOut));
                }
            }
            Phase::Trying(trying) => {
                if let Some((question, group)) = &trying.open {
                    let (question, unknown) = (*question, alloc::vec![Outcome::Unknown; group.len()]);
                    self.attempted(question, Ok(unknown));
                }
            }
            Phase::Waiting | Phase::RoundOver | Phase::Finished { .. } => {}
        }
    }
}

impl Machine for Delivery {
    type Event = Event;

    fn poll(&mut self, now: Instant) -> Step<Event> {
        loop {
            if let Some(index) = self.untold.pop_front() {
                let RecipientState::Settled(how) = &self.recipients[index].state else {
                    unreachable!("only settled recipients are untold");
                };
                return Step::Event(Event::Settled { recipient: index, how: how.clone() });
            }
            if let Some(event) = self.events.pop_front() {
                return Step::Event(event);
            }
            if self.timer.tick(now) {
                self.give_up_waiting();
                continue;
            }
            match &mut self.phase {
                Phase::Waiting => {
                    if self.unsettled().next().is_none() {
                        self.phase = Phase::Finished { told: false };
                        continue;
                    }
                    // A clock that was set back must not stretch the wait beyond what the schedule could have said.
                    self.next = self.next.min(now.plus(self.config.schedule.longest_wait()));
                    if now < self.next {
                        return Step::Idle { deadline: Some(self.next) };
                    }
                    self.begin_round(now);
                }
                Phase::Resolving { lookup, open } => {
                    let reason = lookup.reason();
                    if let Some((name, record)) = lookup.ask() {
                        let (answer, question) = self.questions.ask::<ask::Resolve>();
                        open.insert(question, (name.clone(), record));
                        self.timer.arm(self.config.resolve_wait);
                        return Step::Event(Event::Resolve { answer, name, record, reason });
                    }
                    match lookup.outcome() {
                        Some(outcome) => {
                            let outcome = outcome.clone();
                            self.routed(outcome);
                        }
                        None => return Step::Idle { deadline: self.timer.deadline() },
                    }
                }
                Phase::Trying(Trying { open: Some(_), .. }) => {
                    return Step::Idle { deadline: self.timer.deadline() };
                }
                Phase::Trying(Trying { open: None, .. }) => {
                    if let Some(event) = self.attempt() {
                        return Step::Event(event);
                    }
                }
                Phase::RoundOver => self.end_round(now),
                Phase::Finished { told } => {
                    if core::mem::replace(told, true) {
                        return Step::Idle { deadline: None };
                    }
                    return Step::Event(Event::Finished);
                }
            }
        }
    }
}
