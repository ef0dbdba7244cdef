//! What is read out of messages: legal ones, the examples of the RFCs, and hostile ones.

mod cache;
mod envelope;
mod hostile;
mod properties;
mod search;
mod section;
mod structure;
mod transfer;

use std::fmt::Write;

use postrider_imap::wire::{Addresses, BodyStructure, Envelope, MediaKind, Part};
use postrider_message::{Structure, body_structure, scan};

/// Lines with CRLF from lines with LF.
fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// BODYSTRUCTURE as RFC 9051 writes it, extension data left away where all of it is NIL.
fn written(body: &BodyStructure) -> String {
    let mut out = String::new();
    write_part(body.root(), &mut out);
    out
}

/// The tests' messages are few levels deep, so recursion is at hand here.
fn write_part(part: Part<'_>, out: &mut String) {
    out.push('(');
    if part.kind() == MediaKind::Multipart {
        part.children().for_each(|child| write_part(child, out));
        write!(out, " {}", string(part.media_subtype().as_deref())).unwrap();
    } else {
        write!(
            out,
            "{} {} {} {} {} {} {}",
            string(part.media_type().as_deref()),
            string(part.media_subtype().as_deref()),
            pairs(part.params()),
            string(part.id().as_deref()),
            string(part.description().as_deref()),
            string(part.encoding().as_deref()),
            part.octets().unwrap(),
        )
        .unwrap();
        if let Some(envelope) = part.envelope() {
            write!(out, " {} ", written_envelope(envelope)).unwrap();
            part.children().for_each(|child| write_part(child, out));
        }
        if let Some(lines) = part.lines() {
            write!(out, " {lines}").unwrap();
        }
    }
    if let Some(disposition) = part.disposition() {
        write!(out, " ({} {})", string(Some(&disposition.kind)), pairs(disposition.params())).unwrap();
    }
    out.push(')');
}

fn pairs<T: AsRef<[u8]>>(pairs: impl ExactSizeIterator<Item = (T, T)>) -> String {
    if pairs.len() == 0 {
        return "NIL".into();
    }
    let each: Vec<String> =
        pairs.flat_map(|(name, value)| [string(Some(name.as_ref())), string(Some(value.as_ref()))]).collect();
    format!("({})", each.join(" "))
}

/// A quoted string; what is not printable as hexadecimal.
fn string(text: Option<&[u8]>) -> String {
    let Some(text) = text else { return "NIL".into() };
    let mut out = String::from("\"");
    for &octet in text {
        match octet {
            b'"' | b'\\' => out.extend(['\\', char::from(octet)]),
            b' '..=b'~' => out.push(char::from(octet)),
            _ => write!(out, "\\x{octet:02x}").unwrap(),
        }
    }
    out + "\""
}

fn written_addresses(list: Addresses<'_>) -> String {
    if list.len() == 0 {
        return "NIL".to_owned();
    }
    let each = list.map(|a| {
        let parts = [&a.name, &a.route, &a.mailbox, &a.host].map(|part| string(part.as_deref()));
        format!("({})", parts.join(" "))
    });
    format!("({})", each.collect::<String>())
}

fn written_envelope(envelope: &Envelope) -> String {
    let list = written_addresses;
    format!(
        "({} {} {} {} {} {} {} {} {} {})",
        string(envelope.date().as_deref()),
        string(envelope.subject().as_deref()),
        list(envelope.from()),
        list(envelope.sender()),
        list(envelope.reply_to()),
        list(envelope.to()),
        list(envelope.cc()),
        list(envelope.bcc()),
        string(envelope.in_reply_to().as_deref()),
        string(envelope.message_id().as_deref()),
    )
}

/// The body of each part as text, containers too, with its number of parts inside.
fn outline(message: &[u8]) -> Vec<(String, String)> {
    let structure = consistent(message);
    let media = |content: &postrider_message::Content| {
        format!("{}/{}", content.media_type().escape_ascii(), content.subtype().escape_ascii())
    };
    let body = |part: &postrider_message::Part| {
        message[part.body.start as usize..part.body.end as usize].escape_ascii().to_string()
    };
    structure.parts().iter().map(|part| (media(&part.content), body(part))).collect()
}

/// Scans a message and checks all that must hold for any message.
fn consistent(message: &[u8]) -> Structure {
    let structure = scan(message);
    check(&structure, message);
    structure
}

fn check(structure: &Structure, message: &[u8]) {
    assert_eq!(structure.size(), message.len() as u64);
    assert_eq!(structure.root().header.start, 0);
    assert_eq!(structure.root().body.end, structure.size(), "the message's body goes to its end");
    for (index, part) in structure.parts().iter().enumerate() {
        assert_eq!(part.header.end, part.body.start);
        assert!(part.header.start <= part.header.end && part.body.start <= part.body.end, "{part:?}");
        let body = &message[part.body.start as usize..part.body.end as usize];
        assert_eq!(part.lines, body.iter().filter(|&&b| b == b'\n').count() as u64, "{part:?}");
        let mut at = part.body.start;
        for child in structure.children(index) {
            let inner = &structure.parts()[child];
            assert_eq!(inner.parent, Some(index as u32));
            assert!(inner.header.start >= at && inner.body.end <= part.body.end, "{inner:?} in {part:?}");
            at = inner.body.end;
        }
        let is_message = part
            .parent
            .is_none_or(|parent| structure.parts()[parent as usize].kind == postrider_message::Kind::Message);
        assert_eq!(part.envelope.is_some(), is_message);
    }
    let all = body_structure(structure, true);
    assert!(all.is_extended());
    assert!(!body_structure(structure, false).is_extended());
    assert!(all.parts().len() >= structure.parts().len() - messages(structure));
    assert_eq!(Structure::from_cache(&structure.to_cache()).as_ref(), Some(structure));
}

/// Containers of messages: in BODYSTRUCTURE they and their one child are two parts, too.
fn messages(structure: &Structure) -> usize {
    structure.parts().iter().filter(|part| part.kind == postrider_message::Kind::Message).count()
}
