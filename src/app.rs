//! The one place where a configuration becomes the objects that the program works with.

use std::sync::Arc;

use indicatif::ProgressBar;

use crate::catalog::Catalog;
use crate::catalog::local::LocalCatalog;
use crate::clock::Clock;
use crate::config::{CatalogKind, Config, TableConfig};
use crate::error::Result;
use crate::layout::{self, CATALOG_FILE};
use crate::ledger::store::LedgerStore;
use crate::pipeline::Limits;
use crate::store::Root;

/// What the commands work with.
pub struct App {
    /// The configuration it was made from.
    pub config: Config,
    /// The state location.
    pub state: Root,
    /// All ledgers.
    pub ledgers: LedgerStore,
    /// The catalog.
    pub catalog: Arc<dyn Catalog>,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    /// Memory and threads.
    pub limits: Limits,
}

/// What a command does to the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only looks: nothing is created, and a lake that does not exist yet is an empty one.
    Read,
    /// It changes the lake.
    Write,
}

impl App {
    /// Wires the program.
    ///
    /// # Errors
    /// As those who open the state location and the catalog.
    pub fn new(config: Config, access: Access, clock: Arc<dyn Clock>, progress: ProgressBar) -> Result<Self> {
        let folder = config.lake.state.folder();
        // Only "there is none" makes an empty lake; a file in its place, say, is an error.
        let absent = folder.as_ref().is_some_and(|folder| matches!(folder.try_exists(), Ok(false)));
        let state = match access {
            Access::Read if absent => Root::in_memory(),
            Access::Read => Root::existing(&config.lake.state, "the state location")?,
            Access::Write => Root::created(&config.lake.state, "the state location")?,
        };
        let catalog: Arc<dyn Catalog> = match (config.lake.catalog, folder.as_ref().map(|folder| folder.join(CATALOG_FILE))) {
            (CatalogKind::Local, Some(file)) if access == Access::Write || file.exists() => Arc::new(LocalCatalog::open(&file)?),
            (CatalogKind::Local, _) => Arc::new(LocalCatalog::in_memory()?),
        };
        let spill = folder.unwrap_or_else(std::env::temp_dir);
        let limits = Limits { memory: config.lake.memory, threads: config.lake.threads, spill, progress };
        Ok(Self { ledgers: LedgerStore::new(state.clone()), state, catalog, clock, limits, config })
    }

    /// The URL of a table's quarantine.
    pub fn quarantine_url(&self, table: &TableConfig) -> String {
        self.state.url_of(&layout::quarantine_root(&table.name))
    }
}
