//! SMTP beside smtp-proto and lettre.

mod work;

fn main() {
    work::clock(&work::smtp::GROUPS);
}
