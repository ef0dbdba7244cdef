//! IMAP4rev1 and IMAP4rev2: wire format, client and server state machines, without I/O.
