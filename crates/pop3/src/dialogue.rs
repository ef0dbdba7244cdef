//! What may follow what, for both sides (RFC 1939, 4 to 6).

use crate::wire::Verb;

/// Where a session stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Nobody has logged in.
    Authorization,
    /// Nobody has logged in; USER was accepted, so PASS may follow.
    UserGiven,
    /// A maildrop is open.
    Transaction,
    /// QUIT was sent with a maildrop open: what was deleted goes now.
    Update,
    /// QUIT was answered.
    Ended,
}

impl State {
    /// All of them.
    pub const ALL: [State; 5] =
        [State::Authorization, State::UserGiven, State::Transaction, State::Update, State::Ended];
}

/// The command has no place here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{verb} is not valid {}", place(*.verb, *.state))]
pub struct OutOfOrder {
    /// The command.
    pub verb: Verb,
    /// Where the session stands.
    pub state: State,
}

fn place(verb: Verb, state: State) -> &'static str {
    match state {
        State::Authorization if verb == Verb::Pass => "before USER",
        State::Authorization | State::UserGiven => "before the login",
        State::Transaction => "after the login",
        State::Update | State::Ended => "after QUIT",
    }
}

/// Follows a dialogue. The server enforces with it, the client guards with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dialogue {
    state: State,
}

impl Default for Dialogue {
    fn default() -> Self {
        Self { state: State::Authorization }
    }
}

impl Dialogue {
    /// A dialogue that stands at `state`.
    pub fn at(state: State) -> Self {
        Self { state }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the client may send this now.
    ///
    /// # Errors
    /// [`OutOfOrder`] if not.
    //= 1939-3-5, 5034-4-2
    pub fn may(&self, verb: Verb) -> Result<(), OutOfOrder> {
        use State::{Authorization, Ended, Transaction, Update, UserGiven};
        let allowed = match verb {
            Verb::User | Verb::Apop | Verb::Auth | Verb::Stls | Verb::Utf8 => {
                matches!(self.state, Authorization | UserGiven)
            }
            Verb::Pass => self.state == UserGiven,
            Verb::Stat
            | Verb::List
            | Verb::Uidl
            | Verb::Retr
            | Verb::Top
            | Verb::Dele
            | Verb::Noop
            | Verb::Rset
            | Verb::Last => self.state == Transaction,
            Verb::Capa | Verb::Lang | Verb::Quit => !matches!(self.state, Update | Ended),
        };
        if allowed { Ok(()) } else { Err(OutOfOrder { verb, state: self.state }) }
    }

    /// QUIT was sent: nothing may follow it.
    pub fn quitting(&mut self) {
        self.state = if self.state == State::Transaction { State::Update } else { State::Ended };
    }

    /// The server has answered the command, with `+OK` or not.
    pub fn replied(&mut self, verb: Verb, ok: bool) {
        self.state = match (verb, ok) {
            (Verb::User, true) => State::UserGiven,
            (Verb::User | Verb::Pass | Verb::Apop | Verb::Auth, false) => State::Authorization,
            (Verb::Pass | Verb::Apop | Verb::Auth, true) => State::Transaction,
            // RFC 2595, 4: whatever was said before counts for nothing.
            (Verb::Stls, true) => State::Authorization,
            (Verb::Quit, true | false) => State::Ended,
            (
                Verb::Stls
                | Verb::Utf8
                | Verb::Capa
                | Verb::Stat
                | Verb::List
                | Verb::Uidl
                | Verb::Retr
                | Verb::Top
                | Verb::Dele
                | Verb::Noop
                | Verb::Rset
                | Verb::Lang
                | Verb::Last,
                true | false,
            ) => self.state,
        };
    }
}
