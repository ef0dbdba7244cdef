//! The cache form of a structure.

use postrider_message::{Structure, scan};

const MESSAGE: &[u8] =
    b"From: A <a@x>\r\nSender: b@x\r\nTo: g: c@x;\r\nDate: now\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: message/rfc822\r\nContent-Disposition: inline; filename=x\r\nContent-Language: en, de\r\n\r\n\
    Subject: inner\r\n\r\nhello\r\n--b\r\nContent-ID: <x>\r\n\r\nthere\r\n--b--\r\n";

#[test]
fn it_is_read_as_it_was_written() {
    let structure = scan(MESSAGE);
    let cache = structure.to_cache();
    assert_eq!(Structure::from_cache(&cache), Some(structure));
    assert!(cache.len() < 400, "{} octets", cache.len());
}

#[test]
fn another_version_is_not_read() {
    let mut cache = scan(MESSAGE).to_cache();
    cache[0] += 1;
    assert_eq!(Structure::from_cache(&cache), None);
    assert_eq!(Structure::from_cache(&[]), None);
}

#[test]
fn a_cut_one_is_not_read() {
    let cache = scan(MESSAGE).to_cache();
    for end in 0..cache.len() {
        assert_eq!(Structure::from_cache(&cache[..end]), None, "cut at {end}");
    }
    assert_eq!(Structure::from_cache(&[&cache[..], b"x"].concat()), None);
}

#[test]
fn a_damaged_one_is_refused_or_usable() {
    let cache = scan(MESSAGE).to_cache();
    let mut usable = 0;
    for at in 0..cache.len() {
        for bit in 0..8 {
            let mut damaged = cache.clone();
            damaged[at] ^= 1 << bit;
            if let Some(structure) = Structure::from_cache(&damaged) {
                usable += 1;
                postrider_message::body_structure(&structure, true);
                assert!(structure.parts().iter().all(|part| part.body.end <= structure.size()));
                assert!((1..9).all(|n| structure.find(&[n, n]).is_none_or(|at| at < structure.parts().len())));
            }
        }
    }
    assert!(usable > 0, "letters of strings may change");
}
