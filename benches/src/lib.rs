//! Wire parsers beside their peers, same input, one run.
