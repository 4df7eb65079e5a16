//! Tables whose rows belong elsewhere: one landed object feeds several partitions, each exactly once.
//!
//! What each partition gets of an object is written down before the first of them gets it, and the object is done when all have it
//! ([`intake`]). The ledgers of the partitions are the fence, as for every table: an object is a source of each that it feeds.

pub mod intake;
pub mod place;
pub mod plan;
pub mod share;
mod settle;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use intake::{Intake, Taken};
use plan::{Placed, Sorted, There};
use share::Share;

use crate::announce::{self, Seen};
use crate::app::App;
use crate::catalog::reconcile::Wanted;
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::landing::arrival::{Arrival, arrival};
use crate::layout::PartitionId;
use crate::ledger::LedgerVersion;
use crate::merge::intake::Intake as Reader;
use crate::merge::plan::{Action, PartitionPlan, partition_of, plan};
use crate::merge::{self, Merged};
use crate::migrate::MigrationPlan;
use crate::pipeline::{self, ManagedTable, Request};
use crate::queue::spread::{self, Spread};
use crate::queue::stage::Staging;
use crate::queue::{Queue, Recipe};
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
    /// The first of these hours.
    pub from: Hour,
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
    let Found { landing, migration, objects, from } = found;
    let (closed, open): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object.hour.is_closed(request.at, config.close_after));
    done.set_open(open.len() as u64);
    let queue = Queue::list(&app.state, &config.name).await?;
    // What was begun goes on, be its object gone or before the hours looked at.
    let hours: BTreeSet<Hour> = closed.iter().map(|object| object.hour).chain(queue.hours()).collect();
    let intakes = store::newest(&app.state, &config.name, &hours).await?;
    if request.dry_run {
        settle::count(&closed, &intakes, &BTreeMap::new(), &mut done)?;
        done.tell_plans(&migration, &[]);
        settle::tell_unread(open.len() as u64, &mut done);
        return Ok(done);
    }
    let (table, managed) = pipeline::prepare(app, config, migration, landing, &mut done).await?;
    if closed.iter().any(|object| !is_done(&intakes, object)) {
        match app.state.top().await {
            Ok(top) => announce::left(app, &table, &top, request, &mut done).await,
            Err(e) => tracing::warn!("{}: what earlier runs left is shown later: {e}", config.name),
        }
    }
    let mut work = Work::new(app, &managed, request, &summary.run, queue, intakes);
    let worked = work.work(&closed, &mut done).await;
    summary.failures.append(&mut work.failures);
    done.warnings.extend(warning(work.warned));
    worked?;
    settle::count(&closed, &work.intakes, &work.heads, &mut done)?;
    let Work { heads, intakes, staged, queue, merged, .. } = work;
    let known = heads.values().filter(|head| !merged.contains(&head.partition)).map(|head| (head.partition.clone(), Wanted::of(head)));
    let seen = Seen { known: known.collect(), partitions: heads.into_keys().collect() };
    let shown = announce::publish(app, &table, &seen, request.until, &mut done, &mut summary.failures).await;
    if shown.is_some() && !(staged.is_empty() && queue.is_empty()) {
        // Also what was staged meanwhile, by this run or by others.
        let mut queue = Queue::list(&app.state, &config.name).await?;
        let (done, begun): (Vec<_>, Vec<_>) = intakes.values().flat_map(|intake| &intake.objects).partition(|object| object.done);
        begun.iter().for_each(|object| queue.leave(&object.key));
        // `--since` may look at fewer hours than the next run does.
        let from = from.min(Hour::of(request.at - config.lookback));
        queue.remove(&app.state, done.iter().map(|object| object.key.as_str()), from).await;
    }
    Ok(done)
}

/// Those of the landed objects that a table whose rows scatter does not have wholly yet; of other tables all.
///
/// # Errors
/// As [`store::newest`].
pub async fn not_done(state: &Root, config: &TableConfig, landed: Vec<LandedObject>) -> Result<Vec<LandedObject>> {
    if !config.scatters() {
        return Ok(landed);
    }
    let intakes = store::newest(state, &config.name, &landed.iter().map(|object| object.hour).collect()).await?;
    Ok(landed.into_iter().filter(|object| !is_done(&intakes, object)).collect())
}

/// True if every partition has its share of the object.
fn is_done(intakes: &BTreeMap<Hour, Intake>, object: &LandedObject) -> bool {
    intakes.get(&object.hour).and_then(|intake| intake.object(&object.key)).is_some_and(|taken| taken.done)
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
    /// The newest version of each partition looked at that has one.
    heads: BTreeMap<PartitionId, LedgerVersion>,
    /// Partitions whose ledgers were read, and those for which that failed.
    looked_at: BTreeSet<PartitionId>,
    unreadable: BTreeSet<PartitionId>,
    /// Partitions that this run, or another one meanwhile, changed.
    merged: BTreeSet<PartitionId>,
    /// Objects that cannot go on.
    stuck: BTreeSet<String>,
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
    ) -> Self {
        Self {
            recipe: Recipe::new(&table.config, &table.schema),
            staged: BTreeSet::new(),
            heads: BTreeMap::new(),
            looked_at: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            merged: BTreeSet::new(),
            stuck: BTreeSet::new(),
            warned: 0,
            failures: Vec::new(),
            app,
            table,
            request,
            run,
            queue,
            intakes,
        }
    }

    /// Takes in what landed, as far as that is possible now.
    async fn work(&mut self, closed: &[LandedObject], done: &mut TableDone) -> Result<()> {
        self.look_at(self.named()?).await;
        let sorted = self.sort_out(closed, done)?;
        self.begin(sorted).await?;
        self.merge(done).await?;
        self.settle(done).await;
        Ok(())
    }

    fn fail(&mut self, partition: Option<&PartitionId>, error: &Error) {
        self.failures.push(Failure::new(&self.table.config.name, partition, error));
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

    fn sort_out(&mut self, closed: &[LandedObject], done: &mut TableDone) -> Result<Sorted> {
        let staged = |taken: &Taken| self.queue.has(&taken.key, &taken.staged);
        let key = |object: &LandedObject| self.recipe.staged_key(object);
        let sorted =
            plan::sort_out(closed, &self.intakes, &self.heads, &There { staged: &staged, key: &key, unreadable: &self.unreadable })?;
        settle::tell_changed(&sorted.changed, done);
        sorted.stuck.iter().for_each(|taken| self.give_up(taken));
        Ok(sorted)
    }

    fn give_up(&mut self, taken: &Taken) {
        let stuck = format!(
            "object {} is in some of its partitions and not in others, and its content, the columns or the rules are not those any more that it was \
             begun with; put them back and run again",
            taken.key
        );
        self.fail(None, &Error::data(stuck));
        self.stuck.insert(taken.key.clone());
    }

    /// Reads new objects, stages them and writes down what each partition is to get of them.
    async fn begin(&mut self, sorted: Sorted) -> Result<()> {
        let work = !sorted.new.is_empty() || !sorted.begun.is_empty();
        if work {
            self.app.ledgers.probe(&self.app.clock.new_id()).await?;
        }
        self.staged.extend(sorted.begun.into_iter().filter(|taken| self.queue.has(&taken.key, &taken.staged)).map(|taken| taken.staged));
        self.app.limits.progress.set_length(sorted.new.len() as u64);
        let (mut hours, mut unread) = (BTreeMap::new(), Vec::new());
        let before: BTreeMap<String, Option<Taken>> =
            sorted.new.iter().map(|(object, before)| (object.key.clone(), before.clone())).collect();
        for (object, before) in sorted.new {
            let staged = self.queue.staged(&self.recipe, &object);
            let known = match &staged {
                Some(key) => spread::known(&self.app.state, self.table, key, &object).await,
                None => Ok(None),
            };
            match known {
                Ok(Some(spread)) => {
                    self.staged.extend(staged);
                    self.enter(&mut hours, &object, &spread, before)?;
                }
                Ok(None) => unread.push(object),
                Err(e) => {
                    tracing::warn!("{e}; the object is read where it landed");
                    unread.push(object);
                }
            }
        }
        self.read(&unread, &before, &mut hours).await?;
        for (hour, new) in hours {
            self.write_down(hour, |known| plan::with(known, &new)).await?;
        }
        Ok(())
    }

    async fn read(&mut self, objects: &[LandedObject], before: &BTreeMap<String, Option<Taken>>, hours: &mut Hours) -> Result<()> {
        let Some(scatter) = &self.table.scatter else { return Err(Error::internal("a table whose rows do not scatter")) };
        let (state, limits, none) = (&self.app.state, &self.app.limits, Queue::default());
        let mut reader = Reader::new(self.table, state, &none, objects, limits);
        while let Some(reading) = reader.next().await {
            let object = reading.object.clone();
            if self.is_over() {
                reading.give_up().await;
                self.fail(
                    None,
                    &Error::unavailable(format!("the time for this run was over before object {} was read; run again", object.key)),
                );
                break;
            }
            match spread::spread(state, self.table, scatter, limits, &self.app.clock.new_id(), reading).await {
                Ok((spread, staging)) => {
                    if staging != Staging::ForTheRun {
                        self.staged.insert(self.recipe.staged_key(&object));
                    }
                    self.enter(hours, &object, &spread, before.get(&object.key).cloned().flatten())?;
                }
                Err(e) => self.fail(None, &Error::new(e.kind(), format!("cannot take in object {}: {e}", object.key))),
            }
            self.app.limits.progress.inc(1);
        }
        Ok(())
    }

    fn enter(&mut self, hours: &mut Hours, object: &LandedObject, spread: &Spread, before: Option<Taken>) -> Result<()> {
        let home = partition_of(&self.table.config, object)?;
        let key = self.recipe.staged_key(object);
        let Spread { outcome, shares, untimed, placement } = spread;
        let taken = plan::taken(object, Placed { outcome, shares, untimed: *untimed, placement }, home, key, before.as_ref());
        if let Some(begun) = before.as_ref().filter(|before| !before.done)
            && begun.is_begun(&self.heads)?
            && !taken.places_as(begun)
        {
            self.give_up(begun);
            return Ok(());
        }
        self.warned += outcome.tally.warned;
        hours.entry(object.hour).or_default().push((taken, before));
        Ok(())
    }

    /// Merges into each partition what it lacks.
    async fn merge(&mut self, done: &mut TableDone) -> Result<()> {
        let (mut wanted, mut begun_otherwise) = (BTreeMap::<PartitionId, Vec<(Hour, Taken)>>::new(), Vec::new());
        for intake in self.intakes.values() {
            for taken in intake.objects.iter().filter(|taken| !taken.done && !self.stuck.contains(&taken.key)) {
                // Its shares are by other columns or rules, and it was not read anew: today's rows would not fit them.
                if self.recipe.staged_key(&self.landed(intake.hour, taken)) != taken.staged {
                    begun_otherwise.push(taken.key.clone());
                    continue;
                }
                for partition in taken.partitions()? {
                    wanted.entry(partition).or_default().push((intake.hour, taken.clone()));
                }
            }
        }
        for key in begun_otherwise {
            self.fail(
                None,
                &Error::unavailable(format!("object {key} was begun by other columns or rules, and is not read anew yet; run again")),
            );
        }
        self.look_at(wanted.keys().cloned().collect()).await;
        for (partition, objects) in wanted {
            if self.unreadable.contains(&partition) {
                continue;
            }
            if self.is_over() {
                let late = Error::unavailable("the time for this run was over before this hour began; run again");
                self.fail(Some(&partition), &late);
                continue;
            }
            let landed = objects.iter().map(|(hour, taken)| self.landed(*hour, taken)).collect();
            let plan = plan(partition.clone(), self.heads.get(&partition).cloned(), landed);
            if plan.action != Action::UpToDate {
                self.merge_one(&plan, &objects, done).await;
            }
        }
        Ok(())
    }

    async fn merge_one(&mut self, plan: &PartitionPlan, objects: &[(Hour, Taken)], done: &mut TableDone) {
        let Some(scatter) = &self.table.scatter else { return };
        let share = |taken: &Taken| Share {
            scatter: Arc::clone(scatter),
            partition: plan.partition.clone(),
            rows: taken.shares.get(&plan.partition.to_string()).copied().unwrap_or_default(),
            rest: plan.partition == taken.home,
            staged: Some(taken.staged.clone()).filter(|key| self.staged.contains(key)),
        };
        let queue = Queue::of_shares(objects.iter().map(|(_, taken)| (taken.key.clone(), share(taken))).collect());
        let context = self.app.merging(&queue, self.run, self.request.at);
        let version = match merge::merge(&context, self.table, plan).await {
            Ok(Merged::Committed { version, objects, .. }) => {
                done.enter_share(&objects, &version, &mut self.failures);
                version
            }
            Ok(Merged::ByAnother(version)) => {
                done.enter_other_share(&version);
                version
            }
            Err(e) => return self.fail(Some(&plan.partition), &e),
        };
        self.merged.insert(plan.partition.clone());
        self.heads.insert(plan.partition.clone(), *version);
    }

    /// The object as it was when it was begun, whatever lies there now.
    fn landed(&self, hour: Hour, taken: &Taken) -> LandedObject {
        let Taken { key, etag, size, .. } = taken.clone();
        let TableConfig { prefix, error_prefix, timezone, .. } = &self.table.config;
        let path_values = match arrival(&key, prefix, error_prefix.as_ref(), *timezone) {
            Arrival::Landed { values, .. } => values,
            Arrival::ErrorOutput | Arrival::Unknown => BTreeMap::new(),
        };
        LandedObject { key, etag, size, hour, path_values }
    }
}

/// What is new of each hour, and what was known of it before.
type Hours = BTreeMap<Hour, Vec<(Taken, Option<Taken>)>>;
