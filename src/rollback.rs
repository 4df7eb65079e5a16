//! Takes a partition back to a generation that was live before: plan, look at its files, commit, register, tell.

pub mod history;
pub mod plan;

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use serde::Serialize;

use crate::announce::{self, Shown};
use crate::app::App;
use crate::catalog::limits::check_registered;
use crate::catalog::{Table, TableName};
use crate::config::TableConfig;
use crate::error::{Error, Kind, Result};
use crate::hour::Place;
use crate::layout::{self, GenerationId, PartitionId};
use crate::ledger::held::holders;
use crate::ledger::store::Committed;
use crate::ledger::{Generation, LedgerVersion, Operation};
use crate::merge::RACES;
use crate::merge::plan::told_at;
use crate::named;
use crate::scatter::moves::end::{self, Ending};
use crate::store::Root;
use crate::store::cleaning::Places;
use crate::words::{are, counted};
use plan::{Choice, Made, Reason, Refusal};

/// Objects that are looked for in the landing at the same time.
const CONCURRENCY: usize = 16;

/// What a rollback is asked to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// The table.
    pub table: String,
    /// The partition.
    pub place: Place,
    /// The generation to go back to; without it the one that was retired last.
    pub to: Option<String>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What a rollback did, or would do.
#[derive(Debug, Serialize, PartialEq)]
pub struct RolledBack {
    /// ULID of the run.
    pub run: String,
    /// Nothing was done, only planned.
    pub dry_run: bool,
    /// The table.
    pub table: TableName,
    /// The partition, as a path.
    pub partition: String,
    /// `rolled back`, `would roll back`, `nothing to do`.
    pub action: &'static str,
    /// Why there is nothing to do.
    pub reason: Option<String>,
    /// The generation that was live before.
    pub from: GenerationId,
    /// The one that is live now.
    pub to: GenerationId,
    /// The ledger version; of a dry run, the one that would be committed.
    pub ledger_version: u64,
    /// Rows in the generation.
    pub rows: u64,
    /// Its files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Records of the partition that are in the quarantine.
    pub quarantined: u64,
    /// Landed objects that stay out of the partition, as keys relative to the landing.
    pub held: Vec<String>,
    /// Commands that bring them back.
    pub ways: Vec<String>,
    /// What people should know although nothing failed.
    pub warnings: Vec<String>,
}

/// Rolls a partition back.
///
/// # Errors
/// `Config` if there is no such table, partition or generation, or readers would not see the change; `Data` if it cannot go back there, as a file is gone, say. `Conflict` if other runs keep being
/// faster. Those of the stores and the catalog: what is committed then stands, and a repetition registers it.
pub async fn run(app: &App, request: &Request) -> Result<RolledBack> {
    let config = app.config.tables(Some(&request.table))?[0];
    let partition = named::partition(app, config, &request.place).await?;
    let table = app.catalog.table(&config.name).await?;
    let table = table
        .ok_or_else(|| Error::config(format!("table {} is not in the catalog yet; the first `lakebed run` creates it", config.name)))?;
    check_registered(&table)?;
    let location = app.stores.existing(&config.location, &format!("the location of {}", config.name))?;
    if !request.dry_run && config.scatters() {
        end::left(app, config).await?;
    }
    let places = Places::new(vec![location.clone(), app.state.clone()]);
    let rollback = Rollback { app, config, table, places, run: app.clock.new_id() };
    for _ in 0..RACES {
        let Some(head) = app.ledgers.head(&config.name, &partition).await?.filter(|head| !head.is_void()) else {
            return Err(named::never_merged(app, config, &request.place, &partition, "go back to").await?);
        };
        match plan::choose(&head, &app.quarantine_url(&config.name), request.to.as_deref()).map_err(|e| refused(config, &partition, &e))? {
            Choice::Stay(reason) => return rollback.stay(&head, &reason, request.dry_run).await,
            Choice::Back(ids) => {
                let target = rollback.target(&head, &ids).await?;
                plan::keeps_what_moved(&head, &target).map_err(|e| refused(config, &partition, &e))?;
                rollback.refuse_places(&head, &target).await?;
                let made = Made { attempt: app.clock.new_id(), run: rollback.run.clone(), at: app.clock.now() };
                let next = plan::back(&head, &target, &app.state.url_of(""), made);
                if request.dry_run {
                    return Ok(rollback.told("would roll back", true, &head, &next).await);
                }
                let mut told = rollback.told("rolled back", false, &head, &next).await;
                app.ledgers.probe(&app.clock.new_id()).await?;
                if Ending::of(app, &location).commit(&next, Some(&head), true).await? == Committed::Done {
                    told.warnings.extend(rollback.register(&partition).await?);
                    return Ok(told);
                }
            }
        }
    }
    Err(Error::conflict(format!("{} {partition}: other runs kept changing it; run again later", config.name)))
}

fn refused(config: &TableConfig, partition: &PartitionId, refusal: &Refusal) -> Error {
    let kind = if refusal.is_of_the_request() { Kind::Config } else { Kind::Data };
    Error::new(kind, format!("{} {partition}: {refusal}", config.name)).about(partition, [])
}

struct Rollback<'a> {
    app: &'a App,
    config: &'a TableConfig,
    table: Table,
    places: Places,
    run: String,
}

impl Rollback<'_> {
    /// The version that wrote the first of these generations whose files are all there.
    async fn target(&self, head: &LedgerVersion, ids: &[GenerationId]) -> Result<LedgerVersion> {
        let mut refusal = Refusal::NoneRetired;
        for id in ids {
            // A generation has the number of the version that it was written for, however many rollbacks and sweeps followed.
            let version = self.app.ledgers.version(&head.table, &head.partition, id.number).await?;
            let version = version
                .filter(|version| version.generation.id == *id)
                .ok_or_else(|| Error::data(format!("{} {}: {}", head.table, head.partition, Refusal::Unknown(id.clone()))))?;
            match self.missing(std::iter::once(&version.generation).chain(&version.quarantine)).await? {
                // A lakebed before this one took it for a generation that was live.
                None if version.is_void() && refusal == Refusal::NoneRetired => refusal = Refusal::Void(id.clone()),
                None if version.is_void() => {}
                None => return Ok(version),
                Some(file) => refusal = Refusal::Gone(id.clone(), file),
            }
        }
        Err(refused(self.config, &head.partition, &refusal))
    }

    /// Other partitions have the rows that a repair moved there since, and not those that came from them.
    async fn refuse_places(&self, head: &LedgerVersion, target: &LedgerVersion) -> Result<()> {
        let mut moved = head.operation == Operation::Move;
        // Of each table: neither its configuration nor the catalog tells how it was made when rows moved.
        let mut between = target.version + 1..head.version;
        while !moved && let Some(number) = between.next() {
            let version = self.app.ledgers.version(&head.table, &head.partition, number).await?;
            let version = version.ok_or_else(|| {
                Error::data(format!(
                    "{} {}: ledger version {number} is gone, so it cannot be told whether a repair moved rows since then; restore the state location",
                    head.table, head.partition
                ))
            })?;
            moved = version.operation == Operation::Move;
        }
        if moved { Err(refused(self.config, &head.partition, &Refusal::Places(target.generation.id.clone()))) } else { Ok(()) }
    }

    /// The first file of these generations that is not there as the ledger has it.
    async fn missing<'g>(&self, generations: impl Iterator<Item = &'g Generation>) -> Result<Option<String>> {
        for generation in generations {
            let (root, folder) = self.places.of(&generation.location)?;
            for file in &generation.files {
                if root.size(&format!("{folder}{}", file.name)).await? != Some(file.bytes) {
                    return Ok(Some(format!("{}{}", generation.location, file.name)));
                }
            }
        }
        Ok(None)
    }

    /// Nothing is to be done. A rollback before this one may have been cut off between the commit and the catalog.
    async fn stay(&self, head: &LedgerVersion, reason: &Reason, dry_run: bool) -> Result<RolledBack> {
        let warnings = if dry_run { Vec::new() } else { self.register(&head.partition).await? };
        let reason = Some(reason.to_string());
        Ok(RolledBack { reason, warnings, ..self.told("nothing to do", dry_run, head, head).await })
    }

    async fn register(&self, partition: &PartitionId) -> Result<Vec<String>> {
        let Shown { warnings, refused } = announce::partitions(self.app, &self.table, std::slice::from_ref(partition)).await?;
        let Some((_, error)) = refused.into_iter().next() else { return Ok(warnings) };
        warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", self.table.name));
        Err(Error::new(error.kind(), format!("{partition}: {error}")))
    }

    /// Commands that bring back what the version holds back.
    async fn ways(&self, next: &LedgerVersion) -> Vec<String> {
        if next.held.is_empty() {
            return Vec::new();
        }
        let place = format!("{} {}", next.table, told_at(self.config, &next.partition));
        let repair = format!("lakebed repair {place}");
        let wrote = self.app.ledgers.wrote_retired(next).await.unwrap_or_else(|e| {
            tracing::warn!("it cannot be told which generations have what is held: {e}");
            Vec::new()
        });
        let holders = holders(next, &wrote, |_| true);
        let back = holders.iter().map(|holder| format!("lakebed rollback {place} --to {}", holder.id.short()));
        std::iter::once(repair).chain(back).collect()
    }

    /// That of what the version holds back some is not in the landing any more, so that no repair brings it back.
    async fn only_here(&self, next: &LedgerVersion) -> Option<String> {
        let landed = next.held.iter().filter(|held| layout::parse_redriven_key(&held.key).is_none()).map(|held| held.key.as_str());
        let gone = match self.app.stores.existing(&self.config.landing, "the landing") {
            Ok(landing) => {
                let exists = |landing: Root, key| async move { (key, landing.exists(key).await) };
                let looked_up = stream::iter(landed).map(|key| exists(landing.clone(), key)).buffered(CONCURRENCY);
                // What cannot be looked up may be there.
                let gone = looked_up.filter_map(|(key, exists)| async move { matches!(exists, Ok(false)).then_some(key) });
                gone.collect().await
            }
            Err(_) => landed.collect::<Vec<_>>(),
        };
        gone.first().map(|first| {
            format!(
                "{} of them {} not in the landing any more, {first} for one: no repair brings that back, only a rollback to a generation that has its \
                 rows, and sweeps keep that",
                gone.len(),
                are(gone.len() as u64),
            )
        })
    }

    async fn told(&self, action: &'static str, dry_run: bool, head: &LedgerVersion, next: &LedgerVersion) -> RolledBack {
        RolledBack {
            run: self.run.clone(),
            dry_run,
            table: head.table.clone(),
            partition: head.partition.to_string(),
            action,
            reason: None,
            from: head.generation.id.clone(),
            to: next.generation.id.clone(),
            ledger_version: next.version,
            rows: next.generation.rows(),
            files: next.generation.files.len(),
            bytes: next.generation.bytes(),
            quarantined: next.counts.quarantined,
            held: next.held.iter().map(|source| source.key.clone()).collect(),
            ways: self.ways(next).await,
            warnings: self.only_here(next).await.into_iter().collect(),
        }
    }
}

impl RolledBack {
    /// It for people.
    pub fn to_text(&self) -> String {
        let Self { table, partition, action, from, to, rows, quarantined, .. } = self;
        let mut text = match &self.reason {
            Some(reason) => format!("{table}: {action}, {partition} is at {to}: {reason}\n"),
            None => format!("{table}: {action} {partition} from {from} to {to}: {}, {quarantined} quarantined\n", counted(*rows, "row")),
        };
        if !self.held.is_empty() {
            let ways = self.ways.iter().map(|way| format!("`{way}`")).collect::<Vec<_>>().join(" or ");
            text.push_str(&format!("{table}: objects that stay out of it until {ways}:\n"));
        }
        let told = |key: &String| match layout::parse_redriven_key(key) {
            Some(object) => format!("  {object}: records that a redrive moved here\n"),
            None => format!("  {key}\n"),
        };
        self.held.iter().map(told).collect::<BTreeSet<_>>().iter().for_each(|line| text.push_str(line));
        self.warnings.iter().for_each(|warning| text.push_str(&format!("{table}: {warning}\n")));
        text
    }
}
