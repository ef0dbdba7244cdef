//! SASL mechanisms as step machines, client and server halves, without I/O.
