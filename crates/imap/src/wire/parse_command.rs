//! Commands from octets: what a server reads. Strict, as RFC 9051, 9 and RFC 3501, 9 have it.

use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use postrider_core::ParseError;

use super::atom::{Tag, is_atom_char};
use super::capability::{Capabilities, Capability};
use super::command::{
    Append, Authenticate, Command, Fetch, FlagChange, Password, Qresync, SelectParams, Store, StoreMode, TaggedCommand,
};
use super::cursor::{Cursor, Parsed};
use super::encode::Dialect;
use super::fetch::{Attribute, BodyPeek, Partial, Rfc822Part};
use super::flag::{Flag, Flags};
use super::list::{List, ListPattern, ListReturn, ListSelect, MailboxAttribute};
use super::parse_search::search;
use super::response::Id;
use super::status::{StatusItem, StatusItems};

/// A command that is not well formed: to be answered BAD.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{error}")]
pub struct BadCommand {
    /// Its tag, if it got that far; else the answer is untagged.
    pub tag: Option<Tag>,
    /// What is wrong.
    pub error: ParseError,
}

/// Reads a command. `unit` is what [`Framer`](super::Framer) found, without the line end; of APPEND, it is the
/// unit up to and with the announcement of the message.
///
/// # Errors
/// [`BadCommand`]. Commands that we do not know are errors.
pub fn parse_command(unit: &Bytes, dialect: Dialect) -> Result<TaggedCommand, BadCommand> {
    let mut cursor = Cursor::new(unit, dialect.utf8, false);
    let tag = cursor.take_while(|b| (is_atom_char(b) || b == b']') && b != b'+');
    let Some(tag) = Tag::from_bytes(tag) else {
        return Err(BadCommand { tag: None, error: ParseError { at: 0, expected: "a tag" } });
    };
    let command = cursor.space().and_then(|()| command(&mut cursor)).and_then(|command| {
        cursor.end()?;
        Ok(command)
    });
    match command {
        Ok(command) => Ok(TaggedCommand { tag, command }),
        Err(error) => Err(BadCommand { tag: Some(tag), error }),
    }
}

fn command(c: &mut Cursor<'_>) -> Parsed<Command> {
    let start = c.at;
    let uid = c.word("UID");
    if uid {
        c.space()?;
    }
    let word = c.take_while(|b| b.is_ascii_alphabetic());
    let mut upper = [0; 12];
    let Some(place) = upper.get_mut(..word.len()) else { return c.fail("a command") };
    place.copy_from_slice(word);
    place.make_ascii_uppercase();
    let upper = &*place;
    if uid {
        return match upper {
            b"FETCH" => fetch(c, true),
            b"STORE" => store(c, true),
            b"SEARCH" => search(c, true),
            b"COPY" => copy(c, true, false),
            b"MOVE" => copy(c, true, true),
            b"EXPUNGE" => {
                c.space()?;
                Ok(Command::Expunge(Some(c.sequence_set()?)))
            }
            _ => Err(ParseError { at: start, expected: "a UID command" }),
        };
    }
    let simple = match upper {
        b"CAPABILITY" => Command::Capability,
        b"NOOP" => Command::Noop,
        b"LOGOUT" => Command::Logout,
        b"STARTTLS" => Command::StartTls,
        b"NAMESPACE" => Command::Namespace,
        b"IDLE" => Command::Idle,
        b"CHECK" => Command::Check,
        b"CLOSE" => Command::Close,
        b"UNSELECT" => Command::Unselect,
        b"EXPUNGE" => Command::Expunge(None),
        b"FETCH" => return fetch(c, false),
        b"STORE" => return store(c, false),
        b"SEARCH" => return search(c, false),
        b"COPY" => return copy(c, false, false),
        b"MOVE" => return copy(c, false, true),
        b"LOGIN" => {
            c.space()?;
            let user = c.astring()?;
            c.space()?;
            Command::Login { user, password: Password::new(c.astring()?) }
        }
        b"AUTHENTICATE" => {
            c.space()?;
            Command::Authenticate(authenticate(c)?)
        }
        b"ENABLE" => {
            let mut wanted = Capabilities::EMPTY;
            loop {
                c.space()?;
                wanted.insert(Capability::new(c.atom()?));
                if c.is_at_end() {
                    break Command::Enable(wanted);
                }
            }
        }
        b"ID" => {
            c.space()?;
            Command::Id(id(c)?)
        }
        b"SELECT" | b"EXAMINE" => {
            c.space()?;
            let mailbox = c.mailbox()?;
            let params = if c.is_at_end() { SelectParams::default() } else { select_params(c)? };
            Command::Select { mailbox, read_only: upper == b"EXAMINE", params }
        }
        b"CREATE" => {
            c.space()?;
            let mailbox = c.mailbox()?;
            let special_use = if c.is_at_end() { Vec::new() } else { create_params(c)? };
            Command::Create { mailbox, special_use }
        }
        b"DELETE" => {
            c.space()?;
            Command::Delete(c.mailbox()?)
        }
        b"RENAME" => {
            c.space()?;
            let from = c.mailbox()?;
            c.space()?;
            Command::Rename { from, to: c.mailbox()? }
        }
        b"SUBSCRIBE" => {
            c.space()?;
            Command::Subscribe(c.mailbox()?)
        }
        b"UNSUBSCRIBE" => {
            c.space()?;
            Command::Unsubscribe(c.mailbox()?)
        }
        b"LIST" => {
            c.space()?;
            Command::List(list(c)?)
        }
        b"LSUB" => {
            c.space()?;
            let reference = list_mailbox(c)?;
            c.space()?;
            Command::Lsub { reference, pattern: list_mailbox(c)? }
        }
        b"STATUS" => {
            c.space()?;
            let mailbox = c.mailbox()?;
            c.space()?;
            Command::Status { mailbox, items: status_items(c)? }
        }
        b"APPEND" => {
            c.space()?;
            Command::Append(append(c)?)
        }
        _ => return Err(ParseError { at: start, expected: "a command" }),
    };
    Ok(simple)
}

fn authenticate(c: &mut Cursor<'_>) -> Parsed<Authenticate> {
    let mechanism = c.atom()?;
    if c.is_at_end() {
        return Ok(Authenticate { mechanism, initial: None });
    }
    c.space()?;
    // RFC 4959, 3: "=" is an initial response of nothing.
    let start = c.at;
    let encoded = c.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
    let decoded = match encoded {
        b"=" => Vec::new(),
        b"" => return c.fail("an initial response in base64"),
        encoded => match STANDARD.decode(encoded) {
            Ok(decoded) => decoded,
            Err(_) => return Err(ParseError { at: start, expected: "an initial response in base64" }),
        },
    };
    Ok(Authenticate { mechanism, initial: Some(Password::new(decoded)) })
}

/// id-params-list, of ID in both directions.
pub(crate) fn id(c: &mut Cursor<'_>) -> Parsed<Option<Id>> {
    if c.word("NIL") {
        return Ok(None);
    }
    c.open()?;
    let mut pairs = Vec::new();
    if c.eat(b')') {
        return Ok(Some(Id(pairs)));
    }
    loop {
        if pairs.len() == Id::LIMIT {
            return c.fail("at most 30 pairs");
        }
        let name = c.string()?;
        c.space()?;
        pairs.push((name, c.nstring()?));
        if c.eat(b')') {
            return Ok(Some(Id(pairs)));
        }
        c.space()?;
    }
}

fn select_params(c: &mut Cursor<'_>) -> Parsed<SelectParams> {
    c.space()?;
    c.open()?;
    let mut params = SelectParams::default();
    loop {
        if c.word("CONDSTORE") {
            params.condstore = true;
        } else if c.word("QRESYNC") {
            c.space()?;
            params.qresync = Some(qresync(c)?);
        } else {
            return c.fail("a parameter of SELECT");
        }
        if c.eat(b')') {
            return Ok(params);
        }
        c.space()?;
    }
}

fn qresync(c: &mut Cursor<'_>) -> Parsed<Qresync> {
    c.open()?;
    let uid_validity = c.nz_number()?;
    c.space()?;
    let modseq = c.number64()?;
    let mut qresync = Qresync { uid_validity, modseq, known: None, matching: None };
    if c.eat(b' ') {
        if c.peek() != Some(b'(') {
            qresync.known = Some(c.uid_set()?);
            if c.eat(b')') {
                return Ok(qresync);
            }
            c.space()?;
        }
        c.open()?;
        let numbers = c.uid_set()?;
        c.space()?;
        qresync.matching = Some((numbers, c.uid_set()?));
        c.close()?;
    }
    c.close()?;
    Ok(qresync)
}

/// ` (USE (\Sent))` after CREATE (RFC 6154, 6).
fn create_params(c: &mut Cursor<'_>) -> Parsed<Vec<MailboxAttribute>> {
    c.space()?;
    c.open()?;
    if !c.word("USE") {
        return c.fail("USE");
    }
    c.space()?;
    c.open()?;
    let mut uses = Vec::new();
    if !c.eat(b')') {
        loop {
            c.expect(b'\\', "a special use")?;
            uses.push(MailboxAttribute::new(c.atom()?));
            if c.eat(b')') {
                break;
            }
            c.space()?;
        }
    }
    c.close()?;
    Ok(uses)
}

fn list_mailbox(c: &mut Cursor<'_>) -> Parsed<ListPattern> {
    let octets = match c.peek() {
        Some(b'"' | b'{') => {
            let span = c.string_span()?;
            c.text_of(span)
        }
        _ => {
            let bare = c.take_while(|b| is_atom_char(b) || matches!(b, b'%' | b'*' | b']'));
            if bare.is_empty() {
                return c.fail("the pattern of a mailbox name");
            }
            bare.into()
        }
    };
    Ok(ListPattern::decode(&octets, c.utf8))
}

fn list(c: &mut Cursor<'_>) -> Parsed<List> {
    let mut list = List {
        select: ListSelect::default(),
        reference: ListPattern::empty(),
        patterns: Vec::new(),
        returns: ListReturn::default(),
        extended: false,
    };
    if c.eat(b'(') {
        list.extended = true;
        list.select = list_select(c)?;
        c.space()?;
    }
    let reference = c.astring_span()?;
    list.reference = ListPattern::decode(&c.text_of(reference), c.utf8);
    c.space()?;
    if c.eat(b'(') {
        list.extended = true;
        loop {
            list.patterns.push(list_mailbox(c)?);
            if c.eat(b')') {
                break;
            }
            c.space()?;
        }
    } else {
        list.patterns.push(list_mailbox(c)?);
    }
    if !c.is_at_end() {
        c.space()?;
        if !c.word("RETURN") {
            return c.fail("RETURN");
        }
        c.space()?;
        list.extended = true;
        list.returns = list_returns(c)?;
    }
    Ok(list)
}

/// The cursor is behind the parenthesis.
fn list_select(c: &mut Cursor<'_>) -> Parsed<ListSelect> {
    let start = c.at;
    let mut select = ListSelect::default();
    if c.eat(b')') {
        return Ok(select);
    }
    loop {
        if c.word("SUBSCRIBED") {
            select.subscribed = true;
        } else if c.word("REMOTE") {
            select.remote = true;
        } else if c.word("RECURSIVEMATCH") {
            select.recursive_match = true;
        } else if c.word("SPECIAL-USE") {
            select.special_use = true;
        } else {
            return c.fail("a selection option of LIST");
        }
        if c.eat(b')') {
            break;
        }
        c.space()?;
    }
    // RFC 5258, 3.1: it modifies another option, and REMOTE is none.
    if select.recursive_match && !(select.subscribed || select.special_use) {
        return Err(ParseError { at: start, expected: "an option for RECURSIVEMATCH to modify" });
    }
    Ok(select)
}

fn list_returns(c: &mut Cursor<'_>) -> Parsed<ListReturn> {
    c.open()?;
    let mut returns = ListReturn::default();
    if c.eat(b')') {
        return Ok(returns);
    }
    loop {
        if c.word("SUBSCRIBED") {
            returns.subscribed = true;
        } else if c.word("CHILDREN") {
            returns.children = true;
        } else if c.word("SPECIAL-USE") {
            returns.special_use = true;
        } else if c.word("STATUS") {
            c.space()?;
            returns.status = status_items(c)?;
        } else {
            return c.fail("a return option of LIST");
        }
        if c.eat(b')') {
            return Ok(returns);
        }
        c.space()?;
    }
}

fn status_items(c: &mut Cursor<'_>) -> Parsed<StatusItems> {
    c.open()?;
    let mut items = StatusItems::EMPTY;
    loop {
        let word = c.atom_bytes()?;
        let item = StatusItem::ALL.into_iter().find(|item| item.name().as_bytes().eq_ignore_ascii_case(word));
        match item {
            Some(item) => items = items.with(item),
            None => return c.fail("an item of STATUS"),
        }
        if c.eat(b')') {
            return Ok(items);
        }
        c.space()?;
    }
}

fn append(c: &mut Cursor<'_>) -> Parsed<Append> {
    let mailbox = c.mailbox()?;
    c.space()?;
    let mut flags = Flags::EMPTY;
    if c.peek() == Some(b'(') {
        let start = c.at;
        flags = c.flags()?;
        no_servers_flags(&flags, start)?;
        c.space()?;
    }
    let mut date = None;
    if c.peek() == Some(b'"') {
        date = Some(c.date_time()?);
        c.space()?;
    }
    let utf8 = c.word("UTF8");
    if utf8 {
        c.space()?;
        c.open()?;
    }
    let binary = c.peek() == Some(b'~');
    let size = c.literal_head()?;
    Ok(Append { mailbox, flags, date, size, binary, utf8 })
}

/// RFC 9051, 9: `flag-fetch` and `flag-perm` are not flags that a client may set.
fn no_servers_flags(flags: &Flags, at: usize) -> Parsed<()> {
    if flags.iter().any(Flag::is_servers) {
        return Err(ParseError { at, expected: "flags that clients may set" });
    }
    Ok(())
}

fn copy(c: &mut Cursor<'_>, uid: bool, remove: bool) -> Parsed<Command> {
    c.space()?;
    let messages = c.sequence_set()?;
    c.space()?;
    let to = c.mailbox()?;
    Ok(if remove { Command::Move { uid, messages, to } } else { Command::Copy { uid, messages, to } })
}

fn store(c: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    c.space()?;
    let messages = c.sequence_set()?;
    c.space()?;
    let mut unchanged_since = None;
    if c.eat(b'(') {
        if !c.word("UNCHANGEDSINCE") {
            return c.fail("UNCHANGEDSINCE");
        }
        c.space()?;
        unchanged_since = Some(c.number64()?);
        c.close()?;
        c.space()?;
    }
    let mode = if c.eat(b'+') {
        StoreMode::Add
    } else if c.eat(b'-') {
        StoreMode::Remove
    } else {
        StoreMode::Replace
    };
    let silent = if c.word("FLAGS.SILENT") {
        true
    } else if c.word("FLAGS") {
        false
    } else {
        return c.fail("FLAGS");
    };
    c.space()?;
    let start = c.at;
    let flags = if c.peek() == Some(b'(') {
        c.flags()?
    } else {
        let mut flags = Flags::EMPTY;
        loop {
            flags.insert(c.flag()?);
            if !c.eat(b' ') {
                break flags;
            }
        }
    };
    no_servers_flags(&flags, start)?;
    Ok(Command::Store(Store { uid, messages, change: FlagChange { mode, flags }, silent, unchanged_since }))
}

// ── FETCH ──

fn fetch(c: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    c.space()?;
    let messages = c.sequence_set()?;
    c.space()?;
    let mut attributes = Vec::with_capacity(4);
    if c.eat(b'(') {
        loop {
            attributes.push(attribute(c)?);
            if c.eat(b')') {
                break;
            }
            c.space()?;
        }
    } else if c.word("ALL") {
        attributes.extend([Attribute::Flags, Attribute::InternalDate, Attribute::Size, Attribute::Envelope]);
    } else if c.word("FAST") {
        attributes.extend([Attribute::Flags, Attribute::InternalDate, Attribute::Size]);
    } else if c.word("FULL") {
        attributes.extend([Attribute::Flags, Attribute::InternalDate, Attribute::Size, Attribute::Envelope]);
        attributes.push(Attribute::BodyBasic);
    } else {
        attributes.push(attribute(c)?);
    }
    let mut fetch = Fetch { uid, messages, attributes, changed_since: None, vanished: false };
    if !c.is_at_end() {
        c.space()?;
        c.open()?;
        loop {
            if c.word("CHANGEDSINCE") {
                c.space()?;
                fetch.changed_since = Some(c.number64()?);
            } else if uid && c.word("VANISHED") {
                fetch.vanished = true;
            } else {
                return c.fail("a modifier of FETCH");
            }
            if c.eat(b')') {
                break;
            }
            c.space()?;
        }
        // RFC 7162, 3.2.6.
        if fetch.vanished && fetch.changed_since.is_none() {
            return c.fail("CHANGEDSINCE with VANISHED");
        }
    }
    Ok(Command::Fetch(fetch))
}

fn attribute(c: &mut Cursor<'_>) -> Parsed<Attribute> {
    let start = c.at;
    let word = c.take_while(|b| b.is_ascii_alphanumeric() || b == b'.');
    let mut upper = [0; 16];
    let Some(place) = upper.get_mut(..word.len()) else { return c.fail("an item of FETCH") };
    place.copy_from_slice(word);
    place.make_ascii_uppercase();
    Ok(match &*place {
        b"UID" => Attribute::Uid,
        b"FLAGS" => Attribute::Flags,
        b"INTERNALDATE" => Attribute::InternalDate,
        b"ENVELOPE" => Attribute::Envelope,
        b"BODYSTRUCTURE" => Attribute::BodyStructure,
        b"BODY" if c.peek() == Some(b'[') => Attribute::Body(body_peek(c, false)?),
        b"BODY" => Attribute::BodyBasic,
        b"BODY.PEEK" => Attribute::Body(body_peek(c, true)?),
        b"BINARY" => Attribute::Binary(binary_peek(c, false)?),
        b"BINARY.PEEK" => Attribute::Binary(binary_peek(c, true)?),
        b"BINARY.SIZE" => Attribute::BinarySize(c.section_part()?),
        b"RFC822" => Attribute::Rfc822(Rfc822Part::Whole),
        b"RFC822.HEADER" => Attribute::Rfc822(Rfc822Part::Header),
        b"RFC822.TEXT" => Attribute::Rfc822(Rfc822Part::Text),
        b"RFC822.SIZE" => Attribute::Size,
        b"MODSEQ" => Attribute::ModSeq,
        b"EMAILID" => Attribute::EmailId,
        b"THREADID" => Attribute::ThreadId,
        b"SAVEDATE" => Attribute::SaveDate,
        b"PREVIEW" => {
            // RFC 8970, 3.2: modifiers in parentheses, as of FETCH's item.
            let lazy = c.rest().get(..7).is_some_and(|next| next.eq_ignore_ascii_case(b" (LAZY)"));
            c.at += if lazy { 7 } else { 0 };
            Attribute::Preview { lazy }
        }
        _ => return Err(ParseError { at: start, expected: "an item of FETCH" }),
    })
}

fn body_peek(c: &mut Cursor<'_>, peek: bool) -> Parsed<BodyPeek> {
    let section = c.section()?;
    Ok(BodyPeek { section, partial: partial(c)?, peek })
}

fn binary_peek(c: &mut Cursor<'_>, peek: bool) -> Parsed<BodyPeek> {
    let section = super::fetch::Section { part: c.section_part()?, text: None };
    Ok(BodyPeek { section, partial: partial(c)?, peek })
}

fn partial(c: &mut Cursor<'_>) -> Parsed<Option<Partial>> {
    if !c.eat(b'<') {
        return Ok(None);
    }
    let origin = c.number64()?;
    c.expect(b'.', "\".\" in a partial")?;
    let start = c.at;
    let length = c.number64()?;
    if length == 0 {
        return Err(ParseError { at: start, expected: "a number above zero" });
    }
    c.expect(b'>', "\">\"")?;
    Ok(Some(Partial { origin, length }))
}
