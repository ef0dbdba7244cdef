//! Promises about the workspace that no single crate can check.

mod dependencies;
