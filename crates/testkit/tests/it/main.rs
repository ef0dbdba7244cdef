//! The test kit itself: does it notice what is wrong?

mod echo;
mod pair;
mod talks;
