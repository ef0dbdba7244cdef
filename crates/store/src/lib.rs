//! Mailboxes and queue, durable: traits and the embedded engine.
