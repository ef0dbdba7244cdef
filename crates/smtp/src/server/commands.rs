//! The greeting, and the commands one by one.

use super::answers::{About, Slot};
use super::event::Verdict;
use super::replies::Refused;
use super::{Event, Held, Notes, Role, Server, Stage, Tls, ask};
use crate::address::{ForwardPath, HelloName, ReversePath};
use crate::dialogue::{OutOfOrder, Phase};
use crate::outcome::{Accepted, no};
use crate::wire::{
    BodyType, ByMode, Command, CommandError, MailParams, ParamError, Parameter, Quirks, RcptParams, Reply, ReplyClass,
    Verb,
};
use alloc::collections::{BTreeSet, VecDeque};
use postrider_core::{Closed, Excerpt, Framed, Line, LineEnd, Pending, ProtocolError};
use postrider_sasl::MechanismName;

impl Server {
    pub(super) fn greet(&mut self) -> bool {
        if self.shutting_down.is_some() {
            // RFC 5321, 3.1: who is not to be served is told in place of the greeting.
            self.timers.unasked.disarm();
            self.stage = Stage::Command;
            return true;
        }
        let delay = self.config.limits.greeting_delay;
        if !delay.is_zero() {
            if !self.link.input().is_empty() {
                // RFC 5321, 4.3.1: the client should wait for the greeting.
                self.put(&no(554, 5, 1, "You spoke before you were greeted"));
                self.end(Closed::Protocol(ProtocolError::Unexpected {
                    what: "the client spoke before the greeting",
                    got: Excerpt::new(self.link.input()),
                }));
                return true;
            }
            if self.link.is_eof() {
                self.end(Closed::Eof);
                return true;
            }
            self.timers.unasked.arm_if_off(delay);
            return false;
        }
        self.say_greeting();
        true
    }

    pub(super) fn say_greeting(&mut self) {
        self.link.put(b"220 ");
        self.link.put(self.config.name.as_str().as_bytes());
        self.link.put(b" ");
        self.link.put(self.config.banner.as_str().as_bytes());
        self.link.end_line();
        self.stage = Stage::Command;
    }

    /// Reads and runs a command if one may be.
    pub(super) fn command(&mut self) -> bool {
        // A client that does not read its replies gets no more of them.
        //= 2920-3.2-9
        if self.link.is_congested() || self.timers.pausing {
            return false;
        }
        if self.slots.is_empty() {
            //= 5321-3.8-2
            if let Some(why) = self.shutting_down.take_if(|_| !self.dialogue.in_transaction()) {
                self.put(&Reply::new(
                    crate::ReplyCode::literal(421),
                    Some(crate::EnhancedCode::literal(4, 3, 2)),
                    &why,
                ));
                self.end(Closed::ByUs);
                return true;
            }
            if self.overdue {
                self.hang_up(no(421, 4, 2, "The session has lasted too long"), Closed::TimedOut);
                return true;
            }
        }
        if self.held.is_none() {
            if !may_read(&self.slots) {
                return false;
            }
            let limits = &self.config.limits;
            let limit = limits.command_line.max(limits.auth_line);
            let start = self.link.input();
            let long = start.len() > limit;
            let (stranger, verb) = (long && is_other_protocol(start), if long { meant(start) } else { None });
            match self.link.line(limit) {
                Framed::Line(line) => self.held = Some(Held::Line(line)),
                Framed::TooLong if stranger => {
                    self.stranger(b"");
                    return true;
                }
                Framed::TooLong => self.held = Some(Held::TooLong { verb }),
                Framed::More => return self.no_line(),
            }
        }
        match self.held.take_if(|held| may_run(held, &self.slots, self.config.undecided)) {
            None => false,
            // What has come behind it decides about it, so that its end must have.
            Some(Held::TooLong { verb }) if is_data(verb) && !self.link.skip_line() => {
                self.held = Some(Held::TooLong { verb });
                self.no_line()
            }
            Some(Held::TooLong { verb }) => {
                self.timers.command.disarm();
                self.not_understood(verb, b"", no(500, 5, 2, "The line is too long"));
                true
            }
            Some(Held::Line(line)) => {
                self.timers.command.disarm();
                self.timers.unasked.disarm();
                self.run(&line);
                true
            }
        }
    }

    /// There is no whole line.
    pub(super) fn no_line(&mut self) -> bool {
        // A TLS client that was not told to wait: its first record is a handshake. Such a client reads no SMTP.
        if self.slots.is_empty() && self.link.input().first() == Some(&0x16) {
            self.end(Closed::Protocol(ProtocolError::Unexpected {
                what: "the client began TLS without STARTTLS",
                got: Excerpt::new(self.link.input()),
            }));
            return true;
        }
        let limit = self.config.limits.line_excess;
        if self.link.skipped() > limit && self.slots.is_empty() {
            self.too_much("octets in a line", limit);
            return true;
        }
        //= 5321-4.1.1.5-3
        if self.link.is_eof() && self.slots.is_empty() {
            if self.link.has_lf_within() && self.held.is_none() {
                self.run_unended();
            } else {
                self.end(Closed::Eof);
            }
            return true;
        }
        false
    }

    /// Whoever ends lines with LF waits for a reply, and is told why there is none. What comes later is another line.
    pub(super) fn run_unended(&mut self) {
        let octets = self.link.take_unended();
        self.timers.command.disarm();
        self.run(&Line { octets, end: LineEnd::Lf });
    }

    /// A client of another protocol was led here, maybe to have its words taken for commands.
    fn stranger(&mut self, line: &[u8]) {
        self.hang_up(
            no(421, 7, 0, "This is a mail server"),
            Closed::Protocol(ProtocolError::Unexpected {
                what: "the client speaks another protocol",
                got: Excerpt::new(line),
            }),
        );
    }

    pub(super) fn run(&mut self, line: &Line) {
        let octets = &line.octets[..];
        let verb = Verb::of(octets);
        let meant = verb.or_else(|| meant(octets));
        self.trace_line(octets, meant);
        // Before all else that may be wrong with the line: what follows it is not for us either.
        if verb.is_none() && is_other_protocol(octets) {
            return self.stranger(octets);
        }
        let wrong = if memchr::memchr3(b'\r', b'\n', 0, octets).is_some() {
            // RFC 5321, 2.3.8: CR and LF only as CRLF.
            //= 5321-2.3.8-1, 3030-2-10
            no(500, 5, 2, "A line ends with CRLF and holds neither CR, LF nor NUL")
        } else if octets.len() > self.config.limits.command_line && verb != Some(Verb::Auth) {
            no(500, 5, 2, "The line is too long")
        } else {
            match read(octets, self.config.quirks) {
                //= 5321-2.4-5, 5321-4.1.2-3
                Ok((command, _)) if !octets.is_ascii() && !self.may_hold_utf8(&command) => {
                    no(501, 6, 7, "What is not ASCII needs SMTPUTF8")
                }
                Ok((command, quirks)) => {
                    self.refused_data = false;
                    self.obey(command);
                    // Noted for the transaction that the command began or is part of.
                    self.notes.quirks.space_before_path |= quirks.space_before_path;
                    self.notes.quirks.path_without_brackets |= quirks.path_without_brackets;
                    return;
                }
                Err(wrong) => misread(wrong),
            }
        };
        self.not_understood(meant, octets, wrong);
    }

    /// Shows a line to the tap, without what may be secret in it.
    fn trace_line(&mut self, octets: &[u8], verb: Option<Verb>) {
        // What is no command may be a response to a challenge that was not given.
        let stray = self.after_auth && verb.is_none();
        self.after_auth = stray || verb == Some(Verb::Auth);
        if self.link.is_tapped() {
            self.link.trace_in(octets, if stray { Some(0) } else { secret_from(octets, verb) });
        }
    }

    /// Refuses a line that cannot be obeyed. `verb` is what it was meant for.
    fn not_understood(&mut self, verb: Option<Verb>, line: &[u8], reply: Reply) {
        if core::mem::take(&mut self.refused_data) {
            return self.message_came_anyway(line);
        }
        // It may have been a part of the message, which must not be taken without it.
        if self.dialogue.phase() == Phase::Chunks || matches!(verb, Some(Verb::Bdat | Verb::Burl)) {
            self.part_missing(false);
        }
        if verb == Some(Verb::Mail) {
            self.bereft = Some(0);
        }
        self.wrong(reply);
        if is_data(verb) {
            self.data_refused();
        }
    }

    /// Whether what has no place now has none because of a refusal that its client may not have heard yet.
    fn follows_refusal(&self) -> bool {
        self.bereft.is_some() || (self.dialogue.in_transaction() && self.rcpt_seen && self.recipients == 0)
    }

    /// Whether the line of such a command may be UTF-8: in whatever part of it, if the client has said SMTPUTF8 of this
    /// transaction or of this command (RFC 6531, 3.4 and 3.7.4.2).
    fn may_hold_utf8(&self, command: &Command) -> bool {
        match command {
            Command::Mail { params, .. } => params.smtp_utf8,
            Command::Rcpt { .. } => self.utf8,
            Command::Vrfy { utf8, .. } | Command::Expn { utf8, .. } => *utf8,
            Command::Ehlo(_) | Command::Helo(_) | Command::Lhlo(_) | Command::Help | Command::Noop => false,
            Command::Data | Command::Bdat { .. } | Command::Burl { .. } | Command::Rset | Command::Quit => false,
            Command::StartTls | Command::Auth { .. } | Command::Etrn(_) | Command::Xclient(_) => false,
        }
    }

    pub(super) fn obey(&mut self, command: Command) {
        let verb = command.verb();
        let mut follows = false;
        if matches!(verb, Verb::Rcpt | Verb::Data | Verb::Bdat | Verb::Burl) {
            follows = self.follows_refusal();
        } else {
            // A new group begins. If it begins with MAIL, the rest depends on whether that is accepted.
            self.bereft = (verb == Verb::Mail).then_some(0);
        }
        let refusal = match self.dialogue.may(verb) {
            _ if self.is_barred(verb) => Some(no(530, 7, 0, "STARTTLS comes first")),
            Ok(()) => None,
            Err(why) => Some(self.out_of_order(verb, why)),
        };
        if let Some(reply) = refusal {
            let refused = Refused { reply, mistake: !follows };
            if let Command::Bdat { size, last } = command {
                return self.bdat(size, last, Some(refused));
            }
            if let Command::Burl { last, .. } = command {
                return self.burl_refused(last, refused);
            }
            self.put_misplaced(refused, 1);
            if verb == Verb::Data {
                self.bereft = None;
                self.data_refused();
            }
            return;
        }
        let moves_nothing =
            matches!(verb, Verb::Rset | Verb::Noop | Verb::Help | Verb::Vrfy | Verb::Expn | Verb::Etrn | Verb::Xclient);
        if moves_nothing && !self.idle_command() {
            return;
        }
        match command {
            //= 5321-2.2.1-3
            Command::Ehlo(name) | Command::Helo(name) | Command::Lhlo(name) => self.greeted(verb, name),
            Command::Mail { from, params } => self.mail(from, params),
            Command::Rcpt { to, params } => self.rcpt(to, params),
            Command::Data if self.body_type == Some(BodyType::BinaryMime) => {
                // RFC 3030, 3.
                //= 3030-3-2
                self.wrong(no(503, 5, 1, "BINARYMIME needs BDAT"));
                self.data_refused();
            }
            Command::Data => self.ask_about(About::Data, |answer: Pending<ask::Data>| Event::Data { answer }),
            Command::Bdat { size, last } => {
                let offered = self.config.chunking || (self.config.burl.is_some() && self.message.is_some());
                let refused = || Refused { reply: no(502, 5, 1, "CHUNKING is not offered"), mistake: true };
                self.bdat(size, last, (!offered).then(refused));
            }
            Command::Burl { url, last } => self.burl(url, last),
            Command::Etrn(_) if !self.config.etrn => self.wrong(no(502, 5, 1, "ETRN is not offered")),
            Command::Etrn(target) => {
                self.ask_about(About::Etrn, |answer: Pending<ask::Etrn>| Event::Etrn { answer, target });
            }
            Command::Xclient(said) => self.xclient(*said),
            //= 5321-4.1.1.5-1, 5321-4.1.1.5-2
            Command::Rset => {
                self.forget_transaction();
                self.dialogue.replied(verb, ReplyClass::Done);
                self.put_static("250 2.0.0 Forgotten");
            }
            Command::Noop => self.put_static("250 2.0.0 OK"),
            //= 5321-4.1.1.8-1
            Command::Help => self.put_static("214 2.0.0 See RFC 5321"),
            Command::Vrfy { utf8: true, .. } | Command::Expn { utf8: true, .. }
                if !(self.config.smtp_utf8 && self.dialogue.is_extended()) =>
            {
                self.wrong(no(504, 5, 4, "SMTPUTF8 is not offered"));
            }
            Command::Vrfy { who, utf8 } if self.config.ask_verify => {
                let about = About::Verify { utf8 };
                self.ask_about(about, |answer: Pending<ask::Verify>| Event::Verify { answer, what: who });
            }
            //= 5321-3.5.3-1, 5321-3.5.3-2, 5321-7.3-1
            Command::Vrfy { .. } => self.put_static("252 2.5.0 Cannot verify, but will take a message"),
            Command::Expn { list, utf8 } if self.config.ask_expand => {
                let about = About::Expand { utf8 };
                self.ask_about(about, |answer: Pending<ask::Expand>| Event::Expand { answer, what: list });
            }
            Command::Expn { .. } => self.put(&no(502, 5, 1, "EXPN is not offered")),
            //= 5321-4.1.1.10-1
            Command::Quit => {
                self.put_static("221 2.0.0 Goodbye");
                self.end(Closed::ByPeer);
            }
            Command::StartTls => self.start_tls(),
            Command::Auth { mechanism, initial } => {
                self.auth(&mechanism, initial.as_ref().map(|initial| initial.reveal().as_bytes()));
            }
        }
    }

    //= 5321-4.1.4-4
    pub(super) fn greeted(&mut self, verb: Verb, name: HelloName) {
        self.counts.hellos += 1;
        if self.counts.hellos > self.config.limits.hellos {
            let limit = u64::from(self.config.limits.hellos);
            return self.too_much("greetings", limit);
        }
        let about = About::Hello { verb, name: name.clone() };
        if self.config.ask_hello {
            self.ask_about(about, |answer: Pending<ask::Hello>| Event::Hello { answer, name });
        } else {
            self.decided(about, Verdict::Plain(Ok(Accepted::default())));
        }
    }

    //= 3461-5.1-1
    pub(super) fn mail(&mut self, from: ReversePath, params: MailParams) {
        let offered = self.dialogue.is_extended();
        self.notes = Notes::default();
        if self.config.role == Role::Submission && !self.dialogue.is_authenticated() {
            //= 4954-6-3
            return self.wrong(no(530, 7, 0, "Authentication required"));
        }
        let config = &self.config;
        //= 5321-4.1.1-3
        let unknown = (params.smtp_utf8 && !config.smtp_utf8)
            || ((params.ret.is_some() || params.envelope_id.is_some()) && !config.dsn)
            //= 4954-5-2
            || (params.auth.is_some() && config.auth.is_empty())
            //= 8689-2-4, 8689-4.1-1
            || (params.require_tls && !(config.require_tls && self.dialogue.is_tls()))
            || (params.deliver_by.is_some() && config.deliver_by.is_none())
            || (params.hold.is_some() && config.future_release.is_none())
            || (params.priority.is_some() && config.mt_priority.is_none())
            || (params.solicitation.is_some() && !config.no_soliciting)
            || (!offered && params != MailParams::default())
            || !self.knows(&params.other);
        if unknown {
            return self.wrong(no(555, 5, 4, "A parameter is not recognised"));
        }
        if params.body == Some(BodyType::BinaryMime) && !(config.chunking && config.binary_mime) {
            return self.wrong(no(504, 5, 4, "BINARYMIME is not offered"));
        }
        if params.size.is_some_and(|size| size > config.limits.message) {
            // RFC 1870, 6.1.
            return self.put_refused(&no(552, 3, 4, "The message is too large"));
        }
        let (by, hold) =
            (params.deliver_by.zip(config.deliver_by), params.hold.as_ref().zip(config.future_release.as_ref()));
        if by.is_some_and(|(by, least)| by.mode() == ByMode::Return && i64::from(by.seconds()) < i64::from(least)) {
            return self.put_refused(&no(501, 5, 4, "The time to deliver is too short"));
        }
        if hold.is_some_and(|(hold, limits)| !limits.permits(hold)) {
            return self.put_refused(&no(501, 5, 4, "The message cannot be held that long"));
        }
        if params.solicitation.as_ref().zip(config.unwanted.as_ref()).is_some_and(|(what, not)| what.meets(not)) {
            // RFC 3865, 2.4.
            return self.put_refused(&no(550, 7, 1, "Solicitation of this class is not wanted"));
        }
        if self.counts.transactions >= config.limits.transactions {
            let limit = u64::from(config.limits.transactions);
            return self.too_much("messages in one session", limit);
        }
        let about = About::Mail { utf8: params.smtp_utf8, body: params.body, require_tls: params.require_tls };
        self.ask_about(about, |answer: Pending<ask::Mail>| Event::Mail { answer, from, params });
    }

    //= 3461-5.1-3
    pub(super) fn rcpt(&mut self, to: ForwardPath, params: RcptParams) {
        self.rcpt_seen = true;
        let dsn = self.config.dsn && self.dialogue.is_extended();
        if ((params.notify.is_some() || params.original.is_some()) && !dsn)
            || (params.valid_since.is_some() && !(self.config.rrvs && self.dialogue.is_extended()))
            || !self.knows(&params.other)
        {
            return self.wrong(no(555, 5, 4, "A parameter is not recognised"));
        }
        let open = self.slots.iter().filter(|slot| matches!(slot.about, About::Rcpt { .. })).count();
        if self.recipients + open >= self.config.limits.recipients {
            self.counts.recipients_excess = self.counts.recipients_excess.saturating_add(1);
            let limit = self.config.limits.recipients_excess;
            if self.counts.recipients_excess as usize > limit && self.slots.is_empty() {
                let limit = self.config.limits.recipients as u64;
                return self.too_much("recipients", limit);
            }
            // RFC 5321, 4.5.3.1.10.
            //= 5321-4.5.3.1.8-2, 5321-4.5.3.1.10-1
            return self.say(no(452, 5, 3, "Too many recipients"), false);
        }
        let domain = self.config.limits.recipient_domains.and_then(|_| to.mailbox());
        let domain = domain.map(|mailbox| mailbox.host().as_str().to_ascii_lowercase());
        if domain.as_ref().is_some_and(|domain| self.is_one_domain_too_many(domain)) {
            // RFC 9422, 4.3.
            if self.count_refused() && self.slots.is_empty() {
                return self.refused_too_often();
            }
            return self.say(no(452, 5, 3, "Too many domains of recipients"), false);
        }
        let key = to.mailbox().filter(|_| self.config.delivered_to).map(|mailbox| mailbox.as_str().into());
        self.ask_about(About::Rcpt { key, domain }, |answer: Pending<ask::Rcpt>| Event::Rcpt { answer, to, params });
    }

    /// Whether the limit would be broken by this one, were all undecided recipients accepted.
    fn is_one_domain_too_many(&self, domain: &str) -> bool {
        let open = self.slots.iter().filter_map(|slot| match &slot.about {
            About::Rcpt { domain: Some(domain), .. } if !self.domains.contains(domain) => Some(&domain[..]),
            _ => None,
        });
        let open: BTreeSet<&str> = open.collect();
        let limit = self.config.limits.recipient_domains.map_or(usize::MAX, |limit| limit as usize);
        !self.domains.contains(domain) && !open.contains(domain) && self.domains.len() + open.len() >= limit
    }

    pub(super) fn start_tls(&mut self) {
        match self.config.tls {
            Tls::Off | Tls::Implicit => return self.wrong(no(502, 5, 1, "STARTTLS is not offered")),
            Tls::Offered | Tls::Required => {}
        }
        self.put_static("220 2.0.0 Ready for TLS");
        match self.link.begin_tls() {
            Ok(()) => self.stage = Stage::Handshake { implicit: false },
            // What came too early must be run neither before TLS nor after.
            Err(wrong) => self.end(Closed::Protocol(wrong)),
        }
    }

    /// Whether the command must wait for TLS (RFC 3207, 4).
    //= 3207-4-2, 3207-6-1
    fn is_barred(&self, verb: Verb) -> bool {
        let free = matches!(verb, Verb::Ehlo | Verb::Helo | Verb::Lhlo | Verb::Noop | Verb::StartTls | Verb::Quit);
        // A proxy says for whom it speaks before its client asks for TLS.
        let proxy = verb == Verb::Xclient && self.may_xclient;
        self.config.tls == Tls::Required && !self.dialogue.is_tls() && !free && !proxy
    }

    pub(super) fn knows(&self, params: &[Parameter]) -> bool {
        params.iter().all(|param| self.config.parameters.iter().any(|known| param.is(known)))
    }

    //= 5321-4.1.4-6
    pub(super) fn out_of_order(&self, verb: Verb, why: OutOfOrder) -> Reply {
        match why {
            OutOfOrder::OtherProtocol => no(500, 5, 1, "This is the greeting of another protocol"),
            OutOfOrder::HelloFirst | OutOfOrder::EhloFirst => no(503, 5, 1, "Introduce yourself first"),
            OutOfOrder::MailFirst => no(503, 5, 1, "MAIL comes first"),
            // RFC 2033, 4.2; SMTP would have 554 here (RFC 5321, 3.3).
            //= 2033-4.2-1
            OutOfOrder::NoRecipient if self.rcpt_seen && self.config.role == Role::Lmtp => {
                no(503, 5, 1, "No valid recipients")
            }
            OutOfOrder::NoRecipient if self.rcpt_seen => no(554, 5, 1, "No valid recipients"),
            OutOfOrder::NoRecipient => no(503, 5, 1, "RCPT comes first"),
            OutOfOrder::Nested if verb == Verb::Mail => no(503, 5, 1, "A transaction has begun already"),
            OutOfOrder::Nested => no(503, 5, 1, "Not within a transaction"),
            OutOfOrder::AlreadyTls => no(503, 5, 1, "TLS is in place already"),
            OutOfOrder::AlreadyAuthenticated => no(503, 5, 1, "You are logged in already"),
            OutOfOrder::WithinMessage | OutOfOrder::Chunked | OutOfOrder::Over => no(503, 5, 1, "Not now"),
        }
    }
}

/// Reads a command, and says which of the quirks that may be put up with it has.
fn read(line: &[u8], allowed: Quirks) -> Result<(Command, Quirks), CommandError> {
    let strict = Command::parse(line, Quirks::NONE);
    if allowed == Quirks::NONE || strict.is_ok() {
        return strict.map(|command| (command, Quirks::NONE));
    }
    let mut space = Quirks::NONE;
    space.space_before_path = allowed.space_before_path;
    let mut brackets = Quirks::NONE;
    brackets.path_without_brackets = allowed.path_without_brackets;
    for quirks in [space, brackets] {
        if let Ok(command) = Command::parse(line, quirks) {
            return Ok((command, quirks));
        }
    }
    Command::parse(line, allowed).map(|command| (command, allowed))
}

/// Whether another line may be read while replies are owed: after RCPTs only. What follows anything else is a command
/// or the message, as its reply says, and stays where it is until then.
fn may_read(slots: &VecDeque<Slot>) -> bool {
    // Nothing but RCPTs ever stands behind another.
    slots.back().is_none_or(|last| matches!(last.about, About::Rcpt { .. } | About::Said { .. }))
}

/// Whether a line may be run while replies are owed to RCPTs: only another RCPT, and only so many.
//= 2920-3.2-2, 2920-3.2-8
fn may_run(held: &Held, slots: &VecDeque<Slot>, undecided: usize) -> bool {
    if slots.is_empty() {
        return true;
    }
    let rcpt = matches!(held, Held::Line(line) if Verb::of(&line.octets) == Some(Verb::Rcpt));
    rcpt && slots.len() < undecided
}

/// A line that a web browser or an SSH client sends. A page can make a browser send mail otherwise.
fn is_other_protocol(line: &[u8]) -> bool {
    // A PROXY header from whom it is not expected tells lies, or the configuration does not know the truth.
    const METHODS: [&[u8]; 10] =
        [b"PROXY ", b"GET ", b"POST ", b"PUT ", b"HEAD ", b"OPTIONS ", b"CONNECT ", b"DELETE ", b"PATCH ", b"PRI "];
    line.starts_with(b"SSH-") || line.first() == Some(&0x16) || METHODS.iter().any(|method| line.starts_with(method))
}

/// The verb of a line that cannot be obeyed as it stands: what it holds may be as secret as if it could, and what follows
/// it the same.
fn meant(line: &[u8]) -> Option<Verb> {
    let line = line.trim_ascii_start();
    let word = line.iter().position(|b| !b.is_ascii_alphabetic()).unwrap_or(line.len());
    Verb::of(&line[..word])
}

/// Whether a message follows such a command.
fn is_data(verb: Option<Verb>) -> bool {
    matches!(verb, Some(Verb::Data | Verb::Bdat))
}

/// Where a line with this verb begins to be secret: after a mechanism that is known to be one; before a URL, which may
/// hold the key to what it names.
fn secret_from(line: &[u8], verb: Option<Verb>) -> Option<usize> {
    if !matches!(verb, Some(Verb::Auth | Verb::Burl)) {
        return None;
    }
    let blanks = line.len() - line.trim_ascii_start().len();
    let arguments = blanks + "AUTH ".len();
    let word = line.get(arguments..)?.split(|&b| b == b' ').next()?;
    let known = |name: MechanismName| !matches!(name, MechanismName::Other(_));
    let is_shown = blanks == 0 && line[arguments - 1] == b' ' && MechanismName::parse(word).is_some_and(known);
    Some(if is_shown { arguments + word.len() + 1 } else { arguments })
}

/// The reply to a line that is no command.
//= 5321-4.1.2-5, 5321-4.2-3, 5321-4.2.4-1, 5321-4.3.2-1, 3461-5.1-2, 3461-5.1-4
fn misread(wrong: CommandError) -> Reply {
    match wrong {
        CommandError::Unknown => no(500, 5, 1, "Command not recognised"),
        CommandError::Syntax(..) => no(501, 5, 4, "Syntax error"),
        CommandError::Path(Verb::Mail, _) => no(501, 1, 7, "Syntax error in the sender's address"),
        CommandError::Path(..) => no(501, 1, 3, "Syntax error in the recipient's address"),
        CommandError::Param(_, ParamError::Syntax(_)) => no(501, 5, 4, "Syntax error in parameters"),
        CommandError::Param(_, ParamError::Duplicate { .. }) => no(501, 5, 4, "A parameter is given twice"),
        CommandError::Param(_, ParamError::Value { .. }) => no(501, 5, 4, "A parameter cannot have this value"),
    }
}
