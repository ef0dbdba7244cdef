//! Properties: what is encoded decodes to itself, and no input panics.

use bytes::{Bytes, BytesMut};
use postrider_imap::wire::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn octets() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        "[a-zA-Z0-9 \"\\\\()\\[\\]{}%*.@<>-]{0,20}".prop_map(Bytes::from),
        vec(any::<u8>(), 0..12).prop_map(Bytes::from),
        "[a-zäöü日本]{0,8}".prop_map(Bytes::from),
        Just(Bytes::from(vec![b'x'; 2000])),
        Just(Bytes::from_static(b"NIL")),
    ]
}

fn atom() -> impl Strategy<Value = Atom> {
    "X[A-Z0-9.=-]{1,30}".prop_map(|text| Atom::new(&text).unwrap())
}

fn mailbox() -> impl Strategy<Value = Mailbox> {
    prop_oneof![
        Just(Mailbox::INBOX),
        "[ -~äß日本😀]{1,40}".prop_map(|name| Mailbox::new(&name).unwrap()),
        Just(Mailbox::new("a&b/..\u{e9}").unwrap()),
    ]
}

fn pattern() -> impl Strategy<Value = ListPattern> {
    "[a-zA-Zé/%* &\"\\\\]{0,12}".prop_map(|text| ListPattern::new(text).unwrap())
}

fn flags() -> impl Strategy<Value = Flags> {
    let word = prop_oneof![
        Just("\\Seen".to_string()),
        Just("\\Deleted".to_string()),
        Just("$Junk".to_string()),
        Just("NonJunk".to_string()),
        "[a-zA-Z][a-z0-9$.-]{0,30}",
        "\\\\X[a-z]{0,8}",
    ];
    vec(word, 0..6).prop_map(|words| words.iter().map(|word| Flag::new(word).unwrap()).collect())
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![1u32..50, 1u32..=u32::MAX, Just(u32::MAX)]
}

fn number64() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..1000, 0u64..(1 << 63), Just((1 << 63) - 1)]
}

fn sequence_set() -> impl Strategy<Value = SequenceSet> {
    let ranges = vec((option::weighted(0.9, number()), option::weighted(0.9, number())), 0..8);
    ranges.prop_map(|ranges| {
        let mut set = SequenceSet::SAVED;
        for (first, last) in ranges {
            set.add(first, last);
        }
        set
    })
}

fn uid_set() -> impl Strategy<Value = UidSet> {
    vec((number(), 0u32..30), 1..8).prop_map(|ranges| {
        let mut set = UidSet::EMPTY;
        for (low, more) in ranges {
            set.push_range(low, low.saturating_add(more));
        }
        set
    })
}

fn date() -> impl Strategy<Value = Date> {
    (0i64..2_900_000).prop_map(|days| Date::from_days_since_epoch(days).unwrap())
}

fn date_time() -> impl Strategy<Value = DateTime> {
    (date(), 0u8..24, 0u8..60, 0u8..60, -1439i16..1440)
        .prop_map(|(d, h, m, s, z)| DateTime::new(d, h, m, s, z).unwrap())
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    let word = prop_oneof![
        Just("IMAP4rev1".to_string()),
        Just("AUTH=PLAIN".to_string()),
        Just("literal-".to_string()),
        "X[A-Z]{1,30}",
    ];
    vec(word, 1..6).prop_map(|words| words.iter().map(|word| Capability::new(Atom::new(word).unwrap())).collect())
}

fn id() -> impl Strategy<Value = Option<Id>> {
    option::of(vec((octets(), option::of(octets())), 0..4).prop_map(Id))
}

fn section() -> impl Strategy<Value = Section> {
    let fields = || vec(octets().prop_filter("named", |o| !o.is_empty()), 1..4);
    let text = prop_oneof![
        Just(None),
        Just(Some(SectionText::Header)),
        Just(Some(SectionText::Text)),
        Just(Some(SectionText::Mime)),
        fields().prop_map(|fields| Some(SectionText::HeaderFields(fields))),
        fields().prop_map(|fields| Some(SectionText::HeaderFieldsNot(fields))),
    ];
    (vec(1u32..20, 0..4), text).prop_map(|(mut part, text)| {
        if part.is_empty() && text == Some(SectionText::Mime) {
            part.push(1);
        }
        Section { part, text }
    })
}

// ── commands ──

fn search_key() -> impl Strategy<Value = SearchKey> {
    let leaf = prop_oneof![
        Just(SearchKey::All),
        Just(SearchKey::New),
        Just(SearchKey::Has(Flag::Seen)),
        Just(SearchKey::HasNot(Flag::Recent)),
        Just(SearchKey::HasNot(Flag::Junk)),
        "[a-z]{1,9}".prop_map(|word| SearchKey::Has(Flag::new(&word).unwrap())),
        date().prop_map(SearchKey::SentBefore),
        date().prop_map(SearchKey::Since),
        number().prop_map(SearchKey::Younger),
        octets().prop_map(SearchKey::Subject),
        octets().prop_map(SearchKey::Text),
        (octets(), octets()).prop_map(|(field, value)| SearchKey::Header { field, value }),
        number64().prop_map(SearchKey::Larger),
        number64().prop_map(SearchKey::ModSeq),
        sequence_set().prop_map(SearchKey::Messages),
        sequence_set().prop_map(SearchKey::Uid),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| SearchKey::Not(Box::new(key))),
            (inner.clone(), inner.clone()).prop_map(|keys| SearchKey::Or(Box::new(keys))),
            vec(inner, 2..4).prop_map(SearchKey::And),
        ]
    })
}

fn search() -> impl Strategy<Value = Search> {
    let partial = option::of((1i64..100, 1i64..100, any::<bool>()).prop_map(|(first, last, back)| {
        let sign = if back { -1 } else { 1 };
        SearchPartial { first: sign * first, last: sign * last }
    }));
    let returns = (any::<[bool; 5]>(), partial).prop_map(|([min, max, all, count, save], partial)| {
        let mut returns = SearchReturn::default();
        (returns.min, returns.max, returns.all) = (min, max, all);
        (returns.count, returns.save, returns.partial) = (count, save, partial);
        returns
    });
    (any::<bool>(), option::of(returns), option::of(octets()), search_key())
        .prop_map(|(uid, returns, charset, key)| Search { uid, returns, charset, key })
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let partial =
        || option::of((number64(), 1..=u64::MAX >> 1).prop_map(|(origin, length)| Partial { origin, length }));
    prop_oneof![
        Just(Attribute::Uid),
        Just(Attribute::Flags),
        Just(Attribute::InternalDate),
        Just(Attribute::Size),
        Just(Attribute::Envelope),
        Just(Attribute::BodyStructure),
        Just(Attribute::BodyBasic),
        Just(Attribute::ModSeq),
        Just(Attribute::Rfc822(Rfc822Part::Header)),
        any::<bool>().prop_map(|lazy| Attribute::Preview { lazy }),
        vec(1u32..9, 0..3).prop_map(Attribute::BinarySize),
        (section(), partial(), any::<bool>()).prop_map(|(section, partial, peek)| Attribute::Body(BodyPeek {
            section,
            partial,
            peek
        })),
        (vec(1u32..9, 0..3), partial(), any::<bool>()).prop_map(|(part, partial, peek)| {
            Attribute::Binary(BodyPeek { section: Section { part, text: None }, partial, peek })
        }),
    ]
}

fn status_items() -> impl Strategy<Value = StatusItems> {
    let item = prop_oneof![
        Just(StatusItem::Messages),
        Just(StatusItem::UidNext),
        Just(StatusItem::HighestModSeq),
        Just(StatusItem::MailboxId),
    ];
    vec(item, 1..4).prop_map(|items| items.into_iter().collect())
}

fn list() -> impl Strategy<Value = List> {
    let bits = any::<[bool; 7]>();
    (pattern(), vec(pattern(), 1..4), bits, option::of(status_items())).prop_map(
        |(reference, patterns, bits, status)| {
            let mut select = ListSelect::default();
            let mut returns = ListReturn::default();
            let [a, b, c, d, e, f, g] = bits;
            (select.subscribed, select.remote, select.special_use) = (a, b, c);
            select.recursive_match = d && (a || c);
            (returns.subscribed, returns.children, returns.special_use) = (e, f, g);
            returns.status = status.unwrap_or_default();
            let extended =
                patterns.len() > 1 || bits[..3].contains(&true) || bits[4..].contains(&true) || status.is_some();
            List { select, reference, patterns, returns, extended }
        },
    )
}

fn select_params() -> impl Strategy<Value = SelectParams> {
    let qresync = (number(), number64(), option::of(uid_set()), option::of((uid_set(), uid_set())))
        .prop_map(|(uid_validity, modseq, known, matching)| Qresync { uid_validity, modseq, known, matching });
    (any::<bool>(), option::of(qresync)).prop_map(|(condstore, qresync)| {
        let mut params = SelectParams::default();
        (params.condstore, params.qresync) = (condstore, qresync);
        params
    })
}

fn command() -> impl Strategy<Value = Command> {
    let use_of = vec(prop_oneof![Just(MailboxAttribute::Sent), atom().prop_map(MailboxAttribute::Other)], 0..3);
    let change = (prop_oneof![Just(StoreMode::Replace), Just(StoreMode::Add), Just(StoreMode::Remove)], flags())
        .prop_map(|(mode, flags)| FlagChange { mode, flags });
    let simple = prop_oneof![
        Just(Command::Capability),
        Just(Command::Noop),
        Just(Command::Logout),
        Just(Command::StartTls),
        Just(Command::Namespace),
        Just(Command::Idle),
        Just(Command::Check),
        Just(Command::Close),
        Just(Command::Unselect),
        Just(Command::Expunge(None)),
    ];
    prop_oneof![
        simple,
        (atom(), option::of(octets())).prop_map(|(mechanism, initial)| {
            Command::Authenticate(Authenticate { mechanism, initial: initial.map(Password::new) })
        }),
        (octets(), octets()).prop_map(|(user, password)| Command::Login { user, password: Password::new(password) }),
        capabilities().prop_map(Command::Enable),
        id().prop_map(Command::Id),
        (mailbox(), any::<bool>(), select_params()).prop_map(|(mailbox, read_only, params)| Command::Select {
            mailbox,
            read_only,
            params
        }),
        (mailbox(), use_of).prop_map(|(mailbox, special_use)| Command::Create { mailbox, special_use }),
        mailbox().prop_map(Command::Delete),
        (mailbox(), mailbox()).prop_map(|(from, to)| Command::Rename { from, to }),
        mailbox().prop_map(Command::Subscribe),
        mailbox().prop_map(Command::Unsubscribe),
        list().prop_map(Command::List),
        (pattern(), pattern()).prop_map(|(reference, pattern)| Command::Lsub { reference, pattern }),
        (mailbox(), status_items()).prop_map(|(mailbox, items)| Command::Status { mailbox, items }),
        (mailbox(), flags(), option::of(date_time()), number64(), any::<bool>(), any::<bool>()).prop_map(
            |(mailbox, flags, date, size, binary, utf8)| {
                Command::Append(Append { mailbox, flags, date, size, binary, utf8 })
            }
        ),
        sequence_set().prop_map(|set| Command::Expunge(Some(set))),
        search().prop_map(Command::Search),
        (any::<bool>(), sequence_set(), vec(attribute(), 1..6), option::of(number64()), any::<bool>()).prop_map(
            |(uid, messages, attributes, changed_since, vanished)| {
                let vanished = vanished && uid && changed_since.is_some();
                Command::Fetch(Fetch { uid, messages, attributes, changed_since, vanished })
            }
        ),
        (any::<bool>(), sequence_set(), change, any::<bool>(), option::of(number64())).prop_map(
            |(uid, messages, change, silent, unchanged_since)| {
                Command::Store(Store { uid, messages, change, silent, unchanged_since })
            }
        ),
        (any::<bool>(), sequence_set(), mailbox()).prop_map(|(uid, messages, to)| Command::Copy { uid, messages, to }),
        (any::<bool>(), sequence_set(), mailbox()).prop_map(|(uid, messages, to)| Command::Move { uid, messages, to }),
    ]
}

fn dialect() -> impl Strategy<Value = Dialect> {
    (any::<bool>(), prop_oneof![Just(Literals::Wait), Just(Literals::Minus), Just(Literals::Plus)])
        .prop_map(|(utf8, literals)| if utf8 { Dialect::UTF8 } else { Dialect::REV1 }.with_literals(literals))
}

// ── responses ──

fn text() -> impl Strategy<Value = postrider_core::Text> {
    "([a-z][ -~]{0,20}[a-z])?".prop_map(|text| postrider_core::Text::new(text).unwrap())
}

fn code() -> impl Strategy<Value = Code> {
    prop_oneof![
        Just(Code::Alert),
        Just(Code::ReadWrite),
        Just(Code::TryCreate),
        Just(Code::UnknownCte),
        (number(), uid_set()).prop_map(|(uid_validity, uids)| Code::AppendUid { uid_validity, uids }),
        (number(), uid_set(), uid_set()).prop_map(|(uid_validity, from, to)| Code::CopyUid { uid_validity, from, to }),
        vec("[A-Z0-9-]{1,9}".prop_map(Bytes::from), 0..3).prop_map(Code::BadCharset),
        capabilities().prop_map(Code::Capability),
        number64().prop_map(Code::HighestModSeq),
        sequence_set().prop_map(Code::Modified),
        flags().prop_map(Code::PermanentFlags),
        number().prop_map(Code::UidNext),
        number().prop_map(Code::Unseen),
        (atom(), option::of("[a-z][a-z ]{0,9}")).prop_map(|(name, arguments)| Code::Other {
            name,
            arguments: arguments.map(|text| postrider_core::Text::new(text).unwrap())
        }),
    ]
}

fn status(conditions: &'static [Condition]) -> impl Strategy<Value = Status> {
    (proptest::sample::select(conditions), option::of(code()), text()).prop_map(|(condition, code, text)| Status {
        condition,
        code,
        text,
    })
}

fn address() -> impl Strategy<Value = Address<'static>> {
    let part = || option::of(octets().prop_map(|o| o.to_vec().into()));
    (part(), part(), part(), part()).prop_map(|(name, route, mailbox, host)| Address { name, route, mailbox, host })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (vec(option::of(octets()), 4), vec(vec(address(), 0..3), 6), any::<bool>()).prop_map(|(texts, lists, default)| {
        let mut builder = EnvelopeBuilder::new();
        type Set = fn(&mut EnvelopeBuilder, &[u8]);
        let set: [Set; 4] = [
            |b, t| {
                let _ = b.date(t);
            },
            |b, t| {
                let _ = b.subject(t);
            },
            |b, t| {
                let _ = b.in_reply_to(t);
            },
            |b, t| {
                let _ = b.message_id(t);
            },
        ];
        for (set, text) in set.iter().zip(&texts) {
            if let Some(text) = text {
                set(&mut builder, text);
            }
        }
        for (index, list) in lists.iter().enumerate() {
            for address in list {
                match index {
                    0 => builder.from(address),
                    1 => builder.sender(address),
                    2 => builder.reply_to(address),
                    3 => builder.to(address),
                    4 => builder.cc(address),
                    _ => builder.bcc(address),
                };
            }
        }
        builder.build(default)
    })
}

#[derive(Clone, Debug)]
enum Tree {
    Part(u64),
    Text(u64),
    Multi(Vec<Tree>),
    Message(Box<Envelope>, Box<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![number64().prop_map(Tree::Part), number64().prop_map(Tree::Text)];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(Tree::Multi),
            (envelope(), inner).prop_map(|(envelope, body)| Tree::Message(Box::new(envelope), Box::new(body))),
        ]
    })
}

fn build(tree: &Tree, extended: bool, builder: &mut BodyBuilder) {
    let params: &[(&[u8], &[u8])] = &[(b"charset", b"utf-8"), (b"name", b"a \"b\"\r\n")];
    let mut fields = PartFields { media_type: b"APPLICATION", media_subtype: b"X", octets: 7, ..Default::default() };
    fields.id = Some(b"<1@x>");
    fields.params = params;
    if extended {
        fields.disposition = Some((b"attachment", params));
        fields.languages = &[b"en", b"de"];
        fields.location = Some(b"here");
    }
    match tree {
        Tree::Part(octets) => {
            fields.md5 = extended.then_some(b"md5");
            fields.octets = *octets;
            builder.part(&fields);
        }
        Tree::Text(lines) => {
            fields.media_type = b"text";
            fields.lines = Some(*lines);
            builder.part(&fields);
        }
        Tree::Multi(children) => {
            fields.media_subtype = b"mixed";
            if !extended {
                fields.params = &[];
            }
            builder.multipart(&fields);
            children.iter().for_each(|child| build(child, extended, builder));
            builder.end();
        }
        Tree::Message(envelope, body) => {
            fields.media_type = b"message";
            fields.media_subtype = b"rfc822";
            fields.lines = Some(3);
            builder.message(&fields, (**envelope).clone());
            build(body, extended, builder);
            builder.end();
        }
    }
}

fn structure() -> impl Strategy<Value = BodyStructure> {
    (tree(), any::<bool>()).prop_map(|(tree, extended)| {
        let mut builder = BodyBuilder::new();
        build(&tree, extended, &mut builder);
        builder.build(extended)
    })
}

fn item() -> impl Strategy<Value = FetchItem> {
    let data = || option::of(octets());
    prop_oneof![
        number().prop_map(FetchItem::Uid),
        flags().prop_map(FetchItem::Flags),
        date_time().prop_map(FetchItem::InternalDate),
        number64().prop_map(FetchItem::Size),
        envelope().prop_map(FetchItem::Envelope),
        structure().prop_map(FetchItem::BodyStructure),
        (section(), option::of(number64()), data()).prop_map(|(section, origin, data)| FetchItem::Body {
            section,
            origin,
            data
        }),
        (vec(1u32..9, 0..3), option::of(number64()), data()).prop_map(|(part, origin, data)| FetchItem::Binary {
            part,
            origin,
            data
        }),
        (vec(1u32..9, 0..3), number64()).prop_map(|(part, size)| FetchItem::BinarySize { part, size }),
        data().prop_map(|data| FetchItem::Rfc822 { part: Rfc822Part::Text, data }),
        number64().prop_map(FetchItem::ModSeq),
        Just(FetchItem::ThreadId(None)),
        Just(FetchItem::EmailId(Bytes::from_static(b"M6d99ac3275bb4e"))),
        data().prop_map(FetchItem::Preview),
        option::of(date_time()).prop_map(FetchItem::SaveDate),
    ]
}

fn entry() -> impl Strategy<Value = ListEntry> {
    let attribute = prop_oneof![
        Just(MailboxAttribute::NoSelect),
        Just(MailboxAttribute::Trash),
        atom().prop_map(MailboxAttribute::Other)
    ];
    let delimiter = proptest::sample::select(vec![None, Some('/'), Some('.'), Some('\\'), Some('"')]);
    (vec(attribute, 0..3), delimiter, option::of(mailbox()), vec(atom(), 0..2), option::of(mailbox())).prop_map(
        |(attributes, delimiter, mailbox, child_info, old_name)| ListEntry {
            attributes,
            delimiter,
            mailbox,
            child_info,
            old_name,
        },
    )
}

fn mailbox_status() -> impl Strategy<Value = MailboxStatus> {
    let small = || option::of(number());
    (mailbox(), small(), small(), option::of(number64()), option::of(option::of(number64())), any::<bool>()).prop_map(
        |(mailbox, messages, uid_next, size, append_limit, has_id)| MailboxStatus {
            messages,
            uid_next,
            size,
            append_limit,
            mailbox_id: has_id.then(|| Bytes::from_static(b"F22")),
            ..MailboxStatus::new(mailbox)
        },
    )
}

fn esearch() -> impl Strategy<Value = Esearch> {
    let small = || option::of(number());
    let partial = option::of(uid_set().prop_map(|found| (SearchPartial { first: -1, last: -100 }, found)));
    (
        option::of(octets()),
        any::<bool>(),
        small(),
        small(),
        option::of(uid_set()),
        small(),
        option::of(number64()),
        partial,
    )
        .prop_map(|(tag, uid, min, max, all, count, modseq, partial)| Esearch {
            tag,
            uid,
            min,
            max,
            all,
            count,
            modseq,
            partial,
            others: vec![],
        })
}

fn namespaces() -> impl Strategy<Value = Namespaces> {
    let entry =
        || (pattern(), option::of(Just('/'))).prop_map(|(prefix, delimiter)| NamespaceEntry { prefix, delimiter });
    (vec(entry(), 0..3), vec(entry(), 0..2), vec(entry(), 0..2))
        .prop_map(|(personal, other_users, shared)| Namespaces { personal, other_users, shared })
}

pub(super) fn response() -> impl Strategy<Value = Response> {
    const TAGGED: &[Condition] = &[Condition::Ok, Condition::No, Condition::Bad];
    const UNTAGGED: &[Condition] = &[Condition::Ok, Condition::No, Condition::Bad, Condition::Bye, Condition::PreAuth];
    let data = prop_oneof![
        status(UNTAGGED).prop_map(Data::Status),
        capabilities().prop_map(Data::Capability),
        capabilities().prop_map(Data::Enabled),
        id().prop_map(Data::Id),
        entry().prop_map(Data::List),
        entry().prop_map(Data::Lsub),
        namespaces().prop_map(Data::Namespace),
        mailbox_status().prop_map(Data::MailboxStatus),
        flags().prop_map(Data::Flags),
        (uid_set(), option::of(number64())).prop_map(|(found, modseq)| Data::Search { found, modseq }),
        esearch().prop_map(Data::Esearch),
        any::<u32>().prop_map(Data::Exists),
        any::<u32>().prop_map(Data::Recent),
        number().prop_map(Data::Expunge),
        (any::<bool>(), uid_set()).prop_map(|(earlier, uids)| Data::Vanished { earlier, uids }),
        (any::<u32>(), vec(item(), 0..5)).prop_map(|(number, items)| Data::Fetch { number, items }),
    ];
    prop_oneof![
        8 => data.prop_map(Response::Data),
        1 => status(TAGGED).prop_map(|status| Response::Tagged { tag: Tag::new("A1]x").unwrap(), status }),
        1 => "[ -~]{0,20}".prop_map(|text| Response::Continue(Continue { text: text.into() })),
    ]
}

/// The one unit that `wire` is, literals and all.
fn frame(mut framer: Framer, wire: &[u8]) -> Bytes {
    loop {
        match framer.next(wire).expect("within the limits") {
            Frame::Literal(announced) if announced.len == wire.len() => return Bytes::copy_from_slice(wire),
            Frame::Literal(_) => assert!(framer.inline()),
            Frame::Unit { len, end } => {
                assert_eq!(len + end, wire.len(), "{}", wire.escape_ascii());
                return Bytes::copy_from_slice(&wire[..len]);
            }
            other => panic!("{other:?} in {}", wire.escape_ascii()),
        }
    }
}

const LARGE: FrameLimits = FrameLimits::new(1 << 20, 10_000);

proptest! {
    #[test]
    fn commands_decode_to_themselves(command in command(), dialect in dialect()) {
        let tagged = TaggedCommand { tag: Tag::new("a1").unwrap(), command };
        let mut out = Encoder::commands(dialect);
        tagged.encode(&mut out);
        let unit = frame(Framer::commands(LARGE), &out.to_bytes());
        let decoded = parse_command(&unit, dialect);
        prop_assert_eq!(decoded, Ok(tagged), "{}", unit.escape_ascii());
    }

    #[test]
    fn responses_decode_to_themselves(response in response(), utf8 in any::<bool>()) {
        let dialect = if utf8 { Dialect::UTF8 } else { Dialect::REV1 };
        let mut out = Encoder::responses(dialect);
        response.encode(&mut out);
        let unit = frame(Framer::responses(LARGE), &out.to_bytes());
        let decoded = parse_response(&unit, dialect);
        prop_assert_eq!(decoded, response, "{}", unit.escape_ascii());
    }

    #[test]
    fn damaged_input_never_panics(
        command in command(), response in response(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>()
    ) {
        let mut out = Encoder::commands(Dialect::REV1);
        TaggedCommand { tag: Tag::new("a1").unwrap(), command }.encode(&mut out);
        let commands = out.to_bytes();
        let mut out = Encoder::responses(Dialect::REV1);
        response.encode(&mut out);
        for wire in [commands, out.to_bytes()] {
            let mut bad = BytesMut::from(&wire[..]);
            for (at, byte) in &damage {
                let at = at.index(bad.len());
                bad[at] = *byte;
            }
            bad.truncate(cut.index(bad.len()) + 1);
            let bad = bad.freeze();
            let _ = parse_command(&bad, Dialect::UTF8);
            let _ = format!("{:?}", parse_response(&bad, Dialect::REV1));
        }
    }

    #[test]
    fn noise_never_panics(noise in "[a-zA-Z0-9*+() \\[\\]{}\"\\\\\r\n]{0,80}", start in prop_oneof![
        Just("* 1 FETCH ("), Just("* LIST "), Just("a UID "), Just("a SEARCH "), Just("* OK ["), Just("")
    ]) {
        let unit = Bytes::from(format!("{start}{noise}"));
        let _ = parse_command(&unit, Dialect::REV1);
        let _ = format!("{:?}", parse_response(&unit, Dialect::UTF8));
    }

    #[test]
    fn lines_hold_neither_cr_nor_lf(command in command(), response in response(), dialect in dialect()) {
        let mut out = Encoder::commands(dialect);
        TaggedCommand { tag: Tag::new("a1").unwrap(), command }.encode(&mut out);
        let mut responses = Encoder::responses(dialect);
        response.encode(&mut responses);
        for piece in out.pieces().chain(responses.pieces()) {
            if let Piece::Line { octets, .. } = piece {
                prop_assert!(!octets.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)), "{}", octets.escape_ascii());
            }
        }
    }
}
