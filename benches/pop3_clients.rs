//! POP3 clients beside each other, with one server that says what it must and no more.

mod work;

fn main() {
    // A second and more is what some of it takes, each time.
    work::clock_samples(&work::pop3_clients::GROUPS, 10);
}
