//! What is said, and how long an answer may take.

use super::transaction::{Carrier, Next};
use super::{Client, Expect, Stage};
use crate::dialogue::Protocol;
use crate::wire::{Command, mail_line, rcpt_line};

impl Client {
    /// Sends what may be sent now.
    pub(super) fn speak(&mut self) -> bool {
        match self.stage {
            //= 5321-4.1.1.10-2, 5321-4.1.1.10-3, 5321-4.1.4-7
            Stage::Idle if self.quitting && self.expected.is_empty() => {
                self.say(&Command::Quit);
                self.stage = Stage::Quitting;
                self.expect(Expect::Quit);
                true
            }
            Stage::Waiting(_) if self.expected.is_empty() => {
                if let Stage::Waiting(request) = core::mem::replace(&mut self.stage, Stage::Idle) {
                    self.request(request);
                }
                true
            }
            Stage::Envelope => self.speak_envelope(),
            Stage::Body(_) => self.send_chunk() || self.offer_room(),
            Stage::LastChunk => self.send_chunk(),
            Stage::GivenUp if self.expected.is_empty() => {
                self.say_reset();
                self.conclude();
                true
            }
            Stage::Handshake { .. } | Stage::Opening | Stage::StartTls { .. } => false,
            Stage::Waiting(_) | Stage::Auth(_) | Stage::LoggedIn => false,
            Stage::Idle | Stage::Asking(_) | Stage::GivenUp | Stage::Final | Stage::Quitting => false,
        }
    }

    pub(super) fn speak_envelope(&mut self) -> bool {
        let pipelining = self.capabilities.as_ref().is_some_and(|offered| offered.pipelining);
        let sending = self.sending.as_deref_mut().expect("an envelope is sent only while a message is");
        // Whether everything sent so far was answered. RFC 2920, 3.1: only PIPELINING lets a client not wait.
        //= 5321-4.3.1-1
        let answered = self.expected.is_empty();
        if self.link.is_congested() || !(pipelining || answered) {
            return false;
        }
        if sending.cancelled {
            if !answered {
                return false;
            }
            if !sending.mail_refused && sending.next != Next::Mail {
                self.say_reset();
            }
            self.conclude();
            return true;
        }
        match sending.next {
            Next::Mail => {
                self.link.put(mail_line(&sending.envelope.from, &sending.envelope.params).as_bytes());
                self.link.end_line();
                sending.next = sending.after(0);
                self.expect(Expect::Mail);
            }
            Next::Rcpt(_) | Next::Data if sending.mail_refused => {
                if !answered {
                    return false;
                }
                self.conclude();
            }
            Next::Rcpt(index) if index == sending.envelope.recipients.len() => return false,
            Next::Rcpt(index) => {
                let recipient = &sending.envelope.recipients[index];
                self.link.put(rcpt_line(&recipient.to, &recipient.params).as_bytes());
                self.link.end_line();
                sending.next = sending.after(index + 1);
                self.expect(Expect::Rcpt(index));
            }
            Next::Data if answered && sending.accepted == 0 => {
                self.say_reset();
                self.conclude();
            }
            //= 2920-3.1-1
            Next::Data => match sending.carrier {
                Carrier::Data(_) => {
                    sending.next = Next::Nothing;
                    self.say(&Command::Data);
                    self.expect(Expect::Data);
                }
                // A chunk for nobody would be sent in vain, so the recipients are waited for.
                Carrier::Chunks(ref chunks) if answered => {
                    sending.next = Next::Nothing;
                    if chunks.parts.is_some() {
                        self.gone = 0;
                        self.stage = Stage::LastChunk;
                    } else {
                        self.want_body();
                    }
                }
                Carrier::Chunks(_) => return false,
            },
            Next::Nothing => return false,
        }
        true
    }

    pub(super) fn say(&mut self, command: &Command) {
        self.link.put(command.encode().as_bytes());
        self.link.end_line();
    }

    pub(super) fn say_hello(&mut self) {
        let name = self.config.name.clone();
        let command = match self.config.protocol {
            //= 5321-2.2.1-2, 5321-4.1.1.1-2
            Protocol::Smtp => Command::Ehlo(name),
            Protocol::Lmtp => Command::Lhlo(name),
        };
        self.say(&command);
        self.expect(Expect::Hello(command.verb()));
    }

    pub(super) fn say_start_tls(&mut self, manual: bool) {
        self.say(&Command::StartTls);
        self.stage = Stage::StartTls { manual };
        self.expect(Expect::StartTls);
    }

    pub(super) fn say_reset(&mut self) {
        self.say(&Command::Rset);
        self.dialogue.message_over();
        self.expect(Expect::Reset);
    }

    pub(super) fn expect(&mut self, expect: Expect) {
        self.expected.push_back(expect);
        if self.expected.len() == 1 {
            self.arm_reply();
        }
    }

    /// Gives the server its time for the reply that comes next.
    //= 5321-4.5.3.2-1
    pub(super) fn arm_reply(&mut self) {
        let limits = &self.config.limits;
        let Some(next) = self.expected.front() else { return self.reply_timer.disarm() };
        self.reply_timer.arm(match next {
            Expect::Greeting => limits.greeting,
            Expect::Hello(_) | Expect::StartTls | Expect::Auth | Expect::Reset | Expect::Answer => limits.command,
            Expect::Mail => limits.mail,
            Expect::Rcpt(_) => limits.rcpt,
            Expect::Data => limits.data,
            Expect::Chunk => limits.block,
            Expect::Message(_) | Expect::Nothing => {
                let mib = self.sending.as_ref().map_or(0, |sending| sending.written >> 20);
                let more = limits.message_per_mib.saturating_mul(u32::try_from(mib).unwrap_or(u32::MAX));
                limits.message.saturating_add(more)
            }
            Expect::Quit => limits.quit,
        });
    }
}
