//! Commands on their way to the server.

use super::{Client, Command, CommandId, Login, Phase, Sent, What};
use crate::wire::Verb;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::Write;
use postrider_core::Misuse;
use postrider_sasl::{Mechanism, line};

impl Client {
    pub(super) fn enqueue(&mut self, what: What) -> Result<CommandId, Misuse> {
        if self.quitting || self.link.is_closed() {
            return Err(Misuse::new("the session is ending"));
        }
        if self.queue.len() + self.waiting.len() >= self.config.limits.queue {
            return Err(Misuse::new("too many commands are waiting"));
        }
        self.next_id += 1;
        let id = CommandId(self.next_id);
        self.queue.push_back(Command { id: Some(id), what });
        Ok(id)
    }

    /// Sends what may be sent now.
    pub(super) fn send(&mut self) -> bool {
        if self.phase == Phase::Greeting || self.link.is_gated() || self.link.is_congested() {
            return false;
        }
        if self.phase == Phase::Asking && !self.config.capabilities {
            self.ready(None);
            return true;
        }
        let ahead = match &self.capabilities {
            Some(offered) if offered.pipelining && self.phase == Phase::Ready => self.config.limits.pipeline,
            Some(_) | None => 1,
        };
        let alone = |what: &What| match what {
            // What follows depends on the answer, or must not be lost on the way to it.
            What::Line(verb, ..) => matches!(verb, Verb::Stls | Verb::Quit | Verb::Capa | Verb::Utf8),
            What::User { .. } | What::Apop { .. } | What::Auth(_) | What::Lang(_) => true,
        };
        let busy = self.waiting.back().is_some_and(|sent| sent.login.is_some() || sent.verb == Verb::Stls);
        match self.queue.front() {
            Some(next) if !busy && self.waiting.len() < ahead && (self.waiting.is_empty() || !alone(&next.what)) => {}
            Some(_) | None => return false,
        }
        let Command { id, what } = self.queue.pop_front().expect("it was just seen to be there");
        let sent = match what {
            What::Line(verb, message, lines) => {
                let mut line = String::from(verb.as_str());
                for number in message.map(u64::from).into_iter().chain(lines) {
                    write!(line, " {number}").expect("writing to a string does not fail");
                }
                self.link.put(line.as_bytes());
                self.link.end_line();
                if verb == Verb::Quit {
                    self.dialogue.quitting();
                }
                let lines = match verb {
                    Verb::Retr | Verb::Top | Verb::Capa => true,
                    Verb::List | Verb::Uidl => message.is_none(),
                    Verb::User
                    | Verb::Pass
                    | Verb::Stat
                    | Verb::Dele
                    | Verb::Noop
                    | Verb::Rset
                    | Verb::Quit
                    | Verb::Stls
                    | Verb::Apop
                    | Verb::Auth
                    | Verb::Utf8
                    | Verb::Lang
                    | Verb::Last => false,
                };
                Sent { id, verb, message, lines, login: None }
            }
            What::User { name, password } => {
                self.link.put(b"USER ");
                self.link.put(name.as_bytes());
                self.link.end_line();
                Sent { id, verb: Verb::User, message: None, lines: false, login: Some(Login::Password(password)) }
            }
            What::Apop { name, digest } => {
                self.link.put(b"APOP ");
                self.link.put(name.as_bytes());
                self.link.put(b" ");
                self.link.put_secret(digest.reveal().as_bytes());
                self.link.end_line();
                Sent { id, verb: Verb::Apop, message: None, lines: false, login: None }
            }
            What::Lang(wanted) => {
                self.link.put(b"LANG");
                if let Some(range) = &wanted {
                    self.link.put(b" ");
                    self.link.put(range.as_str().as_bytes());
                }
                self.link.end_line();
                Sent { id, verb: Verb::Lang, message: None, lines: wanted.is_none(), login: None }
            }
            What::Auth(mechanism) => {
                let login = Some(self.begin_auth(mechanism));
                Sent { id, verb: Verb::Auth, message: None, lines: false, login }
            }
        };
        self.waiting.push_back(sent);
        true
    }

    pub(super) fn begin_auth(&mut self, mut mechanism: Box<dyn Mechanism>) -> Login {
        /// A command may have 255 octets with its CRLF (RFC 2449, 4); RFC 5034, 4 sends longer responses afterwards.
        const COMMAND: usize = 253;
        let name = mechanism.name();
        self.link.put(b"AUTH ");
        self.link.put(name.as_str().as_bytes());
        let mut initial = mechanism.initial();
        if let Some(message) = initial.take() {
            let encoded = line::encode_initial(message.reveal());
            let length = "AUTH ".len() + name.as_str().len() + 1 + encoded.reveal().len();
            // RFC 5034, 3: a server that does not list SASL may know AUTH from RFC 1734, where it had one argument.
            //= 5034-3-2
            let listed = self.capabilities.as_ref().is_some_and(|offered| !offered.sasl.is_empty());
            //= 5034-4-6
            if length <= COMMAND && listed && !self.config.quirks.auth_in_two_steps {
                self.link.put(b" ");
                self.link.put_secret(encoded.reveal().as_bytes());
            } else {
                initial = Some(message);
            }
        }
        self.link.end_line();
        Login::Exchange { mechanism, initial, challenges: 0 }
    }
}
