//! What a client may ask a server apart from mail: NOOP, HELP, VRFY, EXPN and ETRN; and how that, STARTTLS and AUTH are
//! said.

use super::{Client, Expect, Login, Request, Stage};
use crate::wire::{Command, EtrnTarget};
use alloc::boxed::Box;
use postrider_core::{Misuse, Text};
use postrider_sasl::{Mechanism, line as sasl_line};

impl Client {
    /// Does nothing, and so shows whether the server is there (RFC 5321, 4.1.1.9). [`Event::Answered`](super::Event)
    /// follows.
    ///
    /// # Errors
    /// [`Misuse`] if the session is busy.
    pub fn noop(&mut self) -> Result<(), Misuse> {
        self.ask(&Command::Noop)
    }

    /// Asks what the server has to say of itself (RFC 5321, 4.1.1.8). [`Event::Answered`](super::Event) follows.
    ///
    /// # Errors
    /// [`Misuse`] if the session is busy.
    pub fn help(&mut self) -> Result<(), Misuse> {
        self.ask(&Command::Help)
    }

    /// Asks whether there is such a user or mailbox (RFC 5321, 4.1.1.6). [`Event::Answered`](super::Event) follows; 252
    /// says neither yes nor no.
    ///
    /// # Errors
    /// [`Misuse`] if the session is busy, or `who` is not ASCII and the server does not offer SMTPUTF8.
    pub fn verify(&mut self, who: Text) -> Result<(), Misuse> {
        let utf8 = self.takes_utf8(&who)?;
        self.ask(&Command::Vrfy { who, utf8 })
    }

    /// Asks who is on a mailing list (RFC 5321, 4.1.1.7). [`Event::Answered`](super::Event) follows.
    ///
    /// # Errors
    /// [`Misuse`] if the session is busy, or `list` is not ASCII and the server does not offer SMTPUTF8.
    pub fn expand(&mut self, list: Text) -> Result<(), Misuse> {
        let utf8 = self.takes_utf8(&list)?;
        self.ask(&Command::Expn { list, utf8 })
    }

    /// Asks the server to send what waits there for a host (RFC 1985). [`Event::Answered`](super::Event) follows.
    ///
    /// # Errors
    /// [`Misuse`] if the session is busy, or the server does not offer ETRN.
    pub fn turn_queue(&mut self, target: EtrnTarget) -> Result<(), Misuse> {
        if !self.capabilities.as_ref().is_some_and(|offered| offered.etrn) {
            return Err(Misuse::new("the server does not offer ETRN"));
        }
        self.ask(&Command::Etrn(target))
    }

    /// Whether SMTPUTF8 is said with a question about this: wherever it is offered, since the reply may need it though
    /// the question does not (RFC 6531, 3.7.4.2).
    fn takes_utf8(&self, text: &Text) -> Result<bool, Misuse> {
        let utf8 = self.capabilities.as_ref().is_some_and(|offered| offered.smtp_utf8);
        if utf8 || text.as_str().is_ascii() {
            return Ok(utf8);
        }
        Err(Misuse::new("the server does not offer SMTPUTF8"))
    }

    fn ask(&mut self, command: &Command) -> Result<(), Misuse> {
        let verb = command.verb();
        self.idle(verb)?;
        self.request(Request::Ask(verb, command.encode()));
        Ok(())
    }

    /// Says what the application wants, at once or when all before it is answered. RFC 2920, 3.1: a RSET may be under way,
    /// and only PIPELINING lets a client not wait for its reply.
    //= 5321-4.3.1-1
    pub(super) fn request(&mut self, request: Request) {
        if !self.expected.is_empty() && !self.capabilities.as_ref().is_some_and(|offered| offered.pipelining) {
            self.stage = Stage::Waiting(request);
            return;
        }
        match request {
            Request::Ask(verb, line) => {
                self.link.put(line.as_bytes());
                self.link.end_line();
                self.stage = Stage::Asking(verb);
                self.expect(Expect::Answer);
            }
            Request::StartTls => self.say_start_tls(true),
            Request::Auth(mechanism) => self.say_auth(mechanism),
        }
    }

    fn say_auth(&mut self, mut mechanism: Box<dyn Mechanism>) {
        let name = mechanism.name();
        self.link.put(b"AUTH ");
        self.link.put(name.as_str().as_bytes());
        let mut initial = mechanism.initial();
        if let Some(response) = initial.take() {
            let encoded = sasl_line::encode_initial(response.reveal());
            //= 4954-4-8
            if "AUTH ".len() + name.as_str().len() + 1 + encoded.reveal().len() <= self.config.limits.auth_line {
                self.link.put(b" ");
                self.link.put_secret(encoded.reveal().as_bytes());
            } else {
                initial = Some(response);
            }
        }
        self.link.end_line();
        self.stage = Stage::Auth(Login { mechanism, initial, rounds: 0, given_up: None });
        self.expect(Expect::Auth);
    }
}
