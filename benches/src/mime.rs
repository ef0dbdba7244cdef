//! Texts and MIME messages.

use std::fmt::Write;

use crate::{DOMAINS, Dice, FAMILIES, NAMES, WORDS, date, subject};

/// Lines of words with CRLF, of about `size` octets in all; `dots` of a thousand lines begin with a dot.
pub fn text(seed: u64, size: usize, dots: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut text = Vec::with_capacity(size + 100);
    while text.len() < size {
        let end = text.len() + dice.within(20, 77) as usize;
        if dice.within(0, 1000) < dots {
            text.push(b'.');
        }
        while text.len() < end {
            text.extend_from_slice(dice.pick(WORDS).as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// A message as people send it: Received and signature, a text in plain and HTML, and attachments in base64 until it
/// has about `size` octets.
pub fn mime_message(seed: u64, size: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut out = header(&mut dice);
    let (outer, inner) = (format!("----=_Part_{:x}", dice.bits()), format!("----=_Part_{:x}", dice.bits()));
    write!(
        out,
        "Content-Type: multipart/mixed;\r\n\tboundary=\"{outer}\"\r\n\r\nThis is a multi-part message.\r\n--{outer}\r\n\
         Content-Type: multipart/alternative; boundary=\"{inner}\"\r\n\r\n--{inner}\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{}\r\n--{inner}\r\n\
         Content-Type: text/html; charset=\"iso-8859-1\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        String::from_utf8_lossy(&text(dice.bits(), 1500, 2)),
    )
    .expect("writing to a string");
    for _ in 0..40 {
        let (class, a, b) = (dice.pick(WORDS), dice.pick(WORDS), dice.pick(WORDS));
        write!(out, "<p class=3D\"{class}\">{a} caf=E9 {b} =\r\n{a}</p>\r\n").expect("writing to a string");
    }
    write!(out, "\r\n--{inner}--\r\n").expect("writing to a string");
    while out.len() < size {
        let (name, number) = (dice.pick(WORDS), dice.within(0, 99));
        write!(
            out,
            "--{outer}\r\nContent-Type: application/pdf;\r\n\tname=\"{name}-{number}.pdf\"\r\nContent-Disposition: \
             attachment;\r\n\tfilename*=utf-8''{name}%20{number}.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        )
        .expect("writing to a string");
        let lines = ((size.saturating_sub(out.len())) / 78).clamp(20, 4000);
        base64(&mut dice, lines, &mut out);
        out.push_str("\r\n");
    }
    write!(out, "--{outer}--\r\n").expect("writing to a string");
    out.into_bytes()
}

fn base64(dice: &mut Dice, lines: usize, out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for _ in 0..lines {
        for _ in 0..8 {
            let bits = dice.bits();
            let digits = if out.len().is_multiple_of(2) { 10 } else { 9 };
            out.extend((0..digits).map(|i| char::from(DIGITS[(bits >> (6 * i)) as usize & 63])));
        }
        out.push_str("\r\n");
    }
}

fn header(dice: &mut Dice) -> String {
    let mut out = String::new();
    let mailbox = |dice: &mut Dice| {
        let (name, family) = (dice.pick(NAMES), dice.pick(FAMILIES));
        let address = format!("{}.{}@{}", name.to_lowercase(), dice.within(0, 1000), dice.pick(DOMAINS));
        match dice.within(0, 6) {
            0 => address,
            1 => format!("=?utf-8?q?Andr=C3=A9?= {family} <{address}>"),
            2 => format!("\"{family}, {name}\" <{address}>"),
            _ => format!("{name} {family} <{address}>"),
        }
    };
    for hop in 0..3 {
        let (from, by) = (dice.pick(DOMAINS), dice.pick(DOMAINS));
        write!(
            out,
            "Received: from mx{hop}.{from} (mx{hop}.{from} [192.0.2.{}])\r\n\tby relay.{by} with ESMTPS id {:X}\r\n\t\
             for <{}@{by}>; {}\r\n",
            dice.within(0, 255),
            dice.bits(),
            dice.pick(WORDS),
            date(dice)
        )
        .expect("writing to a string");
    }
    write!(out, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={}; s=s1;\r\n", dice.pick(DOMAINS))
        .and_then(|()| {
            write!(out, "\th=from:to:subject:date; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\tb=")
        })
        .expect("writing to a string");
    for _ in 0..16 {
        write!(out, "{:016x}", dice.bits()).expect("writing to a string");
    }
    let (from, to, cc) = (mailbox(dice), mailbox(dice), mailbox(dice));
    write!(
        out,
        "\r\nFrom: {from}\r\nTo: {to},\r\n\t{}\r\nCc: {cc}\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: <{:x}@{}>\r\n\
         In-Reply-To: <{:x}@example.org>\r\nReferences: <{:x}@example.org>\r\n\t<{:x}@example.org>\r\nMIME-Version: 1.0\r\n",
        mailbox(dice),
        subject(dice),
        date(dice),
        dice.bits(),
        dice.pick(DOMAINS),
        dice.bits(),
        dice.bits(),
        dice.bits(),
    )
    .expect("writing to a string");
    out
}
