//! POP3, from outside: transcripts against both sides, both against each other, and what no transcript reaches.

mod client;
mod costs;
mod dialogue;
mod evil;
mod listed;
mod pair;
mod sasl;
mod server;
mod tokio;
mod wire;
