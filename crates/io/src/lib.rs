//! One driver for any postrider session: blocking, tokio, rustls.
