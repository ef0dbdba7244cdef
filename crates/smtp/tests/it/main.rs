//! The tests of SMTP, one binary.

mod binding;
mod chunking;
mod client_cases;
mod client_extensions;
mod client_talks;
mod converse;
mod costs;
mod data;
mod dialogue;
mod evil;
mod face;
mod least;
mod limits;
mod listed;
mod pair;
mod parameters;
mod proxy;
mod sasl;
mod server_cases;
mod server_extensions;
mod server_talks;
mod smuggling;
mod tls;
mod tokio;
mod wire;
mod wire_extensions;
