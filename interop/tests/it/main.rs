//! Our programs and other people's, talking to each other.

mod peers;
