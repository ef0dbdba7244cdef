//! Delivery status notifications: RFC 3464, 3461, 6522.

use std::time::Duration;

use postrider_core::{Instant, Text};
use postrider_mta::dsn::{Action, Original, RecipientReport, Report, is_wanted};
use postrider_mta::{Destination, Name, Said};
use postrider_smtp::wire::{EnhancedCode, EnvelopeId, Notify, OriginalRecipient, RcptParams, Reply};
use postrider_smtp::{ForwardPath, ReversePath};
use proptest::prelude::*;

const NOW: Instant = Instant::after_origin(Duration::from_secs(1_800_000_000));

fn sender() -> ReversePath {
    "<a@example.org>".parse().unwrap()
}

fn recipient(action: Action) -> RecipientReport {
    let to: ForwardPath = "<nobody@example.net>".parse().unwrap();
    let class = if action == Action::Delayed { 4 } else { 5 };
    RecipientReport::new(to, &RcptParams::default(), action, EnhancedCode::literal(class, 1, 1))
}

fn report(recipients: Vec<RecipientReport>) -> Report {
    let mut report = Report::new(&sender(), Name::new("mx.example").unwrap(), "4f2a91", NOW).unwrap();
    report.recipients = recipients;
    report
}

/// What a strict reader of MIME sees: the header, and each part's header and body.
struct Read {
    head: String,
    parts: Vec<(String, String)>,
}

fn read(octets: &[u8]) -> Read {
    let text = String::from_utf8(octets.to_vec()).expect("valid UTF-8");
    assert!(!text.contains('\0'));
    for line in text.split("\r\n") {
        assert!(line.chars().count() <= 998, "a line of {} octets", line.len());
        assert!(!line.contains(['\r', '\n']), "a bare line end in {line:?}");
    }
    let (head, body) = text.split_once("\r\n\r\n").expect("a header ends");
    let boundary = head.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let (content, end) = body.rsplit_once(&format!("\r\n--{boundary}--\r\n")).expect("the last boundary");
    assert_eq!(end, "");
    let delimiter = format!("\r\n--{boundary}\r\n");
    let parts = content.split(&delimiter).skip(1).map(|part| {
        let (head, body) = part.split_once("\r\n\r\n").expect("a part's header ends");
        (head.to_string(), body.to_string())
    });
    Read { head: head.to_string(), parts: parts.collect() }
}

fn unfolded(fields: &str) -> String {
    fields.replace("\r\n ", " ")
}

//= 5321-3.6.3-2, 5321-3.6.3-4, 5321-6.1-2, 5321-4.4-10
//= 3461-6.1-1, 3461-6.1-2, 3461-6.1-3, 3461-6.3-1, 3461-6.3-2, 3461-6.3-3, 3461-6.3-4, 3461-6.3-5, 3461-6.3-6, 3461-6.3-7, 3461-6.3-8
//= 5321-3.6.3-2, 5321-3.6.3-4, 5321-6.1-2, 5321-4.4-10
//= 3461-6.1-1, 3461-6.1-2, 3461-6.1-3, 3461-6.3-1, 3461-6.3-2, 3461-6.3-3, 3461-6.3-4, 3461-6.3-5, 3461-6.3-6, 3461-6.3-7, 3461-6.3-8
#[test]
fn a_failure_is_reported_with_all_that_is_known() {
    let mut failed = recipient(Action::Failed);
    failed.original = Some(OriginalRecipient::new("rfc822", "old@example.com").unwrap());
    failed.remote = Some(Destination::Domain(Name::new("mx.example.net").unwrap()));
    failed.said = Some(Said::from(&Reply::parse(b"550-5.1.1 no such user,\r\n550 5.1.1 sorry").unwrap()));
    failed.last_attempt = Some(NOW);
    let mut report = report(vec![failed]);
    report.arrived = Some(NOW);
    report.envelope_id = Some(EnvelopeId::new("QQ314159").unwrap());
    let written =
        report.write(Original::Header(b"Message-ID: <1@example.org>\r\nSubject: hi\r\n\r\nbody\r\n")).unwrap();
    assert!(!written.eight_bit);
    assert_eq!(written.envelope.from, ReversePath::Null);
    assert_eq!(written.envelope.recipients[0].to.as_str(), "a@example.org");
    let read = read(&written.octets);
    for field in [
        "From: Mail Delivery System <mailer-daemon@mx.example>",
        "To: <a@example.org>",
        "Date: Fri, 15 Jan 2027 08:00:00 +0000",
        "Message-ID: <4f2a91.dsn@mx.example>",
        "In-Reply-To: <1@example.org>",
        "Auto-Submitted: auto-replied",
        "Content-Type: multipart/report; report-type=delivery-status;",
    ] {
        assert!(unfolded(&read.head).contains(field), "{field} in {}", read.head);
    }
    assert_eq!(read.parts.len(), 3);
    assert!(read.parts[0].1.contains("<nobody@example.net>: failed (5.1.1)"));
    assert!(read.parts[1].0.starts_with("Content-Type: message/delivery-status\r\n"));
    let expected = "Original-Envelope-Id: QQ314159\r\n\
                    Reporting-MTA: dns; mx.example\r\n\
                    Arrival-Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n\
                    \r\n\
                    Original-Recipient: rfc822; old@example.com\r\n\
                    Final-Recipient: rfc822; nobody@example.net\r\n\
                    Action: failed\r\n\
                    Status: 5.1.1\r\n\
                    Remote-MTA: dns; mx.example.net\r\n\
                    Diagnostic-Code: smtp; 550 5.1.1 no such user, sorry\r\n\
                    Last-Attempt-Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n";
    assert_eq!(read.parts[1].1, expected);
    assert!(read.parts[2].0.starts_with("Content-Type: text/rfc822-headers\r\n"));
    assert_eq!(read.parts[2].1, "Message-ID: <1@example.org>\r\nSubject: hi\r\n");
}

#[test]
fn a_delay_says_until_when() {
    let to: ForwardPath = "<slow@example.net>".parse().unwrap();
    let delayed = RecipientReport::delayed(to, &RcptParams::default(), None, NOW.plus(Duration::from_secs(3600)));
    let written = report(vec![delayed]).write(Original::Message(b"Subject: hi\r\n\r\nbody\r\n")).unwrap();
    let read = read(&written.octets);
    assert!(read.parts[1].1.contains("Action: delayed\r\nStatus: 4.0.0\r\n"));
    assert!(read.parts[1].1.contains("Will-Retry-Until: Fri, 15 Jan 2027 09:00:00 +0000\r\n"));
    assert!(read.parts[2].0.contains("text/rfc822-headers"), "RFC 3461, 4.3: all of it only for failures");
}

//= 5321-3.6.3-3, 5321-4.5.4-1, 5321-4.5.5-1, 3461-5.2-1
#[test]
fn nobody_reports_about_reports() {
    assert!(Report::new(&ReversePath::Null, Name::new("mx.example").unwrap(), "1", NOW).is_none());
    assert!(report(vec![]).write(Original::None).is_none());
}

//= 3461-5.2.2-2, 3461-5.2.2-3, 3461-5.2.2-4, 3461-5.2.2-5, 3461-5.2.2-6, 3461-5.2.5-1, 3461-5.2.6-1, 3461-5.2.6-2, 3461-5.2.6-3
#[test]
fn notify_is_honoured() {
    let with = |notify| {
        let mut params = RcptParams::default();
        params.notify = notify;
        params
    };
    let only = |success, failure, delay| Some(Notify { success, failure, delay });
    use Action::*;
    let table = [
        (None, vec![Failed, Delayed]),
        (Some(Notify::NEVER), vec![]),
        (only(true, false, false), vec![Delivered, Relayed, Expanded]),
        (only(false, true, false), vec![Failed]),
        (only(false, false, true), vec![Delayed]),
        (only(true, true, true), vec![Failed, Delayed, Delivered, Relayed, Expanded]),
    ];
    for (notify, wanted) in table {
        for action in [Failed, Delayed, Delivered, Relayed, Expanded] {
            assert_eq!(is_wanted(action, &sender(), &with(notify)), wanted.contains(&action), "{notify:?} {action:?}");
            assert!(!is_wanted(action, &ReversePath::Null, &with(notify)));
        }
    }
}

//= 3461-6.2-2
#[test]
fn the_whole_message_goes_back_only_if_it_fits() {
    let fails = || report(vec![recipient(Action::Failed)]);
    let third = |report: &Report, octets: &[u8]| {
        let written = report.write(Original::Message(octets)).unwrap();
        read(&written.octets).parts.pop().unwrap()
    };
    let whole = third(&fails(), b"Subject: hi\r\n\r\nbody\r\n");
    assert!(whole.0.contains("message/rfc822") && whole.0.contains("7bit"));
    assert_eq!(whole.1, "Subject: hi\r\n\r\nbody\r\n");
    let eight = third(&fails(), "Subject: hi\r\n\r\nb\u{f6}dy\r\n".as_bytes());
    assert!(eight.0.contains("8bit"));
    for misfit in [&b"S: x\r\n\r\nbare\nlf\r\n"[..], b"S: x\r\n\r\nnul\0\r\n", &[b'x'; 1000]] {
        assert!(third(&fails(), misfit).0.contains("text/rfc822-headers"));
    }
    let mut small = fails();
    small.message_limit = 10;
    assert!(third(&small, b"Subject: hi\r\n\r\nbody\r\n").0.contains("text/rfc822-headers"));
}

#[test]
fn a_long_header_is_cut_between_fields() {
    let mut report = report(vec![recipient(Action::Failed)]);
    report.header_limit = 60;
    let header = format!("A: 1\r\nB: {}\r\n folded\r\nC: {}\r\nD: 4\r\n\r\n", "b".repeat(20), "c".repeat(50));
    let written = report.write(Original::Header(header.as_bytes())).unwrap();
    let part = read(&written.octets).parts.pop().unwrap().1;
    assert_eq!(part, format!("A: 1\r\nB: {}\r\n folded\r\n", "b".repeat(20)));
    // Without an empty line all of it is header.
    report.header_limit = 1000;
    let written = report.write(Original::Header(b"A: 1\nB: 2")).unwrap();
    assert_eq!(read(&written.octets).parts.pop().unwrap().1, "A: 1\r\nB: 2\r\n");
}

#[test]
fn boundaries_do_not_occur_in_what_they_bound() {
    let header = b"A: 1\r\n--=_4f2a91_0\r\n--=_4f2a91_1--\r\n\r\n";
    let written = report(vec![recipient(Action::Failed)]).write(Original::Header(header)).unwrap();
    let read = read(&written.octets);
    assert_eq!(read.parts.len(), 3);
    assert!(read.head.contains("=_4f2a91_2"));
}

//= 6531-3.2-6
#[test]
fn addresses_beyond_ascii_are_encoded_in_the_status_part() {
    let to: ForwardPath = "<j\u{f6}rg@example.net>".parse().unwrap();
    let failed = RecipientReport::new(to, &RcptParams::default(), Action::Failed, EnhancedCode::literal(5, 1, 1));
    let mut report = report(vec![failed]);
    report.to = "\u{e4}@example.org".parse().unwrap();
    let written = report.write(Original::None).unwrap();
    assert!(written.eight_bit && written.envelope.params.smtp_utf8);
    let read = read(&written.octets);
    assert!(read.head.contains("To: <\u{e4}@example.org>"));
    assert!(read.parts[0].1.contains("<j=C3=B6rg@example.net>"));
    assert!(read.parts[1].1.contains("Final-Recipient: utf-8; j\\x{F6}rg@example.net\r\n"));
    assert!(read.parts[1].1.is_ascii());
}

#[test]
fn a_hostile_id_and_message_id_stay_out() {
    let mut report = report(vec![recipient(Action::Failed)]);
    report.id = "x\r\nBcc: all@example.org\r\n\"".into();
    let written = report.write(Original::Header(b"Message-ID: <1@x>\x00 <evil>\r\n\r\n")).unwrap();
    let read = read(&written.octets);
    assert!(!read.head.contains("Bcc:") && !read.head.contains("In-Reply-To"));
}

proptest! {
    /// Whatever a remote host said and the original held, the report is MIME that a strict reader understands.
    #[test]
    fn hostile_replies_and_headers_make_valid_mime(
        said in prop::collection::vec(any::<u8>(), 0..3000),
        detail in ".{0,600}",
        header in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(b'-'), Just(0)], 0..3000),
        whole in any::<bool>(),
    ) {
        let mut line = b"550 ".to_vec();
        line.extend(said.iter().filter(|octet| **octet != b'\n'));
        let mut failed = recipient(Action::Failed);
        if let Ok(reply) = Reply::parse(&line) {
            failed.said = Some(Said::from(&reply));
        }
        failed.detail = Some(Text::lossy(&detail, 600));
        let mut without_reply = failed.clone();
        without_reply.said = None;
        let original = if whole { Original::Message(&header) } else { Original::Header(&header) };
        let written = report(vec![failed, without_reply]).write(original).unwrap();
        // The message itself may be 8-bit, in any charset; everything before it is ours.
        let text = String::from_utf8_lossy(&written.octets).into_owned();
        let read = read(text.as_bytes());
        prop_assert_eq!(read.parts.len(), 3);
        let status = unfolded(&read.parts[1].1);
        prop_assert!(status.is_ascii());
        let names = ["Reporting-MTA", "Final-Recipient", "Action", "Status", "Diagnostic-Code"];
        for line in status.split("\r\n").filter(|line| !line.is_empty()) {
            prop_assert!(names.iter().any(|name| line.starts_with(&format!("{name}: "))), "{:?}", line);
            prop_assert!(line.len() < 2200);
        }
    }
}
