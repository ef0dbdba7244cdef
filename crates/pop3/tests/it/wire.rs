//! Parsers: whatever comes, they do not panic, and what is written is read again.

use postrider_core::Text;
use postrider_pop3::wire::{StatusLine, scan_listing, unique_id_listing};
use postrider_pop3::{Capabilities, Command, CommandError, Expire, LoginDelay, UniqueId, Verb};
use postrider_sasl::MechanismName;
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Command::parse(&line);
        let _ = Command::secret_from(&line);
        let _ = StatusLine::parse(&line);
        let _ = scan_listing(&line);
        let _ = unique_id_listing(&line);
        Capabilities::default().learn(&line);
    }

    #[test]
    fn no_line_like_a_command_panics(line in "(USER|PASS|LIST|UIDL|TOP|AUTH|RETR|auth) ?[ -~]{0,20}") {
        if let Ok(command) = Command::parse(line.as_bytes()) {
            let verb = line.split(' ').next().expect("there is a word");
            prop_assert_eq!(command.verb().as_str(), verb.to_ascii_uppercase());
        }
    }

    //= 2449-5-3
    #[test]
    fn capabilities_come_back(
        flags in proptest::collection::vec(any::<bool>(), 8),
        delay in proptest::option::of((any::<u32>(), any::<bool>())),
        expire in proptest::option::of(proptest::option::of(any::<u32>())),
    ) {
        let mut offered = Capabilities::default();
        offered.top = flags[0];
        offered.uidl = flags[1];
        offered.user = flags[2];
        offered.response_codes = flags[3];
        offered.auth_response_code = flags[4];
        offered.pipelining = flags[5];
        offered.stls = flags[6];
        offered.utf8 = flags[7];
        offered.utf8_user = flags[7] && flags[0];
        offered.sasl = if flags[1] { vec![MechanismName::Plain, MechanismName::Login] } else { vec![] };
        offered.login_delay = delay.map(|(seconds, per_user)| LoginDelay { seconds, per_user });
        offered.expire = expire.map(|days| days.map_or(Expire::Never, Expire::Days));
        offered.implementation = flags[3].then_some(Text::literal("some server 1.0"));
        let mut back = Capabilities::default();
        offered.lines(|parts| back.learn(parts.concat().as_bytes()));
        prop_assert_eq!(back, offered);
    }
}

#[test]
fn numbers_that_are_too_large_are_no_message_of_any_maildrop() {
    assert!(matches!(Command::parse(b"RETR 99999999999"), Ok(Command::Retr(u32::MAX))));
    assert!(matches!(Command::parse(b"DELE 0"), Ok(Command::Dele(0))));
    assert!(matches!(
        Command::parse(b"top 1 99999999999999999999999"),
        Ok(Command::Top { message: 1, lines: u64::MAX })
    ));
    assert!(matches!(Command::parse(b"LIST -1"), Err(CommandError::Arguments(Verb::List, _))));
    assert!(matches!(Command::parse(b"RETR 1 2"), Err(CommandError::Arguments(Verb::Retr, _))));
    assert!(matches!(Command::parse(b"LIST  2 "), Ok(Command::List(Some(2)))));
}

#[test]
fn a_password_keeps_its_blanks_and_is_not_printed() {
    let Ok(Command::Pass(password)) = Command::parse(b"PASS  a b ") else { panic!("it is a password") };
    assert!(password.matches(" a b "));
    assert!(!format!("{:?}", Command::parse(b"PASS wonderland")).contains("wonderland"));
    assert_eq!(Command::secret_from(b"pass wonderland"), Some(5));
    assert_eq!(Command::secret_from(b"AUTH PLAIN AGEAYg=="), Some(11));
    assert_eq!(Command::secret_from(b"AUTH PLAIN"), None);
    assert_eq!(Command::secret_from(b"RETR 1"), None);
}

//= 1939-7-2
#[test]
fn unique_ids_are_printable_and_short() {
    assert!(UniqueId::new(&"x".repeat(70)).is_ok());
    for bad in ["", "a b", "a\r", "é", &"x".repeat(71)] {
        assert!(UniqueId::new(bad).is_err(), "{bad:?}");
    }
}
