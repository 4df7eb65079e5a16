//! Tables whose rows belong elsewhere: one landed object feeds several partitions, each exactly once.
//!
//! What each partition gets of an object is written down before the first of them gets it, and the object is done when all have it
//! ([`intake`]). The ledgers of the partitions are the fence, as for every table: an object is a source of each that it feeds.

mod begin;
pub mod intake;
mod merging;
pub mod moved;
pub mod moves;
pub mod place;
pub mod plan;
mod planned;
pub mod redriven;
mod settle;
pub mod share;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use intake::{Intake, Taken};
use moves::end::{self, Stuck};
use plan::{Sorted, There};
use redriven::Redriven;
use store::Newest;

use crate::announce::{self, Seen};
use crate::app::App;
use crate::catalog::Table;
use crate::catalog::reconcile::Wanted;
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::arrival::{Arrival, arrival};
use crate::landing::{Hours, LandedObject};
use crate::layout::PartitionId;
use crate::ledger::LedgerVersion;
use crate::merge::plan::{PartitionPlan, partition_of};
use crate::migrate::MigrationPlan;
use crate::pipeline::{self, ManagedTable, Request};
use crate::queue::spent::{Content, told_of_gone};
use crate::queue::{Queue, Recipe};
use crate::retry::Retries;
use crate::store::Root;
use crate::summary::{Failure, RunSummary, TableDone, warning};

/// What a run knows of the table before it does anything.
pub struct Found {
    /// The landing location.
    pub landing: Root,
    /// What makes the table what it is to be.
    pub migration: MigrationPlan,
    /// What landed in the hours looked at.
    pub objects: Vec<LandedObject>,
    /// What waited in the queue before that was known.
    pub queue: Queue,
    /// The hours looked at.
    pub hours: Hours,
    /// What lies in the landing of what waited: see [`Queue::landed`].
    pub there: BTreeMap<String, Content>,
    /// The repair that moves rows and cannot be ended.
    pub stuck: Option<Stuck>,
}

/// Runs a table whose rows scatter. What fails is in `summary`; an object or partition that fails does not stop the others.
///
/// # Errors
/// What stops the table as a whole.
pub async fn run_table(
    app: &App,
    config: &TableConfig,
    found: Found,
    request: &Request,
    mut done: TableDone,
    summary: &mut RunSummary,
) -> Result<TableDone> {
    let Found { landing, migration, objects, queue, hours: looked_at, there, stuck } = found;
    let (closed, open): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object.hour.is_closed(request.at, config.close_after));
    done.set_open(open.len() as u64);
    // What was begun goes on, be its object gone or before the hours looked at.
    let hours: BTreeSet<Hour> = closed.iter().map(|object| object.hour).chain(queue.hours()).collect();
    let Newest { intakes, unreadable, last, begun: begun_hours } = newest(app, config, hours, stuck.as_ref(), summary).await?;
    if request.dry_run {
        let look = planned::Look { app, config, schema: &pipeline::schema_of(migration.table()), queue: &queue, intakes: &intakes };
        let plan = look.planned(&closed, &open, &mut done, &mut summary.failures).await?;
        done.tell_plans(&migration, &[], plan);
        return Ok(done);
    }
    let (table, managed) = pipeline::prepare(app, config, migration, landing, &mut done).await?;
    let retries = Retries::new(config, &managed.schema, app.limits.memory, &queue, request, &looked_at);
    let mut work = Work::new(app, &managed, request, &summary.run, queue, intakes, retries);
    (work.last, work.begun, work.stuck) = (last, begun_hours, stuck);
    work.came = closed.iter().filter_map(|object| Some((object.key.clone(), object.came?))).collect();
    work.redriven = Redriven::list(app, &managed).await?;
    // Nobody knows what became of what arrived in an hour whose intake cannot be read.
    let known: Vec<LandedObject> = closed.iter().filter(|object| !unreadable.contains_key(&object.hour)).cloned().collect();
    let begun = work.intakes.values().any(|intake| intake.objects.iter().any(|taken| !taken.done));
    if begun || !work.redriven.is_empty() || known.iter().any(|object| !is_done(&work.intakes, object)) {
        work.top = pipeline::earlier(app, config).await;
        if let Some(top) = &work.top {
            announce::left(app, &table, top, request, &mut work.retries, &mut done, &mut summary.others).await;
        }
    }
    let worked = work.work(&table, &known, &mut done).await;
    summary.failures.append(&mut work.failures);
    done.warnings.extend(warning(work.warned));
    worked?;
    settle::count(&closed, &work.intakes, &work.heads, &mut done)?;
    work.count_hours(&mut done);
    let open_partitions = work.lacking(&closed);
    let Work { heads, intakes, staged, queue, merged, redriven, mut retries, .. } = work;
    let known = heads.values().filter(|head| !merged.contains(&head.partition) && !head.is_void());
    let known = known.map(|head| (head.partition.clone(), Wanted::of(head)));
    let seen = Seen { known: known.collect(), partitions: heads.into_keys().collect() };
    let shown = announce::publish(app, &table, &seen, request.until, &mut retries, &mut done, &mut summary.failures).await;
    let is_shown = shown.is_some();
    if let Some(top) = shown {
        let is_open = |partition: &PartitionId, hour: Hour| unreadable.contains_key(&hour) || open_partitions.contains(partition);
        let healed = retries.heal(app, &summary.run, top, &summary.failures, is_open).await;
        summary.failures.extend(healed.err().map(|e| Failure::new(&config.name, None, &e)));
        done.warnings.extend(retries.warnings());
    }
    summary.retries.push(retries);
    if is_shown && let Err(e) = redriven.remove_done(app, &config.name).await {
        tracing::warn!("what redrives moved stays though every partition has it: {e}");
    }
    if is_shown && !(staged.is_empty() && queue.is_empty()) {
        let gone = remove_done(app, config, queue, (&looked_at, &there), &intakes, &unreadable).await?;
        done.warnings.extend(told_of_gone(&gone, app.config.lake.grace));
    }
    Ok(done)
}

/// Removes what waited of objects that are done; of begun ones, and of hours whose intake cannot be read, some partition may need it. Returns the
/// hours of what waits of objects that do not lie in the landing.
async fn remove_done(
    app: &App,
    config: &TableConfig,
    mut queue: Queue,
    (hours, there): (&Hours, &BTreeMap<String, Content>),
    intakes: &BTreeMap<Hour, Intake>,
    unreadable: &BTreeMap<Hour, Error>,
) -> Result<BTreeSet<Hour>> {
    let (done, begun): (Vec<_>, Vec<_>) = intakes.values().flat_map(|intake| &intake.objects).partition(|object| object.done);
    begun.iter().for_each(|object| queue.leave(&object.key));
    unreadable.keys().for_each(|hour| queue.leave_hour(*hour));
    let taken = done.iter().map(|object| (object.key.as_str(), Some((object.etag.clone(), object.size))));
    let mut spent = queue.spent(hours, there, taken, app.clock.now() - app.config.lake.grace);
    // Also what was staged meanwhile of the very content that is done, by this run or by others.
    let staged: BTreeSet<&str> = done.iter().map(|object| object.staged.as_str()).collect();
    spent.keys.extend(Queue::list(&app.state, &config.name).await?.of_staged(&staged));
    Queue::remove(&app.state, &spent.keys).await;
    Ok(spent.gone)
}

/// The newest intakes of these hours, and of those of a move that cannot be ended. What cannot be read is entered as its hour's failure.
async fn newest(
    app: &App,
    config: &TableConfig,
    mut hours: BTreeSet<Hour>,
    stuck: Option<&Stuck>,
    summary: &mut RunSummary,
) -> Result<Newest> {
    let moved = stuck.map(|stuck| stuck.open.hours()).unwrap_or_default();
    hours.extend(&moved);
    let mut newest = store::newest(&app.state, &config.name, &hours).await?;
    // Nothing is made of the ledgers here: the move says what becomes of its objects.
    for hour in moved.iter().copied().filter(|hour| !newest.intakes.contains_key(hour)) {
        newest.unreadable.entry(hour).or_insert_with(|| end::gone(hour));
    }
    summary.failures.extend(newest.unreadable.iter().map(|(hour, e)| failure_of_hour(config, *hour, e)));
    // Beside the failures of its hours: what it moves was taken in long ago, and readers may see half of it.
    summary.failures.extend(stuck.map(|stuck| Failure::new(&config.name, None, &stuck.told())));
    Ok(newest)
}

/// Those of the landed objects that a table whose rows scatter does not have wholly yet; of other tables all.
///
/// # Errors
/// As [`store::newest`].
pub async fn not_done(state: &Root, config: &TableConfig, landed: Vec<LandedObject>) -> Result<Vec<LandedObject>> {
    if !config.scatters() {
        return Ok(landed);
    }
    // Of an hour whose intake cannot be read it is not known that anything is done; a run tells why.
    let Newest { intakes, .. } = store::newest(state, &config.name, &landed.iter().map(|object| object.hour).collect()).await?;
    Ok(landed.into_iter().filter(|object| !is_done(&intakes, object)).collect())
}

/// True if every partition has its share of the object.
fn is_done(intakes: &BTreeMap<Hour, Intake>, object: &LandedObject) -> bool {
    intakes.get(&object.hour).and_then(|intake| intake.object(&object.key)).is_some_and(|taken| taken.done)
}

/// A failure of one arrival hour, which may feed any number of partitions.
fn failure_of_hour(config: &TableConfig, hour: Hour, error: &Error) -> Failure {
    Failure::new(&config.name, None, &Error::new(error.kind(), format!("what arrived in {hour} is not taken in: {error}")))
}

/// What a run is doing to the table.
struct Work<'a> {
    app: &'a App,
    table: &'a ManagedTable,
    request: &'a Request,
    run: &'a str,
    recipe: Recipe,
    queue: Queue,
    /// What was staged by this run, or found to be.
    staged: BTreeSet<String>,
    /// The newest of each hour.
    intakes: BTreeMap<Hour, Intake>,
    /// What redrives moved, and some partitions may lack.
    redriven: Redriven,
    /// The last hour that has an intake, or was begun; and those that are said to be begun.
    last: Option<Hour>,
    begun: BTreeSet<Hour>,
    /// The newest version of each partition looked at that has one.
    heads: BTreeMap<PartitionId, LedgerVersion>,
    /// Partitions whose ledgers were read, and those for which that failed.
    looked_at: BTreeSet<PartitionId>,
    unreadable: BTreeSet<PartitionId>,
    /// Partitions that this run, or another one meanwhile, changed.
    merged: BTreeSet<PartitionId>,
    /// What lies in the state location itself, if it was read.
    top: Option<Vec<(String, u64)>>,
    /// The state location was tried.
    probed: bool,
    /// The repair that moves rows and cannot be ended.
    stuck: Option<Stuck>,
    /// Objects that cannot go on.
    given_up: BTreeSet<String>,
    /// When the objects that lie in the landing came there.
    came: BTreeMap<String, DateTime<Utc>>,
    /// Partitions that fail.
    retries: Retries,
    /// Values of the objects read that broke a rule whose `on_fail` is `warn` or `null`.
    warned: u64,
    failures: Vec<Failure>,
}

impl<'a> Work<'a> {
    fn new(
        app: &'a App,
        table: &'a ManagedTable,
        request: &'a Request,
        run: &'a str,
        queue: Queue,
        intakes: BTreeMap<Hour, Intake>,
        retries: Retries,
    ) -> Self {
        Self {
            recipe: Recipe::new(&table.config, &table.schema),
            last: None,
            begun: BTreeSet::new(),
            redriven: Redriven::default(),
            staged: BTreeSet::new(),
            heads: BTreeMap::new(),
            looked_at: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            merged: BTreeSet::new(),
            top: None,
            probed: false,
            stuck: None,
            given_up: BTreeSet::new(),
            came: BTreeMap::new(),
            warned: 0,
            failures: Vec::new(),
            app,
            table,
            request,
            run,
            queue,
            intakes,
            retries,
        }
    }

    /// Takes in what landed, as far as that is possible now; `table` is the table as the catalog has it.
    async fn work(&mut self, table: &Table, closed: &[LandedObject], done: &mut TableDone) -> Result<()> {
        self.look_at(self.named()?).await;
        // What lacks nothing is done, whatever the rules are today.
        self.settle(done).await?;
        let sorted = self.sort_out(closed, done)?;
        self.begin(sorted).await?;
        let unusable = std::mem::take(&mut self.redriven.unusable);
        unusable.iter().for_each(|(partition, e)| self.fail(partition.as_ref(), e));
        self.merge(table, done).await?;
        self.settle(done).await?;
        self.look_for_astray().await;
        Ok(())
    }

    fn fail(&mut self, partition: Option<&PartitionId>, error: &Error) {
        self.failures.push(Failure::new(&self.table.config.name, partition, error));
    }

    /// Takes those plans away that are not to be tried now, and enters their failures.
    async fn hold_back(&mut self, plans: &mut Vec<PartitionPlan>) {
        if let Some(top) = &self.top {
            let waiting = self.retries.hold_back(self.app, plans, top).await;
            self.failures.extend(waiting.into_iter().map(|(failure, _)| failure));
        }
    }

    /// Makes sure, once, that the state location refuses to create a key twice.
    async fn probe(&mut self) -> Result<()> {
        if !self.probed {
            self.app.ledgers.probe(&self.app.clock.new_id()).await?;
            self.probed = true;
        }
        Ok(())
    }

    /// Reads the newest intake of an hour, if another run wrote one since.
    async fn refresh(&mut self, hour: Hour) -> Result<()> {
        let version = self.intakes.get(&hour).map_or(0, |intake| intake.version);
        let newer = store::newer(&self.app.state, &self.table.config.name, hour, version).await?;
        self.intakes.extend(newer.map(|intake| (hour, intake)));
        Ok(())
    }

    /// Enters what failed for an hour, once however many of its objects meet with it.
    fn fail_hour(&mut self, hour: Hour, error: &Error) {
        let failure = failure_of_hour(&self.table.config, hour, error);
        if self.failures.iter().all(|known| known.error != failure.error) {
            self.failures.push(failure);
        }
    }

    fn is_over(&self) -> bool {
        self.request.until.is_some_and(|until| !until.may_begin(self.app.clock.now()))
    }

    /// The partitions that the intakes name.
    fn named(&self) -> Result<BTreeSet<PartitionId>> {
        let all = self.intakes.values().flat_map(|intake| &intake.objects).flat_map(|taken| taken.shares.keys()).collect::<BTreeSet<_>>();
        all.into_iter().map(|path| path.parse()).collect()
    }

    /// Reads the ledgers of those partitions that were not looked at yet.
    async fn look_at(&mut self, partitions: BTreeSet<PartitionId>) {
        let new: Vec<PartitionId> = partitions.difference(&self.looked_at).cloned().collect();
        let heads = self.app.ledgers.each_head(&self.table.config.name, &new).await;
        for (partition, head) in new.into_iter().zip(heads) {
            match head {
                Ok(head) => self.heads.extend(head.map(|head| (partition.clone(), head))),
                Err(e) => {
                    self.fail(Some(&partition), &e);
                    self.unreadable.insert(partition.clone());
                }
            }
            self.looked_at.insert(partition);
        }
    }

    /// Partitions that lack something of these objects or of what was begun before, or may.
    fn lacking(&self, closed: &[LandedObject]) -> BTreeSet<PartitionId> {
        let is_new = |object: &&LandedObject| self.intakes.get(&object.hour).and_then(|intake| intake.object(&object.key)).is_none();
        let new = closed.iter().filter(is_new).filter_map(|object| partition_of(&self.table.config, object).ok());
        let begun = self.intakes.values().flat_map(|intake| &intake.objects).filter(|taken| !taken.done);
        new.chain(begun.filter_map(|taken| taken.partitions().ok()).flatten()).collect()
    }

    fn sort_out(&mut self, closed: &[LandedObject], done: &mut TableDone) -> Result<Sorted> {
        let staged = |taken: &Taken| self.queue.has(&taken.key, &taken.staged);
        let key = |object: &LandedObject| self.recipe.staged_key(object);
        let there = There { staged: &staged, key: &key, memory: self.app.limits.memory, unreadable: &self.unreadable };
        let sorted = plan::sort_out(closed, &self.intakes, &self.heads, &there)?;
        settle::tell_changed(&sorted.changed, done);
        sorted.stuck.iter().for_each(|taken| self.give_up(taken));
        Ok(sorted)
    }

    fn give_up(&mut self, taken: &Taken) {
        let stuck = format!(
            "object {} is in some of its partitions and not in others, and its content, the columns, the rules or `memory` are not those any more \
             that it was begun with; put them back and run again",
            taken.key
        );
        self.fail(None, &Error::data(stuck));
        self.given_up.insert(taken.key.clone());
    }

    /// The object as it was when it was begun, whatever lies there now.
    fn landed(&self, hour: Hour, taken: &Taken) -> LandedObject {
        let Taken { key, etag, size, .. } = taken.clone();
        let TableConfig { prefix, error_prefix, timezone, .. } = &self.table.config;
        let path_values = match arrival(&key, prefix, error_prefix.as_ref(), *timezone) {
            Arrival::Landed { values, .. } => values,
            Arrival::ErrorOutput | Arrival::Unknown => BTreeMap::new(),
        };
        let came = self.came.get(&key).copied();
        LandedObject { key, etag, size, hour, path_values, came }
    }
}
