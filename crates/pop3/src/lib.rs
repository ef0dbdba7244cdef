//! POP3: wire format, client and server state machines, without I/O.
