//! IMAP commands and responses.

use std::fmt::Write;

use crate::{DOMAINS, Dice, FAMILIES, MONTHS, NAMES, WORDS, date, subject, text};

/// So many responses `* n FETCH (UID u FLAGS (...))`.
pub fn imap_flags(count: usize) -> Vec<u8> {
    let mut dice = Dice::new(1);
    let (mut out, mut uid) = (String::new(), 1000);
    for number in 1..=count {
        uid += dice.within(1, 9);
        let mut flags = Vec::new();
        for (flag, percent) in [("\\Seen", 80), ("\\Answered", 25), ("\\Flagged", 8), ("$Forwarded", 5), ("NonJunk", 5)]
        {
            if dice.percent(percent) {
                flags.push(flag);
            }
        }
        write!(out, "* {number} FETCH (UID {uid} FLAGS ({}))\r\n", flags.join(" ")).expect("writing to a string");
    }
    out.into_bytes()
}

/// So many responses with ENVELOPE and BODYSTRUCTURE, as a client asks for them to show a list of messages.
pub fn imap_envelopes(count: usize) -> Vec<u8> {
    let mut dice = Dice::new(2);
    let mut out = String::new();
    for number in 1..=count {
        let (day, month, year) = (dice.within(1, 29), dice.pick(MONTHS), dice.within(1998, 2027));
        write!(
            out,
            "* {number} FETCH (UID {} FLAGS (\\Seen) INTERNALDATE \"{day:2}-{month}-{year} 10:11:12 +0200\" RFC822.SIZE {} \
             ENVELOPE {} BODYSTRUCTURE {})\r\n",
            5000 + number,
            dice.within(100, 1 << 24),
            envelope(&mut dice),
            body(&mut dice)
        )
        .expect("writing to a string");
    }
    out.into_bytes()
}

fn addresses(dice: &mut Dice, at_most: u64) -> String {
    let mut list = String::from("(");
    for _ in 0..dice.within(1, at_most + 1) {
        let (name, family, domain) = (dice.pick(NAMES), dice.pick(FAMILIES), dice.pick(DOMAINS));
        let number = dice.within(0, 1000);
        write!(list, "(\"{name} {family}\" NIL \"{}.{number}\" \"{domain}\")", name.to_lowercase())
            .expect("writing to a string");
    }
    list + ")"
}

fn envelope(dice: &mut Dice) -> String {
    let (date, subject) = (date(dice), subject(dice));
    let (from, to) = (addresses(dice, 1), addresses(dice, 6));
    let cc = if dice.percent(60) { "NIL".to_owned() } else { addresses(dice, 10) };
    let (reply, id) = (dice.bits(), dice.bits());
    format!(
        "(\"{date}\" \"{subject}\" {from} {from} {from} {to} {cc} NIL \"<{reply:x}@example.org>\" \"<{id:x}@example.com>\")"
    )
}

fn body(dice: &mut Dice) -> String {
    let text = |dice: &mut Dice, subtype: &str| {
        let (octets, lines) = (dice.within(100, 60_000), dice.within(1, 900));
        format!(
            "(\"TEXT\" \"{subtype}\" (\"CHARSET\" \"utf-8\" \"FORMAT\" \"flowed\") NIL NIL \"QUOTED-PRINTABLE\" {octets} \
             {lines} NIL NIL NIL NIL)"
        )
    };
    if dice.percent(30) {
        return text(dice, "PLAIN");
    }
    let boundary = |dice: &mut Dice| format!("(\"BOUNDARY\" \"----=_Part_{:x}\")", dice.bits());
    let (plain, html, inner) = (text(dice, "PLAIN"), text(dice, "HTML"), boundary(dice));
    let alternative = format!("({plain}{html} \"ALTERNATIVE\" {inner} NIL NIL NIL)");
    let mut parts = alternative;
    for _ in 0..dice.within(0, 4) {
        let (name, number, octets) = (dice.pick(WORDS), dice.within(0, 99), dice.within(1000, 9_000_000));
        write!(
            parts,
            "(\"APPLICATION\" \"PDF\" (\"NAME\" \"{name}-{number}.pdf\") \"<{:x}@cid>\" NIL \"BASE64\" {octets} NIL \
             (\"ATTACHMENT\" (\"FILENAME\" \"{name}-{number}.pdf\" \"SIZE\" \"{octets}\")) NIL NIL)",
            dice.bits()
        )
        .expect("writing to a string");
    }
    format!("({parts} \"MIXED\" {} NIL (\"en\" \"de\") NIL)", boundary(dice))
}

/// A SEARCH response with so many numbers.
pub fn imap_search(count: usize) -> Vec<u8> {
    let mut dice = Dice::new(4);
    let (mut out, mut number) = (String::from("* SEARCH"), 1);
    for _ in 0..count {
        number += dice.within(1, 30);
        write!(out, " {number}").expect("writing to a string");
    }
    (out + "\r\n").into_bytes()
}

/// So many LIST responses: names as atoms, quoted, and in modified UTF-7.
pub fn imap_list(count: usize) -> Vec<u8> {
    let mut dice = Dice::new(6);
    let mut out = String::new();
    for number in 0..count {
        let attributes = dice.pick(&["\\HasChildren", "\\Noselect \\HasChildren", "\\HasNoChildren", ""]);
        let name = match dice.within(0, 4) {
            0 => format!("Lists/{}-{number}", dice.pick(WORDS)),
            1 => format!("\"Archive/{} {}/{number}\"", dice.pick(WORDS), dice.pick(WORDS)),
            2 => format!("\"Entw&APw-rfe/{number}/&U,BTFw-\""),
            _ => format!("\"INBOX/{}/{}/{number}\"", dice.pick(FAMILIES), dice.pick(WORDS)),
        };
        write!(out, "* LIST ({attributes}) \"/\" {name}\r\n").expect("writing to a string");
    }
    out.into_bytes()
}

/// So many commands as clients send them, each with its CRLF; APPEND is left out, which servers take in two steps.
pub fn imap_commands(count: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice::new(7);
    let set = |dice: &mut Dice| {
        let start = dice.within(1, 90_000);
        match dice.within(0, 4) {
            0 => format!("{start}"),
            1 => format!("{start}:{}", start + dice.within(1, 500)),
            2 => format!("{start}:*"),
            _ => {
                let numbers = (1..dice.within(4, 20)).map(|i| (start + 3 * i).to_string());
                numbers.collect::<Vec<_>>().join(",")
            }
        }
    };
    let command = |(number, dice): (usize, &mut Dice)| {
        let (uids, word) = (set(dice), dice.pick(WORDS));
        let command = match dice.within(0, 100) {
            0..=5 => "NOOP".to_owned(),
            6..=9 => "LOGIN \"user@example.com\" \"s3cr et\\\"x\"".to_owned(),
            10..=15 => format!("SELECT \"Archive/{word} {}\"", dice.within(1990, 2030)),
            16..=20 => format!("STATUS \"Lists/{word}\" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"),
            21..=24 => "LIST \"\" \"*\"".to_owned(),
            25..=44 => format!(
                "UID FETCH {uids} (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-ID \
                 References Content-Type)])"
            ),
            45..=54 => format!("FETCH {uids} (FLAGS INTERNALDATE ENVELOPE BODYSTRUCTURE)"),
            55..=62 => format!("UID FETCH {uids} (BODY.PEEK[1.2.MIME] BODY.PEEK[1.2]<0.65536>)"),
            63..=72 => {
                format!(
                    "UID STORE {uids} {}FLAGS{} (\\Seen $Forwarded)",
                    dice.pick(&["+", "-", ""]),
                    dice.pick(&["", ".SILENT"])
                )
            }
            73..=80 => format!(
                "UID SEARCH UNSEEN SINCE {}-{}-{} FROM \"{word}\" NOT DELETED OR SUBJECT \"{word} x\" (LARGER {} UID {uids})",
                dice.within(1, 29),
                dice.pick(MONTHS),
                dice.within(2000, 2027),
                dice.within(0, 1 << 20)
            ),
            81..=88 => format!("UID COPY {uids} \"Archive/{}\"", dice.within(2000, 2027)),
            89..=92 => format!("CREATE \"Archive/{word}/{}\"", dice.within(0, 99)),
            93..=95 => format!("SUBSCRIBE Lists/{word}"),
            96..=97 => "EXPUNGE".to_owned(),
            _ => "CLOSE".to_owned(),
        };
        format!("a{number:05} {command}\r\n").into_bytes()
    };
    (0..count).map(|number| command((number, &mut dice))).collect()
}

/// A FETCH response with a message of about `size` octets as a literal.
pub fn imap_literal(size: usize) -> Vec<u8> {
    let body = text(3, size, 5);
    let start = format!("* 1 FETCH (UID 7 FLAGS (\\Seen) BODY[] {{{}}}\r\n", body.len());
    [start.as_bytes(), &body, b")\r\n"].concat()
}
