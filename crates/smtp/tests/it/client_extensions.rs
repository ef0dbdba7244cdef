//! What the client makes of each extension, offered and not; and BURL, from session to session.

use allocation_counter::measure;
use bytes::Bytes;
use postrider_core::{Closed, Instant, Machine, Pending, ProtocolError, Secret, Session, Step, TlsInfo};
use postrider_sasl::{Attempt, Identity, Plain};
use postrider_smtp::client::{self, Outcome, Part, Plan, SendError};
use postrider_smtp::server::{self, Tls as When};
use postrider_smtp::wire::{EnvelopeId, EtrnTarget, Hold, Notify, OriginalRecipient, Ret, Url};
use postrider_smtp::{
    Accepted, Capabilities, Client, Delivered, Domain, EnhancedCode, Envelope, MailParams, Mailbox, RcptParams,
    Recipient, Refusal, Reply, Server,
};
use postrider_testkit::{Applications, Faults, Pair, Rng};
use std::sync::Arc;
use std::time::Duration;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("an address")
}

fn envelope() -> Envelope {
    Envelope::new(mailbox("a@client.example")).and_to(mailbox("x@mx.example"))
}

fn config() -> client::Config {
    client::Config::new("client.example".parse().expect("a name"))
}

/// A session with a server that offers these; it has said EHLO.
fn greeted(offers: &[&str]) -> Client {
    let mut client = Client::new(Arc::new(config()), 1);
    let offers: String = offers.iter().map(|offer| format!("250-{offer}\r\n")).collect();
    for said in ["220 mx.example\r\n".to_owned(), format!("250-mx.example\r\n250-PIPELINING\r\n{offers}250 HELP\r\n")] {
        assert_eq!(client.receive(said.as_bytes()), said.len());
        said_by(&mut client);
    }
    assert!(client.is_ready());
    client
}

fn said_by(client: &mut Client) -> String {
    let mut all = vec![];
    loop {
        while let Step::Event(_) = client.poll(Instant::ORIGIN) {}
        if client.output().is_empty() {
            return String::from_utf8(all).expect("UTF-8");
        }
        let n = client.output().len();
        all.extend_from_slice(client.output());
        client.sent(n);
    }
}

/// MAIL and RCPT as they go to a server that offers these.
fn sent(offers: &[&str], envelope: Envelope) -> Result<String, SendError> {
    let mut client = greeted(offers);
    client.send(envelope)?;
    Ok(said_by(&mut client))
}

fn status(error: &SendError) -> Option<EnhancedCode> {
    error.status()
}

#[test]
fn no_soliciting_is_said_where_it_is_understood_and_heeded() {
    let soliciting = || {
        let mut envelope = envelope();
        envelope.params.solicitation = Some("com.example:ADV,org.example:SURVEY".parse().expect("classes"));
        envelope
    };
    let plain = "MAIL FROM:<a@client.example>\r\nRCPT TO:<x@mx.example>\r\nDATA\r\n";
    assert_eq!(sent(&[], soliciting()).as_deref(), Ok(plain), "not offered: the parameter is left out");
    let with = plain.replace("e>\r\nR", "e> SOLICIT=com.example:ADV,org.example:SURVEY\r\nR");
    assert_eq!(sent(&["NO-SOLICITING"], soliciting()), Ok(with.clone()));
    assert_eq!(sent(&["NO-SOLICITING net.example:ADV"], soliciting()), Ok(with));
    let refused = sent(&["NO-SOLICITING net.example:X,org.example:SURVEY"], soliciting());
    assert_eq!(refused, Err(SendError::Unsolicited), "before MAIL (RFC 3865, 2.3)");
    assert_eq!(status(&SendError::Unsolicited), EnhancedCode::new(5, 7, 1));
    assert_eq!(sent(&["NO-SOLICITING org.example:SURVEY"], envelope()).as_deref(), Ok(plain), "others may come");
}

#[test]
fn rrvs_is_needed_unless_the_sender_can_do_without() {
    let since = |text: &str| {
        let mut envelope = envelope();
        envelope.recipients[0].params.valid_since = Some(text.parse().expect("a time"));
        envelope
    };
    let strict = "2014-04-03T23:01:00Z";
    let with = sent(&["RRVS"], since(strict)).expect("it is offered");
    assert!(with.contains("RCPT TO:<x@mx.example> RRVS=2014-04-03T23:01:00Z\r\n"), "{with}");
    let with = sent(&["RRVS"], since("2014-04-03T23:01:00Z;C")).expect("it is offered");
    assert!(with.contains(" RRVS=2014-04-03T23:01:00Z;C\r\n"), "{with}");
    assert_eq!(sent(&[], since(strict)), Err(SendError::NeedsRrvs), "RFC 7293, 5.2");
    assert_eq!(status(&SendError::NeedsRrvs), EnhancedCode::new(5, 7, 19));
    let without = sent(&[], since("2014-04-03T23:01:00Z;C")).expect("it may go on");
    assert!(without.contains("RCPT TO:<x@mx.example>\r\n"), "{without}");
}

/// RFC 9422, RCPTDOMAINMAX: a transaction with too many domains is refused before MAIL, and a plan makes none.
#[test]
fn case_55_domains_divide_a_message() {
    let to = ["a@one.example", "b@two.example", "c@ONE.example", "d@three.example", "e@two.example", "f@one.example"];
    let all = || to.iter().fold(Envelope::new(mailbox("a@client.example")), |all, to| all.and_to(mailbox(to)));
    let error = sent(&["LIMITS RCPTDOMAINMAX=2"], all()).expect_err("there are three");
    assert_eq!(error, SendError::TooManyDomains { limit: 2 });
    assert_eq!(status(&error), None, "divided it may go");
    assert!(sent(&["LIMITS RCPTDOMAINMAX=3"], all()).is_ok());

    let offered = Capabilities::from_reply(&Reply::parse(b"250-mx\r\n250 LIMITS RCPTDOMAINMAX=2").expect("a reply"));
    assert_eq!(offered.recipient_domains_max, Some(2));
    let mut plan = Plan::new(all());
    let mut seen = vec![];
    while let Some(part) = plan.next(&offered) {
        let mut client = greeted(&["LIMITS RCPTDOMAINMAX=2"]);
        client.send(part.clone()).expect("each part fits");
        let mut hosts = vec![];
        for recipient in &part.recipients {
            let mailbox = recipient.to.mailbox().expect("a mailbox");
            seen.push(mailbox.as_str().to_owned());
            let host = mailbox.host();
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        assert!(hosts.len() <= 2, "{hosts:?}: their case does not matter");
        plan.finished(vec![Outcome::Unknown; part.recipients.len()]);
    }
    assert_eq!(seen, to, "each once, in order");
}

/// RFC 3461, 5.2.2: what only asks for reports is left out where nobody would understand it.
#[test]
fn dsn_parameters_are_left_out_where_dsn_is_not_offered() {
    let asking = || {
        let mut envelope = envelope();
        envelope.params.ret = Some(Ret::Headers);
        envelope.params.envelope_id = Some(EnvelopeId::new("QQ+314159").expect("an id"));
        envelope.recipients[0].params.notify = Some(Notify { success: true, failure: true, delay: false });
        envelope.recipients[0].params.original = OriginalRecipient::of(&mailbox("b@old.example")).ok();
        envelope
    };
    let plain = "MAIL FROM:<a@client.example>\r\nRCPT TO:<x@mx.example>\r\nDATA\r\n";
    assert_eq!(sent(&[], asking()).as_deref(), Ok(plain));
    let with = sent(&["DSN"], asking()).expect("it is offered");
    assert!(with.starts_with("MAIL FROM:<a@client.example> RET=HDRS ENVID=QQ+2B314159\r\n"), "{with}");
    assert!(with.contains("RCPT TO:<x@mx.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@old.example\r\n"), "{with}");
}

#[test]
fn deliver_by_is_needed_if_the_message_is_to_be_returned() {
    let by = |text: &str| {
        let mut envelope = envelope();
        envelope.params.deliver_by = Some(text.parse().expect("a time and a mode"));
        envelope
    };
    assert_eq!(sent(&[], by("60;R")), Err(SendError::NeedsDeliverBy));
    assert_eq!(sent(&["DELIVERBY 61"], by("60;R")), Err(SendError::NeedsDeliverBy), "RFC 2852, 2: the shortest");
    assert_eq!(status(&SendError::NeedsDeliverBy), EnhancedCode::new(5, 3, 3));
    let with = sent(&["DELIVERBY 60"], by("60;R")).expect("long enough");
    assert!(with.starts_with("MAIL FROM:<a@client.example> BY=60;R\r\n"), "{with}");
    let notice = sent(&["DELIVERBY 61"], by("-60;NT")).expect("a notice may be late");
    assert!(notice.starts_with("MAIL FROM:<a@client.example> BY=-60;NT\r\n"), "{notice}");
    let without = sent(&[], by("60;N")).expect("only a notice");
    assert!(without.starts_with("MAIL FROM:<a@client.example>\r\n"), "{without}");
}

#[test]
fn a_message_is_held_only_where_that_is_offered() {
    let held = |hold| {
        let mut envelope = envelope();
        envelope.params.hold = Some(hold);
        envelope
    };
    let until = || Hold::Until("2030-01-01T00:00:00Z".parse().expect("a time"));
    for (offers, hold) in [
        (&[][..], Hold::For(60)),
        (&["FUTURERELEASE 59 2030-01-01T00:00:00Z"][..], Hold::For(60)),
        (&["FUTURERELEASE 60 2029-12-31T23:59:59Z"][..], until()),
        // Without its limits nobody knows what may be asked for.
        (&["FUTURERELEASE"][..], Hold::For(60)),
    ] {
        assert_eq!(sent(offers, held(hold)), Err(SendError::NeedsFutureRelease), "{offers:?}");
    }
    assert_eq!(status(&SendError::NeedsFutureRelease), EnhancedCode::new(5, 3, 3));
    let offers = ["FUTURERELEASE 60 2030-01-01T00:00:00Z"];
    let with = sent(&offers, held(Hold::For(60))).expect("not too long");
    assert!(with.starts_with("MAIL FROM:<a@client.example> HOLDFOR=60\r\n"), "{with}");
    let with = sent(&offers, held(until())).expect("not too late");
    assert!(with.starts_with("MAIL FROM:<a@client.example> HOLDUNTIL=2030-01-01T00:00:00Z\r\n"), "{with}");
}

#[test]
fn priority_is_a_wish() {
    let urgent = || {
        let mut envelope = envelope();
        envelope.params.priority = Some("9".parse().expect("a priority"));
        envelope
    };
    let with = sent(&["MT-PRIORITY STANAG4406"], urgent()).expect("it is offered");
    assert!(with.starts_with("MAIL FROM:<a@client.example> MT-PRIORITY=9\r\n"), "{with}");
    let without = sent(&[], urgent()).expect("RFC 6710, 4.5");
    assert!(without.starts_with("MAIL FROM:<a@client.example>\r\n"), "{without}");
}

#[test]
fn etrn_is_asked_where_it_is_offered() {
    let domain = || Domain::parse("client.example").expect("a domain");
    assert!(greeted(&[]).turn_queue(EtrnTarget::Host(domain())).is_err());
    for (target, said) in [
        (EtrnTarget::Host(domain()), "ETRN client.example\r\n"),
        (EtrnTarget::Below(domain()), "ETRN @client.example\r\n"),
        (EtrnTarget::queue("uucp").expect("a queue's name"), "ETRN #uucp\r\n"),
    ] {
        let mut client = greeted(&["ETRN"]);
        client.turn_queue(target).expect("it is offered");
        assert_eq!(said_by(&mut client), said);
        assert!(!client.is_ready());
        assert_eq!(client.receive(b"253 OK, 14 pending messages\r\n"), 29);
        said_by(&mut client);
        assert!(client.is_ready());
    }
}

/// A greeting's reply of ten thousand lines, and one of a line of a gigabyte: the session ends at its limits, and holds
/// no more than they say.
#[test]
fn case_43_a_reply_of_ten_thousand_lines_or_of_a_gigabyte() {
    const GIGABYTE: u64 = 1 << 30;
    let line = b"250-X-SOMETHING that goes on for a while\r\n";
    let endless = [b'x'; 64 << 10];
    let mut roomy = config();
    roomy.limits.reply_lines = usize::MAX;
    // What goes round and round, how much of it, the limits, what it must come to.
    let lines = (10_000 * line.len()) as u64;
    type Ends = fn(&ProtocolError) -> bool;
    let table: [(&[u8], u64, client::Config, Ends); 3] = [
        (line, lines, config(), |why| matches!(why, ProtocolError::TooMuch { what: "lines", limit: 128 })),
        (line, lines, roomy, |why| matches!(why, ProtocolError::TooMuch { what: "octets", limit: 0x10000 })),
        (&endless, GIGABYTE, config(), |why| matches!(why, ProtocolError::LineTooLong { limit: 2048 })),
    ];
    for (piece, total, config, expected) in table {
        let mut client = Client::new(Arc::new(config), 1);
        assert_eq!(client.receive(b"220 mx.example\r\n"), 16);
        said_by(&mut client);
        let mut closed = None;
        let (mut given, mut taken) = (0u64, 0u64);
        let counted = measure(|| {
            if piece.len() > 1000 {
                taken += client.receive(b"250-") as u64;
            }
            let mut rest = piece;
            while given < total {
                let n = client.receive(rest);
                (given, taken) = (given + n as u64, taken + n as u64);
                rest = if n == rest.len() { piece } else { &rest[n..] };
                while let Step::Event(event) = client.poll(Instant::ORIGIN) {
                    if let client::Event::Closed(why) = event {
                        closed = Some(why);
                    }
                }
                if closed.is_some() && client.window() == 0 {
                    break;
                }
            }
        });
        let Some(Closed::Protocol(why)) = &closed else { panic!("{closed:?}") };
        assert!(expected(why), "{why:?}");
        assert!(client.capabilities().is_none(), "nothing of it is believed");
        // The window's worth, the reply so far and its index.
        assert!(counted.bytes_max < 512 << 10, "{} octets held at once", counted.bytes_max);
        assert!(given >= total || taken < 512 << 10, "{taken} octets taken and no more");
    }
}

// ── BURL, from session to session ──

const ONE: &str = "imap://alice@imap.example/outbox;uid=1;urlauth=submit+alice:internal:91354a47";
const TWO: &str = "imap://alice@imap.example/outbox;uid=2;urlauth=submit+alice:internal:91354a48";

/// A client that logs in and sends one message of parts, and a server that fetches them from a table.
struct Assembling {
    parts: Vec<Part>,
    finished: Vec<Vec<Outcome>>,
    refused: Option<SendError>,
    collected: Vec<u8>,
    stored: Vec<Vec<u8>>,
    resets: usize,
    fetching: Option<(Pending<server::ask::Burl>, Url)>,
    missing: Option<&'static str>,
}

impl Assembling {
    fn of(parts: Vec<Part>) -> Self {
        Self {
            parts,
            finished: vec![],
            refused: None,
            collected: vec![],
            stored: vec![],
            resets: 0,
            fetching: None,
            missing: None,
        }
    }

    fn run(mut self, seed: u64, faults: Faults, chunking: bool) -> Self {
        let mut server = server::Config::submission("mx.example".parse().expect("a name"), When::Required);
        server.burl = Some("imap".parse().expect("words"));
        server.chunking = chunking;
        let mut client = config();
        client.tls = client::Tls::Required;
        client.limits.chunk = 100;
        let (client, server) = (Client::new(Arc::new(client), 1), Server::new(Arc::new(server), 2));
        Pair::new(seed, faults, client, server).run(&mut self).unwrap_or_else(|why| panic!("{why}"));
        self
    }
}

impl Applications<Client, Server> for Assembling {
    fn on_a(&mut self, client: &mut Client, event: client::Event, _: &mut Rng) {
        match event {
            client::Event::Ready => {
                let early = client.send_parts(envelope(), self.parts.clone());
                assert_eq!(early, Err(SendError::NeedsBurl), "no URL before the login (RFC 4468, 3.1)");
                let plain = Plain::new("alice", &Secret::new("wonderland".into())).expect("sendable");
                client.authenticate(Box::new(plain)).expect("PLAIN is offered over TLS");
            }
            client::Event::Authenticated(outcome) => {
                outcome.expect("the password is right");
                self.refused = client.send_parts(envelope(), std::mem::take(&mut self.parts)).err();
                if self.refused.is_some() {
                    client.quit();
                }
            }
            client::Event::BodyWanted { .. } => panic!("the session has all of it"),
            client::Event::Finished { outcomes, .. } => {
                self.finished.push(outcomes);
                client.quit();
            }
            _ => {}
        }
    }

    fn on_b(&mut self, server: &mut Server, event: server::Event, _: &mut Rng) {
        match event {
            server::Event::Auth { answer, attempt } => {
                let Attempt::Password { user, .. } = attempt else { panic!("PLAIN shows a password") };
                server.answer(answer, Ok(Identity::new(user))).expect("just asked");
            }
            server::Event::Mail { answer, .. } => server.accept(answer).expect("just asked"),
            server::Event::Rcpt { answer, .. } => server.accept(answer).expect("just asked"),
            server::Event::Data { answer } => server.accept(answer).expect("just asked"),
            server::Event::Body(octets) => self.collected.extend_from_slice(&octets),
            server::Event::Burl { answer, url, .. } => self.fetching = Some((answer, url)),
            server::Event::Message { answer, .. } => {
                self.stored.push(std::mem::take(&mut self.collected));
                server.answer(answer, Ok(Delivered::to_all(Accepted::default()))).expect("just asked");
            }
            server::Event::Reset => {
                self.collected.clear();
                self.resets += 1;
            }
            server::Event::Closed(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn between(&mut self, _: &mut Client, server: &mut Server, rng: &mut Rng) -> bool {
        // The IMAP server takes its time.
        if self.fetching.is_some() && !rng.one_in(3) {
            return true;
        }
        let Some((answer, url)) = self.fetching.take() else { return false };
        let found = if self.missing == Some(url.as_str()) {
            Err(Refusal::permanent(554, (6, 6), postrider_core::Text::literal("No such message")))
        } else {
            self.collected.extend_from_slice(match url.as_str() {
                ONE => b"Subject: one\r\n\r\nOne\r\n",
                TWO => b"--b\r\n\r\nTwo\r\n",
                other => panic!("{other} was not sent"),
            });
            Ok(())
        };
        server.answer(answer, found).is_ok()
    }
}

fn url(text: &str) -> Part {
    Part::Url(Url::parse(text).expect("a URL"))
}

fn octets(text: &'static [u8]) -> Part {
    Part::Octets(Bytes::from_static(text))
}

fn faults() -> Faults {
    Faults { delay: Duration::from_millis(300), ..Faults::NONE }
}

#[test]
fn burl_alone_submits_a_message_that_never_came_here() {
    for seed in 0..20 {
        for chunking in [false, true] {
            let both = Assembling::of(vec![url(ONE)]).run(seed, faults(), chunking);
            assert!(both.finished[0][0].is_delivered(), "seed {seed}: {:?}", both.finished);
            assert_eq!(both.stored, [b"Subject: one\r\n\r\nOne\r\n"]);
        }
    }
}

#[test]
fn burl_and_chunks_are_put_together_in_their_order() {
    let long: &'static [u8] = &[b'x'; 350];
    let parts = vec![url(ONE), octets(b"--b\r\n\r\n"), octets(long), octets(b"\r\n"), url(TWO), octets(b"--b--")];
    let expected = [b"Subject: one\r\n\r\nOne\r\n--b\r\n\r\n", long, b"\r\n--b\r\n\r\nTwo\r\n--b--\r\n"].concat();
    for seed in 0..20 {
        let both = Assembling::of(parts.clone()).run(seed, faults(), true);
        assert!(both.finished[0][0].is_delivered(), "seed {seed}: {:?}", both.finished);
        assert_eq!(both.stored, std::slice::from_ref(&expected), "seed {seed}");
        // A server without CHUNKING is not even asked.
        let both = Assembling::of(parts.clone()).run(seed, faults(), false);
        assert_eq!(both.refused, Some(SendError::NeedsChunking));
        assert!(both.stored.is_empty() && both.finished.is_empty());
    }
}

#[test]
fn burl_that_cannot_be_fetched_fails_the_whole_message() {
    for seed in 0..20 {
        for missing in [ONE, TWO] {
            let mut both = Assembling::of(vec![octets(b"A: b\r\n"), url(ONE), octets(b"More\r\n"), url(TWO)]);
            both.missing = Some(missing);
            let both = both.run(seed, faults(), true);
            let Outcome::Refused { reply, .. } = &both.finished[0][0] else { panic!("{:?}", both.finished) };
            assert_eq!(reply.enhanced(), EnhancedCode::new(5, 6, 6), "seed {seed}");
            assert!(both.stored.is_empty(), "seed {seed}");
            assert!(both.resets > 0, "seed {seed}");
        }
    }
}

/// RFC 9422, 4.3: the limit is the session's, however its recipients become known.
#[test]
fn case_55_domains_are_counted_in_an_open_transaction() {
    let mut client = greeted(&["LIMITS RCPTDOMAINMAX=1"]);
    let to = |address: &str| Recipient { to: mailbox(address).into(), params: RcptParams::default() };
    let of = client.open(mailbox("a@client.example").into(), MailParams::default()).expect("it is ready");
    client.add(of, to("x@one.example")).expect("the first");
    assert_eq!(client.add(of, to("x@two.example")), Err(SendError::TooManyDomains { limit: 1 }));
    client.add(of, to("y@ONE.example")).expect("of the same");
    let said = said_by(&mut client);
    assert!(said.ends_with("RCPT TO:<x@one.example>\r\nRCPT TO:<y@ONE.example>\r\n"), "{said}");
    client.cancel(of).expect("it is open");
    for _ in 0..4 {
        assert_eq!(client.receive(b"250 ok\r\n"), 8);
        said_by(&mut client);
    }
    assert_eq!(client.send(envelope()), Err(SendError::TooManyDomains { limit: 1 }), "nor later in the session");
}

/// RFC 8689, 4.2.1: the server must be known by its certificate.
#[test]
fn require_tls_is_said_to_a_verified_server_only() {
    for verified in [false, true] {
        let mut config = config();
        config.tls = client::Tls::Implicit;
        let mut client = Client::new(Arc::new(config), 1);
        said_by(&mut client);
        let pending = client.upgrade().expect("TLS comes first");
        let mut info = TlsInfo::default();
        info.verified = verified;
        client.tls(pending, Ok(info)).expect("it is asked for");
        for said in ["220 mx.example\r\n", "250-mx.example\r\n250 REQUIRETLS\r\n"] {
            assert_eq!(client.receive(said.as_bytes()), said.len());
            said_by(&mut client);
        }
        let mut envelope = envelope();
        envelope.params.require_tls = true;
        let sent = client.send(envelope).map(|_| said_by(&mut client));
        let expected = if verified {
            Ok("MAIL FROM:<a@client.example> REQUIRETLS\r\n".to_owned())
        } else {
            Err(SendError::NeedsRequireTls)
        };
        assert_eq!(sent, expected);
    }
}
