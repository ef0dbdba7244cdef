//! Responses from octets: what a client reads.
//!
//! Never fails: what is not well formed becomes [`Data::Raw`], and a bad item of a response costs that item. The
//! leniencies are what servers are known to need; each has a test in `tests/it/interop.rs`.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use postrider_core::{ParseError, Text};

use super::atom::{Tag, is_atom_char};
use super::capability::{Capabilities, Capability};
use super::cursor::{Cursor, Parsed};
use super::encode::Dialect;
use super::fetch::Raw;
use super::list::{ListEntry, ListPattern, MailboxAttribute, NamespaceEntry, Namespaces};
use super::mailbox::Mailbox;
use super::parse_command::id;
use super::parse_fetch::{FetchReader, FetchStep};
use super::parse_search::search_partial;
use super::response::{Code, Condition, Continue, Data, Response, Status};
use super::search::Esearch;
use super::set::UidSet;
use super::status::MailboxStatus;

/// The longest text of a status response that is kept, in octets.
const LONGEST_TEXT: usize = 4096;

/// Reads a response. `unit` is what [`Framer`](super::Framer) found, without the line end.
pub fn parse_response(unit: &Bytes, dialect: Dialect) -> Response {
    let mut c = Cursor::new(unit, dialect.utf8, true);
    match begin(&mut c) {
        Begin::Fetch { number, at } => {
            let mut reader = FetchReader::new(unit.clone(), at, dialect.utf8, false);
            let mut items = Vec::with_capacity(4);
            while let FetchStep::Item(item) = reader.next() {
                items.push(item);
            }
            Response::Data(Data::Fetch { number, items })
        }
        Begin::Other(response) => response,
    }
}

/// A response; of a FETCH, only where its items begin.
pub(crate) enum Begin {
    Fetch { number: u32, at: usize },
    Other(Response),
}

pub(crate) fn begin(c: &mut Cursor<'_>) -> Begin {
    // Octets of NUL were seen before responses.
    while c.eat(0) {}
    if c.eat(b'+') {
        c.eat(b' ');
        return Begin::Other(Response::Continue(Continue { text: c.share(c.at, c.unit().len()) }));
    }
    if c.eat(b'*') {
        c.spaces();
        return untagged(c);
    }
    let start = c.at;
    let tag = c.take_while(|b| is_atom_char(b) || b == b']');
    if let Some(tag) = Tag::from_bytes(tag) {
        c.spaces();
        if let Some(condition @ (Condition::Ok | Condition::No | Condition::Bad)) = condition(c) {
            return Begin::Other(Response::Tagged { tag, status: status(c, condition) });
        }
        // Data without its star, or with a tag for one.
        for at in [c.at, start] {
            c.at = at;
            if c.peek().is_some_and(|b| b.is_ascii_digit())
                && let Ok(data) = numbered(c)
            {
                return data;
            }
        }
    }
    raw(c, start, ParseError { at: start, expected: "a response" })
}

fn raw(c: &Cursor<'_>, start: usize, why: ParseError) -> Begin {
    let bytes = c.share(start, c.unit().len());
    Begin::Other(Response::Data(Data::Raw(Raw { bytes, why })))
}

fn untagged(c: &mut Cursor<'_>) -> Begin {
    let start = c.at;
    if c.peek().is_some_and(|b| b.is_ascii_digit()) {
        return numbered(c).unwrap_or_else(|why| raw(c, start, why));
    }
    // Exchange 2013 sends a response code without its OK.
    if c.peek() == Some(b'[') {
        let status = status(c, Condition::Ok);
        return Begin::Other(Response::Data(Data::Status(status)));
    }
    if let Some(condition) = condition(c) {
        let status = status(c, condition);
        return Begin::Other(Response::Data(Data::Status(status)));
    }
    let data = named(c).and_then(|data| {
        c.spaces();
        c.end()?;
        Ok(data)
    });
    match data {
        Ok(data) => Begin::Other(Response::Data(data)),
        Err(why) => raw(c, start, why),
    }
}

/// `23 EXISTS` and its like, and FETCH.
fn numbered(c: &mut Cursor<'_>) -> Parsed<Begin> {
    let start = c.at;
    let number = c.number()?;
    c.space()?;
    c.spaces();
    let data = if c.word("FETCH") {
        c.spaces();
        c.open()?;
        return Ok(Begin::Fetch { number, at: c.at });
    } else if c.word("EXISTS") {
        Data::Exists(number)
    } else if c.word("RECENT") {
        Data::Recent(number)
    } else if c.word("EXPUNGE") && number > 0 {
        Data::Expunge(number)
    } else {
        return Err(ParseError { at: start, expected: "EXISTS, EXPUNGE or FETCH of a message" });
    };
    c.spaces();
    c.end()?;
    Ok(Begin::Other(Response::Data(data)))
}

// ── status responses ──

fn condition(c: &mut Cursor<'_>) -> Option<Condition> {
    // Nearly all responses are something else.
    if !matches!(c.peek(), Some(b'O' | b'o' | b'N' | b'n' | b'B' | b'b' | b'P' | b'p')) {
        return None;
    }
    let all = [Condition::Ok, Condition::No, Condition::Bad, Condition::Bye, Condition::PreAuth];
    all.into_iter().find(|condition| c.word(condition.name()))
}

/// From behind the condition to the end.
fn status(c: &mut Cursor<'_>, condition: Condition) -> Status {
    c.spaces();
    let mut code = None;
    if c.peek() == Some(b'[') {
        let start = c.at;
        code = bracketed(c);
        if code.is_none() {
            c.at = start;
        }
    }
    c.spaces();
    let text = String::from_utf8_lossy(c.rest());
    Status { condition, code, text: Text::lossy(text.trim_end(), LONGEST_TEXT) }
}

/// `[...]`. `None` if it is no response code at all, and so belongs to the text.
fn bracketed(c: &mut Cursor<'_>) -> Option<Code> {
    c.eat(b'[');
    let start = c.at;
    let known = code(c).and_then(|code| {
        c.spaces();
        c.expect(b']', "\"]\"")?;
        Ok(code)
    });
    if let Ok(code) = known {
        return Some(code);
    }
    c.at = start;
    let name = c.atom().ok()?;
    let has_arguments = c.eat(b' ');
    let arguments = c.take_while(|b| b != b']');
    if !c.eat(b']') {
        return None;
    }
    let text = Text::lossy(&String::from_utf8_lossy(arguments), LONGEST_TEXT);
    Some(Code::Other { name, arguments: has_arguments.then_some(text) })
}

fn code(c: &mut Cursor<'_>) -> Parsed<Code> {
    let start = c.at;
    let name = c.atom_bytes()?;
    let mut upper = [0; 24];
    let Some(place) = upper.get_mut(..name.len()) else { return c.fail("a response code that is known") };
    place.copy_from_slice(name);
    place.make_ascii_uppercase();
    Ok(match &*place {
        b"ALERT" => Code::Alert,
        b"ALREADYEXISTS" => Code::AlreadyExists,
        b"AUTHENTICATIONFAILED" => Code::AuthenticationFailed,
        b"AUTHORIZATIONFAILED" => Code::AuthorizationFailed,
        b"CANNOT" => Code::Cannot,
        b"CLIENTBUG" => Code::ClientBug,
        b"CLOSED" => Code::Closed,
        b"CONTACTADMIN" => Code::ContactAdmin,
        b"CORRUPTION" => Code::Corruption,
        b"EXPIRED" => Code::Expired,
        b"EXPUNGEISSUED" => Code::ExpungeIssued,
        b"HASCHILDREN" => Code::HasChildren,
        b"INUSE" => Code::InUse,
        b"LIMIT" => Code::Limit,
        b"NOMODSEQ" => Code::NoModSeq,
        b"NONEXISTENT" => Code::NonExistent,
        b"NOPERM" => Code::NoPerm,
        b"NOTSAVED" => Code::NotSaved,
        b"OVERQUOTA" => Code::OverQuota,
        b"PARSE" => Code::Parse,
        b"PRIVACYREQUIRED" => Code::PrivacyRequired,
        b"READ-ONLY" => Code::ReadOnly,
        b"READ-WRITE" => Code::ReadWrite,
        b"SERVERBUG" => Code::ServerBug,
        b"TOOBIG" => Code::TooBig,
        b"TRYCREATE" => Code::TryCreate,
        b"UIDNOTSTICKY" => Code::UidNotSticky,
        b"UNAVAILABLE" => Code::Unavailable,
        b"UNKNOWN-CTE" => Code::UnknownCte,
        b"BADCHARSET" => {
            let mut charsets = Vec::new();
            c.spaces();
            if c.eat(b'(') {
                while !c.eat(b')') {
                    // Not an astring: `]` ends the code.
                    let charset =
                        if c.peek() == Some(b'"') { c.string()? } else { Bytes::copy_from_slice(c.atom_bytes()?) };
                    charsets.push(charset);
                    c.spaces();
                }
            }
            Code::BadCharset(charsets)
        }
        b"CAPABILITY" => Code::Capability(capabilities(c)),
        b"APPENDUID" => {
            c.space()?;
            let uid_validity = c.nz_number()?;
            c.space()?;
            Code::AppendUid { uid_validity, uids: c.uid_set()? }
        }
        b"COPYUID" => {
            c.space()?;
            let uid_validity = c.nz_number()?;
            c.space()?;
            let from = c.uid_set()?;
            c.space()?;
            Code::CopyUid { uid_validity, from, to: c.uid_set()? }
        }
        b"HIGHESTMODSEQ" => {
            c.space()?;
            Code::HighestModSeq(c.number64()?)
        }
        b"MAILBOXID" => {
            c.space()?;
            c.open()?;
            let id = c.astring()?;
            c.close()?;
            Code::MailboxId(id)
        }
        b"MODIFIED" => {
            c.space()?;
            Code::Modified(c.sequence_set()?)
        }
        b"PERMANENTFLAGS" => {
            c.space()?;
            Code::PermanentFlags(c.flags()?)
        }
        b"UIDNEXT" => {
            c.space()?;
            Code::UidNext(c.nz_number()?)
        }
        b"UIDVALIDITY" => {
            c.space()?;
            Code::UidValidity(c.nz_number()?)
        }
        b"UNSEEN" => {
            c.space()?;
            Code::Unseen(c.nz_number()?)
        }
        _ => return Err(ParseError { at: start, expected: "a response code that is known" }),
    })
}

fn capabilities(c: &mut Cursor<'_>) -> Capabilities {
    let mut capabilities = Capabilities::EMPTY;
    loop {
        c.spaces();
        match c.atom() {
            Ok(word) => capabilities.insert(Capability::new(word)),
            Err(_) => return capabilities,
        };
    }
}

// ── data ──

fn named(c: &mut Cursor<'_>) -> Parsed<Data> {
    let start = c.at;
    let word = c.take_while(|b| b.is_ascii_alphabetic());
    let mut upper = [0; 12];
    let Some(place) = upper.get_mut(..word.len()) else { return c.fail("a response that is known") };
    place.copy_from_slice(word);
    place.make_ascii_uppercase();
    c.spaces();
    Ok(match &*place {
        b"CAPABILITY" => Data::Capability(capabilities(c)),
        b"ENABLED" => Data::Enabled(capabilities(c)),
        b"FLAGS" => Data::Flags(c.flags()?),
        b"ID" => Data::Id(id(c)?),
        b"LIST" => Data::List(list_entry(c)?),
        b"LSUB" => Data::Lsub(list_entry(c)?),
        b"NAMESPACE" => Data::Namespace(namespaces(c)?),
        b"STATUS" => Data::MailboxStatus(mailbox_status(c)?),
        b"SEARCH" => search(c)?,
        b"ESEARCH" => Data::Esearch(esearch(c)?),
        b"VANISHED" => {
            let earlier = c.eat(b'(');
            if earlier {
                if !c.word("EARLIER") {
                    return c.fail("EARLIER");
                }
                c.close()?;
                c.spaces();
            }
            Data::Vanished { earlier, uids: c.uid_set()? }
        }
        _ => return Err(ParseError { at: start, expected: "a response that is known" }),
    })
}

fn search(c: &mut Cursor<'_>) -> Parsed<Data> {
    let mut found = UidSet::EMPTY;
    let mut modseq = None;
    loop {
        c.spaces();
        match c.peek() {
            Some(b'0'..=b'9') => numbers(c, &mut found)?,
            Some(b'(') => {
                c.open()?;
                if !c.word("MODSEQ") {
                    return c.fail("MODSEQ");
                }
                c.space()?;
                modseq = Some(c.number64()?);
                c.close()?;
            }
            _ => return Ok(Data::Search { found, modseq }),
        }
    }
}

/// Numbers with spaces between them: there may be hundreds of thousands.
fn numbers(c: &mut Cursor<'_>, found: &mut UidSet) -> Parsed<()> {
    let rest = c.rest();
    let mut at = 0;
    while let Some(b'0'..=b'9') = rest.get(at) {
        let start = at;
        let mut value = 0u64;
        while let Some(digit @ b'0'..=b'9') = rest.get(at) {
            // Ten digits cannot overflow this; more are too many anyway.
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            at += 1;
        }
        let fits = at - start <= 10 && value <= u64::from(u32::MAX);
        if !fits {
            c.at += start;
            return c.fail("a number below 2^32");
        }
        // No message has the number zero; nothing is lost without it.
        if value > 0 {
            found.push(value as u32);
        }
        while rest.get(at) == Some(&b' ') {
            at += 1;
        }
    }
    c.at += at;
    Ok(())
}

fn esearch(c: &mut Cursor<'_>) -> Parsed<Esearch> {
    let mut esearch = Esearch::default();
    if c.eat(b'(') {
        if !c.word("TAG") {
            return c.fail("TAG");
        }
        c.space()?;
        esearch.tag = Some(c.astring()?);
        c.close()?;
        c.spaces();
    }
    if c.word("UID") {
        esearch.uid = true;
        c.spaces();
    }
    while !c.is_at_end() {
        let name = c.atom()?;
        c.space()?;
        let start = c.at;
        let value = esearch_item(c, name.as_str(), &mut esearch);
        if value.is_err() || !matches!(c.peek(), None | Some(b' ')) {
            c.at = start;
            c.skip_value()?;
            esearch.others.push((name, c.share(start, c.at)));
        }
        c.spaces();
    }
    Ok(esearch)
}

fn esearch_item(c: &mut Cursor<'_>, name: &str, esearch: &mut Esearch) -> Parsed<()> {
    let is = |word: &str| name.eq_ignore_ascii_case(word);
    if is("MIN") {
        esearch.min = Some(c.nz_number()?);
    } else if is("MAX") {
        esearch.max = Some(c.nz_number()?);
    } else if is("COUNT") {
        esearch.count = Some(c.number()?);
    } else if is("ALL") {
        esearch.all = Some(c.uid_set()?);
    } else if is("MODSEQ") {
        esearch.modseq = Some(c.number64()?);
    } else if is("PARTIAL") {
        c.open()?;
        let window = search_partial(c)?;
        c.space()?;
        let found = if c.word("NIL") { UidSet::EMPTY } else { c.uid_set()? };
        c.close()?;
        esearch.partial = Some((window, found));
    } else {
        return c.fail("an item of ESEARCH that is known");
    }
    Ok(())
}

/// A name at the end of a line, or before `stop`. Exchange sends names bare that should be quoted, with tabs or
/// a quote in them; up to where it must end, everything belongs to it.
fn loose_mailbox(c: &mut Cursor<'_>, stop: &[u8]) -> Parsed<Option<Mailbox>> {
    let octets = match c.peek() {
        Some(b'"' | b'{') => {
            let span = c.string_span()?;
            c.text_of(span)
        }
        _ => {
            let rest = c.rest();
            let end = memchr::memmem::find(rest, stop).unwrap_or(rest.len());
            c.at += end;
            let mut name = &rest[..end];
            while let Some(shorter) = name.strip_suffix(b" ") {
                name = shorter;
            }
            if name.is_empty() {
                return c.fail("the name of a mailbox");
            }
            name.into()
        }
    };
    Ok((!octets.is_empty()).then(|| Mailbox::decode(&octets, c.utf8)))
}

fn delimiter(c: &mut Cursor<'_>) -> Parsed<Option<char>> {
    let span = c.nstring_span()?;
    let text = c.text_of(span);
    Ok(core::str::from_utf8(&text).ok().and_then(|text| text.chars().next()))
}

fn list_entry(c: &mut Cursor<'_>) -> Parsed<ListEntry> {
    c.open()?;
    let mut attributes = Vec::with_capacity(4);
    loop {
        c.spaces();
        if c.eat(b')') {
            break;
        }
        c.eat(b'\\');
        let start = c.at;
        let attribute = MailboxAttribute::from_bytes(c.atom_bytes()?);
        attributes.push(attribute.ok_or(ParseError { at: start, expected: "an attribute" })?);
    }
    c.spaces();
    let delimiter = delimiter(c)?;
    c.spaces();
    let mailbox = loose_mailbox(c, b" (\"")?;
    let mut entry = ListEntry { attributes, delimiter, mailbox, child_info: Vec::new(), old_name: None };
    c.spaces();
    if c.eat(b'(') {
        list_extended(c, &mut entry)?;
    }
    Ok(entry)
}

/// From behind the parenthesis.
fn list_extended(c: &mut Cursor<'_>, entry: &mut ListEntry) -> Parsed<()> {
    loop {
        c.spaces();
        if c.eat(b')') {
            return Ok(());
        }
        let name = c.astring()?;
        c.spaces();
        if name.eq_ignore_ascii_case(b"CHILDINFO") {
            c.open()?;
            while !c.eat(b')') {
                let option = c.astring()?;
                entry.child_info.extend(super::atom::Atom::from_bytes(&option));
                c.spaces();
            }
        } else if name.eq_ignore_ascii_case(b"OLDNAME") {
            c.open()?;
            entry.old_name = Some(c.mailbox()?);
            c.close()?;
        } else {
            c.skip_value()?;
        }
    }
}

fn namespaces(c: &mut Cursor<'_>) -> Parsed<Namespaces> {
    let mut spaces = [Vec::new(), Vec::new(), Vec::new()];
    for space in &mut spaces {
        c.spaces();
        if c.is_at_end() {
            break;
        }
        if c.word("NIL") {
            continue;
        }
        c.open()?;
        while !c.eat(b')') {
            c.open()?;
            let prefix = c.nstring()?.unwrap_or_default();
            c.spaces();
            let delimiter = if c.peek() == Some(b')') { None } else { delimiter(c)? };
            // Extensions: pairs that we do not know.
            c.spaces();
            while !c.eat(b')') {
                let start = c.at;
                c.skip_value()?;
                c.spaces();
                if c.at == start {
                    return c.fail("\")\"");
                }
            }
            space.push(NamespaceEntry { prefix: ListPattern::decode(&prefix, c.utf8), delimiter });
            c.spaces();
        }
    }
    let [personal, other_users, shared] = spaces;
    Ok(Namespaces { personal, other_users, shared })
}

fn mailbox_status(c: &mut Cursor<'_>) -> Parsed<MailboxStatus> {
    let start = c.at;
    let Some(mailbox) = loose_mailbox(c, b" (")? else {
        return Err(ParseError { at: start, expected: "the name of a mailbox" });
    };
    let mut status = MailboxStatus::new(mailbox);
    c.spaces();
    c.open()?;
    loop {
        c.spaces();
        if c.eat(b')') {
            return Ok(status);
        }
        let name = c.atom()?;
        c.space()?;
        c.spaces();
        let start = c.at;
        let value = status_item(c, name.as_str(), &mut status);
        if value.is_err() || !matches!(c.peek(), Some(b' ' | b')')) {
            c.at = start;
            c.skip_value()?;
            if c.at == start {
                return c.fail("a value");
            }
            status.others.push((name, c.share(start, c.at)));
        }
    }
}

fn status_item(c: &mut Cursor<'_>, name: &str, status: &mut MailboxStatus) -> Parsed<()> {
    let is = |word: &str| name.eq_ignore_ascii_case(word);
    if is("MESSAGES") {
        status.messages = Some(c.number()?);
    } else if is("RECENT") {
        status.recent = Some(c.number()?);
    } else if is("UIDNEXT") {
        status.uid_next = Some(c.nz_number()?);
    } else if is("UIDVALIDITY") {
        status.uid_validity = Some(c.nz_number()?);
    } else if is("UNSEEN") {
        status.unseen = Some(c.number()?);
    } else if is("DELETED") {
        status.deleted = Some(c.number()?);
    } else if is("SIZE") {
        status.size = Some(c.number64()?);
    } else if is("HIGHESTMODSEQ") {
        status.highest_modseq = Some(c.number64()?);
    } else if is("APPENDLIMIT") {
        status.append_limit = Some(if c.word("NIL") { None } else { Some(c.number64()?) });
    } else if is("MAILBOXID") {
        c.open()?;
        let id = c.astring()?;
        c.close()?;
        status.mailbox_id = Some(id);
    } else {
        return c.fail("an item of STATUS that is known");
    }
    Ok(())
}
