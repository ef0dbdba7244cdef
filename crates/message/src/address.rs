//! Address lists (RFC 5322, 3.4 and 4.4), as ENVELOPE wants them: names and addresses apart, encoded words left alone.

use std::borrow::Cow;

use postrider_imap::wire::Address;

use crate::header::set_of;

/// Reads an unfolded list of addresses and gives each, group marks included, to `found` until that says no more.
/// Linear, without recursion, and nothing is an error: what cannot be an address becomes a mailbox without a host
/// (an empty one: NIL would mark a group), empty places between commas are passed over.
///
/// Quoted strings are given without their quotes, the local part included. A comment is the name of an address that has
/// no other (`joe@example.com (Joe)`).
pub(crate) fn read(list: &[u8], mut found: impl FnMut(Address<'_>) -> bool) {
    let mut octets = Octets { list, at: 0 };
    let mut one = One::default();
    let mut in_group = false;
    while let Some(octet) = octets.next() {
        let more = match octet {
            b' ' | b'\t' => {
                one.space = true;
                true
            }
            b'(' => {
                let comment = octets.comment();
                one.comment.get_or_insert(comment);
                one.space = true;
                true
            }
            b'"' => {
                let text = octets.quoted();
                one.word(&text, true);
                true
            }
            b'<' => {
                let inside = octets.angle();
                one.angle(&inside);
                true
            }
            b',' => one.finish(&mut found),
            b';' => {
                let more = one.finish(&mut found);
                let ends = std::mem::take(&mut in_group);
                more && (!ends || found(Address::default()))
            }
            b':' if !in_group && one.at.is_none() && one.spec.is_none() => {
                in_group = true;
                let name = std::mem::take(&mut one).phrase;
                found(Address { mailbox: Some(name.into()), ..Address::default() })
            }
            b'@' if one.spec.is_none() => {
                one.at.get_or_insert_with(Vec::new);
                one.space = false;
                true
            }
            b'[' if one.at.is_some() => {
                let literal = octets.literal();
                one.word(literal, false);
                true
            }
            _ => {
                octets.at -= 1;
                let atom = octets.atom();
                one.word(atom, false);
                true
            }
        };
        if !more {
            return;
        }
    }
    if one.finish(&mut found) && in_group {
        found(Address::default());
    }
}

/// One address as far as it has been read.
#[derive(Default)]
struct One {
    /// The words as a display name.
    phrase: Vec<u8>,
    /// The words as a local part: no space around dots.
    local: Vec<u8>,
    /// The domain, from the first `@` outside of angle brackets on.
    at: Option<Vec<u8>>,
    /// Route, local part and domain out of angle brackets.
    spec: Option<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    comment: Option<Vec<u8>>,
    /// There was space since the last word.
    space: bool,
}

impl One {
    fn word(&mut self, word: &[u8], quoted: bool) {
        if self.spec.is_some() {
            return;
        }
        let space = std::mem::take(&mut self.space);
        if let Some(domain) = &mut self.at {
            // Space inside a domain is legal only around dots; a word behind it is nothing.
            if !space || domain.is_empty() || domain.ends_with(b".") || word.starts_with(b".") {
                domain.extend_from_slice(word);
            }
            return;
        }
        if space && !self.phrase.is_empty() {
            self.phrase.push(b' ');
        }
        self.phrase.extend_from_slice(word);
        if space && !quoted && !self.local.is_empty() && !self.local.ends_with(b".") && !word.starts_with(b".") {
            self.local.push(b' ');
        }
        self.local.extend_from_slice(word);
    }

    /// What stood between `<` and `>`: a route perhaps, and an address.
    fn angle(&mut self, inside: &[u8]) {
        if self.spec.is_some() {
            return;
        }
        let (mut route, mut rest) = (&[][..], inside.trim_ascii());
        if rest.starts_with(b"@")
            && let Some(colon) = memchr::memchr(b':', rest)
        {
            (route, rest) = (&rest[..colon], &rest[colon + 1..]);
        }
        let mut inner = One::default();
        let mut octets = Octets { list: rest, at: 0 };
        while let Some(octet) = octets.next() {
            match octet {
                b' ' | b'\t' => inner.space = true,
                b'(' => drop(octets.comment()),
                b'"' => inner.word(&octets.quoted(), true),
                b'@' => {
                    inner.at.get_or_insert_with(Vec::new);
                    inner.space = false;
                }
                b'[' if inner.at.is_some() => inner.word(octets.literal(), false),
                b',' | b':' | b';' => inner.word(&[octet], false),
                _ => {
                    octets.at -= 1;
                    inner.word(octets.atom(), false);
                }
            }
        }
        self.spec = Some((route.to_vec(), inner.local, inner.at.unwrap_or_default()));
    }

    /// The address is complete. Gives it to `found` if there is one.
    fn finish(&mut self, found: &mut impl FnMut(Address<'_>) -> bool) -> bool {
        let One { phrase, local, at, spec, comment, .. } = std::mem::take(self);
        let some = |text: Vec<u8>| Some(text).filter(|text| !text.is_empty()).map(Cow::Owned);
        let comment = comment.unwrap_or_default();
        let (name, route, mailbox, host) = match (spec, at) {
            (Some((route, mailbox, host)), _) => {
                (if phrase.is_empty() { comment } else { phrase }, route, mailbox, host)
            }
            (None, Some(host)) => (comment, Vec::new(), local, host),
            (None, None) => (comment, Vec::new(), local, Vec::new()),
        };
        if mailbox.is_empty() && host.is_empty() && name.is_empty() {
            return true;
        }
        let (mailbox, host) = (Some(Cow::Owned(mailbox)), Some(Cow::Owned(host)));
        found(Address { name: some(name), route: some(route), mailbox, host })
    }
}

const ENDS_ATOM: [bool; 256] = set_of(b" \t(\"<,;:@[");

struct Octets<'a> {
    list: &'a [u8],
    at: usize,
}

impl<'a> Octets<'a> {
    fn next(&mut self) -> Option<u8> {
        let octet = self.list.get(self.at).copied();
        self.at += 1;
        octet
    }

    /// The rest of a quoted string, without quotes and backslashes.
    fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while let Some(octet) = self.next() {
            match octet {
                b'"' => break,
                b'\\' => text.extend(self.next()),
                other => text.push(other),
            }
        }
        text
    }

    /// The rest of a comment, without the outer parentheses and backslashes.
    fn comment(&mut self) -> Vec<u8> {
        let (mut text, mut depth) = (Vec::new(), 1usize);
        while let Some(octet) = self.next() {
            match octet {
                b'\\' => {
                    text.extend(self.next());
                    continue;
                }
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            text.push(octet);
        }
        text.trim_ascii().to_vec()
    }

    /// Up to the closing angle bracket.
    fn angle(&mut self) -> Vec<u8> {
        let (start, mut quoted) = (self.at, false);
        while let Some(octet) = self.next() {
            match octet {
                b'\\' if quoted => drop(self.next()),
                b'"' => quoted = !quoted,
                b'>' if !quoted => return self.list[start..self.at - 1].to_vec(),
                _ => {}
            }
        }
        self.list[start..].to_vec()
    }

    /// A domain literal, its brackets included.
    fn literal(&mut self) -> &'a [u8] {
        let start = self.at - 1;
        let end = memchr::memchr(b']', &self.list[start..]).map_or(self.list.len(), |end| start + end + 1);
        self.at = end;
        &self.list[start..end]
    }

    /// Octets up to the next one that means something. Takes at least one.
    fn atom(&mut self) -> &'a [u8] {
        let start = self.at;
        let length = self.list[start + 1..].iter().take_while(|&&b| !ENDS_ATOM[usize::from(b)]).count();
        self.at = start + 1 + length;
        &self.list[start..self.at]
    }
}
