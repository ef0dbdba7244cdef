//! The shape of all postrider sessions: Machine, Session, Pending, Link, framing with limits.
