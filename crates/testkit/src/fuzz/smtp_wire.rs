//! What SMTP writes between octets and types: commands, replies, addresses, messages.

use super::split;
use crate::Rng;
use bytes::BytesMut;
use postrider_smtp::wire::{
    BareNewlines, Body, Capabilities, ChunkReader, Command, DataReader, DataWriter, EnhancedCode, EnvelopeId,
    MailParams, OriginalRecipient, Parameter, Quirks, RcptParams, Reply, ReplyError, ReplyReader, Verb,
};
use postrider_smtp::{AddressLiteral, Domain, ForwardPath, HelloName, Host, LocalPart, Mailbox, Refusal, ReversePath};

/// Each line as a command: what is read is written so that it is read the same, with and without quirks.
pub fn smtp_command(data: &[u8]) {
    for line in data.split(|&octet| octet == b'\n') {
        for quirks in [Quirks::NONE, Quirks::INTEROP] {
            let Ok(command) = Command::parse(line, quirks) else { continue };
            assert_eq!(Verb::of(line), Some(command.verb()), "the verb of {}", line.escape_ascii());
            let again = command.encode();
            assert!(!again.contains(['\r', '\n', '\0']), "{again:?} is no line");
            // What was forgiven is not written.
            let read = Command::parse(again.as_bytes(), Quirks::NONE)
                .unwrap_or_else(|why| panic!("{again:?} is not read again: {why}"));
            assert_eq!(read.encode(), again);
            assert_eq!(format!("{read:?}"), format!("{command:?}"));
            match &command {
                Command::Mail { params, .. } => {
                    let text = params.to_string();
                    assert_eq!(text.parse::<MailParams>().as_ref(), Ok(params), "{text:?}");
                }
                Command::Rcpt { params, .. } => {
                    let text = params.to_string();
                    assert_eq!(text.parse::<RcptParams>().as_ref(), Ok(params), "{text:?}");
                }
                _ => {}
            }
        }
    }
}

/// Lines as replies, however many belong together: what is read is bounded, lossless, and safe to show.
pub fn smtp_reply(data: &[u8]) {
    const LINES: usize = 20;
    const OCTETS: usize = 2000;
    let mut reader = ReplyReader::new(LINES, OCTETS);
    let mut wire = vec![];
    for line in data.split(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        wire.extend_from_slice(line);
        wire.extend_from_slice(b"\r\n");
        match reader.line(line) {
            Ok(None) => assert!(reader.is_within()),
            Ok(Some(reply)) => {
                assert!(!reader.is_within());
                check_reply(&reply, &wire);
                wire.clear();
            }
            Err(ReplyError::Malformed(_) | ReplyError::TooLong { .. }) => {
                reader = ReplyReader::new(LINES, OCTETS);
                wire.clear();
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(code) = EnhancedCode::parse(text.as_bytes())
    {
        assert_eq!(EnhancedCode::parse(code.to_string().as_bytes()), Ok(code));
    }

    fn check_reply(reply: &Reply, wire: &[u8]) {
        assert!(reply.lines().count() <= LINES && reply.lines().map(<[u8]>::len).sum::<usize>() <= OCTETS);
        assert_eq!(Reply::parse(wire).as_ref(), Ok(reply), "{}", wire.escape_ascii());
        // Lossless: with the code before each line, it is what came, but for what is between the code and nothing.
        let mut again = vec![];
        let last = reply.lines().count();
        for (index, line) in reply.lines().enumerate() {
            again.extend_from_slice(reply.code().to_string().as_bytes());
            again.push(if index + 1 == last { b' ' } else { b'-' });
            again.extend_from_slice(line);
            again.extend_from_slice(b"\r\n");
        }
        assert_eq!(Reply::parse(&again).as_ref(), Ok(reply), "{}", again.escape_ascii());
        let shown = reply.to_string();
        assert!(!shown.contains(char::is_control) && shown.len() < 600, "{shown:?}");
        for limit in [0, 1, 7, 400] {
            assert!(reply.text(limit).as_str().len() <= limit);
        }
        assert_eq!(Refusal::try_from(reply).is_ok(), reply.is_transient() || reply.is_permanent());
        let offered = Capabilities::from_reply(reply);
        let mut mechanisms: Vec<&str> = offered.auth.iter().map(|mechanism| mechanism.as_str()).collect();
        mechanisms.sort_unstable();
        assert!(mechanisms.windows(2).all(|two| two[0] != two[1]), "a mechanism twice: {mechanisms:?}");
        for extension in &offered.other {
            assert!(offered.other(extension.keyword()).is_some());
            assert!(extension.params().all(|param| !param.is_empty() && !param.contains(char::is_control)));
        }
    }
}

/// Each line as an address and as its parts: exactly what was written, or nothing.
pub fn smtp_address(data: &[u8]) {
    for line in data.split(|&octet| octet == b'\n') {
        let Ok(text) = std::str::from_utf8(line) else { continue };
        if let Ok(domain) = Domain::parse(text) {
            assert_eq!(domain.as_str(), text);
            assert_eq!(domain.is_ascii(), text.is_ascii());
            let key = domain.to_key();
            // Two ways to write a domain have one key, and the key is one of them.
            if let Ok(again) = Domain::parse(&key) {
                assert_eq!(again.to_key(), key, "{text:?}");
            }
        }
        if let Ok(host) = Host::parse(text) {
            assert_eq!(host.as_str(), text);
        }
        if let Ok(literal) = AddressLiteral::parse(text) {
            assert_eq!(literal.as_str(), text);
            if let Some(ip) = literal.ip() {
                assert_eq!(AddressLiteral::from_ip(ip).ip(), Some(ip));
            }
        }
        if let Ok(hello) = HelloName::parse(text) {
            assert_eq!(hello.as_str(), text);
            assert!(hello.as_str().is_ascii() && !text.contains(char::is_control), "{text:?}");
            let line = Command::Ehlo(hello).encode();
            assert!(
                matches!(Command::parse(line.as_bytes(), Quirks::NONE), Ok(Command::Ehlo(again)) if again.as_str() == text)
            );
        }
        if let Ok(local) = LocalPart::parse(text) {
            assert_eq!(local.as_str(), text);
        }
        if let Ok(quoted) = LocalPart::quote(text) {
            assert_eq!(quoted.unquoted(), text, "{quoted:?}");
            assert_eq!(LocalPart::parse(quoted.as_str()).as_ref(), Ok(&quoted));
        }
        if let Ok(mailbox) = Mailbox::parse(text) {
            check_mailbox(&mailbox, text);
        }
        if let Ok(id) = EnvelopeId::new(text) {
            let mut params = MailParams::default();
            params.envelope_id = Some(id);
            assert_eq!(params.to_string().parse::<MailParams>(), Ok(params));
        }
        if let Some((address_type, address)) = text.split_once(';')
            && let Ok(original) = OriginalRecipient::new(address_type, address)
        {
            let mut params = RcptParams::default();
            params.original = Some(original);
            assert_eq!(params.to_string().parse::<RcptParams>(), Ok(params));
        }
        let (keyword, value) = text.split_once('=').map_or((text, None), |(keyword, value)| (keyword, Some(value)));
        if let Ok(parameter) = Parameter::new(keyword, value) {
            assert_eq!((parameter.keyword(), parameter.value()), (keyword, value));
        }
    }

    fn check_mailbox(mailbox: &Mailbox, text: &str) {
        assert_eq!(mailbox.as_str(), text);
        assert_eq!(format!("{}@{}", mailbox.local_part(), mailbox.host_str()), text);
        let local = LocalPart::parse(mailbox.local_part()).expect("it is one");
        assert_eq!(&Mailbox::new(&local, &mailbox.host()), mailbox);
        assert_eq!(local.unquoted(), mailbox.unquoted_local_part());
        assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
        for line in [format!("MAIL FROM:<{text}>"), format!("RCPT TO:<{text}>")] {
            match Command::parse(line.as_bytes(), Quirks::NONE) {
                Ok(Command::Mail { from: ReversePath::Mailbox(again), .. }) => assert_eq!(&again, mailbox),
                Ok(Command::Rcpt { to: ForwardPath::Mailbox(again), .. }) => assert_eq!(&again, mailbox),
                other => panic!("{line:?} is {other:?}"),
            }
        }
    }
}

/// A message to the wire and back, and the wire in two cuttings: with any pieces, both policies, lines of any limit.
pub fn smtp_data(data: &[u8]) {
    let (mut rng, data) = split(data);
    for policy in [BareNewlines::Refuse, BareNewlines::Normalise] {
        let limit = if rng.one_in(2) { 1000 } else { rng.below(40) };
        // As it came: two cuttings say the same.
        let (once, again) = (read(policy, limit, data, &mut rng), read(policy, limit, data, &mut rng));
        assert_eq!(once, again, "{policy:?}, {limit}: it depends on the pieces");
        // As a message.
        let mut writer = DataWriter::new(policy);
        let (mut wire, mut rest, mut written) = (BytesMut::new(), data, true);
        while !rest.is_empty() && written {
            let (now, later) = rest.split_at(rng.piece(rest.len()));
            written = writer.write(now, &mut wire).is_ok();
            rest = later;
        }
        let written = written && writer.finish(&mut wire).is_ok();
        let flawed = data.contains(&0)
            || (0..data.len()).any(|at| data[at] == b'\r' && data.get(at + 1) != Some(&b'\n'))
            || (0..data.len()).any(|at| data[at] == b'\n' && (at == 0 || data[at - 1] != b'\r'));
        assert_eq!(written, !flawed || policy == BareNewlines::Normalise);
        if !written {
            continue;
        }
        let end = wire.len();
        wire.extend_from_slice(b"MAIL FROM:<>\r\n.\r\n");
        let back = read(BareNewlines::Refuse, usize::MAX - 2, &wire, &mut rng);
        assert_eq!((back.taken, back.ended, back.bad), (end, true, false), "the end is elsewhere");
        if !flawed {
            let mut expected = data.to_vec();
            if !data.is_empty() && !data.ends_with(b"\r\n") {
                expected.extend_from_slice(b"\r\n");
            }
            assert_eq!(back.body, expected);
        }
    }

    for policy in [Some(BareNewlines::Refuse), Some(BareNewlines::Normalise), None] {
        let limit = if rng.one_in(2) { 1000 } else { rng.below(40) };
        let reader = || policy.map_or_else(ChunkReader::opaque, |policy| ChunkReader::lines(policy, limit));
        let (once, again) = (chunks(reader(), data, &mut rng), chunks(reader(), data, &mut rng));
        assert_eq!(once, again, "{policy:?}, {limit}: it depends on the chunks");
        match (policy, once) {
            (None, once) => assert_eq!(once.as_deref(), Some(data)),
            (Some(BareNewlines::Refuse), Some(once)) => assert_eq!(once, data),
            // What is mended needs no more mending.
            (Some(BareNewlines::Normalise), Some(once)) => {
                assert_eq!(chunks(ChunkReader::lines(BareNewlines::Refuse, limit), &once, &mut rng), Some(once));
            }
            (Some(_), None) => {}
        }
    }

    /// The message, if it can be taken.
    fn chunks(mut reader: ChunkReader, mut rest: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
        let mut message = vec![];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rng.piece(rest.len()));
            match reader.read(now) {
                Body::Prefix(length) => message.extend_from_slice(&now[..length]),
                Body::Rewritten(octets) => message.extend_from_slice(&octets),
            }
            rest = later;
        }
        message.extend_from_slice(reader.finish());
        reader.bad().is_none().then_some(message)
    }

    #[derive(PartialEq, Debug)]
    struct Read {
        taken: usize,
        ended: bool,
        bad: bool,
        body: Vec<u8>,
    }

    fn read(policy: BareNewlines, limit: usize, wire: &[u8], rng: &mut Rng) -> Read {
        let mut reader = DataReader::new(policy, limit);
        let mut read = Read { taken: 0, ended: false, bad: false, body: vec![] };
        while !read.ended && read.taken < wire.len() {
            let rest = &wire[read.taken..];
            let now = &rest[..rng.piece(rest.len())];
            let part = reader.read(now);
            assert!(part.taken == now.len() || part.ended && part.taken < now.len());
            match part.body {
                Body::Prefix(length) => read.body.extend_from_slice(&now[..length]),
                Body::Rewritten(octets) => read.body.extend_from_slice(&octets),
            }
            read.taken += part.taken;
            read.ended = part.ended;
        }
        read.bad = reader.bad().is_some();
        if read.bad {
            // How much was given out before the flaw depends on the pieces.
            read.body.clear();
        }
        read
    }
}
