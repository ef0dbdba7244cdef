//! SEARCH: whether a message is meant (RFC 9051, 6.4.4).

use memchr::memmem::Finder;
use postrider_imap::wire::{Addresses, Date, DateTime, Envelope, Flag, Flags, SearchKey, SequenceSet, UidSet};

use crate::charset;
use crate::date;
use crate::envelope::address_text;
use crate::header::{fields, unfold};
use crate::scan::scan;
use crate::structure::Structure;
use crate::text::{Hits, Needle, TextScan, fold};
use crate::words;

/// What of SEARCH cannot be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// Answer NO with BADCHARSET.
    #[error("the charset of the search is not known")]
    Charset,
    /// Answer NO or BAD.
    #[error("a search key is not known")]
    Key,
}

/// A SEARCH, made ready to be put to many messages.
///
/// Ask [`Query::verdict`] with what is at hand. Says it [`Verdict::Needs`], get that, add it to [`Known`], and ask again;
/// each need comes at most once. Keys that cost more are not looked at while cheaper ones decide.
#[derive(Clone, Debug)]
pub struct Query {
    /// In the order of evaluation: operands before their operator.
    program: Vec<Op>,
    pub(crate) needles: Vec<Needle>,
}

/// What a message is judged by, from the index: always at hand.
#[derive(Clone, Copy, Debug)]
pub struct SearchMeta<'a> {
    /// Its sequence number in the session's view.
    pub sequence: u32,
    /// Its UID.
    pub uid: u32,
    /// Its flags.
    pub flags: &'a Flags,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// RFC822.SIZE.
    pub size: u64,
    /// Its mod-sequence.
    pub modseq: u64,
    /// SAVEDATE (RFC 8514), if the store has it.
    pub save_date: Option<DateTime>,
    /// EMAILID (RFC 8474), if the store has it.
    pub email_id: Option<&'a [u8]>,
    /// THREADID (RFC 8474), if the store has it.
    pub thread_id: Option<&'a [u8]>,
}

/// What is the same for all messages of a search.
#[derive(Clone, Copy, Debug)]
pub struct SearchContext<'a> {
    /// What `*` means among sequence numbers: how many messages the view has.
    pub exists: u32,
    /// What `*` means among UIDs: the highest in the view.
    pub highest_uid: u32,
    /// What `$` means: UIDs of the last search that was saved.
    pub saved: &'a UidSet,
    /// Seconds since 1970-01-01T00:00:00Z, for OLDER and YOUNGER.
    pub now: i64,
}

/// What is known of a message so far.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// From the index.
    pub meta: &'a SearchMeta<'a>,
    /// Its structure, from the cache or scanned.
    pub structure: Option<&'a Structure>,
    /// Its header, [`Structure::root`]'s, as it stands in the message.
    pub header: Option<&'a [u8]>,
    /// What a [`TextScan`] of it found.
    pub hits: Option<&'a Hits>,
}

impl<'a> Known<'a> {
    /// No more than the index says.
    pub fn new(meta: &'a SearchMeta<'a>) -> Self {
        Self { meta, structure: None, header: None, hits: None }
    }
}

/// What must be known next, cheapest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Need {
    /// [`Known::structure`].
    Structure,
    /// [`Known::header`].
    Header,
    /// [`Known::hits`]: [`Query::text_scan`], which needs the structure, too.
    Text,
}

/// What a query says of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is found.
    Yes,
    /// It is not.
    No,
    /// Not decided by what is known.
    Needs(Need),
}

#[derive(Clone, Debug)]
enum Op {
    Test(Box<Test>),
    Not,
    /// Of the two values before.
    Or,
    /// Of that many values before.
    And(usize),
}

#[derive(Clone, Debug)]
enum Test {
    All,
    Has(Flag),
    HasNot(Flag),
    New,
    Internal(Day),
    Sent(Day),
    Saved(Day),
    Older(u32),
    Younger(u32),
    Addresses(List, Finder<'static>),
    Subject(Finder<'static>),
    /// The needle of that number.
    Text(usize),
    Header {
        field: Vec<u8>,
        value: Finder<'static>,
    },
    Larger(u64),
    Smaller(u64),
    Messages(SequenceSet),
    Uid(SequenceSet),
    ModSeq(u64),
    EmailId(Vec<u8>),
    ThreadId(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
enum Day {
    Before(Date),
    On(Date),
    Since(Date),
}

impl Day {
    /// Days are compared as they are written, without time and zone (RFC 9051, 6.4.4).
    fn fits(self, day: Date) -> bool {
        match self {
            Self::Before(limit) => day < limit,
            Self::On(that) => day == that,
            Self::Since(first) => day >= first,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum List {
    From,
    To,
    Cc,
    Bcc,
}

impl List {
    fn of(self, envelope: &Envelope) -> Addresses<'_> {
        match self {
            Self::From => envelope.from(),
            Self::To => envelope.to(),
            Self::Cc => envelope.cc(),
            Self::Bcc => envelope.bcc(),
        }
    }
}

impl Query {
    /// Makes a key ready. `charset` is that of its strings: UTF-8 if not said, which includes US-ASCII.
    ///
    /// # Errors
    /// [`Unsupported`] if the charset or a key is not known.
    pub fn new(key: &SearchKey, charset: Option<&[u8]>) -> Result<Self, Unsupported> {
        enum Work<'a> {
            Key(&'a SearchKey),
            Op(Op),
        }
        let charset = charset.unwrap_or(b"utf-8");
        if !charset::is_known(charset) {
            return Err(Unsupported::Charset);
        }
        let text = |octets: &[u8]| fold(&charset::to_utf8(charset, octets));
        let finder = |octets: &[u8]| Finder::new(text(octets).as_bytes()).into_owned();
        let mut query = Self { program: Vec::new(), needles: Vec::new() };
        let mut work = vec![Work::Key(key)];
        while let Some(next) = work.pop() {
            let key = match next {
                Work::Key(key) => key,
                Work::Op(op) => {
                    query.program.push(op);
                    continue;
                }
            };
            let test = match key {
                SearchKey::Not(key) => {
                    work.push(Work::Op(Op::Not));
                    work.push(Work::Key(key));
                    continue;
                }
                SearchKey::Or(keys) => {
                    work.push(Work::Op(Op::Or));
                    work.extend([Work::Key(&keys.0), Work::Key(&keys.1)]);
                    continue;
                }
                SearchKey::And(keys) => {
                    work.push(Work::Op(Op::And(keys.len())));
                    work.extend(keys.iter().map(Work::Key));
                    continue;
                }
                SearchKey::All => Test::All,
                SearchKey::Has(flag) => Test::Has(flag.clone()),
                SearchKey::HasNot(flag) => Test::HasNot(flag.clone()),
                SearchKey::New => Test::New,
                SearchKey::Before(day) => Test::Internal(Day::Before(*day)),
                SearchKey::On(day) => Test::Internal(Day::On(*day)),
                SearchKey::Since(day) => Test::Internal(Day::Since(*day)),
                SearchKey::SentBefore(day) => Test::Sent(Day::Before(*day)),
                SearchKey::SentOn(day) => Test::Sent(Day::On(*day)),
                SearchKey::SentSince(day) => Test::Sent(Day::Since(*day)),
                SearchKey::SavedBefore(day) => Test::Saved(Day::Before(*day)),
                SearchKey::SavedOn(day) => Test::Saved(Day::On(*day)),
                SearchKey::SavedSince(day) => Test::Saved(Day::Since(*day)),
                SearchKey::Older(seconds) => Test::Older(*seconds),
                SearchKey::Younger(seconds) => Test::Younger(*seconds),
                SearchKey::From(value) => Test::Addresses(List::From, finder(value)),
                SearchKey::To(value) => Test::Addresses(List::To, finder(value)),
                SearchKey::Cc(value) => Test::Addresses(List::Cc, finder(value)),
                SearchKey::Bcc(value) => Test::Addresses(List::Bcc, finder(value)),
                SearchKey::Subject(value) => Test::Subject(finder(value)),
                SearchKey::Body(value) => query.needle(text(value), false),
                SearchKey::Text(value) => query.needle(text(value), true),
                SearchKey::Header { field, value } => Test::Header { field: field.to_vec(), value: finder(value) },
                SearchKey::Larger(size) => Test::Larger(*size),
                SearchKey::Smaller(size) => Test::Smaller(*size),
                SearchKey::Messages(set) => Test::Messages(set.clone()),
                SearchKey::Uid(set) => Test::Uid(set.clone()),
                SearchKey::ModSeq(modseq) => Test::ModSeq(*modseq),
                SearchKey::EmailId(id) => Test::EmailId(id.to_vec()),
                SearchKey::ThreadId(id) => Test::ThreadId(id.to_vec()),
                _ => return Err(Unsupported::Key),
            };
            query.program.push(Op::Test(Box::new(test)));
        }
        Ok(query)
    }

    fn needle(&mut self, text: String, in_headers: bool) -> Test {
        self.needles.push(Needle::new(&text, in_headers));
        Test::Text(self.needles.len() - 1)
    }

    /// Whether the message is found, by what is known of it.
    pub fn verdict(&self, context: &SearchContext<'_>, known: &Known<'_>) -> Verdict {
        // `Err` is a value not known yet, and what would tell; of several the cheapest.
        let mut values: Vec<Result<bool, Need>> = Vec::new();
        let operands = "operands stand before their operator";
        for op in &self.program {
            let value = match op {
                Op::Test(test) => test.value(context, known),
                Op::Not => values.pop().expect(operands).map(|value| !value),
                Op::Or => {
                    let (a, b) = (values.pop().expect(operands), values.pop().expect(operands));
                    join(a, b, true)
                }
                Op::And(count) => {
                    let start = values.len().checked_sub(*count).expect(operands);
                    let mut all = Ok(true);
                    for value in values.drain(start..) {
                        all = join(all, value, false);
                    }
                    all
                }
            };
            values.push(value);
        }
        match values.pop().expect(operands) {
            Ok(true) => Verdict::Yes,
            Ok(false) => Verdict::No,
            Err(need) => Verdict::Needs(need),
        }
    }

    /// A scan of the texts of a message for the BODY and TEXT keys, see [`Need::Text`].
    pub fn text_scan<'a>(&'a self, structure: &'a Structure) -> TextScan<'a> {
        TextScan::new(&self.needles, structure)
    }

    /// Whether a message that is in memory is found. Reads only as much of it as it needs.
    pub fn matches(&self, context: &SearchContext<'_>, meta: &SearchMeta<'_>, message: &[u8]) -> bool {
        let (mut structure, mut hits, mut with_header) = (None, None, false);
        loop {
            let header =
                structure.as_ref().filter(|_| with_header).map(|s: &Structure| octets(message, &s.root().header));
            let known = Known { meta, structure: structure.as_ref(), header, hits: hits.as_ref() };
            match self.verdict(context, &known) {
                Verdict::Yes => return true,
                Verdict::No => return false,
                Verdict::Needs(need) => {
                    with_header |= need == Need::Header;
                    let structure = structure.get_or_insert_with(|| scan(message));
                    if need == Need::Text {
                        let mut texts = self.text_scan(structure);
                        while let Some(range) = texts.wants() {
                            texts.push(octets(message, &range));
                        }
                        hits = Some(texts.finish());
                    }
                }
            }
        }
    }
}

fn octets<'a>(message: &'a [u8], range: &std::ops::Range<u64>) -> &'a [u8] {
    &message[range.start as usize..range.end as usize]
}

/// OR of two values, or AND: `decisive` is the value that decides alone.
fn join(a: Result<bool, Need>, b: Result<bool, Need>, decisive: bool) -> Result<bool, Need> {
    match (a, b) {
        (Ok(value), _) | (_, Ok(value)) if value == decisive => Ok(decisive),
        (Err(a), Err(b)) => Err(a.min(b)),
        (Err(need), Ok(_)) | (Ok(_), Err(need)) => Err(need),
        (Ok(_), Ok(_)) => Ok(!decisive),
    }
}

impl Test {
    fn value(&self, context: &SearchContext<'_>, known: &Known<'_>) -> Result<bool, Need> {
        let meta = known.meta;
        let envelope = || Ok(known.structure.ok_or(Need::Structure)?.envelope());
        let age = context.now.saturating_sub(meta.internal_date.unix());
        let in_set = |set: &SequenceSet, number, highest| match set.is_saved() {
            true => context.saved.contains(meta.uid),
            false => set.contains(number, highest),
        };
        Ok(match self {
            Self::All => true,
            Self::Has(flag) => meta.flags.contains(flag),
            Self::HasNot(flag) => !meta.flags.contains(flag),
            Self::New => meta.flags.contains(&Flag::Recent) && !meta.flags.contains(&Flag::Seen),
            Self::Internal(day) => day.fits(meta.internal_date.date()),
            Self::Sent(day) => {
                envelope()?.date().and_then(|text| date::parse(&text)).is_some_and(|d| day.fits(d.date()))
            }
            Self::Saved(day) => meta.save_date.is_some_and(|saved| day.fits(saved.date())),
            Self::Older(seconds) => age > i64::from(*seconds),
            Self::Younger(seconds) => age <= i64::from(*seconds),
            Self::Addresses(list, value) => {
                let mut text = String::new();
                address_text(list.of(envelope()?), &mut text);
                value.find(fold(&text).as_bytes()).is_some() && (!value.needle().is_empty() || !text.is_empty())
            }
            Self::Subject(value) => contains(&envelope()?.subject().unwrap_or_default(), value),
            Self::Text(needle) => known.hits.ok_or(Need::Text)?.has(*needle),
            Self::Header { field, value } => {
                let header =
                    known.header.ok_or(if known.structure.is_some() { Need::Header } else { Need::Structure })?;
                fields(header).filter(|f| f.name.eq_ignore_ascii_case(field)).any(|f| contains(&unfold(f.value), value))
            }
            Self::Larger(size) => meta.size > *size,
            Self::Smaller(size) => meta.size < *size,
            Self::Messages(set) => in_set(set, meta.sequence, context.exists),
            Self::Uid(set) => in_set(set, meta.uid, context.highest_uid),
            Self::ModSeq(modseq) => meta.modseq >= *modseq,
            Self::EmailId(id) => meta.email_id == Some(id),
            Self::ThreadId(id) => meta.thread_id == Some(id),
        })
    }
}

/// Whether the text of a header value contains it.
fn contains(value: &[u8], finder: &Finder<'_>) -> bool {
    finder.find(fold(&words::decode(value)).as_bytes()).is_some()
}
