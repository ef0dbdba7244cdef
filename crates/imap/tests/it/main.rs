//! Tests of the crate as its users see it.

mod client;
mod client_properties;
mod interop;
mod pair;
mod sasl;
mod server_dialogue;
mod server_memory;
mod server_sessions;
mod server_talks;
mod wire_limits;
mod wire_properties;
