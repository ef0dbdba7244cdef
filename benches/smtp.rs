//! SMTP beside smtp-proto, lettre and mail-send.

mod work;

fn main() {
    work::clock(&[&work::smtp::GROUPS[..], &work::smtp::LARGE_GROUPS].concat());
}
