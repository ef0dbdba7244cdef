//! How the parts behave, from outside.

mod classify;
mod delivery;
mod dns;
mod dsn;
mod mx;
mod resolver_over_sockets;
mod retry;
mod simulation;
