//! SMTP and POP3.

use std::fmt::Write;

use crate::{DOMAINS, Dice, NAMES, WORDS, text};

/// So many commands, each with its CRLF: EHLO now and then, and MAIL, some RCPT, RSET.
pub fn smtp_commands(count: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice::new(8);
    let mut commands = Vec::with_capacity(count + 8);
    while commands.len() < count {
        let mut add = |command: String| commands.push(command.into_bytes());
        if dice.percent(5) {
            add(format!("EHLO {}\r\n", dice.pick(&["mx1.example.com", "[192.0.2.7]", "relay.example.org"])));
        }
        let name = dice.pick(NAMES).to_lowercase();
        let (number, domain) = (dice.within(0, 1000), dice.pick(DOMAINS));
        let dsn = if dice.percent(20) { " RET=HDRS ENVID=QQ314159" } else { "" };
        add(format!("MAIL FROM:<{name}.{number}@{domain}> SIZE={} BODY=8BITMIME{dsn}\r\n", dice.within(0, 1 << 24)));
        for _ in 0..dice.within(1, 6) {
            let (name, tag, domain) = (dice.pick(NAMES).to_lowercase(), dice.pick(WORDS), dice.pick(DOMAINS));
            let dsn = if dice.percent(20) { " NOTIFY=FAILURE,DELAY" } else { "" };
            add(format!("RCPT TO:<{name}+{tag}@{domain}>{dsn}\r\n"));
        }
        add("RSET\r\n".to_owned());
    }
    commands
}

/// The reply to an EHLO.
pub fn smtp_ehlo() -> &'static str {
    "250-mx1.example.com at your service, [192.0.2.1]\r\n250-SIZE 157286400\r\n250-8BITMIME\r\n250-STARTTLS\r\n\
     250-AUTH PLAIN LOGIN XOAUTH2\r\n250-ENHANCEDSTATUSCODES\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-DSN\r\n\
     250 SMTPUTF8\r\n"
}

/// So many replies in one stream: EHLO's, with enhanced codes, of one line and of several.
pub fn smtp_replies(count: usize) -> Vec<u8> {
    let mut dice = Dice::new(10);
    let mut out = String::new();
    for _ in 0..count {
        match dice.within(0, 10) {
            0 | 1 => out.push_str(smtp_ehlo()),
            2..=5 => write!(out, "250 2.1.{} OK {:x} - accepted\r\n", dice.within(0, 6), dice.bits())
                .expect("writing to a string"),
            6 => out.push_str("354 Go ahead\r\n"),
            7 => out.push_str(
                "550-5.1.1 The account that you tried to reach does not exist. Please try\r\n\
                 550-5.1.1 double-checking the address for typos or\r\n550 5.1.1 unnecessary spaces.\r\n",
            ),
            8 => out.push_str("451 4.7.1 Try again later\r\n"),
            _ => out.push_str("250 2.0.0 Ok: queued\r\n"),
        }
    }
    out.into_bytes()
}

/// A message of about `size` octets as DATA sends it, with the last dot; `dots` of a thousand lines begin with one.
pub fn smtp_data(size: usize, dots: u64) -> Vec<u8> {
    let mut data = Vec::with_capacity(size + size / 20);
    for line in text(11, size, dots).split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b".") {
            data.push(b'.');
        }
        data.extend_from_slice(line);
    }
    data.extend_from_slice(b".\r\n");
    data
}

/// The lines of a LIST of so many messages, with CRLF, without status line and dot.
pub fn pop3_list(count: usize) -> Vec<u8> {
    let mut dice = Dice::new(12);
    let lines = (1..=count).map(|number| format!("{number} {}\r\n", dice.within(500, 5_000_000)));
    lines.collect::<String>().into_bytes()
}

/// The lines of a UIDL in the same way.
pub fn pop3_uidl(count: usize) -> Vec<u8> {
    let mut dice = Dice::new(13);
    let lines = (1..=count).map(|number| format!("{number} {:016x}{:08x}\r\n", dice.bits(), dice.within(0, 1 << 32)));
    lines.collect::<String>().into_bytes()
}
