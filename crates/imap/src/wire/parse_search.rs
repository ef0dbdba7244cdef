//! SEARCH commands from octets.

use alloc::boxed::Box;
use alloc::vec::Vec;

use postrider_core::ParseError;

use super::command::Command;
use super::cursor::{Cursor, MAX_DEPTH, Parsed};
use super::flag::Flag;
use super::search::{Search, SearchKey, SearchPartial, SearchReturn};

pub(crate) fn search(c: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    c.space()?;
    let mut returns = None;
    if c.word("RETURN") {
        c.space()?;
        returns = Some(search_return(c)?);
        c.space()?;
    }
    let mut charset = None;
    if c.word("CHARSET") {
        c.space()?;
        charset = Some(c.astring()?);
        c.space()?;
    }
    Ok(Command::Search(Search { uid, returns, charset, key: search_program(c)? }))
}

fn search_return(c: &mut Cursor<'_>) -> Parsed<SearchReturn> {
    c.open()?;
    let mut returns = SearchReturn::default();
    if c.eat(b')') {
        return Ok(returns);
    }
    loop {
        if c.word("MIN") {
            returns.min = true;
        } else if c.word("MAX") {
            returns.max = true;
        } else if c.word("ALL") {
            returns.all = true;
        } else if c.word("COUNT") {
            returns.count = true;
        } else if c.word("SAVE") {
            returns.save = true;
        } else if c.word("PARTIAL") {
            c.space()?;
            returns.partial = Some(search_partial(c)?);
        } else {
            return c.fail("a return option of SEARCH");
        }
        if c.eat(b')') {
            return Ok(returns);
        }
        c.space()?;
    }
}

/// partial-range: `1:100` or `-1:-100` (RFC 9394, 4).
pub(crate) fn search_partial(c: &mut Cursor<'_>) -> Parsed<SearchPartial> {
    let negative = c.peek() == Some(b'-');
    let end = |c: &mut Cursor<'_>| -> Parsed<i64> {
        if negative {
            c.expect(b'-', "\"-\"")?;
        }
        let number = i64::from(c.nz_number()?);
        Ok(if negative { -number } else { number })
    };
    let first = end(c)?;
    c.expect(b':', "\":\"")?;
    Ok(SearchPartial { first, last: end(c)? })
}

/// What is still wanted while keys are read. One lies on the stack for each key that is not complete.
enum Open {
    /// Keys of a list, or of the top.
    And(Vec<SearchKey>),
    Not,
    /// OR, with its first key once that is there.
    Or(Option<SearchKey>),
}

/// Keys up to the end of the command, without recursion.
fn search_program(c: &mut Cursor<'_>) -> Parsed<SearchKey> {
    let mut open = Vec::with_capacity(4);
    open.push(Open::And(Vec::new()));
    loop {
        if open.len() > MAX_DEPTH {
            return c.fail("fewer nested keys");
        }
        let mut done = if c.eat(b'(') {
            open.push(Open::And(Vec::new()));
            continue;
        } else if c.word("NOT") {
            c.space()?;
            open.push(Open::Not);
            continue;
        } else if c.word("OR") {
            c.space()?;
            open.push(Open::Or(None));
            continue;
        } else {
            search_key(c)?
        };
        // A key is complete: it completes what waits for it, and so on outwards.
        loop {
            match open.pop().expect("the top is taken off only when the command ends") {
                Open::Not => done = SearchKey::Not(Box::new(done)),
                Open::Or(Some(first)) => done = SearchKey::Or(Box::new((first, done))),
                Open::Or(None) => {
                    c.space()?;
                    open.push(Open::Or(Some(done)));
                    break;
                }
                Open::And(mut keys) => {
                    keys.push(done);
                    if c.eat(b' ') {
                        open.push(Open::And(keys));
                        break;
                    }
                    let alone = if keys.len() == 1 { keys.pop() } else { None };
                    done = alone.unwrap_or_else(|| SearchKey::And(keys));
                    if open.is_empty() {
                        return Ok(done);
                    }
                    c.close()?;
                }
            }
        }
    }
}

/// A key without keys inside.
fn search_key(c: &mut Cursor<'_>) -> Parsed<SearchKey> {
    if matches!(c.peek(), Some(b'0'..=b'9' | b'*' | b'$')) {
        return Ok(SearchKey::Messages(c.sequence_set()?));
    }
    let start = c.at;
    let word = c.take_while(|b| b.is_ascii_alphabetic());
    let mut upper = [0; 12];
    let Some(place) = upper.get_mut(..word.len()) else { return c.fail("a search key") };
    place.copy_from_slice(word);
    place.make_ascii_uppercase();
    let string = |c: &mut Cursor<'_>| {
        c.space()?;
        c.astring()
    };
    let date = |c: &mut Cursor<'_>| {
        c.space()?;
        c.date()
    };
    let number = |c: &mut Cursor<'_>| {
        c.space()?;
        c.number64()
    };
    let seconds = |c: &mut Cursor<'_>| {
        c.space()?;
        c.nz_number()
    };
    let keyword = |c: &mut Cursor<'_>| {
        c.space()?;
        let at = c.at;
        let flag = c.flag()?;
        if c.unit()[at] == b'\\' { Err(ParseError { at, expected: "a keyword" }) } else { Ok(flag) }
    };
    Ok(match &*place {
        b"ALL" => SearchKey::All,
        b"ANSWERED" => SearchKey::Has(Flag::Answered),
        b"BCC" => SearchKey::Bcc(string(c)?),
        b"BEFORE" => SearchKey::Before(date(c)?),
        b"BODY" => SearchKey::Body(string(c)?),
        b"CC" => SearchKey::Cc(string(c)?),
        b"DELETED" => SearchKey::Has(Flag::Deleted),
        b"DRAFT" => SearchKey::Has(Flag::Draft),
        b"EMAILID" => SearchKey::EmailId(string(c)?),
        b"FLAGGED" => SearchKey::Has(Flag::Flagged),
        b"FROM" => SearchKey::From(string(c)?),
        b"HEADER" => {
            let field = string(c)?;
            SearchKey::Header { field, value: string(c)? }
        }
        b"KEYWORD" => SearchKey::Has(keyword(c)?),
        b"LARGER" => SearchKey::Larger(number(c)?),
        b"MODSEQ" => {
            c.space()?;
            if c.peek() == Some(b'"') {
                c.string()?;
                c.space()?;
                if !(c.word("all") || c.word("shared") || c.word("priv")) {
                    return c.fail("all, shared or priv");
                }
                c.space()?;
            }
            SearchKey::ModSeq(c.number64()?)
        }
        b"NEW" => SearchKey::New,
        b"OLD" => SearchKey::HasNot(Flag::Recent),
        b"OLDER" => SearchKey::Older(seconds(c)?),
        b"ON" => SearchKey::On(date(c)?),
        b"RECENT" => SearchKey::Has(Flag::Recent),
        b"SAVEDBEFORE" => SearchKey::SavedBefore(date(c)?),
        b"SAVEDON" => SearchKey::SavedOn(date(c)?),
        b"SAVEDSINCE" => SearchKey::SavedSince(date(c)?),
        b"SEEN" => SearchKey::Has(Flag::Seen),
        b"SENTBEFORE" => SearchKey::SentBefore(date(c)?),
        b"SENTON" => SearchKey::SentOn(date(c)?),
        b"SENTSINCE" => SearchKey::SentSince(date(c)?),
        b"SINCE" => SearchKey::Since(date(c)?),
        b"SMALLER" => SearchKey::Smaller(number(c)?),
        b"SUBJECT" => SearchKey::Subject(string(c)?),
        b"TEXT" => SearchKey::Text(string(c)?),
        b"THREADID" => SearchKey::ThreadId(string(c)?),
        b"TO" => SearchKey::To(string(c)?),
        b"UID" => {
            c.space()?;
            SearchKey::Uid(c.sequence_set()?)
        }
        b"UNANSWERED" => SearchKey::HasNot(Flag::Answered),
        b"UNDELETED" => SearchKey::HasNot(Flag::Deleted),
        b"UNDRAFT" => SearchKey::HasNot(Flag::Draft),
        b"UNFLAGGED" => SearchKey::HasNot(Flag::Flagged),
        b"UNKEYWORD" => SearchKey::HasNot(keyword(c)?),
        b"UNSEEN" => SearchKey::HasNot(Flag::Seen),
        b"YOUNGER" => SearchKey::Younger(seconds(c)?),
        _ => return Err(ParseError { at: start, expected: "a search key" }),
    })
}
