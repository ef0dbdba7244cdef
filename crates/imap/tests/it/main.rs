//! Tests of the crate as its users see it.

mod interop;
mod wire_limits;
mod wire_properties;
