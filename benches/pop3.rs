//! POP3 beside a plain copy and what one would write by hand.

mod work;

fn main() {
    work::clock(&work::pop3::GROUPS);
}
