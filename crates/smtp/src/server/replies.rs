//! What is said, and the mistakes and excesses that are counted with it.

use super::Server;
use super::answers::{About, Slot};
use super::event::Verdict;
use crate::outcome::{Accepted, no};
use crate::wire::{Reply, Verb};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use postrider_core::{Closed, ProtocolError, Timer};

/// What has no place, and whose fault that is: the client's, or that of an earlier refusal.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reply: Reply,
    pub(super) mistake: bool,
}

impl Server {
    //= 2920-3.2-5, 5321-4.2-5
    pub(super) fn put_static(&mut self, line: &'static str) {
        self.link.put(line.as_bytes());
        self.link.end_line();
    }

    //= 5321-2.2.1-1, 5321-3.2-1, 5321-4.2.4-2
    pub(super) fn put_hello(&mut self, verb: Verb) {
        let mut lines = Vec::new();
        if verb != Verb::Helo {
            let mut offered = self.config.capabilities(self.link.security());
            offered.burl = self.burl_offer();
            offered.xclient = self.xclient_offer().into();
            lines = offered.lines();
        }
        let last = lines.len();
        self.link.put(if last == 0 { b"250 " } else { b"250-" });
        self.link.put(self.config.name.as_str().as_bytes());
        self.link.end_line();
        for (index, line) in lines.iter().enumerate() {
            self.link.put(if index + 1 == last { b"250 " } else { b"250-" });
            self.link.put(line.as_bytes());
            self.link.end_line();
        }
    }

    /// Writes a reply, in lines of at most 512 octets (RFC 5321, 4.5.3.1.5).
    pub(super) fn put(&mut self, reply: &Reply) {
        const ROOM: usize = 480;
        let prefix = reply.enhanced().map(|enhanced| alloc::format!("{enhanced} ")).unwrap_or_default();
        let mut parts = Vec::new();
        for line in reply.lines() {
            let text = core::str::from_utf8(line).expect("a reply to be sent is made of Text");
            let text = text.strip_prefix(&*prefix).unwrap_or(text);
            // RFC 6531, 3.7.4: UTF-8 only to those who said SMTPUTF8.
            let text: String =
                text.chars().map(|c| if c.is_control() || !(self.utf8 || c.is_ascii()) { '?' } else { c }).collect();
            let mut rest = &text[..];
            while rest.len() > ROOM {
                let cut = (0..=ROOM).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or(ROOM);
                parts.push(rest[..cut].to_string());
                rest = &rest[cut..];
            }
            parts.push(rest.to_string());
        }
        //= 5321-4.2.1-3
        // RFC 6531, 3.7.4.1: codes that promise an address must not come without it.
        //= 6531-3.7.4.1-1
        let whole = self.utf8 || reply.lines().all(<[u8]>::is_ascii);
        let code = match reply.code().number() {
            251 if !whole => 250,
            551 if !whole => 550,
            code => code,
        };
        let code = code.to_string();
        for (index, part) in parts.iter().enumerate() {
            self.link.put(code.as_bytes());
            self.link.put(if index + 1 == parts.len() { b" " } else { b"-" });
            self.link.put(prefix.as_bytes());
            self.link.put(part.as_bytes());
            self.link.end_line();
        }
    }

    /// Replies in turn: after the replies owed to earlier commands.
    pub(super) fn say(&mut self, reply: Reply, error: bool) {
        if self.slots.is_empty() {
            return self.decided(About::Said { reply, error }, Verdict::Plain(Ok(Accepted::default())));
        }
        self.slots.push_back(Slot {
            number: 0,
            about: About::Said { reply, error },
            timer: Timer::OFF,
            verdict: Some(Verdict::Plain(Ok(Accepted::default()))),
            timed_out: false,
        });
    }

    /// Replies to what has no place, so many `times`.
    pub(super) fn put_misplaced(&mut self, Refused { reply, mistake }: Refused, times: usize) {
        for _ in 1..times {
            self.put(&reply);
        }
        match times {
            0 => {}
            _ if mistake => self.wrong(reply),
            _ => self.put_refused(&reply),
        }
    }

    /// Replies to a mistake, and counts it.
    //= 2920-3.2-6
    pub(super) fn wrong(&mut self, reply: Reply) {
        if !self.slots.is_empty() {
            return self.say(reply, true);
        }
        self.mistaken(reply);
    }

    /// As [`Server::wrong`], when it is this reply's turn.
    pub(super) fn mistaken(&mut self, reply: Reply) {
        self.put(&reply);
        self.counts.errors += 1;
        let limits = &self.config.limits;
        if self.counts.errors > limits.errors_hard {
            let limit = limits.errors_hard;
            return self
                .hang_up(no(421, 7, 0, "Too many errors"), Closed::Protocol(ProtocolError::TooManyErrors { limit }));
        }
        if self.counts.errors > limits.errors_soft {
            self.pause();
        }
    }

    /// Refuses a sender, a recipient or what follows them, and counts it. Past the limit the session ends instead.
    pub(super) fn put_refused(&mut self, reply: &Reply) {
        if self.count_refused() {
            return self.refused_too_often();
        }
        self.put(reply);
    }

    /// Counts what is refused though it is no mistake. True if it is one too many.
    pub(super) fn count_refused(&mut self) -> bool {
        self.counts.refused += 1;
        self.counts.refused > self.config.limits.refused
    }

    pub(super) fn refused_too_often(&mut self) {
        let limit = u64::from(self.config.limits.refused);
        self.too_much("refused senders and recipients", limit);
    }

    pub(super) fn too_much(&mut self, what: &'static str, limit: u64) {
        self.hang_up(
            no(421, 7, 0, "Too much in one session"),
            Closed::Protocol(ProtocolError::TooMuch { what, limit }),
        );
    }

    pub(super) fn hang_up(&mut self, reply: Reply, why: Closed) {
        self.put(&reply);
        self.end(why);
    }

    /// Counts a command that moves nothing. False if there were too many, and the session is over.
    pub(super) fn idle_command(&mut self) -> bool {
        self.counts.idle += 1;
        let limit = self.config.limits.idle_commands;
        if self.counts.idle > limit {
            self.too_much("commands without a message", u64::from(limit));
            return false;
        }
        true
    }
}
