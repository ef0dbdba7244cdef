//! The mechanisms, against the examples of their standards, against rsasl, and against peers that lie.

mod choose;
mod converse;
mod examples;
mod rsasl_peer;
mod scram_cases;
mod tampering;
