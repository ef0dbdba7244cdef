//! A session's side of its byte stream: what came and is not read yet, what waits to be sent, and the TLS gate.

use crate::{
    Closed, Direction, Handshake, Instant, Pending, ProtocolError, Question, Security, SessionId, Stale, Tap, Timer,
    TlsFailed, TlsInfo, Unstuffer,
};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use bytes::{Buf, Bytes, BytesMut};
use core::marker::PhantomData;
use core::time::Duration;

/// How much a [`Link`] holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LinkLimits {
    /// Octets received and not yet read by the session. Default 64 KiB.
    pub input: usize,
    /// Octets waiting to be sent above which the session reads no further. Default 64 KiB. One reply may exceed it.
    pub output: usize,
    /// How long a session that has ended waits for its last output to be taken. Default 30 s.
    pub linger: Duration,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self { input: 64 * 1024, output: 64 * 1024, linger: Duration::from_secs(30) }
    }
}

/// How a line ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineEnd {
    /// CR LF, as it should be.
    CrLf,
    /// LF alone. Not after [`Link::end_lines_at_crlf`].
    Lf,
}

/// A line without its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The octets before the line's end. They may hold CR, and LF after [`Link::end_lines_at_crlf`].
    pub octets: Bytes,
    /// How it ended.
    pub end: LineEnd,
}

/// What [`Link::line`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Framed {
    /// A whole line.
    Line(Line),
    /// No line end yet.
    More,
    /// The line is longer than the limit. Said once, as soon as that is known; the rest of the line is then thrown
    /// away as it comes, and the next line is found after it.
    TooLong,
}

/// Above this size, [`Link::put_shared`] queues a buffer as it is instead of copying it.
const SHARE_ABOVE: usize = 4096;

/// The two directions of a session's stream, and the gate between plaintext and TLS. A session holds one privately.
pub struct Link {
    limits: LinkLimits,
    id: SessionId,
    asked: u64,

    input: BytesMut,
    /// Whether LF alone ends a line.
    lf_ends: bool,
    /// Whether LF stands in the line that has not ended, and is not its end.
    lf_within: bool,
    /// How far `input` was searched for a line end without finding one.
    searched: usize,
    /// Whether the rest of a too long line is being thrown away.
    skipping: bool,
    /// Octets of it that were.
    skipped: u64,
    eof: bool,
    /// How many more octets are taken, if that is to be less than fits.
    held: Option<usize>,

    /// Whole chunks to be sent before `tail`.
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    /// Where in `tail` the line being written begins; everything before may be sent.
    line_start: usize,
    /// Where in `tail` the secret part of the line being written begins.
    secret_from: Option<usize>,
    chunked: usize,

    gate: Gate,
    security: Security,
    failed_tls: Option<TlsFailed>,
    linger: Timer,
    /// What was queued when it was armed.
    lingering: usize,
    closed: bool,
    tap: Option<Box<dyn Tap>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// TLS begins when the output is sent.
    Wanted,
    /// The handshake was asked for under this number.
    Asked(u64),
}

impl Link {
    /// A link for the session with the caller's number `id`.
    pub fn new(id: SessionId, limits: LinkLimits) -> Self {
        Self {
            limits,
            id,
            asked: 0,
            input: BytesMut::new(),
            lf_ends: true,
            lf_within: false,
            searched: 0,
            skipping: false,
            skipped: 0,
            eof: false,
            held: None,
            chunks: VecDeque::new(),
            tail: BytesMut::new(),
            line_start: 0,
            secret_from: None,
            chunked: 0,
            gate: Gate::Open,
            security: Security::Plaintext,
            failed_tls: None,
            linger: Timer::OFF,
            lingering: 0,
            closed: false,
            tap: None,
        }
    }

    /// The session's number.
    pub fn id(&self) -> SessionId {
        self.id
    }

    // ── questions ──

    /// Makes a question, and the number by which [`Link::redeem`] will know its answer.
    pub fn ask<Q: Question>(&mut self) -> (Pending<Q>, u64) {
        self.asked += 1;
        (Pending { session: self.id, sequence: self.asked, question: PhantomData }, self.asked)
    }

    /// The number of the question that `pending` is.
    ///
    /// # Errors
    /// [`Stale`] if another session asked it.
    pub fn redeem<Q: Question>(&self, pending: &Pending<Q>) -> Result<u64, Stale> {
        if pending.session == self.id { Ok(pending.sequence) } else { Err(Stale) }
    }

    // ── in ──

    /// See [`Session::window`](crate::Session::window).
    pub fn window(&self) -> usize {
        if self.gate != Gate::Open || self.eof || self.closed {
            return 0;
        }
        self.limits.input.saturating_sub(self.input.len()).min(self.held.unwrap_or(usize::MAX))
    }

    /// See [`Session::receive`](crate::Session::receive).
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.window());
        self.input.extend_from_slice(&bytes[..taken]);
        self.held = self.held.map(|held| held - taken);
        taken
    }

    /// Takes no more than so many octets until told otherwise: what comes after them is not for this session to read,
    /// as when TLS begins there.
    pub fn hold_window(&mut self, octets: Option<usize>) {
        self.held = octets;
    }

    /// See [`Session::receive_eof`](crate::Session::receive_eof).
    pub fn receive_eof(&mut self) {
        self.eof = true;
    }

    /// Whether the peer's stream has ended and all of it was read.
    pub fn is_exhausted(&self) -> bool {
        self.eof && self.input.is_empty()
    }

    /// Whether the peer's stream has ended, read or not.
    pub fn is_eof(&self) -> bool {
        self.eof
    }

    /// What was received and not read yet.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// [`Link::input`], if it begins with a line that was not searched for its end yet; nothing otherwise. Who reads many
    /// lines at once begins here and leaves what is not complete to [`Link::line`], so that octets that come one by one
    /// are not read again for each of them.
    pub fn unsearched(&self) -> &[u8] {
        if self.searched == 0 && !self.skipping { &self.input } else { &[] }
    }

    /// Reads and drops the first `n` octets of [`Link::input`].
    pub fn advance(&mut self, n: usize) {
        self.input.advance(n);
        self.searched = self.searched.saturating_sub(n);
    }

    /// Reads the first `n` octets of [`Link::input`], sharing the buffer.
    pub fn take(&mut self, n: usize) -> Bytes {
        self.searched = self.searched.saturating_sub(n);
        self.input.split_to(n).freeze()
    }

    /// Reads dotted data as far as it is there, without its dots, and says whether it has ended. Sharing the buffer.
    pub fn unstuff(&mut self, unstuffer: &mut Unstuffer) -> (Bytes, bool) {
        let found = unstuffer.unstuff(&mut self.input);
        self.searched = 0;
        let mut data = self.input.split_to(found.read);
        data.truncate(found.data);
        (data.freeze(), found.ended)
    }

    /// From here on only CRLF ends a line: LF alone is part of it, as CR alone always is. Otherwise it ends at LF, and
    /// [`LineEnd`] says what stood there.
    pub fn end_lines_at_crlf(&mut self) {
        self.lf_ends = false;
    }

    /// Reads the next line if it is there. `limit` counts the line without its end, in octets; a line that does not
    /// fit [`LinkLimits::input`] is too long as well.
    ///
    /// Each octet is searched once, however the stream was cut.
    pub fn line(&mut self, limit: usize) -> Framed {
        if !self.skip_line() {
            return Framed::More;
        }
        let Some(lf) = self.find_end() else {
            // The last octet may be the CR of a line that fits exactly. A full buffer can only ever get emptier.
            if self.input.len() > limit.saturating_add(1) || self.input.len() >= self.limits.input {
                self.skipping = true;
                self.skip_line();
                return Framed::TooLong;
            }
            return Framed::More;
        };
        let mut octets = self.input.split_to(lf + 1).freeze();
        self.searched = 0;
        let crlf = octets[..lf].ends_with(b"\r");
        octets.truncate(lf - usize::from(crlf));
        if octets.len() > limit {
            return Framed::TooLong;
        }
        Framed::Line(Line { octets, end: if crlf { LineEnd::CrLf } else { LineEnd::Lf } })
    }

    /// Throws away what has come of a line that is too long. False while its end has not; true if there is no such line.
    pub fn skip_line(&mut self) -> bool {
        if !self.skipping {
            return true;
        }
        let Some(lf) = self.find_end() else {
            // The last octet may be the CR of the line's end.
            let thrown = self.input.len() - usize::from(!self.lf_ends && self.input.ends_with(b"\r"));
            self.skipped += thrown as u64;
            self.advance(thrown);
            return false;
        };
        self.skipping = false;
        self.skipped = 0;
        self.advance(lf + 1);
        self.searched = 0;
        true
    }

    /// Whether a line has begun and holds an LF that is not its end: after [`Link::end_lines_at_crlf`], its sender may think
    /// that it has ended. Not if it is too long.
    pub fn has_lf_within(&self) -> bool {
        self.lf_within && !self.skipping
    }

    /// Takes what has come of a line that has not ended, as if it ended here.
    pub fn take_unended(&mut self) -> Bytes {
        self.searched = 0;
        self.lf_within = false;
        self.input.split().freeze()
    }

    /// Where the LF is with which the first line ends. What was searched is not searched again.
    fn find_end(&mut self) -> Option<usize> {
        while let Some(found) = memchr::memchr(b'\n', &self.input[self.searched..]) {
            let lf = self.searched + found;
            if self.lf_ends || self.input[..lf].ends_with(b"\r") {
                self.lf_within = false;
                return Some(lf);
            }
            self.lf_within = true;
            self.searched = lf + 1;
        }
        self.searched = self.input.len();
        None
    }

    /// Octets of a line that is too long and has not ended, thrown away so far. 0 if there is no such line.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Gives the buffers back while nothing is held in them. To be called when a session falls idle.
    pub fn release(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            self.input = BytesMut::new();
        }
        if self.tail.is_empty() && self.tail.capacity() > 0 {
            self.tail = BytesMut::new();
        }
    }

    // ── out ──

    /// Whether so much waits to be sent that the session should read no further.
    pub fn is_congested(&self) -> bool {
        self.queued() >= self.limits.output
    }

    /// Octets waiting to be sent.
    pub fn queued(&self) -> usize {
        self.chunked + self.tail.len()
    }

    /// How many more octets fit before the output limit.
    pub fn room(&self) -> usize {
        self.limits.output.saturating_sub(self.queued())
    }

    /// See [`Session::output`](crate::Session::output). A line is shown when it has ended.
    pub fn output(&self) -> &[u8] {
        match self.chunks.front() {
            Some(chunk) => chunk,
            None => &self.tail[..self.line_start],
        }
    }

    /// See [`Session::sent`](crate::Session::sent).
    pub fn sent(&mut self, n: usize) {
        if let Some(chunk) = self.chunks.front_mut() {
            chunk.advance(n);
            self.chunked -= n;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        } else {
            assert!(n <= self.line_start, "more was reported sent than there was to send");
            self.tail.advance(n);
            self.line_start -= n;
            self.secret_from = self.secret_from.map(|from| from - n);
        }
    }

    /// Appends to the line being written.
    pub fn put(&mut self, part: &[u8]) {
        self.tail.extend_from_slice(part);
    }

    /// What is put from here to the end of the line is not shown to the [`Tap`].
    pub fn put_secret(&mut self, part: &[u8]) {
        self.secret_from.get_or_insert(self.tail.len());
        self.tail.extend_from_slice(part);
    }

    /// Ends the line being written. The only place that writes CRLF.
    ///
    /// # Panics
    /// If the line holds CR or LF: what is put must have been checked by its type.
    pub fn end_line(&mut self) {
        let line = &self.tail[self.line_start..];
        assert!(memchr::memchr2(b'\r', b'\n', line).is_none(), "a line to be sent holds CR or LF");
        if let Some(tap) = &mut self.tap {
            match self.secret_from {
                None => tap.line(Direction::Out, line, false),
                Some(from) => {
                    let mut shown = BytesMut::from(&self.tail[self.line_start..from]);
                    shown.extend_from_slice(b"***");
                    tap.line(Direction::Out, &shown, true);
                }
            }
        }
        self.secret_from = None;
        self.tail.extend_from_slice(b"\r\n");
        self.line_start = self.tail.len();
    }

    /// Appends octets of a message or literal, as they are.
    ///
    /// # Panics
    /// If a line is being written.
    pub fn put_body(&mut self, octets: &[u8]) {
        assert!(self.line_start == self.tail.len(), "a body cannot begin within a line");
        self.tail.extend_from_slice(octets);
        self.line_start = self.tail.len();
        if let Some(tap) = &mut self.tap {
            tap.octets(Direction::Out, octets.len() as u64);
        }
    }

    /// As [`Link::put_body`], without copying what is large.
    ///
    /// # Panics
    /// If a line is being written.
    pub fn put_shared(&mut self, octets: Bytes) {
        if octets.len() < SHARE_ABOVE {
            return self.put_body(&octets);
        }
        assert!(self.line_start == self.tail.len(), "a body cannot begin within a line");
        if let Some(tap) = &mut self.tap {
            tap.octets(Direction::Out, octets.len() as u64);
        }
        if !self.tail.is_empty() {
            self.chunked += self.tail.len();
            self.chunks.push_back(self.tail.split().freeze());
            self.line_start = 0;
        }
        self.chunked += octets.len();
        self.chunks.push_back(octets);
    }

    // ── TLS ──

    /// Begins with TLS, before the first octet of the protocol.
    pub fn start_with_tls(&mut self) {
        self.gate = Gate::Wanted;
    }

    /// Lets TLS begin once the output is sent.
    ///
    /// # Errors
    /// [`ProtocolError::PlaintextBeforeTls`] if the peer has already sent something past this point: it must not be
    /// believed once TLS is in place, so the session ends.
    pub fn begin_tls(&mut self) -> Result<(), ProtocolError> {
        if !self.input.is_empty() {
            return Err(ProtocolError::PlaintextBeforeTls);
        }
        self.gate = Gate::Wanted;
        Ok(())
    }

    /// Whether TLS is to begin and has not: the session has nothing to read until then.
    pub fn is_gated(&self) -> bool {
        self.gate != Gate::Open
    }

    /// See [`Session::upgrade`](crate::Session::upgrade).
    pub fn upgrade(&mut self) -> Option<Pending<Handshake>> {
        if self.gate != Gate::Wanted || self.queued() > 0 || self.closed {
            return None;
        }
        let (pending, number) = self.ask();
        self.gate = Gate::Asked(number);
        Some(pending)
    }

    /// See [`Session::tls`](crate::Session::tls).
    ///
    /// # Errors
    /// [`Stale`] if it was not asked for.
    pub fn tls(&mut self, done: Pending<Handshake>, result: Result<TlsInfo, TlsFailed>) -> Result<(), Stale> {
        let number = self.redeem(&done)?;
        if self.gate != Gate::Asked(number) || self.closed {
            return Err(Stale);
        }
        match result {
            Ok(info) => {
                self.gate = Gate::Open;
                self.security = Security::Tls(info);
            }
            Err(failed) => self.failed_tls = Some(failed),
        }
        Ok(())
    }

    /// Why TLS failed, if it did; once. The session then ends with [`Closed::Tls`].
    pub fn take_tls_failure(&mut self) -> Option<TlsFailed> {
        self.failed_tls.take()
    }

    /// Whether the stream is protected now.
    pub fn security(&self) -> &Security {
        &self.security
    }

    // ── end ──

    /// Nothing more is read or written than what is queued. After [`Closed::Tls`] nobody is there to read what is queued,
    /// so it is dropped.
    pub fn close(&mut self, why: &Closed) {
        self.closed = true;
        self.input = BytesMut::new();
        self.searched = 0;
        if matches!(why, Closed::Tls(_)) {
            self.drop_output();
        }
        self.linger.arm(self.limits.linger);
        self.lingering = self.queued();
    }

    /// Whether [`Link::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// To be called from `poll` once closed: gives up on output of which less than 1 KiB is taken in
    /// [`LinkLimits::linger`]. Returns when to poll again.
    pub fn poll_closed(&mut self, now: Instant) -> Option<Instant> {
        const STEP: usize = 1024;
        let queued = self.queued();
        if queued == 0 {
            return None;
        }
        if self.lingering.saturating_sub(queued) >= STEP {
            self.lingering = queued;
            self.linger.arm(self.limits.linger);
        }
        if self.linger.tick(now) {
            self.drop_output();
        }
        self.linger.deadline()
    }

    /// See [`Session::is_finished`](crate::Session::is_finished).
    pub fn is_finished(&self) -> bool {
        self.closed && self.queued() == 0
    }

    fn drop_output(&mut self) {
        self.chunks.clear();
        self.chunked = 0;
        self.tail = BytesMut::new();
        self.line_start = 0;
        self.secret_from = None;
    }

    // ── trace ──

    /// Lets `tap` watch the wire from here on.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) {
        self.tap = tap;
    }

    /// Whether somebody watches, so that showing a line is worth its preparation.
    pub fn is_tapped(&self) -> bool {
        self.tap.is_some()
    }

    /// Shows a received line to the tap. The octets from `secret_from` on are masked.
    pub fn trace_in(&mut self, line: &[u8], secret_from: Option<usize>) {
        let Some(tap) = &mut self.tap else { return };
        match secret_from {
            Some(from) if from < line.len() => {
                let mut shown = BytesMut::from(&line[..from]);
                shown.extend_from_slice(b"***");
                tap.line(Direction::In, &shown, true);
            }
            _ => tap.line(Direction::In, line, false),
        }
    }

    /// Tells the tap of `count` received octets of a message or literal.
    pub fn trace_octets_in(&mut self, count: u64) {
        if let Some(tap) = &mut self.tap {
            tap.octets(Direction::In, count);
        }
    }
}
