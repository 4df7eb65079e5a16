//! Removes what is of no use any more: retired generations past their grace, and what dead attempts left.

mod abandoned;
pub mod plan;
mod retired;
pub mod summary;

use std::collections::{BTreeMap, BTreeSet};

use crate::app::App;
use crate::catalog::Table;
use crate::config::TableConfig;
use crate::error::Result;
use crate::events::outbox::LONGEST;
use crate::layout::{self, PartitionId};
use crate::ledger::LedgerVersion;
use crate::migrate::made_to_scatter;
use crate::scatter::moves::end;
use crate::store::Root;
use crate::store::cleaning::Places;
use crate::summary::Failure;
use plan::Times;
use summary::{Kind, Removed, SweepSummary};

/// What a sweep is asked to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// One table, or all.
    pub table: Option<String>,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// Sweeps. What fails is in the summary: one table or partition that fails does not stop the others.
///
/// # Errors
/// `Config` if there is no such table; `Unavailable` if the state location cannot be read.
pub async fn run(app: &App, request: &Request) -> Result<SweepSummary> {
    let mut summary = SweepSummary::new(app.clock.new_id(), request.dry_run);
    let times = Times::new(app.clock.now(), app.config.lake.grace, LONGEST);
    for config in app.config.tables(request.table.as_deref())? {
        if let Err(e) = sweep_table(app, config, times, &mut summary).await {
            summary.failures.push(Failure::new(&config.name, None, &e));
        }
    }
    abandoned::passing(&app.state, times, &mut summary).await?;
    Ok(summary)
}

async fn sweep_table(app: &App, config: &TableConfig, times: Times, summary: &mut SweepSummary) -> Result<()> {
    // What a repair wrote is named by no ledger until it ends, and what it replaces then may be read still.
    if !summary.dry_run && end::left(app, config).await? {
        summary.warnings.push(format!("{}: ended a repair that was cut off while it moved rows; the next sweep goes on", config.name));
        return Ok(());
    }
    let heads = app.ledgers.heads(&config.name).await?;
    let Some(table) = app.catalog.table(&config.name).await? else {
        // What readers see of it, nobody can say.
        if !heads.is_empty() {
            summary.warnings.push(format!("{}: it is not in the catalog, and is left alone; run `lakebed run` first", config.name));
        }
        return Ok(());
    };
    // A folder that does not exist yet has nothing to remove.
    if config.location.folder().is_some_and(|folder| !folder.exists()) {
        return Ok(());
    }
    let location = app.stores.existing(&config.location, &format!("the location of {}", config.name))?;
    let places = Places::new(vec![location.clone(), app.state.clone()]);
    let heads = heads.into_iter().map(|head| (head.partition.clone(), head)).collect();
    let sweeper = Sweeper { app, config, table, location, places, heads, times };
    retired::sweep(&sweeper, summary).await?;
    abandoned::generations(&sweeper, summary).await?;
    abandoned::names(&sweeper, summary).await?;
    abandoned::staged(&sweeper, summary).await?;
    abandoned::uploads(&sweeper, summary).await?;
    abandoned::moved(&sweeper, summary).await
}

/// What a sweep of one table works with.
struct Sweeper<'a> {
    app: &'a App,
    config: &'a TableConfig,
    /// As the catalog has it.
    table: Table,
    location: Root,
    /// The table's location and the state location.
    places: Places,
    /// The newest versions, read before anything is removed.
    heads: BTreeMap<PartitionId, LedgerVersion>,
    times: Times,
}

impl Sweeper<'_> {
    /// Where the catalog says that these partitions are now, those of the quarantine too.
    async fn registered(&self, partitions: &[PartitionId]) -> Result<BTreeSet<String>> {
        let values: Vec<_> = partitions.iter().map(PartitionId::values).collect();
        let mut there = self.app.catalog.get_partitions(&self.table.name, &values).await?;
        let quarantine = layout::quarantine_table(&self.table.name);
        if self.app.catalog.table(&quarantine).await?.is_some() {
            there.extend(self.app.catalog.get_partitions(&quarantine, &values).await?);
        }
        Ok(there.into_iter().map(|partition| partition.location).collect())
    }

    /// True if its rows scatter, or did when it was made.
    fn scatters(&self) -> bool {
        self.config.scatters() || made_to_scatter(&self.table)
    }

    fn removed(&self, kind: Kind, partition: Option<&PartitionId>, location: String, bytes: u64) -> Removed {
        Removed { kind, table: Some(self.table.name.clone()), partition: partition.map(ToString::to_string), location, bytes }
    }

    fn failure(&self, partition: Option<&PartitionId>, error: &crate::error::Error) -> Failure {
        Failure::new(&self.table.name, partition, error)
    }

    /// Removes exactly these files of a generation's folder, and on a local disk the folder if nothing else is in it.
    async fn remove(&self, location: &str, files: impl Iterator<Item = &str>) -> Result<()> {
        let (root, folder) = self.places.of(location)?;
        for file in files {
            root.remove(&format!("{folder}{file}")).await?;
        }
        root.remove_empty(folder)
    }

    fn still_registered(&self, partition: &PartitionId, location: &str) -> String {
        format!("{} {partition}: the catalog still points to {location}, which stays; `lakebed run` brings it in step", self.table.name)
    }
}
