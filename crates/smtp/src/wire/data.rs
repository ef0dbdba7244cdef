//! The message on the wire: where it ends, and the dots in between (RFC 5321, 4.1.1.4 and 4.5.2).
//!
//! Only CR LF `.` CR LF ends a message. A CR or LF alone never does, and by default the message that holds one is
//! refused: two servers that disagree about where a message ends let its sender forge another ("SMTP smuggling").

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use postrider_core::{Flaw, LineRule, OnFlaw, Part, Stuffer, Unstuffer};

/// What becomes of CR and LF that do not stand together, and of NUL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BareNewlines {
    /// The message is refused. The default.
    #[default]
    Refuse,
    /// CR alone and LF alone become CR LF, NUL is left out. They never end the message.
    Normalise,
}

impl BareNewlines {
    fn on_flaw(self) -> OnFlaw {
        match self {
            Self::Refuse => OnFlaw::Stop,
            Self::Normalise => OnFlaw::Mend,
        }
    }
}

/// Why a message's octets cannot be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadBody {
    /// CR without LF, or LF without CR.
    #[error("the message holds CR or LF alone")]
    BareNewline,
    /// The octet 0.
    #[error("the message holds NUL")]
    Nul,
    /// A line that is too long.
    #[error("the message holds a line of more than {limit} octets")]
    LineTooLong {
        /// The limit it broke, in octets without CRLF.
        limit: usize,
    },
}

impl BadBody {
    fn new(flaw: Flaw, limit: usize) -> Self {
        match flaw {
            Flaw::BareCr | Flaw::BareLf => Self::BareNewline,
            Flaw::Nul => Self::Nul,
            Flaw::LongLine => Self::LineTooLong { limit },
        }
    }
}

/// Finds the end of a message and removes the dots that were added to its lines. Feed it in any pieces. Two are equal if
/// they will treat whatever comes next alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataReader {
    unstuffer: Unstuffer,
    line_limit: usize,
}

/// What [`DataReader::read`] did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataPart {
    /// How many octets it took: all, unless the message ended before.
    pub taken: usize,
    /// The part of the message in them.
    pub body: Body,
    /// Whether the message ended.
    pub ended: bool,
}

/// Part of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// The first so many octets of the input, as they are.
    Prefix(usize),
    /// Other octets.
    Rewritten(Vec<u8>),
}

impl DataReader {
    /// At the beginning of a message, after the reply 354. `line_limit` is the longest line, in octets without CRLF.
    //= 5321-2.3.8-1, 5321-4.1.1.4-3
    pub fn new(policy: BareNewlines, line_limit: usize) -> Self {
        let unstuffer = Unstuffer::new(LineRule::CrLf).on_flaw(policy.on_flaw()).line_limit(line_limit);
        Self { unstuffer, line_limit }
    }

    /// Why the message must be refused, if it must. Nothing of it is given out any more then, but its end is found.
    pub fn bad(&self) -> Option<BadBody> {
        self.unstuffer.flaw().map(|flaw| BadBody::new(flaw, self.line_limit))
    }

    /// Reads on.
    //= 5321-4.5.2-2, 5321-4.5.2-3
    pub fn read(&mut self, input: &[u8]) -> DataPart {
        let mut body = Body::Prefix(0);
        let taken = self.unstuffer.parts(input, |part| body.push(part, input));
        if self.unstuffer.flaw().is_some() {
            body = Body::Prefix(0);
        }
        DataPart { taken: taken.read, body, ended: taken.ended }
    }
}

impl Body {
    /// Adds a part of a message read from `input`.
    fn push(&mut self, part: Part, input: &[u8]) {
        let octets = match (&mut *self, &part) {
            (Self::Prefix(length), Part::Given(given)) if *length == given.start => {
                *length = given.end;
                return;
            }
            (Self::Prefix(length), _) => {
                let mut octets = Vec::with_capacity(input.len());
                octets.extend_from_slice(&input[..*length]);
                *self = Self::Rewritten(octets);
                return self.push(part, input);
            }
            (Self::Rewritten(octets), _) => octets,
        };
        octets.extend_from_slice(match part {
            Part::Given(given) => &input[given],
            Part::Added(added) => added,
        });
    }
}

/// Adds dots to lines, and the end of the message. Feed it in any pieces. Two are equal if they will treat whatever comes
/// next alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataWriter {
    stuffer: Stuffer,
    /// Whether dots are added, and the lone dot at the end.
    dots: bool,
}

/// Where [`DataWriter`] puts its octets.
pub(crate) trait Sink {
    fn put(&mut self, octets: &[u8]);
    fn put_shared(&mut self, octets: Bytes);
}

impl Sink for BytesMut {
    fn put(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }
    fn put_shared(&mut self, octets: Bytes) {
        self.extend_from_slice(&octets);
    }
}

impl DataWriter {
    /// At the beginning of a message.
    //= 5321-4.5.2-1
    pub fn new(policy: BareNewlines) -> Self {
        Self { stuffer: Stuffer::new(LineRule::CrLf).on_flaw(policy.on_flaw()), dots: true }
    }

    /// At the beginning of a message that goes out in chunks (RFC 3030): no dots are added, and no end but the line end
    /// that may be missing. What CR, LF and NUL must not do is the same.
    pub fn for_chunks(policy: BareNewlines) -> Self {
        Self { dots: false, ..Self::new(policy) }
    }

    /// Writes part of the message.
    ///
    /// # Errors
    /// [`BadBody`] if a CR or LF alone or NUL is among the octets and is not to be normalised. The message must be
    /// given up then: nothing more is written.
    //= 5321-2.3.8-2
    pub fn write(&mut self, octets: &[u8], out: &mut BytesMut) -> Result<(), BadBody> {
        self.put(octets, None, out)
    }

    /// Ends the message, with a line end if it has none.
    ///
    /// # Errors
    /// [`BadBody`] if the message ends with a CR that is not to be normalised, or was to be given up before.
    //= 5321-4.1.1.4-1, 5321-4.1.1.4-2
    pub fn finish(self, out: &mut BytesMut) -> Result<(), BadBody> {
        self.end(out)
    }

    /// Writes `octets`; out of `shared`, which has the same octets, if there is one.
    pub(crate) fn put(&mut self, octets: &[u8], shared: Option<&Bytes>, out: &mut impl Sink) -> Result<(), BadBody> {
        let dots = self.dots;
        let mut done = 0;
        self.stuffer.parts(octets, |part| match (part, shared) {
            (Part::Given(given), shared) => {
                // One part ends with the dot that the next begins with.
                let given = if dots { given } else { given.start.max(done)..given.end };
                done = given.end;
                match shared {
                    _ if given.is_empty() => {}
                    Some(shared) => out.put_shared(shared.slice(given)),
                    None => out.put(&octets[given]),
                }
            }
            (Part::Added(added), _) => out.put(added),
        });
        self.stuffer.flaw().map_or(Ok(()), |flaw| Err(BadBody::new(flaw, usize::MAX)))
    }

    pub(crate) fn end(self, out: &mut impl Sink) -> Result<(), BadBody> {
        let end = self.stuffer.end().map_err(|flaw| BadBody::new(flaw, usize::MAX))?;
        out.put(if self.dots { end } else { end.strip_suffix(b".\r\n").unwrap_or(end) });
        Ok(())
    }
}
