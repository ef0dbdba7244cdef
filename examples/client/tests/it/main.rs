//! The program itself, as a user starts it.

mod usage;
