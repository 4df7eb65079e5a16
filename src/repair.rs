//! `repair`: rebuilds a partition from what landed under today's schema and rules, compares it with what is live, and swaps it in.

mod apart;
mod carry;
pub mod compare;
mod moving;
pub mod plan;
pub mod summary;

use carry::Carry;
use compare::{Difference, compare};
use moving::Anew;
use plan::{Taken, taken};
use summary::{Done, RepairSummary};

use crate::announce::{self, Shown};
use crate::app::App;
use crate::catalog::TableName;
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::hour::{Hour, Place};
use crate::landing::discover::{discover, error_object};
use crate::landing::{self, LandedObject};
use crate::layout::PartitionId;
use crate::ledger::store::Committed;
use crate::ledger::{Generation, LedgerVersion, Operation};
use crate::merge;
use crate::merge::execute::Attempt;
use crate::named;
use crate::pipeline::{self, ManagedTable};
use crate::queue::Queue;
use crate::retry;
use crate::scatter::moves::{Move, end, log};
use crate::scatter::redriven::Redriven;
use crate::schema::arrow_schema;
use crate::standardize::reject;
use crate::summary::warning;
use crate::words::counted;

/// What a repair is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The table.
    pub table: String,
    /// The partition.
    pub place: Place,
    /// Write the live rows once more, and read nothing that landed.
    pub from_merged: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// Repairs a partition.
///
/// # Errors
/// `Config` if there is no such table or partition; `Data` if objects that the partition holds are gone from the landing, or, where rows scatter, those of another
/// partition that rows go to or come from; `Unavailable` if one cannot be read; `Conflict` if runs keep being faster. All is as it was before then.
pub async fn repair(app: &App, request: &Request) -> Result<RepairSummary> {
    let config = app.config.tables(Some(&request.table))?[0];
    let partition = named::partition(app, config, &request.place).await?;
    let run = app.clock.new_id();
    if config.scatters() && !request.from_merged {
        return scattered(app, config, request, &partition, &run).await;
    }
    if config.scatters() {
        ended(app, config, request).await?;
    }
    for _ in 0..merge::RACES {
        let head = app.ledgers.head(&config.name, &partition).await?.filter(|head| !head.is_void());
        let Some(head) = head else { return Err(never_merged(app, config, request, &partition).await?) };
        let table =
            if request.from_merged { pipeline::existing_unread(app, config).await? } else { pipeline::existing(app, config).await? };
        let Some(table) = table else { return Err(never_merged(app, config, request, &partition).await?) };
        let landed = if request.from_merged { Vec::new() } else { landed_of(&table, &head, request.place.hour).await? };
        let taken = taken(&head, plan::plan(&head, landed, request.from_merged))?;
        // What landed is read and nothing that was staged of it: a repair is for when something is wrong.
        let queue = Queue::default();
        let planned = RepairSummary::planned(run.clone(), &head, &taken, request.from_merged);
        if request.dry_run {
            return looked_at(app, &table, &head, &taken, planned).await;
        }
        if let Some(mut summary) = rebuild(app, &table, &head, &taken, &queue, planned).await? {
            app.limits.progress.finish_and_clear();
            show(app, &config.name, std::slice::from_ref(&partition), &mut summary).await;
            // All that landed is in it now. What was not found so is for the next run to see.
            if summary.failures.is_empty()
                && !request.from_merged
                && let Err(e) = retry::repaired(app, &config.name, &run, &partition).await
            {
                summary.failures.push(e.to_string());
            }
            return Ok(summary);
        }
    }
    Err(Error::conflict(format!("{} {partition}: runs kept changing it; repair it again later", config.name)))
}

/// Repairs a partition of a table whose rows scatter, with all others that rows go to or come from.
async fn scattered(app: &App, config: &TableConfig, request: &Request, partition: &PartitionId, run: &str) -> Result<RepairSummary> {
    for _ in 0..merge::RACES {
        let latest = ended(app, config, request).await?;
        let Some(table) = pipeline::existing(app, config).await? else { return Err(never_merged(app, config, request, partition).await?) };
        let number = latest.as_ref().map(|latest| latest.version);
        let anew = match Anew::find(app, &table, partition, latest, request.dry_run).await {
            Ok(anew) => anew,
            // What was read on both sides of a move does not fit together.
            Err(_) if log::newest(&app.state, &config.name).await?.map(|newest| newest.version) != number => continue,
            Err(e) => return Err(e),
        };
        let Some(head) = anew.heads.get(partition).filter(|head| !head.is_void()) else {
            return Err(never_merged(app, config, request, partition).await?);
        };
        let taken = taken(head, plan::plan(head, anew.landed(head), false))?;
        let mut planned = RepairSummary::planned(run.to_string(), head, &taken, false);
        planned.moving(&anew.partitions, &anew.heads);
        if request.dry_run {
            return looked_at(app, &table, head, &taken, planned).await;
        }
        let done = if anew.moves() {
            let carried = Carry { app, table: &table, run, anew: &anew }.out().await?;
            match carried {
                Some((versions, warned)) => Some(moved(app, &table, head, &taken, planned, (versions, warned)).await?),
                None => None,
            }
        } else {
            rebuild(app, &table, head, &taken, &anew.shares(partition, &table)?.1, planned).await?
        };
        if let Some(mut summary) = done {
            app.limits.progress.finish_and_clear();
            let is_apart = anew.is_apart() && summary.action == Done::Repaired;
            let mut partitions = anew.partitions;
            let redriven = if is_apart { move_on(app, &table, run, &mut summary).await } else { Redriven::default() };
            partitions.extend(redriven.partitions());
            show(app, &config.name, &Vec::from_iter(partitions), &mut summary).await;
            if let Err(e) = redriven.remove_done(app, &config.name).await {
                tracing::warn!("what redrives moved stays though every partition has it: {e}");
            }
            return Ok(summary);
        }
    }
    Err(Error::conflict(format!("{} {partition}: runs kept changing it; repair it again later", config.name)))
}

/// Merges rows of Firehose's error objects into the partitions that they belong to. Returns all that is known of what redrives moved.
async fn move_on(app: &App, table: &ManagedTable, run: &str, summary: &mut RepairSummary) -> Redriven {
    match Redriven::list(app, table).await {
        Ok(redriven) => {
            let (_, failed) = redriven.merge(app, table, run).await;
            summary.failures.extend(failed.iter().map(|(partition, e)| format!("rows of it that belong to {partition}: {e}")));
            summary.failures.extend(redriven.unusable.iter().map(|(_, e)| e.to_string()));
            redriven
        }
        Err(e) => {
            summary.failures.push(e.to_string());
            Redriven::default()
        }
    }
}

/// What is written down of moves, after the one that was cut off is ended, if there is one.
///
/// # Errors
/// As [`end::left`]. `Conflict` in a dry run where one is open: what a repair would do shows only once that is ended.
async fn ended(app: &App, config: &TableConfig, request: &Request) -> Result<Option<Move>> {
    if !request.dry_run {
        end::left(app, config).await?;
    }
    let latest = log::newest(&app.state, &config.name).await?;
    match latest.as_ref().filter(|latest| request.dry_run && latest.is_open()) {
        None => Ok(latest),
        Some(open) => Err(Error::conflict(format!(
            "{}: a repair that moves rows between {}, run {}, was cut off or is under way; `lakebed repair` ends it before anything else, as \
             `lakebed run` does, and what there is to repair shows then",
            config.name,
            counted(open.partitions.len() as u64, "partition"),
            open.run
        ))),
    }
}

/// What to say of a repair that moved rows.
async fn moved(
    app: &App,
    table: &ManagedTable,
    head: &LedgerVersion,
    taken: &[Taken],
    mut planned: RepairSummary,
    (versions, warned): (Vec<LedgerVersion>, u64),
) -> Result<RepairSummary> {
    planned.warnings.extend(warning(warned));
    planned.moved(&versions);
    let after = versions.iter().find(|version| version.partition == head.partition);
    let after = after.ok_or_else(|| Error::internal("a repair left its own partition out"))?;
    let (secret, memory) = (&after.attempt, app.limits.memory / 4);
    let compared = compare(&table.location, &table.plan.schema, &head.generation, &after.generation, secret, memory).await;
    let rows = compared.unwrap_or_else(|e| {
        planned.failures.push(format!("it cannot be told how the rows differ: {e}"));
        Difference::default()
    });
    Ok(planned.done(Done::Repaired, head, after, taken, rows))
}

/// Makes the catalog show these partitions, and enters what people should know of that.
async fn show(app: &App, table: &TableName, partitions: &[PartitionId], summary: &mut RepairSummary) {
    match announce::partitions_of(app, table, partitions).await {
        Ok(Shown { warnings, refused }) => {
            summary.warnings.extend(warnings);
            summary.failures.extend(refused.values().map(ToString::to_string));
        }
        Err(e) => summary.failures.push(e.to_string()),
    }
}

async fn never_merged(app: &App, config: &TableConfig, request: &Request, partition: &PartitionId) -> Result<Error> {
    named::never_merged(app, config, &request.place, partition, "repair").await
}

/// All objects of the partition that are in the landing, in the order of hour and key.
async fn landed_of(table: &ManagedTable, head: &LedgerVersion, hour: Hour) -> Result<Vec<LandedObject>> {
    let hours = || head.sources.iter().chain(&head.held).map(|source| source.hour).chain([hour]);
    let (from, to) = (hours().min().unwrap_or(hour), hours().max().unwrap_or(hour));
    let found = discover(&table.landing, &table.config, from, to).await?.objects;
    let mut landed = Vec::new();
    for object in found {
        if merge::plan::partition_of(&table.config, &object)? == head.partition {
            landed.push(object);
        }
    }
    // Their records tell which partitions they are in, so they are taken again where they were taken in.
    for source in head.sources.iter().chain(&head.held).filter(|source| merge::plan::is_error_output(&table.config, &source.key)) {
        landed.extend(error_object(&table.landing, &source.key, source.hour).await?);
    }
    landing::in_order(&mut landed);
    Ok(landed)
}

/// An attempt at writing a partition anew: of these objects alone, or of its live rows.
fn attempt<'a>(
    context: &merge::Context<'a>,
    table: &'a ManagedTable,
    head: &'a LedgerVersion,
    objects: &'a [LandedObject],
    from_merged: bool,
) -> Attempt<'a> {
    let merge::Context { state, limits, queue, .. } = *context;
    let (partition, id) = (&head.partition, merge::next_id(context, Some(head)));
    Attempt { table, state, limits, partition, id, previous: Some(head), afresh: !from_merged, objects, queue, redrive: None }
}

/// Enters what would be done with each object and each live file.
async fn looked_at(
    app: &App,
    table: &ManagedTable,
    head: &LedgerVersion,
    taken: &[Taken],
    mut planned: RepairSummary,
) -> Result<RepairSummary> {
    let (queue, objects) = (Queue::default(), Vec::from_iter(taken.iter().map(|taken| taken.object.clone())));
    let context = app.merging(&queue, &planned.run, app.clock.now());
    let live = attempt(&context, table, head, &objects, planned.from_merged).live().await?;
    planned.looked_at(head, taken, live.files(&head.generation));
    Ok(planned)
}

/// Writes the partition anew and commits it, unless it came out as it is. `None` if another attempt was first.
async fn rebuild(
    app: &App,
    table: &ManagedTable,
    head: &LedgerVersion,
    taken: &[Taken],
    queue: &Queue,
    mut planned: RepairSummary,
) -> Result<Option<RepairSummary>> {
    app.ledgers.probe(&app.clock.new_id()).await?;
    let objects: Vec<LandedObject> = taken.iter().map(|taken| taken.object.clone()).collect();
    app.limits.progress.set_length(objects.len() as u64);
    let run = planned.run.clone();
    let context = app.merging(queue, &run, app.clock.now());
    let attempt = attempt(&context, table, head, &objects, planned.from_merged);
    let (after, warned) = merge::write(&context, &attempt, Operation::Repair).await?;
    let Judged { rows, quarantine, same } = match judge(app, table, head, &after, planned.from_merged).await {
        Ok(judged) => judged,
        Err(e) => {
            attempt.clean_up().await;
            return Err(e);
        }
    };
    planned.warnings.extend(warning(warned));
    planned.in_quarantine(quarantine);
    if same {
        attempt.clean_up().await;
        return Ok(Some(planned.done(Done::Nothing, head, &after, taken, rows)));
    }
    match merge::finish(&context, &attempt, &after).await? {
        Committed::Done => Ok(Some(planned.done(Done::Repaired, head, &after, taken, rows))),
        Committed::Lost(_) => Ok(None),
    }
}

/// What came out, beside what is live.
struct Judged {
    /// How the rows differ.
    rows: Difference,
    /// How those of the quarantine do.
    quarantine: Difference,
    /// Nothing else differs either.
    same: bool,
}

/// How the rows differ, and whether what came out is what is live.
///
/// # Errors
/// `Unavailable` if an object could not be read whose rows are live.
async fn judge(app: &App, table: &ManagedTable, head: &LedgerVersion, after: &LedgerVersion, from_merged: bool) -> Result<Judged> {
    if let Some(lost) = head.sources.iter().find(|source| after.source(&source.key).is_none()) {
        let reason = after.missing.iter().find(|missing| missing.key == lost.key).map_or("it was not read", |missing| &missing.reason);
        return Err(Error::unavailable(format!(
            "{} {}: cannot read object {}, whose rows are in the table: {reason}; nothing was changed, repair again then",
            head.table, head.partition, lost.key
        )));
    }
    let (secret, memory) = (&after.attempt, app.limits.memory / 4);
    let rows = compare(&table.location, &table.plan.schema, &head.generation, &after.generation, secret, memory).await?;
    let mut same = rows.same_rows() && head.columns == after.columns;
    if from_merged {
        same &= rows.same_order && head.generation.files == after.generation.files;
        return Ok(Judged { rows, quarantine: Difference::default(), same });
    }
    same &= (&head.sources, &head.held, &head.missing) == (&after.sources, &after.held, &after.missing);
    // What is as it would be made today is not rolled back any more.
    same &= head.rolled_back.is_none();
    let count = |generation: &Option<Generation>| generation.as_ref().map_or(0, Generation::rows);
    let quarantine = match (&head.quarantine, &after.quarantine) {
        (Some(one), Some(other)) => compare(&app.state, &arrow_schema(&reject::columns()), one, other, secret, memory).await?,
        (one, other) => Difference { only_before: count(one), only_after: count(other), same_order: false },
    };
    same &= quarantine.same_rows();
    Ok(Judged { rows, quarantine, same })
}
