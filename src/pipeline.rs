//! A run: for each table, what landed in closed hours is merged, committed and registered.

mod planning;
mod waiting;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::execution::TaskContext;
use indicatif::ProgressBar;

use crate::announce::{self, NowAndThen, Seen};
use crate::app::App;
use crate::catalog::{Table, limits};
use crate::config::TableConfig;
use crate::deadline::{self, Deadline};
use crate::engine;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::discover::{Discovery, find};
use crate::landing::{Hours, cadence};
use crate::layout::{self, Note, PartitionId};
use crate::merge::plan::{self, Action, PartitionPlan};
use crate::merge::{self, Merged};
use crate::migrate::{self, MigrationPlan};
use crate::queue::Queue;
use crate::queue::spent::told_of_gone;
use crate::retry::Retries;
use crate::scatter::moves::end;
use crate::scatter::{self, place::Scatter};
use crate::schema::{TableSchema, fingerprint};
use crate::standardize::Plan;
use crate::store::{self, Root};
use crate::summary::{Failure, RunSummary, TableDone};
use crate::words::counted;
use planning::Planning;

/// What a run may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Hard cap for buffers, bytes.
    pub memory: u64,
    /// Worker threads, at least 1.
    pub threads: usize,
    /// A local folder; ordering spills below it, under the attempt's name.
    pub spill: PathBuf,
    /// Counts the objects.
    pub progress: ProgressBar,
}

impl Limits {
    /// The engine's context for ordering the rows of one attempt: a quarter of the memory, the rest is the reader's and the writer's.
    ///
    /// # Errors
    /// As [`engine::local::sorting`].
    pub fn sorting(&self, attempt: &str) -> Result<Arc<TaskContext>> {
        let spill = self.spill_folder(attempt);
        engine::local::sorting(&engine::Limits { memory: self.memory / 4, threads: 1, spill })
    }

    /// Removes the folder that [`Self::sorting`] made, once the rows are ordered or given up.
    pub fn sorted(&self, attempt: &str) {
        let folder = self.spill_folder(attempt);
        match std::fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("cannot remove spill folder `{}`: {e}; remove it by hand", folder.display());
            }
            _ => {}
        }
    }

    fn spill_folder(&self, attempt: &str) -> PathBuf {
        self.spill.join(layout::spill_folder(attempt))
    }
}

/// A table with all that a merge needs of it.
#[derive(Debug)]
pub struct ManagedTable {
    /// Its configuration.
    pub config: TableConfig,
    /// Its columns.
    pub schema: TableSchema,
    /// How its records become rows.
    pub plan: Arc<Plan>,
    /// Which partition each of its rows belongs to, if the rows themselves say so.
    pub scatter: Option<Arc<Scatter>>,
    /// The landing location.
    pub landing: Root,
    /// The table's location.
    pub location: Root,
}

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// One table, or all.
    pub table: Option<String>,
    /// The time the run is made for, UTC.
    pub at: DateTime<Utc>,
    /// The first hour to look at; without it the look-back decides.
    pub since: Option<Hour>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The time that the run has, if it is cut off: hours that do not fit are said to be left, and the next run goes on with them.
    pub until: Option<Deadline>,
}

/// Runs the pipeline. What fails is in the summary: one table or hour that fails does not stop the others (promise P12).
///
/// # Errors
/// `Config` if there is no such table, or the hours asked for are not in the past.
pub async fn run(app: &App, request: &Request) -> Result<RunSummary> {
    let mut summary = RunSummary::new(app.clock.new_id(), request);
    if let Some(since) = request.since.filter(|since| since.start() > request.at) {
        return Err(Error::config(format!("--since {since} is after the time of the run, {}; give an earlier hour", summary.at)));
    }
    for table in app.config.tables(request.table.as_deref())? {
        // Boxed: what a run of a table awaits is nested too deeply for whoever awaits a run in turn.
        match Box::pin(run_table(app, table, request, &mut summary)).await {
            Ok(done) => summary.enter(done),
            Err(e) => summary.failures.push(Failure::new(&table.name, None, &e)),
        }
    }
    for (table, warnings) in summary.others.take().unwrap_or_default() {
        // Its own turn failed.
        warnings.iter().for_each(|warning| tracing::warn!("{table}: {warning}"));
    }
    app.limits.progress.finish_and_clear();
    if !request.dry_run {
        let told = announce::failures(app, &summary).await;
        for retries in std::mem::take(&mut summary.retries) {
            retries.note(app, &summary.failures, told).await;
        }
    }
    Ok(summary)
}

/// The hours that a run looks at: those of the look-back, and those of before it of which something is in the queue; or those that a
/// person asked for.
fn looked_at(config: &TableConfig, request: &Request, queue: &Queue) -> Hours {
    let to = Hour::of(request.at);
    match request.since {
        Some(since) => Hours::span(since, to),
        None => Hours::and_before(Hour::of(request.at - config.lookback), to, queue.hours()),
    }
}

async fn run_table(app: &App, config: &TableConfig, request: &Request, summary: &mut RunSummary) -> Result<TableDone> {
    let landing = app.stores.existing(&config.landing, &format!("the landing of {}", config.name))?;
    refuse_links_into_landing(app, config)?;
    let migration = plan_migration(app, config).await?;
    // Before what landed: then what is in the queue of an object that does not lie there is of one that is gone.
    let queue = Queue::list(&app.state, &config.name).await?;
    let hours = looked_at(config, request, &queue);
    let discovery = find(&landing, config, &hours).await?;
    let there = queue.landed(&discovery.objects);
    let mut done = TableDone::new(&config.name, &discovery);
    done.warnings.extend(migration.warnings());
    done.warnings.extend(missing_beats(config, &discovery, hours.from));
    if config.scatters() {
        // Before anything is read that it changes.
        let stuck = if request.dry_run { None } else { end::left_or_stuck(app, config).await? };
        let found = scatter::Found { landing, migration, objects: discovery.objects, queue, hours, there, stuck };
        return scatter::run_table(app, config, found, request, done, summary).await;
    }
    let grouped = plan::group(config, discovery.objects, request.at)?;
    done.set_open(grouped.open.len() as u64);
    let mut planning = Planning::of(app, config, grouped, &mut done, &mut summary.failures).await;
    // However many old hours the queue leads to, what is fresh is not to wait for them.
    planning.plans.sort_by_key(|plan| plan::hour_at(config, &plan.partition).is_some_and(|hour| hour < hours.from));
    let looked_at: Vec<PartitionId> = planning.plans.iter().map(|plan| plan.partition.clone()).collect();
    let mut retries = Retries::new(config, &schema_of(migration.table()), app.limits.memory, &queue, request, &hours);
    // Where there is nothing to merge, neither is asked for.
    let top = if planning.has_work() { earlier(app, config).await } else { None };
    if let Some(top) = &top {
        planning.hold_back(app, &mut retries, top, &mut done, &mut summary.failures).await;
    }
    if request.dry_run {
        let (context, table) = (app.merging(&queue, &summary.run, request.at), (migration.table(), landing));
        let planned = planning.planned(app, config, table, &context, &mut done, &mut summary.failures).await?;
        done.tell_plans(&migration, &planning.plans, planned);
        return Ok(done);
    }
    let Planning { plans, known, .. } = planning;
    let (table, managed) = prepare(app, config, migration, landing, &mut done).await?;
    if let Some(top) = &top {
        announce::left(app, &table, top, request, &mut retries, &mut done, &mut summary.others).await;
    }
    let run = summary.run.clone();
    let merging = Merging { app, table: &table, managed: &managed, context: app.merging(&queue, &run, request.at), until: request.until };
    merging.merge_all(&plans, &mut retries, &mut done, &mut summary.failures).await?;
    let seen = Seen { partitions: looked_at, known };
    let publish = announce::publish(app, &table, &seen, request.until, &mut retries, &mut done, &mut summary.failures);
    // What is merged is safe without its staged files, be it shown yet or not.
    let (shown, gone) = tokio::join!(publish, waiting::remove_merged(app, &config.name, &queue, &hours, &there, &seen.partitions));
    if let Some(top) = shown {
        let healed = retries.heal(app, &summary.run, top, &summary.failures, |_, _| false).await;
        summary.failures.extend(healed.err().map(|e| Failure::new(&config.name, None, &e)));
        done.warnings.extend(retries.warnings());
    }
    summary.retries.push(retries);
    done.warnings.extend(told_of_gone(&gone?, app.config.lake.grace));
    Ok(done)
}

/// What the configuration keeps apart may still be one folder, by a link.
fn refuse_links_into_landing(app: &App, config: &TableConfig) -> Result<()> {
    for (what, place) in [("location", &config.location), ("state", &app.config.lake.state)] {
        if store::same_place(place, &config.landing) {
            return Err(Error::config(format!(
                "{}: by a link, `{what}` {place} and the landing {} are in the same folder, and lakebed never writes into a landing; set `{what}` to a folder of its own",
                config.name, config.landing
            )));
        }
    }
    Ok(())
}

async fn plan_migration(app: &App, config: &TableConfig) -> Result<MigrationPlan> {
    let migrations = migrate::read(&config.migrations, &config.name)?;
    let table = app.catalog.table(&config.name).await?;
    table.as_ref().map(limits::check_registered).transpose()?;
    let plan = migrate::plan(config, &migrations, table)?;
    // A rule that does not fit the table is told before anything is made.
    standardize_plan(config, plan.table())?;
    Ok(plan)
}

pub(crate) fn schema_of(table: &Table) -> TableSchema {
    TableSchema { columns: table.columns.clone(), partition_keys: table.partition_keys.clone() }
}

fn standardize_plan(config: &TableConfig, table: &Table) -> Result<Plan> {
    let schema = schema_of(table);
    for name in config.merge.deduplicate_by.iter().chain(&config.merge.sort_by) {
        if schema.column_index(name).is_none() {
            return Err(Error::config(format!("{}: [table.merge] names column {name}, which the table does not have", config.name)));
        }
    }
    Scatter::new(config, &schema)?;
    let plan = Plan::new(&schema, &config.rules, config.new_columns, config.max_ratio);
    let plan = plan.map_err(|e| Error::new(e.kind(), format!("{}: {e}", config.name)))?;
    Ok(Plan { format: config.format, unwrap: config.unwrap.clone(), keep_raw: config.keep_raw, ..plan })
}

/// Makes the table if it does not exist yet, and opens all that merging needs.
///
/// # Errors
/// As those who make and open them; `Unavailable` if the table is gone meanwhile.
pub async fn prepare(
    app: &App,
    config: &TableConfig,
    migration: MigrationPlan,
    landing: Root,
    done: &mut TableDone,
) -> Result<(Table, ManagedTable)> {
    if let MigrationPlan::Create(table) = &migration {
        app.outbox.note(&config.name, &Note::Columns(fingerprint(&table.columns)), &app.clock.new_id()).await?;
        done.created = migrate::create(&*app.catalog, table).await?;
    }
    let table = app.catalog.table(&config.name).await?;
    let table =
        table.ok_or_else(|| Error::unavailable(format!("{}: the table was dropped while the run was going; run again", config.name)))?;
    let managed = managed(app, config, &table, landing)?;
    Ok((table, managed))
}

fn managed(app: &App, config: &TableConfig, table: &Table, landing: Root) -> Result<ManagedTable> {
    let location = app.stores.created(&config.location, &format!("the location of {}", config.name))?;
    managed_at(config, table, landing, location)
}

/// The table at a location that is open.
fn managed_at(config: &TableConfig, table: &Table, landing: Root, location: Root) -> Result<ManagedTable> {
    let plan = Arc::new(standardize_plan(config, table)?);
    let schema = schema_of(table);
    let scatter = Scatter::new(config, &schema)?.map(Arc::new);
    Ok(ManagedTable { config: config.clone(), schema, plan, scatter, landing, location })
}

/// A table that exists already, with all that standardizing its objects needs; `None` if it does not exist yet: a run makes it.
///
/// # Errors
/// As a run of that table before it does anything.
pub async fn existing(app: &App, config: &TableConfig) -> Result<Option<ManagedTable>> {
    let landing = app.stores.existing(&config.landing, &format!("the landing of {}", config.name))?;
    existing_with(app, config, landing).await
}

/// As [`existing`], for who reads nothing that landed: the landing's folder may be gone.
///
/// # Errors
/// As [`existing`].
pub async fn existing_unread(app: &App, config: &TableConfig) -> Result<Option<ManagedTable>> {
    let is_gone = config.landing.folder().is_some_and(|folder| matches!(folder.try_exists(), Ok(false)));
    if is_gone { existing_with(app, config, Root::in_memory()).await } else { existing(app, config).await }
}

async fn existing_with(app: &App, config: &TableConfig, landing: Root) -> Result<Option<ManagedTable>> {
    refuse_links_into_landing(app, config)?;
    match plan_migration(app, config).await? {
        MigrationPlan::Create(_) => Ok(None),
        there => managed(app, config, there.table(), landing).map(Some),
    }
}

/// What lies in the state location itself, where earlier runs noted what they left and which hours fail; `None` if it cannot be read.
pub(crate) async fn earlier(app: &App, config: &TableConfig) -> Option<Vec<(String, u64)>> {
    let top = app.state.top().await;
    top.inspect_err(|e| tracing::warn!("{}: it is not known what earlier runs left, nor which hours fail: {e}", config.name)).ok()
}

/// The merging of one table.
struct Merging<'a> {
    app: &'a App,
    table: &'a Table,
    managed: &'a ManagedTable,
    context: merge::Context<'a>,
    until: Option<Deadline>,
}

impl Merging<'_> {
    /// Merges what the plans say, as far as the time goes. Where that ends, what is merged is shown now and then.
    async fn merge_all(
        &self,
        plans: &[PartitionPlan],
        retries: &mut Retries,
        done: &mut TableDone,
        failures: &mut Vec<Failure>,
    ) -> Result<()> {
        let Self { app, table, managed, context, until } = self;
        let work: Vec<_> = plans.iter().filter(|plan| plan.action != Action::UpToDate).collect();
        if work.is_empty() {
            return Ok(());
        }
        context.ledgers.probe(&context.clock.new_id()).await?;
        let objects = |plan: &&PartitionPlan| if let Action::Merge { objects, .. } = &plan.action { objects.len() as u64 } else { 0 };
        context.limits.progress.set_length(work.iter().map(objects).sum());
        let mut so_far = NowAndThen::new(app, table, *until);
        for plan in work {
            so_far.show(retries, done).await;
            if until.is_some_and(|until| !until.may_begin(context.clock.now())) {
                done.objects.pending += objects(&plan);
                failures.push(Failure::new(&table.name, Some(&plan.partition), &deadline::too_late()));
                continue;
            }
            match merge::merge(context, managed, plan).await {
                Ok(Merged::Committed { version, objects, warned }) => {
                    done.enter(plan, &objects, &version, warned, failures);
                    retries.committed(&version, &objects);
                }
                Ok(Merged::ByAnother(version)) => done.enter_other(plan, &version),
                Err(e) => {
                    done.objects.pending += objects(&plan);
                    failures.push(retries.failed(plan, &e));
                }
            }
        }
        Ok(())
    }
}

/// What to say of spans in which nothing landed although Firehose should have, from that hour on: of before it only some hours are known.
fn missing_beats(config: &TableConfig, discovery: &Discovery, from: Hour) -> Option<String> {
    let keys = discovery.objects.iter().filter(|object| object.hour >= from).map(|object| object.key.as_str());
    let told = cadence::told(&cadence::silences(keys, config.timezone, config.expect_every?), 1)?;
    Some(format!("{told}; look at the stream's delivery"))
}

/// Objects of a discovery that are neither data nor error output.
pub fn strangers(discovery: &Discovery) -> Option<String> {
    let first = discovery.unknown.first()?;
    Some(format!(
        "in the landing, {} neither `prefix` nor `error_prefix` and left alone, {first} for one; correct the expressions if it is data",
        match discovery.unknown_count {
            1 => "1 entry fits".to_string(),
            count => format!("{} fit", counted(count, "entry")),
        }
    ))
}
