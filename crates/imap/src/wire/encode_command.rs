//! Commands to octets: what a client writes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::command::{Append, Argument, Command, Fetch, Qresync, SelectParams, Store, StoreMode, TaggedCommand};
use super::encode::Encoder;
use super::fetch::{Attribute, BodyPeek, Rfc822Part};
use super::flag::Flag;
use super::list::{List, MailboxAttribute};
use super::response::Id;
use super::search::{Search, SearchKey, SearchPartial, SearchReturn};
use super::status::StatusItems;

impl TaggedCommand {
    /// Writes the command and its line end. Of APPEND, up to and with the announcement of the message: then come
    /// its octets, and [`Append::encode_end`].
    pub fn encode(&self, out: &mut Encoder) {
        out.put_bytes(self.tag.as_bytes());
        out.put(" ");
        self.command.encode(out);
        if !matches!(self.command, Command::Append(_)) {
            out.end_line();
        }
    }
}

impl Append {
    /// Writes what comes after the message.
    pub fn encode_end(&self, out: &mut Encoder) {
        if self.utf8 {
            out.put(")");
        }
        out.end_line();
    }

    fn encode(&self, out: &mut Encoder) {
        out.put("APPEND ");
        out.mailbox(&self.mailbox);
        out.put(" ");
        if !self.flags.is_empty() {
            out.flags(&self.flags);
            out.put(" ");
        }
        if let Some(date) = self.date {
            out.put("\"");
            out.display(date);
            out.put("\" ");
        }
        if self.utf8 {
            out.put("UTF8 (");
        }
        out.announce(self.size, self.binary);
    }
}

impl Command {
    /// Its words on the wire, for logs: `UID FETCH`.
    pub fn name(&self) -> &str {
        let uid = |uid: bool, with: &'static str, without: &'static str| if uid { with } else { without };
        match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::StartTls => "STARTTLS",
            Self::Authenticate(_) => "AUTHENTICATE",
            Self::Login { .. } => "LOGIN",
            Self::Enable(_) => "ENABLE",
            Self::Id(_) => "ID",
            Self::Select { read_only: true, .. } => "EXAMINE",
            Self::Select { .. } => "SELECT",
            Self::Create { .. } => "CREATE",
            Self::Delete(_) => "DELETE",
            Self::Rename { .. } => "RENAME",
            Self::Subscribe(_) => "SUBSCRIBE",
            Self::Unsubscribe(_) => "UNSUBSCRIBE",
            Self::List(_) => "LIST",
            Self::Lsub { .. } => "LSUB",
            Self::Namespace => "NAMESPACE",
            Self::Status { .. } => "STATUS",
            Self::Append(_) => "APPEND",
            Self::Idle => "IDLE",
            Self::Check => "CHECK",
            Self::Close => "CLOSE",
            Self::Unselect => "UNSELECT",
            Self::Expunge(only) => uid(only.is_some(), "UID EXPUNGE", "EXPUNGE"),
            Self::Search(search) => uid(search.uid, "UID SEARCH", "SEARCH"),
            Self::Fetch(fetch) => uid(fetch.uid, "UID FETCH", "FETCH"),
            Self::Store(store) => uid(store.uid, "UID STORE", "STORE"),
            Self::Copy { uid: by, .. } => uid(*by, "UID COPY", "COPY"),
            Self::Move { uid: by, .. } => uid(*by, "UID MOVE", "MOVE"),
            Self::Other { verb, .. } => verb.as_str(),
        }
    }

    fn encode(&self, out: &mut Encoder) {
        if let Self::Append(append) = self {
            return append.encode(out);
        }
        out.put(self.name());
        match self {
            Self::Capability | Self::Noop | Self::Logout | Self::StartTls | Self::Namespace | Self::Idle => {}
            Self::Check | Self::Close | Self::Unselect | Self::Expunge(None) | Self::Append(_) => {}
            Self::Authenticate(authenticate) => {
                out.put(" ");
                out.atom(&authenticate.mechanism);
                if let Some(initial) = &authenticate.initial {
                    out.put(" ");
                    out.secret();
                    match initial.reveal().as_ref() {
                        [] => out.put("="),
                        initial => out.put(&STANDARD.encode(initial)),
                    }
                }
            }
            Self::Login { user, password } => {
                out.put(" ");
                // Some servers take no atoms or literals here, all take quoted strings.
                out.string(user);
                out.put(" ");
                out.secret();
                out.string(password.reveal());
            }
            Self::Enable(capabilities) => {
                for capability in capabilities.iter() {
                    out.put(" ");
                    out.display(capability);
                }
            }
            Self::Id(id) => {
                out.put(" ");
                encode_id(id.as_ref(), out);
            }
            Self::Select { mailbox, params, .. } => {
                out.put(" ");
                out.mailbox(mailbox);
                encode_select_params(params, out);
            }
            Self::Create { mailbox, special_use } => {
                out.put(" ");
                out.mailbox(mailbox);
                if !special_use.is_empty() {
                    out.put(" (USE (");
                    encode_attributes(special_use, out);
                    out.put("))");
                }
            }
            Self::Delete(mailbox) | Self::Subscribe(mailbox) | Self::Unsubscribe(mailbox) => {
                out.put(" ");
                out.mailbox(mailbox);
            }
            Self::Rename { from, to } => {
                out.put(" ");
                out.mailbox(from);
                out.put(" ");
                out.mailbox(to);
            }
            Self::List(list) => encode_list(list, out),
            Self::Lsub { reference, pattern } => {
                out.put(" ");
                out.string(&reference.encode(out.dialect().utf8));
                out.put(" ");
                out.list_pattern(pattern);
            }
            Self::Status { mailbox, items } => {
                out.put(" ");
                out.mailbox(mailbox);
                out.put(" ");
                encode_status_items(*items, out);
            }
            Self::Expunge(Some(messages)) => {
                out.put(" ");
                out.display(messages);
            }
            Self::Search(search) => encode_search(search, out),
            Self::Fetch(fetch) => encode_fetch(fetch, out),
            Self::Store(store) => encode_store(store, out),
            Self::Copy { messages, to, .. } | Self::Move { messages, to, .. } => {
                out.put(" ");
                out.display(messages);
                out.put(" ");
                out.mailbox(to);
            }
            Self::Other { arguments, .. } => encode_arguments(arguments, out),
        }
    }
}

pub(crate) fn encode_id(id: Option<&Id>, out: &mut Encoder) {
    let Some(Id(pairs)) = id else { return out.put("NIL") };
    out.put("(");
    for (i, (name, value)) in pairs.iter().take(Id::LIMIT).enumerate() {
        if i > 0 {
            out.put(" ");
        }
        out.string(name);
        out.put(" ");
        out.nstring(value.as_deref());
    }
    out.put(")");
}

fn encode_select_params(params: &SelectParams, out: &mut Encoder) {
    if !params.condstore && params.qresync.is_none() {
        return;
    }
    out.put(" (");
    if params.condstore {
        out.put("CONDSTORE");
    }
    if let Some(Qresync { uid_validity, modseq, known, matching }) = &params.qresync {
        out.put(if params.condstore { " QRESYNC (" } else { "QRESYNC (" });
        out.number(u64::from(*uid_validity));
        out.put(" ");
        out.number(*modseq);
        if let Some(known) = known.as_ref().filter(|known| !known.is_empty()) {
            out.put(" ");
            out.display(known);
        }
        if let Some((numbers, uids)) =
            matching.as_ref().filter(|(numbers, uids)| !numbers.is_empty() && !uids.is_empty())
        {
            out.put(" (");
            out.display(numbers);
            out.put(" ");
            out.display(uids);
            out.put(")");
        }
        out.put(")");
    }
    out.put(")");
}

pub(crate) fn encode_attributes(attributes: &[MailboxAttribute], out: &mut Encoder) {
    for (i, attribute) in attributes.iter().enumerate() {
        out.put(if i > 0 { " \\" } else { "\\" });
        out.put(attribute.name());
    }
}

fn encode_list(list: &List, out: &mut Encoder) {
    out.put(" ");
    let List { select, reference, patterns, returns, extended } = list;
    let words = |out: &mut Encoder, words: &[(bool, &str)]| {
        let mut chosen = words.iter().filter(|(chosen, _)| *chosen);
        if let Some((_, first)) = chosen.next() {
            out.put(first);
        }
        for (_, word) in chosen {
            out.put(" ");
            out.put(word);
        }
    };
    let selects = [
        (select.subscribed, "SUBSCRIBED"),
        (select.remote, "REMOTE"),
        (select.recursive_match, "RECURSIVEMATCH"),
        (select.special_use, "SPECIAL-USE"),
    ];
    if selects.iter().any(|(chosen, _)| *chosen) {
        out.put("(");
        words(out, &selects);
        out.put(") ");
    }
    out.string(&reference.encode(out.dialect().utf8));
    out.put(" ");
    let several = *extended || patterns.len() != 1;
    if several {
        out.put("(");
    }
    for (i, pattern) in patterns.iter().enumerate() {
        if i > 0 {
            out.put(" ");
        }
        out.list_pattern(pattern);
    }
    if several {
        out.put(")");
    }
    let asks = [
        (returns.subscribed, "SUBSCRIBED"),
        (returns.children, "CHILDREN"),
        (returns.special_use, "SPECIAL-USE"),
        (!returns.status.is_empty(), "STATUS "),
    ];
    if asks.iter().any(|(chosen, _)| *chosen) {
        out.put(" RETURN (");
        words(out, &asks);
        if !returns.status.is_empty() {
            encode_status_items(returns.status, out);
        }
        out.put(")");
    }
}

fn encode_status_items(items: StatusItems, out: &mut Encoder) {
    out.put("(");
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.put(" ");
        }
        out.put(item.name());
    }
    out.put(")");
}

// ── FETCH and STORE ──

fn encode_fetch(fetch: &Fetch, out: &mut Encoder) {
    let Fetch { uid: _, messages, attributes, changed_since, vanished } = fetch;
    out.put(" ");
    out.display(messages);
    out.put(" ");
    if let [one] = &attributes[..] {
        encode_attribute(one, out);
    } else {
        out.put("(");
        for (i, attribute) in attributes.iter().enumerate() {
            if i > 0 {
                out.put(" ");
            }
            encode_attribute(attribute, out);
        }
        out.put(")");
    }
    if let Some(modseq) = changed_since {
        out.put(" (CHANGEDSINCE ");
        out.number(*modseq);
        out.put(if *vanished { " VANISHED)" } else { ")" });
    }
}

fn encode_attribute(attribute: &Attribute, out: &mut Encoder) {
    match attribute {
        Attribute::Uid => out.put("UID"),
        Attribute::Flags => out.put("FLAGS"),
        Attribute::InternalDate => out.put("INTERNALDATE"),
        Attribute::Size => out.put("RFC822.SIZE"),
        Attribute::Envelope => out.put("ENVELOPE"),
        Attribute::BodyStructure => out.put("BODYSTRUCTURE"),
        Attribute::BodyBasic => out.put("BODY"),
        Attribute::Body(what) => {
            out.put(if what.peek { "BODY.PEEK" } else { "BODY" });
            out.section(&what.section);
            encode_partial(what, out);
        }
        Attribute::Binary(what) => {
            out.put(if what.peek { "BINARY.PEEK[" } else { "BINARY[" });
            out.part_numbers(&what.section.part);
            out.put("]");
            encode_partial(what, out);
        }
        Attribute::BinarySize(part) => {
            out.put("BINARY.SIZE[");
            out.part_numbers(part);
            out.put("]");
        }
        Attribute::Rfc822(part) => out.put(part.name()),
        Attribute::ModSeq => out.put("MODSEQ"),
        Attribute::EmailId => out.put("EMAILID"),
        Attribute::ThreadId => out.put("THREADID"),
        Attribute::SaveDate => out.put("SAVEDATE"),
        Attribute::Preview { lazy } => out.put(if *lazy { "PREVIEW (LAZY)" } else { "PREVIEW" }),
    }
}

impl Rfc822Part {
    /// Its word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "RFC822",
            Self::Header => "RFC822.HEADER",
            Self::Text => "RFC822.TEXT",
        }
    }
}

fn encode_partial(what: &BodyPeek, out: &mut Encoder) {
    if let Some(partial) = what.partial {
        out.put("<");
        out.number(partial.origin);
        out.put(".");
        out.number(partial.length);
        out.put(">");
    }
}

fn encode_store(store: &Store, out: &mut Encoder) {
    let Store { uid: _, messages, change, silent, unchanged_since } = store;
    out.put(" ");
    out.display(messages);
    if let Some(modseq) = unchanged_since {
        out.put(" (UNCHANGEDSINCE ");
        out.number(*modseq);
        out.put(")");
    }
    out.put(match change.mode {
        StoreMode::Replace => " FLAGS",
        StoreMode::Add => " +FLAGS",
        StoreMode::Remove => " -FLAGS",
    });
    out.put(if *silent { ".SILENT " } else { " " });
    out.flags(&change.flags);
}

// ── SEARCH ──

fn encode_search(search: &Search, out: &mut Encoder) {
    let Search { uid: _, returns, charset, key } = search;
    if let Some(SearchReturn { min, max, all, count, save, partial }) = returns {
        out.put(" RETURN (");
        let words = [(min, "MIN"), (max, "MAX"), (all, "ALL"), (count, "COUNT"), (save, "SAVE")];
        let mut first = true;
        for (chosen, word) in words {
            if *chosen {
                out.put(if first { "" } else { " " });
                out.put(word);
                first = false;
            }
        }
        if let Some(partial) = partial {
            out.put(if first { "PARTIAL " } else { " PARTIAL " });
            encode_search_partial(*partial, out);
        }
        out.put(")");
    }
    if let Some(charset) = charset {
        out.put(" CHARSET ");
        out.astring(charset);
    }
    out.put(" ");
    encode_key(key, out);
}

pub(crate) fn encode_search_partial(partial: SearchPartial, out: &mut Encoder) {
    out.display(partial.first);
    out.put(":");
    out.display(partial.last);
}

/// What is left to write, innermost last.
enum Left<'a> {
    Key(&'a SearchKey),
    Text(&'static str),
}

fn encode_key(key: &SearchKey, out: &mut Encoder) {
    let mut left = alloc::vec![];
    match key {
        SearchKey::And(keys) if !keys.is_empty() => push_all(keys, &mut left),
        key => left.push(Left::Key(key)),
    }
    while let Some(next) = left.pop() {
        match next {
            Left::Text(text) => out.put(text),
            Left::Key(SearchKey::Not(key)) => {
                out.put("NOT ");
                left.push(Left::Key(key));
            }
            Left::Key(SearchKey::Or(keys)) => {
                out.put("OR ");
                left.extend([Left::Key(&keys.1), Left::Text(" "), Left::Key(&keys.0)]);
            }
            Left::Key(SearchKey::And(keys)) if !keys.is_empty() => {
                out.put("(");
                left.push(Left::Text(")"));
                push_all(keys, &mut left);
            }
            Left::Key(key) => encode_leaf(key, out),
        }
    }
}

fn push_all<'a>(keys: &'a [SearchKey], left: &mut alloc::vec::Vec<Left<'a>>) {
    for (i, key) in keys.iter().enumerate().rev() {
        left.push(Left::Key(key));
        if i > 0 {
            left.push(Left::Text(" "));
        }
    }
}

fn encode_leaf(key: &SearchKey, out: &mut Encoder) {
    let string = |out: &mut Encoder, word: &str, octets: &[u8]| {
        out.put(word);
        out.astring(octets);
    };
    let display = |out: &mut Encoder, word: &str, value: &dyn core::fmt::Display| {
        out.put(word);
        out.display(value);
    };
    match key {
        SearchKey::All => out.put("ALL"),
        // An empty list of keys has no form; it asks for everything.
        SearchKey::And(_) => out.put("ALL"),
        SearchKey::Not(_) | SearchKey::Or(_) => unreachable!("encode_key takes these apart"),
        SearchKey::Has(flag) => encode_has(flag, true, out),
        SearchKey::HasNot(flag) => encode_has(flag, false, out),
        SearchKey::New => out.put("NEW"),
        SearchKey::Before(date) => display(out, "BEFORE ", date),
        SearchKey::On(date) => display(out, "ON ", date),
        SearchKey::Since(date) => display(out, "SINCE ", date),
        SearchKey::SentBefore(date) => display(out, "SENTBEFORE ", date),
        SearchKey::SentOn(date) => display(out, "SENTON ", date),
        SearchKey::SentSince(date) => display(out, "SENTSINCE ", date),
        SearchKey::SavedBefore(date) => display(out, "SAVEDBEFORE ", date),
        SearchKey::SavedOn(date) => display(out, "SAVEDON ", date),
        SearchKey::SavedSince(date) => display(out, "SAVEDSINCE ", date),
        SearchKey::Older(seconds) => display(out, "OLDER ", seconds),
        SearchKey::Younger(seconds) => display(out, "YOUNGER ", seconds),
        SearchKey::From(text) => string(out, "FROM ", text),
        SearchKey::To(text) => string(out, "TO ", text),
        SearchKey::Cc(text) => string(out, "CC ", text),
        SearchKey::Bcc(text) => string(out, "BCC ", text),
        SearchKey::Subject(text) => string(out, "SUBJECT ", text),
        SearchKey::Body(text) => string(out, "BODY ", text),
        SearchKey::Text(text) => string(out, "TEXT ", text),
        SearchKey::Header { field, value } => {
            string(out, "HEADER ", field);
            string(out, " ", value);
        }
        SearchKey::Larger(size) => display(out, "LARGER ", size),
        SearchKey::Smaller(size) => display(out, "SMALLER ", size),
        SearchKey::Messages(set) => out.display(set),
        SearchKey::Uid(set) => display(out, "UID ", set),
        SearchKey::ModSeq(modseq) => display(out, "MODSEQ ", modseq),
        SearchKey::EmailId(id) => string(out, "EMAILID ", id),
        SearchKey::ThreadId(id) => string(out, "THREADID ", id),
    }
}

fn encode_has(flag: &Flag, has: bool, out: &mut Encoder) {
    let word = match flag {
        Flag::Seen => "SEEN",
        Flag::Answered => "ANSWERED",
        Flag::Flagged => "FLAGGED",
        Flag::Deleted => "DELETED",
        Flag::Draft => "DRAFT",
        Flag::Recent => return out.put(if has { "RECENT" } else { "OLD" }),
        // Only keywords can be searched for; of another flag, its name is the nearest.
        keyword => {
            out.put(if has { "KEYWORD " } else { "UNKEYWORD " });
            return out.put(keyword.bare_name());
        }
    };
    out.put(if has { "" } else { "UN" });
    out.put(word);
}

fn encode_arguments(arguments: &[Argument], out: &mut Encoder) {
    // What is left to write: arguments, each after a space, or the end of a list.
    let mut left: alloc::vec::Vec<(core::slice::Iter<'_, Argument>, bool)> = alloc::vec![(arguments.iter(), false)];
    let mut space = true;
    while let Some((next, nested)) = left.last_mut() {
        let Some(argument) = next.next() else {
            if *nested {
                out.put(")");
            }
            space = true;
            left.pop();
            continue;
        };
        if space {
            out.put(" ");
        }
        space = true;
        match argument {
            Argument::Atom(atom) => out.atom(atom),
            Argument::Number(number) => out.number(*number),
            Argument::String(octets) => out.string(octets),
            Argument::Mailbox(mailbox) => out.mailbox(mailbox),
            Argument::Messages(messages) => out.display(messages),
            Argument::List(list) => {
                out.put("(");
                space = false;
                left.push((list.iter(), true));
            }
        }
    }
}
