//! How much of a message is understood.

/// Bounds on what is kept of a message while it is scanned. What lies beyond a bound stays part of the message and of
/// its octet ranges; it is only not taken apart any further, and [`Structure::is_whole`](crate::Structure::is_whole)
/// says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Octets of one header block that are parsed. Default 256 KiB.
    pub header: usize,
    /// Octets of all header blocks together that are parsed. Default 2 MiB. It bounds the memory of a scan, too.
    pub headers: usize,
    /// Parts, containers included. Default 1,000.
    pub parts: usize,
    /// Containers (multipart and message) inside one another. Default 32. A container inside more is a leaf.
    pub depth: usize,
    /// Addresses in one ENVELOPE, group marks included. Default 4,096.
    pub addresses: usize,
    /// Parameters of one field, continuations (RFC 2231) counted singly. Default 128.
    pub parameters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header: 256 << 10, headers: 2 << 20, parts: 1000, depth: 32, addresses: 4096, parameters: 128 }
    }
}
