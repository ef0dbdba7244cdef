//! What may follow what, for both roles (RFC 9051, 3 and 5.5).
//!
//! A server asks [`Dialogue::may`] before it obeys, a client before it sends, and both report how commands ended with
//! [`Dialogue::completed`]. Tests run it as a judge between any two peers.

use core::fmt;

/// Where a connection stands (RFC 9051, 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Nobody is logged in.
    NotAuthenticated,
    /// Somebody is logged in and has no mailbox selected.
    Authenticated,
    /// A mailbox is selected.
    Selected,
    /// It is ending.
    Logout,
}

impl State {
    /// All states, in order.
    pub const ALL: [Self; 4] = [Self::NotAuthenticated, Self::Authenticated, Self::Selected, Self::Logout];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAuthenticated => "not authenticated",
            Self::Authenticated => "authenticated",
            Self::Selected => "selected",
            Self::Logout => "logout",
        })
    }
}

macro_rules! verbs {
    ($($name:ident $word:literal,)*) => {
        /// The command's word. Those with UID in front are commands of their own.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Verb {
            $(#[doc = concat!("`", $word, "`.")] $name,)*
        }

        impl Verb {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it stands on the wire.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

verbs! {
    Capability "CAPABILITY",
    Noop "NOOP",
    Logout "LOGOUT",
    Id "ID",
    StartTls "STARTTLS",
    Authenticate "AUTHENTICATE",
    Login "LOGIN",
    Enable "ENABLE",
    Select "SELECT",
    Examine "EXAMINE",
    Create "CREATE",
    Delete "DELETE",
    Rename "RENAME",
    Subscribe "SUBSCRIBE",
    Unsubscribe "UNSUBSCRIBE",
    List "LIST",
    Lsub "LSUB",
    Namespace "NAMESPACE",
    Status "STATUS",
    Append "APPEND",
    Idle "IDLE",
    Check "CHECK",
    Close "CLOSE",
    Unselect "UNSELECT",
    Expunge "EXPUNGE",
    UidExpunge "UID EXPUNGE",
    Search "SEARCH",
    UidSearch "UID SEARCH",
    Fetch "FETCH",
    UidFetch "UID FETCH",
    Store "STORE",
    UidStore "UID STORE",
    Copy "COPY",
    UidCopy "UID COPY",
    Move "MOVE",
    UidMove "UID MOVE",
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The state a command needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Anything,
    NobodyLoggedIn,
    SomebodyLoggedIn,
    Mailbox,
}

impl Verb {
    fn needs(self) -> Needs {
        match self {
            Self::Capability | Self::Noop | Self::Logout | Self::Id => Needs::Anything,
            Self::StartTls | Self::Authenticate | Self::Login => Needs::NobodyLoggedIn,
            Self::Enable | Self::Select | Self::Examine | Self::Create | Self::Delete | Self::Rename => {
                Needs::SomebodyLoggedIn
            }
            Self::Subscribe | Self::Unsubscribe | Self::List | Self::Lsub | Self::Namespace | Self::Status => {
                Needs::SomebodyLoggedIn
            }
            Self::Append | Self::Idle => Needs::SomebodyLoggedIn,
            Self::Check | Self::Close | Self::Unselect | Self::Expunge | Self::UidExpunge => Needs::Mailbox,
            Self::Search | Self::UidSearch | Self::Fetch | Self::UidFetch | Self::Store | Self::UidStore => {
                Needs::Mailbox
            }
            Self::Copy | Self::UidCopy | Self::Move | Self::UidMove => Needs::Mailbox,
        }
    }

    /// Whether an untagged EXPUNGE may be sent while it is in progress. Not during FETCH, STORE and SEARCH, which
    /// name messages by numbers and may be pipelined (RFC 9051, 7.5.1); their UID forms are other commands.
    pub fn allows_expunge(self) -> bool {
        match self {
            Self::Fetch | Self::Store | Self::Search => false,
            Self::Capability | Self::Noop | Self::Logout | Self::Id | Self::StartTls | Self::Authenticate => true,
            Self::Login | Self::Enable | Self::Select | Self::Examine | Self::Create | Self::Delete => true,
            Self::Rename | Self::Subscribe | Self::Unsubscribe | Self::List | Self::Lsub | Self::Namespace => true,
            Self::Status | Self::Append | Self::Idle | Self::Check | Self::Close | Self::Unselect => true,
            Self::Expunge | Self::UidExpunge | Self::UidSearch | Self::UidFetch | Self::UidStore => true,
            Self::Copy | Self::UidCopy | Self::Move | Self::UidMove => true,
        }
    }

    /// Whether its arguments name messages by sequence number. (UID SEARCH may, by its keys.)
    fn uses_numbers(self) -> bool {
        match self {
            Self::Fetch | Self::Store | Self::Search | Self::UidSearch | Self::Copy | Self::Move => true,
            Self::Capability | Self::Noop | Self::Logout | Self::Id | Self::StartTls | Self::Authenticate => false,
            Self::Login | Self::Enable | Self::Select | Self::Examine | Self::Create | Self::Delete => false,
            Self::Rename | Self::Subscribe | Self::Unsubscribe | Self::List | Self::Lsub | Self::Namespace => false,
            Self::Status | Self::Append | Self::Idle | Self::Check | Self::Close | Self::Unselect => false,
            Self::Expunge | Self::UidExpunge | Self::UidFetch | Self::UidStore | Self::UidCopy => false,
            Self::UidMove => false,
        }
    }

    /// Whether what follows depends on how it ends: the state changes, or the stream does.
    fn changes_state(self) -> bool {
        match self {
            Self::Logout | Self::StartTls | Self::Authenticate | Self::Login | Self::Enable => true,
            Self::Select | Self::Examine | Self::Idle | Self::Close | Self::Unselect => true,
            Self::Capability | Self::Noop | Self::Id | Self::Create | Self::Delete | Self::Rename => false,
            Self::Subscribe | Self::Unsubscribe | Self::List | Self::Lsub | Self::Namespace => false,
            Self::Status | Self::Append | Self::Check | Self::Expunge | Self::UidExpunge => false,
            Self::Search | Self::UidSearch | Self::Fetch | Self::UidFetch | Self::Store | Self::UidStore => false,
            Self::Copy | Self::UidCopy | Self::Move | Self::UidMove => false,
        }
    }

    /// Whether it changes mailboxes or messages that other commands speak of.
    fn changes_data(self) -> bool {
        match self {
            Self::Create | Self::Delete | Self::Rename | Self::Subscribe | Self::Unsubscribe | Self::Append => true,
            Self::Expunge | Self::UidExpunge | Self::Store | Self::UidStore => true,
            Self::Copy | Self::UidCopy | Self::Move | Self::UidMove => true,
            // FETCH may set \Seen, and only a SEARCH can tell the difference; servers keep the order.
            Self::Fetch | Self::UidFetch => false,
            Self::Capability | Self::Noop | Self::Logout | Self::Id | Self::StartTls | Self::Authenticate => false,
            Self::Login | Self::Enable | Self::Select | Self::Examine | Self::List | Self::Lsub => false,
            Self::Namespace | Self::Status | Self::Idle | Self::Check | Self::Close | Self::Unselect => false,
            Self::Search | Self::UidSearch => false,
        }
    }

    /// Whether a client may send it before `ahead`, sent earlier, has completed (RFC 9051, 5.5).
    ///
    /// Nothing follows what changes the state or the stream. What names messages by number follows only FETCH, STORE
    /// and SEARCH, during which numbers stay what they are. What changes data and what reads it is left in order by
    /// servers, so it may follow; but CREATE, DELETE and RENAME are waited for, since what they name is named by others.
    pub fn may_follow(self, ahead: Verb) -> bool {
        if ahead.changes_state() {
            return false;
        }
        if self.uses_numbers() && ahead.allows_expunge() {
            return false;
        }
        // Selecting leaves the mailbox whose numbers or UIDs a command in progress uses.
        if self.changes_state() && self != Self::Logout && (ahead.needs() == Needs::Mailbox || ahead.changes_data()) {
            return false;
        }
        !matches!(ahead, Self::Create | Self::Delete | Self::Rename)
    }
}

/// The command has no place here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{verb} is not allowed in the {state} state")]
pub struct OutOfOrder {
    /// The command.
    pub verb: Verb,
    /// Where the connection stands.
    pub state: State,
}

/// The state of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dialogue {
    state: State,
    tls: bool,
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// OK.
    Ok,
    /// NO.
    No,
    /// BAD.
    Bad,
}

impl Dialogue {
    /// After a greeting of `OK`, over plain TCP or (`tls`) over TLS.
    pub fn new(tls: bool) -> Self {
        Self { state: State::NotAuthenticated, tls }
    }

    /// After a greeting of `PREAUTH`.
    pub fn preauthenticated(tls: bool) -> Self {
        Self { state: State::Authenticated, tls }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether TLS is in place.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether the command may be sent, or obeyed, now.
    ///
    /// # Errors
    /// [`OutOfOrder`] if it may not.
    pub fn may(&self, verb: Verb) -> Result<(), OutOfOrder> {
        let fits = match (verb.needs(), self.state) {
            (_, State::Logout) => false,
            (Needs::Anything, _) | (Needs::NobodyLoggedIn, State::NotAuthenticated) => true,
            (Needs::SomebodyLoggedIn, State::Authenticated | State::Selected) => true,
            (Needs::Mailbox, State::Selected) => true,
            (Needs::NobodyLoggedIn, State::Authenticated | State::Selected) => false,
            (Needs::SomebodyLoggedIn, State::NotAuthenticated) => false,
            (Needs::Mailbox, State::NotAuthenticated | State::Authenticated) => false,
        };
        // RFC 9051, 6.2.1: STARTTLS only once.
        if fits && !(verb == Verb::StartTls && self.tls) { Ok(()) } else { Err(OutOfOrder { verb, state: self.state }) }
    }

    /// A command that was allowed has completed.
    pub fn completed(&mut self, verb: Verb, ending: Ending) {
        match (verb, ending) {
            (Verb::StartTls, Ending::Ok) => self.tls = true,
            (Verb::Authenticate | Verb::Login, Ending::Ok) => self.state = State::Authenticated,
            (Verb::Select | Verb::Examine, Ending::Ok) => self.state = State::Selected,
            // RFC 9051, 6.3.2: a SELECT that fails leaves no mailbox selected. BAD was never begun.
            (Verb::Select | Verb::Examine, Ending::No) => self.state = State::Authenticated,
            (Verb::Close | Verb::Unselect, Ending::Ok) => self.state = State::Authenticated,
            (Verb::Logout, Ending::Ok) => self.state = State::Logout,
            (_, Ending::Ok | Ending::No | Ending::Bad) => {}
        }
    }

    /// BYE was said: nothing follows but the end.
    pub fn bye(&mut self) {
        self.state = State::Logout;
    }
}
