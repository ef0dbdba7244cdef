//! ENVELOPE (RFC 9051, 7.5.2).

use std::borrow::Cow;

use postrider_imap::wire::{Address, Envelope, EnvelopeBuilder};

use crate::address;
use crate::header::{fields, unfold};
use crate::limits::Limits;

/// The ENVELOPE of a header block. Sender and Reply-To default to From.
pub fn envelope(block: &[u8]) -> Envelope {
    parse(block, &Limits::default())
}

/// As [`envelope`]. Of Date, Subject, From and so on the first field counts; addresses of several To, Cc and Bcc fields
/// are put together. Strings are unfolded, encoded words stay encoded, and 8-bit octets stay as they are: the encoder
/// on the wire sends those as a literal.
pub(crate) fn parse(block: &[u8], limits: &Limits) -> Envelope {
    let mut builder = EnvelopeBuilder::new();
    let mut room = limits.addresses;
    let mut seen = Seen::default();
    for field in fields(block) {
        let value = || unfold(field.value);
        let first = |seen: &mut bool| !std::mem::replace(seen, true);
        // The length tells most fields apart, without a look at the letters.
        match field.name.len() {
            2 if field.is("to") => addresses(&value(), &mut room, |a| _ = builder.to(a)),
            2 if field.is("cc") => addresses(&value(), &mut room, |a| _ = builder.cc(a)),
            3 if field.is("bcc") => addresses(&value(), &mut room, |a| _ = builder.bcc(a)),
            4 if field.is("date") && first(&mut seen.date) => _ = builder.date(&value()),
            4 if field.is("from") && first(&mut seen.from) => {
                addresses(&value(), &mut room, |a| _ = builder.from(a));
            }
            6 if field.is("sender") && first(&mut seen.sender) => {
                addresses(&value(), &mut room, |a| _ = builder.sender(a));
            }
            7 if field.is("subject") && first(&mut seen.subject) => _ = builder.subject(&value()),
            8 if field.is("reply-to") && first(&mut seen.reply_to) => {
                addresses(&value(), &mut room, |a| _ = builder.reply_to(a));
            }
            10 if field.is("message-id") && first(&mut seen.message_id) => _ = builder.message_id(&value()),
            11 if field.is("in-reply-to") && first(&mut seen.in_reply_to) => _ = builder.in_reply_to(&value()),
            _ => {}
        }
    }
    builder.build(true)
}

/// Which fields there have been.
#[derive(Default)]
struct Seen {
    date: bool,
    from: bool,
    sender: bool,
    subject: bool,
    reply_to: bool,
    message_id: bool,
    in_reply_to: bool,
}

fn addresses(value: &[u8], room: &mut usize, mut add: impl FnMut(&Address<'_>)) {
    address::read(value, |found| {
        let fits = *room > 0;
        if fits {
            *room -= 1;
            add(&found);
        }
        fits
    });
}

/// The addresses of a list as text to search in: `name <mailbox@host>`, encoded words decoded, one a line.
pub(crate) fn address_text<'a>(list: impl Iterator<Item = Address<'a>>, out: &mut String) {
    let text = |octets: &Option<Cow<'_, [u8]>>| crate::words::decode(octets.as_deref().unwrap_or_default());
    for address in list {
        if let Some(name) = &address.name {
            out.push_str(&crate::words::decode(name));
            out.push(' ');
        }
        if address.host.is_some() {
            out.push('<');
            out.push_str(&text(&address.mailbox));
            out.push('@');
            out.push_str(&text(&address.host));
            out.push('>');
        } else {
            out.push_str(&text(&address.mailbox));
        }
        out.push('\n');
    }
}
