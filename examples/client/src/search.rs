//! `search`

use bytes::Bytes;
use postrider_imap::client::Event;
use postrider_imap::wire::{Command, Data, Date, Flag, Search, SearchKey, SequenceSet, UidSet};
use serde::Serialize;

use crate::cli::{self, Connection};
use crate::fault::Fault;
use crate::imap::{Imap, too_many};
use crate::list::summaries;
use crate::show::Out;

/// For `search --help`.
pub(crate) const HELP: &str = "Keys: subject TEXT, from TEXT, to TEXT, cc TEXT, bcc TEXT, body TEXT, text TEXT, \
    header NAME TEXT; before DATE, on DATE, since DATE, sentbefore DATE, senton DATE, sentsince DATE (DATE is \
    YYYY-MM-DD); larger SIZE, smaller SIZE (10K, 2M); seen, unseen, flagged, unflagged, answered, unanswered, \
    deleted, undeleted, draft, undraft, keyword FLAG, unkeyword FLAG; uid UID; all; not KEY; or KEY KEY.\n\
    Example: postrider search INBOX unseen from carol since 2026-01-01";

/// How deep `not` and `or` may be nested.
const DEPTH: usize = 32;
/// How many messages one FETCH asks for.
const BATCH: usize = 500;
/// The most messages that are found. A few octets can claim billions.
const MOST: usize = 10_000_000;

/// A message that was found.
#[derive(Serialize)]
struct Found {
    uid: u32,
}

pub(crate) async fn run(connection: &Connection, search: &cli::Search, out: &mut Out) -> Result<(), Fault> {
    let key = parse(&search.keys)?;
    let mut imap = Imap::open(connection).await?;
    imap.select(&search.mailbox, true).await?;
    let found = find(&mut imap, key).await?;
    if out.is_json() {
        for uid in found.iter() {
            out.object(&Found { uid })?;
        }
    } else {
        let uids: Vec<u32> = found.iter().collect();
        for batch in uids.chunks(BATCH) {
            let mut set = SequenceSet::one(batch[0]);
            batch[1..].iter().for_each(|uid| set.add(*uid, *uid));
            summaries(&mut imap, true, set, |summary| out.line(&summary.row())).await?;
        }
    }
    out.flush()?;
    imap.log_out().await;
    Ok(())
}

/// The UIDs of the messages for which `key` holds, ascending.
pub(crate) async fn find(imap: &mut Imap, key: SearchKey) -> Result<UidSet, Fault> {
    // RFC 9051, 6.4.4: strings beyond ASCII need their charset said.
    let charset = (!is_ascii(&key)).then(|| Bytes::from_static(b"UTF-8"));
    let search = Search { uid: true, returns: None, charset, key };
    let mut uids: Vec<u32> = Vec::new();
    let status = imap
        .run(Command::Search(search), |event| {
            let found = match event {
                Event::Data(Data::Search { found, .. }) => found,
                Event::Data(Data::Esearch(found)) => found.all.unwrap_or(UidSet::EMPTY),
                _ => return Ok(()),
            };
            if found.count() > (MOST - uids.len()) as u64 {
                return Err(too_many("messages", MOST));
            }
            uids.extend(found.iter());
            Ok(())
        })
        .await?;
    imap.expect("does not search", &status)?;
    uids.sort_unstable();
    uids.dedup();
    let mut found = UidSet::EMPTY;
    uids.into_iter().for_each(|uid| found.push(uid));
    Ok(found)
}

/// Reads what to look for.
fn parse(words: &[String]) -> Result<SearchKey, Fault> {
    let mut words = words.iter().map(String::as_str);
    let mut keys = Vec::new();
    while let Some(word) = words.next() {
        keys.push(key(word, &mut words, DEPTH)?);
    }
    Ok(match keys.len() {
        1 => keys.pop().expect("there is one"),
        _ => SearchKey::And(keys),
    })
}

fn key<'a>(word: &str, rest: &mut impl Iterator<Item = &'a str>, depth: usize) -> Result<SearchKey, Fault> {
    if depth == 0 {
        return Err(Fault::usage(format!("not and or are nested more than {DEPTH} deep")));
    }
    let mut next = |what: &str| {
        rest.next().ok_or_else(|| Fault::usage(format!("after {word:?} comes {what}: see postrider search --help")))
    };
    let text = |value: &str| Bytes::copy_from_slice(value.as_bytes());
    let lower = word.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "all" => SearchKey::All,
        "seen" | "read" => SearchKey::Has(Flag::Seen),
        "unseen" | "unread" => SearchKey::HasNot(Flag::Seen),
        "flagged" => SearchKey::Has(Flag::Flagged),
        "unflagged" => SearchKey::HasNot(Flag::Flagged),
        "answered" => SearchKey::Has(Flag::Answered),
        "unanswered" => SearchKey::HasNot(Flag::Answered),
        "deleted" => SearchKey::Has(Flag::Deleted),
        "undeleted" => SearchKey::HasNot(Flag::Deleted),
        "draft" => SearchKey::Has(Flag::Draft),
        "undraft" => SearchKey::HasNot(Flag::Draft),
        "keyword" => SearchKey::Has(keyword(next("a flag")?)?),
        "unkeyword" => SearchKey::HasNot(keyword(next("a flag")?)?),
        "subject" => SearchKey::Subject(text(next("a text")?)),
        "from" => SearchKey::From(text(next("a text")?)),
        "to" => SearchKey::To(text(next("a text")?)),
        "cc" => SearchKey::Cc(text(next("a text")?)),
        "bcc" => SearchKey::Bcc(text(next("a text")?)),
        "body" => SearchKey::Body(text(next("a text")?)),
        "text" => SearchKey::Text(text(next("a text")?)),
        "header" => {
            let field = text(next("the name of a field")?);
            SearchKey::Header { field, value: text(next("the name of a field and a text")?) }
        }
        "before" => SearchKey::Before(date(next("a date")?)?),
        "on" => SearchKey::On(date(next("a date")?)?),
        "since" => SearchKey::Since(date(next("a date")?)?),
        "sentbefore" => SearchKey::SentBefore(date(next("a date")?)?),
        "senton" => SearchKey::SentOn(date(next("a date")?)?),
        "sentsince" => SearchKey::SentSince(date(next("a date")?)?),
        "larger" => SearchKey::Larger(size(next("a size")?)?),
        "smaller" => SearchKey::Smaller(size(next("a size")?)?),
        "uid" => {
            let uid = next("a UID")?;
            let parsed = uid.parse::<u32>().ok().filter(|uid| *uid > 0);
            let uid = parsed.ok_or_else(|| Fault::usage(format!("{uid:?} is no UID: they are numbers above 0")))?;
            SearchKey::Uid(SequenceSet::one(uid))
        }
        "not" => {
            let negated = next("another key")?;
            SearchKey::Not(Box::new(key(negated, rest, depth - 1)?))
        }
        "or" => {
            let first = next("two other keys")?;
            let first = key(first, rest, depth - 1)?;
            let second = rest.next().ok_or_else(|| Fault::usage("after \"or\" come two other keys"))?;
            SearchKey::Or(Box::new((first, key(second, rest, depth - 1)?)))
        }
        _ => return Err(Fault::usage(format!("{word:?} is no search key: see postrider search --help"))),
    })
}

fn keyword(name: &str) -> Result<Flag, Fault> {
    Flag::new(name).ok_or_else(|| Fault::usage(format!("{name:?} cannot be a flag")))
}

fn date(text: &str) -> Result<Date, Fault> {
    let mut parts = text.splitn(3, '-');
    let mut number = || {
        parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit())).and_then(|part| part.parse::<u16>().ok())
    };
    let parsed = (number(), number(), number());
    let date = match parsed {
        (Some(year), Some(month), Some(day)) => u8::try_from(month)
            .ok()
            .zip(u8::try_from(day).ok())
            .and_then(|(month, day)| Date::new(year, month, day).ok()),
        _ => None,
    };
    date.ok_or_else(|| Fault::usage(format!("{text:?} is no date: write it as 2026-01-31")))
}

fn size(text: &str) -> Result<u64, Fault> {
    let (digits, unit) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let octets = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    octets.ok_or_else(|| Fault::usage(format!("{text:?} is no size: write 500, 10K or 2M")))
}

/// Whether all its strings are ASCII.
fn is_ascii(key: &SearchKey) -> bool {
    match key {
        SearchKey::From(text) | SearchKey::To(text) | SearchKey::Cc(text) | SearchKey::Bcc(text) => text.is_ascii(),
        SearchKey::Subject(text) | SearchKey::Body(text) | SearchKey::Text(text) => text.is_ascii(),
        SearchKey::Header { field, value } => field.is_ascii() && value.is_ascii(),
        SearchKey::Not(key) => is_ascii(key),
        SearchKey::Or(keys) => is_ascii(&keys.0) && is_ascii(&keys.1),
        SearchKey::And(keys) => keys.iter().all(is_ascii),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Class;

    fn parsed(text: &str) -> Result<SearchKey, Fault> {
        parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn keys_are_read() {
        let subject = SearchKey::Subject("plain".into());
        assert_eq!(parsed("subject plain").expect("a key"), subject);
        let both = SearchKey::And(vec![SearchKey::HasNot(Flag::Seen), subject.clone()]);
        assert_eq!(parsed("UNSEEN subject plain").expect("two keys"), both);
        let either = SearchKey::Or(Box::new((SearchKey::Not(Box::new(subject)), SearchKey::Larger(10 << 10))));
        assert_eq!(parsed("or not subject plain larger 10k").expect("a key"), either);
        let day = Date::new(2026, 1, 31).expect("a day");
        assert_eq!(parsed("since 2026-01-31").expect("a key"), SearchKey::Since(day));
        assert!(!is_ascii(&parsed("not from ü").expect("a key")));
    }

    #[test]
    fn what_is_no_key_is_explained() {
        let deep = vec!["not"; DEPTH + 1].join(" ");
        for text in
            ["frob", "subject", "since 2026", "on 2026-02-30", "larger x", "or seen", "uid 0", "header X", &deep]
        {
            assert_eq!(parsed(text).expect_err(text).class(), Class::Usage);
        }
    }
}
