//! The MTA's routing: MX order, retry, DNS questions, delivery reports, without I/O.
