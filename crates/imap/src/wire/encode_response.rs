//! Responses to octets: what a server writes.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use postrider_core::Text;

use super::body::{BodyStructure, MediaKind, Part};
use super::capability::Capabilities;
use super::encode::Encoder;
use super::encode_command::{encode_attributes, encode_id, encode_search_partial};
use super::envelope::{Address, Envelope};
use super::fetch::{FetchItem, Rfc822Part, Section};
use super::frame::number;
use super::list::{ListEntry, NamespaceEntry, Namespaces};
use super::response::{Code, Condition, Data, Response, Status};
use super::search::Esearch;
use super::status::MailboxStatus;

impl Response {
    /// Writes the response and its line end. Nothing is written for [`Data::Raw`].
    pub fn encode(&self, out: &mut Encoder) {
        match self {
            Self::Tagged { tag, status } => {
                out.put_bytes(tag.as_bytes());
                out.put(" ");
                status.encode(out);
                out.end_line();
            }
            Self::Continue(wanted) => {
                out.put("+ ");
                let fits = |b: &u8| !matches!(b, 0 | b'\r' | b'\n');
                let text: Vec<u8> = wanted.text.iter().copied().filter(fits).collect();
                out.put_bytes(&text);
                out.end_line();
            }
            Self::Data(data) => data.encode(out),
        }
    }
}

impl Condition {
    /// Its word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
            Self::PreAuth => "PREAUTH",
            Self::Bye => "BYE",
        }
    }
}

impl Status {
    fn encode(&self, out: &mut Encoder) {
        out.put(self.condition.name());
        out.put(" ");
        if let Some(code) = &self.code {
            out.put("[");
            code.encode(out);
            out.put("] ");
        }
        encode_text(&self.text, self.code.is_none(), out);
    }
}

/// Text for people: ASCII unless both sides know UTF-8, and without what looks like a response code.
fn encode_text(text: &Text, at_start: bool, out: &mut Encoder) {
    let utf8 = out.dialect().utf8;
    for (i, c) in text.as_str().chars().enumerate() {
        match c {
            '[' if i == 0 && at_start => out.put("("),
            c if c.is_ascii() || utf8 => out.put(c.encode_utf8(&mut [0; 4])),
            _ => out.put("?"),
        }
    }
}

impl Code {
    fn encode(&self, out: &mut Encoder) {
        let number = |out: &mut Encoder, word: &str, number: u64| {
            out.put(word);
            out.number(number);
        };
        match self {
            Self::Alert => out.put("ALERT"),
            Self::AlreadyExists => out.put("ALREADYEXISTS"),
            Self::AppendUid { uid_validity, uids } => {
                number(out, "APPENDUID ", u64::from(*uid_validity));
                out.put(" ");
                out.display(uids);
            }
            Self::AuthenticationFailed => out.put("AUTHENTICATIONFAILED"),
            Self::AuthorizationFailed => out.put("AUTHORIZATIONFAILED"),
            Self::BadCharset(charsets) => {
                out.put("BADCHARSET");
                for (i, charset) in charsets.iter().enumerate() {
                    out.put(if i == 0 { " (" } else { " " });
                    out.astring(charset);
                }
                out.put(if charsets.is_empty() { "" } else { ")" });
            }
            Self::Cannot => out.put("CANNOT"),
            Self::Capability(capabilities) => {
                out.put("CAPABILITY");
                encode_capabilities(capabilities, out);
            }
            Self::ClientBug => out.put("CLIENTBUG"),
            Self::Closed => out.put("CLOSED"),
            Self::ContactAdmin => out.put("CONTACTADMIN"),
            Self::CopyUid { uid_validity, from, to } => {
                number(out, "COPYUID ", u64::from(*uid_validity));
                out.put(" ");
                out.display(from);
                out.put(" ");
                out.display(to);
            }
            Self::Corruption => out.put("CORRUPTION"),
            Self::Expired => out.put("EXPIRED"),
            Self::ExpungeIssued => out.put("EXPUNGEISSUED"),
            Self::HasChildren => out.put("HASCHILDREN"),
            Self::HighestModSeq(modseq) => number(out, "HIGHESTMODSEQ ", *modseq),
            Self::InUse => out.put("INUSE"),
            Self::Limit => out.put("LIMIT"),
            Self::MailboxId(id) => {
                out.put("MAILBOXID (");
                out.astring(id);
                out.put(")");
            }
            Self::Modified(messages) => {
                out.put("MODIFIED ");
                out.display(messages);
            }
            Self::NoModSeq => out.put("NOMODSEQ"),
            Self::NonExistent => out.put("NONEXISTENT"),
            Self::NoPerm => out.put("NOPERM"),
            Self::NotSaved => out.put("NOTSAVED"),
            Self::OverQuota => out.put("OVERQUOTA"),
            Self::Parse => out.put("PARSE"),
            Self::PermanentFlags(flags) => {
                out.put("PERMANENTFLAGS ");
                out.flags(flags);
            }
            Self::PrivacyRequired => out.put("PRIVACYREQUIRED"),
            Self::ReadOnly => out.put("READ-ONLY"),
            Self::ReadWrite => out.put("READ-WRITE"),
            Self::ServerBug => out.put("SERVERBUG"),
            Self::TooBig => out.put("TOOBIG"),
            Self::TryCreate => out.put("TRYCREATE"),
            Self::UidNext(uid) => number(out, "UIDNEXT ", u64::from(*uid)),
            Self::UidNotSticky => out.put("UIDNOTSTICKY"),
            Self::UidValidity(validity) => number(out, "UIDVALIDITY ", u64::from(*validity)),
            Self::Unavailable => out.put("UNAVAILABLE"),
            Self::UnknownCte => out.put("UNKNOWN-CTE"),
            Self::Unseen(message) => number(out, "UNSEEN ", u64::from(*message)),
            Self::Other { name, arguments } => {
                out.atom(name);
                if let Some(arguments) = arguments {
                    out.put(" ");
                    for c in arguments.as_str().chars() {
                        let c = if c == ']' || !c.is_ascii() { '?' } else { c };
                        out.put(c.encode_utf8(&mut [0; 4]));
                    }
                }
            }
        }
    }
}

fn encode_capabilities(capabilities: &Capabilities, out: &mut Encoder) {
    for capability in capabilities.iter() {
        out.put(" ");
        out.display(capability);
    }
}

impl Data {
    /// Writes the response and its line end. Nothing is written for [`Data::Raw`].
    pub fn encode(&self, out: &mut Encoder) {
        let count = |out: &mut Encoder, count: u32, word: &str| {
            out.put("* ");
            out.number(u64::from(count));
            out.put(word);
        };
        match self {
            Self::Status(status) => {
                out.put("* ");
                status.encode(out);
            }
            Self::Capability(capabilities) => {
                out.put("* CAPABILITY");
                encode_capabilities(capabilities, out);
            }
            Self::Enabled(capabilities) => {
                out.put("* ENABLED");
                encode_capabilities(capabilities, out);
            }
            Self::Id(id) => {
                out.put("* ID ");
                encode_id(id.as_ref(), out);
            }
            Self::List(entry) => encode_entry("* LIST (", entry, out),
            Self::Lsub(entry) => encode_entry("* LSUB (", entry, out),
            Self::Namespace(Namespaces { personal, other_users, shared }) => {
                out.put("* NAMESPACE");
                for space in [personal, other_users, shared] {
                    encode_namespace(space, out);
                }
            }
            Self::MailboxStatus(status) => encode_mailbox_status(status, out),
            Self::Flags(flags) => {
                out.put("* FLAGS ");
                out.flags(flags);
            }
            Self::Search { found, modseq } => {
                out.put("* SEARCH");
                for number in found.iter() {
                    out.put(" ");
                    out.number(u64::from(number));
                }
                if let Some(modseq) = modseq {
                    out.put(" (MODSEQ ");
                    out.number(*modseq);
                    out.put(")");
                }
            }
            Self::Esearch(esearch) => encode_esearch(esearch, out),
            Self::Exists(messages) => count(out, *messages, " EXISTS"),
            Self::Recent(messages) => count(out, *messages, " RECENT"),
            Self::Expunge(message) => count(out, *message, " EXPUNGE"),
            Self::Vanished { earlier, uids } => {
                out.put(if *earlier { "* VANISHED (EARLIER) " } else { "* VANISHED " });
                out.display(uids);
            }
            Self::Fetch { number, items } => {
                out.fetch_start(*number);
                for item in items {
                    out.fetch_item(item);
                }
                return out.fetch_end();
            }
            Self::Raw(_) => return,
        }
        out.end_line();
    }
}

fn encode_entry(start: &str, entry: &ListEntry, out: &mut Encoder) {
    out.put(start);
    encode_attributes(&entry.attributes, out);
    out.put(") ");
    encode_delimiter(entry.delimiter, out);
    out.put(" ");
    match &entry.mailbox {
        Some(mailbox) => out.mailbox(mailbox),
        None => out.put("\"\""),
    }
    if entry.child_info.is_empty() && entry.old_name.is_none() {
        return;
    }
    out.put(" (");
    if !entry.child_info.is_empty() {
        out.put("\"CHILDINFO\" (");
        for (i, option) in entry.child_info.iter().enumerate() {
            out.put(if i > 0 { " \"" } else { "\"" });
            out.atom(option);
            out.put("\"");
        }
        out.put(")");
    }
    if let Some(old_name) = &entry.old_name {
        out.put(if entry.child_info.is_empty() { "\"OLDNAME\" (" } else { " \"OLDNAME\" (" });
        out.mailbox(old_name);
        out.put(")");
    }
    out.put(")");
}

fn encode_delimiter(delimiter: Option<char>, out: &mut Encoder) {
    match delimiter {
        Some(c) => out.string(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.put("NIL"),
    }
}

fn encode_namespace(space: &[NamespaceEntry], out: &mut Encoder) {
    if space.is_empty() {
        return out.put(" NIL");
    }
    out.put(" (");
    for entry in space {
        out.put("(");
        out.string(&entry.prefix.encode(out.dialect().utf8));
        out.put(" ");
        encode_delimiter(entry.delimiter, out);
        out.put(")");
    }
    out.put(")");
}

fn encode_mailbox_status(status: &MailboxStatus, out: &mut Encoder) {
    out.put("* STATUS ");
    out.mailbox(&status.mailbox);
    out.put(" (");
    let numbers = [
        ("MESSAGES ", status.messages.map(u64::from)),
        ("RECENT ", status.recent.map(u64::from)),
        ("UIDNEXT ", status.uid_next.map(u64::from)),
        ("UIDVALIDITY ", status.uid_validity.map(u64::from)),
        ("UNSEEN ", status.unseen.map(u64::from)),
        ("DELETED ", status.deleted.map(u64::from)),
        ("SIZE ", status.size),
        ("HIGHESTMODSEQ ", status.highest_modseq),
        ("APPENDLIMIT ", status.append_limit.flatten()),
    ];
    let mut space = "";
    for (word, number) in numbers {
        if let Some(number) = number {
            out.put(core::mem::replace(&mut space, " "));
            out.put(word);
            out.number(number);
        }
    }
    if status.append_limit == Some(None) {
        out.put(core::mem::replace(&mut space, " "));
        out.put("APPENDLIMIT NIL");
    }
    if let Some(id) = &status.mailbox_id {
        out.put(space);
        out.put("MAILBOXID (");
        out.astring(id);
        out.put(")");
    }
    out.put(")");
}

fn encode_esearch(esearch: &Esearch, out: &mut Encoder) {
    out.put("* ESEARCH");
    if let Some(tag) = &esearch.tag {
        out.put(" (TAG ");
        out.string(tag);
        out.put(")");
    }
    out.put(if esearch.uid { " UID" } else { "" });
    let mut number = |word: &str, number: Option<u64>| {
        if let Some(number) = number {
            out.put(word);
            out.number(number);
        }
    };
    number(" MIN ", esearch.min.map(u64::from));
    number(" MAX ", esearch.max.map(u64::from));
    number(" COUNT ", esearch.count.map(u64::from));
    number(" MODSEQ ", esearch.modseq);
    if let Some(all) = esearch.all.as_ref().filter(|all| !all.is_empty()) {
        out.put(" ALL ");
        out.display(all);
    }
    if let Some((window, found)) = &esearch.partial {
        out.put(" PARTIAL (");
        encode_search_partial(*window, out);
        out.put(" ");
        if found.is_empty() {
            out.put("NIL")
        } else {
            out.display(found)
        }
        out.put(")");
    }
}

// ── FETCH ──

impl Encoder {
    /// Begins a FETCH response. What may follow is [`Encoder::fetch_item`] and [`Encoder::fetch_literal`], and then
    /// [`Encoder::fetch_end`].
    pub fn fetch_start(&mut self, number: u32) {
        self.put("* ");
        self.number(u64::from(number));
        self.put(" FETCH (");
        self.fetch_goes_on = false;
    }

    fn fetch_space(&mut self) {
        if core::mem::replace(&mut self.fetch_goes_on, true) {
            self.put(" ");
        }
    }

    /// Writes one item. Nothing is written for [`FetchItem::Raw`].
    pub fn fetch_item(&mut self, item: &FetchItem) {
        if matches!(item, FetchItem::Raw(_)) {
            return;
        }
        self.fetch_space();
        match item {
            FetchItem::Uid(uid) => {
                self.put("UID ");
                self.number(u64::from(*uid));
            }
            FetchItem::Flags(flags) => {
                self.put("FLAGS ");
                self.flags(flags);
            }
            FetchItem::InternalDate(date) => {
                self.put("INTERNALDATE \"");
                self.display(date);
                self.put("\"");
            }
            FetchItem::Size(size) => {
                self.put("RFC822.SIZE ");
                self.number(*size);
            }
            FetchItem::Envelope(envelope) => {
                self.put("ENVELOPE ");
                encode_envelope(envelope, self);
            }
            FetchItem::BodyStructure(structure) => {
                self.put(if structure.is_extended() { "BODYSTRUCTURE " } else { "BODY " });
                encode_structure(structure, self);
            }
            FetchItem::Body { section, origin, data } => {
                self.put("BODY");
                self.section(section);
                self.origin(*origin);
                self.put(" ");
                self.body_data(data.as_deref());
            }
            FetchItem::Binary { part, origin, data } => {
                self.put("BINARY[");
                self.part_numbers(part);
                self.put("]");
                self.origin(*origin);
                self.put(" ");
                match data {
                    Some(data) if data.contains(&0) => {
                        self.put("~");
                        self.literal(data);
                    }
                    data => self.body_data(data.as_deref()),
                }
            }
            FetchItem::BinarySize { part, size } => {
                self.put("BINARY.SIZE[");
                self.part_numbers(part);
                self.put("] ");
                self.number(*size);
            }
            FetchItem::Rfc822 { part, data } => {
                self.put(part.name());
                self.put(" ");
                self.body_data(data.as_deref());
            }
            FetchItem::ModSeq(modseq) => {
                self.put("MODSEQ (");
                self.number(*modseq);
                self.put(")");
            }
            FetchItem::EmailId(id) => {
                self.put("EMAILID (");
                self.astring(id);
                self.put(")");
            }
            FetchItem::ThreadId(Some(id)) => {
                self.put("THREADID (");
                self.astring(id);
                self.put(")");
            }
            FetchItem::ThreadId(None) => self.put("THREADID NIL"),
            FetchItem::SaveDate(Some(date)) => {
                self.put("SAVEDATE \"");
                self.display(date);
                self.put("\"");
            }
            FetchItem::SaveDate(None) => self.put("SAVEDATE NIL"),
            FetchItem::Preview(text) => {
                self.put("PREVIEW ");
                self.nstring(text.as_deref());
            }
            FetchItem::Raw(_) => unreachable!("returned above"),
        }
    }

    /// Writes `BODY[...]` and announces a literal of `size` octets, which do not go through the encoder: send what
    /// is in it, then the octets, and go on.
    pub fn fetch_literal(&mut self, section: &Section, origin: Option<u64>, size: u64) {
        self.fetch_space();
        self.put("BODY");
        self.section(section);
        self.origin(origin);
        self.put(" ");
        self.announce(size, false);
    }

    /// The same for `BINARY[...]`. The literal may hold NUL.
    pub fn fetch_binary_literal(&mut self, part: &[u32], origin: Option<u64>, size: u64) {
        self.fetch_space();
        self.put("BINARY[");
        self.part_numbers(part);
        self.put("]");
        self.origin(origin);
        self.put(" ");
        self.announce(size, true);
    }

    /// The same for RFC822, RFC822.HEADER and RFC822.TEXT.
    pub fn fetch_rfc822_literal(&mut self, part: Rfc822Part, size: u64) {
        self.fetch_space();
        self.put(part.name());
        self.put(" ");
        self.announce(size, false);
    }

    /// Writes an item that was encoded before. The caller has checked that `value` is one value of IMAP's grammar, so
    /// that a line end in it is the end of a literal's announcement.
    pub(crate) fn fetch_encoded(&mut self, name: &str, value: &[u8]) {
        self.fetch_space();
        self.put(name);
        self.put(" ");
        let mut rest = value;
        while let Some(lf) = memchr::memchr(b'\n', rest) {
            let line = rest[..lf].strip_suffix(b"}\r").expect("the caller checked the literals");
            let open = line.iter().rposition(|b| *b == b'{').expect("the caller checked the literals");
            let size = number(&line[open + 1..]).and_then(|size| usize::try_from(size).ok());
            let (octets, after) = rest[lf + 1..].split_at(size.expect("the caller checked the literals"));
            self.put_bytes(&line[..open]);
            self.literal(octets);
            rest = after;
        }
        self.put_bytes(rest);
    }

    /// Ends a FETCH response and its line.
    pub fn fetch_end(&mut self) {
        self.put(")");
        self.end_line();
    }

    fn origin(&mut self, origin: Option<u64>) {
        if let Some(origin) = origin {
            self.put("<");
            self.number(origin);
            self.put(">");
        }
    }

    /// nstring, with a literal for whatever is not empty: clients expect bodies so.
    fn body_data(&mut self, data: Option<&[u8]>) {
        match data {
            None => self.put("NIL"),
            Some([]) => self.put("\"\""),
            Some(data) => self.literal(data),
        }
    }
}

fn encode_envelope(envelope: &Envelope, out: &mut Encoder) {
    out.put("(");
    out.nstring(envelope.date().as_deref());
    out.put(" ");
    out.nstring(envelope.subject().as_deref());
    for list in envelope.lists() {
        if list.len() == 0 {
            out.put(" NIL");
            continue;
        }
        out.put(" (");
        for Address { name, route, mailbox, host } in list {
            out.put("(");
            out.nstring(name.as_deref());
            for part in [route, mailbox, host] {
                out.put(" ");
                out.nstring(part.as_deref());
            }
            out.put(")");
        }
        out.put(")");
    }
    out.put(" ");
    out.nstring(envelope.in_reply_to().as_deref());
    out.put(" ");
    out.nstring(envelope.message_id().as_deref());
    out.put(")");
}

/// What stands for the body of a multipart or message without any: the grammar wants one.
const EMPTY_PART: &str = "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)";

fn encode_structure(structure: &BodyStructure, out: &mut Encoder) {
    let mut open: Vec<(Part<'_>, usize)> = Vec::new();
    for (index, part) in structure.parts().enumerate() {
        while let Some((parent, at)) = open.pop_if(|(parent, _)| parent.node().end as usize <= index) {
            encode_part_end(parent, at, structure.extended, out);
        }
        out.put("(");
        if part.kind() != MediaKind::Multipart {
            encode_part_fields(part, out);
        }
        if let Some(envelope) = part.envelope() {
            out.put(" ");
            encode_envelope(envelope, out);
            out.put(" ");
        }
        open.push((part, index));
    }
    while let Some((parent, at)) = open.pop() {
        encode_part_end(parent, at, structure.extended, out);
    }
}

fn encode_part_fields(part: Part<'_>, out: &mut Encoder) {
    out.nstring(part.media_type().as_deref());
    out.put(" ");
    out.nstring(part.media_subtype().as_deref());
    out.put(" ");
    encode_params(part.params(), out);
    for text in [part.id(), part.description()] {
        out.put(" ");
        out.nstring(text.as_deref());
    }
    out.put(" ");
    out.string(part.encoding().as_deref().unwrap_or(b"7BIT"));
    out.put(" ");
    out.number(part.octets().unwrap_or(0));
}

fn encode_part_end(part: Part<'_>, index: usize, extended: bool, out: &mut Encoder) {
    let childless = part.node().end as usize == index + 1;
    match part.kind() {
        MediaKind::Basic => {
            if part.media_type().is_some_and(|media| media.eq_ignore_ascii_case(b"text")) {
                out.put(" ");
                out.number(part.lines().unwrap_or(0));
            }
        }
        MediaKind::Message => {
            out.put(if childless { EMPTY_PART } else { "" });
            out.put(" ");
            out.number(part.lines().unwrap_or(0));
        }
        MediaKind::Multipart => {
            out.put(if childless { EMPTY_PART } else { "" });
            out.put(" ");
            out.string(part.media_subtype().as_deref().unwrap_or(b"MIXED"));
        }
    }
    if extended {
        out.put(" ");
        match part.kind() {
            MediaKind::Multipart => encode_params(part.params(), out),
            MediaKind::Basic | MediaKind::Message => out.nstring(part.md5().as_deref()),
        }
        match part.disposition() {
            None => out.put(" NIL "),
            Some(disposition) => {
                out.put(" (");
                out.string(&disposition.kind);
                out.put(" ");
                encode_params(disposition.params(), out);
                out.put(") ");
            }
        }
        let languages: Vec<Cow<'_, [u8]>> = part.languages().collect();
        match &languages[..] {
            [] => out.put("NIL"),
            languages => {
                for (i, language) in languages.iter().enumerate() {
                    out.put(if i == 0 { "(" } else { " " });
                    out.string(language);
                }
                out.put(")");
            }
        }
        out.put(" ");
        out.nstring(part.location().as_deref());
    }
    out.put(")");
}

fn encode_params<'a>(params: impl ExactSizeIterator<Item = (Cow<'a, [u8]>, Cow<'a, [u8]>)>, out: &mut Encoder) {
    if params.len() == 0 {
        return out.put("NIL");
    }
    for (i, (name, value)) in params.enumerate() {
        out.put(if i == 0 { "(" } else { " " });
        out.string(&name);
        out.put(" ");
        out.string(&value);
    }
    out.put(")");
}
