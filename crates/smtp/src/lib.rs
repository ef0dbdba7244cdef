//! SMTP, submission and LMTP: wire format, client and server state machines, without I/O.
