//! BODYSTRUCTURE and BODY (RFC 9051, 7.5.2).

use postrider_imap::wire::{BodyBuilder, BodyStructure, PartFields};

use crate::content::Parameter;
use crate::structure::{Kind, Part, Structure};

/// The BODYSTRUCTURE of a message, or with `extended` false its BODY.
///
/// Containers that were not taken apart are given as application/octet-stream, since a multipart must have parts there
/// and a message an envelope; a multipart without any part is given an empty one.
pub fn body_structure(structure: &Structure, extended: bool) -> BodyStructure {
    let mut builder = BodyBuilder::new();
    let mut open: Vec<u32> = Vec::new();
    for (index, part) in structure.parts.iter().enumerate() {
        while open.last().is_some_and(|&end| end as usize <= index) {
            open.pop();
            builder.end();
        }
        add(&mut builder, part, structure.parts.get(index + 1));
        if matches!(part.kind, Kind::Multipart | Kind::Message) {
            open.push(part.end);
            if part.end as usize == index + 1 {
                builder.part(&PartFields {
                    media_type: b"text",
                    media_subtype: b"plain",
                    lines: Some(0),
                    ..PartFields::default()
                });
            }
        }
    }
    builder.build(extended)
}

/// Adds `part`; `next` is the part after it, the child of a message.
fn add(builder: &mut BodyBuilder, part: &Part, next: Option<&Part>) {
    let content = &part.content;
    let disposition = content.disposition();
    let params = pairs(content.parameters());
    let of_disposition = pairs(disposition.map_or(&[], |(_, list)| list));
    let languages: Vec<&[u8]> = content.languages.iter().map(Vec::as_slice).collect();
    let mut fields = PartFields {
        media_type: &content.media,
        media_subtype: &content.subtype,
        params: &params,
        id: content.id(),
        description: content.description(),
        encoding: content.encoding(),
        octets: part.body.end - part.body.start,
        lines: None,
        md5: content.md5(),
        disposition: disposition.map(|(kind, _)| (kind, of_disposition.as_slice())),
        languages: &languages,
        location: content.location(),
    };
    match part.kind {
        Kind::Multipart => {
            builder.multipart(&fields);
        }
        Kind::Message => {
            fields.lines = Some(part.lines);
            let envelope = next.and_then(|message| message.envelope.as_deref());
            builder.message(&fields, envelope.expect("the one child of a message has an envelope").clone());
        }
        Kind::Text => {
            fields.lines = Some(part.lines);
            builder.part(&fields);
        }
        Kind::Basic => {
            if content.is("multipart") || content.is("message") && is_message_subtype(&content.subtype) {
                (fields.media_type, fields.media_subtype) = (b"application", b"octet-stream");
            }
            builder.part(&fields);
        }
    }
}

fn pairs(list: &[Parameter]) -> Vec<(&[u8], &[u8])> {
    list.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

fn is_message_subtype(subtype: &[u8]) -> bool {
    subtype.eq_ignore_ascii_case(b"rfc822") || subtype.eq_ignore_ascii_case(b"global")
}
