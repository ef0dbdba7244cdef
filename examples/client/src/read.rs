//! `read`

use std::borrow::Cow;

use mail_parser::MessageParser;
use postrider_imap::client::{Event, Fetched, Gather};
use postrider_imap::wire::{
    Attribute, BodyPeek, BodyStructure, Command, Fetch, FetchItem, Flag, FlagChange, Flags, MediaKind, Part, Partial,
    Section, SequenceSet, Store, StoreMode,
};
use serde::Serialize;

use crate::cli::{self, Connection};
use crate::fault::{Class, Fault};
use crate::imap::Imap;
use crate::progress;
use crate::show::{Out, size};
use crate::summary::{Person, Summary, decode};

/// Octets of a message that are fetched to show its text.
const SHOWN: u64 = 1 << 20;

/// A message to be read. The field names are part of the program's interface.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// All parts that are to be read, decoded.
    text: &'a str,
    /// There is more text than was fetched.
    truncated: bool,
    attachments: &'a [Attachment],
}

/// A part that is not shown as text.
#[derive(Serialize, Debug, PartialEq, Eq)]
struct Attachment {
    /// Its number, as IMAP has it: `2.1`.
    part: String,
    #[serde(rename = "type")]
    media: String,
    name: Option<String>,
    /// Octets, as they are encoded in the message.
    size: Option<u64>,
}

pub(crate) async fn run(connection: &Connection, read: &cli::Read, out: &mut Out) -> Result<(), Fault> {
    let mut imap = Imap::open(connection).await?;
    imap.select(&read.mailbox, !read.seen).await?;
    let found = if read.raw { raw(&mut imap, read.uid, out).await? } else { text(&mut imap, read.uid, out).await? };
    if !found {
        let sentence = format!("{} has no message with UID {}: `postrider list` shows them", read.mailbox, read.uid);
        return Err(Fault::new(Class::NoInput, sentence));
    }
    out.flush()?;
    if read.seen {
        let change = FlagChange { mode: StoreMode::Add, flags: Flags::from_iter([Flag::Seen]) };
        let messages = SequenceSet::one(read.uid);
        let store = Store { uid: true, messages, change, silent: true, unchanged_since: None };
        let status = imap.run(Command::Store(store), |_| Ok(())).await?;
        imap.expect("does not mark the message as read", &status)?;
    }
    imap.log_out().await;
    Ok(())
}

fn fetch(uid: u32, attributes: Vec<Attribute>) -> Command {
    Command::Fetch(Fetch {
        uid: true,
        messages: SequenceSet::one(uid),
        attributes,
        changed_since: None,
        vanished: false,
    })
}

fn peek(partial: Option<Partial>) -> Attribute {
    // PEEK: to look at a message is not to have read it.
    Attribute::Body(BodyPeek { section: Section::default(), partial, peek: true })
}

/// The message as it is, from the wire to standard output. Says whether there was one.
async fn raw(imap: &mut Imap, uid: u32, out: &mut Out) -> Result<bool, Fault> {
    let bar = progress::octets("reading", 0, imap.trace);
    let mut found = false;
    let status = imap
        .run(fetch(uid, vec![peek(None)]), |event| match event {
            Event::FetchItem(FetchItem::Body { data, .. }) => {
                found = true;
                out.octets(&data.unwrap_or_default())
            }
            Event::BodyStart { size, .. } => {
                found = true;
                bar.set_length(size);
                Ok(())
            }
            Event::Body(octets) => {
                bar.inc(octets.len() as u64);
                out.octets(&octets)
            }
            _ => Ok(()),
        })
        .await?;
    bar.finish_and_clear();
    imap.expect("does not give the message", &status)?;
    Ok(found)
}

/// The message for people. Says whether there was one.
async fn text(imap: &mut Imap, uid: u32, out: &mut Out) -> Result<bool, Fault> {
    let mut attributes = Summary::attributes();
    attributes.extend([Attribute::BodyStructure, peek(Some(Partial { origin: 0, length: SHOWN }))]);
    let mut gather = Gather::new(SHOWN as usize);
    let mut message: Option<Fetched> = None;
    let status = imap
        .run(fetch(uid, attributes), |event| {
            if let Ok(Some(fetched)) = gather.take(event)
                && !fetched.bodies.is_empty()
            {
                message = Some(fetched);
            }
            Ok(())
        })
        .await?;
    imap.expect("does not give the message", &status)?;
    let Some(fetched) = message else { return Ok(false) };
    let Some(summary) = Summary::new(&fetched) else { return Ok(false) };
    let octets = fetched.bodies[0].data.clone().unwrap_or_default();
    let truncated = fetched.size.is_some_and(|size| size > octets.len() as u64);
    let parsed = MessageParser::default().parse(&octets[..]);
    let text = parsed.as_ref().map(|parsed| {
        let parts: Vec<_> = (0..parsed.text_body_count()).filter_map(|part| parsed.body_text(part)).collect();
        parts.join("\n")
    });
    let text = text.unwrap_or_default();
    let attachments = fetched.structure.as_ref().map(attachments).unwrap_or_default();
    if out.is_json() {
        out.object(&Shown { summary: &summary, text: &text, truncated, attachments: &attachments })?;
        return Ok(true);
    }
    let people = |people: &[Person]| {
        let people: Vec<_> = people
            .iter()
            .map(|person| match &person.name {
                Some(name) => format!("{name} <{}>", person.address),
                None => person.address.clone(),
            })
            .collect();
        people.join(", ")
    };
    let fields = [
        ("From", people(&summary.from)),
        ("To", people(&summary.to)),
        ("Cc", people(&summary.cc)),
        ("Date", summary.date.clone().unwrap_or_default()),
        ("Subject", summary.subject.clone().unwrap_or_default()),
    ];
    for (name, value) in fields {
        if !value.is_empty() {
            out.line(&format!("{name}: {value}"))?;
        }
    }
    out.line("")?;
    out.block(&text)?;
    for attachment in &attachments {
        let name = attachment.name.as_deref().unwrap_or("(no name)");
        let size = attachment.size.map(size).unwrap_or_default();
        out.line(&format!("[part {}: {name}, {}, {size}]", attachment.part, attachment.media))?;
    }
    if truncated {
        out.flush()?;
        eprintln!("The message is larger than what is shown of it: --raw gives all of it.");
    }
    Ok(true)
}

/// The parts that are not shown as text.
fn attachments(structure: &BodyStructure) -> Vec<Attachment> {
    let mut found = Vec::new();
    // Parts still to be looked at, with their numbers (RFC 9051, 6.4.5.1).
    let mut open: Vec<(Part<'_>, Vec<u32>)> = vec![(structure.root(), vec![])];
    while let Some((part, number)) = open.pop() {
        match part.kind() {
            MediaKind::Multipart => {
                let children: Vec<_> = part.children().enumerate().collect();
                open.extend(children.into_iter().rev().map(|(index, child)| {
                    let mut number = number.clone();
                    number.push(index as u32 + 1);
                    (child, number)
                }));
            }
            MediaKind::Basic | MediaKind::Message => {
                let attached = part.disposition().is_some_and(|d| d.kind.eq_ignore_ascii_case(b"attachment"));
                let is_text = part.media_type().is_some_and(|media| media.eq_ignore_ascii_case(b"text"));
                if attached || !is_text {
                    let number = if number.is_empty() { vec![1] } else { number };
                    found.push(attachment(part, &number));
                }
            }
        }
    }
    found
}

fn attachment(part: Part<'_>, number: &[u32]) -> Attachment {
    let plain =
        |octets: Option<Cow<'_, [u8]>>| String::from_utf8_lossy(&octets.unwrap_or_default()).to_ascii_lowercase();
    let disposition = part.disposition();
    let of_disposition = |name: &str| disposition.as_ref().and_then(|disposition| disposition.param(name));
    let name = of_disposition("filename*")
        .or_else(|| part.param("name*"))
        .map(|value| extended(&value))
        .or_else(|| of_disposition("filename").or_else(|| part.param("name")).map(|value| decode(&value)));
    Attachment {
        part: number.iter().map(u32::to_string).collect::<Vec<_>>().join("."),
        media: format!("{}/{}", plain(part.media_type()), plain(part.media_subtype())),
        name,
        size: part.octets(),
    }
}

/// `charset'language'text` with percent signs (RFC 2231, 4). Taken for UTF-8, as almost all of them are.
fn extended(value: &[u8]) -> String {
    let text = value.splitn(3, |b| *b == b'\'').last().unwrap_or_default();
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let decoded = match (first, tail.get(..2)) {
            (b'%', Some(digits)) => std::str::from_utf8(digits).ok().and_then(|d| u8::from_str_radix(d, 16).ok()),
            _ => None,
        };
        octets.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn extended_names_are_decoded() {
        assert_eq!(super::extended(b"utf-8''d%C3%A4ta.bin"), "däta.bin");
        assert_eq!(super::extended(b"100%"), "100%");
    }
}
