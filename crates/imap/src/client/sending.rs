//! A command on its way out.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use postrider_core::Link;
use postrider_sasl::Mechanism;

use super::event::CommandId;
use crate::dialogue::Verb;
use crate::wire::{Append, Command, Encoder, Piece, Status, Tag, TaggedCommand};

/// A command that was accepted, until its tagged response has come.
pub(super) struct Job {
    /// `None` for the session's own.
    pub(super) id: Option<CommandId>,
    pub(super) tag: Tag,
    /// `None` for commands that we know nothing of.
    pub(super) verb: Option<Verb>,
    pub(super) work: Work,
}

/// What there is to do for a command besides sending it.
pub(super) enum Work {
    /// To be sent, nothing else.
    Plain(Box<Command>),
    Login(Box<dyn Mechanism>),
    Append(Box<Append>),
    Idle {
        /// DONE is wanted.
        done: bool,
    },
    /// It was sent.
    Sent,
    /// It was sent; if it succeeds, a mailbox is selected.
    Selecting,
    /// AUTHENTICATE is in progress.
    Exchange(Exchange),
    /// IDLE was sent.
    Idling {
        /// The server has agreed to it.
        begun: bool,
        /// DONE is wanted, or was sent.
        done: bool,
        /// IDLE is to be sent again when it ends.
        again: bool,
    },
}

impl Work {
    /// Whether it would show a password to whoever is on the path.
    pub(super) fn exposes_secret(&self) -> bool {
        match self {
            Self::Plain(command) => matches!(**command, Command::Login { .. }),
            Self::Login(mechanism) => mechanism.name().exposes_secret(),
            Self::Append(_) | Self::Idle { .. } | Self::Sent | Self::Selecting => false,
            Self::Exchange(_) | Self::Idling { .. } => false,
        }
    }
}

pub(super) struct Exchange {
    pub(super) mechanism: Box<dyn Mechanism>,
    /// The initial response is still to be sent, as the answer to the first challenge.
    pub(super) initial: bool,
    pub(super) challenges: u32,
    /// We have given up and said so.
    pub(super) cancelled: bool,
}

/// A command that is not sent completely.
pub(super) struct Sending {
    pub(super) job: Job,
    chunks: VecDeque<Chunk>,
    /// The server must invite the next chunk, or the message.
    pub(super) waits: bool,
    pub(super) message: Option<Message>,
    /// The server has refused it, but octets that were announced must still be sent.
    pub(super) refused: Option<Status>,
}

/// The message of an APPEND.
pub(super) struct Message {
    pub(super) append: Box<Append>,
    pub(super) left: u64,
    /// The number of the question for it, once asked.
    pub(super) asked: Option<u64>,
}

enum Chunk {
    Line { octets: Vec<u8>, secret_from: Option<usize>, waits: bool },
    Literal(Vec<u8>),
}

/// How far the sending has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Sent,
    /// An invitation must come first, or octets of the message.
    Blocked,
}

impl Sending {
    /// Puts what is in `encoder` on its way.
    pub(super) fn new(job: Job, message: Option<Message>, encoder: &mut Encoder) -> Self {
        let chunks = encoder.pieces().map(|piece| match piece {
            Piece::Line { octets, secret_from, waits, ends: _ } => {
                Chunk::Line { octets: octets.into(), secret_from, waits }
            }
            Piece::Literal(octets) => Chunk::Literal(octets.into()),
        });
        let chunks = chunks.collect();
        encoder.clear();
        Self { job, chunks, waits: false, message, refused: None }
    }

    /// Sends what may be sent now.
    pub(super) fn go_on(&mut self, link: &mut Link) -> Progress {
        while !self.waits {
            match self.chunks.pop_front() {
                Some(Chunk::Line { octets, secret_from, waits }) => {
                    put_line(&octets, secret_from, link);
                    self.waits = waits;
                }
                Some(Chunk::Literal(octets)) => link.put_body(&octets),
                None if self.message.is_some() => return Progress::Blocked,
                None => return Progress::Sent,
            }
        }
        Progress::Blocked
    }

    /// The message of an APPEND was written: what follows it.
    pub(super) fn end_message(&mut self, encoder: &mut Encoder, link: &mut Link) {
        let Some(message) = self.message.take() else { return };
        message.append.encode_end(encoder);
        encoder.send(link);
    }
}

fn put_line(octets: &[u8], secret_from: Option<usize>, link: &mut Link) {
    let (plain, secret) = octets.split_at(secret_from.unwrap_or(octets.len()));
    link.put(plain);
    if !secret.is_empty() {
        link.put_secret(secret);
    }
    link.end_line();
}

/// Writes a command with its tag.
pub(super) fn encode(tag: &Tag, command: Command, encoder: &mut Encoder) {
    TaggedCommand { tag: tag.clone(), command }.encode(encoder);
}

/// The verb of a command.
pub(super) fn verb(command: &Command) -> Option<Verb> {
    let uid = |uid: bool, with: Verb, without: Verb| Some(if uid { with } else { without });
    match command {
        Command::Capability => Some(Verb::Capability),
        Command::Noop => Some(Verb::Noop),
        Command::Logout => Some(Verb::Logout),
        Command::StartTls => Some(Verb::StartTls),
        Command::Authenticate(_) => Some(Verb::Authenticate),
        Command::Login { .. } => Some(Verb::Login),
        Command::Enable(_) => Some(Verb::Enable),
        Command::Id(_) => Some(Verb::Id),
        Command::Select { read_only, .. } => uid(*read_only, Verb::Examine, Verb::Select),
        Command::Create { .. } => Some(Verb::Create),
        Command::Delete(_) => Some(Verb::Delete),
        Command::Rename { .. } => Some(Verb::Rename),
        Command::Subscribe(_) => Some(Verb::Subscribe),
        Command::Unsubscribe(_) => Some(Verb::Unsubscribe),
        Command::List(_) => Some(Verb::List),
        Command::Lsub { .. } => Some(Verb::Lsub),
        Command::Namespace => Some(Verb::Namespace),
        Command::Status { .. } => Some(Verb::Status),
        Command::Append(_) => Some(Verb::Append),
        Command::Idle => Some(Verb::Idle),
        Command::Check => Some(Verb::Check),
        Command::Close => Some(Verb::Close),
        Command::Unselect => Some(Verb::Unselect),
        Command::Expunge(only) => uid(only.is_some(), Verb::UidExpunge, Verb::Expunge),
        Command::Search(search) => uid(search.uid, Verb::UidSearch, Verb::Search),
        Command::Fetch(fetch) => uid(fetch.uid, Verb::UidFetch, Verb::Fetch),
        Command::Store(store) => uid(store.uid, Verb::UidStore, Verb::Store),
        Command::Copy { uid: by, .. } => uid(*by, Verb::UidCopy, Verb::Copy),
        Command::Move { uid: by, .. } => uid(*by, Verb::UidMove, Verb::Move),
        Command::Other { .. } => None,
    }
}
