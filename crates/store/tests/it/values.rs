//! The small types: sets of UIDs, flags, mailbox names.

use std::collections::BTreeSet;

use postrider_store::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_uid_set_is_a_set(uids in prop::collection::vec(0u32..60, 0..40), late in prop::collection::vec(0u32..60, 0..5)) {
        let mut set: UidSet = uids.iter().copied().collect();
        let mut model: BTreeSet<u32> = uids.into_iter().filter(|&uid| uid > 0).collect();
        for uid in late {
            set.insert(uid);
            if uid > 0 {
                model.insert(uid);
            }
        }
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(set.len(), model.len() as u64);
        for uid in 0..70 {
            prop_assert_eq!(set.contains(uid), model.contains(&uid));
        }
        let ranges: Vec<_> = set.ranges().collect();
        prop_assert!(ranges.windows(2).all(|w| w[0].end() + 1 < *w[1].start()));
    }

    #[test]
    fn names_are_canonical(text in "(INBOX|inbox|a|/|é|[[:cntrl:]]){0,6}") {
        if let Ok(name) = MailboxName::new(&text) {
            prop_assert_eq!(&MailboxName::new(name.as_str()), &Ok(name.clone()));
            prop_assert!(!name.as_str().chars().any(char::is_control));
            prop_assert!(name.as_str().split('/').all(|level| !level.is_empty()));
        }
    }
}

#[test]
fn inbox_has_one_spelling() {
    for (text, canonical) in
        [("inbox", "INBOX"), ("InBox/x", "INBOX/x"), ("inboxes", "inboxes"), ("a/inbox", "a/inbox")]
    {
        assert_eq!(MailboxName::new(text).expect(text).as_str(), canonical);
    }
    for (text, why) in [
        ("", BadName::EmptyLevel),
        ("/a", BadName::EmptyLevel),
        ("a/", BadName::EmptyLevel),
        ("a//b", BadName::EmptyLevel),
        ("a\0b", BadName::Control),
        ("a\r\nb", BadName::Control),
    ] {
        assert_eq!(MailboxName::new(text), Err(why), "{text:?}");
    }
    assert_eq!(MailboxName::new(&"x".repeat(1001)), Err(BadName::TooLong));
    assert_eq!(MailboxName::new(&"a/".repeat(40)), Err(BadName::TooLong));
}

#[test]
fn keywords_ignore_case() {
    let flags = Flags::parse(["$Junk", "\\seen", "$JUNK", "b"]).expect("flags");
    assert_eq!(flags.names().collect::<Vec<_>>(), ["\\Seen", "$Junk", "b"]);
    assert!(flags.contains(&Flags::parse(["$junk"]).expect("flag")));
    assert_eq!(flags.without(&Flags::parse(["$jUNK", "B"]).expect("flags")), Flags::SEEN);
    assert_eq!(flags, Flags::parse(["B", "$junk", "\\SEEN"]).expect("flags"));
    for bad in ["\\Recent", "\\Other", "", "two words", "a(b", "a]"] {
        assert_eq!(Flags::parse([bad]), Err(BadFlag(bad.into())));
    }
}
