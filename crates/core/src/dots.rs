//! Dot transparency, which SMTP (RFC 5321, 4.5.2) and POP3 (RFC 1939, 3) share: a lone dot ends the data, and a line
//! of the data that begins with a dot gets one more in front.
//!
//! Both directions go from dot to dot, at the speed of memory where there is nothing to do, and do not depend on how
//! the data was cut. What does not belong in the data, a [`Flaw`], is found on the way.

use core::ops::Range;
use memchr::memmem::Finder;
use memchr::{memchr, memchr3, memrchr};

/// What ends a line of dotted data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineRule {
    /// CR LF and nothing else, as SMTP must: who takes a bare LF for a line end can be made to see an end of data
    /// that the other side did not (smuggling).
    CrLf,
    /// LF, with or without CR before it, as POP3 clients read: no dot after a bare LF may look like the end to them.
    /// Who removes dots goes by the first line: where that ends with CR LF, so does the last, and only a doubled dot is
    /// one that was added after a bare LF. Nothing is a flaw by this rule.
    Lf,
}

/// What does not belong in data whose lines end with CR LF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// CR without LF after it.
    BareCr,
    /// LF without CR before it.
    BareLf,
    /// The octet 0.
    Nul,
    /// A line of more octets than [`Unstuffer::line_limit`] allows. It cannot be mended.
    LongLine,
}

/// What is done about a [`Flaw`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFlaw {
    /// It is passed on with the rest. The default.
    #[default]
    Keep,
    /// Nothing more is passed on.
    Stop,
    /// CR alone and LF alone become CR LF, NUL is left out. After a line that is too long, nothing more is passed on.
    Mend,
}

/// What is passed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// These of the octets that were given.
    Given(Range<usize>),
    /// Octets that are not among them.
    Added(&'static [u8]),
}

/// Where in its line the data stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    LineStart,
    /// Within a line, after a CR that may begin CR LF.
    Cr,
    Within,
}

/// What the last octets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tail {
    /// CR LF, or nothing yet.
    CrLf,
    Cr,
    Other,
}

impl Tail {
    fn after(self, octets: &[u8]) -> Self {
        match (self, octets) {
            (_, []) => self,
            (Tail::Cr, [b'\n']) | (_, [.., b'\r', b'\n']) => Tail::CrLf,
            (_, [.., b'\r']) => Tail::Cr,
            (_, [..]) => Tail::Other,
        }
    }
}

/// Goes through the data and stops where there is something to do. Both directions use it.
#[derive(Clone, Debug)]
struct Lines {
    rule: LineRule,
    at: At,
    /// Finds a dot after LF.
    dotted: Finder<'static>,
    /// Whether nothing given now is a flaw: then CR LF is wherever LF is.
    clean: bool,
    /// Whether the line began with a dot that has just been passed: the next one may do so too.
    passed_dot: bool,
    on_flaw: OnFlaw,
    /// Where the data stands after a bare newline that was mended. Who adds dots is at the start of a line, for that is
    /// what it sends; who removes them is not, for whoever added them saw none there.
    mended: At,
    /// The first that was not mended.
    flaw: Option<Flaw>,
    /// Octets of the unfinished line.
    line: usize,
    line_limit: usize,
    /// What was gone through ends so. Only by [`LineRule::Lf`].
    tail: Tail,
}

/// Where there is something to do.
enum Mark {
    /// Here is a dot that begins a line.
    Dot(usize),
    /// Here a flaw ends: a bare CR may be the last octet of what was given before.
    Flaw(Flaw, usize),
}

/// Equal if whatever comes next will be treated alike.
impl PartialEq for Lines {
    fn eq(&self, other: &Self) -> bool {
        // `dotted` is always the same, `clean` is about what was given last, and `passed_dot` about how to search.
        let Self { rule, at, dotted: _, clean: _, passed_dot: _, on_flaw, mended, flaw, line, line_limit, tail } = self;
        // Once there is a flaw, no line is measured any more.
        let measured = flaw.is_some() || *line == other.line;
        let state = (rule, at, on_flaw, mended, flaw, line_limit, tail);
        let Self { rule, at, on_flaw, mended, flaw, line_limit, tail, .. } = other;
        measured && state == (rule, at, on_flaw, mended, flaw, line_limit, tail)
    }
}

impl Eq for Lines {}

impl Lines {
    fn new(rule: LineRule) -> Self {
        Self {
            rule,
            at: At::LineStart,
            dotted: Finder::new(b"\n."),
            clean: false,
            passed_dot: false,
            on_flaw: OnFlaw::Keep,
            mended: At::Within,
            flaw: None,
            line: 0,
            line_limit: usize::MAX,
            tail: Tail::CrLf,
        }
    }

    /// Looks at the `octets` that are to be gone through next.
    fn begin(&mut self, octets: &[u8]) {
        self.clean = match self.rule {
            LineRule::CrLf => is_clean(self.at == At::Cr, octets),
            LineRule::Lf => true,
        };
    }

    /// All of `octets`, the next ones, have been gone through.
    fn done(&mut self, octets: &[u8]) {
        if self.rule == LineRule::Lf {
            self.tail = self.tail.after(octets);
        }
    }

    /// Goes through `octets`, of which those before `from` are done, to the next mark. `None` if there is none; all of
    /// `octets` is done then. After a [`Mark::Dot`], the caller moves on by [`Lines::pass_dot`].
    #[inline]
    fn next(&mut self, octets: &[u8], from: usize) -> Option<Mark> {
        if from >= octets.len() {
            return None;
        }
        if self.at == At::LineStart && octets[from] == b'.' {
            return Some(Mark::Dot(from));
        }
        let mark = if self.clean { self.next_dot(octets, from) } else { self.next_mark(octets, from) };
        let end = match mark {
            Some(Mark::Dot(end) | Mark::Flaw(_, end)) => end,
            None => octets.len(),
        };
        if self.line.saturating_add(end - from) <= self.line_limit && matches!(mark, Some(Mark::Dot(_))) {
            self.line = 0;
        } else if self.line_limit < usize::MAX {
            self.measure(&octets[from..end]);
        }
        if let Some(Mark::Flaw(flaw, _)) = mark
            && self.on_flaw != OnFlaw::Mend
        {
            self.flaw.get_or_insert(flaw);
        }
        mark
    }

    /// Where no flaw is, lines need not be looked at one by one: but the one after a dotted line is, for where there is
    /// one there are more, and to begin the longer search anew for each would cost more than the search.
    #[inline]
    fn next_dot(&mut self, octets: &[u8], mut from: usize) -> Option<Mark> {
        if core::mem::take(&mut self.passed_dot)
            && let Some(lf) = memchr(b'\n', &octets[from..])
        {
            from += lf + 1;
            if octets.get(from) == Some(&b'.') {
                self.at = At::LineStart;
                return Some(Mark::Dot(from));
            }
        }
        let found = self.dotted.find(&octets[from..]);
        self.at = match (found, octets.last(), self.rule) {
            (Some(_), _, _) | (None, Some(b'\n'), _) => At::LineStart,
            (None, Some(b'\r'), LineRule::CrLf) => At::Cr,
            (None, _, _) => At::Within,
        };
        found.map(|lf| Mark::Dot(from + lf + 1))
    }

    /// Where a flaw is, or was or will be, every CR, LF and NUL is looked at.
    fn next_mark(&mut self, octets: &[u8], from: usize) -> Option<Mark> {
        // Where to look on, and where the line begins, or what is given of it.
        let (mut at, mut start) = (from, from);
        if self.at == At::Cr && octets[at] != b'\n' {
            self.at = self.after_newline();
            return Some(Mark::Flaw(Flaw::BareCr, at));
        }
        while let Some(found) = memchr3(b'\r', b'\n', 0, &octets[at..]) {
            let here = at + found;
            at = here + 1;
            match (octets[here], octets.get(at)) {
                (b'\r', Some(b'\n')) => self.at = At::Cr,
                (b'\r', None) => {
                    self.at = At::Cr;
                    return None;
                }
                (b'\r', Some(_)) => {
                    self.at = self.after_newline();
                    return Some(Mark::Flaw(Flaw::BareCr, at));
                }
                (b'\n', next) if self.at == At::Cr => {
                    self.at = At::LineStart;
                    start = at;
                    if next == Some(&b'.') {
                        return Some(Mark::Dot(at));
                    }
                }
                (b'\n', _) => {
                    self.at = self.after_newline();
                    return Some(Mark::Flaw(Flaw::BareLf, at));
                }
                (_, _) => {
                    self.at = if self.at == At::LineStart && here == start { self.after_newline() } else { At::Within };
                    return Some(Mark::Flaw(Flaw::Nul, at));
                }
            }
        }
        if at < octets.len() {
            self.at = At::Within;
        }
        None
    }

    /// Where the data stands after a newline that is a flaw.
    fn after_newline(&self) -> At {
        if self.on_flaw == OnFlaw::Mend { self.mended } else { At::Within }
    }

    /// Goes on after a dot that begins a line.
    fn pass_dot(&mut self) {
        self.at = At::Within;
        self.passed_dot = true;
        self.line = 0;
    }

    /// Looks for a line that is too long, among `octets` that go on where those before left off.
    fn measure(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while self.flaw.is_none() && !rest.is_empty() {
            // As far as the line may go with CR LF. Lines that end earlier are shorter still.
            let room = self.line_limit.saturating_add(2).saturating_sub(self.line);
            let within = &rest[..room.min(rest.len())];
            match memrchr(b'\n', within) {
                Some(lf) => {
                    rest = &rest[lf + 1..];
                    self.line = 0;
                }
                None if within.len() == room => self.flaw = Some(Flaw::LongLine),
                None => {
                    self.line += within.len();
                    return;
                }
            }
        }
    }

    /// Passes these of the octets given on, unless the data is stopped.
    fn pass(&self, from: usize, to: usize, emit: &mut impl FnMut(Part)) {
        let stopped = self.on_flaw != OnFlaw::Keep && self.flaw.is_some();
        if from < to && !stopped {
            emit(Part::Given(from..to));
        }
    }

    /// Passes the octets from `run` on as far as the flaw that ends at `end`, if it is to be mended, and that mended.
    /// Says where the next run begins.
    fn pass_flaw(&self, run: usize, flaw: Flaw, end: usize, emit: &mut impl FnMut(Part)) -> usize {
        if self.on_flaw != OnFlaw::Mend || self.flaw.is_some() {
            return run;
        }
        match flaw {
            Flaw::BareCr => {
                self.pass(run, end, emit);
                emit(Part::Added(b"\n"));
            }
            Flaw::BareLf => {
                self.pass(run, end - 1, emit);
                emit(Part::Added(b"\r\n"));
            }
            Flaw::Nul => self.pass(run, end - 1, emit),
            Flaw::LongLine => unreachable!("a long line has no mark of its own"),
        }
        end
    }
}

/// Adds the dots.
///
/// ```
/// use postrider_core::{LineRule, Stuffer};
/// let mut stuffer = Stuffer::new(LineRule::CrLf);
/// let mut wire = vec![];
/// stuffer.stuff(b"one\r\n.two", |part| wire.extend_from_slice(part));
/// assert_eq!(wire, b"one\r\n..two");
/// wire.extend_from_slice(stuffer.end().unwrap());
/// assert_eq!(wire, b"one\r\n..two\r\n.\r\n");
/// ```
///
/// Two are equal if they will treat whatever comes next alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stuffer(Lines);

impl Stuffer {
    /// For data at its beginning.
    pub fn new(rule: LineRule) -> Self {
        Self(Lines::new(rule))
    }

    /// Says what is done about flaws.
    #[must_use]
    pub fn on_flaw(mut self, on_flaw: OnFlaw) -> Self {
        self.0.on_flaw = on_flaw;
        self.0.mended = At::LineStart;
        self
    }

    /// Gives `octets`, the next of the data, to `emit` in parts, with a dot before every dot that begins a line. All of
    /// `octets` is one part if nothing was to be done.
    pub fn stuff(&mut self, octets: &[u8], mut emit: impl FnMut(&[u8])) {
        self.parts(octets, |part| match part {
            Part::Given(range) => emit(&octets[range]),
            Part::Added(added) => emit(added),
        });
    }

    /// As [`Stuffer::stuff`], for those who can pass octets on without copying them.
    pub fn parts(&mut self, octets: &[u8], mut emit: impl FnMut(Part)) {
        self.0.begin(octets);
        let (mut run, mut at) = (0, 0);
        loop {
            match self.0.next(octets, at) {
                // One part ends with the dot and the next begins with it again.
                Some(Mark::Dot(dot)) => {
                    self.0.pass(run, dot + 1, &mut emit);
                    self.0.pass_dot();
                    run = dot;
                    at = dot + 1;
                }
                Some(Mark::Flaw(flaw, end)) => {
                    run = self.0.pass_flaw(run, flaw, end, &mut emit);
                    at = end;
                }
                None => {
                    self.0.done(octets);
                    return self.0.pass(run, octets.len(), &mut emit);
                }
            }
        }
    }

    /// Whether the data so far ends within a line, so that CR LF must be added before the dot that ends it. After a bare
    /// LF it must by either rule: who reads by the RFCs would find no end.
    pub fn is_within_line(&self) -> bool {
        self.0.at != At::LineStart || self.0.tail != Tail::CrLf
    }

    /// What ends the data on the wire: the lone dot, after a line end if the data has none.
    ///
    /// # Errors
    /// The first flaw that was neither kept nor mended: a CR at the very end is one, too.
    pub fn end(&self) -> Result<&'static [u8], Flaw> {
        match (self.0.on_flaw, self.0.flaw, self.0.at) {
            (OnFlaw::Stop, Some(flaw), _) => Err(flaw),
            (OnFlaw::Stop, None, At::Cr) => Err(Flaw::BareCr),
            (OnFlaw::Mend, _, At::Cr) => Ok(b"\n.\r\n"),
            (_, _, At::LineStart | At::Within | At::Cr) if self.is_within_line() => Ok(b"\r\n.\r\n"),
            (_, _, At::LineStart | At::Within | At::Cr) => Ok(b".\r\n"),
        }
    }

    /// The first flaw so far that was not mended. A CR at the very end of the data is one too, which
    /// [`Stuffer::end`] tells.
    pub fn flaw(&self) -> Option<Flaw> {
        self.0.flaw
    }
}

/// What [`Unstuffer::unstuff`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unstuffed {
    /// So many octets were read.
    pub read: usize,
    /// So many octets of data, now at the front of the buffer, they hold.
    pub data: usize,
    /// Whether the data has ended. What follows `read` is not part of it.
    pub ended: bool,
}

/// What [`Unstuffer::parts`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// So many octets were read: all, unless the data has ended before.
    pub read: usize,
    /// Whether the data has ended. What follows `read` is not part of it.
    pub ended: bool,
}

/// Removes the dots, and finds the end: either in place ([`Unstuffer::unstuff`]) or reading only
/// ([`Unstuffer::parts`]). The same data is all read the one way or all the other.
///
/// ```
/// use postrider_core::{LineRule, Unstuffer};
/// let mut wire = *b"one\r\n..two\r\n.\r\nQUIT\r\n";
/// let found = Unstuffer::new(LineRule::CrLf).unstuff(&mut wire);
/// assert_eq!(&wire[..found.data], b"one\r\n.two\r\n");
/// assert!(found.ended);
/// assert_eq!(&wire[found.read..], b"QUIT\r\n");
/// ```
///
/// Two are equal if they will treat whatever comes next alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unstuffer {
    lines: Lines,
    /// How many octets of dot CR LF were read last without giving them out. Only by [`Unstuffer::parts`].
    held: usize,
    /// Whether the dot held stands where nothing ends.
    held_bare: bool,
    /// Whether the first line ended with CR LF. Only by [`LineRule::Lf`].
    crlf: Option<bool>,
}

/// What stands where the unstuffer stops.
enum Found {
    /// A dot to remove.
    Dot(usize),
    /// The dot that ends the data, and where it is over.
    End(usize, usize),
    /// The beginning of what may be the end, or else the end of what was given.
    Rest(usize),
    /// A flaw ends here.
    Flaw(Flaw, usize),
}

/// What a dot that begins a line is for.
enum Purpose {
    /// It was added.
    Added,
    /// It ends the data, with so many octets.
    End(usize),
    /// It is one of the data.
    Data,
    /// What follows it will tell.
    Open,
}

impl Unstuffer {
    /// For data at its beginning.
    pub fn new(rule: LineRule) -> Self {
        Self { lines: Lines::new(rule), held: 0, held_bare: false, crlf: None }
    }

    /// Says what [`Unstuffer::parts`] does about flaws. [`Unstuffer::unstuff`] keeps them.
    #[must_use]
    pub fn on_flaw(mut self, on_flaw: OnFlaw) -> Self {
        self.lines.on_flaw = on_flaw;
        self
    }

    /// Makes a line of more than so many octets, without its end and the dot that was added, a flaw. Only by
    /// [`LineRule::CrLf`]. There is no limit by default.
    #[must_use]
    pub fn line_limit(mut self, octets: usize) -> Self {
        self.lines.line_limit = octets;
        self
    }

    /// Reads the next of the wire from `buffer` and moves the data together at its front; what holds no dots to remove
    /// is not moved. The last one or two octets are left unread if they may be the beginning of the end: offer them
    /// again with what follows them.
    ///
    /// By [`LineRule::Lf`], dot LF ends the data as dot CR LF does, unless the first line ended with CR LF.
    pub fn unstuff(&mut self, buffer: &mut [u8]) -> Unstuffed {
        self.begin(buffer);
        // How much data there is in front; what was read after it and not yet moved there; and where to look on.
        let (mut data, mut run, mut at) = (0, 0, 0);
        loop {
            match self.next(buffer, at) {
                Found::Dot(dot) => {
                    data = gather(buffer, data, run, dot);
                    run = dot + 1;
                    at = run;
                }
                Found::Flaw(_, end) => at = end,
                Found::End(dot, read) => {
                    return Unstuffed { read, data: gather(buffer, data, run, dot), ended: true };
                }
                Found::Rest(read) => {
                    self.lines.done(&buffer[..read]);
                    return Unstuffed { read, data: gather(buffer, data, run, read), ended: false };
                }
            }
        }
    }

    /// Reads `octets`, the next of the wire, and gives the data in them to `emit` in parts: all of `octets` is one if
    /// nothing was to be done. All is read up to the data's end, and never to be offered again.
    pub fn parts(&mut self, octets: &[u8], mut emit: impl FnMut(Part)) -> Taken {
        if self.held > 0 {
            let (next, after) = match self.held {
                1 => (octets.first(), octets.get(1)),
                _ => (Some(&b'\r'), octets.first()),
            };
            match self.purpose(next, after, self.held_bare) {
                Purpose::Open => {
                    self.held += octets.len();
                    return Taken { read: octets.len(), ended: false };
                }
                Purpose::End(length) => return Taken { read: length - self.held, ended: true },
                Purpose::Data => {
                    self.lines.pass_dot();
                    emit(Part::Added(b"."));
                    self.held = 0;
                }
                Purpose::Added => {
                    self.lines.pass_dot();
                    if self.held > 1 {
                        // The CR after it is data then, and a bare one.
                        self.lines.at = At::Cr;
                        self.lines.line = 1;
                        emit(Part::Added(b"\r"));
                    }
                    self.held = 0;
                }
            }
        }
        self.begin(octets);
        let (mut run, mut at) = (0, 0);
        loop {
            match self.next(octets, at) {
                Found::Dot(dot) => {
                    self.lines.pass(run, dot, &mut emit);
                    run = dot + 1;
                    at = run;
                }
                Found::Flaw(flaw, end) => {
                    run = self.lines.pass_flaw(run, flaw, end, &mut emit);
                    at = end;
                }
                Found::End(dot, read) => {
                    self.lines.pass(run, dot, &mut emit);
                    return Taken { read, ended: true };
                }
                Found::Rest(rest) => {
                    self.lines.pass(run, rest, &mut emit);
                    self.held = octets.len() - rest;
                    self.held_bare = self.held > 0 && self.is_bare(octets, rest);
                    self.lines.done(octets);
                    return Taken { read: octets.len(), ended: false };
                }
            }
        }
    }

    fn begin(&mut self, octets: &[u8]) {
        self.lines.begin(octets);
        if self.lines.rule == LineRule::Lf
            && self.crlf.is_none()
            && let Some(lf) = memchr(b'\n', octets)
        {
            self.crlf = Some(lf.checked_sub(1).map_or(self.lines.tail == Tail::Cr, |cr| octets[cr] == b'\r'));
        }
    }

    /// Goes on to where something is to be done.
    #[inline]
    fn next(&mut self, octets: &[u8], mut from: usize) -> Found {
        loop {
            let dot = match self.lines.next(octets, from) {
                Some(Mark::Dot(dot)) => dot,
                Some(Mark::Flaw(flaw, end)) => return Found::Flaw(flaw, end),
                None => return Found::Rest(octets.len()),
            };
            match self.purpose(octets.get(dot + 1), octets.get(dot + 2), self.is_bare(octets, dot)) {
                Purpose::Added => {
                    self.lines.pass_dot();
                    return Found::Dot(dot);
                }
                Purpose::End(length) => return Found::End(dot, dot + length),
                Purpose::Open => return Found::Rest(dot),
                Purpose::Data => {
                    self.lines.pass_dot();
                    from = dot + 1;
                }
            }
        }
    }

    /// Whether this dot stands after a bare LF, in data whose lines end with CR LF: nothing can end there.
    fn is_bare(&self, octets: &[u8], dot: usize) -> bool {
        let after_crlf = match octets[..dot] {
            [] => self.lines.tail == Tail::CrLf,
            [_] => self.lines.tail == Tail::Cr,
            [.., before, _] => before == b'\r',
        };
        self.crlf == Some(true) && !after_crlf
    }

    /// Looks at the two octets after a dot that begins a line.
    fn purpose(&self, next: Option<&u8>, after: Option<&u8>, bare: bool) -> Purpose {
        match (next, after) {
            (None, _) => Purpose::Open,
            (Some(b'.'), _) => Purpose::Added,
            (Some(_), _) if bare => Purpose::Data,
            (Some(b'\r'), Some(b'\n')) => Purpose::End(3),
            (Some(b'\n'), _) if self.lines.rule == LineRule::Lf => Purpose::End(2),
            (Some(b'\r'), None) => Purpose::Open,
            (Some(_), _) => Purpose::Added,
        }
    }

    /// The first flaw so far that was not mended.
    pub fn flaw(&self) -> Option<Flaw> {
        self.lines.flaw
    }
}

/// Moves `buffer[from..to]` to `data`, and says where it ends there.
fn gather(buffer: &mut [u8], data: usize, from: usize, to: usize) -> usize {
    if data != from && from < to {
        buffer.copy_within(from..to, data);
    }
    data + to.saturating_sub(from)
}

/// Whether no CR is without its LF, no LF without its CR, and nothing NUL. A last CR may yet get its LF.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn is_clean(after_cr: bool, octets: &[u8]) -> bool {
    let Some((&first, others)) = octets.split_first() else { return true };
    // All are looked at, without a branch, for that is faster than to stop where it could.
    let mut wrong = u8::from(after_cr != (first == b'\n')) | u8::from(first == 0);
    for (&before, &octet) in octets.iter().zip(others) {
        wrong |= u8::from((before == b'\r') != (octet == b'\n')) | u8::from(octet == 0);
    }
    wrong == 0
}
