//! The query engines: DataFusion, set up so that a query stays within what the configuration allows, and Athena.

pub mod athena;
mod functions;
pub mod local;

use std::path::PathBuf;

/// What a query may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Hard cap for its buffers, bytes.
    pub memory: u64,
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Folder for what does not fit; made if it is missing, and left empty.
    pub spill: PathBuf,
}
