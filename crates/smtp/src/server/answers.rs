//! Questions, the answers to them, and what follows from each.

use super::event::Verdict;
use super::receiving::Receiving;
use super::{Event, Role, Server, Stage};
use crate::address::HelloName;
use crate::outcome::{Accepted, Delivered, Refusal, What};
use crate::wire::{BodyType, Reply, ReplyClass, Verb};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::{Closed, Pending, Question, Timer};
use postrider_sasl::{CramQuery, ScramQuery};

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) about: About,
    pub(super) timer: Timer,
    pub(super) verdict: Option<Verdict>,
    pub(super) timed_out: bool,
}

/// What a reply is owed to.
#[derive(Debug)]
pub(super) enum About {
    Hello {
        verb: Verb,
        name: HelloName,
    },
    /// `last_words` are sent before the login is refused.
    Auth {
        last_words: Option<Vec<u8>>,
    },
    Scram {
        query: ScramQuery,
        rounds: u32,
    },
    Challenge {
        query: CramQuery,
        rounds: u32,
    },
    Mail {
        utf8: bool,
        body: Option<BodyType>,
        require_tls: bool,
    },
    /// `key` is how the recipient would stand in `Delivered-To`, `domain` where it is, if either matters.
    Rcpt {
        key: Option<String>,
        domain: Option<String>,
    },
    Data,
    Message,
    /// `utf8` says that the client understands UTF-8 in this reply.
    Verify {
        utf8: bool,
    },
    /// The same of EXPN.
    Expand {
        utf8: bool,
    },
    /// To a message that comes in chunks.
    Chunks,
    Etrn,
    Burl {
        last: bool,
    },
    /// To a RCPT that needs no question. `error` says that it was wrong.
    Said {
        reply: Reply,
        error: bool,
    },
}

impl Server {
    //= 5321-4.2-1
    pub(super) fn ask_about<Q: Question>(&mut self, about: About, event: impl FnOnce(Pending<Q>) -> Event) {
        let (pending, number) = self.link.ask();
        let mut timer = Timer::OFF;
        timer.arm(self.config.limits.decision);
        self.slots.push_back(Slot { number, about, timer, verdict: None, timed_out: false });
        self.events.push_back(event(pending));
    }

    /// The first reply owed can be sent.
    //= 2920-3.2-1
    pub(super) fn settle(&mut self) {
        let Slot { about, verdict, timed_out, .. } = self.slots.pop_front().expect("the caller saw a first slot");
        let verdict = verdict.expect("the caller saw its verdict");
        if timed_out && matches!(about, About::Message) {
            self.events.push_back(Event::Reset);
        }
        // RFC 6531, 3.7.4.2: what MAIL said does not hold for VRFY and EXPN.
        //= 6531-3.7.4.2-1
        let transaction = self.utf8;
        let own = if let About::Verify { utf8 } | About::Expand { utf8 } = about { Some(utf8) } else { None };
        self.utf8 = own.unwrap_or(transaction);
        self.decided(about, verdict);
        if own.is_some() {
            self.utf8 = transaction;
        }
    }

    pub(super) fn decided(&mut self, about: About, verdict: Verdict) {
        let verdict = match (about, verdict) {
            (About::Said { reply, error }, _) => {
                if error {
                    return self.mistaken(reply);
                }
                return self.put(&reply);
            }
            (About::Message, Verdict::Message(verdict)) => return self.message_decided(verdict),
            (About::Auth { .. }, Verdict::Auth(Ok(identity))) => {
                self.identity = Some(identity);
                self.dialogue.replied(Verb::Auth, ReplyClass::Done);
                return self.put_static("235 2.7.0 Authentication succeeded");
            }
            (About::Auth { last_words: None }, Verdict::Auth(Err(refusal))) => return self.refused_auth(&refusal),
            (About::Auth { last_words: Some(words) }, Verdict::Auth(Err(refusal))) => {
                return self.challenge(&words, Stage::Refused { refusal });
            }
            (About::Scram { query, rounds }, Verdict::Scram(Ok(answer))) => {
                return self.exchanged(query.answer(*answer), rounds);
            }
            (About::Challenge { query, rounds }, Verdict::Challenge(Ok(challenge))) => {
                return self.exchanged(Ok(query.answer(challenge)), rounds);
            }
            (About::Scram { .. }, Verdict::Scram(Err(refusal)))
            | (About::Challenge { .. }, Verdict::Challenge(Err(refusal))) => return self.refused_auth(&refusal),
            (About::Burl { last }, Verdict::Fetched(Ok(()))) => return self.burl_done(last),
            (about, Verdict::Fetched(Err(refusal))) => return self.refused(&about, &refusal),
            (about, Verdict::Plain(verdict)) => (about, verdict),
            // What the session answers itself is plain; see `tick`.
            (
                _,
                Verdict::Auth(_)
                | Verdict::Scram(_)
                | Verdict::Challenge(_)
                | Verdict::Message(_)
                | Verdict::Fetched(_),
            ) => {
                unreachable!("the question's type makes the verdict's type")
            }
        };
        match verdict {
            (about, Ok(accepted)) => self.accepted(about, accepted),
            (about, Err(refusal)) => self.refused(&about, &refusal),
        }
    }

    pub(super) fn accepted(&mut self, about: About, accepted: Accepted) {
        match about {
            //= 5321-4.1.4-2
            About::Hello { verb, name } => {
                self.forget_transaction();
                self.dialogue.replied(verb, ReplyClass::Done);
                self.hello = Some(name);
                self.put_hello(verb);
            }
            About::Mail { utf8, body, require_tls } => {
                self.dialogue.replied(Verb::Mail, ReplyClass::Done);
                self.bereft = None;
                self.utf8 = utf8;
                self.body_type = body;
                self.require_tls = require_tls;
                self.counts.transactions += 1;
                self.counts.idle = 0;
                //= 2920-3.2-10
                self.put_accepted(accepted, "250 2.1.0 Sender OK");
            }
            About::Rcpt { key, domain } => {
                self.accepted.extend(key);
                self.domains.extend(domain);
                self.dialogue.replied(Verb::Rcpt, ReplyClass::Done);
                self.recipients += 1;
                self.put_accepted(accepted, "250 2.1.5 Recipient OK");
            }
            About::Data => {
                self.dialogue.replied(Verb::Data, ReplyClass::GoOn);
                self.put_static("354 End the message with a dot alone in a line");
                self.stage = Stage::Body(Box::new(Receiving::new(&self.config, self.accepted.clone())));
            }
            // RFC 6531, 3.7.4.2.
            //= 6531-3.7.4.2-1
            About::Verify { utf8: false } if !accepted.is_ascii() => {
                self.put_static("252 2.6.8 The user cannot be shown without SMTPUTF8");
            }
            About::Verify { .. } => self.put_accepted(accepted, "250 2.1.5 There is such a user"),
            //= 6531-3.7.4.2-1
            About::Expand { utf8: false } if !accepted.is_ascii() => {
                self.put_static("252 2.6.8 The list cannot be shown without SMTPUTF8");
            }
            //= 5321-3.5.1-1
            About::Expand { .. } => self.put_accepted(accepted, "252 2.5.0 Cannot expand, but will take a message"),
            About::Etrn => self.put_accepted(accepted, "250 2.0.0 Sending has begun"),
            // Its octets are read now, and answered then.
            About::Chunks => {}
            About::Auth { .. }
            | About::Scram { .. }
            | About::Challenge { .. }
            | About::Message
            | About::Burl { .. }
            | About::Said { .. } => {
                unreachable!("decided by `decided`")
            }
        }
    }

    pub(super) fn refused(&mut self, about: &About, refusal: &Refusal) {
        if matches!(about, About::Chunks) && !refusal.closes() {
            // Said when the chunk was read.
            return self.chunks_refused(refusal.reply());
        }
        if matches!(about, About::Mail { .. } | About::Rcpt { .. }) && !refusal.closes() {
            return self.put_refused(&refusal.reply());
        }
        if matches!(about, About::Burl { last: true }) {
            self.put_for_message(&refusal.reply());
        } else {
            self.put(&refusal.reply());
        }
        match about {
            About::Burl { last } => self.part_missing(*last),
            About::Data => {
                self.forget_transaction();
                self.dialogue.message_over();
                if !refusal.closes() {
                    self.data_refused();
                }
            }
            //= 5321-4.1.4-3
            About::Hello { .. }
            | About::Mail { .. }
            | About::Rcpt { .. }
            | About::Verify { .. }
            | About::Expand { .. }
            | About::Etrn
            | About::Chunks => {}
            About::Auth { .. }
            | About::Scram { .. }
            | About::Challenge { .. }
            | About::Message
            | About::Said { .. } => {
                unreachable!("decided by `decided`")
            }
        }
        if refusal.closes() && !self.link.is_closed() {
            self.end(Closed::ByUs);
        }
    }

    //= 5321-4.1.1.4-4, 5321-4.2.5-1
    pub(super) fn message_decided(&mut self, verdict: Result<Delivered, Refusal>) {
        let lmtp = self.config.role == Role::Lmtp;
        let mut closes = false;
        let accepted = |how: Accepted| how.reply(250, 0, 0, "Taken");
        match verdict {
            Ok(Delivered { what: What::All(how) }) => self.put_for_message(&accepted(how)),
            //= 2033-4.2-2
            Ok(Delivered { what: What::Each(each) }) if lmtp => {
                let mut each = each.into_iter();
                for _ in 0..self.recipients {
                    let reply = match each.next() {
                        Some(Ok(how)) => accepted(how),
                        Some(Err(refusal)) => {
                            closes |= refusal.closes();
                            refusal.reply()
                        }
                        None => Refusal::undecided().reply(),
                    };
                    self.put(&reply);
                }
            }
            Ok(Delivered { what: What::Each(each) }) => {
                let taken = each.iter().position(Result::is_ok).unwrap_or(0);
                let reply = match each.into_iter().nth(taken) {
                    Some(Ok(how)) => accepted(how),
                    Some(Err(refusal)) => {
                        closes = refusal.closes();
                        refusal.reply()
                    }
                    None => Refusal::undecided().reply(),
                };
                self.put(&reply);
            }
            Err(refusal) => {
                closes = refusal.closes();
                self.put_for_message(&refusal.reply());
            }
        }
        self.dialogue.message_over();
        self.new_transaction();
        if closes {
            self.end(Closed::ByUs);
        }
    }

    /// A reply to the whole message: one, or over LMTP one for each recipient accepted (RFC 2033, 4.2).
    pub(super) fn put_for_message(&mut self, reply: &Reply) {
        let times = if self.config.role == Role::Lmtp { self.recipients } else { 1 };
        for _ in 0..times {
            self.put(reply);
        }
    }

    pub(super) fn put_accepted(&mut self, accepted: Accepted, own: &'static str) {
        if accepted == Accepted::default() {
            self.put_static(own);
        } else {
            self.put(&accepted.reply(250, 0, 0, ""));
        }
    }
}
