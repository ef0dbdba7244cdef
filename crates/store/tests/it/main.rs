//! The store, tested through its public interface.

mod behaviour;
mod broken_disk;
mod crash;
mod embedded;
mod kill;
mod values;
