//! What real servers send, and what is made of it. One bad datum never costs the message; one bad response never
//! costs the session.

use bytes::Bytes;
use postrider_imap::wire::*;

fn parse(line: &[u8]) -> Response {
    parse_response(&Bytes::copy_from_slice(line), Dialect::REV1)
}

fn data(line: &str) -> Data {
    match parse(line.as_bytes()) {
        Response::Data(data) => data,
        other => panic!("{line}: {other:?}"),
    }
}

fn status(line: &str) -> Status {
    match parse(line.as_bytes()) {
        Response::Data(Data::Status(status)) | Response::Tagged { status, .. } => status,
        other => panic!("{line}: {other:?}"),
    }
}

fn items(line: &[u8]) -> Vec<FetchItem> {
    match parse(line) {
        Response::Data(Data::Fetch { items, .. }) => items,
        other => panic!("{}: {other:?}", line.escape_ascii()),
    }
}

fn flags(words: &[&str]) -> Flags {
    words.iter().map(|word| Flag::new(word).unwrap()).collect()
}

fn is_raw(data: &Data) -> bool {
    matches!(data, Data::Raw(_))
}

#[test]
fn gmail_sends_a_code_without_text() {
    let status = status("* OK [HIGHESTMODSEQ 123]");
    assert_eq!(status.code, Some(Code::HighestModSeq(123)));
    assert_eq!(status.text.as_str(), "");
}

#[test]
fn a_tagged_ok_without_any_text() {
    let Response::Tagged { tag, status } = parse(b"a1 OK") else { panic!() };
    assert_eq!((tag.as_str(), status.condition, status.code), ("a1", Condition::Ok, None));
}

#[test]
fn outlook_and_163_send_loose_status() {
    let Data::MailboxStatus(status) = data("* STATUS INBOX (MESSAGES 0) ") else { panic!() };
    assert_eq!((status.mailbox, status.messages), (Mailbox::INBOX, Some(0)));
    let Data::MailboxStatus(status) = data("* STATUS \"INBOX\" ()") else { panic!() };
    assert_eq!(status, MailboxStatus::new(Mailbox::INBOX));
    let Data::MailboxStatus(status) = data("* STATUS Sent Items (UIDNEXT 0 MESSAGES 3 X-GURU (1 2))") else { panic!() };
    assert_eq!(status.mailbox.name(), "Sent Items");
    assert_eq!((status.uid_next, status.messages), (None, Some(3)));
    assert_eq!(status.others.len(), 2);
}

#[test]
fn spaces_at_the_end_of_a_line() {
    assert_eq!(data("* SEARCH 1 2 3 "), Data::Search { found: (1..=3).collect(), modseq: None });
    assert_eq!(data("* SEARCH "), Data::Search { found: UidSet::EMPTY, modseq: None });
    assert_eq!(data("* SEARCH"), Data::Search { found: UidSet::EMPTY, modseq: None });
    let rev1: Capabilities = [Capability::Imap4Rev1].into_iter().collect();
    assert_eq!(data("* CAPABILITY IMAP4rev1 "), Data::Capability(rev1));
}

#[test]
fn a_capability_torn_apart_grants_nothing() {
    let Data::Capability(found) = data("* CAPABILITY IMAP4rev1 LITERAL + IDLE") else { panic!() };
    assert!(found.contains(&Capability::Idle) && !found.contains(&Capability::LiteralPlus));
}

#[test]
fn surgemail_puts_a_space_after_the_last_flag() {
    let code = status("* OK [PERMANENTFLAGS (\\Answered $Forwarded )] Limited").code;
    assert_eq!(code, Some(Code::PermanentFlags(flags(&["\\Answered", "$Forwarded"]))));
}

#[test]
fn davmail_sends_two_spaces() {
    assert_eq!(data("*  522 EXISTS"), Data::Exists(522));
    let items = items(b"* 1 FETCH (UID 1989 FLAGS (\\Seen)  RFC822.SIZE 10)");
    assert_eq!(items, [FetchItem::Uid(1989), FetchItem::Flags(flags(&["\\Seen"])), FetchItem::Size(10)]);
}

#[test]
fn exchange_sends_an_empty_continuation() {
    assert_eq!(parse(b"+"), Response::Continue(Continue { text: Bytes::new() }));
    assert_eq!(parse(b"+ "), Response::Continue(Continue { text: Bytes::new() }));
}

#[test]
fn exchange_2013_sends_a_code_without_ok() {
    let (from, to) = (UidSet::from_iter([10]), UidSet::from_iter([233]));
    assert_eq!(status("* [COPYUID 124 10 233]").code, Some(Code::CopyUid { uid_validity: 124, from, to }));
}

#[test]
fn codes_with_nonsense_in_them_are_kept_as_text() {
    for (line, name, arguments) in [
        ("* OK [COPYUID 701  ]", "COPYUID", "701  "),
        ("* OK [UIDVALIDITY 0]", "UIDVALIDITY", "0"),
        ("* OK [UIDNEXT 0] next", "UIDNEXT", "0"),
        ("* OK [UNSEEN 0]", "UNSEEN", "0"),
    ] {
        match status(line).code {
            Some(Code::Other { name: have, arguments: Some(text) }) => {
                assert!(have.is(name) && text.as_str() == arguments, "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn courier_fetches_message_zero() {
    let Data::Fetch { number, .. } = data("* 0 FETCH (FLAGS (\\Seen))") else { panic!() };
    assert_eq!(number, 0);
}

#[test]
fn a_fetch_of_nothing_and_one_with_a_tag_for_its_star() {
    assert_eq!(data("* 6 FETCH ()"), Data::Fetch { number: 6, items: vec![] });
    assert_eq!(data("A1234 987 FETCH ()"), Data::Fetch { number: 987, items: vec![] });
    assert_eq!(data("987 FETCH (UID 5)"), Data::Fetch { number: 987, items: vec![FetchItem::Uid(5)] });
}

#[test]
fn gmail_and_greenmail_have_odd_flags() {
    assert_eq!(data("* FLAGS (\\Seen [Gmail]/x $Junk)"), Data::Flags(flags(&["\\Seen", "[Gmail]/x", "$Junk"])));
    assert_eq!(data("* FLAGS (\\Answered \\Seen \\*)"), Data::Flags(flags(&["\\Answered", "\\Seen", "\\*"])));
    // What is no flag at all is left out, and the others stay.
    assert_eq!(data("* FLAGS (\\Seen {x \\ $Junk)"), Data::Flags(flags(&["\\Seen", "$Junk"])));
}

#[test]
fn exchange_lists_bare_names_with_tabs_and_quotes() {
    let Data::List(entry) = data("* LIST (\\HasNoChildren) \"/\" INBOX/Da\tOggetto\t") else { panic!() };
    assert_eq!(entry.mailbox.unwrap().name(), "INBOX/Da\tOggetto\t");
    let Data::List(entry) = data("* LIST (\\HasNoChildren) \"/\" Calendar\"") else { panic!() };
    assert_eq!(entry.mailbox.unwrap().name(), "Calendar\"");
    assert_eq!(entry.attributes, [MailboxAttribute::HasNoChildren]);
}

#[test]
fn exchange_online_puts_an_exception_into_a_code() {
    let line = "a1 OK [Error=\"Microsoft.Exchange.Data.Storage.WrongServerException: x\" AuthResultFromPopImapEnd=0 \
                Proxy=a:1993:SSL Service=Imap4] AUTHENTICATE completed.";
    let status = status(line);
    assert_eq!(status.condition, Condition::Ok);
    assert!(status.text.as_str().ends_with("AUTHENTICATE completed."));
}

#[test]
fn what_is_no_response_is_raw() {
    assert!(is_raw(&data("Server Unavailable. 15")));
    assert!(is_raw(&data("421 Server is busy, try again later.")));
    assert!(is_raw(&data("* XYZZY 12 (a \"b\")")));
    assert!(is_raw(&data("* BYEBYE")));
    assert!(is_raw(&data("")));
}

#[test]
fn nul_before_a_response() {
    assert_eq!(data("\0\0* 3 EXISTS"), Data::Exists(3));
}

#[test]
fn free_sends_a_literal_below_zero() {
    let items = items(b"* 1 FETCH (UID 3 BODY[] {-1} FLAGS ())");
    assert_eq!(items[0], FetchItem::Uid(3));
    assert!(matches!(&items[1], FetchItem::Raw(raw) if raw.bytes.starts_with(b"BODY[]")));
}

#[test]
fn dovecot_reports_progress_at_any_time() {
    let status = status("* OK Searched 91% of the mailbox, ETA 0:01");
    assert_eq!(status.text.as_str(), "Searched 91% of the mailbox, ETA 0:01");
}

#[test]
fn icloud_rewrites_capability() {
    let Data::Capability(found) = data("* CAPABILITY XAPPLEPUSHSERVICE IMAP4rev1 IDLE") else { panic!() };
    assert!(found.contains(&Capability::Idle));
}

// ── ENVELOPE ──

fn envelope(text: &str) -> Envelope {
    let line = format!("* 1 FETCH (UID 7 ENVELOPE {text} FLAGS (\\Seen))");
    let items = items(line.as_bytes());
    assert_eq!(items.len(), 3, "{items:?}");
    assert_eq!(items[2], FetchItem::Flags(flags(&["\\Seen"])));
    match &items[1] {
        FetchItem::Envelope(envelope) => envelope.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_envelope_may_lack_its_last_fields() {
    let eight = envelope("(\"d\" \"s\" NIL NIL NIL NIL NIL NIL)");
    assert_eq!(eight.subject().as_deref(), Some(&b"s"[..]));
    assert_eq!(eight.message_id(), None);
    let nine = envelope("(NIL NIL ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL \"<r@x>\")");
    assert_eq!(nine.in_reply_to().as_deref(), Some(&b"<r@x>"[..]));
    assert_eq!(nine.from().len(), 1);
}

#[test]
fn an_envelope_may_lack_a_list_in_the_middle() {
    let short = envelope("(\"d\" \"s\" ((NIL NIL \"a\" \"b\")) NIL NIL \"<r@x>\" \"<m@x>\")");
    assert_eq!(short.message_id().as_deref(), Some(&b"<m@x>"[..]));
    assert_eq!((short.from().len(), short.to().len()), (1, 0));
}

#[test]
fn yahoo_has_empty_lists_and_others_spaces_in_them() {
    let found = envelope("(NIL NIL () () () ((NIL NIL \"a\" \"b\") (NIL NIL \"c\" \"d\")) NIL NIL NIL NIL)");
    assert_eq!((found.from().len(), found.to().len()), (0, 2));
}

#[test]
fn icloud_forgets_to_escape_quotes() {
    let found = envelope("(NIL \"a \\\"b\\\" \\\\\" NIL NIL NIL NIL NIL NIL NIL \"<\"abc\"@e.com>\")");
    assert_eq!(found.message_id().as_deref(), Some(&b"<\"abc\"@e.com>"[..]));
    assert_eq!(found.subject().as_deref(), Some(&b"a \"b\" \\"[..]));
}

#[test]
fn gmail_swaps_name_and_mailbox() {
    let found = envelope("(NIL NIL ((\"sender@domain.com\" NIL \"=?UTF-8?Q?x?=\" NIL)) NIL NIL NIL NIL NIL NIL NIL)");
    assert_eq!(found.from().next().unwrap().name.as_deref(), Some(&b"sender@domain.com"[..]));
}

#[test]
fn placeholders_of_dovecot_and_exchange_are_addresses() {
    let found = envelope(
        "(NIL NIL ((NIL NIL \"MISSING_MAILBOX\" \"MISSING_DOMAIN\")(NIL NIL \"a\" \".MISSING-HOST-NAME.\")) NIL NIL NIL NIL NIL NIL NIL)",
    );
    assert_eq!(found.from().len(), 2);
}

#[test]
fn eight_bits_in_quoted_strings() {
    let mut line = b"* 1 FETCH (ENVELOPE (NIL \"\xc4\xe3\xba\xc3\" NIL NIL NIL NIL NIL NIL NIL NIL) UID 1)".to_vec();
    let found = items(&line);
    assert!(matches!(&found[0], FetchItem::Envelope(e) if e.subject().as_deref() == Some(b"\xc4\xe3\xba\xc3")));
    line.extend_from_slice(b" ");
    assert_eq!(items(&line).len(), 2);
}

// ── BODYSTRUCTURE ──

fn structure(text: &str) -> BodyStructure {
    let line = format!("* 1 FETCH (BODYSTRUCTURE {text} UID 7)");
    let items = items(line.as_bytes());
    assert_eq!(items.len(), 2, "{items:?}");
    assert_eq!(items[1], FetchItem::Uid(7));
    match &items[0] {
        FetchItem::BodyStructure(structure) => structure.clone(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn sizes_below_zero() {
    let found = structure("(\"text\" \"plain\" NIL NIL NIL \"7bit\" -1 0)");
    assert_eq!((found.root().octets(), found.root().lines()), (None, Some(0)));
    let found = structure("(\"text\" \"plain\" NIL NIL NIL \"7bit\" 5 -1)");
    assert_eq!((found.root().octets(), found.root().lines()), (Some(5), None));
}

#[test]
fn a_parameter_without_value() {
    let found = structure("(\"text\" \"plain\" (\"boundary\" NIL) NIL NIL \"7bit\" 1 1)");
    assert_eq!(found.root().param("BOUNDARY").as_deref(), Some(&b""[..]));
}

#[test]
fn office_365_sends_a_part_of_nothing() {
    let found = structure("(NIL NIL NIL NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)");
    assert_eq!(found.root().kind(), MediaKind::Basic);
    assert_eq!((found.root().media_type(), found.root().octets()), (None, Some(0)));
}

#[test]
fn multiparts_without_parts() {
    for (text, subtype) in [
        ("(NIL \"alternative\" (\"boundary\" \"x\") NIL NIL NIL)", "alternative"),
        ("(\"ALTERNATIVE\" (\"BOUNDARY\" \"==x\") NIL NIL)", "ALTERNATIVE"),
        ("(\"RELATED\" NIL (\"ATTACHMENT\" NIL) NIL)", "RELATED"),
        ("(\"ALTERNATIVE\")", "ALTERNATIVE"),
    ] {
        let found = structure(text);
        let root = found.root();
        assert_eq!(root.kind(), MediaKind::Multipart, "{text}");
        assert_eq!(root.media_subtype().as_deref(), Some(subtype.as_bytes()), "{text}");
        assert_eq!(root.children().count(), 0);
    }
    assert_eq!(
        structure("(\"RELATED\" NIL (\"ATTACHMENT\" NIL) NIL)").root().disposition().unwrap().kind.as_ref(),
        b"ATTACHMENT"
    );
    let inner = structure(
        "((\"ALTERNATIVE\" (\"BOUNDARY\" \"==x\") NIL NIL)(\"text\" \"html\" NIL NIL NIL \"7bit\" 1 1) \"MIXED\")",
    );
    assert_eq!(inner.root().children().count(), 2);
}

#[test]
fn gmail_sends_a_message_as_a_basic_part() {
    let found = structure(
        "(\"MESSAGE\" \"RFC822\" (\"NAME\" \"x.eml\") NIL NIL \"BASE64\" 400 NIL (\"ATTACHMENT\" (\"FILENAME\" \"x\")) NIL)",
    );
    assert_eq!(found.root().kind(), MediaKind::Basic);
    assert_eq!(found.root().disposition().unwrap().param("filename").as_deref(), Some(&b"x"[..]));
}

#[test]
fn exchange_puts_a_description_among_the_extensions() {
    let text = "((\"text\" \"plain\" NIL NIL NIL \"7bit\" 1 1)(\"application\" \"x\" NIL NIL NIL \"base64\" 9) \"signed\" (\"b\" \"c\") \"S/MIME\" NIL)";
    assert_eq!(structure(text).root().children().count(), 2);
}

#[test]
fn odd_tails_of_parts() {
    let found = structure("(\"text\" \"plain\" NIL NIL NIL \"7bit\" 12 NIL NIL NIL ())");
    assert_eq!((found.root().lines(), found.root().location()), (None, None));
    let found = structure("(\"image\" \"png\" NIL NIL NIL \"base64\" 12 7 NIL (\"inline\" NIL) \"en\" \"loc\")");
    assert_eq!(found.root().lines(), None);
    assert_eq!(found.root().languages().next().unwrap().as_ref(), b"en");
    assert_eq!(found.root().location().as_deref(), Some(&b"loc"[..]));
}

#[test]
fn a_bad_datum_costs_only_itself() {
    let line = b"* 9 FETCH (RFC822.SIZE 9.3736e+06 INTERNALDATE \"00-Jan-0000 00:00:00 +0000\" THREADID NIL \
        BODYSTRUCTURE (\"a\" \"b\" (c {d) UID 5 X-GM-LABELS (\\Inbox \"a b\" (\"(\")) MODSEQ (7))";
    let found = items(line);
    assert!(matches!(&found[0], FetchItem::Raw(raw) if raw.bytes.as_ref() == b"RFC822.SIZE 9.3736e+06"));
    assert!(matches!(&found[1], FetchItem::Raw(_)));
    assert_eq!(found[2], FetchItem::ThreadId(None));
    let line = b"* 9 FETCH (X-GM-LABELS (\\Inbox \"a b\" (\"(\")) UID 5 BODY[HEADER.FIELDS (A B)] 12 MODSEQ (7))";
    let found = items(line);
    assert!(matches!(&found[0], FetchItem::Raw(raw) if raw.bytes.starts_with(b"X-GM-LABELS (")));
    assert_eq!(found[1], FetchItem::Uid(5));
    assert_eq!(found[3], FetchItem::ModSeq(7));
}

#[test]
fn dates_out_of_range() {
    let found = items(
        b"* 1 FETCH (INTERNALDATE \" 1-Jan-1909 00:00:00 +0000\" INTERNALDATE \"01-Jan-2000 00:00:00 +9999\" UID 4)",
    );
    assert!(matches!(&found[0], FetchItem::InternalDate(date) if date.date().year() == 1909));
    assert!(matches!(&found[1], FetchItem::Raw(_)));
    assert_eq!(found[2], FetchItem::Uid(4));
}

#[test]
fn a_namespace_without_delimiter() {
    let Data::Namespace(found) = data("* NAMESPACE ((\"\" NIL)) NIL ((\"Public Folders/\" \"/\" \"X\" (\"a\" \"b\")))")
    else {
        panic!()
    };
    assert_eq!(found.personal[0].delimiter, None);
    assert_eq!(found.shared[0].prefix.as_str(), Some("Public Folders/"));
}
