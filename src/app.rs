//! The one place where a configuration becomes the objects that the program works with.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use indicatif::ProgressBar;

use crate::catalog::glue::GlueCatalog;
use crate::catalog::local::LocalCatalog;
use crate::catalog::{Catalog, TableName};
use crate::clock::Clock;
use crate::config::{CatalogKind, Config};
use crate::error::Result;
use crate::events::bridge::Bridge;
use crate::events::outbox::Outbox;
use crate::events::{EventSink, Log};
use crate::layout::{self, CATALOG_FILE};
use crate::ledger::store::LedgerStore;
use crate::merge::Context;
use crate::pipeline::Limits;
use crate::queue::Queue;
use crate::store::{Aws, Root, Stores};

/// What the commands work with.
pub struct App {
    /// The configuration it was made from.
    pub config: Config,
    /// The state location.
    pub state: Root,
    /// Opens all other locations.
    pub stores: Stores,
    /// All ledgers.
    pub ledgers: LedgerStore,
    /// The catalog.
    pub catalog: Arc<dyn Catalog>,
    /// Where events go.
    pub events: Arc<dyn EventSink>,
    /// What has to be told.
    pub outbox: Outbox,
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
    pub async fn new(config: Config, access: Access, clock: Arc<dyn Clock>, progress: ProgressBar) -> Result<Self> {
        let aws = if needs_aws(&config) { Some(Aws::load(config.lake.kms_key.as_deref()).await) } else { None };
        let stores = aws.clone().map_or_else(Stores::default, Stores::with_buckets);
        let folder = config.lake.state.folder();
        // Only "there is none" makes an empty lake; a file in its place, say, is an error.
        let absent = folder.as_ref().is_some_and(|folder| matches!(folder.try_exists(), Ok(false)));
        let state = match access {
            Access::Read if absent => Root::in_memory(),
            Access::Read => stores.existing(&config.lake.state, "the state location")?,
            Access::Write => stores.created(&config.lake.state, "the state location")?,
        };
        let file = folder.as_ref().map(|folder| folder.join(CATALOG_FILE));
        let catalog: Arc<dyn Catalog> = match (config.lake.catalog, file, &aws) {
            (CatalogKind::Glue, _, Some(aws)) => Arc::new(GlueCatalog::new(aws.sdk())),
            (CatalogKind::Local, Some(file), _) if access == Access::Write || file.exists() => Arc::new(LocalCatalog::open(&file)?),
            _ => Arc::new(LocalCatalog::in_memory()?),
        };
        let events: Arc<dyn EventSink> = match (&config.bus, &aws) {
            (Some(bus), Some(aws)) => Arc::new(Bridge::new(aws.sdk(), bus)),
            _ => Arc::new(Log),
        };
        let outbox = Outbox::new(state.clone());
        let spill = folder.unwrap_or_else(std::env::temp_dir);
        let limits = Limits { memory: config.lake.memory, threads: config.lake.threads, spill, progress };
        Ok(Self { ledgers: LedgerStore::new(state.clone()), state, stores, catalog, events, outbox, clock, limits, config })
    }

    /// What merges of one run work with: what is staged of the table, the run's ULID, and the time that it is made for.
    pub fn merging<'a>(&'a self, queue: &'a Queue, run: &'a str, at: DateTime<Utc>) -> Context<'a> {
        let Self { state, ledgers, outbox, clock, limits, .. } = self;
        Context { state, ledgers, outbox, clock: &**clock, queue, placed: None, limits, run, at }
    }

    /// The URL of a table's quarantine.
    pub fn quarantine_url(&self, table: &TableName) -> String {
        self.state.url_of(&layout::quarantine_root(table))
    }
}

/// True if the catalog, the bus or a location is AWS's.
fn needs_aws(config: &Config) -> bool {
    let tables = config.tables.iter().flat_map(|table| [&table.landing, &table.location]);
    let mut locations = std::iter::once(&config.lake.state).chain(tables);
    config.lake.catalog == CatalogKind::Glue || config.bus.is_some() || locations.any(|location| location.bucket().is_some())
}
