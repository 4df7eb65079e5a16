//! Firehose's prefix expressions: parsed once, then used to read paths and to write partition values.

/// A parsed expression such as `!{timestamp:yyyy/MM/dd/HH}/`.
#[derive(Debug, Clone)]
pub struct Prefix {}
