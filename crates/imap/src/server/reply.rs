//! What becomes of the application's answers.

use super::answer::{AppendedAt, Copied, Expunged, Refusal, Selected, StoreDone, Stored};
use super::changes::Selection;
use super::event::Change;
use super::stage::{Question, Stage};
use super::{RespondError, Server};
use crate::dialogue::Verb;
use crate::view::View;
use crate::wire::{
    Capability, Code, Condition, Data, FetchItem, Flags, FrameLimits, Framer, ListEntry, Mailbox, SequenceSet, Status,
    Tag, UidSet,
};
use alloc::vec::Vec;
use bytes::Bytes;
use postrider_core::{Stale, Text};
use postrider_sasl::{ApopChallenge, Denied, Identity, ScramAnswer};

impl Server {
    pub(super) fn settle_auth(&mut self, number: u64, answer: Result<Identity, Denied>) -> Result<(), Stale> {
        let (tag, verb, question) = self.redeemed(number)?;
        let Question::Auth(last_words) = question else {
            unreachable!("the number was given to another kind of question")
        };
        match answer {
            Ok(identity) => {
                self.identity = Some(identity);
                self.login_time.disarm();
                let limits = &self.config.limits;
                self.framer = Framer::commands(FrameLimits::new(limits.command, limits.literals));
                // RFC 9051, 7.1: the capabilities are others now; saying so spares a question.
                let code = Code::Capability(self.config.listed(self.link.security(), true));
                let text = Text::literal("Logged in");
                self.complete(tag, verb, Status { condition: Condition::Ok, code: Some(code), text });
            }
            Err(denied) => match last_words {
                None => self.denied(tag, verb, denied),
                Some(words) => self.challenge(&words, Stage::Refused { tag, denied }),
            },
        }
        Ok(())
    }

    pub(super) fn settle_scram(&mut self, number: u64, answer: Result<ScramAnswer, Denied>) -> Result<(), Stale> {
        let (tag, verb, question) = self.redeemed(number)?;
        let Question::Scram(query) = question else { unreachable!("the number was given to another kind of question") };
        match answer {
            Ok(answer) => self.sasl_step(tag, query.answer(answer)),
            Err(denied) => self.denied(tag, verb, denied),
        }
        Ok(())
    }

    pub(super) fn settle_challenge(&mut self, number: u64, answer: Result<ApopChallenge, Denied>) -> Result<(), Stale> {
        let (tag, verb, question) = self.redeemed(number)?;
        let Question::Challenge(query) = question else {
            unreachable!("the number was given to another kind of question")
        };
        match answer {
            Ok(challenge) => self.sasl_step(tag, Ok(query.answer(challenge))),
            Err(denied) => self.denied(tag, verb, denied),
        }
        Ok(())
    }

    pub(super) fn denied(&mut self, tag: Tag, verb: Verb, denied: Denied) {
        let (code, text) = match denied {
            Denied::Credentials => (Code::AuthenticationFailed, "Authentication failed"),
            Denied::Temporary => (Code::Unavailable, "Cannot check the credentials now"),
            Denied::Expired => (Code::Expired, "The password has expired"),
            Denied::Forbidden => (Code::AuthorizationFailed, "Not allowed here"),
            _ => (Code::AuthenticationFailed, "Authentication failed"),
        };
        self.login_failed(tag, verb, Some(code), text);
    }

    pub(super) fn settle_select(&mut self, number: u64, answer: Result<Selected, Refusal>) -> Result<(), Stale> {
        let (tag, verb, question) = self.redeemed(number)?;
        let Question::Select { mailbox, read_only } = question else {
            unreachable!("the number was given to another kind of question")
        };
        match answer {
            Ok(selected) => self.select(tag, verb, mailbox, read_only, selected),
            Err(refusal) => self.complete(tag, verb, refusal.into_status()),
        }
        Ok(())
    }

    fn select(&mut self, tag: Tag, verb: Verb, mailbox: Mailbox, read_only: bool, selected: Selected) {
        let view = View::new(selected.uids);
        let read_only = read_only || selected.read_only;
        let ok = |server: &mut Self, code: Code, text: &'static str| {
            server.untagged(Condition::Ok, Some(code), Text::literal(text));
        };
        self.data(&Data::Flags(selected.flags));
        self.data(&Data::Exists(view.len()));
        if !self.enabled.rev2 {
            self.data(&Data::Recent(0));
            if let Some(number) = selected.first_unseen.and_then(|uid| view.number(uid)) {
                ok(self, Code::Unseen(number), "First unseen message");
            }
        }
        let permanent = if read_only { Flags::EMPTY } else { selected.permanent_flags };
        ok(self, Code::PermanentFlags(permanent), "Flags that can be changed for good");
        ok(self, Code::UidValidity(selected.uid_validity.max(1)), "UIDs valid");
        ok(self, Code::UidNext(selected.uid_next.max(1)), "Predicted next UID");
        if self.offers(&Capability::CondStore) {
            match selected.highest_modseq {
                Some(modseq) => ok(self, Code::HighestModSeq(modseq), "Highest"),
                None => ok(self, Code::NoModSeq, "No mod-sequences here"),
            }
        }
        if let Some(id) = selected.mailbox_id.filter(|_| self.offers(&Capability::ObjectId)) {
            ok(self, Code::MailboxId(id), "Identity");
        }
        if self.enabled.rev2 {
            // RFC 9051, 6.3.2: the name, in the server's own spelling.
            self.data(&Data::List(ListEntry {
                attributes: Vec::new(),
                delimiter: self.config.delimiter,
                mailbox: Some(mailbox),
                child_info: Vec::new(),
                old_name: None,
            }));
        }
        self.selected = Some(Selection::new(view, read_only));
        let code = if read_only { Code::ReadOnly } else { Code::ReadWrite };
        let text = Text::literal(if verb == Verb::Examine { "EXAMINE completed" } else { "SELECT completed" });
        self.complete(tag, verb, Status { condition: Condition::Ok, code: Some(code), text });
    }

    /// LIST, and whatever has nothing to say but that it was done.
    pub(super) fn settle_plain(&mut self, number: u64, answer: Result<(), Refusal>) -> Result<(), Stale> {
        let (tag, verb, _) = self.redeemed(number)?;
        match answer {
            Ok(()) => self.complete_ok(tag, verb),
            Err(refusal) => self.complete(tag, verb, refusal.into_status()),
        }
        Ok(())
    }

    pub(super) fn settle_append(&mut self, number: u64, answer: Result<(), Refusal>) -> Result<(), Stale> {
        let (tag, _, question) = self.redeemed(number)?;
        let Question::Append { waits, size } = question else {
            unreachable!("the number was given to another kind of question")
        };
        match answer {
            Ok(()) => {
                if waits {
                    self.proceed(Bytes::from_static(b"Ready for literal data"));
                }
                self.framer.stream();
                self.stage = Stage::Appending { tag };
                self.inactive.arm(self.config.limits.inactive);
            }
            Err(refusal) => self.refuse_append(tag, waits, size, refusal),
        }
        Ok(())
    }

    pub(super) fn settle_appended(
        &mut self,
        number: u64,
        answer: Result<Option<AppendedAt>, Refusal>,
    ) -> Result<(), Stale> {
        let (tag, verb, _) = self.redeemed(number)?;
        match answer {
            Ok(at) => {
                let code = at
                    .filter(|at| at.uid != 0 && at.uid_validity != 0)
                    .map(|at| Code::AppendUid { uid_validity: at.uid_validity, uids: [at.uid].into_iter().collect() });
                let text = Text::literal("APPEND completed");
                self.complete(tag, verb, Status { condition: Condition::Ok, code, text });
            }
            Err(refusal) => self.complete(tag, verb, refusal.into_status()),
        }
        Ok(())
    }

    // ── STORE ──

    pub(super) fn add_stored(&mut self, number: u64, part: Stored) -> Result<(), RespondError> {
        let Stage::Asked { number: open, question: Question::Store { uid, silent, .. }, .. } = &self.stage else {
            return Err(Stale.into());
        };
        if *open != number {
            return Err(Stale.into());
        }
        let (with_uid, silent) = (*uid, *silent);
        let Some(selection) = &mut self.selected else { return Err(Stale.into()) };
        // What the client has been told is gone is gone.
        let Some(message) = selection.view.number(part.uid) else { return Ok(()) };
        let modseq = part.modseq.filter(|_| self.enabled.condstore);
        if silent {
            selection.untold.flags_changed(part.uid, &part.flags, part.modseq);
        } else {
            selection.untold.flags_told(part.uid);
        }
        let mut items = Vec::with_capacity(3);
        if with_uid || modseq.is_some() {
            items.push(FetchItem::Uid(part.uid));
        }
        if !silent {
            items.push(FetchItem::Flags(part.flags));
        }
        items.extend(modseq.map(FetchItem::ModSeq));
        if !silent || modseq.is_some() {
            self.data(&Data::Fetch { number: message, items });
        }
        Ok(())
    }

    pub(super) fn settle_store(&mut self, number: u64, answer: Result<StoreDone, Refusal>) -> Result<(), Stale> {
        let (tag, verb, question) = self.redeemed(number)?;
        let Question::Store { uid, expunged, .. } = question else {
            unreachable!("the number was given to another kind of question")
        };
        match answer {
            Ok(done) => {
                let modified = match &self.selected {
                    Some(selection) if !uid => selection.view.numbers(&done.modified),
                    Some(_) | None => done.modified,
                };
                if modified.is_empty() {
                    return {
                        self.complete_maybe_expunged(tag, verb, expunged);
                        Ok(())
                    };
                }
                let code = Some(Code::Modified(SequenceSet::from(&modified)));
                let text = Text::literal("Some had been modified");
                self.complete(tag, verb, Status { condition: Condition::Ok, code, text });
            }
            Err(refusal) => self.complete(tag, verb, refusal.into_status()),
        }
        Ok(())
    }

    /// OK, with a hint if some of the messages are gone and the client cannot be told yet (RFC 5530, 3).
    pub(super) fn complete_maybe_expunged(&mut self, tag: Tag, verb: Verb, expunged: bool) {
        if expunged && !verb.allows_expunge() {
            let (code, text) = (Some(Code::ExpungeIssued), Text::literal("Some messages are gone"));
            self.complete(tag, verb, Status { condition: Condition::Ok, code, text });
        } else {
            self.complete_ok(tag, verb);
        }
    }

    // ── COPY, MOVE, EXPUNGE ──

    pub(super) fn settle_copy(&mut self, number: u64, answer: Result<Copied, Refusal>) -> Result<(), Stale> {
        let (tag, verb, _) = self.redeemed(number)?;
        let Copied { uid_validity, from, to } = match answer {
            Ok(copied) => copied,
            Err(refusal) => {
                self.complete(tag, verb, refusal.into_status());
                return Ok(());
            }
        };
        // RFC 4315, 3: both sets name the same messages, or nothing is said.
        let told = uid_validity != 0 && !from.is_empty() && from.count() == to.count();
        let code = told.then(|| Code::CopyUid { uid_validity, from: from.clone(), to });
        if matches!(verb, Verb::Move | Verb::UidMove) {
            // RFC 6851, 4.3: before the EXPUNGEs, so that the client knows what they mean.
            if code.is_some() {
                self.untagged(Condition::Ok, code, Text::literal("Moved"));
            }
            self.gone(from);
            self.complete_ok(tag, verb);
        } else {
            let text = Text::literal("COPY completed");
            self.complete(tag, verb, Status { condition: Condition::Ok, code, text });
        }
        Ok(())
    }

    pub(super) fn settle_expunge(&mut self, number: u64, answer: Result<Expunged, Refusal>) -> Result<(), Stale> {
        let (tag, verb, _) = self.redeemed(number)?;
        match answer {
            Ok(_) if verb == Verb::Close => {
                self.deselect(false);
                self.complete_ok(tag, verb);
            }
            Ok(expunged) => {
                self.gone(expunged.uids);
                self.complete_ok(tag, verb);
            }
            Err(refusal) => self.complete(tag, verb, refusal.into_status()),
        }
        Ok(())
    }

    fn gone(&mut self, uids: UidSet) {
        if let Some(selection) = &mut self.selected {
            selection.note(Change::Expunged(uids), self.config.limits.changes);
        }
    }
}
