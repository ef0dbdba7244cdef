//! Responses from the link, one step at a time. Large literals are handed out as they come; everything else is
//! read when it is whole.

use bytes::Bytes;
use postrider_core::{Excerpt, Link, ParseError, ProtocolError};

use super::config::Limits;
use crate::wire::{
    Begin, Cursor, Data, FetchItem, FetchReader, FetchStep, Frame, FrameError, Framer, Raw, Response, Section, begin,
};

/// Something that was read.
#[derive(Debug)]
pub(super) enum Read {
    Response(Response),
    FetchStart { number: u32 },
    FetchItem(FetchItem),
    BodyStart { section: Section, binary: bool, origin: Option<u64>, size: u64 },
    Body(Bytes),
    BodyEnd,
    FetchEnd,
}

#[derive(Debug)]
pub(super) struct Reader {
    framer: Framer,
    inline: u64,
    now: Now,
    /// Continuation requests are SASL challenges, which are not shown.
    pub(super) challenges_are_secret: bool,
}

#[derive(Debug)]
enum Now {
    /// A response is to begin.
    Response,
    /// Items of a FETCH; if `announces`, the octets of a literal follow after what the reader has.
    Items { reader: FetchReader, announces: bool },
    /// Octets of an item, after which the FETCH goes on.
    Body { reader: FetchReader, ended: bool },
    /// After them, what is left of the FETCH is still to come.
    Rest(FetchReader),
    /// Everything up to the end of the response is of no use. If it is a FETCH, its end is reported.
    Nothing { fetch: bool },
}

impl Reader {
    pub(super) fn new(limits: &Limits) -> Self {
        let framer = Framer::responses(limits.response);
        Self { framer, inline: limits.inline, now: Now::Response, challenges_are_secret: false }
    }

    /// Whether a response has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        !matches!(self.now, Now::Response)
    }

    /// The next thing, or `None` if more must come first.
    pub(super) fn next(&mut self, link: &mut Link, utf8: bool) -> Result<Option<Read>, ProtocolError> {
        loop {
            if let Now::Items { reader, announces } = &mut self.now {
                match reader.next() {
                    FetchStep::Item(item) => return Ok(Some(Read::FetchItem(item))),
                    FetchStep::Literal { section, binary, origin, size } => {
                        self.framer.stream();
                        self.turn(|reader| Now::Body { reader, ended: false });
                        return Ok(Some(Read::BodyStart { section, binary, origin, size }));
                    }
                    FetchStep::Useless => {
                        self.framer.stream();
                        self.now = Now::Nothing { fetch: true };
                    }
                    // It ends, and yet a literal follows: that belongs to nothing.
                    FetchStep::End if *announces => {
                        self.framer.stream();
                        self.now = Now::Nothing { fetch: true };
                    }
                    FetchStep::End => {
                        self.now = Now::Response;
                        return Ok(Some(Read::FetchEnd));
                    }
                }
                continue;
            }
            if let Now::Body { ended: true, .. } = self.now {
                self.turn(Now::Rest);
                return Ok(Some(Read::BodyEnd));
            }
            match self.framer.next(link.input()).map_err(too_much)? {
                Frame::More => return Ok(None),
                Frame::Unit { len, end } => {
                    let mut unit = link.take(len + end);
                    unit.truncate(len);
                    if let Some(read) = self.unit(unit, false, link, utf8) {
                        return Ok(Some(read));
                    }
                }
                Frame::Literal(announced) => {
                    let useless = matches!(self.now, Now::Nothing { .. });
                    if !useless && announced.size <= self.inline && self.framer.inline() {
                        continue;
                    }
                    let unit = link.take(announced.len);
                    if useless {
                        self.framer.stream();
                    } else if let Some(read) = self.unit(unit, true, link, utf8) {
                        return Ok(Some(read));
                    }
                }
                Frame::Octets { len, last } => {
                    let octets = link.take(len);
                    link.trace_octets_in(len as u64);
                    if let Now::Body { ended, .. } = &mut self.now {
                        *ended = last;
                        if len > 0 {
                            return Ok(Some(Read::Body(octets)));
                        }
                    }
                }
            }
        }
    }

    /// Goes from items to a body and back, with the same reader.
    fn turn(&mut self, to: impl FnOnce(FetchReader) -> Now) {
        self.now = match core::mem::replace(&mut self.now, Now::Response) {
            Now::Items { reader, .. } | Now::Body { reader, .. } | Now::Rest(reader) => to(reader),
            Now::Response | Now::Nothing { .. } => unreachable!("only a FETCH has a reader"),
        };
    }

    /// A unit has come, or the part of one before or between streamed literals.
    fn unit(&mut self, unit: Bytes, announces: bool, link: &mut Link, utf8: bool) -> Option<Read> {
        if link.is_tapped() {
            let secret = self.challenges_are_secret && unit.first() == Some(&b'+');
            link.trace_in(&unit, secret.then_some(1));
        }
        match core::mem::replace(&mut self.now, Now::Response) {
            Now::Response => self.first(unit, announces, utf8),
            Now::Rest(mut reader) => {
                reader.resume(unit, announces);
                self.now = Now::Items { reader, announces };
                None
            }
            Now::Nothing { fetch } => fetch.then_some(Read::FetchEnd),
            Now::Items { .. } | Now::Body { .. } => unreachable!("their units were taken already"),
        }
    }

    fn first(&mut self, unit: Bytes, announces: bool, utf8: bool) -> Option<Read> {
        let begun = begin(&mut Cursor::new(&unit, utf8, true));
        match begun {
            Begin::Fetch { number, at } => {
                let reader = FetchReader::new(unit, at, utf8, announces);
                self.now = Now::Items { reader, announces };
                Some(Read::FetchStart { number })
            }
            Begin::Other(response) if !announces => Some(Read::Response(response)),
            Begin::Other(_) => {
                // Only the literals of a FETCH may be so large.
                self.framer.stream();
                self.now = Now::Nothing { fetch: false };
                let why = ParseError { at: unit.len(), expected: "a literal within the limit" };
                Some(Read::Response(Response::Data(Data::Raw(Raw { bytes: unit, why }))))
            }
        }
    }
}

fn too_much(error: FrameError) -> ProtocolError {
    match error {
        FrameError::TooLong(limit) => ProtocolError::TooMuch { what: "octets in a response", limit: limit as u64 },
        FrameError::TooManyLiterals(limit) => {
            ProtocolError::TooMuch { what: "literals in a response", limit: u64::from(limit) }
        }
        FrameError::LiteralSize => {
            ProtocolError::Unexpected { what: "a literal of 2^63 octets or more", got: Excerpt::new(b"") }
        }
    }
}
