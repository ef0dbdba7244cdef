//! How commands leave: when each may, and in what form.

use alloc::boxed::Box;
use alloc::format;

use postrider_core::Misuse;
use postrider_sasl::Mechanism;

use super::event::Event;
use super::selected::Selected;
use super::sending::{self, Exchange, Job, Message, Progress, Sending, Work};
use super::{Client, Phase};
use crate::dialogue::Verb;
use crate::wire::{Atom, Authenticate, Capability, Command, Literals, Password, Tag};

impl Client {
    /// Sends as many commands as may be sent now.
    pub(super) fn send(&mut self) {
        while matches!(self.phase, Phase::Running) && !self.link.is_congested() {
            if let Some(sending) = &mut self.sending {
                if sending.go_on(&mut self.link) == Progress::Blocked {
                    return self.want_message();
                }
                let sending = self.sending.take().expect("it was there a line above");
                match sending.refused {
                    Some(status) => self.completed(sending.job, status),
                    None => self.waiting.push_back(sending.job),
                }
                continue;
            }
            let Some(next) = self.queue.front() else { return };
            if self.waiting.len() >= self.config.limits.pipeline {
                return;
            }
            let follows = |ahead: &Job| match (next.verb, ahead.verb) {
                // How the next command is written depends on the capabilities that the session itself asks for.
                (_, Some(Verb::Capability)) if ahead.id.is_none() => false,
                // What came before SELECT is about the mailbox before.
                (Some(Verb::Select | Verb::Examine), _) => false,
                (Some(verb), Some(ahead)) => verb.may_follow(ahead),
                // Who knows what it does.
                (None, _) | (_, None) => false,
            };
            if !self.waiting.iter().all(follows) || self.bye {
                return;
            }
            let job = self.queue.pop_front().expect("it is at the front");
            self.begin(job);
        }
    }

    /// Begins to send a command, unless it has lost its place.
    fn begin(&mut self, mut job: Job) {
        if let (Some(verb), Some(id)) = (job.verb, job.id) {
            let why = match self.dialogue.may(verb) {
                Err(why) => Some(Misuse::new(format!("{why}"))),
                // TLS was expected when it was given, and did not come.
                Ok(()) if job.work.exposes_secret() => self.secret_may_be_sent().err(),
                Ok(()) => None,
            };
            if let Some(why) = why {
                return self.events.push_back(Event::NotSent { of: id, why });
            }
        }
        self.agree_on_literals();
        let mut message = None;
        job.work = match core::mem::replace(&mut job.work, Work::Sent) {
            Work::Plain(command) => {
                let mut work = Work::Sent;
                if let Command::Select { mailbox, read_only, .. } = &*command {
                    self.selected = Some(Selected::new(mailbox.clone(), *read_only));
                    work = Work::Selecting;
                }
                sending::encode(&job.tag, *command, &mut self.encoder);
                work
            }
            Work::Login(mechanism) => self.begin_login(&job.tag, mechanism),
            Work::Append(append) => {
                sending::encode(&job.tag, Command::Append((*append).clone()), &mut self.encoder);
                message = Some(Message { left: append.size, append, asked: None });
                Work::Sent
            }
            Work::Idle { done } => {
                sending::encode(&job.tag, Command::Idle, &mut self.encoder);
                Work::Idling { begun: false, done, again: false }
            }
            sent @ (Work::Sent | Work::Selecting | Work::Exchange(_) | Work::Idling { .. }) => sent,
        };
        // Most commands go out in one piece.
        if message.is_none() && !self.encoder.waits() {
            self.encoder.send(&mut self.link);
            return self.waiting.push_back(job);
        }
        self.sending = Some(Sending::new(job, message, &mut self.encoder));
    }

    fn begin_login(&mut self, tag: &Tag, mut mechanism: Box<dyn Mechanism>) -> Work {
        let inline = self.capabilities.as_ref().is_some_and(|known| known.contains(&Capability::SaslIr));
        let initial = if inline { mechanism.initial() } else { None };
        let sent = initial.is_some();
        let name = Atom::new(mechanism.name().as_str()).expect("the names of mechanisms are atoms");
        let initial = initial.map(|initial| Password::new(initial.into_inner()));
        sending::encode(tag, Command::Authenticate(Authenticate { mechanism: name, initial }), &mut self.encoder);
        self.reader.challenges_are_secret = true;
        Work::Exchange(Exchange { mechanism, initial: !sent, challenges: 0, cancelled: false })
    }

    fn agree_on_literals(&mut self) {
        let has = |capability| self.capabilities.as_ref().is_some_and(|known| known.contains(&capability));
        let literals = if has(Capability::LiteralPlus) {
            Literals::Plus
        } else if has(Capability::LiteralMinus) || has(Capability::Imap4Rev2) {
            Literals::Minus
        } else {
            Literals::Wait
        };
        self.encoder.set_dialect(self.encoder.dialect().with_literals(literals));
    }

    /// If nothing but the message of an APPEND is missing, asks for it.
    fn want_message(&mut self) {
        let Some(sending) = &mut self.sending else { return };
        let Some(message) = sending.message.as_mut().filter(|_| !sending.waits) else { return };
        if message.left == 0 {
            sending.end_message(&mut self.encoder, &mut self.link);
            return self.send();
        }
        if message.asked.is_none() {
            let (literal, number) = self.link.ask();
            message.asked = Some(number);
            // The session's own commands have no messages.
            let of = sending.job.id.expect("APPEND was given by the caller");
            self.events.push_back(Event::LiteralWanted { of, literal });
        }
    }
}
