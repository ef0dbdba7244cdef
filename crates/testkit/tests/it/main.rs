//! The test kit itself: does it notice what is wrong?

mod call;
mod echo;
mod fuzz;
mod pair;
mod talks;
