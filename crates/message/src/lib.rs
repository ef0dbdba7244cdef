//! What IMAP must know of a message: ENVELOPE, BODYSTRUCTURE, sections, search matching.
